// SPDX-License-Identifier: Apache-2.0
//
// I/O memory. The first touch of a page costs microseconds, so buffers up to 1 MiB are kept warm and used again, and of
// larger ones the last few; what has lain free for 10 s is given back to the system page by page, its address is kept.
// Nothing is ever written into a free buffer, so that it can be poisoned.
#include "io/internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define BUFFERS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BUFFERS_ASAN 1
#endif
#endif
#ifdef BUFFERS_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

// Halves between powers of two above 64 KiB keep what a frame of any length wastes under a third.
static const size_t class_bytes[IO_BUFFER_CLASSES] = {
    4096, 8192, 16384, 32768, 65536, 98304, 131072, 196608, 262144, 393216, 524288, 786432, 1048576,
};
enum {
    REGION_BYTES = 256 * 1024,
    FILL_FREE = 0xdb,
    LARGE_STEP_BYTES = 1 << 20,      // larger buffers are mapped in steps, so that frames of about one size can share
    LARGE_KEPT_BYTES_MAX = 32 << 20, // and so much of them is kept: mapping and unmapping 16 MiB costs a turn of 3 ms
};
#define KEEP_WARM_NS (UINT64_C(10) * 1000 * 1000 * 1000)

enum rc io_buffers_init(struct io *io)
{
    for (unsigned i = 0; i < IO_BUFFER_CLASSES; i++)
        io->buffers[i].bytes = class_bytes[i];
    return RC_OK;
}

static size_t large_size(size_t bytes)
{
    return (bytes + LARGE_STEP_BYTES - 1) / LARGE_STEP_BYTES * LARGE_STEP_BYTES;
}

// Takes one out of those that are kept: it is the caller's now, to use or to unmap.
static struct io_buffer_large large_take(struct io *io, unsigned i)
{
    struct io_buffer_large l = io->large[i];
    memmove(&io->large[i], &io->large[i + 1], (--io->large_count - i) * sizeof(l));
    io->large_bytes -= l.bytes;
    io->counters.buffer_cached_bytes -= l.bytes;
    ASAN_UNPOISON_MEMORY_REGION(l.p, l.bytes);
    return l;
}

static void large_drop_oldest(struct io *io)
{
    struct io_buffer_large l = large_take(io, 0);
    munmap(l.p, l.bytes);
}

void io_buffers_deinit(struct io *io)
{
    while (io->large_count > 0)
        large_drop_oldest(io);
    while (io->buffer_regions) {
        struct io_buffer_region *r = io->buffer_regions;
        io->buffer_regions = r->next;
        ASAN_UNPOISON_MEMORY_REGION(r->p, r->bytes);
        munmap(r->p, r->bytes);
        free(r);
    }
    for (unsigned i = 0; i < IO_BUFFER_CLASSES; i++)
        free(io->buffers[i].free);
}

static struct io_buffer_class *class_for(struct io *io, size_t bytes)
{
    for (unsigned i = 0; i < IO_BUFFER_CLASSES; i++) {
        if (bytes <= class_bytes[i])
            return &io->buffers[i];
    }
    return NULL;
}

