// SPDX-License-Identifier: Apache-2.0
//
// From a frame to a running handler, and from a response struct to bytes in the session's queue.
#include "broker/request.h"

#include <stdio.h>

#include "broker/session_core.h"
#include "model/kerr.h"
#include "wire/frame.h"
#include "wire/messages.h"

enum {
    TX_SCRATCH_KEPT_BYTES = SCRATCH_BYTES,
    ANSWER_BYTES_MAX = 256 << 20,
    ARENA_BYTES_MIN = 64 << 10,
    API_VERSIONS_KEY = 18,
    PRODUCE_KEY = 0,
    FETCH_KEY = 1,
};

// ------------------------------------------------------------------------------------------------ memory

static void request_free_frame(struct request *rq)
{
    if (rq->frame)
        io_buffer_release(rq->bs->shard->io, rq->frame, rq->body.n);
    else if (rq->slab)
        session_slab_unref(rq->bs, rq->slab);
    rq->frame = NULL;
    rq->slab = NULL;
}

static void request_free_reservation(struct request *rq)
{
    struct budget *b = rq->budget;
    rq->budget = NULL;
    if (b)
        budget_give(b, rq->reserved_bytes);
}

void request_release(struct request *rq)
{
    if (io_op_busy(&rq->cold_op)) {
        rq->session = NULL; // session_warmed() comes back here
        return;
    }
    struct broker_shard *bs = rq->bs;
    if (rq->unpin) {
        request_unpin_fn unpin = rq->unpin;
        rq->unpin = NULL;
        if (!unpin(rq)) {
            rq->session = NULL;
            return;
        }
    }
    request_free_frame(rq);
    request_free_reservation(rq);
    bs->answer_bytes -= rq->queued_bytes;
    if (rq->out_owned)
        io_buffer_release(bs->shard->io, rq->out, rq->out_bytes);
    arena_deinit(&rq->arena);
    if (bs->request_pool.count > bs->requests_peak)
        bs->requests_peak = bs->request_pool.count;
    pool_release(&bs->request_pool, rq);
    session_request_freed(bs);
}

bool request_forget_frame(struct request *rq)
{
    struct bytes id = rq->client_id;
    const uint8_t *copy = id.n <= CLIENT_ID_BYTES_SHOWN_MAX ? arena_copy(&rq->arena, id.p, id.n) : NULL;
    rq->client_id = bytes_of(copy, copy ? id.n : 0);
    request_free_frame(rq);
    size_t bytes = rq->arena.used_bytes;
    if (bytes <= sizeof(rq->arena_first))
        bytes = SESSION_CHARGE_LEAST;
    request_free_reservation(rq);
    // A long list of partitions may have to be drawn from where long frames are.
    struct budget *from[] = {&rq->bs->control, &rq->bs->large};
    for (size_t i = 0; i < ARRAY_COUNT(from) && !rq->budget; i++)
        if (budget_take(from[i], bytes))
            rq->budget = from[i];
    rq->reserved_bytes = bytes;
    return rq->budget != NULL;
}

const void *request_own_frame(struct request *rq, const void *message)
{
    if (!rq->slab)
        return message;
    uint8_t *copy = arena_copy(&rq->arena, rq->body.p, rq->body.n);
    void *again = request_alloc(rq, schema_size(rq->api->request));
    struct dec d;
    struct frame_request frame;
    if (!copy || !again || frame_request_parse(bytes_of(copy, rq->body.n), &frame, &d) != RC_OK ||
        schema_decode(rq->api->request, &d, rq->version, &rq->arena, again) != RC_OK)
        return NULL;
    request_free_frame(rq);
    rq->body = bytes_of(copy, rq->body.n);
    rq->client_id = frame.client_id;
    return again;
}

const char *request_client(const struct request *rq, char out[REQUEST_CLIENT_TEXT_BYTES])
{
    char id[CLIENT_ID_BYTES_SHOWN_MAX + 8], addr[IO_ADDR_TEXT_MAX] = "a closed connection";
    trace_quote(id, sizeof(id), rq->client_id);
    if (rq->session)
        io_addr_format(&rq->session->peer, addr);
    snprintf(out, REQUEST_CLIENT_TEXT_BYTES, "client '%s' at %s", id, addr);
    return out;
}

// ------------------------------------------------------------------------------------------------ start

// Says why on one line and ends the connection after what was asked before has been answered.
static bool request_refuse(struct session *s, struct request *rq, enum broker_close_cause cause, const char *what)
{
    char client[REQUEST_CLIENT_TEXT_BYTES], text[REQUEST_CLIENT_TEXT_BYTES + 256];
    snprintf(text, sizeof(text), "%s (%s)", what, request_client(rq, client));
    s->bs->counters.requests_failed_decode++;
    rq->session = NULL;
    request_release(rq);
    session_close(s, cause, text);
    return false;
}

static void request_begin(struct request *rq, const void *message)
{
    struct session *s = rq->session;
    s->greeted = true;
    list_push_back(&s->requests, &rq->link);
    if (rq->api->key == PRODUCE_KEY) {
        s->produces_waiting++;
        s->produce_bytes_waiting += (uint32_t)rq->reserved_bytes;
    } else {
        s->serial = true;
    }
    rq->api->begin(rq, message);
}

