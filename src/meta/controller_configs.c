// SPDX-License-Identifier: Apache-2.0
//
// Dynamic configuration: full replacement (AlterConfigs) and single changes (IncrementalAlterConfigs, KIP-339), of
// topics, brokers and consumer groups. The table in config.h says what may be set.
#include "meta/controller_core.h"

#include <stdlib.h>

#include "model/kerr.h"

enum { OP_SET, OP_DELETE, OP_APPEND, OP_SUBTRACT };

// What a resource's overrides are to be: pairs sorted by name.
struct target {
    enum config_scope scope;
    int8_t type;
    struct bytes name;
    bool all_brokers;
    struct config_layer old;
    struct config_pair *pairs;
    size_t count;
};

static bool has_zero(struct bytes b)
{
    return b.n && memchr(b.p, 0, b.n);
}

// Puts, replaces or (value NULL) removes; there is room.
static void pairs_put(struct config_pair *pairs, size_t *count, const char *name, const char *value)
{
    size_t at = 0;
    while (at < *count && strcmp(pairs[at].name, name) < 0)
        at++;
    bool there = at < *count && strcmp(pairs[at].name, name) == 0;
    if (there && value) {
        pairs[at].value = value;
    } else if (there) {
        memmove(&pairs[at], &pairs[at + 1], (--*count - at) * sizeof(pairs[0]));
    } else if (value) {
        memmove(&pairs[at + 1], &pairs[at], ((*count)++ - at) * sizeof(pairs[0]));
        pairs[at] = (struct config_pair){name, value};
    }
}

struct decision_error decide_topic_overrides(struct decision *d, const struct decision_pair *in, uint32_t count,
                                             struct config_layer *out)
{
    struct config_pair *pairs = decision_array(d, count, sizeof(*pairs));
    size_t n = 0;
    for (uint32_t i = 0; pairs && i < count; i++) {
        const char *name = decision_string(d, in[i].name);
        if (!in[i].value.p)
            return DECISION_FAIL(d, RC_INVALID_CONFIG, "Null value not supported for topic configs: %s", name);
        if (has_zero(in[i].name) || has_zero(in[i].value))
            return DECISION_FAIL(d, RC_INVALID_CONFIG, "A zero byte stands in the setting %s", name);
        pairs_put(pairs, &n, name, decision_string(d, in[i].value));
    }
    *out = (struct config_layer){pairs, n};
    if (n == 0 || d->rc != RC_OK)
        return (struct decision_error){0};
    char text[512];
    enum rc rc = topic_config_check(*out, text, sizeof(text));
    return rc == RC_OK ? (struct decision_error){0} : DECISION_FAIL(d, rc, "%s", text);
}

// ---- resources ----

static struct decision_error find_target(struct decision *d, int8_t type, struct bytes name, struct target *t)
{
    *t = (struct target){.type = type, .name = name, .scope = CONFIG_TOPIC};
    const char *text = decision_string(d, name);
    if (type == CONFIG_RESOURCE_TOPIC) {
        const struct image_topic *topic = image_topic_by_name(d->view, name);
        if (!topic)
            return DECISION_FAIL(d, RC_UNKNOWN_TOPIC_OR_PARTITION, "The topic '%s' does not exist.", text);
        t->old = image_topic_configs(topic);
        return (struct decision_error){0};
    }
    if (type == CONFIG_RESOURCE_GROUP) {
        if (name.n == 0)
            return DECISION_FAIL(d, RC_INVALID_REQUEST, "Default group resources are not allowed.");
        t->scope = CONFIG_GROUP;
        t->old = image_group_configs(d->view, name);
        return (struct decision_error){0};
    }
    if (type != CONFIG_RESOURCE_BROKER)
        return DECISION_FAIL(d, RC_INVALID_REQUEST, "Unsupported resource type %d.", type);
    int64_t id = NODE_ID_NONE;
    if (name.n && (has_zero(name) || name.n > 10 || !config_parse_int(text, &id) || id < 0 || id > INT32_MAX))
        return DECISION_FAIL(d, RC_INVALID_REQUEST, "Unable to parse broker name as a base 10 number.");
    if (name.n && !image_node(d->view, (int32_t)id))
        return DECISION_FAIL(d, RC_INVALID_REQUEST, "No broker with id %s is registered.", text);
    t->scope = CONFIG_BROKER;
    t->all_brokers = name.n == 0;
    t->old = image_broker_configs(d->view, (int32_t)id);
    return (struct decision_error){0};
}

