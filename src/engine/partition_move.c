// SPDX-License-Identifier: Apache-2.0
#include "engine/partition_move.h"

#include <stdlib.h>

#include "base/assert.h"
#include "engine/coordinator.h"
#include "engine/partition_life.h"
#include "store/future.h"
#include "wire/batch.h"

enum { CHUNK_BYTES = 256 << 10, AGAIN_MS = 10, SOON_MS = 1, FULL_DISK_MS = 1000, HOLD_MS_MAX = 2000 };
#define NS_PER_MS UINT64_C(1000000)

// In this order; what is below MOVE_SYNC can be given up at any moment.
enum move_stage {
    MOVE_BEGIN,
    MOVE_COPY,
    MOVE_AHEAD,
    MOVE_SEAL,
    MOVE_SYNC,
    MOVE_RECORD,
    MOVE_NAME,
    MOVE_TAKE,
    MOVE_DISOWN,
    MOVE_DROP,
};

struct partition_move {
    struct partition *p;
    struct mover *mover;
    struct list_node link;
    struct log_dir *to, *then; // then: where to instead, once this is given up
    struct plog future;        // attached from COPY on
    struct plog_config config;
    enum move_stage stage;
    bool holds;     // appends
    bool ahead;     // a first sync has been made, so that the last one is short
    bool anew;      // from the beginning
    bool last;      // the chunk under way reaches the end
    bool asked;     // in AHEAD and DISOWN: what was begun is in flight or back
    bool given_up;
    bool recorded;  // the other folder's checkpoint may name it
    bool named;
    bool in_flight; // a sync or records
    bool waiting;   // for the disk to bring what is to be read
    bool reading;
    bool have_read;
    bool told_full;
    uint64_t not_before_ns, hold_since_ns;
    int64_t begun_at, recorded_start; // log start then
    enum rc rc; // of what was in flight, of the chunk
    struct plog_wait wait;
    struct plog_slice slice;
    uint8_t *chunk;
    size_t chunk_bytes;
    uint32_t pending; // appends of the chunk
    struct io_op op;
    struct log_dir_op sync;
    struct plog_future_op record;
};

// The moves of a shard.
struct mover {
    struct engine_shard *es;
    struct list moves;
    struct partition_move *copies; // the one whose chunk is under way
    struct shard_job job;
    struct shard_timer timer;
    uint64_t next_ns;
};

struct move_batch {
    struct plog_append op;
    struct partition_move *m;
};

static enum shard_job_state mover_job(struct shard_job *j, uint64_t budget_ns);

static void mover_wake(struct mover *k)
{
    if (!k->job.started)
        shard_job_start(k->es->shard, &k->job, mover_job);
}

static void mover_due(struct shard_timer *t)
{
    mover_wake(container_of(t, struct mover, timer));
}

static bool wait_until(struct partition_move *m, uint64_t at_ns)
{
    m->not_before_ns = at_ns;
    return false;
}

static bool wait_ms(struct partition_move *m, uint64_t ms)
{
    return wait_until(m, shard_now_ns(m->p->es->shard) + ms * NS_PER_MS);
}

static bool is_online(const struct partition *p)
{
    return p->state == PARTITION_ONLINE && !log_dir_is_offline(p->log.dir);
}

static void say(const struct partition_move *m, const char *what, enum rc rc)
{
    const struct partition *p = m->p;
    if (rc == RC_OK)
        trace_info(p->es->engine->config.trace, "%s-%d: %s %s", p->topic->name, p->id.partition, what, m->to->path);
    else
        trace_warn(p->es->engine->config.trace, "%s-%d: its move to %s %s: %s", p->topic->name, p->id.partition, m->to->path,
                   what, rc_text(rc));
}

// ------------------------------------------------------------------------------------------------ holding, ending

static void hold(struct partition_move *m)
{
    if (m->holds)
        return;
    m->holds = true;
    m->hold_since_ns = shard_now_ns(m->p->es->shard);
}

static void release(struct partition_move *m)
{
    if (!m->holds)
        return;
    m->holds = false;
    partition_appends_resume(m->p);
}

static void chunk_drop(struct partition_move *m)
{
    plog_slice_release(&m->slice);
    io_buffer_release(m->p->es->shard->io, m->chunk, m->chunk_bytes);
    m->chunk = NULL;
    m->have_read = false;
    if (m->mover->copies == m)
        m->mover->copies = NULL;
}

