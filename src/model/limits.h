// SPDX-License-Identifier: Apache-2.0
//
// Every limit that more than one room must agree on, with the ties between them.
#pragma once

#include <stdint.h>

enum {
    TOPIC_NAME_BYTES_MAX = 249,
    CLIENT_ID_BYTES_SHOWN_MAX = 64, // in log lines; the wire's limit is the frame's
    BATCH_HEADER_BYTES = 61,        // magic 2 record batch header, records follow
    BATCH_LOG_OVERHEAD_BYTES = 12,  // base offset and length before the counted part
    PRODUCER_BATCHES_KEPT = 5,      // batches an idempotent producer may repeat (KIP-98)
    SCRATCH_BYTES = 65536,          // a shard's receive slab; larger frames get a buffer of their own
    TURN_READ_BYTES_MAX = 262144,   // read for one connection in one turn
    TURN_WRITE_BYTES_MAX = 262144,  // written for one connection in one turn
    SESSION_PRODUCES_MAX = 64,      // produce requests of one connection waiting for their answers
    SESSION_PRODUCE_BYTES_MAX = 8 << 20,
    SHARDS_MAX = 64,
    LOG_DIRS_MAX = 64,
    METADATA_ENTRY_BYTES_MAX = 1 << 20,    // one Raft entry
    PARTITIONS_PER_TOPIC_MAX = 100000,
    INFLATE_BYTES_MAX = 1 << 30,           // a batch that inflates beyond this is refused
    DECODE_EXPANSION_MAX = 16,             // decoded arrays of a request, as a multiple of its frame
};

_Static_assert(TURN_READ_BYTES_MAX >= SCRATCH_BYTES, "a turn reads at least one scratch slab");
_Static_assert(BATCH_HEADER_BYTES > BATCH_LOG_OVERHEAD_BYTES, "the header holds the length prefix");
