// SPDX-License-Identifier: Apache-2.0
//
// The broker's process of the node scenario: the product's own node_create() over simulated ios, as `weir server` runs
// it over real ones.
#include "node_program.h"
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

// Moves between folders take their time, in two runs of three: nothing more is drawn for it.
static const struct config_pair move_rates[] = {{"replica.alter.log.dirs.io.max.bytes.per.second", "9223372036854775807"},
                                                {"replica.alter.log.dirs.io.max.bytes.per.second", "20000"},
                                                {"replica.alter.log.dirs.io.max.bytes.per.second", "200000"}};

// The same with groups: short times, small segments, and every append synced or not.
static const struct config_pair group_properties[] = {
    {"auto.create.topics.enable", "false"},
    {"group.consumer.heartbeat.interval.ms", "30"},
    {"group.consumer.min.heartbeat.interval.ms", "10"},
    {"group.consumer.min.session.timeout.ms", "100"},
    {"group.consumer.session.timeout.ms", "300"},
    {"group.initial.rebalance.delay.ms", "20"},
    {"group.min.session.timeout.ms", "100"},
    {"log.cleaner.backoff.ms", "50"},
    {"log.cleaner.delete.retention.ms", "300"},
    {"log.cleaner.min.cleanable.ratio", "0.1"},
    {"log.retention.check.interval.ms", "200"},
    {"log.roll.ms", "300"},
    {"node.id", "1"},
    {"offsets.commit.timeout.ms", "100"},
    {"offsets.topic.num.partitions", "3"},
};
static const struct config_pair lossless_properties[] = {{"log.flush.interval.messages", "1"}};

// Merges b into a, both sorted; returns the count.
static uint32_t merge(struct config_pair *out, const struct config_pair *a, uint32_t a_count,
                      const struct config_pair *b, uint32_t b_count)
{
    uint32_t i = 0, j = 0, n = 0;
    while (i < a_count || j < b_count)
        out[n++] = j == b_count || (i < a_count && strcmp(a[i].name, b[j].name) < 0) ? a[i++] : b[j++];
    return n;
}

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
    static struct config_pair merged[ARRAY_COUNT(group_properties) + ARRAY_COUNT(lossless_properties)];
    static struct config_pair paced[ARRAY_COUNT(merged) + 1];
    if (w->group_count) {
        config.group_snapshot_bytes = w->group_snapshot_bytes;
        config.properties.pairs = merged;
        config.properties.count = merge(merged, group_properties, ARRAY_COUNT(group_properties), lossless_properties,
                                        w->groups_lossless ? ARRAY_COUNT(lossless_properties) : 0);
    }
    config.properties.count = merge(paced, config.properties.pairs, (uint32_t)config.properties.count,
                                    &move_rates[w->sim.seed % ARRAY_COUNT(move_rates)], 1);
    config.properties.pairs = paced;
    struct broker_config *b = &config.broker;
    node_program_listen(b, w->node, NODE_PORT);
    b->memory_bytes = NODE_MEMORY_BYTES;
    b->connections_max = w->group_count ? 512 : 64; // those of crashed members are noticed late
    b->fetch_sessions_max = 16;
    struct node *n = NULL;
    w->ready = w->wants_restart = w->stopping = false;
    enum rc rc = node_create(&n, &config, p->ios, p->lane_count, text, sizeof(text));
    if (rc) {
        sim_say(&w->sim, w->node, "does not start: %s (%s)", text, rc_name(rc));
        if (!node_disk_failed(w))
            sim_fail(&w->sim, "the node does not start, and no fault of the disk is the cause: %s (%s)", text,
                     rc_name(rc));
        p->boot_failed = true;
        return;
    }
    node_program_adopt(p, n, changed);
}

static void died(struct sim_process *p, enum sim_death how)
{
    node_world_died(p->user, how);
}

const struct sim_program node_broker_calls = {.boot = boot, .turn = sim_shard_turn, .died = died};
