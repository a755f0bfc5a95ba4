// SPDX-License-Identifier: Apache-2.0
//
// Reads the logs of the cluster scenario from their files, as they stand in the page cache, without the product's help.
// A (leader epoch, offset) names one batch for ever; members of the ISR have equal batches below the watermark, of what was
// deleted, too, while their files hold it; offsets have no holes and epochs only rise; what the node derived from its log
// (where epochs begin, the last batch of each producer) is what the scan gives.
#include "cluster_world.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "engine/partition.h"
#include "wire/batch.h"

// ------------------------------------------------------------------------------------------------ facts

static size_t fact_hash(int32_t epoch, int64_t offset)
{
    uint64_t h = ((uint64_t)offset << 24 ^ (uint64_t)(uint32_t)epoch) * UINT64_C(0x9fb21c651e98df25);
    return (size_t)(h ^ h >> 29);
}

static struct cluster_fact *fact_at(struct cluster_facts *f, int32_t epoch, int64_t offset)
{
    size_t at = fact_hash(epoch, offset) & (f->cap - 1);
    while (f->v[at].offset && (f->v[at].offset != offset + 1 || f->v[at].epoch != epoch))
        at = (at + 1) & (f->cap - 1);
    return &f->v[at];
}

static void facts_grow(struct cluster_facts *f)
{
    struct cluster_facts old = *f;
    f->cap = old.cap ? 2 * old.cap : 256;
    f->v = sim_alloc(f->cap * sizeof(*f->v));
    for (size_t k = 0; k < old.cap; k++)
        if (old.v[k].offset)
            *fact_at(f, old.v[k].epoch, old.v[k].offset - 1) = old.v[k];
    sim_free(old.v);
}

bool cluster_fact_holds(struct cluster_facts *f, int32_t epoch, int64_t offset, uint32_t crc)
{
    if (2 * f->count >= f->cap)
        facts_grow(f);
    struct cluster_fact *fact = fact_at(f, epoch, offset);
    if (fact->offset)
        return fact->crc == crc;
    *fact = (struct cluster_fact){.offset = offset + 1, .epoch = epoch, .crc = crc};
    f->count++;
    return true;
}

static int32_t *committed_at(struct cluster_facts *f, int64_t offset)
{
    if ((size_t)offset >= f->committed_cap) {
        size_t cap = f->committed_cap ? f->committed_cap : 256;
        while (cap <= (size_t)offset)
            cap *= 2;
        f->committed = sim_realloc(f->committed, cap * sizeof(int32_t));
        memset(f->committed + f->committed_cap, 0, (cap - f->committed_cap) * sizeof(int32_t));
        f->committed_cap = cap;
    }
    return &f->committed[offset];
}

void cluster_facts_clear(struct cluster_facts *f)
{
    if (f->committed_cap)
        memset(f->committed, 0, f->committed_cap * sizeof(int32_t));
}

void cluster_facts_deinit(struct cluster_facts *f)
{
    sim_free(f->v);
    sim_free(f->committed);
    *f = (struct cluster_facts){0};
}

// ------------------------------------------------------------------------------------------------ one log

enum { PRODUCERS_MAX = 64 };

struct log_folder {
    char name[64];
    size_t bytes;
};

static struct log_folder log_folder_of(const struct plog *l)
{
    struct log_folder f;
    int n = snprintf(f.name, sizeof(f.name), "data0/%s/", l->folder);
    ASSERT(n > 0 && (size_t)n < sizeof(f.name));
    f.bytes = (size_t)n;
    return f;
}

static bool is_segment(const struct log_folder *f, const char *path, const struct sim_inode *i)
{
    while (*path == '/')
        path++;
    size_t n = strlen(path);
    return !i->is_dir && strncmp(path, f->name, f->bytes) == 0 && n >= 4 && strcmp(path + n - 4, ".log") == 0;
}

