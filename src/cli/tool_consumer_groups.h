// SPDX-License-Identifier: Apache-2.0
//
// kafka-consumer-groups: what its files share.
#pragma once

#include "cli/groups.h"
#include "cli/tool.h"

struct tool_consumer_groups_options {
    struct tool_common tool;
    struct cli_list groups, topics;
    const char *state, *type, *to_datetime, *by_duration, *from_file; // state and type: "" when given without a value
    int64_t to_offset, shift_by;
    bool list, describe, reset, remove, delete_offsets, all_groups, all_topics, members, offsets, verbose, execute,
        dry_run, export_csv, to_earliest, to_latest, to_current;
};

int tool_consumer_groups_list(struct cli *cli, const struct tool_consumer_groups_options *o);
int tool_consumer_groups_describe(struct cli *cli, const struct tool_consumer_groups_options *o);
int tool_consumer_groups_reset(struct cli *cli, const struct tool_consumer_groups_options *o);
int tool_consumer_groups_delete(struct cli *cli, const struct tool_consumer_groups_options *o);
int tool_consumer_groups_delete_offsets(struct cli *cli, const struct tool_consumer_groups_options *o);
// The groups named, or with --all-groups every consumer group there is. False after a message.
bool tool_consumer_groups_chosen(struct cli *cli, const struct tool_consumer_groups_options *o, struct cli_list *out);
