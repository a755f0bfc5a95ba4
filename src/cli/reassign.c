// SPDX-License-Identifier: Apache-2.0
#include "cli/reassign.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/admin_configs.h"
#include "cli/commands.h"

enum { RESOURCE_TOPIC = 2, RESOURCE_BROKER = 4, TIMEOUT_MS = 60000 };

// ------------------------------------------------------------------------------------------------ texts

static const char *move_read(const json_t *entry, struct arena *a, struct reassign_move *out)
{
    const json_t *topic = json_object_get(entry, "topic"), *partition = json_object_get(entry, "partition"),
                 *replicas = json_object_get(entry, "replicas"), *dirs = json_object_get(entry, "log_dirs");
    if (!json_is_string(topic))
        return "Expected `string` value, received something else as the topic";
    if (!json_is_integer(partition) || json_integer_value(partition) < 0 || json_integer_value(partition) > INT32_MAX)
        return "Expected `int` value, received something else as the partition";
    if (!json_is_array(replicas))
        return "Expected a list of broker ids as the replicas";
    uint32_t count = (uint32_t)json_array_size(replicas);
    int32_t *ids = arena_array(a, (size_t)count + 1, sizeof(*ids));
    const char **paths = arena_array(a, (size_t)count + 1, sizeof(*paths));
    out->topic = arena_copy(a, json_string_value(topic), json_string_length(topic));
    if (!ids || !paths || !out->topic)
        return "out of memory";
    for (uint32_t i = 0; i < count; i++) {
        const json_t *id = json_array_get(replicas, i), *dir = json_array_get(dirs, i);
        if (!json_is_integer(id) || json_integer_value(id) < INT32_MIN || json_integer_value(id) > INT32_MAX)
            return "Expected a list of broker ids as the replicas";
        if (dir && !json_is_string(dir))
            return "Expected a list of log folders as the log_dirs";
        if (dir && strcmp(json_string_value(dir), "any") != 0 &&
            !(paths[i] = arena_copy(a, json_string_value(dir), json_string_length(dir))))
            return "out of memory";
        ids[i] = (int32_t)json_integer_value(id);
    }
    if (dirs && json_array_size(dirs) != count)
        return "Size of replicas list is different from size of log dirs list";
    out->partition = (int32_t)json_integer_value(partition);
    out->replicas = ids;
    out->dirs = paths;
    out->count = count;
    return NULL;
}

static int move_order(const void *a, const void *b)
{
    const struct reassign_move *x = a, *y = b;
    int c = strcmp(x->topic, y->topic);
    return c ? c : (x->partition > y->partition) - (x->partition < y->partition);
}

void reassign_sort(struct reassign_plan *p)
{
    qsort(p->moves, p->count, sizeof(*p->moves), move_order);
}

static const char *plan_check(const struct reassign_plan *p, struct arena *a)
{
    if (p->count == 0)
        return "Partition reassignment list cannot be empty";
    for (uint32_t i = 0; i < p->count; i++) {
        const struct reassign_move *m = &p->moves[i];
        if (m->count == 0)
            return "Partition replica list cannot be empty";
        if (i > 0 && move_order(m - 1, m) == 0)
            return arena_printf(a, "Partition reassignment contains duplicate topic partitions: %s-%d", m->topic,
                                m->partition);
        for (uint32_t k = 0; k < m->count; k++)
            for (uint32_t j = 0; j < k; j++)
                if (m->replicas[j] == m->replicas[k])
                    return arena_printf(a,
                                        "Partition replica lists may not contain duplicate entries: %s-%d contains multiple "
                                        "entries for %d",
                                        m->topic, m->partition, m->replicas[k]);
    }
    return NULL;
}

static const char *version_check(const json_t *root)
{
    const json_t *version = json_object_get(root, "version");
    if (!json_is_object(root))
        return "The input string is not a valid JSON";
    return version && (!json_is_integer(version) || json_integer_value(version) != 1) ? "Not supported version field value"
                                                                                      : NULL;
}

