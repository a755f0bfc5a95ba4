// SPDX-License-Identifier: Apache-2.0
#include "cli/tool_partitions.h"

#include <jansson.h>
#include <string.h>

#include "cli/properties.h"

static const char *take(const json_t *entry, bool with_offsets, struct arena *a, struct tool_partition *out)
{
    const json_t *topic = json_object_get(entry, "topic"), *partition = json_object_get(entry, "partition"),
                 *offset = json_object_get(entry, "offset");
    if (!json_is_string(topic))
        return "Expected `string` value, received something else as the topic";
    if (!json_is_integer(partition) || json_integer_value(partition) < 0 || json_integer_value(partition) > INT32_MAX)
        return "Expected `int` value, received something else as the partition";
    if (with_offsets && !json_is_integer(offset))
        return "Expected `long` value, received something else as the offset";
    out->topic = arena_copy(a, json_string_value(topic), json_string_length(topic));
    out->partition = (int32_t)json_integer_value(partition);
    out->offset = with_offsets ? json_integer_value(offset) : -1;
    return out->topic ? NULL : "out of memory";
}

static bool is_twice(const struct tool_partitions *p, uint32_t at)
{
    for (uint32_t i = 0; i < at; i++)
        if (p->items[i].partition == p->items[at].partition && strcmp(p->items[i].topic, p->items[at].topic) == 0)
            return true;
    return false;
}

static const char *parse(const json_t *root, bool with_offsets, struct arena *a, struct tool_partitions *out)
{
    const json_t *list = json_object_get(root, "partitions"), *version = json_object_get(root, "version");
    if (!json_is_object(root))
        return "The input string is not a valid JSON";
    if (version && (!json_is_integer(version) || json_integer_value(version) != 1))
        return "Not supported version field value";
    if (!json_is_array(list))
        return with_offsets ? "Missing partitions field" : "Replica election data is missing \"partitions\" field";
    uint32_t count = (uint32_t)json_array_size(list);
    out->items = arena_array(a, (size_t)count + 1, sizeof(*out->items));
    if (!out->items)
        return "out of memory";
    out->twice = count;
    for (uint32_t i = 0; i < count; i++) {
        const char *wrong = take(json_array_get(list, i), with_offsets, a, &out->items[i]);
        if (wrong)
            return wrong;
        out->count++;
        if (out->twice == count && is_twice(out, i))
            out->twice = i;
    }
    return NULL;
}

bool tool_partitions_parse(const char *text, bool with_offsets, struct arena *a, struct tool_partitions *out)
{
    *out = (struct tool_partitions){0};
    json_t *root = json_loads(text, 0, NULL);
    out->wrong = root ? parse(root, with_offsets, a, out) : "The input string is not a valid JSON";
    json_decref(root);
    return out->wrong == NULL;
}

bool tool_partitions_read(struct cli *cli, const char *path, bool with_offsets, struct tool_partitions *out)
{
    enum rc rc;
    const char *text = properties_text(cli, path, &rc);
    if (!text)
        tool_fail(cli, "Unable to read file %s", path);
    else if (!tool_partitions_parse(text, with_offsets, &cli->arena, out))
        tool_fail(cli, "%s", out->wrong);
    else
        return true;
    return false;
}
