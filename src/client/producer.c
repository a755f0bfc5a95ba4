// SPDX-License-Identifier: Apache-2.0
//
// Filling batches. How they travel is in client/producer_request.c.
#include "client/producer.h"

#include <stdlib.h>

#include "base/assert.h"
#include "client/partitioner.h"
#include "client/producer_request.h"
#include "model/kerr.h"

struct producer_config producer_config_default(void)
{
    return (struct producer_config){.codec = CODEC_NONE,
                                    .level = CODEC_LEVEL_DEFAULT,
                                    .acks = -1,
                                    .idempotent = true,
                                    .linger_ms = 5,
                                    .batch_bytes = 128 << 10,
                                    .record_bytes_max = 64 << 20,
                                    .request_bytes = 1 << 20,
                                    .requests_in_flight = 5,
                                    .delivery_timeout_ms = 120000,
                                    .memory_bytes = 32 << 20};
}

static enum rc ask_producer_id(struct producer *p)
{
    struct init_producer_id_request in;
    struct init_producer_id_response out;
    struct arena a;
    init_producer_id_request_init(&in);
    in.transactional_id = bytes_of(NULL, 0);
    in.transaction_timeout_ms = 60000;
    in.producer_id = -1;
    in.producer_epoch = -1;
    arena_init(&a, 1 << 20, NULL, 0);
    struct client_call call = {.node_id = CLIENT_NODE_ANY,
                               .request = &init_producer_id_request_message,
                               .answer = &init_producer_id_response_message,
                               .in = &in,
                               .out = &out,
                               .arena = &a};
    uint64_t deadline = io_clock_ns(p->client->shard->io) + (uint64_t)p->client->config.timeout_ms * 1000000;
    enum rc rc;
    for (;;) {
        rc = client_call(p->client, &call);
        bool again = rc == RC_OK && out.error_code && kerr_retriable(out.error_code);
        if (!again || shard_now_ns(p->client->shard) >= deadline)
            break;
        client_wait_ms(p->client, CLIENT_REFRESH_MS);
    }
    arena_deinit(&a);
    if (rc == RC_OK && out.error_code) {
        client_explain(p->client, "no producer id was given: %s", kerr_name(out.error_code));
        rc = RC_UNSUPPORTED;
    }
    p->producer_id = rc == RC_OK ? out.producer_id : -1;
    p->producer_epoch = rc == RC_OK ? out.producer_epoch : -1;
    return rc;
}

static void on_timer(struct shard_timer *t);

enum rc producer_init(struct producer *p, struct client *c, const struct producer_config *config)
{
    *p = (struct producer){.client = c, .config = *config, .producer_id = -1, .producer_epoch = -1};
    ASSERT(config->requests_in_flight > 0 && config->requests_in_flight <= PRODUCER_IN_FLIGHT_MAX);
    list_init(&p->open_partitions);
    list_init(&p->ready);
    client_watch(c, &p->watch, producer_metadata_changed);
    return config->idempotent ? ask_producer_id(p) : RC_OK;
}

static void producer_batch_free(struct producer_batch *b);

static void partition_deinit(struct producer_partition *pp)
{
    struct list_node *n;
    while ((n = list_pop_front(&pp->batches)) != NULL)
        producer_batch_free(list_entry(n, struct producer_batch, link));
    batch_builder_deinit(&pp->open);
    free(pp);
}

void producer_deinit(struct producer *p)
{
    shard_timer_cancel(p->client->shard, &p->timer);
    shard_defer_cancel(p->client->shard, &p->drain);
    client_unwatch(p->client, &p->watch);
    producer_requests_deinit(p);
    for (struct producer_topic *t = p->topics, *next; t; t = next) {
        next = t->next;
        for (int32_t i = 0; i < t->count; i++)
            if (t->partitions[i])
                partition_deinit(t->partitions[i]);
        free(t->partitions);
        free(t);
    }
    for (struct producer_batch *b = p->free_batches, *next; b; b = next) {
        next = b->next_free;
        producer_batch_free(b);
    }
    free(p->workspace);
}

