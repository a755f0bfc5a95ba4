// SPDX-License-Identifier: Apache-2.0
#include "shard_program.h"

#include <stdatomic.h>

#include "base/assert.h"

bool sim_shard_turn(struct sim_process *p, uint32_t lane, uint64_t *next_ns)
{
    struct shard_group *g = p->shards;
    struct shard *s = &g->shards[lane];
    ASSERT(lane < g->count);
    atomic_store(&s->sleeping, 0);
    bool again = shard_turn(s, 0);
    *next_ns = shard_next_deadline_ns(s);
    // It sleeps now, as shard_run() would: whoever has a message for it wakes it.
    atomic_store(&s->sleeping, 1);
    return again;
}
