// SPDX-License-Identifier: Apache-2.0
//
// weir consume: what its files share.
#pragma once

#include "cli/cli.h"
#include "client/reader.h"

enum consume_output { CONSUME_TEXT, CONSUME_RAW, CONSUME_NONE };
enum { CONSUME_PIECES_MAX = 64, CONSUME_TOPICS_MAX = 255, CONSUME_LEAVE_MS = 5000 };

// How kafka-console-consumer prints a record: what is wanted stands in a fixed order with the separator between.
struct consume_console {
    bool timestamp, partition, offset, headers, key, value;
    struct bytes key_separator, line_separator, headers_separator, null_literal;
};

struct consume_options {
    struct cli_common common;
    const char *offset, *timestamp, *format, *delimiter, *key_delimiter;
    const char *group, *instance_id, *strategy;
    struct cli_list partitions;
    int64_t count, output, isolation, protocol, session_timeout_ms, commit_interval_ms, idle_ms;
    bool from_beginning, exit_at_end, no_commit;
    const struct consume_console *console; // NULL: weir's own ways
    bool idle_is_error;                    // --exit-when-idle ends with an error, as Kafka's tool has it
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

struct consume_topic {
    struct client_topic *topic;
    int64_t *ends;     // by partition: where --exit-at-end stops; -1: not looked up
    int32_t end_count; // partitions there were when it began; more may come
};

struct consume {
    struct cli *cli;
    const struct consume_options *options;
    struct consumer consumer; // without a group
    struct reader reader;     // with one
    struct consume_topic *topics;
    uint32_t topic_count;
    struct consume_format format;
    struct bytes delimiter, key_delimiter; // p NULL: none
    struct buf inflated;
    void *workspace;
    uint32_t going_on; // partitions that have not come to their end
    uint64_t records, bytes, heard_ns;
    uint64_t empty_since_ns; // of a member that was given nothing yet; 0: it has not settled since
    bool append_time; // of the batch being printed: its timestamps are the broker's
    bool stop, interrupted;
    int code;
};

struct consume_start {
    enum { START_END, START_BEGINNING, START_TIME, START_AT, START_BEFORE_END } kind;
    int64_t value; // of the last three
};

// Reads a format; text is unescaped in place. False when it holds an unknown letter or too many pieces.
bool consume_format_parse(struct consume_format *f, char *text);
// Appends one record as the options ask.
void consume_print(struct consume *s, const struct client_topic *topic, int32_t partition, const struct record *r);

// Prints the records of a batch from `from` on, as far as the options let it; *position moves behind the last one. Sets
// s->stop when that was all that was wanted, or nothing more can be.
void consume_batch(struct consume *s, const struct client_topic *topic, int32_t partition, const struct batch_header *h,
                   struct bytes batch, int64_t from, int64_t *position);
struct consume_topic *consume_topic_of(struct consume *s, const struct client_topic *topic);
// Whether it is time to stop: ^C, enough records, nothing came for too long.
bool consume_over(struct consume *s);

// consume_assigned.c: reads given partitions. consume_group.c: reads as a member of a group.
int consume_assigned(struct consume *s, const struct consume_start *start);
int consume_group(struct consume *s, const struct consume_start *start);

// The whole command, for tools of other names too. *read (may be NULL) is how many records were printed.
int consume_run(struct cli *cli, const struct consume_options *options, const char *const *topics, uint32_t topic_count,
                uint64_t *read);
