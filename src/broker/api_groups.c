// SPDX-License-Identifier: Apache-2.0
//
// Groups as administrators see them: ListGroups over every coordinator of this node, DescribeGroups,
// ConsumerGroupDescribe, DeleteGroups.
#include "broker/api.h"
#include "broker/api_groups.h"
#include "model/kerr.h"
#include "wire/messages.h"

// ------------------------------------------------------------------------------------------------ list

static size_t list_count(const struct group_op *op)
{
    size_t n = 0;
    for (uint32_t i = 0; i < op->count; i++) {
        const struct group_list *l = op->calls[i].rc == RC_OK ? op->calls[i].group.response : NULL;
        n += l ? l->count : 0;
    }
    return n;
}

// What lists of partitions come to: an error of any is the answer, as in Kafka, but for those that moved away or never
// had a group.
static enum rc list_judge(const struct group_op *op)
{
    for (uint32_t i = 0; i < op->count; i++) {
        enum rc rc = op->calls[i].rc;
        if (rc == RC_OK && !op->calls[i].group.response)
            return RC_NOMEM;
        if (rc != RC_OK && rc != RC_NOT_FOUND && rc != RC_NOT_COORDINATOR)
            return rc;
    }
    return RC_OK;
}

static void list_answer(struct group_op *op)
{
    struct request *rq = op->rq;
    struct list_groups_response out;
    list_groups_response_init(&out);
    enum rc rc = list_judge(op);
    size_t count = rc == RC_OK ? list_count(op) : 0;
    api_answer_reserve(rq, count * sizeof(*out.groups) + 64);
    out.groups = arena_array(&rq->arena, count, sizeof(*out.groups));
    if (rc == RC_NOMEM || !out.groups) {
        api_fail_memory(rq);
        return;
    }
    out.error_code = kerr_of(rc);
    for (uint32_t i = 0; rc == RC_OK && i < op->count; i++) {
        const struct group_list *l = op->calls[i].rc == RC_OK ? op->calls[i].group.response : NULL;
        if (l && l->count > 0)
            memcpy(&out.groups[out.groups_count], l->groups, l->count * sizeof(*out.groups));
        out.groups_count += l ? l->count : 0;
    }
    group_op_answer(op, &out);
}

void api_list_groups_begin(struct request *rq, const void *message)
{
    const struct engine_shard *es = rq->bs->engine;
    const struct image_topic *t = image_topic_by_name(engine_image(es), COORDINATOR_TOPIC);
    uint32_t count = 0;
    for (int32_t i = 0; t && i < t->partition_count; i++)
        count += image_partition(t, i)->leader == es->engine->config.node_id;
    struct group_op *op = group_op_begin(rq, message, count, list_answer);
    if (!op)
        return;
    for (int32_t i = 0; t && i < t->partition_count; i++)
        if (image_partition(t, i)->leader == es->engine->config.node_id)
            group_op_add_partition(op, GROUP_LIST, (struct topic_partition){.topic_id = t->id, .partition = i}, message);
    group_op_start(op);
}

// ------------------------------------------------------------------------------------------------ describe

// What the client may do with each group that was found: everything. Both fields are the first group's, the next one's are
// `bytes` further on.
static void operations_tell(const int16_t *error_code, int32_t *operations, size_t bytes, uint32_t count)
{
    for (size_t i = 0; i < count; i++)
        if (*(const int16_t *)(const void *)((const uint8_t *)error_code + i * bytes) == 0)
            *(int32_t *)(void *)((uint8_t *)operations + i * bytes) = GROUP_OPERATIONS;
}

static void describe_answer(struct group_op *op)
{
    const struct describe_groups_request *in = op->in;
    struct describe_groups_response out;
    describe_groups_response_init(&out);
    out.groups = group_op_gather(op, sizeof(*out.groups));
    out.groups_count = op->count;
    if (!out.groups)
        return;
    if (in->include_authorized_operations)
        operations_tell(&out.groups->error_code, &out.groups->authorized_operations, sizeof(*out.groups), op->count);
    group_op_answer(op, &out);
}

void api_describe_groups_begin(struct request *rq, const void *message)
{
    const struct describe_groups_request *in = message;
    struct group_op *op = group_op_begin(rq, in, in->groups_count, describe_answer);
    if (!op)
        return;
    for (uint32_t i = 0; i < in->groups_count; i++)
        group_op_add(op, GROUP_DESCRIBE, in->groups[i], NULL)->group.include_events = in->include_events;
    group_op_start(op);
}

static void consumer_describe_answer(struct group_op *op)
{
    const struct consumer_group_describe_request *in = op->in;
    struct consumer_group_describe_response out;
    consumer_group_describe_response_init(&out);
    out.groups = group_op_gather(op, sizeof(*out.groups));
    out.groups_count = op->count;
    if (!out.groups)
        return;
    if (in->include_authorized_operations)
        operations_tell(&out.groups->error_code, &out.groups->authorized_operations, sizeof(*out.groups), op->count);
    group_op_answer(op, &out);
}

void api_consumer_group_describe_begin(struct request *rq, const void *message)
{
    const struct consumer_group_describe_request *in = message;
    struct group_op *op = group_op_begin(rq, in, in->group_ids_count, consumer_describe_answer);
    if (!op)
        return;
    for (uint32_t i = 0; i < in->group_ids_count; i++)
        group_op_add(op, GROUP_CONSUMER_DESCRIBE, in->group_ids[i], NULL)->group.include_events = in->include_events;
    group_op_start(op);
}

// ------------------------------------------------------------------------------------------------ delete

static void delete_answer(struct group_op *op)
{
    struct delete_groups_response out;
    delete_groups_response_init(&out);
    out.results = group_op_gather(op, sizeof(*out.results));
    out.results_count = op->count;
    if (!out.results)
        return;
    group_op_answer(op, &out);
}

void api_delete_groups_begin(struct request *rq, const void *message)
{
    const struct delete_groups_request *in = message;
    struct group_op *op = group_op_begin(rq, in, in->groups_names_count, delete_answer);
    if (!op)
        return;
    for (uint32_t i = 0; i < in->groups_names_count; i++)
        group_op_add(op, GROUP_DELETE, in->groups_names[i], NULL);
    group_op_start(op);
}
