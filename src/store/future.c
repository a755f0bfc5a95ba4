// SPDX-License-Identifier: Apache-2.0
#include "store/future.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "store/log_private.h"

enum rc plog_attach_future(struct plog *f, const struct plog *l, struct log_dir *dir, const struct plog_config *config,
                           int64_t offset)
{
    char name[IO_PATH_BYTES_MAX];
    const char *dash = strrchr(l->folder, '-');
    struct topic_partition id = {l->id.topic_id, l->id.partition | FUTURE_PARTITION_BIT};
    ASSERT(dash && !config->compacts && !config->deletes && config->flush_messages == INT64_MAX);
    enum rc rc = plog_attach(f, l->store, dir, bytes_of(l->folder, (size_t)(dash - l->folder)), id, config, NULL);
    if (rc)
        return rc;
    log_dir_moved_name(l->store->io, name, l->folder, "-future");
    char *folder = strdup(name);
    if (!folder) {
        plog_detach(f);
        return RC_NOMEM;
    }
    free(f->folder);
    f->folder = folder;
    f->state = PLOG_UNMADE;
    f->clean_marked = false;
    f->start = f->local_start = f->high_watermark = offset;
    f->next = f->written = f->offered = f->durable = f->recovery_point = offset;
    plog_active_init(f, offset);
    plog_hints_clear(f);
    return RC_OK;
}

// ------------------------------------------------------------------------------------------------ seal

static enum rc future_copy_epochs(struct plog *f, const struct plog *l)
{
    epoch_cache_clear(&f->epochs);
    enum rc rc = epoch_cache_reserve(&f->epochs, l->epochs.count);
    for (uint32_t i = 0; rc == RC_OK && i < l->epochs.count; i++)
        rc = epoch_cache_begin(&f->epochs, l->epochs.entries[i].epoch, l->epochs.entries[i].offset);
    f->epochs.changed = true;
    return rc;
}

// What the current log knows of producers goes further back than its batches.
static enum rc future_copy_producers(struct plog *f, const struct plog *l)
{
    char name[SEGMENT_NAME_BYTES], path[IO_PATH_BYTES_MAX];
    struct buf snapshot;
    buf_init(&snapshot, SIZE_MAX);
    producer_snapshot_print(&l->producers, &snapshot);
    segment_name(name, f->written, ".snapshot");
    enum rc rc = snapshot.failed ? RC_NOMEM : plog_path(f, path, name);
    if (rc == RC_OK)
        rc = log_dir_write_fresh(f->store->io, path, buf_bytes(&snapshot), false);
    buf_deinit(&snapshot);
    if (rc == RC_OK)
        f->snapshot = f->written;
    return rc;
}

enum rc plog_future_make(struct plog *f)
{
    struct store_file *file;
    return log_dir_is_offline(f->dir) ? RC_OFFLINE : plog_make_active(f, &file);
}

enum rc plog_future_seal(struct plog *f, struct plog *l)
{
    ASSERT(plog_is_idle(f) && plog_is_still(l) && f->written == l->written);
    enum rc rc = plog_future_make(f);
    if (rc == RC_OK)
        rc = future_copy_epochs(f, l);
    if (rc == RC_OK)
        rc = plog_write_indexes(f); // all of them: its record says no more than where it ends
    if (rc == RC_OK)
        rc = plog_write_derived(f);
    if (rc == RC_OK)
        rc = future_copy_producers(f, l);
    f->names_dirty = true;
    return rc;
}

// ------------------------------------------------------------------------------------------------ records

static void future_put(struct plog_future_op *op);

static void future_put_done(struct log_dir_op *dir_op, enum rc rc)
{
    struct plog_future_op *op = container_of(dir_op, struct plog_future_op, dir_op);
    if (rc == RC_OK && ++op->at < op->count)
        future_put(op);
    else
        op->done(op, rc);
}

static void future_put(struct plog_future_op *op)
{
    op->dir_op.request = op->at + 1 < op->count ? LOG_DIR_PUT : LOG_DIR_PUT_SYNC;
    op->dir_op.file = NULL;
    op->dir_op.record = op->records[op->at];
    op->dir_op.done = future_put_done;
    log_dir_submit(op->dir, &op->dir_op);
}

static void future_add(struct plog_future_op *op, const struct plog *l, enum checkpoint_type type, int64_t offset)
{
    ASSERT(op->count < ARRAY_COUNT(op->records));
    op->records[op->count++] = (struct checkpoint_record){.type = (uint8_t)type, .id = l->id, .offset = offset};
}

