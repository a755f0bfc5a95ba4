// SPDX-License-Identifier: Apache-2.0
//
// What runs inside the process of the store scenario: it opens folders and logs as the engine does, recovers, gives the
// store its turns, and compares every log with the model once it serves again.
#include "store_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "model/limits.h"
#include "wire/batch.h"

static const char *const dir_paths[STORE_DIRS_MAX] = {"/data0", "/data1"};
static const char cluster_id[] = "simulatedcluster000000";

// ------------------------------------------------------------------------------------------------ boot

// A boot that fails is right only when the disk gave it reason to.
static void refuse(struct sim_process *p, struct store_world *w, const char *what, enum rc rc, const char *why)
{
    if (!store_disk_failed(w) && !w->tainted)
        sim_fail(&w->sim, "%s refused without a fault of the disk: %s (%s)", what, rc_name(rc), why);
    p->boot_failed = true;
}

static bool open_dirs(struct sim_process *p, struct store_program *g)
{
    struct store_world *w = g->w;
    char why[512] = "";
    for (uint32_t k = 0; k < w->dir_count; k++) {
        struct log_dir *d = &g->dirs[k];
        g->dir_list[k] = d;
        enum rc rc = log_dir_open(d, g->io, &w->sim.sink, dir_paths[k], why, sizeof(why));
        if (rc == RC_OK && k > 0)
            log_dir_join(d, &g->dirs[0]);
        if (rc == RC_OK && !d->identity.formatted)
            rc = log_dir_format(d, cluster_id, 1, log_dir_draw_id(d));
        if (rc == RC_OK)
            rc = log_dir_check(d, cluster_id, 1, why, sizeof(why));
        if (rc == RC_OK)
            rc = log_dir_start(d);
        if (rc) {
            refuse(p, w, dir_paths[k], rc, why);
            return false;
        }
        d->reserve_bytes = 64 << 10;
    }
    return true;
}

void store_program_attach(struct store_program *g, uint32_t slot)
{
    struct store_slot *s = &g->w->slots[slot];
    g->logs[slot] = (struct plog){0};
    g->checked[slot] = s->since == SIM_DEATH_NONE;
    enum rc rc = plog_attach(&g->logs[slot], &g->store, g->dir_list[s->dir], bytes_str(s->topic), s->id, &s->config,
                             log_dir_find(g->dir_list[s->dir], s->id));
    g->attached[slot] = rc == RC_OK;
    if (rc && !store_disk_failed(g->w))
        sim_fail(&g->w->sim, "%s: cannot be attached: %s", s->topic, rc_name(rc));
}

struct folder_visit {
    struct store_program *g;
    struct log_dir *d;
};

static void visit_folder(void *context, enum log_dir_name_kind kind, const char *name)
{
    const struct folder_visit *c = context;
    char path[IO_PATH_BYTES_MAX];
    if (kind != LOG_DIR_NAME_DELETE)
        return;
    int n = snprintf(path, sizeof(path), "%s/%s", c->d->path, name);
    ASSERT(n > 0 && (size_t)n < sizeof(path));
    store_trash_put(&c->g->store, c->d, path, true, 0);
}

static void boot(struct sim_process *p)
{
    struct store_world *w = p->user;
    struct store_program *g = calloc(1, sizeof(*g));
    ASSERT(g);
    p->program = g;
    g->w = w;
    g->io = p->ios[0];
    if (!open_dirs(p, g))
        return;
    struct store_config config = STORE_CONFIG_DEFAULT;
    config.files_max = 8 + (uint32_t)sim_between(&w->sim, 0, 24);
    config.unsynced_log_bytes_max = sim_between(&w->sim, 4 << 10, 256 << 10);
    config.unsynced_bytes_max = sim_between(&w->sim, 16 << 10, 1 << 20);
    config.mark_bytes = sim_between(&w->sim, 4 << 10, 128 << 10);
    config.index_waits_bytes = (const uint32_t[]){0, 8 << 10, 8 << 20}[w->sim.seed % 3];
    config.compact.backoff_ms = (int64_t)sim_between(&w->sim, 0, 200);
    config.compact.io_buffer_bytes = (uint32_t)sim_between(&w->sim, 0, 256 << 10);
    config.compact.map_bytes_max = sim_between(&w->sim, 0, 3000); // some tables hold less than there are keys
    if (sim_chance(&w->sim, 1, 4))
        config.compact.io_bytes_a_second_max = (double)sim_between(&w->sim, 100 << 10, 10 << 20);
    enum rc rc = store_init(&g->store, g->io, &w->sim.sink, &config, g->dir_list, w->dir_count);
    ASSERT(rc == RC_OK);
    for (uint32_t k = 0; k < w->dir_count; k++) {
        struct folder_visit c = {g, &g->dirs[k]};
        log_dir_each_folder(&g->dirs[k], visit_folder, &c);
    }
    for (uint32_t k = 0; k < w->slot_count; k++)
        if (w->slots[k].used)
            store_program_attach(g, k);
}