bool reassign_parse(const char *text, struct arena *a, struct reassign_plan *out)
{
    json_t *root = json_loads(text, 0, NULL);
    const json_t *list = json_object_get(root, "partitions");
    uint32_t count = (uint32_t)json_array_size(list);
    *out = (struct reassign_plan){.moves = arena_array(a, (size_t)count + 1, sizeof(*out->moves))};
    out->wrong = out->moves ? version_check(root) : "out of memory";
    for (; !out->wrong && out->count < count; out->count++)
        out->wrong = move_read(json_array_get(list, out->count), a, &out->moves[out->count]);
    json_decref(root);
    if (!out->wrong) {
        reassign_sort(out);
        out->wrong = plan_check(out, a);
    }
    return !out->wrong;
}

const char **reassign_parse_topics(const char *text, struct arena *a, uint32_t *count, const char **wrong)
{
    json_t *root = json_loads(text, 0, NULL);
    const json_t *list = json_object_get(root, "topics");
    *count = (uint32_t)json_array_size(list);
    const char **names = arena_array(a, (size_t)*count + 1, sizeof(*names));
    *wrong = names ? version_check(root) : "out of memory";
    for (uint32_t i = 0; !*wrong && i < *count; i++) {
        const json_t *topic = json_object_get(json_array_get(list, i), "topic");
        names[i] = json_is_string(topic) ? arena_copy(a, json_string_value(topic), json_string_length(topic)) : NULL;
        if (!names[i])
            *wrong = "Expected `string` value, received something else as the topic";
        for (uint32_t k = 0; !*wrong && k < i; k++)
            if (strcmp(names[k], names[i]) == 0)
                *wrong = arena_printf(a, "List of topics to reassign contains duplicate entries: [%s]", names[i]);
    }
    json_decref(root);
    return *wrong ? NULL : names;
}

void reassign_print(const struct reassign_plan *p, struct buf *out)
{
    struct json j;
    json_init(&j, out, false);
    json_put_object(&j);
    json_put_key_int(&j, "version", 1);
    json_put_key(&j, "partitions");
    json_put_array(&j);
    for (uint32_t i = 0; i < p->count; i++) {
        const struct reassign_move *m = &p->moves[i];
        json_put_object(&j);
        json_put_key_str(&j, "topic", m->topic);
        json_put_key_int(&j, "partition", m->partition);
        json_put_key(&j, "replicas");
        json_put_array(&j);
        for (uint32_t k = 0; k < m->count; k++)
            json_put_int(&j, m->replicas[k]);
        json_put_array_end(&j);
        json_put_key(&j, "log_dirs");
        json_put_array(&j);
        for (uint32_t k = 0; k < m->count; k++)
            json_put_text(&j, bytes_str(m->dirs && m->dirs[k] ? m->dirs[k] : "any"));
        json_put_array_end(&j);
        json_put_object_end(&j);
    }
    json_put_array_end(&j);
    json_put_object_end(&j);
}

// ------------------------------------------------------------------------------------------------ asking

const struct metadata_response_partition *reassign_find(const struct metadata_response *all, const char *topic,
                                                        int32_t partition)
{
    for (uint32_t i = 0; i < all->topics_count; i++)
        for (uint32_t k = 0; bytes_eq(all->topics[i].name, bytes_str(topic)) && k < all->topics[i].partitions_count; k++)
            if (all->topics[i].partitions[k].partition_index == partition)
                return &all->topics[i].partitions[k];
    return NULL;
}

bool reassign_ask_list(struct cli *cli, struct list_partition_reassignments_response *out)
{
    struct list_partition_reassignments_request in;
    list_partition_reassignments_request_init(&in);
    in.topics = NULL;
    if (!cli_ask(cli, CLIENT_NODE_CONTROLLER, &list_partition_reassignments_request_message, &in,
                 &list_partition_reassignments_response_message, out))
        return false;
    if (out->error_code)
        cli_fail_code(cli, "the moves under way", out->error_code, out->error_message);
    return !out->error_code;
}

