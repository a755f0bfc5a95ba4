// SPDX-License-Identifier: Apache-2.0
//
// What leaves a partition log: at its start by log start, retention.ms and retention.bytes; at its end by truncation.
// Only sealed segments are ever deleted; an active one that has wholly expired is sealed first.
#include "base/assert.h"
#include "store/log_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RETENTION_SEGMENTS_A_STEP = 4 };

// ------------------------------------------------------------------------------------------------ files

void plog_close_segment(struct plog *l, int64_t base_offset)
{
    for (struct list_node *n = list_first(&l->open_files), *next; n; n = next) {
        struct store_file *f = list_entry(n, struct store_file, link);
        next = list_next(&l->open_files, n);
        if (f->segment_base == base_offset)
            file_cache_drop(f);
    }
}

void plog_drop_files(struct plog *l, int64_t base_offset, int64_t delay_ms)
{
    static const char *const suffixes[] = {".log", ".index", ".timeindex", ".txnindex", ".snapshot"};
    plog_close_segment(l, base_offset);
    for (unsigned i = 0; i < ARRAY_COUNT(suffixes) && !log_dir_is_offline(l->dir); i++) {
        char name[SEGMENT_NAME_BYTES], deleted[SEGMENT_NAME_BYTES + 8];
        char path[IO_PATH_BYTES_MAX], gone[IO_PATH_BYTES_MAX];
        segment_name(name, base_offset, suffixes[i]);
        snprintf(deleted, sizeof(deleted), "%s.deleted", name);
        if (plog_path(l, path, name) || plog_path(l, gone, deleted))
            continue;
        enum rc rc = io_rename(l->store->io, path, gone);
        if (rc == RC_OK)
            (void)store_trash_put(l->store, l->dir, gone, false, delay_ms);
        else if (rc != RC_NOT_FOUND) // most segments lack some of them
            plog_fail_dir(l, rc, "renaming a deleted segment of");
    }
}

enum rc plog_sync_names(struct plog *l)
{
    char path[IO_PATH_BYTES_MAX];
    enum rc rc = plog_path(l, path, "");
    if (rc == RC_OK)
        rc = log_dir_is_offline(l->dir) ? RC_OFFLINE : io_sync_dir_now(l->store->io, path);
    if (rc && !log_dir_is_offline(l->dir))
        plog_fail_dir(l, rc, "syncing the folder of");
    return rc;
}

// Forgets the first count sealed segments and their files.
static void plog_drop_first(struct plog *l, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        l->sealed_bytes -= l->sealed[i].bytes;
        plog_drop_files(l, l->sealed[i].base_offset, l->config->file_delete_delay_ms);
    }
    l->sealed_count -= count;
    memmove(l->sealed, l->sealed + count, l->sealed_count * sizeof(*l->sealed));
    l->store->counters.segments_deleted += count;
    plog_hints_clear(l);
}

// ------------------------------------------------------------------------------------------------ log start

static void plog_set_start(struct plog *l, int64_t offset)
{
    l->start = l->local_start = offset;
    if (l->high_watermark < offset)
        l->high_watermark = offset;
    epoch_cache_cut_start(&l->epochs, offset);
    if (l->store->start_moved)
        l->store->start_moved(l->store, l);
}

static void plog_start_noted(struct log_dir_op *dir_op, enum rc rc)
{
    struct plog_start_op *op = container_of(dir_op, struct plog_start_op, dir_op);
    op->done(op, rc);
}

enum rc plog_raise_start(struct plog *l, int64_t offset, struct plog_start_op *op)
{
    enum rc rc = plog_ready(l);
    if (rc)
        return rc;
    if (offset > l->written)
        return RC_OFFSET_OUT_OF_RANGE;
    if (offset <= l->start_durable)
        return RC_OK;
    if (offset > l->start)
        plog_set_start(l, offset);
    offset = l->start; // already there perhaps, and not on the disk yet: the answer waits for that all the same
    op->dir_op.request = LOG_DIR_PUT_SYNC;
    op->dir_op.record = (struct checkpoint_record){.type = CHECKPOINT_START, .id = l->id, .offset = offset};
    op->dir_op.done = plog_start_noted;
    log_dir_submit(l->dir, &op->dir_op);
    return RC_AGAIN;
}

