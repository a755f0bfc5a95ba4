// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include "consumer_rig.h"

static struct bytes word(struct rig_call *c, const char *s)
{
    return s ? bytes_of(arena_copy(&c->arena, s, strlen(s)), strlen(s)) : bytes_of(NULL, 0);
}

static const struct group_topic *topic_named(const struct rig *r, const char *name, size_t n)
{
    for (uint32_t i = 0; i < r->topic_count; i++) {
        if (bytes_eq(r->topics[i].name, bytes_of(name, n)))
            return &r->topics[i];
    }
    cr_assert(false, "no topic %.*s", (int)n, name);
    return NULL;
}

struct partition_set set_parse(const struct rig *r, struct arena *a, const char *text)
{
    struct partition_set s = {.topics = arena_array(a, 16, sizeof(*s.topics))};
    while (*text) {
        size_t n = strcspn(text, ":");
        struct partition_topic *t = &s.topics[s.count++];
        t->topic_id = topic_named(r, text, n)->id;
        t->partitions = arena_array(a, 20000, sizeof(*t->partitions));
        text += n;
        while (*text == ':' || *text == ',') {
            char *end;
            long low = strtol(text + 1, &end, 10), high = low;
            if (*end == '-')
                high = strtol(end + 1, &end, 10);
            for (long p = low; p <= high; p++)
                t->partitions[t->count++] = (int32_t)p;
            text = end;
        }
        text += *text == ' ';
    }
    return s;
}

const char *set_text(const struct rig *r, const struct partition_set *s)
{
    static char out[8][4096];
    static unsigned at;
    char *text = out[at++ % 8];
    size_t n = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct partition_topic *t = &s->topics[i];
        const char *name = "?";
        for (uint32_t k = 0; k < r->topic_count; k++)
            name = uuid_eq(r->topics[k].id, t->topic_id) ? (const char *)r->topics[k].name.p : name;
        n += (size_t)snprintf(text + n, sizeof(out[0]) - n, "%s%s:", n ? " " : "", name);
        for (uint32_t k = 0, last; k < t->count; k = last + 1) {
            for (last = k; last + 1 < t->count && t->partitions[last + 1] == t->partitions[last] + 1; last++)
                ;
            n += (size_t)snprintf(text + n, sizeof(out[0]) - n, "%s%d", k ? "," : "", t->partitions[k]);
            if (last > k)
                n += (size_t)snprintf(text + n, sizeof(out[0]) - n, "-%d", t->partitions[last]);
        }
    }
    return text;
}

struct rig_call *beat_new(struct rig *r, const struct beat *b)
{
    struct rig_call *c =
        rig_call_new(GROUP_CONSUMER_HEARTBEAT, (int16_t)(b->version ? b->version : 1), b->group ? b->group : "g");
    struct consumer_group_heartbeat_request *in = arena_alloc(&c->arena, sizeof(*in));
    consumer_group_heartbeat_request_init(in);
    c->call.connection = b->connection;
    if (b->member[0] == 0)
        c->call.version = 0;
    in->group_id = c->call.group_id;
    in->member_id = word(c, b->member);
    in->member_epoch = b->epoch;
    in->instance_id = word(c, b->instance);
    in->rack_id = word(c, b->rack);
    in->subscribed_topic_regex = word(c, b->regex);
    in->server_assignor = word(c, b->assignor);
    in->rebalance_timeout_ms = b->rebalance_ms ? b->rebalance_ms : -1;
    if (b->topics) {
        in->subscribed_topic_names = arena_array(&c->arena, 16, sizeof(struct bytes));
        for (const char *at = b->topics; *at;) {
            size_t n = strcspn(at, ",");
            in->subscribed_topic_names[in->subscribed_topic_names_count++] = bytes_of(at, n);
            at += n + (at[n] == ',');
        }
    }
    if (b->owned) {
        struct partition_set s = set_parse(r, &c->arena, b->owned);
        in->topic_partitions = (void *)s.topics;
        in->topic_partitions_count = s.count;
    }
    c->call.request = in;
    return c;
}

struct rig_call *beat_send(struct rig *r, const struct beat *b)
{
    struct rig_call *c = beat_new(r, b);
    rig_send(r, c);
    return c;
}

