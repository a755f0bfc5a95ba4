// SPDX-License-Identifier: Apache-2.0
//
// Values of the command line as people write them: numbers, sizes, durations, points in time.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/date.h"
#include "cli/options.h"

bool cli_number_parse(const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || end == text || *end)
        return false;
    *out = v;
    return true;
}

struct unit {
    const char *name;
    int64_t factor;
};

// A number with one of the units, or without a unit times plain.
static bool unit_parse(const char *text, const struct unit *units, int64_t plain, int64_t *out)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || end == text || v < 0)
        return false;
    int64_t factor = *end ? 0 : plain;
    for (const struct unit *u = units; u->name && *end; u++)
        if (strcasecmp(end, u->name) == 0)
            factor = u->factor;
    return factor != 0 && !__builtin_mul_overflow((int64_t)v, factor, out);
}

bool cli_size_parse(const char *text, int64_t *out)
{
    static const struct unit units[] = {
        {"b", 1},         {"k", 1 << 10},    {"kb", 1 << 10},    {"kib", 1 << 10}, {"m", 1 << 20},
        {"mb", 1 << 20},  {"mib", 1 << 20},  {"g", 1 << 30},     {"gb", 1 << 30},  {"gib", 1 << 30},
        {"t", 1LL << 40}, {"tb", 1LL << 40}, {"tib", 1LL << 40}, {NULL, 0},
    };
    return unit_parse(text, units, 1, out);
}

bool cli_duration_parse(const char *text, int64_t *out_ms)
{
    static const struct unit units[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
    };
    return unit_parse(text, units, 1000, out_ms);
}

bool cli_time_parse(const char *text, int64_t *out_ms)
{
    if (cli_number_parse(text, out_ms))
        return *out_ms >= 0;
    return date_parse(text, out_ms);
}

struct bytes cli_unescape(const char *text, struct arena *a)
{
    size_t n = 0;
    char *out = arena_copy(a, text, strlen(text));
    for (const char *s = text; out && *s; s++) {
        char c = *s;
        if (c == '\\' && s[1]) {
            c = *++s;
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == '0' ? 0 : c;
        }
        out[n++] = c;
    }
    return bytes_of(out, n);
}
