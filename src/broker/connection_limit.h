// SPDX-License-Identifier: Apache-2.0
//
// How many connections clients may have open and how fast they may come, of the node and of each listener: max.connections
// and max.connection.creation.rate, by themselves and as listener.name.NAME.KEY, all of them at any time (KIP-402,
// KIP-612). One too many is refused. Where they come too fast, their listeners rest until the rate has fallen; who connects
// meanwhile waits in the kernel's queue, as in Kafka. What one address may have is address_count.h's.
//
// The counts are of all shards: atomic. Each shard rests its own listeners.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "repl/throttle.h"
#include "shard/shard.h"

enum { CONNECTION_LISTENERS_MAX = 8 };

struct connection_limit {
    uint32_t open[1 + CONNECTION_LISTENERS_MAX];             // first the node's, then each listener's. Atomic
    struct repl_throttle rates[1 + CONNECTION_LISTENERS_MAX]; // of connections instead of bytes
};

// Of one shard.
struct connection_rest {
    bool rests[CONNECTION_LISTENERS_MAX];
    struct shard_timer timer; // looks whether they may go on
};

struct broker;
struct broker_shard;

// Why one was refused.
struct connection_refusal {
    bool by_listener; // by the listener's own limit
    uint32_t open, most;
};

// Over the samples of quota.window.num and quota.window.size.seconds. [boot]
void connection_limit_init(struct broker *b);
// A connection has come in: counted, and where that was too fast, listeners of this shard rest.
void connection_limit_came(struct broker_shard *bs, unsigned listener);
// One more, unless there are as many as allowed: then false, and nothing changed.
bool connection_limit_enter(struct broker_shard *bs, unsigned listener, struct connection_refusal *refusal);
// One that entered has ended.
void connection_limit_leave(struct broker_shard *bs, unsigned listener);
// Nothing rests any more, nor goes on: the shard closes its listeners.
void connection_limit_stop(struct broker_shard *bs);
