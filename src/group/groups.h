// SPDX-License-Identifier: Apache-2.0
//
// The group coordinator as a pure core: all groups whose offsets partition is one partition of __consumer_offsets.
// Decide, then apply: a call that changes durable state becomes a decision, one record batch in Kafka's own record
// formats; nothing of it counts before the batch is committed and groups_append_done() has applied its records. Replay
// of the log is recovery: groups_apply() is the only mutator of durable state, live and at load.
//
//     groups_call() ---> answered at once (reads, errors, heartbeats that change nothing)
//                   ---> parked (joins, syncs that wait for other members; whatever waits for a decision of its group)
//                   ---> decision: groups_next_append() -> log -> groups_append_done() -> apply -> answers
//     groups_tick() ---> sessions and rebalances that timed out, offsets that expired: decisions and answers, too
//
// What is durable: committed offsets; a classic group's last stable generation (members, protocol, assignment); every
// epoch, member and assignment of a group of the new protocol (KIP-848). What is soft, lost with the coordinator and
// rebuilt by the members: joins under way, session and rebalance deadlines, the events of a group.
//
// While a decision that changes membership is in flight its group waits: calls that read that state queue behind it, in
// order. Commits of offsets do not wait for each other. A time-out or too few replicas after the append answers the
// clients and releases nothing: the group waits until the batch commits or the leader epoch of its append ends; then the
// host drops the whole core (groups_stop(), groups_deinit()) and loads a new one.
//
// Pure: no clock, no file, no thread. Time arrives with every entry; topics are looked up through the host. Everything
// belongs to the shard that owns the partition. Memory is allocated a group, a member, an offset; every failure of it is
// an answer (COORDINATOR_NOT_AVAILABLE, which clients retry) and changes nothing.
//
// Sources: KIP-62, 134, 211, 345, 389, 394, 429, 496, 518, 699, 709, 800, 814, 848, 881, 1043, 1082.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/prng.h"
#include "base/rc.h"
#include "base/trace.h"
#include "model/ids.h"

struct groups;
struct group;

// ------------------------------------------------------------------------------------------------ settings

// Broker settings, by their Kafka names. The caller replaces the whole struct when they change (groups_configure()).
struct groups_config {
    int32_t session_timeout_min_ms, session_timeout_max_ms; // group.min/max.session.timeout.ms: 6000, 1800000
    int32_t initial_rebalance_delay_ms;                     // group.initial.rebalance.delay.ms: 3000
    int32_t size_max;                                       // group.max.size: INT32_MAX
    int32_t offset_metadata_bytes_max;                      // offset.metadata.max.bytes: 4096
    int64_t offsets_retention_ms;                           // offsets.retention.minutes: 7 days
    int64_t offsets_retention_check_ms;                     // offsets.retention.check.interval.ms: 600000
    bool classic_enabled, consumer_enabled;                 // group.coordinator.rebalance.protocols
    int32_t consumer_session_timeout_ms;    // group.consumer.session.timeout.ms: 45000 (min 45000, max 60000)
    int32_t consumer_heartbeat_interval_ms; // group.consumer.heartbeat.interval.ms: 5000 (min 5000, max 15000)
    int32_t consumer_size_max;                              // group.consumer.max.size: INT32_MAX
    uint8_t consumer_assignors[2];                          // group.consumer.assignors: uniform, range; enum group_assignor
    uint8_t consumer_assignor_count;
    bool migrate_up, migrate_down;          // group.consumer.migration.policy: bidirectional
    int64_t consumer_regex_refresh_ms;      // group.consumer.regex.refresh.interval.ms: 600000
    uint32_t batch_bytes_max;               // a decision may be at most this long (max.message.bytes of the topic)
};

enum group_assignor { GROUP_ASSIGNOR_UNIFORM, GROUP_ASSIGNOR_RANGE };

void groups_config_default(struct groups_config *c);

// ------------------------------------------------------------------------------------------------ the host

// What the core needs to know of the world around it; answers are views valid until the next entry of the core.
struct group_topic {
    struct uuid id;
    struct bytes name;
    int32_t partition_count;
};

struct groups_host {
    // False: there is no such topic.
    bool (*topic_by_name)(void *context, struct bytes name, struct group_topic *out);
    bool (*topic_by_id)(void *context, struct uuid id, struct group_topic *out);
    // The first topic in name order after `after` (p NULL: from the start), for regular expressions.
    bool (*topic_next)(void *context, struct bytes after, struct group_topic *out);
    // Racks of the replicas of one partition, at most racks_max; returns how many (KIP-881). May be NULL.
    uint32_t (*partition_racks)(void *context, struct uuid topic, int32_t partition, struct bytes *racks,
                                uint32_t racks_max);
    // consumer.session.timeout.ms and consumer.heartbeat.interval.ms of one group (KIP-848); leaves what is not set. May
    // be NULL.
    void (*group_config)(void *context, struct bytes group_id, int32_t *session_timeout_ms,
                         int32_t *heartbeat_interval_ms);
    void *context;
    struct trace_sink *trace; // every rebalance leaves a line: why, and who caused it
};

