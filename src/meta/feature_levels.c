// SPDX-License-Identifier: Apache-2.0
#include "meta/feature_levels.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *name;
    bool changed;
} metadata_levels[] = {
    {"3.3-IV3", true},  {"3.4-IV0", true},  {"3.5-IV0", false}, {"3.5-IV1", false}, {"3.5-IV2", true},
    {"3.6-IV0", false}, {"3.6-IV1", true},  {"3.6-IV2", true},  {"3.7-IV0", true},  {"3.7-IV1", false},
    {"3.7-IV2", true},  {"3.7-IV3", false}, {"3.7-IV4", false}, {"3.8-IV0", false}, {"3.9-IV0", false},
    {"4.0-IV0", false}, {"4.0-IV1", true},  {"4.0-IV2", false}, {"4.0-IV3", false},
};

_Static_assert(sizeof(metadata_levels) / sizeof(metadata_levels[0]) == METADATA_VERSION_MAX - METADATA_VERSION_MIN + 1,
               "one row a level");

const char *feature_metadata_name(int16_t level)
{
    bool known = level >= METADATA_VERSION_MIN && level <= METADATA_VERSION_MAX;
    return known ? metadata_levels[level - METADATA_VERSION_MIN].name : NULL;
}

int16_t feature_metadata_level(const char *name)
{
    enum { RELEASE_CHARS = 3 };
    bool release = strlen(name) == RELEASE_CHARS || (strlen(name) > RELEASE_CHARS && name[RELEASE_CHARS] == '.');
    for (int16_t level = METADATA_VERSION_MAX; level >= METADATA_VERSION_MIN; level--) {
        const char *row = metadata_levels[level - METADATA_VERSION_MIN].name;
        if (release ? strncmp(row, name, RELEASE_CHARS) == 0 : strcmp(row, name) == 0)
            return level;
    }
    return 0;
}

bool feature_metadata_changed(int16_t low, int16_t high)
{
    for (int16_t level = (int16_t)(low + 1); level <= high; level++)
        if (metadata_levels[level - METADATA_VERSION_MIN].changed)
            return true;
    return false;
}
