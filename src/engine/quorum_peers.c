// SPDX-License-Identifier: Apache-2.0
//
// What the quorum tells the transport and hears from it: who this node is, whom it talks with, who is there and who is
// dead, and which message is whose.
#include "engine/quorum_core.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/kerr.h"

enum { LEADERLESS_MS = 5000, RECONNECT_MS = 300, NAMES_AGAIN_MS = 20, NAMES_FAILED_MS = 5000 };

// ---- Hello ----

static void on_hello(void *context, struct peer_hello *out)
{
    const struct quorum *q = context;
    *out = (struct peer_hello){
        .node = q->config.node_id,
        .directory = q->identity.directory,
        .incarnation = q->identity.incarnation,
        .broker_epoch = q->self.stage >= QUORUM_SELF_REGISTERED ? q->self.broker_epoch : -1,
        .standing = !q->forming ? PEER_FORMED : q->form.prepared ? PEER_PREPARED : PEER_EMPTY,
        .listens = q->config.peer_listen,
        .wall_ms = io_wall_ms(q->shard->io),
    };
    snprintf(out->cluster_id, sizeof(out->cluster_id), "%s",
             !q->forming         ? q->identity.cluster_id
             : q->form.prepared ? q->form.cluster_id
                                 : "");
    for (uint32_t i = 0; i < q->config.peer_count && i < PEERS_MAX; i++)
        out->peers[out->peer_count++] = q->config.peers[i].node;
}

bool quorum_cluster_of(const struct quorum *q, const struct peer_hello *h)
{
    return !q->forming && h->standing == PEER_FORMED && strcmp(h->cluster_id, q->identity.cluster_id) == 0;
}

static bool lists_equal(const struct quorum *q, const struct peer_hello *h)
{
    bool equal = h->peer_count == q->config.peer_count;
    for (uint32_t i = 0; equal && i < h->peer_count; i++)
        equal = h->peers[i] == q->config.peers[i].node;
    return equal;
}

// Whether a new process has the folder of the one that is registered, and so has proved that one dead by its lock.
static bool same_folder(const struct quorum *q, const struct image_node *n, const struct peer_hello *theirs)
{
    const struct raft_voters *v = raft_voters(&q->raft);
    for (uint32_t i = 0; i < n->directory_count; i++)
        if (uuid_eq(n->directories[i], theirs->directory))
            return true;
    return raft_is_voter(v, (struct raft_id){.node = theirs->node, .directory = theirs->directory});
}

// Whether a controller is heard that would have said by now that a node is gone. Without one the image is of the past, and
// may miss that a folder was lost and its successor given the vote; refusing that one for it, this node would keep both from
// the majority that they are, and so from the controller that could tell.
static bool image_counts(const struct quorum *q)
{
    const struct raft *r = &q->raft;
    return raft_leads(r) || (r->role == RAFT_FOLLOWER && r->leader.node != NODE_ID_NONE && !r->leader_lost &&
                             shard_now_ns(q->shard) < r->leader_heard_ms * QUORUM_NS_PER_MS + q->session_ns);
}

// Whether the process that is registered is believed to live, beside one that has a folder of its own.
static bool another_lives(const struct quorum *q, const struct image_node *n, const struct peer_hello *theirs)
{
    const struct peer *p = peers_find(q->peers, n->id);
    if (n->fenced)
        return false;
    return image_counts(q) ||
           (p && !uuid_eq(p->hello.directory, theirs->directory) && peers_answers(q->peers, n->id));
}

enum rc quorum_peers_judge(void *context, const struct peer_hello *theirs, char *why, size_t why_bytes)
{
    const struct quorum *q = context;
    if (!q->forming && theirs->standing == PEER_FORMED && strcmp(theirs->cluster_id, q->identity.cluster_id) != 0) {
        snprintf(why, why_bytes, "node %d belongs to cluster %.40s and node %d to cluster %s; they stay apart",
                 theirs->node, theirs->cluster_id, q->config.node_id, q->identity.cluster_id);
        return RC_INCONSISTENT_CLUSTER_ID;
    }
    // A process that registered and was replaced since: its successor speaks for the node now.
    const struct image_node *n = image_node(q->image, theirs->node);
    if (!q->forming && n && theirs->broker_epoch >= 0 && theirs->broker_epoch < n->broker_epoch &&
        !uuid_eq(n->incarnation, theirs->incarnation)) {
        snprintf(why, why_bytes, "another process has registered as node %d since", theirs->node);
        return RC_STALE_BROKER_EPOCH;
    }
    // Unless the controller has registered it, or none is heard that would have fenced a dead one: then what is known here
    // is of the past, and without the new one there may come no other.
    if (!q->forming && n && theirs->broker_epoch <= n->broker_epoch && !uuid_eq(n->incarnation, theirs->incarnation) &&
        !same_folder(q, n, theirs) && another_lives(q, n, theirs)) {
        snprintf(why, why_bytes,
                 "another process with id %d is alive, with a folder of its own; give each node its own --id (or wait until "
                 "that one is known to be dead)",
                 theirs->node);
        return RC_DUPLICATE_BROKER_REGISTRATION;
    }
    return RC_OK;
}

