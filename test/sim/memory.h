// SPDX-License-Identifier: Apache-2.0
//
// Memory of simulated processes. Programs of the simulator are linked with --wrap for the malloc family: what a node
// allocates while it runs belongs to that node, so that the death of a process gives back exactly its memory without
// running a line of its code, a clean stop can be checked for leaks, and the memory budget is a number that is known.
// The simulator's own memory comes from sim_alloc(), whoever is running.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct sim_memory {
    struct list blocks;
    size_t bytes;     // held now, without the bookkeeping
    size_t bytes_max; // the most since the process started
    size_t blocks_count;
};

void sim_memory_init(struct sim_memory *m);
// From here on allocations belong to m (NULL: to the simulator). Returns whose they were before.
struct sim_memory *sim_memory_enter(struct sim_memory *m);
// Frees everything m holds: the process is gone.
void sim_memory_release_all(struct sim_memory *m);

// Never NULL; sim_alloc() zeroes.
void *sim_alloc(size_t bytes);
void *sim_realloc(void *p, size_t bytes);
void sim_free(void *p);
