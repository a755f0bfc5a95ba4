// SPDX-License-Identifier: Apache-2.0
//
// What leaves a log at its start and at its end, and questions by time.
#include "fixture.h"

#include <criterion/criterion.h>
#include <string.h>

static struct fixture small_segments(void)
{
    struct fixture f = {.config = PLOG_CONFIG_DEFAULT};
    f.config.segment_bytes = 10000;
    f.config.file_delete_delay_ms = 0;
    f.config.retention_ms = -1;
    return f;
}

// Until nothing more goes: the files follow once the new start is durable.
static void retain(struct fixture *f, int64_t bound, int64_t wall_ms)
{
    while (plog_retention_step(&f->log, bound, wall_ms)) {
    }
    fixture_settle(f);
}

Test(retention, by_size_keeps_the_configured_bytes)
{
    struct fixture f = small_segments();
    f.config.retention_bytes = 30000;
    fixture_open(&f);
    fixture_fill(&f, 100, 900);
    retain(&f, plog_written_end(&f.log), 0);
    cr_assert(plog_bytes(&f.log) >= 30000 && plog_bytes(&f.log) < 40000);
    cr_assert(plog_start_offset(&f.log) > 0);
    cr_assert_eq(fixture_read_all(&f), 100 - plog_start_offset(&f.log));
    cr_assert_not(fixture_exists(&f, "00000000000000000000.log"));
    fixture_settle(&f);
    cr_assert_not(fixture_exists(&f, "00000000000000000000.log.deleted"));
    int64_t start = plog_start_offset(&f.log);
    fixture_die(&f);
    fixture_recover(&f);
    cr_assert_eq(plog_start_offset(&f.log), start);
    fixture_close(&f);
}

Test(retention, by_time_seals_the_active_segment_when_all_of_it_has_expired)
{
    struct fixture f = small_segments();
    f.config.retention_ms = 5000;
    fixture_open(&f);
    fixture_fill(&f, 30, 900); // timestamps 1000 to 1029
    cr_assert_eq(plog_retention_due_ms(&f.log), f.log.sealed[0].timestamp_max + 5000);
    retain(&f, 30, 6000);
    cr_assert_eq(plog_start_offset(&f.log), 0);
    retain(&f, 30, 6020);
    cr_assert(plog_start_offset(&f.log) > 0 && plog_start_offset(&f.log) < 30);
    retain(&f, 25, 7000);
    cr_assert(plog_start_offset(&f.log) < 30, "nothing above the high watermark goes");
    retain(&f, 30, 7000);
    cr_assert_eq(plog_start_offset(&f.log), 30);
    cr_assert_eq(plog_bytes(&f.log), 0);
    fixture_fill(&f, 3, 10);
    cr_assert_eq(fixture_read_all(&f), 3);
    fixture_die(&f);
    fixture_recover(&f);
    cr_assert_eq(plog_start_offset(&f.log), 30);
    cr_assert_eq(fixture_read_all(&f), 3);
    fixture_close(&f);
}

Test(retention, an_empty_log_keeps_its_offsets_over_a_restart)
{
    struct fixture f = small_segments();
    f.config.retention_ms = 1;
    fixture_open(&f);
    fixture_fill(&f, 30, 900);
    retain(&f, 30, 100000);
    cr_assert_eq(plog_start_offset(&f.log), 30);
    fixture_settle(&f);
    fixture_power_cut(&f);
    fixture_recover(&f);
    cr_assert_eq(plog_start_offset(&f.log), 30);
    cr_assert_eq(plog_written_end(&f.log), 30);
    fixture_fill(&f, 1, 10);
    cr_assert_eq(fixture_read_all(&f), 1);
    fixture_close(&f);
}

