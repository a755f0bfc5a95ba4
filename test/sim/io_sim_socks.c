// SPDX-License-Identifier: Apache-2.0
//
// The socket half of io.h over the simulated network.
#include "io_sim.h"
#include "net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

// ------------------------------------------------------------------------------------------------ addresses

enum rc io_resolve(struct io *io, const char *host, uint16_t port, struct io_addr *out)
{
    unsigned a, b, c, d;
    char rest;
    *out = (struct io_addr){.port = port};
    for (uint32_t k = 0; k < io->sim->node_count; k++)
        if (strcmp(io->sim->nodes[k]->name, host) == 0) {
            memcpy(out->ip, io->sim->nodes[k]->ip, sizeof(out->ip));
            return RC_OK;
        }
    if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    if (sscanf(host, "%3u.%3u.%3u.%3u%c", &a, &b, &c, &d, &rest) != 4 || a > 255 || b > 255 || c > 255 || d > 255)
        return RC_UNREACHABLE;
    out->ip[10] = out->ip[11] = 0xff;
    out->ip[12] = (uint8_t)a;
    out->ip[13] = (uint8_t)b;
    out->ip[14] = (uint8_t)c;
    out->ip[15] = (uint8_t)d;
    return RC_OK;
}

// Now and then the resolver is slow, by the clock alone: it draws nothing from the seed.
enum rc io_resolve_soon(struct io *io, const char *host, uint16_t port, struct io_addr *out)
{
    uint64_t window = sim_io_here_ns(io) / (64 * SIM_MS);
    bool is_name = host[0] < '0' || host[0] > '9';
    if (!is_name || (window * UINT64_C(0x9e3779b97f4a7c15)) >> 60 != 0)
        return io_resolve(io, host, port, out);
    *out = (struct io_addr){0};
    return RC_AGAIN;
}

void io_addr_format(const struct io_addr *a, char out[IO_ADDR_TEXT_MAX])
{
    snprintf(out, IO_ADDR_TEXT_MAX, "%u.%u.%u.%u:%u", a->ip[12], a->ip[13], a->ip[14], a->ip[15], a->port);
}

bool io_addr_is_local(struct io *io, const struct io_addr *a)
{
    return memcmp(a->ip, io->node->ip, sizeof(a->ip)) == 0 || io_addr_is_loopback(a);
}

bool io_addr_is_loopback(const struct io_addr *a)
{
    return a->ip[12] == 127;
}

bool io_addr_is_any(const struct io_addr *a)
{
    static const uint8_t zero[4];
    return memcmp(a->ip + 12, zero, sizeof(zero)) == 0;
}

// ------------------------------------------------------------------------------------------------ readiness

void net_ready(struct sim_end *e, unsigned events)
{
    e->pending |= events;
    if (!e->sock || !(e->pending & (e->sock->wanted | IO_HANGUP)))
        return;
    if (!list_node_linked(&e->ready_link))
        list_push_back(&e->io->ready, &e->ready_link);
    sim_io_attention(e->io);
}

void net_backlog_put(struct sim_listen *l, struct sim_end *e)
{
    list_push_back(&l->backlog, &e->backlog_link);
    if (!l->listener->paused)
        sim_io_attention(l->io);
}

static uint32_t slot_new(struct io *io, struct sim_end *e)
{
    if (io->sock_free == UINT32_MAX) {
        uint32_t cap = io->sock_cap ? io->sock_cap * 2 : 16;
        io->socks = sim_realloc(io->socks, cap * sizeof(*io->socks));
        for (uint32_t k = cap; k-- > io->sock_cap;) {
            io->socks[k] = (struct sim_sock_slot){.next_free = io->sock_free};
            io->sock_free = k;
        }
        io->sock_cap = cap;
    }
    uint32_t slot = io->sock_free;
    io->sock_free = io->socks[slot].next_free;
    io->socks[slot].end = e;
    io->sock_count++;
    e->io = io;
    e->fd = (int)slot;
    e->open = true;
    return slot;
}

static void slot_free(struct io *io, struct sim_end *e)
{
    if (list_node_linked(&e->ready_link))
        list_remove(&io->ready, &e->ready_link);
    io->socks[e->fd] = (struct sim_sock_slot){.next_free = io->sock_free};
    io->sock_free = (uint32_t)e->fd;
    io->sock_count--;
}

