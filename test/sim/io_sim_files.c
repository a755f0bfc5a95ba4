// SPDX-License-Identifier: Apache-2.0
//
// The file half of io.h over the simulated disk: what takes time is an event, what may fail fails when the node's list
// of faults says so, and the mutations of the simulator live here.
#include "io_sim.h"

#include <string.h>

#include "base/assert.h"

static struct sim_inode *inode_of(const struct io_file *f)
{
    ASSERT(f->io && f->fd >= 0 && (uint32_t)f->fd < f->io->node->file_cap);
    struct sim_inode *i = f->io->node->files[f->fd].inode;
    ASSERT(i);
    return i;
}

static bool take(uint32_t *faults, uint32_t *taken)
{
    if (!*faults)
        return false;
    (*faults)--;
    (*taken)++;
    return true;
}

// ------------------------------------------------------------------------------------------------ mutations

// Something a mutation answered before it was true: a sync that comes later (CHECKPOINT_EARLY), or a write that is
// taken out of the cache again if the process dies soon (ACK_BEFORE_WRITE).
struct sim_late {
    struct sim_event event;
    struct list_node link; // node->late, oldest first
    struct sim_node *node;
    struct sim_sync sync;
    struct sim_inode *inode;
    size_t bytes_before;
};

static void late_free(struct sim_late *late)
{
    sim_cancel(late->node->sim, &late->event);
    list_remove(&late->node->late, &late->link);
    if (late->sync.disk)
        sim_sync_forget(&late->sync);
    if (late->inode)
        sim_inode_unref(late->inode);
    sim_free(late);
}

static void late_run(struct sim *sim, struct sim_event *e)
{
    struct sim_late *late = container_of(e, struct sim_late, event);
    (void)sim;
    if (late->sync.disk)
        sim_sync_finish(&late->sync);
    late_free(late);
}

static struct sim_late *late_new(struct sim_node *n, uint64_t typical_ns)
{
    struct sim_late *late = sim_alloc(sizeof(*late));
    late->node = n;
    list_push_back(&n->late, &late->link);
    sim_schedule_in(n->sim, &late->event, sim_latency(n->sim, typical_ns), late_run);
    return late;
}

static void late_sync(struct sim_node *n, struct sim_sync *sync)
{
    late_new(n, 50 * SIM_MS)->sync = *sync;
    *sync = (struct sim_sync){0};
}

static void late_write(struct sim_node *n, struct sim_inode *i)
{
    struct sim_late *late = late_new(n, 5 * SIM_MS);
    late->inode = i;
    late->bytes_before = i->bytes;
    sim_inode_ref(i);
}

void sim_late_end(struct sim_node *n, enum sim_death how)
{
    struct list_node *next;
    for (struct list_node *node = list_first(&n->late); node; node = next) {
        next = list_next(&n->late, node);
        struct sim_late *late = list_entry(node, struct sim_late, link);
        if (how == SIM_DEATH_KILL && late->sync.disk)
            continue; // the kernel goes on without the process
        if (late->inode && late->inode->bytes > late->bytes_before)
            sim_inode_truncate(late->inode, late->bytes_before);
        late_free(late);
    }
}

// ------------------------------------------------------------------------------------------------ write-back

static void write_back_run(struct sim *sim, struct sim_event *e)
{
    struct sim_node *n = container_of(e, struct sim_node, write_back);
    sim_disk_write_back(&n->disk);
    if (!list_empty(&n->disk.dirty) || !list_empty(&n->disk.name_changes))
        sim_schedule_in(sim, e, sim_latency(sim, 40 * SIM_MS), write_back_run);
}

static void disk_changed(struct sim_node *n)
{
    if (!sim_event_is_set(&n->write_back))
        sim_schedule_in(n->sim, &n->write_back, sim_latency(n->sim, 40 * SIM_MS), write_back_run);
}

void sim_node_evict(struct sim_node *n)
{
    sim_disk_evict(&n->disk);
}

// ------------------------------------------------------------------------------------------------ handles

// The files whose early arrival on the platter CHECKPOINT_EARLY plays: those the product itself calls checkpoints.
static bool is_checkpoint(const char *path)
{
    return strstr(path, "checkpoint") != NULL;
}

