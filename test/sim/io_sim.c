// SPDX-License-Identifier: Apache-2.0
//
// io.h for simulated processes: life, loop, clocks, buffers, and what a process asks of its machine. Also the machines
// themselves: power, processes and how they end.
#include "io_sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

// ------------------------------------------------------------------------------------------------ machines

struct sim_node *sim_node_create(struct sim *sim, const char *name, uint64_t disk_bytes)
{
    ASSERT(sim->node_count < SIM_NODES_MAX);
    struct sim_node *n = sim_alloc(sizeof(*n));
    n->sim = sim;
    n->id = sim->node_count;
    snprintf(n->name, sizeof(n->name), "%s", name);
    n->ip[10] = n->ip[11] = 0xff;
    n->ip[12] = 10;
    n->ip[15] = (uint8_t)(n->id + 1);
    n->memory_machine_bytes = UINT64_C(1) << 30;
    n->port_next = 32768;
    prng_init(&n->prng, prng_next(&sim->prng));
    sim_memory_init(&n->memory);
    n->file_free = UINT32_MAX;
    list_init(&n->late);
    n->deferred_writes_in_16 = (uint32_t)prng_below(&sim->prng, 5);
    sim_disk_init(&n->disk, disk_bytes, &sim->prng);
    sim->nodes[sim->node_count++] = n;
    sim_node_power_on(n);
    return n;
}

void sim_node_destroy(struct sim_node *n)
{
    ASSERT(!n->alive);
    sim_late_end(n, SIM_DEATH_POWER);
    sim_cancel(n->sim, &n->write_back);
    sim_disk_deinit(&n->disk);
    sim_free(n->files);
    sim_free(n);
}

void sim_node_power_on(struct sim_node *n)
{
    ASSERT(!n->alive);
    if (n->powered)
        return;
    n->powered = true;
    n->boots++;
    n->mono_offset_ns = prng_below(&n->sim->prng, SIM_S * 1000);
    snprintf(n->boot_id, sizeof(n->boot_id), "%08x-%04x-4000-8000-000000000000", n->id, n->boots);
}

void sim_node_begin_process(struct sim_node *n)
{
    ASSERT(n->powered && !n->alive);
    sim_memory_release_all(&n->memory);
    sim_memory_init(&n->memory);
    if (n->faults.taken_sync_errors && prng_chance(&n->sim->prng, 1, 2))
        sim_disk_reclaim(&n->disk);
    n->alive = true;
    n->processes++;
    n->io_count = 0;
    sim_note(n->sim, SIM_NOTE_BOOT, n, n->processes, n->boots);
}

void sim_node_end_process(struct sim_node *n, enum sim_death how)
{
    ASSERT(!n->entered && how != SIM_DEATH_NONE);
    sim_note(n->sim, how == SIM_DEATH_KILL ? SIM_NOTE_KILL : SIM_NOTE_POWER, n, n->processes, n->sim->event_count);
    for (uint32_t k = 0; k < n->io_count; k++) {
        struct io *io = n->ios[k];
        if (!io)
            continue;
        sim_files_end(io);
        sim_socks_end(io, how == SIM_DEATH_POWER);
        sim_free(io);
    }
    n->io_count = 0;
    sim_memory_release_all(&n->memory);
    n->alive = false;
    n->die_in_calls = 0;
    n->sync_error_lost |= n->sync_error_heard || n->sync_errors_landed;
    n->sync_error_heard = false;
    n->sync_errors_landed = 0;
    if (how == SIM_DEATH_POWER)
        sim_node_power_off(n);
    else
        sim_late_end(n, how);
}

void sim_node_power_off(struct sim_node *n)
{
    ASSERT(n->powered && !n->alive);
    sim_late_end(n, SIM_DEATH_POWER);
    sim_disk_power_cut(&n->disk);
    n->powered = false;
    n->sync_error_lost = false;
}

bool sim_node_enter(struct sim_node *n, void (*fn)(void *), void *argument)
{
    return sim_node_enter_watched(n, fn, NULL, argument);
}

