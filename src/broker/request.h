// SPDX-License-Identifier: Apache-2.0
//
// One request from its frame to the last byte of its answer. A pool item of its shard: nothing is allocated for a small
// request. Handlers get the decoded message, which lives in the request's arena and points into its frame, and answer
// from the same shard, at once or later, exactly once.
#pragma once

#include <stdalign.h>

#include "base/arena.h"
#include "broker/session.h"
#include "wire/enc.h"
#include "wire/schema.h"

struct request;
typedef void (*api_fn)(struct request *rq, const void *message);

// A row of the dispatch table. version_min..version_max is what ApiVersions says and what is decoded (Produce 0 to 2 are
// advertised for old clients and refused in the answer).
struct api_row {
    int16_t key;
    int16_t version_min, version_max;
    const struct schema_message *request, *response;
    api_fn begin;
    const char *name;
};

enum request_state { REQUEST_RUNNING, REQUEST_READY };

enum { REQUEST_ARENA_FIRST_BYTES = 3072, REQUEST_OUT_FIRST_BYTES = 192 };

struct request {
    struct list_node link;   // session->requests
    struct session *session; // NULL once the connection is gone: the answer is dropped
    struct broker_shard *bs;
    const struct api_row *api;
    int16_t version;
    int32_t correlation_id;
    struct bytes client_id; // in the frame
    enum request_state state;
    bool no_answer; // acks=0
    // memory
    uint8_t *frame; // own buffer, or NULL when it lies in slab
    struct rx_slab *slab;
    struct bytes body; // the frame's bytes
    size_t reserved_bytes; // of budget
    struct budget *budget;
    struct arena arena;
    // answer: out with holes
    uint8_t *out;
    uint32_t out_bytes, out_at;
    bool out_owned;      // out is an io buffer of out_bytes
    size_t queued_bytes; // counted in the shard's answer_bytes
    struct enc_hole *holes; // record bytes sent from a file; the token is a struct request_range
    uint32_t hole_count, hole_at;
    size_t hole_sent;
    struct io_op cold_op; // brings the range that comes next into the page cache
    uint64_t warm_until;  // of the file of the hole at hand: up to here it has been found or put there
    bool (*unpin)(struct request *rq); // lets go of the ranges once the answer is sent or dropped
    // set by handlers that wait: the connection is gone, stop waiting and answer (the answer is dropped)
    void (*abandon)(struct request *rq);
    // set by handlers that wait for more to come: answer soon with what there is
    void (*hurry)(struct request *rq);
    void *op; // the handler's own state, in the arena
    uint64_t start_ns;
    alignas(max_align_t) uint8_t arena_first[REQUEST_ARENA_FIRST_BYTES];
    uint8_t out_first[REQUEST_OUT_FIRST_BYTES];
};

// Answers with message, a struct of the API's response schema. rq may be gone when this returns.
void request_answer(struct request *rq, const void *message);
// A range of a log file in an answer; the token of its hole.
struct request_range {
    struct io_file file; // a view with this shard's io: the descriptor is the owner's, pinned by the slice
    uint64_t position;
};

// True: everything is let go. False: request_release() will be called again when it is.
typedef bool (*request_unpin_fn)(struct request *rq);
// The same with holes (records whose token is a struct request_range): room for hole_count_max of them, unpin called at
// the end, sent or not.
void request_answer_holes(struct request *rq, const void *message, uint32_t hole_count_max, request_unpin_fn unpin);
// Nothing is sent (acks=0); fail closes the connection as Kafka does.
void request_answer_none(struct request *rq, bool fail);
// Gives the frame back before the answer: a request that waits holds none. Its reservation becomes what the arena
// holds, so that requests that wait stay inside the shares. The decoded message's strings and bytes are gone then. False:
// that much cannot be had; the frame is gone nevertheless.
bool request_forget_frame(struct request *rq);
// For a request that may wait for minutes: its frame in memory of its own instead of the shard's slab, decoded anew from
// there. message is what it was decoded to; returns what to use instead. NULL: memory is short, nothing changed.
const void *request_own_frame(struct request *rq, const void *message);
// The request's share of memory does not allow an answer: ends the connection, says so, frees rq. Nothing of rq may be in
// flight.
void request_give_up(struct request *rq);
// Frees everything of rq, which is off its session's list.
void request_release(struct request *rq);
// Reads the header, finds the row, decodes and starts. body is the frame without its length prefix; exactly one of frame
// (owned) and slab (a reference is taken if the request outlives the call) holds it. reserved_bytes of budget go over to
// the request. False: the connection has been closed or dropped (frame is freed).
bool request_start(struct session *s, struct bytes body, uint8_t *frame_owned, struct rx_slab *slab,
                   struct budget *budget, size_t reserved_bytes);
// Scratch memory that dies with the answer; NULL when the request's share is used up.
static inline void *request_alloc(struct request *rq, size_t bytes)
{
    return arena_alloc(&rq->arena, bytes);
}

// Client id and address for log lines: "client 'x' at 127.0.0.1:4711". Returns out.
enum { REQUEST_CLIENT_TEXT_BYTES = 192 };
const char *request_client(const struct request *rq, char out[REQUEST_CLIENT_TEXT_BYTES]);

// The dispatch table, sorted by key (dispatch.c).
extern const struct api_row api_rows[];
extern const size_t api_row_count;
const struct api_row *api_find(int16_t key);
