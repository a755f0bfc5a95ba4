// SPDX-License-Identifier: Apache-2.0
//
// Connection life: accept, read, start, end. Writing is session_write.c.
#include "broker/session.h"

#include <stdio.h>

#include "base/bytes.h"
#include "broker/request.h"
#include "broker/session_write.h"

enum {
    FRAME_BYTES_MIN = 8, // key, version, correlation id
    FRAME_STALLED_MS_MAX = 30 * 1000,
    ANSWER_STALLED_MS_MAX = 60 * 1000,
    DRAIN_MS_MAX = 1000,
    DRAIN_BYTES_MAX = 1 << 20,
    SWEEP_MS_MIN = 500,
    PRESSED_STALLED_MS_MAX = 500, // of a half-read frame while others wait for its share
    PRESSED_SWEEP_MS = 200,
    TRIM_MS = 10 * 1000,
    TRIM_ITEMS_MIN = 64,
    LARGE_FRAME_BYTES_MAX = 4 << 20, // above it a frame draws on the share for huge ones
    RX_ROOM_MIN = SCRATCH_BYTES / 4,
    API_KEY_PRODUCE = 0,
};

#define MS INT64_C(1000000)

// What a frame of that length draws on its share.
static inline uint32_t session_charge(uint32_t length)
{
    return length > SESSION_CHARGE_LEAST ? length : SESSION_CHARGE_LEAST;
}

static inline uint32_t session_cost(uint16_t key)
{
    return key == API_KEY_PRODUCE ? SESSION_PRODUCE_COST : SESSION_OTHER_COST;
}

static void session_pump(struct session *s);
static struct rx_slab *session_slab(struct broker_shard *bs);

// ------------------------------------------------------------------------------------------------ small things

static uint64_t session_now(const struct session *s)
{
    return shard_now_ns(s->bs->shard);
}

// Something moved on the connection: to the back of the list of idle ones.
void session_touch(struct session *s)
{
    s->active_ns = session_now(s);
    list_remove(&s->bs->sessions, &s->link);
    list_push_back(&s->bs->sessions, &s->link);
}

// A sweep by then, if none is due earlier.
static void session_sweep_by(struct broker_shard *bs, uint64_t due_ns)
{
    if (!shard_timer_is_set(&bs->sweep) || bs->sweep.node.key > due_ns)
        shard_timer_set(bs->shard, &bs->sweep, due_ns, session_sweep);
}

void session_stalled(struct session *s, bool stalled)
{
    if (list_node_linked(&s->stalled_link))
        list_remove(&s->bs->stalled, &s->stalled_link);
    if (!stalled)
        return;
    s->stalled_ns = session_now(s);
    list_push_back(&s->bs->stalled, &s->stalled_link);
    session_sweep_by(s->bs, s->stalled_ns + DRAIN_MS_MAX * MS);
}

void session_stalled_update(struct session *s, bool stalled, bool moved)
{
    if (s->state == SESSION_DRAINING)
        return;
    if (!stalled || moved || !list_node_linked(&s->stalled_link))
        session_stalled(s, stalled);
}

static void session_say(struct session *s, enum broker_close_cause cause, const char *text)
{
    uint64_t dropped;
    if (!text || !trace_limit_pass(&s->bs->limit_close[cause], session_now(s), &dropped))
        return;
    char addr[IO_ADDR_TEXT_MAX];
    io_addr_format(&s->peer, addr);
    if (dropped)
        trace_warn(s->bs->broker->trace, "closing %s: %s (%llu such lines left out)", addr, text,
                   (unsigned long long)dropped);
    else
        trace_warn(s->bs->broker->trace, "closing %s: %s", addr, text);
}

// ------------------------------------------------------------------------------------------------ end

// Half of what was needed lies idle: the sweep in ten seconds gives back what is free by then.
static void session_trim_later(struct broker_shard *bs, const struct pool *pool, size_t *peak)
{
    if (pool->count > *peak)
        *peak = pool->count;
    if (*peak < TRIM_ITEMS_MIN || pool->count > *peak / 2)
        return;
    *peak = pool->count;
    session_sweep_by(bs, shard_now_ns(bs->shard) + TRIM_MS * MS);
}

void session_request_freed(struct broker_shard *bs)
{
    session_trim_later(bs, &bs->request_pool, &bs->requests_peak);
}

