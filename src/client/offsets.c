// SPDX-License-Identifier: Apache-2.0
//
// Groups partitions by leader; an answer's partitions are matched by number.
#include "client/offsets.h"

#include <stdlib.h>

#include "model/kerr.h"

enum { KERR_LEADER_NOT_AVAILABLE = 5, LIST_OFFSETS_PARTITIONS_MAX = 2000, OFFSETS_PENDING = INT16_MIN };

static int32_t leader_of(const struct client_topic *t, int32_t partition)
{
    return partition >= 0 && partition < t->partition_count ? t->partitions[partition].leader_id : -1;
}

static void take(const struct list_offsets_response *answer, struct client_offset *offsets, uint32_t count)
{
    for (uint32_t i = 0; i < answer->topics_count; i++) {
        for (uint32_t k = 0; k < answer->topics[i].partitions_count; k++) {
            const struct list_offsets_response_partition *p = &answer->topics[i].partitions[k];
            for (uint32_t o = 0; o < count; o++) {
                if (offsets[o].partition != p->partition_index || offsets[o].error_code != OFFSETS_PENDING)
                    continue;
                offsets[o].offset = p->offset;
                if (p->old_style_offsets_count) // version 0 lists them, newest first
                    offsets[o].offset = p->old_style_offsets[0];
                offsets[o].error_code = p->error_code;
                break;
            }
        }
    }
}

// Asks one leader about those of the offsets that it leads, as many as fit into one request.
static enum rc ask_leader(struct client *c, const struct client_topic *t, struct client_offset *offsets, uint32_t count,
                          bool read_committed, struct list_offsets_request_partition *partitions, int32_t leader)
{
    struct list_offsets_request in;
    struct list_offsets_response out;
    struct list_offsets_request_topic topic = {.name = bytes_str(t->name), .partitions = partitions};
    struct arena a;
    uint32_t n = 0;
    for (uint32_t i = 0; i < count && n < LIST_OFFSETS_PARTITIONS_MAX; i++) {
        if (offsets[i].error_code != OFFSETS_PENDING || leader_of(t, offsets[i].partition) != leader)
            continue;
        list_offsets_request_partition_init(&partitions[n]);
        partitions[n].partition_index = offsets[i].partition;
        partitions[n++].timestamp = offsets[i].timestamp;
    }
    topic.partitions_count = n;
    list_offsets_request_init(&in);
    in.replica_id = -1;
    in.isolation_level = read_committed;
    in.topics = &topic;
    in.topics_count = 1;
    in.timeout_ms = (int32_t)c->config.timeout_ms;
    arena_init(&a, 64 << 20, NULL, 0);
    struct client_call call = {.node_id = leader,
                               .request = &list_offsets_request_message,
                               .answer = &list_offsets_response_message,
                               .in = &in,
                               .out = &out,
                               .arena = &a};
    enum rc rc = client_call(c, &call);
    if (rc == RC_OK)
        take(&out, offsets, count);
    arena_deinit(&a);
    // What the answer left out would be asked for again and again.
    for (uint32_t k = 0; k < n && rc == RC_OK; k++)
        for (uint32_t i = 0; i < count; i++)
            if (offsets[i].error_code == OFFSETS_PENDING && offsets[i].partition == partitions[k].partition_index)
                offsets[i].error_code = -1;
    return rc;
}

// Marks what is worth another try, when leaders are known again. False: nothing is.
static bool again(struct client *c, struct client_topic *t, struct client_offset *offsets, uint32_t count)
{
    bool any = false;
    for (uint32_t i = 0; i < count; i++)
        any |= offsets[i].error_code && kerr_retriable(offsets[i].error_code);
    if (!any)
        return false;
    client_wait_ms(c, CLIENT_REFRESH_MS);
    if (client_topic_wait(c, t, false) != RC_OK)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (offsets[i].error_code && kerr_retriable(offsets[i].error_code))
            offsets[i].error_code = OFFSETS_PENDING;
    return true;
}

enum rc client_list_offsets(struct client *c, struct client_topic *t, struct client_offset *offsets, uint32_t count,
                            bool read_committed)
{
    struct list_offsets_request_partition *partitions = calloc(LIST_OFFSETS_PARTITIONS_MAX, sizeof(*partitions));
    uint64_t deadline = io_clock_ns(c->shard->io) + (uint64_t)c->config.timeout_ms * 1000000;
    enum rc rc = partitions ? RC_OK : RC_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        offsets[i].error_code = OFFSETS_PENDING;
    do {
        for (uint32_t i = 0; i < count && rc == RC_OK;) {
            if (offsets[i].error_code == OFFSETS_PENDING && leader_of(t, offsets[i].partition) < 0)
                offsets[i].error_code = KERR_LEADER_NOT_AVAILABLE;
            if (offsets[i].error_code != OFFSETS_PENDING)
                i++;
            else
                rc = ask_leader(c, t, offsets, count, read_committed, partitions, leader_of(t, offsets[i].partition));
        }
    } while (rc == RC_OK && io_clock_ns(c->shard->io) < deadline && again(c, t, offsets, count));
    free(partitions);
    return rc;
}
