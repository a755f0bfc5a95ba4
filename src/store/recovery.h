// SPDX-License-Identifier: Apache-2.0
//
// The state of a recovery under way; shared by what begins like this file only.
#pragma once

#include "store/log_private.h"

enum { RECOVERY_BUFFER_BYTES = 256 * 1024 };

// One .log file found in the folder.
struct recovery_segment {
    int64_t base_offset;
    uint32_t bytes;
    bool has_index, has_time_index, has_txn_index;
};

enum recovery_phase {
    RECOVERY_REBUILD, // indexes that are missing or damaged, from headers
    RECOVERY_SCAN,    // batches past the point, every byte
};

struct plog_recovery {
    enum recovery_phase phase;
    struct recovery_segment *segments; // ascending
    uint32_t count, cap;
    bool nomem, swaps; // while listing; swaps: files of a compaction are there
    int64_t newest_snapshot; // of producers, OFFSET_NONE
    uint32_t current; // of segments: the one that is active and being scanned
    struct log_dir_mark from;
    bool from_mark; // a written mark; else a recovery point, or nothing
    bool rewrite;   // what is past the point may be in the page cache only: it is written once more
    uint64_t scanned_bytes, cut_bytes;
    // REBUILD
    bool rebuild_epochs; // the file of the leader epochs is damaged
    uint32_t epochs;     // of segments
    uint32_t epochs_at;  // position in it
    int64_t epochs_end;  // behind the last batch seen
    bool rebuild_producers, rebuilt_producers; // their snapshot is missing or damaged; it is done
    uint32_t producers;    // of segments
    uint32_t producers_at; // position in it
    uint32_t rebuild;    // of segments
    uint32_t rebuild_at; // position in it
    bool rebuilding;
    struct segment_active rebuilt; // index tails of a sealed segment
    // SCAN: what was read of the current file, and the batch whose checksum is being computed
    uint8_t *buffer;
    uint64_t buffer_at;
    uint32_t buffer_bytes;
    struct batch_header header;
    bool in_batch;
    uint32_t crc, crc_at; // position up to which it is computed
};

// Makes the log's state that of r->from, from the small files (recovery_load.c). *whole is false when the indexes of the
// active segment have to be built again; r->rebuild_epochs when the leader epochs have to.
enum rc plog_recovery_load(struct plog *l, struct plog_recovery *r, bool *whole);
// Works until about deadline_ns (io_clock_ns()). RC_AGAIN: more to do. RC_OK: scanned to the end, torn tail cut.
enum rc plog_scan_step(struct plog *l, struct plog_recovery *r, uint64_t deadline_ns);
// The same for the indexes to be rebuilt.
enum rc plog_rebuild_step(struct plog *l, struct plog_recovery *r, uint64_t deadline_ns);
// The same for the leader epochs below the point, where r->rebuild_epochs says so.
enum rc plog_epochs_step(struct plog *l, struct plog_recovery *r, uint64_t deadline_ns);
// What is known of producers at the point: loaded, or r->rebuild_producers when batches have to be looked at. Snapshots past
// the point go.
enum rc plog_load_producers(struct plog *l, struct plog_recovery *r);
// The same as plog_epochs_step() for them.
enum rc plog_producers_step(struct plog *l, struct plog_recovery *r, uint64_t deadline_ns);
// Where what lies below the point ends in segment i; what follows is scanned.
uint32_t plog_recovery_end_of(const struct plog_recovery *r, uint32_t i);
// True when the indexes of segment i are missing or cannot be right; only files that recovery opens anyway are opened.
bool plog_indexes_missing(const struct plog_recovery *r, uint32_t i);
// Refuses the log for good, with a line that names folder, offset and command. Frees the recovery. RC_CORRUPT.
enum rc plog_damaged(struct plog *l, int64_t offset, const char *what);
