// SPDX-License-Identifier: Apache-2.0
//
// Members that go: by their own word, because their session ended, or because they did not revoke in time.
#include "group/consumer.h"

#include <stdio.h>

void consumer_timeouts(const struct group *gr, int32_t *session_ms, int32_t *heartbeat_ms)
{
    const struct groups *g = gr->groups;
    *session_ms = g->config.consumer_session_timeout_ms;
    *heartbeat_ms = g->config.consumer_heartbeat_interval_ms;
    if (g->host.group_config)
        g->host.group_config(g->host.context, group_id(gr), session_ms, heartbeat_ms);
}

static uint64_t after_ms(const struct groups *g, int32_t ms)
{
    return g->now.now_ns + (uint64_t)(ms < 0 ? 0 : ms) * 1000000;
}

void consumer_touch(struct groups *g, struct consumer_member *m)
{
    int32_t session_ms, heartbeat_ms;
    consumer_timeouts(m->gr, &session_ms, &heartbeat_ms);
    if (consumer_is_classic(m))
        session_ms = m->sub->classic_member_metadata->session_timeout_ms;
    group_deadline_set(g, &m->session, group_session_end(g, session_ms), consumer_session_fire);
}

void consumer_arm_rebalance(struct groups *g, struct consumer_member *m)
{
    bool revoking = m->current && m->current->state == CONSUMER_UNREVOKED && !consumer_is_classic(m);
    group_deadline_set(g, &m->rebalance, revoking ? after_ms(g, m->sub->rebalance_timeout_ms) : GROUP_NEVER,
                       consumer_rebalance_fire);
}

// ------------------------------------------------------------------------------------------------ members that go

static void clear_marks(struct consumer_group *cg)
{
    for (struct consumer_member *m = consumer_member_first(cg); m; m = consumer_member_next(cg, m))
        m->mark = 0;
}

static enum rc remove_marked(struct consumer_plan *p, struct group_call *call)
{
    for (struct consumer_member *m = consumer_member_first(p->cg); m; m = consumer_member_next(p->cg, m)) {
        if (m->mark == PLAN_GONE)
            plan_add_gone(p, m);
    }
    plan_drop_regexes(p);
    if (!plan_topics(p, true) || !plan_decision(p))
        return RC_NOMEM;
    if (call)
        group_decision_attach(p->decision, call);
    return plan_submit(p);
}

enum rc consumer_remove(struct groups *g, struct group *gr, struct group_call *call, const char *why)
{
    struct consumer_group *cg = gr->consumer;
    struct consumer_plan p;
    uint32_t count = 0;
    char text[160] = "", id[64];
    for (struct consumer_member *m = consumer_member_first(cg); m; m = consumer_member_next(cg, m)) {
        if (m->mark == PLAN_GONE && count++ == 0)
            snprintf(text, sizeof(text), "%s", trace_quote(id, sizeof(id), consumer_member_id(m)));
    }
    ASSERT(count > 0);
    (void)g;
    plan_begin(&p, gr);
    enum rc rc = remove_marked(&p, call);
    if (rc == RC_OK && count == 1)
        group_event(gr, p.epoch, "member %s %s: rebalance", text, why);
    else if (rc == RC_OK)
        group_event(gr, p.epoch, "%u members, %s among them, %s: rebalance", count, text, why);
    plan_end(&p);
    clear_marks(cg);
    return rc;
}

// ------------------------------------------------------------------------------------------------ by their own word

// A static member that stops and means to come back keeps its partitions until its session ends.
static enum rc leave_static(struct group *gr, struct consumer_member *m, struct group_call *call)
{
    struct consumer_plan p;
    plan_begin(&p, gr);
    struct consumer_current now = consumer_current_of(m);
    now.previous_epoch = now.epoch;
    now.epoch = CONSUMER_EPOCH_LEAVE_STATIC;
    now.revoking = (struct partition_set){0};
    plan_add_current(&p, consumer_member_id(m), &now);
    enum rc rc = RC_NOMEM;
    if (!p.failed) {
        group_decision_attach(p.decision, call);
        rc = plan_submit(&p);
    }
    plan_end(&p);
    return rc;
}

static struct consumer_member *leaving(struct groups *g, const struct consumer_group *cg, struct group_call *call)
{
    const struct consumer_group_heartbeat_request *in = call->request;
    char id[128], instance[128], other[128];
    trace_quote(id, sizeof(id), in->member_id);
    struct consumer_member *m =
        in->instance_id.p ? consumer_instance_find(cg, in->instance_id) : consumer_member_find(cg, in->member_id);
    if (in->instance_id.p)
        trace_quote(instance, sizeof(instance), in->instance_id);
    if (!m && in->instance_id.p)
        consumer_refuse(g, call, RC_UNKNOWN_MEMBER_ID, "Instance id %s is unknown.", instance);
    else if (!m)
        consumer_refuse(g, call, RC_UNKNOWN_MEMBER_ID, "Member %s is not a member of group %s.", id,
                        trace_quote(other, sizeof(other), call->group_id));
    else if (in->instance_id.p && !bytes_eq(consumer_member_id(m), in->member_id))
        consumer_refuse(g, call, RC_FENCED_INSTANCE_ID,
                        "Static member %s with instance id %s was fenced by member %s.", id, instance,
                        trace_quote(other, sizeof(other), consumer_member_id(m)));
    else
        return m;
    return NULL;
}

