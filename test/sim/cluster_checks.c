// SPDX-License-Identifier: Apache-2.0
//
// What must hold inside the nodes of the cluster scenario: looked at after every turn of a node where something changed,
// and all of it every 1,000 events (cluster_check()).
#include "cluster_world.h"

#include <string.h>

#include "engine/coordinator_core.h"
#include "engine/partition.h"
#include "engine/replica.h"

enum { FULL_EVERY = 1000 };

// ------------------------------------------------------------------------------------------------ metadata

static uint32_t bits_of(const struct cluster_world *w, const int32_t *ids, uint32_t count)
{
    uint32_t bits = 0;
    for (uint32_t i = 0; i < count; i++)
        if (ids[i] >= 1 && ids[i] <= (int32_t)w->node_count)
            bits |= 1u << (ids[i] - 1);
    return bits;
}

// A newer image than anybody had before: epochs rise, who leads is in sync.
static void know(struct cluster_world *w, const struct image *image, const struct image_topic *it, int32_t k,
                 struct cluster_part *part)
{
    const struct image_partition *ip = image_partition(it, k);
    struct cluster_known *known = &part->known, was = *known;
    if (ip->epoch == was.epoch && was.replicas)
        return;
    *known = (struct cluster_known){.epoch = ip->epoch,
                                    .leader = ip->leader,
                                    .leader_epoch = ip->leader_epoch,
                                    .preferred = image_replicas(ip)[0],
                                    .recovering = ip->recovery == IMAGE_RECOVERING,
                                    .replicas = bits_of(w, image_replicas(ip), ip->replica_count),
                                    .isr = bits_of(w, image_isr(ip), ip->isr_count),
                                    .elr = bits_of(w, image_elr(ip), ip->elr_count)};
    if (ip->recovery == IMAGE_RECOVERING)
        known->elr = 0; // who may lead for want of a better one holds what it holds
    sim_say(&w->sim, w->machine, "%s-%d: leader %d of epoch %d, partition epoch %d, ISR %x, ELR %x, watermark %lld", it->name,
            k, ip->leader, ip->leader_epoch, ip->epoch, known->isr, known->elr, (long long)part->watermark);
    if (ip->leader != NODE_ID_NONE && !image_in_isr(ip, ip->leader))
        sim_fail(&w->sim, "%s-%d is led by %d, which is not in the ISR", it->name, k, ip->leader);
    if (known->isr & known->elr)
        sim_fail(&w->sim, "%s-%d: the ISR %x and the ELR %x share members", it->name, k, known->isr, known->elr);
    if ((known->isr | known->elr) & ~known->replicas)
        sim_fail(&w->sim, "%s-%d: the ISR %x and the ELR %x are no part of the replicas %x", it->name, k, known->isr,
                 known->elr, known->replicas);
    if (!was.replicas)
        return;
    if (known->epoch < was.epoch || known->leader_epoch < was.leader_epoch)
        sim_fail(&w->sim, "%s-%d: partition epoch %d follows %d, leader epoch %d follows %d", it->name, k, known->epoch,
                 was.epoch, known->leader_epoch, was.leader_epoch);
    if (known->leader_epoch == was.leader_epoch && known->leader != was.leader && known->leader != NODE_ID_NONE)
        sim_fail(&w->sim, "%s-%d: epoch %d is given to %d and to %d", it->name, k, known->leader_epoch, was.leader,
                 known->leader);
    cluster_elections_handed(w, part, &was, image);
    cluster_elections_look(w, part, &was);
    cluster_count(w, CLUSTER_ISR_SHRINKS, (was.isr & ~known->isr) != 0);
    cluster_count(w, CLUSTER_ISR_GROWTHS, (known->isr & ~was.isr) != 0);
    if (known->leader >= 1 && known->leader_epoch > was.leader_epoch)
        cluster_count(w, CLUSTER_ELR_ELECTIONS, was.elr >> (known->leader - 1) & 1);
}