// ------------------------------------------------------------------------------------------------ checks

// Reads the whole slice into memory of the process. NULL: the disk failed.
static uint8_t *slice_read(struct store_program *g, struct plog_slice *s)
{
    uint8_t *p = malloc(s->bytes);
    size_t got = 0;
    ASSERT(p);
    enum rc rc = io_file_read_now(plog_slice_file(s), p, s->bytes, s->position, &got);
    if (rc == RC_OK && got == s->bytes)
        return p;
    if (rc == RC_OK)
        sim_fail(&g->w->sim, "a slice of %llu bytes at %llu ends after %zu", (unsigned long long)s->bytes,
                 (unsigned long long)s->position, got);
    free(p);
    return NULL;
}

// Bytes that are no batch. After a failed sync Linux calls pages clean that were never written; a process that starts
// again in the same boot reads them from the cache and cannot know. Such a log is given up, any other is a failure.
static bool damaged(struct model_check *c, const char *what)
{
    if (c->m->tainted_ever)
        c->m->given_up = true;
    else
        model_fail(c->m, c->sim, "%s: %s at offset %lld", c->m->name, what, (long long)c->next_offset);
    return false;
}

static bool check_slice(struct model_check *c, struct model_keys *keys, const uint8_t *p, size_t n)
{
    while (n) {
        struct batch_header h;
        if (batch_header_read(bytes_of(p, n), &h) != RC_OK)
            return damaged(c, "a slice does not consist of whole batches");
        size_t k = batch_bytes(&h);
        if (!batch_crc_ok(bytes_of(p, k)))
            return damaged(c, "a batch has a bad checksum");
        if (!(keys ? model_keys_check_batch(keys, c, bytes_of(p, k)) : model_check_batch(c, bytes_of(p, k))))
            return false;
        p += k;
        n -= k;
    }
    return true;
}

struct producer_check {
    struct store_program *g;
    struct store_slot *s;
    bool seen[STORE_PRODUCERS];
};

// The last batch of a producer in the model at or past `from`, or NULL.
static const struct model_batch *last_batch_of(const struct store_slot *s, int64_t id, int64_t from)
{
    for (size_t k = s->model.count; k > 0 && s->model.v[k - 1].last_offset >= from; k--)
        if (s->model.v[k - 1].producer_id == id)
            return &s->model.v[k - 1];
    return NULL;
}

// A batch that is sent again after a restart is known among a producer's last five, whatever was queued behind them.
static void check_remembered(struct producer_check *c, const struct producer_entry *e)
{
    const struct model_log *m = &c->s->model;
    unsigned left = e->batch_count, wanted = PRODUCER_BATCHES_KEPT;
    for (size_t k = m->count; k > 0 && wanted && m->v[k - 1].base_offset >= m->start_seen; k--) {
        const struct model_batch *b = &m->v[k - 1];
        if (b->producer_id != e->producer_id || b->producer_epoch != e->epoch)
            continue;
        if (!left || e->batches[left - 1].last_offset != b->last_offset) {
            model_fail(&c->s->model, &c->g->w->sim,
                       "%s: of producer %lld the batch at %lld is forgotten, one of its last", c->s->topic,
                       (long long)e->producer_id, (long long)b->base_offset);
            return;
        }
        left--;
        wanted--;
    }
}

