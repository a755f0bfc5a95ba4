// SPDX-License-Identifier: Apache-2.0
//
// Files of the simulated disk: contents, sectors, pages, syncs and the power cut. Names are in disk_names.c.
#include "disk_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "memory.h"

static bool bit_get(const uint64_t *v, size_t words, uint64_t bit)
{
    return bit / 64 < words && (v[bit / 64] >> (bit % 64) & 1);
}

static void bit_set(uint64_t *v, uint64_t bit)
{
    v[bit / 64] |= UINT64_C(1) << (bit % 64);
}

static void bit_clear(uint64_t *v, uint64_t bit)
{
    v[bit / 64] &= ~(UINT64_C(1) << (bit % 64));
}

static size_t page_words(size_t sector_words)
{
    return (sector_words + 7) / 8;
}

__attribute__((noinline)) void sim_disk_double(uint8_t **p, size_t *cap, size_t bytes)
{
    size_t to = *cap ? *cap : 1024;
    while (to < bytes)
        to *= 2;
    *p = sim_realloc(*p, to);
    memset(*p + *cap, 0, to - *cap);
    *cap = to;
}

static void grow(uint8_t **p, size_t *cap, size_t bytes)
{
    if (bytes > *cap)
        sim_disk_double(p, cap, bytes);
}

static void grow_bits(struct sim_inode *i, size_t bytes)
{
    size_t words = (bytes + SIM_SECTOR_BYTES * 64 - 1) / (SIM_SECTOR_BYTES * 64);
    if (words <= i->bit_words)
        return;
    size_t to = i->bit_words ? i->bit_words : 1;
    while (to < words)
        to *= 2;
    i->dirty = sim_realloc(i->dirty, to * sizeof(uint64_t));
    memset(i->dirty + i->bit_words, 0, (to - i->bit_words) * sizeof(uint64_t));
    size_t had = page_words(i->bit_words);
    i->resident = sim_realloc(i->resident, page_words(to) * sizeof(uint64_t));
    memset(i->resident + had, 0, (page_words(to) - had) * sizeof(uint64_t));
    i->bit_words = to;
}

static bool is_dirty(const struct sim_inode *i)
{
    return i->dirty_count || i->cut_bytes != UINT64_MAX || i->bytes != i->durable_bytes;
}

static void dirty_update(struct sim_inode *i)
{
    if (is_dirty(i) && !list_node_linked(&i->dirty_link))
        list_push_back(&i->disk->dirty, &i->dirty_link);
    else if (!is_dirty(i) && list_node_linked(&i->dirty_link))
        list_remove(&i->disk->dirty, &i->dirty_link);
}

void sim_disk_inode_free(struct sim_inode *i)
{
    if (list_node_linked(&i->dirty_link))
        list_remove(&i->disk->dirty, &i->dirty_link);
    list_remove(&i->disk->inodes, &i->link);
    i->disk->used_bytes -= i->bytes;
    sim_free(i->p);
    sim_free(i->durable);
    sim_free(i->dirty);
    sim_free(i->resident);
    sim_free(i);
}

// ------------------------------------------------------------------------------------------------ data

static void sector_dirty(struct sim_inode *i, uint64_t sector)
{
    if (!bit_get(i->dirty, i->bit_words, sector)) {
        bit_set(i->dirty, sector);
        i->dirty_count++;
    }
}

static void set_bytes(struct sim_inode *i, size_t bytes)
{
    i->disk->used_bytes += bytes;
    i->disk->used_bytes -= i->bytes;
    i->bytes = bytes;
}

enum rc sim_inode_write(struct sim_inode *i, const uint8_t *p, size_t n, uint64_t offset, size_t *moved)
{
    ASSERT(!i->is_dir);
    struct sim_disk *d = i->disk;
    size_t fits = n;
    enum rc rc = RC_OK;
    if (offset + n > i->bytes) {
        uint64_t grows = offset + n - i->bytes;
        uint64_t free_bytes = d->capacity_bytes > d->used_bytes ? d->capacity_bytes - d->used_bytes : 0;
        if (grows > free_bytes) {
            fits = n > grows - free_bytes ? n - (size_t)(grows - free_bytes) : 0;
            rc = RC_NO_SPACE;
        }
    }
    *moved = fits;
    if (!fits)
        return rc;
    size_t end = (size_t)offset + fits;
    grow(&i->p, &i->cap, end);
    grow_bits(i, end);
    size_t from = offset < i->bytes ? (size_t)offset : i->bytes; // a hole before offset reads as zeros
    memcpy(i->p + offset, p, fits);
    for (uint64_t s = from / SIM_SECTOR_BYTES; s <= (end - 1) / SIM_SECTOR_BYTES; s++)
        sector_dirty(i, s);
    for (uint64_t g = from / SIM_PAGE_BYTES; g <= (end - 1) / SIM_PAGE_BYTES; g++)
        bit_set(i->resident, g);
    if (end > i->bytes)
        set_bytes(i, end);
    dirty_update(i);
    return rc;
}

