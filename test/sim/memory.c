// SPDX-License-Identifier: Apache-2.0
//
// The wrapped malloc family. A block of a node carries a header in front that links it to its owner; a block of the
// simulator or of a shared library has none and is told apart by the missing magic. Knows nothing of nodes but their
// list of blocks.
#include "memory.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

void *__real_malloc(size_t n);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);
void *__wrap_aligned_alloc(size_t alignment, size_t n);
int __wrap_posix_memalign(void **out, size_t alignment, size_t n);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

#define BLOCK_MAGIC UINT64_C(0x53494d424c4f434b)

struct block {
    struct list_node link;
    struct sim_memory *owner;
    void *base; // what the allocator gave
    size_t bytes;
    uint64_t magic; // last: directly before the owner's bytes
};

_Static_assert(sizeof(struct block) % 16 == 0, "a node's block stays aligned for any type");

// The simulator runs one world in one thread; this says whose code is running in it.
static struct sim_memory *running;

void sim_memory_init(struct sim_memory *m)
{
    *m = (struct sim_memory){0};
    list_init(&m->blocks);
}

struct sim_memory *sim_memory_enter(struct sim_memory *m)
{
    struct sim_memory *before = running;
    running = m;
    return before;
}

void sim_memory_release_all(struct sim_memory *m)
{
    struct list_node *n;
    while ((n = list_pop_front(&m->blocks))) {
        struct block *b = list_entry(n, struct block, link);
        b->magic = 0;
        __real_free(b->base);
    }
    m->bytes = m->blocks_count = 0;
}

void *sim_alloc(size_t bytes)
{
    void *p = __real_malloc(bytes ? bytes : 1);
    ASSERT(p);
    return memset(p, 0, bytes);
}

void *sim_realloc(void *p, size_t bytes)
{
    void *q = __real_realloc(p, bytes ? bytes : 1);
    ASSERT(q);
    return q;
}

void sim_free(void *p)
{
    __real_free(p);
}

// The header of p, or NULL when p is not a node's. Looks at the eight bytes before p, which every allocator owns.
__attribute__((no_sanitize("address"))) static struct block *block_of(void *p)
{
    uint64_t magic = *(volatile uint64_t *)((char *)p - sizeof(uint64_t));
    return magic == BLOCK_MAGIC ? (struct block *)((char *)p - sizeof(struct block)) : NULL;
}

static void *block_new(size_t alignment, size_t n)
{
    size_t pad = sizeof(struct block) + (alignment > 16 ? alignment : 0);
    if (n > SIZE_MAX - pad)
        return NULL;
    char *base = __real_malloc(n + pad);
    if (!base)
        return NULL;
    uintptr_t at = (uintptr_t)base + sizeof(struct block);
    if (alignment > 16)
        at = (at + alignment - 1) & ~((uintptr_t)alignment - 1);
    struct block *b = (struct block *)(at - sizeof(struct block));
    *b = (struct block){.owner = running, .base = base, .bytes = n, .magic = BLOCK_MAGIC};
    list_push_back(&running->blocks, &b->link);
    running->blocks_count++;
    running->bytes += n;
    if (running->bytes > running->bytes_max)
        running->bytes_max = running->bytes;
    return (void *)at;
}

void *__wrap_malloc(size_t n)
{
    return running ? block_new(0, n) : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        return NULL;
    void *p = __wrap_malloc(count * size);
    return p ? memset(p, 0, count * size) : NULL;
}

void __wrap_free(void *p)
{
    if (!p)
        return;
    struct block *b = block_of(p);
    if (!b) {
        __real_free(p);
        return;
    }
    ASSERT(b->owner->bytes >= b->bytes);
    b->owner->bytes -= b->bytes;
    b->owner->blocks_count--;
    list_remove(&b->owner->blocks, &b->link);
    b->magic = 0;
    __real_free(b->base);
}

void *__wrap_realloc(void *p, size_t n)
{
    if (!p)
        return __wrap_malloc(n);
    struct block *b = block_of(p);
    if (!b)
        return __real_realloc(p, n);
    struct sim_memory *before = sim_memory_enter(b->owner);
    void *q = block_new(0, n);
    sim_memory_enter(before);
    if (!q)
        return NULL;
    memcpy(q, p, b->bytes < n ? b->bytes : n);
    __wrap_free(p);
    return q;
}

void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
    void *p = NULL;
    return __wrap_posix_memalign(&p, alignment, n) == 0 ? p : NULL;
}

int __real_posix_memalign(void **out, size_t alignment, size_t n);

int __wrap_posix_memalign(void **out, size_t alignment, size_t n)
{
    if (!running)
        return __real_posix_memalign(out, alignment, n);
    void *p = block_new(alignment, n);
    if (!p)
        return ENOMEM;
    *out = p;
    return 0;
}

char *__wrap_strdup(const char *s)
{
    return __wrap_strndup(s, strlen(s));
}

char *__wrap_strndup(const char *s, size_t n)
{
    size_t length = strnlen(s, n);
    char *p = __wrap_malloc(length + 1);
    if (p) {
        memcpy(p, s, length);
        p[length] = 0;
    }
    return p;
}
