// SPDX-License-Identifier: Apache-2.0
//
// Groups of the new protocol (KIP-848): each heartbeat of a member may change the group's epoch (members,
// subscriptions, topics), the target assignment is made anew for each epoch, and every member is led from what it holds
// to its target by its own heartbeats, so that no partition is ever held by two.
//
//   consumer_heartbeat.c  requests into decisions       consumer_apply.c      records into state
//   consumer_member.c     what becomes of a member      partition_set.c       sets of partitions
//   consumer_plan.c       a decision and its records    consumer_find.c       who is in the group
//   consumer_target.c     topics, assignor, targets     consumer_held.c       who holds which partition
//   consumer_reconcile.c  one member's next step        consumer_store.c      snapshot, tombstones, free
//   consumer_regex.c      expressions into topics       consumer_leave.c      leave, time-outs
//   consumer_classic.c    members of the old protocol   consumer_describe.c   describe, state, may it commit
//   consumer_convert.c    a group from one to the other and back
#pragma once

#include "group/core.h"
#include "group/partition_set.h"

enum consumer_state { // of a member, as stored
    CONSUMER_STABLE = 0,
    CONSUMER_UNREVOKED = 1,  // told to revoke, has not said yet that it did
    CONSUMER_UNRELEASED = 2, // has its epoch, waits for partitions that others still hold
};

enum { CONSUMER_EPOCH_JOIN = 0, CONSUMER_EPOCH_LEAVE = -1, CONSUMER_EPOCH_LEAVE_STATIC = -2 };

// Values of stored records, decoded: one allocation each, never changed.
typedef struct consumer_group_member_metadata_value consumer_sub;
typedef struct consumer_group_member_metadata_value_classic_member_metadata consumer_classic;
typedef struct consumer_group_partition_metadata_value consumer_topics;
typedef struct consumer_group_regular_expression_value consumer_matches;

// What a member holds (key 8).
struct consumer_current {
    int32_t epoch, previous_epoch;
    int8_t state;
    struct partition_set assigned, revoking;
};

struct consumer_member {
    struct map_node by_id;
    struct map_node by_instance; // while in_instances
    struct group *gr;
    consumer_sub *sub;                                              // key 5; NULL: not a member (yet)
    struct consumer_group_target_assignment_member_value *target;   // key 7
    struct consumer_group_current_member_assignment_value *current; // key 8
    struct group_deadline session;   // soft
    struct group_deadline rebalance; // soft: to revoke within
    struct group_deadline join;      // soft: a classic member, to join again or to sync within
    uint64_t connection;             // soft: its last heartbeat came over; 0: unknown
    uint32_t mark;                   // scratch of a decision
    bool in_instances;
    uint16_t id_bytes;
    char id[]; // zero-terminated
};

// Who holds the partitions of one topic: in its assigned or revoking set.
struct consumer_held {
    struct map_node node; // by topic id
    struct uuid topic_id;
    uint32_t held, room;
    struct consumer_member **owners; // by partition
};

struct consumer_regex {
    struct map_node node; // by pattern
    consumer_matches *matches;
    uint32_t mark; // scratch of a decision
    uint32_t pattern_bytes;
    char pattern[];
};

struct consumer_resolve; // expressions being resolved (consumer_regex.c)

struct consumer_group {
    struct group *gr;
    int32_t epoch;            // key 3
    int32_t assignment_epoch; // key 6
    struct map members;       // struct consumer_member by id
    struct map instances;     // those with an instance id
    struct map held;          // struct consumer_held
    struct map regexes;       // struct consumer_regex: resolved
    consumer_topics *topics;  // key 4; in order of names; NULL: none
    uint32_t member_count;    // members with a subscription
    uint32_t classic_count;   // of them, those of the old protocol
    bool epoch_stored, assignment_stored;
    bool topics_stale;           // soft: topics may have changed: look again with the next heartbeat
    bool regex_stale;            // soft: expressions are to be resolved again
    uint64_t regex_done_ns;      // soft: when they were
    struct group_deadline regex; // soft
    struct consumer_resolve *resolve;
};

static inline struct bytes consumer_member_id(const struct consumer_member *m)
{
    return bytes_of(m->id, m->id_bytes);
}

static inline struct bytes consumer_regex_pattern(const struct consumer_regex *r)
{
    return bytes_of(r->pattern, r->pattern_bytes);
}

static inline struct partition_set consumer_target_set(const struct consumer_member *m)
{
    if (!m->target)
        return (struct partition_set){0};
    return PARTITION_SET_OF(m->target->topic_partitions, m->target->topic_partitions_count);
}

