// SPDX-License-Identifier: Apache-2.0
//
// Scratch memory of one request: allocated by bumping a pointer, given back all at once. The limit is the request's
// reservation, so that a hostile count costs an error and not the process's memory.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct arena_block;

struct arena {
    struct arena_block *blocks; // newest first; the owner's first block, if given, is not freed
    uint8_t *at, *end;
    size_t used_bytes; // sum of what was asked for since the last reset, padding included
    size_t limit_bytes;
    void *first;
    size_t first_bytes;
};

// An arena that may hand out at most limit_bytes. first (may be NULL) is memory of the caller used before any
// allocation; it must outlive the arena.
void arena_init(struct arena *a, size_t limit_bytes, void *first, size_t first_bytes);
// Frees every block; the arena may be used again.
void arena_reset(struct arena *a);
void arena_deinit(struct arena *a);

// bytes of zeroed memory aligned for any type, or NULL when the limit is reached or memory is short. bytes 0 gives a
// valid pointer.
void *arena_alloc(struct arena *a, size_t bytes);
// count elements of size bytes; NULL on overflow too.
void *arena_array(struct arena *a, size_t count, size_t size);
// A copy of n bytes, with a zero behind it that is not counted in n.
void *arena_copy(struct arena *a, const void *p, size_t n);
// Formatted text with a terminating zero; NULL as above.
char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
