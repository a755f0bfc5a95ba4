// SPDX-License-Identifier: Apache-2.0
//
// Offsets committed inside a transaction: they count when the producer's commit marker comes, and go when it aborts.
// Nobody writes them yet; a log written by Kafka may hold them.
#include "group/core.h"

#include <stdlib.h>

struct offsets_txn {
    struct list_node link; // core.txns
    int64_t producer_id;
    struct list pending;
};

struct pending_offset {
    struct list_node link; // offsets_txn.pending
    struct group *group;
    struct topic_ref *topic;
    int32_t partition, leader_epoch;
    int64_t offset, commit_ms;
    bool superseded; // a later record outside the transaction set the offset
    uint32_t metadata_bytes;
    char metadata[];
};

static struct offsets_txn *txn_find(const struct groups *g, int64_t producer_id)
{
    struct list *txns = &core_of(g)->txns;
    for (struct list_node *n = list_first(txns); n; n = list_next(txns, n)) {
        struct offsets_txn *t = list_entry(n, struct offsets_txn, link);
        if (t->producer_id == producer_id)
            return t;
    }
    return NULL;
}

static void pending_free(struct groups *g, struct offsets_txn *t, struct pending_offset *p)
{
    ASSERT(p->group->pending_offsets > 0);
    list_remove(&t->pending, &p->link);
    p->group->pending_offsets--;
    topic_ref_put(g, p->topic);
    free(p);
}

static void txn_free(struct groups *g, struct offsets_txn *t)
{
    ASSERT(list_empty(&t->pending));
    list_remove(&core_of(g)->txns, &t->link);
    free(t);
}

// The pending offsets of one partition in any transaction: each is given to visit, which may free it.
static void each_pending(struct groups *g, const struct group *gr, struct bytes topic, int32_t partition,
                         void (*visit)(struct groups *g, struct offsets_txn *t, struct pending_offset *p))
{
    struct list *txns = &core_of(g)->txns;
    for (struct list_node *n = list_first(txns), *next; n; n = next) {
        struct offsets_txn *t = list_entry(n, struct offsets_txn, link);
        next = list_next(txns, n);
        for (struct list_node *k = list_first(&t->pending), *after; k; k = after) {
            struct pending_offset *p = list_entry(k, struct pending_offset, link);
            after = list_next(&t->pending, k);
            if (p->group == gr && p->partition == partition && bytes_eq(topic_ref_name(p->topic), topic))
                visit(g, t, p);
        }
    }
}

static void visit_free(struct groups *g, struct offsets_txn *t, struct pending_offset *p)
{
    pending_free(g, t, p);
    if (list_empty(&t->pending))
        txn_free(g, t);
}

static void visit_supersede(struct groups *g, struct offsets_txn *t, struct pending_offset *p)
{
    (void)g;
    (void)t;
    p->superseded = true;
}

void offsets_pending_superseded(struct group *gr, struct bytes topic, int32_t partition, bool deleted)
{
    if (gr->pending_offsets)
        each_pending(gr->groups, gr, topic, partition, deleted ? visit_free : visit_supersede);
}

bool offsets_pending(const struct group *gr, struct bytes topic, int32_t partition)
{
    if (!gr->pending_offsets)
        return false;
    const struct list *txns = &core_of(gr->groups)->txns;
    for (struct list_node *n = list_first(txns); n; n = list_next(txns, n)) {
        const struct offsets_txn *t = list_entry(n, struct offsets_txn, link);
        for (struct list_node *k = list_first(&t->pending); k; k = list_next(&t->pending, k)) {
            const struct pending_offset *p = list_entry(k, struct pending_offset, link);
            if (p->group == gr && p->partition == partition && bytes_eq(topic_ref_name(p->topic), topic))
                return true;
        }
    }
    return false;
}

static struct offsets_txn *txn_ensure(struct groups *g, int64_t producer_id)
{
    struct offsets_txn *t = txn_find(g, producer_id);
    if (t)
        return t;
    t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->producer_id = producer_id;
    list_init(&t->pending);
    list_push_back(&core_of(g)->txns, &t->link);
    return t;
}

