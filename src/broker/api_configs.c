// SPDX-License-Identifier: Apache-2.0
//
// DescribeConfigs: every key of the one table with its value, where the value comes from, and the other places that
// have one. Topics, groups, this broker, and the dynamic defaults of all brokers (an empty name).
#include "broker/api_configs.h"

#include "broker/api.h"
#include "model/kerr.h"

enum { VALUE_SCRATCH_BYTES = 32, NAME_BYTES_SHOWN = 256 };

struct describe {
    const struct configs_view *view;
    const struct describe_configs_request *in;
    struct arena *arena;
    bool nomem;
};

// One resource: which keys, through which layers.
struct describe_target {
    enum config_scope scope;
    struct config_layers layers;
    bool only_set; // of all brokers: what is set, nothing else
};

static struct bytes text_of(const char *s)
{
    return s ? bytes_str(s) : bytes_of(NULL, 0);
}

// The text of v that lives as long as the answer; null for what must not be shown.
static struct bytes describe_value(struct describe *d, const struct config_key *key, const struct config_value *v)
{
    if (config_sensitive(key))
        return bytes_of(NULL, 0);
    char scratch[VALUE_SCRATCH_BYTES];
    const char *text = config_value_text(v, scratch, sizeof(scratch));
    if (text == scratch) {
        text = arena_copy(d->arena, scratch, strlen(scratch));
        d->nomem |= !text;
    }
    return text_of(text);
}

// A topic's default is said to come from the broker key that supplies it, as Kafka does.
static struct config_value describe_origin(const struct describe_target *t, const struct config_key *key,
                                           const struct config_value *v)
{
    if (t->scope == CONFIG_BROKER || v->source != CONFIG_SOURCE_DEFAULT)
        return *v;
    for (size_t i = 0; i < CONFIG_SYNONYMS_MAX && key->synonyms[i].name; i++) {
        const struct config_key *broker = config_find(CONFIG_BROKER, key->synonyms[i].name);
        if (broker && broker->value)
            return (struct config_value){
                .name = broker->name, .value = broker->value, .scale = 1, .source = CONFIG_SOURCE_DEFAULT};
    }
    return *v;
}

static void describe_synonyms(struct describe *d, const struct describe_target *t, const struct config_key *key,
                              const struct config_value *values, size_t count,
                              struct describe_configs_response_config *out)
{
    out->synonyms = arena_array(d->arena, count, sizeof(*out->synonyms));
    if (!out->synonyms) {
        d->nomem = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct describe_configs_response_synonym *s = &out->synonyms[out->synonyms_count++];
        struct config_value v = describe_origin(t, key, &values[i]);
        s->name = text_of(v.name);
        s->value = config_sensitive(key) ? bytes_of(NULL, 0) : text_of(v.value);
        s->source = (int8_t)v.source;
    }
}

static void describe_key(struct describe *d, const struct describe_target *t, const struct config_key *key,
                         struct describe_configs_response_config *out)
{
    struct config_value values[CONFIG_VALUES_MAX];
    size_t count = config_resolve_all(t->scope, key, &t->layers, values);
    describe_configs_response_config_init(out);
    out->name = text_of(key->name);
    out->value = describe_value(d, key, &values[0]);
    out->read_only = t->scope == CONFIG_BROKER && key->dynamic == CONFIG_READ_ONLY;
    out->is_default = values[0].source == CONFIG_SOURCE_DEFAULT;
    out->config_source = (int8_t)values[0].source;
    out->is_sensitive = config_sensitive(key);
    out->config_type = (int8_t)key->type;
    if (d->in->include_synonyms)
        describe_synonyms(d, t, key, values, count, out);
    out->documentation = d->in->include_documentation ? text_of(key->text) : bytes_of(NULL, 0); // null unless asked for
}

