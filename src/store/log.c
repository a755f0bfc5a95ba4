// SPDX-License-Identifier: Apache-2.0
//
// Life of a partition log: attach, open, rest, detach, delete; and the small things its other files share. See log.h.
#include "base/assert.h"
#include "store/log_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(struct plog) + sizeof(struct producer_entry) < 1024 - 64,
               "a log at rest with one producer costs under 1 KiB, its folder's name included");

const struct plog_config PLOG_CONFIG_DEFAULT = {
    .segment_bytes = 1u << 30,
    .segment_ms = INT64_C(604800000),
    .segment_jitter_ms = 0,
    .segment_index_bytes = 10u << 20,
    .index_interval_bytes = 4096,
    .retention_ms = INT64_C(604800000),
    .retention_bytes = -1,
    .flush_messages = INT64_MAX,
    .flush_ms = INT64_MAX,
    .file_delete_delay_ms = 60000,
    .deletes = true,
    .min_cleanable_dirty_ratio = 0.5,
    .max_compaction_lag_ms = INT64_MAX,
    .delete_retention_ms = INT64_C(86400000),
};

// ------------------------------------------------------------------------------------------------ life

static void plog_set_ends(struct plog *l, const struct log_dir_entry *e)
{
    l->known.recovery_point.offset = l->known.mark.offset = OFFSET_NONE;
    l->known.begins = false;
    if (!e)
        return;
    l->known.recovery_point = e->recovery_point;
    l->known.begins = e->begins;
    if (e->has_mark && e->mark.offset >= e->recovery_point.offset)
        l->known.mark = e->mark;
    const struct log_dir_mark *latest = log_dir_entry_latest(e);
    if (latest->offset != OFFSET_NONE) {
        l->next = l->written = latest->offset;
        l->mark = latest->offset;
    }
    if (e->recovery_point.offset != OFFSET_NONE) {
        l->recovery_point = e->recovery_point.offset;
        l->recovery_base = e->recovery_point.segment_base;
    }
    l->moves = e->moves;
    l->first_dirty = e->cleaned != OFFSET_NONE ? e->cleaned : 0;
    l->durable = l->recovery_point;
    l->offered = plog_forces_sync(l) ? l->durable : l->written;
    l->recovery_point_durable = l->recovery_point; // log_dir_start() has synced what it read
    l->start = l->local_start = l->start_durable = e->start != OFFSET_NONE ? e->start : 0;
    l->high_watermark = e->high_watermark != OFFSET_NONE ? e->high_watermark : l->start;
    l->noted_high_watermark = e->high_watermark;
}

static enum plog_state plog_first_state(struct plog *l, const struct log_dir_entry *e)
{
    char path[IO_PATH_BYTES_MAX];
    if (e && log_dir_entry_latest(e)->offset != OFFSET_NONE)
        return e->clean ? PLOG_AT_REST : PLOG_UNCLEAN;
    // The checkpoint is silent: it was never reached, or lost. Then the folder's own word counts.
    if (plog_path(l, path, "") == RC_OK && io_exists(l->store->io, path))
        return PLOG_UNCLEAN;
    return PLOG_UNMADE;
}

enum rc plog_attach(struct plog *l, struct store *store, struct log_dir *dir, struct bytes topic_name,
                    struct topic_partition id, const struct plog_config *config, const struct log_dir_entry *e)
{
    *l = (struct plog){
        .store = store,
        .dir = dir,
        .config = config,
        .id = id,
        .epoch_to_begin = LEADER_EPOCH_NONE,
        .snapshot = OFFSET_NONE,
        .noted_high_watermark = OFFSET_NONE,
        .tombstones_needed = INT64_MAX,
    };
    list_init(&l->queued);
    list_init(&l->writing);
    list_init(&l->syncing);
    list_init(&l->open_files);
    l->producers.registry = &store->producers;
    if (log_dir_is_offline(dir))
        return RC_OFFLINE;
    if (!topic_name_valid(topic_name) || id.partition < 0)
        return RC_INVALID;
    size_t folder_bytes = topic_name.n + 16;
    l->folder = malloc(folder_bytes);
    if (!l->folder)
        return RC_NOMEM;
    snprintf(l->folder, folder_bytes, "%.*s-%d", (int)topic_name.n, (const char *)topic_name.p, id.partition);
    plog_set_ends(l, e);
    l->state = plog_first_state(l, e);
    if (l->state == PLOG_UNMADE && l->written < l->start) // records deleted durably, then lost themselves
        l->next = l->written = l->offered = l->durable = l->start;
    plog_active_init(l, l->written);
    if (l->state == PLOG_UNMADE)
        plog_hints_clear(l);
    l->clean_marked = l->state == PLOG_AT_REST;
    __atomic_add_fetch(&dir->partitions, 1, __ATOMIC_RELAXED);
    return RC_OK;
}