static uint32_t slot_new(struct io *io)
{
    struct sim_node *n = io->node;
    if (n->file_free == UINT32_MAX) {
        uint32_t cap = n->file_cap ? n->file_cap * 2 : 16;
        n->files = sim_realloc(n->files, cap * sizeof(*n->files));
        for (uint32_t k = cap; k-- > n->file_cap;) {
            n->files[k] = (struct sim_file_slot){.next_free = n->file_free};
            n->file_free = k;
        }
        n->file_cap = cap;
    }
    uint32_t slot = n->file_free;
    n->file_free = n->files[slot].next_free;
    io->file_count++;
    return slot;
}

static void slot_free(struct sim_node *n, uint32_t slot)
{
    struct sim_file_slot *s = &n->files[slot];
    if (s->has_lock)
        s->inode->locked = false;
    s->io->file_count--;
    sim_inode_unref(s->inode);
    *s = (struct sim_file_slot){.next_free = n->file_free};
    n->file_free = slot;
}

enum rc io_file_open(struct io *io, struct io_file *f, const char *path, unsigned flags, enum io_file_kind kind)
{
    struct sim_disk *d = &io->node->disk;
    sim_io_spend(io, 4000);
    *f = (struct io_file){.fd = -1};
    struct sim_inode *i = sim_disk_find(d, path);
    bool exists = i != NULL;
    if (exists && (flags & IO_OPEN_CREATE) && (flags & IO_OPEN_EXCLUSIVE))
        return RC_EXISTS;
    if (exists && i->is_dir != ((flags & IO_OPEN_DIRECTORY) != 0))
        return RC_INVALID;
    if (!exists) {
        if (!(flags & IO_OPEN_CREATE))
            return RC_NOT_FOUND;
        sim_io_touch_disk(io);
        enum rc rc;
        rc = sim_disk_create(d, path, false, &i);
        if (rc)
            return rc;
        disk_changed(io->node);
    }
    if (exists && (flags & IO_OPEN_TRUNCATE)) {
        sim_io_touch_disk(io);
        sim_inode_truncate(i, 0);
        disk_changed(io->node);
    }
    sim_inode_ref(i);
    uint32_t slot = slot_new(io);
    io->node->files[slot] = (struct sim_file_slot){.inode = i,
                                                   .io = io,
                                                   .flags = flags,
                                                   .errors_seen = io->node->sync_errors,
                                                   .file_errors_seen = i->sync_errors,
                                                   .is_checkpoint = is_checkpoint(path)};
    *f = (struct io_file){.io = io, .fd = (int)slot, .kind = kind};
    sim_note(io->sim, SIM_NOTE_NAME, io->node, i->id, flags);
    sim_say(io->sim, io->node, "open %s as file %llu of %zu bytes", path, (unsigned long long)i->id, i->bytes);
    return RC_OK;
}

void io_file_close(struct io_file *f)
{
    if (!f->io)
        return;
    struct sim_inode *i = inode_of(f);
    for (struct list_node *n = list_first(&f->io->flights); n; n = list_next(&f->io->flights, n)) {
        struct sim_flight *flight = list_entry(n, struct sim_flight, link);
        ASSERT(flight->op->fd != f->fd || flight->inode != i); // "the file must stay open until done() runs"
    }
    slot_free(f->io->node, (uint32_t)f->fd);
    f->io = NULL;
    f->fd = -1;
}

enum rc io_file_size(struct io_file *f, uint64_t *bytes)
{
    sim_io_spend(f->io, 500);
    *bytes = inode_of(f)->bytes;
    return RC_OK;
}

enum rc io_file_truncate(struct io_file *f, uint64_t bytes)
{
    sim_io_spend(f->io, 3000);
    sim_io_touch_disk(f->io);
    if (take(&f->io->node->faults.write_errors, &f->io->node->faults.taken_write_errors))
        return RC_IO;
    sim_inode_truncate(inode_of(f), bytes);
    sim_say(f->io->sim, f->io->node, "truncate file %llu to %llu", (unsigned long long)inode_of(f)->id,
            (unsigned long long)bytes);
    disk_changed(f->io->node);
    sim_note(f->io->sim, SIM_NOTE_WRITE, f->io->node, inode_of(f)->id, bytes);
    return RC_OK;
}

