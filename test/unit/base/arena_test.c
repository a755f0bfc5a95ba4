// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <stdalign.h>

#include "base/arena.h"
#include "base/pool.h"

Test(arena, zeroed_aligned_and_limited)
{
    struct arena a;
    arena_init(&a, 10000, NULL, 0);
    uint8_t *p = arena_alloc(&a, 9000);
    cr_assert_not_null(p);
    cr_assert_eq((uintptr_t)p % alignof(max_align_t), 0);
    for (int i = 0; i < 9000; i++)
        cr_assert_eq(p[i], 0);
    cr_assert_null(arena_alloc(&a, 2000), "the limit holds");
    cr_assert_null(arena_array(&a, SIZE_MAX / 4, 16), "an overflowing count is refused");
    arena_reset(&a);
    cr_assert_not_null(arena_alloc(&a, 2000));
    arena_deinit(&a);
}

Test(arena, first_block_is_the_callers)
{
    alignas(max_align_t) uint8_t first[256];
    struct arena a;
    arena_init(&a, 1000, first, sizeof(first));
    uint8_t *p = arena_alloc(&a, 200);
    cr_assert_eq(p, first);
    uint8_t *q = arena_alloc(&a, 200);
    cr_assert(q < first || q >= first + sizeof(first));
    cr_assert_str_eq(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
    arena_deinit(&a);
}

Test(pool, an_owner_may_have_only_the_front_of_an_item_zeroed)
{
    struct pool p;
    pool_init(&p, 40, 4, 10);
    p.zeroed_bytes = 8;
    char *item = pool_acquire(&p);
    memset(item, 0xee, 40);
    pool_release(&p, item);
    char *again = pool_acquire(&p);
    cr_assert_eq(again, item, "the one that was freed last");
    cr_assert_eq(again[7], 0);
    cr_assert_eq((uint8_t)again[8], 0xee);
    pool_release(&p, again);
    pool_trim(&p);
    pool_deinit(&p);
}

Test(pool, bounded_reused_and_trimmed)
{
    struct pool p;
    pool_init(&p, 40, 4, 10);
    void *items[10];
    for (int i = 0; i < 10; i++) {
        items[i] = pool_acquire(&p);
        cr_assert_not_null(items[i]);
        memset(items[i], 0xee, 40);
    }
    cr_assert_null(pool_acquire(&p), "full means backpressure");
    for (int i = 0; i < 10; i += 2)
        pool_release(&p, items[i]);
    for (int i = 0; i < 10; i += 2) {
        items[i] = pool_acquire(&p);
        cr_assert_eq(*(char *)items[i], 0, "items come zeroed");
    }
    for (int i = 0; i < 10; i++)
        pool_release(&p, items[i]);
    cr_assert_eq(pool_trim(&p), 3);
    pool_deinit(&p);
}
