// SPDX-License-Identifier: Apache-2.0
//
// The small formats byte for byte: index entries, epoch checkpoint, checkpoint records, segment names.
#include "model/ids.h"
#include "store/checkpoint.h"
#include "store/epoch_cache.h"
#include "store/index.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

Test(segment, names)
{
    char name[SEGMENT_NAME_BYTES];
    int64_t base;
    const char *suffix;
    segment_name(name, 1234567, ".timeindex");
    cr_assert_str_eq(name, "00000000000001234567.timeindex");
    cr_assert(segment_name_parse(name, &base, &suffix));
    cr_assert_eq(base, 1234567);
    cr_assert_str_eq(suffix, ".timeindex");
    cr_assert(segment_name_parse("09223372036854775807.log", &base, &suffix));
    cr_assert_eq(base, INT64_MAX);
    cr_assert_not(segment_name_parse("09223372036854775808.log", &base, &suffix));
    cr_assert_not(segment_name_parse("99999999999999999999.log", &base, &suffix));
    cr_assert_not(segment_name_parse("0000000000000123456.log", &base, &suffix));
    cr_assert_not(segment_name_parse("00000000000001234567", &base, &suffix));
    cr_assert_not(segment_name_parse("partition.metadata", &base, &suffix));
    cr_assert_not(segment_name_parse("", &base, &suffix));
}

Test(index, entries_and_search_in_the_tail)
{
    static const uint8_t expected[] = {0, 0, 0, 10, 0, 0, 16, 0, 0, 0, 0, 30, 0, 0, 32, 0};
    struct index_tail t = {.last_key = -1};
    uint32_t rank;
    cr_assert_eq(index_put(&t, (struct index_entry){10, 4096}), RC_OK);
    cr_assert_eq(index_put(&t, (struct index_entry){30, 8192}), RC_OK);
    cr_assert_eq(t.bytes, sizeof(expected));
    cr_assert_eq(memcmp(t.p, expected, sizeof(expected)), 0);
    struct index_view v = {.tail = &t, .entry_bytes = INDEX_ENTRY_BYTES};
    static const struct {
        uint32_t key, rank;
    } cases[] = {{0, 0}, {9, 0}, {10, 1}, {29, 1}, {30, 2}, {UINT32_MAX, 2}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert_eq(index_view_rank_offset(&v, cases[i].key, &rank), RC_OK);
        cr_assert_eq(rank, cases[i].rank);
    }
    cr_assert_eq(index_view_rank_position(&v, 8191, &rank), RC_OK);
    cr_assert_eq(rank, 1);
    for (unsigned i = 2; i < INDEX_TAIL_BYTES_MAX / INDEX_ENTRY_BYTES; i++)
        cr_assert_eq(index_put(&t, (struct index_entry){30 + i, 8192 * i}), RC_OK);
    cr_assert_eq(index_put(&t, (struct index_entry){9999, 1}), RC_FULL);
    cr_assert_eq(t.cap, INDEX_TAIL_BYTES_MAX);
    index_tail_deinit(&t);
}

Test(index, search_in_file_and_tail)
{
    char path[] = "/tmp/weir-index-XXXXXX";
    struct io *io;
    struct io_file f;
    const struct io_config config = {.engine = IO_ENGINE_EPOLL};
    struct index_tail t = {.last_key = -1};
    cr_assert(mkstemp(path) >= 0);
    cr_assert_eq(io_create(&io, &config), RC_OK);
    cr_assert_eq(io_file_open(io, &f, path, IO_OPEN_READ | IO_OPEN_WRITE, IO_FILE_OTHER), RC_OK);
    for (uint32_t i = 0; i < 3000; i++) {
        struct time_index_entry e = {1000 + 2 * (int64_t)i, i};
        if (time_index_put(&t, e) == RC_FULL) {
            cr_assert_eq(index_tail_write(&t, &f), RC_OK);
            cr_assert_eq(time_index_put(&t, e), RC_OK);
        }
    }
    cr_assert(t.bytes > 0 && t.file_bytes > 0);
    struct index_view v = {.file = &f, .file_bytes = t.file_bytes, .tail = &t, .entry_bytes = TIME_INDEX_ENTRY_BYTES};
    cr_assert_eq(index_view_count(&v), 3000);
    for (int64_t ts = 990; ts < 7010; ts++) {
        uint32_t rank, expected = ts <= 1000 ? 0 : ts > 6998 ? 3000 : (uint32_t)((ts - 1000 + 1) / 2);
        cr_assert_eq(time_index_view_rank(&v, ts, &rank), RC_OK);
        cr_assert_eq(rank, expected, "%lld: %u", (long long)ts, rank);
    }
    index_tail_deinit(&t);
    io_file_close(&f);
    io_destroy(io);
    unlink(path);
}

