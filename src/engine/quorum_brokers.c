// SPDX-License-Identifier: Apache-2.0
//
// Which brokers live, as the controller sees it: sessions by heartbeat, fencing when one runs out or when the transport
// proves a process dead, unfencing once a broker is caught up. What follows from it for partitions is decided in meta/.
#include "engine/quorum_core.h"

#include <stdlib.h>

#include "model/kerr.h"

enum { HINT_MEMORY_MS = 60000, AGAIN_MS = 100, ARENA_BYTES_MAX = 4 << 20 };

static struct quorum_broker *broker_find(const struct quorum *q, int32_t node)
{
    for (uint32_t i = 0; i < q->broker_count; i++)
        if (q->brokers[i]->node == node)
            return q->brokers[i];
    return NULL;
}

static struct quorum_broker *broker_get(struct quorum *q, int32_t node)
{
    struct quorum_broker *b = broker_find(q, node);
    if (b || q->broker_count == IMAGE_NODES_MAX)
        return b;
    b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->node = node;
    b->quorum = q;
    arena_init(&b->arena, ARENA_BYTES_MAX, NULL, 0);
    q->brokers[q->broker_count++] = b;
    return b;
}

void quorum_brokers_free(struct quorum *q)
{
    for (uint32_t i = 0; i < q->broker_count; i++) {
        arena_deinit(&q->brokers[i]->arena);
        free(q->brokers[i]);
    }
    q->broker_count = 0;
}

// ---- changes of state ----

static void state_done(struct quorum_op *op, enum rc rc)
{
    struct quorum_broker *b = container_of(op, struct quorum_broker, op);
    // What was not decided is wanted again, a little later.
    b->retry_ns = rc == RC_OK ? 0 : shard_now_ns(b->quorum->shard) + AGAIN_MS * QUORUM_NS_PER_MS;
    b->busy = false;
    arena_reset(&b->arena);
    quorum_wake(b->quorum);
}

static void state_ask(struct quorum *q, struct quorum_broker *b, const struct image_node *n, bool fenced)
{
    if (b->busy || shard_now_ns(q->shard) < b->retry_ns)
        return;
    b->busy = true;
    b->state = (struct controller_node_state){
        .node = n->id, .broker_epoch = n->broker_epoch, .fenced = fenced, .in_shutdown = fenced && n->in_shutdown};
    b->op = (struct quorum_op){.kind = CONTROLLER_NODE_STATE,
                               .request = &b->state,
                               .answer = &b->state,
                               .arena = &b->arena,
                               .done = state_done,
                               .local = true};
    quorum_submit(q, q->shard, &b->op);
}

// ---- sessions ----

// Whoever becomes the controller knows nothing of the others' heartbeats. Nobody can have been heard by the controller
// before it since that one fell silent, so every session counts from there; half of it is left at least, for they beat
// as soon as they know of this one. Whose death this node has seen itself, above all of that controller, gets none.
static void begin(struct quorum *q, uint64_t now)
{
    const uint64_t half = now > q->session_ns / 2 ? now - q->session_ns / 2 : 0;
    uint64_t heard = q->raft.leader_heard_ms * QUORUM_NS_PER_MS;
    heard = heard == 0 || heard > now ? now : heard > half ? heard : half;
    q->controlling = true;
    for (uint32_t i = 0; i < q->image->node_count; i++) {
        int32_t node = q->image->nodes[i]->id;
        const struct peer *p = peers_find(q->peers, node);
        struct quorum_broker *b = broker_get(q, node);
        if (!b)
            continue;
        b->heard_ns = heard;
        b->applied = b->target = b->lag_index = 0;
        b->hinted = false;
        if (p && p->dead)
            quorum_brokers_lost(q, node);
    }
}

uint64_t quorum_brokers_work(struct quorum *q, uint64_t now)
{
    uint64_t next = UINT64_MAX;
    if (!q->peers || q->dead || q->forming)
        return next;
    if (!raft_leads(&q->raft)) {
        q->controlling = false;
        return next;
    }
    if (!q->controlling)
        begin(q, now);
    // Fenced by the controller before it, and now the controller itself: it is caught up, for it leads.
    const struct image_node *self = image_node(q->image, q->config.node_id);
    struct quorum_broker *own = self && self->fenced && q->self.stage == QUORUM_SELF_SERVING && !q->self.leaving
                                    ? broker_get(q, self->id)
                                    : NULL;
    if (own) {
        state_ask(q, own, self, false);
        if (!own->busy && own->retry_ns < next)
            next = own->retry_ns;
    }
    for (uint32_t i = 0; i < q->image->node_count; i++) {
        const struct image_node *n = q->image->nodes[i];
        struct quorum_broker *b = n->id == q->config.node_id ? NULL : broker_get(q, n->id);
        if (!b || n->fenced)
            continue;
        if (b->heard_ns == 0)
            b->heard_ns = now; // unfenced by somebody else before
        // One that is heard but applies nothing holds no lease either (lease.h), and others can lead.
        const bool lags = b->lag_index && b->lag_ns < b->heard_ns;
        const uint64_t since = lags ? b->lag_ns : b->heard_ns;
        if (now - since >= q->session_ns) {
            if (!b->busy)
                trace_warn(q->config.trace, "node %d %s %llu ms%s: fenced", n->id,
                           lags ? "has not applied the metadata of" : "has been silent for",
                           (unsigned long long)((now - since) / QUORUM_NS_PER_MS), lags ? " ago" : "");
            state_ask(q, b, n, true);
            if (!b->busy && b->retry_ns < next)
                next = b->retry_ns;
        } else if (since + q->session_ns < next) {
            next = since + q->session_ns;
        }
    }
    return next;
}

