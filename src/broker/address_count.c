// SPDX-License-Identifier: Apache-2.0
//
// See address_count.h.
#include "broker/address_count.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/map.h"

// An address lies somewhere in the row that begins at its hash: all of it is looked at, so that a word is free again
// when its count is 0, wherever it stands.
enum { ROW_WORDS = 32, WORDS_MAX = 1 << 16, COUNT_BITS = 24 };
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)

enum rc address_count_init(struct address_count *a, uint32_t connections_max)
{
    size_t words = ROW_WORDS;
    while (words < WORDS_MAX && words / 2 < connections_max)
        words *= 2;
    *a = (struct address_count){.words = calloc(words, sizeof(*a->words)), .word_count = words};
    return a->words ? RC_OK : RC_NOMEM;
}

void address_count_deinit(struct address_count *a)
{
    free((void *)a->words);
    a->words = NULL;
}

static uint64_t hash_of(const uint8_t ip[16])
{
    uint64_t hash = map_hash_bytes(bytes_of(ip, 16)) >> COUNT_BITS;
    return hash ? hash : 1;
}

static _Atomic uint64_t *word_at(struct address_count *a, uint64_t hash, size_t i)
{
    return &a->words[(hash + i) & (a->word_count - 1)];
}

// The word of the address, or NULL. *open: the first free one of its row, or NULL.
static _Atomic uint64_t *word_find(struct address_count *a, uint64_t hash, _Atomic uint64_t **open)
{
    *open = NULL;
    for (size_t i = 0; i < ROW_WORDS; i++) {
        _Atomic uint64_t *w = word_at(a, hash, i);
        uint64_t now = atomic_load_explicit(w, memory_order_relaxed);
        if (now >> COUNT_BITS == hash)
            return w;
        if (now == 0 && !*open)
            *open = w;
    }
    return NULL;
}

bool address_count_enter(struct address_count *a, const uint8_t ip[16], uint32_t most, bool *counted)
{
    uint64_t hash = hash_of(ip);
    *counted = true;
    for (;;) {
        _Atomic uint64_t *open, *w = word_find(a, hash, &open);
        uint64_t now = w ? atomic_load(w) : 0;
        if (w && now >> COUNT_BITS != hash)
            continue; // given back since
        if ((now & COUNT_MASK) >= most)
            return false;
        if (!w && !open) {
            *counted = false; // more addresses than the table was made for: this one is let in
            return true;
        }
        uint64_t next = w ? now + 1 : hash << COUNT_BITS | 1;
        if ((now & COUNT_MASK) < COUNT_MASK && atomic_compare_exchange_strong(w ? w : open, &now, next))
            return true;
    }
}

void address_count_leave(struct address_count *a, const uint8_t ip[16])
{
    uint64_t hash = hash_of(ip);
    for (;;) {
        _Atomic uint64_t *open, *w = word_find(a, hash, &open);
        ASSERT(w);
        uint64_t now = atomic_load(w);
        if (now >> COUNT_BITS != hash)
            continue; // it had two words, and another shard has just given this one back
        if (atomic_compare_exchange_strong(w, &now, (now & COUNT_MASK) == 1 ? 0 : now - 1))
            return;
    }
}
