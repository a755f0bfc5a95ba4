// SPDX-License-Identifier: Apache-2.0
//
// Heartbeats of the new protocol, and their answers as one line of text.
#pragma once

#include "group/consumer.h"
#include "rig.h"

struct beat {
    const char *member;   // "" is given a random one by the coordinator (version 0)
    int32_t epoch;
    const char *topics;   // "orders,clicks"; NULL: not said
    const char *owned;    // "orders:0-3,7 clicks:1"; NULL: not said
    const char *instance, *rack, *regex, *assignor;
    int32_t rebalance_ms; // 0: not said
    int16_t version;      // default 1
    const char *group;    // default "g"
    uint64_t connection;
};

// A full first heartbeat.
#define JOIN(id, names, ...)                                                                                           \
    ((struct beat){.member = id, .topics = names, .owned = "", .rebalance_ms = 60000, __VA_ARGS__})
#define BEAT(id, e, ...) ((struct beat){.member = id, .epoch = e, __VA_ARGS__})

struct rig_call *beat_new(struct rig *r, const struct beat *b);
struct rig_call *beat_send(struct rig *r, const struct beat *b);
// "m1 2 orders:0-5", with " -" when there is no assignment; "UNKNOWN_MEMBER_ID: text". Frees the call. Static.
const char *beat_answer(struct rig *r, struct rig_call *c);
const char *beat(struct rig *r, struct beat b);
#define EXPECT(r, b, text) cr_assert_str_eq(beat(r, b), text)

// The same text for a set, and back (*count topics in the arena).
const char *set_text(const struct rig *r, const struct partition_set *s);
struct partition_set set_parse(const struct rig *r, struct arena *a, const char *text);
struct consumer_group *rig_consumer(struct rig *r, const char *group);
// "Reconciling epoch 3/2: m1 2 stable orders:0-5; m2 ..." in order of ids.
const char *consumer_text(struct rig *r, const char *group);
// No partition in two members' sets; the table of holders is what the sets say.
void consumer_check(struct rig *r, const char *group);
// The state of a core loaded from the log now equals the live one.
void consumer_replay_check(struct rig *r);
void rig_topic_gone(struct rig *r, const char *name);
void rig_topic_grow(struct rig *r, const char *name, int32_t partitions);