static uint8_t *map_pages(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static uint8_t *large_acquire(struct io *io, size_t bytes)
{
    size_t size = large_size(bytes);
    uint8_t *p = NULL;
    for (unsigned i = io->large_count; i-- > 0 && !p;)
        if (io->large[i].bytes == size)
            p = large_take(io, i).p;
    if (!p)
        p = map_pages(size);
    io->counters.buffer_bytes += p ? bytes : 0; // what is mapped beyond is never touched
    return p;
}

static void large_release(struct io *io, uint8_t *p, size_t bytes)
{
    size_t size = large_size(bytes);
    ASSERT(io->counters.buffer_bytes >= bytes);
    io->counters.buffer_bytes -= bytes;
    if (size > LARGE_KEPT_BYTES_MAX) {
        munmap(p, size);
        return;
    }
    while (io->large_count == IO_LARGE_KEPT || io->large_bytes + size > LARGE_KEPT_BYTES_MAX)
        large_drop_oldest(io);
    ASAN_POISON_MEMORY_REGION(p, size);
    io->large[io->large_count++] = (struct io_buffer_large){.p = p, .bytes = size, .freed_ns = io->now_ns};
    io->large_bytes += size;
    io->counters.buffer_cached_bytes += size;
}

// Adds a region of cold buffers below the warm ones.
static bool class_grow(struct io *io, struct io_buffer_class *c)
{
    ASSERT(c->free_count == 0);
    size_t count = c->bytes < REGION_BYTES ? REGION_BYTES / c->bytes : 1;
    struct io_buffer_free *free_list = realloc(c->free, (c->total + count) * sizeof(*free_list));
    if (!free_list)
        return false;
    c->free = free_list;
    struct io_buffer_region *r = malloc(sizeof(*r));
    if (!r)
        return false;
    *r = (struct io_buffer_region){.next = io->buffer_regions, .bytes = count * c->bytes};
    r->p = map_pages(r->bytes);
    if (!r->p) {
        free(r);
        return false;
    }
    io->buffer_regions = r;
    for (size_t i = count; i-- > 0;)
        c->free[c->free_count++] = (struct io_buffer_free){.p = r->p + i * c->bytes};
    c->cold_count = count;
    c->total += count;
    ASAN_POISON_MEMORY_REGION(r->p, r->bytes);
    return true;
}

uint8_t *io_buffer_acquire(struct io *io, size_t bytes)
{
    ASSERT(bytes > 0);
    struct io_buffer_class *c = class_for(io, bytes);
    if (!c)
        return large_acquire(io, bytes);
    if (c->free_count == 0 && !class_grow(io, c))
        return NULL;
    uint8_t *p = c->free[--c->free_count].p;
    if (c->cold_count > c->free_count)
        c->cold_count = c->free_count;
    else
        io->counters.buffer_cached_bytes -= c->bytes;
    io->counters.buffer_bytes += c->bytes;
    ASAN_UNPOISON_MEMORY_REGION(p, c->bytes);
    return p;
}

#if WEIR_VERIFY
static bool overlaps(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    uintptr_t x = (uintptr_t)a, y = (uintptr_t)b;
    return x < y + b_bytes && y < x + a_bytes;
}

// The kernel or a helper would go on using it.
static bool under_operation(const struct io *io, const uint8_t *p, size_t bytes)
{
    for (struct list_node *n = list_first(&io->in_flight); n; n = list_next(&io->in_flight, n)) {
        const struct io_op *op = list_entry(n, struct io_op, link);
        if (op->kind == IO_OP_READ && overlaps(p, bytes, op->p, op->n))
            return true;
        for (unsigned i = 0; op->kind == IO_OP_WRITE && i < op->vec_count; i++) {
            if (overlaps(p, bytes, op->vecs[i].iov_base, op->vecs[i].iov_len))
                return true;
        }
    }
    return false;
}
#endif

void io_buffer_release(struct io *io, uint8_t *p, size_t bytes)
{
    if (!p)
        return;
#if WEIR_VERIFY
    ASSERT(!under_operation(io, p, bytes));
#endif
    struct io_buffer_class *c = class_for(io, bytes);
    if (!c) {
        large_release(io, p, bytes);
        return;
    }
    ASSERT(c->free_count < c->total);
    ASSERT(io->counters.buffer_bytes >= c->bytes);
#if WEIR_VERIFY && !defined(BUFFERS_ASAN)
    memset(p, FILL_FREE, bytes);
#endif
    ASAN_POISON_MEMORY_REGION(p, c->bytes);
    c->free[c->free_count++] = (struct io_buffer_free){.p = p, .freed_ns = io->now_ns};
    io->counters.buffer_bytes -= c->bytes;
    io->counters.buffer_cached_bytes += c->bytes;
}

void io_buffers_trim(struct io *io)
{
    if (io->counters.buffer_cached_bytes == 0)
        return;
    if (io->large_count > 0 && io->now_ns - io->large[0].freed_ns >= KEEP_WARM_NS)
        large_drop_oldest(io); // one a turn: that alone takes a millisecond
    for (unsigned i = 0; i < IO_BUFFER_CLASSES; i++) {
        struct io_buffer_class *c = &io->buffers[i];
        while (c->cold_count < c->free_count && io->now_ns - c->free[c->cold_count].freed_ns >= KEEP_WARM_NS) {
            madvise(c->free[c->cold_count].p, c->bytes, MADV_DONTNEED);
            c->cold_count++;
            io->counters.buffer_cached_bytes -= c->bytes;
        }
    }
}
