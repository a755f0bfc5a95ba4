// SPDX-License-Identifier: Apache-2.0
//
// The parser: walk the names, gather options, check counts. The first thing that is wrong ends it with one message that
// names it, the nearest right word, and the help to read.
#include "cli/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "cli/suggest.h"

struct parse {
    int argc, at;
    char **argv;
    struct arena *arena;
    struct cli_parsed *out;
    struct buf *message;
    const struct cli_command *path[CLI_DEPTH_MAX];
    uint32_t depth;
    // Options met before the command that owns them was known: places in argv.
    int carried[16];
    uint32_t carried_count;
    bool help;
};

static enum cli_outcome wrong(struct parse *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

static enum cli_outcome wrong(struct parse *p, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    buf_printf(p->message, "%s: %s\nTry '%s --help'.\n", p->out->path, text, p->out->path);
    return CLI_USAGE;
}

static const struct cli_option *find_option(const struct cli_option *table, const char *name, size_t n)
{
    for (const struct cli_option *o = table; o && o->name; o++)
        if (strlen(o->name) == n && memcmp(o->name, name, n) == 0)
            return o;
    return NULL;
}

static const struct cli_option *find_letter(const struct cli_option *table, char letter)
{
    for (const struct cli_option *o = table; o && o->name; o++)
        if (o->letter == letter)
            return o;
    return NULL;
}

// What argv[at] names in the two tables of a command; *attached is a value in the same word, or NULL.
static const struct cli_option *look_up(const struct cli_command *c, const char *word, const char **attached)
{
    *attached = NULL;
    if (word[1] == '-') {
        const char *equals = strchr(word, '=');
        size_t n = equals ? (size_t)(equals - word - 2) : strlen(word + 2);
        const struct cli_option *o = find_option(c->options, word + 2, n);
        if (!o)
            o = find_option(c->shared, word + 2, n);
        *attached = equals ? equals + 1 : NULL;
        return o;
    }
    const struct cli_option *o = find_letter(c->options, word[1]);
    if (!o)
        o = find_letter(c->shared, word[1]);
    if (word[2] != 0)
        *attached = word[2] == '=' ? word + 3 : word + 2;
    return o;
}

static void offer_all(struct suggest *s, const struct cli_option *table)
{
    for (const struct cli_option *o = table; o && o->name; o++)
        suggest_offer(s, o->name);
}

static enum cli_outcome unknown_option(struct parse *p, const struct cli_command *c, const char *word)
{
    char typed[SUGGEST_WORD_MAX + 1];
    snprintf(typed, sizeof(typed), "%s", word[1] == '-' ? word + 2 : word + 1);
    typed[strcspn(typed, "=")] = 0;
    struct suggest s;
    suggest_init(&s, typed);
    offer_all(&s, c->options);
    offer_all(&s, c->shared);
    if (s.best)
        return wrong(p, "unknown option %s. Did you mean --%s?", word, s.best);
    return wrong(p, "unknown option %s.", word);
}

static enum cli_outcome add_to_list(struct parse *p, struct cli_list *list, const char *value)
{
    const char **items = arena_array(p->arena, list->count + 1, sizeof(*items));
    if (!items)
        return wrong(p, "too many options.");
    if (list->count)
        memcpy(items, list->items, list->count * sizeof(*items));
    items[list->count++] = value;
    list->items = items;
    return CLI_RUN;
}

static bool choice_parse(const char *choices, const char *text, int64_t *out)
{
    int64_t place = 0;
    for (const char *c = choices; *c; place++) {
        size_t n = strcspn(c, "|");
        if (strlen(text) == n && memcmp(c, text, n) == 0) {
            *out = place;
            return true;
        }
        c += n + (c[n] == '|');
    }
    return false;
}

static const char *kind_text(enum cli_option_kind kind)
{
    switch (kind) {
    case CLI_SIZE:
        return "a size such as 512, 64k or 16m";
    case CLI_DURATION:
        return "a time such as 500ms, 10s or 5m";
    case CLI_NUMBER:
        return "a whole number";
    case CLI_FLAG:
    case CLI_TEXT:
    case CLI_CHOICE:
    case CLI_LIST:
    case CLI_OPTIONAL:
        break;
    }
    UNREACHABLE();
}

static enum cli_outcome set_number(struct parse *p, const struct cli_option *o, int64_t *place, const char *value)
{
    bool good = o->kind == CLI_NUMBER ? cli_number_parse(value, place)
                : o->kind == CLI_SIZE ? cli_size_parse(value, place)
                                      : cli_duration_parse(value, place);
    if (!good)
        return wrong(p, "--%s wants %s, not '%s'.", o->name, kind_text((enum cli_option_kind)o->kind), value);
    if (o->bounded && *place < o->least)
        return wrong(p, "--%s must be at least %lld.", o->name, (long long)o->least);
    return CLI_RUN;
}

static enum cli_outcome set_value(struct parse *p, const struct cli_option *o, void *place, const char *value)
{
    switch ((enum cli_option_kind)o->kind) {
    case CLI_FLAG:
        *(bool *)place = true;
        return CLI_RUN;
    case CLI_TEXT:
    case CLI_OPTIONAL:
        *(const char **)place = value;
        return CLI_RUN;
    case CLI_LIST:
        return add_to_list(p, place, value);
    case CLI_CHOICE:
        if (!choice_parse(o->choices, value, place))
            return wrong(p, "--%s wants one of %s, not '%s'.", o->name, o->choices, value);
        return CLI_RUN;
    case CLI_NUMBER:
    case CLI_SIZE:
    case CLI_DURATION:
        return set_number(p, o, place, value);
    }
    UNREACHABLE();
}

// Takes the option at argv[*at] with its value and moves past both.
static enum cli_outcome take_option(struct parse *p, const struct cli_command *c, uint8_t *options, int *at)
{
    const char *word = p->argv[*at], *value;
    const struct cli_option *o = look_up(c, word, &value);
    if (!o)
        return unknown_option(p, c, word);
    if (o->kind == CLI_FLAG && value)
        return wrong(p, "--%s takes no value.", o->name);
    if (o->kind == CLI_OPTIONAL && !value && (*at + 1 >= p->argc || p->argv[*at + 1][0] == '-')) {
        value = "";
    } else if (o->kind != CLI_FLAG && !value) {
        if (*at + 1 >= p->argc)
            return wrong(p, "--%s needs a value: --%s %s.", o->name, o->name, o->value_name);
        value = p->argv[++*at];
    }
    ++*at;
    return set_value(p, o, options + o->offset, value);
}

static void set_initials(const struct cli_option *table, uint8_t *options)
{
    for (const struct cli_option *o = table; o && o->name; o++)
        if (o->kind == CLI_NUMBER || o->kind == CLI_SIZE || o->kind == CLI_DURATION || o->kind == CLI_CHOICE)
            memcpy(options + o->offset, &o->initial, sizeof(o->initial));
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "-?") == 0;
}

