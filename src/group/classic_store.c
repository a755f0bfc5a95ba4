// SPDX-License-Identifier: Apache-2.0
//
// GroupMetadata, the one record of a classic group: key version 2, value version 3 as Kafka 4 writes it (0 to 4 are
// read). Its bytes are kept as they are in the log: assignments are views into them, a snapshot repeats them.
#include "group/classic.h"

#include <stdlib.h>

enum { VALUE_VERSION = 3 };

// ------------------------------------------------------------------------------------------------ write

static void member_record(const struct classic_group *cl, const struct classic_member *m, struct bytes assignment,
                          struct group_metadata_value_member_metadata *out)
{
    const struct classic_protocol *p = classic_protocols_find(m->protocols, classic_protocol_name(cl));
    *out = (struct group_metadata_value_member_metadata){.member_id = classic_member_id(m),
                                                         .group_instance_id = classic_instance_id(m),
                                                         .client_id = classic_client_id(m),
                                                         .client_host = classic_client_host(m),
                                                         .rebalance_timeout = m->rebalance_ms,
                                                         .session_timeout = m->session_ms,
                                                         .subscription = p ? p->metadata : bytes_of(NULL, 0),
                                                         .assignment = assignment};
}

void classic_add_record(struct group_append *a, const struct group *gr, const struct classic_member *instead,
                        const struct classic_member *by)
{
    const struct classic_group *cl = gr->classic;
    struct group_metadata_key key = {.group = group_id(gr)};
    struct group_metadata_value value = {
        .protocol_type = bytes_of(cl->protocol_type, cl->protocol_type_bytes),
        .generation = cl->generation,
        .current_state_timestamp = gr->groups->now.wall_ms,
    };
    if (cl->member_count) {
        const struct classic_member *leader = cl->leader == instead ? by : cl->leader;
        value.protocol = classic_protocol_name(cl);
        value.leader = leader ? classic_member_id(leader) : bytes_of(NULL, 0);
        value.members = calloc(cl->member_count, sizeof(*value.members));
        if (!value.members) {
            a->rc = RC_NOMEM;
            return;
        }
    }
    for (const struct classic_member *m = classic_next(cl, NULL); m; m = classic_next(cl, m))
        if (!m->pending)
            member_record(cl, m == instead ? by : m, m->assignment, &value.members[value.members_count++]);
    ASSERT(value.members_count == cl->member_count);
    group_decision_add(a, &group_metadata_key_message, 2, &key, &group_metadata_value_message, VALUE_VERSION, &value);
    free(value.members);
}

void classic_add_tombstones(struct group_append *a, const struct group *gr)
{
    struct group_metadata_key key = {.group = group_id(gr)};
    group_decision_add(a, &group_metadata_key_message, 2, &key, NULL, 0, NULL);
}

enum rc classic_snapshot(const struct group *gr, struct buf *out)
{
    const struct classic_group *cl = gr->classic;
    if (!cl->stored.p)
        return RC_OK;
    uint8_t bytes[2 + 2 + INT16_MAX];
    put_be16(bytes, 2);
    put_be16(bytes + 2, gr->id_bytes);
    memcpy(bytes + 4, gr->id, gr->id_bytes);
    group_snapshot_raw(out, bytes_of(bytes, 4u + gr->id_bytes), cl->stored);
    return out->failed ? RC_NOMEM : RC_OK;
}

// ------------------------------------------------------------------------------------------------ apply

// The member of the record: as it is here, as the decision in flight made it, or new from the record.
static struct classic_member *member_of(struct group *gr, const struct group_metadata_value *v,
                                        const struct group_metadata_value_member_metadata *in)
{
    struct classic_group *cl = gr->classic;
    struct classic_member *m = classic_find(cl, in->member_id);
    if (m && !m->pending)
        return m;
    if (m) // a pending one of the same id has no claim
        classic_member_remove(m, RC_UNKNOWN_MEMBER_ID);
    m = cl->incoming;
    if (m && bytes_eq(classic_member_id(m), in->member_id)) {
        cl->incoming = NULL;
    } else {
        m = classic_member_new(gr, in->member_id, in->group_instance_id, in->client_id, in->client_host);
        if (!m)
            return NULL;
        m->session_ms = in->session_timeout;
        m->rebalance_ms = in->rebalance_timeout < 0 ? in->session_timeout : in->rebalance_timeout;
        m->protocols = classic_protocols_one(v->protocol, in->subscription);
    }
    if (!m->protocols || classic_member_add(m, NULL) != RC_OK) {
        classic_member_free(m);
        return NULL;
    }
    if (!gr->groups->loading)
        classic_touch(m);
    return m;
}

