// SPDX-License-Identifier: Apache-2.0
//
// kafka-consumer-groups: options, and which of them go together.
#include "cli/tool_consumer_groups.h"

#include <stdio.h>
#include <string.h>

#define PLACE(member) offsetof(struct tool_consumer_groups_options, member)
#define SWITCH(option, member, text)                                                                                   \
    {                                                                                                                  \
        .name = option, .kind = CLI_FLAG, .offset = PLACE(member), .help = text                                        \
    }

static const struct cli_option options[] = {
    TOOL_TEXT(struct tool_consumer_groups_options, "bootstrap-server", tool.common.bootstrap, "HOST:PORT[,...]",
              "REQUIRED: the server to connect to"),
    TOOL_TEXT(struct tool_consumer_groups_options, "command-config", tool.command_config, "FILE",
              "properties for the connection"),
    SWITCH("list", list, "list all consumer groups"),
    SWITCH("describe", describe, "describe a group and list its lag"),
    SWITCH("reset-offsets", reset, "move the offsets of a group that has no members"),
    SWITCH("delete", remove, "delete groups and their offsets"),
    SWITCH("delete-offsets", delete_offsets, "delete a group's offsets of topics"),
    {.name = "group",
     .kind = CLI_LIST,
     .offset = PLACE(groups),
     .value_name = "GROUP",
     .help = "the group to act on; may be given many times"},
    SWITCH("all-groups", all_groups, "act on all groups"),
    {.name = "topic",
     .kind = CLI_LIST,
     .offset = PLACE(topics),
     .value_name = "TOPIC[:P,P]",
     .help = "the topic, or partitions of it; may be given many times"},
    SWITCH("all-topics", all_topics, "everything the group has offsets of"),
    SWITCH("members", members, "describe: the members of the group"),
    SWITCH("offsets", offsets, "describe: the partitions of the group (the default)"),
    {.name = "state",
     .kind = CLI_OPTIONAL,
     .offset = PLACE(state),
     .value_name = "[STATE,...]",
     .help = "describe: the state of the group; list: show the state, and only groups in one of these"},
    {.name = "type",
     .kind = CLI_OPTIONAL,
     .offset = PLACE(type),
     .value_name = "[TYPE,...]",
     .help = "list: show the type, and only groups of one of these"},
    SWITCH("verbose", verbose, "describe: more columns"),
    SWITCH("dry-run", dry_run, "reset: only show"),
    SWITCH("execute", execute, "reset: do it"),
    SWITCH("export", export_csv, "reset: print as CSV"),
    SWITCH("to-earliest", to_earliest, "reset to the earliest offset"),
    SWITCH("to-latest", to_latest, "reset to the latest offset"),
    SWITCH("to-current", to_current, "reset to the current offset"),
    {.name = "to-offset",
     .kind = CLI_NUMBER,
     .offset = PLACE(to_offset),
     .value_name = "N",
     .initial = INT64_MIN,
     .help = "reset to this offset"},
    {.name = "to-datetime",
     .kind = CLI_TEXT,
     .offset = PLACE(to_datetime),
     .value_name = "YYYY-MM-DDThh:mm:ss.sss",
     .help = "reset to the first record from this time on"},
    {.name = "by-duration",
     .kind = CLI_TEXT,
     .offset = PLACE(by_duration),
     .value_name = "PnDTnHnMnS",
     .help = "reset to the first record of this last time"},
    {.name = "shift-by",
     .kind = CLI_NUMBER,
     .offset = PLACE(shift_by),
     .value_name = "N",
     .initial = INT64_MIN,
     .help = "reset by so many records, back when negative"},
    {.name = "from-file",
     .kind = CLI_TEXT,
     .offset = PLACE(from_file),
     .value_name = "FILE",
     .help = "reset to what this CSV file says"},
    TOOL_WAIT(struct tool_consumer_groups_options, tool.common.timeout_ms),
    {0},
};

bool tool_consumer_groups_chosen(struct cli *cli, const struct tool_consumer_groups_options *o, struct cli_list *out)
{
    struct groups_listed *list;
    struct cli_list none = {0};
    uint32_t count;
    *out = o->groups;
    if (!o->all_groups)
        return true;
    if (!groups_gather_list(cli, &none, &none, &list, &count))
        return false;
    out->items = cli_alloc(cli, (size_t)count + 1, sizeof(*out->items));
    out->count = 0;
    for (uint32_t i = 0; i < count; i++)
        if (list[i].protocol_type.n == 0 || bytes_eq(list[i].protocol_type, bytes_str("consumer")))
            out->items[out->count++] = groups_text(cli, list[i].id);
    return true;
}

