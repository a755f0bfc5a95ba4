// SPDX-License-Identifier: Apache-2.0
//
// The turn of a shard; see shard.h. Nothing here depends on anything but what io and the callers give, so that one seed
// replays a simulated node exactly. Spinning happens only where shard_run() is about to sleep, never in shard_turn(s,
// 0).
#include "shard/internal.h"

#include <stdlib.h>

#include "base/assert.h"

enum { TASK_ROUNDS_MAX = 16, SPIN_NS = 20 * 1000 };
#define SLOW_LINE_EVERY_NS (UINT64_C(60) * 1000 * 1000 * 1000)

// ------------------------------------------------------------------------------------------------ timers

enum rc shard_timer_set(struct shard *s, struct shard_timer *t, uint64_t deadline_ns, shard_timer_fn fire)
{
    ASSERT(fire);
    t->fire = fire;
    if (!heap_node_linked(&t->node))
        return heap_push(&s->timers, &t->node, deadline_ns);
    heap_move(&s->timers, &t->node, deadline_ns);
    return RC_OK;
}

void shard_timer_cancel(struct shard *s, struct shard_timer *t)
{
    if (heap_node_linked(&t->node))
        heap_remove(&s->timers, &t->node);
}

uint64_t shard_next_deadline_ns(const struct shard *s)
{
    const struct heap_node *n = heap_first(&s->timers);
    return n ? n->key : UINT64_MAX;
}

static bool run_timers(struct shard *s)
{
    bool any = false;
    uint64_t now_ns = io_now_ns(s->io);
    // At most as many as there are: one that sets itself again for now waits for the next turn.
    for (size_t left = s->timers.count; left > 0; left--) {
        struct heap_node *n = heap_first(&s->timers);
        if (!n || n->key > now_ns)
            break;
        heap_remove(&s->timers, n);
        struct shard_timer *t = container_of(n, struct shard_timer, node);
        any = true;
        t->fire(t);
    }
    return any;
}

// ------------------------------------------------------------------------------------------------ deferred tasks

void shard_defer(struct shard *s, struct shard_task *t, shard_task_fn run)
{
    t->run = run;
    if (list_node_linked(&t->link))
        return;
    t->on = &s->tasks;
    list_push_back(&s->tasks, &t->link);
}

void shard_defer_cancel(struct shard *s, struct shard_task *t)
{
    (void)s;
    if (!list_node_linked(&t->link))
        return;
    ASSERT(t->on); // the turn's tasks, or those that wait for room in a mailbox
    list_remove(t->on, &t->link);
    t->on = NULL;
}

// Until none is left. A task that keeps asking for itself is put off to the next turn after some rounds: sockets and
// timers must have theirs.
static bool run_tasks(struct shard *s)
{
    bool any = false;
    for (int round = 0; round < TASK_ROUNDS_MAX && !list_empty(&s->tasks); round++) {
        for (size_t left = s->tasks.count; left > 0; left--) {
            struct list_node *n = list_pop_front(&s->tasks);
            if (!n)
                break;
            struct shard_task *t = list_entry(n, struct shard_task, link);
            t->on = NULL;
            any = true;
            t->run(t);
        }
    }
    return any;
}

// ------------------------------------------------------------------------------------------------ jobs

void shard_job_start(struct shard *s, struct shard_job *j, shard_job_fn run)
{
    ASSERT(run && !j->started && !list_node_linked(&j->link));
    j->run = run;
    j->started = true;
    list_push_back(&s->jobs, &j->link);
}

void shard_job_wake(struct shard *s, struct shard_job *j)
{
    if (s->job_running == j)
        s->job_woken = true; // it may still be about to return WAIT
    else if (j->started && !list_node_linked(&j->link))
        list_push_back(&s->jobs, &j->link);
}

void shard_job_cancel(struct shard *s, struct shard_job *j)
{
    if (s->job_running == j)
        s->job_running = NULL; // what it returns counts no more
    if (list_node_linked(&j->link))
        list_remove(&s->jobs, &j->link);
    j->started = false;
}

