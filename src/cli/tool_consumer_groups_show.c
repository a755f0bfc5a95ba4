// SPDX-License-Identifier: Apache-2.0
//
// kafka-consumer-groups --list and --describe: the columns of Kafka's tool, to the space.
#include <stdio.h>
#include <string.h>

#include "cli/tool_consumer_groups.h"

enum { LIST_MARGIN = 10, NARROW = 15, WIDE = 20, COORDINATOR = 25 };

static size_t wider(size_t width, struct bytes b)
{
    return b.n > width ? b.n : width;
}

// "Stable,Empty" taken apart; none for NULL and "".
static struct cli_list split(struct cli *cli, const char *text)
{
    struct cli_list out = {0};
    if (!text || !*text)
        return out;
    out.items = cli_alloc(cli, strlen(text) + 1, sizeof(*out.items));
    char *rest = arena_copy(&cli->arena, text, strlen(text)), *word;
    while (rest && (word = strsep(&rest, ",")) != NULL) {
        word += strspn(word, " ");
        if (*word)
            out.items[out.count++] = word;
    }
    return out;
}

int tool_consumer_groups_list(struct cli *cli, const struct tool_consumer_groups_options *o)
{
    struct groups_listed *list;
    uint32_t count;
    struct cli_list states = split(cli, o->state), types = split(cli, o->type);
    size_t width = NARROW;
    if (!groups_gather_list(cli, &states, &types, &list, &count))
        return CLI_FAILED;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++)
        if (list[i].protocol_type.n == 0 || bytes_eq(list[i].protocol_type, bytes_str("consumer")))
            list[kept++] = list[i];
    for (uint32_t i = 0; i < kept; i++)
        width = wider(width, list[i].id);
    width += LIST_MARGIN;
    if (o->state || o->type) {
        tool_cell(cli, width, "GROUP");
        if (o->type)
            buf_printf(&cli->out, "%-20s%s", "TYPE", o->state ? " " : "\n");
        if (o->state)
            buf_printf(&cli->out, "%-20s\n", "STATE");
    }
    for (uint32_t i = 0; i < kept; i++) {
        if (!o->state && !o->type) {
            buf_printf(&cli->out, "%s\n", groups_text(cli, list[i].id));
            continue;
        }
        tool_cell(cli, width, groups_text(cli, list[i].id));
        if (o->type)
            buf_printf(&cli->out, "%-20s%s", tool_type(cli, list[i].type), o->state ? " " : "\n");
        if (o->state)
            buf_printf(&cli->out, "%-20s\n", groups_text(cli, list[i].state));
    }
    return CLI_OK;
}

// ------------------------------------------------------------------------------------------------ describe

static void number(struct cli *cli, int64_t v)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)v);
    tool_cell(cli, NARROW, v < 0 ? "-" : text);
}

static const char *or_dash(struct cli *cli, struct bytes b)
{
    return b.n ? groups_text(cli, b) : "-";
}

static void show_offsets(struct cli *cli, const struct groups_group *g, bool verbose)
{
    size_t group = wider(NARROW, bytes_str(g->id)), topic = NARROW, consumer = NARROW, host = NARROW;
    for (uint32_t i = 0; i < g->row_count; i++) {
        topic = wider(topic, g->rows[i].topic);
        if (g->rows[i].member) {
            consumer = wider(consumer, g->rows[i].member->id);
            host = wider(host, g->rows[i].member->host);
        }
    }
    buf_printf(&cli->out, "\n%-*s %-*s %-10s ", (int)group, "GROUP", (int)topic, "TOPIC", "PARTITION");
    if (verbose)
        tool_cell(cli, NARROW, "LEADER-EPOCH");
    buf_printf(&cli->out, "%-15s %-15s %-15s %-*s %-*s %s\n", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG", (int)consumer,
               "CONSUMER-ID", (int)host, "HOST", "CLIENT-ID");
    for (uint32_t i = 0; i < g->row_count; i++) {
        const struct groups_row *r = &g->rows[i];
        tool_cell(cli, group, g->id);
        tool_cell(cli, topic, groups_text(cli, r->topic));
        buf_printf(&cli->out, "%-10d ", r->partition);
        if (verbose)
            number(cli, r->offset < 0 ? -1 : r->leader_epoch);
        number(cli, r->offset);
        number(cli, r->log_end);
        number(cli, r->lag);
        tool_cell(cli, consumer, r->member ? groups_text(cli, r->member->id) : "-");
        tool_cell(cli, host, r->member ? groups_text(cli, r->member->host) : "-");
        buf_printf(&cli->out, "%s\n", r->member ? groups_text(cli, r->member->client_id) : "-");
    }
}

