// SPDX-License-Identifier: Apache-2.0
//
// Names of the simulated disk: folders in two states, changes that are not durable yet, and what of them a power cut
// leaves. Most journals keep the order of changes, POSIX promises none: both are played.
#include "disk_private.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "memory.h"

// ------------------------------------------------------------------------------------------------ tables of names

static size_t names_slot(const struct sim_names *t, const char *name, bool *found)
{
    size_t low = 0, high = t->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int c = strcmp(t->v[middle].name, name);
        if (c == 0) {
            *found = true;
            return middle;
        }
        if (c < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = false;
    return low;
}

static struct sim_inode *names_get(const struct sim_names *t, const char *name)
{
    bool found;
    size_t at = names_slot(t, name, &found);
    return found ? t->v[at].inode : NULL;
}

static char *copy_text(const char *s)
{
    size_t n = strlen(s) + 1;
    return memcpy(sim_alloc(n), s, n);
}

static void names_remove(struct sim_names *t, const char *name)
{
    bool found;
    size_t at = names_slot(t, name, &found);
    if (!found)
        return;
    struct sim_inode *i = t->v[at].inode;
    sim_free(t->v[at].name);
    memmove(&t->v[at], &t->v[at + 1], (t->count - at - 1) * sizeof(*t->v));
    t->count--;
    sim_inode_unref(i);
}

static void names_put(struct sim_names *t, const char *name, struct sim_inode *i)
{
    sim_inode_ref(i);
    names_remove(t, name);
    bool found;
    size_t at = names_slot(t, name, &found);
    if (t->count == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 8;
        t->v = sim_realloc(t->v, t->cap * sizeof(*t->v));
    }
    memmove(&t->v[at + 1], &t->v[at], (t->count - at) * sizeof(*t->v));
    t->v[at] = (struct sim_name){.name = copy_text(name), .inode = i};
    t->count++;
}

static void names_clear(struct sim_names *t)
{
    while (t->count)
        names_remove(t, t->v[t->count - 1].name);
    sim_free(t->v);
    *t = (struct sim_names){0};
}

// ------------------------------------------------------------------------------------------------ inodes

static struct sim_inode *inode_new(struct sim_disk *d, bool is_dir)
{
    struct sim_inode *i = sim_alloc(sizeof(*i));
    i->disk = d;
    i->id = ++d->inode_next;
    i->is_dir = is_dir;
    i->cut_bytes = UINT64_MAX;
    i->refs = 1;
    list_push_back(&d->inodes, &i->link);
    return i;
}

void sim_inode_ref(struct sim_inode *i)
{
    i->refs++;
}

void sim_inode_unref(struct sim_inode *i)
{
    ASSERT(i->refs > 0);
    if (--i->refs)
        return;
    names_clear(&i->names);
    names_clear(&i->names_durable);
    sim_disk_inode_free(i);
}

void sim_disk_init(struct sim_disk *d, uint64_t capacity_bytes, struct prng *prng)
{
    *d = (struct sim_disk){.capacity_bytes = capacity_bytes, .prng = prng};
    list_init(&d->inodes);
    list_init(&d->dirty);
    list_init(&d->name_changes);
    d->root = inode_new(d, true);
}

static void change_free(struct sim_disk *d, struct sim_name_change *c)
{
    list_remove(&d->name_changes, &c->link);
    if (c->from_dir)
        sim_inode_unref(c->from_dir);
    if (c->to_dir)
        sim_inode_unref(c->to_dir);
    sim_inode_unref(c->inode);
    sim_free(c->from);
    sim_free(c->to);
    sim_free(c);
}

void sim_disk_deinit(struct sim_disk *d)
{
    struct list_node *n;
    while ((n = list_first(&d->name_changes)))
        change_free(d, list_entry(n, struct sim_name_change, link));
    sim_inode_unref(d->root);
    ASSERT(list_empty(&d->inodes)); // a handle was forgotten
}

void sim_disk_empty(struct sim_disk *d)
{
    struct list_node *n;
    while ((n = list_first(&d->name_changes)))
        change_free(d, list_entry(n, struct sim_name_change, link));
    names_clear(&d->root->names);
    names_clear(&d->root->names_durable);
}

// ------------------------------------------------------------------------------------------------ paths

enum { NAME_BYTES_MAX = 256 };

// Walks to the folder that holds the last part of path and copies that part. NULL: a folder on the way is missing.
static struct sim_inode *walk_to_parent(struct sim_disk *d, const char *path, char last[NAME_BYTES_MAX])
{
    struct sim_inode *dir = d->root;
    last[0] = 0;
    for (const char *p = path; *p;) {
        size_t n = strcspn(p, "/");
        bool counts = n && !(n == 1 && p[0] == '.');
        if (counts) {
            if (last[0]) {
                dir = names_get(&dir->names, last);
                if (!dir || !dir->is_dir)
                    return NULL;
            }
            if (n >= NAME_BYTES_MAX)
                return NULL;
            memcpy(last, p, n);
            last[n] = 0;
        }
        p += n;
        p += *p == '/';
    }
    return dir;
}

struct sim_inode *sim_disk_find(struct sim_disk *d, const char *path)
{
    char last[NAME_BYTES_MAX];
    struct sim_inode *dir = walk_to_parent(d, path, last);
    if (!dir)
        return NULL;
    return last[0] ? names_get(&dir->names, last) : dir;
}

static void change_add(struct sim_disk *d, struct sim_inode *from_dir, const char *from, struct sim_inode *to_dir,
                       const char *to, struct sim_inode *inode)
{
    struct sim_name_change *c = sim_alloc(sizeof(*c));
    c->serial = ++d->name_serial;
    c->from_dir = from_dir;
    c->to_dir = to_dir;
    c->inode = inode;
    if (from_dir)
        sim_inode_ref(from_dir);
    if (to_dir)
        sim_inode_ref(to_dir);
    sim_inode_ref(inode);
    c->from = from ? copy_text(from) : NULL;
    c->to = to ? copy_text(to) : NULL;
    list_push_back(&d->name_changes, &c->link);
}

enum rc sim_disk_create(struct sim_disk *d, const char *path, bool is_dir, struct sim_inode **out)
{
    char last[NAME_BYTES_MAX];
    struct sim_inode *dir = walk_to_parent(d, path, last);
    if (!dir)
        return RC_NOT_FOUND;
    if (!last[0] || names_get(&dir->names, last))
        return RC_EXISTS;
    struct sim_inode *i = inode_new(d, is_dir);
    names_put(&dir->names, last, i);
    change_add(d, NULL, NULL, dir, last, i);
    sim_inode_unref(i);
    *out = i;
    return RC_OK;
}

enum rc sim_disk_rename(struct sim_disk *d, const char *from, const char *to)
{
    char from_last[NAME_BYTES_MAX], to_last[NAME_BYTES_MAX];
    struct sim_inode *from_dir = walk_to_parent(d, from, from_last);
    struct sim_inode *to_dir = walk_to_parent(d, to, to_last);
    if (!from_dir || !to_dir || !from_last[0] || !to_last[0])
        return RC_NOT_FOUND;
    struct sim_inode *i = names_get(&from_dir->names, from_last);
    if (!i)
        return RC_NOT_FOUND;
    struct sim_inode *old = names_get(&to_dir->names, to_last);
    if (old == i)
        return RC_OK;
    if (old && (old->is_dir != i->is_dir || (old->is_dir && old->names.count)))
        return RC_EXISTS;
    sim_inode_ref(i);
    names_remove(&from_dir->names, from_last);
    names_put(&to_dir->names, to_last, i);
    change_add(d, from_dir, from_last, to_dir, to_last, i);
    sim_inode_unref(i);
    return RC_OK;
}

enum rc sim_disk_unlink(struct sim_disk *d, const char *path)
{
    char last[NAME_BYTES_MAX];
    struct sim_inode *dir = walk_to_parent(d, path, last);
    struct sim_inode *i = dir && last[0] ? names_get(&dir->names, last) : NULL;
    if (!i)
        return RC_NOT_FOUND;
    if (i->is_dir && i->names.count)
        return RC_EXISTS;
    change_add(d, dir, last, NULL, NULL, i);
    names_remove(&dir->names, last);
    return RC_OK;
}

// ------------------------------------------------------------------------------------------------ durability

static void change_apply(const struct sim_name_change *c)
{
    if (c->from_dir && names_get(&c->from_dir->names_durable, c->from) == c->inode)
        names_remove(&c->from_dir->names_durable, c->from);
    if (c->to_dir)
        names_put(&c->to_dir->names_durable, c->to, c->inode);
}

void sim_disk_names_commit(struct sim_disk *d, const struct sim_inode *dir, uint64_t serial)
{
    struct list_node *next;
    for (struct list_node *n = list_first(&d->name_changes); n; n = next) {
        next = list_next(&d->name_changes, n);
        struct sim_name_change *c = list_entry(n, struct sim_name_change, link);
        if (c->serial > serial)
            break;
        if (dir && c->from_dir != dir && c->to_dir != dir)
            continue;
        change_apply(c);
        change_free(d, c);
    }
}

void sim_disk_names_write_through(struct sim_disk *d)
{
    sim_disk_names_commit(d, NULL, d->name_serial);
}

// The cache's view of every folder becomes the platter's.
static void names_restart(struct sim_inode *i)
{
    names_clear(&i->names);
    for (size_t k = 0; k < i->names_durable.count; k++) {
        names_put(&i->names, i->names_durable.v[k].name, i->names_durable.v[k].inode);
        if (i->names_durable.v[k].inode->is_dir)
            names_restart(i->names_durable.v[k].inode);
    }
}

void sim_disk_names_power_cut(struct sim_disk *d)
{
    bool in_order = prng_chance(d->prng, 3, 4);
    uint64_t left = prng_below(d->prng, d->name_changes.count + 1);
    struct list_node *n;
    while ((n = list_first(&d->name_changes))) {
        struct sim_name_change *c = list_entry(n, struct sim_name_change, link);
        if (in_order ? left > 0 : prng_chance(d->prng, 1, 2))
            change_apply(c);
        else
            d->lost_names++;
        left -= left > 0;
        change_free(d, c);
    }
    names_restart(d->root);
}

// ------------------------------------------------------------------------------------------------ walking

static void walk(struct sim_inode *dir, const char *prefix, void (*visit)(void *, const char *, struct sim_inode *),
                 void *context)
{
    for (size_t k = 0; k < dir->names.count; k++) {
        char path[1024];
        int n = snprintf(path, sizeof(path), "%s/%s", prefix, dir->names.v[k].name);
        ASSERT(n > 0 && (size_t)n < sizeof(path));
        visit(context, path, dir->names.v[k].inode);
        if (dir->names.v[k].inode->is_dir)
            walk(dir->names.v[k].inode, path, visit, context);
    }
}

void sim_disk_walk(struct sim_disk *d, void (*visit)(void *context, const char *path, struct sim_inode *i),
                   void *context)
{
    walk(d->root, "", visit, context);
}

void sim_disk_pick_visit(void *context, const char *path, struct sim_inode *i)
{
    struct sim_disk_pick *pick = context;
    size_t n = strlen(path), k = strlen(pick->suffix);
    if (i->is_dir || !i->durable_bytes || !i->bytes || n < k || strcmp(path + n - k, pick->suffix) != 0)
        return;
    if (prng_below(pick->prng, ++pick->seen) != 0)
        return;
    pick->inode = i;
    snprintf(pick->path, pick->path_bytes, "%s", path);
}
