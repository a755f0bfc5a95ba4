// SPDX-License-Identifier: Apache-2.0
//
// Boot of a node's shards, and what runs in their background: following the image, the store's own work, retention.
#include <stdio.h>
#include <stdlib.h>

#include "engine/compaction.h"
#include "engine/coordinator.h"
#include "engine/engine_core.h"
#include "engine/offline_report.h"
#include "engine/partition.h"
#include "engine/partition_move.h"
#include "engine/peers.h"
#include "engine/replica_nearest.h"
#include "engine/replica.h"

enum { STORE_STEP_NS = 500 * 1000 };

struct config_layers engine_layers(const struct engine_shard *es, const struct image_topic *t)
{
    return image_layers(es->reader.image, t, es->engine->config.node_id, es->engine->config.properties);
}

// ------------------------------------------------------------------------------------------------ following the image

static void engine_follow_topic(struct engine_shard *es, struct uuid id, const struct image *old, const struct image *image)
{
    if (partition_follow_topic(es, id, old, image) == RC_OK)
        return;
    es->follows_short = true;
    trace_error(es->engine->config.trace, "no memory for the partitions of a topic");
}

static void engine_follow_everything(struct engine_shard *es, const struct image *image)
{
    // topics that are gone first: a new life may want the old one's folders
    for (struct map_node *n = map_first(&es->topics), *next; n; n = next) {
        next = map_next(&es->topics, n);
        struct uuid id = container_of(n, struct engine_topic, node)->id;
        if (!image_topic_by_id(image, id))
            engine_follow_topic(es, id, NULL, image);
    }
    for (const struct image_topic *t = image_topic_next(image, bytes_of(NULL, 0), false); t;
         t = image_topic_next(image, image_topic_name(t), false))
        engine_follow_topic(es, t->id, NULL, image);
}

// How long idle producer ids are remembered, from the settings in force.
static void engine_configure_producers(struct engine_shard *es)
{
    struct config_layers l = engine_layers(es, NULL);
    int64_t before = es->store.config.producer_expiry_ms;
    es->store.config.producer_expiry_ms = config_broker_int(&l, "producer.id.expiration.ms", before);
    if (es->store.config.producer_expiry_ms < before)
        store_want_work(&es->store); // some are due sooner than was thought
}

static void engine_image_changed(struct quorum_reader *reader, const struct image *old, const struct image *image)
{
    struct engine_shard *es = container_of(reader, struct engine_shard, reader);
    if (!es->engine->folders_judged) { // at boot, on the one thread there is
        es->engine->folders_judged = true;
        engine_judge_folders(es->engine, image);
    }
    bool everything = !old || image->changes.everything || old->broker_configs_index != image->broker_configs_index ||
                      es->follows_short;
    es->follows_short = false;
    if (everything) {
        engine_configure_compaction(es);
        engine_configure_producers(es);
        throttles_configure(es);
        engine_follow_everything(es, image);
    }
    for (int pass = 0; pass < 2 && !everything; pass++) // deletions before creations, as above
        for (uint32_t i = 0; i < image->changes.topic_count; i++) {
            const struct image_change *c = &image->changes.topics[i];
            if ((c->kind == IMAGE_TOPIC_DELETED) == (pass == 0))
                engine_follow_topic(es, c->topic_id, old, image);
        }
    if (!everything && image->changes.nodes)
        replicas_follow_nodes(es, image);
    coordinators_image_changed(es, old, image);
    offline_report(es);
    if (es->image_changed)
        es->image_changed(es, image);
}

// ------------------------------------------------------------------------------------------------ background

static enum shard_job_state engine_store_job(struct shard_job *j, uint64_t budget_ns);

static void engine_store_start(struct engine_shard *es)
{
    if (!es->store_job.started && !es->at_rest)
        shard_job_start(es->shard, &es->store_job, engine_store_job);
}

static void engine_store_due(struct shard_timer *t)
{
    engine_store_start(container_of(t, struct engine_shard, store_timer));
}

static enum shard_job_state engine_store_job(struct shard_job *j, uint64_t budget_ns)
{
    struct engine_shard *es = container_of(j, struct engine_shard, store_job);
    uint64_t next_ns = UINT64_MAX;
    engine_tell_failures(es);
    if (store_work(&es->store, budget_ns < STORE_STEP_NS ? budget_ns : STORE_STEP_NS, &next_ns))
        return SHARD_JOB_MORE;
    partition_checkers_trim(es);
    if (next_ns != UINT64_MAX)
        shard_timer_set(es->shard, &es->store_timer, next_ns, engine_store_due);
    return SHARD_JOB_DONE;
}

