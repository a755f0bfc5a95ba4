// SPDX-License-Identifier: Apache-2.0
//
// A group from the classic protocol to the new one and back, with members of both in between.
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include "consumer_rig.h"

static struct rig rig;

static struct rig *begin(void)
{
    rig = (struct rig){0};
    groups_config_default(&rig.config);
    rig.config.initial_rebalance_delay_ms = 0;
    rig_begin(&rig);
    return &rig;
}

static void end(struct rig *r)
{
    consumer_check(r, "g");
    consumer_replay_check(r);
    rig_end(r);
}

static struct rig_call *join_send(struct rig *r, const char *member, const char *instance, const char *topic)
{
    static const char *const range[] = {"range"};
    return rig_join_as(r, "g", member, instance, 3, range, 1, topic);
}

// "m 3 range": member, generation, protocol; or the error.
static const char *joined(struct rig_call *c)
{
    static char text[256];
    if (!c->back)
        return "waits";
    const struct join_group_response *out = rig_joined(c);
    if (out->error_code)
        snprintf(text, sizeof(text), "%s", kerr_name(out->error_code));
    else
        snprintf(text, sizeof(text), "%s %d %s", rig_text(out->member_id), out->generation_id,
                 rig_text(out->protocol_name));
    rig_call_free(c);
    return text;
}

// What it is assigned, or the error. assignment: what a leader gives to itself.
static const char *sync_as(struct rig *r, const char *member, int32_t generation, const char *own)
{
    static char text[512];
    struct rig_call *c = rig_call_new(GROUP_SYNC, 5, "g");
    sync_group_request_init(&c->sync);
    c->call.request = &c->sync;
    c->sync.member_id = bytes_str(member);
    c->sync.generation_id = generation;
    c->sync.protocol_type = bytes_str("consumer");
    c->sync.protocol_name = bytes_str("range");
    struct sync_group_request_assignment a = {.member_id = bytes_str(member)};
    if (own) {
        struct partition_set s = set_parse(r, &c->arena, own);
        a.assignment = consumer_assignment_encode(&r->g, &s, rig_subscription(&c->arena, "orders"), &c->arena);
        c->sync.assignments = &a;
        c->sync.assignments_count = 1;
    }
    rig_send(r, c);
    cr_assert(c->back);
    const struct sync_group_response *out = rig_synced(c);
    bool user_data;
    struct partition_set s;
    if (out->error_code) {
        snprintf(text, sizeof(text), "%s", kerr_name(out->error_code));
    } else {
        cr_assert_eq(consumer_assignment_decode(&r->g, out->assignment, &c->arena, &s, &user_data), RC_OK);
        snprintf(text, sizeof(text), "%s", set_text(r, &s));
    }
    rig_call_free(c);
    return text;
}

static const char *beaten(struct rig *r, const char *member, int32_t generation)
{
    return kerr_name(rig_heartbeat(r, "g", member, generation));
}

static int16_t leave(struct rig *r, const char *member)
{
    struct rig_call *c = rig_call_new(GROUP_LEAVE, 5, "g");
    struct leave_group_request_member m = {.member_id = bytes_str(member)};
    leave_group_request_init(&c->leave);
    c->leave.members = &m;
    c->leave.members_count = 1;
    c->call.request = &c->leave;
    rig_send(r, c);
    cr_assert(c->back);
    int16_t code = ((struct leave_group_response *)c->call.response)->members[0].error_code;
    rig_call_free(c);
    return code;
}

// A classic group with one stable member; its id.
static const char *classic_group(struct rig *r, const char *instance)
{
    static char id[128];
    struct rig_call *c = join_send(r, "", instance, "orders");
    rig_advance(r, 1);
    cr_assert(c->back);
    cr_assert_eq(rig_joined(c)->error_code, 0);
    snprintf(id, sizeof(id), "%s", rig_text(rig_joined(c)->member_id));
    rig_call_free(c);
    cr_assert_str_eq(sync_as(r, id, 1, "orders:0-11"), "orders:0-11");
    return id;
}

static const char *state_without(struct rig *r, const char *id)
{
    static char text[8192];
    snprintf(text, sizeof(text), "%s", consumer_text(r, "g"));
    for (char *at; (at = strstr(text, id)) != NULL;) {
        at[0] = 'C';
        memmove(at + 1, at + strlen(id), strlen(at + strlen(id)) + 1);
    }
    return text;
}

#define STATE(r, id, text) cr_assert_str_eq(state_without(r, id), text)

