// SPDX-License-Identifier: Apache-2.0
//
// Recovery: what a start makes of torn, damaged, short and missing files, and where it begins to look.
#include "fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define LOG0 "00000000000000000000.log"
#define INDEX0 "00000000000000000000.index"
#define TIME0 "00000000000000000000.timeindex"

Test(recovery, cuts_a_torn_tail_at_every_byte_of_the_last_batch)
{
    struct fixture f = {0};
    fixture_open(&f);
    fixture_fill(&f, 3, 20);
    uint64_t two = fixture_size(&f, LOG0);
    fixture_fill(&f, 1, 20);
    uint64_t three = fixture_size(&f, LOG0);
    static uint8_t whole[4096];
    cr_assert_eq(fixture_read_file(&f, LOG0, whole, sizeof(whole)), three);
    for (uint64_t n = three - 1; n >= two; n--) {
        fixture_truncate(&f, LOG0, n);
        fixture_die(&f);
        struct plog_recovery_report report = fixture_recover(&f);
        cr_assert_eq(report.end_offset, 3);
        cr_assert_eq(report.cut_bytes, n - two);
        cr_assert_eq(fixture_size(&f, LOG0), two);
        fixture_fill(&f, 1, 20); // the log goes on where it was cut
        cr_assert_eq(fixture_read_all(&f), 4);
        // A mark may have moved past it: begin each round from scratch.
        fixture_close(&f);
        f = (struct fixture){0};
        fixture_open(&f);
        fixture_fill(&f, 4, 20);
    }
    fixture_close(&f);
}

Test(recovery, cuts_at_a_flipped_bit_anywhere_in_the_last_batch)
{
    struct fixture f = {0};
    fixture_open(&f);
    fixture_fill(&f, 3, 20);
    uint64_t two = fixture_size(&f, LOG0);
    fixture_fill(&f, 1, 20);
    uint64_t three = fixture_size(&f, LOG0);
    fixture_die(&f);
    for (uint64_t at = two; at < three; at++) {
        struct plog_recovery_report report;
        if (at >= two + 12 && at < two + 16)
            continue; // the leader epoch, which no checksum covers
        fixture_flip(&f, LOG0, at);
        uint8_t raw[4096];
        fixture_read_file(&f, LOG0, raw, sizeof(raw));
        cr_assert_eq(fixture_try_recover(&f, &report), RC_OK);
        // A base offset that moved up is covered by no checksum either; one that moved down is out of place.
        int64_t base = (int64_t)be64(raw + two);
        if (at >= two + 8 || base < 3 || base > INT32_MAX)
            cr_assert_eq(report.end_offset, 3, "byte %d", (int)(at - two));
        fixture_close(&f);
        f = (struct fixture){0};
        fixture_open(&f);
        fixture_fill(&f, 4, 20);
        fixture_die(&f);
    }
    fixture_close(&f);
}

static void checkpoint_now(struct fixture *f)
{
    store_want_checkpoint(&f->store, &f->log);
    fixture_settle(f);
    cr_assert_eq(f->log.recovery_point, f->log.written);
}

// Every recovery point writes the whole index.
static void open_indexed(struct fixture *f)
{
    f->store_config = STORE_CONFIG_DEFAULT;
    f->store_config.index_waits_bytes = 0;
    fixture_open(f);
}

Test(recovery, scans_only_past_the_recovery_point)
{
    struct fixture f = {0};
    fixture_open(&f);
    fixture_fill(&f, 10, 1000);
    checkpoint_now(&f);
    fixture_fill(&f, 2, 1000);
    uint64_t size = fixture_size(&f, LOG0);
    fixture_power_cut(&f);
    struct plog_recovery_report report = fixture_recover(&f);
    cr_assert_not(report.from_mark);
    cr_assert_eq(report.from_offset, 10);
    cr_assert_eq(report.scanned_bytes, size - size / 12 * 10);
    cr_assert_eq(fixture_read_all(&f), 12);
    fixture_close(&f);
}

Test(recovery, a_mark_does_not_outlive_its_boot)
{
    struct fixture f = {0};
    fixture_open(&f);
    fixture_fill(&f, 10, 1000);
    checkpoint_now(&f);
    fixture_fill(&f, 10, 1000);
    cr_assert_eq(plog_rest(&f.log), RC_OK);
    fixture_fill(&f, 1, 1000);
    fixture_die(&f);
    cr_assert_eq(fixture_recover(&f).from_offset, 20);
    fixture_fill(&f, 1, 1000);
    fixture_power_cut(&f);
    cr_assert_eq(fixture_recover(&f).from_offset, 10);
    fixture_close(&f);
}

