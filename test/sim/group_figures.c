// SPDX-License-Identifier: Apache-2.0
//
// What a run of the group scenario reached: what the broker counted in each of its lives, and what members were told.
// Only for the line at the end; no check asks the product.
#include "node_world.h"

#include "engine/coordinator.h"
#include "store/compact.h"

static const char *const names[FIGURE_END] = {
    [GROUP_ASSIGNMENTS] = "assignments",
    [GROUP_MIXED] = "in both protocols",
    [GROUP_COMMITS_ACKED] = "commits acknowledged",
    [GROUP_COMMITS_REFUSED] = "commits refused",
    [GROUP_COMMITS_OPEN] = "commits left open",
    [GROUP_GROUPS_DELETED] = "groups deleted",
    [FIGURE_STOPS] = "clean stops",
    [FIGURE_LOADS] = "coordinators loaded",
    [FIGURE_SNAPSHOTS_USED] = "from snapshots",
    [FIGURE_SNAPSHOTS_IGNORED] = "snapshots ignored",
    [FIGURE_APPENDS_LATE] = "appends late",
    [FIGURE_APPENDS_FAILED] = "appends failed",
    [FIGURE_COMPACTIONS] = "compactions",
    [FIGURE_SWAPS_COMPLETED] = "swaps completed at start",
};

void group_figures_name(struct sim_result *result)
{
    for (int k = 0; k < FIGURE_END; k++)
        result->figures[k].name = names[k];
}

void group_figures_read(struct node_world *w)
{
    const struct node *n = w->broker.running ? w->broker.program : NULL;
    if (!w->group_count || !n || !w->ready)
        return;
    struct sim_figure now[SIM_FIGURES] = {{0}};
    for (uint32_t k = 0; k < n->engine->shard_count; k++) {
        const struct engine_shard *es = &n->engine->shards[k];
        const struct coordinator_counters *c = es->coordinators ? coordinator_counters(es) : NULL;
        const struct compact_counters *swept = es->store.compactor ? compactor_counters(es->store.compactor) : NULL;
        if (c) {
            now[FIGURE_LOADS].value += c->loads;
            now[FIGURE_SNAPSHOTS_USED].value += c->snapshots_used;
            now[FIGURE_SNAPSHOTS_IGNORED].value += c->snapshots_ignored;
            now[FIGURE_APPENDS_LATE].value += c->appends_late;
            now[FIGURE_APPENDS_FAILED].value += c->appends_failed;
        }
        if (swept) {
            now[FIGURE_COMPACTIONS].value += swept->swaps;
            now[FIGURE_SWAPS_COMPLETED].value += swept->swaps_completed_at_start;
        }
    }
    for (int k = FIGURE_BROKER; k < FIGURE_END; k++)
        w->life[k] = now[k];
}

void group_figures_end(struct node_world *w)
{
    for (int k = 0; k < GROUP_COUNTS; k++)
        w->result->figures[k].value = w->groups.counts[k];
    for (int k = FIGURE_BROKER; k < FIGURE_END; k++) {
        w->result->figures[k].value += w->life[k].value;
        w->life[k].value = 0;
    }
}
