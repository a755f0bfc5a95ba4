// SPDX-License-Identifier: Apache-2.0
//
// weir admin topics: list and describe. What changes topics is in admin_topics_change.c.
#include "cli/admin_topics.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/admin_configs.h"
#include "client/offsets.h"
#include "model/kerr.h"

// ------------------------------------------------------------------------------------------------ asking

static int by_name(const void *a, const void *b)
{
    const struct metadata_response_topic *x = a, *y = b;
    return bytes_cmp(x->name, y->name);
}

static int by_index(const void *a, const void *b)
{
    const struct metadata_response_partition *x = a, *y = b;
    return (x->partition_index > y->partition_index) - (x->partition_index < y->partition_index);
}

bool topics_ask(struct cli *cli, const char *const *names, uint32_t count, struct metadata_response *out)
{
    struct metadata_request in;
    metadata_request_init(&in);
    in.allow_auto_topic_creation = false;
    in.topics = NULL;
    if (count) {
        in.topics = cli_alloc(cli, count, sizeof(*in.topics));
        in.topics_count = count;
        for (uint32_t i = 0; i < count; i++)
            in.topics[i].name = bytes_str(names[i]);
    }
    if (!cli_ask(cli, CLIENT_NODE_ANY, &metadata_request_message, &in, &metadata_response_message, out))
        return false;
    qsort(out->topics, out->topics_count, sizeof(*out->topics), by_name);
    for (uint32_t i = 0; i < out->topics_count; i++)
        qsort(out->topics[i].partitions, out->topics[i].partitions_count, sizeof(*out->topics[i].partitions), by_index);
    return true;
}

bool topics_ask_configs(struct cli *cli, const struct bytes *names, uint32_t count,
                        struct describe_configs_response *out)
{
    struct describe_configs_request in;
    describe_configs_request_init(&in);
    in.resources = cli_alloc(cli, (size_t)count + 1, sizeof(*in.resources));
    in.resources_count = count;
    for (uint32_t i = 0; i < count; i++) {
        describe_configs_request_resource_init(&in.resources[i]);
        in.resources[i].resource_type = CONFIGS_TOPIC;
        in.resources[i].resource_name = names[i];
    }
    struct client_call call = {.node_id = CLIENT_NODE_ANY,
                               .request = &describe_configs_request_message,
                               .answer = &describe_configs_response_message,
                               .in = &in,
                               .out = out,
                               .arena = &cli->arena};
    return client_call(&cli->client, &call) == RC_OK;
}

int64_t topics_min_isr(const struct describe_configs_response_result *r)
{
    char text[24];
    int64_t v = 1;
    for (uint32_t i = 0; r && i < r->configs_count; i++) {
        if (!bytes_eq(r->configs[i].name, bytes_str("min.insync.replicas")) || r->configs[i].value.n >= sizeof(text))
            continue;
        snprintf(text, sizeof(text), "%.*s", (int)r->configs[i].value.n, (const char *)r->configs[i].value.p);
        cli_number_parse(text, &v);
    }
    return v;
}

// ------------------------------------------------------------------------------------------------ list

static uint32_t replica_count(const struct metadata_response_topic *t)
{
    return t->partitions_count ? t->partitions[0].replica_nodes_count : 0;
}

int admin_topics_list(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct topics_list_options *o = parsed->options;
    struct metadata_response all;
    struct table table;
    struct json j;
    if (!cli_connect(cli, &o->common) || !topics_ask(cli, NULL, 0, &all))
        return CLI_FAILED;
    json_init(&j, &cli->out, true);
    table_init(&table, &cli->arena, "TOPIC|>PARTITIONS|>REPLICAS|ID");
    if (o->common.json)
        json_put_array(&j);
    for (uint32_t i = 0; i < all.topics_count; i++) {
        const struct metadata_response_topic *t = &all.topics[i];
        char id[UUID_TEXT_CHARS + 1];
        if (t->is_internal && !o->internal)
            continue;
        uuid_format(t->topic_id, id);
        if (o->names) {
            buf_printf(&cli->out, "%.*s\n", (int)t->name.n, (const char *)t->name.p);
        } else if (o->common.json) {
            json_put_object(&j);
            json_put_key_text(&j, "topic", t->name);
            json_put_key_str(&j, "id", uuid_is_zero(t->topic_id) ? NULL : id);
            json_put_key_int(&j, "partitions", t->partitions_count);
            json_put_key_int(&j, "replicas", replica_count(t));
            json_put_key_bool(&j, "internal", t->is_internal);
            json_put_object_end(&j);
        } else {
            table_cell_bytes(&table, t->name);
            table_cell(&table, "%u", t->partitions_count);
            table_cell(&table, "%u", replica_count(t));
            table_cell(&table, "%s", uuid_is_zero(t->topic_id) ? "-" : id);
        }
    }
    if (o->common.json) {
        json_put_array_end(&j);
        buf_printf(&cli->out, "\n");
    } else if (!o->names) {
        table_print(&table, &cli->out);
    }
    return cli_done(cli);
}

