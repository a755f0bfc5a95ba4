// SPDX-License-Identifier: Apache-2.0
//
// A move begins, and its batches are copied; see partition_move_core.h.
#include "engine/partition_move_core.h"

#include <stdlib.h>

#include "base/assert.h"
#include "wire/batch.h"

enum { CHUNK_BYTES = 256 << 10 };

struct move_batch {
    struct plog_append op;
    struct partition_move *m;
};

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

bool move_begin(struct partition_move *m)
{
    struct partition *p = m->p;
    int64_t offset;
    if (!move_is_online(p) || p->log.state == PLOG_DETACHED || partition_open(p) != RC_OK)
        return move_wait_ms(m, MOVE_AGAIN_MS);
    p->log.moving = true;
    compact_cancel(&p->log);
    if (compact_is_busy(&p->log))
        return move_wait_ms(m, MOVE_AGAIN_MS);
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
        return move_wait_ms(m, MOVE_FULL_DISK_MS);
    }
    if (rc != RC_OK) {
        move_give_up(m, "cannot begin", rc);
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
    move_chunk_drop(m);
    list_remove(&m->mover->moves, &m->link); // the others have their turn
    list_push_back(&m->mover->moves, &m->link);
    m->rc = RC_OK;
    if (rc == RC_NO_SPACE || rc == RC_NOMEM || rc == RC_NO_FILES) {
        if (!m->told_full)
            move_say(m, "waits", rc);
        m->told_full = true;
        move_release(m);
        return move_wait_ms(m, MOVE_FULL_DISK_MS);
    }
    if (rc != RC_OK)
        move_give_up(m, "has failed", rc);
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
        move_release(m);
        return move_wait_until(m, shard_now_ns(p->es->shard) + wait_ns);
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
        move_give_up(m, "cannot read on", rc);
        return true;
    }
    if (!m->slice.file)
        return move_wait_ms(m, MOVE_AGAIN_MS);
    m->last = m->slice.next_offset >= p->log.written;
    if (m->last && m->ahead)
        move_hold(m); // or who writes all the time would never be reached
    m->chunk_bytes = m->slice.bytes;
    m->chunk = io_buffer_acquire(io, m->chunk_bytes);
    if (!m->chunk) {
        plog_slice_release(&m->slice);
        return move_wait_ms(m, 10 * MOVE_AGAIN_MS);
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

bool move_copy(struct partition_move *m)
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
        return move_wait_ms(m, MOVE_AGAIN_MS);
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
    move_hold(m);
    m->stage = MOVE_SEAL;
    return true;
}
