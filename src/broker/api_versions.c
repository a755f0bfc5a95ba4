// SPDX-License-Identifier: Apache-2.0
//
// ApiVersions: the dispatch table as clients may see it, and the cluster's feature levels (KIP-584). A version from the
// future never comes here: request.c answers it with our range (KIP-511).
#include "broker/api.h"
#include "broker/api_versions.h"
#include "meta/controller.h"
#include "model/kerr.h"

enum { FEATURES_VERSION = 3, FEATURES_FROM_ZERO_VERSION = 4 };

static bool software_char_inner(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool api_versions_software_valid(struct bytes s)
{
    if (s.n == 0 || !software_char_inner(s.p[0]) || !software_char_inner(s.p[s.n - 1]))
        return false;
    for (size_t i = 1; i + 1 < s.n; i++)
        if (!software_char_inner(s.p[i]) && s.p[i] != '-' && s.p[i] != '.')
            return false;
    return true;
}

// Feature ranges with minimum 0 would break clients that read 0 as an error; they appear from version 4 on only.
static enum rc versions_features(const struct image *image, int16_t version, struct arena *a,
                                 struct api_versions_response *out)
{
    if (version < FEATURES_FROM_ZERO_VERSION && METADATA_VERSION_MIN == 0)
        return RC_OK;
    out->supported_features = arena_array(a, 1, sizeof(*out->supported_features));
    out->finalized_features = arena_array(a, 1, sizeof(*out->finalized_features));
    if (!out->supported_features || !out->finalized_features)
        return RC_NOMEM;
    out->supported_features_count = 1;
    *out->supported_features =
        (struct api_versions_response_supported_feature){.name = bytes_str(FEATURE_METADATA_VERSION),
                                                         .min_version = METADATA_VERSION_MIN,
                                                         .max_version = METADATA_VERSION_MAX};
    out->finalized_features_epoch = (int64_t)image->index;
    int16_t level = image_feature_level(image, FEATURE_METADATA_VERSION);
    if (level > 0) {
        out->finalized_features_count = 1;
        *out->finalized_features = (struct api_versions_response_finalized_feature){
            .name = bytes_str(FEATURE_METADATA_VERSION), .max_version_level = level, .min_version_level = level};
    }
    return RC_OK;
}

enum rc api_versions_build(const struct image *image, const struct api_versions_request *in, int16_t version,
                           struct arena *a, struct api_versions_response *out)
{
    api_versions_response_init(out);
    if (version >= 3 && (!api_versions_software_valid(in->client_software_name) ||
                         !api_versions_software_valid(in->client_software_version))) {
        out->error_code = kerr_of(RC_INVALID_REQUEST);
        return RC_OK;
    }
    out->api_keys = arena_array(a, api_row_count, sizeof(*out->api_keys));
    if (!out->api_keys)
        return RC_NOMEM;
    out->api_keys_count = (uint32_t)api_row_count;
    for (size_t i = 0; i < api_row_count; i++)
        out->api_keys[i] = (struct api_versions_response_api_key){
            .api_key = api_rows[i].key, .min_version = api_rows[i].version_min, .max_version = api_rows[i].version_max};
    return version >= FEATURES_VERSION ? versions_features(image, version, a, out) : RC_OK;
}

void api_api_versions_begin(struct request *rq, const void *message)
{
    struct api_versions_response out;
    if (api_versions_build(engine_image(rq->bs->engine), message, rq->version, &rq->arena, &out) == RC_OK)
        request_answer(rq, &out);
    else
        api_fail_memory(rq);
}
