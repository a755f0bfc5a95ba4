// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include "fixture.h"
#include "meta/placement.h"

static void refused(const struct create_topics_response_topic *t, int16_t code, const char *sentence)
{
    cr_assert_eq(t->error_code, code, "%d", t->error_code);
    cr_assert(bytes_eq(t->error_message, bytes_str(sentence)), "%.*s", (int)t->error_message.n,
              (const char *)t->error_message.p);
}

Test(controller, topics_are_checked_as_kafka_checks_them)
{
    struct fixture f;
    fixture_open(&f);
    fixture_node(&f, 1, NULL);
    cr_assert_eq(fixture_create(&f, "a.b", 2, 1)->error_code, 0);
    refused(fixture_create(&f, "a.b", 2, 1), 36, "Topic 'a.b' already exists.");
    refused(fixture_create(&f, "a_b", 2, 1), 17, "Topic 'a_b' collides with existing topic: a.b");
    refused(fixture_create(&f, "", 1, 1), 17, "Topic name is invalid: the empty string is not allowed");
    refused(fixture_create(&f, "..", 1, 1), 17, "Topic name is invalid: '..' is not allowed");
    refused(fixture_create(&f, "x y", 1, 1), 17,
            "Topic name is invalid: 'x y' contains one or more characters other than ASCII alphanumerics, '.', '_' and "
            "'-'");
    refused(fixture_create(&f, "p", 0, 1), 37, "Number of partitions was set to an invalid non-positive value.");
    refused(fixture_create(&f, "p", 1, 0), 38,
            "Replication factor must be larger than 0, or -1 to use the default value.");
    refused(fixture_create(&f, "p", 1, 3), 38,
            "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because "
            "only 1 broker(s) are registered.");
    refused(fixture_create(&f, "__cluster_metadata", 1, 1), 42,
            "Creation of internal topic __cluster_metadata is prohibited.");
    cr_assert_eq(f.image->topic_count, 1);
    struct config_pair file[] = {{"num.partitions", "7"}};
    f.properties = (struct config_layer){file, 1};
    const struct create_topics_response_topic *t = fixture_create(&f, "defaults", -1, -1);
    cr_assert(t->error_code == 0 && t->num_partitions == 7 && t->replication_factor == 1);
    cr_assert_gt(t->configs_count, 25);
    fixture_close(&f);
}

static const struct create_topics_response *create(struct fixture *f, struct create_topics_request_topic *t,
                                                   uint32_t count, bool validate_only)
{
    struct create_topics_request in;
    struct create_topics_response *out = arena_alloc(&f->arena, sizeof(*out));
    create_topics_request_init(&in);
    in.topics = t;
    in.topics_count = count;
    in.validate_only = validate_only;
    cr_assert_eq(fixture_decide(f, CONTROLLER_CREATE_TOPICS, &in, out), RC_OK);
    return out;
}

