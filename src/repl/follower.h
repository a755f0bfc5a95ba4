// SPDX-License-Identifier: Apache-2.0
//
// The follower's side of one partition's replication: from where to fetch, and what an answer of the leader means.
// Truncation is by diverging epoch, never by high watermark: the fetch carries the epoch of the last record; a leader
// whose log disagrees answers with the largest epoch at or below it and where that ended there; the follower cuts to
// the smaller of that and its own end of that epoch, and asks again until they agree.
//
// Pure: it owns no log. The caller does what repl_follower_answer() says, then tells with repl_follower_moved().
//
// Sources: KIP-101, KIP-279, KIP-595 (truncation on fetch); DESIGN section 6.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rc.h"
#include "model/ids.h"

// The own log, as the caller knows it at the moment of the call.
struct repl_log {
    int64_t start, end;    // log start and written end
    int64_t durable;       // what the next fetch offers when syncs are forced
    int64_t high_watermark;
    int32_t latest_epoch;  // of the last record, LEADER_EPOCH_NONE: none
    // The largest epoch at or below `epoch` in the own log and where it ends; epoch NONE, offset NONE: there is none.
    void (*epoch_end)(void *context, int32_t epoch, int32_t *found, int64_t *end);
    void *context;
};

struct repl_follower {
    int32_t leader;       // NODE_ID_NONE: no leader is known, nothing is fetched
    int32_t leader_epoch;
    bool in_isr_or_elr;   // as the image says
    bool stopped;         // told to cut what it has promised to hold: see REPL_STOP
    uint32_t failures;    // in a row, for the backoff
    uint64_t retry_ns;    // not before then
    uint32_t cuts;        // since the last agreement
    uint32_t backoff_ms_max; // replica.fetch.backoff.ms, the caller's; 0: a second
};

// The image says who leads, under which epoch, and whether this replica stands in the ISR or the ELR.
void repl_follower_follow(struct repl_follower *f, int32_t leader, int32_t leader_epoch, bool in_isr_or_elr);

// What the next fetch asks for.
struct repl_ask {
    int64_t offset, log_start;
    int32_t last_fetched_epoch; // LEADER_EPOCH_NONE: the log is empty
    int32_t leader_epoch;
};
// False: nothing to ask for now (no leader, stopped, backing off until f->retry_ns).
bool repl_follower_ask(const struct repl_follower *f, const struct repl_log *log, uint64_t now_ns, struct repl_ask *out);

// What the leader answered for this partition.
struct repl_answer {
    enum rc rc;
    int32_t leader_epoch;    // under which it was asked
    int64_t asked_offset;
    int64_t high_watermark, log_start; // OFFSET_NONE: not told
    int32_t diverging_epoch; // LEADER_EPOCH_NONE: none
    int64_t diverging_end;
    bool records;            // it carries some, from asked_offset on
};

enum repl_action {
    REPL_NOTHING,  // up to date, or an answer to a question that no longer stands
    REPL_APPEND,   // append the records; then high watermark and log start as below
    REPL_TRUNCATE, // cut the log to `offset`, then ask again. Connections with unsent bytes behind it close first
    REPL_RESTART,  // drop the whole log and begin at `offset` (the leader's log start)
    REPL_FIND,     // the leader is another one or not ready: ask again later (backoff) or when the image changes
    REPL_STOP,     // as a member of ISR or ELR told to cut below the own high watermark: report, fetch no more
};

struct repl_verdict {
    enum repl_action action;
    int64_t offset;         // TRUNCATE, RESTART
    int64_t high_watermark; // NOTHING, APPEND: what it may be raised to once the records are in, at most the log end;
                            // OFFSET_NONE: as it was
    int64_t log_start;      // NOTHING, APPEND: raise the own log start to here; OFFSET_NONE: as it was
};

// Judges an answer. Backoff: 2^failures times 20 ms, at most f->backoff_ms_max.
void repl_follower_answer(struct repl_follower *f, const struct repl_log *log, const struct repl_answer *a, uint64_t now_ns,
                          struct repl_verdict *out);
// The connection to the leader broke or its answer did not come.
void repl_follower_failed(struct repl_follower *f, uint64_t now_ns);
