// SPDX-License-Identifier: Apache-2.0
//
// Life, space and contents of a log folder; see log_dir.h. Identity is in log_dir_identity.c, the checkpoint's entries
// in log_dir_entries.c, syncs in log_dir_sync.c, failures in log_dir_failed.c.
#include "store/log_dir.h"
#include "base/assert.h"
#include "store/folder.h"
#include "store/log_dir_private.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#define LOG_DIR_SPACE_CHECK_NS UINT64_C(1000000000)
#define LOG_DIR_RESERVE_BYTES_MAX (UINT64_C(256) << 20)

static enum rc log_dir_lock(struct log_dir *d, char *why, size_t why_bytes)
{
    char path[IO_PATH_BYTES_MAX];
    enum rc rc = log_dir_path(d, path, ".lock");
    if (rc == RC_OK)
        rc = io_file_open(d->io, &d->lock, path, IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE, IO_FILE_OTHER);
    if (rc) {
        snprintf(why, why_bytes, "cannot write to the log folder %s: %s; give weir the right to write there", d->path,
                 rc_text(rc));
        return rc;
    }
    rc = io_file_lock(&d->lock);
    if (rc)
        snprintf(why, why_bytes, "the log folder %s is in use by another process; stop it or choose another folder",
                 d->path);
    return rc;
}

static enum rc log_dir_open_checkpoint(struct log_dir *d, char *why, size_t why_bytes)
{
    char path[IO_PATH_BYTES_MAX], boot_id[IO_BOOT_ID_BYTES];
    io_boot_id(d->io, boot_id);
    // Zero is "cannot be known": never equal to anything.
    d->boot = boot_id[0] ? XXH3_64bits(boot_id, strlen(boot_id)) | 1 : 0;
    log_dir_failed_read(d);
    enum rc rc = log_dir_path(d, path, "weir-checkpoint");
    if (rc == RC_OK)
        rc = checkpoint_open(&d->checkpoint, d->io, d->trace, path, log_dir_entry_apply, d);
    if (rc) {
        snprintf(why, why_bytes, "cannot read the checkpoint of the log folder %s: %s", d->path, rc_text(rc));
        return rc;
    }
    log_dir_entries_loaded(d);
    return RC_OK;
}

static enum rc log_dir_open_all(struct log_dir *d, char *why, size_t why_bytes)
{
    enum rc rc = folder_make(d->io, d->path);
    if (rc && rc != RC_EXISTS) {
        snprintf(why, why_bytes, "cannot make the log folder %s: %s; make it or choose another (log.dirs, --data)", d->path,
                 rc_text(rc));
        return rc;
    }
    rc = log_dir_lock(d, why, why_bytes);
    if (rc)
        return rc;
    rc = io_file_open(d->io, &d->self, d->path, IO_OPEN_READ | IO_OPEN_DIRECTORY, IO_FILE_OTHER);
    if (rc) {
        snprintf(why, why_bytes, "cannot open the log folder %s: %s", d->path, rc_text(rc));
        return rc;
    }
    rc = log_dir_identity_read(d, why, why_bytes);
    return rc ? rc : log_dir_open_checkpoint(d, why, why_bytes);
}

enum rc log_dir_open(struct log_dir *d, struct io *io, struct trace_sink *trace, const char *path, char *why,
                     size_t why_bytes)
{
    *d = (struct log_dir){.io = io, .trace = trace, .peer = d};
    list_init(&d->waiting);
    list_init(&d->syncing);
    map_init(&d->entries);
    // Room for the longest name inside: "<topic>-<partition>.<uuid>-delete/<segment>".
    if (snprintf(d->path, sizeof(d->path), "%s", path) >= (int)sizeof(d->path) - 400) {
        snprintf(why, why_bytes, "the path of the log folder is too long: %s", path);
        return RC_INVALID;
    }
    enum rc rc = log_dir_open_all(d, why, why_bytes);
    if (rc) {
        log_dir_close(d);
        return rc;
    }
    struct io_space space;
    if (io_space(io, d->path, &space) == RC_OK)
        d->reserve_bytes =
            space.total_bytes / 100 < LOG_DIR_RESERVE_BYTES_MAX ? space.total_bytes / 100 : LOG_DIR_RESERVE_BYTES_MAX;
    return RC_OK;
}

enum rc log_dir_start(struct log_dir *d)
{
    ASSERT(!d->started);
    const struct checkpoint_record boot = {.type = CHECKPOINT_BOOT, .boot = d->boot};
    enum rc rc = RC_OK;
    // Of a suspect one the tail may be in the page cache only.
    if (d->suspect || log_dir_entries_worth_replacing(d)) {
        rc = log_dir_entries_replace(d);
        if (rc == RC_OK)
            rc = io_file_sync_now(&d->checkpoint.next);
        if (rc == RC_OK)
            rc = checkpoint_replace_finish(&d->checkpoint, d->io);
        d->names_synced = false;
    }
    if (rc == RC_OK)
        rc = checkpoint_append(&d->checkpoint, &boot);
    // Without it the checkpoint of a folder just formatted is empty, which says no more than that nothing is known.
    if (rc == RC_OK && d->checkpoint.bytes > CHECKPOINT_RECORD_BYTES)
        rc = io_file_sync_now(&d->checkpoint.file);
    if (rc == RC_OK && !d->names_synced)
        rc = log_dir_sync_names(d);
    if (rc == RC_OK)
        (void)log_dir_failed_prepare(d); // on a full disk the word has to find its place when it is needed
    d->started = rc == RC_OK;
    if (rc)
        log_dir_fail(d, d->io, rc, "noting the start in the checkpoint of", d->path);
    return rc;
}

