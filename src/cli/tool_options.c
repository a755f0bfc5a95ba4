// SPDX-License-Identifier: Apache-2.0
//
// What Kafka's command lines have in common: how options are spelt, which exclude each other, and topics by pattern.
#include <stdio.h>
#include <string.h>

#include "cli/tool.h"

const struct cli_option tool_connection_options[] = {
    TOOL_TEXT(struct tool_common, "bootstrap-server", common.bootstrap, "HOST:PORT[,...]",
              "REQUIRED: the server to connect to"),
    TOOL_TEXT(struct tool_common, "command-config", command_config, "FILE", "properties for the connection"),
    {0},
};

// The option of that name, or its plural (old scripts say --partition), or the only one that begins so; NULL when there
// is none or more than one.
static const struct cli_option *begins(const struct cli_command *tool, const char *name, size_t n)
{
    const struct cli_option *const tables[] = {tool->options, tool->shared}, *found = NULL, *plural = NULL;
    bool several = false;
    for (int i = 0; i < 2; i++) {
        for (const struct cli_option *o = tables[i]; o && o->name; o++) {
            if (strncmp(o->name, name, n) != 0)
                continue;
            if (o->name[n] == 0)
                return o;
            if (strcmp(o->name + n, "s") == 0)
                plural = o;
            several |= found != NULL;
            found = o;
        }
    }
    return plural ? plural : several ? NULL : found;
}

void tool_spell(const struct cli_command *tool, int argc, char **argv, struct arena *a)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *word = argv[i], *name = word + (word[0] == '-') + (word[0] == '-' && word[1] == '-');
        size_t n = strcspn(name, "=");
        // One dash and one letter is an option of that letter, or a value such as -1.
        bool is_name = name != word && n > 0 && (name == word + 2 || n > 1);
        const struct cli_option *o = is_name ? begins(tool, name, n) : NULL;
        if (!o)
            continue;
        char *full = arena_printf(a, "--%s%s", o->name, name + n);
        if (full)
            argv[i] = full;
        if (o->kind != CLI_FLAG && name[n] == 0 && (o->kind != CLI_OPTIONAL || (i + 1 < argc && argv[i + 1][0] != '-')))
            i++; // its value
    }
}

int tool_clash(struct cli *cli, const struct cli_command *tool, struct tool_use option, const struct tool_use *others)
{
    for (; option.given && others->name; others++)
        if (others->given && others->name != option.name)
            return tool_wrong(cli, tool, "Option \"[%s]\" can't be used with option \"[%s]\"", option.name,
                              others->name);
    return CLI_OK;
}

bool tool_pattern(const char *text, regex_t *out)
{
    char pattern[1024];
    int n = snprintf(pattern, sizeof(pattern), "^(%s)$", *text ? text : ".*");
    if (n < 0 || (size_t)n >= sizeof(pattern))
        return false;
    for (char *s = pattern; *s; s++)
        *s = *s == ',' ? '|' : *s;
    return regcomp(out, pattern, REG_EXTENDED | REG_NOSUB) == 0;
}