static void session_free(struct shard_task *t)
{
    struct session *s = container_of(t, struct session, flush_task);
    struct broker_shard *bs = s->bs;
    if (bs->session_pool.count > bs->sessions_peak)
        bs->sessions_peak = bs->session_pool.count;
    pool_release(&bs->session_pool, s);
    session_trim_later(bs, &bs->session_pool, &bs->sessions_peak);
}

static void session_free_backlog(struct session *s)
{
    io_buffer_release(s->bs->shard->io, s->backlog, s->backlog_bytes);
    s->bs->backlog_bytes -= s->backlog_bytes;
    s->backlog = NULL;
}

static void session_forget_input(struct session *s)
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

void session_drop(struct session *s, enum broker_close_cause cause, const char *text)
{
    if (s->state == SESSION_GONE)
        return;
    session_say(s, cause, text);
    struct broker_shard *bs = s->bs;
    s->state = SESSION_GONE;
    bs->counters.connections_closed[cause]++;
    io_sock_close(&s->sock);
    session_forget_input(s);
    for (struct list_node *n; (n = list_pop_front(&s->requests));) {
        struct request *rq = list_entry(n, struct request, link);
        rq->session = NULL;
        if (rq->state == REQUEST_READY)
            request_release(rq);
        else if (rq->abandon)
            rq->abandon(rq);
    }
    session_stalled(s, false);
    if (list_node_linked(&s->ready_link))
        list_remove(&bs->ready, &s->ready_link);
    list_remove(&bs->sessions, &s->link);
    shard_defer_cancel(bs->shard, &s->pump_task);
    shard_defer_cancel(bs->shard, &s->flush_task);
    shard_defer(bs->shard, &s->flush_task, session_free); // callers up the stack may still look at s->state
    for (unsigned i = 0; bs->accepting && i < bs->broker->config.listener_count; i++)
        if (bs->listeners[i].paused)
            io_listener_resume(&bs->listeners[i]);
}

void session_close(struct session *s, enum broker_close_cause cause, const char *text)
{
    if (s->state != SESSION_OPEN)
        return;
    session_say(s, cause, text);
    s->state = SESSION_FLUSHING;
    s->close_cause = (uint8_t)cause;
    s->closing_ns = session_now(s);
    session_forget_input(s);
    session_stalled(s, true);
    session_hurry(s);
    session_answer_ready(s); // its task finds out whether anything is left to send
}

void session_hurry(struct session *s)
{
    for (struct list_node *n = list_first(&s->requests); n; n = list_next(&s->requests, n)) {
        struct request *rq = list_entry(n, struct request, link);
        if (rq->state == REQUEST_RUNNING && rq->hurry) {
            rq->hurry(rq); // may be gone now; only one at a time can wait like this
            return;
        }
    }
}

