// SPDX-License-Identifier: Apache-2.0
//
// OffsetCommit. Partitions that do not exist are answered for themselves, as Kafka's request layer does it; then the
// group judges the member; then each partition's metadata is measured. What is left is one decision that does not wait
// for other commits.
#include "group/core.h"
#include "model/kerr.h"

static bool partition_exists(struct groups *g, const struct group_topic *t, bool found, int32_t partition)
{
    if (!g->host.topic_by_name)
        return partition >= 0;
    return found && partition >= 0 && partition < t->partition_count;
}

// The response with an error for every partition that does not exist. *existing: how many do. False: memory.
static bool response_begin(struct groups *g, struct group_call *call, uint32_t *existing)
{
    const struct offset_commit_response *out = call->response;
    *existing = 0;
    if (!group_answer_commit(call, kerr_of(RC_OK)))
        return false;
    for (uint32_t i = 0; i < out->topics_count; i++) {
        const struct offset_commit_response_topic *o = &out->topics[i];
        struct group_topic topic = {0};
        bool found = g->host.topic_by_name && g->host.topic_by_name(g->host.context, o->name, &topic);
        for (uint32_t k = 0; k < o->partitions_count; k++) {
            bool exists = partition_exists(g, &topic, found, o->partitions[k].partition_index);
            *existing += exists;
            if (!exists)
                o->partitions[k].error_code = kerr_of(RC_UNKNOWN_TOPIC_OR_PARTITION);
        }
    }
    return true;
}

// Every partition that was well until now failed with rc.
static void response_fail(struct group_call *call, enum rc rc)
{
    struct offset_commit_response *out = call->response;
    for (uint32_t i = 0; i < out->topics_count; i++)
        for (uint32_t k = 0; k < out->topics[i].partitions_count; k++)
            if (out->topics[i].partitions[k].error_code == kerr_of(RC_OK))
                out->topics[i].partitions[k].error_code = kerr_of(rc);
}

void offsets_commit_failed(struct groups *g, struct group_call *call, enum rc rc)
{
    response_fail(call, rc);
    group_answer(g, call);
}

static enum rc commit_allowed(struct group *gr, const struct group_call *call)
{
    const struct offset_commit_request *in = call->request;
    int32_t generation = in->generation_id_or_member_epoch;
    if (!gr) {
        // A consumer that only stores its offsets here makes the group with its first commit.
        if (generation < 0)
            return RC_OK;
        return call->version >= 9 ? RC_GROUP_ID_NOT_FOUND : RC_ILLEGAL_GENERATION;
    }
    if (gr->type == GROUP_CLASSIC)
        return classic_commit_allowed(gr, call, in);
    if (gr->type == GROUP_UNTYPED)
        return generation < 0 ? RC_OK : RC_UNKNOWN_MEMBER_ID;
    enum rc rc = consumer_commit_allowed(gr, call, in);
    return rc == RC_STALE_MEMBER_EPOCH && call->version < 9 ? RC_UNSUPPORTED_VERSION : rc;
}

// A topic that was deleted and made again: this commit is newer than the deletion, whatever its client says.
static int64_t commit_ms(const struct groups *g, struct bytes topic, int64_t asked_ms)
{
    int64_t at = asked_ms == TIMESTAMP_NONE ? g->now.wall_ms : asked_ms;
    const struct topic_ref *t = topic_ref_find(g, topic);
    return t && t->deleted_ms != 0 && at <= t->deleted_ms ? t->deleted_ms + 1 : at;
}

static int64_t expire_ms(const struct offset_commit_request *in, int64_t wall_ms)
{
    int64_t at;
    if (in->retention_time_ms == -1)
        return -1;
    if (__builtin_add_overflow(wall_ms, in->retention_time_ms, &at))
        return INT64_MAX;
    return at < 0 ? 0 : at;
}

