// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct io_file open_rw(struct rig *r, const char *name, enum io_file_kind kind)
{
    struct io_file f = {0};
    enum rc rc = io_file_open(r->io, &f, rig_path(r, name), IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE, kind);
    cr_assert_eq(rc, RC_OK);
    return f;
}

IO_TEST(file, open_flags_and_errors)
{
    struct io_file f = {0}, g = {0};
    const char *path = rig_path(r, "a");
    cr_assert_eq(io_file_open(r->io, &f, path, IO_OPEN_READ, IO_FILE_OTHER), RC_NOT_FOUND);
    cr_assert(!io_file_is_open(&f));
    cr_assert_eq(io_file_open(r->io, &f, path, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_EXCLUSIVE, IO_FILE_OTHER),
                 RC_OK);
    cr_assert(io_file_is_open(&f));
    cr_assert_eq(io_file_open(r->io, &g, path, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_EXCLUSIVE, IO_FILE_OTHER),
                 RC_EXISTS);
    cr_assert_eq(io_file_write_now(&f, "hello", 5, 0), RC_OK);
    uint64_t bytes;
    cr_assert_eq(io_file_size(&f, &bytes), RC_OK);
    cr_assert_eq(bytes, 5);
    io_file_close(&f);
    cr_assert(!io_file_is_open(&f));
    cr_assert_eq(io_file_open(r->io, &f, path, IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_TRUNCATE, IO_FILE_OTHER), RC_OK);
    cr_assert_eq(io_file_size(&f, &bytes), RC_OK);
    cr_assert_eq(bytes, 0);
    io_file_close(&f);
    cr_assert_eq(io_file_open(r->io, &f, r->folder, IO_OPEN_DIRECTORY, IO_FILE_OTHER), RC_OK);
    cr_assert_eq(io_file_sync_now(&f), RC_OK);
    io_file_close(&f);
    char lengthy[IO_PATH_BYTES_MAX + 8];
    memset(lengthy, 'x', sizeof(lengthy));
    lengthy[sizeof(lengthy) - 1] = 0;
    cr_assert_eq(io_file_open(r->io, &f, lengthy, IO_OPEN_READ, IO_FILE_OTHER), RC_INVALID);
}

// With relatime, the usual mount, reading behind a write would write the inode each time.
IO_TEST(file, reading_leaves_the_time_of_access_alone)
{
    struct stat before, after;
    struct io_file f = open_rw(r, "a", IO_FILE_LOG);
    char c;
    size_t got;
    cr_assert_eq(io_file_write_now(&f, "hello", 5, 0), RC_OK);
    // An hour behind: relatime would bring it up to the time of the write.
    struct timespec times[2] = {{.tv_sec = 3600}, {.tv_nsec = UTIME_OMIT}};
    cr_assert_eq(futimens(f.fd, times), 0);
    cr_assert_eq(fstat(f.fd, &before), 0);
    cr_assert_eq(io_file_read_cached(&f, &c, 1, 0, &got), RC_OK);
    cr_assert_eq(io_file_read_now(&f, &c, 1, 1, &got), RC_OK);
    cr_assert_eq(fstat(f.fd, &after), 0);
    cr_assert_eq(after.st_atim.tv_sec, before.st_atim.tv_sec);
    io_file_close(&f);
}

IO_TEST(file, names)
{
    cr_assert_eq(io_make_dir(r->io, rig_path(r, "d")), RC_OK);
    cr_assert_eq(io_make_dir(r->io, rig_path(r, "d")), RC_EXISTS);
    cr_assert_eq(io_make_dir(r->io, rig_path(r, "no/d")), RC_NOT_FOUND);
    struct io_file f = open_rw(r, "d/x", IO_FILE_OTHER);
    io_file_close(&f);
    cr_assert_eq(io_remove_now(r->io, rig_path(r, "d")), RC_EXISTS, "not empty");
    cr_assert_eq(io_rename(r->io, rig_path(r, "d/x"), rig_path(r, "d/y")), RC_OK);
    cr_assert(!io_exists(r->io, rig_path(r, "d/x")));
    cr_assert(io_exists(r->io, rig_path(r, "d/y")));
    cr_assert_eq(io_sync_dir_now(r->io, rig_path(r, "d")), RC_OK);
    cr_assert_eq(io_remove_now(r->io, rig_path(r, "d/y")), RC_OK);
    cr_assert_eq(io_remove_now(r->io, rig_path(r, "d/y")), RC_NOT_FOUND);
    cr_assert_eq(io_remove_now(r->io, rig_path(r, "d")), RC_OK);
    struct io_space space;
    cr_assert_eq(io_space(r->io, r->folder, &space), RC_OK);
    cr_assert(space.available_bytes > 0 && space.available_bytes <= space.total_bytes);
}