Test(recovery, what_a_failed_sync_may_have_left_unwritten_is_written_again)
{
    struct fixture f = {0};
    fixture_open(&f);
    fixture_fill(&f, 10, 1000);
    checkpoint_now(&f);
    fixture_fill(&f, 5, 1000);
    cr_assert_eq(plog_rest(&f.log), RC_OK);
    uint64_t size = fixture_size(&f, LOG0);
    log_dir_fail(&f.dir, f.io, RC_IO, "syncing", f.path);
    fixture_die(&f);
    cr_assert_eq(f.log.state, PLOG_UNCLEAN, "a mark is nothing to go by");
    uint64_t written = io_counters(f.io)->write_bytes[IO_FILE_LOG];
    struct plog_recovery_report report = fixture_recover(&f);
    cr_assert(!report.from_mark && report.from_offset == 10 && report.end_offset == 15);
    cr_assert_eq(report.scanned_bytes, size / 3);
    cr_assert_eq(io_counters(f.io)->write_bytes[IO_FILE_LOG] - written, size / 3);
    cr_assert_eq(f.log.durable, 10);
    fixture_settle(&f);
    cr_assert_eq(f.log.recovery_point, 15, "and a recovery point follows at once");
    cr_assert_eq(fixture_read_all(&f), 15);
    fixture_die(&f);
    cr_assert_eq(fixture_recover(&f).scanned_bytes, 0);
    // What the page cache has lost meanwhile is cut, as after a power cut.
    fixture_fill(&f, 5, 1000);
    fixture_flip(&f, LOG0, size / 15 * 17 + 100);
    fixture_die(&f);
    cr_assert_eq(fixture_recover(&f).end_offset, 17);
    cr_assert_eq(fixture_read_all(&f), 17);
    fixture_close(&f);
    // Without a recovery point not even the file that names the topic is known to be on the disk.
    f = (struct fixture){0};
    fixture_open(&f);
    fixture_fill(&f, 2, 1000);
    fixture_remove(&f, "partition.metadata");
    log_dir_fail(&f.dir, f.io, RC_IO, "syncing", f.path);
    fixture_die(&f);
    cr_assert_eq(fixture_recover(&f).end_offset, 2);
    cr_assert(fixture_exists(&f, "partition.metadata"));
    fixture_close(&f);
}

Test(recovery, a_sync_goes_through_a_descriptor_open_since_the_write_or_through_the_folder)
{
    struct fixture f = {0};
    fixture_open(&f);
    fixture_fill(&f, 2, 100);
    checkpoint_now(&f);
    fixture_fill(&f, 1, 100);
    plog_sync(&f.log);
    cr_assert(f.log.sync && f.log.sync->file, "the log's own file is enough");
    fixture_settle(&f);
    cr_assert_eq(f.log.durable, 3);
    fixture_fill(&f, 1, 100);
    file_cache_drop_all(&f.log.open_files);
    plog_sync(&f.log);
    cr_assert(f.log.sync && !f.log.sync->file, "a new descriptor is told of no earlier failure");
    fixture_settle(&f);
    cr_assert_eq(f.log.durable, 4);
    fixture_close(&f);
}

Test(recovery, refuses_a_log_shorter_than_its_recovery_point)
{
    struct fixture f = {0};
    struct plog_recovery_report report;
    fixture_open(&f);
    fixture_fill(&f, 10, 1000);
    checkpoint_now(&f);
    fixture_fill(&f, 1, 1000);
    fixture_truncate(&f, LOG0, 500);
    fixture_die(&f);
    cr_assert_eq(fixture_try_recover(&f, &report), RC_CORRUPT);
    cr_assert_eq(f.log.state, PLOG_DAMAGED);
    cr_assert(strstr(f.last_line, "/t-0") && strstr(f.last_line, "offset 10") && strstr(f.last_line, "weir admin"),
              "%s", f.last_line);
    struct plog_append op;
    cr_assert_eq(fixture_append(&f, (struct batch_spec){.records = 1}, &op), RC_CORRUPT);
    fixture_close(&f);
}