// Nothing of the move is in flight.
static bool is_still(const struct partition_move *m)
{
    return !m->in_flight && !m->waiting && !m->reading && m->pending == 0;
}

static void give_up(struct partition_move *m, const char *what, enum rc rc)
{
    if (!m->given_up && rc != RC_OK)
        say(m, what, rc);
    m->given_up = true;
    m->asked = false;
    m->stage = m->recorded ? MOVE_DISOWN : MOVE_DROP;
}

// The move is no more; p->log is wherever it is.
static void end(struct partition_move *m)
{
    struct partition *p = m->p;
    struct log_dir *then = m->then;
    p->move = NULL;
    list_remove(&m->mover->moves, &m->link);
    if (p->log.state != PLOG_DETACHED) {
        p->log.moving = false;
        compact_consider(&p->log);
    }
    release(m);
    free(m);
    if (then && is_online(p) && !p->es->settling)
        (void)partition_move(p, then);
}

static bool drop(struct partition_move *m)
{
    if (m->chunk)
        chunk_drop(m);
    if (m->future.state != PLOG_DETACHED && !plog_is_idle(&m->future))
        return wait_ms(m, SOON_MS);
    if (m->recorded && !log_dir_is_offline(m->to)) {
        const struct checkpoint_record removed = {.type = CHECKPOINT_REMOVED, .id = m->p->id};
        (void)log_dir_put(m->to, &removed); // a lost one is believed less than the current log's
    }
    plog_future_drop(&m->future);
    m->future = (struct plog){0};
    if (m->given_up) {
        end(m);
        return true;
    }
    m->anew = m->ahead = m->last = false;
    m->stage = MOVE_BEGIN;
    release(m);
    return wait_ms(m, 10 * AGAIN_MS);
}

// ------------------------------------------------------------------------------------------------ beginning

// Where the future begins: with the batch that holds log start.
static enum rc first_offset(struct partition *p, int64_t *out)
{
    struct plog_slice slice;
    struct plog_read read = {.offset = p->log.start, .bound = p->log.written, .bytes_max = 1, .at_least_one = true};
    *out = p->log.start;
    if (p->log.start == p->log.written)
        return RC_OK;
    enum rc rc = plog_read(&p->log, &read, &slice, NULL);
    if (rc == RC_OK && slice.file && slice.first_offset < *out)
        *out = slice.first_offset;
    if (rc == RC_OK)
        plog_slice_release(&slice);
    return rc;
}

static bool begin(struct partition_move *m)
{
    struct partition *p = m->p;
    int64_t offset;
    if (!is_online(p) || p->log.state == PLOG_DETACHED || partition_open(p) != RC_OK)
        return wait_ms(m, AGAIN_MS);
    p->log.moving = true;
    compact_cancel(&p->log);
    if (compact_is_busy(&p->log))
        return wait_ms(m, AGAIN_MS);
    enum rc rc = first_offset(p, &offset);
    m->config = p->settings->log;
    m->config.compacts = m->config.deletes = false;
    m->config.flush_messages = m->config.flush_ms = INT64_MAX;
    m->config.file_delete_delay_ms = 0;
    if (rc == RC_OK)
        rc = plog_attach_future(&m->future, &p->log, m->to, &m->config, offset);
    if (rc == RC_OK) // from here on a start knows of the move
        rc = plog_future_make(&m->future);
    if (rc == RC_NOMEM || rc == RC_NO_FILES || rc == RC_NO_SPACE) {
        plog_future_drop(&m->future);
        m->future = (struct plog){0};
        return wait_ms(m, FULL_DISK_MS);
    }
    if (rc != RC_OK) {
        give_up(m, "cannot begin", rc);
        return true;
    }
    m->begun_at = p->log.start;
    m->stage = MOVE_COPY;
    return true;
}

// ------------------------------------------------------------------------------------------------ copying

static void chunk_read(struct io_op *op, enum rc rc, size_t bytes)
{
    struct partition_move *m = container_of(op, struct partition_move, op);
    m->reading = false;
    m->have_read = true;
    m->rc = rc == RC_OK && bytes < m->chunk_bytes ? RC_CORRUPT : rc;
    mover_wake(m->mover);
}

static void chunk_there(struct plog_wait *w)
{
    struct partition_move *m = container_of(w, struct partition_move, wait);
    m->waiting = false;
    mover_wake(m->mover);
}

