// SPDX-License-Identifier: Apache-2.0
//
// kafka-consumer-perf-test: reads so many records and prints that tool's lines. The partitions are read without a
// group, so there is no time of a rebalance.
#include <stdio.h>
#include <stdlib.h>

#include "cli/date.h"
#include "cli/properties.h"
#include "cli/tool.h"
#include "client/consumer.h"
#include "client/offsets.h"
#include "model/kerr.h"
#include "model/limits.h"

struct consumer_perf_options {
    struct tool_common tool;
    const char *topic, *group, *config;
    struct cli_list properties;
    int64_t messages, fetch_bytes, timeout_ms, interval_ms, threads, socket_bytes;
    bool latest, hide_header, detailed, metrics;
};

static const struct cli_option options[] = {
    TOOL_TEXT(struct consumer_perf_options, "bootstrap-server", tool.common.bootstrap, "HOST:PORT[,...]",
              "REQUIRED: the server to connect to"),
    TOOL_TEXT(struct consumer_perf_options, "topic", topic, "TOPIC", "REQUIRED: the topic to read"),
    TOOL_NUMBER(struct consumer_perf_options, "messages", messages, "N", -1, "REQUIRED: how many records"),
    TOOL_NUMBER(struct consumer_perf_options, "num-records", messages, "N", -1, "the same"),
    TOOL_NUMBER(struct consumer_perf_options, "fetch-size", fetch_bytes, "BYTES", 1 << 20, "of a partition at once"),
    TOOL_NUMBER(struct consumer_perf_options, "timeout", timeout_ms, "MS", 10000, "longest wait between records"),
    TOOL_NUMBER(struct consumer_perf_options, "reporting-interval", interval_ms, "MS", 5000, "between detailed lines"),
    TOOL_FLAG(struct consumer_perf_options, "show-detailed-stats", detailed, "a line every reporting interval"),
    TOOL_FLAG(struct consumer_perf_options, "hide-header", hide_header, "without the names of the columns"),
    TOOL_FLAG(struct consumer_perf_options, "from-latest", latest, "only what is written from now on"),
    TOOL_TEXT(struct consumer_perf_options, "group", group, "GROUP", "partitions are read without a group"),
    TOOL_TEXT(struct consumer_perf_options, "consumer.config", config, "FILE", "properties of the consumer"),
    TOOL_TEXT(struct consumer_perf_options, "command-config", config, "FILE", "the same"),
    TOOL_LIST(struct consumer_perf_options, "command-property", properties, "KEY=VALUE", "a property of the consumer"),
    TOOL_NUMBER(struct consumer_perf_options, "threads", threads, "N", 10, "has no effect, as there"),
    TOOL_NUMBER(struct consumer_perf_options, "num-fetch-threads", threads, "N", 1, "has no effect, as there"),
    TOOL_NUMBER(struct consumer_perf_options, "socket-buffer-size", socket_bytes, "BYTES", 2 << 20, "has no effect"),
    TOOL_FLAG(struct consumer_perf_options, "print-metrics", metrics, "there are none to print here"),
    {0},
};

struct reading {
    struct cli *cli;
    const struct consumer_perf_options *options;
    struct consumer consumer;
    struct buf inflated;
    void *workspace; // of the codecs
    uint64_t records, bytes, last_ns;
    enum rc failed;
    int16_t error_code;
};

static void on_batch(struct consumer *c, struct consumer_partition *p, const struct batch_header *h, struct bytes batch,
                     int64_t from)
{
    struct reading *r = c->config.owner;
    struct batch_iter it;
    struct bytes records;
    struct record one;
    (void)p;
    r->inflated.n = 0;
    enum rc rc = batch_inflate(batch, &r->inflated, &records, r->workspace, CODEC_WORKSPACE_BYTES);
    if (rc == RC_OK) {
        batch_iter_init(&it, h, records);
        while (r->records < (uint64_t)r->options->messages && batch_iter_next(&it, &one)) {
            if (one.offset < from || h->attributes & BATCH_ATTR_CONTROL)
                continue;
            r->records++;
            r->bytes += one.key.n + one.value.n;
        }
        rc = it.rc;
    }
    r->last_ns = io_clock_ns(r->cli->io);
    if (rc != RC_OK)
        r->failed = rc;
    if (rc != RC_OK || r->records >= (uint64_t)r->options->messages)
        consumer_stop(c);
}

static void on_error(struct consumer *c, struct consumer_partition *p, enum rc rc, int16_t code)
{
    struct reading *r = c->config.owner;
    (void)p;
    r->failed = rc == RC_OK ? RC_INVALID : rc;
    r->error_code = code;
    consumer_stop(c);
}

// ------------------------------------------------------------------------------------------------ lines

// "2026-11-29 17:35:16:265", in UTC.
static void date(char out[DATE_TEXT_BYTES], int64_t ms)
{
    date_format(ms, out);
    for (char *s = out; *s; s++)
        *s = *s == 'T' ? ' ' : *s == '.' ? ':' : *s == 'Z' ? '\0' : *s;
}

static void numbers(struct buf *out, uint64_t records, uint64_t bytes, double since_bytes, double since_records,
                    uint64_t ns)
{
    double s = (double)(ns ? ns : 1) / 1e9, mb = since_bytes / (1 << 20);
    buf_printf(out, "%.4f, %.4f, %llu, %.4f, 0, %llu, %.4f, %.4f\n", (double)bytes / (1 << 20), mb / s,
               (unsigned long long)records, since_records / s, (unsigned long long)(ns / 1000000), mb / s,
               since_records / s);
}

static void header(struct cli *cli, const struct consumer_perf_options *o)
{
    if (!o->hide_header)
        buf_printf(&cli->out,
                   "%s, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, "
                   "fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec\n",
                   o->detailed ? "time, threadId" : "start.time, end.time");
}