static struct sim_end *end_of(const struct io_sock *s)
{
    ASSERT(s->io && s->fd >= 0 && (uint32_t)s->fd < s->io->sock_cap);
    struct sim_end *e = s->io->socks[s->fd].end;
    ASSERT(e && e->sock == s);
    return e;
}

static unsigned accept_all(struct io *io)
{
    unsigned ran = 0;
    struct list_node *n = list_first(&io->listeners);
    while (n) {
        struct sim_listen *l = list_entry(n, struct sim_listen, io_link);
        struct list_node *first = l->listener->paused ? NULL : list_pop_front(&l->backlog);
        if (!first) {
            n = list_next(&io->listeners, n);
            continue;
        }
        struct sim_end *e = list_entry(first, struct sim_end, backlog_link);
        struct io_addr peer = net_peer(e)->addr;
        int fd = (int)slot_new(io, e);
        sim_note(io->sim, SIM_NOTE_ACCEPT, io->node, e->conn->serial, 0);
        sim_io_spend(io, 5000);
        l->listener->accept(l->listener, fd, &peer);
        ran++;
        n = list_first(&io->listeners); // the callback may have closed any of them
    }
    return ran;
}

unsigned sim_socks_poll(struct io *io)
{
    unsigned ran = accept_all(io);
    for (size_t left = io->ready.count; left && !list_empty(&io->ready); left--) {
        struct sim_end *e = list_entry(list_pop_front(&io->ready), struct sim_end, ready_link);
        unsigned events = e->pending & (e->sock->wanted | IO_HANGUP);
        e->pending &= ~events;
        if (!events)
            continue;
        ran++;
        sim_io_spend(io, 500);
        e->sock->ready(e->sock, events);
    }
    return ran;
}

bool sim_socks_have_work(const struct io *io)
{
    if (!list_empty(&io->ready))
        return true;
    for (struct list_node *n = list_first(&io->listeners); n; n = list_next(&io->listeners, n)) {
        const struct sim_listen *l = list_entry(n, struct sim_listen, io_link);
        if (!l->listener->paused && !list_empty(&l->backlog))
            return true;
    }
    return false;
}

// ------------------------------------------------------------------------------------------------ listeners

static enum rc listen_on(struct io *io, struct io_listener *l, const struct io_addr *addr, io_accept_fn accept)
{
    struct sim_listen *s = sim_alloc(sizeof(*s));
    *l = (struct io_listener){.io = io, .fd = -1, .accept = accept, .addr = *addr, .private_data = l->private_data};
    s->io = io;
    s->node = io->node;
    s->listener = l;
    list_init(&s->backlog);
    list_push_back(&io->sim->listeners, &s->link);
    list_push_back(&io->listeners, &s->io_link);
    return RC_OK;
}

enum rc io_listen(struct io *io, struct io_listener *l, const struct io_addr *addr, io_accept_fn accept)
{
    struct io_addr at = *addr;
    if (!io_addr_is_any(&at) && !io_addr_is_local(io, &at))
        return RC_INVALID;
    if (!at.port)
        at.port = io->node->port_next++;
    for (struct list_node *n = list_first(&io->sim->listeners); n; n = list_next(&io->sim->listeners, n)) {
        const struct sim_listen *other = list_entry(n, struct sim_listen, link);
        if (other->node == io->node && other->listener->addr.port == at.port)
            return RC_ADDRESS_IN_USE;
    }
    return listen_on(io, l, &at, accept);
}

enum rc io_listen_shared(struct io *io, struct io_listener *l, const struct io_listener *first, io_accept_fn accept)
{
    return listen_on(io, l, &first->addr, accept);
}

static struct sim_listen *listen_of(const struct io_listener *l)
{
    for (struct list_node *n = list_first(&l->io->listeners); n; n = list_next(&l->io->listeners, n)) {
        struct sim_listen *s = list_entry(n, struct sim_listen, io_link);
        if (s->listener == l)
            return s;
    }
    UNREACHABLE();
}

void io_listener_backlog(struct io_listener *l, uint32_t count)
{
    (void)l;
    (void)count;
}

void io_listener_pause(struct io_listener *l)
{
    l->paused = true;
}

void io_listener_resume(struct io_listener *l)
{
    l->paused = false;
    if (!list_empty(&listen_of(l)->backlog))
        sim_io_attention(l->io);
}