// One job, the one whose turn it is.
static bool run_job(struct shard *s)
{
    struct list_node *n = list_pop_front(&s->jobs);
    if (!n)
        return false;
    struct shard_job *j = list_entry(n, struct shard_job, link);
    s->job_running = j;
    s->job_woken = false;
    // A job that is done may have freed itself: it is unmarked before it runs and marked again if it stays.
    j->started = false;
    enum shard_job_state state = j->run(j, SHARD_JOB_BUDGET_NS);
    bool cancelled = s->job_running != j;
    s->job_running = NULL;
    if (cancelled || state == SHARD_JOB_DONE)
        return true;
    j->started = true;
    // started anew from inside its own run (new work came up, and it was unmarked): in line already
    if (!list_node_linked(&j->link) && (state == SHARD_JOB_MORE || s->job_woken))
        list_push_back(&s->jobs, &j->link);
    return true;
}

// ------------------------------------------------------------------------------------------------ turns

static bool has_work(const struct shard *s)
{
    return !list_empty(&s->tasks) || !list_empty(&s->jobs) || shard_mailboxes_ready(s);
}

// What this shard waits for is a few microseconds away on another core, and a wake-up costs more than that.
static bool spin_for_answer(struct shard *s)
{
    if (!s->may_spin || s->answers_awaited == 0)
        return false;
    uint64_t until_ns = io_clock_ns(s->io) + SPIN_NS;
    do {
        for (int i = 0; i < 32; i++) {
            if (shard_mailboxes_ready(s))
                return true;
#if defined(__x86_64__)
            __builtin_ia32_pause();
#else
            __asm__ volatile("yield");
#endif
        }
    } while (io_clock_ns(s->io) < until_ns);
    return false;
}

static unsigned wait_for_work(struct shard *s, int64_t wait_ns)
{
    uint64_t deadline_ns = shard_next_deadline_ns(s);
    if (wait_ns != 0 && deadline_ns != UINT64_MAX) {
        uint64_t now_ns = io_clock_ns(s->io);
        int64_t until_ns = deadline_ns > now_ns ? (int64_t)(deadline_ns - now_ns) : 0;
        wait_ns = wait_ns < 0 || wait_ns > until_ns ? until_ns : wait_ns;
    }
    if (wait_ns == 0 || has_work(s) || spin_for_answer(s))
        return io_poll(s->io, 0);
    if (s->count == 1)
        return io_poll(s->io, wait_ns);
    // See mailbox.c: sleeping is set before the last look.
    atomic_store(&s->sleeping, 1);
    unsigned n = io_poll(s->io, shard_mailboxes_ready(s) ? 0 : wait_ns);
    atomic_store(&s->sleeping, 0);
    return n;
}

static void count_turn(struct shard *s, uint64_t ns)
{
    struct shard_counters *c = &s->counters;
    c->turns++;
    c->turn_ns_max = ns > c->turn_ns_max ? ns : c->turn_ns_max;
    unsigned bucket = ns ? 63u - (unsigned)__builtin_clzll(ns) : 0;
    c->turn_ns_histogram[bucket < ARRAY_COUNT(c->turn_ns_histogram) ? bucket : ARRAY_COUNT(c->turn_ns_histogram) - 1]++;
    if (ns <= SHARD_TURN_SLOW_NS)
        return;
    c->turns_slow++;
    s->slow_since_line++;
    s->slow_ns_max = ns > s->slow_ns_max ? ns : s->slow_ns_max;
    uint64_t now_ns = io_now_ns(s->io);
    if (s->slow_line_ns != 0 && now_ns - s->slow_line_ns < SLOW_LINE_EVERY_NS)
        return;
    trace_warn(s->trace, "shard %u: %llu turns of the loop took over %d ms, the longest %llu ms", s->id,
               (unsigned long long)s->slow_since_line, SHARD_TURN_SLOW_NS / 1000000,
               (unsigned long long)(s->slow_ns_max / 1000000));
    s->slow_line_ns = now_ns;
    s->slow_since_line = 0;
    s->slow_ns_max = 0;
}

