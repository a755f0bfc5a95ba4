// SPDX-License-Identifier: Apache-2.0
//
// Answers: responses in the call's arena, and the error of every kind of call.
#include "group/core.h"
#include "model/kerr.h"

static const size_t response_bytes[GROUP_CALL_KINDS] = {
    [GROUP_JOIN] = sizeof(struct join_group_response),
    [GROUP_SYNC] = sizeof(struct sync_group_response),
    [GROUP_HEARTBEAT] = sizeof(struct heartbeat_response),
    [GROUP_LEAVE] = sizeof(struct leave_group_response),
    [GROUP_COMMIT] = sizeof(struct offset_commit_response),
    [GROUP_FETCH] = sizeof(struct offset_fetch_response_group),
    [GROUP_OFFSET_DELETE] = sizeof(struct offset_delete_response),
    [GROUP_DELETE] = sizeof(struct delete_groups_response_result),
    [GROUP_DESCRIBE] = sizeof(struct describe_groups_response_group),
    [GROUP_LIST] = sizeof(struct group_list),
    [GROUP_CONSUMER_HEARTBEAT] = sizeof(struct consumer_group_heartbeat_response),
    [GROUP_CONSUMER_DESCRIBE] = sizeof(struct consumer_group_describe_response_group),
};

static void response_init(enum group_call_kind kind, void *p)
{
    switch (kind) {
    case GROUP_JOIN:
        join_group_response_init(p);
        return;
    case GROUP_SYNC:
        sync_group_response_init(p);
        return;
    case GROUP_HEARTBEAT:
        heartbeat_response_init(p);
        return;
    case GROUP_LEAVE:
        leave_group_response_init(p);
        return;
    case GROUP_COMMIT:
        offset_commit_response_init(p);
        return;
    case GROUP_FETCH:
        offset_fetch_response_group_init(p);
        return;
    case GROUP_OFFSET_DELETE:
        offset_delete_response_init(p);
        return;
    case GROUP_DELETE:
        delete_groups_response_result_init(p);
        return;
    case GROUP_DESCRIBE:
        describe_groups_response_group_init(p);
        return;
    case GROUP_LIST:
        return;
    case GROUP_CONSUMER_HEARTBEAT:
        consumer_group_heartbeat_response_init(p);
        return;
    case GROUP_CONSUMER_DESCRIBE:
        consumer_group_describe_response_group_init(p);
        return;
    case GROUP_CALL_KINDS:
        break;
    }
    UNREACHABLE();
}

static void *response_new(struct group_call *call)
{
    if (call->arena.limit_bytes)
        arena_deinit(&call->arena);
    arena_init(&call->arena, GROUP_ANSWER_BYTES_MAX, NULL, 0);
    call->short_of_memory = false;
    void *p = arena_alloc(&call->arena, response_bytes[call->kind]);
    if (p)
        response_init(call->kind, p);
    call->response = p;
    return p;
}

void *group_answer_new(struct groups *g, struct group_call *call)
{
    void *p = response_new(call);
    if (!p)
        group_answer(g, call);
    return p;
}

void *group_answer_alloc(struct group_call *call, size_t count, size_t size)
{
    void *p = arena_array(&call->arena, count, size);
    call->short_of_memory |= p == NULL;
    return p;
}

struct bytes group_answer_copy(struct group_call *call, struct bytes b)
{
    if (!b.p)
        return b;
    const uint8_t *copy = arena_copy(&call->arena, b.p, b.n);
    call->short_of_memory |= copy == NULL;
    return bytes_of(copy, copy ? b.n : 0);
}

void group_answer(struct groups *g, struct group_call *call)
{
    ASSERT(call->stage == GROUP_CALL_IDLE && call->kind < GROUP_CALL_KINDS);
    if (call->short_of_memory)
        call->response = NULL;
    call->stage = GROUP_CALL_ANSWERED;
    call->group = NULL;
    call->waiting = NULL;
    list_push_back(&g->answers, &call->link);
}

void group_answer_if(struct groups *g, struct group_call *call, bool complete)
{
    if (!complete)
        call->response = NULL;
    group_answer(g, call);
}

void group_call_deinit(struct group_call *call)
{
    arena_deinit(&call->arena);
    call->response = NULL;
}

// ------------------------------------------------------------------------------------------------ errors

static bool refuse_leave(struct group_call *call, int16_t code)
{
    const struct leave_group_request *in = call->request;
    struct leave_group_response *out = call->response;
    // Only this error is one of the members' (KIP-345): there is no such group, so nobody is in it.
    if (call->version < 3 || code != kerr_of(RC_UNKNOWN_MEMBER_ID)) {
        out->error_code = code;
        return true;
    }
    out->members = group_answer_alloc(call, in->members_count, sizeof(*out->members));
    if (!out->members)
        return false;
    out->members_count = in->members_count;
    for (uint32_t i = 0; i < in->members_count; i++) {
        out->members[i].member_id = group_answer_copy(call, in->members[i].member_id);
        out->members[i].group_instance_id = group_answer_copy(call, in->members[i].group_instance_id);
        out->members[i].error_code = code;
    }
    return true;
}

