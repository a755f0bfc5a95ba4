// SPDX-License-Identifier: Apache-2.0
//
// What both protocols share: the coordinator, the way partitions change hands, the clock. One timer and one task: both
// end in on_step(), which does the next thing that time and state allow.
#include "client/membership.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "client/membership_private.h"
#include "model/kerr.h"

#define BIT(state) (1u << (state))

static const uint32_t may_become[MEMBERSHIP_STATES] = {
    [MEMBERSHIP_OUT] = BIT(MEMBERSHIP_JOINING) | BIT(MEMBERSHIP_ENDED),
    [MEMBERSHIP_JOINING] = BIT(MEMBERSHIP_OUT) | BIT(MEMBERSHIP_ASSIGNING) | BIT(MEMBERSHIP_SYNCING) |
                           BIT(MEMBERSHIP_STABLE) | BIT(MEMBERSHIP_ENDED),
    [MEMBERSHIP_ASSIGNING] = BIT(MEMBERSHIP_OUT) | BIT(MEMBERSHIP_SYNCING) | BIT(MEMBERSHIP_ENDED),
    [MEMBERSHIP_SYNCING] = BIT(MEMBERSHIP_OUT) | BIT(MEMBERSHIP_STABLE) | BIT(MEMBERSHIP_ENDED),
    [MEMBERSHIP_STABLE] = BIT(MEMBERSHIP_OUT) | BIT(MEMBERSHIP_ENDED),
    [MEMBERSHIP_ENDED] = 0,
};

void membership_become(struct membership *m, enum membership_state next)
{
    ASSERT(next == m->state || may_become[m->state] & BIT(next));
    m->state = next;
}

struct membership_config membership_config_default(const char *group_id)
{
    return (struct membership_config){.group_id = group_id,
                                      .assignors = {client_assignor_find("range")},
                                      .assignor_count = 1,
                                      .session_timeout_ms = 45000,
                                      .heartbeat_ms = 3000,
                                      .rebalance_timeout_ms = 300000,
                                      .metadata_age_ms = 300000};
}

struct bytes membership_text(const char *text)
{
    return text ? bytes_str(text) : bytes_of(NULL, 0);
}

// ------------------------------------------------------------------------------------------------ events

static void raise_event(struct membership *m, enum membership_event event)
{
    ASSERT(m->event == MEMBERSHIP_NOTHING);
    m->event = event;
}

// Words for codes whose names do not say what to do.
static const char *explanation(int16_t code)
{
    switch (code) {
    case 23:
        return "INCONSISTENT_GROUP_PROTOCOL: its members use other assignors, or another protocol; use one that all of "
               "them have";
    case 24:
        return "INVALID_GROUP_ID: the broker does not accept this name";
    case 26:
        return "INVALID_SESSION_TIMEOUT: it must lie between the broker's group.min.session.timeout.ms and "
               "group.max.session.timeout.ms";
    case 81:
        return "GROUP_MAX_SIZE_REACHED: it has as many members as the broker's group.max.size allows";
    default:
        return NULL;
    }
}

void membership_fail(struct membership *m, int16_t code, const char *what)
{
    if (m->state == MEMBERSHIP_ENDED)
        return;
    m->code = code;
    if (!what)
        what = explanation(code);
    if (what)
        client_explain(m->client, "group '%s': %s", m->config.group_id, what);
    else
        client_explain(m->client, "group '%s': %s", m->config.group_id, kerr_name(code));
    membership_become(m, MEMBERSHIP_ENDED);
    m->generation = -1;
    m->event = MEMBERSHIP_NOTHING; // whatever was asked is pointless now
    raise_event(m, MEMBERSHIP_FAILED);
}

// The next difference between what is owned and what the group gives us. Revoked comes first, so that nobody ever has
// more than the group knows of.
void membership_take(struct membership *m)
{
    enum rc rc = membership_set_minus(&m->owned, &m->target, &m->affected);
    m->reconciling = true;
    if (rc == RC_OK && m->affected.count > 0) {
        // What the classic group took from us it gives to another only in the round after (KIP-429).
        m->rejoin_after |= m->config.protocol == MEMBERSHIP_CLASSIC;
        raise_event(m, MEMBERSHIP_REVOKED);
        return;
    }
    if (rc == RC_OK)
        rc = membership_set_minus(&m->target, &m->owned, &m->affected);
    if (rc != RC_OK) {
        membership_fail(m, -1, "out of memory");
        return;
    }
    m->reconciling = false;
    raise_event(m, MEMBERSHIP_ASSIGNED);
}

