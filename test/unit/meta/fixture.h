// SPDX-License-Identifier: Apache-2.0
//
// What the tests of meta/ share: a controller that decides and commits at once.
#pragma once

#include "meta/controller.h"
#include "wire/messages.h"

struct fixture {
    const struct image *image;
    struct prng prng;
    uint64_t index;
    struct buf log; // every entry so far: u64 index, u32 length, bytes
    struct arena arena;
    uint64_t uuids;
    struct config_layer properties;
};

void fixture_open(struct fixture *f);
void fixture_close(struct fixture *f);
// Registers and unfences a node. Returns its broker epoch.
int64_t fixture_node(struct fixture *f, int32_t id, const char *rack);
void fixture_uuid(void *context, struct uuid *out); // controller_env.new_uuid; context: the fixture
// Decides one request in a batch of its own and commits it.
enum rc fixture_decide(struct fixture *f, enum controller_kind kind, const void *request, void *answer);
// One topic; returns its part of the answer (in the fixture's arena).
const struct create_topics_response_topic *fixture_create(struct fixture *f, const char *name, int32_t partitions,
                                                          int16_t factor);
// The image that replaying the log from nothing gives; the caller releases it.
const struct image *fixture_replay(const struct fixture *f);
// And the one a snapshot gives, written in pieces of about piece_bytes.
const struct image *fixture_through_snapshot(const struct image *i, size_t piece_bytes);
