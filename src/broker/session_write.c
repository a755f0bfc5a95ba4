// SPDX-License-Identifier: Apache-2.0
//
// Sends answers in request order: memory gathered over as many answers as are ready, file ranges by sendfile. A range
// that is not in the page cache is brought there first, so that the loop does not wait for the disk.
#include "broker/session_core.h"

#include "broker/request.h"

enum { WRITE_VECS_MAX = 64, SEND_FILE_CHUNK_BYTES = 256 * 1024 };
#define SLOW_READER_NS UINT64_C(1000000000)

// ------------------------------------------------------------------------------------------------ one answer

// The next piece of rq's answer that lies in memory, up to the next hole.
static struct bytes request_memory_left(const struct request *rq)
{
    size_t end = rq->hole_at < rq->hole_count ? rq->holes[rq->hole_at].at : rq->out_bytes;
    return bytes_of(rq->out + rq->out_at, end - rq->out_at);
}

static bool request_at_hole(const struct request *rq)
{
    return rq->hole_at < rq->hole_count && rq->holes[rq->hole_at].at == rq->out_at;
}

static bool request_sent(const struct request *rq)
{
    return rq->out_at == rq->out_bytes && rq->hole_at == rq->hole_count;
}

static struct request *session_first_ready(const struct session *s)
{
    struct list_node *n = list_first(&s->requests);
    struct request *rq = n ? list_entry(n, struct request, link) : NULL;
    return rq && rq->state == REQUEST_READY ? rq : NULL;
}

static void session_answer_sent(struct session *s, struct request *rq)
{
    list_remove(&s->requests, &rq->link);
    s->answers_queued--;
    s->answer_bytes_queued -= (uint32_t)rq->queued_bytes;
    request_release(rq);
}

// ------------------------------------------------------------------------------------------------ pieces

// Collects memory of consecutive ready answers until a hole or the limit.
static unsigned session_gather(struct session *s, struct iovec *vecs, size_t *bytes)
{
    unsigned count = 0;
    *bytes = 0;
    for (struct list_node *n = list_first(&s->requests); n && count < WRITE_VECS_MAX; n = list_next(&s->requests, n)) {
        struct request *rq = list_entry(n, struct request, link);
        if (rq->state != REQUEST_READY)
            break;
        struct bytes piece = request_memory_left(rq);
        if (piece.n > 0) {
            vecs[count++] = (struct iovec){.iov_base = (void *)(uintptr_t)piece.p, .iov_len = piece.n};
            *bytes += piece.n;
        }
        if (rq->hole_at < rq->hole_count)
            break;
    }
    return count;
}

// n bytes of gathered memory are gone.
static void session_consume(struct session *s, size_t n)
{
    struct request *rq;
    while ((rq = session_first_ready(s))) {
        struct bytes piece = request_memory_left(rq);
        size_t part = n < piece.n ? n : piece.n;
        rq->out_at += (uint32_t)part;
        n -= part;
        if (!request_sent(rq))
            break;
        session_answer_sent(s, rq);
    }
    ASSERT(n == 0);
}

static enum rc session_send_memory(struct session *s, size_t *sent)
{
    struct iovec vecs[WRITE_VECS_MAX];
    size_t bytes;
    unsigned count = session_gather(s, vecs, &bytes);
    ASSERT(count > 0);
    enum rc rc = io_sock_send(&s->sock, vecs, count, sent);
    if (rc == RC_OK) {
        s->bs->counters.response_bytes += *sent;
        session_consume(s, *sent);
    }
    return rc;
}

static void session_warmed(struct io_op *op, enum rc rc, size_t bytes)
{
    struct request *rq = container_of(op, struct request, cold_op);
    (void)rc; // if the disk failed, sendfile will say so
    (void)bytes;
    if (rq->session)
        session_answer_ready(rq->session);
    else
        request_release(rq);
}

// True when [at, at + n) of the hole's file can be sent without waiting for the disk; else it is being read. Reading it
// whole, elsewhere, leaves no page of it for sendfile to wait for; probing the first and last page is right only as long
// as the kernel evicts in order, so what has been read is not asked for again.
static bool session_warm(struct session *s, struct request *rq, struct io_file *file, uint64_t at, size_t n, size_t left)
{
    if (at + n <= rq->warm_until)
        return true;
    if (io_file_cached(file, at, n)) {
        rq->warm_until = at + n;
        return true;
    }
    struct broker_shard *bs = s->bs;
    if (!bs->cold_scratch)
        bs->cold_scratch = io_buffer_acquire(bs->shard->io, SESSION_COLD_BYTES);
    if (!bs->cold_scratch)
        return true; // no memory to be kind with: sendfile waits for the disk itself
    size_t part = left < SESSION_COLD_BYTES ? left : SESSION_COLD_BYTES;
    bs->counters.fetch_cold++;
    rq->warm_until = at + part;
    rq->cold_op.done = session_warmed;
    io_file_read(&rq->cold_op, file, bs->cold_scratch, part, at);
    return false;
}