// ------------------------------------------------------------------------------------------------ retention

// A segment's age counts from its greatest timestamp; where no batch has one, from when it was sealed.
static enum rc plog_sealed_age_from(struct plog *l, uint32_t ordinal, int64_t *from_ms)
{
    struct plog_cold cold;
    enum rc rc = plog_sealed_timestamp(l, ordinal, false, from_ms, &cold);
    if (rc == RC_OK && *from_ms < 0)
        *from_ms = l->sealed[ordinal].sealed_ms;
    return rc;
}

static bool plog_is_expired(const struct plog *l, int64_t from_ms, int64_t wall_ms)
{
    return l->config->deletes && l->config->retention_ms >= 0 && wall_ms - from_ms > l->config->retention_ms;
}

// Whether the first sealed segment may go, `kept` being the bytes of the log with it.
static bool plog_first_may_go(struct plog *l, uint32_t ordinal, uint64_t kept, int64_t bound, int64_t wall_ms)
{
    struct plog_segment s = plog_segment_at(l, ordinal);
    int64_t from_ms;
    if (s.next_base > bound)
        return false;
    if (s.next_base <= l->start)
        return true;
    if (l->config->deletes && l->config->retention_bytes >= 0 && kept - s.bytes >= (uint64_t)l->config->retention_bytes)
        return true;
    return plog_sealed_age_from(l, ordinal, &from_ms) == RC_OK && plog_is_expired(l, from_ms, wall_ms);
}

// Whether nothing of the active segment is wanted any more and it can be sealed now.
static bool plog_active_may_go(const struct plog *l, int64_t bound, int64_t wall_ms)
{
    const struct segment_active *a = &l->active;
    if (a->bytes == 0 || l->written > bound || l->next != l->written || l->write)
        return false;
    return l->written <= l->start || plog_is_expired(l, a->timestamp_max >= 0 ? a->timestamp_max : a->made_ms, wall_ms);
}

// Sealed segments that lie wholly below offset.
static uint32_t plog_sealed_below(const struct plog *l, int64_t offset)
{
    uint32_t count = 0;
    while (count < l->sealed_count && plog_segment_at(l, count).next_base <= offset)
        count++;
    return count;
}

bool plog_drop_step(struct plog *l)
{
    if (compact_is_swapping(l)) // its end asks for this again
        return false;
    uint32_t count = plog_sealed_below(l, l->start_durable);
    uint32_t now = count < RETENTION_SEGMENTS_A_STEP ? count : RETENTION_SEGMENTS_A_STEP;
    if (now)
        plog_drop_first(l, now);
    return count > now;
}

struct plog_start_note {
    struct log_dir_op op;
    struct plog *log;
};

static void plog_drop_when_durable(struct plog *l);

static void plog_start_note_done(struct log_dir_op *op, enum rc rc)
{
    struct plog_start_note *note = container_of(op, struct plog_start_note, op);
    struct plog *l = note->log;
    l->noting_start = false;
    if (rc == RC_OK && op->record.offset > l->start_durable)
        l->start_durable = op->record.offset;
    free(note);
    if (rc == RC_OK)
        plog_drop_when_durable(l);
}

// Segments go when the log start that lets them go is on the disk: else a power cut could keep the removal of a name
// and lose the reason for it, and the start after it would miss what the recovery point promises.
static void plog_drop_when_durable(struct plog *l)
{
    uint32_t count = plog_sealed_below(l, l->start);
    if (count == 0 || l->noting_start)
        return;
    if (plog_segment_at(l, count).base_offset <= l->start_durable) {
        store_want_drop(l->store, l);
        return;
    }
    struct plog_start_note *note = calloc(1, sizeof(*note));
    if (!note)
        return; // the next step asks again
    note->log = l;
    note->op.request = LOG_DIR_PUT_SYNC;
    note->op.record = (struct checkpoint_record){.type = CHECKPOINT_START, .id = l->id, .offset = l->start};
    note->op.done = plog_start_note_done;
    l->noting_start = true;
    log_dir_submit(l->dir, &note->op);
}

