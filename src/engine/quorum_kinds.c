// SPDX-License-Identifier: Apache-2.0
#include "engine/quorum_kinds.h"

#include "base/assert.h"
#include "model/kerr.h"
#include "wire/messages.h"

// What a kind is on the wire. in_bytes: of the C struct that the controller takes, where it is not the message's own.
struct kind {
    const struct schema_message *request, *answer; // NULL: nothing is said
    size_t request_bytes, answer_bytes;
};

static const struct kind kinds[QUORUM_KINDS] = {
    [CONTROLLER_CREATE_TOPICS] = {&create_topics_request_message, &create_topics_response_message, 0, 0},
    [CONTROLLER_DELETE_TOPICS] = {&delete_topics_request_message, &delete_topics_response_message, 0, 0},
    [CONTROLLER_CREATE_PARTITIONS] = {&create_partitions_request_message, &create_partitions_response_message, 0, 0},
    [CONTROLLER_ALTER_CONFIGS] = {&alter_configs_request_message, &alter_configs_response_message, 0, 0},
    [CONTROLLER_INCREMENTAL_ALTER_CONFIGS] = {&incremental_alter_configs_request_message,
                                              &incremental_alter_configs_response_message, 0, 0},
    [CONTROLLER_ELECT_LEADERS] = {&elect_leaders_request_message, &elect_leaders_response_message, 0, 0},
    [CONTROLLER_UNREGISTER] = {&unregister_broker_request_message, &unregister_broker_response_message, 0, 0},
    [CONTROLLER_UPDATE_FEATURES] = {&update_features_request_message, &update_features_response_message, 0, 0},
    [CONTROLLER_REASSIGN] = {&alter_partition_reassignments_request_message,
                             &alter_partition_reassignments_response_message, 0, 0},
    [CONTROLLER_ALTER_ISR] = {&alter_isr_message, &alter_isr_answer_message, 0, 0},
    [CONTROLLER_REPLICAS_OFFLINE] = {&replicas_offline_message, NULL, 0, 0},
    [CONTROLLER_PRODUCER_IDS] = {&forward_producer_ids_message, &forward_producer_ids_message,
                                 sizeof(struct controller_producer_ids), sizeof(struct controller_producer_ids)},
    [CONTROLLER_REGISTER] = {&forward_registration_message, &forward_registration_message,
                             sizeof(struct controller_registration), sizeof(struct controller_registration)},
    [CONTROLLER_NODE_STATE] = {&forward_node_state_message, &forward_node_state_message,
                               sizeof(struct controller_node_state), sizeof(struct controller_node_state)},
    [QUORUM_DESCRIBE] = {NULL, &quorum_view_message, 0, 0},
    [QUORUM_CHANGE_VOTER] = {&voter_change_message, &voter_change_message, 0, 0},
};

// The newest version, but for what only older ones can say.
static int16_t version_of(int kind, const struct schema_message *m, const void *request)
{
    enum { DELETE_BY_NAME_VERSION_MAX = 5 };
    const struct delete_topics_request *d = request;
    return kind == CONTROLLER_DELETE_TOPICS && d->topic_names_count > 0 ? DELETE_BY_NAME_VERSION_MAX : m->version_max;
}

// ---- the three kinds with structs of their own ----

static struct forward_producer_ids ids_out(const struct controller_producer_ids *c)
{
    return (struct forward_producer_ids){
        .node = c->node, .broker_epoch = c->broker_epoch, .first = c->first, .count = c->count};
}

static void ids_in(const struct forward_producer_ids *m, struct controller_producer_ids *c)
{
    *c = (struct controller_producer_ids){
        .node = m->node, .broker_epoch = m->broker_epoch, .first = m->first, .count = m->count};
}

static struct forward_node_state state_out(const struct controller_node_state *c)
{
    return (struct forward_node_state){
        .node = c->node, .broker_epoch = c->broker_epoch, .fenced = c->fenced, .in_shutdown = c->in_shutdown};
}

