// SPDX-License-Identifier: Apache-2.0
//
// kafka-consumer-groups --reset-offsets, --delete, --delete-offsets. Errors of groups are words on standard output and
// exit code 0, as they are there.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/groups_change.h"
#include "cli/groups_reset.h"
#include "cli/tool_consumer_groups.h"

// ------------------------------------------------------------------------------------------------ reset

static int choose(struct cli *cli, const struct tool_consumer_groups_options *o, struct groups_reset *r)
{
    r->kind = o->to_earliest              ? RESET_EARLIEST
              : o->to_latest              ? RESET_LATEST
              : o->to_current             ? RESET_CURRENT
              : o->from_file              ? RESET_FILE
              : o->to_offset != INT64_MIN ? RESET_OFFSET
              : o->shift_by != INT64_MIN  ? RESET_SHIFT
                                          : RESET_DATETIME;
    r->value = r->kind == RESET_OFFSET ? o->to_offset : o->shift_by;
    if (o->to_datetime && !cli_time_parse(o->to_datetime, &r->value))
        return tool_wrong(cli, &tool_consumer_groups, "Error: Unparseable date: \"%s\"", o->to_datetime);
    if (o->by_duration && (!groups_duration_parse(o->by_duration, &r->value) || r->value < 0))
        return tool_wrong(cli, &tool_consumer_groups, "Error: Text cannot be parsed to a Duration: %s", o->by_duration);
    if (o->by_duration)
        r->value = io_wall_ms(cli->io) - r->value;
    return CLI_OK;
}

static int plan(struct cli *cli, const struct tool_consumer_groups_options *o, struct groups_group *g,
                struct groups_reset *r)
{
    struct groups_partition *list = NULL;
    uint32_t count = 0;
    int code = CLI_OK;
    if (!groups_gather_rows(cli, g, false))
        return CLI_FAILED;
    for (uint32_t i = 0; i < o->topics.count && code == CLI_OK; i++)
        code = groups_parse_topic(cli, o->topics.items[i], &list, &count);
    if (code == CLI_OK)
        code = o->from_file ? groups_reset_read(cli, o->from_file, r) : groups_reset_scope(cli, g, list, count, r);
    return code == CLI_OK ? groups_reset_plan(cli, g, r) : code;
}

static void reset_rows(struct cli *cli, const struct groups_group *g, const struct groups_reset *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        char offset[24];
        snprintf(offset, sizeof(offset), "%lld", (long long)r->rows[i].next);
        tool_cell(cli, 30, g->id);
        tool_cell(cli, 30, groups_text(cli, r->rows[i].topic));
        buf_printf(&cli->out, "%-10d %-15s\n", r->rows[i].partition, offset);
    }
}

// Topics with several groups have them in front.
static void reset_csv(struct cli *cli, const struct groups_group *g, const struct groups_reset *r, bool with_group)
{
    for (uint32_t i = 0; i < r->count; i++)
        buf_printf(&cli->out, "%s%s%.*s,%d,%lld\n", with_group ? g->id : "", with_group ? "," : "",
                   (int)r->rows[i].topic.n, (const char *)r->rows[i].topic.p, r->rows[i].partition,
                   (long long)r->rows[i].next);
}

static void warn_empty(struct cli *cli, const struct groups_reset *r)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (r->rows[i].empty_log)
            buf_printf(&cli->out, "\nWarn: Partition %d from topic %s is empty. Falling back to latest known offset.\n",
                       r->rows[i].partition, groups_text(cli, r->rows[i].topic));
}

int tool_consumer_groups_reset(struct cli *cli, const struct tool_consumer_groups_options *o)
{
    struct cli_list chosen;
    if (!tool_consumer_groups_chosen(cli, o, &chosen))
        return CLI_FAILED;
    struct groups_group *groups = cli_alloc(cli, (size_t)chosen.count + 1, sizeof(*groups));
    struct groups_reset *resets = cli_alloc(cli, (size_t)chosen.count + 1, sizeof(*resets));
    for (uint32_t i = 0; i < chosen.count; i++) {
        int code = choose(cli, o, &resets[i]);
        if (code != CLI_OK)
            return code;
        if (!groups_gather(cli, chosen.items[i], &groups[i]))
            return CLI_FAILED;
        if (!groups_is_inactive(&groups[i])) {
            buf_printf(&cli->out,
                       "\nError: Assignments can only be reset if the group '%s' is inactive, but the current state is "
                       "%s.\n",
                       groups[i].id, groups_text(cli, groups[i].state));
            continue;
        }
        code = plan(cli, o, &groups[i], &resets[i]);
        if (code == CLI_OK && o->execute)
            code = groups_reset_commit(cli, &groups[i], &resets[i]);
        if (code != CLI_OK)
            return code;
        warn_empty(cli, &resets[i]);
    }
    if (!o->export_csv)
        buf_printf(&cli->out, "\n%-30s %-30s %-10s %-15s\n", "GROUP", "TOPIC", "PARTITION", "NEW-OFFSET");
    for (uint32_t i = 0; i < chosen.count; i++) {
        if (o->export_csv)
            reset_csv(cli, &groups[i], &resets[i], chosen.count > 1);
        else
            reset_rows(cli, &groups[i], &resets[i]);
    }
    if (o->export_csv)
        buf_printf(&cli->out, "\n");
    return CLI_OK;
}

