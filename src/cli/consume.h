// SPDX-License-Identifier: Apache-2.0
//
// weir consume: what its two files share.
#pragma once

#include "cli/cli.h"
#include "client/consumer.h"

enum consume_output { CONSUME_TEXT, CONSUME_RAW, CONSUME_NONE };
enum { CONSUME_PIECES_MAX = 64 };

struct consume_options {
    struct cli_common common;
    const char *offset, *timestamp, *format, *delimiter, *key_delimiter;
    struct cli_list partitions;
    int64_t count, output, isolation;
    bool from_beginning, exit_at_end;
};

// A --format taken apart: text, then what stands for a letter (0: nothing).
struct consume_piece {
    struct bytes text;
    char letter;
};

struct consume_format {
    struct consume_piece pieces[CONSUME_PIECES_MAX];
    uint32_t count;
};

struct consume {
    struct cli *cli;
    const struct consume_options *options;
    struct consumer consumer;
    struct client_topic *topic;
    struct consume_format format;
    struct bytes delimiter, key_delimiter; // p NULL: none
    struct buf inflated;
    void *workspace;
    int64_t *ends;     // by partition: where --exit-at-end stops
    uint32_t going_on; // partitions that have not come to their end
    uint64_t records, bytes;
    int code;
};

// Reads a format; text is unescaped in place. False when it holds an unknown letter or too many pieces.
bool consume_format_parse(struct consume_format *f, char *text);
// Appends one record as the options ask.
void consume_print(struct consume *s, int32_t partition, const struct record *r);
