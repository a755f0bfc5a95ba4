// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include <stdlib.h>
#include <time.h>

#include "base/assert.h"
#include "base/prng.h"
#include "group/assign.h"

enum { TOPICS = 12, MEMBERS = 24, PARTITIONS = 400 };

struct fixture {
    struct prng prng;
    struct assign_topic topics[TOPICS];
    struct assign_member members[MEMBERS];
    uint32_t subscriptions[MEMBERS][TOPICS];
    uint64_t racks[PARTITIONS];
    uint32_t owners[PARTITIONS], before[PARTITIONS];
    struct assign_input in;
};

static void make_topics(struct fixture *f)
{
    f->in.topic_count = 1 + (uint32_t)prng_below(&f->prng, TOPICS);
    f->in.partition_count = 0;
    for (uint32_t t = 0; t < f->in.topic_count; t++) {
        f->topics[t].first = f->in.partition_count;
        f->topics[t].partition_count = (uint32_t)prng_below(&f->prng, PARTITIONS / TOPICS);
        f->in.partition_count += f->topics[t].partition_count;
    }
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        f->racks[p] = prng_below(&f->prng, 8);
        f->owners[p] = ASSIGN_NONE;
    }
}

static void subscribe(struct fixture *f, uint32_t m, bool all)
{
    struct assign_member *member = &f->members[m];
    *member = (struct assign_member){.topics = f->subscriptions[m], .rack = (int)prng_below(&f->prng, 4) - 1};
    for (uint32_t t = 0; t < f->in.topic_count; t++) {
        if (all || prng_chance(&f->prng, 1, 2))
            f->subscriptions[m][member->topic_count++] = t;
    }
}

static bool subscribed(const struct assign_member *m, uint32_t topic)
{
    for (uint32_t i = 0; i < m->topic_count; i++) {
        if (m->topics[i] == topic)
            return true;
    }
    return false;
}

static void loads(const struct fixture *f, uint32_t *load)
{
    memset(load, 0, MEMBERS * sizeof(*load));
    for (uint32_t p = 0; p < f->in.partition_count; p++) {
        if (f->owners[p] != ASSIGN_NONE)
            load[f->owners[p]]++;
    }
}

// Every partition has one subscriber exactly if there is any, and none could better go to another one.
static void check(const struct fixture *f)
{
    uint32_t load[MEMBERS];
    loads(f, load);
    for (uint32_t t = 0; t < f->in.topic_count; t++) {
        uint32_t least = UINT32_MAX;
        for (uint32_t m = 0; m < f->in.member_count; m++) {
            if (subscribed(&f->members[m], t) && load[m] < least)
                least = load[m];
        }
        for (uint32_t p = f->topics[t].first; p < f->topics[t].first + f->topics[t].partition_count; p++) {
            uint32_t m = f->owners[p];
            cr_assert_eq(m == ASSIGN_NONE, least == UINT32_MAX);
            if (m != ASSIGN_NONE) {
                cr_assert(m < f->in.member_count && subscribed(&f->members[m], t));
                cr_assert_leq(load[m], least + 1);
            }
        }
    }
}

static uint32_t moved(const struct fixture *f)
{
    uint32_t count = 0;
    for (uint32_t p = 0; p < f->in.partition_count; p++)
        count += f->owners[p] != f->before[p];
    return count;
}

static void assign(struct fixture *f)
{
    memcpy(f->before, f->owners, sizeof(f->before));
    cr_assert_eq(assign_uniform(&f->in, f->owners), RC_OK);
    check(f);
}

// A member leaves: the last one takes its number.
static void leave(struct fixture *f, uint32_t m)
{
    uint32_t last = --f->in.member_count;
    memcpy(f->subscriptions[m], f->subscriptions[last], sizeof(f->subscriptions[m]));
    f->members[m] = f->members[last];
    f->members[m].topics = f->subscriptions[m];
    for (uint32_t p = 0; p < f->in.partition_count; p++) {
        if (f->owners[p] == m)
            f->owners[p] = ASSIGN_NONE;
        if (f->owners[p] == last && last != m)
            f->owners[p] = m;
    }
}

static void start(struct fixture *f, uint64_t seed)
{
    memset(f, 0, sizeof(*f));
    prng_init(&f->prng, seed);
    f->in.topics = f->topics;
    f->in.members = f->members;
    make_topics(f);
    if (prng_chance(&f->prng, 1, 2))
        f->in.partition_racks = f->racks;
}

