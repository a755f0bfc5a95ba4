// SPDX-License-Identifier: Apache-2.0
//
// The .txnindex of a segment: one entry for each transaction whose abort marker lies in it, so that a read_committed
// fetch can name the aborted ones (KIP-98). Made by the first abort; most segments have none. Kafka's format, 34 bytes:
// i16 version 0, i64 producer id, i64 first offset, i64 last offset (the marker's), i64 last stable offset then.
#include "base/assert.h"
#include "store/log_private.h"

enum { TXN_INDEX_ENTRY_BYTES = 34, TXN_INDEX_VERSION = 0, TXN_INDEX_READ_ENTRIES = 64 };

static void txn_index_encode(const struct plog_aborted *a, uint8_t out[TXN_INDEX_ENTRY_BYTES])
{
    put_be16(out, TXN_INDEX_VERSION);
    put_be64(out + 2, (uint64_t)a->producer_id);
    put_be64(out + 10, (uint64_t)a->first_offset);
    put_be64(out + 18, (uint64_t)a->last_offset);
    put_be64(out + 26, (uint64_t)a->last_stable_offset);
}

static bool txn_index_decode(const uint8_t in[TXN_INDEX_ENTRY_BYTES], struct plog_aborted *a)
{
    *a = (struct plog_aborted){
        .producer_id = (int64_t)be64(in + 2),
        .first_offset = (int64_t)be64(in + 10),
        .last_offset = (int64_t)be64(in + 18),
        .last_stable_offset = (int64_t)be64(in + 26),
    };
    return be16(in) == TXN_INDEX_VERSION && a->first_offset >= 0 && a->first_offset <= a->last_offset;
}

// The last stable offset behind the marker. Too low is safe, a reader only looks at more entries; with appends queued
// behind it the state is ahead of the log, so that only the aborted transaction's own begin is certain.
static int64_t txn_index_stable(const struct plog *l, int64_t first_offset, int64_t last_offset)
{
    if (!list_empty(&l->queued) || !list_empty(&l->writing))
        return first_offset;
    int64_t unstable = producer_state_first_unstable(&l->producers);
    return unstable != OFFSET_NONE ? unstable : last_offset + 1;
}

enum rc plog_note_abort(struct plog *l, int64_t producer_id, int64_t first_offset, int64_t last_offset)
{
    struct store_file *file;
    uint8_t raw[TXN_INDEX_ENTRY_BYTES];
    uint64_t size;
    const struct plog_aborted a = {
        .producer_id = producer_id,
        .first_offset = first_offset,
        .last_offset = last_offset,
        .last_stable_offset = txn_index_stable(l, first_offset, last_offset),
    };
    txn_index_encode(&a, raw);
    enum rc rc = plog_file(l, STORE_FILE_TXN_INDEX, l->active.base_offset, IO_OPEN_CREATE, &file);
    if (rc == RC_OK)
        rc = io_file_size(&file->file, &size);
    if (rc == RC_OK)
        rc = io_file_write_now(&file->file, raw, sizeof(raw), size - size % TXN_INDEX_ENTRY_BYTES);
    l->names_dirty = true;
    return rc;
}

// Calls visit for the whole entries of one segment until it returns false; *bytes is then behind the last one wanted.
static enum rc txn_index_walk(struct plog *l, int64_t segment_base,
                              bool (*visit)(void *context, const struct plog_aborted *a), void *context,
                              uint64_t *bytes)
{
    struct store_file *file;
    uint8_t raw[TXN_INDEX_READ_ENTRIES * TXN_INDEX_ENTRY_BYTES];
    size_t got = sizeof(raw);
    *bytes = 0;
    enum rc rc = plog_file(l, STORE_FILE_TXN_INDEX, segment_base, 0, &file);
    if (rc)
        return rc == RC_NOT_FOUND ? RC_OK : rc;
    for (uint64_t at = 0; got == sizeof(raw); at += got) {
        rc = io_file_read_now(&file->file, raw, sizeof(raw), at, &got);
        if (rc)
            return rc;
        for (size_t i = 0; i + TXN_INDEX_ENTRY_BYTES <= got; i += TXN_INDEX_ENTRY_BYTES) {
            struct plog_aborted a;
            if (!txn_index_decode(raw + i, &a))
                return RC_CORRUPT;
            if (!visit(context, &a))
                return RC_OK;
            *bytes += TXN_INDEX_ENTRY_BYTES;
        }
    }
    return RC_OK;
}

static bool txn_index_below(void *context, const struct plog_aborted *a)
{
    return a->last_offset < *(const int64_t *)context;
}

enum rc plog_cut_txn_index(struct plog *l, int64_t segment_base, int64_t end)
{
    struct store_file *file;
    uint64_t keep;
    enum rc rc = txn_index_walk(l, segment_base, txn_index_below, &end, &keep);
    if (rc && rc != RC_CORRUPT) // what is damaged lies behind what is kept: markers past the point come again
        return rc;
    rc = plog_file(l, STORE_FILE_TXN_INDEX, segment_base, 0, &file);
    if (rc)
        return rc == RC_NOT_FOUND ? RC_OK : rc;
    return io_file_truncate(&file->file, keep);
}

struct txn_index_all {
    void (*visit)(void *context, const struct plog_aborted *a);
    void *context;
};

static bool txn_index_visit(void *context, const struct plog_aborted *a)
{
    const struct txn_index_all *all = context;
    all->visit(all->context, a);
    return true;
}

enum rc plog_each_aborted_of(struct plog *l, int64_t segment_base,
                             void (*visit)(void *context, const struct plog_aborted *a), void *context)
{
    struct txn_index_all all = {visit, context};
    uint64_t bytes;
    return txn_index_walk(l, segment_base, txn_index_visit, &all, &bytes);
}

struct txn_index_range {
    int64_t from, to;
    void (*visit)(void *context, const struct plog_aborted *a);
    void *context;
    bool done;
};

static bool txn_index_in_range(void *context, const struct plog_aborted *a)
{
    struct txn_index_range *range = context;
    if (a->last_offset >= range->from && a->first_offset < range->to)
        range->visit(range->context, a);
    // Nothing that ends later began before this.
    range->done = a->last_stable_offset >= range->to;
    return !range->done;
}

enum rc plog_each_aborted(struct plog *l, int64_t from, int64_t to,
                          void (*visit)(void *context, const struct plog_aborted *a), void *context)
{
    struct txn_index_range range = {.from = from, .to = to, .visit = visit, .context = context};
    enum rc rc = plog_ready(l);
    for (uint32_t i = plog_segment_of(l, from).ordinal; rc == RC_OK && i <= l->sealed_count && !range.done; i++) {
        uint64_t bytes;
        rc = txn_index_walk(l, plog_segment_at(l, i).base_offset, txn_index_in_range, &range, &bytes);
    }
    return rc;
}
