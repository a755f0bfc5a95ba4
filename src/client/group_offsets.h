// SPDX-License-Identifier: Apache-2.0
//
// A group's committed offsets: one request to a connection of its coordinator, waiting for the answer. Whoever asks
// deals with error codes; membership_heard() and client_coordinator() know what they ask for.
#pragma once

#include "client/client.h"

enum { GROUP_OFFSET_NONE = -1 };

struct group_offset {
    struct bytes topic;
    int32_t partition;
    int64_t offset;        // GROUP_OFFSET_NONE: nothing is committed
    int32_t leader_epoch;  // -1: unknown
    struct bytes metadata; // p NULL: none
    int16_t error_code;    // answer; of Kafka
};

// Who asks. A simple consumer, or an administrator, has no member id and generation -1.
struct group_asker {
    struct client *client;
    struct client_connection *at;
    const char *group_id, *member_id, *instance_id;
    int32_t generation;
    bool new_protocol; // generation is a member epoch
    uint32_t timeout_ms;
};

// Those of one topic must stand together. Every error_code is filled in when the rc is RC_OK; it is the transport's.
enum rc group_offsets_commit(const struct group_asker *who, struct group_offset *list, uint32_t count);
// Fills in offset, leader_epoch, metadata and error_code; metadata lives in the arena. *code is the group's own error:
// then nothing is filled in. require_stable: offsets that a transaction may still change are an error.
enum rc group_offsets_fetch(const struct group_asker *who, struct group_offset *list, uint32_t count,
                            bool require_stable, struct arena *arena, int16_t *code);
// Everything the group has committed; the list lives in the arena, by topic and partition.
enum rc group_offsets_fetch_all(const struct group_asker *who, struct arena *arena, struct group_offset **list,
                                uint32_t *count, int16_t *code);

// Looks up who coordinates the group and waits for that, as long as the client's timeout. *node_id is the broker. The
// rc is the transport's, or what Kafka's *code means; c->error explains both.
enum rc client_coordinator(struct client *c, const char *group_id, int32_t *node_id, int16_t *code);
