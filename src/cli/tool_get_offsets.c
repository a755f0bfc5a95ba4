// SPDX-License-Identifier: Apache-2.0
//
// kafka-get-offsets: TOPIC:PARTITION:OFFSET lines.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/tool.h"
#include "client/offsets.h"
#include "model/ids.h"
#include "model/kerr.h"

struct get_offsets_options {
    struct tool_common tool;
    const char *topic, *topic_partitions, *partitions, *time;
    bool exclude_internal;
};

#define PLACE(member) offsetof(struct get_offsets_options, member)
#define TEXT(option, member, value, text)                                                                              \
    {                                                                                                                  \
        .name = option, .kind = CLI_TEXT, .offset = PLACE(member), .value_name = value, .help = text                   \
    }

static const struct cli_option options[] = {
    TEXT("bootstrap-server", tool.common.bootstrap, "HOST:PORT[,...]", "REQUIRED: the server to connect to"),
    TEXT("broker-list", tool.common.bootstrap, "HOST:PORT[,...]", "the old name of the same"),
    TEXT("command-config", tool.command_config, "FILE", "properties for the connection"),
    TEXT("topic", topic, "REGEX", "only topics that match; default: all"),
    TEXT("partitions", partitions, "0,1,...", "only these partitions"),
    TEXT("topic-partitions", topic_partitions, "TOPIC:0-3,TOPIC:2,...",
         "patterns with ranges, the upper end not included; a topic alone means all its partitions"),
    TEXT("time", time, "latest|earliest|max-timestamp|MS", "of which time (default latest)"),
    {.name = "exclude-internal-topics",
     .kind = CLI_FLAG,
     .offset = PLACE(exclude_internal),
     .help = "without those of the broker itself"},
    TOOL_WAIT(struct get_offsets_options, tool.common.timeout_ms),
    {0},
};

// One pattern: a regular expression for the topic and a range of partitions.
struct pattern {
    regex_t topic;
    int64_t first, end;
};

struct patterns {
    struct pattern *items;
    uint32_t count;
};

static bool add_pattern(struct patterns *p, const char *topic, int64_t first, int64_t end)
{
    struct pattern *one = &p->items[p->count];
    if (!tool_pattern(topic, &one->topic))
        return false;
    one->first = first;
    one->end = end;
    p->count++;
    return true;
}

// "orders:0-3": the range behind the last colon, if there is one.
static bool parse_pattern(struct patterns *p, char *text)
{
    char *colon = strrchr(text, ':'), *dash;
    int64_t first = 0, end = INT64_MAX;
    if (colon)
        *colon++ = 0;
    if (colon && (dash = strchr(colon, '-')) != NULL) {
        *dash = 0;
        if ((*colon && !cli_number_parse(colon, &first)) || (dash[1] && !cli_number_parse(dash + 1, &end)))
            return false;
    } else if (colon && *colon) {
        if (!cli_number_parse(colon, &first))
            return false;
        end = first + 1;
    }
    return add_pattern(p, text, first, end);
}

static bool parse_patterns(struct cli *cli, const struct get_offsets_options *o, struct patterns *p)
{
    const char *text = o->topic_partitions ? o->topic_partitions : o->partitions ? o->partitions : "";
    char *rest = arena_copy(&cli->arena, text, strlen(text)), *word;
    p->items = cli_alloc(cli, strlen(text) + 1, sizeof(*p->items));
    const char *topic = o->topic ? o->topic : "";
    if (!rest)
        return false;
    if (!*text)
        return add_pattern(p, topic, 0, INT64_MAX);
    while ((word = strsep(&rest, ",")) != NULL) {
        int64_t v;
        if (o->topic_partitions ? !parse_pattern(p, word)
                                : !cli_number_parse(word, &v) || !add_pattern(p, topic, v, v + 1))
            return false;
    }
    return true;
}

static bool is_wanted(const struct patterns *p, const char *topic, int32_t partition)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (partition >= p->items[i].first && partition < p->items[i].end &&
            regexec(&p->items[i].topic, topic, 0, NULL, 0) == 0)
            return true;
    return false;
}

