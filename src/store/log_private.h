// SPDX-License-Identifier: Apache-2.0
//
// What the files of the partition log share and nobody else sees.
#pragma once

#include "store/batch_scan.h"
#include "store/index.h"
#include "store/log.h"
#include "store/log_dir_private.h"
#include "wire/batch.h"

// A gathered write in flight.
struct plog_write {
    struct io_op op;
    struct plog *log;
    struct store_file *file; // pinned
    uint32_t bytes;
    uint32_t vec_count;
    struct iovec vecs[IO_VECS_MAX];
};

// A sync in flight for flush.messages or flush.ms.
struct plog_sync {
    struct log_dir_op op;
    struct plog *log;
    struct store_file *file; // pinned, or NULL: everything
    int64_t offset;          // what it will have covered
    uint64_t bytes;
    int64_t messages;
};

// A segment as a lookup sees it, sealed or active.
struct plog_segment {
    int64_t base_offset;
    int64_t next_base; // base of the next segment, or the written end
    uint32_t bytes;
    bool active;
    uint32_t ordinal; // in the sealed array; sealed_count for the active one
};

// What a call found cold: bring it in and call again.
struct plog_cold {
    struct store_file *file;
    uint64_t offset, bytes;
};

static inline bool plog_forces_sync(const struct plog *l)
{
    return l->config->flush_messages != INT64_MAX;
}

static inline bool plog_is_made(const struct plog *l)
{
    return l->sealed_count || l->active.made;
}

// ---- log.c
// RC_OK when the log serves; opens it when it is AT_REST. See plog_open().
enum rc plog_ready(struct plog *l);
void plog_touch(struct plog *l);
// "<dir>/<folder>/<name>", or the folder itself when name is empty.
enum rc plog_path(const struct plog *l, char out[IO_PATH_BYTES_MAX], const char *name);
// The open file of a segment; flags as io_file_open(), of which IO_OPEN_TRUNCATE also holds for one that was open
// already. RC_NOT_FOUND without IO_OPEN_CREATE.
enum rc plog_file(struct plog *l, enum store_file_kind kind, int64_t segment_base, unsigned flags,
                  struct store_file **out);
const char *plog_file_suffix(enum store_file_kind kind);
// Takes the log's folder offline, and the log with it.
void plog_fail_dir(struct plog *l, enum rc rc, const char *what);
struct plog_segment plog_segment_at(const struct plog *l, uint32_t ordinal);
// The segment that holds offset, or the last one that begins at or below it.
struct plog_segment plog_segment_of(const struct plog *l, int64_t offset);
// Remembers where a batch begins; half of the places are for readers, half for the writer.
void plog_hint_put(struct plog *l, int64_t offset, int64_t segment_base, uint32_t position, bool reader);
void plog_hints_clear(struct plog *l);
// The log begins anew at offset with no segment.
void plog_active_init(struct plog *l, int64_t base_offset);
enum rc plog_sealed_push(struct plog *l, const struct segment *s);
// Reads what a batch header says for the producer state; for control batches the marker too. `batch` is whole.
void plog_producer_append_of(const struct batch_header *h, struct bytes batch, struct producer_append *out);

// ---- append.c
// Fails everything that is not written: next offset and producer state go back to what is.
void plog_fail_queue(struct plog *l, enum rc rc);

// ---- roll.c
// Writes partition.metadata once more, durably and at no moment with less in it. [boot]
enum rc plog_renew_metadata(struct plog *l);
// Makes folder and .log file of the active segment if they are not there.
enum rc plog_make_active(struct plog *l, struct store_file **file);
bool plog_wants_roll(const struct plog *l, uint32_t pending_bytes, unsigned pending_entries,
                     const struct plog_append *op);
// Seals the active segment; the next one begins at the written end.
enum rc plog_roll(struct plog *l);
// Takes note of the next batch of a segment: index, time index, size. An error leaves out an index entry, nothing else.
enum rc plog_note_batch(struct plog *l, struct segment_active *a, uint32_t bytes, int64_t last_offset,
                        int64_t timestamp_max);
enum rc plog_tails_write(struct plog *l, struct segment_active *a);
// The greatest timestamp so far goes to the time index, unless it is there.
enum rc plog_put_time_index(struct plog *l, struct segment_active *a);
enum rc plog_seal_indexes(struct plog *l, struct segment_active *a);
// Puts the indexes that were built beside in their place, durably: what lies below the recovery point is never looked
// at again after a power cut, so half an index must never bear the name of a whole one.
enum rc plog_place_indexes(struct plog *l, struct segment_active *a);

