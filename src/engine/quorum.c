// SPDX-License-Identifier: Apache-2.0
//
// The quorum's loop: requests in, decisions into batches, batches into the core, the core's wishes to disk and network,
// commits into images. One batch is under way; what comes meanwhile is decided against the image plus the next batch.
#include "engine/quorum.h"
#include "engine/quorum_core.h"

#include <stdio.h>

static uint64_t now_ms(const struct quorum *q)
{
    return shard_now_ns(q->shard) / 1000000;
}

void quorum_dead(struct quorum *q, enum rc rc, const char *text)
{
    if (q->dead)
        return;
    q->dead = true;
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

static void finish(struct quorum *q, struct quorum_op *op, enum rc rc)
{
    op->rc = rc;
    if (op->from == q->shard)
        op->done(op, rc);
    else
        shard_answer(q->shard, &op->message);
}

static void finish_all(struct quorum *q, struct list *l, enum rc rc)
{
    while (!list_empty(l))
        finish(q, container_of(list_pop_front(l), struct quorum_op, link), rc);
}

// The batch under way is lost, or what becomes of it is unknown: so is every request in it, and one that is in part.
static void batch_lost(struct quorum *q, enum rc rc)
{
    q->batch_index = 0;
    finish_all(q, &q->flying, rc);
    if (list_empty(&q->queue))
        return;
    struct quorum_op *head = container_of(q->queue.head.next, struct quorum_op, link);
    if (head->progress.done == 0)
        return;
    list_remove(&q->queue, &head->link);
    finish(q, head, rc);
}

// Committed requests are answered when every shard reads the image that holds them.
static void answer_landed(struct quorum *q)
{
    uint64_t seen = quorum_seen_index(q);
    while (!list_empty(&q->landed)) {
        struct quorum_op *op = container_of(q->landed.head.next, struct quorum_op, link);
        if (op->index > seen)
            return;
        list_remove(&q->landed, &op->link);
        finish(q, op, RC_OK);
    }
}

static uint64_t expire(struct quorum *q, struct list *l, uint64_t now, uint64_t next)
{
    for (struct list_node *n = l->head.next; n != &l->head;) {
        struct quorum_op *op = container_of(n, struct quorum_op, link);
        n = n->next;
        if (op->deadline_ns && op->deadline_ns <= now) {
            list_remove(l, &op->link);
            finish(q, op, RC_TIMED_OUT);
        } else if (op->deadline_ns && op->deadline_ns < next) {
            next = op->deadline_ns;
        }
    }
    return next;
}

// ---- deciding ----

static void new_uuid(void *context, struct uuid *out)
{
    struct quorum *q = context;
    io_random(q->shard->io, out->b, sizeof(out->b));
}

// Decides what is queued into b, in order, until it is full. Requests that fail as a whole are answered at once.
static void decide_queue(struct quorum *q, struct controller_batch *b)
{
    struct controller_env env = {.prng = &q->shard->prng,
                                 .self = q->config.node_id,
                                 .properties = q->config.properties,
                                 .new_uuid = new_uuid,
                                 .context = q,
                                 .trace = q->config.trace};
    while (!list_empty(&q->queue)) {
        struct quorum_op *op = container_of(q->queue.head.next, struct quorum_op, link);
        enum rc rc = controller_decide(b, &env, op->kind, op->request, op->answer, &op->progress, op->arena);
        if (rc == RC_FULL || rc == RC_AGAIN)
            return; // it, or the rest of it, goes into the next batch
        list_remove(&q->queue, &op->link);
        // What adds no record rests on what is applied, or on earlier records of this batch.
        op->index = b->record_count > 0 ? b->index : q->image->index;
        if (rc != RC_OK)
            finish(q, op, rc);
        else
            list_push_back(&q->flying, &op->link);
    }
}

static void pump(struct quorum *q)
{
    if (q->batch_index || list_empty(&q->queue) || q->dead)
        return;
    if (!raft_leads(&q->raft)) {
        // Without any leader known they wait for one, until their deadlines.
        if (q->raft.leader.node != NODE_ID_NONE && !raft_id_eq(q->raft.leader, q->raft.config.self))
            finish_all(q, &q->queue, RC_NOT_CONTROLLER);
        return;
    }
    if (q->image->index < q->raft.commit)
        return; // acts only on what is applied
    struct controller_batch b;
    if (controller_batch_begin(&b, q->image, raft_last_index(&q->raft) + 1, q->raft.hard.term) != RC_OK) {
        finish_all(q, &q->queue, RC_NOMEM);
        return;
    }
    decide_queue(q, &b);
    if (b.record_count == 0) {
        if (!list_empty(&q->queue))
            quorum_wake(q); // part of a large request that only checks
        while (!list_empty(&q->flying))
            list_push_back(&q->landed, list_pop_front(&q->flying));
        controller_batch_end(&b);
        answer_landed(q);
        return;
    }
    q->batch_index = b.index;
    quorum_feed(q, &(struct raft_event){.kind = RAFT_PROPOSE, .payload = buf_bytes(&b.records)});
    controller_batch_end(&b);
}

// ---- the core's wishes ----

static void journal_done(struct journal *j, enum rc rc);

static void disk_want(struct quorum *q, const struct raft_effects *fx)
{
    struct quorum_disk *d = &q->disk;
    if (!fx->ticket)
        return;
    ASSERT(!fx->install); // only a transport stages snapshots of others, and it installs them
    d->dirty = true;
    d->ticket = fx->ticket;
    if (fx->truncate_from) {
        if (d->next > fx->truncate_from) {
            d->truncate_from =
                d->truncate_from && d->truncate_from < fx->truncate_from ? d->truncate_from : fx->truncate_from;
            d->next = fx->truncate_from;
        }
        d->last = fx->truncate_from - 1;
    }
    if (fx->append_count) {
        ASSERT(fx->append_first == d->last + 1);
        d->last = fx->append_first + fx->append_count - 1;
    }
}

static void disk_write(struct quorum *q)
{
    struct quorum_disk *d = &q->disk;
    if (!d->dirty || journal_busy(&q->journal) || q->dead)
        return;
    struct journal_hard hard = {
        .term = q->raft.hard.term, .vote_node = q->raft.hard.vote.node, .vote_directory = q->raft.hard.vote.directory};
    journal_begin(&q->journal, &hard);
    if (d->truncate_from)
        journal_truncate(&q->journal, d->truncate_from);
    d->truncate_from = 0;
    while (d->next <= d->last) {
        struct raft_entry e;
        bool there = raft_entry_get(&q->raft, d->next, &e);
        ASSERT(there); // entries leave the window only when durable
        struct journal_entry je = {.index = e.index, .term = e.term, .type = (uint8_t)e.type, .payload = e.payload};
        if (!journal_put(&q->journal, &je))
            break;
        d->next++;
    }
    d->dirty = d->next <= d->last;
    d->writing_ticket = d->dirty ? 0 : d->ticket;
    journal_commit(&q->journal, journal_done);
}

// Messages that rested on a ticket leave in the order in which they were made.
static void sends_release(struct quorum *q, uint64_t ticket)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < q->send_count; i++) {
        if (q->sends[i].ticket > ticket)
            q->sends[kept++] = q->sends[i];
        else if (q->config.send)
            q->config.send(q->config.context, &q->sends[i].message);
    }
    q->send_count = kept;
}

