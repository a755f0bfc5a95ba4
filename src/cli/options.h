// SPDX-License-Identifier: Apache-2.0
//
// Commands and their options as tables, and the one parser and help printer that all of them share. A command line is a
// path of command names (weir admin topics create), then options and arguments in any order; "--" ends the options. The
// options a family has in common may also stand between the names. Pure: prints into a buffer, touches nothing else.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"

enum cli_option_kind {
    CLI_FLAG,     // bool
    CLI_TEXT,     // const char *, NULL when not given
    CLI_NUMBER,   // int64_t
    CLI_SIZE,     // int64_t bytes; 64k, 1m, 2g in powers of 1024
    CLI_DURATION, // int64_t milliseconds; 500ms, 10s, 5m, 2h, 7d; a plain number is seconds
    CLI_CHOICE,   // int64_t, the place in choices
    CLI_LIST,     // struct cli_list; may be given many times
    CLI_OPTIONAL, // const char *, "" when given without a value; the next word is one unless it begins with a dash
};

struct cli_list {
    const char **items;
    uint32_t count;
};

struct cli_option {
    const char *name;       // without the dashes; NULL ends a table
    char letter;            // 0 for none
    uint8_t kind;           // enum cli_option_kind
    uint16_t offset;        // of the value in the command's options struct
    const char *value_name; // what help calls the value; NULL for flags
    const char *help;
    int64_t initial; // of number, size, duration and choice
    int64_t least;   // smallest number, size or duration accepted, when `bounded`
    bool bounded;
    const char *choices; // "none|gzip|snappy", for CLI_CHOICE
};

struct cli;
struct cli_parsed;

struct cli_command {
    const char *name;      // NULL ends a table
    const char *arguments; // as help shows them: "TOPIC [FILE]"; NULL for none
    const char *summary;   // one line
    const char *details;   // what to know before using it; NULL for nothing
    const char *examples;  // lines, each a command line or a comment
    const struct cli_command *children;
    const struct cli_option *options; // its own; they hide those of the family that have the same name
    const struct cli_option *shared;  // those of its family; offsets in the same struct
    uint16_t options_bytes;           // size of the options struct
    uint8_t arguments_min, arguments_max;
    bool raw; // everything behind the name is handed on unparsed
    int (*run)(struct cli *cli, const struct cli_parsed *parsed);
};

enum { CLI_DEPTH_MAX = 4 };

struct cli_parsed {
    const struct cli_command *command;
    const void *options; // the command's options struct
    const char **arguments;
    uint32_t argument_count;
    char path[96]; // "weir admin topics create"
};

enum cli_outcome {
    CLI_RUN,   // out is filled in
    CLI_HELP,  // message is the help asked for: standard output, exit 0
    CLI_USAGE, // message says what is wrong: standard error, exit 2
};

// Reads argv[1..argc) below root. out and what it points to live in the arena; argv must outlive it.
enum cli_outcome cli_parse(const struct cli_command *root, int argc, char **argv, struct arena *a,
                           struct cli_parsed *out, struct buf *message);

// The help of a command, path being its full name.
void cli_help(const struct cli_command *command, const char *path, struct buf *out);

// Text to value, as the parser does it: false when the text is not one.
bool cli_number_parse(const char *text, int64_t *out);
bool cli_size_parse(const char *text, int64_t *out);
bool cli_duration_parse(const char *text, int64_t *out_ms);
// text with \n, \t, \r, \0 and \\ put in their place; lives in the arena. p NULL: no memory.
struct bytes cli_unescape(const char *text, struct arena *a);
// Unix milliseconds, or ISO 8601: 2026-11-21, 2026-11-21T10:00, 2026-11-21T10:00:00.250Z, with Z or +hh:mm; without a
// zone it is UTC.
bool cli_time_parse(const char *text, int64_t *out_ms);
