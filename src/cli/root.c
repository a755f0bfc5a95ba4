// SPDX-License-Identifier: Apache-2.0
//
// The first level of commands.
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/consume.h"
#include "cli/produce.h"
#include "cli/tool.h"

// What follows is the server's own business; it gets "server" as its name and everything behind it.
static int run_server(struct cli *cli, const struct cli_parsed *parsed)
{
    int argc = (int)parsed->argument_count + 1;
    char **argv = cli_alloc(cli, (size_t)argc + 1, sizeof(*argv));
    argv[0] = "server";
    for (uint32_t i = 0; i < parsed->argument_count; i++) {
        size_t n = strlen(parsed->arguments[i]);
        argv[i + 1] = arena_copy(&cli->arena, parsed->arguments[i], n);
        if (!argv[i + 1])
            return cli_fail(cli, "out of memory");
    }
    return cli->server(argc, argv);
}

static int run_help(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct cli_command *c = &cli_root;
    char path[96] = "weir";
    for (uint32_t i = 0; i < parsed->argument_count; i++) {
        const struct cli_command *child = c->children;
        while (child && child->name && strcmp(child->name, parsed->arguments[i]) != 0)
            child++;
        if (!child || !child->name)
            return cli_wrong(cli, "there is no command '%s %s'.", path, parsed->arguments[i]);
        size_t n = strlen(path);
        snprintf(path + n, sizeof(path) - n, " %s", child->name);
        c = child;
    }
    if (c->raw) // explains itself
        return cli->server(2, (char *[]){"server", "--help", NULL});
    cli_help(c, path, &cli->out);
    return cli_done(cli);
}

static int run_version(struct cli *cli, const struct cli_parsed *parsed)
{
    (void)parsed;
    buf_printf(&cli->out, "weir %s\n", cli_version());
    return cli_done(cli);
}

static const struct cli_command commands[] = {
    {.name = "server", .arguments = "[FILE]", .summary = "Run a node.", .raw = true, .run = run_server},
    {.name = "admin",
     .summary = "Look at a cluster and change it: topics, configurations, brokers, logs.",
     .children = admin_commands,
     .shared = cli_common_options,
     .examples = "weir admin topics list\n"
                 "weir admin topics create orders --partitions 12\n"
                 "weir admin configs set topic orders retention.ms=86400000\n"
                 "weir admin log dump /var/lib/weir/orders-0"},
    {.name = "produce",
     .arguments = "TOPIC [FILE...]",
     .summary = "Write records: one a line, from files or standard input.",
     .details = "With --json each line is an object with any of key, value, headers, partition and timestamp; "
                "key_base64 and value_base64 carry bytes that are not text. Exit code 0 says that every record was "
                "acknowledged.",
     .options = cli_produce_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct produce_options),
     .arguments_min = 1,
     .arguments_max = 255,
     .run = cli_produce,
     .examples =
         "echo hello | weir produce greetings\n"
         "weir produce orders orders.txt --key-delimiter : --codec zstd\n"
         "weir produce orders --json <<< '{\"key\":\"42\",\"value\":\"paid\",\"headers\":{\"source\":\"shop\"}}'\n"
         "weir consume orders -e --json | weir produce copy --json"},
    {.name = "consume",
     .arguments = "TOPIC...",
     .summary = "Read records to standard output.",
     .details =
         "Without a place to start only records that are written from now on are shown. --format knows %t topic, "
         "%p partition, %o offset, %k key, %s value, %K and %S their sizes, %T timestamp in milliseconds, %D the "
         "same as a date, %h headers, and \\n, \\t, \\0. A null is shown as NULL there, and as null in JSON. "
         "With --group the group's members share the partitions; the place to start is only for those of which the "
         "group has no offset.",
     .options = cli_consume_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct consume_options),
     .arguments_min = 1,
     .arguments_max = CONSUME_TOPICS_MAX,
     .run = cli_consume,
     .examples = "weir consume orders --from-beginning --exit-at-end\n"
                 "weir consume orders --offset -10 -e                      # the last ten of each partition\n"
                 "weir consume orders --timestamp 2026-11-21T10:00:00Z --count 5 --json\n"
                 "weir consume orders payments --group billing             # ^C commits and leaves\n"
                 "weir consume orders --partition 3 --offset 1200 --format '%o %k: %s\\n'"},
    {.name = "perf",
     .summary = "Measure a broker: throughput, latency, and what they cost.",
     .children = cli_perf_commands,
     .shared = cli_common_options},
    {.name = "verify",
     .summary = "Write or read and say what happened, in JSON: Kafka's verifiable clients.",
     .children = cli_verify_commands,
     .shared = cli_common_options},
    {.name = "tools",
     .summary = "Stand in for Kafka's command-line tools under their own names.",
     .details = "Called as kafka-consumer-groups or kafka-console-consumer.sh, this program takes that tool's options, "
                "prints what it prints and ends with its exit codes.",
     .children = cli_tools_commands,
     .examples = "weir tools install ~/bin"},
    {.name = "help",
     .arguments = "[COMMAND...]",
     .summary = "Explain a command.",
     .arguments_max = CLI_DEPTH_MAX,
     .run = run_help},
    {.name = "version", .summary = "Print the version of this program.", .run = run_version},
    {0},
};

const struct cli_command cli_root = {
    .name = "weir",
    .summary = "A Kafka-compatible broker and its tools in one executable.",
    .children = commands,
    .examples = "weir server                          # a working node on 127.0.0.1:9092\n"
                "weir admin topics create greetings\n"
                "echo hello | weir produce greetings\n"
                "weir consume greetings --from-beginning --exit-at-end",
};
