// SPDX-License-Identifier: Apache-2.0
//
// A group from one protocol to the other while it lives (group.consumer.migration.policy).
//
// Up: a member of the new protocol comes to a classic group of consumers. The group's last generation becomes an epoch,
// its members classic members of a new-protocol group; what they were assigned is what they hold. Then the newcomer's
// heartbeat is decided. Down: only classic members are left; what they hold becomes a generation that nobody leads, and
// they join again. Offsets stay as they are.
#include "group/classic.h"
#include "group/consumer.h"

#include <stdlib.h>

// ------------------------------------------------------------------------------------------------ up

static const char *why_not_up(const struct groups *g, const struct group *gr)
{
    if (!g->config.migrate_up)
        return "online upgrade is disabled.";
    if (!classic_is_consumer(gr))
        return "the group does not use the consumer embedded protocol.";
    if (classic_member_count(gr) > (uint32_t)g->config.consumer_size_max)
        return "the group size exceeds the consumer group maximum size.";
    return NULL;
}

static const char malformed[] = "the embedded consumer protocol is malformed.";
static const char custom[] = "an unsupported custom assignor is in use. Please refer to the documentation or switch to "
                             "a default assignor before re-attempting the upgrade.";

// Their user data is nothing but what the coordinator knows itself (librdkafka sends the sticky ones' back with each
// assignment), so it may be lost.
static bool assignor_is_ours(struct bytes name)
{
    static const char *const names[] = {"range", "roundrobin", "sticky", "cooperative-sticky"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (bytes_eq(name, bytes_str(names[i])))
            return true;
    }
    return false;
}

struct up {
    struct consumer_plan p;
    struct bytes protocol;
    struct partition_set taken; // by members before
    const char *why;
};

static consumer_sub *up_sub(struct up *u, const struct classic_member *m,
                            const struct consumer_protocol_subscription *s)
{
    struct arena *a = &u->p.arena;
    consumer_sub *sub = arena_alloc(a, sizeof(*sub));
    consumer_classic *c = arena_alloc(a, sizeof(*c));
    if (!sub || !c)
        return NULL;
    consumer_group_member_metadata_value_init(sub);
    c->session_timeout_ms = m->session_ms;
    c->supported_protocols = arena_array(a, m->protocols->count, sizeof(*c->supported_protocols));
    if (!c->supported_protocols || !plan_names(&u->p, s->topics, s->topics_count, sub))
        return NULL;
    for (; c->supported_protocols_count < m->protocols->count; c->supported_protocols_count++) {
        const struct classic_protocol *from = &m->protocols->at[c->supported_protocols_count];
        c->supported_protocols[c->supported_protocols_count].name = from->name;
        c->supported_protocols[c->supported_protocols_count].metadata = from->metadata;
    }
    sub->instance_id = classic_instance_id(m);
    sub->rack_id = s->rack_id;
    sub->client_id = classic_client_id(m);
    sub->client_host = classic_client_host(m);
    sub->rebalance_timeout_ms = m->rebalance_ms;
    sub->classic_member_metadata = c;
    return sub;
}

static bool up_member(struct up *u, const struct classic_member *m, int32_t epoch)
{
    struct arena *a = &u->p.arena;
    const struct classic_protocol *protocol = classic_protocols_find(m->protocols, u->protocol);
    struct consumer_protocol_subscription s;
    struct partition_set assigned, twice, own, taken;
    bool user_data;
    enum rc rc = protocol ? consumer_subscription_decode(protocol->metadata, a, &s) : RC_MALFORMED;
    if (rc == RC_OK)
        rc = consumer_assignment_decode(u->p.g, m->assignment, a, &assigned, &user_data);
    if (rc == RC_OK && user_data && !assignor_is_ours(u->protocol)) {
        u->why = custom;
        return false;
    }
    if (rc != RC_OK) {
        u->why = rc == RC_NOMEM ? NULL : malformed;
        return false;
    }
    // What an assignor of clients gave to two members, only the first one holds.
    consumer_sub *sub = up_sub(u, m, &s);
    if (!sub || !partition_set_split(&assigned, &u->taken, a, &twice, &own) ||
        !partition_set_join(&u->taken, &own, a, &taken))
        return false;
    u->taken = taken;
    struct consumer_current current = {
        .epoch = epoch, .previous_epoch = epoch, .state = CONSUMER_STABLE, .assigned = own};
    plan_add_member(&u->p, classic_member_id(m), sub);
    plan_add_target(&u->p, classic_member_id(m), &own);
    plan_add_current(&u->p, classic_member_id(m), &current);
    return !u->p.failed;
}

