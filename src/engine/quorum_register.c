// SPDX-License-Identifier: Apache-2.0
//
// This process as a broker of its cluster: it registers, is unfenced when it can serve, beats, and says good-bye.
//
//     NONE -> REGISTERING -> REGISTERED -> UNFENCING -> SERVING      any -> FAILED: it exits
//                 |  answered and applied here   |  quorum_ready()
//                 +-- asked again while no controller answers, or while another process of this id lives
//
// Without peers nothing lies between being registered and serving: both are asked for at once and become one entry.
#include "engine/quorum_core.h"

#include <stdio.h>

enum {
    REGISTER_WAIT_MS = 5000,     // for one answer
    RETRY_MS = 100,
    DUPLICATE_PATIENCE_MS = 3000, // longer than a session
    DUPLICATE_GAP_MS = 3000,      // between two who say so; they are asked every second
    BEAT_PATIENCE_MS = 3000,
    LEAVE_MS = 2000,
    LOOK_MS = 10, // how often, meanwhile
};

static void retry_later(struct quorum *q)
{
    q->self.busy = false;
    q->self.retry_ns = shard_now_ns(q->shard) + RETRY_MS * QUORUM_NS_PER_MS;
    quorum_wake(q);
}

static void end(struct quorum *q, enum rc rc)
{
    struct quorum_registration *r = q->self.registration;
    q->self.busy = false;
    q->self.registration = NULL;
    arena_deinit(&r->arena);
    q->self.stage = rc == RC_OK ? QUORUM_SELF_SERVING : QUORUM_SELF_FAILED;
    if (q->peers && rc == RC_OK)
        q->self.beat_ns = shard_now_ns(q->shard) + q->beat_every_ns;
    quorum_wake(q);
    r->done(r, rc);
}

static bool passes(enum rc rc)
{
    return rc == RC_NOT_CONTROLLER || rc == RC_TIMED_OUT || rc == RC_NOMEM;
}

// ---- another process with the same id ----

// One that has died is taken for alive until its session ends, and its successor has to wait for that. Who says nothing is
// no witness, so the answers may not be far apart.
bool quorum_self_patient(struct quorum *q)
{
    struct quorum_self *s = &q->self;
    uint64_t now = shard_now_ns(q->shard);
    if (s->duplicate_ns == 0 || now - s->duplicate_last_ns > DUPLICATE_GAP_MS * QUORUM_NS_PER_MS)
        s->duplicate_ns = now;
    s->duplicate_last_ns = now;
    if (now - s->duplicate_ns < q->session_ns + DUPLICATE_PATIENCE_MS * QUORUM_NS_PER_MS)
        return true;
    trace_error(q->config.trace,
                "another process with id %d is alive, and has been for %llu s: give each node its own --id, or stop that "
                "process first if this one is to take its place",
                q->config.node_id, (unsigned long long)((now - s->duplicate_ns) / (1000 * QUORUM_NS_PER_MS)));
    return false;
}

// ---- registering ----

static void unfenced(struct quorum_op *op, enum rc rc)
{
    struct quorum_registration *r = container_of(op, struct quorum_registration, state_op);
    struct quorum *q = r->quorum;
    arena_reset(&r->arena);
    if (r->rc != RC_OK)
        rc = r->rc; // then this cannot be either
    if (q->peers && passes(rc) && !q->dead)
        retry_later(q);
    else
        end(q, rc);
}

static void unfence(struct quorum *q)
{
    struct quorum_registration *r = q->self.registration;
    q->self.stage = QUORUM_SELF_UNFENCING;
    q->self.busy = true;
    r->state = (struct controller_node_state){
        .node = r->registration.node,
        .broker_epoch = r->broker_epoch,
        .incarnation = q->peers ? NULL : &q->identity.incarnation};
    r->state_op = (struct quorum_op){.kind = CONTROLLER_NODE_STATE,
                                     .request = &r->state,
                                     .answer = &r->state,
                                     .arena = &r->arena,
                                     .deadline_ns =
                                         q->peers ? shard_now_ns(q->shard) + REGISTER_WAIT_MS * QUORUM_NS_PER_MS : 0,
                                     .done = unfenced};
    quorum_submit(q, q->shard, &r->state_op);
}