// ------------------------------------------------------------------------------------------------ delete

int tool_consumer_groups_delete(struct cli *cli, const struct tool_consumer_groups_options *o)
{
    struct cli_list chosen;
    struct buf good, bad;
    if (!tool_consumer_groups_chosen(cli, o, &chosen))
        return CLI_FAILED;
    buf_init(&good, 1 << 20);
    buf_init(&bad, 1 << 20);
    for (uint32_t i = 0; i < chosen.count; i++) {
        int16_t code;
        if (!groups_delete(cli, chosen.items[i], &code)) {
            buf_deinit(&good);
            buf_deinit(&bad);
            return CLI_FAILED;
        }
        if (code)
            buf_printf(&bad, "* Group '%s' could not be deleted due to: %s\n", chosen.items[i], tool_error(cli, code));
        else
            buf_printf(&good, "%s'%s'", good.n ? ", " : "", chosen.items[i]);
    }
    if (bad.n == 0)
        buf_printf(&cli->out, "Deletion of requested consumer groups (%.*s) was successful.\n", (int)good.n,
                   (const char *)good.p);
    else
        buf_printf(&cli->out, "\nError: Deletion of some consumer groups failed:\n%.*s", (int)bad.n,
                   (const char *)bad.p);
    if (bad.n && good.n)
        buf_printf(&cli->out, "\nThese consumer groups were deleted successfully: %.*s\n", (int)good.n,
                   (const char *)good.p);
    buf_deinit(&good);
    buf_deinit(&bad);
    return CLI_OK;
}

// ------------------------------------------------------------------------------------------------ delete offsets

struct deletion {
    struct groups_partition *list; // index -1: the topic is not there
    uint32_t count;
    int16_t *codes;
};

static bool gather_deletion(struct cli *cli, const struct tool_consumer_groups_options *o, struct deletion *d)
{
    for (uint32_t i = 0; i < o->topics.count; i++) {
        const char *text = o->topics.items[i];
        char *name = arena_copy(&cli->arena, text, strcspn(text, ":"));
        struct client_topic *t = name ? client_topic(&cli->client, name) : NULL;
        if (t && client_topic_wait(&cli->client, t, false) == RC_OK) {
            if (groups_parse_topic(cli, text, &d->list, &d->count) != CLI_OK)
                return false;
            continue;
        }
        struct groups_partition *grown = cli_alloc(cli, (size_t)d->count + 1, sizeof(*grown));
        if (d->count)
            memcpy(grown, d->list, d->count * sizeof(*grown));
        grown[d->count++] = (struct groups_partition){bytes_str(name ? name : ""), -1};
        d->list = grown;
    }
    return true;
}

// Asks about those whose topics are there.
static bool carry_out(struct cli *cli, const char *group, struct deletion *d, int16_t *code)
{
    struct groups_partition *known = cli_alloc(cli, (size_t)d->count + 1, sizeof(*known));
    int16_t *codes;
    uint32_t n = 0, k = 0;
    d->codes = cli_alloc(cli, (size_t)d->count + 1, sizeof(*d->codes));
    for (uint32_t i = 0; i < d->count; i++)
        if (d->list[i].index >= 0)
            known[n++] = d->list[i];
    *code = 0;
    if (n > 0 && !groups_delete_offsets(cli, group, known, n, code, &codes))
        return false;
    for (uint32_t i = 0; i < d->count; i++)
        d->codes[i] = d->list[i].index >= 0 ? codes[k++] : KERR_GROUPS_UNKNOWN_TOPIC;
    return true;
}

int tool_consumer_groups_delete_offsets(struct cli *cli, const struct tool_consumer_groups_options *o)
{
    const char *group = o->groups.items[0];
    struct deletion d = {0};
    int16_t code;
    if (!gather_deletion(cli, o, &d) || !carry_out(cli, group, &d, &code))
        return CLI_FAILED;
    bool partial = false;
    for (uint32_t i = 0; i < d.count; i++)
        partial |= d.list[i].index >= 0 && d.codes[i];
    if (code)
        buf_printf(&cli->out, "\nError: Deletion of offsets for group '%s' failed due to: %s\n", group,
                   tool_error(cli, code));
    else if (partial)
        buf_printf(&cli->out, "\nError: Encountered some partition-level error, see the follow-up details.\n");
    else
        buf_printf(&cli->out, "Request succeeded for deleting offsets from group %s.\n", group);
    size_t width = 15;
    for (uint32_t i = 0; i < d.count; i++)
        width = d.list[i].topic.n > width ? d.list[i].topic.n : width;
    buf_printf(&cli->out, "\n%-*s %-10s %-15s\n", (int)width, "TOPIC", "PARTITION", "STATUS");
    for (uint32_t i = 0; i < d.count; i++) {
        char index[16];
        snprintf(index, sizeof(index), "%d", d.list[i].index);
        tool_cell(cli, width, groups_text(cli, d.list[i].topic));
        tool_cell(cli, 10, d.list[i].index < 0 ? "-" : index);
        if (d.codes[i])
            buf_printf(&cli->out, "Error: %s\n", tool_error(cli, d.codes[i]));
        else
            buf_printf(&cli->out, "%-15s\n", "Successful");
    }
    return CLI_OK;
}
