// SPDX-License-Identifier: Apache-2.0
//
// Calls of the classic protocol but JoinGroup, and what the rest of the room asks about a classic group.
#include "group/classic.h"
#include "model/kerr.h"

#include <stdio.h>

enum rc classic_validate(const struct classic_group *cl, struct bytes member_id, struct bytes instance)
{
    const struct classic_member *m = classic_find(cl, member_id);
    bool member = m && !m->pending;
    if (!instance.p || (member && m->is_static && bytes_eq(classic_instance_id(m), instance)))
        return member ? RC_OK : RC_UNKNOWN_MEMBER_ID;
    return classic_find_instance(cl, instance) ? RC_FENCED_INSTANCE_ID : RC_UNKNOWN_MEMBER_ID;
}

// ------------------------------------------------------------------------------------------------ sync

static bool other(struct bytes said, struct bytes is)
{
    return said.p && !bytes_eq(said, is);
}

static enum rc sync_allowed(const struct classic_group *cl, const struct sync_group_request *in)
{
    enum rc rc = classic_validate(cl, in->member_id, in->group_instance_id);
    if (rc != RC_OK)
        return rc;
    if (in->generation_id != cl->generation)
        return RC_ILLEGAL_GENERATION;
    if (other(in->protocol_type, bytes_of(cl->protocol_type, cl->protocol_type_bytes)) ||
        other(in->protocol_name, classic_protocol_name(cl)))
        return RC_INCONSISTENT_GROUP_PROTOCOL;
    return cl->state == CLASSIC_PREPARING ? RC_REBALANCE_IN_PROGRESS : RC_OK;
}

static void sync_call(struct groups *g, struct group *gr, struct group_call *call)
{
    const struct sync_group_request *in = call->request;
    struct classic_group *cl = gr && gr->type == GROUP_CLASSIC ? gr->classic : NULL;
    enum rc rc = cl && cl->state != CLASSIC_EMPTY ? sync_allowed(cl, in) : RC_UNKNOWN_MEMBER_ID;
    if (rc != RC_OK) {
        group_answer_error(g, call, rc, NULL);
        return;
    }
    struct classic_member *m = classic_find(cl, in->member_id);
    classic_touch(m);
    classic_set_sync_due(m, false);
    classic_sync_end_if_all(cl, g);
    if (cl->state == CLASSIC_STABLE) {
        classic_answer_sync(m, call);
        return;
    }
    ASSERT(cl->state == CLASSIC_COMPLETING);
    classic_park_sync(m, call);
    if (m == cl->leader)
        classic_decide_assignment(gr, m, in);
}

// ------------------------------------------------------------------------------------------------ heartbeat

static enum rc heartbeat_verdict(struct classic_group *cl, const struct heartbeat_request *in)
{
    enum rc rc = classic_validate(cl, in->member_id, in->group_instance_id);
    if (rc != RC_OK)
        return rc;
    if (in->generation_id != cl->generation)
        return RC_ILLEGAL_GENERATION;
    classic_touch(classic_find(cl, in->member_id));
    return cl->state == CLASSIC_PREPARING ? RC_REBALANCE_IN_PROGRESS : RC_OK;
}

static void heartbeat_call(struct groups *g, struct group *gr, struct group_call *call)
{
    struct classic_group *cl = gr && gr->type == GROUP_CLASSIC ? gr->classic : NULL;
    enum rc rc = cl ? heartbeat_verdict(cl, call->request) : RC_UNKNOWN_MEMBER_ID;
    struct heartbeat_response *out = group_answer_new(g, call);
    if (!out)
        return;
    out->error_code = kerr_of(rc);
    group_answer(g, call);
}

// ------------------------------------------------------------------------------------------------ leave

struct leaving {
    uint32_t count;
    char who[160]; // the first of them, and why
};

static void leave_note(struct leaving *l, const struct classic_member *m, struct bytes reason)
{
    struct bytes why = reason.n ? reason : bytes_str("not provided");
    if (l->count++ == 0)
        snprintf(l->who, sizeof(l->who), "member %.*s left (client reason: %.*s)", m->id_bytes < 70 ? m->id_bytes : 70,
                 m->text, why.n < 60 ? (int)why.n : 60, (const char *)why.p);
}

