// SPDX-License-Identifier: Apache-2.0
//
// One core under one seed: consumers that join, sync, commit, leave, crash, pause and lose their connections; a log
// whose appends come late, fail, or end with the coordinator; coordinators that are stopped and loaded again. The
// checks:
//
//   an acknowledged commit is undone only by a newer one or by a deletion that was asked for; a refused one never
//   counts
//   generations only rise; all members of a generation have the assignment of one leader
//   live state equals the replay of the log, and the replay of a snapshot and the log behind it
//   every call comes back once; when the faults end every group settles with all its members
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct model_config {
    uint64_t seed;
    uint32_t steps;
    bool log_faults, reloads, deletes, statics;
};

struct model_figures {
    uint64_t joins, stable, commits, refused, failed, late, reloads, rebalances, replays, fenced, replaced;
};

// Aborts the test on a violated invariant, naming the seed. Adds to figures.
void model_run(const struct model_config *config, struct model_figures *figures);