struct scan {
    struct cluster_world *w;
    const struct cluster_node *c;
    const struct partition *p;
    struct cluster_part *part;
    struct log_folder folder;
    bool answers; // what is below the watermark must be the committed
    int64_t next; // -1: the first batch says it
    int32_t epoch;
    uint32_t producer_count;
    struct {
        int64_t id, last_offset;
        int32_t last_sequence;
    } producers[PRODUCERS_MAX];
};

static void note_producer(struct scan *s, const struct batch_header *h)
{
    uint32_t k = 0;
    while (k < s->producer_count && s->producers[k].id != h->producer_id)
        k++;
    if (k == PRODUCERS_MAX)
        return;
    s->producer_count += k == s->producer_count;
    s->producers[k].id = h->producer_id;
    s->producers[k].last_offset = batch_last_offset(h);
    s->producers[k].last_sequence = batch_last_sequence(h);
}

static void check_committed(struct scan *s, const struct batch_header *h)
{
    if (!s->answers || batch_last_offset(h) >= s->part->watermark)
        return;
    int32_t *committed = committed_at(&s->part->facts, h->base_offset);
    if (*committed && *committed != h->leader_epoch + 1)
        sim_fail(&s->w->sim, "%s: node %u is in sync, its batch at offset %lld is of epoch %d, the committed one of %d",
                 s->part->model.name, s->c->index + 1, (long long)h->base_offset, h->leader_epoch, *committed - 1);
    *committed = h->leader_epoch + 1;
}

static void scan_batch(struct scan *s, const struct batch_header *h)
{
    struct sim *sim = &s->w->sim;
    const char *name = s->part->model.name;
    uint32_t node = s->c->index + 1;
    if (s->next >= 0 && h->base_offset != s->next)
        sim_fail(sim, "%s: on node %u offset %lld follows %lld", name, node, (long long)h->base_offset,
                 (long long)s->next - 1);
    if (h->leader_epoch < s->epoch)
        sim_fail(sim, "%s: on node %u epoch %d at offset %lld follows epoch %d", name, node, h->leader_epoch,
                 (long long)h->base_offset, s->epoch);
    if (!cluster_fact_holds(&s->part->facts, h->leader_epoch, h->base_offset, h->crc))
        sim_fail(sim, "%s: on node %u the batch of epoch %d at offset %lld is another one than elsewhere or before", name,
                 node, h->leader_epoch, (long long)h->base_offset);
    const struct plog *l = &s->p->log;
    int64_t first = h->base_offset > plog_start_offset(l) ? h->base_offset : plog_start_offset(l);
    if (h->leader_epoch != s->epoch && l->state == PLOG_OPEN && epoch_cache_at(&l->epochs, first) != h->leader_epoch)
        sim_fail(sim, "%s: on node %u offset %lld is of epoch %d, the epoch cache says %d", name, node, (long long)first,
                 h->leader_epoch, epoch_cache_at(&l->epochs, first));
    check_committed(s, h);
    if (batch_has_producer(h))
        note_producer(s, h);
    s->next = batch_last_offset(h) + 1;
    s->epoch = h->leader_epoch;
}

// Segments come in the order of their names, which is that of their offsets.
static void scan_file(void *context, const char *path, struct sim_inode *i)
{
    struct scan *s = context;
    if (!is_segment(&s->folder, path, i))
        return;
    struct bytes left = bytes_of(i->p, i->bytes);
    struct batch_header h;
    while (left.n && !s->w->sim.failed && batch_header_read(left, &h) == RC_OK) {
        if (h.base_offset >= plog_written_end(&s->p->log) || (s->next >= 0 && h.base_offset < s->next))
            break; // not written yet, or what stands behind a cut
        if (batch_last_offset(&h) >= plog_start_offset(&s->p->log))
            scan_batch(s, &h);
        else if (!s->part->risks)
            check_committed(s, &h); // deleted, but what is known of its producer is by it
        left = bytes_of(left.p + batch_bytes(&h), left.n - batch_bytes(&h));
    }
}

