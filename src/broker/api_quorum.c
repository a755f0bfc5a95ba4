// SPDX-License-Identifier: Apache-2.0
//
// DescribeQuorum (KIP-595, KIP-853), answered from weir's own Raft under the name of Kafka's metadata topic, so that
// Kafka's tools can look. Offsets are Raft indexes; the end of a log is the index behind its last entry, as in Kafka.
#include "broker/api.h"
#include "model/kerr.h"
#include "wire/messages.h"
#include "wire/peer_messages.h"

#define METADATA_TOPIC_NAME "__cluster_metadata"

enum { DESCRIBE_WAIT_MS = 5000 };

// Asked of the quorum, which asks its leader where that is another node.
struct describe_quorum_op {
    struct quorum_op quorum;
    struct request *rq;
    const struct describe_quorum_request *in;
    struct quorum_view view;
    enum rc rc;
};

// ------------------------------------------------------------------------------------------------ the answer

static bool describe_quorum_replicas(struct request *rq, const struct quorum_view_member *from, uint32_t count,
                                     struct describe_quorum_response_replica_state **out, uint32_t *out_count)
{
    *out = arena_array(&rq->arena, count, sizeof(**out));
    *out_count = *out ? count : 0;
    for (uint32_t i = 0; i < *out_count; i++)
        (*out)[i] = (struct describe_quorum_response_replica_state){
            .replica_id = from[i].node,
            .replica_directory_id = from[i].directory,
            .log_end_offset = from[i].match + 1,
            .last_fetch_timestamp = from[i].heard_ms,
            .last_caught_up_timestamp = from[i].caught_up_ms,
        };
    return *out;
}

static bool describe_quorum_nodes(struct describe_quorum_op *op, struct describe_quorum_response *out)
{
    struct request *rq = op->rq;
    const struct image *image = engine_image(rq->bs->engine);
    out->nodes = arena_array(&rq->arena, op->view.voters_count, sizeof(*out->nodes));
    for (uint32_t i = 0; out->nodes && i < op->view.voters_count; i++) {
        const struct image_node *n = image_node(image, op->view.voters[i].node);
        if (!n)
            continue;
        struct describe_quorum_response_node *o = &out->nodes[out->nodes_count++];
        describe_quorum_response_node_init(o);
        o->node_id = n->id;
        o->listeners = arena_array(&rq->arena, n->listener_count, sizeof(*o->listeners));
        if (!o->listeners)
            return false;
        for (uint32_t j = 0; j < n->listener_count; j++)
            o->listeners[o->listeners_count++] =
                (struct describe_quorum_response_listener){.name = bytes_str(n->listeners[j].name),
                                                           .host = bytes_str(n->listeners[j].host),
                                                           .port = n->listeners[j].port};
    }
    return out->nodes;
}

static bool describe_quorum_partition(struct describe_quorum_op *op, struct bytes topic, int32_t index,
                                      struct describe_quorum_response_partition *out)
{
    describe_quorum_response_partition_init(out);
    out->partition_index = index;
    out->leader_id = NODE_ID_NONE;
    enum rc rc = RC_OK;
    if (!bytes_eq(topic, bytes_str(METADATA_TOPIC_NAME)) || index != 0)
        rc = RC_UNKNOWN_TOPIC_OR_PARTITION;
    else if (op->rc != RC_OK)
        rc = op->rc == RC_NOT_CONTROLLER ? RC_NOT_LEADER_OR_FOLLOWER : op->rc;
    out->error_code = kerr_of(rc);
    if (rc != RC_OK) {
        out->error_message = bytes_str(rc_text(rc));
        return true;
    }
    out->leader_id = op->view.leader;
    out->leader_epoch = (int32_t)op->view.term;
    out->high_watermark = op->view.commit + 1;
    return describe_quorum_replicas(op->rq, op->view.voters, op->view.voters_count, &out->current_voters,
                                    &out->current_voters_count) &&
           describe_quorum_replicas(op->rq, op->view.observers, op->view.observers_count, &out->observers,
                                    &out->observers_count);
}

static void describe_quorum_done(struct quorum_op *q, enum rc rc)
{
    struct describe_quorum_op *op = container_of(q, struct describe_quorum_op, quorum);
    struct request *rq = op->rq;
    op->rc = rc;
    if (rc != RC_OK)
        quorum_view_init(&op->view);
    struct describe_quorum_response out;
    describe_quorum_response_init(&out);
    out.topics = arena_array(&rq->arena, op->in->topics_count, sizeof(*out.topics));
    bool whole = out.topics;
    for (uint32_t i = 0; whole && i < op->in->topics_count; i++) {
        const struct describe_quorum_request_topic *from = &op->in->topics[i];
        struct describe_quorum_response_topic *t = &out.topics[out.topics_count++];
        describe_quorum_response_topic_init(t);
        t->topic_name = from->topic_name;
        t->partitions = arena_array(&rq->arena, from->partitions_count, sizeof(*t->partitions));
        whole = t->partitions;
        for (uint32_t j = 0; whole && j < from->partitions_count; j++)
            whole = describe_quorum_partition(op, from->topic_name, from->partitions[j].partition_index,
                                              &t->partitions[t->partitions_count++]);
    }
    if (whole && describe_quorum_nodes(op, &out))
        request_answer(rq, &out);
    else
        api_fail_memory(rq);
}

void api_describe_quorum_begin(struct request *rq, const void *message)
{
    api_answer_reserve(rq, sizeof(struct describe_quorum_op) + (64 << 10));
    struct describe_quorum_op *op = request_alloc(rq, sizeof(*op));
    if (!op) {
        api_fail_memory(rq);
        return;
    }
    op->rq = rq;
    op->in = message;
    op->quorum = (struct quorum_op){
        .kind = QUORUM_DESCRIBE,
        .answer = &op->view,
        .arena = &rq->arena,
        .deadline_ns = shard_now_ns(rq->bs->shard) + DESCRIBE_WAIT_MS * UINT64_C(1000000),
        .done = describe_quorum_done,
    };
    quorum_submit(rq->bs->engine->engine->quorum, rq->bs->shard, &op->quorum);
}
