// SPDX-License-Identifier: Apache-2.0
//
// range and roundrobin; cooperative-sticky has a file of its own.
#include "client/assignor.h"

#include <stdlib.h>
#include <string.h>

static const struct client_assignor assignors[] = {
    {"range", false, client_assign_range},
    {"roundrobin", false, client_assign_roundrobin},
    {"cooperative-sticky", true, client_assign_sticky},
};

static const char *const classes[] = {
    "org.apache.kafka.clients.consumer.RangeAssignor",
    "org.apache.kafka.clients.consumer.RoundRobinAssignor",
    "org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
};

const struct client_assignor *client_assignor_find(const char *name)
{
    for (size_t i = 0; i < sizeof(assignors) / sizeof(assignors[0]); i++)
        if (strcmp(name, assignors[i].name) == 0 || strcmp(name, classes[i]) == 0)
            return &assignors[i];
    return NULL;
}

static int compare_members(const void *left, const void *right)
{
    const struct client_assignor_member *a = left, *b = right;
    if (a->instance_id.p && b->instance_id.p)
        return bytes_cmp(a->instance_id, b->instance_id);
    if (a->instance_id.p || b->instance_id.p)
        return a->instance_id.p ? -1 : 1;
    return bytes_cmp(a->id, b->id);
}

void client_assignor_sort(struct client_assignment *a)
{
    if (a->member_count > 1)
        qsort(a->members, a->member_count, sizeof(*a->members), compare_members);
}

static bool subscribes(const struct client_assignor_member *m, uint32_t topic)
{
    for (uint32_t i = 0; i < m->topic_count; i++)
        if (m->topics[i] == topic)
            return true;
    return false;
}

// Room for `most` partitions a member at most.
static enum rc make_room(struct client_assignment *a, struct client_assignor_member *m)
{
    size_t most = 0;
    for (uint32_t i = 0; i < m->topic_count; i++)
        most += (size_t)a->topics[m->topics[i]].partition_count;
    m->assigned = arena_array(a->arena, most + 1, sizeof(*m->assigned));
    m->assigned_count = 0;
    return m->assigned ? RC_OK : RC_NOMEM;
}

static enum rc begin(struct client_assignment *a)
{
    enum rc rc = RC_OK;
    client_assignor_sort(a);
    for (uint32_t i = 0; i < a->member_count && rc == RC_OK; i++)
        rc = make_room(a, &a->members[i]);
    return rc;
}

static void give(struct client_assignor_member *m, uint32_t topic, int32_t index)
{
    m->assigned[m->assigned_count++] = (struct client_assignor_partition){.topic = topic, .index = index};
}

enum rc client_assign_range(struct client_assignment *a)
{
    enum rc rc = begin(a);
    for (uint32_t t = 0; t < a->topic_count && rc == RC_OK; t++) {
        int32_t left = 0, next = 0;
        for (uint32_t i = 0; i < a->member_count; i++)
            left += subscribes(&a->members[i], t);
        for (uint32_t i = 0; i < a->member_count && left > 0; i++) {
            if (!subscribes(&a->members[i], t))
                continue;
            // What is left, over those who are left, rounded up: the first ones get one more.
            int32_t share = (a->topics[t].partition_count - next + left - 1) / left;
            for (int32_t k = 0; k < share; k++)
                give(&a->members[i], t, next++);
            left--;
        }
    }
    return rc;
}

enum rc client_assign_roundrobin(struct client_assignment *a)
{
    enum rc rc = begin(a);
    uint32_t turn = 0;
    for (uint32_t t = 0; t < a->topic_count && rc == RC_OK; t++) {
        bool wanted = false;
        for (uint32_t i = 0; i < a->member_count; i++)
            wanted |= subscribes(&a->members[i], t);
        for (int32_t index = 0; index < a->topics[t].partition_count && wanted; index++) {
            while (!subscribes(&a->members[turn], t))
                turn = (turn + 1) % a->member_count;
            give(&a->members[turn], t, index);
            turn = (turn + 1) % a->member_count;
        }
    }
    return rc;
}
