// SPDX-License-Identifier: Apache-2.0
//
// Requests for a controller that is another node: sent there, completed here once this node has applied what was
// decided. And the other side: requests of other nodes, decided like local ones.
#include "engine/quorum_core.h"
#include "engine/quorum_kinds.h"

#include <stdlib.h>

#include "model/kerr.h"

enum {
    BODY_BYTES_MAX = PEER_FRAME_BYTES_MAX - (1 << 20),
    ARENA_BYTES_MAX = 128 << 20,
    WAIT_MS_MAX = 600000,
};

// ---- this node asks ----

static int32_t deadline_ms(const struct quorum *q, const struct quorum_op *op)
{
    uint64_t now = shard_now_ns(q->shard);
    if (op->deadline_ns == 0)
        return -1;
    uint64_t left = op->deadline_ns > now ? (op->deadline_ns - now) / QUORUM_NS_PER_MS : 0;
    return (int32_t)(left < WAIT_MS_MAX ? left : WAIT_MS_MAX);
}

static enum rc forward(struct quorum *q, struct quorum_op *op, int32_t leader)
{
    struct buf body;
    struct forward_request m;
    forward_request_init(&m);
    buf_init(&body, BODY_BYTES_MAX);
    enum rc rc = quorum_request_encode(op, &body, &m.body_version);
    m.kind = (int8_t)op->kind;
    m.incarnation = q->identity.incarnation;
    m.deadline_ms = deadline_ms(q, op);
    m.body = buf_bytes(&body);
    if (op->caller) {
        m.principal = op->caller->principal;
        m.client_address = op->caller->client_address;
        m.client_id = op->caller->client_id;
        m.listener = op->caller->listener;
    }
    op->correlation = ++q->correlation > 0 ? q->correlation : (q->correlation = 1);
    op->sent_to = leader;
    if (rc == RC_OK)
        rc = peers_send(q->peers, leader, &forward_request_message, op->correlation, &m, PEER_BULK);
    buf_deinit(&body);
    return rc;
}

void quorum_forward_all(struct quorum *q)
{
    int32_t leader = q->raft.leader.node;
    ASSERT(leader != q->config.node_id);
    for (struct list_node *n = q->queue.head.next; n != &q->queue.head;) {
        struct quorum_op *op = container_of(n, struct quorum_op, link);
        n = n->next;
        enum rc rc = op->local ? RC_NOT_CONTROLLER : forward(q, op, leader);
        if (rc == RC_CLOSED || rc == RC_FULL)
            return; // not there, or too much under way: it waits here
        list_remove(&q->queue, &op->link);
        if (rc == RC_OK)
            list_push_back(&q->away, &op->link);
        else
            quorum_finish(q, op, rc);
    }
}

void quorum_forward_lost(struct quorum *q, int32_t node)
{
    for (struct list_node *n = q->away.head.next; n != &q->away.head;) {
        struct quorum_op *op = container_of(n, struct quorum_op, link);
        n = n->next;
        if (node != NODE_ID_NONE && op->sent_to != node)
            continue;
        list_remove(&q->away, &op->link);
        quorum_finish(q, op, RC_NOT_CONTROLLER);
    }
}

static struct quorum_op *away_find(struct quorum *q, int32_t node, int32_t correlation)
{
    for (struct list_node *n = q->away.head.next; n != &q->away.head; n = n->next) {
        struct quorum_op *op = container_of(n, struct quorum_op, link);
        if (op->sent_to == node && op->correlation == correlation)
            return op;
    }
    return NULL;
}

void quorum_forward_answer(struct quorum *q, int32_t node, const struct peer_frame *f)
{
    struct forward_answer_request m;
    struct arena a;
    struct dec d = dec_of(f->body);
    arena_init(&a, 4096, NULL, 0);
    enum rc rc = forward_answer_request_decode(&d, f->version, &a, &m);
    arena_deinit(&a);
    struct quorum_op *op = away_find(q, node, f->correlation);
    if (!op)
        return; // its time is over
    list_remove(&q->away, &op->link);
    if (rc == RC_OK)
        rc = quorum_rc_of(m.error_code);
    if (rc == RC_OK)
        rc = quorum_answer_decode(op, m.body);
    if (rc != RC_OK) {
        quorum_finish(q, op, rc);
        return;
    }
    op->index = m.index > 0 ? (uint64_t)m.index : 0;
    op->landed_ns = 0; // the controller has waited for the others
    list_push_back(&q->landed, &op->link);
    quorum_wake(q);
}

// ---- another node asks ----

struct quorum_remote {
    struct list_node link_remote;
    struct quorum_op op;
    struct arena arena;
    struct peer_route from;
    int32_t correlation;
    struct quorum_caller caller;
};

static void remote_answer(struct quorum *q, struct peer_route to, int32_t correlation, const struct quorum_op *op,
                          enum rc rc)
{
    struct buf body;
    buf_init(&body, BODY_BYTES_MAX);
    if (rc == RC_OK)
        rc = quorum_answer_encode(op, &body);
    struct forward_answer_request m = {.error_code = kerr_of(rc), .index = op ? (int64_t)op->index : 0};
    if (rc == RC_OK)
        m.body = buf_bytes(&body);
    if (!q->dead)
        (void)peers_answer(q->peers, to, &forward_answer_request_message, correlation, &m);
    buf_deinit(&body);
}

