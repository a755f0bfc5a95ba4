// SPDX-License-Identifier: Apache-2.0
//
// kafka-console-consumer and kafka-console-producer: weir consume and weir produce in other words.
#include <stdio.h>
#include <string.h>

#include "cli/consume.h"
#include "cli/produce.h"
#include "cli/properties.h"
#include "cli/tool.h"

// ------------------------------------------------------------------------------------------------ consumer

struct console_consumer_options {
    struct tool_common tool;
    const char *topic, *include, *partition, *offset, *group, *isolation, *config, *formatter, *ignored;
    struct cli_list properties, consumer_properties;
    int64_t max_messages, timeout_ms;
    bool from_beginning, skip, events;
};

#define CONSUMER(member) offsetof(struct console_consumer_options, member)
#define CONSUMER_TEXT(option, member, value, text)                                                                     \
    {                                                                                                                  \
        .name = option, .kind = CLI_TEXT, .offset = CONSUMER(member), .value_name = value, .help = text                \
    }
#define CONSUMER_LIST(option, member, value, text)                                                                     \
    {                                                                                                                  \
        .name = option, .kind = CLI_LIST, .offset = CONSUMER(member), .value_name = value, .help = text                \
    }

static const struct cli_option consumer_options[] = {
    CONSUMER_TEXT("bootstrap-server", tool.common.bootstrap, "HOST:PORT[,...]", "REQUIRED: the server to connect to"),
    CONSUMER_TEXT("topic", topic, "TOPIC", "the topic to read"),
    CONSUMER_TEXT("include", include, "TOPICS", "topics to read, with '|' or ',' between"),
    CONSUMER_TEXT("partition", partition, "N", "only this partition"),
    CONSUMER_TEXT("offset", offset, "N|earliest|latest", "from this offset on; wants --partition"),
    {.name = "from-beginning",
     .kind = CLI_FLAG,
     .offset = CONSUMER(from_beginning),
     .help = "from the first record where the group has no offset"},
    CONSUMER_TEXT("group", group, "GROUP", "as a member of this group"),
    {.name = "max-messages",
     .kind = CLI_NUMBER,
     .offset = CONSUMER(max_messages),
     .value_name = "N",
     .initial = -1,
     .help = "end after so many records"},
    {.name = "timeout-ms",
     .kind = CLI_NUMBER,
     .offset = CONSUMER(timeout_ms),
     .value_name = "MS",
     .initial = -1,
     .help = "end when no record has come for so long"},
    CONSUMER_LIST(
        "property", properties, "KEY=VALUE",
        "of the output: print.timestamp, print.key, print.offset, print.epoch, print.partition, print.headers, "
        "print.value, key.separator, line.separator, headers.separator, null.literal"),
    CONSUMER_LIST("formatter-property", properties, "KEY=VALUE", "the same"),
    CONSUMER_LIST("consumer-property", consumer_properties, "KEY=VALUE", "of the consumer"),
    CONSUMER_LIST("command-property", consumer_properties, "KEY=VALUE", "the same"),
    CONSUMER_TEXT("consumer.config", config, "FILE", "properties of the consumer"),
    CONSUMER_TEXT("command-config", config, "FILE", "the same"),
    CONSUMER_TEXT("isolation-level", isolation, "LEVEL", "read_committed or read_uncommitted (the default)"),
    CONSUMER_TEXT("formatter", formatter, "CLASS", "only the default one is there"),
    CONSUMER_TEXT("key-deserializer", ignored, "CLASS", "bytes are printed as they are"),
    CONSUMER_TEXT("value-deserializer", ignored, "CLASS", "bytes are printed as they are"),
    {.name = "skip-message-on-error", .kind = CLI_FLAG, .offset = CONSUMER(skip), .help = "no record is an error here"},
    {.name = "enable-systest-events", .kind = CLI_FLAG, .offset = CONSUMER(events), .help = "not supported"},
    {0},
};

static bool is_true(const struct cli_list *list, const char *key, bool otherwise)
{
    const char *v = properties_find(list, key);
    return v ? strcmp(v, "true") == 0 : otherwise;
}

static struct bytes text_of(struct cli *cli, const struct cli_list *list, const char *key, const char *otherwise)
{
    const char *v = properties_find(list, key);
    return cli_unescape(v ? v : otherwise, &cli->arena);
}

static struct consume_console formatter(struct cli *cli, const struct cli_list *p)
{
    return (struct consume_console){.timestamp = is_true(p, "print.timestamp", false),
                                    .partition = is_true(p, "print.partition", false),
                                    .offset = is_true(p, "print.offset", false),
                                    .headers = is_true(p, "print.headers", false),
                                    .key = is_true(p, "print.key", false),
                                    .value = is_true(p, "print.value", true),
                                    .key_separator = text_of(cli, p, "key.separator", "\t"),
                                    .line_separator = text_of(cli, p, "line.separator", "\n"),
                                    .headers_separator = text_of(cli, p, "headers.separator", ","),
                                    .null_literal = text_of(cli, p, "null.literal", "null")};
}