static void batch_done(struct plog_append *op, enum rc rc)
{
    struct move_batch *b = container_of(op, struct move_batch, op);
    struct partition_move *m = b->m;
    if (rc != RC_OK && m->rc == RC_OK)
        m->rc = rc;
    m->pending--;
    free(b);
    mover_wake(m->mover);
}

static enum rc append(struct partition_move *m, uint8_t *records, size_t n)
{
    while (n > 0) {
        struct batch_header h;
        enum rc rc = batch_header_read(bytes_of(records, n), &h);
        if (rc != RC_OK || !batch_crc_ok(bytes_of(records, batch_bytes(&h))))
            return RC_CORRUPT;
        struct move_batch *b = calloc(1, sizeof(*b));
        if (!b)
            return RC_NOMEM;
        b->m = m;
        b->op = (struct plog_append){
            .batch = records, .bytes = batch_bytes(&h), .flags = PLOG_APPEND_FOLLOWER, .done = batch_done};
        rc = plog_append(&m->future, &b->op);
        if (rc != RC_OK) {
            free(b);
            return rc;
        }
        m->pending++;
        records += batch_bytes(&h);
        n -= batch_bytes(&h);
    }
    return RC_OK;
}

// The chunk is in the future's log, or a part of it.
static bool chunk_over(struct partition_move *m)
{
    struct partition *p = m->p;
    enum rc rc = m->rc;
    repl_throttle_count(&p->es->engine->move_throttle, m->chunk_bytes, shard_now_ns(p->es->shard));
    chunk_drop(m);
    list_remove(&m->mover->moves, &m->link); // the others have their turn
    list_push_back(&m->mover->moves, &m->link);
    m->rc = RC_OK;
    if (rc == RC_NO_SPACE || rc == RC_NOMEM || rc == RC_NO_FILES) {
        if (!m->told_full)
            say(m, "waits", rc);
        m->told_full = true;
        release(m);
        return wait_ms(m, FULL_DISK_MS);
    }
    if (rc != RC_OK)
        give_up(m, "has failed", rc);
    return true;
}

// Begins to read the next chunk.
static bool chunk_begin(struct partition_move *m)
{
    struct partition *p = m->p;
    struct io *io = p->es->shard->io;
    uint64_t wait_ns = repl_throttle_wait_ns(&p->es->engine->move_throttle, shard_now_ns(p->es->shard));
    if (m->mover->copies && m->mover->copies != m)
        return false; // its end looks here again
    if (wait_ns) {
        release(m);
        return wait_until(m, shard_now_ns(p->es->shard) + wait_ns);
    }
    struct plog_read read = {
        .offset = m->future.next, .bound = p->log.written, .bytes_max = CHUNK_BYTES, .at_least_one = true};
    if (read.offset < p->log.start)
        read.offset = p->log.start; // of the first batch the future begins before it
    m->wait.done = chunk_there;
    enum rc rc = plog_read(&p->log, &read, &m->slice, &m->wait);
    if (rc == RC_AGAIN) {
        m->waiting = true;
        return false;
    }
    m->wait = (struct plog_wait){0};
    if (rc != RC_OK) {
        give_up(m, "cannot read on", rc);
        return true;
    }
    if (!m->slice.file)
        return wait_ms(m, AGAIN_MS);
    m->last = m->slice.next_offset >= p->log.written;
    if (m->last && m->ahead)
        hold(m); // or who writes all the time would never be reached
    m->chunk_bytes = m->slice.bytes;
    m->chunk = io_buffer_acquire(io, m->chunk_bytes);
    if (!m->chunk) {
        plog_slice_release(&m->slice);
        return wait_ms(m, 10 * AGAIN_MS);
    }
    m->mover->copies = m;
    m->reading = true;
    m->op.done = chunk_read;
    io_file_read(&m->op, plog_slice_file(&m->slice), m->chunk, m->chunk_bytes, m->slice.position);
    return true;
}

// What the future holds is all below log start by now, or past the end.
static bool is_passed(const struct partition_move *m)
{
    const struct plog *l = &m->p->log, *f = &m->future;
    return l->written < f->next || (plog_bytes(f) > 0 ? l->start > f->next : l->start != m->begun_at);
}

