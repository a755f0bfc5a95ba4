// SPDX-License-Identifier: Apache-2.0
//
// The table of groups, the way of a call through it, deadlines, begin and end of a core.
//
//     groups_call -> dispatch -> [queue of its group, while a decision that matters to it is in flight] -> handler
//                                  handler -> answer | parked in a member | attached to a decision
#include "group/core.h"

#include <stdlib.h>

void groups_config_default(struct groups_config *c)
{
    *c = (struct groups_config){.session_timeout_min_ms = 6000,
                                .session_timeout_max_ms = 1800000,
                                .initial_rebalance_delay_ms = 3000,
                                .size_max = INT32_MAX,
                                .offset_metadata_bytes_max = 4096,
                                .offsets_retention_ms = INT64_C(7) * 24 * 3600 * 1000,
                                .offsets_retention_check_ms = 600000,
                                .classic_enabled = true,
                                .consumer_enabled = true,
                                .consumer_session_timeout_ms = 45000,
                                .consumer_heartbeat_interval_ms = 5000,
                                .consumer_size_max = INT32_MAX,
                                .consumer_assignors = {GROUP_ASSIGNOR_UNIFORM, GROUP_ASSIGNOR_RANGE},
                                .consumer_assignor_count = 2,
                                .migrate_up = true,
                                .migrate_down = true,
                                .consumer_regex_refresh_ms = 600000,
                                .batch_bytes_max = 1048588};
}

// ------------------------------------------------------------------------------------------------ begin and end

enum rc groups_init(struct groups *g, const struct groups_config *config, const struct groups_host *host, uint64_t seed)
{
    struct core *c = calloc(1, sizeof(*c));
    if (!c)
        return RC_NOMEM;
    *g = (struct groups){.config = *config, .host = *host, .loading = true, .core_private = c};
    prng_init(&g->prng, seed);
    map_init(&g->by_id);
    heap_init(&g->deadlines);
    list_init(&g->answers);
    list_init(&g->appends);
    list_init(&g->in_flight);
    map_init(&c->topics);
    list_init(&c->txns);
    buf_init(&c->key, INT32_MAX);
    buf_init(&c->value, INT32_MAX);
    struct batch_options o = batch_options_default();
    batch_builder_init(&c->builder, &o, config->batch_bytes_max);
    g->expiry = &c->expiry;
    if (group_deadline_set(g, &c->expiry, GROUP_NEVER, offsets_expiry_fire) != RC_OK ||
        group_deadline_set(g, &c->sweep, GROUP_NEVER, offsets_sweep_fire) != RC_OK) {
        groups_deinit(g);
        return RC_NOMEM;
    }
    return RC_OK;
}

void groups_configure(struct groups *g, const struct groups_config *config)
{
    struct core *c = core_of(g);
    ASSERT(!c->building);
    if (config->batch_bytes_max != g->config.batch_bytes_max) {
        batch_builder_deinit(&c->builder);
        struct batch_options o = batch_options_default();
        batch_builder_init(&c->builder, &o, config->batch_bytes_max);
    }
    bool sooner = config->offsets_retention_check_ms != g->config.offsets_retention_check_ms;
    g->config = *config;
    if (sooner && !g->loading && !g->stopped)
        group_deadline_set(g, &c->expiry, g->now.now_ns + (uint64_t)config->offsets_retention_check_ms * 1000000,
                           offsets_expiry_fire);
}

static void group_free(struct group *gr)
{
    struct groups *g = gr->groups;
    ASSERT(list_empty(&gr->queue) && !gr->deciding && gr->commits_in_flight == 0 && gr->holds == 0);
    offsets_free(gr);
    classic_free(gr);
    consumer_free(gr);
    ASSERT(gr->offsets.count == 0 && gr->pending_offsets == 0);
    map_deinit(&gr->offsets);
    map_remove(&g->by_id, &gr->node);
    ASSERT(g->group_count > 0);
    g->group_count--;
    core_of(g)->version++;
    free(gr->events);
    free(gr);
}

void groups_deinit(struct groups *g)
{
    struct core *c = core_of(g);
    ASSERT(list_empty(&g->answers) && list_empty(&g->in_flight) && list_empty(&g->appends) && !c->building);
    for (struct map_node *n = map_first(&g->by_id), *next; n; n = next) {
        next = map_next(&g->by_id, n);
        group_free(container_of(n, struct group, node));
    }
    map_deinit(&g->by_id);
    group_deadline_cancel(g, &c->expiry);
    group_deadline_cancel(g, &c->sweep);
    ASSERT(g->deadlines.count == 0 && c->topics.count == 0 && list_empty(&c->txns));
    heap_deinit(&g->deadlines);
    map_deinit(&c->topics);
    buf_deinit(&c->key);
    buf_deinit(&c->value);
    batch_builder_deinit(&c->builder);
    free(c);
    *g = (struct groups){0};
}

