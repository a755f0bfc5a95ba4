// SPDX-License-Identifier: Apache-2.0
//
// One Fetch under way: its partitions, and its legs to the shards that own them. Private to api_fetch.c (begin, read),
// fetch_share.c, fetch_wait.c and fetch_answer.c.
#pragma once

#include "broker/api.h"
#include "broker/fetch_session.h"
#include "engine/partition.h"

struct fetch_op;

// A range on its way to the client. The session may be read anew before it has gone.
struct fetch_pin {
    struct plog_slice slice;
    struct topic_partition id;
    struct request_range range;
    struct fetch_pin *next;
};

struct fetch_leg {
    struct fetch_op *op;
    struct engine_shard *shard;
    struct fetch_share *share; // until the answer: then the session may go
    struct list read; // struct fetch_item: found something out about, for this answer
    struct list left; // struct fetch_item: let go, to be freed
    struct fetch_pin *pins; // for its shard to release
    struct engine_call read_call, watch_call, cancel_call, unpin_call;
    struct fetch_item *at;   // the next to read
    size_t to_read;          // so many from there on
    struct plog_wait wait;   // for the disk
    struct shard_task task;  // wakes
    struct shard_timer timer; // news that are no bytes do not wait for the end of a replica's long poll
    struct shard_job job;    // reads on in the turns that follow
    uint64_t bytes_left;     // of the answer, as this leg sees it
    uint64_t bytes_watched;  // seen below the bound while waiting
    bool woken, due, read_something; // due: it is answered, whatever is there
    bool full;               // of what was read nothing more fits into the answer
};

struct fetch_op {
    struct request *rq;
    const struct fetch_request *in;
    struct fetch_context context;
    struct fetch_share *shares; // by shard: the session's, or this request's
    struct fetch_item *items;   // of a request without a session
    uint32_t item_count;        // wanted, answered or not
    struct list judged;         // struct fetch_item that no shard was asked for
    struct fetch_leg *legs;
    uint32_t leg_count, pending;
    uint64_t min_bytes, max_bytes;
    uint64_t deadline_ns;
    bool by_replica;
    int32_t replica;
    int64_t replica_epoch;
    struct partition_client client;
    bool committed, gone, last_try, waiting, ending;
    bool all; // everything is read, not only who stands in line
    struct shard_timer timer;
    struct fetch_response response;
};

// Reads every leg, then answers or waits. With nothing of the operation under way.
void fetch_read(struct fetch_op *op);
// Waits on every leg until there is enough, the deadline passes or fetch_hurry(); then all is read anew.
void fetch_wait(struct fetch_op *op);
// Answers with what was read; the pins go when it has been sent or dropped.
void fetch_answer(struct fetch_op *op);
// Whether rq, answered and not sent yet, is a Fetch that holds bytes of this partition's log.
bool fetch_holds(const struct request *rq, const struct topic_partition *id);
// Unpins every leg, then calls what comes next: through pending, since other shards answer later.
void fetch_unpin(struct fetch_op *op, engine_call_fn done);
// The request's callbacks: its connection is gone; nobody waits for more any longer, so it answers with what there is.
void fetch_abandon(struct request *rq);
void fetch_hurry(struct request *rq);
// On the leg's shard: item has news while the leg waits. A replica's answer about moved offsets alone is put off, by
// replica.fetch.wait.max.ms at most.
void fetch_leg_news(struct fetch_leg *leg, const struct fetch_item *item, enum partition_news news, uint64_t bytes_added);
