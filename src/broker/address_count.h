// SPDX-License-Identifier: Apache-2.0
//
// How many connections each client address has open, over all shards: max.connections.per.ip. One word an address,
// changed by compare-and-swap, because a connection stays on the shard that accepted it and its address may come in on
// any. Two shards that meet a new address in the same instant may give it two words: then a few more get in.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rc.h"

struct address_count {
    _Atomic uint64_t *words; // 40 bits of the address's hash, 24 of count; 0: free
    size_t word_count;       // a power of two
};

// Room for about connections_max addresses; past that some are not counted. RC_NOMEM. [boot]
enum rc address_count_init(struct address_count *a, uint32_t connections_max);
void address_count_deinit(struct address_count *a);
// One more connection of ip, unless it has `most` already: then false and nothing changed. *counted: give it back to
// address_count_leave(). Any shard.
bool address_count_enter(struct address_count *a, const uint8_t ip[16], uint32_t most, bool *counted);
// A counted connection of ip has ended. Any shard.
void address_count_leave(struct address_count *a, const uint8_t ip[16]);
