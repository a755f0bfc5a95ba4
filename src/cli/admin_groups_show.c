// SPDX-License-Identifier: Apache-2.0
//
// weir admin groups list and describe.
#include <string.h>

#include "cli/admin_groups.h"
#include "cli/date.h"

enum { DAY_MS = 86400000, HOUR_MS = 3600000, MINUTE_MS = 60000 };

// ------------------------------------------------------------------------------------------------ list

static void list_json(struct cli *cli, const struct groups_listed *list, uint32_t count)
{
    struct json j;
    json_init(&j, &cli->out, true);
    json_put_array(&j);
    for (uint32_t i = 0; i < count; i++) {
        json_put_object(&j);
        json_put_key_text(&j, "group", list[i].id);
        json_put_key_text(&j, "state", list[i].state);
        json_put_key_text(&j, "type", list[i].type);
        json_put_key_text(&j, "protocol", list[i].protocol_type);
        json_put_key_int(&j, "coordinator", list[i].broker);
        json_put_object_end(&j);
    }
    json_put_array_end(&j);
    buf_printf(&cli->out, "\n");
}

static void cell_or_dash(struct table *t, struct bytes b)
{
    table_cell_bytes(t, b.n ? b : bytes_str("-"));
}

int admin_groups_list(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct groups_options *o = parsed->options;
    struct groups_listed *list;
    struct table t;
    uint32_t count;
    if (!cli_connect(cli, &o->common) || !groups_gather_list(cli, &o->states, &o->types, &list, &count))
        return CLI_FAILED;
    if (o->common.json) {
        list_json(cli, list, count);
        return cli_done(cli);
    }
    table_init(&t, &cli->arena, "GROUP|STATE|TYPE|PROTOCOL|>COORDINATOR");
    for (uint32_t i = 0; i < count; i++) {
        table_cell_bytes(&t, list[i].id);
        cell_or_dash(&t, list[i].state);
        cell_or_dash(&t, list[i].type);
        cell_or_dash(&t, list[i].protocol_type);
        table_cell(&t, "%d", list[i].broker);
    }
    table_print(&t, &cli->out);
    return cli_done(cli);
}

// ------------------------------------------------------------------------------------------------ describe

// "3d 4h", "2m 10s", "1.25s": two units are enough to judge by.
static void duration_cell(struct table *t, int64_t ms)
{
    long long v = ms;
    if (ms < 0)
        table_cell(t, "-");
    else if (ms >= DAY_MS)
        table_cell(t, "%lldd %lldh", v / DAY_MS, v % DAY_MS / HOUR_MS);
    else if (ms >= HOUR_MS)
        table_cell(t, "%lldh %lldm", v / HOUR_MS, v % HOUR_MS / MINUTE_MS);
    else if (ms >= MINUTE_MS)
        table_cell(t, "%lldm %llds", v / MINUTE_MS, v % MINUTE_MS / 1000);
    else
        table_cell(t, "%lld.%02llds", v / 1000, v % 1000 / 10);
}

// "orders:0,1 payments:3"
static const char *partitions_text(struct cli *cli, const struct groups_partition *list, uint32_t count)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    for (uint32_t i = 0; i < count; i++) {
        bool again = i > 0 && bytes_eq(list[i].topic, list[i - 1].topic);
        if (again)
            buf_printf(&b, ",%d", list[i].index);
        else
            buf_printf(&b, "%s%.*s:%d", i ? " " : "", (int)list[i].topic.n, (const char *)list[i].topic.p,
                       list[i].index);
    }
    const char *text = count ? groups_text(cli, buf_bytes(&b)) : "-";
    buf_deinit(&b);
    return text;
}

static void members_table(struct cli *cli, const struct groups_group *g)
{
    struct table t;
    table_init(&t, &cli->arena,
               g->new_protocol ? "MEMBER|INSTANCE|CLIENT|HOST|>EPOCH|PARTITIONS|TARGET"
                               : "MEMBER|INSTANCE|CLIENT|HOST|PARTITIONS");
    for (uint32_t i = 0; i < g->member_count; i++) {
        const struct groups_member *m = &g->members[i];
        table_cell_bytes(&t, m->id);
        cell_or_dash(&t, m->instance_id);
        cell_or_dash(&t, m->client_id);
        cell_or_dash(&t, m->host);
        if (g->new_protocol)
            table_int(&t, m->epoch);
        table_cell(&t, "%s", partitions_text(cli, m->assigned, m->assigned_count));
        if (g->new_protocol)
            table_cell(&t, "%s", partitions_text(cli, m->target, m->target_count));
    }
    buf_printf(&cli->out, "\n");
    table_print(&t, &cli->out);
}

