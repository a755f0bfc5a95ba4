// SPDX-License-Identifier: Apache-2.0
//
// Mailboxes: bounded rings between each pair of shards, lock-free with one writer and one reader each. A request takes
// its place in the ring of answers before it leaves, so an answer always has room and two full mailboxes cannot wait
// for each other.
//
// A shard is woken only when it sleeps. The order that makes this safe: the sender publishes, then looks at `sleeping`;
// the sleeper sets `sleeping`, then looks for messages; both sequentially consistent, so one of them sees the other.
#include "shard/internal.h"

#include <stdlib.h>

#include "base/assert.h"

static struct shard_mailbox *mailbox_to(struct shard *s, uint32_t other)
{
    ASSERT(other < s->count && other != s->id);
    return &s->mailboxes[other];
}

static struct shard_mailbox *mailbox_from(const struct shard *s, uint32_t other)
{
    return &s->group->shards[other].mailboxes[s->id];
}

enum rc shard_mailboxes_init(struct shard *s)
{
    s->mailboxes = aligned_alloc(64, s->count * sizeof(struct shard_mailbox));
    if (!s->mailboxes)
        return RC_NOMEM;
    uint32_t slots = s->group->mailbox_slots;
    for (uint32_t i = 0; i < s->count; i++) {
        s->mailboxes[i] = (struct shard_mailbox){0};
        list_init(&s->mailboxes[i].waiters);
    }
    for (uint32_t i = 0; i < s->count; i++) {
        struct shard_mailbox *m = &s->mailboxes[i];
        if (i == s->id)
            continue;
        m->requests.slots = calloc(slots, sizeof(struct shard_message *));
        m->answers.slots = calloc(slots, sizeof(struct shard_message *));
        if (!m->requests.slots || !m->answers.slots)
            return RC_NOMEM;
    }
    return RC_OK;
}

void shard_mailboxes_deinit(struct shard *s)
{
    for (uint32_t i = 0; s->mailboxes && i < s->count; i++) {
        ASSERT(list_empty(&s->mailboxes[i].waiters));
        free(s->mailboxes[i].requests.slots);
        free(s->mailboxes[i].answers.slots);
    }
    free(s->mailboxes);
    s->mailboxes = NULL;
}

// ------------------------------------------------------------------------------------------------ rings

static uint32_t ring_used(const struct shard_ring *r)
{
    return atomic_load(&r->tail) - atomic_load(&r->head);
}

static bool ring_push(struct shard_ring *r, uint32_t slots, struct shard_message *m)
{
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    if (tail - atomic_load_explicit(&r->head, memory_order_acquire) == slots)
        return false;
    r->slots[tail & (slots - 1)] = m;
    atomic_store(&r->tail, tail + 1);
    return true;
}

static struct shard_message *ring_pop(struct shard_ring *r, uint32_t slots)
{
    uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    if (atomic_load_explicit(&r->tail, memory_order_acquire) == head)
        return NULL;
    struct shard_message *m = r->slots[head & (slots - 1)];
    atomic_store(&r->head, head + 1);
    return m;
}

// After something was published for `other`.
static void wake_sleeper(struct shard *s, uint32_t other)
{
    struct shard *target = &s->group->shards[other];
    if (atomic_load(&target->sleeping) && atomic_exchange(&target->sleeping, 0))
        io_wake(target->io);
}

// ------------------------------------------------------------------------------------------------ sending

static void push_local(struct shard_queue *q, struct shard_message *m)
{
    m->next = NULL;
    if (q->last)
        q->last->next = m;
    else
        q->first = m;
    q->last = m;
}

static struct shard_message *pop_local(struct shard_queue *q)
{
    struct shard_message *m = q->first;
    if (m) {
        q->first = m->next;
        q->last = q->first ? q->last : NULL;
    }
    return m;
}

enum rc shard_send(struct shard *s, uint32_t to, struct shard_message *m)
{
    ASSERT(to < s->count);
    ASSERT(m->run && !m->in_flight);
    if (to != s->id) {
        struct shard_mailbox *box = mailbox_to(s, to);
        if (m->answered && box->awaited == s->group->mailbox_slots) {
            s->counters.messages_full++;
            return RC_FULL;
        }
        // Set before it is visible to the other thread.
        m->from = s->id;
        m->in_flight = true;
        bool awaited = m->answered != NULL;
        if (!ring_push(&box->requests, s->group->mailbox_slots, m)) {
            m->in_flight = false;
            s->counters.messages_full++;
            return RC_FULL;
        }
        box->awaited += awaited;
        s->answers_awaited += awaited;
        wake_sleeper(s, to);
    } else {
        m->from = s->id;
        m->in_flight = true;
        push_local(&s->local_requests, m);
    }
    s->counters.messages_sent++;
    return RC_OK;
}

