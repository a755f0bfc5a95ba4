// SPDX-License-Identifier: Apache-2.0
//
// See group_op.h.
#include "broker/group_op.h"

#include <stdio.h>

#include "base/map.h"
#include "broker/api.h"

enum {
    CALLS_FREE = 4,          // as many fit what every request draws
    CALL_ANSWER_BYTES = 512, // what the answer of a group takes at least
};

static bool group_op_unpin(struct request *rq)
{
    struct group_op *op = rq->op;
    for (uint32_t i = 0; i < op->count; i++)
        group_call_deinit(&op->calls[i].group);
    return true;
}

// Nobody reads the answer any more.
static void group_op_abandon(struct request *rq)
{
    struct group_op *op = rq->op;
    for (uint32_t i = 0; i < op->count; i++)
        coordinator_call_abandon(&op->calls[i]);
}

// The connection is about to end: what waits for other members does not wait; the rest is on its way anyway.
static void group_op_hurry(struct request *rq)
{
    struct group_op *op = rq->op;
    for (uint32_t i = 0; i < op->count; i++)
        if (op->calls[i].group.kind == GROUP_JOIN || op->calls[i].group.kind == GROUP_SYNC)
            coordinator_call_abandon(&op->calls[i]);
}

// Many groups in one request draw on the share what they take.
static bool group_op_charge(struct request *rq, uint32_t count)
{
    size_t bytes = (size_t)count * (sizeof(struct coordinator_call) + CALL_ANSWER_BYTES);
    api_answer_reserve(rq, bytes + sizeof(struct group_op));
    if (count <= CALLS_FREE)
        return true;
    if (!budget_fits(rq->budget, bytes) || !budget_take(rq->budget, bytes))
        return false;
    rq->reserved_bytes += bytes;
    return true;
}

struct group_op *group_op_begin(struct request *rq, const void *in, uint32_t count_max, group_op_fn answer)
{
    struct group_op *op = group_op_charge(rq, count_max) ? request_alloc(rq, sizeof(*op)) : NULL;
    if (op)
        op->calls = arena_array(&rq->arena, count_max, sizeof(*op->calls));
    if (!op || !op->calls) {
        api_fail_memory(rq);
        return NULL;
    }
    op->rq = rq;
    op->in = in;
    op->count_max = count_max;
    op->answer = answer;
    rq->op = op;
    rq->unpin = group_op_unpin;
    return op;
}

static void group_op_done(struct coordinator_call *c)
{
    struct group_op *op = c->owner;
    if (--op->pending > 0)
        return;
    op->rq->abandon = op->rq->hurry = NULL;
    op->answer(op);
}

struct coordinator_call *group_op_add_partition(struct group_op *op, enum group_call_kind kind,
                                                struct topic_partition id, const void *request)
{
    ASSERT(op->count < op->count_max);
    struct request *rq = op->rq;
    struct coordinator_call *c = &op->calls[op->count++];
    c->id = id;
    c->owner = op;
    c->done = group_op_done;
    c->group.kind = kind;
    c->group.version = rq->version;
    c->group.client_id = rq->client_id;
    c->group.request = request;
    const struct io_addr *peer = &rq->session->peer;
    char addr[IO_ADDR_TEXT_MAX];
    c->group.connection = map_hash_bytes(bytes_of(peer->ip, sizeof(peer->ip))) ^ peer->port;
    io_addr_format(peer, addr);
    int n = (int)(strrchr(addr, ':') - addr);
    bool bracketed = addr[0] == '[';
    snprintf(c->group.client_host, sizeof(c->group.client_host), "/%.*s", n - 2 * bracketed, addr + bracketed);
    return c;
}

struct coordinator_call *group_op_add(struct group_op *op, enum group_call_kind kind, struct bytes group_id,
                                      const void *request)
{
    struct topic_partition id = {0};
    bool known = coordinator_partition(engine_image(op->rq->bs->engine), group_id, &id);
    struct coordinator_call *c = group_op_add_partition(op, kind, id, request);
    c->group.group_id = group_id;
    if (known)
        return c;
    // The client asks for the coordinator anew, which makes the topic.
    c->rc = RC_NOT_COORDINATOR;
    group_call_refuse(&c->group, c->rc);
    return c;
}

void group_op_start(struct group_op *op)
{
    struct request *rq = op->rq;
    rq->abandon = group_op_abandon;
    rq->hurry = group_op_hurry;
    op->pending = op->count + 1; // ourselves: no answer ends it while calls are being sent
    for (uint32_t i = 0; i < op->count; i++) {
        if (op->calls[i].rc == RC_OK)
            coordinator_call_start(&op->calls[i], rq->bs->engine);
        else
            op->pending--;
    }
    if (--op->pending > 0)
        return;
    rq->abandon = rq->hurry = NULL;
    op->answer(op);
}

void group_op_answer(struct group_op *op, const void *response)
{
    request_answer_holes(op->rq, response, 0, group_op_unpin);
}

void *group_op_gather(struct group_op *op, size_t bytes)
{
    api_answer_reserve(op->rq, (size_t)op->count * bytes);
    uint8_t *all = arena_array(&op->rq->arena, op->count, bytes);
    for (uint32_t i = 0; all && i < op->count; i++) {
        const void *one = op->calls[i].group.response;
        if (one)
            memcpy(all + i * bytes, one, bytes);
        else
            all = NULL;
    }
    if (!all)
        api_fail_memory(op->rq);
    return all;
}
