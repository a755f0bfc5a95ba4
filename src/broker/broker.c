// SPDX-License-Identifier: Apache-2.0
//
// Building the broker's shards, opening the listeners, stopping.
#include "broker/broker.h"

#include <stddef.h>
#include <stdlib.h>

#include "broker/offsets_topic.h"
#include "broker/request.h"
#include "broker/session_core.h"

enum {
    SLAB_BYTES = 72 << 10, // past the allocator's mapping threshold (server.c): a free slab is memory given back
    ANSWER_BYTES_MAX = 256 << 20,
    // shares of the shard's memory, in sixteenths; the rest is for answers, logs and metadata
    SHARE_CONTROL = 1,
    SHARE_PRODUCE = 3,
    SHARE_LARGE = 4,
    SHARE_HUGE = 4,
    SHARE_BACKLOG = 1,
    SHARE_ANSWERS = 1, // twice that for a moment
};

_Static_assert(BROKER_SHARD_BYTES_MIN / 16 * SHARE_CONTROL >= SCRATCH_BYTES, "a share holds its largest frame");
_Static_assert(SHARE_LARGE >= SHARE_HUGE, "what fits the huge share and is called large fits that, too");

static void broker_image_changed(struct engine_shard *es, const struct image *image)
{
    struct broker_shard *bs = es->owner;
    (void)image;
    offsets_topic_image(&bs->offsets_topic);
}

static enum rc broker_shard_init(struct broker *b, uint32_t i)
{
    struct broker_shard *bs = &b->shards[i];
    struct engine_shard *es = &b->engine->shards[i];
    bs->broker = b;
    bs->engine = es;
    bs->shard = es->shard;
    es->owner = bs;
    b->engine->adopt_replica = session_adopt_replica;
    b->engine->end_readers = session_cut_readers;
    pool_init(&bs->session_pool, sizeof(struct session), SLAB_BYTES / sizeof(struct session), b->config.connections_max);
    // As many as the shares let in.
    pool_init(&bs->request_pool, sizeof(struct request), SLAB_BYTES / sizeof(struct request), SIZE_MAX);
    bs->request_pool.zeroed_bytes = offsetof(struct request, arena_first); // the arena zeroes what it gives
    list_init(&bs->sessions);
    list_init(&bs->stalled);
    list_init(&bs->ready);
    uint64_t part = b->config.memory_bytes / b->shard_count / 16;
    bs->backlog_bytes_max = part * SHARE_BACKLOG;
    bs->answer_bytes_max = part * SHARE_ANSWERS;
    budget_init(&bs->control, "control", part * SHARE_CONTROL);
    budget_init(&bs->produce, "produce", part * SHARE_PRODUCE);
    budget_init(&bs->large, "large frames", part * SHARE_LARGE);
    budget_init(&bs->huge, "huge frames", part * SHARE_HUGE);
    buf_init(&bs->tx_scratch, ANSWER_BYTES_MAX);
    fetch_session_cache_init(&bs->fetch_sessions, b->config.fetch_sessions_max / b->shard_count, &bs->shard->prng);
    producer_ids_init(&bs->producer_ids, bs->engine);
    offsets_topic_init(&bs->offsets_topic, bs->engine);
    if (bs->engine == &bs->engine->engine->shards[0])
        bs->engine->image_changed = broker_image_changed;
    bs->rx = (struct rx_slab *)(void *)io_buffer_acquire(bs->shard->io, sizeof(struct rx_slab));
    bs->fetch_scratch = io_buffer_acquire(bs->shard->io, SCRATCH_BYTES);
    if (!bs->rx || !bs->fetch_scratch)
        return RC_NOMEM;
    bs->rx->refs = bs->rx->used = 0;
    return RC_OK;
}

enum rc broker_create(struct broker **out, const struct broker_config *config, struct engine *engine,
                      struct trace_sink *trace)
{
    ASSERT(config->listener_count >= 1 && config->listener_count <= BROKER_LISTENERS_MAX);
    ASSERT(config->memory_bytes / engine->shard_count >= BROKER_SHARD_BYTES_MIN);
    struct broker *b = calloc(1, sizeof(*b));
    if (b)
        b->shards = calloc(engine->shard_count, sizeof(*b->shards));
    if (!b || !b->shards) {
        free(b);
        return RC_NOMEM;
    }
    b->config = *config;
    b->engine = engine;
    b->trace = trace;
    b->shard_count = engine->shard_count;
    connection_limit_init(b);
    if (address_count_init(&b->addresses, config->connections_max) != RC_OK) {
        b->shard_count = 0;
        broker_destroy(b);
        return RC_NOMEM;
    }
    for (uint32_t i = 0; i < b->shard_count; i++) {
        enum rc rc = broker_shard_init(b, i);
        if (rc != RC_OK) {
            b->shard_count = i + 1;
            broker_destroy(b);
            return rc;
        }
    }
    *out = b;
    return RC_OK;
}

