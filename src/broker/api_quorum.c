// SPDX-License-Identifier: Apache-2.0
//
// DescribeQuorum (KIP-595, KIP-853), answered from weir's own Raft under the name of Kafka's metadata topic, so that
// Kafka's tools can look. Offsets are Raft indexes; the end of a log is the index behind its last entry, as in Kafka.
#include "broker/api.h"
#include "model/kerr.h"
#include "raft/raft.h"
#include "wire/messages.h"

#define METADATA_TOPIC_NAME "__cluster_metadata"

struct quorum_replica {
    struct raft_id id;
    uint64_t match;
    int64_t heard_ms; // wall time, -1: not yet
};

// What the quorum's shard found; sizes are those of the core's own tables.
struct describe_quorum_op {
    struct engine_call call;
    struct request *rq;
    const struct describe_quorum_request *in;
    struct quorum_status status;
    struct quorum_replica voters[RAFT_VOTERS_MAX], observers[RAFT_PEERS_MAX];
    uint32_t voter_count, observer_count;
};

// ------------------------------------------------------------------------------------------------ where the quorum is

static struct quorum_replica describe_replica(const struct raft *r, struct raft_id id, int64_t wall_ms)
{
    struct quorum_replica out = {.id = id, .heard_ms = -1};
    if (id.node == r->config.self.node) {
        out.match = raft_last_index(r);
        out.heard_ms = wall_ms;
        return out;
    }
    for (uint32_t i = 0; i < r->peer_count; i++) {
        const struct raft_peer *p = &r->peers[i];
        if (p->in_use && p->id.node == id.node) {
            out.match = p->match;
            if (p->heard_ms > 0)
                out.heard_ms = wall_ms - (int64_t)(r->now_ms - p->heard_ms);
        }
    }
    return out;
}

static void describe_quorum_look(struct engine_call *c)
{
    struct describe_quorum_op *op = container_of(c, struct describe_quorum_op, call);
    const struct quorum *q = c->target->engine->quorum;
    const struct raft *r = quorum_raft(q);
    const struct raft_voters *v = raft_voters(r);
    int64_t wall_ms = io_wall_ms(c->target->shard->io);
    quorum_status(q, &op->status);
    for (uint32_t i = 0; i < v->count; i++)
        op->voters[op->voter_count++] = describe_replica(r, v->ids[i], wall_ms);
    for (uint32_t i = 0; i < r->observer_count; i++)
        op->observers[op->observer_count++] = describe_replica(r, r->observers[i], wall_ms);
    engine_call_finish(c);
}

// ------------------------------------------------------------------------------------------------ the answer

static bool describe_quorum_replicas(struct request *rq, const struct quorum_replica *from, uint32_t count,
                                     struct describe_quorum_response_replica_state **out, uint32_t *out_count)
{
    *out = arena_array(&rq->arena, count, sizeof(**out));
    *out_count = *out ? count : 0;
    for (uint32_t i = 0; i < *out_count; i++)
        (*out)[i] = (struct describe_quorum_response_replica_state){
            .replica_id = from[i].id.node,
            .replica_directory_id = from[i].id.directory,
            .log_end_offset = (int64_t)from[i].match + 1,
            .last_fetch_timestamp = from[i].heard_ms,
            .last_caught_up_timestamp = from[i].heard_ms,
        };
    return *out;
}

static bool describe_quorum_nodes(struct describe_quorum_op *op, struct describe_quorum_response *out)
{
    struct request *rq = op->rq;
    const struct image *image = engine_image(rq->bs->engine);
    out->nodes = arena_array(&rq->arena, op->voter_count, sizeof(*out->nodes));
    for (uint32_t i = 0; out->nodes && i < op->voter_count; i++) {
        const struct image_node *n = image_node(image, op->voters[i].id.node);
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
    else if (!op->status.leads)
        rc = RC_NOT_LEADER_OR_FOLLOWER;
    out->error_code = kerr_of(rc);
    if (rc != RC_OK) {
        out->error_message = bytes_str(rc_text(rc));
        return true;
    }
    out->leader_id = op->status.leader;
    out->leader_epoch = (int32_t)op->status.term;
    out->high_watermark = (int64_t)op->status.commit_index + 1;
    return describe_quorum_replicas(op->rq, op->voters, op->voter_count, &out->current_voters,
                                    &out->current_voters_count) &&
           describe_quorum_replicas(op->rq, op->observers, op->observer_count, &out->observers, &out->observers_count);
}

static void describe_quorum_done(struct engine_call *c)
{
    struct describe_quorum_op *op = container_of(c, struct describe_quorum_op, call);
    struct request *rq = op->rq;
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
    op->call.run = describe_quorum_look;
    op->call.done = describe_quorum_done;
    struct engine *e = rq->bs->engine->engine;
    engine_call_start(&op->call, rq->bs->engine, &e->shards[0]); // where the quorum lives
}
