// SPDX-License-Identifier: Apache-2.0
//
// Committed offsets of a group: the table, its records, its snapshot.
#include "group/core.h"

#include <stdlib.h>

enum { VALUE_VERSION = 3, VALUE_VERSION_EXPIRES = 1 }; // what Kafka 4 writes; only version 1 can carry an expiry

static uint64_t offset_hash(const struct topic_ref *topic, int32_t partition)
{
    return map_hash_u64(topic->node.hash + (uint64_t)(uint32_t)partition);
}

struct offset_key {
    const struct topic_ref *topic;
    int32_t partition;
};

static bool offset_eq(const struct map_node *n, const void *key)
{
    const struct group_offset *o = container_of(n, struct group_offset, node);
    const struct offset_key *k = key;
    return o->topic == k->topic && o->partition == k->partition;
}

static struct group_offset *find_in(const struct group *gr, const struct topic_ref *topic, int32_t partition)
{
    struct offset_key key = {.topic = topic, .partition = partition};
    struct map_node *n = map_find(&gr->offsets, offset_hash(topic, partition), offset_eq, &key);
    return n ? container_of(n, struct group_offset, node) : NULL;
}

struct group_offset *offsets_find(const struct group *gr, struct bytes topic, int32_t partition)
{
    struct topic_ref *t = gr->offsets.count ? topic_ref_find(gr->groups, topic) : NULL;
    return t ? find_in(gr, t, partition) : NULL;
}

static void offsets_remove(struct group *gr, struct group_offset *o)
{
    ASSERT(gr->groups->offset_count > 0);
    map_remove(&gr->offsets, &o->node);
    gr->groups->offset_count--;
    topic_ref_put(gr->groups, o->topic);
    free(o->metadata);
    free(o);
}

static struct group_offset *offset_new(struct group *gr, struct bytes topic, int32_t partition)
{
    struct group_offset *o = calloc(1, sizeof(*o));
    struct topic_ref *t = o ? topic_ref_get(gr->groups, topic) : NULL;
    if (!t || map_insert(&gr->offsets, &o->node, offset_hash(t, partition)) != RC_OK) {
        if (t)
            topic_ref_put(gr->groups, t);
        free(o);
        return NULL;
    }
    o->topic = t;
    o->partition = partition;
    gr->groups->offset_count++;
    return o;
}

enum rc offsets_put(struct group *gr, struct bytes topic, int32_t partition, const struct offset_commit_value *value)
{
    char *metadata = NULL;
    if (value->metadata.n) {
        metadata = malloc(value->metadata.n);
        if (!metadata)
            return RC_NOMEM;
        memcpy(metadata, value->metadata.p, value->metadata.n);
    }
    struct group_offset *o = offsets_find(gr, topic, partition);
    if (!o)
        o = offset_new(gr, topic, partition);
    if (!o) {
        free(metadata);
        return RC_NOMEM;
    }
    free(o->metadata);
    o->metadata = metadata;
    o->metadata_bytes = (uint32_t)value->metadata.n;
    o->offset = value->offset;
    o->leader_epoch = value->leader_epoch < 0 ? LEADER_EPOCH_NONE : value->leader_epoch;
    o->commit_ms = value->commit_timestamp;
    o->expire_ms = value->expire_timestamp;
    if (offset_of_deleted(o))
        group_deadline_set(gr->groups, &core_of(gr->groups)->sweep, gr->groups->now.now_ns, offsets_sweep_fire);
    return RC_OK;
}

void offsets_free(struct group *gr)
{
    for (struct map_node *n = map_first(&gr->offsets), *next; n; n = next) {
        next = map_next(&gr->offsets, n);
        offsets_remove(gr, container_of(n, struct group_offset, node));
    }
    offsets_pending_free(gr);
}

// ------------------------------------------------------------------------------------------------ records

