// SPDX-License-Identifier: Apache-2.0
//
// What the files of the room share. A group is empty of any type until its first member; then classic or consumer
// (KIP-848), until it is empty again or converted.
//
//   groups.c      table, dispatch, queues, deadlines              answer.c      answers and errors of calls
//   decision.c    batches of records, their life                  apply.c       stored records -> state
//   snapshot.c    state -> stored records                         names.c       topic names, partition of a group
//   offsets*.c    commit, fetch, delete, expiry, transactions     describe.c    list, describe, delete
//   classic*.c    join, sync, heartbeat, leave                    events.c      why a group rebalanced
//   consumer*.c   the new protocol; assign_*.c its assignors; subscription.c, regex.c what members are subscribed to
#pragma once

#include "group/groups.h"
#include "wire/batch.h"
#include "wire/messages.h"

enum group_type { GROUP_UNTYPED, GROUP_CLASSIC, GROUP_CONSUMER };

// Deadlines in groups.deadlines; embedded by their owner, zeroed before first use. The first set can fail (RC_NOMEM); a
// deadline then keeps its place until it is cancelled, also after it fired, so that setting it again never fails.
// GROUP_NEVER: not due. A deadline that falls into a decision of its group sets itself anew, GROUP_RETRY_NS later.
#define GROUP_NEVER UINT64_MAX
#define GROUP_RETRY_NS UINT64_C(200000000)
#define GROUP_SESSION_STEP_NS UINT64_C(100000000)
struct group_deadline {
    struct heap_node node;
    void (*fire)(struct groups *g, struct group_deadline *d);
};
enum rc group_deadline_set(struct groups *g, struct group_deadline *d, uint64_t at_ns,
                           void (*fire)(struct groups *g, struct group_deadline *d));
void group_deadline_cancel(struct groups *g, struct group_deadline *d);
// When a session of so many milliseconds ends that begins now: with others of the same tenth of a second, so that the
// members of a process that died are missed together, which costs one rebalance instead of many.
uint64_t group_session_end(const struct groups *g, int32_t ms);

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
    uint32_t pending_offsets;        // transactional, waiting for their marker
    struct group_events *events;     // NULL: nothing happened yet
    int64_t empty_since_ms;          // wall; when the last member went (current_state_timestamp), -1: not known or has
                                     // members
    uint16_t holds; // not to be freed now
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
// Frees it if nothing is left of it: no offsets, members, queue, decisions, and nothing in the log.
void group_drop_if_unused(struct group *gr);

// What the core keeps beside its public struct (groups.core_private).
struct core {
    struct group_deadline expiry; // of offsets
    struct group_deadline sweep;  // offsets of deleted topics that could not go at once
    struct map topics;            // struct topic_ref
    struct list txns;             // struct offsets_txn: producers with pending offsets
    struct buf key, value;        // scratch of the decision under construction and of apply
    struct batch_builder builder; // of the decision under construction
    bool building;
    bool sharing;                // a queue is dispatched: its commits go in one batch
    struct group_append *shared; // which is under construction
    uint64_t version;
    uint64_t skipped; // records
};

static inline struct core *core_of(const struct groups *g)
{
    return g->core_private;
}

// Topic names are kept once a core, counted.
struct topic_ref {
    struct map_node node;
    uint32_t refs;
    uint16_t n;
    int64_t deleted_ms; // wall; when the topic of that name was deleted: offsets not newer than that go. 0: was not
    char name[];        // zero-terminated
};
struct topic_ref *topic_ref_get(struct groups *g, struct bytes name); // counted; NULL: memory
struct topic_ref *topic_ref_find(const struct groups *g, struct bytes name);
void topic_ref_put(struct groups *g, struct topic_ref *t);

static inline struct bytes topic_ref_name(const struct topic_ref *t)
{
    return bytes_of(t->name, t->n);
}

// Length in UTF-16 units, as Java's String.length() counts.
size_t utf16_length(struct bytes utf8);

// ------------------------------------------------------------------------------------------------ answers

