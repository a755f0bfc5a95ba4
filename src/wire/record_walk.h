// SPDX-License-Identifier: Apache-2.0
//
// Takes the records of a batch apart as their bytes come out of a codec, in pieces of any size: a record may be larger
// than any piece, so keys and values are passed over and never gathered. wire/record.h is the same for records that lie
// in memory, and must agree. Pure.
#pragma once

#include "base/bytes.h"

struct record_walk {
    uint8_t stage;        // what the next byte belongs to
    uint8_t varint_shift; // bits of a varint that began in an earlier piece
    uint64_t varint;
    int64_t record_left; // bytes the record's length still promises
    int64_t skip;        // of a key or value not yet seen
    int32_t headers_left;
    int32_t record_count; // whole records seen

    // Of the record that record_walk_next() has just completed.
    bool key_null;
    int64_t timestamp_delta;
    int32_t offset_delta;
};

// A zeroed struct is at the beginning.
// RC_OK: a record is complete, *in is left behind it. RC_AGAIN: *in is used up. RC_MALFORMED.
enum rc record_walk_next(struct record_walk *w, struct bytes *in);

// True between records: where the bytes may end.
bool record_walk_whole(const struct record_walk *w);
