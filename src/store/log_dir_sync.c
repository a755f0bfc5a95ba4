// SPDX-License-Identifier: Apache-2.0
//
// Syncs and checkpoint records of a log folder: one sync in flight, everybody who came while it flew shares the next.
// A group that wants one file is served by a sync of that file; any other by one syncfs, which many dirty files make
// the cheaper one and which covers names too. Replacing the checkpoint takes its turn between two groups.
#include "base/assert.h"
#include "store/log_dir_private.h"

#include <stdlib.h>

static void log_dir_advance(struct log_dir *d);

bool log_dir_is_idle(const struct log_dir *d)
{
    return d->sync_state == LOG_DIR_IDLE && list_empty(&d->waiting) && list_empty(&d->syncing);
}

static void log_dir_finish(struct log_dir_op *op, enum rc rc)
{
    op->rc = rc;
    if (op->done)
        op->done(op, rc);
}

static void log_dir_finish_all(struct list *ops, enum rc rc)
{
    struct list_node *n;
    while ((n = list_pop_front(ops)))
        log_dir_finish(list_entry(n, struct log_dir_op, link), rc);
}

static enum rc log_dir_append(struct log_dir *d, const struct checkpoint_record *r)
{
    if (log_dir_is_offline(d))
        return RC_OFFLINE;
    // Entries first: an append that fails takes the folder offline, and then nobody asks them any more.
    enum rc rc = log_dir_entry_apply(d, r);
    if (rc == RC_OK)
        rc = checkpoint_append(&d->checkpoint, r);
    // A full disk heals: the next record goes to the same place. Not so where the log is cut already.
    bool passes = (rc == RC_NOMEM || rc == RC_NO_SPACE) && !(r->flags & CHECKPOINT_FLAG_RESET);
    if (rc && !passes)
        log_dir_fail(d, d->io, rc, "writing", d->checkpoint.path);
    return rc;
}

// The last step of a clean stop: all that was written is durable, say so.
static enum rc log_dir_note_stop(struct log_dir *d)
{
    enum rc rc = checkpoint_append(&d->checkpoint, &(struct checkpoint_record){.type = CHECKPOINT_STOPPED});
    if (rc == RC_OK)
        rc = io_file_sync_now(&d->checkpoint.file);
    if (rc)
        log_dir_fail(d, d->io, rc, "noting the stop in", d->checkpoint.path);
    return rc;
}

static void log_dir_synced(struct io_op *io_op, enum rc rc, size_t bytes)
{
    struct log_dir *d = container_of(io_op, struct log_dir, sync_op);
    enum log_dir_sync_state state = d->sync_state;
    (void)bytes;
    d->sync_state = LOG_DIR_HELD;
    if (rc == RC_OK && state == LOG_DIR_NEXT_FILE) {
        rc = checkpoint_replace_finish(&d->checkpoint, d->io);
        if (rc == RC_OK) {
            d->sync_state = LOG_DIR_NEXT_NAME;
            io_file_sync(&d->sync_op, &d->self);
            return;
        }
    }
    if (rc)
        log_dir_fail(d, d->io, rc, "syncing", d->path);
    struct list done;
    list_init(&done);
    struct list_node *n;
    while ((n = list_pop_front(&d->syncing)))
        list_push_back(&done, n);
    checkpoint_gather_begin(&d->checkpoint);
    while ((n = list_pop_front(&done))) {
        struct log_dir_op *op = list_entry(n, struct log_dir_op, link);
        enum rc op_rc = rc;
        if (rc == RC_OK && op->request == LOG_DIR_STOP)
            op_rc = log_dir_note_stop(d);
        log_dir_finish(op, op_rc);
    }
    rc = checkpoint_gather_end(&d->checkpoint);
    if (rc && rc != RC_NO_SPACE && !log_dir_is_offline(d))
        log_dir_fail(d, d->io, rc, "writing", d->checkpoint.path);
    log_dir_release(d);
}

// The one file all operations of the group want, or NULL when they want more.
static struct io_file *log_dir_group_file(const struct list *group)
{
    struct io_file *file = NULL;
    for (struct list_node *n = list_first(group); n; n = list_next(group, n)) {
        struct io_file *wanted = list_entry(n, struct log_dir_op, link)->file;
        if (!wanted || (file && wanted != file))
            return NULL;
        file = wanted;
    }
    return file;
}

