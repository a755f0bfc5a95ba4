// SPDX-License-Identifier: Apache-2.0
//
// Fetch: reads every partition asked for on its shard, answers at once when there is enough, an error, or no time to
// wait; else waits on the partitions until there is. The answer names file ranges; small ones are copied.
//
// One leg a shard. A leg reads its partitions in session order; when the whole is too little, a second call of the leg
// puts watches on them and comes back when one fires or when the origin cancels. Then all is read anew.
#include "broker/fetch_op.h"
#include "model/kerr.h"

enum { TOPIC_COPY_BYTES = 288 };

// ------------------------------------------------------------------------------------------------ reading

static void fetch_leg_continue(struct fetch_leg *leg);

static void fetch_leg_warm(struct plog_wait *wait)
{
    fetch_leg_continue(container_of(wait, struct fetch_leg, wait));
}

static enum shard_job_state fetch_leg_job(struct shard_job *j, uint64_t budget_ns)
{
    (void)budget_ns;
    fetch_leg_continue(container_of(j, struct fetch_leg, job)); // may be gone now, or in line again
    return SHARD_JOB_DONE;
}

// There is data, and not one batch of it fits into what the answer has left.
static bool fetch_fits_no_more(const struct fetch_leg *leg, const struct fetch_item *item)
{
    const struct partition_read *r = &item->read;
    return leg->read_something && leg->bytes_left < item->bytes_max && r->slice.bytes == 0 && r->rc == RC_OK &&
           !r->held_back && r->preferred == NODE_ID_NONE && r->diverging_epoch == LEADER_EPOCH_NONE &&
           r->bound > r->fetch_offset;
}

// What was read of item is part of the answer. A session's partition that has no more stands in line no longer; one that
// cannot be read is placed anew before the next read.
static void fetch_item_was_read(struct fetch_leg *leg, struct fetch_item *item)
{
    const struct partition_read *r = &item->read;
    struct fetch_share *share = leg->share;
    if (!list_node_linked(&item->link))
        list_push_back(&leg->read, &item->link);
    uint64_t got = r->slice.bytes;
    // The partitions behind it may have smaller batches, but to look would be a read of a header in each of thousands: they
    // come first the next time.
    if (fetch_fits_no_more(leg, item))
        leg->bytes_left = 0;
    leg->read_something = leg->read_something || got > 0;
    leg->bytes_left -= got < leg->bytes_left ? got : leg->bytes_left;
    leg->full = leg->read_something && leg->bytes_left == 0;
    if (!share->lasting)
        return;
    if (r->rc != RC_OK)
        fetch_share_drop(share, item);
    else if (item->watch.p && got == 0 && r->preferred == NODE_ID_NONE && r->diverging_epoch == LEADER_EPOCH_NONE &&
             r->bound <= r->fetch_offset)
        list_remove(&share->line, &item->line_link);
}

// Nothing more fits, and who still stands in line may wait for the next answer, where they come first: a consumer far behind
// in thousands of partitions looks at those it is given alone. A replica says with its request how far it is, which is
// to be heard at once; a full answer names everyone.
static bool fetch_leg_may_end(const struct fetch_leg *leg)
{
    const struct fetch_op *op = leg->op;
    return leg->full && leg->share->lasting && !op->context.full && !op->by_replica && !op->all;
}

// Reads on, within one turn's share: thousands of partitions, each of which may have to be opened, go over several.
static void fetch_leg_continue(struct fetch_leg *leg)
{
    enum { LOOK_AT_CLOCK_EVERY = 8 };
    struct fetch_share *share = leg->share;
    struct io *io = leg->shard->shard->io;
    uint64_t until_ns = io_clock_ns(io) + SHARD_JOB_BUDGET_NS;
    for (uint32_t n = 1; leg->to_read > 0 && !fetch_leg_may_end(leg); n++, leg->to_read--) {
        if (n % LOOK_AT_CLOCK_EVERY == 0 && io_clock_ns(io) >= until_ns) {
            shard_job_start(leg->shard->shard, &leg->job, fetch_leg_job);
            return;
        }
        struct fetch_item *item = leg->at;
        uint64_t limit = item->bytes_max < leg->bytes_left ? item->bytes_max : leg->bytes_left;
        item->read.bytes_max = limit > UINT32_MAX ? UINT32_MAX : (uint32_t)limit;
        item->read.at_least_one = !leg->read_something;
        leg->wait.done = fetch_leg_warm;
        if (share->lasting)
            fetch_share_watch(share, item); // first, so that nothing falls between the read and it
        if (!partition_read(share->shard, &item->read, &leg->op->client, &leg->wait))
            return; // fetch_leg_warm() goes on
        memset(&leg->wait, 0, sizeof(leg->wait));
        struct list_node *next = list_next(&share->line, &item->line_link);
        leg->at = next ? list_entry(next, struct fetch_item, line_link) : NULL;
        share->looked_at++;
        fetch_item_was_read(leg, item);
    }
    engine_call_finish(&leg->read_call);
}