Test(recovery, rebuilds_indexes_that_are_gone)
{
    struct fixture f = {0};
    static uint8_t before[2][4096], after[2][4096];
    open_indexed(&f);
    fixture_fill(&f, 200, 1000);
    checkpoint_now(&f);
    size_t n = fixture_read_file(&f, INDEX0, before[0], 4096), m = fixture_read_file(&f, TIME0, before[1], 4096);
    cr_assert(n > 100 && m > 100);
    fixture_remove(&f, INDEX0);
    fixture_remove(&f, TIME0);
    fixture_die(&f);
    fixture_recover(&f);
    cr_assert_eq(fixture_read_file(&f, INDEX0, after[0], 4096), n);
    cr_assert_eq(fixture_read_file(&f, TIME0, after[1], 4096), m);
    cr_assert_eq(memcmp(before[0], after[0], n), 0);
    cr_assert_eq(memcmp(before[1], after[1], m), 0);
    cr_assert_eq(fixture_read_all(&f), 200);
    fixture_fill(&f, 100, 1000);
    cr_assert_eq(plog_rest(&f.log), RC_OK);
    fixture_die(&f);
    cr_assert_eq(fixture_read_all(&f), 300);
    fixture_close(&f);
}

Test(recovery, a_young_segment_has_no_index_and_lacks_none)
{
    struct fixture f = {0};
    fixture_open(&f);
    fixture_fill(&f, 2, 100);
    cr_assert_eq(plog_rest(&f.log), RC_OK);
    fixture_die(&f);
    cr_assert_eq(plog_open(&f.log), RC_OK, "there is nothing to rebuild");
    cr_assert_eq(fixture_read_all(&f), 2);
    fixture_fill(&f, 100, 1000);
    cr_assert_eq(plog_rest(&f.log), RC_OK);
    cr_assert_gt(fixture_size(&f, INDEX0), 0);
    fixture_die(&f);
    cr_assert_eq(fixture_read_all(&f), 102);
    fixture_close(&f);
}

Test(recovery, rebuilds_the_indexes_of_a_sealed_segment)
{
    struct fixture f = {.config = PLOG_CONFIG_DEFAULT};
    static uint8_t before[4096], after[4096];
    f.config.segment_bytes = 50000;
    fixture_open(&f);
    fixture_fill(&f, 120, 1000);
    fixture_settle(&f);
    cr_assert(f.log.sealed_count >= 2);
    size_t n = fixture_read_file(&f, INDEX0, before, sizeof(before));
    cr_assert(n > 50);
    fixture_remove(&f, INDEX0);
    fixture_die(&f);
    cr_assert_eq(fixture_recover(&f).end_offset, 120);
    cr_assert_eq(fixture_read_file(&f, INDEX0, after, sizeof(after)), n);
    cr_assert_eq(memcmp(before, after, n), 0);
    cr_assert_eq(fixture_read_all(&f), 120);
    fixture_close(&f);
}

Test(recovery, an_index_is_built_beside_and_put_in_its_place_whole)
{
    struct fixture f = {0};
    static uint8_t before[4096], after[4096];
    open_indexed(&f);
    fixture_fill(&f, 200, 1000);
    checkpoint_now(&f);
    size_t n = fixture_read_file(&f, INDEX0, before, sizeof(before));
    fixture_remove(&f, TIME0);
    fixture_die(&f);
    cr_assert_eq(plog_open(&f.log), RC_AGAIN);
    cr_assert_eq(plog_recover_step(&f.log, 0, NULL), RC_AGAIN, "64 batches of 200");
    cr_assert(fixture_exists(&f, INDEX0 ".tmp") && fixture_exists(&f, TIME0 ".tmp"));
    cr_assert_eq(fixture_size(&f, INDEX0), n, "what is there stays");
    cr_assert_not(fixture_exists(&f, TIME0));
    fixture_die(&f);
    cr_assert_eq(fixture_recover(&f).end_offset, 200);
    cr_assert_not(fixture_exists(&f, INDEX0 ".tmp") || fixture_exists(&f, TIME0 ".tmp"));
    cr_assert_eq(fixture_read_file(&f, INDEX0, after, sizeof(after)), n);
    cr_assert_eq(memcmp(before, after, n), 0);
    fixture_fill(&f, 100, 1000);
    cr_assert_eq(fixture_read_all(&f), 300);
    fixture_settle(&f);
    cr_assert(fixture_exists(&f, INDEX0) && fixture_exists(&f, TIME0));
    fixture_close(&f);
}

