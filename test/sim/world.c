// SPDX-License-Identifier: Apache-2.0
//
// The world's clock, queue of events, random numbers, trace and verdict.
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

const char *const sim_mutation_names[SIM_MUTATIONS] = {
    [SIM_MUTATION_NONE] = "none",
    [SIM_MUTATION_SYNC_DROPPED] = "sync-dropped",
    [SIM_MUTATION_CHECKPOINT_EARLY] = "checkpoint-early",
    [SIM_MUTATION_ACK_BEFORE_WRITE] = "ack-before-write",
    [SIM_MUTATION_RENAME_DROPPED] = "rename-dropped",
    [SIM_MUTATION_SWAP_EARLY] = "swap-early",
};

static const char *const note_names[SIM_NOTE_KINDS] = {
#define NOTE_NAME(name, text) [SIM_NOTE_##name] = text,
    SIM_NOTES(NOTE_NAME)
#undef NOTE_NAME
};

static void sink_write(struct trace_sink *sink, enum trace_level level, const char *line, size_t n)
{
    static const char letters[] = "DIWE";
    struct sim *sim = container_of(sink, struct sim, sink);
    if (sim->tracing)
        printf("%14.6f ms %-8s %c %.*s\n", (double)sim->now_ns / 1e6, sim->running ? sim->running->name : "-",
               letters[level], (int)n, line);
}

void sim_init(struct sim *sim, uint64_t seed)
{
    *sim = (struct sim){.seed = seed, .trace_hash = seed};
    heap_init(&sim->events);
    list_init(&sim->listeners);
    list_init(&sim->conns);
    prng_init(&sim->prng, seed);
    sim->now_ns = SIM_S;
    sim->wall_start_ms = INT64_C(1790000000000) + (int64_t)prng_below(&sim->prng, 1000000);
    sim->sink = (struct trace_sink){.level_min = TRACE_INFO, .write = sink_write};
}

void sim_deinit(struct sim *sim)
{
    sim_net_deinit(sim);
    for (uint32_t k = 0; k < sim->node_count; k++)
        sim_node_destroy(sim->nodes[k]);
    heap_deinit(&sim->events);
}

void sim_schedule(struct sim *sim, struct sim_event *e, uint64_t at_ns, sim_event_fn run)
{
    // The queue grows in the simulator's memory, whoever is running.
    struct sim_memory *before = sim_memory_enter(NULL);
    e->run = run;
    if (at_ns < sim->now_ns)
        at_ns = sim->now_ns;
    if (heap_node_linked(&e->node)) {
        heap_move(&sim->events, &e->node, at_ns);
    } else {
        enum rc rc = heap_push(&sim->events, &e->node, at_ns);
        ASSERT(rc == RC_OK);
    }
    sim_memory_enter(before);
}

void sim_schedule_in(struct sim *sim, struct sim_event *e, uint64_t delay_ns, sim_event_fn run)
{
    sim_schedule(sim, e, sim->now_ns + delay_ns, run);
}

void sim_cancel(struct sim *sim, struct sim_event *e)
{
    if (heap_node_linked(&e->node))
        heap_remove(&sim->events, &e->node);
}

bool sim_step(struct sim *sim)
{
    struct heap_node *n = heap_first(&sim->events);
    if (!n)
        return false;
    struct sim_event *e = container_of(n, struct sim_event, node);
    ASSERT(n->key >= sim->now_ns);
    sim->now_ns = n->key;
    heap_remove(&sim->events, n);
    sim->event_count++;
    e->run(sim, e);
    return true;
}

void sim_run_until(struct sim *sim, uint64_t until_ns)
{
    while (!sim->failed) {
        struct heap_node *n = heap_first(&sim->events);
        if (!n || n->key > until_ns)
            break;
        sim_step(sim);
    }
    if (sim->now_ns < until_ns && !sim->failed)
        sim->now_ns = until_ns;
}

uint64_t sim_between(struct sim *sim, uint64_t low, uint64_t high)
{
    ASSERT(low <= high);
    return low + prng_below(&sim->prng, high - low + 1);
}

bool sim_chance(struct sim *sim, uint64_t numerator, uint64_t denominator)
{
    return prng_chance(&sim->prng, numerator, denominator) != 0;
}

uint64_t sim_latency(struct sim *sim, uint64_t typical_ns)
{
    uint64_t r = prng_next(&sim->prng);
    uint64_t ns = typical_ns / 2 + r % (typical_ns + 1);
    if (r >> 58 == 0) // one in 64
        ns *= 1 + (r >> 50 & 0xff) % 100;
    return ns;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9fb21c651e98df25);
    return h ^ (h >> 29);
}

void sim_note(struct sim *sim, enum sim_note_kind kind, const struct sim_node *node, uint64_t a, uint64_t b)
{
    uint64_t h = mix(sim->trace_hash, sim->now_ns);
    h = mix(h, (uint64_t)kind << 32 | (node ? node->id + 1 : 0));
    sim->trace_hash = mix(mix(h, a), b);
    if (sim->tracing)
        printf("%14.6f ms %-8s %-9s %llu %llu\n", (double)sim->now_ns / 1e6, node ? node->name : "-", note_names[kind],
               (unsigned long long)a, (unsigned long long)b);
}

void sim_say(struct sim *sim, const struct sim_node *node, const char *format, ...)
{
    char text[512];
    if (!sim->tracing)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    printf("%14.6f ms %-8s   %s\n", (double)sim->now_ns / 1e6, node->name, text);
}

void sim_fail(struct sim *sim, const char *format, ...)
{
    if (sim->failed)
        return;
    sim->failed = true;
    va_list args;
    va_start(args, format);
    vsnprintf(sim->failure, sizeof(sim->failure), format, args);
    va_end(args);
    if (sim->tracing)
        printf("%14.6f ms FAILED: %s\n", (double)sim->now_ns / 1e6, sim->failure);
}
