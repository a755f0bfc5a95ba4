// SPDX-License-Identifier: Apache-2.0
//
// What a group is subscribed to, and who of it should have what: the topics as they are now, and the assignor's work
// for a new epoch. Both over one view of the group as it will be after the decision at hand.
#include "group/consumer.h"

#include <stdlib.h>

#include "group/assign.h"

enum { RACKS_OF_PARTITION_MAX = 16 };

struct view_topic {
    struct group_topic topic; // views of the host's
    uint32_t first;
};

struct view_name {
    struct map_node node;
    struct bytes name;
    uint32_t topic; // index, once they are in order
};

struct view_member {
    const struct consumer_member *m; // NULL: new
    struct bytes id;
    const consumer_sub *sub;
    struct partition_set target; // so far
    uint32_t *topics, topic_count;
};

struct plan_view {
    struct view_topic *topics; // in order of their ids
    struct view_member *members;
    uint32_t topic_count, member_count, partition_count;
    uint32_t topic_room;
    struct map names;
};

static const consumer_matches *matches_of(const struct consumer_plan *p, struct bytes pattern)
{
    if (pattern.n == 0)
        return NULL;
    const consumer_matches *m = p->resolved ? consumer_resolved(p->resolved, pattern) : NULL;
    if (m || !p->cg)
        return m;
    const struct consumer_regex *r = consumer_regex_find(p->cg, pattern);
    return r ? r->matches : NULL;
}

static bool is_planned(const struct consumer_plan *p, const struct consumer_member *m)
{
    return p->member_id.p && (m == p->member || m == p->replaces);
}

static bool list_members(struct consumer_plan *p, struct plan_view *v)
{
    uint32_t room = (p->cg ? p->cg->member_count : 0) + 1;
    v->members = arena_array(&p->arena, room, sizeof(*v->members));
    if (!v->members)
        return false;
    struct consumer_member *m = p->cg ? consumer_member_first(p->cg) : NULL;
    for (; m; m = consumer_member_next(p->cg, m)) {
        if (m->mark == PLAN_GONE || is_planned(p, m))
            continue;
        v->members[v->member_count++] =
            (struct view_member){.m = m, .id = consumer_member_id(m), .sub = m->sub, .target = consumer_target_set(m)};
    }
    if (p->member_id.p) {
        const struct consumer_member *from = p->member ? p->member : p->replaces;
        v->members[v->member_count++] =
            (struct view_member){.m = p->member,
                                 .id = p->member_id,
                                 .sub = p->sub,
                                 .target = from ? consumer_target_set(from) : (struct partition_set){0}};
    }
    ASSERT(v->member_count <= room);
    return true;
}

static bool name_eq(const struct map_node *n, const void *key)
{
    return bytes_eq(container_of(n, struct view_name, node)->name, *(const struct bytes *)key);
}

static struct view_name *name_find(const struct plan_view *v, struct bytes name)
{
    struct map_node *n = map_find(&v->names, map_hash_bytes(name), name_eq, &name);
    return n ? container_of(n, struct view_name, node) : NULL;
}

// Notes a topic that a member is subscribed to, if there is one of that name.
static bool note_topic(struct consumer_plan *p, struct plan_view *v, struct bytes name)
{
    if (name_find(v, name))
        return true;
    struct view_name *n = arena_alloc(&p->arena, sizeof(*n));
    if (!n)
        return false;
    n->name = name;
    n->topic = UINT32_MAX;
    struct group_topic t;
    if (p->g->host.topic_by_name(p->g->host.context, name, &t) && t.partition_count > 0) {
        if (v->topic_count == v->topic_room) {
            uint32_t room = v->topic_room ? 2 * v->topic_room : 16;
            struct view_topic *more = arena_array(&p->arena, room, sizeof(*more));
            if (!more)
                return false;
            if (v->topic_count)
                memcpy(more, v->topics, v->topic_count * sizeof(*more));
            v->topics = more;
            v->topic_room = room;
        }
        v->topics[v->topic_count++].topic = t;
    }
    return map_insert(&v->names, &n->node, map_hash_bytes(name)) == RC_OK;
}

