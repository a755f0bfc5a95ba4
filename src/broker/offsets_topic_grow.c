// SPDX-License-Identifier: Apache-2.0
//
// __consumer_offsets follows the cluster (DESIGN section 5): as nodes get a vote, the controller raises it up to
// offsets.topic.replication.factor, and min.insync.replicas of it to what it then may be. Looked at when the metadata
// change, and now and then while the topic has fewer replicas than there are nodes to hold them.
#include "broker/offsets_topic.h"
#include "engine/coordinator.h"

#include <stdlib.h>

#define LOOK_NS UINT64_C(2000000000)
#define GROW_WAIT_NS UINT64_C(30000000000)

enum { ARENA_BYTES_MAX = 1 << 20 };

struct offsets_topic_growth {
    struct quorum_op op;
    struct offsets_topic *t; // NULL: it is gone
    struct arena arena;
    union {
        struct {
            struct alter_partition_reassignments_request request;
            struct alter_partition_reassignments_request_topic topic;
            struct alter_partition_reassignments_response answer;
        } move;
        struct {
            struct incremental_alter_configs_request request;
            struct incremental_alter_configs_request_resource resource;
            struct incremental_alter_configs_request_config config;
            struct incremental_alter_configs_response answer;
        } set;
    };
};

static const struct image_topic *topic_of(const struct offsets_topic *t)
{
    return image_topic_by_name(engine_image(t->es), COORDINATOR_TOPIC);
}

// The least number of replicas that a partition has or is getting.
static uint32_t least_factor(const struct image_topic *topic)
{
    uint32_t least = UINT8_MAX;
    for (int32_t i = 0; i < topic->partition_count; i++) {
        const struct image_partition *p = image_partition(topic, i);
        uint32_t factor = (uint32_t)(p->replica_count - p->removing_count);
        least = factor < least ? factor : least;
    }
    return least;
}

static void grow_due(struct shard_timer *timer);

static void look_again(struct offsets_topic *t)
{
    shard_timer_set(t->es->shard, &t->grow_timer, shard_now_ns(t->es->shard) + LOOK_NS, grow_due);
}

static struct offsets_topic_growth *growth_create(void)
{
    struct offsets_topic_growth *g = calloc(1, sizeof(*g));
    if (g)
        arena_init(&g->arena, ARENA_BYTES_MAX, NULL, 0);
    return g;
}

static bool growth_free(struct offsets_topic_growth *g)
{
    if (g)
        arena_deinit(&g->arena);
    free(g);
    return false;
}

static void grown(struct quorum_op *op, enum rc rc)
{
    struct offsets_topic_growth *g = container_of(op, struct offsets_topic_growth, op);
    (void)rc; // what was not done is found again
    if (g->t) {
        g->t->growth = NULL;
        look_again(g->t);
    }
    growth_free(g);
}

static bool submit(struct offsets_topic *t, struct offsets_topic_growth *g, int kind, const void *request, void *answer)
{
    t->growth = g;
    g->t = t;
    g->op = (struct quorum_op){.kind = kind,
                               .request = request,
                               .answer = answer,
                               .arena = &g->arena,
                               .deadline_ns = shard_now_ns(t->es->shard) + GROW_WAIT_NS,
                               .done = grown};
    quorum_submit(t->es->engine->quorum, t->es->shard, &g->op);
    return true;
}

void offsets_topic_grow_end(struct offsets_topic *t)
{
    shard_timer_cancel(t->es->shard, &t->grow_timer);
    if (t->growth)
        t->growth->t = NULL;
    t->growth = NULL;
}

// The live node that holds none of it and the fewest replicas, those given out just now among them.
static int32_t taker(const struct image *image, const int32_t *replicas, uint32_t count, const uint32_t *given)
{
    int32_t best = NODE_ID_NONE;
    uint32_t load = UINT32_MAX;
    for (uint32_t i = 0; i < image->node_count; i++) {
        const struct image_node *n = image->nodes[i];
        bool has = n->fenced || n->in_shutdown;
        for (uint32_t k = 0; k < count; k++)
            has |= replicas[k] == n->id;
        uint32_t its = image_share_of(image, n->id).replicas + given[i];
        if (has || its >= load)
            continue;
        best = n->id;
        load = its;
    }
    return best;
}

static bool target_of(struct offsets_topic_growth *g, const struct image *image, const struct image_partition *p,
                      uint32_t factor, uint32_t *given, struct alter_partition_reassignments_request_partition *out)
{
    out->replicas = arena_array(&g->arena, factor, sizeof(*out->replicas));
    if (!out->replicas)
        return false;
    memcpy(out->replicas, image_replicas(p), p->replica_count * sizeof(int32_t));
    for (out->replicas_count = p->replica_count; out->replicas_count < factor; out->replicas_count++) {
        int32_t node = taker(image, out->replicas, out->replicas_count, given);
        if (node == NODE_ID_NONE)
            return false;
        out->replicas[out->replicas_count] = node;
        for (uint32_t i = 0; i < image->node_count; i++)
            given[i] += image->nodes[i]->id == node;
    }
    return true;
}

