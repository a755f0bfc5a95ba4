// SPDX-License-Identifier: Apache-2.0
//
// kafka-verifiable-producer and kafka-verifiable-consumer: weir verify under Kafka's names. The options are the same.
#include "cli/tool.h"
#include "cli/verify.h"

static const struct cli_option connection[] = {
    {.name = "bootstrap-server",
     .kind = CLI_TEXT,
     .offset = offsetof(struct cli_common, bootstrap),
     .value_name = "HOST1:PORT1[,HOST2:PORT2[...]]",
     .help = "REQUIRED: the server to connect to"},
    {.name = "broker-list",
     .kind = CLI_TEXT,
     .offset = offsetof(struct cli_common, bootstrap),
     .value_name = "HOST1:PORT1[,HOST2:PORT2[...]]",
     .help = "the old name of the same"},
    TOOL_WAIT(struct cli_common, timeout_ms),
    {0},
};

static int run_producer(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct verify_produce_options *o = parsed->options;
    if (!o->common.bootstrap || !o->topic)
        return tool_wrong(cli, &tool_verifiable_producer, "verifiable-producer: error: argument %s is required",
                          o->topic ? "--bootstrap-server" : "--topic");
    return verify_produce(cli, parsed);
}

static int run_consumer(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct verify_consume_options *o = parsed->options;
    if (!o->common.bootstrap || !o->topic || !o->group)
        return tool_wrong(cli, &tool_verifiable_consumer, "verifiable-consumer: error: argument %s is required",
                          !o->topic   ? "--topic"
                          : !o->group ? "--group-id"
                                      : "--bootstrap-server");
    return verify_consume(cli, parsed);
}

const struct cli_command tool_verifiable_producer = {
    .name = "kafka-verifiable-producer",
    .summary =
        "This tool produces increasing integers to the specified topic and prints JSON metadata to stdout on each "
        "\"send\" request, making externally visible which messages have been acked and which have not.",
    .options = verify_produce_cli_options,
    .shared = connection,
    .options_bytes = sizeof(struct verify_produce_options),
    .run = run_producer};

const struct cli_command tool_verifiable_consumer = {
    .name = "kafka-verifiable-consumer",
    .summary = "This tool consumes messages from a specific topic and emits consumer events (e.g. group rebalances, "
               "received messages, and offsets committed) as JSON objects to STDOUT.",
    .options = verify_consume_cli_options,
    .shared = connection,
    .options_bytes = sizeof(struct verify_consume_options),
    .run = run_consumer};
