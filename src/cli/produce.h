// SPDX-License-Identifier: Apache-2.0
//
// weir produce: what its two files share.
#pragma once

#include "cli/cli.h"
#include "client/producer.h"

enum { PRODUCE_HEADERS_MAX = 64, PRODUCE_ACKS_ALL = 0 };

enum produce_place { PRODUCE_KEY, PRODUCE_VALUE };

#define PRODUCE_CODECS "none|gzip|snappy|lz4|zstd" // in the order of enum codec

struct produce_options {
    struct cli_common common; // json: lines are JSON
    const char *key_delimiter, *timestamp_ms_text, *delimiter;
    struct cli_list header;
    int64_t partition, codec, level_given, acks, linger_ms, batch_bytes;
    bool headers, idempotent, not_idempotent, empty_is_null, no_create, quiet;
    const char *null_marker; // of kafka-console-producer: this text is null; NULL: none
    bool keep_going;         // a line that cannot be taken apart is a value, as ignore.error has it
    const char *headers_delimiter, *headers_separator, *headers_key_separator; // NULL: tab, comma, colon
};

struct produce {
    struct cli *cli;
    const struct produce_options *options;
    struct producer producer;
    struct producer_topic *topic;
    bool open;
    char delimiter;
    struct bytes key_delimiter; // p NULL: none
    int64_t timestamp_ms;
    struct record_header headers[PRODUCE_HEADERS_MAX]; // first those for every record
    uint32_t fixed_headers;
    uint8_t *input; // what was read and not sent
    size_t input_bytes, input_cap;
    uint64_t line, started_ns, progress_ns;
    struct buf decoded[2]; // of one JSON line: key and value that were not plain text
};

// The whole command, for tools of other names too: into topic, from files (none: standard input).
int produce_run(struct cli *cli, const struct produce_options *options, const char *topic, const char *const *files,
                uint32_t file_count);
// Sends one record; waits while memory is full. CLI_FAILED after a message.
int produce_record(struct produce *s, const struct producer_record *r);
// One line of --json input.
int produce_json_line(struct produce *s, struct bytes line);
void produce_json_deinit(struct produce *s);
