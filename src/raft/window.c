// SPDX-License-Identifier: Apache-2.0
//
// The entries a node keeps in memory: a ring behind (prev_index, prev_term). What lies at or before prev is committed,
// applied and on disk. The only allocations of the core are here and in voters.c.
#include "raft/core.h"

#include <stdlib.h>
#include <string.h>

void raft_window_deinit(struct raft_window *w)
{
    while (w->count > 0)
        raft_window_drop(w);
    free(w->slots);
    *w = (struct raft_window){0};
}

struct raft_slot *raft_window_slot(const struct raft_window *w, uint64_t index)
{
    ASSERT(index > w->prev_index);
    ASSERT(index <= w->prev_index + w->count);
    return &w->slots[(w->head + (uint32_t)(index - w->prev_index - 1)) & (w->cap - 1)];
}

static enum rc window_grow(struct raft_window *w)
{
    uint32_t cap = w->cap ? w->cap * 2 : 64;
    struct raft_slot *slots = malloc(cap * sizeof(*slots));
    if (!slots)
        return RC_NOMEM;
    for (uint32_t i = 0; i < w->count; i++)
        slots[i] = w->slots[(w->head + i) & (w->cap - 1)];
    free(w->slots);
    w->slots = slots;
    w->cap = cap;
    w->head = 0;
    return RC_OK;
}

enum rc raft_window_push(struct raft_window *w, uint64_t term, enum raft_entry_type type, struct bytes payload)
{
    ASSERT(payload.n <= UINT32_MAX);
    if (w->count == w->cap && window_grow(w) != RC_OK)
        return RC_NOMEM;
    uint8_t *p = NULL;
    if (payload.n) {
        p = malloc(payload.n);
        if (!p)
            return RC_NOMEM;
        memcpy(p, payload.p, payload.n);
    }
    w->slots[(w->head + w->count) & (w->cap - 1)] =
        (struct raft_slot){.term = term, .type = type, .bytes = (uint32_t)payload.n, .p = p};
    w->count++;
    w->bytes += payload.n;
    return RC_OK;
}

void raft_window_cut(struct raft_window *w, uint64_t from)
{
    ASSERT(from > w->prev_index);
    while (w->count > 0 && w->prev_index + w->count >= from) {
        struct raft_slot *s = raft_window_slot(w, w->prev_index + w->count);
        w->bytes -= s->bytes;
        free(s->p);
        w->count--;
    }
}

void raft_window_drop(struct raft_window *w)
{
    ASSERT(w->count > 0);
    struct raft_slot *s = &w->slots[w->head];
    w->prev_index++;
    w->prev_term = s->term;
    w->bytes -= s->bytes;
    free(s->p);
    w->head = (w->head + 1) & (w->cap - 1);
    w->count--;
}

void raft_window_reset(struct raft_window *w, uint64_t index, uint64_t term)
{
    while (w->count > 0)
        raft_window_drop(w);
    w->prev_index = index;
    w->prev_term = term;
}

uint64_t raft_window_bytes_after(const struct raft_window *w, uint64_t index)
{
    uint64_t bytes = 0;
    uint64_t last = w->prev_index + w->count;
    for (uint64_t i = index < w->prev_index ? w->prev_index + 1 : index + 1; i <= last; i++)
        bytes += raft_window_slot(w, i)->bytes;
    return bytes;
}
