// SPDX-License-Identifier: Apache-2.0
//
// Fetch: reads every partition asked for on its shard, answers at once when there is enough, an error, or no time to
// wait; else waits on the partitions until there is. The answer names file ranges; small ones are copied.
//
// One leg a shard. A leg reads its partitions in session order; when the whole is too little, a second call of the leg
// puts watches on them and comes back when one fires or when the origin cancels. Then all is read anew.
#include <stdlib.h>

#include "broker/api.h"
#include "engine/partition.h"
#include "model/kerr.h"

enum { INLINE_BYTES_MAX = 16 * 1024, TOPIC_COPY_BYTES = 288 };

struct fetch_op;

struct fetch_item {
    struct partition_read read;
    struct partition_watch watch;
    struct request_range range;
    struct fetch_item *next_in_leg;
    struct fetch_leg *leg; // NULL: judged without asking anyone
    struct fetch_partition *cached; // in the session, or NULL
    struct bytes topic;
    struct uuid answer_id; // as the request named it
    int32_t leader;
    uint32_t bytes_max;
    size_t bytes_sent;
    bool answered; // part of the answer
    bool by_id;
};

struct fetch_leg {
    struct fetch_op *op;
    struct engine_shard *shard;
    struct fetch_item *first, *last;
    struct engine_call read_call, watch_call, cancel_call, unpin_call;
    struct fetch_item *at;   // the next to read
    struct plog_wait wait;   // for the disk
    struct shard_task task;  // wakes
    uint64_t bytes_left;     // of the answer, as this leg sees it
    uint64_t bytes_watched;  // seen below the bound while waiting
    bool watching, woken, read_something;
};

struct fetch_op {
    struct request *rq;
    const struct fetch_request *in;
    struct fetch_context context;
    struct fetch_item *items;
    uint32_t item_count;
    struct fetch_leg *legs;
    uint32_t leg_count, pending;
    uint64_t min_bytes, max_bytes;
    uint64_t deadline_ns;
    bool committed, gone, last_try, waiting, ending;
    struct shard_timer timer;
    struct fetch_response response;
};

static void fetch_read(struct fetch_op *op);

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

// Unpins every leg, then calls what comes next: through pending, since other shards answer later.
static void fetch_unpin(struct fetch_op *op, engine_call_fn done)
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

static void fetch_answer(struct fetch_op *op)
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

// ------------------------------------------------------------------------------------------------ waiting

static void fetch_leg_unwatch(struct fetch_leg *leg)
{
    for (struct fetch_item *item = leg->first; item; item = item->next_in_leg)
        partition_unwatch(&item->watch);
    leg->watching = false;
}

