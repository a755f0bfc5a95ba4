// SPDX-License-Identifier: Apache-2.0
//
// What consumers say to each other through the broker, which does not read it: subscriptions and assignments, each
// behind a version of its own (ConsumerProtocolSubscription, ConsumerProtocolAssignment). And the leader's work between
// them.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "client/membership_private.h"

enum { SUBSCRIPTION_VERSION = 3, ASSIGNMENT_VERSION = 3, NO_TOPIC = UINT32_MAX };

// ------------------------------------------------------------------------------------------------ one message

// Version and message, in the arena of this round.
static struct bytes write_message(struct arena *a, const struct schema_message *message, int16_t version,
                                  const void *in)
{
    struct buf b;
    struct enc e;
    buf_init(&b, MEMBERSHIP_ARENA_BYTES);
    enc_init(&e, &b, NULL, 0);
    enc_i16(&e, version);
    schema_encode(message, &e, version, in);
    struct bytes out = bytes_of(enc_ok(&e) ? arena_copy(a, b.p, b.n) : NULL, b.n);
    buf_deinit(&b);
    return out.p ? out : bytes_of(NULL, 0);
}

// Versions above ours only add at the end.
static enum rc read_message(struct bytes in, const struct schema_message *message, struct arena *a, void *out)
{
    struct dec d = dec_of(in);
    int16_t version = dec_i16(&d);
    if (d.bad || version < 0)
        return RC_MALFORMED;
    if (version > (int16_t)message->version_max)
        version = (int16_t)message->version_max;
    return schema_decode(message, &d, version, a, out);
}

// ------------------------------------------------------------------------------------------------ subscriptions

// What we own, topic by topic.
static bool write_owned(struct membership *m, struct consumer_protocol_subscription *s)
{
    uint32_t n = m->owned.count;
    s->owned_partitions = arena_array(&m->arena, (size_t)n + 1, sizeof(*s->owned_partitions));
    int32_t *numbers = arena_array(&m->arena, (size_t)n + 1, sizeof(*numbers));
    if (!s->owned_partitions || !numbers)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        numbers[i] = m->owned.items[i].index;
        if (i == 0 || m->owned.items[i].topic != m->owned.items[i - 1].topic) {
            s->owned_partitions[s->owned_partitions_count].topic = bytes_str(m->owned.items[i].topic->name);
            s->owned_partitions[s->owned_partitions_count++].partitions = &numbers[i];
        }
        s->owned_partitions[s->owned_partitions_count - 1].partitions_count++;
    }
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return bytes_cmp(*(const struct bytes *)a, *(const struct bytes *)b);
}

struct bytes membership_subscription(struct membership *m, const struct client_assignor *assignor)
{
    struct consumer_protocol_subscription s;
    uint8_t generation[4];
    consumer_protocol_subscription_init(&s);
    s.topics = arena_array(&m->arena, m->topic_count, sizeof(*s.topics));
    if (!s.topics || !write_owned(m, &s))
        return bytes_of(NULL, 0);
    for (uint32_t i = 0; i < m->topic_count; i++)
        s.topics[i] = bytes_str(m->topics[i]->name);
    qsort(s.topics, m->topic_count, sizeof(*s.topics), compare_names);
    s.topics_count = m->topic_count;
    s.generation_id = m->generation;
    put_be32(generation, (uint32_t)m->generation);
    if (assignor->cooperative) // where leaders of before version 2 look for it
        s.user_data = bytes_of(generation, sizeof(generation));
    return write_message(&m->arena, &consumer_protocol_subscription_message, SUBSCRIPTION_VERSION, &s);
}

// ------------------------------------------------------------------------------------------------ splitting

struct split {
    struct membership *m;
    struct consumer_protocol_subscription *subscriptions; // by member
    struct client_topic **topics;                         // by name, none twice
    struct client_assignor_topic *counts;
    struct client_assignment assignment;
};

static int compare_topics(const void *a, const void *b)
{
    return strcmp((*(struct client_topic *const *)a)->name, (*(struct client_topic *const *)b)->name);
}

static uint32_t topic_place(const struct split *s, struct bytes name)
{
    uint32_t low = 0, high = s->assignment.topic_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        int c = bytes_cmp(s->counts[mid].name, name);
        if (c == 0)
            return mid;
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NO_TOPIC;
}

