// SPDX-License-Identifier: Apache-2.0
//
// kafka-reassign-partitions: plans, starts, checks and cancels moves of replicas.
#include <stdio.h>
#include <string.h>

#include "cli/admin_topics.h"
#include "cli/commands.h"
#include "cli/properties.h"
#include "cli/reassign.h"
#include "cli/tool.h"
#include "cli/tool_reassign_dirs.h"
#include "meta/config.h"

struct reassign_options {
    struct tool_common tool;
    bool verify, generate, execute, cancel, list, additional, preserve_throttles, disable_rack_aware, keep_factor;
    const char *file, *topics_file, *brokers;
    int64_t throttle, dir_throttle, timeout_ms;
};

#define OPTION(kind, ...) TOOL_##kind(struct reassign_options, __VA_ARGS__)

static const struct cli_option options[] = {
    OPTION(FLAG, "verify", verify, "are the moves of --reassignment-json-file over? Takes throttles away if so"),
    OPTION(FLAG, "generate", generate, "propose where the topics of --topics-to-move-json-file go on --broker-list"),
    OPTION(FLAG, "execute", execute, "start the moves of --reassignment-json-file"),
    OPTION(FLAG, "cancel", cancel, "cancel the moves of --reassignment-json-file"),
    OPTION(FLAG, "list", list, "show every move under way"),
    OPTION(TEXT, "reassignment-json-file", file, "FILE",
           "{\"partitions\":[{\"topic\":\"a\",\"partition\":0,\"replicas\":[1,2]}],\"version\":1}"),
    OPTION(TEXT, "topics-to-move-json-file", topics_file, "FILE", "{\"topics\":[{\"topic\":\"a\"}],\"version\":1}"),
    OPTION(TEXT, "broker-list", brokers, "0,1,2", "the brokers to use, with --generate"),
    OPTION(FLAG, "additional", additional, "with --execute: although others are under way; or to change the throttle"),
    OPTION(NUMBER, "throttle", throttle, "BYTES/S", -1, "with --execute: most bytes a second between brokers"),
    OPTION(NUMBER, "replica-alter-log-dirs-throttle", dir_throttle, "BYTES/S", -1,
           "with --execute: most bytes a second between the log folders of a broker"),
    OPTION(NUMBER, "timeout", timeout_ms, "MS", 10000,
           "with --execute: how long to wait for moves between log folders to begin"),
    OPTION(FLAG, "preserve-throttles", preserve_throttles, "with --verify or --cancel: leave throttles as they are"),
    OPTION(FLAG, "disable-rack-aware", disable_rack_aware, "with --generate: without regard to racks"),
    OPTION(FLAG, "disallow-replication-factor-change", keep_factor,
           "with --execute: refuse moves that change the number of replicas"),
    {0},
};

static int fail_reading(struct cli *cli, const char *why)
{
    buf_printf(&cli->out, "Error: %s\n", why);
    cli_flush(cli);
    return CLI_FAILED;
}

static const char *read_file(struct cli *cli, const char *path)
{
    enum rc rc;
    const char *text = properties_text(cli, path, &rc);
    if (!text)
        fail_reading(cli, arena_printf(&cli->arena, "Unable to read file %s", path));
    return text;
}

static const char *ids(struct cli *cli, const int32_t *list, uint32_t count)
{
    const char *text = "";
    for (uint32_t i = 0; i < count; i++)
        text = arena_printf(&cli->arena, "%s%s%d", text, i ? "," : "", list[i]);
    return text;
}

static const char *names(struct cli *cli, const struct reassign_plan *p, const bool *which)
{
    const char *text = "";
    for (uint32_t i = 0; i < p->count; i++)
        if (!which || which[i])
            text = arena_printf(&cli->arena, "%s%s%s-%d", text, *text ? "," : "", p->moves[i].topic, p->moves[i].partition);
    return text;
}

static bool clear_throttles(struct cli *cli, const struct reassign_plan *p, const struct metadata_response *all)
{
    uint32_t broker_count, topic_count;
    const int32_t *brokers = reassign_brokers(cli, p, all, &broker_count);
    const char **topics = reassign_topics(cli, p, &topic_count);
    buf_printf(&cli->out, "Clearing broker-level throttles on broker%s %s\n", broker_count == 1 ? "" : "s",
               ids(cli, brokers, broker_count));
    const char *text = "";
    for (uint32_t i = 0; i < topic_count; i++)
        text = arena_printf(&cli->arena, "%s%s%s", text, i ? "," : "", topics[i]);
    buf_printf(&cli->out, "Clearing topic-level throttles on topic%s %s\n", topic_count == 1 ? "" : "s", text);
    return reassign_unthrottle(cli, brokers, broker_count, topics, topic_count);
}

