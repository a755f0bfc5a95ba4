// SPDX-License-Identifier: Apache-2.0
//
// See coordinator.h. Everything that reaches a core wakes the coordinator's task, which looks after all that came of it
// at the end of the turn: decisions of many calls then leave in one gathered write, and no answer runs inside a call.
#include "engine/coordinator_core.h"

#include <stdio.h>
#include <stdlib.h>

const struct bytes COORDINATOR_TOPIC = {(const uint8_t *)"__consumer_offsets", 18};

enum { APPENDS_IN_SLAB = 64 };

struct group_time coordinator_now(const struct coordinator *co)
{
    struct io *io = co->es->shard->io;
    return (struct group_time){
        .now_ns = io_now_ns(io), .wall_ms = io_wall_ms(io), .settled_ms = store_settled_ms(&co->es->store)};
}

const char *coordinator_name(const struct coordinator *co, char out[TOPIC_NAME_BYTES_MAX + 16])
{
    snprintf(out, TOPIC_NAME_BYTES_MAX + 16, "%s-%d", (const char *)COORDINATOR_TOPIC.p, co->id.partition);
    return out;
}

// ------------------------------------------------------------------------------------------------ what the core asks

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

static bool list_has(const char *list, const char *word)
{
    struct bytes element;
    while (config_list_next(&list, &element))
        if (bytes_eq(element, bytes_str(word)))
            return true;
    return false;
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

static void coordinators_read_config(struct engine_shard *es)
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
    g->classic_enabled = list_has(protocols, "classic");
    g->consumer_enabled = list_has(protocols, "consumer");
    config_read_consumer(g, &l);
    cs->commit_timeout_ns = (uint64_t)config_broker_int(&l, "offsets.commit.timeout.ms", 5000) * 1000000;
    cs->config_index = engine_image(es)->broker_configs_index;
}

// What one batch may have: the topic's limit, and never more than a segment.
static struct groups_config coordinator_config(const struct coordinator *co)
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

// ------------------------------------------------------------------------------------------------ the turn's work

static void coordinator_work(struct shard_task *t);

void coordinator_wake(struct coordinator *co)
{
    shard_defer(co->es->shard, &co->task, coordinator_work);
}

static void coordinator_due(struct shard_timer *t)
{
    struct coordinator *co = container_of(t, struct coordinator, timer);
    struct group_time now = coordinator_now(co);
    if (groups_deadline_ns(&co->groups) <= now.now_ns)
        groups_tick(&co->groups, now);
    coordinator_wake(co);
}

// Deadlines mostly move away (heartbeats); a timer that fires early looks again, which is cheaper than moving it.
static void coordinator_set_timer(struct coordinator *co)
{
    uint64_t due_ns = groups_deadline_ns(&co->groups);
    if (due_ns == UINT64_MAX)
        shard_timer_cancel(co->es->shard, &co->timer);
    else if (!shard_timer_is_set(&co->timer) || co->timer.node.key > due_ns)
        shard_timer_set(co->es->shard, &co->timer, due_ns, coordinator_due);
}

static void coordinator_give_back(struct coordinator *co)
{
    for (struct group_call *g; (g = groups_next_answer(&co->groups));) {
        struct coordinator_call *c = container_of(g, struct coordinator_call, group);
        ASSERT(c->coordinator == co);
        c->coordinator = NULL;
        if (c->rc != RC_OK && g->kind != GROUP_LIST) // given up: what the core says of it is for nobody
            group_call_refuse(g, c->rc);
        engine_call_finish(&c->call);
    }
}

// The leader epoch is over or nothing of the partition can be served any more.
static bool coordinator_is_lost(const struct coordinator *co)
{
    const struct partition *p = co->p;
    if (!p->leads || p->leader_epoch != co->leader_epoch || p->state == PARTITION_DOOMED)
        return true;
    return p->state != PARTITION_BLOCKED && partition_check(p, co->leader_epoch) != RC_OK;
}

bool coordinator_is_busy(const struct coordinator *co)
{
    return co->has_core || co->appending > 0 || co->load || co->save;
}

static void coordinator_free_if_done(struct coordinator *co)
{
    if (co->state != COORDINATOR_GONE || coordinator_is_busy(co))
        return;
    shard_defer_cancel(co->es->shard, &co->task);
    list_remove(&coordinators_of(co)->all, &co->link);
    free(co);
}