// What a consumer's properties say that we can do; the rest is checked.
static int apply_consumer_properties(struct cli *cli, struct cli_list *all, struct consume_options *c)
{
    const char *reset = properties_find(all, "auto.offset.reset"), *isolation = properties_find(all, "isolation.level");
    static const char *const known[] = {"group.id=",
                                        "auto.offset.reset=",
                                        "isolation.level=",
                                        "enable.auto.commit=",
                                        "group.instance.id=",
                                        "group.protocol=",
                                        "partition.assignment.strategy=",
                                        "session.timeout.ms="};
    if (!c->group)
        c->group = properties_find(all, "group.id");
    c->instance_id = properties_find(all, "group.instance.id");
    c->strategy = properties_find(all, "partition.assignment.strategy");
    const char *protocol = properties_find(all, "group.protocol"),
               *session = properties_find(all, "session.timeout.ms");
    c->protocol = protocol && strcasecmp(protocol, "consumer") == 0;
    if (session && (!cli_number_parse(session, &c->session_timeout_ms) || c->session_timeout_ms <= 0))
        return cli_fail(cli, "session.timeout.ms wants a number, not '%s'", session);
    c->no_commit = !is_true(all, "enable.auto.commit", true);
    c->from_beginning |= reset && strcmp(reset, "earliest") == 0 && !c->offset;
    if (isolation)
        c->isolation = strcmp(isolation, "read_committed") == 0;
    for (uint32_t i = 0; i < all->count; i++) {
        bool handled = false;
        for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
            handled |= strncmp(all->items[i], known[k], strlen(known[k])) == 0;
        if (!handled && properties_check_one(cli, all->items[i]) != CLI_OK)
            return CLI_FAILED;
    }
    return CLI_OK;
}

static int choose_start(struct cli *cli, const struct console_consumer_options *o, struct consume_options *c)
{
    if (o->offset && !o->partition)
        return tool_wrong(cli, &tool_console_consumer, "The partition is required when offset is specified.");
    if (o->from_beginning && o->partition && o->offset)
        return tool_wrong(cli, &tool_console_consumer,
                          "Options from-beginning and offset cannot be specified together.");
    c->from_beginning = o->from_beginning;
    if (o->offset && strcmp(o->offset, "earliest") == 0) {
        c->from_beginning = true;
    } else if (o->offset && strcmp(o->offset, "latest") != 0) {
        int64_t v;
        if (!cli_number_parse(o->offset, &v) || v < 0)
            return tool_wrong(
                cli, &tool_console_consumer,
                "The provided offset value '%s' is incorrect. Valid values are 'earliest', 'latest', or a "
                "non-negative long.",
                o->offset);
        c->offset = o->offset;
    }
    if (o->partition) {
        c->partitions = (struct cli_list){.items = cli_alloc(cli, 1, sizeof(const char *)), .count = 1};
        c->partitions.items[0] = o->partition;
    }
    return CLI_OK;
}

// One topic, or those of --include.
static const char **topics_of(struct cli *cli, const struct console_consumer_options *o, uint32_t *count)
{
    const char *text = o->topic ? o->topic : o->include;
    const char **out = cli_alloc(cli, strlen(text) + 1, sizeof(*out));
    char *rest = arena_copy(&cli->arena, text, strlen(text)), *word;
    *count = 0;
    while (rest && (word = strsep(&rest, o->topic ? "" : "|,")) != NULL)
        if (*word)
            out[(*count)++] = word;
    return out;
}

