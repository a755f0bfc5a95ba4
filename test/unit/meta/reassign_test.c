// SPDX-License-Identifier: Apache-2.0
//
// Moves of replicas: set, replaced, cancelled, ended, and what nodes' coming and going means meanwhile.
#include <criterion/criterion.h>

#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "wire/messages.h"
#include "wire/peer_messages.h"

static struct fixture f;

static const struct image_partition *at(int32_t n)
{
    return image_partition(image_topic_by_name(f.image, bytes_str("t")), n);
}

static bool list_is(const int32_t *list, uint32_t count, const char *expected)
{
    char text[256] = "";
    size_t n = 0;
    for (uint32_t i = 0; i < count; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%d", i ? " " : "", list[i]);
    if (strcmp(text, expected) != 0)
        cr_log_warn("[%s], not [%s]", text, expected);
    return strcmp(text, expected) == 0;
}

#define REPLICAS(s) cr_assert(list_is(image_replicas(at(0)), at(0)->replica_count, s))
#define ISR(s) cr_assert(list_is(image_isr(at(0)), at(0)->isr_count, s))
#define ELR(s) cr_assert(list_is(image_elr(at(0)), at(0)->elr_count, s))
#define MOVE(add, remove)                                                                                            \
    do {                                                                                                             \
        cr_assert(list_is(image_adding(at(0)), at(0)->adding_count, add));                                           \
        cr_assert(list_is(image_removing(at(0)), at(0)->removing_count, remove));                                    \
    } while (0)

static uint32_t numbers(const char *text, int32_t *out)
{
    uint32_t n = 0;
    for (const char *s = text; *s;) {
        char *end;
        int32_t node = (int32_t)strtol(s, &end, 10);
        if (end == s)
            break;
        out[n++] = node;
        s = end;
    }
    return n;
}

// A topic of one partition on the nodes named first, of as many nodes as asked for.
static void begin(int32_t nodes, const char *replicas)
{
    fixture_open(&f);
    for (int32_t n = 1; n <= nodes; n++)
        fixture_node(&f, n, NULL);
    int32_t ids[8];
    struct create_topics_request_assignment a = {.partition_index = 0, .broker_ids = ids};
    a.broker_ids_count = numbers(replicas, ids);
    struct create_topics_request_topic t = {
        .name = bytes_str("t"), .num_partitions = -1, .replication_factor = -1, .assignments = &a, .assignments_count = 1};
    struct create_topics_request in;
    struct create_topics_response out;
    create_topics_request_init(&in);
    in.topics = &t;
    in.topics_count = 1;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_CREATE_TOPICS, &in, &out), RC_OK);
    cr_assert_eq(out.topics[0].error_code, 0);
}

static const char *said;

// target NULL: cancels.
static int16_t move_of(const char *topic, int32_t partition, const char *target, bool factor_may_change)
{
    int32_t ids[200];
    struct alter_partition_reassignments_request_partition p = {.partition_index = partition};
    if (target) {
        p.replicas = ids;
        p.replicas_count = numbers(target, ids);
    }
    struct alter_partition_reassignments_request_topic t = {
        .name = bytes_str(topic), .partitions = &p, .partitions_count = 1};
    struct alter_partition_reassignments_request in;
    struct alter_partition_reassignments_response out;
    alter_partition_reassignments_request_init(&in);
    cr_assert(in.allow_replication_factor_change);
    in.allow_replication_factor_change = factor_may_change;
    in.topics = &t;
    in.topics_count = 1;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_REASSIGN, &in, &out), RC_OK);
    cr_assert(out.responses_count == 1 && out.responses[0].partitions_count == 1 && out.error_code == 0);
    struct bytes text = out.responses[0].partitions[0].error_message;
    said = text.p ? arena_copy(&f.arena, text.p, text.n) : "";
    return out.responses[0].partitions[0].error_code;
}

static int16_t move(const char *target)
{
    return move_of("t", 0, target, true);
}

