// SPDX-License-Identifier: Apache-2.0
//
// The scan of a recovery: every byte past the point is read and checked, indexes, epochs and producer state grow with
// it, and the log ends before the first batch that is torn, damaged or out of place. Memory is one buffer, whatever the
// size of a batch: checksums are computed as the bytes pass.
#include "base/assert.h"
#include "store/recovery.h"
#include "wire/crc32c.h"

enum { BATCH_CRC_FROM = 21, SCAN_BATCHES_A_LOOK = 64 };

// ------------------------------------------------------------------------------------------------ bytes

// Makes the bytes from position on available, at least one, as many as fit. RC_EOF: the file is shorter than it was.
static enum rc scan_fill(struct plog *l, struct plog_recovery *r, uint32_t position)
{
    struct store_file *file;
    size_t got;
    if (!r->buffer && !(r->buffer = io_buffer_acquire(l->store->io, RECOVERY_BUFFER_BYTES)))
        return RC_NOMEM;
    enum rc rc = plog_file(l, STORE_FILE_LOG, l->active.base_offset, 0, &file);
    if (rc == RC_OK)
        rc = io_file_read_now(&file->file, r->buffer, RECOVERY_BUFFER_BYTES, position, &got);
    if (rc)
        return rc;
    if (r->rewrite && got)
        rc = io_file_write_now(&file->file, r->buffer, got, position);
    if (rc)
        return rc;
    r->buffer_at = position;
    r->buffer_bytes = (uint32_t)got;
    r->scanned_bytes += got;
    return got ? RC_OK : RC_EOF;
}

static const uint8_t *scan_bytes(const struct plog_recovery *r, uint32_t position, uint32_t *n)
{
    if (position < r->buffer_at || position >= r->buffer_at + r->buffer_bytes)
        return NULL;
    *n = (uint32_t)(r->buffer_at + r->buffer_bytes - position);
    return r->buffer + (position - r->buffer_at);
}

// ------------------------------------------------------------------------------------------------ one batch

// Reads the header at the end of what is accepted. RC_TORN: no valid batch begins there.
static enum rc scan_header(struct plog *l, struct plog_recovery *r)
{
    uint32_t position = l->active.bytes, n = 0, left = r->segments[r->current].bytes - position;
    if (left < BATCH_HEADER_BYTES)
        return RC_TORN;
    const uint8_t *p = scan_bytes(r, position, &n);
    if (!p || n < BATCH_HEADER_BYTES) {
        enum rc rc = scan_fill(l, r, position);
        if (rc)
            return rc == RC_EOF ? RC_TORN : rc;
        p = scan_bytes(r, position, &n);
        if (n < BATCH_HEADER_BYTES)
            return RC_TORN;
    }
    enum rc rc = batch_header_read(bytes_of(p, n), &r->header);
    const struct batch_header *h = &r->header;
    if ((rc && rc != RC_TORN) || batch_bytes(h) > left || h->last_offset_delta < 0 || h->base_offset < l->written ||
        batch_last_offset(h) - l->active.base_offset > INT32_MAX)
        return RC_TORN;
    // A marker is read as a whole later on.
    if ((h->attributes & BATCH_ATTR_CONTROL) && n < batch_bytes(h) && batch_bytes(h) <= RECOVERY_BUFFER_BYTES &&
        r->buffer_at != position) {
        rc = scan_fill(l, r, position);
        if (rc)
            return rc == RC_EOF ? RC_TORN : rc;
    }
    r->in_batch = true;
    r->crc = 0;
    r->crc_at = position + BATCH_CRC_FROM;
    return RC_OK;
}

// Goes on with the checksum. RC_AGAIN: the budget is used up. RC_TORN: it is wrong.
static enum rc scan_checksum(struct plog *l, struct plog_recovery *r, uint64_t deadline_ns)
{
    uint32_t end = l->active.bytes + (uint32_t)batch_bytes(&r->header);
    while (r->crc_at < end) {
        uint32_t n = 0;
        const uint8_t *p = scan_bytes(r, r->crc_at, &n);
        if (!p) {
            enum rc rc = scan_fill(l, r, r->crc_at);
            if (rc)
                return rc == RC_EOF ? RC_TORN : rc;
            if (io_clock_ns(l->store->io) > deadline_ns)
                return RC_AGAIN;
            continue;
        }
        if (n > end - r->crc_at)
            n = end - r->crc_at;
        r->crc = crc32c(r->crc, p, n);
        r->crc_at += n;
    }
    r->in_batch = false;
    return r->crc == r->header.crc ? RC_OK : RC_TORN;
}

