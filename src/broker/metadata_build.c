// SPDX-License-Identifier: Apache-2.0
//
// The answer to Metadata out of the image; see api_metadata.h. Arrays of node ids point straight into the image, names
// into the image or the request.
#include <stdlib.h>

#include "broker/api_metadata.h"
#include "engine/coordinator.h"
#include "model/kerr.h"

enum { IDS_VERSION = 12, NULL_MEANS_ALL_VERSION = 1, ALIVE_ONLY_VERSION_MAX = 0 };

struct metadata_builder {
    const struct cluster_view *view;
    const struct metadata_request *in;
    int16_t version;
    const struct create_topics_response *created;
    struct arena *arena;
    struct metadata_response *out;
};

// ------------------------------------------------------------------------------------------------ the question

enum metadata_scope metadata_scope_of(const struct metadata_request *in, int16_t version)
{
    if (in->topics_count == 0)
        return version < NULL_MEANS_ALL_VERSION || !in->topics ? METADATA_ALL : METADATA_BROKERS;
    for (uint32_t i = 0; i < in->topics_count; i++)
        if (!uuid_is_zero(in->topics[i].topic_id))
            return METADATA_BY_ID;
    return METADATA_BY_NAME;
}

enum rc metadata_request_check(const struct metadata_request *in, int16_t version)
{
    if (version >= IDS_VERSION)
        return RC_OK;
    for (uint32_t i = 0; i < in->topics_count; i++)
        if (!in->topics[i].name.p || !uuid_is_zero(in->topics[i].topic_id))
            return RC_INVALID_REQUEST;
    return RC_OK;
}

static int wanted_order(const void *a, const void *b)
{
    const struct metadata_request_topic *const *x = a, *const *y = b;
    int c = memcmp((*x)->topic_id.b, (*y)->topic_id.b, sizeof((*x)->topic_id.b));
    return c ? c : bytes_cmp((*x)->name, (*y)->name);
}

// What was asked for, in order and each once.
static enum rc wanted_list(const struct metadata_request *in, struct arena *a,
                           const struct metadata_request_topic ***out, uint32_t *count)
{
    const struct metadata_request_topic **list = arena_array(a, in->topics_count, sizeof(*list));
    if (!list)
        return RC_NOMEM;
    for (uint32_t i = 0; i < in->topics_count; i++)
        list[i] = &in->topics[i];
    qsort(list, in->topics_count, sizeof(*list), wanted_order);
    uint32_t n = 0;
    for (uint32_t i = 0; i < in->topics_count; i++)
        if (n == 0 || wanted_order(&list[n - 1], &list[i]) != 0)
            list[n++] = list[i];
    *out = list;
    *count = n;
    return RC_OK;
}

// Of the internal topics those that have a use today.
static bool metadata_creatable(struct bytes name)
{
    return !topic_name_internal(name) || bytes_eq(name, COORDINATOR_TOPIC);
}

enum rc metadata_missing(const struct image *image, const struct metadata_request *in, struct arena *a,
                         struct bytes **out, uint32_t *count)
{
    *out = NULL;
    *count = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < in->topics_count; i++)
        n += !image_topic_by_name(image, in->topics[i].name);
    if (n == 0) // nearly always
        return RC_OK;
    const struct metadata_request_topic **list;
    uint32_t list_count;
    if (wanted_list(in, a, &list, &list_count) != RC_OK || !(*out = arena_array(a, n, sizeof(**out))))
        return RC_NOMEM;
    for (uint32_t i = 0; i < list_count; i++) {
        struct bytes name = list[i]->name;
        if (!image_topic_by_name(image, name) && topic_name_valid(name) && metadata_creatable(name))
            (*out)[(*count)++] = name;
    }
    return RC_OK;
}

const struct image_topic *metadata_wanted_topic(const struct image *image, const struct metadata_request_topic *t,
                                                enum metadata_scope scope)
{
    return scope == METADATA_BY_ID ? image_topic_by_id(image, t->topic_id) : image_topic_by_name(image, t->name);
}