enum rc io_file_lock(struct io_file *f)
{
    struct sim_inode *i = inode_of(f);
    if (i->locked)
        return RC_LOCKED;
    i->locked = f->io->node->files[f->fd].has_lock = true;
    return RC_OK;
}

// ------------------------------------------------------------------------------------------------ inline data

static enum rc read_inode(struct io *io, struct sim_inode *i, enum io_file_kind kind, void *p, size_t n,
                          uint64_t offset, size_t *got)
{
    *got = 0;
    if (take(&io->node->faults.read_errors, &io->node->faults.taken_read_errors))
        return RC_IO;
    *got = sim_inode_read(i, p, n, offset);
    sim_inode_load(i, offset, *got);
    io->counters.read_bytes[kind] += *got;
    return RC_OK;
}

enum rc io_file_read_now(struct io_file *f, void *p, size_t n, uint64_t offset, size_t *got)
{
    struct sim_inode *i = inode_of(f);
    bool cold = !sim_inode_resident(i, offset, n);
    sim_io_spend(f->io, cold ? sim_latency(f->io->sim, 200 * SIM_US) : 1000 + n / 16);
    enum rc rc = read_inode(f->io, i, f->kind, p, n, offset, got);
    sim_note(f->io->sim, SIM_NOTE_READ, f->io->node, i->id << 32 | *got, offset);
    return rc;
}

enum rc io_file_read_cached(struct io_file *f, void *p, size_t n, uint64_t offset, size_t *got)
{
    struct sim_inode *i = inode_of(f);
    sim_io_spend(f->io, 1000);
    *got = 0;
    if (!sim_inode_resident(i, offset, n))
        return RC_AGAIN;
    sim_io_spend(f->io, n / 16);
    *got = sim_inode_read(i, p, n, offset);
    f->io->counters.read_bytes[f->kind] += *got;
    return RC_OK;
}

bool io_file_cached(struct io_file *f, uint64_t offset, uint64_t bytes)
{
    struct sim_inode *i = inode_of(f);
    sim_io_spend(f->io, 800);
    return bytes == 0 || (sim_inode_resident(i, offset, 1) && sim_inode_resident(i, offset + bytes - 1, 1));
}

// Writes vecs, or only the first `limit` bytes of them.
static enum rc write_vecs(struct io *io, struct sim_inode *i, enum io_file_kind kind, const struct iovec *vecs,
                          size_t vec_count, uint64_t offset, size_t limit)
{
    enum rc rc = RC_OK;
    size_t total = 0;
    for (size_t k = 0; k < vec_count && rc == RC_OK && limit; k++) {
        size_t n = vecs[k].iov_len < limit ? vecs[k].iov_len : limit, moved;
        rc = sim_inode_write(i, vecs[k].iov_base, n, offset + total, &moved);
        total += moved;
        limit -= moved < limit ? moved : limit;
    }
    disk_changed(io->node);
    io->counters.write_bytes[kind] += total;
    if (rc == RC_NO_SPACE)
        io->node->faults.space_errors++;
    sim_note(io->sim, SIM_NOTE_WRITE, io->node, i->id << 32 | total, offset);
    sim_say(io->sim, io->node, "write file %llu: %zu bytes at %llu: %s", (unsigned long long)i->id, total,
            (unsigned long long)offset, rc_name(rc));
    return rc;
}

static size_t vecs_bytes(const struct iovec *vecs, size_t vec_count)
{
    size_t n = 0;
    for (size_t k = 0; k < vec_count; k++)
        n += vecs[k].iov_len;
    return n;
}

// The mutation: the checkpoint and its name are on the platter at once, whatever they rest on.
static void checkpoint_early(struct sim_node *n, struct sim_inode *i)
{
    sim_inode_write_through(i);
    sim_disk_names_write_through(&n->disk);
}

enum rc io_file_write_now(struct io_file *f, const void *p, size_t n, uint64_t offset)
{
    struct io *io = f->io;
    struct iovec v = {.iov_base = (void *)(uintptr_t)p, .iov_len = n};
    sim_io_spend(io, 1500 + n / 16);
    sim_io_touch_disk(io);
    if (take(&io->node->faults.write_errors, &io->node->faults.taken_write_errors)) {
        write_vecs(io, inode_of(f), f->kind, &v, 1, offset, prng_below(&io->sim->prng, n + 1));
        return RC_IO;
    }
    enum rc rc = write_vecs(io, inode_of(f), f->kind, &v, 1, offset, n);
    if (io->sim->mutation == SIM_MUTATION_CHECKPOINT_EARLY && io->node->files[f->fd].is_checkpoint)
        checkpoint_early(io->node, inode_of(f));
    return rc;
}

