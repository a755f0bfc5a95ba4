// SPDX-License-Identifier: Apache-2.0
//
// Members of one group as clients run them, of both protocols: they lose answers, crash, pause, come back under another
// id, take their time to revoke; the log holds appends, refuses them, or ends the coordinator's term; topics come, grow
// and go; the group changes its protocol. Whatever happens, no partition is in two members' sets, a member owns nothing that the coordinator does not know it holds, and
// what is live equals what the log says. Once the trouble is over the group settles in bounded time.
//
// SIM_SEEDS=first-last runs others.
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include "consumer_rig.h"

enum { CLIENTS = 7, OWNED_MAX = 128, ORPHANS_MAX = 256, SECOND_NS = 1000000000 };

struct owned {
    struct topic_partition at[OWNED_MAX];
    uint32_t count;
};

enum phase { JOINING, SYNCING, STEADY }; // of a client of the classic protocol

struct client {
    char id[64], instance[8];
    bool running, full, report, lose, leaving, slow;
    bool classic, leads;
    enum phase phase;
    char others[CLIENTS + 4][64]; // whom it assigns to
    uint32_t other_count;
    const char *topics, *regex;
    int32_t epoch;
    struct owned owned, assigned;
    uint64_t next_ns, revoke_ns, give_up_ns; // 0: not
    struct rig_call *call;
};

struct sim {
    struct rig r;
    struct prng prng;
    struct client clients[CLIENTS];
    struct rig_call *orphans[ORPHANS_MAX];
    uint32_t orphan_count, ids, topics_made;
    uint64_t seed;
    enum group_type type;
    bool calm;
};

static struct sim s;
static uint32_t ups, downs; // changes of the protocol

static bool chance(uint64_t numerator, uint64_t denominator)
{
    return prng_chance(&s.prng, numerator, denominator);
}

static bool owns(const struct owned *o, struct topic_partition tp)
{
    for (uint32_t i = 0; i < o->count; i++) {
        if (topic_partition_eq(o->at[i], tp))
            return true;
    }
    return false;
}

static bool within(const struct owned *part, const struct owned *whole)
{
    for (uint32_t i = 0; i < part->count; i++) {
        if (!owns(whole, part->at[i]))
            return false;
    }
    return true;
}

static void owned_from(struct owned *o, const struct partition_set *set)
{
    o->count = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        for (uint32_t k = 0; k < set->topics[i].count; k++) {
            cr_assert_lt(o->count, OWNED_MAX);
            o->at[o->count++] = (struct topic_partition){set->topics[i].topic_id, set->topics[i].partitions[k]};
        }
    }
}

static void owned_to(const struct owned *o, struct consumer_group_heartbeat_request *in, struct arena *a)
{
    in->topic_partitions = arena_array(a, o->count, sizeof(*in->topic_partitions));
    in->topic_partitions_count = o->count;
    for (uint32_t i = 0; i < o->count; i++) { // a topic for each partition: to be put together
        in->topic_partitions[i].topic_id = o->at[i].topic_id;
        in->topic_partitions[i].partitions = arena_array(a, 1, sizeof(int32_t));
        in->topic_partitions[i].partitions[0] = o->at[i].partition;
        in->topic_partitions[i].partitions_count = 1;
    }
}

// ------------------------------------------------------------------------------------------------ clients

static void client_start(struct client *c)
{
    static const char *const lists[] = {"t0", "t0,t1", "t1,t2,t3", "t0,t1,t2,t3,t4", ""};
    char instance[8];
    memcpy(instance, c->instance, sizeof(instance));
    *c = (struct client){.running = true, .full = true, .next_ns = s.r.now.now_ns};
    memcpy(c->instance, instance, sizeof(instance));
    c->classic = s.seed % 4 == 1 && c != &s.clients[0] && (s.seed % 8 == 5 || chance(1, 2));
    if (!c->classic)
        snprintf(c->id, sizeof(c->id), "m%u", s.ids++);
    c->topics = lists[s.seed % 2 ? 3 : prng_below(&s.prng, ARRAY_COUNT(lists))];
    c->regex = s.seed % 3 == 0 && !c->classic && chance(1, 2) ? "t[0-3]" : NULL;
    c->slow = chance(1, 12);
}

static void client_forget_call(struct client *c)
{
    if (!c->call)
        return;
    if (c->call->back) {
        rig_call_free(c->call);
    } else {
        cr_assert_lt(s.orphan_count, ORPHANS_MAX);
        s.orphans[s.orphan_count++] = c->call;
    }
    c->call = NULL;
}

