// SPDX-License-Identifier: Apache-2.0
//
// The read path of a partition log: from an offset to a pinned range of whole batches. Index first, then a walk over
// the headers from the entry found; nothing else of the log file is read here, the bytes leave by sendfile.
#include "base/assert.h"
#include "store/log_private.h"

enum { READ_WAITS_MAX = 2, READ_PREFETCH_BYTES = 65536 };

// ------------------------------------------------------------------------------------------------ slices, waits

void plog_slice_take(struct plog *l, struct store_file *file, uint32_t position, uint32_t bytes, int64_t first_offset,
                     int64_t next_offset, struct plog_slice *out)
{
    (void)l;
    file_cache_pin(file);
    *out = (struct plog_slice){
        .file = file,
        .position = position,
        .bytes = bytes,
        .first_offset = first_offset,
        .next_offset = next_offset,
    };
}

void plog_slice_release(struct plog_slice *s)
{
    if (s->file)
        file_cache_unpin(s->file);
    s->file = NULL;
    s->bytes = 0;
}

bool plog_wait_cached_only(struct plog_wait *wait)
{
    return wait && wait->attempts < READ_WAITS_MAX;
}

static void plog_wait_ended(struct io_op *op, enum rc rc, size_t bytes)
{
    struct plog_wait *wait = container_of(op, struct plog_wait, op);
    (void)rc; // the read that follows meets the error itself
    (void)bytes;
    file_cache_unpin(wait->file);
    wait->file = NULL;
    wait->done(wait);
}

enum rc plog_wait_start(struct plog *l, struct plog_wait *wait, const struct plog_cold *cold)
{
    ASSERT(wait && !io_op_busy(&wait->op));
    wait->attempts++;
    wait->file = cold->file;
    file_cache_pin(cold->file);
    wait->op.done = plog_wait_ended;
    l->store->counters.reads_cold++;
    io_file_prefetch(&wait->op, &cold->file->file, cold->offset, cold->bytes);
    return RC_AGAIN;
}

static enum rc plog_is_cold(struct plog_cold *cold, struct store_file *file, uint64_t offset, uint64_t bytes)
{
    *cold = (struct plog_cold){.file = file, .offset = offset, .bytes = bytes};
    return RC_AGAIN;
}

// ------------------------------------------------------------------------------------------------ lookup

enum rc plog_index_view(struct plog *l, const struct plog_segment *s, enum store_file_kind kind, bool cached_only,
                        struct index_view *v, struct store_file **file)
{
    const struct index_tail *tail = kind == STORE_FILE_INDEX ? &l->active.index : &l->active.time_index;
    v->tail = s->active ? tail : NULL;
    v->file = NULL;
    v->file_bytes = 0;
    v->entry_bytes = kind == STORE_FILE_INDEX ? INDEX_ENTRY_BYTES : TIME_INDEX_ENTRY_BYTES;
    v->cached_only = cached_only;
    v->reads = 0;
    v->block_bytes = 0;
    *file = NULL;
    if (s->active && tail->file_bytes == 0)
        return RC_OK;
    enum rc rc = plog_file(l, kind, s->base_offset, 0, file);
    if (rc)
        return rc;
    uint64_t size = tail->file_bytes;
    if (!s->active) {
        rc = io_file_size(&(*file)->file, &size);
        if (rc)
            return rc;
    }
    v->file = &(*file)->file;
    v->file_bytes = (uint32_t)(size > UINT32_MAX ? 0 : size - size % v->entry_bytes);
    return RC_OK;
}

// Which of an index's two fields to search by.
enum plog_index_key { BY_OFFSET, BY_POSITION };

// The last batch the index knows at or below key; position 0 where it knows none. A damaged or missing index only makes
// the walk longer: what it says is checked against the header it leads to.
static enum rc plog_index_floor(struct plog *l, const struct plog_segment *s, enum plog_index_key by, uint32_t key,
                                bool cached_only, struct index_entry *out, struct plog_cold *cold)
{
    struct index_view v;
    struct store_file *file;
    struct index_entry e;
    uint32_t rank;
    *out = (struct index_entry){0};
    enum rc rc = plog_index_view(l, s, STORE_FILE_INDEX, cached_only, &v, &file);
    if (rc == RC_NOT_FOUND)
        return RC_OK;
    if (rc)
        return rc;
    rc = by == BY_OFFSET ? index_view_rank_offset(&v, key, &rank) : index_view_rank_position(&v, key, &rank);
    if (rc == RC_OK && rank > 0)
        rc = index_view_at(&v, rank - 1, &e);
    l->store->counters.index_reads += v.reads;
    if (rc == RC_AGAIN)
        return plog_is_cold(cold, file, 0, v.file_bytes);
    if (rc == RC_CORRUPT)
        return RC_OK;
    if (rc == RC_OK && rank > 0 && e.position < s->bytes)
        *out = e;
    return rc;
}

