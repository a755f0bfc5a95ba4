// SPDX-License-Identifier: Apache-2.0
//
// The classic protocol: joins, syncs, leaving, and members that are late.
#include <criterion/criterion.h>

#include <stdio.h>

#include "classic_rig.h"

static const char *const range_only[] = {"range"};
static const char *const both[] = {"range", "roundrobin"};
static const char *const both_turned[] = {"roundrobin", "range"};

Test(classic, a_new_member_is_given_an_id_and_joins_with_it)
{
    struct rig *r = classic_begin();
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
    struct rig *r = classic_begin();
    struct rig_call *c = rig_join(r, "g", "", NULL, 4);
    cr_assert_eq(rig_joined(c)->error_code, kerr_of(RC_MEMBER_ID_REQUIRED));
    char id[128];
    snprintf(id, sizeof(id), "%s", rig_text(rig_joined(c)->member_id));
    rig_call_free(c);
    cr_assert_str_eq(rig_state(r, "g"), "Empty");
    rig_advance(r, 10001);
    cr_assert_str_eq(rig_state(r, "g"), "Dead");
    cr_assert_eq(r->g.group_count, 0);
    cr_assert_eq(classic_join_code(rig_join(r, "g", id, NULL, 4)), kerr_of(RC_UNKNOWN_MEMBER_ID));
    rig_end(r);
}

