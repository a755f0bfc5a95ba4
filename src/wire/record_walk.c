// SPDX-License-Identifier: Apache-2.0
//
// The state machine of record_walk.h. A record that lies in one piece takes the short way through record.c.
#include "wire/record_walk.h"

#include "base/assert.h"
#include "wire/record.h"

enum walk_stage {
    WALK_LENGTH,
    WALK_ATTRIBUTES,
    WALK_TIMESTAMP,
    WALK_OFFSET,
    WALK_KEY_SIZE,
    WALK_KEY,
    WALK_VALUE_SIZE,
    WALK_VALUE,
    WALK_HEADER_COUNT,
    WALK_HEADER_KEY_SIZE,
    WALK_HEADER_KEY,
    WALK_HEADER_VALUE_SIZE,
    WALK_HEADER_VALUE,
};

bool record_walk_whole(const struct record_walk *w)
{
    return w->stage == WALK_LENGTH && w->varint_shift == 0;
}

// Goes on with a zigzag varint of at most `bits` bits. RC_OK: *out is it; RC_AGAIN; RC_MALFORMED.
static enum rc walk_varint(struct record_walk *w, struct bytes *in, unsigned bits, int64_t *out)
{
    while (in->n > 0) {
        uint8_t b = *in->p;
        if (w->stage != WALK_LENGTH && w->record_left-- == 0)
            return RC_MALFORMED;
        in->p++;
        in->n--;
        unsigned room = bits - w->varint_shift;
        if (room < 7 && b >> room)
            return RC_MALFORMED; // more bits than the type has
        w->varint |= (uint64_t)(b & 0x7f) << w->varint_shift;
        w->varint_shift = (uint8_t)(w->varint_shift + 7);
        if (b & 0x80)
            continue;
        *out = zigzag_decode(w->varint);
        w->varint = 0;
        w->varint_shift = 0;
        return RC_OK;
    }
    return RC_AGAIN;
}

// Passes over the bytes of a key or value.
static enum rc walk_skip(struct record_walk *w, struct bytes *in)
{
    size_t n = (size_t)w->skip < in->n ? (size_t)w->skip : in->n;
    in->p += n;
    in->n -= n;
    w->skip -= (int64_t)n;
    w->record_left -= (int64_t)n;
    return w->skip == 0 ? RC_OK : RC_AGAIN;
}

// Where a record goes on behind a value or a header: the next header, or its end.
static enum rc walk_headers(struct record_walk *w)
{
    w->stage = w->headers_left > 0 ? WALK_HEADER_KEY_SIZE : WALK_LENGTH;
    if (w->headers_left > 0)
        return RC_AGAIN;
    if (w->record_left != 0)
        return RC_MALFORMED;
    w->record_count++;
    return RC_OK;
}

// One stage that is a number. RC_OK only when it ends the record.
static enum rc walk_number(struct record_walk *w, int64_t v)
{
    switch ((enum walk_stage)w->stage) {
    case WALK_LENGTH:
        w->record_left = v;
        w->stage = WALK_ATTRIBUTES;
        return v < 0 ? RC_MALFORMED : RC_AGAIN;
    case WALK_TIMESTAMP:
        w->timestamp_delta = v;
        w->stage = WALK_OFFSET;
        return RC_AGAIN;
    case WALK_OFFSET:
        w->offset_delta = (int32_t)v;
        w->stage = WALK_KEY_SIZE;
        return RC_AGAIN;
    case WALK_KEY_SIZE:
    case WALK_VALUE_SIZE:
    case WALK_HEADER_KEY_SIZE:
    case WALK_HEADER_VALUE_SIZE:
        if (v < -1 || v > w->record_left || (v < 0 && w->stage == WALK_HEADER_KEY_SIZE))
            return RC_MALFORMED;
        if (w->stage == WALK_KEY_SIZE)
            w->key_null = v < 0;
        w->skip = v < 0 ? 0 : v;
        w->stage++; // the bytes follow their size
        return RC_AGAIN;
    case WALK_HEADER_COUNT:
        if (v < 0)
            return RC_MALFORMED;
        w->headers_left = (int32_t)v;
        return walk_headers(w);
    case WALK_ATTRIBUTES:
    case WALK_KEY:
    case WALK_VALUE:
    case WALK_HEADER_KEY:
    case WALK_HEADER_VALUE:
        break;
    }
    UNREACHABLE();
}

// One stage, as far as the bytes reach. RC_AGAIN when the record goes on, whether or not bytes are left.
static enum rc walk_stage(struct record_walk *w, struct bytes *in, bool *starved)
{
    int64_t v;
    enum rc rc;
    switch ((enum walk_stage)w->stage) {
    case WALK_ATTRIBUTES:
        *starved = in->n == 0;
        if (*starved)
            return RC_AGAIN;
        in->p++;
        in->n--;
        w->stage = WALK_TIMESTAMP;
        return w->record_left-- > 0 ? RC_AGAIN : RC_MALFORMED;
    case WALK_KEY:
    case WALK_VALUE:
    case WALK_HEADER_KEY:
    case WALK_HEADER_VALUE:
        *starved = walk_skip(w, in) == RC_AGAIN;
        if (*starved)
            return RC_AGAIN;
        if (w->stage == WALK_HEADER_VALUE) {
            w->headers_left--;
            return walk_headers(w);
        }
        w->stage++;
        return RC_AGAIN;
    case WALK_LENGTH:
    case WALK_TIMESTAMP:
    case WALK_OFFSET:
    case WALK_KEY_SIZE:
    case WALK_VALUE_SIZE:
    case WALK_HEADER_COUNT:
    case WALK_HEADER_KEY_SIZE:
    case WALK_HEADER_VALUE_SIZE:
        rc = walk_varint(w, in, w->stage == WALK_TIMESTAMP ? 64 : 32, &v);
        *starved = rc == RC_AGAIN;
        return rc == RC_OK ? walk_number(w, v) : rc;
    }
    UNREACHABLE();
}

enum rc record_walk_next(struct record_walk *w, struct bytes *in)
{
    struct record_fields f;
    if (record_walk_whole(w) && record_fields_read(in, &f)) {
        w->key_null = f.key.p == NULL;
        w->timestamp_delta = f.timestamp_delta;
        w->offset_delta = f.offset_delta;
        w->record_count++;
        return RC_OK;
    }
    enum rc rc = RC_AGAIN;
    bool starved = false;
    while (rc == RC_AGAIN && !starved)
        rc = walk_stage(w, in, &starved);
    return rc;
}
