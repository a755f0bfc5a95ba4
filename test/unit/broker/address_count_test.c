// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <string.h>

#include "base/bytes.h"
#include "broker/address_count.h"

static void address(uint8_t ip[16], uint32_t n)
{
    memset(ip, 0, 16);
    put_be32(ip + 12, n);
}

Test(address_count, counts_each_address_by_itself)
{
    struct address_count a;
    uint8_t one[16], two[16];
    bool counted;
    address(one, 1);
    address(two, 2);
    cr_assert_eq(address_count_init(&a, 100), RC_OK);
    cr_assert(address_count_enter(&a, one, 2, &counted) && counted);
    cr_assert(address_count_enter(&a, one, 2, &counted) && counted);
    cr_assert_not(address_count_enter(&a, one, 2, &counted));
    cr_assert(address_count_enter(&a, two, 1, &counted) && counted);
    cr_assert_not(address_count_enter(&a, two, 1, &counted));
    address_count_leave(&a, one);
    cr_assert(address_count_enter(&a, one, 2, &counted));
    cr_assert_not(address_count_enter(&a, one, 1, &counted), "a lower limit holds for those to come");
    cr_assert_not(address_count_enter(&a, one, 0, &counted));
    address_count_deinit(&a);
}

Test(address_count, many_come_and_go_and_leave_nothing)
{
    enum { MANY = 3000, ROUNDS = 3 };
    struct address_count a;
    uint8_t ip[16];
    static bool counted[MANY];
    cr_assert_eq(address_count_init(&a, MANY), RC_OK);
    for (int round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < MANY; i++) {
            address(ip, i);
            cr_assert(address_count_enter(&a, ip, 1, &counted[i]));
            bool again;
            cr_assert(!counted[i] || !address_count_enter(&a, ip, 1, &again), "%u twice", i);
        }
        for (uint32_t i = 0; i < MANY; i++) {
            address(ip, i);
            if (counted[i])
                address_count_leave(&a, ip);
        }
    }
    for (size_t i = 0; i < a.word_count; i++)
        cr_assert_eq(a.words[i], 0);
    address_count_deinit(&a);
}

Test(address_count, more_addresses_than_room_are_let_in_uncounted)
{
    struct address_count a;
    uint8_t ip[16];
    uint32_t uncounted = 0;
    cr_assert_eq(address_count_init(&a, 1), RC_OK);
    for (uint32_t i = 0; i < 200; i++) {
        bool counted;
        address(ip, i);
        cr_assert(address_count_enter(&a, ip, 1, &counted));
        uncounted += !counted;
    }
    cr_assert_eq(uncounted, 200 - a.word_count);
    address_count_deinit(&a);
}
