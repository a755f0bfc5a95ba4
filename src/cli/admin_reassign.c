// SPDX-License-Identifier: Apache-2.0
//
// weir admin reassign: plans, starts, follows, checks and cancels moves of replicas. weir admin brokers drain: moves
// everything away from one broker.
#include <stdio.h>
#include <string.h>

#include "cli/admin_brokers.h"
#include "cli/admin_topics.h"
#include "cli/commands.h"
#include "cli/properties.h"
#include "cli/reassign.h"
#include "meta/config.h"

struct reassign_options {
    struct cli_common common;
    const char *brokers;
    int64_t throttle;
    bool no_wait, keep_factor, ignore_racks;
};

_Static_assert(sizeof(struct reassign_options) <= 64, "weir admin brokers drain has as much room");

static int read_plan(struct cli *cli, const char *path, struct reassign_plan *out)
{
    enum rc rc;
    const char *text = properties_text(cli, path, &rc);
    if (!text)
        return cli_fail(cli, "cannot read %s: %s", path, rc_text(rc));
    if (!reassign_parse(text, &cli->arena, out))
        return cli_fail(cli, "%s: %s", path, out->wrong);
    for (uint32_t i = 0; i < out->count; i++)
        for (uint32_t k = 0; out->moves[i].dirs && k < out->moves[i].count; k++)
            if (out->moves[i].dirs[k])
                return cli_fail(cli,
                                "%s: names a log folder for %s-%d: 'kafka-reassign-partitions' takes such a plan, and "
                                "'weir admin log-dirs move' moves one replica",
                                path, out->moves[i].topic, out->moves[i].partition);
    return CLI_OK;
}

// ------------------------------------------------------------------------------------------------ doing it

static bool ask_all(struct cli *cli, struct metadata_response *all, struct list_partition_reassignments_response *list)
{
    return topics_ask(cli, NULL, 0, all) && reassign_ask_list(cli, list);
}

static bool refused(struct cli *cli, const struct reassign_plan *p,
                    const struct alter_partition_reassignments_response_partition *answers)
{
    bool any = false;
    for (uint32_t i = 0; i < p->count; i++) {
        if (!answers[i].error_code)
            continue;
        cli_fail_code(cli, arena_printf(&cli->arena, "%s-%d", p->moves[i].topic, p->moves[i].partition),
                      answers[i].error_code, answers[i].error_message);
        any = true;
    }
    return any;
}

static int finish(struct cli *cli, const struct reassign_options *o, const struct reassign_plan *p, const char *what)
{
    if (o->common.json)
        buf_printf(&cli->out, "{\"partitions\":%u,\"state\":\"%s\"}\n", p->count, what);
    else
        buf_printf(&cli->out, "%u partition%s %s\n", p->count, p->count == 1 ? "" : "s", what);
    return cli_done(cli);
}

static int start(struct cli *cli, const struct reassign_options *o, const struct reassign_plan *p,
                 const struct metadata_response *all, const struct list_partition_reassignments_response *list)
{
    struct alter_partition_reassignments_response_partition *answers;
    uint32_t broker_count, topic_count;
    if (o->throttle >= 0 && !reassign_throttle(cli, p, all, list, o->throttle))
        return CLI_FAILED;
    if (!reassign_ask_alter(cli, p, false, !o->keep_factor, &answers))
        return CLI_FAILED;
    bool failed = refused(cli, p, answers);
    if (o->no_wait)
        return failed ? CLI_FAILED : finish(cli, o, p, "under way");
    if (!reassign_follow(cli, p))
        return CLI_FAILED;
    const int32_t *brokers = reassign_brokers(cli, p, all, &broker_count);
    const char **topics = reassign_topics(cli, p, &topic_count);
    if (o->throttle >= 0 && !reassign_unthrottle(cli, brokers, broker_count, topics, topic_count))
        return CLI_FAILED;
    return failed ? CLI_FAILED : finish(cli, o, p, "moved");
}