Test(controller, assignments_by_hand)
{
    struct fixture f;
    fixture_open(&f);
    fixture_node(&f, 1, NULL);
    fixture_node(&f, 2, NULL);
    int32_t one[] = {2, 1}, two[] = {1, 2}, twice[] = {1, 1}, unknown[] = {1, 9}, single[] = {1};
    struct create_topics_request_assignment a[2] = {{0, two, 2}, {1, one, 2}};
    struct create_topics_request_topic t;
    create_topics_request_topic_init(&t);
    t.name = bytes_str("m");
    t.num_partitions = t.replication_factor = -1;
    t.assignments = a;
    t.assignments_count = 2;
    a[1].broker_ids = twice;
    refused(&create(&f, &t, 1, false)->topics[0], 39,
            "The manual partition assignment includes the broker 1 more than once.");
    a[1].broker_ids = unknown;
    refused(&create(&f, &t, 1, false)->topics[0], 39,
            "The manual partition assignment includes broker 9, but no such broker is registered.");
    a[1] = (struct create_topics_request_assignment){1, single, 1};
    refused(&create(&f, &t, 1, false)->topics[0], 39,
            "The manual partition assignment includes a partition with 1 replica(s), but this is not consistent with "
            "previous partitions, which have 2 replica(s).");
    a[1] = (struct create_topics_request_assignment){5, one, 2};
    refused(&create(&f, &t, 1, false)->topics[0], 39, "partitions should be a consecutive 0-based integer sequence");
    a[1].partition_index = 1;
    t.num_partitions = 2;
    refused(&create(&f, &t, 1, false)->topics[0], 42,
            "A manual partition assignment was specified, but numPartitions was not set to -1.");
    t.num_partitions = -1;
    cr_assert_eq(create(&f, &t, 1, true)->topics[0].error_code, 0);
    cr_assert_null(image_topic_by_name(f.image, t.name), "only validated");
    cr_assert_eq(create(&f, &t, 1, false)->topics[0].error_code, 0);
    const struct image_partition *p = image_partition(image_topic_by_name(f.image, t.name), 1);
    cr_assert(image_replicas(p)[0] == 2 && image_replicas(p)[1] == 1 && p->leader == 2 && p->isr_count == 2);
    cr_assert_eq(image_directory(p, 0).b[15], 2);
    struct create_topics_request_topic pair[2] = {t, t};
    const struct create_topics_response *out = create(&f, pair, 2, false);
    refused(&out->topics[0], 42, "Duplicate topic name.");
    refused(&out->topics[1], 42, "Duplicate topic name.");
    fixture_close(&f);
}

// Begins a batch over f's image and decides a piece of it.
static enum rc decide_piece(struct fixture *f, struct controller_batch *b, enum controller_kind kind, const void *request,
                            void *answer, struct controller_progress *progress)
{
    struct controller_env env = {
        .prng = &f->prng, .self = 1, .properties = f->properties, .new_uuid = fixture_uuid, .context = f};
    if (!b->view)
        cr_assert_eq(controller_batch_begin(b, f->image, f->index + 1, 3), RC_OK);
    return controller_decide(b, &env, kind, request, answer, progress, &f->arena);
}

Test(controller, many_partitions_are_added_over_several_turns)
{
    struct fixture f;
    fixture_open(&f);
    fixture_node(&f, 1, NULL);
    enum { PIECE = CONTROLLER_PIECE_PARTITIONS };
    struct create_topics_request_topic t;
    struct create_topics_request request;
    struct create_topics_response answer;
    create_topics_request_init(&request);
    create_topics_request_topic_init(&t);
    t.name = bytes_str("long");
    t.num_partitions = 2 * PIECE + 3;
    t.replication_factor = 1;
    request.topics = &t;
    request.topics_count = 1;
    // Given up in the middle, it begins anew.
    struct controller_batch b = {0};
    struct controller_progress progress = {0}, before = progress;
    cr_assert_eq(decide_piece(&f, &b, CONTROLLER_CREATE_TOPICS, &request, &answer, &progress), RC_AGAIN);
    cr_assert_not_null(b.draft);
    cr_assert_eq(image_topic_by_name(b.draft, t.name)->partition_count, PIECE);
    cr_assert_null(image_topic_by_name(b.view, t.name), "the batch does not hold it yet");
    controller_batch_end(&b);
    progress = before;
    for (int i = 0; i < 3; i++) {
        enum rc rc = decide_piece(&f, &b, CONTROLLER_CREATE_TOPICS, &request, &answer, &progress);
        cr_assert_eq(rc, i < 2 ? RC_AGAIN : RC_OK);
        cr_assert_eq(b.draft != NULL, i < 2);
    }
    cr_assert_eq(image_topic_by_name(b.view, t.name)->partition_count, t.num_partitions);
    // What takes several turns waits for a batch of its own.
    struct create_partitions_request_topic g;
    struct create_partitions_request grow;
    struct create_partitions_response grown;
    create_partitions_request_init(&grow);
    create_partitions_request_topic_init(&g);
    g.name = t.name;
    g.count = 5 * PIECE;
    g.assignments = NULL;
    grow.topics = &g;
    grow.topics_count = 1;
    progress = before;
    cr_assert_eq(decide_piece(&f, &b, CONTROLLER_CREATE_PARTITIONS, &grow, &grown, &progress), RC_FULL);
    t.name = bytes_str("longer");
    cr_assert_eq(decide_piece(&f, &b, CONTROLLER_CREATE_TOPICS, &request, &answer, &progress), RC_AGAIN);
    cr_assert_null(b.draft);
    controller_batch_end(&b);
    t.name = bytes_str("long");
    const struct create_topics_response *out = create(&f, &t, 1, false);
    cr_assert_eq(out->topics[0].error_code, 0);
    uint64_t index = f.index;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_CREATE_PARTITIONS, &grow, &grown), RC_OK);
    cr_assert(grown.results_count == 1 && grown.results[0].error_code == 0);
    cr_assert_eq(f.index, index + 1, "in one entry");
    cr_assert_eq(image_topic_by_name(f.image, t.name)->partition_count, g.count);
    g.count++;
    grow.validate_only = true;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_CREATE_PARTITIONS, &grow, &grown), RC_OK);
    g.count = 8 * PIECE;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_CREATE_PARTITIONS, &grow, &grown), RC_OK);
    cr_assert(grown.results[0].error_code == 0 && f.index == index + 1, "only looked at");
    fixture_close(&f);
}

