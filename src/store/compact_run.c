// SPDX-License-Identifier: Apache-2.0
//
// A run of the compactor over one log, phase by phase; see compact.h. One operation is in flight at a time; what may
// not wait for another turn, because the log is not idle until it is done, happens in the completions at the end.
#include "base/assert.h"
#include "store/compact_private.h"

#include <stdlib.h>
#include <string.h>

enum { ABORTED_MAX = 1 << 20, FLUSH_BYTES_MIN = 64 << 10 };

// ------------------------------------------------------------------------------------------------ begin and end

void compact_run_begin(struct compactor *c, struct plog *l, const struct compact_look *look)
{
    c->log = l;
    c->phase = COMPACT_SETTLE;
    c->from = look->from;
    c->end = look->end;
    c->wall_ms = store_settled_ms(c->store);
    c->map_latest = look->from - 1;
    c->map_full = c->in_batch = c->changed = false;
    c->aborted_count = 0;
    c->op_rc = RC_OK;
    memset(&c->tally, 0, sizeof(c->tally));
    uint32_t half = c->config.io_buffer_bytes / 2;
    c->input.chunk = c->output.flush_bytes = half > FLUSH_BYTES_MIN ? half : FLUSH_BYTES_MIN;
    c->segment_base = plog_segment_of(l, l->start_durable).base_offset;
    c->counters.runs++;
}

void compact_run_free(struct compactor *c)
{
    ASSERT(!c->waiting && !c->syncing);
    compact_input_close(&c->input);
    io_buffer_release(c->store->io, c->input.buffer, c->input.cap);
    c->input = (struct compact_input){0};
    compact_swap_abandon(&c->swap);
    compact_output_close(&c->output, true);
    batch_sieve_deinit(&c->sieve);
    io_buffer_release(c->store->io, c->workspace, 2 * (size_t)CODEC_WORKSPACE_BYTES);
    c->workspace = NULL;
    key_map_deinit(&c->map);
    free(c->aborted);
    c->aborted = NULL;
    c->aborted_count = c->aborted_cap = 0;
    c->phase = COMPACT_IDLE;
    c->log = NULL;
}

static enum rc run_end(struct compactor *c)
{
    struct plog *l = c->log;
    if (l->first_dirty < c->end)
        l->first_dirty = c->end;
    const struct checkpoint_record r = {.type = CHECKPOINT_CLEANED, .id = l->id, .offset = l->first_dirty};
    (void)log_dir_put(l->dir, &r); // a lost one costs a larger map next time
    if (c->tally.keyless)
        trace_warn(c->store->trace, "%s/%s: compaction dropped %llu records without a key", l->dir->path, l->folder,
                   (unsigned long long)c->tally.keyless);
    trace_info(c->store->trace, "%s/%s: compacted up to offset %lld: %llu bytes are %llu now, %llu keys%s",
               l->dir->path, l->folder, (long long)c->end, (unsigned long long)c->tally.bytes_before,
               (unsigned long long)c->tally.bytes_after, (unsigned long long)c->map.count,
               c->map_full ? " filled the map" : "");
    return RC_EOF;
}

// ------------------------------------------------------------------------------------------------ operations

static void run_throttle(struct compactor *c, size_t bytes)
{
    uint64_t now = io_now_ns(c->store->io);
    double ns = (double)bytes * 1e9 / c->config.io_bytes_a_second_max;
    if (c->throttled_until_ns < now)
        c->throttled_until_ns = now;
    c->throttled_until_ns += ns < 1e12 ? (uint64_t)ns : UINT64_C(1000000000000);
}

static void run_op_done(struct io_op *op, enum rc rc, size_t bytes)
{
    struct compactor *c = container_of(op, struct compactor, op);
    c->waiting = false;
    c->op_rc = rc;
    c->op_bytes = bytes;
    store_want_work(c->store);
}

