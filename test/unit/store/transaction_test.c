// SPDX-License-Identifier: Apache-2.0
//
// Transactional and control batches in the log: what is unstable, what was aborted, and both after a restart.
#include "fixture.h"

#include <criterion/criterion.h>
#include <string.h>

static void append_data(struct fixture *f, int64_t producer, int32_t sequence)
{
    const struct batch_spec spec = {.records = 1,
                                    .value_bytes = 50,
                                    .timestamp = 1,
                                    .producer_id = producer,
                                    .base_sequence = sequence,
                                    .attributes = BATCH_ATTR_TRANSACTIONAL};
    enum rc rc = fixture_append(f, spec, NULL);
    cr_assert_eq(rc, RC_OK, "%s", rc_name(rc));
}

struct marker_op {
    struct plog_append op;
    bool done;
};

static void marker_done(struct plog_append *op, enum rc rc)
{
    cr_assert_eq(rc, RC_OK);
    container_of(op, struct marker_op, op)->done = true;
}

static void append_marker(struct fixture *f, int64_t producer, bool commit)
{
    const uint8_t key[] = {0, 0, 0, commit}, value[] = {0, 0, 0, 0, 0, 5};
    struct batch_builder builder;
    struct batch_options options = batch_options_default();
    struct marker_op m = {.op.done = marker_done, .op.flags = PLOG_APPEND_INTERNAL};
    struct buf out;
    options.producer_id = producer;
    options.attributes = BATCH_ATTR_TRANSACTIONAL | BATCH_ATTR_CONTROL;
    options.producer_epoch = 0;
    options.base_sequence = -1;
    batch_builder_init(&builder, &options, 1000);
    buf_init(&out, 1000);
    cr_assert_eq(batch_builder_add(&builder, 1, bytes_of(key, 4), bytes_of(value, 6), NULL, 0), RC_OK);
    cr_assert_eq(batch_builder_finish(&builder, &out), RC_OK);
    m.op.batch = out.p;
    m.op.bytes = out.n;
    enum rc rc = plog_append(&f->log, &m.op);
    cr_assert_eq(rc, RC_OK, "%s", rc_name(rc));
    plog_flush(&f->log);
    while (!m.done)
        io_poll(f->io, 1000000);
    buf_deinit(&out);
    batch_builder_deinit(&builder);
}

static struct plog_aborted aborted[10];
static unsigned aborted_count;

static void see(void *context, const struct plog_aborted *a)
{
    (void)context;
    aborted[aborted_count++] = *a;
}

static void expect_aborted(struct fixture *f, int64_t from, int64_t to, unsigned count)
{
    aborted_count = 0;
    cr_assert_eq(plog_each_aborted(&f->log, from, to, see, NULL), RC_OK);
    cr_assert_eq(aborted_count, count, "[%lld, %lld): %u", (long long)from, (long long)to, aborted_count);
}

Test(transaction, knows_what_is_open_and_what_was_aborted)
{
    struct fixture f = {.config = PLOG_CONFIG_DEFAULT};
    fixture_open(&f);
    append_data(&f, 1, 0); // 0
    append_data(&f, 2, 0); // 1
    cr_assert_eq(plog_first_unstable_offset(&f.log), 0);
    append_marker(&f, 1, false); // 2
    cr_assert_eq(plog_first_unstable_offset(&f.log), 1);
    append_data(&f, 1, 1);       // 3
    append_marker(&f, 2, true);  // 4
    append_marker(&f, 1, false); // 5
    cr_assert_eq(plog_first_unstable_offset(&f.log), OFFSET_NONE);
    append_data(&f, 2, 1); // 6, stays open
    cr_assert_eq(fixture_size(&f, "00000000000000000000.txnindex"), 68);
    for (int round = 0; round < 3; round++) {
        cr_assert_eq(plog_first_unstable_offset(&f.log), 6);
        expect_aborted(&f, 0, 7, 2);
        cr_assert(aborted[0].producer_id == 1 && aborted[0].first_offset == 0 && aborted[0].last_offset == 2 &&
                  aborted[0].last_stable_offset == 1);
        cr_assert(aborted[1].first_offset == 3 && aborted[1].last_offset == 5 && aborted[1].last_stable_offset == 6);
        expect_aborted(&f, 3, 7, 1);
        expect_aborted(&f, 0, 1, 1);
        expect_aborted(&f, 6, 7, 0);
        cr_assert_eq(producer_state_find(&f.log.producers, 1)->coordinator_epoch, 5);
        if (round == 0)
            fixture_die(&f);
        if (round == 1) {
            store_want_checkpoint(&f.store, &f.log);
            fixture_settle(&f);
            fixture_power_cut(&f);
        }
        fixture_recover(&f);
    }
    fixture_close(&f);
}

Test(transaction, a_truncation_forgets_the_aborts_behind_it)
{
    struct fixture f = {.config = PLOG_CONFIG_DEFAULT};
    fixture_open(&f);
    for (int32_t i = 0; i < 3; i++) {
        append_data(&f, 1, i);
        append_marker(&f, 1, false);
    }
    expect_aborted(&f, 0, 6, 3);
    cr_assert_eq(plog_truncate(&f.log, 3), RC_OK);
    fixture_recover(&f);
    expect_aborted(&f, 0, 3, 1);
    cr_assert_eq(plog_first_unstable_offset(&f.log), 2);
    cr_assert_eq(fixture_size(&f, "00000000000000000000.txnindex"), 34);
    fixture_close(&f);
}
