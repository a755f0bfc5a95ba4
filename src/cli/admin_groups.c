// SPDX-License-Identifier: Apache-2.0
//
// weir admin groups: the table of its commands.
#include "cli/admin_groups.h"

#include "cli/commands.h"

#define PLACE(member) offsetof(struct groups_options, member)

static const struct cli_option list_options[] = {
    {.name = "state",
     .letter = 's',
     .kind = CLI_LIST,
     .offset = PLACE(states),
     .value_name = "STATE",
     .help = "only groups in this state: Stable, Empty, PreparingRebalance, CompletingRebalance, Dead, Assigning, "
             "Reconciling; may be given many times"},
    {.name = "type",
     .letter = 't',
     .kind = CLI_LIST,
     .offset = PLACE(types),
     .value_name = "TYPE",
     .help = "only groups of this protocol: classic or consumer; may be given many times"},
    {0},
};

static const struct cli_option describe_options[] = {
    {.name = "no-time",
     .kind = CLI_FLAG,
     .offset = PLACE(no_time),
     .help = "leave out how far behind in time a partition is: that reads one record of each"},
    {0},
};

static const struct cli_option reset_options[] = {
    {.name = "topic",
     .kind = CLI_LIST,
     .offset = PLACE(topics),
     .value_name = "TOPIC[:P,P]",
     .help = "of this topic, or only these partitions of it; may be given many times"},
    {.name = "all-topics",
     .kind = CLI_FLAG,
     .offset = PLACE(all_topics),
     .help = "of everything the group has offsets of"},
    {.name = "to-earliest", .kind = CLI_FLAG, .offset = PLACE(to_earliest), .help = "to the first record there is"},
    {.name = "to-latest", .kind = CLI_FLAG, .offset = PLACE(to_latest), .help = "to the end"},
    {.name = "to-current",
     .kind = CLI_FLAG,
     .offset = PLACE(to_current),
     .help = "where it is: with --export a copy, with --execute the offsets live on as if committed now"},
    {.name = "to-offset",
     .kind = CLI_NUMBER,
     .offset = PLACE(to_offset),
     .value_name = "N",
     .initial = INT64_MIN,
     .least = 0,
     .bounded = true,
     .help = "to this offset"},
    {.name = "to-datetime",
     .kind = CLI_TEXT,
     .offset = PLACE(to_datetime),
     .value_name = "TIME",
     .help = "to the first record at or after this time: 2026-11-21T10:00:00.000, in UTC or with +hh:mm"},
    {.name = "by-duration",
     .kind = CLI_TEXT,
     .offset = PLACE(by_duration),
     .value_name = "TIME",
     .help = "to the first record of the last 90m, 7d or PT1H30M"},
    {.name = "shift-by",
     .kind = CLI_NUMBER,
     .offset = PLACE(shift_by),
     .value_name = "N",
     .initial = INT64_MIN,
     .help = "by so many records, back when negative: --shift-by=-10"},
    {.name = "from-file",
     .kind = CLI_TEXT,
     .offset = PLACE(from_file),
     .value_name = "FILE",
     .help = "to what lines TOPIC,PARTITION,OFFSET say, as --export writes them"},
    {.name = "execute", .kind = CLI_FLAG, .offset = PLACE(execute), .help = "do it; without, it is only shown"},
    {.name = "export", .kind = CLI_FLAG, .offset = PLACE(export_csv), .help = "print the new offsets for --from-file"},
    {0},
};

static const struct cli_option delete_offsets_options[] = {
    {.name = "topic",
     .kind = CLI_LIST,
     .offset = PLACE(topics),
     .value_name = "TOPIC[:P,P]",
     .help = "of this topic, or only these partitions of it; may be given many times"},
    {0},
};

static const struct cli_option remove_members_options[] = {
    {.name = "instance",
     .letter = 'i',
     .kind = CLI_LIST,
     .offset = PLACE(instances),
     .value_name = "ID",
     .help = "the static member with this group.instance.id; may be given many times"},
    {.name = "member",
     .letter = 'm',
     .kind = CLI_LIST,
     .offset = PLACE(members),
     .value_name = "ID",
     .help = "the member with this id, as describe shows it; may be given many times"},
    {.name = "all", .kind = CLI_FLAG, .offset = PLACE(all), .help = "every member"},
    {.name = "reason", .kind = CLI_TEXT, .offset = PLACE(reason), .value_name = "TEXT", .help = "for the broker's log"},
    {0},
};

const struct cli_command admin_groups_commands[] = {
    {.name = "list",
     .summary = "List the consumer groups of the cluster.",
     .options = list_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct groups_options),
     .run = admin_groups_list,
     .examples = "weir admin groups list\nweir admin groups list --state Empty --type classic --json"},
    {.name = "describe",
     .arguments = "GROUP...",
     .summary = "Show a group: state, members, offsets, how far behind they are, what happened last.",
     .details = "LAG is in records, BEHIND the age of the next record the group has to read. A dash means that nobody "
                "can tell: nothing is committed, the topic is gone. Weir also tells of the last rebalances and what "
                "caused them.",
     .options = describe_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct groups_options),
     .arguments_min = 1,
     .arguments_max = 255,
     .run = admin_groups_describe,
     .examples = "weir admin groups describe billing\nweir admin groups describe billing shipping --json"},
    {.name = "reset",
     .arguments = "GROUP",
     .summary = "Move a group's offsets.",
     .details = "Shows what it would do; --execute does it. Offsets outside the log are set to its first or last. The "
                "group must have no members, because they would go on with the positions they have.",
     .options = reset_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct groups_options),
     .arguments_min = 1,
     .arguments_max = 1,
     .run = admin_groups_reset,
     .examples = "weir admin groups reset billing --topic orders --to-earliest\n"
                 "weir admin groups reset billing --topic orders:0,1 --shift-by=-100 --execute\n"
                 "weir admin groups reset billing --all-topics --by-duration 1h --execute\n"
                 "weir admin groups reset billing --all-topics --to-current --export > offsets.csv"},
    {.name = "delete",
     .arguments = "GROUP...",
     .summary = "Delete groups and their offsets.",
     .details = "Only groups without members can be deleted.",
     .shared = cli_common_options,
     .options_bytes = sizeof(struct groups_options),
     .arguments_min = 1,
     .arguments_max = 255,
     .run = admin_groups_delete,
     .examples = "weir admin groups delete billing"},
    {.name = "delete-offsets",
     .arguments = "GROUP",
     .summary = "Forget a group's offsets of topics it does not read any more.",
     .options = delete_offsets_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct groups_options),
     .arguments_min = 1,
     .arguments_max = 1,
     .run = admin_groups_delete_offsets,
     .examples = "weir admin groups delete-offsets billing --topic orders\n"
                 "weir admin groups delete-offsets billing --topic orders:0,1"},
    {.name = "remove-members",
     .arguments = "GROUP",
     .summary = "Take members out of a group, so that others have their partitions at once.",
     .details = "A static member that has died keeps its partitions until its session ends; this frees them. A member "
                "that still runs learns that it is out and joins again.",
     .options = remove_members_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct groups_options),
     .arguments_min = 1,
     .arguments_max = 1,
     .run = admin_groups_remove_members,
     .examples = "weir admin groups remove-members billing --instance worker-3\n"
                 "weir admin groups remove-members billing --all --reason 'moving to another host'"},
    {0},
};
