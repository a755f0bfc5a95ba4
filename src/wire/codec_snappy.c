// SPDX-License-Identifier: Apache-2.0
//
// snappy, our own: the library reads a block only as a whole, into memory of the size that the block claims, and gives
// way nowhere; a producer's 16 MiB batch is one such block. (It would also bring the C++ runtime, 115 KiB, into the
// executable.) The format is small: a varint of the size, then literals and copies.
//
//     tag & 3 == 0   literal: length - 1 in tag >> 2, or in the 1 to 4 bytes behind the tag when that is 60 to 63
//     tag & 3 == 1   copy of 4 to 11 bytes from 11 bits of offset
//     tag & 3 == 2   copy of 1 to 64 bytes from 16 bits of offset; 3: from 32 bits
//
// Kafka's Java client writes blocks in a stream of its library's making ("xerial"): a header of 16 bytes, then blocks,
// each behind its i32 size. Other clients write one bare block. Both are read. Encoders cut what they are given into
// 64 KiB, so that no offset reaches farther back; a stream with farther ones is refused.
#include "wire/codec_ops.h"

enum {
    SNAPPY_HISTORY_BYTES = 64 << 10, // the farthest a copy reaches
    SNAPPY_BLOCK_BYTES = 32 << 10,   // written; the Java library's size
    SNAPPY_HASH_BITS = 13,
    SNAPPY_SLACK_BYTES = 64, // copies may write this much beyond what they mean
    XERIAL_HEADER_BYTES = 16,
};

static const uint8_t xerial_header[XERIAL_HEADER_BYTES] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
                                                           0,    0,   0,   1,   0,   0,   0,   1};

struct snappy_reader {
    bool xerial;
    bool any;              // a block or the stream's header was seen
    bool in_block;         // some of it is left
    struct bytes block;    // what is left of the block
    uint32_t size, done;   // bytes the block claims, bytes it has given
    uint32_t literal_left; // of an element that did not fit into the last call
    uint32_t copy_left, copy_offset;
    size_t at; // end of the output in the window
    uint8_t window[2 * SNAPPY_HISTORY_BYTES + CODEC_WINDOW_BYTES + SNAPPY_SLACK_BYTES];
};

static enum rc snappy_reader_start(struct codec_reader *r, struct codec_space *s)
{
    struct snappy_reader *x = codec_space_take(s, sizeof(*x));
    if (!x)
        return RC_NOMEM;
    memset(x, 0, offsetof(struct snappy_reader, window));
    r->state = x;
    if (r->in.n >= XERIAL_HEADER_BYTES && memcmp(r->in.p, xerial_header, 8) == 0) {
        x->xerial = x->any = true;
        r->in.p += XERIAL_HEADER_BYTES;
        r->in.n -= XERIAL_HEADER_BYTES;
    }
    return RC_OK;
}

// Takes the next block off the input. RC_EOF when there is none.
static enum rc snappy_block(struct codec_reader *r, struct snappy_reader *x)
{
    size_t n = r->in.n;
    if (n == 0)
        return x->any ? RC_EOF : RC_MALFORMED;
    if (x->xerial) {
        if (n < 4 || be32(r->in.p) > n - 4)
            return RC_MALFORMED;
        n = be32(r->in.p);
        r->in.p += 4;
        r->in.n -= 4;
    }
    x->block = bytes_of(r->in.p, n);
    r->in.p += n;
    r->in.n -= n;
    uint64_t size;
    if (!varint_get(&x->block, 5, &size) || size > UINT32_MAX)
        return RC_MALFORMED;
    x->size = (uint32_t)size;
    x->done = 0;
    x->in_block = x->any = true;
    return RC_OK;
}

