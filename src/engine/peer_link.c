// SPDX-License-Identifier: Apache-2.0
//
// Frames over one socket; see peer_link.h.
#include "engine/peer_link.h"

#include <stdlib.h>

#include "model/limits.h"

enum { LENGTH_BYTES = 4, READ_BYTES = 16 << 10, KEPT_BYTES = 64 << 10, GATHER_MAX = 32 };

struct peer_outgoing {
    struct list_node link;
    enum peer_class class;
    struct buf bytes; // length, header and message
    size_t sent;
};

// ---- out ----

static void outgoing_free(struct peer_outgoing *o)
{
    buf_deinit(&o->bytes);
    free(o);
}

enum rc peer_frame_build(const struct schema_message *m, int32_t correlation, const void *message, struct buf *b)
{
    struct enc e;
    enc_init(&e, b, NULL, 0);
    enc_i32(&e, 0);
    enc_i16(&e, m->key);
    enc_i16(&e, m->version_max);
    enc_i32(&e, correlation);
    enc_string(&e, (struct bytes){0}, false, true);
    enc_uvarint(&e, 0);
    schema_encode(m, &e, m->version_max, message);
    if (!enc_ok(&e))
        return b->n >= PEER_BULK_BYTES_MAX ? RC_MESSAGE_TOO_LARGE : RC_NOMEM;
    put_be32(b->p, (uint32_t)(b->n - LENGTH_BYTES));
    return RC_OK;
}

static void flush_task(struct shard_task *t);

enum rc peer_link_send(struct peer_link *l, const struct schema_message *m, int32_t correlation, const void *message,
                       enum peer_class class)
{
    if (!l->open || l->finishing)
        return RC_CLOSED;
    size_t most = class == PEER_URGENT ? PEER_URGENT_BYTES_MAX : PEER_BULK_BYTES_MAX;
    if (l->out_bytes[class] >= most)
        return RC_FULL;
    struct peer_outgoing *o = calloc(1, sizeof(*o));
    if (!o)
        return RC_NOMEM;
    o->class = class;
    buf_init(&o->bytes, PEER_FRAME_BYTES_MAX + LENGTH_BYTES);
    enum rc rc = peer_frame_build(m, correlation, message, &o->bytes);
    if (rc != RC_OK) {
        outgoing_free(o);
        return rc;
    }
    l->out_bytes[class] += o->bytes.n;
    list_push_back(&l->out[class], &o->link);
    if (!l->connecting)
        shard_defer(l->shard, &l->flush, flush_task);
    return RC_OK;
}

// True when everything has left.
static bool peer_link_is_idle(const struct peer_link *l)
{
    return !l->leaving && list_empty(&l->out[PEER_URGENT]) && list_empty(&l->out[PEER_BULK]);
}

static void out_drop(struct peer_link *l)
{
    if (l->leaving)
        outgoing_free(l->leaving);
    l->leaving = NULL;
    for (int c = 0; c < PEER_CLASSES; c++) {
        while (!list_empty(&l->out[c]))
            outgoing_free(list_entry(list_pop_front(&l->out[c]), struct peer_outgoing, link));
        l->out_bytes[c] = 0;
    }
}

// The frames that go next, in order; at least one is there.
static unsigned gather(struct peer_link *l, struct iovec vecs[GATHER_MAX])
{
    unsigned n = 0;
    if (l->leaving)
        vecs[n++] = (struct iovec){.iov_base = l->leaving->bytes.p + l->leaving->sent,
                                   .iov_len = l->leaving->bytes.n - l->leaving->sent};
    for (int c = 0; c < PEER_CLASSES; c++)
        for (struct list_node *at = list_first(&l->out[c]); at && n < GATHER_MAX; at = list_next(&l->out[c], at)) {
            struct peer_outgoing *o = list_entry(at, struct peer_outgoing, link);
            vecs[n++] = (struct iovec){.iov_base = o->bytes.p, .iov_len = o->bytes.n};
        }
    return n;
}