// Starts what is due, unless something is in flight.
static void log_dir_advance(struct log_dir *d)
{
    if (d->sync_state != LOG_DIR_IDLE)
        return;
    if (log_dir_is_offline(d)) {
        log_dir_finish_all(&d->waiting, RC_OFFLINE);
        return;
    }
    d->sync_op.done = log_dir_synced;
    if (d->started && log_dir_entries_worth_replacing(d)) {
        enum rc rc = log_dir_entries_replace(d);
        if (rc == RC_OK) {
            d->sync_state = LOG_DIR_NEXT_FILE;
            io_file_sync(&d->sync_op, &d->checkpoint.next);
            return;
        }
        if (rc != RC_NOMEM && rc != RC_NO_SPACE && rc != RC_NO_FILES) { // those pass, and the old file is as good
            log_dir_fail(d, d->io, rc, "replacing", d->checkpoint.path);
            log_dir_finish_all(&d->waiting, RC_OFFLINE);
            return;
        }
    }
    if (list_empty(&d->waiting))
        return;
    struct list_node *n;
    while ((n = list_pop_front(&d->waiting)))
        list_push_back(&d->syncing, n);
    struct io_file *file = log_dir_group_file(&d->syncing);
    d->sync_state = LOG_DIR_SYNCING;
    if (file)
        io_file_sync(&d->sync_op, file);
    else
        io_file_sync_all(&d->sync_op, &d->self);
}

bool log_dir_hold(struct log_dir *d)
{
    if (d->forward || d->sync_state != LOG_DIR_IDLE)
        return false;
    d->sync_state = LOG_DIR_HELD;
    return true;
}

void log_dir_release(struct log_dir *d)
{
    ASSERT(d->sync_state == LOG_DIR_HELD);
    d->sync_state = LOG_DIR_IDLE;
    log_dir_advance(d);
}

static void log_dir_copy_entry(const struct log_dir *d, struct topic_partition id, struct log_dir_entry *out)
{
    const struct log_dir_entry *e = log_dir_find(d, id);
    *out = e ? *e : log_dir_entry_none(id);
}

void log_dir_run(struct log_dir *d, struct log_dir_op *op)
{
    enum rc rc = log_dir_is_offline(d) ? RC_OFFLINE : RC_OK;
    if (rc == RC_OK && (op->request == LOG_DIR_PUT || op->request == LOG_DIR_PUT_SYNC))
        rc = log_dir_append(d, &op->record);
    if (rc == RC_OK && op->request == LOG_DIR_STOP)
        rc = log_dir_write_texts(d);
    if (rc == RC_OK && op->request == LOG_DIR_FIND)
        log_dir_copy_entry(d, op->record.id, op->found);
    if (rc || op->request == LOG_DIR_PUT || op->request == LOG_DIR_FIND) {
        log_dir_finish(op, rc);
        log_dir_advance(d);
        return;
    }
    if (op->request == LOG_DIR_PUT_SYNC)
        op->file = &d->checkpoint.file;
    if (op->request == LOG_DIR_STOP)
        op->file = NULL;
    list_push_back(&d->waiting, &op->link);
    log_dir_advance(d);
}

void log_dir_submit(struct log_dir *d, struct log_dir_op *op)
{
    if (d->forward)
        d->forward(d, op);
    else
        log_dir_run(d, op);
}

struct log_dir_posted {
    struct log_dir_op op;
};

static void log_dir_posted_done(struct log_dir_op *op, enum rc rc)
{
    (void)rc; // a failure has taken the folder offline already
    free(container_of(op, struct log_dir_posted, op));
}

enum rc log_dir_put(struct log_dir *d, const struct checkpoint_record *r)
{
    if (!d->forward) {
        enum rc rc = log_dir_append(d, r);
        log_dir_advance(d);
        return rc;
    }
    struct log_dir_posted *posted = calloc(1, sizeof(*posted));
    if (!posted)
        return RC_NOMEM;
    posted->op.request = LOG_DIR_PUT;
    posted->op.record = *r;
    posted->op.done = log_dir_posted_done;
    d->forward(d, &posted->op);
    return RC_OK;
}
