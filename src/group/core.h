// SPDX-License-Identifier: Apache-2.0
//
// What the files of the room share. A group is empty of any type until its first member; then classic or consumer
// (KIP-848), until it is empty again or converted.
//
//   groups.c      table, calls, queues, answers, deadlines        decision.c    batches of records, their life
//   apply.c       stored records -> state                         snapshot.c    state -> stored records
//   offsets*.c    commit, fetch, delete, expiry                   describe.c    list, describe, delete
//   classic*.c    join, sync, heartbeat, leave                    events.c      why a group rebalanced
//   consumer*.c   the new protocol; assign_*.c its assignors; subscription.c, regex.c what members are subscribed to
#pragma once

#include "group/groups.h"
#include "wire/messages.h"

enum group_type { GROUP_UNTYPED, GROUP_CLASSIC, GROUP_CONSUMER };

// Deadlines in groups.deadlines; embedded by their owner, zeroed before first use.
struct group_deadline {
    struct heap_node node;
    void (*fire)(struct groups *g, struct group_deadline *d);
};
enum rc group_deadline_set(struct groups *g, struct group_deadline *d, uint64_t at_ns,
                           void (*fire)(struct groups *g, struct group_deadline *d));
void group_deadline_cancel(struct groups *g, struct group_deadline *d);

// What happened to a group lately, newest last; soft. Text is one line: "member m left (client closed): rebalance".
enum { GROUP_EVENTS_KEPT = 8, GROUP_EVENT_BYTES = 160 };
struct group_event {
    int64_t wall_ms;
    int32_t generation; // or group epoch
    char text[GROUP_EVENT_BYTES];
};

struct group_events {
    uint32_t next, count;
    struct group_event at[GROUP_EVENTS_KEPT];
};

struct classic_group;  // classic.h
struct consumer_group; // consumer.h

struct group {
    struct map_node node; // groups.by_id
    struct groups *groups;
    enum group_type type;
    struct classic_group *classic;   // CLASSIC
    struct consumer_group *consumer; // CONSUMER
    struct map offsets;              // struct group_offset by (topic, partition); committed
    struct list queue;               // struct group_call waiting for the decision in flight, in order
    uint32_t commits_in_flight;      // decisions that only commit offsets
    struct group_append *deciding;   // the exclusive decision in flight, NULL: none
    struct group_events *events;     // NULL: nothing happened yet
    int64_t empty_since_ms;          // wall; when the last member went (current_state_timestamp), -1: has members
    bool dead;                       // its tombstone is applied; freed when nothing points here
    uint16_t id_bytes;
    char id[]; // zero-terminated
};

static inline struct bytes group_id(const struct group *gr)
{
    return bytes_of(gr->id, gr->id_bytes);
}

struct group *group_find(const struct groups *g, struct bytes id);
// The group, made UNTYPED when it is not there. NULL: memory.
struct group *group_ensure(struct groups *g, struct bytes id);
// Frees it if it is untyped, without offsets, members, queue and decisions.
void group_drop_if_unused(struct group *gr);

// ------------------------------------------------------------------------------------------------ answers

// A response of the call's kind in its arena, with the schema's defaults; NULL: memory (the call has been answered).
void *group_answer_new(struct group_call *call);
void *group_answer_alloc(struct group_call *call, size_t count, size_t size); // from its arena, zeroed
struct bytes group_answer_copy(struct group_call *call, struct bytes b);      // {NULL, 0} stays null
// The call is done: it moves to groups.answers.
void group_answer(struct groups *g, struct group_call *call);
// The answer Kafka gives for rc to this kind of call; message may be NULL.
void group_answer_error(struct groups *g, struct group_call *call, enum rc rc, const char *message);

// ------------------------------------------------------------------------------------------------ decisions

// A decision of one group. Exclusive ones are begun only when group_may_decide(); while one is in flight group_wait()
// queues what depends on it. Commits (exclusive false) may be begun when no exclusive one is in flight.
bool group_may_decide(const struct group *gr);
void group_wait(struct group *gr, struct group_call *call);

