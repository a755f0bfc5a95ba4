// SPDX-License-Identifier: Apache-2.0
//
// weir perf: produce, consume, latency.
#include "cli/perf.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "cli/commands.h"
#include "cli/produce.h"
#include "client/offsets.h"
#include "model/kerr.h"

// ------------------------------------------------------------------------------------------------ produce

static double run_seconds(const struct perf_load *l)
{
    uint64_t now = io_clock_ns(l->cli->io);
    uint64_t ns = now > l->measure_ns ? now - l->measure_ns : 1;
    return (double)ns / 1e9;
}

static int report_load(struct perf_load *l, const char *kind, const struct histogram *end_to_end)
{
    const struct perf_options *o = l->options;
    struct perf_report r = {.kind = kind,
                            .seconds = run_seconds(l),
                            .requests = l->requests,
                            .records = l->records_sent,
                            .bytes = l->records_sent / (uint64_t)l->records * l->batch.n,
                            .errors = l->errors,
                            .retrying = o->retry_ms > 0,
                            .retries = l->retries,
                            .pause_ns = l->pause_ns,
                            .error = l->error,
                            .latency = &l->latency,
                            .end_to_end = end_to_end,
                            .lateness = o->rate > 0 ? &l->lateness : NULL,
                            .self_before = l->self_before,
                            .self_after = perf_usage_of(l->cli, 0),
                            .server_before = l->server_before};
    if (o->server_pid)
        r.server_after = perf_usage_of(l->cli, o->server_pid);
    perf_report_print(l->cli, &r, o->common.json);
    int code = cli_done(l->cli);
    if (o->server_pid && !r.server_after.known)
        return cli_fail(l->cli, "there is no process %lld", (long long)o->server_pid);
    if (l->errors)
        return cli_fail(l->cli, "%llu requests failed, the first with: %s", (unsigned long long)l->errors, l->error);
    return code;
}

static int check_options(struct cli *cli, const struct perf_options *o)
{
    if (o->clients > PERF_CLIENTS_MAX || o->requests > PERF_IN_FLIGHT_MAX)
        return cli_wrong(cli, "at most %d clients with %d requests in flight each.", PERF_CLIENTS_MAX,
                         PERF_IN_FLIGHT_MAX);
    if (o->idempotent && o->acks != PRODUCE_ACKS_ALL)
        return cli_wrong(cli, "--idempotent needs --acks all.");
    if (o->records_max && (o->idempotent || o->keyed || o->warmup_ms))
        return cli_wrong(cli, "--records goes neither with --idempotent, --keyed nor a warm-up: say --warmup 0s.");
    if (o->keyed && (o->idempotent || o->retry_ms))
        return cli_wrong(cli, "--keyed goes neither with --idempotent nor with --retry.");
    if (o->idempotent && o->requests > 5)
        return cli_wrong(cli, "--idempotent allows at most 5 requests in flight.");
    return CLI_OK;
}

static int run_produce(struct cli *cli, const struct cli_parsed *parsed)
{
    static struct perf_load load; // large, and one a process
    struct perf_load *l = &load;
    l->cli = cli;
    l->options = parsed->options;
    int code = check_options(cli, l->options);
    if (code == CLI_OK)
        code = perf_load_open(l);
    if (code == CLI_OK) {
        perf_load_run(l);
        code = report_load(l, "produce", NULL);
    }
    perf_load_close(l);
    return code;
}

// ------------------------------------------------------------------------------------------------ consume

struct reading {
    struct cli *cli;
    const struct perf_options *options;
    struct perf_reader {
        struct client client;
        struct consumer consumer;
        bool open;
    } * readers;
    int64_t *starts, *ends; // by partition
    uint32_t going_on;
    uint64_t records, bytes, deadline_ns;
    bool stop;
    int16_t error_code;
    enum rc error;
    // of perf latency
    struct histogram *end_to_end;
    const struct perf_load *load;
};

static void on_count(struct consumer *c, struct consumer_partition *p, const struct batch_header *h, struct bytes batch,
                     int64_t from)
{
    struct reading *r = c->config.owner;
    (void)p;
    (void)from;
    r->records += (uint64_t)h->record_count;
    r->bytes += batch.n;
}

static void on_progress(struct consumer *c, struct consumer_partition *p)
{
    struct reading *r = c->config.owner;
    if (p->offset < r->ends[p->index])
        return;
    if (r->options->repeat) {
        consumer_seek(c, p, r->starts[p->index]);
        return;
    }
    consumer_pause(p);
    if (--r->going_on == 0)
        r->stop = true;
}

static void on_error(struct consumer *c, struct consumer_partition *p, enum rc rc, int16_t code)
{
    struct reading *r = c->config.owner;
    (void)p;
    r->error = rc;
    r->error_code = code ? code : -1;
    r->stop = true;
}