struct group_time {
    uint64_t now_ns; // monotonic: sessions, rebalances
    int64_t wall_ms; // commit timestamps
    int64_t settled_ms; // expiry of offsets: the same, but for a jump that is not believed yet
};

// ------------------------------------------------------------------------------------------------ calls

//   kind                  request                             response
//   JOIN                  struct join_group_request           struct join_group_response
//   SYNC                  struct sync_group_request           struct sync_group_response
//   HEARTBEAT             struct heartbeat_request            struct heartbeat_response
//   LEAVE                 struct leave_group_request          struct leave_group_response (all versions)
//   COMMIT                struct offset_commit_request        struct offset_commit_response
//   FETCH                 struct group_fetch_request          struct offset_fetch_response_group (also for versions below 8)
//   OFFSET_DELETE         struct offset_delete_request        struct offset_delete_response
//   DELETE                none                                struct delete_groups_response_result
//   DESCRIBE              none                                struct describe_groups_response_group
//   LIST                  struct list_groups_request          struct group_list (groups of this core that pass the filters)
//   CONSUMER_HEARTBEAT    struct consumer_group_heartbeat_request   struct consumer_group_heartbeat_response
//   CONSUMER_DESCRIBE     none                                struct consumer_group_describe_response_group
enum group_call_kind {
    GROUP_JOIN,
    GROUP_SYNC,
    GROUP_HEARTBEAT,
    GROUP_LEAVE,
    GROUP_COMMIT,
    GROUP_FETCH,
    GROUP_OFFSET_DELETE,
    GROUP_DELETE,
    GROUP_DESCRIBE,
    GROUP_LIST,
    GROUP_CONSUMER_HEARTBEAT,
    GROUP_CONSUMER_DESCRIBE,
    GROUP_CALL_KINDS,
};

struct group_fetch_request {
    const struct offset_fetch_request_group *group; // topics NULL: every offset of the group
    bool require_stable;
};

struct group_list {
    int16_t error_code;
    struct list_groups_response_group *groups;
    uint32_t count;
};

enum { GROUP_HOST_BYTES = 64, GROUP_ANSWER_BYTES_MAX = 64 << 20 };

// One request about one group, owned by the caller; zeroed before use. The caller sets the fields of the first part;
// request and what it points to stay in place, unchanged, until the call is given back by groups_next_answer(). The
// response and what it points to live in `arena`, which the core initialises and the caller frees with
// group_call_deinit() on any shard once the answer has been encoded. response NULL: memory ran out.
struct group_call {
    enum group_call_kind kind;
    int16_t version; // of the API
    struct bytes group_id;
    const void *request;
    struct bytes client_id;
    char client_host[GROUP_HOST_BYTES]; // as Kafka shows it: "/127.0.0.1"
    uint64_t connection;                // it came over: the same number for the same one; 0: unknown
    bool include_events;                // DESCRIBE, CONSUMER_DESCRIBE: with the group's last events
    void *response;                     // out
    // private
    struct list_node link;
    struct group *group; // while it waits in the group's queue or inside it
    struct arena arena;
    void *waiting; // what it is parked on
    uint8_t stage; // enum group_call_stage (core.h)
    bool short_of_memory; // while the response was made: it is none
};

// Fills the answer of a call that does not reach a core with rc (NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS,
// COORDINATOR_NOT_AVAILABLE, INVALID_GROUP_ID, ...): for the host, before or instead of groups_call().
void group_call_refuse(struct group_call *call, enum rc rc);
void group_call_deinit(struct group_call *call);

// ------------------------------------------------------------------------------------------------ decisions

// One record batch for the log: uncompressed, without producer, base offset 0; the log patches it in place. Owned by the
// core; between groups_next_append() and groups_append_done() the bytes are the host's.
struct group_append {
    struct list_node link;
    struct buf batch;
    // private
    struct groups *groups;
    struct group *group;
    struct list calls; // struct group_call answered by it
    void (*applied)(struct group_append *a, enum rc rc); // after the records were applied, or it failed
    void *context;
    bool exclusive; // membership: the group waits
    bool told;      // its calls were answered by groups_append_late()
    enum rc rc;     // while it is built
};

// ------------------------------------------------------------------------------------------------ the core

