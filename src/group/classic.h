// SPDX-License-Identifier: Apache-2.0
//
// A group of the classic protocol.
//
//               join (delay)                  all joined, or time
//     EMPTY ------------------> PREPARING ------------------------> COMPLETING
//       ^                        ^     |                             |     |
//       |   nobody is left       |     |   join, leave, expiry       |     | the leader's SyncGroup is committed
//       `------------------------|-----'<----------------------------'     v
//                                `---------------------------------------- STABLE
//
// Durable: `stored`, the last GroupMetadata record: a stable generation, or an empty one. Everything else is what the
// members are doing since; a new coordinator goes on from the record (classic_store.c).
//
//   classic.c           the calls: sync, heartbeat, leave; who may commit; describe
//   classic_join.c      join
//   classic_rebalance.c the moves above, their deadlines and decisions
//   classic_parked.c    calls that wait for them
//   classic_member.c    members, protocols, votes
//   classic_store.c     the record: written, applied, in a snapshot
#pragma once

#include "group/core.h"

enum classic_state { CLASSIC_EMPTY, CLASSIC_PREPARING, CLASSIC_COMPLETING, CLASSIC_STABLE };

// Protocols a member speaks, in its order of preference; the bytes lie behind the array.
struct classic_protocol {
    struct bytes name, metadata;
};

struct classic_protocols {
    uint32_t count;
    struct classic_protocol at[];
};

struct classic_member {
    struct map_node node;  // classic_group.members
    struct list_node link; // classic_group.order
    struct group *group;
    struct group_deadline session;
    struct classic_protocols *protocols; // NULL: pending
    struct bytes assignment;             // Stable: a view into classic_group.stored
    struct group_call *join, *sync;      // parked; NULL while awaiting: its connection is gone, or it is being decided
    int32_t session_ms, rebalance_ms;
    bool pending;                        // was given an id and has not joined with it (KIP-394); counts as no member
    bool is_new;                         // in its first join: the session does not wait for a parked join
    bool awaiting_join, awaiting_sync;
    bool sync_due; // was answered its join and has not sent its SyncGroup
    bool seen;     // scratch of classic_apply()
    uint16_t id_bytes, instance_bytes, client_bytes;
    uint8_t host_bytes;
    bool is_static;
    char text[]; // id, instance id, client id, host
};

struct classic_group {
    struct group *owner;
    enum classic_state state;
    bool from_empty;   // PREPARING: was EMPTY before
    bool initial;      // PREPARING: the initial delay runs
    bool leaderless;   // the record has members and no leader: nobody assigned this generation
    bool member_added; // since the initial delay began
    int32_t generation;
    int32_t initial_delay_ms, initial_left_ms;
    struct map members; // by id, pending ones too
    struct list order;  // by age
    uint32_t member_count, pending_count, awaiting_join_count, sync_due_count;
    struct classic_member *leader;
    char *protocol_type, *protocol; // zero-terminated; NULL: none. Lengths below
    uint16_t protocol_type_bytes, protocol_bytes;
    struct group_deadline rebalance; // PREPARING: end of the join phase; then: of the sync phase
    struct bytes stored;             // value of the last record, owned; p NULL: nothing in the log
    struct classic_member *incoming; // made for the decision in flight that replaces a static member
    char *leader_before;             // who led before it
    uint16_t leader_before_bytes;
};

static inline struct bytes classic_member_id(const struct classic_member *m)
{
    return bytes_of(m->text, m->id_bytes);
}

static inline struct bytes classic_instance_id(const struct classic_member *m) // null when dynamic
{
    return m->is_static ? bytes_of(m->text + m->id_bytes, m->instance_bytes) : bytes_of(NULL, 0);
}

static inline struct bytes classic_client_id(const struct classic_member *m)
{
    return bytes_of(m->text + m->id_bytes + m->instance_bytes, m->client_bytes);
}

static inline struct bytes classic_client_host(const struct classic_member *m)
{
    return bytes_of(m->text + m->id_bytes + m->instance_bytes + m->client_bytes, m->host_bytes);
}

static inline struct bytes classic_protocol_name(const struct classic_group *cl)
{
    return bytes_of(cl->protocol, cl->protocol_bytes);
}

// ------------------------------------------------------------------------------------------------ members

