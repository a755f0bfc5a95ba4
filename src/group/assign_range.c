// SPDX-License-Identifier: Apache-2.0
//
// The range assignor: each topic cut into ranges, one a subscriber, in one order of members for all topics.
#include "group/assign.h"

#include <stdlib.h>

#include "base/assert.h"

static int member_order(const void *a, const void *b, void *context)
{
    const struct assign_member *members = context;
    const struct assign_member *x = &members[*(const uint32_t *)a], *y = &members[*(const uint32_t *)b];
    if (!x->instance_id.p != !y->instance_id.p)
        return x->instance_id.p ? -1 : 1;
    int c = x->instance_id.p ? bytes_cmp(x->instance_id, y->instance_id) : 0;
    return c ? c : bytes_cmp(x->id, y->id);
}

struct range_cut {
    uint32_t subscribers, extra, next; // of the partitions beyond an even share; where the next range begins
};

enum rc assign_range(const struct assign_input *in, uint32_t *owners)
{
    for (uint32_t p = 0; p < in->partition_count; p++)
        owners[p] = ASSIGN_NONE;
    if (in->member_count == 0 || in->topic_count == 0)
        return RC_OK;
    uint32_t *order = calloc(in->member_count, sizeof(*order));
    struct range_cut *cuts = calloc(in->topic_count, sizeof(*cuts));
    if (!order || !cuts) {
        free(order);
        free(cuts);
        return RC_NOMEM;
    }
    for (uint32_t m = 0; m < in->member_count; m++) {
        order[m] = m;
        for (uint32_t i = 0; i < in->members[m].topic_count; i++)
            cuts[in->members[m].topics[i]].subscribers++;
    }
    qsort_r(order, in->member_count, sizeof(*order), member_order, (void *)(uintptr_t)in->members);
    for (uint32_t t = 0; t < in->topic_count; t++)
        cuts[t].extra = cuts[t].subscribers ? in->topics[t].partition_count % cuts[t].subscribers : 0;
    for (uint32_t m = 0; m < in->member_count; m++) {
        const struct assign_member *member = &in->members[order[m]];
        for (uint32_t i = 0; i < member->topic_count; i++) {
            const struct assign_topic *topic = &in->topics[member->topics[i]];
            struct range_cut *cut = &cuts[member->topics[i]];
            uint32_t share = topic->partition_count / cut->subscribers;
            if (cut->extra > 0) {
                cut->extra--;
                share++;
            }
            ASSERT(cut->next + share <= topic->partition_count);
            for (uint32_t n = 0; n < share; n++)
                owners[topic->first + cut->next++] = order[m];
        }
    }
    free(order);
    free(cuts);
    return RC_OK;
}
