// SPDX-License-Identifier: Apache-2.0
//
// DescribeTopicPartitions (KIP-966): topics in the order of their names, in pages. An answer ends at the partition
// limit and says where the next one goes on; a cursor whose topic is gone goes on at the next name.
#include "broker/api_topic_partitions.h"

#include <stdlib.h>

#include "broker/api.h"
#include "model/kerr.h"

struct pages_builder {
    const struct cluster_view *view;
    struct arena *arena;
    struct describe_topic_partitions_response *out;
    uint32_t topics_max; // room in out->topics
    int32_t left;        // partitions this answer may still hold
};

static enum rc pages_partition(struct pages_builder *b, const struct image_partition *p, int32_t index,
                               struct describe_topic_partitions_response_partition *out)
{
    describe_topic_partitions_response_partition_init(out);
    bool reachable = cluster_view_leader(b->view, p);
    out->error_code = kerr_of(reachable ? RC_OK : RC_LEADER_NOT_AVAILABLE);
    out->partition_index = index;
    out->leader_id = reachable ? p->leader : NODE_ID_NONE;
    out->leader_epoch = p->leader_epoch;
    // only read; an empty list is not null, so that "none eligible" and "not known" differ
    out->replica_nodes = (int32_t *)(uintptr_t)image_replicas(p);
    out->replica_nodes_count = p->replica_count;
    out->isr_nodes = (int32_t *)(uintptr_t)image_isr(p);
    out->isr_nodes_count = p->isr_count;
    out->eligible_leader_replicas = (int32_t *)(uintptr_t)image_elr(p);
    out->eligible_leader_replicas_count = p->elr_count;
    out->last_known_elr = (int32_t *)(uintptr_t)&p->last_known_leader;
    out->last_known_elr_count = p->leader == NODE_ID_NONE && p->last_known_leader != NODE_ID_NONE;
    return cluster_view_offline(b->view, p, b->arena, &out->offline_replicas, &out->offline_replicas_count) ? RC_OK
                                                                                                            : RC_NOMEM;
}

static enum rc pages_stop(struct pages_builder *b, struct bytes topic, int32_t partition)
{
    struct describe_topic_partitions_response_next_cursor *c = arena_alloc(b->arena, sizeof(*c));
    if (!c)
        return RC_NOMEM;
    describe_topic_partitions_response_next_cursor_init(c);
    c->topic_name = topic;
    c->partition_index = partition;
    b->out->next_cursor = c;
    return RC_OK;
}

// One topic from its partition `from` on. Ends the page when the limit is reached inside it.
static enum rc pages_topic(struct pages_builder *b, const struct image_topic *t, int32_t from)
{
    if (b->left == 0 || b->out->topics_count == b->topics_max)
        return pages_stop(b, image_topic_name(t), from);
    struct describe_topic_partitions_response_topic *out = &b->out->topics[b->out->topics_count++];
    describe_topic_partitions_response_topic_init(out);
    out->name = image_topic_name(t);
    out->topic_id = t->id;
    out->is_internal = topic_name_internal(out->name);
    out->topic_authorized_operations = CLUSTER_OPERATIONS_OF_TOPIC;
    int32_t rest = t->partition_count > from ? t->partition_count - from : 0;
    int32_t count = rest < b->left ? rest : b->left;
    out->partitions = arena_array(b->arena, (size_t)count, sizeof(*out->partitions));
    if (!out->partitions)
        return RC_NOMEM;
    for (int32_t i = from; i < from + count; i++) {
        enum rc rc = pages_partition(b, image_partition(t, i), i, &out->partitions[out->partitions_count++]);
        if (rc != RC_OK)
            return rc;
    }
    b->left -= count;
    return count < rest ? pages_stop(b, out->name, from + count) : RC_OK;
}

static void pages_unknown(struct pages_builder *b, struct bytes name)
{
    struct describe_topic_partitions_response_topic *out = &b->out->topics[b->out->topics_count++];
    describe_topic_partitions_response_topic_init(out);
    out->name = name;
    out->error_code = kerr_of(topic_name_valid(name) ? RC_UNKNOWN_TOPIC_OR_PARTITION : RC_INVALID_TOPIC);
    out->topic_authorized_operations = CLUSTER_OPERATIONS_OF_TOPIC; // as Kafka without an authoriser says, for any name
}

static int32_t pages_from(const struct describe_topic_partitions_request_cursor *cursor, struct bytes name)
{
    return cursor && bytes_eq(cursor->topic_name, name) ? cursor->partition_index : 0;
}