void consumer_leave(struct groups *g, struct group *gr, struct group_call *call)
{
    const struct consumer_group_heartbeat_request *in = call->request;
    char id[128];
    if (!gr || gr->type != GROUP_CONSUMER) {
        bool other = gr && gr->type == GROUP_CLASSIC;
        trace_quote(id, sizeof(id), call->group_id);
        if (other)
            consumer_refuse(g, call, RC_GROUP_ID_NOT_FOUND, "Group %s is not a consumer group.", id);
        else
            consumer_refuse(g, call, RC_GROUP_ID_NOT_FOUND, "Consumer group %s not found.", id);
        return;
    }
    struct consumer_member *m = leaving(g, gr->consumer, call);
    struct consumer_group_heartbeat_response *out = m ? group_answer_new(g, call) : NULL;
    if (!out)
        return;
    out->member_id = group_answer_copy(call, in->member_id);
    out->member_epoch = in->member_epoch;
    enum rc rc;
    if (in->member_epoch == CONSUMER_EPOCH_LEAVE_STATIC) {
        rc = leave_static(gr, m, call);
    } else {
        m->mark = PLAN_GONE;
        rc = consumer_remove(g, gr, call, "left");
    }
    if (rc != RC_OK)
        group_answer_error(g, call, group_append_error(call->kind, rc), NULL);
}

// ------------------------------------------------------------------------------------------------ out of time

static struct group_deadline *deadline_of(struct consumer_member *m, enum consumer_due kind)
{
    switch (kind) {
    case CONSUMER_DUE_SESSION:
        return &m->session;
    case CONSUMER_DUE_REBALANCE:
        return &m->rebalance;
    case CONSUMER_DUE_JOIN:
        return &m->join;
    }
    UNREACHABLE();
}

static struct group *group_of(struct group_deadline *d, enum consumer_due kind)
{
    switch (kind) {
    case CONSUMER_DUE_SESSION:
        return container_of(d, struct consumer_member, session)->gr;
    case CONSUMER_DUE_REBALANCE:
        return container_of(d, struct consumer_member, rebalance)->gr;
    case CONSUMER_DUE_JOIN:
        return container_of(d, struct consumer_member, join)->gr;
    }
    UNREACHABLE();
}

// While the log is silent nobody's heartbeat is heard: afterwards everyone has time for one.
static uint64_t after_silence(const struct groups *g, const struct group *gr)
{
    int32_t session_ms, heartbeat_ms;
    consumer_timeouts(gr, &session_ms, &heartbeat_ms);
    return gr->deciding && gr->deciding->told ? after_ms(g, heartbeat_ms) : g->now.now_ns + GROUP_RETRY_NS;
}

// All that are due go in one decision: when a machine with many members dies, that is one rebalance.
void consumer_due_fire(struct groups *g, struct group_deadline *d, enum consumer_due kind)
{
    static const char *const why[] = {
        [CONSUMER_DUE_SESSION] = "sent no heartbeat within its session timeout",
        [CONSUMER_DUE_REBALANCE] = "did not revoke its partitions within its rebalance timeout",
        [CONSUMER_DUE_JOIN] = "did not join or sync within its rebalance timeout",
    };
    struct group *gr = group_of(d, kind);
    if (!group_may_decide(gr)) {
        group_deadline_set(g, d, after_silence(g, gr), d->fire);
        return;
    }
    const struct consumer_group *cg = gr->consumer;
    for (struct consumer_member *m = consumer_member_first(cg); m; m = consumer_member_next(cg, m)) {
        const struct group_deadline *own = deadline_of(m, kind);
        m->mark = own == d || own->node.key <= g->now.now_ns ? PLAN_GONE : 0;
    }
    if (consumer_remove(g, gr, NULL, why[kind]) != RC_OK)
        group_deadline_set(g, d, g->now.now_ns + GROUP_RETRY_NS, d->fire);
}

void consumer_session_fire(struct groups *g, struct group_deadline *d)
{
    consumer_due_fire(g, d, CONSUMER_DUE_SESSION);
}

void consumer_rebalance_fire(struct groups *g, struct group_deadline *d)
{
    consumer_due_fire(g, d, CONSUMER_DUE_REBALANCE);
}
