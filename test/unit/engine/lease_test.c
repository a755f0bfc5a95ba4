// SPDX-License-Identifier: Apache-2.0
//
// A lease counts from when the answered heartbeat was sent, and only for who has applied what the answer spoke of.
#include <criterion/criterion.h>

#include "engine/lease.h"

Test(lease, an_offer_counts_once_all_of_it_is_seen)
{
    struct lease l = {0};
    lease_offer(&l, 10, 1000);
    lease_settle(&l, 9);
    cr_assert_eq(lease_until_ns(&l), 0);
    lease_settle(&l, 10);
    cr_assert_eq(lease_until_ns(&l), 1000);
    lease_settle(&l, 11); // once
    cr_assert_eq(lease_until_ns(&l), 1000);
}

Test(lease, who_applies_nothing_gets_none_however_often_it_is_heard)
{
    struct lease l = {0};
    lease_offer(&l, 10, 1000);
    lease_settle(&l, 10);
    for (uint64_t until = 1100; until < 9000; until += 100) {
        lease_offer(&l, 11, until);
        lease_settle(&l, 10);
        cr_assert_eq(lease_until_ns(&l), 1000);
    }
    lease_settle(&l, 11); // and all of it when it has
    cr_assert_eq(lease_until_ns(&l), 8900);
}

// Always behind what was committed last, by as much as comes between three answers.
Test(lease, a_slow_disk_keeps_it)
{
    struct lease l = {0};
    for (uint64_t i = 1; i <= 100; i++) {
        lease_offer(&l, i, 1000 * i + 4000);
        lease_settle(&l, i > 3 ? i - 3 : 0);
        if (i > 8)
            cr_assert_gt(lease_until_ns(&l), 1000 * i - 2000, "after %d answers", (int)i);
    }
}

Test(lease, it_never_becomes_shorter)
{
    struct lease l = {0};
    lease_offer(&l, 5, 2000);
    lease_settle(&l, 5);
    lease_offer(&l, 5, 1500); // the node leads itself now: a majority followed it before that heartbeat was sent
    lease_settle(&l, 5);
    cr_assert_eq(lease_until_ns(&l), 2000);
    lease_offer(&l, 8, 3000); // not the newest that is taken first leaves the oldest behind
    lease_offer(&l, 7, 3500);
    lease_settle(&l, 7);
    cr_assert_eq(lease_until_ns(&l), 3500);
    lease_settle(&l, 8);
    cr_assert_eq(lease_until_ns(&l), 3500);
}
