// SPDX-License-Identifier: Apache-2.0
//
// A process on a simulated machine: one io a lane (a shard is a lane), turns given when something wants one, and an end
// at any moment. What runs in it is the program's affair: boot() builds it, turn() drives it, both inside the process.
#pragma once

#include "sim.h"

struct sim_process;
struct shard_group;

struct sim_lane {
    struct sim_event event;
    struct sim_process *p;
    uint32_t index;
};

struct sim_program {
    // Builds everything; p->program is its own. May fail: then it sets p->boot_failed.
    void (*boot)(struct sim_process *p);
    // One turn of a lane. Returns true when it wants another at once; else *next_ns (the machine's monotonic clock)
    // is when, UINT64_MAX: when something happens.
    bool (*turn)(struct sim_process *p, uint32_t lane, uint64_t *next_ns);
    // Outside of the process, which dies in the middle of a turn of that lane: what it did in it may have been heard of.
    // p->program is still there to be looked at. May be NULL.
    void (*dies)(struct sim_process *p, uint32_t lane);
    // Outside of the process: it is gone, and so is p->program.
    void (*died)(struct sim_process *p, enum sim_death how);
};

struct sim_process {
    struct sim_node *node;
    const struct sim_program *does;
    struct io *ios[SIM_IOS_MAX];
    struct sim_lane lanes[SIM_IOS_MAX];
    uint32_t lane_count;
    bool running, boot_failed;
    void *program;              // in the process's memory
    struct shard_group *shards; // of a program made of shards, see shard_program.h
    void *user;                 // of the harness
    uint64_t turns;
    uint64_t paused_until_ns; // stopped (SIGSTOP): no turn before; the kernel goes on without it
};

// Starts the program with lane_count ios. False when it died while booting, or said that it cannot boot (then it has
// been ended, with p->boot_failed set).
bool sim_process_start(struct sim_process *p, struct sim_node *n, const struct sim_program *does, uint32_t lane_count);
// Runs fn inside the process as if a callback had come in, then gives lane 0 a turn. False: it died in it.
bool sim_process_call(struct sim_process *p, void (*fn)(void *), void *argument);
void sim_process_end(struct sim_process *p, enum sim_death how);
// Stops the process until then, as SIGSTOP and SIGCONT do.
void sim_process_pause(struct sim_process *p, uint64_t until_ns);
// After the program has given everything back by itself: what is still held is a leak. Returns its bytes.
size_t sim_process_exit(struct sim_process *p);
