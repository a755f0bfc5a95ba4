// SPDX-License-Identifier: Apache-2.0
//
// One folder of log.dirs: its identity and lock, its checkpoint file, its syncs and its health. The log.dirs a node has
// are few; the partitions in them many.
//
// A folder belongs to one shard, its owner: it alone syncs and writes the checkpoint. Logs of other shards reach it
// through log_dir_submit(), whose `forward` hook the engine fills in; with one shard it stays NULL and a submission is
// a plain call. The health flags are the one thing other shards read directly; they are atomic.
//
// A failed sync. The kernel reports it once, to the descriptors that were open, and calls the pages clean that it could
// not write: the next process reads them from the page cache as if nothing had happened, and its own syncs succeed
// without ever writing them. So a process that meets a failure says so in the file `weir-failed` of every folder it has
// (they may share a disk) before anything else, and takes the folder offline. The next start of the same boot finds its
// folders `suspect`: it believes no written mark, checks every batch past the recovery points and writes it once more,
// so that the sync that follows is worth something. What cannot be read back is cut, as after a power cut.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "base/rc.h"
#include "base/trace.h"
#include "io/io.h"
#include "model/ids.h"
#include "store/checkpoint.h"

struct store_file;
struct log_dir;
struct log_dir_op;
struct log_dir_entry;

// IDLE -> SYNCING -> HELD -> IDLE; IDLE -> NEXT_FILE -> NEXT_NAME -> HELD -> IDLE while the checkpoint is replaced.
// HELD: nothing new begins. Those who waited are told, and what they note is gathered; or many are about to ask for a
// sync, log_dir_hold().
enum log_dir_sync_state { LOG_DIR_IDLE, LOG_DIR_SYNCING, LOG_DIR_NEXT_FILE, LOG_DIR_NEXT_NAME, LOG_DIR_HELD };

// What an operation asks of the folder.
enum log_dir_request {
    LOG_DIR_SYNC,     // make durable what `file` (or everything on the file system, when NULL) holds now
    LOG_DIR_PUT,      // append `record` to the checkpoint
    LOG_DIR_PUT_SYNC, // the same, and done when it is durable
    LOG_DIR_FIND,     // copy what the checkpoint knows of record.id into *found
    LOG_DIR_STOP,     // clean stop, see log_dir_close()
};

typedef void (*log_dir_done_fn)(struct log_dir_op *op, enum rc rc);

enum { LOG_DIR_ROUTE_BYTES = 128 };

// Embedded by its owner, zeroed before first use; must stay until done(), which runs on the submitter's shard, possibly
// inside log_dir_submit().
struct log_dir_op {
    enum log_dir_request request;
    struct io_file *file;                                  // SYNC: only where submitter and owner are one shard
    struct checkpoint_record record;                       // PUT; FIND: its id
    struct log_dir_entry *found;                           // FIND: filled; offsets OFFSET_NONE where nothing is known
    log_dir_done_fn done;                                  // NULL: nobody waits
    struct list_node link;                                 // private
    enum rc rc;                                            // for `forward`: the answer on its way back
    _Alignas(16) unsigned char route[LOG_DIR_ROUTE_BYTES]; // the engine's, to carry op between shards
};

// A place in a log, as a checkpoint names it.
struct log_dir_mark {
    int64_t offset;
    int64_t segment_base;
    uint32_t position; // in that segment
    int32_t leader_epoch;
    bool timed;        // the last batch before it has the greatest timestamp of its segment, and this is it
    int64_t timestamp; // when timed: what the time index need not hold
};

// What the checkpoint knows of one partition.
struct log_dir_entry {
    struct map_node node; // private
    struct topic_partition id;
    struct log_dir_mark recovery_point; // offset OFFSET_NONE: none
    struct log_dir_mark mark;           // written mark of this boot
    bool begins;                        // at recovery_point, whatever a crash has left of the log before
    bool has_mark;
    bool clean;             // nothing follows the later of the two
    int64_t high_watermark; // OFFSET_NONE: none
    int64_t start;          // OFFSET_NONE: none
    int64_t cleaned;        // first dirty offset of compaction, OFFSET_NONE: none
    uint32_t moves;         // between folders, see future.h
};

// The later of mark and recovery point; offset OFFSET_NONE when there is neither.
static inline const struct log_dir_mark *log_dir_entry_latest(const struct log_dir_entry *e)
{
    return e->has_mark && e->mark.offset >= e->recovery_point.offset ? &e->mark : &e->recovery_point;
}

// meta.properties.
struct log_dir_identity {
    bool formatted;
    char cluster_id[64]; // Kafka's 22-character form, or whatever stands there
    int32_t node_id;
    struct uuid directory_id;
};

struct log_dir {
    struct io *io; // the owner's
    struct trace_sink *trace;
    char path[IO_PATH_BYTES_MAX];
    struct log_dir_identity identity;
    // health: written by any shard, read by any
    bool offline;           // by __atomic
    bool no_space;          // by __atomic; below the reserve
    uint64_t reserve_bytes; // one in a hundred of the file system, at most 256 MiB, unless the owner says otherwise
    uint64_t space_checked_ns;
    uint32_t partitions; // attached to this folder, for placement; by __atomic
    // hooks of the engine, may be NULL
    void (*forward)(struct log_dir *d, struct log_dir_op *op); // carries op to the owner and its answer back
    void (*failed)(struct log_dir *d, enum rc rc);             // it just went offline; once, on the shard that saw it
    // The name of a topic, for the text checkpoints of a clean stop; false: unknown, left out.
    bool (*topic_name)(struct log_dir *d, struct uuid topic_id, struct bytes *name);
    void *owner;
    // private
    struct io_file lock, self; // `self`: the folder, open from start to end for syncs
    struct checkpoint checkpoint;
    struct map entries;       // of struct log_dir_entry, by topic_partition
    uint64_t boot, boot_seen; // hash of this boot's id, and of the last BOOT record read
    bool stopped_seen;        // the last record read was STOPPED
    bool clean_stopped;       // what the checkpoint said at start
    bool suspect;             // a process of this boot met a failure, see above; does not change after log_dir_open()
    bool whole;               // what was written last is still there: a clean stop, or the death of a process alone
    struct log_dir *peer;     // the next folder of this process, in a ring
    bool started;
    bool names_synced; // since it was opened; nothing has been renamed in it since
    enum log_dir_sync_state sync_state;
    struct list waiting, syncing; // operations: of the next group and of the one in flight
    struct io_op sync_op;
};