// ---- txn_index.c
// An abort marker was written at last_offset, for the transaction that began at first_offset.
enum rc plog_note_abort(struct plog *l, int64_t producer_id, int64_t first_offset, int64_t last_offset);
// Forgets markers at or past end.
enum rc plog_cut_txn_index(struct plog *l, int64_t segment_base, int64_t end);

// ---- recovery_point.c
struct log_dir_mark plog_mark_here(const struct plog *l);
// Writes what recovery needs besides the log itself and plog_mark_here(), as of the written end: epochs, producer snapshot,
// and the indexes, unless only a few entries are missing.
enum rc plog_write_derived(struct plog *l);
// The indexes, every entry.
enum rc plog_write_indexes(struct plog *l);
// The producer snapshot at the written end, when there is anything to keep.
enum rc plog_write_snapshot(struct plog *l);
// Moves the recovery point back to `at`, durably, before anything past it is cut. RC_AGAIN: it is on its way to the shard
// that owns the folder, call again. Without `wait` it is only sent there. whole: the log begins at it, and the same
// record says so: what a crash leaves of the log before lies below the log start, and its producers are nobody's.
enum rc plog_put_reset(struct plog *l, const struct log_dir_mark *at, bool whole, bool wait);
// plog_reset() inside a recovery that found nothing at or past log start: a checkpoint that says less is as good.
enum rc plog_reset_recovered(struct plog *l);
// The written mark; clean: nothing is queued behind it.
enum rc plog_put_mark(struct plog *l);
// Before the first append behind a clean mark. RC_AGAIN: plog_flush() is called when it is done.
enum rc plog_put_dirty(struct plog *l);
void plog_put_high_watermark(struct plog *l);
enum rc plog_put_start(struct plog *l);

// ---- store.c
void store_want_mark(struct store *s, struct plog *l);
void store_want_checkpoint(struct store *s, struct plog *l);
void store_want_drop(struct store *s, struct plog *l);
void store_note_unsynced(struct store *s, struct plog *l, uint64_t bytes);
void store_note_synced(struct store *s, struct plog *l, uint64_t bytes);
void store_forget(struct store *s, struct plog *l);

// ---- recovery.c
// Looks at the files and loads what recovery needs. RC_OK: nothing to scan, the log is OPEN. RC_AGAIN: it is UNCLEAN.
enum rc plog_recovery_begin(struct plog *l);
void plog_recovery_free(struct plog *l);
// Removes the snapshots of producers outside [kept_from, kept_to] (recovery_producers.c). Inline: cuts are rare.
enum rc plog_drop_snapshots(struct plog *l, int64_t kept_from, int64_t kept_to);

// Calls visit for every whole entry of one segment's index. RC_CORRUPT.
enum rc plog_each_aborted_of(struct plog *l, int64_t segment_base,
                             void (*visit)(void *context, const struct plog_aborted *a), void *context);

// ---- retention.c
// Closes what is open of a segment; pinned files live on until their unpin.
void plog_close_segment(struct plog *l, int64_t base_offset);
// Renames the files of a segment to .deleted and leaves them to the trash.
void plog_drop_files(struct plog *l, int64_t base_offset, int64_t delay_ms);
// Makes it durable that files of the log's end are gone, before anything is appended in their place: of two segments
// that claim the same offsets a start could not tell the older. Inline: cuts are rare.
enum rc plog_sync_names(struct plog *l);
// Drops a few of the segments below the durable start. True when more are left.
bool plog_drop_step(struct plog *l);

// ---- time_lookup.c
// The greatest timestamp of a sealed segment; read from its time index once.
enum rc plog_sealed_timestamp(struct plog *l, uint32_t ordinal, bool cached_only, int64_t *out, struct plog_cold *cold);

// ---- read.c
// The header at or after the batch that holds `offset` in segment s. cold is filled with RC_AGAIN.
// RC_EOF: the segment ends before offset.
enum rc plog_seek(struct plog *l, const struct plog_segment *s, int64_t offset, bool cached_only,
                  struct batch_scan *scan, struct store_file **file, uint32_t *position, struct batch_header *h,
                  struct plog_cold *cold);
// Pins a range.
void plog_slice_take(struct plog *l, struct store_file *file, uint32_t position, uint32_t bytes, int64_t first_offset,
                     int64_t next_offset, struct plog_slice *out);
// Starts to bring cold bytes in for wait; RC_AGAIN.
enum rc plog_wait_start(struct plog *l, struct plog_wait *wait, const struct plog_cold *cold);
// Whether a read with wait must not touch the disk.
bool plog_wait_cached_only(struct plog_wait *wait);
// A view of an index of segment s. RC_NOT_FOUND: there is none.
enum rc plog_index_view(struct plog *l, const struct plog_segment *s, enum store_file_kind kind, bool cached_only,
                        struct index_view *v, struct store_file **file);
