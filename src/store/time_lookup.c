// SPDX-License-Identifier: Apache-2.0
//
// From a timestamp to the batch that answers it. The time index leads near, headers to the batch; which record inside
// is the answer is the caller's to find, because that may take decompression.
#include "base/assert.h"
#include "store/log_private.h"

enum { TIME_PREFETCH_BYTES = 65536 };

// The last entry of a segment's time index; found is false when there is none, or none that follows the one before it:
// a lost sector reads as zeros, and retention.ms must not take those for the age of a segment.
static enum rc plog_time_index_last(struct plog *l, const struct plog_segment *s, bool cached_only,
                                    struct time_index_entry *out, bool *found, struct plog_cold *cold)
{
    struct index_view v;
    struct store_file *file;
    *found = false;
    enum rc rc = plog_index_view(l, s, STORE_FILE_TIME_INDEX, cached_only, &v, &file);
    if (rc == RC_NOT_FOUND || (rc == RC_OK && index_view_count(&v) == 0))
        return RC_OK;
    uint32_t count = rc == RC_OK ? index_view_count(&v) : 0;
    struct time_index_entry before = {.timestamp = -1};
    if (count > 1)
        rc = time_index_view_at(&v, count - 2, &before);
    if (rc == RC_OK)
        rc = time_index_view_at(&v, count - 1, out);
    *found = rc == RC_OK && out->timestamp > before.timestamp;
    if (rc == RC_AGAIN)
        *cold = (struct plog_cold){.file = file, .bytes = v.file_bytes};
    return rc;
}

enum rc plog_sealed_timestamp(struct plog *l, uint32_t ordinal, bool cached_only, int64_t *out, struct plog_cold *cold)
{
    struct segment *sealed = &l->sealed[ordinal];
    if (sealed->timestamp_max == SEGMENT_TIMESTAMP_UNKNOWN) {
        struct plog_segment s = plog_segment_at(l, ordinal);
        struct time_index_entry e;
        bool found;
        enum rc rc = plog_time_index_last(l, &s, cached_only, &e, &found, cold);
        if (rc)
            return rc;
        sealed->timestamp_max = found ? e.timestamp : TIMESTAMP_NONE;
    }
    *out = sealed->timestamp_max;
    return RC_OK;
}

static enum rc plog_segment_timestamp(struct plog *l, const struct plog_segment *s, bool cached_only, int64_t *out,
                                      struct plog_cold *cold)
{
    if (!s->active)
        return plog_sealed_timestamp(l, s->ordinal, cached_only, out, cold);
    *out = l->active.timestamp_max;
    return RC_OK;
}

// The offset before which no batch of s has a timestamp at or past timestamp_ms, by the time index.
static enum rc plog_time_floor(struct plog *l, const struct plog_segment *s, int64_t timestamp_ms, bool cached_only,
                               int64_t *offset, struct plog_cold *cold)
{
    struct index_view v;
    struct store_file *file;
    struct time_index_entry e;
    uint32_t rank;
    *offset = s->base_offset;
    enum rc rc = plog_index_view(l, s, STORE_FILE_TIME_INDEX, cached_only, &v, &file);
    if (rc == RC_NOT_FOUND)
        return RC_OK;
    if (rc)
        return rc;
    rc = time_index_view_rank(&v, timestamp_ms, &rank);
    if (rc == RC_OK && rank > 0)
        rc = time_index_view_at(&v, rank - 1, &e);
    if (rc == RC_AGAIN)
        *cold = (struct plog_cold){.file = file, .bytes = v.file_bytes};
    if (rc == RC_CORRUPT)
        return RC_OK;
    // The entry stands when it was the greatest up to there; everything before its batch is older than timestamp_ms.
    if (rc == RC_OK && rank > 0 && s->base_offset + e.relative < s->next_base)
        *offset = s->base_offset + e.relative;
    return rc;
}

// Finds the first batch of s at or past `from` with a timestamp of at least timestamp_ms. RC_EOF: there is none.
static enum rc plog_find_in(struct plog *l, const struct plog_segment *s, int64_t from, int64_t timestamp_ms,
                            bool cached_only, struct plog_time_found *out, struct plog_cold *cold)
{
    struct batch_scan scan;
    struct batch_header h;
    struct store_file *file;
    uint32_t position;
    int64_t floor;
    enum rc rc = plog_time_floor(l, s, timestamp_ms, cached_only, &floor, cold);
    if (rc)
        return rc;
    rc = plog_seek(l, s, floor > from ? floor : from, cached_only, &scan, &file, &position, &h, cold);
    while (rc == RC_OK && h.max_timestamp < timestamp_ms) {
        position += (uint32_t)batch_bytes(&h);
        rc = batch_scan_at(&scan, position, &h);
        if (rc == RC_AGAIN)
            *cold = (struct plog_cold){.file = file, .offset = position, .bytes = TIME_PREFETCH_BYTES};
    }
    if (rc)
        return rc;
    out->found = true;
    out->batch_timestamp_max = h.max_timestamp;
    out->from_offset = h.base_offset > from ? h.base_offset : from;
    plog_slice_take(l, file, position, (uint32_t)batch_bytes(&h), h.base_offset, batch_last_offset(&h) + 1,
                    &out->batch);
    return RC_OK;
}

