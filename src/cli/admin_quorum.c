// SPDX-License-Identifier: Apache-2.0
//
// weir admin quorum: who votes on the cluster's metadata, and how that changes.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "model/kerr.h"

struct quorum_table {
    struct json *j;
    struct table *t;
    int64_t leader_end;
    int32_t leader_id;
};

static void one_replica(const struct quorum_table *q, const struct describe_quorum_response_replica_state *r,
                        const char *role)
{
    char id[UUID_TEXT_CHARS + 1];
    int64_t lag = q->leader_end >= r->log_end_offset && r->log_end_offset >= 0 ? q->leader_end - r->log_end_offset : -1;
    uuid_format(r->replica_directory_id, id);
    bool has_id = !uuid_is_zero(r->replica_directory_id);
    if (q->j) {
        json_put_object(q->j);
        json_put_key_int(q->j, "id", r->replica_id);
        json_put_key_str(q->j, "role", role);
        json_put_key_str(q->j, "directory_id", has_id ? id : NULL);
        json_put_key_int(q->j, "log_end", r->log_end_offset);
        json_put_key_int(q->j, "lag", lag);
        json_put_key_int(q->j, "last_fetch_ms", r->last_fetch_timestamp);
        json_put_key_int(q->j, "last_caught_up_ms", r->last_caught_up_timestamp);
        json_put_object_end(q->j);
        return;
    }
    table_cell(q->t, "%d", r->replica_id);
    table_cell(q->t, "%s", role);
    table_cell(q->t, "%lld", (long long)r->log_end_offset);
    table_int(q->t, lag);
    table_cell(q->t, "%s", has_id ? id : "-");
}

static void all_replicas(const struct quorum_table *q, const struct describe_quorum_response_partition *p)
{
    for (uint32_t i = 0; i < p->current_voters_count; i++)
        one_replica(q, &p->current_voters[i], p->current_voters[i].replica_id == p->leader_id ? "leader" : "voter");
    for (uint32_t i = 0; i < p->observers_count; i++)
        one_replica(q, &p->observers[i], "observer");
}

static int show_quorum(struct cli *cli, bool as_json, const struct describe_quorum_response_partition *p)
{
    struct table t;
    struct json j;
    struct quorum_table q = {.j = as_json ? &j : NULL, .t = &t, .leader_end = p->high_watermark};
    json_init(&j, &cli->out, true);
    table_init(&t, &cli->arena, ">ID|ROLE|>LOG END|>LAG|DIRECTORY");
    for (uint32_t i = 0; i < p->current_voters_count; i++)
        if (p->current_voters[i].replica_id == p->leader_id)
            q.leader_end = p->current_voters[i].log_end_offset;
    if (as_json) {
        json_put_object(&j);
        json_put_key_int(&j, "leader", p->leader_id);
        json_put_key_int(&j, "term", p->leader_epoch);
        json_put_key_int(&j, "committed", p->high_watermark);
        json_put_key(&j, "replicas");
        json_put_array(&j);
        all_replicas(&q, p);
        json_put_array_end(&j);
        json_put_object_end(&j);
        buf_printf(&cli->out, "\n");
    } else {
        buf_printf(&cli->out, "leader %d, term %d, committed up to %lld\n", p->leader_id, p->leader_epoch,
                   (long long)p->high_watermark);
        all_replicas(&q, p);
        table_print(&t, &cli->out);
    }
    return cli_done(cli);
}

const struct describe_quorum_response_partition *admin_ask_quorum(struct cli *cli,
                                                                  struct describe_quorum_response *out)
{
    struct describe_quorum_request in;
    struct describe_quorum_request_partition partition = {.partition_index = 0};
    struct describe_quorum_request_topic topic = {
        .topic_name = bytes_str("__cluster_metadata"), .partitions = &partition, .partitions_count = 1};
    describe_quorum_request_init(&in);
    in.topics = &topic;
    in.topics_count = 1;
    if (!cli_ask(cli, CLIENT_NODE_ANY, &describe_quorum_request_message, &in, &describe_quorum_response_message, out))
        return NULL;
    if (out->error_code) {
        cli_fail_code(cli, "the quorum", out->error_code, out->error_message);
        return NULL;
    }
    if (out->topics_count != 1 || out->topics[0].partitions_count != 1) {
        cli_fail(cli, "the broker's answer does not describe the metadata quorum");
        return NULL;
    }
    const struct describe_quorum_response_partition *p = &out->topics[0].partitions[0];
    if (p->error_code) {
        cli_fail_code(cli, "the quorum", p->error_code, p->error_message);
        return NULL;
    }
    return p;
}

