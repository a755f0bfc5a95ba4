// SPDX-License-Identifier: Apache-2.0
//
// A Fetch that found too little waits on its partitions: one leg a shard puts watches on them and comes back when one
// fires or when the origin cancels.
#include "broker/fetch_op.h"

static void fetch_leg_unwatch(struct fetch_leg *leg)
{
    struct fetch_share *share = leg->share;
    share->waiting = NULL;
    shard_timer_cancel(leg->shard->shard, &leg->timer);
    if (share->lasting)
        return;
    for (struct list_node *n = list_first(&share->line); n; n = list_next(&share->line, n))
        partition_unwatch(&list_entry(n, struct fetch_item, line_link)->watch);
}

// On the leg's shard, at the end of the turn in which a watch fired.
static void fetch_leg_woken(struct shard_task *t)
{
    struct fetch_leg *leg = container_of(t, struct fetch_leg, task);
    if (leg->share->waiting != leg)
        return;
    fetch_leg_unwatch(leg);
    engine_call_finish(&leg->watch_call);
}

static void fetch_leg_wake(struct fetch_leg *leg)
{
    if (leg->woken)
        return;
    leg->woken = true;
    shard_defer(leg->shard->shard, &leg->task, fetch_leg_woken);
}

// With several legs any news brings everybody back: only the origin can add up.
static uint64_t fetch_leg_enough(const struct fetch_leg *leg)
{
    return leg->op->leg_count > 1 ? 1 : leg->op->min_bytes;
}

static void fetch_leg_due(struct shard_timer *t)
{
    struct fetch_leg *leg = container_of(t, struct fetch_leg, timer);
    leg->due = true;
    fetch_leg_wake(leg);
}

// A timer that finds no memory: the poll ends by itself.
static void fetch_leg_moved(struct fetch_leg *leg)
{
    struct shard *s = leg->shard->shard;
    if (leg->op->by_replica && leg->shard->engine->selects_by_rack) // consumers wait at that replica
        fetch_leg_due(&leg->timer);
    else if (leg->op->by_replica && !shard_timer_is_set(&leg->timer))
        shard_timer_set(s, &leg->timer,
                        shard_now_ns(s) + (uint64_t)leg->shard->engine->replica_fetch_wait_ms * 1000000, fetch_leg_due);
}

void fetch_leg_news(struct fetch_leg *leg, const struct fetch_item *item, enum partition_news news, uint64_t bytes_added)
{
    if (news == PARTITION_MOVED) {
        fetch_leg_moved(leg);
        return;
    }
    if (item->read.held_back && news != PARTITION_ANEW)
        return;
    leg->bytes_watched += bytes_added < item->bytes_max ? bytes_added : item->bytes_max;
    if (news == PARTITION_ANEW || leg->bytes_watched >= fetch_leg_enough(leg))
        fetch_leg_wake(leg);
}

// Whether offsets were found that the session's client has not been told.
static bool fetch_leg_has_news(const struct fetch_leg *leg)
{
    for (const struct list_node *n = leg->share->lasting ? list_first(&leg->read) : NULL; n; n = list_next(&leg->read, n)) {
        const struct fetch_item *item = list_entry(n, struct fetch_item, link);
        const struct fetch_partition *p = container_of(item, struct fetch_partition, item);
        if (p->high_watermark != item->read.high_watermark || p->log_start_offset != item->read.log_start_offset)
            return true;
    }
    return false;
}

