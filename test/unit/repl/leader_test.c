// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <string.h>

#include "repl/leader.h"

enum { LAG_MS = 1000 };
#define MS UINT64_C(1000000)

static struct repl_member members[3];
static struct repl_leader l;

// Node 1 leads; epochs of brokers are 10 times their ids.
static struct repl_view view_of(int32_t epoch, bool isr2, bool isr3)
{
    for (int i = 0; i < 3; i++)
        members[i] = (struct repl_member){.node = i + 1, .ready = true, .broker_epoch = (i + 1) * 10};
    members[0].in_isr = true;
    members[1].in_isr = isr2;
    members[2].in_isr = isr3;
    return (struct repl_view){
        .leader_epoch = 5, .partition_epoch = epoch, .min_insync_replicas = 2, .factor = 3, .member_count = 3,
        .members = members};
}

static void begin(bool isr2, bool isr3, int64_t end, int64_t high_watermark)
{
    struct repl_view v = view_of(7, isr2, isr3);
    cr_assert_eq(repl_leader_begin(&l, 1, &v, end, end, high_watermark, LAG_MS * MS, 0), RC_OK);
}

static bool fetch(int32_t node, int64_t offset, uint64_t now_ms)
{
    bool known;
    struct repl_fetch f = {.node = node, .broker_epoch = node * 10, .offset = offset, .log_start = 0};
    bool moved = repl_leader_fetched(&l, &f, now_ms * MS, &known);
    cr_assert(known);
    return moved;
}

static bool change(uint64_t now_ms, struct repl_change *out)
{
    return repl_leader_change(&l, now_ms * MS, false, out);
}

Test(repl_leader, the_watermark_waits_for_every_member_of_the_isr)
{
    begin(true, true, 10, 4);
    cr_assert_eq(l.high_watermark, 4);
    cr_assert_not(fetch(2, 10, 1), "3 has said nothing yet");
    cr_assert(fetch(3, 8, 1));
    cr_assert_eq(l.high_watermark, 8);
    cr_assert_not(repl_leader_appended(&l, 20, 2 * MS));
    cr_assert(fetch(3, 20, 3));
    cr_assert_eq(l.high_watermark, 10);
    cr_assert_not(fetch(3, 12, 4), "it never falls");
    repl_leader_deinit(&l);
}

Test(repl_leader, the_watermark_stands_below_min_isr)
{
    begin(false, false, 10, 4);
    cr_assert_not(repl_leader_enough(&l));
    cr_assert_eq(l.high_watermark, 4, "alone in the ISR, two are asked for");
    cr_assert_not(repl_leader_appended(&l, 12, MS));
    struct repl_view v = view_of(8, true, false);
    bool moved;
    cr_assert_not(fetch(2, 12, 2));
    cr_assert_eq(repl_leader_view(&l, &v, 3 * MS, &moved), RC_OK);
    cr_assert(moved && l.high_watermark == 12 && repl_leader_enough(&l));
    repl_leader_deinit(&l);
}

Test(repl_leader, replicas_that_are_still_to_come_are_not_waited_for)
{
    begin(false, false, 10, 4);
    struct repl_view v = view_of(8, false, false);
    v.factor = 1; // one replica, and two on their way
    bool moved;
    cr_assert_eq(repl_leader_view(&l, &v, 3 * MS, &moved), RC_OK);
    cr_assert(moved && l.high_watermark == 10 && repl_leader_enough(&l));
    v = view_of(9, false, false); // the move is over, and nobody came
    cr_assert_eq(repl_leader_view(&l, &v, 4 * MS, &moved), RC_OK);
    cr_assert_not(repl_leader_enough(&l));
    cr_assert_not(repl_leader_appended(&l, 12, 5 * MS));
    repl_leader_deinit(&l);
}