// Adds the records of the partitions without an error; returns how many.
static uint32_t add_records(struct group_append *a, struct group_call *call)
{
    const struct groups *g = a->groups;
    const struct offset_commit_request *in = call->request;
    struct offset_commit_response *out = call->response;
    int64_t expires = expire_ms(in, g->now.wall_ms);
    uint32_t added = 0;
    for (uint32_t i = 0; i < in->topics_count; i++) {
        for (uint32_t k = 0; k < in->topics[i].partitions_count; k++) {
            const struct offset_commit_request_partition *p = &in->topics[i].partitions[k];
            int16_t *error = &out->topics[i].partitions[k].error_code;
            if (*error != kerr_of(RC_OK))
                continue;
            size_t limit = (size_t)g->config.offset_metadata_bytes_max;
            if (p->committed_metadata.n > limit && utf16_length(p->committed_metadata) > limit) {
                *error = kerr_of(RC_OFFSET_METADATA_TOO_LARGE);
                continue;
            }
            struct offset_commit_value value = {
                .offset = p->committed_offset,
                .leader_epoch = p->committed_leader_epoch < 0 ? LEADER_EPOCH_NONE : p->committed_leader_epoch,
                .metadata = p->committed_metadata,
                .commit_timestamp = commit_ms(g, in->topics[i].name, p->commit_timestamp),
                .expire_timestamp = expires};
            offsets_add_record(a, in->topics[i].name, p->partition_index, &value);
            added++;
        }
    }
    return added;
}

// The commits that queued behind a decision go in one batch, as long as there is room.
static bool share_room(const struct core *c, const struct group_call *call)
{
    enum { RECORD_BYTES = 120 }; // a record without its names and metadata takes less
    const struct offset_commit_request *in = call->request;
    size_t need = 0;
    for (uint32_t i = 0; i < in->topics_count; i++)
        for (uint32_t k = 0; k < in->topics[i].partitions_count; k++)
            need += RECORD_BYTES + call->group_id.n + in->topics[i].name.n +
                    in->topics[i].partitions[k].committed_metadata.n;
    return c->builder.records.n + need <= c->builder.records.size_max;
}

static void submit(struct group_append *a)
{
    struct groups *g = a->groups;
    struct list calls;
    list_init(&calls);
    for (struct list_node *n; (n = list_first(&a->calls)) != NULL;) {
        group_decision_release(a, list_entry(n, struct group_call, link));
        list_push_back(&calls, n);
    }
    enum rc rc = group_decision_submit(a, NULL, NULL);
    for (struct list_node *n; (n = list_pop_front(&calls)) != NULL;) {
        struct group_call *call = list_entry(n, struct group_call, link);
        if (rc == RC_OK)
            group_decision_attach(a, call);
        else
            offsets_commit_failed(g, call, group_append_error(GROUP_COMMIT, rc));
    }
}

static void share_submit(struct core *c)
{
    struct group_append *a = c->shared;
    c->shared = NULL;
    a->group->holds--;
    submit(a);
}

void offsets_share_end(struct groups *g)
{
    struct core *c = core_of(g);
    if (!c->shared)
        return;
    struct group *gr = c->shared->group;
    share_submit(c);
    group_drop_if_unused(gr);
}

static void commit_decide(struct groups *g, struct group *gr, struct group_call *call)
{
    struct core *c = core_of(g);
    if (c->shared && (c->shared->group != gr || !share_room(c, call)))
        share_submit(c);
    struct group_append *a = c->shared ? c->shared : group_decision_begin(gr, false);
    if (!a) {
        offsets_commit_failed(g, call, RC_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    if (add_records(a, call) == 0) {
        if (a != c->shared)
            group_decision_cancel(a);
        group_answer(g, call);
        return;
    }
    group_decision_attach(a, call);
    if (!c->sharing) {
        submit(a);
    } else if (!c->shared) {
        c->shared = a;
        gr->holds++;
    }
}

void offsets_commit(struct groups *g, struct group *gr, struct group_call *call)
{
    uint32_t existing;
    if (!group_answer_new(g, call))
        return;
    if (!response_begin(g, call, &existing)) {
        group_answer_if(g, call, false);
        return;
    }
    enum rc rc = existing ? commit_allowed(gr, call) : RC_OK;
    if (existing == 0 || rc != RC_OK) {
        response_fail(call, rc == RC_OK ? RC_UNKNOWN_TOPIC_OR_PARTITION : rc);
        group_answer(g, call);
        return;
    }
    gr = group_ensure(g, call->group_id);
    if (!gr) {
        offsets_commit_failed(g, call, RC_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    commit_decide(g, gr, call);
    group_drop_if_unused(gr);
}
