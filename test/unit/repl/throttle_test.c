// SPDX-License-Identifier: Apache-2.0
//
// The rate at which held-back replicas are copied.
#include <criterion/criterion.h>

#include "repl/throttle.h"

#define S UINT64_C(1000000000)
#define MS UINT64_C(1000000)

Test(repl_throttle, no_limit_holds_nothing_back)
{
    struct repl_throttle t;
    repl_throttle_init(&t, 11, 1);
    repl_throttle_count(&t, UINT64_C(1) << 39, 5 * S);
    cr_assert_eq(repl_throttle_wait_ns(&t, 5 * S), 0);
    repl_throttle_limit(&t, 0);
    cr_assert_eq(repl_throttle_wait_ns(&t, 5 * S), S, "nothing at all, and one looks again every second");
}

Test(repl_throttle, what_is_over_the_limit_is_waited_for)
{
    struct repl_throttle t;
    repl_throttle_init(&t, 11, 1);
    repl_throttle_limit(&t, 1000);
    uint64_t now = 100 * S;
    repl_throttle_count(&t, 1000, now);
    cr_assert_eq(repl_throttle_wait_ns(&t, now), 0, "the limit itself is not over it");
    repl_throttle_count(&t, 500, now + 100 * MS);
    cr_assert_eq(repl_throttle_wait_ns(&t, now + 100 * MS), 500 * MS);
    cr_assert_eq(repl_throttle_wait_ns(&t, now + 1499 * MS), MS);
    cr_assert_eq(repl_throttle_wait_ns(&t, now + 1500 * MS), 0);
    // Samples that are too old count for nothing.
    repl_throttle_count(&t, 1000000, now + 2 * S);
    cr_assert_gt(repl_throttle_wait_ns(&t, now + 12 * S), 0);
    cr_assert_eq(repl_throttle_wait_ns(&t, now + 13 * S), 0);
}

Test(repl_throttle, whoever_asks_when_it_may_comes_out_at_the_limit)
{
    struct repl_throttle t;
    repl_throttle_init(&t, 11, 1);
    repl_throttle_limit(&t, 10 << 20);
    uint64_t sent = 0, begin = 1234567 * MS, now = begin;
    while (now < begin + 60 * S) {
        uint64_t wait = repl_throttle_wait_ns(&t, now);
        if (wait) {
            now += wait;
            continue;
        }
        repl_throttle_count(&t, 3 << 20, now);
        sent += 3 << 20;
        now += 5 * MS;
    }
    double rate = (double)sent / 60 / (10 << 20);
    cr_assert(rate > 0.95 && rate < 1.1, "%.3f of the limit", rate);
}

Test(repl_throttle, settings_out_of_bounds)
{
    struct repl_throttle t;
    repl_throttle_init(&t, 0, -5);
    cr_assert(t.sample_count == 1 && t.sample_ns == S);
    repl_throttle_init(&t, INT64_MAX, INT64_MAX);
    cr_assert(t.sample_count == REPL_THROTTLE_SAMPLES_MAX && t.sample_ns == 3600 * S);
    repl_throttle_limit(&t, 1);
    repl_throttle_count(&t, UINT64_MAX / 2, S);
    repl_throttle_count(&t, UINT64_MAX / 2, S);
    cr_assert_eq(repl_throttle_wait_ns(&t, S), S);
}
