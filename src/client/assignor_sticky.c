// SPDX-License-Identifier: Apache-2.0
//
// cooperative-sticky. Everybody keeps what they rightly own; what nobody owns goes to whoever has least; then single
// partitions move from members that have at least two more than another that could take one. Every move makes the sum
// of squares smaller, so it ends; where it ends no single move makes the split more even.
#include "client/assignor.h"

#include <stdlib.h>

enum { NOBODY = -1, CONTESTED = -2 };

struct sticky {
    struct client_assignment *a;
    uint32_t *first;     // of a topic: the place of its partition 0 among all
    uint32_t total;      // partitions
    int32_t *owner;      // by partition: member that brought it along, or NOBODY
    int32_t *now;        // by partition: member that has it in this split
    int32_t *generation; // by partition: in which its owner got it
    uint32_t *counts;    // by member
    bool *takes;         // [member * topic_count + topic]
};

static bool sticky_init(struct sticky *s, struct client_assignment *a)
{
    *s = (struct sticky){.a = a};
    s->first = arena_array(a->arena, (size_t)a->topic_count + 1, sizeof(*s->first));
    if (!s->first)
        return false;
    for (uint32_t t = 0; t < a->topic_count; t++) {
        s->first[t] = s->total;
        s->total += (uint32_t)a->topics[t].partition_count;
    }
    s->owner = arena_array(a->arena, (size_t)s->total + 1, sizeof(*s->owner));
    s->now = arena_array(a->arena, (size_t)s->total + 1, sizeof(*s->now));
    s->generation = arena_array(a->arena, (size_t)s->total + 1, sizeof(*s->generation));
    s->counts = arena_array(a->arena, (size_t)a->member_count + 1, sizeof(*s->counts));
    s->takes = arena_array(a->arena, (size_t)a->member_count * a->topic_count + 1, sizeof(*s->takes));
    if (!s->owner || !s->now || !s->generation || !s->counts || !s->takes)
        return false;
    for (uint32_t p = 0; p < s->total; p++)
        s->owner[p] = NOBODY;
    for (uint32_t m = 0; m < a->member_count; m++)
        for (uint32_t i = 0; i < a->members[m].topic_count; i++)
            s->takes[(size_t)m * a->topic_count + a->members[m].topics[i]] = true;
    return true;
}

static bool takes(const struct sticky *s, uint32_t member, uint32_t topic)
{
    return s->takes[(size_t)member * s->a->topic_count + topic];
}

// Claims of a later generation win; two of the same one cancel each other, as nobody can tell who is right.
static void claim(struct sticky *s, uint32_t m)
{
    const struct client_assignor_member *member = &s->a->members[m];
    for (uint32_t i = 0; i < member->owned_count; i++) {
        struct client_assignor_partition o = member->owned[i];
        if (o.topic >= s->a->topic_count || o.index < 0 || o.index >= s->a->topics[o.topic].partition_count)
            continue;
        uint32_t p = s->first[o.topic] + (uint32_t)o.index;
        if (s->owner[p] == NOBODY || member->generation > s->generation[p]) {
            s->owner[p] = (int32_t)m;
            s->generation[p] = member->generation;
        } else if (s->owner[p] != (int32_t)m && member->generation == s->generation[p]) {
            s->owner[p] = CONTESTED;
        }
    }
}

// The member with least that takes the topic; NOBODY when none does.
static int32_t least(const struct sticky *s, uint32_t topic)
{
    int32_t best = NOBODY;
    for (uint32_t m = 0; m < s->a->member_count; m++)
        if (takes(s, m, topic) && (best == NOBODY || s->counts[m] < s->counts[best]))
            best = (int32_t)m;
    return best;
}

static void keep(struct sticky *s)
{
    for (uint32_t t = 0; t < s->a->topic_count; t++) {
        for (int32_t i = 0; i < s->a->topics[t].partition_count; i++) {
            uint32_t p = s->first[t] + (uint32_t)i;
            bool mine = s->owner[p] >= 0 && takes(s, (uint32_t)s->owner[p], t);
            s->now[p] = mine ? s->owner[p] : NOBODY;
            if (mine)
                s->counts[s->owner[p]]++;
        }
    }
}

static void hand_out(struct sticky *s)
{
    for (uint32_t t = 0; t < s->a->topic_count; t++) {
        for (int32_t i = 0; i < s->a->topics[t].partition_count; i++) {
            uint32_t p = s->first[t] + (uint32_t)i;
            if (s->now[p] == NOBODY && (s->now[p] = least(s, t)) != NOBODY)
                s->counts[s->now[p]]++;
        }
    }
}

// One pass over the partitions, last ones first. True when something moved.
static bool balance(struct sticky *s)
{
    bool moved = false;
    for (uint32_t t = s->a->topic_count; t-- > 0;) {
        for (int32_t i = s->a->topics[t].partition_count; i-- > 0;) {
            uint32_t p = s->first[t] + (uint32_t)i;
            int32_t to = least(s, t);
            if (s->now[p] == NOBODY || s->counts[s->now[p]] < s->counts[to] + 2)
                continue;
            s->counts[s->now[p]]--;
            s->counts[to]++;
            s->now[p] = to;
            moved = true;
        }
    }
    return moved;
}

// Whether somebody else still reads the partition, and must give it up first.
static bool held_elsewhere(const struct sticky *s, uint32_t p)
{
    return s->owner[p] >= 0 && s->owner[p] != s->now[p];
}

static enum rc write_out(struct sticky *s)
{
    struct client_assignment *a = s->a;
    for (uint32_t m = 0; m < a->member_count; m++) {
        struct client_assignor_member *member = &a->members[m];
        member->assigned_count = 0;
        member->assigned = arena_array(a->arena, (size_t)s->counts[m] + 1, sizeof(*member->assigned));
        if (!member->assigned)
            return RC_NOMEM;
    }
    for (uint32_t t = 0; t < a->topic_count; t++) {
        for (int32_t i = 0; i < a->topics[t].partition_count; i++) {
            uint32_t p = s->first[t] + (uint32_t)i;
            if (s->now[p] == NOBODY || held_elsewhere(s, p))
                continue;
            struct client_assignor_member *member = &a->members[s->now[p]];
            member->assigned[member->assigned_count++] = (struct client_assignor_partition){.topic = t, .index = i};
        }
    }
    return RC_OK;
}

enum rc client_assign_sticky(struct client_assignment *a)
{
    struct sticky s;
    client_assignor_sort(a);
    if (!sticky_init(&s, a))
        return RC_NOMEM;
    for (uint32_t m = 0; m < a->member_count; m++)
        claim(&s, m);
    keep(&s);
    hand_out(&s);
    while (balance(&s))
        continue;
    return write_out(&s);
}
