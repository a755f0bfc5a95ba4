// SPDX-License-Identifier: Apache-2.0
//
// See key_map.h. Open addressing with linear probing; a slot is free while its offset is 0, so offsets are kept plus 1.
#include "store/key_map.h"

#include <stdlib.h>

#include "base/assert.h"
#include "model/ids.h"

struct key_slot {
    struct key_hash key;
    uint64_t offset_plus_1;
};

_Static_assert(sizeof(struct key_slot) == KEY_MAP_ENTRY_BYTES, "what the memory bound counts with");

enum rc key_map_init(struct key_map *m, uint64_t keys, uint64_t bytes_max, double load_factor, uint64_t seed)
{
    uint64_t cap_max = bytes_max / KEY_MAP_ENTRY_BYTES;
    double factor = load_factor > 0.01 && load_factor < 0.95 ? load_factor : load_factor <= 0.01 ? 0.01 : 0.95;
    double wanted = (double)keys / factor + 2;
    uint64_t cap = wanted < (double)cap_max ? (uint64_t)wanted : cap_max;
    if (cap < 2)
        cap = 2;
    *m = (struct key_map){.cap = cap, .seed = seed};
    m->count_max = (uint64_t)((double)cap * factor);
    if (m->count_max < 1)
        m->count_max = 1;
    if (m->count_max >= cap) // a free slot ends every search
        m->count_max = cap - 1;
    m->slots = calloc(cap, sizeof(*m->slots));
    return m->slots ? RC_OK : RC_NOMEM;
}

void key_map_deinit(struct key_map *m)
{
    free(m->slots);
    *m = (struct key_map){0};
}

// The slot of the key, or the free one where it would be.
static struct key_slot *key_map_slot(const struct key_map *m, struct key_hash key)
{
    uint64_t i = (uint64_t)(((unsigned __int128)key.low * m->cap) >> 64);
    for (;;) {
        struct key_slot *s = &m->slots[i];
        if (s->offset_plus_1 == 0 || (s->key.low == key.low && s->key.high == key.high))
            return s;
        if (++i == m->cap)
            i = 0;
    }
}

enum rc key_map_put(struct key_map *m, struct key_hash key, int64_t offset)
{
    ASSERT(offset >= 0 && m->count < m->cap);
    struct key_slot *s = key_map_slot(m, key);
    if (s->offset_plus_1 == 0) {
        if (m->count == m->count_max)
            return RC_FULL;
        m->count++;
        s->key = key;
    }
    s->offset_plus_1 = (uint64_t)offset + 1;
    return RC_OK;
}

int64_t key_map_get(const struct key_map *m, struct key_hash key)
{
    const struct key_slot *s = key_map_slot(m, key);
    return s->offset_plus_1 ? (int64_t)(s->offset_plus_1 - 1) : OFFSET_NONE;
}
