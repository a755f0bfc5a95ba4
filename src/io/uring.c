// SPDX-License-Identifier: Apache-2.0
//
// The io_uring engine (kernel 6.1 or newer): one ring is the one place where a shard waits for sockets (multishot
// poll), file operations and other threads (an eventfd under the same poll). Nothing is submitted before io_poll(), so
// a turn's operations cost one system call together with the wait.
//
// The ring is created disabled and enabled by the first thread that polls: IORING_SETUP_SINGLE_ISSUER ties it to that
// thread, and boot creates the ios of all shards.
#include "io/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { URING_ENTRIES_DEFAULT = 256, URING_READ_BYTES_MAX = 1 << 30, URING_REAP = 64 };

// The low bits of user_data; operations are aligned to 8.
enum uring_tag { URING_TAG_OP = 0, URING_TAG_SLOT = 1, URING_TAG_WAKE = 2, URING_TAG_NONE = 3, URING_TAG_MASK = 7 };
_Static_assert(_Alignof(struct io_op) >= 8, "the tag lies in the low bits of the address");

struct uring {
    struct io_uring ring;
    int wake_fd;
    bool enabled;
    cpu_set_t cpus; // allowed at creation, before the thread was pinned
};

// 29 bits of the generation travel; one slot would have to be reused 2^29 times within one turn to be mistaken.
enum { URING_GENERATION_BITS = 29 };

static uint64_t uring_slot_data(const struct io *io, uint32_t index)
{
    uint64_t generation = io->slots[index].generation & ((1u << URING_GENERATION_BITS) - 1);
    return (uint64_t)index << 32 | generation << 3 | URING_TAG_SLOT;
}

static struct uring *uring_of(struct io *io)
{
    return io->engine;
}

// ------------------------------------------------------------------------------------------------ life

const char *io_uring_refusal(int error)
{
    char disabled = '0';
    int fd;
    switch (error) {
    case EPERM:
    case EACCES:
        fd = open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            if (read(fd, &disabled, 1) != 1)
                disabled = '0';
            close(fd);
        }
        return disabled != '0' ? "kernel.io_uring_disabled is set (EPERM)"
                               : "a seccomp profile, as containers have, forbids it (EPERM)";
    case ENOSYS:
        return "the kernel has none (ENOSYS)";
    case EINVAL:
        return "the kernel is older than 6.1 (EINVAL)";
    case ENOMEM:
        return "the limit on locked memory is too low (ENOMEM)";
    default:
        return strerror(error);
    }
}

// Whether the other calls are let through as well, and every operation is known.
static int uring_probe(struct io_uring *ring)
{
    static const uint8_t needed[] = {IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL, IORING_OP_READ,
                                     IORING_OP_WRITE,    IORING_OP_WRITEV,       IORING_OP_FSYNC,
                                     IORING_OP_FADVISE,  IORING_OP_UNLINKAT,     IORING_OP_SYNC_FILE_RANGE};
    _Alignas(struct io_uring_probe)
        uint8_t bytes[sizeof(struct io_uring_probe) + IORING_OP_LAST * sizeof(struct io_uring_probe_op)] = {0};
    struct io_uring_probe *probe = (struct io_uring_probe *)bytes;
    int rc = io_uring_register_probe(ring, probe, IORING_OP_LAST);
    if (rc < 0)
        return -rc;
    for (size_t i = 0; i < ARRAY_COUNT(needed); i++) {
        if (!io_uring_opcode_supported(probe, needed[i]))
            return EINVAL;
    }
    return 0;
}

