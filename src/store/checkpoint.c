// SPDX-License-Identifier: Apache-2.0
//
// The checkpoint file of a log folder; see checkpoint.h.
#include "store/checkpoint.h"
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { CHECKPOINT_HASH_AT = 56, CHECKPOINT_READ_RECORDS = 1024 };

void checkpoint_encode(const struct checkpoint_record *r, uint8_t out[CHECKPOINT_RECORD_BYTES])
{
    out[0] = r->type;
    out[1] = CHECKPOINT_VERSION;
    put_be16(out + 2, r->flags);
    put_be32(out + 4, (uint32_t)r->id.partition);
    memcpy(out + 8, r->id.topic_id.b, 16);
    put_be64(out + 24, (uint64_t)r->offset);
    put_be64(out + 32, (uint64_t)r->segment_base);
    put_be32(out + 40, r->position);
    put_be32(out + 44, (uint32_t)r->leader_epoch);
    put_be64(out + 48, r->flags & CHECKPOINT_FLAG_TIMED ? (uint64_t)r->timestamp : r->boot);
    put_be64(out + CHECKPOINT_HASH_AT, XXH3_64bits(out, CHECKPOINT_HASH_AT));
}

enum rc checkpoint_decode(const uint8_t in[CHECKPOINT_RECORD_BYTES], struct checkpoint_record *r)
{
    if (be64(in + CHECKPOINT_HASH_AT) != XXH3_64bits(in, CHECKPOINT_HASH_AT) || in[1] != CHECKPOINT_VERSION)
        return RC_CORRUPT;
    if (in[0] < CHECKPOINT_BOOT || in[0] > CHECKPOINT_TYPE_LAST)
        return RC_CORRUPT;
    *r = (struct checkpoint_record){
        .type = in[0],
        .flags = be16(in + 2),
        .id.partition = (int32_t)be32(in + 4),
        .offset = (int64_t)be64(in + 24),
        .segment_base = (int64_t)be64(in + 32),
        .position = be32(in + 40),
        .leader_epoch = (int32_t)be32(in + 44),
    };
    if (r->flags & CHECKPOINT_FLAG_TIMED)
        r->timestamp = (int64_t)be64(in + 48);
    else
        r->boot = be64(in + 48);
    memcpy(r->id.topic_id.b, in + 8, 16);
    return RC_OK;
}

struct checkpoint_load {
    uint64_t at;        // of the record at hand
    uint64_t valid_end; // behind the last valid one
    uint64_t damaged;   // since the last valid one
    uint64_t skipped;   // damaged with valid ones behind them
};

static enum rc checkpoint_load_record(struct checkpoint_load *load, const uint8_t *raw,
                                      enum rc (*apply)(void *context, const struct checkpoint_record *r), void *context)
{
    struct checkpoint_record r;
    enum rc rc = RC_OK;
    if (checkpoint_decode(raw, &r) == RC_OK) {
        load->skipped += load->damaged;
        load->damaged = 0;
        load->valid_end = load->at + CHECKPOINT_RECORD_BYTES;
        rc = apply(context, &r);
    } else {
        load->damaged++;
    }
    load->at += CHECKPOINT_RECORD_BYTES;
    return rc;
}

static enum rc checkpoint_load_all(struct checkpoint *c, struct checkpoint_load *load,
                                   enum rc (*apply)(void *context, const struct checkpoint_record *r), void *context)
{
    size_t chunk = (size_t)CHECKPOINT_READ_RECORDS * CHECKPOINT_RECORD_BYTES, got = chunk;
    uint8_t *raw = malloc(chunk);
    if (!raw)
        return RC_NOMEM;
    enum rc rc = RC_OK;
    while (rc == RC_OK && got == chunk) {
        rc = io_file_read_now(&c->file, raw, chunk, load->at, &got);
        for (size_t i = 0; rc == RC_OK && i + CHECKPOINT_RECORD_BYTES <= got; i += CHECKPOINT_RECORD_BYTES)
            rc = checkpoint_load_record(load, raw + i, apply, context);
    }
    free(raw);
    return rc;
}

