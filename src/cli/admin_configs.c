// SPDX-License-Identifier: Apache-2.0
//
// weir admin configs: describe, set, delete, for topics, groups and brokers; explain is in admin_configs_explain.c.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/admin_configs.h"
#include "cli/commands.h"
#include "cli/configs_explain.h"
#include "cli/suggest.h"
#include "model/kerr.h"

struct configs_options {
    struct cli_common common;
    bool all, dry_run, documentation;
};

struct target {
    struct configs_resource resource;
    char about[TOPIC_NAME_BYTES_MAX + 16]; // cut for long names of groups
};

// "topic NAME", "group NAME", "broker ID" or "broker default". False after a message.
static bool take_target(struct cli *cli, const struct cli_parsed *parsed, struct target *out)
{
    const char *type = parsed->arguments[0], *name = parsed->arguments[1];
    int64_t id = -1;
    out->resource.node_id = CLIENT_NODE_ANY;
    out->resource.name = bytes_str(name);
    if (strcmp(type, "topic") == 0 || strcmp(type, "topics") == 0) {
        out->resource.type = CONFIGS_TOPIC;
        snprintf(out->about, sizeof(out->about), "topic '%s'", name);
        return true;
    }
    if (strcmp(type, "group") == 0 || strcmp(type, "groups") == 0) {
        out->resource.type = CONFIGS_GROUP;
        snprintf(out->about, sizeof(out->about), "group '%s'", name);
        return true;
    }
    if (strcmp(type, "broker") != 0 && strcmp(type, "brokers") != 0) {
        cli_wrong(cli, "'%s' has no configuration; write topic NAME, group NAME, broker ID or broker default.", type);
        return false;
    }
    out->resource.type = CONFIGS_BROKER;
    if (strcmp(name, "default") == 0) {
        out->resource.name = bytes_str("");
        snprintf(out->about, sizeof(out->about), "every broker");
        return true;
    }
    if (!cli_number_parse(name, &id) || id < 0 || id > INT32_MAX) {
        cli_wrong(cli, "'%s' is not a broker's id; write a number or default.", name);
        return false;
    }
    out->resource.node_id = (int32_t)id;
    snprintf(out->about, sizeof(out->about), "broker %lld", (long long)id);
    return true;
}

// ------------------------------------------------------------------------------------------------ describe

const char *configs_source_text(int8_t source)
{
    static const char *const texts[] = {"-",       "topic",  "broker",         "all brokers", "configuration file",
                                        "default", "logger", "client metrics", "group"};
    return source >= 0 && (size_t)source < ARRAY_COUNT(texts) ? texts[source] : "-";
}

static int by_name(const void *a, const void *b)
{
    const struct describe_configs_response_config *x = a, *y = b;
    return bytes_cmp(x->name, y->name);
}

static void one_config(struct json *j, struct table *t, const struct describe_configs_response_config *c,
                       bool documentation)
{
    int8_t source = c->is_default ? CONFIGS_SOURCE_DEFAULT : c->config_source;
    if (j) {
        json_put_object(j);
        json_put_key_text(j, "name", c->name);
        json_put_key_text(j, "value", c->value);
        json_put_key_str(j, "source", configs_source_text(source));
        json_put_key_bool(j, "read_only", c->read_only);
        json_put_key_bool(j, "sensitive", c->is_sensitive);
        if (documentation)
            json_put_key_text(j, "documentation", c->documentation);
        json_put_object_end(j);
        return;
    }
    table_cell_bytes(t, c->name);
    if (c->is_sensitive)
        table_cell(t, "(hidden)");
    else
        table_cell_bytes(t, c->value);
    table_cell(t, "%s%s", configs_source_text(source), c->read_only ? ", read only" : "");
    if (documentation)
        table_cell_bytes(t, c->documentation);
}

static bool is_shown(const struct describe_configs_response_config *c, int8_t type, bool all)
{
    if (all)
        return true;
    if (type == CONFIGS_TOPIC)
        return c->config_source == CONFIGS_SOURCE_TOPIC;
    if (type == CONFIGS_GROUP)
        return c->config_source == CONFIGS_SOURCE_GROUP;
    return c->config_source == CONFIGS_SOURCE_BROKER || c->config_source == CONFIGS_SOURCE_ALL_BROKERS;
}

