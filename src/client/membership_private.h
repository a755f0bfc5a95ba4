// SPDX-License-Identifier: Apache-2.0
//
// What the membership's files share: private to them.
#pragma once

#include "client/membership.h"

enum {
    MEMBERSHIP_BACKOFF_MS = 100,
    MEMBERSHIP_TIMEOUT_SLACK_MS = 5000, // a JoinGroup is held back for the rebalance timeout and answered after it
    MEMBERSHIP_ARENA_BYTES = 256 << 20,
};

// Kafka's codes that mean something here.
enum {
    KERR_COORDINATOR_LOAD_IN_PROGRESS = 14,
    KERR_COORDINATOR_NOT_AVAILABLE = 15,
    KERR_NOT_COORDINATOR = 16,
    KERR_ILLEGAL_GENERATION = 22,
    KERR_UNKNOWN_MEMBER_ID = 25,
    KERR_REBALANCE_IN_PROGRESS = 27,
    KERR_UNSUPPORTED_VERSION = 35,
    KERR_MEMBER_ID_REQUIRED = 79,
    KERR_FENCED_INSTANCE_ID = 82,
    KERR_UNSTABLE_OFFSET_COMMIT = 88,
    KERR_FENCED_MEMBER_EPOCH = 110,
    KERR_STALE_MEMBER_EPOCH = 113,
};

// membership.c
void membership_become(struct membership *m, enum membership_state next);
void membership_step_later(struct membership *m);
void membership_fail(struct membership *m, int16_t code, const char *what);
void membership_wait(struct membership *m, uint32_t ms);
// Joins again; reason is for the broker's log.
void membership_rejoin(struct membership *m, const char *reason);
// The group counts without us: what was owned is lost. forget_id: the member id, too.
void membership_reset(struct membership *m, bool forget_id, const char *reason);
// m->target is what the group gives us now: revokes and assigns until owned is that.
void membership_take(struct membership *m);
// What every answer of the coordinator may say. True when it was dealt with.
bool membership_common(struct membership *m, enum rc rc, int16_t code);
// membership_set.c. RC_NOMEM.
enum rc membership_set_add(struct membership_set *s, struct client_topic *topic, int32_t index);
void membership_set_sort(struct membership_set *s); // and drops what stands there twice
// *out: those of `of` that are not in `without`; both sorted. RC_NOMEM.
enum rc membership_set_minus(const struct membership_set *of, const struct membership_set *without,
                             struct membership_set *out);
struct bytes membership_text(const char *text); // null for NULL
void membership_beaten(struct membership *m);   // an answer that keeps us alive

// membership_classic.c, membership_consumer.c: the next thing to do, with a coordinator and nothing asked of the owner
void membership_classic_step(struct membership *m, uint64_t now);
void membership_classic_beat(struct membership *m);
void membership_consumer_step(struct membership *m, uint64_t now);
void membership_consumer_beat(struct membership *m);

// membership_assign.c
// Our subscription as JoinGroup carries it. p NULL: no memory.
struct bytes membership_subscription(struct membership *m, const struct client_assignor *assignor);
// Splits the partitions among the members of m->joined into m->sync_in. RC_AGAIN: topics are still looked up.
enum rc membership_assign(struct membership *m);
// SyncGroup's share of it, into m->target. RC_MALFORMED, RC_NOMEM.
enum rc membership_read_assignment(struct membership *m, struct bytes assignment);
// Whether what the leader split has more or fewer partitions now.
bool membership_split_is_old(const struct membership *m);
