// SPDX-License-Identifier: Apache-2.0
//
// Dialling, greeting, and who is reached how; see peers.h. Accepted connections are in peers_accept.c.
#include "engine/peers.h"
#include "engine/peers_core.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    GREETING_MS = 2000, // for connecting, and again for their Hello
    BACKOFF_MS_MIN = 20,
    BACKOFF_MS_MAX = 1000,
    ECHO_AFTER_MS = 3000, // something is sent and nothing has come back on this connection for so long: ask for an echo
    ECHO_WAIT_MS = 2000,  // without one, the connection is tried anew
};

#define NS_PER_MS UINT64_C(1000000)

uint64_t peers_now_ns(const struct peers *p)
{
    return shard_now_ns(p->config.shard);
}

// ---- table ----

struct peer *peers_find(struct peers *p, int32_t node)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (p->table[i].in_use && p->table[i].node == node)
            return &p->table[i];
    return NULL;
}

bool peers_up(struct peers *p, int32_t node)
{
    const struct peer *peer = peers_find(p, node);
    return peer && peer->state == PEER_UP;
}

static void dial(struct peer *peer);
static void fell(struct peer *peer, uint64_t retry_ms);

static struct peer *peer_add(struct peers *p, int32_t node, enum peer_source source, const struct io_addr *addr)
{
    uint32_t i = 0;
    while (i < p->count && p->table[i].in_use)
        i++;
    if (i == PEERS_MAX)
        return NULL;
    if (i == p->count)
        p->count++;
    struct peer *peer = &p->table[i];
    *peer = (struct peer){.node = node,
                          .in_use = true,
                          .sources = (uint8_t)(1u << source),
                          .source = source,
                          .addr = *addr,
                          .registered_epoch = -1,
                          .owner = p,
                          .hello.node = NODE_ID_NONE};
    peer->known[source] = *addr;
    return peer;
}

static bool same_addr(const struct io_addr *a, const struct io_addr *b)
{
    return memcmp(a->ip, b->ip, sizeof(a->ip)) == 0 && a->port == b->port;
}

static bool has_source(const struct peer *peer, enum peer_source source)
{
    return peer->sources & 1u << source;
}

// What was tried did not do: the next address that is another one, if there is one.
static void next_address(struct peer *peer)
{
    for (unsigned step = 1; step < PEER_SOURCES; step++) {
        enum peer_source source = (enum peer_source)((peer->source + step) % PEER_SOURCES);
        if (!has_source(peer, source) || same_addr(&peer->known[source], &peer->addr))
            continue;
        peer->source = source;
        peer->addr = peer->known[source];
        return;
    }
    if (has_source(peer, peer->source))
        peer->addr = peer->known[peer->source];
}

static void peers_retry_now(struct peer *peer);

enum rc peers_learn(struct peers *p, int32_t node, enum peer_source source, const struct io_addr *addr)
{
    if (node == p->config.node || io_addr_is_any(addr) || addr->port == 0)
        return RC_OK;
    struct peer *peer = peers_find(p, node);
    if (!peer) {
        peer = peer_add(p, node, source, addr);
        if (!peer)
            return RC_FULL;
        if (p->started)
            dial(peer);
        return RC_OK;
    }
    if (has_source(peer, source) && same_addr(&peer->known[source], addr))
        return RC_OK;
    peer->sources |= (uint8_t)(1u << source);
    peer->known[source] = *addr;
    if (peer->state == PEER_DOWN && !same_addr(&peer->addr, addr)) { // it has moved
        peer->source = source;
        peer->addr = *addr;
        peers_retry_now(peer);
    }
    return RC_OK;
}

void peers_forget(struct peers *p, int32_t node)
{
    struct peer *peer = peers_find(p, node);
    if (!peer)
        return;
    peer->registered_epoch = -1;
    peer->sources &= 1u << PEER_CONFIGURED;
    if (peer->sources || peer->state == PEER_UP)
        return;
    peer_link_close(&peer->link);
    shard_timer_cancel(p->config.shard, &peer->timer);
    peer->state = PEER_DOWN;
    peer->in_use = false;
}

// ---- dialling ----

