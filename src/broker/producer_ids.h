// SPDX-License-Identifier: Apache-2.0
//
// Producer ids of one shard: handed out from a block that the controller gave this node for good. A block is fetched
// when the last one is used up; who asks meanwhile waits in line.
#pragma once

#include "base/arena.h"
#include "base/list.h"
#include "engine/engine.h"

struct producer_ids_waiter;
typedef void (*producer_ids_fn)(struct producer_ids_waiter *w, enum rc rc);

// Embedded by who asks; zeroed before first use.
struct producer_ids_waiter {
    struct list_node link;
    producer_ids_fn done; // rc RC_OK: producer_id is the caller's alone, for ever
    int64_t producer_id;
};

struct producer_ids {
    struct engine_shard *es;
    int64_t next, end; // what is left of the block
    bool fetching;
    struct list waiters;
    struct quorum_op op;
    struct controller_producer_ids block;
    struct arena arena; // for op
};

void producer_ids_init(struct producer_ids *ids, struct engine_shard *es);
void producer_ids_deinit(struct producer_ids *ids);
// done() may run from inside. Errors are the controller's; RC_BROKER_ID_NOT_REGISTERED before this node is registered.
void producer_ids_take(struct producer_ids *ids, struct producer_ids_waiter *w);
// Asks for a block before anybody does: the first client then waits for no disk.
void producer_ids_prepare(struct producer_ids *ids);
