// SPDX-License-Identifier: Apache-2.0
//
// The producers of a log as of the point recovery begins at: what the snapshot of that point says. A mark and a recovery
// point are noted when theirs is written, so that one without a snapshot knows of no producer. The base of a segment, to
// which a cut goes back, has one that a full disk may have refused; and any may be damaged. Then the newest snapshot below
// it counts, and of the batches from there on their headers, as Kafka does it; without one, all the log holds.
#include "base/assert.h"
#include "store/recovery.h"

enum {
    SNAPSHOT_BYTES_MAX = 256 << 20,
    MARKER_BYTES_MAX = 256, // of a control batch: header, key and value are 78
    PRODUCER_BATCHES_A_LOOK = 64,
};

// ------------------------------------------------------------------------------------------------ snapshots

struct snapshot_sweep {
    struct plog *log;
    int64_t kept_from, kept_to; // the others go
    int64_t at_least, below; // newest: of those in [at_least, below)
    int64_t newest;
    enum rc rc;
};

static void sweep_visit(void *context, const char *name, bool is_dir)
{
    struct snapshot_sweep *s = context;
    char path[IO_PATH_BYTES_MAX];
    const char *suffix;
    int64_t at;
    if (is_dir || !segment_name_parse(name, &at, &suffix) || strcmp(suffix, ".snapshot") != 0)
        return;
    if (at >= s->at_least && at < s->below && at > s->newest)
        s->newest = at;
    if (at >= s->kept_from && at <= s->kept_to)
        return;
    enum rc rc = plog_path(s->log, path, name);
    if (rc == RC_OK)
        rc = io_remove_now(s->log->store->io, path);
    if (rc != RC_OK && rc != RC_NOT_FOUND)
        s->rc = rc;
}

static enum rc sweep(struct snapshot_sweep *s)
{
    char path[IO_PATH_BYTES_MAX];
    enum rc rc = plog_path(s->log, path, "");
    if (rc == RC_OK)
        rc = io_list_dir(s->log->store->io, path, sweep_visit, s);
    if (rc != RC_OK && rc != RC_NOT_FOUND)
        return rc;
    return s->rc;
}

enum rc plog_drop_snapshots(struct plog *l, int64_t kept_from, int64_t kept_to)
{
    struct snapshot_sweep s = {.log = l, .kept_from = kept_from, .kept_to = kept_to, .newest = OFFSET_NONE};
    l->store->cuts++;
    return sweep(&s);
}

// RC_NOT_FOUND: there is none. RC_CORRUPT: it is damaged, and nothing was taken in.
static enum rc snapshot_load(struct plog *l, int64_t at)
{
    char name[SEGMENT_NAME_BYTES], path[IO_PATH_BYTES_MAX];
    struct buf snapshot;
    segment_name(name, at, ".snapshot");
    enum rc rc = plog_path(l, path, name);
    if (rc)
        return rc;
    buf_init(&snapshot, SNAPSHOT_BYTES_MAX);
    rc = log_dir_read_file(l->store->io, path, &snapshot);
    if (rc == RC_OK)
        rc = producer_snapshot_parse(&l->producers, buf_bytes(&snapshot), io_now_ns(l->store->io));
    buf_deinit(&snapshot);
    if (rc == RC_OK)
        l->snapshot = at;
    if (rc == RC_CORRUPT)
        trace_warn(l->store->trace, "%s/%s: %s is damaged", l->dir->path, l->folder, name);
    return rc;
}

// The newest whole snapshot below the point that what is left of the log follows on.
static enum rc snapshot_load_below(struct plog *l, const struct plog_recovery *r)
{
    struct snapshot_sweep s = {
        .log = l, .kept_to = INT64_MAX, .at_least = r->segments[0].base_offset, .below = r->from.offset};
    for (;;) {
        s.newest = OFFSET_NONE;
        enum rc rc = sweep(&s);
        if (rc || s.newest == OFFSET_NONE)
            return rc ? rc : RC_NOT_FOUND;
        rc = snapshot_load(l, s.newest);
        if (rc != RC_CORRUPT)
            return rc;
        s.below = s.newest;
    }
}

