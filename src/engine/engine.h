// SPDX-License-Identifier: Apache-2.0
//
// What one node runs on: its shards' partitions, log folders and the quorum, joined. The engine follows the metadata
// image: partitions whose replica this node is come into being, change their leader epoch and settings, and go. It
// decides nothing by itself and knows no request.
//
// Partition to shard: XXH3 of (topic id, partition) modulo shards (engine_shard_of()). Whatever concerns one partition
// happens on its shard; others get there by engine_call_start() (call.h).
#pragma once

#include "base/map.h"
#include "engine/call.h"
#include "engine/quorum.h"
#include "engine/throttle.h"
#include "io/io.h"
#include "meta/config.h"
#include "meta/image.h"
#include "model/limits.h"
#include "repl/throttle.h"
#include "shard/shard.h"
#include "store/log.h"
#include "wire/batch_check.h"

struct engine;
struct coordinators;

// One topic's settings on one shard, shared by its partitions there and replaced as a whole; counted.
struct engine_settings {
    uint32_t refs;
    struct topic_config topic;
    struct plog_config log;
    struct throttle_list leads, follows; // replicas here that are held back while they are copied
};

// A topic with at least one partition on this shard.
struct engine_topic {
    struct map_node node; // engine_shard.topics
    struct uuid id;
    struct engine_settings *settings;
    uint64_t configs_index; // what settings were made from
    uint64_t broker_configs_index;
    struct list partitions; // struct partition
    bool linked;            // in the map; a deleted topic lives on until its partitions are buried
    uint16_t name_bytes;
    char name[]; // zero-terminated
};

static inline struct bytes engine_topic_name(const struct engine_topic *t)
{
    return bytes_of(t->name, t->name_bytes);
}

struct engine_counters {
    uint64_t appends, append_bytes, appends_refused;
    uint64_t recompressed;
    uint64_t truncations, truncated_records; // of followers, to agree with their leaders
    uint64_t unclean_elections; // of this node's replicas: what the others alone had is lost
    uint64_t unclean_records_cut; // of followers, to agree with a leader that was elected so
};

// A validation that takes more than one turn, with the memory its codec works in.
struct engine_checker {
    struct partition *partition; // whose first append is being checked; NULL: free
    uint8_t *workspace;          // acquired with the first use, given back when long unused
    uint64_t used_ns;
    bool again; // nobody but `check` has written to the workspace since `check` was started last
    struct batch_check check;
    struct batch_recompress recompress;
};

enum { ENGINE_CHECKERS = 4 };

struct engine_shard {
    struct engine *engine;
    struct shard *shard;
    struct quorum_reader reader; // reader.image: the metadata this shard sees
    struct store store;
    struct map topics, partitions;
    struct engine_call_queue *calls; // by target shard
    struct list dirty;               // partitions with appends to flush at the end of this turn
    struct shard_task flush_task;
    struct list checking;            // partitions whose first append waits for a checker or is in one
    struct engine_checker checkers[ENGINE_CHECKERS];
    struct shard_job check_job;
    uint64_t check_turn; // turn in which the three below were counted
    uint32_t check_us;   // of validation
    uint32_t begin_us;   // of making or opening logs for their first append
    uint32_t begun;      // such logs
    uint32_t beginners;  // partitions that wait for their turn to be begun
    struct list all;     // every partition, for sweeps
    struct list doomed;  // partitions of deleted topics whose folders are still to be renamed
    struct map graves;   // those of them that still have a folder, by its name
    struct list waiting; // partitions whose folder is still a deleted topic's, on another shard
    bool booted;         // partitions that may have data were made; from here on the shard looks only at what it owns
    bool follows_short;  // memory was short when partitions followed the image: all are looked at with the next one
    bool settling;       // stopping: nothing is appended any more
    bool at_rest;        // stopped: no background work either
    struct list opening; // partitions whose log needs more work before it serves
    struct list unopened; // partitions whose log could not be opened and is tried again (partition_open.c)
    struct shard_job doomed_job, opening_job, store_job, retention_job;
    struct shard_timer store_timer, retention_timer;
    struct shard_timer doomed_timer, waiting_timer, reopen_timer; // looks again at what could not be done at once
    struct list_node *retention_at; // the partition retention looks at next
    struct list_node *settle_at;    // the partition a clean stop brings to rest next
    struct engine_counters counters;
    struct coordinators *coordinators; // of the partitions of __consumer_offsets that live here; coordinator.h
    struct mover *mover; // of replicas between log folders; NULL: none has moved (partition_move.h)
    struct offline_report *offline; // of replicas whose folder failed; NULL: none was needed (offline_report.h)
    struct list fetchers;     // struct fetcher: of the nodes whose partitions are followed here
    struct list short_isrs;   // struct replica: led here, and not every replica is in sync
    uint64_t turn_ns_max_seen; // by those who judge whether somebody else is late
    // Called when the image changed, after the partitions followed it. The broker wakes who waits for it. May be NULL.
    void (*image_changed)(struct engine_shard *es, const struct image *image);
    void *owner;
};

