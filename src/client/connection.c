// SPDX-License-Identifier: Apache-2.0
//
// State: DOWN -> CONNECTING -> ASKING -> UP, and from anywhere back to DOWN by connection_break(). One timer serves
// connect, backoff and the oldest request's deadline.
#include "client/connection.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

static void on_ready(struct io_sock *s, unsigned events);
static void on_timer(struct shard_timer *t);
static void connection_start(struct client_connection *c);
static void connection_break(struct client_connection *c, enum rc rc);

void client_connection_init(struct client_connection *c, struct shard *shard, const char *host, uint16_t port,
                            const char *client_id, const char *software_version)
{
    *c = (struct client_connection){.shard = shard,
                                    .port = port,
                                    .client_id = client_id,
                                    .software_version = software_version,
                                    .connect_timeout_ms = 10000};
    snprintf(c->host, sizeof(c->host), "%s", host);
    list_init(&c->waiting);
    list_init(&c->unsent);
    list_init(&c->sent);
    for (int i = 0; i < CLIENT_API_KEYS_MAX; i++)
        c->versions[i] = (struct client_versions){.min = 0, .max = -1};
    client_request_init(&c->hello, &api_versions_request_message, c->connect_timeout_ms);
}

// ------------------------------------------------------------------------------------------------ time

static struct client_request *first_of(const struct list *l)
{
    struct list_node *n = list_first(l);
    return n ? list_entry(n, struct client_request, link) : NULL;
}

// The timer stands at or before the earliest thing that can fall due; it looks again when it fires.
static void arm(struct client_connection *c)
{
    uint64_t due = c->state_deadline_ns ? c->state_deadline_ns : UINT64_MAX;
    const struct list *lists[] = {&c->sent, &c->unsent, &c->waiting};
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        struct client_request *r = first_of(lists[i]);
        if (r && r->deadline_ns < due)
            due = r->deadline_ns;
    }
    if (due == UINT64_MAX)
        return;
    if (shard_timer_is_set(&c->timer) && c->timer.node.key <= due)
        return;
    if (shard_timer_set(c->shard, &c->timer, due, on_timer) != RC_OK)
        c->last_error = RC_NOMEM; // requests then have no deadline; the peer's end still ends them
}

static void give_back(struct client_connection *c, struct list *l, struct client_request *r, enum rc rc,
                      struct bytes body)
{
    list_remove(l, &r->link);
    r->busy = false;
    if (r != &c->hello)
        c->in_flight--;
    r->done(r, rc, body);
}

// Fails what waits, whose order nobody relies on, when its time is up.
static void expire_waiting(struct client_connection *c, uint64_t now)
{
    for (struct client_request *r = first_of(&c->waiting); r && r->deadline_ns <= now; r = first_of(&c->waiting))
        give_back(c, &c->waiting, r, RC_TIMED_OUT, bytes_of(NULL, 0));
}

static void on_timer(struct shard_timer *t)
{
    struct client_connection *c = container_of(t, struct client_connection, timer);
    uint64_t now = shard_now_ns(c->shard);
    struct client_request *oldest = first_of(&c->sent) ? first_of(&c->sent) : first_of(&c->unsent);
    expire_waiting(c, now);
    if (c->state == CLIENT_DOWN && c->state_deadline_ns && c->state_deadline_ns <= now) {
        c->state_deadline_ns = 0;
        if (!list_empty(&c->waiting))
            connection_start(c);
    } else if (c->state_deadline_ns && c->state_deadline_ns <= now) {
        connection_break(c, RC_TIMED_OUT);
    } else if (oldest && oldest->deadline_ns <= now) {
        connection_break(c, RC_TIMED_OUT);
    }
    arm(c);
}

// ------------------------------------------------------------------------------------------------ ending

static void give_all_back(struct client_connection *c, enum rc rc)
{
    struct list *lists[] = {&c->sent, &c->unsent, &c->waiting};
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        // Only what is there now: a done() may submit again.
        for (size_t n = lists[i]->count; n > 0; n--) {
            struct client_request *r = first_of(lists[i]);
            give_back(c, lists[i], r, rc, bytes_of(NULL, 0));
        }
    }
}

static void close_socket(struct client_connection *c)
{
    if (c->socket_open)
        io_sock_close(&c->sock);
    c->socket_open = false;
    shard_defer_cancel(c->shard, &c->flush);
    free(c->receive);
    c->receive = NULL;
    c->receive_bytes = c->receive_at = c->receive_cap = 0;
}

