// SPDX-License-Identifier: Apache-2.0
#include "group/partition_set.h"

#include <stdlib.h>

#include "base/assert.h"
#include "wire/messages.h"

#define SAME_LAYOUT(type)                                                                                              \
    _Static_assert(sizeof(struct type) == sizeof(struct partition_topic) &&                                            \
                       offsetof(struct type, topic_id) == offsetof(struct partition_topic, topic_id) &&                \
                       offsetof(struct type, partitions) == offsetof(struct partition_topic, partitions) &&            \
                       offsetof(struct type, partitions_count) == offsetof(struct partition_topic, count),             \
                   "a set is passed to the codec as it is")
SAME_LAYOUT(consumer_group_heartbeat_request_topic_partition);
SAME_LAYOUT(consumer_group_heartbeat_response_topic_partition);
SAME_LAYOUT(consumer_group_target_assignment_member_value_topic_partition);
SAME_LAYOUT(consumer_group_current_member_assignment_value_topic_partition);

static int topic_order(const void *a, const void *b)
{
    const struct partition_topic *x = a, *y = b;
    return memcmp(x->topic_id.b, y->topic_id.b, sizeof(x->topic_id.b));
}

static int partition_order(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static void topic_put_in_order(struct partition_topic *t)
{
    bool good = true;
    for (uint32_t i = 1; i < t->count && good; i++)
        good = t->partitions[i - 1] < t->partitions[i];
    if (good)
        return;
    qsort(t->partitions, t->count, sizeof(*t->partitions), partition_order);
    uint32_t kept = 1;
    for (uint32_t i = 1; i < t->count; i++) {
        if (t->partitions[i] != t->partitions[kept - 1])
            t->partitions[kept++] = t->partitions[i];
    }
    t->count = kept;
}

void partition_set_order(struct partition_set *s)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->topics[i].count > 0)
            s->topics[kept++] = s->topics[i];
    }
    s->count = kept;
    bool good = true;
    for (uint32_t i = 1; i < s->count && good; i++)
        good = topic_order(&s->topics[i - 1], &s->topics[i]) < 0;
    if (!good)
        qsort(s->topics, s->count, sizeof(*s->topics), topic_order);
    for (uint32_t i = 0; i < s->count; i++)
        topic_put_in_order(&s->topics[i]);
    // A topic that came twice: nobody of ours writes that. What came first counts.
    kept = s->count > 0;
    for (uint32_t i = 1; i < s->count; i++) {
        if (!uuid_eq(s->topics[i].topic_id, s->topics[kept - 1].topic_id))
            s->topics[kept++] = s->topics[i];
    }
    s->count = kept;
}

// Room for a topic with up to `partitions` more behind those of out.
static struct partition_topic *set_add(struct partition_set *out, struct arena *a, struct uuid id, uint32_t partitions)
{
    int32_t *p = arena_array(a, partitions, sizeof(*p));
    if (!p)
        return NULL;
    out->topics[out->count] = (struct partition_topic){.topic_id = id, .partitions = p};
    return &out->topics[out->count++];
}

static bool set_room(struct partition_set *out, struct arena *a, uint32_t topics)
{
    *out = (struct partition_set){.topics = arena_array(a, topics, sizeof(*out->topics))};
    return out->topics != NULL;
}

static int by_id(const void *a, const void *b)
{
    const struct partition_topic *x = *(struct partition_topic *const *)a, *y = *(struct partition_topic *const *)b;
    int c = topic_order(x, y);
    return c ? c : (x > y) - (x < y);
}

bool partition_set_copy(const struct partition_set *in, struct arena *a, struct partition_set *out)
{
    const struct partition_topic **order = arena_array(a, in->count, sizeof(const struct partition_topic *));
    if (!order || !set_room(out, a, in->count))
        return false;
    for (uint32_t i = 0; i < in->count; i++)
        order[i] = &in->topics[i];
    qsort(order, in->count, sizeof(const struct partition_topic *), by_id);
    for (uint32_t i = 0, next; i < in->count; i = next) {
        size_t partitions = 0;
        for (next = i; next < in->count && uuid_eq(order[next]->topic_id, order[i]->topic_id); next++)
            partitions += order[next]->count;
        if (partitions == 0)
            continue;
        struct partition_topic *t =
            partitions <= UINT32_MAX ? set_add(out, a, order[i]->topic_id, (uint32_t)partitions) : NULL;
        if (!t)
            return false;
        for (uint32_t k = i; k < next; k++) {
            if (order[k]->count)
                memcpy(t->partitions + t->count, order[k]->partitions, order[k]->count * sizeof(int32_t));
            t->count += order[k]->count;
        }
        topic_put_in_order(t);
    }
    return true;
}