static int verify(struct cli *cli, const struct reassign_options *o, const struct reassign_plan *p)
{
    struct list_partition_reassignments_response list;
    struct metadata_response all;
    if (!reassign_ask_list(cli, &list) || !topics_ask(cli, NULL, 0, &all))
        return CLI_FAILED;
    buf_printf(&cli->out, "Status of partition reassignment:\n");
    for (uint32_t i = 0; i < p->count; i++) {
        const struct reassign_move *m = &p->moves[i];
        const struct metadata_response_partition *now = reassign_find(&all, m->topic, m->partition);
        if (reassign_under_way(&list, m->topic, m->partition))
            buf_printf(&cli->out, "Reassignment of partition %s-%d is still in progress.\n", m->topic, m->partition);
        else if (now && now->replica_nodes_count == m->count &&
                 memcmp(now->replica_nodes, m->replicas, m->count * sizeof(int32_t)) == 0)
            buf_printf(&cli->out, "Reassignment of partition %s-%d is completed.\n", m->topic, m->partition);
        else
            buf_printf(&cli->out,
                       "There is no active reassignment of partition %s-%d, but replica set is %s rather than %s.\n",
                       m->topic, m->partition, now ? ids(cli, now->replica_nodes, now->replica_nodes_count) : "",
                       ids(cli, m->replicas, m->count));
    }
    uint32_t count;
    bool moving;
    const struct log_move *dirs = tool_dirs_of(cli, p, &count);
    if (!tool_dirs_verify(cli, dirs, count, &moving))
        return CLI_FAILED;
    buf_printf(&cli->out, "\n");
    if (list.topics_count == 0 && !moving && !o->preserve_throttles && !clear_throttles(cli, p, &all))
        return CLI_FAILED;
    return cli_done(cli);
}

static int generate(struct cli *cli, const struct reassign_options *o)
{
    struct metadata_response all;
    struct reassign_plan current = {0}, proposed = {0};
    const char *text = read_file(cli, o->topics_file), *wrong = NULL, *rest = o->brokers;
    uint32_t topic_count, count = 0;
    struct bytes word;
    int32_t *brokers = cli_alloc(cli, strlen(o->brokers) + 1, sizeof(*brokers));
    const char **topics = text ? reassign_parse_topics(text, &cli->arena, &topic_count, &wrong) : NULL;
    if (!text || !topics)
        return wrong ? fail_reading(cli, wrong) : CLI_FAILED;
    while (config_list_next(&rest, &word)) {
        int64_t id;
        const char *number = arena_copy(&cli->arena, word.p, word.n);
        if (!number || !cli_number_parse(number, &id) || id < 0 || id > INT32_MAX)
            return fail_reading(cli, arena_printf(&cli->arena, "For input string: \"%s\"", number ? number : ""));
        for (uint32_t i = 0; i < count; i++)
            if (brokers[i] == id)
                return fail_reading(cli,
                                    arena_printf(&cli->arena, "Broker list contains duplicate entries: [%d]", brokers[i]));
        brokers[count++] = (int32_t)id;
    }
    if (!topics_ask(cli, NULL, 0, &all))
        return CLI_FAILED;
    wrong = reassign_place(cli, &all, topics, topic_count, brokers, count, !o->disable_rack_aware, &current, &proposed);
    if (wrong)
        return fail_reading(cli, wrong);
    buf_printf(&cli->out, "Current partition replica assignment\n");
    reassign_print(&current, &cli->out);
    buf_printf(&cli->out, "\n\nProposed partition reassignment configuration\n");
    reassign_print(&proposed, &cli->out);
    buf_printf(&cli->out, "\n");
    return cli_done(cli);
}

// One line a move that was refused. The number of them.
static uint32_t refusals(struct cli *cli, const struct reassign_plan *p,
                         const struct alter_partition_reassignments_response_partition *answers, const char *title)
{
    uint32_t failed = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        if (!answers[i].error_code)
            continue;
        if (failed++ == 0)
            buf_printf(&cli->out, "%s\n", title);
        buf_printf(&cli->out, "%s-%d: %s\n", p->moves[i].topic, p->moves[i].partition,
                   tool_words(cli, answers[i].error_code, answers[i].error_message));
    }
    return failed;
}

