// SPDX-License-Identifier: Apache-2.0
//
// Sockets. The engine tells what changed, edge by edge, once; the slot remembers what holds, and recv() and send()
// correct it. So what a socket wants can change at any rate without a system call.
#include "io/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 4096, ACCEPTS_A_TURN = 64, LISTEN_TRIES = 60, LISTEN_PAUSE_NS = 5000000 };

static struct io_slot *slot_of(const struct io_sock *s)
{
    ASSERT(s->io && s->slot < s->io->slot_cap);
    struct io_slot *slot = &s->io->slots[s->slot];
    ASSERT(slot->owner == s);
    return slot;
}

static int set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value));
}

static enum rc watch_fd(struct io *io, enum io_slot_kind kind, int fd, void *owner, uint32_t *slot)
{
    enum rc rc = io_slot_open(io, kind, fd, owner, slot);
    if (rc != RC_OK)
        return rc;
    int error = io->calls->watch(io, *slot);
    if (error) {
        io_slot_close(io, *slot);
        return io_rc_of_errno(error);
    }
    return RC_OK;
}

// ------------------------------------------------------------------------------------------------ listening

static int open_listening_once(const struct io_addr *addr)
{
    struct sockaddr_storage sa;
    socklen_t n = io_addr_to_sockaddr(addr, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (sa.ss_family == AF_INET6)
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0); // [::] listens on IPv4 too
    if (bind(fd, (struct sockaddr *)&sa, n) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

// The ring of a killed process is taken down after its exit was reported: its listening sockets live 5 to 30 ms longer
// than it does. Who starts it again at once should not be told that the address is in use.
static int open_listening(const struct io_addr *addr)
{
    int fd = open_listening_once(addr);
    for (int tries = 0; fd == -EADDRINUSE && tries < LISTEN_TRIES; tries++) {
        nanosleep(&(struct timespec){.tv_nsec = LISTEN_PAUSE_NS}, NULL);
        fd = open_listening_once(addr);
    }
    return fd;
}

static enum rc listener_open(struct io *io, struct io_listener *l, int fd, io_accept_fn accept)
{
    l->fd = fd;
    l->accept = accept;
    l->paused = false;
    enum rc rc = watch_fd(io, IO_SLOT_LISTENER, fd, l, &l->slot);
    if (rc != RC_OK) {
        close(fd);
        return rc;
    }
    struct sockaddr_storage sa;
    socklen_t n = sizeof(sa);
    if (getsockname(fd, (struct sockaddr *)&sa, &n) == 0)
        io_addr_from_sockaddr(&l->addr, &sa);
    l->io = io;
    return RC_OK;
}

enum rc io_listen(struct io *io, struct io_listener *l, const struct io_addr *addr, io_accept_fn accept)
{
    l->io = NULL;
    l->shared = false;
    int fd = open_listening(addr);
    return fd < 0 ? io_rc_of_errno(-fd) : listener_open(io, l, fd, accept);
}

enum rc io_listen_shared(struct io *io, struct io_listener *l, const struct io_listener *first, io_accept_fn accept)
{
    l->io = NULL;
    l->shared = true;
    int fd = fcntl(first->fd, F_DUPFD_CLOEXEC, 0);
    return fd < 0 ? io_rc_of_errno(errno) : listener_open(io, l, fd, accept);
}

void io_listener_backlog(struct io_listener *l, uint32_t count)
{
    (void)listen(l->fd, (int)(count < INT32_MAX ? count : INT32_MAX)); // it listens already: only the number changes
}

void io_listener_pause(struct io_listener *l)
{
    l->paused = true;
}

void io_listener_resume(struct io_listener *l)
{
    if (!l->paused)
        return;
    l->paused = false;
    io_slot_queue(l->io, l->slot); // who came meanwhile has been announced already
}

void io_listener_close(struct io_listener *l)
{
    ASSERT(l->io);
    // The kernel may hold the socket until the ring has let go of it; the port is to be free now.
    if (!l->shared)
        shutdown(l->fd, SHUT_RDWR);
    io_slot_close(l->io, l->slot);
    close(l->fd);
    l->io = NULL;
    l->fd = -1;
}

// No descriptor is left: the spare one is given up for a moment to take the connection and close it. Left in the queue
// it would be neither served nor refused, and nothing would announce it again.
static bool accept_and_refuse(struct io *io, int listening)
{
    if (io->spare_fd < 0)
        return false;
    close(io->spare_fd);
    int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    io->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    io->counters.accepts_refused++;
    uint64_t dropped;
    if (trace_limit_pass(&io->refuse_limit, io->now_ns, &dropped))
        trace_warn(io->trace, "a connection was refused: no file descriptor is left (%llu more before it)",
                   (unsigned long long)dropped);
    return true;
}

void io_listener_dispatch(struct io *io, uint32_t slot)
{
    struct io_listener *l = io->slots[slot].owner;
    uint32_t generation = io->slots[slot].generation;
    // Shards that share a socket take one each in turn, so that connections spread.
    int left = l->shared ? 1 : ACCEPTS_A_TURN;
    while (!l->paused && left > 0) {
        struct sockaddr_storage sa = {0};
        socklen_t n = sizeof(sa);
        int fd = accept4(l->fd, (struct sockaddr *)&sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            bool again = errno == EINTR || errno == ECONNABORTED;
            if (!again && (errno != EMFILE && errno != ENFILE))
                return;
            if (!again && !accept_and_refuse(io, l->fd))
                return;
            left--;
            continue;
        }
        struct io_addr peer = {0};
        io_addr_from_sockaddr(&peer, &sa);
        left--;
        l->accept(l, fd, &peer);
        if (io->slots[slot].generation != generation)
            return; // closed from inside
    }
    if (!l->paused)
        io_slot_queue(io, slot);
}

// ------------------------------------------------------------------------------------------------ connections

static void sock_set_options(int fd)
{
    // Fails on other than TCP (tests use socket pairs), which does not matter.
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

static enum rc sock_open(struct io *io, struct io_sock *s, int fd, io_ready_fn ready)
{
    s->io = NULL;
    s->fd = fd;
    s->wanted = 0;
    s->ready = ready;
    enum rc rc = watch_fd(io, IO_SLOT_SOCK, fd, s, &s->slot);
    if (rc != RC_OK) {
        close(fd);
        s->fd = -1;
        return rc;
    }
    s->io = io;
    return RC_OK;
}

enum rc io_sock_adopt(struct io *io, struct io_sock *s, int fd, io_ready_fn ready)
{
    fcntl(fd, F_SETFL, O_NONBLOCK | O_RDWR);
    sock_set_options(fd);
    enum rc rc = sock_open(io, s, fd, ready);
    return rc == RC_OK ? rc : RC_NOMEM;
}

void io_sock_refuse(struct io *io, int fd)
{
    (void)io;
    close(fd);
}

enum rc io_sock_connect(struct io *io, struct io_sock *s, const struct io_addr *addr, io_ready_fn ready)
{
    s->io = NULL;
    struct sockaddr_storage sa;
    socklen_t n = io_addr_to_sockaddr(addr, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return io_rc_of_errno(errno);
    sock_set_options(fd);
    int error = connect(fd, (struct sockaddr *)&sa, n) == 0 ? 0 : errno;
    enum rc rc = sock_open(io, s, fd, ready);
    if (rc != RC_OK || error == 0 || error == EINPROGRESS)
        return rc;
    // Refused at once: told like a refusal that takes its time.
    struct io_slot *slot = slot_of(s);
    slot->error = error;
    slot->ready |= IO_HANGUP;
    io_slot_queue(io, s->slot);
    return RC_OK;
}

enum rc io_sock_error(struct io_sock *s)
{
    struct io_slot *slot = slot_of(s);
    if (slot->error == 0) {
        int error = 0;
        socklen_t n = sizeof(error);
        if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0)
            slot->error = error;
    }
    return io_rc_of_errno(slot->error);
}

void io_sock_want(struct io_sock *s, unsigned events)
{
    ASSERT((events & ~(unsigned)(IO_READABLE | IO_WRITABLE)) == 0);
    struct io_slot *slot = slot_of(s);
    s->wanted = events;
    if (slot->ready & events)
        io_slot_queue(s->io, s->slot);
}

int io_sock_release(struct io_sock *s)
{
    // A second descriptor of the same connection: the poll in flight goes with the first.
    int fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
    io_sock_close(s);
    return fd;
}

void io_sock_close(struct io_sock *s)
{
    ASSERT(slot_of(s)->kind == IO_SLOT_SOCK);
    io_slot_close(s->io, s->slot);
    close(s->fd);
    s->io = NULL;
    s->fd = -1;
}

void io_sock_shutdown(struct io_sock *s)
{
    shutdown(slot_of(s)->fd, SHUT_WR);
}

void io_sock_buffers(struct io_sock *s, uint32_t send_bytes, uint32_t receive_bytes)
{
    if (send_bytes)
        set_option(s->fd, SOL_SOCKET, SO_SNDBUF, (int)(send_bytes > INT32_MAX ? INT32_MAX : send_bytes));
    if (receive_bytes)
        set_option(s->fd, SOL_SOCKET, SO_RCVBUF, (int)(receive_bytes > INT32_MAX ? INT32_MAX : receive_bytes));
}

void io_sock_dispatch(struct io *io, uint32_t index)
{
    struct io_slot *slot = &io->slots[index];
    struct io_sock *s = slot->owner;
    unsigned events = slot->ready & s->wanted;
    if ((slot->ready & IO_HANGUP) && !(slot->flags & IO_SLOT_HANGUP_TOLD)) {
        slot->flags |= IO_SLOT_HANGUP_TOLD;
        events |= IO_HANGUP;
    }
    if (events)
        s->ready(s, events); // may close s and move the table
}

// ------------------------------------------------------------------------------------------------ moving bytes

enum rc io_sock_recv(struct io_sock *s, void *p, size_t n, size_t *got)
{
    ASSERT(n > 0);
    struct io_slot *slot = slot_of(s);
    *got = 0;
    ssize_t r;
    do
        r = recv(s->fd, p, n, 0);
    while (r < 0 && errno == EINTR);
    if (r == 0)
        return RC_EOF;
    if (r < 0) {
        if (errno == EAGAIN)
            slot->ready &= (uint8_t)~IO_READABLE;
        return io_rc_of_errno(errno);
    }
    // Less than there was room for: the socket is empty, and what comes next is an event of its own. Only an end of
    // file that was announced already is not.
    if ((size_t)r < n) {
        if (!(slot->flags & IO_SLOT_PEER_SHUT))
            slot->ready &= (uint8_t)~IO_READABLE;
        else if (s->wanted & IO_READABLE)
            io_slot_queue(s->io, s->slot); // a short count promises another event, and the kernel has told its last
    }
    *got = (size_t)r;
    s->io->counters.recv_bytes += (size_t)r;
    return RC_OK;
}

enum rc io_sock_send(struct io_sock *s, const struct iovec *vecs, unsigned vec_count, size_t *sent)
{
    struct io_slot *slot = slot_of(s);
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)vecs,
                       .msg_iovlen = vec_count < IO_VECS_MAX ? vec_count : IO_VECS_MAX};
    *sent = 0;
    ssize_t r;
    do
        r = vec_count == 1 ? send(s->fd, vecs->iov_base, vecs->iov_len, MSG_NOSIGNAL) // spares the kernel two copies
                           : sendmsg(s->fd, &m, MSG_NOSIGNAL);
    while (r < 0 && errno == EINTR);
    if (r < 0) {
        if (errno == EAGAIN)
            slot->ready &= (uint8_t)~IO_WRITABLE;
        return io_rc_of_errno(errno);
    }
    size_t asked = 0;
    for (size_t i = 0; i < m.msg_iovlen; i++)
        asked += vecs[i].iov_len;
    if ((size_t)r < asked && !(slot->ready & IO_HANGUP))
        slot->ready &= (uint8_t)~IO_WRITABLE;
    *sent = (size_t)r;
    s->io->counters.send_bytes += (size_t)r;
    return RC_OK;
}

void io_sock_cork(struct io_sock *s, bool on)
{
    set_option(s->fd, IPPROTO_TCP, TCP_CORK, on); // other than TCP has no packets to fill
}

enum rc io_sock_send_file(struct io_sock *s, struct io_file *f, uint64_t offset, size_t n, size_t *sent)
{
    ASSERT(n > 0);
    struct io_slot *slot = slot_of(s);
    off_t at = (off_t)offset;
    *sent = 0;
    ssize_t r;
    do
        r = sendfile(s->fd, f->fd, &at, n);
    while (r < 0 && errno == EINTR);
    if (r == 0)
        return RC_EOF;
    if (r < 0) {
        if (errno == EAGAIN)
            slot->ready &= (uint8_t)~IO_WRITABLE;
        return io_rc_of_errno(errno);
    }
    *sent = (size_t)r;
    s->io->counters.send_file_bytes += (size_t)r;
    return RC_OK;
}
