// SPDX-License-Identifier: Apache-2.0
//
// The epoll engine, for kernels before 6.1 and for containers whose seccomp profile forbids io_uring: readiness by
// edge-triggered epoll, and the calls that may block for long on helper threads.
#include "io/internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { EPOLL_EVENTS_MAX = 128 };
#define EPOLL_WAKE_TOKEN UINT64_MAX

struct epoll {
    int fd, wake_fd;
    bool no_pwait2; // the kernel is older than 5.11: milliseconds only
};

static struct epoll *epoll_of(struct io *io)
{
    return io->engine;
}

static int epoll_create_engine(struct io *io, const struct io_config *config)
{
    (void)config;
    struct epoll *e = calloc(1, sizeof(*e));
    if (!e)
        return ENOMEM;
    e->fd = epoll_create1(EPOLL_CLOEXEC);
    e->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    // Edge-triggered, so nobody ever reads the counter: each write is an edge.
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = EPOLL_WAKE_TOKEN};
    if (e->fd < 0 || e->wake_fd < 0 || epoll_ctl(e->fd, EPOLL_CTL_ADD, e->wake_fd, &event) != 0) {
        int error = errno;
        if (e->fd >= 0)
            close(e->fd);
        if (e->wake_fd >= 0)
            close(e->wake_fd);
        free(e);
        return error;
    }
    io->engine = e;
    return 0;
}

static void epoll_destroy(struct io *io)
{
    struct epoll *e = epoll_of(io);
    close(e->fd);
    close(e->wake_fd);
    free(e);
    io->engine = NULL;
}

static void epoll_wake(struct io *io)
{
    uint64_t one = 1;
    ssize_t n = write(epoll_of(io)->wake_fd, &one, sizeof(one));
    (void)n; // a full counter has been signalled already
}

static int epoll_watch(struct io *io, uint32_t index)
{
    struct io_slot *s = &io->slots[index];
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.u64 = io_slot_token(index, s->generation)};
    return epoll_ctl(epoll_of(io)->fd, EPOLL_CTL_ADD, s->fd, &event) == 0 ? 0 : errno;
}

static void epoll_unwatch(struct io *io, uint32_t index)
{
    // A connection leaves the set when its only descriptor is closed; a shared listener has others.
    if (io->slots[index].kind != IO_SLOT_SOCK)
        epoll_ctl(epoll_of(io)->fd, EPOLL_CTL_DEL, io->slots[index].fd, NULL);
}

static int epoll_wait_ns(struct epoll *e, struct epoll_event *events, int64_t timeout_ns)
{
    if (!e->no_pwait2) {
        struct timespec ts = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
        int n = epoll_pwait2(e->fd, events, EPOLL_EVENTS_MAX, timeout_ns < 0 ? NULL : &ts, NULL);
        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return n;
        e->no_pwait2 = true;
    }
    int64_t ms = timeout_ns < 0 ? -1 : (timeout_ns + 999999) / 1000000;
    return epoll_wait(e->fd, events, EPOLL_EVENTS_MAX, (int)(ms > INT_MAX ? INT_MAX : ms));
}

static void epoll_engine_wait(struct io *io, int64_t timeout_ns)
{
    struct epoll *e = epoll_of(io);
    struct epoll_event events[EPOLL_EVENTS_MAX];
    if (timeout_ns != 0)
        io->counters.waits++;
    int n = epoll_wait_ns(e, events, timeout_ns);
    ASSERT(n >= 0 || errno == EINTR);
    for (int i = 0; i < n; i++) {
        if (events[i].data.u64 != EPOLL_WAKE_TOKEN)
            io_slot_event(io, events[i].data.u64, events[i].events);
    }
}

const struct io_engine_calls io_epoll_calls = {
    .name = "epoll",
    .create = epoll_create_engine,
    .destroy = epoll_destroy,
    .wait = epoll_engine_wait,
    .wake = epoll_wake,
    .watch = epoll_watch,
    .unwatch = epoll_unwatch,
    .submit = io_helpers_submit,
};
