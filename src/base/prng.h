// SPDX-License-Identifier: Apache-2.0
//
// Small deterministic random numbers (xoshiro256**) for jitter, placement and tests; never for secrets or ids.
#pragma once

#include <stdint.h>

#include "base/assert.h"

struct prng {
    uint64_t s[4];
};

// Fills the state from seed with splitmix64, as the generator's authors advise.
static inline void prng_init(struct prng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        r->s[i] = z ^ (z >> 31);
    }
}

static inline uint64_t prng_next(struct prng *r)
{
    uint64_t *s = r->s;
    uint64_t result = ((s[1] * 5) << 7 | (s[1] * 5) >> 57) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return result;
}

// Uniform in [0, n); n > 0.
static inline uint64_t prng_below(struct prng *r, uint64_t n)
{
    ASSERT(n > 0);
    return (uint64_t)(((unsigned __int128)prng_next(r) * n) >> 64);
}

// True with probability numerator / denominator.
static inline int prng_chance(struct prng *r, uint64_t numerator, uint64_t denominator)
{
    return prng_below(r, denominator) < numerator;
}
