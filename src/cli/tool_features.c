// SPDX-License-Identifier: Apache-2.0
//
// kafka-features: describe, upgrade, downgrade, disable, version-mapping, feature-dependencies.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/cluster_features.h"
#include "cli/tool.h"

struct features_options {
    struct tool_common tool;
    const char *controller, *metadata, *release;
    struct cli_list features;
    bool unsafe, dry_run;
};

static const struct cli_option options[] = {
    TOOL_TEXT(struct features_options, "bootstrap-controller", controller, "HOST:PORT[,...]",
              "the same as --bootstrap-server: every node answers"),
    TOOL_TEXT(struct features_options, "metadata", metadata, "RELEASE",
              "of upgrade and downgrade: the level of metadata.version; --release-version is newer"),
    TOOL_TEXT(struct features_options, "release-version", release, "RELEASE",
              "the levels that go with a release, such as 4.0-IV3"),
    TOOL_LIST(struct features_options, "feature", features, "NAME=LEVEL",
              "a level; of disable: a name. May be given many times"),
    TOOL_FLAG(struct features_options, "unsafe", unsafe, "of downgrade and disable: even if metadata is lost; refused"),
    TOOL_FLAG(struct features_options, "dry-run", dry_run, "only validate"),
    {0},
};

static int16_t group_version_of(int16_t metadata)
{
    return metadata >= GROUP_VERSION_METADATA_VERSION ? GROUP_VERSION_MAX : 0;
}

// ------------------------------------------------------------------------------------------------ looking

static int describe(struct cli *cli)
{
    struct api_versions_response all;
    if (!features_ask(cli, &all))
        return CLI_FAILED;
    for (uint32_t i = 0; i < all.supported_features_count; i++) {
        const struct api_versions_response_supported_feature *f = &all.supported_features[i];
        buf_printf(&cli->out,
                   "Feature: %.*s\tSupportedMinVersion: %s\tSupportedMaxVersion: %s\tFinalizedVersionLevel: %s\tEpoch: ",
                   (int)f->name.n, (const char *)f->name.p, features_level_text(cli, f->name, f->min_version),
                   features_level_text(cli, f->name, f->max_version),
                   features_level_text(cli, f->name, features_level(&all, f->name)));
        buf_printf(&cli->out, all.finalized_features_epoch >= 0 ? "%lld\n" : "-\n",
                   (long long)all.finalized_features_epoch);
    }
    return CLI_OK;
}

static int version_mapping(struct cli *cli, const struct features_options *o)
{
    const char *release = o->release ? o->release : feature_metadata_name(METADATA_VERSION_MAX);
    int16_t level = feature_metadata_level(release);
    if (!level)
        return tool_fail(cli, "Unknown release version '%s'. Supported versions are: %s to %s", release,
                         feature_metadata_name(METADATA_VERSION_MIN), feature_metadata_name(METADATA_VERSION_MAX));
    buf_printf(&cli->out, "%s=%d (%s)\n%s=%d\n", FEATURE_METADATA_VERSION, level, release, FEATURE_GROUP_VERSION,
               group_version_of(level));
    return CLI_OK;
}

static int dependencies(struct cli *cli, const struct features_options *o)
{
    if (o->features.count == 0)
        return tool_wrong(cli, &tool_features, "kafka-features: error: argument --feature is required");
    for (uint32_t i = 0; i < o->features.count; i++) {
        const char *name;
        int16_t level;
        const char *wrong = features_parse(cli, o->features.items[i], &name, &level);
        if (wrong)
            return tool_fail(cli, "%s", wrong);
        bool metadata = strcmp(name, FEATURE_METADATA_VERSION) == 0;
        const char *known = feature_metadata_name(level);
        if (metadata && !known)
            return tool_fail(cli, "Unknown metadata.version %d", level);
        if (!metadata && strcmp(name, FEATURE_GROUP_VERSION) != 0)
            return tool_fail(cli, "Unknown feature: %s", name);
        if (!metadata && (level < 0 || level > GROUP_VERSION_MAX))
            return tool_fail(cli, "No feature:%s with feature level %d", name, level);
        if (metadata)
            buf_printf(&cli->out, "%s=%d (%s) has no dependencies.\n", name, level, known);
        else
            buf_printf(&cli->out, "%s=%d has no dependencies.\n", name, level);
    }
    return CLI_OK;
}

// ------------------------------------------------------------------------------------------------ changing

// group.version is none of the metadata here: each node's configuration says.
static int add_release(struct cli *cli, const char *release, int8_t type, struct update_features_request *in)
{
    int16_t level = feature_metadata_level(release);
    if (!level) {
        const char *all = "";
        for (int16_t n = METADATA_VERSION_MIN; n <= METADATA_VERSION_MAX && all; n++)
            all = arena_printf(&cli->arena, "%s%s%s", all, *all ? ", " : "", feature_metadata_name(n));
        return tool_fail(cli, "Unknown metadata.version %s. Supported metadata.version are %s", release, all ? all : "");
    }
    features_add(cli, in, FEATURE_METADATA_VERSION, level, type);
    return CLI_OK;
}