enum group_call_stage {
    GROUP_CALL_IDLE,
    GROUP_CALL_QUEUED,   // in group.queue
    GROUP_CALL_DECIDED,  // in group_append.calls; waiting is the append
    GROUP_CALL_PARKED,   // held by a member (waiting); released by its owner (classic_abandon())
    GROUP_CALL_ANSWERED, // in groups.answers
};

// A response of the call's kind in its arena, with the schema's defaults; NULL: memory (the call has been answered).
void *group_answer_new(struct groups *g, struct group_call *call);
// What follows fills it. Memory that runs out on the way needs no look at each step: the call keeps it in mind, and
// group_answer() then answers without a response.
void *group_answer_alloc(struct group_call *call, size_t count, size_t size); // from its arena, zeroed; NULL: memory
// A copy in the arena; {NULL, 0} stays null, and is what comes when memory is short.
struct bytes group_answer_copy(struct group_call *call, struct bytes b);
// GROUP_COMMIT: the response with code for every partition of the request. False: memory.
bool group_answer_commit(struct group_call *call, int16_t code);
// The call is done: it moves to groups.answers. complete false: memory ran out on the way, the response becomes NULL.
void group_answer(struct groups *g, struct group_call *call);
void group_answer_if(struct groups *g, struct group_call *call, bool complete);
// The answer Kafka gives for rc to this kind of call; message (static) may be NULL.
void group_answer_error(struct groups *g, struct group_call *call, enum rc rc, const char *message);
// What a client hears when the append of its decision failed with rc.
enum rc group_append_error(enum group_call_kind kind, enum rc rc);

// ------------------------------------------------------------------------------------------------ decisions

// A decision of one group. Exclusive ones are begun only when group_may_decide(); while one is in flight the dispatch
// queues every call that depends on it (all but HEARTBEAT of classic groups, FETCH, DESCRIBE, LIST), so handlers of
// calls may decide at once; deadlines and topic changes must ask. Commits (exclusive false) may be begun when no
// exclusive one is in flight. One decision is under construction at a time: begin, add, then submit or cancel.
bool group_may_decide(const struct group *gr);
// Queues a call behind the decision in flight; it is dispatched anew afterwards.
void group_wait(struct group *gr, struct group_call *call);
void group_wait_first(struct group *gr, struct group_call *call); // before those that wait already

struct group_append *group_decision_begin(struct group *gr, bool exclusive); // NULL: memory
// One record: key and value as wire structs of proto/kafka/stored.schema with their versions, value_message NULL: a
// tombstone. Errors stick; group_decision_submit() tells.
void group_decision_add(struct group_append *a, const struct schema_message *key_message, int16_t key_version,
                        const void *key, const struct schema_message *value_message, int16_t value_version,
                        const void *value);
// The call waits for this decision. When it is committed and applied the call is answered with the response it has by
// then, else with the error Kafka gives; applied() may answer it before that (group_decision_release() first).
void group_decision_attach(struct group_append *a, struct group_call *call);
void group_decision_release(struct group_append *a, struct group_call *call);
// Hands it to the log. applied() (NULL: nothing to do) runs with RC_OK after all its records were applied, or with why
// it is not in the log; after it the group's queue is dispatched. Errors, nothing submitted, its calls released and a
// freed, applied() not run: RC_NOMEM, RC_RECORD_LIST_TOO_LARGE (one batch cannot hold it). A decision without records
// is applied at once, from inside.
enum rc group_decision_submit(struct group_append *a, void (*applied)(struct group_append *a, enum rc rc),
                              void *context);
void group_decision_cancel(struct group_append *a); // instead of submitting; its calls are released
// Answers, late or failed, what waits for a (calls that were attached).
void group_decision_answer(struct group_append *a, enum rc rc);

// The group's queue, dispatched in order; calls that still cannot go queue again. May free the group.
void group_run_queue(struct group *gr);
struct group_call *group_queue_pop(struct group *gr);

// ------------------------------------------------------------------------------------------------ offsets

struct group_offset {
    struct map_node node; // group.offsets
    struct topic_ref *topic;
    char *metadata; // NULL: empty
    int64_t offset;
    int64_t commit_ms, expire_ms; // wall; expire -1: by the broker's retention
    int32_t partition;
    int32_t leader_epoch;
    uint32_t metadata_bytes;
};