static int run_consumer(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct console_consumer_options *o = parsed->options;
    struct consume_options c = {.common = o->tool.common, .session_timeout_ms = 45000, .commit_interval_ms = 5000};
    struct cli_list all = {0};
    uint64_t read = 0;
    uint32_t count;
    if (!c.common.bootstrap)
        return tool_wrong(cli, &tool_console_consumer, "Missing required argument \"[bootstrap-server]\"");
    if ((o->topic != NULL) + (o->include != NULL) != 1)
        return tool_wrong(cli, &tool_console_consumer, "Exactly one of --include/--topic is required. ");
    if (o->formatter && !strstr(o->formatter, "DefaultMessageFormatter"))
        return cli_fail(cli, "the formatter %s is not there; weir has the default one", o->formatter);
    if (o->events)
        return cli_fail(cli, "--enable-systest-events is not supported; 'weir verify consume' tells of every event");
    c.common.timeout_ms = 30000;
    c.group = o->group;
    c.count = o->max_messages;
    c.isolation = o->isolation && strcmp(o->isolation, "read_committed") == 0;
    c.idle_ms = o->timeout_ms;
    struct consume_console console = formatter(cli, &o->properties);
    c.console = &console;
    int code = choose_start(cli, o, &c);
    if (code == CLI_OK && o->config)
        code = properties_read(cli, o->config, &all);
    for (uint32_t i = 0; i < o->consumer_properties.count && code == CLI_OK; i++) {
        const char **items = cli_alloc(cli, (size_t)all.count + 1, sizeof(*items));
        if (all.count)
            memcpy(items, all.items, all.count * sizeof(*items));
        items[all.count++] = o->consumer_properties.items[i];
        all.items = items;
    }
    if (code == CLI_OK)
        code = apply_consumer_properties(cli, &all, &c);
    if (code != CLI_OK)
        return code;
    const char **topics = topics_of(cli, o, &count);
    code = consume_run(cli, &c, topics, count, &read);
    cli_flush(cli);
    fprintf(stderr, "Processed a total of %llu messages\n", (unsigned long long)read);
    return code;
}

const struct cli_command tool_console_consumer = {
    .name = "kafka-console-consumer",
    .summary = "This tool helps to read data from Kafka topics and outputs it to standard output.",
    .options = consumer_options,
    .options_bytes = sizeof(struct console_consumer_options),
    .run = run_consumer};

// ------------------------------------------------------------------------------------------------ producer

struct console_producer_options {
    struct tool_common tool;
    const char *topic, *acks, *codec, *config, *ignored;
    struct cli_list properties, producer_properties;
    int64_t batch_bytes, linger_ms, ignored_number;
    bool sync;
};

#define PRODUCER(member) offsetof(struct console_producer_options, member)
#define PRODUCER_TEXT(option, member, value, text)                                                                     \
    {                                                                                                                  \
        .name = option, .kind = CLI_TEXT, .offset = PRODUCER(member), .value_name = value, .help = text                \
    }
#define PRODUCER_LIST(option, member, value, text)                                                                     \
    {                                                                                                                  \
        .name = option, .kind = CLI_LIST, .offset = PRODUCER(member), .value_name = value, .help = text                \
    }
#define PRODUCER_IGNORED(option)                                                                                       \
    {                                                                                                                  \
        .name = option, .kind = CLI_NUMBER, .offset = PRODUCER(ignored_number), .value_name = "N",                     \
        .help = "weir decides"                                                                                         \
    }

static const struct cli_option producer_options[] = {
    PRODUCER_TEXT("bootstrap-server", tool.common.bootstrap, "HOST:PORT[,...]", "REQUIRED: the server to connect to"),
    PRODUCER_TEXT("broker-list", tool.common.bootstrap, "HOST:PORT[,...]", "the old name of the same"),
    PRODUCER_TEXT("topic", topic, "TOPIC", "REQUIRED: the topic to write to"),
    PRODUCER_LIST("property", properties, "KEY=VALUE",
                  "of the lines: parse.key, parse.headers, key.separator, headers.delimiter, headers.separator, "
                  "headers.key.separator, ignore.error, null.marker"),
    PRODUCER_LIST("reader-property", properties, "KEY=VALUE", "the same"),
    PRODUCER_LIST("producer-property", producer_properties, "KEY=VALUE", "of the producer"),
    PRODUCER_LIST("command-property", producer_properties, "KEY=VALUE", "the same"),
    PRODUCER_TEXT("producer.config", config, "FILE", "properties of the producer"),
    PRODUCER_TEXT("command-config", config, "FILE", "the same"),
    {.name = "compression-codec",
     .kind = CLI_OPTIONAL,
     .offset = PRODUCER(codec),
     .value_name = "[CODEC]",
     .help = "none, gzip (without a value), snappy, lz4 or zstd"},
    PRODUCER_TEXT("request-required-acks", acks, "ACKS", "all (the default), -1, 1 or 0"),
    {.name = "batch-size",
     .kind = CLI_NUMBER,
     .offset = PRODUCER(batch_bytes),
     .value_name = "BYTES",
     .initial = 16384,
     .least = 256,
     .bounded = true,
     .help = "bytes in a batch"},
    {.name = "timeout",
     .kind = CLI_NUMBER,
     .offset = PRODUCER(linger_ms),
     .value_name = "MS",
     .initial = 1000,
     .least = 0,
     .bounded = true,
     .help = "how long a batch waits to fill"},
    {.name = "sync", .kind = CLI_FLAG, .offset = PRODUCER(sync), .help = "each line is a batch of its own"},
    PRODUCER_TEXT("line-reader", ignored, "CLASS", "only the default one is there"),
    PRODUCER_IGNORED("max-block-ms"),
    PRODUCER_IGNORED("max-memory-bytes"),
    PRODUCER_IGNORED("max-partition-memory-bytes"),
    PRODUCER_IGNORED("message-send-max-retries"),
    PRODUCER_IGNORED("metadata-expiry-ms"),
    PRODUCER_IGNORED("request-timeout-ms"),
    PRODUCER_IGNORED("retry-backoff-ms"),
    PRODUCER_IGNORED("socket-buffer-size"),
    {0},
};

