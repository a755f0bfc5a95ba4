// SPDX-License-Identifier: Apache-2.0
//
// What a partition's log must hold, kept by the checkers from what was sent and answered, never asked of the product.
// A batch is sent, then acknowledged or not; what a power cut may take is computed from the model's own record of syncs
// and faults.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "sim.h"

struct model_batch {
    int64_t base_offset, last_offset;
    uint64_t hash; // of everything that no server may change
    int64_t producer_id;
    int32_t base_sequence, last_sequence;
    int16_t producer_epoch;
    int32_t leader_epoch;
    int64_t timestamp_max;
    uint32_t bytes;
    bool acked;
};

struct model_log {
    char name[64];
    struct model_batch *v;
    size_t count, cap;
    size_t first;        // batches below are gone for good: log start passed them
    int64_t start_acked; // log start never lies below this again
    int64_t start_seen;  // nor below this, until the power is cut
    int64_t start_asked; // nor above the greatest that was asked for, unless retention runs
    bool retention;
    int64_t durable; // everything below survives any power cut
    int64_t flush_messages;
    size_t flush_from; // batches below were written by an earlier process: flush.messages does not count them again
    bool
        tainted; // a sync failed in this boot of the machine: nothing more becomes durable until the power has been cut
    bool tainted_ever; // bytes lost that way may lie below log start, where no check looks
    bool rotten;       // bits of its files were flipped: nothing is promised, but the rest of the world must not notice
    bool given_up;     // damaged by either: to be deleted
};

// A failure of this log, unless its files are rotten: then it is given up.
#define model_fail(m, sim, ...) ((m)->rotten ? (void)((m)->given_up = true) : sim_fail(sim, __VA_ARGS__))

void model_log_init(struct model_log *m, const char *name, int64_t flush_messages);
void model_log_deinit(struct model_log *m);

// Everything of the batch that no server may change: all behind the leader epoch.
uint64_t model_batch_hash(struct bytes batch);
// The offset the next batch gets.
int64_t model_log_next(const struct model_log *m);
void model_log_sent(struct model_log *m, const struct model_batch *b);
// The batch at base_offset was acknowledged. False: no such batch.
bool model_log_acked(struct model_log *m, int64_t base_offset);
// It failed for good: it and everything sent behind it are forgotten.
void model_log_failed(struct model_log *m, int64_t base_offset);
// Everything below offset is on the disk.
void model_log_durable(struct model_log *m, int64_t offset);
// The first batch that ends at or past offset; count when there is none.
size_t model_log_find(const struct model_log *m, int64_t offset);

// One pass over what the product has now, from its log start on, in order; then model_check_end(). What is there
// beyond the acknowledged becomes acknowledged: it has been seen.
struct model_check {
    struct model_log *m;
    struct sim *sim;
    enum sim_death after; // what happened since the last pass: NONE, KILL, POWER
    size_t at;
    int64_t next_offset;
    uint64_t batches;
};
bool model_check_begin(struct model_check *c, struct sim *sim, struct model_log *m, enum sim_death after,
                       int64_t log_start);
bool model_check_batch(struct model_check *c, struct bytes batch);
bool model_check_end(struct model_check *c, int64_t log_end);