// The process is gone, and with it what it consumed.
static void client_crash(struct client *c)
{
    client_forget_call(c);
    c->running = false;
    c->owned.count = c->assigned.count = 0;
    c->next_ns = s.r.now.now_ns + prng_below(&s.prng, 90) * SECOND_NS;
}

static void client_send(struct client *c)
{
    struct beat b = {.member = c->id, .epoch = c->epoch, .instance = c->instance[0] ? c->instance : NULL};
    if (c->epoch == 0)
        c->owned.count = c->assigned.count = 0;
    if (c->leaving) {
        b.epoch = c->instance[0] && chance(3, 4) ? -2 : -1;
        c->owned.count = 0;
    } else if (c->full || c->epoch == 0) {
        b.topics = c->topics;
        b.regex = c->regex ? c->regex : "";
        b.rebalance_ms = 30000;
    }
    bool tell = c->epoch == 0 || c->full || c->report || chance(1, 6);
    struct rig_call *call = beat_new(&s.r, &b);
    struct consumer_group_heartbeat_request *in = (void *)(uintptr_t)call->call.request;
    if (tell && !c->leaving)
        owned_to(&c->owned, in, &call->arena);
    c->lose = !s.calm && chance(1, 12);
    c->full = c->report = false;
    c->call = call;
    c->give_up_ns = s.r.now.now_ns + (uint64_t)(s.calm ? 30 : 3) * SECOND_NS;
    c->next_ns = s.r.now.now_ns + 5 * (uint64_t)SECOND_NS;
    if (!s.calm && chance(1, 25)) { // never arrives
        call->back = true;
        c->lose = true;
        return;
    }
    rig_send(&s.r, call);
}

static void client_again(struct client *c, uint64_t ms)
{
    c->full = true;
    c->next_ns = s.r.now.now_ns + ms * 1000000;
}

static void client_assigned(struct client *c)
{
    if (within(&c->owned, &c->assigned)) {
        c->owned = c->assigned;
        c->report = true;
        c->next_ns = s.r.now.now_ns;
        c->revoke_ns = 0;
    } else if (!c->revoke_ns) {
        uint64_t wait = s.calm ? 1 : c->slow ? 50 : prng_below(&s.prng, 4);
        c->revoke_ns = s.r.now.now_ns + wait * SECOND_NS;
    }
}

static void client_answer(struct client *c, const struct consumer_group_heartbeat_response *out)
{
    if (c->leaving) {
        c->running = false;
        c->next_ns = s.r.now.now_ns + prng_below(&s.prng, 20) * SECOND_NS;
        return;
    }
    if (!out || out->error_code) {
        int16_t code = out ? out->error_code : kerr_of(RC_COORDINATOR_NOT_AVAILABLE);
        if (code == kerr_of(RC_FENCED_MEMBER_EPOCH) || code == kerr_of(RC_UNKNOWN_MEMBER_ID) ||
            code == kerr_of(RC_GROUP_ID_NOT_FOUND)) {
            c->epoch = 0;
            c->owned.count = c->assigned.count = 0;
            c->revoke_ns = 0;
        } else if (code == kerr_of(RC_FENCED_INSTANCE_ID)) {
            client_crash(c);
            return;
        } else {
            cr_assert(code == kerr_of(RC_COORDINATOR_NOT_AVAILABLE) || code == kerr_of(RC_NOT_COORDINATOR) ||
                          code == kerr_of(RC_UNRELEASED_INSTANCE_ID),
                      "seed %lu: %s", s.seed, kerr_name(code));
        }
        client_again(c, 300);
        return;
    }
    c->epoch = out->member_epoch;
    if (!out->assignment)
        return;
    owned_from(&c->assigned,
               &PARTITION_SET_OF(out->assignment->topic_partitions, out->assignment->topic_partitions_count));
    client_assigned(c);
}

// ------------------------------------------------------------------------------------------------ the classic kind

static struct bytes text_in(struct rig_call *call, const char *text)
{
    return bytes_of(arena_copy(&call->arena, text, strlen(text)), strlen(text));
}

