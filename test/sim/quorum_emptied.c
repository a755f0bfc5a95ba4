// SPDX-License-Identifier: Apache-2.0
//
// More than half of the voters come back with empty disks: no quorum is left. Nothing is elected, no second cluster
// forms, who still has its disk changes nothing on it, and says what helps.
#include "quorum_world.h"

#include <string.h>

#include "base/assert.h"

enum { WATCH_S = 30 };

struct left {
    uint64_t term, last_index, durable_index, commit; // what was not durable may be on its disk, or not
};

static const struct raft *core(const struct qw_member *m)
{
    const struct qw_program *g = m->process.running ? m->process.program : NULL;
    return g && g->q ? quorum_raft(g->q) : NULL;
}

static bool votes(const struct qw_member *m)
{
    const struct raft *r = core(m);
    return r && raft_is_voter(raft_voters(r), r->config.self);
}

// Takes so many disks of those that vote that no majority is left, but not the last one. Returns how many voters are left.
static uint32_t take_disks(struct qw_world *w, bool taken[QW_NODES_MAX])
{
    uint32_t voters = raft_voters(core(&w->members[0]))->count, there = 0;
    for (uint32_t i = 0; i < w->node_count; i++)
        there += votes(&w->members[i]);
    if (there < 2)
        return 0;
    uint32_t left = (uint32_t)sim_between(&w->sim, 1, voters / 2 < there - 1 ? voters / 2 : there - 1);
    uint32_t at = (uint32_t)sim_between(&w->sim, 0, w->node_count - 1), more = there - left;
    for (uint32_t k = 0; k < w->node_count && more > 0; k++) {
        uint32_t i = (at + k) % w->node_count;
        taken[i] = votes(&w->members[i]);
        more -= taken[i];
    }
    return left;
}

static void look(struct qw_world *w, uint32_t i, bool taken, const struct left *before)
{
    struct qw_member *m = &w->members[i];
    const struct raft *r = core(m);
    if (!r)
        return;
    const struct qw_program *g = m->process.program;
    if (r->role == RAFT_LEADER)
        sim_fail(&w->sim, "node %d leads after most voters lost their disks", m->id);
    if (!quorum_identity(g->q)->forming && strcmp(quorum_identity(g->q)->cluster_id, w->cluster_id) != 0)
        sim_fail(&w->sim, "node %d made a second cluster", m->id);
    if (taken || quorum_identity(g->q)->forming)
        return;
    if (r->hard.term != before->term || raft_last_index(r) > before->last_index ||
        raft_last_index(r) < before->durable_index)
        sim_fail(&w->sim, "node %d, whose disk is whole: term %llu and last entry %llu were %llu and %llu to %llu", m->id,
                 (unsigned long long)r->hard.term, (unsigned long long)raft_last_index(r),
                 (unsigned long long)before->term, (unsigned long long)before->durable_index,
                 (unsigned long long)before->last_index);
}

void qw_lose_majority(struct qw_world *w)
{
    bool taken[QW_NODES_MAX] = {false};
    struct left before[QW_NODES_MAX];
    if (take_disks(w, taken) == 0)
        return; // one voter
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct raft *r = core(&w->members[i]);
        before[i] = (struct left){.term = r->hard.term,
                                  .last_index = raft_last_index(r),
                                  .durable_index = r->durable_index,
                                  .commit = r->commit};
    }
    uint32_t lines = w->leaderless_lines;
    for (uint32_t i = 0; i < w->node_count; i++)
        qw_member_end(&w->members[i], SIM_DEATH_KILL);
    for (uint32_t i = 0; i < w->node_count; i++) {
        if (!taken[i])
            continue;
        sim_disk_empty(&w->members[i].node->disk);
        w->members[i].emptied = true;
        w->members[i].directory = (struct uuid){0};
    }
    for (uint32_t s = 0; s < WATCH_S * 5 && !w->sim.failed; s++) {
        sim_run_until(&w->sim, w->sim.now_ns + SIM_S / 5);
        for (uint32_t i = 0; i < w->node_count && !w->sim.failed; i++)
            look(w, i, taken[i], &before[i]);
    }
    if (!w->sim.failed && w->leaderless_lines == lines)
        sim_fail(&w->sim, "most voters lost their disks and nobody says so");
}
