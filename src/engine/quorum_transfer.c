// SPDX-License-Identifier: Apache-2.0
//
// Snapshots between nodes. The leader writes its image piece by piece for a member whose next entries have left memory;
// the member puts the pieces into its own journal's next snapshot and into an image of its own, and tells its core when
// both are whole. One piece is on its way at a time.
#include "engine/quorum_core.h"

#include "model/kerr.h"

enum { PIECE_BYTES = 256 << 10, PATIENCE_MS = 10000, AGAIN_MS = 200 };

// ---- out ----

static void transfer_end(struct quorum_transfer *t, bool ok)
{
    struct quorum *q = t->quorum;
    struct raft_id to = t->to;
    image_unref(t->image);
    shard_timer_cancel(q->shard, &t->timer);
    *t = (struct quorum_transfer){.to = raft_id_none()};
    quorum_feed(q, &(struct raft_event){.kind = RAFT_SNAPSHOT_SENT, .id = to, .ok = ok});
}

static void transfer_due(struct shard_timer *timer)
{
    transfer_end(container_of(timer, struct quorum_transfer, timer), false);
}

static void transfer_send(struct quorum_transfer *t)
{
    struct quorum *q = t->quorum;
    struct buf piece;
    buf_init(&piece, 64 << 20);
    enum rc more = snapshot_write(&t->writer, PIECE_BYTES, &piece);
    t->last = more == RC_EOF;
    struct snapshot_piece_request m = {
        .from_node = q->config.node_id,
        .from_directory = q->identity.directory,
        .to_directory = t->to.directory,
        .term = (int64_t)t->term,
        .index = (int64_t)t->image->index,
        .index_term = (int64_t)t->image->term,
        .voters = bytes_of(t->voters, t->voters_bytes),
        .number = t->number,
        .last = t->last,
        .piece = buf_bytes(&piece),
    };
    enum rc rc = more == RC_OK || more == RC_EOF ? RC_OK : more;
    if (rc == RC_OK)
        rc = peers_send(q->peers, t->to.node, &snapshot_piece_request_message, t->number, &m, PEER_BULK);
    buf_deinit(&piece);
    uint64_t wait_ms = rc == RC_OK ? PATIENCE_MS : 0; // not inside this call: the core may be in the middle of a step
    shard_timer_set(q->shard, &t->timer, shard_now_ns(q->shard) + wait_ms * QUORUM_NS_PER_MS, transfer_due);
}

static struct quorum_transfer *transfer_to(struct quorum *q, int32_t node)
{
    for (int i = 0; i < QUORUM_TRANSFERS_MAX; i++)
        if (q->transfers[i].quorum && q->transfers[i].to.node == node)
            return &q->transfers[i];
    return NULL;
}

static void transfer_start(struct shard_timer *timer)
{
    transfer_send(container_of(timer, struct quorum_transfer, timer));
}

// The core waits for an end of every transfer that it asks for, also of those that cannot begin.
static void refused_due(struct shard_timer *timer)
{
    struct quorum *q = container_of(timer, struct quorum, refused_timer);
    struct raft_id refused[RAFT_PEERS_MAX];
    uint32_t count = q->refused_count;
    memcpy(refused, q->refused, count * sizeof(refused[0]));
    q->refused_count = 0;
    for (uint32_t i = 0; i < count && !q->dead; i++)
        quorum_feed(q, &(struct raft_event){.kind = RAFT_SNAPSHOT_SENT, .id = refused[i], .ok = false});
}

static void refuse(struct quorum *q, struct raft_id to)
{
    ASSERT(q->refused_count < RAFT_PEERS_MAX); // the core asks once for each peer
    q->refused[q->refused_count++] = to;
    if (!shard_timer_is_set(&q->refused_timer))
        shard_timer_set(q->shard, &q->refused_timer, shard_now_ns(q->shard) + AGAIN_MS * QUORUM_NS_PER_MS, refused_due);
}

