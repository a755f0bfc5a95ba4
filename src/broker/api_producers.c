// SPDX-License-Identifier: Apache-2.0
//
// InitProducerId for idempotent producers, and DescribeProducers (KIP-664): who wrote to a partition lately.
#include <stdlib.h>

#include "broker/api.h"
#include "broker/partition_ask.h"
#include "broker/producer_ids.h"
#include "model/kerr.h"
#include "wire/messages.h"

enum { PRODUCER_EPOCH_NONE = -1 };

// ------------------------------------------------------------------------------------------------ InitProducerId

struct init_producer_id_op {
    struct producer_ids_waiter waiter;
    struct request *rq;
};

static void init_producer_id_answer(struct request *rq, enum rc rc, int64_t producer_id)
{
    struct init_producer_id_response out;
    init_producer_id_response_init(&out);
    out.error_code = kerr_of(rc);
    out.producer_id = rc == RC_OK ? producer_id : PRODUCER_ID_NONE;
    out.producer_epoch = rc == RC_OK ? 0 : PRODUCER_EPOCH_NONE;
    request_answer(rq, &out);
}

static void init_producer_id_done(struct producer_ids_waiter *w, enum rc rc)
{
    struct init_producer_id_op *op = container_of(w, struct init_producer_id_op, waiter);
    // Whatever kept the controller from giving a block passes: this is the code on which clients ask again.
    init_producer_id_answer(op->rq, rc == RC_OK ? RC_OK : RC_COORDINATOR_LOAD_IN_PROGRESS, w->producer_id);
}

void api_init_producer_id_begin(struct request *rq, const void *message)
{
    const struct init_producer_id_request *in = message;
    bool has_id = in->producer_id != PRODUCER_ID_NONE, has_epoch = in->producer_epoch != PRODUCER_EPOCH_NONE;
    if (has_id != has_epoch || (in->transactional_id.p && in->transactional_id.n == 0)) {
        init_producer_id_answer(rq, RC_INVALID_REQUEST, PRODUCER_ID_NONE);
        return;
    }
    if (in->transactional_id.p) { // transactions have no coordinator yet
        init_producer_id_answer(rq, RC_COORDINATOR_NOT_AVAILABLE, PRODUCER_ID_NONE);
        return;
    }
    struct init_producer_id_op *op = request_alloc(rq, sizeof(*op));
    if (!op) {
        api_fail_memory(rq);
        return;
    }
    op->rq = rq;
    op->waiter.done = init_producer_id_done;
    producer_ids_take(&rq->bs->producer_ids, &op->waiter);
}

// ------------------------------------------------------------------------------------------------ DescribeProducers

struct describe_producers_op {
    struct partition_ask ask;
    const struct describe_producers_request *in;
};

static bool describe_producers_fill(struct request *rq, const struct partition_query *q,
                                    struct describe_producers_response_partition *out)
{
    out->error_code = kerr_of(q->rc);
    if (q->rc != RC_OK) {
        out->error_message = bytes_str(rc_text(q->rc));
        return true;
    }
    uint32_t count = q->producers.count;
    api_answer_reserve(rq, (count + 1) * sizeof(*out->active_producers));
    out->active_producers = arena_array(&rq->arena, count, sizeof(*out->active_producers));
    for (uint32_t i = 0; out->active_producers && i < count; i++) {
        const struct partition_producer *p = &q->producers.list[i];
        out->active_producers[out->active_producers_count++] = (struct describe_producers_response_active_producer){
            .producer_id = p->id,
            .producer_epoch = p->epoch,
            .last_sequence = p->last_sequence,
            .last_timestamp = p->last_timestamp,
            .coordinator_epoch = p->coordinator_epoch,
            .current_txn_start_offset = p->txn_first_offset,
        };
    }
    return out->active_producers;
}

static bool describe_producers_topic(struct request *rq, const struct describe_producers_request_topic *in,
                                     const struct partition_query *q, struct describe_producers_response_topic *out)
{
    describe_producers_response_topic_init(out);
    out->name = in->name;
    out->partitions = arena_array(&rq->arena, in->partition_indexes_count, sizeof(*out->partitions));
    for (uint32_t i = 0; out->partitions && i < in->partition_indexes_count; i++) {
        struct describe_producers_response_partition *p = &out->partitions[out->partitions_count++];
        describe_producers_response_partition_init(p);
        p->partition_index = in->partition_indexes[i];
        if (!describe_producers_fill(rq, &q[i], p))
            return false;
    }
    return out->partitions;
}

static void describe_producers_done(struct partition_ask *ask)
{
    struct describe_producers_op *op = container_of(ask, struct describe_producers_op, ask);
    struct request *rq = ask->rq;
    const struct describe_producers_request *in = op->in;
    struct describe_producers_response out;
    describe_producers_response_init(&out);
    out.topics = arena_array(&rq->arena, in->topics_count, sizeof(*out.topics));
    bool whole = out.topics;
    const struct partition_query *q = ask->queries;
    for (uint32_t i = 0; whole && i < in->topics_count; i++) {
        whole = describe_producers_topic(rq, &in->topics[i], q, &out.topics[out.topics_count++]);
        q += in->topics[i].partition_indexes_count;
    }
    for (uint32_t i = 0; i < ask->count; i++)
        free(ask->queries[i].producers.list);
    if (whole)
        request_answer(rq, &out);
    else
        api_fail_memory(rq);
}

void api_describe_producers_begin(struct request *rq, const void *message)
{
    const struct describe_producers_request *in = message;
    uint32_t count = 0;
    for (uint32_t i = 0; i < in->topics_count; i++)
        count += in->topics[i].partition_indexes_count;
    api_answer_reserve(rq, (size_t)count * (sizeof(struct partition_query) + 128) + 4096);
    struct describe_producers_op *op = request_alloc(rq, sizeof(*op));
    enum rc rc = op ? partition_ask_init(&op->ask, rq, PARTITION_PRODUCERS, count, describe_producers_done) : RC_NOMEM;
    if (rc == RC_OK)
        op->in = in;
    const struct image *image = engine_image(rq->bs->engine);
    for (uint32_t i = 0; rc == RC_OK && i < in->topics_count; i++)
        for (uint32_t j = 0; j < in->topics[i].partition_indexes_count; j++)
            partition_ask_add(&op->ask, image, in->topics[i].name, in->topics[i].partition_indexes[j],
                              LEADER_EPOCH_NONE);
    if (rc == RC_OK)
        rc = partition_ask_start(&op->ask);
    if (rc != RC_OK)
        api_fail_memory(rq);
}
