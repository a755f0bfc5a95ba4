// SPDX-License-Identifier: Apache-2.0
//
// One key in one scope: what the table of keys says, then the value in force. Each row of the table for people and each
// member of the JSON object comes from the same function, so that the two cannot differ.
#include <float.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "cli/configs_explain.h"

enum { TEXT_BYTES_MAX = 1 << 20 };

// ------------------------------------------------------------------------------------------------ words

static const char *type_word(enum config_type type)
{
    switch (type) {
    case CONFIG_BOOLEAN:
        return "boolean";
    case CONFIG_STRING:
        return "string";
    case CONFIG_INT:
        return "int";
    case CONFIG_SHORT:
        return "short";
    case CONFIG_LONG:
        return "long";
    case CONFIG_DOUBLE:
        return "double";
    case CONFIG_LIST:
        return "list";
    case CONFIG_CLASS:
        return "class";
    case CONFIG_PASSWORD:
        break;
    }
    return "password";
}

// What a type allows where no rule narrows it.
static const char *type_allows(enum config_type type)
{
    switch (type) {
    case CONFIG_BOOLEAN:
        return "true or false";
    case CONFIG_INT:
        return "-2147483648 to 2147483647";
    case CONFIG_SHORT:
        return "-32768 to 32767";
    case CONFIG_LONG:
        return "any whole number of 64 bits";
    case CONFIG_DOUBLE:
        return "any number";
    case CONFIG_LIST:
        return "any list, separated by commas";
    case CONFIG_STRING:
    case CONFIG_CLASS:
        return "any text";
    case CONFIG_PASSWORD:
        break;
    }
    return "any text; it is never shown";
}

static void allows(struct buf *out, const struct config_key *key)
{
    const struct config_rule *rule = &key->rule;
    switch (rule->kind) {
    case CONFIG_RULE_ANY:
        buf_printf(out, "%s", type_allows(key->type));
        return;
    case CONFIG_RULE_RANGE:
        if (rule->max < DBL_MAX)
            buf_printf(out, "%.10g to %.10g", rule->min, rule->max);
        else if (key->type == CONFIG_INT || key->type == CONFIG_SHORT)
            buf_printf(out, "%.10g to %d", rule->min, key->type == CONFIG_INT ? INT32_MAX : INT16_MAX);
        else
            buf_printf(out, "%.10g or more", rule->min);
        return;
    case CONFIG_RULE_LEVEL:
        buf_printf(out, "%.10g to %.10g, or -1", rule->min, rule->max);
        return;
    case CONFIG_RULE_SIZE:
        buf_printf(out, "a number of bytes, as 67108864 or 64MiB, or nothing");
        return;
    case CONFIG_RULE_THROTTLE:
        buf_printf(out, "PARTITION:BROKER,..., or *, or nothing");
        return;
    case CONFIG_RULE_OVERRIDES:
        buf_printf(out, "ADDRESS:COUNT,..., or nothing");
        return;
    case CONFIG_RULE_ONE_OF:
    case CONFIG_RULE_LIST_OF:
        break;
    }
    buf_printf(out, rule->kind == CONFIG_RULE_ONE_OF ? "one of " : "one or more of ");
    for (size_t i = 0; rule->choices[i]; i++)
        buf_printf(out, "%s%s", i ? ", " : "", rule->choices[i]);
}

static const char *changes_word(enum config_scope scope, const struct config_key *key)
{
    if (scope == CONFIG_TOPIC)
        return "on a topic, at any time";
    switch (key->dynamic) {
    case CONFIG_READ_ONLY:
        return "only at the start of a broker (file, WEIR_ variable, --set)";
    case CONFIG_PER_BROKER:
        return "at the start, and at any time for one broker";
    case CONFIG_CLUSTER_WIDE:
        break;
    }
    return "at the start, and at any time for one broker or for all";
}

static const char *dynamic_word(enum config_scope scope, const struct config_key *key)
{
    if (scope == CONFIG_TOPIC)
        return "topic";
    switch (key->dynamic) {
    case CONFIG_READ_ONLY:
        return "read_only";
    case CONFIG_PER_BROKER:
        return "per_broker";
    case CONFIG_CLUSTER_WIDE:
        break;
    }
    return "cluster_wide";
}

