// SPDX-License-Identifier: Apache-2.0
//
// A piece of work done on another shard and answered on the own one: the operation travels, its bytes stay. When the
// target is the caller's own shard everything happens inline, without a hop.
#pragma once

#include "shard/shard.h"

struct engine_shard;
struct engine_call;

typedef void (*engine_call_fn)(struct engine_call *c);

// Embedded in the caller's operation; zeroed before first use; busy until done() runs.
struct engine_call {
    engine_call_fn run;          // on the target: works, then calls engine_call_finish(), at once or later
    engine_call_fn done;         // on the origin
    struct engine_shard *origin; // set by engine_call_start()
    struct engine_shard *target;
    // private
    struct shard_message message;
    struct list_node link; // while the mailbox is full
};

// Runs c->run on `target`. done() may be called from inside when target is the origin. A full mailbox delays the call,
// never loses it; calls to one target start in the order of this function.
void engine_call_start(struct engine_call *c, struct engine_shard *origin, struct engine_shard *target);
// On the target: the work is done; done() follows on the origin. c must not be touched afterwards.
void engine_call_finish(struct engine_call *c);

// Calls that wait for room in a mailbox; one per pair of shards, embedded in the origin.
struct engine_call_queue {
    struct list waiting;
    struct shard_task task;
    struct engine_shard *origin;
    uint32_t target;
};

void engine_call_queue_init(struct engine_call_queue *q, struct engine_shard *origin, uint32_t target);
