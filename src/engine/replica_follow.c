// SPDX-License-Identifier: Apache-2.0
//
// The follower's part: what to fetch next, and what the leader's answer does to the log.
#include "engine/coordinator.h"
#include "engine/partition_move.h"
#include "engine/replica_core.h"

#include <stdlib.h>

#include "model/kerr.h"
#include "wire/batch.h"

enum { AGAIN_MS = 10, READERS_PATIENCE = 3 }; // that many times they are waited for: 140 ms

// One batch of an answer on its way into the log.
struct replica_batch {
    struct plog_append op;
    struct replica *r;
};

static void epoch_end(void *context, int32_t epoch, int32_t *found, int64_t *end)
{
    struct partition *p = context;
    *found = LEADER_EPOCH_NONE;
    *end = OFFSET_NONE;
    if (plog_epoch_end(&p->log, epoch, found, end) != RC_OK)
        *found = LEADER_EPOCH_NONE;
}

static struct repl_log log_of(struct partition *p)
{
    struct plog *l = &p->log;
    int64_t end = plog_written_end(l);
    return (struct repl_log){.start = plog_start_offset(l),
                             .end = end,
                             .durable = plog_offered_end(l),
                             .high_watermark = p->high_watermark < end ? p->high_watermark : end,
                             .latest_epoch = end > plog_start_offset(l) ? plog_epoch_at(l, end - 1) : LEADER_EPOCH_NONE,
                             .epoch_end = epoch_end,
                             .context = p};
}

// The log can be asked and appended to: nothing of an earlier role is in flight, and where syncs are forced, what a start
// has found is durable, for the fetch will say so.
static bool log_quiet(struct partition *p)
{
    if (p->state != PARTITION_ONLINE || log_dir_is_offline(p->log.dir) || partition_move_holds(p) ||
        partition_open(p) != RC_OK || !plog_is_still(&p->log))
        return false;
    if (plog_offered_end(&p->log) == plog_written_end(&p->log))
        return true;
    plog_sync(&p->log);
    return false;
}

static void retry_due(struct shard_timer *t)
{
    fetcher_wants(container_of(t, struct replica, retry_timer));
}

static void retry_at(struct replica *r, uint64_t at_ns)
{
    shard_timer_set(r->p->es->shard, &r->retry_timer, at_ns, retry_due);
}

// It is held back, and the rate is over its limit: how long.
static uint64_t held_back_ns(const struct replica *r, uint64_t now_ns)
{
    const struct partition *p = r->p;
    if (r->in_sync || !throttle_list_has(&p->settings->follows, p->id.partition))
        return 0;
    return repl_throttle_wait_ns(&p->es->engine->follower_throttle, now_ns);
}

bool replica_ask(struct replica *r, uint64_t now_ns, struct repl_ask *out)
{
    struct partition *p = r->p;
    if (!r->begun || r->leads || r->pending || r->raising)
        return false;
    if (!log_quiet(p)) {
        if (p->state == PARTITION_ONLINE && !log_dir_is_offline(p->log.dir))
            retry_at(r, now_ns + AGAIN_MS * UINT64_C(1000000));
        return false;
    }
    uint64_t wait_ns = held_back_ns(r, now_ns);
    if (wait_ns) {
        fetcher_leave(r);
        retry_at(r, now_ns + wait_ns);
        return false;
    }
    struct repl_log log = log_of(p);
    if (repl_follower_ask(&r->follower, &log, now_ns, out)) {
        if (r->start_before != OFFSET_NONE && r->start_before < out->log_start)
            out->log_start = r->start_before;
        return true;
    }
    if (r->follower.retry_ns > now_ns && !r->follower.stopped)
        retry_at(r, r->follower.retry_ns);
    return false;
}

// ------------------------------------------------------------------------------------------------ records

static bool raise_start(struct replica *r);

