// SPDX-License-Identifier: Apache-2.0
//
// One request's questions to many partitions: grouped by the shards that own them, one call each, however many
// partitions there are. What ListOffsets, OffsetForLeaderEpoch, DeleteRecords, DescribeProducers and DescribeLogDirs
// have in common.
#pragma once

#include "broker/request.h"
#include "engine/partition_query.h"

// A topic of such a request or of its answer, with what is asked or said of each partition: the layout of the generated
// {name, partitions, partitions_count} structs.
struct partition_ask_topic {
    struct bytes name;
    void *partitions;
    uint32_t count;
};

// type: struct of the wire; list: its field of partitions.
#define PARTITION_ASK_TOPIC_CHECK(type, list)                                                                          \
    _Static_assert(sizeof(type) == sizeof(struct partition_ask_topic) &&                                               \
                       offsetof(type, list) == offsetof(struct partition_ask_topic, partitions) &&                     \
                       offsetof(type, list##_count) == offsetof(struct partition_ask_topic, count),                    \
                   "a topic of questions to partitions")

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

// How many partitions the topics of a request have: an array of structs that PARTITION_ASK_TOPIC_CHECK has seen.
uint32_t partition_ask_count(const void *topics, uint32_t topic_count);
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

// Says in *answer what q came to; asked: the element of the request's list. False: memory is short.
typedef bool (*partition_ask_fill)(struct request *rq, const struct partition_query *q, const void *asked,
                                   void *answer);
// From done(), when every partition of the request's topics was added: the topics of the answer, as many as the request
// has, with the partitions in its order, in the arena. Elements of the lists take asked_bytes and answer_bytes; answers
// are zero before they are filled. NULL: memory is short.
void *partition_ask_topics(const struct partition_ask *ask, const void *topics, uint32_t topic_count,
                           size_t asked_bytes, size_t answer_bytes, partition_ask_fill fill);