Test(recovery, short_and_lying_indexes_only_cost_time)
{
    struct fixture f = {0};
    open_indexed(&f);
    fixture_fill(&f, 300, 1000);
    checkpoint_now(&f);
    uint64_t n = fixture_size(&f, INDEX0);
    for (uint64_t keep = 0; keep < n; keep += 37) {
        fixture_truncate(&f, INDEX0, keep);
        fixture_die(&f);
        fixture_recover(&f);
        for (int64_t offset = 0; offset < 300; offset += 7) {
            struct plog_slice slice;
            const struct plog_read read = {.offset = offset, .bound = 300, .bytes_max = 5000};
            cr_assert_eq(plog_read(&f.log, &read, &slice, NULL), RC_OK);
            cr_assert_eq(slice.first_offset, offset);
            plog_slice_release(&slice);
        }
        checkpoint_now(&f);
        break; // rebuilt by the first round: what follows lies
    }
    for (uint64_t at = 0; at + 8 < fixture_size(&f, INDEX0); at += 5) {
        fixture_flip(&f, INDEX0, at);
        plog_hints_clear(&f.log);
        for (int64_t offset = 1; offset < 300; offset += 11) {
            struct plog_slice slice;
            const struct plog_read read = {.offset = offset, .bound = 300, .bytes_max = 20000};
            cr_assert_eq(plog_read(&f.log, &read, &slice, NULL), RC_OK);
            cr_assert_eq(slice.first_offset, offset, "byte %d: %lld for %lld", (int)at, (long long)slice.first_offset,
                         (long long)offset);
            cr_assert(slice.next_offset > offset && slice.bytes <= 20000);
            plog_slice_release(&slice);
        }
        fixture_flip(&f, INDEX0, at);
    }
    fixture_close(&f);
}

Test(recovery, a_torn_segment_takes_those_behind_it_along)
{
    struct fixture f = {.config = PLOG_CONFIG_DEFAULT};
    f.config.segment_bytes = 10000;
    f.store_config = STORE_CONFIG_DEFAULT;
    fixture_open(&f);
    fixture_fill(&f, 40, 900); // no background work runs, so nothing is below a recovery point
    uint32_t segments = f.log.sealed_count + 1;
    cr_assert(segments > 3);
    char name[SEGMENT_NAME_BYTES];
    int64_t base = f.log.sealed[1].base_offset;
    segment_name(name, base, ".log");
    fixture_flip(&f, name, 970 + 500); // in its second batch
    fixture_power_cut(&f);
    struct plog_recovery_report report = fixture_recover(&f);
    cr_assert_eq(report.end_offset, base + 1);
    cr_assert(report.cut_bytes > 10000);
    cr_assert_eq(f.log.sealed_count, 1);
    cr_assert_eq(fixture_read_all(&f), base + 1);
    cr_assert(strstr(f.last_line, "torn tail"));
    fixture_fill(&f, 30, 900);
    fixture_die(&f);
    fixture_recover(&f);
    cr_assert_eq(fixture_read_all(&f), base + 31);
    fixture_close(&f);
}

Test(recovery, without_a_checkpoint_everything_is_scanned)
{
    struct fixture f = {.config = PLOG_CONFIG_DEFAULT};
    char path[300];
    f.config.segment_bytes = 10000;
    fixture_open(&f);
    fixture_fill(&f, 40, 900);
    fixture_settle(&f);
    fixture_stop(&f);
    snprintf(path, sizeof(path), "%s/weir-checkpoint", f.path);
    cr_assert_eq(remove(path), 0);
    fixture_start(&f);
    cr_assert_eq(f.log.state, PLOG_UNCLEAN);
    cr_assert(fixture_recover(&f).scanned_bytes >= 40 * 900);
    cr_assert_eq(fixture_read_all(&f), 40);
    fixture_close(&f);
}