// What was affected leaves or joins what is owned.
static enum rc settle(struct membership *m, enum membership_event event)
{
    struct membership_set kept = {0};
    enum rc rc = RC_OK;
    if (event == MEMBERSHIP_ASSIGNED) {
        for (uint32_t i = 0; i < m->affected.count && rc == RC_OK; i++)
            rc = membership_set_add(&m->owned, m->affected.items[i].topic, m->affected.items[i].index);
        membership_set_sort(&m->owned);
        return rc;
    }
    rc = membership_set_minus(&m->owned, &m->affected, &kept);
    free(m->owned.items);
    m->owned = kept;
    return rc;
}

void membership_event_done(struct membership *m)
{
    enum membership_event event = m->event;
    ASSERT(event != MEMBERSHIP_NOTHING);
    m->event = MEMBERSHIP_NOTHING;
    if (event == MEMBERSHIP_FAILED)
        return;
    if (settle(m, event) != RC_OK) {
        membership_fail(m, -1, "out of memory");
        return;
    }
    m->acknowledge = m->config.protocol == MEMBERSHIP_CONSUMER && event != MEMBERSHIP_LOST;
    if (m->state == MEMBERSHIP_STABLE && m->reconciling) {
        membership_take(m);
    } else if (event == MEMBERSHIP_ASSIGNED) {
        if (m->rejoin_after && m->state == MEMBERSHIP_STABLE)
            membership_rejoin(m, "need to revoke partitions and re-join");
        m->rejoin_after = false;
    }
    membership_step_later(m);
}

void membership_rejoin(struct membership *m, const char *reason)
{
    snprintf(m->reason, sizeof(m->reason), "%s", reason);
    if (m->state != MEMBERSHIP_ENDED)
        membership_become(m, MEMBERSHIP_OUT);
    membership_step_later(m);
}

void membership_reset(struct membership *m, bool forget_id, const char *reason)
{
    if (m->state == MEMBERSHIP_ENDED)
        return;
    m->generation = -1;
    m->reconciling = m->rejoin_after = false;
    m->beat_full = true;
    if (forget_id)
        m->member_id[0] = 0;
    // Whatever the owner was asked to give up is lost as well; what it was to take on is void.
    m->event = MEMBERSHIP_NOTHING;
    m->affected.count = 0;
    enum rc rc = RC_OK;
    for (uint32_t i = 0; i < m->owned.count && rc == RC_OK; i++)
        rc = membership_set_add(&m->affected, m->owned.items[i].topic, m->owned.items[i].index);
    if (rc != RC_OK) {
        membership_fail(m, -1, "out of memory");
        return;
    }
    if (m->owned.count > 0)
        raise_event(m, MEMBERSHIP_LOST);
    membership_rejoin(m, reason);
}

// ------------------------------------------------------------------------------------------------ the coordinator

void membership_wait(struct membership *m, uint32_t ms)
{
    m->retry_ns = shard_now_ns(m->client->shard) + ms * UINT64_C(1000000);
    membership_step_later(m);
}

// The coordinator is not where it was thought to be, or does not answer.
static void membership_lose_coordinator(struct membership *m)
{
    m->found = false;
    membership_wait(m, MEMBERSHIP_BACKOFF_MS);
}

static void take_coordinator(struct membership *m, int32_t node_id, struct bytes host, int32_t port, int16_t code)
{
    if (code == 0 && host.n > 0 && host.n < sizeof(m->host) && port > 0 && port <= UINT16_MAX) {
        memcpy(m->host, host.p, host.n);
        m->host[host.n] = 0;
        m->port = (uint16_t)port;
        m->coordinator_id = node_id;
        m->found = true;
        m->session_ns = shard_now_ns(m->client->shard);
        membership_step_later(m);
    } else if (code == 0 || kerr_retriable(code)) {
        membership_wait(m, MEMBERSHIP_BACKOFF_MS);
    } else {
        membership_fail(m, code, NULL);
    }
}

static void on_found(struct client_request *r, enum rc rc, struct bytes body)
{
    struct membership *m = container_of(r, struct membership, find);
    struct find_coordinator_response out;
    _Alignas(16) uint8_t scratch[4096];
    struct arena a;
    if (rc == RC_CLOSED || m->closing)
        return;
    arena_init(&a, 1 << 20, scratch, sizeof(scratch));
    struct dec d = dec_of(body);
    if (rc == RC_OK)
        rc = find_coordinator_response_decode(&d, r->version, &a, &out);
    if (rc != RC_OK)
        membership_wait(m, MEMBERSHIP_BACKOFF_MS);
    else if (r->version < 4)
        take_coordinator(m, out.node_id, out.host, out.port, out.error_code);
    else if (out.coordinators_count == 1)
        take_coordinator(m, out.coordinators->node_id, out.coordinators->host, out.coordinators->port,
                         out.coordinators->error_code);
    else
        membership_wait(m, MEMBERSHIP_BACKOFF_MS);
    arena_deinit(&a);
}

