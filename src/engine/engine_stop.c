// SPDX-License-Identifier: Apache-2.0
//
// A clean stop: every log at rest with a recovery point at its end, every folder's checkpoint marked so; then nothing
// is left running and everything is freed.
#include <stdlib.h>

#include "engine/coordinator.h"
#include "engine/engine_core.h"
#include "engine/fetcher.h"
#include "engine/offline_report.h"
#include "engine/partition.h"
#include "engine/partition_move.h"

// Brings every log of a shard to rest, one after the other, while the shard still runs.
struct engine_settle {
    struct engine_call call;
    struct engine *engine;
    struct shard_job job;
    struct shard_timer again;
    uint64_t pause_ns; // grows while nothing comes to rest: a disk may take its time
};

enum { SETTLE_PAUSE_NS = 50 * 1000, SETTLE_PAUSE_NS_MAX = 5 * 1000 * 1000 };

static void engine_settle_due(struct shard_timer *t)
{
    struct engine_settle *s = container_of(t, struct engine_settle, again);
    shard_job_wake(s->call.target->shard, &s->job);
}

// Something is under way: looks again in a moment.
static enum shard_job_state engine_settle_wait(struct engine_settle *s)
{
    struct shard *shard = s->call.target->shard;
    s->pause_ns = s->pause_ns ? 2 * s->pause_ns : SETTLE_PAUSE_NS;
    if (s->pause_ns > SETTLE_PAUSE_NS_MAX)
        s->pause_ns = SETTLE_PAUSE_NS_MAX;
    if (shard_timer_set(shard, &s->again, shard_now_ns(shard) + s->pause_ns, engine_settle_due) != RC_OK)
        return SHARD_JOB_MORE;
    return SHARD_JOB_WAIT;
}

static enum shard_job_state engine_settle_job(struct shard_job *j, uint64_t budget_ns)
{
    struct engine_settle *s = container_of(j, struct engine_settle, job);
    struct engine_shard *es = s->call.target;
    uint64_t until = io_clock_ns(es->shard->io) + budget_ns;
    if (!mover_settled(es) || !list_empty(&es->doomed) || !list_empty(&es->fetchers) || !coordinators_settled(es))
        return engine_settle_wait(s); // deletions that were answered are finished first, answers under way, and snapshots
    for (; es->settle_at; es->settle_at = list_next(&es->all, es->settle_at)) {
        struct partition *p = list_entry(es->settle_at, struct partition, all_link);
        if (p->state != PARTITION_ONLINE || log_dir_is_offline(p->log.dir))
            continue;
        if (io_clock_ns(es->shard->io) >= until)
            return SHARD_JOB_MORE;
        plog_flush(&p->log);
        if (!plog_is_idle(&p->log))
            return engine_settle_wait(s); // a sync is under way
        plog_rest(&p->log);
        s->pause_ns = 0;
    }
    es->at_rest = true;
    shard_timer_cancel(es->shard, &es->store_timer);
    shard_job_cancel(es->shard, &es->store_job);
    engine_call_finish(&s->call);
    return SHARD_JOB_DONE;
}

// What is in flight to folders: logs whose folder failed were not brought to rest, a disk may still owe them an answer.
static bool engine_disks_quiet(const struct engine_shard *es)
{
    const struct engine *e = es->engine;
    // Before the node has joined its cluster its folders have no owners, and nothing is attached to them.
    for (unsigned k = 0; e->joined && k < e->config.log_dir_count; k++)
        if (engine_dir_owner(e->config.log_dirs[k]) == es && !log_dir_is_idle(e->config.log_dirs[k]))
            return false;
    for (const struct list_node *n = list_first(&es->all); n; n = list_next(&es->all, n)) {
        const struct plog *l = &list_entry(n, struct partition, all_link)->log;
        if (l->state != PLOG_DETACHED && !plog_is_idle(l))
            return false;
    }
    return true;
}

bool engine_shard_quiet(const struct engine_shard *es, uint64_t answers_awaited)
{
    return !store_is_removing(&es->store) && shard_answers_awaited(es->shard) <= answers_awaited &&
           engine_disks_quiet(es);
}

void engine_shard_waits(const struct engine_shard *es, struct engine_waits *out)
{
    if (!es->settling || es->at_rest)
        return;
    out->deletions += es->doomed.count;
    out->fetchers += es->fetchers.count;
    out->coordinators += !coordinators_settled(es);
    for (const struct list_node *n = es->settle_at; n; n = list_next(&es->all, n)) {
        const struct partition *p = list_entry(n, struct partition, all_link);
        out->logs += p->state == PARTITION_ONLINE && !log_dir_is_offline(p->log.dir) &&
                     (p->log.state == PLOG_OPEN || p->log.state == PLOG_UNCLEAN);
    }
}

static void engine_settle_run(struct engine_call *c)
{
    struct engine_settle *s = container_of(c, struct engine_settle, call);
    struct engine_shard *es = c->target;
    es->settling = true;
    compactor_pause(es->store.compactor);
    coordinators_settle(es);
    shard_timer_cancel(es->shard, &es->reopen_timer);
    shard_timer_cancel(es->shard, &es->retention_timer);
    shard_job_cancel(es->shard, &es->retention_job);
    for (struct list_node *n = list_first(&es->all); n; n = list_next(&es->all, n)) {
        struct partition *p = list_entry(n, struct partition, all_link);
        partition_fail_appends(p, RC_NOT_LEADER_OR_FOLLOWER);
        partition_tell_anew(p);
        replica_end(p); // fetchers end when what they carry is in the logs
    }
    es->settle_at = list_first(&es->all);
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
    if (!e->joined) { // no log was attached, so none is to be brought to rest
        settled(e);
        return RC_OK;
    }
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
    shard_timer_cancel(es->shard, &es->reopen_timer);
    struct shard_job *jobs[] = {&es->retention_job, &es->store_job, &es->doomed_job, &es->opening_job, &es->check_job};
    for (size_t i = 0; i < ARRAY_COUNT(jobs); i++)
        if (jobs[i]->started)
            shard_job_cancel(es->shard, jobs[i]);
    offline_report_end(es);
    mover_stop(es);
    coordinators_deinit(es);
    shard_defer_cancel(es->shard, &es->flush_task);
    partition_free_all(es);
    mover_free(es);
    partition_checkers_free(es);
    fetchers_close(es);
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
    engine_join_cancel(e);
    for (uint32_t i = 0; i < e->shard_count; i++) {
        if (e->settles && e->settles[i].job.started)
            shard_job_cancel(e->shards[i].shard, &e->settles[i].job);
        if (e->settles)
            shard_timer_cancel(e->shards[i].shard, &e->settles[i].again);
        if (e->shards[i].engine)
            engine_shard_deinit(&e->shards[i]);
    }
    if (e->quorum)
        quorum_destroy(e->quorum);
    for (unsigned i = 0; i < e->config.log_dir_count; i++)
        log_dir_close(e->config.log_dirs[i]);
    free(e->settles);
    free(e->dir_stops);
    free(e->futures);
    free(e->shards);
    free(e);
}
