// SPDX-License-Identifier: Apache-2.0
//
// The active segment of a partition log: making it, noting what is written to it, and sealing it for the next one.
#include "base/assert.h"
#include "store/log_private.h"

#include <stdio.h>

// partition.metadata, in Kafka's form. A folder whose file cannot be read may be taken for another topic's.
static enum rc plog_write_metadata(struct plog *l, bool durable)
{
    char path[IO_PATH_BYTES_MAX], id[UUID_TEXT_CHARS + 1], text[64];
    uuid_format(l->id.topic_id, id);
    int n = snprintf(text, sizeof(text), "version: 0\ntopic_id: %s\n", id);
    const struct bytes content = bytes_of(text, (size_t)n);
    enum rc rc = plog_path(l, path, "partition.metadata");
    if (rc)
        return rc;
    return durable ? log_dir_write_file(l->store->io, path, content, true)
                   : log_dir_write_fresh(l->store->io, path, content, false);
}

static enum rc plog_make_folder(struct plog *l)
{
    char path[IO_PATH_BYTES_MAX];
    enum rc rc = plog_path(l, path, "");
    if (rc == RC_OK)
        rc = io_make_dir(l->store->io, path);
    return rc && rc != RC_EXISTS ? rc : plog_write_metadata(l, false);
}

enum rc plog_renew_metadata(struct plog *l)
{
    enum rc rc = plog_write_metadata(l, true);
    if (rc && rc != RC_NO_SPACE && rc != RC_NO_FILES)
        plog_fail_dir(l, rc, "writing partition.metadata of");
    return rc;
}

enum rc plog_make_active(struct plog *l, struct store_file **file)
{
    if (l->active.made)
        return plog_file(l, STORE_FILE_LOG, l->active.base_offset, 0, file);
    if (l->state == PLOG_UNMADE) {
        enum rc rc = plog_make_folder(l);
        if (rc)
            return rc;
        l->names_dirty = true;
    }
    // A power cut may have taken the .log file of a segment that began here and left what stood beside it. The other
    // indexes are emptied by their first write, see plog_index_flags().
    enum rc rc = plog_file(l, STORE_FILE_TXN_INDEX, l->active.base_offset, IO_OPEN_TRUNCATE, file);
    if (rc == RC_OK || rc == RC_NOT_FOUND)
        rc = plog_file(l, STORE_FILE_LOG, l->active.base_offset, IO_OPEN_CREATE | IO_OPEN_TRUNCATE, file);
    if (rc)
        return rc;
    l->state = PLOG_OPEN;
    l->active.made = true;
    l->active.made_ms = io_wall_ms(l->store->io);
    l->names_dirty = true;
    return RC_OK;
}

// The age that segment.ms looks at: by the first batch's timestamp against the one that comes, as Kafka does (KIP-32),
// or by the clock where the first batch has none.
static int64_t plog_active_age_ms(const struct plog *l, int64_t timestamp)
{
    if (l->active.timestamp_first != TIMESTAMP_NONE && timestamp != TIMESTAMP_NONE)
        return timestamp - l->active.timestamp_first;
    return io_wall_ms(l->store->io) - l->active.made_ms;
}

bool plog_wants_roll(const struct plog *l, uint32_t pending_bytes, unsigned pending_entries,
                     const struct plog_append *op)
{
    const struct segment_active *a = &l->active;
    uint64_t bytes = (uint64_t)a->bytes + pending_bytes;
    if (bytes == 0)
        return false;
    if (bytes + op->bytes > l->config->segment_bytes || op->last_offset - a->base_offset > INT32_MAX)
        return true;
    uint32_t pending = pending_entries + 1;
    if (a->index.file_bytes + a->index.bytes + pending * INDEX_ENTRY_BYTES > l->config->segment_index_bytes ||
        a->time_index.file_bytes + a->time_index.bytes + (pending + 1) * TIME_INDEX_ENTRY_BYTES >
            l->config->segment_index_bytes)
        return a->index.bytes + a->index.file_bytes > 0; // an index too small for one entry must not roll for ever
    return pending_bytes == 0 && plog_active_age_ms(l, op->timestamp_max) > l->config->segment_ms - a->jitter_ms;
}