static enum rc pages_all(struct pages_builder *b, const struct describe_topic_partitions_request_cursor *cursor)
{
    b->topics_max = b->view->image->topic_count;
    if (b->topics_max > (uint32_t)b->left)
        b->topics_max = (uint32_t)b->left; // each takes a partition at least
    b->out->topics = arena_array(b->arena, b->topics_max, sizeof(*b->out->topics));
    if (!b->out->topics)
        return RC_NOMEM;
    const struct image *image = b->view->image;
    const struct image_topic *t =
        cursor ? image_topic_next(image, cursor->topic_name, true) : image_topic_next(image, bytes_of(NULL, 0), false);
    enum rc rc = RC_OK;
    for (; t && rc == RC_OK && !b->out->next_cursor; t = image_topic_next(image, image_topic_name(t), false))
        rc = pages_topic(b, t, pages_from(cursor, image_topic_name(t)));
    return rc;
}

static int pages_order(const void *a, const void *b)
{
    return bytes_cmp(*(const struct bytes *)a, *(const struct bytes *)b);
}

static enum rc pages_named(struct pages_builder *b, const struct describe_topic_partitions_request *in)
{
    struct bytes *names = arena_array(b->arena, in->topics_count, sizeof(*names));
    b->out->topics = arena_array(b->arena, in->topics_count, sizeof(*b->out->topics));
    if (!names || !b->out->topics)
        return RC_NOMEM;
    b->topics_max = in->topics_count;
    uint32_t count = 0;
    for (uint32_t i = 0; i < in->topics_count; i++)
        if (!in->cursor || bytes_cmp(in->topics[i].name, in->cursor->topic_name) >= 0)
            names[count++] = in->topics[i].name;
    qsort(names, count, sizeof(*names), pages_order);
    enum rc rc = RC_OK;
    for (uint32_t i = 0; i < count && rc == RC_OK && !b->out->next_cursor; i++) {
        if (i > 0 && bytes_eq(names[i], names[i - 1]))
            continue;
        const struct image_topic *t = image_topic_by_name(b->view->image, names[i]);
        if (t)
            rc = pages_topic(b, t, pages_from(in->cursor, names[i]));
        else
            pages_unknown(b, names[i]);
    }
    return rc;
}

enum rc topic_partitions_build(const struct cluster_view *v, const struct describe_topic_partitions_request *in,
                               int32_t limit, struct arena *a, struct describe_topic_partitions_response *out)
{
    describe_topic_partitions_response_init(out);
    if (in->cursor && in->cursor->partition_index < 0)
        return RC_INVALID_REQUEST;
    struct pages_builder b = {.view = v, .arena = a, .out = out, .left = in->response_partition_limit};
    if (b.left > limit)
        b.left = limit;
    if (b.left < 1)
        b.left = 1;
    return in->topics_count == 0 ? pages_all(&b, in->cursor) : pages_named(&b, in);
}

void api_describe_topic_partitions_begin(struct request *rq, const void *message)
{
    enum { PARTITION_BYTES = 512, PARTITIONS_LEAST = 2000, PARTITIONS_MOST = 1 << 17 };
    struct config_layers layers = engine_layers(rq->bs->engine, NULL);
    int64_t limit = config_broker_int(&layers, "max.request.partition.size.limit", PARTITIONS_LEAST);
    const struct describe_topic_partitions_request *in = message;
    if (limit > PARTITIONS_MOST)
        limit = PARTITIONS_MOST;
    int64_t room = in->response_partition_limit < limit ? in->response_partition_limit : limit;
    api_answer_reserve(rq, (size_t)(room > PARTITIONS_LEAST ? room : PARTITIONS_LEAST) * PARTITION_BYTES);
    struct cluster_view view = cluster_view_of(rq);
    struct describe_topic_partitions_response out;
    enum rc rc = topic_partitions_build(&view, in, (int32_t)limit, &rq->arena, &out);
    if (rc == RC_INVALID_REQUEST) {
        // Kafka answers a request that fails as a whole with its topics, each with the error
        out.topics = arena_array(&rq->arena, in->topics_count, sizeof(*out.topics));
        rc = out.topics ? RC_OK : RC_NOMEM;
        for (uint32_t i = 0; out.topics && i < in->topics_count; i++) {
            struct describe_topic_partitions_response_topic *t = &out.topics[out.topics_count++];
            describe_topic_partitions_response_topic_init(t);
            t->name = in->topics[i].name;
            t->error_code = kerr_of(RC_INVALID_REQUEST);
        }
    }
    if (rc == RC_OK)
        request_answer(rq, &out);
    else
        api_fail_memory(rq);
}
