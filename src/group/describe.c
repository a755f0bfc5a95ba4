// SPDX-License-Identifier: Apache-2.0
//
// DescribeGroups, ConsumerGroupDescribe, ListGroups, DeleteGroups.
#include "group/core.h"
#include "model/kerr.h"

#include <ctype.h>
#include <stdio.h>

static uint32_t events_count(const struct group *gr)
{
    struct group_event e;
    uint32_t count = 0;
    for (uint32_t at = 0; group_event_next(gr, &at, &e);)
        count++;
    return count;
}

static bool classic_events(const struct group *gr, struct group_call *call, struct describe_groups_response_group *out)
{
    struct group_event e;
    out->events = group_answer_alloc(call, events_count(gr), sizeof(*out->events));
    for (uint32_t at = 0; out->events && group_event_next(gr, &at, &e);)
        out->events[out->events_count++] = (struct describe_groups_response_event){
            .timestamp_ms = e.wall_ms, .generation = e.generation, .text = group_answer_copy(call, e.text)};
    return out->events != NULL;
}

static bool consumer_events(const struct group *gr, struct group_call *call,
                            struct consumer_group_describe_response_group *out)
{
    struct group_event e;
    out->events = group_answer_alloc(call, events_count(gr), sizeof(*out->events));
    for (uint32_t at = 0; out->events && group_event_next(gr, &at, &e);)
        out->events[out->events_count++] = (struct consumer_group_describe_response_event){
            .timestamp_ms = e.wall_ms, .generation = e.generation, .text = group_answer_copy(call, e.text)};
    return out->events != NULL;
}

// Below version 6 a group that is not there is Dead and no error; one of the new protocol is not there for it.
static void describe_classic(struct groups *g, struct group *gr, struct group_call *call)
{
    struct describe_groups_response_group *out = group_answer_new(g, call);
    if (!out)
        return;
    out->group_id = group_answer_copy(call, call->group_id);
    bool complete = out->group_id.p != NULL;
    if (!gr || gr->type == GROUP_CONSUMER)
        out->group_state = bytes_str("Dead");
    else if (gr->type == GROUP_UNTYPED)
        out->group_state = bytes_str("Empty");
    else
        complete = complete && classic_describe(gr, call, out);
    if (gr && gr->type != GROUP_CONSUMER && call->include_events)
        complete = complete && classic_events(gr, call, out);
    group_answer_if(g, call, complete);
}

static void describe_consumer(struct groups *g, struct group *gr, struct group_call *call)
{
    struct consumer_group_describe_response_group *out = group_answer_new(g, call);
    if (!out)
        return;
    out->group_id = group_answer_copy(call, call->group_id);
    bool complete = out->group_id.p != NULL;
    if (!gr || gr->type != GROUP_CONSUMER) {
        char *text = arena_printf(&call->arena, gr ? "Group %.*s is not a consumer group." : "Group %.*s not found.",
                                  (int)call->group_id.n, (const char *)call->group_id.p);
        out->error_code = kerr_of(RC_GROUP_ID_NOT_FOUND);
        out->error_message = text ? bytes_str(text) : bytes_of(NULL, 0);
    } else {
        complete = complete && consumer_describe(gr, call, out);
        if (call->include_events)
            complete = complete && consumer_events(gr, call, out);
    }
    group_answer_if(g, call, complete);
}

void describe_call(struct groups *g, struct group *gr, struct group_call *call)
{
    if (call->kind == GROUP_DESCRIBE)
        describe_classic(g, gr, call);
    else
        describe_consumer(g, gr, call);
}

// ------------------------------------------------------------------------------------------------ list

static bool equal_fold(struct bytes a, const char *b)
{
    size_t n = strlen(b);
    for (size_t i = 0; i < n && i < a.n; i++)
        if (tolower(a.p[i]) != tolower((unsigned char)b[i]))
            return false;
    return a.n == n;
}

static bool in_filter(const struct bytes *filter, uint32_t count, const char *what)
{
    for (uint32_t i = 0; i < count; i++)
        if (equal_fold(filter[i], what))
            return true;
    return count == 0;
}

static const char *state_name(const struct group *gr)
{
    if (gr->type == GROUP_CLASSIC)
        return classic_state_name(gr);
    return gr->type == GROUP_CONSUMER ? consumer_state_name(gr) : "Empty";
}

static bool list_one(const struct group *gr, struct group_call *call, struct group_list *out)
{
    const struct list_groups_request *in = call->request;
    const char *type = gr->type == GROUP_CONSUMER ? "consumer" : "classic";
    const char *state = state_name(gr);
    if (!in_filter(in->states_filter, in->states_filter_count, state) ||
        !in_filter(in->types_filter, in->types_filter_count, type))
        return true;
    struct bytes protocol = gr->type == GROUP_CONSUMER  ? bytes_str("consumer")
                            : gr->type == GROUP_CLASSIC ? classic_protocol_type(gr)
                                                        : bytes_str("");
    struct list_groups_response_group *o = &out->groups[out->count++];
    *o = (struct list_groups_response_group){.group_id = group_answer_copy(call, group_id(gr)),
                                             .protocol_type = group_answer_copy(call, protocol),
                                             .group_state = bytes_str(state),
                                             .group_type = bytes_str(type)};
    return o->group_id.p && (o->protocol_type.p || !protocol.p);
}

void list_call(struct groups *g, struct group_call *call)
{
    struct group_list *out = group_answer_new(g, call);
    if (!out)
        return;
    out->groups = group_answer_alloc(call, g->by_id.count, sizeof(*out->groups));
    bool complete = out->groups != NULL;
    for (struct map_node *n = map_first(&g->by_id); complete && n; n = map_next(&g->by_id, n))
        complete = list_one(container_of(n, struct group, node), call, out);
    group_answer_if(g, call, complete);
}

// ------------------------------------------------------------------------------------------------ delete

static enum rc delete_decide(struct group *gr, struct group_call *call)
{
    struct group_append *a = group_decision_begin(gr, true);
    if (!a)
        return RC_NOMEM;
    offsets_add_tombstones(a, gr);
    if (gr->type == GROUP_CLASSIC)
        classic_add_tombstones(a, gr);
    else if (gr->type == GROUP_CONSUMER)
        consumer_add_tombstones(a, gr);
    group_decision_attach(a, call);
    return group_decision_submit(a, NULL, NULL);
}

void delete_call(struct groups *g, struct group *gr, struct group_call *call)
{
    if (!gr || group_member_count(gr) > 0 || (gr->type == GROUP_CLASSIC && !classic_is_empty(gr))) {
        group_answer_error(g, call, gr ? RC_NON_EMPTY_GROUP : RC_GROUP_ID_NOT_FOUND, NULL);
        return;
    }
    struct delete_groups_response_result *out = group_answer_new(g, call);
    if (!out)
        return;
    out->group_id = group_answer_copy(call, call->group_id);
    enum rc rc = out->group_id.p ? delete_decide(gr, call) : RC_NOMEM;
    if (rc != RC_OK)
        group_answer_error(g, call, group_append_error(call->kind, rc), NULL);
}
