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

enum rc image_poison(struct image *w)
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

// ---- nodes ----

static enum rc node_put(struct image *w, const struct image_node *from)
{
    struct image_node *fresh = image_node_build(from);
    if (!fresh)
        return image_poison(w);
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
        return image_poison(w);
    for (uint32_t i = 0; i < r->listeners_count; i++) {
        const struct registration_record_listener *l = &r->listeners[i];
        listeners[i] = (struct image_listener){
            .name = text_of(a, l->name), .host = text_of(a, l->host), .port = l->port, .protocol = l->protocol};
        if (!listeners[i].name || !listeners[i].host)
            return image_poison(w);
    }
    for (uint32_t i = 0; i < r->features_count; i++) {
        const struct registration_record_feature *f = &r->features[i];
        features[i] = (struct image_feature_range){.name = text_of(a, f->name), .min = f->min, .max = f->max};
        if (!features[i].name)
            return image_poison(w);
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
    return rc == RC_OK && r->renew ? image_renew_leaders(w, r->node) : rc;
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
        return image_poison(w);
    image_configs_unref(*slot);
    *slot = fresh;
    return RC_OK;
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
            return image_poison(w);
        image_groups_unref(w->groups);
        w->groups = fresh;
        return RC_OK;
    }
    const struct image_topic *t = image_topic_by_name(w, r->resource_name);
    if (r->resource_type != CONFIG_RESOURCE_TOPIC || !t)
        return RC_MALFORMED;
    struct image_topic *own = image_topic_own(w, t);
    if (!own)
        return image_poison(w);
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
        return image_apply_topic(w, &r->topic);
    case METADATA_TOPIC_DELETED_RECORD:
        return image_apply_topic_deleted(w, &r->topic_deleted);
    case METADATA_PARTITIONS_RECORD:
        return image_apply_partitions(w, &r->partitions);
    case METADATA_PARTITION_CHANGE_RECORD:
        return image_apply_partition_change(w, &r->partition_change);
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
        return image_apply_elr_cleared(w, &r->elr_cleared);
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
    w->cost += record.n;
    rc = dispatch(w, m, &r, a);
    ASSERT(rc != RC_OK || !w->poisoned);
    return rc;
}

enum rc image_apply_entry(struct image *w, struct bytes entry, uint64_t index, uint64_t term)
{
    return image_apply_some(w, &entry, UINT64_MAX, index, term);
}

enum rc image_apply_some(struct image *w, struct bytes *rest, uint64_t cost_max, uint64_t index, uint64_t term)
{
    ASSERT(index >= w->index);
    w->index = index;
    w->term = term;
    struct arena a;
    arena_init(&a, APPLY_ARENA_BYTES_MAX, NULL, 0);
    enum rc rc = RC_OK;
    while (rc == RC_OK && rest->n > 0) {
        uint64_t n;
        if (!varint_get(rest, 5, &n) || n > rest->n) {
            rc = RC_MALFORMED;
            break;
        }
        rc = apply_in(w, bytes_of(rest->p, (size_t)n), &a);
        rest->p += n;
        rest->n -= (size_t)n;
        arena_reset(&a);
        if (w->cost >= cost_max)
            break;
    }
    arena_deinit(&a);
    return rc;
}