const struct list_partition_reassignments_response_partition *
reassign_under_way(const struct list_partition_reassignments_response *list, const char *topic, int32_t partition)
{
    for (uint32_t i = 0; i < list->topics_count; i++)
        for (uint32_t k = 0; bytes_eq(list->topics[i].name, bytes_str(topic)) && k < list->topics[i].partitions_count; k++)
            if (list->topics[i].partitions[k].partition_index == partition)
                return &list->topics[i].partitions[k];
    return NULL;
}

bool reassign_ask_alter(struct cli *cli, const struct reassign_plan *p, bool cancel, bool factor_may_change,
                        struct alter_partition_reassignments_response_partition **out)
{
    struct alter_partition_reassignments_request in;
    struct alter_partition_reassignments_response answer;
    uint32_t n = 0;
    alter_partition_reassignments_request_init(&in);
    in.timeout_ms = TIMEOUT_MS;
    in.allow_replication_factor_change = factor_may_change;
    in.topics = cli_alloc(cli, (size_t)p->count + 1, sizeof(*in.topics));
    struct alter_partition_reassignments_request_partition *parts = cli_alloc(cli, (size_t)p->count + 1, sizeof(*parts));
    for (uint32_t i = 0; i < p->count; i++) {
        struct alter_partition_reassignments_request_topic *t = &in.topics[in.topics_count];
        if (i == 0 || strcmp(p->moves[i - 1].topic, p->moves[i].topic) != 0) {
            *t = (struct alter_partition_reassignments_request_topic){.name = bytes_str(p->moves[i].topic),
                                                                      .partitions = &parts[i]};
            in.topics_count++;
        }
        in.topics[in.topics_count - 1].partitions_count++;
        parts[i].partition_index = p->moves[i].partition;
        parts[i].replicas = cancel ? NULL : (int32_t *)(uintptr_t)p->moves[i].replicas;
        parts[i].replicas_count = cancel ? 0 : p->moves[i].count;
    }
    if (!cli_ask(cli, CLIENT_NODE_CONTROLLER, &alter_partition_reassignments_request_message, &in,
                 &alter_partition_reassignments_response_message, &answer))
        return false;
    *out = cli_alloc(cli, (size_t)p->count + 1, sizeof(**out));
    for (uint32_t i = 0; i < answer.responses_count; i++)
        for (uint32_t k = 0; k < answer.responses[i].partitions_count && n < p->count; k++)
            (*out)[n++] = answer.responses[i].partitions[k];
    if (answer.error_code || n != p->count)
        cli_fail_code(cli, "the moves", answer.error_code, answer.error_message);
    return !answer.error_code && n == p->count;
}

// ------------------------------------------------------------------------------------------------ throttles

static bool change(struct cli *cli, int8_t type, const char *name, const char *const *keys, const char *const *values,
                   uint32_t count)
{
    struct incremental_alter_configs_request_config configs[3];
    struct configs_resource r = {.type = type, .name = bytes_str(name), .node_id = CLIENT_NODE_CONTROLLER};
    struct incremental_alter_configs_response_response result;
    for (uint32_t i = 0; i < count; i++) {
        incremental_alter_configs_request_config_init(&configs[i]);
        configs[i].name = bytes_str(keys[i]);
        configs[i].config_operation = values ? CONFIGS_SET : CONFIGS_DELETE;
        configs[i].value = values ? bytes_str(values[i]) : (struct bytes){0};
    }
    if (!configs_ask_change(cli, &r, configs, count, false, &result))
        return false;
    if (result.error_code)
        cli_fail_code(cli, arena_printf(&cli->arena, "the throttle of '%s'", name), result.error_code,
                      result.error_message);
    return !result.error_code;
}

static const char *const topic_keys[] = {"leader.replication.throttled.replicas", "follower.replication.throttled.replicas"};
static const char *const broker_keys[] = {"leader.replication.throttled.rate", "follower.replication.throttled.rate",
                                          "replica.alter.log.dirs.io.max.bytes.per.second"};

static bool has(const int32_t *list, uint32_t count, int32_t id)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i] == id)
            return true;
    return false;
}

