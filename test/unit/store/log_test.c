// SPDX-License-Identifier: Apache-2.0
//
// Append, read and reopen: the plain path of a partition log.
#include "fixture.h"

#include <criterion/criterion.h>
#include <string.h>

Test(log, appends_and_reads_back)
{
    struct fixture f = {0};
    struct plog_append op;
    fixture_open(&f);
    cr_assert_eq(f.log.state, PLOG_UNMADE);
    cr_assert_eq(fixture_append(&f, (struct batch_spec){.records = 3, .value_bytes = 10, .timestamp = 5}, &op), RC_OK);
    cr_assert_eq(op.base_offset, 0);
    cr_assert_eq(op.last_offset, 2);
    cr_assert_eq(fixture_append(&f, (struct batch_spec){.records = 2, .value_bytes = 10, .timestamp = 9}, &op), RC_OK);
    cr_assert_eq(op.base_offset, 3);
    cr_assert_eq(plog_written_end(&f.log), 5);
    cr_assert_eq(plog_offered_end(&f.log), 5);
    cr_assert_eq(fixture_read_all(&f), 5);
    cr_assert(fixture_exists(&f, "00000000000000000000.log"));
    fixture_close(&f);
}

Test(log, makes_no_folder_before_the_first_append)
{
    struct fixture f = {0};
    fixture_open(&f);
    cr_assert_eq(plog_open(&f.log), RC_OK);
    cr_assert_not(fixture_exists(&f, ""));
    fixture_fill(&f, 1, 10);
    uint8_t text[100];
    size_t n = fixture_read_file(&f, "partition.metadata", text, sizeof(text));
    cr_assert_eq(n, strlen("version: 0\ntopic_id: AQIDBAUGBwgJCgsMDQ4PEA\n"));
    cr_assert_eq(memcmp(text, "version: 0\ntopic_id: AQIDBAUGBwgJCgsMDQ4PEA\n", n), 0);
    fixture_close(&f);
}

Test(log, stamps_offset_and_epoch_and_keeps_the_checksum)
{
    struct fixture f = {0};
    struct batch_header h;
    uint8_t bytes[4096];
    fixture_open(&f);
    fixture_fill(&f, 2, 100);
    size_t n = fixture_read_file(&f, "00000000000000000000.log", bytes, sizeof(bytes));
    cr_assert_eq(batch_header_read(bytes_of(bytes, n), &h), RC_OK);
    size_t first = batch_bytes(&h);
    cr_assert_eq(batch_header_read(bytes_of(bytes + first, n - first), &h), RC_OK);
    cr_assert_eq(h.base_offset, 1);
    cr_assert_eq(h.leader_epoch, 3);
    cr_assert(batch_crc_ok(bytes_of(bytes + first, n - first)));
    fixture_close(&f);
}

Test(log, reopens_after_the_death_of_the_process)
{
    struct fixture f = {0};
    fixture_open(&f);
    fixture_fill(&f, 20, 500);
    fixture_die(&f);
    cr_assert_eq(f.log.state, PLOG_UNCLEAN);
    struct plog_recovery_report report = fixture_recover(&f);
    cr_assert_eq(report.end_offset, 20);
    cr_assert_eq(report.cut_bytes, 0);
    cr_assert_eq(fixture_read_all(&f), 20);
    fixture_fill(&f, 5, 500);
    cr_assert_eq(fixture_read_all(&f), 25);
    fixture_close(&f);
}

Test(log, a_log_at_rest_is_known_without_a_look_at_its_folder)
{
    struct fixture f = {0};
    fixture_open(&f);
    fixture_fill(&f, 20, 500);
    cr_assert_eq(plog_rest(&f.log), RC_OK);
    cr_assert_eq(f.store.files.count, 0);
    fixture_die(&f);
    cr_assert_eq(f.log.state, PLOG_AT_REST);
    cr_assert_eq(plog_written_end(&f.log), 20);
    uint64_t bytes;
    cr_assert(plog_bytes_known(&f.log, &bytes));
    cr_assert(bytes > 0 && bytes == fixture_size(&f, "00000000000000000000.log"));
    cr_assert_eq(f.store.files.opened, 0);
    cr_assert_eq(fixture_read_all(&f), 20);
    cr_assert_eq(plog_bytes(&f.log), bytes);
    cr_assert_eq(f.log.state, PLOG_OPEN);
    cr_assert_eq(f.store.counters.recovered_bytes, 0);
    fixture_fill(&f, 1, 10);
    fixture_die(&f); // no longer at rest: the mark still bounds the scan
    cr_assert_eq(f.log.state, PLOG_UNCLEAN);
    struct plog_recovery_report report = fixture_recover(&f);
    cr_assert(report.from_mark);
    cr_assert_eq(report.from_offset, 20);
    cr_assert_eq(report.end_offset, 21);
    fixture_close(&f);
}

Test(log, a_clean_stop_survives_another_boot)
{
    struct fixture f = {0};
    fixture_open(&f);
    fixture_fill(&f, 20, 500);
    plog_note_high_watermark(&f.log, 20);
    fixture_stop(&f);
    fixture_start(&f);
    fixture_power_cut(&f);
    cr_assert_eq(f.log.state, PLOG_AT_REST + 1, "a start without a stop is not clean");
    cr_assert_eq(fixture_recover(&f).from_offset, 20);
    fixture_close(&f);
}

