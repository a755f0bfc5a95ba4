// SPDX-License-Identifier: Apache-2.0
//
// Decisions: one record batch each, from its first record to its last answer.
//
//     begin -> add ... -> submit -> groups.appends -> (host) in_flight -> done: apply, applied(), answers, queue
//                                                          `-> late: answers; then done
#include "group/core.h"

#include <stdlib.h>

enum { SCRATCH_KEPT_BYTES = 1 << 16 };

bool group_may_decide(const struct group *gr)
{
    return !gr->deciding && !gr->groups->loading && !gr->groups->stopped && !gr->groups->broken;
}

struct group_append *group_decision_begin(struct group *gr, bool exclusive)
{
    struct core *c = core_of(gr->groups);
    ASSERT(group_may_decide(gr) && !c->building);
    struct group_append *a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    a->groups = gr->groups;
    a->group = gr;
    a->exclusive = exclusive;
    list_init(&a->calls);
    c->building = true;
    ASSERT(c->builder.record_count == 0 && !c->key.failed && !c->value.failed);
    c->builder.options.base_offset = 0;
    a->rc = RC_OK;
    return a;
}

static bool stored_encode(struct buf *out, const struct schema_message *m, int16_t version, const void *in)
{
    struct enc e;
    out->n = 0;
    enc_init(&e, out, NULL, 0);
    enc_i16(&e, version);
    schema_encode(m, &e, version, in);
    bool ok = enc_ok(&e);
    out->failed = false;
    return ok;
}

void group_decision_add(struct group_append *a, const struct schema_message *key_message, int16_t key_version,
                        const void *key, const struct schema_message *value_message, int16_t value_version,
                        const void *value)
{
    struct groups *g = a->groups;
    struct core *c = core_of(g);
    ASSERT(c->building);
    if (a->rc != RC_OK)
        return;
    if (!stored_encode(&c->key, key_message, key_version, key) ||
        (value_message && !stored_encode(&c->value, value_message, value_version, value))) {
        a->rc = RC_NOMEM;
        return;
    }
    struct bytes v = value_message ? buf_bytes(&c->value) : bytes_of(NULL, 0);
    a->rc = batch_builder_add(&c->builder, g->now.wall_ms, buf_bytes(&c->key), v, NULL, 0);
    if (a->rc == RC_FULL)
        a->rc = RC_RECORD_LIST_TOO_LARGE;
}

void group_decision_attach(struct group_append *a, struct group_call *call)
{
    ASSERT(call->stage == GROUP_CALL_IDLE);
    call->stage = GROUP_CALL_DECIDED;
    call->waiting = a;
    list_push_back(&a->calls, &call->link);
}

void group_decision_release(struct group_append *a, struct group_call *call)
{
    ASSERT(call->stage == GROUP_CALL_DECIDED && call->waiting == a);
    list_remove(&a->calls, &call->link);
    call->stage = GROUP_CALL_IDLE;
    call->waiting = NULL;
}

void group_decision_answer(struct group_append *a, enum rc rc)
{
    struct groups *g = a->groups;
    for (struct list_node *n; (n = list_first(&a->calls)) != NULL;) {
        struct group_call *call = list_entry(n, struct group_call, link);
        group_decision_release(a, call);
        if (rc == RC_OK)
            group_answer(g, call);
        else if (call->kind == GROUP_COMMIT && call->response)
            offsets_commit_failed(g, call, group_append_error(call->kind, rc));
        else
            group_answer_error(g, call, group_append_error(call->kind, rc), NULL);
    }
}

static void shrink(struct buf *b)
{
    b->n = 0;
    b->failed = false;
    if (b->cap <= SCRATCH_KEPT_BYTES)
        return;
    size_t size_max = b->size_max;
    buf_deinit(b);
    buf_init(b, size_max);
}

static void building_end(struct core *c)
{
    ASSERT(c->building);
    c->building = false;
    c->builder.record_count = 0;
    shrink(&c->key);
    shrink(&c->value);
    shrink(&c->builder.records);
}

