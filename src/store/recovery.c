// SPDX-License-Identifier: Apache-2.0
//
// Opening a partition log after a start: what the folder holds against what the checkpoint says, the small files
// loaded (recovery_load.c), and, when something follows the point the checkpoint names, the scan of it
// (recovery_scan.c).
#include "base/assert.h"
#include "store/recovery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void plog_recovery_free(struct plog *l)
{
    struct plog_recovery *r = l->recovery;
    if (!r)
        return;
    index_tail_deinit(&r->rebuilt.index);
    index_tail_deinit(&r->rebuilt.time_index);
    io_buffer_release(l->store->io, r->buffer, RECOVERY_BUFFER_BYTES);
    free(r->segments);
    free(r);
    l->recovery = NULL;
}

// ------------------------------------------------------------------------------------------------ the folder

struct recovery_listing {
    struct plog *log;
    struct plog_recovery *recovery;
};

static struct recovery_segment *recovery_segment_get(struct plog_recovery *r, int64_t base_offset)
{
    // Names come in byte order, so the newest segment is the one a name belongs to.
    if (r->count && r->segments[r->count - 1].base_offset == base_offset)
        return &r->segments[r->count - 1];
    if (r->count == r->cap) {
        uint32_t cap = r->cap ? r->cap * 2 : 4;
        struct recovery_segment *segments = realloc(r->segments, cap * sizeof(*segments));
        if (!segments) {
            r->nomem = true;
            return NULL;
        }
        r->segments = segments;
        r->cap = cap;
    }
    r->segments[r->count] = (struct recovery_segment){.base_offset = base_offset, .bytes = UINT32_MAX};
    return &r->segments[r->count++];
}

// A file the last process was about to remove; or had not finished: that name may be wanted again at once.
static void recovery_leftover(struct plog *l, const char *name, bool at_once)
{
    char path[IO_PATH_BYTES_MAX];
    if (plog_path(l, path, name))
        return;
    if (at_once)
        (void)io_remove_now(l->store->io, path);
    else
        (void)store_trash_put(l->store, l->dir, path, false, 0);
}

static void recovery_visit(void *context, const char *name, bool is_dir)
{
    struct recovery_listing *listing = context;
    const char *suffix;
    int64_t base;
    if (is_dir || !segment_name_parse(name, &base, &suffix))
        return;
    size_t n = strlen(suffix);
    listing->recovery->swaps = listing->recovery->swaps || compact_is_swap_name(suffix);
    bool unfinished = n > 4 && strcmp(suffix + n - 4, ".tmp") == 0;
    if (unfinished || (n > 8 && strcmp(suffix + n - 8, ".deleted") == 0)) {
        recovery_leftover(listing->log, name, unfinished);
        return;
    }
    struct recovery_segment *s = recovery_segment_get(listing->recovery, base);
    if (!s)
        return;
    if (strcmp(suffix, ".log") == 0)
        s->bytes = 0;
    else if (strcmp(suffix, ".index") == 0)
        s->has_index = true;
    else if (strcmp(suffix, ".timeindex") == 0)
        s->has_time_index = true;
    else if (strcmp(suffix, ".txnindex") == 0)
        s->has_txn_index = true;
    else if (strcmp(suffix, ".snapshot") == 0 && base > listing->recovery->newest_snapshot)
        listing->recovery->newest_snapshot = base;
}

// Sizes of the .log files; what has none (a lone index, a snapshot) is no segment.
static enum rc recovery_sizes(struct plog *l, struct plog_recovery *r)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        struct recovery_segment s = r->segments[i];
        char name[SEGMENT_NAME_BYTES], path[IO_PATH_BYTES_MAX];
        struct io_file f;
        uint64_t size;
        if (s.bytes == UINT32_MAX)
            continue;
        segment_name(name, s.base_offset, ".log");
        enum rc rc = plog_path(l, path, name);
        if (rc == RC_OK)
            rc = io_file_open(l->store->io, &f, path, IO_OPEN_READ, IO_FILE_LOG);
        if (rc)
            return rc;
        rc = io_file_size(&f, &size);
        io_file_close(&f);
        if (rc)
            return rc;
        if (size > INT32_MAX)
            return RC_CORRUPT; // no segment can be that large
        s.bytes = (uint32_t)size;
        r->segments[kept++] = s;
    }
    r->count = kept;
    return RC_OK;
}

static enum rc recovery_list(struct plog *l, struct plog_recovery *r)
{
    struct recovery_listing listing = {l, r};
    char path[IO_PATH_BYTES_MAX];
    enum rc rc = plog_path(l, path, "");
    if (rc == RC_OK)
        rc = io_list_dir(l->store->io, path, recovery_visit, &listing);
    if (rc == RC_NOT_FOUND) // nothing there; what the checkpoint says decides whether that is right
        return RC_OK;
    if (rc == RC_OK && r->swaps) { // a compaction was under way
        r->count = 0;
        rc = compact_recover(l);
        if (rc == RC_OK)
            rc = io_list_dir(l->store->io, path, recovery_visit, &listing);
    }
    if (rc)
        return rc;
    return r->nomem ? RC_NOMEM : recovery_sizes(l, r);
}

