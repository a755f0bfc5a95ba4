// SPDX-License-Identifier: Apache-2.0
//
// A fetcher's connection to the peer port of the node it follows: Hello in both directions, then Kafka's Fetch. An
// answer is received into one buffer of its length, in which its records stay until they are appended.
#include "engine/fetcher_core.h"

#include <stdio.h>
#include <string.h>

#include "engine/peers.h"
#include "model/kerr.h"

enum {
    DIAL_TIMEOUT_MS = 3000,
    BACKOFF_MS = 50,
    ANSWER_BYTES_MAX = 256 << 20,
    ANSWER_GRACE_MS = 10000, // beyond the long poll
    IN_BYTES_LEAST = 4096,
    IN_BYTES_GUESS = 1 << 20, // longer ones are received in two parts
};

static void timer_due(struct shard_timer *t);

static void timer_in(struct fetcher *f, uint64_t ms)
{
    struct shard *s = f->es->shard;
    shard_timer_set(s, &f->timer, shard_now_ns(s) + ms * 1000000, timer_due);
}

int64_t fetcher_broker_epoch(const struct fetcher *f)
{
    const struct image_node *n = image_node(engine_image(f->es), f->es->engine->config.node_id);
    return n ? n->broker_epoch : -1;
}

void fetcher_close(struct fetcher *f)
{
    struct io *io = f->es->shard->io;
    if (f->open)
        io_sock_close(&f->sock);
    f->open = false;
    if (f->in)
        io_buffer_release(io, f->in, f->in_cap);
    f->in = NULL;
    f->in_have = 0;
    f->hurried = false;
}

void fetcher_down(struct fetcher *f, enum rc rc)
{
    struct trace_sink *trace = f->es->engine->config.trace;
    if (f->failures == 0)
        trace_info(trace, "fetching from node %d: %s; again soon", f->leader, rc_text(rc));
    fetcher_close(f);
    fetcher_session_begin(f);
    f->asked_count = 0;
    f->state = FETCHER_DOWN;
    uint64_t ms = (uint64_t)BACKOFF_MS << (f->failures < 5 ? f->failures : 5);
    f->failures++;
    uint64_t most = f->es->engine->replica_backoff_ms_max;
    timer_in(f, ms < most ? ms : most);
}

static void timer_due(struct shard_timer *t)
{
    struct fetcher *f = container_of(t, struct fetcher, timer);
    if (f->state == FETCHER_DOWN)
        shard_defer(f->es->shard, &f->task, fetcher_task);
    else if (f->state != FETCHER_APPENDING && f->state != FETCHER_READY)
        fetcher_down(f, RC_TIMED_OUT);
}

// ------------------------------------------------------------------------------------------------ sending

// How long the answer to what was asked may take.
static uint64_t answer_ms(const struct fetcher *f)
{
    uint64_t most = (uint64_t)f->es->engine->replica_answer_ms_max, ms = (uint64_t)f->wait_ms + ANSWER_GRACE_MS;
    return ms < most ? ms : most;
}

void fetcher_send(struct fetcher *f)
{
    while (f->out_sent < f->out.n) {
        struct iovec v = {.iov_base = f->out.p + f->out_sent, .iov_len = f->out.n - f->out_sent};
        size_t sent = 0;
        enum rc rc = io_sock_send(&f->sock, &v, 1, &sent);
        if (rc == RC_AGAIN || (rc == RC_OK && sent == 0)) {
            io_sock_want(&f->sock, IO_READABLE | IO_WRITABLE);
            return;
        }
        if (rc != RC_OK) {
            fetcher_down(f, rc);
            return;
        }
        f->out_sent += sent;
    }
    io_sock_want(&f->sock, IO_READABLE);
    if (f->state == FETCHER_READY) // an answer came before the last of what hurried it was sent
        shard_defer(f->es->shard, &f->task, fetcher_task);
    else if (f->state == FETCHER_ASKING)
        timer_in(f, answer_ms(f));
}

static enum rc hello_build(struct fetcher *f, struct buf *out)
{
    struct engine *e = f->es->engine;
    const struct quorum_identity *id = quorum_identity(e->quorum);
    struct peer_hello h = {.node = e->config.node_id,
                           .directory = id->directory,
                           .incarnation = id->incarnation,
                           .broker_epoch = fetcher_broker_epoch(f),
                           .standing = PEER_FORMED,
                           .purpose = PEER_FETCHES,
                           .wall_ms = io_wall_ms(f->es->shard->io)};
    struct hello_request m;
    struct arena a;
    snprintf(h.cluster_id, sizeof(h.cluster_id), "%s", id->cluster_id);
    arena_init(&a, 1 << 16, NULL, 0);
    enum rc rc = peer_hello_encode(&h, &a, &m);
    if (rc == RC_OK)
        rc = peer_frame_build(&hello_request_message, 0, &m, out);
    arena_deinit(&a);
    return rc;
}

// ------------------------------------------------------------------------------------------------ receiving

// The other side's first frame: its Hello, or why it will not talk.
static void greeted(struct fetcher *f, struct bytes frame)
{
    struct peer_frame in;
    if (peer_frame_parse(frame, &in) != RC_OK || in.key != hello_request_message.key) {
        fetcher_down(f, RC_REFUSED);
        return;
    }
    f->state = FETCHER_READY;
    shard_timer_cancel(f->es->shard, &f->timer);
    fetcher_session_begin(f);
    shard_defer(f->es->shard, &f->task, fetcher_task);
}

// The answer to the empty Fetch says nothing; it comes behind the one it hurried.
static bool answer_to_hurry(struct fetcher *f, struct bytes frame)
{
    if (!f->hurried || (int32_t)be32(frame.p) != FETCHER_HURRY_CORRELATION)
        return false;
    f->hurried = false;
    if (f->urgent) // more came meanwhile
        shard_defer(f->es->shard, &f->task, fetcher_task);
    return true;
}