// May this key be changed on this resource at all?
static struct decision_error check_key(struct decision *d, const struct target *t, struct bytes name,
                                       const struct config_key **key)
{
    const char *text = decision_string(d, name);
    char why[512];
    *key = has_zero(name) ? NULL : config_find_setting(t->scope, text);
    if (!*key)
        return DECISION_FAIL(d, RC_INVALID_CONFIG, "%s", config_explain_unknown(t->scope, text, why, sizeof(why)));
    if (t->scope != CONFIG_BROKER)
        return (struct decision_error){0};
    if ((*key)->effect == CONFIG_LATER)
        return DECISION_FAIL(d, RC_INVALID_REQUEST, "%s is not supported by this version", text);
    if ((*key)->dynamic == CONFIG_READ_ONLY)
        return DECISION_FAIL(d, RC_INVALID_REQUEST, "Cannot update these configs dynamically: Set(%s)", text);
    if ((*key)->dynamic == CONFIG_PER_BROKER && t->all_brokers)
        return DECISION_FAIL(d, RC_INVALID_REQUEST,
                             "Cannot update these configs at default cluster level, broker id must be specified: "
                             "Set(%s)",
                             text);
    return (struct decision_error){0};
}

static struct decision_error check_target(struct decision *d, const struct target *t)
{
    char text[512];
    struct config_layer layer = {t->pairs, t->count};
    if (t->scope == CONFIG_TOPIC) {
        enum rc rc = topic_config_check(layer, text, sizeof(text));
        return rc == RC_OK ? (struct decision_error){0} : DECISION_FAIL(d, rc, "%s", text);
    }
    if (t->scope == CONFIG_GROUP) {
        struct config_layers l = image_group_layers(d->view, t->name, d->env->self, d->env->properties);
        l.topic = layer;
        enum rc rc = group_config_check(&l, text, sizeof(text));
        return rc == RC_OK ? (struct decision_error){0} : DECISION_FAIL(d, rc, "%s", text);
    }
    for (size_t i = 0; i < t->count; i++) {
        const struct config_key *key = config_find_setting(t->scope, t->pairs[i].name);
        enum rc rc = key ? config_check(key, t->pairs[i].value, text, sizeof(text)) : RC_OK;
        if (rc != RC_OK)
            return DECISION_FAIL(d, rc, "%s", text);
    }
    return (struct decision_error){0};
}

static void put_record(struct decision *d, const struct target *t, const char *name, const char *value)
{
    struct config_record r = {.resource_type = t->type,
                              .resource_name = t->name,
                              .name = bytes_str(name),
                              .value = value ? bytes_str(value) : (struct bytes){0}};
    decision_add(d, &config_record_message, &r);
    bool everywhere = t->type == CONFIG_RESOURCE_BROKER && t->all_brokers;
    if (d->view->elr_count == 0 || (t->type != CONFIG_RESOURCE_TOPIC && !everywhere) ||
        strcmp(name, "min.insync.replicas") != 0)
        return;
    struct elr_cleared_record cleared;
    elr_cleared_record_init(&cleared);
    if (!everywhere)
        cleared.topic_id = image_topic_by_name(d->view, t->name)->id;
    decision_add(d, &elr_cleared_record_message, &cleared);
}

// Records for the difference between what was and what is to be. The old layer stays valid: it belongs to a view that
// is older than what the records change, so it is copied first.
static void add_difference(struct decision *d, const struct target *t)
{
    size_t old = t->old.count;
    struct config_pair *before = decision_array(d, old, sizeof(*before));
    for (size_t i = 0; before && i < old; i++)
        before[i] = (struct config_pair){decision_string(d, bytes_str(t->old.pairs[i].name)),
                                         decision_string(d, bytes_str(t->old.pairs[i].value))};
    if (!before)
        return;
    struct config_layer was = {before, old}, is = {t->pairs, t->count};
    bool found;
    for (size_t i = 0; i < old; i++) {
        config_layer_get(is, before[i].name, &found);
        if (!found)
            put_record(d, t, before[i].name, NULL);
    }
    for (size_t i = 0; i < t->count; i++) {
        const char *value = config_layer_get(was, t->pairs[i].name, &found);
        if (!found || strcmp(value, t->pairs[i].value) != 0)
            put_record(d, t, t->pairs[i].name, t->pairs[i].value);
    }
}

