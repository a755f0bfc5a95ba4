// SPDX-License-Identifier: Apache-2.0
//
// See batch_sieve.h. wire/record.h draws a record.
#include "store/batch_sieve.h"

#include <stdlib.h>
#include <xxhash.h>

#include "base/assert.h"
#include "model/ids.h"
#include "wire/crc32c.h"

enum { CRC_AT = 17, CRC_FROM = 21, BITS_FIRST = 64 };

enum sieve_stage {
    AT_LENGTH,
    AT_ATTRIBUTES,
    AT_TIMESTAMP,
    AT_OFFSET,
    AT_KEY_LENGTH,
    AT_KEY,
    AT_VALUE_LENGTH,
    AT_REST, // value and headers, whose structure was checked when they came
};

static struct key_hash key_hash_from(XXH128_hash_t h)
{
    return (struct key_hash){h.low64, h.high64};
}

struct key_hash key_hash_of(struct bytes key, uint64_t seed)
{
    return key_hash_from(XXH3_128bits_withSeed(key.p, key.n, seed));
}

void batch_sieve_deinit(struct batch_sieve *s)
{
    XXH3_freeState(s->hash_state);
    free(s->bits);
    s->hash_state = NULL;
    s->bits = NULL;
    s->bits_cap = 0;
}

// ------------------------------------------------------------------------------------------------ records in pieces

// RC_AGAIN: the piece ended inside.
static enum rc parse_varint(struct sieve_parse *p, struct bytes *in, int64_t *out)
{
    while (in->n > 0) {
        uint8_t b = *in->p++;
        in->n--;
        p->left--;
        p->varint |= (uint64_t)(b & 0x7f) << p->shift;
        if (!(b & 0x80)) {
            *out = zigzag_decode(p->varint);
            p->varint = 0;
            p->shift = 0;
            return RC_OK;
        }
        p->shift = (uint8_t)(p->shift + 7);
        if (p->shift > 63)
            return RC_MALFORMED;
    }
    return RC_AGAIN;
}

// Reads up to the timestamp delta, which both passes need. RC_OK: stage is behind it.
static enum rc parse_head(struct sieve_parse *p, struct bytes *in)
{
    enum rc rc = RC_OK;
    if (p->stage == AT_LENGTH) {
        rc = parse_varint(p, in, &p->length);
        if (rc)
            return rc;
        if (p->length < 1 || p->length > INT32_MAX)
            return RC_MALFORMED;
        p->left = p->length;
        p->stage = AT_ATTRIBUTES;
    }
    if (p->stage == AT_ATTRIBUTES) {
        if (in->n == 0)
            return RC_AGAIN;
        p->attributes = *in->p++;
        in->n--;
        p->left--;
        p->stage = AT_TIMESTAMP;
    }
    if (p->stage == AT_TIMESTAMP) {
        rc = parse_varint(p, in, &p->timestamp_delta);
        if (rc)
            return rc;
        p->timestamp_bytes = p->length - 1 - p->left;
        p->stage = AT_OFFSET;
    }
    return p->left < 0 ? RC_MALFORMED : RC_OK;
}

static void parse_skip(int64_t *left, struct bytes *in, size_t n)
{
    in->p += n;
    in->n -= n;
    *left -= (int64_t)n;
}

static size_t parse_some(int64_t left, struct bytes in)
{
    return left < (int64_t)in.n ? (size_t)left : in.n;
}

// ------------------------------------------------------------------------------------------------ first pass

// The key, or a further part of it. RC_OK: all of it has passed, s->key is its hash.
static enum rc look_key(struct batch_sieve *s, struct bytes *in)
{
    struct sieve_parse *p = &s->parse;
    size_t n = parse_some(p->key_left, *in);
    if (!s->hashing && (int64_t)n == p->key_left) {
        s->key = key_hash_of(bytes_of(in->p, n), s->seed);
    } else {
        if (!s->hash_state && !(s->hash_state = XXH3_createState()))
            return RC_NOMEM;
        if (!s->hashing)
            XXH3_128bits_reset_withSeed(s->hash_state, s->seed);
        s->hashing = true;
        XXH3_128bits_update(s->hash_state, in->p, n);
    }
    parse_skip(&p->key_left, in, n);
    p->left -= (int64_t)n;
    if (p->key_left > 0)
        return RC_AGAIN;
    if (s->hashing)
        s->key = key_hash_from(XXH3_128bits_digest(s->hash_state));
    s->hashing = false;
    return p->left < 0 ? RC_MALFORMED : RC_OK;
}