Test(retention, a_reader_in_a_deleted_segment_finishes)
{
    struct fixture f = small_segments();
    struct plog_slice slice;
    static uint8_t bytes[20000];
    size_t got;
    f.config.retention_bytes = 0;
    fixture_open(&f);
    fixture_fill(&f, 30, 900);
    const struct plog_read read = {.offset = 0, .bound = 30, .bytes_max = 20000};
    cr_assert_eq(plog_read(&f.log, &read, &slice, NULL), RC_OK);
    retain(&f, 30, 0);
    fixture_settle(&f);
    cr_assert_eq(io_file_read_now(plog_slice_file(&slice), bytes, slice.bytes, slice.position, &got), RC_OK);
    cr_assert_eq(got, slice.bytes);
    cr_assert_eq(be64(bytes), 0);
    plog_slice_release(&slice);
    fixture_close(&f);
}

static void raised(struct plog_start_op *op, enum rc rc)
{
    cr_assert_eq(rc, RC_OK);
    op->dir_op.record.type = 0;
}

static void raise(struct fixture *f, int64_t offset)
{
    struct plog_start_op op = {.done = raised};
    cr_assert_eq(plog_raise_start(&f->log, offset, &op), RC_AGAIN);
    while (op.dir_op.record.type != 0)
        io_poll(f->io, 1000000);
}

Test(retention, a_raised_log_start_is_durable)
{
    struct fixture f = small_segments();
    struct plog_slice slice;
    struct plog_start_op op = {.done = raised};
    fixture_open(&f);
    fixture_fill(&f, 50, 900);
    fixture_settle(&f);
    cr_assert_eq(plog_raise_start(&f.log, 0, &op), RC_OK);
    raise(&f, 27);
    struct plog_read read = {.offset = 26, .bound = 50, .bytes_max = 20000};
    cr_assert_eq(plog_read(&f.log, &read, &slice, NULL), RC_OFFSET_OUT_OF_RANGE);
    read.offset = 27;
    cr_assert_eq(plog_read(&f.log, &read, &slice, NULL), RC_OK);
    cr_assert_eq(slice.first_offset, 27);
    plog_slice_release(&slice);
    raise(&f, 10); // not higher, yet the answer says that the higher one is on the disk
    cr_assert_eq(plog_start_offset(&f.log), 27);
    cr_assert_eq(plog_raise_start(&f.log, 51, &op), RC_OFFSET_OUT_OF_RANGE);
    fixture_power_cut(&f);
    fixture_recover(&f);
    cr_assert_eq(plog_start_offset(&f.log), 27);
    retain(&f, 50, 0);
    cr_assert(f.log.sealed[0].base_offset <= 27 && f.log.sealed[0].base_offset > 10);
    cr_assert_eq(plog_start_offset(&f.log), 27);
    fixture_close(&f);
}

// Names that are removed can be lost in any order: the segment of the recovery point is back, one behind it is gone.
Test(retention, a_gap_below_log_start_cuts_nothing_behind_it)
{
    struct fixture f = small_segments();
    char name[SEGMENT_NAME_BYTES];
    fixture_open(&f);
    fixture_fill(&f, 5, 900);
    store_want_checkpoint(&f.store, &f.log);
    fixture_settle(&f);
    cr_assert_eq(f.log.recovery_point, 5);
    fixture_fill(&f, 40, 900); // no background work runs
    cr_assert_gt(f.log.sealed_count, 2);
    raise(&f, 43);
    cr_assert_gt(f.log.active.base_offset, f.log.sealed[1].base_offset);
    cr_assert_leq(f.log.active.base_offset, 43);
    segment_name(name, f.log.sealed[1].base_offset, ".log");
    fixture_remove(&f, name);
    fixture_power_cut(&f);
    cr_assert_eq(fixture_recover(&f).end_offset, 45);
    cr_assert_eq(plog_start_offset(&f.log), 43);
    cr_assert_eq(fixture_read_all(&f), 2);
    segment_name(name, 0, ".log");
    cr_assert_not(fixture_exists(&f, name));
    fixture_fill(&f, 5, 900);
    fixture_power_cut(&f);
    cr_assert_eq(fixture_recover(&f).end_offset, 50);
    cr_assert_eq(fixture_read_all(&f), 7);
    fixture_close(&f);
}

