// SPDX-License-Identifier: Apache-2.0
//
// weir admin brokers: who is in the cluster, whether each can be reached, and how it is.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/admin_brokers.h"
#include "cli/commands.h"
#include "model/kerr.h"

enum { DESCRIBE_CLUSTER_FENCED_VERSION = 2 };

static int by_id(const void *a, const void *b)
{
    const struct describe_cluster_response_broker *x = a, *y = b;
    return (x->broker_id > y->broker_id) - (x->broker_id < y->broker_id);
}

// As Metadata tells it, of a broker that knows no better.
static bool ask_metadata(struct cli *cli, struct describe_cluster_response *out)
{
    struct metadata_response all;
    describe_cluster_response_init(out);
    if (!admin_ask_brokers(cli, CLIENT_NODE_ANY, &all))
        return false;
    out->cluster_id = all.cluster_id;
    out->controller_id = all.controller_id;
    out->brokers = cli_alloc(cli, (size_t)all.brokers_count + 1, sizeof(*out->brokers));
    for (uint32_t i = 0; i < all.brokers_count; i++) {
        struct describe_cluster_response_broker *b = &out->brokers[out->brokers_count++];
        describe_cluster_response_broker_init(b);
        b->broker_id = all.brokers[i].node_id;
        b->host = all.brokers[i].host;
        b->port = all.brokers[i].port;
        b->rack = all.brokers[i].rack;
    }
    return true;
}

bool brokers_ask(struct cli *cli, struct describe_cluster_response *out)
{
    struct metadata_response brokers;
    struct describe_cluster_request in;
    if (!admin_ask_brokers(cli, CLIENT_NODE_CONTROLLER, &brokers)) // its connection has learnt its versions then
        return false;
    const struct client_connection *at = client_connection_of(&cli->client, CLIENT_NODE_CONTROLLER);
    if (!at || at->versions[describe_cluster_request_message.key].max < DESCRIBE_CLUSTER_FENCED_VERSION) {
        if (!ask_metadata(cli, out))
            return false;
    } else {
        describe_cluster_request_init(&in);
        in.include_fenced_brokers = in.details = true;
        if (!cli_ask(cli, CLIENT_NODE_CONTROLLER, &describe_cluster_request_message, &in,
                     &describe_cluster_response_message, out))
            return false;
        if (out->error_code) {
            cli_fail_code(cli, "the cluster", out->error_code, out->error_message);
            return false;
        }
    }
    qsort(out->brokers, out->brokers_count, sizeof(*out->brokers), by_id);
    return true;
}

