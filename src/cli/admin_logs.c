// SPDX-License-Identifier: Apache-2.0
//
// weir admin log-dirs and producers: what brokers say about their logs.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/date.h"
#include "cli/log_moves.h"
#include "model/kerr.h"

struct logs_options {
    struct cli_common common;
    int64_t broker, partition;
    const char *topic;
    bool partitions, wait;
    const char *to;
};

#define PLACE(member) offsetof(struct logs_options, member)

// ------------------------------------------------------------------------------------------------ log-dirs

static void one_partition(struct json *j, struct bytes topic, const struct describe_log_dirs_response_partition *p)
{
    json_put_object(j);
    json_put_key_text(j, "topic", topic);
    json_put_key_int(j, "partition", p->partition_index);
    json_put_key_int(j, "bytes", p->partition_size);
    json_put_key_int(j, "lag", p->offset_lag);
    json_put_key_bool(j, "future", p->is_future_key);
    json_put_object_end(j);
}

static void dir_json(struct json *j, int32_t broker, const struct describe_log_dirs_response_result *r)
{
    json_put_object(j);
    json_put_key_int(j, "broker", broker);
    json_put_key_text(j, "folder", r->log_dir);
    json_put_key_str(j, "error", r->error_code ? kerr_name(r->error_code) : NULL);
    json_put_key_int(j, "total_bytes", r->total_bytes);
    json_put_key_int(j, "usable_bytes", r->usable_bytes);
    json_put_key(j, "partitions");
    json_put_array(j);
    for (uint32_t i = 0; i < r->topics_count; i++)
        for (uint32_t k = 0; k < r->topics[i].partitions_count; k++)
            one_partition(j, r->topics[i].name, &r->topics[i].partitions[k]);
    json_put_array_end(j);
    json_put_object_end(j);
}

static void bytes_cell(struct table *t, int64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double v = (double)bytes;
    size_t u = 0;
    for (; v >= 1024 && u + 1 < ARRAY_COUNT(units); u++)
        v /= 1024;
    if (bytes < 0)
        table_cell(t, "-");
    else
        table_cell(t, "%.*f %s", u ? 1 : 0, v, units[u]);
}

static void dir_row(struct table *t, int32_t broker, const struct describe_log_dirs_response_result *r)
{
    int64_t held = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->topics_count; i++) {
        for (uint32_t k = 0; k < r->topics[i].partitions_count; k++)
            held += r->topics[i].partitions[k].partition_size;
        count += r->topics[i].partitions_count;
    }
    table_cell(t, "%d", broker);
    table_cell_bytes(t, r->log_dir);
    table_cell(t, "%u", count);
    bytes_cell(t, held);
    bytes_cell(t, r->usable_bytes);
    bytes_cell(t, r->total_bytes);
    table_cell(t, "%s", r->error_code ? kerr_name(r->error_code) : "");
}

static void partition_rows(struct table *t, int32_t broker, const struct describe_log_dirs_response_result *r)
{
    for (uint32_t i = 0; i < r->topics_count; i++) {
        for (uint32_t k = 0; k < r->topics[i].partitions_count; k++) {
            const struct describe_log_dirs_response_partition *p = &r->topics[i].partitions[k];
            table_cell(t, "%d", broker);
            table_cell_bytes(t, r->log_dir);
            table_cell(t, "%.*s-%d", (int)r->topics[i].name.n, (const char *)r->topics[i].name.p, p->partition_index);
            table_cell(t, "%lld", (long long)p->partition_size);
            table_cell(t, "%lld", (long long)p->offset_lag);
        }
    }
}

bool admin_ask_log_dirs(struct cli *cli, int32_t node_id, const char *name, struct describe_log_dirs_response *out)
{
    struct describe_log_dirs_request in;
    struct describe_log_dirs_request_topic topic = {0};
    int32_t *numbers;
    describe_log_dirs_request_init(&in);
    in.topics = NULL;
    if (name) { // the request wants the numbers spelt out
        struct client_topic *t = client_topic(&cli->client, name);
        if (!t || client_topic_wait(&cli->client, t, false) != RC_OK) {
            cli_fail(cli, "%s", t ? cli->client.error : "topic name too long");
            return false;
        }
        numbers = cli_alloc(cli, (size_t)t->partition_count, sizeof(*numbers));
        for (int32_t i = 0; i < t->partition_count; i++)
            numbers[i] = i;
        topic.topic = bytes_str(t->name);
        topic.partitions = numbers;
        topic.partitions_count = (uint32_t)t->partition_count;
        in.topics = &topic;
        in.topics_count = 1;
    }
    return cli_ask(cli, node_id, &describe_log_dirs_request_message, &in, &describe_log_dirs_response_message, out);
}

