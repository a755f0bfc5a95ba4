// SPDX-License-Identifier: Apache-2.0
//
// Server-side assignors of the new protocol (KIP-848): who should have which partition. Pure functions over dense
// numbers, so that a thousand members and ten thousand partitions cost milliseconds and some tens of bytes each: topics
// and members are indexes, an assignment is one owner for each partition.
#pragma once

#include <stdint.h>

#include "base/bytes.h"
#include "base/rc.h"

enum { ASSIGN_RACKS_MAX = 64 };
#define ASSIGN_NONE UINT32_MAX

// Partitions of all topics stand in one row: those of this topic from `first` on.
struct assign_topic {
    uint32_t first, partition_count;
};

struct assign_member {
    struct bytes id, instance_id; // instance_id.p NULL: a dynamic member
    const uint32_t *topics;       // subscribed: indexes of topics in rising order; members may share an array
    uint32_t topic_count;
    int rack; // index below ASSIGN_RACKS_MAX, -1: not known
};

struct assign_input {
    const struct assign_topic *topics;
    const struct assign_member *members;
    uint32_t topic_count, member_count;
    uint32_t partition_count;        // of all topics together
    const uint64_t *partition_racks; // bit r: a replica is in rack r; NULL: not known
};

// Both read and replace owners[partition_count]: the member that a partition belongs to, or ASSIGN_NONE (no subscriber,
// or new). Every partition of a subscribed topic gets exactly one of its topic's subscribers. RC_NOMEM: owners may be
// changed, throw them away.

// Balanced and sticky. One subscription for all: loads differ by at most one, and no partition moves that need not;
// where a free partition may go to several members, one of a replica's rack gets it (KIP-881). Different
// subscriptions: no partition could go to another subscriber with a load smaller by two or more.
enum rc assign_uniform(const struct assign_input *in, uint32_t *owners);
// Ranges, made anew each time (Kafka 4): topics with as many partitions give the same numbers to the same member when
// all have one subscription. Static members come first, by instance id, so that they get the same ranges again.
enum rc assign_range(const struct assign_input *in, uint32_t *owners);

// Inside: the part of assign_uniform() for different subscriptions.
enum rc assign_uneven(const struct assign_input *in, uint32_t *owners);