static int uring_create(struct io *io, const struct io_config *config)
{
    struct uring *u = calloc(1, sizeof(*u));
    if (!u)
        return ENOMEM;
    unsigned entries = config->ring_entries ? config->ring_entries : URING_ENTRIES_DEFAULT;
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
                 IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
        .cq_entries = entries * 4,
    };
    int rc = io_uring_queue_init_params(entries, &u->ring, &params);
    if (rc < 0) {
        free(u);
        return -rc;
    }
    int error = uring_probe(&u->ring);
    u->wake_fd = error ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (u->wake_fd < 0) {
        error = error ? error : errno;
        io_uring_queue_exit(&u->ring);
        free(u);
        return error;
    }
    if (sched_getaffinity(0, sizeof(u->cpus), &u->cpus) != 0)
        CPU_ZERO(&u->cpus);
    io->engine = u;
    return 0;
}

static void uring_destroy(struct io *io)
{
    struct uring *u = uring_of(io);
    io_uring_queue_exit(&u->ring);
    close(u->wake_fd);
    free(u);
    io->engine = NULL;
}

// Workers of the ring run on the allowed CPUs this thread is not pinned to, where there are any.
static void uring_set_worker_cpus(struct uring *u)
{
    cpu_set_t pinned, workers;
    if (sched_getaffinity(0, sizeof(pinned), &pinned) != 0 || CPU_COUNT(&pinned) != 1)
        return;
    CPU_XOR(&workers, &u->cpus, &pinned);
    CPU_AND(&workers, &workers, &u->cpus);
    if (CPU_COUNT(&workers) > 0)
        io_uring_register_iowq_aff(&u->ring, sizeof(workers), &workers);
}

static struct io_uring_sqe *uring_sqe(struct uring *u);

static void uring_arm_wake(struct uring *u)
{
    struct io_uring_sqe *sqe = uring_sqe(u);
    io_uring_prep_poll_multishot(sqe, u->wake_fd, POLLIN);
    sqe->user_data = URING_TAG_WAKE;
}

static void uring_enable(struct uring *u)
{
    u->enabled = true;
    int rc = io_uring_enable_rings(&u->ring);
    ASSERT(rc == 0);
    uring_arm_wake(u);
    // The kernel makes the thread's pool of workers when it first submits, and only then takes their CPUs.
    io_uring_submit(&u->ring);
    uring_set_worker_cpus(u);
}

// A free submission entry; when the queue is full what is in it goes to the kernel first.
static struct io_uring_sqe *uring_sqe(struct uring *u)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    while (!sqe) {
        if (!u->enabled)
            uring_enable(u);
        int rc = io_uring_submit(&u->ring);
        // -EBUSY, -EAGAIN: the kernel wants its completions taken or is short of memory; both pass.
        ASSERT(rc >= 0 || rc == -EBUSY || rc == -EAGAIN || rc == -EINTR);
        sqe = io_uring_get_sqe(&u->ring);
    }
    return sqe;
}

static void uring_wake(struct io *io)
{
    uint64_t one = 1;
    ssize_t n = write(uring_of(io)->wake_fd, &one, sizeof(one));
    (void)n; // a full counter has been signalled already
}

// ------------------------------------------------------------------------------------------------ sockets

static void uring_arm(struct io *io, uint32_t index)
{
    struct io_uring_sqe *sqe = uring_sqe(uring_of(io));
    io_uring_prep_poll_multishot(sqe, io->slots[index].fd, POLLIN | POLLOUT | EPOLLRDHUP);
    sqe->user_data = uring_slot_data(io, index);
}

static int uring_watch(struct io *io, uint32_t index)
{
    uring_arm(io, index);
    return 0;
}

