// SPDX-License-Identifier: Apache-2.0
//
// Striped placement: racks in a ring, the nodes of each rack in a ring of their own; a partition takes one node of each
// rack in turn, and the next partition begins one rack further. With one rack this is the plain round of nodes.
#include "meta/placement.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

struct rack {
    const char *name; // NULL: nodes without a rack share one
    int32_t live[IMAGE_NODES_MAX], fenced[IMAGE_NODES_MAX];
    uint32_t live_count, fenced_count;
    uint32_t offset; // where this rack's ring stands
    uint32_t live_at, fenced_at;
};

struct placer {
    struct rack *racks;
    uint32_t rack_count;
    uint32_t rack_offset;
    uint32_t live_count, node_count;
};

static bool same_name(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void rack_add(struct placer *p, const struct image_node *n)
{
    uint32_t r = 0;
    while (r < p->rack_count && !same_name(p->racks[r].name, n->rack))
        r++;
    if (r == p->rack_count)
        p->racks[p->rack_count++] = (struct rack){.name = n->rack};
    struct rack *rack = &p->racks[r];
    if (n->fenced || n->in_shutdown)
        rack->fenced[rack->fenced_count++] = n->id;
    else
        rack->live[rack->live_count++] = n->id;
    p->live_count += !n->fenced && !n->in_shutdown;
    p->node_count++;
}

static void ring_shuffle(struct prng *prng, int32_t *nodes, uint32_t count)
{
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = (uint32_t)prng_below(prng, i);
        int32_t t = nodes[i - 1];
        nodes[i - 1] = nodes[j];
        nodes[j] = t;
    }
}

// The next node of rack r for this partition, live ones first; false when it has none left.
static bool rack_take(struct rack *r, bool live_only, int32_t *out)
{
    if (r->live_at < r->live_count) {
        *out = r->live[(r->offset + r->live_at++) % r->live_count];
        return true;
    }
    if (live_only || r->fenced_at == r->fenced_count)
        return false;
    *out = r->fenced[(r->offset + r->fenced_at++) % r->fenced_count];
    return true;
}

static void place_one(struct placer *p, uint32_t factor, int32_t *out)
{
    for (uint32_t r = 0; r < p->rack_count; r++)
        p->racks[r].live_at = p->racks[r].fenced_at = 0;
    uint32_t rack = p->rack_offset;
    for (uint32_t k = 0; k < factor; k++) {
        // The first replica is the leader: it has to be live, whatever rack that takes.
        bool taken = false;
        for (uint32_t tries = 0; tries < p->rack_count && !taken; tries++) {
            taken = rack_take(&p->racks[rack], k == 0, &out[k]);
            rack = (rack + 1) % p->rack_count;
        }
        ASSERT(taken); // there are as many nodes as replicas
    }
    p->rack_offset = (p->rack_offset + 1) % p->rack_count;
    if (p->rack_offset == 0)
        for (uint32_t r = 0; r < p->rack_count; r++)
            p->racks[r].offset++;
}

enum rc placement_assign(const struct image *i, struct prng *prng, uint32_t count, uint32_t factor, int32_t *out)
{
    if (factor == 0 || factor > i->node_count)
        return RC_INVALID_REPLICATION_FACTOR;
    struct placer p = {.racks = calloc(i->node_count, sizeof(*p.racks))};
    if (!p.racks)
        return RC_NOMEM;
    for (uint32_t n = 0; n < i->node_count; n++)
        rack_add(&p, i->nodes[n]);
    enum rc rc = p.live_count ? RC_OK : RC_INVALID_REPLICATION_FACTOR;
    for (uint32_t r = 0; r < p.rack_count; r++) {
        ring_shuffle(prng, p.racks[r].live, p.racks[r].live_count);
        ring_shuffle(prng, p.racks[r].fenced, p.racks[r].fenced_count);
    }
    p.rack_offset = rc == RC_OK ? (uint32_t)prng_below(prng, p.rack_count) : 0;
    for (uint32_t n = 0; n < count && rc == RC_OK; n++)
        place_one(&p, factor, out + (size_t)n * factor);
    free(p.racks);
    return rc;
}