static int reassign_execute(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct reassign_options *o = parsed->options;
    struct reassign_plan plan;
    struct metadata_response all;
    struct list_partition_reassignments_response list;
    int code = read_plan(cli, parsed->arguments[0], &plan);
    if (code != CLI_OK)
        return code;
    if (!cli_connect(cli, &o->common) || !ask_all(cli, &all, &list))
        return CLI_FAILED;
    return start(cli, o, &plan, &all, &list);
}

static int reassign_generate(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct reassign_options *o = parsed->options;
    struct metadata_response all;
    struct reassign_plan current = {0}, proposed = {0};
    const char *rest = o->brokers;
    struct bytes word;
    uint32_t count = 0;
    if (!o->brokers)
        return cli_wrong(cli, "--brokers is needed: which brokers the topics are to lie on.");
    int32_t *brokers = cli_alloc(cli, strlen(o->brokers) + 1, sizeof(*brokers));
    int code;
    while (config_list_next(&rest, &word)) {
        const char *text = arena_copy(&cli->arena, word.p, word.n);
        if (!text || !brokers_id(cli, text, &brokers[count++], &code))
            return CLI_WRONG;
    }
    if (!cli_connect(cli, &o->common) || !topics_ask(cli, NULL, 0, &all))
        return CLI_FAILED;
    const char *wrong = reassign_place(cli, &all, parsed->arguments, parsed->argument_count, brokers, count,
                                       !o->ignore_racks, &current, &proposed);
    if (wrong)
        return cli_fail(cli, "%s", wrong);
    reassign_print(&proposed, &cli->out);
    buf_printf(&cli->out, "\n");
    return cli_done(cli);
}

static int reassign_verify(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct reassign_options *o = parsed->options;
    struct reassign_plan plan;
    struct metadata_response all;
    struct list_partition_reassignments_response list;
    uint32_t moving = 0, done = 0;
    int code = read_plan(cli, parsed->arguments[0], &plan);
    if (code != CLI_OK)
        return code;
    if (!cli_connect(cli, &o->common) || !ask_all(cli, &all, &list))
        return CLI_FAILED;
    for (uint32_t i = 0; i < plan.count; i++) {
        const struct reassign_move *m = &plan.moves[i];
        const struct metadata_response_partition *p = reassign_find(&all, m->topic, m->partition);
        bool is = p && p->replica_nodes_count == m->count &&
                  memcmp(p->replica_nodes, m->replicas, m->count * sizeof(int32_t)) == 0;
        if (reassign_under_way(&list, m->topic, m->partition))
            moving++;
        else
            done += is;
    }
    if (o->common.json)
        buf_printf(&cli->out, "{\"partitions\":%u,\"moved\":%u,\"under_way\":%u,\"elsewhere\":%u}\n", plan.count, done,
                   moving, plan.count - done - moving);
    else
        buf_printf(&cli->out, "%u of %u partitions are where the plan puts them, %u under way, %u elsewhere\n", done,
                   plan.count, moving, plan.count - done - moving);
    code = cli_done(cli);
    return code != CLI_OK || done < plan.count ? CLI_FAILED : CLI_OK;
}

// A plan of everything under way, whole or of the topics named.
static void plan_of(struct cli *cli, const struct list_partition_reassignments_response *list,
                    const struct cli_parsed *parsed, struct reassign_plan *out)
{
    size_t most = 1;
    for (uint32_t i = 0; i < list->topics_count; i++)
        most += list->topics[i].partitions_count;
    *out = (struct reassign_plan){.moves = cli_alloc(cli, most, sizeof(*out->moves))};
    for (uint32_t i = 0; i < list->topics_count; i++) {
        bool wanted = parsed->argument_count == 0;
        for (uint32_t k = 0; k < parsed->argument_count; k++)
            wanted |= bytes_eq(list->topics[i].name, bytes_str(parsed->arguments[k]));
        const char *name = arena_copy(&cli->arena, list->topics[i].name.p, list->topics[i].name.n);
        for (uint32_t k = 0; wanted && name && k < list->topics[i].partitions_count; k++)
            out->moves[out->count++] = (struct reassign_move){
                .topic = name, .partition = list->topics[i].partitions[k].partition_index};
    }
    reassign_sort(out);
}

