// SPDX-License-Identifier: Apache-2.0
//
// Moving replicas (KIP-455). A target makes the new ones replicas at once; they fetch, and the change of the ISR that
// brings in the last of them ends the move (controller_change.c). Sentences are Kafka's.
//
//     replicas [1 2 3] --set [4 2 3]--> [4 2 3 1], adding 4, removing 1 --4 in sync--> [4 2 3]
//                                           |   ^---- set again: 4 stays a replica until the end, then goes
//                                           +---- cancel ----> [2 3 1]: those that were replicas before
#include "meta/controller_core.h"

#include <stdlib.h>

#include "model/kerr.h"

enum { CHANGE_BYTES_A_REPLICA = 48 }; // its places in up to five lists, and its folder

static int node_order(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static void list_add(int32_t *list, uint32_t *count, int32_t node)
{
    if (!decide_list_has(list, *count, node))
        list[(*count)++] = node;
}

// ---- set ----

static struct decision_error target_check(struct decision *d, const struct image_partition *p,
                                          const struct alter_partition_reassignments_request_partition *in,
                                          bool factor_may_change)
{
    struct decision_error e = decide_check_nodes(d, in->replicas, in->replicas_count, 0);
    if (e.rc != RC_OK)
        return e;
    uint32_t factor = (uint32_t)(p->replica_count - p->removing_count);
    if (!factor_may_change && in->replicas_count != factor)
        return DECISION_FAIL(d, RC_INVALID_REPLICATION_FACTOR, "The replication factor is changed from %u to %u", factor,
                             in->replicas_count);
    uint32_t all = in->replicas_count;
    for (uint32_t i = 0; i < p->replica_count; i++)
        all += !decide_list_has(in->replicas, in->replicas_count, image_replicas(p)[i]);
    if (all > IMAGE_REPLICAS_MAX)
        return DECISION_FAIL(d, RC_INVALID_REPLICA_ASSIGNMENT,
                             "Before and after the move together a partition may have at most %d replicas.",
                             IMAGE_REPLICAS_MAX);
    return (struct decision_error){0};
}

// What an earlier move has begun to add stays marked so: a cancel goes back to what was before all of them.
static void target_set(const struct image_partition *p, const int32_t *target, uint32_t count, struct decision_change *c)
{
    for (uint32_t i = 0; i < count; i++)
        if (!image_has_replica(p, target[i]))
            list_add(c->adding, &c->adding_count, target[i]);
    c->removing_count = 0;
    for (uint32_t i = 0; i < p->replica_count; i++)
        if (!decide_list_has(target, count, image_replicas(p)[i]))
            list_add(c->removing, &c->removing_count, image_replicas(p)[i]);
    qsort(c->adding, c->adding_count, sizeof(*c->adding), node_order);
    qsort(c->removing, c->removing_count, sizeof(*c->removing), node_order);
    memcpy(c->replicas, target, count * sizeof(*target));
    memcpy(c->replicas + count, c->removing, c->removing_count * sizeof(*c->removing));
    c->replica_count = count + c->removing_count;
}

// ---- cancel ----

// Of those who surely hold what was committed, how many stay.
static uint32_t holders(const struct decision_change *c)
{
    return c->isr_count + c->elr_count;
}

static struct decision_error revert(struct decision *d, const struct image_topic *t, int32_t partition,
                                    const struct image_partition *p, struct decision_change *c)
{
    if (!image_is_moving(p))
        return DECISION_FAIL(d, RC_NO_REASSIGNMENT_IN_PROGRESS, "No partition reassignment is in progress.");
    uint32_t before = holders(c);
    decide_list_keep(c->replicas, &c->replica_count, c->adding, c->adding_count, false);
    decide_list_keep(c->isr, &c->isr_count, c->replicas, c->replica_count, true);
    decide_list_keep(c->elr, &c->elr_count, c->replicas, c->replica_count, true);
    c->adding_count = c->removing_count = 0;
    uint32_t least = decide_min_isr(d, t, p);
    if (holders(c) == before || (holders(c) == 0 && decide_unclean_allowed(d, t)))
        return (struct decision_error){0};
    if (holders(c) == 0)
        return DECISION_FAIL(d, RC_INVALID_REPLICA_ASSIGNMENT,
                             "Unable to revert partition assignment for %s:%d because it would require an unclean leader "
                             "election.",
                             t->name, partition);
    // What was acknowledged lies on at least so many nodes; the cancel must not leave it on fewer. Nor where unclean
    // elections are allowed: such a one is told of, and here nobody is elected who could lack anything yet.
    if (holders(c) < least)
        return DECISION_FAIL(d, RC_INVALID_REPLICA_ASSIGNMENT,
                             "Unable to revert partition assignment for %s:%d because only %u of its former replicas are in "
                             "sync, fewer than min.insync.replicas=%u. Wait until they are, or set another target.",
                             t->name, partition, holders(c), least);
    return (struct decision_error){0};
}

// ---- one partition ----

static struct decision_error reassign(struct decision *d, struct bytes topic, bool factor_may_change,
                                      const struct alter_partition_reassignments_request_partition *in)
{
    const struct image_topic *t = image_topic_by_name(d->view, topic);
    if (!t)
        return DECISION_FAIL(d, RC_UNKNOWN_TOPIC_OR_PARTITION, "Unable to find a topic named %s.",
                             decision_string(d, topic));
    const struct image_partition *p = in->partition_index >= 0 ? image_partition(t, in->partition_index) : NULL;
    if (!p)
        return DECISION_FAIL(d, RC_UNKNOWN_TOPIC_OR_PARTITION, "Unable to find partition %s:%d.", t->name,
                             in->partition_index);
    struct decision_change c;
    decide_change_begin(&c, p);
    struct decision_error e = in->replicas ? target_check(d, p, in, factor_may_change)
                                           : revert(d, t, in->partition_index, p, &c);
    if (e.rc != RC_OK || d->rc != RC_OK)
        return e;
    if (in->replicas)
        target_set(p, in->replicas, in->replicas_count, &c);
    if (decide_change_settle(d, t, p, &c) || c.adding_count != p->adding_count || c.removing_count != p->removing_count)
        decide_change_add(d, t->id, in->partition_index, p, &c);
    return e;
}

// ---- the request ----

static bool answer_begin(struct decision *d, const struct alter_partition_reassignments_request *in,
                         struct alter_partition_reassignments_response *out)
{
    alter_partition_reassignments_response_init(out);
    out->allow_replication_factor_change = in->allow_replication_factor_change;
    out->responses = decision_array(d, in->topics_count, sizeof(*out->responses));
    for (uint32_t i = 0; out->responses && i < in->topics_count && d->rc == RC_OK; i++) {
        struct alter_partition_reassignments_response_response *r = &out->responses[out->responses_count++];
        alter_partition_reassignments_response_response_init(r);
        r->name = in->topics[i].name;
        r->partitions = decision_array(d, in->topics[i].partitions_count, sizeof(*r->partitions));
    }
    return d->rc == RC_OK;
}

// No less than its record takes.
static size_t record_bytes(const struct decision *d, struct bytes topic,
                           const struct alter_partition_reassignments_request_partition *in)
{
    const struct image_topic *t = image_topic_by_name(d->view, topic);
    const struct image_partition *p = t && in->partition_index >= 0 ? image_partition(t, in->partition_index) : NULL;
    return CHANGE_BYTES + ((size_t)in->replicas_count + (p ? p->replica_count : 0)) * CHANGE_BYTES_A_REPLICA;
}

void decide_reassign(struct decision *d, const struct alter_partition_reassignments_request *in,
                     struct alter_partition_reassignments_response *out)
{
    if (d->progress->done == 0 && !answer_begin(d, in, out))
        return;
    uint32_t before = 0, done = d->progress->done; // partitions of the topics before this one; decided
    for (uint32_t i = 0; i < in->topics_count && d->rc == RC_OK && !d->more; i++) {
        const struct alter_partition_reassignments_request_topic *t = &in->topics[i];
        struct alter_partition_reassignments_response_response *r = &out->responses[i];
        for (uint32_t k; (k = done - before) < t->partitions_count && d->rc == RC_OK; done++) {
            bool never;
            if (!decision_fits(d, done % CHANGES_PER_WORK == 0, record_bytes(d, t->name, &t->partitions[k]), &never))
                break;
            struct decision_error e = reassign(d, t->name, in->allow_replication_factor_change, &t->partitions[k]);
            alter_partition_reassignments_response_partition_init(&r->partitions[k]);
            r->partitions[k].partition_index = t->partitions[k].partition_index;
            r->partitions[k].error_code = kerr_of(e.rc);
            r->partitions[k].error_message = e.text;
            r->partitions_count = k + 1;
        }
        before += t->partitions_count;
    }
    if (d->rc == RC_OK)
        d->progress->done = done;
}
