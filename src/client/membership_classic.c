// SPDX-License-Identifier: Apache-2.0
//
// The classic protocol: JoinGroup (twice where the broker gives out member ids first, KIP-394), SyncGroup, Heartbeat,
// and what each of their errors asks of a member. Answers that come when the state has moved on are dropped.
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "client/membership_private.h"
#include "model/kerr.h"

enum { JOIN_VERSION_STATIC = 5 };

static bool take_member_id(struct membership *m, struct bytes id)
{
    if (id.n >= sizeof(m->member_id))
        return false;
    memcpy(m->member_id, id.p ? id.p : (const uint8_t *)"", id.n);
    m->member_id[id.n] = 0;
    return true;
}

// ------------------------------------------------------------------------------------------------ SyncGroup

static void synced(struct membership *m, const struct sync_group_response *out)
{
    enum rc rc = membership_read_assignment(m, out->assignment);
    if (rc != RC_OK) {
        membership_fail(m, -1, "the leader's assignment cannot be read");
        return;
    }
    membership_become(m, MEMBERSHIP_STABLE);
    m->rebalances++;
    m->heartbeat_ms = m->config.heartbeat_ms;
    m->heartbeat_due_ns = shard_now_ns(m->client->shard) + m->heartbeat_ms * UINT64_C(1000000);
    membership_beaten(m);
    membership_take(m);
    membership_step_later(m);
}

static void on_synced(struct client_request *r, enum rc rc, struct bytes body)
{
    struct membership *m = container_of(r, struct membership, sync);
    struct sync_group_response out;
    struct arena a;
    if (m->closing || m->state != MEMBERSHIP_SYNCING) {
        membership_step_later(m); // what has happened meanwhile may have waited for this
        return;
    }
    arena_init(&a, 1 << 20, NULL, 0);
    struct dec d = dec_of(body);
    if (rc == RC_OK)
        rc = sync_group_response_decode(&d, r->version, &a, &out);
    arena_deinit(&a); // the answer has no arrays
    int16_t code = rc == RC_OK ? out.error_code : 0;
    if (rc == RC_OK && code == 0) {
        synced(m, &out);
        return;
    }
    membership_become(m, MEMBERSHIP_OUT);
    if (membership_common(m, rc, code))
        return;
    if (code == KERR_REBALANCE_IN_PROGRESS)
        membership_rejoin(m, "group is already rebalancing");
    else if (code == KERR_UNKNOWN_MEMBER_ID || code == KERR_ILLEGAL_GENERATION)
        membership_reset(m, code == KERR_UNKNOWN_MEMBER_ID, "rejoin after SyncGroup was refused");
    else if (kerr_retriable(code))
        membership_wait(m, MEMBERSHIP_BACKOFF_MS);
    else
        membership_fail(m, code, NULL);
}

static void send_sync(struct membership *m)
{
    membership_become(m, MEMBERSHIP_SYNCING);
    m->sync_in.group_id = bytes_str(m->config.group_id);
    m->sync_in.generation_id = m->generation;
    m->sync_in.member_id = bytes_str(m->member_id);
    m->sync_in.group_instance_id = membership_text(m->config.instance_id);
    m->sync_in.protocol_type = bytes_str("consumer");
    m->sync_in.protocol_name = m->joined.protocol_name;
    m->sync.in = &m->sync_in;
    m->sync.done = on_synced;
    client_connection_submit(&m->connection, &m->sync);
}

// The leader's work, as far as topics are known.
static void assign(struct membership *m)
{
    enum rc rc = RC_OK;
    if (!m->joined.skip_assignment)
        rc = membership_assign(m);
    if (rc == RC_AGAIN) {
        if (m->state != MEMBERSHIP_ASSIGNING)
            membership_become(m, MEMBERSHIP_ASSIGNING);
        client_refresh(m->client);
    } else if (rc == RC_OK) {
        send_sync(m);
    } else {
        membership_fail(m, -1, rc == RC_NOMEM ? "out of memory" : "a member's subscription cannot be read");
    }
}

// ------------------------------------------------------------------------------------------------ JoinGroup

