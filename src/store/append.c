// SPDX-License-Identifier: Apache-2.0
//
// The append path of a partition log: check and queue, gather and write, complete in order; and what a failed write
// sets back.
//
//   queued -> writing -> (syncing, where flush.messages asks) -> done
//
// Offsets and producer state are given when an append is queued and become real when its write completes. A failed
// write fails everything queued behind it too: what it would have followed is not there.
#include "base/assert.h"
#include "store/log_private.h"

#include <stdlib.h>

static void plog_sync_start(struct plog *l);

// ------------------------------------------------------------------------------------------------ check and queue

static enum rc plog_judge_producer(struct plog *l, struct plog_append *op, const struct producer_append *a)
{
    struct producer_batch original;
    if (a->control) { // a coordinator's marker has no sequence, only an epoch
        const struct producer_entry *e = producer_state_find(&l->producers, a->producer_id);
        return e && a->epoch < e->epoch ? RC_INVALID_PRODUCER_EPOCH : RC_OK;
    }
    switch (producer_state_check(&l->producers, a, &original)) {
    case PRODUCER_NEW:
        return RC_OK;
    case PRODUCER_OUT_OF_ORDER:
        return RC_OUT_OF_ORDER_SEQUENCE;
    case PRODUCER_STALE_EPOCH:
        return RC_INVALID_PRODUCER_EPOCH;
    case PRODUCER_DUPLICATE:
        op->duplicate = true;
        op->last_offset = original.last_offset;
        op->base_offset = original.last_offset - original.offset_delta;
        op->log_append_time_ms = l->config->log_append_time ? original.timestamp : TIMESTAMP_NONE;
        return RC_OK;
    }
    UNREACHABLE();
}

static enum rc plog_header_of(const struct plog_append *op, struct batch_header *h)
{
    enum rc rc = batch_header_read(bytes_of(op->batch, op->bytes), h);
    if (rc || batch_bytes(h) != op->bytes || h->last_offset_delta < 0)
        return RC_INVALID_RECORD;
    return RC_OK;
}

void plog_note_refused(struct plog *l, struct bytes batch)
{
    struct producer_append a;
    struct producer_batch original;
    struct batch_header h;
    bool lasts = l->state == PLOG_OPEN || l->state == PLOG_UNMADE || l->state == PLOG_AT_REST || l->state == PLOG_UNCLEAN;
    if (!lasts || batch_header_read(batch, &h) != RC_OK || !batch_has_producer(&h))
        return;
    plog_producer_append_of(&h, batch, &a);
    if (!a.control && producer_state_check(&l->producers, &a, &original) == PRODUCER_NEW)
        producer_state_refuse(&l->producers, &a, io_now_ns(l->store->io));
}

static bool plog_refusal_passes(enum rc rc)
{
    return rc == RC_NO_SPACE || rc == RC_NO_FILES || rc == RC_AGAIN;
}

enum rc plog_append(struct plog *l, struct plog_append *op)
{
    struct batch_header h;
    struct producer_append a;
    bool follower = (op->flags & PLOG_APPEND_FOLLOWER) != 0;
    enum rc rc = plog_ready(l);
    if (rc == RC_OK)
        rc = plog_header_of(op, &h);
    if (rc == RC_OK && op->bytes > l->config->segment_bytes)
        rc = RC_RECORD_LIST_TOO_LARGE;
    if (rc == RC_OK)
        rc = plog_reset_finish(l);
    if (rc == RC_OK && log_dir_lacks_space(l->dir, l->store->io))
        rc = RC_NO_SPACE;
    if (!follower && plog_refusal_passes(rc))
        plog_note_refused(l, bytes_of(op->batch, op->bytes));
    if (rc)
        return rc;
    if (follower && h.base_offset < l->next)
        return RC_OFFSET_OUT_OF_RANGE;
    op->log = l;
    op->duplicate = op->aborts = false;
    op->undo.entry = NULL;
    op->records = h.record_count;
    op->timestamp_max = h.max_timestamp;
    op->log_append_time_ms = l->config->log_append_time ? h.max_timestamp : TIMESTAMP_NONE;
    h.base_offset = op->base_offset = follower ? h.base_offset : l->next;
    op->last_offset = batch_last_offset(&h);
    // Once it is written nothing may be short for its epoch: one that began later than it did cuts followers wrongly.
    if ((follower ? h.leader_epoch : op->leader_epoch) != epoch_cache_latest(&l->epochs) &&
        epoch_cache_reserve(&l->epochs, l->queued.count + l->writing.count + 1) != RC_OK)
        return RC_NOMEM;
    if (batch_has_producer(&h)) {
        plog_producer_append_of(&h, bytes_of(op->batch, op->bytes), &a);
        op->aborts = a.control && !a.control_commit;
        rc = follower ? RC_OK : plog_judge_producer(l, op, &a);
        if (rc == RC_OK && !op->duplicate)
            rc = producer_state_apply(&l->producers, &a, io_now_ns(l->store->io), &op->undo);
        if (rc)
            return rc;
    }
    if (op->duplicate) {
        l->store->counters.duplicates++;
    } else {
        if (follower)
            op->leader_epoch = h.leader_epoch;
        else
            batch_stamp(op->batch, op->base_offset, op->leader_epoch);
        l->next = op->last_offset + 1;
    }
    list_push_back(&l->queued, &op->link);
    return RC_OK;
}