// ------------------------------------------------------------------------------------------------ the point

enum rc plog_damaged(struct plog *l, int64_t offset, const char *what)
{
    l->state = PLOG_DAMAGED;
    trace_error(l->store->trace,
                "%s/%s is damaged: %s at offset %lld, below its recovery point: the partition is refused. Look with "
                "'weir admin log dump %s/%s', restore the folder from a copy or delete the topic",
                l->dir->path, l->folder, what, (long long)offset, l->dir->path, l->folder);
    plog_recovery_free(l);
    return RC_CORRUPT;
}

// The segment a mark lies in, when the folder bears the mark out; count when it begins a segment that is not made yet;
// UINT32_MAX when the folder holds less than the mark says.
static uint32_t recovery_place(const struct plog_recovery *r, const struct log_dir_mark *m)
{
    uint32_t i = 0;
    while (i < r->count && r->segments[i].base_offset < m->segment_base)
        i++;
    if (i < r->count && r->segments[i].base_offset == m->segment_base)
        return r->segments[i].bytes >= m->position ? i : UINT32_MAX;
    if (m->position > 0)
        return UINT32_MAX;
    return i;
}

// Whether log start has passed the segment of r->from. Then recovery begins with the segment that holds log start:
// those before it are on their way out, and after a power cut some names of theirs may be gone and others back, so that
// the gap between them says nothing about what lies behind.
static bool recovery_behind_start(const struct plog *l, struct plog_recovery *r)
{
    bool there = r->current < r->count && r->segments[r->current].base_offset == r->from.segment_base;
    uint32_t i = 0; // past the one that holds log start
    if (l->start < r->from.offset)
        return false;
    while (i < r->count && r->segments[i].base_offset <= l->start)
        i++;
    bool held = i > 0 && r->segments[i - 1].base_offset > r->from.segment_base;
    if (!held && there) // in the point's own segment
        return false;
    // Neither is there: the point's segment was dropped, and of those made since a power cut took any. Nothing at or
    // past log start was promised, and what is left begins behind a gap.
    int64_t first = held ? r->segments[i - 1].base_offset : l->start;
    r->from = (struct log_dir_mark){.offset = first, .segment_base = first, .leader_epoch = LEADER_EPOCH_NONE};
    r->current = held ? i - 1 : i;
    return true;
}

// Chooses where to begin. RC_CORRUPT: the folder holds less than what was synced.
static enum rc recovery_choose(struct plog *l, struct plog_recovery *r)
{
    if (l->known.mark.offset != OFFSET_NONE) {
        r->from = l->known.mark;
        r->from_mark = true;
        r->current = recovery_place(r, &r->from);
        if (recovery_behind_start(l, r) || r->current != UINT32_MAX)
            return RC_OK;
        trace_warn(l->store->trace, "%s/%s holds less than its written mark at offset %lld: scanning from further back",
                   l->dir->path, l->folder, (long long)r->from.offset);
    }
    r->from_mark = false;
    if (l->known.recovery_point.offset != OFFSET_NONE) {
        r->from = l->known.recovery_point;
        r->current = recovery_place(r, &r->from);
        return recovery_behind_start(l, r) || r->current != UINT32_MAX ? RC_OK : RC_CORRUPT;
    }
    int64_t first = r->count ? r->segments[0].base_offset : l->start;
    r->from = (struct log_dir_mark){.offset = first, .segment_base = first, .leader_epoch = LEADER_EPOCH_NONE};
    r->current = 0;
    return RC_OK;
}

// Segments wholly below log start were on their way out: a power cut may have brought back their names, and bytes that
// were never synced.
static void recovery_drop_below_start(struct plog *l, struct plog_recovery *r)
{
    while (r->count && r->current > 0) {
        int64_t next_base = r->current > 1 ? r->segments[1].base_offset : r->from.segment_base;
        if (next_base > l->start)
            return;
        plog_drop_files(l, r->segments[0].base_offset, 0);
        memmove(r->segments, r->segments + 1, --r->count * sizeof(*r->segments));
        r->current--;
    }
}

// ------------------------------------------------------------------------------------------------ begin and end

bool plog_indexes_missing(const struct plog_recovery *r, uint32_t i)
{
    return !r->segments[i].has_index || !r->segments[i].has_time_index;
}