Test(recovery, remembers_producers_and_epochs)
{
    struct fixture f = {0};
    struct plog_append op;
    struct batch_spec spec = {.records = 2, .value_bytes = 10, .timestamp = 1, .producer_id = 77};
    fixture_open(&f);
    cr_assert_eq(plog_begin_epoch(&f.log, 3), RC_OK);
    for (int i = 0; i < 4; i++, spec.base_sequence += 2)
        cr_assert_eq(fixture_append(&f, spec, NULL), RC_OK);
    checkpoint_now(&f);
    cr_assert_eq(fixture_append(&f, spec, NULL), RC_OK); // sequence 8 at offset 8
    fixture_power_cut(&f);
    cr_assert_eq(fixture_recover(&f).from_offset, 8);
    int32_t epoch;
    int64_t end;
    cr_assert_eq(plog_epoch_end(&f.log, 3, &epoch, &end), RC_OK);
    cr_assert_eq(epoch, 3);
    cr_assert_eq(end, 10);
    for (int64_t sequence = 0; sequence <= 8; sequence += 2) { // all five, across the restart
        spec.base_sequence = (int32_t)sequence;
        cr_assert_eq(fixture_append(&f, spec, &op), RC_OK);
        cr_assert(op.duplicate);
        cr_assert_eq(op.base_offset, sequence);
    }
    spec.base_sequence = 12;
    cr_assert_eq(fixture_append(&f, spec, &op), RC_OUT_OF_ORDER_SEQUENCE);
    spec.base_sequence = 10;
    cr_assert_eq(fixture_append(&f, spec, &op), RC_OK);
    cr_assert_eq(op.base_offset, 10);
    fixture_close(&f);
}

Test(recovery, damaged_small_files_are_reported_and_done_without)
{
    struct fixture f = {0};
    struct batch_spec spec = {.records = 1, .value_bytes = 10, .timestamp = 1, .producer_id = 77};
    fixture_open(&f);
    cr_assert_eq(fixture_append(&f, spec, NULL), RC_OK);
    checkpoint_now(&f);
    fixture_flip(&f, "00000000000000000001.snapshot", 20);
    fixture_flip(&f, "leader-epoch-checkpoint", 0);
    fixture_power_cut(&f);
    unsigned lines = f.lines;
    fixture_recover(&f);
    cr_assert_eq(f.lines, lines + 3);
    cr_assert_eq(fixture_read_all(&f), 1);
    cr_assert_not_null(producer_state_find(&f.log.producers, 77));
    fixture_close(&f);
}

// What lies below it must not become a log with a hole in it.
Test(recovery, a_reset_that_was_noted_is_done_by_the_next_start)
{
    static const int64_t to[] = {41, 3, 1, 0};
    for (unsigned i = 0; i < ARRAY_COUNT(to); i++) {
        struct fixture f = {0};
        const struct log_dir_mark at = {.offset = to[i], .segment_base = to[i], .leader_epoch = LEADER_EPOCH_NONE};
        fixture_open(&f);
        fixture_fill(&f, 3, 20);
        cr_assert_eq(plog_put_reset(&f.log, &at, true, true), RC_OK);
        fixture_die(&f);
        fixture_recover(&f);
        cr_assert_eq(plog_start_offset(&f.log), to[i]);
        if (to[i] >= 3)
            cr_assert_eq(plog_written_end(&f.log), to[i]);
        cr_assert_eq(fixture_read_all(&f), plog_written_end(&f.log) - to[i]);
        fixture_close(&f);
    }
}

// Where syncs are forced an empty log would wait for one for ever that has nothing to do.
Test(recovery, an_empty_log_is_durable_up_to_its_end)
{
    struct fixture f = {.config = PLOG_CONFIG_DEFAULT};
    const struct log_dir_mark at = {.offset = 5, .segment_base = 5, .leader_epoch = LEADER_EPOCH_NONE};
    f.config.flush_messages = 1;
    fixture_open(&f);
    fixture_fill(&f, 3, 20);
    cr_assert_eq(plog_put_reset(&f.log, &at, true, true), RC_OK);
    f.log.start = 7; // raised once it was empty
    cr_assert_eq(plog_put_start(&f.log), RC_OK);
    fixture_die(&f);
    fixture_recover(&f);
    cr_assert_eq(plog_written_end(&f.log), 7);
    cr_assert_eq(plog_offered_end(&f.log), 7);
    fixture_close(&f);
}

static void expect_time(struct fixture *f, int64_t timestamp, int64_t offset)
{
    struct plog_time_found found;
    cr_assert_eq(plog_find_timestamp(&f->log, timestamp, INT64_MAX, &found, NULL), RC_OK);
    cr_assert(found.found, "%lld", (long long)timestamp);
    cr_assert_eq(found.batch.first_offset, offset, "%lld leads to %lld, not %lld", (long long)timestamp,
                 (long long)found.batch.first_offset, (long long)offset);
    plog_slice_release(&found.batch);
}

static void no_abort(void *context, const struct plog_aborted *a)
{
    (void)context;
    cr_assert_fail("producer %lld aborted nothing", (long long)a->producer_id);
}

