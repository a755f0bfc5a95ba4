// SPDX-License-Identifier: Apache-2.0
//
// The write policy: what moves a file system's writes off the loop and back, write-back, blocks allocated ahead.
#include "rig.h"

#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/internal.h"

enum { BLOCK = 256 * 1024 };
static uint8_t block[BLOCK], back[BLOCK];

static struct io_file open_log(struct rig *r, const char *name)
{
    struct io_file f = {0};
    enum rc rc = io_file_open(r->io, &f, rig_path(r, name), IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE, IO_FILE_LOG);
    cr_assert_eq(rc, RC_OK);
    return f;
}

// Appends n bytes, inline or not, and says how.
static enum rc append(struct rig *r, struct io_file *f, uint64_t offset, size_t n)
{
    struct rig_op o = RIG_OP();
    struct iovec v = {.iov_base = block, .iov_len = n};
    enum rc rc = io_file_write(&o.op, f, &v, 1, offset);
    if (rc == RC_AGAIN) {
        cr_assert(io_op_busy(&o.op));
        cr_assert(rig_until(r, &o.done));
        cr_assert_eq(o.rc, RC_OK);
        cr_assert_eq(o.bytes, n);
    } else {
        cr_assert(!o.done);
    }
    return rc;
}

IO_TEST(write, a_slow_file_system_leaves_the_loop_and_comes_back)
{
    struct io_file f = open_log(r, "a");
    cr_assert_eq(append(r, &f, 0, 100), RC_OK);
    struct io_device *d = &r->io->devices[f.device];
    cr_assert(!d->deferred);
    // An inline write that took its time but had much to copy, then one that must have waited for the disk.
    uint64_t now_ns = io_clock_ns(r->io), ms = 1000 * 1000;
    io_write_took(r->io, f.device, now_ns, 60 * ms, 64 << 20, true);
    cr_assert(!d->deferred);
    cr_assert(!io_write_watched(r->io, f.device, now_ns));
    io_write_took(r->io, f.device, now_ns, 30 * ms, 1024, false);
    cr_assert(!d->deferred, "it may have lost its core");
    cr_assert(io_write_watched(r->io, f.device, now_ns + 199 * ms), "so the next ones are looked at");
    cr_assert(!io_write_watched(r->io, f.device, now_ns + 200 * ms));
    io_write_took(r->io, f.device, now_ns + 100 * ms, 30 * ms, 1024, false);
    cr_assert(!d->deferred, "slow again, but it did not sleep");
    io_write_took(r->io, f.device, now_ns + 150 * ms, 5 * ms, 1024, true);
    cr_assert(d->deferred, "this one did");
    d->deferred = false;
    d->slow_ns = 0;
    io_write_took(r->io, f.device, now_ns, 101 * ms, 1024, false);
    cr_assert(d->deferred, "one very long one");
    uint64_t offset = 100;
    for (int i = 0; i < 40; i++, offset += 100)
        cr_assert_eq(append(r, &f, offset, 100), RC_AGAIN, "not before a second has passed");
    cr_assert_eq(io_counters(r->io)->writes_deferred, 40);
    d->deferred_since_ns -= UINT64_C(2000000000);
    for (int i = 0; i < 400 && d->deferred; i++, offset += 100)
        append(r, &f, offset, 100);
    cr_assert(!d->deferred, "quick writes bring it back");
    cr_assert_eq(append(r, &f, offset, 100), RC_OK);
    offset += 100;
    uint64_t bytes;
    cr_assert_eq(io_file_size(&f, &bytes), RC_OK);
    cr_assert_eq(bytes, offset);
    cr_assert_eq(io_counters(r->io)->write_bytes[IO_FILE_LOG], offset);
    io_file_close(&f);
}

