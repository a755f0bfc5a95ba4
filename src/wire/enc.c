// SPDX-License-Identifier: Apache-2.0
//
// Out-of-line writers; see enc.h.
#include "wire/enc.h"

#include "base/assert.h"

static const uint8_t enc_empty[1];

struct records records_empty(void)
{
    return (struct records){.bytes = {.p = enc_empty, .n = 0}};
}

void enc_raw(struct enc *e, const void *p, size_t n)
{
    if (n == 0)
        return;
    uint8_t *at = p ? enc_extend(e, n) : NULL;
    if (at)
        memcpy(at, p, n);
    else
        e->failed = true; // no room; or what was to be sent found no memory, and nobody noticed
}

static void enc_leb128(struct enc *e, uint64_t v)
{
    uint8_t *p = enc_extend(e, varint_size(v));
    if (p)
        (void)varint_put(p, v);
}

void enc_uvarint(struct enc *e, uint32_t v)
{
    enc_leb128(e, v);
}

void enc_varint(struct enc *e, int32_t v)
{
    enc_leb128(e, (uint32_t)zigzag_encode(v));
}

void enc_varlong(struct enc *e, int64_t v)
{
    enc_leb128(e, zigzag_encode(v));
}

// The length in front of bytes; -1 is null.
static void enc_length(struct enc *e, int64_t length, bool compact)
{
    ASSERT(length >= -1);
    if (length >= INT32_MAX)
        e->failed = true;
    else if (compact)
        enc_uvarint(e, (uint32_t)(length + 1));
    else
        enc_i32(e, (int32_t)length);
}

void enc_string(struct enc *e, struct bytes s, bool compact, bool nullable)
{
    bool null = s.p == NULL && nullable;
    if (s.n > INT16_MAX) {
        e->failed = true;
        return;
    }
    if (compact)
        enc_uvarint(e, null ? 0 : (uint32_t)s.n + 1);
    else
        enc_i16(e, null ? -1 : (int16_t)s.n);
    enc_raw(e, s.p, s.n);
}

void enc_bytes(struct enc *e, struct bytes s, bool compact, bool nullable)
{
    enc_length(e, s.p == NULL && nullable ? -1 : (int64_t)s.n, compact);
    enc_raw(e, s.p, s.n);
}

void enc_records(struct enc *e, struct records r, bool compact, bool nullable)
{
    if (!r.hole) {
        enc_bytes(e, r.bytes, compact, nullable);
        return;
    }
    ASSERT(r.bytes.p == NULL);
    if (e->hole_count == e->hole_count_max) {
        e->failed = true;
        return;
    }
    enc_length(e, (int64_t)r.bytes.n, compact);
    e->holes[e->hole_count++] = (struct enc_hole){.at = e->buf->n, .n = r.bytes.n, .token = r.hole};
    e->hole_bytes += r.bytes.n;
}

void enc_count(struct enc *e, int64_t count, bool compact)
{
    enc_length(e, count, compact);
}