void shard_answer(struct shard *s, struct shard_message *m)
{
    ASSERT(m->in_flight && m->answered);
    if (m->from == s->id) {
        push_local(&s->local_answers, m);
        return;
    }
    uint32_t to = m->from; // m is the sender's once it is in the ring
    bool pushed = ring_push(&mailbox_to(s, to)->answers, s->group->mailbox_slots, m);
    ASSERT(pushed);
    wake_sleeper(s, to);
}

static bool has_room(struct shard *s, uint32_t to)
{
    struct shard_mailbox *box = mailbox_to(s, to);
    return box->awaited < s->group->mailbox_slots && ring_used(&box->requests) < s->group->mailbox_slots;
}

void shard_mailbox_wait(struct shard *s, uint32_t to, struct shard_task *task, shard_task_fn run)
{
    if (list_node_linked(&task->link))
        return;
    if (to == s->id) {
        shard_defer(s, task, run);
        return;
    }
    struct shard_mailbox *box = mailbox_to(s, to);
    task->run = run;
    task->on = &box->waiters;
    list_push_back(&box->waiters, &task->link);
    // The reader looks at this after it has taken something out; if that happened just now, the next turn sees the
    // room.
    atomic_store(&box->requests.wait, 1);
    s->mailbox_waiters = true;
}

// Moves tasks that wait for room to the end of this turn.
static bool run_waiters(struct shard *s)
{
    bool any = false, left = false;
    for (uint32_t to = 0; to < s->count; to++) {
        struct list *waiters = &s->mailboxes[to].waiters;
        if (list_empty(waiters))
            continue;
        if (!has_room(s, to)) {
            left = true;
            atomic_store(&s->mailboxes[to].requests.wait, 1);
            continue;
        }
        any = true;
        struct list_node *n;
        while ((n = list_pop_front(waiters)) != NULL) {
            struct shard_task *task = list_entry(n, struct shard_task, link);
            task->on = NULL;
            shard_defer(s, task, task->run);
        }
    }
    s->mailbox_waiters = left;
    return any;
}

// ------------------------------------------------------------------------------------------------ receiving

static void run_answer(struct shard *s, struct shard_message *m)
{
    m->in_flight = false;
    m->answered(s, m);
}

static void run_request(struct shard *s, struct shard_message *m)
{
    if (!m->answered)
        m->in_flight = false; // run() owns it
    m->run(s, m);
}

// What has arrived up to now; what its handlers cause is for the next call. Answers first: they free places.
static bool run_from(struct shard *s, uint32_t from)
{
    uint32_t slots = s->group->mailbox_slots;
    struct shard_mailbox *theirs = mailbox_from(s, from), *ours = mailbox_to(s, from);
    struct shard_message *m;
    uint32_t answers = ring_used(&theirs->answers), requests = ring_used(&theirs->requests);
    for (uint32_t i = 0; i < answers; i++) {
        m = ring_pop(&theirs->answers, slots);
        ASSERT(m && ours->awaited > 0);
        ours->awaited--;
        s->answers_awaited--;
        run_answer(s, m);
    }
    for (uint32_t i = 0; i < requests; i++) {
        m = ring_pop(&theirs->requests, slots);
        ASSERT(m);
        run_request(s, m);
    }
    if (requests > 0 && atomic_load(&theirs->requests.wait) && atomic_exchange(&theirs->requests.wait, 0))
        wake_sleeper(s, from);
    return answers + requests > 0;
}

bool shard_mailboxes_run(struct shard *s)
{
    bool any = false;
    struct shard_queue requests = s->local_requests, answers = s->local_answers;
    s->local_requests = s->local_answers = (struct shard_queue){0};
    struct shard_message *m;
    while ((m = pop_local(&answers)) != NULL) {
        any = true;
        run_answer(s, m);
    }
    while ((m = pop_local(&requests)) != NULL) {
        any = true;
        run_request(s, m);
    }
    for (uint32_t from = 0; from < s->count; from++) {
        if (from != s->id)
            any |= run_from(s, from);
    }
    if (s->mailbox_waiters)
        any |= run_waiters(s);
    return any;
}

bool shard_mailboxes_ready(const struct shard *s)
{
    if (s->local_requests.first || s->local_answers.first)
        return true;
    for (uint32_t i = 0; i < s->count; i++) {
        if (i == s->id)
            continue;
        const struct shard_mailbox *theirs = mailbox_from(s, i);
        if (ring_used(&theirs->requests) > 0 || ring_used(&theirs->answers) > 0)
            return true;
        const struct shard_mailbox *ours = &s->mailboxes[i];
        if (!list_empty(&ours->waiters) && ours->awaited < s->group->mailbox_slots &&
            ring_used(&ours->requests) < s->group->mailbox_slots)
            return true;
    }
    return false;
}
