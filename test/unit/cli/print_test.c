// SPDX-License-Identifier: Apache-2.0
//
// What weir consume and weir admin log dump print, word for word.
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/consume.h"
#include "cli/log_dump.h"

static struct cli cli;

static const char *printed(void)
{
    buf_append(&cli.out, "", 1);
    cr_assert_not(cli.out.failed);
    return (const char *)cli.out.p;
}

static void fresh(void)
{
    buf_deinit(&cli.out);
    buf_init(&cli.out, 1 << 20);
    cli.path = "weir test";
}

// ------------------------------------------------------------------------------------------------ consume

static struct client_topic topic = {.name = "orders"};
static const struct record_header headers[] = {
    {{.p = (const uint8_t *)"source", .n = 6}, {.p = (const uint8_t *)"shop", .n = 4}},
    {{.p = (const uint8_t *)"none", .n = 4}, {.p = NULL, .n = 0}},
};

// One batch with a record that has everything and one that has nothing.
static void build(struct buf *out, enum codec codec)
{
    struct batch_options options = batch_options_default();
    struct batch_builder b;
    options.base_offset = 41;
    options.codec = codec;
    options.producer_id = 7;
    options.producer_epoch = 1;
    options.base_sequence = 5;
    batch_builder_init(&b, &options, 1 << 16);
    cr_assert_eq(batch_builder_add(&b, 1700000000123, bytes_str("k1"), bytes_str("paid"), headers, 2), RC_OK);
    cr_assert_eq(batch_builder_add(&b, 1700000000124, bytes_of(NULL, 0), bytes_of("\xff\x00", 2), NULL, 0), RC_OK);
    cr_assert_eq(batch_builder_finish(&b, out), RC_OK);
    batch_builder_deinit(&b);
}

static void print_both(struct consume *s)
{
    struct buf batch;
    struct batch_header h;
    struct batch_iter it;
    struct record r;
    buf_init(&batch, 1 << 16);
    build(&batch, CODEC_NONE);
    cr_assert_eq(batch_header_read(buf_bytes(&batch), &h), RC_OK);
    batch_iter_init(&it, &h, bytes_of(batch.p + BATCH_HEADER_BYTES, batch.n - BATCH_HEADER_BYTES));
    s->cli = &cli;
    fresh();
    while (batch_iter_next(&it, &r))
        consume_print(s, &topic, 3, &r);
    buf_deinit(&batch);
}

Test(consume, text_with_key)
{
    struct consume_options o = {.output = CONSUME_TEXT};
    struct consume s = {.options = &o, .delimiter = bytes_str(";\n"), .key_delimiter = bytes_str(" -> ")};
    print_both(&s);
    printed();
    cr_assert(bytes_eq(bytes_of(cli.out.p, cli.out.n - 1), bytes_of("k1 -> paid;\n -> \xff\x00;\n", 20)));
}

Test(consume, raw_has_nothing_between)
{
    struct consume_options o = {.output = CONSUME_RAW};
    struct consume s = {.options = &o, .delimiter = bytes_str("\n")};
    print_both(&s);
    printed();
    cr_assert(bytes_eq(bytes_of(cli.out.p, cli.out.n - 1), bytes_of("paid\xff\x00", 6)));
}

Test(consume, as_kafkas_console_consumer_prints)
{
    struct consume_console f = {.timestamp = true,
                                .partition = true,
                                .offset = true,
                                .headers = true,
                                .key = true,
                                .value = true,
                                .key_separator = bytes_str("|"),
                                .line_separator = bytes_str("\n"),
                                .headers_separator = bytes_str(","),
                                .null_literal = bytes_str("null")};
    struct consume_options o = {.console = &f};
    struct consume s = {.options = &o};
    print_both(&s);
    printed();
    static const char want[] = "CreateTime:1700000000123|Partition:3|Offset:41|source:shop,none:null|k1|paid\n"
                               "CreateTime:1700000000124|Partition:3|Offset:42|NO_HEADERS|null|\xff\x00\n";
    cr_assert(bytes_eq(bytes_of(cli.out.p, cli.out.n - 1), bytes_of(want, sizeof(want) - 1)));
    f = (struct consume_console){.value = true, .line_separator = bytes_str("\n")};
    print_both(&s);
    printed();
    cr_assert(bytes_eq(bytes_of(cli.out.p, cli.out.n - 1), bytes_of("paid\n\xff\x00\n", 8)));
}

Test(consume, by_a_format)
{
    struct consume_options o = {0};
    struct consume s = {.options = &o};
    char format[] = "%t/%p/%o %k=%S:%K %T %D [%h] 100%%\\t.\\n";
    cr_assert(consume_format_parse(&s.format, format));
    print_both(&s);
    cr_assert_str_eq(printed(),
                     "orders/3/41 k1=4:2 1700000000123 2023-11-14T22:13:20.123Z [source=shop,none=NULL] 100%\t.\n"
                     "orders/3/42 NULL=2:-1 1700000000124 2023-11-14T22:13:20.124Z [] 100%\t.\n");
}

Test(consume, formats_that_are_none)
{
    struct consume_format f;
    char unknown[] = "%z", cut[] = "abc%";
    cr_assert_not(consume_format_parse(&f, unknown));
    cr_assert_not(consume_format_parse(&f, cut));
}

