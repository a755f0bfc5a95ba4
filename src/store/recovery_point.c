// SPDX-License-Identifier: Apache-2.0
//
// What bounds the work of a restart: recovery points, which hold after a power cut, and written marks, which hold after
// the death of the process.
//
// A recovery point at X is made in this order, and in no other:
//
//   1. plog_checkpoint():       everything below X is in the .log files (X is the written end)
//   2. plog_write_derived():    epochs and producer snapshot up to X are written, and indexes but for a few entries
//   3. LOG_DIR_SYNC:            one sync of the whole file system makes 1 and 2 durable, names included
//   4. plog_checkpoint_synced(): only when it succeeded, the checkpoint is moved to X
//
// A written mark is steps 1, 2 and 4 without the sync: the page cache keeps them.
#include "base/assert.h"
#include "store/log_private.h"

#include <stdio.h>
#include <stdlib.h>

struct log_dir_mark plog_mark_here(const struct plog *l)
{
    const struct segment_active *a = &l->active;
    const bool timed = a->timestamp_max_offset != OFFSET_NONE && a->timestamp_max_offset == l->written - 1;
    return (struct log_dir_mark){
        .offset = l->written,
        .segment_base = a->base_offset,
        .position = a->bytes,
        .leader_epoch = epoch_cache_latest(&l->epochs),
        .timed = timed,
        .timestamp = timed ? a->timestamp_max : 0,
    };
}

// A snapshot knows by its checksum whether it is whole; any other file changes as a whole, by a rename.
static enum rc plog_write_small(struct plog *l, const char *name, const struct buf *content, bool checked)
{
    char path[IO_PATH_BYTES_MAX];
    if (content->failed)
        return RC_NOMEM;
    enum rc rc = plog_path(l, path, name);
    if (rc == RC_OK)
        rc = checked ? log_dir_write_fresh(l->store->io, path, buf_bytes(content), false)
                     : log_dir_write_file(l->store->io, path, buf_bytes(content), false);
    if (rc == RC_OK)
        l->names_dirty = true;
    return rc;
}

static enum rc plog_write_epochs(struct plog *l)
{
    if (!l->epochs.changed)
        return RC_OK;
    struct buf text;
    buf_init(&text, SIZE_MAX);
    epoch_cache_print(&l->epochs, &text);
    enum rc rc = plog_write_small(l, "leader-epoch-checkpoint", &text, false);
    buf_deinit(&text);
    if (rc == RC_OK)
        l->epochs.changed = false;
    return rc;
}

// Whether a snapshot is still needed: at the base of a segment (for truncation, and Kafka's tools), at any point that a
// start may find in the checkpoint (the mark, the recovery point, and the one before it, because only the sync of the
// next one makes a point's record durable), at the one being made, or the newest.
static bool plog_snapshot_is_needed(const struct plog *l, int64_t offset)
{
    return plog_segment_of(l, offset).base_offset == offset || offset == l->mark || offset == l->recovery_point ||
           offset == l->recovery_point_durable || offset == l->snapshot ||
           (l->checkpointing && offset == l->checkpointing->at.offset);
}

// Whether the snapshot at offset may go, and where it lies.
static bool plog_snapshot_goes(const struct plog *l, int64_t offset, char path[IO_PATH_BYTES_MAX])
{
    char name[SEGMENT_NAME_BYTES];
    if (offset == OFFSET_NONE || l->snapshot == OFFSET_NONE || plog_snapshot_is_needed(l, offset))
        return false;
    segment_name(name, offset, ".snapshot");
    return plog_path(l, path, name) == RC_OK;
}

// The file is removed later, and after a cut the log may have another of that name by then: it changes its name now.
static void snapshot_remove(struct store *s, struct log_dir *dir, const char *path)
{
    char gone[IO_PATH_BYTES_MAX];
    int n = snprintf(gone, sizeof(gone), "%s.deleted", path);
    if (n > 0 && n < (int)sizeof(gone) && !log_dir_is_offline(dir) && io_rename(s->io, path, gone) == RC_OK)
        (void)store_trash_put(s, dir, gone, false, 0);
}

