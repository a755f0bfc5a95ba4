// SPDX-License-Identifier: Apache-2.0
//
// weir consume: finds where to start in each partition, then prints records as they come.
#include "cli/consume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/commands.h"
#include "client/offsets.h"
#include "model/kerr.h"

enum { CONSUME_FLUSH_BYTES = 256 << 10, KERR_OFFSET_OUT_OF_RANGE = 1 };

// ------------------------------------------------------------------------------------------------ records

static void end_partition(struct consume *s, struct consumer_partition *p)
{
    consumer_pause(p);
    ASSERT(s->going_on > 0);
    if (--s->going_on == 0)
        consumer_stop(&s->consumer);
}

static void print_records(struct consume *s, struct consumer_partition *p, struct batch_iter *it, int64_t from)
{
    struct record r;
    int64_t end = s->options->exit_at_end ? s->ends[p->index] : INT64_MAX;
    while (batch_iter_next(it, &r)) {
        if (r.offset < from || r.offset >= end)
            continue;
        consume_print(s, p->index, &r);
        s->records++;
        s->bytes += r.key.n + r.value.n;
        if (s->options->count > 0 && s->records == (uint64_t)s->options->count) {
            consumer_stop(&s->consumer);
            return;
        }
        if (s->cli->out.n >= CONSUME_FLUSH_BYTES && !cli_flush(s->cli)) {
            s->code = CLI_FAILED;
            consumer_stop(&s->consumer);
            return;
        }
    }
}

static void on_batch(struct consumer *c, struct consumer_partition *p, const struct batch_header *h, struct bytes batch,
                     int64_t from)
{
    struct consume *s = c->config.owner;
    struct batch_iter it;
    struct bytes records;
    s->inflated.n = 0;
    enum rc rc = batch_inflate(batch, &s->inflated, &records, s->workspace, CODEC_WORKSPACE_BYTES);
    if (rc == RC_OK) {
        batch_iter_init(&it, h, records);
        print_records(s, p, &it, from);
        rc = it.rc;
    }
    if (rc == RC_OK)
        return;
    s->code = cli_fail(s->cli, "%s partition %d: the batch at offset %lld cannot be read: %s", s->topic->name, p->index,
                       (long long)h->base_offset, rc_text(rc));
    consumer_stop(c);
}

static void on_progress(struct consumer *c, struct consumer_partition *p)
{
    struct consume *s = c->config.owner;
    if (s->options->exit_at_end && p->offset >= s->ends[p->index])
        end_partition(s, p);
}

static void on_error(struct consumer *c, struct consumer_partition *p, enum rc rc, int16_t code)
{
    struct consume *s = c->config.owner;
    const char *what = code ? kerr_name(code) : rc_text(rc);
    if (code == KERR_OFFSET_OUT_OF_RANGE)
        s->code =
            cli_fail(s->cli, "%s partition %d has no offset %lld; 'weir admin topics describe %s' shows what it has",
                     s->topic->name, p->index, (long long)p->offset, s->topic->name);
    else
        s->code = cli_fail(s->cli, "%s partition %d at offset %lld: %s", s->topic->name, p->index, (long long)p->offset,
                           what);
    consumer_stop(c);
}

// ------------------------------------------------------------------------------------------------ where to start

struct start {
    enum { START_END, START_BEGINNING, START_TIME, START_AT, START_BEFORE_END } kind;
    int64_t value; // of the last three
};

static int parse_start(struct consume *s, struct start *start)
{
    const struct consume_options *o = s->options;
    struct cli *cli = s->cli;
    start->kind = START_END;
    if ((o->from_beginning != 0) + (o->offset != NULL) + (o->timestamp != NULL) > 1)
        return cli_wrong(cli, "give one of --from-beginning, --offset and --timestamp.");
    if (o->timestamp) {
        start->kind = START_TIME;
        if (!cli_time_parse(o->timestamp, &start->value))
            return cli_wrong(cli, "--timestamp wants milliseconds or a time such as 2026-11-21T10:00:00Z, not '%s'.",
                             o->timestamp);
    } else if (o->from_beginning || (o->offset && strcmp(o->offset, "beginning") == 0)) {
        start->kind = START_BEGINNING;
    } else if (o->offset && strcmp(o->offset, "end") != 0) {
        if (!cli_number_parse(o->offset, &start->value))
            return cli_wrong(cli, "--offset wants a number, a negative number, beginning or end, not '%s'.", o->offset);
        start->kind = *o->offset == '-' ? START_BEFORE_END : START_AT;
    }
    return CLI_OK;
}