static enum rc run_read(struct compactor *c)
{
    c->op.done = run_op_done;
    enum rc rc = compact_input_read(&c->input, &c->op);
    c->waiting = rc == RC_AGAIN;
    c->reading = c->waiting;
    return rc;
}

// A failed write that is not for lack of space is a failed folder.
static enum rc run_wrote(struct compactor *c, enum rc rc)
{
    if (rc && rc != RC_NO_SPACE && rc != RC_NO_FILES && rc != RC_NOMEM && rc != RC_FULL &&
        !c->output.read_failed && !log_dir_is_offline(c->log->dir))
        plog_fail_dir(c->log, rc, "writing a compacted segment of");
    return rc;
}

static enum rc run_flush(struct compactor *c)
{
    size_t bytes = c->output.pending.n;
    if (log_dir_lacks_space(c->log->dir, c->store->io)) // the reserve is not for this
        return RC_NO_SPACE;
    c->op.done = run_op_done;
    enum rc rc = compact_output_flush(&c->output, &c->op);
    c->waiting = rc == RC_AGAIN;
    c->flushing = c->waiting;
    if (rc == RC_OK || rc == RC_AGAIN) {
        c->counters.write_bytes += bytes;
        run_throttle(c, bytes);
        return rc;
    }
    return run_wrote(c, rc);
}

// What the operation that has ended means.
static enum rc run_take_op(struct compactor *c)
{
    enum rc rc = c->op_rc;
    c->op_rc = RC_OK;
    if (c->reading && rc == RC_OK) {
        c->counters.read_bytes += c->op_bytes;
        run_throttle(c, c->op_bytes);
        compact_input_read_done(&c->input, c->op_bytes);
    }
    if (c->flushing && rc == RC_OK)
        compact_output_flushed(&c->output);
    if (c->flushing)
        rc = run_wrote(c, rc);
    c->reading = c->flushing = false;
    return rc;
}

static void run_synced(struct log_dir_op *op, enum rc rc);

static enum rc run_sync(struct compactor *c, enum compact_phase phase)
{
    c->phase = phase;
    c->syncing = true;
    c->dir_op.request = LOG_DIR_SYNC;
    c->dir_op.file = NULL;
    c->dir_op.done = run_synced;
    log_dir_submit(c->log->dir, &c->dir_op);
    return RC_AGAIN;
}

// A batch or an index that cannot be right.
static enum rc run_corrupt(struct compactor *c, const char *suffix, int64_t base, int64_t offset)
{
    struct plog *l = c->log;
    trace_error(c->store->trace,
                "%s/%s/%020lld%s: no valid batch at or behind offset %lld: this partition is not compacted any more "
                "until a restart; it is served as before",
                l->dir->path, l->folder, (long long)base, suffix, (long long)offset);
    l->compaction->uncleanable = true;
    c->counters.logs_uncleanable++;
    return RC_CORRUPT;
}

// ------------------------------------------------------------------------------------------------ segments

// The sealed segment that begins at base. False: it is not there any more.
static bool run_segment(const struct compactor *c, int64_t base, struct plog_segment *s)
{
    *s = plog_segment_of(c->log, base);
    return !s->active && s->base_offset == base;
}

// The next batch of the segment under way. RC_EOF: its end.
static enum rc run_next_batch(struct compactor *c)
{
    enum rc rc = compact_input_next(&c->input, &c->header, &c->batch);
    if (rc == RC_AGAIN)
        return run_read(c);
    if (rc == RC_CORRUPT)
        return run_corrupt(c, ".log", c->input.segment_base, c->header_offset);
    if (rc == RC_OK)
        c->header_offset = batch_last_offset(&c->header) + 1;
    return rc;
}

static enum rc run_open_input(struct compactor *c, const struct plog_segment *s, uint32_t at)
{
    c->header_offset = s->base_offset;
    return compact_input_open(&c->input, c->log, s->base_offset, s->bytes, at);
}

