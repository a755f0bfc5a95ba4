// SPDX-License-Identifier: Apache-2.0
//
// The field's nouns as types: node ids, topic ids, partitions, offsets, epochs. Data only.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"

// 16 bytes in network order, as on the wire. All zero means "none". Topic ids, directory ids, incarnation ids.
struct uuid {
    uint8_t b[16];
};

// Kafka's text form of an id: URL-safe base64 of the 16 bytes without padding, 22 characters.
enum { UUID_TEXT_CHARS = 22 };

static inline bool uuid_eq(struct uuid a, struct uuid b)
{
    return memcmp(a.b, b.b, sizeof(a.b)) == 0;
}

static inline bool uuid_is_zero(struct uuid u)
{
    static const struct uuid zero;
    return uuid_eq(u, zero);
}

// Kafka keeps ids whose value is 0 or 1 for itself (the metadata topic is 1); they are never given to a topic.
bool uuid_is_reserved(struct uuid u);
// Writes the 22 characters and a terminating zero.
void uuid_format(struct uuid u, char text[UUID_TEXT_CHARS + 1]);
// Reads exactly 22 characters; false when they are not that form.
bool uuid_parse(struct bytes text, struct uuid *out);

// One partition of one topic of one life: a topic deleted and made again has another id.
struct topic_partition {
    struct uuid topic_id;
    int32_t partition;
};

static inline bool topic_partition_eq(struct topic_partition a, struct topic_partition b)
{
    return a.partition == b.partition && uuid_eq(a.topic_id, b.topic_id);
}

uint64_t topic_partition_hash(struct topic_partition tp);

// Raft's position. A type of its own, so that it is never mixed with a partition's offset.
struct log_index {
    uint64_t v;
};

enum { NODE_ID_NONE = -1, LEADER_EPOCH_NONE = -1 };

// Special timestamps of ListOffsets (KIP-79, KIP-734, KIP-1005, KIP-1023).
enum {
    OFFSET_SPEC_LATEST = -1,
    OFFSET_SPEC_EARLIEST = -2,
    OFFSET_SPEC_MAX_TIMESTAMP = -3,
    OFFSET_SPEC_EARLIEST_LOCAL = -4,
    OFFSET_SPEC_LATEST_TIERED = -5,
    OFFSET_SPEC_EARLIEST_PENDING_UPLOAD = -6,
};

#define PRODUCER_ID_NONE INT64_C(-1)
#define OFFSET_NONE INT64_C(-1)
#define TIMESTAMP_NONE INT64_C(-1)

// True when name is 1 to 249 characters of [a-zA-Z0-9._-] and neither "." nor "..".
bool topic_name_valid(struct bytes name);
// True when a and b differ but would share metric names: equal after every '.' became '_'.
bool topic_names_collide(struct bytes a, struct bytes b);
// True for topics that clients may not produce to: __consumer_offsets, __transaction_state, __share_group_state.
bool topic_name_internal(struct bytes name);