static void engine_work_wanted(struct store *s)
{
    engine_store_start(container_of(s, struct engine_shard, store));
}

// A sync in the background made more of a log durable than its answers needed: after a start, what was recovered.
static void engine_offered_moved(struct store *s, struct plog *l)
{
    struct partition *p = container_of(l, struct partition, log);
    (void)s;
    if (p->state != PARTITION_ONLINE)
        return;
    int64_t end = plog_offered_end(l);
    if (end > p->high_watermark)
        p->bytes_added += plog_bytes_between(l, p->high_watermark, end);
    partition_advance(p);
}

static void engine_start_moved(struct store *s, struct plog *l)
{
    (void)s;
    partition_tell_start(container_of(l, struct partition, log));
}

static enum shard_job_state engine_retention_job(struct shard_job *j, uint64_t budget_ns)
{
    struct engine_shard *es = container_of(j, struct engine_shard, retention_job);
    int64_t wall_ms = store_settled_ms(&es->store);
    uint64_t until = io_clock_ns(es->shard->io) + budget_ns;
    while (es->retention_at) {
        if (io_clock_ns(es->shard->io) >= until)
            return SHARD_JOB_MORE;
        struct partition *p = list_entry(es->retention_at, struct partition, all_link);
        // A log that was never looked at is opened only when its time may have come; an open one is judged by its size
        // and its start, too, which costs nothing.
        if (p->state == PARTITION_ONLINE && !partition_move_holds(p) &&
            (p->log.state == PLOG_OPEN || plog_retention_due_ms(&p->log) <= wall_ms) &&
            plog_retention_step(&p->log, p->high_watermark, wall_ms))
            continue;
        es->retention_at = list_next(&es->all, es->retention_at);
    }
    return SHARD_JOB_DONE;
}

static void engine_retention_due(struct shard_timer *t)
{
    struct engine_shard *es = container_of(t, struct engine_shard, retention_timer);
    if (!es->retention_job.started && !list_empty(&es->all)) {
        es->retention_at = list_first(&es->all);
        shard_job_start(es->shard, &es->retention_job, engine_retention_job);
    }
    shard_timer_set(es->shard, t, shard_now_ns(es->shard) + es->engine->config.retention_check_ms * 1000000,
                    engine_retention_due);
}

// ------------------------------------------------------------------------------------------------ boot

static enum rc engine_shard_init(struct engine *e, uint32_t i)
{
    struct engine_shard *es = &e->shards[i];
    es->engine = e;
    es->shard = &e->config.shards->shards[i];
    es->shard->owner = es;
    map_init(&es->topics);
    map_init(&es->partitions);
    list_init(&es->dirty);
    list_init(&es->checking);
    list_init(&es->all);
    list_init(&es->doomed);
    list_init(&es->waiting);
    map_init(&es->graves);
    list_init(&es->opening);
    list_init(&es->unopened);
    list_init(&es->fetchers);
    list_init(&es->short_isrs);
    es->calls = calloc(e->shard_count, sizeof(*es->calls));
    if (!es->calls || coordinators_init(es) != RC_OK)
        return RC_NOMEM;
    for (uint32_t to = 0; to < e->shard_count; to++)
        engine_call_queue_init(&es->calls[to], es, to);
    struct store_config sc = STORE_CONFIG_DEFAULT;
    sc.files_max = (uint32_t)(e->config.files_max / e->shard_count);
    sc.unsynced_bytes_max /= e->shard_count;
    sc.producer_expiry_ms = e->config.producer_expiry_ms;
    sc.producers_max = e->config.producers_max / e->shard_count;
    enum rc rc =
        store_init(&es->store, es->shard->io, e->config.trace, &sc, e->config.log_dirs, e->config.log_dir_count);
    if (rc != RC_OK)
        return rc;
    es->store.work_wanted = engine_work_wanted;
    es->store.offered_moved = engine_offered_moved;
    es->store.start_moved = engine_start_moved;
    es->store.owner = es;
    es->reader.changed = engine_image_changed;
    return RC_OK;
}

