// SPDX-License-Identifier: Apache-2.0
//
// Elections that nobody asked for, what they rest on, and the end of eligibility when min.insync.replicas changes.
#include <criterion/criterion.h>

#include "fixture.h"

#include "wire/messages.h"
#include "wire/peer_messages.h"

static struct fixture f;

static const struct image_partition *at(const char *topic, int32_t n)
{
    return image_partition(image_topic_by_name(f.image, bytes_str(topic)), n);
}

static void begin(int32_t nodes, int32_t partitions, int16_t factor)
{
    fixture_open(&f);
    for (int32_t n = 1; n <= nodes; n++)
        fixture_node(&f, n, NULL);
    cr_assert_eq(fixture_create(&f, "t", partitions, factor)->error_code, 0);
}

static void fenced(int32_t node, bool fenced)
{
    struct controller_node_state s = {
        .node = node, .broker_epoch = image_node(f.image, node)->broker_epoch, .fenced = fenced};
    cr_assert_eq(fixture_decide(&f, CONTROLLER_NODE_STATE, &s, &s), RC_OK);
}

static void configure(int8_t type, const char *resource, const char *name, const char *value)
{
    struct incremental_alter_configs_request in;
    struct incremental_alter_configs_response out;
    struct incremental_alter_configs_request_config c = {.name = bytes_str(name),
                                                         .value = value ? bytes_str(value) : (struct bytes){0},
                                                         .config_operation = value ? 0 : 1};
    struct incremental_alter_configs_request_resource r = {
        .resource_type = type, .resource_name = bytes_str(resource), .configs = &c, .configs_count = 1};
    incremental_alter_configs_request_init(&in);
    in.resources = &r;
    in.resources_count = 1;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_INCREMENTAL_ALTER_CONFIGS, &in, &out), RC_OK);
    cr_assert_eq(out.responses[0].error_code, 0);
}

// The leader's ISR as it wants it to be.
static int16_t alter(int32_t partition, int8_t recovery, uint32_t count, const int32_t *nodes)
{
    struct alter_isr_member m[8];
    for (uint32_t i = 0; i < count; i++)
        m[i] = (struct alter_isr_member){nodes[i], image_node(f.image, nodes[i])->broker_epoch};
    const struct image_partition *p = at("t", partition);
    struct alter_isr_partition part = {.partition = partition,
                                       .leader_epoch = p->leader_epoch,
                                       .partition_epoch = p->epoch,
                                       .recovery = recovery,
                                       .isr = m,
                                       .isr_count = count};
    struct alter_isr_topic t = {.topic_id = image_topic_by_name(f.image, bytes_str("t"))->id,
                                .partitions = &part,
                                .partitions_count = 1};
    struct alter_isr in = {.node = p->leader,
                           .broker_epoch = image_node(f.image, p->leader)->broker_epoch,
                           .topics = &t,
                           .topics_count = 1};
    struct alter_isr_answer out;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_ALTER_ISR, &in, &out), RC_OK);
    return out.topics[0].partitions[0].error_code;
}

// What the image counts is what is there.
static void check_shares(void)
{
    struct image_share all[16] = {{0}};
    uint64_t leaderless = 0, elr = 0;
    const struct image_topic *t = image_topic_next(f.image, (struct bytes){0}, false);
    for (; t; t = image_topic_next(f.image, image_topic_name(t), false))
        for (int32_t n = 0; n < t->partition_count; n++) {
            const struct image_partition *p = image_partition(t, n);
            leaderless += p->leader == NODE_ID_NONE;
            elr += p->elr_count > 0;
            for (uint32_t i = 0; i < p->replica_count; i++) {
                struct image_share *s = &all[image_replicas(p)[i]];
                s->replicas++;
                s->leads += image_replicas(p)[i] == p->leader;
                s->preferred += i == 0;
                s->away += i == 0 && image_replicas(p)[i] != p->leader;
            }
        }
    uint32_t count = 0;
    for (int32_t n = 0; n < 16; n++) {
        struct image_share s = image_share_of(f.image, n);
        cr_assert(s.replicas == all[n].replicas && s.leads == all[n].leads && s.preferred == all[n].preferred &&
                      s.away == all[n].away,
                  "node %d", n);
        count += s.replicas > 0;
    }
    cr_assert_eq(f.image->share_count, count);
    cr_assert_eq(f.image->leaderless_count, leaderless);
    cr_assert_eq(f.image->elr_count, elr);
}

static uint32_t tend(bool unclean, uint32_t percentage, uint32_t *pieces)
{
    struct controller_tend r = {.unclean = unclean};
    uint32_t changes = 0;
    *pieces = 0;
    if (!controller_unbalanced(f.image, percentage, &r) && !unclean)
        return 0;
    do {
        cr_assert_eq(fixture_decide(&f, CONTROLLER_TEND, &r, &r), RC_OK);
        changes += r.changes;
        ++*pieces;
    } while (r.more);
    return changes;
}