static int show_configs(struct cli *cli, const struct configs_options *o, const struct target *target,
                        struct describe_configs_response_result *r)
{
    struct table t;
    struct json j;
    uint32_t shown = 0;
    json_init(&j, &cli->out, true);
    table_init(&t, &cli->arena, o->documentation ? "NAME|VALUE|FROM|MEANING" : "NAME|VALUE|FROM");
    if (o->common.json)
        json_put_array(&j);
    for (uint32_t i = 0; i < r->configs_count; i++) {
        if (!is_shown(&r->configs[i], target->resource.type, o->all))
            continue;
        shown++;
        one_config(o->common.json ? &j : NULL, &t, &r->configs[i], o->documentation);
    }
    if (o->common.json) {
        json_put_array_end(&j);
        buf_printf(&cli->out, "\n");
    } else if (shown) {
        table_print(&t, &cli->out);
    } else {
        buf_printf(&cli->out, "Nothing is set on %s; --all shows the settings it inherits.\n", target->about);
    }
    return cli_done(cli);
}

bool configs_ask_describe(struct cli *cli, const struct configs_resource *r, bool synonyms, bool documentation,
                          struct describe_configs_response_result *result)
{
    struct describe_configs_request in;
    struct describe_configs_response out;
    struct describe_configs_request_resource resource;
    describe_configs_request_init(&in);
    describe_configs_request_resource_init(&resource);
    resource.resource_type = r->type;
    resource.resource_name = r->name;
    in.resources = &resource;
    in.resources_count = 1;
    in.include_synonyms = synonyms;
    in.include_documentation = documentation;
    if (!cli_ask(cli, r->node_id, &describe_configs_request_message, &in, &describe_configs_response_message, &out))
        return false;
    if (out.results_count != 1) {
        cli_fail(cli, "the broker's answer names no resource");
        return false;
    }
    *result = out.results[0];
    qsort(result->configs, result->configs_count, sizeof(*result->configs), by_name);
    return true;
}

static int describe(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct configs_options *o = parsed->options;
    struct target target;
    struct describe_configs_response_result result;
    if (!take_target(cli, parsed, &target))
        return CLI_WRONG;
    if (!cli_connect(cli, &o->common) ||
        !configs_ask_describe(cli, &target.resource, false, o->documentation, &result))
        return CLI_FAILED;
    if (result.error_code)
        return cli_fail_code(cli, target.about, result.error_code, result.error_message);
    return show_configs(cli, o, &target, &result);
}

// ------------------------------------------------------------------------------------------------ set and delete

bool configs_ask_change(struct cli *cli, const struct configs_resource *r,
                        struct incremental_alter_configs_request_config *configs, uint32_t count, bool validate_only,
                        struct incremental_alter_configs_response_response *result)
{
    struct incremental_alter_configs_request in;
    struct incremental_alter_configs_response out;
    struct incremental_alter_configs_request_resource resource;
    incremental_alter_configs_request_init(&in);
    incremental_alter_configs_request_resource_init(&resource);
    resource.resource_type = r->type;
    resource.resource_name = r->name;
    resource.configs = configs;
    resource.configs_count = count;
    in.resources = &resource;
    in.resources_count = 1;
    in.validate_only = validate_only;
    if (!cli_ask(cli, r->node_id, &incremental_alter_configs_request_message, &in,
                 &incremental_alter_configs_response_message, &out))
        return false;
    if (out.responses_count != 1) {
        cli_fail(cli, "the broker's answer names no resource");
        return false;
    }
    *result = out.responses[0];
    return true;
}

static int change(struct cli *cli, const struct cli_parsed *parsed, const struct target *target,
                  struct incremental_alter_configs_request_config *configs, uint32_t count)
{
    const struct configs_options *o = parsed->options;
    struct incremental_alter_configs_response_response result;
    if (!cli_connect(cli, &o->common) ||
        !configs_ask_change(cli, &target->resource, configs, count, o->dry_run, &result))
        return CLI_FAILED;
    if (result.error_code)
        return cli_fail_code(cli, target->about, result.error_code, result.error_message);
    if (o->common.json)
        buf_printf(&cli->out, "{\"changed\":%u}\n", o->dry_run ? 0 : count);
    else
        buf_printf(&cli->out, "%s %u setting%s of %s\n", o->dry_run ? "would change" : "changed", count,
                   count == 1 ? "" : "s", target->about);
    return cli_done(cli);
}