static void connection_break(struct client_connection *c, enum rc rc)
{
    bool was_up = c->state == CLIENT_UP;
    close_socket(c);
    c->state = CLIENT_DOWN;
    c->last_error = rc;
    c->backoff_ms = was_up || !c->backoff_ms ? CLIENT_BACKOFF_MS : c->backoff_ms * 2;
    if (c->backoff_ms > CLIENT_BACKOFF_MS_MAX)
        c->backoff_ms = CLIENT_BACKOFF_MS_MAX;
    // A fifth of jitter keeps many clients of one fallen broker apart.
    uint64_t ns = (uint64_t)c->backoff_ms * 1000000;
    c->state_deadline_ns = shard_now_ns(c->shard) + ns - prng_below(&c->shard->prng, ns / 5);
    give_all_back(c, rc);
    arm(c);
}

static void on_fail(struct shard_task *t)
{
    struct client_connection *c = container_of(t, struct client_connection, fail);
    if (c->state != CLIENT_DOWN)
        connection_break(c, c->last_error);
}

// Breaks the connection at the end of the turn: for errors found where no done() may run.
static void break_later(struct client_connection *c, enum rc rc)
{
    c->last_error = rc;
    shard_defer(c->shard, &c->fail, on_fail);
}

void client_connection_deinit(struct client_connection *c)
{
    c->closing = true;
    close_socket(c);
    c->state = CLIENT_DOWN;
    give_all_back(c, RC_CLOSED);
    shard_timer_cancel(c->shard, &c->timer);
    shard_defer_cancel(c->shard, &c->fail);
    client_request_deinit(&c->hello);
}

// ------------------------------------------------------------------------------------------------ sending

static unsigned gather(struct client_connection *c, struct iovec *vecs)
{
    unsigned count = 0;
    for (struct list_node *n = list_first(&c->unsent); n; n = list_next(&c->unsent, n)) {
        const struct client_request *r = list_entry(n, struct client_request, link);
        if (count > 0 && 2 * (uint64_t)r->hole_count + 1 > IO_VECS_MAX - count)
            break; // only the first may be taken in part
        count += client_request_vecs(r, vecs + count, IO_VECS_MAX - count);
    }
    return count;
}

// Moves what was sent whole from unsent to sent.
static void advance(struct client_connection *c, size_t sent)
{
    c->sent_bytes += sent;
    while (sent > 0) {
        struct client_request *r = first_of(&c->unsent);
        ASSERT(r);
        size_t left = r->wire_bytes - r->sent_bytes;
        size_t n = sent < left ? sent : left;
        r->sent_bytes += n;
        sent -= n;
        if (n < left)
            return;
        if (r->no_answer) {
            give_back(c, &c->unsent, r, RC_OK, bytes_of(NULL, 0));
        } else {
            list_remove(&c->unsent, &r->link);
            list_push_back(&c->sent, &r->link);
        }
    }
}

static void on_flush(struct shard_task *t);

// Encodes r behind what is unsent.
static enum rc put_on_wire(struct client_connection *c, struct client_request *r)
{
    c->correlation_id = c->correlation_id == INT32_MAX ? 1 : c->correlation_id + 1;
    enum rc rc = client_request_encode(r, c->correlation_id, bytes_str(c->client_id));
    if (rc != RC_OK)
        return rc;
    list_push_back(&c->unsent, &r->link);
    shard_defer(c->shard, &c->flush, on_flush);
    return RC_OK;
}

// The newest version that caller, message table and broker share.
static enum rc choose_version(const struct client_connection *c, struct client_request *r)
{
    const struct schema_message *m = r->message;
    if (m->key < 0 || m->key >= CLIENT_API_KEYS_MAX)
        return RC_UNSUPPORTED_VERSION;
    struct client_versions v = c->versions[m->key];
    int16_t best = r->version_max < (int16_t)m->version_max ? r->version_max : (int16_t)m->version_max;
    best = best < v.max ? best : v.max;
    if (v.max < 0 || best < v.min || best < (int16_t)m->version_min)
        return RC_UNSUPPORTED_VERSION;
    r->version = best;
    return RC_OK;
}

static void send_waiting(struct client_connection *c)
{
    for (size_t n = c->waiting.count; n > 0; n--) {
        struct client_request *r = first_of(&c->waiting);
        enum rc rc = choose_version(c, r);
        if (rc == RC_OK) {
            list_remove(&c->waiting, &r->link);
            rc = put_on_wire(c, r);
            if (rc != RC_OK)
                list_push_front(&c->waiting, &r->link);
        }
        if (rc != RC_OK)
            give_back(c, &c->waiting, r, rc, bytes_of(NULL, 0));
    }
}

// Sends what it can. RC_AGAIN: the socket takes no more now.
static enum rc send_unsent(struct client_connection *c)
{
    struct iovec vecs[IO_VECS_MAX];
    while (c->socket_open && !list_empty(&c->unsent)) {
        size_t sent = 0;
        enum rc rc = io_sock_send(&c->sock, vecs, gather(c, vecs), &sent);
        if (rc == RC_AGAIN) {
            io_sock_want(&c->sock, IO_READABLE | IO_WRITABLE);
            return rc;
        }
        if (rc != RC_OK)
            return rc;
        advance(c, sent);
    }
    if (c->socket_open && c->state != CLIENT_CONNECTING)
        io_sock_want(&c->sock, IO_READABLE);
    return RC_OK;
}

