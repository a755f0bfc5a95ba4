// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include "consumer_rig.h"

static struct rig *begin(void)
{
    static struct rig rig;
    rig = (struct rig){0};
    rig_begin(&rig);
    return &rig;
}

static void end(struct rig *r)
{
    consumer_check(r, "g");
    consumer_replay_check(r);
    rig_end(r);
}

static void new_topic(struct rig *r, const char *name, int32_t partitions)
{
    rig_topic(r, name, partitions);
    groups_topic_changed(&r->g, bytes_str(name), r->topics[r->topic_count - 1].id, false, r->now);
    rig_run(r);
}

Test(consumer_regex, topics_that_match_are_assigned_as_they_come_and_go)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", NULL, .regex = "or.*|log-[0-9]"), "m1 1 ");
    rig_advance(r, 1);
    cr_assert_str_eq(consumer_text(r, "g"), "Assigning 2/1; m1 1 stable ");
    EXPECT(r, BEAT("m1", 1), "m1 2 orders:0-11");
    cr_assert_eq(rig_records(r, 16, NULL), 1);
    new_topic(r, "log-1", 2);
    rig_advance(r, 1000);
    EXPECT(r, BEAT("m1", 2), "m1 3 orders:0-11 log-1:0-1");
    new_topic(r, "log-10", 2);
    rig_advance(r, 1000);
    EXPECT(r, BEAT("m1", 3), "m1 3 -");
    cr_assert_eq(rig_records(r, 16, NULL), 2);
    rig_topic_gone(r, "orders");
    rig_advance(r, 1000);
    EXPECT(r, BEAT("m1", 3, .owned = "log-1:0-1"), "m1 4 log-1:0-1");
    end(r);
}

Test(consumer_regex, another_member_with_a_known_expression_is_assigned_at_once)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", NULL, .regex = "orders"), "m1 1 ");
    rig_advance(r, 1);
    EXPECT(r, BEAT("m1", 1), "m1 2 orders:0-11");
    EXPECT(r, JOIN("m2", "clicks", .regex = "orders"), "m2 3 clicks:0-2");
    EXPECT(r, BEAT("m1", 2, .owned = "orders:0-11"), "m1 2 orders:0-7");
    EXPECT(r, BEAT("m1", 2, .owned = "orders:0-7"), "m1 3 -");
    // Nobody uses it any more: it goes.
    EXPECT(r, BEAT("m1", -1), "m1 -1 -");
    cr_assert_eq(rig_consumer(r, "g")->regexes.count, 1);
    EXPECT(r, BEAT("m2", 3, .regex = "", .owned = "clicks:0-2"), "m2 5 -");
    cr_assert_eq(rig_consumer(r, "g")->regexes.count, 0);
    end(r);
}

Test(consumer_regex, expressions_are_looked_at_again_from_time_to_time_and_after_a_load)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", NULL, .regex = "x+"), "m1 1 ");
    rig_advance(r, 1);
    rig_topic(r, "xx", 1); // nobody said
    for (int i = 0; i < 16; i++) {
        rig_advance(r, 40000);
        beat(r, JOIN("m1", NULL, .regex = "x+"));
    }
    EXPECT(r, JOIN("m1", NULL, .regex = "x+"), "m1 3 xx:0");
    rig_topic(r, "xxx", 1);
    rig_reload(r);
    rig_advance(r, 1);
    EXPECT(r, BEAT("m1", 3), "m1 4 xx:0 xxx:0");
    end(r);
}

Test(consumer_regex, work_is_done_in_turns_and_a_held_log_delays_it_only)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", NULL, .regex = "orders"), "m1 1 ");
    r->hold = true;
    struct beat other = JOIN("m2", "clicks");
    struct rig_call *c = beat_send(r, &other);
    rig_advance(r, 500);
    cr_assert_not(c->back);
    r->hold = false;
    rig_finish(r, RC_OK);
    cr_assert(c->back);
    rig_call_free(c);
    rig_advance(r, 500);
    EXPECT(r, BEAT("m1", 1), "m1 3 orders:0-11");
    end(r);
}
