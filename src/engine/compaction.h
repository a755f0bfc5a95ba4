// SPDX-License-Identifier: Apache-2.0
//
// The broker's log.cleaner.* settings, as each shard's compactor gets them.
#pragma once

#include "engine/engine.h"

// Hands the shard its share of what the image says now: memory and rate are for the node.
void engine_configure_compaction(struct engine_shard *es);
