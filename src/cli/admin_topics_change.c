// SPDX-License-Identifier: Apache-2.0
//
// weir admin topics: create, delete, alter, delete-records.
#include <string.h>

#include "cli/admin_topics.h"
#include "model/kerr.h"

enum {
    KERR_UNKNOWN_TOPIC = 3,
    KERR_TOPIC_EXISTS = 36,
};

static void name_topic(char *out, size_t n, struct bytes name)
{
    snprintf(out, n, "topic '%.*s'", (int)name.n, name.p ? (const char *)name.p : "");
}

// What became of each topic, in JSON or, for a person, one line.
static void report(struct cli *cli, struct json *j, struct bytes name, int16_t code, struct bytes message,
                   const char *done)
{
    if (j) {
        json_put_object(j);
        json_put_key_text(j, "topic", name);
        json_put_key_str(j, "error", code ? kerr_name(code) : NULL);
        json_put_key_text(j, "message", message);
        json_put_object_end(j);
    } else if (code == 0) {
        buf_printf(&cli->out, "%s topic %.*s\n", done, (int)name.n, (const char *)name.p);
    }
}

static void begin(struct cli *cli, const struct topics_change_options *o, struct json *j)
{
    json_init(j, &cli->out, true);
    if (o->common.json)
        json_put_array(j);
}

static int end(struct cli *cli, const struct topics_change_options *o, struct json *j, int code)
{
    if (o->common.json) {
        json_put_array_end(j);
        buf_printf(&cli->out, "\n");
    }
    int done = cli_done(cli);
    return code == CLI_OK ? done : code;
}

// ------------------------------------------------------------------------------------------------ create

// "key=value" pairs of --config.
static bool take_configs(struct cli *cli, const struct cli_list *list, struct create_topics_request_topic *topic)
{
    topic->configs = cli_alloc(cli, list->count + 1, sizeof(*topic->configs));
    for (uint32_t i = 0; i < list->count; i++) {
        const char *equals = strchr(list->items[i], '=');
        if (!equals || equals == list->items[i]) {
            cli_wrong(cli, "--config wants KEY=VALUE, not '%s'.", list->items[i]);
            return false;
        }
        create_topics_request_config_init(&topic->configs[i]);
        topic->configs[i].name = bytes_of(list->items[i], (size_t)(equals - list->items[i]));
        topic->configs[i].value = bytes_str(equals + 1);
    }
    topic->configs_count = list->count;
    return true;
}

bool topics_ask_create(struct cli *cli, struct create_topics_request_topic *topics, uint32_t count, int64_t timeout_ms,
                       bool validate_only, struct create_topics_response *out)
{
    struct create_topics_request in;
    create_topics_request_init(&in);
    in.topics = topics;
    in.topics_count = count;
    in.timeout_ms = (int32_t)timeout_ms;
    in.validate_only = validate_only;
    return cli_ask(cli, CLIENT_NODE_CONTROLLER, &create_topics_request_message, &in, &create_topics_response_message,
                   out);
}

static int create_answer(struct cli *cli, const struct topics_change_options *o,
                         const struct create_topics_response *out)
{
    struct json j;
    int code = CLI_OK;
    begin(cli, o, &j);
    for (uint32_t i = 0; i < out->topics_count; i++) {
        const struct create_topics_response_topic *t = &out->topics[i];
        char about[TOPIC_NAME_BYTES_MAX + 16];
        name_topic(about, sizeof(about), t->name);
        int16_t error = t->error_code == KERR_TOPIC_EXISTS && o->if_not_exists ? 0 : t->error_code;
        report(cli, o->common.json ? &j : NULL, t->name, error, t->error_message,
               o->dry_run      ? "would create"
               : t->error_code ? "kept"
                               : "created");
        if (error && !o->common.json)
            code = cli_fail_code(cli, about, error, t->error_message);
        else if (error)
            code = CLI_FAILED;
    }
    return end(cli, o, &j, code);
}

