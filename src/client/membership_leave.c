// SPDX-License-Identifier: Apache-2.0
//
// Goodbye to a group, in either protocol.
#include <string.h>

#include "client/membership_private.h"

static void leave_classic(struct membership *m, struct client_connection *at, uint32_t wait_ms)
{
    struct leave_group_request in;
    struct leave_group_request_member member;
    struct leave_group_response out;
    leave_group_request_init(&in);
    leave_group_request_member_init(&member);
    in.group_id = bytes_str(m->config.group_id);
    in.member_id = bytes_str(m->member_id);
    member.member_id = in.member_id;
    member.reason = bytes_str("the consumer is being closed");
    in.members = &member;
    in.members_count = 1;
    struct arena a;
    arena_init(&a, 1 << 20, NULL, 0);
    struct client_call call = {.request = &leave_group_request_message,
                               .answer = &leave_group_response_message,
                               .in = &in,
                               .out = &out,
                               .arena = &a,
                               .timeout_ms = wait_ms};
    client_call_on(m->client, at, &call); // whatever comes: the session ends by itself
    arena_deinit(&a);
}

static void leave_consumer(struct membership *m, struct client_connection *at, uint32_t wait_ms)
{
    struct consumer_group_heartbeat_request in;
    struct consumer_group_heartbeat_response out;
    struct arena a;
    consumer_group_heartbeat_request_init(&in);
    in.group_id = bytes_str(m->config.group_id);
    in.member_id = bytes_str(m->member_id);
    in.instance_id = membership_text(m->config.instance_id);
    in.member_epoch = m->config.instance_id ? -2 : -1; // -2: the instance will be back
    arena_init(&a, 1 << 20, NULL, 0);
    struct client_call call = {.request = &consumer_group_heartbeat_request_message,
                               .answer = &consumer_group_heartbeat_response_message,
                               .in = &in,
                               .out = &out,
                               .arena = &a,
                               .timeout_ms = wait_ms};
    client_call_on(m->client, at, &call);
    arena_deinit(&a);
}

void membership_leave(struct membership *m, uint32_t wait_ms)
{
    bool classic = m->config.protocol == MEMBERSHIP_CLASSIC;
    bool member =
        m->state != MEMBERSHIP_ENDED && m->member_id[0] && (classic ? !m->config.instance_id : m->generation > 0);
    if (m->state != MEMBERSHIP_ENDED)
        membership_become(m, MEMBERSHIP_ENDED);
    m->event = MEMBERSHIP_NOTHING;
    m->owned.count = 0;
    // Behind a JoinGroup that is held back nothing is heard: then by the connection that others use.
    struct client_connection *at = &m->connection;
    if (m->join.busy || m->sync.busy)
        at = client_connection_of(m->client, m->coordinator_id);
    if (!member || !m->found || !m->connection_open || !at)
        return;
    char kept[CLIENT_ERROR_BYTES];
    memcpy(kept, m->client->error, sizeof(kept));
    classic ? leave_classic(m, at, wait_ms) : leave_consumer(m, at, wait_ms);
    memcpy(m->client->error, kept, sizeof(kept));
}