static bool same_subscription(const consumer_sub *a, const consumer_sub *b)
{
    if (a->subscribed_topic_names_count != b->subscribed_topic_names_count ||
        !bytes_eq(a->subscribed_topic_regex, b->subscribed_topic_regex))
        return false;
    for (uint32_t i = 0; i < a->subscribed_topic_names_count; i++) {
        if (!bytes_eq(a->subscribed_topic_names[i], b->subscribed_topic_names[i]))
            return false;
    }
    return true;
}

static bool list_topics(struct consumer_plan *p, struct plan_view *v)
{
    for (uint32_t i = 0; i < v->member_count; i++) {
        const consumer_sub *s = v->members[i].sub;
        if (i > 0 && same_subscription(s, v->members[i - 1].sub))
            continue;
        const consumer_matches *m = matches_of(p, s->subscribed_topic_regex);
        bool good = true;
        for (uint32_t k = 0; k < s->subscribed_topic_names_count && good; k++)
            good = note_topic(p, v, s->subscribed_topic_names[k]);
        for (uint32_t k = 0; m && k < m->topics_count && good; k++)
            good = note_topic(p, v, m->topics[k]);
        if (!good)
            return false;
    }
    return true;
}

static int view_topic_order(const void *a, const void *b)
{
    const struct view_topic *x = a, *y = b;
    return memcmp(x->topic.id.b, y->topic.id.b, sizeof(x->topic.id.b));
}

static int index_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void put_in_order(struct plan_view *v)
{
    if (v->topic_count)
        qsort(v->topics, v->topic_count, sizeof(*v->topics), view_topic_order);
    for (uint32_t t = 0; t < v->topic_count; t++) {
        v->topics[t].first = v->partition_count;
        v->partition_count += (uint32_t)v->topics[t].topic.partition_count;
        name_find(v, v->topics[t].topic.name)->topic = t;
    }
}

static bool member_topics(struct consumer_plan *p, struct plan_view *v, uint32_t i)
{
    struct view_member *vm = &v->members[i];
    const consumer_sub *s = vm->sub;
    if (i > 0 && same_subscription(s, v->members[i - 1].sub)) {
        vm->topics = v->members[i - 1].topics;
        vm->topic_count = v->members[i - 1].topic_count;
        return true;
    }
    const consumer_matches *m = matches_of(p, s->subscribed_topic_regex);
    uint32_t room = s->subscribed_topic_names_count + (m ? m->topics_count : 0);
    vm->topics = arena_array(&p->arena, room, sizeof(*vm->topics));
    if (!vm->topics)
        return false;
    uint32_t count = 0;
    for (uint32_t k = 0; k < room; k++) {
        struct bytes name = k < s->subscribed_topic_names_count ? s->subscribed_topic_names[k]
                                                                : m->topics[k - s->subscribed_topic_names_count];
        uint32_t t = name_find(v, name)->topic;
        if (t != UINT32_MAX)
            vm->topics[count++] = t;
    }
    qsort(vm->topics, count, sizeof(*vm->topics), index_order);
    for (uint32_t k = 0; k < count; k++) {
        if (k == 0 || vm->topics[k] != vm->topics[vm->topic_count - 1])
            vm->topics[vm->topic_count++] = vm->topics[k];
    }
    return true;
}

static struct plan_view *view_of(struct consumer_plan *p)
{
    if (p->view)
        return p->view;
    struct plan_view *v = arena_alloc(&p->arena, sizeof(*v));
    if (!v)
        return NULL;
    map_init(&v->names);
    bool good = list_members(p, v) && list_topics(p, v);
    if (good)
        put_in_order(v);
    for (uint32_t i = 0; i < v->member_count && good; i++)
        good = member_topics(p, v, i);
    map_deinit(&v->names);
    p->view = good ? v : NULL;
    return p->view;
}

// ------------------------------------------------------------------------------------------------ topics

