// SPDX-License-Identifier: Apache-2.0
//
// How files are appended to. An inline pwritev() costs a sixth of a write through the ring, which hands every buffered
// write to a worker thread; so writes are inline, until the kernel makes them wait. It does that to bring dirty pages
// down, and it would stop the whole shard: while a file system is slow its writes go through the engine
// (io_write_took() and io_write_observe() decide, nobody else). io starts write-back itself, so that the kernel seldom
// has a reason, and allocates the blocks of busy logs ahead, which saves a fifth to a third of the cost of larger
// appends.
#include "io/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITE_BACK_BYTES (UINT64_C(8) << 20)     // started for every so many bytes appended
#define ALLOCATE_AFTER_BYTES (UINT64_C(1) << 20) // a log that has grown by less since it was opened is left alone
#define ALLOCATE_STEP_BYTES (UINT64_C(1) << 20)
#define WRITE_LARGE_BYTES ((size_t)2 << 20)       // more than this leaves the loop at once: there it costs the same CPU
#define WRITE_PIECE_BYTES ((size_t)512 << 10)      // at most in one call
#define WRITE_SLOW_NS (UINT64_C(4) * 1000 * 1000) // beyond what the bytes themselves take
#define WRITE_VERY_SLOW_NS (UINT64_C(100) * 1000 * 1000) // longer than any scheduler keeps a thread waiting
#define WRITE_SLOW_AGAIN_NS (UINT64_C(200) * 1000 * 1000)
#define WRITE_NS_PER_BYTE 1 // 1 GB/s, a slow memory copy
#define WRITE_DEFER_NS (UINT64_C(1000) * 1000 * 1000)
#define WRITE_QUICK_NS (UINT64_C(2) * 1000 * 1000)
#define WRITE_QUICK_COUNT 32

uint32_t io_device_of(struct io *io, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return 0;
    for (unsigned i = 0; i < io->device_count; i++) {
        if (io->devices[i].id == st.st_dev)
            return i;
    }
    if (io->device_count == IO_DEVICES_MAX)
        return 0; // they share the first one's fate
    io->devices[io->device_count] = (struct io_device){.id = st.st_dev};
    return io->device_count++;
}

// ------------------------------------------------------------------------------------------------ the policy

// A slow write either waited for the disk or lost its core to another thread, which no clock tells apart; a thread's
// voluntary switches do, at the price of a system call each time they are read. So they are read only for a while after
// a slow write: one that waited then is enough to leave. A wait that no scheduler explains is enough by itself.
bool io_write_watched(const struct io *io, uint32_t device, uint64_t now_ns)
{
    const struct io_device *d = &io->devices[device];
    return d->slow_ns != 0 && now_ns - d->slow_ns < WRITE_SLOW_AGAIN_NS;
}

void io_write_took(struct io *io, uint32_t device, uint64_t now_ns, uint64_t ns, size_t bytes, bool waited)
{
    struct io_device *d = &io->devices[device];
    uint64_t copy_ns = bytes * WRITE_NS_PER_BYTE;
    if (ns <= WRITE_SLOW_NS + copy_ns)
        return;
    d->slow_ns = now_ns;
    if (!waited && ns <= WRITE_VERY_SLOW_NS + copy_ns)
        return;
    d->deferred = true;
    d->deferred_since_ns = now_ns;
    d->quick_writes = 0;
    trace_debug(io->trace, "a write of %zu bytes took %llu us: writes to this file system leave the loop", bytes,
                (unsigned long long)(ns / 1000));
}

// How often this thread has gone to sleep.
static long thread_sleeps(void)
{
    struct rusage u;
    return getrusage(RUSAGE_THREAD, &u) == 0 ? u.ru_nvcsw : 0;
}

// A deferred write has finished: a row of quick ones, and some time, are needed to come back. Each of its pieces may have
// waited for this loop and for its worker, as a small write does once.
static void device_observe_deferred(struct io_device *d, uint64_t now_ns, uint64_t ns, size_t bytes)
{
    uint64_t pieces = (bytes + WRITE_PIECE_BYTES - 1) / WRITE_PIECE_BYTES;
    if (ns > pieces * WRITE_QUICK_NS + bytes * WRITE_NS_PER_BYTE)
        d->quick_writes = 0;
    else
        d->quick_writes++;
    if (d->quick_writes >= WRITE_QUICK_COUNT && now_ns - d->deferred_since_ns >= WRITE_DEFER_NS)
        d->deferred = false;
}

// ------------------------------------------------------------------------------------------------ ahead and behind

static void log_allocate_ahead(struct io_file *f, uint64_t offset, size_t bytes)
{
    uint64_t end = offset + bytes;
    if (f->appended_bytes < ALLOCATE_AFTER_BYTES || end <= f->allocated_bytes)
        return;
    uint64_t from = f->allocated_bytes > offset ? f->allocated_bytes : offset;
    uint64_t step = end - from + ALLOCATE_STEP_BYTES;
    if (fallocate(f->fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)step) == 0)
        f->allocated_bytes = from + step;
    else if (errno == EOPNOTSUPP || errno == ENOSYS)
        f->allocated_bytes = UINT64_MAX; // not on this file system
}