static void on_due(struct shard_timer *t);

static void arm(struct peer *peer, uint64_t delay_ms)
{
    struct shard *s = peer->owner->config.shard;
    shard_timer_set(s, &peer->timer, shard_now_ns(s) + delay_ms * NS_PER_MS, on_due);
}

static void down(struct peer *peer, uint64_t delay_ms)
{
    peer_link_close(&peer->link);
    if (peer->state != PEER_UP) // else it is sought where it was
        next_address(peer);
    peer->state = PEER_DOWN;
    peer->echo_ns = 0;
    peer->echoes_settled = peer->echoes_asked;
    arm(peer, delay_ms);
}

static uint64_t backoff_ms(struct peer *peer)
{
    uint64_t ms = peer->tries < 6 ? (uint64_t)BACKOFF_MS_MIN << peer->tries : BACKOFF_MS_MAX;
    peer->tries++;
    if (ms > BACKOFF_MS_MAX)
        ms = BACKOFF_MS_MAX;
    return ms / 2 + prng_below(&peer->owner->config.shard->prng, ms / 2 + 1);
}

static const struct peer_link_hooks dial_hooks;

static void dial(struct peer *peer)
{
    ASSERT(peer->state == PEER_DOWN);
    if (peer_link_connect(&peer->link, peer->owner->config.shard, &dial_hooks, &peer->addr) != RC_OK) {
        arm(peer, BACKOFF_MS_MAX);
        return;
    }
    peer->state = PEER_CONNECTING;
    arm(peer, GREETING_MS);
}

// Dials now what waits for its next attempt.
static void peers_retry_now(struct peer *peer)
{
    if (peer->state == PEER_DOWN && peer->owner->started)
        arm(peer, 0);
}

static void on_due(struct shard_timer *t)
{
    struct peer *peer = container_of(t, struct peer, timer);
    if (!peer->owner->started)
        return;
    if (peer->state == PEER_DOWN)
        dial(peer);
    else if (peer->state != PEER_UP)
        down(peer, backoff_ms(peer)); // it takes too long; whether it is dead is not known
    else
        fell(peer, 0); // silent
}

// What was UP is not any more. retry_ms: when to dial again.
static void fell(struct peer *peer, uint64_t retry_ms)
{
    bool was = peer->state == PEER_UP;
    down(peer, retry_ms);
    if (was)
        peer->owner->config.hooks->changed(peer->owner->config.context, peer);
}

static void say(struct peer *peer, const char *why)
{
    struct peers *p = peer->owner;
    if (strcmp(peer->refusal, why) == 0)
        return; // said already
    snprintf(peer->refusal, sizeof(peer->refusal), "%s", why);
    if (*why)
        trace_warn(p->config.trace, "node %d: %s", peer->node, why);
}

// ---- the connection made here ----

static struct peer *peer_of(struct peer_link *l)
{
    return container_of(l, struct peer, link);
}

static void dialled_stands(struct peer_link *l)
{
    struct peer *peer = peer_of(l);
    peer->state = PEER_GREETING;
    peer->said = peer->owner->news;
    arm(peer, GREETING_MS);
    if (peers_say_hello(peer->owner, l) != RC_OK)
        down(peer, backoff_ms(peer));
}

// Somebody was started without its name in --peers, and is to hear of it.
static bool is_new_to_some(const struct peer *peer)
{
    const struct peers *p = peer->owner;
    for (uint32_t i = 0; i < p->count; i++) {
        const struct peer *other = &p->table[i];
        bool named = other == peer || other->state != PEER_UP;
        for (uint32_t k = 0; k < other->hello.peer_count && !named; k++)
            named = other->hello.peers[k] == peer->node;
        if (!named)
            return true;
    }
    return false;
}

bool peers_introduces(const struct peer *peer, const struct peer_hello *h)
{
    const bool was_member = peer->state == PEER_UP && peer->hello.standing == PEER_FORMED;
    return h->standing == PEER_FORMED && !was_member && is_new_to_some(peer);
}