Test(elections, shares_are_counted_with_every_change)
{
    begin(4, 23, 3);
    cr_assert_eq(fixture_create(&f, "u", 5, 2)->error_code, 0);
    check_shares();
    configure(2, "t", "min.insync.replicas", "3");
    for (int32_t n = 1; n <= 4; n++) {
        fenced(n, true);
        check_shares();
    }
    cr_assert(f.image->leaderless_count == 28 && f.image->elr_count > 0);
    for (int32_t n = 4; n >= 1; n--) {
        fenced(n, false);
        check_shares();
    }
    fixture_node(&f, 2, NULL); // another life
    check_shares();
    struct bytes name = bytes_str("t");
    struct delete_topics_request in = {.topic_names = &name, .topic_names_count = 1};
    struct delete_topics_response out;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_DELETE_TOPICS, &in, &out), RC_OK);
    check_shares();
    const struct image *again = fixture_replay(&f), *copy = fixture_through_snapshot(f.image, 100);
    for (int32_t n = 1; n <= 4; n++) {
        struct image_share a = image_share_of(f.image, n), b = image_share_of(again, n), c = image_share_of(copy, n);
        cr_assert(memcmp(&a, &b, sizeof(a)) == 0 && memcmp(&a, &c, sizeof(a)) == 0);
    }
    image_unref(again);
    image_unref(copy);
    fixture_close(&f);
}

Test(elections, leaderships_go_back_where_too_many_are_away)
{
    begin(3, 700, 3);
    uint32_t pieces;
    cr_assert_eq(tend(false, 10, &pieces), 0, "nothing is away");
    fenced(1, true);
    uint32_t away = image_share_of(f.image, 1).away;
    cr_assert(away > 200);
    cr_assert_eq(tend(false, 10, &pieces), 0, "it is not there");
    fenced(1, false);
    cr_assert(tend(false, 10, &pieces) == 0 && pieces > 0, "it is not in sync");
    uint32_t back = 0;
    for (int32_t n = 0; n < 700; n++)
        if (image_replicas(at("t", n))[0] == 1 && back < 30) {
            const int32_t all[] = {at("t", n)->leader, 1};
            cr_assert_eq(alter(n, 0, 2, all), 0);
            back++;
        }
    int32_t first = 0;
    while (image_replicas(at("t", first))[0] != 1)
        first++;
    int32_t epoch = at("t", first)->leader_epoch;
    cr_assert_eq(tend(false, 10, &pieces), 30, "those that are in sync");
    cr_assert(at("t", first)->leader == 1 && at("t", first)->leader_epoch == epoch + 1);
    cr_assert(at("t", first)->recovery == IMAGE_RECOVERED);
    cr_assert_eq(image_share_of(f.image, 1).away, away - 30);
    // Few enough are away: they stay where they are.
    cr_assert_eq(tend(false, 100, &pieces), 0);
    check_shares();
    fixture_close(&f);
}

Test(elections, a_round_is_done_in_pieces)
{
    begin(2, 3000, 2);
    uint32_t pieces;
    fenced(1, true);
    fenced(1, false);
    uint32_t away = image_share_of(f.image, 1).away;
    for (int32_t n = 0; n < 3000; n++) {
        const int32_t both[] = {2, 1};
        cr_assert_eq(alter(n, 0, 2, both), 0);
    }
    cr_assert_eq(tend(false, 10, &pieces), away);
    cr_assert_eq(pieces, (away + 499) / 500);
    cr_assert_eq(image_share_of(f.image, 1).away, 0);
    fixture_close(&f);
}

// Node 1 leads partition 0 of factor 2 and is alone in the ISR.
static void alone(void)
{
    begin(2, 4, 2);
    fenced(2, true);
    for (int32_t n = 0; n < 4; n++)
        cr_assert(at("t", n)->leader == 1 && at("t", n)->isr_count == 1);
    fenced(2, false);
    cr_assert_eq(at("t", 0)->isr_count, 1);
}

static void check_unclean(int32_t leader)
{
    for (int32_t n = 0; n < 4; n++)
        cr_assert(at("t", n)->leader == leader && at("t", n)->isr_count == 1 && image_in_isr(at("t", n), leader) &&
                  at("t", n)->elr_count == 0 && at("t", n)->recovery == IMAGE_RECOVERING);
}

