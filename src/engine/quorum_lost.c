// SPDX-License-Identifier: Apache-2.0
//
// Who is known here to be dead before the controller has said so, for what is told to clients meanwhile. Nothing else
// rests on it: the node may live after all, and is then met again, or fenced, within a session.
#include "engine/quorum_core.h"

void quorum_lost_set(struct quorum *q, int32_t node, bool lost)
{
    uint64_t until = lost ? shard_now_ns(q->shard) + q->session_ns : 0;
    uint32_t i = 0;
    while (i < q->lost_count && q->lost[i].node != node)
        i++;
    if (i == q->lost_count && (!lost || i == PEERS_MAX))
        return;
    q->lost[i].node = node;
    __atomic_store_n(&q->lost[i].until_ns, until, __ATOMIC_RELAXED);
    if (i == q->lost_count)
        __atomic_store_n(&q->lost_count, i + 1, __ATOMIC_RELEASE);
}

uint32_t quorum_lost_nodes(const struct quorum *q, uint64_t now_ns, int32_t *out, uint32_t max)
{
    uint32_t count = __atomic_load_n(&q->lost_count, __ATOMIC_ACQUIRE), n = 0;
    for (uint32_t i = 0; i < count && n < max; i++)
        if (__atomic_load_n(&q->lost[i].until_ns, __ATOMIC_RELAXED) > now_ns)
            out[n++] = q->lost[i].node;
    return n;
}
