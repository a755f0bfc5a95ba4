// SPDX-License-Identifier: Apache-2.0
//
// kafka-configs: private to its two files.
#pragma once

#include "cli/admin_configs.h"
#include "cli/tool.h"

struct tool_configs_options {
    struct tool_common tool;
    struct cli_list types, names, additions, deletions; // --entity-type, --entity-name
    const char *topic, *client, *user, *broker, *broker_logger, *ip, *client_metrics, *group;
    const char *controller, *file;
    bool entity_default, client_defaults, user_defaults, broker_defaults, ip_defaults;
    bool alter, describe, all, force;
};

// What the command line names: one kind of thing, and one of them, all of them or their default.
struct tool_configs_entity {
    const char *type; // "topics"
    const char *name; // NULL: none was named; "" for the default
};

// "Error while executing config command with args '...'" and, below it, what Java calls the reason. CLI_FAILED.
int tool_configs_fail(struct cli *cli, const char *reason);
// The resource of an entity whose name is known.
struct configs_resource tool_configs_resource(const struct tool_configs_entity *entity);
// Its settings that were made on itself, or all. False after a message.
bool tool_configs_settings(struct cli *cli, const struct tool_configs_entity *entity, bool all,
                           struct describe_configs_response_result *out);

int tool_configs_alter(struct cli *cli, const struct tool_configs_options *o, const struct tool_configs_entity *entity);

// One "k1=v1,k2=[a,b],k3=" as Kafka reads it: commas and equals signs inside square brackets belong to the value, the
// brackets go. Appends SET operations; names and values live in the arena. False: not of that form. Pure.
bool tool_configs_parse(const char *text, struct arena *a, struct incremental_alter_configs_request_config *configs,
                        uint32_t max, uint32_t *count);