struct producer_topic *producer_topic_open(struct producer *p, struct client_topic *topic)
{
    struct producer_topic *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->topic = topic;
    t->sticky = -1;
    t->next = p->topics;
    p->topics = t;
    return t;
}

// ------------------------------------------------------------------------------------------------ partitions

static struct producer_partition *partition_make(struct producer *p, struct producer_topic *t, int32_t index)
{
    struct producer_partition *pp = calloc(1, sizeof(*pp));
    if (!pp)
        return NULL;
    pp->producer = p;
    pp->topic = t;
    pp->index = index;
    pp->lost_sequence = -1;
    list_init(&pp->batches);
    struct batch_options options = batch_options_default();
    options.codec = p->config.codec;
    options.level = p->config.level;
    options.producer_id = p->producer_id;
    options.producer_epoch = p->producer_epoch;
    options.base_sequence = p->config.idempotent ? 0 : -1;
    batch_builder_init(&pp->open, &options, p->config.batch_bytes);
    t->partitions[index] = pp;
    return pp;
}

static struct producer_partition *partition_at(struct producer *p, struct producer_topic *t, int32_t index)
{
    if (index < 0 || index >= t->topic->partition_count)
        return NULL;
    if (index >= t->count) {
        size_t count = (size_t)t->topic->partition_count;
        struct producer_partition **grown = realloc(t->partitions, count * sizeof(*grown));
        if (!grown)
            return NULL;
        for (size_t i = (size_t)t->count; i < count; i++)
            grown[i] = NULL;
        t->partitions = grown;
        t->count = (int32_t)count;
    }
    return t->partitions[index] ? t->partitions[index] : partition_make(p, t, index);
}

static int32_t choose(struct producer *p, struct producer_topic *t, const struct producer_record *r)
{
    int32_t count = t->topic->partition_count;
    if (r->partition >= 0)
        return r->partition;
    if (count <= 0)
        return -1;
    if (r->key.p)
        return partitioner_of_key(r->key, count);
    if (t->sticky < 0)
        t->sticky = (int32_t)prng_below(&p->client->shard->prng, (uint64_t)count);
    return t->sticky;
}

// ------------------------------------------------------------------------------------------------ batches

static void producer_batch_free(struct producer_batch *b)
{
    buf_deinit(&b->bytes);
    free(b);
}

void producer_batch_release(struct producer *p, struct producer_batch *b)
{
    b->next_free = p->free_batches;
    p->free_batches = b;
}

static struct producer_batch *batch_take(struct producer *p)
{
    struct producer_batch *b = p->free_batches;
    if (b) {
        p->free_batches = b->next_free;
        struct buf bytes = b->bytes;
        bytes.n = 0;
        *b = (struct producer_batch){.bytes = bytes};
        return b;
    }
    b = calloc(1, sizeof(*b));
    if (b)
        buf_init(&b->bytes, SIZE_MAX / 2);
    return b;
}

// Another limit for an empty open batch.
static void resize_open(struct producer_partition *pp, size_t bytes_max)
{
    struct batch_options options = pp->open.options;
    ASSERT(pp->open.record_count == 0);
    batch_builder_deinit(&pp->open);
    batch_builder_init(&pp->open, &options, bytes_max);
}

// The open batch becomes the last of the queue.
static enum rc close_open(struct producer_partition *pp)
{
    struct producer *p = pp->producer;
    struct producer_batch *b = batch_take(p);
    if (!b)
        return RC_NOMEM;
    size_t was = pp->open.records.n;
    b->partition = pp;
    b->record_count = pp->open.record_count;
    b->deadline_ns = shard_now_ns(p->client->shard) + (uint64_t)p->config.delivery_timeout_ms * 1000000;
    // One codec workspace serves every partition: it is needed only here.
    pp->open.workspace = p->workspace;
    pp->open.options.base_offset = 0;
    enum rc rc = batch_builder_finish(&pp->open, &b->bytes);
    p->workspace = pp->open.workspace;
    pp->open.workspace = NULL;
    if (pp->open.bytes_max != p->config.batch_bytes)
        resize_open(pp, p->config.batch_bytes);
    if (rc != RC_OK) {
        producer_batch_release(p, b);
        return rc;
    }
    p->buffered_bytes += b->bytes.n;
    p->buffered_bytes -= was;
    p->pending_batches++;
    list_push_back(&pp->batches, &b->link);
    list_remove(&p->open_partitions, &pp->open_link);
    if (pp->topic->sticky == pp->index)
        pp->topic->sticky = -1; // keyless records go on in another partition
    producer_partition_ready(pp);
    return RC_OK;
}

