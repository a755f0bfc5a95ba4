// SPDX-License-Identifier: Apache-2.0
//
// Collecting and checking settings; see settings.h.
#include "server/settings.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

enum { FILE_BYTES_MAX = 1 << 20, ARENA_BYTES_MAX = 16 << 20, TEXT_BYTES = 512 };

void settings_init(struct settings *s)
{
    memset(s, 0, sizeof(*s));
    arena_init(&s->arena, ARENA_BYTES_MAX, NULL, 0);
}

void settings_deinit(struct settings *s)
{
    arena_deinit(&s->arena);
}

static const char *settings_text(struct settings *s, const char *format, va_list args)
{
    char text[TEXT_BYTES];
    vsnprintf(text, sizeof(text), format, args);
    const char *copy = arena_copy(&s->arena, text, strlen(text));
    return copy ? copy : "out of memory";
}

void settings_problem(struct settings *s, const char *format, ...)
{
    if (s->problem_count == SETTINGS_PROBLEMS_MAX) {
        s->problems_dropped++;
        return;
    }
    va_list args;
    va_start(args, format);
    s->problems[s->problem_count++] = settings_text(s, format, args);
    va_end(args);
}

void settings_note(struct settings *s, const char *format, ...)
{
    if (s->note_count == SETTINGS_NOTES_MAX)
        return;
    va_list args;
    va_start(args, format);
    s->notes[s->note_count++] = settings_text(s, format, args);
    va_end(args);
}

// ------------------------------------------------------------------------------------------------ one pair

static void settings_store(struct settings *s, const char *name, const char *value)
{
    char *copy = arena_copy(&s->arena, value, strlen(value));
    if (!copy) {
        settings_problem(s, "the configuration is larger than %d MiB", ARENA_BYTES_MAX >> 20);
        return;
    }
    for (size_t i = 0; i < s->pair_count; i++)
        if (strcmp(s->pairs[i].name, name) == 0) {
            s->pairs[i].value = copy;
            return;
        }
    if (s->pair_count == SETTINGS_PAIRS_MAX) {
        settings_problem(s, "more than %d settings", SETTINGS_PAIRS_MAX);
        return;
    }
    const struct config_key *key = config_find(CONFIG_BROKER, name);
    name = key ? key->name : arena_copy(&s->arena, name, strlen(name));
    if (name)
        s->pairs[s->pair_count++] = (struct config_pair){.name = name, .value = copy};
}

// An older spelling whose value goes into a key together with others. False: name is none of them.
static bool settings_keep_part(struct settings *s, const char *name, const char *value)
{
    struct {
        const char *name, **place;
    } parts[] = {{"port", &s->port},
                 {"host.name", &s->host},
                 {"advertised.host.name", &s->advertised_host},
                 {"advertised.port", &s->advertised_port}};
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++)
        if (strcmp(parts[i].name, name) == 0) {
            *parts[i].place = arena_copy(&s->arena, value, strlen(value));
            return true;
        }
    return false;
}

void settings_set(struct settings *s, const char *where, const char *name, const char *value)
{
    char text[TEXT_BYTES];
    struct bytes listener;
    const struct config_key *key = config_find(CONFIG_BROKER, name), *of_listener = NULL;
    const struct config_old *old = key ? NULL : config_old_find(name);
    if (old && old->kind == CONFIG_OLD_ALIAS) {
        settings_note(s, "%s: %s is read as %s", where, name, old->instead);
        key = config_find(CONFIG_BROKER, old->instead);
    } else if (old && old->kind == CONFIG_OLD_MAPPED && settings_keep_part(s, name, value)) {
        settings_note(s, "%s: %s is an old name: %s", where, name, old->text);
        return;
    }
    if (!key)
        key = of_listener = config_find_listener(name, &listener);
    if (!key) {
        settings_problem(s, "%s: %s", where, config_explain_unknown(CONFIG_BROKER, name, text, sizeof(text)));
        return;
    }
    if (config_check(key, value, text, sizeof(text)) != RC_OK) {
        settings_problem(s, "%s: %s", where, text);
        return;
    }
    if (key->effect == CONFIG_LATER) {
        settings_problem(s, "%s: %s is of a feature this version does not have (%s) Remove the line.", where, key->name,
                         key->text);
        return;
    }
    if (key->effect == CONFIG_ACCEPTED && strcmp(where, SETTINGS_DEFAULT) != 0)
        settings_note(s, "%s: %s is accepted without effect: %s", where, key->name, key->text);
    settings_store(s, of_listener ? name : key->name, value);
}

