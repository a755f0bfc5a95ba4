// SPDX-License-Identifier: Apache-2.0
//
// Private to the coordinator*.c files.
//
//   coordinator.c           the coordinators of a shard: life, image, time
//   coordinator_call.c      requests about groups        coordinator_host.c       what a core asks, its settings
//   coordinator_append.c    what a core decides, into the log, and back when it is committed
//   coordinator_load.c      log -> core                  coordinator_snapshot.c   core <-> the file beside the log
#pragma once

#include "base/pool.h"
#include "engine/coordinator.h"
#include "engine/partition.h"

enum coordinator_state { COORDINATOR_LOADING, COORDINATOR_ACTIVE, COORDINATOR_FAILED, COORDINATOR_GONE };

struct coordinators {
    struct list all; // struct coordinator; GONE ones too, until nothing of them is in flight
    struct pool appends;
    struct groups_config config;
    uint64_t config_index; // of the broker settings it was made from
    uint64_t commit_timeout_ns;
    uint32_t orphans; // reads and writes in flight of loads and snapshots that were stopped
    bool settling;
    struct coordinator_counters counters;
};

// A decision on its way: queued here in the order of the log.
struct coordinator_append {
    struct list_node link; // coordinator.in_flight
    struct coordinator *coordinator;
    struct group_append *decision;
    struct partition_append append;
    uint64_t late_ns; // then its calls are answered
    bool written;     // append's result is there
    bool late;
};

struct coordinator {
    struct list_node link; // coordinators.all
    struct engine_shard *es;
    struct partition *p; // NULL: GONE
    struct topic_partition id;
    int32_t leader_epoch;
    enum coordinator_state state;
    bool has_core, doomed;
    struct groups groups;
    struct list in_flight;   // struct coordinator_append
    uint32_t appending;      // of them, those the log has not given back
    int64_t applied;         // the core holds everything below
    uint64_t bytes_applied;  // since the last snapshot
    uint64_t snapshot_bytes; // of the last one
    struct partition_watch watch;
    struct shard_task task;
    struct shard_timer timer;    // the core's deadline
    struct shard_timer late_timer;
    struct coordinator_load *load; // while LOADING
    struct coordinator_save *save; // a snapshot being written
};

static inline struct coordinators *coordinators_of(const struct coordinator *co)
{
    return co->es->coordinators;
}

struct group_time coordinator_now(const struct coordinator *co);
const char *coordinator_name(const struct coordinator *co, char out[TOPIC_NAME_BYTES_MAX + 16]);
// Looks after everything at the end of this turn.
void coordinator_wake(struct coordinator *co);
// The load is over.
void coordinator_loaded(struct coordinator *co);
void coordinator_end(struct coordinator *co);
// The leader epoch is over or nothing of the partition can be served any more.
bool coordinator_is_lost(const struct coordinator *co);

// coordinator_host.c
void coordinators_read_config(struct engine_shard *es); // from the image
// That, and what one batch may have: the topic's limit, and never more than a segment.
struct groups_config coordinator_config(const struct coordinator *co);
// RC_NOMEM.
enum rc coordinator_core_begin(struct coordinator *co);
void coordinator_core_end(struct coordinator *co);

// coordinator_append.c
void coordinator_append_decisions(struct coordinator *co);
// Tells the core of appends that are committed or refused. False: the coordinator has lost its partition.
bool coordinator_append_settle(struct coordinator *co);
void coordinator_append_drop(struct coordinator *co); // the core is going

// coordinator_load.c. Begins; coordinator_load_wake() when the high watermark or the partition's state moved.
enum rc coordinator_load_start(struct coordinator *co);
void coordinator_load_wake(struct coordinator *co);
void coordinator_load_stop(struct coordinator *co); // co->load may live on until its reads are back

// coordinator_snapshot.c
enum { COORDINATOR_PATH_BYTES = IO_PATH_BYTES_MAX + TOPIC_NAME_BYTES_MAX + 48 };
void coordinator_snapshot_path(const struct partition *p, const char *suffix, char out[COORDINATOR_PATH_BYTES]);

struct coordinator_snapshot_head {
    struct topic_partition id;
    int64_t offset;
    int32_t leader_epoch; // of the batch before offset
};

enum { COORDINATOR_SNAPSHOT_HEAD_BYTES = 48, COORDINATOR_SNAPSHOT_BLOCK_HEAD_BYTES = 12 };
void coordinator_snapshot_head_write(const struct coordinator_snapshot_head *h, uint8_t out[]);
// RC_CORRUPT, RC_UNSUPPORTED (a newer version).
enum rc coordinator_snapshot_head_read(const uint8_t in[], struct coordinator_snapshot_head *out);
uint64_t coordinator_snapshot_block_hash(struct bytes records, uint64_t at);
// Writes one when it is worth it, or, at a stop, when it is not up to date.
void coordinator_save_consider(struct coordinator *co);
void coordinator_save_stop(struct coordinator *co); // co->save may live on until its writes are back
