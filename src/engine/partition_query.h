// SPDX-License-Identifier: Apache-2.0
//
// Questions to partitions other than produce and fetch: offsets by time, ends of leader epochs, raising the log start,
// producers, sizes. A request's questions travel in one call a shard, however many they are; what must wait for the
// disk or takes long goes on as a job of that shard.
#pragma once

#include "engine/partition.h"

enum partition_question {
    PARTITION_OFFSET,         // by timestamp or special timestamp
    PARTITION_OFFSETS_BEFORE, // ListOffsets 0: where segments begin, newest first
    PARTITION_EPOCH_END,      // where a leader epoch ended (KIP-101)
    PARTITION_RAISE_START,    // DeleteRecords
    PARTITION_PRODUCERS,      // who wrote lately (KIP-664)
    PARTITION_SIZE,           // bytes, and the folder they lie in
    PARTITION_MOVE,           // to another log folder (KIP-113)
};

struct partition_producer {
    int64_t id, last_timestamp, txn_first_offset;
    int32_t epoch, last_sequence, coordinator_epoch;
};

struct partition_query;

// What raising a log start needs while it is on its way: to this disk, then to the other replicas.
struct partition_start {
    struct partition_query *query;
    enum rc rc; // once it is done
    struct plog_start_op op;
    // replica_wait_start()
    struct partition *p;
    int64_t offset;
    int32_t timeout_ms;
    void (*followed)(struct partition_start *s, enum rc rc);
    struct list_node link; // partition.starts
    struct shard_timer timer;
};

struct partition_query {
    // in
    struct topic_partition id;
    enum rc rc;                   // other than RC_OK: already answered, not looked at. out: the answer
    int32_t current_leader_epoch; // LEADER_EPOCH_NONE: not given
    union {
        struct {
            int64_t timestamp;    // in: or an OFFSET_SPEC_*; out: of the record, TIMESTAMP_NONE with special ones
            int64_t offset;       // out: OFFSET_NONE: there is none
            int32_t leader_epoch; // out
            bool committed;       // in: bounded by the last stable offset
        } offset;
        struct {
            int64_t timestamp; // in
            int64_t *offsets;  // in: room for count_max; out: count of them, descending
            uint32_t count_max, count;
        } before;
        struct {
            int32_t leader_epoch; // in: asked for; out: the epoch found, LEADER_EPOCH_NONE
            int64_t end_offset;   // out: OFFSET_NONE when unknown
        } epoch;
        struct {
            struct partition_start *memory; // in: of the sender, zeroed
            int64_t offset;                 // in: OFFSET_NONE means the high watermark; out: the lowest log start now
            int32_t timeout_ms;             // in: how long to wait for the other replicas
        } start;
        struct {
            struct partition_producer *list; // out: malloc()ed; the sender frees it, also after an error
            uint32_t count;
        } producers;
        struct {
            uint64_t bytes;   // out
            uint32_t log_dir; // out: place in engine_config.log_dirs
            uint32_t future_dir; // out: where it moves to; UINT32_MAX: it does not
            uint64_t future_bytes;
            int64_t future_lag; // records still to be copied
        } size;
        struct {
            uint32_t log_dir; // in: place in engine_config.log_dirs; where it is: a move under way is cancelled
        } move;
    };
    struct partition_query_call *call; // private
};

// The questions of one request to one shard. Zeroed before use; question, queries, count, call.done and call.run
// (partition_query_run) are the sender's, then engine_call_start(). The queries stay in place until call.done.
struct partition_query_call {
    struct engine_call call;
    enum partition_question question;
    struct partition_query **queries;
    uint32_t count;
    void *owner; // the sender's
    // private
    uint32_t at;      // the query being answered
    uint32_t pending; // log starts on their way
    bool walking;     // partition_query_step() is on the stack or will be called again
    struct shard_job job;
    struct partition_search *search; // by time, under way
};

void partition_query_run(struct engine_call *c);
