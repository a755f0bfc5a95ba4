// SPDX-License-Identifier: Apache-2.0
//
// The simulated world: one clock, one queue of events in (time, order of scheduling), one generator of random numbers,
// and the machines in it. Everything that happens is an event; the same seed gives the same events, which the trace
// hash proves. Knows no Kafka and none of weir's rooms above shard.
#pragma once

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/prng.h"
#include "base/rc.h"
#include "base/trace.h"
#include "disk.h"
#include "io/io.h"
#include "memory.h"

enum { SIM_NODES_MAX = 32, SIM_IOS_MAX = 4 };
#define SIM_US UINT64_C(1000)
#define SIM_MS UINT64_C(1000000)
#define SIM_S UINT64_C(1000000000)

struct sim;
struct sim_node;
struct sim_event;
typedef void (*sim_event_fn)(struct sim *sim, struct sim_event *e);

// Something that will happen; embedded by its owner, zeroed before first use.
struct sim_event {
    struct heap_node node;
    sim_event_fn run;
};

// Faults of the simulator itself: each stands for a mistake the product could make, and must be caught by a checker
// within a bounded number of seeds, or the checkers are worth nothing.
enum sim_mutation {
    SIM_MUTATION_NONE,
    SIM_MUTATION_SYNC_DROPPED,     // a sync answers and makes nothing durable
    SIM_MUTATION_CHECKPOINT_EARLY, // checkpoint files reach the disk before the log's sync that they rest on
    SIM_MUTATION_ACK_BEFORE_WRITE, // a write answers before its bytes are in the page cache
    SIM_MUTATION_RENAME_DROPPED,   // the sync of a folder makes no name durable
    SIM_MUTATION_SWAP_EARLY,       // a compacted segment gets its name before it is synced
    SIM_MUTATIONS
};
extern const char *const sim_mutation_names[SIM_MUTATIONS];

// What the trace is made of. Each note is hashed; with tracing on it is printed too.
#define SIM_NOTES(X)                                                                                                   \
    X(TURN, "turn")                                                                                                    \
    X(WRITE, "write")                                                                                                  \
    X(READ, "read") X(SYNC, "sync") X(NAME, "name") X(SEND, "send") X(RECV, "recv") X(CONNECT, "connect")              \
        X(ACCEPT, "accept") X(CLOSE, "close") X(KILL, "kill") X(POWER, "power cut") X(BOOT, "boot") X(FAULT, "fault")  \
            X(CLIENT, "client") X(CHECK, "check") X(NET, "net")
enum sim_note_kind {
#define SIM_NOTE_ENUM(name, text) SIM_NOTE_##name,
    SIM_NOTES(SIM_NOTE_ENUM)
#undef SIM_NOTE_ENUM
        SIM_NOTE_KINDS
};

struct sim {
    uint64_t now_ns;
    struct heap events;
    uint64_t event_count;
    uint64_t seed;
    struct prng prng; // the world's: latencies, orders, faults
    uint64_t trace_hash;
    bool tracing;
    enum sim_mutation mutation;
    struct sim_node *nodes[SIM_NODES_MAX];
    uint32_t node_count;
    struct list listeners, conns; // of net.c
    uint64_t cut_until_ns[SIM_NODES_MAX][SIM_NODES_MAX];
    struct sim_node *running; // whose code is on the stack, or NULL
    int64_t wall_start_ms;
    uint64_t net_serial;
    bool net_is_even; // every window is at its widest and every send one packet: for what counts, where chance may not
    struct trace_sink sink; // lines of the nodes: kept only when tracing
    bool failed;
    char failure[512];
};

void sim_init(struct sim *sim, uint64_t seed);
// Every node must have been stopped; pending events are dropped.
void sim_deinit(struct sim *sim);

void sim_schedule(struct sim *sim, struct sim_event *e, uint64_t at_ns, sim_event_fn run);
void sim_schedule_in(struct sim *sim, struct sim_event *e, uint64_t delay_ns, sim_event_fn run);
void sim_cancel(struct sim *sim, struct sim_event *e);
static inline bool sim_event_is_set(const struct sim_event *e)
{
    return heap_node_linked(&e->node);
}
// Runs the next event; false when there is none.
bool sim_step(struct sim *sim);
// Runs events until `until_ns` has been reached or the world has failed; then the clock stands at until_ns.
void sim_run_until(struct sim *sim, uint64_t until_ns);

// Uniform in [low, high].
uint64_t sim_between(struct sim *sim, uint64_t low, uint64_t high);
bool sim_chance(struct sim *sim, uint64_t numerator, uint64_t denominator);
// A latency with a long tail: mostly near typical_ns, now and then up to a hundred times as much.
uint64_t sim_latency(struct sim *sim, uint64_t typical_ns);