// Puts watches on; what was added since the read is counted, so nothing falls between the two. A session's partition
// that does not stand in line has had no news.
static void fetch_leg_watch_run(struct engine_call *c)
{
    struct fetch_leg *leg = container_of(c, struct fetch_leg, watch_call);
    struct fetch_share *share = leg->share;
    share->waiting = leg;
    leg->woken = leg->due = false;
    leg->bytes_watched = 0;
    bool moved = false;
    for (struct list_node *n = list_first(&share->line); n; n = list_next(&share->line, n)) {
        struct fetch_item *item = list_entry(n, struct fetch_item, line_link);
        if (item->read.held_back)
            continue; // more of it would not be sent: it is read again when this wait is over
        struct partition *p = partition_find(share->shard, item->read.id);
        if (!p || partition_check_reader(p, &item->read, &leg->op->client) != RC_OK) {
            moved = true;
            continue;
        }
        int64_t bound = partition_bound(p, &item->read);
        moved = moved || bound != item->read.bound;
        if (bound > item->read.fetch_offset) {
            uint64_t bytes = plog_bytes_between(&p->log, item->read.fetch_offset, bound);
            leg->bytes_watched += bytes < item->bytes_max ? bytes : item->bytes_max;
        }
        fetch_share_watch(share, item);
    }
    if (moved)
        fetch_leg_wake(leg);
    else if (share->line.count > 0 || fetch_leg_has_news(leg))
        fetch_leg_moved(leg);
}

static void fetch_leg_cancel_run(struct engine_call *c)
{
    struct fetch_leg *leg = container_of(c, struct fetch_leg, cancel_call);
    shard_defer_cancel(leg->shard->shard, &leg->task);
    if (leg->share->waiting == leg) {
        fetch_leg_unwatch(leg);
        engine_call_finish(&leg->watch_call);
    }
    engine_call_finish(c);
}

static void fetch_wait_over(struct fetch_op *op)
{
    if (--op->pending > 0)
        return;
    op->waiting = false;
    if (op->gone)
        fetch_answer(op);
    else
        fetch_read(op);
}

static void fetch_leg_cancel_done(struct engine_call *c)
{
    fetch_wait_over(container_of(c, struct fetch_leg, cancel_call)->op);
}

// Ends the wait of every leg; when all have come back everything is read anew.
static void fetch_end_wait(struct fetch_op *op)
{
    if (!op->waiting || op->ending)
        return;
    op->ending = true;
    op->pending++;
    for (uint32_t i = 0; i < op->leg_count; i++) {
        struct fetch_leg *leg = &op->legs[i];
        leg->cancel_call.run = fetch_leg_cancel_run;
        leg->cancel_call.done = fetch_leg_cancel_done;
        op->pending++;
        engine_call_start(&leg->cancel_call, op->rq->bs->engine, leg->shard);
    }
    fetch_wait_over(op);
}

static void fetch_leg_watch_done(struct engine_call *c)
{
    struct fetch_leg *leg = container_of(c, struct fetch_leg, watch_call);
    struct fetch_op *op = leg->op;
    op->last_try = op->last_try || leg->due;
    op->pending++; // hold it while the others are told
    fetch_end_wait(op);
    op->pending--;
    fetch_wait_over(op);
}

static void fetch_due(struct shard_timer *t)
{
    struct fetch_op *op = container_of(t, struct fetch_op, timer);
    op->last_try = true;
    fetch_end_wait(op);
}

void fetch_abandon(struct request *rq)
{
    struct fetch_op *op = rq->op;
    op->gone = true;
    fetch_end_wait(op);
}

void fetch_hurry(struct request *rq)
{
    struct fetch_op *op = rq->op;
    op->last_try = true;
    fetch_end_wait(op);
}

void fetch_wait(struct fetch_op *op)
{
    struct request *rq = op->rq;
    op->waiting = true;
    op->ending = false;
    op->pending++;
    rq->bs->counters.fetch_waits++;
    if (!shard_timer_is_set(&op->timer) &&
        shard_timer_set(rq->bs->shard, &op->timer, op->deadline_ns, fetch_due) != RC_OK)
        op->last_try = true;
    for (uint32_t i = 0; i < op->leg_count; i++) {
        struct fetch_leg *leg = &op->legs[i];
        leg->watch_call.run = fetch_leg_watch_run;
        leg->watch_call.done = fetch_leg_watch_done;
        op->pending++;
        engine_call_start(&leg->watch_call, rq->bs->engine, leg->shard);
    }
    op->pending--;
    if (op->last_try || op->gone || op->leg_count == 0)
        fetch_end_wait(op);
}
