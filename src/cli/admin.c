// SPDX-License-Identifier: Apache-2.0
//
// weir admin: the families of commands, and api-versions, which has no verbs.
#include "cli/cli.h"
#include "cli/commands.h"

const struct cli_command admin_commands[] = {
    {.name = "topics",
     .summary = "List, describe, create, change and delete topics.",
     .children = admin_topics_commands,
     .shared = cli_common_options},
    {.name = "configs",
     .summary = "Show and change the configuration of topics and brokers.",
     .children = admin_configs_commands,
     .shared = cli_common_options},
    {.name = "groups",
     .summary = "Show consumer groups and how far they are, move their offsets, delete them.",
     .children = admin_groups_commands,
     .shared = cli_common_options},
    {.name = "brokers",
     .summary = "Show the brokers, tell which can be stopped, empty one, forget those that are gone.",
     .children = admin_brokers_commands,
     .shared = cli_common_options},
    {.name = "leaders",
     .summary = "Show how leaderships are spread, and elect leaders.",
     .children = admin_leaders_commands,
     .shared = cli_common_options},
    {.name = "reassign",
     .summary = "Move replicas between brokers: plan, start, follow, cancel.",
     .children = admin_reassign_commands,
     .shared = cli_common_options},
    {.name = "quorum",
     .summary = "Show the metadata quorum: leader, voters, lag; change who votes and leads.",
     .children = admin_quorum_commands,
     .shared = cli_common_options},
    {.name = "features",
     .summary = "Show feature levels, and raise or lower that of the metadata.",
     .children = admin_features_commands,
     .shared = cli_common_options},
    {.name = "metadata",
     .summary = "Look at the cluster's metadata as a tree (ls, cat).",
     .children = admin_metadata_commands,
     .shared = cli_common_options},
    {.name = "log-dirs",
     .summary = "Show the log folders of the brokers and what lies in them.",
     .children = admin_log_dirs_commands,
     .shared = cli_common_options},
    {.name = "producers",
     .summary = "Show the idempotent producers a partition remembers.",
     .children = admin_producers_commands,
     .shared = cli_common_options},
    {.name = "log", .summary = "Read log files on disk, without a broker.", .children = admin_log_commands},
    {.name = "api-versions",
     .summary = "Show which requests each broker understands, in which versions.",
     .details = "USED is the version this program would speak.",
     .options = admin_api_versions_options,
     .shared = cli_common_options,
     .options_bytes = 64,
     .run = admin_api_versions_run,
     .examples = "weir admin api-versions\nweir admin api-versions --broker 2 --json"},
    {0},
};

struct api_versions_options {
    struct cli_common common;
    int64_t broker;
};

_Static_assert(sizeof(struct api_versions_options) <= 64, "the table above sets the room aside");

const struct cli_option admin_api_versions_options[] = {
    {.name = "broker",
     .kind = CLI_NUMBER,
     .offset = offsetof(struct api_versions_options, broker),
     .value_name = "ID",
     .initial = -1,
     .help = "only this broker"},
    {0},
};

bool admin_ask_brokers(struct cli *cli, int32_t node_id, struct metadata_response *out)
{
    struct metadata_request in;
    struct metadata_request_topic none[1];
    metadata_request_init(&in);
    in.topics = none;
    in.allow_auto_topic_creation = false;
    return cli_ask(cli, node_id, &metadata_request_message, &in, &metadata_response_message, out);
}

int admin_api_used(const struct schema_message *m, const struct client_versions *v)
{
    int used = m && m->version_max < v->max ? m->version_max : m ? v->max : -1;
    return m && used < v->min ? -1 : used;
}

static void one_api(struct json *j, struct table *t, const struct client_versions *v, int16_t key)
{
    const struct schema_message *m = schema_find(kafka_requests, ARRAY_COUNT(kafka_requests), key);
    int used = admin_api_used(m, v);
    if (j) {
        json_put_object(j);
        json_put_key_int(j, "key", key);
        json_put_key_str(j, "name", m ? m->name : NULL);
        json_put_key_int(j, "min", v->min);
        json_put_key_int(j, "max", v->max);
        json_put_key_int(j, "used", used);
        json_put_object_end(j);
        return;
    }
    table_cell(t, "%s", m ? m->name : "?");
    table_cell(t, "%d", key);
    table_cell(t, "%d", v->min);
    table_cell(t, "%d", v->max);
    table_int(t, used);
}

static void one_broker(struct cli *cli, const struct client_node *n, struct json *j)
{
    struct table t;
    table_init(&t, &cli->arena, "API|>KEY|>MIN|>MAX|>USED");
    if (j) {
        json_put_object(j);
        json_put_key_int(j, "broker", n->id);
        json_put_key_str(j, "host", n->connection.host);
        json_put_key_int(j, "port", n->connection.port);
        json_put_key(j, "apis");
        json_put_array(j);
    } else {
        buf_printf(&cli->out, "broker %d at %s:%u\n", n->id, n->connection.host, n->connection.port);
    }
    for (int16_t key = 0; key < CLIENT_API_KEYS_MAX; key++)
        if (n->connection.versions[key].max >= 0)
            one_api(j, &t, &n->connection.versions[key], key);
    if (j) {
        json_put_array_end(j);
        json_put_object_end(j);
    } else {
        table_print(&t, &cli->out);
    }
}

int admin_api_versions_run(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct api_versions_options *o = parsed->options;
    struct json j;
    struct metadata_response brokers;
    bool any = false;
    if (!cli_connect(cli, &o->common))
        return CLI_FAILED;
    json_init(&j, &cli->out, true);
    if (o->common.json)
        json_put_array(&j);
    for (struct client_node *n = cli->client.nodes; n; n = n->next) {
        if (n->id < 0 || n->gone || (o->broker >= 0 && n->id != o->broker))
            continue;
        if (!admin_ask_brokers(cli, n->id, &brokers))
            return CLI_FAILED;
        if (any && !o->common.json)
            buf_printf(&cli->out, "\n");
        any = true;
        one_broker(cli, n, o->common.json ? &j : NULL);
    }
    if (!any)
        return cli_fail(cli, "there is no broker %lld; 'weir admin brokers list' shows which there are",
                        (long long)o->broker);
    if (o->common.json) {
        json_put_array_end(&j);
        buf_printf(&cli->out, "\n");
    }
    return cli_done(cli);
}
