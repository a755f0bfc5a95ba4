// SPDX-License-Identifier: Apache-2.0
//
// Fetches for the partitions of one shard that one other node leads: one connection to its peer port, one fetch session
// (KIP-227), one request in flight, a long poll. A partition at rest is not in the requests and costs nothing; one whose
// position moved is. Answers are appended from the receive buffer where they lie; the next request leaves when
// everything of the last answer is in the log.
//
//     DOWN --dial--> CONNECTING --stands--> GREETING --their Hello--> READY --request--> ASKING --answer--> APPENDING --+
//      ^                                                                ^                                              |
//      +---------- broken, refused, no answer: backoff                  +----------------------------------------------+
//
// A partition that wants something else meanwhile does not sit out a long poll of the others: a second, empty Fetch behind
// the one in flight tells the leader to answer that at once with what there is. Its own answer, which says nothing, is
// passed over.
//
// While nothing happens polls get longer, from replica.fetch.wait.max.ms up to FETCHER_WAIT_MS_MAX and a quarter of the
// lag that is allowed; the leader answers a watermark that moved within the former all the same. Who is level does not
// lag, however seldom it asks.
//
// While no partition is in the session and none wants in, nothing is asked: a Fetch of nothing is answered at once. That is
// so while the leader refuses them all and each waits to ask anew.
//
// A node whose leaderships move elsewhere loses its fetchers: one without partitions ends.
#pragma once

#include "engine/replica.h"

enum { FETCHER_WAIT_MS_MAX = 8000 };

enum fetcher_state { FETCHER_DOWN, FETCHER_CONNECTING, FETCHER_GREETING, FETCHER_READY, FETCHER_ASKING, FETCHER_APPENDING };

struct fetcher_answer; // decoded, with the appends it causes

struct fetcher {
    struct list_node link; // engine_shard.fetchers
    struct engine_shard *es;
    int32_t leader;
    enum fetcher_state state;
    struct list replicas; // struct replica that follow this node
    struct list asking;   // those of them that want something else than the session has
    struct list forgotten; // struct fetcher_forgotten: in the session, to be left out from now on
    int32_t session_id, session_epoch; // epoch 0: a new session with everything
    uint32_t in_session;               // how many of the replicas
    uint32_t failures;
    struct shard_timer timer; // redials, gives up an answer that does not come
    struct shard_task task;   // sends the next request at the end of a turn
    // connection
    struct io_sock sock;
    bool open;
    struct buf out;
    size_t out_sent;
    uint8_t *in; // io buffer of in_cap: a frame with its length, as far as it has come; NULL between frames
    size_t in_cap, in_have;
    size_t in_last; // bytes of the last frame: the next is about as long
    int32_t correlation;
    uint32_t serial; // of requests
    int32_t wait_ms; // of the poll
    bool urgent;     // somebody who asks cannot wait for the end of the poll
    bool hurried;    // the empty Fetch has been sent, and its answer has not come
    // the request in flight and its answer
    struct fetcher_asked *asked; // what was asked for which partition
    uint32_t asked_count, asked_cap;
    struct fetcher_answer *answer;
    uint64_t fetched_bytes, answers; // figures
};

// The fetcher of es for that node, made when there is none. NULL: memory.
struct fetcher *fetcher_for(struct engine_shard *es, int32_t leader);
void fetcher_add(struct fetcher *f, struct replica *r);
void fetcher_remove(struct replica *r); // nothing when it has none
// r wants something else than before: it goes into the next request.
void fetcher_wants(struct replica *r);
// r could not take what it was given, which the session would give again at once and for ever: out of it until r asks anew.
void fetcher_leave(struct replica *r);
// One partition's part of the answer at hand is done with.
void fetcher_part_done(struct replica *r);
// At stop.
void fetchers_close(struct engine_shard *es);
