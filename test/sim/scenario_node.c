// SPDX-License-Identifier: Apache-2.0
//
// The node scenario: when the broker lives and dies, what goes wrong around it, and the end of the run, when everything
// must be answered, read again from start to end, and idle.
#include "node_world.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

// ------------------------------------------------------------------------------------------------ lives

static void restart_run(struct sim *sim, struct sim_event *e)
{
    struct node_world *w = container_of(e, struct node_world, restart);
    if (w->broker.running)
        return;
    sim_node_power_on(w->node);
    w->faults_seen = node_faults_taken(w);
    if (!w->draining)
        sim_fault_at_start(sim, w->node, w->options, &w->faults_left, 200);
    group_figures_end(w);
    w->lives++;
    w->groups.lives[0] = (uint16_t)w->lives;
    sim_process_start(&w->broker, w->node, &node_broker_calls, w->shard_count);
}

void node_world_died(struct node_world *w, enum sim_death how)
{
    // After a failed sync Linux calls pages clean that were never written, and may take them back: a part of the page
    // cache is gone. Of a failure that no process lived to note nobody can know: there the machine is started anew.
    bool cache_lost = w->node->faults.taken_sync_errors > 0;
    if (how == SIM_DEATH_KILL && w->node->sync_error_lost) {
        how = SIM_DEATH_POWER;
        sim_node_power_off(w->node);
    }
    if (how == SIM_DEATH_POWER) {
        w->node->faults = (struct sim_disk_faults){0};
        w->faults_seen = 0;
    }
    if (how == SIM_DEATH_POWER || cache_lost) {
        w->eras.now++;
        for (uint32_t t = 0; t < w->topic_count; t++)
            for (uint32_t k = 0; k < NODE_PARTITIONS_MAX; k++)
                w->topics[t].parts[k].end_seen = w->topics[t].parts[k].start_acked;
    }
    if (how == SIM_DEATH_POWER)
        w->result->power_cuts++;
    else
        w->result->kills++;
    w->wants_restart = w->stopping = false;
    sim_schedule_in(&w->sim, &w->restart, sim_between(&w->sim, SIM_MS, w->group_count ? SIM_S / 4 : SIM_S), restart_run);
}

static bool any_dir_offline(const struct node_world *w)
{
    const struct node *n = w->broker.program;
    for (unsigned k = 0; n && k < n->dir_count; k++)
        if (log_dir_is_offline(&n->dirs[k]))
            return true;
    return false;
}

static void node_stop_inside(void *argument)
{
    node_stop(argument);
}

static void node_destroy_inside(void *argument)
{
    node_destroy(argument);
}

// A node that has come to its clean stop gives everything back that the process ever took.
static void stop_end(struct node_world *w)
{
    struct sim *sim = &w->sim;
    const struct node *n = w->broker.program;
    if (!n->quiet) { // the process would end as it is, as by a kill
        if (!w->stopping)
            sim_fail(sim, "the node is not quiet after a clean stop");
        sim_process_end(&w->broker, SIM_DEATH_KILL);
        return;
    }
    if (!sim_process_call(&w->broker, node_destroy_inside, w->broker.program))
        return; // it died on the way
    w->broker.shards = NULL;
    size_t left = w->node->memory.bytes;
    for (uint32_t k = 0; k < w->broker.lane_count; k++)
        sim_cancel(sim, &w->broker.lanes[k].event);
    if (left)
        sim_fail(sim, "%zu bytes in %zu blocks are still held after a clean stop", left, w->node->memory.blocks_count);
    w->broker.program = NULL;
    if (w->stopping)
        sim_process_end(&w->broker, SIM_DEATH_KILL);
}

