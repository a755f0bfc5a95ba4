// SPDX-License-Identifier: Apache-2.0
//
// The group scenario's part of the node scenario's world: members of consumer groups, each a client with a connection
// of its own, and an administrator that looks at what was committed. The members consume nothing: they join, hold
// partitions, commit numbers that nobody else commits, leave, crash, pause and come back.
#pragma once

#include "model_group.h"
#include "node_world.h"

enum {
    GROUP_SESSION_MS = 300, // of every member, both protocols
    GROUP_HEARTBEAT_MS = 30,
    GROUP_ASSIGNMENT_BYTES = 1024,
};

_Static_assert((int)MODEL_GROUP_TOPICS >= (int)NODE_TOPICS_MAX, "a mask has a bit for every partition");
_Static_assert((int)MODEL_GROUP_PARTITIONS >= (int)NODE_PARTITIONS_MAX, "a mask has a bit for every partition");

enum member_state {
    MEMBER_AWAY, // not started, crashed, or left
    MEMBER_FIND, // asks for the coordinator
    MEMBER_JOIN,
    MEMBER_SYNC,
    MEMBER_STABLE, // heartbeats and commits; new protocol: from its first heartbeat on
    MEMBER_LEAVE,
};

// What one member of a join was told; the leader hands a share of it to everyone.
struct member_round {
    uint32_t member_count;
    struct {
        char id[96], instance[24];
    } members[MODEL_GROUP_MEMBERS + 2];
};

struct group_member {
    struct node_clients *all;
    struct group_clients *groups;
    uint8_t index, group; // index: in its group
    bool consumer;        // speaks the new protocol, this time
    bool fixed;           // a static member
    enum member_state state;
    uint64_t came_ns;     // when this life began
    uint64_t back_ns;     // AWAY: when it comes; else paused until then
    uint64_t acted_ns;    // last heartbeat
    struct client_connection connection;
    struct shard_timer timer;
    struct client_request request, commit; // one of each at a time
    char id[96], instance[24];
    int32_t generation; // or member epoch
    uint32_t owned;     // mask
    struct model_now told_when; // when it asked for what it was last told
    bool stable;        // a generation's assignment was received
    uint32_t life;         // rises with every crash: what was asked before is of another life
    uint32_t request_life, commit_life;
    struct model_now request_sent;
    // classic
    uint32_t round;
    struct member_round joined; // as leader
    uint8_t metadata[256], shares[MODEL_GROUP_MEMBERS + 2][GROUP_ASSIGNMENT_BYTES];
    uint32_t metadata_bytes;
    // new protocol
    uint32_t told; // mask that the coordinator knows this member owns
    bool told_valid;
    union {
        struct find_coordinator_request find;
        struct join_group_request join;
        struct sync_group_request sync;
        struct heartbeat_request heartbeat;
        struct leave_group_request leave;
        struct consumer_group_heartbeat_request beat;
    } in;
    struct bytes find_key;
    struct join_group_request_protocol protocols[2];
    struct sync_group_request_assignment assignments[MODEL_GROUP_MEMBERS + 2];
    struct leave_group_request_member leaver;
    struct bytes topic_names[NODE_TOPICS_MAX];
    struct consumer_group_heartbeat_request_topic_partition owned_topics[NODE_TOPICS_MAX];
    int32_t owned_partitions[NODE_TOPICS_MAX][NODE_PARTITIONS_MAX];
    // the commit on its way
    struct offset_commit_request commit_in;
    struct offset_commit_request_topic commit_topics[NODE_TOPICS_MAX];
    struct offset_commit_request_partition commit_partitions[NODE_TOPICS_MAX][NODE_PARTITIONS_MAX];
    int64_t commit_offsets[NODE_TOPICS_MAX][NODE_PARTITIONS_MAX]; // -1: not in it
    int32_t commit_generation;
    uint32_t commit_era;
};

// Looks at offsets, lists and describes groups, now and then deletes an empty one.
struct group_looker {
    struct node_clients *all;
    struct group_clients *groups;
    struct client_connection connection;
    struct shard_timer timer;
    struct client_request request;
    uint8_t group;
    struct model_now sent;
    bool verifying; // fetches every group once
    uint32_t verified;
    bool fetched_ok;
    struct offset_fetch_request fetch;
    struct offset_fetch_request_group fetch_group;
    struct delete_groups_request delete;
    struct list_groups_request list;
    struct describe_groups_request describe;
    struct consumer_group_describe_request describe_new;
    struct bytes name;
};

struct group_clients {
    struct group_member members[GROUP_GROUPS_MAX][MODEL_GROUP_MEMBERS];
    struct group_looker looker;
};

// Members of group g are started with the clients' process.
void group_clients_start(struct node_clients *all);
// Every group has settled: all members in one generation hold every partition of every topic, each once.
bool group_clients_settled(const struct node_clients *all, char *why, size_t why_bytes);
// Fetches every committed offset once more: begins.
void group_clients_verify(struct node_clients *all);
bool group_clients_verified(const struct node_clients *all);

// What the broker counts: names; looked at now and then; added up when it begins anew and at the end.
void group_figures_name(struct sim_result *result);
void group_figures_read(struct node_world *w);
void group_figures_end(struct node_world *w);

// Shared by the protocols (group_member.c).
struct model_group *member_model(const struct group_member *m);
void member_wake_in(struct group_member *m, uint64_t delay_ns);
void member_send(struct group_member *m, const struct schema_message *message, const void *in, int16_t version_max,
                 uint32_t timeout_ms, client_done_fn done);
// The answer at hand is of an earlier life of this member.
bool member_is_stale(const struct group_member *m);
// It is no member any more and begins anew, keep_id: under its id.
void member_rejoin(struct group_member *m, bool keep_id);
uint64_t member_lease_ns(const struct group_member *m);
uint32_t member_all_mask(const struct node_world *w);
struct bytes member_topic_name(struct node_world *w, uint32_t topic);
// It was given partitions, perhaps none.
void member_assigned(struct group_member *m);
void member_commit(struct group_member *m);

void classic_member_join(struct group_member *m);
void classic_member_act(struct group_member *m); // STABLE: a heartbeat
void classic_member_leave(struct group_member *m);
void consumer_member_beat(struct group_member *m); // also joins
void consumer_member_leave(struct group_member *m);
void group_looker_start(struct group_looker *l, struct node_clients *all);
