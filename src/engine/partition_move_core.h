// SPDX-License-Identifier: Apache-2.0
//
// Inside partition_move*.c: one move and its stages. partition_move.c takes the steps and speaks with the outside,
// partition_move_copy.c begins and copies, partition_move_take.c lets the copy take the place of the log.
//
// A step is true when something was done and more may be to do, false when the move waits: for what is in flight, or until
// not_before_ns.
#pragma once

#include "engine/partition_life.h"
#include "engine/partition_move.h"
#include "store/future.h"

enum { MOVE_AGAIN_MS = 10, MOVE_SOON_MS = 1, MOVE_FULL_DISK_MS = 1000 };
#define MOVE_NS_PER_MS UINT64_C(1000000)

// In this order; what is below MOVE_SYNC can be given up at any moment.
enum move_stage {
    MOVE_BEGIN,
    MOVE_COPY,
    MOVE_AHEAD,
    MOVE_SEAL,
    MOVE_SYNC,
    MOVE_RECORD,
    MOVE_NAME,
    MOVE_TAKE,
    MOVE_DISOWN,
    MOVE_DROP,
};

struct partition_move {
    struct partition *p;
    struct mover *mover;
    struct list_node link;
    struct log_dir *to, *then; // then: where to instead, once this is given up
    struct plog future;        // attached from COPY on
    struct plog_config config;
    enum move_stage stage;
    bool holds;     // appends
    bool ahead;     // a first sync has been made, so that the last one is short
    bool anew;      // from the beginning
    bool last;      // the chunk under way reaches the end
    bool asked;     // in AHEAD and DISOWN: what was begun is in flight or back
    bool given_up;
    bool recorded;  // the other folder's checkpoint may name it
    bool named;
    bool in_flight; // a sync or records
    bool waiting;   // for the disk to bring what is to be read
    bool reading;
    bool have_read;
    bool told_full;
    uint64_t not_before_ns, hold_since_ns;
    int64_t begun_at, recorded_start; // log start then
    enum rc rc; // of what was in flight, of the chunk
    struct plog_wait wait;
    struct plog_slice slice;
    uint8_t *chunk;
    size_t chunk_bytes;
    uint32_t pending; // appends of the chunk
    struct io_op op;
    struct log_dir_op sync;
    struct plog_future_op record;
};

// The moves of a shard.
struct mover {
    struct engine_shard *es;
    struct list moves;
    struct partition_move *copies; // the one whose chunk is under way
    struct shard_job job;
    struct shard_timer timer;
    uint64_t next_ns;
};

// ------------------------------------------------------------------------------------------------ partition_move.c

void mover_wake(struct mover *k);
// Both false, for a step to return.
bool move_wait_until(struct partition_move *m, uint64_t at_ns);
bool move_wait_ms(struct partition_move *m, uint64_t ms);
bool move_is_online(const struct partition *p);
// A line in the log; rc of what went wrong, or RC_OK.
void move_say(const struct partition_move *m, const char *what, enum rc rc);
// Nothing is appended to the log from now on, and again.
void move_hold(struct partition_move *m);
void move_release(struct partition_move *m);
void move_chunk_drop(struct partition_move *m);
// On to DROP, or where the other folder may be believed already to DISOWN.
void move_give_up(struct partition_move *m, const char *what, enum rc rc);
// The move is no more, and freed; p->log is wherever it is.
void move_end(struct partition_move *m);

// ------------------------------------------------------------------------------------------------ partition_move_copy.c

bool move_begin(struct partition_move *m);
bool move_copy(struct partition_move *m);

// ------------------------------------------------------------------------------------------------ partition_move_take.c

// A sync of the other folder; the move stands in `stage` until it is back.
void move_sync_begin(struct partition_move *m, enum move_stage stage);
bool move_seal(struct partition_move *m);
bool move_take(struct partition_move *m);
bool move_disown(struct partition_move *m);
// What was in flight is back.
bool move_arrived(struct partition_move *m);