Test(controller, large_requests_are_decided_piece_by_piece)
{
    struct fixture f;
    fixture_open(&f);
    fixture_node(&f, 1, NULL);
    enum { COUNT = 1500 };
    static struct create_topics_request_topic t[COUNT];
    for (int i = 0; i < COUNT; i++) {
        create_topics_request_topic_init(&t[i]);
        t[i].name = bytes_str(arena_printf(&f.arena, "large-%d", i % (COUNT - 1)));
        t[i].num_partitions = i == 700 ? 100000 : 1 + i % 3;
        t[i].replication_factor = 1;
    }
    uint64_t index = f.index;
    const struct create_topics_response *out = create(&f, t, COUNT, true);
    cr_assert(out->topics_count == COUNT && f.index == index && f.image->topic_count == 0);
    out = create(&f, t, COUNT, false);
    cr_assert_eq(out->topics_count, COUNT);
    cr_assert_gt(f.index, index + 2, "in several entries");
    for (int i = 0; i < COUNT; i++) {
        // The first and the last have one name; one is larger than an entry.
        int16_t expected = i == 0 || i == COUNT - 1 ? 42 : i == 700 ? 44 : 0;
        cr_assert_eq(out->topics[i].error_code, expected, "%d: %d", i, out->topics[i].error_code);
        cr_assert_eq(image_topic_by_name(f.image, t[i].name) != NULL, expected == 0);
    }
    static struct bytes names[COUNT];
    for (int i = 0; i < COUNT; i++)
        names[i] = t[i].name;
    struct delete_topics_request d;
    struct delete_topics_response deleted;
    delete_topics_request_init(&d);
    d.topic_names = names;
    d.topic_names_count = COUNT;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_DELETE_TOPICS, &d, &deleted), RC_OK);
    cr_assert_eq(deleted.responses_count, COUNT);
    for (int i = 0; i < COUNT; i++)
        cr_assert_eq(deleted.responses[i].error_code, i == 0 || i == 700 || i == COUNT - 1 ? 3 : 0);
    cr_assert_eq(f.image->topic_count, 0);
    fixture_close(&f);
}