static int quorum_status(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct cli_common *o = parsed->options;
    if (!cli_connect(cli, o))
        return CLI_FAILED;
    struct describe_quorum_response all;
    const struct describe_quorum_response_partition *p = admin_ask_quorum(cli, &all);
    return p ? show_quorum(cli, o->json, p) : CLI_FAILED;
}

// ------------------------------------------------------------------------------------------------ changes

static bool node_parse(struct cli *cli, const char *text, int32_t *out, int *code)
{
    int64_t id;
    if (cli_number_parse(text, &id) && id >= 0 && id <= INT32_MAX) {
        *out = (int32_t)id;
        return true;
    }
    *code = cli_wrong(cli, "'%s' is not a node's id.", text);
    return false;
}

// listener NULL: they know where it is.
static bool add_voter(struct cli *cli, int32_t node, bool lead, struct add_raft_voter_request_listener *listener)
{
    struct add_raft_voter_request in;
    struct add_raft_voter_response out;
    char what[64];
    add_raft_voter_request_init(&in);
    in.listeners = listener;
    in.listeners_count = listener != NULL;
    in.voter_id = node;
    in.lead = lead;
    in.timeout_ms = 15000;
    snprintf(what, sizeof(what), "node %d", node);
    if (!cli_ask(cli, CLIENT_NODE_ANY, &add_raft_voter_request_message, &in, &add_raft_voter_response_message, &out))
        return false;
    if (out.error_code)
        cli_fail_code(cli, what, out.error_code, out.error_message);
    return out.error_code == 0;
}

static bool remove_voter(struct cli *cli, int32_t node, struct uuid directory)
{
    struct remove_raft_voter_request in;
    struct remove_raft_voter_response out;
    char what[64];
    remove_raft_voter_request_init(&in);
    in.voter_id = node;
    in.voter_directory_id = directory;
    snprintf(what, sizeof(what), "node %d", node);
    if (!cli_ask(cli, CLIENT_NODE_ANY, &remove_raft_voter_request_message, &in, &remove_raft_voter_response_message,
                 &out))
        return false;
    if (out.error_code)
        cli_fail_code(cli, what, out.error_code, out.error_message);
    return out.error_code == 0;
}

static const struct describe_quorum_response_replica_state *
find_replica(const struct describe_quorum_response_replica_state *list, uint32_t count, int32_t node)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i].replica_id == node)
            return &list[i];
    return NULL;
}

// ID or ID@HOST:PORT.
static int quorum_add(struct cli *cli, const struct cli_parsed *parsed)
{
    struct add_raft_voter_request_listener listener;
    const char *text = parsed->arguments[0], *at = strchr(text, '@');
    const char *id = at ? arena_copy(&cli->arena, text, (size_t)(at - text)) : text;
    int32_t node;
    int code;
    add_raft_voter_request_listener_init(&listener);
    if (!id || !node_parse(cli, id, &node, &code))
        return id ? code : CLI_FAILED;
    if (at) {
        const char *colon = strrchr(at, ':');
        int64_t port;
        if (!colon || colon == at + 1 || !cli_number_parse(colon + 1, &port) || port < 1 || port > UINT16_MAX)
            return cli_wrong(cli, "'%s' is not ID@HOST:PORT.", text);
        listener.name = bytes_str("PEER");
        listener.host = bytes_of(at + 1, (size_t)(colon - at - 1));
        listener.port = (uint16_t)port;
    }
    if (!cli_connect(cli, parsed->options) || !add_voter(cli, node, false, at ? &listener : NULL))
        return CLI_FAILED;
    buf_printf(&cli->out, "node %d votes\n", node);
    return cli_done(cli);
}