static void collect(void *context, const char *name, bool is_dir)
{
    char *out = context;
    strcat(out, name);
    strcat(out, is_dir ? "/ " : " ");
}

IO_TEST(file, listing_is_sorted)
{
    static const char *const names[] = {"b", "a", "10", "9", "Z"};
    for (size_t i = 0; i < 5; i++) {
        struct io_file f = open_rw(r, names[i], IO_FILE_OTHER);
        io_file_close(&f);
    }
    cr_assert_eq(io_make_dir(r->io, rig_path(r, "c")), RC_OK);
    char out[128] = "";
    cr_assert_eq(io_list_dir(r->io, r->folder, collect, out), RC_OK);
    cr_assert_str_eq(out, "10 9 Z a b c/ ");
    cr_assert_eq(io_list_dir(r->io, rig_path(r, "none"), collect, out), RC_NOT_FOUND);
}

IO_TEST(file, reads_stop_at_the_end)
{
    struct io_file f = open_rw(r, "a", IO_FILE_LOG);
    cr_assert_eq(io_file_write_now(&f, "0123456789", 10, 0), RC_OK);
    char p[16];
    size_t got;
    cr_assert_eq(io_file_read_now(&f, p, 4, 3, &got), RC_OK);
    cr_assert(got == 4 && memcmp(p, "3456", 4) == 0);
    cr_assert_eq(io_file_read_now(&f, p, 16, 8, &got), RC_OK);
    cr_assert_eq(got, 2);
    cr_assert_eq(io_file_read_cached(&f, p, 16, 0, &got), RC_OK);
    cr_assert_eq(got, 10);
    cr_assert_eq(io_file_read_cached(&f, p, 16, 10, &got), RC_OK);
    cr_assert_eq(got, 0);
    struct rig_op o = RIG_OP();
    io_file_read(&o.op, &f, p, 16, 7);
    cr_assert(!o.done, "never from inside the call");
    cr_assert(io_op_busy(&o.op));
    cr_assert(rig_until(r, &o.done));
    cr_assert(o.rc == RC_OK && o.bytes == 3 && memcmp(p, "789", 3) == 0);
    o = RIG_OP();
    io_file_read(&o.op, &f, p, 0, 7);
    cr_assert(rig_until(r, &o.done));
    cr_assert(o.rc == RC_OK && o.bytes == 0);
    cr_assert_eq(io_counters(r->io)->read_bytes[IO_FILE_LOG], 4 + 2 + 10 + 3);
    cr_assert_eq(io_counters(r->io)->write_bytes[IO_FILE_LOG], 10);
    io_file_close(&f);
}

IO_TEST(file, gathered_writes_of_many_vectors)
{
    struct io_file f = open_rw(r, "a", IO_FILE_LOG);
    enum { N = 700 }; // more than one call takes
    static uint8_t bytes[N * 3], back[N * 3];
    static struct iovec vecs[N];
    for (size_t i = 0; i < N; i++) {
        vecs[i] = (struct iovec){.iov_base = bytes + i * 3, .iov_len = i % 7 == 0 ? 0 : 3};
        memset(bytes + i * 3, (int)(i & 0xff), 3);
    }
    struct rig_op o = RIG_OP();
    cr_assert_eq(io_file_write(&o.op, &f, vecs, N, 0), RC_OK);
    size_t got, expected = 0;
    cr_assert_eq(io_file_read_now(&f, back, sizeof(back), 0, &got), RC_OK);
    for (size_t i = 0; i < N; i++) {
        cr_assert_eq(memcmp(back + expected, vecs[i].iov_base, vecs[i].iov_len), 0);
        expected += vecs[i].iov_len;
    }
    cr_assert_eq(got, expected);
    cr_assert_eq(io_file_write(&o.op, &f, vecs, 0, 0), RC_OK, "nothing to write");
    io_file_close(&f);
}

IO_TEST(file, truncate_and_lock)
{
    struct io_file f = open_rw(r, "a", IO_FILE_OTHER), g = open_rw(r, "a", IO_FILE_OTHER);
    cr_assert_eq(io_file_write_now(&f, "0123456789", 10, 0), RC_OK);
    cr_assert_eq(io_file_truncate(&f, 4), RC_OK);
    uint64_t bytes;
    cr_assert_eq(io_file_size(&f, &bytes), RC_OK);
    cr_assert_eq(bytes, 4);
    cr_assert_eq(io_file_lock(&f), RC_OK);
    cr_assert_eq(io_file_lock(&g), RC_LOCKED);
    io_file_close(&f);
    cr_assert_eq(io_file_lock(&g), RC_OK);
    io_file_close(&g);
}

