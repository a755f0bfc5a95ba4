// SPDX-License-Identifier: Apache-2.0
//
// Which topics a group's regular expressions match. They are resolved aside, some hundred topics a turn, and a decision
// writes what came of it: when a member brings an expression that the group does not know, when topics came or went,
// and from time to time.
#include "group/consumer.h"

#include <stdlib.h>

#include "group/regex.h"

enum {
    RESOLVE_TOPICS_A_TURN = 512,
    RESOLVE_AGAIN_MS = 1000, // topics that come one after another are one change
    RESOLVE_BYTES_MAX = 64 << 20,
};

struct resolve_one {
    struct resolve_one *next;
    struct bytes pattern;
    consumer_matches matches;
    uint32_t room;
};

struct consumer_resolve {
    struct arena arena;
    struct resolve_one *todo, *done; // the first of todo is under way
    struct regex *regex;             // of the first; NULL: not begun
    struct bytes after;              // the last topic looked at
    uint32_t hard;
};

void consumer_resolve_free(struct consumer_group *cg)
{
    struct consumer_resolve *r = cg->resolve;
    if (!r)
        return;
    regex_destroy(r->regex);
    arena_deinit(&r->arena);
    free(r);
    cg->resolve = NULL;
}

const consumer_matches *consumer_resolved(const struct consumer_resolve *r, struct bytes pattern)
{
    for (const struct resolve_one *o = r->done; o; o = o->next) {
        if (bytes_eq(o->pattern, pattern))
            return &o->matches;
    }
    return NULL;
}

// ------------------------------------------------------------------------------------------------ when

static void resolve_fire(struct groups *g, struct group_deadline *d);

static bool has_unresolved(const struct consumer_group *cg, bool *any)
{
    bool unresolved = false;
    *any = false;
    for (struct consumer_member *m = consumer_member_first(cg); m && !unresolved; m = consumer_member_next(cg, m)) {
        struct bytes pattern = m->sub->subscribed_topic_regex;
        *any = *any || pattern.n > 0;
        unresolved = pattern.n > 0 && !consumer_regex_find(cg, pattern);
    }
    return unresolved;
}

void consumer_regex_schedule(struct groups *g, struct group *gr)
{
    struct consumer_group *cg = gr->consumer;
    if (cg->resolve)
        return; // under way; it looks again when it is done
    bool any;
    uint64_t at = GROUP_NEVER;
    if (has_unresolved(cg, &any))
        at = g->now.now_ns + 1; // not in this turn
    else if (any && cg->regex_stale)
        at = cg->regex_done_ns ? cg->regex_done_ns + (uint64_t)RESOLVE_AGAIN_MS * 1000000 : g->now.now_ns + 1;
    else if (any)
        at = cg->regex_done_ns + (uint64_t)g->config.consumer_regex_refresh_ms * 1000000;
    group_deadline_set(g, &cg->regex, at, resolve_fire);
}

// ------------------------------------------------------------------------------------------------ the work

static bool resolve_add(struct consumer_resolve *r, struct bytes pattern)
{
    for (const struct resolve_one *o = r->todo; o; o = o->next) {
        if (bytes_eq(o->pattern, pattern))
            return true;
    }
    struct resolve_one *o = arena_alloc(&r->arena, sizeof(*o));
    if (!o)
        return false;
    o->pattern = bytes_of(arena_copy(&r->arena, pattern.p, pattern.n), pattern.n);
    o->next = r->todo;
    r->todo = o;
    return o->pattern.p != NULL;
}

static void resolve_begin(struct consumer_group *cg)
{
    struct consumer_resolve *r = calloc(1, sizeof(*r));
    if (!r)
        return;
    arena_init(&r->arena, RESOLVE_BYTES_MAX, NULL, 0);
    cg->resolve = r;
    cg->regex_stale = false;
    for (struct consumer_member *m = consumer_member_first(cg); m; m = consumer_member_next(cg, m)) {
        if (m->sub->subscribed_topic_regex.n == 0 || resolve_add(r, m->sub->subscribed_topic_regex))
            continue;
        consumer_resolve_free(cg);
        return;
    }
}

static bool resolve_match(struct consumer_resolve *r, struct resolve_one *o, struct bytes name)
{
    struct bytes copy = bytes_of(arena_copy(&r->arena, name.p, name.n), name.n);
    if (o->matches.topics_count == o->room) {
        uint32_t room = o->room ? 2 * o->room : 16;
        struct bytes *more = arena_array(&r->arena, room, sizeof(*more));
        if (!more)
            return false;
        if (o->room)
            memcpy(more, o->matches.topics, o->room * sizeof(*more));
        o->matches.topics = more;
        o->room = room;
    }
    o->matches.topics[o->matches.topics_count++] = copy;
    return copy.p != NULL;
}

static bool one_changed(const struct consumer_group *cg, const struct resolve_one *o)
{
    const struct consumer_regex *now = consumer_regex_find(cg, o->pattern);
    if (!now || now->matches->topics_count != o->matches.topics_count)
        return true;
    for (uint32_t i = 0; i < o->matches.topics_count; i++) {
        if (!bytes_eq(now->matches->topics[i], o->matches.topics[i]))
            return true;
    }
    return false;
}

