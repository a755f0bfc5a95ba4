// SPDX-License-Identifier: Apache-2.0
//
// weir verify produce and consume: Kafka's verifiable clients, with their options and their JSON events. Private to
// their files and to the tools of those names.
#pragma once

#include "cli/cli.h"

struct verify_produce_options {
    struct cli_common common;
    const char *topic, *value_prefix, *properties;
    int64_t max_messages, throughput, acks, create_time, repeating_keys;
};

struct verify_consume_options {
    struct cli_common common;
    const char *topic, *group, *instance_id, *protocol, *assignor, *strategy, *reset, *properties;
    int64_t max_messages, session_timeout_ms;
    bool verbose, auto_commit;
};

extern const struct cli_option verify_produce_cli_options[];
extern const struct cli_option verify_consume_cli_options[];
int verify_produce(struct cli *cli, const struct cli_parsed *parsed);
int verify_consume(struct cli *cli, const struct cli_parsed *parsed);

// Begins an event: an object with the time and the name. verify_event_end() closes it and writes the line out.
void verify_event(struct cli *cli, struct json *j, const char *name);
// False when nobody reads any more.
bool verify_event_end(struct cli *cli, struct json *j);