IO_TEST(file, syncs_complete)
{
    struct io_file f = open_rw(r, "a", IO_FILE_LOG);
    cr_assert_eq(io_file_write_now(&f, "x", 1, 0), RC_OK);
    struct rig_op o[3] = {RIG_OP(), RIG_OP(), RIG_OP()};
    io_file_sync(&o[0].op, &f);
    io_file_sync_all(&o[1].op, &f);
    io_file_sync(&o[2].op, &f);
    for (int i = 0; i < 3; i++) {
        cr_assert(rig_until(r, &o[i].done));
        cr_assert_eq(o[i].rc, RC_OK);
    }
    io_file_close(&f);
    struct rig_op folder = RIG_OP();
    cr_assert_eq(io_file_open(r->io, &f, r->folder, IO_OPEN_DIRECTORY, IO_FILE_OTHER), RC_OK);
    io_file_sync(&folder.op, &f);
    cr_assert(rig_until(r, &folder.done));
    cr_assert_eq(folder.rc, RC_OK);
    cr_assert_eq(io_counters(r->io)->syncs, 4);
    io_file_close(&f);
}

IO_TEST(file, removes_files_and_folders)
{
    struct io_file f = open_rw(r, "a", IO_FILE_OTHER);
    io_file_close(&f);
    io_make_dir(r->io, rig_path(r, "d"));
    io_make_dir(r->io, rig_path(r, "full"));
    io_make_dir(r->io, rig_path(r, "full/d"));
    static const char *const names[] = {"a", "d", "none", "full"};
    static const enum rc expected[] = {RC_OK, RC_OK, RC_NOT_FOUND, RC_EXISTS};
    struct rig_op o[4];
    for (int i = 0; i < 4; i++) {
        char path[256];
        snprintf(path, sizeof(path), "%s/%s", r->folder, names[i]);
        o[i] = RIG_OP();
        io_remove(&o[i].op, r->io, path);
        memset(path, 'x', sizeof(path)); // it was copied
    }
    for (int i = 0; i < 4; i++) {
        cr_assert(rig_until(r, &o[i].done));
        cr_assert_eq(o[i].rc, expected[i], "%s: %s", names[i], rc_name(o[i].rc));
    }
}

// Drops the file's pages out of the page cache.
static void make_cold(struct io_file *f)
{
    // A page that is being written, or that another CPU has at hand, stays: asked a few times.
    for (int i = 0; i < 20; i++) {
        fsync(f->fd);
        posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
        uint64_t bytes;
        if (io_file_size(f, &bytes) != RC_OK || !io_file_cached(f, 0, bytes))
            break;
        usleep(10 * 1000);
    }
}

IO_TEST(file, cold_ranges_are_seen_and_prefetched)
{
    struct io_file f = open_rw(r, "a", IO_FILE_LOG);
    enum { BYTES = 4 << 20 };
    uint8_t *p = malloc(BYTES);
    memset(p, 7, BYTES);
    cr_assert_eq(io_file_write_now(&f, p, BYTES, 0), RC_OK);
    cr_assert(io_file_cached(&f, 0, BYTES));
    make_cold(&f);
    if (io_file_cached(&f, 0, BYTES)) {
        free(p);
        cr_skip_test("this file system keeps everything in memory");
    }
    size_t got = 99;
    cr_assert_eq(io_file_read_cached(&f, p, BYTES, 0, &got), RC_AGAIN);
    cr_assert_eq(got, 0);
    struct rig_op o = RIG_OP();
    io_file_prefetch(&o.op, &f, 0, BYTES);
    cr_assert(rig_until(r, &o.done));
    cr_assert_eq(o.rc, RC_OK);
    // The disk may answer out of order: what is not there yet is under way.
    for (uint64_t at = 0; at < BYTES; at += 64 * 1024) {
        for (int i = 0; i < 1000 && !io_file_cached(&f, at, 1); i++)
            usleep(1000);
        cr_assert(io_file_cached(&f, at, 1));
    }
    cr_assert(io_file_cached(&f, 0, BYTES));
    // A range beyond the end is no error: there is nothing to wait for.
    o = RIG_OP();
    io_file_prefetch(&o.op, &f, BYTES - 1, 100);
    cr_assert(rig_until(r, &o.done));
    cr_assert_eq(o.rc, RC_OK);
    cr_assert_eq(io_counters(r->io)->prefetches, 2);
    free(p);
    io_file_close(&f);
}

