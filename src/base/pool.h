// SPDX-License-Identifier: Apache-2.0
//
// Fixed-size items out of slabs, at most count_max of them. NULL from pool_acquire() is backpressure: the caller stops
// reading the socket that asked. Slabs are allocated on demand and never moved; pool_trim() gives wholly free slabs
// back. One shard owns a pool.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct pool_slab;

struct pool {
    struct pool_slab *slabs;
    size_t item_bytes;
    size_t slab_items;
    size_t count_max;
    size_t count; // acquired now
    size_t zeroed_bytes; // of an acquired item, from its start: all of it, unless the owner says less after pool_init()
};

// Items of item_bytes, slab_items to a slab, at most count_max acquired at a time.
void pool_init(struct pool *p, size_t item_bytes, size_t slab_items, size_t count_max);
// All items must have been released.
void pool_deinit(struct pool *p);
// A zeroed item (its first zeroed_bytes), or NULL when count_max are out or memory is short.
void *pool_acquire(struct pool *p);
void pool_release(struct pool *p, void *item);
// Frees slabs without an acquired item; returns how many.
size_t pool_trim(struct pool *p);