static const struct client_assignor *chosen(const struct membership *m)
{
    for (uint32_t i = 0; i < m->config.assignor_count; i++)
        if (bytes_eq(bytes_str(m->config.assignors[i]->name), m->joined.protocol_name))
            return m->config.assignors[i];
    return NULL;
}

static void joined(struct membership *m)
{
    const struct join_group_response *out = &m->joined;
    const struct client_assignor *assignor = chosen(m);
    if (!assignor || !take_member_id(m, out->member_id)) {
        membership_fail(m, -1, "the broker chose an assignor that was not offered");
        return;
    }
    m->assignor = assignor->name;
    m->generation = out->generation_id;
    m->leader = bytes_eq(out->leader, out->member_id);
    m->heartbeat_due_ns = shard_now_ns(m->client->shard) + m->config.heartbeat_ms * UINT64_C(1000000);
    membership_beaten(m);
    sync_group_request_init(&m->sync_in);
    m->snapshot_count = 0;
    if (m->leader)
        assign(m);
    else
        send_sync(m);
}

static void join_refused(struct membership *m, enum rc rc, int16_t code, struct bytes member_id)
{
    membership_become(m, MEMBERSHIP_OUT);
    if (membership_common(m, rc, code))
        return;
    if (code == KERR_MEMBER_ID_REQUIRED) {
        if (!take_member_id(m, member_id))
            membership_fail(m, -1, "the broker's member id is too long");
        membership_step_later(m);
    } else if (code == KERR_UNKNOWN_MEMBER_ID) {
        membership_reset(m, true, "rejoin as the member id is unknown");
    } else if (code == KERR_ILLEGAL_GENERATION) {
        membership_reset(m, false, "rejoin after an illegal generation");
    } else if (code == KERR_REBALANCE_IN_PROGRESS || kerr_retriable(code)) {
        membership_wait(m, MEMBERSHIP_BACKOFF_MS);
    } else {
        membership_fail(m, code, NULL);
    }
}

static void on_joined(struct client_request *r, enum rc rc, struct bytes body)
{
    struct membership *m = container_of(r, struct membership, join);
    if (m->closing || m->state != MEMBERSHIP_JOINING) {
        membership_step_later(m);
        return;
    }
    const uint8_t *kept = rc == RC_OK ? arena_copy(&m->arena, body.p, body.n) : NULL;
    if (rc == RC_OK && !kept)
        rc = RC_NOMEM;
    struct dec d = dec_of(bytes_of(kept, kept ? body.n : 0));
    if (rc == RC_OK)
        rc = join_group_response_decode(&d, r->version, &m->arena, &m->joined);
    if (rc == RC_OK && m->config.instance_id && r->version < JOIN_VERSION_STATIC)
        membership_fail(m, KERR_UNSUPPORTED_VERSION, "the broker does not know static members (group.instance.id)");
    else if (rc == RC_OK && m->joined.error_code == 0)
        joined(m);
    else
        join_refused(m, rc, rc == RC_OK ? m->joined.error_code : 0, m->joined.member_id);
}

static void send_join(struct membership *m)
{
    struct join_group_request *in = &m->join_in;
    arena_reset(&m->arena);
    join_group_request_init(in);
    join_group_response_init(&m->joined);
    in->group_id = bytes_str(m->config.group_id);
    in->session_timeout_ms = (int32_t)m->config.session_timeout_ms;
    in->rebalance_timeout_ms = (int32_t)m->config.rebalance_timeout_ms;
    in->member_id = bytes_str(m->member_id);
    in->group_instance_id = membership_text(m->config.instance_id);
    in->protocol_type = bytes_str("consumer");
    in->protocols = m->join_protocols;
    in->protocols_count = m->config.assignor_count;
    in->reason = bytes_str(m->reason);
    for (uint32_t i = 0; i < m->config.assignor_count; i++) {
        join_group_request_protocol_init(&m->join_protocols[i]);
        m->join_protocols[i].name = bytes_str(m->config.assignors[i]->name);
        m->join_protocols[i].metadata = membership_subscription(m, m->config.assignors[i]);
        if (!m->join_protocols[i].metadata.p) {
            membership_fail(m, -1, "out of memory");
            return;
        }
    }
    membership_become(m, MEMBERSHIP_JOINING);
    m->join.in = in;
    m->join.done = on_joined;
    client_connection_submit(&m->connection, &m->join);
}

