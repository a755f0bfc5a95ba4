// SPDX-License-Identifier: Apache-2.0
//
// A cluster of pure cores under one seed: a network that drops, repeats and reorders, disks that lose what was not
// synced, processes that die and disks that are emptied. The checks run on every step.
#pragma once

#include "base/prng.h"
#include "raft/raft.h"

enum { CLUSTER_NODES_MAX = 7, CLUSTER_PAYLOAD_BYTES = 8 };

struct cluster_entry {
    uint64_t term;
    enum raft_entry_type type;
    uint8_t bytes[RAFT_VOTERS_BYTES_MAX];
    size_t n;
};

struct cluster_log { // entries (base, base + count]
    struct cluster_entry *p;
    uint64_t base, base_term, count, cap;
};

// One barrier that a core asked for and its disk has not finished.
struct cluster_write {
    uint64_t ticket, due_ms;
    struct raft_hard_state hard;
    bool install;
    struct raft_snapshot installed;
    uint64_t installed_state;
    uint64_t truncate_from;
    struct cluster_log entries;
    struct raft_outgoing *sends; // wait for it
    uint32_t send_count;
};

struct cluster_node {
    struct raft raft;
    struct raft_effects fx;
    bool up;
    struct raft_id id;
    // disk
    struct raft_hard_state hard;
    struct raft_snapshot snapshot;
    uint64_t snapshot_state;
    struct cluster_log log;
    struct cluster_write writes[RAFT_TICKETS_MAX];
    uint32_t write_head, write_count;
    // state machine: a hash over what was applied
    uint64_t applied, state;
    struct raft_snapshot staged;
    uint64_t staged_state;
};

struct cluster_flight {
    uint64_t due_ms;
    int kind; // 0 message, 1 snapshot
    bool lost;
    struct raft_message message;
    struct cluster_log entries;
    struct raft_snapshot snapshot;
    uint64_t state;
};

struct cluster_config {
    uint64_t seed;
    uint32_t voters, observers;
    uint32_t events;
    uint32_t drop_percent, repeat_percent;
    bool crashes, cuts, changes, wipes;
};

struct cluster_figures {
    uint64_t elections, truncations, installs, crashes, changes, wipes, commits, reads, transfers;
};

// Runs it; aborts the test on a violated invariant, naming the seed. Adds to figures.
void cluster_run(const struct cluster_config *config, struct cluster_figures *figures);
