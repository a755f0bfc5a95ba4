// SPDX-License-Identifier: Apache-2.0
//
// The new protocol (KIP-848): one request that joins, keeps alive, says what is owned and brings what should be. A
// field is said when it has changed, everything when there is doubt.
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "client/membership_private.h"
#include "model/kerr.h"

static struct client_topic *topic_by_id(struct membership *m, struct uuid id)
{
    for (uint32_t i = 0; i < m->topic_count; i++)
        if (uuid_eq(m->topics[i]->id, id))
            return m->topics[i];
    return NULL;
}

// False: a topic is not known by that id (yet), or there is no memory.
static bool read_target(struct membership *m, const struct consumer_group_heartbeat_response_assignment *a)
{
    m->target.count = 0;
    for (uint32_t i = 0; i < a->topic_partitions_count; i++) {
        struct client_topic *t = topic_by_id(m, a->topic_partitions[i].topic_id);
        if (!t)
            return false;
        for (uint32_t k = 0; k < a->topic_partitions[i].partitions_count; k++)
            if (membership_set_add(&m->target, t, a->topic_partitions[i].partitions[k]) != RC_OK)
                return false;
    }
    membership_set_sort(&m->target);
    return true;
}

static void beaten(struct membership *m, const struct consumer_group_heartbeat_response *out)
{
    membership_beaten(m);
    if (out->member_id.n > 0 && out->member_id.n < sizeof(m->member_id)) {
        memcpy(m->member_id, out->member_id.p, out->member_id.n);
        m->member_id[out->member_id.n] = 0;
    }
    m->generation = out->member_epoch;
    if (out->heartbeat_interval_ms > 0)
        m->heartbeat_ms = (uint32_t)out->heartbeat_interval_ms;
    m->heartbeat_due_ns = shard_now_ns(m->client->shard) + m->heartbeat_ms * UINT64_C(1000000);
    if (m->state == MEMBERSHIP_JOINING)
        membership_become(m, MEMBERSHIP_STABLE);
    if (!out->assignment)
        return;
    if (!read_target(m, out->assignment)) { // asked in full, the coordinator says it again
        m->target.count = 0;
        for (uint32_t i = 0; i < m->owned.count; i++)
            membership_set_add(&m->target, m->owned.items[i].topic, m->owned.items[i].index);
        m->beat_full = true;
        client_refresh(m->client);
        return;
    }
    m->rebalances++;
    m->reconciling = true;
}

static void refused(struct membership *m, enum rc rc, int16_t code, struct bytes message)
{
    char text[256];
    m->beat_full = true;
    if (m->state == MEMBERSHIP_JOINING)
        membership_become(m, MEMBERSHIP_OUT);
    if (membership_common(m, rc, code))
        return;
    if (code == KERR_UNKNOWN_MEMBER_ID || code == KERR_FENCED_MEMBER_EPOCH) {
        membership_reset(m, false, "");
    } else if (kerr_retriable(code)) {
        membership_wait(m, MEMBERSHIP_BACKOFF_MS);
    } else {
        snprintf(text, sizeof(text), "%s%s%.*s", kerr_name(code), message.n ? ": " : "", (int)message.n,
                 message.n ? (const char *)message.p : "");
        membership_fail(m, code, text);
    }
}

static void on_beaten(struct client_request *r, enum rc rc, struct bytes body)
{
    struct membership *m = container_of(r, struct membership, heartbeat);
    struct consumer_group_heartbeat_response out;
    struct arena a;
    if (m->closing || m->state == MEMBERSHIP_ENDED)
        return;
    arena_init(&a, 16 << 20, NULL, 0);
    struct dec d = dec_of(body);
    if (rc == RC_OK)
        rc = consumer_group_heartbeat_response_decode(&d, r->version, &a, &out);
    if (rc == RC_OK && out.error_code == 0)
        beaten(m, &out);
    else
        refused(m, rc, rc == RC_OK ? out.error_code : 0, rc == RC_OK ? out.error_message : bytes_of(NULL, 0));
    arena_deinit(&a);
    membership_step_later(m);
}

