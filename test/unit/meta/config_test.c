// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include <string.h>

#include "base/assert.h"
#include "meta/config.h"

static const enum config_scope scopes[] = {CONFIG_TOPIC, CONFIG_BROKER, CONFIG_GROUP};

Test(config, rows_are_in_order_and_their_defaults_pass_their_own_rules)
{
    for (size_t s = 0; s < sizeof(scopes) / sizeof(scopes[0]); s++) {
        size_t count;
        char why[512];
        const struct config_key *keys = config_keys(scopes[s], &count);
        for (size_t i = 0; i < count; i++) {
            if (i > 0)
                cr_assert_lt(strcmp(keys[i - 1].name, keys[i].name), 0, "%s", keys[i].name);
            cr_assert_eq(config_find(scopes[s], keys[i].name), &keys[i]);
            cr_assert_eq(config_check(&keys[i], keys[i].value, why, sizeof(why)), RC_OK, "%s", why);
            cr_assert_gt(strlen(keys[i].text), 10);
            for (size_t j = 0; j < CONFIG_SYNONYMS_MAX && keys[i].synonyms[j].name; j++)
                cr_assert_not_null(config_find(CONFIG_BROKER, keys[i].synonyms[j].name), "%s", keys[i].name);
            const struct config_old *old = config_old_find(keys[i].name);
            cr_assert_null(old, "%s is a key and an old name", keys[i].name);
        }
    }
}

Test(config, keys_without_effect_say_what_weir_does_instead)
{
    size_t count;
    const struct config_key *keys = config_keys(CONFIG_BROKER, &count);
    for (size_t i = 0; i < count; i++)
        if (keys[i].effect == CONFIG_ACCEPTED)
            cr_assert(strstr(keys[i].text, "weir"), "%s: %s", keys[i].name, keys[i].text);
}

Test(config, topic_defaults_equal_their_broker_synonyms)
{
    size_t count;
    const struct config_key *keys = config_keys(CONFIG_TOPIC, &count);
    for (size_t i = 0; i < count; i++) {
        const char *name = keys[i].synonyms[0].name;
        if (!name || !config_find(CONFIG_BROKER, name)->value)
            continue;
        cr_assert_str_eq(keys[i].value, config_find(CONFIG_BROKER, name)->value, "%s", keys[i].name);
    }
}

static void refuses(enum config_scope scope, const char *name, const char *value, const char *sentence)
{
    char why[512] = "";
    cr_assert_eq(config_check(config_find(scope, name), value, why, sizeof(why)), RC_INVALID_CONFIG, "%s=%s", name,
                 value);
    cr_assert_str_eq(why, sentence);
}

Test(config, refusals_read_like_kafkas)
{
    refuses(CONFIG_TOPIC, "retention.ms", "soon",
            "Invalid value soon for configuration retention.ms: Not a number of type LONG");
    refuses(CONFIG_TOPIC, "retention.ms", "-2",
            "Invalid value -2 for configuration retention.ms: Value must be at least -1");
    refuses(CONFIG_TOPIC, "segment.bytes", "3000000000",
            "Invalid value 3000000000 for configuration segment.bytes: Not a number of type INT");
    refuses(CONFIG_TOPIC, "segment.bytes", "1024",
            "Invalid value 1024 for configuration segment.bytes: Value must be at least 1048576");
    refuses(CONFIG_TOPIC, "cleanup.policy", "delete,shred",
            "Invalid value delete,shred for configuration cleanup.policy: String must be one of: compact, delete");
    refuses(CONFIG_TOPIC, "min.cleanable.dirty.ratio", "1.5",
            "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1");
    refuses(CONFIG_TOPIC, "preallocate", "maybe",
            "Invalid value maybe for configuration preallocate: Expected value to be either true or false");
    refuses(CONFIG_TOPIC, "compression.gzip.level", "0",
            "Invalid value 0 for configuration compression.gzip.level: Value must be at least 1 or -1");
    refuses(CONFIG_TOPIC, "retention.ms", NULL,
            "Invalid value null for configuration retention.ms: Value must be non-null");
    refuses(CONFIG_BROKER, "memory", "a lot",
            "Invalid value a lot for configuration memory: Expected a number of bytes such as 512MiB");
}