static void registered(struct quorum_op *op, enum rc rc)
{
    struct quorum_registration *r = container_of(op, struct quorum_registration, op);
    struct quorum *q = r->quorum;
    r->broker_epoch = r->registration.broker_epoch;
    if (!q->peers) {
        r->rc = rc;
        q->self.broker_epoch = r->broker_epoch;
        return; // unfenced() follows, in the same turn or later
    }
    arena_reset(&r->arena); // what the answer pointed to
    if (!q->dead && (passes(rc) || (rc == RC_DUPLICATE_BROKER_REGISTRATION && quorum_self_patient(q)))) {
        retry_later(q);
        return;
    }
    if (rc != RC_OK) {
        end(q, rc);
        return;
    }
    // Answered means applied here: the node knows its registration.
    q->self.busy = false;
    q->self.broker_epoch = r->broker_epoch;
    q->self.stage = QUORUM_SELF_REGISTERED;
    peers_greet_again(q->peers); // with the broker epoch
    q->self.beat_ns = shard_now_ns(q->shard) + q->beat_every_ns;
    if (q->config.registered)
        q->config.registered(q->config.context);
    else
        quorum_ready(q);
}

static void ask(struct quorum *q)
{
    struct quorum_registration *r = q->self.registration;
    uint32_t count = 0;
    for (uint32_t i = 0; i < q->config.log_dir_count; i++)
        r->directories[count++] = q->config.log_dirs[i]->identity.directory_id;
    r->registration = (struct controller_registration){.node = q->config.node_id,
                                                       .incarnation = q->identity.incarnation,
                                                       .rack = r->rack,
                                                       .listeners = r->listeners,
                                                       .listener_count = r->listener_count,
                                                       .directories = r->directories,
                                                       .directory_count = count,
                                                       .peer_host = r->peer_host,
                                                       .peer_port = r->peer_port,
                                                       .logs_whole = r->logs_whole,
                                                       .broker_epoch = -1};
    q->self.busy = true;
    r->op = (struct quorum_op){.kind = CONTROLLER_REGISTER,
                               .request = &r->registration,
                               .answer = &r->registration,
                               .arena = &r->arena,
                               .deadline_ns = q->peers ? shard_now_ns(q->shard) + REGISTER_WAIT_MS * QUORUM_NS_PER_MS : 0,
                               .done = registered};
    quorum_submit(q, q->shard, &r->op);
}

void quorum_register(struct quorum *q, struct quorum_registration *r)
{
    ASSERT(q->self.stage == QUORUM_SELF_NONE);
    r->quorum = q;
    arena_init(&r->arena, 1 << 20, NULL, 0);
    q->self.registration = r;
    q->self.stage = QUORUM_SELF_REGISTERING;
    if (q->peers) {
        quorum_wake(q); // when there is a cluster
        return;
    }
    ask(q);
    unfence(q);
}

void quorum_ready(struct quorum *q)
{
    ASSERT(q->self.stage == QUORUM_SELF_REGISTERED);
    unfence(q);
}

// ---- the own place in the image ----

void quorum_self_image(struct quorum *q, const struct image *image)
{
    if (image->changes.nodes || image->changes.everything)
        quorum_met_addresses(q, image);
    if (!q->peers || q->self.stage < QUORUM_SELF_REGISTERED || q->self.stage == QUORUM_SELF_FAILED)
        return;
    const struct image_node *n = image_node(image, q->config.node_id);
    if (n && uuid_eq(n->incarnation, q->identity.incarnation))
        return;
    // It does not register again: whoever did so since owns the id, and what this process knows is of the past.
    char text[160];
    snprintf(text, sizeof(text), n ? "another process has registered as node %d" : "node %d was removed from the cluster",
             q->config.node_id);
    q->self.stage = QUORUM_SELF_FAILED;
    quorum_dead(q, RC_STALE_BROKER_EPOCH, text);
}