static struct peer_outgoing *out_next(struct peer_link *l)
{
    if (l->leaving)
        return l->leaving;
    int c = list_empty(&l->out[PEER_URGENT]) ? PEER_BULK : PEER_URGENT;
    l->leaving = list_entry(list_pop_front(&l->out[c]), struct peer_outgoing, link);
    return l->leaving;
}

static void advance(struct peer_link *l, size_t sent)
{
    while (sent > 0) {
        struct peer_outgoing *o = out_next(l);
        size_t n = o->bytes.n - o->sent < sent ? o->bytes.n - o->sent : sent;
        o->sent += n;
        sent -= n;
        if (o->sent < o->bytes.n)
            return;
        l->out_bytes[o->class] -= o->bytes.n;
        l->leaving = NULL;
        outgoing_free(o);
    }
}

static void end(struct peer_link *l, enum rc rc)
{
    bool finishing = l->finishing;
    peer_link_close(l);
    if (!finishing)
        l->hooks->ended(l, rc);
}

static void flush_task(struct shard_task *t)
{
    struct peer_link *l = container_of(t, struct peer_link, flush);
    size_t budget = TURN_WRITE_BYTES_MAX;
    while (!peer_link_is_idle(l) && budget > 0) {
        struct iovec vecs[GATHER_MAX];
        size_t sent = 0;
        enum rc rc = io_sock_send(&l->sock, vecs, gather(l, vecs), &sent);
        if (rc == RC_AGAIN || (rc == RC_OK && sent == 0)) {
            io_sock_want(&l->sock, IO_READABLE | IO_WRITABLE);
            return;
        }
        if (rc != RC_OK) {
            end(l, rc);
            return;
        }
        advance(l, sent);
        budget -= sent < budget ? sent : budget;
    }
    if (!peer_link_is_idle(l))
        io_sock_want(&l->sock, IO_READABLE | IO_WRITABLE); // the rest in a coming turn
    else if (l->finishing)
        peer_link_close(l);
    else
        io_sock_want(&l->sock, IO_READABLE);
}

// ---- in ----

enum rc peer_frame_parse(struct bytes in, struct peer_frame *out)
{
    struct dec d = dec_of(in);
    out->key = dec_i16(&d);
    out->version = dec_i16(&d);
    out->correlation = dec_i32(&d);
    dec_string(&d, false, true);
    dec_skip_tags(&d);
    out->body = bytes_of(d.p, d.bad ? 0 : dec_left(&d));
    return d.bad ? RC_MALFORMED : RC_OK;
}

// Hands over every whole frame. False: the link was closed meanwhile.
static bool frames_take(struct peer_link *l)
{
    size_t at = 0;
    while (l->in.n - at >= LENGTH_BYTES) {
        size_t n = be32(l->in.p + at);
        struct peer_frame f;
        if (n > l->frame_bytes_max) {
            end(l, RC_MALFORMED);
            return false;
        }
        if (l->in.n - at - LENGTH_BYTES < n)
            break;
        if (peer_frame_parse(bytes_of(l->in.p + at + LENGTH_BYTES, n), &f) != RC_OK) {
            end(l, RC_MALFORMED);
            return false;
        }
        l->hooks->frame(l, &f);
        if (!l->open || l->finishing)
            return false;
        at += LENGTH_BYTES + n;
    }
    if (at > 0 && at < l->in.n)
        memmove(l->in.p, l->in.p + at, l->in.n - at);
    l->in.n -= at;
    if (l->in.n == 0 && l->in.cap > KEPT_BYTES)
        buf_deinit(&l->in), buf_init(&l->in, (size_t)PEER_FRAME_BYTES_MAX + READ_BYTES + LENGTH_BYTES);
    return true;
}