// Every log that was not closed cleanly is read from its mark or recovery point on, before anyone is served.
static void engine_recover(struct engine *e)
{
    for (uint32_t i = 0; i < e->shard_count; i++) {
        struct engine_shard *es = &e->shards[i];
        for (struct list_node *n = list_first(&es->all); n; n = list_next(&es->all, n)) {
            struct partition *p = list_entry(n, struct partition, all_link);
            if (p->state != PARTITION_ONLINE || p->log.state != PLOG_UNCLEAN)
                continue;
            struct plog_recovery_report report = {0};
            partition_recover(p, &report);
            e->recovered_logs++;
            e->recovered_bytes += report.scanned_bytes;
            e->recovered_cut_bytes += report.cut_bytes;
            e->recovered_from_marks |= report.from_mark;
        }
    }
}

static void engine_quorum_failed(void *context, enum rc rc, const char *text)
{
    struct engine *e = context;
    (void)rc;
    (void)text; // said already
    __atomic_store_n(&e->metadata_dir_failed, true, __ATOMIC_RELEASE);
}

enum rc engine_start_dirs(struct engine *e, char *text, size_t text_bytes)
{
    for (unsigned i = 0; i < e->config.log_dir_count; i++) {
        struct log_dir *d = e->config.log_dirs[i];
        d->owner = e;
        d->failed = engine_dir_failed;
        d->topic_name = engine_dir_topic_name;
        enum rc rc = log_dir_start(d);
        if (rc != RC_OK) {
            snprintf(text, text_bytes, "%s: the checkpoint cannot be written: %s", d->path, rc_text(rc));
            return rc;
        }
    }
    return RC_OK;
}

void engine_forward_dirs(struct engine *e)
{
    for (unsigned i = 0; i < e->config.log_dir_count && e->shard_count > 1; i++)
        e->config.log_dirs[i]->forward = engine_dir_forward;
}

void engine_start_background(struct engine_shard *es)
{
    struct config_layers l = {.properties = es->engine->config.properties};
    uint64_t every_ms = es->engine->config.retention_check_ms;
    uint64_t first_ms = (uint64_t)config_broker_int(&l, "log.initial.task.delay.ms", 30000);
    engine_store_start(es);
    mover_resume(es);
    shard_timer_set(es->shard, &es->retention_timer,
                    shard_now_ns(es->shard) + (first_ms < every_ms ? first_ms : every_ms) * 1000000, engine_retention_due);
}

static void engine_adopt_replica(void *context, const struct peer_hello *theirs, int fd, const struct io_addr *from)
{
    struct engine *e = context;
    if (e->adopt_replica)
        e->adopt_replica(&e->shards[0], fd, from, theirs->node, theirs->broker_epoch);
    else
        io_sock_refuse(e->shards[0].shard->io, fd);
}

static enum rc engine_boot(struct engine *e, char *text, size_t text_bytes)
{
    struct quorum_config qc = {
        .shard = &e->config.shards->shards[0],
        .trace = e->config.trace,
        .node_id = e->config.node_id,
        .log_dirs = e->config.log_dirs,
        .log_dir_count = e->config.log_dir_count,
        .metadata_dir = e->config.metadata_dir,
        .properties = e->config.properties,
        .cluster_id = e->config.cluster_id,
        .peers = e->config.peers,
        .peer_count = e->config.peer_count,
        .peer_listen = e->config.peer_listen,
        .registered = engine_join,
        .adopt = engine_adopt_replica,
        .failed = engine_quorum_failed,
        .context = e,
    };
    enum rc rc = quorum_create(&e->quorum, &qc, text, text_bytes);
    if (rc != RC_OK)
        return rc;
    if (!engine_in_cluster(e))
        rc = engine_start_dirs(e, text, text_bytes);
    if (rc != RC_OK)
        return rc;
    for (uint32_t i = 0; i < e->shard_count; i++) {
        rc = engine_shard_init(e, i);
        if (rc != RC_OK) {
            snprintf(text, text_bytes, "shard %u cannot be built: %s", i, rc_text(rc));
            return rc;
        }
        quorum_attach(e->quorum, e->shards[i].shard, &e->shards[i].reader);
    }
    rc = quorum_start(e->quorum, text, text_bytes);
    if (rc != RC_OK)
        return rc;
    if (engine_in_cluster(e))
        return RC_OK; // engine_join() does the rest
    engine_recover(e);
    engine_forward_dirs(e); // until here one thread did everything
    for (uint32_t i = 0; i < e->shard_count; i++) {
        e->shards[i].booted = true;
        engine_start_background(&e->shards[i]);
    }
    e->joined = true;
    return RC_OK;
}