static struct bytes subscription_of(const struct client *c, struct rig_call *call)
{
    struct consumer_protocol_subscription sub;
    struct buf b;
    struct enc e;
    consumer_protocol_subscription_init(&sub);
    sub.topics = arena_array(&call->arena, 8, sizeof(*sub.topics));
    for (const char *at = c->topics; *at;) {
        size_t n = strcspn(at, ",");
        sub.topics[sub.topics_count++] = bytes_of(at, n);
        at += n + (at[n] == ',');
    }
    buf_init(&b, 65536);
    enc_init(&e, &b, NULL, 0);
    enc_i16(&e, 1);
    consumer_protocol_subscription_encode(&e, 1, &sub);
    struct bytes out = bytes_of(arena_copy(&call->arena, b.p, b.n), b.n);
    buf_deinit(&b);
    return out;
}

static struct rig_call *classic_join_new(struct client *c)
{
    struct rig_call *call = rig_call_new(GROUP_JOIN, 5, "g");
    struct join_group_request *in = &call->join;
    join_group_request_init(in);
    in->session_timeout_ms = 10000;
    in->rebalance_timeout_ms = 30000;
    in->member_id = text_in(call, c->id);
    in->group_instance_id = c->instance[0] ? text_in(call, c->instance) : bytes_of(NULL, 0);
    in->protocol_type = bytes_str("consumer");
    in->protocols = arena_array(&call->arena, 1, sizeof(*in->protocols));
    in->protocols_count = 1;
    in->protocols[0].name = bytes_str("range");
    in->protocols[0].metadata = subscription_of(c, call);
    return call;
}

// A leader deals out all partitions in turn, to whoever.
static void classic_assign(struct client *c, struct rig_call *call)
{
    struct sync_group_request *in = &call->sync;
    in->assignments = arena_array(&call->arena, c->other_count, sizeof(*in->assignments));
    for (uint32_t i = 0; i < c->other_count; i++) {
        struct partition_set set = {.topics = arena_array(&call->arena, 8, sizeof(*set.topics))};
        for (uint32_t t = 0; t < s.r.topic_count; t++) {
            struct partition_topic *to = &set.topics[set.count];
            *to = (struct partition_topic){.topic_id = s.r.topics[t].id,
                                           .partitions = arena_array(&call->arena, 16, sizeof(int32_t))};
            for (int32_t p = (int32_t)i; p < s.r.topics[t].partition_count; p += (int32_t)c->other_count)
                to->partitions[to->count++] = p;
            set.count += to->count > 0;
        }
        in->assignments[in->assignments_count].member_id = text_in(call, c->others[i]);
        in->assignments[in->assignments_count++].assignment =
            consumer_assignment_encode(&s.r.g, &set, subscription_of(c, call), &call->arena);
    }
}

static struct rig_call *classic_call_new(struct client *c)
{
    struct rig_call *call;
    if (c->leaving) {
        call = rig_call_new(GROUP_LEAVE, 5, "g");
        leave_group_request_init(&call->leave);
        call->leave.members = arena_array(&call->arena, 1, sizeof(*call->leave.members));
        call->leave.members_count = 1;
        call->leave.members[0].member_id = text_in(call, c->id);
        call->leave.members[0].group_instance_id = bytes_of(NULL, 0);
        call->leave.members[0].reason = bytes_of(NULL, 0);
    } else if (c->phase == JOINING) {
        call = classic_join_new(c);
    } else if (c->phase == SYNCING) {
        call = rig_call_new(GROUP_SYNC, 3, "g");
        sync_group_request_init(&call->sync);
        call->sync.member_id = text_in(call, c->id);
        call->sync.group_instance_id = c->instance[0] ? text_in(call, c->instance) : bytes_of(NULL, 0);
        call->sync.generation_id = c->epoch;
        if (c->leads)
            classic_assign(c, call);
    } else {
        call = rig_call_new(GROUP_HEARTBEAT, 4, "g");
        heartbeat_request_init(&call->heartbeat);
        call->heartbeat.member_id = text_in(call, c->id);
        call->heartbeat.group_instance_id = c->instance[0] ? text_in(call, c->instance) : bytes_of(NULL, 0);
        call->heartbeat.generation_id = c->epoch;
    }
    call->call.request = &call->join; // all of a union
    return call;
}

static void classic_send(struct client *c)
{
    if (c->leaving || c->phase == JOINING)
        c->owned.count = 0; // eager: revoked before it joins again
    struct rig_call *call = classic_call_new(c);
    c->lose = !s.calm && chance(1, 12);
    c->call = call;
    c->give_up_ns = s.r.now.now_ns + 40 * (uint64_t)SECOND_NS;
    c->next_ns = s.r.now.now_ns + 3 * (uint64_t)SECOND_NS;
    rig_send(&s.r, call);
}

