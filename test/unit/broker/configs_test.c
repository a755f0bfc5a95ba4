// SPDX-License-Identifier: Apache-2.0
//
// DescribeConfigs: values, where they come from, and what is refused.
#include <criterion/criterion.h>

#include "broker/api_configs.h"
#include "fixture.h"
#include "model/kerr.h"

static struct fixture f;
static const struct config_pair PROPERTIES[] = {{"log.retention.hours", "24"}, {"num.partitions", "3"}};

static void setup(void)
{
    fixture_open(&f);
    f.properties = (struct config_layer){PROPERTIES, 2};
    fixture_node(&f, 1, NULL);
    fixture_create(&f, "t", 1, 1);
}

static void teardown(void)
{
    fixture_close(&f);
}

TestSuite(configs, .init = setup, .fini = teardown);

static struct describe_configs_response_result describe(int8_t type, const char *name, const char *key)
{
    struct configs_view view = {.image = f.image, .node = 1, .properties = f.properties};
    struct bytes keys[1] = {bytes_str(key ? key : "")};
    struct describe_configs_request_resource r = {.resource_type = type,
                                                  .resource_name = bytes_str(name),
                                                  .configuration_keys = key ? keys : NULL,
                                                  .configuration_keys_count = key ? 1 : 0};
    struct describe_configs_request in = {
        .resources = &r, .resources_count = 1, .include_synonyms = true, .include_documentation = true};
    struct describe_configs_response out;
    cr_assert_eq(configs_describe(&view, &in, &f.arena, &out), RC_OK);
    cr_assert_eq(out.results_count, 1);
    return out.results[0];
}

static void set(int8_t type, const char *name, const char *key, const char *value)
{
    struct incremental_alter_configs_request_config c = {.name = bytes_str(key), .value = bytes_str(value)};
    struct incremental_alter_configs_request_resource r = {
        .resource_type = type, .resource_name = bytes_str(name), .configs = &c, .configs_count = 1};
    struct incremental_alter_configs_request in = {.resources = &r, .resources_count = 1};
    struct incremental_alter_configs_response out;
    cr_assert_eq(fixture_decide(&f, CONTROLLER_INCREMENTAL_ALTER_CONFIGS, &in, &out), RC_OK);
    cr_assert_eq(out.responses[0].error_code, 0);
}

static bool is(struct bytes b, const char *text)
{
    return bytes_eq(b, bytes_str(text));
}

Test(configs, every_key_of_a_topic_is_told_with_type_and_text)
{
    size_t count;
    config_keys(CONFIG_TOPIC, &count);
    struct describe_configs_response_result r = describe(RESOURCE_TOPIC, "t", NULL);
    cr_assert_eq(r.error_code, 0);
    cr_assert_eq(r.configs_count, count);
    for (uint32_t i = 0; i < r.configs_count; i++) {
        cr_assert_gt(r.configs[i].config_type, 0);
        cr_assert_gt(r.configs[i].documentation.n, 0);
        cr_assert_gt(r.configs[i].synonyms_count, 0);
        cr_assert_not(r.configs[i].read_only);
    }
}

Test(configs, groups_have_two_keys_of_their_own)
{
    struct describe_configs_response_result r = describe(RESOURCE_GROUP, "nobody yet", NULL);
    cr_assert_eq(r.error_code, 0);
    cr_assert_eq(r.configs_count, 2);
    cr_assert(is(r.configs[1].name, "consumer.session.timeout.ms") && is(r.configs[1].value, "45000"));
    cr_assert(r.configs[1].is_default);
    set(RESOURCE_GROUP, "g", "consumer.session.timeout.ms", "50000");
    struct describe_configs_response_config c =
        describe(RESOURCE_GROUP, "g", "consumer.session.timeout.ms").configs[0];
    cr_assert(is(c.value, "50000"));
    cr_assert_eq(c.config_source, CONFIG_SOURCE_GROUP);
    cr_assert(is(c.synonyms[1].name, "group.consumer.session.timeout.ms"));
    cr_assert(is(describe(RESOURCE_GROUP, "h", "consumer.session.timeout.ms").configs[0].value, "45000"));
}

