// SPDX-License-Identifier: Apache-2.0
//
// A fetcher's partitions, session and requests. The connection is fetcher_link.c.
#include "engine/fetcher_core.h"

#include <stdlib.h>

#include "model/kerr.h"
#include "wire/frame.h"

enum { ANSWER_ARENA_BYTES = 64 << 20, REQUEST_ARENA_BYTES = 16 << 20, FETCH_SESSIONLESS = -1 };

// What the request in flight asked for one partition.
struct fetcher_asked {
    struct replica *r; // NULL: it left meanwhile
    struct topic_partition id;
    struct repl_ask ask;
};

struct fetcher_forgotten {
    struct list_node link;
    struct topic_partition id;
};

// ------------------------------------------------------------------------------------------------ partitions

static struct replica *replica_of(const struct fetcher *f, struct topic_partition id)
{
    struct partition *p = partition_find(f->es, id);
    return p && p->replica && p->replica->fetcher == f ? p->replica : NULL;
}

struct fetcher *fetcher_for(struct engine_shard *es, int32_t leader)
{
    for (struct list_node *n = list_first(&es->fetchers); n; n = list_next(&es->fetchers, n)) {
        struct fetcher *f = list_entry(n, struct fetcher, link);
        if (f->leader == leader)
            return f;
    }
    struct fetcher *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->es = es;
    f->leader = leader;
    list_init(&f->replicas);
    list_init(&f->asking);
    list_init(&f->forgotten);
    list_push_back(&es->fetchers, &f->link);
    return f;
}

static void wake(struct fetcher *f)
{
    shard_defer(f->es->shard, &f->task, fetcher_task);
}

void fetcher_wants(struct replica *r)
{
    struct fetcher *f = r->fetcher;
    if (!f)
        return;
    if (!list_node_linked(&r->ask_link))
        list_push_back(&f->asking, &r->ask_link);
    f->urgent = f->urgent || !r->in_session || f->state == FETCHER_ASKING;
    wake(f);
}

void fetcher_add(struct fetcher *f, struct replica *r)
{
    ASSERT(!r->fetcher);
    r->fetcher = f;
    r->in_session = false;
    list_push_back(&f->replicas, &r->fetcher_link);
    fetcher_wants(r);
}

// The next request takes r out of the session.
static void session_leave(struct fetcher *f, struct replica *r)
{
    struct fetcher_forgotten *g = r->in_session ? calloc(1, sizeof(*g)) : NULL;
    if (g) {
        g->id = r->p->id;
        list_push_back(&f->forgotten, &g->link);
    } else if (r->in_session) {
        fetcher_session_begin(f); // no memory to say it
    }
    f->in_session -= r->in_session;
    r->in_session = false;
}

void fetcher_leave(struct replica *r)
{
    if (r->fetcher)
        session_leave(r->fetcher, r);
}

void fetcher_remove(struct replica *r)
{
    struct fetcher *f = r->fetcher;
    if (!f)
        return;
    session_leave(f, r);
    for (uint32_t i = 0; i < f->asked_count; i++)
        if (f->asked[i].r == r)
            f->asked[i].r = NULL;
    if (list_node_linked(&r->ask_link))
        list_remove(&f->asking, &r->ask_link);
    list_remove(&f->replicas, &r->fetcher_link);
    r->fetcher = NULL;
    wake(f);
}

static void forgotten_drop(struct fetcher *f)
{
    for (struct list_node *n; (n = list_pop_front(&f->forgotten));)
        free(list_entry(n, struct fetcher_forgotten, link));
}

// The session is gone: everything is asked for again.
void fetcher_session_begin(struct fetcher *f)
{
    f->session_id = f->session_epoch = 0;
    f->in_session = 0;
    forgotten_drop(f);
    for (struct list_node *n = list_first(&f->replicas); n; n = list_next(&f->replicas, n)) {
        struct replica *r = list_entry(n, struct replica, fetcher_link);
        r->in_session = false;
        if (!list_node_linked(&r->ask_link))
            list_push_back(&f->asking, &r->ask_link);
    }
}

// ------------------------------------------------------------------------------------------------ requests

static bool ask_differs(const struct replica *r, const struct repl_ask *ask)
{
    return !r->in_session || r->asked.offset != ask->offset || r->asked.log_start != ask->log_start ||
           r->asked.last_fetched_epoch != ask->last_fetched_epoch || r->asked.leader_epoch != ask->leader_epoch;
}

