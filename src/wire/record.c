// SPDX-License-Identifier: Apache-2.0
//
// Records in memory; see record.h.
#include "wire/record.h"

static const uint8_t record_empty[1];

// Most varints of a record are one byte or two. False: none such is next, and nothing was read.
static inline bool record_short(struct dec *d, uint32_t *v)
{
    if (d->bad || d->p >= d->end)
        return false;
    uint32_t first = *d->p;
    if (first < 0x80) {
        *v = first;
        d->p++;
        return true;
    }
    if (d->end - d->p < 2 || d->p[1] >= 0x80)
        return false;
    *v = (first & 0x7f) | (uint32_t)d->p[1] << 7;
    d->p += 2;
    return true;
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

bool record_fields_read(struct bytes *in, struct record_fields *out)
{
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
