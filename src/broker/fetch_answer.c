// SPDX-License-Identifier: Apache-2.0
//
// The answer to a Fetch: which partitions are worth a line, what of their ranges fits, and letting go of what was
// pinned for it.
#include "broker/fetch_op.h"
#include "model/kerr.h"

enum { INLINE_BYTES_MAX = 16 * 1024 };

// ------------------------------------------------------------------------------------------------ letting go

static void fetch_item_unpin(struct fetch_item *item)
{
    plog_slice_release(&item->read.slice);
    item->read.slice = (struct plog_slice){0};
}

static void fetch_leg_unpin_run(struct engine_call *c)
{
    struct fetch_leg *leg = container_of(c, struct fetch_leg, unpin_call);
    for (struct fetch_item *item = leg->first; item; item = item->next_in_leg)
        if (item->read.slice.file)
            fetch_item_unpin(item);
    engine_call_finish(c);
}

static bool fetch_leg_pinned(const struct fetch_leg *leg)
{
    for (const struct fetch_item *item = leg->first; item; item = item->next_in_leg)
        if (item->read.slice.file)
            return true;
    return false;
}

void fetch_unpin(struct fetch_op *op, engine_call_fn done)
{
    op->pending++;
    for (uint32_t i = 0; i < op->leg_count; i++) {
        struct fetch_leg *leg = &op->legs[i];
        if (!fetch_leg_pinned(leg))
            continue;
        op->pending++;
        leg->unpin_call.run = fetch_leg_unpin_run;
        leg->unpin_call.done = done;
        engine_call_start(&leg->unpin_call, op->rq->bs->engine, leg->shard);
    }
}

static void fetch_sent_unpinned(struct engine_call *c)
{
    struct fetch_op *op = container_of(c, struct fetch_leg, unpin_call)->op;
    if (--op->pending == 0)
        request_release(op->rq);
}

// The answer has been sent or dropped.
static bool fetch_answer_unpin(struct request *rq)
{
    struct fetch_op *op = rq->op;
    fetch_unpin(op, fetch_sent_unpinned);
    return --op->pending == 0;
}

// ------------------------------------------------------------------------------------------------ answer

// Copies a short range into the scratch behind `used`; false: send it from the file.
static bool fetch_inline(struct fetch_op *op, struct fetch_item *item, struct records *out)
{
    struct broker_shard *bs = op->rq->bs;
    size_t n = item->bytes_sent, got = 0;
    if (n > INLINE_BYTES_MAX || bs->fetch_scratch_used + n > SCRATCH_BYTES)
        return false;
    uint8_t *p = bs->fetch_scratch + bs->fetch_scratch_used;
    if (io_file_read_cached(&item->range.file, p, n, item->range.position, &got) != RC_OK || got != n)
        return false;
    bs->fetch_scratch_used += n;
    bs->counters.fetch_inline_bytes += n;
    *out = records_of(bytes_of(p, n));
    return true;
}

static void fetch_fill(struct fetch_op *op, struct fetch_item *item, struct fetch_response_partition *out)
{
    const struct partition_read *r = &item->read;
    fetch_response_partition_init(out);
    out->partition_index = r->id.partition;
    out->error_code = kerr_of(r->rc);
    out->high_watermark = r->high_watermark;
    out->last_stable_offset = r->last_stable_offset;
    out->log_start_offset = r->log_start_offset;
    out->records = records_empty();
    // Who reads committed records gets an empty list: nothing was aborted. Who does not gets null.
    static struct fetch_response_aborted_transaction none;
    out->aborted_transactions = op->committed ? &none : NULL;
    if (r->diverging_epoch != LEADER_EPOCH_NONE) {
        out->diverging_epoch.epoch = r->diverging_epoch;
        out->diverging_epoch.end_offset = r->diverging_end;
    }
    if (r->rc == RC_NOT_LEADER_OR_FOLLOWER || r->rc == RC_FENCED_LEADER_EPOCH) {
        out->current_leader.leader_id = item->leader;
        out->current_leader.leader_epoch = r->leader_epoch;
    }
    if (item->bytes_sent > 0 && !fetch_inline(op, item, &out->records))
        out->records = (struct records){.bytes = {.p = NULL, .n = item->bytes_sent}, .hole = &item->range};
}

// Decides in order what of the ranges fits, and which partitions are worth a line. Returns the partitions answered.
static uint32_t fetch_choose(struct fetch_op *op)
{
    uint64_t left = op->max_bytes;
    uint32_t count = 0;
    bool any = false;
    for (uint32_t i = 0; i < op->item_count; i++) {
        struct fetch_item *item = &op->items[i];
        uint64_t n = item->read.slice.bytes;
        item->bytes_sent = 0;
        if (n > 0 && (n <= left || !any)) {
            item->bytes_sent = n;
            left -= n < left ? n : left;
            any = true;
            struct io_file *file = plog_slice_file(&item->read.slice);
            item->range = (struct request_range){
                .file = {.io = op->rq->bs->shard->io, .fd = file->fd, .kind = IO_FILE_LOG,
                         .private_data = file->private_data},
                .position = item->read.slice.position};
        }
        bool news = true;
        if (item->cached)
            news = fetch_session_note(op->context.session, item->cached, kerr_of(item->read.rc), item->bytes_sent,
                                      item->read.high_watermark, item->read.last_stable_offset,
                                      item->read.log_start_offset) ||
                   item->read.diverging_epoch != LEADER_EPOCH_NONE;
        item->answered = news || op->context.full;
        count += item->answered;
    }
    return count;
}

static bool fetch_same_topic(const struct fetch_item *a, const struct fetch_item *b)
{
    return bytes_eq(a->topic, b->topic) && uuid_eq(a->answer_id, b->answer_id);
}

// Groups neighbours of one topic. False when the request's share of memory is used up.
static bool fetch_build(struct fetch_op *op, uint32_t count)
{
    struct arena *a = &op->rq->arena;
    struct fetch_response_partition *parts = arena_array(a, count, sizeof(*parts));
    struct fetch_response_response *topics = arena_array(a, count, sizeof(*topics));
    if (!parts || !topics)
        return false;
    op->rq->bs->fetch_scratch_used = 0;
    const struct fetch_item *last = NULL;
    struct fetch_response_response *topic = NULL;
    uint32_t topic_count = 0, part = 0;
    for (uint32_t i = 0; i < op->item_count; i++) {
        struct fetch_item *item = &op->items[i];
        if (!item->answered)
            continue;
        if (!last || !fetch_same_topic(last, item)) {
            topic = &topics[topic_count++];
            fetch_response_response_init(topic);
            topic->topic = item->topic;
            topic->topic_id = item->answer_id;
            topic->partitions = &parts[part];
        }
        fetch_fill(op, item, &parts[part++]);
        topic->partitions_count++;
        last = item;
    }
    op->response.responses = topics;
    op->response.responses_count = topic_count;
    return true;
}

void fetch_answer(struct fetch_op *op)
{
    struct request *rq = op->rq;
    shard_timer_cancel(rq->bs->shard, &op->timer);
    rq->op = op;
    rq->abandon = rq->hurry = NULL;
    struct broker_shard *bs = rq->bs;
    struct fetch_context context = op->context; // the session's names are read until the answer is encoded
    uint32_t count = op->gone ? 0 : fetch_choose(op);
    op->response.session_id = context.session_id;
    if (op->gone || fetch_build(op, count)) {
        request_answer_holes(rq, &op->response, count, fetch_answer_unpin);
    } else {
        rq->unpin = fetch_answer_unpin;
        request_give_up(rq);
    }
    fetch_session_done(&bs->fetch_sessions, &context);
}
