// SPDX-License-Identifier: Apache-2.0
//
// One client connection: reads frames, starts requests in order, sends answers in order, and ends. An idle one holds no
// buffer. Lives on the shard that accepted it.
//
// Reading. Bytes go into the shard's receive slab; whole frames are started where they lie. What is left of a frame gets
// a buffer of exactly its length (after its share of memory has been taken) and later bytes go straight into it. While
// memory is short a session reads 8 bytes only: length, key and version, which is enough to choose the share; they stay
// in `head` until it is had.
//
// A frame whose share was taken has 30 s without a byte; while others wait for that share, half a second.
//
// Starting. Only Produce overlaps Produce; anything else starts when everything before it has its answer queued. What
// cannot start yet stays unparsed in `backlog` and the socket is not read. Backlogs have a bound of their own a shard:
// past it sessions read 8 bytes only, which leaves none.
//
// Queued answers have a bound a shard, too: past it the sessions that have taken nothing of theirs for a second are
// dropped, those that have waited longest first.
#pragma once

#include "broker/broker.h"

enum {
    SESSION_HEAD_BYTES = 8,
    SESSION_ANSWERS_QUEUED_MAX = 128,
    SESSION_ANSWER_BYTES_MAX = 1 << 20,
    // What a request costs of TURN_WRITE_BYTES_MAX a turn, with what its answer sends at once: work is hidden behind small
    // answers.
    SESSION_PRODUCE_COST = 4096,
    SESSION_OTHER_COST = 16384,
    SESSION_CHARGE_LEAST = 4096, // what a request draws on its share at least: its buffer's and its own size
};

enum session_state {
    SESSION_OPEN,
    SESSION_FLUSHING, // no more reading: send what is queued
    SESSION_DRAINING, // sent and shut down: read and drop until the peer closes, 1 MiB or 1 s
    SESSION_GONE,     // closed; the memory goes back at the end of the turn
};

struct request;

struct session {
    struct io_sock sock;
    struct broker_shard *bs;
    struct list_node link;         // broker_shard.sessions
    struct list_node stalled_link; // broker_shard.stalled
    struct list_node ready_link;   // broker_shard.ready
    struct shard_task pump_task, flush_task;
    struct list requests; // struct request, in order of arrival
    struct budget_waiter waiter;
    struct budget *waiting_on;     // NULL when not in line
    struct budget *granted_budget; // its turn came: granted_bytes are taken for the frame at hand
    size_t granted_bytes;
    uint8_t *frame;            // being received; frame_bytes after the length prefix
    struct budget *frame_budget;
    uint8_t *backlog;
    uint32_t frame_bytes, frame_have;
    uint32_t backlog_bytes, backlog_at;
    uint32_t produces_waiting, produce_bytes_waiting;
    uint32_t answers_queued, answer_bytes_queued, drained_bytes;
    uint32_t turn_cost; // of what was started and sent at once in turn `turn`
    uint64_t turn;
    uint8_t head[SESSION_HEAD_BYTES];
    uint8_t head_have;
    uint8_t listener;
    uint8_t close_cause;
    enum session_state state;
    bool readable, writable, eof;
    bool serial;  // a request other than Produce is running
    bool greeted; // a whole frame has been understood
    bool counted; // in broker.addresses
    uint64_t active_ns, stalled_ns, closing_ns;
    uint64_t leaders_told_ns; // when Metadata last said here who leads; 0: never
    struct io_addr peer;
    int32_t replica;       // the node whose fetches come here, over the peer port; NODE_ID_NONE: a client
    int64_t replica_epoch; // its broker epoch, as its Hello said
};

// Takes an accepted connection, or refuses it with a line.
void session_accept(struct io_listener *l, int fd, const struct io_addr *peer);
// Takes a connection of the peer port over which another node fetches: nothing but Fetch is served on it.
void session_adopt_replica(struct engine_shard *es, int fd, const struct io_addr *peer, int32_t node,
                           int64_t broker_epoch);
// Ends the connections, on every shard, with unsent bytes of this partition's log. One such walk at a time: does nothing
// while another one that began here is under way.
void session_cut_readers(struct engine_shard *es, const struct topic_partition *id);
// Ends the connection once what is queued has been sent (cause and text go to the log unless text is NULL).
void session_close(struct session *s, enum broker_close_cause cause, const char *text);
// Ends it now.
void session_drop(struct session *s, enum broker_close_cause cause, const char *text);
// An answer of s became ready, or one was taken back: send, and go on reading, at the end of this turn.
void session_answer_ready(struct session *s);
// A request of s has been answered or memory came free: try again to start what waits.
void session_resume(struct session *s);
// Closes idle and stalled connections and sets the next sweep.
void session_sweep(struct shard_timer *t);
// Asks what waits for more (a long poll) to answer with what there is: the peer has nothing more to say, or we are going.
void session_hurry(struct session *s);
enum shard_job_state session_ready_job(struct shard_job *j, uint64_t budget_ns);
