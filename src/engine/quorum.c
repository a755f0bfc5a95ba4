// SPDX-License-Identifier: Apache-2.0
//
// The quorum's loop: requests in, decisions into batches, batches into the core, the core's wishes to disk and network,
// commits into images. One batch is under way; what comes meanwhile is decided against the image plus the next batch.
#include "engine/quorum.h"
#include "engine/quorum_core.h"

#include <stdio.h>

enum { BROKERS_WAIT_MS = 1000 };

static uint64_t now_ms(const struct quorum *q)
{
    return shard_now_ns(q->shard) / 1000000;
}

void quorum_dead(struct quorum *q, enum rc rc, const char *text)
{
    if (q->dead)
        return;
    q->dead = true;
    quorum_draft_drop(q);
    trace_error(q->config.trace, "metadata: %s (%s); this node cannot go on", text, rc_text(rc));
    if (q->config.failed)
        q->config.failed(q->config.context, rc, text);
}

// ---- answers ----

static void answered(struct shard *on, struct shard_message *m)
{
    (void)on;
    struct quorum_op *op = container_of(m, struct quorum_op, message);
    op->done(op, op->rc);
}

void quorum_finish(struct quorum *q, struct quorum_op *op, enum rc rc)
{
    op->rc = rc;
    if (op->from == q->shard)
        op->done(op, rc);
    else
        shard_answer(q->shard, &op->message);
}

void quorum_finish_all(struct quorum *q, struct list *l, enum rc rc)
{
    while (!list_empty(l))
        quorum_finish(q, container_of(list_pop_front(l), struct quorum_op, link), rc);
}

// The batch under way is lost, or what becomes of it is unknown: so is every request in it, and one that is in part.
static void batch_lost(struct quorum *q, enum rc rc)
{
    q->batch_index = 0;
    quorum_finish_all(q, &q->flying, rc);
    if (list_empty(&q->queue))
        return;
    struct quorum_op *head = container_of(q->queue.head.next, struct quorum_op, link);
    if (head->progress.done == 0)
        return;
    list_remove(&q->queue, &head->link);
    quorum_finish(q, head, rc);
}

static bool waits_for_brokers(const struct quorum_op *op)
{
    return op->kind == CONTROLLER_CREATE_TOPICS || op->kind == CONTROLLER_DELETE_TOPICS ||
           op->kind == CONTROLLER_CREATE_PARTITIONS;
}

// Committed requests are answered when every shard reads the image that holds them; what clients will ask other brokers
// about next, also when those have applied it, or a second later.
static uint64_t answer_landed(struct quorum *q, uint64_t now)
{
    uint64_t seen = quorum_seen_index(q), everywhere = list_empty(&q->landed) ? 0 : quorum_brokers_seen(q);
    uint64_t next = UINT64_MAX;
    for (struct list_node *n = q->landed.head.next; n != &q->landed.head;) {
        struct quorum_op *op = container_of(n, struct quorum_op, link);
        n = n->next;
        if (op->index > seen)
            continue;
        if (op->landed_ns && waits_for_brokers(op) && op->index > everywhere) {
            uint64_t until = op->landed_ns + BROKERS_WAIT_MS * QUORUM_NS_PER_MS;
            if (now < until) {
                next = until < next ? until : next;
                continue;
            }
        }
        list_remove(&q->landed, &op->link);
        quorum_finish(q, op, RC_OK);
        n = q->landed.head.next; // done() may have changed the list
    }
    return next;
}

// The op leaves the queue undecided.
static void withdraw(struct quorum *q, struct list *l, struct quorum_op *op)
{
    if (op == q->draft.op)
        quorum_draft_drop(q);
    list_remove(l, &op->link);
}

