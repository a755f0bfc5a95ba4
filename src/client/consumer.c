// SPDX-License-Identifier: Apache-2.0
//
// Assignment and leadership; the fetches themselves are in client/consumer_node.c.
#include "client/consumer.h"

#include <stdlib.h>

#include "base/assert.h"
#include "client/consumer_node.h"

enum { CONSUMER_RETRY_MS = 100 };

struct consumer_config consumer_config_default(void)
{
    return (struct consumer_config){
        .min_bytes = 1, .max_bytes = 16 << 20, .partition_bytes = 1 << 20, .max_wait_ms = 500, .check_crc = true};
}

static void on_changed(struct client_watch *w, enum rc rc)
{
    (void)rc;
    consumer_pump_later(container_of(w, struct consumer, watch));
}

enum rc consumer_init(struct consumer *c, struct client *client, const struct consumer_config *config)
{
    *c = (struct consumer){.client = client, .config = *config};
    ASSERT(config->batch && config->error);
    client_watch(client, &c->watch, on_changed);
    return RC_OK;
}

static void free_all(struct consumer_partition *p)
{
    for (struct consumer_partition *next; p; p = next) {
        next = p->next;
        free(p);
    }
}

void consumer_deinit(struct consumer *c)
{
    client_unwatch(c->client, &c->watch);
    shard_timer_cancel(c->client->shard, &c->timer);
    shard_defer_cancel(c->client->shard, &c->pump);
    for (struct consumer_node *n = c->nodes, *next; n; n = next) {
        next = n->next;
        consumer_node_free(n);
    }
    free_all(c->partitions);
    free_all(c->dropped);
    for (struct consumer_topic *t = c->topics, *next; t; t = next) {
        next = t->next;
        free(t->partitions);
        free(t);
    }
}

static struct consumer_topic *topic_of(struct consumer *c, struct client_topic *topic, int32_t index)
{
    struct consumer_topic *t = c->topics;
    while (t && t->topic != topic)
        t = t->next;
    if (!t) {
        t = calloc(1, sizeof(*t));
        if (!t)
            return NULL;
        t->topic = topic;
        t->next = c->topics;
        c->topics = t;
    }
    if (index >= t->count) {
        int32_t count = index < topic->partition_count ? topic->partition_count : index + 1;
        struct consumer_partition **grown = realloc(t->partitions, (size_t)count * sizeof(*grown));
        if (!grown)
            return NULL;
        for (int32_t i = t->count; i < count; i++)
            grown[i] = NULL;
        t->partitions = grown;
        t->count = count;
    }
    return t;
}

struct consumer_partition *consumer_assign(struct consumer *c, struct client_topic *topic, int32_t index,
                                           int64_t offset)
{
    struct consumer_topic *t = topic_of(c, topic, index);
    struct consumer_partition *p = t ? calloc(1, sizeof(*p)) : NULL;
    if (!p)
        return NULL;
    ASSERT(offset >= 0 && !t->partitions[index]);
    *p = (struct consumer_partition){.next = c->partitions,
                                     .topic = t,
                                     .index = index,
                                     .offset = offset,
                                     .high_watermark = -1,
                                     .session_offset = -1,
                                     .bytes_max = c->config.partition_bytes};
    t->partitions[index] = p;
    c->partitions = p;
    consumer_pump_later(c);
    return p;
}

void consumer_unassign(struct consumer *c, struct consumer_partition *p)
{
    struct consumer_partition **at = &c->partitions;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    consumer_pause(p);
    if (p->left)
        p->left->full = true; // nobody will know of it by then
    p->topic->partitions[p->index] = NULL;
    p->next = c->dropped;
    c->dropped = p;
    consumer_pump_later(c);
}

void consumer_seek(struct consumer *c, struct consumer_partition *p, int64_t offset)
{
    p->offset = offset;
    p->session_offset = -1; // an answer on its way is not to this question
    p->stopped = false;
    consumer_pump_later(c);
}

void consumer_pause(struct consumer_partition *p)
{
    p->stopped = true;
    if (p->node)
        p->left = p->node;
    p->node = NULL;
}

void consumer_stop(struct consumer *c)
{
    c->stopped = true;
}

void consumer_settle(struct consumer *c)
{
    ASSERT(c->stopped);
    for (struct consumer_node *n = c->nodes; n; n = n->next)
        while (n->request.busy)
            shard_turn(c->client->shard, -1);
}

// ------------------------------------------------------------------------------------------------ leadership

// Puts a partition into the session of its leader.
static void place(struct consumer *c, struct consumer_partition *p)
{
    const struct client_topic *t = p->topic->topic;
    int32_t leader = p->index < t->partition_count ? t->partitions[p->index].leader_id : -1;
    if (p->node && p->node->id == leader)
        return;
    if (p->node)
        p->node->full = true;
    p->node = leader >= 0 && client_connection_of(c->client, leader) ? consumer_node_of(c, leader) : NULL;
    if (p->node) {
        p->node->full = true;
    } else {
        p->retry_ns = shard_now_ns(c->client->shard) + CONSUMER_RETRY_MS * UINT64_C(1000000);
        client_refresh(c->client);
    }
}

static void on_timer(struct shard_timer *t)
{
    consumer_pump_later(container_of(t, struct consumer, timer));
}

static void on_pump(struct shard_task *t)
{
    struct consumer *c = container_of(t, struct consumer, pump);
    uint64_t now = shard_now_ns(c->client->shard), due = UINT64_MAX;
    free_all(c->dropped);
    c->dropped = NULL;
    if (c->stopped)
        return;
    for (struct consumer_partition *p = c->partitions; p; p = p->next) {
        if (!p->stopped)
            place(c, p);
        if (!p->stopped && p->retry_ns > now && p->retry_ns < due)
            due = p->retry_ns;
    }
    for (struct consumer_node *n = c->nodes; n; n = n->next)
        consumer_node_pump(n);
    if (due != UINT64_MAX)
        shard_timer_set(c->client->shard, &c->timer, due, on_timer);
}

void consumer_pump_later(struct consumer *c)
{
    shard_defer(c->client->shard, &c->pump, on_pump);
}