enum rc plog_load_producers(struct plog *l, struct plog_recovery *r)
{
    producer_state_clear(&l->producers);
    l->snapshot = OFFSET_NONE;
    // What stands behind the point is of batches that were cut, or will be read again; of a log that begins there, what
    // stands before it is of the one it was.
    enum rc rc = RC_OK;
    if (l->known.begins || r->newest_snapshot > r->from.offset)
        rc = plog_drop_snapshots(l, l->known.begins ? l->known.recovery_point.offset + 1 : 0, r->from.offset);
    if (rc == RC_OK)
        rc = snapshot_load(l, r->from.offset);
    if (rc != RC_NOT_FOUND && rc != RC_CORRUPT)
        return rc;
    bool damaged = rc == RC_CORRUPT, below = r->count && r->segments[0].base_offset < r->from.offset;
    rc = below ? snapshot_load_below(l, r) : RC_NOT_FOUND;
    if (rc != RC_OK && rc != RC_NOT_FOUND)
        return rc;
    if (!below || (rc == RC_NOT_FOUND && !damaged && r->from.position > 0))
        return RC_OK;
    int64_t from = rc == RC_OK ? l->snapshot : r->segments[0].base_offset;
    while (r->producers + 1 < r->count && r->segments[r->producers + 1].base_offset <= from)
        r->producers++;
    r->rebuild_producers = true;
    trace_warn(l->store->trace, "%s/%s: what is known of producers at offset %lld is built again from offset %lld on",
               l->dir->path, l->folder, (long long)r->from.offset, (long long)from);
    return RC_OK;
}

// ------------------------------------------------------------------------------------------------ batches

static enum rc producers_take(struct plog *l, struct store_file *file, uint32_t position, const struct batch_header *h)
{
    uint8_t marker[MARKER_BYTES_MAX];
    struct producer_append a;
    size_t n = 0;
    if (!batch_has_producer(h) || h->base_offset < l->snapshot)
        return RC_OK;
    if (h->attributes & BATCH_ATTR_CONTROL) {
        size_t bytes = batch_bytes(h) < sizeof(marker) ? batch_bytes(h) : sizeof(marker);
        enum rc rc = io_file_read_now(&file->file, marker, bytes, position, &n);
        if (rc)
            return rc;
    }
    plog_producer_append_of(h, bytes_of(marker, n), &a);
    return producer_state_apply(&l->producers, &a, io_now_ns(l->store->io), NULL);
}

// Goes on in segment i from r->producers_at.
static enum rc producers_walk(struct plog *l, struct plog_recovery *r, uint32_t i, uint64_t deadline_ns)
{
    struct batch_scan scan;
    struct batch_header h;
    struct store_file *file;
    uint32_t end = plog_recovery_end_of(r, i);
    enum rc rc = plog_file(l, STORE_FILE_LOG, r->segments[i].base_offset, 0, &file);
    if (rc)
        return rc;
    file_cache_pin(file);
    batch_scan_init(&scan, &file->file, end, false);
    for (unsigned n = 1; rc == RC_OK && r->producers_at < end; n++) {
        rc = batch_scan_at(&scan, r->producers_at, &h);
        if (rc == RC_OK)
            rc = producers_take(l, file, r->producers_at, &h);
        if (rc)
            break;
        r->producers_at += (uint32_t)batch_bytes(&h);
        if (n % PRODUCER_BATCHES_A_LOOK == 0 && io_clock_ns(l->store->io) > deadline_ns)
            rc = RC_AGAIN;
    }
    file_cache_unpin(file);
    return rc;
}

enum rc plog_producers_step(struct plog *l, struct plog_recovery *r, uint64_t deadline_ns)
{
    for (; r->rebuild_producers && r->producers < r->count && r->producers <= r->current;
         r->producers++, r->producers_at = 0) {
        enum rc rc = plog_recovery_end_of(r, r->producers) ? producers_walk(l, r, r->producers, deadline_ns) : RC_OK;
        if (rc == RC_CORRUPT || rc == RC_EOF)
            return plog_damaged(l, r->segments[r->producers].base_offset, "no valid batch follows");
        if (rc)
            return rc;
    }
    r->rebuilt_producers = r->rebuilt_producers || r->rebuild_producers;
    r->rebuild_producers = false;
    return RC_OK;
}