// An operator: starts the process again when it gave up or lost a folder.
static void watch_run(struct sim *sim, struct sim_event *e)
{
    struct node_world *w = container_of(e, struct node_world, watch);
    sim_schedule_in(sim, e, sim_between(sim, 1, 200) * SIM_MS, watch_run);
    group_figures_read(w);
    if (w->stopping && w->broker.running && node_stopped(w->broker.program))
        stop_end(w);
    if (w->broker.running && (w->wants_restart || any_dir_offline(w)))
        sim_process_end(&w->broker, SIM_DEATH_KILL);
    if (w->broker.running && w->node->memory.bytes > NODE_MEMORY_BYTES + (UINT64_C(16) << 20))
        sim_fail(sim, "the node holds %zu bytes, its budget is %llu", w->node->memory.bytes,
                 (unsigned long long)NODE_MEMORY_BYTES);
}

// ------------------------------------------------------------------------------------------------ faults

static void space_run(struct sim *sim, struct sim_event *e)
{
    struct node_world *w = container_of(e, struct node_world, space);
    (void)sim;
    w->node->disk.capacity_bytes = w->capacity_bytes;
}

static void network_fault(struct node_world *w)
{
    struct sim *sim = &w->sim;
    uint64_t until = sim->now_ns + sim_between(sim, SIM_MS, sim_chance(sim, 1, 4) ? 6 * SIM_S : 300 * SIM_MS);
    switch (sim_between(sim, 0, 3)) {
    case 0:
        sim_net_cut(sim, w->node, w->machine, until);
        break;
    case 1:
        sim_net_cut(sim, w->machine, w->node, until);
        break;
    case 2:
        sim_net_cut(sim, w->node, w->machine, until);
        sim_net_cut(sim, w->machine, w->node, until);
        break;
    default:
        sim_net_reset_one(sim, w->machine);
    }
}

static void fault_run(struct sim *sim, struct sim_event *e)
{
    struct node_world *w = container_of(e, struct node_world, fault);
    struct sim_disk_faults *f = &w->node->faults;
    if (w->draining || !w->faults_left)
        return;
    sim_fault_again(sim, e, w->options, (w->group_count ? 250 : 150) * SIM_US, fault_run);
    if (!w->broker.running)
        return;
    w->faults_left--;
    if (w->group_count && w->ready && !w->stopping && sim_chance(sim, 1, 5)) {
        w->stopping = true;
        w->result->figures[FIGURE_STOPS].value++;
        sim_process_call(&w->broker, node_stop_inside, w->broker.program);
        return;
    }
    if (w->group_count && sim_chance(sim, 1, 8)) {
        f->stalls++;
        return;
    }
    uint64_t dice = sim_fault_draw(sim, &w->broker, 20, 55, 300, w->result);
    if (dice < 55)
        return;
    if (dice < 80)
        network_fault(w);
    else if (dice < 82)
        f->write_errors++;
    else if (dice < 84)
        f->sync_errors++;
    else if (dice < 86)
        f->read_errors++;
    else if (dice < 90)
        f->stalls++;
    else if (dice < 93) {
        w->node->disk.capacity_bytes = w->node->disk.used_bytes + sim_between(sim, 0, 200 << 10);
        sim_schedule_in(sim, &w->space, sim_between(sim, 10 * SIM_MS, 2 * SIM_S), space_run);
    } else if (dice < 96) {
        w->node->wall_skew_ms =
            (int64_t)sim_between(sim, 0, 3600000) - 1800000; // within message.timestamp.after.max.ms
    } else {
        sim_node_evict(w->node);
    }
}

// ------------------------------------------------------------------------------------------------ the end

static bool all_idle(const struct node_world *w)
{
    const struct node_clients *all = w->clients.program;
    if (!w->broker.running || !w->ready || !node_admin_idle(&all->admin))
        return false;
    for (uint32_t k = 0; k < w->producer_count; k++)
        if (!node_producer_idle(&all->producers[k]))
            return false;
    for (uint32_t k = 0; k < w->consumer_count; k++)
        if (all->consumers[k].bound)
            return false;
    char why[128];
    return !w->group_count || group_clients_settled(all->groups, why, sizeof(why));
}

