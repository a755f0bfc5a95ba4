// SPDX-License-Identifier: Apache-2.0
//
// Connection life: accept, end, and the sweep for those that lie idle or stalled. Reading is session_read.c, writing
// session_write.c.
#include "broker/request.h"
#include "broker/session_core.h"

enum {
    FRAME_STALLED_MS_MAX = 30 * 1000,
    ANSWER_STALLED_MS_MAX = 60 * 1000,
    DRAIN_MS_MAX = 1000,
    SWEEP_MS_MIN = 500,
    PRESSED_STALLED_MS_MAX = 500, // of a half-read frame while others wait for its share
    TRIM_MS = 10 * 1000,
    TRIM_ITEMS_MIN = 64,
};

// ------------------------------------------------------------------------------------------------ small things

// Something moved on the connection: to the back of the list of idle ones.
void session_touch(struct session *s)
{
    s->active_ns = session_now(s);
    list_remove(&s->bs->sessions, &s->link);
    list_push_back(&s->bs->sessions, &s->link);
}

void session_sweep_by(struct broker_shard *bs, uint64_t due_ns)
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

// Its place is free again.
static void session_leave(struct session *s)
{
    struct broker_shard *bs = s->bs;
    if (s->replica == NODE_ID_NONE)
        connection_limit_leave(bs, s->listener);
    if (s->counted)
        address_count_leave(&bs->broker->addresses, s->peer.ip);
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
    session_leave(s);
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
        if (bs->listeners[i].paused && !bs->rest.rests[i])
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

// ------------------------------------------------------------------------------------------------ begin, sweep

// per_ip: the limit of its address that refuses it, -1: refusal says which one does.
static void session_refuse(struct broker_shard *bs, int fd, unsigned listener, const struct io_addr *peer, int64_t per_ip,
                           const struct connection_refusal *refusal)
{
    uint64_t dropped;
    bs->counters.connections_refused++;
    if (trace_limit_pass(&bs->limit_refused, shard_now_ns(bs->shard), &dropped)) {
        char addr[IO_ADDR_TEXT_MAX];
        io_addr_format(peer, addr);
        if (per_ip >= 0)
            trace_warn(bs->broker->trace,
                       "refusing %s: its address has as many connections as max.connections.per.ip (or .overrides) "
                       "allows, %lld", addr,
                       (long long)per_ip);
        else if (refusal->by_listener)
            trace_warn(bs->broker->trace,
                       "refusing %s: listener %s has %u connections, and max.connections of its own allows %u", addr,
                       bs->broker->config.listeners[listener].name, refusal->open, refusal->most);
        else
            trace_warn(bs->broker->trace,
                       "refusing %s: %u connections are open, and max.connections or the limit of open files allows %u",
                       addr, refusal->open, refusal->most);
    }
    io_sock_refuse(bs->shard->io, fd);
}

// What max.connections.per.ip.overrides says of an address, -1: nothing.
static int64_t session_override(struct broker_shard *bs, const char *overrides, const struct io_addr *peer)
{
    struct bytes text;
    int64_t count;
    while (config_override_next(&overrides, &text, &count)) {
        char host[64];
        struct io_addr a;
        if (count < 0 || text.n >= sizeof(host))
            continue;
        memcpy(host, text.p, text.n);
        host[text.n] = 0;
        if (io_resolve(bs->shard->io, host, 0, &a) == RC_OK && memcmp(a.ip, peer->ip, sizeof(a.ip)) == 0)
            return count;
    }
    return -1;
}

// May this address have one more? *counted: it was taken down.
static bool session_enter(struct broker_shard *bs, const struct io_addr *peer, int64_t *per_ip, bool *counted)
{
    struct config_layers layers = engine_layers(bs->engine, NULL);
    const char *overrides = config_broker_text(&layers, "max.connections.per.ip.overrides");
    *per_ip = overrides && *overrides ? session_override(bs, overrides, peer) : -1;
    if (*per_ip < 0)
        *per_ip = config_broker_int(&layers, "max.connections.per.ip", INT32_MAX);
    return address_count_enter(&bs->broker->addresses, peer->ip, (uint32_t)*per_ip, counted);
}

static void session_open(struct broker_shard *bs, struct session *s, int fd)
{
    struct broker *b = bs->broker;
    list_init(&s->requests);
    if (io_sock_adopt(bs->shard->io, &s->sock, fd, session_ready) != RC_OK) {
        session_leave(s);
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

void session_adopt_replica(struct engine_shard *es, int fd, const struct io_addr *peer, int32_t node,
                           int64_t broker_epoch)
{
    struct broker_shard *bs = es->owner;
    struct session *s = bs && bs->accepting ? pool_acquire(&bs->session_pool) : NULL;
    if (!s) {
        io_sock_refuse(es->shard->io, fd); // it tries again
        return;
    }
    *s = (struct session){.bs = bs, .peer = *peer, .writable = true, .replica = node, .replica_epoch = broker_epoch};
    session_open(bs, s, fd);
}

void session_accept(struct io_listener *l, int fd, const struct io_addr *peer)
{
    struct broker_shard *bs = l->private_data;
    struct session *s = NULL;
    struct connection_refusal refusal;
    unsigned listener = (unsigned)(l - bs->listeners);
    int64_t per_ip = -1;
    bool counted = false;
    connection_limit_came(bs, listener);
    bool entered = connection_limit_enter(bs, listener, &refusal);
    if (entered)
        s = pool_acquire(&bs->session_pool);
    if (!s || !session_enter(bs, peer, &per_ip, &counted)) {
        if (s)
            pool_release(&bs->session_pool, s);
        if (entered)
            connection_limit_leave(bs, listener);
        session_refuse(bs, fd, listener, peer, per_ip, &refusal);
        return;
    }
    *s = (struct session){.bs = bs,
                          .peer = *peer,
                          .listener = (uint8_t)listener,
                          .writable = true,
                          .counted = counted,
                          .replica = NODE_ID_NONE,
                          .replica_epoch = -1};
    session_open(bs, s, fd);
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