size_t sim_inode_read(struct sim_inode *i, uint8_t *p, size_t n, uint64_t offset)
{
    ASSERT(!i->is_dir);
    if (offset >= i->bytes)
        return 0;
    size_t left = i->bytes - (size_t)offset;
    size_t k = n < left ? n : left;
    memcpy(p, i->p + offset, k);
    return k;
}

void sim_inode_truncate(struct sim_inode *i, uint64_t bytes)
{
    if (bytes > i->bytes) {
        grow(&i->p, &i->cap, (size_t)bytes);
        grow_bits(i, (size_t)bytes);
    } else {
        // The tail of the last sector reads as zeros when the file grows again.
        if (i->p)
            memset(i->p + bytes, 0, i->bytes - (size_t)bytes);
        uint64_t first = (bytes + SIM_SECTOR_BYTES - 1) / SIM_SECTOR_BYTES;
        for (uint64_t s = first; s * SIM_SECTOR_BYTES < i->bytes; s++)
            if (bit_get(i->dirty, i->bit_words, s)) {
                bit_clear(i->dirty, s);
                i->dirty_count--;
            }
        if (bytes < i->durable_bytes && bytes < i->cut_bytes)
            i->cut_bytes = bytes;
    }
    set_bytes(i, (size_t)bytes);
    dirty_update(i);
}

// ------------------------------------------------------------------------------------------------ the page cache

bool sim_inode_resident(const struct sim_inode *i, uint64_t offset, uint64_t bytes)
{
    uint64_t end = offset + bytes < i->bytes ? offset + bytes : i->bytes;
    for (uint64_t g = offset / SIM_PAGE_BYTES; g * SIM_PAGE_BYTES < end; g++)
        if (!bit_get(i->resident, page_words(i->bit_words), g))
            return false;
    return true;
}

void sim_inode_load(struct sim_inode *i, uint64_t offset, uint64_t bytes)
{
    uint64_t end = offset + bytes < i->bytes ? offset + bytes : i->bytes;
    for (uint64_t g = offset / SIM_PAGE_BYTES; g * SIM_PAGE_BYTES < end; g++)
        bit_set(i->resident, g);
}

static bool page_is_dirty(const struct sim_inode *i, uint64_t page)
{
    uint64_t word = page / 8;
    return word < i->bit_words && (i->dirty[word] >> (page % 8 * 8) & 0xff);
}

void sim_disk_evict(struct sim_disk *d)
{
    for (struct list_node *n = list_first(&d->inodes); n; n = list_next(&d->inodes, n)) {
        struct sim_inode *i = list_entry(n, struct sim_inode, link);
        uint64_t odds = 1 + prng_below(d->prng, 4);
        for (uint64_t g = 0; !i->is_dir && g * SIM_PAGE_BYTES < i->bytes; g++)
            if (!page_is_dirty(i, g) && prng_chance(d->prng, odds, 4))
                bit_clear(i->resident, g);
    }
}

void sim_disk_reclaim(struct sim_disk *d)
{
    for (struct list_node *n = list_first(&d->inodes); n; n = list_next(&d->inodes, n)) {
        struct sim_inode *i = list_entry(n, struct sim_inode, link);
        size_t known = i->cut_bytes < i->durable_bytes ? (size_t)i->cut_bytes : i->durable_bytes;
        uint64_t odds = prng_below(d->prng, 4);
        for (uint64_t g = 0; !i->is_dir && i->sync_errors && g * SIM_PAGE_BYTES < i->bytes; g++) {
            size_t from = (size_t)g * SIM_PAGE_BYTES;
            size_t end = from + SIM_PAGE_BYTES < i->bytes ? from + SIM_PAGE_BYTES : i->bytes;
            if (page_is_dirty(i, g) || !prng_chance(d->prng, odds, 4))
                continue;
            size_t held = known <= from ? 0 : known < end ? known - from : end - from;
            if (held)
                memcpy(i->p + from, i->durable + from, held);
            memset(i->p + from + held, 0, end - from - held);
            bit_clear(i->resident, g);
        }
    }
}

// ------------------------------------------------------------------------------------------------ to the platter