// Linux remembers a failed write-back of a file too and reports it to every descriptor that was open, once.
static bool file_error_is_news(struct io *io, int fd)
{
    struct sim_file_slot *slot = &io->node->files[fd];
    bool news = slot->file_errors_seen != slot->inode->sync_errors;
    slot->file_errors_seen = slot->inode->sync_errors;
    return news;
}

enum rc io_file_sync_now(struct io_file *f)
{
    struct io *io = f->io;
    struct sim_sync s;
    sim_io_spend(io, sim_latency(io->sim, 300 * SIM_US));
    sim_io_touch_disk(io);
    io->counters.syncs++;
    sim_note(io->sim, SIM_NOTE_SYNC, io->node, inode_of(f)->id, 0);
    bool fails = take(&io->node->faults.sync_errors, &io->node->faults.taken_sync_errors);
    fails |= file_error_is_news(io, f->fd);
    io->node->sync_error_heard |= fails;
    if (io->sim->mutation == SIM_MUTATION_SYNC_DROPPED)
        return RC_OK;
    sim_sync_begin(&s, &io->node->disk, inode_of(f));
    if (fails)
        sim_sync_fail(&s);
    else
        sim_sync_finish(&s);
    return fails ? RC_IO : RC_OK;
}

// ------------------------------------------------------------------------------------------------ names

static enum rc name_call(struct io *io)
{
    sim_io_spend(io, 5000);
    sim_io_touch_disk(io);
    return take(&io->node->faults.write_errors, &io->node->faults.taken_write_errors) ? RC_IO : RC_OK;
}

static bool is_named(const char *path, const char *suffix)
{
    size_t n = strlen(path), k = strlen(suffix);
    return n >= k && strcmp(path + n - k, suffix) == 0;
}

enum rc io_rename(struct io *io, const char *from, const char *to)
{
    enum rc rc = name_call(io);
    if (rc)
        return rc;
    rc = sim_disk_rename(&io->node->disk, from, to);
    sim_say(io->sim, io->node, "rename %s to %s: %s", from, to, rc_name(rc));
    if (rc == RC_OK && io->sim->mutation == SIM_MUTATION_CHECKPOINT_EARLY && is_checkpoint(to))
        checkpoint_early(io->node, sim_disk_find(&io->node->disk, to));
    if (rc == RC_OK && io->sim->mutation == SIM_MUTATION_SWAP_EARLY && is_named(to, ".log.swap"))
        sim_disk_names_write_through(&io->node->disk);
    disk_changed(io->node);
    sim_note(io->sim, SIM_NOTE_NAME, io->node, rc, io->node->disk.name_serial);
    return rc;
}

enum rc io_make_dir(struct io *io, const char *path)
{
    enum rc rc = name_call(io);
    struct sim_inode *i;
    if (rc)
        return rc;
    rc = sim_disk_create(&io->node->disk, path, true, &i);
    disk_changed(io->node);
    sim_note(io->sim, SIM_NOTE_NAME, io->node, rc, io->node->disk.name_serial);
    return rc;
}

enum rc io_remove_now(struct io *io, const char *path)
{
    enum rc rc = name_call(io);
    if (rc)
        return rc;
    rc = sim_disk_unlink(&io->node->disk, path);
    sim_say(io->sim, io->node, "remove %s: %s", path, rc_name(rc));
    disk_changed(io->node);
    sim_note(io->sim, SIM_NOTE_NAME, io->node, rc, io->node->disk.name_serial);
    return rc;
}

