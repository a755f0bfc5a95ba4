// SPDX-License-Identifier: Apache-2.0
//
// A log that moves to another folder, step by step, and what a start believes after each of them.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "store/future.h"

static struct fixture f;
static struct log_dir other;
static char other_path[256];
static struct plog future;
static struct plog_config future_config;

static void open_other(void)
{
    char why[512] = "";
    cr_assert_eq(log_dir_open(&other, f.io, &f.trace, other_path, why, sizeof(why)), RC_OK, "%s", why);
    if (!other.identity.formatted)
        cr_assert_eq(log_dir_format(&other, "fixture-cluster-000000", 1, log_dir_draw_id(&other)), RC_OK);
    cr_assert_eq(log_dir_start(&other), RC_OK);
}

static void begin(void)
{
    f = (struct fixture){0};
    fixture_open(&f);
    snprintf(other_path, sizeof(other_path), "/tmp/weir-other-XXXXXX");
    cr_assert(mkdtemp(other_path) != NULL);
    open_other();
}

static void end(void)
{
    char command[512];
    log_dir_close(&other);
    fixture_close(&f);
    snprintf(command, sizeof(command), "rm -rf %s", other_path);
    cr_assert_eq(system(command), 0);
}

static void settle(void)
{
    for (int i = 0; i < 1000 && !(plog_is_idle(&future) && log_dir_is_idle(&other)); i++)
        io_poll(f.io, 1000000);
    fixture_settle(&f);
}

static void appended(struct plog_append *op, enum rc rc)
{
    (void)op;
    cr_assert_eq(rc, RC_OK);
}

// What the current log holds from the future's end on, as the engine copies it.
static void copy(void)
{
    static uint8_t bytes[1 << 20];
    static struct plog_append ops[256];
    while (future.next < f.log.written) {
        struct plog_slice slice;
        struct plog_read read = {.offset = future.next, .bound = f.log.written, .bytes_max = sizeof(bytes), .at_least_one = true};
        size_t got;
        unsigned n = 0;
        cr_assert_eq(plog_read(&f.log, &read, &slice, NULL), RC_OK);
        cr_assert_eq(io_file_read_now(plog_slice_file(&slice), bytes, slice.bytes, slice.position, &got), RC_OK);
        cr_assert_eq(got, slice.bytes);
        for (size_t at = 0; at < got && n < ARRAY_COUNT(ops); n++) {
            struct batch_header h;
            cr_assert_eq(batch_header_read(bytes_of(bytes + at, got - at), &h), RC_OK);
            ops[n] = (struct plog_append){
                .batch = bytes + at, .bytes = batch_bytes(&h), .flags = PLOG_APPEND_FOLLOWER, .done = appended};
            cr_assert_eq(plog_append(&future, &ops[n]), RC_OK);
            at += batch_bytes(&h);
        }
        plog_flush(&future);
        plog_slice_release(&slice);
        settle();
    }
}

static void attach(void)
{
    future_config = f.config;
    future_config.compacts = future_config.deletes = false;
    future_config.flush_messages = INT64_MAX;
    future_config.file_delete_delay_ms = 0;
    cr_assert_eq(plog_attach_future(&future, &f.log, &other, &future_config, 0), RC_OK);
    cr_assert_eq(plog_future_make(&future), RC_OK);
}

static enum rc op_rc;
static bool op_done;

static void recorded(struct plog_future_op *op, enum rc rc)
{
    (void)op;
    op_rc = rc;
    op_done = true;
}

static void synced(struct log_dir_op *op, enum rc rc)
{
    (void)op;
    op_rc = rc;
    op_done = true;
}

static void wait_op(void)
{
    for (int i = 0; i < 1000 && !op_done; i++)
        io_poll(f.io, 1000000);
    cr_assert(op_done);
    cr_assert_eq(op_rc, RC_OK);
    op_done = false;
}

static void sync_other(void)
{
    static struct log_dir_op op;
    op = (struct log_dir_op){.request = LOG_DIR_SYNC, .done = synced};
    log_dir_submit(&other, &op);
    wait_op();
}

static void record(void)
{
    static struct plog_future_op op;
    op = (struct plog_future_op){.done = recorded};
    plog_future_record(&future, &f.log, &op);
    wait_op();
}

static void produce(int32_t sequence)
{
    struct plog_append op;
    cr_assert_eq(fixture_append(&f, (struct batch_spec){.records = 1, .value_bytes = 300, .timestamp = 5, .producer_id = 77,
                                                        .base_sequence = sequence}, &op), RC_OK);
}

// The first batch of a producer finds no space.
static void refuse(int64_t producer_id)
{
    const uint64_t reserve = f.dir.reserve_bytes;
    struct plog_append op;
    f.dir.reserve_bytes = UINT64_MAX / 4;
    f.dir.space_checked_ns = 0;
    cr_assert_eq(fixture_append(&f, (struct batch_spec){.records = 1, .producer_id = producer_id}, &op), RC_NO_SPACE);
    f.dir.reserve_bytes = reserve;
    f.dir.space_checked_ns = 0;
}

