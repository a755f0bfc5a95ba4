// SPDX-License-Identifier: Apache-2.0
//
// ConsumerGroupHeartbeat: checked as Kafka checks it, then made into a decision: the member's subscription, the group's
// epoch, the target assignment, the member's next step. A heartbeat that changes nothing writes nothing.
#include "group/classic.h"
#include "group/consumer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "group/regex.h"
#include "model/kerr.h"

void consumer_refuse(struct groups *g, struct group_call *call, enum rc rc, const char *format, ...)
{
    if (call->kind != GROUP_CONSUMER_HEARTBEAT) {
        group_answer_error(g, call, rc, NULL);
        return;
    }
    struct consumer_group_heartbeat_response *out = group_answer_new(g, call);
    if (!out)
        return;
    char line[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    ASSERT(n >= 0);
    out->error_code = kerr_of(rc);
    out->error_message = group_answer_copy(call, bytes_str(line));
    group_answer(g, call);
}

// ------------------------------------------------------------------------------------------------ is the request sane

static bool blank(struct bytes b)
{
    if (!b.p)
        return false;
    for (size_t i = 0; i < b.n; i++) {
        if (b.p[i] > ' ')
            return false;
    }
    return true;
}

static bool assignor_known(const struct groups *g, struct bytes name)
{
    for (uint8_t i = 0; i < g->config.consumer_assignor_count; i++) {
        if (bytes_eq(name, bytes_str(consumer_assignor_name(g->config.consumer_assignors[i]))))
            return true;
    }
    return false;
}

static const char *what_is_invalid(const struct consumer_group_heartbeat_request *in, int16_t version)
{
    if ((version >= 1 || in->member_epoch > 0 || in->member_epoch == CONSUMER_EPOCH_LEAVE) &&
        (!in->member_id.p || blank(in->member_id)))
        return "MemberId can't be empty.";
    if (blank(in->group_id))
        return "GroupId can't be empty.";
    if (blank(in->instance_id))
        return "InstanceId can't be empty.";
    if (blank(in->rack_id))
        return "RackId can't be empty.";
    if (in->member_epoch == CONSUMER_EPOCH_JOIN) {
        if (in->rebalance_timeout_ms == -1)
            return "RebalanceTimeoutMs must be provided in first request.";
        if (!in->topic_partitions || in->topic_partitions_count > 0)
            return "TopicPartitions must be empty when (re-)joining.";
        if (!in->subscribed_topic_names && !in->subscribed_topic_regex.p)
            return "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.";
    }
    if (in->member_epoch == CONSUMER_EPOCH_LEAVE_STATIC && !in->instance_id.p)
        return "InstanceId can't be null.";
    if (in->member_epoch < CONSUMER_EPOCH_LEAVE_STATIC)
        return "MemberEpoch is invalid.";
    return NULL;
}

static bool request_sane(struct groups *g, struct group_call *call)
{
    const struct consumer_group_heartbeat_request *in = call->request;
    const char *wrong = what_is_invalid(in, call->version);
    char id[128], supported[64] = "";
    if (wrong) {
        consumer_refuse(g, call, RC_INVALID_REQUEST, "%s", wrong);
        return false;
    }
    if (!in->server_assignor.p || assignor_known(g, in->server_assignor))
        return true;
    for (uint8_t i = 0; i < g->config.consumer_assignor_count; i++)
        snprintf(supported + strlen(supported), sizeof(supported) - strlen(supported), "%s%s", i ? ", " : "",
                 consumer_assignor_name(g->config.consumer_assignors[i]));
    consumer_refuse(g, call, RC_UNSUPPORTED_ASSIGNOR, "ServerAssignor %s is not supported. Supported assignors: %s.",
                    trace_quote(id, sizeof(id), in->server_assignor), supported);
    return false;
}

// ------------------------------------------------------------------------------------------------ may the member

// The wire's word for a member's partitions, in order. NULL: it said nothing, or memory ran out (p->failed).
static struct partition_set *owned_of(struct consumer_plan *p, const struct consumer_group_heartbeat_request *in)
{
    if (!in->topic_partitions)
        return NULL;
    struct partition_set raw = PARTITION_SET_OF(in->topic_partitions, in->topic_partitions_count);
    struct partition_set *owned = arena_alloc(&p->arena, sizeof(*owned));
    p->failed = !owned || !partition_set_copy(&raw, &p->arena, owned);
    return owned;
}

static bool epoch_valid(struct groups *g, struct group_call *call, const struct consumer_member *m,
                        const struct partition_set *owned)
{
    const struct consumer_group_heartbeat_request *in = call->request;
    struct consumer_current now = consumer_current_of(m);
    if (in->member_epoch == now.epoch)
        return true;
    // The answer with the newer epoch may have been lost: then the member says it owns no more than it did.
    if (in->member_epoch < now.epoch && in->member_epoch == now.previous_epoch && owned &&
        partition_set_subset(owned, &now.assigned))
        return true;
    consumer_refuse(g, call, RC_FENCED_MEMBER_EPOCH,
                    "The consumer group member has a %s member epoch (%d) than the one known by the group coordinator "
                    "(%d). The member must abandon all its partitions and rejoin.",
                    in->member_epoch > now.epoch ? "greater" : "smaller", in->member_epoch, now.epoch);
    return false;
}

static bool dynamic_member(struct consumer_plan *p, struct group_call *call, const struct partition_set *owned)
{
    const struct consumer_group_heartbeat_request *in = call->request;
    char id[128], group[128];
    p->member = p->cg ? consumer_member_find(p->cg, p->member_id) : NULL;
    if (in->member_epoch == CONSUMER_EPOCH_JOIN)
        return true;
    if (p->member)
        return epoch_valid(p->g, call, p->member, owned);
    consumer_refuse(p->g, call, RC_UNKNOWN_MEMBER_ID, "Member %s is not a member of group %s.",
                    trace_quote(id, sizeof(id), in->member_id), trace_quote(group, sizeof(group), in->group_id));
    return false;
}

static void refuse_unreleased(struct groups *g, struct group_call *call, struct bytes owner)
{
    const struct consumer_group_heartbeat_request *in = call->request;
    char id[128], instance[128], other[128];
    consumer_refuse(g, call, RC_UNRELEASED_INSTANCE_ID,
                    "Static member %s with instance id %s cannot join the group because the instance id is owned "
                    "by %s member.",
                    trace_quote(id, sizeof(id), in->member_id), trace_quote(instance, sizeof(instance), in->instance_id),
                    trace_quote(other, sizeof(other), owner));
}

static void refuse_full(struct groups *g, struct group_call *call)
{
    consumer_refuse(g, call, RC_GROUP_MAX_SIZE_REACHED,
                    "The consumer group has reached its maximum capacity of %d members.", g->config.consumer_size_max);
}

static bool static_member(struct consumer_plan *p, struct group_call *call, const struct partition_set *owned)
{
    const struct consumer_group_heartbeat_request *in = call->request;
    struct consumer_member *m = p->cg ? consumer_instance_find(p->cg, in->instance_id) : NULL;
    char id[128], instance[128], other[128];
    trace_quote(id, sizeof(id), p->member_id);
    trace_quote(instance, sizeof(instance), in->instance_id);
    bool same = m && bytes_eq(consumer_member_id(m), p->member_id);
    if (m)
        trace_quote(other, sizeof(other), consumer_member_id(m));
    if (in->member_epoch == CONSUMER_EPOCH_JOIN) {
        p->member = same ? m : !m && p->cg ? consumer_member_find(p->cg, p->member_id) : NULL;
        if (!m || same)
            return true;
        if (consumer_current_of(m).epoch == CONSUMER_EPOCH_LEAVE_STATIC) {
            p->replaces = m;
            return true;
        }
        refuse_unreleased(p->g, call, consumer_member_id(m));
        return false;
    }
    if (!m) {
        consumer_refuse(p->g, call, RC_UNKNOWN_MEMBER_ID, "Instance id %s is unknown.", instance);
        return false;
    }
    if (!same) {
        consumer_refuse(p->g, call, RC_FENCED_INSTANCE_ID,
                        "Static member %s with instance id %s was fenced by member %s.", id, instance, other);
        return false;
    }
    p->member = m;
    return epoch_valid(p->g, call, m, owned);
}

static bool find_member(struct consumer_plan *p, struct group_call *call, const struct partition_set *owned)
{
    const struct consumer_group_heartbeat_request *in = call->request;
    if (p->cg && p->cg->member_count >= (uint32_t)p->g->config.consumer_size_max &&
        !consumer_member_find(p->cg, p->member_id) &&
        !(in->instance_id.p && consumer_instance_find(p->cg, in->instance_id))) {
        refuse_full(p->g, call);
        return false;
    }
    return in->instance_id.p ? static_member(p, call, owned) : dynamic_member(p, call, owned);
}

// ------------------------------------------------------------------------------------------------ what it wants

static consumer_sub *subscription(struct consumer_plan *p, struct group_call *call)
{
    const struct consumer_group_heartbeat_request *in = call->request;
    const struct consumer_member *from = p->member ? p->member : p->replaces;
    consumer_sub *sub = arena_alloc(&p->arena, sizeof(*sub));
    if (!sub)
        return NULL;
    if (from)
        *sub = *from->sub;
    else
        consumer_group_member_metadata_value_init(sub);
    if (in->subscribed_topic_names &&
        !plan_names(p, in->subscribed_topic_names, in->subscribed_topic_names_count, sub))
        return NULL;
    if (in->instance_id.p)
        sub->instance_id = in->instance_id;
    if (in->rack_id.p)
        sub->rack_id = in->rack_id;
    if (in->rebalance_timeout_ms != -1)
        sub->rebalance_timeout_ms = in->rebalance_timeout_ms;
    if (in->server_assignor.p)
        sub->server_assignor = in->server_assignor;
    if (in->subscribed_topic_regex.p)
        sub->subscribed_topic_regex = in->subscribed_topic_regex;
    sub->client_id = call->client_id.p ? call->client_id : bytes_str("");
    sub->client_host = bytes_str(call->client_host);
    sub->classic_member_metadata = NULL;
    return sub;
}

static bool regex_valid(struct consumer_plan *p, struct group_call *call, const consumer_sub *old)
{
    struct bytes pattern = p->sub->subscribed_topic_regex;
    if (pattern.n == 0 || (old && bytes_eq(pattern, old->subscribed_topic_regex)) ||
        (p->cg && consumer_regex_find(p->cg, pattern)))
        return true;
    struct regex *r;
    const char *why;
    char quoted[512];
    enum rc rc = regex_create(pattern, &r, &why);
    regex_destroy(r);
    if (rc == RC_INVALID_REGULAR_EXPRESSION)
        consumer_refuse(p->g, call, rc, "SubscribedTopicRegex `%s` is not a valid regular expression: %s.",
                        trace_quote(quoted, sizeof(quoted), pattern), why);
    else if (rc != RC_OK)
        group_answer_error(p->g, call, RC_COORDINATOR_NOT_AVAILABLE, NULL);
    return rc == RC_OK;
}

bool consumer_may_join_classic(struct groups *g, const struct group *gr, struct group_call *call)
{
    const struct consumer_group_heartbeat_request *in = call->request;
    const struct classic_group *cl = gr->classic;
    const struct classic_member *owner = in->instance_id.p ? classic_find_instance(cl, in->instance_id) : NULL;
    if (owner && !bytes_eq(classic_member_id(owner), in->member_id)) {
        refuse_unreleased(g, call, classic_member_id(owner));
        return false;
    }
    if (!owner && classic_member_count(gr) >= (uint32_t)g->config.consumer_size_max &&
        !classic_find(cl, in->member_id)) {
        refuse_full(g, call);
        return false;
    }
    consumer_sub sub = {.subscribed_topic_regex = in->subscribed_topic_regex};
    struct consumer_plan p = {.g = g, .sub = &sub};
    return regex_valid(&p, call, NULL);
}

// ------------------------------------------------------------------------------------------------ the decision

static bool respond(struct consumer_plan *p, struct group_call *call, const struct consumer_current *now,
                    const struct consumer_current *next)
{
    const struct consumer_group_heartbeat_request *in = call->request;
    struct consumer_group_heartbeat_response *out = call->response;
    int32_t session_ms;
    out->member_id = group_answer_copy(call, p->member_id);
    out->member_epoch = next->epoch;
    consumer_timeouts(p->gr, &session_ms, &out->heartbeat_interval_ms);
    bool full = in->rebalance_timeout_ms != -1 && (in->subscribed_topic_names || in->subscribed_topic_regex.p) &&
                in->topic_partitions;
    // An answer over another connection, to a request that was late, may have said what the member does not know.
    bool elsewhere = p->member && p->member->connection && p->member->connection != call->connection;
    bool good = out->member_id.p != NULL;
    if (in->member_epoch == CONSUMER_EPOCH_JOIN || full || elsewhere ||
        !partition_set_equal(&now->assigned, &next->assigned)) {
        struct partition_set copy;
        out->assignment = group_answer_alloc(call, 1, sizeof(*out->assignment));
        good = good && out->assignment && partition_set_copy(&next->assigned, &call->arena, &copy);
        if (good) {
            out->assignment->topic_partitions = (void *)copy.topics;
            out->assignment->topic_partitions_count = copy.count;
        }
    }
    return good;
}

// From a request that may go ahead to its answer or decision.
static enum rc decide(struct consumer_plan *p, struct group_call *call, const struct partition_set *owned)
{
    bool bump;
    if (p->gr->type == GROUP_CLASSIC && plan_decision(p))
        classic_add_tombstones(p->decision, p->gr);
    if (!plan_member(p, &bump))
        return RC_NOMEM;
    if ((bump || !p->cg || p->cg->topics_stale) && !plan_topics(p, bump))
        return RC_NOMEM;
    struct consumer_current now, next;
    if (!plan_target(p) || !plan_step(p, owned, &now, &next))
        return RC_NOMEM;
    if (!group_answer_new(p->g, call))
        return RC_OK; // answered: without a response
    if (!respond(p, call, &now, &next))
        return RC_NOMEM;
    if (p->member) {
        consumer_touch(p->g, p->member);
        p->member->connection = call->connection;
    }
    return plan_answer(p, call);
}

static void plan_heartbeat(struct groups *g, struct group *gr, struct group_call *call)
{
    struct consumer_plan p;
    plan_begin(&p, gr);
    const struct consumer_group_heartbeat_request *in = call->request;
    struct partition_set *owned = owned_of(&p, in);
    enum rc rc = p.failed || !plan_member_id(&p, in->member_id) ? RC_NOMEM : RC_OK;
    if (rc == RC_OK && find_member(&p, call, owned)) {
        const struct consumer_member *from = p.member ? p.member : p.replaces;
        p.sub = subscription(&p, call);
        if (!p.sub)
            rc = RC_NOMEM;
        else if (regex_valid(&p, call, from ? from->sub : NULL))
            rc = decide(&p, call, owned);
    }
    plan_end(&p);
    if (rc != RC_OK)
        group_answer_error(g, call, group_append_error(call->kind, rc), NULL);
}

static void consumer_heartbeat(struct groups *g, struct group *gr, struct group_call *call)
{
    char id[128];
    if (!g->config.consumer_enabled) {
        group_answer_error(g, call, RC_UNSUPPORTED_VERSION, NULL);
        return;
    }
    if (!request_sane(g, call))
        return;
    const struct consumer_group_heartbeat_request *in = call->request;
    if (in->member_epoch < 0) {
        consumer_leave(g, gr, call);
        return;
    }
    trace_quote(id, sizeof(id), call->group_id);
    if (in->member_epoch > 0 && (!gr || gr->type == GROUP_UNTYPED)) {
        consumer_refuse(g, call, RC_GROUP_ID_NOT_FOUND, "Consumer group %s not found.", id);
        return;
    }
    if (gr && gr->type == GROUP_CLASSIC && in->member_epoch > 0) {
        consumer_refuse(g, call, RC_GROUP_ID_NOT_FOUND, "Group %s is not a consumer group.", id);
        return;
    }
    if (gr && gr->type == GROUP_CLASSIC && !classic_is_empty(gr)) {
        consumer_upgrade(g, gr, call);
        return;
    }
    if (!gr)
        gr = group_ensure(g, call->group_id);
    if (!gr) {
        group_answer_error(g, call, RC_COORDINATOR_NOT_AVAILABLE, NULL);
        return;
    }
    plan_heartbeat(g, gr, call);
    group_drop_if_unused(gr);
}

void consumer_call(struct groups *g, struct group *gr, struct group_call *call)
{
    if (call->kind == GROUP_CONSUMER_HEARTBEAT)
        consumer_heartbeat(g, gr, call);
    else
        consumer_classic_call(g, gr, call);
}