void log_dir_close(struct log_dir *d)
{
    ASSERT(log_dir_is_idle(d));
    log_dir_leave(d);
    log_dir_entries_free(d);
    checkpoint_close(&d->checkpoint);
    if (io_file_is_open(&d->self))
        io_file_close(&d->self);
    if (io_file_is_open(&d->lock))
        io_file_close(&d->lock);
    d->started = false;
}

struct log_dir *log_dir_choose(struct log_dir *const *dirs, unsigned count)
{
    struct log_dir *best = NULL;
    uint32_t best_partitions = 0;
    for (unsigned i = 0; i < count; i++) {
        if (log_dir_is_offline(dirs[i]) || __atomic_load_n(&dirs[i]->no_space, __ATOMIC_RELAXED))
            continue;
        uint32_t partitions = __atomic_load_n(&dirs[i]->partitions, __ATOMIC_RELAXED);
        if (!best || partitions < best_partitions) {
            best = dirs[i];
            best_partitions = partitions;
        }
    }
    return best;
}

bool log_dir_lacks_space(struct log_dir *d, struct io *io)
{
    uint64_t now = io_now_ns(io);
    if (d->reserve_bytes == 0)
        return false;
    uint64_t checked = __atomic_load_n(&d->space_checked_ns, __ATOMIC_RELAXED);
    bool lacks = __atomic_load_n(&d->no_space, __ATOMIC_RELAXED);
    if (checked && now - checked < LOG_DIR_SPACE_CHECK_NS)
        return lacks;
    __atomic_store_n(&d->space_checked_ns, now | 1, __ATOMIC_RELAXED);
    struct io_space space;
    if (io_space(io, d->path, &space))
        return lacks;
    // It opens again only with a tenth more than the reserve, so that it does not flap.
    uint64_t wanted = d->reserve_bytes + (lacks ? d->reserve_bytes / 10 : 0);
    bool now_lacks = space.available_bytes < wanted;
    if (now_lacks != lacks) {
        __atomic_store_n(&d->no_space, now_lacks, __ATOMIC_RELAXED);
        if (now_lacks)
            trace_warn(d->trace, "log folder %s: %llu bytes free, below the reserve of %llu: writes are refused",
                       d->path, (unsigned long long)space.available_bytes, (unsigned long long)d->reserve_bytes);
        else
            trace_info(d->trace, "log folder %s has space again: writes go on", d->path);
    }
    return now_lacks;
}

struct log_dir_visit {
    void (*visit)(void *context, enum log_dir_name_kind kind, const char *name);
    void *context;
};

static bool name_ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n > m && strcmp(name + n - m, end) == 0;
}

// "<topic>-<digits>".
static bool name_is_partition(const char *name)
{
    const char *dash = strrchr(name, '-');
    if (!dash || dash == name || dash[1] == 0 || strspn(dash + 1, "0123456789") != strlen(dash + 1))
        return false;
    return topic_name_valid(bytes_of(name, (size_t)(dash - name)));
}

static void log_dir_visit_name(void *context, const char *name, bool is_dir)
{
    struct log_dir_visit *v = context;
    if (!is_dir)
        return;
    if (name_ends_with(name, "-delete"))
        v->visit(v->context, LOG_DIR_NAME_DELETE, name);
    else if (name_ends_with(name, "-stray"))
        v->visit(v->context, LOG_DIR_NAME_STRAY, name);
    else if (name_ends_with(name, "-future"))
        v->visit(v->context, LOG_DIR_NAME_FUTURE, name);
    else if (name_is_partition(name))
        v->visit(v->context, LOG_DIR_NAME_PARTITION, name);
}

enum rc log_dir_each_folder(struct log_dir *d,
                            void (*visit)(void *context, enum log_dir_name_kind kind, const char *name), void *context)
{
    struct log_dir_visit v = {.visit = visit, .context = context};
    return io_list_dir(d->io, d->path, log_dir_visit_name, &v);
}

void log_dir_moved_name(struct io *io, char out[IO_PATH_BYTES_MAX], const char *folder, const char *suffix)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t random[16];
    char id[33];
    io_random(io, random, sizeof(random));
    for (int i = 0; i < 16; i++) {
        id[2 * i] = hex[random[i] >> 4];
        id[2 * i + 1] = hex[random[i] & 15];
    }
    id[32] = 0;
    // Names stay within the file system's 255 bytes: a long topic name gives way, the id keeps it apart.
    size_t room = 255 - 1 - 32 - strlen(suffix);
    snprintf(out, IO_PATH_BYTES_MAX, "%.*s.%s%s", (int)room, folder, id, suffix);
}

enum rc log_dir_set_stray(struct log_dir *d, const char *folder)
{
    char from[IO_PATH_BYTES_MAX], name[IO_PATH_BYTES_MAX], to[IO_PATH_BYTES_MAX];
    log_dir_moved_name(d->io, name, folder, "-stray");
    enum rc rc = log_dir_path(d, from, folder);
    if (rc == RC_OK)
        rc = log_dir_path(d, to, name);
    if (rc)
        return rc;
    rc = io_rename(d->io, from, to);
    if (rc) {
        log_dir_fail(d, d->io, rc, "renaming", from);
        return rc;
    }
    trace_warn(d->trace, "%s belongs to no partition of this node: kept as %s", from, name);
    return RC_OK;
}
