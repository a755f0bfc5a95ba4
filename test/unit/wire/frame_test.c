// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include "wire/frame.h"
#include "wire/messages.h"

Test(frame, request_headers_survive_and_leave_the_body)
{
    for (int16_t version = 0; version <= 4; version++) {
        struct buf b;
        struct enc e;
        buf_init(&b, 1000);
        enc_init(&e, &b, NULL, 0);
        struct frame_mark mark = frame_request_begin(&e, API_API_VERSIONS, version, 77, bytes_str("me"));
        struct api_versions_request m;
        api_versions_request_init(&m);
        m.client_software_name = bytes_str("soft");
        api_versions_request_encode(&e, version, &m);
        frame_end(&e, mark);
        cr_assert(enc_ok(&e));
        cr_assert_eq(be32(b.p), b.n - 4);
        struct frame_request q;
        struct dec body;
        cr_assert_eq(frame_request_parse(bytes_of(b.p + 4, b.n - 4), &q, &body), RC_OK);
        cr_assert_eq(q.api_key, 18);
        cr_assert_eq(q.api_version, version);
        cr_assert_eq(q.correlation_id, 77);
        cr_assert(bytes_eq(q.client_id, bytes_str("me")));
        struct arena a;
        arena_init(&a, 1000, NULL, 0);
        cr_assert_eq(api_versions_request_decode(&body, version, &a, &m), RC_OK);
        cr_assert(bytes_eq(m.client_software_name, bytes_str(version >= 3 ? "soft" : "")));
        cr_assert_eq(dec_left(&body), 0);
        arena_deinit(&a);
        buf_deinit(&b);
    }
}

Test(frame, hand_written_and_generated_headers_agree)
{
    struct request_header h = {
        .request_api_key = API_PRODUCE, .request_api_version = 9, .correlation_id = -5, .client_id = {0}};
    struct buf b;
    struct enc e;
    buf_init(&b, 1000);
    enc_init(&e, &b, NULL, 0);
    request_header_encode(&e, 2, &h);
    struct frame_request q;
    struct dec body;
    cr_assert_eq(frame_request_parse(buf_bytes(&b), &q, &body), RC_OK);
    cr_assert_eq(q.correlation_id, -5);
    cr_assert_null(q.client_id.p);
    cr_assert_str_eq(q.message->name, "Produce");
    size_t n = b.n;
    struct frame_mark mark = frame_request_begin(&e, API_PRODUCE, 9, -5, (struct bytes){0});
    frame_end(&e, mark);
    cr_assert_eq(memcmp(b.p, b.p + n + 4, n), 0);
    cr_assert_eq(b.n, n + 4 + n);
    buf_deinit(&b);
}

Test(frame, what_cannot_be_served_can_still_be_named)
{
    struct frame_request q;
    struct dec body;
    uint8_t future[] = {0, 18, 0, 127, 0, 0, 0, 9, 0, 1, 'c', 0xff, 0xff};
    cr_assert_eq(frame_request_parse(bytes_of(future, sizeof(future)), &q, &body), RC_UNSUPPORTED_VERSION);
    cr_assert_eq(q.correlation_id, 9);
    cr_assert_eq(q.api_version, 127);
    cr_assert(bytes_eq(q.client_id, bytes_str("c")));
    uint8_t unknown[] = {3, 232, 0, 0, 0, 0, 0, 9, 0xff, 0xff};
    cr_assert_eq(frame_request_parse(bytes_of(unknown, sizeof(unknown)), &q, &body), RC_UNSUPPORTED);
    cr_assert_eq(q.api_key, 1000);
    for (size_t n = 0; n < 10; n++)
        cr_assert_eq(frame_request_parse(bytes_of(unknown, n), &q, &body), RC_MALFORMED);
}

Test(frame, api_versions_answers_with_the_old_header_in_every_version)
{
    struct buf b;
    struct enc e;
    buf_init(&b, 100);
    enc_init(&e, &b, NULL, 0);
    frame_end(&e, frame_response_begin(&e, API_API_VERSIONS, 4, 3));
    cr_assert_eq(b.n, 8);
    frame_end(&e, frame_response_begin(&e, API_METADATA, 9, 3));
    cr_assert_eq(b.n, 8 + 9);
    int32_t id;
    struct dec body;
    cr_assert_eq(frame_response_parse(bytes_of(b.p + 12, 5), API_METADATA, 9, &id, &body), RC_OK);
    cr_assert_eq(id, 3);
    cr_assert_eq(dec_left(&body), 0);
    cr_assert_eq(frame_response_parse(bytes_of(b.p + 12, 4), API_METADATA, 9, &id, &body), RC_MALFORMED);
    buf_deinit(&b);
}

Test(frame, the_length_counts_the_holes)
{
    struct buf b;
    struct enc e;
    struct enc_hole hole[2];
    buf_init(&b, 1000);
    enc_init(&e, &b, hole, 2);
    for (int i = 0; i < 2; i++) {
        size_t at = b.n;
        struct frame_mark mark = frame_response_begin(&e, API_FETCH, 12, 3);
        enc_records(&e, (struct records){.bytes = {.n = 5000}, .hole = &b}, true, true);
        frame_end(&e, mark);
        cr_assert(enc_ok(&e));
        cr_assert_eq(be32(b.p + at), b.n - at - 4 + 5000);
    }
    buf_deinit(&b);
}
