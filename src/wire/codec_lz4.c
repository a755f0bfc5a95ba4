// SPDX-License-Identifier: Apache-2.0
//
// lz4 frames by liblz4, in the workspace. Read: every frame, several in a row. Written: independent 64 KiB blocks, no
// content size, no checksums but the header's; Kafka's Java reader takes nothing else.
#define LZ4F_STATIC_LINKING_ONLY
#include <lz4frame.h>

#include "wire/codec_ops.h"

struct lz4 {
    struct codec_space space;
    union {
        LZ4F_dctx *reader;
        LZ4F_cctx *writer;
    };
    LZ4F_preferences_t preferences;
    bool begun; // between a frame's first byte and its end
    bool any;   // a frame was seen
    uint8_t window[CODEC_WINDOW_BYTES];
};

enum { LZ4_PIECE_BYTES = 64 << 10 };

static void *lz4_alloc(void *opaque, size_t bytes)
{
    return codec_space_take(opaque, bytes);
}

static void lz4_free(void *opaque, void *p)
{
    (void)opaque;
    (void)p;
}

static LZ4F_CustomMem lz4_memory(struct lz4 *l)
{
    return (LZ4F_CustomMem){.customAlloc = lz4_alloc, .customFree = lz4_free, .opaqueState = &l->space};
}

static struct lz4 *lz4_create(struct codec_space *s, size_t used)
{
    struct lz4 *l = codec_space_take(s, used);
    if (!l)
        return NULL;
    l->space = *s;
    l->begun = l->any = false;
    return l;
}

static enum rc lz4_reader_start(struct codec_reader *r, struct codec_space *s)
{
    struct lz4 *l = lz4_create(s, sizeof(*l));
    if (!l)
        return RC_NOMEM;
    l->reader = LZ4F_createDecompressionContext_advanced(lz4_memory(l), LZ4F_VERSION);
    if (!l->reader)
        return RC_NOMEM;
    r->state = l;
    return RC_OK;
}

static enum rc lz4_reader_next(struct codec_reader *r, size_t out_max, struct bytes *out)
{
    struct lz4 *l = r->state;
    size_t filled = 0;
    // With the input at its end the context may still hold decoded bytes, so it is asked until it gives none.
    while (filled < out_max && (r->in.n > 0 || l->begun)) {
        size_t room = out_max - filled, taken = r->in.n;
        size_t code = LZ4F_decompress(l->reader, l->window + filled, &room, r->in.p, &taken, NULL);
        if (LZ4F_isError(code)) {
            *out = bytes_of(l->window, filled);
            return LZ4F_getErrorCode(code) == LZ4F_ERROR_allocation_failed ? RC_NOMEM : RC_MALFORMED;
        }
        r->in.p += taken;
        r->in.n -= taken;
        filled += room;
        l->begun = code != 0;
        l->any = true;
        if (room == 0 && taken == 0)
            break;
    }
    *out = bytes_of(l->window, filled);
    if (filled > 0)
        return RC_OK;
    return l->begun || r->in.n > 0 || !l->any ? RC_MALFORMED : RC_EOF;
}

static enum rc lz4_writer_start(struct codec_writer *w, int level, size_t size_hint, struct codec_space *s)
{
    (void)size_hint;
    struct lz4 *l = lz4_create(s, offsetof(struct lz4, window));
    if (!l)
        return RC_NOMEM;
    l->writer = LZ4F_createCompressionContext_advanced(lz4_memory(l), LZ4F_VERSION);
    if (!l->writer)
        return RC_NOMEM;
    l->preferences = (LZ4F_preferences_t){
        .frameInfo = {.blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent},
        .compressionLevel = level == CODEC_LEVEL_DEFAULT ? 0 : level,
    };
    w->state = l;
    return RC_OK;
}

static enum rc lz4_begin(struct lz4 *l, struct buf *out)
{
    size_t room;
    uint8_t *p = codec_room(out, LZ4F_HEADER_SIZE_MAX, &room);
    size_t n = room ? LZ4F_compressBegin(l->writer, p, room, &l->preferences) : 0;
    if (room == 0 || LZ4F_isError(n)) {
        codec_room_used(out, room, 0);
        return RC_NOMEM;
    }
    codec_room_used(out, room, n);
    l->begun = true;
    return RC_OK;
}

static enum rc lz4_writer_put(struct codec_writer *w, struct bytes in, struct buf *out)
{
    struct lz4 *l = w->state;
    if (!l->begun && lz4_begin(l, out) != RC_OK)
        return RC_NOMEM;
    while (in.n > 0) {
        size_t piece = in.n < LZ4_PIECE_BYTES ? in.n : LZ4_PIECE_BYTES, room;
        uint8_t *p = codec_room(out, LZ4F_compressBound(piece, &l->preferences), &room);
        size_t n = LZ4F_compressUpdate(l->writer, p, room, in.p, piece, NULL);
        if (room == 0 || LZ4F_isError(n)) {
            codec_room_used(out, room, 0);
            return RC_NOMEM;
        }
        codec_room_used(out, room, n);
        in.p += piece;
        in.n -= piece;
    }
    return RC_OK;
}

static enum rc lz4_writer_end(struct codec_writer *w, struct buf *out)
{
    struct lz4 *l = w->state;
    if (!l->begun && lz4_begin(l, out) != RC_OK)
        return RC_NOMEM;
    size_t room;
    uint8_t *p = codec_room(out, LZ4F_compressBound(0, &l->preferences), &room);
    size_t n = LZ4F_compressEnd(l->writer, p, room, NULL);
    bool failed = room == 0 || LZ4F_isError(n);
    codec_room_used(out, room, failed ? 0 : n);
    return failed ? RC_NOMEM : RC_OK;
}

const struct codec_ops codec_lz4 = {lz4_reader_start, NULL, lz4_reader_next, lz4_writer_start, lz4_writer_put,
                                    lz4_writer_end};
