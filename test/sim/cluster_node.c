// SPDX-License-Identifier: Apache-2.0
//
// One node of the cluster scenario.
#include "cluster_world.h"
#include "node_program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

// Sorted by name, as the loader would have it. Times are short, so that a run of seconds has failovers in it.
enum { BALANCED_PROPERTY = 1 }; // differs from run to run
static struct config_pair properties[] = {
    {"auto.create.topics.enable", "false"},
    {"auto.leader.rebalance.enable", "false"},
    {"broker.heartbeat.interval.ms", "100"},
    {"broker.session.timeout.ms", "900"},
    {"controller.quorum.election.timeout.ms", "200"},
    {"group.consumer.heartbeat.interval.ms", "30"},
    {"group.consumer.min.heartbeat.interval.ms", "10"},
    {"group.consumer.min.session.timeout.ms", "100"},
    {"group.consumer.session.timeout.ms", "300"},
    {"group.initial.rebalance.delay.ms", "20"},
    {"group.min.session.timeout.ms", "100"},
    {"leader.imbalance.check.interval.seconds", "1"},
    {"leader.imbalance.per.broker.percentage", "0"},
    {"log.flush.interval.messages", "1"}, // only where everything is synced
    {"log.retention.check.interval.ms", "200"},
    {"metadata.log.max.record.bytes.between.snapshots", "4096"},
    {"offsets.commit.timeout.ms", "300"},
    {"offsets.topic.num.partitions", "3"},
    {"replica.fetch.wait.max.ms", "100"},
    {"replica.lag.time.max.ms", "600"},
    {"replica.selector.class", "rack"},
};

// Two racks and a node without one.
const char *cluster_rack(uint32_t index)
{
    static const char *const racks[] = {"east", "west", NULL};
    return racks[index % ARRAY_COUNT(racks)];
}

static struct config_layer settings(const struct cluster_world *w)
{
    static struct config_pair chosen[ARRAY_COUNT(properties)]; // every node has the same
    uint32_t n = 0;
    properties[BALANCED_PROPERTY].value = w->balanced ? "true" : "false";
    for (size_t k = 0; k < ARRAY_COUNT(properties); k++)
        if (w->synced || strcmp(properties[k].name, "log.flush.interval.messages") != 0)
            chosen[n++] = properties[k];
    return (struct config_layer){.pairs = chosen, .count = n};
}

static void changed(struct node *n)
{
    struct sim_process *p = n->owner;
    struct cluster_node *c = p->user;
    if (n->failed)
        c->wants_restart = true; // the process would exit with code 1
    if (n->ready)
        c->ready = true;
}

static void boot(struct sim_process *p)
{
    static const char *const dirs[] = {"/data0"};
    struct cluster_node *c = p->user;
    struct cluster_world *w = c->w;
    char text[512] = "";
    struct node_config config = {
        .node_id = (int32_t)c->index + 1,
        .log_dirs = dirs,
        .log_dir_count = 1,
        .properties = settings(w),
        .files_max = 200,
        .rack = cluster_rack(c->index),
        .trace = &w->sim.sink,
    };
    if (w->node_count > 1) {
        config.peers = w->peers;
        config.peer_count = w->node_count;
        config.peer_listen = w->peers[c->index].addr;
        config.peer_host = c->machine->name;
        config.peer_port = CLUSTER_PEER_PORT;
    }
    struct broker_config *b = &config.broker;
    node_program_listen(b, c->machine, CLUSTER_PORT);
    b->memory_bytes = CLUSTER_MEMORY_BYTES * w->shard_count;
    b->connections_max = 512; // those of crashed members are noticed late
    b->fetch_sessions_max = 32;
    struct node *n = NULL;
    c->ready = c->wants_restart = c->stopping = false;
    c->raft_seen = (struct model_raft_seen){0};
    c->image_index = 0;
    memset(c->seen, 0, sizeof(c->seen));
    memset(c->deciding, 0, sizeof(c->deciding));
    memset(c->truncated_seen, 0, sizeof(c->truncated_seen));
    enum rc rc = node_create(&n, &config, p->ios, p->lane_count, text, sizeof(text));
    if (rc != RC_OK) {
        sim_say(&w->sim, c->machine, "node does not start: %s (%s)", text, rc_name(rc));
        if (rc != RC_IO && rc != RC_NO_SPACE && rc != RC_OFFLINE && rc != RC_NO_FILES)
            sim_fail(&w->sim, "node %u refuses to start: %s (%s)", c->index + 1, text, rc_name(rc));
        p->boot_failed = true;
        return;
    }
    node_program_adopt(p, n, changed);
}

static bool turn(struct sim_process *p, uint32_t lane, uint64_t *next_ns)
{
    bool again = sim_shard_turn(p, lane, next_ns);
    cluster_look(p->user, lane);
    return again;
}

static void dies(struct sim_process *p, uint32_t lane)
{
    cluster_look_at_death(p->user, lane);
}

static void died(struct sim_process *p, enum sim_death how)
{
    cluster_node_died(p->user, how);
}

const struct sim_program cluster_node_calls = {.boot = boot, .turn = turn, .dies = dies, .died = died};
