// SPDX-License-Identifier: Apache-2.0
//
// What shard.c and mailbox.c share.
#pragma once

#include <stdatomic.h>

#include "shard/shard.h"

// Operations between two shards, one ring for each direction of travel. Each has one writing and one reading thread.
struct shard_ring {
    _Alignas(64) _Atomic uint32_t tail; // written by the producer
    _Alignas(64) _Atomic uint32_t head; // written by the consumer
    _Atomic uint32_t wait;              // the producer wants to hear that there is room
    struct shard_message **slots;
};

// What one shard has to do with one other. `requests` and `answers` are the rings this shard writes to; those it reads
// are the other shard's.
struct shard_mailbox {
    struct shard_ring requests, answers;
    uint32_t awaited;    // requests sent that owe an answer: their places in the other's answer ring are taken
    struct list waiters; // tasks to run when there is room
};

enum rc shard_mailboxes_init(struct shard *s);
void shard_mailboxes_deinit(struct shard *s);
// Runs what has arrived. True when anything had.
bool shard_mailboxes_run(struct shard *s);
// Whether anything has arrived.
bool shard_mailboxes_ready(const struct shard *s);