static bool describe_wanted(const struct describe_configs_request_resource *r, const struct describe_target *t,
                            const struct config_key *key)
{
    if (t->only_set) {
        bool found;
        config_layer_get(t->layers.brokers_default, key->name, &found);
        if (!found)
            return false;
    }
    if (r->configuration_keys_count == 0)
        return true;
    struct bytes name = bytes_str(key->name);
    for (uint32_t i = 0; i < r->configuration_keys_count; i++)
        if (bytes_eq(r->configuration_keys[i], name))
            return true;
    return false;
}

// The setting of one listener, where one is set: a row of its own.
static void describe_listener(struct describe *d, const struct describe_configs_request_resource *r,
                              const struct describe_target *t, const char *name,
                              struct describe_configs_response_result *out)
{
    struct bytes listener;
    const struct config_key *key = config_find_listener(name, &listener);
    if (!key)
        return;
    struct config_key own = *key;
    own.name = name;
    if (describe_wanted(r, t, &own))
        describe_key(d, t, &own, &out->configs[out->configs_count++]);
}

static void describe_listeners(struct describe *d, const struct describe_configs_request_resource *r,
                               const struct describe_target *t, struct describe_configs_response_result *out)
{
    const struct config_layer layers[] = {t->layers.broker, t->layers.brokers_default, t->layers.properties};
    for (size_t i = 0; i < ARRAY_COUNT(layers); i++)
        for (size_t j = 0; j < layers[i].count; j++) {
            bool seen = false, found;
            for (size_t before = 0; before < i; before++) {
                config_layer_get(layers[before], layers[i].pairs[j].name, &found);
                seen = seen || found;
            }
            if (!seen)
                describe_listener(d, r, t, layers[i].pairs[j].name, out);
        }
}

static void describe_keys(struct describe *d, const struct describe_configs_request_resource *r,
                          const struct describe_target *t, struct describe_configs_response_result *out)
{
    size_t key_count, wanted = 0;
    const struct config_key *keys = config_keys(t->scope, &key_count);
    for (size_t i = 0; i < key_count; i++)
        wanted += describe_wanted(r, t, &keys[i]);
    if (t->scope == CONFIG_BROKER) // as many again as are set, at most
        wanted += t->layers.broker.count + t->layers.brokers_default.count + t->layers.properties.count;
    out->configs = arena_array(d->arena, wanted, sizeof(*out->configs));
    if (!out->configs) {
        d->nomem = true;
        return;
    }
    for (size_t i = 0; i < key_count; i++)
        if (describe_wanted(r, t, &keys[i]))
            describe_key(d, t, &keys[i], &out->configs[out->configs_count++]);
    if (t->scope == CONFIG_BROKER)
        describe_listeners(d, r, t, out);
}

static void describe_fail(struct describe *d, struct describe_configs_response_result *out, enum rc rc, char *text)
{
    d->nomem |= !text;
    out->error_code = kerr_of(rc);
    out->error_message = text_of(text);
}

static bool describe_topic(struct describe *d, const struct describe_configs_request_resource *r,
                           struct describe_target *t, struct describe_configs_response_result *out)
{
    const struct image *image = d->view->image;
    const struct image_topic *topic = image_topic_by_name(image, r->resource_name);
    if (!topic) {
        bool valid = topic_name_valid(r->resource_name);
        describe_fail(d, out, valid ? RC_UNKNOWN_TOPIC_OR_PARTITION : RC_INVALID_TOPIC,
                      arena_printf(d->arena, valid ? "This server does not host this topic-partition."
                                                   : "The request attempted to perform an operation on an invalid "
                                                     "topic."));
        return false;
    }
    *t = (struct describe_target){.scope = CONFIG_TOPIC,
                                  .layers = image_layers(image, topic, d->view->node, d->view->properties)};
    return true;
}

