// SPDX-License-Identifier: Apache-2.0
//
// The cluster as one client sees it: the metadata image with the addresses of the listener the client came in on. What
// Metadata, DescribeCluster and DescribeTopicPartitions have in common. Pure: reads the image, answers questions.
#pragma once

#include "base/arena.h"
#include "meta/image.h"

struct request;

enum { CLUSTER_VIEW_LOST_MAX = 4 };

struct cluster_view {
    const struct image *image;
    struct bytes listener;   // name
    struct bytes cluster_id; // Kafka's 22 characters
    int32_t controller;      // the Raft leader, or the answering node while nobody knows; never NODE_ID_NONE
    int32_t lost[CLUSTER_VIEW_LOST_MAX]; // nodes known here to be dead, though not fenced yet (quorum_lost_nodes())
    uint32_t lost_count;
    int32_t named[CLUSTER_VIEW_LOST_MAX]; // fenced a moment ago, and this client has not heard since who leads
    uint32_t named_count;
};

// The view of rq's client now. Valid until the shard's next turn. rq's session must still be there.
struct cluster_view cluster_view_of(const struct request *rq);

// Where clients of this listener reach node; NULL when it is unknown, fenced or does not have the listener.
const struct image_listener *cluster_view_address(const struct cluster_view *v, int32_t node);

// The same for the list of brokers. There a node that died is still named in the first answer that says to this client who
// leads in its stead, as Kafka names it until its session has ended. Else librdkafka, which tears a broker down as soon as
// it is missing from the list, takes the partitions along that the same answer moves elsewhere, and finds them again only
// when it next looks at all of them, up to 1 s later.
const struct image_listener *cluster_view_named(const struct cluster_view *v, int32_t node);

// The same of p's leader; NULL too while that is known here to be dead. A client that is sent to a dead leader comes back
// after a pause; one that hears of none asks again at once, until the new one is known.
const struct image_listener *cluster_view_leader(const struct cluster_view *v, const struct image_partition *p);

// The nodes of p that cannot serve this client now, in replica order. Points into the arena; *count 0 needs none.
// False: memory is short.
bool cluster_view_offline(const struct cluster_view *v, const struct image_partition *p, struct arena *a, int32_t **out,
                          uint32_t *count);

// Kafka's answer to "what may I do" without an authorizer: everything the resource knows, as a bit field of operations.
enum { CLUSTER_OPERATIONS_OF_TOPIC = 0xdf8, CLUSTER_OPERATIONS_OF_CLUSTER = 0x1fa0 };
