// SPDX-License-Identifier: Apache-2.0
//
// kafka-topics: options, which of them go together, and every action but describe.
#include "cli/tool_topics.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/properties.h"

enum { KERR_TOPIC_EXISTS = 36, TOPICS_ASSIGNMENT_MAX = 10000 };

static const struct cli_option options[] = {
    TOOL_FLAG(struct tool_topics_options, "list", list, "list all topics"),
    TOOL_FLAG(struct tool_topics_options, "create", create, "create a topic"),
    TOOL_FLAG(struct tool_topics_options, "describe", describe, "show topics with their partitions"),
    TOOL_FLAG(struct tool_topics_options, "alter", alter,
              "give topics more partitions (their settings are changed with kafka-configs)"),
    TOOL_FLAG(struct tool_topics_options, "delete", remove, "delete topics"),
    TOOL_TEXT(struct tool_topics_options, "topic", topic, "TOPIC",
              "the topic; other than with --create a regular expression for the whole name"),
    TOOL_TEXT(struct tool_topics_options, "topic-id", topic_id, "ID", "the topic to describe, by its id"),
    TOOL_LIST(struct tool_topics_options, "config", configs, "NAME=VALUE",
              "a setting of the topic being created; many times"),
    TOOL_TEXT(struct tool_topics_options, "delete-config", delete_config, "NAME",
              "no longer supported; see kafka-configs"),
    TOOL_NUMBER(struct tool_topics_options, "partitions", partitions, "N", -1,
              "how many, in all; default: the cluster's"),
    TOOL_NUMBER(struct tool_topics_options, "replication-factor", replication_factor, "N", -1,
                "copies of each partition; default: the cluster's"),
    TOOL_TEXT(struct tool_topics_options, "replica-assignment", assignment, "ID:ID,ID:ID,...",
              "the brokers of each partition, by hand"),
    TOOL_FLAG(struct tool_topics_options, "if-exists", if_exists, "no error when there is no such topic"),
    TOOL_FLAG(struct tool_topics_options, "if-not-exists", if_not_exists, "no error when the topic is there already"),
    TOOL_FLAG(struct tool_topics_options, "exclude-internal", exclude_internal, "without the brokers' own topics"),
    TOOL_FLAG(struct tool_topics_options, "under-replicated-partitions", under_replicated,
              "only partitions that lack replicas"),
    TOOL_FLAG(struct tool_topics_options, "unavailable-partitions", unavailable, "only partitions without a leader"),
    TOOL_FLAG(struct tool_topics_options, "under-min-isr-partitions", under_min_isr,
              "only partitions with fewer replicas in sync than min.insync.replicas"),
    TOOL_FLAG(struct tool_topics_options, "at-min-isr-partitions", at_min_isr,
              "only partitions with just as many as that"),
    TOOL_FLAG(struct tool_topics_options, "topics-with-overrides", with_overrides,
              "only topics with settings of their own"),
    TOOL_NUMBER(struct tool_topics_options, "partition-size-limit-per-response", size_limit, "N", -1,
                "most partitions of one answer"),
    {0},
};

int tool_topics_fail(struct cli *cli, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    buf_printf(&cli->out, "Error while executing topic command : %s\n", text);
    cli_flush(cli);
    return CLI_FAILED;
}

// ------------------------------------------------------------------------------------------------ the command line

static int check_required(struct cli *cli, const struct tool_topics_options *o)
{
    if (!o->tool.common.bootstrap)
        return tool_wrong(cli, &tool_topics, "--bootstrap-server must be specified");
    if (o->describe && o->if_exists && !o->topic && !o->topic_id)
        return tool_wrong(cli, &tool_topics, "--topic or --topic-id is required to describe a topic");
    if (!o->list && !o->describe && !o->topic)
        return tool_wrong(cli, &tool_topics, "Missing required argument \"[topic]\"");
    if (o->alter && o->configs.count)
        return tool_wrong(cli, &tool_topics,
                          "Option combination \"[[bootstrap-server], [config]]\" can't be used with option \"[alter]\" "
                          "(To alter topic configurations, the kafka-configs tool can be used.)");
    if (o->alter && o->partitions == -1)
        return tool_wrong(cli, &tool_topics, "Missing required argument \"[partitions]\"");
    return CLI_OK;
}