// ------------------------------------------------------------------------------------------------ describe

// Start and end offset of each partition of a topic; NULL after a message.
struct topic_offsets {
    struct client_offset *start, *end;
};

static bool ask_offsets(struct cli *cli, const struct metadata_response_topic *t, struct topic_offsets *out)
{
    char name[TOPIC_NAME_BYTES_MAX + 1] = {0};
    memcpy(name, t->name.p, t->name.n < TOPIC_NAME_BYTES_MAX ? t->name.n : TOPIC_NAME_BYTES_MAX);
    struct client_topic *topic = client_topic(&cli->client, name);
    uint32_t n = t->partitions_count;
    struct client_offset *all = cli_alloc(cli, 2 * (size_t)n + 1, sizeof(*all));
    *out = (struct topic_offsets){.start = all, .end = all + n};
    if (!topic)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        all[i] = (struct client_offset){
            .partition = t->partitions[i].partition_index, .timestamp = OFFSET_SPEC_EARLIEST, .offset = -1};
        all[n + i] = all[i];
        all[n + i].timestamp = OFFSET_SPEC_LATEST;
    }
    // A partition without a leader has no offsets to tell: the table says so with its leader column.
    client_topic_wait(&cli->client, topic, false);
    if (client_list_offsets(&cli->client, topic, out->start, n, false) != RC_OK ||
        client_list_offsets(&cli->client, topic, out->end, n, false) != RC_OK) {
        cli_fail(cli, "%s", cli->client.error);
        return false;
    }
    return true;
}

static void numbers_json(struct json *j, const char *key, const int32_t *v, uint32_t count)
{
    json_put_key(j, key);
    bool pretty = j->pretty;
    j->pretty = false; // short lists stay on one line
    json_put_array(j);
    for (uint32_t i = 0; i < count; i++)
        json_put_int(j, v[i]);
    json_put_array_end(j);
    j->pretty = pretty;
}

static void numbers_cell(struct table *t, const int32_t *v, uint32_t count)
{
    char text[512];
    size_t n = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < count && n + 16 < sizeof(text); i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%d", i ? "," : "", v[i]);
    table_cell(t, "%s", count ? text : "-");
}

static void offset_cell(struct table *t, const struct client_offset *o)
{
    table_int(t, o->error_code ? -1 : o->offset);
}

static void describe_partitions(struct cli *cli, const struct metadata_response_topic *t,
                                const struct topic_offsets *offsets, struct json *j)
{
    struct table table;
    table_init(&table, &cli->arena, "  PARTITION|>LEADER|>EPOCH|REPLICAS|IN SYNC|>START|>END|NOTE");
    for (uint32_t i = 0; i < t->partitions_count; i++) {
        const struct metadata_response_partition *p = &t->partitions[i];
        const char *note = p->error_code                                 ? kerr_name(p->error_code)
                           : p->isr_nodes_count < p->replica_nodes_count ? "under-replicated"
                                                                         : NULL;
        if (j) {
            json_put_object(j);
            json_put_key_int(j, "partition", p->partition_index);
            json_put_key_int(j, "leader", p->leader_id);
            json_put_key_int(j, "leader_epoch", p->leader_epoch);
            numbers_json(j, "replicas", p->replica_nodes, p->replica_nodes_count);
            numbers_json(j, "in_sync", p->isr_nodes, p->isr_nodes_count);
            json_put_key_int(j, "start_offset", offsets->start[i].error_code ? -1 : offsets->start[i].offset);
            json_put_key_int(j, "end_offset", offsets->end[i].error_code ? -1 : offsets->end[i].offset);
            json_put_key_str(j, "note", note);
            json_put_object_end(j);
            continue;
        }
        table_cell(&table, "  %d", p->partition_index);
        table_int(&table, p->leader_id);
        table_int(&table, p->leader_epoch);
        numbers_cell(&table, p->replica_nodes, p->replica_nodes_count);
        numbers_cell(&table, p->isr_nodes, p->isr_nodes_count);
        offset_cell(&table, &offsets->start[i]);
        offset_cell(&table, &offsets->end[i]);
        table_cell(&table, "%s", note ? note : "");
    }
    if (!j)
        table_print(&table, &cli->out);
}