static void one_done(struct groups *g, struct consumer_resolve *r)
{
    struct resolve_one *o = r->todo;
    char quoted[128];
    if (r->regex && regex_hard(r->regex) == REGEX_HARD_MAX)
        trace_warn(g->host.trace, "the expression '%s' is too costly to match; it may miss topics",
                   trace_quote(quoted, sizeof(quoted), o->pattern));
    regex_destroy(r->regex);
    r->regex = NULL;
    r->after = (struct bytes){0};
    o->matches.timestamp = g->now.wall_ms;
    r->todo = o->next;
    o->next = r->done;
    r->done = o;
}

// One turn. RC_AGAIN: more to do.
static enum rc resolve_turn(struct groups *g, struct consumer_group *cg)
{
    struct consumer_resolve *r = cg->resolve;
    for (uint32_t looked = 0; r->todo; looked++) {
        const char *why;
        if (!r->regex) {
            enum rc rc = regex_create(r->todo->pattern, &r->regex, &why);
            if (rc == RC_NOMEM)
                return rc;
            if (rc != RC_OK) { // checked when the member came; a record of another broker may hold any
                one_done(g, r);
                continue;
            }
            r->hard = 0;
        }
        if (looked >= RESOLVE_TOPICS_A_TURN || regex_hard(r->regex) > r->hard) {
            r->hard = regex_hard(r->regex);
            return RC_AGAIN;
        }
        struct group_topic t;
        if (!g->host.topic_next(g->host.context, r->after, &t)) {
            one_done(g, r);
            continue;
        }
        r->after = bytes_of(arena_copy(&r->arena, t.name.p, t.name.n), t.name.n);
        if (!r->after.p)
            return RC_NOMEM;
        if (regex_match(r->regex, t.name) == RC_OK && !resolve_match(r, r->todo, t.name))
            return RC_NOMEM;
    }
    return RC_OK;
}

static enum rc resolve_decide(struct group *gr)
{
    struct consumer_group *cg = gr->consumer;
    struct consumer_plan p;
    plan_begin(&p, gr);
    p.resolved = cg->resolve;
    uint32_t changed = 0;
    for (const struct resolve_one *o = cg->resolve->done; o; o = o->next) {
        if (!one_changed(cg, o))
            continue;
        plan_add_regex(&p, o->pattern, &o->matches);
        changed++;
    }
    plan_drop_regexes(&p);
    enum rc rc = RC_OK;
    if (p.failed || !plan_topics(&p, changed > 0))
        rc = RC_NOMEM;
    else if (p.decision)
        rc = plan_submit(&p);
    if (rc == RC_OK && p.bumped)
        group_event(gr, p.epoch, "topics that match a regular expression changed: rebalance");
    plan_end(&p);
    return rc;
}

static void resolve_fire(struct groups *g, struct group_deadline *d)
{
    struct consumer_group *cg = container_of(d, struct consumer_group, regex);
    struct group *gr = cg->gr;
    if (!cg->resolve)
        resolve_begin(cg);
    enum rc rc = cg->resolve ? resolve_turn(g, cg) : RC_NOMEM;
    if (rc == RC_AGAIN) {
        group_deadline_set(g, d, g->now.now_ns + 1, resolve_fire);
        return;
    }
    if (rc == RC_OK && !group_may_decide(gr)) {
        group_deadline_set(g, d, g->now.now_ns + GROUP_RETRY_NS, resolve_fire);
        return;
    }
    if (rc == RC_OK)
        rc = resolve_decide(gr);
    consumer_resolve_free(cg);
    cg->regex_done_ns = g->now.now_ns;
    if (rc != RC_OK) {
        cg->regex_stale = true;
        group_deadline_set(g, d, g->now.now_ns + (uint64_t)RESOLVE_AGAIN_MS * 1000000, resolve_fire);
        return;
    }
    if (group_may_decide(gr)) // else when the decision is applied
        consumer_regex_schedule(g, gr);
}

// ------------------------------------------------------------------------------------------------ topics

static bool in_topics(const struct consumer_group *cg, struct uuid id)
{
    for (uint32_t i = 0; cg->topics && i < cg->topics->topics_count; i++) {
        if (uuid_eq(cg->topics->topics[i].topic_id, id))
            return true;
    }
    return false;
}

static bool names(const struct consumer_group *cg, struct bytes name)
{
    for (struct consumer_member *m = consumer_member_first(cg); m; m = consumer_member_next(cg, m)) {
        for (uint32_t i = 0; i < m->sub->subscribed_topic_names_count; i++) {
            if (bytes_eq(m->sub->subscribed_topic_names[i], name))
                return true;
        }
    }
    return false;
}

static void regex_stale(struct group *gr)
{
    struct consumer_group *cg = gr->consumer;
    if (cg->regex_stale)
        return;
    cg->regex_stale = true;
    consumer_regex_schedule(gr->groups, gr);
}

void consumer_topic_changed(struct group *gr, struct bytes name, struct uuid id, bool deleted)
{
    struct consumer_group *cg = gr->consumer;
    bool known = in_topics(cg, id);
    if (!cg->topics_stale && (known || names(cg, name)))
        cg->topics_stale = true; // seen with the next heartbeat
    if (deleted || !known) // it came, or went: expressions may match other topics
        regex_stale(gr);
}
