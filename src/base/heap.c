// SPDX-License-Identifier: Apache-2.0
//
// Binary heap; see heap.h.
#include "base/heap.h"
#include "base/assert.h"

#include <stdlib.h>

void heap_init(struct heap *h)
{
    *h = (struct heap){0};
}

void heap_deinit(struct heap *h)
{
    free(h->slots);
    *h = (struct heap){0};
}

static bool heap_less(const struct heap_node *a, const struct heap_node *b)
{
    return a->key != b->key ? a->key < b->key : a->sequence < b->sequence;
}

static void heap_set(struct heap *h, size_t i, struct heap_node *n)
{
    h->slots[i] = n;
    n->slot = i + 1;
}

static void heap_up(struct heap *h, size_t i)
{
    struct heap_node *n = h->slots[i];
    while (i > 0) {
        size_t parent = (i - 1) / 2;
        if (!heap_less(n, h->slots[parent]))
            break;
        heap_set(h, i, h->slots[parent]);
        i = parent;
    }
    heap_set(h, i, n);
}

static void heap_down(struct heap *h, size_t i)
{
    struct heap_node *n = h->slots[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count && heap_less(h->slots[child + 1], h->slots[child]))
            child++;
        if (!heap_less(h->slots[child], n))
            break;
        heap_set(h, i, h->slots[child]);
        i = child;
    }
    heap_set(h, i, n);
}

enum rc heap_push(struct heap *h, struct heap_node *n, uint64_t key)
{
    ASSERT(!heap_node_linked(n));
    if (h->count == h->cap) {
        size_t cap = h->cap ? h->cap * 2 : 16;
        struct heap_node **slots = realloc(h->slots, cap * sizeof(struct heap_node *));
        if (!slots)
            return RC_NOMEM;
        h->slots = slots;
        h->cap = cap;
    }
    n->key = key;
    n->sequence = h->sequence++;
    heap_set(h, h->count++, n);
    heap_up(h, n->slot - 1);
    return RC_OK;
}

void heap_move(struct heap *h, struct heap_node *n, uint64_t key)
{
    ASSERT(heap_node_linked(n));
    ASSERT(h->slots[n->slot - 1] == n);
    n->key = key;
    n->sequence = h->sequence++;
    heap_up(h, n->slot - 1);
    heap_down(h, n->slot - 1);
}

void heap_remove(struct heap *h, struct heap_node *n)
{
    ASSERT(heap_node_linked(n));
    ASSERT(h->slots[n->slot - 1] == n);
    size_t i = n->slot - 1;
    n->slot = 0;
    struct heap_node *last = h->slots[--h->count];
    if (last == n)
        return;
    heap_set(h, i, last);
    heap_up(h, i);
    heap_down(h, last->slot - 1);
}