static enum rc read_subscriptions(struct split *s)
{
    const struct join_group_response *joined = &s->m->joined;
    struct arena *a = &s->m->arena;
    s->subscriptions = arena_array(a, (size_t)joined->members_count + 1, sizeof(*s->subscriptions));
    if (!s->subscriptions)
        return RC_NOMEM;
    for (uint32_t i = 0; i < joined->members_count; i++) {
        enum rc rc =
            read_message(joined->members[i].metadata, &consumer_protocol_subscription_message, a, &s->subscriptions[i]);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

// All topics that any member subscribes to. RC_AGAIN: one of them is still looked up.
static enum rc gather_topics(struct split *s)
{
    uint32_t most = 0, count = 0;
    bool known = true;
    for (uint32_t i = 0; i < s->m->joined.members_count; i++)
        most += s->subscriptions[i].topics_count;
    s->topics = arena_array(&s->m->arena, (size_t)most + 1, sizeof(struct client_topic *));
    s->counts = arena_array(&s->m->arena, (size_t)most + 1, sizeof(*s->counts));
    if (!s->topics || !s->counts)
        return RC_NOMEM;
    for (uint32_t i = 0; i < s->m->joined.members_count; i++) {
        for (uint32_t k = 0; k < s->subscriptions[i].topics_count; k++) {
            char name[TOPIC_NAME_BYTES_MAX + 1];
            struct bytes b = s->subscriptions[i].topics[k];
            if (b.n == 0 || b.n > TOPIC_NAME_BYTES_MAX)
                continue; // no such topic
            memcpy(name, b.p, b.n);
            name[b.n] = 0;
            struct client_topic *t = client_topic(s->m->client, name);
            if (!t)
                return RC_NOMEM;
            known &= t->known;
            s->topics[count++] = t;
        }
    }
    if (!known)
        return RC_AGAIN;
    if (count > 1)
        qsort(s->topics, count, sizeof(struct client_topic *), compare_topics);
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0 && s->topics[i] == s->topics[i - 1])
            continue;
        uint32_t at = s->assignment.topic_count++;
        s->topics[at] = s->topics[i];
        s->counts[at] = (struct client_assignor_topic){.name = bytes_str(s->topics[at]->name),
                                                       .partition_count = s->topics[at]->partition_count};
    }
    return RC_OK;
}

static enum rc read_owned(struct split *s, const struct consumer_protocol_subscription *sub,
                          struct client_assignor_member *member)
{
    size_t most = 0;
    for (uint32_t i = 0; i < sub->owned_partitions_count; i++)
        most += sub->owned_partitions[i].partitions_count;
    struct client_assignor_partition *owned = arena_array(&s->m->arena, most + 1, sizeof(*owned));
    if (!owned)
        return RC_NOMEM;
    for (uint32_t i = 0; i < sub->owned_partitions_count; i++) {
        uint32_t place = topic_place(s, sub->owned_partitions[i].topic);
        for (uint32_t k = 0; place != NO_TOPIC && k < sub->owned_partitions[i].partitions_count; k++)
            owned[member->owned_count++] =
                (struct client_assignor_partition){.topic = place, .index = sub->owned_partitions[i].partitions[k]};
    }
    member->owned = owned;
    member->generation = sub->generation_id;
    if (member->generation < 0 && sub->user_data.n == 4)
        member->generation = (int32_t)be32(sub->user_data.p);
    return RC_OK;
}

