// SPDX-License-Identifier: Apache-2.0
//
// What goes wrong in the cluster scenario: the table of actions, who dies how, and when who died comes back.
#include "cluster_world.h"

#include "base/assert.h"

void cluster_restart_run(struct sim *sim, struct sim_event *e)
{
    struct cluster_node *n = container_of(e, struct cluster_node, restart);
    struct cluster_world *w = n->w;
    if (n->process.running || n->down)
        return;
    sim_node_power_on(n->machine);
    if (w->faults_left && !w->draining && sim_chance(sim, 1, 8)) { // in the middle of its start
        w->faults_left--;
        sim_node_die_in(n->machine, sim_between(sim, 1, 200), SIM_DEATH_KILL);
    }
    sim_process_start(&n->process, n->machine, &cluster_node_calls, 1);
}

// Who lost what it had not synced comes back while producers pause, and not at once to everybody: what its earlier life had
// fetched must not count for it.
static void hush(struct cluster_world *w, const struct cluster_node *n)
{
    struct sim *sim = &w->sim;
    if (w->synced || w->draining || w->node_count < 3 || !sim_chance(sim, 1, 2))
        return;
    w->hushed_until_ns = sim->now_ns + 3 * SIM_S;
    const struct cluster_node *other = &w->nodes[sim_between(sim, 0, w->node_count - 1)];
    if (other == n)
        return;
    uint64_t until = sim->now_ns + sim_between(sim, 500 * SIM_MS, 3 * SIM_S);
    sim_net_cut(sim, n->machine, other->machine, until);
    sim_net_cut(sim, other->machine, n->machine, until);
}

void cluster_node_died(struct cluster_node *n, enum sim_death how)
{
    struct cluster_world *w = n->w;
    n->ready = n->wants_restart = false;
    if (how == SIM_DEATH_POWER) {
        w->result->power_cuts++;
        w->whole = false;
        w->power_ns = w->sim.now_ns;
        n->machine->faults = (struct sim_disk_faults){0};
        hush(w, n);
    } else {
        w->result->kills++;
    }
    uint64_t gone = sim_chance(&w->sim, 1, 4) ? 3 * SIM_S : SIM_S;
    sim_schedule_in(&w->sim, &n->restart, sim_between(&w->sim, SIM_MS, gone), cluster_restart_run);
}

// The answer to an ISR change is lost with the controller that gave it, and who joined falls behind: nothing may count as
// committed that it lacks.
static void lose_answer(struct cluster_world *w)
{
    uint32_t leader, joiner, controller;
    if (w->node_count < 4 || w->draining || !w->faults_left || !cluster_joining(w, &leader, &joiner, &controller) ||
        !sim_chance(&w->sim, 1, 2))
        return;
    struct sim_node *a = w->nodes[leader].machine, *b = w->nodes[joiner].machine;
    uint64_t until = w->sim.now_ns + sim_between(&w->sim, 100 * SIM_MS, 2 * SIM_S);
    w->faults_left--;
    w->result->other_faults++;
    sim_note(&w->sim, SIM_NOTE_FAULT, w->nodes[controller].machine, 100, leader);
    sim_net_cut(&w->sim, a, b, until);
    sim_net_cut(&w->sim, b, a, until);
    sim_process_end(&w->nodes[controller].process, SIM_DEATH_KILL);
}

// An operator: starts a process again that gave up or lost its folder, and looks at everybody.
void cluster_watch_run(struct sim *sim, struct sim_event *e)
{
    struct cluster_world *w = container_of(e, struct cluster_world, watch);
    sim_schedule_in(sim, e, sim_between(sim, 5, 30) * SIM_MS, cluster_watch_run);
    for (uint32_t i = 0; i < w->node_count; i++) {
        struct cluster_node *n = &w->nodes[i];
        if (n->process.running && n->wants_restart)
            sim_process_end(&n->process, SIM_DEATH_KILL);
    }
    cluster_check(w);
    lose_answer(w);
}

// ------------------------------------------------------------------------------------------------ faults

// Where only the page cache holds what was acknowledged, one node at a time may lose it, and the next one only after
// every replica has been in sync again.
static enum sim_death death_of(struct cluster_world *w)
{
    if (!sim_chance(&w->sim, 1, 3))
        return SIM_DEATH_KILL;
    if (w->synced)
        return SIM_DEATH_POWER;
    bool all_up = true;
    for (uint32_t i = 0; i < w->node_count; i++)
        all_up = all_up && w->nodes[i].process.running && w->nodes[i].ready;
    return w->node_count >= 3 && all_up && w->whole && w->whole_asked_ns > w->power_ns + 100 * SIM_MS ? SIM_DEATH_POWER
                                                                                                       : SIM_DEATH_KILL;
}

