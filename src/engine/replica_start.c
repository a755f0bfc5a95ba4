// SPDX-License-Identifier: Apache-2.0
//
// DeleteRecords on replicated partitions: a log start that this leader has raised is answered when no replica that could
// lead next would bring the records back, and nobody becomes one that would. So it is while a log moves to another folder:
// between the record there and the end of the move a start after a power cut believes that folder, and with it the log start
// it was told; the move tells it anew before it ends.
#include "engine/partition_move.h"
#include "engine/replica_core.h"

int64_t replica_low_watermark(const struct partition *p)
{
    const struct replica *r = p->replica;
    if (!r)
        return plog_start_offset(&p->log);
    return r->leads && r->begun ? repl_leader_low_watermark(&r->leader, plog_start_offset(&p->log)) : OFFSET_NONE;
}

static bool everybody_has(const struct partition_start *s)
{
    int64_t low = replica_low_watermark(s->p);
    if (low == OFFSET_NONE || low < s->offset || partition_move_holds(s->p))
        return false;
    if (s->p->replica)
        repl_leader_deleted(&s->p->replica->leader, low);
    return true;
}

static void start_over(struct partition_start *s, enum rc rc)
{
    shard_timer_cancel(s->p->es->shard, &s->timer);
    list_remove(&s->p->starts, &s->link);
    s->followed(s, rc);
}

static void start_due(struct shard_timer *t)
{
    start_over(container_of(t, struct partition_start, timer), RC_REQUEST_TIMED_OUT);
}

enum rc replica_wait_start(struct partition *p, struct partition_start *s)
{
    s->p = p;
    if (p->replica && (!p->replica->leads || !p->replica->begun))
        return RC_NOT_LEADER_OR_FOLLOWER;
    if (everybody_has(s))
        return RC_OK;
    struct shard *shard = p->es->shard;
    if (p->es->settling || p->state == PARTITION_DOOMED) // nobody would look again
        return RC_NOT_LEADER_OR_FOLLOWER;
    uint64_t wait_ms = s->timeout_ms > 0 ? (uint64_t)s->timeout_ms : 0;
    if (shard_timer_set(shard, &s->timer, shard_now_ns(shard) + wait_ms * 1000000, start_due) != RC_OK)
        return RC_REQUEST_TIMED_OUT; // no memory to wait with
    list_push_back(&p->starts, &s->link);
    return RC_AGAIN;
}

void replica_starts_look(struct partition *p)
{
    for (struct list_node *n = list_first(&p->starts), *next; n; n = next) {
        next = list_next(&p->starts, n);
        struct partition_start *s = list_entry(n, struct partition_start, link);
        if (everybody_has(s))
            start_over(s, RC_OK);
    }
}

void replica_starts_fail(struct partition *p, enum rc rc)
{
    for (struct list_node *n; (n = list_first(&p->starts));)
        start_over(list_entry(n, struct partition_start, link), rc);
}
