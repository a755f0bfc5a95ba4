// SPDX-License-Identifier: Apache-2.0
//
// Says what a clean stop waits for, where it takes longer than a stop does: after two seconds, then once a second. On shard
// 0; the others are asked one after the other, and no longer once the stop has come to its last stage, which waits until the
// shards owe each other nothing.
#pragma once

#include "engine/engine.h"

struct node;

struct stop_watch {
    struct node *node;
    struct shard_timer timer;
    struct engine_call call;
    uint64_t began_ns;
    uint32_t next; // shard to ask; 0: nobody is being asked
    // what those asked said
    struct engine_waits engine;
    uint64_t requests, connections;
};

void stop_watch_begin(struct stop_watch *w, struct node *n);
void stop_watch_end(struct stop_watch *w); // of one that may not have begun; on shard 0, or with no shard running
