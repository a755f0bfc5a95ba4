// SPDX-License-Identifier: Apache-2.0
//
// The cluster scenario: when nodes live and die, what goes wrong between them, and the end of the run, when everything is
// in sync again and every node in turn leads.
#include "cluster_world.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

// ------------------------------------------------------------------------------------------------ lives

static void restart_run(struct sim *sim, struct sim_event *e)
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
    sim_schedule_in(&w->sim, &n->restart, sim_between(&w->sim, SIM_MS, gone), restart_run);
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
static void watch_run(struct sim *sim, struct sim_event *e)
{
    struct cluster_world *w = container_of(e, struct cluster_world, watch);
    sim_schedule_in(sim, e, sim_between(sim, 5, 30) * SIM_MS, watch_run);
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

static void fault_run(struct sim *sim, struct sim_event *e)
{
    struct cluster_world *w = container_of(e, struct cluster_world, fault);
    if (w->draining || !w->faults_left)
        return;
    uint64_t spacing = w->options->events / (w->options->faults + 1) * 300 * SIM_US;
    sim_schedule_in(sim, e, sim_between(sim, spacing / 4, spacing), fault_run);
    struct cluster_node *n = &w->nodes[sim_between(sim, 0, w->node_count - 1)];
    if (!n->process.running)
        return;
    w->faults_left--;
    uint64_t dice = sim_between(sim, 0, 99);
    sim_note(sim, SIM_NOTE_FAULT, n->machine, dice, n->index);
    w->result->other_faults += dice >= 55;
    enum sim_death how = death_of(w);
    if (dice < 30)
        sim_process_end(&n->process, how);
    else if (dice < 55)
        sim_node_die_in(n->machine, sim_between(sim, 1, sim_chance(sim, 1, 2) ? 8 : 300), SIM_DEATH_KILL);
    else if (dice < 88)
        network_fault(w);
    else if (dice < 92)
        n->machine->faults.stalls++;
    else if (dice < 96)
        n->machine->wall_skew_ms = (int64_t)sim_between(sim, 0, 600000) - 300000;
    else
        sim_node_evict(n->machine);
}

// ------------------------------------------------------------------------------------------------ the end

static bool all_settled(const struct cluster_world *w)
{
    for (uint32_t i = 0; i < w->node_count; i++)
        if (!w->nodes[i].down && (!w->nodes[i].process.running || !w->nodes[i].ready))
            return false;
    bool some_down = false;
    for (uint32_t i = 0; i < w->node_count; i++)
        some_down |= w->nodes[i].down;
    return cluster_clients_idle(w) && (some_down || w->whole);
}

static void why_not(const struct cluster_world *w, char *out, size_t n)
{
    int at = snprintf(out, n, "clients %s, %s;", cluster_clients_idle(w) ? "idle" : "wait", w->whole ? "whole" : "not whole");
    for (uint32_t i = 0; i < w->node_count && at > 0 && (size_t)at < n; i++)
        at += snprintf(out + at, n - (size_t)at, " %u%s", i + 1,
                       w->nodes[i].down                ? " off"
                       : !w->nodes[i].process.running ? " dead"
                       : w->nodes[i].ready             ? ""
                                                       : " not ready");
    for (uint32_t t = 0; t < w->topic_count; t++)
        for (uint32_t k = 0; k < w->topics[t].partition_count && at > 0 && (size_t)at < n; k++)
            at += snprintf(out + at, n - (size_t)at, " %u-%u:%d/%u", t, k, w->topics[t].parts[k].leader + 1,
                           w->topics[t].parts[k].isr_count);
}

// Faults have stopped: in a minute everybody is back, everything is in sync and every request answered.
static void settle(struct cluster_world *w)
{
    struct sim *sim = &w->sim;
    char why[300];
    w->draining = true;
    for (uint32_t i = 0; i < w->node_count; i++) {
        w->nodes[i].machine->die_in_calls = 0;
        w->nodes[i].machine->faults.stalls = 0;
    }
    uint64_t began = sim->now_ns, until = began + 60 * SIM_S;
    w->whole = false;
    while (!sim->failed && sim->now_ns < until && (!all_settled(w) || w->whole_asked_ns < began))
        sim_run_until(sim, sim->now_ns + 10 * SIM_MS);
    why_not(w, why, sizeof(why));
    if (!sim->failed && !all_settled(w))
        sim_fail(sim, "a minute after the last fault the cluster has not settled: %s", why);
}

static void verify(struct cluster_world *w)
{
    struct sim *sim = &w->sim;
    sim_process_call(&w->clients, cluster_clients_verify, w->clients.program);
    uint64_t until = sim->now_ns + 60 * SIM_S;
    while (!sim->failed && sim->now_ns < until && !cluster_clients_verified(w))
        sim_run_until(sim, sim->now_ns + 10 * SIM_MS);
    if (!sim->failed && !cluster_clients_verified(w))
        sim_fail(sim, "the topics cannot be read to their ends within a minute");
}

// Each node in turn is away; what the others hold is the same.
static void each_away(struct cluster_world *w)
{
    for (uint32_t i = 0; i < w->node_count && !w->sim.failed && w->node_count >= 3; i++) {
        struct cluster_node *n = &w->nodes[i];
        n->down = true;
        sim_process_end(&n->process, SIM_DEATH_KILL);
        settle(w);
        if (!w->sim.failed)
            verify(w);
        n->down = false;
        sim_cancel(&w->sim, &n->restart);
        sim_schedule_in(&w->sim, &n->restart, SIM_MS, restart_run);
        settle(w);
    }
}

static void stop_inside(void *argument)
{
    node_stop(argument);
}

static void destroy_inside(void *argument)
{
    node_destroy(argument);
}

// A clean stop, one after the other, gives everything back that the process ever took.
static void clean_stops(struct cluster_world *w)
{
    struct sim *sim = &w->sim;
    for (uint32_t i = 0; i < w->node_count && !sim->failed; i++) {
        struct cluster_node *c = &w->nodes[i];
        struct node *n = c->process.program;
        c->down = true;
        sim_process_call(&c->process, stop_inside, n);
        uint64_t until = sim->now_ns + 30 * SIM_S;
        while (!sim->failed && sim->now_ns < until && !node_stopped(n))
            sim_run_until(sim, sim->now_ns + 10 * SIM_MS);
        if (sim->failed)
            return;
        if (!node_stopped(n)) {
            sim_fail(sim, "node %u does not come to a stop within 30 s", i + 1);
            return;
        }
        c->ready = false;
        sim_process_call(&c->process, destroy_inside, n);
        c->process.shards = NULL;
        size_t left = sim_process_exit(&c->process);
        if (left)
            sim_fail(sim, "node %u still holds %zu bytes after a clean stop", i + 1, left);
    }
}

static void build(struct cluster_world *w)
{
    struct sim *sim = &w->sim;
    w->machine = sim_node_create(sim, "clients", UINT64_C(1) << 20);
    w->clients.user = w;
    w->node_count = sim_chance(sim, 1, 8) ? 1 : sim_chance(sim, 1, 8) ? CLUSTER_NODES_MAX : 3;
    w->synced = sim_chance(sim, 1, 2) || w->node_count == 1;
    w->topic_count = (uint32_t)sim_between(sim, 1, CLUSTER_TOPICS_MAX);
    w->eras.now = 1;
    for (uint32_t t = 0; t < w->topic_count; t++) {
        struct cluster_topic *topic = &w->topics[t];
        snprintf(topic->name, sizeof(topic->name), "topic%u", t);
        topic->partition_count = (uint32_t)sim_between(sim, 1, CLUSTER_PARTITIONS_MAX);
        for (uint32_t k = 0; k < topic->partition_count; k++) {
            topic->parts[k].leader = -1;
            model_part_init(&topic->parts[k].model, t, k, 1, true);
        }
    }
    for (uint32_t i = 0; i < w->node_count; i++) {
        struct cluster_node *n = &w->nodes[i];
        char name[16];
        snprintf(name, sizeof(name), "node%u", i + 1);
        n->w = w;
        n->index = i;
        n->machine = sim_node_create(sim, name, UINT64_C(8) << 30);
        n->process.user = n;
        w->peers[i] = (struct peer_address){.node = (int32_t)i + 1, .addr.port = CLUSTER_PEER_PORT};
        memcpy(w->peers[i].addr.ip, n->machine->ip, sizeof(n->machine->ip));
        snprintf(w->peers[i].host, sizeof(w->peers[i].host), "%s", name);
        sim_schedule_in(sim, &n->restart, sim_between(sim, 0, 200 * SIM_MS), restart_run);
    }
    sim_process_start(&w->clients, w->machine, &cluster_clients_calls, 1);
    sim_schedule_in(sim, &w->watch, SIM_MS, watch_run);
    if (w->options->faults)
        sim_schedule_in(sim, &w->fault, 500 * SIM_MS, fault_run);
}

static void run(const struct sim_options *options, struct sim_result *result)
{
    static struct cluster_world world; // large; one at a time
    struct cluster_world *w = &world;
    *w = (struct cluster_world){.options = options, .result = result, .faults_left = options->faults};
    struct sim *sim = &w->sim;
    sim_init(sim, options->seed);
    sim->tracing = options->tracing;
    sim->mutation = options->mutation;
    build(w);
    while (!sim->failed && sim->event_count < options->events)
        sim_step(sim);
    if (!sim->failed)
        settle(w);
    if (!sim->failed)
        verify(w);
    if (!sim->failed)
        each_away(w);
    if (!sim->failed)
        clean_stops(w);
    result->failed = sim->failed;
    memcpy(result->why, sim->failure, sizeof(result->why));
    result->trace_hash = sim->trace_hash;
    result->events = sim->event_count;
    result->simulated_ns = sim->now_ns;
    for (uint32_t i = 0; i < w->node_count; i++)
        if (w->nodes[i].process.running)
            sim_process_end(&w->nodes[i].process, SIM_DEATH_KILL);
    sim_process_end(&w->clients, SIM_DEATH_KILL);
    for (uint32_t t = 0; t < w->topic_count; t++)
        for (uint32_t k = 0; k < w->topics[t].partition_count; k++)
            model_part_deinit(&w->topics[t].parts[k].model);
    sim_deinit(sim);
}

const struct sim_scenario scenario_cluster = {
    .name = "cluster",
    .what = "whole clusters and their clients: nodes that die and come back, networks that part",
    .run = run,
};
