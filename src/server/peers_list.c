// SPDX-License-Identifier: Apache-2.0
//
// The list of peers; see peers_list.h.
#include "server/peers_list.h"

#include <stdio.h>
#include <stdlib.h>

// ID@HOST:PORT, HOST may be [v6]. False when it is not that.
static bool entry_parse(struct bytes text, struct peer_address *out, uint16_t *port)
{
    char copy[IO_HOST_BYTES_MAX + 32];
    int64_t id;
    if (text.n >= sizeof(copy))
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    char *at = strchr(copy, '@'), *colon = strrchr(copy, ':');
    if (!at || !colon || colon < at)
        return false;
    *at = *colon = 0;
    char *host = at + 1, *end;
    long number = strtol(colon + 1, &end, 10);
    if (end == colon + 1 || *end || number <= 0 || number > 65535)
        return false;
    if (!config_parse_int(copy, &id) || id < 0 || id > INT32_MAX)
        return false;
    size_t n = strlen(host);
    if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = 0;
        host++;
    }
    if (!*host || strlen(host) >= sizeof(out->host))
        return false;
    out->node = (int32_t)id;
    *port = (uint16_t)number;
    snprintf(out->host, sizeof(out->host), "%s", host);
    return true;
}

// False after a problem.
static bool entry_add(struct settings *s, struct io *io, const char *what, struct bytes text, struct peers_list *out)
{
    struct peer_address a;
    uint16_t port;
    if (!entry_parse(text, &a, &port)) {
        settings_problem(s, "%s: '%.*s' is not ID@HOST:PORT", what, (int)text.n, text.p);
        return false;
    }
    if (out->count == PEERS_MAX) {
        settings_problem(s, "%s: more than %d nodes", what, PEERS_MAX);
        return false;
    }
    if (io_resolve(io, a.host, port, &a.addr) != RC_OK) {
        settings_problem(s, "%s: the name '%s' of node %d has no address", what, a.host, a.node);
        return false;
    }
    for (uint32_t i = 0; i < out->count; i++) {
        const struct peer_address *other = &out->at[i];
        if (other->node == a.node) {
            settings_problem(s, "%s: node %d stands there twice; every node has an id of its own", what, a.node);
            return false;
        }
        if (memcmp(other->addr.ip, a.addr.ip, sizeof(a.addr.ip)) == 0 && other->addr.port == port) {
            settings_problem(s, "%s: nodes %d and %d have the same address", what, other->node, a.node);
            return false;
        }
    }
    uint32_t at = out->count++;
    for (; at > 0 && out->at[at - 1].node > a.node; at--)
        out->at[at] = out->at[at - 1];
    out->at[at] = a;
    return true;
}

void peers_list_read(struct settings *s, struct io *io, const char *what, const char *list, int32_t self,
                     struct peers_list *out)
{
    struct bytes element;
    bool sound = true;
    *out = (struct peers_list){0};
    while (list && config_list_next(&list, &element))
        sound = entry_add(s, io, what, element, out) && sound;
    for (uint32_t i = 0; i < out->count; i++)
        if (out->at[i].node == self)
            out->self = &out->at[i];
    if (sound && out->count > 0 && !out->self)
        settings_problem(s, "%s does not name node %d, which this is (--id); every node's list names all nodes, itself too",
                         what, self);
    if (!out->self)
        return;
    out->listen = out->self->addr;
    if (!io_addr_is_local(io, &out->listen)) {
        io_resolve(io, "0.0.0.0", 0, &out->listen);
        out->listen.port = out->self->addr.port;
    }
}

// The next NAME://HOST:PORT of a list; at the end, or where it is none such, false.
static bool listener_next(const char **rest, struct bytes *name, struct bytes *host, struct bytes *port)
{
    struct bytes e;
    if (!config_list_next(rest, &e))
        return false;
    const uint8_t *slashes = memmem(e.p, e.n, "://", 3), *colon = memrchr(e.p, ':', e.n);
    if (!slashes || !colon || colon < slashes + 3)
        return false;
    *name = bytes_of(e.p, (size_t)(slashes - e.p));
    *host = bytes_of(slashes + 3, (size_t)(colon - slashes) - 3);
    *port = bytes_of(colon + 1, (size_t)(e.p + e.n - colon) - 1);
    return true;
}

bool peers_list_bootstrap_is_self(const struct config_layers *layers)
{
    const char *rest = config_broker_text(layers, "controller.quorum.bootstrap.servers");
    const char *names = config_broker_text(layers, "controller.listener.names");
    struct bytes only, more, name, host, port, asked_host;
    if (!config_list_next(&rest, &only) || config_list_next(&rest, &more))
        return false;
    const uint8_t *colon = memrchr(only.p, ':', only.n);
    if (!colon)
        return false;
    asked_host = bytes_of(only.p, (size_t)(colon - only.p));
    bool mine = bytes_eq(asked_host, bytes_str("localhost")) || (asked_host.n > 4 && memcmp(only.p, "127.", 4) == 0);
    bool port_mine = false;
    static const char *const keys[] = {"listeners", "advertised.listeners"};
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        rest = config_broker_text(layers, keys[i]);
        while (listener_next(&rest, &name, &host, &port)) {
            char text[64];
            snprintf(text, sizeof(text), "%.*s", (int)name.n, (const char *)name.p);
            if (!names || !config_list_has(names, text))
                continue;
            mine |= host.n && bytes_eq(host, asked_host);
            port_mine |= bytes_eq(port, bytes_of(colon + 1, (size_t)(only.p + only.n - colon) - 1));
        }
    }
    return mine && port_mine;
}