// ------------------------------------------------------------------------------------------------ properties text

static int hex_digit(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = tolower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t utf8_put(char *out, unsigned c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    out[0] = (char)(0xe0 | c >> 12);
    out[1] = (char)(0x80 | (c >> 6 & 0x3f));
    out[2] = (char)(0x80 | (c & 0x3f));
    return 3;
}

// Four hexadecimal digits at [p, end), or -1.
static int properties_code(const char *p, const char *end)
{
    int code = 0;
    for (int i = 0; i < 4; i++) {
        int digit = end - p > i ? hex_digit(p[i]) : -1;
        if (digit < 0)
            return -1;
        code = code << 4 | digit;
    }
    return code;
}

// Takes Java's backslashes out of [p, end) in place, and the blanks at its end. Returns the text, zero-terminated; NULL:
// a \u without its digits.
static char *properties_unescape(char *p, char *end)
{
    char *out = p, *in = p;
    while (in < end) {
        if (*in != '\\' || in + 1 == end) {
            *out++ = *in++;
            continue;
        }
        in++;
        char c = *in++;
        if (c == 'u') {
            int code = properties_code(in, end);
            if (code < 0)
                return NULL;
            in += 4;
            out += utf8_put(out, (unsigned)code);
            continue;
        }
        *out++ = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'f' ? '\f' : c;
    }
    while (out > p && (out[-1] == ' ' || out[-1] == '\t' || out[-1] == '\r'))
        out--;
    *out = 0;
    return p;
}

// One logical line: name, then '=', ':' or blanks, then value.
static void properties_line(struct settings *s, const char *where, char *line, char *end)
{
    char *name_end = line;
    while (name_end < end && *name_end != '=' && *name_end != ':' && *name_end != ' ' && *name_end != '\t') {
        if (*name_end == '\\' && name_end + 1 < end)
            name_end++;
        name_end++;
    }
    char *value = name_end;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    if (value < end && (*value == '=' || *value == ':'))
        value++;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    char *text = properties_unescape(value, end);
    char *name = properties_unescape(line, name_end);
    if (name && text)
        settings_set(s, where, name, text);
    else
        settings_problem(s, "%s: \\u is not followed by four hexadecimal digits", where);
}

void settings_read_text(struct settings *s, const char *source, struct bytes text)
{
    char *copy = arena_copy(&s->arena, text.p, text.n);
    char *line = arena_alloc(&s->arena, text.n + 1);
    if (!copy || !line) {
        settings_problem(s, "%s: too large", source);
        return;
    }
    size_t number = 0;
    for (char *p = copy, *end = copy + text.n; p < end;) {
        size_t used = 0, first = number + 1;
        bool more = true;
        while (more && p < end) { // a backslash at the end of a line joins it with the next
            number++;
            while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\f'))
                p++;
            char *stop = memchr(p, '\n', (size_t)(end - p));
            char *line_end = stop ? stop : end;
            size_t n = (size_t)(line_end - p), slashes = 0;
            while (n > 0 && p[n - 1] == '\r')
                n--;
            bool comment = used == 0 && n > 0 && (*p == '#' || *p == '!');
            while (slashes < n && p[n - 1 - slashes] == '\\')
                slashes++;
            more = !comment && slashes % 2 == 1;
            if (!comment) {
                memcpy(line + used, p, n - (more ? 1 : 0));
                used += n - (more ? 1 : 0);
            }
            p = stop ? stop + 1 : end;
        }
        if (used > 0) {
            char where[IO_PATH_BYTES_MAX + 24];
            snprintf(where, sizeof(where), "%s:%zu", source, first);
            properties_line(s, where, line, line + used);
        }
    }
}

enum rc settings_read_file(struct settings *s, struct io *io, const char *path)
{
    struct io_file f = {0};
    enum rc rc = io_file_open(io, &f, path, IO_OPEN_READ, IO_FILE_OTHER);
    if (rc != RC_OK)
        return rc;
    uint64_t bytes = 0;
    rc = io_file_size(&f, &bytes);
    if (rc == RC_OK && bytes > FILE_BYTES_MAX)
        rc = RC_EOF;
    char *p = rc == RC_OK ? malloc(bytes + 1) : NULL;
    if (rc == RC_OK && !p)
        rc = RC_NOMEM;
    size_t got = 0;
    if (rc == RC_OK)
        rc = io_file_read_now(&f, p, bytes, 0, &got);
    io_file_close(&f);
    if (rc == RC_OK)
        settings_read_text(s, path, bytes_of(p, got));
    free(p);
    return rc;
}

// ------------------------------------------------------------------------------------------------ environment

void settings_read_environment(struct settings *s, char *const *environment)
{
    static const char *const others[] = {"WEIR_BOOTSTRAP", NULL}; // read by the client commands
    for (; environment && *environment; environment++) {
        const char *value = strchr(*environment, '=');
        if (strncmp(*environment, "WEIR_", 5) != 0 || !value)
            continue;
        size_t n = (size_t)(value - *environment);
        char name[128], where[160];
        bool known = false;
        for (size_t i = 0; others[i]; i++)
            known = known || (strlen(others[i]) == n && strncmp(others[i], *environment, n) == 0);
        if (known)
            continue;
        if (n - 5 >= sizeof(name)) {
            settings_problem(s, "environment: %.40s...: no setting has such a long name", *environment);
            continue;
        }
        for (size_t i = 5; i <= n; i++) {
            char c = (*environment)[i];
            name[i - 5] = (char)(i == n ? 0 : c == '_' ? '.' : tolower((unsigned char)c));
        }
        snprintf(where, sizeof(where), "environment %.*s", (int)n, *environment);
        settings_set(s, where, name, value + 1);
    }
}

// ------------------------------------------------------------------------------------------------ the whole

static bool settings_has(const struct settings *s, const char *name)
{
    for (size_t i = 0; i < s->pair_count; i++)
        if (strcmp(s->pairs[i].name, name) == 0)
            return true;
    return false;
}

static int settings_order(const void *a, const void *b)
{
    return strcmp(((const struct config_pair *)a)->name, ((const struct config_pair *)b)->name);
}

struct config_layer settings_finish(struct settings *s)
{
    char text[TEXT_BYTES];
    if ((s->port || s->host) && !settings_has(s, "listeners")) {
        snprintf(text, sizeof(text), "PLAINTEXT://%s:%s", s->host ? s->host : "", s->port ? s->port : "9092");
        settings_store(s, "listeners", text);
    }
    if ((s->advertised_host || s->advertised_port) && !settings_has(s, "advertised.listeners")) {
        snprintf(text, sizeof(text), "PLAINTEXT://%s:%s",
                 s->advertised_host ? s->advertised_host : (s->host ? s->host : ""),
                 s->advertised_port ? s->advertised_port : (s->port ? s->port : "9092"));
        settings_store(s, "advertised.listeners", text);
    }
    qsort(s->pairs, s->pair_count, sizeof(s->pairs[0]), settings_order);
    return (struct config_layer){.pairs = s->pairs, .count = s->pair_count};
}