static void check_producers(const struct scan *s)
{
    for (uint32_t k = 0; k < s->producer_count; k++) {
        const struct producer_entry *e = producer_state_find(&s->p->log.producers, s->producers[k].id);
        const struct producer_batch *last = e && e->batch_count ? &e->batches[e->batch_count - 1] : NULL;
        if (!last || last->last_offset != s->producers[k].last_offset ||
            last->last_sequence != s->producers[k].last_sequence)
            sim_fail(&s->w->sim,
                     "%s: on node %u producer %lld ends at offset %lld with sequence %d, its state says %lld and %d",
                     s->part->model.name, s->c->index + 1, (long long)s->producers[k].id,
                     (long long)s->producers[k].last_offset, s->producers[k].last_sequence,
                     last ? (long long)last->last_offset : -1, last ? last->last_sequence : -1);
    }
}

static void scan_log(struct cluster_world *w, struct cluster_node *c, const struct partition *p, struct cluster_part *part)
{
    static struct scan s; // large
    const struct plog *l = &p->log;
    if (p->state != PARTITION_ONLINE || (l->state != PLOG_OPEN && l->state != PLOG_AT_REST) || !plog_is_still(l))
        return;
    s = (struct scan){.w = w, .c = c, .p = p, .part = part, .next = -1, .epoch = LEADER_EPOCH_NONE};
    s.answers = w->newest_index >= part->watermark_index && cluster_answers_for(w, part, c);
    s.folder = log_folder_of(l);
    sim_disk_walk(&c->machine->disk, scan_file, &s);
    if (w->sim.failed)
        return;
    if (s.next >= 0 && s.next != plog_written_end(l))
        sim_fail(&w->sim, "%s: on node %u the files end at offset %lld, the log at %lld", part->model.name, c->index + 1,
                 (long long)s.next, (long long)plog_written_end(l));
    if (l->state == PLOG_OPEN)
        check_producers(&s);
}

void cluster_scan(struct cluster_world *w)
{
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct node *n = cluster_serving(&w->nodes[i]);
        for (uint32_t t = 0; n && t < w->account_count; t++)
            for (uint32_t k = 0; k < w->topics[t].partition_count && !w->sim.failed; k++) {
                const struct partition *p = cluster_partition(n, w->topics[t].id, (int32_t)k);
                if (p)
                    scan_log(w, &w->nodes[i], p, &w->topics[t].parts[k]);
            }
    }
    w->result->checks++;
}

// ------------------------------------------------------------------------------------------------ one offset

struct epoch_search {
    struct log_folder folder;
    int64_t offset;
    int32_t epoch;
};

static void search_file(void *context, const char *path, struct sim_inode *i)
{
    struct epoch_search *s = context;
    if (!is_segment(&s->folder, path, i))
        return;
    struct bytes left = bytes_of(i->p, i->bytes);
    struct batch_header h;
    while (left.n && batch_header_read(left, &h) == RC_OK) {
        if (h.base_offset <= s->offset && s->offset <= batch_last_offset(&h))
            s->epoch = h.leader_epoch;
        left = bytes_of(left.p + batch_bytes(&h), left.n - batch_bytes(&h));
    }
}

int32_t cluster_epoch_at(const struct cluster_world *w, uint32_t node, const struct plog *l, int64_t offset)
{
    struct epoch_search s = {.folder = log_folder_of(l), .offset = offset, .epoch = LEADER_EPOCH_NONE};
    if (offset < plog_start_offset(l) || offset >= plog_written_end(l))
        return LEADER_EPOCH_NONE;
    if (l->state == PLOG_OPEN)
        return epoch_cache_at(&l->epochs, offset);
    sim_disk_walk(&w->nodes[node].machine->disk, search_file, &s);
    return s.epoch;
}
