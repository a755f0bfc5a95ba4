// SPDX-License-Identifier: Apache-2.0
//
// What is told, stored and deleted of classic groups, and their change to the other protocol and back.
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include "classic_rig.h"

// ------------------------------------------------------------------------------------------------ describe, list, delete

Test(classic, describe_tells_members_and_events)
{
    struct rig *r = classic_begin();
    struct classic_told a, b;
    classic_two(r, NULL, "two", &a, &b);
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
    struct rig *r = classic_begin();
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
    struct rig *r = classic_begin();
    const char *id = rig_stable(r, "g");
    cr_assert_eq(rig_commit_error(rig_commit(r, "g", id, 1, "orders", 0, 1)), 0);
    cr_assert_eq(rig_delete(r, "g"), kerr_of(RC_NON_EMPTY_GROUP));
    cr_assert_eq(rig_delete(r, "none"), kerr_of(RC_GROUP_ID_NOT_FOUND));
    cr_assert_eq(classic_leave(r, "g", 5, id, NULL), 0);
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
    struct rig *r = classic_begin();
    struct rig_call *c = rig_join(r, "g", "", "i", 3);
    rig_advance(r, 3000);
    struct classic_told m = classic_joined(c);
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
    struct rig *r = classic_begin();
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
    struct rig *r = classic_begin();
    EXPECT(r, JOIN("m", "orders"), "m 1 orders:0-11");
    EXPECT(r, BEAT("m", -1), "m -1 -");
    cr_assert_str_eq(rig_state(r, "g"), "Dead"); // for DescribeGroups
    cr_assert_eq(rig_commit_error(rig_commit(r, "g", "", -1, "orders", 0, 5)), 0);
    const char *id = rig_stable(r, "g");
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
    cr_assert_eq(rig_committed(r, "g", "orders", 0), 5);
    rig_reload(r);
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
    cr_assert_eq(classic_leave(r, "g", 5, id, NULL), 0);
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
    struct rig *r = classic_begin();
    EXPECT(r, JOIN("m", "orders"), "m 1 orders:0-11");
    EXPECT(r, BEAT("m", -1), "m -1 -");
    r->fail = RC_NOT_ENOUGH_REPLICAS;
    cr_assert_eq(classic_join_code(rig_join(r, "g", "", NULL, 9)), kerr_of(RC_COORDINATOR_NOT_AVAILABLE));
    cr_assert_eq(group_find(&r->g, bytes_str("g"))->type, GROUP_CONSUMER);
    r->fail = RC_OK;
    cr_assert_eq(classic_join_code(rig_join(r, "g", "", NULL, 9)), kerr_of(RC_MEMBER_ID_REQUIRED));
    cr_assert_eq(group_find(&r->g, bytes_str("g"))->type, GROUP_CLASSIC);
    rig_end(r);
}