Test(retention, zeros_in_a_time_index_are_no_age)
{
    struct fixture f = small_segments();
    char name[SEGMENT_NAME_BYTES];
    struct plog_cold cold;
    int64_t timestamp;
    static const uint8_t zeros[TIME_INDEX_ENTRY_BYTES];
    fixture_open(&f);
    fixture_fill(&f, 50, 900);
    cr_assert_gt(f.log.sealed_count, 1);
    segment_name(name, 0, ".timeindex");
    fixture_write_file(&f, name, fixture_size(&f, name), zeros, sizeof(zeros));
    f.log.sealed[0].timestamp_max = f.log.sealed[1].timestamp_max = SEGMENT_TIMESTAMP_UNKNOWN; // as after a start
    cr_assert_eq(plog_sealed_timestamp(&f.log, 0, false, &timestamp, &cold), RC_OK);
    cr_assert_eq(timestamp, TIMESTAMP_NONE);
    cr_assert_eq(plog_sealed_timestamp(&f.log, 1, false, &timestamp, &cold), RC_OK);
    cr_assert_gt(timestamp, 1000);
    fixture_close(&f);
}

Test(truncate, ends_where_it_is_told_and_forgets_what_was_beyond)
{
    struct fixture f = small_segments();
    fixture_open(&f);
    for (int32_t i = 0; i < 40; i++) {
        struct batch_spec spec = {
            .records = 1, .value_bytes = 900, .timestamp = 1000 + i, .producer_id = 5, .base_sequence = i};
        cr_assert_eq(fixture_append(&f, spec, NULL), RC_OK);
    }
    fixture_settle(&f);
    static const int64_t cuts[] = {39, 33, 20, 5};
    for (unsigned i = 0; i < 4; i++) {
        struct plog_append op;
        struct batch_spec spec = {
            .records = 1, .value_bytes = 900, .producer_id = 5, .base_sequence = (int32_t)cuts[i]};
        cr_assert_eq(plog_truncate(&f.log, cuts[i]), RC_OK);
        fixture_recover(&f);
        cr_assert_eq(plog_written_end(&f.log), cuts[i]);
        cr_assert_eq(fixture_read_all(&f), cuts[i]);
        spec.base_sequence++;
        cr_assert_eq(fixture_append(&f, spec, &op), RC_OUT_OF_ORDER_SEQUENCE, "the state went back too");
        spec.base_sequence--;
        cr_assert_eq(fixture_append(&f, spec, &op), RC_OK);
        cr_assert_not(op.duplicate);
        cr_assert_eq(op.base_offset, cuts[i]);
    }
    fixture_power_cut(&f);
    fixture_recover(&f);
    cr_assert_eq(fixture_read_all(&f), 6);
    fixture_close(&f);
}

Test(truncate, takes_the_high_watermark_down)
{
    for (int whole = 0; whole < 2; whole++) {
        struct fixture f = small_segments();
        fixture_open(&f);
        fixture_fill(&f, 5, 900);
        plog_note_high_watermark(&f.log, 5);
        fixture_stop(&f);
        fixture_start(&f);
        fixture_recover(&f);
        cr_assert_eq(plog_high_watermark(&f.log), 5);
        cr_assert_eq(whole ? plog_reset(&f.log, 0) : plog_truncate(&f.log, 2), RC_OK);
        if (!whole)
            fixture_recover(&f);
        fixture_fill(&f, 6, 900);
        fixture_die(&f);
        fixture_recover(&f);
        cr_assert_eq(plog_high_watermark(&f.log), whole ? 0 : 2);
        fixture_close(&f);
    }
}

Test(truncate, waits_for_pinned_slices)
{
    struct fixture f = small_segments();
    struct plog_slice slice;
    fixture_open(&f);
    fixture_fill(&f, 5, 900);
    const struct plog_read read = {.offset = 0, .bound = 5, .bytes_max = 20000};
    cr_assert_eq(plog_read(&f.log, &read, &slice, NULL), RC_OK);
    cr_assert_eq(plog_truncate(&f.log, 2), RC_AGAIN);
    plog_slice_release(&slice);
    cr_assert_eq(plog_truncate(&f.log, 2), RC_OK);
    fixture_recover(&f);
    cr_assert_eq(fixture_read_all(&f), 2);
    fixture_close(&f);
}

