// SPDX-License-Identifier: Apache-2.0
//
// Boot and stop of a node's shards, and what runs in their background: following the image, the store's own work,
// retention.
#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/partition.h"

enum { STORE_STEP_NS = 500 * 1000 };

struct config_layers engine_layers(const struct engine_shard *es, const struct image_topic *t)
{
    return image_layers(es->reader.image, t, es->engine->config.node_id, es->engine->config.properties);
}

// ------------------------------------------------------------------------------------------------ following the image

static void engine_follow_everything(struct engine_shard *es, const struct image *image)
{
    // topics that are gone first: a new life may want the old one's folders
    for (struct map_node *n = map_first(&es->topics), *next; n; n = next) {
        next = map_next(&es->topics, n);
        struct uuid id = container_of(n, struct engine_topic, node)->id;
        if (!image_topic_by_id(image, id))
            partition_follow_topic(es, id, image);
    }
    for (const struct image_topic *t = image_topic_next(image, bytes_of(NULL, 0), false); t;
         t = image_topic_next(image, image_topic_name(t), false))
        if (partition_follow_topic(es, t->id, image) != RC_OK)
            trace_error(es->engine->config.trace, "no memory for the partitions of %s", t->name);
}

// ------------------------------------------------------------------------------------------------ stray folders

// What lies in the folders and belongs to no topic of the image is put aside, never deleted. Before any log is
// attached: a folder left by a deleted topic must not become the log of its successor of the same name.
struct engine_stray {
    struct engine *engine;
    struct log_dir *dir;
    const struct image *image;
};

// Whose folder it is. What its partition.metadata says; where a power cut took that, the checkpoint decides: it names a
// partition only after partition.metadata was synced.
static bool engine_folder_is_ours(const struct engine_stray *s, const char *name)
{
    struct uuid id;
    const char *dash = strrchr(name, '-');
    char *end = NULL;
    long number = dash ? strtol(dash + 1, &end, 10) : -1;
    if (number < 0 || number > INT32_MAX)
        return false;
    enum rc rc = log_dir_folder_topic_id(s->dir, name, &id);
    if (rc != RC_OK && rc != RC_NOT_FOUND && rc != RC_CORRUPT)
        return true; // cannot be read now: not judged
    const struct image_topic *t = rc == RC_OK ? image_topic_by_id(s->image, id)
                                              : image_topic_by_name(s->image, bytes_of(name, (size_t)(dash - name)));
    const struct image_partition *p = t ? image_partition(t, (int32_t)number) : NULL;
    if (!p || !image_has_replica(p, s->engine->config.node_id))
        return false;
    const struct topic_partition tp = {t->id, (int32_t)number};
    return rc == RC_OK || log_dir_find(s->dir, tp) != NULL;
}

static void engine_judge_folder(void *context, enum log_dir_name_kind kind, const char *name)
{
    struct engine_stray *s = context;
    if (kind != LOG_DIR_NAME_PARTITION || engine_folder_is_ours(s, name))
        return;
    trace_warn(s->engine->config.trace, "%s/%s belongs to no topic this cluster knows: it is kept as %s.*-stray",
               s->dir->path, name, name);
    log_dir_set_stray(s->dir, name);
}

static void engine_judge_folders(struct engine *e, const struct image *image)
{
    for (unsigned i = 0; i < e->config.log_dir_count; i++) {
        struct engine_stray s = {.engine = e, .dir = e->config.log_dirs[i], .image = image};
        if (!s.dir->clean_stopped && !log_dir_is_offline(s.dir))
            log_dir_each_folder(s.dir, engine_judge_folder, &s);
    }
}