static const char *effect_words(enum config_effect effect, bool brief)
{
    switch (effect) {
    case CONFIG_USED:
        return "used";
    case CONFIG_ACCEPTED:
        return brief ? "accepted" : "accepted without effect: nothing here corresponds to it";
    case CONFIG_LATER:
        break;
    }
    return brief ? "later" : "refused: it belongs to a feature that this version does not have";
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

// Appends " (7 days)" or " (1 GiB)" to a number that is a whole count of a larger unit.
static void in_words(struct buf *out, const char *name, const char *value)
{
    static const struct {
        const char *suffix, *unit;
        int64_t size;
    } units[] = {{".ms", "day", 86400000},    {".ms", "hour", 3600000},     {".ms", "minute", 60000},
                 {".ms", "second", 1000},     {".bytes", "GiB", 1ll << 30}, {".bytes", "MiB", 1ll << 20},
                 {".bytes", "KiB", 1ll << 10}};
    int64_t n;
    if (!config_parse_int(value, &n) || n <= 0)
        return;
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        if (!ends_with(name, units[i].suffix) || n % units[i].size)
            continue;
        bool plural = n != units[i].size && units[i].suffix[1] == 'm';
        buf_printf(out, " (%" PRId64 " %s%s)", n / units[i].size, units[i].unit, plural ? "s" : "");
        return;
    }
}

// ------------------------------------------------------------------------------------------------ synonyms

static void scaled_name(struct buf *out, const struct config_synonym *s)
{
    buf_printf(out, "%s", s->name);
    if (s->scale != 1)
        buf_printf(out, " x %d", s->scale);
}

// "log.retention.ms of the broker, else log.retention.minutes x 60000, else the default"
static void inherits(struct buf *out, enum config_scope scope, const struct config_key *key)
{
    for (size_t i = 0; i < CONFIG_SYNONYMS_MAX && key->synonyms[i].name; i++) {
        buf_printf(out, i ? ", else " : "");
        scaled_name(out, &key->synonyms[i]);
        if (i == 0 && scope == CONFIG_TOPIC)
            buf_printf(out, " of the broker");
    }
    if (out->n)
        buf_printf(out, ", else the default");
}

static const struct config_synonym *synonym_of(const struct config_key *key, const char *name, size_t *place)
{
    for (size_t i = 0; i < CONFIG_SYNONYMS_MAX && key->synonyms[i].name; i++)
        if (strcmp(key->synonyms[i].name, name) == 0) {
            *place = i;
            return &key->synonyms[i];
        }
    return NULL;
}

// One row for each key that takes its value from this broker key: "retention.ms of topics, x 3600000, unless
// log.retention.ms or log.retention.minutes is set".
static void supplies_rows(struct table *t, const char *name)
{
    for (int scope = CONFIG_TOPIC; scope <= CONFIG_BROKER; scope++) {
        size_t count, place;
        const struct config_key *keys = config_keys((enum config_scope)scope, &count);
        for (size_t k = 0; k < count; k++) {
            const struct config_synonym *s = synonym_of(&keys[k], name, &place);
            if (!s)
                continue;
            struct buf text;
            buf_init(&text, TEXT_BYTES_MAX);
            buf_printf(&text, "%s of %s", keys[k].name, scope == CONFIG_TOPIC ? "topics" : "brokers");
            if (s->scale != 1)
                buf_printf(&text, ", x %d", s->scale);
            for (size_t i = 0; i < place; i++)
                buf_printf(&text, "%s%s", i ? " or " : ", unless ", keys[k].synonyms[i].name);
            if (place)
                buf_printf(&text, " is set");
            table_cell(t, "supplies");
            table_cell_bytes(t, buf_bytes(&text));
            buf_deinit(&text);
        }
    }
}

static void json_synonym(struct json *j, const char *scope, const char *name, int32_t scale)
{
    json_put_object(j);
    json_put_key_str(j, "scope", scope);
    json_put_key_str(j, "name", name);
    json_put_key_int(j, "scale", scale);
    json_put_object_end(j);
}

static void json_synonyms(struct json *j, enum config_scope scope, const struct config_key *key)
{
    json_put_key(j, "inherits");
    json_put_array(j);
    for (size_t i = 0; i < CONFIG_SYNONYMS_MAX && key->synonyms[i].name; i++)
        json_synonym(j, "broker", key->synonyms[i].name, key->synonyms[i].scale);
    json_put_array_end(j);
    json_put_key(j, "supplies");
    json_put_array(j);
    for (int other = CONFIG_TOPIC; scope == CONFIG_BROKER && other <= CONFIG_BROKER; other++) {
        size_t count, place;
        const struct config_key *keys = config_keys((enum config_scope)other, &count);
        for (size_t k = 0; k < count; k++) {
            const struct config_synonym *s = synonym_of(&keys[k], key->name, &place);
            if (s)
                json_synonym(j, other == CONFIG_TOPIC ? "topic" : "broker", keys[k].name, s->scale);
        }
    }
    json_put_array_end(j);
}

// ------------------------------------------------------------------------------------------------ the value in force

struct in_force {
    const char *unknown; // why it is not known; the rest is empty then
    const char *where;
    struct bytes value;
    bool sensitive, inherited; // inherited: what topics have that set nothing
    bool unset;                // the default, and that is null
    const char *source;
    const struct describe_configs_response_synonym *places; // best first; the first is the one in force
    uint32_t place_count;
    char number[32]; // holds a scaled value
};

