// SPDX-License-Identifier: Apache-2.0
//
// Where a group's offsets go: read from the log, a file or the command line, and always kept within the log.
#include "cli/groups_reset.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "client/offsets.h"
#include "model/kerr.h"

enum { RESET_FILE_BYTES_MAX = 64 << 20 };

int64_t groups_reset_clamp(int64_t asked, int64_t log_start, int64_t log_end)
{
    return asked > log_end ? log_end : asked < log_start ? log_start : asked;
}

// ------------------------------------------------------------------------------------------------ durations

// One "12.5H" of an ISO duration; moves past it.
static bool iso_part(const char **s, const char *units, const int64_t *factors, int64_t *ms)
{
    char *end;
    long long v = strtoll(*s, &end, 10);
    int64_t thousandths = 0, scale = 100;
    if (end == *s)
        return false;
    if (*end == '.')
        for (end++; *end >= '0' && *end <= '9'; end++, scale /= 10)
            thousandths += (*end - '0') * scale;
    const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    int64_t factor = unit ? factors[unit - units] : 0, part;
    if (!unit || __builtin_mul_overflow((int64_t)v, factor, &part) || __builtin_add_overflow(*ms, part, ms))
        return false;
    *ms += (v < 0 ? -thousandths : thousandths) * factor / 1000;
    *s = end + 1;
    return true;
}

bool groups_duration_parse(const char *text, int64_t *ms)
{
    static const int64_t days[] = {86400000}, times[] = {3600000, 60000, 1000};
    if (*text != 'P' && *text != 'p')
        return cli_duration_parse(text, ms);
    const char *s = text + 1;
    bool any = false;
    *ms = 0;
    while (*s && *s != 'T' && *s != 't') {
        if (!iso_part(&s, "D", days, ms))
            return false;
        any = true;
    }
    if (*s)
        for (s++; *s; any = true)
            if (!iso_part(&s, "HMS", times, ms))
                return false;
    return any;
}

// ------------------------------------------------------------------------------------------------ scopes

static int by_partition(const void *left, const void *right)
{
    const struct groups_reset_row *a = left, *b = right;
    int c = bytes_cmp(a->topic, b->topic);
    return c ? c : (a->partition > b->partition) - (a->partition < b->partition);
}

static void sort_rows(struct groups_reset *r)
{
    uint32_t kept = 0;
    if (r->count > 1)
        qsort(r->rows, r->count, sizeof(*r->rows), by_partition);
    for (uint32_t i = 0; i < r->count; i++)
        if (kept == 0 || by_partition(&r->rows[kept - 1], &r->rows[i]) != 0)
            r->rows[kept++] = r->rows[i];
    r->count = kept;
}

int groups_reset_scope(struct cli *cli, const struct groups_group *g, const struct groups_partition *list,
                       uint32_t count, struct groups_reset *r)
{
    uint32_t n = list ? count : g->row_count;
    r->rows = cli_alloc(cli, (size_t)n + 1, sizeof(*r->rows));
    r->count = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!list && g->rows[i].offset < 0)
            continue;
        r->rows[r->count].topic = list ? list[i].topic : g->rows[i].topic;
        r->rows[r->count++].partition = list ? list[i].index : g->rows[i].partition;
    }
    sort_rows(r);
    return CLI_OK;
}

// "TOPIC,PARTITION,OFFSET", as --export writes it; a group in front is passed over.
static bool read_line(struct cli *cli, char *line, struct groups_reset_row *row)
{
    char *words[4], *rest = line;
    size_t n = 0;
    int64_t partition;
    while (n < ARRAY_COUNT(words) && rest)
        words[n++] = strsep(&rest, ",");
    if (n < 3 || rest)
        return false;
    char **w = words + n - 3;
    if (!cli_number_parse(w[1], &partition) || partition < 0 || partition > INT32_MAX ||
        !cli_number_parse(w[2], &row->asked) || row->asked < 0)
        return false;
    char *topic = arena_copy(&cli->arena, w[0], strlen(w[0]));
    row->topic = bytes_str(topic ? topic : "");
    row->partition = (int32_t)partition;
    return row->topic.n > 0;
}

int groups_reset_read(struct cli *cli, const char *path, struct groups_reset *r)
{
    struct io_file file = {0};
    uint64_t bytes = 0;
    size_t got = 0;
    enum rc rc = io_file_open(cli->io, &file, path, IO_OPEN_READ, IO_FILE_OTHER);
    if (rc == RC_OK)
        rc = io_file_size(&file, &bytes);
    if (rc != RC_OK || bytes > RESET_FILE_BYTES_MAX)
        return cli_fail(cli, "%s: %s", path, rc != RC_OK ? rc_text(rc) : "too large");
    char *text = cli_alloc(cli, bytes + 1, 1);
    rc = io_file_read_now(&file, text, bytes, 0, &got);
    io_file_close(&file);
    if (rc != RC_OK && rc != RC_EOF)
        return cli_fail(cli, "%s: %s", path, rc_text(rc));
    uint32_t lines = 1;
    for (size_t i = 0; i < got; i++)
        lines += text[i] == '\n';
    r->rows = cli_alloc(cli, lines, sizeof(*r->rows));
    char *rest = text, *line;
    for (uint32_t number = 1; (line = strsep(&rest, "\n")) != NULL; number++) {
        line[strcspn(line, "\r#")] = 0;
        if (line[strspn(line, " \t")] == 0)
            continue;
        if (!read_line(cli, line, &r->rows[r->count++]))
            return cli_fail(cli, "%s line %u: lines are TOPIC,PARTITION,OFFSET", path, number);
    }
    sort_rows(r);
    return r->count ? CLI_OK : cli_fail(cli, "%s holds no offsets", path);
}

