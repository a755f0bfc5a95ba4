// SPDX-License-Identifier: Apache-2.0
//
// The leaders that an answer to Metadata will name; see api_metadata.h.
#include "broker/api_metadata.h"

// False: enough was seen.
typedef bool (*leader_fn)(void *context, const struct image_partition *p);

static bool topic_leaders(const struct image_topic *t, leader_fn f, void *context)
{
    for (int32_t i = 0; t && i < t->partition_count; i++)
        if (!f(context, image_partition(t, i)))
            return false;
    return true;
}

static void each_leader(const struct image *image, const struct metadata_request *in, int16_t version, leader_fn f,
                        void *context)
{
    enum metadata_scope scope = metadata_scope_of(in, version);
    const struct image_topic *t;
    switch (scope) {
    case METADATA_BROKERS:
        return;
    case METADATA_ALL:
        t = image_topic_next(image, bytes_of(NULL, 0), false);
        while (t && topic_leaders(t, f, context))
            t = image_topic_next(image, image_topic_name(t), false);
        return;
    case METADATA_BY_NAME:
    case METADATA_BY_ID:
        for (uint32_t i = 0; i < in->topics_count; i++)
            if (!topic_leaders(metadata_wanted_topic(image, &in->topics[i], scope), f, context))
                return;
    }
}

struct leaders {
    int32_t self;
    int32_t *nodes;
    uint32_t count, count_max;
};

static bool leader_note(void *context, const struct image_partition *p)
{
    struct leaders *l = context;
    bool known = p->leader == l->self || p->leader == NODE_ID_NONE;
    for (uint32_t i = 0; i < l->count && !known; i++)
        known = l->nodes[i] == p->leader;
    if (!known)
        l->nodes[l->count++] = p->leader;
    return l->count < l->count_max;
}

enum rc metadata_leaders(const struct image *image, const struct metadata_request *in, int16_t version, int32_t self,
                         struct arena *a, int32_t **out, uint32_t *count)
{
    *count = 0;
    // As many as there may be: a leader is a live node.
    uint32_t live = image_live_count(image);
    const struct image_node *own = image_node(image, self);
    struct leaders l = {.self = self, .count_max = live - (own && !own->fenced)};
    if (live == 0 || l.count_max == 0)
        return RC_OK;
    l.nodes = arena_array(a, l.count_max, sizeof(*l.nodes));
    if (!l.nodes)
        return RC_NOMEM;
    each_leader(image, in, version, leader_note, &l);
    *out = l.nodes;
    *count = l.count;
    return RC_OK;
}