// "orders:0,1;payments:3"
static const char *assignment(struct cli *cli, const struct groups_partition *list, uint32_t count)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0 && bytes_eq(list[i].topic, list[i - 1].topic))
            buf_printf(&b, ",%d", list[i].index);
        else
            buf_printf(&b, "%s%.*s:%d", i ? ";" : "", (int)list[i].topic.n, (const char *)list[i].topic.p,
                       list[i].index);
    }
    const char *text = count ? groups_text(cli, buf_bytes(&b)) : "-";
    buf_deinit(&b);
    return text;
}

static const char *target(struct cli *cli, const struct groups_group *g, const struct groups_member *m)
{
    return g->new_protocol ? assignment(cli, m->target, m->target_count) : "-";
}

static void show_member(struct cli *cli, const struct groups_group *g, const struct groups_member *m, bool verbose,
                        size_t assigned_width, size_t target_width)
{
    number(cli, m->assigned_count);
    if (!verbose)
        return;
    number(cli, m->epoch);
    tool_cell(cli, assigned_width, assignment(cli, m->assigned, m->assigned_count));
    number(cli, g->new_protocol ? g->assignment_epoch : -1);
    buf_printf(&cli->out, "%-*s", (int)target_width, target(cli, g, m));
}

static void show_members(struct cli *cli, const struct groups_group *g, bool verbose)
{
    size_t group = NARROW, consumer = NARROW, host = NARROW, client = NARROW, instance = 0, assigned = WIDE, aim = WIDE;
    for (uint32_t i = 0; i < g->member_count; i++) {
        group = wider(group, bytes_str(g->id)); // only then: so it is there
        assigned = wider(assigned, bytes_str(assignment(cli, g->members[i].assigned, g->members[i].assigned_count)));
        aim = wider(aim, bytes_str(target(cli, g, &g->members[i])));
        consumer = wider(consumer, g->members[i].id);
        host = wider(host, g->members[i].host);
        client = wider(client, g->members[i].client_id);
        if (g->members[i].instance_id.n)
            instance = wider(instance ? instance : 17, g->members[i].instance_id);
    }
    buf_printf(&cli->out, "\n");
    tool_cell(cli, group, "GROUP");
    tool_cell(cli, consumer, "CONSUMER-ID");
    if (instance)
        tool_cell(cli, instance, "GROUP-INSTANCE-ID");
    tool_cell(cli, host, "HOST");
    tool_cell(cli, client, "CLIENT-ID");
    tool_cell(cli, NARROW, "#PARTITIONS");
    if (verbose)
        buf_printf(&cli->out, "%-15s %-*s %-15s %-*s", "CURRENT-EPOCH", (int)assigned, "CURRENT-ASSIGNMENT",
                   "TARGET-EPOCH", (int)aim, "TARGET-ASSIGNMENT");
    buf_printf(&cli->out, "\n");
    for (uint32_t i = 0; i < g->member_count; i++) {
        const struct groups_member *m = &g->members[i];
        tool_cell(cli, group, g->id);
        tool_cell(cli, consumer, groups_text(cli, m->id));
        if (instance)
            tool_cell(cli, instance, groups_text(cli, m->instance_id));
        tool_cell(cli, host, groups_text(cli, m->host));
        tool_cell(cli, client, groups_text(cli, m->client_id));
        show_member(cli, g, m, verbose, assigned, aim);
        buf_printf(&cli->out, "\n");
    }
}