static uint64_t expire(struct quorum *q, struct list *l, uint64_t now, uint64_t next)
{
    for (struct list_node *n = l->head.next; n != &l->head;) {
        struct quorum_op *op = container_of(n, struct quorum_op, link);
        n = n->next;
        if (op->deadline_ns && op->deadline_ns <= now) {
            withdraw(q, l, op);
            quorum_finish(q, op, RC_TIMED_OUT);
        } else if (op->deadline_ns && op->deadline_ns < next) {
            next = op->deadline_ns;
        }
    }
    return next;
}

// At rest what this node's own shards ask for is answered at once, or a stop would wait for the deadlines of what no
// controller takes and of images that no shard reads any more. Whoever asked is about to be freed and does not ask again.
static void answer_own(struct quorum *q, struct list *l)
{
    for (struct list_node *n = l->head.next; n != &l->head;) {
        struct quorum_op *op = container_of(n, struct quorum_op, link);
        n = n->next;
        if (op->local)
            continue;
        withdraw(q, l, op);
        quorum_finish(q, op, RC_NOT_CONTROLLER);
    }
}

// ---- deciding ----

// What is no decision of the controller leaves the queue here.
static void asked_of_raft(struct quorum *q)
{
    for (struct list_node *n = q->queue.head.next; n != &q->queue.head;) {
        struct quorum_op *op = container_of(n, struct quorum_op, link);
        n = n->next;
        if (op->kind < CONTROLLER_KINDS)
            continue;
        list_remove(&q->queue, &op->link);
        quorum_voters_take(q, op);
    }
}

static void pump(struct quorum *q)
{
    if (q->batch_index || list_empty(&q->queue) || q->dead || q->forming ||
        (q->draft.op && q->draft.turn == q->shard->counters.turns + 1))
        return;
    if (!raft_leads(&q->raft)) {
        // Without any leader known they wait for one, until their deadlines.
        if (q->peers && q->raft.leader.node != NODE_ID_NONE && !raft_id_eq(q->raft.leader, q->raft.config.self))
            quorum_forward_all(q);
        return;
    }
    asked_of_raft(q);
    if (list_empty(&q->queue))
        return;
    if (q->image->index < q->raft.commit || raft_hands_over(&q->raft)) {
        quorum_draft_drop(q);
        return; // acts only on what is applied, and not while another is to lead
    }
    struct controller_batch b;
    enum rc rc = quorum_decide(q, &b);
    if (rc == RC_AGAIN)
        return; // the next turn goes on with it
    if (rc != RC_OK) {
        quorum_finish_all(q, &q->queue, RC_NOMEM);
        return;
    }
    if (b.record_count == 0) {
        if (!list_empty(&q->queue))
            quorum_wake(q); // part of a large request that only checks
        quorum_land(q);
        controller_batch_end(&b);
        quorum_wake(q);
        return;
    }
    q->batch_index = b.index;
    quorum_feed(q, &(struct raft_event){.kind = RAFT_PROPOSE, .payload = buf_bytes(&b.records)});
    controller_batch_end(&b);
}

// ---- stepping ----

static void role_moved(struct quorum *q)
{
    int32_t leader = q->raft.leader.node;
    __atomic_store_n(&q->leader, leader, __ATOMIC_RELEASE);
    // What was sent to the leader before is still its to answer; only the end of that connection ends it here.
    if (q->raft.role == RAFT_LEADER)
        return;
    quorum_draft_drop(q);
    batch_lost(q, RC_NOT_CONTROLLER);
    for (struct list_node *n = q->queue.head.next; n != &q->queue.head;) {
        struct quorum_op *op = container_of(n, struct quorum_op, link);
        n = n->next;
        if (!op->local)
            continue;
        list_remove(&q->queue, &op->link);
        quorum_finish(q, op, RC_NOT_CONTROLLER);
        n = q->queue.head.next;
    }
}