size_t metadata_answer_bytes(const struct cluster_view *v, const struct metadata_request *in, int16_t version)
{
    enum metadata_scope scope = metadata_scope_of(in, version);
    uint64_t topics = 0, partitions = 0;
    if (scope == METADATA_ALL) {
        topics = v->image->topic_count;
        partitions = v->image->partition_count;
    } else if (scope != METADATA_BROKERS) {
        topics = in->topics_count;
        for (uint32_t i = 0; i < in->topics_count; i++) {
            const struct image_topic *t = metadata_wanted_topic(v->image, &in->topics[i], scope);
            partitions += t ? (uint64_t)t->partition_count : 0;
        }
        if (partitions > v->image->partition_count) // names may be repeated; each is answered once
            partitions = v->image->partition_count;
    }
    enum { ROUNDING_BYTES = 16, NODES_BYTES = 64, BASE_BYTES = 16384 };
    return BASE_BYTES + v->image->node_count * sizeof(struct metadata_response_broker) +
           topics * (sizeof(struct metadata_response_topic) + sizeof(void *) + 2 * ROUNDING_BYTES) +
           partitions * (sizeof(struct metadata_response_partition) + NODES_BYTES);
}

// ------------------------------------------------------------------------------------------------ the answer

static enum rc build_brokers(struct metadata_builder *b)
{
    const struct image *image = b->view->image;
    b->out->brokers = arena_array(b->arena, image->node_count, sizeof(*b->out->brokers));
    if (!b->out->brokers)
        return RC_NOMEM;
    for (uint32_t i = 0; i < image->node_count; i++) {
        const struct image_node *n = image->nodes[i];
        const struct image_listener *l = cluster_view_named(b->view, n->id);
        if (!l)
            continue;
        b->out->brokers[b->out->brokers_count++] = (struct metadata_response_broker){
            .node_id = n->id,
            .host = bytes_str(l->host),
            .port = l->port,
            .rack = n->rack ? bytes_str(n->rack) : bytes_of(NULL, 0),
        };
    }
    return RC_OK;
}

// Version 0 has no offline replicas: dead nodes are left out of the lists and their absence is an error.
static enum rc build_alive(struct metadata_builder *b, const int32_t *nodes, uint32_t count, int32_t **out,
                           uint32_t *out_count)
{
    *out = arena_array(b->arena, count, sizeof(**out));
    *out_count = 0;
    if (!*out)
        return RC_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        if (cluster_view_address(b->view, nodes[i]))
            (*out)[(*out_count)++] = nodes[i];
    return RC_OK;
}

static enum rc build_partition(struct metadata_builder *b, const struct image_partition *p, int32_t index,
                               struct metadata_response_partition *out)
{
    metadata_response_partition_init(out);
    out->partition_index = index;
    out->leader_epoch = p->leader_epoch;
    out->leader_id = NODE_ID_NONE;
    enum rc error = RC_LEADER_NOT_AVAILABLE;
    if (cluster_view_leader(b->view, p)) {
        out->leader_id = p->leader;
        error = RC_OK;
    }
    if (b->version <= ALIVE_ONLY_VERSION_MAX) {
        if (build_alive(b, image_replicas(p), p->replica_count, &out->replica_nodes, &out->replica_nodes_count) !=
                RC_OK ||
            build_alive(b, image_isr(p), p->isr_count, &out->isr_nodes, &out->isr_nodes_count) != RC_OK)
            return RC_NOMEM;
        if (error == RC_OK && (out->replica_nodes_count < p->replica_count || out->isr_nodes_count < p->isr_count))
            error = RC_REPLICA_NOT_AVAILABLE;
    } else {
        out->replica_nodes = (int32_t *)(uintptr_t)image_replicas(p); // only read
        out->replica_nodes_count = p->replica_count;
        out->isr_nodes = (int32_t *)(uintptr_t)image_isr(p);
        out->isr_nodes_count = p->isr_count;
        if (!cluster_view_offline(b->view, p, b->arena, &out->offline_replicas, &out->offline_replicas_count))
            return RC_NOMEM;
    }
    out->error_code = kerr_of(error);
    return RC_OK;
}