static void engine_replica_settings(struct engine *e)
{
    struct config_layers l = {.properties = e->config.properties};
    e->replica_lag_ms = config_broker_int(&l, "replica.lag.time.max.ms", 30000);
    e->dir_failure_timeout_ns = (uint64_t)config_broker_int(&l, "log.dir.failure.timeout.ms", 30000) * 1000000;
    e->selects_by_rack = replica_selector_by_rack(config_broker_text(&l, "replica.selector.class"));
    e->replica_fetch_wait_ms = (int32_t)config_broker_int(&l, "replica.fetch.wait.max.ms", 500);
    e->replica_fetch_bytes = (int32_t)config_broker_int(&l, "replica.fetch.max.bytes", 1 << 20);
    e->replica_fetch_response_bytes = (int32_t)config_broker_int(&l, "replica.fetch.response.max.bytes", 10 << 20);
    int64_t bytes_min = config_broker_int(&l, "replica.fetch.min.bytes", 1);
    e->replica_fetch_bytes_min = bytes_min > 1 ? (int32_t)bytes_min : 1; // 0 would ask without a pause
    int64_t backoff_ms = config_broker_int(&l, "replica.fetch.backoff.ms", 1000);
    e->replica_backoff_ms_max = backoff_ms > 0 ? (uint32_t)backoff_ms : 1;
    int64_t answer_ms = config_broker_int(&l, "replica.socket.timeout.ms", 30000);
    // An answer may take as long as the poll that was asked for (Kafka's KafkaConfig.validateValues).
    e->replica_answer_ms_max = answer_ms > e->replica_fetch_wait_ms ? (int32_t)answer_ms : e->replica_fetch_wait_ms + 1;
    int64_t buffer = config_broker_int(&l, "replica.socket.receive.buffer.bytes", -1);
    e->replica_receive_buffer_bytes = buffer > 0 ? (uint32_t)buffer : 0;
}

bool engine_peer_address(const struct engine_shard *es, int32_t node, uint32_t attempt, struct io_addr *out)
{
    const struct engine_config *c = &es->engine->config;
    const struct image_node *n = image_node(engine_image(es), node);
    const struct peer_address *listed = NULL;
    for (uint32_t i = 0; i < c->peer_count && !listed; i++)
        if (c->peers[i].node == node)
            listed = &c->peers[i];
    // What it has registered is where it is. A name that stands in --peers, too, was looked up at the start.
    bool registered = n && n->peer_host;
    bool same = registered && listed && listed->addr.port == n->peer_port && strcmp(listed->host, n->peer_host) == 0;
    if (listed && (!registered || (same && attempt % 2 == 0))) {
        *out = listed->addr;
        return true;
    }
    if (!registered)
        return false;
    enum rc rc = io_resolve_soon(es->shard->io, n->peer_host, n->peer_port, out);
    return rc == RC_OK || (rc == RC_AGAIN && out->port != 0); // where it was, or the next attempt
}

enum rc engine_create(struct engine **out, const struct engine_config *config, char *text, size_t text_bytes)
{
    struct engine *e = calloc(1, sizeof(*e));
    if (e)
        e->shards = calloc(config->shards->count, sizeof(*e->shards));
    if (!e || !e->shards) {
        free(e);
        snprintf(text, text_bytes, "out of memory");
        return RC_NOMEM;
    }
    e->config = *config;
    engine_replica_settings(e);
    throttles_init(e);
    e->shard_count = config->shards->count;
    enum rc rc = engine_boot(e, text, text_bytes);
    if (rc != RC_OK) {
        engine_close(e);
        return rc;
    }
    *out = e;
    return RC_OK;
}

static void engine_registered(struct quorum_registration *r, enum rc rc)
{
    struct engine *e = container_of(r, struct engine, registration);
    if (rc == RC_OK)
        __atomic_store_n(&e->registered, true, __ATOMIC_RELEASE);
    else
        trace_error(e->config.trace, "this node could not register itself: %s", rc_text(rc));
    if (e->registration_done)
        e->registration_done(e, rc);
}

void engine_register(struct engine *e, const struct image_listener *listeners, uint32_t listener_count,
                     struct bytes rack)
{
    bool whole = true;
    for (unsigned i = 0; i < e->config.log_dir_count; i++)
        whole = whole && e->config.log_dirs[i]->whole;
    e->registration = (struct quorum_registration){.listeners = listeners,
                                                   .listener_count = listener_count,
                                                   .rack = rack,
                                                   .peer_host = e->config.peer_host,
                                                   .peer_port = e->config.peer_port,
                                                   .logs_whole = whole,
                                                   .done = engine_registered};
    quorum_register(e->quorum, &e->registration);
}
