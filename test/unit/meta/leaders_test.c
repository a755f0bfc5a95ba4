// SPDX-License-Identifier: Apache-2.0
//
// What a node's coming and going means for partitions; elections; ISR changes.
#include <criterion/criterion.h>

#include "fixture.h"

#include "wire/messages.h"
#include "wire/peer_messages.h"

static struct fixture f;

static const struct image_partition *at(int32_t n)
{
    return image_partition(image_topic_by_name(f.image, bytes_str("t")), n);
}

static void begin(int32_t nodes, int32_t partitions, int16_t factor)
{
    fixture_open(&f);
    for (int32_t n = 1; n <= nodes; n++)
        fixture_node(&f, n, NULL);
    cr_assert_eq(fixture_create(&f, "t", partitions, factor)->error_code, 0);
}

static void state(int32_t node, bool fenced, bool in_shutdown)
{
    struct controller_node_state s = {
        .node = node, .broker_epoch = image_node(f.image, node)->broker_epoch, .fenced = fenced, .in_shutdown = in_shutdown};
    cr_assert_eq(fixture_decide(&f, CONTROLLER_NODE_STATE, &s, &s), RC_OK);
}

static void min_isr(const char *value)
{
    struct incremental_alter_configs_request in;
    struct incremental_alter_configs_response out;
    struct incremental_alter_configs_request_config c = {.name = bytes_str("min.insync.replicas"),
                                                         .value = bytes_str(value)};
    struct incremental_alter_configs_request_resource r = {
        .resource_type = 2, .resource_name = bytes_str("t"), .configs = &c, .configs_count = 1};
    incremental_alter_configs_request_init(&in);
    in.resources = &r;
    in.resources_count = 1;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_INCREMENTAL_ALTER_CONFIGS, &in, &out), RC_OK);
    cr_assert_eq(out.responses[0].error_code, 0);
}

static bool in_elr(const struct image_partition *p, int32_t node)
{
    for (uint32_t i = 0; i < p->elr_count; i++)
        if (image_elr(p)[i] == node)
            return true;
    return false;
}

// The leader, where there is one, is in the ISR and lives.
static void check_all(int32_t partitions)
{
    for (int32_t n = 0; n < partitions; n++) {
        const struct image_partition *p = at(n);
        if (p->leader == NODE_ID_NONE)
            continue;
        cr_assert(image_in_isr(p, p->leader), "partition %d", n);
        cr_assert_not(in_elr(p, p->leader));
    }
}

Test(leaders, a_dead_node_leads_nothing_and_is_in_no_isr)
{
    begin(3, 60, 3);
    state(1, true, false);
    for (int32_t n = 0; n < 60; n++) {
        const struct image_partition *p = at(n);
        cr_assert(p->leader == 2 || p->leader == 3);
        cr_assert(p->isr_count == 2 && !image_in_isr(p, 1) && p->elr_count == 0);
        cr_assert_eq(p->leader_epoch, image_replicas(p)[0] == 1);
    }
    check_all(60);
    fixture_close(&f);
}

Test(leaders, who_leaves_below_min_isr_is_eligible_and_leads_when_it_returns)
{
    begin(3, 12, 3);
    min_isr("2");
    state(1, true, false);
    state(2, true, false); // below two now
    for (int32_t n = 0; n < 12; n++)
        cr_assert(at(n)->leader == 3 && at(n)->isr_count == 1 && at(n)->elr_count == 1 && in_elr(at(n), 2));
    state(3, true, false);
    for (int32_t n = 0; n < 12; n++)
        cr_assert(at(n)->leader == NODE_ID_NONE && at(n)->isr_count == 0 && at(n)->elr_count == 2);
    state(1, false, false); // knows less than was committed
    for (int32_t n = 0; n < 12; n++)
        cr_assert_eq(at(n)->leader, NODE_ID_NONE);
    state(2, false, false);
    for (int32_t n = 0; n < 12; n++)
        cr_assert(at(n)->leader == 2 && at(n)->isr_count == 1 && at(n)->elr_count == 1 && in_elr(at(n), 3));
    check_all(12);
    fixture_close(&f);
}

