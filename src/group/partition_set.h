// SPDX-License-Identifier: Apache-2.0
//
// Sets of partitions: topics in rising order of their ids, partitions of each in rising order, none empty, none twice.
// A topic has the layout of every {topic_id, partitions} struct of the wire and of stored records, so that a decoded
// array is a set once it has been put in order, and a set is ready to be encoded. What a function makes lies in the
// arena it is given, and may point into its arguments; false: memory. Pure.
#pragma once

#include "base/arena.h"
#include "model/ids.h"

struct partition_topic {
    struct uuid topic_id;
    int32_t *partitions;
    uint32_t count;
};

struct partition_set {
    struct partition_topic *topics;
    uint32_t count;
};

// A decoded array of a generated struct as it came: perhaps neither in order nor without repetitions.
#define PARTITION_SET_OF(array, n) ((struct partition_set){(struct partition_topic *)(void *)(array), (n)})

// Puts what came from the wire or the log in order, in place.
void partition_set_order(struct partition_set *s);
// The same for what must not be changed.
bool partition_set_copy(const struct partition_set *in, struct arena *a, struct partition_set *out);

bool partition_set_equal(const struct partition_set *a, const struct partition_set *b);
bool partition_set_subset(const struct partition_set *part, const struct partition_set *whole);
bool partition_set_meets(const struct partition_set *a, const struct partition_set *b); // have something in common
uint32_t partition_set_size(const struct partition_set *s);

// x = what both have, y = what only a has. Results are no arguments.
bool partition_set_split(const struct partition_set *a, const struct partition_set *b, struct arena *arena,
                         struct partition_set *x, struct partition_set *y);
bool partition_set_join(const struct partition_set *a, const struct partition_set *b, struct arena *arena,
                        struct partition_set *out);
