// SPDX-License-Identifier: Apache-2.0
//
// ListOffsets for many partitions of a topic at once: one request a leader, waiting. For start positions and for
// tables.
#pragma once

#include "client/client.h"

struct client_offset {
    int32_t partition;
    int64_t timestamp;  // milliseconds, or OFFSET_SPEC_* (model/ids.h)
    int64_t offset;     // answer; -1: no record at or after the timestamp
    int16_t error_code; // answer; of Kafka
};

// Fills in offset and error_code of each; a partition may stand there once (brokers refuse it twice). The topic's
// leaders must be known (client_topic_wait()). Errors that pass are waited for, as long as the client's timeout.
// The rc is the transport's; c->error explains it.
enum rc client_list_offsets(struct client *c, struct client_topic *t, struct client_offset *offsets, uint32_t count,
                            bool read_committed);
