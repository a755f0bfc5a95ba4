// SPDX-License-Identifier: Apache-2.0
//
// The common part of both engines: choosing one, the table of watched descriptors, the state of operations, and
// io_poll(), which lets the engine collect and then runs the callbacks. Engines never run a callback themselves, so an
// owner may start, close or free whatever it likes from inside one.
#include "io/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

// Sockets served by one io_poll(); the others keep their places in the queue, and timers and messages have their turn.
enum { IO_SLOTS_A_POLL = 64 };

enum rc io_rc_of_errno(int error)
{
    switch (error) {
    case 0:
        return RC_OK;
    case EAGAIN:
        return RC_AGAIN;
    case ENOENT:
    case ENOTDIR:
        return RC_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
        return RC_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return RC_PERMISSION;
    case EMFILE:
    case ENFILE:
        return RC_NO_FILES;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return RC_NO_SPACE;
    case ENOMEM:
    case ENOBUFS:
        return RC_NOMEM;
    case EADDRINUSE:
        return RC_ADDRESS_IN_USE;
    case ECONNREFUSED:
        return RC_REFUSED;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
        return RC_UNREACHABLE;
    case ETIMEDOUT:
        return RC_TIMED_OUT;
    case ECONNRESET:
    case EPIPE:
        return RC_RESET;
    case ENOTCONN:
        return RC_CLOSED;
    case ECANCELED:
        return RC_CANCELLED;
    case EINVAL:
    case EISDIR:
    case ENAMETOOLONG:
    case EADDRNOTAVAIL:
        return RC_INVALID;
    case EOPNOTSUPP:
    case ENOSYS:
        return RC_UNSUPPORTED;
    default:
        return RC_IO;
    }
}

// ------------------------------------------------------------------------------------------------ clock, randomness

uint64_t io_clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t io_now_ns(const struct io *io)
{
    return io->now_ns;
}

uint64_t io_clock_ns(struct io *io)
{
    (void)io;
    return io_clock_now();
}

