// SPDX-License-Identifier: Apache-2.0
//
// The log folders of a plan of kafka-reassign-partitions. Functions return false after a message.
#pragma once

#include "cli/log_moves.h"
#include "cli/reassign.h"

// The replicas of the plan whose folder it names.
struct log_move *tool_dirs_of(struct cli *cli, const struct reassign_plan *p, uint32_t *count);
// Begins the moves; those of replicas that are not on their broker yet once they are, for timeout_ms at most.
bool tool_dirs_start(struct cli *cli, struct log_move *moves, uint32_t count, int64_t timeout_ms);
// One line a move.
bool tool_dirs_verify(struct cli *cli, const struct log_move *moves, uint32_t count, bool *under_way);
// Moves under way go back.
bool tool_dirs_cancel(struct cli *cli, struct log_move *moves, uint32_t count, int64_t timeout_ms);