// Sends from the file of the hole rq stands at. RC_AGAIN also while the range comes from the disk.
static enum rc session_send_hole(struct session *s, struct request *rq, size_t *sent)
{
    struct enc_hole *hole = &rq->holes[rq->hole_at];
    struct request_range *range = (struct request_range *)(uintptr_t)hole->token;
    struct io_file *file = &range->file;
    uint64_t at = range->position + rq->hole_sent;
    size_t n = hole->n - rq->hole_sent;
    if (n > SEND_FILE_CHUNK_BYTES)
        n = SEND_FILE_CHUNK_BYTES;
    if (io_op_busy(&rq->cold_op))
        return RC_AGAIN;
    if (!session_warm(s, rq, file, at, n, hole->n - rq->hole_sent))
        return RC_AGAIN;
    enum rc rc = io_sock_send_file(&s->sock, file, at, n, sent);
    if (rc != RC_OK)
        return rc;
    s->bs->counters.response_bytes += *sent;
    s->bs->counters.fetch_file_bytes += *sent;
    rq->hole_sent += *sent;
    if (rq->hole_sent == hole->n) {
        rq->hole_at++;
        rq->hole_sent = 0;
        rq->warm_until = 0;
        if (request_sent(rq))
            session_answer_sent(s, rq);
    }
    return RC_OK;
}

// ------------------------------------------------------------------------------------------------ a session

static void session_write_failed(struct session *s, enum rc rc)
{
    if (rc == RC_EOF)
        session_drop(s, BROKER_CLOSE_DISK, "a log file ended before the range promised in an answer");
    else if (rc == RC_IO)
        session_drop(s, BROKER_CLOSE_DISK, "a log file could not be read for its answer");
    else
        session_drop(s, BROKER_CLOSE_PEER, NULL);
}

void session_write(struct session *s)
{
    if (s->state == SESSION_GONE)
        return;
    size_t turn = 0;
    bool moved = false, waiting = false, corked = false;
    struct request *rq;
    while (s->writable && (rq = session_first_ready(s))) {
        if (turn >= TURN_WRITE_BYTES_MAX) {
            session_next_turn(s);
            break;
        }
        size_t sent = 0;
        if (rq->hole_count > 0 && !corked)
            io_sock_cork(&s->sock, corked = true);
        enum rc rc = request_at_hole(rq) ? session_send_hole(s, rq, &sent) : session_send_memory(s, &sent);
        if (rc == RC_AGAIN && io_op_busy(&rq->cold_op)) {
            waiting = true;
            break;
        }
        if (rc == RC_AGAIN) {
            s->writable = false;
            io_sock_want(&s->sock, IO_READABLE | IO_WRITABLE);
            break;
        }
        if (rc != RC_OK) {
            session_write_failed(s, rc);
            return;
        }
        turn += sent;
        moved = true;
    }
    if (corked)
        io_sock_cork(&s->sock, false);
    if (moved)
        session_touch(s);
    bool left = session_first_ready(s) != NULL;
    if (!s->frame || s->frame_have == s->frame_bytes) // else the frame's own clock runs
        session_stalled_update(s, left && !waiting, moved);
    if (left)
        return;
    if (s->state == SESSION_FLUSHING && list_empty(&s->requests))
        session_drain_begin(s);
    else if (s->state == SESSION_OPEN && s->eof && list_empty(&s->requests))
        session_drop(s, BROKER_CLOSE_PEER, NULL);
    else
        session_resume(s); // answers left the queue: what waited behind them may start
}

static void session_write_task(struct shard_task *t)
{
    session_write(container_of(t, struct session, flush_task));
}

// Answers past their bound: those who have taken nothing for a while pay for it. The stalled list has the one that has
// waited longest in front.
void session_relieve(struct shard_task *t)
{
    struct broker_shard *bs = container_of(t, struct broker_shard, relief_task);
    uint64_t now = shard_now_ns(bs->shard);
    for (struct list_node *n = list_first(&bs->stalled); n && bs->answer_bytes > bs->answer_bytes_max;) {
        struct session *s = list_entry(n, struct session, stalled_link);
        if (now - s->stalled_ns < SLOW_READER_NS)
            return;
        n = list_next(&bs->stalled, n);
        if (s->answers_queued > 0)
            session_drop(s, BROKER_CLOSE_STALLED, "it reads its answers too slowly and memory for answers is short");
    }
}

void session_answer_ready(struct session *s)
{
    if (s->state != SESSION_GONE)
        shard_defer(s->bs->shard, &s->flush_task, session_write_task);
}