// Forgets what the same transaction committed for the partition before.
static void txn_forget(struct groups *g, struct offsets_txn *t, const struct pending_offset *newer)
{
    for (struct list_node *k = list_first(&t->pending), *after; k; k = after) {
        struct pending_offset *p = list_entry(k, struct pending_offset, link);
        after = list_next(&t->pending, k);
        if (p->group == newer->group && p->topic == newer->topic && p->partition == newer->partition)
            pending_free(g, t, p);
    }
}

enum rc offsets_pend(struct group *gr, int64_t producer_id, struct bytes topic, int32_t partition,
                     const struct offset_commit_value *value)
{
    struct groups *g = gr->groups;
    struct pending_offset *p = malloc(sizeof(*p) + value->metadata.n);
    struct topic_ref *ref = p ? topic_ref_get(g, topic) : NULL;
    struct offsets_txn *t = ref ? txn_ensure(g, producer_id) : NULL;
    if (!t) {
        if (ref)
            topic_ref_put(g, ref);
        free(p);
        return RC_NOMEM;
    }
    *p = (struct pending_offset){.group = gr,
                                 .topic = ref,
                                 .partition = partition,
                                 .leader_epoch = value->leader_epoch,
                                 .offset = value->offset,
                                 .commit_ms = value->commit_timestamp,
                                 .metadata_bytes = (uint32_t)value->metadata.n};
    if (value->metadata.n)
        memcpy(p->metadata, value->metadata.p, value->metadata.n);
    txn_forget(g, t, p);
    list_push_back(&t->pending, &p->link);
    gr->pending_offsets++;
    return RC_OK;
}

void offsets_pending_free(struct group *gr)
{
    struct list *txns = &core_of(gr->groups)->txns;
    for (struct list_node *n = list_first(txns), *next; n && gr->pending_offsets; n = next) {
        struct offsets_txn *t = list_entry(n, struct offsets_txn, link);
        next = list_next(txns, n);
        for (struct list_node *k = list_first(&t->pending), *after; k; k = after) {
            struct pending_offset *p = list_entry(k, struct pending_offset, link);
            after = list_next(&t->pending, k);
            if (p->group == gr)
                pending_free(gr->groups, t, p);
        }
        if (list_empty(&t->pending))
            txn_free(gr->groups, t);
    }
}

void offsets_pending_add_tombstones(struct group_append *a, const struct group *gr)
{
    struct list *txns = &core_of(gr->groups)->txns;
    for (struct list_node *n = list_first(txns); n && gr->pending_offsets; n = list_next(txns, n)) {
        struct offsets_txn *t = list_entry(n, struct offsets_txn, link);
        for (struct list_node *k = list_first(&t->pending); k; k = list_next(&t->pending, k)) {
            struct pending_offset *p = list_entry(k, struct pending_offset, link);
            if (p->group == gr && !offsets_find(gr, topic_ref_name(p->topic), p->partition))
                offsets_add_tombstone(a, topic_ref_name(p->topic), p->partition);
        }
    }
}

enum rc offsets_apply_marker(struct groups *g, int64_t producer_id, bool commit)
{
    struct offsets_txn *t = txn_find(g, producer_id);
    if (!t)
        return RC_OK;
    for (struct list_node *k; (k = list_first(&t->pending)) != NULL;) {
        struct pending_offset *p = list_entry(k, struct pending_offset, link);
        struct group *gr = p->group;
        struct offset_commit_value value = {.offset = p->offset,
                                            .leader_epoch = p->leader_epoch,
                                            .metadata = bytes_of(p->metadata, p->metadata_bytes),
                                            .commit_timestamp = p->commit_ms,
                                            .expire_timestamp = -1};
        enum rc rc = RC_OK;
        if (commit && !p->superseded)
            rc = offsets_put(gr, topic_ref_name(p->topic), p->partition, &value);
        if (rc != RC_OK)
            return rc;
        pending_free(g, t, p);
        group_drop_if_unused(gr);
    }
    txn_free(g, t);
    return RC_OK;
}
