// SPDX-License-Identifier: Apache-2.0
//
// A decision of the new protocol under construction: its records, and its way to the log.
#include "group/consumer.h"

#define KEY(name, ...) (const struct name[1]){{__VA_ARGS__}}

enum { PLAN_BYTES_MAX = 256 << 20 };

void plan_begin(struct consumer_plan *p, struct group *gr)
{
    *p = (struct consumer_plan){.g = gr->groups, .gr = gr};
    arena_init(&p->arena, PLAN_BYTES_MAX, NULL, 0);
    if (gr->type == GROUP_CONSUMER)
        p->cg = gr->consumer;
    p->epoch = p->cg ? p->cg->epoch : 0;
    p->assignment_epoch = p->cg ? p->cg->assignment_epoch : 0;
}

void plan_end(struct consumer_plan *p)
{
    if (p->decision)
        group_decision_cancel(p->decision);
    p->decision = NULL;
    arena_deinit(&p->arena);
}

struct group_append *plan_decision(struct consumer_plan *p)
{
    if (!p->decision && !p->failed)
        p->decision = group_decision_begin(p->gr, true);
    p->failed = p->failed || !p->decision;
    return p->decision;
}

static void add(struct consumer_plan *p, const struct schema_message *km, int16_t version, const void *key,
                const struct schema_message *vm, const void *value)
{
    if (plan_decision(p))
        group_decision_add(p->decision, km, version, key, vm, 0, value);
}

void plan_add_epoch(struct consumer_plan *p, int32_t epoch)
{
    add(p, &consumer_group_metadata_key_message, 3, KEY(consumer_group_metadata_key, .group_id = group_id(p->gr)),
        &consumer_group_metadata_value_message, KEY(consumer_group_metadata_value, .epoch = epoch));
}

void plan_add_topics(struct consumer_plan *p, const consumer_topics *topics)
{
    add(p, &consumer_group_partition_metadata_key_message, 4,
        KEY(consumer_group_partition_metadata_key, .group_id = group_id(p->gr)),
        &consumer_group_partition_metadata_value_message, topics);
}

void plan_add_member(struct consumer_plan *p, struct bytes id, const consumer_sub *sub)
{
    add(p, &consumer_group_member_metadata_key_message, 5,
        KEY(consumer_group_member_metadata_key, .group_id = group_id(p->gr), .member_id = id),
        &consumer_group_member_metadata_value_message, sub);
}

void plan_add_assignment_epoch(struct consumer_plan *p, int32_t epoch)
{
    add(p, &consumer_group_target_assignment_metadata_key_message, 6,
        KEY(consumer_group_target_assignment_metadata_key, .group_id = group_id(p->gr)),
        &consumer_group_target_assignment_metadata_value_message,
        KEY(consumer_group_target_assignment_metadata_value, .assignment_epoch = epoch));
}

void plan_add_target(struct consumer_plan *p, struct bytes id, const struct partition_set *target)
{
    add(p, &consumer_group_target_assignment_member_key_message, 7,
        KEY(consumer_group_target_assignment_member_key, .group_id = group_id(p->gr), .member_id = id),
        &consumer_group_target_assignment_member_value_message,
        KEY(consumer_group_target_assignment_member_value, .topic_partitions = (void *)target->topics,
            .topic_partitions_count = target->count));
}

void plan_add_current(struct consumer_plan *p, struct bytes id, const struct consumer_current *c)
{
    add(p, &consumer_group_current_member_assignment_key_message, 8,
        KEY(consumer_group_current_member_assignment_key, .group_id = group_id(p->gr), .member_id = id),
        &consumer_group_current_member_assignment_value_message,
        KEY(consumer_group_current_member_assignment_value, .member_epoch = c->epoch,
            .previous_member_epoch = c->previous_epoch, .state = c->state,
            .assigned_partitions = (void *)c->assigned.topics, .assigned_partitions_count = c->assigned.count,
            .partitions_pending_revocation = (void *)c->revoking.topics,
            .partitions_pending_revocation_count = c->revoking.count));
}

void plan_add_gone(struct consumer_plan *p, const struct consumer_member *m)
{
    if (plan_decision(p))
        consumer_add_member_tombstones(p->decision, m);
}

void plan_add_regex(struct consumer_plan *p, struct bytes pattern, const consumer_matches *matches)
{
    add(p, &consumer_group_regular_expression_key_message, 16,
        KEY(consumer_group_regular_expression_key, .group_id = group_id(p->gr), .regular_expression = pattern),
        matches ? &consumer_group_regular_expression_value_message : NULL, matches);
}

// After the records were applied, or are known not to be in the log.
static void plan_applied(struct group_append *a, enum rc rc)
{
    struct groups *g = a->groups;
    struct group *gr = a->group;
    if (gr->type != GROUP_CONSUMER)
        return;
    struct consumer_group *cg = gr->consumer;
    if (rc != RC_OK) {
        cg->topics_stale = true;
        cg->regex_stale = true;
        // Who was to go stays, and is looked at again.
        for (struct consumer_member *m = consumer_member_first(cg); m; m = consumer_member_next(cg, m)) {
            if (m->session.node.key == GROUP_NEVER)
                consumer_touch(g, m);
            if (m->rebalance.node.key == GROUP_NEVER)
                consumer_arm_rebalance(g, m);
        }
    }
    for (struct list_node *n = list_first(&a->calls); n && rc == RC_OK; n = list_next(&a->calls, n)) {
        const struct group_call *call = list_entry(n, struct group_call, link);
        const struct join_group_response *out = call->kind == GROUP_JOIN ? call->response : NULL;
        struct consumer_member *m = out ? consumer_member_find(cg, out->member_id) : NULL;
        if (m)
            consumer_arm_join(g, m);
    }
    consumer_regex_schedule(g, gr);
    if (rc == RC_OK)
        consumer_downgrade_if_due(g, gr);
}

enum rc plan_submit(struct consumer_plan *p)
{
    struct group_append *a = plan_decision(p);
    if (!a || p->failed)
        return RC_NOMEM;
    p->decision = NULL;
    enum rc rc = group_decision_submit(a, plan_applied, NULL);
    if (rc != RC_OK)
        return rc;
    if (p->view && p->cg)
        p->gr->consumer->topics_stale = false; // a change that comes while this is in flight sets it again
    p->g->rebalances += p->bumped;
    return RC_OK;
}
