// SPDX-License-Identifier: Apache-2.0
//
// What a log knows of its producers where a snapshot of them is missing, damaged or of batches that were cut.
#include "fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { SEGMENT_BATCHES = 4 };

// Of one record a batch; a segment holds SEGMENT_BATCHES of them.
static struct batch_spec spec_of(int64_t producer, int32_t sequence)
{
    return (struct batch_spec){
        .records = 1, .value_bytes = 100, .timestamp = 1, .producer_id = producer, .base_sequence = sequence};
}

static void open_small(struct fixture *f)
{
    struct made_batch b;
    *f = (struct fixture){.config = PLOG_CONFIG_DEFAULT};
    fixture_make(&b, spec_of(7, 0));
    f->config.segment_bytes = (uint32_t)(SEGMENT_BATCHES * b.n);
    f->config.segment_jitter_ms = 0;
    fixture_open(f);
}

static void append(struct fixture *f, int64_t producer, int32_t sequence)
{
    cr_assert_eq(fixture_append(f, spec_of(producer, sequence), NULL), RC_OK);
}

static const char *snapshot_name(int64_t offset)
{
    static char name[40];
    snprintf(name, sizeof(name), "%020lld.snapshot", (long long)offset);
    return name;
}

static void cut(struct fixture *f, int64_t to)
{
    cr_assert_eq(plog_truncate(&f->log, to), RC_OK);
    enum rc rc = RC_AGAIN;
    while (rc == RC_AGAIN)
        rc = plog_recover_step(&f->log, 1, NULL);
    cr_assert_eq(rc, RC_OK);
    cr_assert_eq(f->log.state, PLOG_OPEN);
    cr_assert_eq(plog_written_end(&f->log), to);
}

// The last batch of a producer, as the log knows it: its sequence, -1: it knows none.
static int32_t last_of(const struct fixture *f, int64_t producer)
{
    const struct producer_entry *e = producer_state_find(&f->log.producers, producer);
    return e && e->batch_count ? e->batches[e->batch_count - 1].last_sequence : -1;
}

// Offsets 0 to 9 in three segments, of three producers.
static void fill_mixed(struct fixture *f)
{
    append(f, 7, 0);
    append(f, 7, 1);
    append(f, 8, 0);
    append(f, 7, 2);
    append(f, 9, 0); // 4: the second segment
    append(f, 8, 1);
    append(f, 7, 3);
    append(f, 7, 4);
    append(f, 7, 5); // 8: the third
    append(f, 9, 1);
    cr_assert_eq(f->log.sealed_count, 2);
}

Test(recovery_producers, a_cut_to_a_segment_without_a_snapshot_looks_at_the_batches_below_it)
{
    // Which snapshots a full disk has refused.
    static const int64_t refused[][2] = {{8, 8}, {4, 8}};
    for (unsigned i = 0; i < ARRAY_COUNT(refused); i++) {
        struct fixture f;
        struct plog_append op = {0};
        open_small(&f);
        fill_mixed(&f);
        fixture_settle(&f);
        for (unsigned k = 0; k < 2; k++)
            if (fixture_exists(&f, snapshot_name(refused[i][k])))
                fixture_remove(&f, snapshot_name(refused[i][k]));
        cut(&f, 9);
        cr_assert_eq(last_of(&f, 7), 5);
        cr_assert_eq(last_of(&f, 8), 1);
        cr_assert_eq(last_of(&f, 9), 0);
        cr_assert_eq(fixture_append(&f, spec_of(7, 4), &op), RC_OK);
        cr_assert(op.duplicate);
        cr_assert_eq(op.base_offset, 7);
        cr_assert_eq(fixture_append(&f, spec_of(8, 3), &op), RC_OUT_OF_ORDER_SEQUENCE);
        append(&f, 8, 2);
        fixture_close(&f);
    }
}