// Of a topic that was deleted after the offset was committed: to go.
static inline bool offset_of_deleted(const struct group_offset *o)
{
    return o->topic->deleted_ms != 0 && o->commit_ms <= o->topic->deleted_ms;
}

struct group_offset *offsets_find(const struct group *gr, struct bytes topic, int32_t partition);
// RC_NOMEM, nothing changed.
enum rc offsets_put(struct group *gr, struct bytes topic, int32_t partition, const struct offset_commit_value *value);
enum rc offsets_apply(struct groups *g, int64_t producer_id, struct bytes key, struct bytes value);
void offsets_free(struct group *gr); // all of a group, pending ones too
void offsets_add_record(struct group_append *a, struct bytes topic, int32_t partition,
                        const struct offset_commit_value *value);
void offsets_add_tombstone(struct group_append *a, struct bytes topic, int32_t partition);
void offsets_add_tombstones(struct group_append *a, const struct group *gr); // all of a group, pending ones too
enum rc offsets_snapshot(const struct group *gr, struct buf *out);

// Transactional offsets (KIP-98): kept aside by producer until its marker comes.
enum rc offsets_pend(struct group *gr, int64_t producer_id, struct bytes topic, int32_t partition,
                     const struct offset_commit_value *value);
// The committed offset of this partition was set (or deleted) by a record outside the transaction, which wins over what
// was pending before it; deleted: what was pending goes, too.
void offsets_pending_superseded(struct group *gr, struct bytes topic, int32_t partition, bool deleted);
bool offsets_pending(const struct group *gr, struct bytes topic, int32_t partition);
void offsets_pending_free(struct group *gr);
void offsets_pending_add_tombstones(struct group_append *a, const struct group *gr);
enum rc offsets_apply_marker(struct groups *g, int64_t producer_id, bool commit);

void offsets_commit(struct groups *g, struct group *gr, struct group_call *call); // gr NULL: no such group
void offsets_commit_failed(struct groups *g, struct group_call *call, enum rc rc); // its append, after its response
void offsets_share_end(struct groups *g); // submits core.shared, if there is one
void offsets_fetch(struct groups *g, struct group *gr, struct group_call *call);
void offsets_delete(struct groups *g, struct group *gr, struct group_call *call);
void offsets_expiry_fire(struct groups *g, struct group_deadline *d);
void offsets_sweep_fire(struct groups *g, struct group_deadline *d);

void describe_call(struct groups *g, struct group *gr, struct group_call *call); // DESCRIBE, CONSUMER_DESCRIBE
void list_call(struct groups *g, struct group_call *call);
void delete_call(struct groups *g, struct group *gr, struct group_call *call);

// Members of whatever type; 0 when untyped.
uint32_t group_member_count(const struct group *gr);
bool group_subscribes(const struct group *gr, struct bytes topic);

// ------------------------------------------------------------------------------------------------ by protocol

// JOIN, SYNC, HEARTBEAT, LEAVE of groups that are not CONSUMER with members; gr NULL: no such group.
void classic_call(struct groups *g, struct group *gr, struct group_call *call);
// CONSUMER_HEARTBEAT (gr NULL: no such group; it may be of any type), and JOIN, SYNC, HEARTBEAT, LEAVE of a CONSUMER
// group with members.
void consumer_call(struct groups *g, struct group *gr, struct group_call *call);
// The caller of a parked call is gone: forget the call, keep the member. The call is given back by the caller of this.
void classic_abandon(struct group_call *call);
// A topic was created, got more partitions, or was deleted.
void consumer_topic_changed(struct group *gr, struct bytes name, struct uuid id, bool deleted);

// Records of the new protocol (keys 3 to 8 and 16); key and value with their version in front, value.p NULL: a
// tombstone. RC_NOMEM; RC_MALFORMED or RC_UNSUPPORTED_VERSION, nothing changed: the caller skips it with a warning.
enum rc consumer_apply(struct groups *g, int16_t key_version, struct bytes key, struct bytes value);
enum rc classic_apply(struct groups *g, struct bytes key, struct bytes value); // GroupMetadata (key 2)
// Reads a stored key or value: the version in front, then the message into *out; *version may be NULL.
enum rc group_stored_decode(const struct schema_message *m, struct bytes in, struct arena *a, void *out,
                            int16_t *version);
