// SPDX-License-Identifier: Apache-2.0
//
// DescribeLogDirs: what lies in each log folder of this node, and how full its disk is.
#include "broker/api.h"
#include "broker/partition_ask.h"
#include "model/kerr.h"
#include "wire/messages.h"

// Queries [first, first + count) are of one topic.
struct log_dirs_topic {
    struct bytes name; // in the arena: the answer may come after the image has moved on
    uint32_t first, count;
};

struct log_dirs_op {
    struct partition_ask ask;
    struct log_dirs_topic *topics;
    uint32_t topic_count;
};

// ------------------------------------------------------------------------------------------------ the answer

// How many entries of q folder dir has: its log, or its future one.
static uint32_t log_dirs_in(const struct partition_query *q, uint32_t dir)
{
    return q->rc == RC_OK ? (uint32_t)(q->size.log_dir == dir) + (q->size.future_dir == dir) : 0;
}

static void log_dirs_put(const struct partition_query *q, uint32_t dir, struct describe_log_dirs_response_topic *out)
{
    if (q->rc == RC_OK && q->size.log_dir == dir)
        out->partitions[out->partitions_count++] = (struct describe_log_dirs_response_partition){
            .partition_index = q->id.partition, .partition_size = (int64_t)q->size.bytes};
    if (q->rc == RC_OK && q->size.future_dir == dir)
        out->partitions[out->partitions_count++] =
            (struct describe_log_dirs_response_partition){.partition_index = q->id.partition,
                                                          .partition_size = (int64_t)q->size.future_bytes,
                                                          .offset_lag = q->size.future_lag,
                                                          .is_future_key = true};
}

static bool log_dirs_fill_topic(struct log_dirs_op *op, const struct log_dirs_topic *t, uint32_t dir,
                                struct describe_log_dirs_response_topic *out)
{
    const struct partition_query *queries = op->ask.queries + t->first;
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->count; i++)
        n += log_dirs_in(&queries[i], dir);
    describe_log_dirs_response_topic_init(out);
    out->name = t->name;
    out->partitions = arena_array(&op->ask.rq->arena, n, sizeof(*out->partitions));
    for (uint32_t i = 0; out->partitions && i < t->count; i++)
        log_dirs_put(&queries[i], dir, out);
    return out->partitions;
}

static bool log_dirs_fill(struct log_dirs_op *op, uint32_t dir, struct describe_log_dirs_response_result *out)
{
    struct request *rq = op->ask.rq;
    const struct log_dir *d = rq->bs->engine->engine->config.log_dirs[dir];
    describe_log_dirs_response_result_init(out);
    out->log_dir = bytes_str(d->path);
    struct io_space space;
    bool offline = log_dir_is_offline(d);
    if (!offline && io_space(rq->bs->shard->io, d->path, &space) == RC_OK) {
        out->total_bytes = (int64_t)space.total_bytes;
        out->usable_bytes = (int64_t)space.available_bytes;
    }
    if (offline) {
        out->error_code = kerr_of(RC_STORAGE_ERROR);
        return true;
    }
    out->topics = arena_array(&rq->arena, op->topic_count, sizeof(*out->topics));
    for (uint32_t i = 0; out->topics && i < op->topic_count; i++) {
        if (!log_dirs_fill_topic(op, &op->topics[i], dir, &out->topics[out->topics_count]))
            return false;
        out->topics_count += out->topics[out->topics_count].partitions_count > 0;
    }
    return out->topics;
}

static void log_dirs_done(struct partition_ask *ask)
{
    struct log_dirs_op *op = container_of(ask, struct log_dirs_op, ask);
    struct request *rq = ask->rq;
    const struct engine_config *config = &rq->bs->engine->engine->config;
    api_answer_reserve(rq, (size_t)(op->topic_count + 1) * config->log_dir_count *
                                   (sizeof(struct describe_log_dirs_response_topic) + 16) +
                               (size_t)ask->count * 2 * sizeof(struct describe_log_dirs_response_partition) + 4096);
    struct describe_log_dirs_response out;
    describe_log_dirs_response_init(&out);
    out.results = arena_array(&rq->arena, config->log_dir_count, sizeof(*out.results));
    bool whole = out.results;
    for (uint32_t i = 0; whole && i < config->log_dir_count; i++)
        whole = log_dirs_fill(op, i, &out.results[out.results_count++]);
    if (whole)
        request_answer(rq, &out);
    else
        api_fail_memory(rq);
}

