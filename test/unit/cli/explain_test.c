// SPDX-License-Identifier: Apache-2.0
//
// weir admin configs explain, word for word: without a broker, and with answers as brokers give them.
#include <criterion/criterion.h>
#include <string.h>

#include "base/assert.h"
#include "cli/configs_explain.h"

static struct buf out;
static struct arena arena;

static struct explain_context fresh(void)
{
    buf_deinit(&out);
    buf_init(&out, 1 << 20);
    arena_deinit(&arena);
    arena_init(&arena, 16 << 20, NULL, 0);
    return (struct explain_context){.out = &out,
                                    .arena = &arena,
                                    .topic = {.where = "topic 'orders'", .unknown = "nobody answers"},
                                    .broker = {.where = "broker 1", .unknown = "nobody answers"}};
}

static const char *printed(void)
{
    buf_append(&out, "", 1);
    cr_assert_not(out.failed);
    return (const char *)out.p;
}

// ------------------------------------------------------------------------------------------------ without a broker

Test(explain, key_of_one_listener)
{
    struct explain_context c = fresh();
    cr_assert(explain_name(&c, "listener.name.client.max.connections"));
    cr_assert_str_eq(printed(),
                     "KEY       listener.name.client.max.connections\n"
                     "is        a key of brokers\n"
                     "means     Connections the node holds at most, the file limit may lower it; further ones are refused. Of "
                     "one listener: listener.name.NAME.max.connections.\n"
                     "in weir   used\n"
                     "type      int\n"
                     "values    0 to 2147483647\n"
                     "default   2147483647\n"
                     "changes   at the start, and at any time for one broker or for all\n"
                     "in force  unknown: nobody answers\n");
    struct describe_configs_response_result none = {0};
    c = fresh();
    c.broker = (struct explain_resource){.where = "broker 1", .result = &none};
    cr_assert(explain_name(&c, "listener.name.client.max.connections"));
    cr_assert(strstr(printed(), "in force  none, on broker 1\nfrom      default\n"));
    c = fresh();
    cr_assert_not(explain_name(&c, "listener.name.client.retention.ms"), "a key in which listeners do not differ");
}

Test(explain, key_of_topics)
{
    struct explain_context c = fresh();
    cr_assert(explain_name(&c, "retention.ms"));
    cr_assert_str_eq(printed(),
                     "KEY         retention.ms\n"
                     "is          a key of topics\n"
                     "means       Time records are kept before their segment may be deleted; -1 is for ever.\n"
                     "in weir     used\n"
                     "type        long\n"
                     "values      -1 or more\n"
                     "default     604800000 (7 days)\n"
                     "if not set  log.retention.ms of the broker, else log.retention.minutes x 60000, else "
                     "log.retention.hours x 3600000, else the default\n"
                     "changes     on a topic, at any time\n"
                     "in force    unknown: nobody answers\n");
}

Test(explain, key_of_brokers)
{
    struct explain_context c = fresh();
    cr_assert(explain_name(&c, "log.retention.hours"));
    cr_assert_str_eq(
        printed(),
        "KEY       log.retention.hours\n"
        "is        a key of brokers\n"
        "means     Default of retention.ms in hours; log.retention.minutes and log.retention.ms come first.\n"
        "in weir   used\n"
        "type      int\n"
        "values    -2147483648 to 2147483647\n"
        "default   168\n"
        "supplies  retention.ms of topics, x 3600000, unless log.retention.ms or log.retention.minutes is "
        "set\n"
        "supplies  log.retention.ms of brokers, x 3600000, unless log.retention.minutes is set\n"
        "changes   only at the start of a broker (file, WEIR_ variable, --set)\n"
        "in force  unknown: nobody answers\n");
}

Test(explain, default_that_an_older_unit_supplies)
{
    struct explain_context c = fresh();
    cr_assert(explain_name(&c, "log.roll.ms"));
    cr_assert(strstr(printed(), "\ndefault     604800000 (7 days), by log.roll.hours=168\n"
                                "if not set  log.roll.hours x 3600000, else the default\n"
                                "supplies    segment.ms of topics\n"));
}

Test(explain, key_of_both_has_two_tables)
{
    struct explain_context c = fresh();
    cr_assert(explain_name(&c, "compression.type"));
    const char *text = printed(),
               *second = strstr(text, "\n\nKEY       compression.type\nis        a key of brokers\n");
    cr_assert_eq(strstr(text, "KEY         compression.type\nis          a key of topics\n"), text);
    cr_assert(second && strstr(second, "\nsupplies  compression.type of topics\n"));
}

