// SPDX-License-Identifier: Apache-2.0
//
// See admin_op.h.
#include "broker/admin_op.h"

#include "broker/api.h"

enum {
    // A client that gives no time still gets this much: an answer is worth more to it than a certain error.
    TIMEOUT_LEAST_MS = 1000,
    TIMEOUT_MOST_MS = 10 * 60 * 1000,
    ITEM_BYTES = 8192,     // of an answer and of what is decided on the way to it
    PARTITION_BYTES = 512, // of placing one partition and of its record
    DECISION_BYTES_MAX = 128 << 20,
};

#define NS_PER_MS UINT64_C(1000000)

static void admin_done(struct quorum_op *qop, enum rc rc)
{
    struct admin_op *op = container_of(qop, struct admin_op, quorum);
    struct request *rq = op->rq;
    // This node's own trouble with the controller, in the middle of a restart: the client asks again.
    if (rc == RC_STALE_BROKER_EPOCH || rc == RC_BROKER_ID_NOT_REGISTERED)
        rc = RC_NOT_CONTROLLER;
    if (rc != RC_OK && !op->fail(op, rc)) {
        api_fail_memory(rq);
        return;
    }
    if (op->adapt)
        op->adapt(op);
    request_answer(rq, op->answer);
}

void admin_reserve(struct request *rq, uint32_t item_count, uint64_t partition_count)
{
    uint64_t bytes = ((uint64_t)item_count + 1) * ITEM_BYTES;
    uint64_t room = DECISION_BYTES_MAX / PARTITION_BYTES;
    bytes += (partition_count < room ? partition_count : room) * PARTITION_BYTES;
    api_answer_reserve(rq, bytes);
}

void admin_submit(struct request *rq, const void *message, const struct admin_plan *plan)
{
    admin_reserve(rq, plan->item_count, plan->partition_count);
    struct admin_op *op = request_alloc(rq, sizeof(*op));
    void *answer = request_alloc(rq, schema_size(rq->api->response));
    if (!op || !answer) {
        api_fail_memory(rq);
        return;
    }
    schema_init(rq->api->response, answer);
    int32_t ms = plan->timeout_ms;
    ms = ms < TIMEOUT_LEAST_MS ? TIMEOUT_LEAST_MS : ms > TIMEOUT_MOST_MS ? TIMEOUT_MOST_MS : ms;
    *op = (struct admin_op){.rq = rq, .in = message, .answer = answer, .fail = plan->fail, .adapt = plan->adapt};
    op->quorum = (struct quorum_op){
        .kind = (int)plan->kind,
        .request = message,
        .answer = answer,
        .arena = &rq->arena,
        .deadline_ns = shard_now_ns(rq->bs->shard) + (uint64_t)ms * NS_PER_MS,
        .done = admin_done,
    };
    quorum_submit(rq->bs->engine->engine->quorum, rq->bs->shard, &op->quorum);
}
