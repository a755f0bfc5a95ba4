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

PARTITION_ASK_TOPIC_CHECK(struct describe_producers_request_topic, partition_indexes);
PARTITION_ASK_TOPIC_CHECK(struct describe_producers_response_topic, partitions);

static bool describe_producers_fill(struct request *rq, const struct partition_query *q, const void *asked,
                                    void *answer)
{
    struct describe_producers_response_partition *out = answer;
    describe_producers_response_partition_init(out);
    out->partition_index = *(const int32_t *)asked;
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

static void describe_producers_done(struct partition_ask *ask)
{
    const struct describe_producers_request *in = container_of(ask, struct describe_producers_op, ask)->in;
    struct describe_producers_response out;
    describe_producers_response_init(&out);
    out.topics = partition_ask_topics(ask, in->topics, in->topics_count, sizeof(*in->topics->partition_indexes),
                                      sizeof(*out.topics->partitions), describe_producers_fill);
    out.topics_count = in->topics_count;
    for (uint32_t i = 0; i < ask->count; i++)
        free(ask->queries[i].producers.list);
    if (out.topics)
        request_answer(ask->rq, &out);
    else
        api_fail_memory(ask->rq);
}

void api_describe_producers_begin(struct request *rq, const void *message)
{
    const struct describe_producers_request *in = message;
    uint32_t count = partition_ask_count(in->topics, in->topics_count);
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
