// SPDX-License-Identifier: Apache-2.0
//
// The cluster scenario: a world of nodes and clients, and its run.
#include "cluster_world.h"

#include <stdio.h>
#include <string.h>

static void build(struct cluster_world *w)
{
    struct sim *sim = &w->sim;
    w->machine = sim_node_create(sim, "clients", UINT64_C(1) << 20);
    w->clients.user = w;
    w->node_count = 3;
    if (sim_chance(sim, 1, 4))
        w->node_count = (uint32_t)sim_between(sim, 1, CLUSTER_NODES_MAX);
    w->shard_count = sim_chance(sim, 1, 4) ? (uint32_t)sim_between(sim, 2, CLUSTER_SHARDS_MAX) : 1;
    w->synced = sim_chance(sim, 1, 2);
    w->balanced = w->options->seed % 2 == 0;
    w->unclean = w->options->seed % 4 == 1;
    w->deletes = w->options->seed / 8 % 2 == 1;
    w->topic_count = (uint32_t)sim_between(sim, 1, CLUSTER_TOPICS_MAX);
    w->eras.now = 1;
    bool groups = sim_chance(sim, 1, 2);
    w->account_count = w->topic_count + groups;
    for (uint32_t t = 0; t < w->account_count; t++) {
        struct cluster_topic *topic = &w->topics[t];
        snprintf(topic->name, sizeof(topic->name), "topic%u", t);
        topic->partition_count = (uint32_t)sim_between(sim, 1, CLUSTER_PARTITIONS_MAX);
        if (t == w->topic_count) {
            snprintf(topic->name, sizeof(topic->name), "__consumer_offsets");
            topic->partition_count = CLUSTER_PARTITIONS_MAX;
        }
        for (uint32_t k = 0; k < topic->partition_count; k++) {
            topic->parts[k].leader = topic->parts[k].risk_epoch = -1;
            model_part_init(&topic->parts[k].model, t, k, 1, true);
        }
    }
    for (uint32_t i = 0; i < w->node_count; i++) {
        struct cluster_node *n = &w->nodes[i];
        char name[16];
        snprintf(name, sizeof(name), "node%u", i + 1);
        n->w = w;
        n->index = i;
        n->machine = sim_node_create(sim, name, CLUSTER_DISK_BYTES);
        n->process.user = n;
        w->peers[i] = (struct peer_address){.node = (int32_t)i + 1, .addr.port = CLUSTER_PEER_PORT};
        memcpy(w->peers[i].addr.ip, n->machine->ip, sizeof(n->machine->ip));
        snprintf(w->peers[i].host, sizeof(w->peers[i].host), "%s", name);
        sim_schedule_in(sim, &n->restart, sim_between(sim, 0, 200 * SIM_MS), cluster_restart_run);
    }
    if (groups)
        cluster_groups_draw(w);
    sim_process_start(&w->clients, w->machine, &cluster_clients_calls, 1);
    sim_schedule_in(sim, &w->watch, SIM_MS, cluster_watch_run);
    if (w->options->faults)
        sim_schedule_in(sim, &w->fault, 500 * SIM_MS, cluster_fault_run);
}

static void run(const struct sim_options *options, struct sim_result *result)
{
    static struct cluster_world world; // large; one at a time
    struct cluster_world *w = &world;
    *w = (struct cluster_world){.options = options, .result = result, .faults_left = options->faults};
    struct sim *sim = &w->sim;
    sim_begin(sim, options);
    cluster_figures_name(result);
    build(w);
    while (!sim->failed && (sim->event_count < options->events || w->faults_left))
        sim_step(sim);
    if (!sim->failed)
        cluster_settle(w);
    if (!sim->failed)
        cluster_verify(w);
    if (!sim->failed)
        cluster_each_away(w);
    uint64_t ended = result->figures[CLUSTER_TWO_EMPTIED].value;
    cluster_two_emptied(w);
    if (!sim->failed && result->figures[CLUSTER_TWO_EMPTIED].value == ended)
        cluster_clean_stops(w);
    sim_report(sim, result);
    cluster_count(w, CLUSTER_RAFT_ELECTIONS, w->raft.elections);
    for (uint32_t i = 0; i < w->node_count; i++)
        if (w->nodes[i].process.running)
            sim_process_end(&w->nodes[i].process, SIM_DEATH_KILL);
    sim_process_end(&w->clients, SIM_DEATH_KILL);
    cluster_count(w, CLUSTER_GROUP_COMMITS, w->groups.counts[GROUP_COMMITS_ACKED]);
    cluster_count(w, CLUSTER_GROUP_ASSIGNMENTS, w->groups.counts[GROUP_ASSIGNMENTS]);
    for (uint32_t g = 0; g < w->groups.group_count; g++)
        model_group_deinit(&w->groups.groups[g].model);
    for (uint32_t t = 0; t < w->account_count; t++)
        for (uint32_t k = 0; k < w->topics[t].partition_count; k++) {
            model_part_deinit(&w->topics[t].parts[k].model);
            cluster_facts_deinit(&w->topics[t].parts[k].facts);
            sim_free(w->topics[t].parts[k].alone);
        }
    sim_deinit(sim);
}

const struct sim_scenario scenario_cluster = {
    .name = "cluster",
    .what = "whole clusters and their clients: nodes that die and come back, networks that part",
    .run = run,
};
