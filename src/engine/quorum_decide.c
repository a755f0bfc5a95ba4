// SPDX-License-Identifier: Apache-2.0
//
// Decides what is queued into one batch. A decision that takes several turns has the batch to itself until it is whole:
// the draft.
#include "engine/quorum_core.h"

static void new_uuid(void *context, struct uuid *out)
{
    struct quorum *q = context;
    io_random(q->shard->io, out->b, sizeof(out->b));
}

static int32_t voter(void *context, uint32_t i)
{
    const struct quorum *q = context;
    const struct raft_voters *v = raft_voters(&q->raft);
    return i < v->count ? v->ids[i].node : NODE_ID_NONE;
}

// A decision of several turns is given up: leadership ended, something came into the log meanwhile, or nobody waits for
// it any more. Where it is still asked for it begins anew.
void quorum_draft_drop(struct quorum *q)
{
    struct quorum_draft *d = &q->draft;
    if (!d->op)
        return;
    d->op->progress = d->before;
    d->op = NULL;
    controller_batch_end(&d->batch);
    image_unref(d->base);
}

static bool draft_holds(const struct quorum *q)
{
    const struct quorum_draft *d = &q->draft;
    return d->batch.index == raft_last_index(&q->raft) + 1 && d->batch.term == q->raft.hard.term &&
           d->base == q->image && q->queue.head.next == &d->op->link;
}

static enum rc draft_resume(struct quorum *q, struct controller_batch *b)
{
    if (q->draft.op && !draft_holds(q))
        quorum_draft_drop(q);
    if (!q->draft.op)
        return controller_batch_begin(b, q->image, raft_last_index(&q->raft) + 1, q->raft.hard.term);
    *b = q->draft.batch;
    return RC_OK;
}

static void draft_keep(struct quorum *q, const struct controller_batch *b, struct quorum_op *op,
                       const struct controller_progress *before)
{
    struct quorum_draft *d = &q->draft;
    if (!d->op) {
        d->op = op;
        d->before = *before;
        d->base = image_ref(q->image);
    }
    d->batch = *b;
    d->turn = q->shard->counters.turns + 1;
}

static void draft_end(struct quorum *q)
{
    if (!q->draft.op)
        return;
    q->draft.op = NULL;
    image_unref(q->draft.base);
}

enum rc quorum_decide(struct quorum *q, struct controller_batch *b)
{
    if (draft_resume(q, b) != RC_OK)
        return RC_NOMEM;
    struct controller_env env = {.prng = &q->shard->prng,
                                 .self = q->config.node_id,
                                 .properties = q->config.properties,
                                 .new_uuid = new_uuid,
                                 .voter = voter,
                                 .context = q,
                                 .trace = q->config.trace};
    while (!list_empty(&q->queue)) {
        struct quorum_op *op = container_of(q->queue.head.next, struct quorum_op, link);
        enum controller_kind kind = (enum controller_kind)op->kind;
        const struct controller_progress before = op->progress;
        enum rc rc = controller_decide(b, &env, kind, op->request, op->answer, &op->progress, op->arena);
        if (b->draft) {
            draft_keep(q, b, op, &before);
            return RC_AGAIN;
        }
        draft_end(q);
        if (rc == RC_FULL || rc == RC_AGAIN)
            break; // it, or the rest of it, goes into the next batch
        list_remove(&q->queue, &op->link);
        // What adds no record rests on what is applied, or on earlier records of this batch.
        op->index = b->record_count > 0 ? b->index : q->image->index;
        if (rc != RC_OK)
            quorum_finish(q, op, rc);
        else
            list_push_back(&q->flying, &op->link);
    }
    return RC_OK;
}
