// SPDX-License-Identifier: Apache-2.0
//
// weir admin metadata ls and cat: the cluster's metadata as a tree, under the names that zookeeper-shell showed, with its
// JSON. Nothing lies there in files: each path is asked of the brokers, which answer out of what is committed.
#include <stdio.h>
#include <string.h>

#include "cli/admin_brokers.h"
#include "cli/admin_configs.h"
#include "cli/admin_topics.h"
#include "cli/cluster_features.h"
#include "cli/commands.h"

enum { PATH_PARTS_MAX = 8 };

struct metadata_path {
    const char *text; // as it was given
    const char *parts[PATH_PARTS_MAX];
    uint32_t count;
};

// ------------------------------------------------------------------------------------------------ paths

static bool path_split(struct cli *cli, const char *text, struct metadata_path *out)
{
    *out = (struct metadata_path){.text = text};
    for (const char *at = text; *at;) {
        size_t n = strcspn(at, "/");
        if (n > 0) {
            if (out->count == PATH_PARTS_MAX)
                return false;
            const char *part = arena_copy(&cli->arena, at, n);
            out->parts[out->count++] = part ? part : "";
        }
        at += n + (at[n] == '/');
    }
    // /topics is short for /brokers/topics.
    if (out->count > 0 && out->count < PATH_PARTS_MAX && strcmp(out->parts[0], "topics") == 0) {
        memmove(&out->parts[1], &out->parts[0], out->count++ * sizeof(out->parts[0]));
        out->parts[0] = "brokers";
    }
    return true;
}

// The path is `count` parts long and begins with these names, separated by slashes.
static bool path_is(const struct metadata_path *p, const char *names, uint32_t count)
{
    uint32_t i = 0;
    for (const char *at = names; *at; i++) {
        size_t n = strcspn(at, "/");
        if (i >= p->count || strlen(p->parts[i]) != n || memcmp(p->parts[i], at, n) != 0)
            return false;
        at += n + (at[n] == '/');
    }
    return p->count == count;
}

static int path_unknown(struct cli *cli, const struct metadata_path *p)
{
    return cli_fail(cli, "there is nothing at %s; 'weir admin metadata ls /' shows where to begin", p->text);
}

// ------------------------------------------------------------------------------------------------ looking up

static const struct describe_cluster_response_broker *broker_at(const struct describe_cluster_response *all,
                                                                const char *text)
{
    int64_t id;
    for (uint32_t i = 0; cli_number_parse(text, &id) && i < all->brokers_count; i++)
        if (all->brokers[i].broker_id == id)
            return &all->brokers[i];
    return NULL;
}

// NULL without a message: there is no such topic. *failed: with one.
static const struct metadata_response_topic *topic_at(struct cli *cli, const char *name, bool *failed)
{
    struct metadata_response *found = cli_alloc(cli, 1, sizeof(*found));
    *failed = !topics_ask(cli, &name, 1, found);
    return *failed || found->topics_count != 1 || found->topics[0].error_code ? NULL : &found->topics[0];
}

static const struct metadata_response_partition *partition_at(const struct metadata_response_topic *t, const char *text)
{
    int64_t n;
    for (uint32_t i = 0; t && cli_number_parse(text, &n) && i < t->partitions_count; i++)
        if (t->partitions[i].partition_index == n)
            return &t->partitions[i];
    return NULL;
}

// ------------------------------------------------------------------------------------------------ ls

struct listing {
    struct cli *cli;
    struct json *j; // NULL: lines
};

static void list_name(struct listing *l, struct bytes name)
{
    if (l->j)
        json_put_text(l->j, name);
    else
        buf_printf(&l->cli->out, "%.*s\n", (int)name.n, (const char *)name.p);
}

static int list_names(struct listing *l, const char *names)
{
    for (const char *at = names; *at;) {
        size_t n = strcspn(at, " ");
        list_name(l, bytes_of(at, n));
        at += n + (at[n] == ' ');
    }
    return CLI_OK;
}

static void list_number(struct listing *l, int32_t n)
{
    char text[16];
    snprintf(text, sizeof(text), "%d", n);
    list_name(l, bytes_str(text));
}