static enum rc read_members(struct split *s)
{
    struct client_assignment *a = &s->assignment;
    a->member_count = s->m->joined.members_count;
    a->members = arena_array(&s->m->arena, (size_t)a->member_count + 1, sizeof(*a->members));
    if (!a->members)
        return RC_NOMEM;
    for (uint32_t i = 0; i < a->member_count; i++) {
        const struct join_group_response_member *from = &s->m->joined.members[i];
        const struct consumer_protocol_subscription *sub = &s->subscriptions[i];
        struct client_assignor_member *to = &a->members[i];
        uint32_t *places = arena_array(&s->m->arena, (size_t)sub->topics_count + 1, sizeof(*places));
        if (!places)
            return RC_NOMEM;
        to->id = from->member_id;
        to->instance_id = from->group_instance_id;
        for (uint32_t k = 0; k < sub->topics_count; k++) {
            uint32_t place = topic_place(s, sub->topics[k]);
            if (place != NO_TOPIC)
                places[to->topic_count++] = place;
        }
        to->topics = places;
        enum rc rc = read_owned(s, sub, to);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

// ------------------------------------------------------------------------------------------------ assignments

static struct bytes write_assignment(struct split *s, const struct client_assignor_member *member)
{
    struct consumer_protocol_assignment out;
    struct arena *a = &s->m->arena;
    uint32_t n = member->assigned_count;
    consumer_protocol_assignment_init(&out);
    out.assigned_partitions = arena_array(a, (size_t)n + 1, sizeof(*out.assigned_partitions));
    int32_t *numbers = arena_array(a, (size_t)n + 1, sizeof(*numbers));
    if (!out.assigned_partitions || !numbers)
        return bytes_of(NULL, 0);
    for (uint32_t i = 0; i < n; i++) {
        numbers[i] = member->assigned[i].index;
        if (i == 0 || member->assigned[i].topic != member->assigned[i - 1].topic) {
            out.assigned_partitions[out.assigned_partitions_count].topic = s->counts[member->assigned[i].topic].name;
            out.assigned_partitions[out.assigned_partitions_count++].partitions = &numbers[i];
        }
        out.assigned_partitions[out.assigned_partitions_count - 1].partitions_count++;
    }
    return write_message(a, &consumer_protocol_assignment_message, ASSIGNMENT_VERSION, &out);
}

static enum rc write_assignments(struct split *s)
{
    struct sync_group_request *in = &s->m->sync_in;
    in->assignments = arena_array(&s->m->arena, (size_t)s->assignment.member_count + 1, sizeof(*in->assignments));
    if (!in->assignments)
        return RC_NOMEM;
    for (uint32_t i = 0; i < s->assignment.member_count; i++) {
        in->assignments[i].member_id = s->assignment.members[i].id;
        in->assignments[i].assignment = write_assignment(s, &s->assignment.members[i]);
        if (!in->assignments[i].assignment.p)
            return RC_NOMEM;
    }
    in->assignments_count = s->assignment.member_count;
    return RC_OK;
}

// So that the leader sees when what it split is no longer what there is.
static enum rc keep_snapshot(struct split *s)
{
    uint32_t n = s->assignment.topic_count;
    struct membership_snapshot *kept = realloc(s->m->snapshot, ((size_t)n + 1) * sizeof(*kept));
    if (!kept)
        return RC_NOMEM;
    for (uint32_t i = 0; i < n; i++)
        kept[i] = (struct membership_snapshot){s->topics[i], s->counts[i].partition_count};
    s->m->snapshot = kept;
    s->m->snapshot_count = n;
    return RC_OK;
}

bool membership_split_is_old(const struct membership *m)
{
    for (uint32_t i = 0; i < m->snapshot_count; i++)
        if (m->snapshot[i].topic->partition_count != m->snapshot[i].partition_count)
            return true;
    return false;
}

enum rc membership_assign(struct membership *m)
{
    struct split s = {.m = m, .assignment = {.arena = &m->arena}};
    const struct client_assignor *assignor = client_assignor_find(m->assignor);
    ASSERT(assignor);
    enum rc rc = read_subscriptions(&s);
    if (rc == RC_OK)
        rc = gather_topics(&s);
    if (rc == RC_OK)
        rc = read_members(&s);
    if (rc != RC_OK)
        return rc;
    s.assignment.topics = s.counts;
    rc = assignor->assign(&s.assignment);
    if (rc == RC_OK)
        rc = write_assignments(&s);
    return rc == RC_OK ? keep_snapshot(&s) : rc;
}

static struct client_topic *subscribed_topic(struct membership *m, struct bytes name)
{
    for (uint32_t i = 0; i < m->topic_count; i++)
        if (bytes_eq(bytes_str(m->topics[i]->name), name))
            return m->topics[i];
    return NULL;
}

enum rc membership_read_assignment(struct membership *m, struct bytes assignment)
{
    struct consumer_protocol_assignment in;
    m->target.count = 0;
    if (assignment.n == 0) // a member without partitions
        return RC_OK;
    enum rc rc = read_message(assignment, &consumer_protocol_assignment_message, &m->arena, &in);
    for (uint32_t i = 0; rc == RC_OK && i < in.assigned_partitions_count; i++) {
        struct client_topic *t = subscribed_topic(m, in.assigned_partitions[i].topic);
        // What we never asked for is the leader's mistake; nobody reads it then.
        for (uint32_t k = 0; t && rc == RC_OK && k < in.assigned_partitions[i].partitions_count; k++)
            rc = in.assigned_partitions[i].partitions[k] < 0
                     ? RC_MALFORMED
                     : membership_set_add(&m->target, t, in.assigned_partitions[i].partitions[k]);
    }
    membership_set_sort(&m->target);
    return rc;
}
