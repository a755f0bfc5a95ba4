// SPDX-License-Identifier: Apache-2.0
//
// The topics that a shard has partitions of, and the settings those share: made from the image, made anew when it
// changes, kept while somebody counts on them.
#include "engine/partition_life.h"

#include <stdlib.h>

// ------------------------------------------------------------------------------------------------ settings

void engine_settings_unref(struct engine_settings *s)
{
    ASSERT(s->refs > 0);
    if (--s->refs > 0)
        return;
    throttle_list_free(&s->leads);
    throttle_list_free(&s->follows);
    free(s);
}

static enum rc settings_throttles(struct engine_settings *s, const struct config_layers *l, int32_t node)
{
    static const char *const names[] = {"leader.replication.throttled.replicas", "follower.replication.throttled.replicas"};
    struct throttle_list *lists[] = {&s->leads, &s->follows};
    enum rc rc = RC_OK;
    for (size_t i = 0; i < ARRAY_COUNT(names) && rc == RC_OK; i++)
        rc = throttle_list_read(lists[i], config_resolve(CONFIG_TOPIC, config_find(CONFIG_TOPIC, names[i]), l).value, node);
    return rc;
}

static struct engine_settings *settings_make(const struct engine_shard *es, const struct image_topic *t)
{
    struct engine_settings *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->refs = 1;
    struct config_layers layers = engine_layers(es, t);
    topic_config_resolve(&s->topic, &layers);
    s->log = PLOG_CONFIG_DEFAULT;
    s->log.segment_bytes = (uint32_t)s->topic.segment_bytes;
    s->log.segment_ms = s->topic.segment_ms;
    s->log.segment_jitter_ms = s->topic.segment_jitter_ms;
    s->log.segment_index_bytes = (uint32_t)s->topic.segment_index_bytes;
    s->log.index_interval_bytes = (uint32_t)s->topic.index_interval_bytes;
    s->log.retention_ms = s->topic.retention_ms;
    s->log.retention_bytes = s->topic.retention_bytes;
    s->log.flush_messages = s->topic.flush_messages;
    s->log.flush_ms = s->topic.flush_ms;
    s->log.file_delete_delay_ms = s->topic.file_delete_delay_ms;
    s->log.deletes = s->topic.cleanup_delete;
    s->log.log_append_time = s->topic.log_append_time;
    s->log.compacts = s->topic.cleanup_compact;
    s->log.min_cleanable_dirty_ratio = s->topic.min_cleanable_dirty_ratio;
    s->log.min_compaction_lag_ms = s->topic.min_compaction_lag_ms;
    s->log.max_compaction_lag_ms = s->topic.max_compaction_lag_ms;
    s->log.delete_retention_ms = s->topic.delete_retention_ms;
    // What must be compacted by then has to leave the active segment before (KIP-354).
    if (s->log.compacts && s->log.max_compaction_lag_ms < s->log.segment_ms)
        s->log.segment_ms = s->log.max_compaction_lag_ms;
    // Without memory for the lists nobody is held back.
    (void)settings_throttles(s, &layers, es->engine->config.node_id);
    return s;
}

struct engine_settings *engine_settings_ref(struct engine_settings *s)
{
    s->refs++;
    return s;
}

// ------------------------------------------------------------------------------------------------ topics

static bool topic_eq(const struct map_node *n, const void *key)
{
    return uuid_eq(container_of(n, struct engine_topic, node)->id, *(const struct uuid *)key);
}

static uint64_t topic_hash(struct uuid id)
{
    return map_hash_bytes(bytes_of(id.b, sizeof(id.b)));
}

struct engine_topic *engine_topic_find(struct engine_shard *es, struct uuid id)
{
    struct map_node *n = map_find(&es->topics, topic_hash(id), topic_eq, &id);
    return n ? container_of(n, struct engine_topic, node) : NULL;
}

struct engine_topic *engine_topic_create(struct engine_shard *es, const struct image_topic *t)
{
    struct engine_topic *topic = calloc(1, sizeof(*topic) + t->name_bytes + 1u);
    if (!topic)
        return NULL;
    topic->settings = settings_make(es, t);
    if (!topic->settings || map_insert(&es->topics, &topic->node, topic_hash(t->id)) != RC_OK) {
        if (topic->settings)
            engine_settings_unref(topic->settings);
        free(topic);
        return NULL;
    }
    topic->linked = true;
    topic->id = t->id;
    topic->name_bytes = t->name_bytes;
    memcpy(topic->name, t->name, t->name_bytes);
    topic->configs_index = t->configs_index;
    topic->broker_configs_index = es->reader.image->broker_configs_index;
    list_init(&topic->partitions);
    return topic;
}

enum rc engine_topic_configure(struct engine_shard *es, struct engine_topic *topic, const struct image *image,
                                     const struct image_topic *t)
{
    if (topic->configs_index == t->configs_index && topic->broker_configs_index == image->broker_configs_index)
        return RC_OK;
    struct engine_settings *s = settings_make(es, t);
    if (!s)
        return RC_NOMEM;
    for (struct list_node *n = list_first(&topic->partitions); n; n = list_next(&topic->partitions, n)) {
        struct partition *p = list_entry(n, struct partition, topic_link);
        engine_settings_unref(p->settings);
        p->settings = engine_settings_ref(s);
        if (p->log.state != PLOG_DETACHED)
            plog_configure(&p->log, &s->log);
    }
    engine_settings_unref(topic->settings);
    topic->settings = s;
    topic->configs_index = t->configs_index;
    topic->broker_configs_index = image->broker_configs_index;
    return RC_OK;
}

void engine_topic_drop_if_empty(struct engine_shard *es, struct engine_topic *t)
{
    if (t->partitions.count > 0)
        return;
    if (t->linked)
        map_remove(&es->topics, &t->node);
    engine_settings_unref(t->settings);
    free(t);
}