Test(future, takes_the_place_of_its_log_with_everything_that_is_known)
{
    begin();
    f.leader_epoch = 3;
    fixture_fill(&f, 40, 500);
    f.leader_epoch = 5;
    for (int32_t n = 0; n < 4; n++)
        produce(n);
    attach();
    copy();
    fixture_fill(&f, 3, 100); // what came meanwhile
    copy();
    cr_assert_eq(f.log.written, 47);
    f.log.high_watermark = 45;
    refuse(78);
    settle();
    cr_assert_eq(plog_future_seal(&future, &f.log), RC_OK);
    sync_other();
    record();
    const struct log_dir_entry *e = log_dir_find(&other, f.log.id);
    cr_assert(e && e->clean && e->moves == 1 && e->recovery_point.offset == 47 && e->high_watermark == 45);
    cr_assert_eq(plog_future_name(&future, &f.log), RC_OK);
    sync_other();
    cr_assert_eq(plog_future_take(&f.log, &future, bytes_str("t")), RC_OK);
    cr_assert(f.log.dir == &other && f.log.moves == 1 && f.log.state == PLOG_AT_REST && f.log.written == 47);
    cr_assert_eq(f.log.high_watermark, 45);
    cr_assert_not(fixture_exists(&f, "00000000000000000000.log"));
    cr_assert_eq(fixture_read_all(&f), 47);
    cr_assert_eq(plog_epoch_at(&f.log, 39), 3);
    cr_assert_eq(plog_epoch_at(&f.log, 40), 5);
    struct plog_append op;
    struct batch_spec again = {.records = 1, .value_bytes = 300, .timestamp = 5, .producer_id = 77, .base_sequence = 2};
    cr_assert_eq(fixture_append(&f, again, &op), RC_OK);
    cr_assert(op.duplicate && op.base_offset == 42, "it knows its producers");
    again.producer_id = 78;
    again.base_sequence = 1;
    cr_assert_eq(fixture_append(&f, again, &op), RC_OUT_OF_ORDER_SEQUENCE, "the one before it was refused where it was");
    produce(4);
    cr_assert_eq(f.log.written, 48);
    cr_assert_null(log_dir_find(&f.dir, f.log.id), "the old folder's checkpoint has forgotten it");
    cr_assert_null(log_dir_find(&other, (struct topic_partition){f.log.id.topic_id, FUTURE_PARTITION_BIT}));
    settle();
    plog_detach(&f.log);
    end();
}

Test(future, a_move_that_is_given_up_is_believed_by_nobody)
{
    begin();
    fixture_fill(&f, 10, 200);
    attach();
    copy();
    settle();
    cr_assert_eq(plog_future_seal(&future, &f.log), RC_OK);
    record();
    static struct plog_future_op op;
    op = (struct plog_future_op){.done = recorded};
    plog_future_disown(&f.log, &op);
    wait_op();
    cr_assert(log_dir_find(&f.dir, f.log.id)->moves == 2 && f.log.moves == 2);
    cr_assert_eq(log_dir_find(&other, f.log.id)->moves, 1);
    settle();
    plog_future_drop(&future);
    cr_assert_eq(future.state, PLOG_DETACHED);
    cr_assert_eq(fixture_read_all(&f), 10);
    end();
}

static char found[128];

static void visit(void *context, enum log_dir_name_kind kind, const char *name)
{
    enum log_dir_name_kind *wanted = context;
    if (kind == *wanted)
        snprintf(found, sizeof(found), "%s", name);
}

Test(future, what_a_start_finds_of_one_is_put_away_and_forgotten)
{
    begin();
    fixture_fill(&f, 10, 200);
    attach();
    copy();
    settle();
    cr_assert_eq(plog_future_seal(&future, &f.log), RC_OK);
    record(); // and then the process dies: its folder has not got its name
    struct topic_partition id = f.log.id;
    plog_detach(&future);
    fixture_die(&f);
    log_dir_close(&other);
    open_other();
    enum log_dir_name_kind kind = LOG_DIR_NAME_FUTURE;
    found[0] = 0;
    cr_assert_eq(log_dir_each_folder(&other, visit, &kind), RC_OK);
    cr_assert(strncmp(found, "t-0.", 4) == 0, "%s", found);
    cr_assert_null(log_dir_find(&other, (struct topic_partition){id.topic_id, FUTURE_PARTITION_BIT}));
    cr_assert_not_null(log_dir_find(&other, id));
    cr_assert(log_dir_drop_future(&other, found, id, false));
    cr_assert_null(log_dir_find(&other, id));
    kind = LOG_DIR_NAME_DELETE;
    found[0] = 0;
    cr_assert_eq(log_dir_each_folder(&other, visit, &kind), RC_OK);
    cr_assert(found[0], "it is to be removed");
    end();
}

Test(future, a_name_that_is_taken_stays)
{
    begin();
    fixture_fill(&f, 3, 200);
    attach();
    copy();
    settle();
    char path[512];
    snprintf(path, sizeof(path), "%s/t-0", other_path);
    cr_assert_eq(io_make_dir(f.io, path), RC_OK);
    cr_assert_eq(plog_future_seal(&future, &f.log), RC_OK);
    cr_assert_eq(plog_future_name(&future, &f.log), RC_EXISTS);
    plog_future_drop(&future);
    end();
}
