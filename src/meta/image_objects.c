// SPDX-License-Identifier: Apache-2.0
//
// The objects an image shares between versions: partitions, chunks, topics, nodes, configurations. Each is one
// allocation with its strings and lists inside, made whole and then only counted.
#include "meta/image_core.h"

#include <stdlib.h>

// ---- partitions ----

struct image_partition *image_partition_build(const struct partitions_record_partition *from)
{
    size_t nodes =
        (size_t)from->replicas_count + from->isr_count + from->elr_count + from->adding_count + from->removing_count;
    size_t bytes =
        sizeof(struct image_partition) + nodes * sizeof(int32_t) + from->replicas_count * sizeof(struct uuid);
    struct image_partition *p = malloc(bytes);
    if (!p)
        return NULL;
    *p = (struct image_partition){
        .refs = 1,
        .leader = from->leader,
        .leader_epoch = from->leader_epoch,
        .epoch = from->partition_epoch,
        .last_known_leader = from->last_known_leader,
        .recovery = (uint8_t)from->recovery,
        .replica_count = (uint8_t)from->replicas_count,
        .isr_count = (uint8_t)from->isr_count,
        .elr_count = (uint8_t)from->elr_count,
        .adding_count = (uint8_t)from->adding_count,
        .removing_count = (uint8_t)from->removing_count,
    };
    const struct {
        const int32_t *p;
        uint32_t n;
    } lists[] = {{from->replicas, from->replicas_count},
                 {from->isr, from->isr_count},
                 {from->elr, from->elr_count},
                 {from->adding, from->adding_count},
                 {from->removing, from->removing_count}};
    int32_t *to = p->nodes;
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        if (lists[i].n)
            memcpy(to, lists[i].p, lists[i].n * sizeof(int32_t));
        to += lists[i].n;
    }
    struct uuid none = {0};
    for (uint32_t i = 0; i < from->replicas_count; i++)
        memcpy((uint8_t *)to + i * sizeof(none), i < from->directories_count ? &from->directories[i] : &none,
               sizeof(none));
    return p;
}

void image_partition_unref(struct image_partition *p)
{
    if (p && image_count_down(&p->refs))
        free(p);
}

static void chunk_unref(struct image_chunk *c)
{
    if (!c || !image_count_down(&c->refs))
        return;
    for (uint32_t i = 0; i < c->count; i++)
        image_partition_unref(c->at[i]);
    free(c);
}

// A chunk with room for count partitions, holding those of from (may be NULL).
static struct image_chunk *chunk_build(const struct image *w, const struct image_chunk *from, uint32_t count)
{
    struct image_chunk *c = malloc(sizeof(*c) + count * sizeof(c->at[0]));
    if (!c)
        return NULL;
    c->refs = 1;
    c->version = w->version;
    c->count = from ? from->count : 0;
    for (uint32_t i = 0; i < c->count; i++) {
        c->at[i] = from->at[i];
        image_count_up(&c->at[i]->refs);
    }
    return c;
}

// ---- topics ----

struct image_topic *image_topic_build(struct image *w, struct bytes name, struct uuid id)
{
    ASSERT(name.n <= UINT16_MAX);
    struct image_topic *t = malloc(sizeof(*t) + name.n + 1);
    if (!t) {
        w->poisoned = true;
        return NULL;
    }
    *t = (struct image_topic){.refs = 1, .version = w->version, .id = id, .name_bytes = (uint16_t)name.n};
    memcpy(t->name, name.p, name.n);
    t->name[name.n] = 0;
    return t;
}

void image_topic_unref(struct image_topic *t)
{
    if (!t || !image_count_down(&t->refs))
        return;
    for (uint32_t i = 0; i < t->chunk_count; i++)
        chunk_unref(t->chunks[i]);
    free(t->chunks);
    image_configs_unref(t->configs);
    free(t);
}

struct image_topic *image_topic_own(struct image *w, const struct image_topic *t)
{
    if (t->version == w->version)
        return (struct image_topic *)(uintptr_t)t; // made for w: not shared yet
    struct image_topic *copy = image_topic_build(w, image_topic_name(t), t->id);
    if (!copy)
        return NULL;
    copy->partition_count = t->partition_count;
    copy->changed_index = t->changed_index;
    copy->configs_index = t->configs_index;
    copy->configs = t->configs;
    if (copy->configs)
        image_count_up(&copy->configs->refs);
    if (t->chunk_count) {
        copy->chunks = malloc(t->chunk_count * sizeof(copy->chunks[0]));
        if (!copy->chunks) {
            w->poisoned = true;
            image_topic_unref(copy);
            return NULL;
        }
        copy->chunk_count = t->chunk_count;
        for (uint32_t i = 0; i < t->chunk_count; i++) {
            copy->chunks[i] = t->chunks[i];
            image_count_up(&copy->chunks[i]->refs);
        }
    }
    image_tree_put(w, IMAGE_BY_NAME, copy);
    if (!w->poisoned)
        image_tree_put(w, IMAGE_BY_ID, copy);
    image_topic_unref(copy); // the trees hold it
    return w->poisoned ? NULL : copy;
}

// Room for one more chunk pointer, or for partition p in the last chunk.
static struct image_chunk **chunk_slot(struct image *w, struct image_topic *own, uint32_t chunk)
{
    if (chunk < own->chunk_count)
        return &own->chunks[chunk];
    struct image_chunk **chunks = realloc(own->chunks, (chunk + 1) * sizeof(*chunks));
    if (!chunks) {
        w->poisoned = true;
        return NULL;
    }
    chunks[chunk] = NULL;
    own->chunks = chunks;
    own->chunk_count = chunk + 1;
    return &chunks[chunk];
}

