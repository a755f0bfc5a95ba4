// SPDX-License-Identifier: Apache-2.0
//
// Elections that nobody asked for, in the cluster scenario: leaderships that go back to preferred replicas, and leaders
// that may lack records. The second sort loses what was acknowledged, and is never silent: only where the metadata says
// that the leader is recovering from it, and the topic allows it, may anything be gone.
#include "cluster_clients.h"

#include "meta/image.h"

void cluster_elections_look(struct cluster_world *w, struct cluster_part *part, const struct cluster_known *was)
{
    const struct cluster_known *known = &part->known;
    if (known->leader == known->preferred && was->leader >= 1 && was->leader != known->leader &&
        (known->isr & was->isr) >> (was->leader - 1) & 1)
        cluster_count(w, CLUSTER_GIVEN_BACK, 1);
    bool elected = known->leader >= 1 && known->leader_epoch > was->leader_epoch;
    if (!w->unclean || !known->recovering || !elected || (was->recovering && was->isr >> (known->leader - 1) & 1))
        return;
    int64_t ends[CLUSTER_NODES_MAX];
    uint32_t eras[CLUSTER_NODES_MAX];
    for (uint32_t i = 0; i < CLUSTER_NODES_MAX; i++) {
        ends[i] = INT64_MAX; // whatever the others have beyond the new leader's log
        eras[i] = w->eras.now;
    }
    cluster_count(w, CLUSTER_UNCLEAN, 1);
    cluster_at_risk(w, part, ends, eras);
    w->eras.now++;
}

void cluster_elections_handed(struct cluster_world *w, struct cluster_part *part, const struct cluster_known *was,
                              const struct image *image)
{
    if (was->leader < 1 || part->known.leader == was->leader)
        return;
    const struct image_node *before = image_node(image, was->leader);
    if (before && (!before->fenced || before->in_shutdown))
        part->handed_ns[was->leader - 1] = w->sim.now_ns;
}

bool cluster_may_not_know(const struct cluster_part *part, uint32_t node, uint64_t asked_ns)
{
    return part->handed_ns[node] && !cluster_leads_now(part, node) &&
           asked_ns < part->handed_ns[node] + CLUSTER_SESSION_MS * SIM_MS;
}

bool cluster_elections_settled(const struct cluster_world *w)
{
    for (uint32_t i = 0; i < w->node_count; i++)
        if (w->nodes[i].down)
            return true;
    for (uint32_t t = 0; t < w->topic_count && w->balanced; t++)
        for (uint32_t k = 0; k < w->topics[t].partition_count; k++)
            if (w->topics[t].parts[k].leader + 1 != w->topics[t].parts[k].known.preferred)
                return false;
    return true;
}