static void look_newest(struct cluster_world *w, const struct image *image)
{
    w->newest_index = image->index;
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct image_node *node = image_node(image, (int32_t)i + 1);
        w->incarnations[i] = node ? node->incarnation : (struct uuid){0};
        w->fenced &= ~(1u << i);
        w->fenced |= node && node->fenced && !node->in_shutdown ? 1u << i : 0;
    }
    for (uint32_t t = 0; t < w->account_count; t++) {
        const struct image_topic *it = image_topic_by_name(image, bytes_str(w->topics[t].name));
        if (it && uuid_is_zero(w->topics[t].id))
            w->topics[t].id = it->id; // before anything can be in it
        if (it && !uuid_eq(w->topics[t].id, it->id))
            sim_fail(&w->sim, "%s is another topic than before", it->name);
        for (int32_t k = 0; it && k < it->partition_count && k < (int32_t)w->topics[t].partition_count; k++)
            know(w, image, it, k, &w->topics[t].parts[k]);
    }
}

static void look_quorum(struct cluster_node *c, const struct quorum *q)
{
    struct cluster_world *w = c->w;
    const struct quorum_identity *id = quorum_identity(q);
    const struct image *image = id->forming ? NULL : quorum_image(q);
    if (id->forming)
        return;
    if (w->cluster_id[0] && strcmp(w->cluster_id, id->cluster_id) != 0)
        sim_fail(&w->sim, "node %u is of cluster %s, others of %s", c->index + 1, id->cluster_id, w->cluster_id);
    if (w->formed)
        memcpy(w->cluster_id, id->cluster_id, sizeof(w->cluster_id));
    c->directory = id->directory;
    model_raft_look(&w->raft, &c->raft_seen, &w->sim, quorum_raft(q));
    if (!image || image->index == c->image_index)
        return;
    if (image->index < c->image_index)
        sim_fail(&w->sim, "node %u goes back from image %llu to %llu", c->index + 1, (unsigned long long)c->image_index,
                 (unsigned long long)image->index);
    cluster_count(w, CLUSTER_SNAPSHOTS, c->image_index && image->changes.everything && image->index > c->image_index + 1);
    c->image_index = image->index;
    model_raft_image(&w->raft, &w->sim, (int32_t)c->index + 1, image);
    if (image->index > w->newest_index)
        look_newest(w, image);
}

// ------------------------------------------------------------------------------------------------ replicas

const struct partition *cluster_partition(const struct node *n, struct uuid topic, int32_t number)
{
    struct topic_partition id = {.topic_id = topic, .partition = number};
    const struct engine_shard *es = engine_shard_of(n->engine, id);
    for (struct list_node *at = list_first(&es->all); at; at = list_next(&es->all, at)) {
        const struct partition *p = list_entry(at, struct partition, all_link);
        if (p->id.partition == number && uuid_eq(p->id.topic_id, topic))
            return p;
    }
    return NULL;
}

bool cluster_answers_for(const struct cluster_world *w, const struct cluster_part *part, const struct cluster_node *c)
{
    const struct node *n = cluster_serving(c);
    return n && ((part->known.isr | part->known.elr) >> c->index & 1) &&
           uuid_eq(quorum_identity(n->engine->quorum)->incarnation, w->incarnations[c->index]);
}

