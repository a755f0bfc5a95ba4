// SPDX-License-Identifier: Apache-2.0
//
// kafka-leader-election: lets the controller elect the preferred leaders, or any where none is left in sync.
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cli/commands.h"
#include "cli/tool_partitions.h"

enum { ELECTION_PREFERRED = 0, ELECTION_UNCLEAN = 1, KERR_ELECTION_NOT_NEEDED = 84 };

struct election_options {
    struct tool_common tool;
    const char *type, *topic, *file;
    int64_t partition;
    bool all;
};

static const struct cli_option options[] = {
    TOOL_TEXT(struct election_options, "election-type", type, "preferred|unclean", "REQUIRED: which election"),
    TOOL_FLAG(struct election_options, "all-topic-partitions", all, "of every partition that may need it"),
    TOOL_TEXT(struct election_options, "topic", topic, "TOPIC", "of one partition of this topic"),
    TOOL_NUMBER(struct election_options, "partition", partition, "N", -1, "that partition"),
    TOOL_TEXT(struct election_options, "path-to-json-file", file, "FILE",
              "of these: {\"partitions\":[{\"topic\":\"a\",\"partition\":1}]}"),
    TOOL_TEXT(struct election_options, "admin.config", tool.command_config, "FILE",
              "the old name of --command-config"),
    {0},
};

static int check(struct cli *cli, const struct election_options *o)
{
    if (o->type && strcasecmp(o->type, "preferred") != 0 && strcasecmp(o->type, "unclean") != 0)
        return tool_fail(cli, "Cannot parse argument '%s' of option election-type", o->type);
    if (!o->tool.common.bootstrap || !o->type)
        return tool_fail(cli, "Missing required option(s): %s%s%s", o->tool.common.bootstrap ? "" : "bootstrap-server",
                         o->tool.common.bootstrap || o->type ? "" : ", ", o->type ? "" : "election-type");
    if ((o->topic != NULL) + o->all + (o->file != NULL) != 1)
        return tool_fail(cli, "One and only one of the following options is required: topic, all-topic-partitions, "
                              "path-to-json-file");
    if (o->topic && o->partition == -1)
        return tool_fail(cli, "Missing required option(s): partition");
    if (!o->topic && o->partition != -1)
        return tool_fail(cli, "Option partition is only allowed if topic is used");
    if (o->partition < -1 || o->partition > INT32_MAX)
        return tool_fail(cli, "Cannot parse argument '%lld' of option partition", (long long)o->partition);
    return CLI_OK;
}

// One row of the request a partition: brokers take them so.
static bool ask(struct cli *cli, int8_t type, const struct tool_partitions *list, struct elect_leaders_response *out)
{
    struct elect_leaders_request in;
    elect_leaders_request_init(&in);
    in.election_type = type;
    in.timeout_ms = TOOL_TIMEOUT_MS;
    in.topic_partitions = NULL; // all
    if (list) {
        in.topic_partitions = cli_alloc(cli, (size_t)list->count + 1, sizeof(*in.topic_partitions));
        in.topic_partitions_count = list->count;
        for (uint32_t i = 0; i < list->count; i++)
            in.topic_partitions[i] =
                (struct elect_leaders_request_topic_partition){.topic = bytes_str(list->items[i].topic),
                                                               .partitions = &list->items[i].partition,
                                                               .partitions_count = 1};
    }
    return cli_ask(cli, CLIENT_NODE_CONTROLLER, &elect_leaders_request_message, &in, &elect_leaders_response_message,
                   out);
}

// "a-0, b-1": the partitions with that code.
static const char *names_with(struct cli *cli, const struct elect_leaders_response *all, int16_t code)
{
    const char *text = "";
    for (uint32_t i = 0; i < all->replica_election_results_count; i++) {
        const struct elect_leaders_response_replica_election_result *t = &all->replica_election_results[i];
        for (uint32_t k = 0; k < t->partition_result_count; k++)
            if (t->partition_result[k].error_code == code && text)
                text = arena_printf(&cli->arena, "%s%s%.*s-%d", text, *text ? ", " : "", (int)t->topic.n,
                                    (const char *)t->topic.p, t->partition_result[k].partition_id);
    }
    return text ? text : "";
}

