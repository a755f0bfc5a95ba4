// SPDX-License-Identifier: Apache-2.0
//
// Which of several places decides a value: topic, this broker, all brokers, the file, the default; and an older unit
// only where the newer one is nowhere set (hours before minutes before milliseconds, the last one first).
#include "meta/config.h"
#include "meta/config_rows.h"

#include <stdio.h>

#include "base/assert.h"

const char *config_layer_get(struct config_layer layer, const char *name, bool *found)
{
    size_t low = 0, high = layer.count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(layer.pairs[middle].name, name);
        if (order == 0) {
            *found = true;
            return layer.pairs[middle].value;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = false;
    return NULL;
}

// Every place that sets a value, best first; returns how many, at most CONFIG_VALUES_MAX.
struct gather {
    struct config_value *out;
    size_t count, count_max;
};

static void gather_one(struct gather *g, struct config_layer layer, const char *name, int32_t scale,
                       enum config_source source)
{
    bool found;
    const char *value = config_layer_get(layer, name, &found);
    // Null in a layer means "not set here": that is how older units get their say.
    if (found && value && g->count < g->count_max)
        g->out[g->count++] = (struct config_value){.name = name, .value = value, .scale = scale, .source = source};
}

static void gather_name(struct gather *g, const struct config_layers *l, const char *name, int32_t scale)
{
    gather_one(g, l->broker, name, scale, CONFIG_SOURCE_BROKER);
    gather_one(g, l->brokers_default, name, scale, CONFIG_SOURCE_BROKERS_DEFAULT);
    gather_one(g, l->properties, name, scale, CONFIG_SOURCE_PROPERTIES);
}

static void gather_default(struct gather *g, const struct config_key *key)
{
    if (g->count == g->count_max)
        return;
    struct config_value v = {.name = key->name, .value = key->value, .scale = 1, .source = CONFIG_SOURCE_DEFAULT};
    for (size_t i = 0; !v.value && i < CONFIG_SYNONYMS_MAX && key->synonyms[i].name; i++) {
        const struct config_key *older = config_find(CONFIG_BROKER, key->synonyms[i].name);
        if (older && older->value)
            v = (struct config_value){.name = older->name,
                                      .value = older->value,
                                      .scale = key->synonyms[i].scale,
                                      .source = CONFIG_SOURCE_DEFAULT};
    }
    g->out[g->count++] = v;
}

static size_t gather(enum config_scope scope, const struct config_key *key, const struct config_layers *l,
                     struct config_value *out, size_t count_max)
{
    ASSERT(key != NULL && count_max > 0);
    struct gather g = {.out = out, .count_max = count_max};
    if (scope == CONFIG_TOPIC)
        gather_one(&g, l->topic, key->name, 1, CONFIG_SOURCE_TOPIC);
    else if (scope == CONFIG_GROUP)
        gather_one(&g, l->topic, key->name, 1, CONFIG_SOURCE_GROUP);
    else
        gather_name(&g, l, key->name, 1);
    for (size_t i = 0; i < CONFIG_SYNONYMS_MAX && key->synonyms[i].name; i++)
        gather_name(&g, l, key->synonyms[i].name, key->synonyms[i].scale);
    gather_default(&g, key);
    return g.count;
}

struct config_value config_resolve(enum config_scope scope, const struct config_key *key,
                                   const struct config_layers *layers)
{
    struct config_value v;
    size_t n = gather(scope, key, layers, &v, 1);
    ASSERT(n == 1);
    return v;
}

size_t config_resolve_all(enum config_scope scope, const struct config_key *key, const struct config_layers *layers,
                          struct config_value out[CONFIG_VALUES_MAX])
{
    return gather(scope, key, layers, out, CONFIG_VALUES_MAX);
}

const char *config_value_text(const struct config_value *v, char *scratch, size_t scratch_bytes)
{
    int64_t n;
    if (v->scale == 1 || !v->value || !config_parse_int(v->value, &n))
        return v->value;
    snprintf(scratch, scratch_bytes, "%lld", (long long)config_scale(n, v->scale));
    return scratch;
}

// ---- broker keys as plain values ----

static struct config_value broker_value(const struct config_layers *layers, const char *name)
{
    const struct config_key *key = config_find(CONFIG_BROKER, name);
    ASSERT(key != NULL); // a key that is read must have its row
    return config_resolve(CONFIG_BROKER, key, layers);
}

int64_t config_broker_int(const struct config_layers *layers, const char *name, int64_t otherwise)
{
    int64_t n;
    struct config_value v = broker_value(layers, name);
    return v.value && config_parse_int(v.value, &n) ? config_scale(n, v.scale) : otherwise;
}

double config_broker_double(const struct config_layers *layers, const char *name, double otherwise)
{
    double n;
    struct config_value v = broker_value(layers, name);
    return v.value && config_parse_double(v.value, &n) ? n : otherwise;
}

bool config_broker_bool(const struct config_layers *layers, const char *name)
{
    bool b = false;
    struct config_value v = broker_value(layers, name);
    return v.value && config_parse_bool(v.value, &b) && b;
}

const char *config_broker_text(const struct config_layers *layers, const char *name)
{
    return broker_value(layers, name).value;
}
