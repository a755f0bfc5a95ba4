// SPDX-License-Identifier: Apache-2.0
//
// See scenario.h: how runs begin and end, and the faults of worlds with one machine.
#include "scenario.h"

#include <string.h>

void sim_begin(struct sim *sim, const struct sim_options *o)
{
    sim_init(sim, o->seed);
    sim->tracing = o->tracing;
    sim->mutation = o->mutation;
}

void sim_report(const struct sim *sim, struct sim_result *r)
{
    r->failed = sim->failed;
    memcpy(r->why, sim->failure, sizeof(r->why));
    r->trace_hash = sim->trace_hash;
    r->events = sim->event_count;
    r->simulated_ns = sim->now_ns;
}

static enum sim_death some_death(struct sim *sim)
{
    return sim_chance(sim, 1, 2) ? SIM_DEATH_KILL : SIM_DEATH_POWER;
}

void sim_fault_again(struct sim *sim, struct sim_event *e, const struct sim_options *o, uint64_t event_ns,
                     sim_event_fn run)
{
    uint64_t spacing = o->events / (o->faults + 1) * event_ns;
    sim_schedule_in(sim, e, sim_between(sim, spacing / 4, spacing), run);
}

uint64_t sim_fault_draw(struct sim *sim, struct sim_process *p, uint64_t now, uint64_t soon, uint64_t calls_max,
                        struct sim_result *r)
{
    uint64_t dice = sim_between(sim, 0, 99);
    sim_note(sim, SIM_NOTE_FAULT, p->node, dice, 0);
    enum sim_death how = some_death(sim);
    r->other_faults += dice >= soon;
    if (dice < now)
        sim_process_end(p, how);
    else if (dice < soon) // between two calls of one turn; sim_fault_at_start() does it to starts
        sim_node_die_in(p->node, sim_between(sim, 1, sim_chance(sim, 1, 2) ? 8 : calls_max), how);
    return dice;
}

void sim_fault_at_start(struct sim *sim, struct sim_node *n, const struct sim_options *o, uint64_t *faults_left,
                        uint64_t calls_max)
{
    if (!*faults_left || o->whole_starts || !sim_chance(sim, 1, 4))
        return;
    --*faults_left;
    enum sim_death how = some_death(sim);
    sim_node_die_in(n, sim_between(sim, 1, calls_max), how);
}