Test(repl_leader, an_addition_on_its_way_holds_the_watermark_back)
{
    begin(true, false, 10, 10);
    fetch(2, 10, 1);
    fetch(3, 10, 1);
    struct repl_change c;
    cr_assert(change(2, &c));
    cr_assert(c.count == 3 && c.added == 1 && c.partition_epoch == 7);
    repl_leader_appended(&l, 15, 3 * MS);
    cr_assert_not(fetch(2, 15, 4), "3 may be in the committed ISR already");
    cr_assert_not(repl_leader_answered(&l, 7, REPL_UNKNOWN, 5 * MS), "nobody knows");
    cr_assert(repl_leader_pending(&l, &c) && c.partition_epoch == 7 && c.count == 3, "sent again as it was");
    cr_assert_not(change(6, &c), "one at a time");
    cr_assert(repl_leader_answered(&l, 7, REPL_REFUSED, 7 * MS), "now it surely is not");
    cr_assert_eq(l.high_watermark, 15);
    repl_leader_deinit(&l);
}

Test(repl_leader, an_addition_that_is_sent_again_is_of_the_life_that_held_the_records)
{
    begin(true, false, 10, 10);
    fetch(2, 10, 1);
    fetch(3, 10, 1);
    struct repl_change c;
    cr_assert(change(2, &c) && c.isr[2].node == 3 && c.isr[2].broker_epoch == 30);
    cr_assert_not(repl_leader_answered(&l, 7, REPL_UNKNOWN, 3 * MS));
    repl_leader_node(&l, 3, true, 31); // it has registered anew; what it held may be gone
    cr_assert(repl_leader_pending(&l, &c) && c.isr[2].node == 3 && c.isr[2].broker_epoch == 30);
    bool known;
    struct repl_fetch f = {.node = 3, .broker_epoch = 31, .offset = 4, .log_start = 0};
    repl_leader_fetched(&l, &f, 4 * MS, &known);
    cr_assert(known && repl_leader_pending(&l, &c) && c.isr[2].broker_epoch == 30, "nor after its first fetch");
    repl_leader_answered(&l, 7, REPL_REFUSED, 5 * MS);
    cr_assert_not(change(6, &c), "it does not hold what is committed");
    f.offset = 10;
    repl_leader_fetched(&l, &f, 7 * MS, &known);
    cr_assert(change(8, &c) && c.isr[2].broker_epoch == 31);
    repl_leader_deinit(&l);
}

Test(repl_leader, a_removal_counts_when_it_is_committed)
{
    begin(true, true, 10, 10);
    fetch(2, 10, 1);
    fetch(3, 10, 1);
    repl_leader_appended(&l, 11, 2 * MS);
    fetch(2, 11, 3);
    struct repl_change c;
    cr_assert_not(change(1000, &c));
    fetch(2, 11, 1500);
    cr_assert(change(2000, &c));
    cr_assert(c.count == 2 && c.removed == 1);
    cr_assert_eq(l.high_watermark, 10);
    struct repl_view v = view_of(8, true, false);
    bool moved;
    cr_assert_eq(repl_leader_view(&l, &v, 2001 * MS, &moved), RC_OK);
    cr_assert(moved && l.high_watermark == 11);
    repl_leader_deinit(&l);
}

Test(repl_leader, who_may_join)
{
    begin(true, false, 10, 10);
    struct repl_change c;
    cr_assert_not(change(1, &c), "3 has not fetched");
    fetch(3, 9, 1);
    cr_assert_not(change(1, &c), "it lacks a committed record");
    bool known;
    struct repl_fetch stale = {.node = 3, .broker_epoch = 29, .offset = 10};
    repl_leader_fetched(&l, &stale, MS, &known);
    cr_assert_not(known, "of an earlier life");
    struct repl_fetch stranger = {.node = 9, .broker_epoch = 90, .offset = 10};
    repl_leader_fetched(&l, &stranger, MS, &known);
    cr_assert_not(known);
    fetch(3, 10, 2);
    struct repl_view v = view_of(7, true, false);
    members[2].ready = false;
    bool moved;
    repl_leader_view(&l, &v, 2 * MS, &moved);
    cr_assert_not(change(2, &c), "fenced");
    v = view_of(7, true, false);
    members[2].broker_epoch = 31;
    repl_leader_view(&l, &v, 2 * MS, &moved);
    cr_assert_not(change(2, &c), "another incarnation has registered; it has not fetched");
    struct repl_fetch f = {.node = 3, .broker_epoch = 31, .offset = 10};
    repl_leader_fetched(&l, &f, 3 * MS, &known);
    cr_assert(known && change(3, &c));
    repl_leader_deinit(&l);
}

