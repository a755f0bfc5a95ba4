// SPDX-License-Identifier: Apache-2.0
//
// The moves of a shard, step by step; see partition_move.h.
#include "engine/partition_move_core.h"
#include "engine/replica.h"

#include <stdlib.h>

#include "base/assert.h"

static enum shard_job_state mover_job(struct shard_job *j, uint64_t budget_ns);

void mover_wake(struct mover *k)
{
    if (!k->job.started)
        shard_job_start(k->es->shard, &k->job, mover_job);
}

static void mover_due(struct shard_timer *t)
{
    mover_wake(container_of(t, struct mover, timer));
}

bool move_wait_until(struct partition_move *m, uint64_t at_ns)
{
    m->not_before_ns = at_ns;
    return false;
}

bool move_wait_ms(struct partition_move *m, uint64_t ms)
{
    return move_wait_until(m, shard_now_ns(m->p->es->shard) + ms * MOVE_NS_PER_MS);
}

bool move_is_online(const struct partition *p)
{
    return p->state == PARTITION_ONLINE && !log_dir_is_offline(p->log.dir);
}

void move_say(const struct partition_move *m, const char *what, enum rc rc)
{
    const struct partition *p = m->p;
    if (rc == RC_OK)
        trace_info(p->es->engine->config.trace, "%s-%d: %s %s", p->topic->name, p->id.partition, what, m->to->path);
    else
        trace_warn(p->es->engine->config.trace, "%s-%d: its move to %s %s: %s", p->topic->name, p->id.partition, m->to->path,
                   what, rc_text(rc));
}

// ------------------------------------------------------------------------------------------------ holding, ending

void move_hold(struct partition_move *m)
{
    if (m->holds)
        return;
    m->holds = true;
    m->hold_since_ns = shard_now_ns(m->p->es->shard);
}

void move_release(struct partition_move *m)
{
    if (!m->holds)
        return;
    m->holds = false;
    partition_appends_resume(m->p);
    replica_starts_look(m->p);
}

void move_chunk_drop(struct partition_move *m)
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

void move_give_up(struct partition_move *m, const char *what, enum rc rc)
{
    if (!m->given_up && rc != RC_OK)
        move_say(m, what, rc);
    m->given_up = true;
    m->asked = false;
    m->stage = m->recorded ? MOVE_DISOWN : MOVE_DROP;
}

void move_end(struct partition_move *m)
{
    struct partition *p = m->p;
    struct log_dir *then = m->then;
    p->move = NULL;
    list_remove(&m->mover->moves, &m->link);
    if (p->log.state != PLOG_DETACHED) {
        p->log.moving = false;
        compact_consider(&p->log);
    }
    move_release(m);
    free(m);
    if (then && move_is_online(p) && !p->es->settling)
        (void)partition_move(p, then);
}

static bool drop(struct partition_move *m)
{
    if (m->chunk)
        move_chunk_drop(m);
    if (m->future.state != PLOG_DETACHED && !plog_is_idle(&m->future))
        return move_wait_ms(m, MOVE_SOON_MS);
    if (m->recorded && !log_dir_is_offline(m->to)) {
        const struct checkpoint_record removed = {.type = CHECKPOINT_REMOVED, .id = m->p->id};
        (void)log_dir_put(m->to, &removed); // a lost one is believed less than the current log's
    }
    plog_future_drop(&m->future);
    m->future = (struct plog){0};
    if (m->given_up) {
        move_end(m);
        return true;
    }
    m->anew = m->ahead = m->last = false;
    m->stage = MOVE_BEGIN;
    move_release(m);
    return move_wait_ms(m, 10 * MOVE_AGAIN_MS);
}

// ------------------------------------------------------------------------------------------------ steps

// A clean stop: the folder is left for the next start.
static bool leave(struct partition_move *m)
{
    if (m->chunk)
        move_chunk_drop(m);
    if (m->future.state != PLOG_DETACHED && !plog_is_idle(&m->future))
        return move_wait_ms(m, MOVE_SOON_MS);
    if (m->future.state != PLOG_DETACHED)
        plog_detach(&m->future);
    move_end(m);
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
        if (p->state == PARTITION_DOOMED || !move_is_online(p) || log_dir_is_offline(m->to))
            move_give_up(m, "is given up", log_dir_is_offline(m->to) ? RC_OFFLINE : RC_OK);
        else if (m->anew && m->stage != MOVE_BEGIN)
            m->stage = MOVE_DROP;
    } else if (m->stage < MOVE_DISOWN && (m->given_up || log_dir_is_offline(m->to))) {
        move_give_up(m, "is given up", m->given_up ? RC_OK : RC_OFFLINE);
    }
    m->anew = m->anew && m->stage == MOVE_DROP;
    switch (m->stage) {
    case MOVE_BEGIN:
        return move_begin(m);
    case MOVE_COPY:
        return move_copy(m);
    case MOVE_SEAL:
        return move_seal(m);
    case MOVE_TAKE:
        return move_take(m);
    case MOVE_DROP:
        return drop(m);
    case MOVE_DISOWN:
        return m->asked ? move_arrived(m) : move_disown(m);
    case MOVE_AHEAD:
        if (m->asked)
            return move_arrived(m);
        m->asked = true;
        move_sync_begin(m, MOVE_AHEAD);
        return true;
    case MOVE_SYNC:
    case MOVE_RECORD:
    case MOVE_NAME:
        return move_arrived(m);
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
    if (!move_is_online(p) || log_dir_is_offline(dir))
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
    move_say(m, "moves to", RC_OK);
    if (shard_current() == p->es->shard) // so that a start knows of it; at boot nothing may be asked of other shards yet
        (void)move_begin(m);
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
        move_chunk_drop(m);
    if (m->future.state != PLOG_DETACHED)
        plog_detach(&m->future);
    list_remove(&m->mover->moves, &m->link);
    p->move = NULL;
    free(m);
}
