// SPDX-License-Identifier: Apache-2.0
//
// Asks leaders of the cluster scenario for the ends of their partitions: latest never lies below what was read or
// acknowledged when it was asked for, nor below an earlier answer; a leader that does not know yet says
// OFFSET_NOT_AVAILABLE. Earliest never lies below an answered deletion, nor above any that was asked for.
#include "cluster_clients.h"

#include "base/assert.h"
#include "model/kerr.h"

struct cluster_asker {
    struct cluster_clients *all;
    struct cluster_links links;
    struct shard_timer timer;
    struct client_request request;
    uint32_t topic, partition, era, node;
    uint64_t asked_ns;
    bool earliest;
    int64_t least; // that the answer may be
    struct cluster_ends in;
};

static void tick(struct shard_timer *t);

static void judge(struct cluster_asker *a, int16_t error, int64_t offset)
{
    struct cluster_world *w = a->all->w;
    struct cluster_part *part = &w->topics[a->topic].parts[a->partition];
    if (error) {
        part->leader = error == 6 ? -1 : part->leader; // NOT_LEADER_OR_FOLLOWER
        if (!kerr_retriable(error) && error != -1)
            sim_fail(&w->sim, "%s: ListOffsets is answered with %s", part->model.name, kerr_name(error));
        return;
    }
    w->result->checks++;
    cluster_check(w);
    if (a->era <= part->model.risk_era || cluster_may_not_know(part, a->node, a->asked_ns))
        return;
    if (a->earliest)
        cluster_start_judge(w, part, a->least, offset);
    if (!a->earliest && offset < a->least)
        sim_fail(&w->sim, "%s: the latest offset was %lld and is %lld", part->model.name, (long long)a->least,
                 (long long)offset);
    if (!a->earliest && offset > part->model.end_seen && cluster_end_stands(w, part, offset, a->node))
        part->model.end_seen = offset;
}

static void done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct cluster_asker *a = container_of(r, struct cluster_asker, request);
    int16_t error;
    int64_t offset;
    if (rc == RC_OK && cluster_ends_read(a->all->w, r, body, &error, &offset))
        judge(a, error, offset);
}

static void tick(struct shard_timer *t)
{
    struct cluster_asker *a = container_of(t, struct cluster_asker, timer);
    struct cluster_world *w = a->all->w;
    if (w->sim.failed)
        return;
    cluster_wake_in(a->all, &a->timer, sim_latency(&w->sim, 20 * SIM_MS), tick);
    a->topic = a->request.busy ? a->topic : (uint32_t)sim_between(&w->sim, 0, w->topic_count - 1);
    if (a->request.busy || w->draining || !w->topics[a->topic].there)
        return;
    a->partition = (uint32_t)sim_between(&w->sim, 0, w->topics[a->topic].partition_count - 1);
    a->earliest = sim_chance(&w->sim, 1, 8);
    a->era = w->eras.now;
    a->asked_ns = w->sim.now_ns;
    const struct model_part *model = &w->topics[a->topic].parts[a->partition].model;
    a->least = a->earliest ? model->start_acked : model->end_seen;
    cluster_ends_fill(&a->in, w, a->topic, a->partition, a->earliest ? CLUSTER_EARLIEST : CLUSTER_LATEST);
    a->node = cluster_choose(w, w->topics[a->topic].parts[a->partition].leader);
    client_connection_submit(&a->links.to[a->node], &a->request);
}

static void *start(struct cluster_clients *all)
{
    struct cluster_asker *a = cluster_allocate(sizeof(*a));
    a->all = all;
    cluster_links_init(&a->links, all, "asker");
    client_request_init(&a->request, &list_offsets_request_message, 2000);
    a->request.version_max = INT16_MAX;
    a->request.in = &a->in.in;
    a->request.done = done;
    cluster_wake_in(all, &a->timer, 20 * SIM_MS, tick);
    return a;
}

const struct cluster_actor cluster_offsets = {.name = "offsets", .start = start};
