// SPDX-License-Identifier: Apache-2.0
//
// Nodes and the calls that wait. The metadata cache is in client/metadata.c.
#include "client/client.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "client/metadata.h"

void client_explain(struct client *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(c->error, sizeof(c->error), format, args);
    va_end(args);
}

// ------------------------------------------------------------------------------------------------ nodes

struct client_node *client_node_add(struct client *c, int32_t id, const char *host, uint16_t port)
{
    struct client_node **end = &c->nodes;
    struct client_node *n = calloc(1, sizeof(*n));
    if (!n)
        return NULL;
    n->id = id;
    client_connection_init(&n->connection, c->shard, host, port, c->config.client_id, c->config.software_version);
    n->connection.owner = n;
    if (c->config.timeout_ms < n->connection.connect_timeout_ms)
        n->connection.connect_timeout_ms = c->config.timeout_ms;
    while (*end)
        end = &(*end)->next;
    *end = n;
    return n;
}

// "host", "host:port", "[::1]:9092".
static enum rc add_bootstrap(struct client *c, char *word, int32_t id)
{
    char *host = word, *port_text = NULL;
    unsigned long port = 9092;
    if (*word == '[') {
        char *end = strchr(word, ']');
        if (!end)
            return RC_INVALID;
        host = word + 1;
        *end = 0;
        port_text = end[1] == ':' ? end + 2 : NULL;
        if (end[1] && end[1] != ':')
            return RC_INVALID;
    } else if ((port_text = strrchr(word, ':')) != NULL) {
        *port_text++ = 0;
    }
    if (port_text) {
        char *end;
        port = strtoul(port_text, &end, 10);
        if (*end || end == port_text || port == 0 || port > 65535)
            return RC_INVALID;
    }
    if (!*host || strlen(host) >= IO_HOST_BYTES_MAX)
        return RC_INVALID;
    return client_node_add(c, id, host, (uint16_t)port) ? RC_OK : RC_NOMEM;
}

enum rc client_init(struct client *c, struct shard *shard, const struct client_config *config)
{
    *c = (struct client){.shard = shard, .config = *config, .controller_id = -1};
    if (c->config.refresh_ms == 0)
        c->config.refresh_ms = CLIENT_REFRESH_MS;
    map_init(&c->topics);
    list_init(&c->watches);
    client_request_init(&c->refresh, &metadata_request_message, config->timeout_ms);
    c->bootstrap = strdup(config->bootstrap);
    if (!c->bootstrap)
        return RC_NOMEM;
    int32_t id = -1000;
    char *rest = c->bootstrap, *word;
    while ((word = strsep(&rest, ",")) != NULL) {
        word += strspn(word, " ");
        if (!*word)
            continue;
        char shown[128];
        snprintf(shown, sizeof(shown), "%s", word);
        enum rc rc = add_bootstrap(c, word, id--);
        if (rc != RC_OK) {
            client_explain(c, "'%s' is not an address; give HOST:PORT, for example 127.0.0.1:9092", shown);
            return rc;
        }
    }
    if (c->nodes)
        return RC_OK;
    client_explain(c, "no broker address given; use --bootstrap-server HOST:PORT");
    return RC_INVALID;
}

void client_close(struct client *c)
{
    for (struct client_node *n = c->nodes; n; n = n->next)
        client_connection_deinit(&n->connection);
}

void client_deinit(struct client *c)
{
    client_close(c);
    metadata_deinit(c);
    for (struct client_node *n = c->nodes, *next; n; n = next) {
        next = n->next;
        free(n);
    }
    c->nodes = NULL;
    free(c->bootstrap);
}

struct client_node *client_node_any(struct client *c)
{
    struct client_node *idle = NULL, *broken = NULL;
    for (struct client_node *n = c->nodes; n; n = n->next) {
        if (n->gone)
            continue;
        if (n->connection.state == CLIENT_UP)
            return n;
        if (n->connection.last_error == RC_OK && !idle)
            idle = n;
        // Of those that failed the one whose turn comes first: they rotate as their backoffs grow.
        if (!broken || n->connection.state_deadline_ns < broken->connection.state_deadline_ns)
            broken = n;
    }
    return idle ? idle : broken;
}

struct client_connection *client_connection_of(struct client *c, int32_t node_id)
{
    int32_t wanted = node_id == CLIENT_NODE_CONTROLLER ? c->controller_id : node_id;
    for (struct client_node *n = c->nodes; n && wanted >= 0; n = n->next)
        if (n->id == wanted && !n->gone)
            return &n->connection;
    if (node_id >= 0)
        return NULL;
    struct client_node *n = client_node_any(c);
    return n ? &n->connection : NULL;
}

