// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/prng.h"
#include "wire/batch_check.h"
#include "wire/crc32c.h"

static void *workspace;

static void setup(void)
{
    workspace = aligned_alloc(16, 2 * (size_t)CODEC_WORKSPACE_BYTES);
}

static void teardown(void)
{
    free(workspace);
}

TestSuite(batch_check, .init = setup, .fini = teardown);

// `records` records of value_bytes each, timestamps 1000, 1001, ...; every null_key_every-th without a key.
static struct buf make(enum codec codec, int records, size_t value_bytes, int null_key_every)
{
    struct buf out;
    struct batch_builder b;
    struct batch_options o = batch_options_default();
    o.codec = codec;
    buf_init(&out, 64 << 20);
    batch_builder_init(&b, &o, 64 << 20);
    uint8_t *value = malloc(value_bytes + 1);
    for (size_t i = 0; i < value_bytes; i++)
        value[i] = (uint8_t)(i * i >> 8);
    for (int i = 0; i < records; i++) {
        bool null_key = null_key_every && i % null_key_every == 0;
        struct record_header h = {bytes_str("h"), bytes_of(value, value_bytes / 10)};
        cr_assert_eq(batch_builder_add(&b, 1000 + i, null_key ? (struct bytes){0} : bytes_str("key"),
                                       bytes_of(value, value_bytes), &h, (uint32_t)i % 2),
                     RC_OK);
    }
    cr_assert_eq(batch_builder_finish(&b, &out), RC_OK);
    batch_builder_deinit(&b);
    free(value);
    return out;
}

static void seal(struct buf *b)
{
    put_be32(b->p + 17, crc32c(0, b->p + 21, b->n - 21));
}

static enum rc run(struct batch_check *c, struct buf *b, const struct batch_rules *rules)
{
    return batch_check_run(c, b->p, b->n, rules, workspace, CODEC_WORKSPACE_BYTES);
}

static struct batch_rules rules_wide(void)
{
    struct batch_rules r = batch_rules_default();
    r.batch_bytes_max = 64 << 20;
    r.now_ms = 2000;
    return r;
}

Test(batch_check, good_batches_pass_in_steps_of_any_size)
{
    struct batch_rules rules = rules_wide();
    static const struct {
        int records;
        size_t value_bytes;
    } shapes[] = {{1, 0}, {1, 300000}, {5000, 100}, {7, 70000}};
    for (enum codec codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
        for (size_t s = 0; s < ARRAY_COUNT(shapes); s++) {
            struct buf b = make(codec, shapes[s].records, shapes[s].value_bytes, 3);
            uint8_t *before = malloc(b.n);
            memcpy(before, b.p, b.n);
            for (uint32_t us = 1; us < 20000; us *= 10) {
                struct batch_check c;
                int steps = 0;
                enum rc rc = batch_check_start(&c, b.p, b.n, &rules, workspace, CODEC_WORKSPACE_BYTES);
                for (; rc == RC_AGAIN; steps++) {
                    rc = batch_check_step(&c, us);
                    cr_assert(c.used_us >= 1 && c.used_us <= us);
                }
                cr_assert(us < 10000 || s > 0 || c.used_us < 10, "a small batch takes little of a large budget");
                cr_assert_eq(rc, RC_OK, "%s: %s", codec_name(codec), c.text);
                cr_assert_eq(c.max_timestamp, 1000 + shapes[s].records - 1);
                cr_assert_eq(c.max_timestamp_offset_delta, shapes[s].records - 1);
                cr_assert(us > 10 || shapes[s].value_bytes < 70000 || steps > 3, "%d steps", steps);
            }
            cr_assert_eq(memcmp(before, b.p, b.n), 0, "a good batch is not touched");
            free(before);
            buf_deinit(&b);
        }
    }
}

static void refused(struct buf b, struct batch_rules rules, enum rc expected)
{
    struct batch_check c;
    uint8_t *before = malloc(b.n + 1);
    memcpy(before, b.p, b.n);
    enum rc rc = run(&c, &b, &rules);
    cr_assert_eq(rc, expected, "%s instead of %s: %s", rc_name(rc), rc_name(expected), c.text);
    cr_assert(strlen(c.text) > 10);
    cr_assert_eq(batch_check_step(&c, 1), expected, "the answer stays");
    cr_assert_eq(memcmp(before, b.p, b.n), 0, "a refused batch is not touched");
    free(before);
    buf_deinit(&b);
}

