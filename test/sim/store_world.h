// SPDX-License-Identifier: Apache-2.0
//
// The store scenario: the partition logs of one process, over log folders that fail, are cut off from power and filled,
// used by a client that keeps its own account. No broker, no Raft: which logs exist is the scenario's own knowledge, as
// the metadata image will be.
#pragma once

#include "model_keys.h"
#include "process.h"
#include "scenario.h"
#include "store/log.h"

enum { STORE_LOGS_MAX = 6, STORE_DIRS_MAX = 2, STORE_PRODUCERS = 2 };

struct store_producer {
    int64_t id;
    int16_t epoch;
    int32_t next_sequence;
    int32_t checked_sequence; // the next one by what the log knew when it was last checked
};

struct store_slot { // one partition, over all lives of the process
    bool used;
    char topic[32];
    struct topic_partition id;
    uint32_t dir;
    uint32_t generation;
    struct plog_config config;
    struct model_log model;
    struct model_keys keys; // of a compacted log
    enum sim_death since; // the worst that happened since the log was last checked
    struct store_producer producers[STORE_PRODUCERS];
    int64_t checked_end; // where the log ended then
    int32_t leader_epoch;
};

struct store_world {
    struct sim sim;
    const struct sim_options *options;
    struct sim_result *result;
    struct sim_node *node;
    struct sim_process process;
    struct store_slot slots[STORE_LOGS_MAX];
    uint32_t slot_count, dir_count;
    uint32_t topics_made;
    uint32_t faults_seen; // failed operations of the disk this process has met, as the scenario counted them
    bool tainted;         // a sync failed in this boot of the machine, and nobody lived to note it
    struct sim_event client, fault, restart, space;
    uint64_t capacity_bytes;
    uint64_t faults_left;
    bool draining;
    bool swap_hit; // this process was struck in the middle of a swap
};

struct store_program { // in the process's memory
    struct store_world *w;
    struct io *io;
    struct store store;
    struct log_dir dirs[STORE_DIRS_MAX];
    struct log_dir *dir_list[STORE_DIRS_MAX];
    struct plog logs[STORE_LOGS_MAX];
    bool attached[STORE_LOGS_MAX], checked[STORE_LOGS_MAX], dirty[STORE_LOGS_MAX];
    uint32_t appends_out, checkpoints_out, starts_out;
    uint32_t producer_out[STORE_LOGS_MAX][STORE_PRODUCERS];
    bool wants_restart;
};

extern const struct sim_program store_program_calls;

// Inside the process.
void store_program_attach(struct store_program *g, uint32_t slot);
// Deletes the slot's topic, if its log is idle, and makes another.
void store_program_replace(struct store_program *g, uint32_t slot);
// A full pass over what the log holds, against the model.
void store_program_check(struct store_program *g, uint32_t slot);
// One thing a client does, chosen at random; argument is the program.
void store_client_act(void *argument);

// Gives the slot a topic that was never there before.
void store_world_make_topic(struct store_world *w, uint32_t slot);

// Outside of it.
void store_world_died(struct store_world *w, enum sim_death how);

static inline uint32_t store_faults_taken(const struct store_world *w)
{
    const struct sim_disk_faults *f = &w->node->faults;
    return f->taken_read_errors + f->taken_write_errors + f->taken_sync_errors + f->space_errors;
}

// An operation of the disk failed in this process: folders may be offline, answers may be errors.
static inline bool store_disk_failed(const struct store_world *w)
{
    return store_faults_taken(w) != w->faults_seen;
}

static inline struct store_program *store_program_of(struct sim_process *p)
{
    return p->program;
}
