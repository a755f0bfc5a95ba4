// SPDX-License-Identifier: Apache-2.0
//
// The peer port: who may connect, and accepted connections. Until peers authenticate each other, the address is all
// that is known of a stranger, so it has to be one where some peer is said to be.
#include "engine/peers.h"
#include "engine/peers_core.h"

#include <stdlib.h>

#include "model/kerr.h"

enum { FIRST_WORD_MS = 5000 };

static const struct peer_link_hooks inlet_hooks;

static struct peer_inlet *inlet_of(struct peer_link *l)
{
    return container_of(l, struct peer_inlet, link);
}

// ---- ends ----

static void bury(struct shard_task *t)
{
    struct peer_inlet *in = container_of(t, struct peer_inlet, bury);
    list_remove(&in->owner->buried, &in->link_in);
    free(in);
}

// Its link may be on the stack: the memory goes with the end of the turn.
static void inlet_end(struct peer_inlet *in)
{
    struct peers *p = in->owner;
    peer_link_close(&in->link);
    shard_timer_cancel(p->config.shard, &in->timer);
    list_remove(&p->inlets, &in->link_in);
    list_push_back(&p->buried, &in->link_in);
    shard_defer(p->config.shard, &in->bury, bury);
}

void peers_inlets_free(struct peers *p)
{
    while (!list_empty(&p->inlets))
        inlet_end(peers_inlet_first(p));
    while (!list_empty(&p->buried)) {
        struct peer_inlet *in = list_entry(list_pop_front(&p->buried), struct peer_inlet, link_in);
        shard_defer_cancel(p->config.shard, &in->bury);
        free(in);
    }
}

static void inlet_due(struct shard_timer *t)
{
    inlet_end(container_of(t, struct peer_inlet, timer)); // said nothing for too long, or its last words do not leave
}

void peers_refuse(struct peers *p, struct peer_inlet *in, enum rc rc, const char *why)
{
    struct refusal_request r = {.error_code = kerr_of(rc), .reason = bytes_str(why)};
    uint64_t dropped;
    if (trace_limit_pass(&p->limit_refused, peers_now_ns(p), &dropped))
        trace_warn(p->config.trace, "node %d is refused: %s", in->hello.node, why);
    (void)peer_link_send(&in->link, &refusal_request_message, 0, &r, PEER_BULK);
    peer_link_finish(&in->link);
    if (!in->link.open) {
        inlet_end(in);
        return;
    }
    in->greeted = false;
    shard_timer_set(p->config.shard, &in->timer, peers_now_ns(p) + FIRST_WORD_MS * UINT64_C(1000000), inlet_due);
}

// ---- Hello ----

enum rc peers_say_hello(struct peers *p, struct peer_link *l)
{
    struct peer_hello h = {.node = p->config.node, .broker_epoch = -1};
    struct hello_request m;
    struct arena a;
    p->config.hooks->hello(p->config.context, &h);
    arena_init(&a, 1 << 16, NULL, 0);
    enum rc rc = peer_hello_encode(&h, &a, &m);
    if (rc == RC_OK && h.standing == PEER_FORMED)
        rc = peers_known_encode(p, &a, &m);
    if (rc == RC_OK)
        rc = peer_link_send(l, &hello_request_message, 0, &m, PEER_URGENT);
    arena_deinit(&a);
    return rc;
}

void peers_greet_again(struct peers *p)
{
    p->news++;
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->table[i].state != PEER_UP)
            continue;
        p->table[i].said = p->news;
        (void)peers_say_hello(p, &p->table[i].link);
    }
    for (struct peer_inlet *in = peers_inlet_first(p); in; in = peers_inlet_next(p, in))
        if (in->greeted)
            (void)peers_say_hello(p, &in->link);
}

void peers_greet_task(struct shard_task *t)
{
    peers_greet_again(container_of(t, struct peers, greet));
}