// Kafka's own dump tool opens the offset index for a time index too, and fails where it is not there.
Test(log, a_time_index_never_lies_alone)
{
    struct fixture f = {0};
    fixture_open(&f);
    fixture_fill(&f, 1, 50);
    cr_assert_not(fixture_exists(&f, "00000000000000000000.timeindex"));
    cr_assert_eq(plog_rest(&f.log), RC_OK);
    cr_assert(fixture_exists(&f, "00000000000000000000.timeindex"));
    cr_assert(fixture_exists(&f, "00000000000000000000.index"));
    fixture_die(&f);
    cr_assert_eq(f.log.state, PLOG_AT_REST);
    cr_assert_eq(fixture_read_all(&f), 1);
    fixture_close(&f);
}

static unsigned dones;

static void count_done(struct plog_append *op, enum rc rc)
{
    cr_assert_eq(rc, RC_OK);
    cr_assert_eq(op->base_offset, (int64_t)dones);
    dones++;
}

Test(log, gathers_what_is_queued_in_one_write)
{
    struct fixture f = {0};
    static struct made_batch b[100];
    static struct plog_append ops[100];
    fixture_open(&f);
    for (int i = 0; i < 100; i++) {
        fixture_make(&b[i], (struct batch_spec){.records = 1, .value_bytes = 50, .timestamp = 1});
        ops[i] = (struct plog_append){.batch = b[i].bytes, .bytes = b[i].n, .done = count_done};
        cr_assert_eq(plog_append(&f.log, &ops[i]), RC_OK);
    }
    cr_assert_eq(dones, 0);
    plog_flush(&f.log);
    while (!plog_is_idle(&f.log))
        io_poll(f.io, 1000000);
    cr_assert_eq(dones, 100);
    cr_assert_eq(f.store.counters.writes, 1);
    cr_assert_eq(fixture_read_all(&f), 100);
    fixture_close(&f);
}

Test(log, rolls_by_size_and_reads_across_segments)
{
    struct fixture f = {.config = PLOG_CONFIG_DEFAULT};
    f.config.segment_bytes = 10000;
    fixture_open(&f);
    fixture_fill(&f, 100, 900);
    cr_assert(f.log.sealed_count >= 9);
    cr_assert_eq(fixture_read_all(&f), 100);
    cr_assert_eq(plog_bytes(&f.log), f.store.counters.append_bytes);
    fixture_settle(&f);
    cr_assert_eq(f.log.recovery_point, f.log.active.base_offset + (f.log.written - f.log.active.base_offset));
    fixture_die(&f);
    fixture_recover(&f);
    cr_assert_eq(fixture_read_all(&f), 100);
    cr_assert_eq(plog_rest(&f.log), RC_OK);
    fixture_die(&f);
    uint64_t bytes;
    cr_assert_eq(f.log.state, PLOG_AT_REST);
    cr_assert_not(plog_bytes_known(&f.log, &bytes), "only the last of its segments");
    fixture_close(&f);
}

Test(log, flush_messages_holds_the_answer_until_the_sync)
{
    struct fixture f = {.config = PLOG_CONFIG_DEFAULT};
    f.config.flush_messages = 1;
    fixture_open(&f);
    fixture_fill(&f, 3, 100);
    cr_assert_eq(f.store.counters.syncs_forced, 3);
    cr_assert_eq(plog_durable_end(&f.log), 3);
    cr_assert_eq(plog_offered_end(&f.log), 3);
    fixture_close(&f);
}

Test(log, deletes_by_a_rename_and_removes_later)
{
    struct fixture f = {.config = PLOG_CONFIG_DEFAULT};
    struct plog_slice slice;
    uint8_t byte;
    size_t got;
    f.config.file_delete_delay_ms = 0;
    fixture_open(&f);
    fixture_fill(&f, 10, 100);
    struct plog_read read = {.offset = 0, .bound = 10, .bytes_max = 5000};
    cr_assert_eq(plog_read(&f.log, &read, &slice, NULL), RC_OK);
    cr_assert_eq(plog_delete(&f.log), RC_OK);
    cr_assert_not(fixture_exists(&f, ""));
    fixture_settle(&f);
    cr_assert_eq(io_file_read_now(plog_slice_file(&slice), &byte, 1, slice.position, &got), RC_OK);
    cr_assert_eq(got, 1);
    plog_slice_release(&slice);
    cr_assert_eq(f.store.files.count, 0);
    cr_assert_eq(f.store.counters.files_removed, 3); // .log, partition.metadata, the folder
    fixture_close(&f);
}

// As on a leader whose first append fails, and who then follows one whose records are older than its own epoch.
Test(log, an_epoch_without_a_record_gives_way_to_an_older_one)
{
    struct fixture f = {.leader_epoch = 2};
    int32_t epoch;
    int64_t end;
    fixture_open(&f);
    fixture_fill(&f, 2, 100);
    cr_assert_eq(plog_begin_epoch(&f.log, 3), RC_OK);
    cr_assert_eq(plog_epoch_end(&f.log, 2, &epoch, &end), RC_OK);
    cr_assert(epoch == 2 && end == 2);
    fixture_fill(&f, 2, 100);
    cr_assert_eq(plog_epoch_end(&f.log, 2, &epoch, &end), RC_OK);
    cr_assert(epoch == 2 && end == 4, "epoch %d ends at %lld", epoch, (long long)end);
    cr_assert_eq(plog_epoch_at(&f.log, 2), 2);
    fixture_close(&f);
}
