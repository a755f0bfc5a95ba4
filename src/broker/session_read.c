// SPDX-License-Identifier: Apache-2.0
//
// The reading half of a session: bytes to frames, frames to requests, within one turn's share.
#include <stdio.h>

#include "base/bytes.h"
#include "broker/request.h"
#include "broker/session_core.h"

enum {
    FRAME_BYTES_MIN = 8, // key, version, correlation id
    DRAIN_BYTES_MAX = 1 << 20,
    LARGE_FRAME_BYTES_MAX = 4 << 20, // above it a frame draws on the share for huge ones
    RX_ROOM_MIN = SCRATCH_BYTES / 4,
    API_KEY_PRODUCE = 0,
};

// What a frame of that length draws on its share.
static inline uint32_t session_charge(uint32_t length)
{
    return length > SESSION_CHARGE_LEAST ? length : SESSION_CHARGE_LEAST;
}

static inline uint32_t session_cost(uint16_t key)
{
    return key == API_KEY_PRODUCE ? SESSION_PRODUCE_COST : SESSION_OTHER_COST;
}

// ------------------------------------------------------------------------------------------------ frames

// What a length that cannot be one might be instead.
static enum broker_close_cause session_guess(const uint8_t *p, const char **text)
{
    if (p[0] == 0x16 && p[1] == 0x03) {
        *text = "the first bytes are a TLS hello, but this listener is PLAINTEXT: use security.protocol=PLAINTEXT";
        return BROKER_CLOSE_TLS;
    }
    static const char *const verbs[] = {"GET ", "POST", "PUT ", "HEAD", "OPTI", "DELE", "PRI "};
    for (size_t i = 0; i < ARRAY_COUNT(verbs); i++)
        if (memcmp(p, verbs[i], 4) == 0) {
            *text = "the first bytes are an HTTP request, but this port speaks the Kafka protocol: use a Kafka client";
            return BROKER_CLOSE_HTTP;
        }
    for (int i = 0; i < 4; i++)
        if (p[i] < 0x20 || p[i] > 0x7e)
            return BROKER_CLOSE_FRAME;
    *text = "the first bytes are text, but this port speaks the Kafka protocol: use a Kafka client";
    return BROKER_CLOSE_TEXT;
}

// False: the connection has been ended, because no frame can be this long.
static bool session_length_check(struct session *s, const uint8_t *p)
{
    uint32_t length = be32(p);
    uint32_t limit = broker_frame_bytes_max(s->bs->broker);
    if (length >= FRAME_BYTES_MIN && length <= limit)
        return true;
    const char *guess = NULL;
    enum broker_close_cause cause = s->greeted ? BROKER_CLOSE_FRAME : session_guess(p, &guess);
    char text[256];
    if (guess)
        snprintf(text, sizeof(text), "%s", guess);
    else if ((int32_t)length < FRAME_BYTES_MIN)
        snprintf(text, sizeof(text), "a frame of %d bytes cannot be a request", (int32_t)length);
    else
        snprintf(text, sizeof(text),
                 "a frame of %u bytes is larger than %u allowed (socket.request.max.bytes=%u, share of memory for large "
                 "frames=%zu)",
                 length, limit, s->bs->broker->config.request_bytes_max, s->bs->huge.limit_bytes);
    session_close(s, cause, text);
    return false;
}

static struct budget *session_budget(struct session *s, uint16_t key, uint32_t length)
{
    if (length > LARGE_FRAME_BYTES_MAX)
        return &s->bs->huge;
    if (length > SCRATCH_BYTES)
        return &s->bs->large;
    return key == API_KEY_PRODUCE ? &s->bs->produce : &s->bs->control;
}

static void session_granted(struct budget_waiter *w)
{
    struct session *s = container_of(w, struct session, waiter);
    s->granted_budget = s->waiting_on;
    s->granted_bytes = w->bytes;
    s->waiting_on = NULL;
    session_resume(s);
}

// The share for the frame at hand; false: s is in line now and comes back by session_resume().
static bool session_reserve(struct session *s, struct budget *b, uint32_t length)
{
    uint32_t bytes = session_charge(length);
    if (s->granted_budget) {
        ASSERT(s->granted_budget == b && s->granted_bytes == bytes); // the same frame is looked at again
        s->granted_budget = NULL;
        return true;
    }
    if (budget_take(b, bytes))
        return true;
    s->waiting_on = b;
    budget_wait(b, &s->waiter, bytes, session_granted);
    session_sweep_by(s->bs, session_now(s) + PRESSED_SWEEP_MS * MS);
    return false;
}

