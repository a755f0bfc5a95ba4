// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include "consumer_rig.h"

static const char *const range_only[] = {"range"};
static const char *const both[] = {"range", "roundrobin"};
static const char *const both_turned[] = {"roundrobin", "range"};

static struct rig *begin(void)
{
    static struct rig rig;
    rig = (struct rig){0};
    rig_begin(&rig);
    return &rig;
}

static int16_t join_code(struct rig_call *c)
{
    cr_assert(c->back && c->call.response);
    int16_t code = rig_joined(c)->error_code;
    rig_call_free(c);
    return code;
}

static int16_t sync_code(struct rig_call *c)
{
    cr_assert(c->back && c->call.response);
    int16_t code = rig_synced(c)->error_code;
    rig_call_free(c);
    return code;
}

static struct rig_call *leave_made(const char *group, int16_t version, const char *member, const char *instance)
{
    struct rig_call *c = rig_call_new(GROUP_LEAVE, version, group);
    leave_group_request_init(&c->leave);
    c->call.request = &c->leave;
    c->leave.member_id = rig_copied(c, member);
    c->leave.members = arena_alloc(&c->arena, sizeof(*c->leave.members));
    c->leave.members_count = 1;
    c->leave.members->member_id = rig_copied(c, member);
    c->leave.members->group_instance_id = rig_copied(c, instance);
    c->leave.members->reason = bytes_str("closing");
    return c;
}

static int16_t leave(struct rig *r, const char *group, int16_t version, const char *member, const char *instance)
{
    struct rig_call *c = leave_made(group, version, member, instance);
    rig_send(r, c);
    cr_assert(c->back && c->call.response);
    const struct leave_group_response *out = c->call.response;
    int16_t code = version < 3 || out->error_code ? out->error_code : out->members->error_code;
    rig_call_free(c);
    return code;
}

struct member {
    char id[160];
    int32_t generation;
    bool leads;
    uint32_t members;
};

static struct member joined(struct rig_call *c)
{
    struct member m = {0};
    cr_assert(c->back && c->call.response);
    cr_assert_eq(rig_joined(c)->error_code, 0);
    snprintf(m.id, sizeof(m.id), "%s", rig_text(rig_joined(c)->member_id));
    m.generation = rig_joined(c)->generation_id;
    m.leads = bytes_eq(rig_joined(c)->leader, rig_joined(c)->member_id);
    m.members = rig_joined(c)->members_count;
    rig_call_free(c);
    return m;
}

// Two members, static when named; both in a stable generation.
static void two(struct rig *r, const char *first, const char *second, struct member *a, struct member *b)
{
    struct rig_call *x = rig_join(r, "g", "", first, 3), *y = rig_join(r, "g", "", second, 3);
    cr_assert(!x->back && !y->back);
    rig_advance(r, 6000);
    *a = joined(x);
    *b = joined(y);
    cr_assert(a->leads && !b->leads && a->members == 2 && b->members == 0);
    cr_assert_eq(a->generation, b->generation);
    struct rig_call *s = rig_sync(r, "g", b->id, b->generation, NULL, 0);
    cr_assert_not(s->back);
    const char *assigned[] = {a->id, "left", b->id, "right"};
    struct rig_call *l = rig_sync(r, "g", a->id, a->generation, assigned, 4);
    cr_assert(s->back && l->back);
    cr_assert_str_eq(rig_text(rig_synced(l)->assignment), "left");
    cr_assert_str_eq(rig_text(rig_synced(s)->assignment), "right");
    cr_assert_str_eq(rig_text(rig_synced(s)->protocol_name), "range");
    cr_assert_str_eq(rig_text(rig_synced(s)->protocol_type), "consumer");
    rig_call_free(s);
    rig_call_free(l);
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
}

