// SPDX-License-Identifier: Apache-2.0
//
// Which log is compacted when; see compact.h. The run itself is compact_run.c.
#include "store/compact.h"
#include "base/assert.h"
#include "store/compact_private.h"

#include <stdlib.h>

#define COMPACT_RETRY_MS_MIN INT64_C(100)
#define COMPACT_SLICE_NS     UINT64_C(200000)

// ------------------------------------------------------------------------------------------------ candidates

// Makes l a candidate from at_ns on.
static void compact_schedule(struct compactor *c, struct plog_compaction *k, uint64_t at_ns)
{
    if (heap_node_linked(&k->due)) {
        if (k->due.key > at_ns)
            heap_move(&c->due, &k->due, at_ns);
    } else {
        (void)heap_push(&c->due, &k->due, at_ns); // without memory the next event tries again
    }
    store_want_work(c->store);
}

void compact_consider(struct plog *l)
{
    struct compactor *c = l->store->compactor;
    if (!l->config->compacts || !c->config.enabled || l->state != PLOG_OPEN || l->sealed_count == 0 || l->moving)
        return;
    if (!l->compaction) {
        l->compaction = calloc(1, sizeof(*l->compaction));
        if (!l->compaction)
            return;
        l->compaction->log = l;
        l->compaction->waits_for = INT64_MAX;
        l->compaction->names_unsynced = true; // what was completed when it was opened
    }
    struct plog_compaction *k = l->compaction;
    k->cancelled = false;
    if (!k->uncleanable && c->log != l)
        compact_schedule(c, k, io_now_ns(c->store->io));
}

void compact_note_high_watermark(struct plog *l)
{
    if (l->compaction && l->compaction->waits_for <= l->high_watermark)
        compact_consider(l);
}

// The age of max.compaction.lag.ms counts from the first batch of the dirty section.
static int64_t look_max_lag(struct plog *l, const struct plog_segment *s)
{
    struct batch_scan scan;
    struct batch_header h;
    struct store_file *file;
    struct plog_cold cold;
    uint32_t position;
    int64_t due_ms;
    if (l->config->max_compaction_lag_ms == INT64_MAX ||
        plog_seek(l, s, s->base_offset, false, &scan, &file, &position, &h, &cold) != RC_OK || h.max_timestamp < 0)
        return INT64_MAX;
    return __builtin_add_overflow(h.max_timestamp, l->config->max_compaction_lag_ms, &due_ms) ? INT64_MAX : due_ms;
}

// Whether the segment is older than min.compaction.lag.ms, and when it will be.
static bool look_min_lag(struct plog *l, uint32_t ordinal, int64_t wall_ms, int64_t *due_ms)
{
    struct plog_cold cold;
    int64_t from_ms;
    if (l->config->min_compaction_lag_ms <= 0)
        return true;
    if (plog_sealed_timestamp(l, ordinal, false, &from_ms, &cold) != RC_OK || from_ms < 0)
        from_ms = l->sealed[ordinal].sealed_ms;
    if (__builtin_add_overflow(from_ms, l->config->min_compaction_lag_ms, due_ms))
        *due_ms = INT64_MAX;
    return wall_ms >= *due_ms;
}

