// SPDX-License-Identifier: Apache-2.0
//
// Turns for programs made of shards: lane k is shard k of p->shards, which boot() sets.
#pragma once

#include "process.h"
#include "shard/shard.h"

bool sim_shard_turn(struct sim_process *p, uint32_t lane, uint64_t *next_ns);