Test(leaders, alone_it_waits_for_its_return)
{
    begin(2, 6, 1);
    int32_t led = 0;
    state(1, true, false);
    for (int32_t n = 0; n < 6; n++)
        led += at(n)->leader == NODE_ID_NONE;
    cr_assert_eq(led, 3);
    state(1, false, false);
    for (int32_t n = 0; n < 6; n++)
        cr_assert(at(n)->leader == image_replicas(at(n))[0] && at(n)->isr_count == 1 && at(n)->elr_count == 0);
    fixture_close(&f);
}

Test(leaders, leaving_on_request_leaves_nobody_without_a_leader)
{
    begin(2, 8, 1);
    state(1, false, true);
    for (int32_t n = 0; n < 8; n++)
        cr_assert_neq(at(n)->leader, NODE_ID_NONE);
    fixture_close(&f);
    begin(3, 9, 2);
    state(1, false, true);
    for (int32_t n = 0; n < 9; n++)
        cr_assert(at(n)->leader != 1 && at(n)->leader != NODE_ID_NONE);
    check_all(9);
    fixture_close(&f);
}

// Tells that the folder of the first `count` partitions has failed on node.
static enum rc folder_failed(int32_t node, int64_t broker_epoch, uint32_t count)
{
    static int32_t partitions[10000];
    for (uint32_t i = 0; i < count; i++)
        partitions[i] = (int32_t)i;
    struct replicas_offline_topic topics[] = {
        {.topic_id = {{7}}, .partitions = partitions, .partitions_count = 1}, // nobody knows it
        {.topic_id = image_topic_by_name(f.image, bytes_str("t"))->id, .partitions = partitions, .partitions_count = count},
    };
    struct replicas_offline in = {.node = node, .broker_epoch = broker_epoch, .topics = topics, .topics_count = 2};
    return fixture_decide(&f, CONTROLLER_REPLICAS_OFFLINE, &in, NULL);
}

Test(leaders, a_failed_folder_leaves_isr_and_leadership_of_its_partitions_alone)
{
    begin(3, 12, 3);
    int64_t epoch = image_node(f.image, 1)->broker_epoch;
    cr_assert_eq(folder_failed(1, epoch + 1, 6), RC_STALE_BROKER_EPOCH);
    cr_assert_eq(folder_failed(9, epoch, 6), RC_BROKER_ID_NOT_REGISTERED);
    cr_assert_eq(folder_failed(1, epoch, 6), RC_OK);
    for (int32_t n = 0; n < 12; n++) {
        bool failed = n < 6;
        cr_assert_eq(image_in_isr(at(n), 1), !failed);
        cr_assert(at(n)->isr_count == (failed ? 2 : 3) && at(n)->elr_count == 0);
        cr_assert(at(n)->leader != NODE_ID_NONE && (!failed || at(n)->leader != 1));
        cr_assert_eq(at(n)->leader_epoch, failed && image_replicas(at(n))[0] == 1, "only where the leader goes");
    }
    uint64_t before = f.index;
    int32_t partition_epoch = at(0)->epoch;
    cr_assert_eq(folder_failed(1, epoch, 6), RC_OK);
    cr_assert(at(0)->epoch == partition_epoch, "told again it changes nothing, entry %llu", (unsigned long long)before);
    check_all(12);
    fixture_close(&f);
}