static bool copy(struct partition_move *m)
{
    struct partition *p = m->p;
    if (m->have_read) {
        m->have_read = false;
        plog_slice_release(&m->slice);
        if (m->rc == RC_OK)
            m->rc = append(m, m->chunk, m->chunk_bytes);
        plog_flush(&m->future);
        return true;
    }
    if (m->chunk) // its appends are back
        return chunk_over(m);
    if (partition_open(p) != RC_OK)
        return wait_ms(m, AGAIN_MS);
    if (is_passed(m)) {
        m->stage = MOVE_DROP;
        return true;
    }
    if (!m->ahead && (m->last || m->future.next == p->log.written)) {
        m->asked = false;
        m->stage = MOVE_AHEAD;
        return true;
    }
    if (m->future.next < p->log.written)
        return chunk_begin(m);
    hold(m);
    m->stage = MOVE_SEAL;
    return true;
}

// ------------------------------------------------------------------------------------------------ taking the place

static void sync_done(struct log_dir_op *op, enum rc rc)
{
    struct partition_move *m = container_of(op, struct partition_move, sync);
    m->in_flight = false;
    m->rc = rc;
    mover_wake(m->mover);
}

static void record_done(struct plog_future_op *op, enum rc rc)
{
    struct partition_move *m = container_of(op, struct partition_move, record);
    m->in_flight = false;
    m->rc = rc;
    mover_wake(m->mover);
}

static void sync_begin(struct partition_move *m, enum move_stage stage)
{
    m->stage = stage;
    m->in_flight = true;
    m->sync = (struct log_dir_op){.request = LOG_DIR_SYNC, .done = sync_done};
    log_dir_submit(m->to, &m->sync);
}

static void record_begin(struct partition_move *m)
{
    m->stage = MOVE_RECORD;
    m->in_flight = m->recorded = true;
    m->recorded_start = m->p->log.start;
    m->record = (struct plog_future_op){.done = record_done};
    plog_future_record(&m->future, &m->p->log, &m->record);
}

// Both logs are at rest, as far as they can be. False: looked at again soon.
static bool both_idle(struct partition_move *m)
{
    struct partition *p = m->p;
    if (plog_is_still(&p->log) && p->log.offered < p->log.written)
        plog_sync(&p->log);
    return plog_is_idle(&m->future) && plog_is_idle(&p->log) && p->log.offered == p->log.written &&
           !coordinator_has_files(p);
}

static bool seal(struct partition_move *m)
{
    struct partition *p = m->p;
    if (m->future.next < p->log.written) { // what was under way when appends were held
        m->stage = MOVE_COPY;
        return true;
    }
    if (!both_idle(m)) {
        if (shard_now_ns(p->es->shard) - m->hold_since_ns < HOLD_MS_MAX * NS_PER_MS)
            return wait_ms(m, SOON_MS);
        release(m); // a disk takes its time
        m->ahead = false;
        m->stage = MOVE_COPY;
        return wait_ms(m, FULL_DISK_MS);
    }
    enum rc rc = plog_future_seal(&m->future, &p->log);
    if (rc == RC_NO_SPACE || rc == RC_NOMEM || rc == RC_NO_FILES) {
        release(m);
        m->stage = MOVE_COPY;
        return wait_ms(m, FULL_DISK_MS);
    }
    if (rc != RC_OK)
        give_up(m, "has failed", rc);
    else
        sync_begin(m, MOVE_SYNC);
    return true;
}

static bool take(struct partition_move *m)
{
    struct partition *p = m->p;
    struct engine_shard *es = p->es;
    if (!both_idle(m))
        return wait_ms(m, SOON_MS);
    if (p->log.start != m->recorded_start) { // records were deleted meanwhile
        record_begin(m);
        return true;
    }
    enum rc rc = plog_future_take(&p->log, &m->future, engine_topic_name(p->topic));
    if (rc != RC_OK) {
        trace_error(es->engine->config.trace, "%s-%d cannot be opened in %s: %s", p->topic->name, p->id.partition,
                    m->to->path, rc_text(rc));
        p->state = PARTITION_OFFLINE;
    } else {
        say(m, "has moved to", RC_OK);
        p->begun_epoch = LEADER_EPOCH_NONE;
        (void)plog_open(&p->log);
    }
    end(m);
    partition_tell_anew(p);
    return true;
}

