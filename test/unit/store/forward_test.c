// SPDX-License-Identifier: Apache-2.0
//
// A log whose folder another shard owns: every operation on the folder takes its way and comes back later.
#include "fixture.h"

#include <criterion/criterion.h>

static struct log_dir_op *on_the_way[100];
static unsigned on_the_way_count;
static struct log_dir *owner;

static void forward(struct log_dir *d, struct log_dir_op *op)
{
    owner = d;
    cr_assert(on_the_way_count < 100);
    on_the_way[on_the_way_count++] = op;
}

// The owner's turn: what has arrived is run.
static void arrive(void)
{
    unsigned n = on_the_way_count;
    struct log_dir_op *ops[100];
    for (unsigned i = 0; i < n; i++)
        ops[i] = on_the_way[i];
    on_the_way_count = 0;
    for (unsigned i = 0; i < n; i++)
        log_dir_run(owner, ops[i]);
}

struct sent {
    struct made_batch batch;
    struct plog_append op;
    enum rc rc;
    bool done;
};

static void sent_done(struct plog_append *op, enum rc rc)
{
    struct sent *s = container_of(op, struct sent, op);
    s->rc = rc;
    s->done = true;
}

static void send(struct fixture *f, struct sent *s)
{
    fixture_make(&s->batch, (struct batch_spec){.records = 1, .value_bytes = 100, .timestamp = 1});
    s->op = (struct plog_append){.batch = s->batch.bytes, .bytes = s->batch.n, .done = sent_done};
    s->done = false;
    cr_assert_eq(plog_append(&f->log, &s->op), RC_OK);
    plog_flush(&f->log);
}

static void pump(struct fixture *f, const bool *done)
{
    for (int i = 0; i < 1000 && !*done; i++) {
        arrive();
        io_poll(f->io, 1000000);
    }
    cr_assert(*done);
}

static struct sent a, b;

Test(forward, nothing_is_written_before_the_folder_knows_that_something_will_be)
{
    struct fixture f = {0};
    fixture_open(&f);
    fixture_fill(&f, 3, 100);
    cr_assert_eq(plog_rest(&f.log), RC_OK);
    uint64_t bytes = plog_bytes(&f.log);
    f.dir.forward = forward;
    send(&f, &a);
    send(&f, &b);
    for (int i = 0; i < 5; i++)
        io_poll(f.io, 0);
    cr_assert(!a.done && !plog_is_idle(&f.log));
    cr_assert_eq(plog_bytes(&f.log), bytes);
    cr_assert_eq(on_the_way_count, 1);
    cr_assert(log_dir_find(&f.dir, f.log.id)->clean);
    pump(&f, &b.done);
    cr_assert(a.done && a.rc == RC_OK && b.rc == RC_OK && a.op.base_offset == 3 && b.op.base_offset == 4);
    cr_assert_not(log_dir_find(&f.dir, f.log.id)->clean);
    f.dir.forward = NULL;
    fixture_die(&f);
    cr_assert_eq(fixture_recover(&f).end_offset, 5);
    fixture_close(&f);
}

Test(forward, forced_syncs_and_recovery_points_take_the_way)
{
    struct fixture f = {.config = PLOG_CONFIG_DEFAULT};
    f.config.flush_messages = 1;
    fixture_open(&f);
    f.dir.forward = forward;
    send(&f, &a);
    for (int i = 0; i < 5; i++)
        io_poll(f.io, 0);
    cr_assert_not(a.done);
    cr_assert_eq(plog_written_end(&f.log), 1);
    cr_assert_eq(plog_offered_end(&f.log), 0);
    pump(&f, &a.done);
    cr_assert_eq(plog_offered_end(&f.log), 1);
    store_want_checkpoint(&f.store, &f.log);
    for (int i = 0; i < 1000 && f.log.recovery_point < 1; i++) {
        uint64_t next;
        store_work(&f.store, 1000000, &next);
        arrive();
        io_poll(f.io, 1000000);
    }
    arrive();
    cr_assert_eq(log_dir_find(&f.dir, f.log.id)->recovery_point.offset, 1);
    struct log_dir_entry found = {0};
    struct log_dir_op find = {.request = LOG_DIR_FIND, .record.id = f.log.id, .found = &found};
    log_dir_submit(&f.dir, &find);
    arrive();
    cr_assert_eq(found.recovery_point.offset, 1);
    f.dir.forward = NULL;
    fixture_die(&f);
    cr_assert_eq(f.log.state, PLOG_AT_REST);
    fixture_close(&f);
}

Test(forward, an_offline_folder_fails_what_comes_back)
{
    struct fixture f = {0};
    fixture_open(&f);
    fixture_fill(&f, 3, 100);
    cr_assert_eq(plog_rest(&f.log), RC_OK);
    f.dir.forward = forward;
    send(&f, &a);
    log_dir_fail(&f.dir, f.io, RC_IO, "testing", f.path);
    pump(&f, &a.done);
    cr_assert_eq(a.rc, RC_OFFLINE);
    cr_assert(plog_is_idle(&f.log));
    f.dir.forward = NULL;
    fixture_close(&f);
}

