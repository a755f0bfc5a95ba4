// SPDX-License-Identifier: Apache-2.0
//
// Gathering: lists from every broker, descriptions from coordinators in either protocol, offsets and log ends.
#include "cli/groups.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "client/offsets.h"
#include "model/ids.h"
#include "model/kerr.h"

enum { GROUPS_RETRY_MS = 100, RESOURCE_BROKER = 4 };

const char *groups_text(struct cli *cli, struct bytes b)
{
    char *text = arena_copy(&cli->arena, b.n ? b.p : (const uint8_t *)"", b.n);
    return text ? text : "?";
}

bool groups_is_inactive(const struct groups_group *g)
{
    return !g->exists || bytes_eq(g->state, bytes_str("Empty")) || bytes_eq(g->state, bytes_str("Dead"));
}

// ------------------------------------------------------------------------------------------------ coordinators

static bool is_elsewhere(int16_t code)
{
    return code == 14 || code == 15 || code == 16; // loading, not available, not this one
}

bool groups_ask(struct cli *cli, const char *id, const struct schema_message *request, const void *in,
                const struct schema_message *answer, void *out, groups_code_fn code_of, int32_t *coordinator)
{
    struct client *c = &cli->client;
    uint64_t deadline = io_clock_ns(cli->io) + (uint64_t)c->config.timeout_ms * 1000000;
    for (;;) {
        int16_t code;
        if (client_coordinator(c, id, coordinator, &code) != RC_OK) {
            cli_fail(cli, "%s", c->error);
            return false;
        }
        struct client_call call = {
            .node_id = *coordinator, .request = request, .answer = answer, .in = in, .out = out, .arena = &cli->arena};
        enum rc rc = client_call(c, &call);
        if (rc == RC_NOT_FOUND)
            client_refresh(c); // a broker that has come since
        else if (rc != RC_OK) {
            cli_fail(cli, "%s", c->error);
            return false;
        } else if (!is_elsewhere(code_of(out)))
            return true;
        if (io_clock_ns(cli->io) >= deadline) {
            cli_fail(cli, "the coordinator of group '%s' moves or is still loading; try again", id);
            return false;
        }
        client_wait_ms(c, GROUPS_RETRY_MS);
    }
}

// ------------------------------------------------------------------------------------------------ the list

static bool is_wanted(const struct cli_list *wanted, struct bytes value)
{
    if (wanted->count == 0)
        return true;
    for (uint32_t i = 0; i < wanted->count; i++)
        if (strlen(wanted->items[i]) == value.n && strncasecmp(wanted->items[i], (const char *)value.p, value.n) == 0)
            return true;
    return false;
}

static int by_id(const void *left, const void *right)
{
    const struct groups_listed *a = left, *b = right;
    return bytes_cmp(a->id, b->id);
}

static struct bytes *as_bytes(struct cli *cli, const struct cli_list *list)
{
    struct bytes *out = cli_alloc(cli, (size_t)list->count + 1, sizeof(*out));
    for (uint32_t i = 0; i < list->count; i++)
        out[i] = bytes_str(list->items[i]);
    return out;
}

static bool list_of_broker(struct cli *cli, int32_t broker, const struct cli_list *states, const struct cli_list *types,
                           struct groups_listed **list, uint32_t *count)
{
    struct list_groups_request in;
    struct list_groups_response out;
    list_groups_request_init(&in);
    in.states_filter = as_bytes(cli, states);
    in.states_filter_count = states->count;
    in.types_filter = as_bytes(cli, types);
    in.types_filter_count = types->count;
    if (!cli_ask(cli, broker, &list_groups_request_message, &in, &list_groups_response_message, &out))
        return false;
    if (out.error_code) {
        cli_fail_code(cli, "groups cannot be listed", out.error_code, bytes_of(NULL, 0));
        return false;
    }
    struct groups_listed *grown = cli_alloc(cli, (size_t)*count + out.groups_count + 1, sizeof(*grown));
    if (*count)
        memcpy(grown, *list, *count * sizeof(*grown));
    *list = grown;
    for (uint32_t i = 0; i < out.groups_count; i++) {
        const struct list_groups_response_group *g = &out.groups[i];
        if (!is_wanted(states, g->group_state) || !is_wanted(types, g->group_type))
            continue;
        grown[(*count)++] =
            (struct groups_listed){g->group_id, g->protocol_type, g->group_state, g->group_type, broker};
    }
    return true;
}