// A truncation reaches the platter before anything written behind it: journals keep that order.
static void commit_cut(struct sim_inode *i)
{
    if (i->cut_bytes == UINT64_MAX)
        return;
    if (i->durable_bytes > i->cut_bytes) {
        memset(i->durable + i->cut_bytes, 0, i->durable_bytes - (size_t)i->cut_bytes);
        i->durable_bytes = (size_t)i->cut_bytes;
    }
    i->cut_bytes = UINT64_MAX;
}

static void commit_sector(struct sim_inode *i, uint64_t s)
{
    size_t from = (size_t)s * SIM_SECTOR_BYTES;
    ASSERT(from < i->bytes);
    size_t end = from + SIM_SECTOR_BYTES < i->bytes ? from + SIM_SECTOR_BYTES : i->bytes;
    if (end > i->cut_bytes)
        commit_cut(i);
    grow(&i->durable, &i->durable_cap, end);
    memcpy(i->durable + from, i->p + from, end - from);
    if (end > i->durable_bytes)
        i->durable_bytes = end;
    bit_clear(i->dirty, s);
    i->dirty_count--;
    i->disk->written_back_sectors++;
}

static void commit_size(struct sim_inode *i, size_t bytes)
{
    if (bytes <= i->durable_bytes)
        return;
    grow(&i->durable, &i->durable_cap, bytes);
    i->durable_bytes = bytes;
}

// Calls commit_sector for dirty sectors, each with numerator in denominator odds.
static void commit_some(struct sim_inode *i, uint64_t numerator, uint64_t denominator)
{
    for (size_t w = 0; w < i->bit_words && i->dirty_count; w++)
        for (uint64_t left = i->dirty[w]; left; left &= left - 1)
            if (numerator == denominator || prng_chance(i->disk->prng, numerator, denominator))
                commit_sector(i, w * 64 + (uint64_t)__builtin_ctzll(left));
}

void sim_inode_write_through(struct sim_inode *i)
{
    commit_cut(i);
    commit_some(i, 1, 1);
    commit_size(i, i->bytes);
    dirty_update(i);
}

void sim_disk_write_back(struct sim_disk *d)
{
    struct list_node *next;
    for (struct list_node *n = list_first(&d->dirty); n; n = next) {
        next = list_next(&d->dirty, n);
        struct sim_inode *i = list_entry(n, struct sim_inode, dirty_link);
        if (prng_chance(d->prng, 1, 2))
            commit_some(i, 1 + prng_below(d->prng, 3), 4);
        dirty_update(i);
    }
    if (prng_chance(d->prng, 1, 8))
        sim_disk_names_commit(d, NULL, d->name_serial); // the journal commits now and then by itself
}

static void sync_add(struct sim_sync *s, struct sim_inode *i)
{
    struct sim_sync_file *f = &s->files[s->file_count++];
    *f = (struct sim_sync_file){.inode = i, .words = i->bit_words, .bytes = i->bytes};
    f->sectors = sim_alloc(f->words * sizeof(uint64_t));
    if (f->words)
        memcpy(f->sectors, i->dirty, f->words * sizeof(uint64_t));
    sim_inode_ref(i);
}

void sim_sync_begin(struct sim_sync *s, struct sim_disk *d, struct sim_inode *i)
{
    *s = (struct sim_sync){.disk = d, .inode = i, .name_serial = d->name_serial};
    if (i)
        sim_inode_ref(i);
    if (i && i->is_dir)
        return;
    s->files = sim_alloc((i ? 1 : d->dirty.count) * sizeof(*s->files));
    if (i) {
        sync_add(s, i);
        return;
    }
    for (struct list_node *n = list_first(&d->dirty); n; n = list_next(&d->dirty, n))
        sync_add(s, list_entry(n, struct sim_inode, dirty_link));
}

static void sync_file(struct sim_sync_file *f, bool written)
{
    struct sim_inode *i = f->inode;
    size_t dirty = i->dirty_count;
    if (written)
        commit_cut(i);
    for (size_t w = 0; w < f->words; w++)
        for (uint64_t left = f->sectors[w] & i->dirty[w]; left; left &= left - 1) {
            uint64_t s = w * 64 + (uint64_t)__builtin_ctzll(left);
            if (written) {
                commit_sector(i, s);
            } else {
                bit_clear(i->dirty, s);
                i->dirty_count--;
            }
        }
    if (written)
        commit_size(i, f->bytes < i->bytes ? f->bytes : i->bytes);
    i->sync_errors += !written && i->dirty_count < dirty;
    dirty_update(i);
}

