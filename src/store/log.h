// SPDX-License-Identifier: Apache-2.0
//
// The partition log: record batches in segments, exactly as they travel, with Kafka's file names and formats. It
// assigns offsets, checks producer sequences, gathers writes, finds batches by offset and time, makes recovery points
// and recovers, rolls and deletes. It is driven by the engine on the partition's shard and knows no request, no replica
// and no event loop: what takes long is a step with a time budget, what waits for the disk is an operation with a
// callback.
//
//   append:   plog_append() checks and queues; plog_flush(), once a turn, writes everything queued in one gathered
//   write;
//             done() of each operation follows in order
//   read:     plog_read() gives a pinned range of whole batches for sendfile
//   at rest:  no open file, no buffer, under 1 KiB; opened by the first call that needs the files
//
// Offsets of a log, in order: log start <= recovery point <= durable end <= written end <= next offset.
//   next:     the offset the next queued batch gets
//   written:  past the last batch whose write completed; nobody reads beyond
//   offered:  past the last batch whose append counts as done: the written end, or with flush.messages what a sync has
//             covered; what the log offers to the high watermark and to answers
//   durable:  past the last batch a sync has covered
//
// Everything here belongs to the shard of `store` and is called on it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/rc.h"
#include "model/ids.h"
#include "model/limits.h"
#include "store/compact.h"
#include "store/epoch_cache.h"
#include "store/log_dir.h"
#include "store/producer_state.h"
#include "store/segment.h"
#include "store/store.h"

// Settings of one topic; immutable, shared by its partitions, replaced as a whole. Kafka's names and defaults.
struct plog_config {
    uint32_t segment_bytes;        // segment.bytes
    int64_t segment_ms;            // segment.ms
    int64_t segment_jitter_ms;     // segment.jitter.ms
    uint32_t segment_index_bytes;  // segment.index.bytes
    uint32_t index_interval_bytes; // index.interval.bytes
    int64_t retention_ms;          // retention.ms, -1 for ever
    int64_t retention_bytes;       // retention.bytes, -1 without bound
    int64_t flush_messages;        // flush.messages, INT64_MAX never
    int64_t flush_ms;              // flush.ms, INT64_MAX never
    int64_t file_delete_delay_ms;  // file.delete.delay.ms
    bool deletes;                  // cleanup.policy holds "delete"
    bool compacts;                 // cleanup.policy holds "compact"
    double min_cleanable_dirty_ratio;
    int64_t min_compaction_lag_ms, max_compaction_lag_ms; // INT64_MAX: no limit
    int64_t delete_retention_ms;
    bool log_append_time;          // message.timestamp.type is LogAppendTime
};

// Kafka 4's defaults.
extern const struct plog_config PLOG_CONFIG_DEFAULT;

enum plog_state {
    PLOG_DETACHED, // not attached, or deleted
    PLOG_UNMADE,   // attached, no folder yet: nothing was ever appended
    PLOG_AT_REST,  // attached, offsets known from the checkpoint, files not looked at
    PLOG_UNCLEAN,  // attached, must be recovered (plog_recover_step()) before anything else
    PLOG_OPEN,     // serving
    PLOG_DAMAGED,  // a bad batch below the recovery point: refused until an operator acts
    PLOG_OFFLINE,  // its folder is offline
};

struct plog_write; // a gathered write in flight; private
struct plog_sync;  // a sync in flight; private

// A position found before: where the batch that starts at `offset` lies.
struct plog_hint {
    int64_t offset, segment_base;
    uint32_t position;
};

enum { PLOG_HINTS = 4 };

// What the checkpoint knew when the log was attached; needed until it is open.
struct plog_known {
    struct log_dir_mark recovery_point, mark; // offset OFFSET_NONE: none
    bool begins;                              // at recovery_point; a crash may have left files of the log before
};