Test(controller, partitions_grow_and_never_shrink)
{
    struct fixture f;
    fixture_open(&f);
    fixture_node(&f, 1, NULL);
    fixture_create(&f, "g", 3, 1);
    struct create_partitions_request in;
    struct create_partitions_request_topic t = {.name = bytes_str("g"), .count = 3};
    struct create_partitions_response out;
    create_partitions_request_init(&in);
    in.topics = &t;
    in.topics_count = 1;
    fixture_decide(&f, CONTROLLER_CREATE_PARTITIONS, &in, &out);
    cr_assert_eq(out.results[0].error_code, 37);
    cr_assert(bytes_eq(out.results[0].error_message, bytes_str("Topic already has 3 partition(s).")));
    t.count = 2;
    fixture_decide(&f, CONTROLLER_CREATE_PARTITIONS, &in, &out);
    cr_assert(bytes_eq(out.results[0].error_message,
                       bytes_str("The topic g currently has 3 partition(s); 2 would not be an increase.")));
    t.count = 300;
    fixture_decide(&f, CONTROLLER_CREATE_PARTITIONS, &in, &out);
    cr_assert_eq(out.results[0].error_code, 0);
    const struct image_topic *g = image_topic_by_name(f.image, t.name);
    cr_assert_eq(g->partition_count, 300);
    for (int32_t p = 0; p < 300; p++)
        cr_assert_eq(image_partition(g, p)->leader, 1);
    t.name = bytes_str("nope");
    fixture_decide(&f, CONTROLLER_CREATE_PARTITIONS, &in, &out);
    cr_assert_eq(out.results[0].error_code, 3);
    fixture_close(&f);
}

static void alter(struct fixture *f, int8_t type, const char *resource, const char *key, int8_t op, const char *value,
                  int16_t expected, const char *part)
{
    struct incremental_alter_configs_request in;
    struct incremental_alter_configs_response out;
    struct incremental_alter_configs_request_config c = {
        .name = bytes_str(key), .config_operation = op, .value = value ? bytes_str(value) : (struct bytes){0}};
    struct incremental_alter_configs_request_resource r = {
        .resource_type = type, .resource_name = bytes_str(resource), .configs = &c, .configs_count = 1};
    incremental_alter_configs_request_init(&in);
    in.resources = &r;
    in.resources_count = 1;
    cr_assert_eq(fixture_decide(f, CONTROLLER_INCREMENTAL_ALTER_CONFIGS, &in, &out), RC_OK);
    const struct incremental_alter_configs_response_response *o = &out.responses[0];
    cr_assert_eq(o->error_code, expected, "%s: %d %.*s", key, o->error_code, (int)o->error_message.n,
                 (const char *)o->error_message.p);
    if (part)
        cr_assert(memmem(o->error_message.p, o->error_message.n, part, strlen(part)), "%.*s", (int)o->error_message.n,
                  (const char *)o->error_message.p);
}

static const char *topic_value(const struct fixture *f, const char *topic, const char *key)
{
    bool found;
    return config_layer_get(image_topic_configs(image_topic_by_name(f->image, bytes_str(topic))), key, &found);
}

enum { SET, DELETE, APPEND, SUBTRACT };

Test(controller, single_settings_change)
{
    struct fixture f;
    fixture_open(&f);
    fixture_node(&f, 1, NULL);
    fixture_create(&f, "c", 1, 1);
    alter(&f, 2, "c", "retention.ms", SET, "5000", 0, NULL);
    cr_assert_str_eq(topic_value(&f, "c", "retention.ms"), "5000");
    alter(&f, 2, "c", "cleanup.policy", APPEND, "compact", 0, NULL);
    cr_assert_str_eq(topic_value(&f, "c", "cleanup.policy"), "delete,compact");
    alter(&f, 2, "c", "cleanup.policy", APPEND, "compact", 0, NULL);
    cr_assert_str_eq(topic_value(&f, "c", "cleanup.policy"), "delete,compact");
    alter(&f, 2, "c", "cleanup.policy", SUBTRACT, "delete", 0, NULL);
    cr_assert_str_eq(topic_value(&f, "c", "cleanup.policy"), "compact");
    alter(&f, 2, "c", "retention.ms", DELETE, NULL, 0, NULL);
    cr_assert_null(topic_value(&f, "c", "retention.ms"));
    alter(&f, 2, "c", "retention.ms", APPEND, "1", 40, "its type is not LIST");
    alter(&f, 2, "c", "retention.ms", SET, NULL, 42, "Null value not supported");
    alter(&f, 2, "c", "retension.ms", SET, "1", 40, "did you mean retention.ms?");
    alter(&f, 2, "c", "retention.ms", SET, "x", 40, "Not a number of type LONG");
    alter(&f, 2, "no", "retention.ms", SET, "1", 3, "does not exist");
    alter(&f, 4, "", "log.retention.ms", SET, "77", 0, NULL);
    alter(&f, 4, "1", "log.retention.ms", SET, "88", 0, NULL);
    struct config_layers l = image_layers(f.image, image_topic_by_name(f.image, bytes_str("c")), 1, f.properties);
    struct topic_config c;
    topic_config_resolve(&c, &l);
    cr_assert_eq(c.retention_ms, 88);
    alter(&f, 4, "1", "node.id", SET, "2", 42, "Cannot update these configs dynamically");
    alter(&f, 4, "", "leader.replication.throttled.rate", SET, "5", 42, "broker id must be specified");
    alter(&f, 4, "1", "listeners", SET, "x", 42, "Cannot update these configs dynamically");
    alter(&f, 4, "9", "log.retention.ms", SET, "1", 42, "No broker with id 9");
    alter(&f, 99, "c", "x", SET, "1", 42, "Unsupported resource type");
    uint64_t index = f.index;
    alter(&f, 4, "1", "log.retention.ms", SET, "88", 0, NULL);
    cr_assert_eq(f.index, index, "what changes nothing writes nothing");
    fixture_close(&f);
}