IO_TEST(write, gathered_in_flight)
{
    struct io_file f = open_log(r, "a");
    cr_assert_eq(append(r, &f, 0, 10), RC_OK);
    r->io->devices[f.device].deferred = true;
    r->io->devices[f.device].deferred_since_ns = io_clock_ns(r->io);
    enum { N = 600 }; // more vectors than one call takes
    static struct iovec vecs[N];
    for (size_t i = 0; i < BLOCK; i++)
        block[i] = (uint8_t)(i * 13 >> 4);
    size_t total = 0;
    for (size_t i = 0; i < N; i++) {
        vecs[i] = (struct iovec){.iov_base = block + total, .iov_len = i % 5 * 100};
        total += vecs[i].iov_len;
    }
    struct rig_op o = RIG_OP();
    cr_assert_eq(io_file_write(&o.op, &f, vecs, N, 10), RC_AGAIN);
    cr_assert(!o.done);
    cr_assert(rig_until(r, &o.done));
    cr_assert(o.rc == RC_OK && o.bytes == total);
    size_t got;
    cr_assert_eq(io_file_read_now(&f, back, total, 10, &got), RC_OK);
    cr_assert(got == total && memcmp(back, block, total) == 0);
    io_file_close(&f);
}

IO_TEST(write, a_large_one_does_not_hold_the_loop)
{
    struct io_file f = open_log(r, "a");
    size_t n = 5 << 20, got;
    uint8_t *p = malloc(n), *q = malloc(n);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(i * 7 >> 3);
    struct iovec vecs[] = {{.iov_base = p, .iov_len = 100}, {.iov_base = p + 100, .iov_len = n - 100}};
    struct rig_op o = RIG_OP();
    cr_assert_eq(io_file_write(&o.op, &f, vecs, 2, 0), RC_AGAIN);
    cr_assert(rig_until(r, &o.done));
    cr_assert(o.rc == RC_OK && o.bytes == n);
    cr_assert_eq(io_file_read_now(&f, q, n, 0, &got), RC_OK);
    cr_assert(got == n && memcmp(p, q, n) == 0);
    cr_assert(!r->io->devices[f.device].deferred, "the small ones stay");
    free(p);
    free(q);
    io_file_close(&f);
}

IO_TEST(write, a_large_one_is_quick_when_its_pieces_are)
{
    struct io_file f = open_log(r, "a");
    struct io_device *d = &r->io->devices[f.device];
    uint64_t ms = 1000 * 1000;
    struct io_op op = {.io = r->io, .file = &f, .n = 1 << 30, .rc = RC_IO};
    op.started_ns = io_clock_ns(r->io) - 2000 * ms; // 2,048 pieces, of which each may take 2 ms
    io_write_observe(&op);
    cr_assert_eq(d->quick_writes, 1);
    op.n = 512 << 10;
    op.started_ns = io_clock_ns(r->io) - 40 * ms;
    io_write_observe(&op);
    cr_assert_eq(d->quick_writes, 0);
    io_file_close(&f);
}

// Vectors that end where a piece does, before it, behind it, and far behind it.
IO_TEST(write, a_large_one_goes_in_pieces)
{
    struct io_file f = open_log(r, "a");
    static const size_t parts[] = {0,   (512 << 10) - 3, 3, 0, 512 << 10, 1, (512 << 10) - 1,
                                   600, (1 << 20) + 5,   7, 0, 100,       0};
    struct iovec vecs[ARRAY_COUNT(parts)], part;
    unsigned count;
    size_t n = 0, got;
    for (size_t i = 0; i < ARRAY_COUNT(parts); n += parts[i++])
        vecs[i].iov_len = parts[i];
    uint8_t *p = malloc(n), *q = malloc(n);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(i * 11 >> 5);
    for (size_t i = 0, at = 0; i < ARRAY_COUNT(parts); at += parts[i++])
        vecs[i].iov_base = p + at;
    struct rig_op o = RIG_OP();
    cr_assert_eq(io_file_write(&o.op, &f, vecs, ARRAY_COUNT(parts), 10), RC_AGAIN);
    cr_assert(rig_until(r, &o.done));
    cr_assert(o.rc == RC_OK && o.bytes == n);
    cr_assert_eq(io_file_read_now(&f, q, n, 10, &got), RC_OK);
    cr_assert(got == n && memcmp(p, q, n) == 0);
    // The same, seen piece by piece: none too large, every byte once.
    struct io_op op = {.vecs = vecs, .vec_count = ARRAY_COUNT(parts), .n = n};
    for (unsigned pieces = 0; op.moved < n; pieces++) {
        const struct iovec *v = io_write_piece(&op, &part, &count);
        size_t bytes = 0;
        for (unsigned i = 0; i < count; i++) {
            cr_assert(v[i].iov_len == 0 || (uint8_t *)v[i].iov_base == p + op.moved + bytes);
            bytes += v[i].iov_len;
        }
        cr_assert(bytes > 0 && bytes <= 512 << 10);
        cr_assert_lt(pieces, 16);
        op.moved += bytes;
    }
    cr_assert_eq(op.moved, n);
    free(p);
    free(q);
    io_file_close(&f);
}