// A move between log folders that the last stop or death cut short.
struct engine_future {
    struct topic_partition id;
    struct log_dir *dir;
};

struct engine_config {
    struct shard_group *shards;
    struct trace_sink *trace;
    int32_t node_id;
    struct config_layer properties; // static configuration, kept by the caller
    struct log_dir **log_dirs;
    unsigned log_dir_count;
    struct log_dir *metadata_dir;
    struct bytes cluster_id; // to format with; empty: draw one
    const struct peer_address *peers; // --peers, rising by id; kept by the caller. None: a cluster of one
    uint32_t peer_count;
    struct io_addr peer_listen;
    const char *peer_host; // where others reach the peer port; NULL: none
    uint16_t peer_port;
    uint64_t files_max; // open files of logs, all shards together
    int64_t producer_expiry_ms;
    uint32_t producers_max; // producer entries, all shards together
    uint64_t retention_check_ms;
    uint64_t memory_bytes; // the node's bound; 0: not known
    uint64_t group_snapshot_bytes; // of log behind the last snapshot of a coordinator, for the next one; 0: 1 MiB
};

struct engine {
    struct engine_config config;
    struct engine_shard *shards;
    uint32_t shard_count;
    struct quorum *quorum; // lives on shard 0
    int64_t replica_lag_ms;               // replica.lag.time.max.ms
    int32_t replica_fetch_wait_ms;        // replica.fetch.wait.max.ms
    int32_t replica_fetch_bytes_min;      // replica.fetch.min.bytes
    bool selects_by_rack;                 // replica.selector.class
    int32_t replica_fetch_bytes;          // replica.fetch.max.bytes
    int32_t replica_fetch_response_bytes; // replica.fetch.response.max.bytes
    uint32_t replica_backoff_ms_max;      // replica.fetch.backoff.ms, at least 1
    int32_t replica_answer_ms_max;        // replica.socket.timeout.ms
    uint32_t replica_receive_buffer_bytes; // replica.socket.receive.buffer.bytes; 0: the system's
    struct repl_throttle leader_throttle, follower_throttle; // of what is copied from here, and to here
    struct repl_throttle move_throttle; // of what moves between log folders
    struct engine_future *futures;      // found at start
    uint32_t future_count;
    struct quorum_registration registration;
    struct quorum_op format_op;
    bool joined;              // logs are attached and recovered; on shard 0
    bool registered;          // this process's registration is committed, applied and unfenced
    void (*registration_done)(struct engine *e, enum rc rc); // set before engine_register(); may be NULL
    // Takes a connection over which another node fetches; the broker's, on shard 0.
    void (*adopt_replica)(struct engine_shard *es, int fd, const struct io_addr *from, int32_t node,
                          int64_t broker_epoch);
    // Ends the connections with unsent bytes of a partition's log, which can be cut then; the broker's, on the partition's
    // shard. It may be busy with another one: whoever cuts asks until it can.
    void (*end_readers)(struct engine_shard *es, const struct topic_partition *id);
    void *owner;
    bool metadata_dir_failed; // atomic: the node must stop, it may not vote on state it cannot keep
    struct engine_join *joins;     // while joining a cluster, one a shard
    uint32_t joins_left;
    struct engine_settle *settles; // while stopping, one a shard
    struct engine_dir_stop *dir_stops;
    uint32_t settles_left;
    void (*settled)(struct engine *e);
    bool dirs_failed; // atomic: a folder went offline since engine_tell_failures()
    bool dirs_lost;   // atomic: a folder went offline in this process's life
    uint64_t dir_failure_timeout_ns; // log.dir.failure.timeout.ms
    // What recovery read at start.
    uint64_t recovered_logs, recovered_bytes, recovered_cut_bytes;
    bool recovered_from_marks;
    bool folders_judged; // strays were put aside, with the first image
};

