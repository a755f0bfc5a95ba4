// SPDX-License-Identifier: Apache-2.0
//
// Metadata answers out of images that the controller decided.
#include <criterion/criterion.h>

#include "broker/api_metadata.h"
#include "fixture.h"
#include "model/kerr.h"

static struct fixture f;
static struct cluster_view view;

static void look(void)
{
    view = (struct cluster_view){.image = f.image,
                                 .listener = bytes_str("PLAINTEXT"),
                                 .cluster_id = bytes_str("0123456789012345678901"),
                                 .controller = 1};
}

static void setup(void)
{
    fixture_open(&f);
    fixture_node(&f, 1, NULL);
    fixture_node(&f, 2, "rack-b");
    fixture_create(&f, "beta", 3, 2);
    fixture_create(&f, "alpha", 1, 1);
    look();
}

static void teardown(void)
{
    fixture_close(&f);
}

TestSuite(metadata, .init = setup, .fini = teardown);

static struct metadata_response ask(const struct metadata_request *in, int16_t version)
{
    struct metadata_response out;
    cr_assert_eq(metadata_build(&view, in, version, NULL, &f.arena, &out), RC_OK);
    return out;
}

static bool is(struct bytes b, const char *text)
{
    return bytes_eq(b, bytes_str(text));
}

Test(metadata, null_means_all_and_empty_means_brokers_only)
{
    struct metadata_request in;
    metadata_request_init(&in);
    in.topics = NULL;
    struct metadata_response out = ask(&in, 9);
    cr_assert_eq(out.brokers_count, 2);
    cr_assert_eq(out.topics_count, 2);
    cr_assert(is(out.topics[0].name, "alpha") && is(out.topics[1].name, "beta"));
    cr_assert_eq(out.topics[1].partitions_count, 3);
    cr_assert_eq(out.controller_id, 1);

    struct metadata_request_topic none[1];
    in.topics = none; // not null, but none
    cr_assert_eq(ask(&in, 9).topics_count, 0);
    cr_assert_eq(ask(&in, 9).brokers_count, 2);
    cr_assert_eq(ask(&in, 0).topics_count, 2, "version 0 has no null");
}

Test(metadata, names_are_answered_once_each)
{
    struct metadata_request_topic names[4] = {{.name = bytes_str("beta")},
                                              {.name = bytes_str("nowhere")},
                                              {.name = bytes_str("beta")},
                                              {.name = bytes_str("no good")}};
    struct metadata_request in = {.topics = names, .topics_count = 4};
    struct metadata_response out = ask(&in, 9);
    cr_assert_eq(out.topics_count, 3);
    cr_assert(is(out.topics[0].name, "beta"));
    cr_assert_eq(out.topics[0].error_code, 0);
    cr_assert(is(out.topics[1].name, "no good"));
    cr_assert_eq(out.topics[1].error_code, kerr_of(RC_INVALID_TOPIC));
    cr_assert_eq(out.topics[2].error_code, kerr_of(RC_UNKNOWN_TOPIC_OR_PARTITION));
    cr_assert_eq(out.topics[0].topic_authorized_operations, INT32_MIN);
    in.include_topic_authorized_operations = true;
    cr_assert_eq(ask(&in, 9).topics[0].topic_authorized_operations, 3576);
}

Test(metadata, ids_are_answered_from_version_12)
{
    const struct image_topic *t = image_topic_by_name(f.image, bytes_str("beta"));
    struct metadata_request_topic ids[2] = {{.topic_id = t->id}, {.topic_id = {.b = {7}}}};
    struct metadata_request in = {.topics = ids, .topics_count = 2};
    cr_assert_eq(metadata_request_check(&in, 12), RC_OK);
    cr_assert_eq(metadata_request_check(&in, 11), RC_INVALID_REQUEST);
    struct metadata_response out = ask(&in, 12);
    cr_assert_eq(out.topics_count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        bool known = uuid_eq(out.topics[i].topic_id, t->id);
        cr_assert_eq(out.topics[i].error_code, known ? 0 : kerr_of(RC_UNKNOWN_TOPIC_ID));
        cr_assert_eq(out.topics[i].name.p != NULL, known);
    }
}

Test(metadata, missing_names_are_those_that_could_be_created)
{
    struct metadata_request_topic names[6] = {{.name = bytes_str("beta")},
                                              {.name = bytes_str("new")},
                                              {.name = bytes_str("new")},
                                              {.name = bytes_str("no good")},
                                              {.name = bytes_str("__consumer_offsets")},
                                              {.name = bytes_str("__transaction_state")}};
    struct metadata_request in = {.topics = names, .topics_count = 6};
    struct bytes *missing;
    uint32_t count;
    cr_assert_eq(metadata_missing(f.image, &in, &f.arena, &missing, &count), RC_OK);
    cr_assert_eq(count, 2);
    cr_assert(is(missing[0], "__consumer_offsets"));
    cr_assert(is(missing[1], "new"));
}

Test(metadata, what_became_of_a_creation_is_told)
{
    struct metadata_request_topic names[2] = {{.name = bytes_str("slow")}, {.name = bytes_str("wrong")}};
    struct metadata_request in = {.topics = names, .topics_count = 2};
    struct create_topics_response_topic made[1] = {
        {.name = bytes_str("wrong"), .error_code = kerr_of(RC_INVALID_REPLICATION_FACTOR)}};
    struct create_topics_response created = {.topics = made, .topics_count = 1};
    struct metadata_response out;
    cr_assert_eq(metadata_build(&view, &in, 9, &created, &f.arena, &out), RC_OK);
    cr_assert_eq(out.topics[0].error_code, kerr_of(RC_LEADER_NOT_AVAILABLE), "still on its way");
    cr_assert_eq(out.topics[1].error_code, kerr_of(RC_INVALID_REPLICATION_FACTOR));
}

