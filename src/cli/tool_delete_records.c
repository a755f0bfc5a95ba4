// SPDX-License-Identifier: Apache-2.0
//
// kafka-delete-records: moves the start of partitions to the offsets of a file.
#include "cli/admin_topics.h"
#include "cli/tool_partitions.h"
#include "model/kerr.h"

struct delete_records_options {
    struct tool_common tool;
    const char *file;
};

static const struct cli_option options[] = {
    TOOL_TEXT(struct delete_records_options, "offset-json-file", file, "FILE",
              "REQUIRED: {\"partitions\":[{\"topic\":\"a\",\"partition\":0,\"offset\":7}],\"version\":1}; -1 is all "
              "there is"),
    {0},
};

// False after a message; a code that concerns the partition alone is in *answer.
static bool delete_of(struct cli *cli, const struct tool_partition *p, struct delete_records_response_partition *answer)
{
    struct client_topic *t = client_topic(&cli->client, p->topic);
    enum rc rc = t ? client_topic_wait(&cli->client, t, false) : RC_UNKNOWN_TOPIC_OR_PARTITION;
    *answer = (struct delete_records_response_partition){.partition_index = p->partition};
    if (rc != RC_OK && rc != RC_UNKNOWN_TOPIC_OR_PARTITION) {
        cli_fail(cli, "%s", cli->client.error);
        return false;
    }
    if (rc == RC_OK && p->partition < t->partition_count)
        return topics_ask_delete_records(cli, t, p->partition, p->offset, answer);
    answer->error_code = kerr_of(RC_UNKNOWN_TOPIC_OR_PARTITION);
    return true;
}

static int run(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct delete_records_options *o = parsed->options;
    struct tool_partitions list;
    if (!o->tool.common.bootstrap || !o->file)
        return tool_wrong(cli, &tool_delete_records, "Missing required argument \"[%s]\"",
                          o->tool.common.bootstrap ? "offset-json-file" : "bootstrap-server");
    if (!tool_partitions_read(cli, o->file, true, &list))
        return CLI_FAILED;
    if (list.twice < list.count)
        return tool_fail(cli, "Offset json file contains duplicate topic partitions: %s-%d",
                         list.items[list.twice].topic, list.items[list.twice].partition);
    if (!tool_connect(cli, &tool_delete_records, &o->tool))
        return CLI_FAILED;
    buf_printf(&cli->out, "Executing records delete operation\nRecords delete operation completed:\n");
    for (uint32_t i = 0; i < list.count; i++) {
        const struct tool_partition *p = &list.items[i];
        struct delete_records_response_partition answer;
        if (!delete_of(cli, p, &answer))
            return CLI_FAILED;
        buf_printf(&cli->out, "partition: %s-%d\t", p->topic, p->partition);
        if (answer.error_code)
            buf_printf(&cli->out, "error: %s\n", tool_error(cli, answer.error_code));
        else
            buf_printf(&cli->out, "low_watermark: %lld\n", (long long)answer.low_watermark);
    }
    return cli_done(cli);
}

const struct cli_command tool_delete_records = {
    .name = "kafka-delete-records",
    .summary = "This tool helps to delete records of the given partitions down to the specified offset.",
    .options = options,
    .shared = tool_connection_options,
    .options_bytes = sizeof(struct delete_records_options),
    .run = run};