Test(truncate, reset_starts_empty_elsewhere)
{
    struct fixture f = small_segments();
    fixture_open(&f);
    fixture_fill(&f, 30, 900);
    fixture_settle(&f);
    cr_assert_eq(plog_reset(&f.log, 1000), RC_OK);
    cr_assert_eq(plog_start_offset(&f.log), 1000);
    fixture_fill(&f, 3, 900);
    cr_assert_eq(fixture_read_all(&f), 3);
    fixture_power_cut(&f);
    fixture_recover(&f);
    cr_assert_eq(plog_start_offset(&f.log), 1000);
    cr_assert_eq(plog_written_end(&f.log), 1003);
    fixture_close(&f);
}

Test(time, finds_the_first_batch_at_or_past_a_timestamp)
{
    struct fixture f = small_segments();
    f.config.index_interval_bytes = 1000;
    fixture_open(&f);
    // Every batch spans ten timestamps: 1000..1002, 1010..1012, ...
    for (int i = 0; i < 60; i++)
        cr_assert_eq(
            fixture_append(&f, (struct batch_spec){.records = 3, .value_bytes = 300, .timestamp = 1000 + 10 * i}, NULL),
            RC_OK);
    for (int round = 0; round < 2; round++) {
        for (int64_t ts = 990; ts < 1600; ts++) {
            struct plog_time_found found;
            cr_assert_eq(plog_find_timestamp(&f.log, ts, 180, &found, NULL), RC_OK);
            int64_t batch = ts < 1000 ? 0 : (ts - 1000 + 7) / 10;
            cr_assert_eq(found.found, batch < 60, "%lld", (long long)ts);
            if (!found.found)
                continue;
            cr_assert_eq(found.batch.first_offset, 3 * batch, "%lld", (long long)ts);
            cr_assert_eq(found.batch_timestamp_max, 1002 + 10 * batch);
            plog_slice_release(&found.batch);
        }
        fixture_die(&f);
        fixture_recover(&f);
    }
    struct plog_time_found found;
    cr_assert_eq(plog_find_timestamp_max(&f.log, 180, &found, NULL), RC_OK);
    cr_assert(found.found && found.batch.first_offset == 177);
    plog_slice_release(&found.batch);
    cr_assert_eq(plog_find_timestamp_max(&f.log, 100, &found, NULL), RC_OK);
    cr_assert(found.found && found.batch.first_offset == 96, "%lld", (long long)found.batch.first_offset);
    plog_slice_release(&found.batch);
    raise(&f, 30);
    cr_assert_eq(plog_find_timestamp(&f.log, 0, 180, &found, NULL), RC_OK);
    cr_assert_eq(found.from_offset, 30);
    plog_slice_release(&found.batch);
    fixture_close(&f);
}

Test(time, the_greatest_timestamp_may_come_first)
{
    struct fixture f = small_segments();
    struct plog_time_found found;
    fixture_open(&f);
    static const int64_t timestamps[] = {50, 900, 20, 700, 900, 10};
    for (unsigned i = 0; i < 6; i++)
        cr_assert_eq(fixture_append(
                         &f, (struct batch_spec){.records = 1, .value_bytes = 5000, .timestamp = timestamps[i]}, NULL),
                     RC_OK);
    cr_assert_eq(plog_find_timestamp_max(&f.log, 6, &found, NULL), RC_OK);
    cr_assert_eq(found.batch.first_offset, 1);
    plog_slice_release(&found.batch);
    cr_assert_eq(plog_find_timestamp(&f.log, 100, 6, &found, NULL), RC_OK);
    cr_assert_eq(found.batch.first_offset, 1);
    plog_slice_release(&found.batch);
    cr_assert_eq(plog_find_timestamp(&f.log, 901, 6, &found, NULL), RC_OK);
    cr_assert_not(found.found);
    fixture_close(&f);
}
