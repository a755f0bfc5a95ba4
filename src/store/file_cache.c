// SPDX-License-Identifier: Apache-2.0
//
// The cache of open files; see file_cache.h.
#include "store/file_cache.h"
#include "base/assert.h"

#include <stdlib.h>

enum { FILE_CACHE_DRAWS = 8, FILE_CACHE_SLOTS_MIN = 16 };

enum rc file_cache_init(struct file_cache *c, uint32_t files_max, uint64_t seed)
{
    ASSERT(files_max >= 8);
    *c = (struct file_cache){.max = files_max};
    prng_init(&c->prng, seed);
    return RC_OK;
}

void file_cache_deinit(struct file_cache *c)
{
    ASSERT(c->count == 0);
    free(c->slots);
    *c = (struct file_cache){0};
}

struct store_file *file_cache_find(struct list *owner, enum store_file_kind kind, int64_t segment_base, uint64_t now_ns)
{
    // A log has a handful of open files, the one it appends to first.
    for (struct list_node *n = list_first(owner); n; n = list_next(owner, n)) {
        struct store_file *f = list_entry(n, struct store_file, link);
        if (f->segment_base == segment_base && f->kind == kind) {
            f->used_ns = now_ns;
            return f;
        }
    }
    return NULL;
}

// Takes f out of the table and closes it.
static void file_cache_close(struct store_file *f)
{
    struct file_cache *c = f->cache;
    ASSERT(f->pins == 0 && c->slots[f->slot] == f);
    c->slots[f->slot] = c->slots[--c->count];
    c->slots[f->slot]->slot = f->slot;
    io_file_close(&f->file);
    free(f);
}

// A log is asked for at each append and read, its indexes once a recovery point or by who begins to read: they go first.
static bool file_cache_goes_before(const struct store_file *a, const struct store_file *b)
{
    bool a_is_log = a->kind == STORE_FILE_LOG, b_is_log = b->kind == STORE_FILE_LOG;
    return a_is_log == b_is_log ? a->used_ns < b->used_ns : b_is_log;
}

// Closes one of a few unpinned files drawn at random; false when none of them is unpinned.
static bool file_cache_evict(struct file_cache *c)
{
    struct store_file *first = NULL;
    for (int i = 0; i < FILE_CACHE_DRAWS; i++) {
        struct store_file *f = c->slots[prng_below(&c->prng, c->count)];
        if (f->pins == 0 && (!first || file_cache_goes_before(f, first)))
            first = f;
    }
    if (!first)
        return false;
    c->evicted++;
    file_cache_drop(first);
    return true;
}

static enum rc file_cache_reserve(struct file_cache *c)
{
    if (c->count < c->cap)
        return RC_OK;
    uint32_t cap = c->cap ? c->cap * 2 : FILE_CACHE_SLOTS_MIN;
    struct store_file **slots = realloc(c->slots, cap * sizeof(struct store_file *));
    if (!slots)
        return RC_NOMEM;
    c->slots = slots;
    c->cap = cap;
    return RC_OK;
}

enum rc file_cache_open(struct file_cache *c, struct io *io, struct list *owner, enum store_file_kind kind,
                        int64_t segment_base, const char *path, unsigned flags, uint64_t now_ns,
                        struct store_file **out)
{
    // One more than comes in, so that what pins have pushed past the bound goes back.
    for (int i = 0; i < 2 && c->count >= c->max && file_cache_evict(c); i++) {
    }
    enum rc rc = file_cache_reserve(c);
    if (rc)
        return rc;
    struct store_file *f = calloc(1, sizeof(*f));
    if (!f)
        return RC_NOMEM;
    rc = io_file_open(io, &f->file, path, flags, kind == STORE_FILE_LOG ? IO_FILE_LOG : IO_FILE_OTHER);
    if (rc) {
        free(f);
        return rc;
    }
    f->segment_base = segment_base;
    f->used_ns = now_ns;
    f->kind = kind;
    f->owner = owner;
    f->cache = c;
    f->slot = c->count;
    c->slots[c->count++] = f;
    c->opened++;
    list_push_front(owner, &f->link);
    *out = f;
    return RC_OK;
}

void file_cache_pin(struct store_file *f)
{
    f->pins++;
}

void file_cache_unpin(struct store_file *f)
{
    ASSERT(f->pins > 0);
    if (--f->pins == 0 && !f->owner)
        file_cache_close(f);
}

void file_cache_drop(struct store_file *f)
{
    ASSERT(f->owner != NULL);
    list_remove(f->owner, &f->link);
    f->owner = NULL;
    if (f->pins == 0)
        file_cache_close(f);
}

void file_cache_drop_all(struct list *owner)
{
    struct list_node *n;
    while ((n = list_first(owner)))
        file_cache_drop(list_entry(n, struct store_file, link));
}
