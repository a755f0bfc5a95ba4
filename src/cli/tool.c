// SPDX-License-Identifier: Apache-2.0
//
// The table of tools, and weir tools, which lists them and makes their names.
#include "cli/tool.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "cli/commands.h"
#include "cli/properties.h"
#include "model/kerr.h"

static const struct cli_command *const tools[] = {
    &tool_broker_api_versions, &tool_cluster,         &tool_configs,
    &tool_console_consumer,    &tool_console_producer, &tool_consumer_groups,
    &tool_consumer_perf,       &tool_delete_records,   &tool_dump_log,
    &tool_features,            &tool_get_offsets,      &tool_groups,
    &tool_leader_election,     &tool_log_dirs,         &tool_metadata_quorum,
    &tool_producer_perf,       &tool_reassign_partitions,
    &tool_server_start,        &tool_server_stop,      &tool_storage,
    &tool_topics,
    &tool_verifiable_consumer, &tool_verifiable_producer,
};

const struct cli_command *tool_find(const char *argv0)
{
    const char *slash = strrchr(argv0, '/'), *name = slash ? slash + 1 : argv0;
    size_t n = strlen(name);
    if (n > 3 && strcmp(name + n - 3, ".sh") == 0)
        n -= 3;
    for (size_t i = 0; i < ARRAY_COUNT(tools); i++)
        if (strlen(tools[i]->name) == n && memcmp(tools[i]->name, name, n) == 0)
            return tools[i];
    return NULL;
}

static const char *join(struct arena *a, int argc, char **argv)
{
    const char *line = "";
    for (int i = 1; i < argc && line; i++)
        line = arena_printf(a, "%s%s%s", line, i > 1 ? " " : "", argv[i]);
    return line ? line : "";
}

int tool_main(struct cli *cli, const struct cli_command *tool, int argc, char **argv)
{
    struct cli_parsed parsed;
    struct buf message;
    buf_init(&message, 1 << 20);
    cli->path = tool->name;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--version") != 0)
            continue;
        printf("weir %s\n", cli_version());
        return CLI_OK;
    }
    int code = TOOL_WRONG;
    cli->line = join(&cli->arena, argc, argv);
    tool_spell(tool, argc, argv, &cli->arena);
    if (argc == 1 && (tool->options || tool->shared)) { // Kafka's tools then say what they are for
        cli_help(tool, tool->name, &message);
        fwrite(message.p, 1, message.n, stderr);
    } else if (cli_parse(tool, argc, argv, &cli->arena, &parsed, &message) == CLI_RUN) {
        code = tool->run(cli, &parsed);
    } else {
        fwrite(message.p, 1, message.n, stderr);
    }
    buf_deinit(&message);
    return code;
}

int tool_wrong(struct cli *cli, const struct cli_command *tool, const char *format, ...)
{
    struct buf help;
    va_list args;
    buf_init(&help, 1 << 20);
    cli_flush(cli);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    cli_help(tool, tool->name, &help);
    fwrite(help.p, 1, help.n, stderr);
    buf_deinit(&help);
    return TOOL_WRONG;
}

int tool_fail(struct cli *cli, const char *format, ...)
{
    va_list args;
    cli_flush(cli);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return CLI_FAILED;
}

bool tool_connect(struct cli *cli, const struct cli_command *tool, const struct tool_common *common)
{
    if (!common->common.bootstrap) {
        tool_wrong(cli, tool, "Missing required argument \"[bootstrap-server]\"");
        return false;
    }
    if (common->command_config && properties_check(cli, common->command_config) != CLI_OK)
        return false;
    struct cli_common connection = common->common;
    if (connection.timeout_ms <= 0)
        connection.timeout_ms = TOOL_TIMEOUT_MS;
    return cli_connect(cli, &connection);
}

