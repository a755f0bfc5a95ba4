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
