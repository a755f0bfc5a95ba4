// SPDX-License-Identifier: Apache-2.0
//
// How fast replicas that are held back may be copied (KIP-73): bytes are counted in samples of equal length, and the rate
// is what the samples hold by the time they cover, at least one sample's. Over the limit nothing more is sent or asked for
// until the rate has fallen. Pure; any thread may count and look.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { REPL_THROTTLE_SAMPLES_MAX = 64 };

struct repl_throttle {
    int64_t rate; // bytes a second, INT64_MAX: no limit. Atomic
    uint32_t sample_count;
    uint64_t sample_ns;
    uint64_t samples[REPL_THROTTLE_SAMPLES_MAX]; // which one it is (24 bits) and its bytes (40 bits). Atomic
};

// No limit yet. The counts are brought within bounds.
void repl_throttle_init(struct repl_throttle *t, int64_t sample_count, int64_t sample_seconds);
void repl_throttle_limit(struct repl_throttle *t, int64_t rate);
void repl_throttle_count(struct repl_throttle *t, uint64_t bytes, uint64_t now_ns);
// 0: go on. Else how long the rate is still over the limit if nothing is counted meanwhile, at most a second.
uint64_t repl_throttle_wait_ns(const struct repl_throttle *t, uint64_t now_ns);
