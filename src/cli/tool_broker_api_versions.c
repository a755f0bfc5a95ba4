// SPDX-License-Identifier: Apache-2.0
//
// kafka-broker-api-versions: every request a client can send, as each broker has it.
#include <stdio.h>

#include "base/assert.h"
#include "cli/commands.h"
#include "cli/tool.h"

// Kafka's requests to brokers that this program never sends; it knows the rest by their schema.
static const struct {
    int16_t key;
    const char *name;
} others[] = {
    {71, "GetTelemetrySubscriptions"},
    {72, "PushTelemetry"},
    {74, "ListConfigResources"},
    {76, "ShareGroupHeartbeat"},
    {77, "ShareGroupDescribe"},
    {78, "ShareFetch"},
    {79, "ShareAcknowledge"},
    {83, "InitializeShareGroupState"},
    {84, "ReadShareGroupState"},
    {85, "WriteShareGroupState"},
    {86, "DeleteShareGroupState"},
    {87, "ReadShareGroupStateSummary"},
    {88, "StreamsGroupHeartbeat"},
    {89, "StreamsGroupDescribe"},
    {90, "DescribeShareGroupOffsets"},
    {91, "AlterShareGroupOffsets"},
    {92, "DeleteShareGroupOffsets"},
};

static const char *name_of(int16_t key, const struct schema_message *m)
{
    for (size_t i = 0; i < ARRAY_COUNT(others); i++)
        if (others[i].key == key)
            return others[i].name;
    return m ? m->name : NULL;
}

static void one_api(struct buf *out, int16_t key, const struct client_versions *v, bool first)
{
    const struct schema_message *m = schema_find(kafka_requests, ARRAY_COUNT(kafka_requests), key);
    const char *name = name_of(key, m);
    int used = admin_api_used(m, v);
    if (!name && v->max < 0)
        return;
    buf_printf(out, "%s\t%s(%d): ", first ? "" : ",\n", name ? name : "UNKNOWN", key);
    if (v->max < 0) {
        buf_printf(out, "UNSUPPORTED");
        return;
    }
    buf_printf(out, "%d", v->min);
    if (v->max != v->min)
        buf_printf(out, " to %d", v->max);
    if (used >= 0)
        buf_printf(out, " [usable: %d]", used);
    else if (m)
        buf_printf(out, " [unusable: node too %s]", v->max < m->version_min ? "old" : "new");
}

static void one_broker(struct cli *cli, const struct metadata_response_broker *b, const struct client_node *n)
{
    bool first = true;
    buf_printf(&cli->out, "%.*s:%d (id: %d rack: %.*s isFenced: false) -> (\n", (int)b->host.n,
               (const char *)b->host.p, b->port, b->node_id, b->rack.p ? (int)b->rack.n : 4,
               b->rack.p ? (const char *)b->rack.p : "null");
    for (int16_t key = 0; key < CLIENT_API_KEYS_MAX; key++) {
        size_t before = cli->out.n;
        one_api(&cli->out, key, &n->connection.versions[key], first);
        first &= cli->out.n == before;
    }
    buf_printf(&cli->out, "\n)\n");
}

static int run(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct tool_common *o = parsed->options;
    struct metadata_response all, one;
    if (!tool_connect(cli, &tool_broker_api_versions, o) || !admin_ask_brokers(cli, CLIENT_NODE_ANY, &all))
        return CLI_FAILED;
    for (uint32_t i = 0; i < all.brokers_count; i++) {
        const struct client_node *n = cli->client.nodes;
        while (n && (n->gone || n->id != all.brokers[i].node_id))
            n = n->next;
        if (!n || !admin_ask_brokers(cli, n->id, &one))
            return CLI_FAILED;
        one_broker(cli, &all.brokers[i], n);
    }
    return cli_done(cli);
}

const struct cli_command tool_broker_api_versions = {
    .name = "kafka-broker-api-versions",
    .summary = "This tool helps to retrieve broker version information.",
    .shared = tool_connection_options,
    .options_bytes = sizeof(struct tool_common),
    .run = run};