void group_stored_arena(struct arena *a, struct bytes in); // for decoding in
// Appends a record to a snapshot.
void group_snapshot_raw(struct buf *out, struct bytes key, struct bytes value);
void group_snapshot_put(struct buf *out, const struct schema_message *key_message, int16_t key_version, const void *key,
                        const struct schema_message *value_message, int16_t value_version, const void *value);
void classic_loaded(struct group *gr);
void consumer_loaded(struct group *gr);
void classic_free(struct group *gr);
void consumer_free(struct group *gr);
// Answers with rc everything parked inside.
void classic_stop(struct group *gr, enum rc rc);
void consumer_group_stop(struct group *gr, enum rc rc);
enum rc classic_snapshot(const struct group *gr, struct buf *out);
enum rc consumer_snapshot(const struct group *gr, struct buf *out);

// May this member commit now? RC_OK, RC_UNKNOWN_MEMBER_ID, RC_ILLEGAL_GENERATION, RC_FENCED_INSTANCE_ID,
// RC_STALE_MEMBER_EPOCH, RC_REBALANCE_IN_PROGRESS. A commit keeps a classic member's session alive.
enum rc classic_commit_allowed(struct group *gr, const struct group_call *call, const struct offset_commit_request *in);
enum rc consumer_commit_allowed(struct group *gr, const struct group_call *call, const struct offset_commit_request *in);
// OffsetFetch 9 with a member and epoch.
enum rc consumer_fetch_allowed(struct group *gr, struct bytes member_id, int32_t member_epoch);
uint32_t classic_member_count(const struct group *gr);
enum classic_expiry { CLASSIC_EXPIRY_NEVER, CLASSIC_EXPIRY_EMPTY, CLASSIC_EXPIRY_COMMIT };
enum classic_expiry classic_expiry(const struct group *gr); // KIP-211: from when on retention counts
bool classic_is_empty(const struct group *gr);    // state Empty, and nobody about to join
bool classic_is_consumer(const struct group *gr); // protocol type "consumer"
bool classic_unused(const struct group *gr); // no members, nobody about to join, nothing in the log
uint32_t consumer_member_count(const struct group *gr);
// Subscribed to topic: its offsets do not expire and cannot be deleted.
bool classic_subscribes(const struct group *gr, struct bytes topic);
bool consumer_subscribes(const struct group *gr, struct bytes topic);
// Kafka's state names: "PreparingRebalance", "CompletingRebalance", "Stable", "Empty", "Dead"; "Assigning",
// "Reconciling".
struct bytes classic_protocol_type(const struct group *gr);
const char *classic_state_name(const struct group *gr);
const char *consumer_state_name(const struct group *gr);
// Fill the response; strings of the group are copied into the call's arena. False: memory.
bool classic_describe(struct group *gr, struct group_call *call, struct describe_groups_response_group *out);
bool consumer_describe(struct group *gr, struct group_call *call, struct consumer_group_describe_response_group *out);
// Tombstones of every record of the group but its offsets, for a decision that deletes it (the group is empty).
void classic_add_tombstones(struct group_append *a, const struct group *gr);
void consumer_add_tombstones(struct group_append *a, const struct group *gr);

// ------------------------------------------------------------------------------------------------ events

// What happened to a group lately; soft, the oldest go when GROUP_EVENTS_BYTES are full. Text is one line of printable
// ASCII: "member m left (client closed): rebalance".
enum { GROUP_EVENTS_BYTES = 640, GROUP_EVENT_BYTES = 160 };
struct group_event {
    int64_t wall_ms;
    int32_t generation; // or group epoch
    struct bytes text;
};

// Notes and logs one event; ids of clients may stand in it as they are, what is not printable gets quoted.
void group_event(struct group *gr, int32_t generation, const char *format, ...) __attribute__((format(printf, 3, 4)));
// Oldest first: *at begins with 0. False: no more.
bool group_event_next(const struct group *gr, uint32_t *at, struct group_event *out);