static void engine_image_changed(struct quorum_reader *reader, const struct image *old, const struct image *image)
{
    struct engine_shard *es = container_of(reader, struct engine_shard, reader);
    if (!es->engine->folders_judged) { // at boot, on the one thread there is
        es->engine->folders_judged = true;
        engine_judge_folders(es->engine, image);
    }
    bool everything = !old || image->changes.everything || old->broker_configs_index != image->broker_configs_index;
    if (everything)
        engine_follow_everything(es, image);
    else
        for (int pass = 0; pass < 2; pass++) // deletions before creations, as above
            for (uint32_t i = 0; i < image->changes.topic_count; i++) {
                const struct image_change *c = &image->changes.topics[i];
                if ((c->kind == IMAGE_TOPIC_DELETED) == (pass == 0) &&
                    partition_follow_topic(es, c->topic_id, image) != RC_OK)
                    trace_error(es->engine->config.trace, "no memory for the partitions of a changed topic");
            }
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

static enum shard_job_state engine_retention_job(struct shard_job *j, uint64_t budget_ns)
{
    struct engine_shard *es = container_of(j, struct engine_shard, retention_job);
    int64_t wall_ms = io_wall_ms(es->shard->io);
    uint64_t until = io_clock_ns(es->shard->io) + budget_ns;
    while (es->retention_at) {
        if (io_clock_ns(es->shard->io) >= until)
            return SHARD_JOB_MORE;
        struct partition *p = list_entry(es->retention_at, struct partition, all_link);
        // A log that was never looked at is opened only when its time may have come; an open one is judged by its size
        // and its start, too, which costs nothing.
        if (p->state == PARTITION_ONLINE && (p->log.state == PLOG_OPEN || plog_retention_due_ms(&p->log) <= wall_ms) &&
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

// ------------------------------------------------------------------------------------------------ failed folders

struct engine_dir_failed {
    struct engine_call call;
    struct log_dir *dir;
};

static void engine_dir_failed_run(struct engine_call *c)
{
    struct engine_dir_failed *f = container_of(c, struct engine_dir_failed, call);
    struct engine_shard *es = c->target;
    for (struct list_node *n = list_first(&es->all); n; n = list_next(&es->all, n)) {
        struct partition *p = list_entry(n, struct partition, all_link);
        if (p->log.dir == f->dir)
            partition_end_watches(p);
    }
    engine_call_finish(c);
}

static void engine_dir_failed_done(struct engine_call *c)
{
    free(container_of(c, struct engine_dir_failed, call));
}

// Runs where the failure was seen, in the middle of that log's work: only notes and posts.
static void engine_dir_failed(struct log_dir *d, enum rc rc)
{
    struct engine *e = d->owner;
    unsigned left = 0;
    for (unsigned i = 0; i < e->config.log_dir_count; i++)
        left += !log_dir_is_offline(e->config.log_dirs[i]);
    trace_error(e->config.trace, "log folder %s is offline (%s); its partitions are not served until a restart",
                d->path, rc_text(rc));
    if (d == e->config.metadata_dir || left == 0) {
        trace_error(e->config.trace, "stopping: %s",
                    left == 0 ? "no log folder is left" : "the folder of the metadata log failed");
        __atomic_store_n(&e->metadata_dir_failed, true, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&e->dirs_failed, true, __ATOMIC_RELEASE);
}

void engine_tell_failures(struct engine_shard *es)
{
    struct engine *e = es->engine;
    if (!__atomic_load_n(&e->dirs_failed, __ATOMIC_RELAXED) ||
        !__atomic_exchange_n(&e->dirs_failed, false, __ATOMIC_ACQ_REL))
        return;
    for (unsigned i = 0; i < e->config.log_dir_count; i++) {
        struct log_dir *d = e->config.log_dirs[i];
        for (uint32_t s = 0; log_dir_is_offline(d) && s < e->shard_count; s++) {
            struct engine_dir_failed *f = calloc(1, sizeof(*f));
            if (!f)
                return;
            f->dir = d;
            f->call.run = engine_dir_failed_run;
            f->call.done = engine_dir_failed_done;
            engine_call_start(&f->call, es, &e->shards[s]);
        }
    }
}

// ------------------------------------------------------------------------------------------------ folders of other
// shards

// A folder operation on its way to the folder's owner and back, in the operation's own memory.
struct engine_route {
    struct engine_call call;
    struct log_dir *dir;
    log_dir_done_fn done; // the submitter's
};

_Static_assert(sizeof(struct engine_route) <= LOG_DIR_ROUTE_BYTES, "a folder operation carries its own way");

struct engine_shard *engine_dir_owner(const struct log_dir *d)
{
    struct engine *e = d->owner;
    for (unsigned i = 0; i < e->config.log_dir_count; i++)
        if (e->config.log_dirs[i] == d)
            return &e->shards[i % e->shard_count];
    UNREACHABLE();
}

static struct log_dir_op *engine_route_op(struct engine_route *r)
{
    return container_of((unsigned char *)r, struct log_dir_op, route[0]);
}

static void engine_dir_arrived(struct engine_call *c)
{
    struct engine_route *r = container_of(c, struct engine_route, call);
    log_dir_run(r->dir, engine_route_op(r));
}

// On the owner: the operation is done there; tell the shard that asked.
static void engine_dir_done(struct log_dir_op *op, enum rc rc)
{
    struct engine_route *r = (struct engine_route *)(void *)op->route;
    op->rc = rc;
    engine_call_finish(&r->call);
}

static void engine_dir_answered(struct engine_call *c)
{
    struct engine_route *r = container_of(c, struct engine_route, call);
    struct log_dir_op *op = engine_route_op(r);
    if (r->done)
        r->done(op, op->rc);
}

static void engine_dir_forward(struct log_dir *d, struct log_dir_op *op)
{
    struct engine_route *r = (struct engine_route *)(void *)op->route;
    *r = (struct engine_route){
        .call = {.run = engine_dir_arrived, .done = engine_dir_answered}, .dir = d, .done = op->done};
    op->done = engine_dir_done;
    engine_call_start(&r->call, shard_current()->owner, engine_dir_owner(d));
}

static bool engine_dir_topic_name(struct log_dir *d, struct uuid topic_id, struct bytes *name)
{
    struct engine *e = d->owner;
    const struct image_topic *t = image_topic_by_id(e->shards[0].reader.image, topic_id);
    if (t)
        *name = image_topic_name(t);
    return t != NULL;
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
    es->calls = calloc(e->shard_count, sizeof(*es->calls));
    if (!es->calls)
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
        .failed = engine_quorum_failed,
        .context = e,
    };
    enum rc rc = quorum_create(&e->quorum, &qc, text, text_bytes);
    if (rc != RC_OK)
        return rc;
    for (unsigned i = 0; i < e->config.log_dir_count; i++) {
        struct log_dir *d = e->config.log_dirs[i];
        d->owner = e;
        d->failed = engine_dir_failed;
        d->topic_name = engine_dir_topic_name;
        rc = log_dir_start(d);
        if (rc != RC_OK) {
            snprintf(text, text_bytes, "%s: the checkpoint cannot be written: %s", d->path, rc_text(rc));
            return rc;
        }
    }
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
    engine_recover(e);
    for (unsigned i = 0; i < e->config.log_dir_count && e->shard_count > 1; i++)
        e->config.log_dirs[i]->forward = engine_dir_forward; // until here one thread did everything
    for (uint32_t i = 0; i < e->shard_count; i++) {
        struct engine_shard *es = &e->shards[i];
        engine_store_start(es);
        shard_timer_set(es->shard, &es->retention_timer,
                        shard_now_ns(es->shard) + e->config.retention_check_ms * 1000000, engine_retention_due);
    }
    return RC_OK;
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
    e->shard_count = config->shards->count;
    enum rc rc = engine_boot(e, text, text_bytes);
    if (rc != RC_OK) {
        engine_close(e);
        return rc;
    }
    e->booted = true;
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
        whole = whole && (e->config.log_dirs[i]->clean_stopped ||
                          e->config.log_dirs[i]->boot == e->config.log_dirs[i]->boot_seen);
    e->registration = (struct quorum_registration){.listeners = listeners,
                                                   .listener_count = listener_count,
                                                   .rack = rack,
                                                   .logs_whole = whole,
                                                   .done = engine_registered};
    quorum_register(e->quorum, &e->registration);
}

// ------------------------------------------------------------------------------------------------ stop

// Brings every log of a shard to rest, one after the other, while the shard still runs.
struct engine_settle {
    struct engine_call call;
    struct engine *engine;
    struct shard_job job;
    struct list_node *at;
};

static enum shard_job_state engine_settle_job(struct shard_job *j, uint64_t budget_ns)
{
    struct engine_settle *s = container_of(j, struct engine_settle, job);
    struct engine_shard *es = s->call.target;
    uint64_t until = io_clock_ns(es->shard->io) + budget_ns;
    if (!list_empty(&es->doomed))
        return SHARD_JOB_MORE; // deletions that were answered are finished first
    for (; s->at; s->at = list_next(&es->all, s->at)) {
        struct partition *p = list_entry(s->at, struct partition, all_link);
        if (p->state != PARTITION_ONLINE || log_dir_is_offline(p->log.dir))
            continue;
        if (io_clock_ns(es->shard->io) >= until)
            return SHARD_JOB_MORE;
        plog_flush(&p->log);
        if (!plog_is_idle(&p->log))
            return SHARD_JOB_MORE; // a sync is under way: look again
        plog_rest(&p->log);
    }
    es->at_rest = true;
    shard_timer_cancel(es->shard, &es->store_timer);
    shard_job_cancel(es->shard, &es->store_job);
    engine_call_finish(&s->call);
    return SHARD_JOB_DONE;
}

bool engine_shard_quiet(const struct engine_shard *es, uint64_t answers_awaited)
{
    return !store_is_removing(&es->store) && es->shard->answers_awaited <= answers_awaited;
}

static void engine_settle_run(struct engine_call *c)
{
    struct engine_settle *s = container_of(c, struct engine_settle, call);
    struct engine_shard *es = c->target;
    es->settling = true;
    shard_timer_cancel(es->shard, &es->retention_timer);
    shard_job_cancel(es->shard, &es->retention_job);
    for (struct list_node *n = list_first(&es->all); n; n = list_next(&es->all, n)) {
        struct partition *p = list_entry(n, struct partition, all_link);
        partition_fail_appends(p, RC_NOT_LEADER_OR_FOLLOWER);
        partition_end_watches(p);
    }
    s->at = list_first(&es->all);
    shard_job_start(es->shard, &s->job, engine_settle_job);
}

// The last word of each folder's checkpoint: cleanly stopped.
struct engine_dir_stop {
    struct log_dir_op op;
    struct engine *engine;
};

static void engine_dir_stopped(struct log_dir_op *op, enum rc rc)
{
    struct engine *e = container_of(op, struct engine_dir_stop, op)->engine;
    (void)rc; // then it is not marked so, and the next start reads the ends of its logs again
    if (--e->settles_left == 0)
        e->settled(e);
}

static void engine_settle_dirs(struct engine *e)
{
    e->settles_left = e->config.log_dir_count;
    for (unsigned i = 0; i < e->config.log_dir_count; i++) {
        struct engine_dir_stop *s = &e->dir_stops[i];
        s->engine = e;
        s->op.request = LOG_DIR_STOP;
        s->op.done = engine_dir_stopped;
        log_dir_submit(e->config.log_dirs[i], &s->op);
    }
}

static void engine_settle_done(struct engine_call *c)
{
    struct engine_settle *s = container_of(c, struct engine_settle, call);
    struct engine *e = s->engine;
    if (--e->settles_left == 0)
        engine_settle_dirs(e);
}

enum rc engine_settle(struct engine *e, void (*settled)(struct engine *e))
{
    e->settles = calloc(e->shard_count, sizeof(*e->settles));
    e->dir_stops = calloc(e->config.log_dir_count, sizeof(*e->dir_stops));
    if (!e->settles || !e->dir_stops)
        return RC_NOMEM;
    e->settled = settled;
    e->settles_left = e->shard_count;
    for (uint32_t i = 0; i < e->shard_count; i++) {
        struct engine_settle *s = &e->settles[i];
        s->engine = e;
        s->call.run = engine_settle_run;
        s->call.done = engine_settle_done;
        engine_call_start(&s->call, &e->shards[0], &e->shards[i]);
    }
    return RC_OK;
}

static void engine_shard_deinit(struct engine_shard *es)
{
    shard_timer_cancel(es->shard, &es->retention_timer);
    shard_timer_cancel(es->shard, &es->store_timer);
    shard_timer_cancel(es->shard, &es->doomed_timer);
    shard_timer_cancel(es->shard, &es->waiting_timer);
    struct shard_job *jobs[] = {&es->retention_job, &es->store_job, &es->doomed_job, &es->opening_job, &es->check_job};
    for (size_t i = 0; i < ARRAY_COUNT(jobs); i++)
        if (jobs[i]->started)
            shard_job_cancel(es->shard, jobs[i]);
    shard_defer_cancel(es->shard, &es->flush_task);
    partition_free_all(es);
    if (es->reader.image)
        quorum_detach(es->engine->quorum, &es->reader);
    es->at_rest = true;
    while (store_is_removing(&es->store))
        shard_turn(es->shard, 1000000);
    store_deinit(&es->store);
    free(es->calls);
}

void engine_close(struct engine *e)
{
    for (uint32_t i = 0; i < e->shard_count; i++) {
        if (e->settles && e->settles[i].job.started)
            shard_job_cancel(e->shards[i].shard, &e->settles[i].job);
        if (e->shards[i].engine)
            engine_shard_deinit(&e->shards[i]);
    }
    if (e->quorum)
        quorum_destroy(e->quorum);
    for (unsigned i = 0; i < e->config.log_dir_count; i++)
        log_dir_close(e->config.log_dirs[i]);
    free(e->settles);
    free(e->dir_stops);
    free(e->shards);
    free(e);
}