static void show_state(struct cli *cli, const struct groups_group *g, bool verbose)
{
    char coordinator[IO_HOST_BYTES_MAX + 32];
    snprintf(coordinator, sizeof(coordinator), "%s:%u  (%d)", g->coordinator_host ? g->coordinator_host : "?",
             g->coordinator_port, g->coordinator_id);
    size_t group = wider(NARROW, bytes_str(g->id)), at = wider(COORDINATOR, bytes_str(coordinator));
    buf_printf(&cli->out, "\n%-*s %-*s %-20s %-20s ", (int)group, "GROUP", (int)at, "COORDINATOR (ID)",
               "ASSIGNMENT-STRATEGY", "STATE");
    if (verbose)
        buf_printf(&cli->out, "%-15s %-25s ", "GROUP-EPOCH", "TARGET-ASSIGNMENT-EPOCH");
    buf_printf(&cli->out, "#MEMBERS\n");
    tool_cell(cli, group, g->id);
    tool_cell(cli, at, coordinator);
    tool_cell(cli, WIDE, or_dash(cli, g->assignor));
    tool_cell(cli, WIDE, groups_text(cli, g->state));
    if (verbose) {
        number(cli, g->epoch);
        char epoch[24];
        snprintf(epoch, sizeof(epoch), "%d", g->assignment_epoch);
        tool_cell(cli, 25, g->assignment_epoch < 0 ? "-" : epoch);
    }
    buf_printf(&cli->out, "%u\n", g->member_count);
}

// What Kafka says beside the table, to standard error.
static void remark(struct cli *cli, const struct groups_group *g)
{
    cli_flush(cli);
    if (bytes_eq(g->state, bytes_str("Empty")))
        fprintf(stderr, "\nConsumer group '%s' has no active members.\n", g->id);
    else if (bytes_eq(g->state, bytes_str("PreparingRebalance")) ||
             bytes_eq(g->state, bytes_str("CompletingRebalance")) || bytes_eq(g->state, bytes_str("Assigning")) ||
             bytes_eq(g->state, bytes_str("Reconciling")))
        fprintf(stderr, "\nWarning: Consumer group '%s' is rebalancing.\n", g->id);
}

// Brokers that know DescribeGroups 6 have an error for it (KIP-1043), the others a group that is dead.
static void say_missing(struct cli *cli, const struct groups_group *g)
{
    enum { ERROR_SINCE = 6 };
    const struct client_connection *at = client_connection_of(&cli->client, g->coordinator_id);
    if (at && at->versions[describe_groups_request_message.key].max >= ERROR_SINCE)
        buf_printf(&cli->out,
                   "\nError: Executing consumer group command failed due to "
                   "org.apache.kafka.common.errors.GroupIdNotFoundException: Group %s not found.\n",
                   g->id);
    else
        buf_printf(&cli->out, "\nError: Consumer group '%s' does not exist.\n", g->id);
}

int tool_consumer_groups_describe(struct cli *cli, const struct tool_consumer_groups_options *o)
{
    struct cli_list chosen;
    if (!tool_consumer_groups_chosen(cli, o, &chosen))
        return CLI_FAILED;
    for (uint32_t i = 0; i < chosen.count; i++) {
        struct groups_group g;
        bool offsets = !o->members && !o->state;
        if (!groups_gather(cli, chosen.items[i], &g) || (offsets && !groups_gather_rows(cli, &g, false)))
            return CLI_FAILED;
        if (!g.exists) {
            say_missing(cli, &g);
            return CLI_OK; // so it is: exit code 0
        }
        remark(cli, &g);
        if (offsets)
            show_offsets(cli, &g, o->verbose);
        else if (o->members)
            show_members(cli, &g, o->verbose);
        else
            show_state(cli, &g, o->verbose);
    }
    return CLI_OK;
}