// What was in flight is back.
static bool arrived(struct partition_move *m)
{
    struct partition *p = m->p;
    enum rc rc = m->rc;
    m->rc = RC_OK;
    if (rc != RC_OK && m->stage != MOVE_DISOWN) {
        give_up(m, "has failed", rc);
        return true;
    }
    switch (m->stage) {
    case MOVE_AHEAD:
        m->ahead = true;
        m->last = false;
        m->stage = MOVE_COPY;
        return true;
    case MOVE_SYNC:
        record_begin(m);
        return true;
    case MOVE_RECORD:
        if (m->named) {
            m->stage = MOVE_TAKE;
            return true;
        }
        if (!plog_is_idle(&m->future))
            return wait_ms(m, SOON_MS);
        rc = plog_future_name(&m->future, &p->log);
        m->named = rc == RC_OK;
        if (rc != RC_OK)
            give_up(m, "has failed", rc);
        else
            sync_begin(m, MOVE_NAME);
        return true;
    case MOVE_NAME:
        m->stage = MOVE_TAKE;
        return true;
    case MOVE_DISOWN:
        if (rc == RC_OK || !is_online(p) || p->es->settling) { // while nothing was appended the two are equal
            m->stage = MOVE_DROP;
            return true;
        }
        m->asked = false; // once more, and until then nothing is appended
        return wait_ms(m, 10 * AGAIN_MS);
    case MOVE_BEGIN:
    case MOVE_COPY:
    case MOVE_SEAL:
    case MOVE_TAKE:
    case MOVE_DROP:
        break;
    }
    UNREACHABLE();
}

// The other folder may hold what a start would believe: the current one says first that it is the one.
static bool disown(struct partition_move *m)
{
    if (!is_online(m->p) && m->p->state != PARTITION_DOOMED) {
        m->stage = MOVE_DROP; // nothing is appended here any more: whichever a start believes has everything
        return true;
    }
    m->asked = m->in_flight = true;
    m->record = (struct plog_future_op){.done = record_done};
    plog_future_disown(&m->p->log, &m->record); // it may be done at once
    return true;
}

// ------------------------------------------------------------------------------------------------ steps

// A clean stop: the folder is left for the next start.
static bool leave(struct partition_move *m)
{
    if (m->chunk)
        chunk_drop(m);
    if (m->future.state != PLOG_DETACHED && !plog_is_idle(&m->future))
        return wait_ms(m, SOON_MS);
    if (m->future.state != PLOG_DETACHED)
        plog_detach(&m->future);
    end(m);
    return true;
}

// True: something was done, and more may be to do.
static bool step(struct partition_move *m)
{
    struct partition *p = m->p;
    if (!is_still(m))
        return false;
    if (shard_now_ns(p->es->shard) < m->not_before_ns && !(p->es->settling && m->stage < MOVE_RECORD))
        return false;
    if (!m->given_up && m->stage < MOVE_SYNC) {
        if (p->es->settling && p->state != PARTITION_DOOMED)
            return leave(m);
        if (p->state == PARTITION_DOOMED || !is_online(p) || log_dir_is_offline(m->to))
            give_up(m, "is given up", log_dir_is_offline(m->to) ? RC_OFFLINE : RC_OK);
        else if (m->anew && m->stage != MOVE_BEGIN)
            m->stage = MOVE_DROP;
    } else if (m->stage < MOVE_DISOWN && (m->given_up || log_dir_is_offline(m->to))) {
        give_up(m, "is given up", m->given_up ? RC_OK : RC_OFFLINE);
    }
    m->anew = m->anew && m->stage == MOVE_DROP;
    switch (m->stage) {
    case MOVE_BEGIN:
        return begin(m);
    case MOVE_COPY:
        return copy(m);
    case MOVE_SEAL:
        return seal(m);
    case MOVE_TAKE:
        return take(m);
    case MOVE_DROP:
        return drop(m);
    case MOVE_DISOWN:
        return m->asked ? arrived(m) : disown(m);
    case MOVE_AHEAD:
        if (m->asked)
            return arrived(m);
        m->asked = true;
        sync_begin(m, MOVE_AHEAD);
        return true;
    case MOVE_SYNC:
    case MOVE_RECORD:
    case MOVE_NAME:
        return arrived(m);
    }
    UNREACHABLE();
}