struct group_append *group_decision_begin(struct group *gr, bool exclusive); // NULL: memory
// One record: key and value as wire structs of proto/kafka/stored.schema with their versions, value NULL: a tombstone.
// Errors stick; group_decision_submit() tells.
void group_decision_add(struct group_append *a, const struct schema_message *key_message, int16_t key_version,
                        const void *key, const struct schema_message *value_message, int16_t value_version,
                        const void *value);
// Hands it to the log. applied() runs with RC_OK after all its records were applied, or with why it is not in the log.
// Errors, nothing submitted and a freed: RC_NOMEM, RC_RECORD_LIST_TOO_LARGE (one batch cannot hold it). A decision
// without records is applied at once, from inside.
enum rc group_decision_submit(struct group_append *a, void (*applied)(struct group_append *a, enum rc rc),
                              void *context);

// ------------------------------------------------------------------------------------------------ by protocol

// Calls of the classic protocol and of the new one (also heartbeats of classic members in a consumer group).
void classic_call(struct groups *g, struct group *gr, struct group_call *call);
void consumer_call(struct groups *g, struct group *gr, struct group_call *call);

// Records of the new protocol (keys 3 to 8 and 16). RC_NOMEM.
enum rc consumer_apply(struct groups *g, int16_t key_version, struct bytes key, struct bytes value);
enum rc classic_apply(struct groups *g, struct bytes key, struct bytes value); // GroupMetadata (key 2)
void classic_loaded(struct group *gr);
void consumer_loaded(struct group *gr);
void classic_free(struct group *gr);
void consumer_free(struct group *gr);
// Answers with rc everything parked inside.
void classic_stop(struct group *gr, enum rc rc);
void consumer_stop(struct group *gr, enum rc rc);
enum rc classic_snapshot(const struct group *gr, struct buf *out);
enum rc consumer_snapshot(const struct group *gr, struct buf *out);

// May this member commit now? RC_OK, RC_UNKNOWN_MEMBER_ID, RC_ILLEGAL_GENERATION, RC_FENCED_INSTANCE_ID,
// RC_STALE_MEMBER_EPOCH, RC_REBALANCE_IN_PROGRESS. A commit keeps a classic member's session alive.
enum rc classic_commit_allowed(struct group *gr, const struct group_call *call, const struct offset_commit_request *in);
enum rc consumer_commit_allowed(struct group *gr, const struct group_call *call, const struct offset_commit_request *in);
// OffsetFetch 9 with a member and epoch.
enum rc consumer_fetch_allowed(struct group *gr, struct bytes member_id, int32_t member_epoch);
uint32_t classic_member_count(const struct group *gr);
uint32_t consumer_member_count(const struct group *gr);
// Subscribed to topic: its offsets do not expire and cannot be deleted.
bool classic_subscribes(const struct group *gr, struct bytes topic);
bool consumer_subscribes(const struct group *gr, struct bytes topic);
// Kafka's state names: "PreparingRebalance", "CompletingRebalance", "Stable", "Empty", "Dead"; "Assigning",
// "Reconciling".
const char *classic_state_name(const struct group *gr);
const char *consumer_state_name(const struct group *gr);
void classic_describe(struct group *gr, struct group_call *call, struct describe_groups_response_group *out);
void consumer_describe(struct group *gr, struct group_call *call, struct consumer_group_describe_response_group *out);
// Tombstones of every record of the group but its offsets, for a decision that deletes it (the group is empty).
void classic_add_tombstones(struct group_append *a, const struct group *gr);
void consumer_add_tombstones(struct group_append *a, const struct group *gr);

// ------------------------------------------------------------------------------------------------ events

// Notes and logs one event.
void group_event(struct group *gr, int32_t generation, const char *format, ...) __attribute__((format(printf, 3, 4)));