enum rc io_sync_dir_now(struct io *io, const char *path)
{
    sim_io_spend(io, sim_latency(io->sim, 300 * SIM_US));
    sim_io_touch_disk(io);
    struct sim_inode *i = sim_disk_find(&io->node->disk, path);
    if (!i || !i->is_dir)
        return RC_NOT_FOUND;
    io->counters.syncs++;
    sim_note(io->sim, SIM_NOTE_SYNC, io->node, i->id, 1);
    if (take(&io->node->faults.sync_errors, &io->node->faults.taken_sync_errors)) {
        io->node->sync_error_heard = true;
        return RC_IO;
    }
    if (io->sim->mutation == SIM_MUTATION_SYNC_DROPPED || io->sim->mutation == SIM_MUTATION_RENAME_DROPPED)
        return RC_OK;
    struct sim_sync s;
    sim_sync_begin(&s, &io->node->disk, i);
    sim_sync_finish(&s);
    return RC_OK;
}

bool io_exists(struct io *io, const char *path)
{
    sim_io_spend(io, 1000);
    return sim_disk_find(&io->node->disk, path) != NULL;
}

enum rc io_list_dir(struct io *io, const char *path, void (*visit)(void *context, const char *name, bool is_dir),
                    void *context)
{
    struct sim_inode *dir = sim_disk_find(&io->node->disk, path);
    if (!dir || !dir->is_dir)
        return RC_NOT_FOUND;
    // A copy: the visitor may change the folder, as with a real one.
    struct sim_inode_list {
        char name[256];
        bool is_dir;
    } * copy;
    size_t count = dir->names.count;
    copy = sim_alloc(count * sizeof(*copy));
    for (size_t k = 0; k < count; k++) {
        strncpy(copy[k].name, dir->names.v[k].name, sizeof(copy[k].name) - 1);
        copy[k].is_dir = dir->names.v[k].inode->is_dir;
    }
    sim_io_spend(io, 2000 + 200 * count);
    for (size_t k = 0; k < count; k++)
        visit(context, copy[k].name, copy[k].is_dir);
    sim_free(copy);
    return RC_OK;
}

enum rc io_space(struct io *io, const char *path, struct io_space *out)
{
    struct sim_disk *d = &io->node->disk;
    sim_io_spend(io, 2000);
    if (!sim_disk_find(d, path))
        return RC_NOT_FOUND;
    *out =
        (struct io_space){.total_bytes = d->capacity_bytes,
                          .available_bytes = d->capacity_bytes > d->used_bytes ? d->capacity_bytes - d->used_bytes : 0};
    return RC_OK;
}

// ------------------------------------------------------------------------------------------------ flights

static void flight_free(struct sim_flight *f)
{
    sim_cancel(f->io->sim, &f->event);
    list_remove(&f->io->flights, &f->link);
    if (f->sync.disk)
        sim_sync_forget(&f->sync);
    if (f->inode)
        sim_inode_unref(f->inode);
    sim_free(f->path);
    sim_free(f);
}

static void visit_cleaned(void *context, const char *path, struct sim_inode *i)
{
    struct sim_sync *sync = context;
    for (size_t k = 0; is_named(path, ".log.cleaned") && k < sync->file_count; k++)
        if (sync->files[k].inode == i) {
            sim_free(sync->files[k].sectors);
            sim_inode_unref(i);
            sync->files[k] = sync->files[--sync->file_count];
            return;
        }
}

// The mutation: a compacted segment is left out of the sync before its rename, see io_rename().
static void swap_early(struct sim_node *node, struct sim_sync *sync)
{
    if (node->sim->mutation == SIM_MUTATION_SWAP_EARLY)
        sim_disk_walk(&node->disk, visit_cleaned, sync);
}

static void flight_sync(struct sim_flight *f)
{
    struct sim *sim = f->io->sim;
    swap_early(f->io->node, &f->sync);
    bool drop = sim->mutation == SIM_MUTATION_SYNC_DROPPED ||
                (sim->mutation == SIM_MUTATION_RENAME_DROPPED && f->inode && f->inode->is_dir);
    if (drop)
        sim_sync_forget(&f->sync);
    else if (f->fails)
        sim_sync_fail(&f->sync);
    else if (sim->mutation == SIM_MUTATION_CHECKPOINT_EARLY)
        late_sync(f->io->node, &f->sync);
    else
        sim_sync_finish(&f->sync);
}

