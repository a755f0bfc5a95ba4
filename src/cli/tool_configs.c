// SPDX-License-Identifier: Apache-2.0
//
// kafka-configs: options, which of them go together, and --describe. Topics, brokers, their default, and groups; quotas
// of users, clients and addresses are refused as the tool refuses them at a broker without that request.
#include "cli/tool_configs.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "cli/admin_topics.h"
#include "cli/groups.h"

static const struct cli_option options[] = {
    TOOL_FLAG(struct tool_configs_options, "describe", describe, "list the settings of an entity"),
    TOOL_FLAG(struct tool_configs_options, "alter", alter, "change the settings of an entity"),
    TOOL_FLAG(struct tool_configs_options, "all", all, "with --describe: inherited settings too"),
    TOOL_LIST(struct tool_configs_options, "entity-type", types, "TYPE",
              "topics, brokers, groups, clients, users, ips, client-metrics or broker-loggers"),
    TOOL_LIST(struct tool_configs_options, "entity-name", names, "NAME", "the topic, broker id, group, ..."),
    TOOL_FLAG(struct tool_configs_options, "entity-default", entity_default,
              "the default of all that have none of their own"),
    TOOL_LIST(struct tool_configs_options, "add-config", additions, "K=V,K=[V,V],...", "settings to make"),
    TOOL_TEXT(struct tool_configs_options, "add-config-file", file, "FILE", "the same from a property file"),
    TOOL_LIST(struct tool_configs_options, "delete-config", deletions, "K,K,...", "settings to take back"),
    TOOL_TEXT(struct tool_configs_options, "topic", topic, "NAME", "this topic"),
    TOOL_TEXT(struct tool_configs_options, "broker", broker, "ID", "this broker"),
    TOOL_FLAG(struct tool_configs_options, "broker-defaults", broker_defaults, "the default of all brokers"),
    TOOL_TEXT(struct tool_configs_options, "group", group, "NAME", "this group"),
    TOOL_TEXT(struct tool_configs_options, "client", client, "ID", "not supported yet"),
    TOOL_FLAG(struct tool_configs_options, "client-defaults", client_defaults, "not supported yet"),
    TOOL_TEXT(struct tool_configs_options, "user", user, "NAME", "not supported yet"),
    TOOL_FLAG(struct tool_configs_options, "user-defaults", user_defaults, "not supported yet"),
    TOOL_TEXT(struct tool_configs_options, "ip", ip, "ADDRESS", "not supported yet"),
    TOOL_FLAG(struct tool_configs_options, "ip-defaults", ip_defaults, "not supported yet"),
    TOOL_TEXT(struct tool_configs_options, "client-metrics", client_metrics, "NAME", "not supported yet"),
    TOOL_TEXT(struct tool_configs_options, "broker-logger", broker_logger, "ID", "brokers have no loggers to set"),
    TOOL_TEXT(struct tool_configs_options, "bootstrap-controller", controller, "HOST:PORT[,...]",
              "the same as --bootstrap-server: every node answers"),
    TOOL_FLAG(struct tool_configs_options, "force", force, "no question is asked here anyway"),
    {0},
};

int tool_configs_fail(struct cli *cli, const char *reason)
{
    return tool_fail(cli, "Error while executing config command with args '%s'\n%s", cli->line, reason);
}

// ------------------------------------------------------------------------------------------------ the command line

// Adds what an option of its own (--topic, --broker-defaults) names. Kafka lets several stand only for quotas.
static void note(struct tool_configs_entity *e, uint32_t *count, const char *type, const char *name, bool given)
{
    if (!given && !name)
        return;
    (*count)++;
    *e = (struct tool_configs_entity){.type = type, .name = name ? name : ""};
}

static bool is_type(const char *type)
{
    static const char *const types[] = {"topics", "clients",        "users",  "brokers",
                                        "ips",    "client-metrics", "groups", "broker-loggers"};
    for (size_t i = 0; i < ARRAY_COUNT(types); i++)
        if (strcmp(types[i], type) == 0)
            return true;
    return false;
}

