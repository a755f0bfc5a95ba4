// SPDX-License-Identifier: Apache-2.0
//
// How the leader of a classic group splits partitions among its members: Kafka's range, roundrobin and
// cooperative-sticky, with the splits its documentation gives, so that weir and other clients may share a group. Pure:
// the same input gives the same split on every member.
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/bytes.h"

struct client_assignor_topic {
    struct bytes name;
    int32_t partition_count;
};

struct client_assignor_partition {
    uint32_t topic; // place among the topics
    int32_t index;
};

struct client_assignor_member {
    struct bytes id, instance_id; // instance_id.p NULL: a dynamic member
    const uint32_t *topics;       // places of those it subscribes to
    uint32_t topic_count;
    const struct client_assignor_partition *owned; // what it says it has; read by cooperative-sticky alone
    uint32_t owned_count;
    int32_t generation; // in which it got that; -1: unknown
    // set: by topic, then index
    struct client_assignor_partition *assigned;
    uint32_t assigned_count;
};

struct client_assignment {
    const struct client_assignor_topic *topics; // by name, none twice
    uint32_t topic_count;
    struct client_assignor_member *members; // in any order; sorted as Kafka sorts them on return
    uint32_t member_count;
    struct arena *arena; // holds what is assigned, and scratch
};

struct client_assignor {
    const char *name; // as groups know it: "range"
    bool cooperative; // members keep what does not move (KIP-429)
    enum rc (*assign)(struct client_assignment *a);
};

// A range of each topic to each member, the first ones one longer. RC_NOMEM.
enum rc client_assign_range(struct client_assignment *a);
// All partitions in order, one to each member in turn that subscribes to its topic. RC_NOMEM.
enum rc client_assign_roundrobin(struct client_assignment *a);
// As even as subscriptions allow, and of all such splits one in which few partitions move. A partition that moves is
// assigned to nobody until its owner has given it up: the next round hands it out. RC_NOMEM.
enum rc client_assign_sticky(struct client_assignment *a);

// By Kafka's short name or the name of its Java class. NULL: there is none.
const struct client_assignor *client_assignor_find(const char *name);

// Sorts members as Kafka does: those with an instance id first, by it, then the others by member id.
void client_assignor_sort(struct client_assignment *a);