// What we own, topic by topic.
static bool write_owned(struct membership *m)
{
    struct consumer_group_heartbeat_request *in = &m->beat_in;
    uint32_t n = m->owned.count;
    in->topic_partitions = arena_array(&m->beat_arena, (size_t)n + 1, sizeof(*in->topic_partitions));
    int32_t *numbers = arena_array(&m->beat_arena, (size_t)n + 1, sizeof(*numbers));
    if (!in->topic_partitions || !numbers)
        return false;
    in->topic_partitions_count = 0;
    for (uint32_t i = 0; i < n; i++) {
        numbers[i] = m->owned.items[i].index;
        if (i == 0 || m->owned.items[i].topic != m->owned.items[i - 1].topic) {
            in->topic_partitions[in->topic_partitions_count].topic_id = m->owned.items[i].topic->id;
            in->topic_partitions[in->topic_partitions_count++].partitions = &numbers[i];
        }
        in->topic_partitions[in->topic_partitions_count - 1].partitions_count++;
    }
    return true;
}

static bool write_everything(struct membership *m)
{
    struct consumer_group_heartbeat_request *in = &m->beat_in;
    in->instance_id = membership_text(m->config.instance_id);
    in->rebalance_timeout_ms = (int32_t)m->config.rebalance_timeout_ms;
    in->server_assignor = membership_text(m->config.server_assignor);
    in->subscribed_topic_names = arena_array(&m->beat_arena, m->topic_count, sizeof(*in->subscribed_topic_names));
    if (!in->subscribed_topic_names)
        return false;
    for (uint32_t i = 0; i < m->topic_count; i++)
        in->subscribed_topic_names[i] = bytes_str(m->topics[i]->name);
    in->subscribed_topic_names_count = m->topic_count;
    return write_owned(m);
}

void membership_consumer_beat(struct membership *m)
{
    struct consumer_group_heartbeat_request *in = &m->beat_in;
    bool full = m->beat_full || m->generation < 0;
    arena_reset(&m->beat_arena);
    consumer_group_heartbeat_request_init(in);
    in->group_id = bytes_str(m->config.group_id);
    in->member_id = bytes_str(m->member_id);
    in->member_epoch = m->generation < 0 ? 0 : m->generation;
    if ((full && !write_everything(m)) || (!full && m->acknowledge && !write_owned(m))) {
        membership_fail(m, -1, "out of memory");
        return;
    }
    m->beat_full = m->acknowledge = false;
    m->heartbeat.in = in;
    m->heartbeat.done = on_beaten;
    client_connection_submit(&m->connection, &m->heartbeat);
}

// Members name themselves (KIP-1082), with a random id as Kafka writes those.
static void choose_id(struct membership *m)
{
    struct uuid id;
    uint64_t random[2] = {prng_next(&m->client->shard->prng), prng_next(&m->client->shard->prng)};
    memcpy(id.b, random, sizeof(id.b));
    uuid_format(id, m->member_id);
}

void membership_consumer_step(struct membership *m, uint64_t now)
{
    (void)now;
    m->changed = false;
    switch (m->state) {
    case MEMBERSHIP_OUT:
        if (m->heartbeat.busy)
            return;
        if (!m->member_id[0])
            choose_id(m);
        membership_become(m, MEMBERSHIP_JOINING);
        membership_consumer_beat(m);
        return;
    case MEMBERSHIP_STABLE:
        if (m->reconciling)
            membership_take(m);
        else if (m->acknowledge && !m->heartbeat.busy)
            membership_consumer_beat(m);
        return;
    case MEMBERSHIP_JOINING:
    case MEMBERSHIP_ASSIGNING:
    case MEMBERSHIP_SYNCING:
    case MEMBERSHIP_ENDED:
    case MEMBERSHIP_STATES:
        return;
    }
    UNREACHABLE();
}
