// SPDX-License-Identifier: Apache-2.0
//
// JoinGroup, in the order in which Kafka looks at it.
#include "group/classic.h"
#include "model/kerr.h"

#include <stdio.h>
#include <stdlib.h>

enum { MEMBER_ID_PREFIX_BYTES = 255, UUID_CHARS = 36 };

// The error with the member id Kafka puts into it.
static void refuse(struct groups *g, struct group_call *call, enum rc rc, struct bytes member_id)
{
    struct join_group_response *out = group_answer_new(g, call);
    if (!out)
        return;
    out->error_code = kerr_of(rc);
    out->member_id = member_id.n ? group_answer_copy(call, member_id) : bytes_str("");
    group_answer_if(g, call, out->member_id.p != NULL);
}

static struct bytes reason_of(const struct join_group_request *in)
{
    struct bytes r = in->reason.n ? in->reason : bytes_str("not provided");
    return bytes_of(r.p, r.n < 80 ? r.n : 80);
}

#define REASON_BYTES 256

static const char *reason(char out[REASON_BYTES], const char *what, struct bytes member_id,
                          const struct join_group_request *in)
{
    struct bytes r = reason_of(in), instance = in->group_instance_id;
    int id_bytes = member_id.n < 60 ? (int)member_id.n : 60, instance_bytes = instance.n < 40 ? (int)instance.n : 40;
    snprintf(out, REASON_BYTES, "%s %.*s%s%.*s (client reason: %.*s)", what, id_bytes, (const char *)member_id.p,
             instance.n ? ", instance " : "", instance_bytes, (const char *)instance.p, (int)r.n, (const char *)r.p);
    return out;
}

// Client id or instance id, and a random UUID.
static struct bytes new_member_id(struct groups *g, const struct group_call *call,
                                  char out[MEMBER_ID_PREFIX_BYTES + 1 + UUID_CHARS + 1])
{
    const struct join_group_request *in = call->request;
    struct bytes prefix = in->group_instance_id.p ? in->group_instance_id : call->client_id;
    size_t n = prefix.n < MEMBER_ID_PREFIX_BYTES ? prefix.n : MEMBER_ID_PREFIX_BYTES;
    uint64_t a = prng_next(&g->prng), b = prng_next(&g->prng);
    a = (a & ~UINT64_C(0xf000)) | 0x4000;
    b = (b & ~(UINT64_C(3) << 62)) | UINT64_C(1) << 63;
    if (n)
        memcpy(out, prefix.p, n);
    snprintf(out + n, 1 + UUID_CHARS + 1, "-%08x-%04x-%04x-%04x-%012llx", (unsigned)(a >> 32),
             (unsigned)(a >> 16 & 0xffff), (unsigned)(a & 0xffff), (unsigned)(b >> 48),
             (unsigned long long)(b & UINT64_C(0xffffffffffff)));
    return bytes_of(out, n + 1 + UUID_CHARS);
}

static int32_t rebalance_ms(const struct group_call *call)
{
    const struct join_group_request *in = call->request;
    return call->version == 0 || in->rebalance_timeout_ms < 0 ? in->session_timeout_ms : in->rebalance_timeout_ms;
}

// Takes over what the request says; protocols_owned becomes the member's.
static void member_update(struct classic_member *m, const struct group_call *call,
                          struct classic_protocols *protocols_owned)
{
    const struct join_group_request *in = call->request;
    free(m->protocols);
    m->protocols = protocols_owned;
    m->session_ms = in->session_timeout_ms;
    m->rebalance_ms = rebalance_ms(call);
}

// A member of the request, not yet in the group. NULL: memory.
static struct classic_member *member_made(struct group *gr, struct group_call *call, struct bytes id)
{
    const struct join_group_request *in = call->request;
    struct classic_member *m =
        classic_member_new(gr, id, in->group_instance_id, call->client_id, bytes_str(call->client_host));
    struct classic_protocols *p = m ? classic_protocols_new(in) : NULL;
    if (!p) {
        if (m)
            classic_member_free(m);
        return NULL;
    }
    member_update(m, call, p);
    return m;
}

static bool take_protocol_type(struct classic_group *cl, const struct join_group_request *in)
{
    return cl->member_count > 0 || classic_set_text(&cl->protocol_type, &cl->protocol_type_bytes, in->protocol_type);
}