int16_t peers_refusal(const struct peer_frame *f, char *why, size_t why_bytes)
{
    struct refusal_request r;
    struct arena a;
    struct dec d = dec_of(f->body);
    arena_init(&a, 4096, NULL, 0);
    int16_t code = -1;
    if (refusal_request_decode(&d, f->version, &a, &r) == RC_OK) {
        code = r.error_code;
        size_t n = r.reason.n < why_bytes - 1 ? r.reason.n : why_bytes - 1;
        memcpy(why, r.reason.p, n);
        why[n] = 0;
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)why[i] < ' ')
                why[i] = ' ';
    }
    arena_deinit(&a);
    return code;
}

// The same process connects once: what it had before is dead.
static void older_end(struct peers *p, const struct peer_inlet *newer)
{
    for (struct peer_inlet *in = peers_inlet_first(p), *next; in; in = next) {
        next = peers_inlet_next(p, in);
        if (in != newer && in->greeted && in->hello.node == newer->hello.node)
            inlet_end(in);
    }
}

// A replica that comes to fetch: it hears our Hello, and the connection is the broker's from then on.
static void inlet_adopt(struct peer_inlet *in)
{
    struct peers *p = in->owner;
    if (!p->config.hooks->adopt) {
        peers_refuse(p, in, RC_UNSUPPORTED, "this node serves no replicas");
        return;
    }
    int fd = peers_say_hello(p, &in->link) == RC_OK ? peer_link_release(&in->link) : -1;
    if (fd >= 0)
        p->config.hooks->adopt(p->config.context, &in->hello, fd, &in->from);
    inlet_end(in);
}

// Where who speaks says that it listens. Nobody is new to a cluster that is being formed.
static enum rc inlet_learn(const struct peer_inlet *in)
{
    const struct peer_hello *h = &in->hello;
    if (!in->owner->config.formed)
        return RC_OK;
    struct io_addr listens = io_addr_is_any(&h->listens) ? in->from : h->listens;
    listens.port = h->listens.port;
    return peers_learn(in->owner, h->node, PEER_TOLD, &listens);
}

void peers_formed(struct peers *p)
{
    p->config.formed = true;
    for (struct peer_inlet *in = peers_inlet_first(p); in; in = peers_inlet_next(p, in))
        if (in->greeted)
            (void)inlet_learn(in); // no room: who speaks is not dialled, as before
}

static void inlet_hello(struct peer_inlet *in, const struct peer_frame *f)
{
    struct peers *p = in->owner;
    char why[PEER_REASON_BYTES] = "";
    struct peer_hello h;
    enum rc rc = peer_hello_decode(f, &h);
    if (rc == RC_MALFORMED || rc == RC_NOMEM) {
        inlet_end(in);
        return;
    }
    bool again = in->greeted;
    in->hello = h;
    if (rc == RC_UNSUPPORTED_VERSION) {
        peers_refuse(p, in, rc, "this version of weir and that one do not understand each other");
        return;
    }
    if (h.node == p->config.node) {
        peers_refuse(p, in, RC_DUPLICATE_BROKER_REGISTRATION, "it has the id of the node it connects to");
        return;
    }
    rc = p->config.hooks->judge(p->config.context, &h, why, sizeof(why));
    if (rc != RC_OK) {
        peers_refuse(p, in, rc, why);
        return;
    }
    shard_timer_cancel(p->config.shard, &in->timer);
    if (h.purpose == PEER_FETCHES) {
        inlet_adopt(in);
        return;
    }
    in->greeted = true;
    in->link.frame_bytes_max = PEER_FRAME_BYTES_MAX;
    if (inlet_learn(in) == RC_FULL) {
        peers_refuse(p, in, RC_FULL, "the cluster has as many nodes as it can");
        return;
    }
    if (h.standing == PEER_FORMED)
        peers_known_take(p, f);
    older_end(p, in);
    if (!again && peers_say_hello(p, &in->link) != RC_OK) {
        inlet_end(in);
        return;
    }
    struct peer *peer = peers_find(p, h.node);
    if (again && peer && peer->state == PEER_UP && uuid_eq(peer->hello.incarnation, h.incarnation)) {
        if (peers_introduces(peer, &h)) // the same Hello on the connection made here comes too late to say so
            shard_defer(p->config.shard, &p->greet, peers_greet_task);
        peer->hello = h;
        p->config.hooks->changed(p->config.context, peer);
    }
    peers_met_anew(p, &h);
}