static void classic_again(struct client *c, uint64_t ms)
{
    c->phase = JOINING;
    c->owned.count = 0;
    c->next_ns = s.r.now.now_ns + ms * 1000000;
}

static int16_t classic_code(const struct rig_call *call)
{
    const void *out = call->call.response;
    if (!out)
        return kerr_of(RC_COORDINATOR_NOT_AVAILABLE);
    if (call->call.kind == GROUP_JOIN)
        return ((const struct join_group_response *)out)->error_code;
    if (call->call.kind == GROUP_SYNC)
        return ((const struct sync_group_response *)out)->error_code;
    return ((const struct heartbeat_response *)out)->error_code;
}

static void classic_joined(struct client *c, const struct join_group_response *out)
{
    snprintf(c->id, sizeof(c->id), "%s", rig_text(out->member_id));
    c->epoch = out->generation_id;
    c->leads = out->members_count > 0;
    c->other_count = 0;
    for (uint32_t i = 0; i < out->members_count; i++) {
        cr_assert_lt(c->other_count, ARRAY_COUNT(c->others));
        snprintf(c->others[c->other_count++], sizeof(c->others[0]), "%s", rig_text(out->members[i].member_id));
    }
    c->phase = SYNCING;
    c->next_ns = s.r.now.now_ns;
}

static void classic_answer(struct client *c, struct rig_call *call)
{
    if (c->leaving) {
        c->running = false;
        c->next_ns = s.r.now.now_ns + prng_below(&s.prng, 20) * SECOND_NS;
        return;
    }
    int16_t code = classic_code(call);
    struct partition_set set;
    bool user_data;
    if (code == 0 && call->call.kind == GROUP_JOIN) {
        classic_joined(c, call->call.response);
    } else if (code == 0 && call->call.kind == GROUP_SYNC) {
        const struct sync_group_response *out = call->call.response;
        cr_assert_eq(consumer_assignment_decode(&s.r.g, out->assignment, &call->arena, &set, &user_data), RC_OK);
        owned_from(&c->owned, &set);
        c->phase = STEADY;
    } else if (code == kerr_of(RC_MEMBER_ID_REQUIRED)) {
        snprintf(c->id, sizeof(c->id), "%s", rig_text(((struct join_group_response *)call->call.response)->member_id));
        classic_again(c, 0);
    } else if (code == kerr_of(RC_FENCED_INSTANCE_ID)) {
        client_crash(c);
    } else if (code == kerr_of(RC_UNKNOWN_MEMBER_ID)) {
        c->id[0] = 0;
        classic_again(c, 100);
    } else if (code != 0) {
        cr_assert(code == kerr_of(RC_REBALANCE_IN_PROGRESS) || code == kerr_of(RC_ILLEGAL_GENERATION) ||
                      code == kerr_of(RC_COORDINATOR_NOT_AVAILABLE) || code == kerr_of(RC_NOT_COORDINATOR),
                  "seed %lu: %s", s.seed, kerr_name(code));
        classic_again(c, 100);
    }
}

static void any_again(struct client *c, uint64_t ms)
{
    if (c->classic)
        classic_again(c, ms);
    else
        client_again(c, ms);
}

// Takes the answer to its call, or gives the call up. True: there is nothing else to do in this turn.
static bool client_waits(struct client *c)
{
    struct rig_call *call = c->call;
    if (!call)
        return false;
    if (!call->back) {
        if (s.r.now.now_ns < c->give_up_ns)
            return true;
        client_forget_call(c);
        any_again(c, 100);
        return false;
    }
    c->call = NULL;
    if (!c->lose && c->classic)
        classic_answer(c, call);
    else if (!c->lose)
        client_answer(c, call->call.response);
    else if (c->leaving)
        c->running = false;
    else
        any_again(c, 500);
    rig_call_free(call);
    return true;
}

static void client_turn(struct client *c)
{
    uint64_t now = s.r.now.now_ns;
    if (!c->running) {
        if (now >= c->next_ns && (s.calm || chance(1, 3)))
            client_start(c);
        return;
    }
    if (client_waits(c))
        return;
    if (!c->classic && c->revoke_ns && now >= c->revoke_ns) {
        c->revoke_ns = 0;
        c->owned = c->assigned; // revoked, then taken
        c->report = true;
        c->next_ns = now;
    }
    if (now < c->next_ns)
        return;
    if (c->classic)
        classic_send(c);
    else
        client_send(c);
}

