// SPDX-License-Identifier: Apache-2.0
//
// kafka-producer-perf-test: the load of weir perf, so many records of it, and that tool's lines. A batch is one
// measurement here; its records share a latency.
#include <stdio.h>
#include <string.h>

#include "cli/perf.h"
#include "cli/properties.h"
#include "cli/tool.h"

enum { PERF_WINDOW_MS = 5000, PERF_BATCHES_PER_SECOND = 100, PERF_BATCH_BYTES = 16384 };

struct producer_perf_options {
    struct tool_common tool;
    const char *topic, *config, *payload_file, *delimiter, *transactional_id;
    struct cli_list properties;
    int64_t records, record_bytes, throughput, transaction_ms;
    bool monotonic, metrics;
};

static const struct cli_option options[] = {
    TOOL_TEXT(struct producer_perf_options, "topic", topic, "TOPIC", "REQUIRED: produce to this topic"),
    TOOL_NUMBER(struct producer_perf_options, "num-records", records, "N", -1, "REQUIRED: how many records"),
    TOOL_NUMBER(struct producer_perf_options, "record-size", record_bytes, "BYTES", -1, "REQUIRED: size of a value"),
    TOOL_NUMBER(struct producer_perf_options, "throughput", throughput, "N", INT64_MIN,
                "REQUIRED: records a second, about; -1 for as fast as it goes"),
    TOOL_LIST(struct producer_perf_options, "producer-props", properties, "KEY=VALUE ...",
              "properties: bootstrap.servers, acks, batch.size, compression.type, ..."),
    TOOL_LIST(struct producer_perf_options, "command-property", properties, "KEY=VALUE", "the same"),
    TOOL_TEXT(struct producer_perf_options, "bootstrap-server", tool.common.bootstrap, "HOST:PORT[,...]",
              "the server to connect to, or bootstrap.servers of the properties"),
    TOOL_TEXT(struct producer_perf_options, "producer.config", config, "FILE", "a file of such properties"),
    TOOL_TEXT(struct producer_perf_options, "command-config", config, "FILE", "the same"),
    TOOL_FLAG(struct producer_perf_options, "print-metrics", metrics, "there are none to print here"),
    TOOL_TEXT(struct producer_perf_options, "payload-file", payload_file, "FILE", "not supported"),
    TOOL_TEXT(struct producer_perf_options, "payload-delimiter", delimiter, "TEXT", "not supported"),
    TOOL_FLAG(struct producer_perf_options, "payload-monotonic", monotonic, "not supported"),
    TOOL_TEXT(struct producer_perf_options, "transactional-id", transactional_id, "ID", "not supported"),
    TOOL_NUMBER(struct producer_perf_options, "transaction-duration-ms", transaction_ms, "MS", -1, "not supported"),
    {0},
};

// ------------------------------------------------------------------------------------------------ properties