static void plog_time_drop(struct plog_time_found *out)
{
    plog_slice_release(&out->batch);
    out->found = false;
}

static enum rc plog_find_from(struct plog *l, int64_t timestamp_ms, int64_t bound, bool cached_only,
                              struct plog_time_found *out, struct plog_cold *cold)
{
    for (uint32_t i = plog_segment_of(l, l->start).ordinal; i <= l->sealed_count; i++) {
        struct plog_segment s = plog_segment_at(l, i);
        int64_t greatest;
        if (s.base_offset >= bound || s.bytes == 0)
            break;
        enum rc rc = plog_segment_timestamp(l, &s, cached_only, &greatest, cold);
        if (rc == RC_OK && greatest < timestamp_ms)
            continue;
        if (rc == RC_OK)
            rc = plog_find_in(l, &s, s.base_offset > l->start ? s.base_offset : l->start, timestamp_ms, cached_only,
                              out, cold);
        if (rc == RC_EOF) // it lay before log start
            continue;
        if (rc == RC_OK && out->batch.next_offset > bound)
            plog_time_drop(out);
        return rc;
    }
    return RC_OK;
}

enum rc plog_find_timestamp(struct plog *l, int64_t timestamp_ms, int64_t bound, struct plog_time_found *out,
                            struct plog_wait *wait)
{
    struct plog_cold cold;
    *out = (struct plog_time_found){.from_offset = OFFSET_NONE};
    enum rc rc = plog_ready(l);
    if (rc)
        return rc;
    rc = plog_find_from(l, timestamp_ms, bound < l->written ? bound : l->written, plog_wait_cached_only(wait), out,
                        &cold);
    if (rc == RC_AGAIN)
        return plog_wait_start(l, wait, &cold);
    if (wait)
        wait->attempts = 0;
    return rc;
}

// The greatest timestamp of batches that lie wholly in [log start, bound).
static enum rc plog_timestamp_max(struct plog *l, int64_t bound, bool cached_only, int64_t *out, struct plog_cold *cold)
{
    *out = TIMESTAMP_NONE;
    for (uint32_t i = plog_segment_of(l, l->start).ordinal; i <= l->sealed_count; i++) {
        struct plog_segment s = plog_segment_at(l, i);
        int64_t greatest;
        if (s.base_offset >= bound || s.bytes == 0)
            break;
        enum rc rc = plog_segment_timestamp(l, &s, cached_only, &greatest, cold);
        if (rc)
            return rc;
        if (greatest <= *out)
            continue;
        if (s.base_offset >= l->start && s.next_base <= bound) {
            *out = greatest;
            continue;
        }
        // Cut by log start or bound: what the index says may lie outside.
        struct batch_scan scan;
        struct batch_header h;
        struct store_file *file;
        uint32_t position;
        rc = plog_seek(l, &s, s.base_offset > l->start ? s.base_offset : l->start, cached_only, &scan, &file, &position,
                       &h, cold);
        while (rc == RC_OK && batch_last_offset(&h) < bound) {
            if (h.max_timestamp > *out)
                *out = h.max_timestamp;
            position += (uint32_t)batch_bytes(&h);
            rc = batch_scan_at(&scan, position, &h);
            if (rc == RC_AGAIN)
                *cold = (struct plog_cold){.file = file, .offset = position, .bytes = TIME_PREFETCH_BYTES};
        }
        if (rc && rc != RC_EOF)
            return rc;
    }
    return RC_OK;
}

enum rc plog_find_timestamp_max(struct plog *l, int64_t bound, struct plog_time_found *out, struct plog_wait *wait)
{
    struct plog_cold cold;
    int64_t greatest;
    bool cached_only = plog_wait_cached_only(wait);
    *out = (struct plog_time_found){.from_offset = OFFSET_NONE};
    enum rc rc = plog_ready(l);
    if (rc)
        return rc;
    if (bound > l->written)
        bound = l->written;
    rc = plog_timestamp_max(l, bound, cached_only, &greatest, &cold);
    if (rc == RC_OK && greatest != TIMESTAMP_NONE)
        rc = plog_find_from(l, greatest, bound, cached_only, out, &cold);
    if (rc == RC_AGAIN)
        return plog_wait_start(l, wait, &cold);
    if (wait)
        wait->attempts = 0;
    return rc;
}