// ------------------------------------------------------------------------------------------------ completion

static void plog_done_all(struct list *done, enum rc rc)
{
    struct list_node *n;
    while ((n = list_pop_front(done))) {
        struct plog_append *op = list_entry(n, struct plog_append, link);
        op->done(op, rc);
    }
}

// Sets back what the appends of a list did to the producer state, newest first.
static void plog_undo_all(struct plog *l, struct list *ops)
{
    for (struct list_node *n = list_last(ops); n; n = n->prev == &ops->head ? NULL : n->prev)
        producer_state_undo(&l->producers, &list_entry(n, struct plog_append, link)->undo);
}

static void plog_move_all(struct list *from, struct list *to)
{
    struct list_node *n;
    while ((n = list_pop_front(from)))
        list_push_back(to, n);
}

// Fails everything that is not written: the log is as if it had never been asked.
void plog_fail_queue(struct plog *l, enum rc rc)
{
    struct list failed;
    list_init(&failed);
    plog_undo_all(l, &l->queued);
    plog_undo_all(l, &l->writing);
    plog_move_all(&l->writing, &failed);
    plog_move_all(&l->queued, &failed);
    l->next = l->written;
    if (rc != RC_NO_SPACE && !log_dir_is_offline(l->dir) && rc != RC_NOMEM && rc != RC_NO_FILES)
        plog_fail_dir(l, rc, "writing to");
    plog_done_all(&failed, rc);
}

// One append of the gathered write is in the file.
static void plog_written_one(struct plog *l, struct plog_append *op)
{
    if (op->duplicate)
        return;
    // An index entry that found no memory or no space is not missed: recovery rebuilds it.
    (void)plog_note_batch(l, &l->active, (uint32_t)op->bytes, op->last_offset, op->timestamp_max);
    enum rc noted = epoch_cache_begin(&l->epochs, op->leader_epoch, op->base_offset); // has its place since plog_append()
    if (noted && !log_dir_is_offline(l->dir))
        plog_fail_dir(l, noted, "noting a leader epoch of");
    if (op->aborts && op->undo.entry && op->undo.txn_first_offset != OFFSET_NONE) {
        enum rc rc = plog_note_abort(l, op->undo.entry->producer_id, op->undo.txn_first_offset, op->last_offset);
        if (rc && !log_dir_is_offline(l->dir)) // a reader would take aborted records for committed ones
            plog_fail_dir(l, rc, "noting an abort in");
    }
    producer_state_commit(&op->undo);
    l->written = op->last_offset + 1;
    l->unsynced_messages += op->records;
}

// Sorts written appends into those that are done and those that wait for a sync. flush.messages=N: the append that
// brings the unsynced messages to N waits, and so does all that comes behind it.
static void plog_sort_written(struct plog *l, struct list *done)
{
    struct list_node *n;
    // Whoever has read to the end will ask for exactly this.
    plog_hint_put(l, l->written, l->active.base_offset, l->active.bytes, false);
    while ((n = list_pop_front(&l->writing))) {
        struct plog_append *op = list_entry(n, struct plog_append, link);
        plog_written_one(l, op);
        bool waits = !list_empty(&l->syncing) ||
                     (!op->duplicate && l->unsynced_messages >= l->config->flush_messages) ||
                     (op->duplicate && plog_forces_sync(l) && op->last_offset >= l->offered);
        if (waits) {
            list_push_back(&l->syncing, &op->link);
            continue;
        }
        if (!op->duplicate)
            l->offered = op->last_offset + 1;
        list_push_back(done, &op->link);
    }
}