// ------------------------------------------------------------------------------------------------ indexes

// How an index file is opened for writing. What a file holds before the first entry of its segment is of a segment that
// is gone: left there, it would be read as entries once the segment is sealed, when the file's size tells how many.
static unsigned plog_index_flags(const struct index_tail *t)
{
    return IO_OPEN_CREATE | (t->file_bytes == 0 ? IO_OPEN_TRUNCATE : 0);
}

static enum store_file_kind plog_index_kind(const struct segment_active *a)
{
    return a->beside ? STORE_FILE_INDEX_BESIDE : STORE_FILE_INDEX;
}

static enum store_file_kind plog_time_index_kind(const struct segment_active *a)
{
    return a->beside ? STORE_FILE_TIME_INDEX_BESIDE : STORE_FILE_TIME_INDEX;
}

static enum rc plog_tail_write(struct plog *l, int64_t base, struct index_tail *t, enum store_file_kind kind)
{
    struct store_file *file;
    if (t->bytes == 0)
        return RC_OK;
    if (t->file_bytes == 0)
        l->names_dirty = true;
    enum rc rc = plog_file(l, kind, base, plog_index_flags(t), &file);
    return rc ? rc : index_tail_write(t, &file->file);
}

// Kafka's tools open the offset index whichever of the two they read, and fail where it is missing: a time index never lies
// alone, though a segment of one index interval has nothing to put beside it.
static enum rc plog_index_beside_time(struct plog *l, struct segment_active *a)
{
    struct store_file *file;
    if (a->index.file_bytes > 0 || a->time_index.file_bytes > 0 || a->time_index.bytes == 0)
        return RC_OK;
    l->names_dirty = true;
    return plog_file(l, plog_index_kind(a), a->base_offset, plog_index_flags(&a->index), &file);
}

enum rc plog_tails_write(struct plog *l, struct segment_active *a)
{
    const uint32_t last = a->index.bytes ? be32(a->index.p + a->index.bytes - 4) : a->index_written;
    enum rc rc = plog_tail_write(l, a->base_offset, &a->index, plog_index_kind(a));
    if (rc)
        return rc;
    a->index_written = last;
    rc = plog_index_beside_time(l, a);
    return rc ? rc : plog_tail_write(l, a->base_offset, &a->time_index, plog_time_index_kind(a));
}

static enum rc plog_put_index(struct plog *l, struct segment_active *a, struct index_entry e)
{
    enum rc rc = index_put(&a->index, e);
    if (rc != RC_FULL)
        return rc;
    rc = plog_tails_write(l, a);
    return rc ? rc : index_put(&a->index, e);
}

enum rc plog_put_time_index(struct plog *l, struct segment_active *a)
{
    struct time_index_entry e = {a->timestamp_max, (uint32_t)(a->timestamp_max_offset - a->base_offset)};
    if (a->timestamp_max_offset == OFFSET_NONE || a->timestamp_max <= a->time_index.last_key)
        return RC_OK;
    enum rc rc = time_index_put(&a->time_index, e);
    if (rc != RC_FULL)
        return rc;
    rc = plog_tails_write(l, a);
    return rc ? rc : time_index_put(&a->time_index, e);
}

enum rc plog_note_batch(struct plog *l, struct segment_active *a, uint32_t bytes, int64_t last_offset,
                        int64_t timestamp_max)
{
    enum rc rc = RC_OK;
    uint32_t position = a->bytes;
    if (timestamp_max > a->timestamp_max) {
        a->timestamp_max = timestamp_max;
        a->timestamp_max_offset = last_offset;
    }
    if (position == 0)
        a->timestamp_first = timestamp_max;
    if (a->bytes_since_index > l->config->index_interval_bytes) {
        rc = plog_put_index(l, a, (struct index_entry){(uint32_t)(last_offset - a->base_offset), position});
        if (rc == RC_OK)
            rc = plog_put_time_index(l, a);
        a->bytes_since_index = 0;
    }
    a->bytes += bytes;
    a->bytes_since_index += bytes;
    return rc;
}