static enum rc bits_put(struct batch_sieve *s, int32_t i, bool bit)
{
    uint32_t at = (uint32_t)i / 8;
    if (at >= s->bits_cap) {
        uint32_t cap = s->bits_cap ? s->bits_cap * 2 : BITS_FIRST;
        uint8_t *bits = realloc(s->bits, cap);
        if (!bits)
            return RC_NOMEM;
        s->bits = bits;
        s->bits_cap = cap;
    }
    if (i % 8 == 0)
        s->bits[at] = 0;
    s->bits[at] |= (uint8_t)(bit << (i % 8));
    return RC_OK;
}

static bool bits_get(const struct batch_sieve *s, int32_t i)
{
    return s->bits[(uint32_t)i / 8] >> (i % 8) & 1;
}

// Key and value are known.
static enum rc look_judge(struct batch_sieve *s)
{
    const struct sieve_parse *p = &s->parse;
    const struct batch_header *h = &s->header;
    struct sieve_record r = {.offset = h->base_offset + p->offset_delta,
                             .key = s->key,
                             .key_null = p->key_bytes < 0,
                             .value_null = p->value_null};
    if (s->seen >= h->record_count || p->offset_delta < 0 || p->offset_delta > h->last_offset_delta)
        return RC_MALFORMED;
    enum sieve_verdict verdict = s->judge(s->context, &r);
    s->stopped = verdict == SIEVE_STOP;
    if (s->stopped)
        return RC_OK;
    enum rc rc = bits_put(s, s->seen, verdict == SIEVE_KEEP);
    if (rc)
        return rc;
    s->seen++;
    if (verdict == SIEVE_DROP)
        return RC_OK;
    int64_t timestamp = (int64_t)((uint64_t)h->base_timestamp + (uint64_t)p->timestamp_delta);
    if (h->attributes & BATCH_ATTR_LOG_APPEND_TIME)
        timestamp = h->max_timestamp;
    if (timestamp > s->timestamp_max_kept)
        s->timestamp_max_kept = timestamp;
    s->kept++;
    s->tombstones_kept += p->value_null;
    return RC_OK;
}

// Goes on with the record under way.
static enum rc look_record(struct batch_sieve *s, struct bytes *in)
{
    struct sieve_parse *p = &s->parse;
    int64_t n;
    enum rc rc = p->stage < AT_OFFSET ? parse_head(p, in) : RC_OK;
    if (rc == RC_OK && p->stage == AT_OFFSET && (rc = parse_varint(p, in, &p->offset_delta)) == RC_OK)
        p->stage = AT_KEY_LENGTH;
    if (rc == RC_OK && p->stage == AT_KEY_LENGTH && (rc = parse_varint(p, in, &n)) == RC_OK) {
        if (n < -1 || n > p->left)
            return RC_MALFORMED;
        p->key_bytes = n;
        p->key_left = n < 0 ? 0 : n;
        p->stage = AT_KEY;
    }
    if (rc == RC_OK && p->stage == AT_KEY && (rc = look_key(s, in)) == RC_OK)
        p->stage = AT_VALUE_LENGTH;
    if (rc == RC_OK && p->stage == AT_VALUE_LENGTH && (rc = parse_varint(p, in, &n)) == RC_OK) {
        if (n < -1 || n > p->left)
            return RC_MALFORMED;
        p->value_null = n < 0;
        rc = look_judge(s);
        p->stage = AT_REST;
    }
    if (rc || s->stopped)
        return rc;
    if (p->left < 0)
        return RC_MALFORMED;
    parse_skip(&p->left, in, parse_some(p->left, *in));
    if (p->left > 0)
        return RC_AGAIN;
    *p = (struct sieve_parse){0};
    return RC_OK;
}