// Order of one connection: Produce may overlap Produce, anything else waits until all before it is answered.
static bool session_may_start(const struct session *s, uint16_t key, uint32_t length)
{
    if (s->serial)
        return false;
    if (key != API_KEY_PRODUCE)
        return s->produces_waiting == 0;
    return s->produces_waiting == 0 || (s->produces_waiting < SESSION_PRODUCES_MAX &&
                                        s->produce_bytes_waiting + length <= SESSION_PRODUCE_BYTES_MAX);
}

// The beginning of a frame lies at p[0..n), n >= 8: take its share and a buffer for all of it. False: not now, or ended.
static bool session_frame_begin(struct session *s, const uint8_t *p, size_t n)
{
    uint32_t length = be32(p);
    struct budget *b = session_budget(s, be16(p + 4), length);
    if (!session_reserve(s, b, length))
        return false;
    s->frame = io_buffer_acquire(s->bs->shard->io, length);
    if (!s->frame) {
        budget_give(b, session_charge(length));
        session_close(s, BROKER_CLOSE_LIMIT, "no memory for its request");
        return false;
    }
    s->frame_budget = b;
    s->frame_bytes = length;
    s->frame_have = (uint32_t)(n - 4);
    memcpy(s->frame, p + 4, n - 4);
    session_stalled(s, true);
    return true;
}

// One whole frame at p: starts it. False: not now (nothing taken), or ended.
static bool session_frame_start(struct session *s, const uint8_t *p, uint32_t length, struct rx_slab *slab)
{
    uint16_t key = be16(p + 4);
    struct budget *b = session_budget(s, key, length);
    if (!session_may_start(s, key, length) || !session_reserve(s, b, length))
        return false;
    if (slab)
        return request_start(s, bytes_of(p + 4, length), NULL, slab, b, session_charge(length));
    uint8_t *own = io_buffer_acquire(s->bs->shard->io, length); // the backlog it lies in will be given back
    if (!own) {
        budget_give(b, session_charge(length));
        session_close(s, BROKER_CLOSE_LIMIT, "no memory for its request");
        return false;
    }
    memcpy(own, p + 4, length);
    return request_start(s, bytes_of(own, length), own, NULL, b, session_charge(length));
}

// Starts what is whole in p[0..n) and begins what is not. Returns the bytes taken; less than n: blocked or ended.
static size_t session_parse(struct session *s, const uint8_t *p, size_t n, struct rx_slab *slab)
{
    size_t at = 0;
    while (n - at >= SESSION_HEAD_BYTES) {
        if (!session_length_check(s, p + at))
            return at;
        uint32_t length = be32(p + at);
        if (n - at - 4 < length) {
            if (!session_frame_begin(s, p + at, n - at))
                return at;
            return n;
        }
        if (!session_frame_start(s, p + at, length, slab) || s->state != SESSION_OPEN)
            return at;
        s->turn_cost += session_cost(be16(p + at + 4));
        at += 4 + (size_t)length;
        if (session_answers_full(s) || s->turn_cost >= TURN_WRITE_BYTES_MAX)
            return at;
    }
    if (n - at >= 4 && !session_length_check(s, p + at))
        return at;
    memcpy(s->head, p + at, n - at);
    s->head_have = (uint8_t)(n - at);
    return n;
}

// ------------------------------------------------------------------------------------------------ reading

static void session_free_backlog(struct session *s)
{
    io_buffer_release(s->bs->shard->io, s->backlog, s->backlog_bytes);
    s->bs->backlog_bytes -= s->backlog_bytes;
    s->backlog = NULL;
}

void session_forget_input(struct session *s)
{
    struct io *io = s->bs->shard->io;
    if (s->waiting_on) {
        budget_cancel(s->waiting_on, &s->waiter);
        s->waiting_on = NULL;
    }
    if (s->granted_budget) {
        budget_give(s->granted_budget, s->granted_bytes);
        s->granted_budget = NULL;
    }
    if (s->frame) {
        io_buffer_release(io, s->frame, s->frame_bytes);
        budget_give(s->frame_budget, session_charge(s->frame_bytes));
        s->frame = NULL;
    }
    if (s->backlog)
        session_free_backlog(s);
    s->head_have = 0;
}

// A slab with room to read into; a full one is left to the requests that lie in it.
static struct rx_slab *session_slab(struct broker_shard *bs)
{
    struct rx_slab *slab = bs->rx;
    if (slab->refs == 0)
        slab->used = 0;
    if (SCRATCH_BYTES - slab->used >= RX_ROOM_MIN)
        return slab;
    struct rx_slab *fresh = (struct rx_slab *)(void *)io_buffer_acquire(bs->shard->io, sizeof(*fresh));
    if (!fresh)
        return NULL;
    fresh->refs = fresh->used = 0;
    bs->rx = fresh;
    return fresh;
}

