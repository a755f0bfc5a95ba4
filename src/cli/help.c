// SPDX-License-Identifier: Apache-2.0
//
// Help out of the command tables: usage, what it does, options with their values, examples.
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "cli/options.h"

enum { HELP_COLUMNS = 100, HELP_INDENT_MAX = 34 };

// Appends text broken at spaces; lines after the first start at column indent. Line ends in text are kept.
static void wrap(struct buf *out, const char *text, size_t indent)
{
    size_t column = indent;
    while (*text) {
        size_t n = strcspn(text, " \n");
        if (column > indent && column + 1 + n > HELP_COLUMNS) {
            buf_printf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            buf_append(out, " ", 1);
            column++;
        }
        buf_append(out, text, n);
        column += n;
        text += n;
        if (*text == '\n') {
            buf_printf(out, "\n%*s", (int)indent, "");
            column = indent;
        }
        text += *text != 0;
    }
    buf_append(out, "\n", 1);
}

static size_t option_left(const struct cli_option *o, char *text, size_t n)
{
    char letter[8] = "    ";
    if (o->letter)
        snprintf(letter, sizeof(letter), "-%c, ", o->letter);
    const char *value = o->value_name ? o->value_name : o->choices;
    int written = snprintf(text, n, "  %s--%s%s%s", letter, o->name, value ? " " : "", value ? value : "");
    ASSERT(written > 0 && (size_t)written < n);
    return (size_t)written;
}

static size_t left_width(const struct cli_option *table, size_t width)
{
    char text[160];
    for (const struct cli_option *o = table; o && o->name; o++) {
        size_t n = option_left(o, text, sizeof(text));
        if (n > width && n <= HELP_INDENT_MAX)
            width = n;
    }
    return width;
}

static bool is_named(const struct cli_option *table, const char *name)
{
    for (const struct cli_option *o = table; o && o->name; o++)
        if (strcmp(o->name, name) == 0)
            return true;
    return false;
}

// Those that `own` explains in its own words are left out.
static void print_options(struct buf *out, const struct cli_option *table, const struct cli_option *own, size_t width)
{
    char text[160];
    for (const struct cli_option *o = table; o && o->name; o++) {
        if (is_named(own, o->name))
            continue;
        size_t n = option_left(o, text, sizeof(text));
        buf_append(out, text, n);
        if (n > width) { // too long to stand beside its explanation
            buf_append(out, "\n", 1);
            n = 0;
        }
        buf_printf(out, "%*s", (int)(width - n + 2), "");
        wrap(out, o->help, width + 2);
    }
}

static void print_children(struct buf *out, const struct cli_command *c)
{
    size_t width = 0;
    for (const struct cli_command *child = c->children; child->name; child++)
        if (strlen(child->name) > width)
            width = strlen(child->name);
    buf_printf(out, "\nCommands:\n");
    for (const struct cli_command *child = c->children; child->name; child++) {
        buf_printf(out, "  %-*s  ", (int)width, child->name);
        wrap(out, child->summary, width + 4);
    }
}

void cli_help(const struct cli_command *c, const char *path, struct buf *out)
{
    buf_printf(out, "Usage: %s%s%s%s\n\n", path,
               c->children    ? " COMMAND"
               : c->arguments ? " "
                              : "",
               c->arguments && !c->children ? c->arguments : "", c->options || c->shared ? " [OPTIONS]" : "");
    wrap(out, c->summary, 0);
    if (c->details) {
        buf_append(out, "\n", 1);
        wrap(out, c->details, 0);
    }
    if (c->children)
        print_children(out, c);
    size_t width = left_width(c->shared, left_width(c->options, 0));
    if (c->options) {
        buf_printf(out, "\nOptions:\n");
        print_options(out, c->options, NULL, width);
    }
    if (c->shared) {
        buf_printf(out, c->options || c->children ? "\nCommon options:\n" : "\nOptions:\n");
        print_options(out, c->shared, c->options, width);
    }
    if (c->examples) {
        buf_printf(out, "\nExamples:\n");
        for (const char *line = c->examples; *line;) {
            size_t n = strcspn(line, "\n");
            buf_printf(out, "  %.*s\n", (int)n, line);
            line += n + (line[n] == '\n');
        }
    }
    if (c->children)
        buf_printf(out, "\n'%s COMMAND --help' explains a command.\n", path);
}