static const struct describe_configs_response_config *find_config(const struct explain_resource *r, const char *name)
{
    for (uint32_t i = 0; r->result && i < r->result->configs_count; i++)
        if (bytes_eq(r->result->configs[i].name, bytes_str(name)))
            return &r->result->configs[i];
    return NULL;
}

static void take_config(struct in_force *v, const struct describe_configs_response_config *config)
{
    // Version 0 of the answer knows only whether it is the default.
    bool is_default = config->is_default || config->config_source == CONFIG_SOURCE_DEFAULT;
    v->value = config->value;
    v->sensitive = config->is_sensitive;
    v->unset = is_default && !config->value.p;
    v->source = configs_source_text(is_default ? CONFIG_SOURCE_DEFAULT : config->config_source);
    v->places = config->synonyms;
    v->place_count = config->synonyms_count;
}

// What topics of the broker have that do not set key: the first of its synonyms with a value, else the default.
static void take_inherited(struct in_force *v, const struct explain_resource *broker, const struct config_key *key)
{
    v->value = key->value ? bytes_str(key->value) : bytes_of(NULL, 0);
    v->source = configs_source_text(CONFIG_SOURCE_DEFAULT);
    for (size_t i = 0; i < CONFIG_SYNONYMS_MAX && key->synonyms[i].name; i++) {
        const struct config_synonym *s = &key->synonyms[i];
        const struct describe_configs_response_config *config = find_config(broker, s->name);
        if (!config || !config->value.p)
            continue;
        take_config(v, config);
        if (s->scale != 1 && config->value.n < sizeof(v->number)) {
            char text[sizeof(v->number)], scratch[sizeof(v->number)];
            snprintf(text, sizeof(text), "%.*s", (int)config->value.n, (const char *)config->value.p);
            struct config_value scaled = {.name = s->name, .value = text, .scale = s->scale};
            snprintf(v->number, sizeof(v->number), "%s", config_value_text(&scaled, scratch, sizeof(scratch)));
            v->value = bytes_str(v->number);
        }
        return;
    }
}

static void find_in_force(const struct explain_context *c, enum config_scope scope, const struct config_key *key,
                          struct in_force *v)
{
    bool of_topic = scope == CONFIG_TOPIC && c->with_topic;
    const struct explain_resource *r = of_topic ? &c->topic : &c->broker;
    *v = (struct in_force){.where = r->where, .inherited = scope == CONFIG_TOPIC && !of_topic};
    if (!r->result) {
        v->unknown = r->unknown ? r->unknown : "nobody was asked";
        return;
    }
    if (v->inherited) {
        take_inherited(v, r, key);
        return;
    }
    const struct describe_configs_response_config *config = find_config(r, key->name);
    if (config)
        take_config(v, config);
    else if (scope == CONFIG_BROKER && !config_find(scope, key->name)) // of one listener: listed where it is set
        *v = (struct in_force){.where = r->where, .unset = true, .source = configs_source_text(CONFIG_SOURCE_DEFAULT)};
    else
        v->unknown = "the broker does not list this key";
}

static void in_force_rows(struct table *t, const struct config_key *key, const struct in_force *v)
{
    struct buf text;
    buf_init(&text, TEXT_BYTES_MAX);
    table_cell(t, "in force");
    if (v->unknown) {
        table_cell(t, "unknown: %s", v->unknown);
        buf_deinit(&text);
        return;
    }
    if (v->sensitive && !v->unset)
        buf_printf(&text, "(hidden)");
    else if (!v->value.p)
        buf_printf(&text, "none");
    else
        buf_append(&text, v->value.p, v->value.n);
    if (!v->sensitive && v->value.n && v->value.n < sizeof(v->number)) {
        char number[sizeof(v->number)];
        snprintf(number, sizeof(number), "%.*s", (int)v->value.n, (const char *)v->value.p);
        in_words(&text, key->name, number);
    }
    buf_printf(&text, v->inherited ? ", on topics of %s that do not set it" : ", on %s", v->where);
    table_cell_bytes(t, buf_bytes(&text));
    table_cell(t, "from");
    table_cell(t, "%s", v->source);
    for (uint32_t i = 0; i < v->place_count; i++) {
        const struct describe_configs_response_synonym *p = &v->places[i];
        if (v->sensitive ? v->unset : !p->value.p)
            continue; // a default that is null
        text.n = 0;
        buf_append(&text, p->name.p, p->name.n);
        buf_printf(&text, "=");
        if (v->sensitive)
            buf_printf(&text, "(hidden)");
        else
            buf_append(&text, p->value.p, p->value.n);
        buf_printf(&text, " (%s)", configs_source_text(p->source));
        table_cell(t, i ? "behind it" : "set by");
        table_cell_bytes(t, buf_bytes(&text));
    }
    buf_deinit(&text);
}