static int open_reader(struct reading *r, uint32_t index, consumer_batch_fn batch, consumer_progress_fn progress)
{
    const struct perf_options *o = r->options;
    struct perf_reader *reader = &r->readers[index];
    struct consumer_config config = consumer_config_default();
    config.min_bytes = (uint32_t)o->min_bytes;
    config.max_bytes = (uint32_t)o->max_bytes;
    config.partition_bytes = (uint32_t)o->fetch_bytes;
    config.check_crc = o->check_crc;
    config.batch = batch;
    config.progress = progress;
    config.error = on_error;
    config.owner = r;
    if (!cli_connect_more(r->cli, &o->common, &reader->client))
        return CLI_FAILED;
    struct client_topic *t = perf_topic(r->cli, &reader->client, o, false);
    if (!t || consumer_init(&reader->consumer, &reader->client, &config) != RC_OK)
        return CLI_FAILED;
    reader->open = true;
    for (int32_t p = (int32_t)index; p < t->partition_count; p += (int32_t)o->clients) {
        if (r->starts[p] >= r->ends[p] && progress)
            continue;
        if (!consumer_assign(&reader->consumer, t, p, progress ? r->starts[p] : r->ends[p]))
            return cli_fail(r->cli, "out of memory");
        r->going_on++;
    }
    return CLI_OK;
}

// Where every partition starts and ends.
static int find_bounds(struct reading *r)
{
    struct cli *cli = r->cli;
    struct client_topic *t = perf_topic(cli, &cli->client, r->options, false);
    if (!t)
        return CLI_FAILED;
    uint32_t n = (uint32_t)t->partition_count;
    struct client_offset *list = cli_alloc(cli, n, sizeof(*list));
    int64_t **bounds[] = {&r->starts, &r->ends};
    for (uint32_t b = 0; b < ARRAY_COUNT(bounds); b++) {
        *bounds[b] = cli_alloc(cli, n, sizeof(**bounds[b]));
        for (uint32_t i = 0; i < n; i++)
            list[i] = (struct client_offset){.partition = (int32_t)i,
                                             .timestamp = b ? OFFSET_SPEC_LATEST : OFFSET_SPEC_EARLIEST};
        if (client_list_offsets(&cli->client, t, list, n, false) != RC_OK)
            return cli_fail(cli, "%s", cli->client.error);
        for (uint32_t i = 0; i < n; i++) {
            if (list[i].error_code)
                return cli_fail(cli, "partition %u: %s", i, kerr_name(list[i].error_code));
            (*bounds[b])[i] = list[i].offset;
        }
    }
    return CLI_OK;
}

static int open_readers(struct reading *r, consumer_batch_fn batch, consumer_progress_fn progress)
{
    int code = find_bounds(r);
    r->readers = cli_alloc(r->cli, (size_t)r->options->clients, sizeof(*r->readers));
    for (uint32_t i = 0; i < (uint32_t)r->options->clients && code == CLI_OK; i++)
        code = open_reader(r, i, batch, progress);
    return code;
}

static void close_readers(struct reading *r)
{
    for (int64_t i = 0; r->readers && i < r->options->clients; i++) {
        struct perf_reader *reader = &r->readers[i];
        if (!reader->client.shard)
            continue;
        client_close(&reader->client);
        if (reader->open)
            consumer_deinit(&reader->consumer);
        client_deinit(&reader->client);
    }
}

static int run_readers(struct reading *r)
{
    const struct perf_options *o = r->options;
    struct cli *cli = r->cli;
    uint64_t begin = io_clock_ns(cli->io), requests = 0;
    struct perf_report report = {.kind = "consume", .self_before = perf_usage_of(cli, 0)};
    if (o->server_pid)
        report.server_before = perf_usage_of(cli, o->server_pid);
    r->deadline_ns = begin + (uint64_t)o->duration_ms * 1000000;
    if (r->going_on == 0)
        return cli_fail(cli, "topic '%s' is empty; fill it with weir perf produce", perf_topic_name(o));
    while (!r->stop && io_clock_ns(cli->io) < r->deadline_ns)
        shard_turn(cli->shard, 50 * 1000 * 1000);
    for (int64_t i = 0; i < o->clients; i++)
        requests += r->readers[i].consumer.fetches;
    report.seconds = (double)(io_clock_ns(cli->io) - begin) / 1e9;
    report.requests = requests;
    report.records = r->records;
    report.bytes = r->bytes;
    report.self_after = perf_usage_of(cli, 0);
    if (o->server_pid)
        report.server_after = perf_usage_of(cli, o->server_pid);
    perf_report_print(cli, &report, o->common.json);
    if (r->error_code)
        return cli_fail(cli, "%s", r->error_code > 0 ? kerr_name(r->error_code) : rc_text(r->error));
    return cli_done(cli);
}

