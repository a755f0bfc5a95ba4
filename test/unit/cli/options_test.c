// SPDX-License-Identifier: Apache-2.0
//
// Command lines as people type them: values, places of options, help, and what is said about mistakes.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "cli/options.h"
#include "cli/tool.h"

struct values {
    bool flag;
    const char *text, *maybe;
    int64_t number, size, duration, choice;
    struct cli_list list;
};

#define PLACE(member) offsetof(struct values, member)

static const struct cli_option shared[] = {
    {.name = "server", .letter = 'b', .kind = CLI_TEXT, .offset = PLACE(text), .value_name = "HOST", .help = "where"},
    {0},
};

static const struct cli_option own[] = {
    {.name = "partitions",
     .letter = 'p',
     .kind = CLI_NUMBER,
     .offset = PLACE(number),
     .value_name = "N",
     .initial = -1,
     .least = 1,
     .bounded = true,
     .help = "how many"},
    {.name = "size", .kind = CLI_SIZE, .offset = PLACE(size), .value_name = "BYTES", .initial = 7, .help = "how much"},
    {.name = "wait", .kind = CLI_DURATION, .offset = PLACE(duration), .value_name = "TIME", .help = "how long"},
    {.name = "codec", .kind = CLI_CHOICE, .offset = PLACE(choice), .choices = "none|gzip|zstd", .help = "which"},
    {.name = "config", .letter = 'c', .kind = CLI_LIST, .offset = PLACE(list), .value_name = "K=V", .help = "what"},
    {.name = "state", .kind = CLI_OPTIONAL, .offset = PLACE(maybe), .value_name = "[STATE]", .help = "in which state"},
    {.name = "dry-run", .letter = 'n', .kind = CLI_FLAG, .offset = PLACE(flag), .help = "only ask"},
    {0},
};

static int run(struct cli *cli, const struct cli_parsed *parsed)
{
    (void)cli;
    (void)parsed;
    return 0;
}

static const struct cli_command verbs[] = {
    {.name = "create",
     .arguments = "TOPIC...",
     .summary = "Create topics.",
     .options = own,
     .shared = shared,
     .options_bytes = sizeof(struct values),
     .arguments_min = 1,
     .arguments_max = 2,
     .run = run,
     .examples = "weir topics create x"},
    {.name = "list", .summary = "List topics.", .shared = shared, .options_bytes = sizeof(struct values), .run = run},
    {0},
};

static const struct cli_command nouns[] = {
    {.name = "topics", .summary = "Topics.", .children = verbs, .shared = shared},
    {.name = "server", .summary = "A node.", .raw = true, .run = run},
    {0},
};

static const struct cli_command root = {.name = "weir", .summary = "A broker.", .children = nouns};

static struct arena arena;
static struct buf message;
static struct cli_parsed parsed;

static enum cli_outcome parse(const char *line)
{
    static char copy[512];
    static char *argv[32];
    int argc = 0;
    char *rest = copy, *word;
    arena_deinit(&arena);
    buf_deinit(&message);
    arena_init(&arena, 1 << 20, NULL, 0);
    buf_init(&message, 1 << 16);
    snprintf(copy, sizeof(copy), "%s", line);
    while ((word = strsep(&rest, " ")) != NULL)
        argv[argc++] = word;
    enum cli_outcome outcome = cli_parse(&root, argc, argv, &arena, &parsed, &message);
    buf_append(&message, "", 1);
    return outcome;
}

static bool says(const char *text)
{
    return strstr((const char *)message.p, text) != NULL;
}

Test(options, a_value_may_be_left_out)
{
    cr_assert_eq(parse("weir topics create a --state --dry-run"), CLI_RUN);
    const struct values *v = parsed.options;
    cr_assert_str_eq(v->maybe, "");
    cr_assert(v->flag);
    cr_assert_eq(parse("weir topics create a --state Stable --dry-run"), CLI_RUN);
    v = parsed.options;
    cr_assert_str_eq(v->maybe, "Stable");
    cr_assert_eq(parse("weir topics create a --dry-run --state"), CLI_RUN);
    v = parsed.options;
    cr_assert_str_eq(v->maybe, "");
    cr_assert_eq(parse("weir topics create a --state --help"), CLI_HELP);
    cr_assert_eq(parse("weir topics create a"), CLI_RUN);
    v = parsed.options;
    cr_assert_null(v->maybe);
}

Test(tools, are_found_by_the_name_they_are_called_by)
{
    cr_assert_str_eq(tool_find("kafka-groups")->name, "kafka-groups");
    cr_assert_str_eq(tool_find("/usr/local/bin/kafka-console-consumer.sh")->name, "kafka-console-consumer");
    cr_assert_str_eq(tool_find("./kafka-consumer-groups")->name, "kafka-consumer-groups");
    cr_assert_null(tool_find("weir"));
    cr_assert_null(tool_find("kafka-consumer-groups.bat"));
    cr_assert_null(tool_find(""));
}