bool groups_gather_list(struct cli *cli, const struct cli_list *states, const struct cli_list *types,
                        struct groups_listed **list, uint32_t *count)
{
    *list = NULL;
    *count = 0;
    for (struct client_node *n = cli->client.nodes; n; n = n->next)
        if (n->id >= 0 && !n->gone && !list_of_broker(cli, n->id, states, types, list, count))
            return false;
    if (*count > 1)
        qsort(*list, *count, sizeof(**list), by_id);
    uint32_t kept = 0; // a group that moved meanwhile is told of twice
    for (uint32_t i = 0; i < *count; i++)
        if (kept == 0 || !bytes_eq((*list)[kept - 1].id, (*list)[i].id))
            (*list)[kept++] = (*list)[i];
    *count = kept;
    return true;
}

// ------------------------------------------------------------------------------------------------ classic groups

static void take_assignment(struct cli *cli, struct groups_member *m, struct bytes in)
{
    struct consumer_protocol_assignment a;
    struct dec d = dec_of(in);
    int16_t version = dec_i16(&d);
    int16_t known = (int16_t)consumer_protocol_assignment_message.version_max;
    uint32_t most = 0;
    if (d.bad || version < 0 ||
        consumer_protocol_assignment_decode(&d, version < known ? version : known, &cli->arena, &a) != RC_OK)
        return; // empty, or of something that is no consumer
    for (uint32_t i = 0; i < a.assigned_partitions_count; i++)
        most += a.assigned_partitions[i].partitions_count;
    m->assigned = cli_alloc(cli, (size_t)most + 1, sizeof(*m->assigned));
    for (uint32_t i = 0; i < a.assigned_partitions_count; i++)
        for (uint32_t k = 0; k < a.assigned_partitions[i].partitions_count; k++)
            m->assigned[m->assigned_count++] =
                (struct groups_partition){a.assigned_partitions[i].topic, a.assigned_partitions[i].partitions[k]};
}

static int16_t classic_code(const void *answer)
{
    const struct describe_groups_response *out = answer;
    return out->groups_count == 1 ? out->groups[0].error_code : -1;
}

static void take_classic(struct cli *cli, struct groups_group *g, const struct describe_groups_response_group *from)
{
    g->exists = !bytes_eq(from->group_state, bytes_str("Dead"));
    g->state = from->group_state;
    g->protocol_type = from->protocol_type;
    g->assignor = from->protocol_data;
    g->members = cli_alloc(cli, (size_t)from->members_count + 1, sizeof(*g->members));
    g->member_count = from->members_count;
    for (uint32_t i = 0; i < from->members_count; i++) {
        const struct describe_groups_response_member *m = &from->members[i];
        g->members[i] = (struct groups_member){.id = m->member_id,
                                               .instance_id = m->group_instance_id,
                                               .client_id = m->client_id,
                                               .host = m->client_host,
                                               .epoch = GROUPS_UNKNOWN};
        take_assignment(cli, &g->members[i], m->member_assignment);
    }
    g->events = cli_alloc(cli, (size_t)from->events_count + 1, sizeof(*g->events));
    g->event_count = from->events_count;
    for (uint32_t i = 0; i < from->events_count; i++)
        g->events[i] =
            (struct groups_event){from->events[i].timestamp_ms, from->events[i].generation, from->events[i].text};
}

static bool gather_classic(struct cli *cli, struct groups_group *g)
{
    struct describe_groups_request in;
    struct describe_groups_response out;
    struct bytes id = bytes_str(g->id);
    describe_groups_request_init(&in);
    in.groups = &id;
    in.groups_count = 1;
    in.include_events = true;
    if (!groups_ask(cli, g->id, &describe_groups_request_message, &in, &describe_groups_response_message, &out,
                    classic_code, &g->coordinator_id))
        return false;
    int16_t code = classic_code(&out);
    if (code && code != KERR_GROUPS_NOT_FOUND) {
        char about[300];
        snprintf(about, sizeof(about), "group '%s'", g->id);
        cli_fail_code(cli, about, code, bytes_of(NULL, 0));
        return false;
    }
    g->epoch = g->assignment_epoch = GROUPS_UNKNOWN;
    if (code == 0)
        take_classic(cli, g, &out.groups[0]);
    return true;
}