// The state must say what the producer's last batch in the log says. Where all its batches lie below log start, it may
// also know an earlier one: deleted records are allowed to be lost first.
static void check_producer(void *context, const struct producer_entry *e)
{
    struct producer_check *c = context;
    struct store_slot *s = c->s;
    ASSERT(e->batch_count > 0 && e->batch_count <= PRODUCER_BATCHES_KEPT);
    const struct producer_batch *last = &e->batches[e->batch_count - 1];
    const struct model_batch *b = last_batch_of(s, e->producer_id, s->model.start_seen);
    for (size_t k = s->model.count; k > 0 && !b; k--) {
        const struct model_batch *old = &s->model.v[k - 1];
        if (old->producer_id == e->producer_id && old->last_offset == last->last_offset)
            b = old;
    }
    if (!b || e->epoch != b->producer_epoch || last->last_sequence != b->last_sequence ||
        last->last_offset != b->last_offset)
        model_fail(&s->model, &c->g->w->sim,
                   "%s: producer %lld is remembered with epoch %d, sequence %d at offset %lld; its last batch says %d, "
                   "%d, %lld",
                   s->topic, (long long)e->producer_id, e->epoch, last->last_sequence, (long long)last->last_offset,
                   b ? b->producer_epoch : -1, b ? b->last_sequence : -1, b ? (long long)b->last_offset : -1LL);
    if (!s->model.tainted_ever)
        check_remembered(c, e);
    for (int k = 0; k < STORE_PRODUCERS; k++)
        if (s->producers[k].id == e->producer_id) {
            s->producers[k].next_sequence = last->last_sequence + 1;
            c->seen[k] = true;
        }
}

// The epochs must say what the batches say, those below the recovery point too.
static void check_epochs(struct store_program *g, uint32_t slot)
{
    struct store_slot *s = &g->w->slots[slot];
    for (size_t k = model_log_find(&s->model, s->model.start_seen); k < s->model.count; k++) {
        const struct model_batch *b = &s->model.v[k];
        int64_t at = b->base_offset > s->model.start_seen ? b->base_offset : s->model.start_seen;
        int32_t epoch = plog_epoch_at(&g->logs[slot], at);
        bool right = epoch == b->leader_epoch || (s->config.compacts && epoch > b->leader_epoch); // of what is gone
        if (!right && !s->model.tainted_ever && !store_disk_failed(g->w)) {
            model_fail(&s->model, &g->w->sim, "%s: offset %lld is said to be of leader epoch %d, its batch of %d",
                       s->topic, (long long)at, epoch, b->leader_epoch);
            return;
        }
    }
}

static void check_producers(struct store_program *g, uint32_t slot)
{
    struct store_slot *s = &g->w->slots[slot];
    struct producer_check c = {.g = g, .s = s};
    s->checked_end = plog_written_end(&g->logs[slot]);
    enum rc rc = plog_each_producer(&g->logs[slot], check_producer, &c);
    for (int k = 0; k < STORE_PRODUCERS; k++) {
        struct store_producer *p = &s->producers[k];
        const struct model_batch *b = last_batch_of(s, p->id, s->model.start_seen);
        if (!c.seen[k])
            p->next_sequence = 0;
        p->checked_sequence = p->next_sequence;
        if (rc == RC_OK && !c.seen[k] && b && !s->model.tainted_ever)
            model_fail(&s->model, &g->w->sim, "%s: producer %lld is forgotten, its batch at offset %lld is not",
                       s->topic, (long long)p->id, (long long)b->base_offset);
    }
}