// The batch is sound: the log reaches past it.
static enum rc scan_accept(struct plog *l, struct plog_recovery *r)
{
    const struct batch_header *h = &r->header;
    uint32_t n = 0, bytes = (uint32_t)batch_bytes(h);
    if (batch_has_producer(h)) {
        struct producer_append a;
        const uint8_t *p = scan_bytes(r, l->active.bytes, &n); // a marker is small; a large batch needs its header only
        plog_producer_append_of(h, bytes_of(p, p ? (n < bytes ? n : bytes) : 0), &a);
        const struct producer_entry *e = producer_state_find(&l->producers, a.producer_id);
        int64_t txn = e ? e->txn_first_offset : OFFSET_NONE;
        enum rc rc = producer_state_apply(&l->producers, &a, io_now_ns(l->store->io), NULL);
        if (rc == RC_OK && a.control && !a.control_commit && txn != OFFSET_NONE)
            rc = plog_note_abort(l, a.producer_id, txn, batch_last_offset(h));
        if (rc)
            return rc;
    }
    enum rc rc = epoch_cache_begin(&l->epochs, h->leader_epoch, h->base_offset);
    if (rc == RC_OK)
        rc = plog_note_batch(l, &l->active, bytes, batch_last_offset(h), h->max_timestamp);
    l->written = l->next = batch_last_offset(h) + 1;
    return rc;
}

// ------------------------------------------------------------------------------------------------ segments

// Cuts everything from the end of what is accepted on, `from` being the first segment to go as a whole.
static enum rc scan_cut(struct plog *l, struct plog_recovery *r, uint32_t from)
{
    struct store_file *file;
    uint64_t cut = 0;
    if (l->active.made) {
        cut = r->segments[r->current].bytes - l->active.bytes;
        enum rc rc = plog_file(l, STORE_FILE_LOG, l->active.base_offset, 0, &file);
        if (rc == RC_OK && cut)
            rc = io_file_truncate(&file->file, l->active.bytes);
        if (rc)
            return rc;
    }
    for (uint32_t i = from; i < r->count; i++) {
        cut += r->segments[i].bytes;
        plog_drop_files(l, r->segments[i].base_offset, 0);
    }
    enum rc rc = from < r->count ? plog_sync_names(l) : RC_OK;
    if (rc)
        return rc;
    r->cut_bytes += cut;
    r->count = from;
    trace_warn(l->store->trace, "%s/%s: cut a torn tail of %llu bytes; the log ends at offset %lld", l->dir->path,
               l->folder, (unsigned long long)cut, (long long)l->written);
    return RC_OK;
}

// Goes on to the next segment, which must begin where this one ends. RC_EOF: there is none.
static enum rc scan_next_segment(struct plog *l, struct plog_recovery *r)
{
    struct store_file *file;
    uint32_t next = l->active.made ? r->current + 1 : r->current;
    if (next >= r->count)
        return RC_EOF;
    if (r->segments[next].base_offset != l->written) {
        enum rc cut = scan_cut(l, r, next);
        return cut ? cut : RC_EOF;
    }
    enum rc rc = l->active.made ? plog_roll(l) : RC_OK;
    if (rc)
        return rc;
    r->current = next;
    r->buffer_bytes = 0;
    l->active.made = true;
    // What its indexes hold is built again from the batches.
    if (r->segments[next].has_index)
        rc = plog_file(l, STORE_FILE_INDEX, l->active.base_offset, IO_OPEN_TRUNCATE, &file);
    if (rc == RC_OK && r->segments[next].has_time_index)
        rc = plog_file(l, STORE_FILE_TIME_INDEX, l->active.base_offset, IO_OPEN_TRUNCATE, &file);
    if (rc == RC_OK && r->segments[next].has_txn_index)
        rc = plog_cut_txn_index(l, l->active.base_offset, l->active.base_offset);
    return rc;
}

