// SPDX-License-Identifier: Apache-2.0
//
// zstd by libzstd, its contexts placed in the workspace. The window a stream may ask for is what the workspace holds,
// 8 MiB at most; zstd levels 20 and up declare more when they do not know the size, and are refused by name.
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>
#include <zstd_errors.h>

#include "wire/codec_ops.h"

struct zstd {
    union {
        ZSTD_DStream *reader;
        ZSTD_CStream *writer;
    };
    bool begun; // between a frame's first byte and its end
    bool any;   // a frame was seen
    unsigned long long declared; // content bytes of this frame, or what ZSTD_getFrameContentSize() says instead
    uint64_t content;            // bytes of it read so far
    uint8_t window[CODEC_WINDOW_BYTES];
};

enum { ZSTD_WINDOW_LOG_MAX = 23, ZSTD_PIECE_BYTES = 16 << 10 };

static enum rc zstd_rc(size_t code)
{
    ZSTD_ErrorCode e = ZSTD_getErrorCode(code);
    return e == ZSTD_error_memory_allocation || e == ZSTD_error_frameParameter_windowTooLarge ? RC_NOMEM : RC_MALFORMED;
}

// The rest of the workspace, as the library wants it.
static void *zstd_rest(struct codec_space *s, size_t *bytes)
{
    *bytes = s->left & ~(size_t)15;
    return *bytes ? codec_space_take(s, *bytes) : NULL;
}

static enum rc zstd_reader_start(struct codec_reader *r, struct codec_space *s)
{
    struct zstd *z = codec_space_take(s, sizeof(*z));
    size_t bytes;
    void *rest = z ? zstd_rest(s, &bytes) : NULL;
    if (!rest)
        return RC_NOMEM;
    z->reader = ZSTD_initStaticDStream(rest, bytes);
    z->begun = z->any = false;
    if (!z->reader || ZSTD_isError(ZSTD_DCtx_setParameter(z->reader, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX)))
        return RC_NOMEM;
    r->state = z;
    return RC_OK;
}

static void zstd_reader_again(struct codec_reader *r)
{
    struct zstd *z = r->state;
    size_t code = ZSTD_DCtx_reset(z->reader, ZSTD_reset_session_only); // the largest window stays as it was set
    ASSERT(!ZSTD_isError(code));
    z->begun = z->any = false;
}

static void zstd_frame_start(struct zstd *z, struct bytes in)
{
    if (z->begun)
        return;
    z->declared = ZSTD_getFrameContentSize(in.p, in.n);
    z->content = 0;
}

// The library compares a frame's size with the declared one only on some of its paths (not behind an empty last block),
// and which it takes depends on the room for output.
static bool zstd_is_misdeclared(const struct zstd *z)
{
    return z->declared < ZSTD_CONTENTSIZE_ERROR && z->content != z->declared;
}

static enum rc zstd_reader_next(struct codec_reader *r, size_t out_max, struct bytes *out)
{
    struct zstd *z = r->state;
    ZSTD_outBuffer o = {.dst = z->window, .size = out_max};
    while (o.pos < o.size && (r->in.n > 0 || z->begun)) {
        size_t before = o.pos;
        zstd_frame_start(z, r->in);
        ZSTD_inBuffer i = {.src = r->in.p, .size = r->in.n};
        size_t code = ZSTD_decompressStream(z->reader, &o, &i);
        z->content += o.pos - before;
        if (ZSTD_isError(code) || (code == 0 && zstd_is_misdeclared(z))) {
            *out = bytes_of(z->window, o.pos);
            return code == 0 ? RC_MALFORMED : zstd_rc(code);
        }
        r->in.p += i.pos;
        r->in.n -= i.pos;
        z->begun = code != 0;
        z->any = true;
        if (i.pos == 0 && o.pos == before)
            break;
    }
    *out = bytes_of(z->window, o.pos);
    if (o.pos > 0)
        return RC_OK;
    return z->begun || r->in.n > 0 || !z->any ? RC_MALFORMED : RC_EOF;
}

// The parameters of the highest level up to `level` whose context fits into bytes.
static ZSTD_compressionParameters zstd_fit(int level, size_t size_hint, size_t bytes)
{
    for (;; level--) {
        ZSTD_compressionParameters c = ZSTD_getCParams(level, size_hint, 0);
        if (c.windowLog > ZSTD_WINDOW_LOG_MAX)
            c.windowLog = ZSTD_WINDOW_LOG_MAX;
        if (level <= 1 || ZSTD_estimateCStreamSize_usingCParams(c) <= bytes)
            return c;
    }
}

static enum rc zstd_writer_start(struct codec_writer *w, int level, size_t size_hint, struct codec_space *s)
{
    struct zstd *z = codec_space_take(s, offsetof(struct zstd, window));
    size_t bytes;
    void *rest = z ? zstd_rest(s, &bytes) : NULL;
    if (!rest)
        return RC_NOMEM;
    if (level == CODEC_LEVEL_DEFAULT)
        level = ZSTD_CLEVEL_DEFAULT;
    z->writer = ZSTD_initStaticCStream(rest, bytes);
    if (!z->writer)
        return RC_NOMEM;
    ZSTD_compressionParameters c = zstd_fit(level < ZSTD_maxCLevel() ? level : ZSTD_maxCLevel(), size_hint, bytes);
    const struct {
        ZSTD_cParameter name;
        unsigned value;
    } wanted[] = {
        {ZSTD_c_windowLog, c.windowLog}, {ZSTD_c_hashLog, c.hashLog},   {ZSTD_c_chainLog, c.chainLog},
        {ZSTD_c_searchLog, c.searchLog}, {ZSTD_c_minMatch, c.minMatch}, {ZSTD_c_targetLength, c.targetLength},
        {ZSTD_c_strategy, c.strategy},
    };
    for (size_t i = 0; i < ARRAY_COUNT(wanted); i++)
        if (ZSTD_isError(ZSTD_CCtx_setParameter(z->writer, wanted[i].name, (int)wanted[i].value)))
            return RC_INVALID;
    w->state = z;
    return RC_OK;
}

static enum rc zstd_write(struct zstd *z, struct bytes in, ZSTD_EndDirective end, struct buf *out)
{
    ZSTD_inBuffer i = {.src = in.p, .size = in.n};
    for (;;) {
        size_t room;
        uint8_t *p = codec_room(out, ZSTD_PIECE_BYTES, &room);
        if (room == 0)
            return RC_NOMEM;
        ZSTD_outBuffer o = {.dst = p, .size = room};
        size_t left = ZSTD_compressStream2(z->writer, &o, &i, end);
        codec_room_used(out, room, o.pos);
        if (ZSTD_isError(left))
            return RC_NOMEM;
        if (end == ZSTD_e_end ? left == 0 : i.pos == i.size)
            return RC_OK;
    }
}

static enum rc zstd_writer_put(struct codec_writer *w, struct bytes in, struct buf *out)
{
    return in.n > 0 ? zstd_write(w->state, in, ZSTD_e_continue, out) : RC_OK;
}

static enum rc zstd_writer_end(struct codec_writer *w, struct buf *out)
{
    return zstd_write(w->state, (struct bytes){0}, ZSTD_e_end, out);
}

const struct codec_ops codec_zstd = {zstd_reader_start, zstd_reader_again, zstd_reader_next, zstd_writer_start,
                                     zstd_writer_put, zstd_writer_end};