static void plog_drop_snapshot(struct plog *l, int64_t offset)
{
    char path[IO_PATH_BYTES_MAX];
    if (plog_snapshot_goes(l, offset, path))
        snapshot_remove(l->store, l->dir, path);
}

enum rc plog_write_snapshot(struct plog *l)
{
    // Where a segment begins, one that is not there says that it could not be written, not that there are no producers.
    bool base = l->sealed_count && l->written == l->active.base_offset;
    if (l->snapshot == l->written || (l->producers.map.count == 0 && l->snapshot == OFFSET_NONE && !base))
        return RC_OK;
    struct buf snapshot;
    char name[SEGMENT_NAME_BYTES];
    buf_init(&snapshot, SIZE_MAX);
    producer_snapshot_print(&l->producers, &snapshot);
    segment_name(name, l->written, ".snapshot");
    enum rc rc = plog_write_small(l, name, &snapshot, true);
    buf_deinit(&snapshot);
    if (rc)
        return rc;
    int64_t superseded = l->snapshot;
    l->snapshot = l->written;
    l->producers.changed = false;
    plog_drop_snapshot(l, superseded);
    return RC_OK;
}

// The greatest timestamp so far goes to the time index, so that recovery need not look for it below the mark.
enum rc plog_write_indexes(struct plog *l)
{
    enum rc rc = plog_put_time_index(l, &l->active);
    return rc ? rc : plog_tails_write(l, &l->active);
}

static bool plog_indexes_can_wait(const struct plog *l)
{
    const struct segment_active *a = &l->active;
    return a->bytes - a->index_written < l->store->config.index_waits_bytes && plog_mark_here(l).timed &&
           a->index.bytes <= STORE_INDEX_WAITS_ENTRIES * INDEX_ENTRY_BYTES;
}

enum rc plog_write_derived(struct plog *l)
{
    enum rc rc = plog_indexes_can_wait(l) ? RC_OK : plog_write_indexes(l);
    if (rc == RC_OK)
        rc = plog_write_epochs(l);
    if (rc == RC_OK)
        rc = plog_write_snapshot(l);
    return rc;
}

static struct checkpoint_record plog_record(const struct plog *l, enum checkpoint_type type,
                                            const struct log_dir_mark *at, bool clean)
{
    return (struct checkpoint_record){
        .type = (uint8_t)type,
        .flags = (uint16_t)((clean ? CHECKPOINT_FLAG_CLEAN : 0) | (at->timed ? CHECKPOINT_FLAG_TIMED : 0)),
        .id = l->id,
        .offset = at->offset,
        .segment_base = at->segment_base,
        .position = at->position,
        .leader_epoch = at->leader_epoch,
        .timestamp = at->timestamp,
    };
}

// Nothing is queued or in flight behind the written end.
static bool plog_is_quiet(const struct plog *l)
{
    return list_empty(&l->queued) && list_empty(&l->writing) && !l->write;
}

static void plog_reset_noted(struct plog *l, const struct log_dir_mark *at)
{
    l->recovery_point = l->recovery_point_durable = at->offset;
    l->recovery_base = at->segment_base;
    if (l->first_dirty > at->offset)
        l->first_dirty = at->offset;
    l->mark = at->offset;
    l->clean_marked = false;
}

struct plog_reset {
    struct log_dir_op op;
    struct plog *log;
    struct log_dir_mark at;
};

static void plog_reset_put(struct log_dir_op *op, enum rc rc)
{
    struct plog_reset *y = container_of(op, struct plog_reset, op);
    struct plog *l = y->log;
    l->resetting = false;
    l->reset_ready = rc == RC_OK;
    if (rc == RC_OK)
        plog_reset_noted(l, &y->at);
    free(y);
}

