// SPDX-License-Identifier: Apache-2.0
//
// Bump allocator; see arena.h.
#include "base/arena.h"
#include "base/assert.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_ALIGN = alignof(max_align_t), ARENA_BLOCK_BYTES = 4096 };

struct arena_block {
    struct arena_block *next;
    alignas(max_align_t) uint8_t data[];
};

void arena_init(struct arena *a, size_t limit_bytes, void *first, size_t first_bytes)
{
    ASSERT(first == NULL || (uintptr_t)first % ARENA_ALIGN == 0);
    *a = (struct arena){.limit_bytes = limit_bytes, .first = first, .first_bytes = first ? first_bytes : 0};
    a->at = a->first;
    a->end = a->at ? a->at + a->first_bytes : NULL;
}

void arena_reset(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        free(b);
    }
    a->used_bytes = 0;
    a->at = a->first;
    a->end = a->at ? a->at + a->first_bytes : NULL;
}

void arena_deinit(struct arena *a)
{
    arena_reset(a);
    *a = (struct arena){0};
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    if (bytes > a->limit_bytes - a->used_bytes || bytes > SIZE_MAX / 2)
        return NULL;
    size_t padded = (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (padded == 0)
        padded = ARENA_ALIGN;
    if (padded > (size_t)(a->end - a->at)) {
        size_t room = padded > ARENA_BLOCK_BYTES ? padded : ARENA_BLOCK_BYTES;
        struct arena_block *b = malloc(sizeof(*b) + room);
        if (!b)
            return NULL;
        b->next = a->blocks;
        a->blocks = b;
        a->at = b->data;
        a->end = b->data + room;
    }
    void *p = a->at;
    a->at += padded;
    a->used_bytes += padded < a->limit_bytes - a->used_bytes ? padded : a->limit_bytes - a->used_bytes;
    memset(p, 0, padded);
    return p;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return arena_alloc(a, bytes);
}

void *arena_copy(struct arena *a, const void *p, size_t n)
{
    uint8_t *copy = n < SIZE_MAX ? arena_alloc(a, n + 1) : NULL;
    if (copy && n)
        memcpy(copy, p, n);
    return copy;
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    ASSERT(n >= 0);
    char *text = arena_alloc(a, (size_t)n + 1);
    if (text)
        vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text;
}