static int quorum_remove(struct cli *cli, const struct cli_parsed *parsed)
{
    int32_t node;
    int code;
    if (!node_parse(cli, parsed->arguments[0], &node, &code))
        return code;
    if (!cli_connect(cli, parsed->options) || !remove_voter(cli, node, (struct uuid){0}))
        return CLI_FAILED;
    buf_printf(&cli->out, "node %d votes no more\n", node);
    return cli_done(cli);
}

static int quorum_transfer(struct cli *cli, const struct cli_parsed *parsed)
{
    int32_t node;
    int code;
    if (!node_parse(cli, parsed->arguments[0], &node, &code))
        return code;
    if (!cli_connect(cli, parsed->options) || !add_voter(cli, node, true, NULL))
        return CLI_FAILED;
    buf_printf(&cli->out, "node %d is asked to lead\n", node);
    return cli_done(cli);
}

// A node whose disk was emptied is there as an observer with another identity: the old one goes, each step committed.
static int quorum_replace(struct cli *cli, const struct cli_parsed *parsed)
{
    int32_t node;
    int code;
    if (!node_parse(cli, parsed->arguments[0], &node, &code))
        return code;
    if (!cli_connect(cli, parsed->options))
        return CLI_FAILED;
    struct describe_quorum_response all;
    const struct describe_quorum_response_partition *p = admin_ask_quorum(cli, &all);
    if (!p)
        return CLI_FAILED;
    const struct describe_quorum_response_replica_state *old =
        find_replica(p->current_voters, p->current_voters_count, node);
    const struct describe_quorum_response_replica_state *fresh = find_replica(p->observers, p->observers_count, node);
    if (!fresh)
        return cli_fail(cli,
                        old ? "node %d is a voter and there is no other node %d; start it with its empty folder first"
                            : "node %d is neither a voter nor an observer; start it with --peers first (%d)",
                        node, node);
    struct uuid directory = old ? old->replica_directory_id : (struct uuid){0};
    if (old && !remove_voter(cli, node, directory))
        return CLI_FAILED;
    if (!add_voter(cli, node, false, NULL))
        return cli_fail(cli, "the old identity of node %d is removed; 'weir admin quorum add %d' gives the new one its vote",
                        node, node);
    buf_printf(&cli->out, "node %d votes with its new folder\n", node);
    return cli_done(cli);
}

const struct cli_command admin_quorum_commands[] = {
    {.name = "status",
     .summary = "Show leader, voters and observers of the metadata log and how far each is.",
     .shared = cli_common_options,
     .options_bytes = sizeof(struct cli_common),
     .run = quorum_status,
     .examples = "weir admin quorum status\nweir admin quorum status --json"},
    {.name = "add",
     .arguments = "ID[@HOST:PORT]",
     .summary = "Give an observer that has caught up a vote. HOST:PORT is where it listens for nodes (its own entry in "
                "--peers); say it when this cluster has not seen that machine before.",
     .shared = cli_common_options,
     .options_bytes = sizeof(struct cli_common),
     .arguments_min = 1,
     .arguments_max = 1,
     .run = quorum_add,
     .examples = "weir admin quorum add 4\nweir admin quorum add 4@10.0.0.4:9093"},
    {.name = "remove",
     .arguments = "ID",
     .summary = "Take a node's vote away; it goes on as an observer.",
     .shared = cli_common_options,
     .options_bytes = sizeof(struct cli_common),
     .arguments_min = 1,
     .arguments_max = 1,
     .run = quorum_remove,
     .examples = "weir admin quorum remove 4"},
    {.name = "transfer",
     .arguments = "ID",
     .summary = "Let a voter lead the metadata log, and so be the controller.",
     .shared = cli_common_options,
     .options_bytes = sizeof(struct cli_common),
     .arguments_min = 1,
     .arguments_max = 1,
     .run = quorum_transfer,
     .examples = "weir admin quorum transfer 2"},
    {.name = "replace",
     .arguments = "ID",
     .summary = "Give a node that came back with an empty folder its vote back.",
     .shared = cli_common_options,
     .options_bytes = sizeof(struct cli_common),
     .arguments_min = 1,
     .arguments_max = 1,
     .run = quorum_replace,
     .examples = "weir admin quorum replace 2"},
    {0},
};
