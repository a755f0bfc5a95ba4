// SPDX-License-Identifier: Apache-2.0
//
// kafka-log-dirs: the brokers' log folders as one line of JSON.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/commands.h"
#include "cli/tool.h"

enum { LOG_DIRS_BROKERS_MAX = 1024 };

struct log_dirs_options {
    struct tool_common tool;
    const char *topics, *brokers;
    bool describe;
};

static const struct cli_option options[] = {
    TOOL_FLAG(struct log_dirs_options, "describe", describe, "describe the log folders of the brokers"),
    TOOL_TEXT(struct log_dirs_options, "topic-list", topics, "TOPIC,...", "only these topics; default: all"),
    TOOL_TEXT(struct log_dirs_options, "broker-list", brokers, "ID,...", "only these brokers; default: all"),
    {0},
};

static bool is_listed(const char *list, struct bytes name)
{
    for (const char *p = list; p && *p;) {
        size_t n = strcspn(p, ",");
        if (bytes_eq(bytes_of(p, n), name))
            return true;
        p += n + (p[n] == ',');
    }
    return !list || !*list;
}

struct ids {
    int32_t items[LOG_DIRS_BROKERS_MAX];
    uint32_t count;
};

static int by_id(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static bool has(const struct ids *ids, int64_t id)
{
    for (uint32_t i = 0; i < ids->count; i++)
        if (ids->items[i] == id)
            return true;
    return false;
}

static const char *join(struct cli *cli, const struct ids *ids)
{
    const char *text = "";
    for (uint32_t i = 0; i < ids->count && text; i++)
        text = arena_printf(&cli->arena, "%s%s%d", text, i ? "," : "", ids->items[i]);
    return text ? text : "";
}

// The brokers to ask. False after a message.
static bool choose(struct cli *cli, const char *list, struct ids *out)
{
    struct ids *there = cli_alloc(cli, 1, sizeof(*there)), *missing = cli_alloc(cli, 1, sizeof(*missing));
    for (const struct client_node *n = cli->client.nodes; n; n = n->next)
        if (n->id >= 0 && !n->gone && there->count < LOG_DIRS_BROKERS_MAX)
            there->items[there->count++] = n->id;
    qsort(there->items, there->count, sizeof(there->items[0]), by_id);
    char *rest = list && *list ? arena_copy(&cli->arena, list, strlen(list)) : NULL, *word;
    if (!rest)
        *out = *there;
    while (rest && (word = strsep(&rest, ",")) != NULL) {
        int64_t id;
        if (!cli_number_parse(word, &id) || id < INT32_MIN || id > INT32_MAX) {
            tool_fail(cli, "For input string: \"%s\"", word);
            return false;
        }
        struct ids *to = has(there, id) ? out : missing;
        if (!has(to, id) && to->count < LOG_DIRS_BROKERS_MAX)
            to->items[to->count++] = (int32_t)id;
    }
    if (missing->count)
        tool_fail(cli, "ERROR: The given brokers do not exist from --broker-list: %s. Current existent brokers: %s",
                  join(cli, missing), join(cli, there));
    return missing->count == 0;
}

static void one_dir(struct cli *cli, struct json *j, const struct describe_log_dirs_response_result *r,
                    const char *topics)
{
    json_put_object(j);
    json_put_key(j, "partitions");
    json_put_array(j);
    for (uint32_t i = 0; i < r->topics_count; i++) {
        if (!is_listed(topics, r->topics[i].name))
            continue;
        for (uint32_t k = 0; k < r->topics[i].partitions_count; k++) {
            const struct describe_log_dirs_response_partition *p = &r->topics[i].partitions[k];
            json_put_object(j);
            json_put_key_str(j, "partition",
                             arena_printf(&cli->arena, "%.*s-%d", (int)r->topics[i].name.n,
                                          (const char *)r->topics[i].name.p, p->partition_index));
            json_put_key_int(j, "size", p->partition_size);
            json_put_key_int(j, "offsetLag", p->offset_lag);
            json_put_key_bool(j, "isFuture", p->is_future_key);
            json_put_object_end(j);
        }
    }
    json_put_array_end(j);
    const char *error = r->error_code ? tool_error(cli, r->error_code) : NULL;
    json_put_key(j, "error");
    json_put_text(j, bytes_of(error, error ? strcspn(error, ":") : 0)); // the class alone
    json_put_key_text(j, "logDir", r->log_dir);
    json_put_object_end(j);
}

static int describe(struct cli *cli, const struct ids *brokers, const char *topics)
{
    struct json j;
    const char *ids = join(cli, brokers);
    buf_printf(&cli->out, "Querying brokers for log directories information\n"
                          "Received log directory information from brokers %s\n",
               ids);
    json_init(&j, &cli->out, false);
    json_put_object(&j);
    json_put_key(&j, "brokers");
    json_put_array(&j);
    for (uint32_t i = 0; i < brokers->count; i++) {
        struct describe_log_dirs_response out;
        if (!admin_ask_log_dirs(cli, brokers->items[i], NULL, &out))
            return CLI_FAILED;
        if (out.error_code)
            return tool_fail(cli, "%s", tool_error(cli, out.error_code));
        json_put_object(&j);
        json_put_key_int(&j, "broker", brokers->items[i]);
        json_put_key(&j, "logDirs");
        json_put_array(&j);
        for (uint32_t k = 0; k < out.results_count; k++)
            one_dir(cli, &j, &out.results[k], topics);
        json_put_array_end(&j);
        json_put_object_end(&j);
    }
    json_put_array_end(&j);
    json_put_key_int(&j, "version", 1);
    json_put_object_end(&j);
    buf_printf(&cli->out, "\n");
    return CLI_OK;
}

static int run(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct log_dirs_options *o = parsed->options;
    struct ids *brokers = cli_alloc(cli, 1, sizeof(*brokers));
    if (!o->tool.common.bootstrap || !o->describe)
        return tool_wrong(cli, &tool_log_dirs, "Missing required argument \"[%s]\"",
                          o->tool.common.bootstrap ? "describe" : "bootstrap-server");
    if (!tool_connect(cli, &tool_log_dirs, &o->tool) || !choose(cli, o->brokers, brokers) ||
        describe(cli, brokers, o->topics) != CLI_OK)
        return CLI_FAILED;
    return cli_done(cli);
}

const struct cli_command tool_log_dirs = {
    .name = "kafka-log-dirs",
    .summary = "This tool helps to query log directory usage on the specified brokers.",
    .options = options,
    .shared = tool_connection_options,
    .options_bytes = sizeof(struct log_dirs_options),
    .run = run};