static bool up_records(struct up *u)
{
    const struct classic_group *cl = u->p.gr->classic;
    if (!plan_decision(&u->p))
        return false;
    classic_add_tombstones(u->p.decision, u->p.gr);
    plan_add_epoch(&u->p, cl->generation);
    for (const struct classic_member *m = classic_next(cl, NULL); m; m = classic_next(cl, m)) {
        if (!m->pending && !up_member(u, m, cl->generation))
            return false;
    }
    plan_add_assignment_epoch(&u->p, cl->generation);
    return !u->p.failed;
}

// The group is of the new protocol now: the heartbeat that made it so comes first.
static void up_applied(struct group_append *a, enum rc rc)
{
    if (rc != RC_OK)
        return;
    struct list_node *n = list_first(&a->calls);
    if (!n)
        return; // the caller is gone
    struct group_call *call = list_entry(n, struct group_call, link);
    group_decision_release(a, call);
    group_wait_first(a->group, call);
}

void consumer_upgrade(struct groups *g, struct group *gr, struct group_call *call)
{
    char id[128];
    struct up u = {.why = why_not_up(g, gr)};
    plan_begin(&u.p, gr);
    enum rc rc = RC_OK;
    if (!u.why) {
        u.protocol = classic_protocol_name(gr->classic);
        if (u.protocol.n == 0)
            u.protocol = classic_select(gr->classic, NULL, NULL);
        if (up_records(&u)) {
            if (!consumer_may_join_classic(g, gr, call)) {
                plan_end(&u.p);
                return;
            }
            group_decision_attach(u.p.decision, call);
            struct group_append *decision = u.p.decision;
            u.p.decision = NULL;
            int32_t generation = gr->classic->generation;
            rc = group_decision_submit(decision, up_applied, NULL);
            if (rc == RC_OK)
                group_event(gr, generation, "from the classic to the consumer protocol: a member of it joins");
        } else if (!u.why) {
            rc = RC_NOMEM;
        }
    }
    plan_end(&u.p);
    if (u.why)
        trace_info(g->host.trace, "group '%s' stays a classic one though a member of the consumer protocol came: %s",
                   trace_quote(id, sizeof(id), call->group_id), u.why);
    if (u.why)
        consumer_refuse(g, call, RC_GROUP_ID_NOT_FOUND, "Cannot upgrade classic group %s to consumer group because %s",
                        trace_quote(id, sizeof(id), call->group_id), u.why);
    else if (rc != RC_OK)
        group_answer_error(g, call, group_append_error(call->kind, rc), NULL);
}

// ------------------------------------------------------------------------------------------------ down

static const struct consumer_group_member_metadata_value_supported_protocol *
speaks(const struct consumer_member *m, struct bytes name)
{
    const consumer_classic *c = m->sub->classic_member_metadata;
    for (uint32_t i = 0; i < c->supported_protocols_count; i++) {
        if (bytes_eq(c->supported_protocols[i].name, name))
            return &c->supported_protocols[i];
    }
    return NULL;
}

static bool all_speak(const struct consumer_group *cg, struct bytes name)
{
    for (struct consumer_member *m = consumer_member_first(cg); m; m = consumer_member_next(cg, m)) {
        if (!speaks(m, name))
            return false;
    }
    return true;
}

