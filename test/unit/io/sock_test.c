// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

// Two ends over loopback, each counting what it is told.
struct end {
    struct io_sock sock;
    unsigned events, calls;
    bool told, close_inside;
};

struct pair {
    struct io *io;
    struct io_listener listener;
    struct end client, server;
    bool accepted;
    int refuse;
    bool close_listener;
};

static void on_ready(struct io_sock *s, unsigned events)
{
    struct end *e = (struct end *)s;
    e->events |= events;
    e->calls++;
    e->told = true;
    if (e->close_inside)
        io_sock_close(s);
}

static void on_accept(struct io_listener *l, int fd, const struct io_addr *peer)
{
    struct pair *p = l->private_data;
    cr_assert(io_addr_is_loopback(peer));
    cr_assert(peer->port > 0);
    p->accepted = true;
    if (p->close_listener)
        io_listener_close(l);
    if (p->refuse > 0) {
        p->refuse--;
        io_sock_refuse(p->io, fd);
        return;
    }
    cr_assert_eq(io_sock_adopt(p->io, &p->server.sock, fd, on_ready), RC_OK);
}

static void listen_any(struct rig *r, struct pair *p)
{
    p->io = r->io;
    struct io_addr any;
    cr_assert_eq(io_resolve(r->io, "127.0.0.1", 0, &any), RC_OK);
    cr_assert_eq(io_listen(r->io, &p->listener, &any, on_accept), RC_OK);
    p->listener.private_data = p;
    cr_assert(p->listener.addr.port > 0);
}

static void poll_some(struct rig *r, int times)
{
    for (int i = 0; i < times; i++)
        io_poll(r->io, 1000 * 1000);
}

// The next event told to e, cleared for the one after.
static unsigned next_event(struct rig *r, struct end *e)
{
    cr_assert(rig_until(r, &e->told), "no event came");
    unsigned events = e->events;
    e->events = 0;
    e->told = false;
    return events;
}

static void connect_pair(struct rig *r, struct pair *p)
{
    if (!p->listener.io)
        listen_any(r, p);
    cr_assert_eq(io_sock_connect(r->io, &p->client.sock, &p->listener.addr, on_ready), RC_OK);
    io_sock_want(&p->client.sock, IO_WRITABLE);
    cr_assert(next_event(r, &p->client) & IO_WRITABLE);
    cr_assert_eq(io_sock_error(&p->client.sock), RC_OK);
    io_sock_want(&p->client.sock, 0);
    cr_assert(rig_until(r, &p->accepted));
    p->client.told = false;
}

static void close_pair(struct pair *p)
{
    if (p->client.sock.io)
        io_sock_close(&p->client.sock);
    if (p->server.sock.io)
        io_sock_close(&p->server.sock);
    if (p->listener.io)
        io_listener_close(&p->listener);
}

static enum rc send_text(struct end *e, const char *text)
{
    struct iovec v = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    size_t sent;
    return io_sock_send(&e->sock, &v, 1, &sent);
}

IO_TEST(sock, echo_and_half_close)
{
    struct pair p = {0};
    connect_pair(r, &p);
    io_sock_want(&p.server.sock, IO_READABLE);
    cr_assert_eq(send_text(&p.client, "ping"), RC_OK);
    cr_assert_eq(next_event(r, &p.server), IO_READABLE);
    char text[16];
    size_t got;
    cr_assert_eq(io_sock_recv(&p.server.sock, text, sizeof(text), &got), RC_OK);
    cr_assert(got == 4 && memcmp(text, "ping", 4) == 0);
    cr_assert_eq(io_sock_recv(&p.server.sock, text, sizeof(text), &got), RC_AGAIN);
    // The client's half is closed: the server reads the end and can still answer.
    io_sock_shutdown(&p.client.sock);
    cr_assert(next_event(r, &p.server) & IO_READABLE);
    cr_assert_eq(io_sock_recv(&p.server.sock, text, sizeof(text), &got), RC_EOF);
    cr_assert_eq(send_text(&p.server, "pong"), RC_OK);
    io_sock_want(&p.client.sock, IO_READABLE);
    cr_assert_eq(next_event(r, &p.client) & IO_READABLE, IO_READABLE);
    cr_assert_eq(io_sock_recv(&p.client.sock, text, sizeof(text), &got), RC_OK);
    cr_assert_eq(got, 4);
    cr_assert_eq(io_counters(r->io)->recv_bytes, 8);
    cr_assert_eq(io_counters(r->io)->send_bytes, 8);
    close_pair(&p);
}