static int reassign_cancel(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct reassign_options *o = parsed->options;
    struct reassign_plan plan;
    struct metadata_response all;
    struct list_partition_reassignments_response list;
    struct alter_partition_reassignments_response_partition *answers;
    uint32_t broker_count, topic_count;
    if (!cli_connect(cli, &o->common) || !ask_all(cli, &all, &list))
        return CLI_FAILED;
    plan_of(cli, &list, parsed, &plan);
    if (plan.count == 0)
        return finish(cli, o, &plan, "cancelled");
    if (!reassign_ask_alter(cli, &plan, true, true, &answers) || refused(cli, &plan, answers))
        return CLI_FAILED;
    const int32_t *brokers = reassign_brokers(cli, &plan, &all, &broker_count);
    const char **topics = reassign_topics(cli, &plan, &topic_count);
    if (!reassign_unthrottle(cli, brokers, parsed->argument_count ? 0 : broker_count, topics, topic_count))
        return CLI_FAILED;
    return finish(cli, o, &plan, "cancelled");
}

static void put_ids(struct json *j, const char *key, const int32_t *ids, uint32_t count)
{
    json_put_key(j, key);
    json_put_array(j);
    for (uint32_t i = 0; i < count; i++)
        json_put_int(j, ids[i]);
    json_put_array_end(j);
}

static const char *ids_text(struct cli *cli, const int32_t *ids, uint32_t count)
{
    const char *text = count ? "" : "-";
    for (uint32_t i = 0; i < count; i++)
        text = arena_printf(&cli->arena, "%s%s%d", text, i ? "," : "", ids[i]);
    return text;
}

static int reassign_list(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct reassign_options *o = parsed->options;
    struct list_partition_reassignments_response list;
    struct table t;
    struct json j;
    if (!cli_connect(cli, &o->common) || !reassign_ask_list(cli, &list))
        return CLI_FAILED;
    table_init(&t, &cli->arena, "TOPIC|>PARTITION|REPLICAS|ADDING|REMOVING");
    json_init(&j, &cli->out, true);
    if (o->common.json)
        json_put_array(&j);
    for (uint32_t i = 0; i < list.topics_count; i++)
        for (uint32_t k = 0; k < list.topics[i].partitions_count; k++) {
            const struct list_partition_reassignments_response_partition *p = &list.topics[i].partitions[k];
            if (o->common.json) {
                json_put_object(&j);
                json_put_key_text(&j, "topic", list.topics[i].name);
                json_put_key_int(&j, "partition", p->partition_index);
                put_ids(&j, "replicas", p->replicas, p->replicas_count);
                put_ids(&j, "adding", p->adding_replicas, p->adding_replicas_count);
                put_ids(&j, "removing", p->removing_replicas, p->removing_replicas_count);
                json_put_object_end(&j);
                continue;
            }
            table_cell_bytes(&t, list.topics[i].name);
            table_cell(&t, "%d", p->partition_index);
            table_cell(&t, "%s", ids_text(cli, p->replicas, p->replicas_count));
            table_cell(&t, "%s", ids_text(cli, p->adding_replicas, p->adding_replicas_count));
            table_cell(&t, "%s", ids_text(cli, p->removing_replicas, p->removing_replicas_count));
        }
    if (o->common.json) {
        json_put_array_end(&j);
        buf_printf(&cli->out, "\n");
    } else if (list.topics_count) {
        table_print(&t, &cli->out);
    } else {
        buf_printf(&cli->out, "no replica is being moved\n");
    }
    return cli_done(cli);
}

// ------------------------------------------------------------------------------------------------ drain

struct drain {
    struct cli *cli;
    const struct metadata_response *all;
    int32_t id;
    uint32_t *loads; // replicas, by place in all->brokers
};

static struct bytes rack_of(const struct drain *d, int32_t id)
{
    for (uint32_t b = 0; b < d->all->brokers_count; b++)
        if (d->all->brokers[b].node_id == id)
            return d->all->brokers[b].rack;
    return (struct bytes){0};
}

