// SPDX-License-Identifier: Apache-2.0
//
// The swap of old segments for a compacted one while the log is served; compact.h has the order and the reasons.
#include "base/assert.h"
#include "store/compact_private.h"

#include <stdio.h>
#include <string.h>

// Under which the new .log is kept open while the old one still has its base: no segment begins there.
#define SWAP_BASE_NONE INT64_MIN

static const char *const swap_index_kinds[] = {".index", ".timeindex", ".txnindex"};

bool compact_swap_place(struct compact_swap *w)
{
    struct plog *l = w->log;
    struct plog_segment s = plog_segment_of(l, w->first_base);
    if (l->state != PLOG_OPEN || s.active || s.base_offset != w->first_base)
        return false;
    w->first = s.ordinal;
    uint32_t i = s.ordinal + w->count;
    return i <= l->sealed_count && l->sealed[i - 1].base_offset == w->last_base;
}

enum rc compact_swap_open(struct compact_swap *w)
{
    struct plog *l = w->log;
    char path[IO_PATH_BYTES_MAX];
    enum rc rc = compact_path(l, path, w->first_base, ".log.cleaned");
    if (rc == RC_OK)
        rc = file_cache_open(&l->store->files, l->store->io, &l->open_files, STORE_FILE_LOG, SWAP_BASE_NONE, path,
                             IO_OPEN_READ | IO_OPEN_WRITE, io_now_ns(l->store->io), &w->file);
    if (rc)
        w->file = NULL;
    else
        file_cache_pin(w->file);
    return rc;
}

void compact_swap_abandon(struct compact_swap *w)
{
    if (!w->file)
        return;
    file_cache_unpin(w->file);
    if (w->file->owner)
        file_cache_drop(w->file);
    w->file = NULL;
}

static enum rc swap_rename(struct plog *l, int64_t base_offset, const char *from_suffix, const char *to_suffix)
{
    enum rc rc = compact_rename(l, base_offset, from_suffix, to_suffix);
    if (rc == RC_NOT_FOUND)
        plog_fail_dir(l, rc, "renaming a compacted segment of");
    return rc;
}

enum rc compact_swap_commit(struct compact_swap *w)
{
    return swap_rename(w->log, w->first_base, ".log.cleaned", ".log.swap");
}

// What memory knows: one segment where there were several.
static void swap_segments(struct compact_swap *w)
{
    struct plog *l = w->log;
    int64_t end = plog_segment_at(l, w->first + w->count).base_offset;
    for (uint32_t i = w->first; i < w->first + w->count; i++)
        l->sealed_bytes -= l->sealed[i].bytes;
    l->sealed_bytes += w->segment.bytes;
    l->sealed[w->first] = w->segment;
    uint32_t behind = l->sealed_count - (w->first + w->count);
    memmove(&l->sealed[w->first + 1], &l->sealed[w->first + w->count], behind * sizeof(*l->sealed));
    l->sealed_count -= w->count - 1;
    for (unsigned i = 0; i < PLOG_HINTS; i++)
        if (l->hints[i].segment_base >= w->first_base && l->hints[i].segment_base < end)
            l->hints[i].offset = OFFSET_NONE;
}

enum rc compact_swap_switch(struct compact_swap *w)
{
    struct plog *l = w->log;
    int64_t delay_ms = l->config->file_delete_delay_ms;
    bool there = compact_swap_place(w);
    ASSERT(there); // nothing may touch these segments since COMMIT
    plog_close_segment(l, w->first_base);
    enum rc rc = compact_put_aside(l, w->first_base, ".log", delay_ms);
    for (unsigned i = 0; rc == RC_OK && i < ARRAY_COUNT(swap_index_kinds); i++) {
        char from[24];
        if (i == 2 && !w->has_txn_index)
            break;
        snprintf(from, sizeof(from), "%s.swap", swap_index_kinds[i]);
        rc = swap_rename(l, w->first_base, from, swap_index_kinds[i]);
    }
    for (uint32_t i = w->first + 1; rc == RC_OK && i < w->first + w->count; i++)
        plog_drop_files(l, l->sealed[i].base_offset, delay_ms);
    if (rc || log_dir_is_offline(l->dir))
        return rc ? rc : RC_OFFLINE;
    swap_segments(w);
    w->file->segment_base = w->first_base; // whoever opens the segment's .log now finds this one
    return RC_OK;
}

enum rc compact_swap_end(struct compact_swap *w)
{
    enum rc rc = swap_rename(w->log, w->first_base, ".log.swap", ".log");
    if (rc)
        return rc;
    file_cache_unpin(w->file);
    w->file = NULL;
    return RC_OK;
}
