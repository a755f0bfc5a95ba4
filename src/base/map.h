// SPDX-License-Identifier: Apache-2.0
//
// Intrusive hash map: the owner embeds a map_node, hashes with XXH3 and compares by itself. Chained, doubling, one
// pointer a bucket, 16 bytes a node. Iteration order depends only on the order of insertion and removal.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/rc.h"

struct map_node {
    struct map_node *next;
    uint64_t hash;
};

struct map {
    struct map_node **buckets;
    size_t bucket_count; // a power of two, 0 before the first insertion
    size_t count;
};

typedef bool (*map_eq_fn)(const struct map_node *n, const void *key);

void map_init(struct map *m);
void map_deinit(struct map *m); // the nodes stay their owners'

uint64_t map_hash_bytes(struct bytes b);
uint64_t map_hash_u64(uint64_t v);

// The node with this hash for which eq(node, key) holds, or NULL.
struct map_node *map_find(const struct map *m, uint64_t hash, map_eq_fn eq, const void *key);
// Adds n; the caller has made sure that the key is not there. RC_NOMEM only when the first bucket array cannot be had
// (a failed growth keeps the old array).
enum rc map_insert(struct map *m, struct map_node *n, uint64_t hash);
// Takes n, which is in the map, out.
void map_remove(struct map *m, struct map_node *n);

// Iteration: for (n = map_first(m); n; n = map_next(m, n)). The current node may be removed if next was taken before.
struct map_node *map_first(const struct map *m);
struct map_node *map_next(const struct map *m, const struct map_node *n);