static void greeted(struct peer *peer, const struct peer_hello *h, const struct peer_frame *f)
{
    struct peers *p = peer->owner;
    bool member = h->standing == PEER_FORMED;
    bool introduce = peers_introduces(peer, h);
    char why[PEER_REASON_BYTES] = "";
    bool another = peer->hello.node != NODE_ID_NONE && !uuid_eq(peer->hello.incarnation, h->incarnation);
    if (h->node != peer->node) {
        snprintf(why, sizeof(why), "at its address answers node %d; give each node its own id and address", h->node);
    } else if (p->config.hooks->judge(p->config.context, h, why, sizeof(why)) == RC_OK) {
        bool dead = peer->was_up && another;
        peer->was_up = false;
        if (dead)
            p->config.hooks->lost(p->config.context, peer);
        peer->dead = false;
        peer->hello = *h;
        peer->state = PEER_UP;
        peer->up_addr = peer->addr;
        peer->tries = 0;
        peer->link.frame_bytes_max = PEER_FRAME_BYTES_MAX;
        shard_timer_cancel(p->config.shard, &peer->timer);
        say(peer, "");
        if (peer->said != p->news) // ours has changed while it was on its way
            (void)peers_say_hello(p, &peer->link);
        peer->said = p->news;
        if (member)
            peers_known_take(p, f);
        if (introduce)
            shard_defer(p->config.shard, &p->greet, peers_greet_task);
        p->config.hooks->changed(p->config.context, peer);
        return;
    }
    say(peer, why);
    peer->was_up = false;
    fell(peer, BACKOFF_MS_MAX);
}

static void dialled_hello(struct peer *peer, const struct peer_frame *f)
{
    struct peer_hello h;
    enum rc rc = peer_hello_decode(f, &h);
    if (rc != RC_OK) {
        say(peer, rc == RC_UNSUPPORTED_VERSION ? "its version of weir and this one do not understand each other"
                                               : "its first message cannot be read");
        fell(peer, BACKOFF_MS_MAX);
        return;
    }
    greeted(peer, &h, f);
}

static void dialled_frame(struct peer_link *l, const struct peer_frame *f)
{
    struct peer *peer = peer_of(l);
    struct peers *p = peer->owner;
    peer->heard_ns = peers_now_ns(p);
    peer->echo_ns = 0;
    if (f->key == PEER_HELLO) {
        dialled_hello(peer, f);
    } else if (f->key == PEER_REFUSAL) {
        char why[PEER_REASON_BYTES] = "closed the connection";
        int16_t code = peers_refusal(f, why, sizeof(why));
        say(peer, why);
        peer->was_up = false;
        fell(peer, BACKOFF_MS_MAX);
        if (p->config.hooks->refused)
            p->config.hooks->refused(p->config.context, peer, code);
    } else if (peer->state == PEER_UP && f->key == PEER_ECHO) {
        peer->echoes_settled += peer->echoes_settled < peer->echoes_asked; // they come in order
        if (p->config.hooks->echoed)
            p->config.hooks->echoed(p->config.context, peer);
    } else if (peer->state == PEER_UP) {
        p->config.hooks->message(p->config.context, NULL, (struct peer_route){.node = peer->node}, f);
    }
}

static void dialled_ended(struct peer_link *l, enum rc rc)
{
    struct peer *peer = peer_of(l);
    struct peers *p = peer->owner;
    if (peer->state == PEER_UP) {
        peer->was_up = rc == RC_EOF || rc == RC_RESET;
        peer->tries = 0;
        fell(peer, 0); // a refused attempt tells a dead process from a broken network
        return;
    }
    bool dead = peer->was_up && rc == RC_REFUSED && same_addr(&peer->addr, &peer->up_addr);
    peer->dead = peer->dead || dead;
    if (dead)
        peer->was_up = false;
    down(peer, backoff_ms(peer));
    if (dead)
        p->config.hooks->lost(p->config.context, peer);
}

static const struct peer_link_hooks dial_hooks = {
    .stands = dialled_stands, .frame = dialled_frame, .ended = dialled_ended};

void peers_heard(struct peers *p, int32_t node)
{
    struct peer *peer = peers_find(p, node);
    if (peer)
        peers_retry_now(peer); // who speaks can be reached
}

