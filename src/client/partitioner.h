// SPDX-License-Identifier: Apache-2.0
//
// Which partition a key goes to: as Kafka's Java client has it, so that weir's producers and others' agree. Pure.
#pragma once

#include "base/bytes.h"

// MurmurHash2, 32 bits, with Kafka's seed.
uint32_t partitioner_murmur2(struct bytes key);

// The partition of a key; count > 0.
static inline int32_t partitioner_of_key(struct bytes key, int32_t count)
{
    return (int32_t)((partitioner_murmur2(key) & 0x7fffffff) % (uint32_t)count);
}
