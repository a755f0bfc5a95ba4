// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include "repl/follower.h"

// The own log: epoch e ends at ends[e].
static int64_t ends[8];

static void epoch_end(void *context, int32_t epoch, int32_t *found, int64_t *end)
{
    (void)context;
    *found = LEADER_EPOCH_NONE;
    *end = OFFSET_NONE;
    for (int32_t e = 0; e <= epoch && e < 8; e++)
        if (ends[e] >= 0) {
            *found = e;
            *end = ends[e];
        }
}

static struct repl_log log_of(int64_t start, int64_t end, int64_t high_watermark, int32_t latest)
{
    return (struct repl_log){
        .start = start, .end = end, .durable = end, .high_watermark = high_watermark, .latest_epoch = latest, .epoch_end = epoch_end};
}

static void set_ends(int64_t a, int64_t b, int64_t c)
{
    for (int i = 0; i < 8; i++)
        ends[i] = -1;
    ends[1] = a;
    ends[2] = b;
    ends[3] = c;
}

static struct repl_answer answer_of(int64_t asked)
{
    return (struct repl_answer){.rc = RC_OK,
                                .leader_epoch = 4,
                                .asked_offset = asked,
                                .high_watermark = OFFSET_NONE,
                                .log_start = 0,
                                .diverging_epoch = LEADER_EPOCH_NONE,
                                .diverging_end = -1};
}

Test(repl_follower, cuts_to_the_smaller_end_until_both_agree)
{
    struct repl_follower f = {.leader = NODE_ID_NONE};
    struct repl_verdict v;
    repl_follower_follow(&f, 2, 4, true);
    set_ends(10, 20, 30);
    struct repl_log log = log_of(0, 30, 5, 3);
    struct repl_ask ask;
    cr_assert(repl_follower_ask(&f, &log, 0, &ask));
    cr_assert(ask.offset == 30 && ask.last_fetched_epoch == 3 && ask.leader_epoch == 4);
    struct repl_answer a = answer_of(30);
    a.diverging_epoch = 2; // it has no epoch 3; its epoch 2 ends at 15
    a.diverging_end = 15;
    repl_follower_answer(&f, &log, &a, 0, &v);
    cr_assert(v.action == REPL_TRUNCATE && v.offset == 15);
    log = log_of(0, 30, 5, 3);
    a.diverging_end = 25; // longer than ours
    repl_follower_answer(&f, &log, &a, 0, &v);
    cr_assert(v.action == REPL_TRUNCATE && v.offset == 20);
    a.diverging_epoch = 0; // older than all of ours
    a.diverging_end = 3;
    repl_follower_answer(&f, &log, &a, 0, &v);
    cr_assert(v.action == REPL_STOP, "it holds 5 records that count");
}

Test(repl_follower, a_member_of_the_isr_never_cuts_below_its_watermark)
{
    struct repl_follower f = {.leader = NODE_ID_NONE};
    struct repl_verdict v;
    struct repl_ask ask;
    repl_follower_follow(&f, 2, 4, true);
    set_ends(10, 20, 30);
    struct repl_log log = log_of(0, 30, 18, 3);
    struct repl_answer a = answer_of(30);
    a.diverging_epoch = 2;
    a.diverging_end = 17;
    repl_follower_answer(&f, &log, &a, 0, &v);
    cr_assert_eq(v.action, REPL_STOP);
    cr_assert_not(repl_follower_ask(&f, &log, 0, &ask));
    repl_follower_follow(&f, 2, 4, false);
    cr_assert(repl_follower_ask(&f, &log, 0, &ask), "it left the ISR");
    repl_follower_follow(&f, 2, 4, true);
    repl_follower_answer(&f, &log, &a, 0, &v);
    cr_assert_eq(v.action, REPL_STOP);
    repl_follower_follow(&f, 3, 5, true);
    cr_assert(repl_follower_ask(&f, &log, 0, &ask), "a new leader, a new question");
    repl_follower_follow(&f, 2, 6, false);
    a.leader_epoch = 6;
    repl_follower_answer(&f, &log, &a, 0, &v);
    cr_assert(v.action == REPL_TRUNCATE && v.offset == 17, "outside of them it may");
}