Test(recovery, leader_epochs_are_built_again_from_the_batches)
{
    static const struct {
        int32_t epoch;
        unsigned batches;
    } parts[] = {{1, 7}, {2, 1}, {4, 12}, {5, 1}, {9, 2}, {10, 30}};
    struct fixture f = {.config = PLOG_CONFIG_DEFAULT};
    int32_t before[53];
    f.config.segment_bytes = 5000; // four batches
    fixture_open(&f);
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        f.leader_epoch = parts[i].epoch;
        fixture_fill(&f, parts[i].batches, 1000);
    }
    checkpoint_now(&f);
    for (int64_t offset = 0; offset < 53; offset++)
        before[offset] = plog_epoch_at(&f.log, offset);
    cr_assert(before[6] == 1 && before[7] == 2 && before[8] == 4 && before[52] == 10);
    for (int round = 0; round < 3; round++) {
        if (round == 0)
            fixture_flip(&f, "leader-epoch-checkpoint", 2);
        else if (round == 1)
            fixture_remove(&f, "leader-epoch-checkpoint");
        else
            fixture_truncate(&f, "leader-epoch-checkpoint", fixture_size(&f, "leader-epoch-checkpoint") - 1);
        fixture_power_cut(&f);
        fixture_recover(&f);
        for (int64_t offset = 0; offset < 53; offset++)
            cr_assert_eq(plog_epoch_at(&f.log, offset), before[offset], "round %d, offset %d", round, (int)offset);
        f.log.recovery_point = 0; // asks for another
        checkpoint_now(&f);
    }
    fixture_close(&f);
}

// A cut goes back to the start of a segment and scans from there: not past the recovery point, for epochs that began
// since are known in memory only, and the bytes are not on the disk.
Test(recovery, leader_epochs_younger_than_their_file_outlive_a_cut)
{
    struct fixture f = {.config = PLOG_CONFIG_DEFAULT};
    f.config.segment_bytes = 5000; // four batches
    fixture_open(&f);
    f.leader_epoch = 1;
    fixture_fill(&f, 6, 1000);
    checkpoint_now(&f);
    f.leader_epoch = 2;
    fixture_fill(&f, 6, 1000);
    f.leader_epoch = 3;
    fixture_fill(&f, 2, 1000);
    cr_assert_eq(f.log.active.base_offset, 12);
    cr_assert_eq(plog_truncate(&f.log, 13), RC_OK);
    cr_assert_leq(f.log.recovery_point, 6);
    cr_assert_eq(fixture_recover(&f).end_offset, 13);
    for (int64_t offset = 0; offset < 13; offset++)
        cr_assert_eq(plog_epoch_at(&f.log, offset), offset < 6 ? 1 : offset < 12 ? 2 : 3, "offset %d", (int)offset);
    fixture_close(&f);
}

// An unclean election may make a log begin anew further on with records of an older epoch than those it had.
Test(recovery, leader_epochs_of_a_log_before_its_reset_are_forgotten)
{
    for (int round = 0; round < 2; round++) {
        struct fixture f = {.config = PLOG_CONFIG_DEFAULT};
        fixture_open(&f);
        f.leader_epoch = 4;
        fixture_fill(&f, 6, 1000);
        checkpoint_now(&f);
        cr_assert_eq(plog_reset(&f.log, 427), RC_OK);
        f.leader_epoch = 1;
        fixture_fill(&f, 3, 1000);
        if (round == 0)
            fixture_die(&f);
        else
            fixture_power_cut(&f);
        fixture_recover(&f);
        cr_assert_eq(plog_start_offset(&f.log), 427);
        for (int64_t offset = 427; offset < plog_written_end(&f.log); offset++)
            cr_assert_eq(plog_epoch_at(&f.log, offset), 1, "round %d, offset %d: %d", round, (int)offset,
                         plog_epoch_at(&f.log, offset));
        fixture_close(&f);
    }
}

// What lies below the segment of a cut keeps its epochs without a look at its batches.
Test(recovery, a_cut_knows_the_epoch_it_goes_on_from)
{
    struct fixture f = {.config = PLOG_CONFIG_DEFAULT};
    f.config.segment_bytes = 5000; // four batches
    fixture_open(&f);
    f.leader_epoch = 1;
    fixture_fill(&f, 6, 1000);
    f.leader_epoch = 2;
    fixture_fill(&f, 8, 1000);
    checkpoint_now(&f);
    cr_assert_eq(plog_truncate(&f.log, 13), RC_OK);
    cr_assert_eq(f.log.known.recovery_point.leader_epoch, 2);
    cr_assert_lt(fixture_recover(&f).scanned_bytes, 5000);
    for (int64_t offset = 0; offset < 13; offset++)
        cr_assert_eq(plog_epoch_at(&f.log, offset), offset < 6 ? 1 : 2, "offset %d", (int)offset);
    fixture_close(&f);
}

