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

// p's arrays have room for factor.
static void fill_partition(const struct decision *d, const int32_t *replicas, uint32_t factor,
                           struct partitions_record_partition *p)
{
    p->replicas = (int32_t *)(uintptr_t)replicas;
    p->replicas_count = p->directories_count = factor;
    p->isr_count = 0;
    for (uint32_t k = 0; k < factor; k++) {
        p->directories[k] = decide_directory(d->view, replicas[k]);
        if (decide_may_lead(d->view, replicas[k]))
            p->isr[p->isr_count++] = replicas[k];
    }
    ASSERT(p->isr_count > 0);
    p->leader = p->isr[0];
}

// A record holds as many as a chunk of the image: what decoding one takes is small and stays in the cache.
static void add_partitions(struct decision *d, struct uuid topic_id, int32_t first, uint32_t count, uint32_t factor,
                           const int32_t *replicas)
{
    enum { RECORD_PARTITIONS = IMAGE_CHUNK_PARTITIONS };
    uint32_t most = count < RECORD_PARTITIONS ? count : RECORD_PARTITIONS;
    struct partitions_record_partition *partitions = decision_array(d, most, sizeof(*partitions));
    struct uuid *directories = decision_array(d, (size_t)most * factor, sizeof(*directories));
    int32_t *isr = decision_array(d, (size_t)most * factor, sizeof(*isr));
    for (uint32_t i = 0; d->rc == RC_OK && i < most; i++) {
        partitions_record_partition_init(&partitions[i]);
        partitions[i].directories = directories + (size_t)i * factor;
        partitions[i].isr = isr + (size_t)i * factor;
    }
    for (uint32_t done = 0; d->rc == RC_OK && done < count;) {
        uint32_t n = count - done < most ? count - done : most;
        struct partitions_record r = {
            .topic_id = topic_id, .first = first + (int32_t)done, .partitions = partitions, .partitions_count = n};
        for (uint32_t i = 0; i < n; i++)
            fill_partition(d, replicas + (size_t)(done + i) * factor, factor, &partitions[i]);
        decision_add(d, &partitions_record_message, &r);
        done += n;
    }
}

void decide_adding(struct decision *d)
{
    struct controller_adding *a = &d->progress->adding;
    uint32_t n = a->count < CONTROLLER_PIECE_PARTITIONS ? a->count : CONTROLLER_PIECE_PARTITIONS;
    if (n == 0)
        return;
    add_partitions(d, a->topic_id, a->first, n, a->factor, a->replicas);
    a->first += (int32_t)n;
    a->count -= n;
    a->replicas += (size_t)n * a->factor;
    d->unfinished = a->count > 0;
}

void decide_add_partitions(struct decision *d, struct uuid topic_id, int32_t first, uint32_t count, uint32_t factor,
                           const int32_t *replicas)
{
    ASSERT(d->progress->adding.count == 0);
    d->progress->adding = (struct controller_adding){topic_id, first, count, factor, replicas};
    decide_adding(d);
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
    d->dry = in->validate_only;
    if (d->progress->done == 0) {
        uint64_t wanted = 0;
        for (uint32_t i = 0; i < in->topics_count; i++)
            wanted += in->topics[i].count > 0 ? (uint64_t)in->topics[i].count : 0;
        if (wanted > CONTROLLER_PIECE_PARTITIONS && d->batch->records.n > 0) {
            d->rc = RC_FULL; // what takes several turns begins a batch
            return;
        }
        create_partitions_response_init(out);
        out->results = decision_array(d, in->topics_count, sizeof(*out->results));
        struct bytes *names = decision_array(d, in->topics_count, sizeof(*names));
        for (uint32_t i = 0; names && i < in->topics_count; i++)
            names[i] = in->topics[i].name;
        d->progress->twice = names ? decision_duplicates(d, names, in->topics_count) : NULL;
        if (!d->progress->twice && d->rc == RC_OK)
            d->rc = RC_NOMEM;
    }
    for (uint32_t i = d->progress->done; i < in->topics_count && d->rc == RC_OK && !d->unfinished; i++) {
        struct decision_error e = d->progress->twice[i] ? DECISION_FAIL(d, RC_INVALID_REQUEST, "Duplicate topic name.")
                                                        : grow(d, &in->topics[i]);
        struct create_partitions_response_result *r = &out->results[i];
        create_partitions_response_result_init(r);
        r->name = in->topics[i].name;
        r->error_code = kerr_of(e.rc);
        r->error_message = e.text;
        out->results_count = d->progress->done = i + 1;
    }
}
