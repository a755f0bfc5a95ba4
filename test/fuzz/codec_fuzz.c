// SPDX-License-Identifier: Apache-2.0
//
// Input: one byte chooses the codec, the rest is taken for a compressed stream, and for bytes to compress. The size of
// the steps must not matter, and what was written must be read back.
#include <stdlib.h>

#include "base/assert.h"
#include "fuzz.h"
#include "wire/codec.h"
#include "wire/crc32c.h"

enum { OUT_BYTES_MAX = 1 << 24 };

static _Alignas(16) uint8_t workspace[CODEC_WORKSPACE_BYTES];

// How the stream ends, and the checksum and size of what came before. r is zeroed or read in the workspace last.
static enum rc read_all(struct codec_reader *r, enum codec codec, struct bytes in, size_t step, uint32_t *crc,
                        uint64_t *bytes)
{
    struct bytes piece;
    *crc = 0;
    enum rc rc = codec_reader_again(r, codec, in, workspace, sizeof(workspace));
    while (rc == RC_OK && r->out_bytes < OUT_BYTES_MAX) {
        rc = codec_reader_next(r, step, &piece);
        if (rc == RC_OK)
            *crc = crc32c(*crc, piece.p, piece.n);
    }
    *bytes = r->out_bytes;
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n < 1)
        return 0;
    enum codec codec = (enum codec)(1 + p[0] % (CODEC_COUNT - 1));
    struct bytes in = bytes_of(p + 1, n - 1);
    uint32_t crc, crc_small;
    uint64_t bytes, bytes_small;
    struct codec_reader r = {0}; // the second reading begins where the first left its memory, wherever it ended
    enum rc rc = read_all(&r, codec, in, CODEC_WINDOW_BYTES, &crc, &bytes);
    enum rc small = read_all(&r, codec, in, 1 + p[0] / 4u * 16u, &crc_small, &bytes_small);
    ASSERT(rc == RC_OK || rc == RC_EOF || rc == RC_MALFORMED || rc == RC_NOMEM);
    // What is good is good in steps of any size, with the same bytes. Which of its faults a bad stream is refused for may
    // depend on the step: zstd asks for its window only when a frame does not fit the output at hand.
    bool whole = bytes < OUT_BYTES_MAX && bytes_small < OUT_BYTES_MAX && rc != RC_NOMEM && small != RC_NOMEM;
    if (whole)
        ASSERT((rc == RC_EOF) == (small == RC_EOF));
    if (whole && rc == RC_EOF)
        ASSERT(crc == crc_small && bytes == bytes_small);
    struct buf packed;
    buf_init(&packed, 1 << 24);
    ASSERT(codec_compress(codec, CODEC_LEVEL_DEFAULT, in, &packed, workspace, sizeof(workspace)) == RC_OK);
    r = (struct codec_reader){0};
    ASSERT(read_all(&r, codec, buf_bytes(&packed), CODEC_WINDOW_BYTES, &crc, &bytes) == RC_EOF);
    ASSERT(bytes == in.n && crc == crc32c(0, in.p, in.n));
    buf_deinit(&packed);
    return 0;
}
