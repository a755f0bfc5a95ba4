// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <malloc.h>
#include <stdio.h>

#include "fixture.h"
#include "meta/image_core.h"

static struct uuid id_of(const struct image *i, const char *name)
{
    return image_topic_by_name(i, bytes_str(name))->id;
}

Test(image, readers_keep_the_version_they_hold)
{
    struct fixture f;
    fixture_open(&f);
    fixture_node(&f, 1, NULL);
    fixture_create(&f, "a", 200, 1);
    const struct image *held = image_ref(f.image);
    fixture_create(&f, "b", 1, 1);
    struct delete_topics_request d;
    struct delete_topics_response out;
    struct bytes name = bytes_str("a");
    delete_topics_request_init(&d);
    d.topic_names = &name;
    d.topic_names_count = 1;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_DELETE_TOPICS, &d, &out), RC_OK);
    cr_assert_null(image_topic_by_name(f.image, name));
    cr_assert_eq(f.image->partition_count, 1);
    const struct image_topic *a = image_topic_by_name(held, name);
    cr_assert_not_null(a);
    cr_assert_eq(a->partition_count, 200);
    for (int32_t p = 0; p < 200; p++)
        cr_assert_eq(image_partition(a, p)->leader, 1);
    cr_assert_null(image_topic_by_name(held, bytes_str("b")));
    image_unref(held);
    fixture_close(&f);
}

Test(image, changes_name_what_differs)
{
    struct fixture f;
    fixture_open(&f);
    fixture_node(&f, 1, NULL);
    cr_assert(f.image->changes.nodes);
    fixture_create(&f, "a", 200, 1);
    cr_assert_eq(f.image->changes.topic_count, 1);
    cr_assert_eq(f.image->changes.topics[0].kind, IMAGE_TOPIC_CREATED);
    cr_assert(uuid_eq(f.image->changes.topics[0].topic_id, id_of(f.image, "a")));
    cr_assert_not(f.image->changes.nodes || f.image->changes.everything);
    fixture_close(&f);
}

// A random history of every kind of record: replay, snapshot and the live image agree byte for byte.
Test(image, replay_and_snapshot_give_the_same_image)
{
    struct fixture f;
    fixture_open(&f);
    struct controller_node_state none;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_FORMAT, NULL, &none), RC_OK);
    int64_t epochs[4];
    for (int32_t n = 1; n <= 3; n++)
        epochs[n] = fixture_node(&f, n, n == 1 ? "r1" : NULL);
    for (int step = 0; step < 300; step++) {
        char name[32];
        snprintf(name, sizeof(name), "topic.%d", (int)prng_below(&f.prng, 40));
        struct bytes text = bytes_str(name);
        uint64_t what = prng_below(&f.prng, 6);
        if (what < 2) {
            fixture_create(&f, name, (int32_t)prng_below(&f.prng, 300) + 1, (int16_t)(prng_below(&f.prng, 3) + 1));
        } else if (what == 2) {
            struct delete_topics_request d;
            struct delete_topics_response out;
            delete_topics_request_init(&d);
            d.topic_names = &text;
            d.topic_names_count = 1;
            fixture_decide(&f, CONTROLLER_DELETE_TOPICS, &d, &out);
        } else if (what == 3) {
            struct incremental_alter_configs_request in;
            struct incremental_alter_configs_response out;
            struct incremental_alter_configs_request_resource r = {.resource_type = CONFIG_RESOURCE_TOPIC,
                                                                   .resource_name = text};
            struct incremental_alter_configs_request_config c = {
                .name = bytes_str(step % 2 ? "retention.ms" : "segment.ms"),
                .config_operation = (int8_t)(step % 5 == 0),
                .value = bytes_str("123456")};
            incremental_alter_configs_request_init(&in);
            r.configs = &c;
            r.configs_count = in.resources_count = 1;
            in.resources = &r;
            fixture_decide(&f, CONTROLLER_INCREMENTAL_ALTER_CONFIGS, &in, &out);
        } else if (what == 4) {
            struct controller_producer_ids p = {.node = 2, .broker_epoch = epochs[2]};
            cr_assert_eq(fixture_decide(&f, CONTROLLER_PRODUCER_IDS, &p, &p), RC_OK);
        } else {
            epochs[3] = fixture_node(&f, 3, NULL);
        }
    }
    const struct image *replayed = fixture_replay(&f);
    cr_assert(image_equal(replayed, f.image));
    for (size_t piece = 1; piece < 200000; piece *= 13) {
        const struct image *loaded = fixture_through_snapshot(f.image, piece);
        cr_assert(image_equal(loaded, f.image));
        cr_assert_eq(loaded->partition_count, f.image->partition_count);
        cr_assert_eq(loaded->topic_count, f.image->topic_count);
        image_unref(loaded);
    }
    image_unref(replayed);
    fixture_close(&f);
}