// Faults have stopped: what was asked is answered, what is down comes up, within a minute.
static void settle(struct node_world *w)
{
    struct sim *sim = &w->sim;
    w->draining = true;
    w->node->disk.capacity_bytes = w->capacity_bytes;
    w->node->die_in_calls = 0;
    w->node->faults.read_errors = w->node->faults.write_errors = w->node->faults.sync_errors = 0;
    w->node->faults.stalls = 0;
    uint64_t until = sim->now_ns + 60 * SIM_S;
    while (!sim->failed && sim->now_ns < until && !all_idle(w))
        sim_run_until(sim, sim->now_ns + 10 * SIM_MS);
    char why[128] = "";
    if (w->group_count && w->broker.running && w->ready)
        group_clients_settled(((const struct node_clients *)w->clients.program)->groups, why, sizeof(why));
    if (!sim->failed && !all_idle(w))
        sim_fail(sim, "a minute after the last fault something is still waited for%s %s",
                 w->broker.running ? w->ready ? "" : ": the node is not ready" : ": the node does not run", why);
}

struct verify_call {
    struct node_consumer *c;
    uint8_t topic;
};

static void verify_inside(void *argument)
{
    struct verify_call *v = argument;
    node_consumer_verify(v->c, v->topic);
}

// Every topic is read from its start to its end.
static void verify(struct node_world *w)
{
    struct sim *sim = &w->sim;
    struct node_clients *all = w->clients.program;
    struct node_consumer *c = &all->consumers[w->consumer_count];
    for (uint8_t t = 0; t < w->topic_count && !sim->failed; t++) {
        if (w->topics[t].state != TOPIC_THERE)
            continue;
        struct verify_call v = {.c = c, .topic = t};
        sim_process_call(&w->clients, verify_inside, &v);
        uint64_t until = sim->now_ns + 60 * SIM_S;
        while (!sim->failed && sim->now_ns < until && !c->verified)
            sim_run_until(sim, sim->now_ns + 10 * SIM_MS);
        if (!sim->failed && !c->verified)
            sim_fail(sim, "%s cannot be read to its end within a minute", w->topics[t].name);
    }
}

static void verify_groups_inside(void *argument)
{
    group_clients_verify(((struct node_clients *)argument)->groups);
}

// The committed offsets of every group are fetched once more.
static void verify_groups(struct node_world *w)
{
    struct sim *sim = &w->sim;
    struct node_clients *all = w->clients.program;
    if (!w->group_count || sim->failed)
        return;
    sim_process_call(&w->clients, verify_groups_inside, all);
    uint64_t until = sim->now_ns + 60 * SIM_S;
    while (!sim->failed && sim->now_ns < until && !group_clients_verified(all->groups))
        sim_run_until(sim, sim->now_ns + 10 * SIM_MS);
    if (!sim->failed && !group_clients_verified(all->groups))
        sim_fail(sim, "committed offsets cannot be fetched within a minute");
}

static void last_deaths(struct node_world *w)
{
    static const enum sim_death deaths[] = {SIM_DEATH_KILL, SIM_DEATH_POWER};
    for (size_t k = 0; k < ARRAY_COUNT(deaths) && !w->sim.failed; k++) {
        if (w->broker.running)
            sim_process_end(&w->broker, deaths[k]);
        settle(w);
        verify(w);
        verify_groups(w);
    }
}

// A clean stop gives everything back that the process ever took.
static void clean_stop(struct node_world *w)
{
    struct sim *sim = &w->sim;
    struct node *n = w->broker.program;
    sim_process_call(&w->broker, node_stop_inside, n);
    uint64_t until = sim->now_ns + 30 * SIM_S;
    while (!sim->failed && sim->now_ns < until && w->broker.running && !node_stopped(n))
        sim_run_until(sim, sim->now_ns + 10 * SIM_MS);
    if (sim->failed)
        return;
    if (!node_stopped(n)) {
        sim_fail(sim, "the node does not come to a stop within 30 s");
        return;
    }
    stop_end(w);
}

static bool topic_there(const struct group_world *g, uint32_t topic)
{
    return container_of(g, struct node_world, groups)->topics[topic].state == TOPIC_THERE;
}

