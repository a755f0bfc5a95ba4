// SPDX-License-Identifier: Apache-2.0
//
// What a member of a group says to its coordinator: JoinGroup, SyncGroup, Heartbeat, LeaveGroup and, for the new protocol
// (KIP-848), ConsumerGroupHeartbeat. Decided by the core (group/groups.h), whose answer is the API's.
#include "broker/api.h"
#include "broker/api_groups.h"
#include "wire/messages.h"

// The one call's response is the answer.
static void group_answer_first(struct group_op *op)
{
    const void *response = op->calls[0].group.response;
    if (response)
        group_op_answer(op, response);
    else
        api_fail_memory(op->rq);
}

void api_group_one(struct request *rq, enum group_call_kind kind, struct bytes group_id, const void *message)
{
    struct group_op *op = group_op_begin(rq, message, 1, group_answer_first);
    if (!op)
        return;
    group_op_add(op, kind, group_id, message);
    group_op_start(op);
}

// Joins and syncs wait for other members, for minutes if need be, and hold no slab meanwhile.
void api_join_group_begin(struct request *rq, const void *message)
{
    const struct join_group_request *in = request_own_frame(rq, message);
    if (in)
        api_group_one(rq, GROUP_JOIN, in->group_id, in);
    else
        api_fail_memory(rq);
}

void api_sync_group_begin(struct request *rq, const void *message)
{
    const struct sync_group_request *in = request_own_frame(rq, message);
    if (in)
        api_group_one(rq, GROUP_SYNC, in->group_id, in);
    else
        api_fail_memory(rq);
}

void api_heartbeat_begin(struct request *rq, const void *message)
{
    const struct heartbeat_request *in = message;
    api_group_one(rq, GROUP_HEARTBEAT, in->group_id, in);
}

void api_leave_group_begin(struct request *rq, const void *message)
{
    const struct leave_group_request *in = message;
    api_group_one(rq, GROUP_LEAVE, in->group_id, in);
}

void api_consumer_group_heartbeat_begin(struct request *rq, const void *message)
{
    const struct consumer_group_heartbeat_request *in = message;
    api_group_one(rq, GROUP_CONSUMER_HEARTBEAT, in->group_id, in);
}
