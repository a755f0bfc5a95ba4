// SPDX-License-Identifier: Apache-2.0
//
// One simulated broker with one shard and one connection to it, from another machine: for what looks at a single request.
#pragma once

#include "process.h"
#include "server/node.h"

enum { LONE_BROKER_PORT = 9092 };

// Zeroed but for what the caller sets.
struct lone_broker {
    // the caller's
    const struct config_pair *properties; // beside node.id; borrowed
    size_t property_count;                // up to 3
    uint64_t memory_bytes;                // of its machine
    bool (*turn)(struct sim_process *p, uint32_t lane, uint64_t *next_ns); // sim_shard_turn(), or what calls it
    uint8_t *answer; // where what is received goes; the rest is counted only
    size_t answer_max;
    // to be read
    char line[1024]; // the last warning or error
    bool writable, gone;
    size_t received;
    // inside
    struct config_pair all[4]; // node.id and the caller's
    struct sim sim;
    struct trace_sink sink;
    struct sim_node *machine, *client_machine;
    struct sim_program program;
    struct sim_process process;
    struct io *io; // of the client's machine
    struct io_sock sock;
};

// Two simulated seconds after its start, the connection stands. False: b->line says why not.
bool lone_broker_start(struct lone_broker *b);
void lone_broker_end(struct lone_broker *b);
// Both machines, for so long.
void lone_broker_run_ms(struct lone_broker *b, uint64_t ms);
// Bytes of it that the connection took.
size_t lone_broker_send(struct lone_broker *b, const uint8_t *p, size_t n);