void peers_met_anew(struct peers *p, const struct peer_hello *h)
{
    struct peer *peer = peers_find(p, h->node);
    // Not inside this call, as in echoes(). A Hello that was on its way for long costs a connection, no more.
    if (peer && peer->state == PEER_UP && !uuid_eq(peer->hello.incarnation, h->incarnation) &&
        !shard_timer_is_set(&peer->timer))
        arm(peer, 0);
}

static enum rc echo_send(struct peer *peer)
{
    struct echo_request m = {0};
    enum rc rc = peer_link_send(&peer->link, &echo_request_message, 0, &m, PEER_URGENT);
    peer->echoes_asked += rc == RC_OK;
    return rc;
}

// A network that was cut leaves connections behind on which TCP tries again too rarely, and what the other node sends on
// its own says nothing about them. False: given up, a new one is made.
static bool echoes(struct peer *peer)
{
    uint64_t now = peers_now_ns(peer->owner);
    if (peer->echo_ns && now - peer->echo_ns > ECHO_WAIT_MS * NS_PER_MS) {
        // Not inside this call, whose caller may be in the middle of a step.
        if (!shard_timer_is_set(&peer->timer))
            arm(peer, 0);
        return false;
    }
    if (!peer->echo_ns && now - peer->heard_ns > ECHO_AFTER_MS * NS_PER_MS) {
        (void)echo_send(peer); // full: as bad as unanswered
        peer->echo_ns = now;
    }
    return true;
}

bool peers_answers(struct peers *p, int32_t node)
{
    struct peer *peer = peers_find(p, node);
    return peer && peer->state == PEER_UP && echoes(peer);
}

uint64_t peers_ask_echo(struct peers *p, int32_t node)
{
    struct peer *peer = peers_find(p, node);
    if (!peer || peer->state != PEER_UP)
        return 0;
    uint64_t turn = p->config.shard->counters.turns + 1;
    if (peer->echo_turn != turn && echo_send(peer) != RC_OK)
        return 0;
    peer->echo_turn = turn;
    return peer->echoes_asked;
}

bool peers_echo_settled(struct peers *p, int32_t node, uint64_t echo)
{
    const struct peer *peer = peers_find(p, node);
    return !peer || peer->echoes_settled >= echo;
}

enum rc peers_send(struct peers *p, int32_t node, const struct schema_message *m, int32_t correlation,
                   const void *message, enum peer_class class)
{
    struct peer *peer = peers_find(p, node);
    if (!peer || peer->state != PEER_UP)
        return RC_CLOSED;
    if (!echoes(peer))
        return RC_CLOSED;
    return peer_link_send(&peer->link, m, correlation, message, class);
}

// ---- life ----

enum rc peers_open(struct peers *p, const struct peers_config *config)
{
    *p = (struct peers){.config = *config};
    list_init(&p->inlets);
    list_init(&p->buried);
    for (uint32_t i = 0; i < config->address_count; i++)
        if (config->addresses[i].node != config->node &&
            !peer_add(p, config->addresses[i].node, PEER_CONFIGURED, &config->addresses[i].addr))
            return RC_NOMEM;
    enum rc rc = io_listen(config->shard->io, &p->listener, &config->listen, peers_on_accept);
    p->listener.private_data = p;
    p->listening = rc == RC_OK;
    return rc;
}

void peers_start(struct peers *p)
{
    ASSERT(!p->started);
    p->started = true;
    for (uint32_t i = 0; i < p->count; i++)
        if (p->table[i].in_use)
            dial(&p->table[i]);
}

static void stop(struct peers *p)
{
    p->started = false;
    if (p->listening)
        io_listener_close(&p->listener);
    p->listening = false;
    shard_defer_cancel(p->config.shard, &p->greet);
    for (uint32_t i = 0; i < p->count; i++)
        shard_timer_cancel(p->config.shard, &p->table[i].timer);
}

void peers_close(struct peers *p)
{
    stop(p);
    for (uint32_t i = 0; i < p->count; i++) {
        peer_link_close(&p->table[i].link);
        p->table[i].state = PEER_DOWN;
    }
    peers_inlets_free(p);
}
