// SPDX-License-Identifier: Apache-2.0
//
// Reading segments for compaction: large asynchronous reads, whole batches out of them; see compact_private.h.
#include "base/assert.h"
#include "store/compact_private.h"

enum rc compact_input_open(struct compact_input *in, struct plog *l, int64_t segment_base, uint32_t bytes, uint32_t at)
{
    ASSERT(!in->file);
    enum rc rc = plog_file(l, STORE_FILE_LOG, segment_base, 0, &in->file);
    if (rc) {
        in->file = NULL;
        return rc;
    }
    file_cache_pin(in->file);
    in->log = l;
    in->segment_base = in->offset_next = segment_base;
    in->offset_end = plog_segment_of(l, segment_base).next_base;
    in->end = bytes;
    in->at = at;
    in->buffer_at = at;
    in->bytes = 0;
    in->wanted = 0;
    return RC_OK;
}

void compact_input_close(struct compact_input *in)
{
    if (in->file)
        file_cache_unpin(in->file);
    in->file = NULL;
    in->bytes = 0;
}

static uint32_t input_left(const struct compact_input *in)
{
    return (uint32_t)(in->buffer_at + in->bytes - in->at);
}

enum rc compact_input_next(struct compact_input *in, struct batch_header *h, struct bytes *batch)
{
    if (in->at == in->end)
        return RC_EOF;
    if (in->end - in->at < BATCH_HEADER_BYTES)
        return RC_CORRUPT;
    uint32_t left = input_left(in);
    const uint8_t *p = in->buffer + (in->at - in->buffer_at);
    in->wanted = BATCH_HEADER_BYTES;
    if (left < BATCH_HEADER_BYTES)
        return RC_AGAIN;
    enum rc rc = batch_header_read(bytes_of(p, left), h);
    if (rc && rc != RC_TORN)
        return RC_CORRUPT;
    size_t n = batch_bytes(h);
    // No checksum covers the base offset.
    if (n > in->end - in->at || h->last_offset_delta < 0 || h->record_count < 0 || h->base_offset < in->offset_next ||
        batch_last_offset(h) >= in->offset_end)
        return RC_CORRUPT;
    in->wanted = (uint32_t)n;
    if (n > left)
        return RC_AGAIN;
    *batch = bytes_of(p, n);
    if (!batch_crc_ok(*batch))
        return RC_CORRUPT;
    in->at += (uint32_t)n;
    in->offset_next = batch_last_offset(h) + 1;
    return RC_OK;
}

// A buffer that holds what is wanted, the unread rest in front.
static enum rc input_make_room(struct compact_input *in)
{
    struct io *io = in->log->store->io;
    uint32_t left = input_left(in), cap = in->wanted > in->chunk ? in->wanted : in->chunk;
    const uint8_t *rest = in->buffer ? in->buffer + (in->at - in->buffer_at) : NULL;
    if (in->cap < in->wanted) {
        uint8_t *buffer = io_buffer_acquire(io, cap);
        if (!buffer)
            return RC_NOMEM;
        if (left)
            memcpy(buffer, rest, left);
        io_buffer_release(io, in->buffer, in->cap);
        in->buffer = buffer;
        in->cap = cap;
    } else if (left) {
        memmove(in->buffer, rest, left);
    }
    in->buffer_at = in->at;
    in->bytes = left;
    return RC_OK;
}

enum rc compact_input_read(struct compact_input *in, struct io_op *op)
{
    enum rc rc = input_make_room(in);
    if (rc)
        return rc;
    uint32_t n = in->cap - in->bytes, rest = in->end - in->at - in->bytes;
    ASSERT(n > 0 && rest > 0);
    io_file_read(op, &in->file->file, in->buffer + in->bytes, n < rest ? n : rest, in->buffer_at + in->bytes);
    return RC_AGAIN;
}

void compact_input_read_done(struct compact_input *in, size_t bytes)
{
    in->bytes += (uint32_t)bytes;
    if (bytes == 0) // shorter than it was: what is wanted is not there
        in->end = in->at + input_left(in);
}