static int list_brokers(struct listing *l, bool fenced, bool all_of_them)
{
    struct describe_cluster_response all;
    if (!brokers_ask(l->cli, &all))
        return CLI_FAILED;
    for (uint32_t i = 0; i < all.brokers_count; i++)
        if (all_of_them || all.brokers[i].is_fenced == fenced)
            list_number(l, all.brokers[i].broker_id);
    return CLI_OK;
}

static int list_topics(struct listing *l)
{
    struct metadata_response all;
    if (!topics_ask(l->cli, NULL, 0, &all))
        return CLI_FAILED;
    for (uint32_t i = 0; i < all.topics_count; i++)
        list_name(l, all.topics[i].name);
    return CLI_OK;
}

static int list_topic(struct listing *l, const struct metadata_path *p)
{
    bool failed;
    const struct metadata_response_topic *t = topic_at(l->cli, p->parts[2], &failed);
    if (failed)
        return CLI_FAILED;
    if (t && p->count == 3)
        return list_names(l, "partitions");
    if (!t || strcmp(p->parts[3], "partitions") != 0 || p->count > 5)
        return path_unknown(l->cli, p);
    if (p->count == 5)
        return partition_at(t, p->parts[4]) ? list_names(l, "state") : path_unknown(l->cli, p);
    for (uint32_t i = 0; i < t->partitions_count; i++)
        list_number(l, t->partitions[i].partition_index);
    return CLI_OK;
}

static int list(struct listing *l, const struct metadata_path *p)
{
    if (p->count == 0)
        return list_names(l, "brokers cluster config controller controller_epoch feature quorum topics");
    if (path_is(p, "brokers", 1))
        return list_names(l, "fenced ids topics");
    if (path_is(p, "brokers/ids", 2))
        return list_brokers(l, false, false);
    if (path_is(p, "brokers/fenced", 2))
        return list_brokers(l, true, false);
    if (path_is(p, "brokers/topics", 2) || path_is(p, "config/topics", 2))
        return list_topics(l);
    if (path_is(p, "brokers/topics", p->count))
        return list_topic(l, p);
    if (path_is(p, "cluster", 1))
        return list_names(l, "id");
    if (path_is(p, "config", 1))
        return list_names(l, "brokers topics");
    if (path_is(p, "config/brokers", 2)) {
        list_name(l, bytes_str("<default>"));
        return list_brokers(l, false, true);
    }
    return path_unknown(l->cli, p);
}

static int metadata_ls(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct cli_common *o = parsed->options;
    struct metadata_path p;
    struct json j;
    struct listing l = {.cli = cli, .j = o->json ? &j : NULL};
    if (!path_split(cli, parsed->argument_count ? parsed->arguments[0] : "/", &p))
        return path_unknown(cli, &p);
    if (!cli_connect(cli, o))
        return CLI_FAILED;
    json_init(&j, &cli->out, true);
    if (l.j)
        json_put_array(&j);
    int code = list(&l, &p);
    if (l.j) {
        json_put_array_end(&j);
        buf_printf(&cli->out, "\n");
    }
    return code == CLI_OK ? cli_done(cli) : code;
}

// ------------------------------------------------------------------------------------------------ cat

static void put_numbers(struct json *j, const char *key, const int32_t *numbers, uint32_t count)
{
    json_put_key(j, key);
    json_put_array(j);
    for (uint32_t i = 0; i < count; i++)
        json_put_int(j, numbers[i]);
    json_put_array_end(j);
}

static int cat_broker(struct cli *cli, struct json *j, const struct metadata_path *p)
{
    struct describe_cluster_response all;
    if (!brokers_ask(cli, &all))
        return CLI_FAILED;
    const struct describe_cluster_response_broker *b = broker_at(&all, p->parts[2]);
    if (!b || b->is_fenced != (strcmp(p->parts[1], "fenced") == 0))
        return path_unknown(cli, p);
    const char *endpoint = arena_printf(&cli->arena, "%.*s:%d", (int)b->host.n, (const char *)b->host.p, b->port);
    json_put_object(j);
    json_put_key_text(j, "host", b->host);
    json_put_key_int(j, "port", b->port);
    json_put_key_str(j, "endpoint", endpoint);
    json_put_key_text(j, "rack", b->rack);
    json_put_key_bool(j, "fenced", b->is_fenced);
    json_put_key_int(j, "version", 5);
    json_put_object_end(j);
    return CLI_OK;
}

