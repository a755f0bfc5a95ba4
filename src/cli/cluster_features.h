// SPDX-License-Identifier: Apache-2.0
//
// Feature levels of the cluster, for weir admin features and kafka-features. cli->client is connected; false after a
// message; answers live in cli->arena.
#pragma once

#include "cli/cli.h"
#include "meta/feature_levels.h"

enum { FEATURES_UPGRADE = 1, FEATURES_SAFE_DOWNGRADE = 2, FEATURES_UNSAFE_DOWNGRADE = 3 };

// What the cluster's nodes support and what is finalized, supported ones sorted by name.
bool features_ask(struct cli *cli, struct api_versions_response *out);
// The finalized level; 0: none.
int16_t features_level(const struct api_versions_response *all, struct bytes name);
// Levels as people know them: "4.0-IV3" of metadata.version, else the number. In the arena.
const char *features_level_text(struct cli *cli, struct bytes name, int16_t level);
// Appends {name, level} in the given direction. False: it stands there already.
bool features_add(struct cli *cli, struct update_features_request *in, const char *name, int16_t level, int8_t type);
// "name=level": NULL, or why it is not one. *name lives in the arena.
const char *features_parse(struct cli *cli, const char *text, const char **name, int16_t *level);
bool features_update(struct cli *cli, struct update_features_request *in, struct update_features_response *out);