enum rc plog_put_reset(struct plog *l, const struct log_dir_mark *at, bool whole, bool wait)
{
    // It may have been here before, and something else have been noted since.
    bool ready = l->reset_ready && l->recovery_point == at->offset && l->recovery_base == at->segment_base &&
                 l->mark == at->offset;
    struct checkpoint_record r = plog_record(l, CHECKPOINT_RECOVERY_POINT, at, false);
    r.flags |= CHECKPOINT_FLAG_RESET | (whole ? CHECKPOINT_FLAG_BEGINS : 0);
    l->reset_ready = false;
    if (ready)
        return RC_OK;
    if (!l->dir->forward || !wait) {
        enum rc rc = log_dir_put(l->dir, &r);
        if (rc == RC_OK && !l->dir->forward)
            rc = io_file_sync_now(&l->dir->checkpoint.file);
        if (rc == RC_OK)
            plog_reset_noted(l, at);
        return rc;
    }
    // The folder is another shard's: not a byte may go before its checkpoint says so.
    struct plog_reset *y = calloc(1, sizeof(*y));
    if (!y)
        return RC_AGAIN;
    y->log = l;
    y->at = *at;
    y->op.request = LOG_DIR_PUT_SYNC;
    y->op.record = r;
    y->op.done = plog_reset_put;
    l->resetting = true;
    l->reset_due = whole;
    log_dir_submit(l->dir, &y->op);
    return RC_AGAIN;
}

// ------------------------------------------------------------------------------------------------ written marks

// A mark on its way to the shard that owns the folder. The snapshot of the one before goes when it has arrived: until
// then a start goes by that one. It knows no log, for that may be gone by then.
struct plog_mark {
    struct log_dir_op op;
    struct store *store;
    struct log_dir *dir;
    uint64_t cuts; // of the store when it was sent
    char path[];   // of the snapshot, empty: none
};

static void plog_mark_put(struct log_dir_op *op, enum rc rc)
{
    struct plog_mark *y = container_of(op, struct plog_mark, op);
    // After a cut the file of that name may be a new one: it stays, at worst for nothing.
    if (rc == RC_OK && y->path[0] && y->cuts == y->store->cuts)
        snapshot_remove(y->store, y->dir, y->path);
    free(y);
}

static enum rc plog_send_mark(struct plog *l, const struct checkpoint_record *r, int64_t before)
{
    char path[IO_PATH_BYTES_MAX];
    if (!plog_snapshot_goes(l, before, path))
        path[0] = 0;
    size_t n = strlen(path) + 1;
    struct plog_mark *y = calloc(1, sizeof(*y) + n);
    if (!y)
        return RC_NOMEM;
    memcpy(y->path, path, n);
    y->store = l->store;
    y->dir = l->dir;
    y->cuts = l->store->cuts;
    y->op.request = LOG_DIR_PUT;
    y->op.record = *r;
    y->op.done = plog_mark_put;
    log_dir_submit(l->dir, &y->op);
    return RC_OK;
}

enum rc plog_put_mark(struct plog *l)
{
    if (!plog_is_made(l) || l->clean_marked)
        return RC_OK;
    enum rc rc = plog_write_derived(l);
    if (rc)
        return rc;
    bool clean = plog_is_quiet(l);
    const struct log_dir_mark here = plog_mark_here(l);
    const struct checkpoint_record r = plog_record(l, CHECKPOINT_MARK, &here, clean);
    int64_t before = l->mark;
    if (!l->dir->forward)
        rc = log_dir_put(l->dir, &r);
    if (rc)
        return rc;
    l->mark = here.offset;
    if (l->dir->forward)
        rc = plog_send_mark(l, &r, before);
    else
        plog_drop_snapshot(l, before);
    if (rc) {
        l->mark = before;
        return rc;
    }
    l->unmarked_bytes = 0;
    l->clean_marked = clean;
    l->store->counters.marks++;
    return RC_OK;
}

void plog_put_high_watermark(struct plog *l)
{
    if (l->high_watermark == l->noted_high_watermark || l->state == PLOG_UNMADE)
        return;
    const struct checkpoint_record r = {.type = CHECKPOINT_HIGH_WATERMARK, .id = l->id, .offset = l->high_watermark};
    if (log_dir_put(l->dir, &r) == RC_OK)
        l->noted_high_watermark = l->high_watermark;
}

enum rc plog_put_start(struct plog *l)
{
    const struct checkpoint_record r = {.type = CHECKPOINT_START, .id = l->id, .offset = l->start};
    return log_dir_put(l->dir, &r);
}

