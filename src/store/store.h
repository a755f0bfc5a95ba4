// SPDX-License-Identifier: Apache-2.0
//
// What the logs of one shard share: the io, the cache of open files, the lists of logs that need background work, the
// trash and the figures. One per shard; hangs off the engine.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/wall.h"
#include "base/list.h"
#include "base/rc.h"
#include "base/trace.h"
#include "io/io.h"
#include "store/compact.h"
#include "store/file_cache.h"
#include "store/producer_state.h"

struct log_dir;
struct plog;

enum { STORE_INDEX_WAITS_ENTRIES = 128 }; // with small batches half a MiB to look through, and 3 KiB of memory a log
#define STORE_REST_NS UINT64_C(10000000000) // a log not used for this long gives up its files and buffers

struct store_config {
    uint32_t files_max;              // open files of logs on this shard, at least 8
    uint64_t unsynced_log_bytes_max; // a recovery point is made past this: 64 MiB
    uint64_t unsynced_bytes_max;     // over all logs of the shard: 256 MiB
    uint64_t mark_bytes;             // a written mark is made past this: 8 MiB
    // A recovery point leaves so much of a segment without an index, and at most STORE_INDEX_WAITS_ENTRIES: 8 MiB, 0
    // nothing. The entries gathered for it are written with those that follow, or when the log rests or begins another
    // segment; lost in a crash they leave the index that much sparser. With thousands of partitions a point comes for every
    // batch or two, and two files written for each would cost as much as the log.
    uint32_t index_waits_bytes;
    uint32_t producers_max;          // producer entries of the shard; the oldest idle ones are forgotten beyond it
    int64_t producer_expiry_ms;      // producer.id.expiration.ms
    struct compact_config compact;
};

extern const struct store_config STORE_CONFIG_DEFAULT;

struct store_counters {
    uint64_t appends, append_bytes, writes, write_vecs;
    uint64_t duplicates, producers_forgotten, producers_expired;
    uint64_t reads, reads_cold, index_reads, header_reads, hint_hits;
    uint64_t rolls, recovery_points, marks, syncs_forced;
    uint64_t segments_deleted, files_removed;
    uint64_t recovered_logs, recovered_bytes, cut_bytes;
};

struct store_trash; // files and folders to remove when their time has come

struct store {
    struct io *io;
    struct trace_sink *trace;
    struct store_config config;
    struct file_cache files;
    struct store_counters counters;
    // Called when background work came into being while none was: the engine starts its job. May be NULL.
    void (*work_wanted)(struct store *s);
    // The offered end of a log moved although no append was done (a sync in the background). May be NULL.
    void (*offered_moved)(struct store *s, struct plog *l);
    // The start of a log rose. Called in the middle of that log's work: only notes it. May be NULL.
    void (*start_moved)(struct store *s, struct plog *l);
    void *owner;
    // private
    struct log_dir *const *dirs; // all of the node
    unsigned dir_count;
    struct list active_logs;   // least recently used first
    struct list unsynced_logs; // oldest unsynced bytes first
    struct list due_logs;      // a mark or a recovery point is wanted
    uint64_t unsynced_bytes;
    uint64_t group_bytes; // what the group of recovery points that is being made has yet to cover, 0: none is
    uint32_t checkpoints; // recovery points under way that the store started
    uint64_t cuts;        // times that snapshots were dropped from a log because of its offsets
    struct store_trash *trash;
    struct compactor *compactor;
    struct producer_registry producers;
    struct wall wall; // store_settled_ms()
    bool work_known;
    struct plog_write *spare_write; // one kept, so that the usual inline write allocates nothing
};

enum rc store_init(struct store *s, struct io *io, struct trace_sink *trace, const struct store_config *config,
                   struct log_dir *const *dirs, unsigned dir_count);
// Every log must be detached. Waits for nothing: recovery points and removals under way must have ended.
void store_deinit(struct store *s);

// Background work: recovery points that are due, logs to rest, files to remove, settled folder operations. About
// budget_ns of loop time. Returns true when there is more to do now; else *next_ns is when it wants to be called again
// (monotonic; UINT64_MAX: when work_wanted() is called).
bool store_work(struct store *s, uint64_t budget_ns, uint64_t *next_ns);

// The wall clock in Unix ms as far as ages are concerned: a jump is reported, and not believed for an hour (wall.h).
int64_t store_settled_ms(struct store *s);

// Background work has come into being: calls work_wanted(), once until store_work() runs.
void store_want_work(struct store *s);

// True while a file is being removed: store_deinit() must wait for it. No further one begins without store_work().
bool store_is_removing(const struct store *s);
// Moves a file or a folder to the trash: it is removed after delay_ms, paced. A folder's files go first. The path is
// copied. RC_NOMEM: it is left for the next start.
enum rc store_trash_put(struct store *s, struct log_dir *dir, const char *path, bool is_folder, int64_t delay_ms);
