// SPDX-License-Identifier: Apache-2.0
//
// Kafka's tool names: called as kafka-consumer-groups (or kafka-consumer-groups.sh), this program takes that tool's
// options, prints what it prints and ends with its exit codes, so that scripts run on unchanged. A tool is a row of the
// table in tool.c: a name, the tool's options, and a function that says the tool's words over what weir's own commands
// gather and do (groups.h, consume.h, produce.h, verify.h).
#pragma once

#include "cli/cli.h"

// The first member of every tool's options.
struct tool_common {
    struct cli_common common;
    const char *command_config; // a property file
};

// Ends in 1, as Kafka's tools do when the command line is wrong.
enum { TOOL_WRONG = 1 };

// The tool that argv[0] names, or NULL.
const struct cli_command *tool_find(const char *argv0);
// Reads the command line as the tool does and runs it.
int tool_main(struct cli *cli, const struct cli_command *tool, int argc, char **argv);

// The text and the tool's options to standard error; TOOL_WRONG.
int tool_wrong(struct cli *cli, const struct cli_command *tool, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// Connects as --bootstrap-server and --command-config say. False after a message.
bool tool_connect(struct cli *cli, const struct cli_command *tool, const struct tool_common *common);
// How Java shows an error code: "org.apache.kafka.common.errors.GroupNotEmptyException: The group is not empty."
const char *tool_error(struct cli *cli, int16_t code);
// "Classic" for "classic": as Java shows the types of groups. "Unknown" for nothing.
const char *tool_type(struct cli *cli, struct bytes type);
// Appends text in a column of that width and a space.
void tool_cell(struct cli *cli, size_t width, const char *text);

extern const struct cli_command tool_consumer_groups, tool_get_offsets, tool_groups, tool_console_consumer,
    tool_console_producer, tool_verifiable_producer, tool_verifiable_consumer;
extern const struct cli_command cli_tools_commands[]; // weir tools