// What is left of one that is gone.
static void coordinator_clear(struct coordinator *co)
{
    if (co->has_core) {
        coordinator_give_back(co);
        coordinator_append_drop(co);
        coordinator_core_end(co);
    }
    coordinator_free_if_done(co);
}

// Memory ran out while committed records were applied: what the core holds is not what the log says.
static void coordinator_renew(struct coordinator *co)
{
    struct partition *p = co->p;
    char name[TOPIC_NAME_BYTES_MAX + 16];
    trace_error(co->es->engine->config.trace, "no memory for the groups of %s: they are loaded again",
                coordinator_name(co, name));
    coordinator_end(co);
    coordinator_follow(p);
}

static void coordinator_work_active(struct coordinator *co)
{
    if (!coordinators_of(co)->settling) {
        if (!coordinator_append_settle(co)) {
            coordinator_end(co);
            return;
        }
        coordinator_give_back(co);
        coordinator_append_decisions(co);
        if (co->state == COORDINATOR_ACTIVE)
            coordinator_set_timer(co);
    }
    if (co->state == COORDINATOR_ACTIVE && co->groups.broken)
        coordinator_renew(co);
    else if (co->state == COORDINATOR_ACTIVE)
        coordinator_save_consider(co);
}

static void coordinator_work(struct shard_task *t)
{
    struct coordinator *co = container_of(t, struct coordinator, task);
    if (co->state != COORDINATOR_GONE && coordinator_is_lost(co))
        coordinator_end(co);
    switch (co->state) {
    case COORDINATOR_LOADING:
        coordinator_load_wake(co);
        break;
    case COORDINATOR_ACTIVE:
        coordinator_work_active(co);
        break;
    case COORDINATOR_FAILED:
        break;
    case COORDINATOR_GONE:
        coordinator_clear(co);
        break;
    }
}

// ------------------------------------------------------------------------------------------------ life

// High watermark or log start moved, or nothing more comes from there.
static void coordinator_watched(struct partition_watch *w, enum partition_news news, uint64_t bytes_added)
{
    (void)news, (void)bytes_added;
    coordinator_wake(container_of(w, struct coordinator, watch));
}

static void coordinator_begin(struct partition *p)
{
    struct engine_shard *es = p->es;
    struct coordinator *co = calloc(1, sizeof(*co));
    if (!co)
        return; // the next call tries again
    *co = (struct coordinator){.es = es, .p = p, .id = p->id, .leader_epoch = p->leader_epoch};
    list_init(&co->in_flight);
    list_push_back(&es->coordinators->all, &co->link);
    p->coordinator = co;
    co->watch.fire = coordinator_watched;
    partition_watch(p, &co->watch);
    if (coordinator_core_begin(co) != RC_OK || coordinator_load_start(co) != RC_OK)
        coordinator_end(co);
}

void coordinator_loaded(struct coordinator *co)
{
    ASSERT(co->state == COORDINATOR_LOADING && !co->load);
    co->state = COORDINATOR_ACTIVE;
    coordinators_of(co)->counters.loads++;
    groups_loaded(&co->groups, coordinator_now(co));
    coordinator_wake(co);
}

void coordinator_end(struct coordinator *co)
{
    if (co->state == COORDINATOR_GONE)
        return;
    co->state = COORDINATOR_GONE;
    shard_timer_cancel(co->es->shard, &co->timer);
    shard_timer_cancel(co->es->shard, &co->late_timer);
    partition_unwatch(&co->watch);
    coordinator_load_stop(co);
    coordinator_save_stop(co);
    co->p->coordinator = NULL;
    co->p = NULL;
    if (co->has_core)
        groups_stop(&co->groups, RC_NOT_COORDINATOR);
    coordinator_wake(co);
}

void coordinator_follow(struct partition *p)
{
    struct engine_shard *es = p->es;
    struct coordinator *co = p->coordinator;
    if (co && (!p->leads || p->leader_epoch != co->leader_epoch))
        coordinator_end(co);
    if (!p->coordinator && p->leads && es->booted && !es->coordinators->settling &&
        bytes_eq(engine_topic_name(p->topic), COORDINATOR_TOPIC))
        coordinator_begin(p);
}

void coordinator_forget(struct partition *p)
{
    if (p->coordinator)
        coordinator_end(p->coordinator);
}