static void state(int32_t node, bool fenced)
{
    struct controller_node_state s = {
        .node = node, .broker_epoch = image_node(f.image, node)->broker_epoch, .fenced = fenced};
    cr_assert_eq(fixture_decide(&f, CONTROLLER_NODE_STATE, &s, &s), RC_OK);
}

// The leader asks for this ISR.
static int16_t in_sync(const char *nodes)
{
    int32_t ids[8];
    struct alter_isr_member m[8];
    uint32_t count = numbers(nodes, ids);
    for (uint32_t i = 0; i < count; i++)
        m[i] = (struct alter_isr_member){ids[i], image_node(f.image, ids[i])->broker_epoch};
    struct alter_isr_partition p = {.leader_epoch = at(0)->leader_epoch,
                                    .partition_epoch = at(0)->epoch,
                                    .isr = m,
                                    .isr_count = count};
    struct alter_isr_topic t = {
        .topic_id = image_topic_by_name(f.image, bytes_str("t"))->id, .partitions = &p, .partitions_count = 1};
    int32_t leader = at(0)->leader;
    struct alter_isr in = {
        .node = leader, .broker_epoch = image_node(f.image, leader)->broker_epoch, .topics = &t, .topics_count = 1};
    struct alter_isr_answer out;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_ALTER_ISR, &in, &out), RC_OK);
    return out.topics[0].partitions[0].error_code;
}

static void configure(const char *name, const char *value)
{
    struct incremental_alter_configs_request in;
    struct incremental_alter_configs_response out;
    struct incremental_alter_configs_request_config c = {.name = bytes_str(name), .value = bytes_str(value)};
    struct incremental_alter_configs_request_resource r = {
        .resource_type = 2, .resource_name = bytes_str("t"), .configs = &c, .configs_count = 1};
    incremental_alter_configs_request_init(&in);
    in.resources = &r;
    in.resources_count = 1;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_INCREMENTAL_ALTER_CONFIGS, &in, &out), RC_OK);
    cr_assert_eq(out.responses[0].error_code, 0);
}

Test(reassign, new_replicas_are_added_and_the_last_to_join_ends_it)
{
    begin(6, "1 2 3");
    int32_t leader_epoch = at(0)->leader_epoch, epoch = at(0)->epoch;
    cr_assert_eq(move("4 5 2"), 0);
    REPLICAS("4 5 2 1 3");
    MOVE("4 5", "1 3");
    ISR("1 2 3");
    cr_assert(at(0)->leader == 1 && at(0)->leader_epoch == leader_epoch && at(0)->epoch == epoch + 1);
    cr_assert_eq(image_factor(at(0)), 3);
    cr_assert_eq(in_sync("1 2 3 4"), 0);
    MOVE("4 5", "1 3");
    cr_assert_eq(at(0)->leader, 1);
    cr_assert_eq(in_sync("1 2 3 4 5"), 0);
    REPLICAS("4 5 2");
    ISR("2 4 5");
    MOVE("", "");
    cr_assert(at(0)->leader == 4 && at(0)->leader_epoch == leader_epoch + 1, "its leader was one of those that went");
    for (uint32_t i = 0; i < 3; i++)
        cr_assert_eq(image_directory(at(0), i).b[15], image_replicas(at(0))[i], "the folder of each goes with it");
    fixture_close(&f);
}

Test(reassign, a_leader_that_stays_gets_a_new_epoch_when_others_go)
{
    begin(4, "1 2 3");
    cr_assert_eq(move("1 2 4"), 0);
    int32_t leader_epoch = at(0)->leader_epoch;
    cr_assert_eq(in_sync("1 2 3 4"), 0);
    REPLICAS("1 2 4");
    cr_assert(at(0)->leader == 1 && at(0)->leader_epoch == leader_epoch + 1);
    fixture_close(&f);
}

