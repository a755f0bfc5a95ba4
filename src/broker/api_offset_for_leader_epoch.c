// SPDX-License-Identifier: Apache-2.0
//
// OffsetForLeaderEpoch (KIP-101, KIP-320): where a leader epoch ended, with which consumers find out whether what they
// have read was cut off behind their backs.
#include "broker/api.h"
#include "broker/partition_ask.h"
#include "model/kerr.h"
#include "wire/messages.h"

enum { REPLICA_CONSUMER = -1 };

struct epoch_op {
    struct partition_ask ask;
    const struct offset_for_leader_epoch_request *in;
};

PARTITION_ASK_TOPIC_CHECK(struct offset_for_leader_epoch_request_topic, partitions);
PARTITION_ASK_TOPIC_CHECK(struct offset_for_leader_epoch_response_topic, partitions);

static bool epoch_fill(struct request *rq, const struct partition_query *q, const void *asked, void *answer)
{
    (void)rq;
    const struct offset_for_leader_epoch_request_partition *in = asked;
    struct offset_for_leader_epoch_response_partition *out = answer;
    offset_for_leader_epoch_response_partition_init(out);
    out->partition = in->partition;
    out->error_code = kerr_of(q->rc);
    out->leader_epoch = q->rc == RC_OK ? q->epoch.leader_epoch : LEADER_EPOCH_NONE;
    out->end_offset = q->rc == RC_OK ? q->epoch.end_offset : OFFSET_NONE;
    return true;
}

static void epoch_done(struct partition_ask *ask)
{
    const struct offset_for_leader_epoch_request *in = container_of(ask, struct epoch_op, ask)->in;
    struct offset_for_leader_epoch_response out;
    offset_for_leader_epoch_response_init(&out);
    out.topics = partition_ask_topics(ask, in->topics, in->topics_count, sizeof(*in->topics->partitions),
                                      sizeof(*out.topics->partitions), epoch_fill);
    out.topics_count = in->topics_count;
    if (out.topics)
        request_answer(ask->rq, &out);
    else
        api_fail_memory(ask->rq);
}

void api_offset_for_leader_epoch_begin(struct request *rq, const void *message)
{
    const struct offset_for_leader_epoch_request *in = message;
    uint32_t count = partition_ask_count(in->topics, in->topics_count);
    api_answer_reserve(rq, (size_t)count * (sizeof(struct partition_query) + 96) + 4096);
    struct epoch_op *op = request_alloc(rq, sizeof(*op));
    enum rc rc = op ? partition_ask_init(&op->ask, rq, PARTITION_EPOCH_END, count, epoch_done) : RC_NOMEM;
    if (rc == RC_OK)
        op->in = in;
    const struct image *image = engine_image(rq->bs->engine);
    for (uint32_t i = 0; rc == RC_OK && i < in->topics_count; i++) {
        for (uint32_t j = 0; j < in->topics[i].partitions_count; j++) {
            const struct offset_for_leader_epoch_request_partition *p = &in->topics[i].partitions[j];
            struct partition_query *q =
                partition_ask_add(&op->ask, image, in->topics[i].topic, p->partition, p->current_leader_epoch);
            q->epoch.leader_epoch = p->leader_epoch;
            if (in->replica_id > REPLICA_CONSUMER)
                q->rc = RC_CLUSTER_AUTHORIZATION_FAILED; // replicas have a port of their own
        }
    }
    if (rc == RC_OK)
        rc = partition_ask_start(&op->ask);
    if (rc != RC_OK)
        api_fail_memory(rq);
}