static bool parse_time(const char *text, int64_t *timestamp)
{
    static const struct {
        const char *name;
        int64_t spec;
    } names[] = {{"latest", OFFSET_SPEC_LATEST}, {"earliest", OFFSET_SPEC_EARLIEST}, {"max-timestamp", -3}};
    *timestamp = OFFSET_SPEC_LATEST;
    for (size_t i = 0; text && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i].name) == 0) {
            *timestamp = names[i].spec;
            return true;
        }
    }
    return !text || cli_number_parse(text, timestamp);
}

// Prints a topic's partitions that are wanted; how many there were, -1 after a message.
static int print_topic(struct cli *cli, const struct patterns *p, const char *name, int64_t timestamp)
{
    struct client_topic *t = client_topic(&cli->client, name);
    if (!t || client_topic_wait(&cli->client, t, false) != RC_OK) {
        cli_fail(cli, "%s", t ? cli->client.error : "topic name too long");
        return -1;
    }
    struct client_offset *list = cli_alloc(cli, (size_t)t->partition_count + 1, sizeof(*list));
    uint32_t n = 0;
    for (int32_t i = 0; i < t->partition_count; i++)
        if (is_wanted(p, name, i))
            list[n++] = (struct client_offset){.partition = i, .timestamp = timestamp};
    if (n > 0 && client_list_offsets(&cli->client, t, list, n, false) != RC_OK) {
        cli_fail(cli, "%s", cli->client.error);
        return -1;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (list[i].error_code)
            fprintf(stderr, "Skip getting offsets for topic-partition %s-%d due to error: %s\n", name,
                    list[i].partition, kerr_name(list[i].error_code));
        else if (list[i].offset >= 0)
            buf_printf(&cli->out, "%s:%d:%lld\n", name, list[i].partition, (long long)list[i].offset);
    }
    return (int)n;
}

static int by_name(const void *a, const void *b)
{
    const struct metadata_response_topic *x = a, *y = b;
    return bytes_cmp(x->name, y->name);
}

static int print_all(struct cli *cli, const struct get_offsets_options *o, const struct patterns *p, int64_t timestamp)
{
    struct metadata_request in;
    struct metadata_response all;
    bool any = false;
    metadata_request_init(&in);
    in.allow_auto_topic_creation = false;
    in.topics = NULL;
    if (!cli_ask(cli, CLIENT_NODE_ANY, &metadata_request_message, &in, &metadata_response_message, &all))
        return CLI_FAILED;
    qsort(all.topics, all.topics_count, sizeof(*all.topics), by_name);
    for (uint32_t i = 0; i < all.topics_count; i++) {
        const char *name = arena_copy(&cli->arena, all.topics[i].name.p, all.topics[i].name.n);
        bool wanted = false;
        for (uint32_t k = 0; name && k < p->count; k++)
            wanted |= regexec(&p->items[k].topic, name, 0, NULL, 0) == 0;
        if (!wanted || (all.topics[i].is_internal && o->exclude_internal))
            continue;
        int n = print_topic(cli, p, name, timestamp);
        if (n < 0)
            return CLI_FAILED;
        any |= n > 0;
    }
    if (any)
        return cli_done(cli);
    fprintf(stderr, "Error occurred: Could not match any topic-partitions with the specified filters\n");
    return CLI_FAILED;
}

static int run(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct get_offsets_options *o = parsed->options;
    struct patterns p = {0};
    int64_t timestamp;
    int code = CLI_FAILED;
    if (o->topic_partitions && (o->topic || o->partitions))
        return tool_wrong(cli, &tool_get_offsets, "--topic-partitions cannot be used with --topic or --partitions");
    if (!parse_time(o->time, &timestamp))
        return cli_fail(cli,
                        "Malformed time argument %s. Please use -1 or latest / -2 or earliest / -3 or max-timestamp, "
                        "or a specified long format timestamp",
                        o->time);
    if (!parse_patterns(cli, o, &p))
        cli_fail(cli, "Invalid rule: a topic is a regular expression, partitions are numbers");
    else if (tool_connect(cli, &tool_get_offsets, &o->tool))
        code = print_all(cli, o, &p, timestamp);
    for (uint32_t i = 0; i < p.count; i++)
        regfree(&p.items[i].topic);
    return code;
}

const struct cli_command tool_get_offsets = {.name = "kafka-get-offsets",
                                             .summary = "An interactive shell for getting topic-partition offsets.",
                                             .options = options,
                                             .options_bytes = sizeof(struct get_offsets_options),
                                             .run = run};