static void on_flush(struct shard_task *t)
{
    struct client_connection *c = container_of(t, struct client_connection, flush);
    if (c->state == CLIENT_UP)
        send_waiting(c);
    enum rc rc = send_unsent(c);
    if (rc != RC_OK && rc != RC_AGAIN)
        connection_break(c, rc);
}

void client_connection_push(struct client_connection *c)
{
    if (c->state != CLIENT_UP)
        return;
    send_waiting(c);
    enum rc rc = send_unsent(c);
    if (rc != RC_OK && rc != RC_AGAIN)
        break_later(c, rc);
}

void client_connection_submit(struct client_connection *c, struct client_request *r)
{
    ASSERT(!r->busy && r->done);
    r->busy = true;
    r->deadline_ns = shard_now_ns(c->shard) + (uint64_t)r->timeout_ms * 1000000;
    c->in_flight++;
    list_push_back(&c->waiting, &r->link);
    if (c->state == CLIENT_UP)
        shard_defer(c->shard, &c->flush, on_flush);
    else if (c->state == CLIENT_DOWN && !c->state_deadline_ns && !c->closing)
        connection_start(c);
    arm(c);
}

// ------------------------------------------------------------------------------------------------ hello

static void ask_versions(struct client_connection *c, int16_t version);

static void take_versions(struct client_connection *c, const struct api_versions_response *answer)
{
    for (uint32_t i = 0; i < answer->api_keys_count; i++) {
        int16_t key = answer->api_keys[i].api_key;
        if (key >= 0 && key < CLIENT_API_KEYS_MAX)
            c->versions[key] = (struct client_versions){.min = answer->api_keys[i].min_version,
                                                        .max = answer->api_keys[i].max_version};
    }
}

static void on_hello(struct client_request *r, enum rc rc, struct bytes body)
{
    struct client_connection *c = container_of(r, struct client_connection, hello);
    struct api_versions_response answer;
    _Alignas(16) uint8_t scratch[16384];
    struct arena a;
    if (rc != RC_OK)
        return; // the connection is being broken
    arena_init(&a, 1 << 20, scratch, sizeof(scratch));
    struct dec d = dec_of(body);
    bool refused = body.n >= 2 && be16(body.p) == 35;
    // A broker older than the version asked for answers in version 0 and names its own range (KIP-511).
    rc = api_versions_response_decode(&d, refused ? 0 : r->version, &a, &answer);
    if (rc == RC_OK)
        take_versions(c, &answer);
    int16_t next = 0;
    if (refused && c->versions[18].max > 0)
        next = c->versions[18].max;
    if (rc != RC_OK || (refused && next >= r->version)) {
        break_later(c, rc != RC_OK ? rc : RC_UNSUPPORTED_VERSION);
    } else if (refused) {
        ask_versions(c, next);
    } else if (answer.error_code) {
        break_later(c, RC_INVALID_REQUEST);
    } else {
        c->state = CLIENT_UP;
        c->state_deadline_ns = 0;
        c->backoff_ms = 0;
        c->last_error = RC_OK;
        shard_defer(c->shard, &c->flush, on_flush);
    }
    arena_deinit(&a);
}