// ------------------------------------------------------------------------------------------------ the new protocol

static struct groups_partition *take_set(struct cli *cli, const struct consumer_group_describe_response_assignment *a,
                                         uint32_t *count)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < a->topic_partitions_count; i++)
        most += a->topic_partitions[i].partitions_count;
    struct groups_partition *out = cli_alloc(cli, (size_t)most + 1, sizeof(*out));
    *count = 0;
    for (uint32_t i = 0; i < a->topic_partitions_count; i++)
        for (uint32_t k = 0; k < a->topic_partitions[i].partitions_count; k++)
            out[(*count)++] =
                (struct groups_partition){a->topic_partitions[i].topic_name, a->topic_partitions[i].partitions[k]};
    return out;
}

static int16_t consumer_code(const void *answer)
{
    const struct consumer_group_describe_response *out = answer;
    return out->groups_count == 1 ? out->groups[0].error_code : -1;
}

static void take_consumer(struct cli *cli, struct groups_group *g,
                          const struct consumer_group_describe_response_group *from)
{
    g->exists = g->new_protocol = true;
    g->state = from->group_state;
    g->protocol_type = bytes_str("consumer");
    g->assignor = from->assignor_name;
    g->epoch = from->group_epoch;
    g->assignment_epoch = from->assignment_epoch;
    g->members = cli_alloc(cli, (size_t)from->members_count + 1, sizeof(*g->members));
    g->member_count = from->members_count;
    for (uint32_t i = 0; i < from->members_count; i++) {
        const struct consumer_group_describe_response_member *m = &from->members[i];
        struct groups_member *to = &g->members[i];
        *to = (struct groups_member){.id = m->member_id,
                                     .instance_id = m->instance_id,
                                     .rack = m->rack_id,
                                     .client_id = m->client_id,
                                     .host = m->client_host,
                                     .epoch = m->member_epoch};
        to->assigned = take_set(cli, &m->assignment, &to->assigned_count);
        to->target = take_set(cli, &m->target_assignment, &to->target_count);
    }
    g->events = cli_alloc(cli, (size_t)from->events_count + 1, sizeof(*g->events));
    g->event_count = from->events_count;
    for (uint32_t i = 0; i < from->events_count; i++)
        g->events[i] =
            (struct groups_event){from->events[i].timestamp_ms, from->events[i].generation, from->events[i].text};
}

// Whether the coordinator knows ConsumerGroupDescribe: asked only then, so that an old one is no error.
static bool knows_new_protocol(struct cli *cli, int32_t broker)
{
    struct client_connection *at = client_connection_of(&cli->client, broker);
    return at && at->versions[consumer_group_describe_request_message.key].max >= 0;
}

// *found: it is a group of the new protocol.
static bool gather_consumer(struct cli *cli, struct groups_group *g, bool *found)
{
    struct consumer_group_describe_request in;
    struct consumer_group_describe_response out;
    struct bytes id = bytes_str(g->id);
    *found = false;
    consumer_group_describe_request_init(&in);
    in.group_ids = &id;
    in.group_ids_count = 1;
    in.include_events = true;
    if (!groups_ask(cli, g->id, &consumer_group_describe_request_message, &in,
                    &consumer_group_describe_response_message, &out, consumer_code, &g->coordinator_id))
        return false;
    int16_t code = consumer_code(&out);
    if (code && code != KERR_GROUPS_NOT_FOUND && code != KERR_GROUPS_UNSUPPORTED_VERSION) {
        char about[300];
        snprintf(about, sizeof(about), "group '%s'", g->id);
        cli_fail_code(cli, about, code, out.groups_count ? out.groups[0].error_message : bytes_of(NULL, 0));
        return false;
    }
    *found = code == 0;
    if (*found)
        take_consumer(cli, g, &out.groups[0]);
    return true;
}

static int by_client(const void *left, const void *right)
{
    const struct groups_member *a = left, *b = right;
    int c = bytes_cmp(a->client_id, b->client_id);
    return c ? c : bytes_cmp(a->id, b->id);
}

