// SPDX-License-Identifier: Apache-2.0
//
// weir consume: what it does with records, whichever way it comes by them.
#include "cli/consume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/commands.h"

enum { CONSUME_FLUSH_BYTES = 256 << 10 };

// ------------------------------------------------------------------------------------------------ records

struct consume_topic *consume_topic_of(struct consume *s, const struct client_topic *topic)
{
    for (uint32_t i = 0; i < s->topic_count; i++)
        if (s->topics[i].topic == topic)
            return &s->topics[i];
    UNREACHABLE();
}

static void print_records(struct consume *s, const struct client_topic *topic, int32_t partition, struct batch_iter *it,
                          int64_t from, int64_t *position)
{
    struct record r;
    const struct consume_topic *t = consume_topic_of(s, topic);
    int64_t end = s->options->exit_at_end && partition < t->end_count ? t->ends[partition] : INT64_MAX;
    end = end < 0 ? INT64_MAX : end;
    while (!s->stop && batch_iter_next(it, &r)) {
        if (r.offset < from || r.offset >= end)
            continue;
        consume_print(s, topic, partition, &r);
        *position = r.offset + 1;
        s->records++;
        s->bytes += r.key.n + r.value.n;
        s->stop = s->options->count > 0 && s->records == (uint64_t)s->options->count;
        if (s->cli->out.n >= CONSUME_FLUSH_BYTES && !cli_flush(s->cli)) {
            s->code = CLI_FAILED;
            s->stop = true;
        }
    }
}

void consume_batch(struct consume *s, const struct client_topic *topic, int32_t partition, const struct batch_header *h,
                   struct bytes batch, int64_t from, int64_t *position)
{
    struct batch_iter it;
    struct bytes records;
    if (s->stop)
        return;
    s->heard_ns = io_clock_ns(s->cli->io);
    s->append_time = h->attributes & BATCH_ATTR_LOG_APPEND_TIME;
    s->inflated.n = 0;
    enum rc rc = batch_inflate(batch, &s->inflated, &records, s->workspace, CODEC_WORKSPACE_BYTES);
    if (rc == RC_OK) {
        batch_iter_init(&it, h, records);
        print_records(s, topic, partition, &it, from, position);
        rc = it.rc;
    }
    if (rc == RC_OK)
        return;
    s->code = cli_fail(s->cli, "%s partition %d: the batch at offset %lld cannot be read: %s", topic->name, partition,
                       (long long)h->base_offset, rc_text(rc));
    s->stop = true;
}

bool consume_over(struct consume *s)
{
    if (s->stop || s->interrupted)
        return true;
    uint64_t now = io_clock_ns(s->cli->io), idle_ns = (uint64_t)s->options->idle_ms * 1000000;
    if (s->options->idle_ms <= 0 || now - s->heard_ns < idle_ns)
        return false;
    if (s->options->idle_is_error)
        s->code = CLI_FAILED;
    return true;
}

// ------------------------------------------------------------------------------------------------ where to start

static int parse_start(struct consume *s, struct consume_start *start)
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
    if (o->group && (start->kind == START_AT || start->kind == START_BEFORE_END))
        return cli_wrong(cli, "a group goes on where it stopped; 'weir admin groups reset' moves it to an offset.");
    if (o->group && o->partitions.count > 0)
        return cli_wrong(cli, "the group hands out the partitions: --partition does not go with --group.");
    if (!o->group && (o->instance_id || o->strategy || o->protocol))
        return cli_wrong(cli, "options of groups want --group.");
    return CLI_OK;
}

// ------------------------------------------------------------------------------------------------ the command

static int open_topics(struct consume *s, const char *const *names, uint32_t count)
{
    struct client *c = &s->cli->client;
    s->topics = cli_alloc(s->cli, count, sizeof(*s->topics));
    for (uint32_t i = 0; i < count; i++) {
        struct client_topic *t = client_topic(c, names[i]);
        if (!t)
            return cli_fail(s->cli, "topic name '%s' is too long", names[i]);
        if (client_topic_wait(c, t, false) != RC_OK)
            return cli_fail(s->cli, "%s", c->error);
        bool twice = false;
        for (uint32_t k = 0; k < s->topic_count; k++)
            twice |= s->topics[k].topic == t;
        if (twice)
            continue;
        s->topics[s->topic_count].topic = t;
        s->topics[s->topic_count].ends = cli_alloc(s->cli, (size_t)t->partition_count, sizeof(int64_t));
        s->topics[s->topic_count].end_count = t->partition_count;
        for (int32_t p = 0; p < t->partition_count; p++)
            s->topics[s->topic_count].ends[p] = -1;
        s->topic_count++;
    }
    return CLI_OK;
}

static void on_signal(void *context, int signal_number)
{
    struct consume *s = context;
    (void)signal_number;
    s->interrupted = true;
}

static int prepare(struct consume *s, struct consume_start *start)
{
    struct cli *cli = s->cli;
    const struct consume_options *o = s->options;
    int code = parse_start(s, start);
    if (code != CLI_OK)
        return code;
    if (o->format) {
        char *text = arena_copy(&cli->arena, o->format, strlen(o->format));
        if (!text || !consume_format_parse(&s->format, text))
            return cli_wrong(cli, "--format '%s': %% stands before one of t p o k s K S T D h, or another %%.",
                             o->format);
    }
    s->delimiter = cli_unescape(o->delimiter ? o->delimiter : "\n", &cli->arena);
    if (o->key_delimiter)
        s->key_delimiter = cli_unescape(o->key_delimiter, &cli->arena);
    return CLI_OK;
}

int consume_run(struct cli *cli, const struct consume_options *options, const char *const *topics, uint32_t topic_count,
                uint64_t *read)
{
    struct consume s = {.cli = cli, .options = options};
    struct consume_start start;
    int code = prepare(&s, &start);
    if (code != CLI_OK)
        return code;
    if (!cli_connect(cli, &options->common))
        return CLI_FAILED;
    io_on_signal(cli->io, on_signal, &s); // where that fails, ^C just ends the process
    buf_init(&s.inflated, INFLATE_BYTES_MAX);
    s.workspace = malloc(CODEC_WORKSPACE_BYTES); // pages nobody touches cost nothing
    s.heard_ns = io_clock_ns(cli->io);
    uint64_t started_ns = s.heard_ns;
    code = s.workspace ? open_topics(&s, topics, topic_count) : cli_fail(cli, "out of memory");
    if (code == CLI_OK)
        code = options->group ? consume_group(&s, &start) : consume_assigned(&s, &start);
    if (code == CLI_OK)
        code = cli_done(cli);
    if (options->output == CONSUME_NONE)
        fprintf(stderr, "read %llu records, %.1f MB in %.2f s\n", (unsigned long long)s.records, (double)s.bytes / 1e6,
                (double)(io_clock_ns(cli->io) - started_ns) / 1e9);
    if (read)
        *read = s.records;
    client_close(&cli->client); // ends the fetches under way
    if (s.consumer.client)
        consumer_deinit(&s.consumer);
    reader_deinit(&s.reader);
    free(s.workspace);
    buf_deinit(&s.inflated);
    return code;
}

int cli_consume(struct cli *cli, const struct cli_parsed *parsed)
{
    return consume_run(cli, parsed->options, parsed->arguments, parsed->argument_count, NULL);
}