Test(batch_check, shape)
{
    struct batch_rules rules = rules_wide();
    struct buf b = make(CODEC_NONE, 3, 10, 0);
    b.n = 0;
    refused(b, rules, RC_INVALID_RECORD);
    b = make(CODEC_NONE, 3, 10, 0);
    b.n--;
    refused(b, rules, RC_INVALID_RECORD);
    b = make(CODEC_NONE, 3, 10, 0);
    b.p[16] = 1;
    refused(b, rules, RC_INVALID_RECORD);
    b = make(CODEC_NONE, 3, 10, 0);
    put_be32(b.p + 8, 20);
    refused(b, rules, RC_CORRUPT_MESSAGE);
    b = make(CODEC_NONE, 3, 10, 0);
    struct buf second = make(CODEC_NONE, 1, 10, 0);
    buf_append(&b, second.p, second.n);
    refused(b, rules, RC_INVALID_RECORD);
    buf_deinit(&second);
}

Test(batch_check, header)
{
    struct batch_rules rules = rules_wide();
    struct buf b = make(CODEC_NONE, 3, 10, 0);
    b.p[b.n - 1] ^= 1;
    refused(b, rules, RC_CORRUPT_MESSAGE);
    b = make(CODEC_NONE, 3, 10, 0);
    b.p[22] |= 5;
    seal(&b);
    refused(b, rules, RC_UNSUPPORTED_COMPRESSION_TYPE);
    b = make(CODEC_NONE, 3, 10, 0);
    b.p[22] |= BATCH_ATTR_CONTROL;
    seal(&b);
    refused(b, rules, RC_INVALID_RECORD);
    b = make(CODEC_NONE, 3, 10, 0);
    put_be32(b.p + 57, 4);
    seal(&b);
    refused(b, rules, RC_INVALID_RECORD);
    b = make(CODEC_NONE, 3, 10, 0);
    put_be64(b.p, 1);
    refused(b, rules, RC_INVALID_RECORD);
    b = make(CODEC_NONE, 3, 10, 0);
    put_be64(b.p + 43, 5);
    seal(&b);
    refused(b, rules, RC_INVALID_RECORD);
    rules.batch_bytes_max = 70;
    refused(make(CODEC_NONE, 3, 10, 0), rules, RC_MESSAGE_TOO_LARGE);
}

Test(batch_check, zstd_needs_produce_7)
{
    struct batch_rules rules = rules_wide();
    rules.produce_version = 6;
    refused(make(CODEC_ZSTD, 3, 10, 0), rules, RC_UNSUPPORTED_COMPRESSION_TYPE);
    rules.produce_version = 7;
    struct buf b = make(CODEC_ZSTD, 3, 10, 0);
    struct batch_check c;
    cr_assert_eq(run(&c, &b, &rules), RC_OK);
    buf_deinit(&b);
}

Test(batch_check, counts_that_disagree_with_the_records)
{
    struct batch_rules rules = rules_wide();
    for (int32_t count = 1; count <= 5; count++) {
        if (count == 3)
            continue;
        struct buf b = make(CODEC_NONE, 3, 10, 0);
        put_be32(b.p + 57, (uint32_t)count);
        put_be32(b.p + 23, (uint32_t)count - 1);
        seal(&b);
        refused(b, rules, RC_INVALID_RECORD);
    }
    struct buf b = make(CODEC_NONE, 3, 10, 0);
    b.p[BATCH_HEADER_BYTES + 3] = 2; // offset delta of the first record
    seal(&b);
    refused(b, rules, RC_INVALID_RECORD);
}

Test(batch_check, keys_on_a_compacted_topic)
{
    struct batch_rules rules = rules_wide();
    rules.compacted = true;
    for (enum codec codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
        struct buf b = make(codec, 100, 10, 4);
        struct batch_check c;
        cr_assert_eq(run(&c, &b, &rules), RC_INVALID_RECORD);
        cr_assert_eq(c.record_error_total, 25);
        cr_assert_eq(c.record_error_count, BATCH_RECORD_ERRORS_MAX);
        cr_assert_eq(c.record_errors[1].index, 4);
        cr_assert_eq(c.record_errors[1].rc, RC_INVALID_RECORD);
        char text[200];
        batch_record_error_text(&c, 1, text, sizeof(text));
        cr_assert_str_eq(text, "a compacted topic takes no record without a key");
        buf_deinit(&b);
    }
}

