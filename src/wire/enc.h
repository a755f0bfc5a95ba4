// SPDX-License-Identifier: Apache-2.0
//
// Writing the wire: appends to a buffer, with a flag that sticks. Test enc_ok() once at the end.
//
// Holes. A Fetch response names record bytes that never come to user memory: sendfile takes them from the log. So a
// `records` field may be {n bytes, token}: the encoder writes its length and notes a hole {position in the buffer, n,
// token}. The answer on the wire is then buffer[0, hole 0), n bytes of hole 0, buffer[hole 0, hole 1), ... : each hole
// lies before the byte of the buffer at its position. Frame lengths (wire/frame.h) count the holes. A small range is
// better read into memory and given as bytes: then it is copied and there is no hole.
#pragma once

#include "base/bytes.h"
#include "model/ids.h"

// Record batches in a message: bytes, or, when hole is set, `bytes.n` bytes that the caller sends from elsewhere
// (bytes.p is NULL then). Null: all zero. Empty: records_empty(). Decoding gives a view and no hole.
struct records {
    struct bytes bytes;
    const void *hole; // opaque to this room; comes back in struct enc_hole
};

struct enc_hole {
    size_t at; // bytes of the buffer that go before it
    size_t n;
    const void *token;
};

struct enc {
    struct buf *buf; // borrowed; for a fixed span set p, cap and size_max = cap
    struct enc_hole *holes;
    uint32_t hole_count, hole_count_max;
    size_t hole_bytes; // sum of n over holes
    bool failed;       // a string over 32767 bytes or no place for a hole; see enc_ok()
};

static inline struct records records_of(struct bytes b)
{
    return (struct records){.bytes = b};
}

struct records records_empty(void);

// holes may be NULL when hole_count_max is 0: then a message with a hole fails.
static inline void enc_init(struct enc *e, struct buf *buf, struct enc_hole *holes, uint32_t hole_count_max)
{
    *e = (struct enc){.buf = buf, .holes = holes, .hole_count_max = hole_count_max};
}

static inline bool enc_ok(const struct enc *e)
{
    return !e->failed && !e->buf->failed;
}

// Room for n bytes at the end, counted as used; NULL when it cannot be had.
static inline uint8_t *enc_extend(struct enc *e, size_t n)
{
    struct buf *b = e->buf;
    if (__builtin_expect(b->failed || n > b->cap - b->n, 0))
        return buf_extend(b, n);
    uint8_t *p = b->p + b->n;
    b->n += n;
    return p;
}

static inline void enc_i8(struct enc *e, int8_t v)
{
    uint8_t *p = enc_extend(e, 1);
    if (p)
        *p = (uint8_t)v;
}

static inline void enc_i16(struct enc *e, int16_t v)
{
    uint8_t *p = enc_extend(e, 2);
    if (p)
        put_be16(p, (uint16_t)v);
}

static inline void enc_i32(struct enc *e, int32_t v)
{
    uint8_t *p = enc_extend(e, 4);
    if (p)
        put_be32(p, (uint32_t)v);
}

static inline void enc_i64(struct enc *e, int64_t v)
{
    uint8_t *p = enc_extend(e, 8);
    if (p)
        put_be64(p, (uint64_t)v);
}

void enc_raw(struct enc *e, const void *p, size_t n);
void enc_uvarint(struct enc *e, uint32_t v);
void enc_varint(struct enc *e, int32_t v);
void enc_varlong(struct enc *e, int64_t v);
// p == NULL writes null when nullable, else empty. Over 32767 bytes: failed.
void enc_string(struct enc *e, struct bytes s, bool compact, bool nullable);
void enc_bytes(struct enc *e, struct bytes s, bool compact, bool nullable);
void enc_records(struct enc *e, struct records r, bool compact, bool nullable);
// count -1 is null.
void enc_count(struct enc *e, int64_t count, bool compact);

// What the bytes from position `from` of the buffer on come to on the wire, holes included. hole_from is the value of
// hole_bytes when `from` was the end.
static inline size_t enc_size_since(const struct enc *e, size_t from, size_t hole_from)
{
    return e->buf->n - from + (e->hole_bytes - hole_from);
}
