// SPDX-License-Identifier: Apache-2.0
//
// Records of topics and their partitions into the working image. See image_apply.c.
#include "meta/image_core.h"

enum { GONE_PARTITION_COST = 16 };

// ---- topics ----

enum rc image_apply_topic(struct image *w, const struct topic_record *r)
{
    if (!topic_name_valid(r->name) || uuid_is_reserved(r->topic_id) || image_topic_by_name(w, r->name) ||
        image_topic_by_id(w, r->topic_id))
        return RC_MALFORMED;
    struct image_topic *t = image_topic_build(w, r->name, r->topic_id);
    if (!t)
        return image_poison(w);
    t->changed_index = t->configs_index = w->index;
    image_tree_put(w, IMAGE_BY_NAME, t);
    if (!w->poisoned)
        image_tree_put(w, IMAGE_BY_ID, t);
    image_topic_unref(t);
    w->topic_count++;
    image_note(w, IMAGE_TOPIC_CREATED, r->topic_id);
    return w->poisoned ? RC_NOMEM : RC_OK;
}

enum rc image_apply_topic_deleted(struct image *w, const struct topic_deleted_record *r)
{
    const struct image_topic *t = image_topic_by_id(w, r->topic_id);
    if (!t)
        return RC_MALFORMED;
    w->partition_count -= (uint64_t)t->partition_count;
    w->cost += (uint64_t)t->partition_count * GONE_PARTITION_COST;
    w->topic_count--;
    for (int32_t i = 0; i < t->partition_count; i++)
        (void)image_shares_count(w, image_partition(t, i), -1);
    // The name tree lets go first; the id tree still holds t meanwhile.
    image_tree_remove(w, IMAGE_BY_NAME, t);
    if (!w->poisoned)
        image_tree_remove(w, IMAGE_BY_ID, t);
    image_note(w, IMAGE_TOPIC_DELETED, r->topic_id);
    return w->poisoned ? RC_NOMEM : RC_OK;
}

// ---- partitions ----

static bool nodes_valid(const int32_t *nodes, uint32_t count)
{
    if (count > IMAGE_REPLICAS_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (nodes[i] < 0)
            return false;
        for (uint32_t j = 0; j < i; j++)
            if (nodes[j] == nodes[i])
                return false;
    }
    return true;
}

// Some of the replicas, not all.
static bool part_of(const struct partitions_record_partition *p, const int32_t *nodes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = 0;
        while (k < p->replicas_count && p->replicas[k] != nodes[i])
            k++;
        if (k == p->replicas_count)
            return false;
    }
    return count < p->replicas_count;
}

static bool partition_valid(const struct partitions_record_partition *p)
{
    return p->replicas_count > 0 && (p->directories_count == 0 || p->directories_count == p->replicas_count) &&
           nodes_valid(p->replicas, p->replicas_count) && nodes_valid(p->isr, p->isr_count) &&
           nodes_valid(p->elr, p->elr_count) && nodes_valid(p->adding, p->adding_count) &&
           nodes_valid(p->removing, p->removing_count) && part_of(p, p->adding, p->adding_count) &&
           part_of(p, p->removing, p->removing_count) && p->leader >= NODE_ID_NONE && p->leader_epoch >= 0 &&
           p->partition_epoch >= 0;
}

enum rc image_apply_partitions(struct image *w, const struct partitions_record *r)
{
    const struct image_topic *t = image_topic_by_id(w, r->topic_id);
    if (!t || r->first != t->partition_count)
        return RC_MALFORMED;
    struct image_topic *own = image_topic_own(w, t);
    if (!own)
        return image_poison(w);
    for (uint32_t i = 0; i < r->partitions_count; i++) {
        if (!partition_valid(&r->partitions[i]))
            return RC_MALFORMED;
        if (!image_topic_set(w, own, own->partition_count, image_partition_build(&r->partitions[i])))
            return w->poisoned ? RC_NOMEM : RC_MALFORMED;
    }
    own->changed_index = w->index;
    image_note(w, IMAGE_TOPIC_CHANGED, r->topic_id);
    return RC_OK;
}

void image_partition_state(const struct image_partition *p, struct partitions_record_partition *s,
                           struct uuid *directories)
{
    *s = (struct partitions_record_partition){
        .replicas = (int32_t *)(uintptr_t)image_replicas(p),
        .replicas_count = p->replica_count,
        .directories = directories,
        .directories_count = p->replica_count,
        .isr = (int32_t *)(uintptr_t)image_isr(p),
        .isr_count = p->isr_count,
        .leader = p->leader,
        .elr = (int32_t *)(uintptr_t)image_elr(p),
        .elr_count = p->elr_count,
        .last_known_leader = p->last_known_leader,
        .adding = (int32_t *)(uintptr_t)image_adding(p),
        .adding_count = p->adding_count,
        .removing = (int32_t *)(uintptr_t)image_removing(p),
        .removing_count = p->removing_count,
        .leader_epoch = p->leader_epoch,
        .partition_epoch = p->epoch,
        .recovery = (int8_t)p->recovery,
    };
    for (uint32_t i = 0; i < p->replica_count; i++)
        directories[i] = image_directory(p, i);
}

