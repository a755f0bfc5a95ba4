// SPDX-License-Identifier: Apache-2.0
//
// Until when a node may take itself for the leader of what its metadata says it leads. Two things end that: silence (the
// controller that does not hear a node elects others) and ignorance (the controller does hear it, but the node has not
// applied that others were elected: its metadata disk stands still, say). So a heartbeat that was answered is an offer, no
// lease: it counts from when it was sent, and only once this node has applied all that was committed when it was answered.
// Whoever serves at a time has applied everything that was committed a lease's length before it, at the latest.
//
// A disk that is merely slow costs nothing: of two heartbeats sent within a lease one may wait for it all the time.
// Pure but for the atomic read; lives on the quorum's shard.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct lease {
    uint64_t until_ns; // atomic
    // Made and not taken up yet: the oldest, for it is the first that can be, and the newest of the others.
    struct lease_offer {
        uint64_t index, until_ns;
    } oldest, newest; // until_ns 0: none
};

// A lease until then, for whoever has applied `index`. Offers come in the order in which what they rest on was sent.
void lease_offer(struct lease *l, uint64_t index, uint64_t until_ns);
// Every shard has seen the image of `seen_index`: takes up the offers that needed no more. A lease never becomes shorter.
void lease_settle(struct lease *l, uint64_t seen_index);
// Any shard.
static inline uint64_t lease_until_ns(const struct lease *l)
{
    return __atomic_load_n(&l->until_ns, __ATOMIC_RELAXED);
}
