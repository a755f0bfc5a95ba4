// SPDX-License-Identifier: Apache-2.0
//
// Mailboxes between shards that one thread drives, and idle ones; threads_test.c has them under load.
#include <criterion/criterion.h>
#include <unistd.h>

#include "io/io.h"
#include "shard/shard.h"

static struct shard_group group;

// ------------------------------------------------------------------------------------------------ one thread

struct two {
    struct io *ios[2];
    struct shard *a, *b;
};

static struct two two_create(uint32_t slots)
{
    struct two t;
    struct io_config config = {0};
    cr_assert_eq(io_create(&t.ios[0], &config), RC_OK);
    cr_assert_eq(io_create(&t.ios[1], &config), RC_OK);
    cr_assert_eq(shard_group_create(&group, t.ios, 2, slots, NULL), RC_OK);
    t.a = &group.shards[0];
    t.b = &group.shards[1];
    return t;
}

static void two_destroy(struct two *t)
{
    shard_group_destroy(&group);
    io_destroy(t->ios[0]);
    io_destroy(t->ios[1]);
}

static unsigned runs, answers, tasks;
static struct shard_message *held;

static void hold(struct shard *on, struct shard_message *m)
{
    (void)on;
    runs++;
    held = m;
}

static void count_answer(struct shard *on, struct shard_message *m)
{
    (void)on;
    (void)m;
    answers++;
}

static void count_task(struct shard_task *t)
{
    (void)t;
    tasks++;
}

Test(mailbox, an_answer_may_come_later_and_frees_a_place)
{
    struct two t = two_create(1);
    struct shard_message m = {.run = hold, .answered = count_answer}, n = {.run = hold, .answered = count_answer};
    struct shard_task task = {0};
    runs = answers = tasks = 0;
    cr_assert_eq(shard_send(t.a, 1, &m), RC_OK);
    cr_assert_eq(shard_send(t.a, 1, &n), RC_FULL);
    cr_assert(!n.in_flight);
    cr_assert_eq(t.a->counters.messages_full, 1);
    shard_mailbox_wait(t.a, 1, &task, count_task);
    shard_turn(t.b, 0);
    cr_assert_eq(runs, 1);
    shard_turn(t.a, 0);
    cr_assert_eq(tasks, 0, "taken out, but its answer still holds the place");
    shard_answer(t.b, held);
    shard_turn(t.a, 0);
    cr_assert_eq(answers, 1);
    cr_assert_eq(tasks, 1);
    cr_assert_eq(shard_send(t.a, 1, &n), RC_OK);
    shard_turn(t.b, 0);
    shard_answer(t.b, held);
    shard_turn(t.a, 0);
    cr_assert_eq(answers, 2);
    two_destroy(&t);
}

Test(mailbox, without_an_answer_the_target_owns_it)
{
    struct two t = two_create(2);
    struct shard_message m[3] = {{.run = hold}, {.run = hold}, {.run = hold}};
    struct shard_task task = {0};
    runs = tasks = 0;
    cr_assert_eq(shard_send(t.a, 1, &m[0]), RC_OK);
    cr_assert_eq(shard_send(t.a, 1, &m[1]), RC_OK);
    cr_assert_eq(shard_send(t.a, 1, &m[2]), RC_FULL);
    shard_mailbox_wait(t.a, 1, &task, count_task);
    shard_turn(t.b, 0);
    cr_assert_eq(runs, 2);
    cr_assert(!m[0].in_flight && !m[1].in_flight);
    shard_turn(t.a, 0);
    cr_assert_eq(tasks, 1);
    shard_mailbox_wait(t.a, 1, &task, count_task);
    shard_defer_cancel(t.a, &task);
    shard_turn(t.a, 0);
    cr_assert_eq(tasks, 1);
    two_destroy(&t);
}

// ------------------------------------------------------------------------------------------------ idle

static void idle_main(void *argument)
{
    shard_run(argument);
}

Test(mailbox, idle_shards_do_not_wake_each_other, .timeout = 20)
{
    struct two t = two_create(16);
    struct io_thread threads[2];
    cr_assert_eq(io_thread_start(&threads[0], idle_main, t.a, 0), RC_OK);
    cr_assert_eq(io_thread_start(&threads[1], idle_main, t.b, 1), RC_OK);
    usleep(400 * 1000);
    shard_stop(t.a);
    shard_stop(t.b);
    io_thread_join(&threads[0]);
    io_thread_join(&threads[1]);
    cr_assert(t.a->counters.turns <= 2 && t.b->counters.turns <= 2, "%lu and %lu turns",
              (unsigned long)t.a->counters.turns, (unsigned long)t.b->counters.turns);
    two_destroy(&t);
}
