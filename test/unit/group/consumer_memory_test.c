// SPDX-License-Identifier: Apache-2.0
//
// Memory runs out at every place, once and again and again: calls come back, the state is what the log says, and the
// group goes on afterwards.
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include "consumer_rig.h"
#include "heap.h"

static struct rig rig;

static void send(struct rig *r, struct beat b)
{
    struct rig_call *c = beat_send(r, &b);
    for (int i = 0; i < 20 && !c->back; i++)
        rig_advance(r, 100);
    cr_assert(c->back);
    rig_call_free(c);
}

static void give_back(struct rig *r, struct rig_call *c)
{
    for (int i = 0; i < 100 && !c->back; i++)
        rig_advance(r, 1000);
    cr_assert(c->back);
    rig_call_free(c);
}

// A little of everything. Epochs are guesses: where memory failed, the answers are others.
static void scenario(struct rig *r)
{
    send(r, JOIN("m1", "orders", .instance = "i1", .rack = "r1"));
    send(r, JOIN("m2", "orders,clicks"));
    send(r, BEAT("m1", 1, .instance = "i1", .owned = "orders:0-11"));
    send(r, BEAT("m1", 1, .instance = "i1", .owned = "orders:0-5"));
    send(r, BEAT("m2", 2, .owned = ""));
    send(r, JOIN("m3", NULL, .regex = "(cli|ord).*"));
    rig_advance(r, 1500);
    send(r, BEAT("m3", 3, .topics = "clicks", .regex = ""));
    send(r, BEAT("m1", -2, .instance = "i1"));
    send(r, JOIN("m4", "orders", .instance = "i1"));
    give_back(r, rig_join(r, "g", "classic", NULL, 3));
    rig_topic_grow(r, "orders", 14);
    send(r, BEAT("m2", 4, .owned = "orders:6-11"));
    struct rig_call *c = rig_call_new(GROUP_CONSUMER_DESCRIBE, 0, "g");
    c->call.include_events = true;
    rig_send(r, c);
    give_back(r, c);
    send(r, BEAT("m2", -1));
    send(r, BEAT("m3", -1));
    send(r, BEAT("m4", -1, .instance = "i1")); // only the classic one is left: back
    give_back(r, rig_join(r, "g", "classic", NULL, 3));
    send(r, JOIN("m5", "orders")); // and up
    rig_advance(r, 50000);
}

static bool one_failure(uint64_t n, uint64_t each)
{
    rig = (struct rig){.seed = 7};
    rig_begin(&rig);
    heap_fail(n, each);
    scenario(&rig);
    bool failed = heap_failed(), broken = rig.g.broken;
    heap_fail(0, 0);
    if (broken)
        rig_reload(&rig);
    consumer_check(&rig, "g");
    consumer_replay_check(&rig);
    cr_assert_str_eq(beat(&rig, JOIN("m9", "orders", .group = "after")), "m9 1 orders:0-13");
    rig_end(&rig);
    return failed;
}

Test(consumer_memory, every_allocation_may_fail)
{
    uint64_t n = 1;
    while (one_failure(n, 0))
        n++;
    fprintf(stderr, "new protocol: %llu allocations failed, one by one\n", (unsigned long long)n - 1);
    cr_assert_gt(n, 200);
}

Test(consumer_memory, many_allocations_fail)
{
    for (uint64_t each = 2; each < 40; each += 3)
        for (uint64_t first = 1; first <= each; first++)
            one_failure(first, each);
}

Test(consumer_memory, an_idle_member_costs_little)
{
    rig = (struct rig){.seed = 7};
    rig_begin(&rig);
    int64_t before = heap_bytes, log = 0;
    char group[32];
    enum { COUNT = 200 };
    for (int i = 0; i < COUNT; i++) {
        snprintf(group, sizeof(group), "application-%05d", i);
        beat(&rig, JOIN("AAAAAAAAAAAAAAAAAAAAAA", "orders", .group = group));
    }
    for (size_t i = 0; i < rig.log.count; i++)
        log += (int64_t)((rig.log.p[i].n + 8 + 15) & ~(size_t)15);
    log += (int64_t)(rig.log.cap * sizeof(*rig.log.p));
    int64_t each = (heap_bytes - before - log) / COUNT;
    fprintf(stderr, "a group of the new protocol with one member and twelve partitions: %lld bytes\n", (long long)each);
    cr_assert_lt(each, 3072);
    rig_end(&rig);
}
