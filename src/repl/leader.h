// SPDX-License-Identifier: Apache-2.0
//
// The leader's side of one partition's replication: who is in the ISR, how far everybody is, and the high watermark.
// Pure: no clock, no log, no wire. Time and facts arrive in the calls; what must happen is asked for
// (repl_leader_change(), repl_leader_deadline_ns()).
//
// High watermark = the lowest log end over the maximal ISR: the committed ISR (the image's) plus every replica whose
// addition was sent to the controller and not definitely refused; a removal counts only when it is committed. It stands
// still while the committed ISR is smaller than min(min.insync.replicas, replicas), and never falls under one leader.
//
// A change of the ISR is one request {partition epoch it is based on, new ISR with broker epochs}. Its outcome may stay
// unknown: then it is pending, and is sent again with the same partition epoch, until the image shows a newer one or
// the controller answers that it was not and cannot be applied.
//
//     IDLE --- change wanted, sent ---> SENT --- refused for good ---> IDLE (additions count no more)
//                                        |  ^--- unknown: sent again
//                                        +--- applied, or the image has a newer partition epoch ---> IDLE
//
// Sources: KIP-101, 497, 841, 966; DESIGN section 6.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rc.h"
#include "model/ids.h"

enum { REPL_REPLICAS_MAX = 255 }; // as the image counts them

// What the image says of one replica of a partition, and of the broker that holds it.
struct repl_member {
    int32_t node;
    bool in_isr, in_elr;
    bool ready;           // registered, unfenced, not in controlled shutdown
    int64_t broker_epoch; // of its registration; -1: none
};

// What the image says of a partition this node leads. Borrowed for the call.
struct repl_view {
    int32_t leader_epoch;
    int32_t partition_epoch;
    int32_t min_insync_replicas; // of the topic, from the image only
    uint32_t factor;             // of the replicas how many count for that: fewer while they move (image_factor())
    uint32_t member_count;       // replicas, this node among them
    const struct repl_member *members;
};

struct repl_replica {
    int32_t node;
    bool in_isr;   // committed
    bool in_elr;   // it may lead next without having fetched from us
    bool ready;    // as in the view
    bool known;    // it has fetched in this leader epoch, and its log agreed with ours up to `end`
    bool silent;   // it was left out while it lacked something, and has not fetched since: what it said before is old
    bool adding;   // the pending change adds it
    bool removing; // the pending change leaves it out
    int64_t broker_epoch, fetched_broker_epoch;
    int64_t adding_broker_epoch; // under which it held what made it join; a later life of it may not
    int64_t end;       // its log end (durable end where syncs are forced), valid when known
    int64_t log_start; // its log start, OFFSET_NONE: not told
    int64_t our_end_then;   // our log end when it last fetched
    uint64_t fetched_ns;    // when that was
    uint64_t caught_up_ns;  // the last moment at which its end equalled ours
};

enum repl_change_state { REPL_CHANGE_IDLE, REPL_CHANGE_SENT };

struct repl_leader {
    int32_t self;
    int32_t leader_epoch, partition_epoch;
    int32_t min_insync_replicas;
    uint32_t factor;
    int64_t epoch_start;    // where this leader epoch began in the log
    int64_t end;            // our own offered end
    int64_t high_watermark;
    int64_t deleted;        // what lies below has been deleted for good: who joins must know
    uint64_t lag_ns;        // replica.lag.time.max.ms
    enum repl_change_state change;
    uint32_t replica_count; // the others
    struct repl_replica *replicas; // owned
};

// The change to ask the controller for.
struct repl_change {
    int32_t leader_epoch, partition_epoch;
    uint32_t count;
    struct {
        int32_t node;
        int64_t broker_epoch;
    } isr[REPL_REPLICAS_MAX];
    int32_t added, removed; // how many, for the log line
};

enum repl_outcome {
    REPL_APPLIED, // the image will show it
    // It was not applied and cannot be: judged against exactly this partition epoch and found wrong (INELIGIBLE_REPLICA,
    // OPERATION_NOT_ATTEMPTED). Another partition epoch at the controller (INVALID_UPDATE_VERSION) is no refusal: an
    // earlier sending of the same change may be what raised it. Then only the image tells.
    REPL_REFUSED,
    REPL_UNKNOWN, // no answer, not the controller any more, another partition epoch
};