// ------------------------------------------------------------------------------------------------ calls that wait

struct waiting_call {
    struct client_request request;
    const struct schema_message *answer;
    struct arena *arena;
    void *out;
    bool done;
    enum rc rc;
};

static void on_called(struct client_request *r, enum rc rc, struct bytes body)
{
    struct waiting_call *w = container_of(r, struct waiting_call, request);
    w->done = true;
    w->rc = rc;
    if (rc != RC_OK)
        return;
    // Views point into the body, which is gone after this call: keep it beside what is decoded from it.
    const uint8_t *kept = arena_copy(w->arena, body.p, body.n);
    if (!kept) {
        w->rc = RC_NOMEM;
        return;
    }
    struct dec d = dec_of(bytes_of(kept, body.n));
    w->rc = schema_decode(w->answer, &d, r->version, w->arena, w->out);
}

static void explain_transport(struct client *c, const struct client_connection *at, const struct schema_message *m,
                              enum rc rc)
{
    char place[IO_HOST_BYTES_MAX + 16];
    bool six = strchr(at->host, ':') != NULL;
    snprintf(place, sizeof(place), six ? "[%s]:%u" : "%s:%u", at->host, at->port);
    bool never_up = at->versions[18].max < 0;
    if (rc == RC_UNSUPPORTED_VERSION && !never_up)
        client_explain(c, "the broker at %s does not support %s in a version known here", place, m->name);
    else if (rc == RC_TIMED_OUT && !never_up)
        client_explain(c, "the broker at %s did not answer %s in time; give it more with --timeout", place, m->name);
    else if (rc == RC_MALFORMED)
        client_explain(c, "what answers at %s does not speak Kafka's protocol (is it another service, or TLS?)", place);
    else if (never_up && rc == RC_RESET)
        client_explain(c, "%s closed the connection at once; is it a Kafka listener without TLS and SASL?", place);
    else if (never_up && rc == RC_INVALID)
        client_explain(c, "host name '%s' cannot be resolved", at->host);
    else if (never_up)
        client_explain(c,
                       "no broker answers at %s (%s); is it running? "
                       "Name another with --bootstrap-server or WEIR_BOOTSTRAP",
                       place, rc_text(rc));
    else
        client_explain(c, "%s: %s while waiting for %s", place, rc_text(rc), m->name);
}

enum rc client_call_on(struct client *c, struct client_connection *at, struct client_call *call)
{
    struct waiting_call w = {.answer = call->answer, .arena = call->arena, .out = call->out};
    client_request_init(&w.request, call->request, call->timeout_ms ? call->timeout_ms : c->config.timeout_ms);
    w.request.in = call->in;
    w.request.done = on_called;
    if (call->version_max)
        w.request.version_max = call->version_max;
    client_connection_submit(at, &w.request);
    while (!w.done)
        shard_turn(c->shard, -1);
    call->version = w.request.version;
    client_request_deinit(&w.request);
    if (w.rc != RC_OK)
        explain_transport(c, at, call->request, w.rc);
    return w.rc;
}

enum rc client_call(struct client *c, struct client_call *call)
{
    struct client_connection *at = client_connection_of(c, call->node_id);
    if (!at) {
        client_explain(c, "there is no broker %d in this cluster", call->node_id);
        return RC_NOT_FOUND;
    }
    return client_call_on(c, at, call);
}

void client_wait_ms(struct client *c, uint32_t ms)
{
    uint64_t now = io_clock_ns(c->shard->io), until = now + (uint64_t)ms * 1000000;
    for (; now < until; now = io_clock_ns(c->shard->io))
        shard_turn(c->shard, (int64_t)(until - now));
}

enum rc client_connect(struct client *c)
{
    enum rc rc = RC_UNREACHABLE;
    for (struct client_node *n = c->nodes; n && n->id < 0; n = n->next) {
        struct arena a;
        struct metadata_request in;
        struct metadata_response out;
        metadata_request_init(&in);
        struct metadata_request_topic none[1];
        in.topics = none; // an empty list, not null: brokers only (from version 1)
        in.topics_count = 0;
        in.allow_auto_topic_creation = false;
        arena_init(&a, 16 << 20, NULL, 0);
        struct client_call call = {.request = &metadata_request_message,
                                   .answer = &metadata_response_message,
                                   .in = &in,
                                   .out = &out,
                                   .arena = &a};
        rc = client_call_on(c, &n->connection, &call);
        if (rc == RC_OK)
            rc = metadata_take(c, &out);
        arena_deinit(&a);
        if (rc == RC_OK)
            return rc;
    }
    return rc;
}