static int run_consume(struct cli *cli, const struct cli_parsed *parsed)
{
    struct reading r = {.cli = cli, .options = parsed->options};
    int code = check_options(cli, r.options);
    if (code != CLI_OK)
        return code;
    if (!cli_connect(cli, &r.options->common))
        return CLI_FAILED;
    code = open_readers(&r, on_count, on_progress);
    if (code == CLI_OK)
        code = run_readers(&r);
    close_readers(&r);
    return code;
}

// ------------------------------------------------------------------------------------------------ latency

static void on_stamped(struct consumer *c, struct consumer_partition *p, const struct batch_header *h,
                       struct bytes batch, int64_t from)
{
    struct reading *r = c->config.owner;
    (void)p;
    (void)h;
    (void)from;
    if (batch.n != r->load->batch.n)
        return; // somebody else's
    uint64_t due = be64(batch.p + r->load->stamp_at), now = io_clock_ns(r->cli->io);
    if (due >= r->load->measure_ns && due <= now)
        histogram_add(r->end_to_end, now - due);
}

static int run_latency(struct cli *cli, const struct cli_parsed *parsed)
{
    static struct perf_load load;
    static struct histogram end_to_end;
    struct perf_load *l = &load;
    struct reading r = {.cli = cli, .options = parsed->options, .end_to_end = &end_to_end, .load = l};
    l->cli = cli;
    l->options = parsed->options;
    l->stamped = true;
    int code = check_options(cli, l->options);
    if (code == CLI_OK && l->options->record_bytes < 8)
        code = cli_wrong(cli, "--record-bytes must be at least 8: the time is written into each record.");
    if (code == CLI_OK)
        code = perf_load_open(l);
    if (code == CLI_OK)
        code = open_readers(&r, on_stamped, NULL);
    if (code == CLI_OK) {
        client_wait_ms(&cli->client, 200); // the first fetches stand and wait
        perf_load_run(l);
        uint64_t until = io_clock_ns(cli->io) + UINT64_C(1000000000);
        while (end_to_end.count < l->requests && io_clock_ns(cli->io) < until)
            shard_turn(cli->shard, 10 * 1000 * 1000);
        code = report_load(l, "latency", &end_to_end);
    }
    close_readers(&r);
    perf_load_close(l);
    return code;
}

// ------------------------------------------------------------------------------------------------ the tables

#define PLACE(member) offsetof(struct perf_options, member)
#define NUMBER(text, member, start, low, value, words)                                                                 \
    {                                                                                                                  \
        .name = text, .kind = CLI_NUMBER, .offset = PLACE(member), .value_name = value, .initial = start,              \
        .least = low, .bounded = true, .help = words                                                                   \
    }
#define SIZE(text, member, start, words)                                                                               \
    {                                                                                                                  \
        .name = text, .kind = CLI_SIZE, .offset = PLACE(member), .value_name = "SIZE", .initial = start, .least = 1,   \
        .bounded = true, .help = words                                                                                 \
    }
#define TOPIC                                                                                                          \
    {                                                                                                                  \
        .name = "topic", .letter = 't', .kind = CLI_TEXT, .offset = PLACE(topic), .value_name = "TOPIC",               \
        .help = "made if it is not there (default weir-perf)"                                                          \
    }
#define DURATION(start, words)                                                                                         \
    {                                                                                                                  \
        .name = "duration", .letter = 'd', .kind = CLI_DURATION, .offset = PLACE(duration_ms), .value_name = "TIME",   \
        .initial = start, .least = 1, .bounded = true, .help = words                                                   \
    }
#define WARMUP                                                                                                         \
    {                                                                                                                  \
        .name = "warmup", .kind = CLI_DURATION, .offset = PLACE(warmup_ms), .value_name = "TIME", .initial = 1000,     \
        .help = "runs before it, not measured (default 1s)"                                                            \
    }
#define PID NUMBER("server-pid", server_pid, 0, 1, "PID", "also show what this process, the broker, used")
#define PARTITIONS                                                                                                     \
    {                                                                                                                  \
        .name = "partitions", .letter = 'p', .kind = CLI_NUMBER, .offset = PLACE(partitions), .value_name = "N",       \
        .initial = 1, .least = 1, .bounded = true, .help = "of a topic that is made (default 1)"                       \
    }
#define ACKS                                                                                                           \
    {                                                                                                                  \
        .name = "acks", .letter = 'a', .kind = CLI_CHOICE, .offset = PLACE(acks), .choices = "all|1|0",                \
        .help = "default all"                                                                                          \
    }
