// SPDX-License-Identifier: Apache-2.0
//
// Slab pool; see pool.h. Every item is preceded by a pointer to its slab, so that release needs no search.
#include "base/pool.h"
#include "base/assert.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct pool_item {
    struct pool_slab *slab;
    struct pool_item *next_free; // meaningful while free
    alignas(max_align_t) uint8_t data[];
};

struct pool_slab {
    struct pool_slab *next, *prev; // slabs with a free item come first
    struct pool_item *free;
    size_t used;
    alignas(max_align_t) uint8_t items[];
};

static size_t pool_stride(const struct pool *p)
{
    size_t bytes = sizeof(struct pool_item) + p->item_bytes;
    return (bytes + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
}

void pool_init(struct pool *p, size_t item_bytes, size_t slab_items, size_t count_max)
{
    ASSERT(item_bytes > 0 && slab_items > 0);
    *p = (struct pool){
        .item_bytes = item_bytes, .slab_items = slab_items, .count_max = count_max, .zeroed_bytes = item_bytes};
}

void pool_deinit(struct pool *p)
{
    ASSERT(p->count == 0);
    pool_trim(p);
    ASSERT(p->slabs == NULL);
}

static void pool_unlink(struct pool *p, struct pool_slab *s)
{
    if (s->prev)
        s->prev->next = s->next;
    else
        p->slabs = s->next;
    if (s->next)
        s->next->prev = s->prev;
    s->prev = s->next = NULL;
}

static void pool_link_front(struct pool *p, struct pool_slab *s)
{
    s->next = p->slabs;
    if (s->next)
        s->next->prev = s;
    s->prev = NULL;
    p->slabs = s;
}

static struct pool_slab *pool_grow(struct pool *p)
{
    size_t stride = pool_stride(p);
    struct pool_slab *s = malloc(sizeof(*s) + stride * p->slab_items);
    if (!s)
        return NULL;
    *s = (struct pool_slab){0};
    for (size_t i = p->slab_items; i-- > 0;) {
        struct pool_item *item = (struct pool_item *)(void *)(s->items + i * stride);
        item->slab = s;
        item->next_free = s->free;
        s->free = item;
    }
    pool_link_front(p, s);
    return s;
}

void *pool_acquire(struct pool *p)
{
    if (p->count >= p->count_max)
        return NULL;
    struct pool_slab *s = p->slabs;
    if (!s || !s->free)
        s = pool_grow(p);
    if (!s)
        return NULL;
    struct pool_item *item = s->free;
    s->free = item->next_free;
    item->next_free = NULL;
    s->used++;
    p->count++;
    if (!s->free && s->next && s->next->free) {
        // keep the slabs with room in front: this one is full, so it goes behind the last that is not
        struct pool_slab *at = s->next;
        while (at->next && at->next->free)
            at = at->next;
        pool_unlink(p, s);
        s->prev = at;
        s->next = at->next;
        if (at->next)
            at->next->prev = s;
        at->next = s;
    }
    memset(item->data, 0, p->zeroed_bytes);
    return item->data;
}

void pool_release(struct pool *p, void *data)
{
    struct pool_item *item = container_of(data, struct pool_item, data);
    struct pool_slab *s = item->slab;
    ASSERT(p->count > 0 && s->used > 0);
    bool was_full = s->free == NULL;
    item->next_free = s->free;
    s->free = item;
    s->used--;
    p->count--;
    if (was_full && p->slabs != s) {
        pool_unlink(p, s);
        pool_link_front(p, s);
    }
}

size_t pool_trim(struct pool *p)
{
    size_t freed = 0;
    for (struct pool_slab *s = p->slabs, *next; s; s = next) {
        next = s->next;
        if (s->used == 0) {
            pool_unlink(p, s);
            free(s);
            freed++;
        }
    }
    return freed;
}
