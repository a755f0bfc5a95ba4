// SPDX-License-Identifier: Apache-2.0
//
// What clients know of a group: which offset was committed when, by whom it was acknowledged, and who holds which
// partition. Kept from the clients' side alone.
//
// Offsets. Every commit of a run carries a number of its own. A later fetch must not show a commit that was over before
// an acknowledged one was sent: what is acknowledged is undone only by something newer. A commit is over once the
// coordinator has answered it, whatever it said: one that timed out has its place in the log by then. One whose answer
// was lost is over with the life of the broker that it was sent to. What was fetched once counts as acknowledged.
//
// Partitions. A member holds what it was given from the answer on until it sends a heartbeat that no longer lists it or
// joins again (classic), leaves, is told that it is fenced, or the time is over that the coordinator grants it, counted from
// its last heartbeat that was answered. No two members may hold one partition at one time. A hold is not relied on when a
// request of its member's own may have been heard since the one that it rests on was sent, which disclaims the partition
// and nobody answered: the coordinator then takes the partition for given back, and the member hears that it is fenced
// with its next heartbeat. One that is sent and answered after that is relied on again.
#pragma once

#include "sim.h"

enum { MODEL_GROUP_TOPICS = 4, MODEL_GROUP_PARTITIONS = 4, MODEL_GROUP_MEMBERS = 6, MODEL_GROUP_NODES = 8 };

// The time, and what it is a part of.
struct model_now {
    uint64_t ns;
    uint16_t lives[MODEL_GROUP_NODES]; // of the brokers: the count of each one's starts
    uint32_t era;                      // ends when what was committed may have been lost
};

struct model_commit {
    int64_t offset;
    uint64_t sent_ns, done_ns; // done_ns 0: nothing is known of it yet
    uint8_t to;         // the broker it was sent to
    uint16_t done_life; // of that broker
    uint16_t sent_lives[MODEL_GROUP_NODES];
    uint32_t acked_era;
    bool acked;    // or seen
    bool answered; // by the coordinator, with whatever
    bool foreign;  // of a member that had lost the partition: it must never take effect
};

struct model_offset {
    struct model_commit *v; // in the order of sending
    size_t count, cap;
};

struct model_hold {
    bool held;
    uint64_t asked_ns, lease_until_ns; // asked: when what it rests on was sent
    uint64_t late_ns;                  // until when a late request that disclaims it may have been heard; 0: none
};

struct model_group {
    char name[24];
    bool lossless;
    struct model_offset offsets[MODEL_GROUP_TOPICS][MODEL_GROUP_PARTITIONS];
    // The group's deletions: the last that was acknowledged, one on its way, and the last life of each broker in which one
    // may have happened whose answer was lost.
    uint64_t wipe_sent_ns, wipe_done_ns;
    uint64_t wipe_out_ns;
    bool wipe_out;
    uint16_t wipe_unsure[MODEL_GROUP_NODES];
    struct model_hold holds[MODEL_GROUP_MEMBERS][MODEL_GROUP_TOPICS][MODEL_GROUP_PARTITIONS];
    // Classic protocol: the newest generation that a member was given an assignment in, and the leader's round of it.
    int32_t stable_generation; // -1: none, or not to be relied on
    uint32_t stable_round;
    uint32_t stable_era;
};

void model_group_deinit(struct model_group *g);

// A commit leaves for a broker; its number is unique in the run. foreign: its member is known to have lost the partition.
void model_group_commit_sent(struct model_group *g, uint32_t topic, uint32_t partition, int64_t offset,
                             struct model_now now, uint32_t to, bool foreign);
// Its answer: acknowledged (era: in which it was sent), surely refused (it never takes effect), or one that leaves it
// open. Lost: no answer.
void model_group_commit_acked(struct model_group *g, struct sim *sim, uint32_t topic, uint32_t partition, int64_t offset,
                              struct model_now now, uint32_t era);
void model_group_commit_refused(struct model_group *g, struct sim *sim, uint32_t topic, uint32_t partition,
                                int64_t offset);
void model_group_commit_open(struct model_group *g, uint32_t topic, uint32_t partition, int64_t offset,
                             struct model_now now, bool answered);
// An offset fetched, -1: none; asked for at `asked`.
void model_group_fetched(struct model_group *g, struct sim *sim, uint32_t topic, uint32_t partition, int64_t offset,
                         struct model_now asked, struct model_now now);

enum model_wipe { MODEL_WIPE_DONE, MODEL_WIPE_REFUSED, MODEL_WIPE_UNSURE };
// The whole group was asked to be deleted, and what came of it, by which broker.
void model_group_wipe_sent(struct model_group *g, struct model_now now);
void model_group_wiped(struct model_group *g, enum model_wipe how, struct model_now now, uint32_t by);

// Was the group perhaps deleted, or lost with a power cut, after this?
bool model_group_may_be_gone(const struct model_group *g, struct model_now since);

// Member now holds exactly the partitions of mask (bit topic * MODEL_GROUP_PARTITIONS + partition);
// what it did not hold before or what is in `renewed` by the answer to what it sent at asked_ns, and for lease_ns from
// then; the rest as before. Fails the run when another one holds one of them.
void model_group_hold(struct model_group *g, struct sim *sim, uint32_t member, uint32_t mask, uint32_t renewed,
                      uint64_t asked_ns, uint64_t lease_ns);
// A request of member's that disclaims all partitions but `kept`, and that nobody answered, may have been heard by now.
void model_group_late(struct model_group *g, uint32_t member, uint32_t kept, uint64_t now_ns);
// Does another member than this one hold it now?
bool model_group_held_by_other(const struct model_group *g, uint32_t member, uint32_t topic, uint32_t partition,
                               uint64_t now_ns);

// A member of a classic group was given its assignment of `round` in this generation, which it asked for at `asked`.
void model_group_stable(struct model_group *g, struct sim *sim, int32_t generation, uint32_t round,
                        struct model_now asked, struct model_now now);
