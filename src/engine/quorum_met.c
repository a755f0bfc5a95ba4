// SPDX-License-Identifier: Apache-2.0
//
// What this node has seen of the others itself, for what is told to people and clients: who is dead before the controller
// has said so, whose clock is apart, who advertises the same address. Nothing else rests on it: a node taken for dead may
// live after all, and is then met again, or fenced, within a session; no safety rests on a clock.
#include "engine/quorum_core.h"

enum { CLOCKS_APART_MS = 60 * 1000 };

#define FENCED_NAMED_NS UINT64_C(3000000000) // clients that lost a leader have asked by then who leads

static struct quorum_met *met(struct quorum *q, int32_t node, bool add)
{
    uint32_t i = 0;
    while (i < q->met_count && q->met[i].node != node)
        i++;
    if (i < q->met_count)
        return &q->met[i];
    if (!add || i == PEERS_MAX)
        return NULL;
    q->met[i] = (struct quorum_met){.node = node, .ahead_ms = QUORUM_CLOCK_UNKNOWN};
    __atomic_store_n(&q->met_count, i + 1, __ATOMIC_RELEASE);
    return &q->met[i];
}

void quorum_met_lost(struct quorum *q, int32_t node, uint64_t for_ns)
{
    struct quorum_met *m = met(q, node, for_ns > 0);
    if (!m)
        return;
    uint64_t now = shard_now_ns(q->shard);
    __atomic_store_n(&m->lost_ns, for_ns ? now + for_ns : 0, __ATOMIC_RELAXED);
    if (!for_ns != !m->gone_ns && !m->fenced_ns)
        __atomic_store_n(&m->gone_ns, for_ns ? now : 0, __ATOMIC_RELAXED);
}

void quorum_met_nodes(struct quorum *q, const struct image *fresh)
{
    uint64_t now = shard_now_ns(q->shard);
    for (uint32_t i = 0; i < fresh->node_count; i++) {
        const struct image_node *n = fresh->nodes[i], *old = image_node(q->image, n->id);
        bool falls = n->fenced && !n->in_shutdown && old && !old->fenced && !old->in_shutdown;
        struct quorum_met *m = falls || !n->fenced ? met(q, n->id, falls) : NULL;
        if (!m || (!falls && !m->fenced_ns))
            continue;
        __atomic_store_n(&m->fenced_ns, falls ? now + FENCED_NAMED_NS : 0, __ATOMIC_RELAXED);
        if (!falls || !m->gone_ns)
            __atomic_store_n(&m->gone_ns, falls ? now : 0, __ATOMIC_RELAXED);
    }
}

uint32_t quorum_lost_nodes(const struct quorum *q, uint64_t now_ns, int32_t *out, uint32_t max)
{
    uint32_t count = __atomic_load_n(&q->met_count, __ATOMIC_ACQUIRE), n = 0;
    for (uint32_t i = 0; i < count && n < max; i++)
        if (__atomic_load_n(&q->met[i].lost_ns, __ATOMIC_RELAXED) > now_ns)
            out[n++] = q->met[i].node;
    return n;
}

uint32_t quorum_fenced_nodes(const struct quorum *q, uint64_t now_ns, uint64_t since_ns, int32_t *out, uint32_t max)
{
    uint32_t count = __atomic_load_n(&q->met_count, __ATOMIC_ACQUIRE), n = 0;
    for (uint32_t i = 0; i < count && n < max; i++)
        if (__atomic_load_n(&q->met[i].fenced_ns, __ATOMIC_RELAXED) > now_ns &&
            __atomic_load_n(&q->met[i].gone_ns, __ATOMIC_RELAXED) > since_ns)
            out[n++] = q->met[i].node;
    return n;
}

void quorum_met_clock(struct quorum *q, int32_t node, int64_t wall_ms)
{
    struct quorum_met *m = met(q, node, true);
    if (!m)
        return;
    int64_t own_ms = io_wall_ms(q->shard->io), ahead_ms;
    if (__builtin_sub_overflow(wall_ms, own_ms, &ahead_ms) || ahead_ms == QUORUM_CLOCK_UNKNOWN)
        return;
    bool apart = ahead_ms > CLOCKS_APART_MS || ahead_ms < -CLOCKS_APART_MS;
    __atomic_store_n(&m->ahead_ms, ahead_ms, __ATOMIC_RELAXED);
    if (apart && !m->apart)
        trace_warn(q->config.trace,
                   "the clocks are apart: node %d says %lld ms since 1970, this node %lld, %lld s %s; timestamps and "
                   "retention follow them, safety does not",
                   node, (long long)wall_ms, (long long)own_ms,
                   (long long)((ahead_ms < 0 ? -ahead_ms : ahead_ms) / 1000), ahead_ms < 0 ? "more" : "less");
    m->apart = apart;
}

int64_t quorum_clock_ahead_ms(const struct quorum *q, int32_t node)
{
    uint32_t count = __atomic_load_n(&q->met_count, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < count; i++)
        if (q->met[i].node == node)
            return __atomic_load_n(&q->met[i].ahead_ms, __ATOMIC_RELAXED);
    return node == q->config.node_id ? 0 : QUORUM_CLOCK_UNKNOWN;
}

static const struct image_listener *shared_listener(const struct image_node *a, const struct image_node *b)
{
    for (uint32_t i = 0; i < a->listener_count; i++)
        for (uint32_t k = 0; k < b->listener_count; k++)
            if (a->listeners[i].port == b->listeners[k].port && strcmp(a->listeners[i].host, b->listeners[k].host) == 0)
                return &a->listeners[i];
    return NULL;
}

void quorum_met_addresses(struct quorum *q, const struct image *image)
{
    const struct image_node *self = image_node(image, q->config.node_id);
    for (uint32_t i = 0; self && !self->fenced && i < image->node_count; i++) {
        const struct image_node *n = image->nodes[i];
        const struct image_listener *l = n == self || n->fenced ? NULL : shared_listener(self, n);
        struct quorum_met *m = l ? met(q, n->id, true) : NULL;
        if (!m || m->address_epoch == n->broker_epoch)
            continue;
        m->address_epoch = n->broker_epoch; // said once of each life
        trace_warn(q->config.trace,
                   "node %d advertises %s:%u, too, as this node does: clients reach only one of them; give each its own "
                   "address (--advertise or advertised.listeners)",
                   n->id, l->host, l->port);
    }
}