static void log_write_back(struct io_file *f, uint64_t offset, size_t bytes)
{
    struct io *io = f->io;
    if (f->appended_bytes == 0 || f->written_back_bytes > offset)
        f->written_back_bytes = offset;
    f->appended_bytes += bytes;
    uint64_t end = offset + bytes;
    if (end - f->written_back_bytes < WRITE_BACK_BYTES)
        return;
    for (unsigned i = 0; i < IO_WRITE_BACK_OPS; i++) {
        struct io_op *op = &io->write_back[i];
        if (io_op_busy(op))
            continue;
        // The file may be closed before this runs: then the number names another file or none, and starting write-back
        // of that does no harm. Nothing waits for it and its result is not looked at.
        op->done = io_write_back_done;
        io_op_start(io, op, IO_OP_WRITE_BACK);
        op->file = NULL;
        op->fd = f->fd;
        op->offset = f->written_back_bytes;
        op->n = (size_t)(end - f->written_back_bytes);
        f->written_back_bytes = end;
        io->counters.write_backs++;
        io->calls->submit(io, op);
        return;
    }
}

void io_write_back_done(struct io_op *op, enum rc rc, size_t bytes)
{
    (void)op;
    (void)rc;
    (void)bytes;
}

// ------------------------------------------------------------------------------------------------ writing

const struct iovec *io_write_piece(const struct io_op *op, struct iovec *part, unsigned *count)
{
    const struct iovec *v = op->vecs;
    size_t skip = op->moved;
    ASSERT(op->moved < op->n);
    for (; skip >= v->iov_len; v++)
        skip -= v->iov_len;
    size_t bytes = v->iov_len - skip;
    const unsigned left = op->vec_count - (unsigned)(v - op->vecs);
    ASSERT(left > 0 && left <= op->vec_count);
    *count = 1;
    if (skip > 0 || bytes > WRITE_PIECE_BYTES) {
        *part = (struct iovec){.iov_base = (char *)v->iov_base + skip,
                               .iov_len = bytes < WRITE_PIECE_BYTES ? bytes : WRITE_PIECE_BYTES};
        return part;
    }
    while (*count < left && *count < IO_VECS_MAX && bytes + v[*count].iov_len <= WRITE_PIECE_BYTES)
        bytes += v[(*count)++].iov_len;
    return v;
}

void io_write_observe(struct io_op *op)
{
    struct io *io = op->io;
    struct io_file *f = op->file;
    io->counters.write_bytes[f->kind] += op->moved;
    uint64_t now_ns = io_clock_now();
    device_observe_deferred(&io->devices[f->device], now_ns, now_ns - op->started_ns, op->n);
    if (op->rc == RC_OK && f->kind == IO_FILE_LOG)
        log_write_back(f, op->offset, op->n);
}

// The operation serves as the loop's state and is free again when this returns.
static enum rc write_inline(struct io_op *op, struct io_file *f)
{
    struct io *io = f->io;
    uint64_t start_ns = io_clock_now();
    bool watched = io_write_watched(io, f->device, start_ns);
    long sleeps = watched ? thread_sleeps() : 0;
    if (f->kind == IO_FILE_LOG)
        log_allocate_ahead(f, op->offset, op->n);
    op->kind = IO_OP_WRITE;
    io_op_run(op);
    uint64_t now_ns = io_clock_now();
    io_write_took(io, f->device, now_ns, now_ns - start_ns, op->n, watched && thread_sleeps() != sleeps);
    io->counters.write_bytes[f->kind] += op->moved;
    if (op->rc == RC_OK && f->kind == IO_FILE_LOG)
        log_write_back(f, op->offset, op->n);
    return op->rc;
}

enum rc io_file_write(struct io_op *op, struct io_file *f, const struct iovec *vecs, unsigned vec_count,
                      uint64_t offset)
{
    ASSERT(f->io && !io_op_busy(op));
    struct io *io = f->io;
    size_t bytes = 0;
    for (unsigned i = 0; i < vec_count; i++)
        bytes += vecs[i].iov_len;
    io->counters.writes++;
    if (bytes == 0)
        return RC_OK;
    op->file = f;
    op->fd = f->fd;
    op->offset = offset;
    op->n = bytes;
    op->moved = 0;
    op->vecs = vecs;
    op->vec_count = vec_count;
    if (bytes <= WRITE_LARGE_BYTES && !io->devices[f->device].deferred) {
        enum rc rc = write_inline(op, f);
        return rc == RC_AGAIN ? RC_IO : rc; // RC_AGAIN means "in flight" here
    }
    io->counters.writes_deferred++;
    io_op_start(io, op, IO_OP_WRITE);
    op->started_ns = io_clock_now();
    io->calls->submit(io, op);
    return RC_AGAIN;
}
