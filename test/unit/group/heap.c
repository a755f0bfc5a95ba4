// SPDX-License-Identifier: Apache-2.0
#include <malloc.h>
#include <stdlib.h>

#include "heap.h"

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);

int64_t heap_bytes;
static uint64_t left, again;
static bool inside, failed;

void heap_fail(uint64_t n, uint64_t each)
{
    left = n;
    again = each;
    failed = false;
}

void heap_enter(void)
{
    inside = true;
}

void heap_leave(void)
{
    inside = false;
}

bool heap_failed(void)
{
    return failed;
}

static bool fails(void)
{
    if (!inside || left == 0 || --left > 0)
        return false;
    left = again;
    failed = true;
    return true;
}

static int64_t cost(void *p)
{
    if (!p)
        return 0;
    int64_t n = (int64_t)(malloc_usable_size(p) + 8 + 15) & ~15;
    return n < 32 ? 32 : n;
}

void *__wrap_malloc(size_t n)
{
    void *p = fails() ? NULL : __real_malloc(n);
    heap_bytes += cost(p);
    return p;
}

void *__wrap_calloc(size_t count, size_t n)
{
    void *p = fails() ? NULL : __real_calloc(count, n);
    heap_bytes += cost(p);
    return p;
}

void *__wrap_realloc(void *p, size_t n)
{
    if (fails())
        return NULL;
    int64_t before = cost(p);
    void *q = __real_realloc(p, n);
    if (q)
        heap_bytes += cost(q) - before;
    return q;
}

void __wrap_free(void *p)
{
    heap_bytes -= cost(p);
    __real_free(p);
}
