// SPDX-License-Identifier: Apache-2.0
//
// Which replica a consumer is sent to (KIP-392, replica.selector.class): one in its rack, so that its bytes do not leave
// it. On the partition's shard.
#pragma once

#include "engine/partition.h"

// Whether `name` (NULL: not set) asks for a choice by rack.
bool replica_selector_by_rack(const char *name);
// Another replica in sync in the client's rack that holds fetch_offset, the one that is furthest. NODE_ID_NONE: none, or
// this one, which leads, is in that rack itself, or nobody chooses by rack here.
int32_t replica_nearest(const struct partition *p, int64_t fetch_offset, const struct partition_client *client);
