// SPDX-License-Identifier: Apache-2.0
//
// weir admin features: which levels the cluster's metadata and protocols have, and how that changes.
#include "cli/commands.h"
#include "cli/cluster_features.h"

struct features_options {
    struct cli_common common;
    bool dry_run;
};

static int features_list(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct features_options *o = parsed->options;
    struct api_versions_response all;
    struct table t;
    struct json j;
    if (!cli_connect(cli, &o->common) || !features_ask(cli, &all))
        return CLI_FAILED;
    json_init(&j, &cli->out, true);
    table_init(&t, &cli->arena, "FEATURE|>LEVEL|NAME|>MIN|>MAX");
    if (o->common.json)
        json_put_array(&j);
    for (uint32_t i = 0; i < all.supported_features_count; i++) {
        const struct api_versions_response_supported_feature *f = &all.supported_features[i];
        int16_t level = features_level(&all, f->name);
        if (o->common.json) {
            json_put_object(&j);
            json_put_key_text(&j, "feature", f->name);
            json_put_key_int(&j, "level", level);
            json_put_key_str(&j, "name", features_level_text(cli, f->name, level));
            json_put_key_int(&j, "min", f->min_version);
            json_put_key_int(&j, "max", f->max_version);
            json_put_object_end(&j);
            continue;
        }
        table_cell_bytes(&t, f->name);
        table_cell(&t, "%d", level);
        table_cell(&t, "%s", features_level_text(cli, f->name, level));
        table_cell(&t, "%d", f->min_version);
        table_cell(&t, "%d", f->max_version);
    }
    if (o->common.json) {
        json_put_array_end(&j);
        buf_printf(&cli->out, "\n");
    } else {
        table_print(&t, &cli->out);
    }
    return cli_done(cli);
}

// The level: of metadata.version by Kafka's name ("4.0", "3.9-IV0"), of any as NAME=LEVEL.
static int change(struct cli *cli, const struct cli_parsed *parsed, int8_t type)
{
    const struct features_options *o = parsed->options;
    struct update_features_request in;
    struct update_features_response out;
    const char *text = parsed->arguments[0], *name = FEATURE_METADATA_VERSION;
    int16_t level = feature_metadata_level(text);
    const char *wrong = level > 0 ? NULL : features_parse(cli, text, &name, &level);
    if (wrong)
        return cli_wrong(cli, "'%s' is neither a release with metadata of its own (%s to %s) nor NAME=LEVEL.", text,
                         feature_metadata_name(METADATA_VERSION_MIN), feature_metadata_name(METADATA_VERSION_MAX));
    update_features_request_init(&in);
    in.validate_only = o->dry_run;
    if (!cli_connect(cli, &o->common) || !features_add(cli, &in, name, level, type) || !features_update(cli, &in, &out))
        return CLI_FAILED;
    if (out.error_code)
        return cli_fail_code(cli, name, out.error_code, out.error_message);
    buf_printf(&cli->out, "%s %s level %d (%s)\n", name, o->dry_run ? "can have" : "has", level,
               features_level_text(cli, bytes_str(name), level));
    return cli_done(cli);
}

static int features_upgrade(struct cli *cli, const struct cli_parsed *parsed)
{
    return change(cli, parsed, FEATURES_UPGRADE);
}

static int features_downgrade(struct cli *cli, const struct cli_parsed *parsed)
{
    return change(cli, parsed, FEATURES_SAFE_DOWNGRADE);
}

static const struct cli_option change_options[] = {
    {.name = "dry-run",
     .kind = CLI_FLAG,
     .offset = offsetof(struct features_options, dry_run),
     .help = "only ask whether it could be done"},
    {0},
};

const struct cli_command admin_features_commands[] = {
    {.name = "list",
     .summary = "Show each feature, its level and what this cluster's nodes support.",
     .shared = cli_common_options,
     .options_bytes = sizeof(struct features_options),
     .run = features_list,
     .examples = "weir admin features list"},
    {.name = "upgrade",
     .arguments = "RELEASE|NAME=LEVEL",
     .summary = "Raise a level, of metadata.version by the name of a release.",
     .details = "Every registered node and every voter must support it.",
     .options = change_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct features_options),
     .arguments_min = 1,
     .arguments_max = 1,
     .run = features_upgrade,
     .examples = "weir admin features upgrade 4.0\nweir admin features upgrade metadata.version=25 --dry-run"},
    {.name = "downgrade",
     .arguments = "RELEASE|NAME=LEVEL",
     .summary = "Lower a level, where nothing of the metadata is lost by it.",
     .options = change_options,
     .shared = cli_common_options,
     .options_bytes = sizeof(struct features_options),
     .arguments_min = 1,
     .arguments_max = 1,
     .run = features_downgrade,
     .examples = "weir admin features downgrade 4.0-IV2 --dry-run"},
    {0},
};