IO_TEST(file, cold_read_through_the_engine)
{
    struct io_file f = open_rw(r, "a", IO_FILE_LOG);
    enum { BYTES = 1 << 20 };
    uint8_t *p = malloc(BYTES), *q = malloc(BYTES);
    for (size_t i = 0; i < BYTES; i++)
        p[i] = (uint8_t)(i * 31 >> 3);
    cr_assert_eq(io_file_write_now(&f, p, BYTES, 0), RC_OK);
    make_cold(&f);
    struct rig_op o = RIG_OP();
    io_file_read(&o.op, &f, q, BYTES, 0);
    cr_assert(rig_until(r, &o.done));
    cr_assert(o.rc == RC_OK && o.bytes == BYTES);
    cr_assert_eq(memcmp(p, q, BYTES), 0);
    free(p);
    free(q);
    io_file_close(&f);
}

// ------------------------------------------------------------------------------------------------ faults

IO_TEST(file, no_space_is_told)
{
    struct io_file f = {0};
    cr_assert_eq(io_file_open(r->io, &f, "/dev/full", IO_OPEN_WRITE, IO_FILE_OTHER), RC_OK);
    cr_assert_eq(io_file_write_now(&f, "x", 1, 0), RC_NO_SPACE);
    struct rig_op o = RIG_OP();
    struct iovec v = {.iov_base = "x", .iov_len = 1};
    cr_assert_eq(io_file_write(&o.op, &f, &v, 1, 0), RC_NO_SPACE);
    cr_assert(!io_op_busy(&o.op));
    io_file_close(&f);
}

IO_TEST(file, full_file_system_ends_a_log_write)
{
    char *mount_point = strdup(rig_path(r, "small"));
    io_make_dir(r->io, mount_point);
    if (mount("none", mount_point, "tmpfs", 0, "size=4m") != 0) {
        free(mount_point);
        cr_skip_test("mounting needs root");
    }
    struct io_file f = open_rw(r, "small/log", IO_FILE_LOG);
    static uint8_t block[256 * 1024];
    struct iovec v = {.iov_base = block, .iov_len = sizeof(block)};
    struct rig_op o = RIG_OP();
    enum rc rc = RC_OK;
    uint64_t offset = 0;
    for (int i = 0; i < 64 && rc == RC_OK; i++, offset += sizeof(block)) {
        o = RIG_OP();
        rc = io_file_write(&o.op, &f, &v, 1, offset);
        if (rc == RC_AGAIN) {
            cr_assert(rig_until(r, &o.done));
            rc = o.rc;
        }
    }
    cr_assert_eq(rc, RC_NO_SPACE);
    cr_assert(offset > 3 << 20, "what is allocated ahead must not eat the space: %lu", (unsigned long)offset);
    cr_assert_eq(io_file_truncate(&f, 0), RC_OK);
    cr_assert_eq(io_file_write_now(&f, block, sizeof(block), 0), RC_OK);
    io_file_close(&f);
    umount(mount_point);
    free(mount_point);
}

IO_TEST(file, size_limit_is_no_space)
{
    struct rlimit before, small = {.rlim_cur = 4096, .rlim_max = RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct io_file f = open_rw(r, "a", IO_FILE_LOG);
    static uint8_t block[8192];
    struct iovec v = {.iov_base = block, .iov_len = sizeof(block)};
    struct rig_op o = RIG_OP();
    // The first call is cut short at the limit, carried on, and fails: an error after some bytes is an error.
    enum rc rc = io_file_write(&o.op, &f, &v, 1, 0);
    setrlimit(RLIMIT_FSIZE, &before);
    cr_assert_eq(rc, RC_NO_SPACE);
    io_file_close(&f);
}

IO_TEST(file, io_error_is_told)
{
    // Reading an address that nothing is mapped at gives EIO.
    struct io_file f = {0};
    if (io_file_open(r->io, &f, "/proc/self/mem", IO_OPEN_READ, IO_FILE_OTHER) != RC_OK)
        cr_skip_test("/proc is not readable here");
    char p[8];
    size_t got;
    cr_assert_eq(io_file_read_now(&f, p, sizeof(p), 16, &got), RC_IO);
    struct rig_op o = RIG_OP();
    io_file_read(&o.op, &f, p, sizeof(p), 16);
    cr_assert(rig_until(r, &o.done));
    cr_assert_eq(o.rc, RC_IO);
    io_file_close(&f);
}