// Reads the header an index entry leads to. RC_CORRUPT: the entry is not of that batch.
static enum rc plog_check_entry(struct batch_scan *scan, const struct plog_segment *s, struct index_entry e,
                                struct batch_header *h)
{
    enum rc rc = batch_scan_at(scan, e.position, h);
    if (rc == RC_OK && batch_last_offset(h) != s->base_offset + e.relative)
        rc = RC_CORRUPT;
    return rc == RC_EOF ? RC_CORRUPT : rc;
}

// Walks from *position to the first batch whose last offset is at or past `offset`.
static enum rc plog_walk_to(struct batch_scan *scan, int64_t segment_base, int64_t offset, uint32_t *position,
                            struct batch_header *h)
{
    for (;;) {
        enum rc rc = batch_scan_at(scan, *position, h);
        if (rc)
            return rc;
        if (h->base_offset < segment_base)
            return RC_CORRUPT;
        if (batch_last_offset(h) >= offset)
            return RC_OK;
        *position += (uint32_t)batch_bytes(h);
    }
}

static bool plog_hint_find(struct plog *l, const struct plog_segment *s, int64_t offset, uint32_t *position)
{
    for (unsigned i = 0; i < PLOG_HINTS; i++) {
        const struct plog_hint *hint = &l->hints[i];
        if (hint->offset == offset && hint->segment_base == s->base_offset && hint->position < s->bytes) {
            *position = hint->position;
            return true;
        }
    }
    return false;
}

// Finds the batch of plog_seek(). RC_AGAIN with cold->file NULL: the log file is cold at *position.
static enum rc plog_seek_in(struct plog *l, const struct plog_segment *s, int64_t offset, struct batch_scan *scan,
                            uint32_t *position, struct batch_header *h, struct plog_cold *cold)
{
    int64_t relative = offset - s->base_offset;
    cold->file = NULL;
    *position = 0;
    if (relative > 0 && plog_hint_find(l, s, offset, position)) {
        l->store->counters.hint_hits++;
    } else if (relative > 0) {
        struct index_entry e;
        uint32_t key = relative > UINT32_MAX ? UINT32_MAX : (uint32_t)relative;
        enum rc rc = plog_index_floor(l, s, BY_OFFSET, key, scan->cached_only, &e, cold);
        if (rc)
            return rc;
        *position = e.position;
        rc = e.position ? plog_check_entry(scan, s, e, h) : RC_OK;
        if (rc == RC_CORRUPT) // an index that leads astray: the walk from the start is the truth
            *position = 0;
        else if (rc)
            return rc;
    }
    return plog_walk_to(scan, s->base_offset, offset, position, h);
}

static enum rc plog_log_file(struct plog *l, const struct plog_segment *s, struct store_file **file)
{
    enum rc rc = plog_file(l, STORE_FILE_LOG, s->base_offset, 0, file);
    return rc == RC_NOT_FOUND ? RC_CORRUPT : rc;
}

enum rc plog_seek(struct plog *l, const struct plog_segment *s, int64_t offset, bool cached_only,
                  struct batch_scan *scan, struct store_file **file, uint32_t *position, struct batch_header *h,
                  struct plog_cold *cold)
{
    enum rc rc = plog_log_file(l, s, file);
    if (rc)
        return rc;
    file_cache_pin(*file); // opening the index may evict
    batch_scan_init(scan, &(*file)->file, s->bytes, cached_only);
    rc = plog_seek_in(l, s, offset, scan, position, h, cold);
    file_cache_unpin(*file);
    l->store->counters.header_reads += scan->reads;
    scan->reads = 0;
    if (rc == RC_AGAIN && !cold->file)
        return plog_is_cold(cold, *file, *position, READ_PREFETCH_BYTES);
    return rc;
}

// ------------------------------------------------------------------------------------------------ read

