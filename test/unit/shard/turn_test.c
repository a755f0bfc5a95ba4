// SPDX-License-Identifier: Apache-2.0
//
// One shard, turn by turn: timers, deferred tasks, jobs.
#include <criterion/criterion.h>
#include <string.h>

#include "io/io.h"
#include "shard/shard.h"

static struct io *io;
static struct shard_group group;
static struct shard *s;
static char record[256]; // what ran, in order

static void setup(void)
{
    struct io_config config = {0};
    cr_assert_eq(io_create(&io, &config), RC_OK);
    cr_assert_eq(shard_group_create(&group, &io, 1, 16, NULL), RC_OK);
    s = &group.shards[0];
    record[0] = 0;
}

static void teardown(void)
{
    shard_group_destroy(&group);
    io_destroy(io);
}

TestSuite(turn, .init = setup, .fini = teardown, .timeout = 20);

// ------------------------------------------------------------------------------------------------ timers

struct named_timer {
    struct shard_timer timer;
    const char *name;
};

static void note_timer(struct shard_timer *t)
{
    strcat(record, ((struct named_timer *)t)->name);
}

Test(turn, timers_fire_in_order_of_deadline_then_of_setting)
{
    struct named_timer a = {.name = "a"}, b = {.name = "b"}, c = {.name = "c"}, d = {.name = "d"};
    uint64_t now_ns = io_clock_ns(io);
    cr_assert_eq(shard_next_deadline_ns(s), UINT64_MAX);
    shard_timer_set(s, &a.timer, now_ns + 3, note_timer);
    shard_timer_set(s, &b.timer, now_ns + 1, note_timer);
    shard_timer_set(s, &c.timer, now_ns + 1, note_timer);
    shard_timer_set(s, &d.timer, now_ns + 2, note_timer);
    cr_assert_eq(shard_next_deadline_ns(s), now_ns + 1);
    shard_timer_cancel(s, &d.timer);
    shard_timer_cancel(s, &d.timer);
    shard_turn(s, 1000 * 1000);
    cr_assert_str_eq(record, "bca");
    cr_assert(!shard_timer_is_set(&a.timer));
}

Test(turn, the_wait_ends_at_the_nearest_deadline)
{
    struct named_timer a = {.name = "a"};
    uint64_t start_ns = io_clock_ns(io);
    shard_timer_set(s, &a.timer, start_ns + 1000 * 1000 * 1000, note_timer);
    shard_timer_set(s, &a.timer, start_ns + 20 * 1000 * 1000, note_timer); // moved
    unsigned turns = 0;
    while (record[0] == 0) {
        shard_turn(s, -1);
        turns++;
    }
    uint64_t took_ns = io_clock_ns(io) - start_ns;
    cr_assert(took_ns >= 20 * 1000 * 1000 && took_ns < 500 * 1000 * 1000);
    cr_assert(turns <= 2, "it slept, it did not poll");
}

static struct named_timer self_timer = {.name = "s"};

static void set_again(struct shard_timer *t)
{
    strcat(record, "s");
    shard_timer_set(s, t, 0, set_again);
}

Test(turn, a_timer_that_sets_itself_for_now_fires_once_a_turn)
{
    shard_timer_set(s, &self_timer.timer, 0, set_again);
    shard_turn(s, 0);
    cr_assert_str_eq(record, "s");
    shard_turn(s, -1);
    cr_assert_str_eq(record, "ss");
    shard_timer_cancel(s, &self_timer.timer);
}

// ------------------------------------------------------------------------------------------------ tasks

struct named_task {
    struct shard_task task;
    const char *name;
    struct named_task *then;
    unsigned runs;
};

static void run_named(struct shard_task *t)
{
    struct named_task *n = (struct named_task *)t;
    n->runs++;
    strcat(record, n->name);
    if (n->then)
        shard_defer(s, &n->then->task, run_named);
}