// ------------------------------------------------------------------------------------------------ life [boot]

// Makes the folder and those above it, locks it, reads meta.properties, loads the checkpoint. On an error `why`
// holds a sentence that says what is wrong and what to do.
// Errors: RC_LOCKED (another process), RC_PERMISSION, RC_IO, RC_CORRUPT (meta.properties), RC_NOMEM.
enum rc log_dir_open(struct log_dir *d, struct io *io, struct trace_sink *trace, const char *path, char *why,
                     size_t why_bytes);
// d, just opened, and other are folders of one process: a failure of one is noted in both. Until log_dir_close().
void log_dir_join(struct log_dir *d, struct log_dir *other);
// Writes meta.properties, with a directory id from log_dir_draw_id(); durable after log_dir_sync_names(). For a folder
// that is not formatted, or whose formatting for another cluster was given up.
enum rc log_dir_format(struct log_dir *d, const char *cluster_id, int32_t node_id, struct uuid directory_id);
// Makes every name in the folder durable, the checkpoint's too: log_dir_start() need not do it once more.
enum rc log_dir_sync_names(struct log_dir *d);
struct uuid log_dir_draw_id(struct log_dir *d);
// RC_INCONSISTENT_CLUSTER_ID or RC_INVALID (another node id), with a sentence in why, when the folder is another's.
enum rc log_dir_check(const struct log_dir *d, const char *cluster_id, int32_t node_id, char *why, size_t why_bytes);
// Notes this boot in the checkpoint, durably: from now on logs may be attached and written.
enum rc log_dir_start(struct log_dir *d);
// Closes; no operation may be in flight. For a clean stop first plog_rest() and plog_detach() every log, then submit a
// LOG_DIR_STOP: it writes Kafka's text checkpoints, syncs everything and marks the checkpoint as cleanly stopped, so
// that the next start looks into no folder, whatever happens to the machine meanwhile.
void log_dir_close(struct log_dir *d);

// ------------------------------------------------------------------------------------------------ use

// The folder with the fewest partitions among those that are neither offline nor without space; NULL when none is.
struct log_dir *log_dir_choose(struct log_dir *const *dirs, unsigned count);
// What the checkpoint knows, or NULL. Owner's shard; other shards submit a LOG_DIR_FIND.
const struct log_dir_entry *log_dir_find(const struct log_dir *d, struct topic_partition id);
// Hands op over; see enum log_dir_request. On an offline folder it is done with RC_OFFLINE.
void log_dir_submit(struct log_dir *d, struct log_dir_op *op);
// Many operations are about to be submitted: none of their syncs begins before log_dir_release(), so that they share one.
// Owner's shard, within one call of the loop. False, and nothing to release: the folder is another shard's or at work.
bool log_dir_hold(struct log_dir *d);
void log_dir_release(struct log_dir *d);
// The owner's half of log_dir_submit(): what `forward` calls on the owner's shard.
void log_dir_run(struct log_dir *d, struct log_dir_op *op);
// A PUT nobody waits for: RC_OK says that it is written or, on another shard, on its way. RC_NO_SPACE and RC_NOMEM
// pass; any other failure has taken the folder offline.
enum rc log_dir_put(struct log_dir *d, const struct checkpoint_record *r);
// True when no operation is waiting or in flight.
bool log_dir_is_idle(const struct log_dir *d);

static inline bool log_dir_is_offline(const struct log_dir *d)
{
    return __atomic_load_n(&d->offline, __ATOMIC_ACQUIRE);
}

// Takes the folder offline for this process, with a line that says what failed on which path; first notes the failure
// for the next start, in every folder of the process. Any shard; io is the caller's.
void log_dir_fail(struct log_dir *d, struct io *io, enum rc rc, const char *what, const char *path);
// True when writes must be refused: free space is below the reserve. Asks the system at most once a second.
bool log_dir_lacks_space(struct log_dir *d, struct io *io);

// Every folder name that lies in the log dir, for the stray check: partition folders, `-delete` and `-stray` ones.
// Lists the folder inline once. [boot, or as the body of a job]
enum log_dir_name_kind { LOG_DIR_NAME_PARTITION, LOG_DIR_NAME_DELETE, LOG_DIR_NAME_STRAY, LOG_DIR_NAME_FUTURE };
enum rc log_dir_each_folder(struct log_dir *d,
                            void (*visit)(void *context, enum log_dir_name_kind kind, const char *name), void *context);
// The topic id a partition folder names in partition.metadata; RC_NOT_FOUND, RC_CORRUPT.
enum rc log_dir_folder_topic_id(struct log_dir *d, const char *folder, struct uuid *topic_id);
// Renames a partition folder that nobody knows to `<folder>.<uuid>-stray` and keeps it.
enum rc log_dir_set_stray(struct log_dir *d, const char *folder);