static enum rc replace(struct image *w, const struct image_topic *t, int32_t number,
                       const struct partitions_record_partition *state)
{
    if (!partition_valid(state))
        return RC_MALFORMED;
    // Built before the topic is owned: state may point into the partition that goes.
    struct image_partition *fresh = image_partition_build(state);
    struct image_topic *own = fresh ? image_topic_own(w, t) : NULL;
    if (!own) {
        image_partition_unref(fresh);
        return image_poison(w);
    }
    struct uuid id = own->id;
    own->changed_index = w->index;
    if (!image_topic_set(w, own, number, fresh))
        return w->poisoned ? RC_NOMEM : RC_MALFORMED;
    image_note(w, IMAGE_TOPIC_CHANGED, id);
    return RC_OK;
}

static void list_change(int32_t *changed, uint32_t changed_count, int32_t **list, uint32_t *count)
{
    if (!changed)
        return;
    *list = changed;
    *count = changed_count;
}

enum rc image_apply_partition_change(struct image *w, const struct partition_change_record *r)
{
    const struct image_topic *t = image_topic_by_id(w, r->topic_id);
    const struct image_partition *p = t ? image_partition(t, r->partition) : NULL;
    if (!p)
        return RC_MALFORMED;
    struct partitions_record_partition s;
    struct uuid directories[UINT8_MAX];
    image_partition_state(p, &s, directories);
    if (r->leader != -2) {
        if (s.leader != NODE_ID_NONE)
            s.last_known_leader = s.leader;
        s.leader = r->leader;
        s.leader_epoch++;
    }
    list_change(r->isr, r->isr_count, &s.isr, &s.isr_count);
    list_change(r->elr, r->elr_count, &s.elr, &s.elr_count);
    list_change(r->adding, r->adding_count, &s.adding, &s.adding_count);
    list_change(r->removing, r->removing_count, &s.removing, &s.removing_count);
    if (r->replicas) {
        s.replicas = r->replicas;
        s.replicas_count = r->replicas_count;
        s.directories_count = 0;
    }
    if (r->directories) {
        s.directories = r->directories;
        s.directories_count = r->directories_count;
    }
    if (r->recovery >= 0)
        s.recovery = r->recovery;
    if (r->last_known_leader != -2)
        s.last_known_leader = r->last_known_leader;
    s.partition_epoch++;
    return replace(w, t, r->partition, &s);
}

enum rc image_renew_leaders(struct image *w, int32_t node)
{
    const struct image_topic *t = image_topic_next(w, (struct bytes){0}, false);
    for (; t; t = image_topic_next(w, image_topic_name(t), false)) {
        for (int32_t n = 0; n < t->partition_count; n++) {
            const struct image_partition *p = image_partition(t, n);
            if (p->leader != node)
                continue;
            struct partitions_record_partition s;
            struct uuid directories[UINT8_MAX];
            image_partition_state(p, &s, directories);
            s.leader_epoch++;
            s.partition_epoch++;
            struct uuid id = t->id;
            enum rc rc = replace(w, t, n, &s);
            if (rc != RC_OK)
                return rc;
            t = image_topic_by_id(w, id); // it may have been copied
        }
    }
    return RC_OK;
}

// ---- ELRs ----

// A member of an ELR holds what was committed while the ISR was as small as min.insync.replicas allowed; under another
// one that may not be so. Without a leader nothing was committed since.
static enum rc elr_clear(struct image *w, const struct image_topic *t)
{
    struct uuid id = t->id;
    for (int32_t n = 0; n < t->partition_count; n++) {
        const struct image_partition *p = image_partition(t, n);
        struct partitions_record_partition s;
        struct uuid directories[UINT8_MAX];
        if (p->elr_count == 0 || p->leader == NODE_ID_NONE)
            continue;
        image_partition_state(p, &s, directories);
        s.elr_count = 0;
        s.partition_epoch++;
        enum rc rc = replace(w, t, n, &s);
        if (rc != RC_OK)
            return rc;
        t = image_topic_by_id(w, id); // it may have been copied
    }
    return RC_OK;
}

enum rc image_apply_elr_cleared(struct image *w, const struct elr_cleared_record *r)
{
    bool all = uuid_is_zero(r->topic_id);
    const struct image_topic *t =
        all ? image_topic_next(w, (struct bytes){0}, false) : image_topic_by_id(w, r->topic_id);
    if (!all)
        return t ? elr_clear(w, t) : RC_MALFORMED;
    enum rc rc = RC_OK;
    while (t && w->elr_count > 0 && rc == RC_OK) {
        struct uuid id = t->id;
        bool own;
        (void)config_layer_get(image_topic_configs(t), "min.insync.replicas", &own);
        rc = own ? RC_OK : elr_clear(w, t);
        if (rc == RC_OK)
            t = image_topic_next(w, image_topic_name(image_topic_by_id(w, id)), false);
    }
    return rc;
}
