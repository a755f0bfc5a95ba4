// SPDX-License-Identifier: Apache-2.0
//
// Log compaction: of each key the latest record stays, in its place, at its offset. For every log whose cleanup.policy
// holds "compact", with Kafka's settings and meaning. One compactor a shard works on one log at a time, a slice of a
// turn at a time, inside store_work().
//
// A run over a log, between two offsets:
//
//   clean section               | dirty section                        | not yet: within min.compaction.lag.ms, above
//   [log start, first dirty)    | [first dirty, bound)                 | the bound, or in the active segment
//
//   1. TXNS    reads which transactions were aborted (.txnindex): their records count for no key
//   2. MAP     reads the dirty section and notes the last offset of each key (key_map.h). Full: the section ends there,
//              in the middle of a segment if need be, so that a map of one entry gets ahead too (KAFKA-3587)
//   3. groups  of neighbouring sealed segments from log start to the end of the map that fit into one segment.bytes are
//              written anew as one segment, each in three steps: FILTER, COMMIT, SWAP
//   4. END     first dirty moves to the end of the map
//
// What stays (KIP-58, KIP-98, KIP-534; Kafka's rules):
//   - a record past the end of the map; the record the map names for its key; a key the map does not know
//   - a record without a value (tombstone) stays when it is the latest of its key until the batch's delete horizon:
//     the first run that keeps it gives the batch one, delete.retention.ms from then (attribute bit 6); the first run
//     after that drops it, unless plog.tombstones_needed lies below
//   - records without a key do not (the topic was not compacted when they came)
//   - control batches, as they are, and the entries of .txnindex with them; data of aborted transactions does not
//   - a batch of which nothing stays leaves an empty one when it is the last its producer wrote (its sequence must stay
//     known), or the last of its group: so a segment always reaches up to the next one's base, and says so itself
//   - a batch of which everything stays goes over byte for byte; any other keeps base offset, last offset, producer
//     fields, leader epoch and codec
//
// Which segments: sealed ones that end at or below the high watermark, the last stable offset and the segment the
// recovery point lies in; so a start after a power cut never needs a position in a segment that was rewritten. When:
// their share of the log passes min.cleanable.dirty.ratio, or the first of them is older than max.compaction.lag.ms;
// the dirtiest log first. Candidates are put forward by events (roll, recovery point, opening, new settings) and lie in
// a heap by the time they may have become ready: a node at rest looks at nothing.
//
// The swap of the segments B..k for one new segment B, and why it is safe at every point. Names beside the old files:
//
//   FILTER     B.log.cleaned and B.index.swap, B.timeindex.swap, B.txnindex.swap are written
//   sync 1     of the file system: these files, their names, and the recovery point this rests on are durable
//   COMMIT     B.log.cleaned -> B.log.swap, one rename
//   sync 2     now the swap happens, whatever happens
//   SWAP       in one turn: the log's segments in memory, hints and cached files change; old files -> *.deleted,
//              B.*index.swap -> B.*index. Whoever reads has the new files, slices that are out keep the old ones; until
//              its name is right the new .log is held open
//   sync 3     no old name can come back
//   END        B.log.swap -> B.log
//
// A start acts on B.log.swap alone (compact_recover.c). It is there: everything the new segment covers, by the offsets
// of its own last batch, goes; what still has the name *.swap gets its right one; with a sync between, as above. That is
// right from sync 2 on, and so is doing it again after END was lost. It is not there: every *.cleaned and *.swap goes.
// That is right up to sync 2, since no old file was touched; a kill between COMMIT and sync 2 leaves B.log.swap, whose
// content is durable since sync 1. Names lost out of order hurt nowhere: between two syncs there is either one rename,
// or renames each of which a start finds done or undone by itself. A later run over B writes B.*.swap again only after a
// sync that made the END before durable.
//
// While COMMIT to END is under way segments are not dropped (retention waits) and the log is not idle (so nobody
// truncates, detaches or deletes it). Before that, whatever happens to the log ends the run: it holds no promise yet.
//
// Failures: a read error, a full disk (free space below the folder's reserve), short memory or descriptors end the run;
// it is counted and tried again after log.cleaner.backoff.ms, the log is served as before. A damaged batch makes the log
// uncleanable until it is attached anew, with a line that names file and offset; others go on. A failed write or sync
// takes the folder offline, as everywhere.
//
// Memory: key map as log.cleaner.dedupe.buffer.size says, never more than the dirty section can need; one input and one
// output buffer and, while a compressed batch is under work, two codec workspaces; all given back after a run.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rc.h"