Test(reassign, what_needs_nobody_new_ends_at_once)
{
    begin(3, "1 2 3");
    int32_t leader_epoch = at(0)->leader_epoch, epoch = at(0)->epoch;
    cr_assert_eq(move("1 2 3"), 0);
    cr_assert_eq(at(0)->epoch, epoch, "nothing to do");
    cr_assert_eq(move("3 1 2"), 0);
    REPLICAS("3 1 2");
    MOVE("", "");
    cr_assert(at(0)->leader == 1 && at(0)->leader_epoch == leader_epoch, "another order is no other leader");
    cr_assert_eq(move("3 2"), 0);
    REPLICAS("3 2");
    ISR("2 3");
    cr_assert(at(0)->leader == 3 && at(0)->leader_epoch == leader_epoch + 1);
    cr_assert_eq(move("2"), 0);
    REPLICAS("2");
    ISR("2");
    cr_assert_eq(at(0)->leader, 2);
    fixture_close(&f);
}

Test(reassign, fewer_replicas_wait_for_who_stays_and_lags)
{
    begin(3, "1 2 3");
    cr_assert_eq(in_sync("1 2"), 0);
    cr_assert_eq(move("3"), 0);
    REPLICAS("3 1 2");
    MOVE("", "1 2");
    cr_assert_eq(at(0)->leader, 1);
    cr_assert_eq(in_sync("1 2 3"), 0);
    REPLICAS("3");
    ISR("3");
    cr_assert_eq(at(0)->leader, 3);
    fixture_close(&f);
}

Test(reassign, a_cancel_goes_back)
{
    begin(6, "1 2 3");
    cr_assert_eq(move(NULL), 85);
    cr_assert_str_eq(said, "No partition reassignment is in progress.");
    cr_assert_eq(move("4 5 6"), 0);
    cr_assert_eq(in_sync("1 2 3 4"), 0);
    int32_t leader_epoch = at(0)->leader_epoch;
    cr_assert_eq(move(NULL), 0);
    REPLICAS("1 2 3");
    ISR("1 2 3");
    MOVE("", "");
    cr_assert(at(0)->leader == 1 && at(0)->leader_epoch == leader_epoch + 1, "4 is shut out");
    cr_assert_eq(move(NULL), 85);
    // And from a leader that was added.
    cr_assert_eq(move("4 5 6"), 0);
    cr_assert_eq(in_sync("1 2 3 4"), 0);
    state(1, true);
    state(2, true);
    state(3, true);
    cr_assert_eq(at(0)->leader, 4);
    cr_assert_eq(move(NULL), 39);
    cr_assert_str_eq(said, "Unable to revert partition assignment for t:0 because it would require an unclean leader "
                           "election.");
    MOVE("4 5 6", "1 2 3");
    state(2, false);
    cr_assert_eq(move(NULL), 39, "it lives, and lacks what was written since");
    configure("unclean.leader.election.enable", "true");
    cr_assert_eq(move(NULL), 0);
    REPLICAS("1 2 3");
    ISR("2");
    cr_assert(at(0)->leader == 2 && at(0)->recovery == IMAGE_RECOVERING);
    fixture_close(&f);
}

Test(reassign, a_second_target_replaces_the_first_and_a_cancel_still_knows_the_start)
{
    begin(6, "1 2 3");
    cr_assert_eq(move("1 2 4"), 0);
    cr_assert_eq(move("1 2 5"), 0);
    REPLICAS("1 2 5 3 4");
    MOVE("4 5", "3 4");
    cr_assert_eq(in_sync("1 2 3 4"), 0);
    MOVE("4 5", "3 4");
    cr_assert_eq(move(NULL), 0);
    REPLICAS("1 2 3");
    ISR("1 2 3");
    cr_assert_eq(move("1 2 4"), 0);
    cr_assert_eq(move("1 2 5"), 0);
    cr_assert_eq(in_sync("1 2 3 5"), 0);
    REPLICAS("1 2 5");
    ISR("1 2 5");
    // Back to where it began: at once, everybody is in sync.
    cr_assert_eq(move("6 3 4"), 0);
    cr_assert_eq(move("1 2 5"), 0);
    REPLICAS("1 2 5");
    MOVE("", "");
    fixture_close(&f);
}

