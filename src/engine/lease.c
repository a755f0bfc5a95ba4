// SPDX-License-Identifier: Apache-2.0
#include "engine/lease.h"

void lease_offer(struct lease *l, uint64_t index, uint64_t until_ns)
{
    const struct lease_offer offer = {.index = index, .until_ns = until_ns};
    if (l->oldest.until_ns == 0)
        l->oldest = offer;
    else
        l->newest = offer;
}

static void take_up(struct lease *l, struct lease_offer *o, uint64_t seen_index)
{
    if (o->until_ns == 0 || o->index > seen_index)
        return;
    if (o->until_ns > l->until_ns)
        __atomic_store_n(&l->until_ns, o->until_ns, __ATOMIC_RELAXED);
    *o = (struct lease_offer){0};
}

void lease_settle(struct lease *l, uint64_t seen_index)
{
    take_up(l, &l->newest, seen_index);
    take_up(l, &l->oldest, seen_index);
    if (l->oldest.until_ns == 0) {
        l->oldest = l->newest;
        l->newest = (struct lease_offer){0};
    }
}