static void state_in(const struct forward_node_state *m, struct controller_node_state *c)
{
    *c = (struct controller_node_state){
        .node = m->node, .broker_epoch = m->broker_epoch, .fenced = m->fenced, .in_shutdown = m->in_shutdown};
}

static bool registration_out(const struct controller_registration *c, struct arena *a, struct forward_registration *m)
{
    *m = (struct forward_registration){
        .node = c->node,
        .incarnation = c->incarnation,
        .rack = c->rack,
        .directories = (struct uuid *)(uintptr_t)c->directories,
        .directories_count = c->directory_count,
        .peer_host = c->peer_host ? bytes_str(c->peer_host) : (struct bytes){0},
        .peer_port = c->peer_port,
        .logs_whole = c->logs_whole,
        .broker_epoch = c->broker_epoch,
    };
    m->listeners = arena_array(a, c->listener_count, sizeof(*m->listeners));
    for (uint32_t i = 0; m->listeners && i < c->listener_count; i++)
        m->listeners[m->listeners_count++] =
            (struct forward_registration_listener){.name = bytes_str(c->listeners[i].name),
                                                   .host = bytes_str(c->listeners[i].host),
                                                   .port = c->listeners[i].port,
                                                   .protocol = c->listeners[i].protocol};
    return m->listeners;
}

// A text of the wire as C has it: no zero inside.
static enum rc text_in(struct bytes b, struct arena *a, const char **out)
{
    if (b.p && memchr(b.p, 0, b.n))
        return RC_MALFORMED;
    *out = b.p ? arena_copy(a, b.p, b.n) : NULL;
    return !b.p || *out ? RC_OK : RC_NOMEM;
}

static enum rc registration_in(const struct forward_registration *m, struct arena *a, struct controller_registration *c)
{
    *c = (struct controller_registration){
        .node = m->node,
        .incarnation = m->incarnation,
        .rack = m->rack,
        .listener_count = m->listeners_count,
        .directories = m->directories,
        .directory_count = m->directories_count,
        .peer_port = m->peer_port,
        .logs_whole = m->logs_whole,
        .broker_epoch = m->broker_epoch,
    };
    struct image_listener *listeners = arena_array(a, m->listeners_count, sizeof(*listeners));
    enum rc rc = listeners ? text_in(m->peer_host, a, &c->peer_host) : RC_NOMEM;
    for (uint32_t i = 0; rc == RC_OK && i < m->listeners_count; i++) {
        const struct forward_registration_listener *l = &m->listeners[i];
        listeners[i] = (struct image_listener){.port = l->port, .protocol = l->protocol};
        rc = text_in(l->name, a, &listeners[i].name);
        if (rc == RC_OK)
            rc = text_in(l->host, a, &listeners[i].host);
    }
    if (rc == RC_OK && m->rack.p && memchr(m->rack.p, 0, m->rack.n))
        rc = RC_MALFORMED;
    c->listeners = listeners;
    return rc;
}

// ---- both ways ----

union message {
    struct forward_producer_ids ids;
    struct forward_registration registration;
    struct forward_node_state state;
};

// What is encoded for a request or answer at `c`.
static const void *message_out(int kind, const void *c, struct arena *a, union message *m)
{
    switch (kind) {
    case CONTROLLER_PRODUCER_IDS:
        m->ids = ids_out(c);
        return m;
    case CONTROLLER_NODE_STATE:
        m->state = state_out(c);
        return m;
    case CONTROLLER_REGISTER:
        return registration_out(c, a, &m->registration) ? m : NULL;
    default:
        return c;
    }
}

static enum rc encode(int kind, const struct schema_message *m, int16_t version, const void *c, struct buf *out)
{
    union message own;
    struct arena a;
    struct enc e;
    if (!m)
        return RC_OK;
    arena_init(&a, 1 << 20, NULL, 0);
    const void *message = message_out(kind, c, &a, &own);
    enc_init(&e, out, NULL, 0);
    if (message)
        schema_encode(m, &e, version, message);
    bool ok = message && enc_ok(&e);
    arena_deinit(&a);
    return ok ? RC_OK : out->n + (1 << 20) > out->size_max ? RC_MESSAGE_TOO_LARGE : RC_NOMEM;
}

