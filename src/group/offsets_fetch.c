// SPDX-License-Identifier: Apache-2.0
//
// OffsetFetch: reads of committed offsets; they never wait.
#include "group/core.h"
#include "model/kerr.h"

#include <stdlib.h>

static bool fill(const struct group *gr, struct group_call *call, struct bytes topic,
                 int32_t partition, const struct group_offset *o,
                 struct offset_fetch_response_group_topic_partition *out)
{
    const struct group_fetch_request *in = call->request;
    *out = (struct offset_fetch_response_group_topic_partition){.partition_index = partition,
                                                                .committed_offset = OFFSET_NONE,
                                                                .committed_leader_epoch = LEADER_EPOCH_NONE,
                                                                .metadata = bytes_str("")};
    if (in->require_stable && gr && offsets_pending(gr, topic, partition)) {
        out->error_code = kerr_of(RC_UNSTABLE_OFFSET_COMMIT);
        return true;
    }
    if (!o)
        return true;
    out->committed_offset = o->offset;
    out->committed_leader_epoch = o->leader_epoch;
    if (o->metadata_bytes)
        out->metadata = group_answer_copy(call, bytes_of(o->metadata, o->metadata_bytes));
    return out->metadata.p != NULL;
}

static bool fetch_named(struct group *gr, struct group_call *call,
                        struct offset_fetch_response_group *out)
{
    const struct offset_fetch_request_group *in = ((const struct group_fetch_request *)call->request)->group;
    out->topics = group_answer_alloc(call, in->topics_count, sizeof(*out->topics));
    if (!out->topics)
        return false;
    out->topics_count = in->topics_count;
    for (uint32_t i = 0; i < in->topics_count; i++) {
        const struct offset_fetch_request_group_topic *t = &in->topics[i];
        struct offset_fetch_response_group_topic *o = &out->topics[i];
        o->name = group_answer_copy(call, t->name);
        o->partitions = group_answer_alloc(call, t->partition_indexes_count, sizeof(*o->partitions));
        if (!o->partitions || (t->name.n && !o->name.p))
            return false;
        o->partitions_count = t->partition_indexes_count;
        for (uint32_t k = 0; k < t->partition_indexes_count; k++) {
            int32_t index = t->partition_indexes[k];
            const struct group_offset *found = gr ? offsets_find(gr, t->name, index) : NULL;
            if (!fill(gr, call, t->name, index, found, &o->partitions[k]))
                return false;
        }
    }
    return true;
}

static int compare_offsets(const void *a, const void *b)
{
    const struct group_offset *x = *(const struct group_offset *const *)a, *y = *(const struct group_offset *const *)b;
    int c = x->topic == y->topic ? 0 : bytes_cmp(topic_ref_name(x->topic), topic_ref_name(y->topic));
    return c ? c : (x->partition > y->partition) - (x->partition < y->partition);
}

static const struct group_offset **sorted(const struct group *gr, struct group_call *call)
{
    const struct group_offset **all = group_answer_alloc(call, gr->offsets.count, sizeof(const struct group_offset *));
    if (!all)
        return NULL;
    size_t count = 0;
    for (struct map_node *n = map_first(&gr->offsets); n; n = map_next(&gr->offsets, n))
        all[count++] = container_of(n, struct group_offset, node);
    ASSERT(count == gr->offsets.count);
    qsort(all, count, sizeof(const struct group_offset *), compare_offsets);
    return all;
}

// Every offset, by topic and partition.
static bool fetch_all(struct group *gr, struct group_call *call, struct offset_fetch_response_group *out)
{
    size_t count = gr ? gr->offsets.count : 0;
    if (count == 0)
        return true;
    const struct group_offset **all = sorted(gr, call);
    if (!all)
        return false;
    uint32_t topics = 1;
    for (size_t i = 1; i < count; i++)
        topics += all[i]->topic != all[i - 1]->topic;
    out->topics = group_answer_alloc(call, topics, sizeof(*out->topics));
    struct offset_fetch_response_group_topic_partition *partitions =
        group_answer_alloc(call, count, sizeof(*partitions));
    if (!out->topics || !partitions)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || all[i]->topic != all[i - 1]->topic) {
            struct bytes name = group_answer_copy(call, topic_ref_name(all[i]->topic));
            if (!name.p)
                return false;
            out->topics[out->topics_count++] =
                (struct offset_fetch_response_group_topic){.name = name, .partitions = &partitions[i]};
        }
        out->topics[out->topics_count - 1].partitions_count++;
        if (!fill(gr, call, topic_ref_name(all[i]->topic), all[i]->partition, all[i], &partitions[i]))
            return false;
    }
    ASSERT(out->topics_count == topics);
    return true;
}

void offsets_fetch(struct groups *g, struct group *gr, struct group_call *call)
{
    const struct group_fetch_request *in = call->request;
    if (gr && gr->type == GROUP_CONSUMER) {
        enum rc rc = consumer_fetch_allowed(gr, in->group->member_id, in->group->member_epoch);
        if (rc != RC_OK) {
            group_answer_error(g, call, rc, NULL);
            return;
        }
    }
    struct offset_fetch_response_group *out = group_answer_new(g, call);
    if (!out)
        return;
    out->group_id = group_answer_copy(call, call->group_id);
    bool complete = out->group_id.p && (in->group->topics ? fetch_named(gr, call, out) : fetch_all(gr, call, out));
    group_answer_if(g, call, complete);
}