static enum rc run_broken(struct compactor *c, enum rc rc)
{
    if (rc == RC_MALFORMED || rc == RC_UNSUPPORTED_COMPRESSION_TYPE)
        return run_corrupt(c, ".log", c->input.segment_base, c->header.base_offset);
    return rc;
}

// ------------------------------------------------------------------------------------------------ TXNS

static void txns_visit(void *context, const struct plog_aborted *a)
{
    struct compactor *c = context;
    if (c->aborted_count == c->aborted_cap && c->aborted_cap < ABORTED_MAX) {
        uint32_t cap = c->aborted_cap ? c->aborted_cap * 2 : 64;
        struct plog_aborted *v = realloc(c->aborted, cap * sizeof(*v));
        if (v) {
            c->aborted = v;
            c->aborted_cap = cap;
        }
    }
    c->txns_failed = c->txns_failed || c->aborted_count == c->aborted_cap;
    if (!c->txns_failed)
        c->aborted[c->aborted_count++] = *a;
}

static int txns_order(const void *a, const void *b)
{
    const struct plog_aborted *x = a, *y = b;
    if (x->producer_id != y->producer_id)
        return x->producer_id < y->producer_id ? -1 : 1;
    return (x->first_offset > y->first_offset) - (x->first_offset < y->first_offset);
}

// One segment a step, up to the active one: a marker may stand far behind what it aborts.
static enum rc run_txns(struct compactor *c)
{
    struct plog *l = c->log;
    struct plog_segment s = plog_segment_of(l, c->txns_base);
    enum rc rc = plog_each_aborted_of(l, s.base_offset, txns_visit, c);
    if (rc == RC_CORRUPT)
        return run_corrupt(c, ".txnindex", s.base_offset, s.base_offset);
    if (rc || c->txns_failed)
        return rc ? rc : RC_NOMEM;
    if (!s.active) {
        c->txns_base = s.next_base;
        return RC_OK;
    }
    if (c->aborted_count)
        qsort(c->aborted, c->aborted_count, sizeof(*c->aborted), txns_order);
    c->phase = COMPACT_MAP;
    c->map_base = plog_segment_of(l, c->from).base_offset;
    uint64_t seed;
    io_random(c->store->io, &seed, sizeof(seed));
    return key_map_init(&c->map, (uint64_t)(c->end - c->from), c->config.map_bytes_max, c->config.map_load_factor,
                        seed);
}

// ------------------------------------------------------------------------------------------------ MAP

// In the middle of a segment where the last map was full.
static enum rc map_open(struct compactor *c)
{
    struct plog_segment s;
    struct batch_scan scan;
    struct batch_header h;
    struct store_file *file;
    struct plog_cold cold;
    uint32_t position = 0;
    if (!run_segment(c, c->map_base, &s))
        return RC_CANCELLED;
    if (c->from > s.base_offset) {
        enum rc rc = plog_seek(c->log, &s, c->from, false, &scan, &file, &position, &h, &cold);
        if (rc)
            return rc == RC_CORRUPT || rc == RC_EOF ? run_corrupt(c, ".log", s.base_offset, c->from) : rc;
    }
    return run_open_input(c, &s, position);
}

static enum rc map_segment_done(struct compactor *c)
{
    struct plog_segment s;
    bool there = run_segment(c, c->map_base, &s);
    compact_input_close(&c->input);
    if (!there)
        return RC_CANCELLED;
    c->map_base = s.next_base;
    if (!c->map_full && c->map_base < c->end)
        return RC_OK;
    if (c->map_full)
        c->end = c->map_latest + 1;
    else
        c->map_latest = c->end - 1;
    c->phase = COMPACT_GROUP;
    return RC_OK;
}

static enum rc run_map(struct compactor *c)
{
    bool more;
    if (!c->input.file)
        return map_open(c);
    if (!c->in_batch) {
        if (c->map_full)
            return map_segment_done(c);
        enum rc rc = run_next_batch(c);
        if (rc)
            return rc == RC_EOF ? map_segment_done(c) : rc;
    }
    return run_broken(c, compact_map_batch(c, &more));
}

