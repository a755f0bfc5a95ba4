// SPDX-License-Identifier: Apache-2.0
//
// The compression of record batches, as streams that give way: the caller says how much may come out of one call, so
// that a 16 MiB gzip batch never holds the loop. All memory of a stream lies in a workspace of the caller; nothing is
// allocated. zlib, lz4 and zstd do the work; snappy is our own (codec_snappy.c says why). What is written is what every
// client reads: gzip without name and with time 0; snappy in xerial framing (32 KiB blocks); lz4 frames of independent
// 64 KiB blocks without content size (Java reads no other); zstd with a window of at most 8 MiB. Read: the same,
// several gzip members or frames in a row, and raw snappy. Pure; any thread, one stream at a time in a workspace.
#pragma once

#include "base/bytes.h"

// Kafka's codec ids: bits 0 to 2 of a batch's attributes.
enum codec { CODEC_NONE, CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD, CODEC_COUNT };

// "none", "gzip", "snappy", "lz4", "zstd". parse gives false for anything else.
const char *codec_name(enum codec codec);
bool codec_parse(struct bytes name, enum codec *out);

enum {
    // Enough for every codec at its largest (lz4 with linked 4 MiB blocks, zstd with an 8 MiB window). Only what a
    // stream uses is touched. Readers: gzip 104 KiB, snappy 196 KiB, lz4 with 64 KiB blocks 68 KiB, zstd 284 KiB and as
    // much of its window as the content fills (2.4 MiB at level 3). Writers: gzip 264 KiB, snappy 52 KiB, lz4 84 KiB,
    // zstd at level 3 up to 3.3 MiB. Streams of 1 KiB: 4 to 32 KiB to read.
    CODEC_WORKSPACE_BYTES = 9 << 20,
    CODEC_WINDOW_BYTES = 64 << 10, // what one call of a reader gives at most
    CODEC_LEVEL_DEFAULT = INT32_MIN,
};

// A stream being read.
struct codec_reader {
    enum codec codec;
    struct bytes in;    // what is left of the input
    uint64_t out_bytes; // given so far
    enum rc ended;      // how, once it has; what came out before damage is given first
    void *state;        // in the workspace
};

// Begins to read `in`, which must outlive the reader. workspace: 16-byte aligned, kept until the caller drops it.
// RC_UNSUPPORTED_COMPRESSION_TYPE for no codec of ours; RC_MALFORMED; RC_NOMEM when the workspace is too small for
// this stream.
enum rc codec_reader_start(struct codec_reader *r, enum codec codec, struct bytes in, void *workspace, size_t bytes);
// The same for a reader that is zeroed or was started last in this very workspace, which nobody has written to since:
// what its codec laid out there serves again. A stream of 1 KiB of zstd, whose library asks the processor what it is each
// time (8 us where a hypervisor answers), takes a fifth of the time.
enum rc codec_reader_again(struct codec_reader *r, enum codec codec, struct bytes in, void *workspace, size_t bytes);
// The next output: 1 to out_max bytes (and never more than CODEC_WINDOW_BYTES; CODEC_NONE gives views of its input),
// valid until the next call. RC_EOF at the proper end; RC_MALFORMED for a damaged or cut stream; RC_NOMEM for one that
// needs more than the workspace. Work is bounded by out_max and, for lz4, by the block size of the frame.
enum rc codec_reader_next(struct codec_reader *r, size_t out_max, struct bytes *out);

// A stream being written. Feed it pieces as large as the time allows.
struct codec_writer {
    enum codec codec;
    void *state;
};

// level: CODEC_LEVEL_DEFAULT or Kafka's compression.<codec>.level (gzip 1 to 9 and -1, lz4 1 to 17, zstd -131072 to
// 22). size_hint: about how much is coming, 0 when unknown. A zstd level that needs more than the workspace is lowered
// until it fits.
enum rc codec_writer_start(struct codec_writer *w, enum codec codec, int level, size_t size_hint, void *workspace,
                           size_t bytes);
// Appends to out. RC_NOMEM when out is full; lz4 and snappy want room for their worst case, some 130 KiB beyond the
// data.
enum rc codec_writer_put(struct codec_writer *w, struct bytes in, struct buf *out);
enum rc codec_writer_end(struct codec_writer *w, struct buf *out);

// Whole buffers: out is appended to; RC_FULL when more than out_max bytes would come. A workspace as above, or NULL to
// have one allocated for the call.
enum rc codec_compress(enum codec codec, int level, struct bytes in, struct buf *out, void *workspace, size_t bytes);
enum rc codec_decompress(enum codec codec, struct bytes in, size_t out_max, struct buf *out, void *workspace,
                         size_t bytes);

// About how many bytes of output one microsecond buys on a slow core; for turning time into out_max without a clock.
size_t codec_reader_bytes_per_us(enum codec codec);
size_t codec_writer_bytes_per_us(enum codec codec);