struct plog;
struct store;
struct compactor;
struct plog_compaction; // of one log; made when it first becomes a candidate

enum { COMPACT_IO_BUFFER_BYTES_MAX = 16 << 20 };

// The broker's log.cleaner.*, this shard's share of it.
struct compact_config {
    bool enabled;                 // log.cleaner.enable
    uint64_t map_bytes_max;       // log.cleaner.dedupe.buffer.size
    double map_load_factor;       // log.cleaner.io.buffer.load.factor
    uint32_t io_buffer_bytes;     // log.cleaner.io.buffer.size, for reading and writing each one half
    double io_bytes_a_second_max; // log.cleaner.io.max.bytes.per.second
    int64_t backoff_ms;           // log.cleaner.backoff.ms
};

// Kafka's defaults, of one shard.
#define COMPACT_CONFIG_DEFAULT                                                                                         \
    {                                                                                                                  \
        .enabled = true, .map_bytes_max = 128u << 20, .map_load_factor = 0.9, .io_buffer_bytes = 512u << 10,           \
        .io_bytes_a_second_max = 1.7976931348623157e308, .backoff_ms = 15000,                                          \
    }

struct compact_counters {
    uint64_t runs, runs_failed, runs_given_up; // given up: the log changed meanwhile
    uint64_t swaps, segments_replaced, swaps_completed_at_start;
    uint64_t read_bytes, write_bytes;
    uint64_t records_seen, records_kept, records_keyless;
    uint64_t logs_uncleanable;
};

// ------------------------------------------------------------------------------------------------ of a store

enum rc compactor_create(struct compactor **out, struct store *s);
void compactor_destroy(struct compactor *c); // every log is detached
// Other settings from now on. Enabling puts forward nothing by itself: the next event of each log does.
void compactor_configure(struct compactor *c, const struct compact_config *config);
const struct compact_counters *compactor_counters(const struct compactor *c);
// Works until about deadline_ns, 200 us at most. True: more to do at once. Else *next_ns is when to be called again; an
// operation that ends calls store_want_work().
bool compactor_step(struct compactor *c, uint64_t deadline_ns, uint64_t *next_ns);
// Ends the run under way as soon as that can be, and begins none any more: before a stop.
void compactor_pause(struct compactor *c);
// True when no run is under way.
bool compactor_is_idle(const struct compactor *c);

// ------------------------------------------------------------------------------------------------ of a log

// Something happened that may have made the log ready: look at it soon. Costs nothing where the policy says no.
void compact_consider(struct plog *l);
// The high watermark moved.
void compact_note_high_watermark(struct plog *l);
// An operation of a run is in flight on this log, or a swap is under way.
bool compact_is_busy(const struct plog *l);
// From COMMIT to END: no segment may be dropped. The end calls store_want_drop().
bool compact_is_swapping(const struct plog *l);
// The log is about to change in a way a run cannot survive (truncation, deletion). A run in flight ends when its
// operation does and its swap has ended, and no other begins on this log until it is attached anew or compact_consider()
// is called: wait for plog_is_idle().
void compact_cancel(struct plog *l);
// Frees what hangs off l; it is idle.
void compact_forget(struct plog *l);

// Completes or undoes swaps in the log's folder, before anything else is read there. Inline: what it does is a handful
// of renames and, after a crash in the middle of a swap, a walk over the headers of one segment and a sync of the folder.
// RC_CORRUPT: a segment that was to be swapped in is not whole; the log is refused with a line.
enum rc compact_recover(struct plog *l);
// Whether a name in the folder asks for compact_recover(): suffix is what segment_name_parse() gives.
bool compact_is_swap_name(const char *suffix);