Test(config, limits_of_single_addresses)
{
    static const char *const good[] = {"", "10.0.0.1:5", "[::1]:0, 2001:db8::7:12,1:2:3:4:5:6:7:8:2147483647"};
    static const char *const bad[] = {"10.0.0.1",    "10.0.0:1",        "10.0.0.256:1",      "10.0.0.01:1", "10.0.0.1.:1",
                                      "host:1",      "[10.0.0.1]:1",    "1:2:3:4:5:6:7:1",   "::1::2:5",    ":1:2:3:4:5:6:7:8:1",
                                      "10.0.0.1:-1", "10.0.0.1:",       "1::2345f:3",        "10.0.0.1:1,,", "10.0.0.1:2147483648",
                                      ":5",          "10.0.0.1:5 6"};
    for (size_t i = 0; i < ARRAY_COUNT(good); i++)
        cr_assert(config_overrides_valid(good[i]), "%s", good[i]);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        cr_assert_not(config_overrides_valid(bad[i]), "%s", bad[i]);
    const char *rest = good[2];
    struct bytes address;
    int64_t count;
    cr_assert(config_override_next(&rest, &address, &count) && bytes_eq(address, bytes_str("::1")) && count == 0);
    cr_assert(config_override_next(&rest, &address, &count) && bytes_eq(address, bytes_str("2001:db8::7")) && count == 12);
    cr_assert(config_override_next(&rest, &address, &count) && count == INT32_MAX);
    cr_assert_not(config_override_next(&rest, &address, &count));
    refuses(CONFIG_BROKER, "max.connections.per.ip.overrides", "me:1",
            "Invalid value me:1 for configuration max.connections.per.ip.overrides: Expected ADDRESS:COUNT,... with "
            "addresses such as 10.0.0.1 or [::1], not names");
}

