// SPDX-License-Identifier: Apache-2.0
//
// What must hold inside the nodes of the cluster scenario.
#include "cluster_world.h"

#include "engine/partition.h"
#include "engine/replica.h"

static struct cluster_part *part_of(struct cluster_world *w, struct topic_partition id)
{
    for (uint32_t t = 0; t < w->topic_count; t++)
        if (uuid_eq(w->topics[t].id, id.topic_id) && id.partition < (int32_t)w->topics[t].partition_count)
            return &w->topics[t].parts[id.partition];
    return NULL;
}

// One leader a leader epoch, for ever, and one life of it: what registers anew leads in a new epoch.
static void check_leader(struct cluster_world *w, const struct cluster_node *c, const struct partition *p)
{
    struct cluster_part *part = part_of(w, p->id);
    int32_t id = (int32_t)c->index + 1;
    if (!part || !p->leads || p->leader_epoch < 0 || p->leader_epoch >= CLUSTER_EPOCHS_MAX)
        return;
    int32_t *was = &part->leader_of_epoch[p->leader_epoch];
    if (*was && *was != id)
        sim_fail(&w->sim, "%s-%d: nodes %d and %d both lead in epoch %d", p->topic->name, p->id.partition, *was, id,
                 p->leader_epoch);
    if (*was && part->life_of_epoch[p->leader_epoch] != c->machine->processes)
        sim_fail(&w->sim, "%s-%d: node %d leads in epoch %d, as it did before it was started anew", p->topic->name,
                 p->id.partition, id, p->leader_epoch);
    if (!*was)
        w->elections++;
    *was = id;
    part->life_of_epoch[p->leader_epoch] = c->machine->processes;
    if (p->high_watermark > plog_written_end(&p->log))
        sim_fail(&w->sim, "%s-%d: node %d has high watermark %lld and ends at %lld", p->topic->name, p->id.partition, id,
                 (long long)p->high_watermark, (long long)plog_written_end(&p->log));
}

// What a leader counts as committed.
static void note_watermark(struct cluster_world *w, const struct partition *p)
{
    struct cluster_part *part = part_of(w, p->id);
    if (part && p->leads && (!p->replica || p->replica->begun) && p->high_watermark > part->watermark) {
        part->watermark = p->high_watermark;
        part->watermark_index = engine_image(p->es)->index;
    }
}

static const struct partition *partition_on(const struct node *n, struct uuid topic, int32_t number)
{
    for (uint32_t s = 0; s < n->engine->shard_count; s++) {
        const struct engine_shard *es = &n->engine->shards[s];
        for (struct list_node *at = list_first(&es->all); at; at = list_next(&es->all, at)) {
            const struct partition *p = list_entry(at, struct partition, all_link);
            if (uuid_eq(p->id.topic_id, topic) && p->id.partition == number)
                return p;
        }
    }
    return NULL;
}

// Every member of the ISR that runs holds everything below the highest watermark any leader has reached. The newest
// image that anybody has is the committed one if it is no older than what that leader went by.
static void check_completeness(struct cluster_world *w)
{
    const struct image *newest = NULL;
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct node *n = w->nodes[i].process.running && w->nodes[i].ready ? w->nodes[i].process.program : NULL;
        if (n && (!newest || engine_image(&n->engine->shards[0])->index > newest->index))
            newest = engine_image(&n->engine->shards[0]);
    }
    for (uint32_t t = 0; newest && t < w->topic_count; t++) {
        const struct image_topic *it = image_topic_by_id(newest, w->topics[t].id);
        for (uint32_t i = 0; it && i < w->node_count; i++) {
            const struct node *n = w->nodes[i].process.running && w->nodes[i].ready ? w->nodes[i].process.program : NULL;
            for (int32_t k = 0; n && k < it->partition_count; k++) {
                const struct partition *p = partition_on(n, it->id, k);
                if (!p || !image_in_isr(image_partition(it, k), (int32_t)i + 1) || p->state != PARTITION_ONLINE ||
                    (p->log.state != PLOG_OPEN && p->log.state != PLOG_AT_REST))
                    continue;
                if (newest->index >= w->topics[t].parts[k].watermark_index &&
                    plog_written_end(&p->log) < w->topics[t].parts[k].watermark)
                    sim_fail(&w->sim, "%s-%d: node %u is in the ISR and ends at %lld; the watermark was %lld", it->name, k,
                             i + 1, (long long)plog_written_end(&p->log), (long long)w->topics[t].parts[k].watermark);
            }
        }
    }
}

static void check_image(struct cluster_world *w, const struct cluster_node *c, const struct image *image)
{
    for (uint32_t t = 0; image && t < w->topic_count; t++) {
        const struct image_topic *it = image_topic_by_id(image, w->topics[t].id);
        for (int32_t k = 0; it && k < it->partition_count; k++) {
            const struct image_partition *ip = image_partition(it, k);
            if (ip->leader != NODE_ID_NONE && !image_in_isr(ip, ip->leader))
                sim_fail(&w->sim, "node %u: %s-%d is led by %d, which is not in the ISR", c->index + 1, it->name, k,
                         ip->leader);
        }
    }
}

void cluster_check(struct cluster_world *w)
{
    for (uint32_t i = 0; i < w->node_count && !w->sim.failed; i++) {
        const struct cluster_node *c = &w->nodes[i];
        const struct node *n = c->process.running ? c->process.program : NULL;
        if (!n || !n->engine || !c->ready)
            continue;
        for (uint32_t s = 0; s < n->engine->shard_count; s++) {
            const struct engine_shard *es = &n->engine->shards[s];
            for (struct list_node *at = list_first(&es->all); at; at = list_next(&es->all, at)) {
                check_leader(w, c, list_entry(at, struct partition, all_link));
                note_watermark(w, list_entry(at, struct partition, all_link));
            }
            check_image(w, c, engine_image(es));
        }
    }
    check_completeness(w);
    w->result->checks++;
}

// ------------------------------------------------------------------------------------------------ looking for trouble

static bool joining_on(const struct cluster_node *c, uint32_t *joiner)
{
    const struct node *n = c->process.running && c->ready ? c->process.program : NULL;
    for (uint32_t s = 0; n && n->engine && s < n->engine->shard_count; s++) {
        const struct engine_shard *es = &n->engine->shards[s];
        for (struct list_node *at = list_first(&es->all); at; at = list_next(&es->all, at)) {
            const struct partition *p = list_entry(at, struct partition, all_link);
            const struct replica *r = p->leads && p->replica && p->replica->begun ? p->replica : NULL;
            for (uint32_t k = 0; r && r->leads && r->change && k < r->leader.replica_count; k++)
                if (r->leader.replicas[k].adding) {
                    *joiner = (uint32_t)r->leader.replicas[k].node - 1;
                    return true;
                }
        }
    }
    return false;
}

bool cluster_joining(const struct cluster_world *w, uint32_t *leader, uint32_t *joiner, uint32_t *controller)
{
    bool found = false, led = false;
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct node *n = w->nodes[i].process.running ? w->nodes[i].process.program : NULL;
        if (!found && joining_on(&w->nodes[i], joiner)) {
            *leader = i;
            found = true;
        }
        if (n && n->engine && n->engine->quorum && raft_leads(quorum_raft(n->engine->quorum))) {
            *controller = i;
            led = true;
        }
    }
    return found && led && *leader != *controller && *joiner != *controller;
}
