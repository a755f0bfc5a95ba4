// SPDX-License-Identifier: Apache-2.0
//
// Boot and stop of a node; see node.h.
#include "server/node.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    MAILBOX_SLOTS = 256,
    PRODUCERS_MAX = 1000000,
    STOP_CONNECTIONS_MS = 2000,
    STOP_POLL_MS = 2,
    STOP_QUIET_MS = 3000,
    SECURITY_PLAINTEXT = 0, // Kafka's SecurityProtocol
};

static enum rc node_open_dirs(struct node *n, struct io **ios, uint32_t io_count, char *text, size_t text_bytes)
{
    const struct node_config *c = &n->config;
    unsigned count = c->log_dir_count + (c->metadata_dir ? 1 : 0);
    n->dirs = calloc(count, sizeof(*n->dirs));
    n->dir_pointers = calloc(count, sizeof(*n->dir_pointers));
    if (!n->dirs || !n->dir_pointers) {
        snprintf(text, text_bytes, "out of memory");
        return RC_NOMEM;
    }
    for (unsigned i = 0; i < count; i++) {
        const char *path = i < c->log_dir_count ? c->log_dirs[i] : c->metadata_dir;
        struct io *io = i < c->log_dir_count ? ios[i % io_count] : ios[0];
        enum rc rc = log_dir_open(&n->dirs[i], io, c->trace, path, text, text_bytes);
        if (rc != RC_OK)
            return rc;
        if (i > 0)
            log_dir_join(&n->dirs[i], &n->dirs[0]);
        n->dir_pointers[i] = &n->dirs[i];
        n->dir_count = i + 1;
    }
    return RC_OK;
}

static void node_tell(struct node *n)
{
    if (n->changed)
        n->changed(n);
}

// One step of every shard.
struct node_call {
    struct engine_call call;
    struct node *node;
    struct shard_timer timer;
    uint64_t until_ns;
    bool quiet;
};

static void node_call_each(struct node *n, struct node_call *calls, engine_call_fn run, engine_call_fn done)
{
    for (uint32_t i = 0; i < n->shards.count; i++) {
        calls[i].node = n;
        calls[i].call.run = run;
        calls[i].call.done = done;
        engine_call_start(&calls[i].call, &n->engine->shards[0], &n->engine->shards[i]);
    }
}

static void node_shard_open(struct engine_call *call)
{
    struct node_call *c = container_of(call, struct node_call, call);
    broker_shard_open(&c->node->broker->shards[call->target->shard->id]);
    engine_call_finish(call);
}

static void node_shard_opened(struct engine_call *call)
{
    struct node *n = container_of(call, struct node_call, call)->node;
    if (--n->open_left > 0)
        return;
    n->ready = true;
    node_tell(n);
}

static void node_stop_begin(struct node *n);

// Before this nobody is accepted, so that no client meets a cluster without a broker.
static void node_registered(struct engine *e, enum rc rc)
{
    struct node *n = e->owner;
    n->registering = false;
    if (n->stopping) {
        node_stop_begin(n);
        return;
    }
    if (rc == RC_OK) {
        n->open_left = n->shards.count;
        node_call_each(n, n->open_calls, node_shard_open, node_shard_opened);
        return;
    }
    n->failed = true;
    node_tell(n);
}

static enum rc node_boot_engine(struct node *n, char *text, size_t text_bytes)
{
    const struct node_config *c = &n->config;
    struct config_layers layers = {.properties = c->properties};
    struct engine_config ec = {
        .shards = &n->shards,
        .trace = c->trace,
        .node_id = c->node_id,
        .properties = c->properties,
        .log_dirs = n->dir_pointers,
        .log_dir_count = c->log_dir_count,
        .metadata_dir = n->dir_pointers[c->metadata_dir ? c->log_dir_count : 0],
        .cluster_id = c->cluster_id,
        .peers = c->peers,
        .peer_count = c->peer_count,
        .peer_listen = c->peer_listen,
        .peer_host = c->peer_host,
        .peer_port = c->peer_port,
        .files_max = c->files_max,
        .producer_expiry_ms = config_broker_int(&layers, "producer.id.expiration.ms", 86400000),
        .producers_max = PRODUCERS_MAX,
        .retention_check_ms = (uint64_t)config_broker_int(&layers, "log.retention.check.interval.ms", 300000),
        .memory_bytes = c->broker.memory_bytes,
        .group_snapshot_bytes = c->group_snapshot_bytes,
    };
    enum rc rc = engine_create(&n->engine, &ec, text, text_bytes);
    if (rc != RC_OK) {
        n->dir_count = 0; // closed by the engine
        return rc;
    }
    n->engine->owner = n;
    n->engine->registration_done = node_registered;
    return RC_OK;
}

