// SPDX-License-Identifier: Apache-2.0
//
// Header, records and building of batches; see batch.h.
#include "wire/batch.h"

#include "base/assert.h"
#include "wire/crc32c.h"
#include "wire/record.h"

#include <stdlib.h>

enum { CRC_AT = 17, CRC_FROM = 21, ATTRIBUTES_AT = 21, MAX_TIMESTAMP_AT = 35 };

enum rc batch_header_read(struct bytes b, struct batch_header *out)
{
    if (b.n < BATCH_HEADER_BYTES)
        return RC_TORN;
    struct dec d = dec_of(b);
    out->base_offset = dec_i64(&d);
    out->length = dec_i32(&d);
    out->leader_epoch = dec_i32(&d);
    out->magic = dec_i8(&d);
    out->crc = (uint32_t)dec_i32(&d);
    out->attributes = dec_u16(&d);
    out->last_offset_delta = dec_i32(&d);
    out->base_timestamp = dec_i64(&d);
    out->max_timestamp = dec_i64(&d);
    out->producer_id = dec_i64(&d);
    out->producer_epoch = dec_i16(&d);
    out->base_sequence = dec_i32(&d);
    out->record_count = dec_i32(&d);
    ASSERT(!d.bad);
    if (out->magic != BATCH_MAGIC || out->length < BATCH_HEADER_BYTES - BATCH_LOG_OVERHEAD_BYTES)
        return RC_CORRUPT;
    return batch_bytes(out) > b.n ? RC_TORN : RC_OK;
}

void batch_header_write(const struct batch_header *h, uint8_t p[BATCH_HEADER_BYTES])
{
    put_be64(p, (uint64_t)h->base_offset);
    put_be32(p + 8, (uint32_t)h->length);
    put_be32(p + 12, (uint32_t)h->leader_epoch);
    p[16] = (uint8_t)h->magic;
    put_be32(p + CRC_AT, h->crc);
    put_be16(p + ATTRIBUTES_AT, h->attributes);
    put_be32(p + 23, (uint32_t)h->last_offset_delta);
    put_be64(p + 27, (uint64_t)h->base_timestamp);
    put_be64(p + MAX_TIMESTAMP_AT, (uint64_t)h->max_timestamp);
    put_be64(p + 43, (uint64_t)h->producer_id);
    put_be16(p + 51, (uint16_t)h->producer_epoch);
    put_be32(p + 53, (uint32_t)h->base_sequence);
    put_be32(p + 57, (uint32_t)h->record_count);
}

int32_t batch_last_sequence(const struct batch_header *h)
{
    // Sequences are 31 bits and wrap to 0, never to a negative number (KIP-98).
    return (int32_t)(((uint32_t)h->base_sequence + (uint32_t)h->last_offset_delta) & INT32_MAX);
}

static uint32_t batch_crc(const uint8_t *batch, size_t n)
{
    return crc32c(0, batch + CRC_FROM, n - CRC_FROM);
}

bool batch_crc_ok(struct bytes b)
{
    return b.n >= BATCH_HEADER_BYTES && be32(b.p + CRC_AT) == batch_crc(b.p, b.n);
}

void batch_set_timestamps(uint8_t *batch, size_t n, bool log_append_time, int64_t max_timestamp)
{
    ASSERT(n >= BATCH_HEADER_BYTES);
    uint16_t before = be16(batch + ATTRIBUTES_AT);
    uint16_t bit = log_append_time ? BATCH_ATTR_LOG_APPEND_TIME : 0;
    uint16_t after = (uint16_t)((before & ~BATCH_ATTR_LOG_APPEND_TIME) | bit);
    if (after == before && (int64_t)be64(batch + MAX_TIMESTAMP_AT) == max_timestamp)
        return;
    put_be16(batch + ATTRIBUTES_AT, after);
    put_be64(batch + MAX_TIMESTAMP_AT, (uint64_t)max_timestamp);
    put_be32(batch + CRC_AT, batch_crc(batch, n));
}

void batch_iter_init(struct batch_iter *it, const struct batch_header *h, struct bytes records)
{
    *it = (struct batch_iter){.header = *h, .records = records};
}

bool batch_iter_next(struct batch_iter *it, struct record *out)
{
    if (it->rc != RC_OK)
        return false;
    if (it->read >= it->header.record_count) {
        it->rc = it->records.n > 0 ? RC_MALFORMED : RC_OK;
        return false;
    }
    struct record_fields f;
    if (!record_fields_read(&it->records, &f)) {
        it->rc = RC_MALFORMED;
        return false;
    }
    bool append_time = it->header.attributes & BATCH_ATTR_LOG_APPEND_TIME;
    uint64_t offset = (uint64_t)it->header.base_offset + (uint64_t)(int64_t)f.offset_delta;
    uint64_t timestamp = (uint64_t)it->header.base_timestamp + (uint64_t)f.timestamp_delta;
    *out = (struct record){.offset = (int64_t)offset,
                           .timestamp = append_time ? it->header.max_timestamp : (int64_t)timestamp,
                           .key = f.key,
                           .value = f.value,
                           .headers = f.headers,
                           .header_count = (uint32_t)f.header_count};
    it->read++;
    return true;
}

bool record_header_next(struct bytes *headers, struct bytes *key, struct bytes *value)
{
    struct dec d = dec_of(*headers);
    *key = record_bytes_read(&d);
    *value = record_bytes_read(&d);
    if (d.bad || headers->n == 0 || !key->p)
        return false;
    *headers = bytes_of(d.p, dec_left(&d));
    return true;
}