static bool asked_push(struct fetcher *f, struct replica *r, const struct repl_ask *ask)
{
    if (f->asked_count == f->asked_cap) {
        uint32_t cap = f->asked_cap ? f->asked_cap * 2 : 16;
        struct fetcher_asked *next = realloc(f->asked, cap * sizeof(*next));
        if (!next)
            return false;
        f->asked = next;
        f->asked_cap = cap;
    }
    f->asked[f->asked_count++] = (struct fetcher_asked){.r = r, .id = r->p->id, .ask = *ask};
    return true;
}

// Partitions whose position the session does not have yet, into f->asked. Those that cannot say now stay out; they come
// back by fetcher_wants().
static void gather(struct fetcher *f)
{
    uint64_t now = shard_now_ns(f->es->shard);
    f->asked_count = 0;
    f->serial++;
    for (size_t left = f->asking.count; left > 0; left--) {
        struct replica *r = list_entry(list_pop_front(&f->asking), struct replica, ask_link);
        struct repl_ask ask;
        if (!replica_ask(r, now, &ask) || !ask_differs(r, &ask))
            continue;
        if (!asked_push(f, r, &ask)) {
            list_push_back(&f->asking, &r->ask_link);
            return;
        }
        r->asked_serial = f->serial;
    }
}

// A session takes partitions in before it leaves others out: what is asked for again must not stand among those.
static void remember(struct fetcher *f)
{
    for (struct list_node *n = list_first(&f->forgotten), *next; n; n = next) {
        next = list_next(&f->forgotten, n);
        struct fetcher_forgotten *g = list_entry(n, struct fetcher_forgotten, link);
        const struct replica *r = replica_of(f, g->id);
        if (r && r->asked_serial == f->serial) {
            list_remove(&f->forgotten, n);
            free(g);
        }
    }
}

// Groups what is asked by topic, in the order it stands there.
static enum rc topics_build(const struct fetcher *f, struct arena *a, struct fetch_request *out)
{
    out->topics = arena_array(a, f->asked_count, sizeof(*out->topics));
    if (!out->topics && f->asked_count)
        return RC_NOMEM;
    for (uint32_t i = 0; i < f->asked_count;) {
        struct fetch_request_topic *t = &out->topics[out->topics_count++];
        uint32_t n = 1;
        while (i + n < f->asked_count && uuid_eq(f->asked[i + n].id.topic_id, f->asked[i].id.topic_id))
            n++;
        fetch_request_topic_init(t);
        t->topic_id = f->asked[i].id.topic_id;
        t->partitions_count = n;
        t->partitions = arena_array(a, n, sizeof(*t->partitions));
        if (!t->partitions)
            return RC_NOMEM;
        for (uint32_t k = 0; k < n; k++, i++) {
            const struct fetcher_asked *q = &f->asked[i];
            fetch_request_partition_init(&t->partitions[k]);
            t->partitions[k].partition = q->id.partition;
            t->partitions[k].fetch_offset = q->ask.offset;
            t->partitions[k].log_start_offset = q->ask.log_start;
            t->partitions[k].last_fetched_epoch = q->ask.last_fetched_epoch;
            t->partitions[k].current_leader_epoch = q->ask.leader_epoch;
            t->partitions[k].partition_max_bytes = f->es->engine->replica_fetch_bytes;
        }
    }
    return RC_OK;
}

static enum rc forgotten_build(const struct fetcher *f, struct arena *a, struct fetch_request *out)
{
    out->forgotten_topics_data = arena_array(a, f->forgotten.count, sizeof(*out->forgotten_topics_data));
    int32_t *partitions = arena_array(a, f->forgotten.count, sizeof(*partitions));
    if (f->forgotten.count && (!out->forgotten_topics_data || !partitions))
        return RC_NOMEM;
    for (struct list_node *n = list_first(&f->forgotten); n; n = list_next(&f->forgotten, n)) {
        const struct fetcher_forgotten *g = list_entry(n, struct fetcher_forgotten, link);
        uint32_t at = out->forgotten_topics_data_count++;
        fetch_request_forgotten_topics_data_init(&out->forgotten_topics_data[at]);
        partitions[at] = g->id.partition;
        out->forgotten_topics_data[at].topic_id = g->id.topic_id;
        out->forgotten_topics_data[at].partitions = &partitions[at];
        out->forgotten_topics_data[at].partitions_count = 1;
    }
    return RC_OK;
}

static enum rc request_encode(const struct fetch_request *q, int32_t correlation, struct buf *out)
{
    struct enc e;
    enc_init(&e, out, NULL, 0);
    struct frame_mark m =
        frame_request_begin(&e, fetch_request_message.key, FETCHER_FETCH_VERSION, correlation, bytes_of(NULL, 0));
    fetch_request_encode(&e, FETCHER_FETCH_VERSION, q);
    frame_end(&e, m);
    return enc_ok(&e) ? RC_OK : RC_NOMEM;
}

