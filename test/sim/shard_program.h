// SPDX-License-Identifier: Apache-2.0
//
// Turns for programs made of shards: lane k is shard k of the group that the program's memory begins with.
#pragma once

#include "process.h"
#include "shard/shard.h"

bool sim_shard_turn(struct sim_process *p, uint32_t lane, uint64_t *next_ns);
