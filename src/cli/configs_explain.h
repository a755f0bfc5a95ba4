// SPDX-License-Identifier: Apache-2.0
//
// weir admin configs explain: what the table of keys (meta/config.h) says about a name, and the value in force out of
// brokers' answers. Private to the files of that command. Printing is pure, admin_configs_explain.c does the asking.
#pragma once

#include "cli/cli.h"
#include "meta/config.h"

// What was learnt about one resource. All borrowed.
struct explain_resource {
    const char *where;   // "broker 1", "topic 'orders'"; "broker" while no broker is known
    const char *unknown; // why there is no answer; NULL when there is one
    const struct describe_configs_response_result *result; // NULL when there is none
};

struct explain_context {
    struct buf *out;
    struct arena *arena; // for the cells of tables
    struct json *json;   // NULL: tables
    bool with_topic;     // a topic was named; else topic keys show what topics inherit from the broker
    struct explain_resource topic, broker;
    uint32_t tables; // printed so far
};

// Prints all there is about one name. False when weir refuses the name: it is unknown, or an old one that is not read.
bool explain_name(struct explain_context *c, const char *name);
// Prints a key as it exists in one scope: a table, or a JSON object.
void explain_key(struct explain_context *c, enum config_scope scope, const struct config_key *key);
// Begins a table of two columns: "KEY" and name.
void explain_table(struct explain_context *c, struct table *t, const char *name);

// "default", "topic", ...: the words for DescribeConfigs' numbers.
const char *configs_source_text(int8_t source);

enum { CONFIGS_EXPLAIN_OPTIONS_BYTES = 64 };
extern const struct cli_option configs_explain_options[];
int admin_configs_explain(struct cli *cli, const struct cli_parsed *parsed);
