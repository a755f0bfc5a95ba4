// SPDX-License-Identifier: Apache-2.0
//
// Shares of the one memory number (DESIGN: memory and overload). A frame draws its length from the share its first 8
// bytes point to before its body is read; who cannot be served waits in line, unread, and is called in order of arrival.
// One shard owns a budget.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"

struct budget_waiter;
typedef void (*budget_ready_fn)(struct budget_waiter *w);

// Embedded by who may wait; zeroed before first use.
struct budget_waiter {
    struct list_node link;
    size_t bytes;
    budget_ready_fn ready; // its bytes have been taken for it; must not take more from inside
};

struct budget {
    const char *name; // for log lines
    size_t limit_bytes, used_bytes;
    size_t used_bytes_max; // the most ever used
    struct list waiters;
};

void budget_init(struct budget *b, const char *name, size_t limit_bytes);
// Takes bytes now: false when they are not there or others wait in line. bytes over the limit can never be had: assert
// with budget_fits() first.
bool budget_take(struct budget *b, size_t bytes);
// Takes bytes when their turn comes: w->ready() is called from inside a later budget_give().
void budget_wait(struct budget *b, struct budget_waiter *w, size_t bytes, budget_ready_fn ready);
// Leaves the line; nothing happens when w is not in it.
void budget_cancel(struct budget *b, struct budget_waiter *w);
void budget_give(struct budget *b, size_t bytes);

static inline bool budget_fits(const struct budget *b, size_t bytes)
{
    return bytes <= b->limit_bytes;
}

// Whether less than an eighth is left: time to read connections 8 bytes at a time.
static inline bool budget_low(const struct budget *b)
{
    return b->limit_bytes - b->used_bytes < b->limit_bytes / 8 || !list_empty(&b->waiters);
}
