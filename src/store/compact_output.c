// SPDX-License-Identifier: Apache-2.0
//
// Writing the files of a compacted segment beside the old ones; see compact.h for their names.
#include "base/assert.h"
#include "store/compact_private.h"

#include <stdio.h>

enum { TXN_COPY_BYTES = 34 * 120 };

enum rc compact_path(const struct plog *l, char out[IO_PATH_BYTES_MAX], int64_t base_offset, const char *suffix)
{
    char name[SEGMENT_NAME_BYTES + 24], digits[SEGMENT_NAME_BYTES];
    segment_name(digits, base_offset, "");
    snprintf(name, sizeof(name), "%s%s", digits, suffix);
    return plog_path(l, out, name);
}

enum rc compact_rename(struct plog *l, int64_t base_offset, const char *from_suffix, const char *to_suffix)
{
    char from[IO_PATH_BYTES_MAX], to[IO_PATH_BYTES_MAX];
    enum rc rc = compact_path(l, from, base_offset, from_suffix);
    if (rc == RC_OK)
        rc = compact_path(l, to, base_offset, to_suffix);
    if (rc == RC_OK)
        rc = io_rename(l->store->io, from, to);
    if (rc && rc != RC_NOT_FOUND)
        plog_fail_dir(l, rc, "renaming a compacted segment of");
    return rc;
}

enum rc compact_put_aside(struct plog *l, int64_t base_offset, const char *suffix, int64_t delay_ms)
{
    char path[IO_PATH_BYTES_MAX], gone[IO_PATH_BYTES_MAX], deleted[40];
    snprintf(deleted, sizeof(deleted), "%s.deleted", suffix);
    enum rc rc = compact_path(l, path, base_offset, suffix);
    if (rc == RC_OK)
        rc = compact_path(l, gone, base_offset, deleted);
    if (rc == RC_OK)
        rc = io_rename(l->store->io, path, gone);
    if (rc == RC_NOT_FOUND)
        return RC_OK;
    if (rc)
        plog_fail_dir(l, rc, "renaming a compacted file of");
    else
        (void)store_trash_put(l->store, l->dir, gone, false, delay_ms);
    return rc;
}

static enum rc output_create(struct compact_output *o, struct io_file *f, const char *suffix, enum io_file_kind kind)
{
    char path[IO_PATH_BYTES_MAX];
    enum rc rc = compact_path(o->log, path, o->base_offset, suffix);
    if (rc)
        return rc;
    return io_file_open(o->log->store->io, f, path,
                        IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_TRUNCATE, kind);
}

enum rc compact_output_open(struct compact_output *o, struct plog *l, int64_t base_offset)
{
    uint32_t flush_bytes = o->flush_bytes;
    ASSERT(!o->open);
    *o = (struct compact_output){
        .log = l,
        .open = true,
        .base_offset = base_offset,
        .flush_bytes = flush_bytes,
        .timestamp_max = TIMESTAMP_NONE,
        .timestamp_max_offset = OFFSET_NONE,
        .last_offset = OFFSET_NONE,
    };
    buf_init(&o->pending, INT32_MAX);
    o->index.last_key = o->time_index.last_key = -1;
    enum rc rc = output_create(o, &o->log_file, ".log.cleaned", IO_FILE_LOG);
    if (rc == RC_OK)
        rc = output_create(o, &o->index_file, ".index.swap", IO_FILE_OTHER);
    if (rc == RC_OK)
        rc = output_create(o, &o->time_index_file, ".timeindex.swap", IO_FILE_OTHER);
    return rc;
}

// ------------------------------------------------------------------------------------------------ indexes

static enum rc output_put_time(struct compact_output *o)
{
    struct time_index_entry e = {o->timestamp_max, (uint32_t)(o->timestamp_max_offset - o->base_offset)};
    if (o->timestamp_max_offset == OFFSET_NONE || o->timestamp_max <= o->time_index.last_key)
        return RC_OK;
    enum rc rc = time_index_put(&o->time_index, e);
    if (rc != RC_FULL)
        return rc;
    rc = index_tail_write(&o->time_index, &o->time_index_file);
    return rc ? rc : time_index_put(&o->time_index, e);
}

static enum rc output_put_index(struct compact_output *o, int64_t last_offset, uint32_t position)
{
    struct index_entry e = {(uint32_t)(last_offset - o->base_offset), position};
    enum rc rc = index_put(&o->index, e);
    if (rc == RC_FULL) {
        rc = index_tail_write(&o->index, &o->index_file);
        rc = rc ? rc : index_put(&o->index, e);
    }
    return rc ? rc : output_put_time(o);
}

