// SPDX-License-Identifier: Apache-2.0
//
// Moving a group's offsets: what the new ones are, and writing them. For weir admin groups reset and Kafka's tool.
#pragma once

#include "cli/groups.h"

enum groups_reset_kind {
    RESET_NONE,
    RESET_EARLIEST,
    RESET_LATEST,
    RESET_CURRENT,  // what it is; the end where nothing is committed
    RESET_OFFSET,   // value
    RESET_DATETIME, // value: the first record at or after it, in ms
    RESET_SHIFT,    // by value
    RESET_FILE,     // offsets stand in the plan already
};

struct groups_reset_row {
    struct bytes topic;
    int32_t partition;
    int64_t current; // GROUPS_UNKNOWN: nothing is committed
    int64_t log_start, log_end;
    int64_t next;
    int64_t asked;  // what would have been, were it in the log; equal to next when it is
    bool empty_log; // a time was asked for, and no record has it or a later one
};

struct groups_reset {
    enum groups_reset_kind kind;
    int64_t value;
    struct groups_reset_row *rows; // by topic and partition
    uint32_t count;
};

// The scope: rows for these partitions, or (list NULL) for everything the group has committed.
int groups_reset_scope(struct cli *cli, const struct groups_group *g, const struct groups_partition *list,
                       uint32_t count, struct groups_reset *r);
// Rows and offsets out of a file of lines TOPIC,PARTITION,OFFSET; '#' begins a comment.
int groups_reset_read(struct cli *cli, const char *path, struct groups_reset *r);
// Fills in current (out of g's rows), log bounds and next.
int groups_reset_plan(struct cli *cli, const struct groups_group *g, struct groups_reset *r);
// Commits every next. The group must be inactive.
int groups_reset_commit(struct cli *cli, const struct groups_group *g, const struct groups_reset *r);

// "PT1H30M", "P7D" as Java writes durations, or 90m, 7d. False when it is neither.
bool groups_duration_parse(const char *text, int64_t *ms);
// Where a shift or an offset leads, kept within the log. Pure.
int64_t groups_reset_clamp(int64_t asked, int64_t log_start, int64_t log_end);
