// SPDX-License-Identifier: Apache-2.0
//
// The copy takes the place of the log, or is disowned; see partition_move_core.h.
#include "engine/partition_move_core.h"

#include "base/assert.h"
#include "engine/coordinator.h"

enum { HOLD_MS_MAX = 2000 };

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

void move_sync_begin(struct partition_move *m, enum move_stage stage)
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

bool move_seal(struct partition_move *m)
{
    struct partition *p = m->p;
    if (m->future.next < p->log.written) { // what was under way when appends were held
        m->stage = MOVE_COPY;
        return true;
    }
    if (!both_idle(m)) {
        if (shard_now_ns(p->es->shard) - m->hold_since_ns < HOLD_MS_MAX * MOVE_NS_PER_MS)
            return move_wait_ms(m, MOVE_SOON_MS);
        move_release(m); // a disk takes its time
        m->ahead = false;
        m->stage = MOVE_COPY;
        return move_wait_ms(m, MOVE_FULL_DISK_MS);
    }
    enum rc rc = plog_future_seal(&m->future, &p->log);
    if (rc == RC_NO_SPACE || rc == RC_NOMEM || rc == RC_NO_FILES) {
        move_release(m);
        m->stage = MOVE_COPY;
        return move_wait_ms(m, MOVE_FULL_DISK_MS);
    }
    if (rc != RC_OK)
        move_give_up(m, "has failed", rc);
    else
        move_sync_begin(m, MOVE_SYNC);
    return true;
}

bool move_take(struct partition_move *m)
{
    struct partition *p = m->p;
    struct engine_shard *es = p->es;
    if (!both_idle(m))
        return move_wait_ms(m, MOVE_SOON_MS);
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
        move_say(m, "has moved to", RC_OK);
        p->begun_epoch = LEADER_EPOCH_NONE;
        (void)plog_open(&p->log);
    }
    move_end(m);
    partition_tell_anew(p);
    return true;
}

bool move_arrived(struct partition_move *m)
{
    struct partition *p = m->p;
    enum rc rc = m->rc;
    m->rc = RC_OK;
    if (rc != RC_OK && m->stage != MOVE_DISOWN) {
        move_give_up(m, "has failed", rc);
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
            return move_wait_ms(m, MOVE_SOON_MS);
        rc = plog_future_name(&m->future, &p->log);
        m->named = rc == RC_OK;
        if (rc != RC_OK)
            move_give_up(m, "has failed", rc);
        else
            move_sync_begin(m, MOVE_NAME);
        return true;
    case MOVE_NAME:
        m->stage = MOVE_TAKE;
        return true;
    case MOVE_DISOWN:
        if (rc == RC_OK || !move_is_online(p) || p->es->settling) { // while nothing was appended the two are equal
            m->stage = MOVE_DROP;
            return true;
        }
        m->asked = false; // once more, and until then nothing is appended
        return move_wait_ms(m, 10 * MOVE_AGAIN_MS);
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
bool move_disown(struct partition_move *m)
{
    if (!move_is_online(m->p) && m->p->state != PARTITION_DOOMED) {
        m->stage = MOVE_DROP; // nothing is appended here any more: whichever a start believes has everything
        return true;
    }
    m->asked = m->in_flight = true;
    m->record = (struct plog_future_op){.done = record_done};
    plog_future_disown(&m->p->log, &m->record); // it may be done at once
    return true;
}
