// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "wire/batch.h"

static void build(struct buf *out, struct batch_options o, int records)
{
    struct batch_builder b;
    batch_builder_init(&b, &o, 1 << 20);
    for (int i = 0; i < records; i++) {
        struct record_header h[2] = {{bytes_str("trace"), bytes_str("1")}, {bytes_str("null"), {0}}};
        char value[40];
        snprintf(value, sizeof(value), "value %d", i);
        cr_assert_eq(batch_builder_add(&b, 1000 + i % 7, i % 3 ? bytes_str("key") : (struct bytes){0},
                                       i % 5 ? bytes_str(value) : (struct bytes){0}, h, i % 3 ? 0 : 2),
                     RC_OK);
    }
    cr_assert_eq(batch_builder_finish(&b, out), RC_OK);
    batch_builder_deinit(&b);
}

Test(batch, what_is_built_is_iterated_with_every_codec)
{
    for (enum codec codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
        struct buf out, scratch;
        buf_init(&out, 1 << 20);
        buf_init(&scratch, 1 << 20);
        struct batch_options o = batch_options_default();
        o.codec = codec;
        o.base_offset = 500;
        o.producer_id = 9;
        o.producer_epoch = 2;
        o.base_sequence = 40;
        build(&out, o, 1000);
        struct batch_header h;
        struct bytes records;
        cr_assert_eq(batch_header_read(buf_bytes(&out), &h), RC_OK);
        cr_assert_eq(batch_bytes(&h), out.n);
        cr_assert_eq(batch_codec(&h), codec);
        cr_assert_eq(batch_last_offset(&h), 1499);
        cr_assert_eq(batch_last_sequence(&h), 1039);
        cr_assert_eq(h.max_timestamp, 1006);
        cr_assert(batch_has_producer(&h));
        cr_assert(batch_crc_ok(buf_bytes(&out)));
        cr_assert_eq(batch_inflate(buf_bytes(&out), &scratch, &records, NULL, 0), RC_OK);
        struct batch_iter it;
        struct record r;
        batch_iter_init(&it, &h, records);
        for (int i = 0; i < 1000; i++) {
            cr_assert(batch_iter_next(&it, &r));
            cr_assert_eq(r.offset, 500 + i);
            cr_assert_eq(r.timestamp, 1000 + i % 7);
            cr_assert_eq(r.key.p == NULL, i % 3 == 0);
            cr_assert_eq(r.value.p == NULL, i % 5 == 0);
            cr_assert_eq(r.header_count, i % 3 ? 0 : 2);
        }
        cr_assert(!batch_iter_next(&it, &r));
        cr_assert_eq(it.rc, RC_OK);
        buf_deinit(&out);
        buf_deinit(&scratch);
    }
}

Test(batch, headers_of_a_record)
{
    struct buf out;
    buf_init(&out, 10000);
    build(&out, batch_options_default(), 1);
    struct batch_header h;
    batch_header_read(buf_bytes(&out), &h);
    struct batch_iter it;
    struct record r;
    struct bytes key, value;
    batch_iter_init(&it, &h, bytes_of(out.p + BATCH_HEADER_BYTES, out.n - BATCH_HEADER_BYTES));
    cr_assert(batch_iter_next(&it, &r));
    cr_assert(record_header_next(&r.headers, &key, &value));
    cr_assert(bytes_eq(key, bytes_str("trace")));
    cr_assert(bytes_eq(value, bytes_str("1")));
    cr_assert(record_header_next(&r.headers, &key, &value));
    cr_assert_null(value.p);
    cr_assert(!record_header_next(&r.headers, &key, &value));
    buf_deinit(&out);
}