// ------------------------------------------------------------------------------------------------ plans

static int gather_bounds(struct cli *cli, struct groups_reset *r)
{
    struct groups_row *rows = cli_alloc(cli, (size_t)r->count + 1, sizeof(*rows));
    for (uint32_t i = 0; i < r->count; i++)
        rows[i] = (struct groups_row){.topic = r->rows[i].topic, .partition = r->rows[i].partition};
    if (!groups_gather_logs(cli, rows, r->count))
        return CLI_FAILED;
    for (uint32_t i = 0; i < r->count; i++) {
        if (rows[i].log_start < 0 || rows[i].log_end < 0)
            return cli_fail(cli, "%s partition %d does not exist or has no leader now",
                            groups_text(cli, r->rows[i].topic), r->rows[i].partition);
        r->rows[i].log_start = rows[i].log_start;
        r->rows[i].log_end = rows[i].log_end;
    }
    return CLI_OK;
}

// Offsets by time, topic by topic.
static int gather_times(struct cli *cli, struct groups_reset *r)
{
    for (uint32_t i = 0, n; i < r->count; i += n) {
        for (n = 1; i + n < r->count && bytes_eq(r->rows[i + n].topic, r->rows[i].topic);)
            n++;
        struct client_topic *t = client_topic(&cli->client, groups_text(cli, r->rows[i].topic));
        struct client_offset *list = cli_alloc(cli, n, sizeof(*list));
        for (uint32_t k = 0; k < n; k++)
            list[k] = (struct client_offset){.partition = r->rows[i + k].partition, .timestamp = r->value};
        if (!t || client_list_offsets(&cli->client, t, list, n, false) != RC_OK)
            return cli_fail(cli, "%s", cli->client.error);
        for (uint32_t k = 0; k < n; k++) {
            struct groups_reset_row *row = &r->rows[i + k];
            if (list[k].error_code)
                return cli_fail(cli, "%s partition %d: %s", groups_text(cli, row->topic), row->partition,
                                kerr_name(list[k].error_code));
            row->empty_log = list[k].offset < 0;
            row->asked = row->empty_log ? row->log_end : list[k].offset;
        }
    }
    return CLI_OK;
}

static int64_t current_of(const struct groups_group *g, const struct groups_reset_row *row)
{
    for (uint32_t i = 0; i < g->row_count; i++)
        if (g->rows[i].partition == row->partition && bytes_eq(g->rows[i].topic, row->topic))
            return g->rows[i].offset;
    return GROUPS_UNKNOWN;
}

static int plan_row(struct cli *cli, const struct groups_reset *r, struct groups_reset_row *row)
{
    switch (r->kind) {
    case RESET_EARLIEST:
        row->asked = row->log_start;
        break;
    case RESET_LATEST:
        row->asked = row->log_end;
        break;
    case RESET_CURRENT:
        row->asked = row->current >= 0 ? row->current : row->log_end;
        break;
    case RESET_OFFSET:
        row->asked = r->value;
        break;
    case RESET_SHIFT:
        if (row->current < 0)
            return cli_fail(cli, "Cannot shift offset for partition %s-%d since there is no current committed offset",
                            groups_text(cli, row->topic), row->partition);
        if (__builtin_add_overflow(row->current, r->value, &row->asked))
            row->asked = r->value < 0 ? 0 : INT64_MAX;
        break;
    case RESET_DATETIME:
    case RESET_FILE:
        break;
    case RESET_NONE:
        UNREACHABLE();
    }
    row->next = groups_reset_clamp(row->asked, row->log_start, row->log_end);
    return CLI_OK;
}

int groups_reset_plan(struct cli *cli, const struct groups_group *g, struct groups_reset *r)
{
    int code = gather_bounds(cli, r);
    if (code == CLI_OK && r->kind == RESET_DATETIME)
        code = gather_times(cli, r);
    for (uint32_t i = 0; i < r->count && code == CLI_OK; i++) {
        r->rows[i].current = current_of(g, &r->rows[i]);
        code = plan_row(cli, r, &r->rows[i]);
    }
    return code;
}

int groups_reset_commit(struct cli *cli, const struct groups_group *g, const struct groups_reset *r)
{
    struct group_offset *list = cli_alloc(cli, (size_t)r->count + 1, sizeof(*list));
    struct group_asker who = {.client = &cli->client,
                              .at = client_connection_of(&cli->client, g->coordinator_id),
                              .group_id = g->id,
                              .generation = -1};
    for (uint32_t i = 0; i < r->count; i++)
        list[i] = (struct group_offset){.topic = r->rows[i].topic,
                                        .partition = r->rows[i].partition,
                                        .offset = r->rows[i].next,
                                        .leader_epoch = -1};
    if (!who.at || group_offsets_commit(&who, list, r->count) != RC_OK)
        return cli_fail(cli, "%s", who.at ? cli->client.error : "the coordinator is gone");
    for (uint32_t i = 0; i < r->count; i++) {
        if (list[i].error_code == KERR_GROUPS_UNKNOWN_MEMBER)
            return cli_fail(cli, "members have joined group '%s' meanwhile; nothing was changed", g->id);
        if (list[i].error_code)
            return cli_fail(cli, "%s partition %d: %s", groups_text(cli, list[i].topic), list[i].partition,
                            kerr_name(list[i].error_code));
    }
    return CLI_OK;
}