struct plog {
    struct store *store;
    struct log_dir *dir;
    const struct plog_config *config; // borrowed; the engine keeps it while the log is attached
    char *folder;                     // "<topic>-<partition>", owned
    struct topic_partition id;
    enum plog_state state;
    bool names_dirty : 1;                        // files or folders were made since the last sync that covers names
    bool clean_marked : 1;                       // the checkpoint says that nothing follows its latest mark
    bool marking : 1;                            // the word that something does is on its way to the folder's shard
    bool flushing : 1;                           // plog_flush() is on the stack
    bool noting_start : 1;                       // a log start is on its way to the disk
    bool resetting : 1;                          // a recovery point that goes back is on its way to the disk
    bool reset_ready : 1;                        // it is there, and nothing was noted since
    bool reset_due : 1;                          // a new beginning is noted at the recovery point, or will be, and not done
    bool due_mark : 1, due_checkpoint : 1, due_drop : 1; // what the store has been asked to do
    bool moving : 1; // it is copied to another folder, the owner's to set: compaction waits, or a copy had half of a run
    uint8_t hint_next[2]; // of the writer's half, of the readers'
    int32_t epoch_to_begin; // told before the log was opened, LEADER_EPOCH_NONE
    uint32_t moves;         // between folders so far, see future.h
    // offsets, see above
    int64_t start, local_start;
    int64_t start_durable; // segments wholly below it may go
    int64_t next, written, offered, durable, recovery_point;
    int64_t recovery_point_durable; // the one before, whose record is on the disk for certain
    int64_t recovery_base;          // of the segment the recovery point lies in
    int64_t first_dirty;            // compacted up to here
    int64_t mark;                   // written mark: recovery scans from here after a process death
    int64_t snapshot;               // offset of the newest producer snapshot written, OFFSET_NONE
    int64_t noted_high_watermark;   // what the checkpoint has
    int64_t tombstones_needed;      // at and past it, by somebody who has the state up to here: compaction keeps them.
                                    // INT64_MAX: nobody; the owner's to set, at any time after plog_attach()
    int64_t high_watermark;         // as told by plog_note_high_watermark()
    // work
    struct list queued;  // appends not handed to the kernel yet
    struct list writing; // in the gathered write in flight
    struct list syncing; // written, waiting for a sync (flush.messages)
    struct plog_write *write;
    uint64_t unsynced_bytes, unmarked_bytes;
    int64_t unsynced_messages; // that no finished sync has covered
    struct plog_sync *sync;    // the sync in flight, or NULL
    // segments: sealed ones in order, and the one that is written to
    struct segment *sealed;
    uint32_t sealed_count, sealed_cap;
    uint64_t sealed_bytes;
    struct segment_active active;
    struct epoch_cache epochs;
    struct producer_state producers;
    union {
        struct plog_hint hints[PLOG_HINTS]; // OPEN
        struct plog_known known;            // before
    };
    struct list open_files; // of the file cache
    // places in the store's lists
    struct list_node active_link;   // logs with files or buffers, least recently used first
    struct list_node unsynced_link; // logs with unsynced bytes, oldest first
    struct list_node due_link;      // logs that wait for a mark or a recovery point
    uint64_t used_ns;
    struct plog_checkpoint *checkpointing; // the recovery point being made, or NULL
    struct plog_recovery *recovery;        // the recovery under way, or NULL
    struct plog_compaction *compaction;    // once it was a candidate, or NULL
};

// ------------------------------------------------------------------------------------------------ life

// Attaches a log to its place: topic name and partition give the folder, `dir` was chosen by log_dir_choose() or named
// by the metadata. Reads only the checkpoint in memory (and, where that is silent, asks once whether the folder
// exists); touches no folder. Afterwards state is UNMADE, AT_REST or UNCLEAN. `l` needs no preparation. `entry`: what
// log_dir_find() says of it, or on a shard that does not own the folder, once `forward` is set, what a LOG_DIR_FIND brought
// from the owner; NULL: nothing. Errors: RC_OFFLINE, RC_NOMEM, RC_INVALID.
enum rc plog_attach(struct plog *l, struct store *store, struct log_dir *dir, struct bytes topic_name,
                    struct topic_partition id, const struct plog_config *config, const struct log_dir_entry *entry);
// Frees the memory of a log with no append queued or in flight and no slice out. Files stay. State DETACHED.
void plog_detach(struct plog *l);
// Another configuration from now on; segments already written keep their form.
void plog_configure(struct plog *l, const struct plog_config *config);
// True when nothing is queued, in flight, being checkpointed or pinned: plog_detach() and plog_delete() may be called.
bool plog_is_idle(const struct plog *l);
// Nothing is queued or being written, and nobody waits for a sync: the written end is what everybody may rely on.
static inline bool plog_is_still(const struct plog *l)
{
    return list_empty(&l->queued) && list_empty(&l->writing) && list_empty(&l->syncing) && !l->write;
}
// Opens a log AT_REST now (every call that needs the files does so by itself). Inline, about 100 us warm.
enum rc plog_open(struct plog *l);
// Gives back buffers and files of an open log that is idle but for pins; the written mark is renewed, so that a process
// death costs no scan. The log stays OPEN. The store does this to logs that were not used for STORE_REST_NS; the engine
// to all of them at a clean stop.
enum rc plog_rest(struct plog *l);
// The topic is gone: renames the folder to `<folder>.<uuid>-delete` and leaves its removal to the store's trash,
// file.delete.delay.ms from now. The log must be idle but for pins: pinned files stay readable until their unpin.
// State DETACHED. Errors: RC_IO (the folder goes offline).
enum rc plog_delete(struct plog *l);