static const char *group_value(const struct image *i, const char *group, const char *key)
{
    bool found;
    return config_layer_get(image_group_configs(i, bytes_str(group)), key, &found);
}

Test(controller, groups_have_settings_of_their_own)
{
    struct fixture f;
    fixture_open(&f);
    fixture_node(&f, 1, NULL);
    alter(&f, 32, "g", "consumer.session.timeout.ms", SET, "50000", 0, NULL);
    alter(&f, 32, "a", "consumer.heartbeat.interval.ms", SET, "6000", 0, NULL);
    alter(&f, 32, "g", "consumer.heartbeat.interval.ms", SET, "7000", 0, NULL);
    cr_assert_str_eq(group_value(f.image, "g", "consumer.session.timeout.ms"), "50000");
    cr_assert_str_eq(group_value(f.image, "a", "consumer.heartbeat.interval.ms"), "6000");
    struct config_layers l = image_group_layers(f.image, bytes_str("g"), 1, f.properties);
    int32_t session, heartbeat;
    group_config_resolve(&l, &session, &heartbeat);
    cr_assert(session == 50000 && heartbeat == 7000);
    l = image_group_layers(f.image, bytes_str("other"), 1, f.properties);
    group_config_resolve(&l, &session, &heartbeat);
    cr_assert(session == 45000 && heartbeat == 5000);
    alter(&f, 32, "g", "consumer.session.timeout.ms", SET, "44999", 40,
          "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms");
    alter(&f, 32, "g", "consumer.session.timeout.ms", SET, "60001", 40,
          "must be less than or equal to group.consumer.max.session.timeout.ms");
    alter(&f, 32, "g", "consumer.heartbeat.interval.ms", SET, "15001", 40,
          "must be less than or equal to group.consumer.max.heartbeat.interval.ms");
    alter(&f, 32, "g", "consumer.heartbeat.interval.ms", SET, "0", 40, "Value must be at least 1");
    alter(&f, 32, "g", "consumer.sesion.timeout.ms", SET, "1", 40, "did you mean consumer.session.timeout.ms?");
    alter(&f, 32, "", "consumer.session.timeout.ms", SET, "50000", 42, "Default group resources are not allowed.");
    // The version before still has what it had; a snapshot has all; the last setting takes the group with it.
    const struct image *before = image_ref(f.image);
    alter(&f, 32, "a", "consumer.heartbeat.interval.ms", DELETE, NULL, 0, NULL);
    cr_assert_str_eq(group_value(before, "a", "consumer.heartbeat.interval.ms"), "6000");
    cr_assert_null(group_value(f.image, "a", "consumer.heartbeat.interval.ms"));
    image_unref(before);
    const struct image *copy = fixture_through_snapshot(f.image, 64);
    cr_assert_str_eq(group_value(copy, "g", "consumer.session.timeout.ms"), "50000");
    cr_assert(image_equal(copy, f.image));
    image_unref(copy);
    copy = fixture_replay(&f);
    cr_assert(image_equal(copy, f.image));
    image_unref(copy);
    alter(&f, 32, "g", "consumer.session.timeout.ms", DELETE, NULL, 0, NULL);
    alter(&f, 32, "g", "consumer.heartbeat.interval.ms", DELETE, NULL, 0, NULL);
    cr_assert_null(f.image->groups);
    fixture_close(&f);
}

