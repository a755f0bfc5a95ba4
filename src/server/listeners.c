// SPDX-License-Identifier: Apache-2.0
//
// Listener addresses; see listeners.h.
#include "server/listeners.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

struct listener_text {
    char name[BROKER_NAME_BYTES];
    char host[IO_HOST_BYTES_MAX];
    uint16_t port;
};

// NAME://HOST:PORT, HOST may be empty or [v6]. False when it is not that.
static bool listener_parse(struct bytes text, struct listener_text *out)
{
    char copy[BROKER_NAME_BYTES + IO_HOST_BYTES_MAX + 16];
    if (text.n >= sizeof(copy))
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    char *scheme = strstr(copy, "://");
    char *host = scheme ? scheme + 3 : NULL;
    char *colon = host ? strrchr(host, ':') : NULL;
    if (!colon || scheme == copy || (size_t)(scheme - copy) >= sizeof(out->name))
        return false;
    *scheme = *colon = 0;
    char *end;
    long port = strtol(colon + 1, &end, 10);
    if (end == colon + 1 || *end || port < 0 || port > 65535)
        return false;
    size_t n = strlen(host);
    if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = 0;
        host++;
    }
    memcpy(out->name, copy, (size_t)(scheme - copy) + 1);
    for (char *p = out->name; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    snprintf(out->host, sizeof(out->host), "%s", host);
    out->port = (uint16_t)port;
    return true;
}

static bool list_has(const char *list, const char *name)
{
    struct bytes element;
    while (list && config_list_next(&list, &element))
        if (element.n == strlen(name) && strncasecmp((const char *)element.p, name, element.n) == 0)
            return true;
    return false;
}

// The security protocol of a listener name: what listener.security.protocol.map says, else the name itself.
static void listener_protocol(const char *map, const char *name, char *out, size_t n)
{
    struct bytes element;
    snprintf(out, n, "%s", name);
    while (map && config_list_next(&map, &element)) {
        const uint8_t *colon = memchr(element.p, ':', element.n);
        if (colon && (size_t)(colon - element.p) == strlen(name) &&
            strncasecmp((const char *)element.p, name, strlen(name)) == 0)
            snprintf(out, n, "%.*s", (int)(element.p + element.n - colon - 1), (const char *)colon + 1);
    }
}

static bool listener_advertise(struct settings *s, const char *advertised, const struct listener_text *l,
                               const char *peer_host, struct broker_listener_config *out)
{
    const char *rest = advertised;
    struct bytes element;
    while (rest && config_list_next(&rest, &element)) {
        struct listener_text a;
        if (!listener_parse(element, &a)) {
            settings_problem(s, "advertised.listeners: '%.*s' is not NAME://HOST:PORT", (int)element.n, element.p);
            return false;
        }
        if (strcmp(a.name, l->name) != 0)
            continue;
        snprintf(out->advertised_host, sizeof(out->advertised_host), "%s", a.host);
        out->advertised_port = a.port ? a.port : l->port;
        if (a.host[0] && strcmp(a.host, "0.0.0.0") != 0 && strcmp(a.host, "::") != 0)
            return true;
        settings_problem(s, "advertised.listeners: '%s' is no address a client can connect to; name a host", a.host);
        return false;
    }
    if (io_addr_is_any(&out->listen) && peer_host) {
        snprintf(out->advertised_host, sizeof(out->advertised_host), "%s", peer_host);
        out->advertised_port = l->port;
        return true;
    }
    if (io_addr_is_any(&out->listen)) {
        settings_problem(s,
                         "listener %s listens on every address, so clients must be told which one to use: add "
                         "--advertise HOST:PORT (or advertised.listeners=%s://HOST:%u)",
                         l->name, l->name, l->port);
        return false;
    }
    snprintf(out->advertised_host, sizeof(out->advertised_host), "%s", l->host);
    out->advertised_port = l->port;
    return true;
}

// Kafka wants names to differ, and one port cannot be opened twice.
static bool listener_taken(struct settings *s, const struct broker_config *config, const struct listener_text *l)
{
    for (unsigned i = 0; i < config->listener_count; i++) {
        const struct broker_listener_config *other = &config->listeners[i];
        if (strcmp(other->name, l->name) == 0)
            settings_problem(s, "listeners: there are two named %s", l->name);
        else if (l->port != 0 && other->listen.port == l->port)
            settings_problem(s, "listeners: %s and %s have the same port %u", other->name, l->name, l->port);
        else
            continue;
        return true;
    }
    return false;
}

// What is set for one listener names one there is: with another name it would limit nothing.
static void listeners_check_settings(struct settings *s, const struct config_layers *layers,
                                     const struct broker_config *config)
{
    for (size_t i = 0; i < layers->properties.count; i++) {
        struct bytes name;
        bool found = !config_find_listener(layers->properties.pairs[i].name, &name);
        for (unsigned l = 0; l < config->listener_count && !found; l++)
            found = strlen(config->listeners[l].name) == name.n &&
                    strncasecmp(config->listeners[l].name, (const char *)name.p, name.n) == 0;
        if (!found)
            settings_problem(s, "%s: there is no listener %.*s", layers->properties.pairs[i].name, (int)name.n, name.p);
    }
}

bool listeners_resolve(struct settings *s, struct io *io, const struct config_layers *layers,
                       const char *peer_host, struct broker_config *config)
{
    const char *rest = config_broker_text(layers, "listeners");
    const char *advertised = config_broker_text(layers, "advertised.listeners");
    const char *controllers = config_broker_text(layers, "controller.listener.names");
    const char *map = config_broker_text(layers, "listener.security.protocol.map");
    size_t before = s->problem_count;
    struct bytes element;
    config->listener_count = 0;
    while (rest && config_list_next(&rest, &element)) {
        struct listener_text l;
        char protocol[BROKER_NAME_BYTES];
        if (!listener_parse(element, &l)) {
            settings_problem(s, "listeners: '%.*s' is not NAME://HOST:PORT", (int)element.n, element.p);
            continue;
        }
        if (list_has(controllers, l.name)) {
            settings_note(s, "listener %s is not opened: the quorum has its own port (--peers)", l.name);
            continue;
        }
        listener_protocol(map, l.name, protocol, sizeof(protocol));
        if (strcasecmp(protocol, "PLAINTEXT") != 0) {
            settings_problem(s, "listener %s: protocol %s is not in this version, PLAINTEXT is", l.name, protocol);
            continue;
        }
        if (config->listener_count == BROKER_LISTENERS_MAX) {
            settings_problem(s, "listeners: more than %d", BROKER_LISTENERS_MAX);
            break;
        }
        struct broker_listener_config *out = &config->listeners[config->listener_count];
        if (listener_taken(s, config, &l))
            continue;
        snprintf(out->name, sizeof(out->name), "%s", l.name);
        if (io_resolve(io, l.host[0] ? l.host : "0.0.0.0", l.port, &out->listen) != RC_OK) {
            settings_problem(s, "listeners: the name '%s' has no address", l.host);
            continue;
        }
        if (listener_advertise(s, advertised, &l, peer_host, out))
            config->listener_count++;
    }
    if (config->listener_count == 0 && s->problem_count == before)
        settings_problem(s, "listeners: there is none for clients");
    if (s->problem_count == before)
        listeners_check_settings(s, layers, config);
    return s->problem_count == before;
}