// ------------------------------------------------------------------------------------------------ groups

// Neighbours from segment_base on that fit into one segment.
static enum rc run_group(struct compactor *c)
{
    struct plog *l = c->log;
    struct plog_segment s;
    if (c->segment_base >= c->end)
        return run_end(c);
    if (!run_segment(c, c->segment_base, &s))
        return RC_CANCELLED;
    uint64_t bytes = 0;
    uint32_t first = s.ordinal, count = 0;
    for (; first + count < l->sealed_count; count++) {
        s = plog_segment_at(l, first + count);
        if (s.base_offset >= c->end || s.next_base - c->segment_base > INT32_MAX)
            break;
        if (count && bytes + s.bytes > l->config->segment_bytes)
            break;
        bytes += s.bytes;
        c->group_end = s.next_base;
        c->swap.last_base = s.base_offset;
    }
    if (count == 0) { // offsets too far apart for one segment's index: it stays as it is
        c->segment_base = s.next_base;
        return RC_OK;
    }
    c->swap = (struct compact_swap){
        .log = l, .first = first, .count = count, .first_base = c->segment_base, .last_base = c->swap.last_base};
    c->changed = count > 1;
    c->tally.bytes_before += bytes;
    c->phase = COMPACT_FILTER;
    return run_wrote(c, compact_output_open(&c->output, l, c->segment_base));
}

// Should the group not end with a batch that says where, one without records does.
static enum rc group_tail(struct compactor *c)
{
    struct compact_output *o = &c->output;
    int64_t next = o->last_offset == OFFSET_NONE ? o->base_offset : o->last_offset + 1;
    if (next == c->group_end)
        return RC_OK;
    const struct batch_header h = {
        .base_offset = next,
        .leader_epoch = epoch_cache_at(&c->log->epochs, c->group_end - 1),
        .magic = BATCH_MAGIC,
        .last_offset_delta = (int32_t)(c->group_end - 1 - next),
        .producer_id = -1,
        .producer_epoch = -1,
        .base_sequence = -1,
    };
    size_t at = o->pending.n;
    enum rc rc = batch_put_empty(&h, &o->pending);
    c->changed = true;
    return rc ? rc : compact_output_note(o, at);
}

static void group_next(struct compactor *c)
{
    c->segment_base = c->group_end;
    c->phase = COMPACT_GROUP;
}

// All of the group is filtered.
static enum rc group_done(struct compactor *c)
{
    struct compact_output *o = &c->output;
    enum rc rc = group_tail(c);
    if (rc == RC_OK && o->pending.n)
        rc = run_flush(c);
    if (rc)
        return rc;
    c->tally.bytes_after += o->written;
    if (!c->changed) { // nothing to gain: it stays
        compact_output_close(o, true);
        group_next(c);
        return RC_OK;
    }
    if (!compact_swap_place(&c->swap))
        return RC_CANCELLED;
    rc = run_wrote(c, compact_output_finish(o, c->swap.first, c->swap.count));
    if (rc)
        return rc;
    const struct segment *last = &c->log->sealed[c->swap.first + c->swap.count - 1];
    c->swap.has_txn_index = o->has_txn_index;
    c->swap.segment = (struct segment){
        .base_offset = o->base_offset,
        .timestamp_max = o->timestamp_max,
        .sealed_ms = last->sealed_ms,
        .bytes = o->written,
    };
    return run_sync(c, COMPACT_SYNC_FILES);
}

