// SPDX-License-Identifier: Apache-2.0
//
// The Raft log on disk: entries, hard state and snapshots of one node in a folder of their own, with syncs of their
// own. Knows bytes and indexes, not what they mean; the rules of consensus are raft's.
//
//   00000000000000000001.journal   frames one after the other; zeros behind the last (the file is allocated ahead)
//   00000000000000004711-00000000000000000003.snapshot   state up to index 4711 of term 3
//
// One write is one frame: hard state, an optional cut, entries, all under one XXH3, and the next write begins only when
// it is synced. So a crash damages at most the last frame. Each frame repeats the last index known to be synced: a bad
// frame with a valid one behind it, or a log that ends below that mark, is damage and refuses the start.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "io/io.h"
#include "model/ids.h"

enum {
    JOURNAL_FRAME_BYTES_MAX = 4 << 20, // entries beyond this go into the next write
    JOURNAL_ALLOCATE_BYTES = 1 << 20,
    JOURNAL_VOTERS_BYTES_MAX = 256,
    JOURNAL_SEGMENTS_MAX = 64,
    JOURNAL_SNAPSHOT_PIECE_BYTES = 64 << 10,
};

struct journal_hard {
    uint64_t term;
    int32_t vote_node; // NODE_ID_NONE: no vote
    struct uuid vote_directory;
};

struct journal_entry {
    uint64_t index, term;
    uint8_t type;
    struct bytes payload;
};

// What a snapshot stands for. voters: opaque to this room.
struct journal_mark {
    uint64_t index, term; // index 0: none
    uint8_t voters[JOURNAL_VOTERS_BYTES_MAX];
    uint32_t voters_bytes;
};

struct journal;
typedef void (*journal_done_fn)(struct journal *j, enum rc rc);

struct journal_segment {
    uint64_t number;     // in its name: the first index it could hold
    uint64_t last_index; // highest index ever written into it
};

struct journal {
    struct io *io;
    struct trace_sink *trace;
    char path[IO_PATH_BYTES_MAX];
    struct journal_hard hard; // as on disk
    uint64_t last_index, durable_index;
    struct journal_mark snapshot;  // the newest one on disk
    uint64_t bytes_since_snapshot; // frames written or replayed behind it
    uint64_t replayed_bytes, snapshot_bytes;
    bool failed;
    // private
    struct io_file file, dir;
    struct journal_segment segments[JOURNAL_SEGMENTS_MAX];
    uint32_t segment_count;
    uint64_t offset, allocated; // of the newest segment
    struct buf frame;
    bool building, roll, fresh_file;
    bool no_room;       // the write under way found none and stands still
    bool told_full;     // and that was said
    uint64_t stillborn; // a segment that found none, to be tried again under this number; 0: none
    uint32_t entry_count;
    uint64_t frame_last_index;
    int stage;
    struct io_op op, remove_op;
    struct iovec vec;
    journal_done_fn done;
    void (*stopped)(struct journal *j); // a write stands still (journal_again); may be NULL
    void *owner; // the caller's
};

// ------------------------------------------------------------------------------------------------ start [boot]

// Called by journal_open() in this order: snapshot() once if there is one, piece() for each of its pieces, then entry()
// for every entry behind it. An error ends the start with it.
struct journal_visitor {
    void *context;
    enum rc (*snapshot)(void *context, const struct journal_mark *mark);
    enum rc (*piece)(void *context, const struct journal_mark *mark, struct bytes piece);
    enum rc (*entry)(void *context, const struct journal_entry *e);
    bool durable; // this process has formatted it: nothing in it can be in the page cache only
};

// True when the folder holds a journal (or the remains of one).
bool journal_exists(struct io *io, const char *path);
// Makes the folder and a first segment with this hard state and entries, durable. Only where none exists.
enum rc journal_format(struct io *io, const char *path, const struct journal_hard *hard,
                       const struct journal_entry *entries, uint32_t count);
// Reads everything back, cuts a torn tail, and is ready to write. On error `why` says what is wrong, names file and
// offset, and what to do. RC_CORRUPT (damage), RC_UNSUPPORTED_VERSION, RC_IO, RC_NOMEM, or the visitor's error.
enum rc journal_open(struct journal *j, struct io *io, struct trace_sink *trace, const char *path,
                     const struct journal_visitor *visitor, char *why, size_t why_bytes);
// No write may be in flight.
void journal_close(struct journal *j);

// ------------------------------------------------------------------------------------------------ write

// One write at a time: journal_begin(), any number of cuts and entries in the order in which they are to be read back,
// journal_commit(); done() runs when all of it is durable, never inside the call. After an error the journal has failed
// for good: this process may not vote or lead any more. A full disk is none: the write stands still, as on a disk that takes
// long, stopped() runs, and journal_again() tries it once more.
static inline bool journal_busy(const struct journal *j)
{
    return j->stage != 0;
}

void journal_begin(struct journal *j, const struct journal_hard *hard);
// Entries from index on are gone. At most one, before the entries.
void journal_truncate(struct journal *j, uint64_t from);
// The log begins anew behind the snapshot `mark`, which must be on disk (journal_snapshot_finish). Before the entries.
void journal_install(struct journal *j, const struct journal_mark *mark);
// False when the frame is full: commit, and begin another for the rest. The payload is copied.
bool journal_put(struct journal *j, const struct journal_entry *e);
void journal_commit(struct journal *j, journal_done_fn done);
static inline bool journal_stands_still(const struct journal *j)
{
    return j->no_room;
}
void journal_again(struct journal *j);   // of a write that stands still
void journal_give_up(struct journal *j); // [stop] the same, but it never will be done, and done() does not run

// ------------------------------------------------------------------------------------------------ snapshots

struct journal_snapshot;
typedef void (*journal_snapshot_done_fn)(struct journal_snapshot *s, enum rc rc);

// A snapshot being written beside the newest one; one at a time. Zeroed before first use.
struct journal_snapshot {
    struct journal *journal;
    struct journal_mark mark;
    uint64_t bytes;
    void *owner;
    // private
    struct io_file file;
    struct io_op op;
    struct buf piece;
    struct iovec vec;
    uint64_t offset;
    int stage;
    journal_snapshot_done_fn done;
};

enum rc journal_snapshot_begin(struct journal *j, struct journal_snapshot *s, const struct journal_mark *mark);
// Writes one piece, copied. RC_OK: written, go on. RC_AGAIN: done() will run. Anything else: abandon it.
enum rc journal_snapshot_put(struct journal_snapshot *s, struct bytes piece, journal_snapshot_done_fn done);
// Makes it durable under its name; done() tells, never inside the call. Then it is the newest one, and older snapshots
// go.
void journal_snapshot_finish(struct journal_snapshot *s, journal_snapshot_done_fn done);
void journal_snapshot_abandon(struct journal_snapshot *s); // no put or finish may be in flight

// The next write begins a new segment, if there is room for one; else the old one goes on until the next time this is
// asked for. With it, everything up to now can be dropped once a snapshot covers it.
void journal_roll(struct journal *j);
// Removes the segments whose entries all lie at or below the newest snapshot, oldest first; never the newest segment.
void journal_drop_covered(struct journal *j);
