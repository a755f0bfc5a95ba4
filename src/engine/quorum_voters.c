// SPDX-License-Identifier: Apache-2.0
//
// What only Raft's leader can say or do about the quorum itself: describe it, change its voters one at a time, hand
// leadership over.
#include "engine/quorum_core.h"

enum { AGAIN_MS = 50 };

// ---- describing ----

static int64_t heard_ms(const struct quorum *q, const struct raft_peer *p)
{
    if (p->heard_ms == 0)
        return -1;
    return io_wall_ms(q->shard->io) - (int64_t)(q->raft.now_ms - p->heard_ms);
}

static void member_fill(const struct quorum *q, struct raft_id id, struct quorum_view_member *out)
{
    quorum_view_member_init(out);
    out->node = id.node;
    out->directory = id.directory;
    if (raft_id_eq(id, q->raft.config.self)) {
        out->match = (int64_t)raft_last_index(&q->raft);
        out->heard_ms = out->caught_up_ms = io_wall_ms(q->shard->io);
        return;
    }
    for (uint32_t i = 0; i < q->raft.peer_count; i++) {
        const struct raft_peer *p = &q->raft.peers[i];
        if (!raft_id_eq(p->id, id))
            continue;
        out->match = (int64_t)p->match;
        out->heard_ms = heard_ms(q, p);
        out->caught_up_ms = p->match >= q->raft.commit ? out->heard_ms : -1;
    }
}

static enum rc describe(struct quorum *q, struct quorum_op *op)
{
    struct quorum_view *out = op->answer;
    const struct raft_voters *v = raft_voters(&q->raft);
    quorum_view_init(out);
    out->leader = q->config.node_id;
    out->term = (int64_t)q->raft.hard.term;
    out->commit = (int64_t)q->raft.commit;
    out->voters = arena_array(op->arena, v->count, sizeof(*out->voters));
    out->observers = arena_array(op->arena, q->raft.observer_count, sizeof(*out->observers));
    if (!out->voters || !out->observers)
        return RC_NOMEM;
    for (uint32_t i = 0; i < v->count; i++)
        member_fill(q, v->ids[i], &out->voters[out->voters_count++]);
    for (uint32_t i = 0; i < q->raft.observer_count; i++)
        if (!raft_is_voter(v, q->raft.observers[i]))
            member_fill(q, q->raft.observers[i], &out->observers[out->observers_count++]);
    return RC_OK;
}

// ---- changing ----

// The member meant by a request that may leave the directory open.
static enum rc member_of(struct quorum *q, const struct voter_change *c, struct raft_id *out)
{
    const struct raft_voters *v = raft_voters(&q->raft);
    *out = (struct raft_id){.node = c->node, .directory = c->directory};
    for (uint32_t i = 0; i < v->count; i++) {
        if (v->ids[i].node != c->node)
            continue;
        if (c->change == QUORUM_VOTER_ADD)
            return RC_DUPLICATE_VOTER;
        if (!uuid_is_zero(c->directory) && !uuid_eq(c->directory, v->ids[i].directory))
            return RC_INVALID_VOTER_KEY;
        out->directory = v->ids[i].directory;
        return RC_OK;
    }
    if (c->change != QUORUM_VOTER_ADD)
        return RC_VOTER_NOT_FOUND;
    if (!q->peers)
        return RC_INVALID_REQUEST; // nobody could come
    const struct peer *p = peers_find(q->peers, c->node);
    if (!p || p->state != PEER_UP || !quorum_cluster_of(q, &p->hello)) {
        enum rc rc = c->host.p ? quorum_peers_meet(q, c->node, c->host, c->port) : RC_OK;
        return rc ? rc : RC_AGAIN; // it may come yet
    }
    if (!uuid_is_zero(c->directory) && !uuid_eq(c->directory, p->hello.directory))
        return RC_INVALID_VOTER_KEY;
    out->directory = p->hello.directory;
    return RC_OK;
}

static enum rc change(struct quorum *q, struct quorum_op *op)
{
    const struct voter_change *c = op->request;
    struct raft_id id;
    enum rc rc = member_of(q, c, &id);
    if (rc != RC_OK)
        return rc;
    struct voter_change *out = op->answer;
    *out = (struct voter_change){.change = c->change, .node = id.node, .directory = id.directory};
    struct raft_event ev = {.id = id};
    switch (c->change) {
    case QUORUM_VOTER_ADD:
        ev.kind = RAFT_CHANGE_ADD;
        break;
    case QUORUM_VOTER_REMOVE:
        ev.kind = RAFT_CHANGE_REMOVE;
        break;
    case QUORUM_VOTER_LEAD:
        if (raft_id_eq(id, q->raft.config.self))
            return RC_OK;
        ev.kind = RAFT_TRANSFER;
        break;
    default:
        return RC_INVALID_REQUEST;
    }
    rc = quorum_step(q, &ev, &op->index);
    return rc == RC_INVALID ? RC_INVALID_REQUEST : rc == RC_FULL ? RC_AGAIN : rc;
}

void quorum_voters_take(struct quorum *q, struct quorum_op *op)
{
    if (op->kind == QUORUM_DESCRIBE) {
        op->index = 0;
        quorum_finish(q, op, describe(q, op));
        return;
    }
    op->index = 0;
    const struct voter_change *c = op->request;
    enum rc rc = c->change == QUORUM_VOTER_ADD && c->host.p ? quorum_peers_meet(q, c->node, c->host, c->port) : RC_OK;
    if (rc != RC_OK && rc != RC_AGAIN) {
        quorum_finish(q, op, rc);
        return;
    }
    list_push_back(&q->changes, &op->link);
    quorum_wake(q);
}

uint64_t quorum_voters_work(struct quorum *q, uint64_t now)
{
    uint64_t next = UINT64_MAX;
    for (struct list_node *n = q->changes.head.next; n != &q->changes.head;) {
        struct quorum_op *op = container_of(n, struct quorum_op, link);
        n = n->next;
        enum rc rc = RC_OK;
        if (q->raft.role != RAFT_LEADER && (op->index == 0 || op->index > q->raft.commit))
            rc = RC_NOT_CONTROLLER;
        else if (op->index == 0 && now < op->landed_ns)
            rc = RC_AGAIN; // tried not long ago
        else if (op->index == 0)
            rc = change(q, op);
        if (rc == RC_AGAIN) {
            if (op->landed_ns <= now)
                op->landed_ns = now + AGAIN_MS * QUORUM_NS_PER_MS;
            next = op->landed_ns < next ? op->landed_ns : next;
            continue;
        }
        if (rc == RC_OK && op->index > q->raft.commit)
            continue; // in the log, not yet committed
        list_remove(&q->changes, &op->link);
        if (rc == RC_OK && op->index > 0)
            list_push_back(&q->landed, &op->link);
        else
            quorum_finish(q, op, rc);
        n = q->changes.head.next; // a done() may have changed the list
    }
    return next;
}
