// SPDX-License-Identifier: Apache-2.0
//
// Counts what a process asks of the heap, for the gate: loaded with LD_PRELOAD, it writes the number of calls and the bytes
// that are live into the file named by HEAP_COUNT_FILE, which the gate maps. The calls themselves go to libc.
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t n);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);
void __libc_free(void *p);

struct counts {
    _Atomic uint64_t calls;     // malloc, calloc, realloc and the aligned ones
    _Atomic int64_t live_bytes; // as malloc_usable_size sees them
};

static struct counts before_open; // until the file is mapped
static struct counts *counts = &before_open;

__attribute__((constructor)) static void open_counts(void)
{
    const char *path = getenv("HEAP_COUNT_FILE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    struct counts *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (shared == MAP_FAILED)
        return;
    atomic_store(&shared->calls, atomic_load(&counts->calls));
    atomic_store(&shared->live_bytes, atomic_load(&counts->live_bytes));
    counts = shared;
}

static void *count(void *p)
{
    atomic_fetch_add_explicit(&counts->calls, 1, memory_order_relaxed);
    if (p)
        atomic_fetch_add_explicit(&counts->live_bytes, (int64_t)malloc_usable_size(p), memory_order_relaxed);
    return p;
}

static void uncount(void *p)
{
    if (p)
        atomic_fetch_sub_explicit(&counts->live_bytes, (int64_t)malloc_usable_size(p), memory_order_relaxed);
}

void *malloc(size_t n)
{
    return count(__libc_malloc(n));
}

void *calloc(size_t number, size_t n)
{
    return count(__libc_calloc(number, n));
}

void *realloc(void *p, size_t n)
{
    int64_t held = p ? (int64_t)malloc_usable_size(p) : 0;
    void *q = __libc_realloc(p, n);
    if (q || n == 0)
        atomic_fetch_sub_explicit(&counts->live_bytes, held, memory_order_relaxed);
    return count(q);
}

void *memalign(size_t alignment, size_t n)
{
    return count(__libc_memalign(alignment, n));
}

void *aligned_alloc(size_t alignment, size_t n)
{
    return memalign(alignment, n);
}

int posix_memalign(void **out, size_t alignment, size_t n)
{
    void *p = memalign(alignment, n);
    if (!p)
        return ENOMEM;
    *out = p;
    return 0;
}

void free(void *p)
{
    uncount(p);
    __libc_free(p);
}