static void start_raised(struct plog_start_op *op, enum rc rc)
{
    struct replica *r = container_of(op, struct replica, start_op);
    r->raising = false;
    if (rc == RC_OK && !(r->p && partition_move_holds(r->p))) // else the folder it moves to is still to be told
        r->start_before = OFFSET_NONE;
    // One that a full disk refused is tried again with the leader's next answer; a folder that failed is told elsewhere.
    if (!r->p)
        replica_free_when_idle(r);
    else if (rc != RC_OK || !raise_start(r))
        fetcher_wants(r);
}

// Takes over the leader's log start. The leader answers DeleteRecords by what it is told, and is told what is on the disk
// (replica_ask()). True: it is on its way there.
static bool raise_start(struct replica *r)
{
    struct plog *l = &r->p->log;
    int64_t start = plog_start_offset(l);
    int64_t to = r->told_log_start < plog_written_end(l) ? r->told_log_start : plog_written_end(l);
    if (to < start)
        to = start;
    if (r->raising) // since an earlier role; its end looks again
        return true;
    if (partition_move_holds(r->p)) // with the leader's next answer
        return false;
    if (to == start && r->start_before == OFFSET_NONE)
        return false;
    if (r->start_before == OFFSET_NONE)
        r->start_before = start;
    r->raising = true;
    r->start_op.done = start_raised;
    enum rc rc = plog_raise_start(l, to, &r->start_op);
    if (rc == RC_AGAIN)
        return true;
    r->raising = false;
    if (rc == RC_OK)
        r->start_before = OFFSET_NONE;
    return false;
}

// Everything of the answer is in the log, or could not be.
static void part_over(struct replica *r)
{
    struct partition *p = r->p;
    if (!p) { // the role has ended meanwhile; the fetcher still waits for this part of its answer
        fetcher_part_done(r);
        replica_free_when_idle(r);
        return;
    }
    int64_t end = plog_written_end(&p->log);
    int64_t hw = r->told_watermark < end ? r->told_watermark : end;
    if (!r->leads && hw > p->high_watermark) {
        int64_t before = p->high_watermark;
        p->high_watermark = hw;
        plog_note_high_watermark(&p->log, hw);
        if (!list_empty(&p->watches))
            partition_tell_committed(p, plog_bytes_between(&p->log, before, hw));
    }
    if (!r->leads)
        raise_start(r);
    if (r->failed) {
        repl_follower_failed(&r->follower, shard_now_ns(p->es->shard));
        r->failed = false;
        fetcher_leave(r);
    }
    fetcher_part_done(r);
    fetcher_wants(r);
}

static void batch_done(struct plog_append *op, enum rc rc)
{
    struct replica_batch *b = container_of(op, struct replica_batch, op);
    struct replica *r = b->r;
    r->failed |= rc != RC_OK;
    if (rc == RC_OK && r->p) {
        r->p->bytes_added += op->bytes;
        partition_mark_dirty(r->p); // it may lead by now: then more is offered
    }
    free(b);
    ASSERT(r->pending > 0);
    if (--r->pending == 0)
        part_over(r);
}

static void say_bad(struct replica *r, int64_t offset, const char *what)
{
    struct partition *p = r->p;
    trace_error(p->es->engine->config.trace, "%s-%d: node %d sent a batch at offset %lld that %s; it is not appended",
                p->topic->name, p->id.partition, r->follower.leader, (long long)offset, what);
    r->failed = true;
}

