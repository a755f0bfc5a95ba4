// SPDX-License-Identifier: Apache-2.0
//
// What a coordinator's core knows of the world: topics and racks from the image, settings.
#include "engine/coordinator_core.h"

bool coordinator_consumer_protocol(const struct engine_shard *es)
{
    return es->coordinators->config.consumer_enabled;
}

static void host_topic(const struct image_topic *t, struct group_topic *out)
{
    *out = (struct group_topic){.id = t->id, .name = image_topic_name(t), .partition_count = t->partition_count};
}

static bool host_topic_by_name(void *context, struct bytes name, struct group_topic *out)
{
    const struct coordinator *co = context;
    const struct image_topic *t = image_topic_by_name(engine_image(co->es), name);
    if (t)
        host_topic(t, out);
    return t != NULL;
}

static bool host_topic_by_id(void *context, struct uuid id, struct group_topic *out)
{
    const struct coordinator *co = context;
    const struct image_topic *t = image_topic_by_id(engine_image(co->es), id);
    if (t)
        host_topic(t, out);
    return t != NULL;
}

static bool host_topic_next(void *context, struct bytes after, struct group_topic *out)
{
    const struct coordinator *co = context;
    const struct image_topic *t = image_topic_next(engine_image(co->es), after, false);
    if (t)
        host_topic(t, out);
    return t != NULL;
}

static uint32_t host_partition_racks(void *context, struct uuid topic, int32_t partition, struct bytes *racks,
                                     uint32_t racks_max)
{
    const struct coordinator *co = context;
    const struct image *image = engine_image(co->es);
    const struct image_topic *t = image_topic_by_id(image, topic);
    const struct image_partition *p = t ? image_partition(t, partition) : NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; p && i < p->replica_count && count < racks_max; i++) {
        const struct image_node *n = image_node(image, image_replicas(p)[i]);
        if (n && n->rack)
            racks[count++] = bytes_str(n->rack);
    }
    return count;
}

// Asked with every heartbeat: few groups have settings of their own.
static void host_group_config(void *context, struct bytes group_id, int32_t *session_timeout_ms,
                              int32_t *heartbeat_interval_ms)
{
    const struct coordinator *co = context;
    struct config_layer own = image_group_configs(engine_image(co->es), group_id);
    if (own.count == 0)
        return;
    struct config_layers l = engine_layers(co->es, NULL);
    l.topic = own;
    group_config_resolve(&l, session_timeout_ms, heartbeat_interval_ms);
}

static void config_read_consumer(struct groups_config *g, const struct config_layers *l)
{
    g->consumer_session_timeout_ms =
        (int32_t)config_broker_int(l, "group.consumer.session.timeout.ms", g->consumer_session_timeout_ms);
    g->consumer_heartbeat_interval_ms =
        (int32_t)config_broker_int(l, "group.consumer.heartbeat.interval.ms", g->consumer_heartbeat_interval_ms);
    g->consumer_size_max = (int32_t)config_broker_int(l, "group.consumer.max.size", g->consumer_size_max);
    g->consumer_regex_refresh_ms =
        config_broker_int(l, "group.consumer.regex.refresh.interval.ms", g->consumer_regex_refresh_ms);
    const char *policy = config_broker_text(l, "group.consumer.migration.policy");
    g->migrate_up = strcmp(policy, "bidirectional") == 0 || strcmp(policy, "upgrade") == 0;
    g->migrate_down = strcmp(policy, "bidirectional") == 0 || strcmp(policy, "downgrade") == 0;
    const char *assignors = config_broker_text(l, "group.consumer.assignors");
    struct bytes element;
    g->consumer_assignor_count = 0;
    while (config_list_next(&assignors, &element) && g->consumer_assignor_count < ARRAY_COUNT(g->consumer_assignors))
        g->consumer_assignors[g->consumer_assignor_count++] =
            bytes_eq(element, bytes_str("range")) ? GROUP_ASSIGNOR_RANGE : GROUP_ASSIGNOR_UNIFORM;
}

void coordinators_read_config(struct engine_shard *es)
{
    struct coordinators *cs = es->coordinators;
    struct config_layers l = engine_layers(es, NULL);
    struct groups_config *g = &cs->config;
    groups_config_default(g);
    g->session_timeout_min_ms = (int32_t)config_broker_int(&l, "group.min.session.timeout.ms", 6000);
    g->session_timeout_max_ms = (int32_t)config_broker_int(&l, "group.max.session.timeout.ms", 1800000);
    g->initial_rebalance_delay_ms = (int32_t)config_broker_int(&l, "group.initial.rebalance.delay.ms", 3000);
    g->size_max = (int32_t)config_broker_int(&l, "group.max.size", INT32_MAX);
    g->offset_metadata_bytes_max = (int32_t)config_broker_int(&l, "offset.metadata.max.bytes", 4096);
    g->offsets_retention_ms = config_broker_int(&l, "offsets.retention.minutes", 10080) * 60000;
    g->offsets_retention_check_ms = config_broker_int(&l, "offsets.retention.check.interval.ms", 600000);
    const char *protocols = config_broker_text(&l, "group.coordinator.rebalance.protocols");
    g->classic_enabled = config_list_has(protocols, "classic");
    g->consumer_enabled = config_list_has(protocols, "consumer");
    config_read_consumer(g, &l);
    cs->commit_timeout_ns = (uint64_t)config_broker_int(&l, "offsets.commit.timeout.ms", 5000) * 1000000;
    cs->config_index = engine_image(es)->broker_configs_index;
}

struct groups_config coordinator_config(const struct coordinator *co)
{
    struct groups_config g = coordinators_of(co)->config;
    const struct topic_config *t = &co->p->settings->topic;
    g.batch_bytes_max = (uint32_t)(t->max_message_bytes < t->segment_bytes ? t->max_message_bytes : t->segment_bytes);
    return g;
}

enum rc coordinator_core_begin(struct coordinator *co)
{
    ASSERT(!co->has_core && co->p);
    struct groups_config config = coordinator_config(co);
    const struct groups_host host = {
        .topic_by_name = host_topic_by_name,
        .topic_by_id = host_topic_by_id,
        .topic_next = host_topic_next,
        .partition_racks = host_partition_racks,
        .group_config = host_group_config,
        .context = co,
        .trace = co->es->engine->config.trace,
    };
    enum rc rc = groups_init(&co->groups, &config, &host, prng_next(&co->es->shard->prng));
    co->has_core = rc == RC_OK;
    return rc;
}

void coordinator_core_end(struct coordinator *co)
{
    if (co->has_core)
        groups_deinit(&co->groups);
    co->has_core = false;
}