bool sim_node_enter_watched(struct sim_node *n, void (*fn)(void *), void (*last)(void *), void *argument)
{
    ASSERT(n->alive && !n->entered);
    struct sim_node *outer = n->sim->running;
    struct sim_memory *before = sim_memory_enter(&n->memory);
    n->sim->running = n;
    n->entered = true;
    bool lives = true;
    if (setjmp(n->leave) == 0)
        fn(argument);
    else
        lives = false;
    n->entered = false;
    n->sim->running = outer;
    sim_memory_enter(before);
    if (!lives && last)
        last(argument);
    if (!lives)
        sim_node_end_process(n, n->die_how);
    else
        n->sync_error_heard = false; // whoever wanted to has taken it down
    return lives;
}

void sim_node_die_in(struct sim_node *n, uint64_t calls, enum sim_death how)
{
    n->die_in_calls = calls;
    n->die_how = how;
}

void sim_io_touch_disk(struct io *io)
{
    struct sim_node *n = io->node;
    if (n->die_in_calls && n->entered && --n->die_in_calls == 0)
        longjmp(n->leave, 1); // the process owns nothing but its memory, so its stack can simply be left
}

// ------------------------------------------------------------------------------------------------ life and loop

enum rc sim_io_create(struct sim_node *n, struct io **out, sim_attention_fn attention, void *context)
{
    ASSERT(n->alive && n->io_count < SIM_IOS_MAX);
    struct io *io = sim_alloc(sizeof(*io));
    io->sim = n->sim;
    io->node = n;
    io->index = n->io_count;
    io->attention = attention;
    io->context = context;
    io->sock_free = UINT32_MAX;
    list_init(&io->finished);
    list_init(&io->flights);
    list_init(&io->ready);
    list_init(&io->listeners);
    io->base_ns = n->sim->now_ns;
    io->now_ns = n->mono_offset_ns + n->sim->now_ns;
    n->ios[n->io_count++] = io;
    *out = io;
    return RC_OK;
}

enum rc io_create(struct io **out, const struct io_config *config)
{
    (void)config;
    *out = NULL;
    return RC_UNSUPPORTED; // a simulated process is given its ios by sim_io_create()
}

static void run_finished(struct io *io)
{
    for (size_t left = io->finished.count; left && !list_empty(&io->finished); left--) {
        struct io_op *op = list_entry(list_pop_front(&io->finished), struct io_op, link);
        op->state = SIM_OP_FREE;
        sim_io_spend(io, 300);
        if (op->rc && (op->kind == SIM_OP_SYNC || op->kind == SIM_OP_SYNC_ALL)) {
            io->node->sync_errors_landed--;
            io->node->sync_error_heard = true;
        }
        op->done(op, op->rc, op->moved);
    }
}

void io_destroy(struct io *io)
{
    while (!list_empty(&io->flights) || !list_empty(&io->finished)) {
        sim_files_land(io);
        run_finished(io);
    }
    sim_files_end(io);
    sim_socks_end(io, false);
    io->node->ios[io->index] = NULL;
    sim_free(io);
}

const char *io_engine_name(const struct io *io)
{
    (void)io;
    return "simulated";
}

void sim_io_attention(struct io *io)
{
    if (io->attention)
        io->attention(io->context);
}

unsigned io_poll(struct io *io, int64_t timeout_ns)
{
    // The world drives the loop. Only an end waits inside a turn: then what is in flight lands at once.
    if (timeout_ns != 0 && list_empty(&io->finished))
        sim_files_land(io);
    uint64_t here = sim_io_here_ns(io);
    io->base_ns = here;
    io->cpu_ns = 0;
    io->now_ns = io->node->mono_offset_ns + here;
    io->counters.polls++;
    io->woken = false;
    unsigned ran = (unsigned)io->finished.count;
    run_finished(io);
    return ran + sim_socks_poll(io);
}

void io_wake(struct io *io)
{
    io->woken = true;
    sim_io_attention(io);
}

uint64_t sim_io_busy_until_ns(const struct io *io)
{
    return sim_io_here_ns(io);
}

bool sim_io_has_work(const struct io *io)
{
    return io->woken || !list_empty(&io->finished) || sim_socks_have_work(io);
}

