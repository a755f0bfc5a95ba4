// SPDX-License-Identifier: Apache-2.0
//
// The latest offset of each key, for compaction: 24 bytes an entry (16 of hash, 8 of offset), a fixed number of entries,
// no keys. Two keys are taken for one only when all 128 bits of their XXH3 hashes agree, under a seed drawn for each
// run: what Kafka risks with MD5. Pure but for memory.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rc.h"

struct key_hash {
    uint64_t low, high;
};

struct key_slot;

struct key_map {
    struct key_slot *slots;
    uint64_t cap, count, count_max;
    uint64_t seed; // for whoever computes the hashes
};

enum { KEY_MAP_ENTRY_BYTES = 24 };

// Room for `keys` entries at the load factor (0 to 1), or for as many as fit into bytes_max: at least one. RC_NOMEM.
enum rc key_map_init(struct key_map *m, uint64_t keys, uint64_t bytes_max, double load_factor, uint64_t seed);
void key_map_deinit(struct key_map *m); // a zeroed map is nothing
// Notes that the key has a record at offset, which is not below what was noted before. RC_FULL: it is new and there is
// no room; nothing changed.
enum rc key_map_put(struct key_map *m, struct key_hash key, int64_t offset);
// The offset noted last, or OFFSET_NONE.
int64_t key_map_get(const struct key_map *m, struct key_hash key);
