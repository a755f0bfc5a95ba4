// SPDX-License-Identifier: Apache-2.0
//
// The pure half of ApiVersions.
#pragma once

#include "base/arena.h"
#include "meta/image.h"
#include "wire/messages.h"

// Fills out from the dispatch table and image. consumer_groups: the new group protocol is on (group.version 1). RC_NOMEM.
enum rc api_versions_build(const struct image *image, bool consumer_groups, const struct api_versions_request *in,
                           int16_t version, struct arena *a, struct api_versions_response *out);
// Names and versions of client software begin and end with a letter or digit, with '-' and '.' between (KIP-511).
bool api_versions_software_valid(struct bytes s);
