// SPDX-License-Identifier: Apache-2.0
//
// What joins a partition with more than one replica to the others: as the leader it counts fetches, moves the high
// watermark, asks the controller for ISR changes and lets appends with acks=all wait; as a follower it says what to
// fetch next and does what the leader's answer means. What is decided is decided in repl/; this is plumbing, on the
// partition's shard.
#pragma once

#include "engine/partition_query.h"
#include "repl/follower.h"
#include "repl/leader.h"
#include "wire/messages.h"

struct replica_change; // a change of the ISR on its way to the controller
struct fetcher;

struct replica {
    struct partition *p;
    bool leads, begun; // begun: the log was ready and the role has been taken up
    // LEADS
    struct repl_leader leader;
    struct shard_timer lag_timer;
    struct replica_change *change; // NULL: none in flight
    struct list_node short_link;   // engine_shard.short_isrs: somebody may join
    // FOLLOWS
    struct repl_follower follower;
    bool in_sync; // the image's ISR has it
    struct fetcher *fetcher;      // of the leader's node, NULL: none
    struct list_node fetcher_link; // fetcher->replicas
    struct list_node ask_link;     // fetcher->asking: what it wants differs from what the session has
    bool in_session;               // the leader's session knows it
    struct repl_ask asked;         // as the session has it
    uint32_t asked_serial;         // the fetcher's request that asked it
    struct fetcher *answering;     // whose answer is being appended, NULL: none
    struct shard_timer retry_timer;
    uint32_t pending;        // appends of the answer at hand
    int64_t told_watermark;  // to be taken over once they are in
    int64_t told_log_start;
    bool failed;             // one of them was refused
    bool raising;            // the log start is on its way to the disk
    int64_t start_before;    // the log start told until a newer one is on the disk; OFFSET_NONE: it is
    struct plog_start_op start_op;
};

// The image says who leads p, and who replicates it: takes up the role, or changes it. With one replica p->replica goes.
// RC_NOMEM: as it was.
enum rc replica_follow(struct partition *p, const struct image *image, const struct image_partition *ip);
// Whether the image gives p other replicas.
bool replica_expected(const struct partition *p);
// p's log has become ready (attached, opened, recovered): a role that waited for it is taken up.
void replica_log_ready(struct partition *p);
// p goes: no role any more. Its log may still be in use.
void replica_end(struct partition *p);

// ------------------------------------------------------------------------------------------------ leading

// Nodes changed: one that was fenced may join the ISRs now whose partitions it follows. What it holds it has said
// already: at rest nothing is fetched again.
void replicas_follow_nodes(struct engine_shard *es, const struct image *image);

// A replica reads from r->fetch_offset, and its history agrees with ours up to there. RC_STALE_BROKER_EPOCH: it is not
// who it says it is; RC_NOT_LEADER_OR_FOLLOWER: no replica of this partition; RC_OFFSET_OUT_OF_RANGE: it ends at our log
// start, and its history may be another one.
enum rc replica_fetched(struct partition *p, const struct partition_read *r);
// Whether the committed ISR has it. On the leader.
bool replica_in_sync(const struct partition *p, int32_t node);
// The log's end moved: watermark, waits.
void replica_appended(struct partition *p);
// op is written and asks for acks=all. RC_AGAIN: it waits for the watermark and is finished then, or when its time is
// up. Else how to finish it now.
enum rc replica_wait(struct partition *p, struct partition_append *op);
// s->offset is the log start here, durably. RC_AGAIN: not yet of every replica that is in the ISR or alive, or not of the
// folder that the log is about to be in; s->followed() comes when it is (RC_OK), when s->timeout_ms are over
// (RC_REQUEST_TIMED_OUT: it stays raised all the same), or when this node does not lead any more, stops, or gives the
// partition up (RC_NOT_LEADER_OR_FOLLOWER). Else how to finish it now.
enum rc replica_wait_start(struct partition *p, struct partition_start *s);
// Something changed of the replicas, or a move is over: who waits so looks again.
void replica_starts_look(struct partition *p);
// The lowest log start of those replicas, as far as they have said; OFFSET_NONE: one has not, or this node does not lead.
int64_t replica_low_watermark(const struct partition *p);
// RC_NOT_ENOUGH_REPLICAS: acks=all cannot be taken now.
enum rc replica_append_allowed(const struct partition *p);

// ------------------------------------------------------------------------------------------------ following

// What to ask for next; false: nothing now.
bool replica_ask(struct replica *r, uint64_t now_ns, struct repl_ask *out);
// The leader's answer for this partition. Appends what it carries, from bytes that stay until the fetcher's answer is
// over (fetcher_part_done() is called for each answer given here, at once or later).
void replica_answered(struct replica *r, const struct repl_ask *asked, const struct fetch_response_partition *in);
