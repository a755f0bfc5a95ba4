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

static void epoch_done(struct partition_ask *ask)
{
    struct epoch_op *op = container_of(ask, struct epoch_op, ask);
    struct request *rq = ask->rq;
    const struct offset_for_leader_epoch_request *in = op->in;
    struct offset_for_leader_epoch_response out;
    offset_for_leader_epoch_response_init(&out);
    out.topics = arena_array(&rq->arena, in->topics_count, sizeof(*out.topics));
    const struct partition_query *q = ask->queries;
    for (uint32_t i = 0; out.topics && i < in->topics_count; i++) {
        const struct offset_for_leader_epoch_request_topic *from = &in->topics[i];
        struct offset_for_leader_epoch_response_topic *t = &out.topics[out.topics_count++];
        offset_for_leader_epoch_response_topic_init(t);
        t->topic = from->topic;
        t->partitions = arena_array(&rq->arena, from->partitions_count, sizeof(*t->partitions));
        if (!t->partitions) {
            out.topics = NULL;
            break;
        }
        for (uint32_t j = 0; j < from->partitions_count; j++, q++) {
            struct offset_for_leader_epoch_response_partition *p = &t->partitions[t->partitions_count++];
            offset_for_leader_epoch_response_partition_init(p);
            p->partition = from->partitions[j].partition;
            p->error_code = kerr_of(q->rc);
            p->leader_epoch = q->rc == RC_OK ? q->epoch.leader_epoch : LEADER_EPOCH_NONE;
            p->end_offset = q->rc == RC_OK ? q->epoch.end_offset : OFFSET_NONE;
        }
    }
    if (out.topics)
        request_answer(rq, &out);
    else
        api_fail_memory(rq);
}

void api_offset_for_leader_epoch_begin(struct request *rq, const void *message)
{
    const struct offset_for_leader_epoch_request *in = message;
    uint32_t count = 0;
    for (uint32_t i = 0; i < in->topics_count; i++)
        count += in->topics[i].partitions_count;
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
