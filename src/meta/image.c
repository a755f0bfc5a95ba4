// SPDX-License-Identifier: Apache-2.0
//
// Life of an image and the ways to read it. Records are applied in image_apply.c.
#include "meta/image.h"
#include "meta/image_core.h"

#include <stdlib.h>

#include "meta/snapshot.h"
#include "model/limits.h"

struct image *image_create(void)
{
    struct image *i = calloc(1, sizeof(*i));
    if (i) {
        i->refs = 1;
        i->version = 1;
    }
    return i;
}

const struct image *image_ref(const struct image *i)
{
    image_count_up(&((struct image *)(uintptr_t)i)->refs);
    return i;
}

void image_unref(const struct image *shared)
{
    struct image *i = (struct image *)(uintptr_t)shared;
    if (!i || !image_count_down(&i->refs))
        return;
    image_tree_unref(i->by_name);
    image_tree_unref(i->by_id);
    for (uint32_t n = 0; n < i->node_count; n++)
        image_node_unref(i->nodes[n]);
    for (uint32_t n = 0; n <= i->config_node_count; n++)
        image_configs_unref(i->broker_configs[n]);
    image_groups_unref(i->groups);
    free(i->changes.topics);
    free(i);
}

struct image *image_begin(const struct image *base)
{
    ASSERT(!base->poisoned);
    struct image *w = malloc(sizeof(*w));
    if (!w)
        return NULL;
    // All but the count, which other shards change while they let go of base.
    enum { BEHIND_REFS = offsetof(struct image, version) };
    _Static_assert(offsetof(struct image, refs) == 0, "the count stands in front of what is copied");
    memcpy((uint8_t *)w + BEHIND_REFS, (const uint8_t *)base + BEHIND_REFS, sizeof(*w) - BEHIND_REFS);
    w->refs = 1;
    w->version = base->version + 1;
    w->changes = (struct image_changes){0};
    w->cost = 0;
    if (w->by_name)
        image_count_up(&w->by_name->refs);
    if (w->by_id)
        image_count_up(&w->by_id->refs);
    for (uint32_t n = 0; n < w->node_count; n++)
        image_count_up(&w->nodes[n]->refs);
    for (uint32_t n = 0; n <= w->config_node_count; n++)
        if (w->broker_configs[n])
            image_count_up(&w->broker_configs[n]->refs);
    if (w->groups)
        image_count_up(&w->groups->refs);
    return w;
}

// ---- reading ----

static bool holds(const int32_t *nodes, uint32_t count, int32_t node)
{
    for (uint32_t i = 0; i < count; i++)
        if (nodes[i] == node)
            return true;
    return false;
}

bool image_has_replica(const struct image_partition *p, int32_t node)
{
    return holds(image_replicas(p), p->replica_count, node);
}

bool image_in_isr(const struct image_partition *p, int32_t node)
{
    return holds(image_isr(p), p->isr_count, node);
}

// Few names have many dots: trying every spelling is cheaper than looking at every topic.
enum { SPELLINGS_LOG_MAX = 8 };

static const struct image_topic *colliding_scan(const struct image *i, struct bytes name)
{
    const struct image_topic *t = image_topic_next(i, (struct bytes){0}, false);
    for (; t; t = image_topic_next(i, image_topic_name(t), false))
        if (topic_names_collide(image_topic_name(t), name))
            return t;
    return NULL;
}

const struct image_topic *image_topic_colliding(const struct image *i, struct bytes name)
{
    ASSERT(name.n <= TOPIC_NAME_BYTES_MAX);
    uint8_t spelling[TOPIC_NAME_BYTES_MAX], places[SPELLINGS_LOG_MAX];
    uint32_t count = 0;
    for (size_t n = 0; n < name.n; n++) {
        spelling[n] = name.p[n];
        if (name.p[n] != '.' && name.p[n] != '_')
            continue;
        if (count == SPELLINGS_LOG_MAX)
            return colliding_scan(i, name);
        places[count++] = (uint8_t)n;
    }
    for (uint32_t bits = 0; bits < 1u << count; bits++) {
        for (uint32_t p = 0; p < count; p++)
            spelling[places[p]] = bits >> p & 1 ? '.' : '_';
        struct bytes other = bytes_of(spelling, name.n);
        const struct image_topic *t = bytes_eq(other, name) ? NULL : image_topic_by_name(i, other);
        if (t)
            return t;
    }
    return NULL;
}