// One leader a leader epoch, for ever, and one life of it: what registers anew leads in a new epoch.
static void check_leader(struct cluster_world *w, const struct cluster_node *c, const struct partition *p,
                         struct cluster_part *part)
{
    int32_t id = (int32_t)c->index + 1;
    if (p->leader_epoch < 0 || p->leader_epoch >= CLUSTER_EPOCHS_MAX)
        return;
    int32_t *was = &part->leader_of_epoch[p->leader_epoch];
    if (*was && *was != id)
        sim_fail(&w->sim, "%s-%d: nodes %d and %d both lead in epoch %d", p->topic->name, p->id.partition, *was, id,
                 p->leader_epoch);
    if (*was && part->life_of_epoch[p->leader_epoch] != c->machine->processes)
        sim_fail(&w->sim, "%s-%d: node %d leads in epoch %d, as it did before it was started anew", p->topic->name,
                 p->id.partition, id, p->leader_epoch);
    cluster_count(w, CLUSTER_ELECTIONS, !*was);
    *was = id;
    part->life_of_epoch[p->leader_epoch] = c->machine->processes;
    if (p->leader_epoch > part->epoch_max)
        part->epoch_max = p->leader_epoch;
}

// Every member of the ISR and of the ELR that runs holds everything below the highest watermark any leader has reached.
// What the newest image says is committed; it is asked once it is no older than what that leader went by.
static void check_holds(struct cluster_world *w, const struct cluster_part *part, const struct cluster_node *c,
                        const struct partition *p)
{
    if (!p || p->state != PARTITION_ONLINE || (p->log.state != PLOG_OPEN && p->log.state != PLOG_AT_REST))
        return;
    if (w->newest_index < part->watermark_index || plog_written_end(&p->log) >= part->watermark ||
        !cluster_answers_for(w, part, c))
        return;
    sim_fail(&w->sim, "%s-%d: node %u is in the %s and ends at %lld; the watermark was %lld", p->topic->name,
             p->id.partition, c->index + 1, part->known.isr >> c->index & 1 ? "ISR" : "ELR",
             (long long)plog_written_end(&p->log), (long long)part->watermark);
}

static void check_part(struct cluster_world *w, uint32_t t, uint32_t k)
{
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct node *n = cluster_serving(&w->nodes[i]);
        if (n)
            check_holds(w, &w->topics[t].parts[k], &w->nodes[i], cluster_partition(n, w->topics[t].id, (int32_t)k));
    }
}

static void note_watermark(struct cluster_world *w, const struct cluster_node *c, const struct partition *p, uint32_t t,
                           uint32_t k)
{
    struct cluster_part *part = &w->topics[t].parts[k];
    if (p->high_watermark <= part->watermark || !cluster_end_stands(w, part, p->high_watermark, c->index))
        return;
    part->watermark = p->high_watermark;
    part->watermark_index = engine_image(p->es)->index;
    check_part(w, t, k);
}

// Records that were deleted are back on who leads in the newest epoch.
static void check_start(struct cluster_world *w, const struct cluster_node *c, const struct partition *p,
                        const struct cluster_part *part)
{
    if (plog_start_offset(&p->log) < part->model.start_acked && p->leader_epoch >= part->epoch_max &&
        p->state == PARTITION_ONLINE && (!p->replica || p->replica->begun))
        sim_fail(&w->sim, "%s-%d: node %u leads in epoch %d and begins at %lld; records below %lld were deleted",
                 p->topic->name, p->id.partition, c->index + 1, p->leader_epoch, (long long)plog_start_offset(&p->log),
                 (long long)part->model.start_acked);
}

bool cluster_starts_settled(const struct cluster_world *w)
{
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct node *n = cluster_serving(&w->nodes[i]);
        for (uint32_t t = 0; n && t < w->topic_count; t++)
            for (uint32_t k = 0; k < w->topics[t].partition_count; k++) {
                const struct partition *p = cluster_partition(n, w->topics[t].id, (int32_t)k);
                if (p && (w->topics[t].parts[k].known.replicas >> i & 1) &&
                    plog_start_offset(&p->log) < w->topics[t].parts[k].model.start_acked)
                    return false;
            }
    }
    return true;
}

