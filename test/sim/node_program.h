// SPDX-License-Identifier: Apache-2.0
//
// What a whole node as a simulated process is made of, wherever it runs.
#pragma once

#include "process.h"
#include "server/node.h"

// One plain listener on the machine's address, advertised under its name, and limits that are the same in every world.
void node_program_listen(struct broker_config *b, const struct sim_node *machine, uint16_t port);
// n is p's program: its shards are p's lanes, and n->owner is p.
void node_program_adopt(struct sim_process *p, struct node *n, void (*changed)(struct node *n));