Test(consumer_migrate, a_classic_group_goes_over_and_back_with_its_offsets)
{
    struct rig *r = begin();
    const char *c = classic_group(r, NULL);
    cr_assert_eq(rig_commit_error(rig_commit(r, "g", c, 1, "orders", 3, 77)), 0);
    // A member of the new protocol comes.
    EXPECT(r, JOIN("m1", "orders"), "m1 2 ");
    STATE(r, c, "Reconciling 2/2; C 1 stable orders:0-11; m1 2 unreleased ");
    cr_assert(rig_logged(r, "from the classic to the consumer protocol"));
    consumer_check(r, "g");
    cr_assert_eq(rig_commit_error(rig_commit(r, "g", c, 1, "orders", 3, 78)), 0);
    cr_assert_eq(rig_commit_error(rig_commit(r, "g", c, 2, "orders", 3, 79)), kerr_of(RC_ILLEGAL_GENERATION));
    // The classic one is told to join again; it revokes what it has, as eager members do.
    cr_assert_str_eq(beaten(r, c, 1), "REBALANCE_IN_PROGRESS");
    cr_assert_str_eq(sync_as(r, c, 1, NULL), "REBALANCE_IN_PROGRESS");
    struct rig_call *call = join_send(r, c, NULL, "orders");
    cr_assert(call->back);
    cr_assert_eq(rig_joined(call)->generation_id, 2);
    cr_assert_eq(rig_joined(call)->members_count, 0);
    cr_assert_str_eq(rig_text(rig_joined(call)->leader), "");
    rig_call_free(call);
    cr_assert_str_eq(beaten(r, c, 1), "ILLEGAL_GENERATION");
    cr_assert_str_eq(sync_as(r, c, 2, NULL), "orders:0-5");
    cr_assert_str_eq(beaten(r, c, 2), "NONE");
    EXPECT(r, BEAT("m1", 2), "m1 2 orders:6-11");
    STATE(r, c, "Stable 2/2; C 2 stable orders:0-5; m1 2 stable orders:6-11");
    consumer_replay_check(r);
    // A load in between changes nothing.
    rig_reload(r);
    cr_assert_str_eq(beaten(r, c, 2), "NONE");
    EXPECT(r, BEAT("m1", 2), "m1 2 -");
    // The last member of the new protocol goes: back.
    EXPECT(r, BEAT("m1", -1), "m1 -1 -");
    cr_assert_str_eq(consumer_text(r, "g"), "none");
    cr_assert_str_eq(rig_state(r, "g"), "PreparingRebalance");
    cr_assert(rig_logged(r, "from the consumer to the classic protocol"));
    cr_assert_str_eq(beaten(r, c, 2), "REBALANCE_IN_PROGRESS");
    rig_reload(r); // on the way: nobody has assigned what m1 had
    cr_assert_str_eq(rig_state(r, "g"), "PreparingRebalance");
    cr_assert_str_eq(beaten(r, c, 2), "REBALANCE_IN_PROGRESS");
    call = join_send(r, c, NULL, "orders");
    rig_advance(r, 1);
    cr_assert(call->back);
    cr_assert_eq(rig_joined(call)->generation_id, 3);
    cr_assert_str_eq(rig_text(rig_joined(call)->leader), c);
    rig_call_free(call);
    cr_assert_str_eq(sync_as(r, c, 3, "orders:0-11"), "orders:0-11");
    cr_assert_eq(rig_committed(r, "g", "orders", 3), 78);
    end(r);
}

// The group must not change for one that it then refuses: it would change back, and the sessions would begin anew.
Test(consumer_migrate, a_group_stays_classic_for_a_member_it_refuses)
{
    struct rig *r = begin();
    const char *c = classic_group(r, "i1");
    const char *refused = beat(r, JOIN("m1", "orders", .instance = "i1"));
    cr_assert_eq(strncmp(refused, "UNRELEASED_INSTANCE_ID", 22), 0, "%s", refused);
    r->config.consumer_size_max = 1;
    groups_configure(&r->g, &r->config);
    refused = beat(r, JOIN("m2", "orders"));
    cr_assert_eq(strncmp(refused, "GROUP_MAX_SIZE_REACHED", 22), 0, "%s", refused);
    cr_assert_str_eq(consumer_text(r, "g"), "none");
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
    cr_assert_str_eq(beaten(r, c, 1), "NONE");
    // And one that asks again and again does not keep the dead alive.
    for (int k = 0; k < 12; k++) {
        rig_advance(r, 1000);
        beat(r, JOIN("m1", "orders", .instance = "i1"));
    }
    EXPECT(r, JOIN("m1", "orders", .instance = "i1"), "m1 1 orders:0-11");
    end(r);
}

