// SPDX-License-Identifier: Apache-2.0
//
// kafka-metadata-quorum: describe --status and describe --replication; add-controller and remove-controller are
// tool_metadata_quorum_change.c's.
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/tool_metadata_quorum.h"

static const struct cli_option options[] = {
    TOOL_TEXT(struct quorum_options, "bootstrap-controller", controller, "HOST:PORT[,...]",
              "the same as --bootstrap-server: every node answers"),
    TOOL_FLAG(struct quorum_options, "status", status, "of describe: a short summary"),
    TOOL_FLAG(struct quorum_options, "replication", replication, "of describe: how far each node is"),
    TOOL_FLAG(struct quorum_options, "human-readable", human, "with --replication: times as ages"),
    {.name = "controller-id",
     .letter = 'i',
     .kind = CLI_NUMBER,
     .offset = offsetof(struct quorum_options, id),
     .value_name = "ID",
     .initial = -1,
     .help = "of remove-controller: the node whose vote is taken"},
    {.name = "controller-directory-id",
     .letter = 'd',
     .kind = CLI_TEXT,
     .offset = offsetof(struct quorum_options, directory),
     .value_name = "UUID",
     .help = "of remove-controller: its metadata folder, as describe --replication shows it"},
    TOOL_FLAG(struct quorum_options, "dry-run", dry_run, "of add- and remove-controller: only say what would be done"),
    {0},
};

// ------------------------------------------------------------------------------------------------ status

static const struct describe_quorum_response_node *node_of(const struct describe_quorum_response *all, int32_t id)
{
    for (uint32_t i = 0; i < all->nodes_count; i++)
        if (all->nodes[i].node_id == id)
            return &all->nodes[i];
    return NULL;
}

static void one_state(struct buf *out, const struct describe_quorum_response *all,
                      const struct describe_quorum_response_replica_state *r)
{
    const struct describe_quorum_response_node *n = node_of(all, r->replica_id);
    char id[UUID_TEXT_CHARS + 1];
    uuid_format(r->replica_directory_id, id);
    buf_printf(out, "{\"id\": %d", r->replica_id);
    if (!uuid_is_zero(r->replica_directory_id))
        buf_printf(out, ", \"directoryId\": \"%s\"", id);
    for (uint32_t i = 0; n && i < n->listeners_count; i++) {
        const struct describe_quorum_response_listener *l = &n->listeners[i];
        bool v6 = memchr(l->host.p, ':', l->host.n) != NULL;
        buf_printf(out, "%s\"%.*s://%s%.*s%s:%d\"", i ? ", " : ", \"endpoints\": [", (int)l->name.n,
                   (const char *)l->name.p, v6 ? "[" : "", (int)l->host.n, (const char *)l->host.p, v6 ? "]" : "",
                   l->port);
    }
    buf_printf(out, n && n->listeners_count ? "]}" : "}");
}

static void states(struct buf *out, const char *title, const struct describe_quorum_response *all,
                   const struct describe_quorum_response_replica_state *r, uint32_t count)
{
    buf_printf(out, "%-24s[", title);
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            buf_printf(out, ", ");
        one_state(out, all, &r[i]);
    }
    buf_printf(out, "]\n");
}

static int show_status(struct cli *cli, const struct describe_quorum_response *all,
                       const struct describe_quorum_response_partition *p,
                       const struct describe_quorum_response_replica_state *leader)
{
    struct buf *out = &cli->out;
    const struct describe_quorum_response_replica_state *last = &p->current_voters[0];
    int64_t lag_ms = 0;
    for (uint32_t i = 1; i < p->current_voters_count; i++)
        if (p->current_voters[i].log_end_offset < last->log_end_offset)
            last = &p->current_voters[i];
    if (last != leader)
        lag_ms = leader->last_caught_up_timestamp >= 0 && last->last_caught_up_timestamp >= 0
                     ? leader->last_caught_up_timestamp - last->last_caught_up_timestamp
                     : -1;
    buf_printf(out, "ClusterId:              %s\n", cli->client.cluster_id);
    buf_printf(out, "LeaderId:               %d\n", p->leader_id);
    buf_printf(out, "LeaderEpoch:            %d\n", p->leader_epoch);
    buf_printf(out, "HighWatermark:          %lld\n", (long long)p->high_watermark);
    buf_printf(out, "MaxFollowerLag:         %lld\n", (long long)(leader->log_end_offset - last->log_end_offset));
    buf_printf(out, "MaxFollowerLagTimeMs:   %lld\n", (long long)lag_ms);
    states(out, "CurrentVoters:", all, p->current_voters, p->current_voters_count);
    states(out, "CurrentObservers:", all, p->observers, p->observers_count);
    return CLI_OK;
}

// ------------------------------------------------------------------------------------------------ replication

enum { QUORUM_COLUMNS = 7, QUORUM_CELL_BYTES = 40 };

struct quorum_rows {
    char (*cells)[QUORUM_COLUMNS][QUORUM_CELL_BYTES];
    uint32_t count;
};

static void when(char *out, int64_t now_ms, int64_t at_ms, bool human)
{
    if (at_ms < 0 || !human)
        snprintf(out, QUORUM_CELL_BYTES, "%lld", (long long)(at_ms < 0 ? -1 : at_ms));
    else
        snprintf(out, QUORUM_CELL_BYTES, "%lld ms ago", (long long)(now_ms > at_ms ? now_ms - at_ms : 0));
}

