// SPDX-License-Identifier: Apache-2.0
//
// See partition_query.h. Partitions are looked up again after every wait: topics are deleted at any time.
#include "engine/partition_query.h"
#include "engine/partition_move.h"
#include "engine/replica.h"

#include <stdlib.h>

#include "engine/partition_search.h"

static enum rc query_find(struct engine_shard *es, const struct partition_query *q, struct partition **out)
{
    *out = partition_find(es, q->id);
    enum rc rc = *out ? partition_check(*out, q->current_leader_epoch) : RC_NOT_LEADER_OR_FOLLOWER;
    return rc == RC_OK ? partition_learn_ends(*out) : rc;
}

static enum rc query_open(struct engine_shard *es, const struct partition_query *q, struct partition **out)
{
    enum rc rc = query_find(es, q, out);
    return rc == RC_OK ? partition_open(*out) : rc;
}

// ------------------------------------------------------------------------------------------------ offsets

// Special timestamps that need no search; false: it is a time to be searched for.
static bool query_special(struct partition *p, struct partition_query *q)
{
    int64_t asked = q->offset.timestamp;
    int64_t bound = q->offset.committed ? partition_last_stable_offset(p) : p->high_watermark;
    if (asked >= 0 || asked == OFFSET_SPEC_MAX_TIMESTAMP)
        return false;
    q->offset.timestamp = TIMESTAMP_NONE;
    q->offset.offset = OFFSET_NONE;
    q->offset.leader_epoch = LEADER_EPOCH_NONE;
    switch (asked) {
    case OFFSET_SPEC_LATEST:
        if (p->high_watermark < p->recovered_end) { // it never shrinks: not told before it is where it was
            q->rc = RC_OFFSET_NOT_AVAILABLE;
            break;
        }
        q->offset.offset = bound;
        q->offset.leader_epoch = p->leader_epoch;
        break;
    case OFFSET_SPEC_EARLIEST:
        q->offset.offset = plog_start_offset(&p->log);
        q->offset.leader_epoch = plog_epoch_at(&p->log, q->offset.offset);
        break;
    case OFFSET_SPEC_EARLIEST_LOCAL:
        q->offset.offset = p->log.local_start;
        q->offset.leader_epoch = plog_epoch_at(&p->log, q->offset.offset);
        break;
    case OFFSET_SPEC_LATEST_TIERED: // nothing is tiered: no offset
        break;
    default:
        q->rc = RC_UNSUPPORTED_VERSION;
        break;
    }
    return true;
}

// RC_AGAIN: the disk or more time is needed; the job goes on.
static enum rc query_offset(struct partition_query_call *c, struct partition_query *q, uint64_t budget_ns)
{
    struct engine_shard *es = c->call.target;
    struct partition *p;
    // The end of a log is known while it is at rest: a client that asks for thousands of them opens none.
    enum rc rc = q->offset.timestamp == OFFSET_SPEC_LATEST ? query_find(es, q, &p) : query_open(es, q, &p);
    if (!c->search) {
        if (rc != RC_OK || query_special(p, q))
            return rc == RC_OK ? q->rc : rc;
        int64_t bound = q->offset.committed ? partition_last_stable_offset(p) : p->high_watermark;
        c->search = partition_search_create(es, q->offset.timestamp, bound, &c->job);
        if (!c->search)
            return RC_NOMEM;
    }
    if (rc == RC_OK)
        rc = partition_search_step(c->search, p, budget_ns);
    if (rc == RC_AGAIN)
        return rc;
    if (rc != RC_OK && partition_search_is_waiting(c->search))
        return RC_AGAIN; // the partition is gone, but a read is still on its way into the search
    q->offset.timestamp = TIMESTAMP_NONE;
    q->offset.offset = OFFSET_NONE;
    q->offset.leader_epoch = LEADER_EPOCH_NONE;
    if (rc == RC_OK && partition_search_found(c->search, &q->offset.offset, &q->offset.timestamp))
        q->offset.leader_epoch = plog_epoch_at(&p->log, q->offset.offset);
    partition_search_destroy(c->search);
    c->search = NULL;
    return rc;
}

// Where version 0 may say that a client can begin to read, newest first: place 0 is the high watermark, 1 the active
// segment, then the sealed ones. time_ms is when something was last written there.
static int64_t query_place(const struct partition *p, uint32_t place, int64_t wall_ms, int64_t *time_ms)
{
    const struct plog *l = &p->log;
    if (place == 0) {
        *time_ms = wall_ms;
        return p->high_watermark;
    }
    if (place == 1) {
        *time_ms = l->active.timestamp_max >= 0 ? l->active.timestamp_max : l->active.made_ms;
        return l->active.base_offset;
    }
    const struct segment *s = &l->sealed[l->sealed_count + 1 - place];
    *time_ms = s->sealed_ms;
    return s->base_offset;
}

