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
extern const struct cli_command admin_leaders_commands[];
extern const struct cli_command admin_reassign_commands[];
extern const struct cli_command admin_features_commands[];
extern const struct cli_command admin_metadata_commands[];
extern const struct cli_command admin_log_dirs_commands[];
extern const struct cli_command admin_groups_commands[];
extern const struct cli_command admin_log_commands[];
extern const struct cli_command admin_producers_commands[];

int admin_api_versions_run(struct cli *cli, const struct cli_parsed *parsed);
extern const struct cli_option admin_api_versions_options[];

// What the tools of Kafka's names ask too; cli->client is connected, false after a message, answers live in cli->arena.
// The brokers as one of them knows them; the connection has learnt its versions then.
bool admin_ask_brokers(struct cli *cli, int32_t node_id, struct metadata_response *out);
// The version of a request (NULL: an unknown one) this program would speak; -1 for none.
int admin_api_used(const struct schema_message *m, const struct client_versions *v);
// The partition of the metadata log as its leader sees it; codes were looked at. The whole answer is in *out.
const struct describe_quorum_response_partition *admin_ask_quorum(struct cli *cli,
                                                                  struct describe_quorum_response *out);
// The log folders of a broker, with what lies in them of one topic, or of all when it is NULL.
bool admin_ask_log_dirs(struct cli *cli, int32_t node_id, const char *topic, struct describe_log_dirs_response *out);

int cli_produce(struct cli *cli, const struct cli_parsed *parsed);
extern const struct cli_option cli_produce_options[];
int cli_consume(struct cli *cli, const struct cli_parsed *parsed);
extern const struct cli_option cli_consume_options[];
extern const struct cli_command cli_perf_commands[];
extern const struct cli_command cli_verify_commands[];