void plog_future_record(const struct plog *f, const struct plog *l, struct plog_future_op *op)
{
    const struct log_dir_mark at = plog_mark_here(f);
    op->dir = f->dir;
    op->count = op->at = 0;
    future_add(op, l, CHECKPOINT_REMOVED, 0); // what it knew of an earlier life
    future_add(op, l, CHECKPOINT_RECOVERY_POINT, at.offset);
    struct checkpoint_record *point = &op->records[op->count - 1];
    point->flags = CHECKPOINT_FLAG_CLEAN;
    point->segment_base = at.segment_base;
    point->position = at.position;
    point->leader_epoch = at.leader_epoch;
    future_add(op, l, CHECKPOINT_START, l->start);
    future_add(op, l, CHECKPOINT_HIGH_WATERMARK, l->high_watermark);
    future_add(op, l, CHECKPOINT_CLEANED, l->first_dirty);
    future_add(op, l, CHECKPOINT_MOVES, (int64_t)l->moves + 1);
    future_put(op);
}

void plog_future_disown(struct plog *l, struct plog_future_op *op)
{
    op->dir = l->dir;
    op->count = op->at = 0;
    l->moves += 2;
    future_add(op, l, CHECKPOINT_MOVES, l->moves);
    future_put(op);
}

// ------------------------------------------------------------------------------------------------ names

enum rc plog_future_name(struct plog *f, const struct plog *l)
{
    char from[IO_PATH_BYTES_MAX], to[IO_PATH_BYTES_MAX];
    char *folder = strdup(l->folder);
    enum rc rc = folder ? plog_path(f, from, "") : RC_NOMEM;
    if (rc == RC_OK)
        rc = log_dir_path(f->dir, to, l->folder);
    if (rc == RC_OK && io_exists(f->store->io, to))
        rc = RC_EXISTS;
    if (rc) {
        free(folder);
        return rc;
    }
    file_cache_drop_all(&f->open_files);
    rc = io_rename(f->store->io, from, to);
    if (rc) {
        free(folder);
        plog_fail_dir(f, rc, "renaming");
        return rc;
    }
    free(f->folder);
    f->folder = folder;
    return RC_OK;
}

enum rc plog_future_take(struct plog *l, struct plog *f, struct bytes topic_name)
{
    struct store *store = l->store;
    struct log_dir *dir = f->dir;
    const struct plog_config *config = l->config;
    const struct topic_partition id = l->id;
    const uint32_t moves = l->moves + 1;
    struct log_dir_entry e = log_dir_entry_none(id);
    const struct checkpoint_record removed = {.type = CHECKPOINT_REMOVED, .id = f->id};
    ASSERT(plog_is_idle(l) && plog_is_idle(f) && f->written == l->written);
    e.recovery_point = plog_mark_here(f);
    e.clean = true;
    e.start = l->start;
    e.high_watermark = l->high_watermark;
    e.cleaned = l->first_dirty;
    e.moves = moves;
    struct producer_state refused = {.registry = &store->producers};
    producer_state_hand_on_refused(&l->producers, &refused);
    (void)log_dir_put(dir, &removed);
    plog_detach(f);
    (void)plog_delete(l); // a folder that fails meanwhile keeps a log that nobody believes any more
    enum rc rc = plog_attach(l, store, dir, topic_name, id, config, &e);
    if (rc == RC_OK)
        producer_state_hand_on_refused(&refused, &l->producers);
    producer_state_deinit(&refused);
    return rc;
}

void plog_future_drop(struct plog *f)
{
    if (f->state == PLOG_DETACHED)
        return;
    if (plog_delete(f) != RC_OK && f->state != PLOG_DETACHED)
        plog_detach(f); // the next start removes it
}

// ------------------------------------------------------------------------------------------------ at start

static bool drop_folder(struct log_dir *d, const char *folder)
{
    char from[IO_PATH_BYTES_MAX], name[IO_PATH_BYTES_MAX], to[IO_PATH_BYTES_MAX];
    log_dir_moved_name(d->io, name, folder, "-delete");
    enum rc rc = log_dir_path(d, from, folder);
    if (rc == RC_OK)
        rc = log_dir_path(d, to, name);
    if (rc == RC_OK)
        rc = io_rename(d->io, from, to);
    return rc == RC_OK;
}

// Durably: or a start would find an entry, and what it speaks of nowhere.
static bool forget(struct log_dir *d, struct topic_partition id)
{
    const struct checkpoint_record removed = {.type = CHECKPOINT_REMOVED, .id = id};
    if (!log_dir_find(d, id))
        return true;
    enum rc rc = log_dir_put(d, &removed);
    if (rc == RC_OK)
        rc = io_file_sync_now(&d->checkpoint.file);
    if (rc && rc != RC_NO_SPACE && !log_dir_is_offline(d))
        log_dir_fail(d, d->io, rc, "syncing", d->checkpoint.path);
    return rc == RC_OK;
}

bool log_dir_drop_future(struct log_dir *d, const char *folder, struct topic_partition id, bool log_is_there)
{
    return (log_is_there || forget(d, id)) && drop_folder(d, folder);
}

bool log_dir_drop_moved(struct log_dir *d, const char *folder, struct topic_partition id)
{
    return forget(d, id) && drop_folder(d, folder);
}