static bool raise_factor(struct offsets_topic *t, const struct image_topic *topic, uint32_t factor)
{
    uint32_t given[IMAGE_NODES_MAX] = {0};
    struct offsets_topic_growth *g = growth_create();
    struct alter_partition_reassignments_request_partition *parts =
        g ? arena_array(&g->arena, (size_t)topic->partition_count, sizeof(*parts)) : NULL;
    if (!parts)
        return growth_free(g);
    alter_partition_reassignments_request_init(&g->move.request);
    alter_partition_reassignments_request_topic_init(&g->move.topic);
    alter_partition_reassignments_response_init(&g->move.answer);
    for (int32_t i = 0; i < topic->partition_count; i++) {
        const struct image_partition *p = image_partition(topic, i);
        struct alter_partition_reassignments_request_partition *o = &parts[g->move.topic.partitions_count];
        alter_partition_reassignments_request_partition_init(o);
        o->partition_index = i;
        if (p->replica_count < factor && !image_is_moving(p) && target_of(g, engine_image(t->es), p, factor, given, o))
            g->move.topic.partitions_count++;
    }
    g->move.topic.name = COORDINATOR_TOPIC;
    g->move.topic.partitions = parts;
    g->move.request.topics = &g->move.topic;
    g->move.request.topics_count = 1;
    if (g->move.topic.partitions_count == 0)
        return growth_free(g);
    trace_info(t->es->engine->config.trace, "%s: %u partitions get %u replicas, as the cluster has grown",
               (const char *)COORDINATOR_TOPIC.p, g->move.topic.partitions_count, factor);
    return submit(t, g, CONTROLLER_REASSIGN, &g->move.request, &g->move.answer);
}

// The override that a smaller cluster needed goes up with the number of replicas.
static bool raise_min_isr(struct offsets_topic *t, const struct image_topic *topic, uint32_t factor)
{
    struct config_layers l = engine_layers(t->es, NULL);
    int64_t wanted = config_broker_int(&l, "min.insync.replicas", 1), most = factor > 1 ? factor - 1 : 1, now;
    bool found;
    const char *own = config_layer_get(image_topic_configs(topic), "min.insync.replicas", &found);
    wanted = wanted < most ? wanted : most;
    if (!found || !own || !config_parse_int(own, &now) || now >= wanted)
        return false;
    struct offsets_topic_growth *g = growth_create();
    const char *value = g ? arena_printf(&g->arena, "%lld", (long long)wanted) : NULL;
    if (!value)
        return growth_free(g);
    incremental_alter_configs_request_init(&g->set.request);
    incremental_alter_configs_request_resource_init(&g->set.resource);
    incremental_alter_configs_request_config_init(&g->set.config);
    incremental_alter_configs_response_init(&g->set.answer);
    g->set.config.name = bytes_str("min.insync.replicas");
    g->set.config.value = bytes_str(value);
    g->set.resource.resource_type = CONFIG_RESOURCE_TOPIC;
    g->set.resource.resource_name = COORDINATOR_TOPIC;
    g->set.resource.configs = &g->set.config;
    g->set.resource.configs_count = 1;
    g->set.request.resources = &g->set.resource;
    g->set.request.resources_count = 1;
    return submit(t, g, CONTROLLER_INCREMENTAL_ALTER_CONFIGS, &g->set.request, &g->set.answer);
}

static void grow_due(struct shard_timer *timer)
{
    struct offsets_topic *t = container_of(timer, struct offsets_topic, grow_timer);
    const struct image_topic *topic = topic_of(t);
    const struct quorum *q = t->es->engine->quorum;
    if (t->growth || t->es->settling || !topic || topic->partition_count == 0 || !raft_leads(quorum_raft(q)))
        return;
    struct config_layers l = engine_layers(t->es, NULL);
    int64_t configured = config_broker_int(&l, "offsets.topic.replication.factor", 3);
    uint32_t live = image_live_count(engine_image(t->es)), voters = quorum_voter_count(q), has = least_factor(topic);
    uint32_t could = configured < live ? (uint32_t)configured : live, wanted = voters < could ? voters : could;
    if ((has < wanted && raise_factor(t, topic, wanted)) || raise_min_isr(t, topic, has))
        return;
    if (has < could) // as soon as they have a vote
        look_again(t);
}

void offsets_topic_image(struct offsets_topic *t)
{
    if (t->growth || shard_timer_is_set(&t->grow_timer) || !topic_of(t) || !raft_leads(quorum_raft(t->es->engine->quorum)))
        return;
    struct config_layers l = engine_layers(t->es, NULL);
    int64_t configured = config_broker_int(&l, "offsets.topic.replication.factor", 3);
    uint32_t has = least_factor(topic_of(t));
    if (has < configured && has < image_live_count(engine_image(t->es)))
        look_again(t);
}