static size_t list_text(char *out, size_t n, const char *before, int32_t id, size_t used)
{
    return used + 24 < n ? used + (size_t)snprintf(out + used, n - used, "%s%d", used ? before : "", id) : used;
}

// Once a life of that node: a cluster that grows has shorter lists and longer ones, until every node was started anew.
static void say_differences(const struct quorum *q, struct peer *p)
{
    const struct peer_hello *h = &p->hello;
    if (uuid_eq(p->warned, h->incarnation))
        return;
    p->warned = h->incarnation;
    if (!lists_equal(q, h)) {
        char theirs[160] = "", own[160] = "";
        size_t used = 0;
        for (uint32_t i = 0; i < h->peer_count; i++)
            used = list_text(theirs, sizeof(theirs), ",", h->peers[i], used);
        used = 0;
        for (uint32_t i = 0; i < q->config.peer_count; i++)
            used = list_text(own, sizeof(own), ",", q->config.peers[i].node, used);
        trace_warn(q->config.trace,
                   "node %d was started with another --peers list (nodes %s) than this node (%s); they find each other all "
                   "the same, but give every node the same list when it is next started",
                   h->node, theirs, own);
    }
}

// ---- where they are ----

static void learn(struct quorum *q, const struct image_node *n)
{
    struct peer *p = peers_find(q->peers, n->id);
    struct io_addr addr;
    if (!n->peer_host || n->id == q->config.node_id || (p && p->registered_epoch == n->broker_epoch))
        return;
    enum rc rc = io_resolve_soon(q->shard->io, n->peer_host, n->peer_port, &addr);
    if (rc == RC_AGAIN || rc == RC_UNREACHABLE) { // the resolver may be back before the node registers again
        uint64_t at = shard_now_ns(q->shard) + (rc == RC_AGAIN ? NAMES_AGAIN_MS : NAMES_FAILED_MS) * QUORUM_NS_PER_MS;
        q->names_ns = at < q->names_ns ? at : q->names_ns;
    }
    if (rc != RC_OK || peers_learn(q->peers, n->id, PEER_REGISTERED, &addr) != RC_OK)
        return;
    p = peers_find(q->peers, n->id);
    if (p)
        p->registered_epoch = n->broker_epoch;
}

void quorum_peers_learn(struct quorum *q)
{
    if (!q->peers)
        return;
    q->names_ns = UINT64_MAX;
    for (uint32_t i = 0; i < q->image->node_count; i++)
        learn(q, q->image->nodes[i]);
    for (uint32_t i = 0; i < q->peers->count; i++) {
        const struct peer *p = &q->peers->table[i];
        if (p->in_use && p->registered_epoch >= 0 && !image_node(q->image, p->node))
            peers_forget(q->peers, p->node);
    }
}

uint64_t quorum_peers_work(struct quorum *q, uint64_t now)
{
    if (q->peers && q->names_ns <= now)
        quorum_peers_learn(q);
    return q->peers ? q->names_ns : UINT64_MAX;
}

void quorum_peers_remember(struct quorum *q)
{
    const struct raft_voters *v = raft_voters(&q->raft);
    bool all = true;
    for (uint32_t i = 0; i < v->count; i++)
        all = all && (v->ids[i].node == q->config.node_id || peers_find(q->peers, v->ids[i].node));
    struct image *w = all ? NULL : image_begin(q->image);
    if (!w)
        return;
    enum rc rc = RC_OK;
    struct raft_entry e;
    for (uint64_t i = w->index + 1; rc == RC_OK && raft_entry_get(&q->raft, i, &e); i++)
        if (e.type == RAFT_ENTRY_DATA)
            rc = image_apply_entry(w, e.payload, e.index, e.term);
    for (uint32_t i = 0; rc == RC_OK && i < w->node_count; i++) {
        const struct image_node *n = w->nodes[i];
        struct io_addr addr;
        if (n->peer_host && io_resolve(q->shard->io, n->peer_host, n->peer_port, &addr) == RC_OK) // at the start
            (void)peers_learn(q->peers, n->id, PEER_TOLD, &addr);
    }
    image_unref(w);
}