// The oldest form of the answer, with our own range only, so that any client can go on from there (KIP-511).
static void request_answer_api_versions_range(struct request *rq)
{
    struct api_versions_response *out = request_alloc(rq, sizeof(*out));
    struct api_versions_response_api_key *row = request_alloc(rq, sizeof(*row));
    ASSERT(out && row); // the arena's first block has room for both
    api_versions_response_init(out);
    out->error_code = kerr_of(RC_UNSUPPORTED_VERSION);
    *row = (struct api_versions_response_api_key){
        .api_key = rq->api->key, .min_version = rq->api->version_min, .max_version = rq->api->version_max};
    out->api_keys = row;
    out->api_keys_count = 1;
    rq->version = 0;
    struct session *s = rq->session;
    s->greeted = true;
    list_push_back(&s->requests, &rq->link);
    s->serial = true;
    request_answer(rq, out);
}

bool request_start(struct session *s, struct bytes body, uint8_t *frame_owned, struct rx_slab *slab,
                   struct budget *budget, size_t reserved_bytes)
{
    struct broker_shard *bs = s->bs;
    struct request *rq = pool_acquire(&bs->request_pool);
    if (!rq) {
        if (frame_owned)
            io_buffer_release(bs->shard->io, frame_owned, body.n);
        budget_give(budget, reserved_bytes);
        session_close(s, BROKER_CLOSE_LIMIT, "no memory for its request");
        return false;
    }
    rq->session = s;
    rq->bs = bs;
    rq->frame = frame_owned;
    rq->slab = slab;
    if (slab)
        slab->refs++;
    rq->body = body;
    rq->budget = budget;
    rq->reserved_bytes = reserved_bytes;
    rq->start_ns = shard_now_ns(bs->shard);
    size_t limit = body.n * DECODE_EXPANSION_MAX;
    arena_init(&rq->arena, limit < ARENA_BYTES_MIN ? ARENA_BYTES_MIN : limit, rq->arena_first,
               sizeof(rq->arena_first));
    bs->counters.requests++;
    bs->counters.request_bytes += body.n;

    struct dec d;
    struct frame_request frame;
    if (frame_request_parse(body, &frame, &d) == RC_MALFORMED)
        return request_refuse(s, rq, BROKER_CLOSE_MALFORMED, "its request header is malformed");
    rq->version = frame.api_version;
    rq->correlation_id = frame.correlation_id;
    rq->client_id = frame.client_id;
    rq->api = api_find(frame.api_key);
    char text[128];
    if (!rq->api) {
        snprintf(text, sizeof(text), "unknown API key %d version %d", frame.api_key, rq->version);
        return request_refuse(s, rq, BROKER_CLOSE_KEY, text);
    }
    if (rq->version < rq->api->version_min || rq->version > rq->api->version_max) {
        if (rq->api->key == API_VERSIONS_KEY && rq->version > rq->api->version_max) {
            request_answer_api_versions_range(rq);
            return true;
        }
        snprintf(text, sizeof(text), "%s version %d is not supported, %d to %d are", rq->api->name, rq->version,
                 rq->api->version_min, rq->api->version_max);
        return request_refuse(s, rq, BROKER_CLOSE_VERSION, text);
    }
    if (s->replica != NODE_ID_NONE && rq->api->key != FETCH_KEY)
        return request_refuse(s, rq, BROKER_CLOSE_KEY, "a replica's connection serves Fetch alone");
    void *message = request_alloc(rq, schema_size(rq->api->request));
    enum rc rc = message ? schema_decode(rq->api->request, &d, rq->version, &rq->arena, message) : RC_NOMEM;
    if (rc != RC_OK) {
        snprintf(text, sizeof(text), "%s version %d cannot be decoded: %s", rq->api->name, rq->version, rc_text(rc));
        return request_refuse(s, rq, BROKER_CLOSE_MALFORMED, text);
    }
    request_begin(rq, message);
    return s->state == SESSION_OPEN;
}

// ------------------------------------------------------------------------------------------------ answer

static void request_done_running(struct request *rq)
{
    struct session *s = rq->session;
    if (rq->api->key == PRODUCE_KEY) {
        s->produces_waiting--;
        s->produce_bytes_waiting -= (uint32_t)rq->reserved_bytes;
    } else {
        s->serial = false;
    }
}

static bool request_encode(struct request *rq, const void *message, struct enc *e)
{
    e->buf->n = 0;
    e->buf->failed = false;
    struct frame_mark mark = frame_response_begin(e, rq->api->key, rq->version, rq->correlation_id);
    schema_encode(rq->api->response, e, rq->version, message);
    frame_end(e, mark);
    return enc_ok(e);
}

