// SPDX-License-Identifier: Apache-2.0
//
// The process that all clients of the node scenario live in.
#include "group_world.h"

#include "wire/frame.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

bool node_decode(struct node_world *w, const struct client_request *r, struct bytes body, struct arena *a, void *out)
{
    struct dec d = dec_of(body);
    const struct schema_message *message = wire_response_find(r->message->key);
    ASSERT(message);
    enum rc rc = schema_decode(message, &d, r->version, a, out);
    if (rc == RC_OK && dec_left(&d) == 0)
        return true;
    sim_fail(&w->sim, "the answer to %s version %d cannot be read: %s, %zu bytes left", r->message->name, r->version,
             rc_name(rc), dec_left(&d));
    return false;
}

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
        group_clients_start(all);
    }
}

const struct sim_program node_clients_calls = {.boot = boot, .turn = sim_shard_turn};
