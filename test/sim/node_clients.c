// SPDX-License-Identifier: Apache-2.0
//
// The process that all clients of the node scenario live in.
#include "node_world.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

static void boot(struct sim_process *p)
{
    struct node_world *w = p->user;
    struct node_clients *all = calloc(1, sizeof(*all));
    ASSERT(all);
    p->program = all;
    all->w = w;
    p->shards = &all->group;
    enum rc rc = shard_group_create(&all->group, p->ios, 1, 64, &w->sim.sink);
    ASSERT(rc == RC_OK);
    all->shard = &all->group.shards[0];
    snprintf(all->host, sizeof(all->host), "%s", w->node->name);
    node_admin_start(&all->admin, all);
    for (uint32_t k = 0; k < w->producer_count; k++)
        node_producer_start(&all->producers[k], all, (uint8_t)k);
    for (uint32_t k = 0; k < w->consumer_count; k++)
        node_consumer_start(&all->consumers[k], all, (uint8_t)k, false);
    node_consumer_start(&all->consumers[w->consumer_count], all, (uint8_t)w->consumer_count, true);
    if (w->group_count) {
        all->groups = calloc(1, sizeof(*all->groups));
        ASSERT(all->groups);
        group_clients_start(all->groups, &w->groups, all->shard);
    }
}

const struct sim_program node_clients_calls = {.boot = boot, .turn = sim_shard_turn};