static void sends_take(struct quorum *q, const struct raft_effects *fx)
{
    for (uint32_t i = 0; i < fx->send_count; i++) {
        const struct raft_outgoing *o = &fx->send[i];
        if (!q->config.send)
            continue;
        if (o->ticket == 0)
            q->config.send(q->config.context, &o->message);
        else if (q->send_count < QUORUM_SENDS_MAX)
            q->sends[q->send_count++] = *o; // beyond that as if lost on the way
    }
}

static void journal_done(struct journal *j, enum rc rc)
{
    struct quorum *q = j->owner;
    if (rc != RC_OK) {
        quorum_dead(q, rc, "the Raft log cannot be written");
        finish_all(q, &q->flying, RC_NOT_CONTROLLER);
        finish_all(q, &q->queue, RC_NOT_CONTROLLER);
        return;
    }
    uint64_t ticket = q->disk.writing_ticket;
    if (ticket) {
        sends_release(q, ticket);
        quorum_feed(q, &(struct raft_event){.kind = RAFT_DURABLE, .ticket = ticket});
    }
    journal_drop_covered(j);
    quorum_wake(q);
}

// ---- applying ----

static enum rc apply_entry(struct image *w, const struct raft_entry *e)
{
    if (e->type == RAFT_ENTRY_DATA)
        return image_apply_entry(w, e->payload, e->index, e->term);
    w->index = e->index;
    w->term = e->term;
    return RC_OK;
}

static void apply_committed(struct quorum *q, uint64_t commit)
{
    if (commit <= q->image->index || q->dead)
        return;
    struct image *w = image_begin(q->image);
    enum rc rc = w ? RC_OK : RC_NOMEM;
    for (uint64_t i = q->image->index + 1; rc == RC_OK && i <= commit; i++) {
        struct raft_entry e;
        bool there = raft_entry_get(&q->raft, i, &e);
        ASSERT(there);
        rc = apply_entry(w, &e);
    }
    if (rc != RC_OK) {
        image_unref(w);
        quorum_dead(q, rc,
                    rc == RC_NOMEM ? "out of memory while applying"
                                   : "a committed record is unknown to this version or cannot be applied");
        return;
    }
    // Answers of this batch are due once the image is out.
    if (q->batch_index && q->batch_index <= commit) {
        q->batch_index = 0;
        while (!list_empty(&q->flying))
            list_push_back(&q->landed, list_pop_front(&q->flying));
    }
    quorum_publish(q, w);
    quorum_feed(q, &(struct raft_event){.kind = RAFT_APPLIED, .index = commit});
    quorum_snapshot_consider(q);
}

// ---- stepping ----

static void role_moved(struct quorum *q)
{
    int32_t leader = q->raft.leader.node;
    __atomic_store_n(&q->leader, leader, __ATOMIC_RELEASE);
    if (q->raft.role == RAFT_LEADER)
        return;
    batch_lost(q, RC_NOT_CONTROLLER);
}

