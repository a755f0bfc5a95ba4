// SPDX-License-Identifier: Apache-2.0
//
// One whole node over given ios: log folders, engine, broker. What `weir server` runs on threads and the simulator runs
// turn by turn; so nothing here starts a thread, waits for a signal or prints the start lines.
//
// Life: node_create() boots, recovers, opens the listeners and begins to register; clients are accepted when that is
// done. The shards run or are turned. node_stop() ends connections and settles the logs; when node_stopped(), no shard
// runs and node_destroy() follows, if all became quiet. A crash is node_destroy() without node_stop(), where one thread
// may turn every shard.
#pragma once

#include "broker/broker.h"
#include "engine/engine.h"
#include "server/stop_watch.h"
#include "shard/shard.h"

struct node_config {
    int32_t node_id;
    const char *const *log_dirs;
    unsigned log_dir_count;
    const char *metadata_dir; // NULL: the first log folder
    struct config_layer properties; // kept by the caller
    struct broker_config broker;    // memory, listeners and limits; listeners with resolved addresses
    uint64_t files_max;             // open log files
    const char *rack;               // NULL: none
    struct bytes cluster_id;        // to format with; empty: draw one
    const struct peer_address *peers; // --peers, rising by id, this node among them; kept by the caller. None: alone
    uint32_t peer_count;
    struct io_addr peer_listen;
    const char *peer_host; // where others reach the peer port
    uint16_t peer_port;
    uint64_t group_snapshot_bytes; // see struct engine_config
    struct trace_sink *trace;
};

struct node {
    struct node_config config;
    struct shard_group shards;
    struct log_dir *dirs;
    struct log_dir **dir_pointers; // the log folders; a metadata folder of its own comes behind them
    unsigned dir_count;
    struct engine *engine;
    struct broker *broker;
    struct image_listener listeners[BROKER_LISTENERS_MAX];
    bool ready;    // registered, and clients are served
    bool registering; // the answer is still to come
    bool stopping;    // node_stop() was called
    bool ending;      // and its steps have begun
    bool settled;  // connections gone, logs durable
    bool quiet;    // and nothing in flight: node_destroy() may follow
    bool failed;   // must stop: see the log line
    bool resting;  // the last stage of a stop: shards only wait for what they owe each other
    struct shard_timer watch_timer;
    struct stop_watch stop_watch;
    void (*changed)(struct node *n); // on shard 0, when ready, settled or failed became true; may be NULL
    void *owner;
    struct node_call *open_calls, *stop_calls; // one a shard
    uint32_t open_left, stop_left;
};

// On failure text says what is wrong and what to do, and nothing was damaged. ios[0..io_count): one a shard, the
// caller's. On the thread that will run shard 0, before any shard runs.
enum rc node_create(struct node **out, const struct node_config *config, struct io **ios, uint32_t io_count, char *text,
                    size_t text_bytes);
// Clean stop, on shard 0. changed() follows when it is done.
void node_stop(struct node *n);

static inline bool node_stopped(const struct node *n)
{
    return n->settled;
}

// With no shard running.
void node_destroy(struct node *n);
