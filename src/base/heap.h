// SPDX-License-Identifier: Apache-2.0
//
// Binary min-heap of intrusive nodes ordered by (key, sequence): equal keys leave in the order they came, which keeps
// the simulator's replay exact. Used for timers. The slot array belongs to the heap and grows by doubling.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rc.h"

struct heap_node {
    uint64_t key;
    uint64_t sequence;
    size_t slot; // 1-based place in the array, 0 when not in a heap
};

struct heap {
    struct heap_node **slots;
    size_t count;
    size_t cap;
    uint64_t sequence;
};

void heap_init(struct heap *h);
void heap_deinit(struct heap *h); // the nodes stay their owners'

static inline bool heap_node_linked(const struct heap_node *n)
{
    return n->slot != 0;
}

// Adds n with key. RC_NOMEM when the array cannot grow (nothing changed). n must not be linked.
enum rc heap_push(struct heap *h, struct heap_node *n, uint64_t key);
// Changes the key of a linked node. Never fails.
void heap_move(struct heap *h, struct heap_node *n, uint64_t key);
// Takes a linked node out.
void heap_remove(struct heap *h, struct heap_node *n);

// The node with the least key, or NULL.
static inline struct heap_node *heap_first(const struct heap *h)
{
    return h->count ? h->slots[0] : NULL;
}
