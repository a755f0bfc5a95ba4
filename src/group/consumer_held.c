// SPDX-License-Identifier: Apache-2.0
//
// Who holds which partition in a group of the new protocol: an index over what its members have (key 8), one table a
// topic, so that a member's next step finds in one look whether a partition is free.
#include "group/consumer.h"

#include <stdlib.h>

static bool held_eq(const struct map_node *n, const void *key)
{
    return uuid_eq(container_of(n, struct consumer_held, node)->topic_id, *(const struct uuid *)key);
}

static struct consumer_held *held_find(const struct consumer_group *cg, struct uuid topic)
{
    struct map_node *n = map_find(&cg->held, map_hash_bytes(bytes_of(topic.b, sizeof(topic.b))), held_eq, &topic);
    return n ? container_of(n, struct consumer_held, node) : NULL;
}

struct consumer_member *consumer_owner(const struct consumer_group *cg, struct uuid topic, int32_t partition)
{
    const struct consumer_held *h = held_find(cg, topic);
    return h && partition >= 0 && (uint32_t)partition < h->room ? h->owners[partition] : NULL;
}

void consumer_release(struct consumer_group *cg, const struct consumer_member *m, const struct partition_set *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct consumer_held *h = held_find(cg, s->topics[i].topic_id);
        for (uint32_t k = 0; h && k < s->topics[i].count; k++) {
            uint32_t p = (uint32_t)s->topics[i].partitions[k];
            if (p < h->room && h->owners[p] == m) {
                h->owners[p] = NULL;
                h->held--;
            }
        }
        if (h && h->held == 0) {
            map_remove(&cg->held, &h->node);
            free(h->owners);
            free(h);
        }
    }
}

static struct consumer_held *held_make(struct consumer_group *cg, const struct partition_topic *t)
{
    struct consumer_held *h = held_find(cg, t->topic_id);
    uint32_t room = (uint32_t)t->partitions[t->count - 1] + 1;
    if (!h) {
        h = calloc(1, sizeof(*h));
        if (!h)
            return NULL;
        h->topic_id = t->topic_id;
        if (map_insert(&cg->held, &h->node, map_hash_bytes(bytes_of(t->topic_id.b, sizeof(t->topic_id.b)))) != RC_OK) {
            free(h);
            return NULL;
        }
    }
    if (room > h->room) {
        struct consumer_member **owners = realloc(h->owners, room * sizeof(struct consumer_member *));
        if (!owners)
            return NULL;
        memset(owners + h->room, 0, (room - h->room) * sizeof(struct consumer_member *));
        h->owners = owners;
        h->room = room;
    }
    return h;
}

enum rc consumer_claim(struct consumer_group *cg, struct consumer_member *m, const struct partition_set *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct consumer_held *h = held_make(cg, &s->topics[i]);
        if (!h)
            return RC_NOMEM;
        for (uint32_t k = 0; k < s->topics[i].count; k++) {
            struct consumer_member **owner = &h->owners[s->topics[i].partitions[k]];
            VERIFY(!*owner || *owner == m || m->gr->groups->loading);
            h->held += *owner == NULL;
            *owner = m;
        }
    }
    return RC_OK;
}