static int check_reset(struct cli *cli, const struct tool_consumer_groups_options *o)
{
    int scenarios = o->to_earliest + o->to_latest + o->to_current + (o->to_offset != INT64_MIN) +
                    (o->to_datetime != NULL) + (o->by_duration != NULL) + (o->shift_by != INT64_MIN) +
                    (o->from_file != NULL);
    if (o->execute && o->dry_run)
        return tool_wrong(cli, &tool_consumer_groups,
                          "Option [reset-offsets] only accepts one of [execute], [dry-run]");
    if (!o->execute && !o->dry_run)
        fprintf(stderr, "WARN: No action will be performed as the --execute option is missing. In a future major "
                        "release, the default behavior of this command will be to prompt the user before executing the "
                        "reset rather than doing a dry run. You should add the --dry-run option explicitly if you are "
                        "scripting this command and want to keep the current default behavior without prompting.\n");
    if (o->groups.count == 0 && !o->all_groups)
        return tool_wrong(cli, &tool_consumer_groups,
                          "Option [reset-offsets] takes one of these options: [all-groups], [group]");
    if (scenarios == 1 && !o->from_file && o->topics.count == 0 && !o->all_topics)
        return tool_wrong(cli, &tool_consumer_groups,
                          "One of the reset scopes should be defined: --all-topics, --topic.");
    if (scenarios != 1)
        return tool_wrong(
            cli, &tool_consumer_groups,
            "Option '[reset-offsets]' requires one of the following scenarios: [[to-offset], [to-current], "
            "[to-datetime], [from-file], [by-duration], [to-earliest], [to-latest], [shift-by]]");
    return CLI_OK;
}

static int check(struct cli *cli, const struct tool_consumer_groups_options *o)
{
    bool chosen = o->groups.count > 0 || o->all_groups;
    if (o->describe && !chosen)
        return tool_wrong(cli, &tool_consumer_groups,
                          "Option [describe] takes one of these options: [all-groups], [group]");
    if (o->describe && o->members + o->offsets + (o->state != NULL) > 1)
        return tool_wrong(cli, &tool_consumer_groups,
                          "Option [describe] takes at most one of these options: [members], [offsets], [state]");
    if (o->remove && !chosen)
        return tool_wrong(cli, &tool_consumer_groups,
                          "Option [delete] takes one of these options: [all-groups], [group]");
    if (o->remove && o->topics.count)
        return tool_wrong(cli, &tool_consumer_groups,
                          "The consumer does not support topic-specific offset deletion from a consumer group.");
    if (o->delete_offsets && (o->groups.count != 1 || o->topics.count == 0))
        return tool_wrong(cli, &tool_consumer_groups,
                          "Option [delete-offsets] takes the following options: [group], [topic]");
    int code = o->reset ? check_reset(cli, o) : CLI_OK;
    if (code != CLI_OK)
        return code;
    if (o->list + o->describe + o->reset + o->remove + o->delete_offsets != 1)
        return tool_wrong(cli, &tool_consumer_groups,
                          "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, "
                          "--delete-offsets, --validate-regex");
    return CLI_OK;
}

static int run(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct tool_consumer_groups_options *o = parsed->options;
    int code = check(cli, o);
    if (code != CLI_OK)
        return code;
    if (!tool_connect(cli, &tool_consumer_groups, &o->tool))
        return CLI_FAILED;
    code = o->list       ? tool_consumer_groups_list(cli, o)
           : o->describe ? tool_consumer_groups_describe(cli, o)
           : o->reset    ? tool_consumer_groups_reset(cli, o)
           : o->remove   ? tool_consumer_groups_delete(cli, o)
                         : tool_consumer_groups_delete_offsets(cli, o);
    return code == CLI_OK ? cli_done(cli) : code;
}

const struct cli_command tool_consumer_groups = {
    .name = "kafka-consumer-groups",
    .summary = "This tool helps to list all consumer groups, describe a consumer group, delete consumer group info, or "
               "reset consumer group offsets.",
    .options = options,
    .options_bytes = sizeof(struct tool_consumer_groups_options),
    .run = run};