static void add_row(struct cli *cli, struct quorum_rows *rows, const struct describe_quorum_response_replica_state *r,
                    int64_t leader_end, const char *status, bool human)
{
    char(*cells)[QUORUM_CELL_BYTES] = rows->cells[rows->count++];
    int64_t now_ms = io_wall_ms(cli->io);
    snprintf(cells[0], QUORUM_CELL_BYTES, "%d", r->replica_id);
    uuid_format(r->replica_directory_id, cells[1]);
    snprintf(cells[2], QUORUM_CELL_BYTES, "%lld", (long long)r->log_end_offset);
    snprintf(cells[3], QUORUM_CELL_BYTES, "%lld", (long long)(leader_end - r->log_end_offset));
    when(cells[4], now_ms, r->last_fetch_timestamp, human);
    when(cells[5], now_ms, r->last_caught_up_timestamp, human);
    snprintf(cells[6], QUORUM_CELL_BYTES, "%s", status);
}

static int show_replication(struct cli *cli, const struct describe_quorum_response_partition *p,
                            const struct describe_quorum_response_replica_state *leader, bool human)
{
    static const char *const titles[QUORUM_COLUMNS] = {
        "NodeId", "DirectoryId", "LogEndOffset", "Lag", "LastFetchTimestamp", "LastCaughtUpTimestamp", "Status"};
    uint32_t most = p->current_voters_count + p->observers_count + 1;
    struct quorum_rows rows = {.cells = cli_alloc(cli, most, sizeof(*rows.cells))};
    for (int i = 0; i < QUORUM_COLUMNS; i++)
        snprintf(rows.cells[0][i], QUORUM_CELL_BYTES, "%s", titles[i]);
    rows.count = 1;
    add_row(cli, &rows, leader, leader->log_end_offset, "Leader", human);
    for (uint32_t i = 0; i < p->current_voters_count; i++)
        if (&p->current_voters[i] != leader)
            add_row(cli, &rows, &p->current_voters[i], leader->log_end_offset, "Follower", human);
    for (uint32_t i = 0; i < p->observers_count; i++)
        add_row(cli, &rows, &p->observers[i], leader->log_end_offset, "Observer", human);
    for (uint32_t i = 0; i < rows.count; i++) {
        for (int k = 0; k < QUORUM_COLUMNS; k++) {
            int width = 0;
            for (uint32_t r = 0; r < rows.count; r++)
                width = (int)strlen(rows.cells[r][k]) > width ? (int)strlen(rows.cells[r][k]) : width;
            buf_printf(&cli->out, "%-*s\t", width, rows.cells[i][k]);
        }
        buf_printf(&cli->out, "\n");
    }
    return CLI_OK;
}

// ------------------------------------------------------------------------------------------------ the command line

static int check(struct cli *cli, const struct quorum_options *o, const char *verb)
{
    if (!o->tool.common.bootstrap && !o->controller)
        return tool_wrong(cli, &tool_metadata_quorum,
                          "kafka-metadata-quorum: error: one of the arguments --bootstrap-server "
                          "--bootstrap-controller is required");
    if (strcmp(verb, "add-controller") == 0 || strcmp(verb, "remove-controller") == 0)
        return CLI_OK;
    if (strcmp(verb, "describe") != 0)
        return tool_wrong(cli, &tool_metadata_quorum,
                          "kafka-metadata-quorum: error: invalid choice: '%s' (choose from 'describe', "
                          "'add-controller', 'remove-controller')",
                          verb);
    if (o->status && o->replication)
        return tool_fail(cli, "Only one of --status or --replication should be specified with describe sub-command");
    if (o->human && !o->replication)
        return tool_fail(cli, "The option --human-readable is only supported along with --replication");
    if (!o->status && !o->replication)
        return tool_fail(cli, "One of --status or --replication must be specified with describe sub-command");
    return CLI_OK;
}

static int run(struct cli *cli, const struct cli_parsed *parsed)
{
    struct quorum_options o = *(const struct quorum_options *)parsed->options;
    struct describe_quorum_response all;
    const struct describe_quorum_response_replica_state *leader = NULL;
    int code = check(cli, &o, parsed->arguments[0]);
    if (code != CLI_OK)
        return code;
    if (!o.tool.common.bootstrap)
        o.tool.common.bootstrap = o.controller;
    if (strcmp(parsed->arguments[0], "describe") != 0)
        return tool_quorum_change(cli, &o, *parsed->arguments[0] == 'a');
    if (!tool_connect(cli, &tool_metadata_quorum, &o.tool))
        return CLI_FAILED;
    const struct describe_quorum_response_partition *p = admin_ask_quorum(cli, &all);
    for (uint32_t i = 0; p && i < p->current_voters_count; i++)
        if (p->current_voters[i].replica_id == p->leader_id)
            leader = &p->current_voters[i];
    if (!p)
        return CLI_FAILED;
    if (!leader)
        return tool_fail(cli, "No leader is among the voters");
    code = o.status ? show_status(cli, &all, p, leader) : show_replication(cli, p, leader, o.human);
    return code == CLI_OK ? cli_done(cli) : code;
}

const struct cli_command tool_metadata_quorum = {.name = "kafka-metadata-quorum",
                                                 .arguments = "describe|add-controller|remove-controller",
                                                 .summary = "This tool describes kraft metadata quorum status, and "
                                                            "changes who votes.",
                                                 .options = options,
                                                 .shared = tool_connection_options,
                                                 .options_bytes = sizeof(struct quorum_options),
                                                 .arguments_min = 1,
                                                 .arguments_max = 1,
                                                 .run = run};
