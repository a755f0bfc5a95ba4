// SPDX-License-Identifier: Apache-2.0
//
// Records of the new protocol into state: keys 3 (group epoch), 4 (topics), 5 (member), 6 (assignment epoch), 7 (target
// of a member), 8 (what it holds), 16 (an expression's topics). The same live and when the log is read, where records
// of one member come in any order: compaction keeps only the last of each key.
#include "group/consumer.h"

#include <stdlib.h>

#include "model/limits.h"

// ------------------------------------------------------------------------------------------------ decoded values

// Decodes a stored value into one allocation: the struct, what it points to, and the bytes its strings are views of.
// *out NULL for a tombstone.
static enum rc stored_value(const struct schema_message *m, struct bytes in, void **out)
{
    *out = NULL;
    if (!in.p)
        return RC_OK;
    size_t size = (schema_size(m) + 15) & ~(size_t)15, raw = (in.n + 15) & ~(size_t)15;
    struct arena a;
    group_stored_arena(&a, in);
    void *probe = arena_alloc(&a, size);
    size_t before = a.used_bytes;
    enum rc rc = probe ? group_stored_decode(m, in, &a, probe, NULL) : RC_NOMEM;
    size_t used = a.used_bytes - before;
    arena_deinit(&a);
    if (rc != RC_OK)
        return rc;
    uint8_t *block = malloc(size + raw + used);
    if (!block)
        return RC_NOMEM;
    memcpy(block + size, in.p, in.n);
    arena_init(&a, used, used ? block + size + raw : NULL, used);
    rc = group_stored_decode(m, bytes_of(block + size, in.n), &a, block, NULL);
    ASSERT(rc == RC_OK && a.blocks == NULL);
    *out = block;
    return RC_OK;
}

static enum rc stored_key(const struct schema_message *m, struct bytes in, void *out)
{
    struct arena a;
    group_stored_arena(&a, in);
    enum rc rc = group_stored_decode(m, in, &a, out, NULL);
    arena_deinit(&a); // keys have strings only, views of in
    return rc;
}

// A record's key into *k, whose strings are views of it, and its value as stored_value() says: *v is the caller's to
// free.
static enum rc stored_record(const struct schema_message *key_message, struct bytes key, void *k,
                             const struct schema_message *value_message, struct bytes value, void **v)
{
    *v = NULL;
    enum rc rc = stored_key(key_message, key, k);
    return rc == RC_OK ? stored_value(value_message, value, v) : rc;
}

// ------------------------------------------------------------------------------------------------ group and members

static struct consumer_group *group_make(struct groups *g, struct bytes id, struct group **out)
{
    struct group *gr = *out = group_ensure(g, id);
    if (!gr || gr->type == GROUP_CONSUMER)
        return gr ? gr->consumer : NULL;
    struct consumer_group *cg = calloc(1, sizeof(*cg));
    if (!cg)
        return NULL;
    if (gr->type == GROUP_CLASSIC) { // without a tombstone: what is newer in the log counts
        classic_stop(gr, RC_REBALANCE_IN_PROGRESS);
        classic_free(gr);
    }
    cg->gr = gr;
    map_init(&cg->members);
    map_init(&cg->instances);
    map_init(&cg->held);
    map_init(&cg->regexes);
    cg->topics_stale = true;
    gr->type = GROUP_CONSUMER;
    gr->consumer = cg;
    if (group_deadline_set(g, &cg->regex, GROUP_NEVER, NULL) != RC_OK) {
        consumer_free(gr);
        return NULL;
    }
    return cg;
}

// Without a record of its own left, a member is nothing.
static void member_drop_if_bare(struct consumer_group *cg, struct consumer_member *m)
{
    if (m->sub || m->target || m->current)
        return;
    struct groups *g = m->gr->groups;
    group_deadline_cancel(g, &m->session);
    group_deadline_cancel(g, &m->rebalance);
    group_deadline_cancel(g, &m->join);
    map_remove(&cg->members, &m->by_id);
    free(m);
}

