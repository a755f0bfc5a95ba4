// SPDX-License-Identifier: Apache-2.0
//
// Consumer groups of the cluster scenario: the members of group_world.h, whose coordinators move with the leaders of
// __consumer_offsets. What a group has committed stays as long as the guarantee covers that topic.
#include "cluster_clients.h"

#include "group/groups.h"

static bool topic_there(const struct group_world *g, uint32_t topic)
{
    return container_of(g, struct cluster_world, groups)->topics[topic].there;
}

static bool may_not_know(const struct group_world *g, uint32_t group, uint32_t host, uint64_t asked_ns)
{
    const struct cluster_world *w = container_of(g, struct cluster_world, groups);
    const struct cluster_topic *offsets = &w->topics[w->topic_count];
    int32_t k = group_partition(bytes_str(g->groups[group].model.name), (int32_t)offsets->partition_count);
    return cluster_may_not_know(&offsets->parts[k], host, asked_ns);
}

void cluster_groups_draw(struct cluster_world *w)
{
    struct group_world *g = &w->groups;
    *g = (struct group_world){.sim = &w->sim,
                              .machine = w->machine,
                              .result = w->result,
                              .host_count = w->node_count,
                              .port = CLUSTER_PORT,
                              .era = &w->group_era,
                              .draining = &w->draining,
                              .topic_count = w->topic_count,
                              .there = topic_there,
                              .may_not_know = may_not_know};
    for (uint32_t i = 0; i < w->node_count; i++)
        g->hosts[i] = w->nodes[i].machine->name;
    for (uint32_t t = 0; t < w->topic_count; t++)
        g->topics[t] = (struct group_subject){
            .name = w->topics[t].name, .id = &w->topics[t].id, .partition_count = &w->topics[t].partition_count};
    group_accounts_draw(g, true);
    for (uint32_t k = 0; k < g->group_count; k++) // fewer than one broker's scenario has: each node costs events, too
        g->groups[k].member_count = 1 + g->groups[k].member_count / 2;
    if (g->group_count > 2)
        g->group_count = 2;
}

void cluster_groups_at_risk(struct cluster_world *w)
{
    w->group_era++;
    for (uint32_t k = 0; k < w->groups.group_count; k++)
        w->groups.groups[k].model.lossless = false;
}

static void *start(struct cluster_clients *all)
{
    struct group_clients *g = cluster_allocate(sizeof(*g));
    g->w = &all->w->groups;
    if (all->w->groups.group_count)
        group_clients_start(g, &all->w->groups, all->shard);
    return g;
}

static bool idle(const void *actor)
{
    char why[200];
    return group_clients_settled(actor, why, sizeof(why));
}

static void verify(void *actor)
{
    group_clients_verify(actor);
}

static bool verified(const void *actor)
{
    return group_clients_verified(actor);
}

const struct cluster_actor cluster_groups = {
    .name = "groups", .start = start, .idle = idle, .verify = verify, .verified = verified};