static int log_dirs_describe(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct logs_options *o = parsed->options;
    struct table t;
    struct json j;
    if (!cli_connect(cli, &o->common))
        return CLI_FAILED;
    json_init(&j, &cli->out, true);
    table_init(&t, &cli->arena,
               o->partitions ? ">BROKER|FOLDER|PARTITION|>BYTES|>LAG"
                             : ">BROKER|FOLDER|>PARTITIONS|>HELD|>FREE|>VOLUME|ERROR");
    if (o->common.json)
        json_put_array(&j);
    for (struct client_node *n = cli->client.nodes; n; n = n->next) {
        struct describe_log_dirs_response out;
        if (n->id < 0 || n->gone || (o->broker >= 0 && n->id != o->broker))
            continue;
        if (!admin_ask_log_dirs(cli, n->id, o->topic, &out))
            return CLI_FAILED;
        if (out.error_code)
            return cli_fail_code(cli, "log folders", out.error_code, bytes_of(NULL, 0));
        for (uint32_t i = 0; i < out.results_count; i++) {
            if (o->common.json)
                dir_json(&j, n->id, &out.results[i]);
            else if (o->partitions)
                partition_rows(&t, n->id, &out.results[i]);
            else
                dir_row(&t, n->id, &out.results[i]);
        }
    }
    if (o->common.json) {
        json_put_array_end(&j);
        buf_printf(&cli->out, "\n");
    } else {
        table_print(&t, &cli->out);
    }
    return cli_done(cli);
}

static const struct cli_option log_dirs_options[] = {
    {.name = "broker",
     .kind = CLI_NUMBER,
     .offset = PLACE(broker),
     .value_name = "ID",
     .initial = -1,
     .help = "only this broker"},
    {.name = "topic", .kind = CLI_TEXT, .offset = PLACE(topic), .value_name = "TOPIC", .help = "only this topic"},
    {.name = "partitions", .kind = CLI_FLAG, .offset = PLACE(partitions), .help = "one line a partition"},
    {0},
};

static const struct cli_option move_options[] = {
    {.name = "broker",
     .kind = CLI_NUMBER,
     .offset = PLACE(broker),
     .value_name = "ID",
     .initial = -1,
     .help = "the broker whose replica moves"},
    {.name = "to", .kind = CLI_TEXT, .offset = PLACE(to), .value_name = "FOLDER", .help = "the folder, as in its log.dirs"},
    {.name = "wait", .kind = CLI_FLAG, .offset = PLACE(wait), .help = "show how far it is until it is there"},
    {0},
};

// Until the replica is where it should be.
static int follow(struct cli *cli, const struct log_move *m)
{
    enum { LOOK_EVERY_MS = 500 };
    for (;;) {
        enum log_move_state state;
        int64_t lag;
        const char *dir;
        if (!log_move_look(cli, m, &state, &lag, &dir))
            return CLI_FAILED;
        if (state == LOG_MOVE_DONE)
            return CLI_OK;
        if (state != LOG_MOVE_UNDER_WAY)
            return cli_fail(cli, "the move was given up: %s-%d is in %s; the broker's log says why", m->topic,
                            m->partition, dir);
        fprintf(stderr, "%s-%d: %lld records to go\n", m->topic, m->partition, (long long)lag);
        client_wait_ms(&cli->client, LOOK_EVERY_MS);
    }
}

static int log_dirs_move(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct logs_options *o = parsed->options;
    const char *colon = strrchr(parsed->arguments[0], ':');
    int64_t partition;
    if (!colon || !cli_number_parse(colon + 1, &partition) || partition < 0 || partition > INT32_MAX)
        return cli_fail(cli, "'%s' is no TOPIC:PARTITION", parsed->arguments[0]);
    if (o->broker < 0 || !o->to)
        return cli_fail(cli, "say whose replica and where to: --broker ID --to FOLDER ('weir admin log-dirs describe' shows "
                             "them)");
    if (!cli_connect(cli, &o->common))
        return CLI_FAILED;
    struct log_move m = {.topic = arena_copy(&cli->arena, parsed->arguments[0], (size_t)(colon - parsed->arguments[0])),
                         .partition = (int32_t)partition,
                         .broker = (int32_t)o->broker,
                         .dir = o->to};
    if (!m.topic || !log_moves_ask(cli, &m, 1))
        return CLI_FAILED;
    if (m.code)
        return cli_fail_code(cli, parsed->arguments[0], m.code, bytes_of(NULL, 0));
    int code = o->wait ? follow(cli, &m) : CLI_OK;
    if (code != CLI_OK)
        return code;
    buf_printf(&cli->out, o->wait ? "%s-%d of broker %d is in %s\n" : "%s-%d of broker %d moves to %s\n", m.topic,
               m.partition, m.broker, m.dir);
    return cli_done(cli);
}

