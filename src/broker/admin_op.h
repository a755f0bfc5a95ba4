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

enum { ADMIN_PARTITIONS_BY_DEFAULT = 1000 }; // room for num.partitions of a topic that names no number

struct admin_plan {
    int kind; // enum controller_kind
    int32_t timeout_ms;
    uint32_t item_count;      // topics or resources, and
    uint64_t partition_count; // partitions to be made: what deciding and answering may take in memory
    admin_fail_fn fail;
    admin_adapt_fn adapt; // may be NULL
};

// Lets rq's arena take what the decision of so many items and partitions needs.
void admin_reserve(struct request *rq, uint32_t item_count, uint64_t partition_count);
// Submits rq's request; rq is answered in the end, whatever happens.
void admin_submit(struct request *rq, const void *message, const struct admin_plan *plan);
