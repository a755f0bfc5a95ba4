// SPDX-License-Identifier: Apache-2.0
//
// kafka-configs --alter: the settings of --add-config and --delete-config, and the request.
#include <stdio.h>
#include <string.h>

#include "cli/properties.h"
#include "cli/tool_configs.h"

enum { CONFIGS_CHANGES_MAX = 1000 };

// Where the word that begins at p ends: at a `stop` outside square brackets, or at the end.
static const char *word_end(const char *p, char stop)
{
    for (bool inside = false; *p && (inside || *p != stop); p++)
        inside = *p == '[' ? true : *p == ']' ? false : inside;
    return p;
}

// Without the spaces around and without square brackets; lives in the arena. p NULL: no memory.
static struct bytes bare(const char *p, size_t n, struct arena *a)
{
    while (n > 0 && (*p == ' ' || *p == '\t'))
        p++, n--;
    while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
        n--;
    char *text = arena_copy(a, p, n);
    size_t kept = 0;
    for (size_t i = 0; text && i < n; i++)
        if (text[i] != '[' && text[i] != ']')
            text[kept++] = text[i];
    return bytes_of(text, kept);
}

bool tool_configs_parse(const char *text, struct arena *a, struct incremental_alter_configs_request_config *configs,
                        uint32_t max, uint32_t *count)
{
    for (const char *p = text, *end; *p; p = end + (*end == ',')) {
        end = word_end(p, ',');
        const char *equals = word_end(p, '=');
        if (equals >= end || equals == p || *count == max || word_end(equals + 1, '=') < end)
            return false;
        struct incremental_alter_configs_request_config *c = &configs[(*count)++];
        incremental_alter_configs_request_config_init(c);
        c->config_operation = CONFIGS_SET;
        c->name = bare(p, (size_t)(equals - p), a);
        c->value = bare(equals + 1, (size_t)(end - equals - 1), a);
        if (!c->name.p || !c->value.p)
            return false;
    }
    return true;
}

struct changes {
    struct incremental_alter_configs_request_config *items;
    uint32_t count;
};

// False after a message.
static bool take_additions(struct cli *cli, const struct tool_configs_options *o, struct changes *c)
{
    struct cli_list file = {0};
    for (uint32_t i = 0; i < o->additions.count; i++) {
        if (tool_configs_parse(o->additions.items[i], &cli->arena, c->items, CONFIGS_CHANGES_MAX, &c->count))
            continue;
        tool_fail(cli, "requirement failed: Invalid entity config: all configs to be added must be in the format "
                       "\"key=val\" or  \"key=[val1,val2]\" to group values which contain commas.");
        return false;
    }
    if (o->file && properties_read(cli, o->file, &file) != CLI_OK)
        return false;
    for (uint32_t i = 0; i < file.count; i++) {
        const char *equals = strchr(file.items[i], '=');
        if (!equals || c->count == CONFIGS_CHANGES_MAX) {
            tool_fail(cli, "%s: %s", o->file, equals ? "too many settings" : "a line is not key=value");
            return false;
        }
        struct incremental_alter_configs_request_config *one = &c->items[c->count++];
        incremental_alter_configs_request_config_init(one);
        one->config_operation = CONFIGS_SET;
        one->name = bytes_of(file.items[i], (size_t)(equals - file.items[i]));
        one->value = bytes_str(equals + 1);
    }
    return true;
}

static bool is_set(const struct describe_configs_response_result *now, const char *name)
{
    for (uint32_t i = 0; i < now->configs_count; i++)
        if (bytes_eq(now->configs[i].name, bytes_str(name)))
            return true;
    return false;
}

// Names what is to be taken back; what is not set is an error, as it is there. False after a message.
static bool take_deletions(struct cli *cli, const struct cli_list *list,
                           const struct describe_configs_response_result *now, struct changes *c)
{
    char unknown[512] = "";
    size_t n = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        char *rest = arena_copy(&cli->arena, list->items[i], strlen(list->items[i])), *word;
        while (rest && (word = strsep(&rest, ",")) != NULL) {
            word += strspn(word, " ");
            word[strcspn(word, " ")] = 0;
            if (!is_set(now, word) && n < sizeof(unknown))
                n += (size_t)snprintf(unknown + n, sizeof(unknown) - n, "%s%s", n ? "," : "", word);
            if (c->count == CONFIGS_CHANGES_MAX) {
                tool_fail(cli, "more than %d settings", CONFIGS_CHANGES_MAX);
                return false;
            }
            struct incremental_alter_configs_request_config *one = &c->items[c->count++];
            incremental_alter_configs_request_config_init(one);
            one->config_operation = CONFIGS_DELETE;
            one->name = bytes_str(word);
        }
    }
    if (n)
        tool_fail(cli, "Invalid config(s): %s", unknown);
    return n == 0;
}

int tool_configs_alter(struct cli *cli, const struct tool_configs_options *o, const struct tool_configs_entity *e)
{
    struct changes c = {.items = cli_alloc(cli, CONFIGS_CHANGES_MAX, sizeof(*c.items))};
    struct configs_resource r = tool_configs_resource(e);
    struct describe_configs_response_result now;
    struct incremental_alter_configs_response_response result;
    if (!take_additions(cli, o, &c) || !tool_configs_settings(cli, e, false, &now) ||
        !take_deletions(cli, &o->deletions, &now, &c) ||
        !configs_ask_change(cli, &r, c.items, c.count, false, &result))
        return CLI_FAILED;
    if (result.error_code)
        return tool_configs_fail(cli, tool_words(cli, result.error_code, result.error_message));
    if (*e->name)
        buf_printf(&cli->out, "Completed updating config for %.*s %s.\n", (int)strlen(e->type) - 1, e->type, e->name);
    else
        buf_printf(&cli->out, "Completed updating default config for %s in the cluster.\n", e->type);
    return CLI_OK;
}