// With nothing queued before it an answer goes straight to the socket, without a copy. True: all of it is sent.
static bool request_send_now(struct request *rq, struct bytes answer)
{
    struct session *s = rq->session;
    if (s->requests.count != 1 || !s->writable || rq->hole_count > 0)
        return false;
    struct iovec vec = {.iov_base = (void *)(uintptr_t)answer.p, .iov_len = answer.n};
    size_t sent = 0;
    if (io_sock_send(&s->sock, &vec, 1, &sent) != RC_OK)
        return false; // the session's own write finds out what it is
    s->bs->counters.response_bytes += sent;
    s->turn_cost += (uint32_t)sent;
    rq->out_at = (uint32_t)sent;
    return sent == answer.n;
}

// Keeps the encoded bytes until they are sent. False when memory is short.
static bool request_keep(struct request *rq, struct bytes answer)
{
    struct broker_shard *bs = rq->bs;
    rq->out_bytes = (uint32_t)answer.n;
    if (answer.n <= sizeof(rq->out_first)) {
        rq->out = rq->out_first;
    } else {
        bool over = bs->answer_bytes > 0 && bs->answer_bytes + answer.n > 2 * bs->answer_bytes_max;
        if (bs->answer_bytes + answer.n > bs->answer_bytes_max)
            shard_defer(bs->shard, &bs->relief_task, session_relieve);
        if (over)
            return false;
        rq->out = io_buffer_acquire(bs->shard->io, answer.n);
        rq->out_owned = rq->out != NULL;
        if (!rq->out)
            return false;
    }
    memcpy(rq->out, answer.p, answer.n);
    rq->queued_bytes = sizeof(*rq) + (rq->out_owned ? answer.n : 0);
    bs->answer_bytes += rq->queued_bytes;
    return true;
}

static void request_unlink(struct request *rq)
{
    struct session *s = rq->session;
    list_remove(&s->requests, &rq->link);
    request_release(rq);
    session_resume(s);
    if (s->state != SESSION_OPEN || s->eof)
        session_answer_ready(s);
}

// One long answer is no reason to keep as much for ever.
static void request_trim_scratch(struct buf *b)
{
    if (b->cap <= TX_SCRATCH_KEPT_BYTES)
        return;
    buf_deinit(b);
    buf_init(b, ANSWER_BYTES_MAX);
}

void request_answer(struct request *rq, const void *message)
{
    request_answer_holes(rq, message, 0, NULL);
}

void request_give_up(struct request *rq)
{
    struct session *s = rq->session;
    if (s) {
        char client[REQUEST_CLIENT_TEXT_BYTES], text[REQUEST_CLIENT_TEXT_BYTES + 96];
        snprintf(text, sizeof(text), "%s of %s needs more memory than a request of its size may take", rq->api->name,
                 request_client(rq, client));
        session_drop(s, BROKER_CLOSE_LIMIT, text);
    }
    rq->state = REQUEST_READY;
    request_release(rq);
}

void request_answer_holes(struct request *rq, const void *message, uint32_t hole_count_max, request_unpin_fn unpin)
{
    ASSERT(rq->state == REQUEST_RUNNING);
    struct session *s = rq->session;
    rq->state = REQUEST_READY;
    rq->abandon = rq->hurry = NULL;
    rq->unpin = unpin;
    if (!s) {
        request_release(rq);
        return;
    }
    request_done_running(rq);
    struct buf *b = &rq->bs->tx_scratch;
    struct enc e;
    if (hole_count_max > 0)
        rq->holes = arena_array(&rq->arena, hole_count_max, sizeof(*rq->holes));
    enc_init(&e, b, rq->holes, rq->holes ? hole_count_max : 0);
    if (!request_encode(rq, message, &e)) {
        char client[REQUEST_CLIENT_TEXT_BYTES], text[REQUEST_CLIENT_TEXT_BYTES + 64];
        snprintf(text, sizeof(text), "the answer to %s of %s is too large", rq->api->name, request_client(rq, client));
        session_drop(s, BROKER_CLOSE_LIMIT, text);
        request_trim_scratch(b);
        return;
    }
    rq->hole_count = e.hole_count;
    request_free_frame(rq); // the message pointed into it; nothing does any more
    request_free_reservation(rq);
    struct bytes answer = buf_bytes(b);
    if (request_send_now(rq, answer)) {
        request_unlink(rq);
    } else if (request_keep(rq, answer)) {
        s->answers_queued++;
        s->answer_bytes_queued += (uint32_t)rq->queued_bytes;
        session_answer_ready(s);
        session_resume(s);
    } else {
        session_drop(s, BROKER_CLOSE_LIMIT, "no memory for its answer");
    }
    request_trim_scratch(b);
}

void request_answer_none(struct request *rq, bool fail)
{
    ASSERT(rq->state == REQUEST_RUNNING);
    struct session *s = rq->session;
    rq->state = REQUEST_READY;
    rq->abandon = rq->hurry = NULL;
    if (!s) {
        request_release(rq);
        return;
    }
    request_done_running(rq);
    request_unlink(rq);
    if (fail && s->state == SESSION_OPEN)
        session_close(s, BROKER_CLOSE_FAILED, "a produce with acks=0 failed, which only a closed connection can tell");
}
