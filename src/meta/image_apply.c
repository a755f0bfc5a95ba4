// SPDX-License-Identifier: Apache-2.0
//
// Records into the working image: the only mutator. Records were decided here or by a peer of the same cluster, yet
// they come from disk or network: what does not fit is RC_MALFORMED, never an assert.
#include "meta/image_core.h"

#include <stdlib.h>

#include "base/arena.h"
#include "model/limits.h"

enum { APPLY_ARENA_BYTES_MAX = 256 << 20, CHANGES_MAX = 4096 };

void image_note(struct image *w, enum image_change_kind kind, struct uuid topic_id)
{
    struct image_changes *c = &w->changes;
    if (c->everything)
        return;
    // Many records of one topic in a row, as when it is created, are one change.
    if (c->topic_count && kind != IMAGE_TOPIC_DELETED && uuid_eq(c->topics[c->topic_count - 1].topic_id, topic_id))
        return;
    if (c->topic_count == c->topic_cap) {
        uint32_t cap = c->topic_cap ? c->topic_cap * 2 : 4;
        struct image_change *topics = cap > CHANGES_MAX ? NULL : realloc(c->topics, cap * sizeof(*topics));
        if (!topics) {
            c->everything = true;
            return;
        }
        c->topics = topics;
        c->topic_cap = cap;
    }
    c->topics[c->topic_count++] = (struct image_change){.kind = kind, .topic_id = topic_id};
}

static enum rc poisoned(struct image *w)
{
    w->poisoned = true;
    return RC_NOMEM;
}

// ---- features, producer ids ----

static enum rc apply_feature(struct image *w, const struct feature_record *r)
{
    struct image_feature f = {.level = r->level};
    if (r->name.n == 0 || r->name.n >= sizeof(f.name) || r->level < 0)
        return RC_MALFORMED;
    memcpy(f.name, r->name.p, r->name.n);
    w->changes.features = true;
    uint32_t at = 0;
    while (at < w->feature_count && strcmp(w->features[at].name, f.name) < 0)
        at++;
    bool there = at < w->feature_count && strcmp(w->features[at].name, f.name) == 0;
    if (!there) {
        if (w->feature_count == IMAGE_FEATURES_MAX)
            return RC_MALFORMED;
        memmove(&w->features[at + 1], &w->features[at], (w->feature_count - at) * sizeof(f));
        w->feature_count++;
    }
    w->features[at] = f;
    return RC_OK;
}

static enum rc apply_producer_ids(struct image *w, const struct producer_ids_record *r)
{
    if (r->next_producer_id < w->next_producer_id)
        return RC_MALFORMED; // an id is given once in a cluster's life
    w->next_producer_id = r->next_producer_id;
    return RC_OK;
}

// ---- topics ----

static enum rc apply_topic(struct image *w, const struct topic_record *r)
{
    if (!topic_name_valid(r->name) || uuid_is_reserved(r->topic_id) || image_topic_by_name(w, r->name) ||
        image_topic_by_id(w, r->topic_id))
        return RC_MALFORMED;
    struct image_topic *t = image_topic_build(w, r->name, r->topic_id);
    if (!t)
        return poisoned(w);
    t->changed_index = t->configs_index = w->index;
    image_tree_put(w, IMAGE_BY_NAME, t);
    if (!w->poisoned)
        image_tree_put(w, IMAGE_BY_ID, t);
    image_topic_unref(t);
    w->topic_count++;
    image_note(w, IMAGE_TOPIC_CREATED, r->topic_id);
    return w->poisoned ? RC_NOMEM : RC_OK;
}

