// SPDX-License-Identifier: Apache-2.0
//
// How the partitions are spread over the nodes, kept up to date with every change of one.
#include "meta/image_core.h"

static uint32_t share_place(const struct image *i, int32_t node)
{
    uint32_t low = 0, high = i->share_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (i->shares[middle].node < node)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct image_share image_share_of(const struct image *i, int32_t node)
{
    uint32_t at = share_place(i, node);
    return at < i->share_count && i->shares[at].node == node ? i->shares[at] : (struct image_share){.node = node};
}

static struct image_share *share_get(struct image *w, int32_t node)
{
    uint32_t at = share_place(w, node);
    if (at < w->share_count && w->shares[at].node == node)
        return &w->shares[at];
    if (w->share_count == IMAGE_NODES_MAX)
        return NULL;
    memmove(&w->shares[at + 1], &w->shares[at], (w->share_count - at) * sizeof(w->shares[0]));
    w->share_count++;
    w->shares[at] = (struct image_share){.node = node};
    return &w->shares[at];
}

bool image_shares_count(struct image *w, const struct image_partition *p, int by)
{
    const uint32_t one = (uint32_t)by; // unsigned sums wrap as they should
    for (uint32_t i = 0; i < p->replica_count; i++) {
        int32_t node = image_replicas(p)[i];
        struct image_share *s = share_get(w, node);
        if (!s)
            return false;
        s->replicas += one;
        s->leads += node == p->leader ? one : 0;
        s->preferred += i == 0 ? one : 0;
        s->away += i == 0 && node != p->leader ? one : 0;
        if (s->replicas == 0) {
            w->share_count--;
            memmove(s, s + 1, (size_t)(w->shares + w->share_count - s) * sizeof(*s));
        }
    }
    w->leaderless_count += p->leader == NODE_ID_NONE ? (uint64_t)by : 0;
    w->elr_count += p->elr_count > 0 ? (uint64_t)by : 0;
    return true;
}
