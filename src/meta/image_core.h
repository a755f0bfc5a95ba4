// SPDX-License-Identifier: Apache-2.0
//
// Private to the image_*.c files: building, sharing and freeing the objects an image is made of.
//
// Whatever bears the working image's version was made for it and is reachable from nowhere else, so it may be changed
// in place; everything else is shared and is copied first. A count says how many parents (or holders) an object has.
#pragma once

#include "base/assert.h"
#include "meta/image.h"
#include "meta/records.h"

struct image_tree_node {
    uint32_t refs;
    uint32_t priority; // of the treap: hash of the key, so the shape depends on the keys alone
    uint64_t version;
    struct image_tree_node *left, *right;
    struct image_topic *topic;
};

enum image_order { IMAGE_BY_NAME, IMAGE_BY_ID };

static inline void image_count_up(uint32_t *refs)
{
    __atomic_add_fetch(refs, 1, __ATOMIC_RELAXED);
}

// True when the last holder has let go: the caller frees.
static inline bool image_count_down(uint32_t *refs)
{
    return __atomic_sub_fetch(refs, 1, __ATOMIC_ACQ_REL) == 0;
}

// image_tree.c: `w` is poisoned when memory runs out, and the tree is then only good to be freed.
void image_tree_put(struct image *w, enum image_order order, struct image_topic *t); // takes a reference of its own
void image_tree_remove(struct image *w, enum image_order order, const struct image_topic *t);
void image_tree_unref(struct image_tree_node *n);

// image_objects.c
struct image_partition *image_partition_build(const struct partitions_record_partition *from);
void image_partition_unref(struct image_partition *p);
struct image_topic *image_topic_build(struct image *w, struct bytes name, struct uuid id);
void image_topic_unref(struct image_topic *t);
// The topic as w may change it: t itself, or a copy that has replaced it in both trees. NULL: poisoned.
struct image_topic *image_topic_own(struct image *w, const struct image_topic *t);
// Replaces partition number p of an own topic, or appends it when p is the count. False: poisoned, or
// its replicas are on more nodes than there can be.
bool image_topic_set(struct image *w, struct image_topic *own, int32_t p, struct image_partition *fresh_owned);
struct image_node *image_node_build(const struct image_node *from); // deep copy
void image_node_unref(struct image_node *n);
// from with name set to value (NULL: removed); *out NULL when nothing is left. from may be NULL and is not released.
enum rc image_configs_with(const struct image_configs *from, struct bytes name, struct bytes value,
                           struct image_configs **out);
void image_configs_unref(struct image_configs *c);

// image_groups.c: the same for one key of one group.
enum rc image_groups_with(const struct image_groups *from, struct bytes group, struct bytes name, struct bytes value,
                          struct image_groups **out);
const struct image_group *image_groups_find(const struct image_groups *list, struct bytes name);
void image_groups_unref(struct image_groups *list);

// image_apply.c
// Appends one record behind its length as a varint. RC_FULL: out->size_max would be passed; out is as it was.
enum rc image_record_put(struct buf *out, const struct schema_message *m, const void *record);
void image_note(struct image *w, enum image_change_kind kind, struct uuid topic_id);
// Memory ran out half way: w is good for nothing any more. RC_NOMEM.
enum rc image_poison(struct image *w);
// image_shares.c: p comes (by 1) or goes (by -1). False: its replicas are on more nodes than there can be.
bool image_shares_count(struct image *w, const struct image_partition *p, int by);

// image_apply_topics.c. RC_MALFORMED: the record does not fit; RC_NOMEM: poisoned.
enum rc image_apply_topic(struct image *w, const struct topic_record *r);
enum rc image_apply_topic_deleted(struct image *w, const struct topic_deleted_record *r);
enum rc image_apply_partitions(struct image *w, const struct partitions_record *r);
enum rc image_apply_partition_change(struct image *w, const struct partition_change_record *r);
enum rc image_apply_elr_cleared(struct image *w, const struct elr_cleared_record *r);
// A partition as a record would make it; lists point into p, directories (room for replica_count) are filled.
void image_partition_state(const struct image_partition *p, struct partitions_record_partition *s,
                           struct uuid *directories);
// Another life of node: whatever it leads gets a new leader epoch.
enum rc image_renew_leaders(struct image *w, int32_t node);