static void rows_table(struct cli *cli, const struct groups_group *g)
{
    struct table t;
    table_init(&t, &cli->arena, "TOPIC|>PARTITION|>OFFSET|>END|>LAG|>BEHIND|CONSUMER|HOST|CLIENT");
    for (uint32_t i = 0; i < g->row_count; i++) {
        const struct groups_row *r = &g->rows[i];
        table_cell_bytes(&t, r->topic);
        table_cell(&t, "%d", r->partition);
        table_int(&t, r->offset);
        table_int(&t, r->log_end);
        table_int(&t, r->lag);
        duration_cell(&t, r->lag_ms);
        cell_or_dash(&t, r->member ? r->member->id : bytes_of(NULL, 0));
        cell_or_dash(&t, r->member ? r->member->host : bytes_of(NULL, 0));
        cell_or_dash(&t, r->member ? r->member->client_id : bytes_of(NULL, 0));
    }
    buf_printf(&cli->out, "\n");
    table_print(&t, &cli->out);
}

static void events_text(struct cli *cli, const struct groups_group *g)
{
    buf_printf(&cli->out, "\nlast events\n");
    for (uint32_t i = 0; i < g->event_count; i++) {
        char date[DATE_TEXT_BYTES];
        date_format(g->events[i].timestamp_ms, date);
        buf_printf(&cli->out, "  %s  %s %d  %.*s\n", date, g->new_protocol ? "epoch" : "generation",
                   g->events[i].generation, (int)g->events[i].text.n, (const char *)g->events[i].text.p);
    }
}

// An empty group's offsets live for the retention after the last member left or the last commit; the last event says
// when that was, where the server tells.
static int64_t expires_ms(const struct groups_group *g, int64_t retention_ms)
{
    if (!bytes_eq(g->state, bytes_str("Empty")) || retention_ms < 0 || g->event_count == 0)
        return GROUPS_UNKNOWN;
    return g->events[g->event_count - 1].timestamp_ms + retention_ms;
}

static void expiry_text(struct cli *cli, const struct groups_group *g, int64_t retention_ms)
{
    char date[DATE_TEXT_BYTES];
    int64_t at = expires_ms(g, retention_ms);
    if (!bytes_eq(g->state, bytes_str("Empty")) || retention_ms < 0)
        return;
    long long days = retention_ms / DAY_MS, minutes = retention_ms % DAY_MS / MINUTE_MS;
    if (at >= 0) {
        date_format(at, date);
        buf_printf(&cli->out, "its offsets expire at %s unless a member joins or commits (offsets.retention.minutes)\n",
                   date);
    } else {
        buf_printf(&cli->out,
                   "its offsets expire %lldd %lldm after its last member left or committed "
                   "(offsets.retention.minutes)\n",
                   days, minutes);
    }
}

static void show_text(struct cli *cli, const struct groups_group *g, int64_t retention_ms)
{
    const char *assignor = g->assignor.n ? groups_text(cli, g->assignor) : "-";
    buf_printf(&cli->out, "group %s: %s, %s protocol, assignor %s, %u member%s, coordinator %d at %s:%u\n", g->id,
               groups_text(cli, g->state), g->new_protocol ? "consumer" : "classic", assignor, g->member_count,
               g->member_count == 1 ? "" : "s", g->coordinator_id, g->coordinator_host ? g->coordinator_host : "?",
               g->coordinator_port);
    expiry_text(cli, g, retention_ms);
    if (g->member_count)
        members_table(cli, g);
    if (g->row_count)
        rows_table(cli, g);
    if (g->event_count)
        events_text(cli, g);
}

static void put_count(struct json *j, const char *key, int64_t v)
{
    json_put_key(j, key);
    if (v < 0)
        json_put_null(j);
    else
        json_put_int(j, v);
}