static void listen_end(struct sim_listen *s, bool silent)
{
    struct list_node *n;
    while ((n = list_pop_front(&s->backlog))) {
        struct sim_end *e = list_entry(n, struct sim_end, backlog_link);
        if (!silent)
            net_put(net_peer(e), NET_RST, NULL, 0, s->io->sim->now_ns);
        e->reset = true;
        net_settle(e->conn);
    }
    list_remove(&s->io->sim->listeners, &s->link);
    list_remove(&s->io->listeners, &s->io_link);
    sim_free(s);
}

void io_listener_close(struct io_listener *l)
{
    if (!l->io)
        return;
    listen_end(listen_of(l), false);
    l->io = NULL;
}

// ------------------------------------------------------------------------------------------------ sockets

enum rc io_sock_adopt(struct io *io, struct io_sock *s, int fd, io_ready_fn ready)
{
    struct sim_end *e = io->socks[fd].end;
    ASSERT(e && !e->sock);
    s->io = io;
    s->fd = fd;
    s->wanted = 0;
    s->ready = ready;
    e->sock = s;
    return RC_OK;
}

void io_sock_refuse(struct io *io, int fd)
{
    struct sim_end *e = io->socks[fd].end;
    ASSERT(e && !e->sock);
    slot_free(io, e);
    net_close(e, sim_io_here_ns(io));
}

enum rc io_sock_connect(struct io *io, struct io_sock *s, const struct io_addr *addr, io_ready_fn ready)
{
    struct sim_conn *c = net_connect(io->node, addr);
    struct sim_end *e = &c->ends[0];
    slot_new(io, e);
    s->io = io;
    s->fd = e->fd;
    s->wanted = 0;
    s->ready = ready;
    e->sock = s;
    net_put(&c->ends[1], NET_SYN, NULL, 0, sim_io_here_ns(io));
    sim_note(io->sim, SIM_NOTE_CONNECT, io->node, c->serial, addr->port);
    sim_io_spend(io, 8000);
    return RC_OK;
}

enum rc io_sock_error(struct io_sock *s)
{
    const struct sim_end *e = end_of(s);
    return e->failed ? RC_REFUSED : e->reset ? RC_RESET : RC_OK;
}

void io_sock_want(struct io_sock *s, unsigned events)
{
    struct sim_end *e = end_of(s);
    s->wanted = events;
    unsigned holds = 0;
    if (e->in_bytes || e->fin_in || e->reset)
        holds |= IO_READABLE;
    if (e->connected && (e->outstanding < e->window || e->reset))
        holds |= IO_WRITABLE;
    if (holds & events)
        net_ready(e, holds & events);
}

void io_sock_close(struct io_sock *s)
{
    if (!s->io)
        return;
    struct sim_end *e = end_of(s);
    sim_note(s->io->sim, SIM_NOTE_CLOSE, s->io->node, e->conn->serial, e->in_bytes);
    slot_free(s->io, e);
    s->io->closed_last = e->conn->serial;
    uint64_t here = sim_io_here_ns(s->io);
    s->io = NULL;
    s->fd = -1;
    net_close(e, here);
}

uint64_t sim_io_closed_last(const struct io *io)
{
    return io->closed_last;
}

int io_sock_release(struct io_sock *s)
{
    struct sim_end *e = end_of(s);
    if (list_node_linked(&e->ready_link))
        list_remove(&s->io->ready, &e->ready_link);
    e->sock = NULL;
    s->io = NULL;
    s->fd = -1;
    return e->fd;
}

void io_sock_shutdown(struct io_sock *s)
{
    struct sim_end *e = end_of(s);
    if (e->fin_sent || e->reset || !e->connected)
        return;
    e->fin_sent = true;
    net_put(net_peer(e), NET_FIN, NULL, 0, sim_io_here_ns(s->io));
    if (e->fin_in)
        net_ready(e, IO_HANGUP);
}

void io_sock_buffers(struct io_sock *s, uint32_t send_bytes, uint32_t receive_bytes)
{
    (void)receive_bytes;
    if (send_bytes && send_bytes < end_of(s)->window)
        end_of(s)->window = send_bytes;
}

