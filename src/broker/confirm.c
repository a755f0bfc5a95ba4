// SPDX-License-Identifier: Apache-2.0
//
// See confirm.h.
#include "broker/confirm.h"

#include "broker/request.h"

#define CONFIRM_WAIT_NS UINT64_C(20000000)

static void confirmed(struct quorum_op *op, enum rc rc)
{
    struct confirm *c = container_of(op, struct confirm, op);
    (void)rc; // one that is silent may live: nobody has said otherwise
    c->done(c);
}

void confirm_alive(struct confirm *c, const int32_t *nodes, uint32_t count)
{
    struct request *rq = c->rq;
    uint64_t *echoes = count > 0 ? arena_array(&rq->arena, count, sizeof(*echoes)) : NULL;
    if (!echoes) {
        c->done(c);
        return;
    }
    c->wanted = (struct quorum_confirm){.nodes = nodes, .echoes = echoes, .count = count};
    c->op = (struct quorum_op){.kind = QUORUM_CONFIRM,
                               .answer = &c->wanted,
                               .deadline_ns = shard_now_ns(rq->bs->shard) + CONFIRM_WAIT_NS,
                               .done = confirmed};
    quorum_submit(rq->bs->engine->engine->quorum, rq->bs->shard, &c->op);
}