// True: there may be more to receive. False: one answer at a time; the next question is still to be asked.
static bool frame_whole(struct fetcher *f, struct bytes frame, uint8_t *buffer_owned, size_t buffer_bytes)
{
    if (f->state == FETCHER_ASKING && !answer_to_hurry(f, frame)) {
        shard_timer_cancel(f->es->shard, &f->timer);
        fetcher_answered(f, frame, buffer_owned, buffer_bytes);
        return f->hurried;
    }
    bool more = false;
    if (f->state == FETCHER_GREETING)
        greeted(f, frame);
    else if (f->state == FETCHER_ASKING || answer_to_hurry(f, frame))
        more = true;
    else
        fetcher_down(f, RC_MALFORMED); // it says something that nobody asked for
    io_buffer_release(f->es->shard->io, buffer_owned, buffer_bytes);
    return more;
}

// A buffer for the frame that has begun or will, of at least so many bytes; what has come of it moves over. False: memory
// is short, the connection is down.
static bool buffer_make(struct fetcher *f, size_t bytes, const uint8_t *begun, size_t begun_bytes)
{
    uint8_t *p = io_buffer_acquire(f->es->shard->io, bytes);
    if (p && begun_bytes)
        memcpy(p, begun, begun_bytes);
    if (f->in)
        io_buffer_release(f->es->shard->io, f->in, f->in_cap);
    f->in = p;
    f->in_cap = bytes;
    f->in_have = begun_bytes;
    if (!p)
        fetcher_down(f, RC_NOMEM);
    return p != NULL;
}

// Hands over what is whole. False: nothing more is to be received now.
static bool frames_take(struct fetcher *f)
{
    while (f->open && f->in_have >= 4) {
        size_t n = be32(f->in);
        size_t most = f->state == FETCHER_GREETING ? (size_t)PEER_HELLO_BYTES_MAX : (size_t)ANSWER_BYTES_MAX;
        if (n < 4 || n > most) {
            fetcher_down(f, RC_MALFORMED);
            return false;
        }
        if (f->in_have < 4 + n)
            return 4 + n <= f->in_cap || buffer_make(f, 4 + n, f->in, f->in_have);
        uint8_t *buffer = f->in;
        size_t buffer_bytes = f->in_cap, rest = f->in_have - (4 + n);
        f->in = NULL;
        f->in_have = 0;
        f->in_last = 4 + n;
        if (rest && !buffer_make(f, rest > IN_BYTES_LEAST ? rest : IN_BYTES_LEAST, buffer + 4 + n, rest)) {
            io_buffer_release(f->es->shard->io, buffer, buffer_bytes);
            return false;
        }
        if (!frame_whole(f, bytes_of(buffer + 4, n), buffer, buffer_bytes))
            return false;
    }
    return f->open;
}

// A frame's length and the frame come in one call when it is no longer than the last one was.
static void receive(struct fetcher *f)
{
    for (size_t budget = 8 * (size_t)TURN_READ_BYTES_MAX; f->open && budget > 0;) {
        size_t guess = f->in_last < IN_BYTES_LEAST ? IN_BYTES_LEAST : f->in_last;
        if (!f->in && !buffer_make(f, guess < IN_BYTES_GUESS ? guess : IN_BYTES_GUESS, NULL, 0))
            return;
        size_t want = f->in_cap - f->in_have, got = 0;
        enum rc rc = io_sock_recv(&f->sock, f->in + f->in_have, want, &got);
        if (rc != RC_OK) {
            if (f->in_have == 0) { // nothing is held between frames
                io_buffer_release(f->es->shard->io, f->in, f->in_cap);
                f->in = NULL;
            }
            if (rc != RC_AGAIN)
                fetcher_down(f, rc);
            return;
        }
        budget -= got < budget ? got : budget;
        f->in_have += got;
        if (!frames_take(f) || got < want)
            return;
    }
    if (f->open)
        io_sock_want(&f->sock, IO_READABLE); // the rest in the next turn
}

static void on_ready(struct io_sock *sock, unsigned events)
{
    struct fetcher *f = container_of(sock, struct fetcher, sock);
    if (f->state == FETCHER_CONNECTING) {
        if (events & IO_HANGUP) {
            enum rc rc = io_sock_error(&f->sock);
            fetcher_down(f, rc == RC_OK ? RC_RESET : rc);
        } else if (events & IO_WRITABLE) {
            f->state = FETCHER_GREETING;
            fetcher_send(f);
        }
        return;
    }
    if (events & IO_WRITABLE)
        fetcher_send(f);
    if (f->open && (events & (IO_READABLE | IO_HANGUP)))
        receive(f);
}

void fetcher_dial(struct fetcher *f)
{
    struct io_addr addr;
    buf_deinit(&f->out);
    buf_init(&f->out, PEER_HELLO_BYTES_MAX);
    f->out_sent = 0;
    enum rc rc = engine_peer_address(f->es, f->leader, f->failures, &addr) ? hello_build(f, &f->out) : RC_UNREACHABLE;
    if (rc == RC_OK)
        rc = io_sock_connect(f->es->shard->io, &f->sock, &addr, on_ready);
    if (rc != RC_OK) {
        fetcher_down(f, rc);
        return;
    }
    io_sock_buffers(&f->sock, 0, f->es->engine->replica_receive_buffer_bytes);
    f->open = true;
    f->state = FETCHER_CONNECTING;
    io_sock_want(&f->sock, IO_WRITABLE);
    timer_in(f, DIAL_TIMEOUT_MS);
}
