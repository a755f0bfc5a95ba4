// SPDX-License-Identifier: Apache-2.0
//
// The life of a partition on its shard: made in the folder that has its files or should get them, removed when its topic
// is gone or its replicas have moved.
#include "engine/coordinator.h"
#include "engine/partition_life.h"
#include "engine/partition_move.h"
#include "engine/replica.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    DOOMED_STEP_NS = 1000 * 1000,
    PATIENCE_NS = 2 * 1000 * 1000, // between two looks at what waits for the disk or another shard
};

static bool partition_eq(const struct map_node *n, const void *key)
{
    return topic_partition_eq(container_of(n, struct partition, node)->id, *(const struct topic_partition *)key);
}

struct partition *partition_peek(struct engine_shard *es, struct topic_partition id)
{
    struct map_node *n = map_find(&es->partitions, topic_partition_hash(id), partition_eq, &id);
    return n ? container_of(n, struct partition, node) : NULL;
}

// ------------------------------------------------------------------------------------------------ making

// The folder this replica lives in: where its files are or, at boot, where the checkpoint names it, else the one with
// the fewest partitions.
static struct log_dir *partition_place(struct engine_shard *es, const struct engine_topic *t, struct topic_partition id)
{
    struct engine *e = es->engine;
    if (e->config.log_dir_count == 1)
        return e->config.log_dirs[0];
    // A power cut may have left what has moved to another folder: the one that has seen more moves counts (future.h).
    struct log_dir *found = NULL;
    int64_t found_moves = -1;
    for (unsigned i = 0; i < e->config.log_dir_count; i++) {
        char path[IO_PATH_BYTES_MAX + TOPIC_NAME_BYTES_MAX + 16];
        snprintf(path, sizeof(path), "%s/%s-%d", e->config.log_dirs[i]->path, t->name, id.partition);
        if (!io_exists(es->shard->io, path))
            continue;
        const struct log_dir_entry *known = es->booted ? NULL : log_dir_find(e->config.log_dirs[i], id);
        const int64_t moves = known ? known->moves : 0;
        if (moves > found_moves) {
            found = e->config.log_dirs[i];
            found_moves = moves;
        }
    }
    if (found)
        return found;
    // A power cut may have taken the files; what the checkpoint knows of them, deleted records above all, still holds.
    for (unsigned i = 0; !es->booted && i < e->config.log_dir_count; i++)
        if (log_dir_find(e->config.log_dirs[i], id))
            return e->config.log_dirs[i];
    struct log_dir *dir = log_dir_choose(e->config.log_dirs, e->config.log_dir_count);
    // All are full: any will do, appends are refused until there is room again.
    for (unsigned i = 0; !dir && i < e->config.log_dir_count; i++)
        if (!log_dir_is_offline(e->config.log_dirs[i]))
            dir = e->config.log_dirs[i];
    return dir;
}

static void partition_attach(struct partition *p);

void partition_take_ends(struct partition *p)
{
    // Alone, what it holds and offers is committed; a replica knows no more than it was told, but that also where syncs are
    // forced and what a start has found is not durable yet: it is on others.
    const bool alone = !replica_expected(p);
    int64_t end = alone ? plog_offered_end(&p->log) : plog_written_end(&p->log), known = plog_high_watermark(&p->log);
    p->high_watermark = alone || known > end ? end : known;
    if (p->high_watermark > plog_high_watermark(&p->log))
        plog_note_high_watermark(&p->log, p->high_watermark);
    p->recovered_end = plog_written_end(&p->log);
    replica_log_ready(p);
}

static void partition_wait_due(struct shard_timer *t)
{
    struct engine_shard *es = container_of(t, struct engine_shard, waiting_timer);
    for (size_t left = es->waiting.count; left > 0; left--) {
        struct partition *p = list_entry(list_pop_front(&es->waiting), struct partition, waiting_link);
        partition_attach(p);
    }
}