IO_TEST(write, an_error_in_flight_is_told)
{
    struct io_file f = {0};
    cr_assert_eq(io_file_open(r->io, &f, "/dev/full", IO_OPEN_WRITE, IO_FILE_OTHER), RC_OK);
    r->io->devices[f.device].deferred = true;
    r->io->devices[f.device].deferred_since_ns = io_clock_ns(r->io);
    struct rig_op o = RIG_OP();
    struct iovec v = {.iov_base = block, .iov_len = 100};
    cr_assert_eq(io_file_write(&o.op, &f, &v, 1, 0), RC_AGAIN);
    cr_assert(rig_until(r, &o.done));
    cr_assert_eq(o.rc, RC_NO_SPACE);
    io_file_close(&f);
}

IO_TEST(write, write_back_starts_by_itself)
{
    struct io_file f = open_log(r, "a");
    for (uint64_t offset = 0; offset < 20 << 20; offset += BLOCK)
        append(r, &f, offset, BLOCK);
    cr_assert_eq(io_counters(r->io)->write_backs, 2);
    io_poll(r->io, 0);
    io_file_close(&f); // with one of them perhaps still under way
    // A file that already was large is not written back as a whole by its first append.
    f = open_log(r, "a");
    append(r, &f, 20 << 20, BLOCK);
    cr_assert_eq(io_counters(r->io)->write_backs, 2);
    io_file_close(&f);
}

static uint64_t blocks_bytes(struct io_file *f)
{
    struct stat st;
    cr_assert_eq(fstat(f->fd, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

IO_TEST(write, blocks_are_allocated_ahead_of_busy_logs_only)
{
    struct io_file f = open_log(r, "small"), g = open_log(r, "busy");
    append(r, &f, 0, BLOCK);
    cr_assert_eq(f.allocated_bytes, 0);
    uint64_t offset = 0, bytes;
    for (; offset < 3 << 20; offset += BLOCK) {
        r->io->devices[g.device].deferred = false; // however busy the machine is
        append(r, &g, offset, BLOCK);
    }
    if (g.allocated_bytes == UINT64_MAX || g.allocated_bytes == 0)
        cr_skip_test("this file system cannot allocate ahead");
    cr_assert(g.allocated_bytes >= offset);
    cr_assert_eq(io_file_size(&g, &bytes), RC_OK);
    cr_assert_eq(bytes, offset, "the size does not show it");
    // Closing gives back what was not used.
    io_file_sync_now(&g);
    io_file_close(&g);
    g = open_log(r, "busy");
    cr_assert_eq(io_file_size(&g, &bytes), RC_OK);
    cr_assert_eq(bytes, offset);
    cr_assert(blocks_bytes(&g) <= offset + 64 * 1024, "%lu", (unsigned long)blocks_bytes(&g));
    io_file_close(&f);
    io_file_close(&g);
}
