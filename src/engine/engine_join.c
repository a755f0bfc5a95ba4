// SPDX-License-Identifier: Apache-2.0
//
// The second half of a start in a cluster. A member learns what is committed from its leader, so what stood in its
// image at boot may be old; only an image that holds this process's own registration says which folders are whose. Then,
// in rounds that every shard finishes before the next begins: logs are attached, shards are told that they own what they
// have, unclean logs are read, background work starts. Clients are not served before the last round.
#include "engine/coordinator.h"
#include "engine/engine_core.h"

#include <stdlib.h>

#include "engine/partition.h"

enum { RECOVER_STEP_NS = 2 * 1000 * 1000 };

struct engine_join {
    struct engine_call call;
    struct shard_job job;
    struct plog_recovery_report report;
};

static void join_failed(struct engine *e)
{
    __atomic_store_n(&e->metadata_dir_failed, true, __ATOMIC_RELEASE);
}

static void join_round(struct engine *e, engine_call_fn run, engine_call_fn done)
{
    e->joins_left = e->shard_count;
    for (uint32_t i = 0; i < e->shard_count; i++) {
        e->joins[i].call.run = run;
        e->joins[i].call.done = done;
        engine_call_start(&e->joins[i].call, &e->shards[0], &e->shards[i]);
    }
}

static bool join_round_over(struct engine_call *c)
{
    return --c->origin->engine->joins_left == 0;
}

// ---- last: background work ----

static void join_background(struct engine_call *c)
{
    engine_start_background(c->target);
    coordinators_begin(c->target);
    engine_call_finish(c);
}

static void join_end(struct engine_call *c)
{
    struct engine *e = c->origin->engine;
    if (!join_round_over(c))
        return;
    e->joined = true;
    if (e->recovered_logs)
        trace_info(e->config.trace, "read %llu bytes of %llu logs again (%s)%s",
                   (unsigned long long)e->recovered_bytes, (unsigned long long)e->recovered_logs,
                   e->recovered_from_marks ? "from what was written" : "from what was synced",
                   e->recovered_cut_bytes ? ", torn tails were cut" : "");
    quorum_ready(e->quorum);
}

// ---- third: reading unclean logs ----

static enum shard_job_state join_recover_job(struct shard_job *j, uint64_t budget_ns)
{
    struct engine_join *s = container_of(j, struct engine_join, job);
    struct engine_shard *es = s->call.target;
    uint64_t until = io_clock_ns(es->shard->io) + budget_ns;
    // The cursor of retention, which has not begun: it stays valid when a topic is deleted meanwhile.
    for (; es->retention_at; es->retention_at = list_next(&es->all, es->retention_at)) {
        struct partition *p = list_entry(es->retention_at, struct partition, all_link);
        if (p->state != PARTITION_ONLINE || p->log.state != PLOG_UNCLEAN)
            continue;
        if (io_clock_ns(es->shard->io) >= until)
            return SHARD_JOB_MORE;
        struct plog_recovery_report *r = &s->report;
        if (partition_recover_step(p, RECOVER_STEP_NS, r) == RC_AGAIN)
            return SHARD_JOB_MORE;
        struct engine *e = es->engine;
        __atomic_add_fetch(&e->recovered_logs, 1, __ATOMIC_RELAXED);
        __atomic_add_fetch(&e->recovered_bytes, r->scanned_bytes, __ATOMIC_RELAXED);
        __atomic_add_fetch(&e->recovered_cut_bytes, r->cut_bytes, __ATOMIC_RELAXED);
        if (r->from_mark)
            __atomic_store_n(&e->recovered_from_marks, true, __ATOMIC_RELAXED);
        *r = (struct plog_recovery_report){0};
    }
    engine_call_finish(&s->call);
    return SHARD_JOB_DONE;
}

static void join_recover(struct engine_call *c)
{
    struct engine_join *s = container_of(c, struct engine_join, call);
    c->target->retention_at = list_first(&c->target->all);
    s->report = (struct plog_recovery_report){0};
    shard_job_start(c->target->shard, &s->job, join_recover_job);
}

static void join_recovered(struct engine_call *c)
{
    if (join_round_over(c))
        join_round(c->origin->engine, join_background, join_end);
}

// ---- second: from here on a shard looks only at what it owns ----

static void join_own(struct engine_call *c)
{
    c->target->booted = true;
    engine_call_finish(c);
}

static void join_owned(struct engine_call *c)
{
    if (join_round_over(c))
        join_round(c->origin->engine, join_recover, join_recovered);
}

// ---- first: the image has arrived everywhere ----

static void join_attached(struct engine_call *c)
{
    engine_call_finish(c); // behind the image in the same mailbox
}

static void join_all_attached(struct engine_call *c)
{
    if (join_round_over(c))
        join_round(c->origin->engine, join_own, join_owned);
}

void engine_join(void *context)
{
    struct engine *e = context;
    e->joins = calloc(e->shard_count, sizeof(*e->joins));
    if (!e->joins) {
        join_failed(e);
        return;
    }
    char text[256];
    if (engine_start_dirs(e, text, sizeof(text)) != RC_OK) {
        trace_error(e->config.trace, "%s", text);
        join_failed(e);
        return;
    }
    engine_forward_dirs(e);
    quorum_release(e->quorum);
    join_round(e, join_attached, join_all_attached);
}

void engine_join_cancel(struct engine *e)
{
    for (uint32_t i = 0; e->joins && i < e->shard_count; i++)
        if (e->joins[i].job.started)
            shard_job_cancel(e->shards[i].shard, &e->joins[i].job);
    free(e->joins);
    e->joins = NULL;
}
