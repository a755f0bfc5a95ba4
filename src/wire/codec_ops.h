// SPDX-License-Identifier: Apache-2.0
//
// Inside wire: what one codec gives to codec.c, and the memory it may use.
#pragma once

#include "base/assert.h"
#include "wire/codec.h"

// A workspace handed out from the front. Nothing is given back before the stream ends.
struct codec_space {
    uint8_t *p;
    size_t left;
};

// 16-byte aligned, not zeroed; NULL when the workspace is used up.
void *codec_space_take(struct codec_space *s, size_t bytes);

// start finds state NULL and sets it. put follows codec.h. next sets *out, possibly to nothing, and says how the
// stream is behind it; it is not called again after anything but RC_OK.
struct codec_ops {
    enum rc (*reader_start)(struct codec_reader *r, struct codec_space *s);
    void (*reader_again)(struct codec_reader *r); // r->state is of an earlier stream; NULL: start costs nothing
    enum rc (*reader_next)(struct codec_reader *r, size_t out_max, struct bytes *out);
    enum rc (*writer_start)(struct codec_writer *w, int level, size_t size_hint, struct codec_space *s);
    enum rc (*writer_put)(struct codec_writer *w, struct bytes in, struct buf *out);
    enum rc (*writer_end)(struct codec_writer *w, struct buf *out);
};

extern const struct codec_ops codec_gzip, codec_snappy, codec_lz4, codec_zstd;

// Room at the end of out for a library to write to: up to `want` bytes, less near out's limit; *room 0 when full.
// codec_room_used() then gives back what was not written.
static inline uint8_t *codec_room(struct buf *out, size_t want, size_t *room)
{
    size_t left = out->size_max - out->n;
    *room = want < left ? want : left;
    uint8_t *p = *room > 0 ? buf_extend(out, *room) : NULL;
    if (!p)
        *room = 0;
    return p;
}

static inline void codec_room_used(struct buf *out, size_t room, size_t used)
{
    ASSERT(used <= room);
    out->n -= room - used;
}
