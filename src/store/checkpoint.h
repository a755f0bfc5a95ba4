// SPDX-License-Identifier: Apache-2.0
//
// The checkpoint file of a log folder: fixed records, appended, each with its own checksum, so that a power cut costs
// the tail and never the rest; rewritten when it is twice as long as what still counts. Knows nothing of partitions'
// meaning: log_dir.c keeps the live entries and says what to write again.
//
// Record, 64 bytes, big-endian: u8 type, u8 version, u16 flags, i32 partition, 16 bytes topic id, i64 offset,
// i64 segment base, u32 position, i32 leader epoch, u64 (BOOT: boot hash; with the flag TIMED: i64 timestamp; else 0),
// u64 XXH3 of the 56 bytes before.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/rc.h"
#include "base/trace.h"
#include "io/io.h"
#include "model/ids.h"

enum { CHECKPOINT_RECORD_BYTES = 64, CHECKPOINT_VERSION = 1, CHECKPOINT_GATHERED_MAX = 64 };

enum checkpoint_type {
    CHECKPOINT_BOOT = 1,           // a process started: hash of the boot id
    CHECKPOINT_RECOVERY_POINT = 2, // synced up to here
    CHECKPOINT_MARK = 3,           // written up to here; true only for the boot of the last BOOT record
    CHECKPOINT_DIRTY = 4,          // something follows the mark
    CHECKPOINT_HIGH_WATERMARK = 5,
    CHECKPOINT_START = 6,   // log start
    CHECKPOINT_REMOVED = 7, // the partition is gone
    CHECKPOINT_STOPPED = 8, // clean stop: everything above is synced, recovery points are the ends
    CHECKPOINT_CLEANED = 9, // compacted up to here; lost, it costs work and nothing else
    CHECKPOINT_MOVES = 10, // how often the log has come to another folder: of two that have it the later one counts
    CHECKPOINT_TYPE_LAST = CHECKPOINT_MOVES,
};

enum {
    CHECKPOINT_FLAG_CLEAN = 1, // RECOVERY_POINT, MARK: nothing follows
    CHECKPOINT_FLAG_RESET = 2, // RECOVERY_POINT: the log was cut; marks past it are void
    CHECKPOINT_FLAG_BEGINS = 4, // RECOVERY_POINT: the log begins there, nothing that came before is part of it
    CHECKPOINT_FLAG_TIMED = 8,  // RECOVERY_POINT, MARK: with the greatest timestamp of the segment, which the last batch has
};

struct checkpoint_record {
    uint8_t type;
    uint16_t flags;
    struct topic_partition id;
    int64_t offset;
    int64_t segment_base;
    uint32_t position;
    int32_t leader_epoch;
    uint64_t boot;     // of BOOT
    int64_t timestamp; // with FLAG_TIMED
};

struct checkpoint {
    struct io_file file;
    struct io_file next; // the file that will replace it; open between begin and finish
    struct trace_sink *trace;
    char path[IO_PATH_BYTES_MAX];
    uint64_t bytes; // valid length; appends go here
    uint64_t next_bytes;
    bool gathers;
    uint32_t gathered_bytes;
    uint8_t gathered[CHECKPOINT_GATHERED_MAX * CHECKPOINT_RECORD_BYTES];
};

void checkpoint_encode(const struct checkpoint_record *r, uint8_t out[CHECKPOINT_RECORD_BYTES]);
// RC_CORRUPT: checksum, version or type is wrong.
enum rc checkpoint_decode(const uint8_t in[CHECKPOINT_RECORD_BYTES], struct checkpoint_record *r);

// Opens or makes the file and calls apply for every valid record in order. A torn tail is cut; a damaged record with
// valid ones behind it is reported and skipped (older values only cost a longer scan). [boot]
enum rc checkpoint_open(struct checkpoint *c, struct io *io, struct trace_sink *trace, const char *path,
                        enum rc (*apply)(void *context, const struct checkpoint_record *r), void *context);
void checkpoint_close(struct checkpoint *c);
// Appends one record inline, to both files while one replaces the other; not synced. RC_NO_SPACE, RC_IO.
enum rc checkpoint_append(struct checkpoint *c, const struct checkpoint_record *r);
// Between begin and end records that only spare a start work (recovery points but those of a cut, high watermarks) are
// gathered and written together: a sync makes points of hundreds of logs at once. Any other record goes behind what is
// gathered, at once. An error of end: what is gathered stays so and goes before the next record, whose error it is then.
void checkpoint_gather_begin(struct checkpoint *c);
enum rc checkpoint_gather_end(struct checkpoint *c);
// Replacement by a file with only the records in `image` (encoded): begin writes it beside the old one; the caller
// syncs c->next; finish gives it the name; the caller syncs the folder. A crash at any moment leaves one whole file.
enum rc checkpoint_replace_begin(struct checkpoint *c, struct io *io, struct bytes image);
enum rc checkpoint_replace_finish(struct checkpoint *c, struct io *io);
