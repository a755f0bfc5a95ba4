// SPDX-License-Identifier: Apache-2.0
//
// What the files of compaction share; see compact.h.
#pragma once

#include "base/heap.h"
#include "store/batch_sieve.h"
#include "store/compact.h"
#include "store/log_private.h"

// ------------------------------------------------------------------------------------------------ of one log

struct plog_compaction {
    struct plog *log;
    struct heap_node due;   // in the compactor's heap while it is a candidate
    struct plog_compaction *next; // while one is chosen
    int64_t waits_for;      // high watermark that would make more ready, INT64_MAX: none
    bool cancelled;         // no further run until compact_consider()
    bool uncleanable;       // a damaged batch was met
    bool swapping;          // COMMIT to END
    bool names_unsynced;    // an END may not be durable: sync before B.*.swap is written again
};

// What a look at a log says.
struct compact_look {
    bool ready;
    double ratio;     // dirty bytes of all bytes
    int64_t from;     // first dirty offset
    int64_t end;      // of the dirty section
    int64_t due_ms;   // wall time at which it may be ready, INT64_MAX: an event will tell
};

// ------------------------------------------------------------------------------------------------ input

// Batches of one sealed segment in order, read in large pieces.
struct compact_input {
    struct plog *log;
    struct store_file *file; // pinned while the segment is read
    int64_t segment_base;
    int64_t offset_next, offset_end; // within which the next batch has to lie
    uint32_t end, at;    // of the segment's bytes; at: where the next batch begins
    uint8_t *buffer;     // an io buffer of cap bytes
    uint32_t cap, bytes; // bytes read, from buffer_at on
    uint64_t buffer_at;
    uint32_t chunk;
    uint32_t wanted; // what the next read must bring at least
};

enum rc compact_input_open(struct compact_input *in, struct plog *l, int64_t segment_base, uint32_t bytes, uint32_t at);
void compact_input_close(struct compact_input *in);
// The next whole batch, checksum looked at; valid until the next call. RC_EOF. RC_AGAIN: read first. RC_CORRUPT.
enum rc compact_input_next(struct compact_input *in, struct batch_header *h, struct bytes *batch);
// Starts the read that RC_AGAIN asked for. RC_AGAIN: op tells. RC_NOMEM.
enum rc compact_input_read(struct compact_input *in, struct io_op *op);
void compact_input_read_done(struct compact_input *in, size_t bytes);

// ------------------------------------------------------------------------------------------------ output

// The files of a new segment while they are written.
struct compact_output {
    struct plog *log;
    bool open;
    int64_t base_offset;
    struct io_file log_file, index_file, time_index_file;
    struct buf pending; // batches not handed to the kernel yet
    uint32_t written;   // bytes before those
    uint32_t flush_bytes;
    struct iovec vec;
    struct index_tail index, time_index;
    uint32_t bytes_since_index;
    int64_t timestamp_max, timestamp_max_offset, last_offset;
    bool has_txn_index;
    bool read_failed; // what failed was reading the old segments
};

enum rc compact_output_open(struct compact_output *o, struct plog *l, int64_t base_offset);
// The batch that was just appended to o->pending, from position `at` of it on.
enum rc compact_output_note(struct compact_output *o, size_t at);
// Hands what is pending to the kernel. RC_OK: done. RC_AGAIN: op tells, then compact_output_flushed().
enum rc compact_output_flush(struct compact_output *o, struct io_op *op);
void compact_output_flushed(struct compact_output *o);
// Everything is flushed: writes the ends of the indexes, the exact length, and the aborted transactions of the segments
// [first, first + count) of the log. Closes the files.
enum rc compact_output_finish(struct compact_output *o, uint32_t first, uint32_t count);
// Closes and frees. discard: the files get a name under which they are removed.
void compact_output_close(struct compact_output *o, bool discard);

// ------------------------------------------------------------------------------------------------ swap

