// SPDX-License-Identifier: Apache-2.0
//
// kafka-topics: private to its two files.
#pragma once

#include "cli/admin_topics.h"
#include "cli/tool.h"

struct tool_topics_options {
    struct tool_common tool;
    const char *topic, *topic_id, *assignment, *delete_config;
    struct cli_list configs;
    int64_t partitions, replication_factor, size_limit; // -1: not given
    bool alter, create, remove, describe, list;
    bool if_exists, if_not_exists, exclude_internal;
    bool under_replicated, unavailable, under_min_isr, at_min_isr, with_overrides;
};

// The topics that --topic, --topic-id and --exclude-internal choose, sorted, of all there are.
struct tool_topics_chosen {
    struct metadata_response all;
    struct metadata_response_topic *items;
    uint32_t count;
    bool by_id; // which Kafka asks another request about
};

// "Error while executing topic command : text", as that tool says what went wrong: on standard output. CLI_FAILED.
int tool_topics_fail(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

int tool_topics_describe(struct cli *cli, const struct tool_topics_options *o, const struct tool_topics_chosen *chosen);