static enum rc apply_topic_deleted(struct image *w, const struct topic_deleted_record *r)
{
    const struct image_topic *t = image_topic_by_id(w, r->topic_id);
    if (!t)
        return RC_MALFORMED;
    w->partition_count -= (uint64_t)t->partition_count;
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

static enum rc apply_partitions(struct image *w, const struct partitions_record *r)
{
    const struct image_topic *t = image_topic_by_id(w, r->topic_id);
    if (!t || r->first != t->partition_count)
        return RC_MALFORMED;
    struct image_topic *own = image_topic_own(w, t);
    if (!own)
        return poisoned(w);
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
        return poisoned(w);
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

static enum rc apply_partition_change(struct image *w, const struct partition_change_record *r)
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

// ---- nodes ----

// Another life of node: whatever it leads gets a new leader epoch.
static enum rc renew_leaders(struct image *w, int32_t node)
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

static enum rc node_put(struct image *w, const struct image_node *from)
{
    struct image_node *fresh = image_node_build(from);
    if (!fresh)
        return poisoned(w);
    uint32_t at = 0;
    while (at < w->node_count && w->nodes[at]->id < from->id)
        at++;
    if (at < w->node_count && w->nodes[at]->id == from->id) {
        image_node_unref(w->nodes[at]);
    } else {
        if (w->node_count == IMAGE_NODES_MAX) {
            image_node_unref(fresh);
            return RC_MALFORMED;
        }
        memmove(&w->nodes[at + 1], &w->nodes[at], (w->node_count - at) * sizeof(w->nodes[0]));
        w->node_count++;
    }
    w->nodes[at] = fresh;
    w->changes.nodes = true;
    return RC_OK;
}

static const char *text_of(struct arena *a, struct bytes b)
{
    return b.p ? arena_copy(a, b.p, b.n) : NULL;
}

static enum rc apply_registration(struct image *w, const struct registration_record *r, struct arena *a)
{
    if (r->node < 0)
        return RC_MALFORMED;
    struct image_listener *listeners = arena_array(a, r->listeners_count, sizeof(*listeners));
    struct image_feature_range *features = arena_array(a, r->features_count, sizeof(*features));
    if (!listeners || !features)
        return poisoned(w);
    for (uint32_t i = 0; i < r->listeners_count; i++) {
        const struct registration_record_listener *l = &r->listeners[i];
        listeners[i] = (struct image_listener){
            .name = text_of(a, l->name), .host = text_of(a, l->host), .port = l->port, .protocol = l->protocol};
        if (!listeners[i].name || !listeners[i].host)
            return poisoned(w);
    }
    for (uint32_t i = 0; i < r->features_count; i++) {
        const struct registration_record_feature *f = &r->features[i];
        features[i] = (struct image_feature_range){.name = text_of(a, f->name), .min = f->min, .max = f->max};
        if (!features[i].name)
            return poisoned(w);
    }
    struct image_node n = {
        .id = r->node,
        .incarnation = r->incarnation,
        .broker_epoch = r->broker_epoch ? r->broker_epoch : (int64_t)w->index,
        .fenced = r->fenced,
        .in_shutdown = r->in_shutdown,
        .rack = text_of(a, r->rack),
        .listener_count = r->listeners_count,
        .directory_count = r->directories_count,
        .feature_count = r->features_count,
        .listeners = listeners,
        .directories = r->directories,
        .features = features,
        .peer_host = text_of(a, r->peer_host),
        .peer_port = r->peer_port,
    };
    enum rc rc = node_put(w, &n);
    return rc == RC_OK && r->renew ? renew_leaders(w, r->node) : rc;
}

static enum rc apply_node_state(struct image *w, const struct node_state_record *r)
{
    const struct image_node *old = image_node(w, r->node);
    if (!old || old->broker_epoch != r->broker_epoch)
        return RC_MALFORMED;
    struct image_node n;
    enum { FIRST = offsetof(struct image_node, id) }; // behind the count, which other shards change meanwhile
    memcpy((uint8_t *)&n + FIRST, (const uint8_t *)old + FIRST, sizeof(n) - FIRST);
    n.fenced = r->fenced;
    n.in_shutdown = r->in_shutdown;
    return node_put(w, &n);
}

static enum rc apply_unregistered(struct image *w, const struct unregistered_record *r)
{
    for (uint32_t i = 0; i < w->node_count; i++) {
        if (w->nodes[i]->id != r->node)
            continue;
        image_node_unref(w->nodes[i]);
        w->node_count--;
        memmove(&w->nodes[i], &w->nodes[i + 1], (w->node_count - i) * sizeof(w->nodes[0]));
        w->changes.nodes = true;
        return RC_OK;
    }
    return RC_MALFORMED;
}

// ---- configurations ----

// The slot of a broker's configuration (the empty name: of all brokers), or NULL.
static struct image_configs **broker_slot(struct image *w, struct bytes name)
{
    if (name.n == 0)
        return &w->broker_configs[0];
    char text[12];
    int64_t id;
    if (name.n >= sizeof(text))
        return NULL;
    memcpy(text, name.p, name.n);
    text[name.n] = 0;
    if (!config_parse_int(text, &id) || id < 0 || id > INT32_MAX)
        return NULL;
    uint32_t at = 0;
    while (at < w->config_node_count && w->config_nodes[at] < id)
        at++;
    if (at < w->config_node_count && w->config_nodes[at] == id)
        return &w->broker_configs[at + 1];
    if (w->config_node_count == IMAGE_NODES_MAX)
        return NULL;
    memmove(&w->config_nodes[at + 1], &w->config_nodes[at], (w->config_node_count - at) * sizeof(w->config_nodes[0]));
    memmove(&w->broker_configs[at + 2], &w->broker_configs[at + 1],
            (w->config_node_count - at) * sizeof(w->broker_configs[0]));
    w->config_nodes[at] = (int32_t)id;
    w->broker_configs[at + 1] = NULL;
    w->config_node_count++;
    return &w->broker_configs[at + 1];
}

static enum rc configs_set(struct image *w, struct image_configs **slot, const struct config_record *r)
{
    struct image_configs *fresh;
    if (image_configs_with(*slot, r->name, r->value, &fresh) != RC_OK)
        return poisoned(w);
    image_configs_unref(*slot);
    *slot = fresh;
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

static enum rc apply_elr_cleared(struct image *w, const struct elr_cleared_record *r)
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

static enum rc apply_config(struct image *w, const struct config_record *r)
{
    if (r->name.n == 0 || memchr(r->name.p, 0, r->name.n) || (r->value.p && memchr(r->value.p, 0, r->value.n)))
        return RC_MALFORMED;
    if (bytes_eq(r->name, bytes_str("unclean.leader.election.enable")))
        w->unclean_index = w->index;
    if (r->resource_type == CONFIG_RESOURCE_BROKER) {
        struct image_configs **slot = broker_slot(w, r->resource_name);
        w->changes.broker_configs = true;
        w->broker_configs_index = w->index;
        return slot ? configs_set(w, slot, r) : RC_MALFORMED;
    }
    if (r->resource_type == CONFIG_RESOURCE_GROUP) {
        struct image_groups *fresh;
        if (r->resource_name.n == 0 || r->resource_name.n > INT16_MAX)
            return RC_MALFORMED;
        if (image_groups_with(w->groups, r->resource_name, r->name, r->value, &fresh) != RC_OK)
            return poisoned(w);
        image_groups_unref(w->groups);
        w->groups = fresh;
        return RC_OK;
    }
    const struct image_topic *t = image_topic_by_name(w, r->resource_name);
    if (r->resource_type != CONFIG_RESOURCE_TOPIC || !t)
        return RC_MALFORMED;
    struct image_topic *own = image_topic_own(w, t);
    if (!own)
        return poisoned(w);
    own->changed_index = own->configs_index = w->index;
    image_note(w, IMAGE_TOPIC_CHANGED, own->id);
    return configs_set(w, &own->configs, r);
}

// ---- entry ----

enum rc image_record_put(struct buf *out, const struct schema_message *m, const void *record)
{
    // The length comes first as a varint: written with room to spare, then closed up.
    size_t start = out->n;
    struct enc e;
    enc_init(&e, out, NULL, 0);
    buf_extend(out, VARINT_BYTES_MAX);
    schema_record_encode(m, &e, m->version_max, record);
    if (!enc_ok(&e)) {
        bool bounded = out->size_max <= METADATA_ENTRY_BYTES_MAX;
        out->n = start;
        out->failed = false;
        return bounded ? RC_FULL : RC_NOMEM;
    }
    size_t n = out->n - start - VARINT_BYTES_MAX;
    size_t head = varint_put(out->p + start, n);
    memmove(out->p + start + head, out->p + start + VARINT_BYTES_MAX, n);
    out->n = start + head + n;
    return RC_OK;
}

static enum rc dispatch(struct image *w, const struct schema_message *m, const union metadata_record *r,
                        struct arena *a)
{
    switch (m->key) {
    case METADATA_FEATURE_RECORD:
        return apply_feature(w, &r->feature);
    case METADATA_TOPIC_RECORD:
        return apply_topic(w, &r->topic);
    case METADATA_TOPIC_DELETED_RECORD:
        return apply_topic_deleted(w, &r->topic_deleted);
    case METADATA_PARTITIONS_RECORD:
        return apply_partitions(w, &r->partitions);
    case METADATA_PARTITION_CHANGE_RECORD:
        return apply_partition_change(w, &r->partition_change);
    case METADATA_REGISTRATION_RECORD:
        return apply_registration(w, &r->registration, a);
    case METADATA_NODE_STATE_RECORD:
        return apply_node_state(w, &r->node_state);
    case METADATA_UNREGISTERED_RECORD:
        return apply_unregistered(w, &r->unregistered);
    case METADATA_CONFIG_RECORD:
        return apply_config(w, &r->config);
    case METADATA_PRODUCER_IDS_RECORD:
        return apply_producer_ids(w, &r->producer_ids);
    case METADATA_ELR_CLEARED_RECORD:
        return apply_elr_cleared(w, &r->elr_cleared);
    default:
        return RC_UNSUPPORTED;
    }
}

static enum rc apply_in(struct image *w, struct bytes record, struct arena *a)
{
    union metadata_record r;
    const struct schema_message *m;
    enum rc rc = schema_record_decode(metadata_records, ARRAY_COUNT(metadata_records), record, a, &r, sizeof(r), &m);
    if (rc != RC_OK)
        return rc;
    rc = dispatch(w, m, &r, a);
    ASSERT(rc != RC_OK || !w->poisoned);
    return rc;
}

enum rc image_apply(struct image *w, struct bytes record, uint64_t index, uint64_t term)
{
    struct arena a;
    arena_init(&a, APPLY_ARENA_BYTES_MAX, NULL, 0);
    w->index = index;
    w->term = term;
    enum rc rc = apply_in(w, record, &a);
    arena_deinit(&a);
    return rc;
}

enum rc image_apply_entry(struct image *w, struct bytes entry, uint64_t index, uint64_t term)
{
    ASSERT(index >= w->index);
    w->index = index;
    w->term = term;
    struct arena a;
    arena_init(&a, APPLY_ARENA_BYTES_MAX, NULL, 0);
    enum rc rc = RC_OK;
    while (rc == RC_OK && entry.n > 0) {
        uint64_t n;
        if (!varint_get(&entry, 5, &n) || n > entry.n) {
            rc = RC_MALFORMED;
            break;
        }
        rc = apply_in(w, bytes_of(entry.p, (size_t)n), &a);
        entry.p += n;
        entry.n -= (size_t)n;
        arena_reset(&a);
    }
    arena_deinit(&a);
    return rc;
}