static void read_task(struct shard_task *t)
{
    struct peer_link *l = container_of(t, struct peer_link, reading);
    for (size_t budget = TURN_READ_BYTES_MAX; l->open && !l->finishing && budget > 0;) {
        size_t had = l->in.n, got = 0;
        uint8_t *p = buf_extend(&l->in, READ_BYTES);
        if (!p) {
            end(l, RC_NOMEM);
            return;
        }
        l->in.n = had;
        enum rc rc = io_sock_recv(&l->sock, p, READ_BYTES, &got);
        if (rc == RC_AGAIN)
            return;
        if (rc != RC_OK) {
            end(l, rc);
            return;
        }
        l->in.n = had + got;
        budget -= got < budget ? got : budget;
        if (!frames_take(l))
            return;
        if (got < READ_BYTES)
            return; // the event will come
    }
    if (l->open && !l->finishing)
        io_sock_want(&l->sock, IO_READABLE | (peer_link_is_idle(l) ? 0u : (unsigned)IO_WRITABLE)); // more: next turn
}

static void on_ready(struct io_sock *sock, unsigned events)
{
    struct peer_link *l = container_of(sock, struct peer_link, sock);
    if (l->connecting) {
        if (events & IO_HANGUP) {
            enum rc rc = io_sock_error(&l->sock);
            end(l, rc == RC_OK ? RC_RESET : rc);
            return;
        }
        if (!(events & IO_WRITABLE))
            return;
        l->connecting = false;
        io_sock_want(&l->sock, IO_READABLE);
        l->hooks->stands(l);
        if (l->open)
            shard_defer(l->shard, &l->flush, flush_task);
        return;
    }
    if (events & IO_WRITABLE)
        shard_defer(l->shard, &l->flush, flush_task);
    if (l->finishing && (events & IO_HANGUP)) {
        peer_link_close(l);
        return;
    }
    if ((events & (IO_READABLE | IO_HANGUP)) && !l->finishing)
        shard_defer(l->shard, &l->reading, read_task);
}

// ---- life ----

static void link_init(struct peer_link *l, struct shard *s, const struct peer_link_hooks *hooks)
{
    ASSERT(!l->open);
    *l = (struct peer_link){.shard = s, .hooks = hooks, .frame_bytes_max = PEER_HELLO_BYTES_MAX};
    buf_init(&l->in, (size_t)PEER_FRAME_BYTES_MAX + READ_BYTES + LENGTH_BYTES);
    for (int c = 0; c < PEER_CLASSES; c++)
        list_init(&l->out[c]);
}

enum rc peer_link_connect(struct peer_link *l, struct shard *s, const struct peer_link_hooks *hooks,
                          const struct io_addr *addr)
{
    link_init(l, s, hooks);
    enum rc rc = io_sock_connect(s->io, &l->sock, addr, on_ready);
    if (rc != RC_OK)
        return rc;
    l->open = l->connecting = true;
    io_sock_want(&l->sock, IO_WRITABLE);
    return RC_OK;
}

enum rc peer_link_accept(struct peer_link *l, struct shard *s, const struct peer_link_hooks *hooks, int fd)
{
    link_init(l, s, hooks);
    enum rc rc = io_sock_adopt(s->io, &l->sock, fd, on_ready);
    if (rc != RC_OK)
        return rc;
    l->open = true;
    io_sock_want(&l->sock, IO_READABLE);
    return RC_OK;
}

void peer_link_close(struct peer_link *l)
{
    if (!l->open)
        return;
    l->open = l->connecting = false;
    shard_defer_cancel(l->shard, &l->flush);
    shard_defer_cancel(l->shard, &l->reading);
    io_sock_close(&l->sock);
    out_drop(l);
    buf_deinit(&l->in);
}

int peer_link_release(struct peer_link *l)
{
    if (l->open && !l->connecting && !peer_link_is_idle(l))
        flush_task(&l->flush);
    if (!l->open || l->connecting || !peer_link_is_idle(l)) {
        peer_link_close(l);
        return -1;
    }
    int fd = io_sock_release(&l->sock);
    l->open = false;
    shard_defer_cancel(l->shard, &l->flush);
    shard_defer_cancel(l->shard, &l->reading);
    out_drop(l);
    buf_deinit(&l->in);
    return fd;
}

void peer_link_finish(struct peer_link *l)
{
    if (!l->open || l->finishing)
        return;
    l->finishing = true;
    shard_defer_cancel(l->shard, &l->reading);
    if (peer_link_is_idle(l))
        peer_link_close(l);
    else
        shard_defer(l->shard, &l->flush, flush_task);
}