static enum shard_job_state mover_job(struct shard_job *j, uint64_t budget_ns)
{
    struct mover *k = container_of(j, struct mover, job);
    struct shard *s = k->es->shard;
    const uint64_t until = io_clock_ns(s->io) + budget_ns;
    bool any = true;
    while (any) {
        any = false;
        struct list_node *n = list_first(&k->moves), *next;
        for (size_t left = k->moves.count; n && left > 0; n = next, left--) {
            next = list_next(&k->moves, n);
            any |= step(list_entry(n, struct partition_move, link));
            if (io_clock_ns(s->io) >= until)
                return SHARD_JOB_MORE;
        }
    }
    uint64_t next_ns = UINT64_MAX;
    for (struct list_node *n = list_first(&k->moves); n; n = list_next(&k->moves, n)) {
        const struct partition_move *m = list_entry(n, struct partition_move, link);
        if (is_still(m) && m->not_before_ns > shard_now_ns(s) && m->not_before_ns < next_ns)
            next_ns = m->not_before_ns;
    }
    if (next_ns != UINT64_MAX)
        shard_timer_set(s, &k->timer, next_ns, mover_due);
    return SHARD_JOB_DONE;
}

// ------------------------------------------------------------------------------------------------ from outside

static struct mover *mover_get(struct engine_shard *es)
{
    if (es->mover)
        return es->mover;
    struct mover *k = calloc(1, sizeof(*k));
    if (!k)
        return NULL;
    k->es = es;
    list_init(&k->moves);
    es->mover = k;
    return k;
}

enum rc partition_move(struct partition *p, struct log_dir *dir)
{
    struct partition_move *m = p->move;
    if (!is_online(p) || log_dir_is_offline(dir))
        return RC_STORAGE_ERROR;
    if (m) {
        m->then = dir == p->log.dir || (dir == m->to && !m->given_up) ? NULL : dir;
        if (dir != m->to || m->given_up)
            m->given_up = true;
        mover_wake(m->mover);
        return RC_OK;
    }
    if (dir == p->log.dir)
        return RC_OK;
    struct mover *k = mover_get(p->es);
    m = k ? calloc(1, sizeof(*m)) : NULL;
    if (!m)
        return RC_NOMEM;
    m->p = p;
    m->mover = k;
    m->to = dir;
    p->move = m;
    list_push_back(&k->moves, &m->link);
    say(m, "moves to", RC_OK);
    if (shard_current() == p->es->shard) // so that a start knows of it; at boot nothing may be asked of other shards yet
        (void)begin(m);
    mover_wake(k);
    return RC_OK;
}

bool partition_move_look(const struct partition *p, struct partition_move_view *out)
{
    const struct partition_move *m = p->move;
    if (!m || (m->given_up && !m->then))
        return false;
    const bool there = m->future.state != PLOG_DETACHED && !m->given_up;
    *out = (struct partition_move_view){.to = m->given_up ? m->then : m->to,
                                        .bytes = there ? plog_bytes(&m->future) : 0,
                                        .lag = p->log.written - (there ? m->future.written : p->log.start)};
    return true;
}

bool partition_move_holds(const struct partition *p)
{
    return p->move && p->move->holds;
}

void partition_move_anew(struct partition *p)
{
    struct partition_move *m = p->move;
    if (!m || m->stage >= MOVE_SYNC)
        return;
    m->anew = true;
    mover_wake(m->mover);
}

bool partition_move_is_over(struct partition *p)
{
    struct partition_move *m = p->move;
    if (!m)
        return true;
    m->then = NULL;
    m->given_up = true;
    mover_wake(m->mover);
    return false;
}

bool mover_settled(struct engine_shard *es)
{
    struct mover *k = es->mover;
    if (!k || list_empty(&k->moves))
        return true;
    mover_wake(k);
    return false;
}

void mover_resume(struct engine_shard *es)
{
    struct engine *e = es->engine;
    for (uint32_t i = 0; i < e->future_count; i++) {
        const struct engine_future *f = &e->futures[i];
        struct partition *p = engine_shard_of(e, f->id) == es ? partition_peek(es, f->id) : NULL;
        if (p)
            (void)partition_move(p, f->dir);
    }
}

void mover_stop(struct engine_shard *es)
{
    struct mover *k = es->mover;
    if (!k)
        return;
    shard_timer_cancel(es->shard, &k->timer);
    if (k->job.started)
        shard_job_cancel(es->shard, &k->job);
}

void mover_free(struct engine_shard *es)
{
    free(es->mover);
    es->mover = NULL;
}

void partition_move_free(struct partition *p)
{
    struct partition_move *m = p->move;
    if (!m)
        return;
    if (m->chunk)
        chunk_drop(m);
    if (m->future.state != PLOG_DETACHED)
        plog_detach(&m->future);
    list_remove(&m->mover->moves, &m->link);
    p->move = NULL;
    free(m);
}
