// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

#include "io/internal.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

IO_TEST(buffers, sizes_are_counted_and_reused)
{
    static const size_t sizes[] = {1, 4096, 4097, 65536, 65537, 100000, 1 << 20, (1 << 20) + 1, 5 << 20};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *p = io_buffer_acquire(r->io, sizes[i]);
        cr_assert_not_null(p);
        cr_assert_eq((uintptr_t)p % 4096, 0);
        memset(p, 1, sizes[i]);
        cr_assert(io_counters(r->io)->buffer_bytes >= sizes[i]);
        cr_assert(io_counters(r->io)->buffer_bytes <= sizes[i] * 3 / 2 + 4096);
        io_buffer_release(r->io, p, sizes[i]);
        cr_assert_eq(io_counters(r->io)->buffer_bytes, 0);
        if (sizes[i] <= 1 << 20) {
            uint8_t *q = io_buffer_acquire(r->io, sizes[i]);
            cr_assert_eq(p, q, "the warmest first");
            io_buffer_release(r->io, q, sizes[i]);
        }
    }
    io_buffer_release(r->io, NULL, 100);
}

IO_TEST(buffers, many_at_once_do_not_overlap)
{
    enum { N = 500 };
    uint8_t *p[N];
    for (size_t i = 0; i < N; i++) {
        p[i] = io_buffer_acquire(r->io, (size_t)4096 << i % 5);
        memset(p[i], (int)(i & 0xff), (size_t)4096 << i % 5);
    }
    for (size_t i = 0; i < N; i++) {
        for (size_t at = 0; at < (size_t)4096 << i % 5; at += 512)
            cr_assert_eq(p[i][at], i & 0xff);
        io_buffer_release(r->io, p[i], (size_t)4096 << i % 5);
    }
    cr_assert_eq(io_counters(r->io)->buffer_bytes, 0);
    cr_assert(io_counters(r->io)->buffer_cached_bytes > 0);
    io_buffers_trim(r->io);
    cr_assert(io_counters(r->io)->buffer_cached_bytes > 0, "warm for ten seconds");
}

// Pages of [p, p + bytes) that are in memory.
static unsigned resident(uint8_t *p, size_t bytes)
{
    unsigned char pages[256];
    unsigned count = 0;
    cr_assert(bytes / 4096 <= sizeof(pages));
    cr_assert_eq(mincore(p, bytes, pages), 0);
    for (size_t i = 0; i < bytes / 4096; i++)
        count += pages[i] & 1;
    return count;
}

IO_TEST(buffers, what_lies_free_for_ten_seconds_goes_back)
{
    uint8_t *a = io_buffer_acquire(r->io, 65536), *b = io_buffer_acquire(r->io, 1 << 20);
    memset(a, 1, 65536);
    memset(b, 1, 1 << 20);
    io_buffer_release(r->io, a, 65536);
    r->io->now_ns += UINT64_C(6000000000);
    io_buffer_release(r->io, b, 1 << 20);
    r->io->now_ns += UINT64_C(6000000000);
    io_buffers_trim(r->io);
    cr_assert_eq(resident(a, 65536), 0);
    cr_assert_eq(resident(b, 1 << 20), 256);
    cr_assert_eq(io_counters(r->io)->buffer_cached_bytes, 1 << 20);
    r->io->now_ns += UINT64_C(6000000000);
    io_buffers_trim(r->io);
    cr_assert_eq(resident(b, 1 << 20), 0);
    cr_assert_eq(io_counters(r->io)->buffer_cached_bytes, 0);
    uint8_t *c = io_buffer_acquire(r->io, 65536);
    cr_assert_eq(a, c, "the address is kept");
    memset(c, 1, 65536);
    io_buffer_release(r->io, c, 65536);
    cr_assert_eq(io_counters(r->io)->buffer_cached_bytes, 65536);
}

IO_TEST(buffers, large_buffers_are_kept_warm)
{
    enum { SIZE = 16 << 20, OTHER = 20 << 20 };
    uint8_t *a = io_buffer_acquire(r->io, OTHER), *b = io_buffer_acquire(r->io, SIZE);
    uint8_t *e = io_buffer_acquire(r->io, SIZE - 100);
    memset(b, 1, SIZE);
    memset(e, 1, SIZE - 100);
    io_buffer_release(r->io, a, OTHER);
    io_buffer_release(r->io, b, SIZE); // takes its place: both are more than is kept
    cr_assert_eq(io_counters(r->io)->buffer_cached_bytes, SIZE);
    io_buffer_release(r->io, e, SIZE - 100); // two in flight at a time find two
    cr_assert_eq(io_counters(r->io)->buffer_cached_bytes, 2 * SIZE);
    cr_assert_eq(io_buffer_acquire(r->io, SIZE - 200), e);
    cr_assert_eq(resident(e, 1 << 20), 256);
    uint8_t *c = io_buffer_acquire(r->io, SIZE - 5000); // about the same size: the warm one
    cr_assert_eq(c, b);
    cr_assert_eq(resident(c, 1 << 20), 256);
    cr_assert_eq(io_counters(r->io)->buffer_cached_bytes, 0);
    uint8_t *d = io_buffer_acquire(r->io, 64 << 20);
    cr_assert_not_null(d);
    io_buffer_release(r->io, d, 64 << 20); // too large to keep
    cr_assert_eq(io_counters(r->io)->buffer_cached_bytes, 0);
    io_buffer_release(r->io, c, SIZE - 5000);
    io_buffer_release(r->io, e, SIZE - 200);
    r->io->now_ns += UINT64_C(11000000000);
    io_buffers_trim(r->io);
    cr_assert_eq(io_counters(r->io)->buffer_cached_bytes, SIZE); // one a turn
    io_buffers_trim(r->io);
    cr_assert_eq(io_counters(r->io)->buffer_cached_bytes, 0);
}

#if WEIR_VERIFY && !defined(__SANITIZE_ADDRESS__)
IO_TEST(buffers, free_memory_is_poisoned)
{
    uint8_t *p = io_buffer_acquire(r->io, 4096);
    memset(p, 1, 4096);
    io_buffer_release(r->io, p, 4096);
    cr_assert_eq(p[0], 0xdb);
    cr_assert_eq(p[4095], 0xdb);
}
#endif

#if WEIR_VERIFY
static void release_under_operation(struct rig *r)
{
    // A read from a pipe stays in flight as long as nobody writes.
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    struct io_file f = {.io = r->io, .fd = fds[0]};
    uint8_t *p = io_buffer_acquire(r->io, 8192);
    struct rig_op o = RIG_OP();
    io_file_read(&o.op, &f, p + 100, 10, 0);
    io_buffer_release(r->io, p, 8192);
}

Test(buffers, release_under_an_operation_stops_the_process, .signal = SIGABRT)
{
    rig_run(IO_ENGINE_EPOLL, release_under_operation);
}
#endif
