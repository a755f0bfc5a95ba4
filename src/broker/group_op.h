// SPDX-License-Identifier: Apache-2.0
//
// A request about groups on its way: one call a group, each to the shard of its coordinator (engine/coordinator.h), and
// the answer when all are back. What the group APIs have in common.
#pragma once

#include "broker/request.h"
#include "engine/coordinator.h"

struct group_op;
typedef void (*group_op_fn)(struct group_op *op);

// In the request's arena; rq->op.
struct group_op {
    struct request *rq;
    const void *in; // the decoded request
    struct coordinator_call *calls; // count of them, in the order they were added
    uint32_t count, count_max;
    group_op_fn answer; // every call has its answer: ends with group_op_answer() or api_fail_memory(). On rq's shard
    // private
    uint32_t pending;
};

// Room for count_max calls. NULL: memory is short, and rq is gone.
struct group_op *group_op_begin(struct request *rq, const void *in, uint32_t count_max, group_op_fn answer);
// The next call; request as groups.h says for the kind. Of a group whose coordinator cannot be named it is answered
// already.
struct coordinator_call *group_op_add(struct group_op *op, enum group_call_kind kind, struct bytes group_id,
                                      const void *request);
// The next call, to the coordinator of one partition (GROUP_LIST).
struct coordinator_call *group_op_add_partition(struct group_op *op, enum group_call_kind kind,
                                                struct topic_partition id, const void *request);
// Sends them. answer() may run from inside.
void group_op_start(struct group_op *op);
// From answer(), when each call is about one group: their responses, bytes each, shallow, op->count of them in the order
// they were added. NULL: memory is short, and rq is answered.
void *group_op_gather(struct group_op *op, size_t bytes);
// Answers rq; the calls and their responses are let go when the answer has been sent.
void group_op_answer(struct group_op *op, const void *response);