Test(batch_check, timestamps_out_of_range)
{
    struct batch_rules rules = rules_wide();
    struct batch_check c;
    rules.now_ms = 1005;
    rules.timestamp_before_max_ms = 2;
    rules.timestamp_after_max_ms = 1;
    struct buf b = make(CODEC_NONE, 10, 10, 0); // 1000 to 1009; 1003 to 1006 are good
    cr_assert_eq(run(&c, &b, &rules), RC_INVALID_TIMESTAMP);
    cr_assert_eq(c.record_error_total, 6);
    cr_assert_eq(c.record_errors[2].index, 2);
    cr_assert_eq(c.record_errors[3].index, 7);
    rules.now_ms = INT64_MIN + 2;
    cr_assert_eq(run(&c, &b, &rules), RC_INVALID_TIMESTAMP, "differences do not overflow");
    buf_deinit(&b);
    rules = rules_wide();
    rules.now_ms = 0;
    b = make(CODEC_NONE, 1, 10, 0);
    put_be64(b.p + 27, (uint64_t)-1); // no timestamp at all
    put_be64(b.p + 35, (uint64_t)-1);
    seal(&b);
    rules.timestamp_before_max_ms = rules.timestamp_after_max_ms = 0;
    cr_assert_eq(run(&c, &b, &rules), RC_OK, "%s", c.text);
    cr_assert_eq(c.max_timestamp, -1);
    buf_deinit(&b);
}

Test(batch_check, log_append_time_is_stamped)
{
    struct batch_rules rules = rules_wide();
    rules.log_append_time = true;
    rules.now_ms = 77777;
    struct batch_check c;
    struct buf b = make(CODEC_GZIP, 10, 10, 0);
    cr_assert_eq(run(&c, &b, &rules), RC_OK);
    cr_assert_eq(c.max_timestamp, 77777);
    cr_assert_eq(c.header.max_timestamp, 77777);
    cr_assert(c.header.attributes & BATCH_ATTR_LOG_APPEND_TIME);
    cr_assert(batch_crc_ok(buf_bytes(&b)));
    cr_assert_eq(run(&c, &b, &rules), RC_INVALID_TIMESTAMP, "a producer may not set it itself");
    rules.log_append_time = false;
    rules.now_ms = 77777;
    cr_assert_eq(run(&c, &b, &rules), RC_OK, "under CreateTime the mark is taken off");
    cr_assert(!(c.header.attributes & BATCH_ATTR_LOG_APPEND_TIME));
    buf_deinit(&b);
}

Test(batch_check, a_wrong_max_timestamp_is_set_right)
{
    struct batch_rules rules = rules_wide();
    struct batch_check c;
    struct buf b = make(CODEC_NONE, 10, 10, 0);
    put_be64(b.p + 35, 5);
    seal(&b);
    cr_assert_eq(run(&c, &b, &rules), RC_OK);
    cr_assert_eq(c.header.max_timestamp, 1009);
    cr_assert(batch_crc_ok(buf_bytes(&b)));
    buf_deinit(&b);
}

Test(batch_check, a_damaged_stream_and_a_bomb)
{
    struct batch_rules rules = rules_wide();
    for (enum codec codec = CODEC_GZIP; codec < CODEC_COUNT; codec++) {
        struct buf b = make(codec, 100, 1000, 0);
        memset(b.p + b.n - 20, 0xff, 20);
        seal(&b);
        refused(b, rules, RC_INVALID_RECORD);
        struct batch_rules tight = rules;
        tight.inflate_bytes_max = 10000;
        refused(make(codec, 100, 1000, 0), tight, RC_INVALID_RECORD);
    }
}