void sim_sync_finish(struct sim_sync *s)
{
    for (size_t k = 0; k < s->file_count; k++)
        sync_file(&s->files[k], true);
    if (!s->inode || s->inode->is_dir)
        sim_disk_names_commit(s->disk, s->inode, s->name_serial);
    sim_sync_forget(s);
}

void sim_sync_fail(struct sim_sync *s)
{
    for (size_t k = 0; k < s->file_count; k++)
        sync_file(&s->files[k], false);
    sim_sync_forget(s);
}

void sim_sync_forget(struct sim_sync *s)
{
    for (size_t k = 0; k < s->file_count; k++) {
        sim_free(s->files[k].sectors);
        sim_inode_unref(s->files[k].inode);
    }
    sim_free(s->files);
    if (s->inode)
        sim_inode_unref(s->inode);
    *s = (struct sim_sync){0};
}

// ------------------------------------------------------------------------------------------------ the power cut

// What was on its way reaches the platter in part: nothing, everything, a random choice, or only what lies on one side
// of a random sector.
static void power_cut_file(struct sim_inode *i)
{
    struct prng *r = i->disk->prng;
    uint64_t sectors = (i->bytes + SIM_SECTOR_BYTES - 1) / SIM_SECTOR_BYTES;
    uint64_t how = prng_below(r, 6);
    uint64_t at = sectors ? prng_below(r, sectors) : 0;
    if (i->cut_bytes != UINT64_MAX && prng_chance(r, 1, 2))
        commit_cut(i);
    uint64_t odds = 1 + prng_below(r, 7);
    for (size_t w = 0; w < i->bit_words && i->dirty_count && how != 0; w++)
        for (uint64_t left = i->dirty[w]; left; left &= left - 1) {
            uint64_t s = w * 64 + (uint64_t)__builtin_ctzll(left);
            bool kept =
                how == 1 || (how == 2 && s < at) || (how == 3 && s >= at) || (how >= 4 && prng_chance(r, odds, 8));
            bool behind_cut = (s + 1) * SIM_SECTOR_BYTES > i->cut_bytes && how >= 4;
            if (kept && !behind_cut)
                commit_sector(i, s);
        }
    // The size may have been written without the data (it then reads as zeros), but never past a cut that is not there.
    if (i->cut_bytes == UINT64_MAX && i->durable_bytes < i->bytes && prng_chance(r, 1, 4))
        commit_size(i, i->durable_bytes + 1 + prng_below(r, i->bytes - i->durable_bytes));
    i->disk->lost_sectors += i->dirty_count;
}

static void restart_file(struct sim_inode *i)
{
    if (i->bit_words)
        memset(i->dirty, 0, i->bit_words * sizeof(uint64_t));
    i->dirty_count = 0;
    i->cut_bytes = UINT64_MAX;
    grow(&i->p, &i->cap, i->durable_bytes);
    grow_bits(i, i->durable_bytes);
    if (i->cap)
        memset(i->p, 0, i->cap);
    if (i->durable_bytes)
        memcpy(i->p, i->durable, i->durable_bytes);
    set_bytes(i, i->durable_bytes);
    if (i->bit_words)
        memset(i->resident, 0, page_words(i->bit_words) * sizeof(uint64_t));
    i->locked = false;
    dirty_update(i);
}

void sim_disk_power_cut(struct sim_disk *d)
{
    for (struct list_node *n = list_first(&d->dirty); n; n = list_next(&d->dirty, n)) {
        struct sim_inode *i = list_entry(n, struct sim_inode, dirty_link);
        power_cut_file(i);
    }
    sim_disk_names_power_cut(d);
    for (struct list_node *n = list_first(&d->inodes); n; n = list_next(&d->inodes, n)) {
        struct sim_inode *i = list_entry(n, struct sim_inode, link);
        if (!i->is_dir)
            restart_file(i);
    }
}

bool sim_disk_rot(struct sim_disk *d, const char *suffix, char *path, size_t path_bytes, uint64_t *offset)
{
    struct sim_disk_pick pick = {.suffix = suffix, .prng = d->prng, .path = path, .path_bytes = path_bytes};
    sim_disk_walk(d, sim_disk_pick_visit, &pick);
    struct sim_inode *i = pick.inode;
    if (!i)
        return false;
    for (int tries = 0; tries < 16; tries++) {
        uint64_t at = prng_below(d->prng, i->bytes);
        if (at >= i->durable_bytes || bit_get(i->dirty, i->bit_words, at / SIM_SECTOR_BYTES))
            continue;
        uint8_t bit = (uint8_t)(1u << prng_below(d->prng, 8));
        i->durable[at] ^= bit;
        i->p[at] ^= bit;
        i->rotten = true;
        *offset = at;
        return true;
    }
    return false;
}