// Each option and the actions it does not go with.
static int check_clashes(struct cli *cli, const struct tool_topics_options *o)
{
    enum { ALTER = 1, CREATE = 2, DELETE = 4, DESCRIBE = 8, LIST = 16, OVERRIDES = 32, REPORTS = 64 };
    const struct {
        struct tool_use use;
        unsigned fits;
    } rows[] = {
        {{"config", o->configs.count > 0}, ALTER | CREATE},
        {{"partitions", o->partitions != -1}, ALTER | CREATE},
        {{"replication-factor", o->replication_factor != -1}, CREATE},
        {{"replica-assignment", o->assignment != NULL}, ALTER | CREATE},
        {{"under-replicated-partitions", o->under_replicated}, DESCRIBE | REPORTS},
        {{"under-min-isr-partitions", o->under_min_isr}, DESCRIBE | REPORTS},
        {{"at-min-isr-partitions", o->at_min_isr}, DESCRIBE | REPORTS},
        {{"unavailable-partitions", o->unavailable}, DESCRIBE | REPORTS},
        {{"topics-with-overrides", o->with_overrides}, DESCRIBE | OVERRIDES},
        {{"if-exists", o->if_exists}, ALTER | DELETE | DESCRIBE | OVERRIDES | REPORTS},
        {{"if-not-exists", o->if_not_exists}, CREATE},
        {{"exclude-internal", o->exclude_internal}, LIST | DESCRIBE | OVERRIDES | REPORTS},
    };
    const bool reports = o->under_replicated || o->unavailable || o->under_min_isr || o->at_min_isr;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const unsigned fits = rows[i].fits;
        const bool narrow = (fits & (OVERRIDES | REPORTS)) != 0;
        const struct tool_use others[] = {
            {"alter", o->alter && !(fits & ALTER)},
            {"create", o->create && !(fits & CREATE)},
            {"delete", o->remove && !(fits & DELETE)},
            {"describe", o->describe && !(fits & DESCRIBE)},
            {"list", o->list && !(fits & LIST)},
            {"topics-with-overrides", narrow && o->with_overrides && !(fits & OVERRIDES)},
            {"under-replicated-partitions", narrow && reports && !(fits & REPORTS)},
            {0},
        };
        int code = tool_clash(cli, &tool_topics, rows[i].use, others);
        if (code != CLI_OK)
            return code;
    }
    const struct tool_use by_hand[] = {
        {"partitions", o->partitions != -1}, {"replication-factor", o->replication_factor != -1}, {0}};
    return o->create ? tool_clash(cli, &tool_topics, rows[3].use, by_hand) : CLI_OK;
}

static int check(struct cli *cli, const struct tool_topics_options *o)
{
    if (o->list + o->describe + o->create + o->alter + o->remove != 1)
        return tool_wrong(
            cli, &tool_topics,
            "Command must include exactly one action: --list, --describe, --create, --alter or --delete");
    int code = check_required(cli, o);
    return code == CLI_OK ? check_clashes(cli, o) : code;
}

// "1:2,2:1": brokers of partition 0 and 1. The number of partitions, or -1 after a message.
static int64_t parse_assignment(struct cli *cli, const char *text, struct create_topics_request_assignment **out)
{
    uint32_t count = 0;
    char *rest = arena_copy(&cli->arena, text, strlen(text)), *part, *word;
    struct create_topics_request_assignment *all = cli_alloc(cli, TOPICS_ASSIGNMENT_MAX, sizeof(*all));
    while (rest && (part = strsep(&rest, ",")) != NULL) {
        struct create_topics_request_assignment *a = &all[count];
        if (count == TOPICS_ASSIGNMENT_MAX) {
            tool_topics_fail(cli, "More than %d partitions were given", TOPICS_ASSIGNMENT_MAX);
            return -1;
        }
        a->partition_index = (int32_t)count++;
        a->broker_ids = cli_alloc(cli, strlen(part) + 1, sizeof(*a->broker_ids));
        while ((word = strsep(&part, ":")) != NULL) {
            int64_t id;
            if (!cli_number_parse(word + strspn(word, " "), &id) || id < 0 || id > INT32_MAX) {
                tool_topics_fail(cli, "For input string: \"%s\"", word);
                return -1;
            }
            for (uint32_t i = 0; i < a->broker_ids_count; i++) {
                if (a->broker_ids[i] != id)
                    continue;
                tool_topics_fail(cli, "Partition replica lists may not contain duplicate entries: %lld", (long long)id);
                return -1;
            }
            a->broker_ids[a->broker_ids_count++] = (int32_t)id;
        }
        if (a->broker_ids_count != all[0].broker_ids_count) {
            tool_topics_fail(cli, "Partition %u has different replication factor", count - 1);
            return -1;
        }
    }
    *out = all;
    return count;
}