// A process that lives is fenced when nothing was heard of it, or nothing applied by it, for a session: by then its lease is
// over, and while it is fenced it gets no other. It may not know yet that others lead.
static void check_lease(struct cluster_world *w, const struct cluster_node *c, const struct partition *p,
                        const struct cluster_part *part)
{
    const struct quorum *q = p->es->engine->quorum;
    uint64_t now = w->sim.now_ns + c->machine->mono_offset_ns;
    if (p->replica && p->replica->begun && part->known.leader_epoch > p->leader_epoch && (w->fenced >> c->index & 1) &&
        uuid_eq(quorum_identity(q)->incarnation, w->incarnations[c->index]) && quorum_lease_ns(q) > now)
        sim_fail(&w->sim, "%s-%d: node %u is fenced, and leads in epoch %d for another %llu ms", p->topic->name,
                 p->id.partition, c->index + 1, p->leader_epoch,
                 (unsigned long long)((quorum_lease_ns(q) - now) / SIM_MS));
}

// What a leader counts as committed.
static void look_leader(struct cluster_world *w, struct cluster_node *c, const struct partition *p, uint32_t t, uint32_t k)
{
    struct cluster_part *part = &w->topics[t].parts[k];
    struct cluster_seen *seen = &c->seen[t][k];
    if (!seen->leads || seen->leader_epoch != p->leader_epoch)
        check_leader(w, c, p, part);
    else if (p->high_watermark < seen->watermark)
        sim_fail(&w->sim, "%s-%u: the watermark of node %u falls from %lld to %lld in one epoch", p->topic->name, k,
                 c->index + 1, (long long)seen->watermark, (long long)p->high_watermark);
    if (p->high_watermark > plog_written_end(&p->log))
        sim_fail(&w->sim, "%s-%u: node %u has high watermark %lld and ends at %lld", p->topic->name, k, c->index + 1,
                 (long long)p->high_watermark, (long long)plog_written_end(&p->log));
    if (!p->replica || p->replica->begun)
        note_watermark(w, c, p, t, k);
    check_start(w, c, p, part);
    check_lease(w, c, p, part);
}

static void look_change(struct cluster_world *w, const struct partition *p, struct cluster_seen *seen)
{
    const struct replica *r = p->replica && p->replica->begun && p->replica->leads ? p->replica : NULL;
    const void *change = r ? (const void *)r->change : NULL;
    if (seen->change && !change && r && r->leader.change == REPL_CHANGE_SENT &&
        r->leader.partition_epoch == seen->change_epoch)
        cluster_count(w, CLUSTER_UNKNOWN_OUTCOMES, 1);
    seen->change = change;
    seen->change_epoch = r ? r->leader.partition_epoch : 0;
}

// A log that is still to be read again says where it was synced; what it held before it holds until it is known to have
// lost it.
static void note_held(struct cluster_node *c, const struct partition *p, uint32_t t, uint32_t k)
{
    if (p->log.state != PLOG_UNCLEAN)
        c->held[t][k] = plog_written_end(&p->log);
}

static void look_partition(struct cluster_node *c, const struct partition *p, uint32_t t, uint32_t k)
{
    struct cluster_world *w = c->w;
    struct cluster_seen *seen = &c->seen[t][k];
    int64_t written = plog_written_end(&p->log);
    if (p->leads && (c->ready || w->node_count > 1)) // one that is alone leads what it recovers before it registers
        look_leader(w, c, p, t, k);
    else if (seen->leads && p->replica)
        note_watermark(w, c, p, t, k); // it may have raised it, and answered, in the turn in which it heard of its successor
    look_change(w, p, seen);
    // An empty log begins with the whole batch in which the leader's log start lies; and one is empty that was given up
    // with its replica and is wanted again.
    if (plog_start_offset(&p->log) < seen->start && seen->start < seen->written && seen->start <= written &&
        !w->topics[t].parts[k].risks)
        sim_fail(&w->sim, "%s-%u: the log start of node %u falls from %lld to %lld", p->topic->name, k, c->index + 1,
                 (long long)seen->start, (long long)plog_start_offset(&p->log));
    seen->start = plog_start_offset(&p->log);
    if (written < seen->written)
        check_holds(w, &w->topics[t].parts[k], c, p);
    seen->leads = p->leads && (c->ready || w->node_count > 1) && (!p->replica || p->replica->begun);
    seen->leader_epoch = p->leader_epoch;
    seen->watermark = p->high_watermark;
    seen->written = written;
    note_held(c, p, t, k);
}

