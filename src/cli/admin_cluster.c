// SPDX-License-Identifier: Apache-2.0
//
// weir admin brokers and quorum: who is in the cluster, who leads its metadata.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "model/kerr.h"

struct brokers_options {
    struct cli_common common;
    bool check;
};

// ------------------------------------------------------------------------------------------------ brokers

static int by_id(const void *a, const void *b)
{
    const struct metadata_response_broker *x = a, *y = b;
    return (x->node_id > y->node_id) - (x->node_id < y->node_id);
}

// How many partitions a broker leads and holds.
struct share {
    uint32_t leads, holds;
};

static struct share share_of(const struct metadata_response *all, int32_t id)
{
    struct share s = {0};
    for (uint32_t i = 0; i < all->topics_count; i++) {
        for (uint32_t k = 0; k < all->topics[i].partitions_count; k++) {
            const struct metadata_response_partition *p = &all->topics[i].partitions[k];
            s.leads += p->leader_id == id;
            for (uint32_t r = 0; r < p->replica_nodes_count; r++)
                s.holds += p->replica_nodes[r] == id;
        }
    }
    return s;
}

// Connects to a broker at the address it advertises; NULL when that works, else why not.
static const char *check_broker(struct cli *cli, int32_t id)
{
    struct metadata_request in;
    struct metadata_response out;
    struct metadata_request_topic none[1];
    metadata_request_init(&in);
    in.topics = none;
    in.allow_auto_topic_creation = false;
    struct client_call call = {.node_id = id,
                               .request = &metadata_request_message,
                               .answer = &metadata_response_message,
                               .in = &in,
                               .out = &out,
                               .arena = &cli->arena};
    return client_call(&cli->client, &call) == RC_OK ? NULL : cli->client.error;
}

static void one_broker(struct cli *cli, const struct metadata_response *all, const struct metadata_response_broker *b,
                       bool check, bool *bad, struct json *j, struct table *t)
{
    struct share s = share_of(all, b->node_id);
    const char *wrong = check ? check_broker(cli, b->node_id) : NULL;
    *bad |= wrong != NULL;
    if (j) {
        json_put_object(j);
        json_put_key_int(j, "id", b->node_id);
        json_put_key_text(j, "host", b->host);
        json_put_key_int(j, "port", b->port);
        json_put_key_text(j, "rack", b->rack);
        json_put_key_bool(j, "controller", b->node_id == all->controller_id);
        json_put_key_int(j, "leads", s.leads);
        json_put_key_int(j, "replicas", s.holds);
        if (check)
            json_put_key_str(j, "unreachable", wrong);
        json_put_object_end(j);
        return;
    }
    table_cell(t, "%d", b->node_id);
    table_cell(t, "%.*s:%d", (int)b->host.n, (const char *)b->host.p, b->port);
    table_cell(t, "%.*s", b->rack.n ? (int)b->rack.n : 1, b->rack.n ? (const char *)b->rack.p : "-");
    table_cell(t, "%u", s.leads);
    table_cell(t, "%u", s.holds);
    table_cell(t, "%s", b->node_id == all->controller_id ? "controller" : "");
    if (check)
        table_cell(t, "%s", wrong ? wrong : "reached");
}

// All brokers, or only one.
static int show_brokers(struct cli *cli, const struct brokers_options *o, bool check, int64_t only)
{
    uint32_t shown = 0;
    struct metadata_request in;
    struct metadata_response all;
    struct table t;
    struct json j;
    bool bad = false;
    metadata_request_init(&in);
    in.topics = NULL; // all: for the partitions each holds
    in.allow_auto_topic_creation = false;
    if (!cli_connect(cli, &o->common) ||
        !cli_ask(cli, CLIENT_NODE_ANY, &metadata_request_message, &in, &metadata_response_message, &all))
        return CLI_FAILED;
    qsort(all.brokers, all.brokers_count, sizeof(*all.brokers), by_id);
    json_init(&j, &cli->out, true);
    table_init(&t, &cli->arena,
               check ? ">ID|ADDRESS|RACK|>LEADS|>REPLICAS|ROLE|CHECK" : ">ID|ADDRESS|RACK|>LEADS|>REPLICAS|ROLE");
    if (o->common.json) {
        json_put_object(&j);
        json_put_key_text(&j, "cluster_id", all.cluster_id);
        json_put_key_int(&j, "controller", all.controller_id);
        json_put_key(&j, "brokers");
        json_put_array(&j);
    }
    for (uint32_t i = 0; i < all.brokers_count; i++) {
        if (only >= 0 && all.brokers[i].node_id != only)
            continue;
        shown++;
        one_broker(cli, &all, &all.brokers[i], check, &bad, o->common.json ? &j : NULL, &t);
    }
    if (only >= 0 && shown == 0)
        return cli_fail(cli, "there is no broker %lld; 'weir admin brokers list' shows which there are",
                        (long long)only);
    if (o->common.json) {
        json_put_array_end(&j);
        json_put_object_end(&j);
        buf_printf(&cli->out, "\n");
    } else {
        buf_printf(&cli->out, "cluster %.*s\n", (int)all.cluster_id.n,
                   all.cluster_id.p ? (const char *)all.cluster_id.p : "");
        table_print(&t, &cli->out);
    }
    int code = cli_done(cli);
    return bad ? cli_fail(cli, "at least one broker cannot be reached at the address it advertises; see "
                               "advertised.listeners or --advertise")
               : code;
}

static int brokers_list(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct brokers_options *o = parsed->options;
    return show_brokers(cli, o, o->check, -1);
}

static int brokers_describe(struct cli *cli, const struct cli_parsed *parsed)
{
    int64_t id;
    if (!cli_number_parse(parsed->arguments[0], &id) || id < 0)
        return cli_wrong(cli, "'%s' is not a broker's id.", parsed->arguments[0]);
    return show_brokers(cli, parsed->options, true, id);
}

#define PLACE(member) offsetof(struct brokers_options, member)

static const struct cli_option brokers_options[] = {
    {.name = "check",
     .kind = CLI_FLAG,
     .offset = PLACE(check),
     .help = "connect to each at the address it advertises; exit 1 when one cannot be reached"},
    {0},
};

const struct cli_command admin_brokers_commands[] = {
    {.name = "list",
     .summary = "Show every broker with its address and share of the partitions.",
     .options = brokers_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct brokers_options),
     .run = brokers_list,
     .examples = "weir admin brokers list\nweir admin brokers list --check"},
    {.name = "describe",
     .arguments = "ID",
     .summary = "Show one broker, and whether it can be reached.",
     .shared = cli_common_options,
     .options_bytes = sizeof(struct brokers_options),
     .arguments_min = 1,
     .arguments_max = 1,
     .run = brokers_describe,
     .examples = "weir admin brokers describe 1"},
    {0},
};