static int check_types(struct cli *cli, const struct tool_configs_options *o, struct tool_configs_entity *e)
{
    uint32_t count = o->types.count;
    *e = (struct tool_configs_entity){.type = count ? o->types.items[0] : NULL,
                                      .name = o->names.count       ? o->names.items[0]
                                              : o->entity_default ? ""
                                                                  : NULL};
    for (uint32_t i = 0; i < o->types.count; i++)
        if (!is_type(o->types.items[i]))
            return tool_fail(cli,
                             "Invalid entity type %s, the entity type must be one of topics, clients, users, brokers, "
                             "ips, client-metrics, groups, broker-loggers with a --bootstrap-server or "
                             "--bootstrap-controller argument",
                             o->types.items[i]);
    note(e, &count, "topics", o->topic, false);
    note(e, &count, "clients", o->client, o->client_defaults);
    note(e, &count, "users", o->user, o->user_defaults);
    note(e, &count, "brokers", o->broker, o->broker_defaults);
    note(e, &count, "broker-loggers", o->broker_logger, false);
    note(e, &count, "ips", o->ip, o->ip_defaults);
    note(e, &count, "client-metrics", o->client_metrics, false);
    note(e, &count, "groups", o->group, false);
    if (count == 0)
        return tool_fail(cli, "At least one entity type must be specified");
    if (count > 1 && strcmp(e->type, "users") != 0 && strcmp(e->type, "clients") != 0)
        return tool_fail(cli, "Only 'users' and 'clients' entity types may be specified together");
    return CLI_OK;
}

static int check_names(struct cli *cli, const struct tool_configs_options *o, const struct tool_configs_entity *e)
{
    int64_t id;
    bool of_broker = strcmp(e->type, "brokers") == 0 || strcmp(e->type, "broker-loggers") == 0;
    if (of_broker && e->name && *e->name && (!cli_number_parse(e->name, &id) || id < INT32_MIN || id > INT32_MAX))
        return tool_fail(cli, "The entity name for %s must be a valid integer broker id, but it is: %s", e->type,
                         e->name);
    if (o->alter && (!e->name || (!*e->name && strcmp(e->type, "topics") == 0)))
        return tool_fail(cli, "An entity name must be specified with --alter of %s", e->type);
    if (o->alter && o->additions.count && o->file)
        return tool_fail(cli, "Only one of --add-config or --add-config-file must be specified with --alter");
    if (o->alter && !o->additions.count && !o->file && !o->deletions.count)
        return tool_fail(
            cli, "At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter");
    return CLI_OK;
}

static int check(struct cli *cli, const struct tool_configs_options *o, struct tool_configs_entity *e)
{
    const struct tool_use changes[] = {{"add-config", o->additions.count > 0},
                                       {"delete-config", o->deletions.count > 0},
                                       {0}};
    if (o->alter + o->describe != 1)
        return tool_wrong(cli, &tool_configs, "Command must include exactly one action: --describe, --alter");
    int code = tool_clash(cli, &tool_configs, (struct tool_use){"describe", o->describe}, changes);
    if (code != CLI_OK)
        return code;
    if (!o->tool.common.bootstrap && !o->controller)
        return tool_fail(cli, "Either --bootstrap-server or --bootstrap-controller must be specified.");
    code = check_types(cli, o, e);
    return code == CLI_OK ? check_names(cli, o, e) : code;
}

// ------------------------------------------------------------------------------------------------ settings

struct configs_resource tool_configs_resource(const struct tool_configs_entity *e)
{
    int64_t id;
    struct configs_resource r = {.name = bytes_str(e->name), .node_id = CLIENT_NODE_ANY};
    if (strcmp(e->type, "topics") == 0) {
        r.type = CONFIGS_TOPIC;
    } else if (strcmp(e->type, "groups") == 0) {
        r.type = CONFIGS_GROUP;
    } else {
        r.type = CONFIGS_BROKER;
        if (*e->name && cli_number_parse(e->name, &id))
            r.node_id = (int32_t)id;
    }
    return r;
}

