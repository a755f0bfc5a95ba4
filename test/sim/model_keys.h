// SPDX-License-Identifier: Apache-2.0
//
// What a compacted partition's log must hold: beside the account of its batches (model_log.h) one of its records. A
// record may be missing when a later one of its key is in the log, or when it is a tombstone and nothing of its key is
// left before it; nothing may be changed, moved or there twice.
#pragma once

#include "model_log.h"

enum { MODEL_KEYS = 24 };

struct model_key_record {
    uint64_t hash; // of the value, 0: tombstone
    int64_t timestamp;
    uint8_t key;
    bool present; // in the pass under way
};

struct model_keys {
    struct model_key_record *v; // by offset
    size_t cap;
};

void model_keys_deinit(struct model_keys *k);
// The record that will have this offset.
void model_keys_sent(struct model_keys *k, int64_t offset, uint8_t key, struct bytes value, int64_t timestamp);
void model_key_text(uint8_t key, char out[16]);

// As model_check_begin() and so on, for such a log.
bool model_keys_check_begin(struct model_keys *k, struct model_check *c, enum sim_death after, struct sim *sim,
                            struct model_log *m, int64_t log_start);
bool model_keys_check_batch(struct model_keys *k, struct model_check *c, struct bytes batch);
bool model_keys_check_end(struct model_keys *k, struct model_check *c, int64_t log_start, int64_t log_end);