// The group's classic state, made when it is untyped. NULL: memory.
struct classic_group *classic_ensure(struct group *gr);
struct classic_member *classic_find(const struct classic_group *cl, struct bytes id); // pending ones too
struct classic_member *classic_find_instance(const struct classic_group *cl, struct bytes instance);
// The one after m, m NULL: the first.
struct classic_member *classic_next(const struct classic_group *cl, const struct classic_member *m);
// Made, not yet in the group; its session deadline holds its place. instance.p NULL: dynamic. NULL: memory.
struct classic_member *classic_member_new(struct group *gr, struct bytes id, struct bytes instance,
                                          struct bytes client_id, struct bytes host);
void classic_member_free(struct classic_member *m);
// Into the group, `pending` as set. RC_NOMEM. before: place in the order, NULL: the end.
enum rc classic_member_add(struct classic_member *m, const struct classic_member *before);
// Out of the group and freed; parked calls hear rc (UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID); the leader changes.
void classic_member_remove(struct classic_member *m, enum rc rc);
void classic_set_awaiting_join(struct classic_member *m, bool awaiting);
void classic_set_sync_due(struct classic_member *m, bool due);
void classic_touch(struct classic_member *m); // its session begins anew

// A copy of what the request offers; NULL: memory.
struct classic_protocols *classic_protocols_new(const struct join_group_request *in);
struct classic_protocols *classic_protocols_one(struct bytes name, struct bytes metadata);
const struct classic_protocol *classic_protocols_find(const struct classic_protocols *p, struct bytes name);
bool classic_protocols_equal(const struct classic_protocols *p, const struct join_group_request *in);
bool classic_set_text(char **to, uint16_t *bytes, struct bytes b); // b.p NULL: none. False: memory
// Is one of the offered protocols one that every member speaks? In an empty group: is anything offered at all?
bool classic_supports(const struct classic_group *cl, const struct join_group_request *in);
// The protocol with most votes among those all members speak; `other` stands for the protocols of `instead`.
struct bytes classic_select(const struct classic_group *cl, const struct classic_member *instead,
                            const struct classic_protocols *other);
// Topics of a subscription as consumers write it. next: false at the end; then *bad tells whether it could be read.
struct classic_topics {
    struct dec d;
    int32_t left;
};
bool classic_topics_begin(struct classic_topics *t, struct bytes metadata);
bool classic_topics_next(struct classic_topics *t, struct bytes *topic);

// ------------------------------------------------------------------------------------------------ moves

enum { CLASSIC_NEW_MEMBER_JOIN_MS = 5 * 60 * 1000 };

// RC_OK, RC_UNKNOWN_MEMBER_ID, RC_FENCED_INSTANCE_ID.
enum rc classic_validate(const struct classic_group *cl, struct bytes member_id, struct bytes instance);
// A rebalance begins, or, when one is under way, its join phase may be over.
void classic_rebalance_or_complete(struct group *gr, const char *reason);
void classic_prepare(struct group *gr, const char *reason);
void classic_complete_if_joined(struct group *gr); // not while the initial delay runs
void classic_session_fire(struct groups *g, struct group_deadline *d);
void classic_rebalance_fire(struct groups *g, struct group_deadline *d);
void classic_sync_end_if_all(struct classic_group *cl, struct groups *g);
// The leader's assignments are decided; its call is parked.
void classic_decide_assignment(struct group *gr, struct classic_member *leader, const struct sync_group_request *in);
// RC_OK: the group is deciding. m: the member as it shall be, old: as it is.
enum rc classic_decide_replace(struct group *gr, struct classic_member *old, struct classic_member *m,
                               void (*applied)(struct group_append *a, enum rc rc));

// Calls given back.
void classic_answer_join_call(struct classic_member *m, struct group_call *call, bool with_members,
                              bool skip_assignment);
void classic_answer_sync(struct classic_member *m, struct group_call *call);
void classic_park_join(struct classic_member *m, struct group_call *call);
void classic_park_sync(struct classic_member *m, struct group_call *call);
struct group_call *classic_unpark(struct group_call **slot);

void classic_join(struct groups *g, struct group *gr, struct group_call *call);

// The record of the group as it stands, with the members' `assignment`s; instead/by: a member and what replaces it.
void classic_add_record(struct group_append *a, const struct group *gr, const struct classic_member *instead,
                        const struct classic_member *by);