Test(image, topics_come_in_the_order_of_their_names)
{
    struct fixture f;
    fixture_open(&f);
    fixture_node(&f, 1, NULL);
    for (int i = 99; i >= 0; i--) {
        char name[16];
        snprintf(name, sizeof(name), "t%02d", i * 37 % 100);
        fixture_create(&f, name, 1, 1);
    }
    int i = 0;
    const struct image_topic *t = image_topic_next(f.image, (struct bytes){0}, false);
    for (; t; t = image_topic_next(f.image, image_topic_name(t), false), i++) {
        char name[16];
        snprintf(name, sizeof(name), "t%02d", i);
        cr_assert_str_eq(t->name, name);
    }
    cr_assert_eq(i, 100);
    cr_assert_str_eq(image_topic_next(f.image, bytes_str("t5"), true)->name, "t50");
    cr_assert_str_eq(image_topic_next(f.image, bytes_str("t50"), true)->name, "t50");
    cr_assert_str_eq(image_topic_next(f.image, bytes_str("t50"), false)->name, "t51");
    fixture_close(&f);
}

Test(image, names_that_share_metric_names_are_found)
{
    struct fixture f;
    fixture_open(&f);
    fixture_node(&f, 1, NULL);
    fixture_create(&f, "a.b_c", 1, 1);
    cr_assert_str_eq(image_topic_colliding(f.image, bytes_str("a_b.c"))->name, "a.b_c");
    cr_assert_null(image_topic_colliding(f.image, bytes_str("a.b_c")), "itself is no collision");
    cr_assert_null(image_topic_colliding(f.image, bytes_str("a.b.d")));
    fixture_create(&f, "a.b.c.d.e.f.g.h.i.j.k", 1, 1);
    cr_assert_not_null(image_topic_colliding(f.image, bytes_str("a_b.c.d.e.f.g.h.i.j.k")));
    fixture_close(&f);
}

Test(image, bad_records_are_refused_and_never_crash)
{
    struct fixture f;
    fixture_open(&f);
    fixture_node(&f, 1, NULL);
    fixture_create(&f, "a", 3, 1);
    struct prng r;
    prng_init(&r, 11);
    // Every entry of the log with bytes turned: applied, or refused, and what is applied can be written out.
    for (int round = 0; round < 3000; round++) {
        struct image *i = image_create();
        bool refused = false;
        for (size_t at = 0; at < f.log.n && !refused;) {
            uint32_t n = be32(f.log.p + at + 8);
            uint8_t copy[4096];
            cr_assert_lt(n, sizeof(copy));
            memcpy(copy, f.log.p + at + 12, n);
            if (prng_chance(&r, 1, 2))
                copy[prng_below(&r, n)] = (uint8_t)prng_next(&r);
            refused = image_apply_entry(i, bytes_of(copy, n), be64(f.log.p + at), 3) != RC_OK;
            at += 12 + n;
        }
        if (!i->poisoned && !refused)
            image_unref(fixture_through_snapshot(i, 100));
        image_unref(i);
    }
    struct image *i = image_create();
    uint8_t unknown[] = {3, 99, 0, 0};
    cr_assert_eq(image_apply_entry(i, bytes_of(unknown, 4), 1, 1), RC_UNSUPPORTED);
    uint8_t newer[] = {3, METADATA_TOPIC_RECORD, 1, 0};
    cr_assert_eq(image_apply_entry(i, bytes_of(newer, 4), 1, 1), RC_UNSUPPORTED_VERSION);
    image_unref(i);
    fixture_close(&f);
}

Test(image, ten_thousand_partitions_stay_small)
{
    struct fixture f;
    fixture_open(&f);
    fixture_node(&f, 1, NULL);
    const struct image *empty = image_ref(f.image);
    size_t before = mallinfo2().uordblks;
    fixture_create(&f, "one-topic", 10000, 1);
    const struct image *one = fixture_replay(&f);
    image_unref(f.image);
    f.image = empty;
    buf_deinit(&f.log);
    arena_reset(&f.arena);
    size_t bytes = mallinfo2().uordblks - before;
    cr_log_info("10,000 partitions in one topic: %zu bytes each", bytes / 10000);
    cr_assert_lt(bytes / 10000, 200);
    image_unref(one);
    fixture_close(&f);
}

Test(image, ten_thousand_topics_stay_small)
{
    struct fixture f;
    fixture_open(&f);
    fixture_node(&f, 1, NULL);
    size_t before = mallinfo2().uordblks;
    struct create_topics_request in;
    struct create_topics_response out;
    create_topics_request_init(&in);
    in.topics_count = 10000;
    in.topics = arena_array(&f.arena, in.topics_count, sizeof(*in.topics));
    for (uint32_t t = 0; t < in.topics_count; t++) {
        create_topics_request_topic_init(&in.topics[t]);
        char *name = arena_printf(&f.arena, "topic_%05u", t);
        in.topics[t].name = bytes_str(name);
        in.topics[t].num_partitions = in.topics[t].replication_factor = -1;
    }
    cr_assert_eq(fixture_decide(&f, CONTROLLER_CREATE_TOPICS, &in, &out), RC_OK);
    cr_assert_eq(f.image->topic_count, 10000);
    buf_deinit(&f.log);
    arena_reset(&f.arena);
    size_t bytes = mallinfo2().uordblks - before;
    cr_log_info("10,000 topics of one partition: %zu bytes each", bytes / 10000);
    cr_assert_lt(bytes / 10000, 450);
    fixture_close(&f);
}
