// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "base/prng.h"
#include "wire/codec.h"

enum { SIZES = 7 };
static const size_t sizes[SIZES] = {0, 1, 100, 4096, 65536, 200000, 3000000};

// Text-like bytes: words that repeat, with noise in every 16th.
static void fill(uint8_t *p, size_t n, uint64_t seed)
{
    struct prng r;
    prng_init(&r, seed);
    for (size_t i = 0; i < n;) {
        uint64_t word = prng_below(&r, 300);
        char text[24];
        int k = prng_chance(&r, 1, 16) ? 8 : snprintf(text, sizeof(text), "word-%lu,", (unsigned long)word);
        if (k == 8) {
            uint64_t noise = prng_next(&r);
            memcpy(text, &noise, 8);
        }
        for (int j = 0; j < k && i < n; j++)
            p[i++] = (uint8_t)text[j];
    }
}

static void *workspace(void)
{
    return aligned_alloc(16, CODEC_WORKSPACE_BYTES);
}

// Reads a stream in steps of out_max and compares it with what was written.
static void check_reads(enum codec codec, struct bytes in, struct bytes expected, size_t out_max, void *w)
{
    struct codec_reader r;
    struct bytes piece;
    size_t at = 0;
    enum rc rc = codec_reader_start(&r, codec, in, w, CODEC_WORKSPACE_BYTES);
    cr_assert_eq(rc, RC_OK, "%s start %s", codec_name(codec), rc_name(rc));
    while ((rc = codec_reader_next(&r, out_max, &piece)) == RC_OK) {
        cr_assert(piece.n > 0 && piece.n <= out_max);
        cr_assert(at + piece.n <= expected.n && memcmp(piece.p, expected.p + at, piece.n) == 0, "%s at %zu",
                  codec_name(codec), at);
        at += piece.n;
    }
    cr_assert_eq(rc, RC_EOF, "%s: %s at %zu of %zu", codec_name(codec), rc_name(rc), at, expected.n);
    cr_assert_eq(at, expected.n);
    cr_assert_eq(r.out_bytes, expected.n);
    cr_assert_eq(codec_reader_next(&r, out_max, &piece), RC_EOF, "the end stays the end");
}

Test(codec, what_is_written_is_read_in_steps_of_any_size)
{
    void *w = workspace();
    for (enum codec codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
        for (int i = 0; i < SIZES; i++) {
            uint8_t *p = malloc(sizes[i] + 1);
            fill(p, sizes[i], (uint64_t)i);
            struct buf out;
            buf_init(&out, 16 << 20);
            cr_assert_eq(
                codec_compress(codec, CODEC_LEVEL_DEFAULT, bytes_of(p, sizes[i]), &out, w, CODEC_WORKSPACE_BYTES),
                RC_OK);
            cr_assert(codec == CODEC_NONE || sizes[i] < 65536 || out.n < sizes[i] / 10 * 9, "%s: %zu to %zu",
                      codec_name(codec), sizes[i], out.n);
            static const size_t steps[] = {1 << 20, 65536, 1000, 37};
            for (int k = 0; k < 4; k++)
                if (sizes[i] / steps[k] < 10000)
                    check_reads(codec, buf_bytes(&out), bytes_of(p, sizes[i]), steps[k], w);
            buf_deinit(&out);
            free(p);
        }
    }
    free(w);
}

Test(codec, noise_survives_and_hardly_grows)
{
    void *w = workspace();
    size_t n = 300000;
    uint8_t *p = malloc(n);
    struct prng r;
    prng_init(&r, 9);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)prng_next(&r);
    for (enum codec codec = CODEC_GZIP; codec < CODEC_COUNT; codec++) {
        struct buf out;
        buf_init(&out, 16 << 20);
        cr_assert_eq(codec_compress(codec, CODEC_LEVEL_DEFAULT, bytes_of(p, n), &out, w, CODEC_WORKSPACE_BYTES), RC_OK);
        cr_assert_lt(out.n, n + n / 100);
        check_reads(codec, buf_bytes(&out), bytes_of(p, n), 5000, w);
        buf_deinit(&out);
    }
    free(w);
    free(p);
}