static int print_failed(struct cli *cli, const char *type, const struct elect_leaders_response *all)
{
    uint32_t failed = 0;
    for (uint32_t i = 0; i < all->replica_election_results_count; i++) {
        const struct elect_leaders_response_replica_election_result *t = &all->replica_election_results[i];
        for (uint32_t k = 0; k < t->partition_result_count; k++) {
            const struct elect_leaders_response_partition_result *p = &t->partition_result[k];
            if (p->error_code == 0 || p->error_code == KERR_ELECTION_NOT_NEEDED)
                continue;
            failed++;
            buf_printf(&cli->out, "Error completing leader election (%s) for partition: %.*s-%d: %s\n", type,
                       (int)t->topic.n, (const char *)t->topic.p, p->partition_id,
                       tool_error_with(cli, p->error_code, p->error_message));
        }
    }
    return failed ? tool_fail(cli, "%u replica(s) could not be elected", failed) : CLI_OK;
}

static int elect(struct cli *cli, const char *type, const struct tool_partitions *list)
{
    struct elect_leaders_response all;
    struct metadata_response brokers;
    if (!admin_ask_brokers(cli, CLIENT_NODE_CONTROLLER, &brokers))
        return CLI_FAILED;
    const struct client_connection *at = client_connection_of(&cli->client, CLIENT_NODE_CONTROLLER);
    if (at && at->versions[elect_leaders_request_message.key].max < 0)
        return tool_fail(cli,
                         "java.util.concurrent.ExecutionException: "
                         "org.apache.kafka.common.errors.UnsupportedVersionException: The node does not support "
                         "ELECT_LEADERS");
    if (!ask(cli, *type == 'U' ? ELECTION_UNCLEAN : ELECTION_PREFERRED, list, &all))
        return CLI_FAILED;
    if (all.error_code)
        return tool_fail(cli, "%s", tool_error(cli, all.error_code));
    const char *done = names_with(cli, &all, 0), *needless = names_with(cli, &all, KERR_ELECTION_NOT_NEEDED);
    if (*done)
        buf_printf(&cli->out, "Successfully completed leader election (%s) for partitions %s\n", type, done);
    if (*needless)
        buf_printf(&cli->out, "Valid replica already elected for partitions %s\n", needless);
    return print_failed(cli, type, &all);
}

static int run(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct election_options *o = parsed->options;
    struct tool_partition one = {.topic = o->topic, .partition = (int32_t)o->partition, .offset = -1};
    struct tool_partitions list = {.items = &one, .count = 1, .twice = 1};
    int code = check(cli, o);
    if (code != CLI_OK)
        return code;
    if (o->file && !tool_partitions_read(cli, o->file, false, &list))
        return CLI_FAILED;
    if (list.twice < list.count)
        return tool_fail(cli, "Replica election data contains duplicate partitions: [%s-%d]",
                         list.items[list.twice].topic, list.items[list.twice].partition);
    if (!tool_connect(cli, &tool_leader_election, &o->tool))
        return CLI_FAILED;
    code = elect(cli, strcasecmp(o->type, "unclean") == 0 ? "UNCLEAN" : "PREFERRED", o->all ? NULL : &list);
    return code == CLI_OK ? cli_done(cli) : code;
}

const struct cli_command tool_leader_election = {
    .name = "kafka-leader-election",
    .summary = "This tool attempts to elect a new leader for a set of topic partitions. The type of elections "
               "supported are preferred replicas and unclean replicas.",
    .options = options,
    .shared = tool_connection_options,
    .options_bytes = sizeof(struct election_options),
    .run = run};