Test(explain, name_of_zookeepers_times)
{
    struct explain_context c = fresh();
    cr_assert_not(explain_name(&c, "zookeeper.connect"));
    cr_assert_str_eq(printed(),
                     "KEY      zookeeper.connect\n"
                     "is       a setting of ZooKeeper's times\n"
                     "in weir  refused: there is no ZooKeeper: name the nodes of the cluster with --peers "
                     "ID@HOST:PORT,... (controller.quorum.voters), or nothing for a single node\n"
                     "instead  controller.quorum.voters: Members of the quorum as ID@HOST:PORT,...; the same as "
                     "--peers.\n");
}

Test(explain, name_often_misspelt)
{
    struct explain_context c = fresh();
    cr_assert_not(explain_name(&c, "log.segment.ms"));
    cr_assert_str_eq(printed(), "KEY      log.segment.ms\n"
                                "is       not a key, but often written\n"
                                "in weir  refused: no such key\n"
                                "instead  log.roll.ms: Default of segment.ms.\n");
}

Test(explain, older_name_that_is_read)
{
    struct explain_context c = fresh();
    cr_assert(explain_name(&c, "broker.id"), "it is no error");
    cr_assert_str_eq(printed(), "KEY      broker.id\n"
                                "is       an older name that is still read\n"
                                "in weir  read: renamed to node.id\n"
                                "instead  node.id: Number of this node, unique in the cluster. The same as --id.\n");
}

Test(explain, unknown_names)
{
    struct explain_context c = fresh();
    cr_assert_not(explain_name(&c, "retention.mss"));
    cr_assert_not(explain_name(&c, "a|b\n"));
    cr_assert_str_eq(
        printed(), "KEY      retention.mss\n"
                   "is       not a key of topics or of brokers\n"
                   "in weir  refused\n"
                   "nearest  retention.ms: Time records are kept before their segment may be deleted; -1 is for ever.\n"
                   "\n"
                   "KEY      a?b\\x0a\n"
                   "is       not a key of topics or of brokers\n"
                   "in weir  refused\n");
}

Test(explain, every_key_says_what_weir_does_with_it)
{
    for (int scope = CONFIG_TOPIC; scope <= CONFIG_BROKER; scope++) {
        size_t count;
        const struct config_key *keys = config_keys((enum config_scope)scope, &count);
        cr_assert_gt(count, 30);
        for (size_t i = 0; i < count; i++) {
            struct explain_context c = fresh();
            const char *words = keys[i].effect == CONFIG_USED       ? "used\n"
                                : keys[i].effect == CONFIG_ACCEPTED ? "accepted without effect"
                                                                    : "refused: ";
            explain_key(&c, (enum config_scope)scope, &keys[i]);
            const char *row = strstr(printed(), "\nin weir ");
            cr_assert(row, "%s", keys[i].name);
            row += strlen("\nin weir ");
            row += strspn(row, " ");
            cr_assert_eq(strncmp(row, words, strlen(words)), 0, "%s: %s", keys[i].name, row);
        }
    }
}

// ------------------------------------------------------------------------------------------------ with answers

static struct describe_configs_response_synonym synonym(const char *name, const char *value, int8_t source)
{
    return (struct describe_configs_response_synonym){
        .name = bytes_str(name), .value = value ? bytes_str(value) : bytes_of(NULL, 0), .source = source};
}

// A broker as Kafka answers for one: the unit that is not set has no value.
static void answer_hours(struct explain_context *c)
{
    static struct describe_configs_response_synonym hours[2];
    static struct describe_configs_response_config configs[3];
    static struct describe_configs_response_result result = {.configs = configs, .configs_count = 3};
    hours[0] = synonym("log.retention.hours", "48", CONFIG_SOURCE_PROPERTIES);
    hours[1] = synonym("log.retention.hours", "168", CONFIG_SOURCE_DEFAULT);
    configs[0] = (struct describe_configs_response_config){
        .name = bytes_str("log.retention.ms"), .config_source = CONFIG_SOURCE_DEFAULT, .is_default = true};
    configs[1] = (struct describe_configs_response_config){.name = bytes_str("log.retention.hours"),
                                                           .value = bytes_str("48"),
                                                           .config_source = CONFIG_SOURCE_PROPERTIES,
                                                           .synonyms = hours,
                                                           .synonyms_count = 2};
    configs[2] = (struct describe_configs_response_config){
        .name = bytes_str("ssl.key.password"), .config_source = CONFIG_SOURCE_PROPERTIES, .is_sensitive = true};
    c->broker.result = &result;
    c->broker.unknown = NULL;
}

