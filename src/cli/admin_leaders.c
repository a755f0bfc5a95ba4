// SPDX-License-Identifier: Apache-2.0
//
// weir admin leaders: how leaderships are spread, and elections on request.
#include <string.h>

#include "cli/admin_brokers.h"
#include "cli/admin_topics.h"
#include "cli/commands.h"
#include "model/kerr.h"

struct leaders_options {
    struct cli_common common;
    bool unclean;
};

enum { ELECTION_PREFERRED = 0, ELECTION_UNCLEAN = 1, KERR_ELECTION_NOT_NEEDED = 84, ELECT_TIMEOUT_MS = 30000 };

// ------------------------------------------------------------------------------------------------ skew

struct spread {
    uint32_t leads, preferred, away;
};

static struct spread spread_of(const struct metadata_response *all, int32_t id)
{
    struct spread s = {0};
    for (uint32_t i = 0; i < all->topics_count; i++)
        for (uint32_t k = 0; k < all->topics[i].partitions_count; k++) {
            const struct metadata_response_partition *p = &all->topics[i].partitions[k];
            bool preferred = p->replica_nodes_count > 0 && p->replica_nodes[0] == id;
            s.leads += p->leader_id == id;
            s.preferred += preferred;
            s.away += preferred && p->leader_id != id;
        }
    return s;
}

static int leaders_skew(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct leaders_options *o = parsed->options;
    struct describe_cluster_response cluster;
    struct metadata_response all;
    struct table t;
    struct json j;
    uint32_t leaderless = 0;
    if (!cli_connect(cli, &o->common) || !brokers_ask(cli, &cluster) || !topics_ask(cli, NULL, 0, &all))
        return CLI_FAILED;
    json_init(&j, &cli->out, true);
    table_init(&t, &cli->arena, ">ID|>LEADS|>PREFERRED|>AWAY|>IMBALANCE");
    if (o->common.json) {
        json_put_object(&j);
        json_put_key(&j, "brokers");
        json_put_array(&j);
    }
    for (uint32_t i = 0; i < cluster.brokers_count; i++) {
        int32_t id = cluster.brokers[i].broker_id;
        struct spread s = spread_of(&all, id);
        double imbalance = s.preferred ? 100.0 * s.away / s.preferred : 0;
        if (o->common.json) {
            json_put_object(&j);
            json_put_key_int(&j, "id", id);
            json_put_key_int(&j, "leads", s.leads);
            json_put_key_int(&j, "preferred", s.preferred);
            json_put_key_int(&j, "away", s.away);
            json_put_key(&j, "imbalance_percent");
            json_put_real(&j, imbalance, 1);
            json_put_object_end(&j);
            continue;
        }
        table_cell(&t, "%d", id);
        table_cell(&t, "%u", s.leads);
        table_cell(&t, "%u", s.preferred);
        table_cell(&t, "%u", s.away);
        table_cell(&t, "%.1f %%", imbalance);
    }
    for (uint32_t i = 0; i < all.topics_count; i++)
        for (uint32_t k = 0; k < all.topics[i].partitions_count; k++)
            leaderless += all.topics[i].partitions[k].leader_id < 0;
    if (o->common.json) {
        json_put_array_end(&j);
        json_put_key_int(&j, "leaderless", leaderless);
        json_put_object_end(&j);
        buf_printf(&cli->out, "\n");
    } else {
        table_print(&t, &cli->out);
        if (leaderless > 0)
            buf_printf(&cli->out, "%u partitions have no leader\n", leaderless);
    }
    return cli_done(cli);
}

// ------------------------------------------------------------------------------------------------ elect

// TOPIC, or TOPIC:PARTITION.
static bool wanted_partitions(struct cli *cli, const char *text, struct elect_leaders_request_topic_partition *out)
{
    const char *colon = strrchr(text, ':');
    struct metadata_response found;
    int64_t partition = -1;
    if (colon && (!cli_number_parse(colon + 1, &partition) || partition < 0 || partition > INT32_MAX)) {
        cli_wrong(cli, "'%s' is neither a topic nor TOPIC:PARTITION.", text);
        return false;
    }
    *out = (struct elect_leaders_request_topic_partition){
        .topic = colon ? bytes_of(text, (size_t)(colon - text)) : bytes_str(text)};
    if (colon) {
        out->partitions = cli_alloc(cli, 1, sizeof(*out->partitions));
        out->partitions[out->partitions_count++] = (int32_t)partition;
        return true;
    }
    if (!topics_ask(cli, &text, 1, &found))
        return false;
    if (found.topics_count != 1 || found.topics[0].error_code) {
        cli_fail(cli, "there is no topic '%s'", text);
        return false;
    }
    out->partitions = cli_alloc(cli, (size_t)found.topics[0].partitions_count + 1, sizeof(*out->partitions));
    for (uint32_t i = 0; i < found.topics[0].partitions_count; i++)
        out->partitions[out->partitions_count++] = found.topics[0].partitions[i].partition_index;
    return true;
}

