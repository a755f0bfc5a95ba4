// SPDX-License-Identifier: Apache-2.0
//
// What must hold: one leader a term, one entry an index, the same image at the same index byte for byte, what was
// answered is there, leader epochs only rise and each has one leader, and in the end everybody agrees.
#include "quorum_world.h"

#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "meta/snapshot.h"

enum { HASH_TOPICS = 12, HASH_EVERY = 16 };

static uint64_t image_hash(const struct image *image)
{
    struct snapshot_writer w;
    struct buf b;
    buf_init(&b, 64 << 20);
    snapshot_writer_init(&w, image);
    while (snapshot_write(&w, 1 << 20, &b) == RC_OK)
        ;
    uint64_t hash = map_hash_bytes(buf_bytes(&b)) | 1;
    buf_deinit(&b);
    return hash;
}

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
    if (image->index >= QW_INDEXES_MAX)
        return;
    check_changes(w, image);
    // An image that differs stays different: large ones are compared now and then.
    if (image->topic_count > HASH_TOPICS && image->index % HASH_EVERY != 0)
        return;
    uint64_t hash = image_hash(image);
    w->result->checks++;
    if (w->images[image->index] && w->images[image->index] != hash)
        sim_fail(&w->sim, "node %d: another image at index %llu than elsewhere", g->m->id,
                 (unsigned long long)image->index);
    w->images[image->index] = hash;
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

static void check_commit(struct qw_program *g, const struct raft *r)
{
    struct qw_world *w = g->m->w;
    for (uint64_t i = g->commit_seen + 1; i <= r->commit && i < QW_INDEXES_MAX; i++) {
        uint64_t term;
        if (!raft_term_at(r, i, &term))
            continue; // out of the window, in a snapshot
        if (w->committed[i] && w->committed[i] != term)
            sim_fail(&w->sim, "node %d: entry %llu is of term %llu, and of %llu elsewhere", g->m->id,
                     (unsigned long long)i, (unsigned long long)term, (unsigned long long)w->committed[i]);
        w->committed[i] = term;
    }
    uint64_t term;
    bool counted = r->role == RAFT_LEADER && g->role_seen == RAFT_LEADER && g->term_seen == r->hard.term;
    if (counted && r->commit > g->commit_seen && raft_term_at(r, r->commit, &term) && term != r->hard.term)
        sim_fail(&w->sim, "node %d: as leader of term %llu it counts entry %llu of term %llu as committed", g->m->id,
                 (unsigned long long)r->hard.term, (unsigned long long)r->commit, (unsigned long long)term);
    if (r->commit > g->commit_seen)
        g->commit_seen = r->commit;
    if (r->commit > w->commit)
        w->commit = r->commit;
}

// Who leads holds every entry that was ever committed (Raft's leader completeness), and changes no voters before it has
// committed an entry of its own term.
static void check_leader(struct qw_program *g, const struct raft *r)
{
    struct qw_world *w = g->m->w;
    if (r->sets[r->set_count - 1].index > r->term_first_index && r->commit < r->term_first_index)
        sim_fail(&w->sim, "node %d: it changes the voters in term %llu before it has committed anything of that term",
                 g->m->id, (unsigned long long)r->hard.term);
    if (g->role_seen == RAFT_LEADER && g->term_seen == r->hard.term)
        return;
    if (raft_last_index(r) < w->commit)
        sim_fail(&w->sim, "node %d: it leads in term %llu and ends at entry %llu, %llu are committed", g->m->id,
                 (unsigned long long)r->hard.term, (unsigned long long)raft_last_index(r), (unsigned long long)w->commit);
    for (uint64_t i = r->window.prev_index; i <= w->commit && i < QW_INDEXES_MAX; i++) {
        uint64_t term;
        if (w->committed[i] && raft_term_at(r, i, &term) && term != w->committed[i])
            sim_fail(&w->sim, "node %d: it leads in term %llu, its entry %llu is of term %llu, the committed one of %llu",
                     g->m->id, (unsigned long long)r->hard.term, (unsigned long long)i, (unsigned long long)term,
                     (unsigned long long)w->committed[i]);
    }
}

// By node and folder, whatever the core takes for the same.
static bool has_vote(const struct raft *r)
{
    const struct raft_voters *v = raft_voters(r);
    for (uint32_t i = 0; i < v->count; i++)
        if (v->ids[i].node == r->config.self.node && uuid_eq(v->ids[i].directory, r->config.self.directory))
            return true;
    return false;
}

void qw_check_core(struct qw_program *g)
{
    if (!g || !g->q)
        return;
    struct qw_world *w = g->m->w;
    const struct raft *r = quorum_raft(g->q);
    if (w->sim.tracing && (g->role_seen != (int)r->role || g->term_seen != r->hard.term))
        sim_say(&w->sim, g->m->node, "role %d of term %llu, leader %d, commit %llu of %llu, durable %llu", r->role,
                (unsigned long long)r->hard.term, r->leader.node, (unsigned long long)r->commit,
                (unsigned long long)raft_last_index(r), (unsigned long long)r->durable_index);
    check_identity(g);
    check_commit(g, r);
    if (r->role == RAFT_LEADER)
        check_leader(g, r);
    g->role_seen = (int)r->role;
    g->term_seen = r->hard.term;
    if (r->role == RAFT_FOLLOWER)
        return;
    if (!has_vote(r) && r->role != RAFT_LEADER)
        sim_fail(&w->sim, "node %d stands for election without a vote", g->m->id);
    if (r->role != RAFT_LEADER || r->hard.term >= QW_TERMS_MAX)
        return;
    int32_t *leader = &w->leaders[r->hard.term];
    if (*leader && *leader != g->m->id + 1)
        sim_fail(&w->sim, "term %llu has leaders %d and %d", (unsigned long long)r->hard.term, *leader - 1, g->m->id);
    w->elections += *leader == 0;
    *leader = g->m->id + 1;
}

// ---- the end ----

static void check_topic(struct qw_world *w, const struct image *image, uint32_t number)
{
    const struct qw_topic *m = &w->topics[number];
    char name[24];
    snprintf(name, sizeof(name), "t%u", number);
    const struct image_topic *t = image_topic_by_name(image, bytes_str(name));
    if (m->created && !m->delete_asked && (!t || !uuid_eq(t->id, m->id)))
        sim_fail(&w->sim, "topic %s was acknowledged and is %s", name, t ? "another one" : "gone");
    if (m->deleted && t)
        sim_fail(&w->sim, "topic %s is back after its deletion", name);
    for (int32_t n = 0; t && n < t->partition_count; n++) {
        const struct image_partition *p = image_partition(t, n);
        if (p->leader == NODE_ID_NONE && p->isr_count + p->elr_count > 0)
            sim_fail(&w->sim, "%s-%d has no leader though every node lives", name, n);
    }
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
