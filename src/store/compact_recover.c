// SPDX-License-Identifier: Apache-2.0
//
// What a start does with the files of a compaction that was under way; compact.h says why this is right.
#include "base/assert.h"
#include "store/compact_private.h"
#include "store/recovery.h"

#include <stdlib.h>
#include <string.h>

enum leftover_kind { LEFTOVER_WITNESS, LEFTOVER_LOG, LEFTOVER_OTHER };

struct leftover {
    int64_t base_offset;
    enum leftover_kind kind;
    char suffix[24];
};

struct leftovers {
    struct leftover *v;
    uint32_t count, cap;
    bool nomem;
};

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

bool compact_is_swap_name(const char *suffix)
{
    return ends_with(suffix, ".cleaned") || ends_with(suffix, ".swap");
}

static void leftover_visit(void *context, const char *name, bool is_dir)
{
    struct leftovers *all = context;
    const char *suffix;
    int64_t base;
    if (is_dir || !segment_name_parse(name, &base, &suffix) || strlen(suffix) >= sizeof(all->v->suffix))
        return;
    bool is_log = strcmp(suffix, ".log") == 0;
    if (!is_log && !compact_is_swap_name(suffix))
        return;
    if (all->count == all->cap) {
        uint32_t cap = all->cap ? all->cap * 2 : 16;
        struct leftover *v = realloc(all->v, cap * sizeof(*v));
        all->nomem = all->nomem || !v;
        if (!v)
            return;
        all->v = v;
        all->cap = cap;
    }
    struct leftover *f = &all->v[all->count++];
    *f = (struct leftover){.base_offset = base, .kind = is_log ? LEFTOVER_LOG : LEFTOVER_OTHER};
    if (strcmp(suffix, ".log.swap") == 0)
        f->kind = LEFTOVER_WITNESS;
    memcpy(f->suffix, suffix, strlen(suffix) + 1);
}

// The last offset the new segment covers: that of its own last batch.
static enum rc witness_end(struct plog *l, int64_t base_offset, int64_t *last_offset)
{
    char path[IO_PATH_BYTES_MAX];
    struct io_file f;
    struct batch_scan scan;
    struct batch_header h;
    uint64_t size = 0;
    enum rc rc = compact_path(l, path, base_offset, ".log.swap");
    if (rc == RC_OK)
        rc = io_file_open(l->store->io, &f, path, IO_OPEN_READ, IO_FILE_LOG);
    if (rc)
        return rc;
    *last_offset = OFFSET_NONE;
    rc = io_file_size(&f, &size);
    if (rc == RC_OK && (size == 0 || size > INT32_MAX))
        rc = RC_CORRUPT;
    batch_scan_init(&scan, &f, (uint32_t)size, false);
    for (uint32_t at = 0; rc == RC_OK && at < size; at += (uint32_t)batch_bytes(&h)) {
        rc = batch_scan_at(&scan, at, &h);
        if (rc == RC_OK && (h.base_offset < base_offset || h.base_offset <= *last_offset))
            rc = RC_CORRUPT;
        if (rc == RC_OK)
            *last_offset = batch_last_offset(&h);
    }
    io_file_close(&f);
    return rc;
}

static enum rc leftover_rename(struct plog *l, int64_t base_offset, const char *from_suffix, const char *to_suffix)
{
    enum rc rc = compact_rename(l, base_offset, from_suffix, to_suffix);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

// SWAP and END, as far as they are not done.
static enum rc complete(struct plog *l, const struct leftovers *all, int64_t base)
{
    int64_t last;
    enum rc rc = witness_end(l, base, &last);
    if (rc == RC_CORRUPT || rc == RC_EOF)
        return plog_damaged(l, base, "the compacted segment that was to be swapped in is not whole");
    for (uint32_t i = 0; rc == RC_OK && i < all->count; i++) {
        const struct leftover *f = &all->v[i];
        if (f->kind == LEFTOVER_LOG && f->base_offset > base && f->base_offset <= last)
            plog_drop_files(l, f->base_offset, 0);
        else if (f->kind == LEFTOVER_LOG && f->base_offset == base)
            rc = compact_put_aside(l, base, ".log", 0);
        if (log_dir_is_offline(l->dir))
            rc = RC_OFFLINE;
    }
    if (rc == RC_OK)
        rc = leftover_rename(l, base, ".index.swap", ".index");
    if (rc == RC_OK)
        rc = leftover_rename(l, base, ".timeindex.swap", ".timeindex");
    if (rc == RC_OK)
        rc = leftover_rename(l, base, ".txnindex.swap", ".txnindex");
    if (rc == RC_OK)
        rc = plog_sync_names(l);
    if (rc == RC_OK)
        rc = leftover_rename(l, base, ".log.swap", ".log");
    if (rc)
        return rc;
    compactor_note_completed(l->store->compactor);
    trace_info(l->store->trace, "%s/%s: the swap of compacted segment %lld was completed", l->dir->path, l->folder,
               (long long)base);
    return RC_OK;
}

enum rc compact_recover(struct plog *l)
{
    struct leftovers all = {0};
    char path[IO_PATH_BYTES_MAX];
    enum rc rc = plog_path(l, path, "");
    if (rc == RC_OK)
        rc = io_list_dir(l->store->io, path, leftover_visit, &all);
    if (rc == RC_OK && all.nomem)
        rc = RC_NOMEM;
    for (uint32_t i = 0; rc == RC_OK && i < all.count; i++)
        if (all.v[i].kind == LEFTOVER_WITNESS)
            rc = complete(l, &all, all.v[i].base_offset);
    // What is left of the others belongs to no swap that was promised.
    for (uint32_t i = 0; rc == RC_OK && i < all.count; i++)
        if (all.v[i].kind == LEFTOVER_OTHER)
            rc = compact_put_aside(l, all.v[i].base_offset, all.v[i].suffix, 0);
    free(all.v);
    return rc;
}
