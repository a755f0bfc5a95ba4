// SPDX-License-Identifier: Apache-2.0
//
// What is known of a quorum, whoever says it: who led in which term, which entry was committed at which index, and the
// image there. Election safety, log matching of what is committed, leader completeness, state machine safety, no voter
// change before an own-term commit, nobody stands without a vote. Looks into the cores, changes nothing.
#pragma once

#include "meta/image.h"
#include "raft/raft.h"
#include "sim.h"

enum { MODEL_RAFT_TERMS_MAX = 4096, MODEL_RAFT_INDEXES_MAX = 1 << 16 };

struct model_raft {
    int32_t leaders[MODEL_RAFT_TERMS_MAX];      // by term; node + 1
    uint64_t images[MODEL_RAFT_INDEXES_MAX];    // hash of the image at that index
    uint64_t committed[MODEL_RAFT_INDEXES_MAX]; // term of the entry there, once committed anywhere
    uint64_t known_in[MODEL_RAFT_INDEXES_MAX];  // the smallest term of anybody who knew that it is committed
    uint64_t commit;                            // the greatest index committed anywhere
    uint64_t elections;
};

// What one process showed when it was last looked at; zeroed with its start.
struct model_raft_seen {
    uint64_t commit, term;
    int role;
};

// After a turn of a process.
void model_raft_look(struct model_raft *m, struct model_raft_seen *seen, struct sim *sim, const struct raft *r);
// The same index, the same image, byte for byte.
void model_raft_image(struct model_raft *m, struct sim *sim, int32_t node, const struct image *image);