Test(codec, a_stream_cut_or_damaged_is_no_surprise)
{
    void *w = workspace();
    size_t n = 20000;
    uint8_t *p = malloc(n);
    fill(p, n, 3);
    for (enum codec codec = CODEC_GZIP; codec < CODEC_COUNT; codec++) {
        struct buf out, back;
        buf_init(&out, 1 << 20);
        buf_init(&back, 1 << 20);
        codec_compress(codec, CODEC_LEVEL_DEFAULT, bytes_of(p, n), &out, w, CODEC_WORKSPACE_BYTES);
        for (size_t cut = 0; cut < out.n; cut += 1 + cut / 20) {
            uint8_t *exact = malloc(cut ? cut : 1);
            memcpy(exact, out.p, cut);
            back.n = 0;
            enum rc rc = codec_decompress(codec, bytes_of(exact, cut), 1 << 20, &back, w, CODEC_WORKSPACE_BYTES);
            // snappy's stream has no end mark: cut between two blocks it is a shorter stream
            cr_assert(rc == RC_MALFORMED || (codec == CODEC_SNAPPY && rc == RC_OK && back.n < n), "%s cut at %zu: %s",
                      codec_name(codec), cut, rc_name(rc));
            free(exact);
        }
        for (size_t i = 0; i < out.n; i++) {
            out.p[i] ^= 0x55;
            back.n = 0;
            enum rc rc = codec_decompress(codec, buf_bytes(&out), 1 << 20, &back, w, CODEC_WORKSPACE_BYTES);
            cr_assert(rc == RC_OK || rc == RC_MALFORMED || rc == RC_NOMEM || rc == RC_FULL, "%s", rc_name(rc));
            out.p[i] ^= 0x55;
        }
        buf_deinit(&out);
        buf_deinit(&back);
    }
    free(w);
    free(p);
}

Test(codec, the_limit_on_output_holds_against_a_bomb)
{
    void *w = workspace();
    size_t n = 8 << 20;
    uint8_t *p = calloc(1, n);
    for (enum codec codec = CODEC_GZIP; codec < CODEC_COUNT; codec++) {
        struct buf out, back;
        buf_init(&out, 1 << 24);
        buf_init(&back, 1 << 24);
        codec_compress(codec, CODEC_LEVEL_DEFAULT, bytes_of(p, n), &out, w, CODEC_WORKSPACE_BYTES);
        cr_assert_lt(out.n, n / 15);
        cr_assert_eq(codec_decompress(codec, buf_bytes(&out), 1 << 20, &back, w, CODEC_WORKSPACE_BYTES), RC_FULL);
        cr_assert_leq(back.n, 1 << 20);
        buf_deinit(&out);
        buf_deinit(&back);
    }
    free(w);
    free(p);
}

Test(codec, snappy_agrees_with_the_library_both_ways)
{
    void *w = workspace();
    for (int i = 1; i < SIZES; i++) {
        uint8_t *p = malloc(sizes[i]);
        fill(p, sizes[i], (uint64_t)i + 40);
        // the library's bare block, as librdkafka sends it
        size_t size = snappy_max_compressed_length(sizes[i]);
        char *packed = malloc(size);
        cr_assert_eq(snappy_compress((char *)p, sizes[i], packed, &size), SNAPPY_OK);
        check_reads(CODEC_SNAPPY, bytes_of(packed, size), bytes_of(p, sizes[i]), 7777, w);
        free(packed);
        // our stream's blocks, read by the library
        struct buf out;
        buf_init(&out, 16 << 20);
        codec_compress(CODEC_SNAPPY, CODEC_LEVEL_DEFAULT, bytes_of(p, sizes[i]), &out, w, CODEC_WORKSPACE_BYTES);
        cr_assert_eq(memcmp(out.p, "\x82SNAPPY\0\0\0\0\1\0\0\0\1", 16), 0);
        size_t at = 16, done = 0;
        while (at < out.n) {
            size_t n = be32(out.p + at), room = 32768;
            char block[32768];
            cr_assert_eq(snappy_uncompress((char *)out.p + at + 4, n, block, &room), SNAPPY_OK);
            cr_assert(done + room <= sizes[i] && memcmp(p + done, block, room) == 0);
            done += room;
            at += 4 + n;
        }
        cr_assert_eq(done, sizes[i]);
        buf_deinit(&out);
        free(p);
    }
    free(w);
}

Test(codec, gzip_has_no_name_and_no_time_and_members_join)
{
    struct buf out;
    buf_init(&out, 1000);
    cr_assert_eq(codec_compress(CODEC_GZIP, 9, bytes_str("one"), &out, NULL, 0), RC_OK);
    cr_assert_eq(memcmp(out.p, "\x1f\x8b\x08\0\0\0\0\0", 8), 0);
    cr_assert_eq(codec_compress(CODEC_GZIP, -1, bytes_str("two"), &out, NULL, 0), RC_OK);
    void *w = workspace();
    check_reads(CODEC_GZIP, buf_bytes(&out), bytes_str("onetwo"), 2, w);
    free(w);
    buf_deinit(&out);
}