// Appends whole batches in order. The last one may be cut short by the limit of the fetch: it comes again.
static void append_all(struct replica *r, uint8_t *records, size_t n)
{
    struct partition *p = r->p;
    while (n > 0) {
        struct batch_header h;
        enum rc rc = batch_header_read(bytes_of(records, n), &h);
        if (rc == RC_TORN)
            break;
        if (rc != RC_OK || !batch_crc_ok(bytes_of(records, batch_bytes(&h)))) {
            say_bad(r, h.base_offset, "fails its checksum");
            break;
        }
        struct replica_batch *b = calloc(1, sizeof(*b));
        if (!b) {
            r->failed = true;
            break;
        }
        b->r = r;
        b->op = (struct plog_append){
            .batch = records, .bytes = batch_bytes(&h), .flags = PLOG_APPEND_FOLLOWER, .done = batch_done};
        rc = plog_append(&p->log, &b->op);
        if (rc != RC_OK) {
            free(b);
            if (rc == RC_OFFSET_OUT_OF_RANGE || rc == RC_INVALID_RECORD)
                say_bad(r, h.base_offset, rc_text(rc));
            r->failed = true; // a full disk, no files: again after the backoff
            break;
        }
        r->pending++;
        records += batch_bytes(&h);
        n -= batch_bytes(&h);
    }
    partition_mark_dirty(p);
}

// ------------------------------------------------------------------------------------------------ verdicts

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// Readers hold what is to go, or the recovery point has to go back first; asked again, the leader answers the same. Who has
// not been sent its bytes by then may be slow, or gone: its connection ends.
static void cut_again(struct replica *r)
{
    struct partition *p = r->p;
    struct engine *e = p->es->engine;
    if (r->follower.failures >= READERS_PATIENCE && e->end_readers && plog_is_pinned(&p->log))
        e->end_readers(p->es, &p->id);
    repl_follower_failed(&r->follower, shard_now_ns(p->es->shard));
}

static void truncate(struct replica *r, int64_t offset)
{
    struct partition *p = r->p;
    int64_t before = plog_written_end(&p->log);
    partition_move_anew(p);
    enum rc rc = plog_is_idle(&p->log) ? plog_truncate(&p->log, offset) : RC_AGAIN;
    if (rc == RC_AGAIN)
        cut_again(r);
    if (rc != RC_OK)
        return;
    coordinator_snapshot_truncate(p, offset);
    p->es->counters.truncations++;
    p->es->counters.truncated_records += (uint64_t)(before - offset);
    // Outside ISR and ELR only. What was committed is cut where the leader was elected uncleanly; how much of it was may be
    // unknown since a restart.
    int64_t known = least(before, p->high_watermark);
    bool unclean = known > offset || replica_recovering(p);
    p->es->counters.unclean_records_cut += unclean ? (uint64_t)(before - offset) : 0;
    if (known > offset) {
        p->high_watermark = offset;
        plog_note_high_watermark(&p->log, offset);
    }
    // What is left of the last segment is read once more before the next fetch.
    struct trace_sink *trace = p->es->engine->config.trace;
    if (unclean)
        trace_warn(trace,
                   "%s-%d: %lld records from offset %lld on are lost, at least %lld of them were committed: node %d, which "
                   "was elected uncleanly, does not have them",
                   p->topic->name, p->id.partition, (long long)(before - offset), (long long)offset,
                   (long long)(known > offset ? known - offset : 0), r->follower.leader);
    else
        trace_info(trace, "%s-%d: cut from %lld to %lld to agree with node %d", p->topic->name, p->id.partition,
                   (long long)before, (long long)offset, r->follower.leader);
}

static void restarted(struct replica *r, int64_t offset)
{
    r->start_before = OFFSET_NONE;
    coordinator_snapshot_truncate(r->p, 0); // of what came before
    r->p->high_watermark = offset;
    plog_note_high_watermark(&r->p->log, offset);
}

enum rc replica_restart_finish(struct replica *r)
{
    struct partition *p = r->p;
    bool due = p->log.reset_due;
    enum rc rc = plog_reset_finish(&p->log);
    if (rc != RC_OK || !due)
        return rc;
    int64_t offset = plog_start_offset(&p->log);
    restarted(r, offset);
    trace_info(p->es->engine->config.trace, "%s-%d: begins anew at %lld, as it was noted", p->topic->name, p->id.partition,
               (long long)offset);
    return RC_OK;
}

