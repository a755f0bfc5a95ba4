// SPDX-License-Identifier: Apache-2.0
//
// A scenario: a world, what runs in it, who uses it, what goes wrong, and what must hold. One seed, one run.
#pragma once

#include "sim.h"

struct sim_options {
    uint64_t seed, events, faults;
    bool tracing;
    bool no_repeats;   // no batch is sent twice to a log while it is under way, as before that was simulated
    bool whole_starts; // no process ends in the middle of its start, as before that was simulated: for older seeds
    enum sim_mutation mutation;
};

// What a scenario counts on its own account.
enum { SIM_FIGURES = 24 };
struct sim_figure {
    const char *name; // NULL: none
    uint64_t value;
    uint64_t floor; // what 100 seeds reach at the least (--floors)
};

struct sim_result {
    bool failed;
    char why[512];
    uint64_t trace_hash, events;
    uint64_t simulated_ns;
    uint64_t kills, power_cuts, other_faults; // that happened
    uint64_t acked;                           // batches or requests, as the scenario counts
    uint64_t checks;
    struct sim_figure figures[SIM_FIGURES];
    uint64_t given_up; // logs damaged by a failed sync, which is no failure of the product
};

struct sim_scenario {
    const char *name, *what;
    void (*run)(const struct sim_options *options, struct sim_result *result);
};

extern const struct sim_scenario scenario_cluster, scenario_group, scenario_meta, scenario_node, scenario_quorum,
    scenario_store;
