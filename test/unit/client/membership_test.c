// SPDX-License-Identifier: Apache-2.0
//
// A member against a coordinator that refuses, forgets, moves and cuts: what it asks next, what it tells its owner, and
// that it always ends up in the group or says why not.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "client/membership.h"
#include "fake_group.h"

enum { PARTITIONS = 3 };

static struct fake_broker fake;
static struct fake_group group;
static struct client client;
static struct client_topic *topic;
static struct membership member;

static struct {
    char events[64]; // a letter an event: Assigned, Revoked, Lost, Failed
    uint32_t counts[64];
    uint32_t n;
} seen;

static void on_request(struct fake_broker *f, const struct fake_request *r)
{
    cr_assert(fake_group_request(&group, f, r), "key %d", r->key);
}

static void script(struct fake_group_script *s, int16_t first, int16_t second)
{
    s->codes[0] = first;
    s->codes[1] = second;
    s->count = second ? 2 : 1;
}

static struct membership_config config(void)
{
    struct membership_config c = membership_config_default("g");
    c.heartbeat_ms = 20;
    c.rebalance_timeout_ms = 2000;
    return c;
}

static void prepare(void)
{
    memset(&seen, 0, sizeof(seen));
    fake_group_init(&group);
    fake_broker_open(&fake);
    fake.partition_count = PARTITIONS;
    fake.handler = on_request;
    fake_broker_client(&fake, &client, &topic);
}

static void begin(const struct membership_config *c)
{
    cr_assert_eq(membership_init(&member, &client, c, &topic, 1), RC_OK);
    membership_start(&member);
}

static void note_event(void)
{
    static const char letters[] = {
        [MEMBERSHIP_REVOKED] = 'R', [MEMBERSHIP_LOST] = 'L', [MEMBERSHIP_ASSIGNED] = 'A', [MEMBERSHIP_FAILED] = 'F'};
    if (member.event == MEMBERSHIP_NOTHING)
        return;
    cr_assert_lt(seen.n, sizeof(seen.events) - 1);
    seen.counts[seen.n] = member.affected.count;
    seen.events[seen.n++] = letters[member.event];
    membership_event_done(&member);
}

static bool run_until(const char *events)
{
    uint64_t until = io_clock_ns(fake.io) + UINT64_C(3000000000);
    while (strcmp(seen.events, events) != 0 && io_clock_ns(fake.io) < until) {
        shard_turn(fake.shard, 5 * 1000 * 1000);
        note_event();
    }
    return strcmp(seen.events, events) == 0;
}

static void run_ms(uint32_t ms)
{
    uint64_t until = io_clock_ns(fake.io) + ms * UINT64_C(1000000);
    while (io_clock_ns(fake.io) < until) {
        shard_turn(fake.shard, 5 * 1000 * 1000);
        note_event();
    }
}

static void end(void)
{
    membership_deinit(&member);
    client_deinit(&client);
    fake_broker_close(&fake);
}

Test(membership, joins_with_the_id_it_is_given_and_gets_everything)
{
    struct membership_config c = config();
    prepare();
    script(&group.join, 79, 0);
    begin(&c);
    cr_assert(run_until("A"), "%s", seen.events);
    cr_assert_eq(group.joins, 2);
    cr_assert_str_eq(group.joined_as, "member-1");
    cr_assert_eq(seen.counts[0], PARTITIONS);
    cr_assert_eq(member.owned.count, PARTITIONS);
    cr_assert_eq(member.state, MEMBERSHIP_STABLE);
    cr_assert(member.leader);
    cr_assert_str_eq(member.assignor, "range");
    run_ms(100);
    cr_assert_gt(group.heartbeats, 1);
    cr_assert_eq(group.joins, 2, "and stays");
    end();
}

Test(membership, looks_for_the_coordinator_until_there_is_one)
{
    struct membership_config c = config();
    prepare();
    script(&group.find, 15, 14);
    script(&group.join, 16, 14); // moved, then still loading
    script(&group.sync, 15, 0);
    begin(&c);
    cr_assert(run_until("A"), "%s", seen.events);
    cr_assert_eq(group.finds, 5, "%u", group.finds); // two refused, one, after the move, after SyncGroup
    cr_assert_eq(group.joins, 4);
    end();
}

Test(membership, a_rebalance_takes_everything_from_an_eager_member_first)
{
    struct membership_config c = config();
    prepare();
    script(&group.heartbeat, 27, 0);
    begin(&c);
    cr_assert(run_until("ARA"), "%s", seen.events);
    cr_assert_eq(seen.counts[1], PARTITIONS);
    cr_assert_str_eq(group.joined_as, "member-1", "it is still known");
    cr_assert_eq(member.generation, 2);
    end();
}

Test(membership, who_is_forgotten_has_lost_everything_and_begins_anew)
{
    struct membership_config c = config();
    prepare();
    script(&group.heartbeat, 25, 0);
    begin(&c);
    cr_assert(run_until("ALA"), "%s", seen.events);
    cr_assert_str_eq(group.joined_as, "", "under no name");
    end();
}

Test(membership, an_illegal_generation_keeps_the_name)
{
    struct membership_config c = config();
    prepare();
    script(&group.heartbeat, 22, 0);
    begin(&c);
    cr_assert(run_until("ALA"), "%s", seen.events);
    cr_assert_str_eq(group.joined_as, "member-1");
    end();
}

