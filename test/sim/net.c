// SPDX-License-Identifier: Apache-2.0
//
// Packets, their delays, cuts and resets. See net.h.
#include "net.h"

#include <string.h>

#include "base/assert.h"

static void deliver(struct sim *sim, struct sim_event *e);

// ------------------------------------------------------------------------------------------------ connections

static void end_init(struct sim_conn *c, struct sim_end *e, struct sim_node *n)
{
    e->conn = c;
    e->node = n;
    e->fd = -1;
    // Small buffers make short sends and blocked writers common.
    e->window = (size_t)1 << (9 + (c->sim->net_is_even ? 8 : sim_between(c->sim, 0, 8)));
    list_init(&e->incoming);
}

struct sim_conn *net_connect(struct sim_node *n, const struct io_addr *addr)
{
    struct sim *sim = n->sim;
    struct sim_conn *c = sim_alloc(sizeof(*c));
    c->sim = sim;
    c->serial = ++sim->net_serial;
    list_push_back(&sim->conns, &c->link);
    end_init(c, &c->ends[0], n);
    struct sim_node *to = NULL;
    for (uint32_t k = 0; k < sim->node_count; k++)
        if (memcmp(sim->nodes[k]->ip, addr->ip, sizeof(addr->ip)) == 0)
            to = sim->nodes[k];
    if (!to && io_addr_is_loopback(addr))
        to = n;
    end_init(c, &c->ends[1], to);
    c->ends[1].addr = *addr;
    memcpy(c->ends[0].addr.ip, n->ip, sizeof(n->ip));
    c->ends[0].addr.port = n->port_next++;
    return c;
}

static void incoming_drop(struct sim_end *e)
{
    struct list_node *n;
    while ((n = list_pop_front(&e->incoming)))
        sim_free(list_entry(n, struct sim_packet, link));
    sim_cancel(e->conn->sim, &e->deliver);
}

void net_settle(struct sim_conn *c)
{
    for (int k = 0; k < 2; k++)
        if (c->ends[k].open || !list_empty(&c->ends[k].incoming) || list_node_linked(&c->ends[k].backlog_link))
            return;
    for (int k = 0; k < 2; k++) {
        sim_cancel(c->sim, &c->ends[k].deliver);
        sim_free(c->ends[k].in);
    }
    list_remove(&c->sim->conns, &c->link);
    sim_free(c);
}

static uint64_t cut_until(const struct sim_end *to, const struct sim_end *from)
{
    if (!to->node || !from->node)
        return 0;
    return to->conn->sim->cut_until_ns[from->node->id][to->node->id];
}

void net_put(struct sim_end *e, enum sim_packet_kind kind, const uint8_t *p, size_t n, uint64_t from_ns)
{
    struct sim *sim = e->conn->sim;
    struct sim_packet *k = sim_alloc(sizeof(*k) + (kind == NET_DATA ? n : 0));
    k->kind = kind;
    k->n = n;
    if (kind == NET_DATA)
        memcpy(k->bytes, p, n);
    bool near = e->node == net_peer(e)->node;
    uint64_t due = from_ns + sim_latency(sim, near ? 10 * SIM_US : 60 * SIM_US) + n / 2;
    if (due < e->last_due_ns)
        due = e->last_due_ns;
    k->due_ns = e->last_due_ns = due;
    list_push_back(&e->incoming, &k->link);
    if (!sim_event_is_set(&e->deliver))
        sim_schedule(sim, &e->deliver, due, deliver);
}

// ------------------------------------------------------------------------------------------------ arrival

static void arrive_data(struct sim_end *e, const struct sim_packet *k)
{
    if (e->in_at + e->in_bytes + k->n > e->in_cap) {
        if (e->in_at)
            memmove(e->in, e->in + e->in_at, e->in_bytes);
        e->in_at = 0;
        if (e->in_bytes + k->n > e->in_cap) {
            e->in_cap = (e->in_bytes + k->n) * 2;
            e->in = sim_realloc(e->in, e->in_cap);
        }
    }
    memcpy(e->in + e->in_at + e->in_bytes, k->bytes, k->n);
    e->in_bytes += k->n;
    net_ready(e, IO_READABLE);
}

static void arrive_rst(struct sim_end *e)
{
    e->reset = true;
    if (!e->connected)
        e->failed = true;
    if (sim_chance(e->conn->sim, 1, 2))
        e->in_bytes = 0; // a reset may overtake what was not read yet
    net_ready(e, IO_READABLE | IO_WRITABLE | IO_HANGUP);
}

static struct sim_listen *listener_for(struct sim *sim, const struct sim_end *e)
{
    struct sim_listen *found = NULL;
    uint64_t seen = 0;
    for (struct list_node *n = list_first(&sim->listeners); n; n = list_next(&sim->listeners, n)) {
        struct sim_listen *l = list_entry(n, struct sim_listen, link);
        bool fits = l->node == e->node && l->listener->addr.port == e->addr.port &&
                    (io_addr_is_any(&l->listener->addr) || memcmp(l->listener->addr.ip, e->addr.ip, 16) == 0);
        if (fits && sim_chance(sim, 1, ++seen)) // several shards accept: any of them
            found = l;
    }
    return found;
}

// Returns false when the packet must wait: the machine is silent.
static bool arrive_syn(struct sim_end *e, struct sim_packet *k)
{
    struct sim *sim = e->conn->sim;
    bool there = e->node && e->node->powered;
    if (!there && ++k->tries < 20) {
        sim_schedule_in(sim, &e->deliver, SIM_S, deliver); // the sender tries again
        return false;
    }
    struct sim_listen *l = there ? listener_for(sim, e) : NULL;
    if (!l || l->backlog.count >= 128) {
        net_put(net_peer(e), NET_RST, NULL, 0, sim->now_ns);
        return true;
    }
    e->connected = true;
    net_put(net_peer(e), NET_SYN_ACK, NULL, 0, sim->now_ns);
    net_backlog_put(l, e);
    return true;
}

