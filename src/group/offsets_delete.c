// SPDX-License-Identifier: Apache-2.0
//
// How committed offsets go: OffsetDelete (KIP-496), retention (KIP-211), their topic's deletion. All of it exclusive
// and only while no commit is in flight, so that no tombstone overtakes a newer offset.
#include "group/core.h"
#include "model/kerr.h"

enum { NS_PER_MS = 1000000 };

// ------------------------------------------------------------------------------------------------ OffsetDelete

static enum rc delete_topic(struct group *gr, struct group_call *call, struct group_append *a,
                            const struct offset_delete_request_topic *t, struct offset_delete_response_topic *o)
{
    struct groups *g = gr->groups;
    struct group_topic topic;
    enum rc rc = RC_OK;
    if (g->host.topic_by_name && !g->host.topic_by_name(g->host.context, t->name, &topic))
        rc = RC_UNKNOWN_TOPIC_OR_PARTITION;
    else if (group_subscribes(gr, t->name))
        rc = RC_GROUP_SUBSCRIBED_TO_TOPIC;
    o->name = group_answer_copy(call, t->name);
    o->partitions = group_answer_alloc(call, t->partitions_count, sizeof(*o->partitions));
    if (!o->partitions || (t->name.n && !o->name.p))
        return RC_NOMEM;
    o->partitions_count = t->partitions_count;
    for (uint32_t k = 0; k < t->partitions_count; k++) {
        int32_t index = t->partitions[k].partition_index;
        o->partitions[k] =
            (struct offset_delete_response_partition){.partition_index = index, .error_code = kerr_of(rc)};
        if (rc == RC_OK && (offsets_find(gr, t->name, index) || offsets_pending(gr, t->name, index)))
            offsets_add_tombstone(a, t->name, index);
    }
    return RC_OK;
}

static enum rc delete_decide(struct group *gr, struct group_call *call)
{
    const struct offset_delete_request *in = call->request;
    struct offset_delete_response *out = call->response;
    struct group_append *a = group_decision_begin(gr, true);
    if (!a)
        return RC_NOMEM;
    out->topics = group_answer_alloc(call, in->topics_count, sizeof(*out->topics));
    out->topics_count = in->topics_count;
    enum rc rc = out->topics ? RC_OK : RC_NOMEM;
    for (uint32_t i = 0; rc == RC_OK && i < in->topics_count; i++)
        rc = delete_topic(gr, call, a, &in->topics[i], &out->topics[i]);
    if (rc != RC_OK) {
        group_decision_cancel(a);
        return rc;
    }
    group_decision_attach(a, call);
    return group_decision_submit(a, NULL, NULL);
}

void offsets_delete(struct groups *g, struct group *gr, struct group_call *call)
{
    if (!gr) {
        group_answer_error(g, call, RC_GROUP_ID_NOT_FOUND, NULL);
        return;
    }
    if (gr->type == GROUP_CLASSIC && classic_member_count(gr) > 0 && !classic_is_consumer(gr)) {
        group_answer_error(g, call, RC_NON_EMPTY_GROUP, NULL);
        return;
    }
    if (!group_answer_new(g, call))
        return;
    enum rc rc = delete_decide(gr, call);
    if (rc != RC_OK)
        group_answer_error(g, call, group_append_error(call->kind, rc), NULL);
}

// ------------------------------------------------------------------------------------------------ retention

static bool offset_expired(const struct group *gr, const struct group_offset *o)
{
    const struct groups *g = gr->groups;
    int64_t now = g->now.settled_ms;
    enum classic_expiry by = gr->type == GROUP_CLASSIC ? classic_expiry(gr) : CLASSIC_EXPIRY_COMMIT;
    if (by == CLASSIC_EXPIRY_NEVER)
        return false;
    int64_t base = by == CLASSIC_EXPIRY_EMPTY && gr->empty_since_ms >= 0 ? gr->empty_since_ms : o->commit_ms;
    bool old = o->expire_ms >= 0 ? now >= o->expire_ms : base <= now - g->config.offsets_retention_ms;
    struct bytes topic = topic_ref_name(o->topic);
    return old && !group_subscribes(gr, topic) && !offsets_pending(gr, topic, o->partition);
}

