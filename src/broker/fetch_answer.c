// SPDX-License-Identifier: Apache-2.0
//
// The answer to a Fetch: which partitions are worth a line, what of their ranges fits, and letting go of what was
// pinned for it.
#include "broker/fetch_op.h"
#include "model/kerr.h"

enum { INLINE_BYTES_MAX = 16 * 1024 };

// ------------------------------------------------------------------------------------------------ letting go

static void fetch_leg_unpin_run(struct engine_call *c)
{
    struct fetch_leg *leg = container_of(c, struct fetch_leg, unpin_call);
    for (struct list_node *n = list_first(&leg->read); n; n = list_next(&leg->read, n))
        plog_slice_release(&list_entry(n, struct fetch_item, link)->read.slice);
    for (struct fetch_pin *pin = leg->pins; pin; pin = pin->next)
        plog_slice_release(&pin->slice);
    leg->pins = NULL;
    engine_call_finish(c);
}

static bool fetch_leg_pinned(const struct fetch_leg *leg)
{
    for (const struct list_node *n = list_first(&leg->read); n; n = list_next(&leg->read, n))
        if (list_entry(n, struct fetch_item, link)->read.slice.file)
            return true;
    return leg->pins != NULL;
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

bool fetch_holds(const struct request *rq, const struct topic_partition *id)
{
    if (rq->state != REQUEST_READY || rq->unpin != fetch_answer_unpin)
        return false;
    const struct fetch_op *op = rq->op;
    for (uint32_t i = 0; i < op->leg_count; i++)
        for (const struct fetch_pin *pin = op->legs[i].pins; pin; pin = pin->next)
            if (topic_partition_eq(pin->id, *id))
                return true;
    return false;
}

// ------------------------------------------------------------------------------------------------ answer

// Copies a short range into the scratch behind `used`; false: send it from the file.
static bool fetch_inline(struct fetch_op *op, struct fetch_pin *pin, size_t n, struct records *out)
{
    struct broker_shard *bs = op->rq->bs;
    size_t got = 0;
    if (n > INLINE_BYTES_MAX || bs->fetch_scratch_used + n > SCRATCH_BYTES)
        return false;
    uint8_t *p = bs->fetch_scratch + bs->fetch_scratch_used;
    if (io_file_read_cached(&pin->range.file, p, n, pin->range.position, &got) != RC_OK || got != n)
        return false;
    bs->fetch_scratch_used += n;
    bs->counters.fetch_inline_bytes += n;
    *out = records_of(bytes_of(p, n));
    return true;
}

// Who leads instead, as this node knows.
static void fetch_fill_leader(const struct fetch_op *op, const struct fetch_item *item, struct fetch_response_partition *out)
{
    const struct image_topic *t = image_topic_by_id(engine_image(op->rq->bs->engine), item->read.id.topic_id);
    const struct image_partition *p = t ? image_partition(t, item->read.id.partition) : NULL;
    if (!p)
        return;
    out->current_leader.leader_id = p->leader;
    out->current_leader.leader_epoch = p->leader_epoch;
}

static void fetch_fill(struct fetch_op *op, struct fetch_item *item, struct fetch_pin *pin,
                       struct fetch_response_partition *out)
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
    out->preferred_read_replica = r->preferred;
    if (r->rc == RC_NOT_LEADER_OR_FOLLOWER || r->rc == RC_FENCED_LEADER_EPOCH)
        fetch_fill_leader(op, item, out);
    if (item->bytes_sent > 0 && !fetch_inline(op, pin, item->bytes_sent, &out->records))
        out->records = (struct records){.bytes = {.p = NULL, .n = item->bytes_sent}, .hole = &pin->range};
}

// The answer while it is put together: the partitions it may be about in order, and room for what it says of them.
struct fetch_draft {
    struct fetch_item **items;
    struct fetch_pin *pins; // one an item; used by those with data
    struct fetch_response_partition *parts;
    struct fetch_response_response *topics;
    uint32_t count, answered;
};

static void fetch_draft_add(struct fetch_draft *d, const struct list *items)
{
    for (struct list_node *n = list_first(items); n; n = list_next(items, n))
        d->items[d->count++] = list_entry(n, struct fetch_item, link);
}

// False when the request's share of memory is used up: then nothing has changed.
static bool fetch_draft_init(struct fetch_op *op, struct fetch_draft *d)
{
    struct arena *a = &op->rq->arena;
    size_t count = op->judged.count;
    for (uint32_t i = 0; i < op->leg_count; i++)
        count += op->legs[i].read.count;
    *d = (struct fetch_draft){0};
    // What a partition costs does not depend on the frame: an incremental request of a few bytes may find thousands.
    api_answer_reserve(op->rq, count * (sizeof(*d->items) + sizeof(*d->pins) + sizeof(*d->parts) + sizeof(*d->topics) +
                                        sizeof(struct enc_hole) + 64));
    d->items = arena_array(a, count, sizeof(*d->items));
    d->pins = arena_array(a, count, sizeof(*d->pins));
    d->parts = arena_array(a, count, sizeof(*d->parts));
    d->topics = arena_array(a, count, sizeof(*d->topics));
    if (!d->items || !d->pins || !d->parts || !d->topics)
        return false;
    fetch_draft_add(d, &op->judged);
    for (uint32_t i = 0; i < op->leg_count; i++)
        fetch_draft_add(d, &op->legs[i].read);
    return true;
}

