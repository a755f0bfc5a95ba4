// SPDX-License-Identifier: Apache-2.0
//
// weir admin brokers can-stop and remove: may a node go, for a while or for good.
#include "cli/admin_brokers.h"
#include "cli/admin_topics.h"
#include "cli/commands.h"

// ------------------------------------------------------------------------------------------------ can-stop

struct stopping {
    int32_t id;
    const struct describe_cluster_response *cluster;
    struct json *j;
    struct table *t;
    uint32_t count; // partitions that forbid it
};

static bool is_alive(const struct describe_cluster_response *cluster, int32_t id)
{
    for (uint32_t i = 0; i < cluster->brokers_count; i++)
        if (cluster->brokers[i].broker_id == id)
            return !cluster->brokers[i].is_fenced;
    return false;
}

// What the broker's going would do to a partition; NULL: nothing.
static const char *harm(const struct stopping *s, const struct metadata_response_partition *p, int64_t min_isr)
{
    uint32_t left = 0;
    bool in = false;
    for (uint32_t i = 0; i < p->isr_nodes_count; i++) {
        in |= p->isr_nodes[i] == s->id;
        left += p->isr_nodes[i] != s->id && is_alive(s->cluster, p->isr_nodes[i]);
    }
    int64_t least = min_isr < p->replica_nodes_count ? min_isr : p->replica_nodes_count;
    if (!in)
        return NULL;
    return left == 0 ? "no other replica is in sync" : left < least ? "below min.insync.replicas" : NULL;
}

static void one_partition(struct stopping *s, struct bytes topic, const struct metadata_response_partition *p,
                          const char *why)
{
    s->count++;
    if (s->j) {
        json_put_object(s->j);
        json_put_key_text(s->j, "topic", topic);
        json_put_key_int(s->j, "partition", p->partition_index);
        json_put_key_str(s->j, "reason", why);
        json_put_object_end(s->j);
        return;
    }
    table_cell_bytes(s->t, topic);
    table_cell(s->t, "%d", p->partition_index);
    table_cell(s->t, "%u of %u", p->isr_nodes_count, p->replica_nodes_count);
    table_cell(s->t, "%s", why);
}

static bool all_partitions(struct cli *cli, struct stopping *s)
{
    struct metadata_response all;
    struct describe_configs_response configs;
    if (!topics_ask(cli, NULL, 0, &all))
        return false;
    struct bytes *names = cli_alloc(cli, (size_t)all.topics_count + 1, sizeof(*names));
    for (uint32_t i = 0; i < all.topics_count; i++)
        names[i] = all.topics[i].name;
    if (all.topics_count > 0 && !topics_ask_configs(cli, names, all.topics_count, &configs)) {
        cli_fail(cli, "the brokers do not tell min.insync.replicas: %s", cli->client.error);
        return false;
    }
    for (uint32_t i = 0; i < all.topics_count; i++) {
        const struct metadata_response_topic *t = &all.topics[i];
        int64_t min_isr = topics_min_isr(i < configs.results_count ? &configs.results[i] : NULL);
        for (uint32_t k = 0; k < t->partitions_count; k++) {
            const char *why = harm(s, &t->partitions[k], min_isr);
            if (why)
                one_partition(s, t->name, &t->partitions[k], why);
        }
    }
    return true;
}

// Whether the voters that are left are a majority. False in *known: nobody could say.
static bool keeps_majority(struct cli *cli, const struct stopping *s, bool *known)
{
    struct describe_quorum_response all;
    const struct describe_quorum_response_partition *p = admin_ask_quorum(cli, &all);
    uint32_t there = 0, votes = 0;
    *known = p;
    for (uint32_t i = 0; p && i < p->current_voters_count; i++) {
        int32_t voter = p->current_voters[i].replica_id;
        votes += voter == s->id;
        there += voter != s->id && is_alive(s->cluster, voter);
    }
    return p && (votes == 0 || there >= p->current_voters_count / 2 + 1);
}

int admin_brokers_can_stop(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct brokers_options *o = parsed->options;
    struct describe_cluster_response cluster;
    struct table t;
    struct json j;
    struct stopping s = {.cluster = &cluster, .j = o->common.json ? &j : NULL, .t = &t};
    int code;
    bool known;
    if (!brokers_id(cli, parsed->arguments[0], &s.id, &code))
        return code;
    if (!cli_connect(cli, &o->common) || !brokers_ask(cli, &cluster))
        return CLI_FAILED;
    uint32_t at = 0;
    while (at < cluster.brokers_count && cluster.brokers[at].broker_id != s.id)
        at++;
    if (at == cluster.brokers_count)
        return cli_fail(cli, "there is no broker %d; 'weir admin brokers list' shows which there are", s.id);
    json_init(&j, &cli->out, true);
    table_init(&t, &cli->arena, "TOPIC|>PARTITION|IN SYNC|WHY");
    if (s.j) {
        json_put_object(&j);
        json_put_key_int(&j, "id", s.id);
        json_put_key(&j, "partitions");
        json_put_array(&j);
    }
    if (!all_partitions(cli, &s))
        return CLI_FAILED;
    bool majority = keeps_majority(cli, &s, &known);
    if (!known)
        return CLI_FAILED;
    bool may = s.count == 0 && majority;
    if (s.j) {
        json_put_array_end(&j);
        json_put_key_bool(&j, "majority", majority);
        json_put_key_bool(&j, "can_stop", may);
        json_put_object_end(&j);
        buf_printf(&cli->out, "\n");
    } else {
        if (s.count > 0)
            table_print(&t, &cli->out);
        if (!majority)
            buf_printf(&cli->out, "metadata would have no majority: no other voters live in sufficient number\n");
        buf_printf(&cli->out, may ? "broker %d can be stopped\n" : "broker %d cannot be stopped without harm\n", s.id);
    }
    code = cli_done(cli);
    return may ? code : CLI_FAILED;
}

// ------------------------------------------------------------------------------------------------ remove

int admin_brokers_remove(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct brokers_options *o = parsed->options;
    struct unregister_broker_request in;
    struct unregister_broker_response out;
    int code;
    unregister_broker_request_init(&in);
    if (!brokers_id(cli, parsed->arguments[0], &in.broker_id, &code))
        return code;
    if (!cli_connect(cli, &o->common) ||
        !cli_ask(cli, CLIENT_NODE_CONTROLLER, &unregister_broker_request_message, &in,
                 &unregister_broker_response_message, &out))
        return CLI_FAILED;
    if (out.error_code) {
        const char *about = arena_printf(&cli->arena, "broker %d", in.broker_id);
        return cli_fail_code(cli, about ? about : "the broker", out.error_code, out.error_message);
    }
    buf_printf(&cli->out, "broker %d is forgotten\n", in.broker_id);
    return cli_done(cli);
}
