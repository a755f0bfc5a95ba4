// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include "server/settings.h"

static struct settings s;

static const char *value_of(const char *name)
{
    for (size_t i = 0; i < s.pair_count; i++)
        if (strcmp(s.pairs[i].name, name) == 0)
            return s.pairs[i].value;
    return NULL;
}

static void read_text(const char *text)
{
    settings_init(&s);
    settings_read_text(&s, "file", bytes_str(text));
}

static void check(const char *text, const char *name, const char *value)
{
    read_text(text);
    cr_assert_eq(s.problem_count, 0, "%s: %s", text, s.problem_count ? s.problems[0] : "");
    cr_assert_not_null(value_of(name), "%s", text);
    cr_assert_str_eq(value_of(name), value);
    settings_deinit(&s);
}

static void check_problem(const char *text, const char *word)
{
    read_text(text);
    cr_assert_eq(s.problem_count, 1, "%s", text);
    cr_assert_not_null(strstr(s.problems[0], word), "'%s' is not in: %s", word, s.problems[0]);
    settings_deinit(&s);
}

Test(settings, separators_blanks_and_comments)
{
    check("broker.rack=a\n", "broker.rack", "a");
    check("broker.rack:a", "broker.rack", "a");
    check("broker.rack a\r\n", "broker.rack", "a");
    check("  \t broker.rack \t = \t a b \t\n", "broker.rack", "a b");
    check("broker.rack = = a", "broker.rack", "= a");
    check("# c\n! c\n\n  # c\\\nbroker.rack=a\n", "broker.rack", "a"); // a comment is not continued
    check("broker.rack=a#b!", "broker.rack", "a#b!");
    check("broker.rack", "broker.rack", "");
}

Test(settings, continued_lines)
{
    check("broker.rack=a\\\n   b\\\r\n\tc\n", "broker.rack", "abc");
    check("broker.rack=a\\\\\nnode.id=3", "broker.rack", "a\\"); // an escaped backslash continues nothing
    check("broker.rack=a\\\\\\\n b", "broker.rack", "a\\b");
    check("broker.rack=a\\\n#b", "broker.rack", "a#b"); // no comment inside a line
    check("broker.rack=a\\", "broker.rack", "a");       // at the end of the file
    check("broker\\\n .rack=a", "broker.rack", "a");
}

Test(settings, escapes)
{
    check("broker.rack=a\\tb\\n\\r\\fc", "broker.rack", "a\tb\n\r\fc");
    check("broker.rack=\\=\\:\\q", "broker.rack", "=:q");
    check("broker.rack=\\u0041\\u00e9\\u20ac", "broker.rack", "A\xc3\xa9\xe2\x82\xac");
    check("broker\\.rack=a", "broker.rack", "a");
    check_problem("broker.rack=\\u00g1", "file:1");
    check_problem("node.id=1\nbroker.rack=\\u12", "file:2");
}

Test(settings, single_listeners_have_some_of_their_own)
{
    check("listener.name.inside.max.connections=5", "listener.name.inside.max.connections", "5");
    check("listener.name.a.max.connection.creation.rate=7\nmax.connections=3",
          "listener.name.a.max.connection.creation.rate", "7");
    check_problem("listener.name.a.max.connections=many", "Not a number of type INT");
    check_problem("listener.name.INSIDE.max.connections=5", "in small letters");
    check_problem("listener.name..max.connections=5", "listeners may differ in");
    check_problem("listener.name.a.num.partitions=5", "listeners may differ in");
}

Test(settings, later_ones_win_and_lines_are_counted)
{
    check("node.id=1\nnode.id=2\n", "node.id", "2");
    check_problem("node.id=1\n\nbroker.rack=a\\\nb\nno.such.key=1\n", "file:5");
}

Test(settings, what_is_wrong_is_named)
{
    check_problem("log.segment.byte=1048576", "log.segment.bytes");
    check_problem("log.segment.bytes=many", "log.segment.bytes");
    check_problem("zookeeper.connect=a:2181", "zookeeper.connect");
    check_problem("node.id=", "node.id");
}

Test(settings, old_names_are_read_and_said)
{
    read_text("broker.id=4\nlog.dir=/x\n");
    cr_assert_eq(s.problem_count, 0);
    cr_assert_str_eq(value_of("node.id"), "4");
    cr_assert_str_eq(value_of("log.dirs"), "/x");
    cr_assert_eq(s.note_count, 2);
    settings_deinit(&s);
}

Test(settings, port_and_host_make_a_listener)
{
    read_text("port=9999\nhost.name=here\nadvertised.host.name=there\n");
    settings_finish(&s);
    cr_assert_str_eq(value_of("listeners"), "PLAINTEXT://here:9999");
    cr_assert_str_eq(value_of("advertised.listeners"), "PLAINTEXT://there:9999");
    settings_deinit(&s);
    read_text("port=9999\nlisteners=PLAINTEXT://a:1\n");
    settings_finish(&s);
    cr_assert_str_eq(value_of("listeners"), "PLAINTEXT://a:1", "the new name decides");
    settings_deinit(&s);
}

Test(settings, the_environment)
{
    char long_name[300] = "WEIR_";
    memset(long_name + 5, 'A', 200);
    strcpy(long_name + 205, "=1");
    char *environment[] = {"PATH=/bin", "WEIR_LOG_SEGMENT_BYTES=1048576", "WEIR_BOOTSTRAP=a:1", "WEIRD_X=1", "WEIR_NO_KEY=1",
                           long_name, NULL};
    settings_init(&s);
    settings_set(&s, "file:1", "log.segment.bytes", "2097152");
    settings_read_environment(&s, environment);
    cr_assert_str_eq(value_of("log.segment.bytes"), "1048576");
    cr_assert_eq(s.problem_count, 2);
    cr_assert_not_null(strstr(s.problems[0], "WEIR_NO_KEY"));
    settings_deinit(&s);
}

Test(settings, many_problems_are_counted)
{
    settings_init(&s);
    for (int i = 0; i < SETTINGS_PROBLEMS_MAX + 5; i++)
        settings_set(&s, "--set", "no.such.key", "1");
    cr_assert_eq(s.problem_count, SETTINGS_PROBLEMS_MAX);
    cr_assert_eq(s.problems_dropped, 5);
    settings_deinit(&s);
}

Test(settings, the_layer_is_sorted)
{
    read_text("node.id=1\nbroker.rack=a\nlog.dirs=/x\n");
    struct config_layer layer = settings_finish(&s);
    cr_assert_eq(layer.count, 3);
    for (size_t i = 1; i < layer.count; i++)
        cr_assert_lt(strcmp(layer.pairs[i - 1].name, layer.pairs[i].name), 0);
    settings_deinit(&s);
}