// With min.insync.replicas of 2 the watermark waits, and what it said before it fell silent would be enough for ever.
Test(repl_leader, who_was_left_out_for_its_silence_joins_when_it_fetches)
{
    begin(true, false, 10, 10);
    fetch(2, 10, 1);
    repl_leader_appended(&l, 11, 2 * MS);
    struct repl_change c;
    cr_assert(change(2000, &c) && c.removed == 1);
    struct repl_view v = view_of(8, false, false);
    bool moved;
    cr_assert_eq(repl_leader_view(&l, &v, 2001 * MS, &moved), RC_OK);
    cr_assert_eq(l.high_watermark, 10);
    cr_assert_not(change(2002, &c), "it has not fetched since");
    v = view_of(9, false, false);
    repl_leader_view(&l, &v, 2003 * MS, &moved);
    cr_assert_not(change(2003, &c), "nor since a later view");
    fetch(2, 10, 2004);
    cr_assert(change(2004, &c) && c.added == 1);
    repl_leader_deinit(&l);
}

Test(repl_leader, who_was_level_when_it_was_left_out_has_said_what_it_holds)
{
    begin(true, false, 10, 10);
    fetch(2, 10, 1);
    struct repl_change c;
    struct repl_view v = view_of(8, false, false);
    members[1].ready = false;
    bool moved;
    repl_leader_view(&l, &v, 2 * MS, &moved);
    cr_assert_not(change(2, &c), "fenced");
    v = view_of(8, false, false);
    repl_leader_view(&l, &v, 5000 * MS, &moved);
    cr_assert(change(5000, &c) && c.added == 1);
    repl_leader_deinit(&l);
}

Test(repl_leader, who_joins_must_hold_the_start_of_the_epoch)
{
    begin(true, false, 10, 4); // the epoch began at 10; the watermark is behind
    struct repl_change c;
    fetch(3, 6, 1);
    cr_assert_not(change(1, &c), "at the watermark, not at the epoch's start");
    fetch(3, 10, 1);
    cr_assert(change(1, &c));
    repl_leader_deinit(&l);
}

Test(repl_leader, what_a_restart_has_not_synced_yet_is_asked_of_those_who_join)
{
    struct repl_view v = view_of(7, false, false);
    cr_assert_eq(repl_leader_begin(&l, 1, &v, 6, 10, 4, LAG_MS * MS, 0), RC_OK);
    struct repl_change c;
    fetch(3, 8, 1);
    cr_assert_not(change(1, &c), "6 to 9 may have been committed before the restart");
    fetch(3, 10, 2);
    cr_assert_not(change(2, &c), "not while the leader itself does not offer them");
    repl_leader_appended(&l, 10, 3 * MS);
    fetch(3, 10, 4);
    cr_assert(change(4, &c));
    repl_leader_deinit(&l);
}

Test(repl_leader, lag_at_rest_and_after_a_slow_turn)
{
    begin(true, true, 10, 10);
    fetch(2, 10, 1);
    fetch(3, 10, 1);
    struct repl_change c;
    cr_assert_not(repl_leader_change(&l, 5000 * MS, false, &c), "at rest nobody is behind");
    cr_assert_eq(repl_leader_deadline_ns(&l), UINT64_MAX);
    repl_leader_appended(&l, 11, 8000 * MS);
    cr_assert_eq(repl_leader_deadline_ns(&l), 9000 * MS + 1);
    cr_assert_not(repl_leader_change(&l, 9001 * MS, true, &c), "we did not listen");
    cr_assert_not(repl_leader_change(&l, 9900 * MS, false, &c));
    cr_assert_eq(repl_leader_deadline_ns(&l), 10001 * MS + 1);
    cr_assert(repl_leader_change(&l, 10002 * MS, false, &c));
    cr_assert_eq(c.removed, 2);
    repl_leader_deinit(&l);
}