Test(leaders, who_is_alone_keeps_what_its_failed_folder_held)
{
    begin(3, 3, 3);
    min_isr("2");
    state(2, true, false);
    state(3, true, false); // eligible: it has all that was committed
    cr_assert(at(0)->leader == 1 && in_elr(at(0), 3));
    cr_assert_eq(folder_failed(1, image_node(f.image, 1)->broker_epoch, 1), RC_OK);
    cr_assert(at(0)->leader == NODE_ID_NONE && at(0)->isr_count == 0 && at(0)->elr_count == 1);
    state(3, false, false);
    cr_assert(at(0)->leader == 3 && at(0)->isr_count == 1);
    fixture_close(&f);
    begin(2, 4, 1);
    cr_assert_eq(folder_failed(1, image_node(f.image, 1)->broker_epoch, 4), RC_OK);
    for (int32_t n = 0; n < 4; n++)
        cr_assert(at(n)->leader == image_replicas(at(n))[0] && at(n)->isr_count == 1);
    fixture_close(&f);
}

Test(leaders, a_failed_folder_of_ten_thousand_goes_in_batches)
{
    begin(3, 10000, 3);
    uint64_t before = f.index;
    cr_assert_eq(folder_failed(2, image_node(f.image, 2)->broker_epoch, 10000), RC_OK);
    cr_assert(f.index - before > 1 && f.index - before < 40, "%llu entries", (unsigned long long)(f.index - before));
    for (int32_t n = 0; n < 10000; n++)
        cr_assert(at(n)->leader != 2 && at(n)->leader != NODE_ID_NONE && !image_in_isr(at(n), 2));
    check_all(10000);
    fixture_close(&f);
}

Test(leaders, ten_thousand_partitions_move_in_batches)
{
    begin(3, 10000, 3);
    uint64_t before = f.index;
    state(2, true, false);
    uint64_t entries = f.index - before;
    cr_assert(entries > 1 && entries < 40, "%llu entries", (unsigned long long)entries);
    for (int32_t n = 0; n < 10000; n++)
        cr_assert(at(n)->leader != 2 && at(n)->isr_count == 2);
    check_all(10000);
    // And one that comes back unclean, with as many.
    struct uuid directory = {{1}};
    directory.b[15] = 3;
    struct controller_registration r = {.node = 3, .directories = &directory, .directory_count = 1, .incarnation = {{9}}};
    cr_assert_eq(fixture_decide(&f, CONTROLLER_REGISTER, &r, &r), RC_OK);
    for (int32_t n = 0; n < 10000; n++)
        cr_assert(at(n)->leader == 1 && at(n)->isr_count == 1);
    fixture_close(&f);
}

static int16_t elect(int8_t type, int32_t partition)
{
    struct elect_leaders_request in;
    struct elect_leaders_response out;
    struct elect_leaders_request_topic_partition t = {
        .topic = bytes_str("t"), .partitions = &partition, .partitions_count = 1};
    elect_leaders_request_init(&in);
    in.election_type = type;
    in.topic_partitions = &t;
    in.topic_partitions_count = 1;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_ELECT_LEADERS, &in, &out), RC_OK);
    cr_assert_eq(out.replica_election_results[0].partition_result[0].partition_id, partition);
    return out.replica_election_results[0].partition_result[0].error_code;
}

static struct alter_isr_answer_partition alter(int32_t partition, int32_t leader_epoch, int32_t partition_epoch,
                                               struct alter_isr_member *isr, uint32_t count)
{
    struct alter_isr_partition p = {.partition = partition,
                                    .leader_epoch = leader_epoch,
                                    .partition_epoch = partition_epoch,
                                    .isr = isr,
                                    .isr_count = count};
    struct alter_isr_topic t = {.topic_id = image_topic_by_name(f.image, bytes_str("t"))->id,
                                .partitions = &p,
                                .partitions_count = 1};
    int32_t leader = at(partition)->leader;
    struct alter_isr in = {
        .node = leader, .broker_epoch = image_node(f.image, leader)->broker_epoch, .topics = &t, .topics_count = 1};
    struct alter_isr_answer out;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_ALTER_ISR, &in, &out), RC_OK);
    return out.topics[0].partitions[0];
}

