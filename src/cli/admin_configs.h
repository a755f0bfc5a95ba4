// SPDX-License-Identifier: Apache-2.0
//
// What weir admin configs asks brokers, which kafka-configs asks too. cli->client is connected; false after a message;
// codes inside the answers are the caller's to look at.
#pragma once

#include "cli/cli.h"

enum { CONFIGS_TOPIC = 2, CONFIGS_BROKER = 4, CONFIGS_GROUP = 32 };
enum { CONFIGS_SET = 0, CONFIGS_DELETE = 1, CONFIGS_APPEND = 2, CONFIGS_SUBTRACT = 3 };
enum {
    CONFIGS_SOURCE_TOPIC = 1,
    CONFIGS_SOURCE_BROKER = 2,
    CONFIGS_SOURCE_ALL_BROKERS = 3,
    CONFIGS_SOURCE_DEFAULT = 5,
    CONFIGS_SOURCE_GROUP = 8,
};

struct configs_resource {
    int8_t type;
    struct bytes name; // empty: the default of all brokers
    int32_t node_id;   // who must be asked
};

// The settings, sorted; *result lives in cli->arena.
bool configs_ask_describe(struct cli *cli, const struct configs_resource *r, bool synonyms, bool documentation,
                          struct describe_configs_response_result *result);
bool configs_ask_change(struct cli *cli, const struct configs_resource *r,
                        struct incremental_alter_configs_request_config *configs, uint32_t count, bool validate_only,
                        struct incremental_alter_configs_response_response *result);