static int by_name(const void *a, const void *b)
{
    const struct consumer_group_partition_metadata_value_topic *x = a, *y = b;
    return bytes_cmp(x->topic_name, y->topic_name);
}

static bool topics_equal(const consumer_topics *a, const consumer_topics *b)
{
    uint32_t n = b ? b->topics_count : 0;
    if (a->topics_count != n)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        const struct consumer_group_partition_metadata_value_topic *x = &a->topics[i], *y = &b->topics[i];
        if (!uuid_eq(x->topic_id, y->topic_id) || x->num_partitions != y->num_partitions ||
            !bytes_eq(x->topic_name, y->topic_name))
            return false;
    }
    return true;
}

bool plan_topics(struct consumer_plan *p, bool bump)
{
    struct plan_view *v = view_of(p);
    consumer_topics now = {0};
    if (v)
        now.topics = arena_array(&p->arena, v->topic_count, sizeof(*now.topics));
    if (!now.topics)
        return false;
    for (; now.topics_count < v->topic_count; now.topics_count++) {
        const struct group_topic *t = &v->topics[now.topics_count].topic;
        now.topics[now.topics_count] = (struct consumer_group_partition_metadata_value_topic){
            .topic_id = t->id, .topic_name = t->name, .num_partitions = t->partition_count};
    }
    qsort(now.topics, now.topics_count, sizeof(*now.topics), by_name);
    if (!topics_equal(&now, p->cg ? p->cg->topics : NULL)) {
        plan_add_topics(p, &now);
        bump = true;
    }
    if (bump) {
        p->epoch = (p->cg ? p->cg->epoch : 0) + 1;
        p->bumped = true;
        plan_add_epoch(p, p->epoch);
    }
    return !p->failed;
}

// ------------------------------------------------------------------------------------------------ the assignor

const char *consumer_assignor_name(uint8_t assignor)
{
    return assignor == GROUP_ASSIGNOR_RANGE ? "range" : "uniform";
}

static uint8_t vote(const struct groups *g, const uint32_t *votes)
{
    uint8_t best = g->config.consumer_assignors[0];
    for (uint8_t i = 1; i < g->config.consumer_assignor_count; i++) {
        if (votes[g->config.consumer_assignors[i]] > votes[best])
            best = g->config.consumer_assignors[i];
    }
    return best;
}

static void count_vote(const consumer_sub *s, uint32_t *votes)
{
    for (uint8_t a = 0; a < 2; a++)
        votes[a] += s->server_assignor.p && bytes_eq(s->server_assignor, bytes_str(consumer_assignor_name(a)));
}

uint8_t consumer_assignor(const struct groups *g, const struct consumer_group *cg)
{
    uint32_t votes[2] = {0};
    for (struct consumer_member *m = consumer_member_first(cg); m; m = consumer_member_next(cg, m))
        count_vote(m->sub, votes);
    return vote(g, votes);
}

static uint8_t view_assignor(const struct consumer_plan *p)
{
    uint32_t votes[2] = {0};
    for (uint32_t i = 0; i < p->view->member_count; i++)
        count_vote(p->view->members[i].sub, votes);
    return vote(p->g, votes);
}

static const struct view_topic *view_topic_find(const struct plan_view *v, struct uuid id)
{
    struct view_topic key = {.topic.id = id};
    return v->topic_count ? bsearch(&key, v->topics, v->topic_count, sizeof(key), view_topic_order) : NULL;
}

static uint32_t *owners_now(struct consumer_plan *p)
{
    const struct plan_view *v = p->view;
    uint32_t *owners = arena_array(&p->arena, v->partition_count, sizeof(*owners));
    if (!owners)
        return NULL;
    for (uint32_t i = 0; i < v->partition_count; i++)
        owners[i] = ASSIGN_NONE;
    for (uint32_t i = 0; i < v->member_count; i++) {
        const struct partition_set *s = &v->members[i].target;
        for (uint32_t k = 0; k < s->count; k++) {
            const struct view_topic *t = view_topic_find(v, s->topics[k].topic_id);
            for (uint32_t n = 0; t && n < s->topics[k].count; n++) {
                int32_t partition = s->topics[k].partitions[n];
                if (partition >= 0 && partition < t->topic.partition_count)
                    owners[t->first + (uint32_t)partition] = i;
            }
        }
    }
    return owners;
}