// Brokers accept letters, digits, '.' and '-', ending in one of the first two (KIP-511).
static struct bytes plain_version(const char *text)
{
    static const char ends[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t n = 0, good = 0;
    for (; text[n] && (strchr(ends, text[n]) || text[n] == '.' || text[n] == '-'); n++)
        if (strchr(ends, text[n]))
            good = n + 1;
    return good ? bytes_of(text, good) : bytes_str("0");
}

static void ask_versions(struct client_connection *c, int16_t version)
{
    api_versions_request_init(&c->hello_in);
    c->hello_in.client_software_name = bytes_str("weir");
    c->hello_in.client_software_version = plain_version(c->software_version);
    c->hello.in = &c->hello_in;
    c->hello.done = on_hello;
    c->hello.version = version;
    c->hello.busy = true;
    c->hello.deadline_ns = c->state_deadline_ns;
    enum rc rc = put_on_wire(c, &c->hello);
    if (rc != RC_OK) {
        c->hello.busy = false;
        break_later(c, rc);
    }
}

static void connection_start(struct client_connection *c)
{
    uint64_t now = shard_now_ns(c->shard);
    ASSERT(c->state == CLIENT_DOWN && !c->socket_open);
    c->state = CLIENT_CONNECTING;
    c->state_deadline_ns = now + (uint64_t)c->connect_timeout_ms * 1000000;
    enum rc rc = io_resolve(c->shard->io, c->host, c->port, &c->addr);
    if (rc == RC_OK)
        rc = io_sock_connect(c->shard->io, &c->sock, &c->addr, on_ready);
    if (rc != RC_OK) {
        break_later(c, rc);
        return;
    }
    c->socket_open = true;
    c->sock.private_data = c;
    io_sock_want(&c->sock, IO_WRITABLE);
}

// ------------------------------------------------------------------------------------------------ receiving

// Room for at least `want` bytes from receive_at on, what is there kept.
static bool make_room(struct client_connection *c, size_t want)
{
    size_t left = c->receive_bytes - c->receive_at;
    if (c->receive_at > 0 && (left == 0 || c->receive_at + want > c->receive_cap)) {
        memmove(c->receive, c->receive + c->receive_at, left);
        c->receive_at = 0;
        c->receive_bytes = left;
    }
    if (c->receive_at + want <= c->receive_cap)
        return true;
    size_t cap = want > CLIENT_RECEIVE_BYTES ? want + want / 4 : CLIENT_RECEIVE_BYTES;
    uint8_t *p = realloc(c->receive, cap);
    if (!p)
        return false;
    c->receive = p;
    c->receive_cap = cap;
    return true;
}

// One whole answer behind its length. False: the connection is at its end.
static bool take_answer(struct client_connection *c, struct bytes frame)
{
    struct client_request *r = first_of(&c->sent);
    struct dec d = dec_of(frame);
    int32_t correlation_id = dec_i32(&d);
    if (!r || d.bad || correlation_id != r->correlation_id) {
        connection_break(c, RC_MALFORMED);
        return false;
    }
    // ApiVersions keeps the old header, so that a client that knows nothing can read it.
    if (schema_flexible(r->message, r->version) && r->message->key != 18)
        dec_skip_tags(&d);
    if (d.bad) {
        connection_break(c, RC_MALFORMED);
        return false;
    }
    give_back(c, &c->sent, r, RC_OK, bytes_of(d.p, dec_left(&d)));
    return c->socket_open;
}

// Whole answers in the buffer; *want becomes what the next one needs. False: the connection is at its end.
static bool take_answers(struct client_connection *c, size_t *want)
{
    for (;;) {
        size_t left = c->receive_bytes - c->receive_at;
        *want = CLIENT_RECEIVE_BYTES;
        if (left < 4)
            return true;
        uint32_t n = be32(c->receive + c->receive_at);
        if (n < 4 || n > CLIENT_FRAME_BYTES_MAX) {
            connection_break(c, RC_MALFORMED);
            return false;
        }
        if (left < (size_t)n + 4) {
            *want = (size_t)n + 4;
            return true;
        }
        struct bytes frame = bytes_of(c->receive + c->receive_at + 4, n);
        c->receive_at += (size_t)n + 4;
        if (!take_answer(c, frame))
            return false;
    }
}

static void on_readable(struct client_connection *c)
{
    size_t want, got;
    while (take_answers(c, &want)) {
        size_t least = want > CLIENT_RECEIVE_BYTES ? want : CLIENT_RECEIVE_BYTES;
        if (!make_room(c, least)) {
            connection_break(c, RC_NOMEM);
            return;
        }
        // Of a long answer exactly its rest, so that the next one never has to be moved.
        size_t room =
            want > CLIENT_RECEIVE_BYTES ? want - (c->receive_bytes - c->receive_at) : c->receive_cap - c->receive_bytes;
        enum rc rc = io_sock_recv(&c->sock, c->receive + c->receive_bytes, room, &got);
        if (rc == RC_AGAIN)
            return;
        if (rc != RC_OK) {
            connection_break(c, rc == RC_EOF ? RC_RESET : rc);
            return;
        }
        c->receive_bytes += got;
        c->received_bytes += got;
    }
}

static void on_ready(struct io_sock *s, unsigned events)
{
    struct client_connection *c = s->private_data;
    if (c->state == CLIENT_CONNECTING) {
        enum rc rc = events & IO_HANGUP ? io_sock_error(s) : RC_OK;
        if (events & IO_HANGUP) {
            connection_break(c, rc == RC_OK ? RC_UNREACHABLE : rc);
            return;
        }
        c->state = CLIENT_ASKING;
        ask_versions(c, (int16_t)api_versions_request_message.version_max);
        return;
    }
    if (events & IO_READABLE)
        on_readable(c);
    if (c->socket_open && events & IO_WRITABLE)
        on_flush(&c->flush);
    if (c->socket_open && events & IO_HANGUP) {
        on_readable(c); // what arrived before the end
        if (c->socket_open)
            connection_break(c, RC_RESET);
    }
}