// What members see of this world.
static void show_groups(struct node_world *w)
{
    struct group_world *g = &w->groups;
    g->machine = w->machine;
    g->result = w->result;
    g->host_count = 1;
    g->hosts[0] = w->node->name;
    g->port = NODE_PORT;
    g->era = &w->eras.now;
    g->draining = &w->draining;
    g->topic_count = w->topic_count;
    g->there = topic_there;
    for (uint32_t t = 0; t < w->topic_count; t++)
        g->topics[t] = (struct group_subject){
            .name = w->topics[t].name, .id = &w->topics[t].id, .partition_count = &w->topics[t].partition_count};
}

static void build(struct node_world *w)
{
    struct sim *sim = &w->sim;
    w->capacity_bytes = UINT64_C(8) << 30;
    w->node = sim_node_create(sim, "node", w->capacity_bytes);
    w->machine = sim_node_create(sim, "clients", UINT64_C(1) << 20);
    w->broker.user = w->clients.user = w;
    w->shard_count = sim_chance(sim, 2, 3) ? 1 : 2;
    w->dir_count = sim_chance(sim, 2, 3) ? 1 : 2;
    w->own_metadata_dir = sim_chance(sim, 1, 3);
    w->topic_count = (uint32_t)sim_between(sim, 1, NODE_TOPICS_MAX);
    w->producer_count = (uint32_t)sim_between(sim, 1, NODE_PRODUCERS_MAX);
    w->consumer_count = (uint32_t)sim_between(sim, 1, NODE_CONSUMERS_MAX);
    if (w->group_count) // most of the events are the groups'
        w->producer_count = w->consumer_count = 1;
    w->eras.now = 1;
    show_groups(w);
    sim_process_start(&w->clients, w->machine, &node_clients_calls, 1);
    sim_schedule_in(sim, &w->restart, 0, restart_run);
    sim_schedule_in(sim, &w->watch, SIM_MS, watch_run);
    if (w->options->faults)
        sim_schedule_in(sim, &w->fault, 50 * SIM_MS, fault_run);
}

static void build_groups(struct node_world *w)
{
    struct sim *sim = &w->sim;
    struct group_world *g = &w->groups;
    w->groups_lossless = sim_chance(sim, 2, 3);
    w->group_snapshot_bytes = sim_between(sim, 1000, 40000);
    group_figures_name(w->result);
    g->sim = sim;
    group_accounts_draw(g, w->groups_lossless);
    w->group_count = g->group_count;
}

static void run_world(const struct sim_options *options, struct sim_result *result, bool groups)
{
    static struct node_world world; // large; one at a time
    struct node_world *w = &world;
    *w = (struct node_world){.options = options, .result = result, .faults_left = options->faults};
    struct sim *sim = &w->sim;
    sim_begin(sim, options);
    if (groups)
        build_groups(w);
    build(w);
    while (!sim->failed && sim->event_count < options->events)
        sim_step(sim);
    if (!sim->failed)
        settle(w);
    if (!sim->failed)
        verify(w);
    verify_groups(w);
    if (!sim->failed)
        last_deaths(w);
    if (!sim->failed)
        clean_stop(w);
    group_figures_end(w);
    sim_report(sim, result);
    if (w->broker.running)
        sim_process_end(&w->broker, SIM_DEATH_KILL);
    sim_process_end(&w->clients, SIM_DEATH_KILL);
    for (uint32_t t = 0; t < w->topic_count; t++)
        for (uint32_t k = 0; k < NODE_PARTITIONS_MAX; k++)
            model_part_deinit(&w->topics[t].parts[k]);
    for (uint32_t g = 0; g < w->group_count; g++)
        model_group_deinit(&w->groups.groups[g].model);
    sim_deinit(sim);
}

static void run(const struct sim_options *options, struct sim_result *result)
{
    run_world(options, result, false);
}

static void run_groups(const struct sim_options *options, struct sim_result *result)
{
    run_world(options, result, true);
}

const struct sim_scenario scenario_node = {
    .name = "node",
    .what = "a whole broker and its clients under kills, power cuts, failing disks and networks",
    .run = run,
};

const struct sim_scenario scenario_group = {
    .name = "group",
    .what = "the same with consumer groups: members that join, hold, commit, crash, pause and come back",
    .run = run_groups,
};
