// SPDX-License-Identifier: Apache-2.0
//
// What the guarantee covers: a record that was acknowledged with acks=all, or read below the high watermark, stays while
// fewer than min.insync.replicas of the nodes that held it have lost it with their page cache or their disk and have not
// been refilled since; with flush.messages=1 lost page caches alone are no loss, however many. Kept from the faults alone;
// who held what and who has it back is looked up in the logs.
//
// The account of a partition follows one rule:
//
//     A loss beyond the guarantee (too many have lost what they held, or an election that nobody in the ISR or the ELR won)
//     is a risk: what it may have taken is forgotten, the rest stands as before.
//     What anybody says afterwards (a record read, a high watermark, a latest offset) is taken down, and held against every
//     later answer, when it cannot go again within the guarantee and did not go already:
//       - the guarantee covers that offset at that moment (cluster_covered()), and
//       - it is part of the history that goes on. Of what was appended before the risk, or in the epoch in which it
//         came, that is what the log of the newest leader holds: others may hold what was lost, and show it until they
//         have heard of that leader and cut their logs to its (cluster_stands()). What was appended in later epochs began
//         in that history and needs no leader's word.
//
// Records that were deleted are no loss: what lies below the log start is not asked for, and that start lies between the
// deletions that were answered and those that were asked for. A risk takes what was answered, too: who lost a disk lost its
// log start, and an election that nobody in the ISR or the ELR won may bring records back.
//
// An answer of acks=all needs neither: what is acknowledged to a request sent after the risk was appended after it.
#include "cluster_world.h"

#include "engine/partition.h"
#include "engine/replica.h"

// min.insync.replicas; nobody has set another for __consumer_offsets, which is the last account.
static int32_t enough_of(const struct cluster_world *w, const struct cluster_part *part)
{
    return part >= w->topics[w->topic_count].parts ? 1 : cluster_min_isr(w);
}

// What the partition had may be gone: nothing asked or told before counts any more.
void cluster_at_risk(struct cluster_world *w, struct cluster_part *part, const int64_t *ends, const uint32_t *lost_eras)
{
    size_t excused =
        model_part_excuse(&part->model, &w->eras, ends, lost_eras, w->node_count, (uint32_t)enough_of(w, part));
    sim_say(&w->sim, w->machine, "%s: nodes %x have lost what they held: %zu records may go", part->model.name,
            part->unrefilled, excused);
    cluster_count(w, CLUSTER_RISKS, 1);
    cluster_count(w, CLUSTER_EXCUSED, excused);
    part->risks++;
    part->watermark = 0;
    part->risk_epoch = part->known.leader_epoch > part->epoch_max ? part->known.leader_epoch : part->epoch_max;
    cluster_facts_clear(&part->facts);
    if (part >= w->topics[w->topic_count].parts)
        cluster_groups_at_risk(w);
}

bool cluster_covered(const struct cluster_world *w, const struct cluster_part *part, int64_t offset)
{
    int32_t without = 0;
    bool emptied = false;
    for (uint32_t i = 0; i < w->node_count; i++)
        if ((part->unrefilled >> i & 1) && part->lost_end[i] > offset) {
            without++;
            emptied |= part->emptied >> i & 1;
        }
    return without < enough_of(w, part) || (w->synced && !emptied);
}

const struct partition *cluster_newest_leader(const struct cluster_world *w, const struct cluster_part *part, uint32_t *node)
{
    const struct cluster_topic *topic = &w->topics[part->model.topic];
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct node *n = cluster_serving(&w->nodes[i]);
        const struct partition *p = n ? cluster_partition(n, topic->id, (int32_t)part->model.partition) : NULL;
        if (p && p->leads && p->state == PARTITION_ONLINE && (!p->replica || p->replica->begun) &&
            p->leader_epoch >= part->epoch_max && p->leader_epoch >= part->risk_epoch) {
            *node = i;
            return p;
        }
    }
    return NULL;
}

bool cluster_stands(const struct cluster_world *w, const struct cluster_part *part, int64_t offset, int32_t epoch)
{
    uint32_t leader;
    if (!cluster_covered(w, part, offset))
        return false;
    if (!part->risks || epoch > part->risk_epoch)
        return true;
    const struct partition *p = cluster_newest_leader(w, part, &leader);
    return p && cluster_epoch_at(w, leader, &p->log, offset) == epoch;
}

bool cluster_end_stands(const struct cluster_world *w, const struct cluster_part *part, int64_t end, uint32_t node)
{
    uint32_t leader;
    return cluster_covered(w, part, end - 1) &&
           (!part->risks || (cluster_newest_leader(w, part, &leader) && leader == node));
}

void cluster_node_lost(struct cluster_node *n, bool disk)
{
    struct cluster_world *w = n->w;
    bool risk = false;
    n->lost_process = n->machine->processes;
    for (uint32_t t = 0; t < w->account_count; t++)
        for (uint32_t k = 0; k < w->topics[t].partition_count; k++) {
            struct cluster_part *part = &w->topics[t].parts[k];
            int64_t held = n->held[t][k];
            part->unrefilled |= 1u << n->index;
            part->emptied |= disk ? 1u << n->index : 0;
            if (held > part->lost_end[n->index])
                part->lost_end[n->index] = held;
            part->lost_era[n->index] = w->eras.now;
            if (__builtin_popcount(part->unrefilled) < enough_of(w, part) || (w->synced && !part->emptied))
                continue;
            cluster_at_risk(w, part, part->lost_end, part->lost_era);
            risk = true;
        }
    w->eras.now += risk;
}

// In sync again, by the word of a metadata that knows this process, and with everything that was ever committed.
static bool has_it_back(const struct cluster_world *w, const struct cluster_topic *topic, uint32_t k, uint32_t i)
{
    const struct cluster_node *c = &w->nodes[i];
    const struct cluster_part *part = &topic->parts[k];
    const struct node *n = cluster_serving(c);
    if (!n || c->machine->processes <= c->lost_process || !(part->known.isr >> i & 1) || !cluster_answers_for(w, part, c))
        return false;
    const struct partition *p = cluster_partition(n, topic->id, (int32_t)k);
    return p && p->state == PARTITION_ONLINE && plog_written_end(&p->log) >= part->watermark;
}

void cluster_refills(struct cluster_world *w)
{
    for (uint32_t t = 0; t < w->account_count; t++)
        for (uint32_t k = 0; k < w->topics[t].partition_count; k++) {
            struct cluster_part *part = &w->topics[t].parts[k];
            // Nor does it matter what one lost that is no replica any more.
            for (uint32_t i = 0; part->unrefilled && i < w->node_count; i++)
                if ((part->unrefilled >> i & 1) &&
                    ((part->known.replicas && !(part->known.replicas >> i & 1)) || has_it_back(w, &w->topics[t], k, i))) {
                    part->unrefilled &= ~(1u << i);
                    part->emptied &= ~(1u << i);
                    part->lost_end[i] = 0;
                }
        }
}
