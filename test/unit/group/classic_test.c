// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include <stdlib.h>

#include "rig.h"

static struct rig *begin(void)
{
    static struct rig rig;
    rig = (struct rig){0};
    rig_begin(&rig);
    return &rig;
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
    cr_assert_eq(rig_records(r, 2, NULL), 1);
    cr_assert(rig_logged(r, "group 'g' generation 0: rebalance: new member"));
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