// Zero of everything when the member has no such record.
static inline struct consumer_current consumer_current_of(const struct consumer_member *m)
{
    const struct consumer_group_current_member_assignment_value *c = m->current;
    if (!c)
        return (struct consumer_current){0};
    return (struct consumer_current){
        .epoch = c->member_epoch,
        .previous_epoch = c->previous_member_epoch,
        .state = c->state,
        .assigned = PARTITION_SET_OF(c->assigned_partitions, c->assigned_partitions_count),
        .revoking = PARTITION_SET_OF(c->partitions_pending_revocation, c->partitions_pending_revocation_count)};
}

static inline bool consumer_is_classic(const struct consumer_member *m)
{
    return m->sub && m->sub->classic_member_metadata;
}

// Anybody a record speaks of, member (yet, any more) or not.
struct consumer_member *consumer_member_any(const struct consumer_group *cg, struct bytes id);
// Members only.
struct consumer_member *consumer_member_find(const struct consumer_group *cg, struct bytes id);
struct consumer_member *consumer_instance_find(const struct consumer_group *cg, struct bytes instance_id);
struct consumer_regex *consumer_regex_find(const struct consumer_group *cg, struct bytes pattern);
// Who holds it; NULL: nobody.
struct consumer_member *consumer_owner(const struct consumer_group *cg, struct uuid topic, int32_t partition);
// m holds the partitions of s, whose numbers are 0 to PARTITIONS_PER_TOPIC_MAX - 1. RC_NOMEM: it holds some of them.
enum rc consumer_claim(struct consumer_group *cg, struct consumer_member *m, const struct partition_set *s);
// m holds none of them any more; those that others hold stay theirs.
void consumer_release(struct consumer_group *cg, const struct consumer_member *m, const struct partition_set *s);

// Iteration: for (m = consumer_member_first(cg); m; m = consumer_member_next(cg, m)); with a subscription only.
struct consumer_member *consumer_member_first(const struct consumer_group *cg);
struct consumer_member *consumer_member_next(const struct consumer_group *cg, const struct consumer_member *m);

// consumer.session.timeout.ms, consumer.heartbeat.interval.ms: the group's own or the broker's.
void consumer_timeouts(const struct group *gr, int32_t *session_ms, int32_t *heartbeat_ms);
// Its session begins anew.
void consumer_touch(struct groups *g, struct consumer_member *m);
// A member that was told to revoke has its rebalance timeout from now on.
void consumer_arm_rebalance(struct groups *g, struct consumer_member *m);
// A classic member has its rebalance timeout to join again, or to sync.
void consumer_arm_join(struct groups *g, struct consumer_member *m);

void consumer_add_member_tombstones(struct group_append *a, const struct consumer_member *m); // of all it has

// ------------------------------------------------------------------------------------------------ decisions

// A decision about one group under construction: the group as it will be, and the records that make it so. Begins a
// struct group_append with its first record. What it makes lies in its arena.
struct consumer_plan {
    struct groups *g;
    struct group *gr;
    const struct consumer_group *cg; // NULL: new
    struct arena arena;
    struct group_append *decision;
    bool failed; // memory
    // The one member that changes, if any; who goes is marked with PLAN_GONE instead.
    struct consumer_member *member; // NULL: none, or it is new
    struct consumer_member *replaces;
    struct bytes member_id; // p NULL: none
    const consumer_sub *sub;
    // Expressions resolved in this decision.
    const struct consumer_resolve *resolved;
    int32_t epoch, assignment_epoch;
    bool bumped;
    struct plan_view *view;
    struct partition_set target; // of the member
};

enum { PLAN_GONE = 1 };

void plan_begin(struct consumer_plan *p, struct group *gr);
// Drops what has not been submitted, and the arena.
void plan_end(struct consumer_plan *p);
// The decision; NULL: memory (failed).
struct group_append *plan_decision(struct consumer_plan *p);
void plan_add_epoch(struct consumer_plan *p, int32_t epoch);
void plan_add_topics(struct consumer_plan *p, const consumer_topics *topics);
void plan_add_assignment_epoch(struct consumer_plan *p, int32_t epoch);
void plan_add_member(struct consumer_plan *p, struct bytes id, const consumer_sub *sub);
void plan_add_target(struct consumer_plan *p, struct bytes id, const struct partition_set *target);
void plan_add_current(struct consumer_plan *p, struct bytes id, const struct consumer_current *current);
void plan_add_gone(struct consumer_plan *p, const struct consumer_member *m); // its tombstones
void plan_add_regex(struct consumer_plan *p, struct bytes pattern, const consumer_matches *matches); // NULL: tombstone
// Submits what there is. RC_OK: submitted. Else nothing happened, and attached calls are released.
enum rc plan_submit(struct consumer_plan *p);