Test(reassign, what_is_asked_wrongly_changes_nothing)
{
    begin(4, "1 2 3");
    uint64_t index = f.index;
    cr_assert_eq(move_of("nope", 0, "1", true), 3);
    cr_assert_str_eq(said, "Unable to find a topic named nope.");
    cr_assert_eq(move_of("t", 1, "1", true), 3);
    cr_assert_str_eq(said, "Unable to find partition t:1.");
    cr_assert_eq(move_of("t", -1, NULL, true), 3);
    cr_assert_eq(move(""), 39);
    cr_assert_str_eq(said, "The manual partition assignment includes an empty replica list.");
    cr_assert_eq(move("1 2 1"), 39);
    cr_assert_str_eq(said, "The manual partition assignment includes the broker 1 more than once.");
    cr_assert_eq(move("1 9"), 39);
    cr_assert_str_eq(said, "The manual partition assignment includes broker 9, but no such broker is registered.");
    cr_assert_eq(move("-1"), 39);
    char many[400] = "";
    for (int i = 0; i < 65; i++)
        snprintf(many + strlen(many), sizeof(many) - strlen(many), "%d ", i + 1);
    cr_assert_eq(move(many), 39);
    cr_assert_eq(move_of("t", 0, "1 2", false), 38);
    cr_assert_str_eq(said, "The replication factor is changed from 3 to 2");
    cr_assert_eq(f.index, index);
    cr_assert_eq(move_of("t", 0, "1 2 4", false), 0);
    cr_assert_eq(move_of("t", 0, "2 4", false), 38, "counted as it will be");
    cr_assert_eq(move_of("t", 0, "2 3 4", false), 0);
    fixture_close(&f);
}

Test(reassign, nobody_has_to_wait_for_replicas_that_do_not_count_yet)
{
    begin(3, "1");
    configure("min.insync.replicas", "2");
    cr_assert_eq(move("1 2 3"), 0);
    cr_assert_eq(image_factor(at(0)), 1, "one is enough until the move ends, as before it");
    cr_assert_eq(in_sync("1 2"), 0);
    state(2, true);
    ISR("1");
    ELR("");
    state(2, false);
    cr_assert_eq(in_sync("1 2 3"), 0);
    cr_assert_eq(image_factor(at(0)), 3);
    fixture_close(&f);
    // Who was eligible is not any more where fewer are enough from now on.
    begin(3, "1 2 3");
    configure("min.insync.replicas", "2");
    state(3, true);
    state(2, true);
    ISR("1");
    ELR("2");
    cr_assert_eq(move("3"), 0);
    ELR("");
    cr_assert_eq(image_factor(at(0)), 1);
    fixture_close(&f);
}

Test(reassign, a_cancel_leaves_what_was_acknowledged_on_enough_nodes)
{
    begin(4, "1 2 3");
    configure("min.insync.replicas", "2");
    cr_assert_eq(move("1 2 4"), 0);
    state(3, true);
    state(2, true);
    state(3, false);
    state(2, false);
    cr_assert_eq(at(0)->leader, 1);
    ELR("2");
    cr_assert_eq(in_sync("1 4"), 0);
    ELR("");
    cr_assert_eq(move(NULL), 39);
    cr_assert(strstr(said, "only 1 of its former replicas are in sync, fewer than min.insync.replicas=2"), "%s", said);
    configure("unclean.leader.election.enable", "true");
    cr_assert_eq(move(NULL), 39, "that is no election");
    cr_assert(strstr(said, "only 1 of its former replicas are in sync"), "%s", said);
    ISR("1 4");
    cr_assert_eq(in_sync("1 4 3"), 0);
    cr_assert_eq(move(NULL), 0);
    REPLICAS("1 2 3");
    ISR("1 3");
    fixture_close(&f);
}