// A power cut may lose the name of a segment's .log file and keep those beside it. What they hold must not become the
// end of the next segment that begins there: a timestamp of zero is one that retention.ms deletes.
Test(recovery, indexes_without_their_log_do_not_come_back)
{
    struct fixture f = {.config = PLOG_CONFIG_DEFAULT};
    char name[SEGMENT_NAME_BYTES], time_name[SEGMENT_NAME_BYTES];
    static const uint8_t zeros[34];
    f.config.segment_bytes = 10000;
    f.config.index_interval_bytes = 0;
    fixture_open(&f);
    fixture_fill(&f, 35, 900);
    cr_assert_eq(f.log.sealed_count, 3);
    int64_t base = f.log.sealed[2].base_offset;
    segment_name(name, f.log.active.base_offset, ".log");
    fixture_remove(&f, name);
    segment_name(name, base, ".log");
    fixture_remove(&f, name);
    segment_name(time_name, base, ".timeindex");
    uint64_t had = fixture_size(&f, time_name);
    cr_assert_gt(had, 5 * TIME_INDEX_ENTRY_BYTES);
    fixture_write_file(&f, time_name, had, zeros, TIME_INDEX_ENTRY_BYTES);
    segment_name(name, base, ".txnindex"); // zeros are an entry: producer 0 aborted what begins and ends at 0
    fixture_write_file(&f, name, 0, zeros, sizeof(zeros));
    fixture_power_cut(&f);
    cr_assert_eq(fixture_recover(&f).end_offset, base);
    for (int i = 0; i < 3; i++) {
        const struct batch_spec spec = {.records = 1, .value_bytes = 4500, .timestamp = 5000 + i};
        cr_assert_eq(fixture_append(&f, spec, NULL), RC_OK);
    }
    cr_assert_eq(f.log.active.base_offset, base + 2);
    cr_assert_eq(fixture_size(&f, time_name), TIME_INDEX_ENTRY_BYTES);
    segment_name(name, base, ".index");
    cr_assert_eq(fixture_size(&f, name), INDEX_ENTRY_BYTES);
    cr_assert_eq(plog_rest(&f.log), RC_OK);
    fixture_die(&f);
    fixture_recover(&f);
    expect_time(&f, 1001, 1);
    for (int i = 0; i < 3; i++)
        expect_time(&f, 5000 + i, base + i);
    cr_assert_eq(plog_each_aborted(&f.log, 0, base + 3, no_abort, NULL), RC_OK);
    fixture_close(&f);
}

// The 43rd entry of a time index lies across two sectors: of one written behind the recovery point the timestamp may be
// there and the offset not.
Test(recovery, half_an_entry_of_the_time_index_is_none)
{
    struct fixture f = {.config = PLOG_CONFIG_DEFAULT};
    uint8_t torn[TIME_INDEX_ENTRY_BYTES] = {0};
    f.config.index_interval_bytes = 0;
    open_indexed(&f);
    fixture_fill(&f, 43, 100);
    checkpoint_now(&f);
    uint64_t size = fixture_size(&f, TIME0);
    cr_assert_eq(size, 42 * TIME_INDEX_ENTRY_BYTES);
    put_be64(torn, 900000);
    fixture_write_file(&f, TIME0, size, torn, sizeof(torn));
    fixture_power_cut(&f);
    fixture_recover(&f);
    cr_assert_eq(f.log.active.timestamp_max, 1042);
    cr_assert_eq(f.log.active.timestamp_max_offset, 42);
    cr_assert_eq(fixture_size(&f, TIME0), size);
    fixture_fill(&f, 1, 100);
    const struct batch_spec later = {.records = 1, .value_bytes = 10, .timestamp = 2000};
    cr_assert_eq(fixture_append(&f, later, NULL), RC_OK);
    expect_time(&f, 1042, 42);
    expect_time(&f, 1043, 44);
    fixture_close(&f);
}

