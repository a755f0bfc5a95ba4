// SPDX-License-Identifier: Apache-2.0
//
// Partitions as the image wants them: made, given a new leader epoch or new settings, and removed.
#include "engine/partition.h"
#include "engine/coordinator.h"
#include "engine/replica.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    DOOMED_STEP_NS = 1000 * 1000,
    PATIENCE_NS = 2 * 1000 * 1000, // between two looks at what waits for the disk or another shard
};

// ------------------------------------------------------------------------------------------------ settings

static void settings_unref(struct engine_settings *s)
{
    ASSERT(s->refs > 0);
    if (--s->refs > 0)
        return;
    throttle_list_free(&s->leads);
    throttle_list_free(&s->follows);
    free(s);
}

static enum rc settings_throttles(struct engine_settings *s, const struct config_layers *l, int32_t node)
{
    static const char *const names[] = {"leader.replication.throttled.replicas", "follower.replication.throttled.replicas"};
    struct throttle_list *lists[] = {&s->leads, &s->follows};
    enum rc rc = RC_OK;
    for (size_t i = 0; i < ARRAY_COUNT(names) && rc == RC_OK; i++)
        rc = throttle_list_read(lists[i], config_resolve(CONFIG_TOPIC, config_find(CONFIG_TOPIC, names[i]), l).value, node);
    return rc;
}

static struct engine_settings *settings_make(const struct engine_shard *es, const struct image_topic *t)
{
    struct engine_settings *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->refs = 1;
    struct config_layers layers = engine_layers(es, t);
    topic_config_resolve(&s->topic, &layers);
    s->log = PLOG_CONFIG_DEFAULT;
    s->log.segment_bytes = (uint32_t)s->topic.segment_bytes;
    s->log.segment_ms = s->topic.segment_ms;
    s->log.segment_jitter_ms = s->topic.segment_jitter_ms;
    s->log.segment_index_bytes = (uint32_t)s->topic.segment_index_bytes;
    s->log.index_interval_bytes = (uint32_t)s->topic.index_interval_bytes;
    s->log.retention_ms = s->topic.retention_ms;
    s->log.retention_bytes = s->topic.retention_bytes;
    s->log.flush_messages = s->topic.flush_messages;
    s->log.flush_ms = s->topic.flush_ms;
    s->log.file_delete_delay_ms = s->topic.file_delete_delay_ms;
    s->log.deletes = s->topic.cleanup_delete;
    s->log.log_append_time = s->topic.log_append_time;
    s->log.compacts = s->topic.cleanup_compact;
    s->log.min_cleanable_dirty_ratio = s->topic.min_cleanable_dirty_ratio;
    s->log.min_compaction_lag_ms = s->topic.min_compaction_lag_ms;
    s->log.max_compaction_lag_ms = s->topic.max_compaction_lag_ms;
    s->log.delete_retention_ms = s->topic.delete_retention_ms;
    // What must be compacted by then has to leave the active segment before (KIP-354).
    if (s->log.compacts && s->log.max_compaction_lag_ms < s->log.segment_ms)
        s->log.segment_ms = s->log.max_compaction_lag_ms;
    // Without memory for the lists nobody is held back.
    (void)settings_throttles(s, &layers, es->engine->config.node_id);
    return s;
}

static struct engine_settings *settings_ref(struct engine_settings *s)
{
    s->refs++;
    return s;
}

// ------------------------------------------------------------------------------------------------ finding

static bool partition_eq(const struct map_node *n, const void *key)
{
    return topic_partition_eq(container_of(n, struct partition, node)->id, *(const struct topic_partition *)key);
}

static struct partition *partition_lookup(struct engine_shard *es, struct topic_partition id)
{
    struct map_node *n = map_find(&es->partitions, topic_partition_hash(id), partition_eq, &id);
    return n ? container_of(n, struct partition, node) : NULL;
}

static bool topic_eq(const struct map_node *n, const void *key)
{
    return uuid_eq(container_of(n, struct engine_topic, node)->id, *(const struct uuid *)key);
}

static uint64_t topic_hash(struct uuid id)
{
    return map_hash_bytes(bytes_of(id.b, sizeof(id.b)));
}

static struct engine_topic *topic_find(struct engine_shard *es, struct uuid id)
{
    struct map_node *n = map_find(&es->topics, topic_hash(id), topic_eq, &id);
    return n ? container_of(n, struct engine_topic, node) : NULL;
}

// ------------------------------------------------------------------------------------------------ making