// The end of file that came together with the data is not announced twice, so it must not be forgotten.
IO_TEST(sock, data_and_end_at_once)
{
    struct pair p = {0};
    connect_pair(r, &p);
    cr_assert_eq(send_text(&p.client, "last"), RC_OK);
    io_sock_close(&p.client.sock);
    poll_some(r, 5);
    io_sock_want(&p.server.sock, IO_READABLE);
    cr_assert(next_event(r, &p.server) & IO_READABLE);
    char text[16];
    size_t got;
    cr_assert_eq(io_sock_recv(&p.server.sock, text, sizeof(text), &got), RC_OK);
    cr_assert_eq(got, 4);
    io_sock_want(&p.server.sock, IO_READABLE);
    cr_assert(next_event(r, &p.server) & IO_READABLE, "still readable: the end");
    cr_assert_eq(io_sock_recv(&p.server.sock, text, sizeof(text), &got), RC_EOF);
    close_pair(&p);
}

IO_TEST(sock, only_wanted_events_and_again_when_asked)
{
    struct pair p = {0};
    connect_pair(r, &p);
    cr_assert_eq(send_text(&p.client, "abc"), RC_OK);
    poll_some(r, 5);
    cr_assert_eq(p.server.calls, 0, "nothing is wanted yet");
    io_sock_want(&p.server.sock, IO_READABLE);
    cr_assert_eq(next_event(r, &p.server), IO_READABLE);
    poll_some(r, 5);
    cr_assert_eq(p.server.calls, 1, "an edge is told once");
    // Wanting again what holds tells it again: "come back by yourself".
    char c;
    size_t got;
    cr_assert_eq(io_sock_recv(&p.server.sock, &c, 1, &got), RC_OK);
    io_sock_want(&p.server.sock, IO_READABLE);
    cr_assert_eq(next_event(r, &p.server), IO_READABLE);
    io_sock_want(&p.server.sock, IO_READABLE | IO_WRITABLE);
    cr_assert_eq(next_event(r, &p.server), IO_READABLE | IO_WRITABLE);
    char rest[8];
    cr_assert_eq(io_sock_recv(&p.server.sock, rest, sizeof(rest), &got), RC_OK);
    cr_assert_eq(got, 2);
    io_sock_want(&p.server.sock, IO_READABLE);
    poll_some(r, 3);
    cr_assert_eq(p.server.told, false, "a short read has emptied it");
    // What comes after a short read is an edge of its own.
    cr_assert_eq(send_text(&p.client, "d"), RC_OK);
    cr_assert_eq(next_event(r, &p.server), IO_READABLE);
    close_pair(&p);
}

IO_TEST(sock, refused_connection)
{
    struct pair p = {0};
    listen_any(r, &p);
    struct io_addr gone = p.listener.addr;
    io_listener_close(&p.listener);
    cr_assert_eq(io_sock_connect(r->io, &p.client.sock, &gone, on_ready), RC_OK);
    cr_assert(next_event(r, &p.client) & IO_HANGUP);
    cr_assert_eq(io_sock_error(&p.client.sock), RC_REFUSED);
    cr_assert_eq(io_sock_error(&p.client.sock), RC_REFUSED, "asking does not clear it");
    close_pair(&p);
}

