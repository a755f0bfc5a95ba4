// SPDX-License-Identifier: Apache-2.0
//
// The leader epochs of a log whose leader-epoch-checkpoint a power cut has damaged: below the recovery point the batches
// are not scanned, but their headers say it too. Epochs only rise, so a segment is walked only where the next one
// begins in another. What compaction has removed counts to the epoch of the batch behind it: then an older epoch ends
// early rather than late, and whoever asks for that end cuts too much rather than too little.
#include "base/assert.h"
#include "store/recovery.h"

enum { EPOCH_BATCHES_A_LOOK = 64 };

uint32_t plog_recovery_end_of(const struct plog_recovery *r, uint32_t i)
{
    if (i < r->current)
        return r->segments[i].bytes;
    return r->segments[i].base_offset == r->from.segment_base ? r->from.position : 0;
}

static enum rc epochs_open(struct plog *l, const struct plog_recovery *r, uint32_t i, struct batch_scan *scan,
                           struct store_file **file)
{
    enum rc rc = plog_file(l, STORE_FILE_LOG, r->segments[i].base_offset, 0, file);
    if (rc == RC_OK)
        batch_scan_init(scan, &(*file)->file, plog_recovery_end_of(r, i), false);
    return rc;
}

// The epoch in which what follows segment i begins, as of the point.
static enum rc epochs_next(struct plog *l, const struct plog_recovery *r, uint32_t i, int32_t *epoch)
{
    struct batch_scan scan;
    struct batch_header h;
    struct store_file *file;
    *epoch = r->from.leader_epoch;
    if (i == r->current || i + 1 >= r->count || plog_recovery_end_of(r, i + 1) == 0)
        return RC_OK;
    enum rc rc = epochs_open(l, r, i + 1, &scan, &file);
    if (rc == RC_OK)
        rc = batch_scan_at(&scan, 0, &h);
    if (rc == RC_OK)
        *epoch = h.leader_epoch;
    return rc;
}

// Goes on in segment i from r->epochs_at.
static enum rc epochs_walk(struct plog *l, struct plog_recovery *r, uint32_t i, uint64_t deadline_ns)
{
    struct batch_scan scan;
    struct batch_header h;
    struct store_file *file;
    int32_t next = LEADER_EPOCH_NONE;
    uint32_t end = plog_recovery_end_of(r, i);
    if (r->epochs_at == 0 && l->epochs.count == 0)
        r->epochs_end = r->segments[i].base_offset;
    enum rc rc = r->epochs_at ? RC_OK : epochs_next(l, r, i, &next);
    if (rc == RC_OK)
        rc = epochs_open(l, r, i, &scan, &file);
    if (rc)
        return rc;
    file_cache_pin(file);
    for (unsigned n = 1; rc == RC_OK && r->epochs_at < end; n++) {
        rc = batch_scan_at(&scan, r->epochs_at, &h);
        if (rc == RC_OK)
            rc = epoch_cache_begin(&l->epochs, h.leader_epoch, r->epochs_end);
        if (rc)
            break;
        r->epochs_end = batch_last_offset(&h) + 1;
        r->epochs_at = h.leader_epoch == next ? end : r->epochs_at + (uint32_t)batch_bytes(&h);
        if (n % EPOCH_BATCHES_A_LOOK == 0 && io_clock_ns(l->store->io) > deadline_ns)
            rc = RC_AGAIN;
    }
    file_cache_unpin(file);
    return rc;
}

enum rc plog_epochs_step(struct plog *l, struct plog_recovery *r, uint64_t deadline_ns)
{
    for (; r->rebuild_epochs && r->epochs < r->count && r->epochs <= r->current; r->epochs++, r->epochs_at = 0) {
        enum rc rc = plog_recovery_end_of(r, r->epochs) ? epochs_walk(l, r, r->epochs, deadline_ns) : RC_OK;
        if (rc == RC_CORRUPT || rc == RC_EOF)
            return plog_damaged(l, r->segments[r->epochs].base_offset, "no valid batch follows");
        if (rc)
            return rc;
    }
    r->rebuild_epochs = false;
    return RC_OK;
}
