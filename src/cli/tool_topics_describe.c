// SPDX-License-Identifier: Apache-2.0
//
// kafka-topics --describe: a line a topic and a line a partition, of those that were asked for.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/admin_configs.h"
#include "cli/tool_topics.h"

// The eligible leaders of a topic's partitions (KIP-966), which only DescribeTopicPartitions tells.
struct eligible {
    bool known;
    const struct describe_topic_partitions_response_partition **partitions; // by index; NULL: nothing was heard
};

static bool ask_eligible(struct cli *cli, int64_t size_limit, const struct metadata_response_topic *t, bool by_id,
                         struct eligible *out)
{
    struct describe_topic_partitions_request in;
    struct describe_topic_partitions_response answer;
    struct describe_topic_partitions_request_topic topic;
    struct describe_topic_partitions_request_cursor cursor;
    struct client_connection *at = client_connection_of(&cli->client, CLIENT_NODE_ANY);
    out->partitions = cli_alloc(cli, (size_t)t->partitions_count + 1, sizeof(*out->partitions));
    out->known = !by_id && at && at->versions[describe_topic_partitions_request_message.key].max >= 0;
    describe_topic_partitions_request_init(&in);
    describe_topic_partitions_request_topic_init(&topic);
    topic.name = t->name;
    in.topics = &topic;
    in.topics_count = 1;
    in.response_partition_limit = size_limit > 0 && size_limit < 2000 ? (int32_t)size_limit : 2000;
    in.cursor = NULL;
    for (uint32_t rounds = 0; out->known && rounds <= t->partitions_count; rounds++) {
        if (!cli_ask(cli, CLIENT_NODE_ANY, &describe_topic_partitions_request_message, &in,
                     &describe_topic_partitions_response_message, &answer))
            return false;
        for (uint32_t i = 0; i < (answer.topics_count == 1 ? answer.topics[0].partitions_count : 0); i++) {
            const struct describe_topic_partitions_response_partition *p = &answer.topics[0].partitions[i];
            if (p->partition_index >= 0 && (uint32_t)p->partition_index < t->partitions_count)
                out->partitions[p->partition_index] = p;
        }
        if (!answer.next_cursor)
            break;
        cursor.topic_name = answer.next_cursor->topic_name;
        cursor.partition_index = answer.next_cursor->partition_index;
        in.cursor = &cursor;
    }
    return true;
}

static void numbers(struct buf *out, const char *title, const int32_t *v, uint32_t count)
{
    buf_printf(out, "\t%s: ", title);
    for (uint32_t i = 0; i < count; i++)
        buf_printf(out, "%s%d", i ? "," : "", v[i]);
}

static void print_partition(struct cli *cli, const struct metadata_response_topic *t,
                            const struct metadata_response_partition *p, const struct eligible *e)
{
    struct buf *out = &cli->out;
    const bool is_known = p->partition_index >= 0 && (uint32_t)p->partition_index < t->partitions_count;
    const struct describe_topic_partitions_response_partition *more =
        is_known ? e->partitions[p->partition_index] : NULL;
    buf_printf(out, "\tTopic: %.*s\tPartition: %d\tLeader: ", (int)t->name.n, (const char *)t->name.p,
               p->partition_index);
    if (p->leader_id >= 0)
        buf_printf(out, "%d", p->leader_id);
    else
        buf_printf(out, "none");
    numbers(out, "Replicas", p->replica_nodes, p->replica_nodes_count);
    numbers(out, "Isr", p->isr_nodes, p->isr_nodes_count);
    if (e->known) {
        numbers(out, "Elr", more ? more->eligible_leader_replicas : NULL,
                more ? more->eligible_leader_replicas_count : 0);
        numbers(out, "LastKnownElr", more ? more->last_known_elr : NULL, more ? more->last_known_elr_count : 0);
        buf_printf(out, "\n");
    } else {
        buf_printf(out, "\tElr: N/A\tLastKnownElr: N/A\n");
    }
}

static int by_name(const void *a, const void *b)
{
    const struct describe_configs_response_config *x = a, *y = b;
    return bytes_cmp(x->name, y->name);
}

