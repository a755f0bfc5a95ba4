// SPDX-License-Identifier: Apache-2.0
//
// How long a group takes to settle, in the members' time, and what its heartbeats cost. CONSUMER_TIMES=1 prints it.
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "consumer_rig.h"

enum { MEMBERS_MAX = 1000, HEARTBEAT_MS = 5000 };

struct member {
    char id[16];
    int32_t epoch;
    struct arena arena;
    struct partition_set owned;
    uint64_t next_ms;
    bool report, gone;
};

static struct rig rig;
static struct member members[MEMBERS_MAX];

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void begin(int32_t partitions)
{
    rig = (struct rig){0};
    memset(members, 0, sizeof(members));
    rig_topic(&rig, "orders", partitions);
    rig_begin(&rig);
}

static void end(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        arena_deinit(&members[i].arena);
    rig_end(&rig);
}

// One heartbeat as a client that revokes at once sends it: a new assignment is confirmed with the next one, at once.
static void one_beat(struct member *m, uint64_t now_ms)
{
    struct beat b = {.member = m->id, .epoch = m->epoch};
    if (m->epoch == 0) {
        b.topics = "orders";
        b.rebalance_ms = 60000;
        b.owned = "";
    }
    struct rig_call *c = beat_new(&rig, &b);
    struct consumer_group_heartbeat_request *in = (void *)(uintptr_t)c->call.request;
    if (m->report) {
        in->topic_partitions = (void *)m->owned.topics;
        in->topic_partitions_count = m->owned.count;
    }
    m->report = false;
    rig_send(&rig, c);
    const struct consumer_group_heartbeat_response *out = c->call.response;
    cr_assert(c->back && out && out->error_code == 0, "%d", out ? out->error_code : -1);
    m->epoch = out->member_epoch;
    m->next_ms = now_ms + HEARTBEAT_MS;
    if (out->assignment) {
        arena_deinit(&m->arena);
        arena_init(&m->arena, 1 << 24, NULL, 0);
        cr_assert(partition_set_copy(&PARTITION_SET_OF(out->assignment->topic_partitions,
                                                       out->assignment->topic_partitions_count),
                                     &m->arena, &m->owned));
        m->report = true;
        m->next_ms = now_ms;
    }
    rig_call_free(c);
}

static bool stable(void)
{
    return strcmp(consumer_state_name(rig_consumer(&rig, "g")->gr), "Stable") == 0;
}

// Milliseconds until every member has what it shall have, seen from now on.
static uint64_t settle(uint32_t count)
{
    for (uint64_t ms = 0;; ms += 50) {
        uint64_t now = rig.now.now_ns / 1000000;
        for (uint32_t i = 0; i < count; i++) {
            while (!members[i].gone && members[i].next_ms <= now)
                one_beat(&members[i], now);
        }
        if (stable())
            return ms;
        cr_assert_lt(ms, 60000, "%s", consumer_text(&rig, "g"));
        rig_advance(&rig, 50);
    }
}

static void join(uint32_t i)
{
    snprintf(members[i].id, sizeof(members[i].id), "m%u", i);
    one_beat(&members[i], rig.now.now_ns / 1000000);
}

static uint32_t held(const struct member *m)
{
    return partition_set_size(&m->owned);
}

Test(consumer_settle, ten_members_and_900_partitions_settle_within_two_heartbeats)
{
    begin(900);
    for (uint32_t i = 0; i < 9; i++) {
        join(i);
        rig_advance(&rig, 550);
    }
    settle(9);
    for (uint32_t i = 0; i < 9; i++)
        cr_assert_eq(held(&members[i]), 100);
    // One comes: everyone gives ten, and keeps the rest all the time.
    join(9);
    uint64_t ms = settle(10);
    cr_assert_leq(ms, 2 * HEARTBEAT_MS + 1000);
    for (uint32_t i = 0; i < 10; i++)
        cr_assert_eq(held(&members[i]), 90);
    // One goes.
    cr_assert_str_eq(beat(&rig, BEAT("m3", -1)), "m3 -1 -");
    members[3].gone = true;
    uint64_t gone_ms = settle(10);
    cr_assert_leq(gone_ms, 2 * HEARTBEAT_MS + 1000);
    for (uint32_t i = 0; i < 10; i++)
        cr_assert_eq(held(&members[i]), i == 3 ? 90 : 100);
    // More partitions come: the next heartbeat sees them.
    rig_topic_grow(&rig, "orders", 909);
    for (int i = 0; i < 2 * HEARTBEAT_MS / 50; i++) {
        rig_advance(&rig, 50);
        settle(10);
    }
    uint32_t all = 0;
    for (uint32_t i = 0; i < 10; i++)
        all += i == 3 ? 0 : held(&members[i]);
    cr_assert_eq(all, 909);
    if (getenv("CONSUMER_TIMES"))
        cr_log_warn("10 members, 900 partitions: a join settles in %lu ms, a leave in %lu ms", ms, gone_ms);
    consumer_check(&rig, "g");
    consumer_replay_check(&rig);
    end(10);
}

Test(consumer_settle, ten_thousand_partitions_of_many_members)
{
    uint32_t count = getenv("CONSUMER_TIMES") ? MEMBERS_MAX : 100;
    begin(10000);
    double from = cpu_us(), worst = 0;
    for (uint32_t i = 0; i < count; i++) {
        double t = cpu_us();
        join(i);
        t = cpu_us() - t;
        worst = t > worst ? t : worst;
    }
    double joined = cpu_us();
    uint64_t ms = settle(count);
    double settled = cpu_us();
    cr_assert_leq(ms, 4 * HEARTBEAT_MS);
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(held(&members[i]), 10000 / count);
    // A heartbeat of a group at rest.
    uint64_t appends = rig.appends;
    double rest = cpu_us();
    for (uint32_t k = 0; k < 20000; k++)
        one_beat(&members[k % count], 0);
    rest = (cpu_us() - rest) / 20000;
    cr_assert_eq(rig.appends, appends);
    if (getenv("CONSUMER_TIMES"))
        cr_log_warn("%u members, 10,000 partitions: join %.0f us (worst %.0f), settled after %lu ms with %.0f ms of "
                    "CPU, a heartbeat at rest %.2f us, log %zu batches",
                    count, (joined - from) / count, worst, ms, (settled - joined) / 1e3, rest, rig.log.count);
    consumer_check(&rig, "g");
    end(count);
}