Test(consumer_migrate, a_classic_member_joins_a_group_of_the_new_protocol)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", "orders"), "m1 1 orders:0-11");
    static const char *const range[] = {"range"};
    struct rig_call *call = rig_join_as(r, "g", "", NULL, 9, range, 1, "orders");
    cr_assert(call->back);
    cr_assert_eq(rig_joined(call)->error_code, kerr_of(RC_MEMBER_ID_REQUIRED));
    char c[64];
    snprintf(c, sizeof(c), "%s", rig_text(rig_joined(call)->member_id));
    rig_call_free(call);
    cr_assert_eq(rig_consumer(r, "g")->member_count, 1);
    call = rig_join_as(r, "g", c, NULL, 9, range, 1, "orders");
    cr_assert_eq(rig_joined(call)->error_code, 0);
    cr_assert_eq(rig_joined(call)->generation_id, 2);
    rig_call_free(call);
    cr_assert_str_eq(sync_as(r, c, 2, NULL), ""); // m1 still has all
    cr_assert_str_eq(beaten(r, c, 2), "NONE");
    EXPECT(r, BEAT("m1", 1, .owned = "orders:0-11"), "m1 1 orders:0-5");
    cr_assert_str_eq(beaten(r, c, 2), "NONE");
    EXPECT(r, BEAT("m1", 1, .owned = "orders:0-5"), "m1 2 -");
    cr_assert_str_eq(beaten(r, c, 2), "REBALANCE_IN_PROGRESS"); // they are free: join and take them
    cr_assert_str_eq(joined(rig_join_as(r, "g", c, NULL, 9, range, 1, "orders")) + strlen(c), " 2 range");
    cr_assert_str_eq(sync_as(r, c, 2, NULL), "orders:6-11");
    cr_assert(strstr(state_without(r, c), "C 2 stable orders:6-11"));
    cr_assert(strstr(state_without(r, c), "m1 2 stable orders:0-5"));
    cr_assert_eq(leave(r, "m1"), kerr_of(RC_UNKNOWN_MEMBER_ID)); // speaks the new protocol
    cr_assert_eq(leave(r, "nobody"), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(leave(r, c), 0);
    EXPECT(r, BEAT("m1", 2), "m1 3 orders:0-11");
    // What it cannot speak.
    static const char *const other[] = {"other"};
    cr_assert_eq(rig_consumer(r, "g")->classic_count, 0);
    call = rig_join_as(r, "g", c, NULL, 9, range, 1, "orders");
    rig_call_free(call);
    cr_assert_str_eq(joined(rig_join_as(r, "g", "x", NULL, 9, other, 1, "orders")), "INCONSISTENT_GROUP_PROTOCOL");
    end(r);
}

Test(consumer_migrate, classic_members_have_their_own_session_and_time_to_join)
{
    struct rig *r = begin();
    const char *c = classic_group(r, NULL);
    EXPECT(r, JOIN("m1", "orders"), "m1 2 ");
    rig_advance(r, 9000);
    cr_assert_str_eq(beaten(r, c, 1), "REBALANCE_IN_PROGRESS");
    rig_advance(r, 9000);
    cr_assert_str_eq(beaten(r, c, 1), "REBALANCE_IN_PROGRESS");
    cr_assert_eq(rig_consumer(r, "g")->member_count, 2);
    for (int i = 0; i < 6; i++) { // heartbeats alone do not help beyond the rebalance timeout of a minute
        rig_advance(r, 9000);
        beaten(r, c, 1);
        EXPECT(r, BEAT("m1", i < 5 ? 2 : 2), i < 5 ? "m1 2 -" : "m1 3 orders:0-11");
    }
    cr_assert(rig_logged(r, "did not join or sync"));
    cr_assert_str_eq(beaten(r, c, 1), "UNKNOWN_MEMBER_ID");
    end(r);
}

Test(consumer_migrate, a_member_that_changes_its_protocol_under_its_id_has_no_old_deadline)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", "orders"), "m1 1 orders:0-11");
    rig_call_free(join_send(r, "m2", NULL, "orders")); // now it has its rebalance timeout to sync
    EXPECT(r, JOIN("m2", "orders"), "m2 2 ");
    EXPECT(r, BEAT("m1", 1, .owned = "orders:0-11"), "m1 1 orders:0-5");
    EXPECT(r, BEAT("m1", 1, .owned = "orders:0-5"), "m1 2 -");
    EXPECT(r, BEAT("m2", 2), "m2 2 orders:6-11");
    for (int i = 0; i < 3; i++) {
        rig_advance(r, 30000);
        EXPECT(r, BEAT("m1", 2), "m1 2 -");
        EXPECT(r, BEAT("m2", 2), "m2 2 -");
    }
    cr_assert_eq(rig_consumer(r, "g")->member_count, 2);
    end(r);
}

