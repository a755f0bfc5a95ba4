// SPDX-License-Identifier: Apache-2.0
#include "process.h"

#include "base/assert.h"

static void lane_run(struct sim *sim, struct sim_event *e);

static void lane_want(struct sim_lane *lane, uint64_t at_ns)
{
    if (!lane->p->running)
        return;
    if (sim_event_is_set(&lane->event) && lane->event.node.key <= at_ns)
        return;
    sim_schedule(lane->p->node->sim, &lane->event, at_ns, lane_run);
}

static void lane_attention(void *context)
{
    struct sim_lane *lane = context;
    struct sim *sim = lane->p->node->sim;
    if (!lane->p->running)
        return;
    // The thread wakes a moment later, and not before its CPU is done with the last turn.
    uint64_t at = sim->now_ns + 500 + prng_below(&sim->prng, 4000);
    uint64_t busy = sim_io_busy_until_ns(lane->p->ios[lane->index]);
    lane_want(lane, at > busy ? at : busy);
}

static void gone(struct sim_process *p, enum sim_death how)
{
    p->running = false;
    p->program = NULL;
    p->shards = NULL;
    for (uint32_t k = 0; k < p->lane_count; k++)
        sim_cancel(p->node->sim, &p->lanes[k].event);
    if (p->does->died)
        p->does->died(p, how);
}

struct turn_call {
    struct sim_lane *lane;
    bool again;
    uint64_t next_ns;
};

static void turn_inside(void *argument)
{
    struct turn_call *call = argument;
    call->again = call->lane->p->does->turn(call->lane->p, call->lane->index, &call->next_ns);
}

static void turn_dies(void *argument)
{
    const struct sim_lane *lane = ((struct turn_call *)argument)->lane;
    if (lane->p->does->dies)
        lane->p->does->dies(lane->p, lane->index);
}

static void lane_run(struct sim *sim, struct sim_event *e)
{
    struct sim_lane *lane = container_of(e, struct sim_lane, event);
    struct sim_process *p = lane->p;
    struct sim_node *n = p->node;
    struct turn_call call = {.lane = lane, .next_ns = UINT64_MAX};
    if (p->paused_until_ns > sim->now_ns) {
        sim_schedule(sim, e, p->paused_until_ns, lane_run);
        return;
    }
    p->turns++;
    sim_note(sim, SIM_NOTE_TURN, n, lane->index, n->memory.bytes);
    if (!sim_node_enter_watched(n, turn_inside, turn_dies, &call)) {
        gone(p, n->die_how);
        return;
    }
    uint64_t busy = sim_io_busy_until_ns(p->ios[lane->index]);
    if (call.again || sim_io_has_work(p->ios[lane->index]))
        lane_want(lane, busy + 100);
    else if (call.next_ns != UINT64_MAX) {
        uint64_t at = call.next_ns > n->mono_offset_ns ? call.next_ns - n->mono_offset_ns : 0;
        lane_want(lane, at > busy ? at : busy + 100);
    }
}

static void boot_inside(void *argument)
{
    struct sim_process *p = argument;
    p->does->boot(p);
}

bool sim_process_start(struct sim_process *p, struct sim_node *n, const struct sim_program *does, uint32_t lane_count)
{
    ASSERT(!p->running && lane_count > 0 && lane_count <= SIM_IOS_MAX);
    p->node = n;
    p->does = does;
    p->lane_count = lane_count;
    p->boot_failed = false;
    p->paused_until_ns = 0;
    p->running = true;
    sim_node_begin_process(n);
    for (uint32_t k = 0; k < lane_count; k++) {
        p->lanes[k].p = p;
        p->lanes[k].index = k;
        enum rc rc = sim_io_create(n, &p->ios[k], lane_attention, &p->lanes[k]);
        ASSERT(rc == RC_OK);
    }
    if (!sim_node_enter(n, boot_inside, p)) {
        gone(p, n->die_how);
        return false;
    }
    if (p->boot_failed) {
        sim_process_end(p, SIM_DEATH_KILL);
        return false;
    }
    for (uint32_t k = 0; k < lane_count; k++)
        lane_want(&p->lanes[k], sim_io_busy_until_ns(p->ios[k]));
    return true;
}

bool sim_process_call(struct sim_process *p, void (*fn)(void *), void *argument)
{
    ASSERT(p->running);
    if (!sim_node_enter(p->node, fn, argument)) {
        gone(p, p->node->die_how);
        return false;
    }
    lane_want(&p->lanes[0], sim_io_busy_until_ns(p->ios[0]));
    return true;
}

void sim_process_end(struct sim_process *p, enum sim_death how)
{
    ASSERT(p->running);
    sim_node_end_process(p->node, how);
    gone(p, how);
}

void sim_process_pause(struct sim_process *p, uint64_t until_ns)
{
    ASSERT(p->running);
    p->paused_until_ns = until_ns;
    sim_note(p->node->sim, SIM_NOTE_FAULT, p->node, p->node->processes, until_ns);
}

size_t sim_process_exit(struct sim_process *p)
{
    ASSERT(p->running);
    size_t left = p->node->memory.bytes;
    sim_process_end(p, SIM_DEATH_KILL);
    return left;
}