// The core takes the place of log and image by a snapshot that quorum_transfer.c has made durable.
static void install(struct quorum *q)
{
    struct image *w = q->arrival.image;
    ASSERT(w && q->fx.installed.index == q->arrival.mark.index);
    q->arrival.image = NULL;
    quorum_apply_drop(q);
    w->index = q->fx.installed.index;
    w->term = q->fx.installed.term;
    w->changes.everything = true;
    quorum_self_image(q, w);
    quorum_publish(q, w);
}

enum rc quorum_step(struct quorum *q, struct raft_event *ev, uint64_t *index)
{
    ev->now_ms = now_ms(q);
    ev->random = prng_next(&q->shard->prng);
    enum rc rc = raft_step(&q->raft, ev, &q->fx);
    __atomic_store_n(&q->voter_count, raft_voters(&q->raft)->count, __ATOMIC_RELAXED);
    *index = q->fx.proposed;
    quorum_disk_want(q, &q->fx);
    quorum_sends_take(q, &q->fx);
    for (uint32_t i = 0; q->peers && i < q->fx.snapshot_to_count; i++)
        quorum_transfer_begin(q, q->fx.snapshot_to[i]);
    if (q->fx.install)
        install(q);
    uint64_t commit = q->fx.commit_index;
    bool moved = q->fx.role_changed;
    if (ev->kind == RAFT_PROPOSE && rc != RC_OK) {
        // Not taken: nothing is in flight, and whoever asked may ask again.
        batch_lost(q, rc == RC_NOMEM ? RC_NOMEM : RC_NOT_CONTROLLER);
    }
    if (moved)
        role_moved(q);
    quorum_apply(q, commit); // may step again; q->fx is no longer read
    quorum_wake(q);
    return rc;
}

void quorum_feed(struct quorum *q, struct raft_event *ev)
{
    uint64_t index;
    (void)quorum_step(q, ev, &index);
}

static void format_done(struct quorum_op *op, enum rc rc)
{
    struct quorum *q = container_of(op, struct quorum, format_op);
    if (rc != RC_OK)
        q->format_asked = false; // another leader does it, or this one tries again
}

// The first entry of a new cluster's first leader sets the feature levels.
static void format_features(struct quorum *q)
{
    if (q->format_asked || q->dead || !raft_leads(&q->raft) ||
        image_feature_level(q->image, FEATURE_METADATA_VERSION) > 0)
        return;
    q->format_asked = true;
    q->format_op = (struct quorum_op){.kind = CONTROLLER_FORMAT,
                                      .arena = &q->format_arena,
                                      .done = format_done,
                                      .from = q->shard,
                                      .quorum = q,
                                      .local = true};
    list_push_front(&q->queue, &q->format_op.link);
}

static void on_timer(struct shard_timer *t)
{
    struct quorum *q = container_of(t, struct quorum, timer);
    if (!q->dead && !q->forming && raft_deadline_ms(&q->raft) <= now_ms(q))
        quorum_feed(q, &(struct raft_event){.kind = RAFT_TICK});
    quorum_wake(q);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void on_work(struct shard_task *t)
{
    struct quorum *q = container_of(t, struct quorum, work);
    uint64_t now = shard_now_ns(q->shard), next = UINT64_MAX;
    struct list *lists[] = {&q->queue, &q->flying, &q->landed, &q->away, &q->changes, &q->confirms};
    if (quorum_applies(q))
        quorum_apply(q, 0);
    for (size_t i = 0; q->resting && i < ARRAY_COUNT(lists); i++)
        answer_own(q, lists[i]);
    if (q->dead) {
        quorum_finish_all(q, &q->queue, RC_NOT_CONTROLLER);
        quorum_finish_all(q, &q->changes, RC_NOT_CONTROLLER);
        quorum_forward_lost(q, NODE_ID_NONE);
    } else if (!q->forming) {
        if (q->peers && raft_voters_index(&q->raft) != q->observers_set)
            quorum_observers(q);
        format_features(q);
        next = sooner(next, quorum_brokers_work(q, now));
        next = sooner(next, quorum_voters_work(q, now));
        next = sooner(next, quorum_peers_work(q, now));
        next = sooner(next, quorum_tend_work(q, now));
    }
    next = sooner(next, quorum_say_leaderless(q, now));
    next = sooner(next, quorum_self_work(q, now));
    next = sooner(next, answer_landed(q, now));
    quorum_confirm_work(q);
    pump(q);
    if (!q->forming)
        next = sooner(next, quorum_disk_write(q, now));
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++)
        next = expire(q, lists[i], now, next);
    if (quorum_applies(q) || q->draft.op)
        next = now; // the next turn
    uint64_t raft_ms = q->dead || q->forming ? UINT64_MAX : raft_deadline_ms(&q->raft);
    if (raft_ms != UINT64_MAX)
        next = sooner(next, raft_ms * 1000000);
    if (next == UINT64_MAX)
        shard_timer_cancel(q->shard, &q->timer);
    else if (shard_timer_set(q->shard, &q->timer, next, on_timer) != RC_OK)
        quorum_dead(q, RC_NOMEM, "no timer");
}