static void print_topic(struct cli *cli, const struct tool_topics_options *o, const struct metadata_response_topic *t,
                        struct describe_configs_response_result *r)
{
    struct buf *out = &cli->out;
    char id[UUID_TEXT_CHARS + 1];
    uint32_t shown = 0;
    for (uint32_t i = 0; r && i < r->configs_count; i++)
        shown += r->configs[i].config_source != CONFIGS_SOURCE_DEFAULT;
    if (o->with_overrides && shown == 0)
        return;
    uuid_format(t->topic_id, id);
    buf_printf(out, "Topic: %.*s", (int)t->name.n, (const char *)t->name.p);
    if (!uuid_is_zero(t->topic_id))
        buf_printf(out, "\tTopicId: %s", id);
    buf_printf(out, "\tPartitionCount: %u\tReplicationFactor: %u\tConfigs: ", t->partitions_count,
               t->partitions_count ? t->partitions[0].replica_nodes_count : 0);
    if (r)
        qsort(r->configs, r->configs_count, sizeof(*r->configs), by_name);
    shown = 0;
    for (uint32_t i = 0; r && i < r->configs_count; i++) {
        const struct describe_configs_response_config *c = &r->configs[i];
        if (c->config_source == CONFIGS_SOURCE_DEFAULT)
            continue;
        buf_printf(out, "%s%.*s=%.*s", shown++ ? "," : "", (int)c->name.n, (const char *)c->name.p,
                   c->value.p ? (int)c->value.n : 4, c->value.p ? (const char *)c->value.p : "null");
    }
    buf_printf(out, "\n");
}

static bool is_alive(const struct metadata_response *all, int32_t id)
{
    for (uint32_t i = 0; i < all->brokers_count; i++)
        if (all->brokers[i].node_id == id)
            return true;
    return false;
}

static bool is_shown(const struct tool_topics_options *o, const struct metadata_response *all,
                     const struct metadata_response_partition *p, int64_t min_isr)
{
    if (!o->under_replicated && !o->unavailable && !o->under_min_isr && !o->at_min_isr)
        return true;
    return (o->under_replicated && p->isr_nodes_count < p->replica_nodes_count) ||
           (o->unavailable && (p->leader_id < 0 || !is_alive(all, p->leader_id))) ||
           (o->under_min_isr && (p->leader_id < 0 || p->isr_nodes_count < min_isr)) ||
           (o->at_min_isr && p->isr_nodes_count == min_isr);
}

// The settings of a topic in the answer, or NULL.
static struct describe_configs_response_result *configs_of(struct describe_configs_response *all, struct bytes name)
{
    for (uint32_t i = 0; i < all->results_count; i++)
        if (bytes_eq(all->results[i].resource_name, name) && all->results[i].error_code == 0)
            return &all->results[i];
    return NULL;
}

int tool_topics_describe(struct cli *cli, const struct tool_topics_options *o, const struct tool_topics_chosen *chosen)
{
    struct describe_configs_response configs = {0};
    struct bytes *names = cli_alloc(cli, (size_t)chosen->count + 1, sizeof(*names));
    for (uint32_t i = 0; i < chosen->count; i++)
        names[i] = chosen->items[i].name;
    if (!topics_ask_configs(cli, names, chosen->count, &configs))
        return tool_topics_fail(cli, "%s", cli->client.error);
    for (uint32_t i = 0; i < chosen->count; i++) {
        const struct metadata_response_topic *t = &chosen->items[i];
        struct describe_configs_response_result *r = configs_of(&configs, t->name);
        struct eligible e = {0};
        const int64_t min_isr = topics_min_isr(r);
        if (!o->under_replicated && !o->unavailable && !o->under_min_isr && !o->at_min_isr)
            print_topic(cli, o, t, r);
        for (uint32_t k = 0; !o->with_overrides && k < t->partitions_count; k++) {
            if (!is_shown(o, &chosen->all, &t->partitions[k], min_isr))
                continue;
            if (!e.partitions && !ask_eligible(cli, o->size_limit, t, chosen->by_id, &e))
                return CLI_FAILED;
            print_partition(cli, t, &t->partitions[k], &e);
        }
    }
    return CLI_OK;
}