Test(turn, tasks_run_once_a_turn_and_what_they_cause_too)
{
    struct named_task a = {.name = "a"}, b = {.name = "b"}, c = {.name = "c"};
    a.then = &c;
    c.then = &b;
    shard_defer(s, &a.task, run_named);
    shard_defer(s, &a.task, run_named);
    shard_defer(s, &b.task, run_named);
    cr_assert(shard_turn(s, -1));
    cr_assert_str_eq(record, "abcb");
    shard_defer(s, &a.task, run_named);
    shard_defer_cancel(s, &a.task);
    shard_defer_cancel(s, &a.task);
    cr_assert(!shard_turn(s, 0));
    cr_assert_str_eq(record, "abcb");
}

static void run_again(struct shard_task *t)
{
    ((struct named_task *)t)->runs++;
    shard_defer(s, t, run_again);
}

Test(turn, a_task_that_asks_for_itself_for_ever_does_not_hold_the_turn)
{
    struct named_task a = {0};
    shard_defer(s, &a.task, run_again);
    shard_turn(s, -1);
    unsigned first = a.runs;
    cr_assert(first >= 1 && first < 1000);
    shard_turn(s, -1); // does not sleep either
    cr_assert(a.runs > first);
    shard_defer_cancel(s, &a.task);
}

// ------------------------------------------------------------------------------------------------ jobs

struct counting_job {
    struct shard_job job;
    unsigned runs, runs_max;
    enum shard_job_state otherwise;
    bool wake_inside, cancel_inside;
};

static enum shard_job_state count_run(struct shard_job *j, uint64_t budget_ns)
{
    struct counting_job *c = (struct counting_job *)j;
    cr_assert_eq(budget_ns, SHARD_JOB_BUDGET_NS);
    c->runs++;
    if (c->wake_inside)
        shard_job_wake(s, j);
    if (c->cancel_inside)
        shard_job_cancel(s, j);
    return c->runs == c->runs_max ? SHARD_JOB_DONE : c->otherwise;
}

Test(turn, jobs_take_turns)
{
    struct counting_job a = {.runs_max = 30}, b = {.runs_max = 10}, c = {.runs_max = 20};
    shard_job_start(s, &a.job, count_run);
    shard_job_start(s, &b.job, count_run);
    shard_job_start(s, &c.job, count_run);
    for (int i = 0; i < 15; i++)
        shard_turn(s, -1);
    cr_assert(a.runs == 5 && b.runs == 5 && c.runs == 5);
    for (int i = 0; i < 45; i++)
        cr_assert(shard_turn(s, -1));
    cr_assert(a.runs == 30 && b.runs == 10 && c.runs == 20);
    cr_assert(!a.job.started && !b.job.started && !c.job.started);
    cr_assert(!shard_turn(s, 0));
}

Test(turn, a_waiting_job_runs_when_woken)
{
    struct counting_job a = {.runs_max = 3, .otherwise = SHARD_JOB_WAIT};
    shard_job_start(s, &a.job, count_run);
    shard_turn(s, 0);
    shard_turn(s, 0);
    cr_assert_eq(a.runs, 1);
    shard_job_wake(s, &a.job);
    shard_job_wake(s, &a.job);
    shard_turn(s, 0);
    shard_turn(s, 0);
    cr_assert_eq(a.runs, 2);
    // Woken while it runs, before it says WAIT: not lost.
    a.runs_max = 4;
    a.wake_inside = true;
    shard_job_wake(s, &a.job);
    shard_turn(s, 0);
    shard_turn(s, 0);
    cr_assert_eq(a.runs, 4);
    shard_job_wake(s, &a.job); // done: nothing
    shard_turn(s, 0);
    cr_assert_eq(a.runs, 4);
}

Test(turn, a_job_may_be_cancelled_from_anywhere)
{
    struct counting_job a = {0}, b = {.cancel_inside = true}, c = {.otherwise = SHARD_JOB_WAIT};
    shard_job_start(s, &a.job, count_run);
    shard_job_start(s, &b.job, count_run);
    shard_job_start(s, &c.job, count_run);
    for (int i = 0; i < 3; i++)
        shard_turn(s, 0);
    shard_job_cancel(s, &a.job);
    shard_job_cancel(s, &c.job);
    for (int i = 0; i < 3; i++)
        shard_turn(s, 0);
    cr_assert(a.runs == 1 && b.runs == 1 && c.runs == 1);
    shard_job_start(s, &b.job, count_run);
    shard_turn(s, 0);
    cr_assert_eq(b.runs, 2);
}

