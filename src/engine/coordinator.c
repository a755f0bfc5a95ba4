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

bool coordinator_is_lost(const struct coordinator *co)
{
    const struct partition *p = co->p;
    if (!p->leads || p->leader_epoch != co->leader_epoch || p->state == PARTITION_DOOMED)
        return true;
    return p->state != PARTITION_BLOCKED && partition_check(p, co->leader_epoch) != RC_OK;
}

static bool coordinator_is_busy(const struct coordinator *co)
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
