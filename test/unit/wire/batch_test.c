// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "wire/batch.h"
#include "wire/record.h"

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

// One record: length, attributes, timestamp, offset, null key, value of n bytes, no headers. Each varint as `put` writes it.
static size_t record_of(uint8_t *p, size_t n, size_t (*put)(uint8_t *p, uint64_t zigzag))
{
    uint8_t inside[20000];
    size_t at = 0;
    inside[at++] = 0;
    at += put(inside + at, 2 * 8191); // timestamp delta 8191
    at += put(inside + at, 2 * 64);   // offset delta 64
    at += put(inside + at, 1);        // -1: no key
    at += put(inside + at, 2 * n);
    memset(inside + at, 'v', n);
    at += n;
    at += put(inside + at, 0);
    size_t head = put(p, 2 * at);
    memcpy(p + head, inside, at);
    return head + at;
}

static size_t put_shortest(uint8_t *p, uint64_t v)
{
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        p[n++] = (uint8_t)(v | 0x80);
    p[n++] = (uint8_t)v;
    return n;
}

// With a byte of nothing behind it, as no writer does and every reader takes.
static size_t put_longer(uint8_t *p, uint64_t v)
{
    size_t n = put_shortest(p, v);
    p[n - 1] |= 0x80;
    p[n++] = 0;
    return n;
}

Test(batch, a_record_s_varints_of_one_byte_two_and_more)
{
    static const size_t sizes[] = {0, 1, 63, 64, 127, 128, 8191, 8192, 16383};
    size_t (*const ways[])(uint8_t *p, uint64_t zigzag) = {put_shortest, put_longer};
    static uint8_t record[20100];
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        for (size_t way = 0; way < ARRAY_COUNT(ways); way++) {
            size_t n = record_of(record, sizes[i], ways[way]);
            struct bytes in = bytes_of(record, n);
            struct record_fields f;
            cr_assert(record_fields_read(&in, &f), "%zu bytes, way %zu", sizes[i], way);
            cr_assert(in.n == 0 && f.timestamp_delta == 8191 && f.offset_delta == 64 && !f.key.p && f.header_count == 0);
            cr_assert(f.value.p && f.value.n == sizes[i]);
            for (size_t cut = 0; cut < n; cut += cut < 40 || cut + 3 > n ? 1 : n / 7) {
                in = bytes_of(record, cut);
                cr_assert(!record_fields_read(&in, &f), "cut at %zu of %zu", cut, n);
            }
        }
    }
}
