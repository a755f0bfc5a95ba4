// SPDX-License-Identifier: Apache-2.0
//
// Walking batch headers; see batch_scan.h.
#include "store/batch_scan.h"
#include "base/assert.h"

enum { BATCH_SCAN_CHUNK_MIN = 128 };

void batch_scan_init(struct batch_scan *s, struct io_file *file, uint32_t end, bool cached_only)
{
    s->file = file;
    s->end = end;
    s->cached_only = cached_only;
    s->reads = 0;
    s->buffer_at = 0;
    s->buffer_bytes = 0;
    s->chunk = BATCH_SCAN_CHUNK_MIN;
}

static enum rc batch_scan_fill(struct batch_scan *s, uint32_t position)
{
    // A second header wanted close behind the last read: batches are small here, read more at a time.
    bool near = s->buffer_bytes && position < s->buffer_at + 2 * (uint64_t)s->chunk;
    if (near && s->chunk < sizeof(s->buffer))
        s->chunk *= 2;
    uint32_t n = s->end - position < s->chunk ? s->end - position : s->chunk;
    size_t got;
    s->buffer_bytes = 0;
    s->reads++;
    enum rc rc = s->cached_only ? io_file_read_cached(s->file, s->buffer, n, position, &got)
                                : io_file_read_now(s->file, s->buffer, n, position, &got);
    if (rc)
        return rc;
    if (got < n)
        return RC_CORRUPT;
    s->buffer_at = position;
    s->buffer_bytes = n;
    return RC_OK;
}

enum rc batch_scan_at(struct batch_scan *s, uint32_t position, struct batch_header *out)
{
    if (position == s->end)
        return RC_EOF;
    if (position > s->end || s->end - position < BATCH_HEADER_BYTES)
        return RC_CORRUPT;
    if (position < s->buffer_at || position + (uint64_t)BATCH_HEADER_BYTES > s->buffer_at + s->buffer_bytes) {
        enum rc rc = batch_scan_fill(s, position);
        if (rc)
            return rc;
    }
    enum rc rc = batch_header_read(bytes_of(s->buffer + (position - s->buffer_at), BATCH_HEADER_BYTES), out);
    if (rc && rc != RC_TORN) // only the header is in the buffer
        return RC_CORRUPT;
    if (batch_bytes(out) > s->end - position || out->last_offset_delta < 0)
        return RC_CORRUPT;
    return RC_OK;
}
