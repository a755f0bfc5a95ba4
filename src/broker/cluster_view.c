// SPDX-License-Identifier: Apache-2.0
//
// See cluster_view.h.
#include "broker/cluster_view.h"

#include "broker/request.h"

struct cluster_view cluster_view_of(const struct request *rq)
{
    const struct engine *e = rq->bs->engine->engine;
    int32_t leader = quorum_leader(e->quorum);
    struct cluster_view v = {
        .image = engine_image(rq->bs->engine),
        .listener = bytes_str(rq->bs->broker->config.listeners[rq->session->listener].name),
        .cluster_id = bytes_str(quorum_identity(e->quorum)->cluster_id),
        .controller = leader == NODE_ID_NONE ? e->config.node_id : leader,
    };
    uint64_t now = shard_now_ns(rq->bs->shard);
    v.lost_count = quorum_lost_nodes(e->quorum, now, v.lost, CLUSTER_VIEW_LOST_MAX);
    v.named_count = quorum_fenced_nodes(e->quorum, now, rq->session->leaders_told_ns, v.named, CLUSTER_VIEW_LOST_MAX);
    return v;
}

const struct image_listener *cluster_view_address(const struct cluster_view *v, int32_t node)
{
    const struct image_node *n = node == NODE_ID_NONE ? NULL : image_node(v->image, node);
    return n && !n->fenced ? image_listener(n, v->listener) : NULL;
}

const struct image_listener *cluster_view_named(const struct cluster_view *v, int32_t node)
{
    bool named = false;
    for (uint32_t i = 0; i < v->named_count && !named; i++)
        named = v->named[i] == node;
    const struct image_node *n = named ? image_node(v->image, node) : NULL;
    return n ? image_listener(n, v->listener) : cluster_view_address(v, node);
}

const struct image_listener *cluster_view_leader(const struct cluster_view *v, const struct image_partition *p)
{
    for (uint32_t i = 0; i < v->lost_count; i++)
        if (v->lost[i] == p->leader)
            return NULL;
    return cluster_view_address(v, p->leader);
}

bool cluster_view_offline(const struct cluster_view *v, const struct image_partition *p, struct arena *a, int32_t **out,
                          uint32_t *count)
{
    *out = NULL;
    *count = 0;
    const int32_t *replicas = image_replicas(p);
    for (uint32_t i = 0; i < p->replica_count; i++) {
        if (cluster_view_address(v, replicas[i]))
            continue;
        if (!*out && !(*out = arena_array(a, p->replica_count, sizeof(**out))))
            return false;
        (*out)[(*count)++] = replicas[i];
    }
    return true;
}