// Whom a partition is copied from, and whom to: of a move under way the replicas there were before it.
static void pairs_of(struct cli *cli, const struct reassign_move *m, const struct metadata_response *all,
                     const struct list_partition_reassignments_response *list, const char **from, const char **to)
{
    const struct metadata_response_partition *p = reassign_find(all, m->topic, m->partition);
    const struct list_partition_reassignments_response_partition *r = reassign_under_way(list, m->topic, m->partition);
    const int32_t *replicas = r ? r->replicas : p ? p->replica_nodes : NULL;
    uint32_t count = r ? r->replicas_count : p ? p->replica_nodes_count : 0;
    for (uint32_t i = 0; i < count; i++)
        if (!r || !has(r->adding_replicas, r->adding_replicas_count, replicas[i]))
            *from = arena_printf(&cli->arena, "%s%s%d:%d", *from, **from ? "," : "", m->partition, replicas[i]);
    for (uint32_t i = 0; i < m->count; i++)
        if (!has(replicas, count, m->replicas[i]) ||
            (r && has(r->adding_replicas, r->adding_replicas_count, m->replicas[i])))
            *to = arena_printf(&cli->arena, "%s%s%d:%d", *to, **to ? "," : "", m->partition, m->replicas[i]);
}

bool reassign_throttle(struct cli *cli, const struct reassign_plan *p, const struct metadata_response *all,
                       const struct list_partition_reassignments_response *list, int64_t rate)
{
    uint32_t count;
    const char *number = arena_printf(&cli->arena, "%lld", (long long)rate);
    for (uint32_t i = 0; i < p->count;) {
        const char *topic = p->moves[i].topic, *lists[2] = {"", ""};
        for (; i < p->count && strcmp(p->moves[i].topic, topic) == 0; i++)
            pairs_of(cli, &p->moves[i], all, list, &lists[0], &lists[1]);
        if (!change(cli, RESOURCE_TOPIC, topic, topic_keys, lists, 2))
            return false;
    }
    const int32_t *brokers = reassign_brokers(cli, p, all, &count);
    for (uint32_t i = 0; i < count; i++)
        if (!change(cli, RESOURCE_BROKER, arena_printf(&cli->arena, "%d", brokers[i]), broker_keys,
                    (const char *[]){number, number}, 2))
            return false;
    return true;
}

bool reassign_throttle_dirs(struct cli *cli, const struct reassign_plan *p, const struct metadata_response *all,
                            int64_t rate)
{
    uint32_t count;
    const char *number = arena_printf(&cli->arena, "%lld", (long long)rate);
    const int32_t *brokers = reassign_brokers(cli, p, all, &count);
    for (uint32_t i = 0; i < count; i++)
        if (!change(cli, RESOURCE_BROKER, arena_printf(&cli->arena, "%d", brokers[i]), broker_keys + 2, &number, 1))
            return false;
    return true;
}

bool reassign_unthrottle(struct cli *cli, const int32_t *brokers, uint32_t broker_count, const char *const *topics,
                         uint32_t topic_count)
{
    for (uint32_t i = 0; i < broker_count; i++)
        if (!change(cli, RESOURCE_BROKER, arena_printf(&cli->arena, "%d", brokers[i]), broker_keys, NULL, 3))
            return false;
    for (uint32_t i = 0; i < topic_count; i++)
        if (!change(cli, RESOURCE_TOPIC, topics[i], topic_keys, NULL, 2))
            return false;
    return true;
}