static enum rc build_topic(struct metadata_builder *b, const struct image_topic *t)
{
    struct metadata_response_topic *out = &b->out->topics[b->out->topics_count++];
    metadata_response_topic_init(out);
    out->name = image_topic_name(t);
    out->topic_id = t->id;
    out->is_internal = topic_name_internal(out->name);
    if (b->in->include_topic_authorized_operations)
        out->topic_authorized_operations = CLUSTER_OPERATIONS_OF_TOPIC;
    out->partitions = arena_array(b->arena, (size_t)t->partition_count, sizeof(*out->partitions));
    if (!out->partitions)
        return RC_NOMEM;
    for (int32_t i = 0; i < t->partition_count; i++) {
        enum rc rc = build_partition(b, image_partition(t, i), i, &out->partitions[out->partitions_count++]);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

// What a name that is not there answers: why it was not created, or that it does not exist.
static int16_t absent_error(const struct metadata_builder *b, struct bytes name)
{
    if (!topic_name_valid(name))
        return kerr_of(RC_INVALID_TOPIC);
    if (!b->created || !metadata_creatable(name))
        return kerr_of(RC_UNKNOWN_TOPIC_OR_PARTITION);
    for (uint32_t i = 0; i < b->created->topics_count; i++) {
        const struct create_topics_response_topic *t = &b->created->topics[i];
        if (!bytes_eq(t->name, name))
            continue;
        if (t->error_code != 0 && t->error_code != kerr_of(RC_TOPIC_ALREADY_EXISTS) && !kerr_retriable(t->error_code))
            return t->error_code;
        break;
    }
    return kerr_of(RC_LEADER_NOT_AVAILABLE); // on its way: ask again
}

static void build_absent(struct metadata_builder *b, const struct metadata_request_topic *t, enum metadata_scope scope)
{
    struct metadata_response_topic *out = &b->out->topics[b->out->topics_count++];
    metadata_response_topic_init(out);
    if (scope == METADATA_BY_ID) {
        out->name = bytes_of(NULL, 0);
        out->topic_id = t->topic_id;
        out->error_code = kerr_of(RC_UNKNOWN_TOPIC_ID);
    } else {
        out->name = t->name;
        out->is_internal = topic_name_internal(t->name);
        out->error_code = absent_error(b, t->name);
    }
}

static enum rc build_all(struct metadata_builder *b)
{
    const struct image *image = b->view->image;
    b->out->topics = arena_array(b->arena, image->topic_count, sizeof(*b->out->topics));
    if (!b->out->topics)
        return RC_NOMEM;
    const struct image_topic *t = image_topic_next(image, bytes_of(NULL, 0), false);
    for (; t; t = image_topic_next(image, image_topic_name(t), false)) {
        enum rc rc = build_topic(b, t);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

static enum rc build_wanted(struct metadata_builder *b, enum metadata_scope scope)
{
    const struct metadata_request_topic **list;
    uint32_t count;
    enum rc rc = wanted_list(b->in, b->arena, &list, &count);
    if (rc != RC_OK)
        return rc;
    b->out->topics = arena_array(b->arena, count, sizeof(*b->out->topics));
    if (!b->out->topics)
        return RC_NOMEM;
    for (uint32_t i = 0; i < count && rc == RC_OK; i++) {
        if (scope == METADATA_BY_ID && uuid_is_zero(list[i]->topic_id))
            continue; // where ids are used, names do not count
        const struct image_topic *t = metadata_wanted_topic(b->view->image, list[i], scope);
        if (t)
            rc = build_topic(b, t);
        else
            build_absent(b, list[i], scope);
    }
    return rc;
}

enum rc metadata_build(const struct cluster_view *v, const struct metadata_request *in, int16_t version,
                       const struct create_topics_response *created, struct arena *a, struct metadata_response *out)
{
    struct metadata_builder b = {.view = v, .in = in, .version = version, .created = created, .arena = a, .out = out};
    metadata_response_init(out);
    out->cluster_id = v->cluster_id;
    out->controller_id = v->controller;
    if (in->include_cluster_authorized_operations)
        out->cluster_authorized_operations = CLUSTER_OPERATIONS_OF_CLUSTER;
    enum rc rc = build_brokers(&b);
    if (rc != RC_OK)
        return rc;
    enum metadata_scope scope = metadata_scope_of(in, version);
    switch (scope) {
    case METADATA_BROKERS:
        return RC_OK;
    case METADATA_ALL:
        return build_all(&b);
    case METADATA_BY_NAME:
    case METADATA_BY_ID:
        return build_wanted(&b, scope);
    }
    return RC_OK;
}

enum rc metadata_build_error(const struct metadata_request *in, enum rc error, struct arena *a,
                             struct metadata_response *out)
{
    metadata_response_init(out);
    out->topics = arena_array(a, in->topics_count, sizeof(*out->topics));
    if (!out->topics)
        return RC_NOMEM;
    for (uint32_t i = 0; i < in->topics_count; i++) {
        struct metadata_response_topic *t = &out->topics[out->topics_count++];
        metadata_response_topic_init(t);
        t->name = in->topics[i].name.p ? in->topics[i].name : bytes_str("");
        t->topic_id = in->topics[i].topic_id;
        t->error_code = kerr_of(error);
    }
    return RC_OK;
}
