// SPDX-License-Identifier: Apache-2.0
//
// Members of a classic group, what they speak, and how they vote.
#include "group/classic.h"

#include <stdlib.h>

enum { CANDIDATES_MAX = 64 }; // protocols of one member that are voted on

struct classic_group *classic_ensure(struct group *gr)
{
    if (gr->type == GROUP_CLASSIC)
        return gr->classic;
    ASSERT(gr->type == GROUP_UNTYPED && !gr->classic);
    struct classic_group *cl = calloc(1, sizeof(*cl));
    if (!cl)
        return NULL;
    map_init(&cl->members);
    list_init(&cl->order);
    if (group_deadline_set(gr->groups, &cl->rebalance, GROUP_NEVER, classic_rebalance_fire) != RC_OK) {
        free(cl);
        return NULL;
    }
    cl->owner = gr;
    gr->classic = cl;
    gr->type = GROUP_CLASSIC;
    return cl;
}

void classic_free(struct group *gr)
{
    struct classic_group *cl = gr->classic;
    if (!cl)
        return;
    for (struct classic_member *m; (m = classic_next(cl, NULL)) != NULL;)
        classic_member_remove(m, RC_UNKNOWN_MEMBER_ID);
    if (cl->incoming)
        classic_member_free(cl->incoming);
    group_deadline_cancel(gr->groups, &cl->rebalance);
    map_deinit(&cl->members);
    free((void *)cl->stored.p);
    free(cl->protocol_type);
    free(cl->protocol);
    free(cl->leader_before);
    free(cl);
    gr->classic = NULL;
    if (gr->type == GROUP_CLASSIC)
        gr->type = GROUP_UNTYPED;
    gr->empty_since_ms = -1;
}

// ------------------------------------------------------------------------------------------------ the table

static bool member_eq(const struct map_node *n, const void *key)
{
    return bytes_eq(classic_member_id(container_of(n, struct classic_member, node)), *(const struct bytes *)key);
}

struct classic_member *classic_find(const struct classic_group *cl, struct bytes id)
{
    struct map_node *n = map_find(&cl->members, map_hash_bytes(id), member_eq, &id);
    return n ? container_of(n, struct classic_member, node) : NULL;
}

struct classic_member *classic_next(const struct classic_group *cl, const struct classic_member *m)
{
    struct list_node *n = m ? list_next(&cl->order, &m->link) : list_first(&cl->order);
    return n ? list_entry(n, struct classic_member, link) : NULL;
}

struct classic_member *classic_find_instance(const struct classic_group *cl, struct bytes instance)
{
    for (struct classic_member *m = classic_next(cl, NULL); m; m = classic_next(cl, m))
        if (m->is_static && bytes_eq(classic_instance_id(m), instance))
            return m;
    return NULL;
}

struct classic_member *classic_member_new(struct group *gr, struct bytes id, struct bytes instance,
                                          struct bytes client_id, struct bytes host)
{
    ASSERT(id.n <= INT16_MAX && instance.n <= INT16_MAX && client_id.n <= INT16_MAX);
    size_t host_bytes = host.n < UINT8_MAX ? host.n : UINT8_MAX;
    struct classic_member *m = calloc(1, sizeof(*m) + id.n + instance.n + client_id.n + host_bytes);
    if (!m)
        return NULL;
    m->group = gr;
    m->is_static = instance.p != NULL;
    m->id_bytes = (uint16_t)id.n;
    m->instance_bytes = (uint16_t)instance.n;
    m->client_bytes = (uint16_t)client_id.n;
    m->host_bytes = (uint8_t)host_bytes;
    const struct bytes parts[] = {id, instance, client_id, bytes_of(host.p, host_bytes)};
    char *at = m->text;
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        if (parts[i].n)
            memcpy(at, parts[i].p, parts[i].n);
        at += parts[i].n;
    }
    if (group_deadline_set(gr->groups, &m->session, GROUP_NEVER, classic_session_fire) != RC_OK) {
        free(m);
        return NULL;
    }
    return m;
}

void classic_member_free(struct classic_member *m)
{
    ASSERT(!list_node_linked(&m->link) && !m->join && !m->sync);
    group_deadline_cancel(m->group->groups, &m->session);
    free(m->protocols);
    free(m);
}