static int id_order(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

int32_t *reassign_brokers(struct cli *cli, const struct reassign_plan *p, const struct metadata_response *all,
                          uint32_t *count)
{
    size_t most = all->brokers_count;
    for (uint32_t i = 0; i < p->count; i++)
        most += p->moves[i].count;
    int32_t *ids = cli_alloc(cli, most + 1, sizeof(*ids));
    *count = 0;
    for (uint32_t i = 0; i < all->brokers_count; i++)
        ids[(*count)++] = all->brokers[i].node_id;
    for (uint32_t i = 0; i < p->count; i++)
        for (uint32_t k = 0; k < p->moves[i].count; k++)
            if (!has(ids, *count, p->moves[i].replicas[k]))
                ids[(*count)++] = p->moves[i].replicas[k];
    qsort(ids, *count, sizeof(*ids), id_order);
    return ids;
}

const char **reassign_topics(struct cli *cli, const struct reassign_plan *p, uint32_t *count)
{
    const char **names = cli_alloc(cli, (size_t)p->count + 1, sizeof(*names));
    *count = 0;
    for (uint32_t i = 0; i < p->count; i++)
        if (i == 0 || strcmp(p->moves[i - 1].topic, p->moves[i].topic) != 0)
            names[(*count)++] = p->moves[i].topic;
    return names;
}

// ------------------------------------------------------------------------------------------------ placing

// Brokers in an order in which neighbours are of different racks.
static void racks_in_turn(const struct metadata_response *all, int32_t *ids, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        for (uint32_t k = i; k < count; k++) {
            struct bytes before = {0}, rack = {0};
            for (uint32_t b = 0; b < all->brokers_count; b++) {
                before = all->brokers[b].node_id == ids[i - 1] ? all->brokers[b].rack : before;
                rack = all->brokers[b].node_id == ids[k] ? all->brokers[b].rack : rack;
            }
            if (bytes_eq(before, rack))
                continue;
            int32_t id = ids[k];
            memmove(&ids[i + 1], &ids[i], (k - i) * sizeof(*ids));
            ids[i] = id;
            break;
        }
}

static const char *racks_check(const struct metadata_response *all, const int32_t *ids, uint32_t count)
{
    uint32_t with = 0;
    for (uint32_t b = 0; b < all->brokers_count; b++)
        with += has(ids, count, all->brokers[b].node_id) && all->brokers[b].rack.p;
    return with && with < count ? "Not all brokers have rack information. Add --disable-rack-aware in command line to make "
                                  "replica assignment without rack information."
                                : NULL;
}

const char *reassign_place(struct cli *cli, const struct metadata_response *all, const char *const *topics,
                           uint32_t topic_count, const int32_t *brokers, uint32_t broker_count, bool by_rack,
                           struct reassign_plan *current, struct reassign_plan *proposed)
{
    int32_t *ids = cli_alloc(cli, (size_t)broker_count + 1, sizeof(*ids));
    uint32_t n = 0, at = 0;
    size_t most = 1;
    for (uint32_t i = 0; i < broker_count; i++)
        for (uint32_t b = 0; b < all->brokers_count; b++)
            if (all->brokers[b].node_id == brokers[i])
                ids[n++] = brokers[i];
    if (by_rack && racks_check(all, ids, n))
        return racks_check(all, ids, n);
    qsort(ids, n, sizeof(*ids), id_order);
    if (by_rack)
        racks_in_turn(all, ids, n);
    for (uint32_t i = 0; i < all->topics_count; i++)
        most += all->topics[i].partitions_count;
    current->moves = cli_alloc(cli, most, sizeof(*current->moves));
    proposed->moves = cli_alloc(cli, most, sizeof(*proposed->moves));
    for (uint32_t t = 0; t < topic_count; t++) {
        uint32_t i = 0;
        while (i < all->topics_count && (!bytes_eq(all->topics[i].name, bytes_str(topics[t])) || all->topics[i].error_code))
            i++;
        if (i == all->topics_count)
            return arena_printf(&cli->arena, "Topic %s not found.", topics[t]);
        for (uint32_t k = 0; k < all->topics[i].partitions_count; k++) {
            const struct metadata_response_partition *p = &all->topics[i].partitions[k];
            uint32_t factor = all->topics[i].partitions[0].replica_nodes_count;
            if (factor > n)
                return arena_printf(&cli->arena, "Replication factor: %u larger than available brokers: %u", factor, n);
            int32_t *to = cli_alloc(cli, factor, sizeof(*to));
            for (uint32_t r = 0; r < factor; r++)
                to[r] = ids[(at + r) % n];
            at++;
            current->moves[current->count++] = (struct reassign_move){topics[t], p->partition_index, p->replica_nodes,
                                                                      p->replica_nodes_count, NULL};
            proposed->moves[proposed->count++] = (struct reassign_move){topics[t], p->partition_index, to, factor, NULL};
        }
    }
    reassign_sort(current);
    reassign_sort(proposed);
    return NULL;
}
