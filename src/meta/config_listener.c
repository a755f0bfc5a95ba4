// SPDX-License-Identifier: Apache-2.0
//
// Settings of single listeners: listener.name.NAME.KEY, NAME in small letters (KIP-103), for the keys in which listeners may
// differ. The row of KEY rules type and range; unlike in the keys of TLS and SASL, KEY by itself is a limit of its own, of
// all listeners together, and no default of these (KIP-402, KIP-612).
#include "meta/config.h"

#include <stdio.h>

#include "base/assert.h"

static const char prefix[] = "listener.name.";
static const char *const keys[] = {"max.connection.creation.rate", "max.connections"};

const struct config_key *config_find_listener(const char *name, struct bytes *listener)
{
    if (strncmp(name, prefix, strlen(prefix)) != 0)
        return NULL;
    const char *begin = name + strlen(prefix), *dot = strchr(begin, '.');
    if (!dot || dot == begin)
        return NULL;
    for (const char *p = begin; p < dot; p++)
        if (*p >= 'A' && *p <= 'Z')
            return NULL;
    *listener = bytes_of(begin, (size_t)(dot - begin));
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++)
        if (strcmp(dot + 1, keys[i]) == 0)
            return config_find(CONFIG_BROKER, keys[i]);
    return NULL;
}

const struct config_key *config_find_setting(enum config_scope scope, const char *name)
{
    struct bytes listener;
    const struct config_key *key = config_find(scope, name);
    return key || scope != CONFIG_BROKER ? key : config_find_listener(name, &listener);
}

int64_t config_listener_int(const struct config_layers *layers, const char *listener, const char *name)
{
    char full[CONFIG_LISTENER_NAME_MAX];
    int64_t n;
    const struct config_key *row = config_find(CONFIG_BROKER, name);
    ASSERT(row != NULL);
    int length = snprintf(full, sizeof(full), "%s%s.%s", prefix, listener, name);
    ASSERT(length > 0 && (size_t)length < sizeof(full));
    struct config_key key = *row;
    key.name = full;
    struct config_value v = config_resolve(CONFIG_BROKER, &key, layers);
    return v.value && config_parse_int(v.value, &n) ? n : INT64_MAX;
}