int admin_topics_create(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct topics_change_options *o = parsed->options;
    struct create_topics_request_topic *topics = cli_alloc(cli, parsed->argument_count, sizeof(*topics));
    struct create_topics_response out;
    for (uint32_t i = 0; i < parsed->argument_count; i++) {
        create_topics_request_topic_init(&topics[i]);
        topics[i].name = bytes_str(parsed->arguments[i]);
        topics[i].num_partitions = (int32_t)o->partitions;
        topics[i].replication_factor = (int16_t)o->replication_factor;
        if (!take_configs(cli, &o->configs, &topics[i]))
            return CLI_WRONG;
    }
    if (!cli_connect(cli, &o->common) ||
        !topics_ask_create(cli, topics, parsed->argument_count, o->common.timeout_ms, o->dry_run, &out))
        return CLI_FAILED;
    return create_answer(cli, o, &out);
}

// ------------------------------------------------------------------------------------------------ delete

bool topics_ask_delete(struct cli *cli, const char *const *names, uint32_t count, int64_t timeout_ms,
                       struct delete_topics_response *out)
{
    struct delete_topics_request in;
    delete_topics_request_init(&in);
    in.topics = cli_alloc(cli, count, sizeof(*in.topics));
    in.topic_names = cli_alloc(cli, count, sizeof(*in.topic_names));
    in.topics_count = in.topic_names_count = count;
    in.timeout_ms = (int32_t)timeout_ms;
    for (uint32_t i = 0; i < count; i++) {
        delete_topics_request_topic_init(&in.topics[i]);
        in.topics[i].name = in.topic_names[i] = bytes_str(names[i]);
    }
    return cli_ask(cli, CLIENT_NODE_CONTROLLER, &delete_topics_request_message, &in, &delete_topics_response_message,
                   out);
}

int admin_topics_delete(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct topics_change_options *o = parsed->options;
    struct delete_topics_response out;
    struct json j;
    int code = CLI_OK;
    if (!cli_connect(cli, &o->common) ||
        !topics_ask_delete(cli, parsed->arguments, parsed->argument_count, o->common.timeout_ms, &out))
        return CLI_FAILED;
    begin(cli, o, &j);
    for (uint32_t i = 0; i < out.responses_count; i++) {
        const struct delete_topics_response_response *t = &out.responses[i];
        char about[TOPIC_NAME_BYTES_MAX + 16];
        name_topic(about, sizeof(about), t->name);
        bool missing = t->error_code == KERR_UNKNOWN_TOPIC && o->if_exists;
        int16_t error = missing ? 0 : t->error_code;
        report(cli, o->common.json ? &j : NULL, t->name, error, t->error_message, missing ? "there was no" : "deleted");
        if (error && !o->common.json)
            code = cli_fail_code(cli, about, error, t->error_message);
        else if (error)
            code = CLI_FAILED;
    }
    return end(cli, o, &j, code);
}

// ------------------------------------------------------------------------------------------------ alter

bool topics_ask_partitions(struct cli *cli, struct create_partitions_request_topic *topics, uint32_t count,
                           int64_t timeout_ms, bool validate_only, struct create_partitions_response *out)
{
    struct create_partitions_request in;
    create_partitions_request_init(&in);
    in.topics = topics;
    in.topics_count = count;
    in.timeout_ms = (int32_t)timeout_ms;
    in.validate_only = validate_only;
    return cli_ask(cli, CLIENT_NODE_CONTROLLER, &create_partitions_request_message, &in,
                   &create_partitions_response_message, out);
}