static void plog_write_release(struct plog *l, struct plog_write *w)
{
    file_cache_unpin(w->file);
    l->write = NULL;
    if (l->store->spare_write)
        free(w);
    else
        l->store->spare_write = w;
}

// The gathered write ended, well or not.
static void plog_write_end(struct plog *l, enum rc rc)
{
    struct plog_write *w = l->write;
    uint32_t bytes = w->bytes;
    struct list done;
    list_init(&done);
    if (rc) {
        // Cut what may have been written of it, before anybody can append behind.
        enum rc cut = io_file_truncate(&w->file->file, l->active.bytes);
        plog_write_release(l, w);
        if (cut && !log_dir_is_offline(l->dir))
            plog_fail_dir(l, cut, "cutting a failed write of");
        plog_fail_queue(l, rc);
        return;
    }
    plog_write_release(l, w);
    plog_sort_written(l, &done);
    store_note_unsynced(l->store, l, bytes);
    if (!list_empty(&l->syncing))
        plog_sync_start(l);
    if (log_dir_is_offline(l->dir)) // nothing of it is acknowledged any more
        plog_done_all(&done, RC_OFFLINE);
    plog_done_all(&done, RC_OK);
}

static void plog_write_done(struct io_op *io_op, enum rc rc, size_t bytes)
{
    struct plog_write *w = container_of(io_op, struct plog_write, op);
    struct plog *l = w->log;
    (void)bytes;
    plog_write_end(l, rc);
    plog_flush(l);
}

// ------------------------------------------------------------------------------------------------ gather and write

static struct plog_write *plog_write_acquire(struct plog *l)
{
    struct plog_write *w = l->store->spare_write;
    l->store->spare_write = NULL;
    if (!w)
        w = malloc(sizeof(*w));
    if (!w)
        return NULL;
    w->op = (struct io_op){.done = plog_write_done};
    w->log = l;
    w->bytes = 0;
    w->vec_count = 0;
    return w;
}

// Takes what fits into the active segment from the queue, duplicates where they stand.
static void plog_gather(struct plog *l, struct plog_write *w)
{
    struct list_node *n;
    while (w->vec_count < IO_VECS_MAX && (n = list_first(&l->queued))) {
        struct plog_append *op = list_entry(n, struct plog_append, link);
        if (!op->duplicate) {
            if (w->bytes && plog_wants_roll(l, w->bytes, w->vec_count, op))
                break;
            w->vecs[w->vec_count++] = (struct iovec){.iov_base = op->batch, .iov_len = op->bytes};
            w->bytes += (uint32_t)op->bytes;
        }
        list_remove(&l->queued, n);
        list_push_back(&l->writing, n);
    }
}

static struct plog_append *plog_first_batch(const struct plog *l)
{
    for (struct list_node *n = list_first(&l->queued); n; n = list_next(&l->queued, n)) {
        struct plog_append *op = list_entry(n, struct plog_append, link);
        if (!op->duplicate)
            return op;
    }
    return NULL;
}

// Nothing but duplicates is queued: no write, their originals are in.
static void plog_flush_duplicates(struct plog *l)
{
    struct list done;
    list_init(&done);
    plog_move_all(&l->queued, &l->writing);
    plog_sort_written(l, &done);
    if (!list_empty(&l->syncing))
        plog_sync_start(l);
    plog_done_all(&done, RC_OK);
}

