// SPDX-License-Identifier: Apache-2.0
//
// Intrusive doubly linked list. A node not on any list has both pointers NULL; membership is asserted.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"

struct list_node {
    struct list_node *prev, *next;
};

struct list {
    struct list_node head; // head.next is the first, head.prev the last; both point to head when empty
    size_t count;
};

static inline void list_init(struct list *l)
{
    l->head.prev = l->head.next = &l->head;
    l->count = 0;
}

static inline bool list_node_linked(const struct list_node *n)
{
    ASSERT((n->prev == NULL) == (n->next == NULL));
    return n->next != NULL;
}

static inline bool list_empty(const struct list *l)
{
    return l->head.next == &l->head;
}

static inline void list_insert_before(struct list *l, struct list_node *at, struct list_node *n)
{
    ASSERT(!list_node_linked(n));
    n->prev = at->prev;
    n->next = at;
    at->prev->next = n;
    at->prev = n;
    l->count++;
}

static inline void list_push_back(struct list *l, struct list_node *n)
{
    list_insert_before(l, &l->head, n);
}

static inline void list_push_front(struct list *l, struct list_node *n)
{
    list_insert_before(l, l->head.next, n);
}

static inline void list_remove(struct list *l, struct list_node *n)
{
    ASSERT(list_node_linked(n));
    ASSERT(l->count > 0);
    n->prev->next = n->next;
    n->next->prev = n->prev;
    n->prev = n->next = NULL;
    l->count--;
}

// First and last node, or NULL.
static inline struct list_node *list_first(const struct list *l)
{
    return list_empty(l) ? NULL : l->head.next;
}

static inline struct list_node *list_last(const struct list *l)
{
    return list_empty(l) ? NULL : l->head.prev;
}

// The node after n, or NULL at the end.
static inline struct list_node *list_next(const struct list *l, const struct list_node *n)
{
    return n->next == &l->head ? NULL : n->next;
}

static inline struct list_node *list_pop_front(struct list *l)
{
    struct list_node *n = list_first(l);
    if (n)
        list_remove(l, n);
    return n;
}

#define list_entry(node, type, member) container_of(node, type, member)