enum rc batch_inflate(struct bytes batch, struct buf *scratch, struct bytes *records, void *workspace,
                      size_t workspace_bytes)
{
    struct batch_header h;
    enum rc rc = batch_header_read(batch, &h);
    if (rc != RC_OK)
        return RC_MALFORMED;
    struct bytes in = bytes_of(batch.p + BATCH_HEADER_BYTES, batch_bytes(&h) - BATCH_HEADER_BYTES);
    if (batch_codec(&h) == CODEC_NONE) {
        *records = in;
        return RC_OK;
    }
    if (batch_codec(&h) >= CODEC_COUNT)
        return RC_UNSUPPORTED_COMPRESSION_TYPE;
    scratch->n = 0;
    rc = codec_decompress((enum codec)batch_codec(&h), in, scratch->size_max, scratch, workspace, workspace_bytes);
    *records = buf_bytes(scratch);
    return rc;
}

struct batch_options batch_options_default(void)
{
    return (struct batch_options){.codec = CODEC_NONE,
                                  .level = CODEC_LEVEL_DEFAULT,
                                  .leader_epoch = -1,
                                  .producer_id = -1,
                                  .producer_epoch = -1,
                                  .base_sequence = -1};
}

void batch_builder_init(struct batch_builder *b, const struct batch_options *o, size_t bytes_max)
{
    ASSERT(bytes_max > BATCH_HEADER_BYTES && bytes_max <= INT32_MAX);
    *b = (struct batch_builder){.options = *o, .bytes_max = bytes_max};
    buf_init(&b->records, bytes_max - BATCH_HEADER_BYTES);
}

void batch_builder_deinit(struct batch_builder *b)
{
    buf_deinit(&b->records);
    free(b->workspace);
    b->workspace = NULL;
}

static size_t varint_bytes(int64_t v)
{
    return varint_size(zigzag_encode(v));
}

static size_t span_bytes(struct bytes s)
{
    return varint_bytes(s.p ? (int64_t)s.n : -1) + s.n;
}

static void put_span(struct enc *e, struct bytes s)
{
    enc_varint(e, s.p ? (int32_t)s.n : -1);
    enc_raw(e, s.p, s.n);
}

enum rc batch_builder_add(struct batch_builder *b, int64_t timestamp, struct bytes key, struct bytes value,
                          const struct record_header *headers, uint32_t header_count)
{
    bool first = b->record_count == 0;
    int64_t delta = first ? 0 : timestamp - b->base_timestamp;
    size_t body = 1 + varint_bytes(delta) + varint_bytes(b->record_count) + span_bytes(key) + span_bytes(value) +
                  varint_bytes(header_count);
    for (uint32_t i = 0; i < header_count; i++)
        body += span_bytes(headers[i].key) + span_bytes(headers[i].value);
    size_t room = b->records.size_max - b->records.n;
    if (body > INT32_MAX || varint_bytes((int64_t)body) + body > room)
        return RC_FULL;
    struct enc e;
    size_t before = b->records.n;
    enc_init(&e, &b->records, NULL, 0);
    enc_varint(&e, (int32_t)body);
    enc_i8(&e, 0);
    enc_varlong(&e, delta);
    enc_varint(&e, b->record_count);
    put_span(&e, key);
    put_span(&e, value);
    enc_varint(&e, (int32_t)header_count);
    for (uint32_t i = 0; i < header_count; i++) {
        put_span(&e, headers[i].key);
        put_span(&e, headers[i].value);
    }
    if (!enc_ok(&e)) {
        b->records.n = before;
        b->records.failed = false;
        return RC_NOMEM;
    }
    ASSERT(b->records.n - before == varint_bytes((int64_t)body) + body);
    if (first)
        b->base_timestamp = timestamp;
    b->max_timestamp = first || timestamp > b->max_timestamp ? timestamp : b->max_timestamp;
    b->record_count++;
    return RC_OK;
}

static struct batch_header builder_header(const struct batch_builder *b)
{
    const struct batch_options *o = &b->options;
    return (struct batch_header){.base_offset = o->base_offset,
                                 .leader_epoch = o->leader_epoch,
                                 .magic = BATCH_MAGIC,
                                 .attributes = (uint16_t)(o->attributes | o->codec),
                                 .last_offset_delta = b->record_count - 1,
                                 .base_timestamp = b->base_timestamp,
                                 .max_timestamp = b->max_timestamp,
                                 .producer_id = o->producer_id,
                                 .producer_epoch = o->producer_epoch,
                                 .base_sequence = o->base_sequence,
                                 .record_count = b->record_count};
}

enum rc batch_builder_finish(struct batch_builder *b, struct buf *out)
{
    ASSERT(b->record_count > 0 && (b->options.attributes & BATCH_ATTR_CODEC) == 0);
    size_t at = out->n;
    struct batch_header h = builder_header(b);
    if (b->options.codec != CODEC_NONE && !b->workspace)
        b->workspace = aligned_alloc(16, CODEC_WORKSPACE_BYTES);
    if (!buf_extend(out, BATCH_HEADER_BYTES))
        return RC_NOMEM;
    enum rc rc = codec_compress(b->options.codec, b->options.level, buf_bytes(&b->records), out, b->workspace,
                                CODEC_WORKSPACE_BYTES);
    if (rc != RC_OK || out->n - at > INT32_MAX) {
        out->n = at;
        return RC_NOMEM;
    }
    h.length = (int32_t)(out->n - at - BATCH_LOG_OVERHEAD_BYTES);
    batch_header_write(&h, out->p + at);
    put_be32(out->p + at + CRC_AT, batch_crc(out->p + at, out->n - at));
    b->options.base_offset += b->record_count;
    if (b->options.base_sequence >= 0)
        b->options.base_sequence =
            (int32_t)(((uint32_t)b->options.base_sequence + (uint32_t)b->record_count) & INT32_MAX);
    b->records.n = 0;
    b->record_count = 0;
    return RC_OK;
}