static struct consumer_member *member_make(struct group *gr, struct bytes id)
{
    struct consumer_group *cg = gr->consumer;
    struct consumer_member *m = consumer_member_any(cg, id);
    if (m)
        return m;
    m = calloc(1, sizeof(*m) + id.n + 1);
    if (!m)
        return NULL;
    m->gr = gr;
    m->id_bytes = (uint16_t)id.n;
    if (id.n)
        memcpy(m->id, id.p, id.n);
    struct groups *g = gr->groups;
    if (group_deadline_set(g, &m->session, GROUP_NEVER, consumer_session_fire) != RC_OK ||
        group_deadline_set(g, &m->rebalance, GROUP_NEVER, consumer_rebalance_fire) != RC_OK ||
        group_deadline_set(g, &m->join, GROUP_NEVER, NULL) != RC_OK ||
        map_insert(&cg->members, &m->by_id, map_hash_bytes(id)) != RC_OK) {
        group_deadline_cancel(g, &m->session);
        group_deadline_cancel(g, &m->rebalance);
        group_deadline_cancel(g, &m->join);
        free(m);
        return NULL;
    }
    return m;
}

// A group that records gave no member yet, nor anything else, was made for nothing.
static enum rc out_of_memory(struct group *gr)
{
    if (gr)
        group_drop_if_unused(gr);
    return RC_NOMEM;
}

// Finds what a record of a group is about; *cg NULL with RC_OK: a tombstone of nobody.
static enum rc group_of(struct groups *g, struct bytes id, bool make, struct group **gr, struct consumer_group **cg)
{
    *cg = NULL;
    *gr = group_find(g, id);
    if (make) {
        *cg = group_make(g, id, gr);
        return *cg ? RC_OK : out_of_memory(*gr);
    }
    if (*gr && (*gr)->type == GROUP_CONSUMER)
        *cg = (*gr)->consumer;
    return RC_OK;
}

// The same of a member.
static enum rc member_of(struct groups *g, struct bytes group, struct bytes id, bool make, struct group **gr,
                         struct consumer_member **m)
{
    struct consumer_group *cg;
    enum rc rc = group_of(g, group, make, gr, &cg);
    *m = !cg ? NULL : make ? member_make(*gr, id) : consumer_member_any(cg, id);
    return cg && make && !*m ? out_of_memory(*gr) : rc;
}

static enum rc apply_epoch(struct groups *g, struct bytes key, struct bytes value)
{
    struct consumer_group_metadata_key k;
    void *v;
    enum rc rc =
        stored_record(&consumer_group_metadata_key_message, key, &k, &consumer_group_metadata_value_message, value, &v);
    if (rc != RC_OK)
        return rc;
    struct group *gr;
    struct consumer_group *cg;
    rc = group_of(g, k.group_id, v != NULL, &gr, &cg);
    if (cg && v) {
        cg->epoch = ((struct consumer_group_metadata_value *)v)->epoch;
        cg->epoch_stored = true;
    } else if (cg) {
        consumer_free(gr);
        group_drop_if_unused(gr);
    }
    free(v);
    return rc;
}

static int name_order(const void *a, const void *b)
{
    const struct consumer_group_partition_metadata_value_topic *x = a, *y = b;
    return bytes_cmp(x->topic_name, y->topic_name);
}

static enum rc apply_topics(struct groups *g, struct bytes key, struct bytes value)
{
    struct consumer_group_partition_metadata_key k;
    void *v;
    enum rc rc = stored_record(&consumer_group_partition_metadata_key_message, key, &k,
                               &consumer_group_partition_metadata_value_message, value, &v);
    if (rc != RC_OK)
        return rc;
    struct group *gr;
    struct consumer_group *cg;
    rc = group_of(g, k.group_id, v != NULL, &gr, &cg);
    if (!cg) {
        free(v);
        return rc;
    }
    free(cg->topics);
    cg->topics = v;
    if (v)
        qsort(cg->topics->topics, cg->topics->topics_count, sizeof(*cg->topics->topics), name_order);
    return RC_OK;
}

static void instance_drop(struct consumer_group *cg, struct consumer_member *m)
{
    if (m->in_instances)
        map_remove(&cg->instances, &m->by_instance);
    m->in_instances = false;
}

static enum rc instance_put(struct consumer_group *cg, struct consumer_member *m)
{
    if (!m->sub || !m->sub->instance_id.p)
        return RC_OK;
    struct consumer_member *other = consumer_instance_find(cg, m->sub->instance_id);
    if (other)
        instance_drop(cg, other); // the newer record counts
    enum rc rc = map_insert(&cg->instances, &m->by_instance, map_hash_bytes(m->sub->instance_id));
    m->in_instances = rc == RC_OK;
    return rc;
}

