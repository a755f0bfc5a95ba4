// SPDX-License-Identifier: Apache-2.0
//
// The uniform assignor where subscriptions differ: keep what may be kept, hand out the rest to the least loaded, then
// move partitions from the most to the least loaded subscriber of their topic, heaviest members first, until no such
// move helps. Each move makes the sum of squared loads smaller, so it ends; each round costs the partitions and
// subscriptions once.
#include "group/assign.h"

#include <stdlib.h>

#include "base/assert.h"

struct uneven {
    const struct assign_input *in;
    uint32_t *owners;
    uint32_t *before;    // owners at the start, by partition
    uint32_t *load;      // by member
    uint32_t *sub_first; // by topic, one more
    uint32_t *subs;      // members subscribed to a topic
    uint32_t *order;     // topics
    uint32_t *givers, *takers;
    uint32_t *head; // by member: its first partition of the topic at hand
    uint32_t *next; // by partition
};

static bool subscribes(const struct assign_member *m, uint32_t topic)
{
    uint32_t low = 0, high = m->topic_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (m->topics[middle] < topic)
            low = middle + 1;
        else
            high = middle;
    }
    return low < m->topic_count && m->topics[low] == topic;
}

// A heap of members by load: the least on top, or with `most` the greatest.
static bool above(const struct uneven *u, uint32_t a, uint32_t b, bool most)
{
    if (u->load[a] != u->load[b])
        return most ? u->load[a] > u->load[b] : u->load[a] < u->load[b];
    return a < b;
}

static void sift(const struct uneven *u, uint32_t *heap, uint32_t count, uint32_t at, bool most)
{
    for (;;) {
        uint32_t best = at, left = 2 * at + 1;
        if (left < count && above(u, heap[left], heap[best], most))
            best = left;
        if (left + 1 < count && above(u, heap[left + 1], heap[best], most))
            best = left + 1;
        if (best == at)
            return;
        uint32_t swap = heap[at];
        heap[at] = heap[best];
        heap[best] = swap;
        at = best;
    }
}

static void heapify(const struct uneven *u, uint32_t *heap, uint32_t count, bool most)
{
    for (uint32_t at = count / 2; at-- > 0;)
        sift(u, heap, count, at, most);
}

static void list_subscribers(struct uneven *u)
{
    const struct assign_input *in = u->in;
    for (uint32_t m = 0; m < in->member_count; m++) {
        for (uint32_t i = 0; i < in->members[m].topic_count; i++)
            u->sub_first[in->members[m].topics[i] + 1]++;
    }
    for (uint32_t t = 0; t < in->topic_count; t++) {
        u->sub_first[t + 1] += u->sub_first[t];
        u->order[t] = u->sub_first[t]; // where the next subscriber goes
    }
    for (uint32_t m = 0; m < in->member_count; m++) {
        for (uint32_t i = 0; i < in->members[m].topic_count; i++)
            u->subs[u->order[in->members[m].topics[i]]++] = m;
    }
}

static uint32_t sub_count(const struct uneven *u, uint32_t topic)
{
    return u->sub_first[topic + 1] - u->sub_first[topic];
}

static void keep(struct uneven *u)
{
    for (uint32_t t = 0; t < u->in->topic_count; t++) {
        for (uint32_t n = 0; n < u->in->topics[t].partition_count; n++) {
            uint32_t p = u->in->topics[t].first + n, m = u->owners[p];
            if (m >= u->in->member_count || !subscribes(&u->in->members[m], t))
                u->owners[p] = ASSIGN_NONE;
            else
                u->load[m]++;
            u->before[p] = u->owners[p];
        }
    }
}

static int fewest_subscribers(const void *a, const void *b, void *context)
{
    const struct uneven *u = context;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b, nx = sub_count(u, x), ny = sub_count(u, y);
    return nx != ny ? (nx > ny) - (nx < ny) : (x > y) - (x < y);
}

static void hand_out(struct uneven *u)
{
    for (uint32_t t = 0; t < u->in->topic_count; t++)
        u->order[t] = t;
    qsort_r(u->order, u->in->topic_count, sizeof(*u->order), fewest_subscribers, u);
    for (uint32_t i = 0; i < u->in->topic_count; i++) {
        uint32_t t = u->order[i], count = sub_count(u, t);
        const struct assign_topic *topic = &u->in->topics[t];
        bool ready = false;
        for (uint32_t p = topic->first; p < topic->first + topic->partition_count && count > 0; p++) {
            if (u->owners[p] != ASSIGN_NONE)
                continue;
            if (!ready) {
                memcpy(u->takers, u->subs + u->sub_first[t], count * sizeof(*u->takers));
                heapify(u, u->takers, count, false);
                ready = true;
            }
            u->owners[p] = u->takers[0];
            u->load[u->takers[0]]++;
            sift(u, u->takers, count, 0, false);
        }
    }
}