void shard_counters_add(struct shard_counters *sum, const struct shard_counters *c)
{
    sum->turns += c->turns;
    sum->turns_slow += c->turns_slow;
    sum->turn_ns_max = c->turn_ns_max > sum->turn_ns_max ? c->turn_ns_max : sum->turn_ns_max;
    for (size_t i = 0; i < ARRAY_COUNT(c->turn_ns_histogram); i++)
        sum->turn_ns_histogram[i] += c->turn_ns_histogram[i];
    sum->messages_sent += c->messages_sent;
    sum->messages_full += c->messages_full;
}

uint64_t shard_turn_quantile_ns(const struct shard_counters *c, double share)
{
    uint64_t count = 0;
    for (size_t i = 0; i < ARRAY_COUNT(c->turn_ns_histogram); i++) {
        count += c->turn_ns_histogram[i];
        uint64_t bound = UINT64_C(2) << i;
        if (count > 0 && (double)count >= share * (double)c->turns)
            return bound < c->turn_ns_max ? bound : c->turn_ns_max;
    }
    return 0;
}

// Whose turn it is on this thread. Set by the turn itself, so it is as deterministic as the turns are.
static _Thread_local struct shard *turning;

struct shard *shard_current(void)
{
    return turning;
}

bool shard_turn(struct shard *s, int64_t wait_ns)
{
    turning = s;
    // io_now_ns() is read where the wait ends, before any callback runs.
    bool any = wait_for_work(s, wait_ns) > 0;
    uint64_t start_ns = io_now_ns(s->io);
    any |= run_timers(s);
    any |= shard_mailboxes_run(s);
    any |= run_tasks(s);
    any |= run_job(s);
    io_buffers_trim(s->io);
    uint64_t end_ns = io_clock_ns(s->io);
    count_turn(s, end_ns > start_ns ? end_ns - start_ns : 0);
    return any;
}

void shard_run(struct shard *s)
{
    while (!atomic_load(&s->stopping))
        shard_turn(s, -1);
}

void shard_stop(struct shard *s)
{
    atomic_store(&s->stopping, true);
    io_wake(s->io);
}

// ------------------------------------------------------------------------------------------------ life

enum rc shard_group_create(struct shard_group *g, struct io **ios, uint32_t count, uint32_t mailbox_slots,
                           struct trace_sink *trace)
{
    ASSERT(count > 0);
    ASSERT(mailbox_slots > 0 && (mailbox_slots & (mailbox_slots - 1)) == 0);
    *g = (struct shard_group){.count = count, .mailbox_slots = mailbox_slots};
    g->shards = calloc(count, sizeof(*g->shards));
    if (!g->shards)
        return RC_NOMEM;
    bool may_spin = count > 1 && io_cpu_count(ios[0]) > 1 && !io_cpu_has_quota(ios[0]);
    for (uint32_t i = 0; i < count; i++) {
        struct shard *s = &g->shards[i];
        s->id = i;
        s->count = count;
        s->io = ios[i];
        s->trace = trace;
        s->group = g;
        s->may_spin = may_spin;
        uint64_t seed;
        io_random(s->io, &seed, sizeof(seed));
        prng_init(&s->prng, seed);
        heap_init(&s->timers);
        list_init(&s->tasks);
        list_init(&s->jobs);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (shard_mailboxes_init(&g->shards[i]) != RC_OK) {
            shard_group_destroy(g);
            return RC_NOMEM;
        }
    }
    return RC_OK;
}

void shard_group_destroy(struct shard_group *g)
{
    for (uint32_t i = 0; g->shards && i < g->count; i++) {
        struct shard *s = &g->shards[i];
        ASSERT(s->timers.count == 0 && list_empty(&s->tasks) && list_empty(&s->jobs));
        ASSERT(s->answers_awaited == 0);
        shard_mailboxes_deinit(s);
        heap_deinit(&s->timers);
    }
    free(g->shards);
    *g = (struct shard_group){0};
}