static enum rc node_boot_broker(struct node *n, char *text, size_t text_bytes)
{
    enum rc rc = broker_create(&n->broker, &n->config.broker, n->engine, n->config.trace);
    if (rc != RC_OK) {
        snprintf(text, text_bytes, "out of memory");
        return rc;
    }
    unsigned failed = 0;
    rc = broker_listen(n->broker, &failed);
    if (rc == RC_OK)
        return RC_OK;
    char addr[IO_ADDR_TEXT_MAX];
    io_addr_format(&n->config.broker.listeners[failed].listen, addr);
    if (rc == RC_ADDRESS_IN_USE)
        snprintf(text, text_bytes, "%s is in use: another process listens there; stop it or choose another with --listen",
                 addr);
    else if (rc == RC_PERMISSION)
        snprintf(text, text_bytes, "not allowed to listen on %s: ports below 1024 need a privilege", addr);
    else
        snprintf(text, text_bytes, "cannot listen on %s: %s (is it an address of this machine?)", addr, rc_text(rc));
    return rc;
}

// The engine cannot call up; a look now and then is enough for what ends the process. Set only once something failed.
static void node_watch(struct shard_timer *t)
{
    struct node *n = container_of(t, struct node, watch_timer);
    if (__atomic_load_n(&n->engine->metadata_dir_failed, __ATOMIC_ACQUIRE) && !n->failed) {
        n->failed = true;
        node_tell(n);
        return;
    }
    shard_timer_set(&n->shards.shards[0], t, shard_now_ns(&n->shards.shards[0]) + UINT64_C(1000000000), node_watch);
}

enum rc node_create(struct node **out, const struct node_config *config, struct io **ios, uint32_t io_count, char *text,
                    size_t text_bytes)
{
    struct node *n = calloc(1, sizeof(*n));
    if (!n || shard_group_create(&n->shards, ios, io_count, MAILBOX_SLOTS, config->trace) != RC_OK) {
        free(n);
        snprintf(text, text_bytes, "out of memory");
        return RC_NOMEM;
    }
    n->config = *config;
    n->open_calls = calloc(n->shards.count, sizeof(*n->open_calls));
    n->stop_calls = calloc(n->shards.count, sizeof(*n->stop_calls));
    if (!n->open_calls || !n->stop_calls) {
        node_destroy(n);
        snprintf(text, text_bytes, "out of memory");
        return RC_NOMEM;
    }
    enum rc rc = node_open_dirs(n, ios, io_count, text, text_bytes);
    if (rc == RC_OK)
        rc = node_boot_engine(n, text, text_bytes);
    if (rc == RC_OK)
        rc = node_boot_broker(n, text, text_bytes);
    if (rc != RC_OK) {
        node_destroy(n);
        return rc;
    }
    for (unsigned i = 0; i < config->broker.listener_count; i++) {
        const struct broker_listener_config *l = &n->config.broker.listeners[i];
        n->listeners[i] = (struct image_listener){
            .name = l->name, .host = l->advertised_host, .port = l->advertised_port, .protocol = SECURITY_PLAINTEXT};
    }
    n->registering = true;
    engine_register(n->engine, n->listeners, config->broker.listener_count,
                    config->rack ? bytes_str(config->rack) : bytes_of(NULL, 0));
    shard_timer_set(&n->shards.shards[0], &n->watch_timer,
                    shard_now_ns(&n->shards.shards[0]) + UINT64_C(1000000000), node_watch);
    *out = n;
    return RC_OK;
}

// ------------------------------------------------------------------------------------------------ stop

static void node_quiet_poll(struct shard_timer *t)
{
    struct node_call *c = container_of(t, struct node_call, timer);
    struct engine_shard *es = c->call.target;
    // The shard that asks awaits the others' answers to this very question.
    uint32_t awaited = es->shard->id == 0 ? c->node->stop_left - 1 : 0;
    c->quiet = broker_shard_quiet(&c->node->broker->shards[es->shard->id]) && engine_shard_quiet(es, awaited);
    if (c->quiet || shard_now_ns(es->shard) >= c->until_ns)
        engine_call_finish(&c->call);
    else
        shard_timer_set(es->shard, t, shard_now_ns(es->shard) + STOP_POLL_MS * UINT64_C(1000000), node_quiet_poll);
}