// ------------------------------------------------------------------------------------------------ Heartbeat

static void on_beaten(struct client_request *r, enum rc rc, struct bytes body)
{
    struct membership *m = container_of(r, struct membership, heartbeat);
    struct heartbeat_response out;
    struct arena a;
    if (m->closing || m->state == MEMBERSHIP_ENDED)
        return;
    arena_init(&a, 1 << 16, NULL, 0);
    struct dec d = dec_of(body);
    if (rc == RC_OK)
        rc = heartbeat_response_decode(&d, r->version, &a, &out);
    arena_deinit(&a);
    int16_t code = rc == RC_OK ? out.error_code : 0;
    bool current = m->generation == m->heartbeat_in.generation_id;
    if (rc == RC_OK && (code == 0 || code == KERR_REBALANCE_IN_PROGRESS))
        membership_beaten(m);
    membership_step_later(m);
    if (rc == RC_OK && code == 0)
        return;
    if (!current || membership_common(m, rc, code))
        return;
    if (code == KERR_REBALANCE_IN_PROGRESS) {
        // While the owner is busy the rejoin follows its answer; before STABLE the round under way is the one meant.
        if (m->state == MEMBERSHIP_STABLE && m->event == MEMBERSHIP_NOTHING)
            membership_rejoin(m, "group is already rebalancing");
    } else if (code == KERR_UNKNOWN_MEMBER_ID || code == KERR_ILLEGAL_GENERATION) {
        if (m->state == MEMBERSHIP_STABLE || m->state == MEMBERSHIP_OUT)
            membership_reset(m, code == KERR_UNKNOWN_MEMBER_ID, "rejoin after a heartbeat was refused");
    } else if (!kerr_retriable(code)) {
        membership_fail(m, code, NULL);
    }
}

void membership_classic_beat(struct membership *m)
{
    if (m->state == MEMBERSHIP_JOINING) // the connection is busy with that
        return;
    heartbeat_request_init(&m->heartbeat_in);
    m->heartbeat_in.group_id = bytes_str(m->config.group_id);
    m->heartbeat_in.generation_id = m->generation;
    m->heartbeat_in.member_id = bytes_str(m->member_id);
    m->heartbeat_in.group_instance_id = membership_text(m->config.instance_id);
    m->heartbeat.in = &m->heartbeat_in;
    m->heartbeat.done = on_beaten;
    client_connection_submit(&m->connection, &m->heartbeat);
}

// ------------------------------------------------------------------------------------------------ what next

// Eager members give everything up before they join.
static bool gives_up_first(struct membership *m)
{
    if (m->cooperative || m->owned.count == 0)
        return false;
    m->target.count = 0;
    m->reconciling = false;
    m->affected.count = 0;
    for (uint32_t i = 0; i < m->owned.count; i++) {
        if (membership_set_add(&m->affected, m->owned.items[i].topic, m->owned.items[i].index) != RC_OK) {
            membership_fail(m, -1, "out of memory");
            return true;
        }
    }
    m->event = MEMBERSHIP_REVOKED;
    return true;
}

void membership_classic_step(struct membership *m, uint64_t now)
{
    (void)now;
    bool changed = m->changed;
    m->changed = false;
    switch (m->state) {
    case MEMBERSHIP_OUT:
        if (!m->join.busy && !m->sync.busy && !gives_up_first(m))
            send_join(m);
        return;
    case MEMBERSHIP_ASSIGNING:
        if (changed)
            assign(m);
        return;
    case MEMBERSHIP_STABLE:
        if (changed && m->leader && membership_split_is_old(m))
            membership_rejoin(m, "cached metadata has changed");
        return;
    case MEMBERSHIP_JOINING:
    case MEMBERSHIP_SYNCING:
    case MEMBERSHIP_ENDED:
    case MEMBERSHIP_STATES:
        return;
    }
    UNREACHABLE();
}
