// SPDX-License-Identifier: Apache-2.0
#include "cli/cluster_features.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEATURES_MAX = 32 };

static int by_name(const void *a, const void *b)
{
    const struct api_versions_response_supported_feature *x = a, *y = b;
    return bytes_cmp(x->name, y->name);
}

bool features_ask(struct cli *cli, struct api_versions_response *out)
{
    struct api_versions_request in;
    api_versions_request_init(&in);
    in.client_software_name = bytes_str("weir");
    in.client_software_version = bytes_str("1");
    if (!cli_ask(cli, CLIENT_NODE_ANY, &api_versions_request_message, &in, &api_versions_response_message, out))
        return false;
    if (out->error_code) {
        cli_fail_code(cli, "the features", out->error_code, (struct bytes){0});
        return false;
    }
    qsort(out->supported_features, out->supported_features_count, sizeof(*out->supported_features), by_name);
    return true;
}

int16_t features_level(const struct api_versions_response *all, struct bytes name)
{
    for (uint32_t i = 0; i < all->finalized_features_count; i++)
        if (bytes_eq(all->finalized_features[i].name, name))
            return all->finalized_features[i].max_version_level;
    return 0;
}

const char *features_level_text(struct cli *cli, struct bytes name, int16_t level)
{
    const char *known = feature_metadata_name(level), *text;
    if (!bytes_eq(name, bytes_str(FEATURE_METADATA_VERSION)))
        text = arena_printf(&cli->arena, "%d", level);
    else
        text = known ? known : arena_printf(&cli->arena, "UNKNOWN %d", level);
    return text ? text : "";
}

bool features_add(struct cli *cli, struct update_features_request *in, const char *name, int16_t level, int8_t type)
{
    if (in->feature_updates_count == 0)
        in->feature_updates = cli_alloc(cli, FEATURES_MAX, sizeof(*in->feature_updates));
    for (uint32_t i = 0; i < in->feature_updates_count; i++)
        if (bytes_eq(in->feature_updates[i].feature, bytes_str(name)))
            return false;
    if (in->feature_updates_count == FEATURES_MAX)
        return false;
    struct update_features_request_feature_update *u = &in->feature_updates[in->feature_updates_count++];
    update_features_request_feature_update_init(u);
    u->feature = bytes_str(name);
    u->max_version_level = level;
    u->upgrade_type = type;
    return true;
}

const char *features_parse(struct cli *cli, const char *text, const char **name, int16_t *level)
{
    const char *equals = strchr(text, '=');
    int64_t number;
    if (!equals)
        return arena_printf(&cli->arena, "Can't parse feature=level string %s: equals sign not found.", text);
    if (!cli_number_parse(equals + 1, &number) || number < INT16_MIN || number > INT16_MAX)
        return arena_printf(&cli->arena, "Can't parse feature=level string %s: unable to parse %s as a short.", text,
                            equals + 1);
    *name = arena_copy(&cli->arena, text, (size_t)(equals - text));
    *level = (int16_t)number;
    return *name ? NULL : "out of memory";
}

bool features_update(struct cli *cli, struct update_features_request *in, struct update_features_response *out)
{
    return cli_ask(cli, CLIENT_NODE_CONTROLLER, &update_features_request_message, in, &update_features_response_message,
                   out);
}
