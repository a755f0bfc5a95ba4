// SPDX-License-Identifier: Apache-2.0
//
// What the command line prints: JSON, base64, tables, dates, suggestions; golden texts.
#include <criterion/criterion.h>
#include <string.h>

#include "cli/date.h"
#include "cli/json.h"
#include "cli/suggest.h"
#include "cli/table.h"

static struct buf out;

static const char *text(void)
{
    buf_append(&out, "", 1);
    return (const char *)out.p;
}

static void fresh(void)
{
    buf_deinit(&out);
    buf_init(&out, 1 << 20);
}

Test(json, nests_and_separates)
{
    struct json j;
    fresh();
    json_init(&j, &out, false);
    json_put_object(&j);
    json_put_key_int(&j, "a", -5);
    json_put_key(&j, "b");
    json_put_array(&j);
    json_put_int(&j, 1);
    json_put_bool(&j, true);
    json_put_null(&j);
    json_put_object(&j);
    json_put_object_end(&j);
    json_put_array_end(&j);
    json_put_key(&j, "c");
    json_put_real(&j, 1.25, 2);
    json_put_object_end(&j);
    cr_assert_str_eq(text(), "{\"a\":-5,\"b\":[1,true,null,{}],\"c\":1.25}");
}

Test(json, pretty)
{
    struct json j;
    fresh();
    json_init(&j, &out, true);
    json_put_array(&j);
    json_put_object(&j);
    json_put_key_str(&j, "a", "x");
    json_put_key_str(&j, "b", NULL);
    json_put_object_end(&j);
    json_put_array_end(&j);
    cr_assert_str_eq(text(), "[\n  {\n    \"a\": \"x\",\n    \"b\": null\n  }\n]");
}

Test(json, strings_are_escaped_and_always_utf8)
{
    struct json j;
    fresh();
    json_init(&j, &out, false);
    json_put_text(&j, bytes_str("a\"\\\n\x01\x7f\xc3\xa9\xff z"));
    cr_assert_str_eq(text(), "\"a\\\"\\\\\\n\\u0001\\u007f\xc3\xa9\xef\xbf\xbd z\"");
}

Test(json, utf8_is_judged_strictly)
{
    cr_assert(json_is_utf8(bytes_str("\xed\x95\x9c\xf0\x9f\x98\x80")));
    cr_assert_not(json_is_utf8(bytes_str("\xc0\xaf")), "overlong");
    cr_assert_not(json_is_utf8(bytes_str("\xed\xa0\x80")), "surrogate");
    cr_assert_not(json_is_utf8(bytes_str("\xf4\x90\x80\x80")), "beyond U+10FFFF");
    cr_assert_not(json_is_utf8(bytes_str("\xe2\x82")), "cut");
}

Test(json, data_that_is_no_text_becomes_base64)
{
    struct json j;
    fresh();
    json_init(&j, &out, false);
    json_put_object(&j);
    json_put_key_data(&j, "key", bytes_str("k"));
    json_put_key_data(&j, "value", bytes_of("\xff\x00\x10", 3));
    json_put_object_end(&j);
    cr_assert_str_eq(text(), "{\"key\":\"k\",\"value_base64\":\"/wAQ\"}");
}

Test(base64, round_trip_of_every_length)
{
    uint8_t data[64];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 37 + 11);
    for (size_t n = 0; n <= sizeof(data); n++) {
        struct buf decoded;
        fresh();
        buf_init(&decoded, 1 << 10);
        base64_append(&out, bytes_of(data, n));
        cr_assert_eq(out.n, (n + 2) / 3 * 4);
        cr_assert(base64_decode(buf_bytes(&out), &decoded));
        cr_assert(bytes_eq(buf_bytes(&decoded), bytes_of(data, n)));
        buf_deinit(&decoded);
    }
}

Test(base64, refuses_what_is_not)
{
    struct buf decoded;
    buf_init(&decoded, 1 << 10);
    cr_assert_not(base64_decode(bytes_str("abc"), &decoded));
    cr_assert_not(base64_decode(bytes_str("ab*="), &decoded));
    cr_assert_not(base64_decode(bytes_str("=abc"), &decoded));
    buf_deinit(&decoded);
}

Test(table, columns_are_as_wide_as_their_widest_cell)
{
    struct arena a;
    struct table t;
    fresh();
    arena_init(&a, 1 << 20, NULL, 0);
    table_init(&t, &a, "TOPIC|>PARTITIONS|NOTE");
    table_cell(&t, "orders");
    table_int(&t, 12);
    table_cell(&t, "x");
    table_cell_bytes(&t, bytes_str("caf\xc3\xa9"));
    table_int(&t, -1);
    table_cell(&t, "yz");
    table_print(&t, &out);
    cr_assert_str_eq(text(), "TOPIC   PARTITIONS  NOTE\n"
                             "orders          12  x\n"
                             "caf\xc3\xa9             -  yz\n");
    arena_deinit(&a);
}

Test(table, many_rows)
{
    struct arena a;
    struct table t;
    fresh();
    arena_init(&a, 16 << 20, NULL, 0);
    table_init(&t, &a, ">N");
    for (int i = 0; i < 10000; i++)
        table_int(&t, i);
    table_print(&t, &out);
    cr_assert_not(t.failed);
    cr_assert_eq(out.n, 5 + 10000 * 5 - 0);
    arena_deinit(&a);
}

Test(date, formats_and_parses_back)
{
    static const int64_t moments[] = {0, 951782400000, 1700000000123, 4102444799999, -1, 1709164800000};
    static const char *const texts[] = {"1970-01-01T00:00:00.000Z", "2000-02-29T00:00:00.000Z",
                                        "2023-11-14T22:13:20.123Z", "2099-12-31T23:59:59.999Z",
                                        "1969-12-31T23:59:59.999Z", "2024-02-29T00:00:00.000Z"};
    for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
        char shown[DATE_TEXT_BYTES];
        int64_t back;
        date_format(moments[i], shown);
        cr_assert_str_eq(shown, texts[i]);
        cr_assert(date_parse(shown, &back));
        cr_assert_eq(back, moments[i]);
    }
}

Test(date, zones_and_shorter_forms)
{
    int64_t a, b;
    cr_assert(date_parse("2026-11-21T10:00:00+01:00", &a) && date_parse("2026-11-21 09:00", &b) && a == b);
    cr_assert(date_parse("2026-11-21T08:30:00-0030", &a) && a == b);
    cr_assert_not(date_parse("2026-13-01", &a));
    cr_assert_not(date_parse("2026-11-21T25:00", &a));
    cr_assert_not(date_parse("2026-11-21x", &a));
}

Test(suggest, distances)
{
    cr_assert_eq(suggest_distance("topics", "topics"), 0);
    cr_assert_eq(suggest_distance("tpoics", "topics"), 1, "neighbours swapped count once");
    cr_assert_eq(suggest_distance("topic", "topics"), 1);
    cr_assert_eq(suggest_distance("kitten", "sitting"), 3);
    cr_assert_eq(suggest_distance("", "abc"), 3);
}

Test(suggest, picks_the_nearest_or_none)
{
    struct suggest s;
    suggest_init(&s, "brokerz");
    suggest_offer(&s, "topics");
    suggest_offer(&s, "brokers");
    cr_assert_str_eq(s.best, "brokers");
    suggest_init(&s, "part");
    suggest_offer(&s, "partitions");
    cr_assert_str_eq(s.best, "partitions");
    suggest_init(&s, "xyzzy");
    suggest_offer(&s, "topics");
    cr_assert_null(s.best);
}