// A coordinator that is gone, or of another epoch, had a decision on its way to the log.
static void look_coordinator(struct cluster_node *c, const struct partition *p)
{
    uint32_t k = (uint32_t)p->id.partition;
    const struct coordinator *co = p->coordinator;
    if (c->deciding[k] && (!co || co->leader_epoch != c->deciding_epoch[k]))
        cluster_count(c->w, CLUSTER_MOVED_DECIDING, 1);
    c->deciding[k] = co && co->in_flight.count > 0;
    c->deciding_epoch[k] = co ? co->leader_epoch : 0;
}

// The account that p belongs to; account_count: none.
static uint32_t account_of(const struct cluster_world *w, const struct partition *p)
{
    for (uint32_t t = 0; t < w->account_count; t++)
        if (p->id.partition < (int32_t)w->topics[t].partition_count && uuid_eq(w->topics[t].id, p->id.topic_id))
            return t;
    return w->account_count;
}

static void look_shard(struct cluster_node *c, const struct engine_shard *es, uint32_t s)
{
    struct cluster_world *w = c->w;
    for (struct list_node *at = list_first(&es->all); at; at = list_next(&es->all, at)) {
        const struct partition *p = list_entry(at, struct partition, all_link);
        uint32_t t = account_of(w, p);
        if (t < w->account_count)
            look_partition(c, p, t, (uint32_t)p->id.partition);
        if (w->account_count > w->topic_count && uuid_eq(w->topics[w->topic_count].id, p->id.topic_id))
            look_coordinator(c, p);
    }
    cluster_count(w, CLUSTER_TRUNCATED, es->counters.truncated_records - c->truncated_seen[s]);
    c->truncated_seen[s] = es->counters.truncated_records;
}

void cluster_look(struct cluster_node *c, uint32_t lane)
{
    struct cluster_world *w = c->w;
    const struct node *n = c->process.program;
    if (w->sim.failed || !n || !n->engine || lane >= n->engine->shard_count)
        return;
    if (lane == 0 && n->engine->quorum)
        look_quorum(c, n->engine->quorum);
    if (n->engine->shards[lane].booted)
        look_shard(c, &n->engine->shards[lane], lane);
    if (w->sim.event_count < w->full_at)
        return;
    w->full_at = w->sim.event_count + FULL_EVERY;
    cluster_check(w);
    cluster_scan(w);
}

void cluster_look_at_death(struct cluster_node *c, uint32_t lane)
{
    const struct node *n = c->process.program;
    if (!n || !n->engine || lane >= n->engine->shard_count || !n->engine->shards[lane].booted)
        return;
    const struct engine_shard *es = &n->engine->shards[lane];
    for (struct list_node *at = list_first(&es->all); at; at = list_next(&es->all, at)) {
        const struct partition *p = list_entry(at, struct partition, all_link);
        uint32_t t = account_of(c->w, p);
        if (t < c->w->account_count)
            note_held(c, p, t, (uint32_t)p->id.partition);
    }
}

void cluster_check(struct cluster_world *w)
{
    for (uint32_t t = 0; t < w->account_count; t++)
        for (uint32_t k = 0; k < w->topics[t].partition_count; k++)
            check_part(w, t, k);
    w->result->checks++;
}

// ------------------------------------------------------------------------------------------------ looking for trouble

static bool joining_on(const struct cluster_node *c, uint32_t *joiner)
{
    const struct node *n = cluster_serving(c);
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
