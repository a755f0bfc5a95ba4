// SPDX-License-Identifier: Apache-2.0
//
// Searching a batch for a record by time, with every codec and in small steps.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "engine/record_search.h"

enum { RECORDS = 500, BATCH_BYTES_MAX = 1 << 20 };

// Record i has time 1000 + 10 i, but every seventh is 5 early.
static int64_t time_of(int i)
{
    return 1000 + 10 * i - (i % 7 == 3 ? 5 : 0);
}

static struct buf build(enum codec codec)
{
    struct batch_options o = batch_options_default();
    o.codec = codec;
    o.base_offset = 10000;
    struct batch_builder b;
    batch_builder_init(&b, &o, BATCH_BYTES_MAX);
    static uint8_t value[600];
    for (int i = 0; i < RECORDS; i++) {
        memset(value, 'a' + i % 26, sizeof(value));
        cr_assert_eq(batch_builder_add(&b, time_of(i), bytes_of(NULL, 0), bytes_of(value, sizeof(value)), NULL, 0),
                     RC_OK);
    }
    struct buf out;
    buf_init(&out, BATCH_BYTES_MAX);
    cr_assert_eq(batch_builder_finish(&b, &out), RC_OK);
    batch_builder_deinit(&b);
    return out;
}

static enum rc search(struct record_search *s, struct bytes batch, void *workspace)
{
    enum rc rc = record_search_start(s, batch, workspace, CODEC_WORKSPACE_BYTES);
    for (int steps = 0; rc == RC_AGAIN; steps++) {
        cr_assert_lt(steps, 100000);
        rc = record_search_step(s, 1);
    }
    return rc;
}

static int64_t expected(int64_t timestamp_ms, int64_t from_offset)
{
    for (int i = 0; i < RECORDS; i++)
        if (time_of(i) >= timestamp_ms && 10000 + i >= from_offset)
            return 10000 + i;
    return -1;
}

Test(record_search, finds_what_a_walk_finds)
{
    void *workspace = aligned_alloc(16, CODEC_WORKSPACE_BYTES);
    for (int codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
        struct buf batch = build((enum codec)codec);
        for (int64_t t = 900; t < 1000 + 10 * RECORDS + 100; t += 137) {
            for (int64_t from = 0; from < 10600; from += 5150) {
                struct record_search s = {.timestamp_ms = t, .from_offset = from};
                enum rc rc = search(&s, buf_bytes(&batch), workspace);
                int64_t want = expected(t, from);
                cr_assert_eq(rc, want < 0 ? RC_EOF : RC_OK, "%s, time %lld", codec_name((enum codec)codec),
                             (long long)t);
                cr_assert(want < 0 || (s.found_offset == want && s.found_timestamp == time_of((int)(want - 10000))));
            }
        }
        buf_deinit(&batch);
    }
    free(workspace);
}

Test(record_search, log_append_time_is_one_time_for_all)
{
    struct buf batch = build(CODEC_NONE);
    batch_set_timestamps(batch.p, batch.n, true, 777777);
    struct record_search s = {.timestamp_ms = 777777, .from_offset = 10020};
    cr_assert_eq(search(&s, buf_bytes(&batch), NULL), RC_OK);
    cr_assert_eq(s.found_offset, 10020);
    cr_assert_eq(s.found_timestamp, 777777);
    s = (struct record_search){.timestamp_ms = 777778};
    cr_assert_eq(search(&s, buf_bytes(&batch), NULL), RC_EOF);
    buf_deinit(&batch);
}

Test(record_search, damage_is_an_error_and_not_an_answer)
{
    void *workspace = aligned_alloc(16, CODEC_WORKSPACE_BYTES);
    struct buf batch = build(CODEC_GZIP);
    memset(batch.p + batch.n / 2, 0x55, batch.n / 2);
    struct record_search s = {.timestamp_ms = time_of(RECORDS - 1), .from_offset = 0};
    enum rc rc = search(&s, buf_bytes(&batch), workspace);
    cr_assert(rc != RC_OK && rc != RC_EOF, "%s", rc_name(rc));
    s = (struct record_search){.timestamp_ms = 1000};
    cr_assert_eq(search(&s, bytes_of(batch.p, 30), workspace), RC_CORRUPT);
    buf_deinit(&batch);
    free(workspace);
}