static void arrive(struct sim_end *e, struct sim_packet *k)
{
    switch (k->kind) {
    case NET_SYN:
        return; // above
    case NET_SYN_ACK:
        e->connected = true;
        net_ready(e, IO_WRITABLE);
        return;
    case NET_DATA:
        arrive_data(e, k);
        return;
    case NET_FIN:
        e->fin_in = true;
        net_ready(e, IO_READABLE | (e->fin_sent ? IO_HANGUP : 0u));
        return;
    case NET_RST:
        arrive_rst(e);
        return;
    case NET_SPACE:
        ASSERT(e->outstanding >= k->n);
        e->outstanding -= k->n;
        if (e->blocked && e->outstanding < e->window) {
            e->blocked = false;
            net_ready(e, IO_WRITABLE);
        }
        return;
    }
    UNREACHABLE();
}

static void deliver(struct sim *sim, struct sim_event *event)
{
    struct sim_end *e = container_of(event, struct sim_end, deliver);
    uint64_t silent_until = cut_until(e, net_peer(e));
    if (silent_until > sim->now_ns) {
        sim_schedule(sim, &e->deliver, silent_until + sim_latency(sim, 200 * SIM_MS), deliver); // sent again later
        return;
    }
    struct sim_packet *k = list_entry(list_first(&e->incoming), struct sim_packet, link);
    if (k->kind == NET_SYN && !arrive_syn(e, k))
        return;
    if (e->gone && !e->node->powered && ++k->tries < 60) {
        sim_schedule_in(sim, &e->deliver, SIM_S, deliver); // nobody answers: the sender's kernel tries again
        return;
    }
    list_remove(&e->incoming, &k->link);
    sim_note(sim, SIM_NOTE_NET, e->node, e->conn->serial << 8 | (uint64_t)k->kind, k->n);
    bool holds = (e->open || list_node_linked(&e->backlog_link)) && !e->reset;
    if (holds)
        arrive(e, k);
    else if (k->kind == NET_DATA && e->node && e->node->powered && !e->reset) {
        e->reset = true; // nobody has it any more
        net_put(net_peer(e), NET_RST, NULL, 0, sim->now_ns);
    }
    sim_free(k);
    if (!list_empty(&e->incoming)) {
        k = list_entry(list_first(&e->incoming), struct sim_packet, link);
        sim_schedule(sim, &e->deliver, k->due_ns, deliver);
    }
    net_settle(e->conn);
}

// ------------------------------------------------------------------------------------------------ endings

void net_close(struct sim_end *e, uint64_t here_ns)
{
    ASSERT(e->open);
    e->open = false;
    e->io = NULL;
    e->sock = NULL;
    if (!e->reset && !e->failed) {
        if (e->in_bytes)
            net_put(net_peer(e), NET_RST, NULL, 0, here_ns);
        else if (!e->fin_sent && e->connected)
            net_put(net_peer(e), NET_FIN, NULL, 0, here_ns);
    }
    net_settle(e->conn);
}

enum net_fate net_fate_of(const struct sim *sim, uint64_t serial)
{
    for (struct list_node *n = list_first(&sim->conns); n; n = list_next(&sim->conns, n)) {
        const struct sim_conn *c = list_entry(n, struct sim_conn, link);
        const struct sim_end *to = &c->ends[1];
        if (c->serial != serial)
            continue;
        for (struct list_node *k = list_first(&to->incoming); k; k = list_next(&to->incoming, k))
            if (list_entry(k, struct sim_packet, link)->kind == NET_DATA)
                return NET_COMING;
        return to->open || list_node_linked(&to->backlog_link) ? NET_THERE : NET_OVER;
    }
    return NET_OVER;
}

void net_vanish(struct sim_end *e)
{
    e->open = false;
    e->gone = true;
    e->io = NULL;
    e->sock = NULL;
    incoming_drop(e);
    net_settle(e->conn);
}

void sim_net_cut(struct sim *sim, const struct sim_node *from, const struct sim_node *to, uint64_t until_ns)
{
    sim->cut_until_ns[from->id][to->id] = until_ns;
    sim_note(sim, SIM_NOTE_FAULT, from, to->id, until_ns);
}

bool sim_net_reset_one(struct sim *sim, struct sim_node *n)
{
    struct sim_conn *found = NULL;
    uint64_t seen = 0;
    for (struct list_node *node = list_first(&sim->conns); node; node = list_next(&sim->conns, node)) {
        struct sim_conn *c = list_entry(node, struct sim_conn, link);
        bool stands = c->ends[0].connected && c->ends[1].open && c->ends[0].open;
        if (stands && (c->ends[0].node == n || c->ends[1].node == n) && sim_chance(sim, 1, ++seen))
            found = c;
    }
    if (!found)
        return false;
    sim_note(sim, SIM_NOTE_FAULT, n, found->serial, 1);
    for (int k = 0; k < 2; k++) {
        // What is on its way may still arrive in part: half a message.
        if (sim_chance(sim, 1, 2))
            incoming_drop(&found->ends[k]);
        net_put(&found->ends[k], NET_RST, NULL, 0, sim->now_ns);
    }
    return true;
}

void sim_net_deinit(struct sim *sim)
{
    struct list_node *n;
    while ((n = list_first(&sim->conns))) {
        struct sim_conn *c = list_entry(n, struct sim_conn, link);
        incoming_drop(&c->ends[0]);
        incoming_drop(&c->ends[1]);
        net_settle(c);
    }
}