void session_slab_unref(struct broker_shard *bs, struct rx_slab *slab)
{
    ASSERT(slab->refs > 0);
    if (--slab->refs == 0 && slab != bs->rx)
        io_buffer_release(bs->shard->io, (uint8_t *)slab, sizeof(*slab));
}

// The peer will say no more, or the connection broke.
static void session_input_end(struct session *s, enum rc rc)
{
    s->eof = true;
    s->readable = false;
    if (rc != RC_EOF || list_empty(&s->requests))
        session_drop(s, BROKER_CLOSE_PEER, NULL);
    else // it may have shut down one direction only and wait for its answers; the last one ends the session
        session_hurry(s);
}

static void session_keep_backlog(struct session *s, const uint8_t *p, size_t n)
{
    s->backlog = io_buffer_acquire(s->bs->shard->io, n);
    if (!s->backlog) {
        session_close(s, BROKER_CLOSE_LIMIT, "no memory for its pipelined requests");
        return;
    }
    memcpy(s->backlog, p, n);
    s->bs->backlog_bytes += n;
    s->backlog_bytes = (uint32_t)n;
    s->backlog_at = 0;
}

static void session_read_frame(struct session *s, size_t *turn)
{
    size_t want = s->frame_bytes - s->frame_have, got = 0;
    enum rc rc = io_sock_recv(&s->sock, s->frame + s->frame_have, want < *turn ? want : *turn, &got);
    if (rc == RC_AGAIN)
        s->readable = false;
    else if (rc != RC_OK)
        session_input_end(s, rc);
    else {
        s->frame_have += (uint32_t)got;
        *turn -= got;
        session_stalled(s, s->frame_have < s->frame_bytes);
    }
}

// The 8 bytes that are known of a frame: takes its share and a buffer. False: not now, or ended.
static bool session_begin_head(struct session *s)
{
    uint8_t head[SESSION_HEAD_BYTES];
    memcpy(head, s->head, sizeof(head));
    if (session_parse(s, head, sizeof(head), NULL) < sizeof(head))
        return false; // they stay where they are
    s->head_have = 0;
    return true;
}

// Memory is short: read no more than it takes to know what the frame is.
static void session_read_head(struct session *s, size_t *turn)
{
    size_t got = 0;
    enum rc rc = io_sock_recv(&s->sock, s->head + s->head_have, SESSION_HEAD_BYTES - s->head_have, &got);
    if (rc == RC_AGAIN)
        s->readable = false;
    else if (rc != RC_OK)
        session_input_end(s, rc);
    else {
        *turn -= got < *turn ? got : *turn;
        s->head_have = (uint8_t)(s->head_have + got);
    }
}

static void session_read_slab(struct session *s, size_t *turn)
{
    struct rx_slab *slab = session_slab(s->bs);
    if (!slab) {
        session_close(s, BROKER_CLOSE_LIMIT, "no memory to read");
        return;
    }
    uint8_t *p = slab->data + slab->used;
    size_t head = s->head_have, room = SCRATCH_BYTES - slab->used - head, got = 0;
    enum rc rc = io_sock_recv(&s->sock, p + head, room < *turn ? room : *turn, &got);
    if (rc == RC_AGAIN) {
        s->readable = false;
        return;
    }
    if (rc != RC_OK) {
        session_input_end(s, rc);
        return;
    }
    *turn -= got;
    if (got < room && got < *turn) // a short read emptied the socket: the next event tells, no need to ask again
        s->readable = false;
    memcpy(p, s->head, head);
    s->head_have = 0;
    size_t n = head + got;
    slab->refs++; // keep it while requests start: one of them may move on to another slab
    slab->used += (uint32_t)n;
    size_t taken = session_parse(s, p, n, slab);
    if (taken < n && s->state == SESSION_OPEN)
        session_keep_backlog(s, p + taken, n - taken);
    session_slab_unref(s->bs, slab);
}

static void session_parse_backlog(struct session *s)
{
    uint8_t *p = s->backlog;
    uint32_t bytes = s->backlog_bytes, at = s->backlog_at;
    s->backlog = NULL; // the session may end meanwhile
    size_t taken = session_parse(s, p + at, bytes - at, NULL);
    s->backlog = p;
    s->backlog_at = at + (uint32_t)taken;
    if (s->backlog_at == bytes || s->state != SESSION_OPEN)
        session_free_backlog(s);
}

// A whole frame stands in its own buffer: hands it over. False: it has to wait, or the session ended.
static bool session_start_own_frame(struct session *s)
{
    if (!session_may_start(s, be16(s->frame), s->frame_bytes))
        return false;
    uint8_t *frame = s->frame;
    s->frame = NULL;
    s->turn_cost += session_cost(be16(frame));
    return request_start(s, bytes_of(frame, s->frame_bytes), frame, NULL, s->frame_budget,
                         session_charge(s->frame_bytes));
}