// One member, by id, or by instance alone (an administrator's removal). Code of the answer.
static enum rc leave_one(struct classic_group *cl, struct bytes id, struct bytes instance, struct bytes reason,
                         struct leaving *l)
{
    struct classic_member *m = id.n ? classic_find(cl, id) : instance.p ? classic_find_instance(cl, instance) : NULL;
    if (!m)
        return id.n ? classic_validate(cl, id, instance) : RC_UNKNOWN_MEMBER_ID;
    enum rc rc = m->pending || id.n == 0 ? RC_OK : classic_validate(cl, id, instance);
    if (rc != RC_OK)
        return rc;
    leave_note(l, m, reason);
    classic_member_remove(m, RC_UNKNOWN_MEMBER_ID);
    return RC_OK;
}

static bool leave_members(struct classic_group *cl, struct group_call *call, struct leave_group_response *out,
                          struct leaving *l)
{
    const struct leave_group_request *in = call->request;
    if (call->version < 3) {
        out->error_code = kerr_of(leave_one(cl, in->member_id, bytes_of(NULL, 0), bytes_of(NULL, 0), l));
        return true;
    }
    out->members = group_answer_alloc(call, in->members_count, sizeof(*out->members));
    for (uint32_t i = 0; out->members && i < in->members_count; i++) {
        const struct leave_group_request_member *m = &in->members[i];
        // Copies first: then nothing can fail once a member is gone.
        out->members[i].member_id = m->member_id.n ? group_answer_copy(call, m->member_id) : bytes_str("");
        out->members[i].group_instance_id = group_answer_copy(call, m->group_instance_id);
        if (!out->members[i].member_id.p)
            return false;
        out->members[i].error_code = kerr_of(leave_one(cl, m->member_id, m->group_instance_id, m->reason, l));
        out->members_count++;
    }
    return out->members != NULL;
}

static void leave_call(struct groups *g, struct group *gr, struct group_call *call)
{
    if (!gr || gr->type != GROUP_CLASSIC) {
        group_answer_error(g, call, RC_UNKNOWN_MEMBER_ID, NULL);
        return;
    }
    struct leave_group_response *out = group_answer_new(g, call);
    if (!out)
        return;
    struct leaving l = {0};
    struct classic_group *cl = gr->classic;
    bool complete = leave_members(cl, call, out, &l);
    if (l.count > 1) {
        size_t n = strlen(l.who);
        snprintf(l.who + n, sizeof(l.who) - n, " and %u more", l.count - 1);
    }
    if (l.count && cl->state == CLASSIC_PREPARING)
        classic_complete_if_joined(gr);
    else if (l.count && cl->state != CLASSIC_EMPTY)
        classic_prepare(gr, l.who);
    if (gr->deciding && complete) // the group is empty now: say so when the log does
        group_decision_attach(gr->deciding, call);
    else
        group_answer_if(g, call, complete);
    group_drop_if_unused(gr);
}

void classic_call(struct groups *g, struct group *gr, struct group_call *call)
{
    if (call->kind == GROUP_JOIN)
        classic_join(g, gr, call);
    else if (call->kind == GROUP_SYNC)
        sync_call(g, gr, call);
    else if (call->kind == GROUP_HEARTBEAT)
        heartbeat_call(g, gr, call);
    else
        leave_call(g, gr, call);
}

void classic_abandon(struct group_call *call)
{
    struct classic_member *m = call->waiting;
    ASSERT(m->join == call || m->sync == call);
    classic_unpark(m->join == call ? &m->join : &m->sync);
}

// ------------------------------------------------------------------------------------------------ commits

enum rc classic_commit_allowed(struct group *gr, const struct group_call *call, const struct offset_commit_request *in)
{
    struct classic_group *cl = gr->classic;
    int32_t generation = in->generation_id_or_member_epoch;
    (void)call;
    if (generation < 0 && cl->state == CLASSIC_EMPTY)
        return RC_OK; // from outside of the group, which has no members: an administrator, or a simple consumer
    if (generation < 0 && in->member_id.n == 0 && !in->group_instance_id.p)
        return RC_UNKNOWN_MEMBER_ID;
    enum rc rc = classic_validate(cl, in->member_id, in->group_instance_id);
    if (rc != RC_OK)
        return rc;
    if (generation != cl->generation)
        return RC_ILLEGAL_GENERATION;
    if (cl->state == CLASSIC_COMPLETING)
        return RC_REBALANCE_IN_PROGRESS;
    classic_touch(classic_find(cl, in->member_id));
    return RC_OK;
}

// ------------------------------------------------------------------------------------------------ what others ask

void classic_loaded(struct group *gr)
{
    struct classic_group *cl = gr->classic;
    for (struct classic_member *m = classic_next(cl, NULL); m; m = classic_next(cl, m))
        classic_touch(m);
    if (cl->member_count > (uint32_t)gr->groups->config.size_max)
        classic_prepare(gr, "the group was loaded with more members than group.max.size");
    else if (cl->leaderless)
        classic_prepare(gr, "the group was loaded on its way from the consumer to the classic protocol");
}

