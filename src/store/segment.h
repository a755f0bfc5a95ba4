// SPDX-License-Identifier: Apache-2.0
//
// Segments of a log: names, what is known of a sealed one, and the state of the one that is written to.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rc.h"
#include "model/ids.h"

enum { SEGMENT_NAME_BYTES = 40 };

#define SEGMENT_TIMESTAMP_UNKNOWN INT64_C(-2) // not read from the time index yet

// "%020d<suffix>": suffix is ".log", ".index", ".timeindex", ".txnindex" or ".snapshot".
void segment_name(char out[SEGMENT_NAME_BYTES], int64_t base_offset, const char *suffix);
// Reads such a name; false when it is not one. *suffix points into name (".log", ".log.deleted", ...).
bool segment_name_parse(const char *name, int64_t *base_offset, const char **suffix);

// A segment that is written to no more.
struct segment {
    int64_t base_offset;
    int64_t timestamp_max; // TIMESTAMP_NONE: no batch has one
    int64_t sealed_ms;     // wall time when it was rolled or first seen: stands in where no batch has a timestamp
    uint32_t bytes;
};

// Entries gathered in memory before they are appended to an index file; see index.h.
struct index_tail {
    uint8_t *p; // NULL while there are none
    uint16_t bytes, cap;
    uint32_t file_bytes; // in the file, before these
    int64_t last_offset; // of the last entry of all, OFFSET_NONE when there is none
    int64_t last_key;    // time index: its timestamp
};

// The segment that is written to. bytes == 0 and made == false: its files are made by the next append.
struct segment_active {
    int64_t base_offset;
    uint32_t bytes;
    uint32_t bytes_since_index; // since the last index entry
    int64_t timestamp_max;      // greatest so far, and the last offset of the batch that has it
    int64_t timestamp_max_offset;
    int64_t timestamp_first; // of the first batch: the age of a segment counts from it (KIP-32)
    int64_t made_ms;         // wall time of its creation
    int64_t jitter_ms;       // subtracted from segment.ms
    struct index_tail index, time_index;
    uint32_t index_written; // position of the last entry that is in the file of the index, 0: there is none
    bool made;
    bool beside; // its indexes are built again, beside those that are there
};
