// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <signal.h>

#include "base/bytes.h"
#include "broker/budget.h"

struct waiter {
    struct budget_waiter w;
    unsigned granted, order;
};

static unsigned grants;

static void on_ready(struct budget_waiter *w)
{
    struct waiter *x = container_of(w, struct waiter, w);
    x->granted++;
    x->order = ++grants;
}

Test(budget, takes_and_gives)
{
    struct budget b;
    budget_init(&b, "test", 100);
    cr_assert(budget_take(&b, 60));
    cr_assert_not(budget_take(&b, 41));
    cr_assert(budget_take(&b, 40));
    cr_assert_eq(b.used_bytes, 100);
    budget_give(&b, 60);
    budget_give(&b, 40);
    cr_assert_eq(b.used_bytes, 0);
    cr_assert_eq(b.used_bytes_max, 100);
    cr_assert(budget_fits(&b, 100) && !budget_fits(&b, 101));
}

Test(budget, serves_in_order_of_arrival_and_no_small_one_passes_a_large_one)
{
    struct budget b;
    struct waiter large = {0}, small = {0};
    grants = 0;
    budget_init(&b, "test", 100);
    cr_assert(budget_take(&b, 50));
    cr_assert(budget_take(&b, 30));
    budget_wait(&b, &large.w, 90, on_ready);
    budget_wait(&b, &small.w, 10, on_ready);
    cr_assert_not(budget_take(&b, 1), "who comes later may not pass the line");
    budget_give(&b, 30);
    cr_assert_eq(large.granted + small.granted, 0);
    budget_give(&b, 50);
    cr_assert_eq(large.granted, 1);
    cr_assert_eq(small.granted, 1);
    cr_assert_lt(large.order, small.order);
    cr_assert_eq(b.used_bytes, 100);
}

Test(budget, the_one_behind_is_served_when_the_first_leaves)
{
    struct budget b;
    struct waiter first = {0}, second = {0};
    budget_init(&b, "test", 100);
    cr_assert(budget_take(&b, 80));
    budget_wait(&b, &first.w, 50, on_ready);
    budget_wait(&b, &second.w, 20, on_ready);
    budget_cancel(&b, &first.w);
    cr_assert_eq(first.granted, 0);
    cr_assert_eq(second.granted, 1);
    budget_cancel(&b, &first.w); // not in line any more: nothing
    budget_cancel(&b, &second.w);
    cr_assert_eq(b.used_bytes, 100);
}

Test(budget, is_low_below_an_eighth_and_while_somebody_waits)
{
    struct budget b;
    struct waiter w = {0};
    budget_init(&b, "test", 800);
    cr_assert(budget_take(&b, 700));
    cr_assert_not(budget_low(&b));
    cr_assert(budget_take(&b, 1));
    cr_assert(budget_low(&b));
    budget_give(&b, 301);
    budget_wait(&b, &w.w, 700, on_ready);
    cr_assert(budget_low(&b));
    budget_cancel(&b, &w.w);
    cr_assert_not(budget_low(&b));
}

Test(budget, waiting_for_what_can_never_be_had_is_a_bug, .signal = SIGABRT)
{
    struct budget b;
    struct waiter w = {0};
    budget_init(&b, "test", 10);
    budget_wait(&b, &w.w, 11, on_ready);
}