void classic_stop(struct group *gr, enum rc rc)
{
    struct classic_group *cl = gr->classic;
    for (struct classic_member *m = classic_next(cl, NULL); m; m = classic_next(cl, m)) {
        struct group_call *join = classic_unpark(&m->join), *sync = classic_unpark(&m->sync);
        if (join)
            group_answer_error(gr->groups, join, rc, NULL);
        if (sync)
            group_answer_error(gr->groups, sync, rc, NULL);
    }
}

uint32_t classic_member_count(const struct group *gr)
{
    return gr->classic->member_count;
}

bool classic_is_empty(const struct group *gr)
{
    return gr->classic->state == CLASSIC_EMPTY;
}

bool classic_unused(const struct group *gr)
{
    const struct classic_group *cl = gr->classic;
    return cl->state == CLASSIC_EMPTY && cl->pending_count == 0 && !cl->stored.p;
}

struct bytes classic_protocol_type(const struct group *gr)
{
    return bytes_of(gr->classic->protocol_type, gr->classic->protocol_type_bytes);
}

bool classic_is_consumer(const struct group *gr)
{
    return bytes_eq(classic_protocol_type(gr), bytes_str("consumer"));
}

// Is `topic` in the member's subscription to the group's protocol? False, *known false: it cannot be read.
static bool member_subscribes(const struct classic_group *cl, const struct classic_member *m, struct bytes topic,
                              bool *known)
{
    const struct classic_protocol *p = classic_protocols_find(m->protocols, classic_protocol_name(cl));
    struct classic_topics t;
    struct bytes name;
    if (!p || !classic_topics_begin(&t, p->metadata)) {
        *known = false;
        return false;
    }
    while (classic_topics_next(&t, &name))
        if (bytes_eq(name, topic))
            return true;
    *known = *known && !t.d.bad;
    return false;
}

// A group of consumers whose subscriptions cannot be read may be subscribed to anything.
bool classic_subscribes(const struct group *gr, struct bytes topic)
{
    const struct classic_group *cl = gr->classic;
    if (!classic_is_consumer(gr))
        return false;
    if (cl->member_count == 0)
        return false;
    bool known = cl->protocol != NULL;
    for (const struct classic_member *m = classic_next(cl, NULL); known && m; m = classic_next(cl, m))
        if (!m->pending && member_subscribes(cl, m, topic, &known))
            return true;
    return !known;
}

enum classic_expiry classic_expiry(const struct group *gr)
{
    if (!gr->classic->protocol_type)
        return CLASSIC_EXPIRY_COMMIT;
    if (gr->classic->state == CLASSIC_EMPTY)
        return CLASSIC_EXPIRY_EMPTY;
    if (gr->classic->state == CLASSIC_STABLE && classic_is_consumer(gr))
        return CLASSIC_EXPIRY_COMMIT;
    return CLASSIC_EXPIRY_NEVER;
}

const char *classic_state_name(const struct group *gr)
{
    static const char *const names[] = {"Empty", "PreparingRebalance", "CompletingRebalance", "Stable"};
    return names[gr->classic->state];
}

bool classic_describe(struct group *gr, struct group_call *call, struct describe_groups_response_group *out)
{
    const struct classic_group *cl = gr->classic;
    bool stable = cl->state == CLASSIC_STABLE;
    out->group_state = bytes_str(classic_state_name(gr));
    out->protocol_type = group_answer_copy(call, classic_protocol_type(gr));
    if (stable)
        out->protocol_data = group_answer_copy(call, classic_protocol_name(cl));
    out->members = group_answer_alloc(call, cl->member_count, sizeof(*out->members));
    for (const struct classic_member *m = classic_next(cl, NULL); m && out->members; m = classic_next(cl, m)) {
        if (m->pending)
            continue;
        const struct classic_protocol *p = classic_protocols_find(m->protocols, classic_protocol_name(cl));
        struct describe_groups_response_member *o = &out->members[out->members_count++];
        o->member_id = group_answer_copy(call, classic_member_id(m));
        o->group_instance_id = group_answer_copy(call, classic_instance_id(m));
        o->client_id = group_answer_copy(call, classic_client_id(m));
        o->client_host = group_answer_copy(call, classic_client_host(m));
        o->member_metadata = group_answer_copy(call, stable && p ? p->metadata : bytes_of(NULL, 0));
        o->member_assignment = group_answer_copy(call, stable ? m->assignment : bytes_of(NULL, 0));
        if (!o->member_id.p)
            return false;
    }
    return out->members != NULL;
}