// What a log knows of its batches, whose offsets count from 0 and timestamps from 1000.
static void expect_found(struct fixture *f, int64_t count)
{
    for (int64_t offset = 0; offset < count; offset += 7) {
        struct plog_slice slice;
        const struct plog_read read = {.offset = offset, .bound = count, .bytes_max = 5000};
        cr_assert_eq(plog_read(&f->log, &read, &slice, NULL), RC_OK);
        cr_assert_eq(slice.first_offset, offset);
        plog_slice_release(&slice);
        expect_time(f, 1000 + offset, offset);
    }
    cr_assert_eq(f->log.active.timestamp_max, 1000 + count - 1);
    cr_assert_eq(f->log.active.timestamp_max_offset, count - 1);
}

// A start finds all it needs beside the log: nothing is scanned and no index built again.
static void expect_nothing_built(struct fixture *f)
{
    f->last_line[0] = 0;
    cr_assert_eq(fixture_recover(f).scanned_bytes, 0);
    cr_assert_not(strstr(f->last_line, "building the index"), "%s", f->last_line);
}

static void fill_on(struct fixture *f, int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i++)
        cr_assert_eq(
            fixture_append(f, (struct batch_spec){.records = 1, .value_bytes = 1000, .timestamp = 1000 + i}, NULL), RC_OK);
}

// With thousands of partitions a recovery point comes for every batch or two: it writes no file but the checkpoint's.
Test(recovery, a_point_does_not_write_an_index_of_a_few_entries)
{
    struct fixture f = {0};
    fixture_open(&f);
    fill_on(&f, 0, 30);
    checkpoint_now(&f);
    cr_assert_not(fixture_exists(&f, INDEX0) || fixture_exists(&f, TIME0));
    cr_assert(log_dir_find(&f.dir, f.log.id)->recovery_point.timed);
    cr_assert_eq(log_dir_entries_replace(&f.dir), RC_OK, "the image has it too");
    fixture_settle(&f);
    for (int crash = 0; crash < 2; crash++) {
        crash ? fixture_die(&f) : fixture_power_cut(&f);
        expect_nothing_built(&f);
        cr_assert_not(fixture_exists(&f, INDEX0) || fixture_exists(&f, TIME0));
        expect_found(&f, 30);
    }
    cr_assert_eq(plog_rest(&f.log), RC_OK);
    cr_assert(fixture_exists(&f, INDEX0) && fixture_size(&f, TIME0) == TIME_INDEX_ENTRY_BYTES, "the greatest so far");
    fill_on(&f, 30, 31);
    cr_assert_eq(f.log.active.index.bytes, INDEX_ENTRY_BYTES, "the gap ends with the next batch");
    fixture_close(&f);
}

// However often it crashes, what an index lacks stays below the bound, and no start builds it again.
Test(recovery, crashes_do_not_add_up_what_an_index_lacks)
{
    struct fixture f = {.store_config = STORE_CONFIG_DEFAULT};
    f.store_config.index_waits_bytes = 40000;
    fixture_open(&f);
    for (int64_t n = 0; n < 300; n += 15) {
        fill_on(&f, n, n + 15);
        checkpoint_now(&f);
        cr_assert_lt(f.log.active.bytes - f.log.active.index_written, 40000u + 4096 + 1100);
        n % 2 ? fixture_die(&f) : fixture_power_cut(&f);
        expect_nothing_built(&f);
        expect_found(&f, n + 15);
    }
    cr_assert_gt(fixture_size(&f, INDEX0), 5 * INDEX_ENTRY_BYTES);
    fixture_close(&f);
}

// The timestamp is the last batch's or is in the time index; a point behind which an older one lies says neither.
Test(recovery, a_point_whose_last_batch_is_not_the_newest_leaves_its_time_in_the_index)
{
    struct fixture f = {0};
    fixture_open(&f);
    fill_on(&f, 0, 10);
    cr_assert_eq(fixture_append(&f, (struct batch_spec){.records = 1, .value_bytes = 10, .timestamp = 5}, NULL), RC_OK);
    checkpoint_now(&f);
    cr_assert_not(log_dir_find(&f.dir, f.log.id)->recovery_point.timed);
    cr_assert_gt(fixture_size(&f, TIME0), 0);
    fixture_power_cut(&f);
    expect_nothing_built(&f);
    cr_assert(f.log.active.timestamp_max == 1009 && f.log.active.timestamp_max_offset == 9);
    expect_time(&f, 1009, 9);
    fixture_close(&f);
}
