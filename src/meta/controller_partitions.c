// SPDX-License-Identifier: Apache-2.0
//
// Partitions: checking assignments, placing, adding, and CreatePartitions.
#include "meta/controller_core.h"

#include "meta/placement.h"
#include "model/kerr.h"

struct decision_error decide_check_nodes(struct decision *d, const int32_t *ids, uint32_t count, uint32_t factor)
{
    const enum rc bad = RC_INVALID_REPLICA_ASSIGNMENT;
    if (count > IMAGE_REPLICAS_MAX)
        return DECISION_FAIL(d, bad, "A partition may have at most %d replicas.", IMAGE_REPLICAS_MAX);
    if (count == 0)
        return DECISION_FAIL(d, bad, "The manual partition assignment includes an empty replica list.");
    if (factor && count != factor)
        return DECISION_FAIL(d, bad,
                             "The manual partition assignment includes a partition with %u replica(s), but this is not "
                             "consistent with previous partitions, which have %u replica(s).",
                             count, factor);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < i; j++)
            if (ids[i] == ids[j])
                return DECISION_FAIL(d, bad, "The manual partition assignment includes the broker %d more than once.",
                                     ids[i]);
        if (!image_node(d->view, ids[i]))
            return DECISION_FAIL(
                d, bad, "The manual partition assignment includes broker %d, but no such broker is registered.",
                ids[i]);
    }
    return (struct decision_error){0};
}

struct decision_error decide_check_replicas(struct decision *d, const int32_t *ids, uint32_t count, uint32_t factor)
{
    struct decision_error e = decide_check_nodes(d, ids, count, factor);
    for (uint32_t i = 0; e.rc == RC_OK && i < count; i++)
        if (decide_may_lead(d->view, ids[i]))
            return e;
    return e.rc != RC_OK ? e
                         : DECISION_FAIL(d, RC_INVALID_REPLICA_ASSIGNMENT,
                                         "All brokers specified in the manual partition assignment are fenced or in "
                                         "controlled shutdown.");
}

struct decision_error decide_place(struct decision *d, uint32_t count, uint32_t factor, int32_t **out)
{
    if (factor > IMAGE_REPLICAS_MAX)
        return DECISION_FAIL(d, RC_INVALID_REPLICATION_FACTOR, "A partition may have at most %d replicas.",
                             IMAGE_REPLICAS_MAX);
    if (factor > d->view->node_count)
        return DECISION_FAIL(d, RC_INVALID_REPLICATION_FACTOR,
                             "Unable to replicate the partition %u time(s): The target replication factor of %u cannot "
                             "be reached because only %u broker(s) are registered.",
                             factor, factor, d->view->node_count);
    *out = decision_array(d, (size_t)count * factor, sizeof(int32_t));
    if (!*out)
        return (struct decision_error){0};
    enum rc rc = placement_assign(d->view, d->env->prng, count, factor, *out);
    if (rc == RC_INVALID_REPLICATION_FACTOR)
        return DECISION_FAIL(d, rc, "Unable to replicate the partition %u time(s): All brokers are currently fenced.",
                             factor);
    if (rc != RC_OK)
        d->rc = rc;
    return (struct decision_error){0};
}

struct uuid decide_directory(const struct image *i, int32_t node)
{
    const struct image_node *n = image_node(i, node);
    return n && n->directory_count == 1 ? n->directories[0] : (struct uuid){0};
}

static bool fill_partition(struct decision *d, const int32_t *replicas, uint32_t factor,
                           struct partitions_record_partition *p)
{
    partitions_record_partition_init(p);
    p->replicas = (int32_t *)(uintptr_t)replicas;
    p->replicas_count = p->directories_count = factor;
    p->directories = decision_array(d, factor, sizeof(struct uuid));
    p->isr = decision_array(d, factor, sizeof(int32_t));
    if (d->rc != RC_OK)
        return false;
    for (uint32_t k = 0; k < factor; k++) {
        p->directories[k] = decide_directory(d->view, replicas[k]);
        if (decide_may_lead(d->view, replicas[k]))
            p->isr[p->isr_count++] = replicas[k];
    }
    ASSERT(p->isr_count > 0);
    p->leader = p->isr[0];
    return true;
}