const struct image_partition *image_partition(const struct image_topic *t, int32_t p)
{
    if (p < 0 || p >= t->partition_count)
        return NULL;
    const struct image_chunk *c = t->chunks[(uint32_t)p / IMAGE_CHUNK_PARTITIONS];
    return c->at[(uint32_t)p % IMAGE_CHUNK_PARTITIONS];
}

const struct image_node *image_node(const struct image *i, int32_t id)
{
    for (uint32_t n = 0; n < i->node_count && i->nodes[n]->id <= id; n++)
        if (i->nodes[n]->id == id)
            return i->nodes[n];
    return NULL;
}

const struct image_listener *image_listener(const struct image_node *n, struct bytes name)
{
    for (uint32_t i = 0; i < n->listener_count; i++)
        if (bytes_eq(bytes_str(n->listeners[i].name), name))
            return &n->listeners[i];
    return NULL;
}

uint32_t image_live_count(const struct image *i)
{
    uint32_t live = 0;
    for (uint32_t n = 0; n < i->node_count; n++)
        live += !i->nodes[n]->fenced;
    return live;
}

int16_t image_feature_level(const struct image *i, const char *name)
{
    for (uint32_t f = 0; f < i->feature_count; f++)
        if (strcmp(i->features[f].name, name) == 0)
            return i->features[f].level;
    return 0;
}

static struct config_layer layer_of(const struct image_configs *c)
{
    return c ? (struct config_layer){c->pairs, c->count} : (struct config_layer){0};
}

struct config_layer image_topic_configs(const struct image_topic *t)
{
    return layer_of(t->configs);
}

struct config_layer image_broker_configs(const struct image *i, int32_t node)
{
    if (node == NODE_ID_NONE)
        return layer_of(i->broker_configs[0]);
    for (uint32_t n = 0; n < i->config_node_count; n++)
        if (i->config_nodes[n] == node)
            return layer_of(i->broker_configs[n + 1]);
    return (struct config_layer){0};
}

struct config_layers image_layers(const struct image *i, const struct image_topic *t, int32_t node,
                                  struct config_layer properties)
{
    return (struct config_layers){
        .topic = t ? image_topic_configs(t) : (struct config_layer){0},
        .broker = image_broker_configs(i, node),
        .brokers_default = image_broker_configs(i, NODE_ID_NONE),
        .properties = properties,
    };
}

struct config_layer image_group_configs(const struct image *i, struct bytes group)
{
    const struct image_group *g = image_groups_find(i->groups, group);
    return g ? layer_of(g->configs) : (struct config_layer){0};
}

struct config_layers image_group_layers(const struct image *i, struct bytes group, int32_t node,
                                        struct config_layer properties)
{
    struct config_layers l = image_layers(i, NULL, node, properties);
    l.topic = image_group_configs(i, group);
    return l;
}

bool image_equal(const struct image *a, const struct image *b)
{
    if (a->index != b->index || a->term != b->term)
        return false;
    struct snapshot_writer wa, wb;
    struct buf ba, bb;
    snapshot_writer_init(&wa, a);
    snapshot_writer_init(&wb, b);
    buf_init(&ba, SIZE_MAX);
    buf_init(&bb, SIZE_MAX);
    enum rc ra, rb;
    bool equal;
    do {
        ba.n = bb.n = 0;
        ra = snapshot_write(&wa, 65536, &ba);
        rb = snapshot_write(&wb, 65536, &bb);
        equal = ra == rb && ra != RC_NOMEM && bytes_eq(buf_bytes(&ba), buf_bytes(&bb));
    } while (equal && ra == RC_OK);
    buf_deinit(&ba);
    buf_deinit(&bb);
    return equal;
}