static struct sim_node *any_machine(struct cluster_world *w)
{
    uint32_t i = (uint32_t)sim_between(&w->sim, 0, w->node_count);
    return i == w->node_count ? w->machine : w->nodes[i].machine;
}

static void network_fault(struct cluster_world *w)
{
    struct sim *sim = &w->sim;
    uint64_t until = sim->now_ns + sim_between(sim, SIM_MS, sim_chance(sim, 1, 3) ? 3 * SIM_S : 300 * SIM_MS);
    struct sim_node *a = any_machine(w), *b = any_machine(w);
    uint64_t dice = sim_between(sim, 0, 3);
    if (dice == 0) { // one machine from all the others
        for (uint32_t i = 0; i < w->node_count; i++) {
            if (w->nodes[i].machine == a)
                continue;
            sim_net_cut(sim, a, w->nodes[i].machine, until);
            sim_net_cut(sim, w->nodes[i].machine, a, until);
        }
    } else if (dice == 3) {
        sim_net_reset_one(sim, a);
    } else if (a != b) {
        sim_net_cut(sim, a, b, until);
        if (dice == 2)
            sim_net_cut(sim, b, a, until);
    }
}

static bool end_process(struct cluster_world *w, struct cluster_node *n)
{
    sim_process_end(&n->process, death_of(w));
    return true;
}

static bool end_soon(struct cluster_world *w, struct cluster_node *n)
{
    struct sim *sim = &w->sim;
    sim_node_die_in(n->machine, sim_between(sim, 1, sim_chance(sim, 1, 2) ? 8 : 300), SIM_DEATH_KILL);
    return true;
}

static bool part_network(struct cluster_world *w, struct cluster_node *n)
{
    (void)n;
    w->result->other_faults++;
    network_fault(w);
    return true;
}

static bool stall(struct cluster_world *w, struct cluster_node *n)
{
    w->result->other_faults++;
    n->machine->faults.stalls++;
    return true;
}

static bool move_clock(struct cluster_world *w, struct cluster_node *n)
{
    w->result->other_faults++;
    n->machine->wall_skew_ms = (int64_t)sim_between(&w->sim, 0, 600000) - 300000;
    return true;
}

static bool evict(struct cluster_world *w, struct cluster_node *n)
{
    w->result->other_faults++;
    sim_node_evict(n->machine);
    return true;
}

static const struct cluster_action
    kill_now = {"a process or its machine dies", 30, end_process},
    kill_soon = {"a process dies in the middle of a turn", 25, end_soon},
    cut = {"the network parts", 33, part_network},
    stalled = {"a disk operation takes 10 s", 4, stall},
    clock = {"a clock jumps", 4, move_clock},
    evicted = {"the page cache drops clean pages", 4, evict};

// Another one is a line here, and where it is more than a few lines a file of its own.
static const struct cluster_action *const actions[] = {
    &kill_now, &kill_soon, &cut, &stalled, &clock, &evicted,
};

void cluster_fault_run(struct sim *sim, struct sim_event *e)
{
    struct cluster_world *w = container_of(e, struct cluster_world, fault);
    uint32_t total = 0, at = 0;
    if (w->draining || !w->faults_left)
        return;
    uint64_t spacing = w->options->events / (w->options->faults + 1) * 300 * SIM_US;
    sim_schedule_in(sim, e, sim_between(sim, spacing / 4, spacing), cluster_fault_run);
    struct cluster_node *n = &w->nodes[sim_between(sim, 0, w->node_count - 1)];
    if (!n->process.running)
        return;
    for (size_t k = 0; k < ARRAY_COUNT(actions); k++)
        total += actions[k]->weight;
    uint64_t dice = sim_between(sim, 0, total - 1);
    while (dice >= actions[at]->weight)
        dice -= actions[at++]->weight;
    sim_note(sim, SIM_NOTE_FAULT, n->machine, at, n->index);
    sim_say(sim, n->machine, "%s", actions[at]->name);
    if (actions[at]->act(w, n))
        w->faults_left--;
}