// The next tag into *_left. False when it is cut short or impossible.
static bool snappy_tag(struct snappy_reader *x)
{
    struct bytes *b = &x->block;
    static const uint8_t extra[4] = {0, 1, 2, 4};
    unsigned tag = b->p[0], kind = tag & 3, more = extra[kind];
    uint32_t value = 0, length = tag >> 2;
    if (kind == 0 && length >= 60)
        more = length - 59;
    if (b->n < 1 + more)
        return false;
    for (unsigned i = 0; i < more; i++)
        value |= (uint32_t)b->p[1 + i] << (8 * i);
    b->p += 1 + more;
    b->n -= 1 + more;
    if (kind == 0) {
        x->literal_left = length >= 60 ? value : length;
        if (x->literal_left >= b->n) // one less than the length, so that 2^32 fits
            return false;
        x->literal_left++;
        return x->literal_left <= x->size - x->done;
    }
    x->copy_left = kind == 1 ? (length & 7) + 4 : length + 1;
    x->copy_offset = kind == 1 ? (tag & 0xe0) << 3 | value : value;
    return x->copy_offset > 0 && x->copy_offset <= x->done && x->copy_left <= x->size - x->done;
}

// n bytes from offset back, to p; the two may overlap: what is copied is then copied again. Writes up to
// SNAPPY_SLACK_BYTES beyond.
static void snappy_copy(uint8_t *p, size_t offset, size_t n)
{
    const uint8_t *from = p - offset;
    if (offset >= 16) {
        for (size_t i = 0; i < n; i += 16)
            memcpy(p + i, from + i, 16);
    } else {
        for (size_t i = 0; i < n; i++)
            p[i] = from[i];
    }
}

// Elements of the block until `end` of the window or the block's end. False when damaged; an element whose bytes the
// block does not have is refused by snappy_tag().
static bool snappy_elements(struct snappy_reader *x, size_t end)
{
    while (x->at < end) {
        if (x->literal_left == 0 && x->copy_left == 0) {
            if (x->block.n == 0)
                break;
            if (!snappy_tag(x))
                return false;
        }
        size_t room = end - x->at, n = x->literal_left ? x->literal_left : x->copy_left;
        n = n < room ? n : room;
        if (x->literal_left) {
            memcpy(x->window + x->at, x->block.p, n);
            x->block.p += n;
            x->block.n -= n;
            x->literal_left -= (uint32_t)n;
        } else {
            if (x->copy_offset > x->at)
                return false; // farther back than any encoder goes, and than the window
            snappy_copy(x->window + x->at, x->copy_offset, n);
            x->copy_left -= (uint32_t)n;
        }
        x->at += n;
        x->done += (uint32_t)n;
    }
    return true;
}

static enum rc snappy_reader_next(struct codec_reader *r, size_t out_max, struct bytes *out)
{
    struct snappy_reader *x = r->state;
    if (x->at > 2 * SNAPPY_HISTORY_BYTES) { // the next output needs room; what copies may still want moves to the front
        memmove(x->window, x->window + x->at - SNAPPY_HISTORY_BYTES, SNAPPY_HISTORY_BYTES);
        x->at = SNAPPY_HISTORY_BYTES;
    }
    size_t from = x->at;
    enum rc rc = RC_OK;
    while (x->at < from + out_max && rc == RC_OK) {
        if (!x->in_block)
            rc = snappy_block(r, x);
        if (rc == RC_OK && !snappy_elements(x, from + out_max))
            rc = RC_MALFORMED;
        if (x->in_block && x->block.n == 0 && x->copy_left == 0) {
            x->in_block = false;
            if (x->done != x->size)
                rc = RC_MALFORMED;
        }
    }
    *out = bytes_of(x->window + from, x->at - from);
    return rc;
}

// ---- writing ----

struct snappy_writer {
    bool begun;
    size_t filled;
    uint8_t block[SNAPPY_BLOCK_BYTES];
    uint16_t seen[1 << SNAPPY_HASH_BITS]; // where four bytes of this hash were last
};

static enum rc snappy_writer_start(struct codec_writer *w, int level, size_t size_hint, struct codec_space *s)
{
    (void)level;
    (void)size_hint;
    struct snappy_writer *x = codec_space_take(s, sizeof(*x));
    if (!x)
        return RC_NOMEM;
    x->begun = false;
    x->filled = 0;
    w->state = x;
    return RC_OK;
}

static size_t snappy_bound(size_t n)
{
    return 32 + n + n / 6;
}

