// SPDX-License-Identifier: Apache-2.0
//
// Members of the classic protocol inside a group of the new one (KIP-848, "Online Migration"): their JoinGroup is a
// heartbeat that also says what they own, SyncGroup fetches what the coordinator assigned, Heartbeat tells them to join
// again whenever there is more to do. The coordinator leads; no member is asked to assign.
#include "group/consumer.h"

#include <stdlib.h>

#include "model/kerr.h"

enum { EMBEDDED_VERSION_MAX = 3 };

// ------------------------------------------------------------------------------------------------ embedded protocol

// The version in front of a subscription or assignment; newer ones are read as the newest known. -1: none.
static int16_t embedded_version(struct bytes in)
{
    int16_t version = in.n < 2 ? -1 : (int16_t)be16(in.p);
    return version > EMBEDDED_VERSION_MAX ? EMBEDDED_VERSION_MAX : version;
}

enum rc consumer_subscription_decode(struct bytes in, struct arena *a, struct consumer_protocol_subscription *out)
{
    int16_t version = embedded_version(in);
    if (version < 0)
        return RC_MALFORMED;
    struct dec d = dec_of(bytes_of(in.p + 2, in.n - 2));
    return consumer_protocol_subscription_decode(&d, version, a, out);
}

// Names to ids; partitions that are not there are left out. False: memory.
static bool names_to_set(const struct groups *g, const void *list, uint32_t count, struct arena *a,
                         struct partition_set *out)
{
    const struct consumer_protocol_assignment_assigned_partition *in = list;
    struct partition_set raw = {.topics = arena_array(a, count, sizeof(*raw.topics))};
    if (!raw.topics)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct group_topic t;
        if (!g->host.topic_by_name(g->host.context, in[i].topic, &t))
            continue;
        struct partition_topic *to = &raw.topics[raw.count++];
        *to = (struct partition_topic){.topic_id = t.id,
                                       .partitions = arena_array(a, in[i].partitions_count, sizeof(int32_t))};
        if (!to->partitions)
            return false;
        for (uint32_t k = 0; k < in[i].partitions_count; k++) {
            if (in[i].partitions[k] >= 0 && in[i].partitions[k] < t.partition_count)
                to->partitions[to->count++] = in[i].partitions[k];
        }
    }
    return partition_set_copy(&raw, a, out);
}

_Static_assert(sizeof(struct consumer_protocol_assignment_assigned_partition) ==
                       sizeof(struct consumer_protocol_subscription_owned_partition) &&
                   offsetof(struct consumer_protocol_assignment_assigned_partition, partitions) ==
                       offsetof(struct consumer_protocol_subscription_owned_partition, partitions),
               "names_to_set() reads both");

static bool consumer_owned_set(const struct groups *g, const struct consumer_protocol_subscription *in, struct arena *a,
                               struct partition_set *out)
{
    return names_to_set(g, in->owned_partitions, in->owned_partitions_count, a, out);
}

enum rc consumer_assignment_decode(const struct groups *g, struct bytes in, struct arena *a, struct partition_set *out,
                                   bool *user_data)
{
    *out = (struct partition_set){0};
    *user_data = false;
    if (in.n == 0)
        return RC_OK; // it has joined and was given nothing yet
    struct consumer_protocol_assignment assignment;
    int16_t version = embedded_version(in);
    if (version < 0)
        return RC_MALFORMED;
    struct dec d = dec_of(bytes_of(in.p + 2, in.n - 2));
    enum rc rc = consumer_protocol_assignment_decode(&d, version, a, &assignment);
    if (rc != RC_OK)
        return rc;
    *user_data = assignment.user_data.n > 0;
    return names_to_set(g, assignment.assigned_partitions, assignment.assigned_partitions_count, a, out) ? RC_OK
                                                                                                         : RC_NOMEM;
}