enum rc coordinators_init(struct engine_shard *es)
{
    struct coordinators *cs = calloc(1, sizeof(*cs));
    if (!cs)
        return RC_NOMEM;
    list_init(&cs->all);
    pool_init(&cs->appends, sizeof(struct coordinator_append), APPENDS_IN_SLAB, SIZE_MAX);
    es->coordinators = cs;
    return RC_OK;
}

void coordinators_deinit(struct engine_shard *es)
{
    struct coordinators *cs = es->coordinators;
    if (!cs)
        return;
    cs->settling = true;
    while (!coordinators_settled(es)) {
        for (struct list_node *n = list_first(&cs->all), *next; n; n = next) {
            next = list_next(&cs->all, n);
            struct coordinator *co = list_entry(n, struct coordinator, link);
            coordinator_end(co);
            coordinator_clear(co);
        }
        if (!coordinators_settled(es)) // something of them is still in flight
            shard_turn(es->shard, 1000000);
    }
    pool_deinit(&cs->appends);
    free(cs);
    es->coordinators = NULL;
}

void coordinators_begin(struct engine_shard *es)
{
    for (struct list_node *n = list_first(&es->all); n; n = list_next(&es->all, n))
        coordinator_follow(list_entry(n, struct partition, all_link));
}

void coordinators_settle(struct engine_shard *es)
{
    struct coordinators *cs = es->coordinators;
    cs->settling = true;
    for (struct list_node *n = list_first(&cs->all); n; n = list_next(&cs->all, n)) {
        struct coordinator *co = list_entry(n, struct coordinator, link);
        shard_timer_cancel(es->shard, &co->timer);
        shard_timer_cancel(es->shard, &co->late_timer);
        if (co->state == COORDINATOR_ACTIVE)
            coordinator_save_consider(co); // ends it when there is nothing to save
        else
            coordinator_end(co);
    }
}

bool coordinators_settled(const struct engine_shard *es)
{
    return list_empty(&es->coordinators->all) && es->coordinators->orphans == 0;
}

const struct coordinator_counters *coordinator_counters(const struct engine_shard *es)
{
    return &es->coordinators->counters;
}

// ------------------------------------------------------------------------------------------------ the image

static void coordinators_tell_topic(struct coordinators *cs, struct bytes name, struct uuid id, bool deleted)
{
    for (struct list_node *n = list_first(&cs->all); n; n = list_next(&cs->all, n)) {
        struct coordinator *co = list_entry(n, struct coordinator, link);
        if (co->state != COORDINATOR_ACTIVE)
            continue;
        groups_topic_changed(&co->groups, name, id, deleted, coordinator_now(co));
        coordinator_wake(co);
    }
}

// One topic, which may be of one image only. A new leader of a partition is no news to a group.
static void coordinators_follow_topic(struct coordinators *cs, const struct image_topic *was,
                                      const struct image_topic *is)
{
    if (was && !is)
        coordinators_tell_topic(cs, image_topic_name(was), was->id, true);
    else if (is && (!was || was->partition_count != is->partition_count))
        coordinators_tell_topic(cs, image_topic_name(is), is->id, false);
}

static void coordinators_follow_everything(struct coordinators *cs, const struct image *old, const struct image *image)
{
    for (const struct image_topic *t = image_topic_next(old, bytes_of(NULL, 0), false); t;
         t = image_topic_next(old, image_topic_name(t), false))
        if (!image_topic_by_id(image, t->id))
            coordinators_follow_topic(cs, t, NULL);
    for (const struct image_topic *t = image_topic_next(image, bytes_of(NULL, 0), false); t;
         t = image_topic_next(image, image_topic_name(t), false))
        coordinators_follow_topic(cs, image_topic_by_id(old, t->id), t);
}

void coordinators_image_changed(struct engine_shard *es, const struct image *old, const struct image *image)
{
    struct coordinators *cs = es->coordinators;
    if (!old || image->broker_configs_index != cs->config_index) {
        coordinators_read_config(es);
        for (struct list_node *n = list_first(&cs->all); n; n = list_next(&cs->all, n)) {
            struct coordinator *co = list_entry(n, struct coordinator, link);
            struct groups_config config = co->p ? coordinator_config(co) : cs->config;
            if (co->has_core && co->p)
                groups_configure(&co->groups, &config);
        }
    }
    if (!old || list_empty(&cs->all))
        return;
    if (image->changes.everything) {
        coordinators_follow_everything(cs, old, image);
        return;
    }
    for (int pass = 0; pass < 2; pass++) // deletions first: a new life may have the same name
        for (uint32_t i = 0; i < image->changes.topic_count; i++) {
            const struct image_change *c = &image->changes.topics[i];
            if ((c->kind == IMAGE_TOPIC_DELETED) == (pass == 0))
                coordinators_follow_topic(cs, image_topic_by_id(old, c->topic_id),
                                          image_topic_by_id(image, c->topic_id));
        }
}

