// SPDX-License-Identifier: Apache-2.0
//
// Sets of partitions, as members are given and hold them.
#include <stdlib.h>
#include <string.h>

#include "client/membership_private.h"

static int compare_partitions(const void *left, const void *right)
{
    const struct membership_partition *a = left, *b = right;
    int c = a->topic == b->topic ? 0 : strcmp(a->topic->name, b->topic->name);
    return c ? c : (a->index > b->index) - (a->index < b->index);
}

void membership_set_sort(struct membership_set *s)
{
    uint32_t kept = 0;
    if (s->count > 1)
        qsort(s->items, s->count, sizeof(*s->items), compare_partitions);
    for (uint32_t i = 0; i < s->count; i++) // a leader's mistake must not become ours
        if (kept == 0 || compare_partitions(&s->items[kept - 1], &s->items[i]) != 0)
            s->items[kept++] = s->items[i];
    s->count = kept;
}

enum rc membership_set_add(struct membership_set *s, struct client_topic *topic, int32_t index)
{
    if (s->count == s->cap) {
        uint32_t cap = s->cap ? s->cap * 2 : 16;
        struct membership_partition *items = realloc(s->items, cap * sizeof(*items));
        if (!items)
            return RC_NOMEM;
        s->items = items;
        s->cap = cap;
    }
    s->items[s->count++] = (struct membership_partition){.topic = topic, .index = index};
    return RC_OK;
}

enum rc membership_set_minus(const struct membership_set *of, const struct membership_set *without,
                             struct membership_set *out)
{
    enum rc rc = RC_OK;
    out->count = 0;
    for (uint32_t i = 0, k = 0; i < of->count && rc == RC_OK; i++) {
        while (k < without->count && compare_partitions(&without->items[k], &of->items[i]) < 0)
            k++;
        if (k == without->count || compare_partitions(&without->items[k], &of->items[i]) != 0)
            rc = membership_set_add(out, of->items[i].topic, of->items[i].index);
    }
    return rc;
}
