// SPDX-License-Identifier: Apache-2.0
//
// Members of consumer groups, each a client with connections of its own, and somebody who looks at what was committed. The
// members consume nothing: they join, hold partitions, commit numbers that nobody else commits, leave, crash, pause and
// come back. They live in the clients' process of a scenario, of one broker or of several, which tells them of the world
// they are in by a struct group_world.
#pragma once

#include "client/connection.h"
#include "client_answer.h"
#include "model_group.h"
#include "scenario.h"
#include "wire/messages.h"

enum {
    GROUP_GROUPS_MAX = 3,
    GROUP_SESSION_MS = 300, // of every member, both protocols
    GROUP_HEARTBEAT_MS = 30,
    GROUP_ASSIGNMENT_BYTES = 1024,
    GROUP_LATE_MAX = 64,
};

enum group_protocol { GROUP_PROTOCOL_CLASSIC, GROUP_PROTOCOL_CONSUMER, GROUP_PROTOCOL_MIXED };

struct group_account {
    enum group_protocol protocol;
    uint32_t member_count;
    uint32_t rebalance_timeout_ms;
    struct model_group model;
};

// What members were told and got done.
enum group_count {
    GROUP_ASSIGNMENTS,
    GROUP_MIXED, // of them, while a member of the other protocol had one, too
    GROUP_COMMITS_ACKED,
    GROUP_COMMITS_REFUSED,
    GROUP_COMMITS_OPEN,
    GROUP_GROUPS_DELETED,
    GROUP_COUNTS
};

struct group_world {
    struct sim *sim;
    struct sim_node *machine; // of the clients
    struct sim_result *result;
    uint32_t host_count; // brokers: node id k + 1 is hosts[k]
    const char *hosts[MODEL_GROUP_NODES];
    uint16_t port;
    uint16_t lives[MODEL_GROUP_NODES]; // the count of each broker's starts
    const uint32_t *era;               // see struct model_now
    const bool *draining;
    uint32_t topic_count;
    struct group_subject {
        const char *name;
        struct uuid *id; // zero: not known yet
        const uint32_t *partition_count;
    } topics[MODEL_GROUP_TOPICS];
    bool (*there)(const struct group_world *w, uint32_t topic); // its creation was acknowledged
    // The coordinator of a group on that broker may have a successor it has not heard of, since it was asked or a moment
    // before. NULL: never.
    bool (*may_not_know)(const struct group_world *w, uint32_t group, uint32_t host, uint64_t asked_ns);
    uint32_t group_count;
    struct group_account groups[GROUP_GROUPS_MAX];
    // the members' own
    int64_t commit_numbers;
    uint32_t group_rounds;
    uint64_t requests_answered;
    uint64_t counts[GROUP_COUNTS];
};

static inline struct model_now group_now(const struct group_world *w)
{
    struct model_now now = {.ns = w->sim->now_ns, .era = *w->era};
    for (uint32_t k = 0; k < MODEL_GROUP_NODES; k++)
        now.lives[k] = w->lives[k];
    return now;
}

struct group_links { // to every broker
    struct client_connection to[MODEL_GROUP_NODES];
};

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

// What a member sent and nobody answered; see group_late.c.
struct group_late {
    uint64_t serial; // of its connection, closed by the member
    uint32_t kept;   // mask of the partitions that it does not disclaim
    bool last;       // nothing was sent on it afterwards
};

