// SPDX-License-Identifier: Apache-2.0
//
// What the logs of one shard share, and their background work; see store.h.
#include "store/store.h"
#include "base/assert.h"
#include "store/log_private.h"
#include "store/trash.h"

#include <stdlib.h>

enum { STORE_CHECKPOINTS_MAX = 256, STORE_EXPIRE_A_STEP = 256, STORE_RESTS_A_LOOK = 4 };

#define STORE_RETRY_NS UINT64_C(60000000000)

const struct store_config STORE_CONFIG_DEFAULT = {
    .files_max = 1024,
    .unsynced_log_bytes_max = 64u << 20,
    .unsynced_bytes_max = 256u << 20,
    .mark_bytes = 8u << 20,
    .index_waits_bytes = 8u << 20,
    .producers_max = 100000,
    .producer_expiry_ms = INT64_C(86400000),
    .compact = COMPACT_CONFIG_DEFAULT,
};

enum rc store_init(struct store *s, struct io *io, struct trace_sink *trace, const struct store_config *config,
                   struct log_dir *const *dirs, unsigned dir_count)
{
    uint64_t seed;
    *s = (struct store){.io = io, .trace = trace, .config = *config, .dirs = dirs, .dir_count = dir_count};
    list_init(&s->active_logs);
    list_init(&s->unsynced_logs);
    list_init(&s->due_logs);
    producer_registry_init(&s->producers);
    int64_t jump_ms;
    (void)wall_settled_ms(&s->wall, io_clock_ns(io), io_wall_ms(io), &jump_ms);
    io_random(io, &seed, sizeof(seed));
    enum rc rc = file_cache_init(&s->files, config->files_max, seed);
    if (rc)
        return rc;
    rc = compactor_create(&s->compactor, s);
    return rc ? rc : trash_create(&s->trash, s);
}

int64_t store_settled_ms(struct store *s)
{
    const int64_t wall_ms = io_wall_ms(s->io);
    int64_t jump_ms, settled_ms = wall_settled_ms(&s->wall, io_now_ns(s->io), wall_ms, &jump_ms);
    if (jump_ms)
        trace_warn(s->trace,
                   "the wall clock jumped by %lld s, to %lld ms since 1970%s", (long long)(jump_ms / 1000),
                   (long long)wall_ms,
                   s->wall.jump_ns ? "; nothing expires by it for an hour" : "; it is where it was expected");
    return settled_ms;
}

void store_deinit(struct store *s)
{
    ASSERT(s->checkpoints == 0 && list_empty(&s->active_logs) && list_empty(&s->unsynced_logs));
    compactor_destroy(s->compactor);
    trash_destroy(s->trash);
    file_cache_deinit(&s->files);
    free(s->spare_write);
    s->spare_write = NULL;
}

bool store_is_removing(const struct store *s)
{
    return trash_is_removing(s->trash);
}

enum rc store_trash_put(struct store *s, struct log_dir *dir, const char *path, bool is_folder, int64_t delay_ms)
{
    (void)dir;
    enum rc rc = trash_put(s->trash, path, is_folder, delay_ms);
    store_want_work(s);
    return rc;
}

// ------------------------------------------------------------------------------------------------ what is wanted

void store_want_work(struct store *s)
{
    if (s->work_known)
        return;
    s->work_known = true;
    if (s->work_wanted)
        s->work_wanted(s);
}

static void store_want(struct store *s, struct plog *l)
{
    if (!list_node_linked(&l->due_link))
        list_push_back(&s->due_logs, &l->due_link);
    store_want_work(s);
}

void store_want_mark(struct store *s, struct plog *l)
{
    l->due_mark = true;
    store_want(s, l);
}

void store_want_checkpoint(struct store *s, struct plog *l)
{
    l->due_checkpoint = true;
    store_want(s, l);
}

void store_want_drop(struct store *s, struct plog *l)
{
    l->due_drop = true;
    store_want(s, l);
}

