// SPDX-License-Identifier: Apache-2.0
//
// The pure half of DescribeConfigs.
#pragma once

#include "base/arena.h"
#include "meta/image.h"
#include "wire/messages.h"

// Kafka's resource types that have configuration.
enum config_resource { RESOURCE_TOPIC = 2, RESOURCE_BROKER = 4, RESOURCE_BROKER_LOGGER = 8, RESOURCE_GROUP = 32 };

// Whose view is described.
struct configs_view {
    const struct image *image;
    int32_t node;
    struct config_layer properties; // static configuration of node
};

// Fills out; errors of a resource are inside. Values point into view and the arena. RC_NOMEM.
enum rc configs_describe(const struct configs_view *view, const struct describe_configs_request *in, struct arena *a,
                         struct describe_configs_response *out);