// ------------------------------------------------------------------------------------------------ calls

bool coordinator_partition(const struct image *image, struct bytes group_id, struct topic_partition *out)
{
    const struct image_topic *t = image_topic_by_name(image, COORDINATOR_TOPIC);
    if (!t || t->partition_count == 0)
        return false;
    *out = (struct topic_partition){.topic_id = t->id, .partition = group_partition(group_id, t->partition_count)};
    return true;
}

// The coordinator that may take c now.
static enum rc coordinator_find(struct engine_shard *es, const struct coordinator_call *c, struct coordinator **out)
{
    if (es->coordinators->settling)
        return RC_NOT_COORDINATOR;
    // A list must not bring partitions into being that never had a group.
    struct partition *p = c->group.kind == GROUP_LIST ? partition_peek(es, c->id) : partition_find(es, c->id);
    if (!p)
        return c->group.kind == GROUP_LIST ? RC_NOT_FOUND : RC_NOT_COORDINATOR;
    if (!p->leads)
        return RC_NOT_COORDINATOR;
    if (!p->coordinator)
        coordinator_follow(p); // memory was short when it should have begun
    struct coordinator *co = p->coordinator;
    if (!co)
        return RC_COORDINATOR_NOT_AVAILABLE;
    if (co->state == COORDINATOR_LOADING)
        return RC_COORDINATOR_LOAD_IN_PROGRESS;
    if (co->state != COORDINATOR_ACTIVE || coordinator_is_lost(co))
        return RC_NOT_COORDINATOR;
    *out = co;
    return RC_OK;
}

static void coordinator_call_run(struct engine_call *call)
{
    struct coordinator_call *c = container_of(call, struct coordinator_call, call);
    struct coordinators *cs = call->target->coordinators;
    struct coordinator *co = NULL;
    c->rc = coordinator_find(call->target, c, &co);
    if (c->rc != RC_OK) {
        cs->counters.refused++;
        if (c->group.kind != GROUP_LIST)
            group_call_refuse(&c->group, c->rc);
        engine_call_finish(call);
        return;
    }
    cs->counters.calls++;
    c->coordinator = co;
    groups_call(&co->groups, &c->group, coordinator_now(co));
    coordinator_wake(co);
}

static void coordinator_call_over(struct coordinator_call *c)
{
    if (--c->pending == 0)
        c->done(c);
}

static void coordinator_call_returned(struct engine_call *call)
{
    coordinator_call_over(container_of(call, struct coordinator_call, call));
}

static void coordinator_abandon_returned(struct engine_call *call)
{
    coordinator_call_over(container_of(call, struct coordinator_call, abandon));
}

void coordinator_call_start(struct coordinator_call *c, struct engine_shard *origin)
{
    ASSERT(c->pending == 0 && c->done);
    c->pending = 1;
    c->call.run = coordinator_call_run;
    c->call.done = coordinator_call_returned;
    engine_call_start(&c->call, origin, engine_shard_of(origin->engine, c->id));
}

// Calls to one target arrive in order: it comes after the call itself, maybe after its answer.
static void coordinator_abandon_run(struct engine_call *call)
{
    struct coordinator_call *c = container_of(call, struct coordinator_call, abandon);
    struct coordinator *co = c->coordinator;
    if (co) {
        c->rc = RC_NOT_COORDINATOR;
        groups_call_abandon(&co->groups, &c->group, coordinator_now(co));
        coordinator_wake(co);
    }
    engine_call_finish(call);
}

void coordinator_call_abandon(struct coordinator_call *c)
{
    if (c->abandoned || c->pending == 0)
        return;
    c->abandoned = true;
    c->pending++;
    c->abandon.run = coordinator_abandon_run;
    c->abandon.done = coordinator_abandon_returned;
    engine_call_start(&c->abandon, c->call.origin, c->call.target);
}
