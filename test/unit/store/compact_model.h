// SPDX-License-Identifier: Apache-2.0
//
// A model of a compacted log for its tests: records with random keys, tombstones, codecs and producers are appended to the
// log and to the model; what the log holds after any number of runs, deaths and power cuts is held against it.
#pragma once

#include "fixture.h"
#include "store/compact_private.h"

enum { RECORDS_MAX = 60000, KEYS_MAX = 64, BATCH_RECORDS_MAX = 12, INFLATED_MAX = 1 << 20 };

struct model_record {
    int32_t key; // -1: none
    uint32_t value_bytes;
    uint8_t value;
    bool tombstone, present, control, aborted;
    int64_t timestamp;
};

struct model {
    struct model_record v[RECORDS_MAX]; // by offset
    int64_t end;
    uint32_t keys;
    struct prng prng;
    int32_t sequence;
};

// What a read of the whole log came across.
struct reader {
    struct fixture *f;
    struct model *m;
    int64_t next;
    int64_t empty_batches, horizons;
};

// An empty model, and a fixture, still to be opened, whose log is compacted as soon as there is anything to do.
void model_setup(struct fixture *f, struct model *m, uint64_t seed);
uint64_t model_below(struct model *m, uint64_t n);
// The bytes of a key: of all lengths.
size_t model_key(char out[600], int32_t key);
// A batch as it is; and one of random records, which the model learns. Both wait until it is in the log.
void model_append_bytes(struct fixture *f, struct buf *batch);
void model_append(struct fixture *f, struct model *m, enum codec codec, bool with_producer);
enum codec model_codec(struct model *m);
// Reads the log from its start: each key's latest record is there, nothing that is not the model's, in order.
struct reader model_verify(struct fixture *f, struct model *m);
// Lookups by offset and by time find what the read found.
void model_verify_lookups(struct fixture *f, struct model *m);
const struct compact_counters *model_counters(const struct fixture *f);