struct racks {
    struct bytes names[ASSIGN_RACKS_MAX];
    int count;
};

// The number of a rack; -1: none, or one too many.
static int rack_index(struct racks *r, struct bytes name, bool make)
{
    if (!name.p || name.n == 0)
        return -1;
    for (int i = 0; i < r->count; i++) {
        if (bytes_eq(r->names[i], name))
            return i;
    }
    if (!make || r->count == ASSIGN_RACKS_MAX)
        return -1;
    r->names[r->count] = name;
    return r->count++;
}

static bool partition_racks(struct consumer_plan *p, struct racks *r, struct assign_input *in)
{
    const struct plan_view *v = p->view;
    const struct groups_host *h = &p->g->host;
    if (r->count == 0 || !h->partition_racks)
        return true;
    uint64_t *sets = arena_array(&p->arena, v->partition_count, sizeof(*sets));
    if (!sets)
        return false;
    for (uint32_t t = 0; t < v->topic_count; t++) {
        for (int32_t n = 0; n < v->topics[t].topic.partition_count; n++) {
            struct bytes names[RACKS_OF_PARTITION_MAX];
            uint32_t count = h->partition_racks(h->context, v->topics[t].topic.id, n, names, RACKS_OF_PARTITION_MAX);
            for (uint32_t i = 0; i < count; i++) {
                int rack = rack_index(r, names[i], false);
                if (rack >= 0)
                    sets[v->topics[t].first + (uint32_t)n] |= UINT64_C(1) << rack;
            }
        }
    }
    in->partition_racks = sets;
    return true;
}

static bool assign_input(struct consumer_plan *p, struct assign_input *in)
{
    const struct plan_view *v = p->view;
    struct assign_topic *topics = arena_array(&p->arena, v->topic_count, sizeof(*topics));
    struct assign_member *members = arena_array(&p->arena, v->member_count, sizeof(*members));
    if (!topics || !members)
        return false;
    struct racks racks = {.count = 0};
    for (uint32_t t = 0; t < v->topic_count; t++)
        topics[t] = (struct assign_topic){v->topics[t].first, (uint32_t)v->topics[t].topic.partition_count};
    for (uint32_t i = 0; i < v->member_count; i++) {
        const struct view_member *m = &v->members[i];
        members[i] = (struct assign_member){.id = m->id,
                                            .instance_id = m->sub->instance_id,
                                            .topics = m->topics,
                                            .topic_count = m->topic_count,
                                            .rack = rack_index(&racks, m->sub->rack_id, true)};
    }
    *in = (struct assign_input){.topics = topics,
                                .members = members,
                                .topic_count = v->topic_count,
                                .member_count = v->member_count,
                                .partition_count = v->partition_count};
    return partition_racks(p, &racks, in);
}