Test(repl_leader, holding_what_we_had_a_fetch_ago_is_no_lag)
{
    begin(true, true, 10, 10);
    fetch(2, 10, 0);
    fetch(3, 10, 0);
    struct repl_change c;
    for (uint64_t t = 100; t <= 5000; t += 100) { // always one fetch behind
        int64_t before = l.end;
        repl_leader_appended(&l, before + 5, t * MS);
        fetch(2, before, t);
        fetch(3, before, t);
        cr_assert_not(change(t, &c));
    }
    repl_leader_deinit(&l);
}

Test(repl_leader, low_watermark_is_the_lowest_log_start)
{
    begin(true, false, 10, 10);
    cr_assert_eq(repl_leader_low_watermark(&l, 5), OFFSET_NONE);
    fetch(2, 10, 1);
    fetch(3, 10, 1);
    cr_assert_eq(repl_leader_low_watermark(&l, 5), 0);
    repl_leader_deinit(&l);
}

// Of two logs, where one begins at the end of the other.
Test(repl_leader, whose_history_is_known_without_a_look_at_it)
{
    begin(true, false, 10, 10);
    cr_assert(repl_leader_vouches(&l, 2, 20), "a member of the ISR holds all that was committed");
    cr_assert_not(repl_leader_vouches(&l, 3, 30), "nothing is known of it in this leader epoch");
    cr_assert_not(repl_leader_vouches(&l, 4, 40), "no replica");
    fetch(3, 10, 1);
    cr_assert(repl_leader_vouches(&l, 3, 30));
    cr_assert_not(repl_leader_vouches(&l, 3, 31), "a later life of it");
    repl_leader_node(&l, 3, true, 31);
    cr_assert_not(repl_leader_vouches(&l, 3, 31));
    struct repl_view v = view_of(8, true, false);
    members[2].in_elr = true;
    bool moved;
    cr_assert_eq(repl_leader_view(&l, &v, MS, &moved), RC_OK);
    cr_assert(repl_leader_vouches(&l, 3, 30), "so does one of the ELR");
    repl_leader_deinit(&l);
}

// It is dead, and counts all the same: it may lead next without having heard of the deletion.
Test(repl_leader, a_deletion_waits_for_the_elr)
{
    begin(true, false, 10, 10);
    struct repl_view v = view_of(8, true, false);
    struct repl_member changed[3];
    memcpy(changed, v.members, sizeof(changed));
    v.members = changed;
    changed[2].ready = false;
    bool moved;
    fetch(2, 10, 1);
    cr_assert_eq(repl_leader_view(&l, &v, MS, &moved), RC_OK);
    cr_assert_eq(repl_leader_low_watermark(&l, 5), 0, "one that is dead and nothing more is not waited for");
    changed[2].in_elr = true;
    cr_assert_eq(repl_leader_view(&l, &v, MS, &moved), RC_OK);
    cr_assert_eq(repl_leader_low_watermark(&l, 5), OFFSET_NONE);
    repl_leader_deinit(&l);
}

Test(repl_leader, nobody_joins_who_would_bring_deleted_records_back)
{
    struct repl_change c;
    bool known;
    begin(true, false, 10, 10);
    repl_leader_deleted(&l, 4);
    repl_leader_deleted(&l, 3);
    fetch(2, 10, 1);
    fetch(3, 10, 1);
    cr_assert_not(change(2, &c));
    const struct repl_fetch f = {.node = 3, .broker_epoch = 30, .offset = 10, .log_start = 4};
    repl_leader_fetched(&l, &f, 3 * MS, &known);
    cr_assert(change(4, &c));
    cr_assert_eq(c.added, 1);
    repl_leader_deinit(&l);
}