void session_next_turn(struct session *s)
{
    if (list_node_linked(&s->ready_link))
        return;
    struct broker_shard *bs = s->bs;
    list_push_back(&bs->ready, &s->ready_link);
    if (!bs->ready_job.started)
        shard_job_start(bs->shard, &bs->ready_job, session_ready_job);
}

// Within the budget of a turn's job: who comes with something new is served between two of them.
enum shard_job_state session_ready_job(struct shard_job *j, uint64_t budget_ns)
{
    struct broker_shard *bs = container_of(j, struct broker_shard, ready_job);
    uint64_t until = io_clock_ns(bs->shard->io) + budget_ns;
    for (size_t n = bs->ready.count; n > 0 && !list_empty(&bs->ready); n--) {
        struct session *s = list_entry(list_pop_front(&bs->ready), struct session, ready_link);
        session_write(s);
        if (s->state == SESSION_OPEN || s->state == SESSION_DRAINING) // memory of a dropped one lives to the end of the turn
            session_pump(s);
        if (io_clock_ns(bs->shard->io) >= until)
            break;
    }
    return list_empty(&bs->ready) ? SHARD_JOB_DONE : SHARD_JOB_MORE;
}

static bool session_reads_heads(const struct broker_shard *bs)
{
    return budget_low(&bs->produce) || budget_low(&bs->control) || bs->backlog_bytes >= bs->backlog_bytes_max;
}

static void session_drain(struct session *s)
{
    struct rx_slab *slab = session_slab(s->bs);
    if (!slab) {
        session_drop(s, (enum broker_close_cause)s->close_cause, NULL);
        return;
    }
    while (s->readable) {
        size_t got = 0;
        enum rc rc = io_sock_recv(&s->sock, slab->data + slab->used, SCRATCH_BYTES - slab->used, &got);
        if (rc == RC_AGAIN) {
            s->readable = false;
            return;
        }
        s->drained_bytes += (uint32_t)got;
        if (rc != RC_OK || s->drained_bytes > DRAIN_BYTES_MAX) {
            session_drop(s, (enum broker_close_cause)s->close_cause, NULL);
            return;
        }
    }
}

void session_pump(struct session *s)
{
    if (s->state == SESSION_DRAINING) {
        session_drain(s);
        return;
    }
    size_t turn = TURN_READ_BYTES_MAX;
    bool moved = false;
    if (s->turn != s->bs->shard->counters.turns) {
        s->turn = s->bs->shard->counters.turns;
        s->turn_cost = 0;
    }
    while (s->state == SESSION_OPEN && !s->waiting_on && !session_answers_full(s)) {
        if (s->turn_cost >= TURN_WRITE_BYTES_MAX) {
            session_next_turn(s);
            break;
        }
        if (s->frame && s->frame_have == s->frame_bytes) {
            if (!session_start_own_frame(s))
                break;
            continue;
        }
        if (s->backlog) {
            session_parse_backlog(s);
            if (s->backlog)
                break;
            continue;
        }
        if (s->head_have == SESSION_HEAD_BYTES) {
            if (!session_begin_head(s))
                break;
            continue;
        }
        if (!s->readable)
            break;
        if (turn == 0) {
            session_next_turn(s);
            break;
        }
        moved = true;
        if (s->frame)
            session_read_frame(s, &turn);
        else if (session_reads_heads(s->bs))
            session_read_head(s, &turn);
        else
            session_read_slab(s, &turn);
    }
    if (moved && s->state == SESSION_OPEN)
        session_touch(s);
    if (s->replica != NODE_ID_NONE && s->serial && s->backlog && s->state == SESSION_OPEN)
        session_hurry(s); // a follower that asks on has news: its long poll ends here (fetcher.h)
}

static void session_pump_task(struct shard_task *t)
{
    session_pump(container_of(t, struct session, pump_task));
}

void session_resume(struct session *s)
{
    if (s->state == SESSION_OPEN || s->state == SESSION_DRAINING)
        shard_defer(s->bs->shard, &s->pump_task, session_pump_task);
}

void session_ready(struct io_sock *sock, unsigned events)
{
    struct session *s = container_of(sock, struct session, sock);
    if (events & IO_WRITABLE) {
        s->writable = true;
        session_answer_ready(s);
    }
    if (events & (IO_READABLE | IO_HANGUP)) {
        s->readable = true;
        session_pump(s);
        // Nothing can be read now, but the peer is gone for both directions: nobody waits for the answers.
        if ((events & IO_HANGUP) && s->state != SESSION_GONE && s->readable)
            session_drop(s, BROKER_CLOSE_PEER, NULL);
    }
}
