// SPDX-License-Identifier: Apache-2.0
//
// weir admin groups reset.
#include <stdio.h>

#include "cli/admin_groups.h"
#include "cli/groups_reset.h"

// Why a change is refused while members are there, in Kafka's words, and what to do.
static int admin_groups_refuse_active(struct cli *cli, const struct groups_group *g)
{
    return cli_fail(
        cli,
        "Assignments can only be reset if the group '%s' is inactive, but the current state is %s. Stop its "
        "%u member%s first, or take dead ones out with 'weir admin groups remove-members %s'",
        g->id, groups_text(cli, g->state), g->member_count, g->member_count == 1 ? "" : "s", g->id);
}

static int choose_kind(struct cli *cli, const struct groups_options *o, struct groups_reset *r)
{
    int chosen = o->to_earliest + o->to_latest + o->to_current + (o->to_offset != INT64_MIN) +
                 (o->to_datetime != NULL) + (o->by_duration != NULL) + (o->shift_by != INT64_MIN) +
                 (o->from_file != NULL);
    if (chosen != 1)
        return cli_wrong(cli, "say where to: one of --to-earliest, --to-latest, --to-current, --to-offset, "
                              "--to-datetime, --by-duration, --shift-by and --from-file.");
    r->kind = o->to_earliest              ? RESET_EARLIEST
              : o->to_latest              ? RESET_LATEST
              : o->to_current             ? RESET_CURRENT
              : o->from_file              ? RESET_FILE
              : o->to_datetime            ? RESET_DATETIME
              : o->by_duration            ? RESET_DATETIME
              : o->to_offset != INT64_MIN ? RESET_OFFSET
                                          : RESET_SHIFT;
    r->value = r->kind == RESET_OFFSET ? o->to_offset : o->shift_by;
    if (o->to_datetime && !cli_time_parse(o->to_datetime, &r->value))
        return cli_wrong(cli, "--to-datetime wants a time such as 2026-11-21T10:00:00.000, not '%s'.", o->to_datetime);
    if (o->by_duration && (!groups_duration_parse(o->by_duration, &r->value) || r->value < 0))
        return cli_wrong(cli, "--by-duration wants a time such as 90m, 7d or PT1H30M, not '%s'.", o->by_duration);
    if (o->from_file && (o->topics.count || o->all_topics))
        return cli_wrong(cli, "the file says which partitions: neither --topic nor --all-topics goes with it.");
    if (!o->from_file && (o->topics.count > 0) == o->all_topics)
        return cli_wrong(cli, "say of what: --topic TOPIC[:P,P] or --all-topics.");
    return CLI_OK;
}

static int choose_rows(struct cli *cli, const struct groups_options *o, const struct groups_group *g,
                       struct groups_reset *r)
{
    struct groups_partition *list = NULL;
    uint32_t count = 0;
    if (o->from_file)
        return groups_reset_read(cli, o->from_file, r);
    for (uint32_t i = 0; i < o->topics.count; i++) {
        int code = groups_parse_topic(cli, o->topics.items[i], &list, &count);
        if (code != CLI_OK)
            return code;
    }
    groups_reset_scope(cli, g, list, count, r);
    return r->count ? CLI_OK : cli_fail(cli, "group '%s' has no offsets to move; name a --topic", g->id);
}

// What happens to an offset that the log does not have.
static void warn(struct cli *cli, const struct groups_reset_row *r)
{
    const char *topic = groups_text(cli, r->topic);
    if (r->empty_log)
        fprintf(stderr, "%s: %s partition %d has no record that late; it goes to the end\n", cli->path, topic,
                r->partition);
    else if (r->asked != r->next)
        fprintf(stderr, "%s: new offset %lld is %s offset of %s partition %d; it is set to %lld\n", cli->path,
                (long long)r->asked, r->asked > r->next ? "higher than the latest" : "lower than the earliest", topic,
                r->partition, (long long)r->next);
}

static void show_csv(struct cli *cli, const struct groups_reset *r)
{
    for (uint32_t i = 0; i < r->count; i++)
        buf_printf(&cli->out, "%.*s,%d,%lld\n", (int)r->rows[i].topic.n, (const char *)r->rows[i].topic.p,
                   r->rows[i].partition, (long long)r->rows[i].next);
}

static void show_json(struct cli *cli, const struct groups_group *g, const struct groups_reset *r, bool executed)
{
    struct json j;
    json_init(&j, &cli->out, true);
    json_put_object(&j);
    json_put_key_str(&j, "group", g->id);
    json_put_key_bool(&j, "executed", executed);
    json_put_key(&j, "partitions");
    json_put_array(&j);
    for (uint32_t i = 0; i < r->count; i++) {
        json_put_object(&j);
        json_put_key_text(&j, "topic", r->rows[i].topic);
        json_put_key_int(&j, "partition", r->rows[i].partition);
        json_put_key(&j, "offset");
        if (r->rows[i].current < 0)
            json_put_null(&j);
        else
            json_put_int(&j, r->rows[i].current);
        json_put_key_int(&j, "new_offset", r->rows[i].next);
        json_put_key_int(&j, "log_start", r->rows[i].log_start);
        json_put_key_int(&j, "log_end", r->rows[i].log_end);
        json_put_object_end(&j);
    }
    json_put_array_end(&j);
    json_put_object_end(&j);
    buf_printf(&cli->out, "\n");
}

static void show_table(struct cli *cli, const struct groups_group *g, const struct groups_reset *r)
{
    struct table t;
    table_init(&t, &cli->arena, "GROUP|TOPIC|>PARTITION|>OFFSET|>NEW OFFSET|>LEFT TO READ");
    for (uint32_t i = 0; i < r->count; i++) {
        table_cell(&t, "%s", g->id);
        table_cell_bytes(&t, r->rows[i].topic);
        table_cell(&t, "%d", r->rows[i].partition);
        table_int(&t, r->rows[i].current);
        table_int(&t, r->rows[i].next);
        table_int(&t, r->rows[i].log_end - r->rows[i].next);
    }
    table_print(&t, &cli->out);
}

int admin_groups_reset(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct groups_options *o = parsed->options;
    struct groups_reset r = {0};
    struct groups_group g;
    int code = choose_kind(cli, o, &r);
    if (code != CLI_OK)
        return code;
    if (!cli_connect(cli, &o->common) || !groups_gather(cli, parsed->arguments[0], &g))
        return CLI_FAILED;
    if (o->by_duration)
        r.value = io_wall_ms(cli->io) - r.value;
    if (!groups_is_inactive(&g) && o->execute)
        return admin_groups_refuse_active(cli, &g);
    if (!groups_gather_rows(cli, &g, false))
        return CLI_FAILED;
    code = choose_rows(cli, o, &g, &r);
    if (code == CLI_OK)
        code = groups_reset_plan(cli, &g, &r);
    if (code == CLI_OK && o->execute)
        code = groups_reset_commit(cli, &g, &r);
    if (code != CLI_OK)
        return code;
    for (uint32_t i = 0; i < r.count; i++)
        warn(cli, &r.rows[i]);
    if (o->export_csv)
        show_csv(cli, &r);
    else if (o->common.json)
        show_json(cli, &g, &r, o->execute);
    else
        show_table(cli, &g, &r);
    if (!o->execute && !o->export_csv)
        fprintf(stderr, "%s: nothing was changed; --execute does it%s\n", cli->path,
                groups_is_inactive(&g) ? "" : ", once the group has no members");
    return cli_done(cli);
}