// The partitions asked for, or all, as a list for client_list_offsets().
static int choose_partitions(struct consume *s, struct client_offset **out, uint32_t *count)
{
    const struct cli_list *asked = &s->options->partitions;
    struct client_offset *list = cli_alloc(s->cli, (size_t)s->topic->partition_count + asked->count, sizeof(*list));
    *out = list;
    *count = 0;
    for (uint32_t i = 0; i < asked->count; i++) {
        int64_t v;
        if (!cli_number_parse(asked->items[i], &v))
            return cli_wrong(s->cli, "--partition wants a number, not '%s'.", asked->items[i]);
        if (v < 0 || v >= s->topic->partition_count)
            return cli_fail(s->cli, "topic '%s' has partitions 0 to %d", s->topic->name, s->topic->partition_count - 1);
        bool twice = false;
        for (uint32_t k = 0; k < *count; k++)
            twice |= list[k].partition == v;
        if (!twice)
            list[(*count)++].partition = (int32_t)v;
    }
    for (int32_t p = 0; asked->count == 0 && p < s->topic->partition_count; p++)
        list[(*count)++].partition = p;
    return CLI_OK;
}

static int ask(struct consume *s, struct client_offset *list, uint32_t count, int64_t timestamp)
{
    for (uint32_t i = 0; i < count; i++)
        list[i].timestamp = timestamp;
    if (client_list_offsets(&s->cli->client, s->topic, list, count, s->options->isolation == 1) != RC_OK)
        return cli_fail(s->cli, "%s", s->cli->client.error);
    for (uint32_t i = 0; i < count; i++)
        if (list[i].error_code)
            return cli_fail(s->cli, "%s partition %d: %s", s->topic->name, list[i].partition,
                            kerr_name(list[i].error_code));
    return CLI_OK;
}

static int64_t start_of(const struct start *start, const struct client_offset *found, int64_t first, int64_t end)
{
    switch (start->kind) {
    case START_END:
        return end;
    case START_BEGINNING:
        return first;
    case START_TIME:
        return found->offset < 0 ? end : found->offset; // nothing that late: what comes
    case START_AT:
        return start->value;
    case START_BEFORE_END:
        return end + start->value > first ? end + start->value : first;
    }
    UNREACHABLE();
}

static int assign(struct consume *s, const struct start *start)
{
    struct client_offset *list;
    uint32_t count;
    int code = choose_partitions(s, &list, &count);
    int64_t *firsts = cli_alloc(s->cli, (size_t)s->topic->partition_count, sizeof(*firsts));
    s->ends = cli_alloc(s->cli, (size_t)s->topic->partition_count, sizeof(*s->ends));
    if (code == CLI_OK && (code = ask(s, list, count, OFFSET_SPEC_EARLIEST)) == CLI_OK)
        for (uint32_t i = 0; i < count; i++)
            firsts[list[i].partition] = list[i].offset;
    if (code == CLI_OK && (code = ask(s, list, count, OFFSET_SPEC_LATEST)) == CLI_OK)
        for (uint32_t i = 0; i < count; i++)
            s->ends[list[i].partition] = list[i].offset;
    if (code == CLI_OK && start->kind == START_TIME)
        code = ask(s, list, count, start->value);
    for (uint32_t i = 0; i < count && code == CLI_OK; i++) {
        int32_t p = list[i].partition;
        int64_t at = start_of(start, &list[i], firsts[p], s->ends[p]);
        if (s->options->exit_at_end && at >= s->ends[p] && at <= s->ends[p])
            continue; // at its end before it began
        if (!consumer_assign(&s->consumer, s->topic, p, at < 0 ? 0 : at))
            return cli_fail(s->cli, "out of memory");
        s->going_on++;
    }
    return code;
}

// ------------------------------------------------------------------------------------------------ the command

static int read_on(struct consume *s)
{
    if (s->going_on == 0)
        return CLI_OK;
    while (!s->consumer.stopped) {
        shard_turn(s->cli->shard, -1);
        if (s->cli->out.n && !cli_flush(s->cli))
            return CLI_FAILED; // nobody reads any more
    }
    return s->code;
}

static int open_consumer(struct consume *s, const char *name)
{
    struct consumer_config config = consumer_config_default();
    config.read_committed = s->options->isolation == 1;
    config.batch = on_batch;
    config.progress = on_progress;
    config.error = on_error;
    config.owner = s;
    s->topic = client_topic(&s->cli->client, name);
    if (!s->topic)
        return cli_fail(s->cli, "topic name '%s' is too long", name);
    if (client_topic_wait(&s->cli->client, s->topic, false) != RC_OK)
        return cli_fail(s->cli, "%s", s->cli->client.error);
    s->workspace = malloc(CODEC_WORKSPACE_BYTES); // pages nobody touches cost nothing
    if (!s->workspace || consumer_init(&s->consumer, &s->cli->client, &config) != RC_OK)
        return cli_fail(s->cli, "out of memory");
    return CLI_OK;
}