void sim_io_usage(const struct io *io, struct sim_io_usage *out)
{
    *out = (struct sim_io_usage){.operations = (uint32_t)(io->flights.count + io->finished.count),
                                 .files = io->file_count,
                                 .sockets = io->sock_count,
                                 .listeners = (uint32_t)io->listeners.count,
                                 .buffer_bytes = io->counters.buffer_bytes};
}

// ------------------------------------------------------------------------------------------------ clocks, randomness

uint64_t io_now_ns(const struct io *io)
{
    return io->now_ns;
}

uint64_t io_clock_ns(struct io *io)
{
    sim_io_spend(io, 50 + prng_below(&io->sim->prng, 2000)); // what ran since the last look at the clock
    return io->node->mono_offset_ns + sim_io_here_ns(io);
}

int64_t io_wall_ms(struct io *io)
{
    return io->sim->wall_start_ms + (int64_t)(sim_io_here_ns(io) / SIM_MS) + io->node->wall_skew_ms;
}

void io_random(struct io *io, void *p, size_t n)
{
    uint8_t *to = p;
    while (n) {
        uint64_t v = prng_next(&io->node->prng);
        size_t k = n < sizeof(v) ? n : sizeof(v);
        memcpy(to, &v, k);
        to += k;
        n -= k;
    }
}

// ------------------------------------------------------------------------------------------------ buffers, figures

uint8_t *io_buffer_acquire(struct io *io, size_t bytes)
{
    uint8_t *p = malloc(bytes ? bytes : 1); // the process's own memory: it goes when it dies
    if (!p)
        return NULL;
    memset(p, 0xa5, bytes < 4096 ? bytes : 4096); // contents are undefined, but the same in every run
    io->counters.buffer_bytes += bytes;
    return p;
}

void io_buffer_release(struct io *io, uint8_t *p, size_t bytes)
{
    if (!p)
        return;
    for (struct list_node *n = list_first(&io->flights); n; n = list_next(&io->flights, n)) {
        struct io_op *op = list_entry(n, struct sim_flight, link)->op;
        ASSERT(op->kind != SIM_OP_READ || op->p != p); // an operation in flight still uses it
        for (size_t k = 0; op->kind == SIM_OP_WRITE && k < op->n; k++) {
            const uint8_t *from = op->vecs[k].iov_base;
            ASSERT(from + op->vecs[k].iov_len <= p || from >= p + bytes);
        }
    }
    ASSERT(io->counters.buffer_bytes >= bytes);
    io->counters.buffer_bytes -= bytes;
    memset(p, 0x5a, bytes < 4096 ? bytes : 4096);
    free(p);
}

void io_buffers_trim(struct io *io)
{
    (void)io;
}

const struct io_counters *io_counters(const struct io *io)
{
    return &io->counters;
}

// ------------------------------------------------------------------------------------------------ process

uint64_t io_files_limit(struct io *io)
{
    (void)io;
    return 1024;
}

unsigned io_cpu_count(struct io *io)
{
    (void)io;
    return 2;
}

bool io_cpu_has_quota(struct io *io)
{
    (void)io;
    return true; // nobody spins: waiting for another shard inside a turn would wait for ever
}

uint64_t io_memory_bytes(struct io *io)
{
    return io->node->memory_machine_bytes;
}

void io_boot_id(struct io *io, char out[IO_BOOT_ID_BYTES])
{
    memcpy(out, io->node->boot_id, IO_BOOT_ID_BYTES);
}

enum rc io_on_signal(struct io *io, void (*stop)(void *context, int signal_number), void *context)
{
    (void)io;
    (void)stop;
    (void)context;
    return RC_OK; // a simulated process is stopped by its harness
}

void io_thread_short_slices(void)
{
}

void io_notify(struct io *io, const char *state)
{
    (void)io;
    (void)state;
}

enum rc io_thread_start(struct io_thread *t, void (*fn)(void *argument), void *argument, int cpu)
{
    (void)t;
    (void)fn;
    (void)argument;
    (void)cpu;
    return RC_UNSUPPORTED; // one thread runs the world
}

void io_thread_join(struct io_thread *t)
{
    (void)t;
}
