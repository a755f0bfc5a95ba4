// SPDX-License-Identifier: Apache-2.0
//
// The broker's process of the node scenario: the product's own node_create() over simulated ios, as `weir server` runs
// it over real ones.
#include "node_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

// Sorted by name, as the loader would have it.
static const struct config_pair properties[] = {
    {"auto.create.topics.enable", "false"},
    {"log.retention.check.interval.ms", "200"},
    {"node.id", "1"},
};

static void changed(struct node *n)
{
    struct sim_process *p = n->owner;
    struct node_world *w = p->user;
    if (n->failed)
        w->wants_restart = true; // the process would exit with code 1
    if (n->ready)
        w->ready = true;
}

static void boot(struct sim_process *p)
{
    static const char *const dirs[] = {"/data0", "/data1"};
    struct node_world *w = p->user;
    char text[512] = "";
    struct node_config config = {
        .node_id = 1,
        .log_dirs = dirs,
        .log_dir_count = w->dir_count,
        .metadata_dir = w->own_metadata_dir ? "/meta" : NULL,
        .properties = {.pairs = properties, .count = ARRAY_COUNT(properties)},
        .files_max = 200,
        .trace = &w->sim.sink,
    };
    struct broker_config *b = &config.broker;
    b->listener_count = 1;
    snprintf(b->listeners[0].name, sizeof(b->listeners[0].name), "PLAINTEXT");
    memcpy(b->listeners[0].listen.ip, w->node->ip, sizeof(w->node->ip));
    b->listeners[0].listen.port = NODE_PORT;
    snprintf(b->listeners[0].advertised_host, sizeof(b->listeners[0].advertised_host), "%s", w->node->name);
    b->listeners[0].advertised_port = NODE_PORT;
    b->memory_bytes = NODE_MEMORY_BYTES;
    b->connections_max = 64;
    b->request_bytes_max = 4 << 20;
    b->idle_ms_max = 600000;
    b->fetch_sessions_max = 16;
    b->fetch_bytes_max = 1 << 20;
    b->delete_topics = true;
    struct node *n = NULL;
    w->ready = w->wants_restart = false;
    enum rc rc = node_create(&n, &config, p->ios, p->lane_count, text, sizeof(text));
    if (rc) {
        sim_say(&w->sim, w->node, "does not start: %s (%s)", text, rc_name(rc));
        if (!node_disk_failed(w))
            sim_fail(&w->sim, "the node does not start, and no fault of the disk is the cause: %s (%s)", text,
                     rc_name(rc));
        p->boot_failed = true;
        return;
    }
    n->owner = p;
    n->changed = changed;
    p->program = n;
    p->shards = &n->shards;
}

static void died(struct sim_process *p, enum sim_death how)
{
    node_world_died(p->user, how);
}

const struct sim_program node_broker_calls = {.boot = boot, .turn = sim_shard_turn, .died = died};