Test(options, every_kind_of_value)
{
    cr_assert_eq(parse("weir topics create a -p 12 --size=64k --wait 5m --codec zstd -c x=1 --config y=2 -n b"),
                 CLI_RUN);
    const struct values *v = parsed.options;
    cr_assert_eq(v->number, 12);
    cr_assert_eq(v->size, 65536);
    cr_assert_eq(v->duration, 300000);
    cr_assert_eq(v->choice, 2);
    cr_assert_eq(v->list.count, 2);
    cr_assert_str_eq(v->list.items[1], "y=2");
    cr_assert(v->flag);
    cr_assert_eq(parsed.argument_count, 2);
    cr_assert_str_eq(parsed.arguments[1], "b");
    cr_assert_str_eq(parsed.path, "weir topics create");
}

Test(options, initials_stand_when_nothing_is_given)
{
    cr_assert_eq(parse("weir topics create a"), CLI_RUN);
    const struct values *v = parsed.options;
    cr_assert_eq(v->number, -1);
    cr_assert_eq(v->size, 7);
    cr_assert_null(v->text);
    cr_assert_not(v->flag);
}

Test(options, shared_options_may_stand_between_the_names)
{
    cr_assert_eq(parse("weir topics --server h:1 list"), CLI_RUN);
    cr_assert_str_eq(((const struct values *)parsed.options)->text, "h:1");
    cr_assert_eq(parse("weir topics -bh:2 list"), CLI_RUN);
    cr_assert_str_eq(((const struct values *)parsed.options)->text, "h:2");
}

Test(options, two_dashes_end_the_options)
{
    cr_assert_eq(parse("weir topics create -- -p --size"), CLI_RUN);
    cr_assert_eq(parsed.argument_count, 2);
    cr_assert_str_eq(parsed.arguments[0], "-p");
}

Test(options, a_value_may_begin_with_a_dash)
{
    cr_assert_eq(parse("weir topics create a --server -x"), CLI_RUN);
    cr_assert_str_eq(((const struct values *)parsed.options)->text, "-x");
}

Test(options, mistakes_name_the_nearest_word)
{
    cr_assert_eq(parse("weir topic list"), CLI_USAGE);
    cr_assert(says("Did you mean 'topics'?"));
    cr_assert_eq(parse("weir topics craete a"), CLI_USAGE);
    cr_assert(says("Did you mean 'create'?"));
    cr_assert(says("weir topics --help"));
    cr_assert_eq(parse("weir topics create a --partition 3"), CLI_USAGE);
    cr_assert(says("Did you mean --partitions?"));
    cr_assert_eq(parse("weir topics create a --zzz"), CLI_USAGE);
    cr_assert_not(says("Did you mean"));
}

Test(options, bad_values_say_what_is_wanted)
{
    cr_assert_eq(parse("weir topics create a -p many"), CLI_USAGE);
    cr_assert(says("--partitions wants a whole number, not 'many'"));
    cr_assert_eq(parse("weir topics create a -p 0"), CLI_USAGE);
    cr_assert(says("at least 1"));
    cr_assert_eq(parse("weir topics create a --codec lzma"), CLI_USAGE);
    cr_assert(says("none|gzip|zstd"));
    cr_assert_eq(parse("weir topics create a --size"), CLI_USAGE);
    cr_assert(says("needs a value"));
    cr_assert_eq(parse("weir topics create a --dry-run=yes"), CLI_USAGE);
    cr_assert(says("takes no value"));
}

Test(options, arguments_are_counted)
{
    cr_assert_eq(parse("weir topics create"), CLI_USAGE);
    cr_assert(says("missing argument"));
    cr_assert_eq(parse("weir topics create a b c"), CLI_USAGE);
    cr_assert(says("unexpected argument 'c'"));
}

Test(options, help_on_every_level)
{
    cr_assert_eq(parse("weir --help"), CLI_HELP);
    cr_assert(says("Usage: weir COMMAND"));
    cr_assert_eq(parse("weir topics -h"), CLI_HELP);
    cr_assert(says("create  Create topics."));
    cr_assert_eq(parse("weir topics create a --help"), CLI_HELP);
    cr_assert(says("-p, --partitions N"));
    cr_assert(says("--codec none|gzip|zstd"));
    cr_assert(says("  weir topics create x"));
    cr_assert_eq(parse("weir topics"), CLI_USAGE);
    cr_assert(says("Usage: weir topics COMMAND"));
}

Test(options, a_raw_command_gets_everything)
{
    cr_assert_eq(parse("weir server --help --set a=b"), CLI_RUN);
    cr_assert_eq(parsed.argument_count, 3);
    cr_assert_str_eq(parsed.arguments[0], "--help");
}

Test(options, sizes_durations_and_points_in_time)
{
    int64_t v;
    cr_assert(cli_size_parse("2g", &v) && v == 2LL << 30);
    cr_assert_not(cli_size_parse("-1", &v));
    cr_assert_not(cli_size_parse("1x", &v));
    cr_assert_not(cli_size_parse("9999999999g", &v));
    cr_assert(cli_duration_parse("1500ms", &v) && v == 1500);
    cr_assert(cli_duration_parse("7d", &v) && v == 604800000);
    cr_assert(cli_duration_parse("3", &v) && v == 3000);
    cr_assert(cli_time_parse("1700000000000", &v) && v == 1700000000000);
    cr_assert(cli_time_parse("1970-01-02", &v) && v == 86400000);
    cr_assert_not(cli_time_parse("yesterday", &v));
}