void quorum_brokers_lost(struct quorum *q, int32_t node)
{
    const struct image_node *n = image_node(q->image, node);
    const struct peer *p = peers_find(q->peers, node);
    struct quorum_broker *b = raft_leads(&q->raft) && n && !n->fenced ? broker_get(q, node) : NULL;
    if (!b || n->fenced)
        return;
    // Another one may be registered since that this node cannot reach: it holds a lease, and serves.
    if (!p || !quorum_peers_was_registered(q, p))
        return;
    uint64_t now = shard_now_ns(q->shard);
    if (b->hint_at_ns[0] && now - b->hint_at_ns[0] < HINT_MEMORY_MS * QUORUM_NS_PER_MS) {
        trace_warn(q->config.trace, "node %d seems dead, but was alive twice in the last minute when it seemed so", node);
        return;
    }
    trace_warn(q->config.trace, "node %d is dead: its connection broke and a new one is refused; fenced", node);
    b->hinted = true;
    state_ask(q, b, n, true);
}

// ---- heartbeats ----

static void beat_answer(struct quorum *q, struct peer_route to, int32_t correlation, enum rc rc, bool fenced)
{
    struct broker_heartbeat_answer_request m = {
        .error_code = kerr_of(rc), .fenced = fenced, .committed = (int64_t)q->raft.commit};
    (void)peers_answer(q->peers, to, &broker_heartbeat_answer_request_message, correlation, &m);
}

// A fenced broker comes back once it has applied what was applied here when it was first heard again.
static void beat_fenced(struct quorum *q, struct quorum_broker *b, const struct image_node *n)
{
    if (b->hinted) { // the process lives after all
        b->hinted = false;
        b->hint_at_ns[0] = b->hint_at_ns[1];
        b->hint_at_ns[1] = shard_now_ns(q->shard);
    }
    if (b->target == 0)
        b->target = q->image->index;
    if (b->applied < b->target || b->applied < (uint64_t)n->broker_epoch)
        return;
    b->target = 0;
    state_ask(q, b, n, false);
}

// Each mark is what was committed when the one before it was reached.
static void beat_lag(struct quorum *q, struct quorum_broker *b)
{
    if (b->applied < b->lag_index)
        return;
    b->lag_index = q->raft.commit > b->applied ? q->raft.commit : 0;
    b->lag_ns = shard_now_ns(q->shard);
}

void quorum_brokers_beat(struct quorum *q, struct peer_inlet *in, struct peer_route from, const struct peer_frame *f)
{
    struct broker_heartbeat_request m;
    struct arena a;
    struct dec d = dec_of(f->body);
    arena_init(&a, 4096, NULL, 0);
    enum rc rc = broker_heartbeat_request_decode(&d, f->version, &a, &m);
    arena_deinit(&a);
    if (rc != RC_OK || m.node != in->hello.node || m.applied < 0)
        return;
    const struct image_node *n = image_node(q->image, m.node);
    // What it answers is a lease, so it must still be the controller: a majority followed it within an election timeout.
    bool followed = raft_leads(&q->raft) && shard_now_ns(q->shard) < raft_followed_ms(&q->raft) * QUORUM_NS_PER_MS +
                                                                        q->config.election_timeout_ms * QUORUM_NS_PER_MS;
    if (!followed) {
        beat_answer(q, from, f->correlation, RC_NOT_CONTROLLER, false);
    } else if (!n || n->broker_epoch != m.broker_epoch || !uuid_eq(n->incarnation, m.incarnation)) {
        beat_answer(q, from, f->correlation, n ? RC_STALE_BROKER_EPOCH : RC_BROKER_ID_NOT_REGISTERED, true);
    } else {
        struct quorum_broker *b = broker_get(q, m.node);
        // Heard again too late: others may be elected as soon as that is committed, so what it is told now is no lease.
        bool fencing = b && b->busy && b->state.fenced && b->state.broker_epoch == m.broker_epoch;
        if (b) {
            if (b->epoch != m.broker_epoch)
                b->target = b->lag_index = 0;
            b->epoch = m.broker_epoch;
            b->heard_ns = shard_now_ns(q->shard);
            b->applied = (uint64_t)m.applied;
            beat_lag(q, b);
            if (m.wall_ms)
                quorum_met_clock(q, m.node, m.wall_ms);
            if (!n->fenced)
                b->hinted = false;
            // A new registration asks to be unfenced by itself, when its logs are ready.
            if (n->fenced && m.want_unfenced)
                beat_fenced(q, b, n);
        }
        beat_answer(q, from, f->correlation, RC_OK, n->fenced || fencing);
    }
    quorum_wake(q);
}

uint64_t quorum_brokers_seen(const struct quorum *q)
{
    uint64_t seen = UINT64_MAX;
    for (uint32_t i = 0; i < q->image->node_count; i++) {
        const struct image_node *n = q->image->nodes[i];
        if (n->fenced || n->id == q->config.node_id)
            continue;
        const struct quorum_broker *b = broker_find(q, n->id);
        uint64_t applied = b && b->epoch == n->broker_epoch ? b->applied : 0;
        seen = applied < seen ? applied : seen;
    }
    return seen;
}
