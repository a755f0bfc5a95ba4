// SPDX-License-Identifier: Apache-2.0
//
// Moving replicas between the log folders of their brokers (KIP-113), for weir admin log-dirs move and
// kafka-reassign-partitions. cli->client is connected.
#pragma once

#include "cli/cli.h"

struct log_move {
    const char *topic; // in the arena
    int32_t partition, broker;
    const char *dir;
    int16_t code; // out, of log_moves_ask()
};

enum log_move_state { LOG_MOVE_UNKNOWN, LOG_MOVE_DONE, LOG_MOVE_UNDER_WAY, LOG_MOVE_ELSEWHERE, LOG_MOVE_TO_ANOTHER };

// Asks each broker for its moves. False after a message; what a broker says of a move is in its code.
bool log_moves_ask(struct cli *cli, struct log_move *moves, uint32_t count);
// What a broker says of one: it is there, on its way (with *lag records to go), or elsewhere (*dir: where it is, or where to
// another move takes it). UNKNOWN: the broker has no such replica, or a failed folder may have it. False after a message.
bool log_move_look(struct cli *cli, const struct log_move *m, enum log_move_state *state, int64_t *lag, const char **dir);
// The folder it is in now; NULL after a message.
const char *log_move_home(struct cli *cli, const struct log_move *m);
