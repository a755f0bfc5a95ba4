// SPDX-License-Identifier: Apache-2.0
//
// What must hold beyond model_raft.h: what was answered is there, leader epochs only rise and each has one leader, and in the end everybody agrees.
#include "quorum_world.h"

#include <stdio.h>
#include <string.h>

enum { HASH_TOPICS = 12, HASH_EVERY = 16 };

static void check_partitions(struct qw_world *w, const struct image_topic *t, struct qw_topic *m)
{
    for (int32_t n = 0; n < t->partition_count && n < QW_PARTITIONS_MAX; n++) {
        const struct image_partition *p = image_partition(t, n);
        if (p->leader != NODE_ID_NONE && !image_in_isr(p, p->leader))
            sim_fail(&w->sim, "%s-%d: leader %d is not in the ISR", t->name, n, p->leader);
        if (p->leader_epoch < m->leader_epoch[n])
            continue; // an older image
        if (p->leader_epoch == m->leader_epoch[n] && m->leader[n] && p->leader + 2 != m->leader[n])
            sim_fail(&w->sim, "%s-%d: epoch %d has leaders %d and %d", t->name, n, p->leader_epoch, p->leader,
                     m->leader[n] - 2);
        m->leader_epoch[n] = p->leader_epoch;
        m->leader[n] = p->leader + 2;
    }
}

static struct qw_topic *model_of(struct qw_world *w, const struct image_topic *t)
{
    unsigned number;
    return sscanf(t->name, "t%u", &number) == 1 && number < w->topic_count ? &w->topics[number] : NULL;
}

static void check_changes(struct qw_world *w, const struct image *image)
{
    const struct image_changes *c = &image->changes;
    for (uint32_t i = 0; !c->everything && i < c->topic_count; i++) {
        const struct image_topic *t = image_topic_by_id(image, c->topics[i].topic_id);
        struct qw_topic *m = t ? model_of(w, t) : NULL;
        if (m)
            check_partitions(w, t, m);
    }
    const struct image_topic *t = c->everything ? image_topic_next(image, (struct bytes){0}, false) : NULL;
    for (; t; t = image_topic_next(image, image_topic_name(t), false)) {
        struct qw_topic *m = model_of(w, t);
        if (m)
            check_partitions(w, t, m);
    }
}

void qw_check_image(struct qw_program *g, const struct image *image)
{
    struct qw_world *w = g->m->w;
    check_changes(w, image);
    // An image that differs stays different: large ones are compared now and then.
    if (image->topic_count > HASH_TOPICS && image->index % HASH_EVERY != 0)
        return;
    w->result->checks++;
    model_raft_image(&w->raft, &w->sim, g->m->id, image);
}

static void check_identity(struct qw_program *g)
{
    struct qw_world *w = g->m->w;
    const struct quorum_identity *id = quorum_identity(g->q);
    if (id->forming)
        return;
    if (w->cluster_id[0] && strcmp(w->cluster_id, id->cluster_id) != 0)
        sim_fail(&w->sim, "node %d is of cluster %s, others of %s", g->m->id, id->cluster_id, w->cluster_id);
    if (w->formed)
        memcpy(w->cluster_id, id->cluster_id, sizeof(w->cluster_id));
    if (!uuid_is_zero(g->m->directory) && !uuid_eq(g->m->directory, id->directory))
        sim_fail(&w->sim, "node %d: its folder has another id than before", g->m->id);
    if (w->formed)
        g->m->directory = id->directory;
}

// A vote counts when it is on its voter's disk, in one write with the term it was given in.
static void check_votes(struct qw_world *w, const struct raft *r)
{
    if (r->role != RAFT_CANDIDATE && r->role != RAFT_LEADER)
        return;
    for (uint32_t i = 0; i < r->peer_count; i++) {
        const struct raft_peer *p = &r->peers[i];
        uint32_t k = (uint32_t)p->id.node - 1;
        if (!p->in_use || !p->vote_granted || k >= w->node_count || !w->members[k].process.running)
            continue;
        const struct qw_program *g = w->members[k].process.program;
        const struct raft *voter = g && g->q ? quorum_raft(g->q) : NULL;
        if (voter && raft_id_eq(voter->config.self, p->id) && voter->hard.term == r->hard.term &&
            raft_id_eq(voter->hard.vote, r->config.self) && voter->durable_term < r->hard.term)
            sim_fail(&w->sim, "node %d counts the vote of node %d in term %llu, which is not on its disk yet",
                     r->config.self.node, p->id.node, (unsigned long long)r->hard.term);
    }
}

void qw_check_core(struct qw_program *g)
{
    if (!g || !g->q)
        return;
    struct qw_world *w = g->m->w;
    const struct raft *r = quorum_raft(g->q);
    if (w->sim.tracing && (g->raft_seen.role != (int)r->role || g->raft_seen.term != r->hard.term))
        sim_say(&w->sim, g->m->node, "role %d of term %llu, leader %d, commit %llu of %llu, durable %llu", r->role,
                (unsigned long long)r->hard.term, r->leader.node, (unsigned long long)r->commit,
                (unsigned long long)raft_last_index(r), (unsigned long long)r->durable_index);
    check_identity(g);
    model_raft_look(&w->raft, &g->raft_seen, &w->sim, r);
    check_votes(w, r);
}

// ---- the end ----

// The first partition that has no leader though somebody may lead it, -1: none.
static int32_t leaderless(const struct image_topic *t)
{
    for (int32_t n = 0; n < t->partition_count; n++) {
        const struct image_partition *p = image_partition(t, n);
        if (p->leader == NODE_ID_NONE && p->isr_count + p->elr_count > 0)
            return n;
    }
    return -1;
}

static const struct image_topic *topic_of(const struct image *image, uint32_t number, char name[24])
{
    snprintf(name, 24, "t%u", number);
    return image_topic_by_name(image, bytes_str(name));
}

bool qw_all_led(const struct qw_world *w, const struct image *image)
{
    char name[24];
    for (uint32_t i = 0; i < w->topic_count && image->leaderless_count > 0; i++) {
        const struct image_topic *t = topic_of(image, i, name);
        if (t && leaderless(t) >= 0)
            return false;
    }
    return true;
}

static void check_topic(struct qw_world *w, const struct image *image, uint32_t number)
{
    const struct qw_topic *m = &w->topics[number];
    char name[24];
    const struct image_topic *t = topic_of(image, number, name);
    if (m->created && !m->delete_asked && (!t || !uuid_eq(t->id, m->id)))
        sim_fail(&w->sim, "topic %s was acknowledged and is %s", name, t ? "another one" : "gone");
    if (m->deleted && t)
        sim_fail(&w->sim, "topic %s is back after its deletion", name);
    if (t && leaderless(t) >= 0)
        sim_fail(&w->sim, "%s-%d has no leader though every node lives", name, leaderless(t));
}

void qw_check_end(struct qw_world *w)
{
    const struct qw_program *first = w->members[0].process.program;
    const struct image *image = first->reader.image;
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct qw_program *g = w->members[i].process.program;
        if (!image_equal(image, g->reader.image))
            sim_fail(&w->sim, "nodes 1 and %u differ in the end", i + 1);
        const struct image_node *n = image_node(image, (int32_t)i + 1);
        if (!n || n->fenced)
            sim_fail(&w->sim, "node %u is fenced in the end", i + 1);
    }
    for (uint32_t i = 0; i < w->topic_count; i++)
        check_topic(w, image, i);
}