// The range goes over from the item, which is the session's, to the request.
static void fetch_pin_take(struct fetch_op *op, struct fetch_item *item, struct fetch_pin *pin)
{
    for (uint32_t i = 0; i < op->leg_count; i++)
        if (op->legs[i].share == item->share) {
            pin->next = op->legs[i].pins;
            op->legs[i].pins = pin;
        }
    pin->id = item->read.id;
    pin->slice = item->read.slice;
    struct io_file *file = plog_slice_file(&pin->slice);
    pin->range = (struct request_range){
        .file = {.io = op->rq->bs->shard->io, .fd = file->fd, .kind = IO_FILE_LOG, .private_data = file->private_data},
        .position = pin->slice.position};
    item->read.slice = (struct plog_slice){0};
}

// Decides in order what of the ranges fits, and which partitions are worth a line.
static void fetch_choose(struct fetch_op *op, struct fetch_draft *d)
{
    uint64_t left = op->max_bytes;
    bool any = false;
    for (uint32_t i = 0; i < d->count; i++) {
        struct fetch_item *item = d->items[i];
        uint64_t n = item->read.slice.bytes;
        item->bytes_sent = 0;
        if (n > 0 && (n <= left || !any)) {
            item->bytes_sent = n;
            left -= n < left ? n : left;
            if (item->read.counts)
                repl_throttle_count(&op->rq->bs->engine->engine->leader_throttle, n, shard_now_ns(op->rq->bs->shard));
            any = true;
        }
        if (item->read.slice.file)
            fetch_pin_take(op, item, &d->pins[i]);
        bool news = true;
        if (op->context.session) {
            struct fetch_partition *p = container_of(item, struct fetch_partition, item);
            bool diverges = item->read.diverging_epoch != LEADER_EPOCH_NONE;
            news = fetch_session_note(p, kerr_of(item->read.rc), item->bytes_sent, item->read.high_watermark,
                                      item->read.last_stable_offset, item->read.log_start_offset) ||
                   diverges || item->read.preferred != NODE_ID_NONE;
            if (diverges)
                fetch_session_tell_again(p);
        }
        item->answered = news || op->context.full;
        d->answered += item->answered;
    }
}

static bool fetch_same_topic(const struct fetch_item *a, const struct fetch_item *b)
{
    return bytes_eq(a->topic, b->topic) && uuid_eq(a->asked_id, b->asked_id);
}

// Groups neighbours of one topic.
static void fetch_build(struct fetch_op *op, struct fetch_draft *d)
{
    op->rq->bs->fetch_scratch_used = 0;
    op->response.responses = d->topics;
    const struct fetch_item *last = NULL;
    struct fetch_response_response *topic = NULL;
    struct fetch_response_partition *part = d->parts;
    for (uint32_t i = 0; i < d->count; i++) {
        struct fetch_item *item = d->items[i];
        if (!item->answered)
            continue;
        if (!last || !fetch_same_topic(last, item)) {
            topic = &d->topics[op->response.responses_count++];
            fetch_response_response_init(topic);
            topic->topic = item->topic;
            topic->topic_id = item->asked_id;
            topic->partitions = part;
        }
        fetch_fill(op, item, &d->pins[i], part++);
        topic->partitions_count++;
        last = item;
    }
}

// ------------------------------------------------------------------------------------------------ the end

// Nothing of the list is in the request's hands any more. What could not be read waits for its place to be found anew.
static void fetch_list_over(struct fetch_op *op, struct list *items)
{
    struct fetch_session *s = op->context.session;
    for (struct list_node *n; (n = list_pop_front(items));) {
        struct fetch_item *item = list_entry(n, struct fetch_item, link);
        if (!s || item->read.rc == RC_OK)
            continue;
        if (item->share)
            item->share->placed--;
        item->share = NULL;
        list_push_back(&s->unplaced, &item->line_link);
    }
}

// The session may serve others. The names of its topics have been encoded.
static void fetch_over(struct fetch_op *op)
{
    fetch_list_over(op, &op->judged);
    for (uint32_t i = 0; i < op->leg_count; i++)
        fetch_list_over(op, &op->legs[i].read);
}

// Nobody will have the answer, or it cannot be put together: the client begins anew. With nothing pinned.
static void fetch_fail(struct fetch_op *op)
{
    struct request *rq = op->rq;
    struct broker_shard *bs = rq->bs;
    struct fetch_context context = op->context;
    fetch_over(op);
    if (op->gone)
        request_answer(rq, &op->response);
    else
        request_give_up(rq);
    if (context.session)
        fetch_session_close(&bs->fetch_sessions, context.session);
    fetch_session_done(&bs->fetch_sessions, &context);
}

static void fetch_failed_unpinned(struct engine_call *c)
{
    struct fetch_op *op = container_of(c, struct fetch_leg, unpin_call)->op;
    if (--op->pending == 0)
        fetch_fail(op);
}

void fetch_answer(struct fetch_op *op)
{
    struct request *rq = op->rq;
    struct broker_shard *bs = rq->bs;
    struct fetch_draft d;
    shard_timer_cancel(bs->shard, &op->timer);
    rq->op = op;
    rq->abandon = rq->hurry = NULL;
    if (op->gone || !fetch_draft_init(op, &d)) {
        fetch_unpin(op, fetch_failed_unpinned);
        if (--op->pending == 0)
            fetch_fail(op);
        return;
    }
    fetch_choose(op, &d);
    fetch_build(op, &d);
    fetch_over(op);
    struct fetch_context context = op->context; // the session's names are read until the answer is encoded
    op->response.session_id = context.session_id;
    request_answer_holes(rq, &op->response, d.answered, fetch_answer_unpin);
    fetch_session_done(&bs->fetch_sessions, &context);
}