static void find(struct membership *m, uint64_t now)
{
    struct client_connection *at = client_connection_of(m->client, CLIENT_NODE_ANY);
    if (m->find.busy || now < m->retry_ns || !at)
        return;
    find_coordinator_request_init(&m->find_in);
    m->find_key = bytes_str(m->config.group_id);
    m->find_in.key = m->find_key;
    m->find_in.coordinator_keys = &m->find_key;
    m->find_in.coordinator_keys_count = 1;
    m->find.in = &m->find_in;
    m->find.done = on_found;
    client_connection_submit(at, &m->find);
}

// The connection leads to where the coordinator is said to be. Runs in no done().
static void follow(struct membership *m)
{
    if (m->connection_open && m->connection.port == m->port && strcmp(m->connection.host, m->host) == 0)
        return;
    if (m->connection_open)
        client_connection_deinit(&m->connection);
    client_connection_init(&m->connection, m->client->shard, m->host, m->port, m->client->config.client_id,
                           m->client->config.software_version);
    m->connection_open = true;
}

bool membership_common(struct membership *m, enum rc rc, int16_t code)
{
    if (rc == RC_CLOSED) // by ourselves
        return true;
    if (rc == RC_UNSUPPORTED_VERSION) {
        membership_fail(m, KERR_UNSUPPORTED_VERSION,
                        m->config.protocol == MEMBERSHIP_CONSUMER
                            ? "the broker does not have the new group protocol; try --group-protocol classic"
                            : "the broker does not support consumer groups");
        return true;
    }
    if (rc != RC_OK) {
        membership_lose_coordinator(m);
        return true;
    }
    if (code == KERR_COORDINATOR_NOT_AVAILABLE || code == KERR_NOT_COORDINATOR) {
        membership_lose_coordinator(m);
        return true;
    }
    if (code == KERR_COORDINATOR_LOAD_IN_PROGRESS) {
        membership_wait(m, MEMBERSHIP_BACKOFF_MS);
        return true;
    }
    if (code == KERR_FENCED_INSTANCE_ID) {
        membership_fail(m, code, "FENCED_INSTANCE_ID: another member has joined with the same group.instance.id");
        return true;
    }
    return false;
}

bool membership_heard(struct membership *m, int32_t generation, enum rc rc, int16_t code)
{
    if (membership_common(m, rc, code))
        return m->state != MEMBERSHIP_ENDED;
    if (code == KERR_UNKNOWN_MEMBER_ID || code == KERR_ILLEGAL_GENERATION || code == KERR_FENCED_MEMBER_EPOCH) {
        if (generation != m->generation || m->join.busy || m->sync.busy)
            return m->generation >= 0;
        if (m->generation >= 0)
            membership_reset(m, code == KERR_UNKNOWN_MEMBER_ID && m->config.protocol == MEMBERSHIP_CLASSIC,
                             "the coordinator refused a commit");
        return false;
    }
    if (code == KERR_REBALANCE_IN_PROGRESS) {
        if (m->state == MEMBERSHIP_STABLE && m->event == MEMBERSHIP_NOTHING)
            membership_rejoin(m, "group is already rebalancing");
        return false;
    }
    return kerr_retriable(code) || code == KERR_STALE_MEMBER_EPOCH || code == KERR_UNSTABLE_OFFSET_COMMIT;
}

// ------------------------------------------------------------------------------------------------ time

void membership_beaten(struct membership *m)
{
    m->session_ns = shard_now_ns(m->client->shard);
}

static void on_step(struct shard_task *t);

void membership_step_later(struct membership *m)
{
    if (!m->closing)
        shard_defer(m->client->shard, &m->step, on_step);
}

static void on_timer(struct shard_timer *t)
{
    membership_step_later(container_of(t, struct membership, timer));
}

static void arm(struct membership *m, uint64_t now)
{
    uint64_t due = m->metadata_due_ns;
    if (m->generation >= 0 && m->heartbeat_due_ns < due && !m->heartbeat.busy)
        due = m->heartbeat_due_ns;
    if (m->retry_ns > now && m->retry_ns < due)
        due = m->retry_ns;
    if (due <= now)
        due = now + MEMBERSHIP_BACKOFF_MS * UINT64_C(1000000);
    if (shard_timer_set(m->client->shard, &m->timer, due, on_timer) != RC_OK)
        membership_fail(m, -1, "out of memory");
}