Test(consume, json)
{
    struct consume_options o = {.common.json = true};
    struct consume s = {.options = &o};
    print_both(&s);
    cr_assert_str_eq(printed(),
                     "{\"topic\":\"orders\",\"partition\":3,\"offset\":41,\"timestamp\":1700000000123,\"key\":\"k1\","
                     "\"value\":\"paid\",\"headers\":[{\"key\":\"source\",\"value\":\"shop\"},"
                     "{\"key\":\"none\",\"value\":null}]}\n"
                     "{\"topic\":\"orders\",\"partition\":3,\"offset\":42,\"timestamp\":1700000000124,\"key\":null,"
                     "\"value_base64\":\"/wA=\",\"headers\":[]}\n");
}

// ------------------------------------------------------------------------------------------------ log dump

struct dumped {
    struct log_dump d;
    enum rc rc;
};

// Writes bytes to a file and dumps it.
static struct dumped dump(const struct buf *bytes, bool records, bool json)
{
    struct dumped result = {.d = {.cli = &cli, .records = records, .json = json, .name = "x.log"}};
    struct io_config config = {0};
    char path[64];
    snprintf(path, sizeof(path), "/tmp/weir-print-test-%d.log", (int)getpid());
    fresh();
    cr_assert_eq(io_create(&cli.io, &config), RC_OK);
    cr_assert_eq(io_file_open(cli.io, &result.d.file, path,
                              IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_TRUNCATE, IO_FILE_OTHER),
                 RC_OK);
    cr_assert_eq(io_file_write_now(&result.d.file, bytes->p, bytes->n, 0), RC_OK);
    result.d.file_bytes = bytes->n;
    result.d.workspace = malloc(CODEC_WORKSPACE_BYTES);
    buf_init(&result.d.inflated, 1 << 20);
    result.rc = log_dump_batches(&result.d);
    io_file_close(&result.d.file);
    io_remove_now(cli.io, path);
    io_destroy(cli.io);
    cli.io = NULL;
    free(result.d.window);
    free(result.d.workspace);
    buf_deinit(&result.d.inflated);
    return result;
}

// Messages about damage, and what was gathered before them, go to the real outputs.
static void be_quiet(void)
{
    cr_redirect_stdout();
    cr_redirect_stderr();
}

Test(log_dump, a_batch_and_its_records)
{
    struct buf log;
    buf_init(&log, 1 << 16);
    build(&log, CODEC_ZSTD);
    size_t n = log.n;
    cr_assert_eq(dump(&log, true, false).rc, RC_OK);
    char want[512];
    snprintf(want, sizeof(want),
             "offsets 41-42  count 2  position 0  bytes %zu  codec zstd  crc ok  epoch %d  created "
             "2023-11-14T22:13:20.124Z  producer 7 epoch 1 sequence 5-6\n"
             "  offset 41  2023-11-14T22:13:20.123Z  key (2) k1  value (4) paid  header (6) source  = (4) shop  header "
             "(4) none  = null\n"
             "  offset 42  2023-11-14T22:13:20.124Z  key null  value (2) \\xff\\x00\n",
             n, (int32_t)be32(log.p + 12));
    cr_assert_str_eq(printed(), want);
    buf_deinit(&log);
}

Test(log_dump, a_wrong_checksum_is_shown_and_reading_goes_on)
{
    struct buf log;
    buf_init(&log, 1 << 16);
    build(&log, CODEC_NONE);
    size_t first = log.n;
    build(&log, CODEC_NONE);
    log.p[first - 1] ^= 1;
    struct dumped r = dump(&log, false, true);
    cr_assert_eq(r.rc, RC_CORRUPT);
    cr_assert_eq(r.d.batches, 2);
    cr_assert_eq(r.d.damaged, 1);
    const char *text = printed(), *second = strchr(text, '\n') + 1;
    cr_assert_not_null(strstr(text, "\"crc_valid\":false"));
    cr_assert_not_null(strstr(second, "\"crc_valid\":true"));
    buf_deinit(&log);
}

Test(log_dump, a_torn_tail_is_reported_behind_what_is_whole, .init = be_quiet)
{
    struct buf log;
    buf_init(&log, 1 << 16);
    build(&log, CODEC_NONE);
    size_t first = log.n;
    build(&log, CODEC_NONE);
    for (size_t cut = first + 1; cut < 2 * first; cut += 13) {
        log.n = cut;
        struct dumped r = dump(&log, true, false);
        cr_assert_eq(r.rc, RC_CORRUPT);
        cr_assert_eq(r.d.batches, 1);
    }
    buf_deinit(&log);
}

Test(log_dump, lying_lengths_are_no_danger, .init = be_quiet)
{
    static const uint32_t lengths[] = {0, 1, 48, 49, 0x7fffffff, 0x80000000, 0xffffffff};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct buf log;
        buf_init(&log, 1 << 16);
        build(&log, CODEC_NONE);
        put_be32(log.p + 8, lengths[i]);
        cr_assert_eq(dump(&log, true, true).rc, RC_CORRUPT);
        buf_deinit(&log);
    }
}
