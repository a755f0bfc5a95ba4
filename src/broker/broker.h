// SPDX-License-Identifier: Apache-2.0
//
// The broker of one node: what its shards share (configuration, read only after boot) and what each shard owns
// (sessions, receive slabs, budgets). Sessions read frames, dispatch.c starts requests, one file an API decides and
// answers. Knows the engine's partitions and quorum, never files or rings.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/pool.h"
#include "base/trace.h"
#include "broker/address_count.h"
#include "broker/budget.h"
#include "broker/connection_limit.h"
#include "broker/fetch_session.h"
#include "broker/producer_ids.h"
#include "engine/engine.h"
#include "io/io.h"
#include "model/limits.h"
#include "shard/shard.h"

enum { BROKER_LISTENERS_MAX = 8, BROKER_NAME_BYTES = 32 };

// One listener: where it listens and what it tells clients. A client is answered with the addresses of the listener it
// came in on.
struct broker_listener_config {
    char name[BROKER_NAME_BYTES];
    struct io_addr listen;
    char advertised_host[IO_HOST_BYTES_MAX];
    uint16_t advertised_port;
};

struct broker_config {
    struct broker_listener_config listeners[BROKER_LISTENERS_MAX];
    unsigned listener_count;
    uint64_t memory_bytes;    // of all shards together
    uint32_t connections_max; // of all shards together, whatever max.connections says: there are files for so many
    uint32_t request_bytes_max;
    int64_t idle_ms_max; // connections.max.idle.ms; negative: never
    uint32_t send_buffer_bytes, receive_buffer_bytes; // of sockets; 0: the system's
    uint32_t fetch_sessions_max;
    int32_t fetch_bytes_max; // fetch.max.bytes: the most one answer holds
    bool auto_create_topics;
    bool delete_topics;
};

struct broker;

// __consumer_offsets being made; see offsets_topic.h.
struct offsets_topic_create;
struct offsets_topic {
    struct engine_shard *es;
    struct list waiters; // struct offsets_topic_waiter
    bool creating;
    uint64_t wanted_ns; // since when; 0: nobody asked
    struct quorum_op op;
    struct offsets_topic_create *create; // in the arena
    struct arena arena;
    // offsets_topic_grow.c, on shard 0
    struct offsets_topic_growth *growth; // under way, NULL: none
    struct shard_timer grow_timer;
};

// Receive slab: connections read into what is left of the current one; a request that outlives its turn keeps a
// reference on the slab its frame lies in.
struct rx_slab {
    uint32_t refs;
    uint32_t used;
    uint8_t data[SCRATCH_BYTES];
};

// Why a connection ended: counted, and each with its own limit of one line a second.
enum broker_close_cause {
    BROKER_CLOSE_PEER,
    BROKER_CLOSE_IDLE,
    BROKER_CLOSE_FRAME,     // a length that cannot be one
    BROKER_CLOSE_TLS,       // not Kafka's protocol at all: what it looks like
    BROKER_CLOSE_HTTP,
    BROKER_CLOSE_TEXT,
    BROKER_CLOSE_KEY,       // an API or a version that is not served
    BROKER_CLOSE_VERSION,
    BROKER_CLOSE_MALFORMED, // a header or a message that cannot be decoded
    BROKER_CLOSE_FAILED,    // a produce with acks=0 that failed
    BROKER_CLOSE_DISK,
    BROKER_CLOSE_STALLED,
    BROKER_CLOSE_CUT, // bytes of a log that is to be cut were not sent yet
    BROKER_CLOSE_LIMIT,
    BROKER_CLOSE_STOP,
    BROKER_CLOSE_CAUSES
};

struct broker_counters {
    uint64_t connections_accepted, connections_refused;
    uint64_t connections_closed[BROKER_CLOSE_CAUSES];
    uint64_t requests, requests_failed_decode;
    uint64_t request_bytes, response_bytes;
    uint64_t produce_batches, produce_bytes, fetch_waits;
    uint64_t fetch_inline_bytes, fetch_file_bytes, fetch_cold; // record bytes by how they were sent; cold reads
};

// Ends the connections of all shards that stand in the way of a cut, one shard after the other; see session_cut.c.
struct session_cut {
    struct engine_call call;
    struct topic_partition id;
    uint32_t next; // shard; 0: none is under way
};

struct broker_shard {
    struct shard *shard;
    struct broker *broker;
    struct engine_shard *engine;
    struct io_listener listeners[BROKER_LISTENERS_MAX];
    bool accepting;
    struct connection_rest rest;
    struct pool session_pool, request_pool;
    size_t sessions_peak, requests_peak; // the most at a time since slabs were last given back
    struct list sessions;       // least recently active first: the idle ones are in front
    struct list stalled;        // sessions in the middle of a frame or an answer, least recently moved first
    struct list ready;          // sessions that used up their share of the turn
    struct shard_job ready_job; // gives them the next one
    struct shard_timer stop_timer;
    struct session_cut cut;
    struct shard_timer sweep;   // idle and stalled connections; set only while there are connections
    struct rx_slab *rx;
    struct buf tx_scratch;  // one answer is encoded here, then sent or kept
    uint8_t *fetch_scratch; // SCRATCH_BYTES: short ranges of one Fetch answer
    size_t fetch_scratch_used;
    uint8_t *cold_scratch; // where cold ranges are read to on their way into the page cache; nobody looks at it
    struct budget produce, control, large, huge;
    struct fetch_session_cache fetch_sessions;
    struct producer_ids producer_ids;
    struct offsets_topic offsets_topic;
    struct broker_counters counters;
    size_t backlog_bytes, backlog_bytes_max; // of all sessions: requests read and not started
    size_t answer_bytes, answer_bytes_max;   // of all sessions: answers not sent, with what they stand in
    struct shard_task relief_task;           // drops slow readers when answers are past their bound
    struct trace_limit limit_refused, limit_request, limit_close[BROKER_CLOSE_CAUSES];
};

struct broker {
    struct broker_config config;
    struct engine *engine;
    struct trace_sink *trace;
    struct broker_shard *shards;
    uint32_t shard_count;
    struct address_count addresses; // of open connections
    struct connection_limit connections;
};

// What a shard's part of the memory must be at least, so that every share holds the frames it is asked for.
enum { BROKER_SHARD_BYTES_MIN = 16 << 20 };

// Builds the broker over a running engine; opens no socket. config is copied; memory_bytes at least
// BROKER_SHARD_BYTES_MIN a shard.
enum rc broker_create(struct broker **out, const struct broker_config *config, struct engine *engine,
                      struct trace_sink *trace);
// Opens the listeners (first shard 0, the others share its sockets). On failure *failed is the listener's number.
// Call on the boot thread before the shards run. Nobody is accepted yet: who connects waits until broker_shard_open().
enum rc broker_listen(struct broker *b, unsigned *failed);
// Accepts from now on. On bs's shard; nothing after broker_shard_stop().
void broker_shard_open(struct broker_shard *bs);
// Stops accepting and closes every connection of bs once what is queued has been sent, at most wait_ns later.
// On bs's shard.
void broker_shard_stop(struct broker_shard *bs, uint64_t wait_ns);
// True when no connection is left.
bool broker_shard_stopped(const struct broker_shard *bs);
// True when no request runs or waits either: the shard may be stopped.
bool broker_shard_quiet(const struct broker_shard *bs);
void broker_destroy(struct broker *b);

// The effective limit of one frame: socket.request.max.bytes or what the largest share can hold.
uint32_t broker_frame_bytes_max(const struct broker *b);
