// SPDX-License-Identifier: Apache-2.0
//
// Committed entries into images. One entry may create ten thousand partitions, and a node that was away has many to
// apply: a turn applies a piece, and what other shards see moves on where an entry ends.
#include "engine/quorum_core.h"

enum { PIECE_COST = 64 << 10 }; // about half a millisecond

// The batch under way is committed: its requests are answered once the image is out.
void quorum_land(struct quorum *q)
{
    while (!list_empty(&q->flying)) {
        struct quorum_op *op = container_of(list_pop_front(&q->flying), struct quorum_op, link);
        op->landed_ns = shard_now_ns(q->shard);
        list_push_back(&q->landed, &op->link);
    }
}

void quorum_apply_drop(struct quorum *q)
{
    image_unref(q->applying.image);
    q->applying.image = NULL;
    q->applying.at = 0;
}

// Of the entry behind a->index: a piece, or all that is left.
static enum rc apply_piece(struct quorum *q, struct quorum_applying *a, uint64_t cost_max)
{
    struct raft_entry e;
    bool there = raft_entry_get(&q->raft, a->index + 1, &e);
    ASSERT(there && a->at <= e.payload.n);
    if (e.type == RAFT_ENTRY_DATA) {
        struct bytes rest = bytes_of(e.payload.p + a->at, e.payload.n - a->at);
        enum rc rc = image_apply_some(a->image, &rest, cost_max, e.index, e.term);
        a->at = e.payload.n - rest.n;
        if (rc != RC_OK || rest.n > 0)
            return rc;
    } else {
        a->image->index = e.index;
        a->image->term = e.term;
    }
    a->at = 0;
    a->index = e.index;
    return RC_OK;
}

static void published(struct quorum *q)
{
    const struct image *w = q->applying.image;
    q->applying.image = NULL;
    if (q->batch_index && q->batch_index <= w->index) {
        q->batch_index = 0;
        quorum_land(q);
    }
    uint64_t index = w->index;
    quorum_self_image(q, w);
    quorum_publish(q, w);
    quorum_feed(q, &(struct raft_event){.kind = RAFT_APPLIED, .index = index});
    quorum_snapshot_consider(q);
}

bool quorum_applies(const struct quorum *q)
{
    return !q->dead && q->applying.commit > q->image->index;
}

void quorum_apply(struct quorum *q, uint64_t commit)
{
    struct quorum_applying *a = &q->applying;
    a->commit = commit > a->commit ? commit : a->commit;
    uint64_t turn = q->shard->counters.turns + 1;
    if (!quorum_applies(q) || a->turn == turn)
        return;
    if (!a->image) {
        a->image = image_begin(q->image);
        a->index = q->image->index;
    }
    enum rc rc = a->image ? RC_OK : RC_NOMEM;
    uint64_t cost_max = a->image ? a->image->cost + PIECE_COST : 0;
    while (rc == RC_OK && a->index < a->commit && a->image->cost < cost_max)
        rc = apply_piece(q, a, cost_max);
    if (rc != RC_OK) {
        quorum_apply_drop(q);
        quorum_dead(q, rc,
                    rc == RC_NOMEM ? "out of memory while applying"
                                   : "a committed record is unknown to this version or cannot be applied");
        return;
    }
    if (a->index < a->commit)
        a->turn = turn; // the rest in the next one
    if (a->at == 0)
        published(q);
}
