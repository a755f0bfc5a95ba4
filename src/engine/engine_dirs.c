// SPDX-License-Identifier: Apache-2.0
//
// The log folders of a node: what lies in them and belongs to nobody, folders that fail, and the way of an operation to
// the shard that owns the folder.
#include <stdio.h>
#include <stdlib.h>

#include "engine/engine_core.h"
#include "engine/offline_report.h"
#include "engine/partition.h"
#include "store/future.h"

// ------------------------------------------------------------------------------------------------ stray folders

// What lies in the folders and belongs to no topic of the image is put aside, never deleted. Before any log is
// attached: a folder left by a deleted topic must not become the log of its successor of the same name.
struct engine_stray {
    struct engine *engine;
    struct log_dir *dir;
    const struct image *image;
    bool known; // nothing has changed since a clean stop
};

// What was about to be removed when the last process ended.
static void engine_sweep_folder(void *context, enum log_dir_name_kind kind, const char *name)
{
    struct engine_stray *s = context;
    char path[IO_PATH_BYTES_MAX];
    if (kind != LOG_DIR_NAME_DELETE || snprintf(path, sizeof(path), "%s/%s", s->dir->path, name) >= (int)sizeof(path))
        return;
    (void)store_trash_put(&s->engine->shards[0].store, s->dir, path, true, 0);
}

static const struct image_topic *engine_folder_topic(const struct engine_stray *s, const char *name, long number)
{
    const char *dash = strrchr(name, '-');
    const struct image_topic *t = image_topic_by_name(s->image, bytes_of(name, (size_t)(dash - name)));
    const struct image_partition *p = t ? image_partition(t, (int32_t)number) : NULL;
    return p && image_has_replica(p, s->engine->config.node_id) ? t : NULL;
}

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
    // After a clean stop the checkpoint says all there is to say of the logs that were here, without a look into them.
    const struct image_topic *named = s->dir->clean_stopped ? engine_folder_topic(s, name, number) : NULL;
    if (named && log_dir_find(s->dir, (struct topic_partition){named->id, (int32_t)number}))
        return true;
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

// The same log lies in another folder, too, whose checkpoint has seen more moves of it (store/future.h).
static bool engine_folder_has_moved(const struct engine_stray *s, const char *name, struct topic_partition *id)
{
    const struct engine_config *config = &s->engine->config;
    const char *dash = strrchr(name, '-');
    const long number = strtol(dash + 1, NULL, 10);
    const struct image_topic *t = engine_folder_topic(s, name, number);
    if (!t || config->log_dir_count == 1)
        return false;
    *id = (struct topic_partition){t->id, (int32_t)number};
    const struct log_dir_entry *mine = log_dir_find(s->dir, *id);
    for (unsigned i = 0; i < config->log_dir_count; i++) {
        const struct log_dir *d = config->log_dirs[i];
        const struct log_dir_entry *theirs = d == s->dir ? NULL : log_dir_find(d, *id);
        char path[IO_PATH_BYTES_MAX + TOPIC_NAME_BYTES_MAX + 16];
        snprintf(path, sizeof(path), "%s/%s", d->path, name);
        if (theirs && theirs->moves > (mine ? mine->moves : 0) && io_exists(d->io, path))
            return true;
    }
    return false;
}

// A move that was under way: its folder goes, and it begins again once the node runs. name is
// "<topic>-<partition>.<uuid>-future".
static void engine_judge_future(struct engine_stray *s, const char *name)
{
    struct engine *e = s->engine;
    char folder[IO_PATH_BYTES_MAX], path[2 * IO_PATH_BYTES_MAX];
    struct uuid topic_id = {0};
    const char *dot = strrchr(name, '.');
    snprintf(folder, sizeof(folder), "%.*s", dot ? (int)(dot - name) : 0, name);
    const char *dash = strrchr(folder, '-');
    char *rest = NULL;
    const long number = dash ? strtol(dash + 1, &rest, 10) : -1;
    const bool whole = number >= 0 && number < FUTURE_PARTITION_BIT && rest && *rest == 0;
    const struct image_topic *t = whole ? engine_folder_topic(s, folder, number) : NULL;
    if (log_dir_folder_topic_id(s->dir, name, &topic_id) != RC_OK && t)
        topic_id = t->id;
    const struct topic_partition id = {topic_id, (int32_t)number};
    snprintf(path, sizeof(path), "%s/%s", s->dir->path, folder);
    if (!whole) { // a name that was cut short: what it is the future of is not known
        log_dir_set_stray(s->dir, name);
        return;
    }
    if (!log_dir_drop_future(s->dir, name, id, io_exists(s->dir->io, path)) || !t || !uuid_eq(t->id, topic_id))
        return;
    struct engine_future *more = realloc(e->futures, (e->future_count + 1) * sizeof(*more));
    if (!more)
        return;
    e->futures = more;
    e->futures[e->future_count++] = (struct engine_future){id, s->dir};
}

