// SPDX-License-Identifier: Apache-2.0
//
// An image as the records that rebuild it: features, producer ids, configuration of brokers and groups, registrations,
// then topics by name, each with its partitions and configuration.
#include "meta/snapshot.h"
#include "meta/image_core.h"

#include <stdio.h>

enum { STAGE_FEATURES, STAGE_PRODUCER_IDS, STAGE_BROKER_CONFIGS, STAGE_GROUP_CONFIGS, STAGE_NODES, STAGE_TOPICS, STAGE_END };
enum { PARTITIONS_A_RECORD = 512 };

void snapshot_writer_init(struct snapshot_writer *w, const struct image *image)
{
    *w = (struct snapshot_writer){.image = image};
}

static enum rc put_config(struct buf *out, int8_t type, struct bytes resource, const struct config_pair *pair)
{
    struct config_record r = {.resource_type = type,
                              .resource_name = resource,
                              .name = bytes_str(pair->name),
                              .value = bytes_str(pair->value)};
    return image_record_put(out, &config_record_message, &r);
}

static enum rc put_broker_configs(struct buf *out, const struct image *i, uint32_t at)
{
    char name[12] = "";
    if (at > 0)
        snprintf(name, sizeof(name), "%d", i->config_nodes[at - 1]);
    const struct image_configs *c = i->broker_configs[at];
    enum rc rc = RC_OK;
    for (uint32_t n = 0; c && n < c->count && rc == RC_OK; n++)
        rc = put_config(out, CONFIG_RESOURCE_BROKER, bytes_str(name), &c->pairs[n]);
    return rc;
}

static enum rc put_group_configs(struct buf *out, const struct image_group *g)
{
    enum rc rc = RC_OK;
    for (uint32_t n = 0; n < g->configs->count && rc == RC_OK; n++)
        rc = put_config(out, CONFIG_RESOURCE_GROUP, image_group_name(g), &g->configs->pairs[n]);
    return rc;
}

static enum rc put_node(struct buf *out, const struct image_node *n, struct arena *a)
{
    struct registration_record r;
    registration_record_init(&r);
    r.node = n->id;
    r.incarnation = n->incarnation;
    r.rack = n->rack ? bytes_str(n->rack) : (struct bytes){0};
    r.broker_epoch = n->broker_epoch;
    r.fenced = n->fenced;
    r.in_shutdown = n->in_shutdown;
    r.peer_host = n->peer_host ? bytes_str(n->peer_host) : (struct bytes){0};
    r.peer_port = n->peer_port;
    r.directories = (struct uuid *)(uintptr_t)n->directories;
    r.directories_count = n->directory_count;
    r.listeners = arena_array(a, n->listener_count, sizeof(*r.listeners));
    r.features = arena_array(a, n->feature_count, sizeof(*r.features));
    if (!r.listeners || !r.features)
        return RC_NOMEM;
    r.listeners_count = n->listener_count;
    r.features_count = n->feature_count;
    for (uint32_t i = 0; i < n->listener_count; i++)
        r.listeners[i] = (struct registration_record_listener){.name = bytes_str(n->listeners[i].name),
                                                               .host = bytes_str(n->listeners[i].host),
                                                               .port = n->listeners[i].port,
                                                               .protocol = n->listeners[i].protocol};
    for (uint32_t i = 0; i < n->feature_count; i++)
        r.features[i] = (struct registration_record_feature){
            .name = bytes_str(n->features[i].name), .min = n->features[i].min, .max = n->features[i].max};
    return image_record_put(out, &registration_record_message, &r);
}

static enum rc put_partitions(struct buf *out, const struct image_topic *t, int32_t first, int32_t count,
                              struct arena *a)
{
    struct partitions_record r = {.topic_id = t->id, .first = first};
    r.partitions = arena_array(a, (size_t)count, sizeof(*r.partitions));
    if (!r.partitions)
        return RC_NOMEM;
    r.partitions_count = (uint32_t)count;
    for (int32_t i = 0; i < count; i++) {
        const struct image_partition *p = image_partition(t, first + i);
        struct uuid *directories = arena_array(a, p->replica_count, sizeof(*directories));
        if (!directories)
            return RC_NOMEM;
        image_partition_state(p, &r.partitions[i], directories);
    }
    return image_record_put(out, &partitions_record_message, &r);
}