static bool offset_orphaned(const struct group *gr, const struct group_offset *o)
{
    (void)gr;
    return offset_of_deleted(o);
}

typedef bool (*offset_goes_fn)(const struct group *gr, const struct group_offset *o);

static size_t going_count(const struct group *gr, offset_goes_fn goes)
{
    size_t count = 0;
    for (struct map_node *n = map_first(&gr->offsets); n; n = map_next(&gr->offsets, n))
        count += goes(gr, container_of(n, struct group_offset, node));
    return count;
}

static void expired_applied(struct group_append *a, enum rc rc)
{
    if (rc == RC_OK)
        a->groups->expired_offsets += (uintptr_t)a->context;
    else
        trace_warn(a->groups->host.trace, "group coordinator: offsets that expired could not be deleted, later: %s",
                   rc_text(rc));
}

// A group that is empty of members, with nothing pending: its record may go with its last offset.
static bool group_over(const struct group *gr)
{
    return group_member_count(gr) == 0 && gr->pending_offsets == 0 &&
           (gr->type != GROUP_CLASSIC || classic_is_empty(gr));
}

// Decides the end of the offsets that go, as many as one batch takes, and of the group with the last. False: something
// is left to do.
static bool let_go(struct group *gr, offset_goes_fn goes)
{
    size_t going = going_count(gr, goes);
    bool last = going == gr->offsets.count && group_over(gr) && (going > 0 || gr->type != GROUP_UNTYPED);
    if (goes != offset_expired)
        last = false;
    if (going == 0 && !last)
        return true;
    if (!group_may_decide(gr) || gr->commits_in_flight > 0)
        return false;
    struct group_append *a = group_decision_begin(gr, true);
    if (!a)
        return false;
    size_t added = 0, room = gr->groups->config.batch_bytes_max / 2;
    const struct buf *records = &core_of(gr->groups)->builder.records;
    for (struct map_node *n = map_first(&gr->offsets); n && records->n < room; n = map_next(&gr->offsets, n)) {
        const struct group_offset *o = container_of(n, struct group_offset, node);
        if (goes(gr, o)) {
            offsets_add_tombstone(a, topic_ref_name(o->topic), o->partition);
            added++;
        }
    }
    if (last && added == going && gr->type == GROUP_CLASSIC)
        classic_add_tombstones(a, gr);
    else if (last && added == going && gr->type == GROUP_CONSUMER)
        consumer_add_tombstones(a, gr);
    enum rc rc = group_decision_submit(a, expired_applied, (void *)(uintptr_t)added);
    return rc == RC_OK && added == going;
}

void offsets_expiry_fire(struct groups *g, struct group_deadline *d)
{
    bool done = true;
    for (struct map_node *n = map_first(&g->by_id), *next; n; n = next) {
        next = map_next(&g->by_id, n);
        struct group *gr = container_of(n, struct group, node);
        done &= let_go(gr, offset_expired);
    }
    uint64_t again = done ? (uint64_t)g->config.offsets_retention_check_ms * NS_PER_MS : 5 * GROUP_RETRY_NS;
    group_deadline_set(g, d, g->now.now_ns + again, offsets_expiry_fire);
}

// Until nothing is left: what could not go is tried again, and a commit that was in flight when its topic went calls it
// anew (offsets_put()).
void offsets_sweep_fire(struct groups *g, struct group_deadline *d)
{
    bool left = false;
    for (struct map_node *n = map_first(&g->by_id), *next; n; n = next) {
        next = map_next(&g->by_id, n);
        struct group *gr = container_of(n, struct group, node);
        if (going_count(gr, offset_orphaned) == 0)
            continue;
        left = true; // until its decision is applied
        let_go(gr, offset_orphaned);
    }
    if (left)
        group_deadline_set(g, d, g->now.now_ns + 5 * GROUP_RETRY_NS, offsets_sweep_fire);
}