#define CODEC                                                                                                          \
    {                                                                                                                  \
        .name = "codec", .letter = 'z', .kind = CLI_CHOICE, .offset = PLACE(codec), .choices = PRODUCE_CODECS,         \
        .help = "of the batches (default none)"                                                                        \
    }
#define IDEMPOTENT                                                                                                     \
    {                                                                                                                  \
        .name = "idempotent", .kind = CLI_FLAG, .offset = PLACE(idempotent), .help = "with producer ids and sequences" \
    }
// What the reader of perf latency and perf consume share; latency takes the initials.
#define FETCH                                                                                                          \
    SIZE("fetch-bytes", fetch_bytes, 1 << 20, "most of one partition in one answer (default 1m)"),                     \
        SIZE("max-bytes", max_bytes, 16 << 20, "most of one answer (default 16m)"),                                    \
        SIZE("min-bytes", min_bytes, 1, "the broker waits for so much (default 1)")

static const struct cli_option produce_options[] = {
    TOPIC,
    PARTITIONS,
    SIZE("record-bytes", record_bytes, 1024, "size of a record's value (default 1k)"),
    SIZE("batch-bytes", batch_bytes, 64 << 10, "size of a batch before compression (default 64k)"),
    CODEC,
    ACKS,
    NUMBER("rate", rate, 0, 0, "N", "records a second over all clients; 0: as fast as it goes (default)"),
    DURATION(10000, "how long is measured (default 10s)"),
    WARMUP,
    NUMBER("records", records_max, 0, 0, "N",
           "ends after so many records, if the duration is not over before; with --warmup 0s"),
    NUMBER("clients", clients, 1, 1, "N", "connections (default 1)"),
    NUMBER("requests", requests, 5, 1, "N", "in flight on each connection (default 5)"),
    IDEMPOTENT,
    {.name = "keyed",
     .kind = CLI_FLAG,
     .offset = PLACE(keyed),
     .help = "records have keys, so that what would be one batch is one for each of many partitions, in one request"},
    {.name = "retry",
     .kind = CLI_DURATION,
     .offset = PLACE(retry_ms),
     .value_name = "TIME",
     .help = "send what failed again after so long, and show the longest pause between two answers; without it a broken "
             "connection ends the run"},
    PID,
    {0},
};

static const struct cli_option consume_options[] = {
    TOPIC,
    NUMBER("clients", clients, 1, 1, "N", "connections, partitions shared among them (default 1)"),
    FETCH,
    DURATION(60000, "stop after this (default 60s)"),
    {.name = "repeat",
     .kind = CLI_FLAG,
     .offset = PLACE(repeat),
     .help = "begin again at the end, until the time is over"},
    {.name = "check-crc", .kind = CLI_FLAG, .offset = PLACE(check_crc), .help = "check every batch, as clients do"},
    PID,
    {0},
};

static const struct cli_option latency_options[] = {
    TOPIC,
    PARTITIONS,
    SIZE("record-bytes", record_bytes, 1024, "size of a record's value, at least 8 (default 1k)"),
    ACKS,
    NUMBER("rate", rate, 1000, 1, "N", "records a second, each in a request of its own (default 1000)"),
    DURATION(10000, "how long is measured (default 10s)"),
    WARMUP,
    NUMBER("clients", clients, 1, 1, "N", "connections that write, and as many that read (default 1)"),
    NUMBER("requests", requests, 5, 1, "N", "in flight on each connection (default 5)"),
    IDEMPOTENT,
    FETCH,
    PID,
    {0},
};

const struct cli_command cli_perf_commands[] = {
    {.name = "produce",
     .summary = "Write at a fixed rate, or as fast as it goes.",
     .details = "With --rate requests are due at fixed times whether or not answers come, and latency counts from "
                "there: a stall is seen by all it delayed. SENT LATE is how late this program itself was.",
     .options = produce_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct perf_options),
     .run = run_produce,
     .examples =
         "weir perf produce --duration 10s --server-pid $(pidof weir)\n"
         "weir perf produce --record-bytes 100 --batch-bytes 100 --rate 20000 --clients 16 --requests 1 --acks 1"},
    {.name = "consume",
     .summary = "Read a topic from its beginning as fast as it goes.",
     .options = consume_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct perf_options),
     .run = run_consume,
     .examples = "weir perf consume --server-pid $(pidof weir)\nweir perf consume --clients 4 --repeat --duration 10s"},
    {.name = "latency",
     .summary = "Measure the time from a write that is due to its answer, and to its reader.",
     .options = latency_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct perf_options),
     .run = run_latency,
     .examples = "weir perf latency --rate 1000 --acks all"},
    {0},
};