// What the checkpoint knows of a folder that is put aside: were it still there when the partition comes back, it would say
// that a log which has just begun is durable up to there, and the log would be refused as damaged.
static void engine_forget_folder(const struct engine_stray *s, const char *name)
{
    const char *dash = strrchr(name, '-');
    char *end = NULL;
    const long number = dash ? strtol(dash + 1, &end, 10) : -1;
    struct uuid topic_id;
    if (number < 0 || number > INT32_MAX || *end)
        return;
    if (log_dir_folder_topic_id(s->dir, name, &topic_id) != RC_OK) {
        const struct image_topic *t = image_topic_by_name(s->image, bytes_of(name, (size_t)(dash - name)));
        if (!t)
            return;
        topic_id = t->id;
    }
    const struct checkpoint_record removed = {.type = CHECKPOINT_REMOVED, .id = {topic_id, (int32_t)number}};
    if (log_dir_find(s->dir, removed.id))
        (void)log_dir_put(s->dir, &removed); // a failure takes the folder offline or leaves what was there
}

static void engine_judge_folder(void *context, enum log_dir_name_kind kind, const char *name)
{
    struct engine_stray *s = context;
    struct topic_partition id;
    if (kind == LOG_DIR_NAME_FUTURE)
        engine_judge_future(s, name);
    if (kind != LOG_DIR_NAME_PARTITION || s->known)
        return;
    if (engine_folder_is_ours(s, name)) {
        if (engine_folder_has_moved(s, name, &id))
            (void)log_dir_drop_moved(s->dir, name, id);
        return;
    }
    trace_warn(s->engine->config.trace, "%s/%s belongs to no topic this cluster knows: it is kept as %s.*-stray",
               s->dir->path, name, name);
    engine_forget_folder(s, name);
    log_dir_set_stray(s->dir, name);
}

void engine_judge_folders(struct engine *e, const struct image *image)
{
    for (unsigned i = 0; i < e->config.log_dir_count; i++) {
        struct engine_stray s = {.engine = e, .dir = e->config.log_dirs[i], .image = image};
        // Alone, nothing has changed since a clean stop; in a cluster, topics came and went meanwhile.
        s.known = s.dir->clean_stopped && !engine_in_cluster(e);
        if ((s.known && e->config.log_dir_count == 1) || log_dir_is_offline(s.dir))
            continue;
        log_dir_each_folder(s.dir, engine_judge_folder, &s);
        log_dir_each_folder(s.dir, engine_sweep_folder, &s);
    }
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
            partition_tell_anew(p);
    }
    offline_report(es);
    engine_call_finish(c);
}

static void engine_dir_failed_done(struct engine_call *c)
{
    free(container_of(c, struct engine_dir_failed, call));
}

// Runs where the failure was seen, in the middle of that log's work: only notes and posts.
void engine_dir_failed(struct log_dir *d, enum rc rc)
{
    struct engine *e = d->owner;
    unsigned left = 0;
    for (unsigned i = 0; i < e->config.log_dir_count; i++)
        left += !log_dir_is_offline(e->config.log_dirs[i]);
    trace_error(e->config.trace,
                "log folder %s is offline (%s); its partitions are not served until a restart: mend the disk, then start "
                "this node again",
                d->path, rc_text(rc));
    if (d == e->config.metadata_dir || left == 0) {
        trace_error(e->config.trace, "stopping: %s",
                    left == 0 ? "no log folder is left" : "the folder of the metadata log failed");
        __atomic_store_n(&e->metadata_dir_failed, true, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&e->dirs_lost, true, __ATOMIC_RELEASE);
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

// ------------------------------------------------------------------------------------------------ folders of other shards

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

void engine_dir_forward(struct log_dir *d, struct log_dir_op *op)
{
    struct engine_route *r = (struct engine_route *)(void *)op->route;
    *r = (struct engine_route){
        .call = {.run = engine_dir_arrived, .done = engine_dir_answered}, .dir = d, .done = op->done};
    op->done = engine_dir_done;
    engine_call_start(&r->call, shard_current()->owner, engine_dir_owner(d));
}

bool engine_dir_topic_name(struct log_dir *d, struct uuid topic_id, struct bytes *name)
{
    struct engine *e = d->owner;
    const struct image_topic *t = image_topic_by_id(e->shards[0].reader.image, topic_id);
    if (t)
        *name = image_topic_name(t);
    return t != NULL;
}