const struct cli_command admin_log_dirs_commands[] = {
    {.name = "describe",
     .summary = "Show every log folder: partitions, bytes held, space left.",
     .options = log_dirs_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct logs_options),
     .run = log_dirs_describe,
     .examples = "weir admin log-dirs describe\nweir admin log-dirs describe --topic orders --partitions"},
    {.name = "move",
     .arguments = "TOPIC:PARTITION",
     .arguments_min = 1,
     .arguments_max = 1,
     .summary = "Move a replica to another log folder of its broker, while it is used. To where it is: cancels a move.",
     .options = move_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct logs_options),
     .run = log_dirs_move,
     .examples = "weir admin log-dirs move orders:0 --broker 1 --to /data2/weir --wait"},
    {0},
};

// ------------------------------------------------------------------------------------------------ producers

static void one_producer(struct json *j, struct table *t, int32_t partition,
                         const struct describe_producers_response_active_producer *p)
{
    char when[DATE_TEXT_BYTES] = "-";
    if (j) {
        json_put_object(j);
        json_put_key_int(j, "partition", partition);
        json_put_key_int(j, "producer_id", p->producer_id);
        json_put_key_int(j, "producer_epoch", p->producer_epoch);
        json_put_key_int(j, "last_sequence", p->last_sequence);
        json_put_key_int(j, "last_timestamp_ms", p->last_timestamp);
        json_put_key_int(j, "coordinator_epoch", p->coordinator_epoch);
        json_put_key_int(j, "transaction_start_offset", p->current_txn_start_offset);
        json_put_object_end(j);
        return;
    }
    if (p->last_timestamp >= 0)
        date_format(p->last_timestamp, when);
    table_cell(t, "%d", partition);
    table_cell(t, "%lld", (long long)p->producer_id);
    table_cell(t, "%d", p->producer_epoch);
    table_cell(t, "%d", p->last_sequence);
    table_cell(t, "%s", when);
    table_int(t, p->current_txn_start_offset);
}

// One partition, at its leader.
static int producers_of(struct cli *cli, const struct client_topic *topic, int32_t partition, struct json *j,
                        struct table *t)
{
    struct describe_producers_request in;
    struct describe_producers_response out;
    struct describe_producers_request_topic asked = {
        .name = bytes_str(topic->name), .partition_indexes = &partition, .partition_indexes_count = 1};
    describe_producers_request_init(&in);
    in.topics = &asked;
    in.topics_count = 1;
    if (!cli_ask(cli, topic->partitions[partition].leader_id, &describe_producers_request_message, &in,
                 &describe_producers_response_message, &out))
        return CLI_FAILED;
    if (out.topics_count != 1 || out.topics[0].partitions_count != 1)
        return cli_fail(cli, "the broker's answer does not name the partition");
    const struct describe_producers_response_partition *p = &out.topics[0].partitions[0];
    char about[TOPIC_NAME_BYTES_MAX + 32];
    snprintf(about, sizeof(about), "%s partition %d", topic->name, partition);
    if (p->error_code)
        return cli_fail_code(cli, about, p->error_code, p->error_message);
    for (uint32_t i = 0; i < p->active_producers_count; i++)
        one_producer(j, t, partition, &p->active_producers[i]);
    return CLI_OK;
}

static int producers_describe(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct logs_options *o = parsed->options;
    struct table t;
    struct json j;
    int code = CLI_OK;
    if (!cli_connect(cli, &o->common))
        return CLI_FAILED;
    struct client_topic *topic = client_topic(&cli->client, parsed->arguments[0]);
    if (!topic || client_topic_wait(&cli->client, topic, false) != RC_OK)
        return cli_fail(cli, "%s", topic ? cli->client.error : "topic name too long");
    if (o->partition >= topic->partition_count)
        return cli_fail(cli, "topic '%s' has partitions 0 to %d", topic->name, topic->partition_count - 1);
    json_init(&j, &cli->out, true);
    table_init(&t, &cli->arena, ">PARTITION|>PRODUCER|>EPOCH|>SEQUENCE|LAST WRITE|>TRANSACTION");
    if (o->common.json)
        json_put_array(&j);
    for (int32_t p = 0; p < topic->partition_count && code == CLI_OK; p++)
        if (o->partition < 0 || p == o->partition)
            code = producers_of(cli, topic, p, o->common.json ? &j : NULL, &t);
    if (o->common.json) {
        json_put_array_end(&j);
        buf_printf(&cli->out, "\n");
    } else {
        table_print(&t, &cli->out);
    }
    int done = cli_done(cli);
    return code == CLI_OK ? done : code;
}

static const struct cli_option producers_options[] = {
    {.name = "partition",
     .kind = CLI_NUMBER,
     .offset = PLACE(partition),
     .value_name = "N",
     .initial = -1,
     .help = "only this partition; default: all"},
    {0},
};

const struct cli_command admin_producers_commands[] = {
    {.name = "describe",
     .arguments = "TOPIC",
     .summary = "Show the idempotent producers of a topic's partitions: id, epoch, last sequence.",
     .options = producers_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct logs_options),
     .arguments_min = 1,
     .arguments_max = 1,
     .run = producers_describe,
     .examples = "weir admin producers describe orders --partition 0"},
    {0},
};
