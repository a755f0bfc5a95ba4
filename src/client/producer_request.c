// SPDX-License-Identifier: Apache-2.0
//
// Requests are filled from the partitions that are ready, one broker after the other; answers settle each batch. After
// an error a partition recovers: it waits until nothing of it is in flight, then goes on with its oldest batch. A batch
// that failed for good leaves a hole in the sequence numbers, which the batches behind it close by taking its number,
// unless the broker may have written it: then the producer stops, because the same number could hide a new batch.
#include "client/producer_request.h"

#include <stdlib.h>

#include "base/assert.h"
#include "model/kerr.h"
#include "wire/crc32c.h"

enum {
    KERR_OUT_OF_ORDER_SEQUENCE = 45,
    KERR_DUPLICATE_SEQUENCE = 46,
    PRODUCER_RETRY_MS = 100,
    IDEMPOTENT_BATCHES_IN_FLIGHT = 5, // what a broker remembers of a producer (KIP-98)
    BATCH_AT_CRC = 17,
    BATCH_AT_ATTRIBUTES = 21,
    BATCH_AT_SEQUENCE = 53,
};

static void on_drain(struct shard_task *t);

static uint64_t now_ns(const struct producer *p)
{
    return shard_now_ns(p->client->shard);
}

// ------------------------------------------------------------------------------------------------ readiness

static struct producer_batch *first_unsent(const struct producer_partition *pp)
{
    for (struct list_node *n = list_first(&pp->batches); n; n = list_next(&pp->batches, n)) {
        struct producer_batch *b = list_entry(n, struct producer_batch, link);
        if (!b->in_flight)
            return b;
    }
    return NULL;
}

static bool may_send(const struct producer_partition *pp)
{
    uint32_t limit = pp->producer->config.idempotent ? IDEMPOTENT_BATCHES_IN_FLIGHT : 1;
    return !pp->recovering && pp->in_flight < limit && first_unsent(pp);
}

void producer_drain_later(struct producer *p)
{
    shard_defer(p->client->shard, &p->drain, on_drain);
}

void producer_partition_ready(struct producer_partition *pp)
{
    if (list_node_linked(&pp->ready_link) || !may_send(pp))
        return;
    list_push_back(&pp->producer->ready, &pp->ready_link);
    producer_drain_later(pp->producer);
}

// Takes a partition that may not send any more from among those that are ready.
static void leave_ready(struct producer_partition *pp)
{
    if (list_node_linked(&pp->ready_link) && !may_send(pp))
        list_remove(&pp->producer->ready, &pp->ready_link);
}

uint64_t producer_next_retry_ns(const struct producer *p)
{
    uint64_t due = UINT64_MAX, now = now_ns(p);
    for (struct list_node *n = list_first(&p->ready); n; n = list_next(&p->ready, n)) {
        uint64_t retry = list_entry(n, struct producer_partition, ready_link)->retry_ns;
        if (retry > now && retry < due)
            due = retry;
    }
    return due;
}

void producer_metadata_changed(struct client_watch *w, enum rc rc)
{
    struct producer *p = container_of(w, struct producer, watch);
    (void)rc;
    producer_drain_later(p);
}

// ------------------------------------------------------------------------------------------------ settling

static void deliver(struct producer_batch *b, enum rc rc, int16_t code, int64_t base_offset, struct bytes message)
{
    struct producer_partition *pp = b->partition;
    struct producer *p = pp->producer;
    struct producer_delivery d = {.topic = pp->topic->topic,
                                  .partition = pp->index,
                                  .rc = rc,
                                  .error_code = code,
                                  .message = message,
                                  .base_offset = base_offset,
                                  .record_count = b->record_count,
                                  .bytes = b->bytes.n};
    if (rc == RC_OK) {
        p->records_sent += (uint64_t)b->record_count;
        p->bytes_sent += b->bytes.n;
    } else {
        p->records_failed += (uint64_t)b->record_count;
        if (!p->failed)
            client_explain(p->client, "%s partition %d: %s%s%.*s", pp->topic->topic->name, pp->index,
                           code ? kerr_name(code) : rc_text(rc), message.n ? ": " : "", (int)message.n,
                           message.n ? (const char *)message.p : "");
        p->failed = true;
    }
    list_remove(&pp->batches, &b->link);
    p->buffered_bytes -= b->bytes.n;
    p->pending_batches--;
    if (p->config.report)
        p->config.report(p, &d);
    producer_batch_release(p, b);
}

