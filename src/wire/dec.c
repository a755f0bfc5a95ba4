// SPDX-License-Identifier: Apache-2.0
//
// Out-of-line readers; see dec.h.
#include "wire/dec.h"

#include "base/assert.h"

// A non-null pointer for views of length 0, so that empty and null differ.
static const uint8_t dec_empty[1];

struct uuid dec_uuid(struct dec *d)
{
    struct uuid u = {0};
    const uint8_t *p = dec_take(d, sizeof(u.b));
    if (p)
        memcpy(u.b, p, sizeof(u.b));
    return u;
}

// Unsigned varint of at most bits bits in bytes_max bytes; `bad` when longer or short.
static uint64_t dec_leb128(struct dec *d, unsigned bytes_max, unsigned bits)
{
    ASSERT(bits == 32 || bits == 64);
    uint64_t v = 0;
    if (d->bad)
        return 0;
    for (unsigned i = 0; i < bytes_max && d->p + i < d->end; i++) {
        uint8_t b = d->p[i];
        if (i == bytes_max - 1 && b >> (bits - 7 * (bytes_max - 1)))
            break; // more bits than the type has, or another byte to come
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if (!(b & 0x80)) {
            d->p += i + 1;
            return v;
        }
    }
    d->bad = true;
    return 0;
}

uint32_t dec_uvarint(struct dec *d)
{
    return (uint32_t)dec_leb128(d, 5, 32);
}

int32_t dec_varint(struct dec *d)
{
    return (int32_t)zigzag_decode(dec_leb128(d, 5, 32));
}

int64_t dec_varlong(struct dec *d)
{
    return zigzag_decode(dec_leb128(d, 10, 64));
}

// length -1 is null; anything else below zero is bad.
static struct bytes dec_view(struct dec *d, int64_t length, bool nullable)
{
    if (length < 0) {
        d->bad = d->bad || length < -1 || !nullable;
        return (struct bytes){0};
    }
    const uint8_t *p = dec_take(d, (size_t)length);
    if (!p)
        return (struct bytes){0};
    return bytes_of(length ? p : dec_empty, (size_t)length);
}

struct bytes dec_string(struct dec *d, bool compact, bool nullable)
{
    int64_t length = compact ? (int64_t)dec_uvarint(d) - 1 : dec_i16(d);
    if (d->bad || length > INT16_MAX) {
        d->bad = true;
        return (struct bytes){0};
    }
    return dec_view(d, length, nullable);
}

struct bytes dec_bytes(struct dec *d, bool compact, bool nullable)
{
    int64_t length = compact ? (int64_t)dec_uvarint(d) - 1 : dec_i32(d);
    if (d->bad)
        return (struct bytes){0};
    return dec_view(d, length, nullable);
}

int32_t dec_count(struct dec *d, bool compact, bool nullable, size_t least_bytes)
{
    ASSERT(least_bytes >= 1);
    int64_t count = compact ? (int64_t)dec_uvarint(d) - 1 : dec_i32(d);
    if (d->bad)
        return 0;
    if (count < 0) {
        d->bad = count < -1 || !nullable;
        return d->bad ? 0 : -1;
    }
    if ((uint64_t)count > dec_left(d) / least_bytes || count > INT32_MAX) {
        d->bad = true;
        return 0;
    }
    return (int32_t)count;
}

void dec_skip_tags(struct dec *d)
{
    uint32_t count = dec_uvarint(d);
    for (uint32_t i = 0; i < count && !d->bad; i++) {
        (void)dec_uvarint(d);
        (void)dec_take(d, dec_uvarint(d));
    }
}