static struct decision_error finish(struct decision *d, const struct target *t)
{
    struct decision_error e = check_target(d, t);
    if (e.rc == RC_OK && d->rc == RC_OK)
        add_difference(d, t);
    return e;
}

// How a resource begins in a request of either kind, and what is said of it.
struct resource_asked {
    int8_t type;
    struct bytes name;
};

struct resource_answer {
    int16_t error_code;
    struct bytes error_message;
    int8_t type;
    struct bytes name;
};

#define ASKED_CHECK(message)                                                                                           \
    _Static_assert(offsetof(struct message, resource_type) == offsetof(struct resource_asked, type) &&                 \
                       offsetof(struct message, resource_name) == offsetof(struct resource_asked, name),               \
                   "a resource whose configuration is to change")
#define ANSWER_CHECK(message)                                                                                          \
    _Static_assert(sizeof(struct message) == sizeof(struct resource_answer) &&                                         \
                       offsetof(struct message, error_message) == offsetof(struct resource_answer, error_message) &&   \
                       offsetof(struct message, resource_type) == offsetof(struct resource_answer, type) &&            \
                       offsetof(struct message, resource_name) == offsetof(struct resource_answer, name),              \
                   "what is said of a resource whose configuration was to change")
ASKED_CHECK(alter_configs_request_resource);
ASKED_CHECK(incremental_alter_configs_request_resource);
ANSWER_CHECK(alter_configs_response_response);
ANSWER_CHECK(incremental_alter_configs_response_response);

typedef struct decision_error (*change_fn)(struct decision *d, const void *resource);

// Changes each resource of a request, unless it stands there twice. Returns the answers, one a resource.
static void *change_resources(struct decision *d, const void *resources, size_t resource_bytes, uint32_t count,
                              change_fn change, uint32_t *answered)
{
    struct resource_answer *answers = decision_array(d, count, sizeof(*answers));
    struct bytes *keys = decision_array(d, count, sizeof(*keys));
    const uint8_t *all = resources;
    for (uint32_t i = 0; keys && i < count; i++) {
        const struct resource_asked *r = (const void *)(all + i * resource_bytes);
        keys[i] = decision_text(d, "%d %s", r->type, decision_string(d, r->name));
    }
    const bool *twice = keys ? decision_duplicates(d, keys, count) : NULL;
    for (uint32_t i = 0; twice && answers && i < count && d->rc == RC_OK; i++) {
        const struct resource_asked *r = (const void *)(all + i * resource_bytes);
        struct decision_error e = twice[i]
                                      ? DECISION_FAIL(d, RC_INVALID_REQUEST, "Each resource must appear at most once.")
                                      : change(d, r);
        answers[(*answered)++] = (struct resource_answer){
            .error_code = kerr_of(e.rc), .error_message = e.text, .type = r->type, .name = r->name};
    }
    return answers;
}

// ---- AlterConfigs ----

static struct decision_error replace_all(struct decision *d, const void *resource)
{
    const struct alter_configs_request_resource *in = resource;
    struct target t;
    struct decision_error e = find_target(d, in->resource_type, in->resource_name, &t);
    if (e.rc != RC_OK)
        return e;
    t.pairs = decision_array(d, in->configs_count, sizeof(*t.pairs));
    for (uint32_t i = 0; t.pairs && i < in->configs_count; i++) {
        const struct config_key *key;
        e = check_key(d, &t, in->configs[i].name, &key);
        if (e.rc != RC_OK)
            return e;
        if (!in->configs[i].value.p || has_zero(in->configs[i].value))
            return DECISION_FAIL(d, RC_INVALID_REQUEST, "Null value not supported for : %s", key->name);
        pairs_put(t.pairs, &t.count, decision_string(d, in->configs[i].name), decision_string(d, in->configs[i].value));
    }
    return t.pairs ? finish(d, &t) : e;
}

void decide_alter_configs(struct decision *d, const struct alter_configs_request *in,
                          struct alter_configs_response *out)
{
    alter_configs_response_init(out);
    d->dry = in->validate_only;
    out->responses = change_resources(d, in->resources, sizeof(*in->resources), in->resources_count, replace_all,
                                      &out->responses_count);
}