static int take_property(struct cli *cli, const char *pair, struct perf_options *o)
{
    const char *value = strchr(pair, '=');
    enum codec codec;
    size_t n = value ? (size_t)(value++ - pair) : 0;
    if (n == strlen("bootstrap.servers") && memcmp(pair, "bootstrap.servers", n) == 0) {
        o->common.bootstrap = value;
    } else if (n == strlen("acks") && memcmp(pair, "acks", n) == 0) {
        if (strcmp(value, "all") != 0 && strcmp(value, "-1") != 0 && strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
            return tool_fail(cli, "Invalid value %s for configuration acks", value);
        o->acks = *value == '1' ? 1 : *value == '0' ? 2 : 0; // the places of weir perf's all|1|0
    } else if (n == strlen("batch.size") && memcmp(pair, "batch.size", n) == 0) {
        if (!cli_number_parse(value, &o->batch_bytes) || o->batch_bytes < 0 || o->batch_bytes > 64 << 20)
            return tool_fail(cli, "Invalid value %s for configuration batch.size", value);
    } else if (n == strlen("compression.type") && memcmp(pair, "compression.type", n) == 0) {
        if (!codec_parse(bytes_str(value), &codec))
            return tool_fail(cli, "Invalid value %s for configuration compression.type", value);
        o->codec = codec;
    } else {
        return properties_check_one(cli, pair);
    }
    return CLI_OK;
}

static int take_properties(struct cli *cli, const struct producer_perf_options *o, const struct cli_parsed *parsed,
                           struct perf_options *out)
{
    struct cli_list file = {0};
    int code = o->config ? properties_read(cli, o->config, &file) : CLI_OK;
    for (uint32_t i = 0; i < file.count && code == CLI_OK; i++)
        code = take_property(cli, file.items[i], out);
    for (uint32_t i = 0; i < o->properties.count && code == CLI_OK; i++)
        code = take_property(cli, o->properties.items[i], out);
    for (uint32_t i = 0; i < parsed->argument_count && code == CLI_OK; i++) // the rest of --producer-props a=b c=d
        code = take_property(cli, parsed->arguments[i], out);
    return code;
}

// ------------------------------------------------------------------------------------------------ the run

struct run {
    struct perf_load load;
    struct histogram window;
    struct shard_timer timer;
    uint64_t window_ns, window_records;
};

static double ms_of(uint64_t ns)
{
    return (double)ns / 1e6;
}

static double average(const struct histogram *h)
{
    return h->count ? ms_of(h->sum) / (double)h->count : 0;
}

static void rates(struct run *r, uint64_t records, uint64_t ns)
{
    double per_second = (double)records * 1e9 / (double)(ns ? ns : 1);
    buf_printf(&r->load.cli->out, "%llu records sent, %.1f records/sec (%.2f MB/sec), ", (unsigned long long)records,
               per_second, per_second * (double)r->load.options->record_bytes / (1 << 20));
}

static void on_window(struct shard_timer *t)
{
    struct run *r = container_of(t, struct run, timer);
    struct cli *cli = r->load.cli;
    uint64_t now = io_clock_ns(cli->io);
    rates(r, r->load.records_sent - r->window_records, now - r->window_ns);
    buf_printf(&cli->out, "%.1f ms avg latency, %.1f ms max latency.\n", average(&r->window), ms_of(r->window.max));
    cli_flush(cli);
    r->window = (struct histogram){0};
    r->window_records = r->load.records_sent;
    r->window_ns = now;
    shard_timer_set(cli->shard, t, now + PERF_WINDOW_MS * UINT64_C(1000000), on_window);
}

static int measure(struct cli *cli, struct run *r)
{
    const struct histogram *h = &r->load.latency;
    uint64_t begin = r->window_ns = io_clock_ns(cli->io);
    r->load.window = &r->window;
    shard_timer_set(cli->shard, &r->timer, begin + PERF_WINDOW_MS * UINT64_C(1000000), on_window);
    perf_load_run(&r->load);
    shard_timer_cancel(cli->shard, &r->timer);
    rates(r, r->load.records_sent, io_clock_ns(cli->io) - begin);
    buf_printf(&cli->out, "%.2f ms avg latency, %.2f ms max latency, %.0f ms 50th, %.0f ms 95th, %.0f ms 99th, "
                          "%.0f ms 99.9th.\n",
               average(h), ms_of(h->max), ms_of(histogram_quantile(h, 0.5)), ms_of(histogram_quantile(h, 0.95)),
               ms_of(histogram_quantile(h, 0.99)), ms_of(histogram_quantile(h, 0.999)));
    int code = cli_done(cli);
    if (r->load.errors)
        return tool_fail(cli, "%llu batches were not written, the first: %s", (unsigned long long)r->load.errors,
                         r->load.error);
    return code;
}

static int check(struct cli *cli, const struct producer_perf_options *o)
{
    if (o->payload_file || o->delimiter || o->monotonic || o->transactional_id || o->transaction_ms != -1)
        return tool_fail(cli, "kafka-producer-perf-test: payload files, monotonic payloads and transactions are not "
                              "supported");
    const char *missing = !o->topic                       ? "--topic"
                          : o->records == -1              ? "--num-records"
                          : o->throughput == INT64_MIN    ? "--throughput"
                          : o->record_bytes == -1         ? "--record-size"
                                                          : NULL;
    if (missing)
        return tool_wrong(cli, &tool_producer_perf, "producer-performance: error: argument %s is required", missing);
    if (o->records < 1 || o->record_bytes < 1 || o->record_bytes > 64 << 20)
        return tool_fail(cli, "--num-records and --record-size should be greater than zero.");
    return CLI_OK;
}

static int run(struct cli *cli, const struct cli_parsed *parsed)
{
    static struct run r; // large, and one a process
    const struct producer_perf_options *o = parsed->options;
    struct perf_options load = {.common = o->tool.common,
                                .topic = o->topic,
                                .partitions = -1,
                                .record_bytes = o->record_bytes,
                                .batch_bytes = PERF_BATCH_BYTES,
                                .rate = o->throughput > 0 ? o->throughput : 0,
                                .duration_ms = INT32_MAX,
                                .clients = 1,
                                .requests = 5,
                                .records_max = o->records};
    int code = check(cli, o);
    if (code == CLI_OK)
        code = take_properties(cli, o, parsed, &load);
    if (code != CLI_OK)
        return code;
    if (!load.common.bootstrap)
        return tool_fail(cli, "No bootstrap servers: give bootstrap.servers with --producer-props");
    load.common.timeout_ms = TOOL_TIMEOUT_MS;
    if (load.rate > 0) // small enough batches that the rate is one
        load.batch_records = load.rate / PERF_BATCHES_PER_SECOND + 1;
    r.load.cli = cli;
    r.load.options = &load;
    code = perf_load_open(&r.load);
    if (code == CLI_OK)
        code = measure(cli, &r);
    perf_load_close(&r.load);
    return code;
}

const struct cli_command tool_producer_perf = {.name = "kafka-producer-perf-test",
                                               .summary = "This tool is used to verify the producer performance.",
                                               .options = options,
                                               .options_bytes = sizeof(struct producer_perf_options),
                                               .arguments_max = 255,
                                               .run = run};
