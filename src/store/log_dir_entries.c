// SPDX-License-Identifier: Apache-2.0
//
// What the checkpoint of a log folder means: the entries it adds up to, and the image that replaces it when it has
// grown to twice what still counts.
#include "base/assert.h"
#include "store/future.h"
#include "store/log_dir_private.h"

#include <stdlib.h>

enum { ENTRIES_REPLACE_SLACK_RECORDS = 1024, ENTRY_RECORDS_MAX = 6 };

static bool log_dir_entry_eq(const struct map_node *n, const void *key)
{
    return topic_partition_eq(container_of(n, const struct log_dir_entry, node)->id,
                              *(const struct topic_partition *)key);
}

static struct log_dir_entry *log_dir_entry_get(const struct log_dir *d, struct topic_partition id)
{
    struct map_node *n = map_find(&d->entries, topic_partition_hash(id), log_dir_entry_eq, &id);
    return n ? container_of(n, struct log_dir_entry, node) : NULL;
}

const struct log_dir_entry *log_dir_find(const struct log_dir *d, struct topic_partition id)
{
    return log_dir_entry_get(d, id);
}

struct log_dir_entry log_dir_entry_none(struct topic_partition id)
{
    return (struct log_dir_entry){
        .id = id,
        .recovery_point.offset = OFFSET_NONE,
        .mark.offset = OFFSET_NONE,
        .high_watermark = OFFSET_NONE,
        .start = OFFSET_NONE,
        .cleaned = OFFSET_NONE,
    };
}

static struct log_dir_entry *log_dir_entry_make(struct log_dir *d, struct topic_partition id)
{
    struct log_dir_entry *e = log_dir_entry_get(d, id);
    if (e)
        return e;
    e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    *e = log_dir_entry_none(id);
    if (map_insert(&d->entries, &e->node, topic_partition_hash(id))) {
        free(e);
        return NULL;
    }
    return e;
}

static void log_dir_entry_remove(struct log_dir *d, struct topic_partition id)
{
    struct log_dir_entry *e = log_dir_entry_get(d, id);
    if (!e)
        return;
    map_remove(&d->entries, &e->node);
    free(e);
}

// A clean stop synced everything: written marks are as good as recovery points.
static void log_dir_entries_promote(struct log_dir *d)
{
    for (struct map_node *n = map_first(&d->entries); n; n = map_next(&d->entries, n)) {
        struct log_dir_entry *e = container_of(n, struct log_dir_entry, node);
        if (e->clean) {
            e->recovery_point = *log_dir_entry_latest(e);
            e->begins = false;
        }
        e->has_mark = false;
    }
}

// The page cache of another boot is gone: only recovery points hold.
static void log_dir_entries_forget_marks(struct log_dir *d)
{
    for (struct map_node *n = map_first(&d->entries); n; n = map_next(&d->entries, n)) {
        struct log_dir_entry *e = container_of(n, struct log_dir_entry, node);
        e->has_mark = false;
        e->clean = false;
    }
}

// What moved logs between folders had not come to its end: it begins again.
static void log_dir_entries_forget_futures(struct log_dir *d)
{
    for (struct map_node *n = map_first(&d->entries), *next; n; n = next) {
        next = map_next(&d->entries, n);
        struct log_dir_entry *e = container_of(n, struct log_dir_entry, node);
        if (!future_is_id(e->id))
            continue;
        map_remove(&d->entries, n);
        free(e);
    }
}

static void log_dir_boot_apply(struct log_dir *d, uint64_t boot)
{
    if (d->stopped_seen)
        log_dir_entries_promote(d);
    else if (d->boot_seen != boot || boot == 0)
        log_dir_entries_forget_marks(d);
    d->boot_seen = boot;
}

static void log_dir_partition_apply(struct log_dir *d, struct log_dir_entry *e, const struct checkpoint_record *r)
{
    const struct log_dir_mark mark = {
        .offset = r->offset,
        .segment_base = r->segment_base,
        .position = r->position,
        .leader_epoch = r->leader_epoch,
        .timed = (r->flags & CHECKPOINT_FLAG_TIMED) != 0,
        .timestamp = r->timestamp,
    };
    (void)d;
    switch ((enum checkpoint_type)r->type) {
    case CHECKPOINT_RECOVERY_POINT:
        e->recovery_point = mark;
        e->begins = (r->flags & CHECKPOINT_FLAG_BEGINS) != 0;
        if (e->begins)
            e->start = mark.offset;
        e->clean = (r->flags & CHECKPOINT_FLAG_CLEAN) != 0;
        if (e->has_mark && (e->mark.offset <= mark.offset || (r->flags & CHECKPOINT_FLAG_RESET)))
            e->has_mark = false;
        if ((r->flags & CHECKPOINT_FLAG_RESET) && e->cleaned > mark.offset)
            e->cleaned = mark.offset;
        break;
    case CHECKPOINT_MARK:
        e->mark = mark;
        e->has_mark = true;
        e->clean = (r->flags & CHECKPOINT_FLAG_CLEAN) != 0;
        break;
    case CHECKPOINT_DIRTY:
        e->clean = false;
        break;
    case CHECKPOINT_HIGH_WATERMARK:
        e->high_watermark = r->offset;
        break;
    case CHECKPOINT_START:
        e->start = r->offset;
        break;
    case CHECKPOINT_CLEANED:
        e->cleaned = r->offset;
        break;
    case CHECKPOINT_MOVES:
        e->moves = (uint32_t)r->offset;
        break;
    case CHECKPOINT_BOOT:
    case CHECKPOINT_REMOVED:
    case CHECKPOINT_STOPPED:
        UNREACHABLE();
    }
}