enum rc classic_member_add(struct classic_member *m, const struct classic_member *before)
{
    struct classic_group *cl = m->group->classic;
    enum rc rc = map_insert(&cl->members, &m->node, map_hash_bytes(classic_member_id(m)));
    if (rc != RC_OK)
        return rc;
    list_insert_before(&cl->order, before ? (struct list_node *)&before->link : &cl->order.head, &m->link);
    if (m->pending) {
        cl->pending_count++;
        return RC_OK;
    }
    ASSERT(m->protocols != NULL);
    cl->member_count++;
    m->group->groups->member_count++;
    if (!cl->leader)
        cl->leader = m;
    return RC_OK;
}

static void member_count_out(struct classic_member *m)
{
    struct classic_group *cl = m->group->classic;
    classic_set_awaiting_join(m, false);
    classic_set_sync_due(m, false);
    m->awaiting_sync = false;
    if (m->pending) {
        cl->pending_count--;
        return;
    }
    ASSERT(cl->member_count > 0 && m->group->groups->member_count > 0);
    cl->member_count--;
    m->group->groups->member_count--;
}

void classic_member_remove(struct classic_member *m, enum rc rc)
{
    struct groups *g = m->group->groups;
    struct classic_group *cl = m->group->classic;
    struct group_call *join = classic_unpark(&m->join), *sync = classic_unpark(&m->sync);
    if (join)
        group_answer_error(g, join, rc, NULL);
    if (sync)
        group_answer_error(g, sync, rc, NULL);
    member_count_out(m);
    map_remove(&cl->members, &m->node);
    list_remove(&cl->order, &m->link);
    if (cl->leader == m) {
        cl->leader = NULL;
        for (struct classic_member *k = classic_next(cl, NULL); k && !cl->leader; k = classic_next(cl, k))
            cl->leader = k->pending ? NULL : k;
    }
    classic_member_free(m);
}

void classic_set_awaiting_join(struct classic_member *m, bool awaiting)
{
    struct classic_group *cl = m->group->classic;
    if (m->awaiting_join == awaiting)
        return;
    m->awaiting_join = awaiting;
    cl->awaiting_join_count += awaiting ? 1u : UINT32_MAX;
}

void classic_set_sync_due(struct classic_member *m, bool due)
{
    struct classic_group *cl = m->group->classic;
    if (m->sync_due == due)
        return;
    m->sync_due = due;
    cl->sync_due_count += due ? 1u : UINT32_MAX;
}

void classic_touch(struct classic_member *m)
{
    struct groups *g = m->group->groups;
    group_deadline_set(g, &m->session, group_session_end(g, m->session_ms), classic_session_fire);
}

bool classic_set_text(char **to, uint16_t *bytes, struct bytes b)
{
    char *copy = NULL;
    if (b.p) {
        ASSERT(b.n <= INT16_MAX);
        copy = malloc(b.n + 1);
        if (!copy)
            return false;
        memcpy(copy, b.p, b.n);
        copy[b.n] = 0;
    }
    free(*to);
    *to = copy;
    *bytes = (uint16_t)b.n;
    return true;
}

// ------------------------------------------------------------------------------------------------ protocols

static struct classic_protocols *protocols_alloc(uint32_t count, size_t text_bytes, uint8_t **text)
{
    size_t array = sizeof(struct classic_protocols) + (size_t)count * sizeof(struct classic_protocol);
    struct classic_protocols *p = malloc(array + text_bytes);
    if (!p)
        return NULL;
    p->count = count;
    *text = (uint8_t *)p + array;
    return p;
}

static struct bytes put(uint8_t **at, struct bytes b)
{
    uint8_t *p = *at;
    if (b.n)
        memcpy(p, b.p, b.n);
    *at += b.n;
    return bytes_of(p, b.n);
}

struct classic_protocols *classic_protocols_new(const struct join_group_request *in)
{
    size_t text_bytes = 0;
    uint8_t *at;
    for (uint32_t i = 0; i < in->protocols_count; i++)
        text_bytes += in->protocols[i].name.n + in->protocols[i].metadata.n;
    struct classic_protocols *p = protocols_alloc(in->protocols_count, text_bytes, &at);
    if (!p)
        return NULL;
    for (uint32_t i = 0; i < p->count; i++) {
        p->at[i].name = put(&at, in->protocols[i].name);
        p->at[i].metadata = put(&at, in->protocols[i].metadata);
    }
    return p;
}