bool brokers_id(struct cli *cli, const char *text, int32_t *out, int *code)
{
    int64_t id;
    if (cli_number_parse(text, &id) && id >= 0 && id <= INT32_MAX) {
        *out = (int32_t)id;
        return true;
    }
    *code = cli_wrong(cli, "'%s' is not a broker's id.", text);
    return false;
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

static const char *state_of(const struct describe_cluster_response_broker *b)
{
    return b->is_fenced ? "fenced" : b->in_shutdown ? "stopping" : "alive";
}

// "+1.5 s", as people read how far a clock is ahead.
static const char *clock_text(struct cli *cli, int64_t ahead_ms)
{
    if (ahead_ms == INT64_MIN)
        return "-";
    const char *text = arena_printf(&cli->arena, "%+.1f s", (double)ahead_ms / 1000);
    return text ? text : "-";
}

struct broker_view {
    const struct brokers_options *o;
    const struct describe_cluster_response *cluster;
    const struct metadata_response *all;
    bool check, closer; // closer: of one broker
    bool bad;
    struct json *j;
    struct table *t;
};

static void one_broker(struct cli *cli, struct broker_view *v, const struct describe_cluster_response_broker *b)
{
    struct share s = share_of(v->all, b->broker_id);
    const char *wrong = v->check && !b->is_fenced ? check_broker(cli, b->broker_id) : NULL;
    bool controller = b->broker_id == v->cluster->controller_id;
    v->bad |= wrong != NULL;
    if (v->j) {
        json_put_object(v->j);
        json_put_key_int(v->j, "id", b->broker_id);
        json_put_key_text(v->j, "host", b->host);
        json_put_key_int(v->j, "port", b->port);
        json_put_key_text(v->j, "rack", b->rack);
        json_put_key_bool(v->j, "controller", controller);
        json_put_key_str(v->j, "state", state_of(b));
        json_put_key_int(v->j, "leads", s.leads);
        json_put_key_int(v->j, "replicas", s.holds);
        json_put_key(v->j, "clock_ahead_ms");
        if (b->clock_ahead_ms == INT64_MIN)
            json_put_null(v->j);
        else
            json_put_int(v->j, b->clock_ahead_ms);
        if (v->check)
            json_put_key_str(v->j, "unreachable", wrong);
        json_put_object_end(v->j);
        return;
    }
    table_cell(v->t, "%d", b->broker_id);
    table_cell(v->t, "%.*s:%d", (int)b->host.n, (const char *)b->host.p, b->port);
    table_cell(v->t, "%.*s", b->rack.n ? (int)b->rack.n : 1, b->rack.n ? (const char *)b->rack.p : "-");
    table_cell(v->t, "%u", s.leads);
    table_cell(v->t, "%u", s.holds);
    table_cell(v->t, "%s", controller ? "controller" : "");
    table_cell(v->t, "%s", state_of(b));
    if (v->closer)
        table_cell(v->t, "%s", clock_text(cli, b->clock_ahead_ms));
    if (v->check)
        table_cell(v->t, "%s", wrong ? wrong : b->is_fenced ? "-" : "reached");
}

// All brokers, or only one.
static int show_brokers(struct cli *cli, const struct brokers_options *o, bool check, int64_t only)
{
    struct describe_cluster_response cluster;
    struct metadata_request in;
    struct metadata_response all;
    struct table t;
    struct json j;
    uint32_t shown = 0;
    metadata_request_init(&in);
    in.topics = NULL; // all: for the partitions each holds
    in.allow_auto_topic_creation = false;
    if (!cli_connect(cli, &o->common) || !brokers_ask(cli, &cluster) ||
        !cli_ask(cli, CLIENT_NODE_ANY, &metadata_request_message, &in, &metadata_response_message, &all))
        return CLI_FAILED;
    struct broker_view v = {.o = o,
                            .cluster = &cluster,
                            .all = &all,
                            .check = check,
                            .closer = only >= 0,
                            .j = o->common.json ? &j : NULL,
                            .t = &t};
    json_init(&j, &cli->out, true);
    table_init(&t, &cli->arena,
               only >= 0 ? ">ID|ADDRESS|RACK|>LEADS|>REPLICAS|ROLE|STATE|>CLOCK|CHECK"
               : check   ? ">ID|ADDRESS|RACK|>LEADS|>REPLICAS|ROLE|STATE|CHECK"
                         : ">ID|ADDRESS|RACK|>LEADS|>REPLICAS|ROLE|STATE");
    if (v.j) {
        json_put_object(&j);
        json_put_key_text(&j, "cluster_id", cluster.cluster_id);
        json_put_key_int(&j, "controller", cluster.controller_id);
        json_put_key(&j, "brokers");
        json_put_array(&j);
    }
    for (uint32_t i = 0; i < cluster.brokers_count; i++) {
        if (only >= 0 && cluster.brokers[i].broker_id != only)
            continue;
        shown++;
        one_broker(cli, &v, &cluster.brokers[i]);
    }
    if (only >= 0 && shown == 0)
        return cli_fail(cli, "there is no broker %lld; 'weir admin brokers list' shows which there are", (long long)only);
    if (v.j) {
        json_put_array_end(&j);
        json_put_object_end(&j);
        buf_printf(&cli->out, "\n");
    } else {
        buf_printf(&cli->out, "cluster %.*s\n", (int)cluster.cluster_id.n,
                   cluster.cluster_id.p ? (const char *)cluster.cluster_id.p : "");
        table_print(&t, &cli->out);
    }
    int code = cli_done(cli);
    return v.bad ? cli_fail(cli, "at least one broker cannot be reached at the address it advertises; see "
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
    int32_t id;
    int code;
    return brokers_id(cli, parsed->arguments[0], &id, &code) ? show_brokers(cli, parsed->options, true, id) : code;
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
     .summary = "Show one broker, whether it can be reached, and its clock.",
     .details = "CLOCK is how far its clock is ahead of the controller's, as it last said.",
     .shared = cli_common_options,
     .options_bytes = sizeof(struct brokers_options),
     .arguments_min = 1,
     .arguments_max = 1,
     .run = brokers_describe,
     .examples = "weir admin brokers describe 1"},
    {.name = "can-stop",
     .arguments = "ID",
     .summary = "Tell whether a broker can be stopped without harm.",
     .details = "Exit code 0: it can. 1: a partition would have no leader or fewer replicas in sync than\n"
                "min.insync.replicas, or metadata no majority; they are named.",
     .shared = cli_common_options,
     .options_bytes = sizeof(struct brokers_options),
     .arguments_min = 1,
     .arguments_max = 1,
     .run = admin_brokers_can_stop,
     .examples = "weir admin brokers can-stop 2 && systemctl stop weir"},
    {.name = "drain",
     .arguments = "ID",
     .summary = "Move every replica away from a broker, and show how far it is.",
     .details = "Racks are kept apart where they can be. The broker goes on as a member and may get new topics:\n"
                "stop it and 'remove' it next.",
     .options = admin_drain_options,
     .shared = cli_common_options,
     .options_bytes = 64,
     .arguments_min = 1,
     .arguments_max = 1,
     .run = admin_brokers_drain,
     .examples = "weir admin brokers drain 3 --throttle 50m"},
    {.name = "remove",
     .arguments = "ID",
     .summary = "Forget a broker that has stopped for good.",
     .details = "It must hold no replica and have no vote: 'weir admin quorum remove ID' takes that.",
     .shared = cli_common_options,
     .options_bytes = sizeof(struct brokers_options),
     .arguments_min = 1,
     .arguments_max = 1,
     .run = admin_brokers_remove,
     .examples = "weir admin brokers remove 4"},
    {0},
};