void store_note_unsynced(struct store *s, struct plog *l, uint64_t bytes)
{
    l->unsynced_bytes += bytes;
    l->unmarked_bytes += bytes;
    s->unsynced_bytes += bytes;
    if (!list_node_linked(&l->unsynced_link))
        list_push_back(&s->unsynced_logs, &l->unsynced_link);

    if (l->unsynced_bytes > s->config.unsynced_log_bytes_max && !l->checkpointing && !l->due_checkpoint)
        store_want_checkpoint(s, l);
    else if (s->unsynced_bytes > s->config.unsynced_bytes_max && s->checkpoints == 0)
        store_want_work(s);
    if (l->unmarked_bytes > s->config.mark_bytes && !l->due_mark)
        store_want_mark(s, l);
}

void store_note_synced(struct store *s, struct plog *l, uint64_t bytes)
{
    if (bytes > l->unsynced_bytes) // a forced sync and a recovery point may cover the same bytes
        bytes = l->unsynced_bytes;
    l->unsynced_bytes -= bytes;
    s->unsynced_bytes -= bytes;
    if (l->unsynced_bytes == 0 && list_node_linked(&l->unsynced_link))
        list_remove(&s->unsynced_logs, &l->unsynced_link);
}

void store_forget(struct store *s, struct plog *l)
{
    store_note_synced(s, l, l->unsynced_bytes);
    if (list_node_linked(&l->active_link))
        list_remove(&s->active_logs, &l->active_link);
    if (list_node_linked(&l->due_link))
        list_remove(&s->due_logs, &l->due_link);
}

// ------------------------------------------------------------------------------------------------ recovery points

static void store_checkpoint_done(struct plog_checkpoint *op, enum rc rc)
{
    struct store *s = op->log->store;
    struct plog *l = op->log;
    (void)rc; // a failure has taken the folder offline; a full disk is tried again when more is unsynced
    s->checkpoints--;
    free(op);
    if (l->unsynced_bytes > s->config.unsynced_log_bytes_max)
        store_want_checkpoint(s, l);
    if (!list_empty(&s->due_logs) || s->unsynced_bytes > s->config.unsynced_bytes_max)
        store_want_work(s);
}

static void store_start_checkpoint(struct store *s, struct plog *l)
{
    struct plog_checkpoint *op = calloc(1, sizeof(*op));
    if (!op)
        return;
    op->done = store_checkpoint_done;
    s->checkpoints++;
    if (plog_checkpoint(l, op) != RC_AGAIN) {
        s->checkpoints--;
        free(op);
    }
}

// Marks, recovery points and deletions that are due. False: the budget or the places are used up.
static bool store_serve_due(struct store *s, uint64_t deadline_ns)
{
    struct list_node *n;
    while ((n = list_first(&s->due_logs))) {
        struct plog *l = list_entry(n, struct plog, due_link);
        if (l->due_checkpoint && s->checkpoints >= STORE_CHECKPOINTS_MAX)
            return true; // the end of one comes back here
        list_remove(&s->due_logs, n);
        bool mark = l->due_mark, checkpoint = l->due_checkpoint, drop = l->due_drop;
        l->due_mark = l->due_checkpoint = l->due_drop = false;
        if (l->state != PLOG_OPEN || log_dir_is_offline(l->dir))
            continue;
        if (checkpoint)
            store_start_checkpoint(s, l);
        else if (mark)
            (void)plog_put_mark(l); // one that fails costs a longer scan
        if (drop && plog_drop_step(l))
            store_want_drop(s, l);
        if (io_clock_ns(s->io) > deadline_ns)
            return false;
    }
    return true;
}

