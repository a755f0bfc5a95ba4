// SPDX-License-Identifier: Apache-2.0
//
// What lies beside the segments, as of the point recovery begins at: epoch cache, the active segment's indexes, and the
// producers (recovery_producers.c). What a power cut spoiled is left to be built again.
#include "base/assert.h"
#include "store/recovery.h"

enum { SMALL_FILE_BYTES_MAX = 256 << 20 };

static enum rc recovery_load_small(struct plog *l, const char *name, struct buf *out)
{
    char path[IO_PATH_BYTES_MAX];
    enum rc rc = plog_path(l, path, name);
    return rc ? rc : log_dir_read_file(l->store->io, path, out);
}

static enum rc recovery_load_epochs(struct plog *l, struct plog_recovery *r)
{
    struct buf text;
    buf_init(&text, SMALL_FILE_BYTES_MAX);
    enum rc rc = recovery_load_small(l, "leader-epoch-checkpoint", &text);
    if (rc == RC_OK)
        rc = epoch_cache_parse(&l->epochs, buf_bytes(&text));
    buf_deinit(&text);
    // It is renamed into place unsynced: a power cut may leave the name and not what is in it. It may know of a log start
    // that the power cut took back. And it may be of the log as it was before a reset, whose epochs are all below the point,
    // while what came later is of older ones (after an unclean election): the point says which epoch it lies in.
    int64_t first = r->count && r->segments[0].base_offset > l->start ? r->segments[0].base_offset : l->start;
    bool late = l->epochs.count && l->epochs.entries[0].offset > first && first < r->from.offset;
    epoch_cache_cut_end(&l->epochs, r->from.offset);
    bool stale = epoch_cache_latest(&l->epochs) > r->from.leader_epoch;
    r->rebuild_epochs = rc == RC_CORRUPT || (rc == RC_NOT_FOUND && r->from.leader_epoch != LEADER_EPOCH_NONE) ||
                        (rc == RC_OK && (late || stale));
    if (r->rebuild_epochs)
        epoch_cache_clear(&l->epochs);
    if (r->rebuild_epochs && rc != RC_OK)
        trace_warn(l->store->trace, "%s/%s: leader-epoch-checkpoint is %s; it is built again from the batches",
                   l->dir->path, l->folder, rc == RC_CORRUPT ? "damaged" : "missing");
    if (rc == RC_CORRUPT || rc == RC_NOT_FOUND)
        rc = RC_OK;
    l->epochs.changed |= r->rewrite || r->rebuild_epochs;
    return rc;
}

// Whether entry i of a time index follows the one before it. Only what was synced does for certain: of an entry that
// lies across two sectors a power cut may leave one, and the rest reads as zeros.
static enum rc recovery_time_rises(struct index_view *v, uint32_t i, const struct time_index_entry *e, bool *rises)
{
    struct time_index_entry before;
    *rises = i == 0;
    if (i == 0)
        return RC_OK;
    enum rc rc = time_index_view_at(v, i - 1, &before);
    *rises = rc == RC_OK && before.timestamp < e->timestamp && before.relative < e->relative;
    return rc;
}

// Cuts an index of the active segment to the entries below the point and loads what the next entry needs to know.
static enum rc recovery_load_index(struct plog *l, const struct plog_recovery *r, enum store_file_kind kind,
                                   struct index_tail *t, bool *whole)
{
    struct index_view v = {.entry_bytes = kind == STORE_FILE_INDEX ? INDEX_ENTRY_BYTES : TIME_INDEX_ENTRY_BYTES};
    struct store_file *file;
    uint64_t size;
    enum rc rc = plog_file(l, kind, l->active.base_offset, 0, &file);
    if (rc == RC_NOT_FOUND) {
        // The offset index is made by its first entry: a young segment has none, and one that was lost shows by how far
        // it would have to reach. A point may have left out both.
        *whole = kind == STORE_FILE_INDEX || (r->from.timed && l->active.index.file_bytes == 0 &&
                                              r->from.position < l->store->config.index_waits_bytes);
        return RC_OK;
    }
    if (rc == RC_OK)
        rc = io_file_size(&file->file, &size);
    if (rc)
        return rc;
    v.file = &file->file;
    v.file_bytes = (uint32_t)(size > UINT32_MAX ? 0 : size - size % v.entry_bytes);
    *whole = size == v.file_bytes;
    uint32_t keep = index_view_count(&v);
    int64_t offset_end = r->from.offset - l->active.base_offset;
    while (keep > 0) { // those past the point are few: a background mark's worth
        struct index_entry e = {0};
        struct time_index_entry te = {0};
        bool rises = true;
        rc = kind == STORE_FILE_INDEX ? index_view_at(&v, keep - 1, &e) : time_index_view_at(&v, keep - 1, &te);
        if (rc == RC_OK && kind == STORE_FILE_TIME_INDEX)
            rc = recovery_time_rises(&v, keep - 1, &te, &rises);
        if (rc)
            return rc;
        // Entries of zeros are what Kafka allocates ahead.
        if (kind == STORE_FILE_INDEX && e.position < r->from.position && e.relative < offset_end &&
            (e.position > 0 || keep == 1)) {
            t->last_key = e.relative;
            l->active.index_written = e.position;
            l->active.bytes_since_index = r->from.position - e.position;
            break;
        }
        if (kind == STORE_FILE_TIME_INDEX && te.relative < offset_end && rises && (te.timestamp > 0 || keep == 1)) {
            t->last_key = te.timestamp;
            l->active.timestamp_max = te.timestamp;
            l->active.timestamp_max_offset = l->active.base_offset + te.relative;
            break;
        }
        keep--;
    }
    t->file_bytes = keep * v.entry_bytes;
    return t->file_bytes == size ? RC_OK : io_file_truncate(&file->file, t->file_bytes);
}

