// SPDX-License-Identifier: Apache-2.0
//
// kafka-groups: the list of groups of every kind.
#include <string.h>
#include <strings.h>

#include "cli/groups.h"
#include "cli/tool.h"

struct tool_groups_options {
    struct tool_common tool;
    const char *type, *protocol;
    bool list, consumer, share, streams;
};

enum { GROUPS_COLUMN = 20 };

#define PLACE(member) offsetof(struct tool_groups_options, member)

static const struct cli_option options[] = {
    TOOL_TEXT(struct tool_groups_options, "bootstrap-server", tool.common.bootstrap, "HOST:PORT[,...]",
              "REQUIRED: the server to connect to"),
    TOOL_TEXT(struct tool_groups_options, "command-config", tool.command_config, "FILE",
              "properties for the connection"),
    {.name = "list", .kind = CLI_FLAG, .offset = PLACE(list), .help = "list the groups"},
    {.name = "group-type",
     .kind = CLI_TEXT,
     .offset = PLACE(type),
     .value_name = "TYPE",
     .help = "only groups of this type: classic, consumer, share or streams"},
    {.name = "protocol",
     .kind = CLI_TEXT,
     .offset = PLACE(protocol),
     .value_name = "PROTOCOL",
     .help = "only groups of this protocol type"},
    {.name = "consumer", .kind = CLI_FLAG, .offset = PLACE(consumer), .help = "only consumer groups of either type"},
    {.name = "share", .kind = CLI_FLAG, .offset = PLACE(share), .help = "only share groups"},
    {.name = "streams", .kind = CLI_FLAG, .offset = PLACE(streams), .help = "only streams groups"},
    TOOL_WAIT(struct tool_groups_options, tool.common.timeout_ms),
    {0},
};

static bool is_shown(const struct tool_groups_options *o, const struct groups_listed *g)
{
    bool classic = strncasecmp((const char *)g->type.p, "classic", g->type.n) == 0 && g->type.n == 7;
    bool consumer = strncasecmp((const char *)g->type.p, "consumer", g->type.n) == 0 && g->type.n == 8;
    if (o->consumer && !consumer &&
        !(classic && (g->protocol_type.n == 0 || bytes_eq(g->protocol_type, bytes_str("consumer")))))
        return false;
    if (o->share || o->streams)
        return false;
    if (o->type && (strlen(o->type) != g->type.n || strncasecmp(o->type, (const char *)g->type.p, g->type.n) != 0))
        return false;
    return !o->protocol || bytes_eq(bytes_str(o->protocol), g->protocol_type);
}

static int run(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct tool_groups_options *o = parsed->options;
    struct groups_listed *list;
    struct cli_list none = {0};
    uint32_t count;
    size_t width = GROUPS_COLUMN;
    if (!o->list)
        return tool_wrong(cli, &tool_groups, "Command must include exactly one action: --list.");
    if (!tool_connect(cli, &tool_groups, &o->tool) || !groups_gather_list(cli, &none, &none, &list, &count))
        return CLI_FAILED;
    for (uint32_t i = 0; i < count; i++)
        if (is_shown(o, &list[i]) && list[i].id.n > width)
            width = list[i].id.n;
    tool_cell(cli, width, "GROUP");
    buf_printf(&cli->out, "%-*s %-*s\n", (int)width, "TYPE", (int)width, "PROTOCOL");
    for (uint32_t i = 0; i < count; i++) {
        if (!is_shown(o, &list[i]))
            continue;
        tool_cell(cli, width, groups_text(cli, list[i].id));
        tool_cell(cli, width, tool_type(cli, list[i].type));
        tool_cell(cli, width, groups_text(cli, list[i].protocol_type)); // one width for all, as there
        buf_printf(&cli->out, "\n");
    }
    return cli_done(cli);
}

const struct cli_command tool_groups = {.name = "kafka-groups",
                                        .summary = "This tool helps to list groups of all types.",
                                        .options = options,
                                        .options_bytes = sizeof(struct tool_groups_options),
                                        .run = run};