// ------------------------------------------------------------------------------------------------ what must hold

// Classic members know names only: what they had of a topic that is gone is nothing.
static bool is_there(struct topic_partition tp)
{
    for (uint32_t i = 0; i < s.r.topic_count; i++) {
        if (uuid_eq(s.r.topics[i].id, tp.topic_id))
            return tp.partition < s.r.topics[i].partition_count;
    }
    return false;
}

static void check(void)
{
    consumer_check(&s.r, "g");
    struct consumer_group *cg = rig_consumer(&s.r, "g");
    struct group *gr = group_find(&s.r.g, bytes_str("g"));
    enum group_type type = gr ? gr->type : GROUP_UNTYPED;
    ups += type == GROUP_CONSUMER && s.type == GROUP_CLASSIC;
    downs += type == GROUP_CLASSIC && s.type == GROUP_CONSUMER;
    s.type = type;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const struct client *c = &s.clients[i];
        const struct consumer_member *m = cg && c->running ? consumer_member_find(cg, bytes_str(c->id)) : NULL;
        for (uint32_t k = 0; m && k < c->owned.count; k++) {
            if (c->classic && !is_there(c->owned.at[k]))
                continue;
            cr_assert_eq(consumer_owner(cg, c->owned.at[k].topic_id, c->owned.at[k].partition), m,
                         "seed %lu: %s owns partition %d that it was not given: %s", s.seed, c->id,
                         c->owned.at[k].partition, consumer_text(&s.r, "g"));
        }
    }
}

static bool all_settled(void)
{
    struct consumer_group *cg = rig_consumer(&s.r, "g");
    if (!cg || strcmp(consumer_state_name(cg->gr), "Stable") != 0)
        return false;
    uint32_t running = 0;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const struct client *c = &s.clients[i];
        if (!c->running)
            continue;
        running++;
        struct consumer_member *m = consumer_member_find(cg, bytes_str(c->id));
        struct owned now;
        if (!m)
            return false;
        owned_from(&now, &(struct partition_set){(void *)m->current->assigned_partitions,
                                                 m->current->assigned_partitions_count});
        if ((c->classic && c->phase != STEADY) || c->epoch != m->current->member_epoch || !within(&now, &c->owned) ||
            !within(&c->owned, &now))
            return false;
    }
    return running == cg->member_count;
}

// Every partition of a topic that somebody is subscribed to is held.
static void check_covered(void)
{
    struct consumer_group *cg = rig_consumer(&s.r, "g");
    for (uint32_t t = 0; t < s.r.topic_count; t++) {
        const char *name = (const char *)s.r.topics[t].name.p;
        bool wanted = false;
        for (uint32_t i = 0; i < CLIENTS; i++)
            wanted = wanted || (s.clients[i].running && (strstr(s.clients[i].topics, name) ||
                                                         (s.clients[i].regex && name[1] <= '3')));
        for (int32_t p = 0; p < s.r.topics[t].partition_count; p++)
            cr_assert_eq(consumer_owner(cg, s.r.topics[t].id, p) != NULL, wanted, "seed %lu: %s-%d: %s", s.seed, name,
                         p, consumer_text(&s.r, "g"));
    }
}

// ------------------------------------------------------------------------------------------------ trouble

static void topic_change(void)
{
    static const char *const names[] = {"t0", "t1", "t2", "t3", "t4"};
    const char *name = names[prng_below(&s.prng, ARRAY_COUNT(names))];
    struct group_topic *t = NULL;
    for (uint32_t i = 0; i < s.r.topic_count; i++)
        t = bytes_eq(s.r.topics[i].name, bytes_str(name)) ? &s.r.topics[i] : t;
    if (!t) {
        rig_topic(&s.r, name, 1 + (int32_t)prng_below(&s.prng, 6));
        t = &s.r.topics[s.r.topic_count - 1];
        put_be32(t->id.b + 4, ++s.topics_made);
        groups_topic_changed(&s.r.g, t->name, t->id, false, s.r.now);
        rig_run(&s.r);
    } else if (chance(1, 3)) {
        rig_topic_gone(&s.r, name);
    } else if (t->partition_count < 12) {
        rig_topic_grow(&s.r, name, t->partition_count + 1 + (int32_t)prng_below(&s.prng, 3));
    }
}