bool tool_configs_settings(struct cli *cli, const struct tool_configs_entity *e, bool all,
                           struct describe_configs_response_result *out)
{
    struct configs_resource r = tool_configs_resource(e);
    uint32_t kept = 0;
    if (!configs_ask_describe(cli, &r, true, false, out))
        return false;
    if (out->error_code) {
        tool_configs_fail(cli, tool_words(cli, out->error_code, out->error_message));
        return false;
    }
    const int8_t source = r.type == CONFIGS_TOPIC   ? CONFIGS_SOURCE_TOPIC
                          : r.type == CONFIGS_GROUP ? CONFIGS_SOURCE_GROUP
                          : *e->name                ? CONFIGS_SOURCE_BROKER
                                                    : CONFIGS_SOURCE_ALL_BROKERS;
    for (uint32_t i = 0; i < out->configs_count; i++)
        if (all || out->configs[i].config_source == source)
            out->configs[kept++] = out->configs[i];
    out->configs_count = kept;
    return true;
}

// ------------------------------------------------------------------------------------------------ describe

static const char *source_text(int8_t source)
{
    static const char *const texts[] = {"UNKNOWN",
                                        "DYNAMIC_TOPIC_CONFIG",
                                        "DYNAMIC_BROKER_CONFIG",
                                        "DYNAMIC_DEFAULT_BROKER_CONFIG",
                                        "STATIC_BROKER_CONFIG",
                                        "DEFAULT_CONFIG",
                                        "DYNAMIC_BROKER_LOGGER_CONFIG",
                                        "DYNAMIC_CLIENT_METRICS_CONFIG",
                                        "DYNAMIC_GROUP_CONFIG"};
    return source >= 0 && (size_t)source < ARRAY_COUNT(texts) ? texts[source] : texts[0];
}

static void pair(struct buf *out, struct bytes name, struct bytes value)
{
    buf_printf(out, "%.*s=%.*s", (int)name.n, (const char *)name.p, value.p ? (int)value.n : 4,
               value.p ? (const char *)value.p : "null");
}

static int describe_one(struct cli *cli, const struct tool_configs_entity *e, bool all)
{
    struct describe_configs_response_result r;
    struct buf *out = &cli->out;
    if (*e->name)
        buf_printf(out, "%s configs for %.*s %s are:\n", all ? "All" : "Dynamic", (int)strlen(e->type) - 1, e->type,
                   e->name);
    else
        buf_printf(out, "Default configs for %s in the cluster are:\n", e->type);
    if (!tool_configs_settings(cli, e, all, &r))
        return CLI_FAILED;
    for (uint32_t i = 0; i < r.configs_count; i++) {
        const struct describe_configs_response_config *c = &r.configs[i];
        buf_printf(out, "  ");
        pair(out, c->name, c->value);
        buf_printf(out, " sensitive=%s synonyms={", c->is_sensitive ? "true" : "false");
        for (uint32_t k = 0; k < c->synonyms_count; k++) {
            buf_printf(out, "%s%s:", k ? ", " : "", source_text(c->synonyms[k].source));
            pair(out, c->synonyms[k].name, c->synonyms[k].value);
        }
        buf_printf(out, "}\n");
    }
    return CLI_OK;
}

static bool is_broker(const struct cli *cli, const char *name)
{
    int64_t id;
    for (const struct client_node *n = cli->client.nodes; n; n = n->next)
        if (n->id >= 0 && !n->gone && cli_number_parse(name, &id) && id == n->id)
            return true;
    return false;
}

// A topic or a broker by that name is there. False: it is not, or after a message (*code).
static bool is_there(struct cli *cli, const struct tool_configs_entity *e, int *code)
{
    struct metadata_response all;
    if (strcmp(e->type, "groups") == 0 || !*e->name)
        return true;
    if (strcmp(e->type, "brokers") == 0)
        return is_broker(cli, e->name);
    if (!topics_ask(cli, NULL, 0, &all)) {
        *code = CLI_FAILED;
        return false;
    }
    for (uint32_t i = 0; i < all.topics_count; i++)
        if (bytes_eq(all.topics[i].name, bytes_str(e->name)))
            return true;
    return false;
}

static int describe_named(struct cli *cli, const struct tool_configs_entity *e, bool all)
{
    int code = CLI_OK;
    if (all || is_there(cli, e, &code))
        return describe_one(cli, e, all);
    if (code == CLI_OK)
        buf_printf(&cli->out, "The %.*s '%s' doesn't exist and doesn't have dynamic config.\n",
                   (int)strlen(e->type) - 1, e->type, e->name);
    return code;
}

