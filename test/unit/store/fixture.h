// SPDX-License-Identifier: Apache-2.0
//
// What the store's tests share: one log folder in a temporary place, one log in it, batches to append, and restarts.
#pragma once

#include "store/log_private.h"
#include "store/trash.h"
#include "wire/batch.h"

struct fixture {
    struct io *io;
    struct log_dir dir;
    struct log_dir *dirs[1];
    struct store store;
    struct plog log;
    struct plog_config config;
    struct store_config store_config;
    int32_t leader_epoch; // of what is appended; 0: 3
    struct trace_sink trace;
    char path[256];      // the log folder
    char last_line[512]; // the last warning or error
    unsigned lines;
};

enum { FIXTURE_BATCH_BYTES_MAX = 65536 };

// A fresh folder with an attached log "t-0"; config may be changed before.
void fixture_open(struct fixture *f);
void fixture_close(struct fixture *f);
// The process dies and starts again: nothing is written, the page cache lives.
void fixture_die(struct fixture *f);
// The same, and the machine was started anew in between: written marks do not count.
void fixture_power_cut(struct fixture *f);
// Between a stop and a start: the machine was started anew.
void fixture_change_boot(struct fixture *f);
// Attaches and recovers the log; asserts that it can be.
struct plog_recovery_report fixture_recover(struct fixture *f);
enum rc fixture_try_recover(struct fixture *f, struct plog_recovery_report *report);
// A clean stop and start.
void fixture_stop(struct fixture *f);
void fixture_start(struct fixture *f);
// Lets completions and background work run until nothing is in flight.
void fixture_settle(struct fixture *f);

struct made_batch {
    uint8_t bytes[FIXTURE_BATCH_BYTES_MAX];
    size_t n;
};

struct batch_spec {
    int32_t records;
    size_t value_bytes;
    int64_t timestamp;
    int64_t producer_id; // 0: none
    int16_t producer_epoch;
    int32_t base_sequence;
    uint16_t attributes;
};

void fixture_make(struct made_batch *b, struct batch_spec spec);
// Appends and waits; returns done()'s rc, or plog_append()'s.
enum rc fixture_append(struct fixture *f, struct batch_spec spec, struct plog_append *op);
// The same to a log of the fixture's store that the caller has attached.
enum rc fixture_append_to(struct fixture *f, struct plog *l, struct batch_spec spec, struct plog_append *op);
// Appends count batches of one record with value_bytes each.
void fixture_fill(struct fixture *f, unsigned count, size_t value_bytes);
// Reads every batch from log start to the end through slices; checks offsets and checksums. Returns records.
int64_t fixture_read_all(struct fixture *f);
// "<log folder>/t-0/<name>".
const char *fixture_file(struct fixture *f, const char *name);
bool fixture_exists(struct fixture *f, const char *name);
uint64_t fixture_size(struct fixture *f, const char *name);
void fixture_truncate(struct fixture *f, const char *name, uint64_t bytes);
void fixture_flip(struct fixture *f, const char *name, uint64_t at);
void fixture_remove(struct fixture *f, const char *name);
// Writes n bytes at offset `at`, into a new file if there is none.
void fixture_write_file(struct fixture *f, const char *name, uint64_t at, const uint8_t *bytes, size_t n);
size_t fixture_read_file(struct fixture *f, const char *name, uint8_t *out, size_t max);