static void trouble(void)
{
    struct client *c = &s.clients[prng_below(&s.prng, CLIENTS)];
    struct rig *r = &s.r;
    switch (prng_below(&s.prng, 14)) {
    case 0:
        if (c->running)
            client_crash(c);
        break;
    case 1:
        if (c->running && !c->call && c->epoch > 0 && (!c->classic || !c->instance[0])) {
            c->leaving = true;
            c->next_ns = r->now.now_ns;
        }
        break;
    case 2:
        if (c->running && !c->call) // stands still, with what it has
            c->next_ns = r->now.now_ns + prng_below(&s.prng, 80) * SECOND_NS;
        break;
    case 3:
        if (c->running && chance(1, 2)) {
            c->topics = c->topics[0] ? "t1,t2" : "t0,t4";
            c->full = true;
            if (c->classic && !c->call)
                classic_again(c, 0);
        }
        break;
    case 4:
        topic_change();
        break;
    case 5:
        r->hold = false;
        rig_reload(r);
        break;
    case 6:
    case 7:
        r->hold = true;
        break;
    case 8:
        r->hold = false;
        rig_finish(r, chance(1, 3) ? RC_NOT_ENOUGH_REPLICAS : RC_OK);
        rig_run(r);
        break;
    case 9: // silence, and yet it commits later
        for (struct list_node *n; (n = list_first(&r->g.in_flight)) != NULL && chance(1, 2);) {
            groups_append_late(&r->g, list_entry(n, struct group_append, link), r->now);
            break;
        }
        rig_run(r);
        break;
    case 10:
    case 11:
    case 12: // the group's protocol hangs on this one
        c = &s.clients[0];
        if (s.seed % 4 == 1 && c->running && !c->call && c->epoch > 0) {
            c->leaving = true;
            c->next_ns = r->now.now_ns;
        }
        break;
    default:
        break;
    }
}

static void collect_orphans(void)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s.orphan_count; i++) {
        if (s.orphans[i]->back)
            rig_call_free(s.orphans[i]);
        else
            s.orphans[kept++] = s.orphans[i];
    }
    s.orphan_count = kept;
}

static void turn(void)
{
    rig_advance(&s.r, 100 + prng_below(&s.prng, 900));
    for (uint32_t i = 0; i < CLIENTS; i++)
        client_turn(&s.clients[i]);
    collect_orphans();
    check();
}

static uint64_t settle(void)
{
    uint64_t from = s.r.now.now_ns;
    while (!all_settled()) {
        turn();
        cr_assert_lt(s.r.now.now_ns - from, 150 * (uint64_t)SECOND_NS, "seed %lu does not settle: %s", s.seed,
                     consumer_text(&s.r, "g"));
    }
    return s.r.now.now_ns - from;
}

static void run(uint64_t seed)
{
    memset(&s, 0, sizeof(s));
    s.seed = seed;
    prng_init(&s.prng, seed);
    rig_topic(&s.r, "t0", 5);
    rig_begin(&s.r);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        if (i % 3 == 0)
            snprintf(s.clients[i].instance, sizeof(s.clients[i].instance), "i%u", i);
        client_start(&s.clients[i]);
    }
    for (int step = 0; step < 400; step++) {
        trouble();
        turn();
    }
    consumer_replay_check(&s.r);
    s.calm = true;
    s.r.hold = false;
    rig_run(&s.r);
    settle();
    rig_advance(&s.r, 2000); // expressions that are still to be resolved
    settle();
    check_covered();
    consumer_replay_check(&s.r);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        if (s.clients[i].call)
            s.orphans[s.orphan_count++] = s.clients[i].call;
    }
    rig_end(&s.r);
    collect_orphans();
    cr_assert_eq(s.orphan_count, 0);
}

Test(consumer_sim, whatever_happens_no_partition_has_two_members)
{
    uint64_t first = 1, last = 60;
    const char *wanted = getenv("SIM_SEEDS");
    if (wanted)
        sscanf(wanted, "%lu-%lu", &first, &last);
    for (uint64_t seed = first; seed <= last; seed++)
        run(seed);
    fprintf(stderr, "consumer_sim: %u times to the consumer protocol, %u times back\n", ups, downs);
    if (!wanted)
        cr_assert(ups > 4 && downs > 4);
}