void groups_loaded(struct groups *g, struct group_time now)
{
    ASSERT(g->loading && !g->stopped);
    g->loading = false;
    g->now = now;
    for (struct map_node *n = map_first(&g->by_id), *next; n; n = next) {
        next = map_next(&g->by_id, n);
        struct group *gr = container_of(n, struct group, node);
        if (gr->type == GROUP_CLASSIC)
            classic_loaded(gr);
        else if (gr->type == GROUP_CONSUMER)
            consumer_loaded(gr);
    }
    group_deadline_set(g, g->expiry, now.now_ns + (uint64_t)g->config.offsets_retention_check_ms * 1000000,
                       offsets_expiry_fire);
}

struct group_call *group_queue_pop(struct group *gr)
{
    struct list_node *n = list_pop_front(&gr->queue);
    if (!n)
        return NULL;
    struct group_call *call = list_entry(n, struct group_call, link);
    call->stage = GROUP_CALL_IDLE;
    call->group = NULL;
    return call;
}

// Answers what waits in the group and inside it.
static void group_stop(struct group *gr, enum rc rc)
{
    struct groups *g = gr->groups;
    for (struct group_call *call; (call = group_queue_pop(gr)) != NULL;)
        group_answer_error(g, call, rc, NULL);
    if (gr->type == GROUP_CLASSIC)
        classic_stop(gr, rc);
    else if (gr->type == GROUP_CONSUMER)
        consumer_group_stop(gr, rc);
    gr->deciding = NULL;
    gr->commits_in_flight = 0;
}

void groups_stop(struct groups *g, enum rc rc)
{
    ASSERT(!g->stopped && rc != RC_OK);
    g->stopped = true;
    struct list *lists[] = {&g->appends, &g->in_flight};
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        for (struct list_node *n; (n = list_pop_front(lists[i])) != NULL;) {
            struct group_append *a = list_entry(n, struct group_append, link);
            group_decision_answer(a, rc);
            a->groups = NULL;
            a->group = NULL;
            if (i == 0)
                groups_append_orphan(a);
        }
    }
    for (struct map_node *n = map_first(&g->by_id); n; n = map_next(&g->by_id, n))
        group_stop(container_of(n, struct group, node), rc);
}

// ------------------------------------------------------------------------------------------------ the table

static bool group_eq(const struct map_node *n, const void *key)
{
    return bytes_eq(group_id(container_of(n, struct group, node)), *(const struct bytes *)key);
}

struct group *group_find(const struct groups *g, struct bytes id)
{
    struct map_node *n = map_find(&g->by_id, map_hash_bytes(id), group_eq, &id);
    return n ? container_of(n, struct group, node) : NULL;
}

struct group *group_ensure(struct groups *g, struct bytes id)
{
    struct group *gr = group_find(g, id);
    if (gr)
        return gr;
    ASSERT(id.n <= INT16_MAX);
    gr = malloc(sizeof(*gr) + id.n + 1);
    if (!gr)
        return NULL;
    *gr = (struct group){.groups = g, .empty_since_ms = -1, .id_bytes = (uint16_t)id.n};
    if (id.n)
        memcpy(gr->id, id.p, id.n);
    gr->id[id.n] = 0;
    map_init(&gr->offsets);
    list_init(&gr->queue);
    if (map_insert(&g->by_id, &gr->node, map_hash_bytes(id)) != RC_OK) {
        free(gr);
        return NULL;
    }
    g->group_count++;
    core_of(g)->version++;
    return gr;
}

uint32_t group_member_count(const struct group *gr)
{
    if (gr->type == GROUP_CLASSIC)
        return classic_member_count(gr);
    return gr->type == GROUP_CONSUMER ? consumer_member_count(gr) : 0;
}

bool group_subscribes(const struct group *gr, struct bytes topic)
{
    return gr->type == GROUP_CLASSIC ? classic_subscribes(gr, topic)
                                     : gr->type == GROUP_CONSUMER && consumer_subscribes(gr, topic);
}

void group_drop_if_unused(struct group *gr)
{
    if (gr->holds || gr->deciding || gr->commits_in_flight || !list_empty(&gr->queue))
        return;
    if (gr->offsets.count || gr->pending_offsets)
        return;
    if (gr->type == GROUP_CLASSIC ? !classic_unused(gr) : gr->type == GROUP_CONSUMER)
        return;
    group_free(gr);
}