// True: the log is empty and begins at offset.
static bool restart(struct replica *r, int64_t offset, const char *why)
{
    struct partition *p = r->p;
    partition_move_anew(p);
    enum rc rc = plog_is_idle(&p->log) ? plog_reset(&p->log, offset) : RC_AGAIN;
    if (rc == RC_AGAIN)
        cut_again(r);
    if (rc != RC_OK)
        return false;
    restarted(r, offset);
    trace_info(p->es->engine->config.trace, "%s-%d: begins anew at %lld, %s of node %d", p->topic->name, p->id.partition,
               (long long)offset, why, r->follower.leader);
    return true;
}

// An empty log begins with the whole batch in which the leader's log start lies: DeleteRecords may have put that into the
// middle of one. True: it can be appended.
static bool begin_with(struct replica *r, const struct fetch_response_partition *in)
{
    const struct plog *l = &r->p->log;
    struct batch_header h;
    int64_t end = plog_written_end(l);
    if (plog_start_offset(l) != end || batch_header_read(in->records.bytes, &h) != RC_OK || h.base_offset >= end ||
        batch_last_offset(&h) < end)
        return true;
    r->told_log_start = in->log_start_offset;
    return restart(r, h.base_offset, "the first batch");
}

static struct repl_answer answer_of(const struct repl_ask *asked, const struct fetch_response_partition *in)
{
    enum rc rc = in->error_code == 0                                    ? RC_OK
                 : in->error_code == kerr_of(RC_OFFSET_OUT_OF_RANGE) ? RC_OFFSET_OUT_OF_RANGE
                                                                       : RC_NOT_LEADER_OR_FOLLOWER;
    return (struct repl_answer){.rc = rc,
                                .leader_epoch = asked->leader_epoch,
                                .asked_offset = asked->offset,
                                .high_watermark = in->high_watermark,
                                .log_start = in->log_start_offset,
                                .diverging_epoch = in->diverging_epoch.epoch,
                                .diverging_end = in->diverging_epoch.end_offset,
                                .records = in->records.bytes.n > 0};
}

void replica_answered(struct replica *r, const struct repl_ask *asked, const struct fetch_response_partition *in)
{
    struct partition *p = r->p;
    struct repl_verdict v = {.action = REPL_NOTHING};
    r->told_watermark = r->told_log_start = OFFSET_NONE;
    r->pending = 1; // this function
    if (r->begun && !r->leads && log_quiet(p)) {
        struct repl_log log = log_of(p);
        struct repl_answer a = answer_of(asked, in);
        repl_follower_answer(&r->follower, &log, &a, shard_now_ns(p->es->shard), &v);
        r->told_watermark = v.high_watermark;
        r->told_log_start = v.log_start;
        switch (v.action) {
        case REPL_APPEND:
            if (throttle_list_has(&p->settings->follows, p->id.partition))
                repl_throttle_count(&p->es->engine->follower_throttle, in->records.bytes.n, shard_now_ns(p->es->shard));
            if (begin_with(r, in))
                append_all(r, (uint8_t *)(uintptr_t)in->records.bytes.p, in->records.bytes.n);
            break;
        case REPL_TRUNCATE:
            truncate(r, v.offset);
            break;
        case REPL_RESTART:
            (void)restart(r, v.offset, "the log start");
            break;
        case REPL_STOP:
            trace_error(p->es->engine->config.trace,
                        "%s-%d: node %d, which leads in epoch %d, wants this replica cut to %lld, below its high watermark "
                        "%lld: it fetches no more. Something was lost there; compare the two logs (weir admin log dump)",
                        p->topic->name, p->id.partition, r->follower.leader, r->follower.leader_epoch,
                        (long long)v.offset, (long long)p->high_watermark);
            break;
        case REPL_NOTHING:
        case REPL_FIND:
            break;
        }
    }
    if (--r->pending == 0)
        part_over(r);
}

void replica_free_when_idle(struct replica *r)
{
    r->p = NULL;
    if (r->pending == 0 && !r->raising)
        free(r);
}
