// SPDX-License-Identifier: Apache-2.0
//
// Private to the quorum_*.c files: the quorum itself.
#pragma once

#include "base/assert.h"
#include "engine/quorum.h"
#include "meta/snapshot.h"
#include "store/journal.h"

enum {
    QUORUM_SENDS_MAX = 256, // messages that wait for the disk
    QUORUM_WINDOW_BYTES = 2 << 20,
    QUORUM_UNCOMMITTED_BYTES = 8 << 20,
};

// What the core wants on disk and the journal has not been given yet.
struct quorum_disk {
    bool dirty;
    uint64_t ticket;         // of the newest wish
    uint64_t next, last;     // entries to write
    uint64_t truncate_from;  // 0: none
    uint64_t writing_ticket; // durable with the write in flight; 0: a part only
};

struct quorum_snapshot {
    struct journal_snapshot file;
    struct snapshot_writer writer;
    struct shard_job job;
    struct buf piece;
    const struct image *image;
    uint64_t wanted_index; // begin once this much is applied; 0: none wanted
    bool running, finishing;
    enum rc rc;
};

struct quorum {
    struct quorum_config config;
    struct quorum_identity identity;
    struct shard *shard;
    struct raft raft;
    struct raft_effects fx;
    struct journal journal;
    bool journal_open;
    struct quorum_disk disk;
    struct raft_outgoing sends[QUORUM_SENDS_MAX]; // with a ticket, oldest first
    uint32_t send_count;
    const struct image *image; // applied
    struct list queue;         // ops not decided yet
    struct list flying;        // decided, in the batch under way
    struct list landed;        // committed, not yet seen by every shard
    uint64_t batch_index;      // of the batch under way, 0: none
    struct list readers;
    struct shard_timer timer;
    struct shard_task work;
    struct quorum_snapshot snapshot;
    struct quorum_op format_op;
    struct arena format_arena;
    bool format_asked;
    bool started, dead;
    int32_t leader;               // atomic
    char path[IO_PATH_BYTES_MAX]; // of the journal's folder
};

// quorum.c
void quorum_feed(struct quorum *q, struct raft_event *ev); // one step and all that follows from it
void quorum_wake(struct quorum *q);                        // do what there is to do at the end of this turn
void quorum_dead(struct quorum *q, enum rc rc, const char *text);
// quorum_publish.c
void quorum_publish(struct quorum *q, const struct image *fresh_owned);
uint64_t quorum_seen_index(const struct quorum *q); // what every shard has seen
void quorum_first_images(struct quorum *q);
// quorum_snapshot.c
void quorum_snapshot_consider(struct quorum *q);