Test(reassign, nodes_that_die_meanwhile)
{
    begin(5, "1 2 3");
    cr_assert_eq(move("4 5"), 0);
    state(1, true); // the leader: the next in the new order that is in sync
    cr_assert_eq(at(0)->leader, 2);
    ISR("2 3");
    cr_assert_eq(in_sync("2 3 4"), 0);
    state(4, true);
    ISR("2 3");
    cr_assert_eq(in_sync("2 3 5"), 0);
    state(4, false);
    MOVE("4 5", "1 2 3");
    cr_assert_eq(in_sync("2 3 5 4"), 0);
    REPLICAS("4 5");
    ISR("5 4");
    cr_assert_eq(at(0)->leader, 4);
    state(2, true); // concerns nobody any more
    state(1, false);
    ISR("5 4");
    fixture_close(&f);
}

Test(reassign, new_partitions_are_made_as_their_neighbour_will_be_and_deletion_ends_everything)
{
    begin(5, "1 2 3");
    cr_assert_eq(move("4 5"), 0);
    struct create_partitions_request_topic t = {.name = bytes_str("t"), .count = 2};
    struct create_partitions_request grow;
    struct create_partitions_response grown;
    create_partitions_request_init(&grow);
    grow.topics = &t;
    grow.topics_count = 1;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_CREATE_PARTITIONS, &grow, &grown), RC_OK);
    cr_assert_eq(at(1)->replica_count, 2);
    struct delete_topics_request gone;
    struct delete_topics_response out;
    struct bytes name = bytes_str("t");
    delete_topics_request_init(&gone);
    gone.topic_names = &name;
    gone.topic_names_count = 1;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_DELETE_TOPICS, &gone, &out), RC_OK);
    cr_assert_eq(out.responses[0].error_code, 0);
    cr_assert_eq(move("1 2"), 3);
    fixture_close(&f);
}

Test(reassign, thousands_in_one_request_go_in_batches)
{
    enum { COUNT = 5000 };
    fixture_open(&f);
    for (int32_t n = 1; n <= 4; n++)
        fixture_node(&f, n, NULL);
    cr_assert_eq(fixture_create(&f, "t", COUNT, 1)->error_code, 0);
    static struct alter_partition_reassignments_request_partition p[COUNT];
    int32_t targets[4][2] = {{1, 2}, {2, 3}, {3, 4}, {4, 1}};
    for (int32_t i = 0; i < COUNT; i++)
        p[i] = (struct alter_partition_reassignments_request_partition){
            .partition_index = i, .replicas = targets[i % 4], .replicas_count = 2};
    struct alter_partition_reassignments_request_topic t[2] = {
        {.name = bytes_str("t"), .partitions = p, .partitions_count = 7},
        {.name = bytes_str("t"), .partitions = p + 7, .partitions_count = COUNT - 7}};
    struct alter_partition_reassignments_request in;
    struct alter_partition_reassignments_response out;
    alter_partition_reassignments_request_init(&in);
    in.topics = t;
    in.topics_count = 2;
    uint64_t before = f.index;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_REASSIGN, &in, &out), RC_OK);
    cr_assert(f.index - before > 1 && f.index - before < 10, "%llu entries", (unsigned long long)(f.index - before));
    cr_assert(out.responses_count == 2 && out.responses[0].partitions_count == 7 &&
              out.responses[1].partitions_count == COUNT - 7);
    for (int32_t i = 0; i < COUNT; i++) {
        const struct alter_partition_reassignments_response_partition *r =
            i < 7 ? &out.responses[0].partitions[i] : &out.responses[1].partitions[i - 7];
        cr_assert(r->partition_index == i && r->error_code == 0);
        cr_assert(at(i)->adding_count > 0 && image_has_replica(at(i), targets[i % 4][0]));
    }
    const struct image *copy = fixture_through_snapshot(f.image, 4096);
    cr_assert(image_equal(copy, f.image));
    image_unref(copy);
    fixture_close(&f);
}

// ---- anything in any order ----

static bool subset(const int32_t *a, uint32_t a_count, const int32_t *b, uint32_t b_count)
{
    for (uint32_t i = 0; i < a_count; i++) {
        uint32_t k = 0;
        while (k < b_count && b[k] != a[i])
            k++;
        if (k == b_count)
            return false;
    }
    return true;
}