// The folder this replica lives in: where its files are or, at boot, where the checkpoint names it, else the one with
// the fewest partitions.
static struct log_dir *partition_place(struct engine_shard *es, const struct engine_topic *t, struct topic_partition id)
{
    struct engine *e = es->engine;
    if (e->config.log_dir_count == 1)
        return e->config.log_dirs[0];
    for (unsigned i = 0; i < e->config.log_dir_count; i++) {
        char path[IO_PATH_BYTES_MAX + TOPIC_NAME_BYTES_MAX + 16];
        snprintf(path, sizeof(path), "%s/%s-%d", e->config.log_dirs[i]->path, t->name, id.partition);
        if (io_exists(es->shard->io, path))
            return e->config.log_dirs[i];
    }
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
    int64_t end = plog_offered_end(&p->log), known = plog_high_watermark(&p->log);
    // Alone, what it holds is committed; a replica knows no more than it was told.
    p->high_watermark = !replica_expected(p) || known > end ? end : known;
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
        dir ? plog_attach_known(&p->log, &es->store, dir, engine_topic_name(p->topic), p->id, &p->settings->log, known)
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

static struct partition *partition_create(struct engine_shard *es, struct engine_topic *t, struct topic_partition id,
                                          bool returns)
{
    struct partition *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->es = es;
    p->topic = t;
    p->id = id;
    p->settings = settings_ref(t->settings);
    p->returns = returns;
    p->leader_epoch = p->begun_epoch = LEADER_EPOCH_NONE;
    list_init(&p->appends);
    list_init(&p->committing);
    list_init(&p->watches);
    if (map_insert(&es->partitions, &p->node, topic_partition_hash(id)) != RC_OK) {
        settings_unref(p->settings);
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

static void topic_unlink_if_empty(struct engine_shard *es, struct engine_topic *t)
{
    if (t->partitions.count > 0)
        return;
    if (t->linked)
        map_remove(&es->topics, &t->node);
    settings_unref(t->settings);
    free(t);
}

static void partition_free(struct partition *p)
{
    struct engine_shard *es = p->es;
    ASSERT(!p->replica && list_empty(&p->committing));
    struct engine_topic *t = p->topic;
    if (list_node_linked(&p->opening_link))
        list_remove(&es->opening, &p->opening_link);
    shard_timer_cancel(es->shard, &p->flush_timer);
    list_remove(&t->partitions, &p->topic_link);
    if (list_node_linked(&p->dirty_link))
        list_remove(&es->dirty, &p->dirty_link);
    if (list_node_linked(&p->waiting_link))
        list_remove(&es->waiting, &p->waiting_link);
    settings_unref(p->settings);
    free(p);
    topic_unlink_if_empty(es, t);
}

// ------------------------------------------------------------------------------------------------ removing

// Renames the folder of a doomed partition and frees it. False: something is still in flight.
static bool partition_bury(struct partition *p)
{
    bool attached = p->log.state != PLOG_DETACHED;
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

enum shard_job_state partition_doomed_job(struct shard_job *j, uint64_t budget_ns)
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

// The topic is gone, or this node is no replica of it any more: nobody finds the partition here; its folder is renamed by
// a paced job. Who waits is answered with rc.
static void partition_doom(struct partition *p, enum rc rc)
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
    if (list_node_linked(&p->opening_link))
        list_remove(&es->opening, &p->opening_link);
    coordinator_forget(p);
    partition_fail_appends(p, rc);
    partition_tell_anew(p);
    replica_end(p);
    if (!es->doomed_job.started)
        shard_job_start(es->shard, &es->doomed_job, partition_doomed_job);
}

// ------------------------------------------------------------------------------------------------ following the image

static struct engine_topic *topic_create(struct engine_shard *es, const struct image_topic *t)
{
    struct engine_topic *topic = calloc(1, sizeof(*topic) + t->name_bytes + 1u);
    if (!topic)
        return NULL;
    topic->settings = settings_make(es, t);
    if (!topic->settings || map_insert(&es->topics, &topic->node, topic_hash(t->id)) != RC_OK) {
        if (topic->settings)
            settings_unref(topic->settings);
        free(topic);
        return NULL;
    }
    topic->linked = true;
    topic->id = t->id;
    topic->name_bytes = t->name_bytes;
    memcpy(topic->name, t->name, t->name_bytes);
    topic->configs_index = t->configs_index;
    topic->broker_configs_index = es->reader.image->broker_configs_index;
    list_init(&topic->partitions);
    return topic;
}

static enum rc topic_follow_settings(struct engine_shard *es, struct engine_topic *topic, const struct image *image,
                                     const struct image_topic *t)
{
    if (topic->configs_index == t->configs_index && topic->broker_configs_index == image->broker_configs_index)
        return RC_OK;
    struct engine_settings *s = settings_make(es, t);
    if (!s)
        return RC_NOMEM;
    for (struct list_node *n = list_first(&topic->partitions); n; n = list_next(&topic->partitions, n)) {
        struct partition *p = list_entry(n, struct partition, topic_link);
        settings_unref(p->settings);
        p->settings = settings_ref(s);
        if (p->log.state != PLOG_DETACHED)
            plog_configure(&p->log, &s->log);
    }
    settings_unref(topic->settings);
    topic->settings = s;
    topic->configs_index = t->configs_index;
    topic->broker_configs_index = image->broker_configs_index;
    return RC_OK;
}

static void topic_doom(struct engine_shard *es, struct engine_topic *topic)
{
    map_remove(&es->topics, &topic->node); // its partitions keep it until they are buried
    topic->linked = false;
    for (struct list_node *n = list_first(&topic->partitions), *next; n; n = next) {
        next = list_next(&topic->partitions, n);
        partition_doom(list_entry(n, struct partition, topic_link), RC_UNKNOWN_TOPIC_OR_PARTITION);
    }
}

static enum rc partition_follow(struct partition *p, const struct image *image, const struct image_partition *ip)
{
    bool anew = p->leader_epoch != ip->leader_epoch;
    p->leader_epoch = ip->leader_epoch;
    p->leads = ip->leader == p->es->engine->config.node_id;
    if (!p->leads || anew)
        partition_tell_anew(p);
    enum rc rc = replica_follow(p, image, ip);
    coordinator_follow(p);
    return rc;
}

// Its replicas have moved and this node is none of them any more. That was committed when every one of them was in sync,
// and this process has seen it while it held the partition: the data goes, as in Kafka after file.delete.delay.ms. A folder
// that a start finds unassigned is another matter: it is kept as stray, for nobody knows what became of it.
static void partition_leave(struct partition *p)
{
    const struct engine *e = p->es->engine;
    trace_info(e->config.trace, "%s-%d: node %d is no replica any more; its data is deleted after file.delete.delay.ms=%lld",
               p->topic->name, p->id.partition, e->config.node_id,
               (long long)p->settings->topic.file_delete_delay_ms);
    p->leads = false;
    partition_doom(p, RC_NOT_LEADER_OR_FOLLOWER);
}

// The image wants it here, and somebody asks for it the first time.
static struct partition *partition_make(struct engine_shard *es, struct topic_partition id)
{
    const struct image_topic *t = image_topic_by_id(es->reader.image, id.topic_id);
    const struct image_partition *ip = t && id.partition >= 0 ? image_partition(t, id.partition) : NULL;
    if (!ip || !image_has_replica(ip, es->engine->config.node_id))
        return NULL;
    ASSERT(engine_shard_of(es->engine, id) == es);
    struct engine_topic *topic = topic_find(es, id.topic_id);
    if (!topic && !(topic = topic_create(es, t)))
        return NULL;
    struct partition *p = partition_create(es, topic, id, ip->epoch > 0);
    if (p)
        partition_follow(p, es->reader.image, ip);
    else
        topic_unlink_if_empty(es, topic);
    return p;
}

struct partition *partition_peek(struct engine_shard *es, struct topic_partition id)
{
    return partition_lookup(es, id);
}

struct partition *partition_find(struct engine_shard *es, struct topic_partition id)
{
    struct partition *p = partition_lookup(es, id);
    return p || !es->booted ? p : partition_make(es, id);
}

// From partition p on the first one that differs from what it was.
static int32_t topic_next_changed(const struct image_topic *before, const struct image_topic *t, int32_t p)
{
    while (before && p < t->partition_count && p < before->partition_count) {
        uint32_t chunk = (uint32_t)p / IMAGE_CHUNK_PARTITIONS;
        if (t->chunks[chunk] == before->chunks[chunk])
            p = (int32_t)(chunk + 1) * IMAGE_CHUNK_PARTITIONS;
        else if (image_partition(t, p) == image_partition(before, p))
            p++;
        else
            break;
    }
    return p;
}

enum rc partition_follow_topic(struct engine_shard *es, struct uuid topic_id, const struct image *before,
                               const struct image *image)
{
    struct engine *e = es->engine;
    const struct image_topic *t = image_topic_by_id(image, topic_id);
    const struct image_topic *was = before ? image_topic_by_id(before, topic_id) : NULL;
    struct engine_topic *topic = topic_find(es, topic_id);
    if (!t) {
        if (topic)
            topic_doom(es, topic);
        return RC_OK;
    }
    if (topic) {
        enum rc rc = topic_follow_settings(es, topic, image, t);
        if (rc != RC_OK)
            return rc;
    }
    if (was && was->configs_index != t->configs_index) // min.insync.replicas, for one
        was = NULL;
    for (int32_t i = topic_next_changed(was, t, 0); i < t->partition_count; i = topic_next_changed(was, t, i + 1)) {
        struct topic_partition id = {.topic_id = topic_id, .partition = i};
        const struct image_partition *ip = image_partition(t, i);
        if (engine_shard_of(e, id) != es)
            continue;
        struct partition *p = partition_lookup(es, id);
        if (!image_has_replica(ip, e->config.node_id)) {
            if (p)
                partition_leave(p);
            continue;
        }
        // At boot everything is made, because it may have data; what is new later is made when it is first asked for,
        // but for followers: nobody asks them.
        if (!p && es->booted && (ip->replica_count <= 1 || ip->leader == e->config.node_id))
            continue;
        if (!topic && !(topic = topic_create(es, t)))
            return RC_NOMEM;
        if (!p && !(p = partition_create(es, topic, id, es->booted && ip->epoch > 0))) {
            topic_unlink_if_empty(es, topic);
            return RC_NOMEM;
        }
        if (partition_follow(p, image, ip) != RC_OK)
            return RC_NOMEM;
    }
    return RC_OK;
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
            if (p->log.state != PLOG_DETACHED)
                plog_detach(&p->log);
            partition_free(p);
        }
    map_deinit(&es->graves);
    map_deinit(&es->partitions);
    map_deinit(&es->topics);
}