static int describe_topics(struct cli *cli, bool every)
{
    struct metadata_response all;
    int code = topics_ask(cli, NULL, 0, &all) ? CLI_OK : CLI_FAILED;
    for (uint32_t i = 0; code == CLI_OK && i < all.topics_count; i++) {
        struct tool_configs_entity one = {"topics", groups_text(cli, all.topics[i].name)};
        code = describe_one(cli, &one, every);
    }
    return code;
}

static int describe_brokers(struct cli *cli, bool every)
{
    int code = CLI_OK;
    for (const struct client_node *n = cli->client.nodes; n && code == CLI_OK; n = n->next) {
        if (n->id < 0 || n->gone)
            continue;
        struct tool_configs_entity one = {"brokers", arena_printf(&cli->arena, "%d", n->id)};
        code = one.name ? describe_one(cli, &one, every) : CLI_FAILED;
    }
    return code == CLI_OK ? describe_one(cli, &(struct tool_configs_entity){"brokers", ""}, every) : code;
}

static int describe_groups(struct cli *cli, bool every)
{
    struct groups_listed *list;
    struct cli_list none = {0};
    uint32_t count;
    int code = groups_gather_list(cli, &none, &none, &list, &count) ? CLI_OK : CLI_FAILED;
    for (uint32_t i = 0; code == CLI_OK && i < count; i++) {
        struct tool_configs_entity one = {"groups", groups_text(cli, list[i].id)};
        code = describe_one(cli, &one, every);
    }
    return code;
}

// What no broker of this kind serves: why, in Java's words; NULL for what is served.
static const char *unsupported(const struct tool_configs_options *o, const char *type)
{
    if (strcmp(type, "users") == 0 || strcmp(type, "clients") == 0 || strcmp(type, "ips") == 0)
        return o->alter ? "java.util.concurrent.ExecutionException: "
                          "org.apache.kafka.common.errors.UnsupportedVersionException: The node does not support "
                          "ALTER_CLIENT_QUOTAS"
                        : "java.util.concurrent.ExecutionException: "
                          "org.apache.kafka.common.errors.UnsupportedVersionException: The node does not support "
                          "DESCRIBE_CLIENT_QUOTAS";
    if (strcmp(type, "broker-loggers") == 0)
        return "java.util.concurrent.ExecutionException: org.apache.kafka.common.errors.InvalidRequestException: This "
               "broker has no loggers whose levels could be read or changed.";
    if (strcmp(type, "client-metrics") == 0)
        return "java.util.concurrent.ExecutionException: "
               "org.apache.kafka.common.errors.UnsupportedVersionException: The node does not support "
               "LIST_CONFIG_RESOURCES";
    return NULL;
}

static int run(struct cli *cli, const struct cli_parsed *parsed)
{
    struct tool_configs_options o = *(const struct tool_configs_options *)parsed->options;
    struct tool_configs_entity e;
    int code = check(cli, &o, &e);
    if (code != CLI_OK)
        return code;
    if (!o.tool.common.bootstrap)
        o.tool.common.bootstrap = o.controller;
    const char *why = unsupported(&o, e.type);
    if (!tool_connect(cli, &tool_configs, &o.tool))
        return CLI_FAILED;
    if (why)
        return tool_configs_fail(cli, why);
    if (o.alter)
        code = tool_configs_alter(cli, &o, &e);
    else if (e.name)
        code = describe_named(cli, &e, o.all);
    else
        code = strcmp(e.type, "topics") == 0    ? describe_topics(cli, o.all)
               : strcmp(e.type, "brokers") == 0 ? describe_brokers(cli, o.all)
                                                : describe_groups(cli, o.all);
    return code == CLI_OK ? cli_done(cli) : code;
}

const struct cli_command tool_configs = {
    .name = "kafka-configs",
    .summary = "This tool helps to manipulate and describe entity config for a topic, client, user, broker, ip, "
               "client-metrics or group",
    .options = options,
    .shared = tool_connection_options,
    .options_bytes = sizeof(struct tool_configs_options),
    .run = run};