// In the version of the member's subscription. The result lies in the arena; p NULL: memory.
struct bytes consumer_assignment_encode(const struct groups *g, const struct partition_set *s,
                                        struct bytes subscription, struct arena *a)
{
    struct consumer_protocol_assignment out;
    consumer_protocol_assignment_init(&out);
    out.assigned_partitions = arena_array(a, s->count, sizeof(*out.assigned_partitions));
    if (!out.assigned_partitions)
        return bytes_of(NULL, 0);
    for (uint32_t i = 0; i < s->count; i++) {
        struct group_topic t;
        if (!g->host.topic_by_id(g->host.context, s->topics[i].topic_id, &t))
            continue;
        struct consumer_protocol_assignment_assigned_partition *o =
            &out.assigned_partitions[out.assigned_partitions_count++];
        o->topic = t.name;
        o->partitions = s->topics[i].partitions;
        o->partitions_count = s->topics[i].count;
    }
    struct buf b;
    struct enc e;
    int16_t version = embedded_version(subscription);
    version = version < 0 ? 0 : version;
    buf_init(&b, INT32_MAX);
    enc_init(&e, &b, NULL, 0);
    enc_i16(&e, version);
    consumer_protocol_assignment_encode(&e, version, &out);
    struct bytes copy = enc_ok(&e) ? bytes_of(arena_copy(a, b.p, b.n), b.n) : bytes_of(NULL, 0);
    buf_deinit(&b);
    return copy;
}

// ------------------------------------------------------------------------------------------------ who it is

static enum rc find(const struct consumer_group *cg, struct bytes id, struct bytes instance,
                    struct consumer_member **out)
{
    struct consumer_member *m = instance.p ? consumer_instance_find(cg, instance) : consumer_member_find(cg, id);
    *out = m;
    if (!m)
        return RC_UNKNOWN_MEMBER_ID;
    if (instance.p && id.n && !bytes_eq(consumer_member_id(m), id))
        return RC_FENCED_INSTANCE_ID;
    return consumer_is_classic(m) ? RC_OK : RC_UNKNOWN_MEMBER_ID; // one of the new protocol speaks that
}

static void join_fire(struct groups *g, struct group_deadline *d)
{
    consumer_due_fire(g, d, CONSUMER_DUE_JOIN);
}

void consumer_arm_join(struct groups *g, struct consumer_member *m)
{
    int32_t ms = m->sub->rebalance_timeout_ms;
    group_deadline_set(g, &m->join, g->now.now_ns + (uint64_t)(ms < 0 ? 0 : ms) * 1000000, join_fire);
}

static void arm_join_if_absent(struct groups *g, struct consumer_member *m)
{
    if (m->join.node.key == GROUP_NEVER)
        consumer_arm_join(g, m);
}

// ------------------------------------------------------------------------------------------------ heartbeat, sync

// Has it its epoch, and waits for partitions of which one at least is still held by another member?
static bool waits_for_others(const struct consumer_group *cg, const struct consumer_member *m)
{
    struct consumer_current now = consumer_current_of(m);
    struct partition_set target = consumer_target_set(m);
    for (uint32_t i = 0; now.state == CONSUMER_UNRELEASED && i < target.count; i++) {
        for (uint32_t k = 0; k < target.topics[i].count; k++) {
            const struct consumer_member *owner =
                consumer_owner(cg, target.topics[i].topic_id, target.topics[i].partitions[k]);
            if (owner && owner != m)
                return true;
        }
    }
    return false;
}

static void classic_heartbeat(struct groups *g, struct group *gr, struct group_call *call)
{
    const struct heartbeat_request *in = call->request;
    const struct consumer_group *cg = gr->consumer;
    struct consumer_member *m;
    enum rc rc = find(cg, in->member_id, in->group_instance_id, &m);
    struct consumer_current now = rc == RC_OK ? consumer_current_of(m) : (struct consumer_current){0};
    if (rc == RC_OK && in->generation_id != now.epoch)
        rc = RC_ILLEGAL_GENERATION;
    if (rc == RC_OK) {
        consumer_touch(g, m);
        if (now.epoch < cg->epoch || now.state == CONSUMER_UNREVOKED ||
            (now.state == CONSUMER_UNRELEASED && !waits_for_others(cg, m))) {
            arm_join_if_absent(g, m);
            rc = RC_REBALANCE_IN_PROGRESS;
        }
    }
    if (rc != RC_OK)
        group_answer_error(g, call, rc, NULL);
    else if (group_answer_new(g, call))
        group_answer(g, call);
}