// ---- heartbeats ----

static bool leads_elsewhere(const struct quorum *q)
{
    return q->raft.leader.node != NODE_ID_NONE && q->raft.leader.node != q->config.node_id;
}

// The controller heard of what was applied and whether this node may be unfenced again.
static void beat(struct quorum *q, uint64_t now)
{
    const struct image_node *n = image_node(q->image, q->config.node_id);
    struct broker_heartbeat_request m = {
        .node = q->config.node_id,
        .incarnation = q->identity.incarnation,
        .broker_epoch = q->self.broker_epoch,
        .applied = (int64_t)q->image->index,
        .wall_ms = io_wall_ms(q->shard->io),
        .want_unfenced = q->self.stage == QUORUM_SELF_SERVING && !q->self.leaving && n && n->fenced,
    };
    q->self.beat_ns = now + q->beat_every_ns;
    q->self.beat_applied = q->image->index;
    q->self.beat_to = q->raft.leader.node;
    int32_t correlation = ++q->correlation > 0 ? q->correlation : (q->correlation = 1);
    if (peers_send(q->peers, q->raft.leader.node, &broker_heartbeat_request_message, correlation, &m, PEER_URGENT) !=
        RC_OK) {
        q->self.beat_ns = now + RETRY_MS * QUORUM_NS_PER_MS;
        return;
    }
    q->self.beat_correlation = correlation;
    q->self.beat_sent_ns = now;
}

uint64_t quorum_lease_ns(const struct quorum *q)
{
    return q->peers ? lease_until_ns(&q->self.lease) : UINT64_MAX;
}

void quorum_self_beaten(struct quorum *q, const struct peer_frame *f)
{
    struct broker_heartbeat_answer_request m;
    struct arena a;
    struct dec d = dec_of(f->body);
    arena_init(&a, 4096, NULL, 0);
    enum rc rc = broker_heartbeat_answer_request_decode(&d, f->version, &a, &m);
    arena_deinit(&a);
    if (rc != RC_OK || m.committed < 0 || f->correlation != q->self.beat_correlation)
        return;
    q->self.beat_correlation = 0;
    if (m.error_code == 0 && !m.fenced) // fenced, others may lead by now what it thinks it does
        lease_offer(&q->self.lease, (uint64_t)m.committed, q->self.beat_sent_ns + q->session_ns / 2);
    if (m.fenced && m.error_code == 0 && q->self.stage == QUORUM_SELF_SERVING && !q->self.leaving)
        q->self.beat_ns = shard_now_ns(q->shard) + RETRY_MS * QUORUM_NS_PER_MS; // to be unfenced soon
    quorum_wake(q);
}

static uint64_t beat_work(struct quorum *q, uint64_t now)
{
    const struct image_node *n = image_node(q->image, q->config.node_id);
    if (raft_leads(&q->raft) && raft_followed_ms(&q->raft) && n && !n->fenced)
        lease_offer(&q->self.lease, q->raft.commit, raft_followed_ms(&q->raft) * QUORUM_NS_PER_MS + q->session_ns / 2);
    lease_settle(&q->self.lease, quorum_seen_index(q));
    if (q->self.stage < QUORUM_SELF_REGISTERED || q->self.stage > QUORUM_SELF_SERVING || !leads_elsewhere(q))
        return UINT64_MAX;
    bool known = q->self.beat_to == q->raft.leader.node; // a new controller hears of this node at once
    bool open = known && q->self.beat_correlation && now - q->self.beat_sent_ns < BEAT_PATIENCE_MS * QUORUM_NS_PER_MS;
    bool news = !known || q->image->index > q->self.beat_applied;
    if (!open && (news || now >= q->self.beat_ns))
        beat(q, now);
    return q->self.beat_ns > now ? q->self.beat_ns : now + RETRY_MS * QUORUM_NS_PER_MS;
}

