// SPDX-License-Identifier: Apache-2.0
//
// AlterPartitionReassignments and ListPartitionReassignments (KIP-455): moves of replicas, set, replaced and cancelled by
// the controller; what is under way is read from the image, which holds all that was answered.
#include "broker/admin_op.h"
#include "broker/api.h"
#include "model/kerr.h"
#include "wire/messages.h"

// ------------------------------------------------------------------------------------------------ alter

// Clients look for the error in each partition, too.
static bool alter_fail(struct admin_op *op, enum rc rc)
{
    const struct alter_partition_reassignments_request *in = op->in;
    struct alter_partition_reassignments_response *out = op->answer;
    struct arena *a = &op->rq->arena;
    alter_partition_reassignments_response_init(out);
    out->allow_replication_factor_change = in->allow_replication_factor_change;
    out->error_code = kerr_of(rc);
    out->error_message = bytes_str(rc_text(rc));
    out->responses = arena_array(a, in->topics_count, sizeof(*out->responses));
    for (uint32_t i = 0; out->responses && i < in->topics_count; i++) {
        struct alter_partition_reassignments_response_response *r = &out->responses[out->responses_count++];
        uint32_t count = in->topics[i].partitions_count;
        alter_partition_reassignments_response_response_init(r);
        r->name = in->topics[i].name;
        r->partitions = arena_array(a, count, sizeof(*r->partitions));
        if (!r->partitions)
            return false;
        for (uint32_t k = 0; k < count; k++)
            r->partitions[r->partitions_count++] = (struct alter_partition_reassignments_response_partition){
                .partition_index = in->topics[i].partitions[k].partition_index,
                .error_code = kerr_of(rc),
                .error_message = out->error_message};
    }
    return out->responses;
}

void api_alter_partition_reassignments_begin(struct request *rq, const void *message)
{
    const struct alter_partition_reassignments_request *in = message;
    uint64_t partitions = 0;
    for (uint32_t i = 0; i < in->topics_count; i++)
        partitions += in->topics[i].partitions_count;
    admin_submit(rq, message,
                 &(struct admin_plan){.kind = CONTROLLER_REASSIGN,
                                      .timeout_ms = in->timeout_ms,
                                      .item_count = in->topics_count,
                                      .partition_count = partitions,
                                      .fail = alter_fail});
}

// ------------------------------------------------------------------------------------------------ list

// Lists of nodes are the image's own.
static bool list_topic(struct request *rq, const struct image_topic *t, const int32_t *partitions, uint32_t count,
                       struct list_partition_reassignments_response *out)
{
    struct list_partition_reassignments_response_topic *r = &out->topics[out->topics_count];
    uint32_t moving = 0;
    for (uint32_t i = 0; i < count; i++) {
        int32_t n = partitions ? partitions[i] : (int32_t)i;
        const struct image_partition *p = n >= 0 ? image_partition(t, n) : NULL;
        moving += p && image_is_moving(p);
    }
    if (moving == 0)
        return true;
    list_partition_reassignments_response_topic_init(r);
    r->name = image_topic_name(t);
    r->partitions = arena_array(&rq->arena, moving, sizeof(*r->partitions));
    for (uint32_t i = 0; r->partitions && i < count; i++) {
        int32_t n = partitions ? partitions[i] : (int32_t)i;
        const struct image_partition *p = n >= 0 ? image_partition(t, n) : NULL;
        if (!p || !image_is_moving(p))
            continue;
        r->partitions[r->partitions_count++] = (struct list_partition_reassignments_response_partition){
            .partition_index = n,
            .replicas = (int32_t *)(uintptr_t)image_replicas(p),
            .replicas_count = p->replica_count,
            .adding_replicas = (int32_t *)(uintptr_t)image_adding(p),
            .adding_replicas_count = p->adding_count,
            .removing_replicas = (int32_t *)(uintptr_t)image_removing(p),
            .removing_replicas_count = p->removing_count};
    }
    out->topics_count++;
    return r->partitions;
}

void api_list_partition_reassignments_begin(struct request *rq, const void *message)
{
    enum { BYTES_A_PARTITION = 64, BYTES_A_TOPIC = 64 };
    const struct list_partition_reassignments_request *in = message;
    const struct image *image = engine_image(rq->bs->engine);
    struct list_partition_reassignments_response out;
    list_partition_reassignments_response_init(&out);
    uint64_t topics = in->topics ? in->topics_count : image->topic_count, partitions = image->partition_count;
    if (in->topics)
        partitions = 0;
    for (uint32_t i = 0; i < in->topics_count; i++)
        partitions += in->topics[i].partition_indexes_count;
    api_answer_reserve(rq, topics * BYTES_A_TOPIC + partitions * BYTES_A_PARTITION);
    out.topics = arena_array(&rq->arena, topics, sizeof(*out.topics));
    bool fits = out.topics;
    for (uint32_t i = 0; fits && i < in->topics_count; i++) {
        const struct image_topic *t = image_topic_by_name(image, in->topics[i].name);
        fits = !t || list_topic(rq, t, in->topics[i].partition_indexes, in->topics[i].partition_indexes_count, &out);
    }
    const struct image_topic *t = in->topics ? NULL : image_topic_next(image, (struct bytes){0}, false);
    for (; fits && t; t = image_topic_next(image, image_topic_name(t), false))
        fits = list_topic(rq, t, NULL, (uint32_t)t->partition_count, &out);
    if (fits)
        request_answer(rq, &out);
    else
        api_fail_memory(rq);
}