static int cat_topic(struct json *j, const struct metadata_response_topic *t)
{
    char id[UUID_TEXT_CHARS + 1], number[16];
    uuid_format(t->topic_id, id);
    json_put_object(j);
    json_put_key(j, "partitions");
    json_put_object(j);
    for (uint32_t i = 0; i < t->partitions_count; i++) {
        snprintf(number, sizeof(number), "%d", t->partitions[i].partition_index);
        put_numbers(j, number, t->partitions[i].replica_nodes, t->partitions[i].replica_nodes_count);
    }
    json_put_object_end(j);
    json_put_key_str(j, "topic_id", id);
    json_put_key_int(j, "version", 3);
    json_put_object_end(j);
    return CLI_OK;
}

static int cat_partition(struct json *j, const struct metadata_response_partition *p)
{
    json_put_object(j);
    json_put_key_int(j, "leader", p->leader_id);
    json_put_key_int(j, "leader_epoch", p->leader_epoch);
    put_numbers(j, "isr", p->isr_nodes, p->isr_nodes_count);
    put_numbers(j, "replicas", p->replica_nodes, p->replica_nodes_count);
    put_numbers(j, "offline", p->offline_replicas, p->offline_replicas_count);
    json_put_key_int(j, "version", 1);
    json_put_object_end(j);
    return CLI_OK;
}

static int cat_below_topic(struct cli *cli, struct json *j, const struct metadata_path *p)
{
    bool failed;
    const struct metadata_response_topic *t = topic_at(cli, p->parts[2], &failed);
    if (failed)
        return CLI_FAILED;
    if (t && p->count == 3)
        return cat_topic(j, t);
    bool state = t && p->count == 6 && strcmp(p->parts[3], "partitions") == 0 && strcmp(p->parts[5], "state") == 0;
    const struct metadata_response_partition *found = state ? partition_at(t, p->parts[4]) : NULL;
    return found ? cat_partition(j, found) : path_unknown(cli, p);
}

// Only what was set, as in ZooKeeper.
static int cat_config(struct cli *cli, struct json *j, const struct metadata_path *p)
{
    bool topics = strcmp(p->parts[1], "topics") == 0, all_brokers = strcmp(p->parts[2], "<default>") == 0;
    int64_t id = CLIENT_NODE_ANY;
    struct describe_configs_response_result r;
    if (!topics && !all_brokers && (!cli_number_parse(p->parts[2], &id) || id < 0 || id > INT32_MAX))
        return path_unknown(cli, p);
    struct configs_resource what = {.type = topics ? CONFIGS_TOPIC : CONFIGS_BROKER,
                                    .name = bytes_str(all_brokers ? "" : p->parts[2]),
                                    .node_id = (int32_t)id};
    if (!configs_ask_describe(cli, &what, false, false, &r))
        return CLI_FAILED;
    if (r.error_code)
        return path_unknown(cli, p);
    int8_t own = topics ? CONFIGS_SOURCE_TOPIC : all_brokers ? CONFIGS_SOURCE_ALL_BROKERS : CONFIGS_SOURCE_BROKER;
    json_put_object(j);
    json_put_key(j, "config");
    json_put_object(j);
    for (uint32_t i = 0; i < r.configs_count; i++) {
        const char *name = arena_copy(&cli->arena, r.configs[i].name.p, r.configs[i].name.n);
        if (r.configs[i].config_source == own && name)
            json_put_key_text(j, name, r.configs[i].value);
    }
    json_put_object_end(j);
    json_put_key_int(j, "version", 1);
    json_put_object_end(j);
    return CLI_OK;
}