// Who gave data in the last answer goes to the end of the line, so that the others get their turn. They are among its first.
static void fetch_line_turn(struct fetch_share *share)
{
    struct list gave;
    list_init(&gave);
    struct list_node *n = list_first(&share->line), *next;
    for (size_t left = share->looked_at; n && left > 0; n = next, left--) {
        struct fetch_item *item = list_entry(n, struct fetch_item, line_link);
        next = list_next(&share->line, n);
        if (item->bytes_sent > 0) {
            list_remove(&share->line, n);
            list_push_back(&gave, n);
        }
        item->bytes_sent = 0;
    }
    while ((n = list_pop_front(&gave)))
        list_push_back(&share->line, n);
    share->looked_at = 0;
}

static void fetch_line_up(struct fetch_share *share, struct fetch_item *item)
{
    if (!list_node_linked(&item->line_link))
        list_push_back(&share->line, &item->line_link);
}

static void fetch_leg_read_run(struct engine_call *c)
{
    struct fetch_leg *leg = container_of(c, struct fetch_leg, read_call);
    struct fetch_share *share = leg->share;
    struct fetch_session *s = share->session;
    for (struct list_node *n; (n = list_pop_front(&share->leaving));) {
        fetch_share_drop(share, list_entry(n, struct fetch_item, link));
        list_push_back(&leg->left, n);
    }
    for (struct list_node *n; (n = list_pop_front(&share->named));)
        fetch_line_up(share, list_entry(n, struct fetch_item, link));
    for (struct list_node *n = s && leg->op->all ? list_first(&s->order) : NULL; n; n = list_next(&s->order, n)) {
        struct fetch_item *item = &list_entry(n, struct fetch_partition, link)->item;
        if (item->share == share)
            fetch_line_up(share, item);
    }
    fetch_line_turn(share);
    struct list_node *first = list_first(&share->line);
    leg->at = first ? list_entry(first, struct fetch_item, line_link) : NULL;
    leg->to_read = share->line.count;
    leg->bytes_left = leg->op->max_bytes;
    leg->read_something = leg->full = false;
    fetch_leg_continue(leg);
}

static void fetch_wait_unpinned(struct engine_call *c)
{
    struct fetch_op *op = container_of(c, struct fetch_leg, unpin_call)->op;
    if (--op->pending == 0)
        fetch_wait(op);
}

static void fetch_free_left(struct fetch_op *op)
{
    for (uint32_t i = 0; i < op->leg_count; i++)
        for (struct list_node *n; (n = list_pop_front(&op->legs[i].left));)
            fetch_partition_free(container_of(list_entry(n, struct fetch_item, link), struct fetch_partition, item));
}

// Whether what the leg has read must not wait for more. Counts its bytes.
static bool fetch_leg_is_enough(const struct fetch_op *op, const struct fetch_leg *leg, uint64_t *bytes)
{
    if (leg->full)
        return true; // whatever the least is: nothing would be added (Kafka counts what there is, not what fits)
    for (const struct list_node *n = list_first(&leg->read); n; n = list_next(&leg->read, n)) {
        const struct partition_read *r = &list_entry(n, struct fetch_item, link)->read;
        *bytes += r->slice.bytes;
        // A read ends with its segment. Who is that far behind must not wait for bytes that are there (Kafka answers at
        // once, too).
        if (r->rc != RC_OK || r->diverging_epoch != LEADER_EPOCH_NONE || r->preferred != NODE_ID_NONE ||
            *bytes >= op->min_bytes || (r->older_segment && r->slice.bytes > 0))
            return true;
    }
    return false;
}