bool plog_bytes_known(const struct plog *l, uint64_t *bytes)
{
    // At rest the checkpoint says where the log ends: in which segment, and how far into it.
    const struct log_dir_mark *end = l->known.mark.offset != OFFSET_NONE ? &l->known.mark : &l->known.recovery_point;
    *bytes = l->state == PLOG_AT_REST ? end->position : plog_bytes(l);
    return l->state != PLOG_AT_REST || end->segment_base <= l->start;
}

bool plog_is_idle(const struct plog *l)
{
    return list_empty(&l->queued) && list_empty(&l->writing) && list_empty(&l->syncing) && !l->write && !l->sync &&
           !l->checkpointing && !l->marking && !l->noting_start && !l->resetting && !compact_is_busy(l);
}

void plog_detach(struct plog *l)
{
    if (l->state == PLOG_DETACHED)
        return;
    ASSERT(plog_is_idle(l));
    plog_recovery_free(l);
    compact_forget(l);
    store_forget(l->store, l);
    file_cache_drop_all(&l->open_files);
    index_tail_deinit(&l->active.index);
    index_tail_deinit(&l->active.time_index);
    epoch_cache_deinit(&l->epochs);
    producer_state_deinit(&l->producers);
    free(l->sealed);
    free(l->folder);
    l->sealed = NULL;
    l->folder = NULL;
    __atomic_sub_fetch(&l->dir->partitions, 1, __ATOMIC_RELAXED);
    l->state = PLOG_DETACHED;
}

void plog_configure(struct plog *l, const struct plog_config *config)
{
    l->config = config;
    // A sync that nobody forces any more must not hold the offered end back.
    if (!plog_forces_sync(l) && list_empty(&l->syncing))
        l->offered = l->written;
    compact_consider(l);
}

enum rc plog_ready(struct plog *l)
{
    if (log_dir_is_offline(l->dir) && l->state != PLOG_DETACHED)
        l->state = PLOG_OFFLINE;
    switch (l->state) {
    case PLOG_OPEN:
    case PLOG_UNMADE:
        return RC_OK;
    case PLOG_AT_REST:
        return plog_recovery_begin(l);
    case PLOG_UNCLEAN:
        return RC_AGAIN;
    case PLOG_DAMAGED:
        return RC_CORRUPT;
    case PLOG_OFFLINE:
        return RC_OFFLINE;
    case PLOG_DETACHED:
        return RC_CLOSED;
    }
    UNREACHABLE();
}

enum rc plog_open(struct plog *l)
{
    return plog_ready(l);
}

enum rc plog_rest(struct plog *l)
{
    if (l->state != PLOG_OPEN || !plog_is_idle(l) || l->reset_due)
        return RC_OK;
    enum rc rc = RC_OK;
    if (!l->clean_marked && plog_is_made(l))
        rc = plog_put_mark(l);
    plog_put_high_watermark(l);
    if (rc == RC_OK)
        rc = plog_write_indexes(l);
    if (rc) // what is gathered in memory must stay there
        return rc;
    free(l->active.index.p);
    free(l->active.time_index.p);
    l->active.index.p = l->active.time_index.p = NULL;
    l->active.index.cap = l->active.time_index.cap = 0;
    file_cache_drop_all(&l->open_files);
    if (list_node_linked(&l->active_link))
        list_remove(&l->store->active_logs, &l->active_link);
    return RC_OK;
}

enum rc plog_delete(struct plog *l)
{
    char from[IO_PATH_BYTES_MAX], name[IO_PATH_BYTES_MAX], to[IO_PATH_BYTES_MAX];
    struct store *store = l->store;
    struct log_dir *dir = l->dir;
    int64_t delay_ms = l->config->file_delete_delay_ms;
    ASSERT(plog_is_idle(l) && l->state != PLOG_DETACHED);
    if (log_dir_is_offline(dir)) {
        plog_detach(l);
        return RC_OFFLINE;
    }
    enum rc rc = plog_path(l, from, "");
    log_dir_moved_name(store->io, name, l->folder, "-delete");
    if (rc == RC_OK)
        rc = log_dir_path(dir, to, name);
    bool made = rc == RC_OK; // even an UNMADE one may have a folder: what a power cut left of an earlier one
    const struct checkpoint_record removed = {.type = CHECKPOINT_REMOVED, .id = l->id};
    if (made)
        rc = io_rename(store->io, from, to);
    if (rc == RC_NOT_FOUND) { // nothing was ever appended
        made = false;
        rc = RC_OK;
    }
    if (rc)
        log_dir_fail(dir, store->io, rc, "renaming", from);
    else if (made || l->noted_high_watermark != OFFSET_NONE || l->start > 0)
        (void)log_dir_put(dir, &removed); // a lost one only leaves an entry nobody asks for
    plog_detach(l);
    if (rc == RC_OK && made)
        (void)store_trash_put(store, dir, to, true, delay_ms);
    return rc;
}

