// SPDX-License-Identifier: Apache-2.0
//
// A scenario: a world, what runs in it, who uses it, what goes wrong, and what must hold. One seed, one run.
#pragma once

#include "process.h"

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

// The world of a run, and what becomes of it in the result.
void sim_begin(struct sim *sim, const struct sim_options *o);
void sim_report(const struct sim *sim, struct sim_result *r);

// Faults of worlds with one machine. They are spread over a run's events, each of which takes about event_ns: schedules
// the next one.
void sim_fault_again(struct sim *sim, struct sim_event *e, const struct sim_options *o, uint64_t event_ns,
                     sim_event_fn run);
// Draws one of 100: below `now` the process ends, below `soon` it will in the midst of one of its next calls, of which
// there are calls_max at the most; from there on the fault is the scenario's to make. Counts in r, and returns the draw.
uint64_t sim_fault_draw(struct sim *sim, struct sim_process *p, uint64_t now, uint64_t soon, uint64_t calls_max,
                        struct sim_result *r);
// Before a start while faults are made: one in four ends within its first calls_max calls, and is one of *faults_left.
void sim_fault_at_start(struct sim *sim, struct sim_node *n, const struct sim_options *o, uint64_t *faults_left,
                        uint64_t calls_max);