// The batches behind a lost one take its numbers.
static void renumber(struct producer_partition *pp, int32_t sequence)
{
    for (struct list_node *n = list_first(&pp->batches); n; n = list_next(&pp->batches, n)) {
        struct producer_batch *b = list_entry(n, struct producer_batch, link);
        uint8_t *p = b->bytes.p;
        ASSERT(!b->in_flight);
        put_be32(p + BATCH_AT_SEQUENCE, (uint32_t)sequence);
        put_be32(p + BATCH_AT_CRC, crc32c(0, p + BATCH_AT_ATTRIBUTES, b->bytes.n - BATCH_AT_ATTRIBUTES));
        sequence = (int32_t)(((uint32_t)sequence + (uint32_t)b->record_count) & INT32_MAX);
    }
    pp->open.options.base_sequence = sequence;
}

static int32_t sequence_of(const struct producer_batch *b)
{
    return (int32_t)be32(b->bytes.p + BATCH_AT_SEQUENCE);
}

static void fail_everything(struct producer_partition *pp, enum rc rc)
{
    for (struct producer_batch *b = first_unsent(pp); b; b = first_unsent(pp))
        deliver(b, rc, 0, -1, bytes_of(NULL, 0));
}

// Nothing of the partition is in flight any more: it may begin again.
static void recovered(struct producer_partition *pp)
{
    pp->recovering = false;
    if (pp->lost_sequence >= 0)
        renumber(pp, pp->lost_sequence);
    pp->lost_sequence = -1;
    if (pp->producer->stopped)
        fail_everything(pp, RC_CANCELLED);
}

static void settle_failed(struct producer_batch *b, enum rc rc, int16_t code, struct bytes message)
{
    struct producer_partition *pp = b->partition;
    struct producer *p = pp->producer;
    bool passes = rc != RC_OK ? rc != RC_UNSUPPORTED_VERSION && rc != RC_INVALID && rc != RC_CLOSED
                              : kerr_retriable(code) || (code == KERR_OUT_OF_ORDER_SEQUENCE && pp->recovering);
    if (rc != RC_OK || code != KERR_OUT_OF_ORDER_SEQUENCE)
        client_refresh(p->client);
    if (passes && now_ns(p) < b->deadline_ns && !p->stopped) {
        p->retries++;
        pp->recovering = true;
        pp->retry_ns = now_ns(p) + PRODUCER_RETRY_MS * UINT64_C(1000000);
        return;
    }
    if (p->config.idempotent) {
        int32_t sequence = sequence_of(b);
        pp->recovering = true;
        if (rc != RC_OK) // it may have been written
            p->stopped = true;
        else if (pp->lost_sequence < 0 || sequence < pp->lost_sequence)
            pp->lost_sequence = sequence;
    }
    deliver(b, rc == RC_OK ? RC_INVALID_RECORD : rc, code, -1, message);
}

static void settle(struct producer_batch *b, enum rc rc, int16_t code, int64_t base_offset, struct bytes message)
{
    struct producer_partition *pp = b->partition;
    ASSERT(b->in_flight && pp->in_flight > 0);
    b->in_flight = false;
    pp->in_flight--;
    if (rc == RC_OK && (code == 0 || code == KERR_DUPLICATE_SEQUENCE))
        deliver(b, RC_OK, 0, code ? -1 : base_offset, message);
    else
        settle_failed(b, rc, code, message);
    if (pp->in_flight == 0 && pp->recovering)
        recovered(pp);
    leave_ready(pp);
    producer_partition_ready(pp);
}