static struct bytes first_protocol(const struct consumer_member *m)
{
    const consumer_classic *c = m->sub->classic_member_metadata;
    return c->supported_protocols_count ? c->supported_protocols[0].name : bytes_str("");
}

static enum rc sync_allowed(struct groups *g, const struct consumer_group *cg, const struct sync_group_request *in,
                            struct consumer_member **out)
{
    struct consumer_member *m;
    enum rc rc = find(cg, in->member_id, in->group_instance_id, &m);
    *out = m;
    if (rc != RC_OK)
        return rc;
    struct consumer_current now = consumer_current_of(m);
    if (in->generation_id != now.epoch)
        return RC_ILLEGAL_GENERATION;
    if ((in->protocol_type.p && !bytes_eq(in->protocol_type, bytes_str("consumer"))) ||
        (in->protocol_name.p && !bytes_eq(in->protocol_name, first_protocol(m))))
        return RC_INCONSISTENT_GROUP_PROTOCOL;
    if (cg->epoch > now.epoch && now.state != CONSUMER_UNREVOKED) {
        arm_join_if_absent(g, m);
        return RC_REBALANCE_IN_PROGRESS;
    }
    return RC_OK;
}

static void classic_sync(struct groups *g, struct group *gr, struct group_call *call)
{
    const struct sync_group_request *in = call->request;
    struct consumer_member *m;
    enum rc rc = sync_allowed(g, gr->consumer, in, &m);
    if (rc != RC_OK) {
        group_answer_error(g, call, rc, NULL);
        return;
    }
    struct sync_group_response *out = group_answer_new(g, call);
    if (!out)
        return;
    const consumer_classic *c = m->sub->classic_member_metadata;
    struct bytes subscription = c->supported_protocols_count ? c->supported_protocols[0].metadata : bytes_str("");
    struct consumer_current now = consumer_current_of(m);
    out->protocol_type = group_answer_copy(call, in->protocol_type);
    out->protocol_name = group_answer_copy(call, in->protocol_name);
    out->assignment = consumer_assignment_encode(g, &now.assigned, subscription, &call->arena);
    group_deadline_set(g, &m->join, GROUP_NEVER, join_fire);
    consumer_touch(g, m);
    group_answer_if(g, call, out->assignment.p != NULL);
}

// ------------------------------------------------------------------------------------------------ leave

static int16_t leave_mark(const struct consumer_group *cg, struct bytes id, struct bytes instance, uint32_t *count)
{
    struct consumer_member *m;
    enum rc rc = find(cg, id, instance, &m);
    if (rc != RC_OK)
        return kerr_of(rc);
    *count += m->mark != PLAN_GONE;
    m->mark = PLAN_GONE;
    return 0;
}

static void classic_leave(struct groups *g, struct group *gr, struct group_call *call)
{
    const struct leave_group_request *in = call->request;
    struct leave_group_response *out = group_answer_new(g, call);
    if (!out)
        return;
    uint32_t leaving = 0;
    bool good = true;
    if (call->version < 3) {
        out->error_code = leave_mark(gr->consumer, in->member_id, bytes_of(NULL, 0), &leaving);
    } else {
        out->members = group_answer_alloc(call, in->members_count, sizeof(*out->members));
        good = out->members != NULL;
        for (uint32_t i = 0; good && i < in->members_count; i++) {
            struct leave_group_response_member *o = &out->members[out->members_count++];
            o->member_id = group_answer_copy(call, in->members[i].member_id);
            o->group_instance_id = group_answer_copy(call, in->members[i].group_instance_id);
            o->error_code =
                leave_mark(gr->consumer, in->members[i].member_id, in->members[i].group_instance_id, &leaving);
        }
    }
    if (leaving == 0) {
        group_answer_if(g, call, good);
        return;
    }
    enum rc rc = consumer_remove(g, gr, call, "left");
    if (rc != RC_OK)
        group_answer_error(g, call, group_append_error(call->kind, rc), NULL);
}