Test(leaders, preferred_and_unclean_elections)
{
    begin(3, 3, 3);
    int32_t p = 0;
    while (image_replicas(at(p))[0] != 1)
        p++;
    cr_assert_eq(elect(0, p), 84, "not needed");
    cr_assert_eq(elect(0, 99), 3);
    state(1, true, false);
    cr_assert_eq(elect(0, p), 80, "it is fenced");
    state(1, false, false);
    cr_assert_eq(elect(0, p), 80, "it is not in the ISR");
    cr_assert_eq(elect(1, p), 84);
    struct alter_isr_member all[3];
    for (int32_t n = 0; n < 3; n++)
        all[n] = (struct alter_isr_member){n + 1, image_node(f.image, n + 1)->broker_epoch};
    cr_assert_eq(alter(p, at(p)->leader_epoch, at(p)->epoch, all, 3).error_code, 0);
    int32_t epoch = at(p)->leader_epoch;
    cr_assert_eq(elect(0, p), 0);
    cr_assert(at(p)->leader == 1 && at(p)->leader_epoch == epoch + 1 && at(p)->isr_count == 3);
    // Only a replica that knows less is left: on request, and said.
    state(1, true, false);
    state(2, true, false);
    state(3, true, false);
    cr_assert_eq(at(p)->leader, NODE_ID_NONE);
    cr_assert_eq(elect(1, p), 83);
    state(1, false, false);
    cr_assert_eq(at(p)->leader, NODE_ID_NONE);
    cr_assert_eq(elect(1, p), 0);
    cr_assert(at(p)->leader == 1 && at(p)->recovery == IMAGE_RECOVERING && at(p)->isr_count == 1);
    fixture_close(&f);
}

Test(leaders, isr_changes_are_judged)
{
    begin(3, 1, 3);
    min_isr("2");
    int32_t leader = at(0)->leader;
    struct alter_isr_member m[4] = {{leader, image_node(f.image, leader)->broker_epoch}};
    uint32_t count = 1;
    for (int32_t n = 1; n <= 3; n++)
        if (n != leader)
            m[count++] = (struct alter_isr_member){n, image_node(f.image, n)->broker_epoch};
    int32_t le = at(0)->leader_epoch, pe = at(0)->epoch;
    cr_assert_eq(alter(0, le - 1, pe, m, 2).error_code, 74, "an older leader epoch");
    cr_assert_eq(alter(0, le, pe + 1, m, 2).error_code, 41, "it knows more than the controller");
    cr_assert_eq(alter(0, le, pe, m + 1, 2).error_code, 42, "without the leader");
    struct alter_isr_answer_partition a = alter(0, le, pe, m, 2); // still two: nobody becomes eligible
    cr_assert(a.error_code == 0 && a.partition_epoch == pe + 1 && a.isr_count == 2 && a.leader == leader);
    cr_assert_eq(at(0)->elr_count, 0);
    cr_assert_eq(alter(0, le, pe, m, 3).error_code, 95, "based on the past");
    a = alter(0, le, pe + 1, m, 1);
    cr_assert_eq(a.error_code, 0);
    cr_assert(at(0)->elr_count == 1 && in_elr(at(0), m[1].node), "it left below min.insync.replicas");
    // Whoever registered anew since it fetched may not join under its old epoch.
    fixture_node(&f, m[1].node, NULL);
    cr_assert_eq(alter(0, le, at(0)->epoch, m, 2).error_code, 107);
    m[1].broker_epoch = image_node(f.image, m[1].node)->broker_epoch;
    state(m[1].node, true, false);
    cr_assert_eq(alter(0, le, at(0)->epoch, m, 2).error_code, 107, "fenced");
    state(m[1].node, false, false);
    cr_assert_eq(alter(0, le, at(0)->epoch, m, 2).error_code, 0);
    cr_assert(at(0)->isr_count == 2 && at(0)->elr_count == 0);
    fixture_close(&f);
}