void producer_push(struct producer *p)
{
    struct list_node *n;
    while ((n = list_first(&p->open_partitions)) != NULL)
        if (close_open(list_entry(n, struct producer_partition, open_link)) != RC_OK)
            return; // no memory now: the timer tries again
}

static void set_timer(struct producer *p)
{
    struct list_node *n = list_first(&p->open_partitions);
    uint64_t due = UINT64_MAX;
    if (n)
        due = list_entry(n, struct producer_partition, open_link)->open_since_ns +
              (uint64_t)p->config.linger_ms * 1000000;
    uint64_t retry = producer_next_retry_ns(p);
    due = retry < due ? retry : due;
    if (due != UINT64_MAX)
        shard_timer_set(p->client->shard, &p->timer, due, on_timer);
}

void producer_timer_set(struct producer *p)
{
    set_timer(p);
}

static void on_timer(struct shard_timer *t)
{
    struct producer *p = container_of(t, struct producer, timer);
    uint64_t now = shard_now_ns(p->client->shard), linger = (uint64_t)p->config.linger_ms * 1000000;
    struct list_node *n;
    while ((n = list_first(&p->open_partitions)) != NULL) {
        struct producer_partition *pp = list_entry(n, struct producer_partition, open_link);
        if (pp->open_since_ns + linger > now || close_open(pp) != RC_OK)
            break;
    }
    producer_drain_later(p);
    set_timer(p);
}

enum rc producer_send(struct producer *p, struct producer_topic *t, const struct producer_record *r)
{
    if (p->buffered_bytes >= p->config.memory_bytes)
        return RC_FULL;
    struct producer_partition *pp = partition_at(p, t, choose(p, t, r));
    if (!pp)
        return t->topic->partition_count > 0 && r->partition < t->topic->partition_count ? RC_NOMEM : RC_INVALID;
    for (;;) {
        bool was_empty = pp->open.record_count == 0;
        size_t was = pp->open.records.n;
        enum rc rc = batch_builder_add(&pp->open, r->timestamp, r->key, r->value, r->headers, r->header_count);
        if (rc == RC_OK) {
            p->buffered_bytes += pp->open.records.n - was;
            if (!was_empty)
                return RC_OK;
            pp->open_since_ns = shard_now_ns(p->client->shard);
            list_push_back(&p->open_partitions, &pp->open_link);
            if (!shard_timer_is_set(&p->timer))
                set_timer(p);
            if (pp->open.bytes_max != p->config.batch_bytes)
                close_open(pp); // no other record joins a long one; without memory now, the timer closes it
            return RC_OK;
        }
        if (rc != RC_FULL)
            return rc;
        if (was_empty && pp->open.bytes_max >= p->config.record_bytes_max) {
            resize_open(pp, p->config.batch_bytes);
            return RC_RECORD_LIST_TOO_LARGE;
        }
        if (was_empty) { // too long for a common batch: it gets one of its own
            resize_open(pp, p->config.record_bytes_max);
            continue;
        }
        rc = close_open(pp);
        if (rc != RC_OK)
            return rc;
        if (r->partition < 0 && !r->key.p) { // the next batch is another partition's
            pp = partition_at(p, t, choose(p, t, r));
            if (!pp)
                return RC_NOMEM;
        }
    }
}

enum rc producer_flush(struct producer *p)
{
    producer_push(p);
    while (p->pending_batches > 0)
        shard_turn(p->client->shard, -1);
    return p->failed ? RC_CLOSED : RC_OK;
}
