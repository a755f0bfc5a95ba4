// SPDX-License-Identifier: Apache-2.0
//
// Nodes that are forgotten and feature levels.
#include <criterion/criterion.h>

#include "fixture.h"

#include "meta/feature_levels.h"
#include "meta/image_core.h"
#include "meta/records.h"
#include "model/kerr.h"

static struct fixture f;

static void begin(int32_t nodes)
{
    fixture_open(&f);
    cr_assert_eq(fixture_decide(&f, CONTROLLER_FORMAT, NULL, NULL), RC_OK);
    for (int32_t n = 1; n <= nodes; n++)
        fixture_node(&f, n, NULL);
}

static void fenced(int32_t node)
{
    struct controller_node_state s = {
        .node = node, .broker_epoch = image_node(f.image, node)->broker_epoch, .fenced = true};
    cr_assert_eq(fixture_decide(&f, CONTROLLER_NODE_STATE, &s, &s), RC_OK);
}

static int16_t unregister(int32_t node, const char *says)
{
    struct unregister_broker_request in = {.broker_id = node};
    struct unregister_broker_response out;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_UNREGISTER, &in, &out), RC_OK);
    if (says) {
        char text[512] = "";
        memcpy(text, out.error_message.p, out.error_message.n);
        cr_assert(strstr(text, says), "%s", text);
    }
    return out.error_code;
}

Test(cluster, only_a_dead_node_that_holds_nothing_is_forgotten)
{
    begin(3);
    cr_assert_eq(fixture_create(&f, "t", 1, 2)->error_code, 0);
    const struct image_partition *p = image_partition(image_topic_by_name(f.image, bytes_str("t")), 0);
    int32_t holder = image_replicas(p)[1], free_node = 6 - image_replicas(p)[0] - image_replicas(p)[1];
    cr_assert_eq(unregister(9, "not currently registered"), 102);
    cr_assert_eq(unregister(-1, "not currently registered"), 102);
    cr_assert_eq(unregister(free_node, "alive"), 42);
    fenced(holder);
    cr_assert_eq(unregister(holder, "replicas of 1 partition(s)"), 42);
    cr_assert_eq(f.image->node_count, 3);
    fenced(free_node);
    cr_assert_eq(unregister(free_node, NULL), 0);
    cr_assert(f.image->node_count == 2 && !image_node(f.image, free_node));
    cr_assert_eq(unregister(free_node, "not currently registered"), 102);
    const struct image *again = fixture_replay(&f);
    cr_assert(image_equal(again, f.image));
    image_unref(again);
    fixture_node(&f, free_node, NULL); // it may come again
    cr_assert_eq(f.image->node_count, 3);
    fixture_close(&f);
    begin(1);
    fenced(1);
    cr_assert_eq(unregister(1, "the last one"), 42);
    fixture_close(&f);
}

static int16_t update(const char *feature, int16_t level, int8_t type, bool validate_only)
{
    struct update_features_request_feature_update u = {
        .feature = bytes_str(feature), .max_version_level = level, .upgrade_type = type};
    struct update_features_request in = {
        .feature_updates = &u, .feature_updates_count = 1, .validate_only = validate_only};
    struct update_features_response out;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_UPDATE_FEATURES, &in, &out), RC_OK);
    return out.error_code;
}

static int16_t level(void)
{
    return image_feature_level(f.image, FEATURE_METADATA_VERSION);
}

Test(cluster, feature_levels_go_down_only_where_nothing_is_lost)
{
    enum { UPGRADE = 1, SAFE = 2, UNSAFE = 3, BAD = 95 };
    begin(2);
    cr_assert_eq(level(), METADATA_VERSION_MAX);
    cr_assert_eq(update("nonsense", 1, UPGRADE, false), BAD);
    cr_assert_eq(update("group.version", 0, SAFE, false), BAD, "each node's setting says");
    cr_assert_eq(update("group.version", 2, UPGRADE, false), BAD);
    cr_assert_eq(update("group.version", 1, UPGRADE, false), 0, "as it is");
    cr_assert_eq(update(FEATURE_METADATA_VERSION, 26, UPGRADE, false), BAD);
    cr_assert_eq(update(FEATURE_METADATA_VERSION, 6, UNSAFE, false), BAD);
    cr_assert_eq(update(FEATURE_METADATA_VERSION, 25, 9, false), BAD);
    cr_assert_eq(update(FEATURE_METADATA_VERSION, 24, UPGRADE, false), BAD, "down without saying so");
    cr_assert_eq(update(FEATURE_METADATA_VERSION, 22, SAFE, false), BAD, "4.0-IV1 changed the metadata");
    cr_assert_eq(update(FEATURE_METADATA_VERSION, 22, UNSAFE, false), BAD);
    cr_assert_eq(update(FEATURE_METADATA_VERSION, 25, UPGRADE, false), 0, "as it is");
    uint64_t index = f.image->index;
    cr_assert_eq(update(FEATURE_METADATA_VERSION, 23, SAFE, true), 0);
    cr_assert(level() == 25 && f.image->index == index, "only asked");
    cr_assert_eq(update(FEATURE_METADATA_VERSION, 23, SAFE, false), 0);
    cr_assert_eq(level(), 23);
    cr_assert_eq(update(FEATURE_METADATA_VERSION, 24, SAFE, false), BAD, "that is up");
    cr_assert_eq(update(FEATURE_METADATA_VERSION, 24, UPGRADE, false), 0);
    cr_assert_eq(level(), 24);
    fixture_close(&f);
}

Test(cluster, a_level_needs_every_node)
{
    begin(2);
    // A third node, of an older program.
    struct registration_record r;
    registration_record_init(&r);
    struct registration_record_feature old = {.name = bytes_str(FEATURE_METADATA_VERSION), .min = 7, .max = 24};
    struct uuid directory = {.b = {1}};
    r.node = 3;
    r.directories = &directory;
    r.directories_count = 1;
    r.features = &old;
    r.features_count = 1;
    struct buf b;
    buf_init(&b, 1 << 16);
    cr_assert_eq(image_record_put(&b, &registration_record_message, &r), RC_OK);
    cr_assert_eq(update(FEATURE_METADATA_VERSION, 23, 2, false), 0);
    struct image *w = image_begin(f.image);
    cr_assert_eq(image_apply_entry(w, buf_bytes(&b), f.image->index + 1, 1), RC_OK);
    image_unref(f.image);
    f.image = w;
    f.index = w->index;
    buf_deinit(&b);
    cr_assert_eq(update(FEATURE_METADATA_VERSION, 25, 1, false), 95);
    cr_assert_eq(level(), 23);
    cr_assert_eq(update(FEATURE_METADATA_VERSION, 24, 1, false), 0);
    cr_assert_eq(level(), 24);
    fixture_close(&f);
}

Test(cluster, levels_have_kafkas_names)
{
    cr_assert_str_eq(feature_metadata_name(7), "3.3-IV3");
    cr_assert_str_eq(feature_metadata_name(25), "4.0-IV3");
    cr_assert_null(feature_metadata_name(26));
    cr_assert_eq(feature_metadata_level("3.7-IV4"), 19);
    cr_assert_eq(feature_metadata_level("3.7"), 19);
    cr_assert_eq(feature_metadata_level("3.7.1"), 19);
    cr_assert_eq(feature_metadata_level("4.0"), 25);
    cr_assert_eq(feature_metadata_level("4.1"), 0);
    cr_assert_eq(feature_metadata_level("3.7-IV9"), 0);
    cr_assert_eq(feature_metadata_level(""), 0);
}