enum rc batch_sieve_start(struct batch_sieve *s, struct bytes batch, sieve_judge_fn judge, void *context, uint64_t seed,
                          void *workspace)
{
    enum rc rc = batch_header_read(batch, &s->header);
    if (rc || batch_bytes(&s->header) != batch.n || s->header.record_count < 0)
        return RC_MALFORMED;
    if (batch_codec(&s->header) >= CODEC_COUNT)
        return RC_UNSUPPORTED_COMPRESSION_TYPE;
    s->batch = batch;
    s->judge = judge;
    s->context = context;
    s->seed = seed;
    s->seen = s->kept = s->tombstones_kept = 0;
    s->timestamp_max_kept = TIMESTAMP_NONE;
    s->stopped = s->hashing = false;
    s->piece = bytes_of(NULL, 0);
    s->parse = (struct sieve_parse){0};
    struct bytes records = bytes_of(batch.p + BATCH_HEADER_BYTES, batch.n - BATCH_HEADER_BYTES);
    if (s->header.record_count == 0) // no stream of a codec stands there
        records.n = 0;
    enum codec codec = s->header.record_count ? (enum codec)batch_codec(&s->header) : CODEC_NONE;
    return codec_reader_start(&s->reader, codec, records, workspace, workspace ? CODEC_WORKSPACE_BYTES : 0);
}

enum rc batch_sieve_step(struct batch_sieve *s, size_t bytes_max)
{
    while (bytes_max > 0 && !s->stopped) {
        if (s->piece.n == 0) {
            enum rc rc = codec_reader_next(&s->reader, bytes_max, &s->piece);
            if (rc == RC_EOF)
                return s->seen == s->header.record_count && s->parse.stage == AT_LENGTH && s->parse.shift == 0
                           ? RC_OK
                           : RC_MALFORMED;
            if (rc)
                return rc;
            bytes_max -= s->piece.n < bytes_max ? s->piece.n : bytes_max;
        }
        while (s->piece.n > 0 && !s->stopped) {
            enum rc rc = look_record(s, &s->piece);
            if (rc && rc != RC_AGAIN)
                return rc;
        }
    }
    return s->stopped ? RC_OK : RC_AGAIN;
}

// ------------------------------------------------------------------------------------------------ second pass

enum rc batch_sieve_write_start(struct batch_sieve *s, int64_t horizon_ms, struct buf *out, void *workspace)
{
    ASSERT(s->kept > 0 && s->seen == s->header.record_count && !s->stopped);
    struct bytes records = bytes_of(s->batch.p + BATCH_HEADER_BYTES, s->batch.n - BATCH_HEADER_BYTES);
    enum codec codec = (enum codec)batch_codec(&s->header);
    size_t bytes = workspace ? CODEC_WORKSPACE_BYTES : 0;
    s->base_timestamp = horizon_ms != TIMESTAMP_NONE ? horizon_ms : s->header.base_timestamp;
    s->out = out;
    s->out_at = out->n;
    s->at = 0;
    s->piece = bytes_of(NULL, 0);
    s->parse = (struct sieve_parse){0};
    enum rc rc = codec_reader_start(&s->reader, codec, records, workspace, bytes);
    if (rc == RC_OK)
        rc = codec_writer_start(&s->writer, codec, CODEC_LEVEL_DEFAULT, 0, workspace ? (uint8_t *)workspace + bytes : NULL,
                                bytes);
    if (rc)
        return rc;
    if (horizon_ms != TIMESTAMP_NONE)
        s->header.attributes |= BATCH_ATTR_DELETE_HORIZON;
    return buf_extend(out, BATCH_HEADER_BYTES) ? RC_OK : RC_NOMEM;
}

