// SPDX-License-Identifier: Apache-2.0
//
// The tables of commands that the families of files define: private to the cli room.
#pragma once

#include "cli/cli.h"

extern const struct cli_command admin_commands[];
extern const struct cli_command admin_topics_commands[];
extern const struct cli_command admin_configs_commands[];
extern const struct cli_command admin_brokers_commands[];
extern const struct cli_command admin_quorum_commands[];
extern const struct cli_command admin_log_dirs_commands[];
extern const struct cli_command admin_groups_commands[];
extern const struct cli_command admin_log_commands[];
extern const struct cli_command admin_producers_commands[];

int admin_api_versions_run(struct cli *cli, const struct cli_parsed *parsed);
extern const struct cli_option admin_api_versions_options[];

int cli_produce(struct cli *cli, const struct cli_parsed *parsed);
extern const struct cli_option cli_produce_options[];
int cli_consume(struct cli *cli, const struct cli_parsed *parsed);
extern const struct cli_option cli_consume_options[];
extern const struct cli_command cli_perf_commands[];
extern const struct cli_command cli_verify_commands[];