// "key = value" words. False after a message.
static bool take_configs(struct cli *cli, const struct cli_list *list, struct create_topics_request_topic *topic)
{
    topic->configs = cli_alloc(cli, (size_t)list->count + 1, sizeof(*topic->configs));
    for (uint32_t i = 0; i < list->count; i++) {
        const char *word = list->items[i], *equals = strchr(word, '=');
        if (!equals || equals == word || !equals[1] || strchr(equals + 1, '=')) {
            tool_topics_fail(cli, "requirement failed: Invalid topic config: all configs to be added must be in the "
                                  "format \"key=val\".");
            return false;
        }
        size_t n = (size_t)(equals - word);
        while (n > 1 && word[n - 1] == ' ')
            n--;
        create_topics_request_config_init(&topic->configs[i]);
        topic->configs[i].name = bytes_of(word, n);
        topic->configs[i].value = bytes_str(equals + 1 + strspn(equals + 1, " "));
    }
    topic->configs_count = list->count;
    return true;
}

// ------------------------------------------------------------------------------------------------ actions

static int create(struct cli *cli, const struct tool_topics_options *o)
{
    struct create_topics_request_topic topic;
    struct create_topics_response out;
    create_topics_request_topic_init(&topic);
    topic.name = bytes_str(o->topic);
    topic.num_partitions = (int32_t)o->partitions;
    topic.replication_factor = (int16_t)o->replication_factor;
    if (!take_configs(cli, &o->configs, &topic))
        return CLI_FAILED;
    if (o->assignment) {
        int64_t count = parse_assignment(cli, o->assignment, &topic.assignments);
        if (count < 0)
            return CLI_FAILED;
        topic.assignments_count = (uint32_t)count;
    }
    if (strpbrk(o->topic, "._"))
        buf_printf(&cli->out, "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore "
                              "('_') could collide. To avoid issues it is best to use either, but not both.\n");
    if (o->replication_factor > INT16_MAX || (o->replication_factor < 1 && o->replication_factor != -1))
        return tool_topics_fail(cli, "The replication factor must be between 1 and %d inclusive", INT16_MAX);
    if (o->partitions > INT32_MAX || (o->partitions < 1 && o->partitions != -1))
        return tool_topics_fail(cli, "The partitions must be greater than 0");
    if (!topics_ask_create(cli, &topic, 1, TOOL_TIMEOUT_MS, false, &out))
        return CLI_FAILED;
    int16_t code = out.topics_count == 1 ? out.topics[0].error_code : -1;
    if (code == KERR_TOPIC_EXISTS && o->if_not_exists)
        return CLI_OK;
    if (code)
        return tool_topics_fail(
            cli, "%s", tool_words(cli, code, out.topics_count == 1 ? out.topics[0].error_message : bytes_str("")));
    buf_printf(&cli->out, "Created topic %s.\n", o->topic);
    return CLI_OK;
}

static bool is_chosen(const struct tool_topics_options *o, const struct metadata_response_topic *t,
                      const regex_t *pattern, struct uuid id)
{
    char name[TOPIC_NAME_BYTES_MAX + 1];
    if (t->is_internal && o->exclude_internal)
        return false;
    if (!uuid_is_zero(id))
        return uuid_eq(id, t->topic_id);
    snprintf(name, sizeof(name), "%.*s", (int)t->name.n, (const char *)t->name.p);
    return regexec(pattern, name, 0, NULL, 0) == 0;
}

// False after a message.
static bool choose(struct cli *cli, const struct tool_topics_options *o, struct tool_topics_chosen *out)
{
    struct uuid id = {0};
    regex_t pattern;
    if (o->topic_id && !uuid_parse(bytes_str(o->topic_id), &id)) {
        tool_topics_fail(cli, "Input string `%s` is not a base64-encoded UUID", o->topic_id);
        return false;
    }
    if (!tool_pattern(o->topic ? o->topic : "", &pattern)) {
        tool_topics_fail(cli, "%s is an invalid regex.", o->topic);
        return false;
    }
    bool good = topics_ask(cli, NULL, 0, &out->all);
    out->by_id = !uuid_is_zero(id);
    out->items = cli_alloc(cli, good ? (size_t)out->all.topics_count + 1 : 1, sizeof(*out->items));
    for (uint32_t i = 0; good && i < out->all.topics_count; i++)
        if (is_chosen(o, &out->all.topics[i], &pattern, id))
            out->items[out->count++] = out->all.topics[i];
    regfree(&pattern);
    if (good && out->count == 0 && !o->list && !o->if_exists && (!uuid_is_zero(id) || (o->topic && *o->topic))) {
        tool_topics_fail(cli, "Topic%s '%s' does not exist as expected", uuid_is_zero(id) ? "" : "Id",
                         uuid_is_zero(id) ? o->topic : o->topic_id);
        return false;
    }
    return good;
}