static enum rc apply_tombstone(struct groups *g, const struct offset_commit_key *key)
{
    struct group *gr = group_find(g, key->group);
    if (!gr)
        return RC_OK;
    struct group_offset *o = offsets_find(gr, key->topic, key->partition);
    if (o)
        offsets_remove(gr, o);
    offsets_pending_superseded(gr, key->topic, key->partition, true);
    group_drop_if_unused(gr);
    return RC_OK;
}

static enum rc apply_value(struct groups *g, int64_t producer_id, const struct offset_commit_key *key,
                           const struct offset_commit_value *value)
{
    struct group *gr = group_ensure(g, key->group);
    if (!gr)
        return RC_NOMEM;
    if (producer_id != PRODUCER_ID_NONE)
        return offsets_pend(gr, producer_id, key->topic, key->partition, value);
    enum rc rc = offsets_put(gr, key->topic, key->partition, value);
    if (rc == RC_OK)
        offsets_pending_superseded(gr, key->topic, key->partition, false);
    return rc;
}

enum rc offsets_apply(struct groups *g, int64_t producer_id, struct bytes key, struct bytes value)
{
    uint8_t first[256] __attribute__((aligned(16)));
    struct arena a;
    struct offset_commit_key k;
    struct offset_commit_value v;
    arena_init(&a, sizeof(first), first, sizeof(first)); // neither message has an array
    enum rc rc = group_stored_decode(&offset_commit_key_message, key, &a, &k, NULL);
    if (rc == RC_OK && value.p)
        rc = group_stored_decode(&offset_commit_value_message, value, &a, &v, NULL);
    arena_deinit(&a);
    if (rc != RC_OK)
        return rc;
    return value.p ? apply_value(g, producer_id, &k, &v) : apply_tombstone(g, &k);
}

static struct offset_commit_key key_of(const struct group *gr, struct bytes topic, int32_t partition)
{
    return (struct offset_commit_key){.group = group_id(gr), .topic = topic, .partition = partition};
}

void offsets_add_record(struct group_append *a, struct bytes topic, int32_t partition,
                        const struct offset_commit_value *value)
{
    struct offset_commit_key key = key_of(a->group, topic, partition);
    group_decision_add(a, &offset_commit_key_message, 1, &key, &offset_commit_value_message,
                       value->expire_timestamp >= 0 ? VALUE_VERSION_EXPIRES : VALUE_VERSION, value);
}

void offsets_add_tombstone(struct group_append *a, struct bytes topic, int32_t partition)
{
    struct offset_commit_key key = key_of(a->group, topic, partition);
    group_decision_add(a, &offset_commit_key_message, 1, &key, NULL, 0, NULL);
}

void offsets_add_tombstones(struct group_append *a, const struct group *gr)
{
    for (struct map_node *n = map_first(&gr->offsets); n; n = map_next(&gr->offsets, n)) {
        const struct group_offset *o = container_of(n, struct group_offset, node);
        offsets_add_tombstone(a, topic_ref_name(o->topic), o->partition);
    }
    offsets_pending_add_tombstones(a, gr);
}

enum rc offsets_snapshot(const struct group *gr, struct buf *out)
{
    for (struct map_node *n = map_first(&gr->offsets); n; n = map_next(&gr->offsets, n)) {
        const struct group_offset *o = container_of(n, struct group_offset, node);
        struct offset_commit_key key = key_of(gr, topic_ref_name(o->topic), o->partition);
        struct offset_commit_value value = {.offset = o->offset,
                                            .leader_epoch = o->leader_epoch,
                                            .metadata = bytes_of(o->metadata, o->metadata_bytes),
                                            .commit_timestamp = o->commit_ms,
                                            .expire_timestamp = o->expire_ms};
        group_snapshot_put(out, &offset_commit_key_message, 1, &key, &offset_commit_value_message,
                           o->expire_ms >= 0 ? VALUE_VERSION_EXPIRES : VALUE_VERSION, &value);
    }
    return out->failed ? RC_NOMEM : RC_OK;
}
