// SPDX-License-Identifier: Apache-2.0
//
// Opening a partition's log: at start to its end before anyone is served, later when it is first used, in slices; and again
// where that failed.
#include "engine/partition_life.h"

enum {
    RECOVER_STEP_NS = 50 * 1000 * 1000,
    OPEN_STEP_NS = 500 * 1000,
    REOPEN_MS = 1000,
};

static void reopen(struct shard_timer *t)
{
    struct engine_shard *es = container_of(t, struct engine_shard, reopen_timer);
    for (size_t left = es->unopened.count; left > 0; left--) {
        struct partition *p = list_entry(list_first(&es->unopened), struct partition, opening_link);
        partition_opening_leave(p);
        (void)partition_open(p); // back at the end of the list if it fails again
    }
}

// A read that failed, memory or descriptors that were short: nobody may ask for this log again, as of a follower nobody
// does, so it is tried until it works. Whoever asks meanwhile is told what is wrong and does not make it worse.
static void reopen_later(struct partition *p, enum rc rc)
{
    struct engine_shard *es = p->es;
    if (!p->open_told)
        trace_error(es->engine->config.trace, "%s-%d cannot be opened: %s; tried again every second", p->topic->name,
                    p->id.partition, rc_text(rc));
    p->open_told = p->open_failed = true;
    list_push_back(&es->unopened, &p->opening_link);
    if (!es->settling && !shard_timer_is_set(&es->reopen_timer))
        shard_timer_set(es->shard, &es->reopen_timer, shard_now_ns(es->shard) + (uint64_t)REOPEN_MS * 1000000, reopen);
}

void partition_opening_leave(struct partition *p)
{
    if (!list_node_linked(&p->opening_link))
        return;
    list_remove(p->open_failed ? &p->es->unopened : &p->es->opening, &p->opening_link);
    p->open_failed = false;
}

static enum rc partition_opened(struct partition *p, enum rc rc)
{
    if (rc == RC_CORRUPT) {
        p->state = PARTITION_DAMAGED;
    } else if (rc != RC_OK) {
        reopen_later(p, rc);
    } else {
        if (p->open_told)
            trace_info(p->es->engine->config.trace, "%s-%d is open now", p->topic->name, p->id.partition);
        p->open_told = false;
        partition_take_ends(p);
    }
    return rc == RC_OK ? RC_OK : RC_STORAGE_ERROR;
}

enum rc partition_recover_step(struct partition *p, uint64_t budget_ns, struct plog_recovery_report *report)
{
    enum rc rc = plog_recover_step(&p->log, budget_ns, report);
    return rc == RC_AGAIN ? rc : partition_opened(p, rc);
}

enum rc partition_recover(struct partition *p, struct plog_recovery_report *report)
{
    enum rc rc;
    while ((rc = partition_recover_step(p, RECOVER_STEP_NS, report)) == RC_AGAIN)
        ;
    return rc;
}

static enum shard_job_state partition_opening_job(struct shard_job *j, uint64_t budget_ns)
{
    struct engine_shard *es = container_of(j, struct engine_shard, opening_job);
    struct list_node *n = list_first(&es->opening);
    if (!n)
        return SHARD_JOB_DONE;
    struct partition *p = list_entry(n, struct partition, opening_link);
    enum rc rc = plog_recover_step(&p->log, budget_ns, NULL);
    list_remove(&es->opening, n);
    if (rc == RC_AGAIN)
        list_push_back(&es->opening, n);
    else
        partition_opened(p, rc);
    return list_empty(&es->opening) ? SHARD_JOB_DONE : SHARD_JOB_MORE;
}

enum rc partition_learn_ends(struct partition *p)
{
    return p->log.state == PLOG_UNCLEAN ? partition_open(p) : RC_OK;
}

enum rc partition_open(struct partition *p)
{
    if (p->log.state == PLOG_OPEN || p->log.state == PLOG_UNMADE)
        return RC_OK;
    if (p->state == PARTITION_DAMAGED || p->state == PARTITION_OFFLINE) // perhaps it has no folder at all
        return RC_STORAGE_ERROR;
    if (list_node_linked(&p->opening_link))
        return p->open_failed ? RC_STORAGE_ERROR : RC_NOT_LEADER_OR_FOLLOWER;
    enum rc rc = plog_open(&p->log);
    if (rc == RC_AGAIN)
        rc = plog_recover_step(&p->log, OPEN_STEP_NS, NULL);
    if (rc != RC_AGAIN)
        return partition_opened(p, rc);
    struct engine_shard *es = p->es;
    list_push_back(&es->opening, &p->opening_link);
    if (!es->opening_job.started)
        shard_job_start(es->shard, &es->opening_job, partition_opening_job);
    return RC_NOT_LEADER_OR_FOLLOWER;
}
