// SPDX-License-Identifier: Apache-2.0
//
// When the controller looks for elections that nobody asked for: at intervals, and at once when unclean election was
// allowed somewhere. Whether there is anything to look for it knows from what the image counts; at rest nothing is walked
// over and one timer runs. A round goes over the partitions in pieces with time for others in between.
#include "engine/quorum_core.h"

enum { PIECES_APART_MS = 20, TEND_ARENA_BYTES_MAX = 4 << 20 };

void quorum_tend_init(struct quorum *q, const struct config_layers *layers)
{
    struct quorum_tend *t = &q->tend;
    const uint64_t second = 1000 * QUORUM_NS_PER_MS;
    if (config_broker_bool(layers, "auto.leader.rebalance.enable"))
        t->balance_every_ns =
            (uint64_t)config_broker_int(layers, "leader.imbalance.check.interval.seconds", 300) * second;
    t->unclean_every_ns =
        (uint64_t)config_broker_int(layers, "unclean.leader.election.interval.ms", 300000) * QUORUM_NS_PER_MS;
    int64_t percentage = config_broker_int(layers, "leader.imbalance.per.broker.percentage", 10);
    t->percentage = percentage < 0 ? 0 : percentage > 100 ? 100 : (uint32_t)percentage;
    arena_init(&t->arena, TEND_ARENA_BYTES_MAX, NULL, 0);
}

static void piece_done(struct quorum_op *op, enum rc rc)
{
    struct quorum *q = container_of(op, struct quorum, tend.op);
    struct quorum_tend *t = &q->tend;
    t->busy = false;
    arena_reset(&t->arena);
    t->go_on_ns = rc == RC_OK && t->request.more ? shard_now_ns(q->shard) + PIECES_APART_MS * QUORUM_NS_PER_MS : 0;
    if (rc != RC_OK || t->request.changes > 0)
        t->balanced_index = 0;
    if (rc == RC_OK && t->request.changes > 0)
        trace_info(q->config.trace, "%u partitions have another leader: %s", t->request.changes,
                   t->request.unclean ? "they had none" : "their preferred one is back");
    quorum_wake(q);
}

static void piece_ask(struct quorum *q)
{
    struct quorum_tend *t = &q->tend;
    t->busy = true;
    t->op = (struct quorum_op){.kind = CONTROLLER_TEND,
                               .request = &t->request,
                               .answer = &t->request,
                               .arena = &t->arena,
                               .done = piece_done,
                               .local = true};
    quorum_submit(q, q->shard, &t->op);
}

// A round begins, if there is anything to look for.
static bool begins(struct quorum *q, uint64_t now)
{
    struct quorum_tend *t = &q->tend;
    const struct image *i = q->image;
    t->request = (struct controller_tend){0};
    if (i->leaderless_count > 0 && (now >= t->unclean_ns || i->unclean_index > t->unclean_index)) {
        t->unclean_ns = now + t->unclean_every_ns;
        t->unclean_index = i->unclean_index;
        t->request.unclean = true;
    }
    if (t->balance_every_ns && now >= t->balance_ns) {
        t->balance_ns = now + t->balance_every_ns;
        if (i->index != t->balanced_index && controller_unbalanced(i, t->percentage, &t->request))
            t->balanced_index = i->index;
    }
    return t->request.unclean || t->request.node_count > 0;
}

uint64_t quorum_tend_work(struct quorum *q, uint64_t now)
{
    struct quorum_tend *t = &q->tend;
    if (!q->peers || !raft_leads(&q->raft)) {
        t->begun = false;
        t->go_on_ns = 0;
        return UINT64_MAX;
    }
    if (!t->begun) { // a new controller: what the one before had seen it does not know
        t->begun = true;
        t->balance_ns = now + t->balance_every_ns;
        t->unclean_ns = now;
        t->unclean_index = t->balanced_index = 0;
    }
    if (t->busy)
        return UINT64_MAX;
    if (t->go_on_ns ? now >= t->go_on_ns : begins(q, now)) {
        t->go_on_ns = 0;
        piece_ask(q);
        return UINT64_MAX;
    }
    uint64_t next = t->go_on_ns ? t->go_on_ns : t->balance_every_ns ? t->balance_ns : UINT64_MAX;
    return q->image->leaderless_count > 0 && !t->go_on_ns && t->unclean_ns < next ? t->unclean_ns : next;
}