// Begins a leader epoch: nothing is known of the others, lag clocks start now. end: what the own log offers (its durable
// end where syncs are forced); epoch_start: where it ends, at or past that: records between the two may have been
// committed before this process began, so who joins must have them. high_watermark as this replica knew it. RC_NOMEM.
enum rc repl_leader_begin(struct repl_leader *l, int32_t self, const struct repl_view *view, int64_t end,
                          int64_t epoch_start, int64_t high_watermark, uint64_t lag_ns, uint64_t now_ns);
void repl_leader_deinit(struct repl_leader *l);
// The image changed: ISR, replicas, readiness, min.insync.replicas. Same leader epoch, else begin anew. RC_NOMEM: nothing
// changed. True in *moved: the high watermark moved.
enum rc repl_leader_view(struct repl_leader *l, const struct repl_view *view, uint64_t now_ns, bool *moved);
// Our own offered end moved (it falls only when a failed write is cut away, never below the high watermark). True: the
// high watermark moved.
bool repl_leader_appended(struct repl_leader *l, int64_t end, uint64_t now_ns);

// Whether all that node holds is known to agree with our log, whatever it sends: it has fetched in this leader epoch, or
// stands in the ISR or the ELR, and then what lies below our log start was committed with it. Else, where our log begins at
// the follower's end and nothing as old as its last record is left here, its epoch proves nothing (Kafka takes that for
// agreement), and one that is empty has none.
bool repl_leader_vouches(const struct repl_leader *l, int32_t node, int64_t broker_epoch);
// A follower fetches from `offset`, having sent the epoch of its last record, which the caller has checked against the
// own log: only then may this be called. False in *known: it is no replica, or its broker epoch is stale.
struct repl_fetch {
    int32_t node;
    int64_t broker_epoch; // of its connection's Hello
    int64_t offset;       // durable end where syncs are forced
    int64_t log_start;
};
// What the image says of one replica's broker, when it fetches: fresher than the view, which comes with changes of the
// partition only.
void repl_leader_node(struct repl_leader *l, int32_t node, bool ready, int64_t broker_epoch);
// True: the high watermark moved.
bool repl_leader_fetched(struct repl_leader *l, const struct repl_fetch *f, uint64_t now_ns, bool *known);

// The change to send now, if any: additions at once, removals when somebody lagged for lag_ns. After it the change
// counts as sent. A replica that holds everything does not lag, however long ago it said so: at rest a fetch session
// leaves the partition out. Its clock starts with the next append. turn_slow: a turn of the own loop took longer than
// half of lag_ns lately: lag clocks restart instead.
bool repl_leader_change(struct repl_leader *l, uint64_t now_ns, bool turn_slow, struct repl_change *out);
// The change as it was sent, to be sent again (unknown outcome). False: none is pending.
bool repl_leader_pending(const struct repl_leader *l, struct repl_change *out);
// True: the high watermark moved.
bool repl_leader_answered(struct repl_leader *l, int32_t partition_epoch, enum repl_outcome outcome, uint64_t now_ns);
// When somebody who is behind may have lagged for too long (monotonic), UINT64_MAX: nobody is.
uint64_t repl_leader_deadline_ns(const struct repl_leader *l);

// May acks=all be taken? False: NOT_ENOUGH_REPLICAS.
bool repl_leader_enough(const struct repl_leader *l);
// The lowest log start of the replicas that are in the ISR, in the ELR or ready; what DeleteRecords waits for. Kafka asks
// only those that live: there a member of the ELR may lead next, and bring the records back. OFFSET_NONE: one has not told
// its own.
int64_t repl_leader_low_watermark(const struct repl_leader *l, int64_t own_log_start);
// A log start that an answer to DeleteRecords went by, perhaps under an earlier leader. Nobody joins with a lower one.
void repl_leader_deleted(struct repl_leader *l, int64_t log_start);
uint32_t repl_leader_isr_count(const struct repl_leader *l); // committed, with ourselves
