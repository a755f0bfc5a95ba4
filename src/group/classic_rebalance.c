// SPDX-License-Identifier: Apache-2.0
//
// The moves of a classic group: rebalance begun, join phase over, assignment decided, group emptied; and the deadlines
// that force them. Follows Kafka's coordinator case by case (KIP-62, 134, 345, 394, 814).
#include "group/classic.h"
#include "model/kerr.h"

#include <stdio.h>
#include <stdlib.h>

// Never now: a group whose members ask for no time at all must not turn in circles inside one tick.
static uint64_t after_ms(const struct groups *g, int64_t ms)
{
    return g->now.now_ns + (uint64_t)(ms > 0 ? ms : 1) * 1000000;
}

static void deadline_at(struct group *gr, uint64_t at_ns)
{
    group_deadline_set(gr->groups, &gr->classic->rebalance, at_ns, classic_rebalance_fire);
}

// The longest of all members.
static int32_t classic_rebalance_ms(const struct classic_group *cl)
{
    int32_t longest = 0;
    for (const struct classic_member *m = classic_next(cl, NULL); m; m = classic_next(cl, m))
        if (!m->pending && m->rebalance_ms > longest)
            longest = m->rebalance_ms;
    return longest;
}

static bool classic_all_joined(const struct classic_group *cl)
{
    return cl->awaiting_join_count == cl->member_count && cl->pending_count == 0;
}

// Nobody waits for an assignment any more.
static void reset_syncs(struct group *gr, enum rc rc)
{
    struct classic_group *cl = gr->classic;
    for (struct classic_member *m = classic_next(cl, NULL); m; m = classic_next(cl, m)) {
        m->assignment = bytes_of(NULL, 0);
        struct group_call *call = classic_unpark(&m->sync);
        if (call)
            group_answer_error(gr->groups, call, rc, NULL);
        if (m->awaiting_sync)
            classic_touch(m);
        m->awaiting_sync = false;
    }
}

// ------------------------------------------------------------------------------------------------ emptied

static void become_empty(struct group *gr)
{
    struct classic_group *cl = gr->classic;
    struct bytes none = bytes_of(NULL, 0);
    cl->state = CLASSIC_EMPTY;
    cl->from_empty = cl->initial = false;
    gr->empty_since_ms = gr->groups->now.wall_ms;
    classic_set_text(&cl->protocol, &cl->protocol_bytes, none);
}

static void empty_applied(struct group_append *a, enum rc rc)
{
    struct group *gr = a->group;
    if (rc == RC_OK || gr->type != GROUP_CLASSIC)
        return; // classic_apply() has done it
    // The last generation stays in the log; should it be loaded, its members run into their session timeouts.
    trace_warn(gr->groups->host.trace, "group coordinator: could not store that a group is empty: %s", rc_text(rc));
    become_empty(gr);
}

// The last member is gone. A group that never got as far as the log leaves nothing behind.
static void decide_empty(struct group *gr)
{
    struct classic_group *cl = gr->classic;
    struct group_append *a = cl->stored.p && group_may_decide(gr) ? group_decision_begin(gr, true) : NULL;
    if (a) {
        classic_add_record(a, gr, NULL, NULL);
        if (group_decision_submit(a, empty_applied, NULL) == RC_OK)
            return;
    }
    become_empty(gr);
}

// ------------------------------------------------------------------------------------------------ join phase

void classic_rebalance_or_complete(struct group *gr, const char *reason)
{
    if (gr->classic->state != CLASSIC_PREPARING)
        classic_prepare(gr, reason);
    else
        classic_complete_if_joined(gr);
}

static void complete_join(struct group *gr);