Test(repl_follower, answers_to_other_questions_change_nothing)
{
    struct repl_follower f = {.leader = NODE_ID_NONE};
    struct repl_verdict v;
    repl_follower_follow(&f, 2, 4, true);
    set_ends(10, -1, -1);
    struct repl_log log = log_of(0, 10, 5, 1);
    struct repl_answer a = answer_of(9);
    a.records = true;
    repl_follower_answer(&f, &log, &a, 0, &v);
    cr_assert_eq(v.action, REPL_NOTHING);
    a = answer_of(10);
    a.leader_epoch = 3;
    a.records = true;
    repl_follower_answer(&f, &log, &a, 0, &v);
    cr_assert_eq(v.action, REPL_NOTHING);
}

Test(repl_follower, backs_off_for_longer_each_time_up_to_what_it_is_told)
{
    static const uint64_t by_default[] = {20, 40, 80, 160, 320, 640, 1000, 1000}, told[] = {20, 40, 50, 50};
    struct repl_follower f = {.leader = NODE_ID_NONE};
    struct repl_ask ask;
    struct repl_log log = log_of(0, 10, 5, 1);
    repl_follower_follow(&f, 2, 4, true);
    for (size_t i = 0; i < sizeof(by_default) / sizeof(by_default[0]); i++) {
        repl_follower_failed(&f, 0);
        cr_assert_eq(f.retry_ns, by_default[i] * 1000000, "%zu", i);
        cr_assert_not(repl_follower_ask(&f, &log, f.retry_ns - 1, &ask));
        cr_assert(repl_follower_ask(&f, &log, f.retry_ns, &ask));
    }
    repl_follower_follow(&f, 3, 5, true);
    f.backoff_ms_max = 50;
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        repl_follower_failed(&f, 0);
        cr_assert_eq(f.retry_ns, told[i] * 1000000, "%zu", i);
    }
}

Test(repl_follower, watermark_and_log_start_only_rise)
{
    struct repl_follower f = {.leader = NODE_ID_NONE};
    struct repl_verdict v;
    repl_follower_follow(&f, 2, 4, true);
    set_ends(10, -1, -1);
    struct repl_log log = log_of(3, 10, 5, 1);
    struct repl_answer a = answer_of(10);
    a.records = true;
    a.high_watermark = 4;
    a.log_start = 2;
    repl_follower_answer(&f, &log, &a, 0, &v);
    cr_assert(v.action == REPL_APPEND && v.high_watermark == OFFSET_NONE && v.log_start == OFFSET_NONE);
    a.high_watermark = 12;
    a.log_start = 4;
    repl_follower_answer(&f, &log, &a, 0, &v);
    cr_assert(v.high_watermark == 12 && v.log_start == 4);
}

Test(repl_follower, begins_at_the_leaders_log_start_when_it_is_far_behind)
{
    struct repl_follower f = {.leader = NODE_ID_NONE};
    struct repl_verdict v;
    repl_follower_follow(&f, 2, 4, false);
    set_ends(10, -1, -1);
    struct repl_log log = log_of(0, 10, 10, 1);
    struct repl_answer a = answer_of(10);
    a.rc = RC_OFFSET_OUT_OF_RANGE;
    a.log_start = 100;
    repl_follower_answer(&f, &log, &a, 0, &v);
    cr_assert(v.action == REPL_RESTART && v.offset == 100);
    a.log_start = 10;
    repl_follower_follow(&f, 2, 4, true);
    repl_follower_answer(&f, &log, &a, 0, &v);
    cr_assert(v.action == REPL_RESTART && v.offset == 10, "nothing that is left is given up");
    a.log_start = 4;
    repl_follower_answer(&f, &log, &a, 0, &v);
    cr_assert_eq(v.action, REPL_STOP, "it promised to hold 4 to 9");
}

Test(repl_follower, backs_off_and_comes_back)
{
    struct repl_follower f = {.leader = NODE_ID_NONE};
    struct repl_verdict v;
    struct repl_ask ask;
    repl_follower_follow(&f, 2, 4, false);
    set_ends(10, -1, -1);
    struct repl_log log = log_of(0, 10, 10, 1);
    struct repl_answer a = answer_of(10);
    a.rc = RC_NOT_LEADER_OR_FOLLOWER;
    uint64_t now = 0;
    for (int i = 0; i < 20; i++) {
        repl_follower_answer(&f, &log, &a, now, &v);
        cr_assert_eq(v.action, REPL_FIND);
        cr_assert_not(repl_follower_ask(&f, &log, now, &ask));
        cr_assert_leq(f.retry_ns - now, UINT64_C(1000000000));
        now = f.retry_ns;
        cr_assert(repl_follower_ask(&f, &log, now, &ask));
    }
    a.rc = RC_OK;
    repl_follower_answer(&f, &log, &a, now, &v);
    cr_assert_eq(f.failures, 0);
}