// Everything has been read: answer or wait?
static void fetch_read_over(struct fetch_op *op)
{
    if (--op->pending > 0)
        return;
    fetch_free_left(op);
    uint64_t bytes = 0;
    bool now = op->gone || op->last_try || op->item_count == 0 || op->deadline_ns == 0 || !list_empty(&op->judged);
    for (uint32_t i = 0; i < op->leg_count && !now; i++)
        now = fetch_leg_is_enough(op, &op->legs[i], &bytes);
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

void fetch_read(struct fetch_op *op)
{
    ASSERT(op->pending == 0);
    struct engine_shard *es = op->rq->bs->engine;
    // Cut off for so long that others may lead: nobody tells the partitions, so everyone is asked.
    op->all = shard_now_ns(es->shard) > quorum_lease_ns(es->engine->quorum);
    op->pending = 1;
    for (uint32_t i = 0; i < op->leg_count; i++) {
        struct fetch_leg *leg = &op->legs[i];
        leg->read_call.run = fetch_leg_read_run;
        leg->read_call.done = fetch_leg_read_done;
        op->pending++;
        engine_call_start(&leg->read_call, es, leg->shard);
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

// Finds out which shard is to be asked for item; without one says at once why.
static void fetch_item_place(struct fetch_op *op, struct fetch_item *item, const struct image_topic *t)
{
    struct engine *e = op->rq->bs->engine->engine;
    struct partition_read *r = &item->read;
    r->high_watermark = r->last_stable_offset = r->log_start_offset = OFFSET_NONE;
    r->leader_epoch = r->diverging_epoch = LEADER_EPOCH_NONE;
    r->preferred = NODE_ID_NONE;
    r->slice = (struct plog_slice){0};
    if (!t) {
        r->rc = item->by_id ? RC_UNKNOWN_TOPIC_ID : RC_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    const struct image_partition *p = r->id.partition >= 0 ? image_partition(t, r->id.partition) : NULL;
    if (!p) {
        r->rc = RC_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    r->id.topic_id = t->id;
    bool here = p->leader == e->config.node_id ||
                (op->client.any_replica && image_has_replica(p, e->config.node_id));
    if (!here) {
        r->rc = RC_NOT_LEADER_OR_FOLLOWER;
        return;
    }
    item->share = &op->shares[engine_shard_of(e, r->id)->shard->id];
    item->share->placed++;
}

// Puts item where it will be read, or among those that are judged already.
static void fetch_item_begin(struct fetch_op *op, struct fetch_item *item, const struct image *image,
                             struct fetch_topic_memo *memo)
{
    item->by_id = op->rq->version >= 13;
    item->read.committed = op->committed;
    item->read.by_replica = op->by_replica;
    item->read.replica = op->replica;
    item->read.replica_epoch = op->replica_epoch;
    if (!item->share)
        fetch_item_place(op, item, fetch_topic(image, memo, item->by_id, item->topic, item->asked_id));
    list_push_back(item->share ? &item->share->named : &op->judged, &item->link);
}

// Who is named in the request, and who could not be read the last time.
static void fetch_items_of_session(struct fetch_op *op, const struct image *image)
{
    struct fetch_session *s = op->context.session;
    struct fetch_topic_memo memo = {0};
    for (struct list_node *n; (n = list_pop_front(&s->unplaced));) {
        struct fetch_item *item = list_entry(n, struct fetch_item, line_link);
        if (!list_node_linked(&item->link))
            list_push_back(&s->named, &item->link);
    }
    for (struct list_node *n; (n = list_pop_front(&s->named));)
        fetch_item_begin(op, list_entry(n, struct fetch_item, link), image, &memo);
}

static bool fetch_items_of_request(struct fetch_op *op, const struct image *image)
{
    struct fetch_topic_memo memo = {0};
    struct fetch_item *item = op->items;
    for (uint32_t i = 0; i < op->in->topics_count; i++) {
        const struct fetch_request_topic *t = &op->in->topics[i];
        const uint8_t *copy = arena_copy(&op->rq->arena, t->topic.p, t->topic.n); // the frame goes before the wait
        if (!copy)
            return false;
        for (uint32_t j = 0; j < t->partitions_count; j++, item++) {
            const struct fetch_request_partition *p = &t->partitions[j];
            item->topic = bytes_of(copy, t->topic.n);
            item->asked_id = t->topic_id;
            item->bytes_max = p->partition_max_bytes > 0 ? (uint32_t)p->partition_max_bytes : 0;
            item->read = (struct partition_read){.id = {.topic_id = t->topic_id, .partition = p->partition},
                                                 .fetch_offset = p->fetch_offset,
                                                 .replica_log_start = p->log_start_offset,
                                                 .current_leader_epoch = p->current_leader_epoch,
                                                 .last_fetched_epoch = p->last_fetched_epoch};
            fetch_item_begin(op, item, image, &memo);
        }
    }
    return true;
}

// One for each shard that has something to read or to let go.
static void fetch_legs_make(struct fetch_op *op)
{
    // Each time another shard is first, where all together have more than an answer holds.
    uint32_t count = op->rq->bs->broker->shard_count;
    uint32_t turn = op->context.session ? (uint32_t)op->context.session->epoch : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct fetch_share *share = &op->shares[(i + turn) % count];
        if (share->placed == 0 && list_empty(&share->leaving))
            continue;
        struct fetch_leg *leg = &op->legs[op->leg_count++];
        leg->op = op;
        leg->share = share;
        leg->shard = share->shard;
        list_init(&leg->read);
        list_init(&leg->left);
    }
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

// Replicas use the peer port, where the connection's Hello says who fetches; clients have no replica id.
static enum rc fetch_judge_replica(struct fetch_op *op, const struct fetch_request *in)
{
    const struct session *s = op->rq->session;
    int32_t node = in->replica_id >= 0 ? in->replica_id : in->replica_state.replica_id;
    op->by_replica = s && s->replica != NODE_ID_NONE;
    if (!op->by_replica)
        return node >= 0 ? RC_CLUSTER_AUTHORIZATION_FAILED : RC_OK;
    op->replica = s->replica;
    op->replica_epoch = s->replica_epoch;
    return node == s->replica ? RC_OK : RC_CLUSTER_AUTHORIZATION_FAILED;
}

// The rack lives as long as the request. False: memory is short.
static bool fetch_set_client(struct fetch_op *op)
{
    enum { ANY_REPLICA_VERSION = 11 };
    struct request *rq = op->rq;
    struct bytes rack = op->in->rack_id;
    if (op->by_replica || rq->version < ANY_REPLICA_VERSION)
        return true;
    const uint8_t *copy = arena_copy(&rq->arena, rack.p, rack.n); // the frame goes before the wait
    op->client.any_replica = true;
    op->client.rack = bytes_of(copy, rack.n);
    op->client.listener = bytes_str(rq->bs->broker->config.listeners[rq->session ? rq->session->listener : 0].name);
    return copy != NULL;
}

// What is fetched, and the legs it takes. False: memory is short.
static bool fetch_partitions(struct fetch_op *op)
{
    struct request *rq = op->rq;
    if (!fetch_set_client(op))
        return false;
    struct fetch_session *s = op->context.session;
    const struct image *image = engine_image(rq->bs->engine);
    uint32_t shards = rq->bs->broker->shard_count;
    size_t share_bytes = s ? 0 : sizeof(*op->shares);
    op->item_count = fetch_item_count(op);
    list_init(&op->judged);
    // What a session's partitions take is its own.
    api_answer_reserve(rq, (s ? 0 : op->item_count * sizeof(*op->items) + op->in->topics_count * (size_t)TOPIC_COPY_BYTES) +
                               shards * (sizeof(*op->legs) + share_bytes));
    op->legs = arena_array(&rq->arena, shards, sizeof(*op->legs));
    if (!op->legs)
        return false;
    if (s) {
        if (fetch_shares_make(s, rq->bs->engine) != RC_OK)
            return false;
        op->shares = s->shares;
        fetch_items_of_session(op, image);
    } else {
        op->shares = arena_array(&rq->arena, shards, sizeof(*op->shares));
        op->items = arena_array(&rq->arena, op->item_count, sizeof(*op->items));
        if (!op->shares || !op->items)
            return false;
        fetch_shares_init(op->shares, rq->bs->engine->engine, NULL);
        if (!fetch_items_of_request(op, image))
            return false;
    }
    fetch_legs_make(op);
    return true;
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
    enum rc rc = fetch_judge_replica(op, in);
    if (rc != RC_OK) {
        op->response.error_code = kerr_of(rc);
        request_answer(rq, &op->response);
        return;
    }
    fetch_session_begin(&rq->bs->fetch_sessions, in, rq->version, rq->start_ns, &op->context);
    if (op->context.rc != RC_OK) {
        op->response.error_code = kerr_of(op->context.rc);
        request_answer(rq, &op->response);
        return;
    }
    fetch_set_limits(op);
    // Gives the frame back in the end, from which the partitions of a request without a session are taken before.
    if (!fetch_partitions(op) || !request_forget_frame(rq)) {
        if (op->context.session)
            fetch_session_close(&rq->bs->fetch_sessions, op->context.session); // the client begins anew, with what fits
        fetch_session_done(&rq->bs->fetch_sessions, &op->context);
        request_give_up(rq);
        return;
    }
    op->in = NULL;
    rq->op = op;
    rq->abandon = fetch_abandon;
    rq->hurry = fetch_hurry;
    fetch_read(op);
}
