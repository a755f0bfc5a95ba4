// SPDX-License-Identifier: Apache-2.0
//
// What a log remembers of the producers that wrote to it: epoch, the last five batches, an open transaction (KIP-98).
// Checks sequences, builds the state, undoes what was queued and never written, and reads and writes Kafka's .snapshot
// format. Pure but for memory.
//
// A producer with several remembered batches has several rows in the snapshot, oldest first. Kafka writes only the last
// one; its readers keep the last row of an id, ours keeps all five, so that a batch repeated across a restart is still
// known.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rc.h"
#include "model/limits.h"

struct producer_batch {
    int64_t last_offset;
    int64_t timestamp;
    int32_t last_sequence;
    int32_t offset_delta; // last offset less base offset; the first sequence follows from it
};

struct producer_state;
struct producer_undo;

struct producer_entry {
    struct map_node node;
    struct list_node age; // in the registry, least recently used first
    struct producer_state *home;
    int64_t producer_id;
    int64_t txn_first_offset; // of the open transaction, or OFFSET_NONE
    int64_t last_timestamp;
    uint64_t used_ns; // monotonic: expiry
    int32_t coordinator_epoch;
    int16_t epoch;
    uint8_t batch_count; // remembered, newest last
    uint8_t pending;     // queued appends that touch it: not forgotten meanwhile
    bool refused;        // nothing of it is in the log: all that is known is a batch that could not be taken in...
    int32_t wanted;      // ...which begins at this sequence and will be sent again
    struct producer_undo *pending_first, *pending_last; // of those appends, NULL when there are none
    struct producer_batch batches[PRODUCER_BATCHES_KEPT];
};

// The producers of all logs of a shard by age: expiry and the budget look at the oldest, never at every log.
struct producer_registry {
    struct list by_age; // least recently used first; its count is the number of entries
};

struct producer_state {
    struct producer_registry *registry; // set by the owner before use
    struct map map;
    uint32_t open_txns;
    bool changed; // since the last snapshot
};

// One batch, as its header says.
struct producer_append {
    int64_t producer_id;
    int16_t epoch;
    int32_t base_sequence;
    int32_t records;     // last offset delta + 1
    int64_t base_offset; // once assigned
    int64_t timestamp_max;
    bool transactional;
    bool control;
    bool control_commit;       // of a control batch: commit, else abort
    int32_t coordinator_epoch; // of a control batch
};

// What an append replaced, to set it back when the write fails, and to know meanwhile what the log says without it.
// Stays where it is until commit or undo.
struct producer_undo {
    struct producer_entry *entry;         // NULL: nothing was changed
    struct producer_undo *older, *newer; // of the same producer
    bool made;                    // the entry did not exist
    int64_t txn_first_offset, last_timestamp;
    int32_t coordinator_epoch;
    int16_t epoch;
    uint8_t batch_count;
    bool refused;
    int32_t wanted;
    struct producer_batch batches[PRODUCER_BATCHES_KEPT];
};

enum producer_verdict {
    PRODUCER_NEW,       // append it
    PRODUCER_DUPLICATE, // of *duplicate
    PRODUCER_OUT_OF_ORDER,
    PRODUCER_STALE_EPOCH,
};

void producer_registry_init(struct producer_registry *r);
// Forgets producers unused since before_ns, at most count_max of them, none with pending appends or an open
// transaction. Returns how many.
uint32_t producer_registry_expire(struct producer_registry *r, uint64_t before_ns, uint32_t count_max);

// A zeroed state with its registry set is empty and valid.
void producer_state_deinit(struct producer_state *s);
struct producer_entry *producer_state_find(const struct producer_state *s, int64_t producer_id);
// Judges a data batch of an idempotent producer. Any first sequence where no state exists, 0 for a new epoch, wrap at
// 2^31-1. *duplicate is set with PRODUCER_DUPLICATE. Where the only thing known is that a batch was refused, that one
// must come first.
enum producer_verdict producer_state_check(const struct producer_state *s, const struct producer_append *a,
                                           struct producer_batch *duplicate);
// Takes the batch in, unchecked. undo may be NULL (recovery, followers). RC_NOMEM: nothing changed.
enum rc producer_state_apply(struct producer_state *s, const struct producer_append *a, uint64_t now_ns,
                             struct producer_undo *undo);
// A batch that was NEW is refused for a reason that passes (a full disk). Of several in flight those behind it may
// arrive when the reason has passed: where no state says which sequence is next, this remembers it, in memory only.
void producer_state_refuse(struct producer_state *s, const struct producer_append *a, uint64_t now_ns);
// The append was written / was not; written oldest first, undone newest first. A producer whose first batch is undone
// is remembered as refused.
void producer_state_commit(struct producer_undo *undo);
void producer_state_undo(struct producer_state *s, struct producer_undo *undo);
// Forgets what the log says. What was refused stays: that was never in the log.
void producer_state_clear(struct producer_state *s);
// Hands what was refused on to `to`, of the same registry, unless it knows the producer: a log that goes on in another
// folder. Short of memory a note is lost.
void producer_state_hand_on_refused(struct producer_state *s, struct producer_state *to);
// The lowest first offset of an open transaction, or OFFSET_NONE.
int64_t producer_state_first_unstable(const struct producer_state *s);

// Takes in one row of a snapshot. RC_CORRUPT: values no log can have. RC_NOMEM.
enum rc producer_state_restore(struct producer_state *s, int64_t producer_id, int16_t epoch,
                               const struct producer_batch *b, int32_t coordinator_epoch, int64_t txn_first_offset,
                               uint64_t now_ns);

// Kafka's producer snapshot, version 1, of the log as it is written: what is only queued is left out.
void producer_snapshot_print(const struct producer_state *s, struct buf *out);
// Adds what the snapshot holds. RC_CORRUPT (size, version or CRC), the state is empty then. RC_NOMEM.
enum rc producer_snapshot_parse(struct producer_state *s, struct bytes snapshot, uint64_t now_ns);
