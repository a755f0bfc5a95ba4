// SPDX-License-Identifier: Apache-2.0
//
// Mailboxes between real threads, and between shards that one thread drives.
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/list.h"
#include "io/io.h"
#include "shard/shard.h"

enum { SHARDS_MAX = 4, MESSAGES = 64 };

// One shard's part in the exchange: it keeps MESSAGES messages travelling to the others until it has sent enough.
struct party {
    struct shard *shard;
    struct shard_task waiting;
    struct message {
        struct shard_message m;
        struct party *owner;
        uint64_t value;
    } messages[MESSAGES];
    struct message *free[MESSAGES];
    unsigned free_count;
    uint64_t to_send, answered, received, sum;
    uint32_t next_target;
    struct io_thread thread;
};

static struct party parties[SHARDS_MAX];
static atomic_uint parties_busy;
static struct shard_group group;

static void party_pump(struct party *p);

static void on_run(struct shard *on, struct shard_message *m)
{
    struct message *msg = (struct message *)m;
    struct party *target = on->owner;
    target->received++;
    msg->value = msg->value * 3 + 1; // the sender's memory: it is ours until answered
    shard_answer(on, m);
}

static void on_answered(struct shard *on, struct shard_message *m)
{
    struct message *msg = (struct message *)m;
    struct party *p = on->owner;
    cr_assert_eq(msg->owner, p);
    p->sum += msg->value;
    p->answered++;
    p->free[p->free_count++] = msg;
    if (p->to_send > 0)
        party_pump(p);
    else if (p->free_count == MESSAGES && atomic_fetch_sub(&parties_busy, 1) == 1) {
        for (uint32_t i = 0; i < group.count; i++)
            shard_stop(&group.shards[i]);
    }
}

static void on_room(struct shard_task *t)
{
    party_pump(container_of(t, struct party, waiting));
}

static void party_pump(struct party *p)
{
    while (p->to_send > 0 && p->free_count > 0) {
        struct message *msg = p->free[p->free_count - 1];
        msg->m.run = on_run;
        msg->m.answered = on_answered;
        msg->owner = p;
        msg->value = p->to_send;
        uint32_t to = p->next_target;
        if (shard_send(p->shard, to, &msg->m) != RC_OK) {
            shard_mailbox_wait(p->shard, to, &p->waiting, on_room);
            return;
        }
        p->free_count--;
        p->to_send--;
        p->next_target = (to + 1) % p->shard->count;
    }
}

static void party_main(void *argument)
{
    struct party *p = argument;
    party_pump(p);
    shard_run(p->shard);
}

static void exchange(uint32_t count, uint32_t slots, uint64_t messages, enum io_engine engine)
{
    struct io *ios[SHARDS_MAX];
    struct io_config config = {.engine = engine};
    for (uint32_t i = 0; i < count; i++) {
        enum rc rc = io_create(&ios[i], &config);
        if (rc == RC_UNSUPPORTED)
            cr_skip_test("io_uring is not available here");
        cr_assert_eq(rc, RC_OK);
    }
    cr_assert_eq(shard_group_create(&group, ios, count, slots, NULL), RC_OK);
    atomic_store(&parties_busy, count);
    for (uint32_t i = 0; i < count; i++) {
        struct party *p = &parties[i];
        *p = (struct party){.shard = &group.shards[i], .to_send = messages, .next_target = i};
        p->shard->owner = p;
        for (unsigned k = 0; k < MESSAGES; k++)
            p->free[p->free_count++] = &p->messages[k];
    }
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(io_thread_start(&parties[i].thread, party_main, &parties[i], (int)i), RC_OK);
    uint64_t received = 0;
    for (uint32_t i = 0; i < count; i++) {
        io_thread_join(&parties[i].thread);
        received += parties[i].received;
        cr_assert_eq(parties[i].answered, messages);
        cr_assert_eq(parties[i].sum, 3 * (messages * (messages + 1) / 2) + messages);
        cr_assert_eq(group.shards[i].answers_awaited, 0);
    }
    cr_assert_eq(received, messages * count);
    shard_group_destroy(&group);
    for (uint32_t i = 0; i < count; i++)
        io_destroy(ios[i]);
}

Test(mailbox, two_threads, .timeout = 60)
{
    exchange(2, 256, 20000, IO_ENGINE_AUTO);
}

Test(mailbox, four_threads, .timeout = 60)
{
    exchange(4, 256, 10000, IO_ENGINE_AUTO);
}

Test(mailbox, four_threads_on_epoll, .timeout = 60)
{
    exchange(4, 256, 10000, IO_ENGINE_EPOLL);
}

// Every mailbox is full nearly all the time, in both directions: nobody may wait for anybody.
Test(mailbox, full_mailboxes_do_not_block_each_other, .timeout = 60)
{
    exchange(3, 2, 5000, IO_ENGINE_AUTO);
    exchange(2, 1, 3000, IO_ENGINE_AUTO);
}

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