enum rc broker_listen(struct broker *b, unsigned *failed)
{
    struct config_layers layers = {.properties = b->engine->config.properties};
    uint32_t backlog = (uint32_t)config_broker_int(&layers, "socket.listen.backlog.size", 4096);
    for (unsigned l = 0; l < b->config.listener_count; l++)
        for (uint32_t i = 0; i < b->shard_count; i++) {
            struct broker_shard *bs = &b->shards[i];
            enum rc rc = i == 0 ? io_listen(bs->shard->io, &bs->listeners[l], &b->config.listeners[l].listen,
                                            session_accept)
                                : io_listen_shared(bs->shard->io, &bs->listeners[l], &b->shards[0].listeners[l],
                                                   session_accept);
            *failed = l;
            if (rc != RC_OK)
                return rc;
            if (i == 0)
                io_listener_backlog(&bs->listeners[l], backlog);
            bs->listeners[l].private_data = bs;
            io_listener_pause(&bs->listeners[l]);
        }
    return RC_OK;
}

static void broker_close_listeners(struct broker_shard *bs)
{
    bs->accepting = false;
    connection_limit_stop(bs);
    for (unsigned l = 0; l < bs->broker->config.listener_count; l++)
        if (bs->listeners[l].io)
            io_listener_close(&bs->listeners[l]);
}

void broker_shard_open(struct broker_shard *bs)
{
    for (unsigned l = 0; l < bs->broker->config.listener_count; l++)
        if (bs->listeners[l].io) {
            bs->accepting = true;
            io_listener_resume(&bs->listeners[l]);
        }
    // Most producers ask for an id first. Alone, the sync that a block costs is over when the first of them comes; a node of
    // a cluster has no such moment, and a hundred that start together would all ask.
    if (!engine_in_cluster(bs->engine->engine))
        producer_ids_prepare(&bs->producer_ids);
}

static void broker_shard_cut(struct shard_timer *t)
{
    struct broker_shard *bs = container_of(t, struct broker_shard, stop_timer);
    for (struct list_node *n; (n = list_first(&bs->sessions));)
        session_drop(list_entry(n, struct session, link), BROKER_CLOSE_STOP, NULL);
}

void broker_shard_stop(struct broker_shard *bs, uint64_t wait_ns)
{
    broker_close_listeners(bs);
    for (struct list_node *n = list_first(&bs->sessions), *next; n; n = next) {
        next = list_next(&bs->sessions, n);
        struct session *s = list_entry(n, struct session, link);
        if (list_empty(&s->requests))
            session_drop(s, BROKER_CLOSE_STOP, NULL);
        else
            session_close(s, BROKER_CLOSE_STOP, NULL);
    }
    if (!list_empty(&bs->sessions))
        shard_timer_set(bs->shard, &bs->stop_timer, shard_now_ns(bs->shard) + wait_ns, broker_shard_cut);
}

bool broker_shard_stopped(const struct broker_shard *bs)
{
    return list_empty(&bs->sessions);
}

bool broker_shard_quiet(const struct broker_shard *bs)
{
    return bs->session_pool.count == 0 && bs->request_pool.count == 0 && !bs->producer_ids.fetching;
}

static bool broker_busy(const struct broker *b)
{
    for (uint32_t i = 0; i < b->shard_count; i++)
        if (!broker_shard_quiet(&b->shards[i]))
            return true;
    return false;
}

void broker_destroy(struct broker *b)
{
    for (uint32_t i = 0; i < b->shard_count; i++) {
        broker_close_listeners(&b->shards[i]);
        broker_shard_cut(&b->shards[i].stop_timer);
    }
    while (broker_busy(b)) // an answer may be owed by any shard
        for (uint32_t i = 0; i < b->shard_count; i++)
            shard_turn(b->shards[i].shard, 100000);
    for (uint32_t i = 0; i < b->shard_count; i++) {
        struct broker_shard *bs = &b->shards[i];
        shard_timer_cancel(bs->shard, &bs->sweep);
        shard_timer_cancel(bs->shard, &bs->stop_timer);
        shard_job_cancel(bs->shard, &bs->ready_job);
        shard_defer_cancel(bs->shard, &bs->relief_task);
        fetch_session_cache_deinit(&bs->fetch_sessions);
        producer_ids_deinit(&bs->producer_ids);
        offsets_topic_deinit(&bs->offsets_topic);
        buf_deinit(&bs->tx_scratch);
        io_buffer_release(bs->shard->io, (uint8_t *)bs->rx, sizeof(struct rx_slab));
        io_buffer_release(bs->shard->io, bs->fetch_scratch, SCRATCH_BYTES);
        io_buffer_release(bs->shard->io, bs->cold_scratch, SESSION_COLD_BYTES);
        pool_deinit(&bs->session_pool);
        pool_deinit(&bs->request_pool);
    }
    address_count_deinit(&b->addresses);
    free(b->shards);
    free(b);
}

uint32_t broker_frame_bytes_max(const struct broker *b)
{
    uint64_t share = b->shards[0].huge.limit_bytes;
    return share < b->config.request_bytes_max ? (uint32_t)share : b->config.request_bytes_max;
}