// New work came up while the job ran, and whoever brought it found the job not started.
static enum shard_job_state start_anew(struct shard_job *j, uint64_t budget_ns)
{
    (void)budget_ns;
    struct counting_job *c = (struct counting_job *)j;
    c->runs++;
    if (c->runs == 1)
        shard_job_start(s, j, start_anew);
    return c->runs < c->runs_max ? SHARD_JOB_MORE : SHARD_JOB_DONE;
}

Test(turn, a_job_started_anew_while_it_runs_stands_in_line_once)
{
    struct counting_job a = {.runs_max = 3};
    shard_job_start(s, &a.job, start_anew);
    for (int i = 0; i < 10; i++)
        shard_turn(s, 0);
    cr_assert_eq(a.runs, 3);
    cr_assert(!a.job.started);
}

// ------------------------------------------------------------------------------------------------ figures

static void note_message(struct shard *on, struct shard_message *m)
{
    strcat(record, "r");
    shard_answer(on, m);
}

static void note_answer(struct shard *on, struct shard_message *m)
{
    cr_assert_eq(on, s);
    cr_assert(!m->in_flight);
    strcat(record, "a");
}

Test(turn, a_message_to_itself_comes_back)
{
    struct shard_message m = {.run = note_message, .answered = note_answer};
    cr_assert_eq(shard_send(s, 0, &m), RC_OK);
    cr_assert_str_eq(record, "", "not from inside the call");
    for (int i = 0; i < 3; i++)
        shard_turn(s, -1 * (record[0] == 0));
    cr_assert_str_eq(record, "ra");
}

static enum shard_job_state dawdle(struct shard_job *j, uint64_t budget_ns)
{
    (void)j;
    (void)budget_ns;
    uint64_t until_ns = io_clock_ns(io) + SHARD_TURN_SLOW_NS + 1000 * 1000;
    while (io_clock_ns(io) < until_ns)
        ;
    return SHARD_JOB_DONE;
}

Test(turn, slow_turns_are_counted)
{
    shard_turn(s, 0);
    uint64_t slow = s->counters.turns_slow;
    struct shard_job j = {0};
    shard_job_start(s, &j, dawdle);
    shard_turn(s, 0);
    cr_assert_eq(s->counters.turns_slow, slow + 1);
    cr_assert_eq(s->counters.turns, 2);
    cr_assert(s->counters.turn_ns_max > SHARD_TURN_SLOW_NS);
    uint64_t sum = 0;
    for (int i = 0; i < 32; i++)
        sum += s->counters.turn_ns_histogram[i];
    cr_assert_eq(sum, 2);
}

static void stop_it(struct shard_timer *t)
{
    (void)t;
    shard_stop(s);
}

Test(turn, shares_of_turns_are_bounded_from_above)
{
    struct shard_counters c = {0}, sum = {0};
    cr_assert_eq(shard_turn_quantile_ns(&c, 0.99), 0);
    c = (struct shard_counters){.turns = 100, .turns_slow = 1, .turn_ns_max = 6000000};
    c.turn_ns_histogram[10] = 98; // 1024 to 2047 ns
    c.turn_ns_histogram[20] = 1;
    c.turn_ns_histogram[22] = 1; // 4 to 8 ms
    shard_counters_add(&sum, &c);
    shard_counters_add(&sum, &c);
    cr_assert(sum.turns == 200 && sum.turns_slow == 2 && sum.turn_ns_max == 6000000);
    cr_assert_eq(shard_turn_quantile_ns(&sum, 0.5), 2048);
    cr_assert_eq(shard_turn_quantile_ns(&sum, 0.99), 2 << 20);
    cr_assert_eq(shard_turn_quantile_ns(&sum, 0.999), 6000000);
}

Test(turn, an_idle_shard_sleeps)
{
    struct shard_timer t = {0};
    shard_timer_set(s, &t, io_clock_ns(io) + 300 * 1000 * 1000, stop_it);
    shard_run(s);
    cr_assert(io_counters(io)->waits <= 2, "%lu waits", (unsigned long)io_counters(io)->waits);
    cr_assert(s->counters.turns <= 3);
}
