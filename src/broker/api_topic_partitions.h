// SPDX-License-Identifier: Apache-2.0
//
// The pure half of DescribeTopicPartitions.
#pragma once

#include "base/arena.h"
#include "broker/cluster_view.h"
#include "wire/messages.h"

// At most `limit` partitions, and no more than the request asks for. RC_INVALID_REQUEST: the cursor points to no
// partition. RC_NOMEM.
enum rc topic_partitions_build(const struct cluster_view *v, const struct describe_topic_partitions_request *in,
                               int32_t limit, struct arena *a, struct describe_topic_partitions_response *out);
