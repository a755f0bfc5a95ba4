// SPDX-License-Identifier: Apache-2.0
//
// One record inside a batch, when all of it is in memory. All integers are zigzag varints:
//
//     length, attributes i8, timestamp delta, offset delta, key length (-1 null), key, value length, value,
//     header count, { key length, key, value length, value } ...
//
// Inside wire: batch.c and batch_check.c read records with it.
#pragma once

#include "wire/dec.h"

struct record_fields {
    int64_t timestamp_delta;
    int32_t offset_delta;
    struct bytes key, value;
    struct bytes headers; // encoded, header_count of them, checked
    int32_t header_count;
};

// A length and that many bytes; -1 is null.
struct bytes record_bytes_read(struct dec *d);

// Takes one record off *in. False, *in unchanged, when it is damaged or cut.
bool record_fields_read(struct bytes *in, struct record_fields *out);
