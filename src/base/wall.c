// SPDX-License-Identifier: Apache-2.0
#include "base/wall.h"

static bool is_jump(int64_t by_ms)
{
    return by_ms > WALL_JUMP_MS || by_ms < -WALL_JUMP_MS;
}

int64_t wall_settled_ms(struct wall *w, uint64_t now_ns, int64_t wall_ms, int64_t *jump_ms)
{
    const int64_t now_ms = (int64_t)(now_ns / 1000000), ahead = wall_ms - now_ms;
    *jump_ms = 0;
    if (!w->set)
        *w = (struct wall){.set = true, .ahead_ms = ahead};
    if (!is_jump(ahead - w->ahead_ms)) { // as believed, or back there
        if (w->jump_ns)
            *jump_ms = ahead - w->jumped_ms;
        w->ahead_ms = ahead;
        w->jump_ns = 0;
        return wall_ms;
    }
    if (w->jump_ns == 0 || is_jump(ahead - w->jumped_ms)) {
        *jump_ms = ahead - (w->jump_ns ? w->jumped_ms : w->ahead_ms);
        w->jump_ns = now_ns > 0 ? now_ns : 1;
    } else if (now_ns - w->jump_ns >= WALL_BELIEVED_MS * UINT64_C(1000000)) {
        w->ahead_ms = ahead;
        w->jump_ns = 0;
        return wall_ms;
    }
    w->jumped_ms = ahead;
    return ahead < w->ahead_ms ? wall_ms : now_ms + w->ahead_ms;
}
