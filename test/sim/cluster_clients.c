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
    &cluster_deleter,
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

void cluster_ends_fill(struct cluster_ends *e, const struct cluster_world *w, uint32_t topic, uint32_t partition,
                       int64_t which)
{
    list_offsets_request_init(&e->in);
    list_offsets_request_topic_init(&e->in_topic);
    list_offsets_request_partition_init(&e->in_partition);
    e->in.replica_id = -1;
    e->in.topics = &e->in_topic;
    e->in.topics_count = 1;
    e->in_topic.name = bytes_str(w->topics[topic].name);
    e->in_topic.partitions = &e->in_partition;
    e->in_topic.partitions_count = 1;
    e->in_partition.partition_index = (int32_t)partition;
    e->in_partition.timestamp = which;
}

bool cluster_ends_read(struct cluster_world *w, const struct client_request *r, struct bytes body, int16_t *error,
                       int64_t *offset)
{
    struct arena arena;
    struct list_offsets_response answer;
    arena_init(&arena, 16 << 10, NULL, 0);
    bool read = client_answer_decode(&w->sim, r, body, &arena, &answer) && answer.topics_count == 1 &&
                answer.topics[0].partitions_count == 1;
    if (read) {
        *error = answer.topics[0].partitions[0].error_code;
        *offset = answer.topics[0].partitions[0].offset;
    }
    arena_deinit(&arena);
    return read;
}

void cluster_start_judge(struct cluster_world *w, const struct cluster_part *part, int64_t least, int64_t offset)
{
    if (offset < least)
        sim_fail(&w->sim, "%s: the earliest offset is %lld, records below %lld were deleted", part->model.name,
                 (long long)offset, (long long)least);
    if (offset > part->model.start_asked)
        sim_fail(&w->sim, "%s: the earliest offset is %lld, nobody has deleted more than what is below %lld",
                 part->model.name, (long long)offset, (long long)part->model.start_asked);
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