static void remote_done(struct quorum_op *op, enum rc rc)
{
    struct quorum_remote *r = container_of(op, struct quorum_remote, op);
    struct quorum *q = op->quorum;
    remote_answer(q, r->from, r->correlation, op, rc);
    list_remove(&q->remotes, &r->link_remote);
    arena_deinit(&r->arena);
    free(r);
}

// Bound to the process that said Hello: one that was replaced since changes nothing any more.
static bool still_registered(const struct quorum *q, struct peer_inlet *in, const struct forward_request *m)
{
    const struct image_node *n = image_node(q->image, in->hello.node);
    if (!uuid_eq(m->incarnation, in->hello.incarnation))
        return false;
    if (n && uuid_eq(n->incarnation, in->hello.incarnation))
        in->registered_epoch = n->broker_epoch;
    bool replaced = n && !uuid_eq(n->incarnation, in->hello.incarnation) &&
                    (in->registered_epoch >= 0 || in->hello.broker_epoch >= 0);
    return !replaced && (m->kind == CONTROLLER_REGISTER || (n && uuid_eq(n->incarnation, in->hello.incarnation)));
}

// What a broker asks for itself it asks only for itself.
static bool speaks_for_itself(const struct peer_inlet *in, int kind, const void *request)
{
    int32_t node = in->hello.node;
    switch (kind) {
    case CONTROLLER_PRODUCER_IDS:
        return ((const struct controller_producer_ids *)request)->node == node;
    case CONTROLLER_NODE_STATE:
        return ((const struct controller_node_state *)request)->node == node;
    case CONTROLLER_ALTER_ISR:
        return ((const struct alter_isr *)request)->node == node;
    case CONTROLLER_REPLICAS_OFFLINE:
        return ((const struct replicas_offline *)request)->node == node;
    case CONTROLLER_REGISTER: {
        const struct controller_registration *r = request;
        return r->node == node && uuid_eq(r->incarnation, in->hello.incarnation);
    }
    default:
        return true; // of a client
    }
}

static enum rc remote_begin(struct quorum *q, struct quorum_remote *r, const struct peer_frame *f,
                            struct peer_inlet *in)
{
    struct forward_request m;
    uint8_t *copy = arena_copy(&r->arena, f->body.p, f->body.n);
    if (!copy)
        return RC_NOMEM;
    struct dec d = dec_of(bytes_of(copy, f->body.n));
    enum rc rc = forward_request_decode(&d, f->version, &r->arena, &m);
    if (rc != RC_OK)
        return rc;
    // A leader that has not applied what was committed before it may not know of the registration yet.
    bool knows = raft_leads(&q->raft) && q->image->index >= q->raft.term_first_index;
    if (!still_registered(q, in, &m))
        return knows ? RC_STALE_BROKER_EPOCH : RC_NOT_CONTROLLER;
    void *request, *answer;
    rc = quorum_request_decode(m.kind, m.body_version, m.body, &r->arena, &request, &answer);
    if (rc != RC_OK)
        return rc == RC_MALFORMED ? RC_INVALID_REQUEST : rc;
    if (!speaks_for_itself(in, m.kind, request))
        return RC_CLUSTER_AUTHORIZATION_FAILED;
    r->caller = (struct quorum_caller){m.principal, m.client_address, m.client_id, m.listener};
    uint64_t wait_ms = m.deadline_ms >= 0 ? (uint64_t)m.deadline_ms : 0;
    r->op = (struct quorum_op){.kind = m.kind,
                               .request = request,
                               .answer = answer,
                               .arena = &r->arena,
                               .deadline_ns = m.deadline_ms >= 0
                                                  ? shard_now_ns(q->shard) + wait_ms * QUORUM_NS_PER_MS + 1
                                                  : 0,
                               .caller = &r->caller,
                               .done = remote_done,
                               .local = true}; // it is asked of this node as the controller, and not handed on
    return RC_OK;
}

void quorum_forward_take(struct quorum *q, struct peer_inlet *in, struct peer_route from, const struct peer_frame *f)
{
    enum rc rc = RC_OK;
    if (q->forming || !quorum_cluster_of(q, &in->hello) || q->raft.role != RAFT_LEADER)
        rc = RC_NOT_CONTROLLER;
    else if (q->remotes.count >= QUORUM_REMOTE_MAX)
        rc = RC_TIMED_OUT;
    struct quorum_remote *r = rc == RC_OK ? calloc(1, sizeof(*r)) : NULL;
    if (!r) {
        remote_answer(q, from, f->correlation, NULL, rc == RC_OK ? RC_NOMEM : rc);
        return;
    }
    arena_init(&r->arena, ARENA_BYTES_MAX, NULL, 0);
    r->from = from;
    r->correlation = f->correlation;
    rc = remote_begin(q, r, f, in);
    if (rc != RC_OK) {
        remote_answer(q, from, f->correlation, NULL, rc);
        arena_deinit(&r->arena);
        free(r);
        return;
    }
    list_push_back(&q->remotes, &r->link_remote);
    quorum_submit(q, q->shard, &r->op);
}