// The group's topics looked up anew, with the members as they will be; bump, or a change of them, raises the epoch.
// Sets p->epoch. False: memory.
bool plan_topics(struct consumer_plan *p, bool bump);
// Target assignments for p->epoch if the last ones are older; p->target and p->assignment_epoch.
bool plan_target(struct consumer_plan *p);
// Expressions that no member is subscribed to any more go. Call after the members have been settled.
void plan_drop_regexes(struct consumer_plan *p);

// The member's id: as asked, or a new one. False: memory.
bool plan_member_id(struct consumer_plan *p, struct bytes asked);
// Topic names of a subscription in order, each once, so that what means the same is the same. False: memory.
bool plan_names(struct consumer_plan *p, const struct bytes *names, uint32_t count, consumer_sub *sub);
// The member's record if it changed, and whether the group must rebalance for that. False: memory.
bool plan_member(struct consumer_plan *p, bool *bump);
// The member's step from *now to *next towards p->target. False: memory.
bool plan_step(struct consumer_plan *p, const struct partition_set *owned, struct consumer_current *now,
               struct consumer_current *next);
// Submits what there is, for call and its response to wait for, or answers at once where nothing changes. RC_OK, or
// nothing happened (plan_submit()).
enum rc plan_answer(struct consumer_plan *p, struct group_call *call);

// The next step of a member towards its target: from *now to *next. owned: what it says it has, NULL: nothing was said.
// self: who holds what the member has now. False: memory.
bool consumer_reconcile(const struct consumer_group *cg, const struct consumer_member *self,
                        const struct consumer_current *now, int32_t target_epoch, const struct partition_set *target,
                        const struct partition_set *owned, struct arena *a, struct consumer_current *next);
bool consumer_current_equal(const struct consumer_current *a, const struct consumer_current *b);

// ------------------------------------------------------------------------------------------------ the rest

void consumer_leave(struct groups *g, struct group *gr, struct group_call *call);
// Members marked PLAN_GONE leave the group, in a decision that call (may be NULL) waits for; the marks are cleared.
// RC_OK, or nothing happened.
enum rc consumer_remove(struct groups *g, struct group *gr, struct group_call *call, const char *why);
void consumer_session_fire(struct groups *g, struct group_deadline *d);
void consumer_rebalance_fire(struct groups *g, struct group_deadline *d);
// One of a member's deadlines has come: all members whose deadline of that kind has come leave.
enum consumer_due { CONSUMER_DUE_SESSION, CONSUMER_DUE_REBALANCE, CONSUMER_DUE_JOIN };
void consumer_due_fire(struct groups *g, struct group_deadline *d, enum consumer_due kind);
// Answers an error with a text.
void consumer_refuse(struct groups *g, struct group_call *call, enum rc rc, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// JOIN, SYNC, HEARTBEAT, LEAVE of classic members in a group of the new protocol.
void consumer_classic_call(struct groups *g, struct group *gr, struct group_call *call);
// A member of the new protocol comes to a classic group with members: it becomes a group of the new protocol, if it
// may; then the call is dispatched again.
void consumer_upgrade(struct groups *g, struct group *gr, struct group_call *call);
// Whether a newcomer may be a member of the classic group that would change its protocol for it; else it is answered. The
// group would change back at once, with the sessions of its members begun anew: one that asked again and again would keep
// the dead alive.
bool consumer_may_join_classic(struct groups *g, const struct group *gr, struct group_call *call);
// A group that has classic members only becomes a classic one, if it may.
void consumer_downgrade_if_due(struct groups *g, struct group *gr);

// What consumers put into JoinGroup and find in SyncGroup, a version in front. RC_MALFORMED, RC_NOMEM; false: memory.
enum rc consumer_subscription_decode(struct bytes in, struct arena *a, struct consumer_protocol_subscription *out);
// user_data: there is some, of an assignor of the client's own.
enum rc consumer_assignment_decode(const struct groups *g, struct bytes in, struct arena *a, struct partition_set *out,
                                   bool *user_data);
// In the version of the member's subscription; p NULL: memory.
struct bytes consumer_assignment_encode(const struct groups *g, const struct partition_set *s,
                                        struct bytes subscription, struct arena *a);

// Looks whether expressions must be resolved, and when.
void consumer_regex_schedule(struct groups *g, struct group *gr);
void consumer_resolve_free(struct consumer_group *cg);
// What p->resolved found for this pattern; NULL: not among them.
const consumer_matches *consumer_resolved(const struct consumer_resolve *r, struct bytes pattern);
const char *consumer_assignor_name(uint8_t assignor);
// The assignor most members ask for, or the first of the settings.
uint8_t consumer_assignor(const struct groups *g, const struct consumer_group *cg);