static enum rc recovery_end(struct plog *l, struct plog_recovery_report *report)
{
    struct plog_recovery *r = l->recovery;
    struct store *store = l->store;
    if (report)
        *report = (struct plog_recovery_report){
            .from_offset = r->from.offset,
            .from_mark = r->from_mark,
            .scanned_bytes = r->scanned_bytes,
            .cut_bytes = r->cut_bytes,
            .end_offset = l->written,
        };
    store->counters.recovered_bytes += r->scanned_bytes;
    store->counters.cut_bytes += r->cut_bytes;
    uint64_t scanned = r->scanned_bytes;
    bool rewritten = r->rewrite && scanned, producers = r->rebuilt_producers;
    bool sealed = r->count || l->sealed_count;
    l->state = sealed || l->active.made ? PLOG_OPEN : PLOG_UNMADE;
    l->next = l->written;
    int64_t first = plog_segment_at(l, 0).base_offset;
    if (l->start < first)
        l->start = l->local_start = first;
    if (l->recovery_point > l->written)
        l->recovery_point = l->written;
    // What is empty has nothing that a sync could reach: its log start may lie past the point.
    l->durable = plog_is_made(l) ? l->recovery_point : l->written;
    l->names_dirty = l->written > l->recovery_point; // what lies past it, another process may have made
    l->offered = plog_forces_sync(l) ? l->durable : l->written;
    plog_recovery_free(l);
    plog_hints_clear(l);
    epoch_cache_cut_end(&l->epochs, l->written);
    epoch_cache_cut_start(&l->epochs, l->start);
    if (l->start > l->written) { // raised durably, then a power cut took what lay below it
        enum rc rc = plog_reset_recovered(l);
        if (rc)
            return rc;
    }
    if (l->epoch_to_begin != LEADER_EPOCH_NONE) {
        enum rc rc = epoch_cache_begin(&l->epochs, l->epoch_to_begin, l->written);
        if (rc)
            return rc;
        l->epoch_to_begin = LEADER_EPOCH_NONE;
    }
    plog_touch(l);
    if (producers) // a later start at this point need not look at the batches again
        (void)plog_write_snapshot(l);
    if (l->durable < l->written) {
        store_note_unsynced(store, l, scanned ? scanned : 1);
        if (plog_forces_sync(l))
            plog_sync(l);
    }
    if (scanned) {
        l->clean_marked = false;
        store_want_mark(store, l);
    }
    if (rewritten) // so that a later start need not do it again
        store_want_checkpoint(store, l);
    compact_consider(l);
    return RC_OK;
}

enum rc plog_recovery_begin(struct plog *l)
{
    ASSERT(!l->recovery);
    struct plog_recovery *r = calloc(1, sizeof(*r));
    if (!r)
        return RC_NOMEM;
    l->recovery = r;
    r->rewrite = l->dir->suspect;
    r->newest_snapshot = OFFSET_NONE;
    file_cache_drop_all(&l->open_files); // of an attempt that failed; names may change hands now
    bool whole;
    enum rc rc = recovery_list(l, r);
    if (rc == RC_OK) {
        rc = recovery_choose(l, r);
        if (rc == RC_CORRUPT)
            return plog_damaged(l, r->from.offset, "bytes are missing");
    }
    if (rc == RC_OK) {
        recovery_drop_below_start(l, r);
        rc = log_dir_is_offline(l->dir) ? RC_OFFLINE : plog_recovery_load(l, r, &whole);
    }
    if (rc) {
        plog_recovery_free(l);
        return rc;
    }
    bool rebuild = !whole || r->rebuild_epochs || r->rebuild_producers;
    for (uint32_t i = 0; i < r->current && i < r->count; i++)
        rebuild = rebuild || plog_indexes_missing(r, i);
    if (!whole) // of the active segment: what is left of them is not trusted
        r->segments[r->current].has_index = false;
    bool more =
        r->current < r->count && (r->segments[r->current].bytes > r->from.position || r->current + 1 < r->count);
    r->phase = rebuild ? RECOVERY_REBUILD : RECOVERY_SCAN;
    if (!rebuild && !more)
        return recovery_end(l, NULL);
    l->state = PLOG_UNCLEAN;
    return RC_AGAIN;
}

enum rc plog_recover_step(struct plog *l, uint64_t budget_ns, struct plog_recovery_report *report)
{
    enum rc rc = RC_OK;
    if (log_dir_is_offline(l->dir))
        l->state = PLOG_OFFLINE;
    if (l->state != PLOG_UNCLEAN)
        return plog_ready(l);
    uint64_t deadline = io_clock_ns(l->store->io) + budget_ns;
    if (!l->recovery) {
        rc = plog_recovery_begin(l);
        if (rc == RC_OK && report) // nothing to scan after all
            *report = (struct plog_recovery_report){.from_offset = l->written, .end_offset = l->written};
        if (rc != RC_AGAIN)
            return rc;
    }
    struct plog_recovery *r = l->recovery;
    rc = RC_OK;
    if (r->phase == RECOVERY_REBUILD) {
        rc = plog_epochs_step(l, r, deadline);
        if (rc == RC_OK)
            rc = plog_producers_step(l, r, deadline);
        if (rc == RC_OK)
            rc = plog_rebuild_step(l, r, deadline);
        if (rc == RC_OK)
            r->phase = RECOVERY_SCAN;
    }
    if (rc == RC_OK)
        rc = plog_scan_step(l, r, deadline);
    if (rc == RC_OK) {
        l->store->counters.recovered_logs++;
        return recovery_end(l, report);
    }
    if (rc != RC_AGAIN && l->recovery)
        plog_recovery_free(l); // begins anew with the next step
    return rc;
}
