// SPDX-License-Identifier: Apache-2.0
//
// A request that the controller decides: handed to the quorum, answered when it is committed and applied on every
// shard, or when its time is up. What CreateTopics, DeleteTopics, CreatePartitions, AlterConfigs and
// IncrementalAlterConfigs have in common.
#pragma once

#include "broker/request.h"

struct admin_op;
// Fills op->answer when the request failed as a whole: each of its items gets rc. False: memory is short.
typedef bool (*admin_fail_fn)(struct admin_op *op, enum rc rc);
// Looks over an answer before it is sent, where old versions spell something differently.
typedef void (*admin_adapt_fn)(struct admin_op *op);

struct admin_op {
    struct request *rq;
    const void *in; // the request
    void *answer;   // the response's struct
    admin_fail_fn fail;
    admin_adapt_fn adapt;
    struct quorum_op quorum;
};

struct admin_plan {
    enum controller_kind kind;
    int32_t timeout_ms;
    uint32_t item_count; // topics or resources, to size the answer's memory
    admin_fail_fn fail;
    admin_adapt_fn adapt; // may be NULL
};

// Submits rq's request; rq is answered in the end, whatever happens.
void admin_submit(struct request *rq, const void *message, const struct admin_plan *plan);