bool plog_retention_step(struct plog *l, int64_t bound, int64_t wall_ms)
{
    if (plog_ready(l) || l->state != PLOG_OPEN)
        return false;
    uint32_t gone = plog_sealed_below(l, l->start), count = gone;
    uint64_t kept = plog_bytes(l);
    for (uint32_t i = 0; i < gone; i++)
        kept -= l->sealed[i].bytes;
    while (count < l->sealed_count && count - gone < RETENTION_SEGMENTS_A_STEP &&
           plog_first_may_go(l, count, kept, bound, wall_ms))
        kept -= l->sealed[count++].bytes;
    if (count == l->sealed_count && count - gone < RETENTION_SEGMENTS_A_STEP && plog_active_may_go(l, bound, wall_ms) &&
        plog_put_dirty(l) == RC_OK && plog_roll(l) == RC_OK)
        count++;
    if (count == 0)
        return false;
    int64_t start = plog_segment_at(l, count).base_offset;
    if (start > l->start) {
        plog_set_start(l, start);
        (void)plog_put_start(l); // it shows from now on: the death of the process alone must not take it back
    }
    plog_drop_when_durable(l);
    return count - gone == RETENTION_SEGMENTS_A_STEP;
}

int64_t plog_retention_due_ms(const struct plog *l)
{
    if (!l->config->deletes || l->config->retention_ms < 0 || l->state != PLOG_OPEN)
        return l->state == PLOG_AT_REST ? INT64_MIN : INT64_MAX; // not looked at yet: ask once
    int64_t from = l->active.timestamp_max >= 0 ? l->active.timestamp_max : l->active.made_ms;
    uint32_t first = plog_sealed_below(l, l->start); // those before it are on their way out
    if (first < l->sealed_count)
        from = l->sealed[first].timestamp_max == SEGMENT_TIMESTAMP_UNKNOWN ? INT64_MIN
               : l->sealed[first].timestamp_max >= 0                       ? l->sealed[first].timestamp_max
                                                                           : l->sealed[first].sealed_ms;
    else if (l->active.bytes == 0)
        return INT64_MAX;
    int64_t due;
    return __builtin_add_overflow(from, l->config->retention_ms, &due) ? INT64_MAX : due;
}

// ------------------------------------------------------------------------------------------------ truncation

// True when a slice of a file at or past this segment is out.
static bool plog_is_pinned_from(const struct plog *l, int64_t base_offset)
{
    for (struct list_node *n = list_first(&l->open_files); n; n = list_next(&l->open_files, n)) {
        const struct store_file *f = list_entry(n, const struct store_file, link);
        if (f->pins && f->segment_base >= base_offset)
            return true;
    }
    return false;
}

bool plog_is_pinned(const struct plog *l)
{
    return plog_is_pinned_from(l, INT64_MIN);
}

// Drops every segment from ordinal on; the active one too.
static void plog_drop_last(struct plog *l, uint32_t ordinal)
{
    for (uint32_t i = ordinal; i < l->sealed_count; i++) {
        l->sealed_bytes -= l->sealed[i].bytes;
        plog_drop_files(l, l->sealed[i].base_offset, 0);
    }
    if (ordinal <= l->sealed_count && l->active.made)
        plog_drop_files(l, l->active.base_offset, 0);
    if (ordinal < l->sealed_count)
        l->sealed_count = ordinal;
}

// The log is to end at `end`. What the checkpoint says of the high watermark goes down before the recovery point does, whose
// sync makes both durable: else a start after the log has grown again would take what was never committed for committed.
static void plog_lower_high_watermark(struct plog *l, int64_t end)
{
    if (l->high_watermark > end)
        plog_note_high_watermark(l, end);
    if (l->noted_high_watermark > l->high_watermark)
        plog_put_high_watermark(l);
}