Test(classic, a_new_member_is_given_an_id_and_joins_with_it)
{
    struct rig *r = begin();
    const char *id = rig_stable(r, "g");
    cr_assert_eq(strncmp(id, "client-", 7), 0);
    cr_assert_eq(strlen(id), 7 + 36);
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
    cr_assert_eq(rig_heartbeat(r, "g", id, 1), 0);
    cr_assert_eq(rig_heartbeat(r, "g", id, 2), kerr_of(RC_ILLEGAL_GENERATION));
    cr_assert_eq(rig_heartbeat(r, "g", "nobody", 1), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(rig_heartbeat(r, "other", id, 1), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(rig_records(r, 2, NULL), 1);
    cr_assert(rig_logged(r, "group 'g' generation 0: rebalance: new member"));
    rig_end(r);
}

Test(classic, an_id_that_is_not_used_is_forgotten)
{
    struct rig *r = begin();
    struct rig_call *c = rig_join(r, "g", "", NULL, 4);
    cr_assert_eq(rig_joined(c)->error_code, kerr_of(RC_MEMBER_ID_REQUIRED));
    char id[128];
    snprintf(id, sizeof(id), "%s", rig_text(rig_joined(c)->member_id));
    rig_call_free(c);
    cr_assert_str_eq(rig_state(r, "g"), "Empty");
    rig_advance(r, 10001);
    cr_assert_str_eq(rig_state(r, "g"), "Dead");
    cr_assert_eq(r->g.group_count, 0);
    cr_assert_eq(join_code(rig_join(r, "g", id, NULL, 4)), kerr_of(RC_UNKNOWN_MEMBER_ID));
    rig_end(r);
}

Test(classic, a_loaded_group_goes_on_without_a_rebalance)
{
    struct rig *r = begin();
    const char *id = rig_stable(r, "g");
    cr_assert_eq(rig_commit_error(rig_commit(r, "g", id, 1, "orders", 3, 77)), 0);
    rig_reload(r);
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
    cr_assert_eq(rig_heartbeat(r, "g", id, 1), 0);
    cr_assert_eq(rig_committed(r, "g", "orders", 3), 77);
    struct rig_call *c = rig_sync(r, "g", id, 1, NULL, 0);
    cr_assert_str_eq(rig_text(rig_synced(c)->assignment), "all");
    rig_call_free(c);
    rig_advance(r, 9999);
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
    rig_advance(r, 10);
    cr_assert_str_eq(rig_state(r, "g"), "Empty");
    cr_assert_eq(rig_heartbeat(r, "g", id, 1), kerr_of(RC_UNKNOWN_MEMBER_ID));
    rig_end(r);
}

Test(classic, joins_that_are_refused)
{
    struct rig *r = begin();
    struct member a, b;
    two(r, NULL, NULL, &a, &b);
    static const char *const other[] = {"mine"};
    struct rig_call *c = rig_join_made("g", "", NULL, 5, range_only, 1, "orders");
    c->join.session_timeout_ms = 5999;
    rig_send(r, c);
    cr_assert_eq(join_code(c), kerr_of(RC_INVALID_SESSION_TIMEOUT));
    c = rig_join_made("g", "", NULL, 5, range_only, 1, "orders");
    c->join.session_timeout_ms = 1800001;
    rig_send(r, c);
    cr_assert_eq(join_code(c), kerr_of(RC_INVALID_SESSION_TIMEOUT));
    cr_assert_eq(join_code(rig_join(r, "", "", NULL, 5)), kerr_of(RC_INVALID_GROUP_ID));
    cr_assert_eq(join_code(rig_join_as(r, "g", "", NULL, 5, other, 1, "orders")), kerr_of(RC_INCONSISTENT_GROUP_PROTOCOL));
    cr_assert_eq(join_code(rig_join_as(r, "g", "", NULL, 5, other, 0, "orders")), kerr_of(RC_INCONSISTENT_GROUP_PROTOCOL));
    cr_assert_eq(join_code(rig_join_as(r, "new", "", NULL, 5, other, 0, "orders")), kerr_of(RC_INCONSISTENT_GROUP_PROTOCOL));
    c = rig_join_made("g", "", NULL, 5, range_only, 1, "orders");
    c->join.protocol_type = bytes_str("connect");
    rig_send(r, c);
    cr_assert_eq(join_code(c), kerr_of(RC_INCONSISTENT_GROUP_PROTOCOL));
    cr_assert_eq(join_code(rig_join(r, "g", "somebody", NULL, 5)), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(join_code(rig_join(r, "g", a.id, "one", 5)), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
    cr_assert_str_eq(rig_state(r, "new"), "Dead");
    rig_end(r);
}

Test(classic, syncs_that_are_refused)
{
    struct rig *r = begin();
    struct member a, b;
    cr_assert_eq(sync_code(rig_sync(r, "g", "x", 1, NULL, 0)), kerr_of(RC_UNKNOWN_MEMBER_ID));
    two(r, NULL, NULL, &a, &b);
    cr_assert_eq(sync_code(rig_sync(r, "g", "x", 1, NULL, 0)), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(sync_code(rig_sync(r, "g", a.id, 2, NULL, 0)), kerr_of(RC_ILLEGAL_GENERATION));
    struct rig_call *c = rig_sync_made("g", a.id, 1, NULL, 0);
    c->sync.protocol_name = bytes_str("sticky");
    rig_send(r, c);
    cr_assert_eq(sync_code(c), kerr_of(RC_INCONSISTENT_GROUP_PROTOCOL));
    c = rig_sync_made("g", a.id, 1, NULL, 0);
    c->sync.protocol_type = bytes_str("connect");
    rig_send(r, c);
    cr_assert_eq(sync_code(c), kerr_of(RC_INCONSISTENT_GROUP_PROTOCOL));
    c = rig_sync_made("g", a.id, 1, NULL, 0);
    c->sync.group_instance_id = bytes_str("one");
    rig_send(r, c);
    cr_assert_eq(sync_code(c), kerr_of(RC_UNKNOWN_MEMBER_ID));
    struct rig_call *leader = rig_join(r, "g", a.id, NULL, 5); // the leader wants a rebalance
    cr_assert_not(leader->back);
    cr_assert_str_eq(rig_state(r, "g"), "PreparingRebalance");
    cr_assert_eq(sync_code(rig_sync(r, "g", b.id, 1, NULL, 0)), kerr_of(RC_REBALANCE_IN_PROGRESS));
    cr_assert_eq(rig_heartbeat(r, "g", b.id, 1), kerr_of(RC_REBALANCE_IN_PROGRESS));
    struct rig_call *follower = rig_join(r, "g", b.id, NULL, 5);
    a = joined(leader);
    b = joined(follower);
    cr_assert_eq(a.generation, 2);
    cr_assert_eq(rig_heartbeat(r, "g", b.id, 2), 0);
    rig_end(r);
}

Test(classic, a_follower_that_joins_again_as_it_was_changes_nothing)
{
    struct rig *r = begin();
    struct member a, b;
    two(r, NULL, NULL, &a, &b);
    b = joined(rig_join(r, "g", b.id, NULL, 5));
    cr_assert_eq(b.generation, 1);
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
    struct rig_call *c = rig_join_as(r, "g", b.id, NULL, 5, range_only, 1, "clicks");
    cr_assert_not(c->back);
    cr_assert_str_eq(rig_state(r, "g"), "PreparingRebalance");
    cr_assert(rig_logged(r, "rebalance: metadata changed of member"));
    rig_end(r);
    cr_assert(c->back);
    rig_call_free(c);
}

Test(classic, the_protocol_most_members_prefer_is_taken)
{
    struct rig *r = begin();
    struct rig_call *a = rig_join_as(r, "g", "", NULL, 3, both, 2, "orders");
    struct rig_call *b = rig_join_as(r, "g", "", NULL, 3, both_turned, 2, "orders");
    struct rig_call *c = rig_join_as(r, "g", "", NULL, 3, both_turned, 2, "orders");
    rig_advance(r, 6000);
    cr_assert_str_eq(rig_text(rig_joined(a)->protocol_name), "roundrobin");
    cr_assert_str_eq(rig_text(rig_joined(a)->protocol_type), "consumer");
    struct member first = joined(a), m = joined(b);
    joined(c);
    (void)m;
    // A member that only has range: the group has to fall back to it.
    struct rig_call *d = rig_join_as(r, "g", "", NULL, 3, range_only, 1, "orders");
    cr_assert_not(d->back);
    rig_advance(r, 60001);
    cr_assert_eq(rig_joined(d)->error_code, 0);
    cr_assert_str_eq(rig_text(rig_joined(d)->protocol_name), "range");
    cr_assert_eq(rig_joined(d)->members_count, 1); // the others did not come
    rig_call_free(d);
    cr_assert_eq(rig_heartbeat(r, "g", first.id, 1), kerr_of(RC_UNKNOWN_MEMBER_ID));
    rig_end(r);
}

Test(classic, the_initial_delay_is_extended_by_new_members_up_to_the_rebalance_timeout)
{
    struct rig *r = begin();
    struct rig_call *calls[30];
    uint32_t count = 0;
    uint64_t began = r->now.now_ns;
    do {
        calls[count] = rig_join(r, "g", "", NULL, 3);
        count++;
        rig_advance(r, 2500);
    } while (!calls[0]->back && count < 30);
    uint64_t took_ms = (r->now.now_ns - began) / 1000000;
    cr_assert_geq(took_ms, 60000);
    cr_assert_leq(took_ms, 62500);
    cr_assert_eq(rig_joined(calls[0])->members_count, count);
    for (uint32_t i = 0; i < count; i++)
        rig_call_free(calls[i]);
    rig_end(r);
}

Test(classic, members_that_do_not_rejoin_in_time_are_out)
{
    struct rig *r = begin();
    struct member a, b;
    two(r, NULL, NULL, &a, &b);
    struct rig_call *c = rig_join(r, "g", a.id, NULL, 5);
    for (int i = 0; i < 12; i++) {
        rig_advance(r, 4999);
        cr_assert_not(c->back);
        cr_assert_eq(rig_heartbeat(r, "g", b.id, 1), kerr_of(RC_REBALANCE_IN_PROGRESS));
    }
    rig_advance(r, 100);
    a = joined(c);
    cr_assert_eq(a.members, 1);
    cr_assert(rig_logged(r, "did not rejoin in time"));
    cr_assert_eq(rig_heartbeat(r, "g", b.id, 2), kerr_of(RC_UNKNOWN_MEMBER_ID));
    rig_end(r);
}

Test(classic, members_that_die_together_are_missed_together)
{
    struct rig *r = begin();
    struct member a, b;
    two(r, NULL, NULL, &a, &b);
    // On a tenth of a second plus 10 and 90 ms: both sessions end with the same tenth.
    rig_advance(r, 110 - r->now.now_ns / 1000000 % 100);
    cr_assert_eq(rig_heartbeat(r, "g", a.id, a.generation), 0);
    rig_advance(r, 80);
    cr_assert_eq(rig_heartbeat(r, "g", b.id, b.generation), 0);
    rig_advance(r, 10009);
    cr_assert_str_eq(rig_state(r, "g"), "Stable", "nobody is out before its time");
    rig_advance(r, 1);
    cr_assert_str_eq(rig_state(r, "g"), "Empty");
    rig_end(r);
}

Test(classic, members_that_never_sync_are_out)
{
    struct rig *r = begin();
    struct rig_call *x = rig_join(r, "g", "", NULL, 3), *y = rig_join(r, "g", "", NULL, 3);
    rig_advance(r, 6000);
    struct member a = joined(x), b = joined(y);
    struct rig_call *waits = rig_sync(r, "g", b.id, 1, NULL, 0);
    for (int i = 0; i < 7; i++) { // the leader lives, and does not assign
        cr_assert_not(waits->back);
        cr_assert_eq(rig_heartbeat(r, "g", a.id, 1), 0);
        rig_advance(r, 9000);
    }
    cr_assert_eq(sync_code(waits), kerr_of(RC_REBALANCE_IN_PROGRESS));
    cr_assert_eq(rig_heartbeat(r, "g", a.id, 1), kerr_of(RC_UNKNOWN_MEMBER_ID));
    x = rig_join(r, "g", b.id, NULL, 3);
    b = joined(x);
    cr_assert(b.leads && b.generation == 2);
    cr_assert(rig_logged(r, "sent no SyncGroup within the rebalance timeout"));
    rig_end(r);
}

Test(classic, a_member_that_leaves_makes_the_others_join_again)
{
    struct rig *r = begin();
    struct member a, b;
    two(r, NULL, NULL, &a, &b);
    cr_assert_eq(leave(r, "g", 5, "nobody", NULL), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(leave(r, "g", 2, "nobody", NULL), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(leave(r, "none", 5, "nobody", NULL), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(leave(r, "none", 0, "nobody", NULL), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
    cr_assert_eq(leave(r, "g", 5, a.id, NULL), 0);
    cr_assert(rig_logged(r, "left (client reason: closing)"));
    cr_assert_eq(rig_heartbeat(r, "g", b.id, 1), kerr_of(RC_REBALANCE_IN_PROGRESS));
    b = joined(rig_join(r, "g", b.id, NULL, 5));
    cr_assert(b.leads && b.generation == 2 && b.members == 1);
    cr_assert_eq(rig_records(r, 2, NULL), 1);
    cr_assert_eq(leave(r, "g", 1, b.id, NULL), 0);
    cr_assert_str_eq(rig_state(r, "g"), "Empty");
    cr_assert_eq(rig_records(r, 2, NULL), 2);
    rig_reload(r);
    cr_assert_str_eq(rig_state(r, "g"), "Empty");
    cr_assert_eq(group_find(&r->g, bytes_str("g"))->classic->generation, 3);
    rig_end(r);
}

Test(classic, leaving_waits_for_the_log_when_the_group_becomes_empty)
{
    struct rig *r = begin();
    const char *id = rig_stable(r, "g");
    r->hold = true;
    struct rig_call *c = leave_made("g", 5, id, NULL);
    rig_send(r, c);
    cr_assert_not(c->back);
    cr_assert_eq(rig_heartbeat(r, "g", id, 1), kerr_of(RC_UNKNOWN_MEMBER_ID));
    struct rig_call *next = rig_join(r, "g", "", NULL, 3);
    cr_assert_not(next->back);
    rig_finish(r, RC_OK);
    cr_assert(c->back && !next->back);
    rig_call_free(c);
    cr_assert_str_eq(rig_state(r, "g"), "PreparingRebalance");
    rig_advance(r, 3000);
    cr_assert_eq(joined(next).generation, 3);
    rig_end(r);
}

Test(classic, an_assignment_that_cannot_be_stored_makes_everybody_join_again)
{
    static const struct {
        enum rc rc, told;
    } rows[] = {{RC_NOT_ENOUGH_REPLICAS, RC_COORDINATOR_NOT_AVAILABLE},
                {RC_UNKNOWN_TOPIC_OR_PARTITION, RC_COORDINATOR_NOT_AVAILABLE},
                {RC_TIMED_OUT, RC_COORDINATOR_NOT_AVAILABLE},
                {RC_MESSAGE_TOO_LARGE, RC_UNKNOWN_SERVER_ERROR},
                {RC_RECORD_LIST_TOO_LARGE, RC_UNKNOWN_SERVER_ERROR},
                {RC_NOT_LEADER_OR_FOLLOWER, RC_NOT_COORDINATOR},
                {RC_NO_SPACE, RC_NOT_COORDINATOR},
                {RC_IO, RC_NOT_COORDINATOR}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct rig *r = begin();
        struct rig_call *x = rig_join(r, "g", "", NULL, 3), *y = rig_join(r, "g", "", NULL, 3);
        rig_advance(r, 6000);
        struct member a = joined(x), b = joined(y);
        x = rig_sync(r, "g", b.id, 1, NULL, 0);
        r->fail = rows[i].rc;
        y = rig_sync(r, "g", a.id, 1, NULL, 0);
        cr_assert_eq(sync_code(x), kerr_of(rows[i].told), "row %zu", i);
        cr_assert_eq(sync_code(y), kerr_of(rows[i].told), "row %zu", i);
        cr_assert_str_eq(rig_state(r, "g"), "PreparingRebalance");
        cr_assert_eq(rig_records(r, 2, NULL), 0);
        rig_end(r);
    }
}

Test(classic, a_log_that_is_late_answers_and_goes_on)
{
    struct rig *r = begin();
    struct rig_call *x = rig_join(r, "g", "", NULL, 3);
    rig_advance(r, 3000);
    struct member a = joined(x);
    r->hold = true;
    const char *assigned[] = {a.id, "all"};
    struct rig_call *s = rig_sync(r, "g", a.id, 1, assigned, 2), *queued = rig_commit(r, "g", a.id, 1, "orders", 0, 1);
    cr_assert(!s->back && !queued->back);
    cr_assert_eq(rig_heartbeat(r, "g", a.id, 1), 0); // heartbeats do not wait
    struct group_append *append = groups_next_append(&r->g);
    groups_append_late(&r->g, append, r->now);
    rig_run(r);
    cr_assert_eq(sync_code(s), kerr_of(RC_COORDINATOR_NOT_AVAILABLE));
    cr_assert_eq(rig_commit_error(queued), kerr_of(RC_REQUEST_TIMED_OUT));
    cr_assert_eq(rig_commit_error(rig_commit(r, "g", a.id, 1, "orders", 0, 1)), kerr_of(RC_REQUEST_TIMED_OUT));
    rig_advance(r, 9000);
    cr_assert_eq(rig_heartbeat(r, "g", a.id, 1), 0);
    rig_finish(r, RC_OK);
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
    s = rig_sync(r, "g", a.id, 1, NULL, 0);
    cr_assert_str_eq(rig_text(rig_synced(s)->assignment), "all");
    rig_call_free(s);
    rig_end(r);
}

// ------------------------------------------------------------------------------------------------ static members

Test(classic, a_static_member_that_restarts_takes_its_place_without_a_rebalance)
{
    struct rig *r = begin();
    struct member a, b;
    two(r, "one", "two", &a, &b);
    struct rig_call *c = rig_join(r, "g", "", "two", 9);
    cr_assert_eq(rig_joined(c)->skip_assignment, false);
    struct member n = joined(c);
    cr_assert_eq(strncmp(n.id, "two-", 4), 0);
    cr_assert(strcmp(n.id, b.id) != 0 && n.generation == 1 && !n.leads);
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
    c = rig_sync_made("g", n.id, 1, NULL, 0);
    c->sync.group_instance_id = bytes_str("two");
    rig_send(r, c);
    cr_assert_str_eq(rig_text(rig_synced(c)->assignment), "right");
    rig_call_free(c);
    // The old one is fenced, by every call that names the instance.
    c = rig_sync_made("g", b.id, 1, NULL, 0);
    c->sync.group_instance_id = bytes_str("two");
    rig_send(r, c);
    cr_assert_eq(sync_code(c), kerr_of(RC_FENCED_INSTANCE_ID));
    c = rig_commit_made("g", b.id, 1, "orders", 0, 1);
    c->commit.group_instance_id = bytes_str("two");
    rig_send(r, c);
    cr_assert_eq(rig_commit_error(c), kerr_of(RC_FENCED_INSTANCE_ID));
    cr_assert_eq(join_code(rig_join(r, "g", b.id, "two", 9)), kerr_of(RC_FENCED_INSTANCE_ID));
    cr_assert_eq(leave(r, "g", 5, b.id, "two"), kerr_of(RC_FENCED_INSTANCE_ID));
    cr_assert_eq(rig_heartbeat(r, "g", b.id, 1), kerr_of(RC_UNKNOWN_MEMBER_ID));
    rig_reload(r);
    cr_assert_eq(rig_heartbeat(r, "g", n.id, 1), 0);
    cr_assert_eq(rig_heartbeat(r, "g", b.id, 1), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(r->g.rebalances, 0);
    rig_end(r);
}

Test(classic, a_static_leader_that_restarts_does_not_assign_again)
{
    struct rig *r = begin();
    struct member a, b;
    two(r, "one", "two", &a, &b);
    struct rig_call *c = rig_join(r, "g", "", "one", 9);
    cr_assert(rig_joined(c)->skip_assignment);
    struct member n = joined(c);
    cr_assert(n.leads && n.members == 2 && n.generation == 1);
    c = rig_join(r, "g", "", "one", 8); // before version 9 it must not take itself for the leader
    cr_assert_not(rig_joined(c)->skip_assignment);
    cr_assert_str_eq(rig_text(rig_joined(c)->leader), n.id);
    struct member m = joined(c);
    cr_assert(!m.leads && m.members == 0);
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
    rig_end(r);
}

Test(classic, a_static_member_that_restarts_with_another_subscription_rebalances)
{
    struct rig *r = begin();
    struct member a, b;
    two(r, "one", "two", &a, &b);
    struct rig_call *c = rig_join_as(r, "g", "", "two", 9, range_only, 1, "clicks");
    cr_assert_not(c->back);
    cr_assert_str_eq(rig_state(r, "g"), "PreparingRebalance");
    struct rig_call *d = rig_join(r, "g", a.id, "one", 9);
    cr_assert_eq(joined(c).generation, 2);
    cr_assert_eq(joined(d).generation, 2);
    rig_end(r);
}

Test(classic, a_static_replacement_that_cannot_be_stored_changes_nothing)
{
    struct rig *r = begin();
    struct member a, b;
    two(r, "one", "two", &a, &b);
    r->fail = RC_NOT_ENOUGH_REPLICAS;
    cr_assert_eq(join_code(rig_join(r, "g", "", "two", 9)), kerr_of(RC_COORDINATOR_NOT_AVAILABLE));
    r->fail = RC_OK;
    cr_assert_eq(rig_heartbeat(r, "g", b.id, 1), 0);
    rig_end(r);
}

Test(classic, a_parked_static_member_is_fenced_by_its_successor)
{
    struct rig *r = begin();
    struct rig_call *a = rig_join(r, "g", "", "one", 9), *b = rig_join(r, "g", "", "one", 9);
    cr_assert_eq(join_code(a), kerr_of(RC_FENCED_INSTANCE_ID));
    rig_advance(r, 6000);
    struct member m = joined(b);
    cr_assert(m.leads && m.members == 1);
    rig_end(r);
}

Test(classic, an_administrator_removes_static_members_by_instance)
{
    struct rig *r = begin();
    struct member a, b;
    two(r, "one", "two", &a, &b);
    cr_assert_eq(leave(r, "g", 5, "", "three"), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(leave(r, "g", 5, "", NULL), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(leave(r, "g", 5, "", "one"), 0);
    cr_assert_eq(rig_heartbeat(r, "g", a.id, 1), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(rig_heartbeat(r, "g", b.id, 1), kerr_of(RC_REBALANCE_IN_PROGRESS));
    rig_end(r);
}

Test(classic, fifty_static_members_restart_without_a_rebalance)
{
    struct rig *r = begin();
    struct rig_call *calls[50];
    char names[50][16], ids[50][160];
    const char *assigned[100];
    for (int i = 0; i < 50; i++) {
        snprintf(names[i], sizeof(names[i]), "s%d", i);
        calls[i] = rig_join(r, "g", "", names[i], 9);
    }
    rig_advance(r, 6000);
    for (int i = 0; i < 50; i++) {
        snprintf(ids[i], sizeof(ids[i]), "%s", joined(calls[i]).id);
        assigned[2 * i] = ids[i];
        assigned[2 * i + 1] = names[i];
    }
    for (int i = 49; i >= 0; i--)
        calls[i] = rig_sync(r, "g", ids[i], 1, assigned, i ? 0 : 100);
    for (int i = 0; i < 50; i++)
        cr_assert_eq(sync_code(calls[i]), 0);
    uint64_t before = r->g.rebalances;
    for (int i = 0; i < 50; i++) {
        for (int k = 0; k < 50; k++)
            rig_heartbeat(r, "g", ids[k], 1);
        rig_advance(r, 1000);
        snprintf(ids[i], sizeof(ids[i]), "%s", joined(rig_join(r, "g", "", names[i], 9)).id);
        struct rig_call *c = rig_sync(r, "g", ids[i], 1, NULL, 0);
        cr_assert_str_eq(rig_text(rig_synced(c)->assignment), names[i]);
        rig_call_free(c);
    }
    cr_assert_eq(r->g.rebalances, before);
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
    rig_end(r);
}

// ------------------------------------------------------------------------------------------------ limits

Test(classic, group_max_size)
{
    static struct rig rig;
    rig = (struct rig){0};
    groups_config_default(&rig.config);
    rig.config.size_max = 2;
    rig_begin(&rig);
    struct rig *r = &rig;
    struct member a, b;
    struct rig_call *x = rig_join(r, "g", "", NULL, 3), *y = rig_join(r, "g", "", NULL, 3);
    cr_assert_eq(join_code(rig_join(r, "g", "", NULL, 3)), kerr_of(RC_GROUP_MAX_SIZE_REACHED));
    rig_advance(r, 6000);
    a = joined(x);
    b = joined(y);
    cr_assert_eq(join_code(rig_join(r, "g", "", NULL, 9)), kerr_of(RC_GROUP_MAX_SIZE_REACHED));
    const char *assigned[] = {a.id, "left", b.id, "right"};
    x = rig_sync(r, "g", b.id, 1, NULL, 0);
    y = rig_sync(r, "g", a.id, 1, assigned, 4);
    cr_assert(sync_code(x) == 0 && sync_code(y) == 0);
    r->config.size_max = 1;
    rig_reload(r); // over capacity now: the slower one loses
    cr_assert_str_eq(rig_state(r, "g"), "PreparingRebalance");
    x = rig_join(r, "g", b.id, NULL, 9);
    cr_assert_eq(join_code(rig_join(r, "g", a.id, NULL, 9)), kerr_of(RC_GROUP_MAX_SIZE_REACHED));
    rig_advance(r, 60001);
    b = joined(x);
    cr_assert(b.leads && b.members == 1);
    rig_end(r);
}

Test(classic, a_connection_that_ends_gives_its_call_back_and_keeps_the_member)
{
    struct rig *r = begin();
    struct rig_call *x = rig_join(r, "g", "", "one", 9);
    groups_call_abandon(&r->g, &x->call, r->now);
    rig_run(r);
    cr_assert(x->back);
    rig_call_free(x);
    cr_assert_str_eq(rig_state(r, "g"), "PreparingRebalance");
    rig_advance(r, 3000);
    cr_assert_str_eq(rig_state(r, "g"), "CompletingRebalance");
    struct member a = {0};
    x = rig_join(r, "g", "", "one", 9); // it comes back: the generation has to begin anew
    a = joined(x);
    cr_assert_eq(a.generation, 2);
    r->hold = true;
    struct rig_call *s = rig_sync(r, "g", a.id, 2, NULL, 0), *j = rig_join(r, "g", a.id, "one", 9);
    cr_assert(!s->back && !j->back);
    groups_call_abandon(&r->g, &s->call, r->now); // decided
    groups_call_abandon(&r->g, &j->call, r->now); // queued
    rig_run(r);
    cr_assert(s->back && j->back);
    rig_call_free(s);
    rig_call_free(j);
    rig_finish(r, RC_OK);
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
    rig_end(r);
}

// ------------------------------------------------------------------------------------------------ describe, list, delete

Test(classic, describe_tells_members_and_events)
{
    struct rig *r = begin();
    struct member a, b;
    two(r, NULL, "two", &a, &b);
    struct rig_call *c = rig_call_new(GROUP_DESCRIBE, 5, "g");
    c->call.include_events = true;
    rig_send(r, c);
    const struct describe_groups_response_group *out = c->call.response;
    cr_assert_str_eq(rig_text(out->group_state), "Stable");
    cr_assert_str_eq(rig_text(out->protocol_type), "consumer");
    cr_assert_str_eq(rig_text(out->protocol_data), "range");
    cr_assert_eq(out->members_count, 2);
    cr_assert_str_eq(rig_text(out->members[0].member_id), a.id);
    cr_assert_null(out->members[0].group_instance_id.p);
    cr_assert_str_eq(rig_text(out->members[1].group_instance_id), "two");
    cr_assert_str_eq(rig_text(out->members[0].client_id), "client");
    cr_assert_str_eq(rig_text(out->members[0].client_host), "/127.0.0.1");
    cr_assert_str_eq(rig_text(out->members[1].member_assignment), "right");
    cr_assert_gt(out->members[0].member_metadata.n, 0);
    cr_assert_eq(out->events_count, 1);
    cr_assert_eq(out->events->timestamp_ms, 1700000000000);
    cr_assert(strstr(rig_text(out->events->text), "rebalance: new member client-"));
    rig_call_free(c);
    for (int i = 0; i < 40; i++) // the last ones are kept, of bounded size
        group_event(group_find(&r->g, bytes_str("g")), i, "rebalance: number %d with \"quoted\x01\" bytes", i);
    struct group_event e;
    uint32_t at = 0, count = 0;
    while (group_event_next(group_find(&r->g, bytes_str("g")), &at, &e))
        count++;
    cr_assert(count > 3 && count < 20 && e.generation == 39);
    cr_assert_leq(at, GROUP_EVENTS_BYTES);
    rig_end(r);
}

static uint32_t listed(struct rig *r, const char *state, const char *type)
{
    struct rig_call *c = rig_call_new(GROUP_LIST, 5, "");
    struct bytes s = bytes_str(state ? state : ""), t = bytes_str(type ? type : "");
    list_groups_request_init(&c->list);
    c->call.request = &c->list;
    c->list.states_filter = &s;
    c->list.states_filter_count = state != NULL;
    c->list.types_filter = &t;
    c->list.types_filter_count = type != NULL;
    rig_send(r, c);
    uint32_t count = ((struct group_list *)c->call.response)->count;
    rig_call_free(c);
    return count;
}

Test(classic, list_filters_by_state_and_type)
{
    struct rig *r = begin();
    rig_stable(r, "a");
    rig_call_free(rig_commit(r, "b", "", -1, "orders", 0, 1));
    cr_assert_eq(listed(r, NULL, NULL), 2);
    cr_assert_eq(listed(r, "Stable", NULL), 1);
    cr_assert_eq(listed(r, "stable", "CLASSIC"), 1);
    cr_assert_eq(listed(r, "Empty", NULL), 1);
    cr_assert_eq(listed(r, "Dead", NULL), 0);
    cr_assert_eq(listed(r, NULL, "consumer"), 0);
    rig_end(r);
}

Test(classic, only_empty_groups_are_deleted)
{
    struct rig *r = begin();
    const char *id = rig_stable(r, "g");
    cr_assert_eq(rig_commit_error(rig_commit(r, "g", id, 1, "orders", 0, 1)), 0);
    cr_assert_eq(rig_delete(r, "g"), kerr_of(RC_NON_EMPTY_GROUP));
    cr_assert_eq(rig_delete(r, "none"), kerr_of(RC_GROUP_ID_NOT_FOUND));
    cr_assert_eq(leave(r, "g", 5, id, NULL), 0);
    cr_assert_eq(rig_delete(r, "g"), 0);
    cr_assert_str_eq(rig_state(r, "g"), "Dead");
    cr_assert_eq(rig_committed(r, "g", "orders", 0), -1);
    cr_assert_eq(r->g.group_count + r->g.offset_count + r->g.member_count, 0);
    rig_reload(r);
    cr_assert_eq(r->g.group_count, 0);
    rig_end(r);
}

// ------------------------------------------------------------------------------------------------ records

Test(classic, the_record_is_kafkas)
{
    struct rig *r = begin();
    struct rig_call *c = rig_join(r, "g", "", "i", 3);
    rig_advance(r, 3000);
    struct member m = joined(c);
    const char *assigned[] = {m.id, "A"};
    rig_call_free(rig_sync(r, "g", m.id, 1, assigned, 2));
    struct bytes value;
    cr_assert_eq(rig_records(r, 2, &value), 1);
    struct dec d = dec_of(value);
    cr_assert_eq(dec_i16(&d), 3);
    cr_assert_str_eq(rig_text(dec_string(&d, false, false)), "consumer");
    cr_assert_eq(dec_i32(&d), 1); // generation
    cr_assert_str_eq(rig_text(dec_string(&d, false, true)), "range");
    cr_assert_str_eq(rig_text(dec_string(&d, false, true)), m.id);
    cr_assert_eq(dec_i64(&d), r->now.wall_ms);
    cr_assert_eq(dec_i32(&d), 1);
    cr_assert_str_eq(rig_text(dec_string(&d, false, false)), m.id);
    cr_assert_str_eq(rig_text(dec_string(&d, false, true)), "i");
    cr_assert_str_eq(rig_text(dec_string(&d, false, false)), "client");
    cr_assert_str_eq(rig_text(dec_string(&d, false, false)), "/127.0.0.1");
    cr_assert_eq(dec_i32(&d), 60000);
    cr_assert_eq(dec_i32(&d), 10000);
    cr_assert_eq(dec_bytes(&d, false, false).n, 18);
    cr_assert_str_eq(rig_text(dec_bytes(&d, false, false)), "A");
    cr_assert(!d.bad && dec_left(&d) == 0);
    rig_end(r);
}

static enum rc apply_hex(struct groups *g, const char *key, const char *value)
{
    uint8_t bytes[2][512];
    struct bytes out[2] = {{0}};
    const char *in[2] = {key, value};
    for (int i = 0; i < 2 && in[i]; i++) {
        size_t n = strlen(in[i]) / 2;
        for (size_t k = 0; k < n; k++)
            cr_assert_eq(sscanf(in[i] + 2 * k, "%2hhx", &bytes[i][k]), 1);
        out[i] = bytes_of(bytes[i], n);
    }
    return groups_apply(g, PRODUCER_ID_NONE, -1, out[0], out[1]);
}

// Whatever stands in the log: a record that cannot be read is skipped, and says so.
Test(classic, records_that_cannot_be_read_are_skipped)
{
    static const struct {
        const char *key, *value;
    } rows[] = {
        {"", "0003"},                 // no version
        {"00", "0003"},               // half of one
        {"0009000167", "0000"},       // a share group's
        {"7fff000167", "0000"},       // not known
        {"0002", "0003"},             // no group
        {"0002000167", "0003"},       // an empty value
        {"0002000167", "0063"},       // a newer version
        {"0002000167", ""},           // not even a version
        {"0002000567", "0003"},       // a name that is cut
        {"0002000167", "000300000000000100000000ffff7fffffff"},
        {"0002000167", "00030000ffffffff0000ffff000000000000000000000000"}, // generation -1
        {"0001000167", "0003"},       // an offset without topic
        {"000100016700016f00000000", "0003"},
        {"000100016700016f00000000", "00070000"},
    };
    struct rig *r = begin();
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        r->line_count = 0;
        cr_assert_eq(apply_hex(&r->g, rows[i].key, rows[i].value), RC_OK, "row %zu", i);
        cr_assert(rig_logged(r, "skipped a record"), "row %zu", i);
        cr_assert_eq(r->g.group_count, 0, "row %zu", i);
    }
    r->line_count = 0;
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(apply_hex(&r->g, "0009000167", "0000"), RC_OK);
    cr_assert_lt(r->line_count, 20);
    // Old versions are read: an empty group of version 0, a member without rebalance timeout of version 0.
    cr_assert_eq(apply_hex(&r->g, "0002000167", "00000000000000050000ffff00000000"), RC_OK);
    cr_assert_str_eq(rig_state(r, "g"), "Empty");
    cr_assert_eq(apply_hex(&r->g, "0002000168",
                           "00000001630000000500017200016d00000001" "00016d" "000163" "000168" "00002710" "00000001aa" "00000001bb"),
                 RC_OK);
    cr_assert_str_eq(rig_state(r, "h"), "Stable");
    cr_assert_eq(group_find(&r->g, bytes_str("h"))->classic->leader->rebalance_ms, 10000);
    cr_assert_eq(rig_heartbeat(r, "h", "m", 5), 0);
    cr_assert_eq(apply_hex(&r->g, "0002000167", NULL), RC_OK);
    cr_assert_str_eq(rig_state(r, "g"), "Dead");
    rig_end(r);
}

// ------------------------------------------------------------------------------------------------ the other protocol

Test(classic, an_empty_group_of_the_new_protocol_becomes_a_classic_one_and_back)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m", "orders"), "m 1 orders:0-11");
    EXPECT(r, BEAT("m", -1), "m -1 -");
    cr_assert_str_eq(rig_state(r, "g"), "Dead"); // for DescribeGroups
    cr_assert_eq(rig_commit_error(rig_commit(r, "g", "", -1, "orders", 0, 5)), 0);
    const char *id = rig_stable(r, "g");
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
    cr_assert_eq(rig_committed(r, "g", "orders", 0), 5);
    rig_reload(r);
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
    cr_assert_eq(leave(r, "g", 5, id, NULL), 0);
    EXPECT(r, JOIN("m", "orders"), "m 1 orders:0-11");
    cr_assert_str_eq(rig_state(r, "g"), "Dead");
    cr_assert_eq(rig_committed(r, "g", "orders", 0), 5);
    rig_reload(r);
    cr_assert_str_eq(rig_state(r, "g"), "Dead");
    cr_assert_eq(rig_committed(r, "g", "orders", 0), 5);
    rig_end(r);
}

Test(classic, a_conversion_that_cannot_be_stored_changes_nothing)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m", "orders"), "m 1 orders:0-11");
    EXPECT(r, BEAT("m", -1), "m -1 -");
    r->fail = RC_NOT_ENOUGH_REPLICAS;
    cr_assert_eq(join_code(rig_join(r, "g", "", NULL, 9)), kerr_of(RC_COORDINATOR_NOT_AVAILABLE));
    cr_assert_eq(group_find(&r->g, bytes_str("g"))->type, GROUP_CONSUMER);
    r->fail = RC_OK;
    cr_assert_eq(join_code(rig_join(r, "g", "", NULL, 9)), kerr_of(RC_MEMBER_ID_REQUIRED));
    cr_assert_eq(group_find(&r->g, bytes_str("g"))->type, GROUP_CLASSIC);
    rig_end(r);
}