static int set(struct cli *cli, const struct cli_parsed *parsed)
{
    struct target target;
    uint32_t count = parsed->argument_count - 2;
    struct incremental_alter_configs_request_config *configs = cli_alloc(cli, count, sizeof(*configs));
    if (!take_target(cli, parsed, &target))
        return CLI_WRONG;
    for (uint32_t i = 0; i < count; i++) {
        const char *word = parsed->arguments[i + 2], *equals = strchr(word, '=');
        if (!equals || equals == word)
            return cli_wrong(cli, "a setting is KEY=VALUE, not '%s'.", word);
        size_t n = (size_t)(equals - word);
        incremental_alter_configs_request_config_init(&configs[i]);
        configs[i].config_operation = CONFIGS_SET;
        if (word[n - 1] == '+')
            configs[i].config_operation = CONFIGS_APPEND;
        else if (word[n - 1] == '-')
            configs[i].config_operation = CONFIGS_SUBTRACT;
        configs[i].name = bytes_of(word, n - (configs[i].config_operation != CONFIGS_SET));
        configs[i].value = bytes_str(equals + 1);
    }
    return change(cli, parsed, &target, configs, count);
}

static int delete (struct cli *cli, const struct cli_parsed *parsed)
{
    struct target target;
    uint32_t count = parsed->argument_count - 2;
    struct incremental_alter_configs_request_config *configs = cli_alloc(cli, count, sizeof(*configs));
    if (!take_target(cli, parsed, &target))
        return CLI_WRONG;
    for (uint32_t i = 0; i < count; i++) {
        incremental_alter_configs_request_config_init(&configs[i]);
        configs[i].config_operation = CONFIGS_DELETE;
        configs[i].name = bytes_str(parsed->arguments[i + 2]);
    }
    return change(cli, parsed, &target, configs, count);
}

#define PLACE(member) offsetof(struct configs_options, member)

static const struct cli_option describe_options[] = {
    {.name = "all",
     .letter = 'a',
     .kind = CLI_FLAG,
     .offset = PLACE(all),
     .help = "inherited settings too, not only those set on it"},
    {.name = "documentation", .kind = CLI_FLAG, .offset = PLACE(documentation), .help = "say what each setting means"},
    {0},
};

static const struct cli_option change_options[] = {
    {.name = "dry-run", .kind = CLI_FLAG, .offset = PLACE(dry_run), .help = "only ask whether it could be done"},
    {0},
};

const struct cli_command admin_configs_commands[] = {
    {.name = "describe",
     .arguments = "topic NAME | group NAME | broker ID | broker default",
     .summary = "Show settings.",
     .options = describe_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct configs_options),
     .arguments_min = 2,
     .arguments_max = 2,
     .run = describe,
     .examples = "weir admin configs describe topic orders\nweir admin configs describe broker 1 --all"},
    {.name = "set",
     .arguments = "topic NAME | group NAME | broker ID | broker default  KEY=VALUE...",
     .summary = "Change settings.",
     .details = "KEY+=VALUE adds to a list and KEY-=VALUE takes from it.",
     .options = change_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct configs_options),
     .arguments_min = 3,
     .arguments_max = 255,
     .run = set,
     .examples = "weir admin configs set topic orders retention.ms=86400000 cleanup.policy=compact\n"
                 "weir admin configs set broker default log.retention.hours=48"},
    {.name = "delete",
     .arguments = "topic NAME | group NAME | broker ID | broker default  KEY...",
     .summary = "Take settings back to what they inherit.",
     .options = change_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct configs_options),
     .arguments_min = 3,
     .arguments_max = 255,
     .run = delete,
     .examples = "weir admin configs delete topic orders retention.ms"},
    {.name = "explain",
     .arguments = "KEY...",
     .summary = "Say what a key means, what weir does with it, and which value is in force.",
     .details = "Works without a broker; then only the value in force stays unknown. A name that is no key any more is "
                "explained by what replaced it, an unknown one by the nearest there is. The exit code is 1 when a name "
                "is one that weir refuses, or when the topic or the broker named does not exist.",
     .options = configs_explain_options,
     .shared = cli_common_options,
     .options_bytes = CONFIGS_EXPLAIN_OPTIONS_BYTES,
     .arguments_min = 1,
     .arguments_max = 255,
     .run = admin_configs_explain,
     .examples = "weir admin configs explain retention.ms\n"
                 "weir admin configs explain retention.ms segment.bytes --topic orders\n"
                 "weir admin configs explain log.retention.hours --broker 1 --json"},
    {0},
};
