// SPDX-License-Identifier: Apache-2.0
//
// The group coordinators of a node: for each partition of __consumer_offsets that it leads, one core (group/groups.h)
// on that partition's shard, for one leader epoch. It is loaded from the log (a snapshot beside it saves most of the
// reading), appends what the core decides, and ends when the epoch does; the next epoch gets a fresh one.
//
//     LOADING --(everything the log held when the epoch began is committed and applied)--> ACTIVE
//        |                                                                                    |
//        +--(epoch over, topic deleted, folder offline, stop)--> GONE <-----------------------+
//
// Calls travel to the owner's shard; the request and its answer stay with the sender.
#pragma once

#include "engine/engine.h"
#include "group/groups.h"

struct coordinator;
struct coordinators; // of one shard
struct partition;

// "__consumer_offsets"
extern const struct bytes COORDINATOR_TOPIC;

// ------------------------------------------------------------------------------------------------ calls

struct coordinator_call;
typedef void (*coordinator_call_fn)(struct coordinator_call *c);

// One request about one group (GROUP_LIST: all groups of one partition). Zeroed before use; busy until done().
struct coordinator_call {
    struct topic_partition id; // in: partition of COORDINATOR_TOPIC (coordinator_partition())
    struct group_call group;   // in: see groups.h; out: the response. The sender frees it with group_call_deinit()
    coordinator_call_fn done;  // in: on the sender's shard
    void *owner;               // the sender's
    // RC_OK: answered by the core. Else it did not reach one, and the response says so too: RC_NOT_COORDINATOR,
    // RC_COORDINATOR_LOAD_IN_PROGRESS. GROUP_LIST has no such answer (response NULL).
    enum rc rc;
    // private
    struct engine_call call, abandon;
    struct coordinator *coordinator; // on the target, while the core has it
    uint8_t pending;                 // of call and abandon
    bool abandoned;
};

// The partition whose leader coordinates this group. False: the topic does not exist (yet).
bool coordinator_partition(const struct image *image, struct bytes group_id, struct topic_partition *out);
// From the sender's shard. done() may run before this returns.
void coordinator_call_start(struct coordinator_call *c, struct engine_shard *origin);
// Nobody waits for it any more, or it must not wait any longer: it is given back soon, with RC_NOT_COORDINATOR where it
// had no answer yet (done() still follows, never from inside). On the sender's shard; nothing when it was asked before.
void coordinator_call_abandon(struct coordinator_call *c);

// Whether the new group protocol (KIP-848) is offered: group.coordinator.rebalance.protocols.
bool coordinator_consumer_protocol(const struct engine_shard *es);

// ------------------------------------------------------------------------------------------------ life (the engine's)

enum rc coordinators_init(struct engine_shard *es); // RC_NOMEM
// At a stop without coordinators_settle(), too: waits for what is in flight.
void coordinators_deinit(struct engine_shard *es);
// The image changed; old is NULL or what it was before.
void coordinators_image_changed(struct engine_shard *es, const struct image *old, const struct image *image);
// Partitions were attached before the shard owned them: begins what belongs to them.
void coordinators_begin(struct engine_shard *es);
// After p was given a leader or an epoch: ends the coordinator of another epoch, begins that of this one.
void coordinator_follow(struct partition *p);
// p is going (its topic was deleted).
void coordinator_forget(struct partition *p);
// A clean stop: takes no more calls, writes snapshots, ends. True once every coordinator is gone.
void coordinators_settle(struct engine_shard *es);
bool coordinators_settled(const struct engine_shard *es);
// It reads or writes files in p's folder, which must keep its place meanwhile.
bool coordinator_has_files(const struct partition *p);

// ------------------------------------------------------------------------------------------------ snapshots

// p's log was attached: tells it where the snapshot beside it ends. From there on compaction keeps tombstones, because a
// load brings the snapshot up to date with what follows it in the log. Reads a few bytes inline.
void coordinator_attached(struct partition *p);
// The log was cut at offset: a snapshot that reaches beyond it is removed.
void coordinator_snapshot_truncate(struct partition *p, int64_t offset);

// ------------------------------------------------------------------------------------------------ figures

struct coordinator_counters {
    uint64_t calls, refused, appends, appends_failed, appends_late;
    uint64_t loads, loaded_records, snapshots_written, snapshots_used, snapshots_ignored;
};

const struct coordinator_counters *coordinator_counters(const struct engine_shard *es);
