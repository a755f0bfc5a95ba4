// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <signal.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/prng.h"

struct thing {
    struct list_node link;
    struct heap_node timer;
    struct map_node node;
    uint64_t key;
};

Test(list, order_and_membership)
{
    struct list l;
    list_init(&l);
    struct thing t[4] = {0};
    for (int i = 0; i < 4; i++)
        list_push_back(&l, &t[i].link);
    list_remove(&l, &t[1].link);
    list_push_front(&l, &t[1].link);
    cr_assert_eq(l.count, 4);
    int order[] = {1, 0, 2, 3};
    for (int i = 0; i < 4; i++)
        cr_assert_eq(list_entry(list_pop_front(&l), struct thing, link), &t[order[i]]);
    cr_assert(list_empty(&l));
}

Test(list, double_insert_stops_the_process, .signal = SIGABRT)
{
    struct list l;
    list_init(&l);
    struct thing t = {0};
    list_push_back(&l, &t.link);
    list_push_back(&l, &t.link);
}

Test(heap, model_of_random_operations)
{
    enum { N = 300 };
    struct heap h;
    heap_init(&h);
    struct thing t[N] = {0};
    struct prng r;
    prng_init(&r, 1);
    for (int step = 0; step < 20000; step++) {
        struct thing *x = &t[prng_below(&r, N)];
        uint64_t key = prng_below(&r, 50);
        if (!heap_node_linked(&x->timer))
            cr_assert_eq(heap_push(&h, &x->timer, key), RC_OK);
        else if (prng_chance(&r, 1, 2))
            heap_move(&h, &x->timer, key);
        else
            heap_remove(&h, &x->timer);
        struct heap_node *first = heap_first(&h);
        for (int i = 0; i < N && first; i++)
            if (heap_node_linked(&t[i].timer))
                cr_assert_leq(first->key, t[i].timer.key);
    }
    uint64_t last = 0, sequence = 0;
    for (struct heap_node *n; (n = heap_first(&h)); heap_remove(&h, n)) {
        cr_assert(n->key > last || (n->key == last && n->sequence >= sequence), "equal keys leave in order");
        last = n->key;
        sequence = n->sequence;
    }
    heap_deinit(&h);
}

static bool thing_eq(const struct map_node *n, const void *key)
{
    return container_of(n, struct thing, node)->key == *(const uint64_t *)key;
}

Test(map, model_of_random_operations)
{
    enum { N = 500 };
    struct map m;
    map_init(&m);
    static struct thing t[N];
    bool in[N] = {0};
    struct prng r;
    prng_init(&r, 2);
    for (int step = 0; step < 20000; step++) {
        uint64_t i = prng_below(&r, N);
        t[i].key = i;
        struct map_node *found = map_find(&m, map_hash_u64(i), thing_eq, &i);
        cr_assert_eq(found != NULL, in[i]);
        if (found)
            map_remove(&m, found);
        else
            cr_assert_eq(map_insert(&m, &t[i].node, map_hash_u64(i)), RC_OK);
        in[i] = !in[i];
    }
    size_t seen = 0;
    for (struct map_node *n = map_first(&m); n; n = map_next(&m, n)) {
        cr_assert(in[container_of(n, struct thing, node)->key]);
        seen++;
    }
    cr_assert_eq(seen, m.count);
    map_deinit(&m);
}