Test(consumer_migrate, a_static_member_changes_its_protocol_without_losing_its_place)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", "orders", .instance = "i1"), "m1 1 orders:0-11");
    EXPECT(r, JOIN("m2", "clicks"), "m2 2 clicks:0-2");
    EXPECT(r, BEAT("m1", 1, .instance = "i1"), "m1 2 -");
    EXPECT(r, BEAT("m1", -2, .instance = "i1"), "m1 -2 -");
    // It restarts with the classic protocol.
    struct rig_call *call = join_send(r, "", "i1", "orders");
    cr_assert_eq(rig_joined(call)->error_code, 0);
    char c[64];
    snprintf(c, sizeof(c), "%s", rig_text(rig_joined(call)->member_id));
    cr_assert_eq(rig_joined(call)->generation_id, 2);
    rig_call_free(call);
    cr_assert_str_eq(sync_as(r, c, 2, NULL), "orders:0-11");
    cr_assert_eq(rig_consumer(r, "g")->epoch, 2);
    // And back. Classic members do not say that they go: its instance is free when its session has ended.
    const char *refused = beat(r, JOIN("m3", "orders", .instance = "i1"));
    cr_assert_eq(strncmp(refused, "UNRELEASED_INSTANCE_ID", 22), 0, "%s", refused);
    rig_advance(r, 11000);
    EXPECT(r, JOIN("m3", "orders", .instance = "i1"), "m3 4 orders:0-11");
    end(r);
}

Test(consumer_migrate, what_cannot_go_over_is_told_why)
{
    struct rig *r = begin();
    const char *c = classic_group(r, NULL);
    struct groups_config config = r->config;
    config.migrate_up = false;
    groups_configure(&r->g, &config);
    EXPECT(r, JOIN("m1", "orders"), "GROUP_ID_NOT_FOUND: Cannot upgrade classic group g to consumer group because "
                                    "online upgrade is disabled.");
    config.migrate_up = true;
    config.consumer_size_max = 0;
    groups_configure(&r->g, &config);
    EXPECT(r, JOIN("m1", "orders"), "GROUP_ID_NOT_FOUND: Cannot upgrade classic group g to consumer group because the "
                                    "group size exceeds the consumer group maximum size.");
    groups_configure(&r->g, &r->config);
    EXPECT(r, BEAT("m1", 1), "GROUP_ID_NOT_FOUND: Group g is not a consumer group.");
    EXPECT(r, BEAT("m1", -1), "GROUP_ID_NOT_FOUND: Group g is not a consumer group.");
    cr_assert_str_eq(beaten(r, c, 1), "NONE");
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
    end(r);
}

Test(consumer_migrate, an_assignment_that_cannot_be_read_stays_where_it_is)
{
    struct rig *r = begin();
    const char *id = rig_stable(r, "g"); // its assignment is the word "all"
    EXPECT(r, JOIN("m1", "orders"), "GROUP_ID_NOT_FOUND: Cannot upgrade classic group g to consumer group because the "
                                    "embedded consumer protocol is malformed.");
    cr_assert_eq(rig_heartbeat(r, "g", id, 1), 0);
    end(r);
}

Test(consumer_migrate, members_that_wait_in_a_rebalance_are_sent_to_join_again)
{
    struct rig *r = begin();
    const char *c = classic_group(r, NULL);
    struct rig_call *waiting = join_send(r, "", NULL, "orders");
    cr_assert_not(waiting->back);
    EXPECT(r, JOIN("m1", "orders"), "m1 2 ");
    cr_assert(waiting->back);
    cr_assert_str_eq(joined(waiting), "REBALANCE_IN_PROGRESS");
    cr_assert_eq(rig_consumer(r, "g")->member_count, 3);
    cr_assert_str_eq(beaten(r, c, 1), "REBALANCE_IN_PROGRESS");
    end(r);
}

Test(consumer_migrate, an_empty_group_changes_its_protocol_at_once)
{
    struct rig *r = begin();
    const char *c = classic_group(r, NULL);
    cr_assert_eq(rig_commit_error(rig_commit(r, "g", c, 1, "orders", 3, 77)), 0);
    cr_assert_eq(leave(r, c), 0);
    cr_assert_str_eq(rig_state(r, "g"), "Empty");
    EXPECT(r, JOIN("m1", "orders"), "m1 1 orders:0-11");
    cr_assert_eq(rig_committed(r, "g", "orders", 3), 77);
    EXPECT(r, BEAT("m1", -1), "m1 -1 -");
    classic_group(r, NULL);
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
    cr_assert_eq(rig_committed(r, "g", "orders", 3), 77);
    end(r);
}

Test(consumer_migrate, a_conversion_that_is_not_written_leaves_the_group_as_it_was)
{
    struct rig *r = begin();
    const char *c = classic_group(r, NULL);
    r->fail = RC_NOT_ENOUGH_REPLICAS;
    EXPECT(r, JOIN("m1", "orders"), "COORDINATOR_NOT_AVAILABLE: ");
    r->fail = RC_OK;
    cr_assert_str_eq(beaten(r, c, 1), "NONE");
    EXPECT(r, JOIN("m1", "orders"), "m1 2 ");
    end(r);
}
