// SPDX-License-Identifier: Apache-2.0
//
// Deletes records of the cluster scenario's topics, up to an offset that somebody was told of: an answered deletion stays,
// whoever leads, and takes nothing from that offset on.
#include "cluster_clients.h"

#include "base/assert.h"
#include "model/kerr.h"

struct cluster_deleter {
    struct cluster_clients *all;
    struct cluster_links links;
    struct shard_timer timer;
    struct client_request request;
    uint32_t topic, partition, era, node;
    uint64_t asked_ns;
    struct delete_records_request in;
    struct delete_records_request_topic in_topic;
    struct delete_records_request_partition in_partition;
};

static void tick(struct shard_timer *t);

static void judge(struct cluster_deleter *d, const struct delete_records_response_partition *p)
{
    struct cluster_world *w = d->all->w;
    struct cluster_part *part = &w->topics[d->topic].parts[d->partition];
    sim_say(&w->sim, w->machine, "deleter: records of %s below %lld: %s, low watermark %lld", part->model.name,
            (long long)d->in_partition.offset, kerr_name(p->error_code), (long long)p->low_watermark);
    if (p->error_code) {
        part->leader = p->error_code == 6 ? -1 : part->leader; // NOT_LEADER_OR_FOLLOWER
        // 1, OFFSET_OUT_OF_RANGE: a new leader does not know yet how far the log is committed.
        if (!kerr_retriable(p->error_code) && p->error_code != -1 && p->error_code != 1)
            sim_fail(&w->sim, "%s: DeleteRecords is answered with %s", part->model.name, kerr_name(p->error_code));
        return;
    }
    w->result->checks++;
    if (p->low_watermark < d->in_partition.offset)
        sim_fail(&w->sim, "%s: records were to be deleted below %lld, the answer says %lld", part->model.name,
                 (long long)d->in_partition.offset, (long long)p->low_watermark);
    if (d->era <= part->model.risk_era || p->low_watermark <= part->model.start_acked)
        return;
    part->model.start_acked = p->low_watermark;
    cluster_count(w, CLUSTER_DELETIONS, 1);
    cluster_check(w);
}

static void done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct cluster_deleter *d = container_of(r, struct cluster_deleter, request);
    struct cluster_world *w = d->all->w;
    struct arena arena;
    struct delete_records_response answer;
    arena_init(&arena, 16 << 10, NULL, 0);
    if (rc == RC_OK && client_answer_decode(&w->sim, r, body, &arena, &answer) && answer.topics_count == 1 &&
        answer.topics[0].partitions_count == 1)
        judge(d, &answer.topics[0].partitions[0]);
    arena_deinit(&arena);
}

// Half of the time exactly as far as a replica goes that is behind: whether what it has below there agrees with its leader's
// log nobody can see any more.
static int64_t choose_offset(struct cluster_world *w, const struct cluster_part *part, uint32_t topic, uint32_t k)
{
    int64_t least = part->model.start_acked + 1;
    for (uint32_t i = 0; i < w->node_count; i++) {
        int64_t held = w->nodes[i].held[topic][k];
        if ((part->known.replicas >> i & 1) && !(part->known.isr >> i & 1) && held >= least &&
            held <= part->model.end_seen && sim_chance(&w->sim, 1, 2))
            return held;
    }
    return (int64_t)sim_between(&w->sim, (uint64_t)least, (uint64_t)part->model.end_seen);
}

static void tick(struct shard_timer *t)
{
    struct cluster_deleter *d = container_of(t, struct cluster_deleter, timer);
    struct cluster_world *w = d->all->w;
    if (w->sim.failed)
        return;
    cluster_wake_in(d->all, &d->timer, sim_latency(&w->sim, 100 * SIM_MS), tick);
    if (d->request.busy || w->draining)
        return;
    d->topic = (uint32_t)sim_between(&w->sim, 0, w->topic_count - 1);
    d->partition = (uint32_t)sim_between(&w->sim, 0, w->topics[d->topic].partition_count - 1);
    struct cluster_part *part = &w->topics[d->topic].parts[d->partition];
    if (!w->topics[d->topic].there || part->model.end_seen <= part->model.start_acked)
        return;
    int64_t offset = choose_offset(w, part, d->topic, d->partition);
    if (offset > part->model.start_asked)
        part->model.start_asked = offset;
    d->era = w->eras.now;
    d->asked_ns = w->sim.now_ns;
    delete_records_request_init(&d->in);
    d->in.topics = &d->in_topic;
    d->in.topics_count = 1;
    d->in.timeout_ms = (int32_t)sim_between(&w->sim, 100, 2000);
    d->in_topic = (struct delete_records_request_topic){
        .name = bytes_str(w->topics[d->topic].name), .partitions = &d->in_partition, .partitions_count = 1};
    d->in_partition =
        (struct delete_records_request_partition){.partition_index = (int32_t)d->partition, .offset = offset};
    d->node = cluster_choose(w, part->leader);
    client_connection_submit(&d->links.to[d->node], &d->request);
}

static void *start(struct cluster_clients *all)
{
    struct cluster_deleter *d = cluster_allocate(sizeof(*d));
    d->all = all;
    cluster_links_init(&d->links, all, "deleter");
    client_request_init(&d->request, &delete_records_request_message, 3000);
    d->request.version_max = INT16_MAX;
    d->request.in = &d->in;
    d->request.done = done;
    if (all->w->deletes)
        cluster_wake_in(all, &d->timer, 100 * SIM_MS, tick);
    return d;
}

static bool idle(const void *actor)
{
    const struct cluster_deleter *d = actor;
    return !d->request.busy;
}

const struct cluster_actor cluster_deleter = {.name = "deleter", .start = start, .idle = idle};
