// SPDX-License-Identifier: Apache-2.0
//
// The commands of weir admin topics, and what they ask brokers, which Kafka's tools by their own names ask too
// (tool_topics.c, tool_delete_records.c). cli->client is connected.
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

// Metadata of the named topics, or of all when count is 0; topics and partitions sorted. This and the next return false
// after a message; codes inside the answers are the caller's to look at. Answers live in cli->arena.
bool topics_ask(struct cli *cli, const char *const *names, uint32_t count, struct metadata_response *out);
bool topics_ask_create(struct cli *cli, struct create_topics_request_topic *topics, uint32_t count, int64_t timeout_ms,
                       bool validate_only, struct create_topics_response *out);
bool topics_ask_delete(struct cli *cli, const char *const *names, uint32_t count, int64_t timeout_ms,
                       struct delete_topics_response *out);
bool topics_ask_partitions(struct cli *cli, struct create_partitions_request_topic *topics, uint32_t count,
                           int64_t timeout_ms, bool validate_only, struct create_partitions_response *out);
// Asks the partition's leader; the partition is one of t's.
bool topics_ask_delete_records(struct cli *cli, const struct client_topic *t, int32_t partition, int64_t before,
                               struct delete_records_response_partition *answer);
// The settings of topics. False without a message: brokers that cannot tell are passed over.
bool topics_ask_configs(struct cli *cli, const struct bytes *names, uint32_t count,
                        struct describe_configs_response *out);
// min.insync.replicas among them; 1 where r is NULL or does not say.
int64_t topics_min_isr(const struct describe_configs_response_result *r);