struct groups {
    struct groups_config config;
    struct groups_host host;
    struct group_time now; // of the entry at hand
    struct prng prng;      // member ids
    struct map by_id;      // struct group
    struct heap deadlines; // struct group_deadline
    struct list answers;   // struct group_call ready to be given back
    struct list appends;   // struct group_append not yet taken
    struct list in_flight; // taken, in the order of the log
    struct group_deadline *expiry;
    bool loading, stopped;
    bool broken; // memory ran out while committed records were applied: the host stops this core and loads another one
    uint64_t offset_count, member_count, group_count; // for metrics
    uint64_t rebalances, expired_offsets;
    void *core_private;
};

// Empty, loading: groups_apply() until the log is read, then groups_loaded(). RC_NOMEM.
enum rc groups_init(struct groups *g, const struct groups_config *config, const struct groups_host *host,
                    uint64_t seed);
void groups_configure(struct groups *g, const struct groups_config *config);
// Every call has been given back and every append returned or dropped (groups_stop()).
void groups_deinit(struct groups *g);

// Applies one record as committed, in log order. value.p NULL: a tombstone. producer_id PRODUCER_ID_NONE: not
// transactional. Records that cannot be understood are skipped with a warning, as Kafka does it (a newer key version, a
// malformed value): RC_OK. RC_NOMEM: give the core up and load again.
enum rc groups_apply(struct groups *g, int64_t producer_id, int16_t producer_epoch, struct bytes key,
                     struct bytes value);
// The end of a transaction: pending offsets of producer_id become committed or go.
enum rc groups_apply_marker(struct groups *g, int64_t producer_id, int16_t producer_epoch, bool commit);
// The log has been read: sessions of members found in it start now. Calls are taken from here on.
void groups_loaded(struct groups *g, struct group_time now);

// Takes a call. It comes back through groups_next_answer(), maybe at once.
void groups_call(struct groups *g, struct group_call *call, struct group_time now);
// The caller's connection is gone: a parked call is given back at once through groups_next_answer(), for nobody to read;
// membership is not touched (the session decides).
void groups_call_abandon(struct groups *g, struct group_call *call, struct group_time now);
// Topics of the image changed (created, deleted, more partitions): groups of the new protocol that are subscribed to
// them rebalance; a deleted topic's offsets go (decisions). `topic` deleted: its id is not found any more.
void groups_topic_changed(struct groups *g, struct bytes name, struct uuid id, bool deleted, struct group_time now);

// After every entry: take what came of it. NULL: nothing (more).
struct group_call *groups_next_answer(struct groups *g);
struct group_append *groups_next_append(struct groups *g);
// When groups_tick() is due (monotonic ns), UINT64_MAX: not.
uint64_t groups_deadline_ns(const struct groups *g);
void groups_tick(struct groups *g, struct group_time now);

// The outcome of an append, in the order of the log. RC_OK: committed; its records are applied and its calls answered.
// Else it is known that nothing of it is in the log (RC_NOT_ENOUGH_REPLICAS, RC_NO_SPACE, RC_MESSAGE_TOO_LARGE, ...):
// its calls get the error Kafka gives for it. a is freed.
void groups_append_done(struct groups *g, struct group_append *a, enum rc rc, struct group_time now);
// The outcome is open for longer than the request may wait (offsets.commit.timeout.ms): its calls are answered
// (REQUEST_TIMED_OUT as Kafka maps it), the group goes on waiting for groups_append_done().
void groups_append_late(struct groups *g, struct group_append *a, struct group_time now);

// The leader epoch has ended, or the node stops: every call is answered with rc (NOT_COORDINATOR), appends in flight are
// let go (the host must not return them any more; it keeps their bytes until the log has let go of them:
// groups_append_orphan()). Nothing but draining answers and groups_deinit() may follow.
void groups_stop(struct groups *g, enum rc rc);
// Frees an append that was in flight when the core stopped.
void groups_append_orphan(struct group_append *a);

// ------------------------------------------------------------------------------------------------ snapshots

// Writes all durable state as records, in an order that groups_apply() takes, in pieces: a call ends with the group
// that reaches bytes_max. Appended to out: unsigned varint key length, key, varint value length, value (never a
// tombstone). cursor starts zeroed. RC_AGAIN: more; RC_OK: complete; RC_NOMEM; RC_UNSUPPORTED while transactional
// offsets wait for their end, which a snapshot cannot say: try later. The core must not be changed between the calls, or
// begin anew (groups_version() tells).
struct groups_cursor {
    uint64_t a, b;
    void *p;
};
enum rc groups_snapshot(const struct groups *g, struct groups_cursor *cursor, size_t bytes_max, struct buf *out);
// Rises with every applied record and with every group made or dropped.
uint64_t groups_version(const struct groups *g);

// ------------------------------------------------------------------------------------------------ names

// The partition of __consumer_offsets for a group: the absolute value of Java's String.hashCode (UTF-16 units) modulo
// partition_count; INT32_MIN counts as 0 as in Kafka's Utils.abs.
int32_t group_partition(struct bytes group_id, int32_t partition_count);
