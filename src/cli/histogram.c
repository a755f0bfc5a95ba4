// SPDX-License-Identifier: Apache-2.0
//
// Values below 128 have a step each; from there the top seven bits below the leading one choose the step.
#include "cli/histogram.h"

#include "base/assert.h"

static uint32_t step_of(uint64_t v)
{
    const uint64_t per_octave = 1u << HISTOGRAM_STEP_BITS;
    if (v < per_octave)
        return (uint32_t)v;
    unsigned top = 63u - (unsigned)__builtin_clzll(v);
    unsigned shift = top - HISTOGRAM_STEP_BITS;
    uint64_t step = ((uint64_t)(shift + 1) << HISTOGRAM_STEP_BITS) + ((v >> shift) - per_octave);
    return step < HISTOGRAM_STEPS ? (uint32_t)step : HISTOGRAM_STEPS - 1;
}

// The greatest value that falls in a step.
static uint64_t step_top(uint32_t step)
{
    const uint32_t per_octave = 1u << HISTOGRAM_STEP_BITS;
    if (step < per_octave)
        return step;
    unsigned shift = (step >> HISTOGRAM_STEP_BITS) - 1;
    uint64_t base = (uint64_t)(per_octave + step % per_octave) << shift;
    return base + ((UINT64_C(1) << shift) - 1);
}

void histogram_add(struct histogram *h, uint64_t v)
{
    h->steps[step_of(v)]++;
    h->count++;
    h->sum += v;
    if (v > h->max)
        h->max = v;
}

uint64_t histogram_quantile(const struct histogram *h, double share)
{
    ASSERT(share >= 0 && share <= 1);
    if (h->count == 0)
        return 0;
    double exact = share * (double)h->count;
    uint64_t rank = (uint64_t)exact;
    rank += (double)rank < exact || rank == 0;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_STEPS; i++) {
        seen += h->steps[i];
        if (seen >= rank) {
            uint64_t top = step_top(i);
            return i + 1 == HISTOGRAM_STEPS || top > h->max ? h->max : top;
        }
    }
    return h->max;
}
