// SPDX-License-Identifier: Apache-2.0
//
// JoinGroup and SyncGroup calls of a classic group that wait for others, and what they are answered with.
#include "group/classic.h"

struct group_call *classic_unpark(struct group_call **slot)
{
    struct group_call *call = *slot;
    *slot = NULL;
    if (call) {
        ASSERT(call->stage == GROUP_CALL_PARKED);
        call->stage = GROUP_CALL_IDLE;
        call->waiting = NULL;
        call->group = NULL;
    }
    return call;
}

static void park(struct classic_member *m, struct group_call **slot, struct group_call *call)
{
    ASSERT(call->stage == GROUP_CALL_IDLE);
    struct group_call *before = classic_unpark(slot);
    if (before) // the same member again, over another connection
        group_answer_error(m->group->groups, before, RC_REBALANCE_IN_PROGRESS, NULL);
    call->stage = GROUP_CALL_PARKED;
    call->waiting = m;
    call->group = m->group;
    *slot = call;
}

void classic_park_join(struct classic_member *m, struct group_call *call)
{
    park(m, &m->join, call);
    classic_set_awaiting_join(m, true);
}

void classic_park_sync(struct classic_member *m, struct group_call *call)
{
    park(m, &m->sync, call);
    m->awaiting_sync = true;
}

static bool fill_members(const struct classic_group *cl, struct group_call *call, struct join_group_response *out)
{
    out->members = group_answer_alloc(call, cl->member_count, sizeof(*out->members));
    if (!out->members)
        return false;
    for (const struct classic_member *m = classic_next(cl, NULL); m; m = classic_next(cl, m)) {
        if (m->pending)
            continue;
        const struct classic_protocol *p = classic_protocols_find(m->protocols, classic_protocol_name(cl));
        struct join_group_response_member *o = &out->members[out->members_count++];
        *o = (struct join_group_response_member){
            .member_id = group_answer_copy(call, classic_member_id(m)),
            .group_instance_id = group_answer_copy(call, classic_instance_id(m)),
            .metadata = group_answer_copy(call, p ? p->metadata : bytes_str(""))};
        if (!o->member_id.p || !o->metadata.p)
            return false;
    }
    return true;
}

void classic_answer_join_call(struct classic_member *m, struct group_call *call, bool with_members,
                              bool skip_assignment)
{
    struct groups *g = m->group->groups;
    const struct classic_group *cl = m->group->classic;
    struct join_group_response *out = group_answer_new(g, call);
    if (!out)
        return;
    out->generation_id = cl->generation;
    out->protocol_type = group_answer_copy(call, bytes_of(cl->protocol_type, cl->protocol_type_bytes));
    out->protocol_name = group_answer_copy(call, classic_protocol_name(cl));
    out->leader = group_answer_copy(call, cl->leader ? classic_member_id(cl->leader) : bytes_str(""));
    out->member_id = group_answer_copy(call, classic_member_id(m));
    out->skip_assignment = skip_assignment;
    bool complete = out->leader.p && out->member_id.p && (!cl->protocol || out->protocol_name.p);
    if (with_members)
        complete = complete && fill_members(cl, call, out);
    group_answer_if(g, call, complete);
}

void classic_answer_sync(struct classic_member *m, struct group_call *call)
{
    struct groups *g = m->group->groups;
    const struct classic_group *cl = m->group->classic;
    struct sync_group_response *out = group_answer_new(g, call);
    if (!out)
        return;
    out->protocol_type = group_answer_copy(call, bytes_of(cl->protocol_type, cl->protocol_type_bytes));
    out->protocol_name = group_answer_copy(call, classic_protocol_name(cl));
    out->assignment = m->assignment.p ? group_answer_copy(call, m->assignment) : bytes_str("");
    group_answer_if(g, call, out->assignment.p && (!cl->protocol || out->protocol_name.p));
}