int admin_topics_alter(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct topics_change_options *o = parsed->options;
    struct create_partitions_response out;
    struct create_partitions_request_topic topic;
    struct json j;
    int code = CLI_OK;
    if (o->partitions < 1)
        return cli_wrong(cli, "say how many partitions the topic shall have in all: --partitions N.");
    create_partitions_request_topic_init(&topic);
    topic.name = bytes_str(parsed->arguments[0]);
    topic.count = (int32_t)o->partitions;
    topic.assignments = NULL;
    if (!cli_connect(cli, &o->common) ||
        !topics_ask_partitions(cli, &topic, 1, o->common.timeout_ms, o->dry_run, &out))
        return CLI_FAILED;
    begin(cli, o, &j);
    for (uint32_t i = 0; i < out.results_count; i++) {
        const struct create_partitions_response_result *t = &out.results[i];
        char about[TOPIC_NAME_BYTES_MAX + 16];
        name_topic(about, sizeof(about), t->name);
        report(cli, o->common.json ? &j : NULL, t->name, t->error_code, t->error_message,
               o->dry_run ? "would alter" : "altered");
        if (t->error_code && !o->common.json)
            code = cli_fail_code(cli, about, t->error_code, t->error_message);
        else if (t->error_code)
            code = CLI_FAILED;
    }
    return end(cli, o, &j, code);
}

// ------------------------------------------------------------------------------------------------ delete-records

bool topics_ask_delete_records(struct cli *cli, const struct client_topic *t, int32_t partition, int64_t before,
                               struct delete_records_response_partition *answer)
{
    struct delete_records_request in;
    struct delete_records_response out;
    struct delete_records_request_partition p = {.partition_index = partition, .offset = before};
    struct delete_records_request_topic topic = {.name = bytes_str(t->name), .partitions = &p, .partitions_count = 1};
    delete_records_request_init(&in);
    in.topics = &topic;
    in.topics_count = 1;
    in.timeout_ms = (int32_t)cli->client.config.timeout_ms;
    if (!cli_ask(cli, t->partitions[partition].leader_id, &delete_records_request_message, &in,
                 &delete_records_response_message, &out))
        return false;
    if (out.topics_count != 1 || out.topics[0].partitions_count != 1) {
        cli_fail(cli, "the broker's answer does not name the partition");
        return false;
    }
    *answer = out.topics[0].partitions[0];
    return true;
}

static int delete_records_of(struct cli *cli, const struct client_topic *t, int32_t partition, int64_t before,
                             struct json *j)
{
    struct delete_records_response_partition answer, *a = &answer;
    if (!topics_ask_delete_records(cli, t, partition, before, a))
        return CLI_FAILED;
    if (j) {
        json_put_object(j);
        json_put_key_str(j, "topic", t->name);
        json_put_key_int(j, "partition", partition);
        json_put_key_str(j, "error", a->error_code ? kerr_name(a->error_code) : NULL);
        json_put_key_int(j, "start_offset", a->low_watermark);
        json_put_object_end(j);
        return a->error_code ? CLI_FAILED : CLI_OK;
    }
    if (a->error_code)
        return cli_fail(cli, "%s partition %d: %s", t->name, partition, kerr_name(a->error_code));
    buf_printf(&cli->out, "%s partition %d now starts at offset %lld\n", t->name, partition,
               (long long)a->low_watermark);
    return CLI_OK;
}

int admin_topics_delete_records(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct topics_change_options *o = parsed->options;
    struct json j;
    int64_t before = -1; // the high watermark
    int code = CLI_OK;
    if (!o->before)
        return cli_wrong(cli, "say up to where: --before OFFSET, or --before end for everything there is.");
    if (strcmp(o->before, "end") != 0 && (!cli_number_parse(o->before, &before) || before < 0))
        return cli_wrong(cli, "--before wants an offset or 'end', not '%s'.", o->before);
    if (!cli_connect(cli, &o->common))
        return CLI_FAILED;
    struct client_topic *t = client_topic(&cli->client, parsed->arguments[0]);
    if (!t || client_topic_wait(&cli->client, t, false) != RC_OK)
        return cli_fail(cli, "%s", t ? cli->client.error : "topic name too long");
    if (o->partition >= t->partition_count)
        return cli_fail(cli, "topic '%s' has partitions 0 to %d", t->name, t->partition_count - 1);
    begin(cli, o, &j);
    for (int32_t p = 0; p < t->partition_count; p++) {
        int one = o->partition >= 0 && p != o->partition
                      ? CLI_OK
                      : delete_records_of(cli, t, p, before, o->common.json ? &j : NULL);
        code = one == CLI_OK ? code : one;
    }
    return end(cli, o, &j, code);
}