static enum rc member_set_sub(struct consumer_member *m, consumer_sub *sub)
{
    struct group *gr = m->gr;
    struct consumer_group *cg = gr->consumer;
    struct groups *g = gr->groups;
    bool was = m->sub != NULL;
    instance_drop(cg, m);
    cg->classic_count -= consumer_is_classic(m);
    free(m->sub);
    m->sub = sub;
    cg->classic_count += consumer_is_classic(m);
    if (!was && sub) {
        cg->member_count++;
        g->member_count++;
        gr->empty_since_ms = -1;
        if (!g->loading)
            consumer_touch(g, m);
    } else if (was && !sub) {
        cg->member_count--;
        g->member_count--;
        group_deadline_set(g, &m->session, GROUP_NEVER, consumer_session_fire);
        group_deadline_set(g, &m->rebalance, GROUP_NEVER, consumer_rebalance_fire);
        if (cg->member_count == 0)
            gr->empty_since_ms = g->now.wall_ms;
    }
    // Each protocol has its own time to do what it is told.
    if (!sub || !sub->classic_member_metadata)
        group_deadline_set(g, &m->join, GROUP_NEVER, m->join.fire);
    else
        group_deadline_set(g, &m->rebalance, GROUP_NEVER, consumer_rebalance_fire);
    return instance_put(cg, m);
}

static enum rc apply_member(struct groups *g, struct bytes key, struct bytes value)
{
    struct consumer_group_member_metadata_key k;
    void *v;
    enum rc rc = stored_record(&consumer_group_member_metadata_key_message, key, &k,
                               &consumer_group_member_metadata_value_message, value, &v);
    if (rc != RC_OK)
        return rc;
    struct group *gr;
    struct consumer_member *m;
    rc = member_of(g, k.group_id, k.member_id, v != NULL, &gr, &m);
    if (!m) {
        free(v);
        return rc;
    }
    rc = member_set_sub(m, v);
    member_drop_if_bare(gr->consumer, m);
    return rc;
}

static enum rc apply_assignment_epoch(struct groups *g, struct bytes key, struct bytes value)
{
    struct consumer_group_target_assignment_metadata_key k;
    void *v;
    enum rc rc = stored_record(&consumer_group_target_assignment_metadata_key_message, key, &k,
                               &consumer_group_target_assignment_metadata_value_message, value, &v);
    if (rc != RC_OK)
        return rc;
    struct group *gr;
    struct consumer_group *cg;
    rc = group_of(g, k.group_id, v != NULL, &gr, &cg);
    if (cg) {
        cg->assignment_epoch = v ? ((struct consumer_group_target_assignment_metadata_value *)v)->assignment_epoch : 0;
        cg->assignment_stored = v != NULL;
    }
    free(v);
    return rc;
}

static enum rc apply_target(struct groups *g, struct bytes key, struct bytes value)
{
    struct consumer_group_target_assignment_member_key k;
    void *v;
    enum rc rc = stored_record(&consumer_group_target_assignment_member_key_message, key, &k,
                               &consumer_group_target_assignment_member_value_message, value, &v);
    if (rc != RC_OK)
        return rc;
    struct group *gr;
    struct consumer_member *m;
    rc = member_of(g, k.group_id, k.member_id, v != NULL, &gr, &m);
    if (!m) {
        free(v);
        return rc;
    }
    free(m->target);
    m->target = v;
    if (v) {
        struct partition_set s = consumer_target_set(m);
        partition_set_order(&s);
        m->target->topic_partitions_count = s.count;
    }
    member_drop_if_bare(gr->consumer, m);
    return RC_OK;
}

// ------------------------------------------------------------------------------------------------ what a member has

static bool partitions_sane(const struct partition_set *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        const struct partition_topic *t = &s->topics[i];
        if (t->partitions[0] < 0 || t->partitions[t->count - 1] >= PARTITIONS_PER_TOPIC_MAX)
            return false;
    }
    return true;
}

// Puts the sets of a fresh value in order. False: what is in them cannot be.
static bool current_order(struct consumer_group_current_member_assignment_value *v)
{
    struct partition_set assigned = PARTITION_SET_OF(v->assigned_partitions, v->assigned_partitions_count);
    struct partition_set revoking =
        PARTITION_SET_OF(v->partitions_pending_revocation, v->partitions_pending_revocation_count);
    partition_set_order(&assigned);
    partition_set_order(&revoking);
    v->assigned_partitions_count = assigned.count;
    v->partitions_pending_revocation_count = revoking.count;
    return partitions_sane(&assigned) && partitions_sane(&revoking);
}