static int execute(struct cli *cli, const struct reassign_options *o, const struct reassign_plan *p)
{
    struct list_partition_reassignments_response list;
    struct metadata_response all;
    struct alter_partition_reassignments_response_partition *answers;
    if (!reassign_ask_list(cli, &list) || !topics_ask(cli, NULL, 0, &all))
        return CLI_FAILED;
    if (!o->additional && list.topics_count > 0) {
        buf_printf(&cli->out, "Cannot execute because there is an existing partition assignment.  Use --additional to "
                              "override this and create a new partition assignment in addition to the existing one. The "
                              "--additional flag can also be used to change the throttle by resubmitting the current "
                              "reassignment.\n");
        cli_flush(cli);
        return CLI_FAILED;
    }
    struct reassign_plan current = {.moves = cli_alloc(cli, (size_t)p->count + 1, sizeof(*current.moves))};
    for (uint32_t i = 0; i < p->count; i++) {
        const struct metadata_response_partition *now = reassign_find(&all, p->moves[i].topic, p->moves[i].partition);
        for (uint32_t k = 0; k < p->moves[i].count; k++) {
            uint32_t b = 0;
            while (b < all.brokers_count && all.brokers[b].node_id != p->moves[i].replicas[k])
                b++;
            if (b == all.brokers_count)
                return fail_reading(cli, arena_printf(&cli->arena, "Unknown broker id %d", p->moves[i].replicas[k]));
        }
        if (!now)
            return fail_reading(cli, arena_printf(&cli->arena, "Unable to find partition: %s-%d", p->moves[i].topic,
                                                  p->moves[i].partition));
        current.moves[current.count++] = (struct reassign_move){p->moves[i].topic, p->moves[i].partition,
                                                                now->replica_nodes, now->replica_nodes_count, NULL};
    }
    buf_printf(&cli->out, "Current partition replica assignment\n\n");
    reassign_print(&current, &cli->out);
    buf_printf(&cli->out, "\n\nSave this to use as the --reassignment-json-file option during rollback\n");
    if (o->throttle >= 0) {
        buf_printf(&cli->out, "Warning: You must run --verify periodically, until the reassignment completes, to ensure the "
                              "throttle is removed.\n");
        if (!reassign_throttle(cli, p, &all, &list, o->throttle))
            return CLI_FAILED;
        buf_printf(&cli->out, "The inter-broker throttle limit was set to %lld B/s\n", (long long)o->throttle);
    }
    if (o->dir_throttle >= 0) {
        if (!reassign_throttle_dirs(cli, p, &all, o->dir_throttle))
            return CLI_FAILED;
        buf_printf(&cli->out, "The replica-alter-dir throttle limit was set to %lld B/s\n", (long long)o->dir_throttle);
    }
    if (!reassign_ask_alter(cli, p, false, !o->keep_factor, &answers))
        return CLI_FAILED;
    if (refusals(cli, p, answers, "Error reassigning partition(s):") > 0) {
        cli_flush(cli);
        return CLI_FAILED;
    }
    buf_printf(&cli->out, "Successfully started partition reassignment%s for %s\n", p->count == 1 ? "" : "s",
               names(cli, p, NULL));
    uint32_t count;
    struct log_move *dirs = tool_dirs_of(cli, p, &count);
    if (!tool_dirs_start(cli, dirs, count, o->timeout_ms)) {
        cli_flush(cli);
        return CLI_FAILED;
    }
    return cli_done(cli);
}

static int cancel(struct cli *cli, const struct reassign_options *o, const struct reassign_plan *p)
{
    struct list_partition_reassignments_response list;
    struct metadata_response all;
    struct alter_partition_reassignments_response_partition *answers;
    struct reassign_plan active = {.moves = cli_alloc(cli, (size_t)p->count + 1, sizeof(*active.moves))};
    if (!reassign_ask_list(cli, &list) || !topics_ask(cli, NULL, 0, &all))
        return CLI_FAILED;
    for (uint32_t i = 0; i < p->count; i++)
        if (reassign_under_way(&list, p->moves[i].topic, p->moves[i].partition))
            active.moves[active.count++] = p->moves[i];
    if (active.count > 0) {
        if (!reassign_ask_alter(cli, &active, true, true, &answers))
            return CLI_FAILED;
        if (refusals(cli, &active, answers, "Error cancelling partition reassignment for:") > 0) {
            cli_flush(cli);
            return CLI_FAILED;
        }
        buf_printf(&cli->out, "Successfully cancelled partition reassignment%s for: %s\n", active.count == 1 ? "" : "s",
                   names(cli, &active, NULL));
    } else {
        buf_printf(&cli->out, "None of the specified partition reassignments are active.\n");
    }
    uint32_t count;
    struct log_move *dirs = tool_dirs_of(cli, p, &count);
    if (!tool_dirs_cancel(cli, dirs, count, o->timeout_ms))
        return CLI_FAILED;
    if (!o->preserve_throttles && !clear_throttles(cli, p, &all))
        return CLI_FAILED;
    return cli_done(cli);
}

