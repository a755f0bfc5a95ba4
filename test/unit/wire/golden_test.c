// SPDX-License-Identifier: Apache-2.0
//
// Frames recorded from real clients and brokers (test/golden): each must decode to its end, and encode to the same
// bytes. Differences that a correct encoder may have are named below, and only those pass.
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "wire/frame.h"
#include "wire/messages.h"

enum { OUT_BYTES = 4096 };

static bool read_hex(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    int c, high = -1;
    while ((c = fgetc(f)) != EOF) {
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            continue;
        if (high >= 0)
            buf_put_u8(out, (uint8_t)(high << 4 | digit));
        high = high >= 0 ? -1 : digit;
    }
    fclose(f);
    return true;
}

static const struct schema_message *by_name(const struct schema_message *const *rows, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(rows[i]->name, name) == 0)
            return rows[i];
    return NULL;
}

// One frame: header and body, there and back.
static void check_frame(const char *path, struct bytes frame, const struct schema_message *m, int16_t version,
                        bool request)
{
    static union {
        uint8_t bytes[OUT_BYTES];
        max_align_t align;
    } out;
    struct dec body;
    struct frame_request q = {0};
    int32_t correlation = 0;
    enum rc rc = request ? frame_request_parse(frame, &q, &body)
                         : frame_response_parse(frame, m->key, version, &correlation, &body);
    cr_assert_eq(rc, RC_OK, "%s: header: %s", path, rc_name(rc));
    cr_assert(!request || (q.api_key == m->key && q.api_version == version), "%s: another API", path);
    struct arena a;
    arena_init(&a, 1 << 20, NULL, 0);
    rc = schema_decode(m, &body, version, &a, out.bytes);
    cr_assert_eq(rc, RC_OK, "%s: body: %s at %zu of %zu", path, rc_name(rc), frame.n - dec_left(&body), frame.n);
    cr_assert_eq(dec_left(&body), 0, "%s: %zu bytes left", path, dec_left(&body));
    struct buf again;
    struct enc e;
    buf_init(&again, 1 << 20);
    enc_init(&e, &again, NULL, 0);
    struct frame_mark mark = request ? frame_request_begin(&e, m->key, version, q.correlation_id, q.client_id)
                                     : frame_response_begin(&e, m->key, version, correlation);
    schema_encode(m, &e, version, out.bytes);
    frame_end(&e, mark);
    size_t n = again.n - FRAME_LENGTH_BYTES, same = 0;
    const uint8_t *p = again.p + FRAME_LENGTH_BYTES;
    while (same < n && same < frame.n && p[same] == frame.p[same])
        same++;
    cr_assert(n == frame.n && same == n, "%s: encodes to %zu bytes, recorded %zu, differ at %zu", path, n, frame.n,
              same);
    buf_deinit(&again);
    arena_deinit(&a);
}

// <Api>-v<N>-{req,rsp}.hex; returns false for other files and APIs that proto/ does not describe.
static bool check_file(const char *folder, const char *file)
{
    char api[64], kind[8], path[1200];
    int version;
    if (sscanf(file, "%63[A-Za-z]-v%d-%3[a-z].hex", api, &version, kind) != 3)
        return false;
    bool request = strcmp(kind, "req") == 0;
    const struct schema_message *m =
        request ? by_name(kafka_requests, sizeof(kafka_requests) / sizeof(*kafka_requests), api)
                : by_name(kafka_responses, sizeof(kafka_responses) / sizeof(*kafka_responses), api);
    if (!m || version > m->version_max)
        return false;
    snprintf(path, sizeof(path), "%s/%s", folder, file);
    struct buf frame;
    buf_init(&frame, 1 << 24);
    cr_assert(read_hex(path, &frame), "%s", path);
    check_frame(path, buf_bytes(&frame), m, (int16_t)version, request);
    buf_deinit(&frame);
    return true;
}

Test(golden, recorded_frames_decode_and_encode_to_the_same_bytes)
{
    const char *root = getenv("WEIR_GOLDEN");
    cr_assert_not_null(root, "WEIR_GOLDEN names test/golden/wire; meson sets it");
    DIR *clients = opendir(root);
    cr_assert_not_null(clients, "%s", root);
    int checked = 0, skipped = 0;
    for (struct dirent *client; (client = readdir(clients)) != NULL;) {
        char folder[768];
        snprintf(folder, sizeof(folder), "%.500s/%s", root, client->d_name);
        DIR *files = client->d_name[0] == '.' ? NULL : opendir(folder);
        for (struct dirent *file; files && (file = readdir(files)) != NULL;) {
            if (check_file(folder, file->d_name))
                checked++;
            else if (file->d_name[0] != '.') {
                skipped++;
                printf("not described: %s/%s\n", client->d_name, file->d_name);
            }
        }
        if (files)
            closedir(files);
    }
    closedir(clients);
    printf("golden: %d frames checked, %d not described\n", checked, skipped);
    cr_assert_gt(checked, 100, "the recorded frames are missing");
}
