// SPDX-License-Identifier: Apache-2.0
//
// Looks for the first record of a batch with a timestamp at or past a bound: what a question by time ends with. Works
// in steps, because a compressed batch may be large; output of a codec is walked, never kept. Pure: memory is the
// caller's.
#pragma once

#include "wire/batch.h"
#include "wire/record_walk.h"

struct record_search {
    // in
    int64_t timestamp_ms; // the first record at or past it,
    int64_t from_offset;  // with an offset at or past this one
    // out, with RC_OK
    int64_t found_offset, found_timestamp;
    // private
    struct batch_header header;
    struct codec_reader reader;
    struct record_walk walk;
    struct bytes piece;
};

// True when record_search_start() needs a workspace for batch.
bool record_search_needs_workspace(const struct batch_header *h);
// batch: one whole batch, in place until the end; workspace as in codec.h. in fields are set.
// RC_AGAIN: step it. RC_OK: found already. RC_EOF: nothing here can match. RC_CORRUPT, RC_MALFORMED,
// RC_UNSUPPORTED_COMPRESSION_TYPE, RC_NOMEM.
enum rc record_search_start(struct record_search *s, struct bytes batch, void *workspace, size_t workspace_bytes);
// Works for about work_us microseconds. RC_AGAIN, RC_OK, RC_EOF: no such record; errors as above.
enum rc record_search_step(struct record_search *s, uint32_t work_us);