static const struct {
    int16_t code;
    const char *name, *words;
} errors[] = {
    {-1, "UnknownServerException", "The server experienced an unexpected error when processing the request."},
    {1, "OffsetOutOfRangeException",
     "The requested offset is not within the range of offsets maintained by the server."},
    {3, "UnknownTopicOrPartitionException", "This server does not host this topic-partition."},
    {5, "LeaderNotAvailableException",
     "There is no leader for this topic-partition as we are in the middle of a leadership election."},
    {6, "NotLeaderOrFollowerException",
     "For requests intended only for the leader, this error indicates that the broker is not the current leader. "
     "For requests intended for any replica, this error indicates that the broker is not a replica of the topic "
     "partition."},
    {15, "CoordinatorNotAvailableException", "The coordinator is not available."},
    {16, "NotCoordinatorException", "This is not the correct coordinator."},
    {24, "InvalidGroupIdException", "The configured groupId is invalid."},
    {25, "UnknownMemberIdException", "The coordinator is not aware of this member."},
    {29, "TopicAuthorizationException", "Topic authorization failed."},
    {30, "GroupAuthorizationException", "Group authorization failed."},
    {31, "ClusterAuthorizationException", "Cluster authorization failed."},
    {44, "PolicyViolationException", "Request parameters do not satisfy the configured policy."},
    {56, "KafkaStorageException", "Disk error when trying to access log file on the disk."},
    {68, "GroupNotEmptyException", "The group is not empty."},
    {69, "GroupIdNotFoundException", "The group id does not exist."},
    {80, "PreferredLeaderNotAvailableException", "The preferred leader was not available."},
    {83, "EligibleLeadersNotAvailableException", "Eligible topic partition leaders are not available."},
    {84, "ElectionNotNeededException", "Leader election not needed for topic partition."},
    {86, "GroupSubscribedToTopicException",
     "Deleting offsets of a topic is forbidden while the consumer group is actively subscribed to it."},
};

const char *tool_words(struct cli *cli, int16_t code, struct bytes message)
{
    const char *text = message.n ? arena_copy(&cli->arena, message.p, message.n) : NULL;
    for (size_t i = 0; !text && i < ARRAY_COUNT(errors); i++)
        if (errors[i].code == code)
            text = errors[i].words;
    return text ? text : kerr_name(code);
}

const char *tool_error_with(struct cli *cli, int16_t code, struct bytes message)
{
    for (size_t i = 0; i < ARRAY_COUNT(errors); i++) {
        if (errors[i].code != code)
            continue;
        const char *text = arena_printf(&cli->arena, "org.apache.kafka.common.errors.%s: %s", errors[i].name,
                                        tool_words(cli, code, message));
        return text ? text : errors[i].words;
    }
    return tool_words(cli, code, message);
}

const char *tool_error(struct cli *cli, int16_t code)
{
    return tool_error_with(cli, code, bytes_of(NULL, 0));
}

const char *tool_type(struct cli *cli, struct bytes type)
{
    char *text = type.n ? arena_copy(&cli->arena, type.p, type.n) : NULL;
    if (!text)
        return "Unknown";
    text[0] = (char)toupper((unsigned char)text[0]);
    return text;
}

void tool_cell(struct cli *cli, size_t width, const char *text)
{
    buf_printf(&cli->out, "%-*s ", (int)width, text);
}

// ------------------------------------------------------------------------------------------------ weir tools

static int run_list(struct cli *cli, const struct cli_parsed *parsed)
{
    (void)parsed;
    for (size_t i = 0; i < ARRAY_COUNT(tools); i++)
        buf_printf(&cli->out, "%s\n", tools[i]->name);
    return cli_done(cli);
}

static int run_install(struct cli *cli, const struct cli_parsed *parsed)
{
    char self[4096], path[4096];
    if (!cli_io(cli))
        return CLI_FAILED;
    enum rc rc = io_program_path(cli->io, self, sizeof(self));
    for (size_t i = 0; i < ARRAY_COUNT(tools) && rc == RC_OK; i++) {
        for (int suffix = 0; suffix < 2; suffix++) {
            int n = snprintf(path, sizeof(path), "%s/%s%s", parsed->arguments[0], tools[i]->name, suffix ? ".sh" : "");
            if (n < 0 || (size_t)n >= sizeof(path))
                return cli_fail(cli, "the folder's name is too long");
            rc = io_symlink(cli->io, self, path);
            if (rc != RC_OK && rc != RC_EXISTS)
                return cli_fail(cli, "%s: %s", path, rc_text(rc));
            buf_printf(&cli->out, "%s%s\n", path, rc == RC_EXISTS ? " is there already" : "");
            rc = RC_OK;
        }
    }
    return rc == RC_OK ? cli_done(cli) : cli_fail(cli, "the path of this program is not known: %s", rc_text(rc));
}

const struct cli_command cli_tools_commands[] = {
    {.name = "list", .summary = "List the tools of Kafka's that this program stands in for.", .run = run_list},
    {.name = "install",
     .arguments = "DIR",
     .summary = "Make links of those names to this program, with and without .sh, in a folder.",
     .details = "What is there already stays as it is.",
     .arguments_min = 1,
     .arguments_max = 1,
     .run = run_install,
     .examples = "weir tools install ~/bin"},
    {0},
};
