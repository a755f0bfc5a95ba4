// SPDX-License-Identifier: Apache-2.0
//
// Topic names, kept once a core; the partition of a group's name.
#include "group/core.h"

#include <stdlib.h>

static bool topic_ref_eq(const struct map_node *n, const void *key)
{
    const struct topic_ref *t = container_of(n, struct topic_ref, node);
    return bytes_eq(topic_ref_name(t), *(const struct bytes *)key);
}

struct topic_ref *topic_ref_find(const struct groups *g, struct bytes name)
{
    struct map_node *n = map_find(&core_of(g)->topics, map_hash_bytes(name), topic_ref_eq, &name);
    return n ? container_of(n, struct topic_ref, node) : NULL;
}

struct topic_ref *topic_ref_get(struct groups *g, struct bytes name)
{
    struct topic_ref *t = topic_ref_find(g, name);
    if (t) {
        t->refs++;
        return t;
    }
    ASSERT(name.n <= INT16_MAX);
    t = malloc(sizeof(*t) + name.n + 1);
    if (!t)
        return NULL;
    *t = (struct topic_ref){.refs = 1, .n = (uint16_t)name.n};
    if (name.n)
        memcpy(t->name, name.p, name.n);
    t->name[name.n] = 0;
    if (map_insert(&core_of(g)->topics, &t->node, map_hash_bytes(name)) != RC_OK) {
        free(t);
        return NULL;
    }
    return t;
}

void topic_ref_put(struct groups *g, struct topic_ref *t)
{
    ASSERT(t->refs > 0);
    if (--t->refs > 0)
        return;
    map_remove(&core_of(g)->topics, &t->node);
    free(t);
}

// The next code point of *s, which is not empty. Bytes that are not UTF-8 count as one unit each.
static uint32_t utf8_next(struct bytes *s)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = s->p[0];
    size_t n = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf8 ? 4 : 0;
    uint32_t c = n <= 1 ? first : first & (0xffu >> (n + 1));
    bool good = n > 0 && n <= s->n;
    for (size_t i = 1; good && i < n; i++) {
        good = (s->p[i] & 0xc0) == 0x80;
        c = c << 6 | (s->p[i] & 0x3fu);
    }
    if (!good || c < least[n] || c > 0x10ffff) {
        n = 1;
        c = 0xfffd;
    }
    s->p += n;
    s->n -= n;
    return c;
}

size_t utf16_length(struct bytes utf8)
{
    size_t units = 0;
    while (utf8.n)
        units += utf8_next(&utf8) >= 0x10000 ? 2 : 1;
    return units;
}

int32_t group_partition(struct bytes group_id, int32_t partition_count)
{
    ASSERT(partition_count > 0);
    uint32_t hash = 0;
    while (group_id.n) {
        uint32_t c = utf8_next(&group_id);
        if (c >= 0x10000) {
            hash = hash * 31 + (0xd800 + ((c - 0x10000) >> 10));
            c = 0xdc00 + ((c - 0x10000) & 0x3ff);
        }
        hash = hash * 31 + c;
    }
    int32_t v = (int32_t)hash;
    return v == INT32_MIN ? 0 : (v < 0 ? -v : v) % partition_count;
}
