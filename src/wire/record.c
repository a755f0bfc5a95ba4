// SPDX-License-Identifier: Apache-2.0
//
// Records in memory; see record.h.
#include "wire/record.h"

static const uint8_t record_empty[1];

// A varint of one byte or two, zigzag as it lies there. False: none such ends before `end`.
static inline bool plain_number(const uint8_t **at, const uint8_t *end, uint32_t *v)
{
    const uint8_t *p = *at;
    if (end - p < 1)
        return false;
    *v = p[0];
    if (p[0] < 0x80) {
        *at = p + 1;
        return true;
    }
    if (end - p < 2 || p[1] >= 0x80)
        return false;
    *v = (p[0] & 0x7fu) | (uint32_t)p[1] << 7;
    *at = p + 2;
    return true;
}

static inline bool record_short(struct dec *d, uint32_t *v)
{
    return !d->bad && plain_number(&d->p, d->end, v);
}

static inline int32_t record_varint(struct dec *d)
{
    uint32_t v;
    return record_short(d, &v) ? (int32_t)zigzag_decode(v) : dec_varint(d);
}

static inline int64_t record_varlong(struct dec *d)
{
    uint32_t v;
    return record_short(d, &v) ? zigzag_decode(v) : dec_varlong(d);
}

struct bytes record_bytes_read(struct dec *d)
{
    int32_t n = record_varint(d);
    if (d->bad || n < 0) {
        d->bad = d->bad || n != -1;
        return (struct bytes){0};
    }
    const uint8_t *p = dec_take(d, (size_t)n);
    return p ? bytes_of(n ? p : record_empty, (size_t)n) : (struct bytes){0};
}

static inline bool plain_bytes(const uint8_t **at, const uint8_t *end, struct bytes *out)
{
    uint32_t v;
    if (!plain_number(at, end, &v))
        return false;
    if (v & 1) { // negative: null, or damaged
        *out = (struct bytes){0};
        return v == 1;
    }
    size_t n = v >> 1;
    if (n > (size_t)(end - *at))
        return false;
    *out = bytes_of(*at, n);
    *at += n;
    return true;
}

// What nearly all records are: no headers, every number in two bytes. Nothing is stored through a pointer until it is
// known; several hundred of them are checked in each produce. False: record_fields_read() looks at it in full.
static bool record_plain_read(struct bytes *in, struct record_fields *out)
{
    const uint8_t *p = in->p, *end = p + in->n;
    uint32_t length, timestamp, offset;
    struct bytes key, value;
    if (!plain_number(&p, end, &length) || (length & 1) || length >> 1 > (size_t)(end - p))
        return false;
    end = p + (length >> 1);
    if (end - p < 1)
        return false;
    p++; // attributes: none are defined
    if (!plain_number(&p, end, &timestamp) || !plain_number(&p, end, &offset) || !plain_bytes(&p, end, &key) ||
        !plain_bytes(&p, end, &value) || end - p != 1 || *p != 0)
        return false;
    *out = (struct record_fields){.timestamp_delta = zigzag_decode(timestamp),
                                  .offset_delta = (int32_t)zigzag_decode(offset),
                                  .key = key,
                                  .value = value,
                                  .headers = bytes_of(end, 0)};
    *in = bytes_of(end, in->n - (size_t)(end - in->p));
    return true;
}

bool record_fields_read(struct bytes *in, struct record_fields *out)
{
    if (record_plain_read(in, out))
        return true;
    struct dec outer = dec_of(*in);
    int32_t length = record_varint(&outer);
    const uint8_t *p = length >= 0 ? dec_take(&outer, (size_t)length) : NULL;
    if (!p)
        return false;
    struct dec d = dec_of(bytes_of(p, (size_t)length));
    (void)dec_i8(&d); // attributes: none are defined
    out->timestamp_delta = record_varlong(&d);
    out->offset_delta = record_varint(&d);
    out->key = record_bytes_read(&d);
    out->value = record_bytes_read(&d);
    out->header_count = record_varint(&d);
    out->headers = bytes_of(d.p, dec_left(&d));
    for (int32_t i = 0; i < out->header_count && !d.bad; i++) {
        d.bad = !record_bytes_read(&d).p || d.bad; // a header's key is never null
        (void)record_bytes_read(&d);
    }
    if (d.bad || out->header_count < 0 || dec_left(&d) > 0)
        return false;
    *in = bytes_of(outer.p, dec_left(&outer));
    return true;
}
