// SPDX-License-Identifier: Apache-2.0
//
// A whole engine in one process, its coordinators asked as a client asks them. One at a time: what a test does is `rig`.
#pragma once

#include "engine/coordinator_core.h"

enum { SHARDS_OF_RIG = 2, OFFSETS_PARTITIONS = 4 };

struct rig {
    char folder[64], data[80], text[1024];
    struct io *ios[SHARDS_OF_RIG];
    struct shard_group group;
    struct log_dir dir;
    struct log_dir *dirs[1];
    struct engine *e;
    struct image_listener listener;
    struct trace_sink trace;
    char line[512]; // the last warning or error
    bool registered, settled;
    uint32_t shard_count;
};

extern struct rig rig;

struct rig_call {
    struct coordinator_call c;
    bool done;
};

enum { GROUPS = 200 };

// A folder of its own and an engine on it, with the topics __consumer_offsets and t (2 partitions).
void rig_setup(void);     // on two shards
void rig_setup_one(void); // on one
void rig_setup_lz4(void); // on one, what coordinators write compressed
// Stops it cleanly and takes the folder away.
void rig_teardown(void);

void rig_boot(void);     // until it could register
void rig_register(void); // and does
void rig_start(void);    // both
void rig_close(void);    // it dies
void rig_stop(void);     // cleanly
void rig_forget(void);   // its folder

// Turns of every shard, 200 us each, until *done; the test fails when that takes too long.
void rig_turn_until(const bool *done);
void rig_turn_some(int turns);

void rig_create_topic(const char *name, int32_t partitions, const char *compression); // compacted
void rig_delete_topic(const char *name);

// A call on its way from shard 0; done is set when it came back, then it is group_call_deinit()'s.
void rig_call_begin(struct rig_call *t, enum group_call_kind kind, int16_t version, struct bytes group_id, const void *request);
// Commits an offset of partition 0 of t; the code of the partition. As a client does it, the second is tried again while
// the coordinator reads its log.
int16_t rig_commit_with(const char *group, int64_t offset, const char *metadata);
int16_t rig_commit(const char *group, int64_t offset);
// That offset, -1: none; -1000 less the code of the answer: an error. The second waits for the coordinator, too.
int64_t rig_fetch_once(const char *group);
int64_t rig_fetch(const char *group);
// GROUPS of them, number i at base + i. The name is good until the next call.
const char *rig_group(int i);
void rig_commit_all(int64_t base);
void rig_expect_all(int64_t base);

struct coordinator_counters rig_counters(void); // of all shards
const char *rig_snapshot_file(int partition);   // good until the next call
void rig_flip(const char *path, long at);       // a bit of a byte; from the end when at < 0