// Entries are consumed in order: if the poll itself is still queued here, it is cancelled right after it is armed, even
// if its descriptor number is somebody else's by then. Not POLL_REMOVE, which fails while an event of the poll is under
// way (EALREADY): the poll would hold the connection for ever, and its other side would never see the end.
static void uring_unwatch(struct io *io, uint32_t index)
{
    struct io_uring_sqe *sqe = uring_sqe(uring_of(io));
    io_uring_prep_cancel64(sqe, uring_slot_data(io, index), 0);
    sqe->user_data = URING_TAG_NONE;
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

static void uring_slot_completed(struct io *io, const struct io_uring_cqe *cqe)
{
    uint32_t index = (uint32_t)(cqe->user_data >> 32);
    ASSERT(index < io->slot_cap);
    if (io->slots[index].kind == IO_SLOT_FREE || uring_slot_data(io, index) != cqe->user_data)
        return;
    uint64_t token = io_slot_token(index, io->slots[index].generation);
    if (cqe->res < 0) {
        io->slots[index].error = -cqe->res;
        io_slot_event(io, token, EPOLLERR);
        return;
    }
    io_slot_event(io, token, (uint32_t)cqe->res);
    // The kernel ends a multishot poll when its completion queue is full, and after EPOLLERR, where nothing can follow.
    if (!(cqe->flags & IORING_CQE_F_MORE) && !(cqe->res & EPOLLERR))
        uring_arm(io, index);
}

// ------------------------------------------------------------------------------------------------ operations

static void uring_prep_write(struct io_uring_sqe *sqe, const struct io_op *op)
{
    struct iovec part;
    unsigned count;
    const struct iovec *vecs = io_write_piece(op, &part, &count);
    if (count == 1)
        io_uring_prep_write(sqe, op->fd, vecs->iov_base, (unsigned)vecs->iov_len, op->offset + op->moved);
    else
        io_uring_prep_writev(sqe, op->fd, vecs, count, op->offset + op->moved);
}

static void uring_prep_prefetch(struct uring *u, struct io_op *op)
{
    // Both entries in one submission: a link does not reach over two.
    if (io_uring_sq_space_left(&u->ring) < 2 && u->enabled)
        io_uring_submit(&u->ring);
    struct io_uring_sqe *sqe = uring_sqe(u);
    io_uring_prep_fadvise(sqe, op->fd, op->offset, (off_t)(op->n < INT32_MAX ? op->n : INT32_MAX), POSIX_FADV_WILLNEED);
    sqe->flags |= IOSQE_IO_HARDLINK | IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = URING_TAG_NONE;
    sqe = uring_sqe(u);
    io_uring_prep_read(sqe, op->fd, &op->byte, 1, op->offset + op->n - 1);
    sqe->user_data = (uintptr_t)op;
}

static void uring_submit(struct io *io, struct io_op *op)
{
    struct uring *u = uring_of(io);
    struct io_uring_sqe *sqe;
    size_t left = op->n - op->moved;
    switch ((enum io_op_kind)op->kind) {
    case IO_OP_READ:
        sqe = uring_sqe(u);
        io_uring_prep_read(sqe, op->fd, (char *)op->p + op->moved,
                           (unsigned)(left < URING_READ_BYTES_MAX ? left : URING_READ_BYTES_MAX),
                           op->offset + op->moved);
        break;
    case IO_OP_WRITE:
        sqe = uring_sqe(u);
        uring_prep_write(sqe, op);
        sqe->flags |= IOSQE_ASYNC; // it is here to leave the loop: some file systems would try it in place first
        break;
    case IO_OP_PREFETCH:
        uring_prep_prefetch(u, op);
        return;
    case IO_OP_SYNC:
        sqe = uring_sqe(u);
        io_uring_prep_fsync(sqe, op->fd, op->n ? 0 : IORING_FSYNC_DATASYNC);
        break;
    case IO_OP_SYNC_ALL: // io_uring has no syncfs
        io_helpers_submit(io, op);
        return;
    case IO_OP_REMOVE:
        sqe = uring_sqe(u);
        io_uring_prep_unlink(sqe, op->path, op->n ? AT_REMOVEDIR : 0);
        break;
    case IO_OP_WRITE_BACK:
        sqe = uring_sqe(u);
        io_uring_prep_sync_file_range(sqe, op->fd, (unsigned)op->n, op->offset, SYNC_FILE_RANGE_WRITE);
        break;
    default:
        UNREACHABLE();
    }
    sqe->user_data = (uintptr_t)op;
}

static void uring_op_completed(struct io *io, struct io_op *op, int res)
{
    ASSERT(op->io == io);
    if (res == -EINTR || res == -EAGAIN) {
        uring_submit(io, op);
        return;
    }
    if (op->kind == IO_OP_REMOVE && res == -EISDIR && op->n == 0) {
        op->n = 1; // it is a folder
        uring_submit(io, op);
        return;
    }
    bool moves = op->kind == IO_OP_READ || op->kind == IO_OP_WRITE;
    if (res > 0 && moves) {
        op->moved += (size_t)res;
        if (op->moved < op->n) {
            uring_submit(io, op);
            return;
        }
    }
    if (res == 0 && op->kind == IO_OP_WRITE)
        res = -EIO;
    io_op_complete(op, res < 0 ? io_rc_of_errno(-res) : RC_OK);
}

// ------------------------------------------------------------------------------------------------ waiting

static void uring_completed(struct io *io, const struct io_uring_cqe *cqe)
{
    switch ((enum uring_tag)(cqe->user_data & URING_TAG_MASK)) {
    case URING_TAG_OP:
        uring_op_completed(io, (struct io_op *)(uintptr_t)cqe->user_data, cqe->res);
        break;
    case URING_TAG_SLOT:
        uring_slot_completed(io, cqe);
        break;
    case URING_TAG_WAKE:
        if (!(cqe->flags & IORING_CQE_F_MORE))
            uring_arm_wake(uring_of(io));
        break;
    case URING_TAG_NONE:
        break;
    case URING_TAG_MASK:
    default:
        UNREACHABLE();
    }
}

// Completions are copied out and their places given back before they are looked at: what they lead to may submit, and
// the kernel may want room for that.
static void uring_reap(struct io *io)
{
    struct io_uring *ring = &uring_of(io)->ring;
    struct io_uring_cqe *ready[URING_REAP], copies[URING_REAP];
    for (unsigned left = io_uring_cq_ready(ring); left > 0;) {
        unsigned n = io_uring_peek_batch_cqe(ring, ready, left < URING_REAP ? left : URING_REAP);
        for (unsigned i = 0; i < n; i++)
            copies[i] =
                (struct io_uring_cqe){.user_data = ready[i]->user_data, .res = ready[i]->res, .flags = ready[i]->flags};
        io_uring_cq_advance(ring, n);
        for (unsigned i = 0; i < n; i++)
            uring_completed(io, &copies[i]);
        left = n > 0 ? left - n : 0;
    }
}

static void uring_wait(struct io *io, int64_t timeout_ns)
{
    struct uring *u = uring_of(io);
    if (!u->enabled)
        uring_enable(u);
    struct io_uring *ring = &u->ring;
    int rc = 0;
    if (timeout_ns == 0 || io_uring_cq_ready(ring) > 0) {
        // Nothing to hand over, nothing to fetch: no system call.
        unsigned flags = __atomic_load_n(ring->sq.kflags, __ATOMIC_RELAXED);
        if (io_uring_sq_ready(ring) > 0 || (flags & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN)))
            rc = io_uring_submit_and_get_events(ring);
    } else {
        struct __kernel_timespec ts = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
        struct io_uring_cqe *cqe;
        io->counters.waits++;
        rc = io_uring_submit_and_wait_timeout(ring, &cqe, 1, timeout_ns < 0 ? NULL : &ts, NULL);
    }
    ASSERT(rc >= 0 || rc == -ETIME || rc == -EINTR || rc == -EBUSY || rc == -EAGAIN);
    uring_reap(io);
}

const struct io_engine_calls io_uring_calls = {
    .name = "io_uring",
    .create = uring_create,
    .destroy = uring_destroy,
    .wait = uring_wait,
    .wake = uring_wake,
    .watch = uring_watch,
    .unwatch = uring_unwatch,
    .submit = uring_submit,
};