Test(configs, a_value_comes_from_the_nearest_place)
{
    struct describe_configs_response_config c = describe(RESOURCE_TOPIC, "t", "retention.ms").configs[0];
    cr_assert(is(c.value, "86400000"), "24 hours of the file");
    cr_assert_eq(c.config_source, CONFIG_SOURCE_PROPERTIES);
    cr_assert_not(c.is_default);

    set(RESOURCE_BROKER, "", "log.retention.ms", "7000");
    c = describe(RESOURCE_TOPIC, "t", "retention.ms").configs[0];
    cr_assert(is(c.value, "7000"));
    cr_assert_eq(c.config_source, CONFIG_SOURCE_BROKERS_DEFAULT);

    set(RESOURCE_BROKER, "1", "log.retention.ms", "8000");
    set(RESOURCE_TOPIC, "t", "retention.ms", "9000");
    c = describe(RESOURCE_TOPIC, "t", "retention.ms").configs[0];
    cr_assert(is(c.value, "9000"));
    cr_assert_eq(c.config_source, CONFIG_SOURCE_TOPIC);
    static const int8_t sources[] = {CONFIG_SOURCE_TOPIC, CONFIG_SOURCE_BROKER, CONFIG_SOURCE_BROKERS_DEFAULT,
                                     CONFIG_SOURCE_PROPERTIES, CONFIG_SOURCE_DEFAULT};
    cr_assert_eq(c.synonyms_count, 5);
    for (uint32_t i = 0; i < 5; i++)
        cr_assert_eq(c.synonyms[i].source, sources[i]);
    cr_assert(is(c.synonyms[1].name, "log.retention.ms"));
    cr_assert(is(c.synonyms[4].name, "log.retention.hours") && is(c.synonyms[4].value, "168"));
}

Test(configs, the_defaults_of_all_brokers_are_what_was_set_there)
{
    cr_assert_eq(describe(RESOURCE_BROKER, "", NULL).configs_count, 0);
    set(RESOURCE_BROKER, "", "log.retention.ms", "7000");
    struct describe_configs_response_result r = describe(RESOURCE_BROKER, "", NULL);
    cr_assert_eq(r.configs_count, 1);
    cr_assert(is(r.configs[0].name, "log.retention.ms") && is(r.configs[0].value, "7000"));
}

Test(configs, settings_of_single_listeners_are_told_where_they_are_set)
{
    static const struct config_pair file[] = {{"listener.name.a.max.connections", "5"}, {"max.connections", "9"}};
    static const char name[] = "listener.name.a.max.connections";
    struct describe_configs_response_result all = describe(4, "1", NULL);
    f.properties = (struct config_layer){file, 2};
    cr_assert_eq(describe(4, "1", NULL).configs_count, all.configs_count + 1);
    set(4, "", name, "6");
    set(4, "", "listener.name.b.max.connection.creation.rate", "7");
    cr_assert_eq(describe(4, "1", NULL).configs_count, all.configs_count + 2);
    struct describe_configs_response_result one = describe(4, "1", name);
    cr_assert(one.configs_count == 1 && is(one.configs[0].name, name) && is(one.configs[0].value, "6"));
    cr_assert(!one.configs[0].read_only && !one.configs[0].is_default);
    cr_assert_eq(one.configs[0].synonyms_count, 3, "of all brokers, of the file, and the default");
    cr_assert(is(one.configs[0].synonyms[1].value, "5") && is(one.configs[0].synonyms[2].value, "2147483647"));
    cr_assert_eq(describe(4, "", NULL).configs_count, 2);
    struct config_layers l = image_layers(f.image, NULL, 1, f.properties);
    cr_assert_eq(config_listener_int(&l, "a", "max.connections"), 6);
    cr_assert_eq(config_listener_int(&l, "b", "max.connections"), INT32_MAX);
    cr_assert_eq(config_broker_int(&l, "max.connections", 0), 9, "which is a limit of its own");
}

Test(configs, secrets_are_never_told)
{
    struct describe_configs_response_result r = describe(RESOURCE_BROKER, "1", NULL);
    uint32_t secrets = 0;
    for (uint32_t i = 0; i < r.configs_count; i++) {
        if (!r.configs[i].is_sensitive)
            continue;
        secrets++;
        cr_assert_null(r.configs[i].value.p);
        for (uint32_t j = 0; j < r.configs[i].synonyms_count; j++)
            cr_assert_null(r.configs[i].synonyms[j].value.p);
    }
    cr_assert_gt(secrets, 0);
}

Test(configs, resources_that_are_not_here_are_refused)
{
    cr_assert_eq(describe(RESOURCE_TOPIC, "none", NULL).error_code, kerr_of(RC_UNKNOWN_TOPIC_OR_PARTITION));
    cr_assert_eq(describe(RESOURCE_TOPIC, "no good", NULL).error_code, kerr_of(RC_INVALID_TOPIC));
    cr_assert_eq(describe(RESOURCE_BROKER, "2", NULL).error_code, kerr_of(RC_INVALID_REQUEST));
    cr_assert_eq(describe(RESOURCE_BROKER, "one", NULL).error_code, kerr_of(RC_INVALID_REQUEST));
    cr_assert_eq(describe(RESOURCE_BROKER, "123456789012345", NULL).error_code, kerr_of(RC_INVALID_REQUEST));
    cr_assert_eq(describe(RESOURCE_BROKER_LOGGER, "1", NULL).error_code, kerr_of(RC_INVALID_REQUEST));
    cr_assert_eq(describe(99, "x", NULL).error_code, kerr_of(RC_INVALID_REQUEST));
    cr_assert_eq(describe(RESOURCE_GROUP, "", NULL).error_code, kerr_of(RC_INVALID_REQUEST));
}