void classic_prepare(struct group *gr, const char *reason)
{
    struct groups *g = gr->groups;
    struct classic_group *cl = gr->classic;
    ASSERT(cl->state != CLASSIC_PREPARING);
    if (cl->state == CLASSIC_COMPLETING)
        reset_syncs(gr, RC_REBALANCE_IN_PROGRESS);
    for (struct classic_member *m = classic_next(cl, NULL); m; m = classic_next(cl, m))
        classic_set_sync_due(m, false);
    cl->from_empty = cl->initial = cl->state == CLASSIC_EMPTY;
    cl->member_added = false;
    cl->state = CLASSIC_PREPARING;
    group_event(gr, cl->generation, "rebalance: %s", reason);
    g->rebalances++;
    if (cl->initial) {
        // Members of an application that starts come one by one: wait for more of them (KIP-134).
        cl->initial_delay_ms = g->config.initial_rebalance_delay_ms;
        int32_t left = classic_rebalance_ms(cl) - cl->initial_delay_ms;
        cl->initial_left_ms = left > 0 ? left : 0;
        deadline_at(gr, after_ms(g, cl->initial_delay_ms));
    } else if (classic_all_joined(cl)) {
        complete_join(gr);
    } else {
        deadline_at(gr, after_ms(g, classic_rebalance_ms(cl)));
    }
}

void classic_complete_if_joined(struct group *gr)
{
    struct classic_group *cl = gr->classic;
    if (cl->state == CLASSIC_PREPARING && !cl->from_empty && classic_all_joined(cl))
        complete_join(gr);
}

// A member is out of the group already.
static void classic_member_gone(struct group *gr, const char *reason)
{
    struct classic_group *cl = gr->classic;
    if (cl->state == CLASSIC_STABLE || cl->state == CLASSIC_COMPLETING)
        classic_prepare(gr, reason);
    else if (cl->state == CLASSIC_PREPARING && classic_all_joined(cl))
        complete_join(gr);
}

// Dynamic members that did not come again in time are out.
static void remove_late(struct group *gr)
{
    struct classic_group *cl = gr->classic;
    uint32_t removed = 0;
    char who[100] = "";
    for (struct classic_member *m = classic_next(cl, NULL), *next; m; m = next) {
        next = classic_next(cl, m);
        if (m->pending || m->awaiting_join || m->is_static)
            continue;
        if (removed++ == 0)
            snprintf(who, sizeof(who), "%.*s", m->id_bytes, m->text);
        classic_member_remove(m, RC_UNKNOWN_MEMBER_ID);
    }
    if (removed)
        group_event(gr, cl->generation, "removed %u member(s) that did not rejoin in time: %s%s", removed, who,
                    removed > 1 ? ", ..." : "");
}

// The leader stays if it joined; else another one that did. False: nobody joined.
static bool elect_leader(struct classic_group *cl)
{
    if (cl->leader && cl->leader->awaiting_join)
        return true;
    for (struct classic_member *m = classic_next(cl, NULL); m; m = classic_next(cl, m)) {
        if (!m->pending && m->awaiting_join) {
            cl->leader = m;
            return true;
        }
    }
    return false;
}

static int32_t next_generation(const struct classic_group *cl)
{
    return cl->generation < INT32_MAX ? cl->generation + 1 : 1;
}

// Everybody who joined hears of the new generation; the leader of all members, too.
static void begin_generation(struct group *gr)
{
    struct groups *g = gr->groups;
    struct classic_group *cl = gr->classic;
    cl->generation = next_generation(cl);
    cl->state = CLASSIC_COMPLETING;
    char id[100], protocol[60];
    trace_info(g->host.trace, "group '%s' generation %d: %u member(s), protocol %s",
               trace_quote(id, sizeof(id), group_id(gr)), cl->generation, cl->member_count,
               trace_quote(protocol, sizeof(protocol), classic_protocol_name(cl)));
    for (struct classic_member *m = classic_next(cl, NULL); m; m = classic_next(cl, m)) {
        if (m->pending)
            continue;
        struct group_call *call = classic_unpark(&m->join);
        m->assignment = bytes_of(NULL, 0);
        m->is_new = false;
        classic_set_awaiting_join(m, false);
        classic_set_sync_due(m, true);
        classic_touch(m);
        if (call)
            classic_answer_join_call(m, call, m == cl->leader, false);
    }
    deadline_at(gr, after_ms(g, classic_rebalance_ms(cl)));
}