static enum rc run_filter(struct compactor *c)
{
    struct plog_segment s;
    bool more;
    enum rc rc = RC_OK;
    if (!c->in_batch && c->output.pending.n >= c->output.flush_bytes)
        return run_flush(c);
    if (!c->input.file && c->segment_base == c->group_end)
        return group_done(c);
    if (!c->input.file)
        return run_segment(c, c->segment_base, &s) ? run_open_input(c, &s, 0) : RC_CANCELLED;
    if (!c->in_batch) {
        rc = run_next_batch(c);
        if (rc == RC_EOF) {
            compact_input_close(&c->input);
            if (!run_segment(c, c->segment_base, &s))
                return RC_CANCELLED;
            c->segment_base = s.next_base;
            return RC_OK;
        }
        if (rc)
            return rc;
    }
    return run_broken(c, compact_filter_batch(c, &more));
}

// ------------------------------------------------------------------------------------------------ the swap

static enum rc run_commit(struct compactor *c)
{
    struct plog_compaction *k = c->log->compaction;
    if (!compact_swap_place(&c->swap))
        return RC_CANCELLED;
    enum rc rc = compact_swap_open(&c->swap);
    if (rc == RC_OK)
        rc = compact_swap_commit(&c->swap);
    if (rc)
        return rc;
    compact_output_close(&c->output, false); // its files have become the log's
    k->swapping = k->names_unsynced = true;
    return run_sync(c, COMPACT_SYNC_COMMIT);
}

static void swap_over(struct compactor *c)
{
    struct plog *l = c->log;
    l->compaction->swapping = false;
    if (l->state != PLOG_OPEN)
        return;
    c->counters.swaps++;
    c->counters.segments_replaced += c->swap.count;
    store_want_drop(l->store, l);
    group_next(c);
}

// Steps that follow each other whoever else has work: until the last one the log is not idle.
static void run_synced(struct log_dir_op *op, enum rc rc)
{
    struct compactor *c = container_of(op, struct compactor, dir_op);
    const struct plog *l = c->log;
    if (rc == RC_OK && (l->state != PLOG_OPEN || log_dir_is_offline(l->dir)))
        rc = RC_OFFLINE; // something else of it failed meanwhile: the next start goes on from here
    c->syncing = false;
    c->op_rc = rc;
    if (rc == RC_OK && c->phase == COMPACT_SYNC_COMMIT) {
        rc = compact_swap_switch(&c->swap);
        if (rc == RC_OK) {
            (void)run_sync(c, COMPACT_SYNC_SWAP);
            return;
        }
    } else if (rc == RC_OK && c->phase == COMPACT_SYNC_SWAP) {
        rc = compact_swap_end(&c->swap);
        if (rc == RC_OK)
            swap_over(c);
    } else if (rc == RC_OK && c->phase == COMPACT_SETTLE) {
        c->log->compaction->names_unsynced = false;
    }
    c->op_rc = rc;
    if (rc) // the folder is offline; the next start completes what was committed
        c->log->compaction->swapping = false;
    store_want_work(c->store);
}

enum rc compact_run_step(struct compactor *c)
{
    struct plog *l = c->log;
    enum rc rc = run_take_op(c);
    if (rc)
        return rc;
    if (l->state != PLOG_OPEN || log_dir_is_offline(l->dir) || !l->config->compacts)
        return RC_CANCELLED;
    switch (c->phase) {
    case COMPACT_SETTLE:
        if (l->compaction->names_unsynced)
            return run_sync(c, COMPACT_SETTLE);
        c->phase = COMPACT_TXNS;
        c->txns_base = c->segment_base;
        c->txns_failed = false;
        return RC_OK;
    case COMPACT_TXNS:
        return run_txns(c);
    case COMPACT_MAP:
        return run_map(c);
    case COMPACT_GROUP:
        return run_group(c);
    case COMPACT_FILTER:
        return run_filter(c);
    case COMPACT_SYNC_FILES:
        return run_commit(c);
    case COMPACT_IDLE:
    case COMPACT_SYNC_COMMIT:
    case COMPACT_SYNC_SWAP:
        break;
    }
    UNREACHABLE();
}
