// SPDX-License-Identifier: Apache-2.0
//
// The commands of weir admin topics: private to its three files.
#pragma once

#include <stdio.h>

#include "cli/cli.h"

struct topics_list_options {
    struct cli_common common;
    bool internal, names;
};

int admin_topics_list(struct cli *cli, const struct cli_parsed *parsed);
int admin_topics_describe(struct cli *cli, const struct cli_parsed *parsed);

struct topics_change_options {
    struct cli_common common;
    int64_t partitions, replication_factor, partition;
    struct cli_list configs;
    const char *before;
    bool if_exists, if_not_exists, dry_run;
};

int admin_topics_create(struct cli *cli, const struct cli_parsed *parsed);
int admin_topics_delete(struct cli *cli, const struct cli_parsed *parsed);
int admin_topics_alter(struct cli *cli, const struct cli_parsed *parsed);
int admin_topics_delete_records(struct cli *cli, const struct cli_parsed *parsed);
