// SPDX-License-Identifier: Apache-2.0
//
// Configuration of consumer groups: few groups have any. One row in order of names, copied when one of them changes.
#include "meta/image_core.h"

#include <stdlib.h>

static void entry_unref(struct image_group *g)
{
    if (!g || !image_count_down(&g->refs))
        return;
    image_configs_unref(g->configs);
    free(g);
}

void image_groups_unref(struct image_groups *list)
{
    if (!list || !image_count_down(&list->refs))
        return;
    for (uint32_t i = 0; i < list->count; i++)
        entry_unref(list->at[i]);
    free(list);
}

// Where name is, or would be.
static uint32_t place_of(const struct image_groups *list, struct bytes name, bool *found)
{
    uint32_t low = 0, high = list ? list->count : 0;
    *found = false;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = bytes_cmp(image_group_name(list->at[middle]), name);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct image_group *image_groups_find(const struct image_groups *list, struct bytes name)
{
    bool found;
    uint32_t at = place_of(list, name, &found);
    return found ? list->at[at] : NULL;
}

static struct image_group *entry_build(struct bytes name, struct image_configs *configs_owned)
{
    struct image_group *g = malloc(sizeof(*g) + name.n);
    if (!g) {
        image_configs_unref(configs_owned);
        return NULL;
    }
    *g = (struct image_group){.refs = 1, .configs = configs_owned, .name_bytes = (uint16_t)name.n};
    memcpy(g->name, name.p, name.n);
    return g;
}

enum rc image_groups_with(const struct image_groups *from, struct bytes group, struct bytes name, struct bytes value,
                          struct image_groups **out)
{
    bool found;
    uint32_t old = from ? from->count : 0, at = place_of(from, group, &found);
    struct image_configs *configs;
    *out = NULL;
    if (image_configs_with(found ? from->at[at]->configs : NULL, name, value, &configs) != RC_OK)
        return RC_NOMEM;
    struct image_group *entry = configs ? entry_build(group, configs) : NULL;
    if (configs && !entry)
        return RC_NOMEM;
    uint32_t count = old - found + (entry != NULL);
    if (count == 0)
        return RC_OK;
    struct image_groups *list = malloc(sizeof(*list) + count * sizeof(struct image_group *));
    if (!list) {
        entry_unref(entry);
        return RC_NOMEM;
    }
    *list = (struct image_groups){.refs = 1};
    for (uint32_t i = 0; i <= old; i++) {
        if (i == at && entry)
            list->at[list->count++] = entry;
        if (i == old || (i == at && found))
            continue;
        image_count_up(&from->at[i]->refs);
        list->at[list->count++] = from->at[i];
    }
    ASSERT(list->count == count);
    *out = list;
    return RC_OK;
}
