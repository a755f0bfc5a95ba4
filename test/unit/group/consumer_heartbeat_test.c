// SPDX-License-Identifier: Apache-2.0
//
// The new protocol, answer by answer.
#include <criterion/criterion.h>

#include "consumer_rig.h"

static struct rig *begin(void)
{
    static struct rig rig;
    rig = (struct rig){0};
    rig_begin(&rig);
    return &rig;
}

static void end(struct rig *r)
{
    consumer_check(r, "g");
    consumer_replay_check(r);
    rig_end(r);
}

#define STATE(r, text) cr_assert_str_eq(consumer_text(r, "g"), text)

Test(consumer, one_member_has_all_and_its_heartbeats_write_nothing)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", "orders"), "m1 1 orders:0-11");
    STATE(r, "Stable 1/1; m1 1 stable orders:0-11");
    uint64_t appends = r->appends;
    cr_assert_eq(appends, 1);
    for (int i = 0; i < 3; i++)
        EXPECT(r, BEAT("m1", 1, .owned = "orders:0-11"), "m1 1 -");
    EXPECT(r, BEAT("m1", 1), "m1 1 -");
    cr_assert_eq(r->appends, appends);
    // A full request is answered in full.
    EXPECT(r, BEAT("m1", 1, .topics = "orders", .owned = "orders:0-11", .rebalance_ms = 60000), "m1 1 orders:0-11");
    cr_assert_eq(r->appends, appends);
    end(r);
}

Test(consumer, a_second_member_gets_what_the_first_one_lets_go)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", "orders"), "m1 1 orders:0-11");
    EXPECT(r, JOIN("m2", "orders"), "m2 2 ");
    STATE(r, "Reconciling 2/2; m1 1 stable orders:0-11; m2 2 unreleased ");
    EXPECT(r, BEAT("m2", 2, .owned = ""), "m2 2 -");
    EXPECT(r, BEAT("m1", 1, .owned = "orders:0-11"), "m1 1 orders:0-5");
    STATE(r, "Reconciling 2/2; m1 1 unrevoked orders:0-5 revoking orders:6-11; m2 2 unreleased ");
    consumer_check(r, "g");
    EXPECT(r, BEAT("m1", 1), "m1 1 -"); // says nothing of what it owns
    EXPECT(r, BEAT("m1", 1, .owned = "orders:0-6"), "m1 1 -");
    EXPECT(r, BEAT("m2", 2), "m2 2 -");
    EXPECT(r, BEAT("m1", 1, .owned = "orders:0-5"), "m1 2 -");
    EXPECT(r, BEAT("m2", 2), "m2 2 orders:6-11");
    STATE(r, "Stable 2/2; m1 2 stable orders:0-5; m2 2 stable orders:6-11");
    end(r);
}

Test(consumer, a_member_that_leaves_gives_its_partitions_to_the_others)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", "orders"), "m1 1 orders:0-11");
    EXPECT(r, JOIN("m2", "orders"), "m2 2 ");
    EXPECT(r, BEAT("m1", 1, .owned = "orders:0-11"), "m1 1 orders:0-5");
    EXPECT(r, BEAT("m1", 1, .owned = "orders:0-5"), "m1 2 -");
    EXPECT(r, BEAT("m2", 2), "m2 2 orders:6-11");
    EXPECT(r, BEAT("m2", -1), "m2 -1 -");
    STATE(r, "Assigning 3/2; m1 2 stable orders:0-5");
    EXPECT(r, BEAT("m1", 2, .owned = "orders:0-5"), "m1 3 orders:0-11");
    cr_assert(rig_logged(r, "member m2 left: rebalance"));
    EXPECT(r, BEAT("m1", -1), "m1 -1 -");
    STATE(r, "Empty 4/3");
    cr_assert_eq(r->g.member_count, 0);
    // What was a group of the new protocol may be one of the old again, and is deleted whole.
    cr_assert_eq(rig_delete(r, "g"), 0);
    STATE(r, "none");
    cr_assert_eq(r->g.group_count, 0);
    end(r);
}