Test(config, unknown_names_get_an_answer)
{
    static const struct {
        enum config_scope scope;
        const char *name, *part;
    } cases[] = {
        {CONFIG_TOPIC, "retension.ms", "did you mean retention.ms?"},
        {CONFIG_TOPIC, "segment.byte", "did you mean segment.bytes?"},
        {CONFIG_BROKER, "log.segment.ms", "did you mean log.roll.ms?"},
        {CONFIG_BROKER, "log.clenup.policy", "did you mean log.cleanup.policy?"},
        {CONFIG_BROKER, "max.message.size", "message.max.bytes"},
        {CONFIG_BROKER, "zookeeper.connect", "--peers"},
        {CONFIG_BROKER, "zookeeper.session.timeout.ms", "broker.session.timeout.ms"},
        {CONFIG_BROKER, "zookeeper.set.acl", "there is no ZooKeeper"},
        {CONFIG_BROKER, "server.1", "--peers"},
        {CONFIG_BROKER, "receie.buffer.bytes", "socket.receive.buffer.bytes"},
        {CONFIG_BROKER, "replica.lag.max.messages", "replica.lag.time.max.ms"},
        {CONFIG_BROKER, "retention.ms", "it is a key of topics"},
        {CONFIG_TOPIC, "log.retention.ms", "it is a key of brokers"},
        {CONFIG_BROKER, "num.patritions", "did you mean num.partitions?"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[512];
        config_explain_unknown(cases[i].scope, cases[i].name, text, sizeof(text));
        cr_assert(strstr(text, cases[i].part), "%s: %s", cases[i].name, text);
        cr_assert(strstr(text, cases[i].name));
    }
    cr_assert_null(config_nearest(CONFIG_TOPIC, "something.else.altogether"));
    cr_assert_eq(config_old_find("broker.id")->kind, CONFIG_OLD_ALIAS);
    cr_assert_eq(config_old_find("port")->kind, CONFIG_OLD_MAPPED);
}

Test(config, smaller_units_win_and_layers_go_from_near_to_far)
{
    struct config_pair file[] = {{"log.retention.hours", "1"}, {"log.retention.minutes", "5"}};
    struct config_pair all[] = {{"log.retention.ms", "777"}};
    struct config_pair own[] = {{"log.retention.ms", "888"}};
    struct config_pair topic[] = {{"retention.ms", "999"}};
    struct config_layers l = {.properties = {file, 1}};
    struct topic_config c;
    topic_config_resolve(&c, &l);
    cr_assert_eq(c.retention_ms, 3600000);
    l.properties.count = 2;
    topic_config_resolve(&c, &l);
    cr_assert_eq(c.retention_ms, 300000);
    cr_assert_eq(config_broker_int(&l, "log.retention.ms", 0), 300000);
    l.brokers_default = (struct config_layer){all, 1};
    topic_config_resolve(&c, &l);
    cr_assert_eq(c.retention_ms, 777);
    l.broker = (struct config_layer){own, 1};
    topic_config_resolve(&c, &l);
    cr_assert_eq(c.retention_ms, 888);
    l.topic = (struct config_layer){topic, 1};
    topic_config_resolve(&c, &l);
    cr_assert_eq(c.retention_ms, 999);

    struct config_value v[CONFIG_VALUES_MAX];
    size_t n = config_resolve_all(CONFIG_TOPIC, config_find(CONFIG_TOPIC, "retention.ms"), &l, v);
    static const enum config_source order[] = {CONFIG_SOURCE_TOPIC,           CONFIG_SOURCE_BROKER,
                                               CONFIG_SOURCE_BROKERS_DEFAULT, CONFIG_SOURCE_PROPERTIES,
                                               CONFIG_SOURCE_PROPERTIES,      CONFIG_SOURCE_DEFAULT};
    cr_assert_eq(n, 6);
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(v[i].source, order[i]);
    char scratch[24];
    cr_assert_str_eq(v[3].name, "log.retention.minutes");
    cr_assert_str_eq(config_value_text(&v[3], scratch, sizeof(scratch)), "300000");
}

Test(config, a_topic_without_settings_has_kafkas_defaults)
{
    struct topic_config c;
    topic_config_resolve(&c, &(struct config_layers){0});
    cr_assert_eq(c.retention_ms, 604800000);
    cr_assert_eq(c.retention_bytes, -1);
    cr_assert_eq(c.segment_bytes, 1 << 30);
    cr_assert_eq(c.segment_ms, 604800000);
    cr_assert_eq(c.segment_jitter_ms, 0);
    cr_assert_eq(c.flush_messages, INT64_MAX);
    cr_assert_eq(c.flush_ms, INT64_MAX);
    cr_assert_eq(c.max_message_bytes, 1048588);
    cr_assert_eq(c.timestamp_after_max_ms, 3600000);
    cr_assert_eq(c.compression, CONFIG_COMPRESSION_PRODUCER);
    cr_assert(c.cleanup_delete && !c.cleanup_compact && !c.log_append_time && !c.unclean_leader_election);
    cr_assert_eq(config_broker_int(&(struct config_layers){0}, "log.retention.ms", 0), 604800000);
}

Test(config, a_set_of_overrides_is_checked_as_a_whole)
{
    char why[512];
    struct config_pair lag[] = {{"max.compaction.lag.ms", "10"}, {"min.compaction.lag.ms", "20"}};
    cr_assert_eq(topic_config_check((struct config_layer){lag, 2}, why, sizeof(why)), RC_INVALID_CONFIG);
    cr_assert(strstr(why, "(20) > max.compaction.lag.ms (10)"));
    struct config_pair tier[] = {{"remote.storage.enable", "true"}};
    cr_assert_eq(topic_config_check((struct config_layer){tier, 1}, why, sizeof(why)), RC_INVALID_CONFIG);
    tier[0].value = "false";
    cr_assert_eq(topic_config_check((struct config_layer){tier, 1}, why, sizeof(why)), RC_OK);
    struct config_pair both[] = {{"cleanup.policy", "compact, delete"}, {"compression.type", "zstd"}};
    cr_assert_eq(topic_config_check((struct config_layer){both, 2}, why, sizeof(why)), RC_OK);
    struct topic_config c;
    topic_config_resolve(&c, &(struct config_layers){.topic = {both, 2}});
    cr_assert(c.cleanup_compact && c.cleanup_delete && c.compression == CONFIG_COMPRESSION_ZSTD);
}

Test(config, numbers)
{
    int64_t n;
    double d;
    cr_assert(config_parse_size("64MiB", &n) && n == 64 << 20);
    cr_assert(config_parse_size(" 2 g", &n) && n == 2LL << 30);
    cr_assert(!config_parse_size("9999999999999999g", &n) && !config_parse_size("x", &n) && !config_parse_size("", &n));
    cr_assert(config_parse_int(" -5 ", &n) && n == -5);
    cr_assert(!config_parse_int("5x", &n) && !config_parse_int("", &n) && !config_parse_int("0x10", &n));
    cr_assert(!config_parse_int("99999999999999999999", &n));
    cr_assert(config_parse_double("1.7976931348623157E308", &d) && d > 1e300);
    cr_assert(!config_parse_double("nan", &d) && !config_parse_double("inf", &d));
}
