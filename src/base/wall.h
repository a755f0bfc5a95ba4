// SPDX-License-Identifier: Apache-2.0
//
// A wall clock that is watched against the monotonic one, for all that goes away by age: a jump is not believed at once.
// Somebody sets a clock wrong, ages of years appear, and what people wanted kept would be gone before they look.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    WALL_JUMP_MS = 10 * 60 * 1000,     // more than this between two looks is a jump; less is followed
    WALL_BELIEVED_MS = 60 * 60 * 1000, // after so long it is what the time is now
};

struct wall {
    bool set;
    int64_t ahead_ms;  // believed: wall less monotonic
    int64_t jumped_ms; // the same as the newest jump left it
    uint64_t jump_ns;  // when that was seen, 0: nothing is doubted
};

// What ages count from: the wall clock, but while a jump is doubted never later than it would be without. now_ns:
// monotonic. *jump_ms: how far it jumped since the last look, 0 mostly. The first look is believed.
int64_t wall_settled_ms(struct wall *w, uint64_t now_ns, int64_t wall_ms, int64_t *jump_ms);
