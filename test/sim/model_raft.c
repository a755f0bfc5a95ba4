// SPDX-License-Identifier: Apache-2.0
#include "model_raft.h"

#include "base/map.h"
#include "meta/snapshot.h"

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

static void check_commit(struct model_raft *m, struct model_raft_seen *seen, struct sim *sim,
                         const struct raft *r)
{
    for (uint64_t i = seen->commit + 1; i <= r->commit && i < MODEL_RAFT_INDEXES_MAX; i++) {
        uint64_t term;
        if (!m->known_in[i] || r->hard.term < m->known_in[i])
            m->known_in[i] = r->hard.term;
        if (!raft_term_at(r, i, &term))
            continue; // out of the window, in a snapshot
        if (m->committed[i] && m->committed[i] != term)
            sim_fail(sim, "node %d: entry %llu is of term %llu, and of %llu elsewhere", r->config.self.node,
                     (unsigned long long)i, (unsigned long long)term, (unsigned long long)m->committed[i]);
        m->committed[i] = term;
    }
    uint64_t term;
    bool counted = r->role == RAFT_LEADER && seen->role == RAFT_LEADER && seen->term == r->hard.term;
    if (counted && r->commit > seen->commit && raft_term_at(r, r->commit, &term) && term != r->hard.term)
        sim_fail(sim, "node %d: as leader of term %llu it counts entry %llu of term %llu as committed", r->config.self.node,
                 (unsigned long long)r->hard.term, (unsigned long long)r->commit, (unsigned long long)term);
    if (r->commit > seen->commit)
        seen->commit = r->commit;
    if (r->commit > m->commit)
        m->commit = r->commit;
}

// Who leads holds every entry that was committed in a term before its own (Raft's leader completeness: one that hears its
// votes late may lead in a term that has passed), and changes no voters before it has committed an entry of its own term.
static void check_leader(struct model_raft *m, struct model_raft_seen *seen, struct sim *sim,
                         const struct raft *r)
{
    if (r->sets[r->set_count - 1].index > r->term_first_index && r->commit < r->term_first_index)
        sim_fail(sim, "node %d: it changes the voters in term %llu before it has committed anything of that term",
                 r->config.self.node, (unsigned long long)r->hard.term);
    if (seen->role == RAFT_LEADER && seen->term == r->hard.term)
        return;
    for (uint64_t i = r->window.prev_index; i <= m->commit && i < MODEL_RAFT_INDEXES_MAX; i++) {
        uint64_t term;
        if (!m->known_in[i] || m->known_in[i] >= r->hard.term)
            continue;
        if (i > raft_last_index(r)) {
            sim_fail(sim, "node %d: it leads in term %llu and ends at entry %llu, %llu was committed by term %llu",
                     r->config.self.node, (unsigned long long)r->hard.term, (unsigned long long)raft_last_index(r),
                     (unsigned long long)i, (unsigned long long)m->known_in[i]);
            return;
        }
        if (m->committed[i] && raft_term_at(r, i, &term) && term != m->committed[i])
            sim_fail(sim, "node %d: it leads in term %llu, its entry %llu is of term %llu, the committed one of %llu",
                     r->config.self.node, (unsigned long long)r->hard.term, (unsigned long long)i, (unsigned long long)term,
                     (unsigned long long)m->committed[i]);
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

void model_raft_look(struct model_raft *m, struct model_raft_seen *seen, struct sim *sim, const struct raft *r)
{
    int32_t self = r->config.self.node;
    check_commit(m, seen, sim, r);
    if (r->role == RAFT_LEADER)
        check_leader(m, seen, sim, r);
    seen->role = (int)r->role;
    seen->term = r->hard.term;
    if (r->role == RAFT_FOLLOWER)
        return;
    if (!has_vote(r) && r->role != RAFT_LEADER)
        sim_fail(sim, "node %d stands for election without a vote", self);
    if (r->role != RAFT_LEADER || r->hard.term >= MODEL_RAFT_TERMS_MAX)
        return;
    int32_t *leader = &m->leaders[r->hard.term];
    if (*leader && *leader != self + 1)
        sim_fail(sim, "term %llu has leaders %d and %d", (unsigned long long)r->hard.term, *leader - 1, self);
    m->elections += *leader == 0;
    *leader = self + 1;
}

void model_raft_image(struct model_raft *m, struct sim *sim, int32_t node, const struct image *image)
{
    if (image->index >= MODEL_RAFT_INDEXES_MAX)
        return;
    uint64_t hash = image_hash(image);
    if (m->images[image->index] && m->images[image->index] != hash)
        sim_fail(sim, "node %d: another image at index %llu than elsewhere", node, (unsigned long long)image->index);
    m->images[image->index] = hash;
}
