// SPDX-License-Identifier: Apache-2.0
//
// State into records: snapshots, the tombstones of a group, and freeing it.
#include "group/consumer.h"

#include <stdlib.h>

#define KEY(name, ...) (const struct name[1]){{__VA_ARGS__}}

static void snapshot_member(struct bytes group, const struct consumer_member *m, struct buf *out)
{
    struct bytes id = consumer_member_id(m);
    if (m->sub)
        group_snapshot_put(out, &consumer_group_member_metadata_key_message, 5,
                           KEY(consumer_group_member_metadata_key, .group_id = group, .member_id = id),
                           &consumer_group_member_metadata_value_message, 0, m->sub);
    if (m->target)
        group_snapshot_put(out, &consumer_group_target_assignment_member_key_message, 7,
                           KEY(consumer_group_target_assignment_member_key, .group_id = group, .member_id = id),
                           &consumer_group_target_assignment_member_value_message, 0, m->target);
    if (m->current)
        group_snapshot_put(out, &consumer_group_current_member_assignment_key_message, 8,
                           KEY(consumer_group_current_member_assignment_key, .group_id = group, .member_id = id),
                           &consumer_group_current_member_assignment_value_message, 0, m->current);
}

enum rc consumer_snapshot(const struct group *gr, struct buf *out)
{
    const struct consumer_group *cg = gr->consumer;
    struct bytes id = group_id(gr);
    if (cg->epoch_stored)
        group_snapshot_put(out, &consumer_group_metadata_key_message, 3,
                           KEY(consumer_group_metadata_key, .group_id = id), &consumer_group_metadata_value_message, 0,
                           KEY(consumer_group_metadata_value, .epoch = cg->epoch));
    if (cg->topics)
        group_snapshot_put(out, &consumer_group_partition_metadata_key_message, 4,
                           KEY(consumer_group_partition_metadata_key, .group_id = id),
                           &consumer_group_partition_metadata_value_message, 0, cg->topics);
    if (cg->assignment_stored)
        group_snapshot_put(
            out, &consumer_group_target_assignment_metadata_key_message, 6,
            KEY(consumer_group_target_assignment_metadata_key, .group_id = id),
            &consumer_group_target_assignment_metadata_value_message, 0,
            KEY(consumer_group_target_assignment_metadata_value, .assignment_epoch = cg->assignment_epoch));
    for (struct map_node *n = map_first(&cg->regexes); n; n = map_next(&cg->regexes, n)) {
        const struct consumer_regex *r = container_of(n, struct consumer_regex, node);
        group_snapshot_put(out, &consumer_group_regular_expression_key_message, 16,
                           KEY(consumer_group_regular_expression_key, .group_id = id,
                               .regular_expression = consumer_regex_pattern(r)),
                           &consumer_group_regular_expression_value_message, 0, r->matches);
    }
    for (struct map_node *n = map_first(&cg->members); n; n = map_next(&cg->members, n))
        snapshot_member(id, container_of(n, struct consumer_member, by_id), out);
    return out->failed ? RC_NOMEM : RC_OK;
}

static void tombstone(struct group_append *a, const struct schema_message *m, int16_t version, const void *key)
{
    group_decision_add(a, m, version, key, NULL, 0, NULL);
}

void consumer_add_member_tombstones(struct group_append *a, const struct consumer_member *m)
{
    struct bytes group = group_id(m->gr), id = consumer_member_id(m);
    if (m->current)
        tombstone(a, &consumer_group_current_member_assignment_key_message, 8,
                  KEY(consumer_group_current_member_assignment_key, .group_id = group, .member_id = id));
    if (m->target)
        tombstone(a, &consumer_group_target_assignment_member_key_message, 7,
                  KEY(consumer_group_target_assignment_member_key, .group_id = group, .member_id = id));
    if (m->sub)
        tombstone(a, &consumer_group_member_metadata_key_message, 5,
                  KEY(consumer_group_member_metadata_key, .group_id = group, .member_id = id));
}

void consumer_add_tombstones(struct group_append *a, const struct group *gr)
{
    const struct consumer_group *cg = gr->consumer;
    struct bytes id = group_id(gr);
    for (struct map_node *n = map_first(&cg->members); n; n = map_next(&cg->members, n))
        consumer_add_member_tombstones(a, container_of(n, struct consumer_member, by_id));
    for (struct map_node *n = map_first(&cg->regexes); n; n = map_next(&cg->regexes, n))
        tombstone(a, &consumer_group_regular_expression_key_message, 16,
                  KEY(consumer_group_regular_expression_key, .group_id = id,
                      .regular_expression = consumer_regex_pattern(container_of(n, struct consumer_regex, node))));
    if (cg->assignment_stored)
        tombstone(a, &consumer_group_target_assignment_metadata_key_message, 6,
                  KEY(consumer_group_target_assignment_metadata_key, .group_id = id));
    if (cg->topics)
        tombstone(a, &consumer_group_partition_metadata_key_message, 4,
                  KEY(consumer_group_partition_metadata_key, .group_id = id));
    // Last: with it the group is gone.
    tombstone(a, &consumer_group_metadata_key_message, 3, KEY(consumer_group_metadata_key, .group_id = id));
}

static void member_free(struct groups *g, struct consumer_member *m)
{
    g->member_count -= m->sub != NULL;
    group_deadline_cancel(g, &m->session);
    group_deadline_cancel(g, &m->rebalance);
    group_deadline_cancel(g, &m->join);
    free(m->sub);
    free(m->target);
    free(m->current);
    free(m);
}

void consumer_free(struct group *gr)
{
    struct consumer_group *cg = gr->consumer;
    if (!cg)
        return;
    struct groups *g = gr->groups;
    for (struct map_node *n = map_first(&cg->members), *next; n; n = next) {
        next = map_next(&cg->members, n);
        member_free(g, container_of(n, struct consumer_member, by_id));
    }
    for (struct map_node *n = map_first(&cg->held), *next; n; n = next) {
        next = map_next(&cg->held, n);
        struct consumer_held *h = container_of(n, struct consumer_held, node);
        free(h->owners);
        free(h);
    }
    for (struct map_node *n = map_first(&cg->regexes), *next; n; n = next) {
        next = map_next(&cg->regexes, n);
        struct consumer_regex *r = container_of(n, struct consumer_regex, node);
        free(r->matches);
        free(r);
    }
    consumer_resolve_free(cg);
    group_deadline_cancel(g, &cg->regex);
    map_deinit(&cg->members);
    map_deinit(&cg->instances);
    map_deinit(&cg->held);
    map_deinit(&cg->regexes);
    free(cg->topics);
    free(cg);
    gr->consumer = NULL;
    if (gr->type == GROUP_CONSUMER)
        gr->type = GROUP_UNTYPED;
}

void consumer_group_stop(struct group *gr, enum rc rc)
{
    (void)gr;
    (void)rc; // nothing is parked inside
}