// One owner for each partition into one set for each member.
static struct partition_set *owners_to_sets(struct consumer_plan *p, const uint32_t *owners)
{
    const struct plan_view *v = p->view;
    struct partition_set *sets = arena_array(&p->arena, v->member_count, sizeof(*sets));
    uint32_t *counts = arena_array(&p->arena, v->member_count, sizeof(*counts));
    uint32_t *last = arena_array(&p->arena, v->member_count, sizeof(*last)); // topic + 1
    if (!sets || !counts || !last)
        return NULL;
    for (uint32_t t = 0; t < v->topic_count; t++) {
        for (uint32_t n = 0; n < (uint32_t)v->topics[t].topic.partition_count; n++) {
            uint32_t m = owners[v->topics[t].first + n];
            if (m == ASSIGN_NONE)
                continue;
            counts[m]++;
            sets[m].count += last[m] != t + 1;
            last[m] = t + 1;
        }
    }
    for (uint32_t m = 0; m < v->member_count; m++) {
        sets[m].topics = arena_array(&p->arena, sets[m].count, sizeof(*sets[m].topics));
        int32_t *partitions = arena_array(&p->arena, counts[m], sizeof(*partitions));
        if (!sets[m].topics || !partitions)
            return NULL;
        if (sets[m].count)
            sets[m].topics[0].partitions = partitions;
        sets[m].count = 0;
        last[m] = 0;
    }
    for (uint32_t t = 0; t < v->topic_count; t++) {
        for (int32_t n = 0; n < v->topics[t].topic.partition_count; n++) {
            uint32_t m = owners[v->topics[t].first + (uint32_t)n];
            if (m == ASSIGN_NONE)
                continue;
            struct partition_set *s = &sets[m];
            if (last[m] != t + 1) {
                struct partition_topic *before = s->count ? &s->topics[s->count - 1] : NULL;
                int32_t *at = before ? before->partitions + before->count : s->topics[0].partitions;
                s->topics[s->count++] = (struct partition_topic){.topic_id = v->topics[t].topic.id, .partitions = at};
                last[m] = t + 1;
            }
            struct partition_topic *at = &s->topics[s->count - 1];
            at->partitions[at->count++] = n;
        }
    }
    return sets;
}

bool plan_target(struct consumer_plan *p)
{
    if (p->epoch <= p->assignment_epoch) {
        const struct consumer_member *from = p->member ? p->member : p->replaces;
        p->target = from ? consumer_target_set(from) : (struct partition_set){0};
        if (p->member_id.p && (!p->member || !p->member->target))
            plan_add_target(p, p->member_id, &p->target);
        return !p->failed;
    }
    struct assign_input in;
    struct plan_view *v = view_of(p);
    uint32_t *owners = v ? owners_now(p) : NULL;
    if (!owners || !assign_input(p, &in))
        return false;
    enum rc rc = view_assignor(p) == GROUP_ASSIGNOR_RANGE ? assign_range(&in, owners) : assign_uniform(&in, owners);
    struct partition_set *sets = rc == RC_OK ? owners_to_sets(p, owners) : NULL;
    if (!sets)
        return false;
    for (uint32_t i = 0; i < v->member_count; i++) {
        const struct view_member *m = &v->members[i];
        if (!m->m || !m->m->target || !partition_set_equal(&sets[i], &m->target))
            plan_add_target(p, m->id, &sets[i]);
        if (p->member_id.p && bytes_eq(m->id, p->member_id))
            p->target = sets[i];
    }
    p->assignment_epoch = p->epoch;
    plan_add_assignment_epoch(p, p->epoch);
    return !p->failed;
}

// ------------------------------------------------------------------------------------------------ expressions

void plan_drop_regexes(struct consumer_plan *p)
{
    if (!p->cg || p->cg->regexes.count == 0)
        return;
    for (struct map_node *n = map_first(&p->cg->regexes); n; n = map_next(&p->cg->regexes, n))
        container_of(n, struct consumer_regex, node)->mark = 0;
    for (struct consumer_member *m = consumer_member_first(p->cg); m; m = consumer_member_next(p->cg, m)) {
        if (m->mark == PLAN_GONE || is_planned(p, m))
            continue;
        struct consumer_regex *r = consumer_regex_find(p->cg, m->sub->subscribed_topic_regex);
        if (r)
            r->mark = 1;
    }
    struct consumer_regex *own = p->member_id.p ? consumer_regex_find(p->cg, p->sub->subscribed_topic_regex) : NULL;
    if (own)
        own->mark = 1;
    for (struct map_node *n = map_first(&p->cg->regexes); n; n = map_next(&p->cg->regexes, n)) {
        struct consumer_regex *r = container_of(n, struct consumer_regex, node);
        if (!r->mark)
            plan_add_regex(p, consumer_regex_pattern(r), NULL);
    }
}