// What the operation does to the disk. part: the process ends while it is under way.
static enum rc flight_act(struct sim_flight *f, bool part)
{
    struct io *io = f->io;
    struct io_op *op = f->op;
    if (f->sync.disk && f->sync_errors != io->node->sync_errors)
        f->fails = true;
    if (f->sync.disk && op->kind == SIM_OP_SYNC && file_error_is_news(io, op->fd))
        f->fails = true;
    enum rc rc = f->fails ? RC_IO : RC_OK;
    op->moved = 0;
    switch ((enum sim_op_kind)op->kind) {
    case SIM_OP_WRITE: {
        size_t n = vecs_bytes(op->vecs, op->n);
        size_t limit = part || f->fails ? prng_below(&io->sim->prng, n + 1) : n;
        enum rc written = write_vecs(io, f->inode, f->kind, op->vecs, op->n, op->offset, limit);
        op->moved = limit;
        return rc ? rc : written;
    }
    case SIM_OP_READ:
        if (part || rc)
            return rc;
        op->moved = sim_inode_read(f->inode, op->p, op->n, op->offset);
        sim_inode_load(f->inode, op->offset, op->moved);
        io->counters.read_bytes[f->kind] += op->moved;
        return RC_OK;
    case SIM_OP_PREFETCH:
        if (!part && !rc)
            sim_inode_load(f->inode, op->offset, op->n);
        return rc;
    case SIM_OP_SYNC:
    case SIM_OP_SYNC_ALL:
        if (part)
            sim_sync_forget(&f->sync);
        else
            flight_sync(f);
        return rc;
    case SIM_OP_REMOVE:
        if (rc || (part && sim_chance(io->sim, 1, 2)))
            return rc;
        disk_changed(io->node);
        rc = sim_disk_unlink(&io->node->disk, f->path);
        sim_say(io->sim, io->node, "removed %s: %s", f->path, rc_name(rc));
        return rc;
    }
    UNREACHABLE();
}

static void flight_finish(struct sim_flight *f)
{
    struct io *io = f->io;
    struct io_op *op = f->op;
    bool syncs = f->sync.disk != NULL;
    op->rc = flight_act(f, false);
    io->node->sync_errors_landed += syncs && op->rc != RC_OK;
    sim_note(io->sim, SIM_NOTE_READ, io->node, (uint64_t)op->kind << 32 | op->rc, op->moved);
    op->state = SIM_OP_FINISHED;
    list_push_back(&io->finished, &op->link);
    flight_free(f);
}

static void flight_land(struct sim *sim, struct sim_event *e)
{
    struct sim_flight *f = container_of(e, struct sim_flight, event);
    struct io *io = f->io;
    (void)sim;
    flight_finish(f);
    sim_io_attention(io);
}

void sim_files_land(struct io *io)
{
    struct list_node *n;
    while ((n = list_first(&io->flights)))
        flight_finish(list_entry(n, struct sim_flight, link));
}

static struct sim_flight *flight_start(struct io_op *op, struct io *io, enum sim_op_kind kind, struct io_file *f,
                                       uint64_t typical_ns)
{
    ASSERT(op->state == SIM_OP_FREE && op->done);
    sim_io_touch_disk(io);
    struct sim_flight *flight = sim_alloc(sizeof(*flight));
    flight->io = io;
    flight->op = op;
    if (f) {
        flight->inode = inode_of(f);
        flight->kind = f->kind;
        sim_inode_ref(flight->inode);
    }
    op->io = io;
    op->kind = kind;
    op->state = SIM_OP_FLYING;
    op->fd = f ? f->fd : -1;
    op->link = (struct list_node){0};
    list_push_back(&io->flights, &flight->link);
    uint64_t ns = sim_latency(io->sim, typical_ns);
    if (take(&io->node->faults.stalls, &io->node->faults.taken_stalls))
        ns += 10 * SIM_S;
    sim_schedule(io->sim, &flight->event, sim_io_here_ns(io) + ns, flight_land);
    sim_io_spend(io, 700);
    return flight;
}