static void inlet_frame(struct peer_link *l, const struct peer_frame *f)
{
    struct peer_inlet *in = inlet_of(l);
    struct peers *p = in->owner;
    if (f->key == PEER_HELLO) {
        inlet_hello(in, f);
        if (l->open && in->greeted)
            peers_heard(p, in->hello.node);
        return;
    }
    if (!in->greeted) {
        inlet_end(in);
        return;
    }
    peers_heard(p, in->hello.node);
    if (f->key == PEER_REFUSAL)
        inlet_end(in);
    else if (f->key == PEER_ECHO)
        (void)peer_link_send(l, &echo_request_message, f->correlation, &(struct echo_request){0}, PEER_URGENT);
    else
        p->config.hooks->message(p->config.context, in,
                                 (struct peer_route){.node = in->hello.node, .serial = in->serial}, f);
}

static void inlet_ended(struct peer_link *l, enum rc rc)
{
    (void)rc;
    inlet_end(inlet_of(l));
}

static const struct peer_link_hooks inlet_hooks = {.frame = inlet_frame, .ended = inlet_ended};

// ---- accepting ----

static bool address_known(const struct peers *p, const struct io_addr *from)
{
    for (uint32_t i = 0; i < p->config.address_count; i++) // the own one, too: nodes may share a machine
        if (memcmp(p->config.addresses[i].addr.ip, from->ip, sizeof(from->ip)) == 0)
            return true;
    for (uint32_t i = 0; i < p->count; i++)
        for (unsigned s = 0; s < PEER_SOURCES && p->table[i].in_use; s++)
            if (p->table[i].sources & 1u << s && memcmp(p->table[i].known[s].ip, from->ip, sizeof(from->ip)) == 0)
                return true;
    return false;
}

void peers_on_accept(struct io_listener *l, int fd, const struct io_addr *from)
{
    struct peers *p = l->private_data;
    struct peer_inlet *in = NULL;
    if (p->started && address_known(p, from) && p->inlets.count < PEERS_LINKS_MAX)
        in = calloc(1, sizeof(*in));
    if (!in) {
        char text[IO_ADDR_TEXT_MAX];
        uint64_t dropped;
        io_addr_format(from, text);
        if (p->started && trace_limit_pass(&p->limit_refused, peers_now_ns(p), &dropped))
            trace_warn(p->config.trace,
                       "the peer port refuses %s: no peer is known to be there. A new node is let in by 'weir admin quorum "
                       "add ID@HOST:PORT', or by its place in --peers",
                       text);
        io_sock_refuse(p->config.shard->io, fd);
        return;
    }
    *in = (struct peer_inlet){.owner = p, .from = *from, .serial = ++p->serial, .registered_epoch = -1};
    in->hello.node = NODE_ID_NONE;
    if (peer_link_accept(&in->link, p->config.shard, &inlet_hooks, fd) != RC_OK) {
        free(in);
        return;
    }
    list_push_back(&p->inlets, &in->link_in);
    shard_timer_set(p->config.shard, &in->timer, peers_now_ns(p) + FIRST_WORD_MS * UINT64_C(1000000), inlet_due);
}

enum rc peers_answer(struct peers *p, struct peer_route to, const struct schema_message *m, int32_t correlation,
                     const void *message)
{
    for (struct peer_inlet *in = peers_inlet_first(p); in; in = peers_inlet_next(p, in))
        if (in->serial == to.serial && in->greeted)
            return peer_link_send(&in->link, m, correlation, message, PEER_BULK);
    return RC_CLOSED;
}