// ------------------------------------------------------------------------------------------------ calls

// May it go to its handler now?
static bool call_must_wait(const struct group *gr, const struct group_call *call)
{
    switch (call->kind) {
    case GROUP_HEARTBEAT:
        return gr->type == GROUP_CONSUMER && gr->deciding;
    case GROUP_FETCH:
    case GROUP_DESCRIBE:
    case GROUP_CONSUMER_DESCRIBE:
    case GROUP_LIST:
        return false;
    case GROUP_DELETE:
    case GROUP_OFFSET_DELETE:
        return gr->deciding || gr->commits_in_flight || !list_empty(&gr->queue);
    case GROUP_JOIN:
    case GROUP_SYNC:
    case GROUP_LEAVE:
    case GROUP_COMMIT:
    case GROUP_CONSUMER_HEARTBEAT:
        return gr->deciding || !list_empty(&gr->queue);
    case GROUP_CALL_KINDS:
        break;
    }
    UNREACHABLE();
}

static void call_handle(struct groups *g, struct group *gr, struct group_call *call)
{
    switch (call->kind) {
    case GROUP_JOIN:
    case GROUP_SYNC:
    case GROUP_HEARTBEAT:
    case GROUP_LEAVE:
        if (gr && gr->type == GROUP_CONSUMER && consumer_member_count(gr) > 0)
            consumer_call(g, gr, call);
        else
            classic_call(g, gr, call);
        return;
    case GROUP_CONSUMER_HEARTBEAT:
        consumer_call(g, gr, call);
        return;
    case GROUP_COMMIT:
        offsets_commit(g, gr, call);
        return;
    case GROUP_FETCH:
        offsets_fetch(g, gr, call);
        return;
    case GROUP_OFFSET_DELETE:
        offsets_delete(g, gr, call);
        return;
    case GROUP_DELETE:
        delete_call(g, gr, call);
        return;
    case GROUP_DESCRIBE:
    case GROUP_CONSUMER_DESCRIBE:
        describe_call(g, gr, call);
        return;
    case GROUP_LIST:
        list_call(g, call);
        return;
    case GROUP_CALL_KINDS:
        break;
    }
    UNREACHABLE();
}

void group_wait(struct group *gr, struct group_call *call)
{
    ASSERT(call->stage == GROUP_CALL_IDLE);
    call->stage = GROUP_CALL_QUEUED;
    call->group = gr;
    list_push_back(&gr->queue, &call->link);
}

void group_wait_first(struct group *gr, struct group_call *call)
{
    group_wait(gr, call);
    list_remove(&gr->queue, &call->link);
    list_push_front(&gr->queue, &call->link);
}

// Takes a call to its handler, or into the queue.
static void groups_dispatch(struct groups *g, struct group_call *call)
{
    if (g->broken) {
        group_answer_error(g, call, RC_COORDINATOR_NOT_AVAILABLE, NULL);
        return;
    }
    struct group *gr = group_find(g, call->group_id);
    if (!gr || !call_must_wait(gr, call)) {
        call_handle(g, gr, call);
        return;
    }
    // The log has been silent for longer than clients wait: they had better ask again than stand in a queue.
    if (gr->deciding && gr->deciding->told)
        group_answer_error(g, call, group_append_error(call->kind, RC_TIMED_OUT), NULL);
    else
        group_wait(gr, call);
}

void group_run_queue(struct group *gr)
{
    struct groups *g = gr->groups;
    struct list calls;
    list_init(&calls);
    for (struct group_call *call; (call = group_queue_pop(gr)) != NULL;)
        list_push_back(&calls, &call->link);
    group_drop_if_unused(gr);
    struct core *c = core_of(g);
    bool outer = c->sharing;
    for (struct list_node *n; (n = list_pop_front(&calls)) != NULL;) {
        struct group_call *call = list_entry(n, struct group_call, link);
        c->sharing = true;
        if (call->kind != GROUP_COMMIT)
            offsets_share_end(g);
        groups_dispatch(g, call);
    }
    offsets_share_end(g);
    c->sharing = outer;
}

static bool call_is_classic(enum group_call_kind kind)
{
    return kind == GROUP_JOIN || kind == GROUP_SYNC || kind == GROUP_HEARTBEAT || kind == GROUP_LEAVE;
}

static bool call_needs_id(enum group_call_kind kind)
{
    return call_is_classic(kind); // the new protocol has words of its own for it
}

