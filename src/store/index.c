// SPDX-License-Identifier: Apache-2.0
//
// Offset and time index; see index.h.
#include "store/index.h"
#include "base/assert.h"
#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

enum { INDEX_TAIL_BYTES_MIN = 96 };

static enum rc index_tail_put(struct index_tail *t, const uint8_t *entry, uint16_t n)
{
    if (t->bytes + n > INDEX_TAIL_BYTES_MAX)
        return RC_FULL;
    if (t->bytes + n > t->cap) {
        unsigned cap = t->cap ? t->cap * 2u : INDEX_TAIL_BYTES_MIN;
        if (cap > INDEX_TAIL_BYTES_MAX)
            cap = INDEX_TAIL_BYTES_MAX;
        uint8_t *p = realloc(t->p, cap);
        if (!p)
            return RC_NOMEM;
        t->p = p;
        t->cap = (uint16_t)cap;
    }
    memcpy(t->p + t->bytes, entry, n);
    t->bytes = (uint16_t)(t->bytes + n);
    return RC_OK;
}

enum rc index_put(struct index_tail *t, struct index_entry e)
{
    uint8_t raw[INDEX_ENTRY_BYTES];
    put_be32(raw, e.relative);
    put_be32(raw + 4, e.position);
    enum rc rc = index_tail_put(t, raw, sizeof(raw));
    if (rc == RC_OK)
        t->last_key = e.relative;
    return rc;
}

enum rc time_index_put(struct index_tail *t, struct time_index_entry e)
{
    uint8_t raw[TIME_INDEX_ENTRY_BYTES];
    put_be64(raw, (uint64_t)e.timestamp);
    put_be32(raw + 8, e.relative);
    enum rc rc = index_tail_put(t, raw, sizeof(raw));
    if (rc == RC_OK)
        t->last_key = e.timestamp;
    return rc;
}

enum rc index_tail_write(struct index_tail *t, struct io_file *f)
{
    if (t->bytes == 0)
        return RC_OK;
    enum rc rc = io_file_write_now(f, t->p, t->bytes, t->file_bytes);
    if (rc)
        return rc;
    t->file_bytes += t->bytes;
    t->bytes = 0;
    return RC_OK;
}

void index_tail_deinit(struct index_tail *t)
{
    free(t->p);
    *t = (struct index_tail){0};
}

// The bytes of entry i, in the tail or in the block read last.
static enum rc index_view_raw(struct index_view *v, uint32_t i, const uint8_t **out)
{
    uint32_t at = i * v->entry_bytes;
    ASSERT(i < index_view_count(v));
    if (at >= v->file_bytes) {
        *out = v->tail->p + (at - v->file_bytes);
        return RC_OK;
    }
    if (v->block_bytes == 0 || at < v->block_at || at >= v->block_at + v->block_bytes) {
        size_t got;
        uint32_t from = at - at % (uint32_t)sizeof(v->block);
        uint32_t n = v->file_bytes - from;
        if (n > sizeof(v->block))
            n = sizeof(v->block);
        v->block_bytes = 0;
        v->reads++;
        enum rc rc = v->cached_only ? io_file_read_cached(v->file, v->block, n, from, &got)
                                    : io_file_read_now(v->file, v->block, n, from, &got);
        if (rc)
            return rc;
        if (got < n) // shorter than it was: somebody cut it
            return RC_CORRUPT;
        v->block_at = from;
        v->block_bytes = n;
    }
    *out = v->block + (at - v->block_at);
    return RC_OK;
}

enum rc index_view_at(struct index_view *v, uint32_t i, struct index_entry *out)
{
    const uint8_t *raw;
    enum rc rc = index_view_raw(v, i, &raw);
    if (rc == RC_OK)
        *out = (struct index_entry){.relative = be32(raw), .position = be32(raw + 4)};
    return rc;
}

enum rc time_index_view_at(struct index_view *v, uint32_t i, struct time_index_entry *out)
{
    const uint8_t *raw;
    enum rc rc = index_view_raw(v, i, &raw);
    if (rc == RC_OK)
        *out = (struct time_index_entry){.timestamp = (int64_t)be64(raw), .relative = be32(raw + 8)};
    return rc;
}

enum index_field { INDEX_BY_OFFSET, INDEX_BY_POSITION, INDEX_BY_TIME };

// How many entries have a field at or below key.
static enum rc index_view_rank(struct index_view *v, enum index_field field, int64_t key, uint32_t *rank)
{
    uint32_t lo = 0, hi = index_view_count(v);
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const uint8_t *raw;
        enum rc rc = index_view_raw(v, mid, &raw);
        if (rc)
            return rc;
        int64_t at = field == INDEX_BY_TIME ? (int64_t)be64(raw) : be32(raw + (field == INDEX_BY_POSITION ? 4 : 0));
        if (at <= key)
            lo = mid + 1;
        else
            hi = mid;
    }
    *rank = lo;
    return RC_OK;
}

enum rc index_view_rank_offset(struct index_view *v, uint32_t relative, uint32_t *rank)
{
    return index_view_rank(v, INDEX_BY_OFFSET, relative, rank);
}

enum rc index_view_rank_position(struct index_view *v, uint32_t position, uint32_t *rank)
{
    return index_view_rank(v, INDEX_BY_POSITION, position, rank);
}

enum rc time_index_view_rank(struct index_view *v, int64_t timestamp, uint32_t *rank)
{
    if (timestamp == INT64_MIN) {
        *rank = 0;
        return RC_OK;
    }
    return index_view_rank(v, INDEX_BY_TIME, timestamp - 1, rank);
}