bool groups_gather(struct cli *cli, const char *id, struct groups_group *g)
{
    bool found = false;
    *g = (struct groups_group){.id = id};
    if (!gather_classic(cli, g))
        return false;
    // A group of the new protocol is Dead to the old question, or not found by it.
    if (!g->exists && knows_new_protocol(cli, g->coordinator_id) && !gather_consumer(cli, g, &found))
        return false;
    for (struct client_node *n = cli->client.nodes; n; n = n->next) {
        if (n->id == g->coordinator_id && !n->gone) {
            g->coordinator_host = n->connection.host;
            g->coordinator_port = n->connection.port;
        }
    }
    if (g->member_count > 1)
        qsort(g->members, g->member_count, sizeof(*g->members), by_client);
    return true;
}

// ------------------------------------------------------------------------------------------------ rows

static int by_partition(const void *left, const void *right)
{
    const struct groups_row *a = left, *b = right;
    int c = bytes_cmp(a->topic, b->topic);
    return c ? c : (a->partition > b->partition) - (a->partition < b->partition);
}

static struct groups_row *find_row(struct groups_row *rows, uint32_t count, struct bytes topic, int32_t partition)
{
    struct groups_row key = {.topic = topic, .partition = partition};
    return count ? bsearch(&key, rows, count, sizeof(*rows), by_partition) : NULL;
}

// What members have, with or without an offset.
static void add_assigned(struct cli *cli, struct groups_group *g)
{
    uint32_t most = g->row_count, committed = g->row_count;
    for (uint32_t m = 0; m < g->member_count; m++)
        most += g->members[m].assigned_count;
    struct groups_row *rows = cli_alloc(cli, (size_t)most + 1, sizeof(*rows));
    if (committed)
        memcpy(rows, g->rows, committed * sizeof(*rows));
    for (uint32_t m = 0; m < g->member_count; m++) {
        for (uint32_t i = 0; i < g->members[m].assigned_count; i++) {
            struct groups_partition *p = &g->members[m].assigned[i];
            struct groups_row *row = find_row(rows, committed, p->topic, p->index);
            if (!row) {
                row = &rows[g->row_count++];
                *row = (struct groups_row){.topic = p->topic, .partition = p->index, .offset = GROUPS_UNKNOWN};
            }
            row->member = &g->members[m];
        }
    }
    if (g->row_count > 1)
        qsort(rows, g->row_count, sizeof(*rows), by_partition);
    g->rows = rows;
}

static bool gather_offsets(struct cli *cli, struct groups_group *g)
{
    struct group_offset *list;
    uint32_t count;
    int16_t code = 0;
    struct group_asker who = {.client = &cli->client,
                              .at = client_connection_of(&cli->client, g->coordinator_id),
                              .group_id = g->id,
                              .generation = -1};
    if (!who.at || group_offsets_fetch_all(&who, &cli->arena, &list, &count, &code) != RC_OK) {
        cli_fail(cli, "%s", who.at ? cli->client.error : "the coordinator is gone");
        return false;
    }
    if (code) {
        cli_fail_code(cli, "committed offsets", code, bytes_of(NULL, 0));
        return false;
    }
    g->rows = cli_alloc(cli, (size_t)count + 1, sizeof(*g->rows));
    for (uint32_t i = 0; i < count; i++)
        if (list[i].offset >= 0)
            g->rows[g->row_count++] = (struct groups_row){.topic = list[i].topic,
                                                          .partition = list[i].partition,
                                                          .leader_epoch = list[i].leader_epoch,
                                                          .offset = list[i].offset,
                                                          .metadata = list[i].metadata};
    return true;
}

