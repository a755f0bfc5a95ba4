// SPDX-License-Identifier: Apache-2.0
//
// Spans of bytes, big-endian loads and stores (Kafka's wire and disk order), varints, and a growable buffer.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/rc.h"

// A borrowed span. p may be NULL only when n is 0.
struct bytes {
    const uint8_t *p;
    size_t n;
};

static inline struct bytes bytes_of(const void *p, size_t n)
{
    return (struct bytes){.p = p, .n = n};
}

static inline struct bytes bytes_str(const char *s)
{
    return (struct bytes){.p = (const uint8_t *)s, .n = strlen(s)};
}

static inline bool bytes_eq(struct bytes a, struct bytes b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

// Order by bytes, shorter first where one is a prefix of the other.
static inline int bytes_cmp(struct bytes a, struct bytes b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static inline uint16_t be16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return __builtin_bswap16(v);
}

static inline uint32_t be32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return __builtin_bswap32(v);
}

static inline uint64_t be64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return __builtin_bswap64(v);
}

static inline void put_be16(void *p, uint16_t v)
{
    v = __builtin_bswap16(v);
    memcpy(p, &v, sizeof(v));
}

static inline void put_be32(void *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, sizeof(v));
}

static inline void put_be64(void *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, sizeof(v));
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "loads above swap; x86-64 and aarch64 are little-endian");

static inline uint64_t zigzag_encode(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t zigzag_decode(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

enum { VARINT_BYTES_MAX = 10 };

// Writes v as an unsigned LEB128 varint to p, which has VARINT_BYTES_MAX bytes of room; returns the bytes written.
size_t varint_put(uint8_t *p, uint64_t v);

// Reads an unsigned varint of at most bytes_max bytes from s and moves s past it.
// Returns false, s unchanged, when s is too short or the varint is longer than bytes_max.
bool varint_get(struct bytes *s, size_t bytes_max, uint64_t *out);

// Number of bytes varint_put() writes for v.
static inline size_t varint_size(uint64_t v)
{
    unsigned bits = 64u - (unsigned)__builtin_clzll(v | 1);
    return (bits + 6) / 7;
}

// A growable buffer: owns p[0..cap). Errors stick in `failed` (an allocation failed or size_max was passed): callers
// append freely and test once at the end. A zeroed struct with size_max set is empty and valid.
struct buf {
    uint8_t *p;
    size_t n;
    size_t cap;
    size_t size_max;
    bool failed;
};

void buf_init(struct buf *b, size_t size_max);
void buf_deinit(struct buf *b);
// Room for n more bytes at the end, counted as used; NULL and `failed` when it cannot be had.
uint8_t *buf_extend(struct buf *b, size_t n);
void buf_append(struct buf *b, const void *p, size_t n);
// Appends formatted text without the terminating zero.
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline void buf_put_u8(struct buf *b, uint8_t v)
{
    uint8_t *p = buf_extend(b, 1);
    if (p)
        *p = v;
}

static inline void buf_put_be16(struct buf *b, uint16_t v)
{
    uint8_t *p = buf_extend(b, 2);
    if (p)
        put_be16(p, v);
}

static inline void buf_put_be32(struct buf *b, uint32_t v)
{
    uint8_t *p = buf_extend(b, 4);
    if (p)
        put_be32(p, v);
}

static inline void buf_put_be64(struct buf *b, uint64_t v)
{
    uint8_t *p = buf_extend(b, 8);
    if (p)
        put_be64(p, v);
}

static inline struct bytes buf_bytes(const struct buf *b)
{
    return bytes_of(b->p, b->n);
}
