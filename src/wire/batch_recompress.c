// SPDX-License-Identifier: Apache-2.0
//
// A batch with another codec; see batch_check.h. The records go from one stream to the other and stay what they are, so
// offsets, sequences and timestamps do not change: header and CRC do.
#include "base/assert.h"
#include "wire/batch_check.h"
#include "wire/crc32c.h"

enum { CRC_AT = 17, CRC_FROM = 21 };

enum rc batch_recompress_start(struct batch_recompress *j, struct bytes batch, enum codec codec, int level,
                               struct buf *out, void *workspace, size_t workspace_bytes)
{
    ASSERT(workspace_bytes >= 2 * (size_t)CODEC_WORKSPACE_BYTES);
    *j = (struct batch_recompress){.batch = batch, .codec = codec, .out = out, .out_at = out->n};
    enum rc rc = batch_header_read(batch, &j->header);
    ASSERT(rc == RC_OK && batch_bytes(&j->header) == batch.n); // it was checked before
    struct bytes records = bytes_of(batch.p + BATCH_HEADER_BYTES, batch.n - BATCH_HEADER_BYTES);
    if (batch_codec(&j->header) >= CODEC_COUNT)
        return RC_UNSUPPORTED_COMPRESSION_TYPE;
    rc = codec_reader_start(&j->reader, (enum codec)batch_codec(&j->header), records, workspace, CODEC_WORKSPACE_BYTES);
    if (rc == RC_OK)
        rc = codec_writer_start(&j->writer, codec, level, 0, (uint8_t *)workspace + CODEC_WORKSPACE_BYTES,
                                workspace_bytes - CODEC_WORKSPACE_BYTES);
    if (rc != RC_OK)
        return rc;
    return buf_extend(out, BATCH_HEADER_BYTES) ? RC_AGAIN : RC_NOMEM;
}

static enum rc recompress_finish(struct batch_recompress *j)
{
    enum rc rc = codec_writer_end(&j->writer, j->out);
    size_t n = j->out->n - j->out_at;
    if (rc != RC_OK || n > INT32_MAX)
        return RC_NOMEM;
    uint8_t *p = j->out->p + j->out_at;
    j->header.length = (int32_t)(n - BATCH_LOG_OVERHEAD_BYTES);
    j->header.attributes = (uint16_t)((j->header.attributes & ~(unsigned)BATCH_ATTR_CODEC) | (unsigned)j->codec);
    batch_header_write(&j->header, p);
    j->header.crc = crc32c(0, p + CRC_FROM, n - CRC_FROM);
    put_be32(p + CRC_AT, j->header.crc);
    return RC_OK;
}

enum rc batch_recompress_step(struct batch_recompress *j, uint32_t work_us)
{
    ASSERT(work_us > 0);
    // Writing costs more than reading; one rate for both, the slower of the two.
    size_t rate = codec_writer_bytes_per_us(j->codec), read_rate = codec_reader_bytes_per_us(j->reader.codec);
    rate = rate < read_rate ? rate : read_rate;
    size_t most = work_us * rate, left = most;
    enum rc rc = RC_AGAIN;
    while (left > 0 && rc == RC_AGAIN) {
        struct bytes piece;
        rc = codec_reader_next(&j->reader, left, &piece);
        if (rc == RC_OK) {
            left -= piece.n;
            rc = codec_writer_put(&j->writer, piece, j->out);
        }
        if (rc == RC_EOF)
            rc = recompress_finish(j);
        else if (rc == RC_OK)
            rc = RC_AGAIN;
    }
    j->used_us = (uint32_t)((most - left) / rate);
    j->used_us += j->used_us < work_us;
    return rc;
}
