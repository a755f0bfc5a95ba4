// SPDX-License-Identifier: Apache-2.0
//
// Produce: every partition's batch goes to its owner, in the order of the request; the answer leaves when all are done.
// Versions 0 to 2 are advertised only because old librdkafka looks for them before it compresses (KAFKA-18659); they
// would need message formats that no longer exist and are answered UNSUPPORTED_VERSION for each partition.
#include <stdlib.h>

#include "broker/api.h"
#include "engine/partition.h"
#include "model/kerr.h"

struct produce_part {
    struct partition_append append;
    struct produce_op *op;
    struct produce_response_partition_response *out;
    int32_t leader; // as the image names it, for the hint
};

struct produce_op {
    struct request *rq;
    int16_t acks;
    int32_t timeout_ms;
    bool failed; // any partition
    uint32_t pending;
    uint32_t part_count;
    struct produce_part *parts;
    struct produce_response response;
};

// ------------------------------------------------------------------------------------------------ answer

static void produce_refusal(struct produce_part *part)
{
    struct partition_refusal *r = part->append.refusal;
    struct produce_response_partition_response *out = part->out;
    struct request *rq = part->op->rq;
    size_t n = strlen(r->text);
    char *text = arena_copy(&rq->arena, r->text, n);
    if (text && n > 0)
        out->error_message = bytes_of(text, n);
    out->record_errors = arena_array(&rq->arena, r->record_error_count, sizeof(*out->record_errors));
    for (uint32_t i = 0; out->record_errors && i < r->record_error_count; i++) {
        struct produce_response_record_error *e = &out->record_errors[out->record_errors_count++];
        produce_response_record_error_init(e);
        e->batch_index = r->record_errors[i].index;
        n = strlen(r->record_errors[i].text);
        text = arena_copy(&rq->arena, r->record_errors[i].text, n);
        if (text && n > 0)
            e->batch_index_error_message = bytes_of(text, n);
    }
    free(r);
    part->append.refusal = NULL;
}

// KIP-951: who leads instead, with its address.
static void produce_leader_hint(struct produce_part *part)
{
    if (part->append.rc != RC_NOT_LEADER_OR_FOLLOWER || part->op->rq->version < 10)
        return;
    part->out->current_leader.leader_id = part->leader;
    part->out->current_leader.leader_epoch = part->append.leader_epoch;
}

static void produce_part_fill(struct produce_part *part)
{
    struct produce_response_partition_response *out = part->out;
    const struct partition_append *a = &part->append;
    out->error_code = kerr_of(a->rc);
    out->log_start_offset = a->log_start_offset;
    if (a->rc == RC_OK) {
        out->base_offset = a->base_offset;
        out->log_append_time_ms = a->log_append_time_ms;
    } else {
        out->base_offset = OFFSET_NONE;
        part->op->failed = true;
        produce_leader_hint(part);
    }
    if (a->refusal)
        produce_refusal(part);
}

static void produce_finish(struct produce_op *op)
{
    for (uint32_t i = 0; i < op->part_count; i++)
        produce_part_fill(&op->parts[i]);
    if (op->acks == 0)
        request_answer_none(op->rq, op->failed);
    else
        request_answer(op->rq, &op->response);
}

static void produce_part_done(struct engine_call *c)
{
    struct produce_part *part = container_of(c, struct produce_part, append.call);
    if (--part->op->pending == 0)
        produce_finish(part->op);
}

// ------------------------------------------------------------------------------------------------ begin

// Says once a second why old clients fail, since they show only the code.
static void produce_say_old(struct request *rq)
{
    uint64_t dropped;
    char client[REQUEST_CLIENT_TEXT_BYTES];
    if (trace_limit_pass(&rq->bs->limit_request, rq->start_ns, &dropped))
        trace_warn(rq->bs->broker->trace,
                   "%s sent Produce version %d, whose message format no longer exists; it needs a client of 2017 or "
                   "later (Produce 3, record batches)",
                   request_client(rq, client), rq->version);
}