enum rc io_sock_recv(struct io_sock *s, void *p, size_t n, size_t *got)
{
    struct sim_end *e = end_of(s);
    struct io *io = s->io;
    *got = 0;
    sim_io_spend(io, 1000);
    if (!e->in_bytes) {
        if (e->reset)
            return RC_RESET;
        return e->fin_in ? RC_EOF : RC_AGAIN;
    }
    size_t k = n < e->in_bytes ? n : e->in_bytes;
    memcpy(p, e->in + e->in_at, k);
    e->in_at += k;
    e->in_bytes -= k;
    e->consumed += k;
    *got = k;
    io->counters.recv_bytes += k;
    sim_io_spend(io, k / 16);
    sim_note(io->sim, SIM_NOTE_RECV, io->node, e->conn->serial, k);
    // The window opens for the sender as the kernel sees fit: when a good part is free, or when nothing is left.
    if (e->consumed * 2 >= net_peer(e)->window || !e->in_bytes) {
        net_put(net_peer(e), NET_SPACE, NULL, e->consumed, sim_io_here_ns(io));
        e->consumed = 0;
    }
    if (k < n && (e->fin_in || e->reset))
        net_ready(e, IO_READABLE); // a short count promises another event
    return RC_OK;
}

static enum rc send_check(const struct sim_end *e)
{
    if (e->reset || e->failed)
        return RC_RESET;
    ASSERT(!e->fin_sent); // bytes after the end of the stream
    return e->connected ? RC_OK : RC_AGAIN;
}

// Sends what the window takes of p[0..n), now and then in several packets.
static size_t send_bytes(struct sim_end *e, const uint8_t *p, size_t n)
{
    struct sim *sim = e->conn->sim;
    size_t room = e->window > e->outstanding ? e->window - e->outstanding : 0;
    size_t k = n < room ? n : room;
    e->blocked = e->blocked || k < n;
    for (size_t at = 0; at < k;) {
        size_t part = k - at;
        if (part > 1 && !sim->net_is_even && sim_chance(sim, 1, 8))
            part = sim_between(sim, 1, part - 1);
        net_put(net_peer(e), NET_DATA, p + at, part, sim_io_here_ns(e->io));
        at += part;
    }
    e->outstanding += k;
    return k;
}

enum rc io_sock_send(struct io_sock *s, const struct iovec *vecs, unsigned vec_count, size_t *sent)
{
    struct sim_end *e = end_of(s);
    *sent = 0;
    sim_io_spend(s->io, 3000);
    enum rc rc = send_check(e);
    if (rc == RC_AGAIN)
        e->blocked = true;
    if (rc)
        return rc;
    size_t asked = 0;
    for (unsigned k = 0; k < vec_count && *sent == asked; k++) {
        asked += vecs[k].iov_len;
        *sent += send_bytes(e, vecs[k].iov_base, vecs[k].iov_len);
    }
    s->io->counters.send_bytes += *sent;
    sim_io_spend(s->io, *sent / 8);
    sim_note(s->io->sim, SIM_NOTE_SEND, s->io->node, e->conn->serial, *sent);
    return *sent || !asked ? RC_OK : RC_AGAIN;
}

void io_sock_cork(struct io_sock *s, bool on)
{
    (void)s, (void)on; // how bytes are cut into packets is the network's to draw
}

enum rc io_sock_send_file(struct io_sock *s, struct io_file *f, uint64_t offset, size_t n, size_t *sent)
{
    struct sim_end *e = end_of(s);
    struct io *io = s->io;
    struct sim_inode *i = io->node->files[f->fd].inode;
    *sent = 0;
    sim_io_spend(io, 3000);
    enum rc rc = send_check(e);
    if (rc == RC_AGAIN)
        e->blocked = true;
    if (rc)
        return rc;
    ASSERT(i && !i->is_dir);
    if (offset >= i->bytes)
        return RC_EOF;
    if (n > i->bytes - offset)
        n = (size_t)(i->bytes - offset);
    if (!sim_inode_resident(i, offset, n))
        sim_io_spend(io, sim_latency(io->sim, 300 * SIM_US)); // a cold sendfile blocks the loop
    sim_inode_load(i, offset, n);
    *sent = send_bytes(e, i->p + offset, n);
    io->counters.send_file_bytes += *sent;
    sim_note(io->sim, SIM_NOTE_SEND, io->node, e->conn->serial, *sent);
    return *sent ? RC_OK : RC_AGAIN;
}

void sim_socks_end(struct io *io, bool silent)
{
    struct list_node *n;
    while ((n = list_first(&io->listeners)))
        listen_end(list_entry(n, struct sim_listen, io_link), silent);
    for (uint32_t k = 0; k < io->sock_cap; k++) {
        struct sim_end *e = io->socks[k].end;
        if (!e)
            continue;
        slot_free(io, e);
        if (silent)
            net_vanish(e);
        else
            net_close(e, io->sim->now_ns);
    }
    sim_free(io->socks);
    io->socks = NULL;
    io->sock_cap = 0;
}