static void complete_join(struct group *gr)
{
    struct groups *g = gr->groups;
    struct classic_group *cl = gr->classic;
    ASSERT(cl->state == CLASSIC_PREPARING && !gr->deciding);
    deadline_at(gr, GROUP_NEVER);
    cl->initial = false;
    remove_late(gr);
    if (cl->member_count == 0) {
        cl->generation = next_generation(cl);
        decide_empty(gr);
        return;
    }
    if (!elect_leader(cl)) {
        // Only static members, and none of them came: their sessions decide.
        deadline_at(gr, after_ms(g, classic_rebalance_ms(cl)));
        return;
    }
    if (!classic_set_text(&cl->protocol, &cl->protocol_bytes, classic_select(cl, NULL, NULL))) {
        deadline_at(gr, g->now.now_ns + GROUP_RETRY_NS);
        return;
    }
    begin_generation(gr);
}

// The initial delay is over: once more, if somebody came meanwhile, up to the rebalance timeout.
static void initial_over(struct group *gr)
{
    struct groups *g = gr->groups;
    struct classic_group *cl = gr->classic;
    if (!cl->member_added || cl->initial_left_ms == 0) {
        complete_join(gr);
        return;
    }
    cl->member_added = false;
    int32_t delay = g->config.initial_rebalance_delay_ms;
    if (delay > cl->initial_left_ms)
        delay = cl->initial_left_ms;
    int32_t left = cl->initial_left_ms - cl->initial_delay_ms;
    cl->initial_left_ms = left > 0 ? left : 0;
    cl->initial_delay_ms = delay;
    deadline_at(gr, after_ms(g, delay));
}

// ------------------------------------------------------------------------------------------------ sync phase

void classic_sync_end_if_all(struct classic_group *cl, struct groups *g)
{
    if (cl->sync_due_count == 0 && cl->state != CLASSIC_PREPARING)
        group_deadline_set(g, &cl->rebalance, GROUP_NEVER, classic_rebalance_fire);
}

// Members that joined and never fetched their assignment are out.
static void sync_over(struct group *gr)
{
    struct classic_group *cl = gr->classic;
    uint32_t removed = 0;
    char reason[180] = "";
    for (struct classic_member *m = classic_next(cl, NULL), *next; m; m = next) {
        next = classic_next(cl, m);
        if (m->pending || !m->sync_due)
            continue;
        if (removed++ == 0)
            snprintf(reason, sizeof(reason), "member %.*s sent no SyncGroup within the rebalance timeout",
                     m->id_bytes < 100 ? m->id_bytes : 100, m->text);
        classic_member_remove(m, RC_UNKNOWN_MEMBER_ID);
    }
    if (removed)
        classic_prepare(gr, reason);
}

void classic_rebalance_fire(struct groups *g, struct group_deadline *d)
{
    struct group *gr = container_of(d, struct classic_group, rebalance)->owner;
    if (!group_may_decide(gr)) {
        deadline_at(gr, g->now.now_ns + GROUP_RETRY_NS);
        return;
    }
    if (gr->classic->state == CLASSIC_PREPARING) {
        if (gr->classic->initial)
            initial_over(gr);
        else
            complete_join(gr);
    } else if (gr->classic->state != CLASSIC_EMPTY) {
        sync_over(gr);
    }
    group_drop_if_unused(gr);
}

static void assignment_failed(struct group *gr, const struct classic_member *leader, enum rc rc)
{
    char reason[200];
    enum rc told = group_append_error(GROUP_SYNC, rc);
    snprintf(reason, sizeof(reason), "error %s when storing the group assignment during SyncGroup (member: %.*s)",
             kerr_name(kerr_of(told)), leader ? (leader->id_bytes < 90 ? leader->id_bytes : 90) : 0,
             leader ? leader->text : "");
    reset_syncs(gr, told);
    classic_prepare(gr, reason);
}

