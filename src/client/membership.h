// SPDX-License-Identifier: Apache-2.0
//
// A member of a consumer group: finds the coordinator, joins, keeps itself alive, takes partitions on and gives them
// up, leaves. Speaks the classic protocol (JoinGroup, SyncGroup; eager or cooperative as the assignors allow) and the
// new one (KIP-848). It reads nothing and commits nothing by itself: client/reader.h does. Belongs to one shard and
// works in its turns; it never waits for its owner in them. What the owner must do first is an event: the next step is
// taken when membership_event_done() says so, heartbeats go on meanwhile.
//
//      OUT ----> JOINING ----> [ASSIGNING] ----> SYNCING ----> STABLE          classic; ASSIGNING is the leader's,
//       ^           |              |                |             |            while it learns about topics
//       +-----------+--------------+----------------+-------------+            any error, a rebalance
//      OUT ----> JOINING ------------------------------------> STABLE          the new protocol
//      any ----> ENDED                                                         left, or an error that stays
#pragma once

#include "client/assignor.h"
#include "client/client.h"

enum membership_protocol { MEMBERSHIP_CLASSIC, MEMBERSHIP_CONSUMER };
enum membership_state {
    MEMBERSHIP_OUT,
    MEMBERSHIP_JOINING,
    MEMBERSHIP_ASSIGNING,
    MEMBERSHIP_SYNCING,
    MEMBERSHIP_STABLE,
    MEMBERSHIP_ENDED,
    MEMBERSHIP_STATES,
};

enum membership_event {
    MEMBERSHIP_NOTHING,
    MEMBERSHIP_REVOKED,  // give these up: this is the time to commit
    MEMBERSHIP_LOST,     // these are somebody else's already: a commit would be refused
    MEMBERSHIP_ASSIGNED, // these are new; there may be none
    MEMBERSHIP_FAILED,   // out of the group for good: membership.code and the client's error say why
};

enum { MEMBERSHIP_ASSIGNORS_MAX = 4, MEMBERSHIP_ID_BYTES_MAX = 256, MEMBERSHIP_REASON_BYTES = 128 };

struct membership_config {
    const char *group_id;
    const char *instance_id; // of a static member (KIP-345); NULL: dynamic
    enum membership_protocol protocol;
    const struct client_assignor *assignors[MEMBERSHIP_ASSIGNORS_MAX]; // classic; most wanted first
    uint32_t assignor_count;
    const char *server_assignor;               // new protocol; NULL: the broker's choice
    uint32_t session_timeout_ms, heartbeat_ms; // classic
    uint32_t rebalance_timeout_ms;             // how long an owner may take over an event
    uint32_t metadata_age_ms;                  // topics are looked at again so often
};

struct membership_config membership_config_default(const char *group_id);

struct membership_partition {
    struct client_topic *topic;
    int32_t index;
};

// By topic name, then index; none twice.
struct membership_set {
    struct membership_partition *items;
    uint32_t count, cap;
};

struct membership_snapshot {
    struct client_topic *topic;
    int32_t partition_count;
};

struct membership;
typedef void (*membership_wake_fn)(struct membership *m);

struct membership {
    struct client *client;
    struct membership_config config;
    enum membership_state state;
    enum membership_event event;    // what the owner is to do
    struct membership_set affected; // whom the event is about
    struct membership_set owned;    // as the owner has it
    char member_id[MEMBERSHIP_ID_BYTES_MAX];
    int32_t generation;   // or member epoch; -1: none
    int16_t code;         // of MEMBERSHIP_FAILED; Kafka's, or -1
    const char *assignor; // that the group chose; NULL: not known
    bool leader, cooperative;
    uint32_t rebalances; // assignments received
    // The coordinator. Its connection is the group's own: a JoinGroup may be held back there for minutes.
    bool found;
    int32_t coordinator_id;
    struct client_connection connection;
    // private
    struct client_topic **topics; // subscribed to
    uint32_t topic_count;
    bool connection_open, rejoin_after, changed, closing, acknowledge;
    char host[IO_HOST_BYTES_MAX]; // of the coordinator as last heard
    uint16_t port;
    char reason[MEMBERSHIP_REASON_BYTES]; // for the next JoinGroup
    struct membership_set target;         // what the last assignment gives us
    bool reconciling;                     // it has not been compared with what is owned yet, not to its end
    struct client_request find, join, sync, heartbeat;
    struct find_coordinator_request find_in;
    struct bytes find_key;
    struct join_group_request join_in;
    struct join_group_request_protocol join_protocols[MEMBERSHIP_ASSIGNORS_MAX];
    struct join_group_response joined;
    struct sync_group_request sync_in;
    struct heartbeat_request heartbeat_in;
    struct consumer_group_heartbeat_request beat_in; // of the new protocol
    bool beat_full;                                  // say everything in the next one
    struct arena arena;                   // of one round: what JoinGroup says and answers, what SyncGroup says
    struct arena beat_arena;              // of one heartbeat of the new protocol
    struct membership_snapshot *snapshot; // the leader's: what it split
    uint32_t snapshot_count;
    uint64_t retry_ns, heartbeat_due_ns, session_ns, metadata_due_ns;
    uint32_t heartbeat_ms; // in force
    struct shard_timer timer;
    struct shard_task step;
    struct client_watch watch;
};

// Nothing is sent yet. topics stay the client's. RC_NOMEM.
enum rc membership_init(struct membership *m, struct client *c, const struct membership_config *config,
                        struct client_topic *const *topics, uint32_t topic_count);
// Without a word to the group. Not from inside a callback of the client.
void membership_deinit(struct membership *m);

// Begins to join; goes on by itself from here.
void membership_start(struct membership *m);
// What m->event asked for has been done.
void membership_event_done(struct membership *m);
// Waits until a dynamic member has left, at most wait_ms; a static one just stops, so that its place stays. The state
// is ENDED then and what was owned is not any more: revoke before.
void membership_leave(struct membership *m, uint32_t wait_ms);

// Something the coordinator answered to a request made outside (a commit): takes it to heart as the protocol asks.
// generation is the one it was made in: a refusal of an older one than we are in, or are about to be in, is no news.
// True when another try may help.
bool membership_heard(struct membership *m, int32_t generation, enum rc rc, int16_t code);
