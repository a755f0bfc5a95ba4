// SPDX-License-Identifier: Apache-2.0
//
// Kafka's tool names: called as kafka-consumer-groups (or kafka-consumer-groups.sh), this program takes that tool's
// options, prints what it prints and ends with its exit codes, so that scripts run on unchanged. A tool is a row of the
// table in tool.c: a name, the tool's options, and a function that says the tool's words over what weir's own commands
// gather and do (groups.h, consume.h, produce.h, verify.h).
#pragma once

#include <regex.h>

#include "cli/cli.h"

// The first member of every tool's options.
struct tool_common {
    struct cli_common common;
    const char *command_config; // a property file
};

// Ends in 1, as Kafka's tools do when the command line is wrong. Requests of tools that have no --timeout wait so long.
enum { TOOL_WRONG = 1, TOOL_TIMEOUT_MS = 30000 };

// Rows of a tool's table of options.
#define TOOL_TEXT(options, option, member, value, text)                                                                \
    {                                                                                                                  \
        .name = option, .kind = CLI_TEXT, .offset = offsetof(options, member), .value_name = value, .help = text       \
    }
#define TOOL_LIST(options, option, member, value, text)                                                                \
    {                                                                                                                  \
        .name = option, .kind = CLI_LIST, .offset = offsetof(options, member), .value_name = value, .help = text       \
    }
#define TOOL_FLAG(options, option, member, text)                                                                       \
    {                                                                                                                  \
        .name = option, .kind = CLI_FLAG, .offset = offsetof(options, member), .help = text                            \
    }
#define TOOL_NUMBER(options, option, member, value, start, text)                                                       \
    {                                                                                                                  \
        .name = option, .kind = CLI_NUMBER, .offset = offsetof(options, member), .value_name = value,                  \
        .initial = start, .help = text                                                                                 \
    }
// --timeout, which Kafka's own tools call by other names or do not have.
#define TOOL_WAIT(options, member)                                                                                     \
    {                                                                                                                  \
        .name = "timeout", .kind = CLI_NUMBER, .offset = offsetof(options, member), .value_name = "MS",                \
        .initial = TOOL_TIMEOUT_MS, .least = 1, .bounded = true, .help = "longest wait for an answer"                  \
    }
// --bootstrap-server and --command-config, of a struct whose first member is a struct tool_common.
extern const struct cli_option tool_connection_options[];

// An option and whether the command line has it.
struct tool_use {
    const char *name;
    bool given;
};

// The tool that argv[0] names, or NULL.
const struct cli_command *tool_find(const char *argv0);
// Reads the command line as the tool does and runs it.
int tool_main(struct cli *cli, const struct cli_command *tool, int argc, char **argv);

// The text and the tool's options to standard error; TOOL_WRONG.
int tool_wrong(struct cli *cli, const struct cli_command *tool, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// The text alone; CLI_FAILED.
int tool_fail(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
// CLI_OK unless `option` is given beside one of `others` (ended by a row without a name); TOOL_WRONG after a message.
int tool_clash(struct cli *cli, const struct cli_command *tool, struct tool_use option, const struct tool_use *others);
// Options as Kafka's parser understands them: cut short where that leaves one choice, and with one dash. Words of argv
// are replaced by the full names, which live in the arena. Pure.
void tool_spell(const struct cli_command *tool, int argc, char **argv, struct arena *a);
// A topic as Kafka's tools take it: a regular expression for the whole name, ',' for "or". False: it is not one.
bool tool_pattern(const char *text, regex_t *out);
// Connects as --bootstrap-server and --command-config say. False after a message.
bool tool_connect(struct cli *cli, const struct cli_command *tool, const struct tool_common *common);
// How Java shows an error code: "org.apache.kafka.common.errors.GroupNotEmptyException: The group is not empty."
const char *tool_error(struct cli *cli, int16_t code);
// The same with the broker's own words, if it gave any.
const char *tool_error_with(struct cli *cli, int16_t code, struct bytes message);
// The broker's own words, or else those Java has for the code.
const char *tool_words(struct cli *cli, int16_t code, struct bytes message);
// "Classic" for "classic": as Java shows the types of groups. "Unknown" for nothing.
const char *tool_type(struct cli *cli, struct bytes type);
// Appends text in a column of that width and a space.
void tool_cell(struct cli *cli, size_t width, const char *text);

extern const struct cli_command tool_consumer_groups, tool_get_offsets, tool_groups, tool_console_consumer,
    tool_console_producer, tool_verifiable_producer, tool_verifiable_consumer, tool_topics, tool_configs,
    tool_broker_api_versions, tool_cluster, tool_delete_records, tool_dump_log, tool_leader_election, tool_log_dirs,
    tool_features, tool_metadata_quorum, tool_producer_perf, tool_reassign_partitions, tool_consumer_perf,
    tool_server_start, tool_server_stop, tool_storage;
extern const struct cli_command cli_tools_commands[]; // weir tools
