// SPDX-License-Identifier: Apache-2.0
//
// ListOffsets: where a partition begins and ends, and which record was the first at a time. Each special timestamp is
// understood from the version that brought it; before, it is refused for that partition.
#include "broker/api.h"
#include "broker/partition_ask.h"
#include "model/kerr.h"
#include "wire/messages.h"

enum {
    OLD_STYLE_VERSION_MAX = 0, // answers with lists of segment starts
    OLD_STYLE_OFFSETS_MAX = 1024,
    NOT_AVAILABLE_VERSION = 5, // KIP-207
    MAX_TIMESTAMP_VERSION = 7,
    LOCAL_VERSION = 8,
    TIERED_VERSION = 9,
    PENDING_UPLOAD_VERSION = 11,
    REPLICA_CONSUMER = -1, // -2 is a debugging consumer
};

struct list_offsets_op {
    struct partition_ask ask;
    const struct list_offsets_request *in;
};

static bool list_offsets_known(int64_t timestamp, int16_t version)
{
    if (timestamp >= 0)
        return true;
    switch (timestamp) {
    case OFFSET_SPEC_LATEST:
    case OFFSET_SPEC_EARLIEST:
        return true;
    case OFFSET_SPEC_MAX_TIMESTAMP:
        return version >= MAX_TIMESTAMP_VERSION;
    case OFFSET_SPEC_EARLIEST_LOCAL:
        return version >= LOCAL_VERSION;
    case OFFSET_SPEC_LATEST_TIERED:
        return version >= TIERED_VERSION;
    case OFFSET_SPEC_EARLIEST_PENDING_UPLOAD:
        return version >= PENDING_UPLOAD_VERSION;
    default:
        return false;
    }
}

PARTITION_ASK_TOPIC_CHECK(struct list_offsets_request_topic, partitions);
PARTITION_ASK_TOPIC_CHECK(struct list_offsets_response_topic, partitions);

static bool list_offsets_fill(struct request *rq, const struct partition_query *q, const void *asked, void *answer)
{
    const struct list_offsets_request_partition *in = asked;
    struct list_offsets_response_partition *out = answer;
    list_offsets_response_partition_init(out);
    out->partition_index = in->partition_index;
    // Clients before version 5 do not know OFFSET_NOT_AVAILABLE (KIP-207).
    bool unknown = q->rc == RC_OFFSET_NOT_AVAILABLE && rq->version < NOT_AVAILABLE_VERSION;
    out->error_code = kerr_of(unknown ? RC_LEADER_NOT_AVAILABLE : q->rc);
    if (q->rc != RC_OK)
        return true;
    if (rq->version <= OLD_STYLE_VERSION_MAX) {
        out->old_style_offsets = q->before.offsets;
        out->old_style_offsets_count = q->before.count;
        return true;
    }
    out->offset = q->offset.offset;
    out->timestamp = q->offset.timestamp;
    out->leader_epoch = q->offset.leader_epoch;
    return true;
}

static void list_offsets_done(struct partition_ask *ask)
{
    const struct list_offsets_request *in = container_of(ask, struct list_offsets_op, ask)->in;
    struct list_offsets_response out;
    list_offsets_response_init(&out);
    out.topics = partition_ask_topics(ask, in->topics, in->topics_count, sizeof(*in->topics->partitions),
                                      sizeof(*out.topics->partitions), list_offsets_fill);
    out.topics_count = in->topics_count;
    if (out.topics)
        request_answer(ask->rq, &out);
    else
        api_fail_memory(ask->rq);
}

static enum rc list_offsets_add(struct list_offsets_op *op, const struct image *image, struct bytes topic,
                                const struct list_offsets_request_partition *p)
{
    struct request *rq = op->ask.rq;
    struct partition_query *q = partition_ask_add(&op->ask, image, topic, p->partition_index, p->current_leader_epoch);
    if (op->in->replica_id > REPLICA_CONSUMER)
        q->rc = RC_CLUSTER_AUTHORIZATION_FAILED; // replicas have a port of their own
    else if (q->rc == RC_OK && !list_offsets_known(p->timestamp, rq->version))
        q->rc = RC_UNSUPPORTED_VERSION;
    if (q->rc != RC_OK)
        return RC_OK;
    if (rq->version > OLD_STYLE_VERSION_MAX) {
        q->offset.timestamp = p->timestamp;
        q->offset.committed = op->in->isolation_level == 1;
        return RC_OK;
    }
    int32_t most = p->max_num_offsets < OLD_STYLE_OFFSETS_MAX ? p->max_num_offsets : OLD_STYLE_OFFSETS_MAX;
    q->before.timestamp = p->timestamp;
    q->before.count_max = most < 0 ? 0 : (uint32_t)most;
    q->before.offsets = arena_array(&rq->arena, q->before.count_max, sizeof(int64_t));
    return q->before.offsets ? RC_OK : RC_NOMEM;
}

void api_list_offsets_begin(struct request *rq, const void *message)
{
    const struct list_offsets_request *in = message;
    uint32_t count = partition_ask_count(in->topics, in->topics_count);
    api_answer_reserve(rq, (size_t)count * (sizeof(struct partition_query) + 128) +
                               in->topics_count * sizeof(struct list_offsets_response_topic) + 4096);
    struct list_offsets_op *op = request_alloc(rq, sizeof(*op));
    enum rc rc = RC_NOMEM;
    if (op) {
        enum partition_question question =
            rq->version <= OLD_STYLE_VERSION_MAX ? PARTITION_OFFSETS_BEFORE : PARTITION_OFFSET;
        op->in = in;
        rc = partition_ask_init(&op->ask, rq, question, count, list_offsets_done);
    }
    const struct image *image = engine_image(rq->bs->engine);
    for (uint32_t i = 0; rc == RC_OK && i < in->topics_count; i++)
        for (uint32_t j = 0; rc == RC_OK && j < in->topics[i].partitions_count; j++)
            rc = list_offsets_add(op, image, in->topics[i].name, &in->topics[i].partitions[j]);
    if (rc == RC_OK)
        rc = partition_ask_refuse_twice(&op->ask, RC_INVALID_REQUEST);
    if (rc == RC_OK)
        rc = partition_ask_start(&op->ask);
    if (rc != RC_OK)
        api_fail_memory(rq);
}
