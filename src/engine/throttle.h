// SPDX-License-Identifier: Apache-2.0
//
// Which replicas of a topic are held back while they are copied (leader. and follower.replication.throttled.replicas), and
// how fast that may be (the rates of this broker). Lists are read when the topic's settings change; on the way of data one
// bit is looked at.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rc.h"
#include "meta/config.h"

struct engine;
struct engine_shard;

// Partitions of one topic whose replica on this node is held back.
struct throttle_list {
    bool all;
    uint32_t count; // bits
    uint8_t *bits;  // owned; NULL: none
};

// Reads "partition:broker,..." or "*" for this node. RC_NOMEM: *l is empty. What is no such list names nobody.
enum rc throttle_list_read(struct throttle_list *l, const char *value, int32_t node);
void throttle_list_free(struct throttle_list *l);

static inline bool throttle_list_has(const struct throttle_list *l, int32_t partition)
{
    return l->all || ((uint32_t)partition < l->count && (l->bits[partition / 8] & 1u << partition % 8));
}

// At boot; and when the brokers' configuration changes.
void throttles_init(struct engine *e);
void throttles_configure(struct engine_shard *es);
