// SPDX-License-Identifier: Apache-2.0
//
// CreateTopics, DeleteTopics, CreatePartitions: decided by the controller (meta/controller.h), answered here. What
// fails as a whole (no controller, out of time) is said for each topic, as clients expect.
#include "broker/admin_op.h"
#include "broker/api.h"
#include "model/kerr.h"
#include "wire/messages.h"

enum { DELETE_DISABLED_VERSION = 3, DELETE_BY_ID_VERSION = 6 };

// ------------------------------------------------------------------------------------------------ create

static bool create_topics_fail(struct admin_op *op, enum rc rc)
{
    const struct create_topics_request *in = op->in;
    struct create_topics_response *out = op->answer;
    create_topics_response_init(out);
    out->topics = arena_array(&op->rq->arena, in->topics_count, sizeof(*out->topics));
    for (uint32_t i = 0; out->topics && i < in->topics_count; i++) {
        struct create_topics_response_topic *t = &out->topics[out->topics_count++];
        create_topics_response_topic_init(t);
        t->name = in->topics[i].name;
        t->error_code = kerr_of(rc);
        t->error_message = bytes_str(rc_text(rc));
    }
    return out->topics;
}

void api_create_topics_begin(struct request *rq, const void *message)
{
    const struct create_topics_request *in = message;
    uint64_t partitions = 0;
    for (uint32_t i = 0; i < in->topics_count; i++) {
        int32_t asked = in->topics[i].num_partitions;
        partitions += in->topics[i].assignments_count + (asked > 0 ? (uint64_t)asked : ADMIN_PARTITIONS_BY_DEFAULT);
    }
    admin_submit(rq, message,
                 &(struct admin_plan){.kind = CONTROLLER_CREATE_TOPICS,
                                      .timeout_ms = in->timeout_ms,
                                      .item_count = in->topics_count,
                                      .partition_count = partitions,
                                      .fail = create_topics_fail});
}

// ------------------------------------------------------------------------------------------------ delete

static bool delete_topics_fail(struct admin_op *op, enum rc rc)
{
    const struct delete_topics_request *in = op->in;
    struct delete_topics_response *out = op->answer;
    delete_topics_response_init(out);
    bool by_id = op->rq->version >= DELETE_BY_ID_VERSION;
    uint32_t count = by_id ? in->topics_count : in->topic_names_count;
    out->responses = arena_array(&op->rq->arena, count, sizeof(*out->responses));
    for (uint32_t i = 0; out->responses && i < count; i++) {
        struct delete_topics_response_response *r = &out->responses[out->responses_count++];
        delete_topics_response_response_init(r);
        r->name = by_id ? in->topics[i].name : in->topic_names[i];
        if (by_id)
            r->topic_id = in->topics[i].topic_id;
        r->error_code = kerr_of(rc);
        r->error_message = bytes_str(rc_text(rc));
    }
    return out->responses;
}

// Clients before version 3 do not know that deletion may be switched off.
static void delete_topics_adapt(struct admin_op *op)
{
    struct delete_topics_response *out = op->answer;
    if (op->rq->version >= DELETE_DISABLED_VERSION)
        return;
    for (uint32_t i = 0; i < out->responses_count; i++)
        if (out->responses[i].error_code == kerr_of(RC_TOPIC_DELETION_DISABLED))
            out->responses[i].error_code = kerr_of(RC_INVALID_REQUEST);
}

void api_delete_topics_begin(struct request *rq, const void *message)
{
    const struct delete_topics_request *in = message;
    admin_submit(rq, message,
                 &(struct admin_plan){.kind = CONTROLLER_DELETE_TOPICS,
                                      .timeout_ms = in->timeout_ms,
                                      .item_count = in->topics_count + in->topic_names_count,
                                      .fail = delete_topics_fail,
                                      .adapt = delete_topics_adapt});
}

// ------------------------------------------------------------------------------------------------ grow

static bool create_partitions_fail(struct admin_op *op, enum rc rc)
{
    const struct create_partitions_request *in = op->in;
    struct create_partitions_response *out = op->answer;
    create_partitions_response_init(out);
    out->results = arena_array(&op->rq->arena, in->topics_count, sizeof(*out->results));
    for (uint32_t i = 0; out->results && i < in->topics_count; i++) {
        struct create_partitions_response_result *r = &out->results[out->results_count++];
        create_partitions_response_result_init(r);
        r->name = in->topics[i].name;
        r->error_code = kerr_of(rc);
        r->error_message = bytes_str(rc_text(rc));
    }
    return out->results;
}

void api_create_partitions_begin(struct request *rq, const void *message)
{
    const struct create_partitions_request *in = message;
    uint64_t partitions = 0;
    for (uint32_t i = 0; i < in->topics_count; i++)
        partitions += in->topics[i].count > 0 ? (uint64_t)in->topics[i].count : 0;
    admin_submit(rq, message,
                 &(struct admin_plan){.kind = CONTROLLER_CREATE_PARTITIONS,
                                      .timeout_ms = in->timeout_ms,
                                      .item_count = in->topics_count,
                                      .partition_count = partitions,
                                      .fail = create_partitions_fail});
}
