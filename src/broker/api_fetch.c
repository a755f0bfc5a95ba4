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

// Reads on, within one turn's share: thousands of partitions, each of which may have to be opened, go over several.
static void fetch_leg_continue(struct fetch_leg *leg)
{
    enum { LOOK_AT_CLOCK_EVERY = 8 };
    struct io *io = leg->shard->shard->io;
    uint64_t until_ns = io_clock_ns(io) + SHARD_JOB_BUDGET_NS;
    for (uint32_t n = 1; leg->at; leg->at = leg->at->next_in_leg, n++) {
        if (n % LOOK_AT_CLOCK_EVERY == 0 && io_clock_ns(io) >= until_ns) {
            shard_job_start(leg->shard->shard, &leg->job, fetch_leg_job);
            return;
        }
        struct fetch_item *item = leg->at;
        uint64_t limit = item->bytes_max < leg->bytes_left ? item->bytes_max : leg->bytes_left;
        item->read.bytes_max = limit > UINT32_MAX ? UINT32_MAX : (uint32_t)limit;
        item->read.at_least_one = !leg->read_something;
        leg->wait.done = fetch_leg_warm;
        if (!partition_read(leg->shard, &item->read, &leg->wait))
            return; // fetch_leg_warm() goes on
        memset(&leg->wait, 0, sizeof(leg->wait));
        uint64_t got = item->read.slice.bytes;
        leg->read_something = leg->read_something || got > 0;
        leg->bytes_left -= got < leg->bytes_left ? got : leg->bytes_left;
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

static void fetch_wait_unpinned(struct engine_call *c)
{
    struct fetch_op *op = container_of(c, struct fetch_leg, unpin_call)->op;
    if (--op->pending == 0)
        fetch_wait(op);
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
        // A read ends with its segment. Who is that far behind must not wait for bytes that are there (Kafka answers at
        // once, too).
        now = r->rc != RC_OK || r->diverging_epoch != LEADER_EPOCH_NONE || bytes >= op->min_bytes ||
              (r->older_segment && r->slice.bytes > 0);
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

void fetch_read(struct fetch_op *op)
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
                           int64_t offset, int64_t log_start, int32_t bytes_max, int32_t current_epoch,
                           int32_t last_epoch)
{
    item->by_id = op->rq->version >= 13;
    item->topic = name;
    item->answer_id = id;
    item->bytes_max = bytes_max > 0 ? (uint32_t)bytes_max : 0;
    item->read = (struct partition_read){.id = {.topic_id = id, .partition = partition},
                                         .fetch_offset = offset,
                                         .committed = op->committed,
                                         .by_replica = op->by_replica,
                                         .replica = op->replica,
                                         .replica_epoch = op->replica_epoch,
                                         .replica_log_start = log_start,
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
        fetch_item_set(op, item, image, &memo, p->topic, p->topic_id, p->partition, p->fetch_offset,
                       p->log_start_told, p->bytes_max, p->current_leader_epoch, p->last_fetched_epoch);
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
                           p->log_start_offset, p->partition_max_bytes, p->current_leader_epoch, p->last_fetched_epoch);
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