static inline int64_t plog_start_offset(const struct plog *l)
{
    return l->start;
}

static inline int64_t plog_written_end(const struct plog *l)
{
    return l->written;
}

// False while the next append must first make its folder and files, or open them.
static inline bool plog_is_begun(const struct plog *l)
{
    return l->state != PLOG_UNMADE && l->state != PLOG_AT_REST;
}

static inline int64_t plog_offered_end(const struct plog *l)
{
    return l->offered;
}

static inline int64_t plog_durable_end(const struct plog *l)
{
    return l->durable;
}

// Bytes of all segments.
static inline uint64_t plog_bytes(const struct plog *l)
{
    return l->sealed_bytes + l->active.bytes;
}

// The same where it can be told without a look at the files: false for a log at rest that may have several segments.
bool plog_bytes_known(const struct plog *l, uint64_t *bytes);

// The offset the high watermark has after a restart, and reporting a newer one. It reaches the checkpoint with the next
// mark or recovery point; lower values are kept too (a new leader may know less).
static inline int64_t plog_high_watermark(const struct plog *l)
{
    return l->high_watermark;
}

void plog_note_high_watermark(struct plog *l, int64_t offset);

// ------------------------------------------------------------------------------------------------ append

enum plog_append_flags {
    PLOG_APPEND_FOLLOWER = 1, // offsets and leader epoch stand in the batch; sequences are not checked
    PLOG_APPEND_INTERNAL = 2, // from a coordinator: control and transactional batches allowed
};

struct plog_append;
// rc RC_OK: appended (and synced, where flush.messages asks). Else nothing of the batch is in the log:
// RC_NO_SPACE, RC_IO (then the folder is offline), RC_OFFLINE. Runs inside plog_flush() or a completion, in the order
// of plog_append(); the operation and its bytes may be reused from here on.
typedef void (*plog_append_done_fn)(struct plog_append *op, enum rc rc);

struct plog_append {
    // set by the caller
    uint8_t *batch; // one validated batch, patched in place (base offset, leader epoch); borrowed until done()
    size_t bytes;
    unsigned flags;
    int32_t leader_epoch; // not used with FOLLOWER
    plog_append_done_fn done;
    // result
    int64_t base_offset, last_offset; // known when plog_append() returns
    int64_t log_append_time_ms;       // with LogAppendTime the batch's timestamp, else TIMESTAMP_NONE
    bool duplicate;                   // the offsets are those of an earlier batch; nothing is written
    // private
    struct list_node link;
    struct plog *log;
    int64_t timestamp_max;
    int32_t records;
    bool aborts; // a marker that aborts its producer's transaction
    struct producer_undo undo;
};

// Checks the producer's sequence against what is written and queued, assigns offsets, patches the batch and queues it.
// Never calls done() before it returns. A duplicate of one of a producer's last five batches is queued without bytes
// and is done when the original is, with the original's offsets.
// Errors, nothing changed and done() never called: RC_OUT_OF_ORDER_SEQUENCE, RC_INVALID_PRODUCER_EPOCH,
// RC_RECORD_LIST_TOO_LARGE (larger than a segment), RC_NO_SPACE (below the reserve), RC_OFFLINE, RC_CORRUPT (damaged
// log), RC_AGAIN (not recovered yet), RC_NOMEM, RC_NO_FILES, RC_OFFSET_OUT_OF_RANGE (FOLLOWER: base offset below the
// log's next), RC_INVALID_RECORD (the header does not describe op->bytes: the caller did not validate).
// A refusal that passes by itself (RC_NO_SPACE, RC_NO_FILES, RC_AGAIN) is noted as below.
enum rc plog_append(struct plog *l, struct plog_append *op);
// A batch of a client is refused for a reason that passes, before it came to plog_append(). What its producer has in
// flight behind it may arrive when the reason has passed: of a producer the log does not know it is not taken in first,
// where Kafka would take any sequence and call this one out of order when it comes again. In memory only; nothing
// happens for a batch without a producer.
void plog_note_refused(struct plog *l, struct bytes batch);
// Hands everything queued to the kernel in one gathered write, unless one is in flight: then it is called again by the
// log itself. Rolls segments as needed. Call once a turn after plog_append(). May call done().
void plog_flush(struct plog *l);
// Syncs what is unsynced in the background; no append waits for it. Nothing happens when all is durable. The engine
// calls it flush.ms after an append.
void plog_sync(struct plog *l);