static void node_shard_quiet(struct engine_call *call)
{
    struct node_call *c = container_of(call, struct node_call, call);
    c->until_ns = shard_now_ns(call->target->shard) + STOP_QUIET_MS * UINT64_C(1000000);
    node_quiet_poll(&c->timer);
}

static void node_shard_is_quiet(struct engine_call *call)
{
    struct node_call *c = container_of(call, struct node_call, call);
    struct node *n = c->node;
    n->quiet = n->quiet && c->quiet;
    if (--n->stop_left > 0)
        return;
    if (!n->quiet)
        trace_error(n->config.trace, "something is still at work %d s after the stop began", STOP_QUIET_MS / 1000);
    stop_watch_end(&n->stop_watch);
    n->settled = true;
    node_tell(n);
}

// The logs are durable; what shards still owe each other is waited for on their own threads.
static void node_settled(struct engine *e)
{
    struct node *n = e->owner;
    quorum_rest(e->quorum);
    n->quiet = n->resting = true;
    n->stop_left = n->shards.count;
    node_call_each(n, n->stop_calls, node_shard_quiet, node_shard_is_quiet);
}

static void node_shard_poll(struct shard_timer *t)
{
    struct node_call *c = container_of(t, struct node_call, timer);
    struct shard *s = c->call.target->shard;
    if (broker_shard_stopped(&c->node->broker->shards[s->id]))
        engine_call_finish(&c->call);
    else
        shard_timer_set(s, t, shard_now_ns(s) + STOP_POLL_MS * UINT64_C(1000000), node_shard_poll);
}

static void node_shard_stop(struct engine_call *call)
{
    struct node_call *c = container_of(call, struct node_call, call);
    struct broker_shard *bs = &c->node->broker->shards[call->target->shard->id];
    broker_shard_stop(bs, STOP_CONNECTIONS_MS * UINT64_C(1000000));
    node_shard_poll(&c->timer);
}

static void node_shard_stopped(struct engine_call *call)
{
    struct node *n = container_of(call, struct node_call, call)->node;
    if (--n->stop_left == 0 && engine_settle(n->engine, node_settled) != RC_OK) {
        n->failed = true;
        node_settled(n->engine);
    }
}

static void node_left(void *context)
{
    struct engine *e = context;
    node_stop_begin(e->owner);
}

void node_stop(struct node *n)
{
    if (n->stopping)
        return;
    n->stopping = true;
    stop_watch_begin(&n->stop_watch, n);
    shard_timer_cancel(&n->shards.shards[0], &n->watch_timer);
    struct config_layers layers = {.properties = n->config.properties};
    if (engine_in_cluster(n->engine) && config_broker_bool(&layers, "controlled.shutdown.enable"))
        quorum_leave(n->engine->quorum, node_left); // what it leads goes elsewhere while it still serves
    else if (!n->registering) // else when that is over, which is soon
        node_stop_begin(n);
}

static void node_stop_begin(struct node *n)
{
    if (n->ending)
        return;
    n->ending = true;
    n->stop_left = n->shards.count;
    node_call_each(n, n->stop_calls, node_shard_stop, node_shard_stopped);
}

void node_destroy(struct node *n)
{
    if (n->shards.shards)
        shard_timer_cancel(&n->shards.shards[0], &n->watch_timer);
    stop_watch_end(&n->stop_watch);
    for (uint32_t i = 0; n->stop_calls && i < n->shards.count; i++)
        shard_timer_cancel(&n->shards.shards[i], &n->stop_calls[i].timer);
    if (n->broker)
        broker_destroy(n->broker);
    if (n->engine) {
        bool own = n->config.metadata_dir != NULL;
        engine_close(n->engine);
        if (own)
            log_dir_close(&n->dirs[n->config.log_dir_count]);
    } else {
        for (unsigned i = 0; i < n->dir_count; i++)
            log_dir_close(&n->dirs[i]);
    }
    shard_group_destroy(&n->shards);
    free(n->open_calls);
    free(n->stop_calls);
    free(n->dirs);
    free(n->dir_pointers);
    free(n);
}
