// SPDX-License-Identifier: Apache-2.0
//
// The commands of weir admin groups: private to its files.
#pragma once

#include "cli/groups.h"

struct groups_options {
    struct cli_common common;
    struct cli_list states, types, topics;
    const char *to_datetime, *by_duration, *from_file, *reason;
    struct cli_list instances, members;
    int64_t to_offset, shift_by;
    bool to_earliest, to_latest, to_current, all_topics, execute, export_csv, all, no_time;
};

int admin_groups_list(struct cli *cli, const struct cli_parsed *parsed);
int admin_groups_describe(struct cli *cli, const struct cli_parsed *parsed);
int admin_groups_reset(struct cli *cli, const struct cli_parsed *parsed);
int admin_groups_delete(struct cli *cli, const struct cli_parsed *parsed);
int admin_groups_delete_offsets(struct cli *cli, const struct cli_parsed *parsed);
int admin_groups_remove_members(struct cli *cli, const struct cli_parsed *parsed);

