// SPDX-License-Identifier: Apache-2.0
//
// gzip by zlib, in the workspace. Several members in a row are read as one; what follows the last and is no member is
// left alone, as gzip and Java do.
#include <zlib.h>

#include "wire/codec_ops.h"

struct gzip {
    struct codec_space space; // zlib allocates from it
    z_stream z;
    uint8_t window[CODEC_WINDOW_BYTES]; // a reader's output
};

enum { GZIP_FORMAT = 16 + MAX_WBITS, GZIP_PIECE_BYTES = 16 << 10 };

static void *gzip_alloc(void *opaque, unsigned count, unsigned size)
{
    return codec_space_take(opaque, (size_t)count * size);
}

static void gzip_free(void *opaque, void *p)
{
    (void)opaque;
    (void)p;
}

// used: how much of struct gzip the stream needs.
static struct gzip *gzip_create(struct codec_space *s, size_t used)
{
    struct gzip *g = codec_space_take(s, used);
    if (!g)
        return NULL;
    g->space = *s;
    g->z = (z_stream){.zalloc = gzip_alloc, .zfree = gzip_free, .opaque = &g->space};
    return g;
}

static enum rc gzip_reader_start(struct codec_reader *r, struct codec_space *s)
{
    struct gzip *g = gzip_create(s, sizeof(*g));
    if (!g || inflateInit2(&g->z, GZIP_FORMAT) != Z_OK)
        return RC_NOMEM;
    r->state = g;
    return RC_OK;
}

// At the end of a member: true when another one follows.
static bool gzip_next_member(struct codec_reader *r, struct gzip *g)
{
    if (r->in.n < 2 || r->in.p[0] != 0x1f || r->in.p[1] != 0x8b)
        return false;
    return inflateReset(&g->z) == Z_OK;
}

static enum rc gzip_reader_next(struct codec_reader *r, size_t out_max, struct bytes *out)
{
    struct gzip *g = r->state;
    g->z.next_out = g->window;
    g->z.avail_out = (unsigned)out_max;
    enum rc rc = RC_OK;
    while (rc == RC_OK && g->z.avail_out > 0) {
        size_t give = r->in.n < INT32_MAX ? r->in.n : INT32_MAX;
        g->z.next_in = (uint8_t *)(uintptr_t)r->in.p; // zlib's const is a build option
        g->z.avail_in = (unsigned)give;
        int z = inflate(&g->z, Z_NO_FLUSH);
        size_t taken = give - g->z.avail_in;
        r->in.p += taken;
        r->in.n -= taken;
        if (z == Z_STREAM_END)
            rc = gzip_next_member(r, g) ? RC_OK : RC_EOF;
        else if (z != Z_OK) // Z_BUF_ERROR too: there was room, so the input has ended too soon
            rc = z == Z_MEM_ERROR ? RC_NOMEM : RC_MALFORMED;
    }
    *out = bytes_of(g->window, out_max - g->z.avail_out);
    return rc;
}

static enum rc gzip_writer_start(struct codec_writer *w, int level, size_t size_hint, struct codec_space *s)
{
    (void)size_hint;
    struct gzip *g = gzip_create(s, offsetof(struct gzip, window));
    if (!g)
        return RC_NOMEM;
    int z_level = level >= 1 && level <= 9 ? level : Z_DEFAULT_COMPRESSION;
    if (deflateInit2(&g->z, z_level, Z_DEFLATED, GZIP_FORMAT, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return RC_NOMEM;
    w->state = g;
    return RC_OK;
}

static enum rc gzip_deflate(struct gzip *g, struct bytes in, int flush, struct buf *out)
{
    ASSERT(in.n <= INT32_MAX);
    g->z.next_in = (uint8_t *)(uintptr_t)in.p;
    g->z.avail_in = (unsigned)in.n;
    for (;;) {
        size_t room;
        g->z.next_out = codec_room(out, GZIP_PIECE_BYTES, &room);
        g->z.avail_out = (unsigned)room;
        if (room == 0)
            return RC_NOMEM;
        int z = deflate(&g->z, flush);
        bool filled = g->z.avail_out == 0;
        codec_room_used(out, room, room - g->z.avail_out);
        if (z == Z_STREAM_END || (flush == Z_NO_FLUSH && !filled))
            return RC_OK;
        ASSERT(z == Z_OK || z == Z_BUF_ERROR);
    }
}

static enum rc gzip_writer_put(struct codec_writer *w, struct bytes in, struct buf *out)
{
    return in.n > 0 ? gzip_deflate(w->state, in, Z_NO_FLUSH, out) : RC_OK;
}

static enum rc gzip_writer_end(struct codec_writer *w, struct buf *out)
{
    return gzip_deflate(w->state, (struct bytes){0}, Z_FINISH, out);
}

const struct codec_ops codec_gzip = {gzip_reader_start, NULL, gzip_reader_next, gzip_writer_start, gzip_writer_put,
                                     gzip_writer_end};
