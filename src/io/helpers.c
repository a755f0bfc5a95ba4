// SPDX-License-Identifier: Apache-2.0
//
// At most four threads for calls that would block a loop and have no other asynchronous form: every such call under
// epoll, syncfs under io_uring. Started when there is something to do and nobody idle; they sleep without a time limit.
// They touch the operation they were given, the queues under the lock, and nothing else.
#include "io/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int op_read(struct io_op *op)
{
    while (op->moved < op->n) {
        ssize_t got = pread(op->fd, (char *)op->p + op->moved, op->n - op->moved, (off_t)(op->offset + op->moved));
        if (got == 0)
            return 0;
        if (got < 0 && errno != EINTR)
            return errno;
        op->moved += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

static int op_write(struct io_op *op)
{
    while (op->moved < op->n) {
        struct iovec part;
        unsigned count;
        const struct iovec *vecs = io_write_piece(op, &part, &count);
        off_t at = (off_t)(op->offset + op->moved);
        ssize_t put = count == 1 ? pwrite(op->fd, vecs->iov_base, vecs->iov_len, at)
                                 : pwritev(op->fd, vecs, (int)count, at);
        if (put == 0)
            return EIO;
        if (put < 0 && errno != EINTR)
            return errno;
        op->moved += put > 0 ? (size_t)put : 0;
        if (op->state == IO_OP_IN_FLIGHT && op->moved < op->n)
            sched_yield(); // on a helper thread: the loop may want this core, and would get it only at the next tick
    }
    return 0;
}

static int op_prefetch(struct io_op *op)
{
    posix_fadvise(op->fd, (off_t)op->offset, (off_t)op->n, POSIX_FADV_WILLNEED);
    ssize_t got = pread(op->fd, &op->byte, 1, (off_t)(op->offset + op->n - 1));
    return got < 0 ? errno : 0;
}

static int op_remove(struct io_op *op)
{
    if (unlink(op->path) == 0)
        return 0;
    if (errno != EISDIR)
        return errno;
    return rmdir(op->path) == 0 ? 0 : errno;
}

void io_op_run(struct io_op *op)
{
    int error = 0;
    switch ((enum io_op_kind)op->kind) {
    case IO_OP_READ:
        error = op_read(op);
        break;
    case IO_OP_WRITE:
        error = op_write(op);
        break;
    case IO_OP_PREFETCH:
        error = op_prefetch(op);
        break;
    case IO_OP_SYNC:
        error = (op->n ? fsync(op->fd) : fdatasync(op->fd)) == 0 ? 0 : errno;
        break;
    case IO_OP_SYNC_ALL:
        error = syncfs(op->fd) == 0 ? 0 : errno;
        break;
    case IO_OP_REMOVE:
        error = op_remove(op);
        break;
    case IO_OP_WRITE_BACK:
        error = sync_file_range(op->fd, (off_t)op->offset, (off_t)op->n, SYNC_FILE_RANGE_WRITE) == 0 ? 0 : errno;
        break;
    default:
        UNREACHABLE();
    }
    op->rc = io_rc_of_errno(error);
}

static void *helper_main(void *argument)
{
    struct io *io = argument;
    struct io_helpers *h = &io->helpers;
    pthread_mutex_lock(&h->lock);
    for (;;) {
        while (!h->queue_first && !h->stop) {
            h->idle++;
            pthread_cond_wait(&h->work, &h->lock);
            h->idle--;
        }
        struct io_op *op = h->queue_first;
        if (!op)
            break;
        h->queue_first = op->next;
        if (!h->queue_first)
            h->queue_last = &h->queue_first;
        h->queued--;
        pthread_mutex_unlock(&h->lock);
        io_op_run(op);
        pthread_mutex_lock(&h->lock);
        op->next = h->done;
        h->done = op;
        atomic_store(&h->any_done, true);
        io_wake(io); // under the lock: the io cannot go away before this thread has been joined
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

void io_helpers_init(struct io *io)
{
    struct io_helpers *h = &io->helpers;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->work, NULL);
    h->queue_last = &h->queue_first;
}

void io_helpers_deinit(struct io *io)
{
    struct io_helpers *h = &io->helpers;
    pthread_mutex_lock(&h->lock);
    ASSERT(!h->queue_first && !h->done);
    h->stop = true;
    pthread_cond_broadcast(&h->work);
    pthread_mutex_unlock(&h->lock);
    for (unsigned i = 0; i < h->count; i++)
        pthread_join(h->threads[i], NULL);
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->work);
}

bool io_worker_start(pthread_t *joinable, void *(*body)(void *), void *argument)
{
    sigset_t all, before;
    pthread_t thread;
    pthread_attr_t attributes;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    pthread_attr_setdetachstate(&attributes, joinable ? PTHREAD_CREATE_JOINABLE : PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before); // signals are the main thread's
    bool ok = pthread_create(joinable ? joinable : &thread, &attributes, body, argument) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return ok;
}

static bool helpers_start_one(struct io *io)
{
    struct io_helpers *h = &io->helpers;
    bool ok = io_worker_start(&h->threads[h->count], helper_main, io);
    h->count += ok;
    return ok;
}

void io_helpers_submit(struct io *io, struct io_op *op)
{
    struct io_helpers *h = &io->helpers;
    ASSERT(op->state == IO_OP_IN_FLIGHT);
    pthread_mutex_lock(&h->lock);
    bool start = h->queued >= h->idle && h->count < IO_HELPERS_MAX;
    pthread_mutex_unlock(&h->lock);
    if (start && !helpers_start_one(io) && h->count == 0) {
        // No thread can be had at all: better to block than to fail.
        io_op_run(op);
        io_op_complete(op, op->rc);
        return;
    }
    pthread_mutex_lock(&h->lock);
    op->next = NULL;
    *h->queue_last = op;
    h->queue_last = &op->next;
    h->queued++;
    pthread_cond_signal(&h->work);
    pthread_mutex_unlock(&h->lock);
}

void io_helpers_collect(struct io *io)
{
    struct io_helpers *h = &io->helpers;
    if (!atomic_load_explicit(&h->any_done, memory_order_relaxed) || !atomic_exchange(&h->any_done, false))
        return;
    pthread_mutex_lock(&h->lock);
    struct io_op *op = h->done;
    h->done = NULL;
    pthread_mutex_unlock(&h->lock);
    struct io_op *in_order = NULL; // the stack turned over
    while (op) {
        struct io_op *next = op->next;
        op->next = in_order;
        in_order = op;
        op = next;
    }
    while (in_order) {
        op = in_order;
        in_order = op->next;
        io_op_complete(op, op->rc);
    }
}