int cli_consume(struct cli *cli, const struct cli_parsed *parsed)
{
    struct consume s = {.cli = cli, .options = parsed->options};
    struct start start;
    int code = parse_start(&s, &start);
    if (code != CLI_OK)
        return code;
    if (s.options->format) {
        char *text = arena_copy(&cli->arena, s.options->format, strlen(s.options->format));
        if (!text || !consume_format_parse(&s.format, text))
            return cli_wrong(cli, "--format '%s': %% stands before one of t p o k s K S T D h, or another %%.",
                             s.options->format);
    }
    s.delimiter = cli_unescape(s.options->delimiter ? s.options->delimiter : "\n", &cli->arena);
    if (s.options->key_delimiter)
        s.key_delimiter = cli_unescape(s.options->key_delimiter, &cli->arena);
    if (!cli_connect(cli, &s.options->common))
        return CLI_FAILED;
    buf_init(&s.inflated, INFLATE_BYTES_MAX);
    uint64_t started_ns = io_clock_ns(cli->io);
    code = open_consumer(&s, parsed->arguments[0]);
    if (code == CLI_OK)
        code = assign(&s, &start);
    if (code == CLI_OK)
        code = read_on(&s);
    if (code == CLI_OK)
        code = cli_done(cli);
    if (s.options->output == CONSUME_NONE)
        fprintf(stderr, "read %llu records, %.1f MB in %.2f s\n", (unsigned long long)s.records, (double)s.bytes / 1e6,
                (double)(io_clock_ns(cli->io) - started_ns) / 1e9);
    if (s.consumer.client) {
        client_close(&cli->client); // ends the fetches under way
        consumer_deinit(&s.consumer);
    }
    free(s.workspace);
    buf_deinit(&s.inflated);
    return code;
}

#define PLACE(member) offsetof(struct consume_options, member)

const struct cli_option cli_consume_options[] = {
    {.name = "from-beginning", .kind = CLI_FLAG, .offset = PLACE(from_beginning), .help = "from the first record on"},
    {.name = "offset",
     .letter = 'o',
     .kind = CLI_TEXT,
     .offset = PLACE(offset),
     .value_name = "N|-N|beginning|end",
     .help = "from this offset on, or N before the end"},
    {.name = "timestamp",
     .kind = CLI_TEXT,
     .offset = PLACE(timestamp),
     .value_name = "MS|TIME",
     .help = "from the first record at or after this time on"},
    {.name = "partition",
     .letter = 'p',
     .kind = CLI_LIST,
     .offset = PLACE(partitions),
     .value_name = "N",
     .help = "only this partition; may be given many times"},
    {.name = "count",
     .letter = 'c',
     .kind = CLI_NUMBER,
     .offset = PLACE(count),
     .value_name = "N",
     .least = 1,
     .bounded = true,
     .help = "stop after so many records"},
    {.name = "exit-at-end",
     .letter = 'e',
     .kind = CLI_FLAG,
     .offset = PLACE(exit_at_end),
     .help = "stop where the partitions ended when it began"},
    {.name = "format",
     .letter = 'f',
     .kind = CLI_TEXT,
     .offset = PLACE(format),
     .value_name = "FORMAT",
     .help = "how to print a record, for example '%o %k %s\\n'"},
    {.name = "output",
     .kind = CLI_CHOICE,
     .offset = PLACE(output),
     .choices = "text|raw|none",
     .help = "text: values with the delimiter; raw: values and nothing between them; none: only count"},
    {.name = "delimiter",
     .letter = 'D',
     .kind = CLI_TEXT,
     .offset = PLACE(delimiter),
     .value_name = "TEXT",
     .help = "behind each record; default: a line end"},
    {.name = "key-delimiter",
     .letter = 'K',
     .kind = CLI_TEXT,
     .offset = PLACE(key_delimiter),
     .value_name = "TEXT",
     .help = "print the key and this text before the value"},
    {.name = "json",
     .kind = CLI_FLAG,
     .offset = PLACE(common.json),
     .help = "one JSON object a line: topic, partition, offset, timestamp, key, value, headers; what is not text is "
             "base64 under key_base64 and value_base64"},
    {.name = "isolation",
     .kind = CLI_CHOICE,
     .offset = PLACE(isolation),
     .choices = "uncommitted|committed",
     .help = "committed: nothing of open or aborted transactions (default uncommitted)"},
    {0},
};