static void read_all(struct reading *r)
{
    const struct consumer_perf_options *o = r->options;
    struct cli *cli = r->cli;
    char from[DATE_TEXT_BYTES], to[DATE_TEXT_BYTES];
    int64_t wall = io_wall_ms(cli->io);
    uint64_t begin = io_clock_ns(cli->io), window = begin, records = 0, bytes = 0, now = begin;
    r->last_ns = begin;
    while (!r->consumer.stopped && now - r->last_ns < (uint64_t)o->timeout_ms * 1000000) {
        shard_turn(cli->shard, 20 * 1000 * 1000);
        now = io_clock_ns(cli->io);
        if (!o->detailed || now - window < (uint64_t)o->interval_ms * 1000000)
            continue;
        date(to, wall + (int64_t)((now - begin) / 1000000));
        buf_printf(&cli->out, "%s, 0, ", to);
        numbers(&cli->out, r->records, r->bytes, (double)(r->bytes - bytes), (double)(r->records - records),
                now - window);
        cli_flush(cli);
        window = now;
        records = r->records;
        bytes = r->bytes;
    }
    if (r->failed == RC_OK && r->records < (uint64_t)o->messages)
        buf_printf(&cli->out,
                   "WARNING: Exiting before consuming the expected number of messages: timeout (%lld ms) exceeded. You "
                   "can use the --timeout option to increase the timeout.\n",
                   (long long)o->timeout_ms);
    if (o->detailed)
        return;
    date(from, wall);
    date(to, wall + (int64_t)((now - begin) / 1000000));
    buf_printf(&cli->out, "%s, %s, ", from, to);
    numbers(&cli->out, r->records, r->bytes, (double)r->bytes, (double)r->records, now - begin);
}

// ------------------------------------------------------------------------------------------------ the run

static int assign_all(struct reading *r, struct client_topic *t)
{
    struct cli *cli = r->cli;
    uint32_t n = (uint32_t)t->partition_count;
    struct client_offset *list = cli_alloc(cli, (size_t)n + 1, sizeof(*list));
    for (uint32_t i = 0; i < n; i++)
        list[i] =
            (struct client_offset){.partition = (int32_t)i,
                                   .timestamp = r->options->latest ? OFFSET_SPEC_LATEST : OFFSET_SPEC_EARLIEST};
    if (client_list_offsets(&cli->client, t, list, n, false) != RC_OK)
        return cli_fail(cli, "%s", cli->client.error);
    for (uint32_t i = 0; i < n; i++) {
        if (list[i].error_code)
            return cli_fail(cli, "partition %u: %s", i, kerr_name(list[i].error_code));
        if (!consumer_assign(&r->consumer, t, (int32_t)i, list[i].offset))
            return cli_fail(cli, "out of memory");
    }
    return CLI_OK;
}

static int measure(struct reading *r)
{
    struct cli *cli = r->cli;
    struct consumer_config config = consumer_config_default();
    struct client_topic *t = client_topic(&cli->client, r->options->topic);
    if (!t || client_topic_wait(&cli->client, t, false) != RC_OK)
        return cli_fail(cli, "%s", t ? cli->client.error : "topic name too long");
    config.partition_bytes = (uint32_t)r->options->fetch_bytes;
    config.batch = on_batch;
    config.error = on_error;
    config.owner = r;
    if (consumer_init(&r->consumer, &cli->client, &config) != RC_OK)
        return cli_fail(cli, "out of memory");
    header(cli, r->options);
    int code = assign_all(r, t);
    if (code == CLI_OK)
        read_all(r);
    consumer_stop(&r->consumer);
    client_close(&cli->client);
    consumer_deinit(&r->consumer);
    if (code == CLI_OK && r->failed != RC_OK)
        return cli_fail(cli, "%s", r->error_code ? kerr_name(r->error_code) : rc_text(r->failed));
    return code;
}

static int run(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct consumer_perf_options *o = parsed->options;
    struct reading *r = cli_alloc(cli, 1, sizeof(*r));
    const char *missing = !o->tool.common.bootstrap ? "bootstrap-server"
                          : !o->topic               ? "topic"
                          : o->messages == -1       ? "messages"
                                                    : NULL;
    if (missing)
        return tool_wrong(cli, &tool_consumer_perf, "Missing required argument \"[%s]\"", missing);
    if (o->messages < 1 || o->fetch_bytes < 1 || o->fetch_bytes > INT32_MAX || o->timeout_ms < 0 || o->interval_ms < 1)
        return tool_fail(cli, "--messages, --fetch-size, --timeout and --reporting-interval want positive numbers");
    int code = o->config ? properties_check(cli, o->config) : CLI_OK;
    for (uint32_t i = 0; i < o->properties.count && code == CLI_OK; i++)
        code = properties_check_one(cli, o->properties.items[i]);
    if (code != CLI_OK || !tool_connect(cli, &tool_consumer_perf, &o->tool))
        return CLI_FAILED;
    *r = (struct reading){.cli = cli, .options = o, .workspace = malloc(CODEC_WORKSPACE_BYTES)};
    buf_init(&r->inflated, INFLATE_BYTES_MAX);
    code = r->workspace ? measure(r) : cli_fail(cli, "out of memory");
    buf_deinit(&r->inflated);
    free(r->workspace);
    int done = cli_done(cli);
    return code == CLI_OK ? done : code;
}

const struct cli_command tool_consumer_perf = {.name = "kafka-consumer-perf-test",
                                               .summary = "This tool is used to verify the consumer performance.",
                                               .options = options,
                                               .options_bytes = sizeof(struct consumer_perf_options),
                                               .run = run};
