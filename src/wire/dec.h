// SPDX-License-Identifier: Apache-2.0
//
// Reading the wire: a cursor over bytes that someone else owns, with a flag that sticks. Read freely and test `bad`
// once at the end; after the first short or impossible read everything gives zero and nothing moves.
// Knows types, not messages: those are tables (wire/schema.h).
#pragma once

#include "base/bytes.h"
#include "model/ids.h"

struct dec {
    const uint8_t *p, *end;
    bool bad;
};

static inline struct dec dec_of(struct bytes b)
{
    return (struct dec){.p = b.p, .end = b.p ? b.p + b.n : NULL};
}

static inline size_t dec_left(const struct dec *d)
{
    return (size_t)(d->end - d->p);
}

// The next n bytes and past them, or NULL and `bad`.
static inline const uint8_t *dec_take(struct dec *d, size_t n)
{
    if (d->bad || n > dec_left(d)) {
        d->bad = true;
        return NULL;
    }
    const uint8_t *p = d->p;
    d->p += n;
    return p;
}

static inline int8_t dec_i8(struct dec *d)
{
    const uint8_t *p = dec_take(d, 1);
    return p ? (int8_t)*p : 0;
}

static inline uint16_t dec_u16(struct dec *d)
{
    const uint8_t *p = dec_take(d, 2);
    return p ? be16(p) : 0;
}

static inline int16_t dec_i16(struct dec *d)
{
    return (int16_t)dec_u16(d);
}

static inline int32_t dec_i32(struct dec *d)
{
    const uint8_t *p = dec_take(d, 4);
    return p ? (int32_t)be32(p) : 0;
}

static inline int64_t dec_i64(struct dec *d)
{
    const uint8_t *p = dec_take(d, 8);
    return p ? (int64_t)be64(p) : 0;
}

struct uuid dec_uuid(struct dec *d);

// Unsigned varint of at most 32 bits; longer is bad.
uint32_t dec_uvarint(struct dec *d);
// Zigzag varints of 32 and 64 bits (inside record batches).
int32_t dec_varint(struct dec *d);
int64_t dec_varlong(struct dec *d);

// A string of at most 32767 bytes: i16 length, or compact (varint of length + 1). Null gives p == NULL and is bad
// unless nullable. The view points into the input.
struct bytes dec_string(struct dec *d, bool compact, bool nullable);
// Bytes: i32 length, or compact.
struct bytes dec_bytes(struct dec *d, bool compact, bool nullable);
// The count of an array: i32 or compact; -1 is null and bad unless nullable. bad when count elements of least_bytes
// (1 or more) cannot fit in what is left, so that a count may be believed.
int32_t dec_count(struct dec *d, bool compact, bool nullable, size_t least_bytes);
// Skips the tagged fields of a struct whose tags nobody here knows.
void dec_skip_tags(struct dec *d);