bool partition_set_equal(const struct partition_set *a, const struct partition_set *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const struct partition_topic *x = &a->topics[i], *y = &b->topics[i];
        if (!uuid_eq(x->topic_id, y->topic_id) || x->count != y->count ||
            memcmp(x->partitions, y->partitions, x->count * sizeof(*x->partitions)) != 0)
            return false;
    }
    return true;
}

static const struct partition_topic *set_topic(const struct partition_set *s, struct uuid id)
{
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int c = memcmp(s->topics[middle].topic_id.b, id.b, sizeof(id.b));
        if (c == 0)
            return &s->topics[middle];
        if (c < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

// How many partitions of x are in y, too.
static uint32_t topic_common(const struct partition_topic *x, const struct partition_topic *y)
{
    uint32_t common = 0;
    for (uint32_t i = 0, k = 0; i < x->count && k < y->count;) {
        common += x->partitions[i] == y->partitions[k];
        if (x->partitions[i] < y->partitions[k])
            i++;
        else if (x->partitions[i] > y->partitions[k])
            k++;
        else
            i++, k++;
    }
    return common;
}

bool partition_set_subset(const struct partition_set *part, const struct partition_set *whole)
{
    for (uint32_t i = 0; i < part->count; i++) {
        const struct partition_topic *t = set_topic(whole, part->topics[i].topic_id);
        if (!t || topic_common(&part->topics[i], t) != part->topics[i].count)
            return false;
    }
    return true;
}

bool partition_set_meets(const struct partition_set *a, const struct partition_set *b)
{
    for (uint32_t i = 0; i < a->count; i++) {
        const struct partition_topic *t = set_topic(b, a->topics[i].topic_id);
        if (t && topic_common(&a->topics[i], t) > 0)
            return true;
    }
    return false;
}

uint32_t partition_set_size(const struct partition_set *s)
{
    uint32_t size = 0;
    for (uint32_t i = 0; i < s->count; i++)
        size += s->topics[i].count;
    return size;
}

static bool topic_split(const struct partition_topic *x, const struct partition_topic *y, struct arena *a,
                        struct partition_set *both, struct partition_set *only)
{
    uint32_t common = topic_common(x, y);
    struct partition_topic *b = common ? set_add(both, a, x->topic_id, common) : NULL;
    struct partition_topic *o = common < x->count ? set_add(only, a, x->topic_id, x->count - common) : NULL;
    if ((common && !b) || (common < x->count && !o))
        return false;
    for (uint32_t i = 0, k = 0; i < x->count; i++) {
        while (k < y->count && y->partitions[k] < x->partitions[i])
            k++;
        struct partition_topic *to = k < y->count && y->partitions[k] == x->partitions[i] ? b : o;
        to->partitions[to->count++] = x->partitions[i];
    }
    return true;
}

bool partition_set_split(const struct partition_set *a, const struct partition_set *b, struct arena *arena,
                         struct partition_set *x, struct partition_set *y)
{
    if (!set_room(x, arena, a->count) || !set_room(y, arena, a->count))
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const struct partition_topic *t = set_topic(b, a->topics[i].topic_id);
        if (!t)
            y->topics[y->count++] = a->topics[i];
        else if (!topic_split(&a->topics[i], t, arena, x, y))
            return false;
    }
    return true;
}

static bool topic_join(const struct partition_topic *x, const struct partition_topic *y, struct arena *a,
                       struct partition_set *out)
{
    struct partition_topic *t = set_add(out, a, x->topic_id, x->count + y->count);
    if (!t)
        return false;
    for (uint32_t i = 0, k = 0; i < x->count || k < y->count;) {
        bool first = k == y->count || (i < x->count && x->partitions[i] <= y->partitions[k]);
        int32_t p = first ? x->partitions[i] : y->partitions[k];
        i += i < x->count && x->partitions[i] == p;
        k += k < y->count && y->partitions[k] == p;
        t->partitions[t->count++] = p;
    }
    return true;
}

bool partition_set_join(const struct partition_set *a, const struct partition_set *b, struct arena *arena,
                        struct partition_set *out)
{
    if (!set_room(out, arena, a->count + b->count))
        return false;
    for (uint32_t i = 0, k = 0; i < a->count || k < b->count;) {
        int c = i == a->count ? 1 : k == b->count ? -1 : topic_order(&a->topics[i], &b->topics[k]);
        if (c == 0 && !topic_join(&a->topics[i], &b->topics[k], arena, out))
            return false;
        if (c != 0)
            out->topics[out->count++] = c < 0 ? a->topics[i] : b->topics[k];
        i += c <= 0;
        k += c >= 0;
    }
    return true;
}
