// SPDX-License-Identifier: Apache-2.0
//
// ElectLeaders (KIP-183, KIP-460): the preferred replica, or on request one that may know less. Decided by the
// controller.
#include "broker/admin_op.h"
#include "broker/api.h"
#include "model/kerr.h"
#include "wire/messages.h"

enum { TOP_LEVEL_ERROR_VERSION = 1 };

static bool elect_leaders_fail(struct admin_op *op, enum rc rc)
{
    const struct elect_leaders_request *in = op->in;
    struct elect_leaders_response *out = op->answer;
    elect_leaders_response_init(out);
    out->error_code = kerr_of(rc);
    if (op->rq->version >= TOP_LEVEL_ERROR_VERSION)
        return true;
    out->replica_election_results =
        arena_array(&op->rq->arena, in->topic_partitions_count, sizeof(*out->replica_election_results));
    for (uint32_t i = 0; out->replica_election_results && i < in->topic_partitions_count; i++) {
        struct elect_leaders_response_replica_election_result *t =
            &out->replica_election_results[out->replica_election_results_count++];
        elect_leaders_response_replica_election_result_init(t);
        t->topic = in->topic_partitions[i].topic;
        uint32_t count = in->topic_partitions[i].partitions_count;
        t->partition_result = arena_array(&op->rq->arena, count, sizeof(*t->partition_result));
        for (uint32_t k = 0; t->partition_result && k < count; k++)
            t->partition_result[t->partition_result_count++] = (struct elect_leaders_response_partition_result){
                .partition_id = in->topic_partitions[i].partitions[k], .error_code = kerr_of(rc)};
    }
    return out->replica_election_results;
}

void api_elect_leaders_begin(struct request *rq, const void *message)
{
    const struct elect_leaders_request *in = message;
    uint64_t partitions = in->topic_partitions ? 0 : engine_image(rq->bs->engine)->partition_count;
    for (uint32_t i = 0; i < in->topic_partitions_count; i++)
        partitions += in->topic_partitions[i].partitions_count;
    admin_submit(rq, message,
                 &(struct admin_plan){.kind = CONTROLLER_ELECT_LEADERS,
                                      .timeout_ms = in->timeout_ms,
                                      .item_count = in->topic_partitions_count,
                                      .partition_count = partitions,
                                      .fail = elect_leaders_fail});
}