// A partition that comes into being while the node runs finds no folder. If there is one, another shard has yet to
// rename it for a deleted topic of the same name.
static bool partition_must_wait(struct partition *p, struct log_dir *dir)
{
    struct engine_shard *es = p->es;
    char path[IO_PATH_BYTES_MAX + TOPIC_NAME_BYTES_MAX + 16];
    if (!es->booted || !dir || log_dir_is_offline(dir))
        return false;
    snprintf(path, sizeof(path), "%s/%s-%d", dir->path, p->topic->name, p->id.partition);
    if (!io_exists(es->shard->io, path) || partition_past_is_aside(p, dir))
        return false;
    p->state = PARTITION_BLOCKED;
    list_push_back(&es->waiting, &p->waiting_link);
    if (!shard_timer_is_set(&es->waiting_timer))
        shard_timer_set(es->shard, &es->waiting_timer, shard_now_ns(es->shard) + PATIENCE_NS, partition_wait_due);
    return true;
}

static void partition_attach(struct partition *p)
{
    struct engine_shard *es = p->es;
    struct log_dir *dir = partition_place(es, p->topic, p->id);
    if (partition_must_wait(p, dir))
        return;
    p->returns = p->returns || partition_past_is_over(p, dir);
    if (dir && p->returns && partition_past_ends(p, dir, partition_attach))
        return;
    // At boot one thread looks at every checkpoint. Later only its owner may, and nobody needs to: what comes into
    // being then is in none.
    const struct log_dir_entry *known = dir && !es->booted && !p->returns ? log_dir_find(dir, p->id) : NULL;
    enum rc rc =
        dir ? plog_attach(&p->log, &es->store, dir, engine_topic_name(p->topic), p->id, &p->settings->log, known)
            : RC_OFFLINE;
    p->state = rc == RC_OK ? PARTITION_ONLINE : PARTITION_OFFLINE;
    if (rc == RC_OK)
        coordinator_attached(p);
    if (rc != RC_OK)
        trace_error(es->engine->config.trace, "%s-%d cannot be opened: %s", p->topic->name, p->id.partition,
                    rc_text(rc));
    if (rc == RC_OK)
        partition_take_ends(p);
}

static uint64_t grave_hash(const struct partition *p)
{
    return map_hash_u64(map_hash_bytes(engine_topic_name(p->topic)) ^ (uint32_t)p->id.partition);
}

static bool grave_eq(const struct map_node *n, const void *key)
{
    const struct partition *d = container_of(n, struct partition, node), *p = key;
    return d->id.partition == p->id.partition && bytes_eq(engine_topic_name(d->topic), engine_topic_name(p->topic));
}

// A doomed partition of a deleted topic with the same folder name, or NULL.
static struct partition *partition_in_the_way(struct engine_shard *es, const struct partition *p)
{
    struct map_node *n = map_find(&es->graves, grave_hash(p), grave_eq, p);
    return n ? container_of(n, struct partition, node) : NULL;
}

// p gets its folder when d has let go of it, which is next.
static void partition_block(struct engine_shard *es, struct partition *p, struct partition *d)
{
    ASSERT(!d->heir);
    p->state = PARTITION_BLOCKED;
    p->blocker = d;
    d->heir = p;
    list_remove(&es->doomed, &d->doomed_link);
    list_push_front(&es->doomed, &d->doomed_link);
}

struct partition *partition_create(struct engine_shard *es, struct engine_topic *t, struct topic_partition id,
                                          bool returns)
{
    struct partition *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->es = es;
    p->topic = t;
    p->id = id;
    p->settings = engine_settings_ref(t->settings);
    p->returns = returns;
    p->leader_epoch = p->begun_epoch = LEADER_EPOCH_NONE;
    list_init(&p->appends);
    list_init(&p->committing);
    list_init(&p->starts);
    list_init(&p->watches);
    if (map_insert(&es->partitions, &p->node, topic_partition_hash(id)) != RC_OK) {
        engine_settings_unref(p->settings);
        free(p);
        return NULL;
    }
    list_push_back(&t->partitions, &p->topic_link);
    list_push_back(&es->all, &p->all_link);
    struct partition *d = partition_in_the_way(es, p);
    if (d)
        partition_block(es, p, d);
    else
        partition_attach(p);
    return p;
}

static void partition_free(struct partition *p)
{
    struct engine_shard *es = p->es;
    ASSERT(!p->replica && list_empty(&p->committing) && list_empty(&p->starts));
    struct engine_topic *t = p->topic;
    partition_opening_leave(p);
    shard_timer_cancel(es->shard, &p->flush_timer);
    list_remove(&t->partitions, &p->topic_link);
    if (list_node_linked(&p->dirty_link))
        list_remove(&es->dirty, &p->dirty_link);
    if (list_node_linked(&p->waiting_link))
        list_remove(&es->waiting, &p->waiting_link);
    engine_settings_unref(p->settings);
    free(p);
    engine_topic_drop_if_empty(es, t);
}