static enum rc member_set_current(struct consumer_member *m, struct consumer_group_current_member_assignment_value *v)
{
    struct consumer_group *cg = m->gr->consumer;
    struct groups *g = m->gr->groups;
    struct consumer_current old = consumer_current_of(m);
    consumer_release(cg, m, &old.assigned);
    consumer_release(cg, m, &old.revoking);
    free(m->current);
    m->current = v;
    struct consumer_current now = consumer_current_of(m);
    enum rc rc = consumer_claim(cg, m, &now.assigned);
    if (rc == RC_OK)
        rc = consumer_claim(cg, m, &now.revoking);
    if (!g->loading && m->sub)
        consumer_arm_rebalance(g, m);
    return rc;
}

static enum rc apply_current(struct groups *g, struct bytes key, struct bytes value)
{
    struct consumer_group_current_member_assignment_key k;
    void *v;
    enum rc rc = stored_record(&consumer_group_current_member_assignment_key_message, key, &k,
                               &consumer_group_current_member_assignment_value_message, value, &v);
    if (rc == RC_OK && v && !current_order(v))
        rc = RC_MALFORMED;
    struct group *gr;
    struct consumer_member *m = NULL;
    if (rc == RC_OK)
        rc = member_of(g, k.group_id, k.member_id, v != NULL, &gr, &m);
    if (!m) {
        free(v);
        return rc;
    }
    rc = member_set_current(m, v);
    member_drop_if_bare(gr->consumer, m);
    return rc;
}

// ------------------------------------------------------------------------------------------------ expressions

static int bytes_order(const void *a, const void *b)
{
    return bytes_cmp(*(const struct bytes *)a, *(const struct bytes *)b);
}

static enum rc regex_set(struct consumer_group *cg, struct bytes pattern, consumer_matches *v)
{
    struct consumer_regex *r = consumer_regex_find(cg, pattern);
    if (!r) {
        r = calloc(1, sizeof(*r) + pattern.n);
        if (!r)
            return RC_NOMEM;
        r->pattern_bytes = (uint32_t)pattern.n;
        if (pattern.n)
            memcpy(r->pattern, pattern.p, pattern.n);
        if (map_insert(&cg->regexes, &r->node, map_hash_bytes(pattern)) != RC_OK) {
            free(r);
            return RC_NOMEM;
        }
    }
    free(r->matches);
    r->matches = v;
    qsort(v->topics, v->topics_count, sizeof(*v->topics), bytes_order);
    return RC_OK;
}

static void regex_drop(struct consumer_group *cg, struct bytes pattern)
{
    struct consumer_regex *r = consumer_regex_find(cg, pattern);
    if (!r)
        return;
    map_remove(&cg->regexes, &r->node);
    free(r->matches);
    free(r);
}

static enum rc apply_regex(struct groups *g, struct bytes key, struct bytes value)
{
    struct consumer_group_regular_expression_key k;
    void *v;
    enum rc rc = stored_record(&consumer_group_regular_expression_key_message, key, &k,
                               &consumer_group_regular_expression_value_message, value, &v);
    if (rc != RC_OK)
        return rc;
    struct group *gr;
    struct consumer_group *cg;
    rc = group_of(g, k.group_id, v != NULL, &gr, &cg);
    if (cg && v)
        rc = regex_set(cg, k.regular_expression, v);
    else if (cg)
        regex_drop(cg, k.regular_expression);
    if (rc != RC_OK)
        free(v);
    return rc;
}

enum rc consumer_apply(struct groups *g, int16_t key_version, struct bytes key, struct bytes value)
{
    switch (key_version) {
    case 3:
        return apply_epoch(g, key, value);
    case 4:
        return apply_topics(g, key, value);
    case 5:
        return apply_member(g, key, value);
    case 6:
        return apply_assignment_epoch(g, key, value);
    case 7:
        return apply_target(g, key, value);
    case 8:
        return apply_current(g, key, value);
    case 16:
        return apply_regex(g, key, value);
    default:
        UNREACHABLE();
    }
}

// ------------------------------------------------------------------------------------------------ when the log is read

void consumer_loaded(struct group *gr)
{
    struct consumer_group *cg = gr->consumer;
    struct groups *g = gr->groups;
    for (struct map_node *n = map_first(&cg->members), *next; n; n = next) {
        next = map_next(&cg->members, n);
        struct consumer_member *m = container_of(n, struct consumer_member, by_id);
        if (!m->sub) { // remains of a member that left: records that a tombstone is to follow
            free(m->target);
            m->target = NULL;
            member_set_current(m, NULL);
            member_drop_if_bare(cg, m);
            continue;
        }
        consumer_touch(g, m);
        consumer_arm_rebalance(g, m);
    }
    cg->topics_stale = true;
    cg->regex_stale = true;
    consumer_regex_schedule(g, gr);
}
