// SPDX-License-Identifier: Apache-2.0
//
// Where replicas go: leaders and racks are spread as Kafka's striped placement does. Pure; randomness comes in.
#pragma once

#include <stdint.h>

#include "base/prng.h"
#include "base/rc.h"
#include "meta/image.h"

// Assigns `count` partitions with `factor` replicas each to the nodes of i: out[n * factor + k] is replica k of the
// n-th. Each rack gets a replica before any gets a second; successive partitions move on by one rack and one node, from
// a random start. Fenced nodes lead nothing and are used only after live ones. RC_INVALID_REPLICATION_FACTOR when there
// are fewer nodes than replicas or none is live; RC_NOMEM.
enum rc placement_assign(const struct image *i, struct prng *prng, uint32_t count, uint32_t factor, int32_t *out);
