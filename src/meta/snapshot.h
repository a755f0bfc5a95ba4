// SPDX-License-Identifier: Apache-2.0
//
// An image as bytes: the records that rebuild it, in one order, so that equal images give equal bytes. Written piece by
// piece, so that a big one never blocks the loop, and read piece by piece.
#pragma once

#include "meta/image.h"

// A cursor over an image that the caller keeps referenced. Zeroed at start.
struct snapshot_writer {
    const struct image *image;
    uint32_t stage;
    struct bytes topic; // the topic written last
    int32_t partition;
    uint32_t position;
};

void snapshot_writer_init(struct snapshot_writer *w, const struct image *image);
// Appends about bytes_wanted bytes of records (each behind its length as a varint) to out. RC_OK: there is more;
// RC_EOF: that was all; RC_NOMEM.
enum rc snapshot_write(struct snapshot_writer *w, size_t bytes_wanted, struct buf *out);

// Loading: start from image_create(), feed whole pieces (cut anywhere between records), then image has the given index.
// Errors as image_apply_entry().
enum rc snapshot_load(struct image *w, struct bytes piece, uint64_t index, uint64_t term);