Test(batch, the_header_round_trips_and_says_what_is_missing)
{
    struct buf out;
    buf_init(&out, 10000);
    build(&out, batch_options_default(), 3);
    struct batch_header h;
    uint8_t again[BATCH_HEADER_BYTES];
    cr_assert_eq(batch_header_read(buf_bytes(&out), &h), RC_OK);
    batch_header_write(&h, again);
    cr_assert_eq(memcmp(again, out.p, BATCH_HEADER_BYTES), 0);
    for (size_t n = 0; n < out.n; n++)
        cr_assert_eq(batch_header_read(bytes_of(out.p, n), &h), RC_TORN);
    out.p[16] = 1;
    cr_assert_eq(batch_header_read(buf_bytes(&out), &h), RC_CORRUPT);
    out.p[16] = 2;
    put_be32(out.p + 8, 48);
    cr_assert_eq(batch_header_read(buf_bytes(&out), &h), RC_CORRUPT);
    put_be32(out.p + 8, 0xffffffffu);
    cr_assert_eq(batch_header_read(buf_bytes(&out), &h), RC_CORRUPT);
    buf_deinit(&out);
}

Test(batch, stamping_leaves_the_crc_alone_and_new_timestamps_renew_it)
{
    struct buf out;
    buf_init(&out, 10000);
    build(&out, batch_options_default(), 3);
    uint32_t crc = be32(out.p + 17);
    batch_stamp(out.p, INT64_C(123456789012), 7);
    struct batch_header h;
    batch_header_read(buf_bytes(&out), &h);
    cr_assert_eq(h.base_offset, INT64_C(123456789012));
    cr_assert_eq(h.leader_epoch, 7);
    cr_assert(batch_crc_ok(buf_bytes(&out)));
    batch_set_timestamps(out.p, out.n, false, h.max_timestamp);
    cr_assert_eq(be32(out.p + 17), crc);
    batch_set_timestamps(out.p, out.n, true, 5000);
    cr_assert_neq(be32(out.p + 17), crc);
    cr_assert(batch_crc_ok(buf_bytes(&out)));
    batch_header_read(buf_bytes(&out), &h);
    struct batch_iter it;
    struct record r;
    batch_iter_init(&it, &h, bytes_of(out.p + BATCH_HEADER_BYTES, out.n - BATCH_HEADER_BYTES));
    while (batch_iter_next(&it, &r))
        cr_assert_eq(r.timestamp, 5000, "under LogAppendTime every record has the batch's time");
    buf_deinit(&out);
}

Test(batch, a_full_builder_changes_nothing)
{
    struct batch_options o = batch_options_default();
    o.base_sequence = INT32_MAX;
    o.producer_id = 1;
    struct batch_builder b;
    struct buf out;
    buf_init(&out, 1000);
    batch_builder_init(&b, &o, BATCH_HEADER_BYTES + 30);
    cr_assert_eq(batch_builder_add(&b, 1, (struct bytes){0}, bytes_str("0123456789"), NULL, 0), RC_OK);
    cr_assert_eq(batch_builder_add(&b, 2, (struct bytes){0}, bytes_str("0123456789"), NULL, 0), RC_FULL);
    cr_assert_eq(b.record_count, 1);
    cr_assert_eq(batch_builder_finish(&b, &out), RC_OK);
    cr_assert_eq(b.options.base_sequence, 0, "sequences wrap to 0");
    cr_assert_eq(b.options.base_offset, 1);
    batch_builder_deinit(&b);
    buf_deinit(&out);
}

Test(batch, damaged_records_end_the_iteration)
{
    struct buf out;
    buf_init(&out, 10000);
    build(&out, batch_options_default(), 20);
    struct batch_header h;
    batch_header_read(buf_bytes(&out), &h);
    for (size_t cut = 1; cut < out.n - BATCH_HEADER_BYTES; cut++) {
        size_t n = out.n - BATCH_HEADER_BYTES - cut;
        uint8_t *exact = malloc(n ? n : 1);
        memcpy(exact, out.p + BATCH_HEADER_BYTES, n);
        struct batch_iter it;
        struct record r;
        batch_iter_init(&it, &h, bytes_of(exact, n));
        while (batch_iter_next(&it, &r))
            ;
        cr_assert_eq(it.rc, RC_MALFORMED);
        free(exact);
    }
    buf_deinit(&out);
}