static enum rc request_build(struct fetcher *f, struct buf *out)
{
    const struct engine_config *c = &f->es->engine->config;
    struct fetch_request q;
    struct arena a;
    arena_init(&a, REQUEST_ARENA_BYTES, NULL, 0);
    fetch_request_init(&q);
    q.replica_id = c->node_id;
    q.replica_state.replica_id = c->node_id;
    q.replica_state.replica_epoch = fetcher_broker_epoch(f);
    q.max_wait_ms = f->wait_ms;
    q.min_bytes = f->es->engine->replica_fetch_bytes_min;
    q.max_bytes = f->es->engine->replica_fetch_response_bytes;
    q.session_id = f->session_id;
    q.session_epoch = f->session_epoch;
    enum rc rc = topics_build(f, &a, &q);
    if (rc == RC_OK)
        rc = forgotten_build(f, &a, &q);
    if (rc == RC_OK)
        rc = request_encode(&q, ++f->correlation, out);
    arena_deinit(&a);
    return rc;
}

// How long the next poll may take, after an answer that said something or did not.
static void wait_choose(struct fetcher *f, bool news)
{
    const struct engine *e = f->es->engine;
    int64_t most = e->replica_lag_ms / 4 < FETCHER_WAIT_MS_MAX ? e->replica_lag_ms / 4 : FETCHER_WAIT_MS_MAX;
    if (e->replica_fetch_bytes_min > 1)
        most = 0; // records may lie there that the leader does not answer with yet
    if (most > e->replica_answer_ms_max / 2)
        most = e->replica_answer_ms_max / 2;
    int64_t next = news || f->session_id == 0 ? 0 : 2 * (int64_t)f->wait_ms;
    next = next < most ? next : most;
    f->wait_ms = next > e->replica_fetch_wait_ms ? (int32_t)next : e->replica_fetch_wait_ms;
}

// The connection stands and nothing is in flight: asks, when there is something to ask for.
static void request_send(struct fetcher *f)
{
    f->urgent = false;
    gather(f);
    if (f->in_session == 0 && f->asked_count == 0 && list_empty(&f->asking))
        return; // fetcher_wants() comes back
    remember(f);
    if (f->asked_count || !list_empty(&f->forgotten))
        wait_choose(f, true);
    buf_deinit(&f->out);
    buf_init(&f->out, REQUEST_ARENA_BYTES);
    f->out_sent = 0;
    if (request_build(f, &f->out) != RC_OK) {
        fetcher_down(f, RC_NOMEM);
        return;
    }
    for (uint32_t i = 0; i < f->asked_count; i++) {
        f->asked[i].r->asked = f->asked[i].ask;
        f->in_session += !f->asked[i].r->in_session;
        f->asked[i].r->in_session = true;
    }
    forgotten_drop(f);
    f->state = FETCHER_ASKING;
    fetcher_send(f);
}

// A request is in flight, and somebody cannot wait until its long poll is over.
static void request_hurry(struct fetcher *f)
{
    struct fetch_request q;
    fetch_request_init(&q);
    q.replica_id = q.replica_state.replica_id = f->es->engine->config.node_id;
    q.replica_state.replica_epoch = fetcher_broker_epoch(f);
    q.session_epoch = FETCH_SESSIONLESS;
    size_t before = f->out.n;
    if (request_encode(&q, FETCHER_HURRY_CORRELATION, &f->out) != RC_OK) {
        f->out.n = before; // no memory: the poll runs to its end
        return;
    }
    f->hurried = true;
    fetcher_send(f);
}

// ------------------------------------------------------------------------------------------------ answers

struct fetcher_answer {
    struct arena arena;
    struct fetch_response response;
    uint8_t *buffer; // the records lie in it
    size_t buffer_bytes;
    uint32_t pending; // parts given out and not done
};

static void answer_over(struct fetcher *f)
{
    struct fetcher_answer *answer = f->answer;
    io_buffer_release(f->es->shard->io, answer->buffer, answer->buffer_bytes);
    arena_deinit(&answer->arena);
    free(answer);
    f->answer = NULL;
    if (f->state == FETCHER_APPENDING)
        f->state = FETCHER_READY;
    wake(f);
}

void fetcher_part_done(struct replica *r)
{
    struct fetcher *f = r->answering;
    ASSERT(f && f->answer && f->answer->pending > 0);
    r->answering = NULL;
    if (--f->answer->pending == 0)
        answer_over(f);
}