void sim_note(struct sim *sim, enum sim_note_kind kind, const struct sim_node *node, uint64_t a, uint64_t b);
// A line of the printed trace only: what the numbers of a note stand for.
void sim_say(struct sim *sim, const struct sim_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// A checker's verdict: the first one is kept and ends the run.
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

// ------------------------------------------------------------------------------------------------ machines

// What the disk does wrong next: each count is one operation of that kind that fails, taken by those that come next.
struct sim_disk_faults {
    uint32_t read_errors, write_errors, sync_errors, stalls;
    uint32_t taken_read_errors, taken_write_errors, taken_sync_errors, taken_stalls, space_errors; // figures
};

enum sim_death { SIM_DEATH_NONE, SIM_DEATH_KILL, SIM_DEATH_POWER };

// A machine: a disk, a clock, an address, and at most one process that runs on it. The process is whatever `attention`
// drives; its memory is what it allocated while it ran.
struct sim_node {
    struct sim *sim;
    uint32_t id;
    char name[16];
    uint8_t ip[16];
    struct sim_disk disk;
    struct sim_disk_faults faults;
    struct sim_event write_back;
    struct list late;               // of the mutations
    uint32_t deferred_writes_in_16; // how many of 16 writes go to the ring instead of being done inline
    bool powered, alive;            // alive: a process runs
    uint32_t boots, processes;
    char boot_id[IO_BOOT_ID_BYTES];
    int64_t wall_skew_ms;
    uint64_t mono_offset_ns; // the machine's monotonic clock is the world's plus this
    uint64_t memory_machine_bytes;
    struct sim_memory memory;
    struct io *ios[SIM_IOS_MAX];
    uint32_t io_count;
    struct sim_file_slot *files; // descriptors of the process
    uint32_t sync_errors;        // failed syncs: a sync of everything tells each older descriptor once
    // Failed syncs of this boot: on their way to the process; told to it in this turn, which it has to live through to
    // note it; or it ended before it could. That it noted another one before says nothing: one of a file that is no log
    // need not be.
    uint32_t sync_errors_landed;
    bool sync_error_heard, sync_error_lost;
    uint32_t file_cap, file_free;
    struct prng prng; // io_random()
    uint16_t port_next;
    // Death in the middle of a turn: the process ends at the die_in_calls-th call that touches the disk from now on.
    uint64_t die_in_calls;
    enum sim_death die_how;
    bool entered;
    jmp_buf leave;
    void *user; // of the harness
};

struct sim_node *sim_node_create(struct sim *sim, const char *name, uint64_t disk_bytes);
// The process must be gone.
void sim_node_destroy(struct sim_node *n);

// Runs fn as the node's process: allocations are its own, and a death planned by sim_node_die_in() leaves from inside.
// Returns false when the process died in it (it is gone then, see sim_node_died()).
bool sim_node_enter(struct sim_node *n, void (*fn)(void *), void *argument);
// The same; when it dies in fn, last(argument) is called before its memory goes. It may look, and change nothing.
bool sim_node_enter_watched(struct sim_node *n, void (*fn)(void *), void (*last)(void *), void *argument);
// The process dies at the calls-th disk call from now (1: the next one) made inside sim_node_enter(). With no process
// running: the next one does, in the middle of its start.
void sim_node_die_in(struct sim_node *n, uint64_t calls, enum sim_death how);
// The process ends here and now, from outside of it: sockets are closed by the kernel (KILL) or just silent (POWER),
// operations in flight are done in part or not at all, its memory is gone; POWER takes the page cache too.
// The caller forgets every pointer into the process.
void sim_node_end_process(struct sim_node *n, enum sim_death how);
// A machine without a process loses its power: the page cache goes.
void sim_node_power_off(struct sim_node *n);
void sim_node_power_on(struct sim_node *n);
// A new process may start: fresh memory, no ios.
void sim_node_begin_process(struct sim_node *n);

// An io for a shard of n; attention(io, context) is called when a turn of it is wanted: something completed, became
// ready, or another shard woke it. Called from simulator code, never inside the node's.
typedef void (*sim_attention_fn)(void *context);
enum rc sim_io_create(struct sim_node *n, struct io **out, sim_attention_fn attention, void *context);
// How far the CPU of this io is ahead of the world's clock after a turn; its next turn is not before that.
uint64_t sim_io_busy_until_ns(const struct io *io);
// Anything to do at the next io_poll()?
bool sim_io_has_work(const struct io *io);
// Operations and sockets in flight or open, for the checks of idleness.
struct sim_io_usage {
    uint32_t operations, files, sockets, listeners;
    uint64_t buffer_bytes;
};
void sim_io_usage(const struct io *io, struct sim_io_usage *out);

// ------------------------------------------------------------------------------------------------ faults

// Clean pages of n's page cache are dropped, so that cold paths run.
void sim_node_evict(struct sim_node *n);
// The network between two machines, both directions or one, is silent until then: packets wait and arrive later.
void sim_net_cut(struct sim *sim, const struct sim_node *from, const struct sim_node *to, uint64_t until_ns);
void sim_net_deinit(struct sim *sim); // packets on their way to nobody
// Resets a random standing connection of n; false when it has none.
bool sim_net_reset_one(struct sim *sim, struct sim_node *n);