Test(consumer, what_is_no_heartbeat_is_refused_in_kafkas_words)
{
    struct rig *r = begin();
    const struct {
        struct beat beat;
        const char *answer;
    } cases[] = {
        {BEAT(" ", 0), "INVALID_REQUEST: MemberId can't be empty."},
        {JOIN("m", "orders", .group = ""), "INVALID_REQUEST: GroupId can't be empty."},
        {JOIN("m", "orders", .instance = ""), "INVALID_REQUEST: InstanceId can't be empty."},
        {JOIN("m", "orders", .rack = ""), "INVALID_REQUEST: RackId can't be empty."},
        {BEAT("m", 0, .topics = "orders", .owned = ""),
         "INVALID_REQUEST: RebalanceTimeoutMs must be provided in first request."},
        {BEAT("m", 0, .topics = "orders", .rebalance_ms = 1),
         "INVALID_REQUEST: TopicPartitions must be empty when (re-)joining."},
        {BEAT("m", 0, .topics = "orders", .rebalance_ms = 1, .owned = "orders:1"),
         "INVALID_REQUEST: TopicPartitions must be empty when (re-)joining."},
        {BEAT("m", 0, .rebalance_ms = 1, .owned = ""),
         "INVALID_REQUEST: Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining."},
        {BEAT("m", -2), "INVALID_REQUEST: InstanceId can't be null."},
        {BEAT("m", -3), "INVALID_REQUEST: MemberEpoch is invalid."},
        {JOIN("m", "orders", .assignor = "sticky"),
         "UNSUPPORTED_ASSIGNOR: ServerAssignor sticky is not supported. Supported assignors: uniform, range."},
        {BEAT("m", 1), "GROUP_ID_NOT_FOUND: Consumer group g not found."},
        {BEAT("m", -1), "GROUP_ID_NOT_FOUND: Consumer group g not found."},
        {JOIN("m", NULL, .regex = "["), "INVALID_REGULAR_EXPRESSION: SubscribedTopicRegex `[` is not a valid regular "
                                        "expression: missing closing ]."},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        EXPECT(r, cases[i].beat, cases[i].answer);
        STATE(r, "none");
    }
    cr_assert_eq(r->g.group_count, 0);
    cr_assert_eq(r->appends, 0);
    end(r);
}

Test(consumer, epochs_are_fenced_but_a_lost_answer_is_forgiven)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", "orders"), "m1 1 orders:0-11");
    EXPECT(r, BEAT("m2", 1), "UNKNOWN_MEMBER_ID: Member m2 is not a member of group g.");
    EXPECT(r, BEAT("m2", -1), "UNKNOWN_MEMBER_ID: Member m2 is not a member of group g.");
    EXPECT(r, BEAT("m1", 2),
           "FENCED_MEMBER_EPOCH: The consumer group member has a greater member epoch (2) than the one known by the "
           "group coordinator (1). The member must abandon all its partitions and rejoin.");
    EXPECT(r, BEAT("m1", 1, .topics = "orders,clicks"), "m1 2 orders:0-11 clicks:0-2");
    // The answer above was lost: the member comes again with the epoch it knows.
    EXPECT(r, BEAT("m1", 1, .owned = "orders:0-11"), "m1 2 -");
    EXPECT(r, BEAT("m1", 1),
           "FENCED_MEMBER_EPOCH: The consumer group member has a smaller member epoch (1) than the one known by the "
           "group coordinator (2). The member must abandon all its partitions and rejoin.");
    // Fenced, it abandons everything and joins again under its id: all is given to it at once.
    EXPECT(r, JOIN("m1", "orders,clicks"), "m1 2 orders:0-11 clicks:0-2");
    end(r);
}

// A first heartbeat was late, its client has begun anew over another connection, and what the member gets is told to nobody.
Test(consumer, what_a_late_heartbeat_was_told_is_told_again)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", "orders", .connection = 1), "m1 1 orders:0-11");
    EXPECT(r, JOIN("m2", "orders", .connection = 2), "m2 2 ");
    EXPECT(r, BEAT("m1", 1, .connection = 1), "m1 1 orders:0-5");
    EXPECT(r, BEAT("m1", 1, .owned = "orders:0-5", .connection = 1), "m1 2 -");
    EXPECT(r, JOIN("m2", "orders", .connection = 3), "m2 2 orders:6-11");
    EXPECT(r, BEAT("m2", 2, .connection = 2), "m2 2 orders:6-11");
    EXPECT(r, BEAT("m2", 2, .connection = 2), "m2 2 -");
    EXPECT(r, BEAT("m1", 2, .connection = 1), "m1 2 -");
    end(r);
}

