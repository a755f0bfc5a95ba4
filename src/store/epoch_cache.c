// SPDX-License-Identifier: Apache-2.0
//
// Leader epochs of a log; see epoch_cache.h. The answers follow KIP-101 and KIP-279.
#include "store/epoch_cache.h"
#include "base/assert.h"
#include "model/ids.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EPOCH_ENTRIES_MIN = 2, EPOCH_ENTRIES_MAX = 1 << 20 };

void epoch_cache_deinit(struct epoch_cache *c)
{
    free(c->entries);
    *c = (struct epoch_cache){0};
}

enum rc epoch_cache_reserve(struct epoch_cache *c, size_t more)
{
    if (more > EPOCH_ENTRIES_MAX)
        return RC_NOMEM;
    uint32_t cap = c->cap ? c->cap : EPOCH_ENTRIES_MIN;
    while (cap - c->count < more)
        cap *= 2;
    if (cap == c->cap)
        return RC_OK;
    struct epoch_start *entries = realloc(c->entries, cap * sizeof(*entries));
    if (!entries)
        return RC_NOMEM;
    c->entries = entries;
    c->cap = cap;
    return RC_OK;
}

static enum rc epoch_cache_push(struct epoch_cache *c, int32_t epoch, int64_t offset)
{
    enum rc rc = epoch_cache_reserve(c, 1);
    if (rc == RC_OK)
        c->entries[c->count++] = (struct epoch_start){.epoch = epoch, .offset = offset};
    return rc;
}

enum rc epoch_cache_begin(struct epoch_cache *c, int32_t epoch, int64_t offset)
{
    const struct epoch_start *last = c->count ? &c->entries[c->count - 1] : NULL;
    if (epoch < 0 || (last && last->epoch == epoch && last->offset <= offset)) // nearly always: it goes on
        return RC_OK;
    epoch_cache_cut_end(c, offset);
    if (epoch <= epoch_cache_latest(c))
        return RC_OK;
    enum rc rc = epoch_cache_push(c, epoch, offset);
    if (rc == RC_OK)
        c->changed = true;
    return rc;
}

// The number of entries whose epoch is at or below `epoch`.
static uint32_t epoch_cache_rank(const struct epoch_cache *c, int32_t epoch)
{
    uint32_t lo = 0, hi = c->count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (c->entries[mid].epoch <= epoch)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void epoch_cache_end(const struct epoch_cache *c, int32_t epoch, int64_t log_end, int32_t *found_epoch,
                     int64_t *end_offset)
{
    *found_epoch = LEADER_EPOCH_NONE;
    *end_offset = OFFSET_NONE;
    if (epoch < 0 || c->count == 0)
        return;
    if (epoch == c->entries[c->count - 1].epoch) {
        *found_epoch = epoch;
        *end_offset = log_end;
        return;
    }
    uint32_t rank = epoch_cache_rank(c, epoch);
    if (rank == c->count) // newer than anything known here
        return;
    // Older than the first epoch known: it ended where that one began.
    *found_epoch = rank ? c->entries[rank - 1].epoch : epoch;
    *end_offset = c->entries[rank].offset;
}

int32_t epoch_cache_at(const struct epoch_cache *c, int64_t offset)
{
    for (uint32_t i = c->count; i > 0; i--)
        if (c->entries[i - 1].offset <= offset)
            return c->entries[i - 1].epoch;
    return LEADER_EPOCH_NONE;
}

int32_t epoch_cache_latest(const struct epoch_cache *c)
{
    return c->count ? c->entries[c->count - 1].epoch : LEADER_EPOCH_NONE;
}

void epoch_cache_cut_end(struct epoch_cache *c, int64_t offset)
{
    while (c->count && c->entries[c->count - 1].offset >= offset) {
        c->count--;
        c->changed = true;
    }
}

void epoch_cache_cut_start(struct epoch_cache *c, int64_t offset)
{
    uint32_t drop = 0;
    while (drop + 1 < c->count && c->entries[drop + 1].offset <= offset)
        drop++;
    if (drop) {
        memmove(c->entries, c->entries + drop, (c->count - drop) * sizeof(*c->entries));
        c->count -= drop;
        c->changed = true;
    }
    // Whoever opens the log cuts to its start again: for this alone the file need not be written, at each purge of each log.
    if (c->count && c->entries[0].offset < offset)
        c->entries[0].offset = offset;
}

void epoch_cache_clear(struct epoch_cache *c)
{
    c->changed = c->changed || c->count > 0;
    c->count = 0;
}

void epoch_cache_print(const struct epoch_cache *c, struct buf *out)
{
    buf_printf(out, "0\n%u\n", c->count);
    for (uint32_t i = 0; i < c->count; i++)
        buf_printf(out, "%d %lld\n", c->entries[i].epoch, (long long)c->entries[i].offset);
}

// Reads a decimal number of at most max up to `end` and moves past it.
static bool epoch_number(struct bytes *s, char end, int64_t max, int64_t *out)
{
    int64_t v = 0;
    size_t i = 0;
    while (i < s->n && s->p[i] >= '0' && s->p[i] <= '9') {
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, s->p[i] - '0', &v) || v > max)
            return false;
        i++;
    }
    if (i == 0 || i == s->n || s->p[i] != (uint8_t)end)
        return false;
    *s = bytes_of(s->p + i + 1, s->n - i - 1);
    *out = v;
    return true;
}

enum rc epoch_cache_parse(struct epoch_cache *c, struct bytes text)
{
    int64_t version, count, epoch, offset;
    c->count = 0;
    c->changed = false;
    if (!epoch_number(&text, '\n', 0, &version) || !epoch_number(&text, '\n', EPOCH_ENTRIES_MAX, &count))
        return RC_CORRUPT;
    for (int64_t i = 0; i < count; i++) {
        bool ok = epoch_number(&text, ' ', INT32_MAX, &epoch) && epoch_number(&text, '\n', INT64_MAX, &offset);
        if (ok && c->count) {
            const struct epoch_start *last = &c->entries[c->count - 1];
            ok = epoch > last->epoch && offset >= last->offset;
        }
        enum rc rc = ok ? epoch_cache_push(c, (int32_t)epoch, offset) : RC_CORRUPT;
        if (rc) {
            c->count = 0;
            return rc;
        }
    }
    if (text.n) {
        c->count = 0;
        return RC_CORRUPT;
    }
    return RC_OK;
}