void groups_call(struct groups *g, struct group_call *call, struct group_time now)
{
    ASSERT(call->stage == GROUP_CALL_IDLE && call->response == NULL && call->kind < GROUP_CALL_KINDS);
    g->now = now;
    if (g->stopped)
        group_answer_error(g, call, RC_NOT_COORDINATOR, NULL);
    else if (g->loading)
        group_answer_error(g, call, RC_COORDINATOR_LOAD_IN_PROGRESS, NULL);
    else if (call_is_classic(call->kind) && !g->config.classic_enabled)
        group_answer_error(g, call, RC_UNSUPPORTED_VERSION, NULL);
    else if (call->group_id.n > INT16_MAX || (call->group_id.n == 0 && call_needs_id(call->kind)))
        group_answer_error(g, call, RC_INVALID_GROUP_ID, NULL); // offsets of the empty id are as old as Kafka
    else
        groups_dispatch(g, call);
}

void groups_call_abandon(struct groups *g, struct group_call *call, struct group_time now)
{
    g->now = now;
    switch ((enum group_call_stage)call->stage) {
    case GROUP_CALL_ANSWERED:
        return;
    case GROUP_CALL_QUEUED:
        list_remove(&call->group->queue, &call->link);
        call->stage = GROUP_CALL_IDLE;
        call->group = NULL;
        break;
    case GROUP_CALL_DECIDED:
        group_decision_release(call->waiting, call);
        break;
    case GROUP_CALL_PARKED:
        classic_abandon(call);
        break;
    case GROUP_CALL_IDLE:
        UNREACHABLE();
    }
    group_answer_error(g, call, RC_COORDINATOR_NOT_AVAILABLE, NULL);
}

void groups_topic_changed(struct groups *g, struct bytes name, struct uuid id, bool deleted, struct group_time now)
{
    g->now = now;
    if (g->stopped || g->loading || g->broken)
        return;
    struct topic_ref *t = deleted ? topic_ref_find(g, name) : NULL;
    if (t) {
        t->deleted_ms = now.wall_ms;
        group_deadline_set(g, &core_of(g)->sweep, now.now_ns, offsets_sweep_fire);
    }
    for (struct map_node *n = map_first(&g->by_id), *next; n; n = next) {
        next = map_next(&g->by_id, n);
        struct group *gr = container_of(n, struct group, node);
        if (gr->type == GROUP_CONSUMER)
            consumer_topic_changed(gr, name, id, deleted);
    }
}

// ------------------------------------------------------------------------------------------------ what came of it

struct group_call *groups_next_answer(struct groups *g)
{
    struct list_node *n = list_pop_front(&g->answers);
    return n ? list_entry(n, struct group_call, link) : NULL;
}

struct group_append *groups_next_append(struct groups *g)
{
    struct list_node *n = list_pop_front(&g->appends);
    if (!n)
        return NULL;
    list_push_back(&g->in_flight, n);
    return list_entry(n, struct group_append, link);
}

uint64_t groups_deadline_ns(const struct groups *g)
{
    struct heap_node *n = heap_first(&g->deadlines);
    return n && !g->loading && !g->stopped && !g->broken ? n->key : GROUP_NEVER;
}

void groups_tick(struct groups *g, struct group_time now)
{
    g->now = now;
    if (g->loading || g->stopped)
        return;
    for (struct heap_node *n; !g->broken && (n = heap_first(&g->deadlines)) != NULL && n->key <= now.now_ns;) {
        struct group_deadline *d = container_of(n, struct group_deadline, node);
        heap_move(&g->deadlines, n, GROUP_NEVER);
        d->fire(g, d);
    }
}

enum rc group_deadline_set(struct groups *g, struct group_deadline *d, uint64_t at_ns,
                           void (*fire)(struct groups *g, struct group_deadline *d))
{
    d->fire = fire;
    if (!heap_node_linked(&d->node))
        return heap_push(&g->deadlines, &d->node, at_ns);
    heap_move(&g->deadlines, &d->node, at_ns);
    return RC_OK;
}

void group_deadline_cancel(struct groups *g, struct group_deadline *d)
{
    if (heap_node_linked(&d->node))
        heap_remove(&g->deadlines, &d->node);
}

uint64_t group_session_end(const struct groups *g, int32_t ms)
{
    uint64_t end = g->now.now_ns + (uint64_t)(ms < 0 ? 0 : ms) * 1000000;
    return (end + GROUP_SESSION_STEP_NS - 1) / GROUP_SESSION_STEP_NS * GROUP_SESSION_STEP_NS;
}

uint64_t groups_version(const struct groups *g)
{
    return core_of(g)->version;
}