Test(explain, topics_inherit_and_the_unit_is_scaled)
{
    struct explain_context c = fresh();
    answer_hours(&c);
    explain_name(&c, "retention.ms");
    cr_assert(strstr(printed(), "\nin force    172800000 (2 days), on topics of broker 1 that do not set it\n"
                                "from        configuration file\n"
                                "set by      log.retention.hours=48 (configuration file)\n"
                                "behind it   log.retention.hours=168 (default)\n"));
}

Test(explain, topics_inherit_the_default_of_keys_no_broker_key_supplies)
{
    struct explain_context c = fresh();
    answer_hours(&c);
    explain_name(&c, "remote.storage.enable");
    cr_assert(strstr(printed(), "\nin force  false, on topics of broker 1 that do not set it\nfrom      default\n"));
}

Test(explain, value_of_a_topic)
{
    struct explain_context c = fresh();
    struct describe_configs_response_synonym places[] = {synonym("retention.ms", "5000", CONFIG_SOURCE_TOPIC)};
    struct describe_configs_response_config config = {.name = bytes_str("retention.ms"),
                                                      .value = bytes_str("5000"),
                                                      .config_source = CONFIG_SOURCE_TOPIC,
                                                      .synonyms = places,
                                                      .synonyms_count = ARRAY_COUNT(places)};
    struct describe_configs_response_result result = {.configs = &config, .configs_count = 1};
    c.with_topic = true;
    c.topic.result = &result;
    explain_name(&c, "retention.ms");
    explain_name(&c, "segment.ms");
    const char *text = printed();
    cr_assert(strstr(text, "\nin force    5000 (5 seconds), on topic 'orders'\n"
                           "from        topic\n"
                           "set by      retention.ms=5000 (topic)\n"));
    cr_assert(strstr(text, "\nin force    unknown: the broker does not list this key\n"));
}

Test(explain, secrets_stay_hidden_and_null_is_none)
{
    struct explain_context c = fresh();
    answer_hours(&c);
    explain_name(&c, "ssl.key.password");
    explain_name(&c, "log.retention.ms");
    const char *text = printed();
    cr_assert(strstr(text, "\nin force  (hidden), on broker 1\nfrom      configuration file\n"));
    cr_assert(strstr(text, "\nin force    none, on broker 1\nfrom        default\n"));
}

Test(explain, json_has_every_member_always)
{
    struct explain_context c = fresh();
    struct json j;
    json_init(&j, &out, false);
    c.json = &j;
    json_put_array(&j);
    cr_assert(explain_name(&c, "log.roll.hours"));
    cr_assert_not(explain_name(&c, "log.segment.ms"));
    cr_assert_not(explain_name(&c, "retention.mss"));
    json_put_array_end(&j);
    cr_assert_str_eq(
        printed(),
        "[{\"name\":\"log.roll.hours\",\"status\":\"key\",\"explanation\":null,\"instead\":null,\"nearest\":[],"
        "\"scopes\":[{\"scope\":\"broker\",\"documentation\":\"Default of segment.ms in hours; log.roll.ms comes "
        "first.\",\"type\":\"int\",\"values\":\"1 to 2147483647\",\"default\":\"168\",\"dynamic\":\"read_only\","
        "\"effect\":\"used\",\"inherits\":[],\"supplies\":[{\"scope\":\"topic\",\"name\":\"segment.ms\","
        "\"scale\":3600000},{\"scope\":\"broker\",\"name\":\"log.roll.ms\",\"scale\":3600000}],"
        "\"in_force\":{\"known\":false,\"unknown_because\":\"nobody answers\",\"where\":\"broker 1\","
        "\"inherited\":false,\"value\":null,\"sensitive\":false,\"source\":null,\"places\":[]}}]},"
        "{\"name\":\"log.segment.ms\",\"status\":\"misspelt\",\"explanation\":\"no such key\","
        "\"instead\":\"log.roll.ms\",\"nearest\":[],\"scopes\":[]},"
        "{\"name\":\"retention.mss\",\"status\":\"unknown\",\"explanation\":null,\"instead\":null,"
        "\"nearest\":[\"retention.ms\"],\"scopes\":[]}]");
}