static enum rc plog_reset_at(struct plog *l, int64_t offset, bool wait)
{
    const struct log_dir_mark at = {.offset = offset, .segment_base = offset, .leader_epoch = LEADER_EPOCH_NONE};
    compact_cancel(l);
    ASSERT(plog_is_idle(l));
    if (plog_is_pinned(l))
        return RC_AGAIN;
    plog_lower_high_watermark(l, offset);
    enum rc rc = plog_put_reset(l, &at, true, wait);
    if (rc == RC_AGAIN)
        return rc;
    if (rc) {
        plog_fail_dir(l, rc, "resetting");
        return rc;
    }
    bool made = plog_is_made(l);
    plog_drop_last(l, 0);
    rc = plog_drop_snapshots(l, 0, OFFSET_NONE); // of the producers of what goes, also of what a power cut took
    if (rc == RC_OK && made)
        rc = plog_sync_names(l);
    if (rc)
        return rc;
    store_note_synced(l->store, l, l->unsynced_bytes);
    epoch_cache_clear(&l->epochs);
    producer_state_clear(&l->producers);
    plog_hints_clear(l);
    plog_active_init(l, offset);
    l->next = l->written = l->offered = l->durable = offset;
    l->snapshot = OFFSET_NONE;
    plog_set_start(l, offset);
    l->start_durable = 0;
    l->reset_due = false;
    return plog_put_start(l);
}

enum rc plog_reset(struct plog *l, int64_t offset)
{
    return plog_reset_at(l, offset, true);
}

enum rc plog_reset_finish(struct plog *l)
{
    if (!l->reset_due)
        return RC_OK;
    return plog_is_idle(l) ? plog_reset(l, l->recovery_point) : RC_AGAIN;
}

enum rc plog_reset_recovered(struct plog *l)
{
    return plog_reset_at(l, l->start, false);
}

enum rc plog_truncate(struct plog *l, int64_t offset)
{
    struct batch_scan scan;
    struct batch_header h;
    struct store_file *file;
    struct plog_cold cold;
    uint32_t position;
    enum rc rc = plog_ready(l);
    if (rc == RC_OK)
        rc = plog_reset_finish(l);
    if (rc || offset >= l->written)
        return rc;
    compact_cancel(l);
    ASSERT(plog_is_idle(l));
    if (offset <= l->start)
        return plog_reset(l, offset);
    struct plog_segment s = plog_segment_of(l, offset);
    rc = plog_seek(l, &s, offset, false, &scan, &file, &position, &h, &cold);
    if (rc)
        return rc == RC_EOF ? RC_CORRUPT : rc;
    // The recovery point goes back to a segment's start, where a producer snapshot lies; what is left is scanned from
    // there, so that everything derived follows from the batches that stay. It never goes forward: of what lies behind
    // it neither the bytes nor the file of the epochs are known to be on the disk.
    int64_t from = l->recovery_base < s.base_offset ? plog_segment_of(l, l->recovery_base).base_offset : s.base_offset;
    const struct log_dir_mark at = {
        .offset = from, .segment_base = from, .leader_epoch = epoch_cache_at(&l->epochs, from - 1)};
    if (plog_is_pinned_from(l, from))
        return RC_AGAIN;
    plog_lower_high_watermark(l, h.base_offset < offset ? h.base_offset : offset);
    rc = plog_put_reset(l, &at, false, true);
    if (rc == RC_AGAIN)
        return rc;
    if (rc == RC_OK)
        rc = io_file_truncate(&file->file, position);
    if (rc) {
        plog_fail_dir(l, rc, "cutting");
        return rc;
    }
    if (!s.active) {
        plog_drop_last(l, s.ordinal + 1);
        rc = plog_sync_names(l);
    }
    file_cache_drop_all(&l->open_files);
    store_note_synced(l->store, l, l->unsynced_bytes);
    l->known.recovery_point = at;
    l->known.begins = false;
    l->known.mark.offset = OFFSET_NONE;
    l->state = PLOG_UNCLEAN;
    return rc;
}