// The broker that takes the replica: not one of the others, rather in a rack of its own, then the least loaded. -1: none.
static int32_t taker(struct drain *d, const struct metadata_response_partition *p)
{
    int64_t best = INT64_MAX;
    uint32_t at = 0;
    for (uint32_t b = 0; b < d->all->brokers_count; b++) {
        int64_t cost = d->loads[b];
        bool has = d->all->brokers[b].node_id == d->id;
        for (uint32_t i = 0; i < p->replica_nodes_count; i++) {
            has |= p->replica_nodes[i] == d->all->brokers[b].node_id;
            if (p->replica_nodes[i] != d->id && d->all->brokers[b].rack.p &&
                bytes_eq(rack_of(d, p->replica_nodes[i]), d->all->brokers[b].rack))
                cost += INT32_MAX;
        }
        if (has || cost >= best)
            continue;
        best = cost;
        at = b;
    }
    if (best == INT64_MAX)
        return -1;
    d->loads[at]++;
    return d->all->brokers[at].node_id;
}

static const char *drain_plan(struct drain *d, struct reassign_plan *out)
{
    size_t most = 1;
    d->loads = cli_alloc(d->cli, (size_t)d->all->brokers_count + 1, sizeof(*d->loads));
    for (uint32_t t = 0; t < d->all->topics_count; t++)
        for (uint32_t k = 0; k < d->all->topics[t].partitions_count; k++, most++)
            for (uint32_t i = 0; i < d->all->topics[t].partitions[k].replica_nodes_count; i++)
                for (uint32_t b = 0; b < d->all->brokers_count; b++)
                    d->loads[b] += d->all->brokers[b].node_id == d->all->topics[t].partitions[k].replica_nodes[i];
    *out = (struct reassign_plan){.moves = cli_alloc(d->cli, most, sizeof(*out->moves))};
    for (uint32_t t = 0; t < d->all->topics_count; t++)
        for (uint32_t k = 0; k < d->all->topics[t].partitions_count; k++) {
            const struct metadata_response_partition *p = &d->all->topics[t].partitions[k];
            const char *name = arena_copy(&d->cli->arena, d->all->topics[t].name.p, d->all->topics[t].name.n);
            int32_t *to = cli_alloc(d->cli, p->replica_nodes_count + 1u, sizeof(*to));
            bool here = false;
            for (uint32_t i = 0; i < p->replica_nodes_count; i++) {
                to[i] = p->replica_nodes[i];
                if (to[i] != d->id)
                    continue;
                here = true;
                to[i] = taker(d, p);
                if (to[i] < 0)
                    return arena_printf(&d->cli->arena,
                                        "%s-%d has a replica on every broker there is: start another broker, or lower its "
                                        "replication factor",
                                        name ? name : "", p->partition_index);
            }
            if (here && name)
                out->moves[out->count++] =
                    (struct reassign_move){name, p->partition_index, to, p->replica_nodes_count, NULL};
        }
    reassign_sort(out);
    return NULL;
}

static bool broker_is_known(struct cli *cli, int32_t id, bool *known)
{
    struct describe_cluster_response cluster;
    if (!brokers_ask(cli, &cluster))
        return false;
    for (uint32_t i = 0; i < cluster.brokers_count; i++)
        *known |= cluster.brokers[i].broker_id == id;
    return true;
}

int admin_brokers_drain(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct reassign_options *o = parsed->options;
    struct metadata_response all;
    struct list_partition_reassignments_response list;
    struct reassign_plan plan;
    struct drain d = {.cli = cli, .all = &all};
    bool known = false;
    int code;
    if (!brokers_id(cli, parsed->arguments[0], &d.id, &code))
        return code;
    if (!cli_connect(cli, &o->common) || !broker_is_known(cli, d.id, &known) || !ask_all(cli, &all, &list))
        return CLI_FAILED;
    if (!known)
        return cli_fail(cli, "there is no broker %d; 'weir admin brokers list' shows which there are", d.id);
    if (all.brokers_count == 0 || (all.brokers_count == 1 && all.brokers[0].node_id == d.id))
        return cli_fail(cli, "broker %d is the only one there is: nobody could take its replicas", d.id);
    const char *wrong = drain_plan(&d, &plan);
    if (wrong)
        return cli_fail(cli, "broker %d cannot be drained: %s", d.id, wrong);
    return plan.count ? start(cli, o, &plan, &all, &list) : finish(cli, o, &plan, "moved");
}