// Moves *at ahead to the last batch the index knows that begins at or below the limit and ends below the bound, and
// reads its header. Stays where it is when the index knows none or leads astray.
static enum rc plog_skip_ahead(struct plog *l, const struct plog_segment *s, const struct plog_read *read,
                               struct batch_scan *scan, uint64_t limit, uint32_t *at, struct batch_header *h,
                               struct plog_cold *cold)
{
    struct index_entry e = {.position = UINT32_MAX}, by_bound;
    struct batch_header there;
    enum rc rc = RC_OK;
    cold->file = NULL;
    if (limit < s->bytes)
        rc = plog_index_floor(l, s, BY_POSITION, (uint32_t)limit, scan->cached_only, &e, cold);
    if (rc == RC_OK && s->next_base > read->bound && read->bound > s->base_offset) {
        int64_t key = read->bound - 1 - s->base_offset;
        rc = plog_index_floor(l, s, BY_OFFSET, key > UINT32_MAX ? UINT32_MAX : (uint32_t)key, scan->cached_only,
                              &by_bound, cold);
        if (rc == RC_OK && by_bound.position < e.position)
            e = by_bound;
    }
    if (rc || e.position == UINT32_MAX || e.position <= *at)
        return rc;
    rc = plog_check_entry(scan, s, e, &there);
    if (rc == RC_OK) {
        *at = e.position;
        *h = there;
    }
    return rc == RC_CORRUPT ? RC_OK : rc;
}

// Where the whole batches that fit end, from the batch at `position` (header *h) on.
static enum rc plog_find_end(struct plog *l, const struct plog_segment *s, const struct plog_read *read,
                             struct batch_scan *scan, struct store_file *file, uint32_t position,
                             struct batch_header *h, uint32_t *end, int64_t *next_offset, struct plog_cold *cold)
{
    uint64_t limit = position + (read->bytes_max > UINT32_MAX ? UINT32_MAX : read->bytes_max);
    if (s->next_base <= read->bound && limit >= s->bytes) {
        *end = s->bytes;
        *next_offset = s->next_base;
        return RC_OK;
    }
    uint32_t at = position;
    enum rc rc = plog_skip_ahead(l, s, read, scan, limit, &at, h, cold);
    if (rc == RC_AGAIN && cold->file)
        return rc;
    while (rc == RC_OK && at + batch_bytes(h) <= limit && batch_last_offset(h) < read->bound) {
        at += (uint32_t)batch_bytes(h);
        *next_offset = batch_last_offset(h) + 1;
        rc = batch_scan_at(scan, at, h);
    }
    l->store->counters.header_reads += scan->reads;
    if (rc == RC_AGAIN)
        return plog_is_cold(cold, file, at, READ_PREFETCH_BYTES);
    if (rc && rc != RC_EOF)
        return rc;
    if (rc == RC_OK && at > position)
        *next_offset = h->base_offset;
    *end = at;
    return RC_OK;
}

// Somebody at the end of the log, consumer or follower, wants what was appended since, to the last byte: where that lies is
// known without a look at a header. Whether it is in the page cache is asked by whoever sends it.
static bool plog_is_rest(struct plog *l, const struct plog_segment *s, const struct plog_read *read, uint32_t *position)
{
    return s->active && s->next_base <= read->bound && read->offset > s->base_offset &&
           plog_hint_find(l, s, read->offset, position) && s->bytes - *position <= read->bytes_max;
}

static enum rc plog_read_rest(struct plog *l, const struct plog_segment *s, int64_t offset, uint32_t position,
                              struct plog_slice *out)
{
    struct store_file *file;
    enum rc rc = plog_log_file(l, s, &file);
    if (rc)
        return rc;
    l->store->counters.hint_hits++;
    plog_slice_take(l, file, position, s->bytes - position, offset, s->next_base, out);
    plog_hint_put(l, s->next_base, s->base_offset, s->bytes, true);
    return RC_OK;
}