enum rc log_dir_entry_apply(void *context, const struct checkpoint_record *r)
{
    struct log_dir *d = context;
    enum rc rc = RC_OK;
    if (r->type == CHECKPOINT_BOOT) {
        log_dir_boot_apply(d, r->boot);
    } else if (r->type == CHECKPOINT_REMOVED) {
        log_dir_entry_remove(d, r->id);
    } else if (r->type != CHECKPOINT_STOPPED) {
        struct log_dir_entry *e = log_dir_entry_make(d, r->id);
        if (e)
            log_dir_partition_apply(d, e, r);
        else
            rc = RC_NOMEM;
    }
    d->stopped_seen = r->type == CHECKPOINT_STOPPED;
    return rc;
}

void log_dir_entries_loaded(struct log_dir *d)
{
    bool fresh = d->checkpoint.bytes == 0 && !d->identity.formatted;
    d->clean_stopped = d->stopped_seen;
    d->whole = fresh || d->stopped_seen || (d->boot && d->boot_seen == d->boot && !d->suspect);
    log_dir_boot_apply(d, d->boot);
    if (d->suspect && !d->clean_stopped)
        log_dir_entries_forget_marks(d);
    log_dir_entries_forget_futures(d);
    d->stopped_seen = false;
}

void log_dir_entries_free(struct log_dir *d)
{
    for (struct map_node *n = map_first(&d->entries), *next; n; n = next) {
        next = map_next(&d->entries, n);
        map_remove(&d->entries, n);
        free(container_of(n, struct log_dir_entry, node));
    }
    map_deinit(&d->entries);
}

bool log_dir_entries_worth_replacing(const struct log_dir *d)
{
    uint64_t live = (uint64_t)d->entries.count * ENTRY_RECORDS_MAX + ENTRIES_REPLACE_SLACK_RECORDS;
    return d->checkpoint.bytes > 2 * live * CHECKPOINT_RECORD_BYTES;
}

static void image_put(struct buf *image, struct checkpoint_record r)
{
    uint8_t *p = buf_extend(image, CHECKPOINT_RECORD_BYTES);
    if (p)
        checkpoint_encode(&r, p);
}

static struct checkpoint_record record_of_mark(enum checkpoint_type type, const struct log_dir_entry *e,
                                               const struct log_dir_mark *m)
{
    return (struct checkpoint_record){
        .type = (uint8_t)type,
        .flags = (uint16_t)((e->clean ? CHECKPOINT_FLAG_CLEAN : 0) | (m->timed ? CHECKPOINT_FLAG_TIMED : 0)),
        .id = e->id,
        .offset = m->offset,
        .segment_base = m->segment_base,
        .position = m->position,
        .leader_epoch = m->leader_epoch,
        .timestamp = m->timestamp,
    };
}

static void image_put_entry(struct buf *image, const struct log_dir_entry *e)
{
    if (e->recovery_point.offset != OFFSET_NONE) {
        struct checkpoint_record point = record_of_mark(CHECKPOINT_RECOVERY_POINT, e, &e->recovery_point);
        point.flags |= e->begins ? CHECKPOINT_FLAG_BEGINS : 0;
        image_put(image, point);
    }
    if (e->has_mark)
        image_put(image, record_of_mark(CHECKPOINT_MARK, e, &e->mark));
    if (e->high_watermark != OFFSET_NONE)
        image_put(image, (struct checkpoint_record){
                             .type = CHECKPOINT_HIGH_WATERMARK, .id = e->id, .offset = e->high_watermark});
    if (e->start != OFFSET_NONE)
        image_put(image, (struct checkpoint_record){.type = CHECKPOINT_START, .id = e->id, .offset = e->start});
    if (e->cleaned != OFFSET_NONE)
        image_put(image, (struct checkpoint_record){.type = CHECKPOINT_CLEANED, .id = e->id, .offset = e->cleaned});
    if (e->moves)
        image_put(image, (struct checkpoint_record){.type = CHECKPOINT_MOVES, .id = e->id, .offset = e->moves});
}

enum rc log_dir_entries_replace(struct log_dir *d)
{
    struct buf image;
    buf_init(&image, SIZE_MAX);
    image_put(&image, (struct checkpoint_record){.type = CHECKPOINT_BOOT, .boot = d->boot});
    for (struct map_node *n = map_first(&d->entries); n; n = map_next(&d->entries, n))
        image_put_entry(&image, container_of(n, const struct log_dir_entry, node));
    enum rc rc = image.failed ? RC_NOMEM : checkpoint_replace_begin(&d->checkpoint, d->io, buf_bytes(&image));
    buf_deinit(&image);
    return rc;
}