// The next piece of the topic at w->topic; *whole when it was the last one.
static enum rc put_topic(struct snapshot_writer *w, const struct image_topic *t, struct buf *out, struct arena *a,
                         bool *whole)
{
    enum rc rc = RC_OK;
    *whole = false;
    if (w->partition == 0) {
        struct topic_record r = {.name = image_topic_name(t), .topic_id = t->id};
        rc = image_record_put(out, &topic_record_message, &r);
    }
    int32_t left = t->partition_count - w->partition;
    int32_t count = left < PARTITIONS_A_RECORD ? left : PARTITIONS_A_RECORD;
    if (rc == RC_OK && count > 0)
        rc = put_partitions(out, t, w->partition, count, a);
    w->partition += count;
    if (rc != RC_OK || w->partition < t->partition_count)
        return rc;
    for (uint32_t i = 0; t->configs && i < t->configs->count && rc == RC_OK; i++)
        rc = put_config(out, CONFIG_RESOURCE_TOPIC, image_topic_name(t), &t->configs->pairs[i]);
    *whole = true;
    return rc;
}

// One thing of the current stage; moves to the next stage when there is none left.
static enum rc put_next(struct snapshot_writer *w, struct buf *out, struct arena *a)
{
    const struct image *i = w->image;
    switch (w->stage) {
    case STAGE_FEATURES:
        if (w->position < i->feature_count) {
            const struct image_feature *f = &i->features[w->position++];
            struct feature_record r = {.name = bytes_str(f->name), .level = f->level};
            return image_record_put(out, &feature_record_message, &r);
        }
        break;
    case STAGE_PRODUCER_IDS:
        if (w->position++ == 0 && i->next_producer_id) {
            struct producer_ids_record r = {
                .node = NODE_ID_NONE, .broker_epoch = -1, .next_producer_id = i->next_producer_id};
            return image_record_put(out, &producer_ids_record_message, &r);
        }
        break;
    case STAGE_BROKER_CONFIGS:
        if (w->position <= i->config_node_count)
            return put_broker_configs(out, i, w->position++);
        break;
    case STAGE_GROUP_CONFIGS:
        if (i->groups && w->position < i->groups->count)
            return put_group_configs(out, i->groups->at[w->position++]);
        break;
    case STAGE_NODES:
        if (w->position < i->node_count)
            return put_node(out, i->nodes[w->position++], a);
        break;
    default: {
        const struct image_topic *t = image_topic_next(i, w->topic, w->partition > 0);
        if (!t)
            break;
        bool whole;
        w->topic = image_topic_name(t);
        enum rc rc = put_topic(w, t, out, a, &whole);
        if (whole)
            w->partition = 0;
        return rc;
    }
    }
    w->stage++;
    w->position = 0;
    return RC_OK;
}

enum rc snapshot_write(struct snapshot_writer *w, size_t bytes_wanted, struct buf *out)
{
    struct arena a;
    arena_init(&a, SIZE_MAX / 2, NULL, 0);
    enum rc rc = RC_OK;
    size_t start = out->n;
    while (rc == RC_OK && w->stage < STAGE_END && out->n - start < bytes_wanted) {
        rc = put_next(w, out, &a);
        arena_reset(&a);
    }
    arena_deinit(&a);
    if (rc == RC_OK && out->failed)
        rc = RC_NOMEM;
    return rc != RC_OK ? rc : w->stage == STAGE_END ? RC_EOF : RC_OK;
}

enum rc snapshot_load(struct image *w, struct bytes piece, uint64_t index, uint64_t term)
{
    w->changes.everything = true;
    return image_apply_entry(w, piece, index, term);
}