Test(controller, whole_sets_are_replaced)
{
    struct fixture f;
    fixture_open(&f);
    fixture_node(&f, 1, NULL);
    fixture_create(&f, "c", 1, 1);
    alter(&f, 2, "c", "segment.ms", SET, "5000", 0, NULL);
    struct alter_configs_request in;
    struct alter_configs_response out;
    struct alter_configs_request_config c = {.name = bytes_str("retention.ms"), .value = bytes_str("9")};
    struct alter_configs_request_resource r = {
        .resource_type = 2, .resource_name = bytes_str("c"), .configs = &c, .configs_count = 1};
    alter_configs_request_init(&in);
    in.resources = &r;
    in.resources_count = 1;
    in.validate_only = true;
    fixture_decide(&f, CONTROLLER_ALTER_CONFIGS, &in, &out);
    cr_assert_eq(out.responses[0].error_code, 0);
    cr_assert_str_eq(topic_value(&f, "c", "segment.ms"), "5000");
    in.validate_only = false;
    fixture_decide(&f, CONTROLLER_ALTER_CONFIGS, &in, &out);
    cr_assert_null(topic_value(&f, "c", "segment.ms"));
    cr_assert_str_eq(topic_value(&f, "c", "retention.ms"), "9");
    fixture_close(&f);
}

Test(controller, another_life_of_a_node_gets_new_epochs)
{
    struct fixture f;
    fixture_open(&f);
    int64_t first = fixture_node(&f, 1, NULL);
    fixture_node(&f, 2, NULL);
    fixture_create(&f, "t", 10, 2);
    struct controller_producer_ids p = {.node = 1, .broker_epoch = first};
    cr_assert_eq(fixture_decide(&f, CONTROLLER_PRODUCER_IDS, &p, &p), RC_OK);
    cr_assert(p.first == 0 && p.count == PRODUCER_ID_BLOCK);
    int64_t second = fixture_node(&f, 1, NULL);
    cr_assert_gt(second, first);
    cr_assert_eq(fixture_decide(&f, CONTROLLER_PRODUCER_IDS, &p, &p), RC_STALE_BROKER_EPOCH);
    p.node = 9;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_PRODUCER_IDS, &p, &p), RC_BROKER_ID_NOT_REGISTERED);
    // The other replica leads what it led; alone, it leads on, in a new epoch.
    const struct image_topic *t = image_topic_by_name(f.image, bytes_str("t"));
    for (int32_t n = 0; n < 10; n++) {
        const struct image_partition *q = image_partition(t, n);
        cr_assert_eq(q->leader, 2);
        cr_assert_eq(q->leader_epoch, image_replicas(q)[0] == 1, "only those it led");
        cr_assert(q->isr_count == 1 && image_isr(q)[0] == 2);
    }
    int64_t third = fixture_node(&f, 2, NULL);
    cr_assert_gt(third, second);
    t = image_topic_by_name(f.image, bytes_str("t"));
    for (int32_t n = 0; n < 10; n++) {
        const struct image_partition *q = image_partition(t, n);
        cr_assert_eq(q->leader, 2);
        cr_assert_eq(q->leader_epoch, 1 + (image_replicas(q)[0] == 1));
    }
    // A process with another folder while the old one lives is refused.
    struct uuid other = {{7}};
    struct controller_registration r = {.node = 2, .directories = &other, .directory_count = 1, .incarnation = {{9}}};
    cr_assert_eq(fixture_decide(&f, CONTROLLER_REGISTER, &r, &r), RC_DUPLICATE_BROKER_REGISTRATION);
    fixture_close(&f);
}

