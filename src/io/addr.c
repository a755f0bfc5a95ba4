// SPDX-License-Identifier: Apache-2.0
//
// Addresses: text, names, and which of them are this machine's. IPv4 is kept as ::ffff:a.b.c.d throughout.
#include "io/internal.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_v4(const struct io_addr *a)
{
    return memcmp(a->ip, v4_prefix, sizeof(v4_prefix)) == 0;
}

socklen_t io_addr_to_sockaddr(const struct io_addr *a, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if (is_v4(a)) {
        struct sockaddr_in *in = (struct sockaddr_in *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->ip + 12, 4);
        return sizeof(*in);
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(a->port);
    memcpy(&in6->sin6_addr, a->ip, 16);
    return sizeof(*in6);
}

void io_addr_from_sockaddr(struct io_addr *a, const struct sockaddr_storage *in)
{
    *a = (struct io_addr){0};
    if (in->ss_family == AF_INET) {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)in;
        memcpy(a->ip, v4_prefix, sizeof(v4_prefix));
        memcpy(a->ip + 12, &in4->sin_addr, 4);
        a->port = ntohs(in4->sin_port);
    } else if (in->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)in;
        memcpy(a->ip, &in6->sin6_addr, 16);
        a->port = ntohs(in6->sin6_port);
    }
}

enum rc io_addr_parse(const char *host, uint16_t port, struct io_addr *out, char name[IO_HOST_BYTES_MAX])
{
    size_t n = strnlen(host, IO_HOST_BYTES_MAX);
    if (n == 0 || n == IO_HOST_BYTES_MAX)
        return RC_INVALID;
    bool bracketed = host[0] == '[';
    if (bracketed && (n < 4 || host[n - 1] != ']'))
        return RC_INVALID;
    memcpy(name, host + bracketed, n - 2 * bracketed);
    name[n - 2 * bracketed] = 0;

    *out = (struct io_addr){.port = port};
    if (inet_pton(AF_INET6, name, out->ip) == 1)
        return RC_OK;
    if (bracketed)
        return RC_INVALID;
    memcpy(out->ip, v4_prefix, sizeof(v4_prefix));
    return inet_pton(AF_INET, name, out->ip + 12) == 1 ? RC_OK : RC_NOT_FOUND;
}

enum rc io_addr_lookup(const char *name, struct io_addr *out)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *found = NULL;
    int error = getaddrinfo(name, NULL, &hints, &found);
    if (error == EAI_NONAME || error == EAI_FAIL || error == EAI_AGAIN || error == EAI_NODATA ||
        error == EAI_ADDRFAMILY)
        return RC_UNREACHABLE;
    if (error)
        return error == EAI_MEMORY ? RC_NOMEM : RC_IO;
    // IPv4 before IPv6: "localhost" is to find a listener on 127.0.0.1, and one on [::] answers to both.
    const struct addrinfo *best = found;
    for (const struct addrinfo *i = found; i && best->ai_family != AF_INET; i = i->ai_next)
        best = i->ai_family == AF_INET ? i : best;
    struct sockaddr_storage sa = {0};
    memcpy(&sa, best->ai_addr, best->ai_addrlen < sizeof(sa) ? best->ai_addrlen : sizeof(sa));
    freeaddrinfo(found);
    io_addr_from_sockaddr(out, &sa);
    return RC_OK;
}

enum rc io_resolve(struct io *io, const char *host, uint16_t port, struct io_addr *out)
{
    (void)io;
    char name[IO_HOST_BYTES_MAX];
    enum rc rc = io_addr_parse(host, port, out, name);
    if (rc == RC_NOT_FOUND)
        rc = io_addr_lookup(name, out);
    out->port = port;
    return rc;
}

void io_addr_format(const struct io_addr *a, char out[IO_ADDR_TEXT_MAX])
{
    char text[INET6_ADDRSTRLEN];
    if (is_v4(a)) {
        inet_ntop(AF_INET, a->ip + 12, text, sizeof(text));
        snprintf(out, IO_ADDR_TEXT_MAX, "%s:%u", text, (unsigned)a->port);
    } else {
        inet_ntop(AF_INET6, a->ip, text, sizeof(text));
        snprintf(out, IO_ADDR_TEXT_MAX, "[%s]:%u", text, (unsigned)a->port);
    }
}

bool io_addr_is_local(struct io *io, const struct io_addr *a)
{
    (void)io;
    if (io_addr_is_any(a) || io_addr_is_loopback(a))
        return true;
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0)
        return false;
    bool found = false;
    for (struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
        if (!i->ifa_addr || (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
            continue;
        struct sockaddr_storage sa = {0};
        memcpy(&sa, i->ifa_addr,
               i->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        struct io_addr own;
        io_addr_from_sockaddr(&own, &sa);
        found = memcmp(own.ip, a->ip, sizeof(own.ip)) == 0;
    }
    freeifaddrs(all);
    return found;
}

bool io_addr_is_loopback(const struct io_addr *a)
{
    static const uint8_t v6_loopback[16] = {[15] = 1};
    return is_v4(a) ? a->ip[12] == 127 : memcmp(a->ip, v6_loopback, 16) == 0;
}

bool io_addr_is_any(const struct io_addr *a)
{
    static const uint8_t zero[16];
    return is_v4(a) ? memcmp(a->ip + 12, zero, 4) == 0 : memcmp(a->ip, zero, 16) == 0;
}