static void json_in_force(struct json *j, const struct in_force *v)
{
    json_put_key(j, "in_force");
    json_put_object(j);
    json_put_key_bool(j, "known", !v->unknown);
    json_put_key_str(j, "unknown_because", v->unknown);
    json_put_key_str(j, "where", v->where);
    json_put_key_bool(j, "inherited", v->inherited);
    json_put_key_text(j, "value", v->sensitive ? bytes_of(NULL, 0) : v->value);
    json_put_key_bool(j, "sensitive", v->sensitive);
    json_put_key_str(j, "source", v->source);
    json_put_key(j, "places");
    json_put_array(j);
    for (uint32_t i = 0; i < v->place_count; i++) {
        json_put_object(j);
        json_put_key_text(j, "name", v->places[i].name);
        json_put_key_text(j, "value", v->sensitive ? bytes_of(NULL, 0) : v->places[i].value);
        json_put_key_str(j, "source", configs_source_text(v->places[i].source));
        json_put_object_end(j);
    }
    json_put_array_end(j);
    json_put_object_end(j);
}

// ------------------------------------------------------------------------------------------------ one key

// The default as it counts when nothing is set anywhere: an older unit may supply it (log.retention.hours=168).
static void default_text(struct buf *out, enum config_scope scope, const struct config_key *key, bool in_full)
{
    struct config_layers nothing = {0};
    struct config_value v = config_resolve(scope, key, &nothing);
    char scratch[32];
    const char *text = config_value_text(&v, scratch, sizeof(scratch));
    if (!in_full) {
        buf_printf(out, "%s", text ? text : "");
        return;
    }
    buf_printf(out, "%s", !text ? "none" : *text ? text : "(empty)");
    if (text)
        in_words(out, key->name, text);
    if (strcmp(v.name, key->name) != 0)
        buf_printf(out, ", by %s=%s", v.name, v.value);
}

static void text_row(struct table *t, const char *label, struct buf *text)
{
    if (text->n) {
        table_cell(t, "%s", label);
        table_cell_bytes(t, buf_bytes(text));
    }
    text->n = 0;
}

static void key_json(struct json *j, enum config_scope scope, const struct config_key *key, const struct in_force *v)
{
    struct config_layers nothing = {0};
    struct buf text;
    buf_init(&text, TEXT_BYTES_MAX);
    json_put_object(j);
    json_put_key_str(j, "scope", scope == CONFIG_TOPIC ? "topic" : "broker");
    json_put_key_str(j, "documentation", key->text);
    json_put_key_str(j, "type", type_word(key->type));
    allows(&text, key);
    json_put_key_text(j, "values", buf_bytes(&text));
    text.n = 0;
    default_text(&text, scope, key, false);
    // An empty default is no null one.
    bool none = !config_resolve(scope, key, &nothing).value;
    json_put_key_text(j, "default", none ? bytes_of(NULL, 0) : text.n ? buf_bytes(&text) : bytes_str(""));
    json_put_key_str(j, "dynamic", dynamic_word(scope, key));
    json_put_key_str(j, "effect", effect_words(key->effect, true));
    json_synonyms(j, scope, key);
    json_in_force(j, v);
    json_put_object_end(j);
    buf_deinit(&text);
}

static void key_table(struct explain_context *c, enum config_scope scope, const struct config_key *key,
                      const struct in_force *v)
{
    struct table t;
    struct buf text;
    buf_init(&text, TEXT_BYTES_MAX);
    explain_table(c, &t, key->name);
    table_cell(&t, "is");
    table_cell(&t, "a key of %s", scope == CONFIG_TOPIC ? "topics" : "brokers");
    table_cell(&t, "means");
    table_cell(&t, "%s", key->text);
    table_cell(&t, "in weir");
    table_cell(&t, "%s", effect_words(key->effect, false));
    table_cell(&t, "type");
    table_cell(&t, "%s", type_word(key->type));
    allows(&text, key);
    text_row(&t, "values", &text);
    default_text(&text, scope, key, true);
    text_row(&t, "default", &text);
    inherits(&text, scope, key);
    text_row(&t, "if not set", &text);
    if (scope == CONFIG_BROKER)
        supplies_rows(&t, key->name);
    table_cell(&t, "changes");
    table_cell(&t, "%s", changes_word(scope, key));
    in_force_rows(&t, key, v);
    table_print(&t, c->out);
    buf_deinit(&text);
}

void explain_key(struct explain_context *c, enum config_scope scope, const struct config_key *key)
{
    struct in_force v;
    find_in_force(c, scope, key, &v);
    if (c->json)
        key_json(c->json, scope, key, &v);
    else
        key_table(c, scope, key, &v);
}