// ------------------------------------------------------------------------------------------------ join

// Is one of the offered protocols spoken by every classic member?
static bool protocols_supported(const struct consumer_group *cg, const struct join_group_request *in)
{
    if (!bytes_eq(in->protocol_type, bytes_str("consumer")) || in->protocols_count == 0)
        return false;
    for (uint32_t i = 0; i < in->protocols_count; i++) {
        uint32_t speakers = 0;
        for (struct consumer_member *m = consumer_member_first(cg); m; m = consumer_member_next(cg, m)) {
            const consumer_classic *c = m->sub->classic_member_metadata;
            for (uint32_t k = 0; c && k < c->supported_protocols_count; k++)
                speakers += bytes_eq(c->supported_protocols[k].name, in->protocols[i].name);
        }
        if (speakers == cg->classic_count)
            return true;
    }
    return false;
}

static void join_refuse(struct groups *g, struct group_call *call, enum rc rc, struct bytes member_id)
{
    struct join_group_response *out = group_answer_new(g, call);
    if (!out)
        return;
    out->error_code = kerr_of(rc);
    out->member_id = group_answer_copy(call, member_id);
    group_answer(g, call);
}

// A static member without an id takes the place of the one before, which need not have left.
static enum rc join_member(struct consumer_plan *p, const struct join_group_request *in)
{
    if (!in->group_instance_id.p) {
        p->member = consumer_member_find(p->cg, p->member_id);
        return RC_OK;
    }
    struct consumer_member *m = consumer_instance_find(p->cg, in->group_instance_id);
    if (in->member_id.n == 0)
        p->replaces = m;
    else if (!m)
        return RC_UNKNOWN_MEMBER_ID;
    else if (!bytes_eq(consumer_member_id(m), in->member_id))
        return RC_FENCED_INSTANCE_ID;
    else
        p->member = m;
    return RC_OK;
}

static consumer_sub *join_sub(struct consumer_plan *p, struct group_call *call,
                              const struct consumer_protocol_subscription *s)
{
    const struct join_group_request *in = call->request;
    const struct consumer_member *from = p->member ? p->member : p->replaces;
    consumer_sub *sub = arena_alloc(&p->arena, sizeof(*sub));
    consumer_classic *c = arena_alloc(&p->arena, sizeof(*c));
    if (!sub || !c)
        return NULL;
    if (from)
        *sub = *from->sub;
    else
        consumer_group_member_metadata_value_init(sub);
    c->session_timeout_ms = in->session_timeout_ms;
    c->supported_protocols_count = in->protocols_count;
    c->supported_protocols = arena_array(&p->arena, in->protocols_count, sizeof(*c->supported_protocols));
    if (!c->supported_protocols || !plan_names(p, s->topics, s->topics_count, sub))
        return NULL;
    for (uint32_t i = 0; i < in->protocols_count; i++) {
        c->supported_protocols[i].name = in->protocols[i].name;
        c->supported_protocols[i].metadata = in->protocols[i].metadata;
    }
    if (in->group_instance_id.p)
        sub->instance_id = in->group_instance_id;
    if (s->rack_id.p)
        sub->rack_id = s->rack_id;
    sub->rebalance_timeout_ms = in->rebalance_timeout_ms == -1 ? in->session_timeout_ms : in->rebalance_timeout_ms;
    sub->subscribed_topic_regex = bytes_of(NULL, 0);
    sub->server_assignor = bytes_of(NULL, 0);
    sub->client_id = call->client_id.p ? call->client_id : bytes_str("");
    sub->client_host = bytes_str(call->client_host);
    sub->classic_member_metadata = c;
    return sub;
}