bool groups_gather_logs(struct cli *cli, struct groups_row *rows, uint32_t count)
{
    for (uint32_t i = 0, n; i < count; i += n) {
        for (n = 1; i + n < count && bytes_eq(rows[i + n].topic, rows[i].topic);)
            n++;
        struct client_topic *t = client_topic(&cli->client, groups_text(cli, rows[i].topic));
        bool there = t && client_topic_wait(&cli->client, t, false) == RC_OK;
        struct client_offset *list = cli_alloc(cli, n, sizeof(*list));
        for (int end = 0; end < 2; end++) {
            for (uint32_t k = 0; k < n; k++)
                list[k] = (struct client_offset){.partition = rows[i + k].partition,
                                                 .timestamp = end ? OFFSET_SPEC_LATEST : OFFSET_SPEC_EARLIEST};
            if (there && client_list_offsets(&cli->client, t, list, n, false) != RC_OK) {
                cli_fail(cli, "%s", cli->client.error);
                return false;
            }
            for (uint32_t k = 0; k < n; k++)
                *(end ? &rows[i + k].log_end : &rows[i + k].log_start) =
                    there && list[k].error_code == 0 ? list[k].offset : GROUPS_UNKNOWN;
        }
    }
    return true;
}

bool groups_gather_rows(struct cli *cli, struct groups_group *g, bool with_time)
{
    if (!gather_offsets(cli, g))
        return false;
    add_assigned(cli, g);
    if (!groups_gather_logs(cli, g->rows, g->row_count))
        return false;
    for (uint32_t i = 0; i < g->row_count; i++) {
        struct groups_row *r = &g->rows[i];
        r->lag = r->offset < 0 || r->log_end < 0 ? GROUPS_UNKNOWN : r->log_end > r->offset ? r->log_end - r->offset : 0;
        r->lag_ms = GROUPS_UNKNOWN;
    }
    return !with_time || groups_gather_times(cli, g->rows, g->row_count);
}

int64_t groups_retention_ms(struct cli *cli, int32_t broker)
{
    struct describe_configs_request in;
    struct describe_configs_request_resource resource;
    struct describe_configs_response out;
    struct bytes key = bytes_str("offsets.retention.minutes");
    char name[16];
    int64_t minutes;
    snprintf(name, sizeof(name), "%d", broker);
    describe_configs_request_init(&in);
    describe_configs_request_resource_init(&resource);
    resource.resource_type = RESOURCE_BROKER;
    resource.resource_name = bytes_str(name);
    resource.configuration_keys = &key;
    resource.configuration_keys_count = 1;
    in.resources = &resource;
    in.resources_count = 1;
    struct client_call call = {.node_id = broker,
                               .request = &describe_configs_request_message,
                               .answer = &describe_configs_response_message,
                               .in = &in,
                               .out = &out,
                               .arena = &cli->arena};
    if (client_call(&cli->client, &call) != RC_OK || out.results_count != 1 || out.results[0].error_code ||
        out.results[0].configs_count != 1 ||
        !cli_number_parse(groups_text(cli, out.results[0].configs[0].value), &minutes) || minutes < 0)
        return GROUPS_UNKNOWN;
    return minutes * 60000;
}

// ------------------------------------------------------------------------------------------------ scopes

int groups_parse_topic(struct cli *cli, const char *text, struct groups_partition **list, uint32_t *count)
{
    const char *colon = strchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : strlen(text);
    char *name = arena_copy(&cli->arena, text, n);
    struct client_topic *t = name ? client_topic(&cli->client, name) : NULL;
    if (!t || client_topic_wait(&cli->client, t, false) != RC_OK)
        return cli_fail(cli, "%s", t ? cli->client.error : "topic name too long");
    size_t most = colon ? strlen(colon) : (size_t)t->partition_count;
    struct groups_partition *grown = cli_alloc(cli, *count + most + 1, sizeof(*grown));
    if (*count)
        memcpy(grown, *list, *count * sizeof(*grown));
    *list = grown;
    for (int32_t p = 0; !colon && p < t->partition_count; p++)
        grown[(*count)++] = (struct groups_partition){bytes_str(t->name), p};
    for (const char *s = colon; s && *s; s += strcspn(s, ",")) {
        char number[24];
        int64_t v;
        s++;
        snprintf(number, sizeof(number), "%.*s", (int)strcspn(s, ","), s);
        if (!cli_number_parse(number, &v))
            return cli_wrong(cli, "'%s': a topic may be followed by partitions, as in orders:0,1,2.", text);
        if (v < 0 || v >= t->partition_count)
            return cli_fail(cli, "topic '%s' has partitions 0 to %d", t->name, t->partition_count - 1);
        grown[(*count)++] = (struct groups_partition){bytes_str(t->name), (int32_t)v};
    }
    return CLI_OK;
}