static const struct produce_response_partition_response *find_answer(const struct produce_response *answer,
                                                                     const struct producer_batch *b)
{
    struct bytes name = bytes_str(b->partition->topic->topic->name);
    for (uint32_t i = 0; i < answer->responses_count; i++) {
        const struct produce_response_response *t = &answer->responses[i];
        for (uint32_t k = 0; bytes_eq(t->name, name) && k < t->partition_responses_count; k++)
            if (t->partition_responses[k].index == b->partition->index)
                return &t->partition_responses[k];
    }
    return NULL;
}

static void on_answer(struct client_request *request, enum rc rc, struct bytes body)
{
    struct producer_request *r = container_of(request, struct producer_request, request);
    struct produce_response answer;
    _Alignas(16) uint8_t scratch[8192];
    struct arena a;
    arena_init(&a, 1 << 20, scratch, sizeof(scratch));
    if (rc == RC_OK && !request->no_answer) {
        struct dec d = dec_of(body);
        rc = produce_response_decode(&d, request->version, &a, &answer);
    }
    uint32_t count = r->count;
    r->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct produce_response_partition_response *p = NULL;
        if (rc == RC_OK && !request->no_answer)
            p = find_answer(&answer, r->batches[i]);
        if (p)
            settle(r->batches[i], RC_OK, p->error_code, p->base_offset, p->error_message);
        else
            settle(r->batches[i], rc == RC_OK && !request->no_answer ? RC_MALFORMED : rc, 0, -1, bytes_of(NULL, 0));
    }
    arena_deinit(&a);
    producer_drain_later(r->producer);
}

// ------------------------------------------------------------------------------------------------ sending

// A request that is not under way; NULL when the broker has its fill or memory is short.
static struct producer_request *request_for(struct producer *p, int32_t node_id)
{
    struct producer_request *idle = NULL;
    uint32_t busy = 0;
    for (struct producer_request *r = p->requests; r; r = r->next) {
        if (r->count == 0)
            idle = r;
        else
            busy += r->node_id == node_id;
    }
    if (busy >= p->config.requests_in_flight)
        return NULL;
    if (!idle) {
        idle = calloc(1, sizeof(*idle));
        if (!idle)
            return NULL;
        idle->producer = p;
        client_request_init(&idle->request, &produce_request_message, p->client->config.timeout_ms + 1000);
        idle->next = p->requests;
        p->requests = idle;
    }
    idle->node_id = node_id;
    return idle;
}

static void add_batch(struct producer_request *r, struct producer_batch *b)
{
    uint32_t at = r->count++;
    // Batches of one topic stand together.
    while (at > 0 && r->batches[at - 1]->partition->topic > b->partition->topic) {
        r->batches[at] = r->batches[at - 1];
        at--;
    }
    r->batches[at] = b;
    b->in_flight = b->attempted = true;
    b->partition->in_flight++;
}

static void submit(struct producer *p, struct producer_request *r, struct client_connection *at)
{
    uint32_t topics = 0;
    produce_request_init(&r->in);
    r->in.acks = p->config.acks;
    r->in.timeout_ms = (int32_t)p->client->config.timeout_ms;
    r->in.topic_data = r->topics;
    for (uint32_t i = 0; i < r->count; i++) {
        struct producer_partition *pp = r->batches[i]->partition;
        if (i == 0 || pp->topic != r->batches[i - 1]->partition->topic)
            r->topics[topics++] = (struct produce_request_topic_data){.name = bytes_str(pp->topic->topic->name),
                                                                      .partition_data = &r->partitions[i]};
        r->partitions[i] = (struct produce_request_partition_data){
            .index = pp->index,
            .records = {.bytes = {.p = NULL, .n = r->batches[i]->bytes.n}, .hole = r->batches[i]->bytes.p}};
        r->topics[topics - 1].partition_data_count++;
    }
    r->in.topic_data_count = topics;
    r->request.in = &r->in;
    r->request.holes = r->holes;
    r->request.holes_max = PRODUCER_REQUEST_BATCHES_MAX;
    r->request.no_answer = p->config.acks == 0;
    r->request.done = on_answer;
    client_connection_submit(at, &r->request);
}