// A member joins for the first time. It may have been pending under this id.
static void add_member(struct group *gr, struct group_call *call, struct bytes id)
{
    struct groups *g = gr->groups;
    struct classic_group *cl = gr->classic;
    char text[REASON_BYTES];
    struct classic_member *m = member_made(gr, call, id);
    if (!m || !take_protocol_type(cl, call->request)) {
        if (m)
            classic_member_free(m);
        group_answer_error(g, call, RC_COORDINATOR_NOT_AVAILABLE, NULL);
        return;
    }
    struct classic_member *pending = classic_find(cl, classic_member_id(m));
    if (pending)
        classic_member_remove(pending, RC_UNKNOWN_MEMBER_ID);
    if (classic_member_add(m, NULL) != RC_OK) {
        classic_member_free(m);
        group_answer_error(g, call, RC_COORDINATOR_NOT_AVAILABLE, NULL);
        return;
    }
    m->is_new = true;
    if (cl->state == CLASSIC_PREPARING && cl->from_empty)
        cl->member_added = true;
    classic_park_join(m, call);
    group_deadline_set(g, &m->session, g->now.now_ns + (uint64_t)CLASSIC_NEW_MEMBER_JOIN_MS * 1000000,
                       classic_session_fire);
    classic_rebalance_or_complete(gr, reason(text, "new member", classic_member_id(m), call->request));
}

static void add_pending(struct group *gr, struct group_call *call, struct bytes id)
{
    struct groups *g = gr->groups;
    const struct join_group_request *in = call->request;
    struct classic_member *m =
        classic_member_new(gr, id, bytes_of(NULL, 0), call->client_id, bytes_str(call->client_host));
    if (m) {
        m->pending = true;
        m->session_ms = in->session_timeout_ms;
        if (classic_member_add(m, NULL) != RC_OK) {
            classic_member_free(m);
            m = NULL;
        }
    }
    if (!m) {
        group_answer_error(g, call, RC_COORDINATOR_NOT_AVAILABLE, NULL);
        return;
    }
    classic_touch(m);
    refuse(g, call, RC_MEMBER_ID_REQUIRED, id);
}

// ------------------------------------------------------------------------------------------------ static members

// Topics of two subscriptions differ: what the group was assigned is not what the member asks for.
static bool topics_differ(struct bytes a, struct bytes b)
{
    struct classic_topics x, y;
    struct bytes s, t;
    if (!classic_topics_begin(&x, a) || !classic_topics_begin(&y, b))
        return false;
    if (x.left != y.left)
        return true;
    while (classic_topics_next(&x, &s)) {
        bool found = false;
        struct classic_topics z = y;
        while (!found && classic_topics_next(&z, &t))
            found = bytes_eq(s, t);
        if (!found)
            return true;
    }
    return false;
}

// May the member take the old one's place without a rebalance?
static bool fits(const struct classic_group *cl, const struct classic_member *old, const struct classic_member *m)
{
    struct bytes name = classic_protocol_name(cl);
    if (!bytes_eq(name, classic_select(cl, old, m->protocols)))
        return false;
    const struct classic_protocol *before = classic_protocols_find(old->protocols, name);
    const struct classic_protocol *now = classic_protocols_find(m->protocols, name);
    return before && now && !topics_differ(before->metadata, now->metadata);
}

// Stored: the new member id counts, the old one is fenced. From version 9 a leader is told who is there and not to
// assign (KIP-814); before, it must not take itself for the leader.
static void replaced(struct group_append *a, enum rc rc)
{
    struct group *gr = a->group;
    if (gr->type != GROUP_CLASSIC)
        return;
    struct classic_group *cl = gr->classic;
    struct list_node *n = list_first(&a->calls);
    struct group_call *call = n ? list_entry(n, struct group_call, link) : NULL;
    if (rc != RC_OK) {
        if (cl->incoming)
            classic_member_free(cl->incoming);
        cl->incoming = NULL;
        return;
    }
    if (!call)
        return; // nobody listens any more
    const struct join_group_request *in = call->request;
    struct classic_member *m = classic_find_instance(cl, in->group_instance_id);
    group_decision_release(a, call);
    if (!m) {
        group_answer_error(gr->groups, call, RC_UNKNOWN_MEMBER_ID, NULL);
        return;
    }
    bool leads = cl->leader == m;
    classic_answer_join_call(m, call, leads && call->version >= 9, leads && call->version >= 9);
    struct join_group_response *out = call->response;
    if (leads && call->version < 9 && out)
        out->leader = group_answer_copy(call, bytes_of(cl->leader_before, cl->leader_before_bytes));
}