bool group_answer_commit(struct group_call *call, int16_t code)
{
    const struct offset_commit_request *in = call->request;
    struct offset_commit_response *out = call->response;
    out->topics = group_answer_alloc(call, in->topics_count, sizeof(*out->topics));
    if (!out->topics)
        return false;
    out->topics_count = in->topics_count;
    for (uint32_t i = 0; i < in->topics_count; i++) {
        const struct offset_commit_request_topic *t = &in->topics[i];
        struct offset_commit_response_topic *o = &out->topics[i];
        o->name = group_answer_copy(call, t->name);
        o->partitions = group_answer_alloc(call, t->partitions_count, sizeof(*o->partitions));
        if (!o->partitions)
            return false;
        o->partitions_count = t->partitions_count;
        for (uint32_t k = 0; k < t->partitions_count; k++)
            o->partitions[k] = (struct offset_commit_response_partition){
                .partition_index = t->partitions[k].partition_index, .error_code = code};
    }
    return !call->short_of_memory;
}

// Fills the fresh response of the call; false: memory.
static bool refuse(struct group_call *call, int16_t code, const char *message)
{
    struct bytes text = message ? bytes_str(message) : bytes_of(NULL, 0);
    switch (call->kind) {
    case GROUP_JOIN: {
        const struct join_group_request *in = call->request;
        struct join_group_response *out = call->response;
        out->error_code = code;
        out->member_id = group_answer_copy(call, in->member_id);
        return true;
    }
    case GROUP_SYNC:
        ((struct sync_group_response *)call->response)->error_code = code;
        return true;
    case GROUP_HEARTBEAT:
        ((struct heartbeat_response *)call->response)->error_code = code;
        return true;
    case GROUP_LEAVE:
        return refuse_leave(call, code);
    case GROUP_COMMIT:
        return group_answer_commit(call, code);
    case GROUP_FETCH:
        ((struct offset_fetch_response_group *)call->response)->group_id = group_answer_copy(call, call->group_id);
        ((struct offset_fetch_response_group *)call->response)->error_code = code;
        return true;
    case GROUP_OFFSET_DELETE:
        ((struct offset_delete_response *)call->response)->error_code = code;
        return true;
    case GROUP_DELETE:
        ((struct delete_groups_response_result *)call->response)->group_id = group_answer_copy(call, call->group_id);
        ((struct delete_groups_response_result *)call->response)->error_code = code;
        return true;
    case GROUP_DESCRIBE:
        ((struct describe_groups_response_group *)call->response)->group_id = group_answer_copy(call, call->group_id);
        ((struct describe_groups_response_group *)call->response)->error_code = code;
        return true;
    case GROUP_LIST:
        ((struct group_list *)call->response)->error_code = code;
        return true;
    case GROUP_CONSUMER_HEARTBEAT:
        ((struct consumer_group_heartbeat_response *)call->response)->error_code = code;
        ((struct consumer_group_heartbeat_response *)call->response)->error_message = text;
        return true;
    case GROUP_CONSUMER_DESCRIBE: {
        struct consumer_group_describe_response_group *out = call->response;
        out->group_id = group_answer_copy(call, call->group_id);
        out->error_code = code;
        out->error_message = text;
        return true;
    }
    case GROUP_CALL_KINDS:
        break;
    }
    UNREACHABLE();
}

void group_call_refuse(struct group_call *call, enum rc rc)
{
    if (response_new(call) && (!refuse(call, kerr_of(rc), NULL) || call->short_of_memory))
        call->response = NULL;
}

void group_answer_error(struct groups *g, struct group_call *call, enum rc rc, const char *message)
{
    ASSERT(rc != RC_OK);
    bool complete = response_new(call) && refuse(call, kerr_of(rc), message);
    group_answer_if(g, call, complete);
}

enum rc group_append_error(enum group_call_kind kind, enum rc rc)
{
    ASSERT(rc != RC_OK);
    if (rc == RC_MESSAGE_TOO_LARGE || rc == RC_RECORD_LIST_TOO_LARGE || rc == RC_INVALID_FETCH_SIZE)
        return kind == GROUP_COMMIT ? RC_INVALID_COMMIT_OFFSET_SIZE : RC_UNKNOWN_SERVER_ERROR;
    if (rc == RC_TIMED_OUT || rc == RC_REQUEST_TIMED_OUT)
        return kind == GROUP_COMMIT ? RC_REQUEST_TIMED_OUT : RC_COORDINATOR_NOT_AVAILABLE;
    if (rc == RC_NOT_ENOUGH_REPLICAS || rc == RC_NOT_ENOUGH_REPLICAS_AFTER_APPEND || rc == RC_NOMEM ||
        rc == RC_UNKNOWN_TOPIC_OR_PARTITION || rc == RC_FULL || rc == RC_AGAIN)
        return RC_COORDINATOR_NOT_AVAILABLE;
    if (rc == RC_NOT_LEADER_OR_FOLLOWER || rc == RC_STORAGE_ERROR || rc == RC_IO || rc == RC_NO_SPACE ||
        rc == RC_OFFLINE || rc == RC_CLOSED || rc == RC_CANCELLED || rc == RC_FENCED_LEADER_EPOCH)
        return RC_NOT_COORDINATOR;
    return rc;
}
