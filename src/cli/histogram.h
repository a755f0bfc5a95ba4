// SPDX-License-Identifier: Apache-2.0
//
// Latencies by count: 128 steps an octave, so that a value read back is at most 0.8 % above what was put in, over the
// whole range to 36 minutes in nanoseconds; what is longer counts in the last step, the maximum is exact. 36 KiB, no
// allocation. Pure.
#pragma once

#include <stdint.h>

enum {
    HISTOGRAM_STEP_BITS = 7,
    HISTOGRAM_OCTAVES = 34,
    HISTOGRAM_STEPS = (HISTOGRAM_OCTAVES + 1) << HISTOGRAM_STEP_BITS
};

struct histogram {
    uint64_t count, max, sum;
    uint64_t steps[HISTOGRAM_STEPS];
};

void histogram_add(struct histogram *h, uint64_t v);
// The least value at or below which the given share lies (0 to 1), 0 when nothing was added.
uint64_t histogram_quantile(const struct histogram *h, double share);