Test(consumer, version_0_has_member_ids_made_by_the_coordinator)
{
    struct rig *r = begin();
    struct beat b = JOIN("", "orders");
    struct rig_call *c = beat_send(r, &b);
    const struct consumer_group_heartbeat_response *out = c->call.response;
    cr_assert_eq(out->error_code, 0);
    cr_assert_eq(out->member_id.n, UUID_TEXT_CHARS);
    cr_assert_eq(out->heartbeat_interval_ms, 5000);
    struct uuid id;
    cr_assert(uuid_parse(out->member_id, &id));
    rig_call_free(c);
    cr_assert_eq(rig_consumer(r, "g")->member_count, 1);
    end(r);
}

Test(consumer, a_static_member_that_restarts_gets_its_partitions_without_a_rebalance)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", "orders", .instance = "i1"), "m1 1 orders:0-11");
    EXPECT(r, JOIN("m2", "orders", .instance = "i1"),
           "UNRELEASED_INSTANCE_ID: Static member m2 with instance id i1 cannot join the group because the instance id "
           "is owned by m1 member.");
    EXPECT(r, BEAT("m1", -2, .instance = "i1"), "m1 -2 -");
    STATE(r, "Reconciling 1/1; m1 -2 stable orders:0-11");
    EXPECT(r, JOIN("m2", "orders", .instance = "i1"), "m2 1 orders:0-11");
    STATE(r, "Stable 1/1; m2 1 stable orders:0-11");
    EXPECT(r, BEAT("m1", 1, .instance = "i1"),
           "FENCED_INSTANCE_ID: Static member m1 with instance id i1 was fenced by member m2.");
    EXPECT(r, BEAT("m1", -1, .instance = "i1"),
           "FENCED_INSTANCE_ID: Static member m1 with instance id i1 was fenced by member m2.");
    EXPECT(r, BEAT("m2", 1, .instance = "i9"), "UNKNOWN_MEMBER_ID: Instance id i9 is unknown.");
    EXPECT(r, BEAT("m2", 1, .instance = "i1"), "m2 1 -");
    // Away for longer than its session: gone.
    EXPECT(r, BEAT("m2", -2, .instance = "i1"), "m2 -2 -");
    rig_advance(r, 44000);
    STATE(r, "Reconciling 1/1; m2 -2 stable orders:0-11");
    rig_advance(r, 2000);
    STATE(r, "Empty 2/1");
    end(r);
}

Test(consumer, a_static_member_that_comes_back_with_other_topics_rebalances)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", "orders", .instance = "i1"), "m1 1 orders:0-11");
    EXPECT(r, BEAT("m1", -2, .instance = "i1"), "m1 -2 -");
    EXPECT(r, JOIN("m2", "clicks", .instance = "i1"), "m2 2 clicks:0-2");
    end(r);
}

Test(consumer, sessions_end_and_all_that_died_together_go_together)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", "orders"), "m1 1 orders:0-11");
    EXPECT(r, JOIN("m2", "orders"), "m2 2 ");
    EXPECT(r, JOIN("m3", "orders"), "m3 3 ");
    rig_advance(r, 44900);
    EXPECT(r, BEAT("m3", 3), "m3 3 -");
    uint64_t appends = r->appends;
    rig_advance(r, 200);
    cr_assert_eq(r->appends, appends + 1);
    STATE(r, "Assigning 4/3; m3 3 unreleased ");
    EXPECT(r, BEAT("m3", 3), "m3 4 orders:0-11");
    cr_assert(rig_logged(r, "among them, sent no heartbeat within its session timeout"));
    end(r);
}

