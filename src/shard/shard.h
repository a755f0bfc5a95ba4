// SPDX-License-Identifier: Apache-2.0
//
// The event loop of one core: it turns completions, timers, messages of other shards, deferred work and background jobs
// into calls, one after the other, on one thread. What a shard owns is touched by no other thread; shards speak only
// through mailboxes. Knows no Kafka, no file format. Used by engine and broker; driven by the simulator turn by turn.
//
// One turn: io_poll() (completions and readiness), timers that are due, mailboxes, deferred tasks (until none is left),
// then background jobs within their budget, then io_poll() waits for what comes next.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/prng.h"
#include "base/trace.h"
#include "io/io.h"

struct shard;
struct shard_mailbox; // private

enum { SHARD_TURN_SLOW_NS = 5 * 1000 * 1000, SHARD_JOB_BUDGET_NS = 500 * 1000 };

// ------------------------------------------------------------------------------------------------ timers

struct shard_timer;
typedef void (*shard_timer_fn)(struct shard_timer *t);

// A deadline in the shard's heap; embedded by its owner, zeroed before first use. Fires once.
struct shard_timer {
    struct heap_node node;
    shard_timer_fn fire;
};

// Sets or moves the deadline (monotonic ns). RC_NOMEM leaves it unset.
enum rc shard_timer_set(struct shard *s, struct shard_timer *t, uint64_t deadline_ns, shard_timer_fn fire);
// Unsets; nothing happens when it is not set.
void shard_timer_cancel(struct shard *s, struct shard_timer *t);

static inline bool shard_timer_is_set(const struct shard_timer *t)
{
    return heap_node_linked(&t->node);
}

// ------------------------------------------------------------------------------------------------ deferred tasks

struct shard_task;
typedef void (*shard_task_fn)(struct shard_task *t);

// Work put off to the end of this turn, once however often it is asked for: gathered appends, answers to write, fetches
// to wake.
struct shard_task {
    struct list_node link;
    shard_task_fn run;
    struct list *on; // private
};

// A task that asks for itself each time it runs is put off to the next turn after 16 rounds.
void shard_defer(struct shard *s, struct shard_task *t, shard_task_fn run);
// Also takes back shard_mailbox_wait().
void shard_defer_cancel(struct shard *s, struct shard_task *t);

// ------------------------------------------------------------------------------------------------ jobs

struct shard_job;
enum shard_job_state { SHARD_JOB_MORE, SHARD_JOB_WAIT, SHARD_JOB_DONE };
// Works until it has used about budget_ns (compare io_clock_ns()), then says what next: MORE asks to be called in a
// coming turn, WAIT that shard_job_wake() will be called (an operation is in flight), DONE that it has left the shard
// (the owner may free it from inside, as the last thing it does).
typedef enum shard_job_state (*shard_job_fn)(struct shard_job *j, uint64_t budget_ns);

// Resumable background work: recovery scans, retention, compaction, snapshots. Jobs take turns, one a turn.
struct shard_job {
    struct list_node link;
    shard_job_fn run;
    bool started; // runnable or waiting
};

void shard_job_start(struct shard *s, struct shard_job *j, shard_job_fn run);
// A waiting job runs in a coming turn; may be called from inside run(). Nothing when it is not started.
void shard_job_wake(struct shard *s, struct shard_job *j);
// Also from inside run(): what that returns counts no more, and j is not touched again.
void shard_job_cancel(struct shard *s, struct shard_job *j);

// ------------------------------------------------------------------------------------------------ mailboxes

struct shard_message;
typedef void (*shard_message_fn)(struct shard *on, struct shard_message *m);

// An operation passed to another shard; embedded in its owner's operation, whose bytes stay where they are. It travels
// to its target, where run() is called, and back by shard_answer(), where answered() is called on the sender.
struct shard_message {
    struct shard_message *next;
    shard_message_fn run;      // on the target
    shard_message_fn answered; // on the sender; NULL when no answer is wanted (then run() owns m)
    uint32_t from;
    bool in_flight;
};

// Sends m to shard `to`. The slot of its answer is reserved here at the sender, so an answer never waits.
// RC_FULL: nothing sent; stop reading what feeds it and try again after shard_mailbox_wait() fires.
// to == own id is allowed: run() is called at the end of this turn.
enum rc shard_send(struct shard *s, uint32_t to, struct shard_message *m);
// From inside or after run(), on the target: sends m back. Never fails.
void shard_answer(struct shard *s, struct shard_message *m);
// Calls task at the end of a turn in which the mailbox to `to` has room again.
void shard_mailbox_wait(struct shard *s, uint32_t to, struct shard_task *task, shard_task_fn run);

// ------------------------------------------------------------------------------------------------ the shard

struct shard_counters {
    uint64_t turns, turns_slow; // slow: longer than SHARD_TURN_SLOW_NS from wake-up to the next wait
    uint64_t turn_ns_max;
    uint64_t turn_ns_histogram[32]; // by floor(log2(ns)), counted per turn
    uint64_t messages_sent, messages_full;
};

// Adds what another shard counted; turn_ns_max is the larger one.
void shard_counters_add(struct shard_counters *sum, const struct shard_counters *c);
// At least the given share of turns (0 to 1) took no longer than this: at most twice too much. 0: there were none.
uint64_t shard_turn_quantile_ns(const struct shard_counters *c, double share);

struct shard {
    uint32_t id, count;
    struct io *io;
    struct trace_sink *trace;
    struct prng prng; // seeded from io_random()
    struct shard_counters counters;
    void *owner; // of whoever built the node: found from a shard without a global
    // private
    struct heap timers;
    struct list tasks, jobs;
    struct shard_job *job_running;
    bool job_woken;
    bool may_spin;
    bool mailbox_waiters; // somebody waits for room
    struct shard_mailbox *mailboxes;
    struct shard_group *group;
    struct shard_queue {
        struct shard_message *first, *last;
    } local_requests, local_answers; // to and from this shard itself
    uint64_t answers_awaited;
    uint64_t slow_line_ns, slow_since_line, slow_ns_max;
    _Atomic bool stopping;
    _Atomic uint32_t sleeping; // another shard must wake us
};

// The shards of one process (or of one simulated node) and the mailboxes between them.
struct shard_group {
    struct shard *shards;
    uint32_t count;
    uint32_t mailbox_slots;
};

// Builds count shards over ios[0..count). mailbox_slots: a power of two, messages in flight from one shard to another.
enum rc shard_group_create(struct shard_group *g, struct io **ios, uint32_t count, uint32_t mailbox_slots,
                           struct trace_sink *trace);
// Every timer, task and job must have been cancelled by its owner. The ios stay the caller's.
void shard_group_destroy(struct shard_group *g);

// One turn that waits at most wait_ns for something to do (0: not at all). Returns true when anything was done.
bool shard_turn(struct shard *s, int64_t wait_ns);
// The shard whose turn runs on this thread, or ran last; NULL before the first. For code below the owner's structs that
// must send a message and has only been handed somebody else's object.
struct shard *shard_current(void);
// Turns until shard_stop(). Blocks the calling thread.
void shard_run(struct shard *s);
// Makes shard_run() return after the current turn. Any thread.
void shard_stop(struct shard *s);
// The earliest deadline, or UINT64_MAX: when an idle shard wants its next turn (the simulator asks).
uint64_t shard_next_deadline_ns(const struct shard *s);

// Answers of other shards that have not come yet.
static inline uint64_t shard_answers_awaited(const struct shard *s)
{
    return s->answers_awaited;
}

static inline uint64_t shard_now_ns(const struct shard *s)
{
    return io_now_ns(s->io);
}
