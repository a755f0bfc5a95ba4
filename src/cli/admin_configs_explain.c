// SPDX-License-Identifier: Apache-2.0
//
// weir admin configs explain: asks one broker, if one answers, for its own configuration and that of a topic.
#include <stdio.h>

#include "base/assert.h"
#include "cli/cli.h"
#include "cli/configs_explain.h"
#include "model/kerr.h"

enum { RESOURCE_TOPIC = 2, RESOURCE_BROKER = 4 };

struct explain_options {
    struct cli_common common;
    const char *topic;
    int64_t broker; // -1: the one with the smallest id
};

_Static_assert(sizeof(struct explain_options) <= CONFIGS_EXPLAIN_OPTIONS_BYTES, "the table sets the room aside");

#define PLACE(member) offsetof(struct explain_options, member)

const struct cli_option configs_explain_options[] = {
    {.name = "topic",
     .letter = 't',
     .kind = CLI_TEXT,
     .offset = PLACE(topic),
     .value_name = "TOPIC",
     .help = "show the values in force for this topic"},
    {.name = "broker",
     .kind = CLI_NUMBER,
     .offset = PLACE(broker),
     .value_name = "ID",
     .initial = -1,
     .least = 0,
     .bounded = true,
     .help = "show the values in force on this broker; default: the smallest id"},
    // Hides the family's: nobody waits half a minute for what can be said without a broker.
    {.name = "timeout",
     .kind = CLI_DURATION,
     .offset = PLACE(common.timeout_ms),
     .value_name = "TIME",
     .initial = 5000,
     .least = 1,
     .bounded = true,
     .help = "longest wait for an answer (default 5s)"},
    {0},
};

static int32_t smallest_id(const struct cli *cli)
{
    int32_t id = -1;
    for (const struct client_node *n = cli->client.nodes; n; n = n->next)
        if (n->id >= 0 && !n->gone && (id < 0 || n->id < id))
            id = n->id;
    return id;
}

// Text for the rest of the process; cli->client.error does not last.
static const char *keep(struct cli *cli, const char *text)
{
    const char *kept = arena_printf(&cli->arena, "%s", text);
    return kept ? kept : "out of memory";
}

// Puts a result where it belongs. False after a message when the broker answered with an error.
static bool take_result(struct cli *cli, struct explain_resource *r,
                        const struct describe_configs_response_result *result)
{
    if (!result->error_code) {
        r->result = result;
        return true;
    }
    r->unknown = kerr_name(result->error_code);
    cli_fail_code(cli, r->where, result->error_code, result->error_message);
    return false;
}

// Asks broker id for its configuration and, if one is named, the topic's. NULL when nobody answers.
static const struct describe_configs_response *describe(struct cli *cli, int32_t id, const char *topic)
{
    struct describe_configs_request in;
    struct describe_configs_response *out = cli_alloc(cli, 1, sizeof(*out));
    struct describe_configs_request_resource resources[2];
    char id_text[16];
    snprintf(id_text, sizeof(id_text), "%d", id);
    describe_configs_request_init(&in);
    for (int i = 0; i < 2; i++)
        describe_configs_request_resource_init(&resources[i]);
    resources[0].resource_type = RESOURCE_BROKER;
    resources[0].resource_name = bytes_str(id_text);
    resources[1].resource_type = RESOURCE_TOPIC;
    resources[1].resource_name = bytes_str(topic ? topic : "");
    in.resources = resources;
    in.resources_count = topic ? 2 : 1;
    in.include_synonyms = true;
    struct client_call call = {.node_id = id,
                               .request = &describe_configs_request_message,
                               .answer = &describe_configs_response_message,
                               .in = &in,
                               .out = out,
                               .arena = &cli->arena};
    return client_call(&cli->client, &call) == RC_OK ? out : NULL;
}

// Fills in what brokers know. False after a message when what was asked for does not exist; silence is no error.
static bool ask(struct cli *cli, const struct explain_options *o, struct explain_context *c)
{
    const char *why = cli_connect_or_why(cli, &o->common);
    if (why) {
        c->broker.unknown = c->topic.unknown = keep(cli, why);
        return true;
    }
    int32_t id = o->broker < 0 ? smallest_id(cli) : o->broker > INT32_MAX ? -1 : (int32_t)o->broker;
    if (o->broker >= 0 && (id < 0 || !client_connection_of(&cli->client, id))) {
        c->broker.unknown = c->topic.unknown = "there is no such broker";
        cli_fail(cli, "there is no broker %lld; 'weir admin brokers list' shows which there are", (long long)o->broker);
        return false;
    }
    const char *where = arena_printf(&cli->arena, "broker %d", id);
    c->broker.where = where ? where : "broker";
    const struct describe_configs_response *out = describe(cli, id, o->topic);
    if (!out) {
        c->broker.unknown = c->topic.unknown = keep(cli, cli->client.error);
        return true;
    }
    bool good = true;
    c->broker.unknown = c->topic.unknown = "the broker's answer does not name it";
    for (uint32_t i = 0; i < out->results_count; i++) {
        const struct describe_configs_response_result *r = &out->results[i];
        if (r->resource_type == RESOURCE_BROKER)
            good &= take_result(cli, &c->broker, r);
        else if (r->resource_type == RESOURCE_TOPIC)
            good &= take_result(cli, &c->topic, r);
    }
    return good;
}

int admin_configs_explain(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct explain_options *o = parsed->options;
    struct json j;
    struct explain_context c = {.out = &cli->out,
                                .arena = &cli->arena,
                                .json = o->common.json ? &j : NULL,
                                .with_topic = o->topic != NULL,
                                .broker = {.where = "broker"},
                                .topic = {.where = "topic"}};
    bool any_key = false, good = true;
    uint32_t refused = 0;
    if (o->topic) {
        const char *where = arena_printf(&cli->arena, "topic '%s'", o->topic);
        c.topic.where = where ? where : "topic";
    }
    for (uint32_t i = 0; i < parsed->argument_count; i++)
        any_key |= config_find(CONFIG_TOPIC, parsed->arguments[i]) ||
                   config_find_setting(CONFIG_BROKER, parsed->arguments[i]);
    if (any_key)
        good = ask(cli, o, &c);
    json_init(&j, &cli->out, true);
    if (c.json)
        json_put_array(&j);
    for (uint32_t i = 0; i < parsed->argument_count; i++)
        refused += !explain_name(&c, parsed->arguments[i]);
    if (c.json) {
        json_put_array_end(&j);
        buf_printf(&cli->out, "\n");
    }
    int code = cli_done(cli);
    return code == CLI_OK && (refused || !good) ? CLI_FAILED : code;
}