// Starts one gathered write. RC_OK: it is done already; RC_AGAIN: in flight. Else it did not begin.
static enum rc plog_write_begin(struct plog *l, const struct plog_append *first)
{
    struct store_file *file;
    enum rc rc = plog_put_dirty(l);
    if (rc == RC_OK && plog_wants_roll(l, 0, 0, first))
        rc = plog_roll(l);
    if (rc == RC_OK)
        rc = plog_make_active(l, &file);
    if (rc)
        return rc;
    struct plog_write *w = plog_write_acquire(l);
    if (!w)
        return RC_NOMEM;
    plog_gather(l, w);
    file_cache_pin(file);
    w->file = file;
    l->write = w;
    l->store->counters.writes++;
    l->store->counters.write_vecs += w->vec_count;
    l->store->counters.appends += w->vec_count;
    l->store->counters.append_bytes += w->bytes;
    rc = io_file_write(&w->op, &file->file, w->vecs, w->vec_count, l->active.bytes);
    if (rc != RC_AGAIN)
        plog_write_end(l, rc);
    return rc == RC_AGAIN ? RC_AGAIN : RC_OK;
}

void plog_flush(struct plog *l)
{
    if (l->flushing)
        return;
    l->flushing = true;
    while (!l->write && !l->marking && !list_empty(&l->queued)) {
        if (log_dir_is_offline(l->dir)) {
            plog_fail_queue(l, RC_OFFLINE);
            break;
        }
        struct plog_append *first = plog_first_batch(l);
        if (!first) {
            plog_flush_duplicates(l);
            continue;
        }
        enum rc rc = plog_write_begin(l, first);
        if (rc == RC_AGAIN)
            break;
        if (rc) {
            plog_fail_queue(l, rc);
            break;
        }
    }
    l->flushing = false;
}

// ------------------------------------------------------------------------------------------------ syncs

static void plog_sync_done(struct log_dir_op *dir_op, enum rc rc)
{
    struct plog_sync *y = container_of(dir_op, struct plog_sync, op);
    struct plog *l = y->log;
    struct list done;
    list_init(&done);
    if (y->file)
        file_cache_unpin(y->file);
    if (rc == RC_OK && log_dir_is_offline(l->dir))
        rc = RC_OFFLINE;
    bool idle = list_empty(&l->syncing);
    if (rc == RC_OK) {
        if (y->offset > l->durable)
            l->durable = y->offset;
        l->unsynced_messages -= y->messages;
        store_note_synced(l->store, l, y->bytes);
        struct list_node *n;
        while ((n = list_first(&l->syncing)) && list_entry(n, struct plog_append, link)->last_offset < y->offset) {
            list_remove(&l->syncing, n);
            list_push_back(&done, n);
        }
        int64_t offered = list_empty(&l->syncing) && !plog_forces_sync(l) ? l->written : l->durable;
        if (offered > l->offered)
            l->offered = offered;
    } else {
        plog_move_all(&l->syncing, &done);
    }
    l->sync = NULL;
    free(y);
    plog_done_all(&done, rc);
    if (!list_empty(&l->syncing))
        plog_sync_start(l);
    if (idle && rc == RC_OK && l->store->offered_moved)
        l->store->offered_moved(l->store, l);
}

// Submits a sync of what is written now, unless one is in flight: then its end starts the next.
static void plog_sync_start(struct plog *l)
{
    if (l->sync)
        return;
    struct plog_sync *y = calloc(1, sizeof(*y));
    if (!y) {
        struct list failed;
        list_init(&failed);
        plog_move_all(&l->syncing, &failed);
        plog_done_all(&failed, RC_NOMEM); // written but not known to be durable: the client asks again
        return;
    }
    y->log = l;
    y->offset = l->written;
    y->bytes = l->unsynced_bytes;
    y->op.request = LOG_DIR_SYNC;
    y->op.done = plog_sync_done;
    // One file is enough when nothing but it has changed: no new name, no roll since the last sync; and when it is open
    // since the first byte that is not durable, for only then does the kernel tell it of a write-back that failed.
    struct store_file *file;
    if (!l->names_dirty && !l->dir->forward && l->durable >= l->active.base_offset &&
        plog_file(l, STORE_FILE_LOG, l->active.base_offset, 0, &file) == RC_OK && file->opened_end <= l->durable) {
        file_cache_pin(file);
        y->file = file;
        y->op.file = &file->file;
    }
    l->names_dirty = false;             // a failure takes the folder offline, so that nobody asks again
    y->messages = l->unsynced_messages; // they count as unsynced until it is done
    l->sync = y;
    l->store->counters.syncs_forced++;
    log_dir_submit(l->dir, &y->op);
}

void plog_sync(struct plog *l)
{
    if (l->state == PLOG_OPEN && l->durable < l->written)
        plog_sync_start(l);
}