void group_decision_cancel(struct group_append *a)
{
    building_end(core_of(a->groups));
    for (struct list_node *n; (n = list_first(&a->calls)) != NULL;)
        group_decision_release(a, list_entry(n, struct group_call, link));
    free(a);
}

void groups_append_orphan(struct group_append *a)
{
    ASSERT(a->groups == NULL && list_empty(&a->calls) && !list_node_linked(&a->link));
    buf_deinit(&a->batch);
    free(a);
}

// Everything that follows from the outcome. Frees a, and maybe its group.
static void decision_end(struct group_append *a, enum rc rc)
{
    struct group *gr = a->group;
    if (a->exclusive) {
        ASSERT(gr->deciding == a);
        gr->deciding = NULL;
    } else {
        ASSERT(gr->commits_in_flight > 0);
        gr->commits_in_flight--;
    }
    // The group must outlive what applied() does.
    gr->holds++;
    if (a->applied)
        a->applied(a, rc);
    group_decision_answer(a, rc);
    gr->holds--;
    a->groups = NULL;
    groups_append_orphan(a);
    group_run_queue(gr);
}

enum rc group_decision_submit(struct group_append *a, void (*applied)(struct group_append *a, enum rc rc),
                              void *context)
{
    struct groups *g = a->groups;
    struct core *c = core_of(g);
    ASSERT(c->building);
    bool empty = a->rc == RC_OK && c->builder.record_count == 0;
    if (a->rc == RC_OK && !empty) {
        buf_init(&a->batch, INT32_MAX);
        a->rc = batch_builder_finish(&c->builder, &a->batch);
    }
    if (a->rc != RC_OK) {
        enum rc rc = a->rc;
        buf_deinit(&a->batch);
        group_decision_cancel(a);
        return rc;
    }
    building_end(c);
    a->applied = applied;
    a->context = context;
    if (a->exclusive)
        a->group->deciding = a;
    else
        a->group->commits_in_flight++;
    if (empty)
        decision_end(a, RC_OK);
    else
        list_push_back(&g->appends, &a->link);
    return RC_OK;
}

static enum rc decision_apply(struct group_append *a)
{
    struct batch_header h;
    struct bytes batch = buf_bytes(&a->batch);
    if (batch_header_read(batch, &h) != RC_OK)
        return RC_CORRUPT;
    struct batch_iter it;
    struct record r;
    batch_iter_init(&it, &h, bytes_of(batch.p + BATCH_HEADER_BYTES, batch.n - BATCH_HEADER_BYTES));
    enum rc rc = RC_OK;
    while (rc == RC_OK && batch_iter_next(&it, &r))
        rc = groups_apply(a->groups, PRODUCER_ID_NONE, -1, r.key, r.value);
    return rc != RC_OK ? rc : it.rc;
}

void groups_append_done(struct groups *g, struct group_append *a, enum rc rc, struct group_time now)
{
    ASSERT(a->groups == g && !g->stopped && !g->loading);
    g->now = now;
    list_remove(&g->in_flight, &a->link);
    if (g->broken)
        rc = RC_COORDINATOR_NOT_AVAILABLE; // its records may have to wait for the next core; its clients must not
    if (rc == RC_OK && decision_apply(a) != RC_OK) {
        trace_error(g->host.trace, "group coordinator: memory ran out while committed records were applied");
        g->broken = true;
        rc = RC_COORDINATOR_NOT_AVAILABLE;
    }
    decision_end(a, rc);
}

void groups_append_late(struct groups *g, struct group_append *a, struct group_time now)
{
    ASSERT(a->groups == g && !g->stopped);
    g->now = now;
    a->told = true;
    group_decision_answer(a, RC_TIMED_OUT);
    if (!a->exclusive)
        return;
    for (struct group_call *call; (call = group_queue_pop(a->group)) != NULL;)
        group_answer_error(g, call, group_append_error(call->kind, RC_TIMED_OUT), NULL);
}
