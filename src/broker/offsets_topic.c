// SPDX-License-Identifier: Apache-2.0
//
// See offsets_topic.h.
#include "broker/offsets_topic.h"

#include "engine/coordinator.h"

#define CREATE_WAIT_NS UINT64_C(1000000000)
#define NODES_WAIT_NS UINT64_C(3000000000) // for nodes of the cluster that have not registered yet

enum { ARENA_BYTES_MAX = 4 << 20 };

struct offsets_topic_create {
    struct create_topics_request request;
    struct create_topics_request_topic topic;
    struct create_topics_response answer;
};

void offsets_topic_init(struct offsets_topic *t, struct engine_shard *es)
{
    *t = (struct offsets_topic){.es = es};
    list_init(&t->waiters);
    arena_init(&t->arena, ARENA_BYTES_MAX, NULL, 0);
}

void offsets_topic_deinit(struct offsets_topic *t)
{
    ASSERT(list_empty(&t->waiters));
    offsets_topic_grow_end(t);
    arena_deinit(&t->arena);
}

// ------------------------------------------------------------------------------------------------ what it is made of

// The factor that is wanted, once as many nodes as have a vote are there.
static uint32_t factor_wanted(const struct engine_shard *es)
{
    struct config_layers l = engine_layers(es, NULL);
    uint32_t nodes = quorum_voter_count(es->engine->quorum);
    int64_t factor = config_broker_int(&l, "offsets.topic.replication.factor", 3);
    return factor < nodes ? (uint32_t)factor : nodes ? nodes : 1;
}

static uint32_t factor_now(const struct engine_shard *es)
{
    struct config_layers l = engine_layers(es, NULL);
    int64_t factor = config_broker_int(&l, "offsets.topic.replication.factor", 3);
    uint32_t live = image_live_count(engine_image(es));
    return factor < live ? (uint32_t)factor : live ? live : 1;
}

static const char *codec_text(int64_t codec)
{
    static const char *const names[] = {"producer", "gzip", "snappy", "lz4", "zstd"};
    return codec > 0 && codec < (int64_t)ARRAY_COUNT(names) ? names[codec] : names[0];
}

enum rc offsets_topic_spec(const struct engine_shard *es, struct arena *a, struct create_topics_request_topic *out)
{
    struct config_layers l = engine_layers(es, NULL);
    const char *segment = arena_printf(
        a, "%lld", (long long)config_broker_int(&l, "offsets.topic.segment.bytes", 104857600));
    // What all must hold is never asked of a topic that could then not lose one.
    uint32_t factor = factor_now(es);
    int64_t in_sync_max = factor > 1 ? factor - 1 : 1;
    bool capped = config_broker_int(&l, "min.insync.replicas", 1) > in_sync_max;
    const char *in_sync = arena_printf(a, "%lld", (long long)in_sync_max);
    const char *pairs[][2] = {
        {"cleanup.policy", "compact"},
        {"compression.type", codec_text(config_broker_int(&l, "offsets.topic.compression.codec", 0))},
        {"segment.bytes", segment},
        {"min.insync.replicas", in_sync},
    };
    uint32_t count = (uint32_t)ARRAY_COUNT(pairs) - !capped;
    struct create_topics_request_config *configs = arena_array(a, count, sizeof(*configs));
    if (!segment || !in_sync || !configs)
        return RC_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        create_topics_request_config_init(&configs[i]);
        configs[i].name = bytes_str(pairs[i][0]);
        configs[i].value = bytes_str(pairs[i][1]);
    }
    create_topics_request_topic_init(out);
    out->name = COORDINATOR_TOPIC;
    out->num_partitions = (int32_t)config_broker_int(&l, "offsets.topic.num.partitions", 50);
    out->replication_factor = (int16_t)factor;
    out->configs = configs;
    out->configs_count = count;
    return RC_OK;
}

// ------------------------------------------------------------------------------------------------ making it

static void topic_created(struct quorum_op *op, enum rc rc)
{
    struct offsets_topic *t = container_of(op, struct offsets_topic, op);
    const struct offsets_topic_create *c = t->create;
    if (rc == RC_OK && c->answer.topics_count == 1 && c->answer.topics[0].error_message.p &&
        !image_topic_by_name(engine_image(t->es), COORDINATOR_TOPIC))
        trace_warn(t->es->engine->config.trace, "%s cannot be created: %.*s", (const char *)COORDINATOR_TOPIC.p,
                   (int)c->answer.topics[0].error_message.n, (const char *)c->answer.topics[0].error_message.p);
    t->creating = false;
    arena_reset(&t->arena);
    struct list waiters;
    list_init(&waiters);
    for (struct list_node *n; (n = list_pop_front(&t->waiters));)
        list_push_back(&waiters, n);
    for (struct list_node *n; (n = list_pop_front(&waiters));) {
        struct offsets_topic_waiter *w = list_entry(n, struct offsets_topic_waiter, link);
        w->done(w);
    }
}

static bool topic_create(struct offsets_topic *t)
{
    struct offsets_topic_create *c = arena_alloc(&t->arena, sizeof(*c));
    if (!c || offsets_topic_spec(t->es, &t->arena, &c->topic) != RC_OK) {
        arena_reset(&t->arena);
        return false;
    }
    create_topics_request_init(&c->request);
    create_topics_response_init(&c->answer);
    c->request.topics = &c->topic;
    c->request.topics_count = 1;
    t->create = c;
    t->creating = true;
    t->op = (struct quorum_op){
        .kind = CONTROLLER_CREATE_TOPICS,
        .request = &c->request,
        .answer = &c->answer,
        .arena = &t->arena,
        .deadline_ns = shard_now_ns(t->es->shard) + CREATE_WAIT_NS,
        .done = topic_created,
    };
    quorum_submit(t->es->engine->quorum, t->es->shard, &t->op);
    return true;
}

bool offsets_topic_want(struct offsets_topic *t, struct offsets_topic_waiter *w)
{
    uint64_t now_ns = shard_now_ns(t->es->shard);
    if (!t->wanted_ns)
        t->wanted_ns = now_ns;
    if (!t->creating) {
        bool few = factor_now(t->es) < factor_wanted(t->es);
        if ((few && now_ns - t->wanted_ns < NODES_WAIT_NS) || !topic_create(t))
            return false;
    }
    list_push_back(&t->waiters, &w->link);
    return true;
}
