// SPDX-License-Identifier: Apache-2.0
//
// See record_search.h.
#include "engine/record_search.h"

bool record_search_needs_workspace(const struct batch_header *h)
{
    return batch_codec(h) != CODEC_NONE;
}

enum rc record_search_start(struct record_search *s, struct bytes batch, void *workspace, size_t workspace_bytes)
{
    enum rc rc = batch_header_read(batch, &s->header);
    if (rc != RC_OK)
        return RC_CORRUPT;
    if (s->header.max_timestamp < s->timestamp_ms || batch_last_offset(&s->header) < s->from_offset)
        return RC_EOF;
    if (s->header.attributes & BATCH_ATTR_LOG_APPEND_TIME) { // one time for all of its records
        s->found_offset = s->header.base_offset > s->from_offset ? s->header.base_offset : s->from_offset;
        s->found_timestamp = s->header.max_timestamp;
        return RC_OK;
    }
    s->walk = (struct record_walk){0};
    s->piece = bytes_of(NULL, 0);
    struct bytes records = bytes_of(batch.p + BATCH_HEADER_BYTES, batch_bytes(&s->header) - BATCH_HEADER_BYTES);
    if (batch_codec(&s->header) >= CODEC_COUNT)
        return RC_UNSUPPORTED_COMPRESSION_TYPE;
    rc = codec_reader_start(&s->reader, (enum codec)batch_codec(&s->header), records, workspace, workspace_bytes);
    return rc == RC_OK ? RC_AGAIN : rc;
}

// Walks what is left of the piece. RC_AGAIN: it is used up.
static enum rc search_piece(struct record_search *s)
{
    enum rc rc;
    while ((rc = record_walk_next(&s->walk, &s->piece)) == RC_OK) {
        int64_t offset = s->header.base_offset + s->walk.offset_delta;
        int64_t timestamp = s->header.base_timestamp + s->walk.timestamp_delta;
        if (timestamp >= s->timestamp_ms && offset >= s->from_offset) {
            s->found_offset = offset;
            s->found_timestamp = timestamp;
            return RC_OK;
        }
    }
    return rc;
}

enum rc record_search_step(struct record_search *s, uint32_t work_us)
{
    size_t left = codec_reader_bytes_per_us(s->reader.codec) * work_us;
    while (left > 0) {
        enum rc rc = codec_reader_next(&s->reader, left, &s->piece);
        if (rc != RC_OK)
            return rc; // RC_EOF: nothing found to the end
        left -= s->piece.n < left ? s->piece.n : left;
        rc = search_piece(s);
        if (rc != RC_AGAIN)
            return rc;
    }
    return RC_AGAIN;
}
