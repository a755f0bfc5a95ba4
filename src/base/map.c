// SPDX-License-Identifier: Apache-2.0
//
// Intrusive chained hash map; see map.h.
#include "base/map.h"
#include "base/assert.h"

#include <stdlib.h>
#include <xxhash.h>

enum { MAP_BUCKETS_MIN = 8 };

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_deinit(struct map *m)
{
    free(m->buckets);
    *m = (struct map){0};
}

uint64_t map_hash_bytes(struct bytes b)
{
    return XXH3_64bits(b.p, b.n);
}

uint64_t map_hash_u64(uint64_t v)
{
    return XXH3_64bits(&v, sizeof(v));
}

struct map_node *map_find(const struct map *m, uint64_t hash, map_eq_fn eq, const void *key)
{
    if (m->bucket_count == 0)
        return NULL;
    struct map_node *n = m->buckets[hash & (m->bucket_count - 1)];
    while (n && !(n->hash == hash && eq(n, key)))
        n = n->next;
    return n;
}

// Moves every chain to an array of count buckets, keeping the order inside a chain. False when memory is short.
static bool map_resize(struct map *m, size_t count)
{
    struct map_node **buckets = calloc(count, sizeof(struct map_node *));
    if (!buckets)
        return false;
    for (size_t i = 0; i < m->bucket_count; i++) {
        for (struct map_node *n = m->buckets[i], *next; n; n = next) {
            next = n->next;
            struct map_node **at = &buckets[n->hash & (count - 1)];
            while (*at)
                at = &(*at)->next;
            n->next = NULL;
            *at = n;
        }
    }
    free(m->buckets);
    m->buckets = buckets;
    m->bucket_count = count;
    return true;
}

enum rc map_insert(struct map *m, struct map_node *n, uint64_t hash)
{
    if (m->count >= m->bucket_count) {
        bool grown = map_resize(m, m->bucket_count ? m->bucket_count * 2 : MAP_BUCKETS_MIN);
        if (!grown && m->bucket_count == 0)
            return RC_NOMEM;
    }
    struct map_node **head = &m->buckets[hash & (m->bucket_count - 1)];
    n->hash = hash;
    n->next = *head;
    *head = n;
    m->count++;
    return RC_OK;
}

void map_remove(struct map *m, struct map_node *n)
{
    ASSERT(m->count > 0);
    struct map_node **at = &m->buckets[n->hash & (m->bucket_count - 1)];
    while (*at != n) {
        ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = n->next;
    n->next = NULL;
    m->count--;
}

static struct map_node *map_scan(const struct map *m, size_t from)
{
    for (size_t i = from; i < m->bucket_count; i++)
        if (m->buckets[i])
            return m->buckets[i];
    return NULL;
}

struct map_node *map_first(const struct map *m)
{
    return map_scan(m, 0);
}

struct map_node *map_next(const struct map *m, const struct map_node *n)
{
    return n->next ? n->next : map_scan(m, (n->hash & (m->bucket_count - 1)) + 1);
}