static uint8_t *emit_literal(uint8_t *to, const uint8_t *p, size_t n)
{
    if (n == 0)
        return to;
    size_t stored = n - 1;
    if (stored < 60) {
        *to++ = (uint8_t)(stored << 2);
    } else if (stored < 256) {
        *to++ = 60 << 2;
        *to++ = (uint8_t)stored;
    } else {
        *to++ = 61 << 2;
        *to++ = (uint8_t)stored;
        *to++ = (uint8_t)(stored >> 8);
    }
    memcpy(to, p, n);
    return to + n;
}

static uint8_t *emit_copy(uint8_t *to, size_t offset, size_t n)
{
    while (n > 0) {
        // Never leave a rest of less than 4: the short form starts there.
        size_t piece = n <= 64 ? n : n < 68 ? 60 : 64;
        if (piece >= 4 && piece < 12 && offset < 2048) {
            *to++ = (uint8_t)(1 | (piece - 4) << 2 | (offset >> 8) << 5);
            *to++ = (uint8_t)offset;
        } else {
            *to++ = (uint8_t)(2 | (piece - 1) << 2);
            *to++ = (uint8_t)offset;
            *to++ = (uint8_t)(offset >> 8);
        }
        n -= piece;
    }
    return to;
}

static uint32_t load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static size_t match_length(const uint8_t *a, const uint8_t *b, const uint8_t *end)
{
    const uint8_t *from = b;
    while (b < end && *a == *b) {
        a++;
        b++;
    }
    return (size_t)(b - from);
}

// One block, greedily: the last place with the same hash, or none. After 32 misses the step widens, so that bytes that
// do not compress pass quickly. Returns the end of what was written, at most snappy_bound(n) bytes.
static uint8_t *snappy_compress_block(struct snappy_writer *x, uint8_t *to)
{
    const uint8_t *base = x->block, *end = base + x->filled, *literal = base, *p = base + 1;
    to += varint_put(to, x->filled);
    memset(x->seen, 0, sizeof(x->seen));
    size_t misses = 32;
    while (p + 4 <= end) {
        uint32_t hash = (load32(p) * 0x1e35a7bdu) >> (32 - SNAPPY_HASH_BITS);
        const uint8_t *candidate = base + x->seen[hash];
        x->seen[hash] = (uint16_t)(p - base);
        if (load32(candidate) != load32(p)) {
            p += misses++ >> 5;
            continue;
        }
        to = emit_literal(to, literal, (size_t)(p - literal));
        size_t n = 4 + match_length(candidate + 4, p + 4, end);
        to = emit_copy(to, (size_t)(p - candidate), n);
        p += n;
        literal = p;
        misses = 32;
    }
    return emit_literal(to, literal, (size_t)(end - literal));
}

static enum rc snappy_flush(struct snappy_writer *x, struct buf *out)
{
    if (!x->begun) {
        buf_append(out, xerial_header, sizeof(xerial_header));
        x->begun = true;
    }
    if (x->filled > 0) {
        size_t room, bound = 4 + snappy_bound(x->filled);
        uint8_t *p = codec_room(out, bound, &room);
        if (room < bound) {
            codec_room_used(out, room, 0);
            return RC_NOMEM;
        }
        size_t n = (size_t)(snappy_compress_block(x, p + 4) - p);
        put_be32(p, (uint32_t)(n - 4));
        codec_room_used(out, room, n);
        x->filled = 0;
    }
    return out->failed ? RC_NOMEM : RC_OK;
}

static enum rc snappy_writer_put(struct codec_writer *w, struct bytes in, struct buf *out)
{
    struct snappy_writer *x = w->state;
    while (in.n > 0) {
        size_t room = SNAPPY_BLOCK_BYTES - x->filled, n = in.n < room ? in.n : room;
        memcpy(x->block + x->filled, in.p, n);
        x->filled += n;
        in.p += n;
        in.n -= n;
        if (x->filled == SNAPPY_BLOCK_BYTES && snappy_flush(x, out) != RC_OK)
            return RC_NOMEM;
    }
    return RC_OK;
}

static enum rc snappy_writer_end(struct codec_writer *w, struct buf *out)
{
    return snappy_flush(w->state, out);
}

const struct codec_ops codec_snappy = {snappy_reader_start, NULL, snappy_reader_next, snappy_writer_start,
                                       snappy_writer_put, snappy_writer_end};
