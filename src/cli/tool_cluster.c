// SPDX-License-Identifier: Apache-2.0
//
// kafka-cluster: cluster-id, list-endpoints, unregister.
#include <stdio.h>
#include <string.h>

#include "cli/admin_brokers.h"
#include "cli/commands.h"
#include "cli/tool.h"

struct cluster_options {
    struct tool_common tool;
    const char *controller;
    int64_t id;
    bool fenced;
};

static const struct cli_option options[] = {
    {.name = "bootstrap-server",
     .letter = 'b',
     .kind = CLI_TEXT,
     .offset = offsetof(struct cluster_options, tool.common.bootstrap),
     .value_name = "HOST:PORT[,...]",
     .help = "the brokers to ask first"},
    {.name = "bootstrap-controller",
     .letter = 'C',
     .kind = CLI_TEXT,
     .offset = offsetof(struct cluster_options, controller),
     .value_name = "HOST:PORT[,...]",
     .help = "the same: every node answers"},
    {.name = "config",
     .letter = 'c',
     .kind = CLI_TEXT,
     .offset = offsetof(struct cluster_options, tool.command_config),
     .value_name = "FILE",
     .help = "properties for the connection"},
    TOOL_NUMBER(struct cluster_options, "id", id, "ID", -1, "of unregister: the broker"),
    TOOL_FLAG(struct cluster_options, "include-fenced-brokers", fenced,
              "of list-endpoints: those too that have stopped"),
    {0},
};

static int list_endpoints(struct cli *cli, bool fenced)
{
    struct describe_cluster_response all;
    int host = 0, rack = 0;
    if (!brokers_ask(cli, &all))
        return CLI_FAILED;
    for (uint32_t i = 0; i < all.brokers_count; i++) {
        host = (int)all.brokers[i].host.n > host ? (int)all.brokers[i].host.n : host;
        rack = (int)all.brokers[i].rack.n > rack ? (int)all.brokers[i].rack.n : rack;
    }
    rack = rack ? rack : 10;
    buf_printf(&cli->out, "%-10s %-*s %-10s %-*s %-10s %-15s\n", "ID", host, "HOST", "PORT", rack, "RACK", "STATE",
               "ENDPOINT_TYPE");
    for (uint32_t i = 0; i < all.brokers_count; i++) {
        const struct describe_cluster_response_broker *b = &all.brokers[i];
        if (b->is_fenced && !fenced)
            continue;
        buf_printf(&cli->out, "%-10d %-*.*s %-10d %-*.*s %-10s %-15s\n", b->broker_id, host, (int)b->host.n,
                   (const char *)b->host.p, b->port, rack, b->rack.p ? (int)b->rack.n : 4,
                   b->rack.p ? (const char *)b->rack.p : "null", b->is_fenced ? "fenced" : "unfenced", "broker");
    }
    return CLI_OK;
}

static int unregister(struct cli *cli, int64_t id)
{
    struct unregister_broker_request in;
    struct unregister_broker_response out;
    const struct client_connection *at = client_connection_of(&cli->client, CLIENT_NODE_ANY);
    if (!at || at->versions[unregister_broker_request_message.key].max < 0) {
        buf_printf(&cli->out, "The target cluster does not support the broker unregistration API.\n");
        return CLI_OK;
    }
    unregister_broker_request_init(&in);
    in.broker_id = (int32_t)id;
    if (!cli_ask(cli, CLIENT_NODE_CONTROLLER, &unregister_broker_request_message, &in,
                 &unregister_broker_response_message, &out))
        return CLI_FAILED;
    if (out.error_code)
        return tool_fail(cli, "%s", tool_error_with(cli, out.error_code, out.error_message));
    buf_printf(&cli->out, "Broker %lld is no longer registered.\n", (long long)id);
    return CLI_OK;
}

static int run(struct cli *cli, const struct cli_parsed *parsed)
{
    struct cluster_options o = *(const struct cluster_options *)parsed->options;
    const char *verb = parsed->arguments[0];
    bool is_unregister = strcmp(verb, "unregister") == 0;
    if (strcmp(verb, "cluster-id") != 0 && strcmp(verb, "list-endpoints") != 0 && !is_unregister)
        return tool_wrong(cli, &tool_cluster,
                          "kafka-cluster: error: invalid choice: '%s' (choose from 'cluster-id', 'unregister', "
                          "'list-endpoints')",
                          verb);
    if (is_unregister && (o.id < 0 || o.id > INT32_MAX))
        return tool_wrong(cli, &tool_cluster, "kafka-cluster: error: argument --id/-i is required");
    if (!o.tool.common.bootstrap)
        o.tool.common.bootstrap = o.controller;
    if (!o.tool.common.bootstrap)
        return tool_wrong(cli, &tool_cluster,
                          "kafka-cluster: error: one of the arguments --bootstrap-server/-b "
                          "--bootstrap-controller/-C is required");
    if (!tool_connect(cli, &tool_cluster, &o.tool))
        return CLI_FAILED;
    int code = CLI_OK;
    if (is_unregister)
        code = unregister(cli, o.id);
    else if (*verb == 'l')
        code = list_endpoints(cli, o.fenced);
    else if (cli->client.cluster_id[0])
        buf_printf(&cli->out, "Cluster ID: %s\n", cli->client.cluster_id);
    else
        buf_printf(&cli->out, "No cluster ID found. The Kafka version is probably too old.\n");
    return code == CLI_OK ? cli_done(cli) : code;
}

const struct cli_command tool_cluster = {.name = "kafka-cluster",
                                         .arguments = "cluster-id|list-endpoints|unregister",
                                         .summary = "The Kafka cluster tool.",
                                         .options = options,
                                         .options_bytes = sizeof(struct cluster_options),
                                         .arguments_min = 1,
                                         .arguments_max = 1,
                                         .run = run};