static bool join_respond(struct consumer_plan *p, struct group_call *call, int32_t epoch)
{
    struct join_group_response *out = call->response;
    out->generation_id = epoch;
    out->member_id = group_answer_copy(call, p->member_id);
    out->protocol_type = bytes_str("consumer");
    out->protocol_name = group_answer_copy(call, p->sub->classic_member_metadata->supported_protocols[0].name);
    return out->member_id.p && out->protocol_name.p;
}

static enum rc join_decide(struct consumer_plan *p, struct group_call *call, const struct partition_set *owned)
{
    bool bump;
    struct consumer_current now, next;
    if (!plan_member(p, &bump) || ((bump || p->cg->topics_stale) && !plan_topics(p, bump)) || !plan_target(p) ||
        !plan_step(p, owned, &now, &next))
        return RC_NOMEM;
    if (!group_answer_new(p->g, call))
        return RC_OK; // answered: without a response
    if (!join_respond(p, call, next.epoch))
        return RC_NOMEM;
    if (p->member) // a new one's time begins when it is one (plan_applied())
        consumer_touch(p->g, p->member);
    if (!p->decision)
        consumer_arm_join(p->g, p->member);
    return plan_answer(p, call);
}

static enum rc join(struct consumer_plan *p, struct group_call *call)
{
    const struct join_group_request *in = call->request;
    struct consumer_protocol_subscription s;
    struct partition_set owned;
    enum rc rc = join_member(p, in);
    if (rc != RC_OK) {
        join_refuse(p->g, call, rc, in->member_id);
        return RC_OK;
    }
    rc = consumer_subscription_decode(in->protocols[0].metadata, &p->arena, &s);
    if (rc != RC_OK && rc != RC_NOMEM) {
        join_refuse(p->g, call, RC_INCONSISTENT_GROUP_PROTOCOL, in->member_id);
        return RC_OK;
    }
    if (rc != RC_OK || !consumer_owned_set(p->g, &s, &p->arena, &owned))
        return RC_NOMEM;
    p->sub = join_sub(p, call, &s);
    return p->sub ? join_decide(p, call, &owned) : RC_NOMEM;
}

static void classic_join_call(struct groups *g, struct group *gr, struct group_call *call)
{
    const struct join_group_request *in = call->request;
    const struct consumer_group *cg = gr->consumer;
    if (in->session_timeout_ms < g->config.session_timeout_min_ms ||
        in->session_timeout_ms > g->config.session_timeout_max_ms) {
        join_refuse(g, call, RC_INVALID_SESSION_TIMEOUT, in->member_id);
        return;
    }
    if (cg->member_count >= (uint32_t)g->config.consumer_size_max &&
        !(in->member_id.n && consumer_member_find(cg, in->member_id)) &&
        !(in->group_instance_id.p && consumer_instance_find(cg, in->group_instance_id))) {
        join_refuse(g, call, RC_GROUP_MAX_SIZE_REACHED, in->member_id);
        return;
    }
    if (!protocols_supported(cg, in)) {
        join_refuse(g, call, RC_INCONSISTENT_GROUP_PROTOCOL, in->member_id);
        return;
    }
    struct consumer_plan p;
    plan_begin(&p, gr);
    enum rc rc = plan_member_id(&p, in->member_id) ? RC_OK : RC_NOMEM;
    if (rc == RC_OK && in->member_id.n == 0 && !in->group_instance_id.p && call->version >= 4)
        join_refuse(g, call, RC_MEMBER_ID_REQUIRED, p.member_id);
    else if (rc == RC_OK)
        rc = join(&p, call);
    plan_end(&p);
    if (rc != RC_OK)
        group_answer_error(g, call, group_append_error(call->kind, rc), NULL);
}

void consumer_classic_call(struct groups *g, struct group *gr, struct group_call *call)
{
    if (call->kind == GROUP_JOIN)
        classic_join_call(g, gr, call);
    else if (call->kind == GROUP_SYNC)
        classic_sync(g, gr, call);
    else if (call->kind == GROUP_HEARTBEAT)
        classic_heartbeat(g, gr, call);
    else
        classic_leave(g, gr, call);
}