Test(consumer, who_does_not_revoke_in_time_is_removed)
{
    struct rig *r = begin();
    EXPECT(r, BEAT("m1", 0, .topics = "orders", .owned = "", .rebalance_ms = 20000), "m1 1 orders:0-11");
    EXPECT(r, JOIN("m2", "orders"), "m2 2 ");
    EXPECT(r, BEAT("m1", 1, .owned = "orders:0-11"), "m1 1 orders:0-5");
    for (int i = 0; i < 3; i++) {
        rig_advance(r, 6000);
        EXPECT(r, BEAT("m1", 1, .owned = "orders:0-11"), "m1 1 -");
        EXPECT(r, BEAT("m2", 2), "m2 2 -");
    }
    rig_advance(r, 2000);
    EXPECT(r, BEAT("m1", 1), "UNKNOWN_MEMBER_ID: Member m1 is not a member of group g.");
    EXPECT(r, BEAT("m2", 2), "m2 3 orders:0-11");
    cr_assert(rig_logged(r, "did not revoke"));
    end(r);
}

Test(consumer, a_full_group_takes_no_more)
{
    static struct rig rig;
    rig = (struct rig){0};
    groups_config_default(&rig.config);
    rig.config.consumer_size_max = 2;
    rig_begin(&rig);
    struct rig *r = &rig;
    EXPECT(r, JOIN("m1", "orders", .instance = "i1"), "m1 1 orders:0-11");
    EXPECT(r, JOIN("m2", "orders"), "m2 2 ");
    EXPECT(r, JOIN("m3", "orders"),
           "GROUP_MAX_SIZE_REACHED: The consumer group has reached its maximum capacity of 2 members.");
    EXPECT(r, BEAT("m2", 2), "m2 2 -");
    end(r);
}

Test(consumer, topics_that_change_are_seen_with_the_next_heartbeat)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", "orders,later"), "m1 1 orders:0-11");
    rig_topic(r, "later", 2);
    groups_topic_changed(&r->g, bytes_str("later"), r->topics[2].id, false, r->now);
    EXPECT(r, BEAT("m1", 1, .owned = "orders:0-11"), "m1 2 orders:0-11 later:0-1");
    rig_topic_grow(r, "later", 4);
    EXPECT(r, BEAT("m1", 2), "m1 3 orders:0-11 later:0-3");
    rig_topic_grow(r, "clicks", 9); // not subscribed to
    EXPECT(r, BEAT("m1", 3), "m1 3 -");
    rig_topic_gone(r, "orders");
    EXPECT(r, BEAT("m1", 3), "m1 3 later:0-3");
    EXPECT(r, BEAT("m1", 3, .owned = "later:0-3"), "m1 4 -");
    STATE(r, "Stable 4/4; m1 4 stable later:0-3");
    end(r);
}

Test(consumer, topics_that_changed_while_nobody_led_are_seen)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", "orders"), "m1 1 orders:0-11");
    r->topics[0].partition_count = 14;
    rig_reload(r);
    EXPECT(r, BEAT("m1", 1), "m1 2 orders:0-13");
    end(r);
}

Test(consumer, a_loaded_group_goes_on_where_it_was)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", "orders", .instance = "i1"), "m1 1 orders:0-11");
    EXPECT(r, JOIN("m2", "orders"), "m2 2 ");
    EXPECT(r, BEAT("m1", 1, .instance = "i1", .owned = "orders:0-11"), "m1 1 orders:0-5");
    rig_reload(r);
    STATE(r, "Reconciling 2/2; m1 1 unrevoked orders:0-5 revoking orders:6-11; m2 2 unreleased ");
    EXPECT(r, BEAT("m1", 1, .instance = "i1", .owned = "orders:0-5"), "m1 2 -");
    EXPECT(r, BEAT("m2", 2), "m2 2 orders:6-11");
    rig_advance(r, 46000);
    STATE(r, "Empty 3/2");
    end(r);
}

Test(consumer, assignors_are_voted_for)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", "orders", .assignor = "range"), "m1 1 orders:0-11");
    EXPECT(r, JOIN("m0", "orders"), "m0 2 ");
    EXPECT(r, BEAT("m1", 1, .owned = "orders:0-11"), "m1 1 orders:6-11"); // range: m0 comes first
    EXPECT(r, JOIN("m2", "orders", .assignor = "uniform"), "m2 3 ");
    end(r);
}

Test(consumer, subscriptions_are_sets)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", ""), "m1 1 ");
    EXPECT(r, BEAT("m1", 1, .topics = "clicks"), "m1 2 clicks:0-2");
    EXPECT(r, BEAT("m1", 2, .topics = "clicks,clicks"), "m1 2 -");
    EXPECT(r, BEAT("m1", 2, .topics = "orders,clicks"), "m1 3 orders:0-11 clicks:0-2");
    EXPECT(r, BEAT("m1", 3, .topics = "clicks,orders"), "m1 3 -");
    end(r);
}