void quorum_feed(struct quorum *q, struct raft_event *ev)
{
    ev->now_ms = now_ms(q);
    ev->random = prng_next(&q->shard->prng);
    enum rc rc = raft_step(&q->raft, ev, &q->fx);
    disk_want(q, &q->fx);
    sends_take(q, &q->fx);
    uint64_t commit = q->fx.commit_index;
    bool moved = q->fx.role_changed;
    if (ev->kind == RAFT_PROPOSE && rc != RC_OK) {
        // Not taken: nothing is in flight, and whoever asked may ask again.
        batch_lost(q, rc == RC_NOMEM ? RC_NOMEM : RC_NOT_CONTROLLER);
    }
    if (moved)
        role_moved(q);
    apply_committed(q, commit); // may step again; q->fx is no longer read
    quorum_wake(q);
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
    q->format_op = (struct quorum_op){
        .kind = CONTROLLER_FORMAT, .arena = &q->format_arena, .done = format_done, .from = q->shard, .quorum = q};
    list_push_front(&q->queue, &q->format_op.link);
}

static void on_timer(struct shard_timer *t)
{
    struct quorum *q = container_of(t, struct quorum, timer);
    if (raft_deadline_ms(&q->raft) <= now_ms(q) && !q->dead)
        quorum_feed(q, &(struct raft_event){.kind = RAFT_TICK});
    quorum_wake(q);
}

static void on_work(struct shard_task *t)
{
    struct quorum *q = container_of(t, struct quorum, work);
    if (q->dead)
        finish_all(q, &q->queue, RC_NOT_CONTROLLER);
    format_features(q);
    answer_landed(q);
    pump(q);
    disk_write(q);
    uint64_t now = shard_now_ns(q->shard), next = UINT64_MAX;
    next = expire(q, &q->queue, now, next);
    next = expire(q, &q->flying, now, next);
    next = expire(q, &q->landed, now, next);
    uint64_t raft_ms = q->dead ? UINT64_MAX : raft_deadline_ms(&q->raft);
    if (raft_ms != UINT64_MAX && raft_ms * 1000000 < next)
        next = raft_ms * 1000000;
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

static void take(struct quorum *q, struct quorum_op *op)
{
    list_push_back(&q->queue, &op->link);
    quorum_wake(q);
}

static void arrived(struct shard *on, struct shard_message *m)
{
    (void)on;
    struct quorum_op *op = container_of(m, struct quorum_op, message);
    take(op->quorum, op);
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
    ASSERT(op->done != NULL && op->kind < CONTROLLER_KINDS);
    op->quorum = q;
    op->from = from;
    op->rc = RC_OK;
    op->index = 0;
    op->link = (struct list_node){0};
    op->progress = (struct controller_progress){0};
    op->message = (struct shard_message){0};
    op->retry = (struct shard_task){0};
    if (from == q->shard)
        take(q, op);
    else
        try_send(&op->retry);
}

// ---- registration ----

static void registered(struct quorum_op *op, enum rc rc);

static void unfenced(struct quorum_op *op, enum rc rc)
{
    struct quorum_registration *r = container_of(op, struct quorum_registration, op);
    arena_deinit(&r->arena);
    r->done(r, rc);
}

static void registered(struct quorum_op *op, enum rc rc)
{
    struct quorum_registration *r = container_of(op, struct quorum_registration, op);
    if (rc != RC_OK) {
        unfenced(op, rc);
        return;
    }
    // Answered means applied here: the node knows its registration and may serve.
    r->broker_epoch = r->registration.broker_epoch;
    r->state = (struct controller_node_state){.node = r->registration.node, .broker_epoch = r->broker_epoch};
    r->op.kind = CONTROLLER_NODE_STATE;
    r->op.request = r->op.answer = &r->state;
    r->op.done = unfenced;
    quorum_submit(r->quorum, r->quorum->shard, &r->op);
}

void quorum_register(struct quorum *q, struct quorum_registration *r)
{
    struct uuid *directories = r->directories;
    uint32_t count = 0;
    for (uint32_t i = 0; i < q->config.log_dir_count; i++)
        directories[count++] = q->config.log_dirs[i]->identity.directory_id;
    r->quorum = q;
    r->registration = (struct controller_registration){.node = q->config.node_id,
                                                       .incarnation = q->identity.incarnation,
                                                       .rack = r->rack,
                                                       .listeners = r->listeners,
                                                       .listener_count = r->listener_count,
                                                       .directories = directories,
                                                       .directory_count = count,
                                                       .peer_host = r->peer_host,
                                                       .peer_port = r->peer_port,
                                                       .logs_whole = r->logs_whole};
    arena_init(&r->arena, 1 << 20, NULL, 0);
    r->op = (struct quorum_op){.kind = CONTROLLER_REGISTER,
                               .request = &r->registration,
                               .answer = &r->registration,
                               .arena = &r->arena,
                               .done = registered};
    quorum_submit(q, q->shard, &r->op);
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
