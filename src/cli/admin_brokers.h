// SPDX-License-Identifier: Apache-2.0
//
// What the commands about brokers and leaders ask for. cli->client is connected; false after a message.
#pragma once

#include "cli/cli.h"

struct brokers_options {
    struct cli_common common;
    bool check;
};

// Every broker that is registered, those that are fenced too, by id, with what our own nodes say besides (is_fenced,
// clock_ahead_ms, in_shutdown). A broker that is too old for that tells of those that live.
bool brokers_ask(struct cli *cli, struct describe_cluster_response *out);
// "2" to 2. False: *code is what to return.
bool brokers_id(struct cli *cli, const char *text, int32_t *out, int *code);

int admin_brokers_can_stop(struct cli *cli, const struct cli_parsed *parsed);
extern const struct cli_option admin_drain_options[]; // of 64 bytes
int admin_brokers_drain(struct cli *cli, const struct cli_parsed *parsed); // admin_reassign.c
int admin_brokers_remove(struct cli *cli, const struct cli_parsed *parsed);