static int show_elected(struct cli *cli, bool as_json, const struct elect_leaders_response *out)
{
    uint32_t done = 0, failed = 0;
    struct table t;
    struct json j;
    json_init(&j, &cli->out, true);
    table_init(&t, &cli->arena, "TOPIC|>PARTITION|RESULT");
    if (as_json)
        json_put_array(&j);
    for (uint32_t i = 0; i < out->replica_election_results_count; i++) {
        const struct elect_leaders_response_replica_election_result *r = &out->replica_election_results[i];
        for (uint32_t k = 0; k < r->partition_result_count; k++) {
            const struct elect_leaders_response_partition_result *p = &r->partition_result[k];
            if (p->error_code == KERR_ELECTION_NOT_NEEDED)
                continue;
            done += p->error_code == 0;
            failed += p->error_code != 0;
            const char *text = p->error_code == 0 ? "elected" : kerr_name(p->error_code);
            if (as_json) {
                json_put_object(&j);
                json_put_key_text(&j, "topic", r->topic);
                json_put_key_int(&j, "partition", p->partition_id);
                json_put_key_str(&j, "result", text);
                json_put_object_end(&j);
            } else {
                table_cell_bytes(&t, r->topic);
                table_cell(&t, "%d", p->partition_id);
                table_cell(&t, "%s", text);
            }
        }
    }
    if (as_json) {
        json_put_array_end(&j);
        buf_printf(&cli->out, "\n");
    } else {
        if (done + failed > 0)
            table_print(&t, &cli->out);
        buf_printf(&cli->out, "%u elected, %u failed\n", done, failed);
    }
    int code = cli_done(cli);
    return failed ? CLI_FAILED : code;
}

static int leaders_elect(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct leaders_options *o = parsed->options;
    struct elect_leaders_request in;
    struct elect_leaders_response out;
    if (o->unclean && parsed->argument_count == 0)
        return cli_wrong(cli, "--unclean may lose records: name the topics it is for.");
    if (!cli_connect(cli, &o->common))
        return CLI_FAILED;
    elect_leaders_request_init(&in);
    in.election_type = o->unclean ? ELECTION_UNCLEAN : ELECTION_PREFERRED;
    in.timeout_ms = ELECT_TIMEOUT_MS;
    in.topic_partitions = NULL; // all
    if (parsed->argument_count > 0)
        in.topic_partitions = cli_alloc(cli, parsed->argument_count, sizeof(*in.topic_partitions));
    for (uint32_t i = 0; i < parsed->argument_count; i++)
        if (!wanted_partitions(cli, parsed->arguments[i], &in.topic_partitions[in.topic_partitions_count++]))
            return CLI_FAILED;
    if (!cli_ask(cli, CLIENT_NODE_CONTROLLER, &elect_leaders_request_message, &in, &elect_leaders_response_message, &out))
        return CLI_FAILED;
    if (out.error_code)
        return cli_fail_code(cli, "the election", out.error_code, (struct bytes){0});
    return show_elected(cli, o->common.json, &out);
}

static const struct cli_option elect_options[] = {
    {.name = "unclean",
     .kind = CLI_FLAG,
     .offset = offsetof(struct leaders_options, unclean),
     .help = "where nobody in sync lives, elect who does; what others alone hold is lost"},
    {0},
};

const struct cli_command admin_leaders_commands[] = {
    {.name = "skew",
     .summary = "Show how leaderships are spread over the brokers.",
     .details = "PREFERRED counts partitions of which a broker is the first replica, AWAY those of them that\n"
                "another leads. With auto.leader.rebalance.enable they come back by themselves.",
     .shared = cli_common_options,
     .options_bytes = sizeof(struct leaders_options),
     .run = leaders_skew,
     .examples = "weir admin leaders skew\nweir admin leaders skew --json"},
    {.name = "elect",
     .arguments = "[TOPIC[:PARTITION]...]",
     .summary = "Give leaderships to the preferred replicas, of all partitions or of some.",
     .details = "A preferred replica is the first of the list; it must live and be in sync.",
     .options = elect_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct leaders_options),
     .arguments_max = UINT8_MAX,
     .run = leaders_elect,
     .examples = "weir admin leaders elect\nweir admin leaders elect orders:3 payments\n"
                 "weir admin leaders elect --unclean orders:3"},
    {0},
};