enum rc quorum_peers_meet(struct quorum *q, int32_t node, struct bytes host, uint16_t port)
{
    char name[IO_HOST_BYTES_MAX];
    struct io_addr addr;
    if (!q->peers || host.n == 0 || host.n >= sizeof(name) || memchr(host.p, 0, host.n))
        return RC_INVALID_REQUEST;
    memcpy(name, host.p, host.n);
    name[host.n] = 0;
    enum rc rc = io_resolve_soon(q->shard->io, name, port, &addr);
    if (rc == RC_OK)
        rc = peers_learn(q->peers, node, PEER_TOLD, &addr);
    return rc == RC_OK || rc == RC_AGAIN ? rc : RC_INVALID_REQUEST;
}

// ---- who is there ----

void quorum_observers(struct quorum *q)
{
    if (!q->peers || q->forming || q->dead)
        return;
    struct raft_id observers[RAFT_PEERS_MAX];
    uint32_t count = 0;
    const struct raft_voters *v = raft_voters(&q->raft);
    for (uint32_t i = 0; i < q->peers->count && count < RAFT_PEERS_MAX; i++) {
        const struct peer *p = &q->peers->table[i];
        struct raft_id id = {.node = p->node, .directory = p->hello.directory};
        if (p->state == PEER_UP && quorum_cluster_of(q, &p->hello) && !raft_is_voter(v, id))
            observers[count++] = id;
    }
    q->observers_set = raft_voters_index(&q->raft);
    bool same = count == q->raft.observer_count;
    for (uint32_t i = 0; same && i < count; i++)
        same = raft_id_eq(observers[i], q->raft.observers[i]);
    if (!same)
        quorum_feed(
            q, &(struct raft_event){.kind = RAFT_OBSERVERS, .observers = observers, .observer_count = count});
}

// Without a leader for long: who of the voters is missing, and what helps when their disks are.
uint64_t quorum_say_leaderless(struct quorum *q, uint64_t now)
{
    if (!q->peers || q->dead || q->forming || q->raft.leader.node != NODE_ID_NONE) {
        q->leaderless_ns = 0;
        return UINT64_MAX;
    }
    if (!q->leaderless_ns)
        q->leaderless_ns = now + LEADERLESS_MS * QUORUM_NS_PER_MS;
    if (now < q->leaderless_ns)
        return q->leaderless_ns;
    q->leaderless_ns = now + 3 * LEADERLESS_MS * QUORUM_NS_PER_MS;
    const struct raft_voters *v = raft_voters(&q->raft);
    char text[300] = "";
    size_t used = 0;
    uint32_t there = 0;
    for (uint32_t i = 0; i < v->count && used < sizeof(text) - 64; i++) {
        const struct peer *p = peers_find(q->peers, v->ids[i].node);
        bool self = raft_id_eq(v->ids[i], q->raft.config.self);
        bool up = p && p->state == PEER_UP;
        if (self || (up && uuid_eq(p->hello.directory, v->ids[i].directory)))
            there++;
        else
            used += (size_t)snprintf(text + used, sizeof(text) - used, "; node %d %s", v->ids[i].node,
                                     up || v->ids[i].node == q->config.node_id
                                         ? "has another folder than the one that votes"
                                         : "does not answer");
    }
    if (v->count > 0)
        trace_warn(q->config.trace,
                   "no controller: %u of %u voters are there and %u are needed%s. Start those that are missing with their "
                   "own folders; nothing changes and nothing is lost meanwhile",
                   there, v->count, v->count / 2 + 1, text);
    else
        trace_warn(q->config.trace, "no controller has been heard of since this node joined the cluster");
    return q->leaderless_ns;
}

bool quorum_peers_was_leader(const struct quorum *q, const struct peer *p)
{
    return q->raft.leader.node == p->node && q->raft.role == RAFT_FOLLOWER &&
           uuid_eq(q->leader_incarnation, p->hello.incarnation);
}

bool quorum_peers_was_registered(const struct quorum *q, const struct peer *p)
{
    const struct image_node *n = image_node(q->image, p->node);
    return n && uuid_eq(n->incarnation, p->hello.incarnation);
}

static void on_changed(void *context, struct peer *p)
{
    struct quorum *q = context;
    if (q->dead)
        return;
    if (p->state == PEER_UP && !q->forming)
        say_differences(q, p);
    if (p->state == PEER_UP) {
        q->self.duplicate_ns = 0; // somebody talks with it
        quorum_met_lost(q, p->node, 0);
        quorum_met_clock(q, p->node, p->hello.wall_ms);
    } else {
        // Reset or closed: the next attempt to connect shows whether it is dead.
        if (p->was_up && quorum_peers_was_registered(q, p))
            quorum_met_lost(q, p->node, RECONNECT_MS * QUORUM_NS_PER_MS);
        quorum_forward_lost(q, p->node);
    }
    if (q->forming)
        quorum_form_consider(q);
    else
        quorum_observers(q);
    quorum_wake(q);
}

static void on_echoed(void *context, struct peer *p)
{
    (void)p;
    quorum_wake(context);
}