// ---- IncrementalAlterConfigs ----

static bool list_has(const char *list, struct bytes word)
{
    const char *rest = list;
    struct bytes w;
    while (config_list_next(&rest, &w))
        if (bytes_eq(w, word))
            return true;
    return false;
}

// The list `from` without the words of `change` (subtract) or with those it lacks (append).
static const char *list_change(struct decision *d, const char *from, const char *change, bool append)
{
    char *out = decision_array(d, strlen(from) + strlen(change) + 2, 1);
    size_t n = 0;
    const char *rest = from;
    struct bytes w;
    for (int pass = 0; out && pass < (append ? 2 : 1); pass++, rest = change)
        while (config_list_next(&rest, &w)) {
            bool skip = pass == 0 ? !append && list_has(change, w) : list_has(from, w);
            if (skip || w.n == 0)
                continue;
            if (n)
                out[n++] = ',';
            memcpy(out + n, w.p, w.n);
            n += w.n;
        }
    return out ? out : "";
}

static struct decision_error change_one(struct decision *d, struct target *t,
                                        const struct incremental_alter_configs_request_config *in)
{
    const struct config_key *key;
    struct decision_error e = check_key(d, t, in->name, &key);
    if (e.rc != RC_OK)
        return e;
    const char *name = decision_string(d, in->name); // the key's, or that of one listener
    if (in->config_operation == OP_DELETE) {
        pairs_put(t->pairs, &t->count, name, NULL);
        return e;
    }
    if (in->config_operation < OP_SET || in->config_operation > OP_SUBTRACT)
        return DECISION_FAIL(d, RC_INVALID_REQUEST, "Unknown operation %d for %s", in->config_operation, name);
    if (!in->value.p || has_zero(in->value))
        return DECISION_FAIL(d, RC_INVALID_REQUEST, "Null value not supported for : %s", name);
    const char *value = decision_string(d, in->value);
    if (in->config_operation != OP_SET) {
        bool append = in->config_operation == OP_APPEND;
        if (key->type != CONFIG_LIST)
            return DECISION_FAIL(d, RC_INVALID_CONFIG, "Can't %s to key %s because its type is not LIST.",
                                 append ? "APPEND" : "SUBTRACT", name);
        bool found;
        struct config_layer now = {t->pairs, t->count};
        const char *old = config_layer_get(now, key->name, &found);
        struct config_layers l = image_layers(d->view, NULL, d->env->self, d->env->properties);
        if (!found)
            old = config_resolve(t->scope, key, &l).value;
        value = list_change(d, old ? old : "", value, append);
    }
    pairs_put(t->pairs, &t->count, name, value);
    return e;
}

static struct decision_error change_some(struct decision *d, const void *resource)
{
    const struct incremental_alter_configs_request_resource *in = resource;
    struct target t;
    struct decision_error e = find_target(d, in->resource_type, in->resource_name, &t);
    if (e.rc != RC_OK)
        return e;
    t.pairs = decision_array(d, t.old.count + in->configs_count, sizeof(*t.pairs));
    if (!t.pairs)
        return e;
    for (size_t i = 0; i < t.old.count; i++)
        t.pairs[t.count++] = (struct config_pair){decision_string(d, bytes_str(t.old.pairs[i].name)),
                                                  decision_string(d, bytes_str(t.old.pairs[i].value))};
    for (uint32_t i = 0; i < in->configs_count; i++) {
        for (uint32_t j = 0; j < i; j++)
            if (bytes_eq(in->configs[i].name, in->configs[j].name))
                return DECISION_FAIL(d, RC_INVALID_REQUEST, "Error due to duplicate config keys");
        e = change_one(d, &t, &in->configs[i]);
        if (e.rc != RC_OK)
            return e;
    }
    return finish(d, &t);
}

void decide_incremental_alter_configs(struct decision *d, const struct incremental_alter_configs_request *in,
                                      struct incremental_alter_configs_response *out)
{
    incremental_alter_configs_response_init(out);
    d->dry = in->validate_only;
    out->responses = change_resources(d, in->resources, sizeof(*in->resources), in->resources_count, change_some,
                                      &out->responses_count);
}