struct compact_swap {
    struct plog *log;
    struct store_file *file; // the new .log, open and pinned until its name is right
    struct segment segment;
    uint32_t first, count; // ordinals of the segments it replaces
    int64_t first_base, last_base;
    bool has_txn_index;
};

// "<folder>/<base><suffix>".
enum rc compact_path(const struct plog *l, char out[IO_PATH_BYTES_MAX], int64_t base_offset, const char *suffix);
// Gives a file of a compaction its next name. RC_NOT_FOUND: it is not there; any other error has failed the folder.
enum rc compact_rename(struct plog *l, int64_t base_offset, const char *from_suffix, const char *to_suffix);
// Renames base+suffix to base+suffix+".deleted" and leaves it to the trash. A file that is not there is nothing.
enum rc compact_put_aside(struct plog *l, int64_t base_offset, const char *suffix, int64_t delay_ms);
// The ordinals of the segments from first_base to last_base, whole and as they were. False: they are not there any more.
bool compact_swap_place(struct compact_swap *w);
enum rc compact_swap_open(struct compact_swap *w);   // before COMMIT
enum rc compact_swap_commit(struct compact_swap *w); // the rename; sync behind it
enum rc compact_swap_switch(struct compact_swap *w); // SWAP; sync behind it
enum rc compact_swap_end(struct compact_swap *w);    // END
void compact_swap_abandon(struct compact_swap *w);

// ------------------------------------------------------------------------------------------------ run

enum compact_phase {
    COMPACT_IDLE,
    COMPACT_SETTLE, // sync: an END before this
    COMPACT_TXNS,
    COMPACT_MAP,
    COMPACT_GROUP,
    COMPACT_FILTER,
    COMPACT_SYNC_FILES,
    COMPACT_SYNC_COMMIT,
    COMPACT_SYNC_SWAP,
};

struct compactor {
    struct store *store;
    struct compact_config config;
    struct compact_counters counters;
    struct heap due; // struct plog_compaction by monotonic time
    uint64_t not_before_ns, throttled_until_ns;
    bool paused;
    // the run
    struct plog *log;
    enum compact_phase phase;
    bool waiting, syncing;   // an operation, a sync is in flight
    bool reading, flushing;  // what the operation is
    enum rc op_rc;
    size_t op_bytes;
    struct io_op op;
    struct log_dir_op dir_op;
    struct key_map map;
    struct plog_aborted *aborted; // by producer, then first offset
    uint32_t aborted_count, aborted_cap;
    bool txns_failed;
    int64_t txns_base, map_base; // the segment of TXNS, of MAP
    int64_t from, end; // of the dirty section; end shrinks to the end of the map
    int64_t wall_ms;   // when the run began: what horizons count from
    struct compact_input input;
    struct compact_output output;
    struct compact_swap swap;
    struct batch_sieve sieve;
    uint8_t *workspace; // an io buffer of 2 * CODEC_WORKSPACE_BYTES
    bool in_batch, writing;
    struct batch_header header;
    int64_t header_offset; // where the next batch is expected
    struct bytes batch;
    size_t out_at;
    int64_t map_latest; // the last offset that was noted
    bool map_full;
    // group
    int64_t segment_base, group_end; // the segment being read; offset behind the group
    bool changed;
    struct {
        uint64_t seen, kept, keyless, bytes_before, bytes_after;
    } tally;
};

// A start completed a swap.
void compactor_note_completed(struct compactor *c);
// One step of the run. RC_OK: go on. RC_AGAIN: an operation is in flight. RC_EOF: the run has ended. Else it failed.
enum rc compact_run_step(struct compactor *c);
void compact_run_begin(struct compactor *c, struct plog *l, const struct compact_look *look);
// Gives everything back. Nothing of it may be in flight, no swap under way.
void compact_run_free(struct compactor *c);
// The filter of one batch (compact_filter.c): MAP or FILTER. RC_OK: done with it. RC_AGAIN in `more`: call again.
enum rc compact_map_batch(struct compactor *c, bool *more);
enum rc compact_filter_batch(struct compactor *c, bool *more);
