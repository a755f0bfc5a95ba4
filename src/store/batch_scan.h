// SPDX-License-Identifier: Apache-2.0
//
// Walks batch headers in a log file without reading the batches: to find the one that holds an offset, or where whole
// batches end. Reads little where batches are large and more where they are small.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rc.h"
#include "io/io.h"
#include "wire/batch.h"

struct batch_scan {
    struct io_file *file;
    uint32_t end;     // bytes of whole batches in the file
    bool cached_only; // RC_AGAIN rather than touch the disk
    uint64_t reads;
    // private
    uint64_t buffer_at;
    uint32_t buffer_bytes, chunk;
    uint8_t buffer[4096];
};

void batch_scan_init(struct batch_scan *s, struct io_file *file, uint32_t end, bool cached_only);
// The header of the batch at position. RC_EOF: position is the end. RC_CORRUPT: no whole batch lies there.
enum rc batch_scan_at(struct batch_scan *s, uint32_t position, struct batch_header *out);