static int list(struct cli *cli, const struct tool_topics_chosen *chosen)
{
    for (uint32_t i = 0; i < chosen->count; i++)
        buf_printf(&cli->out, "%.*s\n", (int)chosen->items[i].name.n, (const char *)chosen->items[i].name.p);
    if (chosen->count == 0)
        buf_printf(&cli->out, "\n");
    return CLI_OK;
}

static int alter(struct cli *cli, const struct tool_topics_options *o, const struct tool_topics_chosen *chosen)
{
    struct create_topics_request_assignment *brokers = NULL;
    struct create_partitions_request_topic *topics = cli_alloc(cli, (size_t)chosen->count + 1, sizeof(*topics));
    struct create_partitions_response out;
    int64_t count = o->assignment ? parse_assignment(cli, o->assignment, &brokers) : 0;
    if (count < 0)
        return CLI_FAILED;
    if (o->partitions < INT32_MIN || o->partitions > INT32_MAX)
        return tool_topics_fail(cli, "Cannot parse argument '%lld' of option partitions", (long long)o->partitions);
    for (uint32_t i = 0; i < chosen->count; i++) {
        create_partitions_request_topic_init(&topics[i]);
        topics[i].name = chosen->items[i].name;
        topics[i].count = (int32_t)o->partitions;
        topics[i].assignments = NULL;
        uint32_t there = chosen->items[i].partitions_count;
        if (!o->assignment)
            continue;
        topics[i].assignments = cli_alloc(cli, (size_t)count + 1, sizeof(*topics[i].assignments));
        for (int64_t p = there; p < count; p++) { // those that are new
            struct create_partitions_request_assignment *a = &topics[i].assignments[topics[i].assignments_count++];
            a->broker_ids = brokers[p].broker_ids;
            a->broker_ids_count = brokers[p].broker_ids_count;
        }
    }
    if (!topics_ask_partitions(cli, topics, chosen->count, TOOL_TIMEOUT_MS, false, &out))
        return CLI_FAILED;
    for (uint32_t i = 0; i < out.results_count; i++)
        if (out.results[i].error_code)
            return tool_topics_fail(cli, "%s",
                                    tool_words(cli, out.results[i].error_code, out.results[i].error_message));
    return CLI_OK;
}

static int remove_topics(struct cli *cli, const struct tool_topics_chosen *chosen)
{
    struct delete_topics_response out;
    const char **names = cli_alloc(cli, (size_t)chosen->count + 1, sizeof(*names));
    for (uint32_t i = 0; i < chosen->count; i++) {
        names[i] = arena_copy(&cli->arena, chosen->items[i].name.p, chosen->items[i].name.n);
        if (!names[i])
            return cli_fail(cli, "out of memory");
    }
    if (!topics_ask_delete(cli, names, chosen->count, TOOL_TIMEOUT_MS, &out))
        return CLI_FAILED;
    for (uint32_t i = 0; i < out.responses_count; i++)
        if (out.responses[i].error_code)
            return tool_topics_fail(cli, "%s",
                                    tool_words(cli, out.responses[i].error_code, out.responses[i].error_message));
    return CLI_OK;
}

static int run(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct tool_topics_options *o = parsed->options;
    struct tool_topics_chosen chosen = {0};
    int code = check(cli, o);
    if (code != CLI_OK)
        return code;
    if (o->describe && o->if_exists && o->topic && o->topic_id)
        buf_printf(&cli->out, "Only topic id will be used when both --topic and --topic-id are specified and topicId "
                              "is not Uuid.ZERO_UUID\n");
    if (!tool_connect(cli, &tool_topics, &o->tool))
        return CLI_FAILED;
    if (o->create)
        code = create(cli, o);
    else if (!choose(cli, o, &chosen))
        code = CLI_FAILED;
    else if (o->list)
        code = list(cli, &chosen);
    else if (chosen.count == 0)
        code = CLI_OK;
    else
        code = o->describe ? tool_topics_describe(cli, o, &chosen)
               : o->alter  ? alter(cli, o, &chosen)
                           : remove_topics(cli, &chosen);
    return code == CLI_OK ? cli_done(cli) : code;
}

const struct cli_command tool_topics = {.name = "kafka-topics",
                                        .summary = "Create, delete, describe, or change a topic.",
                                        .options = options,
                                        .shared = tool_connection_options,
                                        .options_bytes = sizeof(struct tool_topics_options),
                                        .run = run};