void quorum_wake(struct quorum *q)
{
    if (q->started)
        shard_defer(q->shard, &q->work, on_work);
}

// ---- requests ----

void quorum_take(struct quorum *q, struct quorum_op *op)
{
    if (op->kind == QUORUM_CONFIRM)
        quorum_confirm_take(q, op);
    else
        list_push_back(&q->queue, &op->link);
    quorum_wake(q);
}

static void arrived(struct shard *on, struct shard_message *m)
{
    (void)on;
    struct quorum_op *op = container_of(m, struct quorum_op, message);
    quorum_take(op->quorum, op);
}

static void try_send(struct shard_task *t)
{
    struct quorum_op *op = container_of(t, struct quorum_op, retry);
    op->message.run = arrived;
    op->message.answered = answered;
    if (shard_send(op->from, op->quorum->shard->id, &op->message) == RC_FULL)
        shard_mailbox_wait(op->from, op->quorum->shard->id, &op->retry, try_send);
}

void quorum_submit(struct quorum *q, struct shard *from, struct quorum_op *op)
{
    ASSERT(op->done != NULL && op->kind >= 0 && op->kind < QUORUM_KINDS);
    op->quorum = q;
    op->from = from;
    op->rc = RC_OK;
    op->index = 0;
    op->link = (struct list_node){0};
    op->sent_to = NODE_ID_NONE;
    op->landed_ns = 0;
    op->progress = (struct controller_progress){0};
    op->message = (struct shard_message){0};
    op->retry = (struct shard_task){0};
    if (from == q->shard)
        quorum_take(q, op);
    else
        try_send(&op->retry);
}

// ---- looking ----

const struct quorum_identity *quorum_identity(const struct quorum *q)
{
    return &q->identity;
}

const struct raft *quorum_raft(const struct quorum *q)
{
    return &q->raft;
}

const struct image *quorum_image(const struct quorum *q)
{
    return q->image;
}

uint32_t quorum_voter_count(const struct quorum *q)
{
    return __atomic_load_n(&q->voter_count, __ATOMIC_RELAXED);
}

int32_t quorum_leader(const struct quorum *q)
{
    return __atomic_load_n(&q->leader, __ATOMIC_ACQUIRE);
}

void quorum_status(const struct quorum *q, struct quorum_status *out)
{
    *out = (struct quorum_status){
        .leader = q->raft.leader.node,
        .term = q->raft.hard.term,
        .commit_index = q->raft.commit,
        .applied_index = q->image->index,
        .last_index = raft_last_index(&q->raft),
        .durable_index = q->raft.durable_index,
        .snapshot_index = q->journal.snapshot.index,
        .role = q->raft.role,
        .leads = raft_leads(&q->raft),
        .queued = (uint32_t)(q->queue.count + q->flying.count),
        .journal_bytes = q->journal.bytes_since_snapshot,
    };
}