static bool parse_codec(const char *text, int64_t *codec)
{
    static const char *const names[] = {"none", "gzip", "snappy", "lz4", "zstd"}; // in the order of enum codec
    text = *text ? text : "gzip";
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        *codec = (int64_t)i;
        if (strcmp(names[i], text) == 0)
            return true;
    }
    return false;
}

static bool parse_acks(const char *text, int64_t *acks)
{
    *acks = strcmp(text, "1") == 0 ? 1 : strcmp(text, "0") == 0 ? 2 : PRODUCE_ACKS_ALL; // as --acks orders them
    return *acks != PRODUCE_ACKS_ALL || strcmp(text, "all") == 0 || strcmp(text, "-1") == 0;
}

static int apply_producer_properties(struct cli *cli, const struct console_producer_options *o,
                                     struct produce_options *p)
{
    struct cli_list all = {0};
    int code = o->config ? properties_read(cli, o->config, &all) : CLI_OK;
    for (int round = 0; round < 2 && code == CLI_OK; round++) {
        const struct cli_list *list = round ? &o->producer_properties : &all;
        const char *acks = properties_find(list, "acks"), *codec = properties_find(list, "compression.type");
        const char *linger = properties_find(list, "linger.ms"), *batch = properties_find(list, "batch.size");
        if ((acks && !parse_acks(acks, &p->acks)) || (codec && !parse_codec(codec, &p->codec)) ||
            (linger && !cli_number_parse(linger, &p->linger_ms)) ||
            (batch && !cli_number_parse(batch, &p->batch_bytes)))
            return cli_fail(cli, "a property of the producer has a value that it cannot have");
        for (uint32_t i = 0; i < list->count && code == CLI_OK; i++)
            if (strncmp(list->items[i], "acks=", 5) != 0 && strncmp(list->items[i], "compression.type=", 17) != 0 &&
                strncmp(list->items[i], "linger.ms=", 10) != 0 && strncmp(list->items[i], "batch.size=", 11) != 0)
                code = properties_check_one(cli, list->items[i]);
    }
    return code;
}

static const char *unescaped(struct cli *cli, const struct cli_list *list, const char *key)
{
    const char *v = properties_find(list, key);
    return v ? (const char *)cli_unescape(v, &cli->arena).p : NULL;
}

static int run_producer(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct console_producer_options *o = parsed->options;
    const struct cli_list *lines = &o->properties;
    struct produce_options p = {.common = o->tool.common, .partition = -1, .level_given = INT64_MIN, .quiet = true};
    if (!p.common.bootstrap)
        return tool_wrong(cli, &tool_console_producer, "Missing required argument \"[bootstrap-server]\"");
    if (!o->topic)
        return tool_wrong(cli, &tool_console_producer, "Missing required option(s) [topic]");
    p.common.timeout_ms = 30000;
    p.batch_bytes = o->batch_bytes;
    p.linger_ms = o->sync ? 0 : o->linger_ms;
    p.headers = is_true(lines, "parse.headers", false);
    p.key_delimiter = is_true(lines, "parse.key", false) ? properties_find(lines, "key.separator") : NULL;
    if (is_true(lines, "parse.key", false) && !p.key_delimiter)
        p.key_delimiter = "\\t";
    p.headers_delimiter = unescaped(cli, lines, "headers.delimiter");
    p.headers_separator = unescaped(cli, lines, "headers.separator");
    p.headers_key_separator = unescaped(cli, lines, "headers.key.separator");
    p.keep_going = is_true(lines, "ignore.error", false);
    p.null_marker = properties_find(lines, "null.marker");
    if (o->codec && !parse_codec(o->codec, &p.codec))
        return tool_wrong(cli, &tool_console_producer, "Unknown compression name: %s", o->codec);
    if (o->acks && !parse_acks(o->acks, &p.acks))
        return tool_wrong(cli, &tool_console_producer, "Invalid value %s for configuration acks", o->acks);
    int code = apply_producer_properties(cli, o, &p);
    return code == CLI_OK ? produce_run(cli, &p, o->topic, NULL, 0) : code;
}

const struct cli_command tool_console_producer = {
    .name = "kafka-console-producer",
    .summary = "This tool helps to read data from standard input and publish it to Kafka.",
    .options = producer_options,
    .options_bytes = sizeof(struct console_producer_options),
    .run = run_producer};
