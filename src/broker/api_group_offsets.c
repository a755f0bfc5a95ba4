// SPDX-License-Identifier: Apache-2.0
//
// Committed offsets: OffsetCommit, OffsetFetch, OffsetDelete. A fetch may name many groups (KIP-709), each of which has
// its own coordinator; before version 8 it names one, and its answer has another shape.
#include "broker/api.h"
#include "broker/api_groups.h"
#include "model/kerr.h"
#include "wire/messages.h"

enum { GROUPS_VERSION = 8, TOP_LEVEL_ERROR_VERSION = 2 };

void api_offset_commit_begin(struct request *rq, const void *message)
{
    const struct offset_commit_request *in = message;
    api_group_one(rq, GROUP_COMMIT, in->group_id, in);
}

void api_offset_delete_begin(struct request *rq, const void *message)
{
    const struct offset_delete_request *in = message;
    api_group_one(rq, GROUP_OFFSET_DELETE, in->group_id, in);
}

// ------------------------------------------------------------------------------------------------ fetch, one group

// The question in the shape that many groups are asked in.
static bool fetch_lift(struct request *rq, const struct offset_fetch_request *in, struct offset_fetch_request_group *out)
{
    offset_fetch_request_group_init(out);
    out->group_id = in->group_id;
    out->topics_count = in->topics_count;
    out->topics = NULL; // all of them, unless:
    if (!in->topics)
        return true;
    api_answer_reserve(rq, (size_t)in->topics_count * sizeof(*out->topics));
    out->topics = arena_array(&rq->arena, in->topics_count, sizeof(*out->topics));
    for (uint32_t i = 0; out->topics && i < in->topics_count; i++)
        out->topics[i] =
            (struct offset_fetch_request_group_topic){.name = in->topics[i].name,
                                                      .partition_indexes = in->topics[i].partition_indexes,
                                                      .partition_indexes_count = in->topics[i].partition_indexes_count};
    return out->topics != NULL;
}

static bool fetch_lower_topic(struct request *rq, const struct offset_fetch_response_group_topic *from,
                              struct offset_fetch_response_topic *to)
{
    offset_fetch_response_topic_init(to);
    to->name = from->name;
    to->partitions_count = from->partitions_count;
    to->partitions = arena_array(&rq->arena, from->partitions_count, sizeof(*to->partitions));
    for (uint32_t i = 0; to->partitions && i < from->partitions_count; i++) {
        const struct offset_fetch_response_group_topic_partition *p = &from->partitions[i];
        to->partitions[i] = (struct offset_fetch_response_partition){.partition_index = p->partition_index,
                                                                     .committed_offset = p->committed_offset,
                                                                     .committed_leader_epoch = p->committed_leader_epoch,
                                                                     .metadata = p->metadata,
                                                                     .error_code = p->error_code};
    }
    return to->partitions != NULL;
}

// Before version 2 there is no error of the whole: it stands at every partition asked for.
static bool fetch_spread_error(struct request *rq, const struct offset_fetch_request *in, int16_t error,
                               struct offset_fetch_response *out)
{
    for (uint32_t i = 0; i < in->topics_count; i++) {
        struct offset_fetch_response_topic *t = &out->topics[i];
        uint32_t count = in->topics[i].partition_indexes_count;
        offset_fetch_response_topic_init(t);
        t->name = in->topics[i].name;
        t->partitions = arena_array(&rq->arena, count, sizeof(*t->partitions));
        if (!t->partitions)
            return false;
        for (uint32_t j = 0; j < count; j++)
            t->partitions[t->partitions_count++] =
                (struct offset_fetch_response_partition){.partition_index = in->topics[i].partition_indexes[j],
                                                         .committed_offset = OFFSET_NONE,
                                                         .committed_leader_epoch = LEADER_EPOCH_NONE,
                                                         .metadata = bytes_str(""),
                                                         .error_code = error};
    }
    out->topics_count = in->topics_count;
    return true;
}

static size_t fetch_answer_bytes(const struct offset_fetch_request *in, const struct offset_fetch_response_group *g)
{
    size_t topics = (size_t)in->topics_count + g->topics_count, partitions = 0;
    for (uint32_t i = 0; i < g->topics_count; i++)
        partitions += g->topics[i].partitions_count;
    for (uint32_t i = 0; i < in->topics_count; i++)
        partitions += in->topics[i].partition_indexes_count;
    return topics * (sizeof(struct offset_fetch_response_topic) + 32) +
           partitions * sizeof(struct offset_fetch_response_partition);
}

static bool fetch_lower(struct group_op *op, const struct offset_fetch_response_group *g,
                        struct offset_fetch_response *out)
{
    struct request *rq = op->rq;
    const struct offset_fetch_request *in = op->in;
    offset_fetch_response_init(out);
    api_answer_reserve(rq, fetch_answer_bytes(in, g));
    bool spread = g->error_code != 0 && rq->version < TOP_LEVEL_ERROR_VERSION;
    out->error_code = g->error_code;
    out->topics = arena_array(&rq->arena, spread ? in->topics_count : g->topics_count, sizeof(*out->topics));
    if (!out->topics)
        return false;
    if (spread)
        return fetch_spread_error(rq, in, g->error_code, out);
    for (uint32_t i = 0; i < g->topics_count; i++)
        if (!fetch_lower_topic(rq, &g->topics[i], &out->topics[out->topics_count++]))
            return false;
    return true;
}

static void fetch_answer_one(struct group_op *op)
{
    const struct offset_fetch_response_group *g = op->calls[0].group.response;
    struct offset_fetch_response out;
    if (g && fetch_lower(op, g, &out))
        group_op_answer(op, &out);
    else
        api_fail_memory(op->rq);
}

// ------------------------------------------------------------------------------------------------ fetch, many groups

static void fetch_answer_many(struct group_op *op)
{
    struct offset_fetch_response out;
    offset_fetch_response_init(&out);
    out.groups = group_op_gather(op, sizeof(*out.groups));
    out.groups_count = op->count;
    if (out.groups)
        group_op_answer(op, &out);
}

void api_offset_fetch_begin(struct request *rq, const void *message)
{
    const struct offset_fetch_request *in = message;
    bool many = rq->version >= GROUPS_VERSION;
    uint32_t count = many ? in->groups_count : 1;
    struct group_op *op = group_op_begin(rq, in, count, many ? fetch_answer_many : fetch_answer_one);
    if (!op)
        return;
    api_answer_reserve(rq, (size_t)count * sizeof(struct group_fetch_request) + sizeof(struct offset_fetch_request_group));
    struct group_fetch_request *asks = arena_array(&rq->arena, count, sizeof(*asks));
    struct offset_fetch_request_group *lifted = many ? in->groups : request_alloc(rq, sizeof(*lifted));
    if (!asks || (!many && (!lifted || !fetch_lift(rq, in, lifted)))) {
        api_fail_memory(rq);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        asks[i] = (struct group_fetch_request){.group = &lifted[i], .require_stable = in->require_stable};
        group_op_add(op, GROUP_FETCH, lifted[i].group_id, &asks[i]);
    }
    group_op_start(op);
}