static uint32_t power_of_two(uint32_t n)
{
    ASSERT(n > 0);
    return n == 1 ? 1 : 1u << (32 - __builtin_clz(n - 1));
}

bool image_topic_set(struct image *w, struct image_topic *own, int32_t p, struct image_partition *fresh_owned)
{
    ASSERT(own->version == w->version);
    ASSERT(p >= 0 && p <= own->partition_count);
    uint32_t at = (uint32_t)p % IMAGE_CHUNK_PARTITIONS;
    struct image_chunk **slot = fresh_owned ? chunk_slot(w, own, (uint32_t)p / IMAGE_CHUNK_PARTITIONS) : NULL;
    if (!slot) {
        w->poisoned = true;
        image_partition_unref(fresh_owned);
        return false;
    }
    struct image_chunk *c = *slot;
    uint32_t count = c ? c->count : 0;
    // A chunk's array always has room for a power of two, so that a topic of one partition stays small.
    bool full = at == count && (count & (count - 1)) == 0;
    if (!c || c->version != w->version || full) {
        struct image_chunk *fresh = chunk_build(w, c, power_of_two(at < count ? count : count + 1));
        if (!fresh) {
            w->poisoned = true;
            image_partition_unref(fresh_owned);
            return false;
        }
        chunk_unref(c);
        *slot = c = fresh;
    }
    if (at == c->count) {
        c->at[c->count++] = fresh_owned;
        own->partition_count++;
        w->partition_count++;
    } else {
        (void)image_shares_count(w, c->at[at], -1); // it was counted when it came
        image_partition_unref(c->at[at]);
        c->at[at] = fresh_owned;
    }
    return image_shares_count(w, fresh_owned, 1);
}

// ---- strings in one allocation ----

static char *text_put(char **at, const char *text, size_t n)
{
    char *start = *at;
    memcpy(start, text, n);
    start[n] = 0;
    *at += n + 1;
    return start;
}

static char *text_copy(char **at, const char *text)
{
    return text ? text_put(at, text, strlen(text)) : NULL;
}

static size_t text_bytes(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

struct image_node *image_node_build(const struct image_node *from)
{
    size_t text = text_bytes(from->rack) + text_bytes(from->peer_host);
    for (uint32_t i = 0; i < from->listener_count; i++)
        text += text_bytes(from->listeners[i].name) + text_bytes(from->listeners[i].host);
    for (uint32_t i = 0; i < from->feature_count; i++)
        text += text_bytes(from->features[i].name);
    size_t bytes = sizeof(*from) + from->listener_count * sizeof(struct image_listener) +
                   from->feature_count * sizeof(struct image_feature_range) +
                   from->directory_count * sizeof(struct uuid) + text;
    struct image_node *n = malloc(bytes);
    if (!n)
        return NULL;
    *n = *from;
    n->refs = 1;
    struct image_listener *listeners = (struct image_listener *)(n + 1);
    struct image_feature_range *features = (struct image_feature_range *)(listeners + from->listener_count);
    struct uuid *directories = (struct uuid *)(features + from->feature_count);
    char *at = (char *)(directories + from->directory_count);
    for (uint32_t i = 0; i < from->listener_count; i++) {
        listeners[i] = from->listeners[i];
        listeners[i].name = text_copy(&at, from->listeners[i].name);
        listeners[i].host = text_copy(&at, from->listeners[i].host);
    }
    for (uint32_t i = 0; i < from->feature_count; i++) {
        features[i] = from->features[i];
        features[i].name = text_copy(&at, from->features[i].name);
    }
    if (from->directory_count)
        memcpy(directories, from->directories, from->directory_count * sizeof(struct uuid));
    n->rack = text_copy(&at, from->rack);
    n->peer_host = text_copy(&at, from->peer_host);
    n->listeners = listeners;
    n->features = features;
    n->directories = directories;
    ASSERT(at == (char *)n + bytes);
    return n;
}

void image_node_unref(struct image_node *n)
{
    if (n && image_count_down(&n->refs))
        free(n);
}

// ---- configurations ----

enum rc image_configs_with(const struct image_configs *from, struct bytes name, struct bytes value,
                           struct image_configs **out)
{
    uint32_t old = from ? from->count : 0, kept = 0;
    size_t text = value.p ? name.n + value.n + 2 : 0;
    for (uint32_t i = 0; i < old; i++)
        if (!bytes_eq(bytes_str(from->pairs[i].name), name))
            text += text_bytes(from->pairs[i].name) + text_bytes(from->pairs[i].value);
    *out = NULL;
    if (text == 0)
        return RC_OK;
    struct image_configs *c = malloc(sizeof(*c) + ((size_t)old + 1) * sizeof(c->pairs[0]) + text);
    if (!c)
        return RC_NOMEM;
    char *at = (char *)(c->pairs + old + 1);
    bool placed = value.p == NULL;
    for (uint32_t i = 0; i <= old; i++) {
        int order = i < old ? bytes_cmp(bytes_str(from->pairs[i].name), name) : 1;
        if (order >= 0 && !placed) {
            c->pairs[kept].name = text_put(&at, (const char *)name.p, name.n);
            c->pairs[kept++].value = text_put(&at, (const char *)value.p, value.n);
            placed = true;
        }
        if (i < old && order != 0) {
            c->pairs[kept].name = text_copy(&at, from->pairs[i].name);
            c->pairs[kept++].value = text_copy(&at, from->pairs[i].value);
        }
    }
    c->refs = 1;
    c->count = kept;
    *out = c;
    return RC_OK;
}

void image_configs_unref(struct image_configs *c)
{
    if (c && image_count_down(&c->refs))
        free(c);
}