// ------------------------------------------------------------------------------------------------ read

// A pinned range of whole batches in one segment. The file is neither closed, truncated nor reused until
// plog_slice_release(); deletion of the log does not disturb it.
struct plog_slice {
    struct store_file *file; // NULL: empty, nothing to release
    uint64_t position;
    uint64_t bytes;
    int64_t first_offset; // base offset of the first batch: of the one that holds what was asked for, or, where
                          // compaction left nothing there, of the next one; for what was found by a hint alone, what
                          // was asked for
    int64_t next_offset;  // past the last batch; where the next read goes on
};

static inline struct io_file *plog_slice_file(const struct plog_slice *s)
{
    return &s->file->file;
}

// Gives a slice back; an empty one is nothing. On the log's shard, also after plog_delete() and plog_detach().
void plog_slice_release(struct plog_slice *s);

struct plog_wait;
typedef void (*plog_wait_done_fn)(struct plog_wait *w);

// A read that would touch the disk; embedded by its owner, zeroed before first use. After done(), call the same read
// again with the same wait; the data may have been evicted again, then it waits once more, at most twice, and then
// reads inline.
struct plog_wait {
    plog_wait_done_fn done;
    // private
    struct io_op op;
    struct store_file *file;
    unsigned attempts;
};

struct plog_read {
    int64_t offset;     // at or past log start
    int64_t bound;      // only batches that end at or below: written end, high watermark, last stable offset
    uint64_t bytes_max; // as many whole batches as fit
    bool at_least_one;  // the first batch even when it is larger than bytes_max (KIP-74)
};

// Finds whole batches from the one that holds `offset` on. RC_OK with an empty slice: nothing between offset and bound,
// or nothing that fits. A slice ends at its segment's end at the latest.
// wait may be NULL: then the call touches the disk inline. Else RC_AGAIN: wait->done() will tell.
// Errors: RC_OFFSET_OUT_OF_RANGE (below log start or past the written end), RC_OFFLINE, RC_CORRUPT, RC_NO_FILES, RC_IO.
enum rc plog_read(struct plog *l, const struct plog_read *read, struct plog_slice *out, struct plog_wait *wait);
// How many bytes a read of [offset, bound) could give, for min_bytes; an estimate upwards to the next index entry,
// never 0 when there is something. No disk access; 0 for a log at rest at its end.
uint64_t plog_bytes_between(struct plog *l, int64_t offset, int64_t bound);
// Whether offset lies in an older segment than the last one below bound: a read there ends with its segment, however
// much follows. No disk access.
bool plog_is_on_older_segment(const struct plog *l, int64_t offset, int64_t bound);

// The answer to a question by time.
struct plog_time_found {
    bool found;
    int64_t batch_timestamp_max;
    // The batch that holds the answer, pinned: its records are the caller's to search (wire knows how), from
    // `from_offset` on. Release it.
    struct plog_slice batch;
    int64_t from_offset;
};

// The first batch at or past log start and below bound that holds a record with a timestamp >= timestamp_ms.
// Same waiting and errors as plog_read().
enum rc plog_find_timestamp(struct plog *l, int64_t timestamp_ms, int64_t bound, struct plog_time_found *out,
                            struct plog_wait *wait);
// The first batch below bound with the greatest timestamp of the log (KIP-734).
enum rc plog_find_timestamp_max(struct plog *l, int64_t bound, struct plog_time_found *out, struct plog_wait *wait);

// ------------------------------------------------------------------------------------------------ leader epochs

// A new leader epoch starts at the written end; while appends are queued or in flight, where its first batch will lie.
// Followers learn epochs from the batches. RC_AGAIN: opens first failed.
enum rc plog_begin_epoch(struct plog *l, int32_t leader_epoch);
// The end offset of the largest epoch at or below `leader_epoch` (KIP-101, KIP-279): LEADER_EPOCH_NONE and OFFSET_NONE
// when unknown.
enum rc plog_epoch_end(struct plog *l, int32_t leader_epoch, int32_t *found_epoch, int64_t *end_offset);
// The epoch of the last batch at or before offset, LEADER_EPOCH_NONE when unknown.
int32_t plog_epoch_at(struct plog *l, int64_t offset);