enum rc compact_output_note(struct compact_output *o, size_t at)
{
    struct batch_header h;
    uint64_t position = (uint64_t)o->written + at;
    if (o->pending.failed)
        return RC_NOMEM;
    enum rc rc = batch_header_read(bytes_of(o->pending.p + at, o->pending.n - at), &h);
    ASSERT(rc == RC_OK && batch_bytes(&h) == o->pending.n - at && h.base_offset > o->last_offset);
    if (position + batch_bytes(&h) > INT32_MAX) // compressed anew it has grown past what an index can say
        return RC_FULL;
    if (h.max_timestamp > o->timestamp_max) {
        o->timestamp_max = h.max_timestamp;
        o->timestamp_max_offset = batch_last_offset(&h);
    }
    if (o->bytes_since_index > o->log->config->index_interval_bytes) {
        rc = output_put_index(o, batch_last_offset(&h), (uint32_t)position);
        o->bytes_since_index = 0;
    }
    o->bytes_since_index += (uint32_t)batch_bytes(&h);
    o->last_offset = batch_last_offset(&h);
    return rc;
}

// ------------------------------------------------------------------------------------------------ writing

enum rc compact_output_flush(struct compact_output *o, struct io_op *op)
{
    o->vec = (struct iovec){.iov_base = o->pending.p, .iov_len = o->pending.n};
    enum rc rc = o->pending.n ? io_file_write(op, &o->log_file, &o->vec, 1, o->written) : RC_OK;
    if (rc == RC_OK)
        compact_output_flushed(o);
    return rc;
}

void compact_output_flushed(struct compact_output *o)
{
    o->written += (uint32_t)o->pending.n;
    o->pending.n = 0;
}

// Aborted transactions of one old segment, as they stand there.
static enum rc output_copy_txns(struct compact_output *o, int64_t segment_base, struct io_file *to, uint64_t *end)
{
    struct store_file *from;
    uint8_t raw[TXN_COPY_BYTES];
    size_t got = sizeof(raw);
    enum rc rc = plog_file(o->log, STORE_FILE_TXN_INDEX, segment_base, 0, &from);
    if (rc) {
        o->read_failed = rc != RC_NOT_FOUND;
        return o->read_failed ? rc : RC_OK;
    }
    if (!o->has_txn_index)
        rc = output_create(o, to, ".txnindex.swap", IO_FILE_OTHER);
    o->has_txn_index = true;
    for (uint64_t at = 0; rc == RC_OK && got == sizeof(raw); at += got) {
        rc = io_file_read_now(&from->file, raw, sizeof(raw), at, &got);
        o->read_failed = rc != RC_OK;
        size_t whole = got - got % 34;
        if (rc == RC_OK && whole)
            rc = io_file_write_now(to, raw, whole, *end);
        *end += whole;
    }
    return rc;
}

enum rc compact_output_finish(struct compact_output *o, uint32_t first, uint32_t count)
{
    struct io_file txns = {0};
    uint64_t txns_end = 0;
    ASSERT(o->pending.n == 0);
    enum rc rc = io_file_truncate(&o->log_file, o->written); // gives back what was allocated ahead
    if (rc == RC_OK)
        rc = output_put_time(o);
    if (rc == RC_OK)
        rc = index_tail_write(&o->index, &o->index_file);
    if (rc == RC_OK)
        rc = index_tail_write(&o->time_index, &o->time_index_file);
    for (uint32_t i = first; rc == RC_OK && i < first + count; i++)
        rc = output_copy_txns(o, plog_segment_at(o->log, i).base_offset, &txns, &txns_end);
    if (io_file_is_open(&txns))
        io_file_close(&txns);
    return rc;
}

void compact_output_close(struct compact_output *o, bool discard)
{
    static const char *const suffixes[] = {".log.cleaned", ".index.swap", ".timeindex.swap", ".txnindex.swap"};
    struct io_file *const files[] = {&o->log_file, &o->index_file, &o->time_index_file};
    if (!o->open)
        return;
    for (unsigned i = 0; i < ARRAY_COUNT(files); i++)
        if (io_file_is_open(files[i]))
            io_file_close(files[i]);
    buf_deinit(&o->pending);
    index_tail_deinit(&o->index);
    index_tail_deinit(&o->time_index);
    for (unsigned i = 0; discard && i < ARRAY_COUNT(suffixes) && !log_dir_is_offline(o->log->dir); i++)
        (void)compact_put_aside(o->log, o->base_offset, suffixes[i], 0);
    o->open = false;
}
