// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "wire/crc32c.h"

// RFC 3720, appendix B.4.
Test(crc32c, published_vectors)
{
    uint8_t p[32];
    memset(p, 0, sizeof(p));
    cr_assert_eq(crc32c(0, p, 32), 0x8a9136aau);
    memset(p, 0xff, sizeof(p));
    cr_assert_eq(crc32c(0, p, 32), 0x62a8ab43u);
    for (uint8_t i = 0; i < 32; i++)
        p[i] = i;
    cr_assert_eq(crc32c(0, p, 32), 0x46dd794eu);
    for (uint8_t i = 0; i < 32; i++)
        p[i] = (uint8_t)(31 - i);
    cr_assert_eq(crc32c(0, p, 32), 0x113fdb5cu);
    cr_assert_eq(crc32c(0, "123456789", 9), 0xe3069283u);
    cr_assert_eq(crc32c_plain(0, "123456789", 9), 0xe3069283u);
    cr_assert_eq(crc32c(0, "", 0), 0);
}

Test(crc32c, every_size_and_alignment_agrees_with_the_plain_way)
{
    enum { SIZE = 40000 };
    struct prng r;
    prng_init(&r, 1);
    uint8_t *p = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        p[i] = (uint8_t)prng_next(&r);
    for (size_t n = 0; n < 2000; n++)
        cr_assert_eq(crc32c(0, p + n % 16, n), crc32c_plain(0, p + n % 16, n), "%zu bytes", n);
    for (size_t n = 2000; n < SIZE - 16; n += 701)
        cr_assert_eq(crc32c(7, p + n % 16, n), crc32c_plain(7, p + n % 16, n), "%zu bytes", n);
    free(p);
}

Test(crc32c, pieces_chain)
{
    enum { SIZE = 20000 };
    struct prng r;
    prng_init(&r, 2);
    uint8_t *p = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        p[i] = (uint8_t)prng_next(&r);
    uint32_t whole = crc32c(0, p, SIZE);
    for (int i = 0; i < 100; i++) {
        size_t cut = prng_below(&r, SIZE + 1);
        uint32_t a = crc32c(0, p, cut);
        cr_assert_eq(crc32c(a, p + cut, SIZE - cut), whole);
    }
    free(p);
}