// Options and arguments of the command that was found.
static enum cli_outcome parse_leaf(struct parse *p, const struct cli_command *c)
{
    uint8_t *options = arena_alloc(p->arena, c->options_bytes);
    const char **arguments = arena_array(p->arena, (size_t)p->argc, sizeof(*arguments));
    if (!options || !arguments)
        return wrong(p, "too many arguments.");
    set_initials(c->options, options);
    set_initials(c->shared, options);
    for (uint32_t i = 0; i < p->carried_count; i++) {
        int at = p->carried[i];
        enum cli_outcome outcome = take_option(p, c, options, &at);
        if (outcome != CLI_RUN)
            return outcome;
    }
    bool only_arguments = c->raw;
    while (p->at < p->argc) {
        const char *word = p->argv[p->at];
        if (!only_arguments && strcmp(word, "--") == 0) {
            only_arguments = true;
            p->at++;
        } else if (only_arguments || word[0] != '-' || word[1] == 0) {
            arguments[p->out->argument_count++] = p->argv[p->at++];
        } else {
            enum cli_outcome outcome = take_option(p, c, options, &p->at);
            if (outcome != CLI_RUN)
                return outcome;
        }
    }
    p->out->options = options;
    p->out->arguments = arguments;
    return CLI_RUN;
}

