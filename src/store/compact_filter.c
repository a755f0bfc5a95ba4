// SPDX-License-Identifier: Apache-2.0
//
// What compaction does with one batch: note its keys in the map, or decide what of it stays. compact.h has the rules.
#include "base/assert.h"
#include "store/compact_private.h"

enum { FILTER_PIECE_BYTES = 32 << 10 };

// Whether the batch belongs to a transaction that was aborted.
static bool filter_is_aborted(const struct compactor *c, const struct batch_header *h)
{
    uint32_t lo = 0, hi = c->aborted_count;
    if (!(h->attributes & BATCH_ATTR_TRANSACTIONAL) || (h->attributes & BATCH_ATTR_CONTROL))
        return false;
    while (lo < hi) { // behind the last one of this producer that begins at or below the batch
        uint32_t mid = lo + (hi - lo) / 2;
        const struct plog_aborted *a = &c->aborted[mid];
        if (a->producer_id < h->producer_id || (a->producer_id == h->producer_id && a->first_offset <= h->base_offset))
            lo = mid + 1;
        else
            hi = mid;
    }
    const struct plog_aborted *a = lo ? &c->aborted[lo - 1] : NULL;
    return a && a->producer_id == h->producer_id && batch_last_offset(h) <= a->last_offset;
}

// Starts the sieve over the batch; a codec's memory is taken with the first batch that needs it.
static enum rc filter_begin(struct compactor *c, sieve_judge_fn judge)
{
    if (batch_codec(&c->header) != CODEC_NONE && !c->workspace) {
        c->workspace = io_buffer_acquire(c->store->io, 2 * (size_t)CODEC_WORKSPACE_BYTES);
        if (!c->workspace)
            return RC_NOMEM;
    }
    c->in_batch = true;
    c->writing = false;
    return batch_sieve_start(&c->sieve, c->batch, judge, c, c->map.seed, c->workspace);
}

// ------------------------------------------------------------------------------------------------ MAP

static enum sieve_verdict map_judge(void *context, const struct sieve_record *r)
{
    struct compactor *c = context;
    if (r->key_null || r->offset < c->from)
        return SIEVE_KEEP;
    if (key_map_put(&c->map, r->key, r->offset) == RC_FULL) {
        c->map_full = true;
        return SIEVE_STOP;
    }
    c->map_latest = r->offset;
    return SIEVE_KEEP;
}

enum rc compact_map_batch(struct compactor *c, bool *more)
{
    enum rc rc = RC_OK;
    const struct batch_header *h = &c->header;
    *more = false;
    if (!c->in_batch) {
        if ((h->attributes & BATCH_ATTR_CONTROL) || batch_last_offset(h) < c->from || filter_is_aborted(c, h)) {
            if (batch_last_offset(h) > c->map_latest)
                c->map_latest = batch_last_offset(h);
            return RC_OK;
        }
        rc = filter_begin(c, map_judge);
    }
    if (rc == RC_OK)
        rc = batch_sieve_step(&c->sieve, FILTER_PIECE_BYTES);
    *more = rc == RC_AGAIN;
    if (rc)
        return rc == RC_AGAIN ? RC_OK : rc;
    c->in_batch = false;
    if (!c->map_full)
        c->map_latest = batch_last_offset(h);
    return RC_OK;
}

// ------------------------------------------------------------------------------------------------ FILTER

static enum sieve_verdict filter_judge(void *context, const struct sieve_record *r)
{
    struct compactor *c = context;
    const struct batch_header *h = &c->header;
    c->tally.seen++;
    if (r->offset > c->map_latest)
        return SIEVE_KEEP;
    if (r->key_null) {
        c->tally.keyless++;
        return SIEVE_DROP;
    }
    if (r->offset < key_map_get(&c->map, r->key))
        return SIEVE_DROP;
    bool gone = r->value_null && (h->attributes & BATCH_ATTR_DELETE_HORIZON) && c->wall_ms >= h->base_timestamp &&
                r->offset < c->log->tombstones_needed;
    return gone ? SIEVE_DROP : SIEVE_KEEP;
}

// Whether one of the producer's remembered batches is this one: then its sequence must stay in the log.
static bool filter_is_remembered(const struct compactor *c, const struct batch_header *h)
{
    const struct producer_entry *e = batch_has_producer(h) ? producer_state_find(&c->log->producers, h->producer_id) : NULL;
    for (unsigned i = 0; e && i < e->batch_count; i++)
        if (e->batches[i].last_offset == batch_last_offset(h))
            return true;
    return false;
}

static enum rc filter_copy(struct compactor *c)
{
    size_t at = c->output.pending.n;
    buf_append(&c->output.pending, c->batch.p, c->batch.n);
    return compact_output_note(&c->output, at);
}

static enum rc filter_nothing_stays(struct compactor *c)
{
    size_t at = c->output.pending.n;
    const struct batch_header *h = &c->header;
    bool wanted = filter_is_remembered(c, h) || batch_last_offset(h) + 1 == c->group_end;
    if (wanted && h->record_count == 0)
        return filter_copy(c);
    c->changed = true;
    if (!wanted)
        return RC_OK;
    enum rc rc = batch_put_empty(h, &c->output.pending);
    return rc ? rc : compact_output_note(&c->output, at);
}

// The first pass is over.
static enum rc filter_decide(struct compactor *c, bool *more)
{
    struct batch_sieve *s = &c->sieve;
    const struct batch_header *h = &c->header;
    c->tally.kept += (uint64_t)s->kept;
    bool horizon = s->tombstones_kept > 0 && !(h->attributes & BATCH_ATTR_DELETE_HORIZON) &&
                   batch_last_offset(h) <= c->map_latest;
    if (s->kept == 0)
        return filter_nothing_stays(c);
    if (s->kept == s->seen && !horizon)
        return filter_copy(c);
    int64_t horizon_ms = TIMESTAMP_NONE;
    if (horizon && __builtin_add_overflow(c->wall_ms, c->log->config->delete_retention_ms, &horizon_ms))
        horizon_ms = INT64_MAX;
    c->changed = c->writing = c->in_batch = *more = true;
    c->out_at = c->output.pending.n;
    return batch_sieve_write_start(s, horizon_ms, &c->output.pending, c->workspace);
}

enum rc compact_filter_batch(struct compactor *c, bool *more)
{
    enum rc rc = RC_OK;
    const struct batch_header *h = &c->header;
    *more = false;
    if (!c->in_batch) {
        if (h->attributes & BATCH_ATTR_CONTROL)
            return filter_copy(c);
        if (h->record_count == 0 || filter_is_aborted(c, h)) {
            c->tally.seen += (uint64_t)h->record_count;
            return filter_nothing_stays(c);
        }
        if (h->base_offset > c->map_latest)
            return filter_copy(c);
        rc = filter_begin(c, filter_judge);
    }
    if (rc == RC_OK)
        rc = c->writing ? batch_sieve_write_step(&c->sieve, FILTER_PIECE_BYTES)
                        : batch_sieve_step(&c->sieve, FILTER_PIECE_BYTES);
    *more = rc == RC_AGAIN;
    if (rc)
        return rc == RC_AGAIN ? RC_OK : rc;
    c->in_batch = false;
    return c->writing ? compact_output_note(&c->output, c->out_at) : filter_decide(c, more);
}