// The newest count_max places that were last written to at or before the asked time; each offset once, none past the
// high watermark.
static enum rc query_offsets_before(struct partition_query_call *c, struct partition_query *q)
{
    struct partition *p;
    enum rc rc = query_open(c->call.target, q, &p);
    q->before.count = 0;
    if (rc != RC_OK)
        return rc;
    int64_t asked = q->before.timestamp, start = plog_start_offset(&p->log), last = OFFSET_NONE;
    int64_t wall_ms = io_wall_ms(c->call.target->shard->io);
    uint32_t places = p->log.sealed_count + 2;
    for (uint32_t i = asked == OFFSET_SPEC_EARLIEST ? places - 1 : 0; i < places; i++) {
        int64_t time_ms, offset = query_place(p, i, wall_ms, &time_ms);
        if (offset < start)
            offset = start;
        bool in_time = asked == OFFSET_SPEC_LATEST || asked == OFFSET_SPEC_EARLIEST || time_ms <= asked;
        if (!in_time || offset > p->high_watermark || offset == last)
            continue;
        if (q->before.count == q->before.count_max)
            break;
        q->before.offsets[q->before.count++] = last = offset;
    }
    return RC_OK;
}

static enum rc query_epoch_end(struct partition_query_call *c, struct partition_query *q)
{
    struct partition *p;
    enum rc rc = query_find(c->call.target, q, &p);
    int32_t asked = q->epoch.leader_epoch;
    q->epoch.leader_epoch = LEADER_EPOCH_NONE;
    q->epoch.end_offset = OFFSET_NONE;
    if (rc != RC_OK || asked > p->leader_epoch || asked < 0)
        return rc;
    if (asked == p->leader_epoch) { // the log learns of it with its first batch only
        q->epoch.leader_epoch = asked;
        q->epoch.end_offset = plog_written_end(&p->log);
        return RC_OK;
    }
    rc = partition_open(p);
    return rc != RC_OK ? rc : plog_epoch_end(&p->log, asked, &q->epoch.leader_epoch, &q->epoch.end_offset);
}

// ------------------------------------------------------------------------------------------------ log start

static void query_finish(struct partition_query_call *c)
{
    if (!c->walking && c->pending == 0)
        engine_call_finish(&c->call);
}

static void query_start_over(struct partition_start *start, enum rc rc)
{
    struct partition_query *q = start->query;
    struct partition_query_call *c = q->call;
    q->rc = start->rc = rc;
    if (rc == RC_OK)
        q->start.offset = replica_low_watermark(start->p);
    c->pending--;
    query_finish(c);
}

static void query_start_raised(struct plog_start_op *op, enum rc rc)
{
    struct partition_start *start = container_of(op, struct partition_start, op);
    struct partition_query *q = start->query;
    struct partition *p = partition_peek(q->call->call.target, q->id);
    if (rc == RC_OK)
        rc = p ? replica_wait_start(p, start) : RC_NOT_LEADER_OR_FOLLOWER;
    if (rc != RC_AGAIN)
        query_start_over(start, rc);
}

static enum rc query_raise_start(struct partition_query_call *c, struct partition_query *q)
{
    struct partition *p;
    enum rc rc = query_open(c->call.target, q, &p);
    if (rc != RC_OK)
        return rc;
    if (!p->settings->topic.cleanup_delete)
        return RC_POLICY_VIOLATION;
    int64_t offset = q->start.offset == OFFSET_NONE ? p->high_watermark : q->start.offset;
    if (offset < 0 || offset > p->high_watermark)
        return RC_OFFSET_OUT_OF_RANGE;
    struct partition_start *start = q->start.memory;
    q->call = c;
    *start = (struct partition_start){.query = q,
                                      .op.done = query_start_raised,
                                      .offset = offset,
                                      .timeout_ms = q->start.timeout_ms,
                                      .followed = query_start_over};
    c->pending++;
    rc = plog_raise_start(&p->log, offset, &start->op);
    if (rc == RC_OK) { // it was there already: an earlier request may have been answered late
        rc = replica_wait_start(p, start);
        q->start.offset = rc == RC_OK ? replica_low_watermark(p) : offset;
    }
    if (rc == RC_AGAIN)
        return start->rc; // RC_OK while it is on its way
    c->pending--;
    return rc;
}

// ------------------------------------------------------------------------------------------------ producers, sizes

struct producer_gather {
    struct partition_query *query;
    uint32_t cap;
    bool nomem;
};

static void query_producer(void *context, const struct producer_entry *e)
{
    struct producer_gather *g = context;
    struct partition_query *q = g->query;
    if (g->nomem)
        return;
    if (q->producers.count == g->cap) {
        g->cap = g->cap ? g->cap * 2 : 16;
        struct partition_producer *more = realloc(q->producers.list, g->cap * sizeof(*more));
        g->nomem = !more;
        if (!more)
            return;
        q->producers.list = more;
    }
    q->producers.list[q->producers.count++] = (struct partition_producer){
        .id = e->producer_id,
        .last_timestamp = e->last_timestamp,
        .txn_first_offset = e->txn_first_offset,
        .epoch = e->epoch,
        .last_sequence = e->batch_count ? e->batches[e->batch_count - 1].last_sequence : -1,
        .coordinator_epoch = e->coordinator_epoch,
    };
}