static int cat_quorum(struct cli *cli, struct json *j, const char *what)
{
    struct describe_quorum_response all;
    const struct describe_quorum_response_partition *p = admin_ask_quorum(cli, &all);
    if (!p)
        return CLI_FAILED;
    if (strcmp(what, "controller_epoch") == 0) {
        json_put_int(j, p->leader_epoch);
        return CLI_OK;
    }
    json_put_object(j);
    if (strcmp(what, "controller") == 0) {
        json_put_key_int(j, "brokerid", p->leader_id);
    } else {
        int32_t *ids = cli_alloc(cli, (size_t)p->current_voters_count + p->observers_count + 1, sizeof(*ids));
        for (uint32_t i = 0; i < p->current_voters_count; i++)
            ids[i] = p->current_voters[i].replica_id;
        put_numbers(j, "voters", ids, p->current_voters_count);
        for (uint32_t i = 0; i < p->observers_count; i++)
            ids[i] = p->observers[i].replica_id;
        put_numbers(j, "observers", ids, p->observers_count);
        json_put_key_int(j, "leader", p->leader_id);
        json_put_key_int(j, "committed", p->high_watermark);
    }
    json_put_key_int(j, "version", 1);
    json_put_object_end(j);
    return CLI_OK;
}

static int cat_features(struct cli *cli, struct json *j)
{
    struct api_versions_response all;
    if (!features_ask(cli, &all))
        return CLI_FAILED;
    json_put_object(j);
    json_put_key(j, "features");
    json_put_object(j);
    for (uint32_t i = 0; i < all.finalized_features_count; i++) {
        struct bytes name = all.finalized_features[i].name;
        const char *key = arena_copy(&cli->arena, name.p, name.n);
        if (key)
            json_put_key_int(j, key, all.finalized_features[i].max_version_level);
    }
    json_put_object_end(j);
    json_put_key_int(j, "version", 1);
    json_put_object_end(j);
    return CLI_OK;
}

static int cat(struct cli *cli, struct json *j, const struct metadata_path *p)
{
    if (path_is(p, "brokers/ids", 3) || path_is(p, "brokers/fenced", 3))
        return cat_broker(cli, j, p);
    if (p->count > 2 && path_is(p, "brokers/topics", p->count))
        return cat_below_topic(cli, j, p);
    if (path_is(p, "config/topics", 3) || path_is(p, "config/brokers", 3))
        return cat_config(cli, j, p);
    if (path_is(p, "controller", 1) || path_is(p, "controller_epoch", 1) || path_is(p, "quorum", 1))
        return cat_quorum(cli, j, p->parts[0]);
    if (path_is(p, "feature", 1))
        return cat_features(cli, j);
    if (!path_is(p, "cluster/id", 2))
        return path_unknown(cli, p);
    json_put_object(j);
    json_put_key_str(j, "id", cli->client.cluster_id);
    json_put_key_int(j, "version", 1);
    json_put_object_end(j);
    return CLI_OK;
}

static int metadata_cat(struct cli *cli, const struct cli_parsed *parsed)
{
    struct metadata_path p;
    struct json j;
    if (!path_split(cli, parsed->arguments[0], &p))
        return path_unknown(cli, &p);
    if (!cli_connect(cli, parsed->options))
        return CLI_FAILED;
    json_init(&j, &cli->out, true);
    int code = cat(cli, &j, &p);
    if (code != CLI_OK)
        return code;
    buf_printf(&cli->out, "\n");
    return cli_done(cli);
}

const struct cli_command admin_metadata_commands[] = {
    {.name = "ls",
     .arguments = "[PATH]",
     .summary = "List what lies at a path of the metadata, under the names ZooKeeper had.",
     .details = "/brokers/ids are the brokers that live, /brokers/fenced the others. /topics is short for\n"
                "/brokers/topics.",
     .shared = cli_common_options,
     .options_bytes = sizeof(struct cli_common),
     .arguments_max = 1,
     .run = metadata_ls,
     .examples = "weir admin metadata ls /\nweir admin metadata ls /brokers/ids\n"
                 "weir admin metadata ls /topics/orders/partitions"},
    {.name = "cat",
     .arguments = "PATH",
     .summary = "Show what stands at a path, as JSON.",
     .shared = cli_common_options,
     .options_bytes = sizeof(struct cli_common),
     .arguments_min = 1,
     .arguments_max = 1,
     .run = metadata_cat,
     .examples = "weir admin metadata cat /controller\nweir admin metadata cat /brokers/ids/1\n"
                 "weir admin metadata cat /topics/orders/partitions/0/state\n"
                 "weir admin metadata cat /config/topics/orders"},
    {0},
};