static void compact_look(struct plog *l, int64_t wall_ms, struct compact_look *out)
{
    // From the durable start: one that a power cut or a full disk takes back must not find deletions gone and what they
    // delete still there.
    uint32_t first = plog_segment_of(l, l->start_durable).ordinal;
    int64_t unstable = plog_first_unstable_offset(l);
    uint64_t clean = 0, dirty = 0;
    struct plog_segment first_dirty = {0};
    *out = (struct compact_look){.due_ms = INT64_MAX, .from = plog_segment_at(l, first).base_offset};
    l->compaction->waits_for = INT64_MAX;
    if (l->first_dirty > out->from && l->first_dirty <= l->written)
        out->from = l->first_dirty;
    out->end = out->from;
    for (uint32_t i = first; i < l->sealed_count; i++) {
        struct plog_segment s = plog_segment_at(l, i);
        if (s.next_base > l->high_watermark)
            l->compaction->waits_for = s.next_base;
        if (s.next_base > l->recovery_base && s.next_base <= l->high_watermark) // its end brings the log back here
            store_want_checkpoint(l->store, l);
        if (s.next_base > l->high_watermark || s.next_base > l->recovery_base ||
            (unstable != OFFSET_NONE && s.next_base > unstable))
            break;
        if (s.next_base <= out->from) {
            clean += s.bytes;
            continue;
        }
        if (!look_min_lag(l, i, wall_ms, &out->due_ms))
            break;
        if (dirty == 0)
            first_dirty = s;
        dirty += s.bytes;
        out->end = s.next_base;
    }
    if (dirty == 0)
        return;
    out->ratio = (double)dirty / (double)(clean + dirty);
    int64_t lag_ms = look_max_lag(l, &first_dirty);
    out->ready = out->ratio > l->config->min_cleanable_dirty_ratio || lag_ms <= wall_ms;
    if (lag_ms < out->due_ms)
        out->due_ms = lag_ms;
}

static uint64_t compact_ns_at(uint64_t now_ns, int64_t wall_ms, int64_t due_ms)
{
    uint64_t ms = due_ms > wall_ms ? (uint64_t)due_ms - (uint64_t)wall_ms : 0;
    return ms < (UINT64_MAX - now_ns) / 1000000 ? now_ns + ms * 1000000 : UINT64_MAX;
}

// Takes the dirtiest of the candidates whose time has come; the others stay candidates. False: there is none.
static bool compact_choose(struct compactor *c, uint64_t *next_ns)
{
    struct heap_node *n = heap_first(&c->due);
    uint64_t now = io_now_ns(c->store->io);
    if (!n)
        return false;
    uint64_t at = n->key > c->not_before_ns ? n->key : c->not_before_ns;
    if (at > now) {
        *next_ns = at;
        return false;
    }
    struct plog_compaction *best = NULL, *ready = NULL;
    struct compact_look best_look = {0};
    int64_t wall_ms = store_settled_ms(c->store);
    while ((n = heap_first(&c->due)) && n->key <= now) {
        struct plog_compaction *k = container_of(n, struct plog_compaction, due);
        struct compact_look look;
        heap_remove(&c->due, n);
        if (k->cancelled || k->uncleanable || k->log->state != PLOG_OPEN || log_dir_is_offline(k->log->dir) ||
            !k->log->config->compacts || k->log->moving)
            continue;
        compact_look(k->log, wall_ms, &look);
        if (!look.ready && look.due_ms != INT64_MAX)
            compact_schedule(c, k, compact_ns_at(now + 1, wall_ms, look.due_ms));
        if (!look.ready)
            continue;
        k->next = ready;
        ready = k;
        if (!best || look.ratio > best_look.ratio) {
            best = k;
            best_look = look;
        }
    }
    for (; ready; ready = ready->next)
        if (ready != best)
            compact_schedule(c, ready, now);
    if (best)
        compact_run_begin(c, best->log, &best_look);
    else
        c->not_before_ns = now + (uint64_t)c->config.backoff_ms * 1000000;
    if (!best && (n = heap_first(&c->due)))
        *next_ns = n->key > c->not_before_ns ? n->key : c->not_before_ns;
    return best != NULL;
}

// ------------------------------------------------------------------------------------------------ turns

