// SPDX-License-Identifier: Apache-2.0
//
// Static members of the classic protocol (KIP-345).
#include <criterion/criterion.h>

#include <stdio.h>

#include "classic_rig.h"

static const char *const range_only[] = {"range"};

Test(classic, a_static_member_that_restarts_takes_its_place_without_a_rebalance)
{
    struct rig *r = classic_begin();
    struct classic_told a, b;
    classic_two(r, "one", "two", &a, &b);
    struct rig_call *c = rig_join(r, "g", "", "two", 9);
    cr_assert_eq(rig_joined(c)->skip_assignment, false);
    struct classic_told n = classic_joined(c);
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
    cr_assert_eq(classic_sync_code(c), kerr_of(RC_FENCED_INSTANCE_ID));
    c = rig_commit_made("g", b.id, 1, "orders", 0, 1);
    c->commit.group_instance_id = bytes_str("two");
    rig_send(r, c);
    cr_assert_eq(rig_commit_error(c), kerr_of(RC_FENCED_INSTANCE_ID));
    cr_assert_eq(classic_join_code(rig_join(r, "g", b.id, "two", 9)), kerr_of(RC_FENCED_INSTANCE_ID));
    cr_assert_eq(classic_leave(r, "g", 5, b.id, "two"), kerr_of(RC_FENCED_INSTANCE_ID));
    cr_assert_eq(rig_heartbeat(r, "g", b.id, 1), kerr_of(RC_UNKNOWN_MEMBER_ID));
    rig_reload(r);
    cr_assert_eq(rig_heartbeat(r, "g", n.id, 1), 0);
    cr_assert_eq(rig_heartbeat(r, "g", b.id, 1), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(r->g.rebalances, 0);
    rig_end(r);
}

Test(classic, a_static_leader_that_restarts_does_not_assign_again)
{
    struct rig *r = classic_begin();
    struct classic_told a, b;
    classic_two(r, "one", "two", &a, &b);
    struct rig_call *c = rig_join(r, "g", "", "one", 9);
    cr_assert(rig_joined(c)->skip_assignment);
    struct classic_told n = classic_joined(c);
    cr_assert(n.leads && n.members == 2 && n.generation == 1);
    c = rig_join(r, "g", "", "one", 8); // before version 9 it must not take itself for the leader
    cr_assert_not(rig_joined(c)->skip_assignment);
    cr_assert_str_eq(rig_text(rig_joined(c)->leader), n.id);
    struct classic_told m = classic_joined(c);
    cr_assert(!m.leads && m.members == 0);
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
    rig_end(r);
}

Test(classic, a_static_member_that_restarts_with_another_subscription_rebalances)
{
    struct rig *r = classic_begin();
    struct classic_told a, b;
    classic_two(r, "one", "two", &a, &b);
    struct rig_call *c = rig_join_as(r, "g", "", "two", 9, range_only, 1, "clicks");
    cr_assert_not(c->back);
    cr_assert_str_eq(rig_state(r, "g"), "PreparingRebalance");
    struct rig_call *d = rig_join(r, "g", a.id, "one", 9);
    cr_assert_eq(classic_joined(c).generation, 2);
    cr_assert_eq(classic_joined(d).generation, 2);
    rig_end(r);
}

Test(classic, a_static_replacement_that_cannot_be_stored_changes_nothing)
{
    struct rig *r = classic_begin();
    struct classic_told a, b;
    classic_two(r, "one", "two", &a, &b);
    r->fail = RC_NOT_ENOUGH_REPLICAS;
    cr_assert_eq(classic_join_code(rig_join(r, "g", "", "two", 9)), kerr_of(RC_COORDINATOR_NOT_AVAILABLE));
    r->fail = RC_OK;
    cr_assert_eq(rig_heartbeat(r, "g", b.id, 1), 0);
    rig_end(r);
}

Test(classic, a_parked_static_member_is_fenced_by_its_successor)
{
    struct rig *r = classic_begin();
    struct rig_call *a = rig_join(r, "g", "", "one", 9), *b = rig_join(r, "g", "", "one", 9);
    cr_assert_eq(classic_join_code(a), kerr_of(RC_FENCED_INSTANCE_ID));
    rig_advance(r, 6000);
    struct classic_told m = classic_joined(b);
    cr_assert(m.leads && m.members == 1);
    rig_end(r);
}

Test(classic, an_administrator_removes_static_members_by_instance)
{
    struct rig *r = classic_begin();
    struct classic_told a, b;
    classic_two(r, "one", "two", &a, &b);
    cr_assert_eq(classic_leave(r, "g", 5, "", "three"), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(classic_leave(r, "g", 5, "", NULL), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(classic_leave(r, "g", 5, "", "one"), 0);
    cr_assert_eq(rig_heartbeat(r, "g", a.id, 1), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(rig_heartbeat(r, "g", b.id, 1), kerr_of(RC_REBALANCE_IN_PROGRESS));
    rig_end(r);
}

Test(classic, fifty_static_members_restart_without_a_rebalance)
{
    struct rig *r = classic_begin();
    struct rig_call *calls[50];
    char names[50][16], ids[50][160];
    const char *assigned[100];
    for (int i = 0; i < 50; i++) {
        snprintf(names[i], sizeof(names[i]), "s%d", i);
        calls[i] = rig_join(r, "g", "", names[i], 9);
    }
    rig_advance(r, 6000);
    for (int i = 0; i < 50; i++) {
        snprintf(ids[i], sizeof(ids[i]), "%s", classic_joined(calls[i]).id);
        assigned[2 * i] = ids[i];
        assigned[2 * i + 1] = names[i];
    }
    for (int i = 49; i >= 0; i--)
        calls[i] = rig_sync(r, "g", ids[i], 1, assigned, i ? 0 : 100);
    for (int i = 0; i < 50; i++)
        cr_assert_eq(classic_sync_code(calls[i]), 0);
    uint64_t before = r->g.rebalances;
    for (int i = 0; i < 50; i++) {
        for (int k = 0; k < 50; k++)
            rig_heartbeat(r, "g", ids[k], 1);
        rig_advance(r, 1000);
        snprintf(ids[i], sizeof(ids[i]), "%s", classic_joined(rig_join(r, "g", "", names[i], 9)).id);
        struct rig_call *c = rig_sync(r, "g", ids[i], 1, NULL, 0);
        cr_assert_str_eq(rig_text(rig_synced(c)->assignment), names[i]);
        rig_call_free(c);
    }
    cr_assert_eq(r->g.rebalances, before);
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
    rig_end(r);
}
