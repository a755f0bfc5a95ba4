// SPDX-License-Identifier: Apache-2.0
//
// Shares of memory with a line of waiters; see budget.h.
#include "broker/budget.h"
#include "base/assert.h"

void budget_init(struct budget *b, const char *name, size_t limit_bytes)
{
    *b = (struct budget){.name = name, .limit_bytes = limit_bytes};
    list_init(&b->waiters);
}

static void budget_use(struct budget *b, size_t bytes)
{
    b->used_bytes += bytes;
    ASSERT(b->used_bytes <= b->limit_bytes);
    if (b->used_bytes > b->used_bytes_max)
        b->used_bytes_max = b->used_bytes;
}

bool budget_take(struct budget *b, size_t bytes)
{
    if (!list_empty(&b->waiters) || bytes > b->limit_bytes - b->used_bytes)
        return false;
    budget_use(b, bytes);
    return true;
}

void budget_wait(struct budget *b, struct budget_waiter *w, size_t bytes, budget_ready_fn ready)
{
    ASSERT(budget_fits(b, bytes));
    w->bytes = bytes;
    w->ready = ready;
    list_push_back(&b->waiters, &w->link);
}

// First come, first served: the line never lets a small one pass a large one, so a large frame cannot starve.
static void budget_serve(struct budget *b)
{
    for (struct list_node *n; (n = list_first(&b->waiters));) {
        struct budget_waiter *w = list_entry(n, struct budget_waiter, link);
        if (w->bytes > b->limit_bytes - b->used_bytes)
            return;
        list_remove(&b->waiters, n);
        budget_use(b, w->bytes);
        w->ready(w);
    }
}

void budget_cancel(struct budget *b, struct budget_waiter *w)
{
    if (!list_node_linked(&w->link))
        return;
    bool first = list_first(&b->waiters) == &w->link;
    list_remove(&b->waiters, &w->link);
    if (first)
        budget_serve(b);
}

void budget_give(struct budget *b, size_t bytes)
{
    ASSERT(bytes <= b->used_bytes);
    b->used_bytes -= bytes;
    budget_serve(b);
}
