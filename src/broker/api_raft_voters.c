// SPDX-License-Identifier: Apache-2.0
//
// AddRaftVoter and RemoveRaftVoter (KIP-853): any broker takes them, Raft's leader does them, one change at a time. A
// tagged field of our own hands leadership over.
#include "broker/api.h"
#include "model/kerr.h"
#include "wire/messages.h"
#include "wire/peer_messages.h"

enum { WAIT_MS_DEFAULT = 30000, WAIT_MS_MAX = 10 * 60 * 1000 };

struct voter_op {
    struct quorum_op quorum;
    struct request *rq;
    struct voter_change in, out;
};

static struct bytes voter_reason(const struct voter_op *op, enum rc rc)
{
    bool adds = op->in.change == QUORUM_VOTER_ADD;
    if (rc == RC_TIMED_OUT && adds)
        return bytes_str("the node is not there as an observer, or has not caught up; is it running with --peers? The "
                         "first time its address must be known here: quorum add ID@HOST:PORT, or --peers");
    if (rc == RC_INVALID_REQUEST && adds && !engine_in_cluster(op->rq->bs->engine->engine))
        return bytes_str("this node runs alone, without a port for others: start it again with --peers "
                         "ID@HOST:PORT (its own); its data stay");
    if (rc == RC_INVALID_REQUEST && adds)
        return bytes_str("its host has no address, or there are as many voters as there can be; without a vote a node "
                         "serves just as well");
    if (rc == RC_INVALID_REQUEST && op->in.change == QUORUM_VOTER_REMOVE)
        return bytes_str("the last voter cannot be removed");
    return bytes_str(rc_text(rc));
}

static void add_answer(struct voter_op *op, enum rc rc)
{
    struct add_raft_voter_response out;
    add_raft_voter_response_init(&out);
    out.error_code = kerr_of(rc);
    if (rc != RC_OK)
        out.error_message = voter_reason(op, rc);
    request_answer(op->rq, &out);
}

static void remove_answer(struct voter_op *op, enum rc rc)
{
    struct remove_raft_voter_response out;
    remove_raft_voter_response_init(&out);
    out.error_code = kerr_of(rc);
    if (rc != RC_OK)
        out.error_message = voter_reason(op, rc);
    request_answer(op->rq, &out);
}

static void voter_done(struct quorum_op *q, enum rc rc)
{
    struct voter_op *op = container_of(q, struct voter_op, quorum);
    if (op->rq->api->key == API_REMOVE_RAFT_VOTER)
        remove_answer(op, rc);
    else
        add_answer(op, rc);
}

static void voter_submit(struct request *rq, struct bytes cluster_id, const struct voter_change *change, int32_t wait_ms)
{
    api_answer_reserve(rq, sizeof(struct voter_op) + 4096);
    struct voter_op *op = request_alloc(rq, sizeof(*op));
    if (!op) {
        api_fail_memory(rq);
        return;
    }
    struct quorum *q = rq->bs->engine->engine->quorum;
    op->rq = rq;
    op->in = *change;
    wait_ms = wait_ms <= 0 ? WAIT_MS_DEFAULT : wait_ms > WAIT_MS_MAX ? WAIT_MS_MAX : wait_ms;
    op->quorum = (struct quorum_op){
        .kind = QUORUM_CHANGE_VOTER,
        .request = &op->in,
        .answer = &op->out,
        .arena = &rq->arena,
        .deadline_ns = shard_now_ns(rq->bs->shard) + (uint64_t)wait_ms * 1000000,
        .done = voter_done,
    };
    if (cluster_id.n && !bytes_eq(cluster_id, bytes_str(quorum_identity(q)->cluster_id)))
        voter_done(&op->quorum, RC_INCONSISTENT_CLUSTER_ID);
    else if (change->node < 0)
        voter_done(&op->quorum, RC_INVALID_REQUEST);
    else
        quorum_submit(q, rq->bs->shard, &op->quorum);
}

void api_add_raft_voter_begin(struct request *rq, const void *message)
{
    const struct add_raft_voter_request *in = message;
    struct voter_change c = {.change = in->lead ? QUORUM_VOTER_LEAD : QUORUM_VOTER_ADD,
                             .node = in->voter_id,
                             .directory = in->voter_directory_id};
    if (in->listeners_count > 0) { // Kafka's tool names the voter's controller listener; there is one here
        c.host = in->listeners[0].host;
        c.port = in->listeners[0].port;
    }
    voter_submit(rq, in->cluster_id, &c, in->timeout_ms);
}

void api_remove_raft_voter_begin(struct request *rq, const void *message)
{
    const struct remove_raft_voter_request *in = message;
    struct voter_change c = {
        .change = QUORUM_VOTER_REMOVE, .node = in->voter_id, .directory = in->voter_directory_id};
    voter_submit(rq, in->cluster_id, &c, WAIT_MS_DEFAULT);
}