void store_program_check(struct store_program *g, uint32_t slot)
{
    struct store_world *w = g->w;
    struct store_slot *s = &w->slots[slot];
    struct plog *l = &g->logs[slot];
    struct model_check check;
    if (plog_open(l) != RC_OK)
        return; // it must be recovered after all, or the disk failed: tried again later
    w->result->checks++;
    int64_t end = plog_written_end(l);
    struct model_keys *keys = s->config.compacts ? &s->keys : NULL;
    int64_t start = plog_start_offset(l);
    if (!(keys ? model_keys_check_begin(keys, &check, s->since, &w->sim, &s->model, start)
               : model_check_begin(&check, &w->sim, &s->model, s->since, start)))
        return;
    int64_t offset = plog_start_offset(l);
    while (offset < end) {
        struct plog_slice slice;
        struct plog_read read = {
            .offset = offset, .bound = end, .bytes_max = sim_between(&w->sim, 200, 64 << 10), .at_least_one = true};
        enum rc rc = plog_read(l, &read, &slice, NULL);
        uint8_t *p = rc == RC_OK && slice.file ? slice_read(g, &slice) : NULL;
        if (!p) {
            if (rc == RC_OK && slice.file)
                plog_slice_release(&slice);
            if (rc == RC_CORRUPT)
                damaged(&check, "what is read is damaged");
            else if (rc != RC_IO && rc != RC_OFFLINE && !store_disk_failed(w))
                model_fail(&s->model, &w->sim, "%s: reading at %lld of %lld gives nothing: %s", s->topic,
                           (long long)offset, (long long)end, rc_name(rc));
            return; // not checked: tried again later
        }
        bool fine = check_slice(&check, keys, p, slice.bytes);
        free(p);
        offset = slice.next_offset;
        plog_slice_release(&slice);
        if (!fine)
            return;
    }
    if (!(keys ? model_keys_check_end(keys, &check, start, end) : model_check_end(&check, end)))
        return;
    s->model.tainted |= w->tainted; // a sync failed again before the power cut was checked
    s->since = SIM_DEATH_NONE;
    g->checked[slot] = true;
    check_producers(g, slot);
    check_epochs(g, slot);
}

// ------------------------------------------------------------------------------------------------ turns

static void recover(struct store_program *g, uint32_t slot)
{
    struct store_world *w = g->w;
    struct plog_recovery_report report;
    enum rc rc = plog_recover_step(&g->logs[slot], 500 * 1000, &report);
    if (rc == RC_OK || rc == RC_AGAIN)
        return;
    if (rc != RC_CORRUPT)
        g->wants_restart = true;
    else if (w->slots[slot].model.tainted_ever)
        w->slots[slot].model.given_up = true;
    else
        model_fail(&w->slots[slot].model, &w->sim, "%s: refused as damaged, and no fault of the disk was the cause",
                   w->slots[slot].topic);
}

void store_program_replace(struct store_program *g, uint32_t slot)
{
    struct store_world *w = g->w;
    compact_cancel(&g->logs[slot]);
    if (!plog_is_idle(&g->logs[slot]))
        return;
    // The metadata knows first: whatever becomes of the folder, the old topic is gone from here on.
    w->result->given_up += w->slots[slot].model.given_up;
    store_world_make_topic(w, slot);
    g->attached[slot] = false;
    if (plog_delete(&g->logs[slot]) != RC_OK && !store_disk_failed(w))
        sim_fail(&w->sim, "the log of slot %u cannot be deleted", slot);
    store_program_attach(g, slot);
}

static bool turn(struct sim_process *p, uint32_t lane, uint64_t *next_ns)
{
    struct store_program *g = p->program;
    struct store_world *w = g->w;
    (void)lane;
    bool more = io_poll(g->io, 0) > 0;
    for (uint32_t k = 0; k < w->slot_count && !w->sim.failed; k++) {
        if (!g->attached[k])
            continue;
        struct plog *l = &g->logs[k];
        if (compact_is_swapping(l) && !w->swap_hit && !w->draining && sim_chance(&w->sim, 1, 8)) {
            w->swap_hit = true; // in the middle of a swap
            sim_node_die_in(w->node, sim_between(&w->sim, 1, 16),
                            sim_chance(&w->sim, 1, 3) ? SIM_DEATH_KILL : SIM_DEATH_POWER);
        }
        if (w->slots[k].model.given_up && !g->dirty[k]) { // what is queued has to end first
            store_program_replace(g, k);
        } else if (l->state == PLOG_UNCLEAN) {
            g->checked[k] = false;
            recover(g, k);
            more = true;
        } else if (!g->checked[k] && l->state != PLOG_OFFLINE && l->state != PLOG_DAMAGED) {
            store_program_check(g, k);
            more |= g->checked[k];
        } else if (g->dirty[k]) {
            g->dirty[k] = false;
            plog_flush(l);
        }
    }
    for (uint32_t k = 0; k < w->dir_count; k++)
        g->wants_restart |= log_dir_is_offline(&g->dirs[k]);
    return store_work(&g->store, 500 * 1000, next_ns) || more;
}

static void died(struct sim_process *p, enum sim_death how);

const struct sim_program store_program_calls = {.boot = boot, .turn = turn, .died = died};

static void died(struct sim_process *p, enum sim_death how)
{
    struct store_world *w = p->user;
    store_world_died(w, how);
}