static void own_timeouts(void *context, struct bytes group_id, int32_t *session_ms, int32_t *heartbeat_ms)
{
    (void)context;
    if (!bytes_eq(group_id, bytes_str("g")))
        return;
    *session_ms = 50000;
    *heartbeat_ms = 7000;
}

Test(consumer, a_group_may_have_timeouts_of_its_own)
{
    struct rig *r = begin();
    r->g.host.group_config = own_timeouts;
    struct beat b = JOIN("m1", "orders");
    struct rig_call *c = beat_send(r, &b);
    cr_assert_eq(((struct consumer_group_heartbeat_response *)c->call.response)->heartbeat_interval_ms, 7000);
    rig_call_free(c);
    EXPECT(r, JOIN("m1", "orders", .group = "h"), "m1 1 orders:0-11");
    rig_advance(r, 46000);
    cr_assert_eq(rig_consumer(r, "g")->member_count, 1);
    cr_assert_eq(rig_consumer(r, "h")->member_count, 0);
    rig_advance(r, 4001);
    cr_assert_eq(rig_consumer(r, "g")->member_count, 0);
    end(r);
}

Test(consumer, nothing_counts_before_it_is_in_the_log)
{
    struct rig *r = begin();
    r->hold = true;
    struct beat join = JOIN("m1", "orders"), other = JOIN("m2", "orders");
    struct rig_call *a = beat_send(r, &join), *b = beat_send(r, &other);
    cr_assert_not(a->back);
    cr_assert_not(b->back);
    STATE(r, "none");
    rig_finish(r, RC_NOT_ENOUGH_REPLICAS);
    cr_assert_str_eq(beat_answer(r, a), "COORDINATOR_NOT_AVAILABLE: ");
    cr_assert_not(b->back); // its turn: decided against the state as it is
    rig_finish(r, RC_OK);
    cr_assert_str_eq(beat_answer(r, b), "m2 1 orders:0-11");
    STATE(r, "Stable 1/1; m2 1 stable orders:0-11");
    r->hold = false;
    end(r);
}

Test(consumer, a_removal_that_was_not_written_is_tried_again)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", "orders"), "m1 1 orders:0-11");
    r->fail = RC_NOT_ENOUGH_REPLICAS;
    rig_advance(r, 46000);
    STATE(r, "Stable 1/1; m1 1 stable orders:0-11");
    r->fail = RC_OK;
    rig_advance(r, 46000);
    STATE(r, "Empty 2/1");
    end(r);
}

static int16_t commit(struct rig *r, const char *member, int32_t epoch, int16_t version)
{
    struct rig_call *c = rig_call_new(GROUP_COMMIT, version, "g");
    struct offset_commit_request_partition p;
    offset_commit_request_partition_init(&p);
    p.committed_offset = 5;
    p.committed_metadata = bytes_str("");
    struct offset_commit_request_topic t = {.name = bytes_str("orders"), .partitions = &p, .partitions_count = 1};
    offset_commit_request_init(&c->commit);
    c->commit.member_id = bytes_str(member);
    c->commit.generation_id_or_member_epoch = epoch;
    c->commit.topics = &t;
    c->commit.topics_count = 1;
    c->call.request = &c->commit;
    rig_send(r, c);
    return rig_commit_error(c);
}