IO_TEST(sock, refused_by_accept)
{
    struct pair p = {.refuse = 1};
    listen_any(r, &p);
    cr_assert_eq(io_sock_connect(r->io, &p.client.sock, &p.listener.addr, on_ready), RC_OK);
    io_sock_want(&p.client.sock, IO_READABLE);
    cr_assert(next_event(r, &p.client) & IO_READABLE);
    char c;
    size_t got;
    enum rc rc = io_sock_recv(&p.client.sock, &c, 1, &got);
    cr_assert(rc == RC_EOF || rc == RC_RESET);
    close_pair(&p);
}

IO_TEST(sock, reset_is_a_hangup)
{
    struct pair p = {0};
    connect_pair(r, &p);
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(p.client.sock.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    io_sock_close(&p.client.sock);
    cr_assert(next_event(r, &p.server) & IO_HANGUP, "told although nothing is wanted");
    cr_assert_eq(io_sock_error(&p.server.sock), RC_RESET);
    cr_assert_neq(send_text(&p.server, "x"), RC_OK);
    poll_some(r, 3);
    cr_assert_eq(p.server.calls, 1, "once");
    close_pair(&p);
}

IO_TEST(sock, slow_reader_stops_the_writer)
{
    struct pair p = {0};
    connect_pair(r, &p);
    static uint8_t block[65536];
    struct iovec v = {.iov_base = block, .iov_len = sizeof(block)};
    size_t sent, total = 0, got, read_total = 0;
    enum rc rc;
    while ((rc = io_sock_send(&p.client.sock, &v, 1, &sent)) == RC_OK) {
        cr_assert(sent > 0);
        total += sent;
        cr_assert(total < 256u << 20);
    }
    cr_assert_eq(rc, RC_AGAIN);
    cr_assert_eq(sent, 0);
    p.client.told = false;
    io_sock_want(&p.client.sock, IO_WRITABLE);
    poll_some(r, 3);
    cr_assert_eq(p.client.told, false, "no room: no event");
    while (read_total < total) {
        rc = io_sock_recv(&p.server.sock, block, sizeof(block), &got);
        cr_assert(rc == RC_OK || rc == RC_AGAIN);
        read_total += got;
        io_poll(r->io, 1000 * 1000);
    }
    cr_assert(next_event(r, &p.client) & IO_WRITABLE);
    cr_assert_eq(io_sock_send(&p.client.sock, &v, 1, &sent), RC_OK);
    close_pair(&p);
}

static void receive_head(struct end *e)
{
    char head[4];
    size_t got;
    cr_assert_eq(io_sock_recv(&e->sock, head, 4, &got), RC_OK);
    cr_assert(got == 4 && memcmp(head, "head", 4) == 0);
}

IO_TEST(sock, send_file)
{
    struct pair p = {0};
    connect_pair(r, &p);
    struct io_file f = {0};
    cr_assert_eq(io_file_open(r->io, &f, rig_path(r, "a"), IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE, IO_FILE_LOG),
                 RC_OK);
    static uint8_t block[200000], back[200000];
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (uint8_t)(i * 7 >> 2);
    cr_assert_eq(io_file_write_now(&f, block, sizeof(block), 0), RC_OK);
    size_t sent = 0, n, got, total = 0;
    // A head that waits for what follows.
    struct iovec head = {.iov_base = "head", .iov_len = 4};
    io_sock_cork(&p.server.sock, true);
    cr_assert_eq(io_sock_send(&p.server.sock, &head, 1, &n), RC_OK);
    cr_assert_eq(n, 4);
    while (total < 150000) {
        if (sent == 0)
            cr_assert_eq(io_sock_recv(&p.client.sock, back, 1, &got), RC_AGAIN, "it has not left yet");
        if (sent < 150000) {
            enum rc rc = io_sock_send_file(&p.server.sock, &f, 1000 + sent, 150000 - sent, &n);
            cr_assert(rc == RC_OK || rc == RC_AGAIN);
            if (sent == 0)
                receive_head(&p.client);
            sent += n;
            if (sent == 150000)
                io_sock_cork(&p.server.sock, false); // what is left goes now
        }
        enum rc rc = io_sock_recv(&p.client.sock, back + total, sizeof(back) - total, &got);
        cr_assert(rc == RC_OK || rc == RC_AGAIN);
        total += got;
        io_poll(r->io, 100 * 1000);
    }
    cr_assert_eq(total, 150000);
    cr_assert_eq(memcmp(back, block + 1000, 150000), 0);
    // A file that is shorter than asked gives what it has, then says so.
    cr_assert_eq(io_sock_send_file(&p.server.sock, &f, sizeof(block) - 10, 100, &n), RC_OK);
    cr_assert_eq(n, 10);
    cr_assert_eq(io_sock_send_file(&p.server.sock, &f, sizeof(block), 90, &n), RC_EOF);
    cr_assert_eq(io_counters(r->io)->send_file_bytes, 150010);
    cr_assert_eq(io_counters(r->io)->read_bytes[IO_FILE_LOG], 0);
    io_file_close(&f);
    close_pair(&p);
}

IO_TEST(sock, close_inside_the_callback)
{
    struct pair p = {.server.close_inside = true};
    connect_pair(r, &p);
    io_sock_want(&p.server.sock, IO_READABLE);
    cr_assert_eq(send_text(&p.client, "x"), RC_OK);
    cr_assert(rig_until(r, &p.server.told));
    cr_assert_null(p.server.sock.io);
    io_sock_want(&p.client.sock, IO_READABLE);
    next_event(r, &p.client);
    char c;
    size_t got;
    enum rc rc = io_sock_recv(&p.client.sock, &c, 1, &got);
    cr_assert(rc == RC_EOF || rc == RC_RESET);
    close_pair(&p);
}

// A socket is closed while the kernel has events of it under way, its memory is overwritten, and its place in the table
// goes to another at once: nothing may reach either.
IO_TEST(sock, late_events_find_nobody)
{
    struct pair p = {0};
    listen_any(r, &p);
    for (int i = 0; i < 200; i++) {
        p.accepted = false;
        connect_pair(r, &p);
        io_sock_want(&p.server.sock, IO_READABLE);
        cr_assert_eq(send_text(&p.client, "x"), RC_OK); // its event is under way
        io_sock_close(&p.server.sock);
        memset(&p.server, 0xaa, sizeof(p.server));
        io_sock_close(&p.client.sock);
        memset(&p.client, 0xaa, sizeof(p.client));
        struct end fresh = {0};
        int fds[2];
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        cr_assert_eq(io_sock_adopt(r->io, &fresh.sock, fds[0], on_ready), RC_OK);
        io_sock_want(&fresh.sock, IO_READABLE);
        io_poll(r->io, 0);
        io_poll(r->io, 0);
        cr_assert_eq(fresh.calls, 0, "an event of its predecessor");
        cr_assert_eq(write(fds[1], "y", 1), 1);
        cr_assert_eq(next_event(r, &fresh), IO_READABLE);
        io_sock_close(&fresh.sock);
        close(fds[1]);
        memset(&p.client, 0, sizeof(p.client));
        memset(&p.server, 0, sizeof(p.server));
    }
    close_pair(&p);
}

IO_TEST(sock, adopt_and_close_in_one_turn)
{
    for (int i = 0; i < 50; i++) {
        int a[2], b[2];
        struct end first = {0}, second = {0};
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
        cr_assert_eq(io_sock_adopt(r->io, &first.sock, a[0], on_ready), RC_OK);
        io_sock_close(&first.sock);
        // The descriptor number is taken again before the engine has told the kernel about the first.
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
        cr_assert_eq(io_sock_adopt(r->io, &second.sock, b[0], on_ready), RC_OK);
        io_sock_want(&second.sock, IO_READABLE);
        poll_some(r, 2);
        cr_assert_eq(second.calls, 0);
        cr_assert_eq(write(b[1], "y", 1), 1);
        cr_assert_eq(next_event(r, &second), IO_READABLE);
        io_sock_close(&second.sock);
        close(a[1]);
        close(b[1]);
    }
}

// Many ready at once are served over several polls, each once and none forgotten.
IO_TEST(sock, a_crowd_has_its_turn)
{
    enum { N = 600 };
    static struct end ends[N];
    static int others[N];
    for (int i = 0; i < N; i++) {
        int fds[2];
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        ends[i] = (struct end){0};
        cr_assert_eq(io_sock_adopt(r->io, &ends[i].sock, fds[0], on_ready), RC_OK);
        io_sock_want(&ends[i].sock, IO_READABLE);
        others[i] = fds[1];
    }
    poll_some(r, 20);
    for (int i = 0; i < N; i++)
        cr_assert_eq(write(others[i], "x", 1), 1);
    unsigned polls = 0, told = 0;
    while (told < N && polls < 100) {
        unsigned n = io_poll(r->io, 1000 * 1000);
        cr_assert(n <= 64);
        told = 0;
        for (int i = 0; i < N; i++)
            told += ends[i].calls;
        polls++;
    }
    cr_assert_eq(told, N);
    cr_assert(polls >= N / 64);
    for (int i = 0; i < N; i++) {
        cr_assert_eq(ends[i].calls, 1);
        io_sock_close(&ends[i].sock);
        close(others[i]);
    }
}

IO_TEST(sock, closing_reaches_the_peer)
{
    struct pair p = {0};
    connect_pair(r, &p);
    io_sock_close(&p.server.sock);
    io_sock_want(&p.client.sock, IO_READABLE);
    cr_assert(next_event(r, &p.client) & IO_READABLE);
    char c;
    size_t got;
    cr_assert_eq(io_sock_recv(&p.client.sock, &c, 1, &got), RC_EOF);
    close_pair(&p);
}

// ------------------------------------------------------------------------------------------------ listeners

IO_TEST(listener, address_in_use_and_free_again)
{
    struct pair p = {0}, q = {0};
    listen_any(r, &p);
    struct io_addr addr = p.listener.addr;
    cr_assert_eq(io_listen(r->io, &q.listener, &addr, on_accept), RC_ADDRESS_IN_USE);
    io_listener_close(&p.listener);
    cr_assert_eq(io_listen(r->io, &q.listener, &addr, on_accept), RC_OK, "free at once");
    io_listener_close(&q.listener);
    cr_assert_eq(io_resolve(r->io, "192.0.2.1", 22001, &addr), RC_OK);
    cr_assert_eq(io_listen(r->io, &q.listener, &addr, on_accept), RC_INVALID);
}

IO_TEST(listener, pause_keeps_connections_waiting)
{
    struct pair p = {0};
    listen_any(r, &p);
    io_listener_pause(&p.listener);
    cr_assert_eq(io_sock_connect(r->io, &p.client.sock, &p.listener.addr, on_ready), RC_OK);
    poll_some(r, 5);
    cr_assert(!p.accepted);
    io_listener_resume(&p.listener);
    cr_assert(rig_until(r, &p.accepted));
    close_pair(&p);
}

IO_TEST(listener, closing_inside_accept)
{
    struct pair p = {.refuse = 3, .close_listener = true};
    listen_any(r, &p);
    struct io_addr addr = p.listener.addr;
    struct end ends[3] = {0};
    for (int i = 0; i < 3; i++)
        cr_assert_eq(io_sock_connect(r->io, &ends[i].sock, &addr, on_ready), RC_OK);
    cr_assert(rig_until(r, &p.accepted));
    cr_assert_null(p.listener.io);
    cr_assert_eq(p.refuse, 2, "nothing is accepted after it");
    poll_some(r, 3);
    for (int i = 0; i < 3; i++)
        io_sock_close(&ends[i].sock);
}

// Whoever cannot be served is told so, and the listener goes on when there are descriptors again.
IO_TEST(listener, no_descriptor_left)
{
    struct pair p = {.refuse = 1};
    listen_any(r, &p);
    cr_assert_eq(io_sock_connect(r->io, &p.client.sock, &p.listener.addr, on_ready), RC_OK);
    io_sock_want(&p.client.sock, IO_READABLE);
    struct rlimit before, small;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    small = before;
    small.rlim_cur = 128;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &small), 0);
    int taken[128], count = 0;
    while (count < 128 && (taken[count] = dup(0)) >= 0)
        count++;
    cr_assert(next_event(r, &p.client) & IO_READABLE);
    char c;
    size_t got;
    enum rc rc = io_sock_recv(&p.client.sock, &c, 1, &got);
    cr_assert(rc == RC_EOF || rc == RC_RESET);
    cr_assert(!p.accepted);
    cr_assert_eq(io_counters(r->io)->accepts_refused, 1);
    while (count > 0)
        close(taken[--count]);
    setrlimit(RLIMIT_NOFILE, &before);
    io_sock_close(&p.client.sock);
    cr_assert_eq(io_sock_connect(r->io, &p.client.sock, &p.listener.addr, on_ready), RC_OK);
    cr_assert(rig_until(r, &p.accepted));
    close_pair(&p);
}

