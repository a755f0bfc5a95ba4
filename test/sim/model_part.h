// SPDX-License-Identifier: Apache-2.0
//
// What clients know of one partition: which record was acknowledged at which offset, which was read there, and in which
// era. An era ends when the node's power is cut. In a partition that syncs every append nothing acknowledged or read
// may ever change; elsewhere a power cut may take a tail, never leave a hole. Kept from the clients' side alone.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sim.h"

// Stands in front of every record's value. 16 bytes.
struct record_tag {
    uint8_t producer, topic, partition, idempotent;
    uint32_t generation; // of the topic: a deleted and recreated one has another
    uint32_t session;    // of the producer: one producer id
    uint32_t counter;    // of the session in this partition, from 0
};

_Static_assert(sizeof(struct record_tag) == 16, "copied as bytes");

struct model_entry {
    struct record_tag acked, seen;
    uint32_t acked_era, seen_era; // in which it was asked for, at the earliest written; 0: never
    uint32_t acked_by;            // in which the answer came: written by then
    uint32_t sent_era;            // in which what was acknowledged was sent first: written then, at the earliest; 0: not known
    bool present;                 // in the pass under way
};

struct model_part {
    struct model_entry *v; // by offset
    size_t count, cap;
    uint32_t topic, partition, generation;
    char name[48];
    bool lossless; // every append is synced
    int64_t start_acked, start_asked;
    bool retention;
    int64_t end_seen; // past the greatest offset seen or acknowledged in this era
    uint32_t risk_era; // what was asked in this era or before proves nothing any more; 0: all of it does
};

struct model_eras {
    uint32_t now; // from 1
};

void model_part_init(struct model_part *p, uint32_t topic, uint32_t partition, uint32_t generation, bool lossless);
void model_part_deinit(struct model_part *p);
// Records tag, tag+1, ... (counters) were acknowledged from base_offset on, in answer to a request sent in `era`: the
// answer may arrive when the machine that gave it is long without power. sent_era: of the first request with them.
void model_part_acked(struct model_part *p, struct sim *sim, const struct model_eras *eras, uint32_t sent_era, uint32_t era,
                      int64_t base_offset, const struct record_tag *first, uint32_t count);
void model_part_seen(struct model_part *p, struct sim *sim, const struct model_eras *eras, uint32_t era, int64_t offset,
                     const struct record_tag *tag);

// Of a replicated partition: nodes have lost what they held, each all below one of ends[0..count), and in one of
// lost_eras[0..count). What at least `enough` of them held may be gone: it is known no longer, and what answers requests of
// this era says nothing. What was sent first in a later era than a node's loss that node did not hold. Returns how many
// entries may be gone.
size_t model_part_excuse(struct model_part *p, const struct model_eras *eras, const int64_t *ends,
                         const uint32_t *lost_eras, uint32_t count, uint32_t enough);

// A pass over the whole partition: begin, model_part_seen() for every record from log_start on, end.
void model_part_pass_begin(struct model_part *p);
void model_part_pass_end(struct model_part *p, struct sim *sim, const struct model_eras *eras, int64_t log_start,
                         int64_t log_end);