enum rc checkpoint_open(struct checkpoint *c, struct io *io, struct trace_sink *trace, const char *path,
                        enum rc (*apply)(void *context, const struct checkpoint_record *r), void *context)
{
    *c = (struct checkpoint){.trace = trace};
    snprintf(c->path, sizeof(c->path), "%s", path);
    enum rc rc = io_file_open(io, &c->file, path, IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE, IO_FILE_OTHER);
    if (rc)
        return rc;
    struct checkpoint_load load = {0};
    uint64_t size;
    rc = checkpoint_load_all(c, &load, apply, context);
    if (rc == RC_OK)
        rc = io_file_size(&c->file, &size);
    if (rc == RC_OK && size > load.valid_end) {
        trace_info(trace, "%s: cut a torn tail of %llu bytes", path, (unsigned long long)(size - load.valid_end));
        rc = io_file_truncate(&c->file, load.valid_end);
    }
    if (rc) {
        io_file_close(&c->file);
        return rc;
    }
    if (load.skipped)
        trace_warn(trace, "%s: %llu damaged records skipped; logs they told of are scanned from older points", path,
                   (unsigned long long)load.skipped);
    c->bytes = load.valid_end;
    return RC_OK;
}

void checkpoint_close(struct checkpoint *c)
{
    if (io_file_is_open(&c->next))
        io_file_close(&c->next);
    if (io_file_is_open(&c->file))
        io_file_close(&c->file);
}

static enum rc checkpoint_write(struct checkpoint *c, const uint8_t *records, size_t bytes)
{
    enum rc rc = io_file_write_now(&c->file, records, bytes, c->bytes);
    if (rc)
        return rc;
    c->bytes += bytes;
    if (io_file_is_open(&c->next)) {
        rc = io_file_write_now(&c->next, records, bytes, c->next_bytes);
        if (rc)
            return rc;
        c->next_bytes += bytes;
    }
    return RC_OK;
}

static enum rc checkpoint_write_gathered(struct checkpoint *c)
{
    enum rc rc = c->gathered_bytes ? checkpoint_write(c, c->gathered, c->gathered_bytes) : RC_OK;
    if (rc == RC_OK)
        c->gathered_bytes = 0;
    return rc;
}

enum rc checkpoint_append(struct checkpoint *c, const struct checkpoint_record *r)
{
    uint8_t raw[CHECKPOINT_RECORD_BYTES];
    const bool spares_work = (r->type == CHECKPOINT_RECOVERY_POINT && !(r->flags & CHECKPOINT_FLAG_RESET)) ||
                             r->type == CHECKPOINT_HIGH_WATERMARK;
    const bool gather = c->gathers && spares_work;
    if (!gather || c->gathered_bytes == sizeof(c->gathered)) {
        enum rc rc = checkpoint_write_gathered(c);
        if (rc)
            return rc;
    }
    if (gather) {
        checkpoint_encode(r, c->gathered + c->gathered_bytes);
        c->gathered_bytes += CHECKPOINT_RECORD_BYTES;
        return RC_OK;
    }
    checkpoint_encode(r, raw);
    return checkpoint_write(c, raw, sizeof(raw));
}

void checkpoint_gather_begin(struct checkpoint *c)
{
    c->gathers = true;
}

enum rc checkpoint_gather_end(struct checkpoint *c)
{
    c->gathers = false;
    return checkpoint_write_gathered(c);
}

static void checkpoint_next_path(const struct checkpoint *c, char out[IO_PATH_BYTES_MAX])
{
    snprintf(out, IO_PATH_BYTES_MAX, "%.*s.next", IO_PATH_BYTES_MAX - 6, c->path);
}

enum rc checkpoint_replace_begin(struct checkpoint *c, struct io *io, struct bytes image)
{
    ASSERT(!io_file_is_open(&c->next) && image.n % CHECKPOINT_RECORD_BYTES == 0);
    char path[IO_PATH_BYTES_MAX];
    checkpoint_next_path(c, path);
    enum rc rc = io_file_open(io, &c->next, path, IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_TRUNCATE,
                              IO_FILE_OTHER);
    if (rc)
        return rc;
    rc = image.n ? io_file_write_now(&c->next, image.p, image.n, 0) : RC_OK;
    c->next_bytes = image.n;
    if (rc)
        io_file_close(&c->next);
    return rc;
}

enum rc checkpoint_replace_finish(struct checkpoint *c, struct io *io)
{
    ASSERT(io_file_is_open(&c->next));
    char path[IO_PATH_BYTES_MAX];
    checkpoint_next_path(c, path);
    enum rc rc = io_rename(io, path, c->path);
    if (rc) {
        io_file_close(&c->next);
        return rc;
    }
    io_file_close(&c->file);
    c->file = c->next;
    c->bytes = c->next_bytes;
    c->next = (struct io_file){0};
    return RC_OK;
}
