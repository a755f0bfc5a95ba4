// SPDX-License-Identifier: Apache-2.0
#include "engine/replica_nearest.h"

#include "engine/replica.h"

bool replica_selector_by_rack(const char *name)
{
    return name && (strcmp(name, "rack") == 0 || strcmp(name, "RackAwareReplicaSelector") == 0 ||
                    strcmp(name, "org.apache.kafka.common.replica.RackAwareReplicaSelector") == 0);
}

static bool in_rack(const struct image_node *n, struct bytes rack)
{
    return n && n->rack && bytes_eq(bytes_str(n->rack), rack);
}

static bool better(const struct repl_replica *a, const struct repl_replica *b)
{
    if (!b || a->end != b->end)
        return !b || a->end > b->end;
    return a->caught_up_ns > b->caught_up_ns;
}

int32_t replica_nearest(const struct partition *p, int64_t fetch_offset, const struct partition_client *client)
{
    const struct replica *r = p->replica;
    const struct engine *e = p->es->engine;
    const struct image *image = engine_image(p->es);
    if (!e->selects_by_rack || !r || !r->leads || !r->begun || in_rack(image_node(image, e->config.node_id), client->rack))
        return NODE_ID_NONE;
    const struct repl_replica *best = NULL;
    for (uint32_t i = 0; i < r->leader.replica_count; i++) {
        const struct repl_replica *x = &r->leader.replicas[i];
        const struct image_node *n = image_node(image, x->node);
        bool holds = x->in_isr && x->known && x->end >= fetch_offset &&
                     (x->log_start == OFFSET_NONE || x->log_start <= fetch_offset);
        if (holds && in_rack(n, client->rack) && !n->fenced && image_listener(n, client->listener) && better(x, best))
            best = x;
    }
    return best ? best->node : NODE_ID_NONE;
}