const char *beat_answer(struct rig *r, struct rig_call *c)
{
    static char text[4400];
    if (!c->back) {
        return "waits";
    }
    const struct consumer_group_heartbeat_response *out = c->call.response;
    if (!out)
        snprintf(text, sizeof(text), "no response");
    else if (out->error_code)
        snprintf(text, sizeof(text), "%s: %.*s", kerr_name(out->error_code), (int)out->error_message.n,
                 out->error_message.p ? (const char *)out->error_message.p : "");
    else if (!out->assignment)
        snprintf(text, sizeof(text), "%s %d -", rig_text(out->member_id), out->member_epoch);
    else
        snprintf(text, sizeof(text), "%s %d %s", rig_text(out->member_id), out->member_epoch,
                 set_text(r, &PARTITION_SET_OF(out->assignment->topic_partitions,
                                               out->assignment->topic_partitions_count)));
    rig_call_free(c);
    return text;
}

const char *beat(struct rig *r, struct beat b)
{
    return beat_answer(r, beat_send(r, &b));
}

struct consumer_group *rig_consumer(struct rig *r, const char *group)
{
    struct group *gr = group_find(&r->g, bytes_str(group));
    return gr && gr->type == GROUP_CONSUMER ? gr->consumer : NULL;
}

static int member_order(const void *a, const void *b)
{
    return strcmp((*(struct consumer_member *const *)a)->id, (*(struct consumer_member *const *)b)->id);
}

const char *consumer_text(struct rig *r, const char *group)
{
    static const char *const states[] = {"stable", "unrevoked", "unreleased"};
    static char text[8192];
    struct consumer_group *cg = rig_consumer(r, group);
    if (!cg)
        return "none";
    struct consumer_member *members[64];
    size_t count = 0;
    for (struct consumer_member *m = consumer_member_first(cg); m; m = consumer_member_next(cg, m))
        members[count++] = m;
    qsort(members, count, sizeof(struct consumer_member *), member_order);
    int n = snprintf(text, sizeof(text), "%s %d/%d", consumer_state_name(cg->gr), cg->epoch, cg->assignment_epoch);
    for (size_t i = 0; i < count; i++) {
        struct consumer_current now = consumer_current_of(members[i]);
        n += snprintf(text + n, sizeof(text) - (size_t)n, "; %s %d %s %s", members[i]->id, now.epoch, states[now.state],
                      set_text(r, &now.assigned));
        if (now.revoking.count)
            n += snprintf(text + n, sizeof(text) - (size_t)n, " revoking %s", set_text(r, &now.revoking));
    }
    return text;
}

void consumer_check(struct rig *r, const char *group)
{
    struct consumer_group *cg = rig_consumer(r, group);
    if (!cg)
        return;
    uint32_t held = 0, table = 0;
    for (struct consumer_member *m = consumer_member_first(cg); m; m = consumer_member_next(cg, m)) {
        struct consumer_current now = consumer_current_of(m);
        const struct partition_set *sets[] = {&now.assigned, &now.revoking};
        for (size_t s = 0; s < 2; s++) {
            for (uint32_t i = 0; i < sets[s]->count; i++) {
                const struct partition_topic *t = &sets[s]->topics[i];
                for (uint32_t k = 0; k < t->count; k++)
                    cr_assert_eq(consumer_owner(cg, t->topic_id, t->partitions[k]), m, "%s", consumer_text(r, group));
                held += t->count;
            }
        }
    }
    for (struct map_node *n = map_first(&cg->held); n; n = map_next(&cg->held, n))
        table += container_of(n, struct consumer_held, node)->held;
    cr_assert_eq(held, table, "%s", consumer_text(r, group));
}

void consumer_replay_check(struct rig *r)
{
    struct groups other;
    struct groups_host host = r->host;
    host.trace = NULL;
    cr_assert_eq(groups_init(&other, &r->config, &host, 77), RC_OK);
    for (size_t i = 0; i < r->log.count; i++)
        rig_apply_batch(&other, r->log.p[i]);
    char *live = rig_state_text(&r->g), *loaded = rig_state_text(&other);
    cr_assert_str_eq(live, loaded);
    free(live);
    free(loaded);
    groups_loaded(&other, r->now);
    groups_deinit(&other);
}

void rig_topic_gone(struct rig *r, const char *name)
{
    for (uint32_t i = 0; i < r->topic_count; i++) {
        if (!bytes_eq(r->topics[i].name, bytes_str(name)))
            continue;
        struct uuid id = r->topics[i].id;
        r->topics[i] = r->topics[--r->topic_count];
        groups_topic_changed(&r->g, bytes_str(name), id, true, r->now);
        rig_run(r);
        return;
    }
}

void rig_topic_grow(struct rig *r, const char *name, int32_t partitions)
{
    for (uint32_t i = 0; i < r->topic_count; i++) {
        if (!bytes_eq(r->topics[i].name, bytes_str(name)))
            continue;
        r->topics[i].partition_count = partitions;
        groups_topic_changed(&r->g, bytes_str(name), r->topics[i].id, false, r->now);
        rig_run(r);
        return;
    }
}
