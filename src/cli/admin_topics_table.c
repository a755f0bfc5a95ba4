// SPDX-License-Identifier: Apache-2.0
//
// The table of weir admin topics.
#include "cli/admin_topics.h"
#include "cli/commands.h"

#define LIST(member) offsetof(struct topics_list_options, member)
#define CHANGE(member) offsetof(struct topics_change_options, member)

static const struct cli_option list_options[] = {
    {.name = "internal", .kind = CLI_FLAG, .offset = LIST(internal), .help = "show the brokers' own topics too"},
    {.name = "names", .kind = CLI_FLAG, .offset = LIST(names), .help = "one name a line and nothing else"},
    {0},
};

static const struct cli_option describe_options[] = {
    {.name = "internal", .kind = CLI_FLAG, .offset = LIST(internal), .help = "show the brokers' own topics too"},
    {0},
};

#define DRY_RUN                                                                                                        \
    {                                                                                                                  \
        .name = "dry-run", .kind = CLI_FLAG, .offset = CHANGE(dry_run), .help = "only ask whether it could be done"    \
    }

static const struct cli_option create_options[] = {
    {.name = "partitions",
     .letter = 'p',
     .kind = CLI_NUMBER,
     .offset = CHANGE(partitions),
     .value_name = "N",
     .initial = -1,
     .least = 1,
     .bounded = true,
     .help = "default: the cluster's num.partitions"},
    {.name = "replication-factor",
     .letter = 'r',
     .kind = CLI_NUMBER,
     .offset = CHANGE(replication_factor),
     .value_name = "N",
     .initial = -1,
     .least = 1,
     .bounded = true,
     .help = "copies of each partition; default: the cluster's default.replication.factor"},
    {.name = "config",
     .letter = 'c',
     .kind = CLI_LIST,
     .offset = CHANGE(configs),
     .value_name = "KEY=VALUE",
     .help = "a setting of the topic; may be given many times"},
    {.name = "if-not-exists",
     .kind = CLI_FLAG,
     .offset = CHANGE(if_not_exists),
     .help = "a topic that is there already is no error"},
    DRY_RUN,
    {0},
};

static const struct cli_option delete_options[] = {
    {.name = "if-exists",
     .kind = CLI_FLAG,
     .offset = CHANGE(if_exists),
     .help = "a topic that is not there is no error"},
    {0},
};

static const struct cli_option alter_options[] = {
    {.name = "partitions",
     .letter = 'p',
     .kind = CLI_NUMBER,
     .offset = CHANGE(partitions),
     .value_name = "N",
     .least = 1,
     .bounded = true,
     .help = "how many the topic shall have in all"},
    DRY_RUN,
    {0},
};

static const struct cli_option delete_records_options[] = {
    {.name = "before",
     .kind = CLI_TEXT,
     .offset = CHANGE(before),
     .value_name = "OFFSET|end",
     .help = "the first offset that stays; 'end' deletes everything"},
    {.name = "partition",
     .kind = CLI_NUMBER,
     .offset = CHANGE(partition),
     .value_name = "N",
     .initial = -1,
     .help = "only this partition; default: all"},
    {0},
};

const struct cli_command admin_topics_commands[] = {
    {.name = "list",
     .summary = "List topics.",
     .options = list_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct topics_list_options),
     .run = admin_topics_list,
     .examples = "weir admin topics list\nweir admin topics list --names | grep ^orders"},
    {.name = "describe",
     .arguments = "[TOPIC...]",
     .summary = "Show partitions, leaders, replicas and offsets.",
     .details =
         "Without a name every topic is shown. START and END are the first offset and the next one to be written.",
     .options = describe_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct topics_list_options),
     .arguments_max = 255,
     .run = admin_topics_describe,
     .examples = "weir admin topics describe orders\nweir admin topics describe --json"},
    {.name = "create",
     .arguments = "TOPIC...",
     .summary = "Create topics.",
     .options = create_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct topics_change_options),
     .arguments_min = 1,
     .arguments_max = 255,
     .run = admin_topics_create,
     .examples = "weir admin topics create orders --partitions 12 --replication-factor 3\n"
                 "weir admin topics create audit --config retention.ms=604800000 --config compression.type=zstd"},
    {.name = "delete",
     .arguments = "TOPIC...",
     .summary = "Delete topics and their data.",
     .options = delete_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct topics_change_options),
     .arguments_min = 1,
     .arguments_max = 255,
     .run = admin_topics_delete,
     .examples = "weir admin topics delete orders"},
    {.name = "alter",
     .arguments = "TOPIC",
     .summary = "Give a topic more partitions.",
     .details = "Partitions can be added, never taken away. Records stay where they are, so keys may move to other "
                "partitions from then on. Settings are changed with 'weir admin configs set topic'.",
     .options = alter_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct topics_change_options),
     .arguments_min = 1,
     .arguments_max = 1,
     .run = admin_topics_alter,
     .examples = "weir admin topics alter orders --partitions 24"},
    {.name = "delete-records",
     .arguments = "TOPIC",
     .summary = "Delete the oldest records of partitions.",
     .options = delete_records_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct topics_change_options),
     .arguments_min = 1,
     .arguments_max = 1,
     .run = admin_topics_delete_records,
     .examples = "weir admin topics delete-records orders --partition 3 --before 120000\n"
                 "weir admin topics delete-records orders --before end"},
    {0},
};
