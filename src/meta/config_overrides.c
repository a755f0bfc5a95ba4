// SPDX-License-Identifier: Apache-2.0
//
// Limits of single addresses, ADDRESS:COUNT,...: max.connections.per.ip.overrides. Addresses as numbers only: a name would
// have to be looked up while connections are taken.
#include "meta/config.h"

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool ipv4_valid(struct bytes a)
{
    unsigned parts = 0;
    for (size_t i = 0; i < a.n; parts++) {
        unsigned n = 0, digits = 0;
        for (; i < a.n && is_digit(a.p[i]) && digits < 4; i++, digits++)
            n = n * 10 + (a.p[i] - '0');
        if (digits == 0 || n > 255 || (digits > 1 && a.p[i - digits] == '0'))
            return false;
        if (i < a.n && (a.p[i] != '.' || ++i == a.n))
            return false;
    }
    return parts == 4;
}

static bool is_hex(uint8_t c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool ipv6_valid(struct bytes a)
{
    unsigned groups = 0;
    bool gap = false;
    for (size_t i = 0; i < a.n;) {
        if (i + 1 < a.n && a.p[i] == ':' && a.p[i + 1] == ':') {
            if (gap)
                return false;
            gap = true;
            i += 2;
            continue;
        }
        if (i > 0 && a.p[i - 1] != ':' && (a.p[i] != ':' || ++i == a.n))
            return false;
        size_t begin = i;
        while (i < a.n && is_hex(a.p[i]))
            i++;
        if (i == begin || i - begin > 4)
            return false;
        groups++;
    }
    return gap ? groups < 8 : groups == 8;
}

bool config_override_next(const char **rest, struct bytes *address, int64_t *count)
{
    struct bytes word;
    *count = -1;
    if (!config_list_next(rest, &word))
        return false;
    size_t colon = word.n;
    while (colon > 0 && word.p[colon - 1] != ':')
        colon--;
    *address = bytes_of(word.p, colon ? colon - 1 : 0);
    if (address->n > 2 && address->p[0] == '[' && address->p[address->n - 1] == ']') {
        *address = bytes_of(address->p + 1, address->n - 2);
        if (!ipv6_valid(*address))
            return true;
    } else if (!ipv4_valid(*address) && !ipv6_valid(*address)) {
        return true;
    }
    int64_t n = 0;
    for (size_t i = colon; i < word.n; i++) {
        n = is_digit(word.p[i]) ? n * 10 + (word.p[i] - '0') : INT64_MAX;
        if (n > INT32_MAX)
            return true;
    }
    if (colon < word.n)
        *count = n;
    return true;
}

bool config_overrides_valid(const char *value)
{
    struct bytes address;
    int64_t count;
    for (const char *rest = value; config_override_next(&rest, &address, &count);)
        if (count < 0)
            return false;
    return true;
}