// The next ready partition of this broker from *n on, *n moved past it.
static struct producer_partition *next_ready(struct producer *p, int32_t node_id, struct list_node **n)
{
    while (*n) {
        struct producer_partition *pp = list_entry(*n, struct producer_partition, ready_link);
        *n = list_next(&p->ready, *n);
        const struct client_topic *t = pp->topic->topic;
        if (pp->retry_ns <= now_ns(p) && pp->index < t->partition_count &&
            t->partitions[pp->index].leader_id == node_id)
            return pp;
    }
    return NULL;
}

// Fills and sends one request; false when there is nothing for this broker or it has its fill.
static bool send_one(struct producer *p, struct client_node *node)
{
    struct list_node *n = list_first(&p->ready);
    struct producer_partition *pp = next_ready(p, node->id, &n);
    struct producer_request *r = pp ? request_for(p, node->id) : NULL;
    size_t bytes = 0;
    if (!r)
        return false;
    for (; pp && r->count < PRODUCER_REQUEST_BATCHES_MAX; pp = next_ready(p, node->id, &n)) {
        struct producer_batch *b = first_unsent(pp);
        ASSERT(b);
        if (r->count > 0 && bytes + b->bytes.n > p->config.request_bytes)
            break;
        bytes += b->bytes.n;
        add_batch(r, b);
        leave_ready(pp);
    }
    submit(p, r, &node->connection);
    return true;
}

// Gives up batches of partitions that nobody leads, and asks for newer metadata about them.
static void look_for_leaders(struct producer *p)
{
    for (struct list_node *n = list_first(&p->ready), *next; n; n = next) {
        next = list_next(&p->ready, n);
        struct producer_partition *pp = list_entry(n, struct producer_partition, ready_link);
        const struct client_topic *t = pp->topic->topic;
        struct producer_batch *b = first_unsent(pp);
        if (pp->index < t->partition_count && client_connection_of(p->client, t->partitions[pp->index].leader_id))
            continue;
        client_refresh(p->client);
        pp->retry_ns = now_ns(p) + PRODUCER_RETRY_MS * UINT64_C(1000000);
        if (b && now_ns(p) >= b->deadline_ns) {
            if (p->config.idempotent && pp->in_flight == 0)
                pp->lost_sequence = sequence_of(b);
            deliver(b, RC_LEADER_NOT_AVAILABLE, 0, -1, bytes_of(NULL, 0));
            if (pp->in_flight == 0)
                recovered(pp);
            leave_ready(pp);
        }
    }
}

static void on_drain(struct shard_task *t)
{
    struct producer *p = container_of(t, struct producer, drain);
    for (struct list_node *n = list_first(&p->ready); n && p->stopped; n = list_first(&p->ready)) {
        struct producer_partition *pp = list_entry(n, struct producer_partition, ready_link);
        fail_everything(pp, RC_CANCELLED);
        leave_ready(pp);
    }
    look_for_leaders(p);
    for (struct client_node *n = p->client->nodes; n; n = n->next)
        while (n->id >= 0 && !n->gone && send_one(p, n))
            ;
    producer_timer_set(p);
}

void producer_requests_deinit(struct producer *p)
{
    for (struct producer_request *r = p->requests, *next; r; r = next) {
        next = r->next;
        client_request_deinit(&r->request);
        free(r);
    }
    p->requests = NULL;
}
