// SPDX-License-Identifier: Apache-2.0
//
// Elections that nobody asked for: of a replica that may know less than is committed, where that is allowed, and of
// preferred leaders where leaderships have drifted away from a node. Both walk over the partitions in pieces; whether
// there is anything to do is counted in the image.
#include "meta/controller_core.h"

#include <stdio.h>

enum { TEND_LOOKS_MAX = 16384, TEND_CHANGES_MAX = 500 }; // of one piece

// ---- unclean elections ----

// The topic's setting, the brokers' dynamic default, this node's own properties.
bool decide_unclean_allowed(const struct decision *d, const struct image_topic *t)
{
    struct config_layers l = image_layers(d->view, t, d->env->self, d->env->properties);
    const struct config_key *key = config_find(CONFIG_TOPIC, "unclean.leader.election.enable");
    struct config_value v = config_resolve(CONFIG_TOPIC, key, &l);
    return v.value && strcmp(v.value, "true") == 0;
}

static void elect_unclean(struct decision_change *c, int32_t node)
{
    c->leader = c->isr[0] = node;
    c->isr_count = 1;
    c->elr_count = 0;
    c->recovery = IMAGE_RECOVERING; // what the others alone had is gone (KIP-704)
}

void decide_elect(struct decision *d, const struct image_topic *t, const struct image_partition *p,
                  struct decision_change *c, bool unclean)
{
    decide_change_elect(c, d->view, p);
    if (c->leader != NODE_ID_NONE)
        return;
    int32_t last = p->leader != NODE_ID_NONE ? p->leader : p->last_known_leader;
    bool nobody = c->isr_count == 0 && c->elr_count == 0;
    if (!unclean && !(nobody && decide_may_lead(d->view, last)) && !decide_unclean_allowed(d, t))
        return;
    // Who led last is the likeliest to have it all.
    if (decide_list_has(c->replicas, c->replica_count, last) && decide_may_lead(d->view, last)) {
        elect_unclean(c, last);
        return;
    }
    for (uint32_t i = 0; i < c->replica_count && (unclean || decide_unclean_allowed(d, t)); i++)
        if (decide_may_lead(d->view, c->replicas[i])) {
            elect_unclean(c, c->replicas[i]);
            return;
        }
}

// ---- in pieces ----

bool controller_unbalanced(const struct image *i, uint32_t percentage, struct controller_tend *out)
{
    out->node_count = 0;
    for (uint32_t n = 0; n < i->share_count; n++) {
        const struct image_share *s = &i->shares[n];
        if ((uint64_t)s->away * 100 > (uint64_t)s->preferred * percentage && decide_may_lead(i, s->node))
            out->nodes[out->node_count++] = s->node;
    }
    return out->node_count > 0;
}

// What there is to change in one partition. False: nothing.
static bool tend(struct decision *d, const struct controller_tend *in, const struct image_topic *t,
                 const struct image_partition *p, struct decision_change *c)
{
    if (p->leader == NODE_ID_NONE) {
        if (!in->unclean)
            return false;
        decide_change_begin(c, p);
        decide_elect(d, t, p, c, false);
        return c->leader != NODE_ID_NONE;
    }
    int32_t preferred = image_replicas(p)[0];
    if (p->leader == preferred || !image_in_isr(p, preferred) || !decide_may_lead(d->view, preferred) ||
        !decide_list_has(in->nodes, in->node_count, preferred))
        return false;
    decide_change_begin(c, p);
    c->leader = preferred;
    return true;
}

void decide_tend(struct decision *d, const struct controller_tend *in, struct controller_tend *out)
{
    uint32_t looks = 0;
    *out = *in;
    out->changes = 0;
    out->more = false;
    struct bytes from = bytes_str(out->topic);
    const struct image_topic *t = image_topic_next(d->view, from, from.n > 0);
    int32_t n = t && bytes_eq(image_topic_name(t), from) ? out->partition : 0;
    for (; t && d->rc == RC_OK; t = image_topic_next(d->view, image_topic_name(t), false), n = 0) {
        struct uuid id = t->id;
        for (; n < t->partition_count && d->rc == RC_OK; n++) {
            const struct image_partition *p = image_partition(t, n);
            struct decision_change c;
            bool never = false, does = tend(d, out, t, p, &c);
            if (++looks > TEND_LOOKS_MAX || out->changes == TEND_CHANGES_MAX ||
                (does && !decision_fits(d, out->changes % CHANGES_PER_WORK == 0,
                                        CHANGE_BYTES + (size_t)p->replica_count * 8, &never))) {
                snprintf(out->topic, sizeof(out->topic), "%s", t->name);
                out->partition = n;
                out->more = true;
                d->more = false; // the rest is another request, so that others come in between
                return;
            }
            if (!does)
                continue;
            out->changes++;
            decide_change_add(d, id, n, p, &c);
            t = image_topic_by_id(d->view, id); // it may have been copied
        }
    }
}
