// SPDX-License-Identifier: Apache-2.0
//
// Where each leader epoch of a log begins, and Kafka's text file of it (leader-epoch-checkpoint). Epochs and offsets
// only rise. Pure but for memory; log.c reads and writes the file.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/rc.h"

struct epoch_start {
    int32_t epoch;
    int64_t offset;
};

struct epoch_cache {
    struct epoch_start *entries; // ascending
    uint32_t count, cap;
    bool changed; // since the file was last written
};

void epoch_cache_deinit(struct epoch_cache *c);
// So many epochs can begin without memory. RC_NOMEM.
enum rc epoch_cache_reserve(struct epoch_cache *c, size_t more);
// What follows at offset, the log's end, is of epoch. Entries at or past offset are dropped, newer epochs too: what they
// began was never written, as by a leader that lost its role before its first append and now follows one whose batches
// are older (Kafka's cache drops them as well). What is left goes on where its last epoch is this one or newer. RC_NOMEM.
enum rc epoch_cache_begin(struct epoch_cache *c, int32_t epoch, int64_t offset);
// The end offset of the largest epoch at or below `epoch`; log_end ends the last one. Unknown: epoch NONE, offset NONE.
void epoch_cache_end(const struct epoch_cache *c, int32_t epoch, int64_t log_end, int32_t *found_epoch,
                     int64_t *end_offset);
// The epoch offset belongs to, or LEADER_EPOCH_NONE.
int32_t epoch_cache_at(const struct epoch_cache *c, int64_t offset);
int32_t epoch_cache_latest(const struct epoch_cache *c);
// The log now ends at offset / starts at offset.
void epoch_cache_cut_end(struct epoch_cache *c, int64_t offset);
void epoch_cache_cut_start(struct epoch_cache *c, int64_t offset);
void epoch_cache_clear(struct epoch_cache *c);
// Kafka's text: version 0, count, then "epoch offset" lines.
void epoch_cache_print(const struct epoch_cache *c, struct buf *out);
// RC_CORRUPT: not that form; the cache is empty then. RC_NOMEM.
enum rc epoch_cache_parse(struct epoch_cache *c, struct bytes text);