Test(recovery_producers, a_damaged_snapshot_at_the_point_costs_a_look_at_the_batches)
{
    struct fixture f;
    open_small(&f);
    fill_mixed(&f);
    store_want_checkpoint(&f.store, &f.log);
    fixture_settle(&f);
    cr_assert_eq(f.log.recovery_point, 10);
    append(&f, 9, 2);
    fixture_flip(&f, snapshot_name(10), 20);
    fixture_flip(&f, snapshot_name(8), 20);
    fixture_power_cut(&f);
    fixture_recover(&f);
    cr_assert_eq(last_of(&f, 7), 5);
    cr_assert_eq(last_of(&f, 8), 1);
    cr_assert_eq(last_of(&f, 9), 2);
    fixture_close(&f);
}

Test(recovery_producers, who_writes_without_one_costs_no_look)
{
    struct fixture f;
    open_small(&f);
    for (int k = 0; k < 10; k++)
        append(&f, -1, -1);
    fixture_settle(&f);
    cr_assert(fixture_exists(&f, snapshot_name(8)));
    unsigned lines = f.lines;
    cut(&f, 9);
    cr_assert_eq(f.lines, lines, "%s", f.last_line);
    fixture_close(&f);
}

// The log has grown again, to the same offset, by others.
Test(recovery_producers, a_snapshot_of_what_was_cut_is_not_taken_for_one_of_what_came_instead)
{
    for (int restart = 0; restart < 2; restart++) {
        struct fixture f;
        open_small(&f);
        append(&f, 8, 0);
        append(&f, 7, 0);
        append(&f, 7, 1);
        cr_assert_eq(plog_rest(&f.log), RC_OK);
        cr_assert(fixture_exists(&f, snapshot_name(3)));
        cut(&f, 1);
        cr_assert_not(fixture_exists(&f, snapshot_name(3)));
        if (restart) {
            fixture_die(&f);
            fixture_recover(&f);
        }
        append(&f, 8, 1);
        append(&f, 8, 2);
        cr_assert_eq(plog_rest(&f.log), RC_OK);
        fixture_die(&f);
        fixture_recover(&f);
        cr_assert_eq(last_of(&f, 7), -1);
        cr_assert_eq(last_of(&f, 8), 2);
        fixture_close(&f);
    }
}

Test(recovery_producers, nothing_is_left_of_a_log_that_begins_anew)
{
    struct fixture f;
    open_small(&f);
    fill_mixed(&f);
    cr_assert_eq(plog_rest(&f.log), RC_OK);
    fixture_settle(&f);
    enum rc rc = plog_reset(&f.log, 6);
    cr_assert_eq(rc, RC_OK);
    for (int64_t k = 0; k <= 10; k++)
        cr_assert_not(fixture_exists(&f, snapshot_name(k)), "%lld", (long long)k);
    fixture_close(&f);
}

// The note of the new beginning alone was written: the snapshot that stands at that very offset is of the log before.
Test(recovery_producers, nothing_is_left_of_a_log_whose_new_beginning_was_noted)
{
    for (int round = 0; round < 3; round++) {
        struct fixture f;
        open_small(&f);
        fill_mixed(&f);
        cr_assert_eq(plog_rest(&f.log), RC_OK);
        fixture_settle(&f);
        int64_t end = plog_written_end(&f.log);
        const struct log_dir_mark at = {.offset = end, .segment_base = end, .leader_epoch = LEADER_EPOCH_NONE};
        cr_assert(fixture_exists(&f, snapshot_name(end)));
        cr_assert_eq(plog_put_reset(&f.log, &at, true, true), RC_OK);
        if (round == 0)
            fixture_die(&f);
        else
            fixture_power_cut(&f);
        fixture_recover(&f);
        cr_assert_eq(plog_start_offset(&f.log), end);
        cr_assert_eq(plog_written_end(&f.log), end);
        for (int64_t producer = 7; producer <= 9; producer++)
            cr_assert_eq(last_of(&f, producer), -1);
        for (int64_t k = 0; k <= end; k++)
            cr_assert_not(fixture_exists(&f, snapshot_name(k)), "%lld", (long long)k);
        if (round == 2) { // and what came since is not taken for it
            append(&f, 9, 0);
            cr_assert_eq(plog_rest(&f.log), RC_OK);
            fixture_settle(&f);
            fixture_power_cut(&f);
            fixture_recover(&f);
            cr_assert_eq(last_of(&f, 9), 0);
            cr_assert_eq(plog_start_offset(&f.log), end);
        }
        fixture_close(&f);
    }
}
