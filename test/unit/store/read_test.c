// SPDX-License-Identifier: Apache-2.0
//
// Reads: bounds and limits, waiting for what is not in the page cache, pins against the cache of open files, and how
// little is read to find much.
#include "fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

Test(read, bounds_and_limits)
{
    struct fixture f = {0};
    struct plog_slice s;
    fixture_open(&f);
    fixture_fill(&f, 10, 100);
    uint64_t one = plog_bytes(&f.log) / 10;
    static const struct {
        int64_t offset, bound;
        uint64_t batches_max;
        bool at_least_one;
        uint64_t batches;
    } cases[] = {
        {0, 10, 100, false, 10}, {0, 5, 100, false, 5}, {9, 10, 1, false, 1}, {0, 10, 3, false, 3},
        {10, 10, 9, true, 0},    {5, 5, 9, true, 0},    {0, 10, 0, false, 0}, {0, 10, 0, true, 1},
        {4, 3, 9, true, 0},      {9, 99, 9, true, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct plog_read read = {.offset = cases[i].offset,
                                       .bound = cases[i].bound,
                                       .bytes_max = cases[i].batches_max * one + one / 2,
                                       .at_least_one = cases[i].at_least_one};
        cr_assert_eq(plog_read(&f.log, &read, &s, NULL), RC_OK);
        cr_assert_eq(s.bytes, cases[i].batches * one, "case %zu: %llu", i, (unsigned long long)s.bytes);
        cr_assert_eq(s.next_offset, cases[i].offset + (int64_t)cases[i].batches);
        plog_slice_release(&s);
    }
    struct plog_read read = {.offset = 11, .bound = 11, .bytes_max = 1000};
    cr_assert_eq(plog_read(&f.log, &read, &s, NULL), RC_OFFSET_OUT_OF_RANGE);
    read.offset = -1;
    cr_assert_eq(plog_read(&f.log, &read, &s, NULL), RC_OFFSET_OUT_OF_RANGE);
    fixture_close(&f);
}

Test(read, an_offset_inside_a_batch_gives_that_batch)
{
    struct fixture f = {0};
    struct plog_slice s;
    fixture_open(&f);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(fixture_append(&f, (struct batch_spec){.records = 10, .value_bytes = 10}, NULL), RC_OK);
    const struct plog_read read = {.offset = 15, .bound = 30, .bytes_max = 100000};
    cr_assert_eq(plog_read(&f.log, &read, &s, NULL), RC_OK);
    cr_assert_eq(s.first_offset, 10);
    cr_assert_eq(s.next_offset, 30);
    plog_slice_release(&s);
    fixture_close(&f);
}

static unsigned waits;

static void count_wait(struct plog_wait *w)
{
    (void)w;
    waits++;
}

static void drop_cache(struct fixture *f, const char *name)
{
    int fd = open(fixture_file(f, name), O_RDONLY);
    cr_assert(fd >= 0);
    fdatasync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}

Test(read, waits_for_cold_pages_and_ends)
{
    struct fixture f = {0};
    fixture_open(&f);
    fixture_fill(&f, 300, 3000);
    cr_assert_eq(plog_rest(&f.log), RC_OK);
    for (int64_t offset = 0; offset < 300; offset += 50) {
        struct plog_slice s;
        struct plog_wait wait = {.done = count_wait};
        const struct plog_read read = {.offset = offset, .bound = 300, .bytes_max = 50000};
        drop_cache(&f, "00000000000000000000.log");
        drop_cache(&f, "00000000000000000000.index");
        plog_hints_clear(&f.log);
        enum rc rc;
        unsigned before = waits, rounds = 0;
        while ((rc = plog_read(&f.log, &read, &s, &wait)) == RC_AGAIN) {
            unsigned seen = waits;
            while (waits == seen)
                io_poll(f.io, 1000000);
            cr_assert(++rounds <= 3, "a read waits a bounded number of times");
        }
        cr_assert_eq(rc, RC_OK);
        cr_assert_eq(s.first_offset, offset);
        cr_assert_eq(waits - before, rounds);
        plog_slice_release(&s);
    }
    cr_assert_eq(f.store.counters.reads_cold, waits);
    fixture_close(&f);
}

Test(read, pinned_files_stay_open_while_the_cache_evicts)
{
    struct fixture f = {.config = PLOG_CONFIG_DEFAULT, .store_config = STORE_CONFIG_DEFAULT};
    struct plog_slice held[10], s;
    f.config.segment_bytes = 5000;
    f.store_config.files_max = 8;
    fixture_open(&f);
    fixture_fill(&f, 200, 900);
    cr_assert(f.log.sealed_count > 20);
    for (int i = 0; i < 10; i++) {
        const struct plog_read read = {.offset = i * 10, .bound = 200, .bytes_max = 1, .at_least_one = true};
        cr_assert_eq(plog_read(&f.log, &read, &held[i], NULL), RC_OK);
    }
    for (int64_t offset = 100; offset < 200; offset++) {
        const struct plog_read read = {.offset = offset, .bound = 200, .bytes_max = 1, .at_least_one = true};
        cr_assert_eq(plog_read(&f.log, &read, &s, NULL), RC_OK);
        plog_slice_release(&s);
    }
    cr_assert(f.store.files.evicted > 10);
    for (int i = 0; i < 10; i++) {
        uint8_t head[8];
        size_t got;
        cr_assert_eq(io_file_read_now(plog_slice_file(&held[i]), head, 8, held[i].position, &got), RC_OK);
        cr_assert_eq((int64_t)be64(head), i * 10);
        plog_slice_release(&held[i]);
    }
    for (int64_t offset = 0; offset < 100; offset++) {
        const struct plog_read read = {.offset = offset, .bound = 200, .bytes_max = 1, .at_least_one = true};
        cr_assert_eq(plog_read(&f.log, &read, &s, NULL), RC_OK);
        plog_slice_release(&s);
    }
    cr_assert_eq(f.store.files.count, 8);
    fixture_close(&f);
}

Test(read, reads_little_to_find_much)
{
    struct fixture f = {0};
    fixture_open(&f);
    for (int i = 0; i < 160; i++)
        cr_assert_eq(fixture_append(&f, (struct batch_spec){.records = 1, .value_bytes = 60000, .timestamp = i}, NULL),
                     RC_OK);
    const struct io_counters *io = io_counters(f.io);
    uint64_t before = io->read_bytes[IO_FILE_LOG], sent = 0;
    for (struct plog_read read = {.bound = 160, .bytes_max = 1 << 20}; read.offset < 160;) {
        struct plog_slice s;
        cr_assert_eq(plog_read(&f.log, &read, &s, NULL), RC_OK);
        sent += s.bytes;
        read.offset = s.next_offset;
        plog_slice_release(&s);
    }
    cr_assert_eq(sent, plog_bytes(&f.log));
    cr_assert((io->read_bytes[IO_FILE_LOG] - before) * 1000 < sent, "%llu of %llu bytes",
              (unsigned long long)(io->read_bytes[IO_FILE_LOG] - before), (unsigned long long)sent);
    fixture_close(&f);
}

// What an append and a cut leave for one who has read to the end; he may also see less, or take less.
Test(read, the_end_is_known_without_looking)
{
    struct fixture f = {.config = PLOG_CONFIG_DEFAULT};
    struct plog_slice s;
    f.config.segment_bytes = 20000;
    fixture_open(&f);
    fixture_fill(&f, 3, 1000);
    for (int64_t at = 3; at < 60; at += 3) {
        uint64_t before = plog_bytes(&f.log);
        uint32_t sealed = f.log.sealed_count;
        struct plog_read read = {.offset = at - 1, .bound = at, .bytes_max = 1 << 20};
        cr_assert_eq(plog_read(&f.log, &read, &s, NULL), RC_OK);
        cr_assert_eq(s.next_offset, at);
        plog_slice_release(&s);
        fixture_fill(&f, 3, 1000);
        if (f.log.sealed_count != sealed)
            continue; // it ends in two files
        uint64_t looked = f.store.counters.header_reads;
        read = (struct plog_read){.offset = at, .bound = at + 3, .bytes_max = 1 << 20};
        cr_assert_eq(plog_read(&f.log, &read, &s, NULL), RC_OK);
        cr_assert_eq(f.store.counters.header_reads, looked);
        cr_assert_eq(s.bytes, plog_bytes(&f.log) - before);
        cr_assert_eq(s.next_offset, at + 3);
        uint8_t head[8];
        size_t got;
        cr_assert_eq(io_file_read_now(plog_slice_file(&s), head, 8, s.position, &got), RC_OK);
        cr_assert_eq((int64_t)be64(head), at);
        uint64_t all = s.bytes;
        plog_slice_release(&s);
        read.bound = at + 2; // not all of it may be seen
        cr_assert_eq(plog_read(&f.log, &read, &s, NULL), RC_OK);
        cr_assert_eq(s.bytes, all / 3 * 2);
        plog_slice_release(&s);
        read = (struct plog_read){.offset = at, .bound = at + 3, .bytes_max = all - 1}; // nor fits
        cr_assert_eq(plog_read(&f.log, &read, &s, NULL), RC_OK);
        cr_assert_eq(s.bytes, all / 3 * 2);
        plog_slice_release(&s);
    }
    cr_assert(f.log.sealed_count > 1);
    fixture_close(&f);
}

Test(read, what_can_hold_nothing_is_not_looked_for)
{
    struct fixture f = {0};
    struct plog_slice s;
    fixture_open(&f);
    fixture_fill(&f, 10, 100);
    uint64_t reads = f.store.counters.reads, looked = f.store.counters.header_reads;
    for (uint64_t bytes = 0; bytes < BATCH_HEADER_BYTES; bytes += 20) {
        const struct plog_read read = {.offset = 3, .bound = 10, .bytes_max = bytes};
        cr_assert_eq(plog_read(&f.log, &read, &s, NULL), RC_OK);
        cr_assert_null(s.file);
        cr_assert_eq(s.next_offset, 3);
    }
    cr_assert_eq(f.store.counters.reads, reads);
    cr_assert_eq(f.store.counters.header_reads, looked);
    const struct plog_read beyond = {.offset = 11, .bound = 11};
    cr_assert_eq(plog_read(&f.log, &beyond, &s, NULL), RC_OFFSET_OUT_OF_RANGE, "an offset is judged all the same");
    fixture_close(&f);
}

Test(read, says_when_more_lies_in_a_newer_segment)
{
    struct fixture f = {.config = PLOG_CONFIG_DEFAULT};
    f.config.segment_bytes = 5000; // four batches
    fixture_open(&f);
    fixture_fill(&f, 9, 1000);
    cr_assert_eq(f.log.sealed_count, 2);
    cr_assert(plog_is_on_older_segment(&f.log, 0, 9));
    cr_assert(plog_is_on_older_segment(&f.log, 3, 5));
    cr_assert_not(plog_is_on_older_segment(&f.log, 3, 4), "nothing of the next one may be seen");
    cr_assert(plog_is_on_older_segment(&f.log, 7, 9));
    cr_assert_not(plog_is_on_older_segment(&f.log, 8, 9));
    cr_assert_not(plog_is_on_older_segment(&f.log, 9, 9));
    fixture_close(&f);
}