// ---- leaving ----

static void left_partitions(struct quorum_op *op, enum rc rc)
{
    struct quorum *q = container_of(op, struct quorum, self.leave_op);
    (void)rc; // else the session ends it
    q->self.leave_moved = true;
    quorum_wake(q);
}

void quorum_leave(struct quorum *q, void (*left)(void *context))
{
    q->self.left = left;
    q->self.leaving = true;
    q->self.leave_until_ns = shard_now_ns(q->shard) + LEAVE_MS * QUORUM_NS_PER_MS;
    quorum_wake(q);
}

static void leave_ask(struct quorum *q)
{
    q->self.leave_asked = true;
    arena_init(&q->self.leave_arena, 1 << 20, NULL, 0);
    q->self.leave_state = (struct controller_node_state){.node = q->config.node_id,
                                                         .broker_epoch = q->self.broker_epoch,
                                                         .in_shutdown = true};
    q->self.leave_op = (struct quorum_op){.kind = CONTROLLER_NODE_STATE,
                                          .request = &q->self.leave_state,
                                          .answer = &q->self.leave_state,
                                          .arena = &q->self.leave_arena,
                                          .deadline_ns = q->self.leave_until_ns,
                                          .done = left_partitions};
    quorum_submit(q, q->shard, &q->self.leave_op);
}

// Raft's leadership goes to whoever is furthest, when there is somebody.
static bool leads_alone_or_not(struct quorum *q)
{
    if (q->raft.role != RAFT_LEADER)
        return true;
    const struct raft_peer *best = NULL;
    for (uint32_t i = 0; i < q->raft.peer_count; i++) {
        const struct raft_peer *p = &q->raft.peers[i];
        if (p->voter && peers_up(q->peers, p->id.node) && (!best || p->match > best->match))
            best = p;
    }
    if (!best)
        return true;
    uint64_t index;
    (void)quorum_step(q, &(struct raft_event){.kind = RAFT_TRANSFER, .id = best->id}, &index); // again is no harm
    return q->raft.role != RAFT_LEADER;
}

static uint64_t leave_work(struct quorum *q, uint64_t now)
{
    bool others = q->peers && !q->forming && !q->dead;
    if (others && now < q->self.leave_until_ns) {
        if (q->self.stage == QUORUM_SELF_SERVING && !q->self.leave_asked && q->image->node_count > 1)
            leave_ask(q);
        if (now < q->self.leave_look_ns)
            return q->self.leave_look_ns;
        q->self.leave_look_ns = now + LOOK_MS * QUORUM_NS_PER_MS;
        if ((q->self.leave_asked && !q->self.leave_moved) || !leads_alone_or_not(q))
            return q->self.leave_look_ns;
    }
    void (*left)(void *context) = q->self.left;
    q->self.left = NULL;
    left(q->config.context);
    return UINT64_MAX;
}

// ---- work ----

uint64_t quorum_self_work(struct quorum *q, uint64_t now)
{
    uint64_t next = UINT64_MAX;
    struct quorum_self *s = &q->self;
    if (s->left)
        next = leave_work(q, now);
    if (!q->peers || q->forming || q->dead)
        return next;
    bool asks = (s->stage == QUORUM_SELF_REGISTERING || s->stage == QUORUM_SELF_UNFENCING) && !s->busy && !s->leaving;
    if (asks && now >= s->retry_ns) {
        if (s->stage == QUORUM_SELF_REGISTERING)
            ask(q);
        else
            unfence(q);
    } else if (asks && s->retry_ns < next) {
        next = s->retry_ns;
    }
    uint64_t beat_next = beat_work(q, now);
    return beat_next < next ? beat_next : next;
}