// ------------------------------------------------------------------------------------------------ producers

// Calls visit for each producer the log remembers, in no particular order. Opens the log.
enum rc plog_each_producer(struct plog *l, void (*visit)(void *context, const struct producer_entry *e), void *context);
// The first offset of the oldest open transaction, or OFFSET_NONE: the last stable offset is the smaller of it and the
// high watermark.
int64_t plog_first_unstable_offset(const struct plog *l);

// A transaction that was aborted; offsets as Kafka's aborted_transactions and .txnindex have them.
struct plog_aborted {
    int64_t producer_id, first_offset;
    int64_t last_offset;        // of the marker
    int64_t last_stable_offset; // behind the marker, or lower
};

// Calls visit for the aborted transactions that a reader of [from, to) meets, in the order of their markers. Inline.
enum rc plog_each_aborted(struct plog *l, int64_t from, int64_t to,
                          void (*visit)(void *context, const struct plog_aborted *a), void *context);

// ------------------------------------------------------------------------------------------------ log start, retention

// Raises log start to offset (DeleteRecords, a leader's log start) and makes it durable; segments wholly below go with
// the next retention step. The caller has checked offset against the high watermark. RC_OK: it is known to be there and
// durable, done() is not called. RC_AGAIN: on its way, done() follows. Readers see the new start at once.
// RC_OFFSET_OUT_OF_RANGE: past the written end.
struct plog_start_op {
    void (*done)(struct plog_start_op *op, enum rc rc);
    struct log_dir_op dir_op; // private
};
enum rc plog_raise_start(struct plog *l, int64_t offset, struct plog_start_op *op);

// Deletes segments that log start, retention.ms and retention.bytes let go, none that reaches above `bound` (the high
// watermark). Rolls the active segment when all of it has expired. Deletes at most a few segments a call.
// Returns true when there is more to do at once.
bool plog_retention_step(struct plog *l, int64_t bound, int64_t wall_ms);
// The wall time at which retention by time may have something to do, INT64_MAX when never. Costs nothing.
int64_t plog_retention_due_ms(const struct plog *l);

// Slices of it are out.
bool plog_is_pinned(const struct plog *l);
// Cuts the log so that it ends at offset or at the start of the batch that holds it (followers; the log must be idle).
// RC_AGAIN: slices that reach beyond are out (shut their connections), or the recovery point that goes back first is on
// its way to the shard that owns the folder; call again when the log is idle.
// Indexes, epochs and producer state follow. RC_IO: the folder is offline.
enum rc plog_truncate(struct plog *l, int64_t offset);
// Drops everything and starts empty at offset (a follower below the leader's log start). Same conditions. Once it has been
// called it will be done, now or by the next start: who gets RC_AGAIN and another role calls plog_reset_finish() until it is
// RC_OK before anything else is done with the log; an append does.
enum rc plog_reset(struct plog *l, int64_t offset);
enum rc plog_reset_finish(struct plog *l);

// ------------------------------------------------------------------------------------------------ recovery

struct plog_recovery_report {
    int64_t from_offset; // where the scan began: written mark (same boot) or recovery point
    bool from_mark;      // true: the process died, the page cache lived
    uint64_t scanned_bytes;
    uint64_t cut_bytes; // torn tail removed
    int64_t end_offset;
};

// Works on an UNCLEAN log for about budget_ns. RC_AGAIN: call again. RC_OK: the log is OPEN, the report is filled.
// RC_CORRUPT: damage below the recovery point; the log is DAMAGED and a line names folder, offset and command.
enum rc plog_recover_step(struct plog *l, uint64_t budget_ns, struct plog_recovery_report *report);

// Makes a recovery point at the written end: see recovery_point.c for the order. RC_OK: nothing to do, done() is not
// called. RC_AGAIN: on its way, done() follows. RC_FULL: one is being made already. Else it could not begin.
// The store makes them by itself at rolls and when unsynced bytes pass their limits. The log must be open.
struct plog_checkpoint {
    void (*done)(struct plog_checkpoint *op, enum rc rc);
    // private
    struct plog *log;
    struct log_dir_op dir_op;
    struct log_dir_mark at;
    uint64_t bytes;
};
enum rc plog_checkpoint(struct plog *l, struct plog_checkpoint *op);