static uint32_t votes_for(const struct consumer_group *cg, struct bytes name)
{
    uint32_t votes = 0;
    for (struct consumer_member *m = consumer_member_first(cg); m; m = consumer_member_next(cg, m)) {
        const consumer_classic *c = m->sub->classic_member_metadata;
        for (uint32_t i = 0; i < c->supported_protocols_count; i++) {
            if (!all_speak(cg, c->supported_protocols[i].name))
                continue;
            votes += bytes_eq(c->supported_protocols[i].name, name);
            break;
        }
    }
    return votes;
}

// The protocol that all speak and most prefer; n 0: there is none.
static struct bytes select_protocol(const struct consumer_group *cg)
{
    const struct consumer_member *first = consumer_member_first(cg);
    const consumer_classic *c = first->sub->classic_member_metadata;
    struct bytes best = {0};
    uint32_t most = 0;
    for (uint32_t i = 0; i < c->supported_protocols_count; i++) {
        struct bytes name = c->supported_protocols[i].name;
        uint32_t votes = all_speak(cg, name) ? votes_for(cg, name) : 0;
        if (votes > most) {
            best = name;
            most = votes;
        }
    }
    return best;
}

static bool down_value(struct consumer_plan *p, struct bytes protocol, struct group_metadata_value *value)
{
    const struct consumer_group *cg = p->cg;
    group_metadata_value_init(value);
    value->protocol_type = bytes_str("consumer");
    value->generation = cg->assignment_epoch; // that of members who are up to date: they revoke in order
    value->protocol = protocol;
    value->current_state_timestamp = p->g->now.wall_ms;
    value->members = arena_array(&p->arena, cg->member_count, sizeof(*value->members));
    if (!value->members)
        return false;
    for (struct consumer_member *m = consumer_member_first(cg); m; m = consumer_member_next(cg, m)) {
        // Not its target: a group that goes up again before the rebalance ends must know what is still held.
        struct consumer_current now = consumer_current_of(m);
        struct partition_set held;
        struct bytes subscription = speaks(m, protocol)->metadata;
        if (!partition_set_join(&now.assigned, &now.revoking, &p->arena, &held))
            return false;
        struct bytes assignment = consumer_assignment_encode(p->g, &held, subscription, &p->arena);
        if (!assignment.p)
            return false;
        value->members[value->members_count++] = (struct group_metadata_value_member_metadata){
            .member_id = consumer_member_id(m),
            .group_instance_id = m->sub->instance_id,
            .client_id = m->sub->client_id,
            .client_host = m->sub->client_host,
            .rebalance_timeout = m->sub->rebalance_timeout_ms,
            .session_timeout = m->sub->classic_member_metadata->session_timeout_ms,
            .subscription = subscription,
            .assignment = assignment};
    }
    value->leader = bytes_of(NULL, 0); // a coordinator that loads this lets the members join again
    return true;
}

static void down_applied(struct group_append *a, enum rc rc)
{
    if (rc == RC_OK && a->group->type == GROUP_CLASSIC && a->group->classic->state == CLASSIC_STABLE)
        classic_prepare(a->group, "from the consumer to the classic protocol: only classic members are left");
}

void consumer_downgrade_if_due(struct groups *g, struct group *gr)
{
    const struct consumer_group *cg = gr->consumer;
    if (!g->config.migrate_down || cg->member_count == 0 || cg->classic_count < cg->member_count ||
        cg->member_count > (uint32_t)g->config.size_max || !group_may_decide(gr))
        return;
    struct bytes protocol = select_protocol(cg);
    if (protocol.n == 0)
        return; // members of a mixed past; the group serves them as it is
    struct consumer_plan p;
    plan_begin(&p, gr);
    struct group_metadata_value value;
    struct group_metadata_key key = {.group = group_id(gr)};
    if (plan_decision(&p) && down_value(&p, protocol, &value)) {
        consumer_add_tombstones(p.decision, gr);
        group_decision_add(p.decision, &group_metadata_key_message, 2, &key, &group_metadata_value_message, 3, &value);
        struct group_append *decision = p.decision;
        p.decision = NULL;
        group_decision_submit(decision, down_applied, NULL); // else with the next change
    }
    plan_end(&p);
}
