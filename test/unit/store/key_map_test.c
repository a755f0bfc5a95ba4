// SPDX-License-Identifier: Apache-2.0
#include "store/compact_private.h"

#include <criterion/criterion.h>

Test(key_map, keeps_the_latest_and_says_when_it_is_full)
{
    struct key_map m;
    cr_assert_eq(key_map_init(&m, 1000, 500 * KEY_MAP_ENTRY_BYTES, 0.9, 5), RC_OK);
    cr_assert_eq(m.count_max, 450);
    for (int64_t i = 0; i < 450; i++) {
        cr_assert_eq(key_map_put(&m, key_hash_of(bytes_of(&i, sizeof(i)), 5), i), RC_OK);
        cr_assert_eq(key_map_put(&m, key_hash_of(bytes_of(&i, sizeof(i)), 5), i + 1000), RC_OK);
    }
    int64_t more = 450;
    cr_assert_eq(key_map_put(&m, key_hash_of(bytes_of(&more, sizeof(more)), 5), 9), RC_FULL);
    cr_assert_eq(key_map_get(&m, key_hash_of(bytes_of(&more, sizeof(more)), 5)), OFFSET_NONE);
    for (int64_t i = 0; i < 450; i++)
        cr_assert_eq(key_map_get(&m, key_hash_of(bytes_of(&i, sizeof(i)), 5)), i + 1000);
    key_map_deinit(&m);
    cr_assert_eq(key_map_init(&m, 0, 0, 0.9, 5), RC_OK); // one key at least
    cr_assert_eq(key_map_put(&m, (struct key_hash){1, 2}, 0), RC_OK);
    cr_assert_eq(key_map_put(&m, (struct key_hash){1, 3}, 0), RC_FULL); // half a hash is not the key
    cr_assert_eq(key_map_get(&m, (struct key_hash){1, 2}), 0);
    key_map_deinit(&m);
}