static void put_partitions(struct json *j, const char *key, const struct groups_partition *list, uint32_t count)
{
    json_put_key(j, key);
    json_put_array(j);
    for (uint32_t i = 0; i < count; i++) {
        json_put_object(j);
        json_put_key_text(j, "topic", list[i].topic);
        json_put_key_int(j, "partition", list[i].index);
        json_put_object_end(j);
    }
    json_put_array_end(j);
}

static void member_json(struct json *j, const struct groups_group *g, const struct groups_member *m)
{
    json_put_object(j);
    json_put_key_text(j, "member", m->id);
    json_put_key_text(j, "instance", m->instance_id);
    json_put_key_text(j, "client", m->client_id);
    json_put_key_text(j, "host", m->host);
    put_count(j, "epoch", m->epoch);
    put_partitions(j, "assigned", m->assigned, m->assigned_count);
    if (g->new_protocol)
        put_partitions(j, "target", m->target, m->target_count);
    json_put_object_end(j);
}

static void row_json(struct json *j, const struct groups_row *r)
{
    json_put_object(j);
    json_put_key_text(j, "topic", r->topic);
    json_put_key_int(j, "partition", r->partition);
    put_count(j, "offset", r->offset);
    put_count(j, "log_start", r->log_start);
    put_count(j, "log_end", r->log_end);
    put_count(j, "lag", r->lag);
    json_put_key(j, "lag_seconds");
    if (r->lag_ms < 0)
        json_put_null(j);
    else
        json_put_real(j, (double)r->lag_ms / 1000, 3);
    json_put_key_text(j, "metadata", r->metadata);
    json_put_key_text(j, "member", r->member ? r->member->id : bytes_of(NULL, 0));
    json_put_object_end(j);
}

static void show_json(struct json *j, const struct groups_group *g, int64_t retention_ms)
{
    json_put_object(j);
    json_put_key_str(j, "group", g->id);
    json_put_key_text(j, "state", g->state);
    json_put_key_str(j, "type", g->new_protocol ? "consumer" : "classic");
    json_put_key_text(j, "protocol", g->protocol_type);
    json_put_key_text(j, "assignor", g->assignor);
    json_put_key_int(j, "coordinator", g->coordinator_id);
    put_count(j, "epoch", g->epoch);
    put_count(j, "retention_ms", retention_ms);
    put_count(j, "expires_ms", expires_ms(g, retention_ms));
    json_put_key(j, "members");
    json_put_array(j);
    for (uint32_t i = 0; i < g->member_count; i++)
        member_json(j, g, &g->members[i]);
    json_put_array_end(j);
    json_put_key(j, "partitions");
    json_put_array(j);
    for (uint32_t i = 0; i < g->row_count; i++)
        row_json(j, &g->rows[i]);
    json_put_array_end(j);
    json_put_key(j, "events");
    json_put_array(j);
    for (uint32_t i = 0; i < g->event_count; i++) {
        json_put_object(j);
        json_put_key_int(j, "timestamp_ms", g->events[i].timestamp_ms);
        json_put_key_int(j, "generation", g->events[i].generation);
        json_put_key_text(j, "text", g->events[i].text);
        json_put_object_end(j);
    }
    json_put_array_end(j);
    json_put_object_end(j);
}

int admin_groups_describe(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct groups_options *o = parsed->options;
    struct json j;
    int code = CLI_OK;
    if (!cli_connect(cli, &o->common))
        return CLI_FAILED;
    json_init(&j, &cli->out, true);
    if (o->common.json)
        json_put_array(&j);
    for (uint32_t i = 0, shown = 0; i < parsed->argument_count; i++) {
        struct groups_group g;
        if (!groups_gather(cli, parsed->arguments[i], &g) || !groups_gather_rows(cli, &g, !o->no_time))
            return CLI_FAILED;
        if (!g.exists && g.row_count == 0) {
            code = cli_fail(cli, "there is no group '%s'; 'weir admin groups list' shows which there are", g.id);
            continue;
        }
        int64_t retention_ms = groups_retention_ms(cli, g.coordinator_id);
        if (shown++ && !o->common.json)
            buf_printf(&cli->out, "\n");
        if (o->common.json)
            show_json(&j, &g, retention_ms);
        else
            show_text(cli, &g, retention_ms);
    }
    if (o->common.json) {
        json_put_array_end(&j);
        buf_printf(&cli->out, "\n");
    }
    int done = cli_done(cli);
    return code == CLI_OK ? done : code;
}
