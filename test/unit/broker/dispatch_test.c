// SPDX-License-Identifier: Apache-2.0
//
// The dispatch table and what ApiVersions makes of it.
#include <criterion/criterion.h>

#include "broker/api_versions.h"
#include "broker/request.h"
#include "fixture.h"
#include "model/kerr.h"

Test(dispatch, rows_are_sorted_and_inside_their_schemas)
{
    for (size_t i = 0; i < api_row_count; i++) {
        const struct api_row *r = &api_rows[i];
        cr_assert(i == 0 || api_rows[i - 1].key < r->key, "%s", r->name);
        cr_assert_eq(r->request->key, r->key, "%s", r->name);
        cr_assert_eq(r->response->key, r->key, "%s", r->name);
        cr_assert_geq(r->version_min, r->request->version_min, "%s", r->name);
        cr_assert_leq(r->version_max, r->request->version_max, "%s", r->name);
        cr_assert_leq(r->version_max, r->response->version_max, "%s", r->name);
        cr_assert_leq(r->version_min, r->version_max, "%s", r->name);
        cr_assert_not_null(r->begin);
    }
}

Test(dispatch, keys_are_found_and_others_are_not)
{
    for (size_t i = 0; i < api_row_count; i++)
        cr_assert_eq(api_find(api_rows[i].key), &api_rows[i]);
    cr_assert_null(api_find(-1));
    cr_assert_null(api_find(4)); // LeaderAndIsr: between brokers, never offered
    cr_assert_null(api_find(999));
}

// Versions without which Debian's librdkafka 2.0.2 switches a feature off; it compares with single versions.
Test(dispatch, what_librdkafka_looks_for_is_offered)
{
    static const struct {
        int16_t key, version;
    } wanted[] = {
        {API_PRODUCE, 0},        {API_PRODUCE, 3},          {API_PRODUCE, 7},           {API_FETCH, 4},
        {API_FETCH, 10},         {API_FIND_COORDINATOR, 0}, {API_LIST_OFFSETS, 1},      {API_INIT_PRODUCER_ID, 0},
        {API_SASL_HANDSHAKE, 0}, {API_SASL_HANDSHAKE, 1},   {API_SASL_AUTHENTICATE, 0}, {API_API_VERSIONS, 0}};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        const struct api_row *r = api_find(wanted[i].key);
        cr_assert(r && r->version_min <= wanted[i].version && r->version_max >= wanted[i].version, "key %d version %d",
                  wanted[i].key, wanted[i].version);
    }
}

static struct api_versions_request client(const char *name, const char *version)
{
    return (struct api_versions_request){.client_software_name = bytes_str(name),
                                         .client_software_version = bytes_str(version)};
}

Test(api_versions, every_row_is_told)
{
    struct fixture f;
    fixture_open(&f);
    struct api_versions_request in = client("raw", "1.0");
    struct api_versions_response out;
    cr_assert_eq(api_versions_build(f.image, true, &in, 0, &f.arena, &out), RC_OK);
    cr_assert_eq(out.error_code, 0);
    cr_assert_eq(out.api_keys_count, api_row_count);
    cr_assert_eq(out.api_keys[0].api_key, 0);
    cr_assert_eq(out.api_keys[0].min_version, 0, "librdkafka drops compression without Produce 0");
    cr_assert_eq(out.supported_features_count, 0);
    fixture_close(&f);
}

Test(api_versions, feature_levels_come_with_version_3)
{
    struct fixture f;
    fixture_open(&f);
    struct api_versions_request in = client("raw", "1.0");
    struct api_versions_response out;
    cr_assert_eq(api_versions_build(f.image, true, &in, 3, &f.arena, &out), RC_OK);
    cr_assert_eq(out.supported_features_count, 1, "a range from 0 on comes with version 4");
    cr_assert_eq(out.finalized_features_epoch, (int64_t)f.image->index);
    int16_t level = image_feature_level(f.image, FEATURE_METADATA_VERSION);
    cr_assert_eq(out.finalized_features_count, 1 + (level > 0));

    cr_assert_eq(fixture_decide(&f, CONTROLLER_FORMAT, NULL, NULL), RC_OK);
    cr_assert_eq(api_versions_build(f.image, true, &in, 4, &f.arena, &out), RC_OK);
    cr_assert_eq(out.supported_features_count, 2);
    cr_assert_eq(out.finalized_features_count, 2);
    cr_assert(bytes_eq(out.finalized_features[0].name, bytes_str("group.version")));
    cr_assert_eq(out.finalized_features[0].max_version_level, 1);
    cr_assert_eq(out.finalized_features[1].max_version_level, METADATA_VERSION_MAX);
    cr_assert_eq(api_versions_build(f.image, false, &in, 4, &f.arena, &out), RC_OK);
    cr_assert_eq(out.supported_features_count, 2, "it could be switched on");
    cr_assert_eq(out.finalized_features_count, 1);
    fixture_close(&f);
}

Test(api_versions, the_name_of_the_client_is_checked)
{
    cr_assert(api_versions_software_valid(bytes_str("librdkafka")));
    cr_assert(api_versions_software_valid(bytes_str("apache-kafka-java.2")));
    cr_assert(api_versions_software_valid(bytes_str("x")));
    cr_assert_not(api_versions_software_valid(bytes_str("")));
    cr_assert_not(api_versions_software_valid(bytes_str("-x")));
    cr_assert_not(api_versions_software_valid(bytes_str("x.")));
    cr_assert_not(api_versions_software_valid(bytes_str("a b")));
    struct fixture f;
    fixture_open(&f);
    struct api_versions_request in = client("no good", "1.0");
    struct api_versions_response out;
    cr_assert_eq(api_versions_build(f.image, true, &in, 3, &f.arena, &out), RC_OK);
    cr_assert_eq(out.error_code, kerr_of(RC_INVALID_REQUEST));
    cr_assert_eq(out.api_keys_count, 0);
    fixture_close(&f);
}
