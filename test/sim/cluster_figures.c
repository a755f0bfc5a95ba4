// SPDX-License-Identifier: Apache-2.0
//
// What a run of the cluster scenario reached, by name, and how often 100 seeds must reach it at the least: a simulator
// that stops going somewhere finds nothing there.
#include "cluster_world.h"

static const struct {
    const char *name;
    uint64_t floor; // in 100 seeds of 50,000 events and 20 faults
} figures[CLUSTER_FIGURES] = {
    [CLUSTER_ELECTIONS] = {"elections of partitions", 1000},
    [CLUSTER_RAFT_ELECTIONS] = {"of controllers", 200},
    [CLUSTER_TRUNCATED] = {"records truncated", 50},
    [CLUSTER_ISR_SHRINKS] = {"ISR shrinks", 500},
    [CLUSTER_ISR_GROWTHS] = {"growths", 500},
    [CLUSTER_ELR_ELECTIONS] = {"ELR elections", 5},
    [CLUSTER_SNAPSHOTS] = {"snapshots installed", 5},
    [CLUSTER_LOST_PAGES] = {"restarts with lost pages", 50},
    [CLUSTER_UNKNOWN_OUTCOMES] = {"unknown outcomes of ISR changes", 8}, // in clumps: 10 to 79 in seven sets of 60
    [CLUSTER_DUPLICATES] = {"duplicates answered", 50},
    [CLUSTER_DISK_ERRORS] = {"disk errors", 50},
    [CLUSTER_EMPTIED] = {"disks emptied", 10},
    [CLUSTER_PAUSES] = {"processes paused", 50},
    [CLUSTER_RISKS] = {"partitions beyond the guarantee", 0},
    [CLUSTER_EXCUSED] = {"records excused", 0},
    [CLUSTER_MOVED_DECIDING] = {"coordinator moves with a decision in flight", 5},
    [CLUSTER_GROUP_COMMITS] = {"commits of groups", 500},
    [CLUSTER_GROUP_ASSIGNMENTS] = {"assignments", 200},
    [CLUSTER_TWO_EMPTIED] = {"two of three disks emptied", 2},
    [CLUSTER_ALONE_LOST] = {"lost of acks=1", 20},
    [CLUSTER_GIVEN_BACK] = {"leaderships given back", 100},
    [CLUSTER_UNCLEAN] = {"unclean elections", 5},
    [CLUSTER_DELETIONS] = {"deletions answered", 200},
};

void cluster_figures_name(struct sim_result *result)
{
    for (int k = 0; k < CLUSTER_FIGURES; k++) {
        result->figures[k].name = figures[k].name;
        result->figures[k].floor = figures[k].floor;
    }
}