struct classic_protocols *classic_protocols_one(struct bytes name, struct bytes metadata)
{
    uint8_t *at;
    struct classic_protocols *p = protocols_alloc(1, name.n + metadata.n, &at);
    if (!p)
        return NULL;
    p->at[0].name = put(&at, name);
    p->at[0].metadata = put(&at, metadata);
    return p;
}

const struct classic_protocol *classic_protocols_find(const struct classic_protocols *p, struct bytes name)
{
    for (uint32_t i = 0; p && i < p->count; i++)
        if (bytes_eq(p->at[i].name, name))
            return &p->at[i];
    return NULL;
}

bool classic_protocols_equal(const struct classic_protocols *p, const struct join_group_request *in)
{
    if (p->count != in->protocols_count)
        return false;
    for (uint32_t i = 0; i < p->count; i++)
        if (!bytes_eq(p->at[i].name, in->protocols[i].name) || !bytes_eq(p->at[i].metadata, in->protocols[i].metadata))
            return false;
    return true;
}

static const struct classic_protocols *spoken(const struct classic_member *m, const struct classic_member *instead,
                                              const struct classic_protocols *other)
{
    return m == instead ? other : m->protocols;
}

static bool all_speak(const struct classic_group *cl, struct bytes name, const struct classic_member *instead,
                      const struct classic_protocols *other)
{
    for (const struct classic_member *m = classic_next(cl, NULL); m; m = classic_next(cl, m))
        if (!m->pending && !classic_protocols_find(spoken(m, instead, other), name))
            return false;
    return true;
}

bool classic_supports(const struct classic_group *cl, const struct join_group_request *in)
{
    if (cl->state == CLASSIC_EMPTY)
        return in->protocol_type.n > 0 && in->protocols_count > 0;
    if (!cl->protocol_type || !bytes_eq(bytes_of(cl->protocol_type, cl->protocol_type_bytes), in->protocol_type))
        return false;
    for (uint32_t i = 0; i < in->protocols_count; i++)
        if (all_speak(cl, in->protocols[i].name, NULL, NULL))
            return true;
    return false;
}

// The place in p of the first protocol of q that is a candidate, or -1.
static int vote(const struct classic_protocols *q, const struct classic_protocols *p, uint64_t candidates)
{
    for (uint32_t i = 0; i < q->count; i++)
        for (uint32_t k = 0; k < p->count && k < CANDIDATES_MAX; k++)
            if ((candidates >> k & 1) && bytes_eq(q->at[i].name, p->at[k].name))
                return (int)k;
    return -1;
}

// Candidates are protocols of any one member: the first's, which wins a tie with what it likes better.
struct bytes classic_select(const struct classic_group *cl, const struct classic_member *instead,
                            const struct classic_protocols *other)
{
    const struct classic_member *first = classic_next(cl, NULL);
    while (first && first->pending)
        first = classic_next(cl, first);
    ASSERT(first != NULL);
    const struct classic_protocols *p = spoken(first, instead, other);
    uint64_t candidates = 0;
    uint32_t votes[CANDIDATES_MAX] = {0}, best = 0;
    for (uint32_t k = 0; k < p->count && k < CANDIDATES_MAX; k++)
        candidates |= (uint64_t)all_speak(cl, p->at[k].name, instead, other) << k;
    for (const struct classic_member *m = first; m; m = classic_next(cl, m)) {
        int k = m->pending ? -1 : vote(spoken(m, instead, other), p, candidates);
        if (k >= 0)
            votes[k]++;
    }
    for (uint32_t k = 1; k < CANDIDATES_MAX; k++)
        best = votes[k] > votes[best] ? k : best;
    return p->count ? p->at[best].name : bytes_str("");
}

// ------------------------------------------------------------------------------------------------ subscriptions

// Every version begins as version 0: i16 version, [] of topic names.
bool classic_topics_begin(struct classic_topics *t, struct bytes metadata)
{
    t->d = dec_of(metadata);
    int16_t version = dec_i16(&t->d);
    t->left = dec_count(&t->d, false, false, 2);
    return !t->d.bad && version >= 0;
}

bool classic_topics_next(struct classic_topics *t, struct bytes *topic)
{
    if (t->left <= 0)
        return false;
    t->left--;
    *topic = dec_string(&t->d, false, false);
    return !t->d.bad;
}
