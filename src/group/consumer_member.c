// SPDX-License-Identifier: Apache-2.0
//
// What a request of one member, of either protocol, makes of it and its group: the member's record, its next step, the
// line that says why.
#include "group/consumer.h"

#include <stdlib.h>

static int bytes_order(const void *a, const void *b)
{
    return bytes_cmp(*(const struct bytes *)a, *(const struct bytes *)b);
}

bool plan_names(struct consumer_plan *p, const struct bytes *names, uint32_t count, consumer_sub *sub)
{
    sub->subscribed_topic_names = arena_array(&p->arena, count, sizeof(*names));
    sub->subscribed_topic_names_count = 0;
    if (!sub->subscribed_topic_names)
        return false;
    if (count)
        memcpy(sub->subscribed_topic_names, names, count * sizeof(*names));
    qsort(sub->subscribed_topic_names, count, sizeof(*names), bytes_order);
    for (uint32_t i = 0; i < count; i++) {
        struct bytes *kept = sub->subscribed_topic_names;
        if (i == 0 || !bytes_eq(kept[i], kept[sub->subscribed_topic_names_count - 1]))
            kept[sub->subscribed_topic_names_count++] = kept[i];
    }
    return true;
}

static bool names_equal(const consumer_sub *a, const consumer_sub *b)
{
    if (a->subscribed_topic_names_count != b->subscribed_topic_names_count)
        return false;
    for (uint32_t i = 0; i < a->subscribed_topic_names_count; i++) {
        if (!bytes_eq(a->subscribed_topic_names[i], b->subscribed_topic_names[i]))
            return false;
    }
    return true;
}

// What a classic member offers, session timeout included.
static bool classic_equal(const consumer_classic *a, const consumer_classic *b)
{
    if (!a || !b)
        return a == b;
    if (a->session_timeout_ms != b->session_timeout_ms || a->supported_protocols_count != b->supported_protocols_count)
        return false;
    for (uint32_t i = 0; i < a->supported_protocols_count; i++) {
        if (!bytes_eq(a->supported_protocols[i].name, b->supported_protocols[i].name) ||
            !bytes_eq(a->supported_protocols[i].metadata, b->supported_protocols[i].metadata))
            return false;
    }
    return true;
}

static bool word_equal(struct bytes a, struct bytes b)
{
    return !a.p == !b.p && bytes_eq(a, b);
}

static bool sub_equal(const consumer_sub *a, const consumer_sub *b)
{
    return names_equal(a, b) && word_equal(a->subscribed_topic_regex, b->subscribed_topic_regex) &&
           word_equal(a->instance_id, b->instance_id) && word_equal(a->rack_id, b->rack_id) &&
           word_equal(a->server_assignor, b->server_assignor) && bytes_eq(a->client_id, b->client_id) &&
           bytes_eq(a->client_host, b->client_host) && a->rebalance_timeout_ms == b->rebalance_timeout_ms &&
           classic_equal(a->classic_member_metadata, b->classic_member_metadata);
}

bool plan_member(struct consumer_plan *p, bool *bump)
{
    const struct consumer_member *from = p->member ? p->member : p->replaces;
    const consumer_sub *old = from ? from->sub : NULL;
    bool regex_changed = old && !bytes_eq(old->subscribed_topic_regex, p->sub->subscribed_topic_regex);
    *bump = !old || regex_changed || !names_equal(old, p->sub);
    if (p->replaces)
        plan_add_gone(p, p->replaces);
    if (!p->member || !sub_equal(old, p->sub))
        plan_add_member(p, p->member_id, p->sub);
    if (regex_changed)
        plan_drop_regexes(p);
    return !p->failed;
}

bool plan_step(struct consumer_plan *p, const struct partition_set *owned, struct consumer_current *now,
                      struct consumer_current *next)
{
    const struct consumer_member *from = p->member ? p->member : p->replaces;
    *now = from ? consumer_current_of(from) : (struct consumer_current){0};
    if (p->replaces)
        now->epoch = CONSUMER_EPOCH_JOIN;
    if (!consumer_reconcile(p->cg, from, now, p->assignment_epoch, &p->target, owned, &p->arena, next))
        return false;
    if (!p->member || !p->member->current || !consumer_current_equal(now, next))
        plan_add_current(p, p->member_id, next);
    return !p->failed;
}

// Notes why the group rebalances, if it does.
static void plan_tell(struct consumer_plan *p)
{
    if (!p->bumped)
        return;
    char id[64], instance[64];
    trace_quote(id, sizeof(id), p->member_id);
    if (p->replaces)
        group_event(p->gr, p->epoch, "member %s took the place of instance %s with another subscription: rebalance", id,
                    trace_quote(instance, sizeof(instance), p->sub->instance_id));
    else if (!p->member)
        group_event(p->gr, p->epoch, "member %s joined (%s%s): rebalance", id,
                    trace_quote(instance, sizeof(instance), p->sub->client_host),
                    p->sub->classic_member_metadata ? ", classic protocol" : "");
    else if (!names_equal(p->member->sub, p->sub) ||
             !bytes_eq(p->member->sub->subscribed_topic_regex, p->sub->subscribed_topic_regex))
        group_event(p->gr, p->epoch, "member %s changed its subscription: rebalance", id);
    else
        group_event(p->gr, p->epoch, "topics changed, seen with a heartbeat of %s: rebalance", id);
}

enum rc plan_answer(struct consumer_plan *p, struct group_call *call)
{
    if (!p->decision) {
        if (p->view)
            p->gr->consumer->topics_stale = false;
        group_answer(p->g, call);
        return RC_OK;
    }
    group_decision_attach(p->decision, call);
    enum rc rc = plan_submit(p);
    if (rc == RC_OK)
        plan_tell(p);
    return rc;
}

bool plan_member_id(struct consumer_plan *p, struct bytes asked)
{
    p->member_id = asked;
    if (asked.n > 0)
        return true;
    struct uuid id;
    do {
        for (size_t i = 0; i < sizeof(id.b); i += 8)
            put_be64(id.b + i, prng_next(&p->g->prng));
    } while (uuid_is_reserved(id) || id.b[0] >> 2 == 62); // that begins with '-', like an option
    char text[UUID_TEXT_CHARS + 1];
    uuid_format(id, text);
    p->member_id = bytes_of(arena_copy(&p->arena, text, UUID_TEXT_CHARS), UUID_TEXT_CHARS);
    return p->member_id.p != NULL;
}