// What can be said of a partition before its batch is looked at; RC_OK: ask the owner.
static enum rc produce_judge(struct produce_op *op, const struct image_topic *t, struct bytes name, int32_t index,
                             int32_t *leader)
{
    struct request *rq = op->rq;
    struct engine *e = rq->bs->engine->engine;
    *leader = NODE_ID_NONE;
    if (rq->version < 3)
        return RC_UNSUPPORTED_VERSION;
    if (op->acks < -1 || op->acks > 1)
        return RC_INVALID_REQUIRED_ACKS;
    if (topic_name_internal(name))
        return RC_INVALID_TOPIC;
    const struct image_partition *p = t && index >= 0 ? image_partition(t, index) : NULL;
    if (!p)
        return RC_UNKNOWN_TOPIC_OR_PARTITION;
    *leader = p->leader;
    if (p->leader != e->config.node_id)
        return RC_NOT_LEADER_OR_FOLLOWER;
    return RC_OK;
}

static bool produce_alloc(struct produce_op *op, const struct produce_request *in)
{
    struct arena *a = &op->rq->arena;
    uint32_t count = 0;
    for (uint32_t i = 0; i < in->topic_data_count; i++)
        count += in->topic_data[i].partition_data_count;
    op->parts = arena_array(a, count, sizeof(*op->parts));
    op->response.responses = arena_array(a, in->topic_data_count, sizeof(*op->response.responses));
    bool ok = op->parts && op->response.responses;
    for (uint32_t i = 0; ok && i < in->topic_data_count; i++) {
        struct produce_response_response *topic = &op->response.responses[i];
        produce_response_response_init(topic);
        topic->name = in->topic_data[i].name;
        topic->partition_responses_count = in->topic_data[i].partition_data_count;
        topic->partition_responses = arena_array(a, topic->partition_responses_count,
                                                 sizeof(*topic->partition_responses));
        ok = topic->partition_responses != NULL;
    }
    op->response.responses_count = in->topic_data_count;
    return ok;
}

static void produce_part_begin(struct produce_op *op, struct produce_part *part, const struct image_topic *t,
                               struct bytes name, const struct produce_request_partition_data *data,
                               struct produce_response_partition_response *out)
{
    struct request *rq = op->rq;
    produce_response_partition_response_init(out);
    out->index = data->index;
    part->op = op;
    part->out = out;
    struct partition_append *a = &part->append;
    a->base_offset = a->log_start_offset = OFFSET_NONE;
    a->log_append_time_ms = TIMESTAMP_NONE;
    a->leader_epoch = LEADER_EPOCH_NONE;
    a->rc = produce_judge(op, t, name, data->index, &part->leader);
    if (a->rc != RC_OK)
        return;
    // The frame is ours until the answer; base offset, leader epoch and timestamps are patched where they lie.
    a->records = (uint8_t *)(uintptr_t)data->records.bytes.p;
    a->bytes = data->records.bytes.n;
    a->version = rq->version;
    a->all = op->acks == -1;
    a->timeout_ms = op->timeout_ms;
    a->id = (struct topic_partition){.topic_id = t->id, .partition = data->index};
    a->call.run = partition_append_run;
    a->call.done = produce_part_done;
    op->pending++;
    rq->bs->counters.produce_batches++;
    rq->bs->counters.produce_bytes += a->bytes;
    struct engine *e = rq->bs->engine->engine;
    engine_call_start(&a->call, rq->bs->engine, engine_shard_of(e, a->id));
}

void api_produce_begin(struct request *rq, const void *message)
{
    const struct produce_request *in = message;
    struct produce_op *op = request_alloc(rq, sizeof(*op));
    if (!op) {
        request_give_up(rq);
        return;
    }
    op->rq = rq;
    op->acks = in->acks;
    op->timeout_ms = in->timeout_ms;
    op->pending = 1; // this function, until every part has started
    rq->no_answer = in->acks == 0;
    produce_response_init(&op->response);
    if (!produce_alloc(op, in)) {
        request_give_up(rq);
        return;
    }
    if (rq->version < 3)
        produce_say_old(rq);
    const struct image *image = engine_image(rq->bs->engine);
    for (uint32_t i = 0; i < in->topic_data_count; i++) {
        const struct produce_request_topic_data *topic = &in->topic_data[i];
        const struct image_topic *t = image_topic_by_name(image, topic->name);
        for (uint32_t j = 0; j < topic->partition_data_count; j++)
            produce_part_begin(op, &op->parts[op->part_count++], t, topic->name, &topic->partition_data[j],
                               &op->response.responses[i].partition_responses[j]);
    }
    if (--op->pending == 0)
        produce_finish(op);
}