// ------------------------------------------------------------------------------------------------ shared

void plog_touch(struct plog *l)
{
    struct list *active = &l->store->active_logs;
    bool was_empty = list_empty(active);
    l->used_ns = io_now_ns(l->store->io);
    if (list_node_linked(&l->active_link)) {
        if (active->head.prev == &l->active_link)
            return;
        list_remove(active, &l->active_link);
    }
    list_push_back(active, &l->active_link);
    if (was_empty) // its rest is something to come back for
        store_want_work(l->store);
}

enum rc plog_path(const struct plog *l, char out[IO_PATH_BYTES_MAX], const char *name)
{
    const char *slash = name[0] ? "/" : "";
    int n = snprintf(out, IO_PATH_BYTES_MAX, "%s/%s%s%s", l->dir->path, l->folder, slash, name);
    return n > 0 && n < IO_PATH_BYTES_MAX ? RC_OK : RC_INVALID;
}

const char *plog_file_suffix(enum store_file_kind kind)
{
    switch (kind) {
    case STORE_FILE_LOG:
        return ".log";
    case STORE_FILE_INDEX:
        return ".index";
    case STORE_FILE_TIME_INDEX:
        return ".timeindex";
    case STORE_FILE_TXN_INDEX:
        return ".txnindex";
    case STORE_FILE_INDEX_BESIDE:
        return ".index.tmp";
    case STORE_FILE_TIME_INDEX_BESIDE:
        return ".timeindex.tmp";
    }
    UNREACHABLE();
}

enum rc plog_file(struct plog *l, enum store_file_kind kind, int64_t segment_base, unsigned flags,
                  struct store_file **out)
{
    uint64_t now = io_now_ns(l->store->io);
    plog_touch(l);
    *out = file_cache_find(&l->open_files, kind, segment_base, now);
    if (*out)
        return flags & IO_OPEN_TRUNCATE ? io_file_truncate(&(*out)->file, 0) : RC_OK;
    char name[SEGMENT_NAME_BYTES], path[IO_PATH_BYTES_MAX];
    segment_name(name, segment_base, plog_file_suffix(kind));
    enum rc rc = plog_path(l, path, name);
    if (rc)
        return rc;
    rc = file_cache_open(&l->store->files, l->store->io, &l->open_files, kind, segment_base, path,
                         flags | IO_OPEN_READ | IO_OPEN_WRITE, now, out);
    if (rc == RC_OK)
        (*out)->opened_end = l->next;
    return rc;
}

void plog_fail_dir(struct plog *l, enum rc rc, const char *what)
{
    char path[IO_PATH_BYTES_MAX];
    if (plog_path(l, path, "") != RC_OK)
        path[0] = 0;
    log_dir_fail(l->dir, l->store->io, rc, what, path);
    l->state = PLOG_OFFLINE;
}

struct plog_segment plog_segment_at(const struct plog *l, uint32_t ordinal)
{
    if (ordinal == l->sealed_count)
        return (struct plog_segment){
            .base_offset = l->active.base_offset,
            .next_base = l->written,
            .bytes = l->active.bytes,
            .active = true,
            .ordinal = ordinal,
        };
    bool last = ordinal + 1 == l->sealed_count;
    return (struct plog_segment){
        .base_offset = l->sealed[ordinal].base_offset,
        .next_base = last ? l->active.base_offset : l->sealed[ordinal + 1].base_offset,
        .bytes = l->sealed[ordinal].bytes,
        .ordinal = ordinal,
    };
}

struct plog_segment plog_segment_of(const struct plog *l, int64_t offset)
{
    if (offset >= l->active.base_offset || l->sealed_count == 0)
        return plog_segment_at(l, l->sealed_count);
    uint32_t lo = 0, hi = l->sealed_count; // the first whose base lies past offset
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (l->sealed[mid].base_offset <= offset)
            lo = mid + 1;
        else
            hi = mid;
    }
    return plog_segment_at(l, lo ? lo - 1 : 0);
}

void plog_hint_put(struct plog *l, int64_t offset, int64_t segment_base, uint32_t position, bool reader)
{
    unsigned half = PLOG_HINTS / 2;
    struct plog_hint *hints = l->hints + (reader ? half : 0);
    for (unsigned i = 0; i < half; i++)
        if (hints[i].offset == offset)
            return;
    hints[l->hint_next[reader]++ % half] = (struct plog_hint){offset, segment_base, position};
}

void plog_hints_clear(struct plog *l)
{
    for (unsigned i = 0; i < PLOG_HINTS; i++)
        l->hints[i].offset = OFFSET_NONE;
}