// A process that dies between the two halves finds a log as long as the checkpoint says.
Test(forward, a_log_is_cut_when_its_folder_knows_the_shorter_recovery_point)
{
    for (int whole = 0; whole < 2; whole++) {
        struct fixture f = {0};
        fixture_open(&f);
        fixture_fill(&f, 3, 100);
        store_want_checkpoint(&f.store, &f.log);
        fixture_settle(&f);
        cr_assert_eq(f.log.recovery_point, 3);
        f.dir.forward = forward;
        on_the_way_count = 0;
        uint64_t bytes = plog_bytes(&f.log);
        cr_assert_eq(whole ? plog_reset(&f.log, 100) : plog_truncate(&f.log, 1), RC_AGAIN);
        cr_assert_eq(plog_bytes(&f.log), bytes);
        cr_assert_not(plog_is_idle(&f.log));
        on_the_way_count = 0; // it dies: what was on its way never arrives
        f.log.resetting = false;
        f.dir.forward = NULL;
        fixture_die(&f);
        (void)fixture_recover(&f);
        cr_assert_eq(plog_written_end(&f.log), 3);
        cr_assert_eq(fixture_read_all(&f), 3);
        // And the whole way.
        f.dir.forward = forward;
        cr_assert_eq(plog_open(&f.log), RC_OK);
        enum rc rc = RC_AGAIN;
        for (int i = 0; i < 1000 && rc == RC_AGAIN; i++) {
            rc = !plog_is_idle(&f.log) ? RC_AGAIN : whole ? plog_reset(&f.log, 100) : plog_truncate(&f.log, 1);
            arrive();
            io_poll(f.io, 1000000);
        }
        cr_assert_eq(rc, RC_OK, "%s", rc_name(rc));
        cr_assert_eq(log_dir_find(&f.dir, f.log.id)->recovery_point.offset, whole ? 100 : 0);
        f.dir.forward = NULL;
        if (!whole)
            cr_assert_eq(fixture_recover(&f).end_offset, 1);
        cr_assert_eq(plog_written_end(&f.log), whole ? 100 : 1);
        fixture_close(&f);
    }
}

// The note is on its way or there, and whoever asked for it has another role by now: what is written then must not lie where
// the next start takes it for part of the log before.
Test(forward, a_new_beginning_that_was_noted_comes_before_what_is_written_next)
{
    struct fixture f = {0};
    fixture_open(&f);
    fixture_fill(&f, 3, 100);
    f.dir.forward = forward;
    on_the_way_count = 0;
    cr_assert_eq(plog_reset(&f.log, 100), RC_AGAIN);
    fixture_make(&a.batch, (struct batch_spec){.records = 1, .value_bytes = 100, .timestamp = 1});
    a.op = (struct plog_append){.batch = a.batch.bytes, .bytes = a.batch.n, .done = sent_done};
    cr_assert_eq(plog_append(&f.log, &a.op), RC_AGAIN);
    cr_assert_eq(plog_truncate(&f.log, 1), RC_AGAIN);
    for (int i = 0; i < 1000 && !plog_is_idle(&f.log); i++) {
        arrive();
        io_poll(f.io, 1000000);
    }
    cr_assert_eq(plog_written_end(&f.log), 3);
    send(&f, &a);
    pump(&f, &a.done);
    cr_assert_eq(a.rc, RC_OK);
    cr_assert_eq(a.op.base_offset, 100);
    for (int i = 0; i < 1000 && !plog_is_idle(&f.log); i++) {
        arrive();
        io_poll(f.io, 1000000);
    }
    f.dir.forward = NULL;
    fixture_die(&f);
    fixture_recover(&f);
    cr_assert_eq(plog_start_offset(&f.log), 100);
    cr_assert_eq(plog_written_end(&f.log), 101);
    cr_assert_eq(fixture_read_all(&f), 1);
    fixture_close(&f);
}

static void send_of_producer(struct fixture *f, int32_t sequence)
{
    struct batch_spec spec = {.records = 1, .value_bytes = 100, .timestamp = 1, .producer_id = 7, .base_sequence = sequence};
    fixture_make(&a.batch, spec);
    a.op = (struct plog_append){.batch = a.batch.bytes, .bytes = a.batch.n, .done = sent_done};
    a.done = false;
    cr_assert_eq(plog_append(&f->log, &a.op), RC_OK);
    plog_flush(&f->log);
    pump(f, &a.done);
    cr_assert_eq(a.rc, RC_OK);
}

// A start goes by the mark that has arrived, and needs the producers of that one.
Test(forward, the_snapshot_of_a_mark_goes_when_the_next_mark_has_arrived)
{
    for (int arrives = 0; arrives < 2; arrives++) {
        struct fixture f = {0};
        fixture_open(&f);
        owner = &f.dir;
        on_the_way_count = 0;
        send_of_producer(&f, 0);
        cr_assert_eq(plog_put_mark(&f.log), RC_OK);
        f.dir.forward = forward;
        send_of_producer(&f, 1);
        cr_assert_eq(plog_put_mark(&f.log), RC_OK);
        if (arrives)
            arrive();
        on_the_way_count = 0; // it dies
        f.dir.forward = NULL;
        fixture_settle(&f);
        cr_assert_eq(fixture_exists(&f, "00000000000000000001.snapshot"), !arrives);
        fixture_die(&f);
        (void)fixture_recover(&f);
        cr_assert_eq(plog_open(&f.log), RC_OK);
        cr_assert_eq(plog_written_end(&f.log), 2);
        const struct producer_entry *e = producer_state_find(&f.log.producers, 7);
        cr_assert(e && e->batch_count == 2 && e->batches[1].last_sequence == 1);
        fixture_close(&f);
    }
}