static int gather(struct cli *cli, const struct features_options *o, const char *verb, int8_t type,
                  struct update_features_request *in)
{
    bool disable = strcmp(verb, "disable") == 0;
    if (o->release && (o->metadata || o->features.count > 0))
        return tool_fail(cli, "Can not specify `release-version` with other feature flags.");
    if (o->metadata && !disable)
        buf_printf(&cli->out, " `metadata` flag is deprecated and may be removed in a future release.\n");
    const char *release = disable ? NULL : o->release ? o->release : o->metadata;
    int code = release ? add_release(cli, release, type, in) : CLI_OK;
    for (uint32_t i = 0; i < o->features.count && code == CLI_OK; i++) {
        const char *name = o->features.items[i];
        int16_t level = 0;
        const char *wrong = disable ? NULL : features_parse(cli, o->features.items[i], &name, &level);
        if (wrong)
            return tool_fail(cli, "%s", wrong);
        if (!features_add(cli, in, name, level, type))
            return tool_fail(cli, "Feature %s was specified more than once.", name);
    }
    if (code == CLI_OK && in->feature_updates_count == 0)
        return tool_fail(cli, "You must specify at least one feature to %s", verb);
    return code;
}

static int by_feature(const void *a, const void *b)
{
    const struct update_features_request_feature_update *x = a, *y = b;
    return bytes_cmp(x->feature, y->feature);
}

static void show_updated(struct cli *cli, const struct features_options *o, const char *verb,
                         const struct update_features_request_feature_update *u,
                         const struct update_features_response *out)
{
    bool disable = strcmp(verb, "disable") == 0;
    int n = (int)u->feature.n;
    const char *name = (const char *)u->feature.p, *can = o->dry_run ? "Can not" : "Could not";
    const char *words = tool_words(cli, out->error_code, out->error_message);
    if (out->error_code && disable)
        buf_printf(&cli->out, "%s disable %.*s. %s\n", can, n, name, words);
    else if (out->error_code)
        buf_printf(&cli->out, "%s %s %.*s to %d. %s\n", can, verb, n, name, u->max_version_level, words);
    else if (disable)
        buf_printf(&cli->out, "%.*s %s disabled.\n", n, name, o->dry_run ? "can be" : "was");
    else
        buf_printf(&cli->out, "%.*s %s %sd to %d.\n", n, name, o->dry_run ? "can be" : "was", verb,
                   u->max_version_level);
}

static int update(struct cli *cli, const struct features_options *o, const char *verb)
{
    struct update_features_request in;
    struct update_features_response out;
    int8_t type = *verb == 'u' ? FEATURES_UPGRADE : o->unsafe ? FEATURES_UNSAFE_DOWNGRADE : FEATURES_SAFE_DOWNGRADE;
    update_features_request_init(&in);
    in.validate_only = o->dry_run;
    int code = gather(cli, o, verb, type, &in);
    if (code != CLI_OK)
        return code;
    if (!features_update(cli, &in, &out))
        return CLI_FAILED;
    qsort(in.feature_updates, in.feature_updates_count, sizeof(*in.feature_updates), by_feature);
    for (uint32_t i = 0; i < in.feature_updates_count; i++)
        show_updated(cli, o, verb, &in.feature_updates[i], &out);
    return out.error_code ? tool_fail(cli, "%u out of %u operation(s) failed.", in.feature_updates_count,
                                      in.feature_updates_count)
                          : CLI_OK;
}

// ------------------------------------------------------------------------------------------------ the command line

static int run(struct cli *cli, const struct cli_parsed *parsed)
{
    static const char *const verbs[] = {"describe", "upgrade",         "downgrade",
                                        "disable",  "version-mapping", "feature-dependencies"};
    struct features_options o = *(const struct features_options *)parsed->options;
    const char *verb = parsed->arguments[0];
    size_t at = 0;
    while (at < ARRAY_COUNT(verbs) && strcmp(verbs[at], verb) != 0)
        at++;
    if (!o.tool.common.bootstrap)
        o.tool.common.bootstrap = o.controller;
    if (!o.tool.common.bootstrap)
        return tool_wrong(cli, &tool_features,
                          "kafka-features: error: one of the arguments --bootstrap-server --bootstrap-controller is "
                          "required");
    if (at == ARRAY_COUNT(verbs))
        return tool_wrong(cli, &tool_features,
                          "kafka-features: error: invalid choice: '%s' (choose from 'describe', 'upgrade', 'downgrade', "
                          "'disable', 'version-mapping', 'feature-dependencies')",
                          verb);
    int code;
    if (strcmp(verb, "version-mapping") == 0)
        code = version_mapping(cli, &o);
    else if (strcmp(verb, "feature-dependencies") == 0)
        code = dependencies(cli, &o);
    else if (!tool_connect(cli, &tool_features, &o.tool))
        return CLI_FAILED;
    else
        code = strcmp(verb, "describe") == 0 ? describe(cli) : update(cli, &o, verb);
    return code == CLI_OK ? cli_done(cli) : code;
}

const struct cli_command tool_features = {
    .name = "kafka-features",
    .arguments = "describe|upgrade|downgrade|disable|version-mapping|feature-dependencies",
    .summary = "This tool manages feature flags in Kafka.",
    .options = options,
    .shared = tool_connection_options,
    .options_bytes = sizeof(struct features_options),
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run};