static bool describe_broker(struct describe *d, const struct describe_configs_request_resource *r,
                            struct describe_target *t, struct describe_configs_response_result *out)
{
    enum { ID_CHARS_MAX = 11 };
    char text[ID_CHARS_MAX + 1] = "";
    int64_t id = NODE_ID_NONE;
    *t = (struct describe_target){.scope = CONFIG_BROKER};
    if (r->resource_name.n == 0) {
        t->only_set = true;
        t->layers.brokers_default = image_broker_configs(d->view->image, NODE_ID_NONE);
        return true;
    }
    if (r->resource_name.n <= ID_CHARS_MAX)
        memcpy(text, r->resource_name.p, r->resource_name.n);
    if (!config_parse_int(text, &id)) {
        describe_fail(d, out, RC_INVALID_REQUEST,
                      arena_printf(d->arena, "Broker id must be an integer, but it is: %.*s",
                                   (int)(r->resource_name.n < NAME_BYTES_SHOWN ? r->resource_name.n : NAME_BYTES_SHOWN),
                                   r->resource_name.p));
        return false;
    }
    if (id != d->view->node) {
        describe_fail(d, out, RC_INVALID_REQUEST,
                      arena_printf(d->arena, "Unexpected broker id, expected %d or empty string, but received %s",
                                   d->view->node, text));
        return false;
    }
    t->layers = image_layers(d->view->image, NULL, d->view->node, d->view->properties);
    return true;
}

static bool describe_group(struct describe *d, const struct describe_configs_request_resource *r,
                           struct describe_target *t, struct describe_configs_response_result *out)
{
    if (r->resource_name.n == 0) {
        describe_fail(d, out, RC_INVALID_REQUEST, arena_printf(d->arena, "Group name must not be empty"));
        return false;
    }
    // Of any name: a group may be configured before its first member comes.
    *t = (struct describe_target){
        .scope = CONFIG_GROUP,
        .layers = image_group_layers(d->view->image, r->resource_name, d->view->node, d->view->properties)};
    return true;
}

static void describe_resource(struct describe *d, const struct describe_configs_request_resource *r,
                              struct describe_configs_response_result *out)
{
    describe_configs_response_result_init(out);
    out->resource_type = r->resource_type;
    out->resource_name = r->resource_name;
    struct describe_target t = {0};
    bool found = false;
    switch (r->resource_type) {
    case RESOURCE_TOPIC:
        found = describe_topic(d, r, &t, out);
        break;
    case RESOURCE_BROKER:
        found = describe_broker(d, r, &t, out);
        break;
    case RESOURCE_GROUP:
        found = describe_group(d, r, &t, out);
        break;
    case RESOURCE_BROKER_LOGGER:
        describe_fail(d, out, RC_INVALID_REQUEST,
                      arena_printf(d->arena, "This broker has no loggers whose levels could be read or changed."));
        break;
    default:
        describe_fail(d, out, RC_INVALID_REQUEST,
                      arena_printf(d->arena, "Unsupported resource type: %d", r->resource_type));
        break;
    }
    if (found)
        describe_keys(d, r, &t, out);
}

enum rc configs_describe(const struct configs_view *view, const struct describe_configs_request *in, struct arena *a,
                         struct describe_configs_response *out)
{
    struct describe d = {.view = view, .in = in, .arena = a};
    describe_configs_response_init(out);
    out->results = arena_array(a, in->resources_count, sizeof(*out->results));
    if (!out->results)
        return RC_NOMEM;
    for (uint32_t i = 0; i < in->resources_count && !d.nomem; i++)
        describe_resource(&d, &in->resources[i], &out->results[out->results_count++]);
    return d.nomem ? RC_NOMEM : RC_OK;
}

void api_describe_configs_begin(struct request *rq, const void *message)
{
    enum { RESOURCE_BYTES = 96 << 10 }; // a broker with its synonyms; a topic takes a fifth of that
    const struct describe_configs_request *in = message;
    const struct engine *e = rq->bs->engine->engine;
    struct configs_view view = {
        .image = engine_image(rq->bs->engine), .node = e->config.node_id, .properties = e->config.properties};
    struct describe_configs_response out;
    api_answer_reserve(rq, (size_t)(in->resources_count + 1) * RESOURCE_BYTES);
    if (configs_describe(&view, in, &rq->arena, &out) == RC_OK)
        request_answer(rq, &out);
    else
        api_fail_memory(rq);
}