static enum cli_outcome check_count(struct parse *p, const struct cli_command *c)
{
    if (c->raw)
        return CLI_RUN;
    if (p->out->argument_count < c->arguments_min)
        return wrong(p, "missing argument. Usage: %s %s", p->out->path, c->arguments ? c->arguments : "");
    if (p->out->argument_count > c->arguments_max)
        return wrong(p, "unexpected argument '%s'. Usage: %s%s%s", p->out->arguments[c->arguments_max], p->out->path,
                     c->arguments ? " " : "", c->arguments ? c->arguments : "");
    return CLI_RUN;
}

static enum cli_outcome unknown_command(struct parse *p, const struct cli_command *group, const char *word)
{
    struct suggest s;
    suggest_init(&s, word);
    for (const struct cli_command *c = group->children; c->name; c++)
        suggest_offer(&s, c->name);
    if (s.best)
        return wrong(p, "unknown command '%s'. Did you mean '%s'?", word, s.best);
    return wrong(p, "unknown command '%s'.", word);
}

// An option between the names of a group: remembered when the family shares it.
static enum cli_outcome carry_option(struct parse *p, const struct cli_command *group)
{
    const char *value;
    const struct cli_option *o = look_up(group, p->argv[p->at], &value);
    if (!o)
        return unknown_option(p, group, p->argv[p->at]);
    if (p->carried_count == ARRAY_COUNT(p->carried))
        return wrong(p, "too many options before the command.");
    p->carried[p->carried_count++] = p->at;
    p->at += o->kind == CLI_FLAG || value ? 1 : 2;
    if (p->at > p->argc)
        return wrong(p, "--%s needs a value: --%s %s.", o->name, o->name, o->value_name);
    return CLI_RUN;
}

static const struct cli_command *find_child(const struct cli_command *group, const char *word)
{
    for (const struct cli_command *c = group->children; c->name; c++)
        if (strcmp(c->name, word) == 0)
            return c;
    return NULL;
}

// Walks the names down to a leaf; *c is where it got to.
static enum cli_outcome walk(struct parse *p, const struct cli_command **c)
{
    size_t path_chars = strlen(p->out->path);
    while ((*c)->children && p->at < p->argc) {
        const char *word = p->argv[p->at];
        if (is_help(word))
            return CLI_HELP;
        enum cli_outcome outcome = CLI_RUN;
        if (word[0] == '-') {
            outcome = carry_option(p, *c);
        } else {
            const struct cli_command *child = find_child(*c, word);
            if (!child)
                return unknown_command(p, *c, word);
            *c = child;
            p->at++;
            path_chars += (size_t)snprintf(p->out->path + path_chars, sizeof(p->out->path) - path_chars, " %s", word);
            ASSERT(path_chars < sizeof(p->out->path));
        }
        if (outcome != CLI_RUN)
            return outcome;
    }
    return CLI_RUN;
}

// Help may be asked for anywhere behind the name, values of options aside.
static bool asks_for_help(const struct parse *p, const struct cli_command *c)
{
    if (c->raw)
        return false;
    for (int i = p->at; i < p->argc && strcmp(p->argv[i], "--") != 0; i++) {
        const char *value, *word = p->argv[i];
        if (is_help(word))
            return true;
        const struct cli_option *o = word[0] == '-' && word[1] ? look_up(c, word, &value) : NULL;
        bool bare = o && o->kind == CLI_OPTIONAL && (i + 1 >= p->argc || p->argv[i + 1][0] == '-');
        if (o && o->kind != CLI_FLAG && !value && !bare)
            i++;
    }
    return false;
}

enum cli_outcome cli_parse(const struct cli_command *root, int argc, char **argv, struct arena *a,
                           struct cli_parsed *out, struct buf *message)
{
    struct parse p = {.argc = argc, .at = 1, .argv = argv, .arena = a, .out = out, .message = message};
    *out = (struct cli_parsed){0};
    snprintf(out->path, sizeof(out->path), "%s", root->name);
    const struct cli_command *c = root;
    enum cli_outcome outcome = walk(&p, &c);
    out->command = c;
    if (outcome == CLI_USAGE)
        return outcome;
    if (outcome == CLI_HELP || (!c->children && asks_for_help(&p, c))) {
        cli_help(c, out->path, message);
        return CLI_HELP;
    }
    if (c->children) { // ended at a group: say what there is
        cli_help(c, out->path, message);
        return CLI_USAGE;
    }
    outcome = parse_leaf(&p, c);
    return outcome == CLI_RUN ? check_count(&p, c) : outcome;
}