void decide_add_partitions(struct decision *d, struct uuid topic_id, int32_t first, uint32_t count, uint32_t factor,
                           const int32_t *replicas)
{
    struct partitions_record r = {.topic_id = topic_id, .first = first, .partitions_count = count};
    r.partitions = decision_array(d, count, sizeof(*r.partitions));
    if (!r.partitions)
        return;
    for (uint32_t i = 0; i < count; i++)
        if (!fill_partition(d, replicas + (size_t)i * factor, factor, &r.partitions[i]))
            return;
    decision_add(d, &partitions_record_message, &r);
}

// ---- CreatePartitions ----

static struct decision_error grow_manual(struct decision *d, const struct create_partitions_request_topic *in,
                                         uint32_t added, uint32_t factor, int32_t **out)
{
    if (in->assignments_count != added)
        return DECISION_FAIL(d, RC_INVALID_REPLICA_ASSIGNMENT,
                             "Attempted to add %u additional partition(s), but only %u assignment(s) were specified.",
                             added, in->assignments_count);
    *out = decision_array(d, (size_t)added * factor, sizeof(int32_t));
    for (uint32_t i = 0; *out && i < added; i++) {
        const struct create_partitions_request_assignment *a = &in->assignments[i];
        struct decision_error e = decide_check_replicas(d, a->broker_ids, a->broker_ids_count, factor);
        if (e.rc != RC_OK)
            return e;
        memcpy(*out + (size_t)i * factor, a->broker_ids, factor * sizeof(int32_t));
    }
    return (struct decision_error){0};
}

static struct decision_error grow(struct decision *d, const struct create_partitions_request_topic *in)
{
    const struct image_topic *t = image_topic_by_name(d->view, in->name);
    if (!t)
        return DECISION_FAIL(d, RC_UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition.");
    if (in->count == t->partition_count)
        return DECISION_FAIL(d, RC_INVALID_PARTITIONS, "Topic already has %d partition(s).", t->partition_count);
    if (in->count < t->partition_count)
        return DECISION_FAIL(d, RC_INVALID_PARTITIONS,
                             "The topic %s currently has %d partition(s); %d would not be an increase.", t->name,
                             t->partition_count, in->count);
    if (in->count > PARTITIONS_PER_TOPIC_MAX)
        return DECISION_FAIL(d, RC_INVALID_PARTITIONS, "A topic may have at most %d partitions.",
                             PARTITIONS_PER_TOPIC_MAX);
    uint32_t added = (uint32_t)(in->count - t->partition_count);
    const struct image_partition *sample = image_partition(t, 0);
    // A move under way does not count: what is added is made as its neighbour will be.
    uint32_t factor = sample ? sample->replica_count - (uint32_t)sample->removing_count : 1;
    int32_t *replicas = NULL;
    struct decision_error e =
        in->assignments ? grow_manual(d, in, added, factor, &replicas) : decide_place(d, added, factor, &replicas);
    if (e.rc == RC_OK && d->rc == RC_OK)
        decide_add_partitions(d, t->id, t->partition_count, added, factor, replicas);
    return e;
}

void decide_create_partitions(struct decision *d, const struct create_partitions_request *in,
                              struct create_partitions_response *out)
{
    create_partitions_response_init(out);
    d->dry = in->validate_only;
    out->results = decision_array(d, in->topics_count, sizeof(*out->results));
    struct bytes *names = decision_array(d, in->topics_count, sizeof(*names));
    for (uint32_t i = 0; names && i < in->topics_count; i++)
        names[i] = in->topics[i].name;
    const bool *twice = names ? decision_duplicates(d, names, in->topics_count) : NULL;
    for (uint32_t i = 0; twice && out->results && i < in->topics_count && d->rc == RC_OK; i++) {
        struct decision_error e =
            twice[i] ? DECISION_FAIL(d, RC_INVALID_REQUEST, "Duplicate topic name.") : grow(d, &in->topics[i]);
        struct create_partitions_response_result *r = &out->results[out->results_count++];
        create_partitions_response_result_init(r);
        r->name = in->topics[i].name;
        r->error_code = kerr_of(e.rc);
        r->error_message = e.text;
    }
}
