// SPDX-License-Identifier: Apache-2.0
//
// DeleteRecords: raises log starts. Answered when the new start is durable and every live replica has it, or with
// REQUEST_TIMED_OUT when the request's time is up before.
#include "broker/api.h"
#include "broker/partition_ask.h"
#include "model/kerr.h"
#include "wire/messages.h"

#define LOW_WATERMARK_NONE INT64_C(-1)

struct delete_records_op {
    struct partition_ask ask;
    const struct delete_records_request *in;
};

PARTITION_ASK_TOPIC_CHECK(struct delete_records_request_topic, partitions);
PARTITION_ASK_TOPIC_CHECK(struct delete_records_response_topic, partitions);

static bool delete_records_fill(struct request *rq, const struct partition_query *q, const void *asked, void *answer)
{
    (void)rq;
    const struct delete_records_request_partition *in = asked;
    struct delete_records_response_partition *out = answer;
    delete_records_response_partition_init(out);
    out->partition_index = in->partition_index;
    out->error_code = kerr_of(q->rc);
    out->low_watermark = q->rc == RC_OK ? q->start.offset : LOW_WATERMARK_NONE;
    return true;
}

static void delete_records_done(struct partition_ask *ask)
{
    const struct delete_records_request *in = container_of(ask, struct delete_records_op, ask)->in;
    struct delete_records_response out;
    delete_records_response_init(&out);
    out.topics = partition_ask_topics(ask, in->topics, in->topics_count, sizeof(*in->topics->partitions),
                                      sizeof(*out.topics->partitions), delete_records_fill);
    out.topics_count = in->topics_count;
    if (out.topics)
        request_answer(ask->rq, &out);
    else
        api_fail_memory(ask->rq);
}

void api_delete_records_begin(struct request *rq, const void *message)
{
    const struct delete_records_request *in = message;
    uint32_t count = partition_ask_count(in->topics, in->topics_count);
    api_answer_reserve(rq,
                       (size_t)count * (sizeof(struct partition_query) + sizeof(struct partition_start) + 96) + 4096);
    struct delete_records_op *op = request_alloc(rq, sizeof(*op));
    struct partition_start *starts = arena_array(&rq->arena, count, sizeof(*starts));
    enum rc rc =
        op && starts ? partition_ask_init(&op->ask, rq, PARTITION_RAISE_START, count, delete_records_done) : RC_NOMEM;
    if (rc == RC_OK)
        op->in = in;
    const struct image *image = engine_image(rq->bs->engine);
    for (uint32_t i = 0; rc == RC_OK && i < in->topics_count; i++) {
        for (uint32_t j = 0; j < in->topics[i].partitions_count; j++) {
            const struct delete_records_request_partition *p = &in->topics[i].partitions[j];
            struct partition_query *q =
                partition_ask_add(&op->ask, image, in->topics[i].name, p->partition_index, LEADER_EPOCH_NONE);
            q->start.offset = p->offset;
            q->start.timeout_ms = in->timeout_ms;
            q->start.memory = starts++;
            if (q->rc == RC_OK && topic_name_internal(in->topics[i].name))
                q->rc = RC_INVALID_TOPIC;
            else if (q->rc == RC_OK && p->offset < OFFSET_NONE)
                q->rc = RC_OFFSET_OUT_OF_RANGE;
        }
    }
    if (rc == RC_OK)
        rc = partition_ask_start(&op->ask);
    if (rc != RC_OK)
        api_fail_memory(rq);
}