// Whether the last index entry leads to a batch that ends where it says.
static enum rc recovery_probe_index(struct plog *l, bool *whole)
{
    struct store_file *log_file, *file;
    struct batch_scan scan;
    struct batch_header h;
    struct index_entry e;
    struct index_view v = {.entry_bytes = INDEX_ENTRY_BYTES, .file_bytes = l->active.index.file_bytes};
    if (v.file_bytes == 0)
        return RC_OK;
    enum rc rc = plog_file(l, STORE_FILE_LOG, l->active.base_offset, 0, &log_file);
    if (rc)
        return rc;
    file_cache_pin(log_file);
    rc = plog_file(l, STORE_FILE_INDEX, l->active.base_offset, 0, &file);
    if (rc == RC_OK) {
        v.file = &file->file;
        rc = index_view_at(&v, index_view_count(&v) - 1, &e);
    }
    if (rc == RC_OK) {
        batch_scan_init(&scan, &log_file->file, l->active.bytes, false);
        rc = batch_scan_at(&scan, e.position, &h);
        if (rc == RC_CORRUPT || (rc == RC_OK && batch_last_offset(&h) != l->active.base_offset + e.relative))
            *whole = false, rc = RC_OK;
    }
    file_cache_unpin(log_file);
    return rc;
}

// The active segment as of the point. *whole is false when its indexes have to be built again.
static enum rc recovery_load_active(struct plog *l, struct plog_recovery *r, bool *whole)
{
    bool whole_index = true, whole_time = true;
    plog_active_init(l, r->from.segment_base);
    l->active.bytes = r->from.position;
    l->active.bytes_since_index = r->from.position;
    l->active.made = r->current < r->count && r->segments[r->current].base_offset == r->from.segment_base;
    *whole = true;
    if (!l->active.made)
        return RC_OK;
    enum rc rc = recovery_load_index(l, r, STORE_FILE_INDEX, &l->active.index, &whole_index);
    if (rc == RC_OK)
        rc = recovery_load_index(l, r, STORE_FILE_TIME_INDEX, &l->active.time_index, &whole_time);
    if (rc == RC_OK && r->from.timed && r->from.timestamp > l->active.timestamp_max) {
        l->active.timestamp_max = r->from.timestamp;
        l->active.timestamp_max_offset = r->from.offset - 1;
    }
    if (rc == RC_OK && r->segments[r->current].has_txn_index)
        rc = plog_cut_txn_index(l, l->active.base_offset, r->from.offset);
    if (rc == RC_OK)
        rc = recovery_probe_index(l, &whole_index);
    // A mark has the greatest timestamp or leaves it in the time index. An index that ends far before the point has lost
    // entries: between two of them lies the interval and one batch, and behind the last what a point leaves out.
    bool far = l->active.bytes_since_index >
               4 * (uint64_t)l->config->index_interval_bytes + (2u << 20) + l->store->config.index_waits_bytes;
    if (r->from.position > 0)
        *whole = whole_index && whole_time && !far && l->active.timestamp_max_offset != OFFSET_NONE;
    return rc;
}

static enum rc recovery_load_first_timestamp(struct plog *l)
{
    struct store_file *file;
    struct batch_scan scan;
    struct batch_header h;
    if (l->active.bytes == 0)
        return RC_OK;
    enum rc rc = plog_file(l, STORE_FILE_LOG, l->active.base_offset, 0, &file);
    if (rc)
        return rc;
    batch_scan_init(&scan, &file->file, l->active.bytes, false);
    rc = batch_scan_at(&scan, 0, &h);
    if (rc == RC_OK)
        l->active.timestamp_first = h.max_timestamp;
    return rc;
}

static enum rc recovery_load_sealed(struct plog *l, const struct plog_recovery *r)
{
    l->sealed_count = 0;
    l->sealed_bytes = 0;
    for (uint32_t i = 0; i < r->current && i < r->count; i++) {
        const struct segment s = {
            .base_offset = r->segments[i].base_offset,
            .timestamp_max = SEGMENT_TIMESTAMP_UNKNOWN,
            .sealed_ms = io_wall_ms(l->store->io),
            .bytes = r->segments[i].bytes,
        };
        enum rc rc = plog_sealed_push(l, &s);
        if (rc)
            return rc;
    }
    return RC_OK;
}

enum rc plog_recovery_load(struct plog *l, struct plog_recovery *r, bool *whole)
{
    enum rc rc = recovery_load_sealed(l, r);
    // A recovery point speaks for it.
    if (rc == RC_OK && r->rewrite && r->count && l->known.recovery_point.offset == OFFSET_NONE)
        rc = plog_renew_metadata(l);
    if (rc == RC_OK)
        rc = recovery_load_epochs(l, r);
    if (rc == RC_OK)
        rc = plog_load_producers(l, r);
    if (rc == RC_OK)
        rc = recovery_load_active(l, r, whole);
    if (rc == RC_OK)
        rc = recovery_load_first_timestamp(l);
    l->written = l->next = r->from.offset;
    return rc;
}