static void replace_stable(struct group *gr, struct group_call *call, struct classic_member *old,
                           struct classic_member *m)
{
    struct classic_group *cl = gr->classic;
    bool kept = classic_set_text(&cl->leader_before, &cl->leader_before_bytes, classic_member_id(cl->leader));
    enum rc rc = kept ? classic_decide_replace(gr, old, m, replaced) : RC_NOMEM;
    if (rc == RC_OK) {
        group_decision_attach(gr->deciding, call);
        return;
    }
    classic_member_free(m);
    refuse(gr->groups, call, group_append_error(GROUP_JOIN, rc), bytes_of(NULL, 0));
}

// An instance that was restarted takes the place of the member it was.
static void replace_static(struct group *gr, struct group_call *call, struct classic_member *old, struct bytes id)
{
    struct groups *g = gr->groups;
    struct classic_group *cl = gr->classic;
    char text[REASON_BYTES];
    struct classic_member *m = member_made(gr, call, id);
    if (!m) {
        group_answer_error(g, call, RC_COORDINATOR_NOT_AVAILABLE, NULL);
        return;
    }
    if (cl->state == CLASSIC_STABLE && fits(cl, old, m)) {
        replace_stable(gr, call, old, m);
        return;
    }
    bool leads = cl->leader == old;
    if (classic_member_add(m, old) != RC_OK) {
        classic_member_free(m);
        group_answer_error(g, call, RC_COORDINATOR_NOT_AVAILABLE, NULL);
        return;
    }
    classic_member_remove(old, RC_FENCED_INSTANCE_ID);
    if (leads)
        cl->leader = m;
    classic_park_join(m, call);
    classic_touch(m);
    reason(text, "static member restarted as", classic_member_id(m), call->request);
    if (cl->state == CLASSIC_PREPARING)
        classic_complete_if_joined(gr);
    else
        classic_prepare(gr, text);
}

// ------------------------------------------------------------------------------------------------ cases

static void join_new(struct group *gr, struct group_call *call)
{
    const struct join_group_request *in = call->request;
    char text[MEMBER_ID_PREFIX_BYTES + 1 + UUID_CHARS + 1];
    struct bytes id = new_member_id(gr->groups, call, text);
    struct bytes instance = in->group_instance_id;
    struct classic_member *old = instance.p ? classic_find_instance(gr->classic, instance) : NULL;
    if (old)
        replace_static(gr, call, old, id);
    else if (!instance.p && call->version >= 4)
        add_pending(gr, call, id);
    else
        add_member(gr, call, id);
}

static void rejoin(struct group *gr, struct group_call *call, struct classic_member *m, const char *what)
{
    char text[REASON_BYTES];
    struct classic_protocols *p = classic_protocols_new(call->request);
    if (!p) {
        group_answer_error(gr->groups, call, RC_COORDINATOR_NOT_AVAILABLE, NULL);
        return;
    }
    member_update(m, call, p);
    if (!m->is_new)
        classic_touch(m);
    classic_park_join(m, call);
    classic_rebalance_or_complete(gr, reason(text, what, classic_member_id(m), call->request));
}

static void join_member(struct group *gr, struct group_call *call, struct classic_member *m)
{
    struct groups *g = gr->groups;
    struct classic_group *cl = gr->classic;
    bool same = classic_protocols_equal(m->protocols, call->request);
    switch (cl->state) {
    case CLASSIC_EMPTY:
        refuse(g, call, RC_UNKNOWN_MEMBER_ID, classic_member_id(m));
        return;
    case CLASSIC_PREPARING:
        rejoin(gr, call, m, "member joins");
        return;
    case CLASSIC_COMPLETING:
        if (!same) {
            rejoin(gr, call, m, "metadata changed of member");
            return;
        }
        break; // it did not get the answer to its join
    case CLASSIC_STABLE:
        // A leader that joins again wants new assignments; its metadata need not tell (topics may have changed).
        if (m == cl->leader || !same) {
            rejoin(gr, call, m, same ? "leader rejoins:" : "metadata changed of member");
            return;
        }
        break;
    }
    classic_touch(m);
    classic_answer_join_call(m, call, cl->state == CLASSIC_COMPLETING && m == cl->leader, false);
}