// ------------------------------------------------------------------------------------------------ table

#define RATE_OPTION                                                                                                    \
    {                                                                                                                  \
        .name = "throttle", .kind = CLI_SIZE, .offset = offsetof(struct reassign_options, throttle),                  \
        .value_name = "BYTES", .initial = -1, .help = "most bytes a second that a broker sends or takes for this"     \
    }
#define NO_WAIT_OPTION                                                                                                 \
    {                                                                                                                  \
        .name = "no-wait", .kind = CLI_FLAG, .offset = offsetof(struct reassign_options, no_wait),                     \
        .help = "return when it has begun; a throttle then stays until cancel or kafka-reassign-partitions --verify"  \
    }

const struct cli_option admin_drain_options[] = {RATE_OPTION, NO_WAIT_OPTION, {0}};

static const struct cli_option execute_options[] = {
    RATE_OPTION,
    NO_WAIT_OPTION,
    {.name = "keep-factor",
     .kind = CLI_FLAG,
     .offset = offsetof(struct reassign_options, keep_factor),
     .help = "refuse moves that change the number of replicas"},
    {0},
};

static const struct cli_option generate_options[] = {
    {.name = "brokers",
     .kind = CLI_TEXT,
     .offset = offsetof(struct reassign_options, brokers),
     .value_name = "1,2,3",
     .help = "the brokers to spread the topics over"},
    {.name = "ignore-racks",
     .kind = CLI_FLAG,
     .offset = offsetof(struct reassign_options, ignore_racks),
     .help = "without regard to racks"},
    {0},
};

const struct cli_command admin_reassign_commands[] = {
    {.name = "generate",
     .arguments = "TOPIC...",
     .summary = "Print a plan that spreads topics over brokers.",
     .details = "The plan is Kafka's JSON: {\"version\":1,\"partitions\":[{\"topic\":\"a\",\"partition\":0,\n"
                "\"replicas\":[1,2]}]}. The first replica is the preferred leader.",
     .options = generate_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct reassign_options),
     .arguments_min = 1,
     .arguments_max = UINT8_MAX,
     .run = reassign_generate,
     .examples = "weir admin reassign generate orders --brokers 1,2,3,4 > plan.json"},
    {.name = "execute",
     .arguments = "PLAN",
     .summary = "Move replicas as a plan says, and show how far it is.",
     .details = "Interrupted, the moves go on; 'cancel' takes them back. With --throttle the limit ends with the moves.",
     .options = execute_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct reassign_options),
     .arguments_min = 1,
     .arguments_max = 1,
     .run = reassign_execute,
     .examples = "weir admin reassign execute plan.json --throttle 50m"},
    {.name = "verify",
     .arguments = "PLAN",
     .summary = "Tell whether everything is where a plan puts it.",
     .details = "Exit code 0: all of it is. 1: some is still moving or elsewhere.",
     .shared = cli_common_options,
     .options_bytes = sizeof(struct reassign_options),
     .arguments_min = 1,
     .arguments_max = 1,
     .run = reassign_verify,
     .examples = "weir admin reassign verify plan.json"},
    {.name = "cancel",
     .arguments = "[TOPIC...]",
     .summary = "Take moves under way back, all or those of some topics, with their throttles.",
     .shared = cli_common_options,
     .options_bytes = sizeof(struct reassign_options),
     .arguments_max = UINT8_MAX,
     .run = reassign_cancel,
     .examples = "weir admin reassign cancel\nweir admin reassign cancel orders"},
    {.name = "list",
     .summary = "Show the moves under way.",
     .shared = cli_common_options,
     .options_bytes = sizeof(struct reassign_options),
     .run = reassign_list,
     .examples = "weir admin reassign list --json"},
    {0},
};