Test(codec, lz4_frames_are_what_java_reads)
{
    struct buf out;
    buf_init(&out, 300000);
    uint8_t *p = malloc(100000);
    fill(p, 100000, 1);
    cr_assert_eq(codec_compress(CODEC_LZ4, CODEC_LEVEL_DEFAULT, bytes_of(p, 100000), &out, NULL, 0), RC_OK);
    cr_assert_eq(memcmp(out.p, "\x04\x22\x4d\x18", 4), 0);
    cr_assert_eq(out.p[4], 0x60, "version 1, independent blocks, no checksums, no content size");
    cr_assert_eq(out.p[5], 0x40, "blocks of 64 KiB");
    cr_assert_eq(out.p[6], 0x82, "the header's checksum");
    free(p);
    buf_deinit(&out);
}

Test(codec, lz4_frames_of_every_shape_are_read)
{
    void *w = workspace();
    size_t n = 5 << 20;
    uint8_t *p = malloc(n), *packed = malloc(2 * n);
    fill(p, n, 2);
    for (LZ4F_blockSizeID_t id = LZ4F_max64KB; id <= LZ4F_max4MB; id++) {
        for (int linked = 0; linked < 2; linked++) {
            LZ4F_preferences_t q = {.frameInfo = {.blockSizeID = id,
                                                  .blockMode = linked ? LZ4F_blockLinked : LZ4F_blockIndependent,
                                                  .contentChecksumFlag = LZ4F_contentChecksumEnabled,
                                                  .contentSize = n}};
            size_t size = LZ4F_compressFrame(packed, 2 * n, p, n, &q);
            cr_assert(!LZ4F_isError(size));
            check_reads(CODEC_LZ4, bytes_of(packed, size), bytes_of(p, n), 60000, w);
        }
    }
    free(w);
    free(p);
    free(packed);
}

Test(codec, zstd_windows_up_to_8_mib_are_read_and_larger_ones_named)
{
    void *w = workspace();
    size_t n = 9 << 20;
    uint8_t *p = malloc(n), *packed = malloc(n);
    fill(p, n, 2);
    for (int log = 20; log <= 24; log++) {
        ZSTD_CCtx *c = ZSTD_createCCtx();
        ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, log);
        ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0);
        ZSTD_inBuffer i = {p, n, 0};
        ZSTD_outBuffer o = {packed, n, 0};
        ZSTD_compressStream2(c, &o, &i, ZSTD_e_continue);
        cr_assert_eq(ZSTD_compressStream2(c, &o, &i, ZSTD_e_end), 0);
        ZSTD_freeCCtx(c);
        if (log <= 23) {
            check_reads(CODEC_ZSTD, bytes_of(packed, o.pos), bytes_of(p, n), 65536, w);
        } else {
            struct codec_reader r;
            struct bytes piece;
            cr_assert_eq(codec_reader_start(&r, CODEC_ZSTD, bytes_of(packed, o.pos), w, CODEC_WORKSPACE_BYTES), RC_OK);
            cr_assert_eq(codec_reader_next(&r, 1000, &piece), RC_NOMEM);
        }
    }
    free(w);
    free(p);
    free(packed);
}

// Reads `in` with a reader of the stream before, in steps, and compares.
static void check_again(struct codec_reader *r, enum codec codec, struct bytes in, struct bytes expected, void *w)
{
    struct bytes piece;
    size_t at = 0;
    enum rc rc = codec_reader_again(r, codec, in, w, CODEC_WORKSPACE_BYTES);
    cr_assert_eq(rc, RC_OK);
    while ((rc = codec_reader_next(r, 5000, &piece)) == RC_OK) {
        cr_assert(at + piece.n <= expected.n && memcmp(piece.p, expected.p + at, piece.n) == 0);
        at += piece.n;
    }
    cr_assert_eq(rc, RC_EOF, "%s: %s", codec_name(codec), rc_name(rc));
    cr_assert_eq(at, expected.n);
}

