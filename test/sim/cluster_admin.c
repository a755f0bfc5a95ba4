// SPDX-License-Identifier: Apache-2.0
//
// The administrator of the cluster scenario: creates the topics and asks who leads.
#include "cluster_clients.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "model/kerr.h"

struct cluster_admin {
    struct cluster_clients *all;
    struct cluster_links links;
    struct shard_timer timer;
    struct client_request request;
    struct create_topics_request create;
    struct create_topics_request_topic create_topic;
    struct create_topics_request_config configs[5];
    char index_bytes[16];
    struct metadata_request metadata;
    uint32_t topic;
    uint64_t asked_ns;
};

static void admin_tick(struct shard_timer *t);

static void create_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct cluster_admin *a = container_of(r, struct cluster_admin, request);
    struct cluster_world *w = a->all->w;
    struct arena arena;
    struct create_topics_response answer;
    arena_init(&arena, 64 << 10, NULL, 0);
    if (rc == RC_OK && client_answer_decode(&w->sim, r, body, &arena, &answer) && answer.topics_count == 1) {
        int16_t code = answer.topics[0].error_code;
        sim_say(&w->sim, w->machine, "admin: creating topic%u: %s", a->topic, kerr_name(code));
        if (code == 0 || code == 36) // TOPIC_ALREADY_EXISTS: an earlier try got through
            w->topics[a->topic].there = w->formed = true;
        else if (!kerr_retriable(code) && code != 38 && code != -1 && code != 41) // 38: not enough nodes are there yet
            sim_fail(&w->sim, "creating a topic is answered with error %d", code);
    }
    arena_deinit(&arena);
    w->requests_answered++;
    cluster_wake_in(a->all, &a->timer, 50 * SIM_MS, admin_tick);
}

static void create(struct cluster_admin *a)
{
    struct cluster_world *w = a->all->w;
    struct cluster_topic *t = &w->topics[a->topic];
    create_topics_request_init(&a->create);
    create_topics_request_topic_init(&a->create_topic);
    a->create.topics = &a->create_topic;
    a->create.topics_count = 1;
    a->create.timeout_ms = 3000;
    a->create_topic.name = bytes_str(t->name);
    a->create_topic.num_partitions = (int32_t)t->partition_count;
    a->create_topic.replication_factor = (int16_t)cluster_replicas(w);
    a->create_topic.configs = a->configs;
    a->configs[a->create_topic.configs_count++] = (struct create_topics_request_config){
        .name = bytes_str("min.insync.replicas"), .value = bytes_str(cluster_replicas(w) == 3 ? "2" : "1")};
    if (w->synced)
        a->configs[a->create_topic.configs_count++] =
            (struct create_topics_request_config){.name = bytes_str("flush.messages"), .value = bytes_str("1")};
    if (w->unclean)
        a->configs[a->create_topic.configs_count++] = (struct create_topics_request_config){
            .name = bytes_str("unclean.leader.election.enable"), .value = bytes_str("true")};
    if (w->deletes) { // small segments: what is deleted goes, and what is cut begins with one
        snprintf(a->index_bytes, sizeof(a->index_bytes), "%u", 8 * (unsigned)sim_between(&w->sim, 6, 60));
        a->configs[a->create_topic.configs_count++] = (struct create_topics_request_config){
            .name = bytes_str("segment.index.bytes"), .value = bytes_str(a->index_bytes)};
        a->configs[a->create_topic.configs_count++] = (struct create_topics_request_config){
            .name = bytes_str("index.interval.bytes"), .value = bytes_str("1024")};
    }
    a->request.message = &create_topics_request_message;
    a->request.in = &a->create;
    a->request.done = create_done;
    client_connection_submit(&a->links.to[cluster_choose(w, -1)], &a->request);
}

static void metadata_read(struct cluster_admin *a, const struct metadata_response *in)
{
    struct cluster_world *w = a->all->w;
    bool whole = true;
    for (uint32_t k = 0; k < in->topics_count; k++) {
        const struct metadata_response_topic *it = &in->topics[k];
        for (uint32_t t = 0; t < w->account_count; t++) {
            if (it->error_code || !bytes_eq(it->name, bytes_str(w->topics[t].name)))
                continue;
            for (uint32_t j = 0; j < it->partitions_count; j++) {
                const struct metadata_response_partition *ip = &it->partitions[j];
                struct cluster_part *p = &w->topics[t].parts[ip->partition_index];
                p->leader = ip->leader_id > 0 && ip->leader_id <= (int32_t)w->node_count ? ip->leader_id - 1 : -1;
                p->isr_count = ip->isr_nodes_count;
                p->replica_count = ip->replica_nodes_count;
            }
        }
    }
    for (uint32_t t = 0; t < w->account_count; t++)
        for (uint32_t k = 0; k < w->topics[t].partition_count; k++) {
            const struct cluster_part *p = &w->topics[t].parts[k];
            // Made while some were away, __consumer_offsets has fewer replicas until the controller has seen all for a while.
            whole = whole && (t == w->topic_count ? p->replica_count >= (uint32_t)cluster_replicas(w) : w->topics[t].there) &&
                    p->isr_count && p->isr_count == p->replica_count && p->leader >= 0;
        }
    w->whole = whole;
    w->whole_asked_ns = a->asked_ns;
}

static void metadata_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct cluster_admin *a = container_of(r, struct cluster_admin, request);
    struct cluster_world *w = a->all->w;
    struct arena arena;
    struct metadata_response answer;
    arena_init(&arena, 256 << 10, NULL, 0);
    if (rc == RC_OK && client_answer_decode(&w->sim, r, body, &arena, &answer))
        metadata_read(a, &answer);
    arena_deinit(&arena);
    cluster_wake_in(a->all, &a->timer, 20 * SIM_MS, admin_tick);
}

static void admin_tick(struct shard_timer *t)
{
    struct cluster_admin *a = container_of(t, struct cluster_admin, timer);
    struct cluster_world *w = a->all->w;
    if (w->sim.failed || a->request.busy)
        return;
    for (a->topic = 0; a->topic < w->topic_count; a->topic++)
        if (!w->topics[a->topic].there) {
            create(a);
            return;
        }
    metadata_request_init(&a->metadata);
    a->metadata.topics = NULL;
    a->request.message = &metadata_request_message;
    a->request.in = &a->metadata;
    a->request.done = metadata_done;
    a->asked_ns = w->sim.now_ns;
    client_connection_submit(&a->links.to[cluster_choose(w, -1)], &a->request);
}

static void *start(struct cluster_clients *all)
{
    struct cluster_admin *a = cluster_allocate(sizeof(*a));
    a->all = all;
    cluster_links_init(&a->links, all, "admin");
    client_request_init(&a->request, &create_topics_request_message, 4000);
    a->request.version_max = INT16_MAX;
    cluster_wake_in(all, &a->timer, 10 * SIM_MS, admin_tick);
    return a;
}

const struct cluster_actor cluster_admin = {.name = "admin", .start = start};