// On the leg's shard, at the end of the turn in which a watch fired.
static void fetch_leg_woken(struct shard_task *t)
{
    struct fetch_leg *leg = container_of(t, struct fetch_leg, task);
    if (!leg->watching)
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

static void fetch_watch_fired(struct partition_watch *w, uint64_t bytes_added, bool ended)
{
    struct fetch_item *item = container_of(w, struct fetch_item, watch);
    struct fetch_leg *leg = item->leg;
    leg->bytes_watched += bytes_added < item->bytes_max ? bytes_added : item->bytes_max;
    if (ended || leg->bytes_watched >= fetch_leg_enough(leg))
        fetch_leg_wake(leg);
}

// Puts watches on; what was added since the read is counted, so nothing falls between the two.
static void fetch_leg_watch_run(struct engine_call *c)
{
    struct fetch_leg *leg = container_of(c, struct fetch_leg, watch_call);
    leg->watching = true;
    leg->woken = false;
    leg->bytes_watched = 0;
    bool moved = false;
    for (struct fetch_item *item = leg->first; item; item = item->next_in_leg) {
        struct partition *p = partition_find(leg->shard, item->read.id);
        if (!p || partition_check(p, item->read.current_leader_epoch) != RC_OK) {
            moved = true;
            continue;
        }
        int64_t bound = leg->op->committed ? partition_last_stable_offset(p) : p->high_watermark;
        int64_t before = leg->op->committed ? item->read.last_stable_offset : item->read.high_watermark;
        moved = moved || bound != before;
        if (bound > item->read.fetch_offset) {
            uint64_t n = plog_bytes_between(&p->log, item->read.fetch_offset, bound);
            leg->bytes_watched += n < item->bytes_max ? n : item->bytes_max;
        }
        item->watch.offset = item->read.fetch_offset;
        item->watch.committed = leg->op->committed;
        item->watch.fire = fetch_watch_fired;
        partition_watch(p, &item->watch);
    }
    if (moved)
        fetch_leg_wake(leg);
}

static void fetch_leg_cancel_run(struct engine_call *c)
{
    struct fetch_leg *leg = container_of(c, struct fetch_leg, cancel_call);
    shard_defer_cancel(leg->shard->shard, &leg->task);
    if (leg->watching) {
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
    struct fetch_op *op = container_of(c, struct fetch_leg, watch_call)->op;
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

static void fetch_abandon(struct request *rq)
{
    struct fetch_op *op = rq->op;
    op->gone = true;
    fetch_end_wait(op);
}

// Nobody waits for more any longer: answer with what there is.
static void fetch_hurry(struct request *rq)
{
    struct fetch_op *op = rq->op;
    op->last_try = true;
    fetch_end_wait(op);
}

static void fetch_wait(struct fetch_op *op)
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

static void fetch_wait_unpinned(struct engine_call *c)
{
    struct fetch_op *op = container_of(c, struct fetch_leg, unpin_call)->op;
    if (--op->pending == 0)
        fetch_wait(op);
}

// ------------------------------------------------------------------------------------------------ reading

static void fetch_leg_continue(struct fetch_leg *leg);

static void fetch_leg_warm(struct plog_wait *wait)
{
    fetch_leg_continue(container_of(wait, struct fetch_leg, wait));
}

static void fetch_leg_continue(struct fetch_leg *leg)
{
    for (; leg->at; leg->at = leg->at->next_in_leg) {
        struct fetch_item *item = leg->at;
        uint64_t limit = item->bytes_max < leg->bytes_left ? item->bytes_max : leg->bytes_left;
        item->read.bytes_max = limit > UINT32_MAX ? UINT32_MAX : (uint32_t)limit;
        item->read.at_least_one = !leg->read_something;
        leg->wait.done = fetch_leg_warm;
        if (!partition_read(leg->shard, &item->read, &leg->wait))
            return; // fetch_leg_warm() goes on
        memset(&leg->wait, 0, sizeof(leg->wait));
        uint64_t n = item->read.slice.bytes;
        leg->read_something = leg->read_something || n > 0;
        leg->bytes_left -= n < leg->bytes_left ? n : leg->bytes_left;
    }
    engine_call_finish(&leg->read_call);
}

static void fetch_leg_read_run(struct engine_call *c)
{
    struct fetch_leg *leg = container_of(c, struct fetch_leg, read_call);
    leg->at = leg->first;
    leg->bytes_left = leg->op->max_bytes;
    leg->read_something = false;
    fetch_leg_continue(leg);
}

// Everything has been read: answer or wait?
static void fetch_read_over(struct fetch_op *op)
{
    if (--op->pending > 0)
        return;
    uint64_t bytes = 0;
    bool now = op->gone || op->last_try || op->item_count == 0 || op->deadline_ns == 0;
    for (uint32_t i = 0; i < op->item_count && !now; i++) {
        const struct partition_read *r = &op->items[i].read;
        bytes += r->slice.bytes;
        now = r->rc != RC_OK || r->diverging_epoch != LEADER_EPOCH_NONE || bytes >= op->min_bytes;
    }
    if (now || op->min_bytes == 0 || shard_now_ns(op->rq->bs->shard) >= op->deadline_ns) {
        fetch_answer(op);
        return;
    }
    fetch_unpin(op, fetch_wait_unpinned);
    if (--op->pending == 0)
        fetch_wait(op);
}

static void fetch_leg_read_done(struct engine_call *c)
{
    fetch_read_over(container_of(c, struct fetch_leg, read_call)->op);
}

static void fetch_read(struct fetch_op *op)
{
    ASSERT(op->pending == 0);
    op->pending = 1;
    for (uint32_t i = 0; i < op->leg_count; i++) {
        struct fetch_leg *leg = &op->legs[i];
        leg->read_call.run = fetch_leg_read_run;
        leg->read_call.done = fetch_leg_read_done;
        op->pending++;
        engine_call_start(&leg->read_call, op->rq->bs->engine, leg->shard);
    }
    fetch_read_over(op);
}

// ------------------------------------------------------------------------------------------------ begin

struct fetch_topic_memo {
    const struct image_topic *topic;
    struct bytes name;
    struct uuid id;
    bool valid;
};

static const struct image_topic *fetch_topic(const struct image *image, struct fetch_topic_memo *m, bool by_id,
                                             struct bytes name, struct uuid id)
{
    if (m->valid && bytes_eq(m->name, name) && uuid_eq(m->id, id))
        return m->topic;
    *m = (struct fetch_topic_memo){.name = name, .id = id, .valid = true};
    m->topic = by_id ? image_topic_by_id(image, id) : image_topic_by_name(image, name);
    return m->topic;
}

static struct fetch_leg *fetch_leg_for(struct fetch_op *op, struct engine_shard *shard)
{
    for (uint32_t i = 0; i < op->leg_count; i++)
        if (op->legs[i].shard == shard)
            return &op->legs[i];
    struct fetch_leg *leg = &op->legs[op->leg_count++];
    leg->op = op;
    leg->shard = shard;
    return leg;
}

// Finds the partition's place, or says at once why it has none.
static void fetch_item_place(struct fetch_op *op, struct fetch_item *item, const struct image_topic *t)
{
    struct engine *e = op->rq->bs->engine->engine;
    struct partition_read *r = &item->read;
    r->high_watermark = r->last_stable_offset = r->log_start_offset = OFFSET_NONE;
    r->leader_epoch = r->diverging_epoch = LEADER_EPOCH_NONE;
    item->leader = NODE_ID_NONE;
    if (!t) {
        r->rc = item->by_id ? RC_UNKNOWN_TOPIC_ID : RC_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    const struct image_partition *p = r->id.partition >= 0 ? image_partition(t, r->id.partition) : NULL;
    if (!p) {
        r->rc = RC_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    item->leader = p->leader;
    if (p->leader != e->config.node_id) {
        r->rc = RC_NOT_LEADER_OR_FOLLOWER;
        r->leader_epoch = p->leader_epoch;
        return;
    }
    struct topic_partition id = {.topic_id = t->id, .partition = r->id.partition};
    item->leg = fetch_leg_for(op, engine_shard_of(e, id));
    if (item->leg->last)
        item->leg->last->next_in_leg = item;
    else
        item->leg->first = item;
    item->leg->last = item;
    r->id = id;
}

static void fetch_item_set(struct fetch_op *op, struct fetch_item *item, const struct image *image,
                           struct fetch_topic_memo *memo, struct bytes name, struct uuid id, int32_t partition,
                           int64_t offset, int32_t bytes_max, int32_t current_epoch, int32_t last_epoch)
{
    item->by_id = op->rq->version >= 13;
    item->topic = name;
    item->answer_id = id;
    item->bytes_max = bytes_max > 0 ? (uint32_t)bytes_max : 0;
    item->read = (struct partition_read){.id = {.topic_id = id, .partition = partition},
                                         .fetch_offset = offset,
                                         .committed = op->committed,
                                         .current_leader_epoch = current_epoch,
                                         .last_fetched_epoch = last_epoch};
    fetch_item_place(op, item, fetch_topic(image, memo, item->by_id, name, id));
}

static void fetch_items_of_session(struct fetch_op *op, const struct image *image)
{
    struct fetch_session *s = op->context.session;
    struct fetch_topic_memo memo = {0};
    uint32_t at = 0;
    for (struct list_node *n = list_first(&s->order); n; n = list_next(&s->order, n)) {
        struct fetch_partition *p = list_entry(n, struct fetch_partition, link);
        struct fetch_item *item = &op->items[at++];
        item->cached = p;
        fetch_item_set(op, item, image, &memo, p->topic, p->topic_id, p->partition, p->fetch_offset, p->bytes_max,
                       p->current_leader_epoch, p->last_fetched_epoch);
    }
}

static bool fetch_items_of_request(struct fetch_op *op, const struct image *image)
{
    struct fetch_topic_memo memo = {0};
    uint32_t at = 0;
    for (uint32_t i = 0; i < op->in->topics_count; i++) {
        const struct fetch_request_topic *t = &op->in->topics[i];
        const uint8_t *copy = arena_copy(&op->rq->arena, t->topic.p, t->topic.n); // the frame goes before the wait
        if (!copy)
            return false;
        struct bytes name = bytes_of(copy, t->topic.n);
        for (uint32_t j = 0; j < t->partitions_count; j++) {
            const struct fetch_request_partition *p = &t->partitions[j];
            fetch_item_set(op, &op->items[at++], image, &memo, name, t->topic_id, p->partition, p->fetch_offset,
                           p->partition_max_bytes, p->current_leader_epoch, p->last_fetched_epoch);
        }
    }
    return true;
}

static uint32_t fetch_item_count(const struct fetch_op *op)
{
    if (op->context.session)
        return (uint32_t)op->context.session->order.count;
    uint32_t count = 0;
    for (uint32_t i = 0; i < op->in->topics_count; i++)
        count += op->in->topics[i].partitions_count;
    return count;
}

// Memory of a fetch of count partitions and of its answer.
static size_t fetch_bytes(uint32_t count)
{
    return count * (sizeof(struct fetch_item) + sizeof(struct fetch_response_partition) +
                    sizeof(struct fetch_response_response) + sizeof(struct enc_hole) + 64);
}

static void fetch_set_limits(struct fetch_op *op)
{
    const struct fetch_request *in = op->in;
    struct request *rq = op->rq;
    op->committed = in->isolation_level == 1;
    op->min_bytes = in->min_bytes > 0 ? (uint64_t)in->min_bytes : 0;
    op->max_bytes = (uint64_t)rq->bs->broker->config.fetch_bytes_max;
    if (in->max_bytes >= 0 && (uint64_t)in->max_bytes < op->max_bytes)
        op->max_bytes = (uint64_t)in->max_bytes;
    if (op->min_bytes > op->max_bytes)
        op->min_bytes = op->max_bytes; // else it could never be reached (Kafka caps it so, too)
    op->deadline_ns = in->max_wait_ms > 0 ? rq->start_ns + (uint64_t)in->max_wait_ms * 1000000 : 0;
}

void api_fetch_begin(struct request *rq, const void *message)
{
    const struct fetch_request *in = message;
    struct fetch_op *op = request_alloc(rq, sizeof(*op));
    if (!op) {
        request_give_up(rq);
        return;
    }
    op->rq = rq;
    op->in = in;
    fetch_response_init(&op->response);
    if (in->replica_id >= 0 || in->replica_state.replica_id >= 0) {
        op->response.error_code = kerr_of(RC_CLUSTER_AUTHORIZATION_FAILED); // replicas use the peer port
        request_answer(rq, &op->response);
        return;
    }
    fetch_session_begin(&rq->bs->fetch_sessions, in, rq->version, rq->start_ns, &op->context);
    if (op->context.rc != RC_OK) {
        op->response.error_code = kerr_of(op->context.rc);
        request_answer(rq, &op->response);
        return;
    }
    op->item_count = fetch_item_count(op);
    // What a partition costs does not depend on the frame: an incremental request of a few bytes fetches thousands.
    api_answer_reserve(rq, fetch_bytes(op->item_count) + in->topics_count * (size_t)TOPIC_COPY_BYTES +
                               rq->bs->broker->shard_count * sizeof(*op->legs));
    op->items = arena_array(&rq->arena, op->item_count, sizeof(*op->items));
    op->legs = arena_array(&rq->arena, rq->bs->broker->shard_count, sizeof(*op->legs));
    if (!op->items || !op->legs) {
        fetch_session_done(&rq->bs->fetch_sessions, &op->context);
        request_give_up(rq);
        return;
    }
    fetch_set_limits(op);
    if (op->context.session) {
        fetch_items_of_session(op, engine_image(rq->bs->engine));
    } else if (!fetch_items_of_request(op, engine_image(rq->bs->engine))) {
        request_give_up(rq);
        return;
    }
    op->in = NULL;
    if (!request_forget_frame(rq)) {
        fetch_session_done(&rq->bs->fetch_sessions, &op->context);
        request_give_up(rq);
        return;
    }
    rq->op = op;
    rq->abandon = fetch_abandon;
    rq->hurry = fetch_hurry;
    fetch_read(op);
}