static void on_lost(void *context, struct peer *p)
{
    struct quorum *q = context;
    if (q->dead || q->forming)
        return;
    if (quorum_peers_was_registered(q, p))
        quorum_met_lost(q, p->node, q->session_ns);
    if (quorum_peers_was_leader(q, p))
        quorum_feed(q, &(struct raft_event){.kind = RAFT_LEADER_LOST});
    quorum_brokers_lost(q, p->node);
    quorum_wake(q);
}

static bool up_with_any(const struct quorum *q)
{
    bool any = false;
    for (uint32_t i = 0; i < q->peers->count && !any; i++)
        any = q->peers->table[i].in_use && q->peers->table[i].state == PEER_UP;
    return any;
}

// Who was cut off while another process registered under this id is let in by nobody who knows it, and so would never see
// it in an image. One that comes under the id of a process that lives is let in by nobody either, and so hears from no
// controller that would refuse its registration.
static void on_refused(void *context, struct peer *p, int16_t code)
{
    struct quorum *q = context;
    if (q->dead)
        return;
    if (code == kerr_of(RC_STALE_BROKER_EPOCH) && q->self.stage >= QUORUM_SELF_REGISTERED) {
        q->self.stage = QUORUM_SELF_FAILED;
        quorum_dead(q, RC_STALE_BROKER_EPOCH, p->refusal);
    }
    if (code == kerr_of(RC_DUPLICATE_BROKER_REGISTRATION) && q->self.stage < QUORUM_SELF_REGISTERED && !up_with_any(q) &&
        !quorum_self_patient(q)) {
        q->self.stage = QUORUM_SELF_FAILED;
        quorum_dead(q, RC_DUPLICATE_BROKER_REGISTRATION, p->refusal);
    }
}

// ---- fetches ----

static void on_adopt(void *context, const struct peer_hello *theirs, int fd, const struct io_addr *from)
{
    const struct quorum *q = context;
    if (q->dead || q->forming || !q->config.adopt || !quorum_cluster_of(q, theirs))
        io_sock_refuse(q->shard->io, fd);
    else
        q->config.adopt(q->config.context, theirs, fd, from);
}

// ---- messages ----

static void on_message(void *context, struct peer_inlet *in, struct peer_route from, const struct peer_frame *f)
{
    struct quorum *q = context;
    if (q->dead)
        return;
    switch (f->key) {
    case PEER_RAFT_MESSAGE:
        if (in)
            quorum_raft_receive(q, in, f);
        break;
    case PEER_SNAPSHOT_PIECE:
        if (in)
            quorum_transfer_piece(q, in, from, f);
        break;
    case PEER_SNAPSHOT_ANSWER:
        quorum_transfer_answer(q, from.node, f);
        break;
    case PEER_FORWARD:
        if (in)
            quorum_forward_take(q, in, from, f);
        break;
    case PEER_FORWARD_ANSWER:
        quorum_forward_answer(q, from.node, f);
        break;
    case PEER_BROKER_HEARTBEAT:
        if (in)
            quorum_brokers_beat(q, in, from, f);
        break;
    case PEER_BROKER_HEARTBEAT_ANSWER:
        quorum_self_beaten(q, f);
        break;
    case PEER_FORM_PROPOSE:
    case PEER_FORM_ANSWER:
    case PEER_FORM_BEGIN:
        quorum_form_message(q, in, from, f);
        break;
    default:
        if (in)
            peers_refuse(q->peers, in, RC_UNSUPPORTED_VERSION, "a message this version does not know");
        break;
    }
    quorum_wake(q);
}

static const struct peers_hooks hooks = {
    .hello = on_hello,
    .judge = quorum_peers_judge,
    .changed = on_changed,
    .refused = on_refused,
    .lost = on_lost,
    .echoed = on_echoed,
    .adopt = on_adopt,
    .message = on_message,
};

enum rc quorum_peers_open(struct quorum *q, char *text, size_t text_bytes)
{
    struct peers_config c = {
        .shard = q->shard,
        .trace = q->config.trace,
        .node = q->config.node_id,
        .listen = q->config.peer_listen,
        .addresses = q->config.peers,
        .address_count = q->config.peer_count,
        .formed = !q->forming,
        .hooks = &hooks,
        .context = q,
    };
    q->peers = calloc(1, sizeof(*q->peers));
    enum rc rc = q->peers ? peers_open(q->peers, &c) : RC_NOMEM;
    if (rc == RC_OK)
        return rc;
    char addr[IO_ADDR_TEXT_MAX];
    io_addr_format(&q->config.peer_listen, addr);
    snprintf(text, text_bytes, "cannot open the peer port %s: %s%s", addr, rc_text(rc),
             rc == RC_ADDRESS_IN_USE ? "; another process listens there" : " (is it an address of this machine?)");
    return rc;
}