static enum rc query_producers(struct partition_query_call *c, struct partition_query *q)
{
    struct producer_gather g = {.query = q};
    q->producers.list = NULL;
    q->producers.count = 0;
    struct partition *p;
    enum rc rc = query_open(c->call.target, q, &p);
    if (rc == RC_OK)
        rc = plog_each_producer(&p->log, query_producer, &g);
    return g.nomem ? RC_NOMEM : rc;
}

static uint32_t query_dir(const struct engine_config *config, const struct log_dir *dir)
{
    uint32_t i = 0;
    while (i < config->log_dir_count && config->log_dirs[i] != dir)
        i++;
    return i;
}

// Whoever has the replica tells, leader or not.
static enum rc query_size(struct partition_query_call *c, struct partition_query *q)
{
    const struct engine_config *config = &c->call.target->engine->config;
    struct partition *p = partition_find(c->call.target, q->id);
    if (!p || p->state == PARTITION_BLOCKED || p->log.state == PLOG_DETACHED)
        return RC_NOT_FOUND;
    if (!plog_bytes_known(&p->log, &q->size.bytes)) {
        partition_open(p); // one that cannot be opened says 0
        q->size.bytes = plog_bytes(&p->log);
    }
    q->size.log_dir = query_dir(config, p->log.dir);
    struct partition_move_view move;
    q->size.future_dir = UINT32_MAX;
    if (partition_move_look(p, &move)) {
        q->size.future_dir = query_dir(config, move.to);
        q->size.future_bytes = move.bytes;
        q->size.future_lag = move.lag;
    }
    return q->size.log_dir < config->log_dir_count ? RC_OK : RC_NOT_FOUND;
}

static enum rc query_move(struct partition_query_call *c, struct partition_query *q)
{
    const struct engine_config *config = &c->call.target->engine->config;
    ASSERT(q->move.log_dir < config->log_dir_count);
    struct partition *p = partition_find(c->call.target, q->id);
    if (!p || p->state == PARTITION_BLOCKED || c->call.target->settling)
        return RC_REPLICA_NOT_AVAILABLE;
    return partition_move(p, config->log_dirs[q->move.log_dir]);
}

// ------------------------------------------------------------------------------------------------ the call

static enum rc query_answer(struct partition_query_call *c, struct partition_query *q, uint64_t budget_ns)
{
    switch (c->question) {
    case PARTITION_OFFSET:
        return query_offset(c, q, budget_ns);
    case PARTITION_OFFSETS_BEFORE:
        return query_offsets_before(c, q);
    case PARTITION_EPOCH_END:
        return query_epoch_end(c, q);
    case PARTITION_RAISE_START:
        return query_raise_start(c, q);
    case PARTITION_PRODUCERS:
        return query_producers(c, q);
    case PARTITION_SIZE:
        return query_size(c, q);
    case PARTITION_MOVE:
        return query_move(c, q);
    }
    return RC_INVALID;
}

// Answers queries until the budget is spent. False: there is more to do, *waits says whether the disk is at work.
static bool query_step(struct partition_query_call *c, uint64_t budget_ns, bool *waits)
{
    enum { LOOK_AT_CLOCK_EVERY = 8 };
    struct io *io = c->call.target->shard->io;
    uint64_t begin_ns = io_clock_ns(io);
    *waits = false;
    for (uint32_t n = 1; c->at < c->count; n++) {
        struct partition_query *q = c->queries[c->at];
        if (q->rc == RC_OK) {
            enum rc rc = query_answer(c, q, budget_ns);
            if (rc == RC_AGAIN) {
                *waits = partition_search_is_waiting(c->search);
                return false;
            }
            q->rc = rc;
        }
        c->at++;
        if (n % LOOK_AT_CLOCK_EVERY == 0 && c->at < c->count && io_clock_ns(io) - begin_ns > budget_ns)
            return false;
    }
    return true;
}

static enum shard_job_state query_job(struct shard_job *j, uint64_t budget_ns)
{
    struct partition_query_call *c = container_of(j, struct partition_query_call, job);
    bool waits;
    if (!query_step(c, budget_ns, &waits))
        return waits ? SHARD_JOB_WAIT : SHARD_JOB_MORE;
    c->walking = false;
    query_finish(c);
    return SHARD_JOB_DONE;
}

void partition_query_run(struct engine_call *call)
{
    struct partition_query_call *c = container_of(call, struct partition_query_call, call);
    bool waits;
    c->walking = true;
    if (query_step(c, SHARD_JOB_BUDGET_NS, &waits)) {
        c->walking = false;
        query_finish(c);
        return;
    }
    shard_job_start(c->call.target->shard, &c->job, query_job);
}