Test(epoch_cache, answers_as_kip_101_asks)
{
    struct epoch_cache c = {0};
    int32_t epoch;
    int64_t end;
    epoch_cache_end(&c, 0, 5, &epoch, &end);
    cr_assert(epoch == LEADER_EPOCH_NONE && end == OFFSET_NONE);
    cr_assert_eq(epoch_cache_begin(&c, 2, 10), RC_OK);
    cr_assert_eq(epoch_cache_begin(&c, 4, 20), RC_OK);
    cr_assert_eq(epoch_cache_begin(&c, 4, 25), RC_OK, "the same epoch goes on");
    cr_assert_eq(epoch_cache_begin(&c, 3, 30), RC_OK, "an older one is ignored");
    static const struct {
        int32_t asked, epoch;
        int64_t end;
    } cases[] = {{1, 1, 10}, {2, 2, 20}, {3, 2, 20}, {4, 4, 50}, {5, -1, -1}, {-1, -1, -1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        epoch_cache_end(&c, cases[i].asked, 50, &epoch, &end);
        cr_assert(epoch == cases[i].epoch && end == cases[i].end, "asked %d: %d %lld", cases[i].asked, epoch,
                  (long long)end);
    }
    cr_assert_eq(epoch_cache_at(&c, 9), LEADER_EPOCH_NONE);
    cr_assert_eq(epoch_cache_at(&c, 19), 2);
    cr_assert_eq(epoch_cache_at(&c, 20), 4);
    cr_assert_eq(epoch_cache_begin(&c, 6, 20), RC_OK);
    cr_assert_eq(c.count, 2, "epoch 4 never wrote a batch");
    cr_assert_eq(epoch_cache_begin(&c, 2, 20), RC_OK);
    cr_assert(c.count == 1 && epoch_cache_at(&c, 20) == 2, "nor did epoch 6: what follows there is older");
    cr_assert_eq(epoch_cache_begin(&c, 6, 20), RC_OK);
    cr_assert_eq(epoch_cache_begin(&c, 3, 20), RC_OK);
    cr_assert(c.count == 2 && epoch_cache_at(&c, 20) == 3, "nor did it here");
    cr_assert_eq(epoch_cache_begin(&c, 6, 20), RC_OK);
    c.changed = false;
    cr_assert_eq(epoch_cache_begin(&c, 6, 20), RC_OK);
    cr_assert(!c.changed, "its first batch is where it was begun");
    epoch_cache_cut_start(&c, 15);
    cr_assert_eq(c.entries[0].offset, 15);
    cr_assert(!c.changed, "the log's own start says so, too");
    epoch_cache_cut_end(&c, 20);
    cr_assert_eq(epoch_cache_latest(&c), 2);
    epoch_cache_deinit(&c);
}

Test(epoch_cache, what_is_reserved_needs_no_memory)
{
    struct epoch_cache c = {0};
    cr_assert_eq(epoch_cache_begin(&c, 1, 0), RC_OK);
    for (int32_t round = 0; round < 3; round++) {
        cr_assert_eq(epoch_cache_reserve(&c, 5), RC_OK);
        const struct epoch_start *entries = c.entries;
        for (int32_t i = 2; i < 7; i++)
            cr_assert_eq(epoch_cache_begin(&c, round * 5 + i, 10 * (round * 5 + i)), RC_OK);
        cr_assert_eq(c.entries, entries);
    }
    cr_assert_eq(c.count, 16);
    cr_assert_eq(epoch_cache_reserve(&c, SIZE_MAX), RC_NOMEM);
    epoch_cache_deinit(&c);
}

Test(epoch_cache, text_is_kafkas)
{
    struct epoch_cache c = {0};
    struct buf out;
    buf_init(&out, 1000);
    cr_assert_eq(epoch_cache_begin(&c, 0, 0), RC_OK);
    cr_assert_eq(epoch_cache_begin(&c, 7, 4294967296), RC_OK);
    epoch_cache_print(&c, &out);
    static const char expected[] = "0\n2\n0 0\n7 4294967296\n";
    cr_assert_eq(out.n, strlen(expected));
    cr_assert_eq(memcmp(out.p, expected, out.n), 0);
    epoch_cache_clear(&c);
    cr_assert_eq(epoch_cache_parse(&c, buf_bytes(&out)), RC_OK);
    cr_assert(c.count == 2 && c.entries[1].epoch == 7 && c.entries[1].offset == 4294967296);
    static const char *const bad[] = {
        "",        "1\n0\n",           "0\n1\n",     "0\n1\n3 4",        "0\n1\n3 x\n",
        "0\n-1\n", "0\n2\n5 1\n4 2\n", "0\n0\nmore", "0\n2\n1 5\n2 4\n", "0\n1\n99999999999 1\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_eq(epoch_cache_parse(&c, bytes_str(bad[i])), RC_CORRUPT, "%zu", i);
        cr_assert_eq(c.count, 0);
    }
    buf_deinit(&out);
    epoch_cache_deinit(&c);
}

Test(checkpoint, record_survives_and_every_flipped_bit_is_seen)
{
    struct checkpoint_record r = {.type = CHECKPOINT_MARK,
                                  .flags = CHECKPOINT_FLAG_CLEAN,
                                  .id = {.topic_id = {.b = {9, 8, 7}}, .partition = 5},
                                  .offset = 1,
                                  .segment_base = 2,
                                  .position = 3,
                                  .leader_epoch = 4,
                                  .boot = 5};
    struct checkpoint_record back;
    uint8_t raw[CHECKPOINT_RECORD_BYTES];
    checkpoint_encode(&r, raw);
    cr_assert_eq(checkpoint_decode(raw, &back), RC_OK);
    cr_assert(back.type == r.type && back.flags == r.flags && topic_partition_eq(back.id, r.id) && back.offset == 1 &&
              back.segment_base == 2 && back.position == 3 && back.leader_epoch == 4 && back.boot == 5);
    r.flags |= CHECKPOINT_FLAG_TIMED;
    r.timestamp = 6;
    checkpoint_encode(&r, raw);
    cr_assert_eq(checkpoint_decode(raw, &back), RC_OK);
    cr_assert(back.flags == r.flags && back.timestamp == 6 && back.boot == 0 && back.leader_epoch == 4);
    for (unsigned bit = 0; bit < sizeof(raw) * 8; bit++) {
        raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(checkpoint_decode(raw, &back), RC_CORRUPT);
        raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static enum rc count_record(void *context, const struct checkpoint_record *r)
{
    int64_t *last = context;
    *last = r->offset;
    return RC_OK;
}

Test(checkpoint, cuts_a_torn_tail_and_steps_over_damage)
{
    char path[] = "/tmp/weir-checkpoint-XXXXXX";
    struct io *io;
    struct checkpoint c;
    const struct io_config config = {.engine = IO_ENGINE_EPOLL};
    int64_t last = -1;
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    cr_assert_eq(io_create(&io, &config), RC_OK);
    cr_assert_eq(checkpoint_open(&c, io, NULL, path, count_record, &last), RC_OK);
    for (int64_t i = 0; i < 10; i++) {
        struct checkpoint_record r = {.type = CHECKPOINT_START, .offset = i};
        cr_assert_eq(checkpoint_append(&c, &r), RC_OK);
    }
    checkpoint_close(&c);
    cr_assert_eq(ftruncate(fd, 10 * 64 - 1), 0);
    cr_assert_eq(pwrite(fd, "x", 1, 2 * 64 + 30), 1);
    cr_assert_eq(checkpoint_open(&c, io, NULL, path, count_record, &last), RC_OK);
    cr_assert_eq(last, 8);
    cr_assert_eq(c.bytes, 9 * 64);
    checkpoint_close(&c);
    io_destroy(io);
    close(fd);
    unlink(path);
}

static enum rc put(struct checkpoint *c, enum checkpoint_type type, uint16_t flags, int64_t offset)
{
    return checkpoint_append(c, &(struct checkpoint_record){.type = (uint8_t)type, .flags = flags, .offset = offset});
}

static enum rc expect_next(void *context, const struct checkpoint_record *r)
{
    int64_t *last = context;
    cr_assert_eq(r->offset, *last + 1, "in the order they were put");
    *last = r->offset;
    return RC_OK;
}

static int64_t records_in(int fd)
{
    struct stat st;
    cr_assert_eq(fstat(fd, &st), 0);
    return st.st_size / CHECKPOINT_RECORD_BYTES;
}

// Points of many logs are written together; what a start must not miss waits for nothing, and nothing passes it.
Test(checkpoint, gathers_only_what_spares_work)
{
    char path[] = "/tmp/weir-checkpoint-XXXXXX";
    struct io *io;
    struct checkpoint c;
    const struct io_config config = {.engine = IO_ENGINE_EPOLL};
    struct rlimit unlimited;
    int64_t last = -1, n = 0;
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    cr_assert_eq(io_create(&io, &config), RC_OK);
    cr_assert_eq(checkpoint_open(&c, io, NULL, path, expect_next, &last), RC_OK);
    cr_assert(put(&c, CHECKPOINT_HIGH_WATERMARK, 0, n++) == RC_OK && records_in(fd) == n, "nobody has begun");
    checkpoint_gather_begin(&c);
    cr_assert(put(&c, CHECKPOINT_RECOVERY_POINT, CHECKPOINT_FLAG_CLEAN, n++) == RC_OK && records_in(fd) == n - 1);
    cr_assert(put(&c, CHECKPOINT_HIGH_WATERMARK, 0, n++) == RC_OK && records_in(fd) == n - 2);
    cr_assert(put(&c, CHECKPOINT_DIRTY, 0, n++) == RC_OK && records_in(fd) == n, "all of them");
    cr_assert(put(&c, CHECKPOINT_RECOVERY_POINT, CHECKPOINT_FLAG_RESET, n++) == RC_OK && records_in(fd) == n, "of a cut");
    for (int i = 0; i < CHECKPOINT_GATHERED_MAX + 3; i++)
        cr_assert_eq(put(&c, CHECKPOINT_RECOVERY_POINT, 0, n++), RC_OK);
    cr_assert_eq(records_in(fd), n - 3, "no more than there is room for");
    cr_assert(checkpoint_gather_end(&c) == RC_OK && records_in(fd) == n);
    checkpoint_gather_begin(&c);
    cr_assert_eq(put(&c, CHECKPOINT_RECOVERY_POINT, 0, n++), RC_OK);
    // No space: it is kept, and goes before the next.
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){(rlim_t)c.bytes, unlimited.rlim_max}), 0);
    cr_assert_neq(checkpoint_gather_end(&c), RC_OK);
    cr_assert_neq(put(&c, CHECKPOINT_START, 0, n), RC_OK);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
    cr_assert(put(&c, CHECKPOINT_START, 0, n++) == RC_OK && records_in(fd) == n);
    checkpoint_close(&c);
    cr_assert_eq(checkpoint_open(&c, io, NULL, path, expect_next, &last), RC_OK);
    cr_assert_eq(last, n - 1);
    checkpoint_close(&c);
    io_destroy(io);
    close(fd);
    unlink(path);
}