// The fields in front of the offset delta, by the new base timestamp.
static enum rc write_head(struct batch_sieve *s)
{
    const struct sieve_parse *p = &s->parse;
    uint8_t head[3 * VARINT_BYTES_MAX], delta[VARINT_BYTES_MAX];
    uint64_t timestamp = (uint64_t)s->base_timestamp;
    // As a difference of what it was: under LogAppendTime deltas mean nothing, and must survive all the same.
    uint64_t moved = (uint64_t)p->timestamp_delta + ((uint64_t)be64(s->batch.p + 27) - timestamp);
    size_t delta_bytes = varint_put(delta, zigzag_encode((int64_t)moved));
    size_t n = varint_put(head, zigzag_encode(p->length - p->timestamp_bytes + (int64_t)delta_bytes));
    head[n++] = p->attributes;
    memcpy(head + n, delta, delta_bytes);
    return codec_writer_put(&s->writer, bytes_of(head, n + delta_bytes), s->out);
}

static enum rc write_record(struct batch_sieve *s, struct bytes *in)
{
    struct sieve_parse *p = &s->parse;
    bool keep = bits_get(s, s->at);
    if (p->stage < AT_OFFSET) {
        enum rc rc = parse_head(p, in);
        if (rc == RC_OK && keep)
            rc = write_head(s);
        if (rc)
            return rc;
    }
    size_t n = parse_some(p->left, *in);
    enum rc rc = keep && n ? codec_writer_put(&s->writer, bytes_of(in->p, n), s->out) : RC_OK;
    if (rc)
        return rc;
    parse_skip(&p->left, in, n);
    if (p->left > 0)
        return RC_AGAIN;
    *p = (struct sieve_parse){0};
    s->at++;
    return RC_OK;
}

static enum rc write_finish(struct batch_sieve *s)
{
    struct batch_header *h = &s->header;
    enum rc rc = codec_writer_end(&s->writer, s->out);
    size_t n = s->out->n - s->out_at;
    if (rc != RC_OK || s->out->failed || n > INT32_MAX)
        return RC_NOMEM;
    uint8_t *p = s->out->p + s->out_at;
    h->length = (int32_t)(n - BATCH_LOG_OVERHEAD_BYTES);
    h->base_timestamp = s->base_timestamp;
    if (!(h->attributes & BATCH_ATTR_LOG_APPEND_TIME))
        h->max_timestamp = s->timestamp_max_kept;
    h->record_count = s->kept;
    batch_header_write(h, p);
    h->crc = crc32c(0, p + CRC_FROM, n - CRC_FROM);
    put_be32(p + CRC_AT, h->crc);
    return RC_OK;
}

enum rc batch_sieve_write_step(struct batch_sieve *s, size_t bytes_max)
{
    while (bytes_max > 0) {
        if (s->piece.n == 0) {
            enum rc rc = codec_reader_next(&s->reader, bytes_max, &s->piece);
            if (rc == RC_EOF)
                return s->at == s->seen ? write_finish(s) : RC_MALFORMED;
            if (rc)
                return rc;
            bytes_max -= s->piece.n < bytes_max ? s->piece.n : bytes_max;
        }
        while (s->piece.n > 0) {
            enum rc rc = s->at < s->seen ? write_record(s, &s->piece) : RC_MALFORMED;
            if (rc && rc != RC_AGAIN)
                return rc;
        }
    }
    return RC_AGAIN;
}

enum rc batch_put_empty(const struct batch_header *h, struct buf *out)
{
    struct batch_header e = *h;
    e.length = BATCH_HEADER_BYTES - BATCH_LOG_OVERHEAD_BYTES;
    e.attributes = (uint16_t)(e.attributes & ~(BATCH_ATTR_CODEC | BATCH_ATTR_DELETE_HORIZON));
    e.base_timestamp = e.max_timestamp = TIMESTAMP_NONE; // of no record: nobody shall look for one by time here
    e.record_count = 0;
    uint8_t *p = buf_extend(out, BATCH_HEADER_BYTES);
    if (!p)
        return RC_NOMEM;
    batch_header_write(&e, p);
    e.crc = crc32c(0, p + CRC_FROM, BATCH_HEADER_BYTES - CRC_FROM);
    put_be32(p + CRC_AT, e.crc);
    return RC_OK;
}
