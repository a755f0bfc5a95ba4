// SPDX-License-Identifier: Apache-2.0
//
// Asks the nodes that an answer is about to send a client to for a sign of life. A client comes with its question when its
// connection to one of them broke, maybe before this node has seen that process die; one that then hears the dead one's
// name goes back to it, and takes its time to ask again (librdkafka: up to 1 s for the leader of a partition, where after
// "no leader" it asks again every 100 ms). It costs a round trip between nodes.
#pragma once

#include "engine/quorum.h"

struct request;

// Embedded in what waits; in memory of rq.
struct confirm {
    struct request *rq; // set these before confirm_alive()
    void (*done)(struct confirm *c); // on rq's shard; rq->session may be gone
    // private
    struct quorum_op op;
    struct quorum_confirm wanted;
};

// Calls done() once each of the nodes (in rq's memory, this one not among them) has answered or is known to be dead, or
// after 20 ms: one that hangs is named all the same. At once where there is none to ask, or no memory to do so.
void confirm_alive(struct confirm *c, const int32_t *nodes, uint32_t count);
