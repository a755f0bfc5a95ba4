// SPDX-License-Identifier: Apache-2.0
#include "repl/throttle.h"

enum { BYTES_BITS = 40 };

#define NUMBER_MASK ((UINT64_C(1) << (64 - BYTES_BITS)) - 1)
#define BYTES_MASK ((UINT64_C(1) << BYTES_BITS) - 1)
#define NS_PER_S UINT64_C(1000000000)

void repl_throttle_init(struct repl_throttle *t, int64_t sample_count, int64_t sample_seconds)
{
    enum { SECONDS_MAX = 3600 };
    int64_t seconds = sample_seconds < 1 ? 1 : sample_seconds < SECONDS_MAX ? sample_seconds : SECONDS_MAX;
    *t = (struct repl_throttle){.rate = INT64_MAX, .sample_ns = (uint64_t)seconds * NS_PER_S};
    t->sample_count = sample_count < 1                           ? 1
                      : sample_count < REPL_THROTTLE_SAMPLES_MAX ? (uint32_t)sample_count
                                                                 : REPL_THROTTLE_SAMPLES_MAX;
}

void repl_throttle_limit(struct repl_throttle *t, int64_t rate)
{
    __atomic_store_n(&t->rate, rate, __ATOMIC_RELAXED);
}

void repl_throttle_count(struct repl_throttle *t, uint64_t bytes, uint64_t now_ns)
{
    uint64_t number = now_ns / t->sample_ns;
    uint64_t *at = &t->samples[number % t->sample_count];
    uint64_t was = __atomic_load_n(at, __ATOMIC_RELAXED), next;
    do {
        uint64_t sum = (was >> BYTES_BITS == (number & NUMBER_MASK) ? was & BYTES_MASK : 0) + bytes;
        next = (number & NUMBER_MASK) << BYTES_BITS | (sum < BYTES_MASK ? sum : BYTES_MASK);
    } while (!__atomic_compare_exchange_n(at, &was, next, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}

uint64_t repl_throttle_wait_ns(const struct repl_throttle *t, uint64_t now_ns)
{
    int64_t rate = __atomic_load_n(&t->rate, __ATOMIC_RELAXED);
    if (rate == INT64_MAX)
        return 0;
    uint64_t number = now_ns / t->sample_ns, oldest = 0, sum = 0;
    for (uint32_t i = 0; i < t->sample_count; i++) {
        uint64_t sample = __atomic_load_n(&t->samples[i], __ATOMIC_RELAXED);
        uint64_t age = (number - (sample >> BYTES_BITS)) & NUMBER_MASK;
        if (age >= t->sample_count || (sample & BYTES_MASK) == 0)
            continue;
        sum += sample & BYTES_MASK;
        oldest = age > oldest ? age : oldest;
    }
    uint64_t covered_ns = oldest * t->sample_ns + now_ns % t->sample_ns;
    if (covered_ns < t->sample_ns)
        covered_ns = t->sample_ns;
    if ((double)sum * (double)NS_PER_S <= (double)rate * (double)covered_ns)
        return 0;
    double until_ns = rate > 0 ? (double)sum / (double)rate * (double)NS_PER_S - (double)covered_ns : (double)NS_PER_S;
    return until_ns < 1e6 ? 1000000 : until_ns < (double)NS_PER_S ? (uint64_t)until_ns : NS_PER_S;
}