// What the session has of a partition: asked for in this request or in an earlier one.
static void part_answered(struct fetcher *f, struct uuid topic, const struct fetch_response_partition *in)
{
    struct replica *r = replica_of(f, (struct topic_partition){.topic_id = topic, .partition = in->partition_index});
    if (!r || !r->in_session || r->answering)
        return;
    r->answering = f;
    f->answer->pending++;
    f->fetched_bytes += in->records.bytes.n;
    struct repl_ask asked = r->asked;
    // What failed or diverged would be answered so at once and for ever: out of the session until it asks anew.
    if (in->error_code != 0 || in->diverging_epoch.epoch != LEADER_EPOCH_NONE)
        session_leave(f, r);
    replica_answered(r, &asked, in);
}

static bool session_answered(struct fetcher *f, const struct fetch_response *in)
{
    if (in->error_code != 0) {
        bool session = in->error_code == kerr_of(RC_FETCH_SESSION_ID_NOT_FOUND) ||
                       in->error_code == kerr_of(RC_INVALID_FETCH_SESSION_EPOCH) ||
                       in->error_code == kerr_of(RC_FETCH_SESSION_TOPIC_ID_ERROR);
        if (!session)
            trace_debug(f->es->engine->config.trace, "node %d answers a fetch with %s", f->leader,
                        kerr_name(in->error_code));
        fetcher_session_begin(f);
        return session;
    }
    if (f->session_epoch == 0)
        f->session_id = in->session_id;
    if (f->session_id != 0)
        f->session_epoch = f->session_epoch == INT32_MAX ? 1 : f->session_epoch + 1;
    return true;
}

void fetcher_answered(struct fetcher *f, struct bytes frame, uint8_t *buffer_owned, size_t buffer_bytes)
{
    struct fetcher_answer *answer = calloc(1, sizeof(*answer));
    int32_t correlation = -1;
    struct dec d;
    if (!answer) {
        io_buffer_release(f->es->shard->io, buffer_owned, buffer_bytes);
        fetcher_down(f, RC_NOMEM);
        return;
    }
    arena_init(&answer->arena, ANSWER_ARENA_BYTES, NULL, 0);
    answer->buffer = buffer_owned;
    answer->buffer_bytes = buffer_bytes;
    answer->pending = 1; // this function
    f->answer = answer;
    f->state = FETCHER_APPENDING;
    f->answers++;
    enum rc rc = frame_response_parse(frame, fetch_request_message.key, FETCHER_FETCH_VERSION,
                                      &correlation, &d);
    if (rc == RC_OK)
        rc = fetch_response_decode(&d, FETCHER_FETCH_VERSION, &answer->arena, &answer->response);
    bool fine = rc == RC_OK && correlation == f->correlation;
    if (fine && session_answered(f, &answer->response)) {
        f->failures = 0;
        wait_choose(f, answer->response.responses_count > 0);
        for (uint32_t i = 0; i < answer->response.responses_count; i++)
            for (uint32_t k = 0; k < answer->response.responses[i].partitions_count; k++)
                part_answered(f, answer->response.responses[i].topic_id, &answer->response.responses[i].partitions[k]);
        if (f->session_id == 0)
            fetcher_session_begin(f); // the leader has no room for a session: everything each time
    } else {
        fetcher_down(f, fine ? RC_CLOSED : RC_MALFORMED);
    }
    f->asked_count = 0;
    if (--answer->pending == 0)
        answer_over(f);
}

// ------------------------------------------------------------------------------------------------ the loop

static void fetcher_free(struct fetcher *f)
{
    shard_defer_cancel(f->es->shard, &f->task);
    shard_timer_cancel(f->es->shard, &f->timer);
    fetcher_close(f);
    forgotten_drop(f);
    list_remove(&f->es->fetchers, &f->link);
    buf_deinit(&f->out);
    free(f->asked);
    free(f);
}

void fetcher_task(struct shard_task *t)
{
    struct fetcher *f = container_of(t, struct fetcher, task);
    if (f->replicas.count == 0 && !f->answer) { // nothing to fetch there any more
        fetcher_free(f);
        return;
    }
    if (f->state == FETCHER_DOWN && f->replicas.count && !shard_timer_is_set(&f->timer))
        fetcher_dial(f);
    else if (f->state == FETCHER_READY && !f->answer && f->out_sent == f->out.n)
        request_send(f);
    else if (f->state == FETCHER_ASKING && f->urgent && !f->hurried)
        request_hurry(f);
}

void fetchers_close(struct engine_shard *es)
{
    for (struct list_node *n; (n = list_first(&es->fetchers));) {
        struct fetcher *f = list_entry(n, struct fetcher, link);
        for (struct list_node *m; (m = list_first(&f->replicas));)
            fetcher_remove(list_entry(m, struct replica, fetcher_link));
        if (f->answer) { // nothing of it is in flight any more
            f->answer->pending = 0;
            answer_over(f);
        }
        fetcher_free(f);
    }
}