static void join_known(struct group *gr, struct group_call *call)
{
    struct classic_group *cl = gr->classic;
    const struct join_group_request *in = call->request;
    struct classic_member *m = classic_find(cl, in->member_id);
    if (m && m->pending && !in->group_instance_id.p) {
        add_member(gr, call, in->member_id);
        return;
    }
    enum rc rc = classic_validate(cl, in->member_id, in->group_instance_id);
    if (rc != RC_OK)
        refuse(gr->groups, call, rc, in->member_id);
    else
        join_member(gr, call, m);
}

// group.max.size. While members join, only those who are in time count: a group above the limit loses its slowest.
static bool has_room(const struct groups *g, const struct classic_group *cl, const struct classic_member *m)
{
    uint32_t most = (uint32_t)g->config.size_max;
    switch (cl->state) {
    case CLASSIC_EMPTY:
        return true;
    case CLASSIC_PREPARING:
        return (m && m->awaiting_join) || cl->awaiting_join_count < most;
    case CLASSIC_COMPLETING:
    case CLASSIC_STABLE:
        return (m && !m->pending) || cl->member_count < most;
    }
    UNREACHABLE();
}

static void join_group(struct group *gr, struct group_call *call)
{
    struct groups *g = gr->groups;
    struct classic_group *cl = gr->classic;
    const struct join_group_request *in = call->request;
    struct classic_member *m = in->member_id.n ? classic_find(cl, in->member_id) : NULL;
    if (!has_room(g, cl, m)) {
        if (m)
            classic_member_remove(m, RC_GROUP_MAX_SIZE_REACHED);
        refuse(g, call, RC_GROUP_MAX_SIZE_REACHED, bytes_of(NULL, 0));
    } else if (!classic_supports(cl, in)) {
        refuse(g, call, RC_INCONSISTENT_GROUP_PROTOCOL, in->member_id);
    } else if (in->member_id.n == 0) {
        join_new(gr, call);
    } else {
        join_known(gr, call);
    }
}

// The group was of the new protocol and is empty: what its records say goes first, then the call comes again.
static void converted(struct group_append *a, enum rc rc)
{
    if (rc == RC_OK && a->group->type == GROUP_CONSUMER)
        group_decision_answer(a, RC_UNKNOWN_SERVER_ERROR); // never: its tombstones were applied
    for (struct list_node *n; rc == RC_OK && (n = list_first(&a->calls)) != NULL;) {
        struct group_call *call = list_entry(n, struct group_call, link);
        group_decision_release(a, call);
        group_wait(a->group, call);
        list_remove(&a->group->queue, &call->link);
        list_push_front(&a->group->queue, &call->link);
    }
}

static void convert(struct group *gr, struct group_call *call)
{
    struct group_append *a = group_decision_begin(gr, true);
    enum rc rc = RC_NOMEM;
    if (a) {
        consumer_add_tombstones(a, gr);
        group_decision_attach(a, call);
        rc = group_decision_submit(a, converted, NULL);
    }
    if (rc != RC_OK)
        group_answer_error(gr->groups, call, group_append_error(GROUP_JOIN, rc), NULL);
}

static size_t offered_bytes(const struct join_group_request *in)
{
    size_t n = 0;
    for (uint32_t i = 0; i < in->protocols_count; i++)
        n += in->protocols[i].name.n + in->protocols[i].metadata.n;
    return n;
}

void classic_join(struct groups *g, struct group *gr, struct group_call *call)
{
    const struct join_group_request *in = call->request;
    if (in->session_timeout_ms < g->config.session_timeout_min_ms ||
        in->session_timeout_ms > g->config.session_timeout_max_ms) {
        refuse(g, call, RC_INVALID_SESSION_TIMEOUT, in->member_id);
        return;
    }
    if (offered_bytes(in) > g->config.batch_bytes_max) {
        refuse(g, call, RC_UNKNOWN_SERVER_ERROR, in->member_id); // the group could never be stored
        return;
    }
    if (gr && gr->type == GROUP_CONSUMER) {
        convert(gr, call);
        return;
    }
    if (!gr && in->member_id.n) {
        refuse(g, call, RC_UNKNOWN_MEMBER_ID, in->member_id);
        return;
    }
    gr = gr ? gr : group_ensure(g, call->group_id);
    if (gr && classic_ensure(gr))
        join_group(gr, call);
    else
        group_answer_error(g, call, RC_COORDINATOR_NOT_AVAILABLE, NULL);
    if (gr)
        group_drop_if_unused(gr);
}
