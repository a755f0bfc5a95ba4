// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include "base/bytes.h"
#include "base/prng.h"
#include "base/rc.h"

Test(bytes, varint_round_trip_and_bounds)
{
    uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
        uint8_t b[VARINT_BYTES_MAX];
        size_t n = varint_put(b, values[i]);
        cr_assert_eq(n, varint_size(values[i]));
        struct bytes s = bytes_of(b, n);
        uint64_t v;
        cr_assert(varint_get(&s, VARINT_BYTES_MAX, &v));
        cr_assert_eq(v, values[i]);
        cr_assert_eq(s.n, 0);
        s = bytes_of(b, n - 1);
        cr_assert_not(varint_get(&s, VARINT_BYTES_MAX, &v), "a short varint is refused");
    }
    uint8_t endless[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0};
    struct bytes s = bytes_of(endless, sizeof(endless));
    uint64_t v;
    cr_assert_not(varint_get(&s, VARINT_BYTES_MAX, &v));
    uint8_t overflow[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
    s = bytes_of(overflow, sizeof(overflow));
    cr_assert_not(varint_get(&s, VARINT_BYTES_MAX, &v), "bit 64 does not exist");
}

Test(bytes, zigzag)
{
    int64_t values[] = {0, -1, 1, INT64_MAX, INT64_MIN};
    uint64_t codes[] = {0, 1, 2, UINT64_MAX - 1, UINT64_MAX};
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(zigzag_encode(values[i]), codes[i]);
        cr_assert_eq(zigzag_decode(codes[i]), values[i]);
    }
}

Test(bytes, buf_limit_sticks)
{
    struct buf b;
    buf_init(&b, 10);
    buf_put_be32(&b, 0x01020304);
    buf_append(&b, "abcdef", 6);
    cr_assert_not(b.failed);
    cr_assert_eq(b.n, 10);
    cr_assert_eq(be32(b.p), 0x01020304);
    buf_put_u8(&b, 1);
    cr_assert(b.failed);
    cr_assert_eq(b.n, 10);
    buf_deinit(&b);
}

Test(bytes, printf_keeps_no_zero)
{
    struct buf b;
    buf_init(&b, 1000);
    buf_printf(&b, "%s=%d", "key", 42);
    buf_printf(&b, ";");
    cr_assert(bytes_eq(buf_bytes(&b), bytes_str("key=42;")));
    buf_deinit(&b);
}

Test(rc, every_word_has_a_text)
{
    for (int i = 0; i < RC_COUNT; i++) {
        cr_assert_not_null(rc_name((enum rc)i));
        cr_assert_gt(strlen(rc_text((enum rc)i)), 0);
    }
}