Test(controller, deletion_by_name_and_by_id)
{
    struct fixture f;
    fixture_open(&f);
    fixture_node(&f, 1, NULL);
    fixture_create(&f, "x", 1, 1);
    fixture_create(&f, "y", 1, 1);
    struct delete_topics_request in;
    struct delete_topics_response out;
    struct delete_topics_request_topic t[3];
    delete_topics_request_init(&in);
    for (int i = 0; i < 3; i++)
        delete_topics_request_topic_init(&t[i]);
    t[0].name = bytes_str("x");
    t[1].topic_id = image_topic_by_name(f.image, bytes_str("y"))->id;
    t[2].topic_id = (struct uuid){{5}};
    in.topics = t;
    in.topics_count = 3;
    struct config_pair off[] = {{"delete.topic.enable", "false"}};
    f.properties = (struct config_layer){off, 1};
    fixture_decide(&f, CONTROLLER_DELETE_TOPICS, &in, &out);
    cr_assert_eq(out.responses[0].error_code, 73);
    f.properties.count = 0;
    fixture_decide(&f, CONTROLLER_DELETE_TOPICS, &in, &out);
    cr_assert(out.responses[0].error_code == 0 && out.responses[1].error_code == 0);
    cr_assert(bytes_eq(out.responses[1].name, bytes_str("y")));
    cr_assert_eq(out.responses[2].error_code, 100);
    cr_assert(f.image->topic_count == 0 && f.image->partition_count == 0);
    fixture_close(&f);
}

// ---- placement ----

Test(placement, leaders_and_racks_are_spread)
{
    struct fixture f;
    fixture_open(&f);
    static const char *const racks[] = {"a", "a", "b", "b", "c", "c"};
    for (int32_t n = 0; n < 6; n++)
        fixture_node(&f, n + 1, racks[n]);
    enum { COUNT = 600, FACTOR = 3 };
    static int32_t out[COUNT * FACTOR];
    cr_assert_eq(placement_assign(f.image, &f.prng, COUNT, FACTOR, out), RC_OK);
    int leaders[7] = {0}, replicas[7] = {0};
    for (int p = 0; p < COUNT; p++) {
        bool seen[3] = {0};
        leaders[out[p * FACTOR]]++;
        for (int k = 0; k < FACTOR; k++) {
            int32_t node = out[p * FACTOR + k];
            replicas[node]++;
            int rack = (node - 1) / 2;
            cr_assert_not(seen[rack], "each rack once");
            seen[rack] = true;
        }
    }
    for (int n = 1; n <= 6; n++) {
        cr_assert_eq(leaders[n], COUNT / 6);
        cr_assert_eq(replicas[n], COUNT * FACTOR / 6);
    }
    fixture_close(&f);
}

Test(placement, fenced_nodes_lead_nothing)
{
    struct fixture f;
    fixture_open(&f);
    for (int32_t n = 1; n <= 3; n++)
        fixture_node(&f, n, NULL);
    struct controller_node_state s = {.node = 2, .broker_epoch = image_node(f.image, 2)->broker_epoch, .fenced = true};
    cr_assert_eq(fixture_decide(&f, CONTROLLER_NODE_STATE, &s, &s), RC_OK);
    int32_t out[300];
    cr_assert_eq(placement_assign(f.image, &f.prng, 100, 3, out), RC_OK);
    for (int p = 0; p < 100; p++)
        cr_assert(out[p * 3] != 2 && out[p * 3 + 2] == 2);
    fixture_create(&f, "t", 10, 3);
    const struct image_topic *t = image_topic_by_name(f.image, bytes_str("t"));
    for (int32_t p = 0; p < 10; p++)
        cr_assert(image_partition(t, p)->isr_count == 2 && !image_in_isr(image_partition(t, p), 2));
    fixture_close(&f);
}