Test(consumer, commits_carry_the_member_epoch)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", "orders"), "m1 1 orders:0-11");
    cr_assert_eq(commit(r, "m1", 1, 9), 0);
    cr_assert_eq(commit(r, "m1", 2, 9), kerr_of(RC_STALE_MEMBER_EPOCH));
    cr_assert_eq(commit(r, "m1", 0, 9), kerr_of(RC_STALE_MEMBER_EPOCH));
    cr_assert_eq(commit(r, "m1", 1, 8), kerr_of(RC_UNSUPPORTED_VERSION));
    cr_assert_eq(commit(r, "m2", 1, 9), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(commit(r, "", -1, 9), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(rig_committed(r, "g", "orders", 0), 5);
    EXPECT(r, BEAT("m1", -1), "m1 -1 -");
    cr_assert_eq(commit(r, "", -1, 9), 0);
    cr_assert(rig_delete(r, "g") == 0);
    end(r);
}

// Nothing tells a join that the network held back from one of a member that gave up all it had: what it held may go to
// others at once, and whatever it says next in its old epoch is refused.
Test(consumer, a_join_that_arrives_late_fences_the_member_that_sent_it)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", "orders"), "m1 1 orders:0-11");
    EXPECT(r, JOIN("m2", "orders"), "m2 2 ");
    EXPECT(r, JOIN("m1", "orders"), "m1 2 orders:0-5"); // sent before the first of these
    EXPECT(r, BEAT("m2", 2), "m2 2 orders:6-11");
    STATE(r, "Stable 2/2; m1 2 stable orders:0-5; m2 2 stable orders:6-11");
    const char *fenced = "FENCED_MEMBER_EPOCH: The consumer group member has a smaller member epoch (1) than the one known "
                         "by the group coordinator (2). The member must abandon all its partitions and rejoin.";
    cr_assert_eq(commit(r, "m1", 1, 9), kerr_of(RC_STALE_MEMBER_EPOCH));
    EXPECT(r, BEAT("m1", 1), fenced);
    EXPECT(r, BEAT("m1", 1, .owned = "orders:0-11"), fenced);
    EXPECT(r, JOIN("m1", "orders"), "m1 2 orders:0-5");
    end(r);
}

// The same while it was asked to give some back and had not yet.
Test(consumer, a_join_that_arrives_late_gives_back_what_is_being_revoked)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", "orders"), "m1 1 orders:0-11");
    EXPECT(r, JOIN("m2", "orders"), "m2 2 ");
    EXPECT(r, BEAT("m1", 1), "m1 1 orders:0-5");
    STATE(r, "Reconciling 2/2; m1 1 unrevoked orders:0-5 revoking orders:6-11; m2 2 unreleased ");
    EXPECT(r, JOIN("m1", "orders"), "m1 2 orders:0-5");
    EXPECT(r, BEAT("m2", 2), "m2 2 orders:6-11");
    EXPECT(r, BEAT("m1", 1, .owned = "orders:0-11"),
           "FENCED_MEMBER_EPOCH: The consumer group member has a smaller member epoch (1) than the one known by the "
           "group coordinator (2). The member must abandon all its partitions and rejoin.");
    EXPECT(r, BEAT("m1", 1, .owned = "orders:0-5"), "m1 2 -"); // it has let them go by now
    end(r);
}

Test(consumer, describe_says_who_has_what_and_why)
{
    struct rig *r = begin();
    EXPECT(r, JOIN("m1", "orders,clicks", .instance = "i1", .rack = "r1"), "m1 1 orders:0-11 clicks:0-2");
    struct rig_call *c = rig_call_new(GROUP_CONSUMER_DESCRIBE, 0, "g");
    c->call.include_events = true;
    rig_send(r, c);
    const struct consumer_group_describe_response_group *out = c->call.response;
    cr_assert_str_eq(rig_text(out->group_state), "Stable");
    cr_assert_eq(out->group_epoch, 1);
    cr_assert_eq(out->assignment_epoch, 1);
    cr_assert_str_eq(rig_text(out->assignor_name), "uniform");
    cr_assert_eq(out->members_count, 1);
    cr_assert_str_eq(rig_text(out->members->instance_id), "i1");
    cr_assert_str_eq(rig_text(out->members->rack_id), "r1");
    cr_assert_str_eq(rig_text(out->members->client_host), "/127.0.0.1");
    cr_assert_eq(out->members->subscribed_topic_names_count, 2);
    cr_assert_eq(out->members->assignment.topic_partitions_count, 2);
    cr_assert_str_eq(rig_text(out->members->target_assignment.topic_partitions[0].topic_name), "orders");
    cr_assert_eq(out->members->target_assignment.topic_partitions[0].partitions_count, 12);
    cr_assert_eq(out->events_count, 1);
    cr_assert_str_eq(rig_text(out->events->text), "member m1 joined (/127.0.0.1): rebalance");
    rig_call_free(c);
    cr_assert_eq(rig_delete(r, "g"), kerr_of(RC_NON_EMPTY_GROUP));
    end(r);
}
