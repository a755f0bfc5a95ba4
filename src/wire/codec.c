// SPDX-License-Identifier: Apache-2.0
//
// Chooses the codec and hands out its workspace; see codec.h.
#include "wire/codec.h"

#include <stdlib.h>

#include "wire/codec_ops.h"

static const char *const codec_names[CODEC_COUNT] = {"none", "gzip", "snappy", "lz4", "zstd"};

const char *codec_name(enum codec codec)
{
    return codec < CODEC_COUNT ? codec_names[codec] : "unknown";
}

bool codec_parse(struct bytes name, enum codec *out)
{
    for (enum codec c = CODEC_NONE; c < CODEC_COUNT; c++) {
        if (bytes_eq(name, bytes_str(codec_names[c]))) {
            *out = c;
            return true;
        }
    }
    return false;
}

// NULL for CODEC_NONE and for ids that are no codec.
static const struct codec_ops *codec_ops(enum codec codec)
{
    switch (codec) {
    case CODEC_GZIP:
        return &codec_gzip;
    case CODEC_SNAPPY:
        return &codec_snappy;
    case CODEC_LZ4:
        return &codec_lz4;
    case CODEC_ZSTD:
        return &codec_zstd;
    case CODEC_NONE:
    case CODEC_COUNT:
        break;
    }
    return NULL;
}

void *codec_space_take(struct codec_space *s, size_t bytes)
{
    size_t padded = (bytes + 15) & ~(size_t)15;
    if (padded < bytes || padded > s->left)
        return NULL;
    void *p = s->p;
    s->p += padded;
    s->left -= padded;
    return p;
}

enum rc codec_reader_start(struct codec_reader *r, enum codec codec, struct bytes in, void *workspace, size_t bytes)
{
    ASSERT((uintptr_t)workspace % 16 == 0);
    *r = (struct codec_reader){.codec = codec, .in = in};
    if (codec == CODEC_NONE)
        return RC_OK;
    const struct codec_ops *ops = codec_ops(codec);
    if (!ops)
        return RC_UNSUPPORTED_COMPRESSION_TYPE;
    struct codec_space s = {.p = workspace, .left = workspace ? bytes : 0};
    return ops->reader_start(r, &s);
}

enum rc codec_reader_again(struct codec_reader *r, enum codec codec, struct bytes in, void *workspace, size_t bytes)
{
    const struct codec_ops *ops = codec_ops(codec);
    if (!r->state || r->codec != codec || !ops->reader_again)
        return codec_reader_start(r, codec, in, workspace, bytes);
    ASSERT(r->state == workspace); // the first thing in it
    *r = (struct codec_reader){.codec = codec, .in = in, .state = r->state};
    ops->reader_again(r);
    return RC_OK;
}

enum rc codec_reader_next(struct codec_reader *r, size_t out_max, struct bytes *out)
{
    ASSERT(out_max > 0);
    size_t most = out_max < CODEC_WINDOW_BYTES ? out_max : CODEC_WINDOW_BYTES;
    if (r->codec == CODEC_NONE) {
        *out = bytes_of(r->in.p, r->in.n < out_max ? r->in.n : out_max);
        r->in.p += out->n;
        r->in.n -= out->n;
        r->out_bytes += out->n;
        return out->n > 0 ? RC_OK : RC_EOF;
    }
    if (r->ended != RC_OK)
        return r->ended;
    *out = (struct bytes){0};
    enum rc rc = codec_ops(r->codec)->reader_next(r, most, out);
    ASSERT(out->n <= most && (rc != RC_OK || out->n > 0));
    r->ended = rc;
    r->out_bytes += out->n;
    return out->n > 0 ? RC_OK : rc;
}

enum rc codec_writer_start(struct codec_writer *w, enum codec codec, int level, size_t size_hint, void *workspace,
                           size_t bytes)
{
    ASSERT((uintptr_t)workspace % 16 == 0);
    *w = (struct codec_writer){.codec = codec};
    if (codec == CODEC_NONE)
        return RC_OK;
    const struct codec_ops *ops = codec_ops(codec);
    if (!ops)
        return RC_UNSUPPORTED_COMPRESSION_TYPE;
    struct codec_space s = {.p = workspace, .left = workspace ? bytes : 0};
    return ops->writer_start(w, level, size_hint, &s);
}

enum rc codec_writer_put(struct codec_writer *w, struct bytes in, struct buf *out)
{
    if (w->codec != CODEC_NONE)
        return codec_ops(w->codec)->writer_put(w, in, out);
    buf_append(out, in.p, in.n);
    return out->failed ? RC_NOMEM : RC_OK;
}

enum rc codec_writer_end(struct codec_writer *w, struct buf *out)
{
    return w->codec == CODEC_NONE ? RC_OK : codec_ops(w->codec)->writer_end(w, out);
}

enum rc codec_compress(enum codec codec, int level, struct bytes in, struct buf *out, void *workspace, size_t bytes)
{
    void *own = NULL;
    if (!workspace && codec != CODEC_NONE) {
        bytes = CODEC_WORKSPACE_BYTES;
        workspace = own = aligned_alloc(16, bytes);
        if (!own)
            return RC_NOMEM;
    }
    struct codec_writer w;
    enum rc rc = codec_writer_start(&w, codec, level, in.n, workspace, bytes);
    if (rc == RC_OK)
        rc = codec_writer_put(&w, in, out);
    if (rc == RC_OK)
        rc = codec_writer_end(&w, out);
    free(own);
    return rc;
}

static enum rc decompress(struct codec_reader *r, size_t out_max, struct buf *out)
{
    struct bytes piece;
    enum rc rc;
    while ((rc = codec_reader_next(r, CODEC_WINDOW_BYTES, &piece)) == RC_OK) {
        if (r->out_bytes > out_max)
            return RC_FULL;
        buf_append(out, piece.p, piece.n);
        if (out->failed)
            return RC_NOMEM;
    }
    return rc == RC_EOF ? RC_OK : rc;
}

enum rc codec_decompress(enum codec codec, struct bytes in, size_t out_max, struct buf *out, void *workspace,
                         size_t bytes)
{
    void *own = NULL;
    if (!workspace && codec != CODEC_NONE) {
        bytes = CODEC_WORKSPACE_BYTES;
        workspace = own = aligned_alloc(16, bytes);
        if (!own)
            return RC_NOMEM;
    }
    struct codec_reader r;
    enum rc rc = codec_reader_start(&r, codec, in, workspace, bytes);
    if (rc == RC_OK)
        rc = decompress(&r, out_max, out);
    free(own);
    return rc;
}

size_t codec_reader_bytes_per_us(enum codec codec)
{
    static const uint16_t rate[CODEC_COUNT] = {2000, 200, 600, 1000, 500};
    return rate[codec];
}

size_t codec_writer_bytes_per_us(enum codec codec)
{
    static const uint16_t rate[CODEC_COUNT] = {4000, 25, 250, 350, 150};
    return rate[codec];
}