// Boot, in order, on the boot thread: engine_create() opens quorum and stores and attaches and recovers every log of
// this node (with peers that waits for the cluster's metadata, while the shards run); then the shards may run;
// engine_register() makes the node known with what it advertises.
// On failure text says what is wrong and what to do.
enum rc engine_create(struct engine **out, const struct engine_config *config, char *text, size_t text_bytes);
// Registers this process; registered is set when it serves. On shard 0 (its thread, or before it runs).
void engine_register(struct engine *e, const struct image_listener *listeners, uint32_t listener_count,
                     struct bytes rack);
// Ends the waits on partitions whose folder failed since the last call, on every shard. On any shard; costs one atomic
// read when nothing failed.
void engine_tell_failures(struct engine_shard *es);
// The first half of a clean stop, on shard 0 while the shards run: no more appends; a recovery point of every log.
// settled() is called on shard 0; then the shards may be stopped and engine_close() called. Without it the folders stay
// marked as in use, and the next start reads the ends of their logs again.
enum rc engine_settle(struct engine *e, void (*settled)(struct engine *e));
// What a shard that settles still has before it, added to *out; on that shard. Logs once it has come to them.
struct engine_waits {
    uint64_t logs, deletions, fetchers, coordinators;
};
void engine_shard_waits(const struct engine_shard *es, struct engine_waits *out);
// After settled(), on es's shard: nothing of it is in flight, no more than these answers of other shards are awaited.
// Wait for it before the shard is stopped.
bool engine_shard_quiet(const struct engine_shard *es, uint64_t answers_awaited);
// With no shard running any more: detaches, closes the folders, frees. Sockets of the
// broker must be closed and their answers dropped.
void engine_close(struct engine *e);

static inline bool engine_in_cluster(const struct engine *e)
{
    return e->config.peer_count > 0;
}

static inline uint32_t engine_shard_id(const struct engine *e, struct topic_partition tp)
{
    return e->shard_count == 1 ? 0 : (uint32_t)(topic_partition_hash(tp) % e->shard_count);
}

static inline struct engine_shard *engine_shard_of(struct engine *e, struct topic_partition tp)
{
    return &e->shards[engine_shard_id(e, tp)];
}

// Where that node's peer port is, as its registration says, or --peers. A name is looked up anew with every other
// attempt, for the machine behind it may be another. False: nobody knows.
bool engine_peer_address(const struct engine_shard *es, int32_t node, uint32_t attempt, struct io_addr *out);
// The shard that keeps this folder's checkpoint.
struct engine_shard *engine_dir_owner(const struct log_dir *d);

// The metadata as this shard sees it; valid until the shard's next turn.
static inline const struct image *engine_image(const struct engine_shard *es)
{
    return es->reader.image;
}

// Static and dynamic configuration of this broker as layers (topic NULL) or of a topic.
struct config_layers engine_layers(const struct engine_shard *es, const struct image_topic *t);
