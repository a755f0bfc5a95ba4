// SPDX-License-Identifier: Apache-2.0
//
// How Kafka's tools read their command lines and files: what needs no broker. The rest is test/compat/weir-tools.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "cli/tool_configs.h"
#include "cli/tool_partitions.h"

static struct arena arena;

static void open_arena(void)
{
    arena_init(&arena, 1 << 20, NULL, 0);
}

static void close_arena(void)
{
    arena_deinit(&arena);
}

TestSuite(tool, .init = open_arena, .fini = close_arena);

static void spelt(const struct cli_command *tool, const char *given, const char *want)
{
    char text[256], got[256] = "", *argv[16], *rest = text, *word;
    int argc = 0;
    snprintf(text, sizeof(text), "%s", given);
    while ((word = strsep(&rest, " ")) != NULL)
        argv[argc++] = word;
    tool_spell(tool, argc, argv, &arena);
    for (int i = 0; i < argc; i++)
        snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", i ? " " : "", argv[i]);
    cr_assert_str_eq(got, want, "'%s' became '%s', not '%s'", given, got, want);
}

Test(tool, options_may_be_cut_short_and_have_one_dash)
{
    spelt(&tool_topics, "t --create --replication 2 --partition 2 --topic x",
          "t --create --replication-factor 2 --partitions 2 --topic x");
    spelt(&tool_topics, "t -list -topic=x", "t --list --topic=x");
    spelt(&tool_topics, "t --boot h:1 --desc", "t --bootstrap-server h:1 --describe");
    spelt(&tool_topics, "t --de", "t --de"); // describe, delete, ...
    spelt(&tool_topics, "t --topic --list", "t --topic --list");
    spelt(&tool_topics, "t --topic -list --list", "t --topic -list --list"); // a value stays
    spelt(&tool_topics, "t --if-e --bogus -- --lis", "t --if-exists --bogus -- --lis");
    spelt(&tool_get_offsets, "t --time -1", "t --time -1");
}

Test(tool, names_come_with_and_without_a_path_and_sh)
{
    cr_assert_eq(tool_find("/usr/bin/kafka-topics.sh"), &tool_topics);
    cr_assert_eq(tool_find("kafka-configs"), &tool_configs);
    cr_assert_null(tool_find("/usr/bin/weir"));
    cr_assert_null(tool_find("kafka-topics.bat"));
}

Test(tool, a_topic_is_a_pattern_for_the_whole_name)
{
    regex_t r;
    cr_assert(tool_pattern("a.*,b", &r));
    cr_assert_eq(regexec(&r, "abc", 0, NULL, 0), 0);
    cr_assert_eq(regexec(&r, "b", 0, NULL, 0), 0);
    cr_assert_neq(regexec(&r, "bc", 0, NULL, 0), 0);
    regfree(&r);
    cr_assert(tool_pattern("", &r));
    cr_assert_eq(regexec(&r, "anything", 0, NULL, 0), 0);
    regfree(&r);
    cr_assert_not(tool_pattern("a(", &r));
    char longest[2000];
    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 1] = 0;
    cr_assert_not(tool_pattern(longest, &r));
}

static void settings(const char *text, const char *want)
{
    struct incremental_alter_configs_request_config configs[4];
    uint32_t count = 0;
    char got[256] = "";
    bool good = tool_configs_parse(text, &arena, configs, 4, &count);
    for (uint32_t i = 0; good && i < count; i++)
        snprintf(got + strlen(got), sizeof(got) - strlen(got), "%.*s:%.*s;", (int)configs[i].name.n,
                 (const char *)configs[i].name.p, (int)configs[i].value.n, (const char *)configs[i].value.p);
    cr_assert_eq(good, want != NULL, "%s", text);
    cr_assert(!good || strcmp(got, want) == 0, "'%s' gave '%s'", text, got);
}

Test(tool, settings_are_listed_with_brackets_around_commas)
{
    settings("a=1", "a:1;");
    settings("a=1,b=[x,y],c=", "a:1;b:x,y;c:;");
    settings(" a = 1 , b=2", "a:1;b:2;");
    settings("a=[x=y]", "a:x=y;");
    settings("", "");
    settings("a", NULL);
    settings("a=1,b", NULL);
    settings("=1", NULL);
    settings("a=b=c", NULL);
    settings("a=1,b=2,c=3,d=4,e=5", NULL); // more than there is room for
}

Test(tool, partitions_are_read_from_json)
{
    struct tool_partitions p;
    cr_assert(tool_partitions_parse("{\"partitions\":[{\"topic\":\"a\",\"partition\":1,\"offset\":-1},"
                                    "{\"topic\":\"a\",\"partition\":0,\"offset\":9}],\"version\":1}",
                                    true, &arena, &p));
    cr_assert_eq(p.count, 2);
    cr_assert_eq(p.twice, 2);
    cr_assert(strcmp(p.items[1].topic, "a") == 0 && p.items[1].offset == 9 && p.items[0].partition == 1);
    cr_assert(tool_partitions_parse("{\"partitions\":[{\"topic\":\"a\",\"partition\":1},{\"topic\":\"b\",\"partition\":1},"
                                    "{\"topic\":\"a\",\"partition\":1}]}",
                                    false, &arena, &p));
    cr_assert_eq(p.twice, 2);
    static const char *const wrong[] = {
        "",
        "[]",
        "{\"partitions\":3}",
        "{\"version\":1}",
        "{\"partitions\":[],\"version\":2}",
        "{\"partitions\":[1]}",
        "{\"partitions\":[{\"topic\":1,\"partition\":1,\"offset\":1}]}",
        "{\"partitions\":[{\"topic\":\"a\",\"partition\":-1,\"offset\":1}]}",
        "{\"partitions\":[{\"topic\":\"a\",\"partition\":4294967296,\"offset\":1}]}",
        "{\"partitions\":[{\"topic\":\"a\",\"partition\":1}]}",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert_not(tool_partitions_parse(wrong[i], true, &arena, &p), "%s", wrong[i]);
        cr_assert_not_null(p.wrong);
    }
}