void plog_active_init(struct plog *l, int64_t base_offset)
{
    struct segment_active *a = &l->active;
    index_tail_deinit(&a->index);
    index_tail_deinit(&a->time_index);
    *a = (struct segment_active){
        .base_offset = base_offset,
        .timestamp_max = TIMESTAMP_NONE,
        .timestamp_max_offset = OFFSET_NONE,
        .timestamp_first = TIMESTAMP_NONE,
        .made_ms = io_wall_ms(l->store->io),
    };
    a->index.last_key = a->time_index.last_key = -1;
    if (l->config->segment_jitter_ms > 0)
        a->jitter_ms = (int64_t)prng_below(&l->store->files.prng, (uint64_t)l->config->segment_jitter_ms);
}

enum rc plog_sealed_push(struct plog *l, const struct segment *s)
{
    if (l->sealed_count == l->sealed_cap) {
        uint32_t cap = l->sealed_cap ? l->sealed_cap * 2 : 4;
        struct segment *sealed = realloc(l->sealed, cap * sizeof(*sealed));
        if (!sealed)
            return RC_NOMEM;
        l->sealed = sealed;
        l->sealed_cap = cap;
    }
    l->sealed[l->sealed_count++] = *s;
    l->sealed_bytes += s->bytes;
    return RC_OK;
}

// The marker of a control batch: key {i16 version, i16 type: 0 abort, 1 commit}, value {i16 version, i32 coordinator
// epoch} (KIP-98). Bytes that are not that form count as an abort by nobody.
static void plog_marker_of(const struct batch_header *h, struct bytes batch, struct producer_append *out)
{
    struct batch_iter it;
    struct record r;
    out->coordinator_epoch = -1;
    if (batch.n <= BATCH_HEADER_BYTES || batch_codec(h) != 0)
        return;
    batch_iter_init(&it, h, bytes_of(batch.p + BATCH_HEADER_BYTES, batch.n - BATCH_HEADER_BYTES));
    if (!batch_iter_next(&it, &r))
        return;
    if (r.key.p && r.key.n >= 4)
        out->control_commit = be16(r.key.p + 2) == 1;
    if (r.value.p && r.value.n >= 6)
        out->coordinator_epoch = (int32_t)be32(r.value.p + 2);
}

void plog_producer_append_of(const struct batch_header *h, struct bytes batch, struct producer_append *out)
{
    *out = (struct producer_append){
        .producer_id = h->producer_id,
        .epoch = h->producer_epoch,
        .base_sequence = h->base_sequence,
        .records = h->last_offset_delta + 1,
        .base_offset = h->base_offset,
        .timestamp_max = h->max_timestamp,
        .transactional = (h->attributes & BATCH_ATTR_TRANSACTIONAL) != 0,
        .control = (h->attributes & BATCH_ATTR_CONTROL) != 0,
        .coordinator_epoch = -1,
    };
    if (out->control)
        plog_marker_of(h, batch, out);
}

void plog_note_high_watermark(struct plog *l, int64_t offset)
{
    l->high_watermark = offset;
    compact_note_high_watermark(l);
}

// ------------------------------------------------------------------------------------------------ epochs, producers

enum rc plog_begin_epoch(struct plog *l, int32_t leader_epoch)
{
    if (l->state == PLOG_AT_REST) { // nothing is appended before it is opened, so the offset stays the same
        l->epoch_to_begin = leader_epoch;
        return RC_OK;
    }
    enum rc rc = plog_ready(l);
    if (rc || !plog_is_still(l)) // batches of the epoch before are on their way: the first one of this notes it
        return rc;
    return epoch_cache_begin(&l->epochs, leader_epoch, l->written);
}

enum rc plog_epoch_end(struct plog *l, int32_t leader_epoch, int32_t *found_epoch, int64_t *end_offset)
{
    enum rc rc = plog_ready(l);
    if (rc == RC_OK)
        epoch_cache_end(&l->epochs, leader_epoch, l->written, found_epoch, end_offset);
    return rc;
}

int32_t plog_epoch_at(struct plog *l, int64_t offset)
{
    return plog_ready(l) ? LEADER_EPOCH_NONE : epoch_cache_at(&l->epochs, offset);
}

enum rc plog_each_producer(struct plog *l, void (*visit)(void *context, const struct producer_entry *e), void *context)
{
    enum rc rc = plog_ready(l);
    if (rc)
        return rc;
    for (struct map_node *n = map_first(&l->producers.map); n; n = map_next(&l->producers.map, n)) {
        const struct producer_entry *e = container_of(n, const struct producer_entry, node);
        if (!e->refused)
            visit(context, e);
    }
    return RC_OK;
}

int64_t plog_first_unstable_offset(const struct plog *l)
{
    return producer_state_first_unstable(&l->producers);
}
