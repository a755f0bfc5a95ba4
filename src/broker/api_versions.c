// SPDX-License-Identifier: Apache-2.0
//
// ApiVersions: the dispatch table as clients may see it, and the cluster's feature levels (KIP-584). A version from the
// future never comes here: request.c answers it with our range (KIP-511).
#include "broker/api.h"
#include "broker/api_versions.h"
#include "engine/coordinator.h"
#include "meta/controller.h"
#include "model/kerr.h"

enum { FEATURES_VERSION = 3, FEATURES_FROM_ZERO_VERSION = 4, FEATURES_MAX = 2 };

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

// Ranges with minimum 0 would break clients that read 0 as an error; they appear from version 4 on only. A level of 0 is
// left out.
static void feature_add(struct api_versions_response *out, int16_t version, const char *name, int16_t min, int16_t max,
                        int16_t level)
{
    if (min > 0 || version >= FEATURES_FROM_ZERO_VERSION)
        out->supported_features[out->supported_features_count++] = (struct api_versions_response_supported_feature){
            .name = bytes_str(name), .min_version = min, .max_version = max};
    if (level > 0)
        out->finalized_features[out->finalized_features_count++] = (struct api_versions_response_finalized_feature){
            .name = bytes_str(name), .max_version_level = level, .min_version_level = level};
}

static enum rc versions_features(const struct image *image, bool consumer_groups, int16_t version, struct arena *a,
                                 struct api_versions_response *out)
{
    out->supported_features = arena_array(a, FEATURES_MAX, sizeof(*out->supported_features));
    out->finalized_features = arena_array(a, FEATURES_MAX, sizeof(*out->finalized_features));
    if (!out->supported_features || !out->finalized_features)
        return RC_NOMEM;
    out->finalized_features_epoch = (int64_t)image->index;
    feature_add(out, version, FEATURE_GROUP_VERSION, 0, GROUP_VERSION_MAX,
                consumer_groups ? GROUP_VERSION_MAX : 0);
    feature_add(out, version, FEATURE_METADATA_VERSION, METADATA_VERSION_MIN, METADATA_VERSION_MAX,
                image_feature_level(image, FEATURE_METADATA_VERSION));
    return RC_OK;
}

enum rc api_versions_build(const struct image *image, bool consumer_groups, const struct api_versions_request *in,
                           int16_t version, struct arena *a, struct api_versions_response *out)
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
    return version >= FEATURES_VERSION ? versions_features(image, consumer_groups, version, a, out) : RC_OK;
}

void api_api_versions_begin(struct request *rq, const void *message)
{
    struct api_versions_response out;
    const struct engine_shard *es = rq->bs->engine;
    bool consumer_groups = coordinator_consumer_protocol(es);
    if (api_versions_build(engine_image(es), consumer_groups, message, rq->version, &rq->arena, &out) == RC_OK)
        request_answer(rq, &out);
    else
        api_fail_memory(rq);
}