Test(assign_uniform, one_subscription_moves_only_what_it_must)
{
    static struct fixture f;
    for (uint64_t seed = 0; seed < 400; seed++) {
        start(&f, seed);
        for (int step = 0; step < 30; step++) {
            uint32_t members = f.in.member_count;
            if (members > 0 && (members == MEMBERS || prng_chance(&f.prng, 1, 3))) {
                uint32_t gone = (uint32_t)prng_below(&f.prng, members), freed = 0;
                for (uint32_t p = 0; p < f.in.partition_count; p++)
                    freed += f.owners[p] == gone;
                leave(&f, gone);
                assign(&f);
                cr_assert_eq(moved(&f), f.in.member_count ? freed : 0);
            } else {
                subscribe(&f, f.in.member_count++, true);
                assign(&f);
                uint32_t share = f.in.partition_count / f.in.member_count;
                if (f.in.member_count > 1)
                    cr_assert_leq(moved(&f), share + 1);
            }
            assign(&f);
            cr_assert_eq(moved(&f), 0, "settled assignments stay");
        }
    }
}

Test(assign_uniform, different_subscriptions_are_balanced_and_kept)
{
    static struct fixture f;
    for (uint64_t seed = 0; seed < 400; seed++) {
        start(&f, seed);
        for (int step = 0; step < 30; step++) {
            uint32_t members = f.in.member_count;
            if (members > 0 && (members == MEMBERS || prng_chance(&f.prng, 1, 3)))
                leave(&f, (uint32_t)prng_below(&f.prng, members));
            else if (members > 0 && prng_chance(&f.prng, 1, 4))
                subscribe(&f, (uint32_t)prng_below(&f.prng, members), prng_chance(&f.prng, 1, 4));
            else
                subscribe(&f, f.in.member_count++, prng_chance(&f.prng, 1, 4));
            assign(&f);
            assign(&f);
            cr_assert_eq(moved(&f), 0, "settled assignments stay");
        }
    }
}

Test(assign_uniform, a_member_with_another_subscription_takes_its_share_and_no_more)
{
    static struct fixture f;
    start(&f, 1);
    f.in.partition_racks = NULL;
    f.in.topic_count = 2;
    f.topics[0] = (struct assign_topic){0, 40};
    f.topics[1] = (struct assign_topic){40, 80};
    f.in.partition_count = 120;
    for (uint32_t m = 0; m < 3; m++)
        subscribe(&f, m, true);
    f.in.member_count = 3;
    assign(&f);
    f.members[3] = (struct assign_member){.topics = f.subscriptions[3], .topic_count = 1, .rack = -1};
    f.subscriptions[3][0] = 1;
    f.in.member_count = 4;
    assign(&f);
    cr_assert_leq(moved(&f), 40); // 30 to the new member, 10 of the first topic to those who gave them
}

Test(assign_uniform, racks_are_met_where_loads_allow)
{
    static struct fixture f;
    start(&f, 7);
    f.in.topic_count = 1;
    f.topics[0] = (struct assign_topic){0, 90};
    f.in.partition_count = 90;
    f.in.partition_racks = f.racks;
    for (uint32_t p = 0; p < 90; p++)
        f.racks[p] = UINT64_C(1) << (p % 3);
    for (uint32_t m = 0; m < 6; m++) {
        subscribe(&f, m, true);
        f.members[m].rack = (int)m / 2;
    }
    f.in.member_count = 6;
    assign(&f);
    for (uint32_t p = 0; p < 90; p++)
        cr_assert_eq((uint32_t)f.members[f.owners[p]].rack, p % 3);
}

Test(assign_uniform, ten_thousand_partitions_of_a_thousand_members)
{
    enum { M = 1000, T = 100, P = 10000 };
    struct assign_topic *topics = calloc(T, sizeof(*topics));
    struct assign_member *members = calloc(M, sizeof(*members));
    uint32_t(*subscriptions)[T] = calloc(M, sizeof(*subscriptions));
    uint32_t *owners = malloc(P * sizeof(*owners));
    struct prng prng;
    prng_init(&prng, 3);
    for (uint32_t t = 0; t < T; t++)
        topics[t] = (struct assign_topic){t * (P / T), P / T};
    for (int even = 1; even >= 0; even--) {
        for (uint32_t m = 0; m < M; m++) {
            members[m] = (struct assign_member){.topics = subscriptions[m], .rack = -1};
            for (uint32_t t = 0; t < T; t++) {
                if (even || prng_chance(&prng, 1, 4))
                    subscriptions[m][members[m].topic_count++] = t;
            }
        }
        memset(owners, 0xff, P * sizeof(*owners));
        static const uint32_t counts[] = {M / 2, M, M - 1, 1, M};
        for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
            struct assign_input in = {topics, members, T, counts[i], P, NULL};
            struct timespec a, b;
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
            cr_assert_eq(assign_uniform(&in, owners), RC_OK);
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
            double ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
            if (getenv("ASSIGN_TIMES"))
                cr_log_warn("%s, %u members: %.2f ms", even ? "one subscription" : "different ones", counts[i], ms);
            cr_assert_lt(ms, 2000, "%.0f ms for %u members", ms, counts[i]); // under sanitizers, on any machine
        }
    }
    free(topics);
    free(members);
    free(subscriptions);
    free(owners);
}