Test(membership, a_fenced_instance_fails_for_good)
{
    struct membership_config c = config();
    prepare();
    c.instance_id = "i";
    script(&group.heartbeat, 82, 0);
    begin(&c);
    cr_assert(run_until("AF"), "%s", seen.events);
    cr_assert_eq(member.code, 82);
    cr_assert(strstr(client.error, "group.instance.id"), "%s", client.error);
    end();
}

Test(membership, errors_that_stay_are_told_at_once)
{
    struct membership_config c = config();
    prepare();
    script(&group.join, 23, 0); // INCONSISTENT_GROUP_PROTOCOL
    begin(&c);
    cr_assert(run_until("F"), "%s", seen.events);
    cr_assert_eq(group.joins, 1);
    end();
}

Test(membership, a_cooperative_member_gives_up_only_what_moves_and_joins_again)
{
    struct membership_config c = config();
    prepare();
    c.assignors[0] = client_assignor_find("cooperative-sticky");
    script(&group.heartbeat, 27, 0);
    group.assigned_count = PARTITIONS;
    memcpy(group.assigned, (int32_t[]){0, 1, 2}, 3 * sizeof(int32_t));
    begin(&c);
    cr_assert(run_until("A"), "%s", seen.events);
    group.assigned_count = 2; // a new member is due the last one
    cr_assert(run_until("ARAA"), "%s", seen.events);
    cr_assert_eq(seen.counts[1], 1, "one revoked");
    cr_assert_eq(seen.counts[2], 0, "nothing new");
    cr_assert_eq(group.joins, 3, "and once more for whoever is due it");
    cr_assert_eq(member.owned.count, 2);
    end();
}

Test(membership, takes_nothing_that_it_does_not_subscribe_to)
{
    struct membership_config c = config();
    prepare();
    snprintf(group.topic, sizeof(group.topic), "other");
    group.assigned_count = 1;
    begin(&c);
    cr_assert(run_until("A"), "%s", seen.events);
    cr_assert_eq(member.owned.count, 0);
    end();
}

Test(membership, goes_on_after_a_cut_in_the_middle_of_joining)
{
    struct membership_config c = config();
    prepare();
    group.cut_join = true;
    begin(&c);
    cr_assert(run_until("A"), "%s", seen.events);
    cr_assert_eq(group.joins, 2);
    end();
}

Test(membership, the_leader_splits_again_when_a_topic_grows)
{
    struct membership_config c = config();
    prepare();
    c.metadata_age_ms = 50;
    begin(&c);
    cr_assert(run_until("A"), "%s", seen.events);
    fake.partition_count = PARTITIONS + 2;
    cr_assert(run_until("ARA"), "%s", seen.events);
    cr_assert_eq(member.owned.count, PARTITIONS + 2);
    end();
}

Test(membership, dynamic_members_leave_and_static_ones_keep_their_place)
{
    struct membership_config c = config();
    for (int is_static = 0; is_static < 2; is_static++) {
        prepare();
        c.instance_id = is_static ? "i" : NULL;
        begin(&c);
        cr_assert(run_until("A"), "%s", seen.events);
        membership_leave(&member, 1000);
        cr_assert_eq(member.state, MEMBERSHIP_ENDED);
        cr_assert_eq(group.leaves, is_static ? 0 : 1);
        end();
    }
}

// ------------------------------------------------------------------------------------------------ the new protocol

static struct membership_config consumer_config(void)
{
    struct membership_config c = config();
    c.protocol = MEMBERSHIP_CONSUMER;
    return c;
}

static void set_target(int32_t count, int32_t first)
{
    for (int32_t i = 0; i < count; i++)
        group.target[i] = first + i;
    group.target_count = count;
}

Test(membership, the_new_protocol_names_itself_takes_on_and_says_so)
{
    struct membership_config c = consumer_config();
    prepare();
    set_target(2, 0);
    begin(&c);
    cr_assert(run_until("A"), "%s", seen.events);
    run_ms(100);
    cr_assert_eq(strlen(group.joined_as), 22);
    cr_assert_eq(group.said_owned, 2, "acknowledged");
    cr_assert_eq(group.said_epoch, 1);
    cr_assert_eq(member.owned.count, 2);
    end();
}

Test(membership, the_new_protocol_gives_up_before_it_takes_on)
{
    struct membership_config c = consumer_config();
    prepare();
    set_target(2, 0);
    begin(&c);
    cr_assert(run_until("A"), "%s", seen.events);
    group.member_epoch = 2;
    set_target(2, 1); // partition 0 goes, 2 comes, 1 stays
    cr_assert(run_until("ARA"), "%s", seen.events);
    cr_assert_eq(seen.counts[1], 1);
    cr_assert_eq(seen.counts[2], 1);
    run_ms(50);
    cr_assert_eq(group.said_epoch, 2);
    end();
}

Test(membership, who_is_fenced_in_the_new_protocol_begins_at_epoch_zero)
{
    struct membership_config c = consumer_config();
    prepare();
    set_target(2, 0);
    begin(&c);
    cr_assert(run_until("A"), "%s", seen.events);
    group.beat_code = 110;
    set_target(2, 0);
    cr_assert(run_until("ALA"), "%s", seen.events);
    end();
}

Test(membership, leaving_the_new_protocol_is_an_epoch)
{
    struct membership_config c = consumer_config();
    for (int is_static = 0; is_static < 2; is_static++) {
        prepare();
        c.instance_id = is_static ? "i" : NULL;
        set_target(1, 0);
        begin(&c);
        cr_assert(run_until("A"), "%s", seen.events);
        membership_leave(&member, 1000);
        cr_assert_eq(group.said_epoch, is_static ? -2 : -1);
        end();
    }
}
