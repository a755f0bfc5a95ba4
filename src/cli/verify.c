// SPDX-License-Identifier: Apache-2.0
//
// The table of weir verify, and what its two commands share: one event a line, in the order of Kafka's members.
#include "cli/verify.h"

#include "cli/commands.h"

void verify_event(struct cli *cli, struct json *j, const char *name)
{
    json_init(j, &cli->out, false);
    json_put_object(j);
    json_put_key_int(j, "timestamp", io_wall_ms(cli->io));
    json_put_key_str(j, "name", name);
}

bool verify_event_end(struct cli *cli, struct json *j)
{
    json_put_object_end(j);
    buf_append(&cli->out, "\n", 1);
    return cli_flush(cli);
}

#define PRODUCE(member) offsetof(struct verify_produce_options, member)

const struct cli_option verify_produce_cli_options[] = {
    {.name = "topic", .kind = CLI_TEXT, .offset = PRODUCE(topic), .value_name = "TOPIC", .help = "into this topic"},
    {.name = "max-messages",
     .kind = CLI_NUMBER,
     .offset = PRODUCE(max_messages),
     .value_name = "N",
     .initial = -1,
     .help = "so many records; -1 (the default): until it is stopped"},
    {.name = "throughput",
     .kind = CLI_NUMBER,
     .offset = PRODUCE(throughput),
     .value_name = "N",
     .initial = -1,
     .help = "about so many a second; -1 (the default): as fast as it goes"},
    {.name = "acks",
     .kind = CLI_NUMBER,
     .offset = PRODUCE(acks),
     .value_name = "N",
     .initial = -1,
     .help = "who must have a batch: -1 all in sync (the default), 1 the leader, 0 nobody"},
    {.name = "message-create-time",
     .kind = CLI_NUMBER,
     .offset = PRODUCE(create_time),
     .value_name = "MS",
     .initial = -1,
     .help = "timestamps from this one on, a millisecond a record; -1 (the default): the time of sending"},
    {.name = "value-prefix",
     .kind = CLI_TEXT,
     .offset = PRODUCE(value_prefix),
     .value_name = "TEXT",
     .help = "stands before each value, with a dot between"},
    {.name = "repeating-keys",
     .kind = CLI_NUMBER,
     .offset = PRODUCE(repeating_keys),
     .value_name = "N",
     .initial = 0,
     .least = 1,
     .bounded = true,
     .help = "keys 0 to N-1, again and again; default: no keys"},
    {.name = "producer.config",
     .kind = CLI_TEXT,
     .offset = PRODUCE(properties),
     .value_name = "FILE",
     .help = "properties of a Kafka producer; those that would change what this program does are refused"},
    {0},
};

#define CONSUME(member) offsetof(struct verify_consume_options, member)

const struct cli_option verify_consume_cli_options[] = {
    {.name = "topic", .kind = CLI_TEXT, .offset = CONSUME(topic), .value_name = "TOPIC", .help = "from this topic"},
    {.name = "group-id", .kind = CLI_TEXT, .offset = CONSUME(group), .value_name = "GROUP", .help = "in this group"},
    {.name = "group-instance-id",
     .kind = CLI_TEXT,
     .offset = CONSUME(instance_id),
     .value_name = "ID",
     .help = "as this static member"},
    {.name = "group-protocol",
     .kind = CLI_TEXT,
     .offset = CONSUME(protocol),
     .value_name = "NAME",
     .help = "classic (the default) or consumer"},
    {.name = "group-remote-assignor",
     .kind = CLI_TEXT,
     .offset = CONSUME(assignor),
     .value_name = "NAME",
     .help = "the broker's assignor, with --group-protocol consumer"},
    {.name = "assignment-strategy",
     .kind = CLI_TEXT,
     .offset = CONSUME(strategy),
     .value_name = "NAME",
     .help = "range (the default), roundrobin, cooperative-sticky, or the name of Kafka's class"},
    {.name = "max-messages",
     .kind = CLI_NUMBER,
     .offset = CONSUME(max_messages),
     .value_name = "N",
     .initial = -1,
     .help = "so many records; -1 (the default): until it is stopped"},
    {.name = "session-timeout",
     .kind = CLI_NUMBER,
     .offset = CONSUME(session_timeout_ms),
     .value_name = "MS",
     .initial = 45000,
     .least = 1,
     .bounded = true,
     .help = "a member that says nothing for so long is taken for dead (default 45000)"},
    {.name = "reset-policy",
     .kind = CLI_TEXT,
     .offset = CONSUME(reset),
     .value_name = "POLICY",
     .help = "where there is no offset: earliest (the default), latest or none"},
    {.name = "enable-autocommit",
     .kind = CLI_FLAG,
     .offset = CONSUME(auto_commit),
     .help = "commit every five seconds; default: behind each event records_consumed"},
    {.name = "verbose", .kind = CLI_FLAG, .offset = CONSUME(verbose), .help = "an event record_data for each record"},
    {.name = "consumer.config",
     .kind = CLI_TEXT,
     .offset = CONSUME(properties),
     .value_name = "FILE",
     .help = "properties of a Kafka consumer; those that would change what this program does are refused"},
    {0},
};

const struct cli_command cli_verify_commands[] = {
    {.name = "produce",
     .summary = "Write numbers and say of each whether it was acknowledged, in JSON.",
     .details =
         "Events: startup_complete, producer_send_success, producer_send_error, shutdown_complete, tool_data. The "
         "options and events are those of Kafka's verifiable producer.",
     .options = verify_produce_cli_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct verify_produce_options),
     .run = verify_produce,
     .examples = "weir verify produce --topic orders --max-messages 1000 --throughput 100"},
    {.name = "consume",
     .summary = "Read as a member of a group and say what comes, in JSON.",
     .details =
         "Events: startup_complete, partitions_assigned, partitions_revoked, records_consumed, record_data, "
         "offsets_committed, shutdown_complete. The options and events are those of Kafka's verifiable consumer.",
     .options = verify_consume_cli_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct verify_consume_options),
     .run = verify_consume,
     .examples = "weir verify consume --topic orders --group-id check --max-messages 1000 --verbose"},
    {0},
};