struct group_member {
    struct group_world *w;
    struct group_clients *groups;
    uint8_t index, group; // index: in its group
    bool consumer;        // speaks the new protocol, this time
    bool fixed;           // a static member
    enum member_state state;
    uint64_t came_ns;     // when this life began
    uint64_t back_ns;     // AWAY: when it comes; else paused until then
    uint64_t acted_ns;    // last heartbeat
    struct group_links links;
    uint32_t at;           // the coordinator's broker
    bool astray;           // STABLE: it is another one by now, and asked for
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
    struct group_late late[GROUP_LATE_MAX];
    uint32_t late_count;
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
    struct bytes topic_names[MODEL_GROUP_TOPICS];
    struct consumer_group_heartbeat_request_topic_partition owned_topics[MODEL_GROUP_TOPICS];
    int32_t owned_partitions[MODEL_GROUP_TOPICS][MODEL_GROUP_PARTITIONS];
    // the commit on its way
    struct offset_commit_request commit_in;
    struct offset_commit_request_topic commit_topics[MODEL_GROUP_TOPICS];
    struct offset_commit_request_partition commit_partitions[MODEL_GROUP_TOPICS][MODEL_GROUP_PARTITIONS];
    int64_t commit_offsets[MODEL_GROUP_TOPICS][MODEL_GROUP_PARTITIONS]; // -1: not in it
    int32_t commit_generation;
    uint32_t commit_era;
};

// Looks at offsets, lists and describes groups, now and then deletes an empty one.
struct group_looker {
    struct group_world *w;
    struct group_clients *groups;
    struct group_links links;
    uint32_t at[GROUP_GROUPS_MAX]; // the broker that answers for a group
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
    struct group_world *w;
    struct shard *shard;
    struct group_member members[GROUP_GROUPS_MAX][MODEL_GROUP_MEMBERS];
    struct group_looker looker;
};

// How many groups of which kind, drawn; the rest of w is filled.
void group_accounts_draw(struct group_world *w, bool lossless);
// In the clients' process; g: zeroed, w is filled.
void group_clients_start(struct group_clients *g, struct group_world *w, struct shard *shard);
// Every group has settled: all members in one generation hold every partition of every topic, each once.
bool group_clients_settled(const struct group_clients *g, char *why, size_t why_bytes);
// Fetches every committed offset once more: begins.
void group_clients_verify(struct group_clients *g);
bool group_clients_verified(const struct group_clients *g);

// Shared by the protocols (group_member.c).
struct model_group *member_model(const struct group_member *m);
void member_wake_in(struct group_member *m, uint64_t delay_ns);
void member_send(struct group_member *m, const struct schema_message *message, const void *in, int16_t version_max,
                 uint32_t timeout_ms, client_done_fn done);
// The answer at hand is of an earlier life of this member.
bool member_is_stale(const struct group_member *m);
// It is no member any more and begins anew, keep_id: under its id.
void member_rejoin(struct group_member *m, bool keep_id);
// It is about to leave: it holds nothing any more.
void member_let_go(struct group_member *m);
// The answer to that: it is away for a while, whatever the coordinator said.
void member_left(struct client_request *r, enum rc rc, struct bytes body);
void member_lost_coordinator(struct group_member *m);
uint64_t member_lease_ns(const struct group_member *m);
// The request at hand, which disclaims all partitions but `kept`, is given back without an answer; its connection was the
// last that was closed.
void member_unanswered(struct group_member *m, uint32_t kept);
// Tells the model which of those may have been heard by now.
void member_look_late(struct group_member *m);
// It holds exactly mask, and what is new in it or in renewed by the answer to the request at hand.
void member_holds(struct group_member *m, uint32_t mask, uint32_t renewed);
uint32_t member_all_mask(const struct group_world *w);
struct bytes member_topic_name(const struct group_world *w, uint32_t topic);
// It was given partitions, perhaps none.
void member_assigned(struct group_member *m);
void member_commit(struct group_member *m);

void classic_member_join(struct group_member *m);
void classic_member_act(struct group_member *m); // STABLE: a heartbeat
void classic_member_leave(struct group_member *m);
void consumer_member_beat(struct group_member *m); // also joins
void consumer_member_leave(struct group_member *m);
void group_links_init(struct group_links *l, struct group_clients *g, const char *name);
void group_looker_start(struct group_looker *l, struct group_clients *g);