static enum rc apply_members(struct group *gr, const struct group_metadata_value *v)
{
    struct classic_group *cl = gr->classic;
    for (struct classic_member *m = classic_next(cl, NULL); m; m = classic_next(cl, m))
        m->seen = false;
    for (uint32_t i = 0; i < v->members_count; i++) {
        struct classic_member *m = member_of(gr, v, &v->members[i]);
        if (!m)
            return RC_NOMEM;
        m->seen = true;
        m->assignment = v->members[i].assignment;
    }
    for (struct classic_member *m = classic_next(cl, NULL), *next; m; m = next) {
        next = classic_next(cl, m);
        if (!m->pending && !m->seen)
            classic_member_remove(m, m->is_static ? RC_FENCED_INSTANCE_ID : RC_UNKNOWN_MEMBER_ID);
    }
    struct classic_member *leader = v->leader.p ? classic_find(cl, v->leader) : NULL;
    if (leader && !leader->pending)
        cl->leader = leader;
    cl->leaderless = !v->leader.p && v->members_count > 0;
    return RC_OK;
}

// stored: the record's bytes, owned; v is made of views into them.
static enum rc apply_value(struct group *gr, struct bytes stored, const struct group_metadata_value *v)
{
    struct classic_group *cl = gr->classic;
    enum rc rc = apply_members(gr, v);
    free((void *)cl->stored.p); // nothing looks into it any more: every member's assignment is of the new one
    cl->stored = stored;
    if (rc != RC_OK)
        return rc;
    struct bytes none = bytes_of(NULL, 0);
    if (!classic_set_text(&cl->protocol_type, &cl->protocol_type_bytes, v->protocol_type.n ? v->protocol_type : none) ||
        !classic_set_text(&cl->protocol, &cl->protocol_bytes, v->members_count ? v->protocol : none))
        return RC_NOMEM;
    cl->generation = v->generation;
    cl->state = v->members_count ? CLASSIC_STABLE : CLASSIC_EMPTY;
    gr->empty_since_ms = v->members_count ? -1 : v->current_state_timestamp;
    return RC_OK;
}

static enum rc apply_tombstone(struct groups *g, struct bytes id)
{
    struct group *gr = group_find(g, id);
    if (!gr)
        return RC_OK;
    if (gr->type == GROUP_CLASSIC) {
        classic_stop(gr, RC_REBALANCE_IN_PROGRESS); // it becomes one of the new protocol: join again
        classic_free(gr);
    }
    group_drop_if_unused(gr);
    return RC_OK;
}

static enum rc apply_group(struct groups *g, struct bytes id, struct bytes stored, const struct group_metadata_value *v)
{
    struct group *gr = group_ensure(g, id);
    if (gr && gr->type == GROUP_CONSUMER) {
        // A broker that knows nothing of the new protocol wrote it: the later record counts.
        consumer_group_stop(gr, RC_COORDINATOR_NOT_AVAILABLE);
        consumer_free(gr);
        gr->type = GROUP_UNTYPED;
    }
    if (!gr || !classic_ensure(gr)) {
        free((void *)stored.p);
        return RC_NOMEM;
    }
    return apply_value(gr, stored, v);
}

static bool value_good(const struct group_metadata_value *v)
{
    for (uint32_t i = 0; i < v->members_count; i++) {
        if (v->members[i].member_id.n == 0 || v->members[i].session_timeout < 0)
            return false;
    }
    return v->generation >= 0 && (v->members_count == 0 || v->protocol.p);
}

enum rc classic_apply(struct groups *g, struct bytes key, struct bytes value)
{
    struct group_metadata_key k;
    struct group_metadata_value v;
    struct arena a;
    group_stored_arena(&a, value.n > key.n ? value : key);
    enum rc rc = group_stored_decode(&group_metadata_key_message, key, &a, &k, NULL);
    if (rc != RC_OK || !value.p) {
        arena_deinit(&a);
        return rc != RC_OK ? rc : apply_tombstone(g, k.group);
    }
    uint8_t *copy = malloc(value.n + 1);
    struct bytes stored = bytes_of(copy, value.n);
    rc = copy ? RC_OK : RC_NOMEM;
    if (copy) {
        memcpy(copy, value.p, value.n);
        rc = group_stored_decode(&group_metadata_value_message, stored, &a, &v, NULL);
    }
    if (rc == RC_OK && !value_good(&v))
        rc = RC_MALFORMED;
    if (rc == RC_OK)
        rc = apply_group(g, k.group, stored, &v);
    else
        free(copy);
    arena_deinit(&a);
    return rc;
}
