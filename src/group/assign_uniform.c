// SPDX-License-Identifier: Apache-2.0
//
// The uniform assignor where all members have one subscription: everyone gets the floor of the even share, as many as
// needed one more, and those who hold more already are the ones. So only what is above a member's quota moves.
#include "group/assign.h"

#include <stdlib.h>

#include "base/assert.h"

struct even {
    const struct assign_input *in;
    uint32_t *owners;
    uint32_t *held;  // by member
    uint32_t *quota; // by member
    uint32_t *by_rack;
};

static bool one_subscription(const struct assign_input *in)
{
    const struct assign_member *a = &in->members[0];
    for (uint32_t m = 1; m < in->member_count; m++) {
        const struct assign_member *b = &in->members[m];
        if (a->topic_count != b->topic_count)
            return false;
        if (a->topics != b->topics && a->topic_count > 0 &&
            memcmp(a->topics, b->topics, a->topic_count * sizeof(*a->topics)) != 0)
            return false;
    }
    return true;
}

static bool rack_matches(const struct assign_input *in, uint32_t member, uint32_t partition)
{
    int rack = in->members[member].rack;
    return in->partition_racks && rack >= 0 && (in->partition_racks[partition] >> rack & 1) != 0;
}

// What belongs to nobody any more: topics without subscribers, members that are gone.
static uint32_t drop_stale(struct even *e)
{
    const struct assign_input *in = e->in;
    const struct assign_member *any = &in->members[0];
    uint32_t total = 0, i = 0;
    for (uint32_t t = 0; t < in->topic_count; t++) {
        bool subscribed = i < any->topic_count && any->topics[i] == t;
        i += subscribed;
        total += subscribed ? in->topics[t].partition_count : 0;
        for (uint32_t n = 0; n < in->topics[t].partition_count; n++) {
            uint32_t *owner = &e->owners[in->topics[t].first + n];
            if (!subscribed || *owner >= in->member_count)
                *owner = ASSIGN_NONE;
            else
                e->held[*owner]++;
        }
    }
    return total;
}

static void set_quotas(struct even *e, uint32_t total)
{
    uint32_t members = e->in->member_count, share = total / members, extra = total % members;
    for (uint32_t m = 0; m < members; m++) {
        e->quota[m] = share + (extra > 0 && e->held[m] > share);
        extra -= e->quota[m] - share;
    }
    for (uint32_t m = 0; m < members && extra > 0; m++) {
        if (e->quota[m] == share) {
            e->quota[m]++;
            extra--;
        }
    }
    ASSERT(extra == 0);
}

// Takes from everyone what is above the quota: the highest numbers, partitions of far racks first.
static void release_surplus(struct even *e)
{
    for (int pass = e->in->partition_racks ? 0 : 1; pass < 2; pass++) {
        for (uint32_t p = e->in->partition_count; p-- > 0;) {
            uint32_t m = e->owners[p];
            if (m == ASSIGN_NONE || e->held[m] <= e->quota[m] || (pass == 0 && rack_matches(e->in, m, p)))
                continue;
            e->owners[p] = ASSIGN_NONE;
            e->held[m]--;
        }
    }
}

static bool topic_subscribed(const struct assign_input *in, uint32_t *at, uint32_t topic)
{
    const struct assign_member *any = &in->members[0];
    bool yes = *at < any->topic_count && any->topics[*at] == topic;
    *at += yes;
    return yes;
}

// Gives free partitions to members with room in a rack of their replicas.
static void fill_by_rack(struct even *e)
{
    const struct assign_input *in = e->in;
    uint32_t first[ASSIGN_RACKS_MAX + 1] = {0}, next[ASSIGN_RACKS_MAX];
    for (uint32_t m = 0; m < in->member_count; m++) {
        if (in->members[m].rack >= 0)
            first[in->members[m].rack + 1]++;
    }
    for (uint32_t r = 0; r < ASSIGN_RACKS_MAX; r++) {
        first[r + 1] += first[r];
        next[r] = first[r];
    }
    for (uint32_t m = 0; m < in->member_count; m++) {
        if (in->members[m].rack >= 0)
            e->by_rack[next[in->members[m].rack]++] = m;
    }
    for (uint32_t r = 0; r < ASSIGN_RACKS_MAX; r++)
        next[r] = first[r];
    uint32_t at = 0;
    for (uint32_t t = 0; t < in->topic_count; t++) {
        if (!topic_subscribed(in, &at, t))
            continue;
        for (uint32_t p = in->topics[t].first; p < in->topics[t].first + in->topics[t].partition_count; p++) {
            for (uint64_t racks = e->owners[p] == ASSIGN_NONE ? in->partition_racks[p] : 0; racks; racks &= racks - 1) {
                unsigned r = (unsigned)__builtin_ctzll(racks);
                while (next[r] < first[r + 1] && e->held[e->by_rack[next[r]]] >= e->quota[e->by_rack[next[r]]])
                    next[r]++;
                if (next[r] == first[r + 1])
                    continue;
                e->owners[p] = e->by_rack[next[r]];
                e->held[e->owners[p]]++;
                break;
            }
        }
    }
}

static void fill(struct even *e)
{
    const struct assign_input *in = e->in;
    uint32_t m = 0, at = 0;
    for (uint32_t t = 0; t < in->topic_count; t++) {
        if (!topic_subscribed(in, &at, t))
            continue;
        for (uint32_t p = in->topics[t].first; p < in->topics[t].first + in->topics[t].partition_count; p++) {
            if (e->owners[p] != ASSIGN_NONE)
                continue;
            while (e->held[m] >= e->quota[m])
                m++;
            ASSERT(m < in->member_count);
            e->owners[p] = m;
            e->held[m]++;
        }
    }
}

enum rc assign_uniform(const struct assign_input *in, uint32_t *owners)
{
    if (in->member_count == 0) {
        for (uint32_t p = 0; p < in->partition_count; p++)
            owners[p] = ASSIGN_NONE;
        return RC_OK;
    }
    if (!one_subscription(in))
        return assign_uneven(in, owners);
    uint32_t *space = calloc(in->member_count, 3 * sizeof(*space));
    if (!space)
        return RC_NOMEM;
    struct even e = {.in = in,
                     .owners = owners,
                     .held = space,
                     .quota = space + in->member_count,
                     .by_rack = space + 2 * (size_t)in->member_count};
    set_quotas(&e, drop_stale(&e));
    release_surplus(&e);
    if (in->partition_racks)
        fill_by_rack(&e);
    fill(&e);
    free(space);
    return RC_OK;
}