// Over all logs too much is unsynced: those unsynced for longest go first, one group that shares one sync. False: the
// budget is used up, and the group goes on.
static bool store_serve_total(struct store *s, uint64_t deadline_ns)
{
    bool held[LOG_DIRS_MAX] = {0}, goes_on = true;
    struct list_node *n;
    if (s->group_bytes == 0 && s->unsynced_bytes > s->config.unsynced_bytes_max && s->checkpoints == 0)
        s->group_bytes = s->unsynced_bytes - s->config.unsynced_bytes_max / 2;
    if (s->group_bytes == 0)
        return true;
    for (unsigned i = 0; i < s->dir_count; i++)
        held[i] = log_dir_hold(s->dirs[i]);
    while (goes_on && (n = list_first(&s->unsynced_logs)) && s->checkpoints < STORE_CHECKPOINTS_MAX) {
        struct plog *l = list_entry(n, struct plog, unsynced_link);
        if (l->checkpointing) // once around
            break;
        list_remove(&s->unsynced_logs, n);
        list_push_back(&s->unsynced_logs, n);
        const uint64_t bytes = l->unsynced_bytes;
        if (l->state == PLOG_OPEN && !log_dir_is_offline(l->dir))
            store_start_checkpoint(s, l);
        s->group_bytes -= bytes < s->group_bytes ? bytes : s->group_bytes;
        goes_on = s->group_bytes && io_clock_ns(s->io) < deadline_ns;
    }
    const bool over = s->group_bytes == 0 || goes_on; // enough of them, or no more to take
    if (over)
        s->group_bytes = 0;
    for (unsigned i = 0; i < s->dir_count; i++)
        if (held[i])
            log_dir_release(s->dirs[i]);
    return over;
}

// ------------------------------------------------------------------------------------------------ rest

// Logs not used for a while give up files and buffers. Returns when the next one is due.
static uint64_t store_serve_rest(struct store *s, uint64_t now_ns, uint64_t deadline_ns, bool *more)
{
    struct list_node *n;
    for (unsigned i = 1; (n = list_first(&s->active_logs)); i++) {
        struct plog *l = list_entry(n, struct plog, active_link);
        if (l->used_ns + STORE_REST_NS > now_ns)
            return l->used_ns + STORE_REST_NS;
        if (l->state != PLOG_OPEN || !plog_is_idle(l) || plog_rest(l) != RC_OK || list_node_linked(&l->active_link)) {
            // Busy or without space: it takes its turn again later.
            if (list_node_linked(&l->active_link)) {
                list_remove(&s->active_logs, &l->active_link);
                list_push_back(&s->active_logs, &l->active_link);
            }
            l->used_ns = now_ns;
        }
        if (i % STORE_RESTS_A_LOOK == 0 && io_clock_ns(s->io) > deadline_ns) {
            *more = true;
            return now_ns;
        }
    }
    return UINT64_MAX;
}

static uint64_t store_serve_producers(struct store *s, uint64_t now_ns)
{
    struct producer_registry *r = &s->producers;
    uint64_t expiry_ns = (uint64_t)s->config.producer_expiry_ms * 1000000u;
    if (r->by_age.count > s->config.producers_max) {
        uint32_t over = (uint32_t)(r->by_age.count - s->config.producers_max);
        uint32_t gone =
            producer_registry_expire(r, UINT64_MAX, over < STORE_EXPIRE_A_STEP ? over : STORE_EXPIRE_A_STEP);
        if (s->counters.producers_forgotten == 0 && gone)
            trace_warn(s->trace, "more than %u producers are remembered: the longest idle are forgotten early",
                       s->config.producers_max);
        s->counters.producers_forgotten += gone;
    }
    if (now_ns > expiry_ns)
        s->counters.producers_expired += producer_registry_expire(r, now_ns - expiry_ns, STORE_EXPIRE_A_STEP);
    struct list_node *oldest = list_first(&r->by_age);
    return oldest ? list_entry(oldest, struct producer_entry, age)->used_ns + expiry_ns : UINT64_MAX;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

bool store_work(struct store *s, uint64_t budget_ns, uint64_t *next_ns)
{
    uint64_t now = io_clock_ns(s->io), deadline = now + budget_ns;
    bool more = false;
    s->work_known = false;
    more = !store_serve_due(s, deadline);
    more = !store_serve_total(s, deadline) || more;
    uint64_t next = store_serve_producers(s, now);
    if (!more)
        next = earlier(next, store_serve_rest(s, now, deadline, &more));
    if (!more)
        next = earlier(next, trash_step(s->trash, now, deadline, &more));
    uint64_t compact_next;
    bool compacts = compactor_step(s->compactor, deadline, &compact_next);
    // A deadline that has passed and could not be met (an open transaction, a busy log) is looked at again in a minute.
    if (!more && next <= now)
        next = now + STORE_RETRY_NS;
    if (compact_next < next)
        next = compact_next;
    more = more || compacts;
    *next_ns = more ? now : next;
    return more;
}