enum rc io_file_write(struct io_op *op, struct io_file *f, const struct iovec *vecs, unsigned vec_count,
                      uint64_t offset)
{
    struct io *io = f->io;
    size_t n = vecs_bytes(vecs, vec_count);
    ASSERT(op->state == SIM_OP_FREE && vec_count <= IO_VECS_MAX);
    io->counters.writes++;
    bool fails = take(&io->node->faults.write_errors, &io->node->faults.taken_write_errors);
    if (io->sim->mutation == SIM_MUTATION_ACK_BEFORE_WRITE && f->kind == IO_FILE_LOG)
        late_write(io->node, inode_of(f));
    if (!sim_chance(io->sim, io->node->deferred_writes_in_16, 16)) {
        sim_io_spend(io, 1500 + n / 16);
        sim_io_touch_disk(io);
        enum rc rc = write_vecs(io, inode_of(f), f->kind, vecs, vec_count, offset,
                                fails ? prng_below(&io->sim->prng, n + 1) : n);
        return fails ? RC_IO : rc;
    }
    io->counters.writes_deferred++;
    op->vecs = vecs;
    op->n = vec_count;
    op->offset = offset;
    flight_start(op, io, SIM_OP_WRITE, f, 50 * SIM_US)->fails = fails;
    return RC_AGAIN;
}

void io_file_read(struct io_op *op, struct io_file *f, void *p, size_t n, uint64_t offset)
{
    op->p = p;
    op->n = n;
    op->offset = offset;
    bool cold = !sim_inode_resident(inode_of(f), offset, n);
    flight_start(op, f->io, SIM_OP_READ, f, cold ? 500 * SIM_US : 10 * SIM_US)->fails =
        take(&f->io->node->faults.read_errors, &f->io->node->faults.taken_read_errors);
}

void io_file_prefetch(struct io_op *op, struct io_file *f, uint64_t offset, uint64_t bytes)
{
    op->p = NULL;
    op->n = bytes;
    op->offset = offset;
    f->io->counters.prefetches++;
    bool cold = !sim_inode_resident(inode_of(f), offset, bytes);
    flight_start(op, f->io, SIM_OP_PREFETCH, f, cold ? 500 * SIM_US : 10 * SIM_US);
}

static void sync_start(struct io_op *op, struct io_file *f, enum sim_op_kind kind)
{
    struct io *io = f->io;
    op->p = NULL;
    io->counters.syncs++;
    struct sim_flight *flight = flight_start(op, io, kind, f, 500 * SIM_US);
    sim_sync_begin(&flight->sync, &io->node->disk, kind == SIM_OP_SYNC ? inode_of(f) : NULL);
    // Linux remembers a failed write-back of a file system and reports it to every descriptor that was open, once.
    struct sim_file_slot *slot = &io->node->files[f->fd];
    bool fails = take(&io->node->faults.sync_errors, &io->node->faults.taken_sync_errors);
    io->node->sync_errors += fails;
    flight->fails = fails || (kind == SIM_OP_SYNC_ALL && slot->errors_seen != io->node->sync_errors) ||
                    (kind == SIM_OP_SYNC && file_error_is_news(io, f->fd));
    if (flight->fails)
        slot->errors_seen = io->node->sync_errors;
    flight->sync_errors = io->node->sync_errors;
    sim_note(io->sim, SIM_NOTE_SYNC, io->node, flight->inode->id, kind);
    sim_say(io->sim, io->node, "sync of %s %llu begins", kind == SIM_OP_SYNC ? "file" : "all through file",
            (unsigned long long)flight->inode->id);
}

void io_file_sync(struct io_op *op, struct io_file *f)
{
    sync_start(op, f, SIM_OP_SYNC);
}

void io_file_sync_all(struct io_op *op, struct io_file *f)
{
    sync_start(op, f, SIM_OP_SYNC_ALL);
}

void io_remove(struct io_op *op, struct io *io, const char *path)
{
    op->p = NULL;
    struct sim_flight *f = flight_start(op, io, SIM_OP_REMOVE, NULL, 50 * SIM_US);
    size_t n = strlen(path) + 1;
    f->path = memcpy(sim_alloc(n), path, n);
    f->fails = take(&io->node->faults.write_errors, &io->node->faults.taken_write_errors);
}

void sim_files_end(struct io *io)
{
    struct list_node *n;
    while ((n = list_first(&io->flights))) {
        struct sim_flight *f = list_entry(n, struct sim_flight, link);
        flight_act(f, true);
        flight_free(f);
    }
    for (uint32_t k = 0; k < io->node->file_cap; k++)
        if (io->node->files[k].inode && io->node->files[k].io == io)
            slot_free(io->node, k);
}
