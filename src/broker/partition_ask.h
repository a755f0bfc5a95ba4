// SPDX-License-Identifier: Apache-2.0
//
// One request's questions to many partitions: grouped by the shards that own them, one call each, however many
// partitions there are. What ListOffsets, OffsetForLeaderEpoch, DeleteRecords, DescribeProducers and DescribeLogDirs
// have in common.
#pragma once

#include "broker/request.h"
#include "engine/partition_query.h"

struct partition_ask;
typedef void (*partition_ask_fn)(struct partition_ask *ask);

// Embedded by its owner in the request's arena.
struct partition_ask {
    struct request *rq;
    enum partition_question question;
    struct partition_query *queries; // count of them, in the order of the request; in the arena
    uint32_t count;
    partition_ask_fn done; // every query has its answer. On rq's shard
    // private
    struct partition_query_call *calls;
    uint32_t pending;
};

// Room for count queries. RC_NOMEM.
enum rc partition_ask_init(struct partition_ask *ask, struct request *rq, enum partition_question question,
                           uint32_t count, partition_ask_fn done);
// The next query, for partition index of the topic called name: answered already with RC_UNKNOWN_TOPIC_OR_PARTITION
// when the image does not have it.
struct partition_query *partition_ask_add(struct partition_ask *ask, const struct image *image, struct bytes name,
                                          int32_t index, int32_t current_leader_epoch);
// Answers with rc every query whose partition is asked for more than once.
enum rc partition_ask_refuse_twice(struct partition_ask *ask, enum rc rc);
// Sends what is not answered yet. done() may run from inside. RC_NOMEM: nothing was sent, done() will not run.
enum rc partition_ask_start(struct partition_ask *ask);
