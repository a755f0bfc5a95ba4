// SPDX-License-Identifier: Apache-2.0
//
// The process of the cluster scenario's clients: its actors, and what they share.
#include "cluster_clients.h"

#include <stdlib.h>

#include "base/assert.h"

// Everybody who does something to the cluster from outside. Another one is a file of its own and a line here.
static const struct cluster_actor *const actors[] = {
    &cluster_admin,
    &cluster_mover,
    &cluster_producers,
    &cluster_readers,
    &cluster_voters,
    &cluster_offsets,
    &cluster_groups,
};
_Static_assert(ARRAY_COUNT(actors) <= CLUSTER_ACTORS_MAX, "each has its place");

void cluster_links_init(struct cluster_links *l, struct cluster_clients *all, const char *name)
{
    for (uint32_t i = 0; i < all->w->node_count; i++) {
        client_connection_init(&l->to[i], all->shard, all->w->nodes[i].machine->name, CLUSTER_PORT, name, "sim");
        l->to[i].connect_timeout_ms = 500;
    }
}

void cluster_wake_in(struct cluster_clients *all, struct shard_timer *t, uint64_t delay_ns, shard_timer_fn fn)
{
    enum rc rc = shard_timer_set(all->shard, t, shard_now_ns(all->shard) + delay_ns, fn);
    ASSERT(rc == RC_OK);
}

// Who is asked: the node said to lead, now and then anybody.
uint32_t cluster_choose(struct cluster_world *w, int32_t leader)
{
    if (leader >= 0 && !sim_chance(&w->sim, 1, 16))
        return (uint32_t)leader;
    return (uint32_t)sim_between(&w->sim, 0, w->node_count - 1);
}

// Nobody is known to lead in a later epoch than this node did.
bool cluster_leads_now(const struct cluster_part *part, uint32_t node)
{
    return part->leader_of_epoch[part->epoch_max] == (int32_t)node + 1;
}

void *cluster_allocate(size_t n)
{
    void *p = calloc(1, n);
    ASSERT(p);
    return p;
}

static void boot(struct sim_process *p)
{
    struct cluster_world *w = p->user;
    struct cluster_clients *all = cluster_allocate(sizeof(*all));
    p->program = all;
    all->w = w;
    p->shards = &all->group;
    enum rc rc = shard_group_create(&all->group, p->ios, 1, 64, &w->sim.sink);
    ASSERT(rc == RC_OK);
    all->shard = &all->group.shards[0];
    for (size_t k = 0; k < ARRAY_COUNT(actors); k++)
        all->actors[k] = actors[k]->start(all);
}

const struct sim_program cluster_clients_calls = {.boot = boot, .turn = sim_shard_turn};

const char *cluster_clients_waiting(const struct cluster_world *w)
{
    const struct cluster_clients *all = w->clients.program;
    for (size_t k = 0; k < ARRAY_COUNT(actors); k++)
        if (actors[k]->idle && !actors[k]->idle(all->actors[k]))
            return actors[k]->name;
    return NULL;
}

void cluster_clients_verify(void *argument)
{
    struct cluster_clients *all = argument;
    for (size_t k = 0; k < ARRAY_COUNT(actors); k++)
        if (actors[k]->verify)
            actors[k]->verify(all->actors[k]);
}

const char *cluster_clients_verifying(const struct cluster_world *w)
{
    const struct cluster_clients *all = w->clients.program;
    for (size_t k = 0; k < ARRAY_COUNT(actors); k++)
        if (actors[k]->verified && !actors[k]->verified(all->actors[k]))
            return actors[k]->name;
    return NULL;
}