// ------------------------------------------------------------------------------------------------ removing

// Renames the folder of a doomed partition and frees it. False: something is still in flight.
static bool partition_bury(struct partition *p)
{
    bool attached = p->log.state != PLOG_DETACHED;
    if (!partition_move_is_over(p))
        return false;
    if (attached)
        compact_cancel(&p->log);
    if (attached && !plog_is_idle(&p->log))
        return false;
    if (attached && plog_delete(&p->log) != RC_OK)
        plog_detach(&p->log); // its folder went offline; the folder is found as stray at the next start
    list_remove(&p->es->doomed, &p->doomed_link);
    if (p->in_graves)
        map_remove(&p->es->graves, &p->node);
    if (p->heir) {
        p->heir->blocker = NULL;
        partition_attach(p->heir);
    }
    partition_free(p);
    return true;
}

static void partition_doomed_due(struct shard_timer *t);

static enum shard_job_state partition_doomed_job(struct shard_job *j, uint64_t budget_ns)
{
    struct engine_shard *es = container_of(j, struct engine_shard, doomed_job);
    uint64_t until = io_clock_ns(es->shard->io) + (budget_ns < DOOMED_STEP_NS ? budget_ns : DOOMED_STEP_NS);
    bool any = false;
    struct list_node *n = list_first(&es->doomed), *next;
    for (; n && io_clock_ns(es->shard->io) < until; n = next) {
        next = list_next(&es->doomed, n);
        any |= partition_bury(list_entry(n, struct partition, doomed_link));
    }
    if (any || n)
        return list_empty(&es->doomed) ? SHARD_JOB_DONE : SHARD_JOB_MORE;
    // All that is left waits for the disk, which may take long.
    if (!list_empty(&es->doomed))
        shard_timer_set(es->shard, &es->doomed_timer, shard_now_ns(es->shard) + PATIENCE_NS, partition_doomed_due);
    return SHARD_JOB_DONE;
}

static void partition_doomed_due(struct shard_timer *t)
{
    struct engine_shard *es = container_of(t, struct engine_shard, doomed_timer);
    if (!es->doomed_job.started && !list_empty(&es->doomed))
        shard_job_start(es->shard, &es->doomed_job, partition_doomed_job);
}

void partition_doom(struct partition *p, enum rc rc)
{
    struct engine_shard *es = p->es;
    if (p->state == PARTITION_DOOMED)
        return;
    map_remove(&es->partitions, &p->node);
    if (es->retention_at == &p->all_link)
        es->retention_at = list_next(&es->all, &p->all_link);
    if (es->settle_at == &p->all_link)
        es->settle_at = list_next(&es->all, &p->all_link);
    list_remove(&es->all, &p->all_link);
    if (p->blocker) {
        p->blocker->heir = NULL;
        p->blocker = NULL;
    }
    if (list_node_linked(&p->waiting_link))
        list_remove(&es->waiting, &p->waiting_link);
    p->in_graves = p->log.state != PLOG_DETACHED && map_insert(&es->graves, &p->node, grave_hash(p)) == RC_OK;
    partition_past_forget(p);
    p->state = PARTITION_DOOMED;
    list_push_back(&es->doomed, &p->doomed_link);
    partition_opening_leave(p);
    coordinator_forget(p);
    partition_fail_appends(p, rc);
    partition_tell_anew(p);
    replica_end(p);
    if (!es->doomed_job.started)
        shard_job_start(es->shard, &es->doomed_job, partition_doomed_job);
}

// ------------------------------------------------------------------------------------------------ stop

void partition_free_all(struct engine_shard *es)
{
    struct list *lists[] = {&es->all, &es->doomed};
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++)
        for (struct list_node *n; (n = list_pop_front(lists[i]));) {
            struct partition *p =
                i == 0 ? list_entry(n, struct partition, all_link) : list_entry(n, struct partition, doomed_link);
            if (i == 0)
                map_remove(&es->partitions, &p->node);
            partition_past_forget(p);
            replica_end(p);
            partition_move_free(p);
            if (p->log.state != PLOG_DETACHED)
                plog_detach(&p->log);
            partition_free(p);
        }
    map_deinit(&es->graves);
    map_deinit(&es->partitions);
    map_deinit(&es->topics);
}