static int show_list(struct cli *cli)
{
    struct list_partition_reassignments_response list;
    if (!reassign_ask_list(cli, &list))
        return CLI_FAILED;
    buf_printf(&cli->out, list.topics_count ? "Current partition reassignments:\n" : "No partition reassignments found.\n");
    for (uint32_t i = 0; i < list.topics_count; i++)
        for (uint32_t k = 0; k < list.topics[i].partitions_count; k++) {
            const struct list_partition_reassignments_response_partition *p = &list.topics[i].partitions[k];
            buf_printf(&cli->out, "%.*s-%d: replicas: %s.", (int)list.topics[i].name.n, (const char *)list.topics[i].name.p,
                       p->partition_index, ids(cli, p->replicas, p->replicas_count));
            if (p->adding_replicas_count)
                buf_printf(&cli->out, " adding: %s.", ids(cli, p->adding_replicas, p->adding_replicas_count));
            if (p->removing_replicas_count)
                buf_printf(&cli->out, " removing: %s.", ids(cli, p->removing_replicas, p->removing_replicas_count));
            buf_printf(&cli->out, "\n");
        }
    return cli_done(cli);
}

static int check(struct cli *cli, const struct reassign_options *o)
{
    const struct tool_use plan_only[] = {{"topics-to-move-json-file", o->topics_file}, {"broker-list", o->brokers},
                                         {"disable-rack-aware", o->disable_rack_aware}},
                          start_only[] = {{"additional", o->additional}, {"throttle", o->throttle >= 0},
                                          {"replica-alter-log-dirs-throttle", o->dir_throttle >= 0},
                                          {"disallow-replication-factor-change", o->keep_factor}};
    const char *action = o->verify ? "[verify]" : o->generate ? "[generate]" : o->execute ? "[execute]"
                         : o->cancel ? "[cancel]" : "[list]";
    if (o->verify + o->generate + o->execute + o->cancel + o->list != 1)
        return tool_wrong(cli, &tool_reassign_partitions,
                          "Command must include exactly one action: --generate, --execute, --verify, --cancel, --list");
    if (!o->tool.common.bootstrap)
        return tool_wrong(cli, &tool_reassign_partitions,
                          "Please specify either --bootstrap-server or --bootstrap-controller");
    if (o->generate && (!o->topics_file || !o->brokers))
        return tool_wrong(cli, &tool_reassign_partitions, "Missing required argument \"[%s]\"",
                          o->topics_file ? "broker-list" : "topics-to-move-json-file");
    if (!o->generate && !o->list && !o->file)
        return tool_wrong(cli, &tool_reassign_partitions, "Missing required argument \"[reassignment-json-file]\"");
    const char *misused = (o->generate || o->list) && o->file                                 ? "reassignment-json-file"
                          : o->preserve_throttles && !o->verify && !o->cancel ? "preserve-throttles"
                                                                              : NULL;
    for (size_t i = 0; i < ARRAY_COUNT(plan_only); i++)
        misused = !misused && !o->generate && plan_only[i].given ? plan_only[i].name : misused;
    for (size_t i = 0; i < ARRAY_COUNT(start_only); i++)
        misused = !misused && !o->execute && start_only[i].given ? start_only[i].name : misused;
    if (misused)
        return tool_wrong(cli, &tool_reassign_partitions, "Option \"[%s]\" can't be used with action \"%s\"", misused,
                          action);
    return CLI_OK;
}

static int run(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct reassign_options *o = parsed->options;
    struct reassign_plan plan = {0};
    int code = check(cli, o);
    if (code != CLI_OK)
        return code;
    if (o->file) {
        const char *text = read_file(cli, o->file);
        if (!text)
            return CLI_FAILED;
        if (!reassign_parse(text, &cli->arena, &plan))
            return fail_reading(cli, plan.wrong);
    }
    if (!tool_connect(cli, &tool_reassign_partitions, &o->tool))
        return CLI_FAILED;
    return o->verify     ? verify(cli, o, &plan)
           : o->generate ? generate(cli, o)
           : o->execute  ? execute(cli, o, &plan)
           : o->cancel   ? cancel(cli, o, &plan)
                         : show_list(cli);
}

const struct cli_command tool_reassign_partitions = {
    .name = "kafka-reassign-partitions",
    .summary = "This tool helps to move topic partitions between replicas.",
    .options = options,
    .shared = tool_connection_options,
    .options_bytes = sizeof(struct reassign_options),
    .run = run};