static void look_at_topics(struct membership *m, uint64_t now)
{
    if (now < m->metadata_due_ns)
        return;
    m->metadata_due_ns = now + m->config.metadata_age_ms * UINT64_C(1000000);
    client_refresh(m->client);
}

static void on_step(struct shard_task *t)
{
    struct membership *m = container_of(t, struct membership, step);
    uint64_t now = shard_now_ns(m->client->shard);
    bool classic = m->config.protocol == MEMBERSHIP_CLASSIC;
    if (m->closing || m->state == MEMBERSHIP_ENDED)
        return;
    look_at_topics(m, now);
    // A coordinator that says nothing for a whole session is gone, whatever its connection does.
    if (classic && m->found && m->state == MEMBERSHIP_STABLE &&
        now - m->session_ns > m->config.session_timeout_ms * UINT64_C(1000000))
        m->found = false;
    if (!m->found) {
        find(m, now);
    } else {
        follow(m);
        if (m->generation >= 0 && !m->heartbeat.busy && now >= m->heartbeat_due_ns && now >= m->retry_ns) {
            m->heartbeat_due_ns = now + m->heartbeat_ms * UINT64_C(1000000);
            classic ? membership_classic_beat(m) : membership_consumer_beat(m);
        }
        if (m->event == MEMBERSHIP_NOTHING && now >= m->retry_ns)
            classic ? membership_classic_step(m, now) : membership_consumer_step(m, now);
    }
    if (m->state != MEMBERSHIP_ENDED)
        arm(m, now);
}

static void on_metadata(struct client_watch *w, enum rc rc)
{
    struct membership *m = container_of(w, struct membership, watch);
    (void)rc;
    m->changed = true;
    membership_step_later(m);
}

// ------------------------------------------------------------------------------------------------ life

enum rc membership_init(struct membership *m, struct client *c, const struct membership_config *config,
                        struct client_topic *const *topics, uint32_t topic_count)
{
    ASSERT(topic_count > 0 && (config->assignor_count > 0 || config->protocol == MEMBERSHIP_CONSUMER));
    *m = (struct membership){.client = c,
                             .config = *config,
                             .generation = -1,
                             .coordinator_id = -1,
                             .heartbeat_ms = config->heartbeat_ms,
                             .beat_full = true};
    m->topics = calloc(topic_count, sizeof(struct client_topic *));
    if (!m->topics)
        return RC_NOMEM;
    memcpy(m->topics, topics, topic_count * sizeof(struct client_topic *));
    m->topic_count = topic_count;
    m->cooperative = true;
    for (uint32_t i = 0; i < config->assignor_count; i++)
        m->cooperative &= config->assignors[i]->cooperative;
    uint32_t patient = config->rebalance_timeout_ms + MEMBERSHIP_TIMEOUT_SLACK_MS;
    client_request_init(&m->find, &find_coordinator_request_message, c->config.timeout_ms);
    client_request_init(&m->join, &join_group_request_message, patient);
    client_request_init(&m->sync, &sync_group_request_message, patient);
    client_request_init(&m->heartbeat,
                        config->protocol == MEMBERSHIP_CLASSIC ? &heartbeat_request_message
                                                               : &consumer_group_heartbeat_request_message,
                        c->config.timeout_ms);
    arena_init(&m->arena, MEMBERSHIP_ARENA_BYTES, NULL, 0);
    arena_init(&m->beat_arena, MEMBERSHIP_ARENA_BYTES, NULL, 0);
    client_watch(c, &m->watch, on_metadata);
    return RC_OK;
}

void membership_start(struct membership *m)
{
    ASSERT(m->state == MEMBERSHIP_OUT);
    m->metadata_due_ns = shard_now_ns(m->client->shard) + m->config.metadata_age_ms * UINT64_C(1000000);
    membership_step_later(m);
}

void membership_deinit(struct membership *m)
{
    m->closing = true;
    shard_timer_cancel(m->client->shard, &m->timer);
    shard_defer_cancel(m->client->shard, &m->step);
    client_unwatch(m->client, &m->watch);
    if (m->connection_open)
        client_connection_deinit(&m->connection);
    while (m->find.busy) // on another's connection, which answers or times out
        shard_turn(m->client->shard, -1);
    client_request_deinit(&m->find);
    client_request_deinit(&m->join);
    client_request_deinit(&m->sync);
    client_request_deinit(&m->heartbeat);
    arena_deinit(&m->arena);
    arena_deinit(&m->beat_arena);
    free(m->owned.items);
    free(m->affected.items);
    free(m->target.items);
    free(m->topics);
    free(m->snapshot);
}