static enum rc message_in(int kind, const void *message, struct arena *a, void *c)
{
    switch (kind) {
    case CONTROLLER_PRODUCER_IDS:
        ids_in(message, c);
        return RC_OK;
    case CONTROLLER_NODE_STATE:
        state_in(message, c);
        return RC_OK;
    case CONTROLLER_REGISTER:
        return registration_in(message, a, c);
    default:
        UNREACHABLE();
    }
}

// Reads m; where the controller has a struct of its own, `c` becomes that.
static enum rc decode(int kind, const struct schema_message *m, int16_t version, struct bytes body, struct arena *a,
                      size_t own_bytes, void *c)
{
    union message own;
    struct dec d = dec_of(body);
    if (!m)
        return RC_OK;
    enum rc rc = schema_decode(m, &d, version, a, own_bytes ? (void *)&own : c);
    if (rc == RC_OK && dec_left(&d) > 0)
        rc = RC_MALFORMED;
    return rc == RC_OK && own_bytes ? message_in(kind, &own, a, c) : rc;
}

static size_t size_of(const struct schema_message *m, size_t own_bytes)
{
    return own_bytes ? own_bytes : m ? schema_size(m) : 1;
}

enum rc quorum_request_encode(const struct quorum_op *op, struct buf *out, int16_t *version)
{
    const struct kind *k = &kinds[op->kind];
    *version = k->request ? version_of(op->kind, k->request, op->request) : 0;
    return encode(op->kind, k->request, *version, op->request, out);
}

enum rc quorum_request_decode(int kind, int16_t version, struct bytes body, struct arena *a, void **request,
                              void **answer)
{
    if (kind < 0 || kind >= QUORUM_KINDS || (!kinds[kind].request && !kinds[kind].answer))
        return RC_UNSUPPORTED;
    const struct kind *k = &kinds[kind];
    *request = arena_alloc(a, size_of(k->request, k->request_bytes));
    *answer = k->request == k->answer && k->request_bytes ? *request
                                                          : arena_alloc(a, size_of(k->answer, k->answer_bytes));
    if (!*request || !*answer)
        return RC_NOMEM;
    if (k->answer && !k->answer_bytes)
        schema_init(k->answer, *answer);
    return decode(kind, k->request, version, body, a, k->request_bytes, *request);
}

enum rc quorum_answer_encode(const struct quorum_op *op, struct buf *out)
{
    const struct kind *k = &kinds[op->kind];
    return encode(op->kind, k->answer, k->answer ? k->answer->version_max : 0, op->answer, out);
}

enum rc quorum_answer_decode(struct quorum_op *op, struct bytes body)
{
    const struct kind *k = &kinds[op->kind];
    uint8_t *copy = arena_copy(op->arena, body.p, body.n);
    if (!copy)
        return RC_NOMEM;
    return decode(op->kind, k->answer, k->answer ? k->answer->version_max : 0, bytes_of(copy, body.n), op->arena,
                  k->answer_bytes, op->answer);
}

enum rc quorum_rc_of(int16_t code)
{
    static const enum rc known[] = {
        RC_OK,
        RC_NOT_CONTROLLER,
        RC_TIMED_OUT,
        RC_STALE_BROKER_EPOCH,
        RC_BROKER_ID_NOT_REGISTERED,
        RC_DUPLICATE_BROKER_REGISTRATION,
        RC_INVALID_REQUEST,
        RC_POLICY_VIOLATION,
        RC_INVALID_VOTER_KEY,
        RC_DUPLICATE_VOTER,
        RC_VOTER_NOT_FOUND,
        RC_UNSUPPORTED_VERSION,
        RC_CLUSTER_AUTHORIZATION_FAILED,
    };
    for (size_t i = 0; i < ARRAY_COUNT(known); i++)
        if (kerr_of(known[i]) == code)
            return known[i];
    return RC_UNKNOWN_SERVER_ERROR;
}