Test(codec, a_reader_reads_again_after_success_damage_halves_and_others)
{
    void *w = workspace(), *other = workspace();
    struct buf packed[CODEC_COUNT][SIZES];
    uint8_t *p = malloc(sizes[SIZES - 1]);
    fill(p, sizes[SIZES - 1], 7);
    for (enum codec c = CODEC_NONE; c < CODEC_COUNT; c++) {
        for (int i = 0; i < SIZES; i++) {
            buf_init(&packed[c][i], 8 << 20);
            cr_assert_eq(
                codec_compress(c, CODEC_LEVEL_DEFAULT, bytes_of(p, sizes[i]), &packed[c][i], other, CODEC_WORKSPACE_BYTES),
                RC_OK);
        }
    }
    struct prng random;
    prng_init(&random, 11);
    struct codec_reader r = {0};
    for (int round = 0; round < 600; round++) {
        enum codec c = prng_chance(&random, 1, 2) ? CODEC_ZSTD : (enum codec)prng_below(&random, CODEC_COUNT);
        int i = (int)prng_below(&random, prng_chance(&random, 1, 20) ? SIZES : SIZES - 1);
        struct bytes in = buf_bytes(&packed[c][i]), piece;
        check_again(&r, c, in, bytes_of(p, sizes[i]), w);
        if (prng_chance(&random, 1, 3) && in.n > 8) { // then one that is left in the middle, or damaged there
            uint8_t *bad = malloc(in.n);
            memcpy(bad, in.p, in.n);
            bad[in.n / 2] ^= (uint8_t)prng_below(&random, 256);
            cr_assert_eq(codec_reader_again(&r, c, bytes_of(bad, in.n), w, CODEC_WORKSPACE_BYTES), RC_OK);
            for (uint64_t steps = prng_below(&random, 60); steps > 0; steps--)
                if (codec_reader_next(&r, 3000, &piece) != RC_OK)
                    break;
            free(bad);
        }
    }
    for (enum codec c = CODEC_NONE; c < CODEC_COUNT; c++)
        for (int i = 0; i < SIZES; i++)
            buf_deinit(&packed[c][i]);
    free(w);
    free(other);
    free(p);
}

Test(codec, zstd_formats_of_before_0_8_are_refused_wherever_they_stand)
{
    void *w = workspace();
    uint8_t frame[256];
    for (uint32_t magic = 0xFD2FB522; magic <= 0xFD2FB527; magic++) { // 0.2 to 0.7
        for (int second = 0; second < 2; second++) {
            size_t at = second ? ZSTD_compress(frame, 128, "a frame of today", 16, 3) : 0;
            memcpy(frame + at, &magic, sizeof(magic));
            memset(frame + at + 4, 0x11, 64);
            struct codec_reader r;
            struct bytes piece;
            enum rc rc = codec_reader_start(&r, CODEC_ZSTD, bytes_of(frame, at + 68), w, CODEC_WORKSPACE_BYTES);
            while (rc == RC_OK)
                rc = codec_reader_next(&r, 1000, &piece);
            cr_assert(rc == RC_MALFORMED || rc == RC_NOMEM, "%x: %s", magic, rc_name(rc));
        }
    }
    free(w);
}

Test(codec, a_zstd_frame_without_its_declared_bytes_is_refused_in_any_step)
{
    // 280 bytes are declared; an empty block that is not the last and an empty last one follow, which the library accepts
    // when it decodes in steps.
    static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x50, 0x2f, 0x18, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00};
    void *w = workspace();
    for (size_t step = 1; step <= CODEC_WINDOW_BYTES; step *= 2) {
        struct codec_reader r;
        struct bytes piece;
        enum rc rc = codec_reader_start(&r, CODEC_ZSTD, bytes_of(frame, sizeof(frame)), w, CODEC_WORKSPACE_BYTES);
        while (rc == RC_OK)
            rc = codec_reader_next(&r, step, &piece);
        cr_assert(rc == RC_MALFORMED, "in steps of %zu: %s", step, rc_name(rc));
    }
    free(w);
}

Test(codec, every_zstd_level_fits_the_workspace)
{
    void *w = workspace();
    uint8_t *p = malloc(300000);
    fill(p, 300000, 5);
    for (int level = -7; level <= 22; level++) {
        struct buf out;
        buf_init(&out, 1 << 20);
        cr_assert_eq(codec_compress(CODEC_ZSTD, level, bytes_of(p, 300000), &out, w, CODEC_WORKSPACE_BYTES), RC_OK);
        check_reads(CODEC_ZSTD, buf_bytes(&out), bytes_of(p, 300000), 65536, w);
        buf_deinit(&out);
        struct codec_writer writer; // with no idea of the size, too
        cr_assert_eq(codec_writer_start(&writer, CODEC_ZSTD, level, 0, w, CODEC_WORKSPACE_BYTES), RC_OK);
    }
    free(w);
    free(p);
}

Test(codec, names_go_there_and_back)
{
    for (enum codec c = CODEC_NONE; c < CODEC_COUNT; c++) {
        enum codec out;
        cr_assert(codec_parse(bytes_str(codec_name(c)), &out));
        cr_assert_eq(out, c);
    }
    enum codec out;
    cr_assert(!codec_parse(bytes_str("brotli"), &out));
    struct codec_reader r;
    cr_assert_eq(codec_reader_start(&r, (enum codec)7, bytes_str("x"), NULL, 0), RC_UNSUPPORTED_COMPRESSION_TYPE);
    cr_assert_eq(codec_reader_start(&r, CODEC_GZIP, bytes_str("x"), NULL, 0), RC_NOMEM);
}