int64_t io_wall_ms(struct io *io)
{
    (void)io;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void io_random(struct io *io, void *p, size_t n)
{
    (void)io;
    for (size_t done = 0; done < n;) {
        ssize_t got = getrandom((char *)p + done, n - done, 0);
        ASSERT(got > 0 || (got < 0 && errno == EINTR));
        done += got > 0 ? (size_t)got : 0;
    }
}

const struct io_counters *io_counters(const struct io *io)
{
    return &io->counters;
}

const char *io_engine_name(const struct io *io)
{
    return io->calls->name;
}

// ------------------------------------------------------------------------------------------------ life

static enum rc io_choose_engine(struct io *io, const struct io_config *config)
{
    int error;
    if (config->engine != IO_ENGINE_EPOLL) {
        io->calls = &io_uring_calls;
        error = io->calls->create(io, config);
        if (error == 0)
            return RC_OK;
        if (config->engine == IO_ENGINE_URING) {
            trace_error(config->trace, "io_uring cannot be used: %s", io_uring_refusal(error));
            return RC_UNSUPPORTED;
        }
        trace_warn(config->trace, "io_uring cannot be used, falling back to epoll: %s", io_uring_refusal(error));
    }
    io->calls = &io_epoll_calls;
    error = io->calls->create(io, config);
    return io_rc_of_errno(error);
}

enum rc io_create(struct io **out, const struct io_config *config)
{
    *out = NULL;
    struct io *io = calloc(1, sizeof(*io));
    if (!io)
        return RC_NOMEM;
    // sendfile() has no MSG_NOSIGNAL.
    signal(SIGPIPE, SIG_IGN);
    io->trace = config->trace;
    io->slot_free = io->queue_first = io->queue_last = io->stop_slot = IO_SLOT_NONE;
    list_init(&io->in_flight);
    list_init(&io->done);
    list_init(&io->names);
    io->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    io->now_ns = io_clock_now();
    io_helpers_init(io);
    enum rc rc = io_buffers_init(io);
    if (rc == RC_OK)
        rc = io_choose_engine(io, config);
    if (rc != RC_OK) {
        io_buffers_deinit(io);
        io_helpers_deinit(io);
    io_names_deinit(io);
        if (io->spare_fd >= 0)
            close(io->spare_fd);
        free(io);
        return rc;
    }
    *out = io;
    return RC_OK;
}

void io_destroy(struct io *io)
{
    if (!io)
        return;
    while (!list_empty(&io->in_flight) || !list_empty(&io->done))
        io_poll(io, -1);
    for (uint32_t i = 0; i < io->slot_cap; i++) {
        if (io->slots[i].kind == IO_SLOT_FREE)
            continue;
        // The kernel takes a ring apart in its own time: peers and ports are not to wait for that.
        struct io_listener *l = io->slots[i].kind == IO_SLOT_LISTENER ? io->slots[i].owner : NULL;
        if (!l || !l->shared)
            shutdown(io->slots[i].fd, SHUT_RDWR);
        close(io->slots[i].fd);
    }
    io->calls->destroy(io);
    io_helpers_deinit(io);
    io_names_deinit(io);
    io_buffers_deinit(io);
    if (io->spare_fd >= 0)
        close(io->spare_fd);
    free(io->slots);
    free(io);
}

void io_wake(struct io *io)
{
    // One signal is enough until the owner has woken up.
    if (atomic_exchange(&io->wake_pending, 1) == 0)
        io->calls->wake(io);
}

// ------------------------------------------------------------------------------------------------ slots

static bool io_slots_grow(struct io *io)
{
    uint32_t cap = io->slot_cap ? io->slot_cap * 2 : 64;
    struct io_slot *slots = realloc(io->slots, cap * sizeof(*slots));
    if (!slots)
        return false;
    io->slots = slots;
    // Low indexes are handed out first.
    for (uint32_t i = cap; i-- > io->slot_cap;) {
        slots[i] = (struct io_slot){.fd = -1, .next = io->slot_free, .prev = IO_SLOT_NONE};
        io->slot_free = i;
    }
    io->slot_cap = cap;
    return true;
}

enum rc io_slot_open(struct io *io, enum io_slot_kind kind, int fd, void *owner, uint32_t *out)
{
    ASSERT(fd >= 0);
    if (io->slot_free == IO_SLOT_NONE && !io_slots_grow(io))
        return RC_NOMEM;
    uint32_t index = io->slot_free;
    struct io_slot *s = &io->slots[index];
    ASSERT(s->kind == IO_SLOT_FREE);
    io->slot_free = s->next;
    s->owner = owner;
    s->fd = fd;
    s->next = s->prev = IO_SLOT_NONE;
    s->kind = (uint8_t)kind;
    s->ready = 0;
    s->flags = 0;
    s->error = 0;
    *out = index;
    return RC_OK;
}

void io_slot_queue(struct io *io, uint32_t index)
{
    struct io_slot *s = &io->slots[index];
    ASSERT(s->kind != IO_SLOT_FREE);
    if (s->flags & IO_SLOT_QUEUED)
        return;
    s->flags |= IO_SLOT_QUEUED;
    s->next = IO_SLOT_NONE;
    s->prev = io->queue_last;
    if (io->queue_last == IO_SLOT_NONE)
        io->queue_first = index;
    else
        io->slots[io->queue_last].next = index;
    io->queue_last = index;
    io->queue_count++;
}

static void io_slot_unqueue(struct io *io, uint32_t index)
{
    struct io_slot *s = &io->slots[index];
    ASSERT(s->flags & IO_SLOT_QUEUED);
    ASSERT(io->queue_count > 0);
    if (s->prev == IO_SLOT_NONE)
        io->queue_first = s->next;
    else
        io->slots[s->prev].next = s->next;
    if (s->next == IO_SLOT_NONE)
        io->queue_last = s->prev;
    else
        io->slots[s->next].prev = s->prev;
    s->flags &= (uint8_t)~IO_SLOT_QUEUED;
    s->next = s->prev = IO_SLOT_NONE;
    io->queue_count--;
}

void io_slot_close(struct io *io, uint32_t index)
{
    ASSERT(index < io->slot_cap);
    struct io_slot *s = &io->slots[index];
    ASSERT(s->kind != IO_SLOT_FREE);
    if (s->flags & IO_SLOT_QUEUED)
        io_slot_unqueue(io, index);
    io->calls->unwatch(io, index);
    s->kind = IO_SLOT_FREE;
    s->generation++;
    s->owner = NULL;
    s->fd = -1;
    s->next = io->slot_free;
    io->slot_free = index;
}

void io_slot_event(struct io *io, uint64_t token, uint32_t poll_events)
{
    uint32_t index = (uint32_t)(token >> 32);
    ASSERT(index < io->slot_cap);
    struct io_slot *s = &io->slots[index];
    if (s->kind == IO_SLOT_FREE || s->generation != (uint32_t)token)
        return;
    if (poll_events & (EPOLLIN | EPOLLRDHUP))
        s->ready |= IO_READABLE;
    if (poll_events & EPOLLOUT)
        s->ready |= IO_WRITABLE;
    // Nothing will announce the end of file a second time: from here on only recv() may say RC_EOF.
    if (poll_events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        s->flags |= IO_SLOT_PEER_SHUT;
    if (poll_events & (EPOLLHUP | EPOLLERR))
        s->ready |= IO_READABLE | IO_WRITABLE | IO_HANGUP;
    io_slot_queue(io, index);
}

// ------------------------------------------------------------------------------------------------ operations

void io_op_start(struct io *io, struct io_op *op, enum io_op_kind kind)
{
    ASSERT(op->state == IO_OP_IDLE);
    ASSERT(op->done);
    op->io = io;
    op->kind = kind;
    op->state = IO_OP_IN_FLIGHT;
    op->rc = RC_OK;
    op->moved = 0;
    op->link = (struct list_node){0};
    list_push_back(&io->in_flight, &op->link);
}

void io_op_complete(struct io_op *op, enum rc rc)
{
    struct io *io = op->io;
    ASSERT(op->state == IO_OP_IN_FLIGHT);
    op->state = IO_OP_DONE;
    op->rc = rc;
    list_remove(&io->in_flight, &op->link);
    list_push_back(&io->done, &op->link);
}

static unsigned io_run_done(struct io *io)
{
    unsigned count = 0;
    // What completes while these run waits for the next poll: sockets must have their turn.
    for (size_t left = io->done.count; left > 0 && !list_empty(&io->done); left--, count++) {
        struct io_op *op = list_entry(list_pop_front(&io->done), struct io_op, link);
        enum io_op_kind kind = (enum io_op_kind)op->kind;
        if (kind == IO_OP_READ)
            io->counters.read_bytes[op->file->kind] += op->moved;
        else if (kind == IO_OP_WRITE)
            io_write_observe(op);
        free(op->path);
        op->path = NULL;
        op->state = IO_OP_IDLE;
        op->done(op, op->rc, op->moved); // op belongs to its owner again
    }
    return count;
}

// ------------------------------------------------------------------------------------------------ poll

static unsigned io_run_slots(struct io *io)
{
    unsigned count = 0;
    uint32_t left = io->queue_count < IO_SLOTS_A_POLL ? io->queue_count : IO_SLOTS_A_POLL;
    for (; left > 0 && io->queue_first != IO_SLOT_NONE; left--, count++) {
        uint32_t index = io->queue_first;
        io_slot_unqueue(io, index);
        switch ((enum io_slot_kind)io->slots[index].kind) {
        case IO_SLOT_SOCK:
            io_sock_dispatch(io, index);
            break;
        case IO_SLOT_LISTENER:
            io_listener_dispatch(io, index);
            break;
        case IO_SLOT_SIGNAL:
            io_signal_dispatch(io, index);
            break;
        case IO_SLOT_FREE:
            UNREACHABLE();
        }
    }
    return count;
}

unsigned io_poll(struct io *io, int64_t timeout_ns)
{
    ASSERT(!io->polling); // not from a callback
#if WEIR_VERIFY
    if (!io->polled)
        io->owner = pthread_self();
    io->polled = true;
    ASSERT(pthread_equal(io->owner, pthread_self())); // see io.h: the thread that polls first owns it
#endif
    io->polling = true;
    io->counters.polls++;
    if (io->queue_count > 0 || !list_empty(&io->done))
        timeout_ns = 0;
    io->calls->wait(io, timeout_ns);
    // Whoever wakes us from here on signals again; what it did before, we are about to see.
    if (atomic_load_explicit(&io->wake_pending, memory_order_relaxed))
        atomic_exchange(&io->wake_pending, 0);
    io_helpers_collect(io);
    io->now_ns = io_clock_now();
    unsigned count = io_run_done(io);
    count += io_run_slots(io);
    io->polling = false;
    return count;
}