// Kafka expects both index files beside each segment, empty ones too.
enum rc plog_seal_indexes(struct plog *l, struct segment_active *a)
{
    struct store_file *file;
    enum rc rc = plog_put_time_index(l, a);
    if (rc == RC_OK)
        rc = plog_tails_write(l, a);
    if (rc == RC_OK)
        rc = plog_file(l, plog_index_kind(a), a->base_offset, plog_index_flags(&a->index), &file);
    if (rc == RC_OK)
        rc = plog_file(l, plog_time_index_kind(a), a->base_offset, plog_index_flags(&a->time_index), &file);
    return rc;
}

static enum rc plog_place_index(struct plog *l, int64_t base, enum store_file_kind from, enum store_file_kind to)
{
    char name[SEGMENT_NAME_BYTES], from_path[IO_PATH_BYTES_MAX], to_path[IO_PATH_BYTES_MAX];
    struct store_file *file;
    enum rc rc = plog_file(l, from, base, 0, &file);
    if (rc)
        return rc;
    rc = io_file_sync_now(&file->file);
    file_cache_drop(file);
    if (rc) {
        plog_fail_dir(l, rc, "syncing an index in");
        return rc;
    }
    segment_name(name, base, plog_file_suffix(from));
    rc = plog_path(l, from_path, name);
    segment_name(name, base, plog_file_suffix(to));
    if (rc == RC_OK)
        rc = plog_path(l, to_path, name);
    if (rc == RC_OK)
        rc = io_rename(l->store->io, from_path, to_path);
    file = file_cache_find(&l->open_files, to, base, io_now_ns(l->store->io));
    if (file) // the one that was there
        file_cache_drop(file);
    l->names_dirty = true;
    return rc;
}

enum rc plog_place_indexes(struct plog *l, struct segment_active *a)
{
    ASSERT(a->beside && a->index.bytes == 0 && a->time_index.bytes == 0);
    enum rc rc = plog_place_index(l, a->base_offset, STORE_FILE_INDEX_BESIDE, STORE_FILE_INDEX);
    if (rc == RC_OK)
        rc = plog_place_index(l, a->base_offset, STORE_FILE_TIME_INDEX_BESIDE, STORE_FILE_TIME_INDEX);
    a->beside = rc != RC_OK;
    return rc;
}

// ------------------------------------------------------------------------------------------------ sealing

enum rc plog_roll(struct plog *l)
{
    struct segment_active *a = &l->active;
    struct store_file *file;
    ASSERT(a->made && a->bytes > 0);
    enum rc rc = plog_seal_indexes(l, a);
    if (rc == RC_OK)
        rc = plog_file(l, STORE_FILE_LOG, a->base_offset, 0, &file);
    if (rc == RC_OK)
        rc = io_file_truncate(&file->file, a->bytes); // gives back what was allocated ahead
    if (rc)
        return rc;
    const struct segment sealed = {
        .base_offset = a->base_offset,
        .timestamp_max = a->timestamp_max,
        .sealed_ms = io_wall_ms(l->store->io),
        .bytes = a->bytes,
    };
    rc = plog_sealed_push(l, &sealed);
    if (rc)
        return rc;
    plog_active_init(l, l->written);
    // For truncation: where a segment begins, so does what is known of the producers. One that cannot be written costs
    // a look at the batches below it then, nothing now.
    (void)plog_write_snapshot(l);
    l->store->counters.rolls++;
    l->names_dirty = true;
    store_want_checkpoint(l->store, l);
    return RC_OK;
}