static void check(int32_t leader_epoch_before, const int32_t *before, uint32_t before_count)
{
    const struct image_partition *p = at(0);
    cr_assert(subset(image_isr(p), p->isr_count, image_replicas(p), p->replica_count));
    cr_assert(subset(image_elr(p), p->elr_count, image_replicas(p), p->replica_count));
    cr_assert(subset(image_adding(p), p->adding_count, image_replicas(p), p->replica_count));
    cr_assert(subset(image_removing(p), p->removing_count, image_replicas(p), p->replica_count));
    cr_assert(image_factor(p) >= 1);
    if (p->leader != NODE_ID_NONE)
        cr_assert(image_in_isr(p, p->leader) && !image_node(f.image, p->leader)->fenced);
    uint32_t least = image_factor(p) < 2 ? 1 : 2;
    cr_assert(p->elr_count == 0 || p->isr_count < least, "nobody is eligible while enough are in sync");
    if (image_is_moving(p)) { // else it should have ended
        bool all = true;
        for (uint32_t i = 0; i < p->replica_count; i++)
            if (!subset(&image_replicas(p)[i], 1, image_removing(p), p->removing_count))
                all &= image_in_isr(p, image_replicas(p)[i]);
        cr_assert(!all || p->leader == NODE_ID_NONE);
    }
    // Whoever is no replica any more cannot go on under its epoch.
    if (!subset(before, before_count, image_replicas(p), p->replica_count) && p->leader != NODE_ID_NONE)
        cr_assert(p->leader_epoch > leader_epoch_before);
}

static void random_list(char *out, size_t n, uint32_t most)
{
    int32_t ids[6] = {1, 2, 3, 4, 5, 6};
    uint32_t count = 1 + (uint32_t)prng_below(&f.prng, most);
    *out = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = i + (uint32_t)prng_below(&f.prng, 6 - i);
        int32_t id = ids[k];
        ids[k] = ids[i];
        ids[i] = id;
        snprintf(out + strlen(out), n - strlen(out), "%d ", id);
    }
}

// The leader's wish: everybody who lives, or some of them.
static void random_isr(void)
{
    char text[64] = "";
    const struct image_partition *p = at(0);
    for (uint32_t i = 0; i < p->replica_count; i++) {
        int32_t n = image_replicas(p)[i];
        if (n == p->leader || (!image_node(f.image, n)->fenced && prng_below(&f.prng, 3) != 0))
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%d ", n);
    }
    cr_assert_eq(in_sync(text), 0);
}

Test(reassign, anything_in_any_order_keeps_the_rules)
{
    begin(6, "1 2 3");
    configure("min.insync.replicas", "2");
    uint32_t ended = 0, cancelled = 0;
    for (int step = 0; step < 4000; step++) {
        int32_t before[IMAGE_REPLICAS_MAX];
        uint32_t count = at(0)->replica_count;
        memcpy(before, image_replicas(at(0)), count * sizeof(*before));
        int32_t epoch = at(0)->leader_epoch;
        bool moving = image_is_moving(at(0));
        char target[64];
        uint64_t dice = prng_below(&f.prng, 10);
        if (dice < 2) {
            random_list(target, sizeof(target), 4);
            cr_assert_eq(move(target), 0);
        } else if (dice == 2) {
            int16_t code = move(NULL);
            cr_assert(code == 0 || code == 85 || code == 39);
            cancelled += code == 0;
        } else if (dice < 8) {
            if (at(0)->leader != NODE_ID_NONE)
                random_isr();
            ended += moving && !image_is_moving(at(0));
        } else {
            int32_t node = 1 + (int32_t)prng_below(&f.prng, 6);
            state(node, !image_node(f.image, node)->fenced);
        }
        check(epoch, before, count);
    }
    cr_assert(ended > 30 && cancelled > 30, "%u ended, %u cancelled", ended, cancelled);
    const struct image *again = fixture_replay(&f), *copy = fixture_through_snapshot(f.image, 64);
    cr_assert(image_equal(again, f.image) && image_equal(copy, f.image));
    image_unref(again);
    image_unref(copy);
    fixture_close(&f);
}