enum rc plog_scan_step(struct plog *l, struct plog_recovery *r, uint64_t deadline_ns)
{
    for (unsigned i = 1;; i++) {
        enum rc rc = RC_OK;
        if (i % SCAN_BATCHES_A_LOOK == 0 && io_clock_ns(l->store->io) > deadline_ns)
            return RC_AGAIN;
        if (!r->in_batch) {
            if (!l->active.made || l->active.bytes == r->segments[r->current].bytes) {
                rc = scan_next_segment(l, r);
                if (rc)
                    return rc == RC_EOF ? RC_OK : rc;
                continue;
            }
            rc = scan_header(l, r);
        }
        if (rc == RC_OK)
            rc = scan_checksum(l, r, deadline_ns);
        if (rc == RC_OK)
            rc = scan_accept(l, r);
        if (rc == RC_TORN) {
            r->in_batch = false;
            return scan_cut(l, r, r->current + 1);
        }
        if (rc)
            return rc;
    }
}

// ------------------------------------------------------------------------------------------------ indexes

// Begins to build the indexes of one segment again, in files beside.
static enum rc rebuild_begin(struct plog *l, struct plog_recovery *r, struct segment_active *a, int64_t base_offset)
{
    struct store_file *file;
    index_tail_deinit(&a->index);
    index_tail_deinit(&a->time_index);
    a->base_offset = base_offset;
    a->bytes = a->bytes_since_index = a->index_written = 0;
    a->timestamp_max = TIMESTAMP_NONE;
    a->timestamp_max_offset = OFFSET_NONE;
    a->index.last_key = a->time_index.last_key = -1;
    a->beside = true;
    r->rebuilding = true;
    r->rebuild_at = 0;
    trace_info(l->store->trace, "%s/%s: building the index of segment %lld again", l->dir->path, l->folder,
               (long long)base_offset);
    static const enum store_file_kind kinds[] = {STORE_FILE_INDEX_BESIDE, STORE_FILE_TIME_INDEX_BESIDE};
    enum rc rc = RC_OK;
    for (unsigned i = 0; rc == RC_OK && i < ARRAY_COUNT(kinds); i++) {
        rc = plog_file(l, kinds[i], base_offset, IO_OPEN_CREATE, &file);
        if (rc == RC_OK)
            rc = io_file_truncate(&file->file, 0);
    }
    return rc;
}

// Walks the headers of one segment up to `end`. A header that is not valid there is damage below the point.
static enum rc rebuild_walk(struct plog *l, struct plog_recovery *r, struct segment_active *a, uint32_t end,
                            uint64_t deadline_ns)
{
    struct batch_scan scan;
    struct batch_header h;
    struct store_file *file;
    enum rc rc = plog_file(l, STORE_FILE_LOG, a->base_offset, 0, &file);
    if (rc)
        return rc;
    file_cache_pin(file);
    batch_scan_init(&scan, &file->file, end, false);
    for (unsigned i = 1; rc == RC_OK && r->rebuild_at < end; i++) {
        rc = batch_scan_at(&scan, r->rebuild_at, &h);
        if (rc)
            break;
        (void)plog_note_batch(l, a, (uint32_t)batch_bytes(&h), batch_last_offset(&h), h.max_timestamp);
        r->rebuild_at += (uint32_t)batch_bytes(&h);
        if (i % SCAN_BATCHES_A_LOOK == 0 && io_clock_ns(l->store->io) > deadline_ns)
            rc = RC_AGAIN;
    }
    file_cache_unpin(file);
    return rc;
}

enum rc plog_rebuild_step(struct plog *l, struct plog_recovery *r, uint64_t deadline_ns)
{
    for (; r->rebuild < r->count && r->rebuild <= r->current; r->rebuild++, r->rebuilding = false) {
        const struct recovery_segment *s = &r->segments[r->rebuild];
        bool is_active = r->rebuild == r->current && s->base_offset == r->from.segment_base;
        uint32_t end = is_active ? r->from.position : s->bytes;
        struct segment_active *a = is_active ? &l->active : &r->rebuilt;
        if (!plog_indexes_missing(r, r->rebuild) || end == 0 || (r->rebuild == r->current && !is_active))
            continue;
        enum rc rc = r->rebuilding ? RC_OK : rebuild_begin(l, r, a, s->base_offset);
        if (rc == RC_OK)
            rc = rebuild_walk(l, r, a, end, deadline_ns);
        if (rc == RC_OK) // the active segment's too: what a mark counts as written must not stay in memory
            rc = plog_seal_indexes(l, a);
        if (rc == RC_OK)
            rc = plog_place_indexes(l, a);
        if (rc == RC_CORRUPT)
            return plog_damaged(l, s->base_offset, "no valid batch follows");
        if (rc)
            return rc;
    }
    return RC_OK;
}