// Reads from segment s. RC_EOF: it has nothing at or past the offset.
static enum rc plog_read_segment(struct plog *l, const struct plog_segment *s, const struct plog_read *read,
                                 bool cached_only, struct plog_slice *out, struct plog_cold *cold)
{
    struct batch_scan scan;
    struct batch_header h;
    struct store_file *file;
    uint32_t position, end;
    int64_t next_offset = read->offset;
    if (plog_is_rest(l, s, read, &position))
        return plog_read_rest(l, s, read->offset, position, out);
    enum rc rc = plog_seek(l, s, read->offset, cached_only, &scan, &file, &position, &h, cold);
    if (rc)
        return rc;
    int64_t first_offset = h.base_offset, first_last = batch_last_offset(&h);
    uint32_t first_end = position + (uint32_t)batch_bytes(&h);
    if (first_last >= read->bound)
        return RC_OK; // it reaches past what may be seen
    if (first_end - position > read->bytes_max) {
        if (!read->at_least_one)
            return RC_OK;
        end = first_end;
        next_offset = first_last + 1;
    } else {
        file_cache_pin(file); // opening an index may evict
        rc = plog_find_end(l, s, read, &scan, file, position, &h, &end, &next_offset, cold);
        file_cache_unpin(file);
        if (rc)
            return rc;
    }
    plog_slice_take(l, file, position, end - position, first_offset, next_offset, out);
    plog_hint_put(l, next_offset, s->base_offset, end, true);
    return RC_OK;
}

enum rc plog_read(struct plog *l, const struct plog_read *read, struct plog_slice *out, struct plog_wait *wait)
{
    struct plog_cold cold;
    *out = (struct plog_slice){.first_offset = read->offset, .next_offset = read->offset};
    enum rc rc = plog_ready(l);
    if (rc)
        return rc;
    if (read->offset < l->start || read->offset > l->written)
        return RC_OFFSET_OUT_OF_RANGE;
    struct plog_read bounded = *read;
    if (bounded.bound > l->written)
        bounded.bound = l->written;
    if (read->offset >= bounded.bound)
        return RC_OK;
    // An answer that is full asks for nothing of the partitions behind: no header is looked at, or fetched from the disk, to
    // find that no batch fits.
    if (read->bytes_max < BATCH_HEADER_BYTES && !read->at_least_one)
        return RC_OK;
    l->store->counters.reads++;
    struct plog_segment s = plog_segment_of(l, read->offset);
    for (;;) {
        rc = plog_read_segment(l, &s, &bounded, plog_wait_cached_only(wait), out, &cold);
        if (rc != RC_EOF)
            break;
        if (s.active) { // compaction may leave nothing at the end of a segment, never of the last one
            rc = RC_CORRUPT;
            break;
        }
        s = plog_segment_at(l, s.ordinal + 1);
        bounded.offset = s.base_offset;
        if (bounded.offset >= bounded.bound)
            return RC_OK;
    }
    if (rc == RC_AGAIN)
        return plog_wait_start(l, wait, &cold);
    if (wait)
        wait->attempts = 0;
    if (rc == RC_CORRUPT)
        trace_error(l->store->trace, "%s/%s: no valid batch where offset %lld should be", l->dir->path, l->folder,
                    (long long)read->offset);
    return rc;
}

// ------------------------------------------------------------------------------------------------ how much is there

// The position in s of the batch that holds offset, from memory alone: a hint, or the entries of the active segment's
// tail. Rounded down.
static uint64_t plog_position_guess(struct plog *l, const struct plog_segment *s, int64_t offset)
{
    uint32_t position;
    if (offset <= s->base_offset)
        return 0;
    if (offset >= s->next_base)
        return s->bytes;
    if (plog_hint_find(l, s, offset, &position))
        return position;
    // Between two known ends, by proportion: good enough to decide whether min_bytes are there.
    uint64_t offsets = (uint64_t)(s->next_base - s->base_offset);
    return (uint64_t)((double)s->bytes * ((double)(offset - s->base_offset) / (double)offsets));
}

bool plog_is_on_older_segment(const struct plog *l, int64_t offset, int64_t bound)
{
    return l->state == PLOG_OPEN && plog_segment_of(l, offset).next_base < bound;
}

uint64_t plog_bytes_between(struct plog *l, int64_t offset, int64_t bound)
{
    if (offset >= bound || l->state != PLOG_OPEN)
        return offset < bound && l->state == PLOG_AT_REST ? 1 : 0;
    struct plog_segment from = plog_segment_of(l, offset), to = plog_segment_of(l, bound - 1);
    uint64_t begin = plog_position_guess(l, &from, offset), end = plog_position_guess(l, &to, bound);
    uint64_t between = 0;
    for (uint32_t i = from.ordinal; i < to.ordinal; i++)
        between += plog_segment_at(l, i).bytes;
    uint64_t bytes = between + end;
    return bytes > begin ? bytes - begin : 1;
}
