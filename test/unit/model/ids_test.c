// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include "model/ids.h"

Test(ids, uuid_text_is_kafkas)
{
    // 22 characters of URL-safe base64; the zero id is all 'A'
    struct uuid zero = {{0}};
    char text[UUID_TEXT_CHARS + 1];
    uuid_format(zero, text);
    cr_assert_str_eq(text, "AAAAAAAAAAAAAAAAAAAAAA");
    struct uuid u = {{0xff, 0xfe, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}};
    uuid_format(u, text);
    cr_assert_eq(strlen(text), UUID_TEXT_CHARS);
    struct uuid back;
    cr_assert(uuid_parse(bytes_str(text), &back));
    cr_assert(uuid_eq(u, back));
    cr_assert_not(uuid_parse(bytes_str("AAAAAAAAAAAAAAAAAAAAA"), &back));
    cr_assert_not(uuid_parse(bytes_str("AAAAAAAAAAAAAAAAAAAAAB"), &back), "unused bits must be zero");
    cr_assert_not(uuid_parse(bytes_str("AAAAAAAAAA+AAAAAAAAAAA"), &back));
    cr_assert(uuid_is_reserved(zero));
    zero.b[15] = 1;
    cr_assert(uuid_is_reserved(zero));
    cr_assert_not(uuid_is_reserved(u));
}

Test(ids, topic_names)
{
    cr_assert(topic_name_valid(bytes_str("orders.eu-1_x")));
    cr_assert_not(topic_name_valid(bytes_str("")));
    cr_assert_not(topic_name_valid(bytes_str(".")));
    cr_assert_not(topic_name_valid(bytes_str("..")));
    cr_assert_not(topic_name_valid(bytes_str("other topic")));
    char name[251];
    memset(name, 'a', 250);
    name[250] = 0;
    cr_assert_not(topic_name_valid(bytes_str(name)));
    cr_assert(topic_name_valid(bytes_of(name, 249)));
    cr_assert(topic_names_collide(bytes_str("a.b"), bytes_str("a_b")));
    cr_assert_not(topic_names_collide(bytes_str("a.b"), bytes_str("a.b")));
    cr_assert_not(topic_names_collide(bytes_str("a.b"), bytes_str("a-b")));
    cr_assert(topic_name_internal(bytes_str("__consumer_offsets")));
}