Test(elections, nobody_leads_who_may_know_less_unless_it_is_allowed)
{
    uint32_t pieces;
    alone();
    fenced(1, true);
    cr_assert_eq(f.image->leaderless_count, 4);
    cr_assert_eq(tend(true, 10, &pieces), 0);
    uint64_t before = f.image->unclean_index;
    configure(2, "t", "unclean.leader.election.enable", "true");
    cr_assert_gt(f.image->unclean_index, before);
    cr_assert_eq(f.image->leaderless_count, 4, "the next round elects");
    cr_assert_eq(tend(true, 10, &pieces), 4);
    check_unclean(2);
    // Recovering, it stands alone; then it has recovered and another may join.
    fenced(1, false);
    const int32_t both[] = {2, 1};
    cr_assert_eq(alter(0, IMAGE_RECOVERING, 2, both), 42);
    cr_assert_eq(at("t", 0)->recovery, IMAGE_RECOVERING);
    cr_assert_eq(alter(0, IMAGE_RECOVERED, 2, both), 0);
    cr_assert(at("t", 0)->recovery == IMAGE_RECOVERED && at("t", 0)->isr_count == 2);
    cr_assert_eq(alter(0, IMAGE_RECOVERING, 1, both), 42, "once recovered is recovered");
    fixture_close(&f);
}

Test(elections, allowed_they_come_with_the_leaders_death)
{
    alone();
    configure(4, "", "unclean.leader.election.enable", "true"); // every topic
    fenced(1, true);
    check_unclean(2);
    fenced(2, true); // and now nobody; who led last comes first
    fenced(1, false);
    check_unclean(1);
    fixture_close(&f);
    alone();
    struct config_pair mine = {"unclean.leader.election.enable", "true"};
    f.properties = (struct config_layer){&mine, 1};
    fenced(1, true);
    check_unclean(2);
    fixture_close(&f);
    // A node that goes on request or comes back in another life holds more than the others.
    alone();
    configure(2, "t", "unclean.leader.election.enable", "true");
    struct controller_node_state s = {
        .node = 1, .broker_epoch = image_node(f.image, 1)->broker_epoch, .in_shutdown = true};
    cr_assert_eq(fixture_decide(&f, CONTROLLER_NODE_STATE, &s, &s), RC_OK);
    for (int32_t n = 0; n < 4; n++)
        cr_assert(at("t", n)->leader == 1 && at("t", n)->recovery == IMAGE_RECOVERED);
    fixture_node(&f, 1, NULL);
    for (int32_t n = 0; n < 4; n++)
        cr_assert(at("t", n)->leader == 1 && at("t", n)->recovery == IMAGE_RECOVERED);
    fixture_close(&f);
}

// Three replicas, min.insync.replicas 2, one leads alone and one is eligible.
static void eligible(void)
{
    begin(3, 6, 3);
    cr_assert_eq(fixture_create(&f, "u", 6, 3)->error_code, 0);
    configure(4, "", "min.insync.replicas", "2");
    fenced(1, true);
    fenced(2, true);
    for (int32_t n = 0; n < 6; n++)
        cr_assert(at("t", n)->leader == 3 && at("t", n)->elr_count == 1 && image_elr(at("t", n))[0] == 2);
}

Test(elections, another_min_isr_ends_eligibility_in_the_same_append)
{
    eligible();
    uint64_t index = f.image->index;
    int32_t epoch = at("t", 0)->epoch;
    configure(2, "t", "min.insync.replicas", "1");
    cr_assert_eq(f.image->index, index + 1, "one entry");
    for (int32_t n = 0; n < 6; n++)
        cr_assert(at("t", n)->elr_count == 0 && at("u", n)->elr_count == 1);
    cr_assert_eq(at("t", 0)->epoch, epoch + 1);
    cr_assert_eq(f.image->elr_count, 6);
    configure(4, "", "min.insync.replicas", "1");
    cr_assert_eq(f.image->elr_count, 0);
    const struct image *again = fixture_replay(&f);
    cr_assert(image_equal(again, f.image));
    image_unref(again);
    fixture_close(&f);
    // A setting of its own protects a topic from the brokers' default.
    eligible();
    configure(2, "u", "min.insync.replicas", "2");
    cr_assert_eq(f.image->elr_count, 6, "this ends it, for it may be a change");
    configure(4, "", "min.insync.replicas", NULL);
    cr_assert_eq(f.image->elr_count, 0);
    fixture_close(&f);
}

Test(elections, without_a_leader_who_was_eligible_stays_so_and_leads_under_the_new_min_isr)
{
    eligible();
    fenced(3, true);
    for (int32_t n = 0; n < 6; n++)
        cr_assert(at("t", n)->leader == NODE_ID_NONE && at("t", n)->elr_count == 2);
    configure(4, "", "min.insync.replicas", "1");
    cr_assert_eq(f.image->elr_count, 12);
    fenced(2, false);
    for (int32_t n = 0; n < 6; n++)
        cr_assert(at("t", n)->leader == 2 && at("t", n)->isr_count == 1 && at("t", n)->elr_count == 0 &&
                  at("t", n)->recovery == IMAGE_RECOVERED);
    fixture_close(&f);
}
