// SPDX-License-Identifier: Apache-2.0
//
// One partition replica on its shard: the log, the leader's view of it, appends in the order they came, and the fetches
// that wait for more. Every function here is called on the partition's shard.
#pragma once

#include "engine/engine.h"
#include "wire/batch_check.h"

enum partition_state {
    PARTITION_BLOCKED, // its folder still belongs to a deleted topic
    PARTITION_ONLINE,
    PARTITION_DAMAGED, // refused until an operator acts
    PARTITION_OFFLINE, // its folder failed
    PARTITION_DOOMED,  // its topic is deleted
};

struct partition {
    struct map_node node; // engine_shard.partitions, then .graves
    struct list_node topic_link, all_link, dirty_link, checking_link, doomed_link, opening_link, waiting_link;
    struct partition *blocker, *heir; // a doomed one with the folder this needs, and back
    struct engine_shard *es;
    struct engine_topic *topic;
    struct topic_partition id;
    struct engine_settings *settings; // counted
    enum partition_state state;
    bool leads;
    bool in_graves;
    bool begin_waits; // counted in engine_shard.beginners
    bool open_failed; // in engine_shard.unopened
    bool open_told;   // that it cannot be opened
    int32_t leader_epoch;
    int32_t begun_epoch; // the epoch the log knows of; the next append begins leader_epoch
    int64_t high_watermark;
    int64_t recovered_end; // where the log ended when it was opened: while the watermark is not there yet, none is told
    uint64_t bytes_added; // appended since watches were last told
    struct shard_timer flush_timer; // flush.ms
    struct list appends; // struct partition_append in validation or waiting behind one, in order
    struct list committing; // struct partition_append that are written and wait for the high watermark, in order
    struct list starts; // struct partition_start: durable here, and replicas have yet to follow
    struct replica *replica; // NULL: this is the only one
    bool returns;            // it has lived elsewhere, and perhaps here before
    struct partition_past *past; // under way: partition_past_ends()
    struct log_dir *past_over;   // whose checkpoint knows nothing of an earlier life any more
    struct list watches; // struct partition_watch
    struct partition_move *move; // to another log folder, under way; partition_move.h
    struct coordinator *coordinator; // of this leader epoch, where the topic is __consumer_offsets; coordinator.h
    struct plog log;
};

// The partition, or NULL when this shard does not have it (deleted, or not assigned here, or memory is short). One that
// is new since boot is made by the first call: until then it exists in the image only.
struct partition *partition_find(struct engine_shard *es, struct topic_partition id);
// The same, and one that nobody has asked for stays in the image only: NULL.
struct partition *partition_peek(struct engine_shard *es, struct topic_partition id);
// RC_OK when requests may be served here under current_leader_epoch (LEADER_EPOCH_NONE: not given), else
// RC_FENCED_LEADER_EPOCH, RC_UNKNOWN_LEADER_EPOCH, RC_STORAGE_ERROR, RC_NOT_LEADER_OR_FOLLOWER.
enum rc partition_check(const struct partition *p, int32_t current_leader_epoch);
struct partition_read;
struct partition_client;
// The same for a fetch, which some clients may ask of any replica.
enum rc partition_check_reader(const struct partition *p, const struct partition_read *r,
                               const struct partition_client *client);

// The log is open and its files may be used. A log at rest is opened inline; where that finds work (an index to rebuild)
// a slice of it is done at once and the rest by a job: RC_NOT_LEADER_OR_FOLLOWER meanwhile, on which clients try again.
// RC_STORAGE_ERROR: damaged or offline, or the last try failed; one that failed is tried again every second.
enum rc partition_open(struct partition *p);
// Where the log ends is known, as it is at rest: else it is opened, with the errors of partition_open(). Of one that must be
// recovered, because a start could not read it or it was cut, the ends below say less than it holds: who went by them
// would call offsets out of range that were committed.
enum rc partition_learn_ends(struct partition *p);

// Where a consumer may read to: high watermark, or for read_committed the last stable offset.
int64_t partition_last_stable_offset(struct partition *p);

// ------------------------------------------------------------------------------------------------ append

struct partition_append;
typedef void (*partition_append_fn)(struct partition_append *op);

// Details of a refused batch, for error_message and record_errors. Allocated only then.
struct partition_refusal {
    char text[BATCH_TEXT_BYTES];
    uint32_t record_error_count;
    struct partition_record_error {
        int32_t index;
        char text[BATCH_TEXT_BYTES];
    } record_errors[];
};

// One batch for one partition. Zeroed before use; call.done and the fields below are set by the sender, then
// engine_call_start() carries it to the owner with call.run = partition_append_run.
struct partition_append {
    struct engine_call call;
    struct topic_partition id;
    uint8_t *records; // mutable, in place until call.done
    size_t bytes;
    int16_t version; // of the Produce request
    bool all;        // acks=-1
    // Of a coordinator, on the partition's own shard: done when it is written (the high watermark is the sender's to
    // watch), transactional and control batches are allowed, and nothing is appended but under internal_epoch.
    bool internal;
    int32_t internal_epoch;
    int32_t timeout_ms; // with all: how long to wait for the other replicas
    // result
    enum rc rc;
    int64_t base_offset, log_append_time_ms, log_start_offset;
    int32_t leader_epoch;
    struct partition_refusal *refusal; // what was wrong with the batch; NULL: the code says it all. The sender frees it
    // private
    struct partition *p;
    struct list_node link;
    struct shard_timer timer; // while it waits for the other replicas
    uint8_t stage;
    struct buf recompressed; // another codec than the producer's (compression.type)
    struct plog_append log;
};

