// SPDX-License-Identifier: Apache-2.0
//
// Asks leaders of the cluster scenario for the ends of their partitions: latest never lies below what was read or
// acknowledged when it was asked for, nor below an earlier answer; a leader that does not know yet says
// OFFSET_NOT_AVAILABLE. Earliest stays.
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
    struct list_offsets_request in;
    struct list_offsets_request_topic in_topic;
    struct list_offsets_request_partition in_partition;
};

enum { TIMESTAMP_LATEST = -1, TIMESTAMP_EARLIEST = -2 };

static void tick(struct shard_timer *t);

static void judge(struct cluster_asker *a, const struct list_offsets_response_partition *p)
{
    struct cluster_world *w = a->all->w;
    struct cluster_part *part = &w->topics[a->topic].parts[a->partition];
    if (p->error_code) {
        part->leader = p->error_code == 6 ? -1 : part->leader; // NOT_LEADER_OR_FOLLOWER
        if (!kerr_retriable(p->error_code) && p->error_code != -1)
            sim_fail(&w->sim, "%s: ListOffsets is answered with %s", part->model.name, kerr_name(p->error_code));
        return;
    }
    w->result->checks++;
    cluster_check(w);
    if (a->era <= part->model.risk_era || cluster_may_not_know(part, a->node, a->asked_ns))
        return;
    if (a->earliest && p->offset != 0)
        sim_fail(&w->sim, "%s: the earliest offset is %lld", part->model.name, (long long)p->offset);
    if (!a->earliest && p->offset < a->least)
        sim_fail(&w->sim, "%s: the latest offset was %lld and is %lld", part->model.name, (long long)a->least,
                 (long long)p->offset);
    if (!a->earliest && p->offset > part->model.end_seen && cluster_end_stands(w, part, p->offset, a->node))
        part->model.end_seen = p->offset;
}

static void done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct cluster_asker *a = container_of(r, struct cluster_asker, request);
    struct cluster_world *w = a->all->w;
    struct arena arena;
    struct list_offsets_response answer;
    arena_init(&arena, 16 << 10, NULL, 0);
    if (rc == RC_OK && client_answer_decode(&w->sim, r, body, &arena, &answer) && answer.topics_count == 1 &&
        answer.topics[0].partitions_count == 1)
        judge(a, &answer.topics[0].partitions[0]);
    arena_deinit(&arena);
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
    a->least = w->topics[a->topic].parts[a->partition].model.end_seen;
    list_offsets_request_init(&a->in);
    list_offsets_request_topic_init(&a->in_topic);
    list_offsets_request_partition_init(&a->in_partition);
    a->in.replica_id = -1;
    a->in.topics = &a->in_topic;
    a->in.topics_count = 1;
    a->in_topic.name = bytes_str(w->topics[a->topic].name);
    a->in_topic.partitions = &a->in_partition;
    a->in_topic.partitions_count = 1;
    a->in_partition.partition_index = (int32_t)a->partition;
    a->in_partition.timestamp = a->earliest ? TIMESTAMP_EARLIEST : TIMESTAMP_LATEST;
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
    a->request.in = &a->in;
    a->request.done = done;
    cluster_wake_in(all, &a->timer, 20 * SIM_MS, tick);
    return a;
}

const struct cluster_actor cluster_offsets = {.name = "offsets", .start = start};