struct plog_dirty {
    struct log_dir_op op;
    struct plog *log;
};

static void plog_dirty_done(struct log_dir_op *op, enum rc rc)
{
    struct plog_dirty *y = container_of(op, struct plog_dirty, op);
    struct plog *l = y->log;
    free(y);
    l->marking = false;
    l->clean_marked = rc != RC_OK;
    if (rc)
        plog_fail_queue(l, rc);
    plog_flush(l);
}

enum rc plog_put_dirty(struct plog *l)
{
    if (!l->clean_marked)
        return RC_OK;
    const struct checkpoint_record r = {.type = CHECKPOINT_DIRTY, .id = l->id};
    if (!l->dir->forward) {
        enum rc rc = log_dir_put(l->dir, &r);
        l->clean_marked = rc != RC_OK;
        return rc;
    }
    // The folder is another shard's: not a byte may be appended before its checkpoint says so.
    struct plog_dirty *y = calloc(1, sizeof(*y));
    if (!y)
        return RC_NOMEM;
    y->log = l;
    y->op.request = LOG_DIR_PUT;
    y->op.record = r;
    y->op.done = plog_dirty_done;
    l->marking = true;
    log_dir_submit(l->dir, &y->op);
    if (l->marking)
        return RC_AGAIN;
    // It was this shard's after all, and is done.
    return l->clean_marked ? RC_OFFLINE : RC_OK;
}

// ------------------------------------------------------------------------------------------------ recovery points

// The point is in the checkpoint, or could not be put there (a full disk): then the one before it stands, and nothing
// below it may go, neither a snapshot nor what compaction replaces.
static void plog_checkpoint_put(struct log_dir_op *dir_op, enum rc rc)
{
    struct plog_checkpoint *op = container_of(dir_op, struct plog_checkpoint, dir_op);
    struct plog *l = op->log;
    l->checkpointing = NULL;
    if (rc == RC_OK) {
        int64_t before = l->recovery_point_durable;
        l->recovery_point_durable = l->recovery_point;
        l->recovery_point = op->at.offset;
        l->recovery_base = op->at.segment_base;
        plog_drop_snapshot(l, before);
        plog_put_high_watermark(l);
    }
    if (op->at.offset > l->durable)
        l->durable = op->at.offset;
    store_note_synced(l->store, l, op->bytes);
    l->store->counters.recovery_points++;
    compact_consider(l);
    op->done(op, rc);
}

static void plog_checkpoint_synced(struct log_dir_op *dir_op, enum rc rc)
{
    struct plog_checkpoint *op = container_of(dir_op, struct plog_checkpoint, dir_op);
    struct plog *l = op->log;
    if (rc) {
        l->checkpointing = NULL;
        op->done(op, rc);
        return;
    }
    bool clean = plog_is_quiet(l) && l->written == op->at.offset;
    // From here on an append says first that the log is dirty again; on the way to another shard records keep their order.
    l->clean_marked = l->clean_marked || clean;
    op->dir_op.request = LOG_DIR_PUT;
    op->dir_op.record = plog_record(l, CHECKPOINT_RECOVERY_POINT, &op->at, clean);
    op->dir_op.done = plog_checkpoint_put;
    log_dir_submit(l->dir, &op->dir_op);
}

enum rc plog_checkpoint(struct plog *l, struct plog_checkpoint *op)
{
    if (l->checkpointing)
        return RC_FULL;
    enum rc rc = plog_ready(l);
    if (rc || !plog_is_made(l) ||
        (l->recovery_point == l->written && l->recovery_base == l->active.base_offset))
        return rc;
    rc = plog_write_derived(l);
    if (rc)
        return rc;
    op->log = l;
    op->at = plog_mark_here(l);
    op->bytes = l->unsynced_bytes;
    op->dir_op.request = LOG_DIR_SYNC;
    op->dir_op.file = NULL;
    op->dir_op.done = plog_checkpoint_synced;
    l->checkpointing = op;
    l->names_dirty = false; // a failed sync takes the folder offline, so that nobody asks again
    log_dir_submit(l->dir, &op->dir_op);
    return RC_AGAIN;
}