Test(metadata, a_fenced_node_is_no_broker_and_its_replicas_are_offline)
{
    const struct image_node *n = image_node(f.image, 2);
    struct controller_node_state state = {.node = 2, .broker_epoch = n->broker_epoch, .fenced = true}, answer = state;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_NODE_STATE, &state, &answer), RC_OK);
    look();
    struct metadata_request_topic name = {.name = bytes_str("beta")};
    struct metadata_request in = {.topics = &name, .topics_count = 1};
    struct metadata_response out = ask(&in, 9);
    cr_assert_eq(out.brokers_count, 1);
    cr_assert_eq(out.brokers[0].node_id, 1);
    for (uint32_t i = 0; i < out.topics[0].partitions_count; i++) {
        const struct metadata_response_partition *p = &out.topics[0].partitions[i];
        cr_assert_eq(p->replica_nodes_count, 2);
        cr_assert_eq(p->offline_replicas_count, 1);
        cr_assert_eq(p->offline_replicas[0], 2);
        cr_assert_eq(p->error_code, p->leader_id == NODE_ID_NONE ? kerr_of(RC_LEADER_NOT_AVAILABLE) : 0);
        cr_assert_neq(p->leader_id, 2);
    }
    out = ask(&in, 0); // knows no offline replicas: leaves them out
    cr_assert_eq(out.topics[0].partitions[0].replica_nodes_count, 1);
}

Test(metadata, a_leader_that_was_seen_to_die_is_none_while_the_controller_has_not_said_so)
{
    struct metadata_request in;
    metadata_request_init(&in);
    in.topics = NULL;
    view.lost[0] = 2;
    view.lost_count = 1;
    struct metadata_response out = ask(&in, 9);
    uint32_t without = 0;
    for (uint32_t i = 0; i < 3; i++) {
        const struct metadata_response_partition *p = &out.topics[1].partitions[i];
        bool led = image_partition(image_topic_by_name(f.image, bytes_str("beta")), (int32_t)i)->leader != 2;
        without += !led;
        cr_assert_eq(p->error_code, led ? 0 : kerr_of(RC_LEADER_NOT_AVAILABLE));
        cr_assert_eq(p->leader_id == -1, !led);
        cr_assert_eq(p->offline_replicas_count, 0, "nobody has said that it is fenced");
        cr_assert_eq(p->isr_nodes_count, 2);
    }
    cr_assert(without > 0);
    cr_assert_eq(out.brokers_count, 2, "it may live after all");
}

static void fence(int32_t node)
{
    const struct image_node *n = image_node(f.image, node);
    struct controller_node_state state = {.node = node, .broker_epoch = n->broker_epoch, .fenced = true}, answer = state;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_NODE_STATE, &state, &answer), RC_OK);
    look();
}

Test(metadata, a_broker_that_died_is_named_once_more_beside_those_who_lead_in_its_stead)
{
    struct metadata_request_topic name = {.name = bytes_str("beta")};
    struct metadata_request in = {.topics = &name, .topics_count = 1};
    fence(2);
    view.named[0] = 2;
    view.named_count = 1;
    struct metadata_response out = ask(&in, 9);
    cr_assert_eq(out.brokers_count, 2);
    cr_assert_eq(out.brokers[1].node_id, 2);
    for (uint32_t i = 0; i < out.topics[0].partitions_count; i++) {
        cr_assert_neq(out.topics[0].partitions[i].leader_id, 2);
        cr_assert_eq(out.topics[0].partitions[i].offline_replicas_count, 1);
    }
    view.named[0] = 7; // nobody
    cr_assert_eq(ask(&in, 9).brokers_count, 1);
}

static uint32_t leaders(const struct metadata_request *in, int32_t self, int32_t **nodes)
{
    uint32_t count = 9;
    *nodes = NULL;
    cr_assert_eq(metadata_leaders(f.image, in, 9, self, &f.arena, nodes, &count), RC_OK);
    return count;
}

Test(metadata, leaders_are_those_of_what_is_asked_for_each_once_without_oneself)
{
    int32_t *nodes;
    struct metadata_request in;
    metadata_request_init(&in);
    in.topics = NULL; // all
    cr_assert_eq(leaders(&in, 1, &nodes), 1);
    cr_assert_eq(nodes[0], 2);
    cr_assert_eq(leaders(&in, 2, &nodes), 1);
    cr_assert_eq(nodes[0], 1);
    cr_assert_eq(leaders(&in, 3, &nodes), 2, "a node that leads nothing");

    struct metadata_request_topic names[2] = {{.name = bytes_str("alpha")}, {.name = bytes_str("nowhere")}};
    in.topics = names;
    in.topics_count = 2;
    int32_t leader = image_partition(image_topic_by_name(f.image, bytes_str("alpha")), 0)->leader;
    cr_assert_eq(leaders(&in, leader, &nodes), 0);
    cr_assert_eq(leaders(&in, 3 - leader, &nodes), 1);
    cr_assert_eq(nodes[0], leader);

    in.topics_count = 0; // brokers only
    cr_assert_eq(leaders(&in, 1, &nodes), 0);
    in.topics = NULL;
    fence(2);
    cr_assert_eq(leaders(&in, 1, &nodes), 0, "whoever is left is oneself");
}

Test(metadata, another_listener_has_other_addresses)
{
    view.listener = bytes_str("INSIDE");
    struct metadata_request in;
    metadata_request_init(&in);
    cr_assert_eq(ask(&in, 9).brokers_count, 0, "no node has that listener");
}