// What was set on the topic itself, not inherited. Brokers that cannot tell are passed over.
static void describe_overrides(struct cli *cli, struct bytes name, struct json *j)
{
    struct describe_configs_response out;
    bool good = topics_ask_configs(cli, &name, 1, &out) && out.results_count == 1;
    if (j) {
        json_put_key(j, "configs");
        json_put_object(j);
    }
    uint32_t shown = 0;
    for (uint32_t i = 0; good && i < out.results[0].configs_count; i++) {
        const struct describe_configs_response_config *c = &out.results[0].configs[i];
        if (c->config_source != CONFIGS_SOURCE_TOPIC)
            continue;
        char key[256];
        snprintf(key, sizeof(key), "%.*s", (int)c->name.n, (const char *)c->name.p);
        if (j)
            json_put_key_text(j, key, c->value);
        else
            buf_printf(&cli->out, "%s%s=%.*s", shown ? ", " : "  configs: ", key, (int)c->value.n,
                       c->value.p ? (const char *)c->value.p : "");
        shown++;
    }
    if (j)
        json_put_object_end(j);
    else if (shown)
        buf_printf(&cli->out, "\n");
}

static bool describe_one(struct cli *cli, const struct metadata_response_topic *t, struct json *j)
{
    char id[UUID_TEXT_CHARS + 1];
    struct topic_offsets offsets;
    if (!ask_offsets(cli, t, &offsets))
        return false;
    uuid_format(t->topic_id, id);
    if (!j) {
        buf_printf(&cli->out, "%.*s: %u partition%s, replication factor %u, id %s%s\n", (int)t->name.n,
                   (const char *)t->name.p, t->partitions_count, t->partitions_count == 1 ? "" : "s", replica_count(t),
                   uuid_is_zero(t->topic_id) ? "-" : id, t->is_internal ? ", internal" : "");
        describe_overrides(cli, t->name, NULL);
        describe_partitions(cli, t, &offsets, NULL);
        return true;
    }
    json_put_object(j);
    json_put_key_text(j, "topic", t->name);
    json_put_key_str(j, "id", uuid_is_zero(t->topic_id) ? NULL : id);
    json_put_key_bool(j, "internal", t->is_internal);
    json_put_key_int(j, "replicas", replica_count(t));
    describe_overrides(cli, t->name, j);
    json_put_key(j, "partitions");
    json_put_array(j);
    describe_partitions(cli, t, &offsets, j);
    json_put_array_end(j);
    json_put_object_end(j);
    return true;
}

int admin_topics_describe(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct topics_list_options *o = parsed->options;
    struct metadata_response all;
    struct json j;
    int code = CLI_OK, shown = 0;
    if (!cli_connect(cli, &o->common) || !topics_ask(cli, parsed->arguments, parsed->argument_count, &all))
        return CLI_FAILED;
    json_init(&j, &cli->out, true);
    if (o->common.json)
        json_put_array(&j);
    for (uint32_t i = 0; i < all.topics_count; i++) {
        const struct metadata_response_topic *t = &all.topics[i];
        char about[TOPIC_NAME_BYTES_MAX + 16];
        if (t->is_internal && !o->internal && parsed->argument_count == 0)
            continue;
        snprintf(about, sizeof(about), "topic '%.*s'", (int)t->name.n, (const char *)t->name.p);
        if (t->error_code && t->partitions_count == 0) {
            code = cli_fail_code(cli, about, t->error_code, bytes_of(NULL, 0));
            continue;
        }
        if (shown++ && !o->common.json)
            buf_printf(&cli->out, "\n");
        if (!describe_one(cli, t, o->common.json ? &j : NULL))
            return CLI_FAILED;
    }
    if (o->common.json) {
        json_put_array_end(&j);
        buf_printf(&cli->out, "\n");
    }
    return code == CLI_OK ? cli_done(cli) : code;
}