// ------------------------------------------------------------------------------------------------ the question

static bool log_dirs_add_partition(struct log_dirs_op *op, const struct image_topic *t, int32_t index)
{
    const struct image_partition *p = image_partition(t, index);
    if (!p || !image_has_replica(p, op->ask.rq->bs->engine->engine->config.node_id))
        return false;
    op->ask.queries[op->ask.count++] = (struct partition_query){.id = {.topic_id = t->id, .partition = index},
                                                                .current_leader_epoch = LEADER_EPOCH_NONE};
    return true;
}

// indexes NULL: all of the topic's.
static enum rc log_dirs_add(struct log_dirs_op *op, const struct image_topic *t, const int32_t *indexes,
                            uint32_t index_count)
{
    struct log_dirs_topic *out = &op->topics[op->topic_count++];
    const char *name = arena_copy(&op->ask.rq->arena, t->name, t->name_bytes);
    if (!name)
        return RC_NOMEM;
    *out = (struct log_dirs_topic){.name = bytes_of(name, t->name_bytes), .first = op->ask.count};
    uint32_t count = indexes ? index_count : (uint32_t)t->partition_count;
    for (uint32_t i = 0; i < count; i++)
        out->count += log_dirs_add_partition(op, t, indexes ? indexes[i] : (int32_t)i);
    return RC_OK;
}

static enum rc log_dirs_collect(struct log_dirs_op *op, const struct describe_log_dirs_request *in,
                                const struct image *image)
{
    enum rc rc = RC_OK;
    if (!in->topics) {
        const struct image_topic *t = image_topic_next(image, bytes_of(NULL, 0), false);
        for (; t && rc == RC_OK; t = image_topic_next(image, image_topic_name(t), false))
            rc = log_dirs_add(op, t, NULL, 0);
        return rc;
    }
    for (uint32_t i = 0; i < in->topics_count && rc == RC_OK; i++) {
        const struct image_topic *t = image_topic_by_name(image, in->topics[i].topic);
        static const int32_t none[1];
        const int32_t *indexes = in->topics[i].partitions ? in->topics[i].partitions : none;
        if (t)
            rc = log_dirs_add(op, t, indexes, in->topics[i].partitions_count);
    }
    return rc;
}

void api_describe_log_dirs_begin(struct request *rq, const void *message)
{
    const struct describe_log_dirs_request *in = message;
    const struct image *image = engine_image(rq->bs->engine);
    uint64_t topics = in->topics ? in->topics_count : image->topic_count;
    uint64_t partitions = in->topics ? 0 : image->partition_count;
    for (uint32_t i = 0; i < in->topics_count; i++)
        partitions += in->topics[i].partitions_count;
    api_answer_reserve(rq, partitions * (sizeof(struct partition_query) + sizeof(void *)) +
                               topics * (sizeof(struct log_dirs_topic) + TOPIC_NAME_BYTES_MAX + 32) + 4096);
    struct log_dirs_op *op = request_alloc(rq, sizeof(*op));
    enum rc rc = RC_NOMEM;
    if (op && partitions <= UINT32_MAX && (op->topics = arena_array(&rq->arena, topics, sizeof(*op->topics))) != NULL)
        rc = partition_ask_init(&op->ask, rq, PARTITION_SIZE, (uint32_t)partitions, log_dirs_done);
    if (rc == RC_OK)
        rc = log_dirs_collect(op, in, image);
    if (rc == RC_OK)
        rc = partition_ask_start(&op->ask);
    if (rc != RC_OK)
        api_fail_memory(rq);
}