Test(batch_check, any_damage_is_an_answer)
{
    struct batch_rules rules = rules_wide();
    void *kept_workspace = aligned_alloc(16, CODEC_WORKSPACE_BYTES);
    struct batch_check kept = {0}; // goes from batch to batch and from codec to codec
    struct prng r;
    prng_init(&r, 4);
    for (enum codec codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
        struct buf b = make(codec, 40, 30, 3);
        uint8_t *original = malloc(b.n);
        memcpy(original, b.p, b.n);
        for (int i = 0; i < 2000; i++) {
            memcpy(b.p, original, b.n);
            for (uint64_t k = prng_below(&r, 3); k < 3; k++)
                b.p[21 + prng_below(&r, b.n - 21)] = (uint8_t)prng_next(&r);
            seal(&b);
            struct batch_check whole, steps;
            enum rc rc = run(&whole, &b, &rules);
            cr_assert(rc == RC_OK || rc == RC_INVALID_RECORD || rc == RC_UNSUPPORTED_COMPRESSION_TYPE ||
                          rc == RC_CORRUPT_MESSAGE || rc == RC_INVALID_TIMESTAMP,
                      "%s", rc_name(rc));
            enum rc again = batch_check_start(&steps, b.p, b.n, &rules, workspace, CODEC_WORKSPACE_BYTES);
            while (again == RC_AGAIN)
                again = batch_check_step(&steps, 1);
            cr_assert_eq(again, rc, "%s and %s", whole.text, steps.text);
            enum rc third = batch_check_again(&kept, b.p, b.n, &rules, kept_workspace, CODEC_WORKSPACE_BYTES);
            while (third == RC_AGAIN)
                third = batch_check_step(&kept, 1000);
            cr_assert_eq(third, rc, "%s and %s", whole.text, kept.text);
            cr_assert_eq(kept.inflated_bytes, whole.inflated_bytes);
        }
        free(original);
        buf_deinit(&b);
    }
    free(kept_workspace);
}

// The state machine and the reader of whole records must agree on every cut and every damage.
Test(batch_check, records_in_pieces_are_the_records_in_memory)
{
    struct prng r;
    prng_init(&r, 11);
    struct buf b = make(CODEC_NONE, 30, 40, 3);
    size_t n = b.n - BATCH_HEADER_BYTES;
    uint8_t *p = malloc(n);
    for (int round = 0; round < 3000; round++) {
        memcpy(p, b.p + BATCH_HEADER_BYTES, n);
        if (round > 0)
            p[prng_below(&r, n)] = (uint8_t)prng_next(&r);
        struct record_walk one = {0}, many = {0};
        struct bytes all = bytes_of(p, n), left = all;
        enum rc rc;
        while ((rc = record_walk_next(&one, &all)) == RC_OK)
            ;
        enum rc rc_many = RC_AGAIN;
        while (left.n > 0 && rc_many != RC_MALFORMED) {
            size_t k = 1 + prng_below(&r, 9);
            struct bytes piece = bytes_of(left.p, k < left.n ? k : left.n);
            left.p += piece.n;
            left.n -= piece.n;
            while ((rc_many = record_walk_next(&many, &piece)) == RC_OK)
                ;
        }
        cr_assert_eq(rc, rc_many);
        cr_assert_eq(one.record_count, many.record_count);
        cr_assert_eq(record_walk_whole(&one), record_walk_whole(&many));
        cr_assert_eq(one.key_null, many.key_null);
        cr_assert(round > 0 || one.record_count == 30);
    }
    free(p);
    buf_deinit(&b);
}

Test(batch_check, recompression_keeps_the_records)
{
    struct batch_rules rules = rules_wide();
    for (enum codec from = CODEC_NONE; from < CODEC_COUNT; from++) {
        for (enum codec to = CODEC_NONE; to < CODEC_COUNT; to++) {
            struct buf b = make(from, 500, 200, 3), out, first, second;
            buf_init(&out, 1 << 20);
            buf_init(&first, 1 << 20);
            buf_init(&second, 1 << 20);
            buf_put_u8(&out, 0); // something stands before
            struct batch_recompress j;
            enum rc rc = batch_recompress_start(&j, buf_bytes(&b), to, CODEC_LEVEL_DEFAULT, &out, workspace,
                                                2 * (size_t)CODEC_WORKSPACE_BYTES);
            while (rc == RC_AGAIN)
                rc = batch_recompress_step(&j, 50);
            cr_assert_eq(rc, RC_OK);
            struct bytes fresh = bytes_of(out.p + 1, out.n - 1), a, z;
            struct batch_check c;
            cr_assert_eq(batch_check_run(&c, out.p + 1, out.n - 1, &rules, workspace, CODEC_WORKSPACE_BYTES), RC_OK);
            cr_assert_eq(batch_codec(&c.header), to);
            cr_assert_eq(batch_inflate(buf_bytes(&b), &first, &a, NULL, 0), RC_OK);
            cr_assert_eq(batch_inflate(fresh, &second, &z, NULL, 0), RC_OK);
            cr_assert(bytes_eq(a, z));
            buf_deinit(&b);
            buf_deinit(&out);
            buf_deinit(&first);
            buf_deinit(&second);
        }
    }
}
