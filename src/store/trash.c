// SPDX-License-Identifier: Apache-2.0
//
// Paced removal; see trash.h. A folder that is due becomes its files, then itself.
#include "store/trash.h"
#include "base/assert.h"
#include "base/heap.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRASH_IN_FLIGHT_MAX = 16 };

struct trash_item {
    struct heap_node due;  // by time, until it is
    struct list_node link; // then in `ready`
    struct store_trash *trash;
    struct trash_item *folder; // the folder this file must leave first, or NULL
    struct io_op op;
    uint32_t children; // files still to be removed
    bool is_folder, listed;
    char path[];
};

struct store_trash {
    struct store *store;
    struct heap by_time;
    struct list ready;
    uint32_t in_flight;
};

enum rc trash_create(struct store_trash **out, struct store *s)
{
    struct store_trash *t = calloc(1, sizeof(*t));
    if (!t)
        return RC_NOMEM;
    t->store = s;
    heap_init(&t->by_time);
    list_init(&t->ready);
    *out = t;
    return RC_OK;
}

void trash_destroy(struct store_trash *t)
{
    struct list_node *n;
    struct heap_node *h;
    ASSERT(t->in_flight == 0);
    while ((h = heap_first(&t->by_time))) {
        heap_remove(&t->by_time, h);
        free(container_of(h, struct trash_item, due));
    }
    while ((n = list_pop_front(&t->ready))) {
        struct trash_item *item = list_entry(n, struct trash_item, link);
        if (item->folder && --item->folder->children == 0)
            free(item->folder);
        free(item);
    }
    heap_deinit(&t->by_time);
    free(t);
}

bool trash_is_busy(const struct store_trash *t)
{
    return t->in_flight > 0 || !list_empty(&t->ready);
}

bool trash_is_removing(const struct store_trash *t)
{
    return t->in_flight > 0;
}

static struct trash_item *trash_item_create(struct store_trash *t, const char *path, bool is_folder)
{
    size_t n = strlen(path) + 1;
    struct trash_item *item = calloc(1, sizeof(*item) + n);
    if (!item)
        return NULL;
    item->trash = t;
    item->is_folder = is_folder;
    memcpy(item->path, path, n);
    return item;
}

enum rc trash_put(struct store_trash *t, const char *path, bool is_folder, int64_t delay_ms)
{
    struct trash_item *item = trash_item_create(t, path, is_folder);
    if (!item)
        return RC_NOMEM;
    uint64_t delay_ns = delay_ms > 0 ? (uint64_t)delay_ms * 1000000u : 0;
    enum rc rc = heap_push(&t->by_time, &item->due, io_now_ns(t->store->io) + delay_ns);
    if (rc)
        free(item);
    return rc;
}

static void trash_removed(struct io_op *op, enum rc rc, size_t bytes)
{
    struct trash_item *item = container_of(op, struct trash_item, op);
    struct store_trash *t = item->trash;
    struct trash_item *folder = item->folder;
    (void)bytes;
    t->in_flight--;
    if (rc && rc != RC_NOT_FOUND)
        trace_warn(t->store->trace, "cannot remove %s: %s", item->path, rc_text(rc));
    else
        t->store->counters.files_removed++;
    free(item);
    if (folder && --folder->children == 0)
        list_push_back(&t->ready, &folder->link);
    if (t->in_flight <= TRASH_IN_FLIGHT_MAX / 2 && (!list_empty(&t->ready) || heap_first(&t->by_time)))
        store_want_work(t->store);
}

static void trash_visit(void *context, const char *name, bool is_dir)
{
    struct trash_item *folder = context;
    char path[IO_PATH_BYTES_MAX];
    if (is_dir || snprintf(path, sizeof(path), "%s/%s", folder->path, name) >= (int)sizeof(path))
        return; // nothing of ours; the folder stays, with a line
    struct trash_item *item = trash_item_create(folder->trash, path, false);
    if (!item)
        return;
    item->folder = folder;
    folder->children++;
    list_push_back(&folder->trash->ready, &item->link);
}

static void trash_start(struct store_trash *t, struct trash_item *item)
{
    if (item->is_folder && !item->listed) {
        item->listed = true;
        (void)io_list_dir(t->store->io, item->path, trash_visit, item);
        if (item->children > 0)
            return; // comes back when its last file is gone
    }
    t->in_flight++;
    item->op.done = trash_removed;
    io_remove(&item->op, t->store->io, item->path);
}

uint64_t trash_step(struct store_trash *t, uint64_t now_ns, uint64_t deadline_ns, bool *more)
{
    struct heap_node *h;
    struct list_node *n;
    while ((h = heap_first(&t->by_time)) && h->key <= now_ns && t->ready.count < TRASH_IN_FLIGHT_MAX) {
        heap_remove(&t->by_time, h);
        list_push_back(&t->ready, &container_of(h, struct trash_item, due)->link);
    }
    while (t->in_flight < TRASH_IN_FLIGHT_MAX && (n = list_pop_front(&t->ready))) {
        trash_start(t, list_entry(n, struct trash_item, link));
        if (io_clock_ns(t->store->io) > deadline_ns) {
            *more = t->in_flight < TRASH_IN_FLIGHT_MAX && (!list_empty(&t->ready) || heap_first(&t->by_time));
            break;
        }
    }
    if (t->in_flight >= TRASH_IN_FLIGHT_MAX) // the removals themselves come back
        return UINT64_MAX;
    h = heap_first(&t->by_time);
    if (h && h->key <= now_ns)
        *more = true;
    return h ? h->key : UINT64_MAX;
}