// Everything queued has been sent: the peer reads the end, we read what it still says for a moment, so that our last
// answer is not lost to a reset.
void session_drain_begin(struct session *s)
{
    ASSERT(s->state == SESSION_FLUSHING);
    s->state = SESSION_DRAINING;
    s->closing_ns = session_now(s);
    io_sock_shutdown(&s->sock);
    session_stalled(s, true);
    s->readable = true;
    io_sock_want(&s->sock, IO_READABLE);
    session_pump(s);
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

// Reads and starts as much as order, memory and the share of this turn allow.
static void session_pump(struct session *s)
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

static void session_ready(struct io_sock *sock, unsigned events)
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

// ------------------------------------------------------------------------------------------------ begin, sweep

void session_accept(struct io_listener *l, int fd, const struct io_addr *peer)
{
    struct broker_shard *bs = l->private_data;
    struct broker *b = bs->broker;
    struct session *s = NULL;
    if (bs->sessions.count < b->config.connections_max / b->shard_count)
        s = pool_acquire(&bs->session_pool);
    if (!s) {
        uint64_t dropped;
        bs->counters.connections_refused++;
        if (trace_limit_pass(&bs->limit_refused, shard_now_ns(bs->shard), &dropped))
            trace_warn(b->trace, "refusing connections: %zu are open and max.connections is %u", bs->sessions.count,
                       b->config.connections_max);
        io_sock_refuse(bs->shard->io, fd);
        return;
    }
    *s = (struct session){.bs = bs, .peer = *peer, .listener = (uint8_t)(l - bs->listeners), .writable = true};
    list_init(&s->requests);
    if (io_sock_adopt(bs->shard->io, &s->sock, fd, session_ready) != RC_OK) {
        pool_release(&bs->session_pool, s);
        bs->counters.connections_refused++;
        return;
    }
    io_sock_buffers(&s->sock, b->config.send_buffer_bytes, b->config.receive_buffer_bytes);
    bs->counters.connections_accepted++;
    s->active_ns = session_now(s);
    list_push_back(&bs->sessions, &s->link);
    io_sock_want(&s->sock, IO_READABLE);
    if (!shard_timer_is_set(&bs->sweep))
        shard_timer_set(bs->shard, &bs->sweep, session_now(s) + SWEEP_MS_MIN * MS, session_sweep);
}

// Why a session in the stalled list must end now, or NULL. *due_ns: when it would have to.
static const char *session_overdue(struct session *s, uint64_t now, uint64_t *due_ns)
{
    if (s->state == SESSION_DRAINING) {
        *due_ns = s->closing_ns + DRAIN_MS_MAX * MS;
        return now >= *due_ns ? "" : NULL;
    }
    if (s->frame && s->frame_have < s->frame_bytes) {
        *due_ns = s->stalled_ns + FRAME_STALLED_MS_MAX * MS;
        return now >= *due_ns ? "half a request and then 30 s of silence" : NULL;
    }
    *due_ns = s->stalled_ns + ANSWER_STALLED_MS_MAX * MS;
    return now >= *due_ns ? "it has read nothing of its answers for 60 s" : NULL;
}

// While somebody waits for a share, who holds some of it and sends no more has less time: longest silent first, and no
// more of them than it takes. True when somebody still waits.
static bool session_press(struct broker_shard *bs, struct budget *b, uint64_t now)
{
    for (struct list_node *n = list_first(&bs->stalled), *next; n && !list_empty(&b->waiters); n = next) {
        next = list_next(&bs->stalled, n);
        struct session *s = list_entry(n, struct session, stalled_link);
        if (now < s->stalled_ns + PRESSED_STALLED_MS_MAX * MS)
            break;
        if (s->frame && s->frame_budget == b && s->frame_have < s->frame_bytes)
            session_drop(s, BROKER_CLOSE_STALLED, "half a request and then silence, while others wait for memory");
    }
    return !list_empty(&b->waiters);
}

void session_sweep(struct shard_timer *t)
{
    struct broker_shard *bs = container_of(t, struct broker_shard, sweep);
    uint64_t now = shard_now_ns(bs->shard), next = UINT64_MAX;
    for (struct list_node *n = list_first(&bs->stalled), *after; n; n = after) {
        after = list_next(&bs->stalled, n);
        struct session *s = list_entry(n, struct session, stalled_link);
        uint64_t due;
        const char *text = session_overdue(s, now, &due);
        if (text)
            session_drop(s, *text ? BROKER_CLOSE_STALLED : (enum broker_close_cause)s->close_cause,
                         *text ? text : NULL);
        else if (due < next)
            next = due;
        if (!text && now < s->stalled_ns + DRAIN_MS_MAX * MS)
            break; // younger ones are not due either
    }
    if (bs->answer_bytes > bs->answer_bytes_max)
        session_relieve(&bs->relief_task);
    pool_trim(&bs->session_pool);
    pool_trim(&bs->request_pool);
    uint64_t idle_ns = (uint64_t)(bs->broker->config.idle_ms_max * MS);
    while (bs->broker->config.idle_ms_max > 0 && !list_empty(&bs->sessions)) {
        struct session *s = list_entry(list_first(&bs->sessions), struct session, link);
        if (now < s->active_ns + idle_ns) {
            if (s->active_ns + idle_ns < next)
                next = s->active_ns + idle_ns;
            break;
        }
        if (list_empty(&s->requests))
            session_drop(s, BROKER_CLOSE_IDLE, NULL);
        else
            session_touch(s); // a request waits: not idle
    }
    if (next < now + SWEEP_MS_MIN * MS)
        next = now + SWEEP_MS_MIN * MS;
    struct budget *shares[] = {&bs->produce, &bs->control, &bs->large, &bs->huge};
    for (size_t i = 0; i < ARRAY_COUNT(shares); i++)
        if (session_press(bs, shares[i], now))
            next = now + PRESSED_SWEEP_MS * MS;
    if (!list_empty(&bs->stalled) && next > now + DRAIN_MS_MAX * MS)
        next = now + DRAIN_MS_MAX * MS;
    if (next != UINT64_MAX && !list_empty(&bs->sessions))
        shard_timer_set(bs->shard, t, next, session_sweep);
}
