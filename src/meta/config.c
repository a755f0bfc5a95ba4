// SPDX-License-Identifier: Apache-2.0
//
// Looking keys up, checking values, and finding the value in force through the layers. The rows themselves are in
// config_topic.c, config_broker.c and config_old.c.
#include "meta/config.h"
#include "meta/config_rows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/assert.h"
#include "base/trace.h"

const struct config_key *config_keys(enum config_scope scope, size_t *count)
{
    if (scope == CONFIG_GROUP)
        return config_group_keys(count);
    return scope == CONFIG_TOPIC ? config_topic_keys(count) : config_broker_keys(count);
}

const struct config_key *config_find(enum config_scope scope, const char *name)
{
    size_t low = 0, high;
    const struct config_key *keys = config_keys(scope, &high);
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(keys[middle].name, name);
        if (order == 0)
            return &keys[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct config_old *config_old_find(const char *name)
{
    size_t count;
    const struct config_old *rows = config_old_rows(&count), *by_prefix = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(rows[i].name);
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
        char last = rows[i].name[n - 1];
        if (strncmp(rows[i].name, name, n - 1) != 0)
            continue;
        if (last == '*' || (last == '#' && name[n - 1] && name[n - 1 + strspn(name + n - 1, "0123456789")] == 0))
            by_prefix = &rows[i];
    }
    return by_prefix;
}

// Names and values come from clients: what is printed is printable.
static const char *shown(const char *text, char *out, size_t out_bytes)
{
    return trace_quote(out, out_bytes, bytes_str(text));
}

// ---- the nearest name ----

enum { NAME_CHARS_MAX = 96 };

// Edit distance with transpositions of neighbours counted as one; names are short.
static unsigned edit_distance(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    if (na > NAME_CHARS_MAX || nb > NAME_CHARS_MAX)
        return NAME_CHARS_MAX;
    unsigned row[3][NAME_CHARS_MAX + 1];
    for (size_t j = 0; j <= nb; j++)
        row[0][j] = (unsigned)j;
    for (size_t i = 1; i <= na; i++) {
        unsigned *now = row[i % 3], *before = row[(i + 2) % 3], *two_before = row[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned best = before[j - 1] + (a[i - 1] != b[j - 1]);
            if (before[j] + 1 < best)
                best = before[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && two_before[j - 2] + 1 < best)
                best = two_before[j - 2] + 1;
            now[j] = best;
        }
    }
    return row[na % 3][nb];
}

const struct config_key *config_nearest(enum config_scope scope, const char *name)
{
    size_t count;
    const struct config_key *keys = config_keys(scope, &count), *best = NULL;
    // A third of the name may differ; more than that is another word.
    unsigned least = (unsigned)(strlen(name) / 3) + 1;
    for (size_t i = 0; i < count; i++) {
        unsigned distance = edit_distance(name, keys[i].name);
        if (distance < least) {
            least = distance;
            best = &keys[i];
        }
    }
    return best;
}

const char *config_explain_unknown(enum config_scope scope, const char *name, char *out, size_t out_bytes)
{
    ASSERT(out_bytes > 0);
    char quoted[160];
    shown(name, quoted, sizeof(quoted));
    const char *what = scope == CONFIG_TOPIC   ? "Unknown topic config name"
                       : scope == CONFIG_GROUP ? "Unknown group config name"
                                               : "Unknown broker config name";
    const struct config_old *old = config_old_find(name);
    if (old && old->kind == CONFIG_OLD_MISSPELT) {
        snprintf(out, out_bytes, "%s: %s (did you mean %s?)", what, quoted, old->instead);
        return out;
    }
    if (old) {
        snprintf(out, out_bytes, "%s: %s (%s)", what, quoted, old->text);
        return out;
    }
    if (scope == CONFIG_BROKER && strncmp(name, "listener.name.", strlen("listener.name.")) == 0) {
        snprintf(out, out_bytes,
                 "%s: %s (listeners may differ in listener.name.NAME.max.connections and "
                 "listener.name.NAME.max.connection.creation.rate, NAME in small letters)",
                 what, quoted);
        return out;
    }
    enum config_scope other = scope == CONFIG_TOPIC ? CONFIG_BROKER : CONFIG_TOPIC;
    const struct config_key *near = config_nearest(scope, name);
    if (config_find(other, name))
        snprintf(out, out_bytes, "%s: %s (it is a key of %s)", what, quoted,
                 other == CONFIG_TOPIC ? "topics" : "brokers");
    else if (near)
        snprintf(out, out_bytes, "%s: %s (did you mean %s?)", what, quoted, near->name);
    else
        snprintf(out, out_bytes, "%s: %s", what, quoted);
    return out;
}

// ---- values ----

static struct bytes trimmed(const char *text)
{
    size_t n = strlen(text);
    while (n > 0 && (unsigned char)*text <= ' ') {
        text++;
        n--;
    }
    while (n > 0 && (unsigned char)text[n - 1] <= ' ')
        n--;
    return bytes_of(text, n);
}

// A zero-terminated copy of the trimmed text; false when it does not fit a number's length.
static bool trimmed_copy(const char *text, char out[64])
{
    struct bytes t = trimmed(text);
    if (t.n == 0 || t.n >= 64)
        return false;
    memcpy(out, t.p, t.n);
    out[t.n] = 0;
    return true;
}

bool config_parse_int(const char *text, int64_t *out)
{
    char t[64], *end;
    if (!trimmed_copy(text, t) || t[strspn(t, "+-0123456789")] != 0)
        return false;
    errno = 0;
    long long v = strtoll(t, &end, 10);
    if (errno || end == t || *end)
        return false;
    *out = v;
    return true;
}

bool config_parse_double(const char *text, double *out)
{
    char t[64], *end;
    if (!trimmed_copy(text, t) || t[strspn(t, "+-0123456789.eE")] != 0)
        return false;
    errno = 0;
    double v = strtod(t, &end);
    if (end == t || *end || (errno && v > 1))
        return false;
    *out = v;
    return true;
}

bool config_parse_bool(const char *text, bool *out)
{
    char t[64];
    if (!trimmed_copy(text, t))
        return false;
    bool yes = strcasecmp(t, "true") == 0;
    if (!yes && strcasecmp(t, "false") != 0)
        return false;
    *out = yes;
    return true;
}

bool config_parse_size(const char *text, int64_t *out)
{
    static const struct {
        const char *unit;
        int shift;
    } units[] = {{"", 0},     {"b", 0},  {"k", 10},  {"kb", 10},  {"kib", 10}, {"m", 20},  {"mb", 20},
                 {"mib", 20}, {"g", 30}, {"gb", 30}, {"gib", 30}, {"t", 40},   {"tb", 40}, {"tib", 40}};
    char t[64];
    if (!trimmed_copy(text, t))
        return false;
    size_t digits = strspn(t, "0123456789");
    if (digits == 0 || digits > 18)
        return false;
    int64_t v = 0;
    for (size_t i = 0; i < digits; i++)
        v = v * 10 + (t[i] - '0');
    const char *unit = t + digits + strspn(t + digits, " ");
    for (size_t i = 0; i < ARRAY_COUNT(units); i++)
        if (strcasecmp(unit, units[i].unit) == 0 && v <= INT64_MAX >> units[i].shift) {
            *out = v << units[i].shift;
            return true;
        }
    return false;
}

bool config_list_next(const char **rest, struct bytes *element)
{
    if (!*rest || !**rest)
        return false;
    const char *start = *rest, *comma = strchr(start, ',');
    size_t n = comma ? (size_t)(comma - start) : strlen(start);
    *rest = comma ? comma + 1 : start + n;
    while (n > 0 && (unsigned char)*start <= ' ') {
        start++;
        n--;
    }
    while (n > 0 && (unsigned char)start[n - 1] <= ' ')
        n--;
    *element = bytes_of(start, n);
    return true;
}

bool config_list_has(const char *list, const char *word)
{
    struct bytes element;
    while (config_list_next(&list, &element))
        if (bytes_eq(element, bytes_str(word)))
            return true;
    return false;
}

int64_t config_scale(int64_t n, int32_t scale)
{
    if (n < 0 || scale == 1)
        return n;
    return n > INT64_MAX / scale ? INT64_MAX : n * scale;
}

// ---- checking ----

static const char *type_name(enum config_type type)
{
    switch (type) {
    case CONFIG_INT:
        return "INT";
    case CONFIG_SHORT:
        return "SHORT";
    case CONFIG_LONG:
        return "LONG";
    case CONFIG_DOUBLE:
        return "DOUBLE";
    case CONFIG_BOOLEAN:
    case CONFIG_STRING:
    case CONFIG_LIST:
    case CONFIG_CLASS:
    case CONFIG_PASSWORD:
        break;
    }
    return "STRING";
}

static bool type_numeric(enum config_type type)
{
    return type == CONFIG_INT || type == CONFIG_SHORT || type == CONFIG_LONG || type == CONFIG_DOUBLE;
}

// Reads value as the key's number type; false when it is none or out of the type's range.
static bool parse_number(const struct config_key *key, const char *value, double *out)
{
    if (key->type == CONFIG_DOUBLE)
        return config_parse_double(value, out);
    int64_t n;
    if (!config_parse_int(value, &n))
        return false;
    int64_t high = key->type == CONFIG_INT ? INT32_MAX : key->type == CONFIG_SHORT ? INT16_MAX : INT64_MAX;
    if (n > high || n < -high - 1)
        return false;
    *out = (double)n;
    return true;
}

static bool one_of(struct bytes word, const char *const *choices)
{
    for (size_t i = 0; choices[i]; i++)
        if (bytes_eq(word, bytes_str(choices[i])))
            return true;
    return false;
}

static void choices_text(const char *const *choices, char *out, size_t out_bytes)
{
    size_t n = 0;
    for (size_t i = 0; choices[i] && n < out_bytes; i++)
        n += (size_t)snprintf(out + n, out_bytes - n, "%s%s", i ? ", " : "", choices[i]);
}

// partition:broker,... or * or nothing.
static bool throttle_valid(const char *value)
{
    const char *rest = value;
    struct bytes word;
    struct bytes all = trimmed(value);
    if (all.n == 0 || bytes_eq(all, bytes_str("*")))
        return true;
    while (config_list_next(&rest, &word)) {
        size_t colons = 0;
        for (size_t i = 0; i < word.n; i++) {
            if (word.p[i] == ':')
                colons++;
            else if (word.p[i] < '0' || word.p[i] > '9')
                return false;
        }
        if (colons != 1 || word.p[0] == ':' || word.p[word.n - 1] == ':')
            return false;
    }
    return true;
}

// Why a number breaks the rule, into why; false when it does not.
static bool number_breaks(const struct config_rule *rule, double n, char *why, size_t why_bytes)
{
    bool level = rule->kind == CONFIG_RULE_LEVEL;
    if ((rule->kind != CONFIG_RULE_RANGE && !level) || (level && n == -1))
        return false;
    if (n < rule->min)
        snprintf(why, why_bytes, "Value must be at least %.10g%s", rule->min, level ? " or -1" : "");
    else if (n > rule->max)
        snprintf(why, why_bytes, "Value must be no more than %.10g", rule->max);
    else
        return false;
    return true;
}

static bool text_breaks(const struct config_key *key, const char *value, char *why, size_t why_bytes)
{
    const struct config_rule *rule = &key->rule;
    char words[160] = "";
    int64_t bytes;
    const char *rest = value;
    struct bytes word;
    size_t count = 0;
    switch (rule->kind) {
    case CONFIG_RULE_ANY:
    case CONFIG_RULE_RANGE:
    case CONFIG_RULE_LEVEL:
        return false;
    case CONFIG_RULE_SIZE:
        snprintf(why, why_bytes, "Expected a number of bytes such as 512MiB");
        return trimmed(value).n != 0 && !config_parse_size(value, &bytes);
    case CONFIG_RULE_THROTTLE:
        snprintf(why, why_bytes,
                 "%s must be the literal '*' or a list of replicas in the following format: "
                 "[partitionId]:[brokerId],[partitionId]:[brokerId],...",
                 key->name);
        return !throttle_valid(value);
    case CONFIG_RULE_OVERRIDES:
        snprintf(why, why_bytes, "Expected ADDRESS:COUNT,... with addresses such as 10.0.0.1 or [::1], not names");
        return !config_overrides_valid(value);
    case CONFIG_RULE_ONE_OF:
    case CONFIG_RULE_LIST_OF:
        break;
    }
    choices_text(rule->choices, words, sizeof(words));
    snprintf(why, why_bytes, "String must be one of: %s", words);
    if (rule->kind == CONFIG_RULE_ONE_OF)
        return !one_of(trimmed(value), rule->choices);
    while (config_list_next(&rest, &word)) {
        count++;
        if (!one_of(word, rule->choices))
            return true;
    }
    return count == 0;
}

enum rc config_check(const struct config_key *key, const char *value, char *out, size_t out_bytes)
{
    char why[256] = "";
    bool broken = false, flag;
    double n = 0;
    if (!value) {
        broken = key->value != NULL;
        snprintf(why, sizeof(why), "Value must be non-null");
    } else if (strlen(value) > CONFIG_VALUE_BYTES_MAX) {
        broken = true;
        snprintf(why, sizeof(why), "Value is longer than %d bytes", CONFIG_VALUE_BYTES_MAX);
    } else if (type_numeric(key->type)) {
        broken = !parse_number(key, value, &n);
        if (broken)
            snprintf(why, sizeof(why), "Not a number of type %s", type_name(key->type));
        else
            broken = number_breaks(&key->rule, n, why, sizeof(why));
    } else if (key->type == CONFIG_BOOLEAN) {
        broken = !config_parse_bool(value, &flag);
        snprintf(why, sizeof(why), "Expected value to be either true or false");
    } else {
        broken = text_breaks(key, value, why, sizeof(why));
    }
    if (!broken)
        return RC_OK;
    char quoted[160] = "[hidden]";
    if (!config_sensitive(key))
        shown(value ? value : "null", quoted, sizeof(quoted));
    snprintf(out, out_bytes, "Invalid value %s for configuration %s: %s", quoted, key->name, why);
    return RC_INVALID_CONFIG;
}