void partition_append_run(struct engine_call *c);
// The sender is done with op->refusal.
void partition_refusal_free(struct partition_append *op);
// Answers op, which is on no list any more.
void partition_append_finish(struct partition_append *op, enum rc rc);
// Something was given to p's log: it is flushed at the end of this turn.
void partition_mark_dirty(struct partition *p);

// ------------------------------------------------------------------------------------------------ read

// Who fetches. Consumers from Fetch 11 on may be sent to a replica in their rack, and ask any (KIP-392).
struct partition_client {
    bool any_replica;
    struct bytes rack;     // empty: none
    struct bytes listener; // where it came in
};

struct partition_read {
    // in
    struct topic_partition id;
    int64_t fetch_offset;
    uint32_t bytes_max;
    bool at_least_one;
    bool committed; // read_committed
    int32_t current_leader_epoch, last_fetched_epoch;
    // A replica reads up to the log's end, and what it asks for says how far it is.
    bool by_replica;
    int32_t replica;
    int64_t replica_epoch, replica_log_start;
    // out
    enum rc rc;
    int64_t high_watermark, last_stable_offset, log_start_offset;
    int64_t bound; // up to where it could read
    int32_t preferred; // the replica in the client's rack, which is to be asked instead; NODE_ID_NONE: none
    int32_t leader_epoch;
    int32_t diverging_epoch; // LEADER_EPOCH_NONE: none
    int64_t diverging_end;
    struct plog_slice slice; // release with plog_slice_release() on the partition's shard
    bool older_segment;      // the slice ends with its segment, and more is there
    bool counts;             // what is sent of it counts for the throttle of leaders
    bool held_back;          // there may be more, but it is not sent now: the rate is over its limit
};

// Reads for a fetch. True: *r is filled (rc tells). False: the log must come from the disk first, wait->done() will
// tell; call again then.
bool partition_read(struct engine_shard *es, struct partition_read *r, const struct partition_client *client,
                    struct plog_wait *wait);

// Up to where r may read now.
int64_t partition_bound(struct partition *p, const struct partition_read *r);

// Somebody who wants to know when a partition has more for it; embedded by its owner, zeroed before first use. The watch
// stays until partition_unwatch(), which fire() may call for the watch it is given, and for no other.
enum partition_news {
    PARTITION_MORE,  // bytes came into its reach
    PARTITION_MOVED, // an offset that answers carry: the high watermark (for replicas), the log start
    PARTITION_ANEW,  // what was found before may not hold any more: leader, epoch, replicas, folder, or the log starts
                     // past its offset
};

struct partition_watch;
typedef void (*partition_watch_fn)(struct partition_watch *w, enum partition_news news, uint64_t bytes_added);

struct partition_watch {
    struct list_node link;
    struct partition *p;
    int64_t offset;
    bool by_replica; // told of what is appended, others of what is committed
    partition_watch_fn fire;
};

void partition_watch(struct partition *p, struct partition_watch *w);
void partition_unwatch(struct partition_watch *w);

// ------------------------------------------------------------------------------------------------ life (engine*.c)

// Brings the partitions of this shard that were made in line with one topic of the image, which may be gone; at boot it
// makes them. before: the image they were in line with, whose partitions that are the same are passed over (a version
// shares what it did not change); NULL: look at all. RC_NOMEM: some are not in line.
enum rc partition_follow_topic(struct engine_shard *es, struct uuid topic_id, const struct image *before,
                               const struct image *image);
// Makes the checkpoint of dir forget, durably, what it knows of an earlier life of p. True: p is blocked, then() comes or
// has come. False: nothing is to be waited for.
bool partition_past_ends(struct partition *p, struct log_dir *dir, void (*then)(struct partition *p));
void partition_past_forget(struct partition *p); // p goes
// The folder of p is its own, of an earlier life that this process has never attached, and is put aside as stray now.
bool partition_past_is_aside(const struct partition *p, struct log_dir *dir);
// At boot: the folder was put aside as stray in a life in which this node was no replica, and now it is one again.
bool partition_past_is_over(const struct partition *p, const struct log_dir *dir);
// One replica: what the log offers is committed. With flush.messages that may be less than what was told before the
// start, until what was recovered has been synced.
void partition_take_ends(struct partition *p);
// After anything that may have moved the end of the log: high watermark, watches.
void partition_advance(struct partition *p);
// The high watermark passed bytes, which consumers may have.
void partition_tell_committed(struct partition *p, uint64_t bytes);
// The log start rose.
void partition_tell_start(struct partition *p);
// Everybody has to look again.
void partition_tell_anew(struct partition *p);
// What waited while nothing could be appended goes on.
void partition_appends_resume(struct partition *p);
// Drops what waits for validation; answered with rc.
void partition_fail_appends(struct partition *p, enum rc rc);
// Recovery at start: reads what the checkpoints do not cover, to the end.
enum rc partition_recover_step(struct partition *p, uint64_t budget_ns, struct plog_recovery_report *report); // or RC_AGAIN
enum rc partition_recover(struct partition *p, struct plog_recovery_report *report);
// At stop: detaches every log that is idle and frees every partition.
void partition_free_all(struct engine_shard *es);
// Gives back the memory of checkers that have been idle for long; of all of them, at stop.
void partition_checkers_trim(struct engine_shard *es);
void partition_checkers_free(struct engine_shard *es);