Test(classic, a_loaded_group_goes_on_without_a_rebalance)
{
    struct rig *r = classic_begin();
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
    struct rig *r = classic_begin();
    struct classic_told a, b;
    classic_two(r, NULL, NULL, &a, &b);
    static const char *const other[] = {"mine"};
    struct rig_call *c = rig_join_made("g", "", NULL, 5, range_only, 1, "orders");
    c->join.session_timeout_ms = 5999;
    rig_send(r, c);
    cr_assert_eq(classic_join_code(c), kerr_of(RC_INVALID_SESSION_TIMEOUT));
    c = rig_join_made("g", "", NULL, 5, range_only, 1, "orders");
    c->join.session_timeout_ms = 1800001;
    rig_send(r, c);
    cr_assert_eq(classic_join_code(c), kerr_of(RC_INVALID_SESSION_TIMEOUT));
    cr_assert_eq(classic_join_code(rig_join(r, "", "", NULL, 5)), kerr_of(RC_INVALID_GROUP_ID));
    cr_assert_eq(classic_join_code(rig_join_as(r, "g", "", NULL, 5, other, 1, "orders")), kerr_of(RC_INCONSISTENT_GROUP_PROTOCOL));
    cr_assert_eq(classic_join_code(rig_join_as(r, "g", "", NULL, 5, other, 0, "orders")), kerr_of(RC_INCONSISTENT_GROUP_PROTOCOL));
    cr_assert_eq(classic_join_code(rig_join_as(r, "new", "", NULL, 5, other, 0, "orders")), kerr_of(RC_INCONSISTENT_GROUP_PROTOCOL));
    c = rig_join_made("g", "", NULL, 5, range_only, 1, "orders");
    c->join.protocol_type = bytes_str("connect");
    rig_send(r, c);
    cr_assert_eq(classic_join_code(c), kerr_of(RC_INCONSISTENT_GROUP_PROTOCOL));
    cr_assert_eq(classic_join_code(rig_join(r, "g", "somebody", NULL, 5)), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(classic_join_code(rig_join(r, "g", a.id, "one", 5)), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
    cr_assert_str_eq(rig_state(r, "new"), "Dead");
    rig_end(r);
}

Test(classic, syncs_that_are_refused)
{
    struct rig *r = classic_begin();
    struct classic_told a, b;
    cr_assert_eq(classic_sync_code(rig_sync(r, "g", "x", 1, NULL, 0)), kerr_of(RC_UNKNOWN_MEMBER_ID));
    classic_two(r, NULL, NULL, &a, &b);
    cr_assert_eq(classic_sync_code(rig_sync(r, "g", "x", 1, NULL, 0)), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(classic_sync_code(rig_sync(r, "g", a.id, 2, NULL, 0)), kerr_of(RC_ILLEGAL_GENERATION));
    struct rig_call *c = rig_sync_made("g", a.id, 1, NULL, 0);
    c->sync.protocol_name = bytes_str("sticky");
    rig_send(r, c);
    cr_assert_eq(classic_sync_code(c), kerr_of(RC_INCONSISTENT_GROUP_PROTOCOL));
    c = rig_sync_made("g", a.id, 1, NULL, 0);
    c->sync.protocol_type = bytes_str("connect");
    rig_send(r, c);
    cr_assert_eq(classic_sync_code(c), kerr_of(RC_INCONSISTENT_GROUP_PROTOCOL));
    c = rig_sync_made("g", a.id, 1, NULL, 0);
    c->sync.group_instance_id = bytes_str("one");
    rig_send(r, c);
    cr_assert_eq(classic_sync_code(c), kerr_of(RC_UNKNOWN_MEMBER_ID));
    struct rig_call *leader = rig_join(r, "g", a.id, NULL, 5); // the leader wants a rebalance
    cr_assert_not(leader->back);
    cr_assert_str_eq(rig_state(r, "g"), "PreparingRebalance");
    cr_assert_eq(classic_sync_code(rig_sync(r, "g", b.id, 1, NULL, 0)), kerr_of(RC_REBALANCE_IN_PROGRESS));
    cr_assert_eq(rig_heartbeat(r, "g", b.id, 1), kerr_of(RC_REBALANCE_IN_PROGRESS));
    struct rig_call *follower = rig_join(r, "g", b.id, NULL, 5);
    a = classic_joined(leader);
    b = classic_joined(follower);
    cr_assert_eq(a.generation, 2);
    cr_assert_eq(rig_heartbeat(r, "g", b.id, 2), 0);
    rig_end(r);
}

Test(classic, a_follower_that_joins_again_as_it_was_changes_nothing)
{
    struct rig *r = classic_begin();
    struct classic_told a, b;
    classic_two(r, NULL, NULL, &a, &b);
    b = classic_joined(rig_join(r, "g", b.id, NULL, 5));
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
    struct rig *r = classic_begin();
    struct rig_call *a = rig_join_as(r, "g", "", NULL, 3, both, 2, "orders");
    struct rig_call *b = rig_join_as(r, "g", "", NULL, 3, both_turned, 2, "orders");
    struct rig_call *c = rig_join_as(r, "g", "", NULL, 3, both_turned, 2, "orders");
    rig_advance(r, 6000);
    cr_assert_str_eq(rig_text(rig_joined(a)->protocol_name), "roundrobin");
    cr_assert_str_eq(rig_text(rig_joined(a)->protocol_type), "consumer");
    struct classic_told first = classic_joined(a), m = classic_joined(b);
    classic_joined(c);
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
    struct rig *r = classic_begin();
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
    struct rig *r = classic_begin();
    struct classic_told a, b;
    classic_two(r, NULL, NULL, &a, &b);
    struct rig_call *c = rig_join(r, "g", a.id, NULL, 5);
    for (int i = 0; i < 12; i++) {
        rig_advance(r, 4999);
        cr_assert_not(c->back);
        cr_assert_eq(rig_heartbeat(r, "g", b.id, 1), kerr_of(RC_REBALANCE_IN_PROGRESS));
    }
    rig_advance(r, 100);
    a = classic_joined(c);
    cr_assert_eq(a.members, 1);
    cr_assert(rig_logged(r, "did not rejoin in time"));
    cr_assert_eq(rig_heartbeat(r, "g", b.id, 2), kerr_of(RC_UNKNOWN_MEMBER_ID));
    rig_end(r);
}

Test(classic, members_that_die_together_are_missed_together)
{
    struct rig *r = classic_begin();
    struct classic_told a, b;
    classic_two(r, NULL, NULL, &a, &b);
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
    struct rig *r = classic_begin();
    struct rig_call *x = rig_join(r, "g", "", NULL, 3), *y = rig_join(r, "g", "", NULL, 3);
    rig_advance(r, 6000);
    struct classic_told a = classic_joined(x), b = classic_joined(y);
    struct rig_call *waits = rig_sync(r, "g", b.id, 1, NULL, 0);
    for (int i = 0; i < 7; i++) { // the leader lives, and does not assign
        cr_assert_not(waits->back);
        cr_assert_eq(rig_heartbeat(r, "g", a.id, 1), 0);
        rig_advance(r, 9000);
    }
    cr_assert_eq(classic_sync_code(waits), kerr_of(RC_REBALANCE_IN_PROGRESS));
    cr_assert_eq(rig_heartbeat(r, "g", a.id, 1), kerr_of(RC_UNKNOWN_MEMBER_ID));
    x = rig_join(r, "g", b.id, NULL, 3);
    b = classic_joined(x);
    cr_assert(b.leads && b.generation == 2);
    cr_assert(rig_logged(r, "sent no SyncGroup within the rebalance timeout"));
    rig_end(r);
}

Test(classic, a_member_that_leaves_makes_the_others_join_again)
{
    struct rig *r = classic_begin();
    struct classic_told a, b;
    classic_two(r, NULL, NULL, &a, &b);
    cr_assert_eq(classic_leave(r, "g", 5, "nobody", NULL), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(classic_leave(r, "g", 2, "nobody", NULL), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(classic_leave(r, "none", 5, "nobody", NULL), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(classic_leave(r, "none", 0, "nobody", NULL), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
    cr_assert_eq(classic_leave(r, "g", 5, a.id, NULL), 0);
    cr_assert(rig_logged(r, "left (client reason: closing)"));
    cr_assert_eq(rig_heartbeat(r, "g", b.id, 1), kerr_of(RC_REBALANCE_IN_PROGRESS));
    b = classic_joined(rig_join(r, "g", b.id, NULL, 5));
    cr_assert(b.leads && b.generation == 2 && b.members == 1);
    cr_assert_eq(rig_records(r, 2, NULL), 1);
    cr_assert_eq(classic_leave(r, "g", 1, b.id, NULL), 0);
    cr_assert_str_eq(rig_state(r, "g"), "Empty");
    cr_assert_eq(rig_records(r, 2, NULL), 2);
    rig_reload(r);
    cr_assert_str_eq(rig_state(r, "g"), "Empty");
    cr_assert_eq(group_find(&r->g, bytes_str("g"))->classic->generation, 3);
    rig_end(r);
}

Test(classic, leaving_waits_for_the_log_when_the_group_becomes_empty)
{
    struct rig *r = classic_begin();
    const char *id = rig_stable(r, "g");
    r->hold = true;
    struct rig_call *c = classic_leave_made("g", 5, id, NULL);
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
    cr_assert_eq(classic_joined(next).generation, 3);
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
        struct rig *r = classic_begin();
        struct rig_call *x = rig_join(r, "g", "", NULL, 3), *y = rig_join(r, "g", "", NULL, 3);
        rig_advance(r, 6000);
        struct classic_told a = classic_joined(x), b = classic_joined(y);
        x = rig_sync(r, "g", b.id, 1, NULL, 0);
        r->fail = rows[i].rc;
        y = rig_sync(r, "g", a.id, 1, NULL, 0);
        cr_assert_eq(classic_sync_code(x), kerr_of(rows[i].told), "row %zu", i);
        cr_assert_eq(classic_sync_code(y), kerr_of(rows[i].told), "row %zu", i);
        cr_assert_str_eq(rig_state(r, "g"), "PreparingRebalance");
        cr_assert_eq(rig_records(r, 2, NULL), 0);
        rig_end(r);
    }
}

Test(classic, a_log_that_is_late_answers_and_goes_on)
{
    struct rig *r = classic_begin();
    struct rig_call *x = rig_join(r, "g", "", NULL, 3);
    rig_advance(r, 3000);
    struct classic_told a = classic_joined(x);
    r->hold = true;
    const char *assigned[] = {a.id, "all"};
    struct rig_call *s = rig_sync(r, "g", a.id, 1, assigned, 2), *queued = rig_commit(r, "g", a.id, 1, "orders", 0, 1);
    cr_assert(!s->back && !queued->back);
    cr_assert_eq(rig_heartbeat(r, "g", a.id, 1), 0); // heartbeats do not wait
    struct group_append *append = groups_next_append(&r->g);
    groups_append_late(&r->g, append, r->now);
    rig_run(r);
    cr_assert_eq(classic_sync_code(s), kerr_of(RC_COORDINATOR_NOT_AVAILABLE));
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


// ------------------------------------------------------------------------------------------------ limits

Test(classic, group_max_size)
{
    static struct rig rig;
    rig = (struct rig){0};
    groups_config_default(&rig.config);
    rig.config.size_max = 2;
    rig_begin(&rig);
    struct rig *r = &rig;
    struct classic_told a, b;
    struct rig_call *x = rig_join(r, "g", "", NULL, 3), *y = rig_join(r, "g", "", NULL, 3);
    cr_assert_eq(classic_join_code(rig_join(r, "g", "", NULL, 3)), kerr_of(RC_GROUP_MAX_SIZE_REACHED));
    rig_advance(r, 6000);
    a = classic_joined(x);
    b = classic_joined(y);
    cr_assert_eq(classic_join_code(rig_join(r, "g", "", NULL, 9)), kerr_of(RC_GROUP_MAX_SIZE_REACHED));
    const char *assigned[] = {a.id, "left", b.id, "right"};
    x = rig_sync(r, "g", b.id, 1, NULL, 0);
    y = rig_sync(r, "g", a.id, 1, assigned, 4);
    cr_assert(classic_sync_code(x) == 0 && classic_sync_code(y) == 0);
    r->config.size_max = 1;
    rig_reload(r); // over capacity now: the slower one loses
    cr_assert_str_eq(rig_state(r, "g"), "PreparingRebalance");
    x = rig_join(r, "g", b.id, NULL, 9);
    cr_assert_eq(classic_join_code(rig_join(r, "g", a.id, NULL, 9)), kerr_of(RC_GROUP_MAX_SIZE_REACHED));
    rig_advance(r, 60001);
    b = classic_joined(x);
    cr_assert(b.leads && b.members == 1);
    rig_end(r);
}

Test(classic, a_connection_that_ends_gives_its_call_back_and_keeps_the_member)
{
    struct rig *r = classic_begin();
    struct rig_call *x = rig_join(r, "g", "", "one", 9);
    groups_call_abandon(&r->g, &x->call, r->now);
    rig_run(r);
    cr_assert(x->back);
    rig_call_free(x);
    cr_assert_str_eq(rig_state(r, "g"), "PreparingRebalance");
    rig_advance(r, 3000);
    cr_assert_str_eq(rig_state(r, "g"), "CompletingRebalance");
    struct classic_told a = {0};
    x = rig_join(r, "g", "", "one", 9); // it comes back: the generation has to begin anew
    a = classic_joined(x);
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