void quorum_transfer_begin(struct quorum *q, struct raft_id to)
{
    struct quorum_transfer *t = NULL;
    for (int i = 0; i < QUORUM_TRANSFERS_MAX && !t; i++)
        if (!q->transfers[i].quorum)
            t = &q->transfers[i];
    // A member whose disk was emptied is nobody's address any more: its node has another folder now.
    const struct peer *p = peers_find(q->peers, to.node);
    bool there = p && p->state == PEER_UP && uuid_eq(p->hello.directory, to.directory);
    if (!t || !there || transfer_to(q, to.node)) {
        refuse(q, to);
        return;
    }
    *t = (struct quorum_transfer){
        .quorum = q, .to = to, .image = image_ref(q->image), .term = q->raft.hard.term};
    t->voters_bytes = raft_voters_encode(raft_voters_at(&q->raft, t->image->index), t->voters);
    snapshot_writer_init(&t->writer, t->image);
    trace_info(q->config.trace, "node %d is far behind: it gets the metadata as of %llu whole", to.node,
               (unsigned long long)t->image->index);
    shard_timer_set(q->shard, &t->timer, shard_now_ns(q->shard), transfer_start);
}

void quorum_transfer_answer(struct quorum *q, int32_t node, const struct peer_frame *f)
{
    struct snapshot_answer_request m;
    struct arena a;
    struct dec d = dec_of(f->body);
    arena_init(&a, 4096, NULL, 0);
    enum rc rc = snapshot_answer_request_decode(&d, f->version, &a, &m);
    arena_deinit(&a);
    struct quorum_transfer *t = transfer_to(q, node);
    if (rc != RC_OK || !t || m.number != t->number || m.index != (int64_t)t->image->index)
        return;
    if (m.error_code != 0 || t->last) {
        transfer_end(t, m.error_code == 0);
        return;
    }
    t->number++;
    transfer_send(t);
}

// ---- in ----

static void arrival_answer(struct quorum *q, enum rc rc)
{
    struct quorum_arrival *in = &q->arrival;
    struct snapshot_answer_request m = {
        .index = (int64_t)in->mark.index, .number = in->number, .error_code = kerr_of(rc)};
    (void)peers_answer(q->peers, in->from, &snapshot_answer_request_message, in->correlation, &m);
}

// Ends what is arriving; nothing of it is in flight.
static void arrival_drop(struct quorum *q, enum rc rc)
{
    struct quorum_arrival *in = &q->arrival;
    if (in->file.journal)
        journal_snapshot_abandon(&in->file);
    image_unref(in->image);
    shard_timer_cancel(q->shard, &in->timer);
    if (rc != RC_OK)
        arrival_answer(q, rc);
    *in = (struct quorum_arrival){0};
}

static void arrival_due(struct shard_timer *timer)
{
    struct quorum *q = container_of(timer, struct quorum, arrival.timer);
    if (!io_op_busy(&q->arrival.file.op))
        arrival_drop(q, RC_OK); // the sender has gone
    else
        shard_timer_set(q->shard, timer, shard_now_ns(q->shard) + PATIENCE_MS * QUORUM_NS_PER_MS, arrival_due);
}

// Whole and durable: the core says whether it is worth something here.
static void arrival_done(struct journal_snapshot *s, enum rc rc)
{
    struct quorum *q = s->owner;
    struct quorum_arrival *in = &q->arrival;
    if (rc != RC_OK)
        journal_snapshot_abandon(s);
    in->file.journal = NULL; // in its place, or abandoned by now
    if (rc != RC_OK) {
        quorum_dead(q, rc, "a snapshot of the metadata cannot be written");
        arrival_drop(q, rc);
        return;
    }
    struct raft_event ev = {
        .kind = RAFT_SNAPSHOT_RECEIVED, .snapshot = &in->mark, .id = in->leader, .term = in->term, .ok = true};
    arrival_answer(q, RC_OK);
    quorum_feed(q, &ev); // takes in->image where the core installs it
    arrival_drop(q, RC_OK);
    quorum_wake(q);
}

static void arrival_put(struct journal_snapshot *s, enum rc rc)
{
    struct quorum *q = s->owner;
    struct quorum_arrival *in = &q->arrival;
    if (rc != RC_OK) {
        arrival_drop(q, rc);
        return;
    }
    if (in->full)
        journal_snapshot_finish(&in->file, arrival_done);
    else
        arrival_answer(q, RC_OK);
}