// Committed: everybody who asked gets a share. Not: everybody hears why, and joins again.
static void assignment_applied(struct group_append *a, enum rc rc)
{
    struct group *gr = a->group;
    if (gr->type != GROUP_CLASSIC)
        return;
    struct classic_group *cl = gr->classic;
    if (rc != RC_OK) {
        group_decision_answer(a, rc);
        if (cl->state == CLASSIC_COMPLETING)
            assignment_failed(gr, cl->leader, rc);
        return;
    }
    ASSERT(cl->state == CLASSIC_STABLE);
    for (struct list_node *n; (n = list_first(&a->calls)) != NULL;) {
        struct group_call *call = list_entry(n, struct group_call, link);
        const struct sync_group_request *in = call->request;
        struct classic_member *m = classic_find(cl, in->member_id);
        group_decision_release(a, call);
        if (m)
            classic_answer_sync(m, call);
        else
            group_answer_error(gr->groups, call, RC_UNKNOWN_MEMBER_ID, NULL);
    }
    for (struct classic_member *m = classic_next(cl, NULL); m; m = classic_next(cl, m)) {
        if (m->awaiting_sync)
            classic_touch(m);
        m->awaiting_sync = false;
    }
}

void classic_decide_assignment(struct group *gr, struct classic_member *leader, const struct sync_group_request *in)
{
    struct classic_group *cl = gr->classic;
    ASSERT(cl->state == CLASSIC_COMPLETING && leader == cl->leader);
    struct group_append *a = group_decision_begin(gr, true);
    if (!a) {
        assignment_failed(gr, leader, RC_NOMEM);
        return;
    }
    for (uint32_t i = 0; i < in->assignments_count; i++) {
        struct classic_member *m = classic_find(cl, in->assignments[i].member_id);
        if (m && !m->pending)
            m->assignment = in->assignments[i].assignment; // until the record is made
    }
    classic_add_record(a, gr, NULL, NULL);
    for (struct classic_member *m = classic_next(cl, NULL); m; m = classic_next(cl, m))
        m->assignment = bytes_of(NULL, 0);
    enum rc rc = group_decision_submit(a, assignment_applied, NULL);
    if (rc != RC_OK) {
        assignment_failed(gr, leader, rc);
        return;
    }
    for (struct classic_member *m = classic_next(cl, NULL); m; m = classic_next(cl, m)) {
        struct group_call *call = classic_unpark(&m->sync);
        if (call)
            group_decision_attach(a, call);
    }
}

enum rc classic_decide_replace(struct group *gr, struct classic_member *old, struct classic_member *m,
                               void (*applied)(struct group_append *a, enum rc rc))
{
    struct group_append *a = group_decision_begin(gr, true);
    if (!a)
        return RC_NOMEM;
    ASSERT(!gr->classic->incoming);
    classic_add_record(a, gr, old, m);
    enum rc rc = group_decision_submit(a, applied, NULL);
    if (rc == RC_OK)
        gr->classic->incoming = m;
    return rc;
}

// ------------------------------------------------------------------------------------------------ sessions

// A parked join or sync keeps a member alive, but for its first join: clients that gave up must not stay for good.
static bool alive(const struct classic_member *m)
{
    return !m->is_new && (m->awaiting_join || m->awaiting_sync);
}

void classic_session_fire(struct groups *g, struct group_deadline *d)
{
    struct classic_member *m = container_of(d, struct classic_member, session);
    struct group *gr = m->group;
    struct classic_group *cl = gr->classic;
    if (!group_may_decide(gr)) {
        group_deadline_set(g, d, g->now.now_ns + GROUP_RETRY_NS, classic_session_fire);
        return;
    }
    if (alive(m))
        return; // the end of what it waits for begins its session anew
    char reason[180];
    snprintf(reason, sizeof(reason), "member %.*s failed: no heartbeat within its session timeout of %d ms",
             m->id_bytes < 90 ? m->id_bytes : 90, m->text, m->session_ms);
    bool pending = m->pending;
    classic_member_remove(m, RC_UNKNOWN_MEMBER_ID);
    if (!pending)
        classic_member_gone(gr, reason);
    else if (cl->state == CLASSIC_PREPARING && classic_all_joined(cl))
        complete_join(gr);
    group_drop_if_unused(gr);
}