static unsigned shared_accepts;

static void on_shared_accept(struct io_listener *l, int fd, const struct io_addr *peer)
{
    (void)peer;
    shared_accepts++;
    io_sock_refuse(l->io, fd);
}

IO_TEST(listener, two_ios_share_one_socket)
{
    struct pair p = {.refuse = 1000};
    listen_any(r, &p);
    struct io *other;
    struct io_config config = {.engine = strcmp(io_engine_name(r->io), "epoll") ? IO_ENGINE_URING : IO_ENGINE_EPOLL};
    cr_assert_eq(io_create(&other, &config), RC_OK);
    struct io_listener second;
    cr_assert_eq(io_listen_shared(other, &second, &p.listener, on_shared_accept), RC_OK);
    cr_assert_eq(second.addr.port, p.listener.addr.port);
    shared_accepts = 0;
    io_poll(other, 0);
    for (int i = 0; i < 20; i++) {
        struct end e = {0};
        cr_assert_eq(io_sock_connect(r->io, &e.sock, &p.listener.addr, on_ready), RC_OK);
        io_poll(other, 1000 * 1000);
        io_poll(r->io, 1000 * 1000);
        io_sock_close(&e.sock);
    }
    cr_assert(shared_accepts > 0);
    // The first goes on after the second has left.
    io_listener_close(&second);
    io_destroy(other);
    p.accepted = false;
    struct end e = {0};
    cr_assert_eq(io_sock_connect(r->io, &e.sock, &p.listener.addr, on_ready), RC_OK);
    cr_assert(rig_until(r, &p.accepted));
    io_sock_close(&e.sock);
    close_pair(&p);
}

// What has come and was not told yet is under way inside the engine: it must not keep the connection.
IO_TEST(sock, closed_while_more_arrives_the_peer_sees_the_end)
{
    struct pair p = {0};
    connect_pair(r, &p);
    poll_some(r, 3);
    cr_assert_eq(send_text(&p.client, "more"), RC_OK);
    io_sock_close(&p.server.sock);
    io_sock_want(&p.client.sock, IO_READABLE);
    (void)next_event(r, &p.client);
    char c;
    size_t got;
    enum rc rc = io_sock_recv(&p.client.sock, &c, 1, &got);
    cr_assert(rc == RC_EOF || rc == RC_RESET, "%s", rc_name(rc));
    close_pair(&p);
}
