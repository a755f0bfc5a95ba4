// SPDX-License-Identifier: Apache-2.0
//
// A replica moves from one log folder of its node to another (KIP-113) while it is read and written: its batches are copied
// to a future log there, at most at replica.alter.log.dirs.io.max.bytes.per.second, and when that has reached the end of the
// current one, appends wait for the few syncs in which it takes its place (store/future.h). Everything here runs on the
// partition's shard; one chunk is copied at a time on a shard, whatever moves there.
//
//   BEGIN --> COPY --> AHEAD (what there is, synced) --> COPY --> SEAL --> SYNC --> RECORD --> NAME --> TAKE: over
//     ^         |                                        +-- appends wait ------------------------------+
//     +--DROP --+-- the current log was cut, or its start passed what was copied; a full disk waits in COPY
//
// Given up (cancelled, deleted, a folder that failed) it goes to DROP, after RECORD by way of DISOWN. At a clean stop a move
// that has not come to RECORD leaves its folder; the next start makes it anew from there.
#pragma once

#include "engine/partition.h"

struct partition_move;
struct mover; // of a shard, made with its first move

// Moves p to dir; to where it is: cancels a move under way. RC_STORAGE_ERROR: p or dir is offline. RC_NOMEM.
enum rc partition_move(struct partition *p, struct log_dir *dir);
// What a move under way has come to; false: there is none.
struct partition_move_view {
    struct log_dir *to;
    uint64_t bytes; // copied
    int64_t lag;    // records that are still to be copied
};
bool partition_move_look(const struct partition *p, struct partition_move_view *out);
// Nothing may be appended to p's log now: it is about to live elsewhere. Appends wait in p->appends.
bool partition_move_holds(const struct partition *p);
// p's log is to be cut: what was copied is not to be trusted. It is let go of, and copied anew.
void partition_move_anew(struct partition *p);
// p is to be buried, or its role ended: gives the move up. True: there is none any more.
bool partition_move_is_over(struct partition *p);

// The shard stops: moves end as they are. True: none is under way.
bool mover_settled(struct engine_shard *es);
// Moves of p's shard that the last stop left, now that it has begun.
void mover_resume(struct engine_shard *es);
// [close] With nothing in flight, in this order.
void mover_stop(struct engine_shard *es);
void partition_move_free(struct partition *p);
void mover_free(struct engine_shard *es);