// The run is over, for whatever reason.
static void compact_ended(struct compactor *c, enum rc rc)
{
    struct plog *l = c->log;
    struct plog_compaction *k = l->compaction;
    int64_t again_ms = c->config.backoff_ms > COMPACT_RETRY_MS_MIN ? c->config.backoff_ms : COMPACT_RETRY_MS_MIN;
    c->counters.records_seen += c->tally.seen;
    c->counters.records_kept += c->tally.kept;
    c->counters.records_keyless += c->tally.keyless;
    compact_run_free(c);
    if (rc == RC_EOF) {
        compact_consider(l); // a map that was full leaves more to do
        return;
    }
    c->counters.runs_given_up += rc == RC_CANCELLED;
    c->counters.runs_failed += rc != RC_CANCELLED;
    if (k->cancelled || k->uncleanable || l->state != PLOG_OPEN || log_dir_is_offline(l->dir))
        return;
    if (rc != RC_CANCELLED)
        trace_warn(c->store->trace, "%s/%s: compaction failed: %s; it is tried again in %lld ms", l->dir->path,
                   l->folder, rc_text(rc), (long long)again_ms);
    compact_schedule(c, k, io_now_ns(c->store->io) + (uint64_t)again_ms * 1000000);
}

bool compactor_step(struct compactor *c, uint64_t deadline_ns, uint64_t *next_ns)
{
    uint64_t slice_end = io_clock_ns(c->store->io) + COMPACT_SLICE_NS;
    if (deadline_ns > slice_end) // requests come first: as much of a turn as the codecs of Produce get
        deadline_ns = slice_end;
    *next_ns = UINT64_MAX;
    while (!c->waiting && !c->syncing) {
        if (c->log && (c->paused || c->log->compaction->cancelled))
            compact_ended(c, RC_CANCELLED);
        if (!c->log && (c->paused || !c->config.enabled || !compact_choose(c, next_ns)))
            return false;
        uint64_t now = io_clock_ns(c->store->io);
        if (c->throttled_until_ns > now) {
            *next_ns = c->throttled_until_ns;
            return false;
        }
        if (now > deadline_ns)
            return true;
        enum rc rc = compact_run_step(c);
        if (rc && rc != RC_AGAIN)
            compact_ended(c, rc);
    }
    return false;
}

void compactor_pause(struct compactor *c)
{
    c->paused = true;
    if (c->log && !c->waiting && !c->syncing)
        compact_ended(c, RC_CANCELLED);
}

bool compactor_is_idle(const struct compactor *c)
{
    return !c->log;
}

// ------------------------------------------------------------------------------------------------ life

enum rc compactor_create(struct compactor **out, struct store *s)
{
    struct compactor *c = calloc(1, sizeof(*c));
    if (!c)
        return RC_NOMEM;
    c->store = s;
    c->config = s->config.compact;
    heap_init(&c->due);
    *out = c;
    return RC_OK;
}

void compactor_destroy(struct compactor *c)
{
    ASSERT(!c->log && c->due.count == 0);
    heap_deinit(&c->due);
    free(c);
}

void compactor_configure(struct compactor *c, const struct compact_config *config)
{
    c->config = *config;
    c->not_before_ns = 0;
    c->throttled_until_ns = 0;
    store_want_work(c->store);
}

const struct compact_counters *compactor_counters(const struct compactor *c)
{
    return &c->counters;
}

void compactor_note_completed(struct compactor *c)
{
    c->counters.swaps_completed_at_start++;
}

// ------------------------------------------------------------------------------------------------ of one log

bool compact_is_swapping(const struct plog *l)
{
    return l->compaction && l->compaction->swapping;
}

bool compact_is_busy(const struct plog *l)
{
    const struct compactor *c = l->store->compactor;
    return l->compaction && (l->compaction->swapping || (c->log == l && (c->waiting || c->syncing)));
}

void compact_cancel(struct plog *l)
{
    struct compactor *c = l->store->compactor;
    if (!l->compaction)
        return;
    l->compaction->cancelled = true;
    if (c->log == l && !c->waiting && !c->syncing)
        compact_ended(c, RC_CANCELLED);
}

void compact_forget(struct plog *l)
{
    struct compactor *c = l->store->compactor;
    if (!l->compaction)
        return;
    ASSERT(!compact_is_busy(l));
    if (c->log == l)
        compact_run_free(c);
    if (heap_node_linked(&l->compaction->due))
        heap_remove(&c->due, &l->compaction->due);
    free(l->compaction);
    l->compaction = NULL;
}