// Lists the partitions each member has of the topic, those it got in this run first. Returns how many members have any.
static uint32_t list_givers(struct uneven *u, uint32_t t)
{
    const struct assign_topic *topic = &u->in->topics[t];
    for (uint32_t i = u->sub_first[t]; i < u->sub_first[t + 1]; i++)
        u->head[u->subs[i]] = ASSIGN_NONE;
    uint32_t count = 0;
    for (int own = 1; own >= 0; own--) {
        for (uint32_t p = topic->first; p < topic->first + topic->partition_count; p++) {
            uint32_t m = u->owners[p];
            if ((u->before[p] == m) != own)
                continue;
            if (u->head[m] == ASSIGN_NONE)
                u->givers[count++] = m;
            u->next[p] = u->head[m];
            u->head[m] = p;
        }
    }
    return count;
}

// Levels one topic, taking only from members with a load of at least `least`. A taker never becomes a giver here nor a
// giver a taker: both heaps may keep what they knew of the other side. Returns the moves.
static uint32_t level_topic(struct uneven *u, uint32_t t, uint32_t least)
{
    uint32_t takers = sub_count(u, t);
    if (takers < 2)
        return 0;
    uint32_t low = UINT32_MAX, high = 0;
    for (uint32_t i = u->sub_first[t]; i < u->sub_first[t + 1]; i++) {
        uint32_t load = u->load[u->subs[i]];
        low = load < low ? load : low;
        high = load > high ? load : high;
    }
    if (high < low + 2 || high < least)
        return 0;
    uint32_t givers = list_givers(u, t), moves = 0;
    memcpy(u->takers, u->subs + u->sub_first[t], takers * sizeof(*u->takers));
    heapify(u, u->givers, givers, true);
    heapify(u, u->takers, takers, false);
    while (givers > 0) {
        uint32_t from = u->givers[0], to = u->takers[0], p = u->head[from];
        if (u->load[from] < least || u->load[from] < u->load[to] + 2)
            break;
        u->head[from] = u->next[p];
        u->owners[p] = to;
        u->load[from]--;
        u->load[to]++;
        moves++;
        if (u->head[from] == ASSIGN_NONE)
            u->givers[0] = u->givers[--givers];
        sift(u, u->givers, givers, 0, true);
        sift(u, u->takers, takers, 0, false);
    }
    return moves;
}

static uint32_t level(struct uneven *u, uint32_t least)
{
    uint32_t moves = 0;
    for (uint32_t t = 0; t < u->in->topic_count; t++)
        moves += level_topic(u, t, least);
    return moves;
}

// From the greatest load down in at most 16 steps, so that what moves comes from those who have most; then all.
static void balance(struct uneven *u)
{
    uint32_t high = 0, total = 0;
    for (uint32_t m = 0; m < u->in->member_count; m++) {
        high = u->load[m] > high ? u->load[m] : high;
        total += u->load[m];
    }
    uint32_t even = total / u->in->member_count, step = (high - even) / 16 + 1;
    for (uint32_t least = high; least > even + 1; least = least > step ? least - step : 0)
        level(u, least);
    while (level(u, 0) > 0)
        ;
}

static uint32_t *take(uint32_t **at, size_t count)
{
    uint32_t *p = *at;
    *at += count;
    return p;
}

enum rc assign_uneven(const struct assign_input *in, uint32_t *owners)
{
    size_t members = in->member_count, topics = in->topic_count, partitions = in->partition_count, subscriptions = 0;
    ASSERT(members > 0);
    for (size_t m = 0; m < members; m++)
        subscriptions += in->members[m].topic_count;
    uint32_t *space = calloc(4 * members + 2 * topics + 1 + 2 * partitions + subscriptions, sizeof(*space));
    if (!space)
        return RC_NOMEM;
    uint32_t *at = space;
    struct uneven u = {.in = in,
                       .owners = owners,
                       .before = take(&at, partitions),
                       .load = take(&at, members),
                       .sub_first = take(&at, topics + 1),
                       .subs = take(&at, subscriptions),
                       .order = take(&at, topics),
                       .givers = take(&at, members),
                       .takers = take(&at, members),
                       .head = take(&at, members),
                       .next = take(&at, partitions)};
    list_subscribers(&u);
    keep(&u);
    hand_out(&u);
    balance(&u);
    free(space);
    return RC_OK;
}