static enum rc arrival_begin(struct quorum *q, const struct snapshot_piece_request *m)
{
    struct quorum_arrival *in = &q->arrival;
    if (q->snapshot.running || journal_busy(&q->journal))
        return RC_AGAIN; // the leader tries again
    if (m->index <= (int64_t)q->image->index || m->index_term <= 0)
        return RC_INVALID_REQUEST;
    *in = (struct quorum_arrival){.running = true,
                                  .leader = {.node = m->from_node, .directory = m->from_directory},
                                  .term = (uint64_t)m->term,
                                  .mark = {.index = (uint64_t)m->index, .term = (uint64_t)m->index_term}};
    enum rc rc = raft_voters_decode(m->voters, &in->mark.voters);
    in->image = rc == RC_OK ? image_create() : NULL;
    if (rc == RC_OK && !in->image)
        rc = RC_NOMEM;
    if (rc != RC_OK)
        return rc;
    struct journal_mark mark = {
        .index = in->mark.index, .term = in->mark.term, .voters_bytes = (uint32_t)m->voters.n};
    memcpy(mark.voters, m->voters.p, m->voters.n);
    in->file.owner = q;
    return journal_snapshot_begin(&q->journal, &in->file, &mark);
}

static enum rc arrival_take(struct quorum *q, struct peer_inlet *peer, struct peer_route from,
                            const struct snapshot_piece_request *m)
{
    struct quorum_arrival *in = &q->arrival;
    bool member = m->from_node == peer->hello.node && uuid_eq(m->from_directory, peer->hello.directory) &&
                  uuid_eq(m->to_directory, q->identity.directory);
    if (!member || m->term < (int64_t)q->raft.hard.term || q->raft.role == RAFT_LEADER ||
        m->voters.n > RAFT_VOTERS_BYTES_MAX)
        return RC_INVALID_REQUEST;
    if (in->running && (io_op_busy(&in->file.op) || in->full))
        return RC_AGAIN;
    if (m->number == 0) {
        if (in->running)
            arrival_drop(q, RC_OK); // another one begins
        enum rc rc = arrival_begin(q, m);
        if (rc != RC_OK)
            return rc;
    } else if (!in->running || m->number != in->number + 1 || m->index != (int64_t)in->mark.index ||
               in->from.serial != from.serial) {
        return RC_INVALID_REQUEST;
    }
    in->from = from;
    in->number = m->number;
    in->full = m->last;
    enum rc rc = snapshot_load(in->image, m->piece, in->mark.index, in->mark.term);
    if (rc == RC_UNSUPPORTED || rc == RC_UNSUPPORTED_VERSION)
        quorum_dead(q, rc, "the metadata was written by a newer version of weir");
    return rc;
}

void quorum_transfer_piece(struct quorum *q, struct peer_inlet *peer, struct peer_route from, const struct peer_frame *f)
{
    struct quorum_arrival *in = &q->arrival;
    if (q->forming || q->dead || !quorum_cluster_of(q, &peer->hello))
        return;
    struct snapshot_piece_request m;
    struct arena a;
    struct dec d = dec_of(f->body);
    arena_init(&a, 4096, NULL, 0);
    if (snapshot_piece_request_decode(&d, f->version, &a, &m) != RC_OK) {
        arena_deinit(&a);
        return;
    }
    enum rc rc = arrival_take(q, peer, from, &m);
    if (rc != RC_OK) {
        struct snapshot_answer_request answer = {.index = m.index, .number = m.number, .error_code = kerr_of(rc)};
        (void)peers_answer(q->peers, from, &snapshot_answer_request_message, f->correlation, &answer);
        if (in->running && !io_op_busy(&in->file.op) && rc != RC_AGAIN)
            arrival_drop(q, RC_OK);
    } else {
        in->correlation = f->correlation;
        shard_timer_set(q->shard, &in->timer, shard_now_ns(q->shard) + 2 * PATIENCE_MS * QUORUM_NS_PER_MS, arrival_due);
        rc = journal_snapshot_put(&in->file, m.piece, arrival_put);
        if (rc != RC_AGAIN)
            arrival_put(&in->file, rc);
    }
    arena_deinit(&a);
}

void quorum_transfer_end_all(struct quorum *q)
{
    for (int i = 0; i < QUORUM_TRANSFERS_MAX; i++)
        if (q->transfers[i].quorum) {
            image_unref(q->transfers[i].image);
            shard_timer_cancel(q->shard, &q->transfers[i].timer);
            q->transfers[i] = (struct quorum_transfer){.to = raft_id_none()};
        }
    shard_timer_cancel(q->shard, &q->refused_timer);
    while (io_op_busy(&q->arrival.file.op))
        io_poll(q->shard->io, -1);
    shard_timer_cancel(q->shard, &q->arrival.timer);
    if (q->arrival.running) {
        if (q->arrival.file.journal)
            journal_snapshot_abandon(&q->arrival.file);
        image_unref(q->arrival.image);
        q->arrival = (struct quorum_arrival){0};
    }
}
